/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: the table of machine options, and the rules between them
 *
 * Names, defaults and grammar are Cloud Hypervisor's; tables=, transport=,
 * pmu= and the words sve and pauth are ours. What is not in the table is
 * refused: an accepted key acts. Rules that need the host (vCPUs that the
 * hypervisor can run) or the memory map (guest-physical range, length of the
 * command line) are checked by arch's layout() and load().
 */
#include "vmm/config.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/sysinfo.h>

#include "vmm/base/log.h"
#include "vmm/config-impl.h"
#include "vmm/config-rate.h"
#include "vmm/identity.h"

#define ANY_PA_BITS_MAX 52

/* ---- words ---------------------------------------------------------------*/

static const struct schema_choice char_words[] = {
	{ .name = "off", .value = CHAR_OFF },
	{ .name = "null", .value = CHAR_NULL },
	{ .name = "tty", .value = CHAR_TTY },
	{ .name = "pty", .value = CHAR_PTY },
};

static const struct schema_choice debug_words[] = {
	{ .name = "off", .value = CHAR_OFF },
	{ .name = "tty", .value = CHAR_TTY },
	{ .name = "pty", .value = CHAR_PTY },
};

static const struct schema_choice feature_words[] = {
	{ .name = "sve", .value = AT(cpus.sve), .arch = "arm64" },
	{ .name = "pauth", .value = AT(cpus.pauth), .arch = "arm64" },
	{ .name = "amx", .later = true },
};

static const struct schema_choice three_way_words[] = {
	{ .name = "auto", .value = AUTO },
	{ .name = "on", .value = ON },
	{ .name = "off", .value = OFF },
};

static const struct schema_choice tables_words[] = {
	{ .name = "auto", .value = TABLES_AUTO },
	{ .name = "acpi", .value = TABLES_ACPI },
	{ .name = "fdt", .value = TABLES_FDT },
};

static const struct schema_choice transport_words[] = {
	{ .name = "pci", .value = TRANSPORT_PCI },
	{ .name = "mmio", .value = TRANSPORT_MMIO },
};

static const struct schema_choice hypervisor_words[] = {
	{ .name = "auto" },
	{ .name = "kvm" },
	{ .name = "fake" },
	{ .name = "mshv", .later = true },
};

/* ---- keys ----------------------------------------------------------------*/

static const struct schema_key firmware_keys[] = {
	{ .type = SCHEMA_PATH, .offset = AT(firmware), SINCE },
};

static const struct schema_key firmware_vars_keys[] = {
	{ .type = SCHEMA_PATH, .offset = AT(firmware_vars), SINCE },
};

static const struct schema_key kernel_keys[] = {
	{ .type = SCHEMA_PATH, .offset = AT(kernel), SINCE },
};

static const struct schema_key initramfs_keys[] = {
	{ .type = SCHEMA_PATH, .offset = AT(initramfs), SINCE },
};

static const struct schema_key cmdline_keys[] = {
	{ .type = SCHEMA_STRING, .offset = AT(cmdline), SINCE },
};

