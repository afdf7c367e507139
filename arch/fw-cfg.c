/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: what goes into fw_cfg: see fw-cfg.h */
#include "arch/fw-cfg.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "vmm/base/bytes.h"
#include "vmm/fw-cfg.h"

#include "firmware/acpi-loader.h"
#include "firmware/smbios.h"

/* struct e820_entry of QEMU: little-endian address, size and type. */
enum { E820_BYTES = 20, E820_SIZE = 8, E820_TYPE = 16, E820_RAM = 1 };

static int add_bytes(struct fw_cfg *fc, const char *name, const void *data,
		     size_t size_bytes, struct diag *d)
{
	struct fw_cfg_content c = { .data = data,
				    .size_bytes = (uint32_t)size_bytes };

	return fw_cfg_add(fc, name, &c, d);
}

static int add_e820(struct fw_cfg *fc, const struct platform *p, struct diag *d)
{
	uint8_t map[PLAT_RAM_MAX * E820_BYTES] = { 0 }, *at = map;

	for (unsigned i = 0; i < p->ram_count; i++, at += E820_BYTES) {
		put_le64(at, p->ram[i].base);
		put_le64(at + E820_SIZE, p->ram[i].size_bytes);
		put_le32(at + E820_TYPE, E820_RAM);
	}
	return add_bytes(fc, FW_CFG_E820, map, (size_t)(at - map), d);
}

static int set_machine(struct fw_cfg *fc, const struct platform *p,
		       struct diag *d)
{
	uint64_t ram_bytes = 0;
	int err;

	for (unsigned i = 0; i < p->ram_count; i++)
		ram_bytes += p->ram[i].size_bytes;
	if ((err = fw_cfg_set_number(fc, FW_CFG_RAM_SIZE, ram_bytes, 8, d)) ||
	    (err = fw_cfg_set_number(fc, FW_CFG_CPUS, p->cpu_enabled, 2, d)))
		return err;
	return fw_cfg_set_number(fc, FW_CFG_CPUS_MAX, p->cpu_count, 2, d);
}

static int add_buf(struct fw_cfg *fc, const char *name,
		   const struct acpi_buf *b, struct diag *d)
{
	return add_bytes(fc, name, b->data, b->size_bytes, d);
}

static int add_acpi(struct fw_cfg *fc, const struct platform *p, struct diag *d)
{
	struct acpi_files f;
	int err = acpi_files_build(&f, p, d);

	if (err)
		return err;
	if (!(err = add_buf(fc, FW_CFG_ACPI_RSDP, &f.rsdp, d)) &&
	    !(err = add_buf(fc, FW_CFG_ACPI_TABLES, &f.tables, d)))
		err = add_buf(fc, FW_CFG_ACPI_LOADER, &f.loader, d);
	acpi_files_release(&f);
	return err;
}

static int add_smbios(struct fw_cfg *fc, const struct platform *p,
		      struct diag *d)
{
	struct acpi_buf tables = { .data = NULL };
	uint8_t entry[SMBIOS_ENTRY_BYTES];
	int err = smbios_build(&tables, p, d);

	if (!err) {
		/* Firmware puts them where it likes. */
		smbios_entry(entry, GPA(0), (uint32_t)tables.size_bytes);
		err = add_bytes(fc, FW_CFG_SMBIOS_ENTRY, entry, sizeof(entry),
				d);
	}
	if (!err)
		err = add_buf(fc, FW_CFG_SMBIOS_TABLES, &tables, d);
	acpi_buf_release(&tables);
	return err;
}

/* All of a file, as it is now. */
static int describe_file(struct fw_cfg_content *c, int fd, struct diag *d)
{
	struct stat st;

	if (fstat(fd, &st))
		return diag_errno(d, errno, "cannot be read");
	if (st.st_size > UINT32_MAX)
		return diag_fail(d, E2BIG, "has %lld bytes, must be below 4G",
				 (long long)st.st_size);
	*c = (struct fw_cfg_content){ .fd = fd,
				      .size_bytes = (uint32_t)st.st_size };
	return 0;
}

/* An item, and one with its size. */
static int set_sized(struct fw_cfg *fc, enum fw_cfg_key size_key,
		     enum fw_cfg_key key, const struct fw_cfg_content *c,
		     struct diag *d)
{
	int err = fw_cfg_set_number(fc, size_key, c->size_bytes, 4, d);

