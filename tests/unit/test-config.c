/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: the schema's value grammar, one option at a time: what is accepted and
 * what it turns into, and what is refused with which sentence; and the rules
 * of vm_config_check()
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/config.h"
#include "vmm/schema.h"

#include "tests/unit/suite.h"

static struct vm_config config;

static void setup(void)
{
	struct diag d = DIAG_INIT;

	ck_assert_int_eq(vm_config_init(&config, "x86_64", &d), 0);
}

static void teardown(void)
{
	vm_config_release(&config);
}

static const struct schema_option *option(const char *name)
{
	const struct schema_option *o =
		schema_find(&vm_config_schema, name, strlen(name));

	ck_assert_ptr_nonnull(o);
	return o;
}

/* Freed by the caller. */
static char *printed(const struct schema_option *o, const struct vm_config *c)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	schema_print(o, c, schema_count(o, c) - 1, f);
	ck_assert_int_eq(fclose(f), 0);
	return text;
}

/* ---- accepted ------------------------------------------------------------*/

#define CPUS_REST   "max_phys_bits=46,nested=on,pmu=auto"
#define MEMORY_REST "prefault=off,thp=on"

static const struct {
	const char *option, *value, *result;
} good[] = {
	{ "kernel", "vmlinux", "vmlinux" },
	{ "firmware", "CLOUDHV.fd", "CLOUDHV.fd" },
	{ "debug-console", "pty", "pty,iobase=233" },
	{ "debug-console", "iobase=0x402,file=out", "file=out,iobase=1026" },
	{ "kernel", "a,b=[\"c", "a,b=[\"c" },
	{ "cmdline", "console=ttyS0 root=/dev/vda1 a=\"b c\"",
	  "console=ttyS0 root=/dev/vda1 a=\"b c\"" },
	{ "cpus", "boot=2", "boot=2," CPUS_REST },
	{ "cpus", "2", "boot=2," CPUS_REST },
	{ "cpus", "boot=4096", "boot=4096," CPUS_REST },
	{ "cpus", "boot=1,max=8", "boot=1,max=8," CPUS_REST },
	{ "cpus", "max=8,boot=0001", "boot=1,max=8," CPUS_REST },
	{ "cpus", "boot=8,topology=2:2:1:2",
	  "boot=8,topology=2:2:1:2," CPUS_REST },
	{ "cpus", "max_phys_bits=52",
	  "boot=1,max_phys_bits=52,nested=on,pmu=auto" },
	{ "cpus", "nested=off", "boot=1,max_phys_bits=46,nested=off,pmu=auto" },
	{ "cpus", "features=sve",
	  "boot=1,max_phys_bits=46,nested=on,features=[sve],pmu=auto" },
	{ "cpus", "features=[pauth,sve],pmu=off",
	  "boot=1,max_phys_bits=46,nested=on,features=[sve,pauth],pmu=off" },
	{ "cpus", "features=[]", "boot=1," CPUS_REST },
	{ "memory", "size=1G",
	  "size=1G,mergeable=off,shared=off,hugepages=off," MEMORY_REST },
	{ "memory", "2g,shared=on",
	  "size=2G,mergeable=off,shared=on,hugepages=off," MEMORY_REST },
	{ "memory", "size=1048576",
	  "size=1M,mergeable=off,shared=off,hugepages=off," MEMORY_REST },
	{ "memory", "size=1025K,mergeable=true",
	  "size=1025K,mergeable=on,shared=off,hugepages=off," MEMORY_REST },
	{ "memory", "size=4096T",
	  "size=4096T,mergeable=off,shared=off,hugepages=off," MEMORY_REST },
	{ "memory", "hugepages=ON,hugepage_size=2M",
	  "size=512M,mergeable=off,shared=off,hugepages=on,"
	  "hugepage_size=2M," MEMORY_REST },
	{ "memory", "thp=false,prefault=on",
	  "size=512M,mergeable=off,shared=off,hugepages=off,prefault=on,"
	  "thp=off" },
	{ "memory-zone", "id=a,size=1G",
	  "id=a,size=1G,mergeable=off,shared=off,hugepages=off,prefault=off" },
	{ "memory-zone", "id=a,size=2M,file=x,shared=on,host_numa_node=[0,2-3]",
	  "id=a,size=2M,file=x,mergeable=off,shared=on,hugepages=off,"
	  "prefault=off,host_numa_node=[0,2,3]" },
	{ "console", "off", "off,pci_segment=0" },
	{ "console", "null", "null,pci_segment=0" },
	{ "console", "tty", "tty,pci_segment=0" },
	{ "console", "pty", "pty,pci_segment=0" },
	{ "console", "file=/tmp/x", "file=/tmp/x,pci_segment=0" },
	{ "serial", "socket=/run/s", "socket=/run/s" },
	{ "serial", "file=a=b", "file=a=b" },
	{ "serial", "file=\"a,b\"", "file=\"a,b\"" },
	{ "serial", "file=[a,b]", "file=\"[a,b]\"" },
	{ "serial", "file=\"a]\"c", "file=\"a]c\"" },
	{ "serial", "\"file=a,b\"", "file=\"a,b\"" },
	{ "rng", "src=/dev/hwrng", "src=/dev/hwrng,pci_segment=0" },
	{ "platform", "tables=fdt",
	  "tables=fdt,transport=pci,num_pci_segments=1,access_platform=off,"
	  "vmgenid=off,vmclock="
	  "off,pptt=off" },
	{ "platform", "transport=mmio,tables=acpi",
	  "tables=acpi,transport=mmio,num_pci_segments=1,access_platform=off,"
	  "vmgenid=off,vmclock="
	  "off,pptt=off" },
	{ "hypervisor", "fake", "fake" },
};