static const struct schema_key cpus_keys[] = {
	{ .name = "boot",
	  .type = SCHEMA_U32,
	  .lead = true,
	  .offset = AT(cpus.boot_vcpus),
	  .min = 1,
	  .max = VCPUS_MAX,
	  .preset = "1",
	  .doc = "vCPUs that are there at power-on; --cpus N is short for it",
	  SINCE },
	{ .name = "max",
	  .type = SCHEMA_U32,
	  .optional = true,
	  .offset = AT(cpus.max_vcpus),
	  .min = 1,
	  .max = VCPUS_MAX,
	  .doc = "vCPUs that the machine has room for; as many as boot unless "
		 "given",
	  SINCE },
	{ .name = "topology",
	  .type = SCHEMA_TOPOLOGY,
	  .offset = AT(cpus.topology),
	  .doc = "threads per core, cores per die, dies per package and "
		 "packages; their product is max",
	  SINCE },
	{ .name = "max_phys_bits",
	  .type = SCHEMA_U32,
	  .offset = AT(cpus.max_phys_bits),
	  .min = 32,
	  .max = ANY_PA_BITS_MAX,
	  .preset = "46",
	  .doc = "most guest-physical address bits shown to the guest",
	  SINCE },
	{ .name = "nested",
	  .type = SCHEMA_BOOL,
	  .arch = "x86_64",
	  .offset = AT(cpus.nested),
	  .preset = "on",
	  .doc = "let the guest run virtual machines, where the host can",
	  SINCE },
	{ .name = "features",
	  .type = SCHEMA_SET,
	  .offset = AT(cpus),
	  CHOICES(feature_words),
	  .doc = "CPU features given to the guest only on request: Scalable "
		 "Vector Extension, pointer authentication; arm64",
	  SINCE },
	{ .name = "pmu",
	  .type = SCHEMA_ENUM,
	  .arch = "arm64",
	  .offset = AT(cpus.pmu),
	  CHOICES(three_way_words),
	  .preset = "auto",
	  .doc = "performance counters for the guest; auto gives them where "
		 "the host can",
	  SINCE },
};

#define CHAR_WORDS_DOC                                             \
	"no port; a port that drops output; this terminal; a new " \
	"pseudo-terminal, whose name -v logs"
#define CHAR_FILE_DOC	"output goes to this file, which is overwritten"
#define CHAR_SOCKET_DOC "wait for clients on this UNIX socket, which is created"

static const struct schema_key serial_keys[] = {
	{ .type = SCHEMA_ENUM,
	  .offset = AT(serial.mode),
	  CHOICES(char_words),
	  .preset = "null",
	  .doc = CHAR_WORDS_DOC,
	  SINCE },
	{ .name = "file",
	  .type = SCHEMA_PATH,
	  .offset = AT(serial.file),
	  .selects = CHAR_FILE,
	  .selects_offset = AT(serial.mode),
	  .doc = CHAR_FILE_DOC,
	  SINCE },
	{ .name = "socket",
	  .type = SCHEMA_PATH,
	  .offset = AT(serial.socket),
	  .selects = CHAR_SOCKET,
	  .selects_offset = AT(serial.mode),
	  .doc = CHAR_SOCKET_DOC,
	  SINCE },
};

static const struct schema_key console_keys[] = {
	{ .type = SCHEMA_ENUM,
	  .offset = AT(console.mode),
	  CHOICES(char_words),
	  .preset = "tty",
	  .doc = CHAR_WORDS_DOC,
	  SINCE },
	{ .name = "file",
	  .type = SCHEMA_PATH,
	  .offset = AT(console.file),
	  .selects = CHAR_FILE,
	  .selects_offset = AT(console.mode),
	  .doc = CHAR_FILE_DOC,
	  SINCE },
	{ .name = "socket",
	  .type = SCHEMA_PATH,
	  .offset = AT(console.socket),
	  .selects = CHAR_SOCKET,
	  .selects_offset = AT(console.mode),
	  .doc = CHAR_SOCKET_DOC,
	  SINCE },
	SEGMENT_KEY(AT(console_segment)),
};

static const struct schema_key debug_console_keys[] = {
	{ .type = SCHEMA_ENUM,
	  .arch = "x86_64",
	  .offset = ITEM_AT(debug_console_config, out.mode),
	  CHOICES(debug_words),
	  .preset = "off",
	  .doc = "no port; this terminal; a new pseudo-terminal, whose name -v "
		 "logs",
	  SINCE },
	{ .name = "file",
	  .type = SCHEMA_PATH,
	  .offset = ITEM_AT(debug_console_config, out.file),
	  .selects = CHAR_FILE,
	  .selects_offset = ITEM_AT(debug_console_config, out.mode),
	  .doc = CHAR_FILE_DOC,
	  SINCE },
	{ .name = "iobase",
	  .type = SCHEMA_U32,
	  .aside = true,
	  .arch = "x86_64",
	  .offset = ITEM_AT(debug_console_config, iobase),
	  .min = 1,
	  .max = UINT16_MAX,
	  .preset = "0xe9",
	  .doc = "its port",
	  SINCE },
};