	return err ? err : fw_cfg_set(fc, key, c, d);
}

static int set_kernel(struct fw_cfg *fc, const struct arch_payload *load,
		      uint32_t setup_bytes, struct diag *d)
{
	struct fw_cfg_content kernel = { .fd = -1 }, setup;
	int err = describe_file(&kernel, load->kernel_fd, d);

	if (err)
		return diag_fail(d, -err, "--kernel %s", load->kernel_name);
	if (kernel.size_bytes <= setup_bytes)
		return diag_fail(d, EINVAL,
				 "--kernel %s: truncated: it ends inside its "
				 "setup part",
				 load->kernel_name);
	setup = kernel;
	setup.size_bytes = setup_bytes;
	kernel.offset_bytes = setup_bytes;
	kernel.size_bytes -= setup_bytes;
	err = set_sized(fc, FW_CFG_SETUP_SIZE, FW_CFG_SETUP, &setup, d);
	return err ? err
		   : set_sized(fc, FW_CFG_KERNEL_SIZE, FW_CFG_KERNEL, &kernel,
			       d);
}

static int set_initramfs(struct fw_cfg *fc, const struct arch_payload *load,
			 struct diag *d)
{
	struct fw_cfg_content c = { .fd = -1 };
	int err = describe_file(&c, load->initramfs_fd, d);

	if (err)
		return diag_fail(d, -err, "--initramfs %s",
				 load->initramfs_name);
	return set_sized(fc, FW_CFG_INITRD_SIZE, FW_CFG_INITRD, &c, d);
}

static int set_cmdline(struct fw_cfg *fc, const char *cmdline, struct diag *d)
{
	struct fw_cfg_content c = {
		.data = cmdline,
		.size_bytes = (uint32_t)strlen(cmdline) + 1,
	};

	return set_sized(fc, FW_CFG_CMDLINE_SIZE, FW_CFG_CMDLINE, &c, d);
}

/* What a kernel consists of, if there is one. */
static int set_boot(struct fw_cfg *fc, const struct arch_payload *load,
		    uint32_t setup_bytes, struct diag *d)
{
	const struct fw_cfg_config *c = load->fw_cfg_config;
	int err = 0;

	if (load->kernel_fd < 0)
		return 0;
	if (c->kernel)
		err = set_kernel(fc, load, setup_bytes, d);
	if (!err && c->cmdline)
		err = set_cmdline(fc, load->cmdline, d);
	if (!err && c->initramfs && load->initramfs_fd >= 0)
		err = set_initramfs(fc, load, d);
	return err;
}

static int add_item(struct fw_cfg *fc, const struct fw_cfg_given_item *item,
		    struct diag *d)
{
	struct fw_cfg_content c = { .data = item->string };
	int err = 0;

	if (item->string)
		c.size_bytes = (uint32_t)strlen(item->string);
	else
		err = describe_file(&c, item->fd, d);
	if (!err)
		err = fw_cfg_add(fc, item->name, &c, d);
	return err ? diag_fail(d, -err, "--fw-cfg-config items=[name=%s]",
			       item->name)
		   : 0;
}

/* OVMF puts its window for 64-bit BARs behind RAM, or behind this: what lies
 * there is not only RAM. */
static int add_reserved_end(struct fw_cfg *fc, const struct platform *p,
			    struct diag *d)
{
	uint8_t end[8];

	put_le64(end, p->pci.segment[0].mmio64.base);
	return add_bytes(fc, FW_CFG_RESERVED_END, end, sizeof(end), d);
}

int arch_fw_cfg_fill(const struct platform *p, const struct arch_payload *load,
		     uint32_t setup_bytes, struct diag *d)
{
	struct fw_cfg *fc = load->fw_cfg;
	int err;

	if (!fc)
		return 0;
	err = set_machine(fc, p, d);
	if (!err)
		err = set_boot(fc, load, setup_bytes, d);
	if (!err && load->fw_cfg_config->e820)
		err = add_e820(fc, p, d);
	if (!err && load->fw_cfg_config->acpi_table && p->tables == TABLES_ACPI)
		err = add_acpi(fc, p, d);
	if (!err)
		err = add_smbios(fc, p, d);
	if (!err && p->q35)
		err = add_reserved_end(fc, p, d);
	for (unsigned i = 0; load->given && i < load->given->count && !err; i++)
		err = add_item(fc, &load->given->item[i], d);
	return err;
}