START_TEST(test_good)
{
	const struct schema_option *o = option(good[_i].option);
	struct diag d = DIAG_INIT;
	struct vm_config again = { .kernel = NULL };
	char *first, *second;

	ck_assert_int_eq(schema_parse(o, good[_i].value, &config, &d), 0);
	first = printed(o, &config);
	ck_assert_str_eq(first, good[_i].result);
	ck_assert_int_eq(schema_parse(o, first, &again, &d), 0);
	second = printed(o, &again);
	ck_assert_str_eq(first, second);
	vm_config_release(&again);
	free(first);
	free(second);
}
END_TEST

/* ---- refused -------------------------------------------------------------*/

#define BOOT_MUST  " must be a number, 1 to 4096"
#define SIZE_MUST  " must be a size such as 512M, 0 to 4096T"
#define SIZE_LEAST " must be at least 1M, or 0 with --memory-zone"
#define TOPOLOGY_MUST \
	" must be four numbers from 1 up, threads:cores:dies:packages"
#define MATCH ": brackets or quotes do not match"

static const struct {
	const char *option, *value, *sentence;
} bad[] = {
	{ "kernel", NULL, "--kernel needs a value" },
	{ "kernel", "", "--kernel: must not be empty" },
	{ "cpus", "", "--cpus: an element is empty" },
	{ "cpus", "boot=0", "--cpus boot=0:" BOOT_MUST },
	{ "cpus", "0", "--cpus boot=0:" BOOT_MUST },
	{ "cpus", "boot=4097", "--cpus boot=4097:" BOOT_MUST },
	{ "cpus", "boot=-1", "--cpus boot=-1:" BOOT_MUST },
	{ "cpus", "boot=+1", "--cpus boot=+1:" BOOT_MUST },
	{ "cpus", "boot= 1", "--cpus boot= 1:" BOOT_MUST },
	{ "cpus", "boot=1x", "--cpus boot=1x:" BOOT_MUST },
	{ "cpus", "1x", "--cpus boot=1x:" BOOT_MUST },
	{ "cpus", "boot=0x", "--cpus boot=0x:" BOOT_MUST },
	{ "cpus", "boot=4294967297", "--cpus boot=4294967297:" BOOT_MUST },
	{ "cpus", "boot=18446744073709551617",
	  "--cpus boot=18446744073709551617:" BOOT_MUST },
	{ "cpus", "boot=", "--cpus boot=: must not be empty" },
	{ "cpus", "boot", "--cpus boot: needs a value, KEY=VALUE" },
	{ "cpus", "boot=1,boot=1", "--cpus boot: given twice" },
	{ "cpus", "1,boot=1", "--cpus boot: given twice" },
	{ "cpus", "boot=1,", "--cpus boot=1,: an element is empty" },
	{ "cpus", ",boot=1", "--cpus ,boot=1: an element is empty" },
	{ "cpus", "max=0", "--cpus max=0: must be a number, 1 to 4096" },
	{ "cpus", "max_phys_bits=31",
	  "--cpus max_phys_bits=31: must be a number, 32 to 52" },
	{ "cpus", "bot=1",
	  "--cpus bot: there is no such key; the nearest is boot" },
	{ "cpus", "topolgy=1:1:1:1",
	  "--cpus topolgy: there is no such key; the nearest is topology" },
	{ "cpus", "four",
	  "--cpus four: there is no such key; the nearest is boot" },
	{ "cpus", "kvm_hyperv=on", "--cpus kvm_hyperv: not supported yet" },
	{ "cpus", "topology=1:2:3", "--cpus topology=1:2:3:" TOPOLOGY_MUST },
	{ "cpus", "topology=1:2:3:0",
	  "--cpus topology=1:2:3:0:" TOPOLOGY_MUST },
	{ "cpus",
	  "topology=1:2:3:4:", "--cpus topology=1:2:3:4::" TOPOLOGY_MUST },
	{ "cpus", "topology=1:2::4", "--cpus topology=1:2::4:" TOPOLOGY_MUST },
	{ "cpus", "topology=4294967296:1:1:1",
	  "--cpus topology=4294967296:1:1:1:" TOPOLOGY_MUST },
	{ "cpus", "nested=yes", "--cpus nested=yes: must be on or off" },
	{ "cpus", "features=[sve,sve]", "--cpus features=sve: given twice" },
	{ "cpus", "features=[sve,]",
	  "--cpus features=: must be [LIST] of sve and pauth" },
	{ "cpus", "features=amx", "--cpus features=amx: not supported yet" },
	{ "cpus", "features=avx",
	  "--cpus features=avx: must be [LIST] of sve and pauth" },
	{ "cpus", "features=[sve", "--cpus features=[sve" MATCH },
	{ "cpus", "features=sve]", "--cpus features=sve]" MATCH },
	{ "cpus", "features=]sve[", "--cpus features=]sve[" MATCH },
	{ "cpus", "boot=\"1", "--cpus boot=\"1" MATCH },
	{ "cpus", "pmu=yes", "--cpus pmu=yes: must be auto, on or off" },
	{ "memory", "size=4097T", "--memory size=4097T:" SIZE_MUST },
	{ "memory", "size=16777216T", "--memory size=16777216T:" SIZE_MUST },
	{ "memory", "size=512MB", "--memory size=512MB:" SIZE_MUST },
	{ "memory", "size=512P", "--memory size=512P:" SIZE_MUST },
	{ "memory", "size=M", "--memory size=M:" SIZE_MUST },
	{ "memory", "size=1.5G", "--memory size=1.5G:" SIZE_MUST },
	{ "memory", "512MB", "--memory size=512MB:" SIZE_MUST },
	{ "memory", "shared=onn", "--memory shared=onn: must be on or off" },
	{ "memory", "shared=1", "--memory shared=1: must be on or off" },
	{ "memory", "hugepage_size=4K",
	  "--memory hugepage_size=4K: must be a size such as 512M, 64K to "
	  "16G" },
	{ "memory", "sice=1G",
	  "--memory sice: there is no such key; the nearest is size" },
	{ "memory", "hugepagesize=2M",
	  "--memory hugepagesize: there is no such key; the nearest is "
	  "hugepage_size" },
	{ "memory", "hotplug_size=1G",
	  "--memory hotplug_size: not supported yet" },
	{ "memory-zone", "id=a,hotplug_size=1G",
	  "--memory-zone hotplug_size: not supported yet" },
	{ "memory-zone", "id=a,size=1K",
	  "--memory-zone size=1K: must be a size such as 512M, 4K to 4096T" },
	{ "memory-zone", "id=a,host_numa_node=1024",
	  "--memory-zone host_numa_node=1024: must be [LIST] of numbers, each "
	  "0 to 1023" },
	{ "console", "of",
	  "--console of: there is no such key; the nearest is off" },
	{ "console", "fil=x",
	  "--console fil: there is no such key; the nearest is file" },
	{ "console", "tty=x",
	  "--console tty: there is no such key; the nearest is tty" },
	{ "console", "file", "--console file: needs a value, KEY=VALUE" },
	{ "console", "file=", "--console file=: must not be empty" },
	{ "console", "file=a,socket=b",
	  "--console socket=b: only one can be given" },
	{ "console", "file=a,tty", "--console tty: only one can be given" },
	{ "console", "tty,tty", "--console tty: given twice" },
	{ "console", "tty,iommu=on", "--console iommu: not supported yet" },
	{ "rng", "/dev/random",
	  "--rng /dev/random: there is no such key; the nearest is src" },
	{ "platform", "tables=dt",
	  "--platform tables=dt: must be auto, acpi or fdt" },
	{ "platform", "iommu_segments=[1]",
	  "--platform iommu_segments: not supported yet" },
	{ "hypervisor", "mshv", "--hypervisor mshv: not supported yet" },
	{ "hypervisor", "xen", "--hypervisor xen: must be auto, kvm or fake" },
	{ "pvpanic", "on", "--pvpanic takes no value" },
};