static const struct schema_key rng_keys[] = {
	{ .name = "src",
	  .type = SCHEMA_PATH,
	  .offset = AT(rng.src),
	  .preset = "/dev/urandom",
	  .doc = "where the guest's random bytes come from",
	  SINCE },
	RATE_KEYS_AT(vm_config, rng.rate),
	SEGMENT_KEY(AT(rng.pci_segment)),
};

static const struct schema_key platform_keys[] = {
	{ .name = "tables",
	  .type = SCHEMA_ENUM,
	  .offset = AT(platform.tables),
	  CHOICES(tables_words),
	  .preset = "auto",
	  .doc = "what describes the machine to the guest; auto: ACPI on "
		 "x86_64 and with --firmware-vars, else a device tree",
	  SINCE },
	{ .name = "transport",
	  .type = SCHEMA_ENUM,
	  .offset = AT(platform.transport),
	  CHOICES(transport_words),
	  .preset = "pci",
	  .doc = "how virtio devices are attached",
	  SINCE },
	{ .name = "num_pci_segments",
	  .type = SCHEMA_U32,
	  .offset = AT(platform.num_pci_segments),
	  .min = 1,
	  .max = CONFIG_SEGMENTS_MAX,
	  .preset = "1",
	  .doc = "PCI segments, each with a host bridge and room for 31 "
		 "devices; with OVMF segment 0 has room for 30",
	  SINCE },
	{ .name = "access_platform",
	  .type = SCHEMA_BOOL,
	  .offset = AT(platform.access_platform),
	  .preset = "off",
	  .doc = "virtio devices offer VIRTIO_F_ACCESS_PLATFORM: the guest's "
		 "driver then maps buffers as for a physical device",
	  SINCE },
	{ .name = "vmgenid",
	  .type = SCHEMA_BOOL,
	  .offset = AT(platform.vmgenid),
	  .preset = "off",
	  .doc = "a generation ID, by which the guest notices that it is a "
		 "copy of another; without it, the machine is as before",
	  SINCE },
	{ .name = "vmclock",
	  .type = SCHEMA_BOOL,
	  .offset = AT(platform.vmclock),
	  .preset = "off",
	  .doc = "a VMClock, by which the guest notices that its clock was "
		 "interrupted; without it, the machine is as before",
	  SINCE },
	{ .name = "pptt",
	  .type = SCHEMA_BOOL,
	  .arch = "x86_64",
	  .offset = AT(platform.pptt),
	  .preset = "off",
	  .doc = "describe processors by an ACPI PPTT too, for systems that "
		 "look there; Linux asks CPUID, which says the same",
	  SINCE },
	{ .name = "system_manufacturer",
	  .type = SCHEMA_STRING,
	  .offset = AT(platform.system_manufacturer),
	  .doc = "who made the machine, by SMBIOS; on arm64 with "
		 "--firmware-vars",
	  SINCE },
	{ .name = "system_product_name",
	  .type = SCHEMA_STRING,
	  .offset = AT(platform.system_product_name),
	  .doc = "what the machine is called",
	  SINCE },
	{ .name = "system_version",
	  .type = SCHEMA_STRING,
	  .offset = AT(platform.system_version),
	  .doc = "its version",
	  SINCE },
	{ .name = "system_serial_number",
	  .type = SCHEMA_STRING,
	  .offset = AT(platform.system_serial_number),
	  .doc = "its serial number",
	  SINCE },
	{ .name = "serial_number",
	  .type = SCHEMA_STRING,
	  .offset = AT(platform.serial_number),
	  .doc = "older name of system_serial_number",
	  SINCE },
	{ .name = "system_uuid",
	  .type = SCHEMA_STRING,
	  .offset = AT(platform.system_uuid),
	  .doc = "its UUID, such as 12345678-90ab-cdef-1234-567890abcdef",
	  SINCE },
	{ .name = "uuid",
	  .type = SCHEMA_STRING,
	  .offset = AT(platform.uuid),
	  .doc = "older name of system_uuid",
	  SINCE },
	{ .name = "system_sku_number",
	  .type = SCHEMA_STRING,
	  .offset = AT(platform.system_sku_number),
	  .doc = "its stock keeping unit",
	  SINCE },
	{ .name = "system_family",
	  .type = SCHEMA_STRING,
	  .offset = AT(platform.system_family),
	  .doc = "the family it belongs to",
	  SINCE },
	{ .name = "chassis_asset_tag",
	  .type = SCHEMA_STRING,
	  .offset = AT(platform.chassis_asset_tag),
	  .doc = "asset tag of its chassis",
	  SINCE },
	{ .name = "oem_strings",
	  .type = SCHEMA_STRING,
	  .offset = AT(platform.oem_strings),
	  .doc = "[TEXT,...] for programs in the guest: dmidecode -t 11",
	  SINCE },
};

static const struct schema_key tpm_keys[] = {
	{ .name = "socket",
	  .type = SCHEMA_PATH,
	  .offset = ITEM_AT(tpm_config, socket),
	  .doc = "control socket of a running swtpm",
	  SINCE },
	ID_KEY(tpm_config),
};

static const struct schema_key pvpanic_keys[] = {
	{ .type = SCHEMA_FLAG, .offset = AT(pvpanic), SINCE },
};

static const struct schema_key watchdog_keys[] = {
	{ .type = SCHEMA_FLAG, .offset = AT(watchdog), SINCE },
};

static const struct schema_key hypervisor_keys[] = {
	{ .type = SCHEMA_NAME,
	  .offset = AT(hypervisor),
	  CHOICES(hypervisor_words),
	  .preset = "auto",
	  SINCE },
};

static const struct schema_key log_file_keys[] = {
	{ .type = SCHEMA_PATH, .offset = AT(log_file), SINCE },
};

static const struct schema_key verbose_keys[] = {
	{ .type = SCHEMA_COUNT, .offset = AT(verbosity), SINCE },
};

/* ---- options -------------------------------------------------------------*/

static const struct schema_option firmware_option = {
	.name = "firmware",
	.group = "What to boot",
	KEYS(firmware_keys),
	.doc = "firmware, which loads a system from a disk, or starts "
	       "--kernel; "
	       "x86_64: CLOUDHV.fd, or another ELF file with a PVH entry, or "
	       "OVMF_CODE_4M.fd; "
	       "arm64: AAVMF_CODE.fd, or U-Boot for qemu_arm64",
	MACHINE,
};

static const struct schema_option firmware_vars_option = {
	.name = "firmware-vars",
	.group = "What to boot",
	KEYS(firmware_vars_keys),
	.doc = "file for the variables of --firmware (boot order, keys): a "
	       "copy of OVMF_VARS_4M.fd or AAVMF_VARS.fd, or what an earlier "
	       "machine left; AAVMF needs it, and makes it if there is none",
	MACHINE,
};

static const struct schema_option kernel_option = {
	.name = "kernel",
	.group = "What to boot",
	KEYS(kernel_keys),
	.doc = "Linux kernel; x86_64: vmlinux or bzImage; arm64: Image, "
	       "Image.gz or EFI zboot",
	MACHINE,
};

static const struct schema_option initramfs_option = {
	.name = "initramfs",
	.group = "What to boot",
	KEYS(initramfs_keys),
	.doc = "initial RAM file system, as the kernel gets it",
	MACHINE,
};