START_TEST(test_bad)
{
	struct diag d = DIAG_INIT;

	ck_assert_int_eq(schema_parse(option(bad[_i].option), bad[_i].value,
				      &config, &d),
			 -EINVAL);
	ck_assert_uint_eq(d.depth, 1);
	ck_assert_str_eq(d.text[0], bad[_i].sentence);
}
END_TEST

/* The remedy survives a value of any length. */
START_TEST(test_long_value)
{
	static const char remedy[] = ": must be on or off";
	struct diag d = DIAG_INIT;
	char value[1000] = "shared=";
	size_t len;

	memset(value + 7, 'x', sizeof(value) - 8);
	ck_assert_int_eq(schema_parse(option("memory"), value, &config, &d),
			 -EINVAL);
	len = strlen(d.text[0]);
	ck_assert_uint_lt(len, 160);
	ck_assert_str_eq(d.text[0] + len - strlen(remedy), remedy);
}
END_TEST

/* ---- rules between fields ------------------------------------------------*/

static const struct {
	const char *arch, *cpus, *memory, *serial, *console, *sentence;
} rules[] = {
	{ .arch = "x86_64" },
	{ .arch = "arm64" },
	{ .arch = "fake" },
	{ .arch = "x86_64", .cpus = "boot=2,max=4,topology=2:2:1:1" },
	{ .arch = "x86_64", .cpus = "boot=4,topology=1:1:1:4" },
	{ .arch = "arm64", .cpus = "features=[sve,pauth],pmu=on" },
	{ .arch = "arm64", .cpus = "nested=off,pmu=off" },
	{ .arch = "x86_64", .cpus = "pmu=auto" },
	{ .arch = "x86_64", .memory = "size=4M,hugepages=on,hugepage_size=2M" },
	{ .arch = "x86_64", .serial = "tty", .console = "off" },
	{ .arch = "x86_64", .serial = "file=a", .console = "file=b" },
	{ .arch = "x86_64", .serial = "file=a", .console = "socket=a" },
	{ .arch = "x86_64",
	  .cpus = "boot=4,max=2",
	  .sentence = "--cpus max=2: must be at least boot=4" },
	{ .arch = "x86_64",
	  .cpus = "boot=2,max=8,topology=2:2:1:1",
	  .sentence = "--cpus topology=2:2:1:1: must multiply out to the "
		      "number of vCPUs, max=8" },
	{ .arch = "x86_64",
	  .cpus = "boot=1,topology=65536:65536:65536:65536",
	  .sentence = "--cpus topology=65536:65536:65536:65536: must "
		      "multiply out to the number of vCPUs, max=1" },
	{ .arch = "x86_64",
	  .cpus = "features=[pauth]",
	  .sentence = "--cpus features=pauth: only on arm64, this machine is "
		      "x86_64" },
	{ .arch = "x86_64",
	  .cpus = "pmu=on",
	  .sentence = "--cpus pmu=on: only on arm64, this machine is x86_64" },
	{ .arch = "arm64",
	  .cpus = "nested=on",
	  .sentence = "--cpus nested=on: only on x86_64, this machine is "
		      "arm64" },
	{ .arch = "x86_64",
	  .memory = "size=1048577",
	  .sentence = "--memory size=1048577: must be a multiple of 4K; the "
		      "next one is 1052672" },
	{ .arch = "x86_64",
	  .memory = "mergeable=on,shared=on",
	  .sentence = "--memory mergeable=on: does not work with shared=on, "
		      "whose pages KSM never merges" },
	{ .arch = "x86_64",
	  .memory = "mergeable=on,hugepages=on",
	  .sentence = "--memory mergeable=on: does not work with "
		      "hugepages=on, whose pages KSM never merges" },
	{ .arch = "x86_64",
	  .memory = "hugepage_size=2M",
	  .sentence = "--memory hugepage_size=2097152: works only with "
		      "hugepages=on" },
	{ .arch = "x86_64",
	  .memory = "hugepages=on,hugepage_size=3M",
	  .sentence = "--memory hugepage_size=3145728: must be a power of "
		      "two, such as 2M" },
	{ .arch = "x86_64",
	  .memory = "size=5M,hugepages=on,hugepage_size=2M",
	  .sentence = "--memory size=5242880: must be a multiple of "
		      "hugepage_size, 2097152" },
	{ .arch = "x86_64",
	  .serial = "tty",
	  .sentence = "--serial tty: --console tty has this terminal already; "
		      "add --console off" },
	{ .arch = "x86_64",
	  .serial = "file=x",
	  .console = "file=x",
	  .sentence = "--serial x: --console has this name already; give each "
		      "its own" },
	{ .arch = "x86_64",
	  .serial = "socket=x",
	  .console = "socket=x",
	  .sentence = "--serial x: --console has this name already; give each "
		      "its own" },
};