static const struct schema_option cmdline_option = {
	.name = "cmdline",
	.group = "What to boot",
	KEYS(cmdline_keys),
	.doc = "kernel command line",
	MACHINE,
};

static const struct schema_option cpus_option = {
	.name = "cpus",
	.group = "CPUs and memory",
	.list = true,
	KEYS(cpus_keys),
	.later = "kvm_hyperv affinity core_scheduling profile",
	.doc = "virtual CPUs",
	MACHINE,
};

static const struct schema_option serial_option = {
	.name = "serial",
	.group = "Devices",
	.list = true,
	.one_of = true,
	KEYS(serial_keys),
	.doc = "serial port: 16550 at 0x3f8 (x86_64), PL011 (arm64)",
	MACHINE,
};

static const struct schema_option console_option = {
	.name = "console",
	.group = "Devices",
	.list = true,
	.one_of = true,
	KEYS(console_keys),
	.later = LATER_DEVICE " id",
	.doc = "virtio console, hvc0 in Linux",
	MACHINE,
};

static const struct schema_option debug_console_option = {
	.name = "debug-console",
	.group = "Devices",
	ITEMS(debug_console, debug_console_count, debug_console_config, 1),
	.one_of = true,
	KEYS(debug_console_keys),
	.doc = "a port to which firmware and kernels print byte by byte; "
	       "x86_64",
	MACHINE,
};

static const struct schema_option rng_option = {
	.name = "rng",
	.group = "Devices",
	.list = true,
	KEYS(rng_keys),
	.later = LATER_DEVICE " id",
	.doc = "virtio entropy device, always present",
	SERVED,
};

static const struct schema_option tpm_option = {
	.name = "tpm",
	.group = "Devices",
	ITEMS(tpm, tpm_count, tpm_config, 1),
	.id_prefix = "__tpm",
	KEYS(tpm_keys),
	.doc = "TPM 2.0 (CRB), emulated by swtpm in a process of its own",
	MACHINE,
};

static const struct schema_option pvpanic_option = {
	.name = "pvpanic",
	.group = "Devices",
	KEYS(pvpanic_keys),
	.doc = "device by which the guest's kernel reports its panic",
	MACHINE,
};

static const struct schema_option watchdog_option = {
	.name = "watchdog",
	.group = "Devices",
	KEYS(watchdog_keys),
	.doc = "watchdog that resets the machine when the guest hangs",
	MACHINE,
};

static const struct schema_option platform_option = {
	.name = "platform",
	.group = "Devices",
	.list = true,
	KEYS(platform_keys),
	.later = "iommu_segments iommu_address_width "
		 "iommufd iommufd_fd vfio_p2p_dma tdx sev_snp",
	.doc = "the machine around the devices",
	MACHINE,
};

static const struct schema_option hypervisor_option = {
	.name = "hypervisor",
	.group = "Host",
	KEYS(hypervisor_keys),
	.doc = "what runs the guest; auto takes what this host offers, fake "
	       "is an interpreter for tests",
	MACHINE,
};

static const struct schema_option log_file_option = {
	.name = "log-file",
	.group = "Host",
	KEYS(log_file_keys),
	.doc = "append messages to this file instead of standard error",
	.verbs = CLI_RUN | CLI_SERVE,
	SINCE,
};

static const struct schema_option verbose_option = {
	.name = "verbose",
	.letter = 'v',
	.group = "Host",
	KEYS(verbose_keys),
	.doc = "log what happens; twice: for developers",
	SERVED,
};

static const struct schema_option *const options[] = {
	&firmware_option,     &firmware_vars_option,
	&kernel_option,	      &initramfs_option,
	&cmdline_option,      &fw_cfg_option,
	&cpus_option,	      &memory_option,
	&memory_zone_option,  &numa_option,
	&serial_option,	      &console_option,
	&console_port_option, &debug_console_option,
	&disk_option,	      &rate_group_option,
	&rng_option,	      &balloon_option,
	&pmem_option,	      &rtc_option,
	&watchdog_option,     &tpm_option,
	&pvpanic_option,      &net_option,
	&platform_option,     &pci_segment_option,
	&hypervisor_option,   &log_file_option,
	&verbose_option,      &vsock_option,
	&fs_option,	      &generic_vhost_user_option,
};

const struct schema vm_config_schema = {
	.option = options,
	.count = ARRAY_SIZE(options),
};

/* ---- struct vm_config ----------------------------------------------------*/

int vm_config_init(struct vm_config *c, const char *arch, struct diag *d)
{
	int ret;

	memset(c, 0, sizeof(*c));
	ret = schema_init(&vm_config_schema, c, arch, d);
	if (ret)
		vm_config_release(c);
	return ret;
}

void vm_config_release(struct vm_config *c)
{
	schema_release(&vm_config_schema, c);
}

/* "__balloon": there is only one. */
static bool fixed_id(const struct schema_option *o)
{
	return !strncmp(o->id_prefix, "__", 2);
}

/* NULL: the option has no such key. */
static const struct schema_key *key_of(const struct schema_option *o,
				       const char *name)
{
	for (unsigned i = 0; i < o->key_count; i++)
		if (o->key[i].name && !strcmp(o->key[i].name, name))
			return &o->key[i];
	return NULL;
}

static char *item_of(const struct schema_option *o, const struct vm_config *c,
		     unsigned index)
{
	char *items = *(char *const *)((const char *)c + o->items_offset);

	return items + index * o->item_bytes;
}

/* Where item @index of @o has its id; NULL: the option has no devices. */
static char **item_id(const struct schema_option *o, const struct vm_config *c,
		      unsigned index)
{
	const struct schema_key *key = o->id_prefix ? key_of(o, "id") : NULL;

	return key ? (char **)(void *)(item_of(o, c, index) + key->offset)
		   : NULL;
}

static int name_item(const struct schema_option *o, struct vm_config *c,
		     unsigned index, struct diag *d)
{
	char **id = item_id(o, c, index);
	int n;

	if (!id || *id)
		return 0;
	n = fixed_id(o) ? asprintf(id, "%s", o->id_prefix)
			: asprintf(id, "%s%u", o->id_prefix, index);
	if (n >= 0)
		return 0;
	*id = NULL;
	return diag_fail(d, ENOMEM, "out of memory");
}

int vm_config_complete(struct vm_config *c, struct diag *d)
{
	int ret = 0;

	if (!c->cpus.max_vcpus)
		c->cpus.max_vcpus = c->cpus.boot_vcpus;
	for (unsigned i = 0; i < ARRAY_SIZE(options); i++)
		for (unsigned j = 0; options[i]->id_prefix && !ret &&
				     j < schema_count(options[i], c);
		     j++)
			ret = name_item(options[i], c, j, d);
	return ret ? ret : complete_nets(c, d);
}

/* ---- rules between fields ------------------------------------------------*/

static int check_cpus(const struct vm_config *config, struct diag *d)
{
	const struct cpus_config *c = &config->cpus;
	const struct topology *t = &c->topology;
	uint64_t product;

	if (c->max_vcpus < c->boot_vcpus)
		return diag_fail(d, EINVAL,
				 "--cpus max=%" PRIu32
				 ": must be at least boot=%" PRIu32,
				 c->max_vcpus, c->boot_vcpus);
	if (!t->threads_per_core && !t->cores_per_die && !t->dies_per_package &&
	    !t->packages)
		return 0;
	if (mul_u64(t->threads_per_core, t->cores_per_die, &product) &&
	    mul_u64(product, t->dies_per_package, &product) &&
	    mul_u64(product, t->packages, &product) && product == c->max_vcpus)
		return 0;
	return diag_fail(d, EINVAL,
			 "--cpus topology=%" PRIu32 ":%" PRIu32 ":%" PRIu32
			 ":%" PRIu32
			 ": must multiply out to the number of vCPUs, "
			 "max=%" PRIu32,
			 t->threads_per_core, t->cores_per_die,
			 t->dies_per_package, t->packages, c->max_vcpus);
}