static void give(struct vm_config *c, const char *name, const char *value)
{
	struct diag d = DIAG_INIT;

	if (value)
		ck_assert_int_eq(schema_parse(option(name), value, c, &d), 0);
}

START_TEST(test_rules)
{
	struct diag d = DIAG_INIT;
	struct vm_config c;
	int ret;

	ck_assert_int_eq(vm_config_init(&c, rules[_i].arch, &d), 0);
	give(&c, "cpus", rules[_i].cpus);
	give(&c, "memory", rules[_i].memory);
	give(&c, "serial", rules[_i].serial);
	give(&c, "console", rules[_i].console);
	ck_assert_int_eq(vm_config_complete(&c, &d), 0);
	ret = vm_config_check(&c, rules[_i].arch, &d);
	if (rules[_i].sentence) {
		ck_assert_int_eq(ret, -EINVAL);
		ck_assert_str_eq(d.text[0], rules[_i].sentence);
	} else {
		ck_assert_int_eq(ret, 0);
		ck_assert_uint_eq(d.depth, 0);
	}
	vm_config_release(&c);
}
END_TEST

/* Values that did not come through the parser meet the same ranges. */
static const struct {
	uint32_t boot, bits;
	uint64_t memory;
	const char *sentence;
} ranges[] = {
	{ 0, 46, MIB(1), "--cpus boot=0:" BOOT_MUST },
	{ 4097, 46, MIB(1), "--cpus boot=4097:" BOOT_MUST },
	{ 1, 64, MIB(1),
	  "--cpus max_phys_bits=64: must be a number, 32 to 52" },
	{ 1, 46, 0, "--memory size=0:" SIZE_LEAST },
	{ 1, 46, MIB(1) - 1, "--memory size=1048575:" SIZE_LEAST },
	{ 1, 46, TIB(4097), "--memory size=4097T:" SIZE_MUST },
};

START_TEST(test_ranges)
{
	struct diag d = DIAG_INIT;

	config.cpus.boot_vcpus = config.cpus.max_vcpus = ranges[_i].boot;
	config.cpus.max_phys_bits = ranges[_i].bits;
	config.memory.size_bytes = ranges[_i].memory;
	ck_assert_int_eq(vm_config_check(&config, "x86_64", &d), -EINVAL);
	ck_assert_str_eq(d.text[0], ranges[_i].sentence);
}
END_TEST

/* ---- defaults ------------------------------------------------------------*/

START_TEST(test_defaults)
{
	struct diag d = DIAG_INIT;

	ck_assert_uint_eq(config.cpus.boot_vcpus, 1);
	ck_assert_uint_eq(config.cpus.max_phys_bits, 46);
	ck_assert(config.cpus.nested);
	ck_assert_int_eq(config.cpus.pmu, AUTO);
	ck_assert_uint_eq(config.memory.size_bytes, MIB(512));
	ck_assert(config.memory.thp);
	ck_assert(!config.memory.shared);
	ck_assert_int_eq(config.serial.mode, CHAR_NULL);
	ck_assert_int_eq(config.console.mode, CHAR_TTY);
	ck_assert_str_eq(config.rng.src, "/dev/urandom");
	ck_assert_int_eq(config.platform.transport, TRANSPORT_PCI);
	ck_assert_str_eq(config.hypervisor, "auto");
	ck_assert_ptr_null(config.kernel);
	ck_assert(!config.pvpanic);
	ck_assert_int_eq(vm_config_complete(&config, &d), 0);
	ck_assert_uint_eq(config.cpus.max_vcpus, 1);
}
END_TEST