int check_char_pair(const struct char_config *s, const char *name,
		    const struct char_config *v, const char *other,
		    struct diag *d)
{
	if (s->mode == CHAR_TTY && v->mode == CHAR_TTY)
		return diag_fail(d, EINVAL,
				 "%s tty: %s tty has this terminal already; "
				 "add %s off",
				 name, other, other);
	if ((s->mode == CHAR_FILE && v->mode == CHAR_FILE &&
	     !strcmp(s->file, v->file)) ||
	    (s->mode == CHAR_SOCKET && v->mode == CHAR_SOCKET &&
	     !strcmp(s->socket, v->socket)))
		return diag_fail(d, EINVAL,
				 "%s %s: %s has this name already; give each "
				 "its own",
				 name,
				 s->mode == CHAR_FILE ? s->file : s->socket,
				 other);
	return 0;
}

static int check_ports(const struct vm_config *c, struct diag *d)
{
	const struct char_config *debug = NULL;
	int ret = check_char_pair(&c->serial, "--serial", &c->console,
				  "--console", d);

	if (c->debug_console_count)
		debug = &c->debug_console->out;
	if (!ret && debug)
		ret = check_char_pair(debug, "--debug-console", &c->console,
				      "--console", d);
	if (!ret && debug)
		ret = check_char_pair(debug, "--debug-console", &c->serial,
				      "--serial", d);
	if (!ret)
		ret = check_console_ports(c, d);
	return ret;
}

/* The item before (@option, @index) that is called @id too. */
static const struct schema_option *same_id(const struct vm_config *c,
					   unsigned option, unsigned index,
					   const char *id)
{
	for (unsigned i = 0; i <= option; i++) {
		const struct schema_option *o = options[i];
		unsigned end = i == option ? index : schema_count(o, c);

		for (unsigned j = 0; o->id_prefix && j < end; j++)
			if (!strcmp(*item_id(o, c, j), id))
				return o;
	}
	return NULL;
}

static int check_id(const struct vm_config *c, unsigned option, unsigned index,
		    struct diag *d)
{
	const struct schema_option *o = options[option], *other;
	const char *id = *item_id(o, c, index);

	if (!strncmp(id, "__", 2) && strcmp(id, o->id_prefix) != 0)
		return diag_fail(d, EINVAL,
				 "--%s id=%.60s: names that begin with __ are "
				 "the machine's own",
				 o->name, id);
	if (strlen(id) > CONFIG_ID_MAX)
		return diag_fail(d, EINVAL,
				 "--%s id=%.60s...: longer than %d characters",
				 o->name, id, CONFIG_ID_MAX);
	other = same_id(c, option, index, id);
	if (other)
		return diag_fail(d, EINVAL,
				 "--%s id=%s: another --%s has this name "
				 "already",
				 o->name, id, other->name);
	return 0;
}

static int check_ids(const struct vm_config *c, struct diag *d)
{
	int ret = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(options); i++)
		for (unsigned j = 0; options[i]->id_prefix && !ret &&
				     j < schema_count(options[i], c);
		     j++)
			ret = check_id(c, i, j, d);
	return ret;
}

static int check_segment(const struct vm_config *c, unsigned option,
			 unsigned index, struct diag *d)
{
	const struct schema_option *o = options[option];
	const struct schema_key *key = key_of(o, "pci_segment");
	const char *at = o->most ? item_of(o, c, index) : (const char *)c;
	uint32_t count = vm_config_pci_segments(c), segment;

	if (!key)
		return 0;
	segment = *(const uint32_t *)(const void *)(at + key->offset);
	if (segment < count)
		return 0;
	return diag_fail(d, EINVAL,
			 "--%s pci_segment=%" PRIu32
			 ": the last PCI segment is %" PRIu32
			 ": give --platform num_pci_segments=%" PRIu32,
			 o->name, segment, count - 1, segment + 1);
}