START_TEST(test_modes)
{
	give(&config, "serial", "file=out");
	give(&config, "console", "socket=in");
	ck_assert_int_eq(config.serial.mode, CHAR_FILE);
	ck_assert_str_eq(config.serial.file, "out");
	ck_assert_int_eq(config.console.mode, CHAR_SOCKET);
	ck_assert_str_eq(config.console.socket, "in");
}
END_TEST

/* Every row of the table is complete enough for parser and documentation. */
static void check_key(const struct schema_key *k, bool in_list)
{
	char text[SCHEMA_TEXT_BYTES];

	ck_assert_ptr_nonnull(k->since);
	ck_assert(!in_list || k->doc);
	ck_assert(!k->doc || k->doc[strlen(k->doc) - 1] != '.');
	ck_assert(k->name || !in_list || k->choice_count);
	ck_assert(k->type != SCHEMA_U32 || k->max >= k->min);
	ck_assert_uint_lt(strlen(schema_text_value(k, text)), 40);
}

START_TEST(test_table)
{
	for (unsigned i = 0; i < vm_config_schema.count; i++) {
		const struct schema_option *o = vm_config_schema.option[i];

		ck_assert_ptr_nonnull(o->doc);
		ck_assert_ptr_nonnull(o->since);
		ck_assert_ptr_nonnull(o->group);
		ck_assert(o->verbs);
		ck_assert(o->list || o->key_count == 1);
		ck_assert_ptr_eq(option(o->name), o);
		for (unsigned j = 0; j < o->key_count; j++) {
			const char *name = o->key[j].name;

			check_key(&o->key[j], o->list);
			ck_assert(!name ||
				  !schema_listed(o->later, name, strlen(name)));
		}
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("config");
	TCase *t = tcase_create("config");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, test_good, 0, ARRAY_SIZE(good));
	tcase_add_loop_test(t, test_bad, 0, ARRAY_SIZE(bad));
	tcase_add_test(t, test_long_value);
	tcase_add_loop_test(t, test_rules, 0, ARRAY_SIZE(rules));
	tcase_add_loop_test(t, test_ranges, 0, ARRAY_SIZE(ranges));
	tcase_add_test(t, test_defaults);
	tcase_add_test(t, test_modes);
	tcase_add_test(t, test_table);
	suite_add_tcase(s, t);
	return suite_run(s);
}