static int check_segments(const struct vm_config *c, struct diag *d)
{
	int ret = check_pci_segments(c, d);

	for (unsigned i = 0; i < ARRAY_SIZE(options); i++)
		for (unsigned j = 0; !ret && j < schema_count(options[i], c);
		     j++)
			ret = check_segment(c, i, j, d);
	return ret;
}

static int check_tpm(const struct vm_config *c, struct diag *d)
{
	if (!c->tpm_count || c->tpm->socket)
		return 0;
	return diag_fail(d, EINVAL,
			 "--tpm: needs socket=, the control socket of swtpm");
}

/* Firmware gets a kernel, and what belongs to it, by fw_cfg. */
static int check_firmware_kernel(const struct vm_config *c, struct diag *d)
{
	const struct fw_cfg_config *f = vm_config_fw_cfg(c, false);
	const struct {
		const char *given, *option;
		bool passed;
	} parts[] = {
		{ c->kernel, "kernel", f && f->kernel },
		{ c->cmdline, "cmdline", f && f->cmdline },
		{ c->initramfs, "initramfs", f && f->initramfs },
	};

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		if (!parts[i].given)
			continue;
		if (!c->kernel) {
			return diag_fail(
				d, EINVAL,
				"--firmware and --%s: are for a "
				"--kernel; without one, firmware finds "
				"all on a --disk",
				parts[i].option);
		}
		if (!parts[i].passed) {
			return diag_fail(
				d, EINVAL,
				"--firmware and --%s: firmware gets it "
				"by fw_cfg only: give --fw-cfg-config "
				"%s=on, if this firmware looks there "
				"(AAVMF and OVMF do, CLOUDHV.fd does "
				"not)",
				parts[i].option, parts[i].option);
		}
	}
	return 0;
}

static int check_payload(const struct vm_config *c, struct diag *d)
{
	if (c->firmware_vars && !c->firmware)
		return diag_fail(d, EINVAL,
				 "--firmware-vars: needs --firmware FILE, "
				 "which keeps its variables there");
	return c->firmware ? check_firmware_kernel(c, d) : 0;
}

static int check_identity(const struct vm_config *c, struct diag *d)
{
	return identity_check(&c->platform, d);
}

static int check_rng(const struct vm_config *c, struct diag *d)
{
	return rate_config_check(&c->rng.rate, "--rng", d);
}

/* In this order: the first that refuses has its say. */
static int (*const checks[])(const struct vm_config *c, struct diag *d) = {
	check_payload,	check_fw_cfg,
	check_identity, check_cpus,
	check_memory,	check_numa,
	check_ports,	check_tpm,
	check_rng,	check_balloon,
	check_pmem,	check_vsock,
	check_fs,	check_generic_vhost_user,
	check_ids,	check_nets,
	check_disks,	check_segments,
};

int vm_config_check(const struct vm_config *c, const char *arch, struct diag *d)
{
	int ret = schema_check(&vm_config_schema, c, arch, d);

	for (size_t i = 0; i < ARRAY_SIZE(checks) && !ret; i++)
		ret = checks[i](c, d);
	return ret;
}

void vm_config_warn(const struct vm_config *c)
{
	struct sysinfo host;
	uint64_t ram;

	if (sysinfo(&host) || !mul_u64(host.totalram, host.mem_unit, &ram))
		return;
	if (vm_config_ram_bytes(c) > ram)
		log_warn("%s%" PRIu64 "M: this host has only %" PRIu64
			 "M of RAM",
			 vm_config_ram_words(c), vm_config_ram_bytes(c) >> 20,
			 ram >> 20);
}
