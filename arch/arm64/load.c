/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: arm64: the Linux boot protocol, see load.h
 *
 * Documentation/arch/arm64/booting.rst.
 */
#include "arch/arm64/load.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "arch/arm64/acpi.h"
#include "arch/arm64/firmware.h"
#include "arch/arm64/kernel.h"
#include "arch/arm64/tables.h"
#include "arch/fw-cfg.h"

#define INITRD_WINDOW GIB(32)

/**
 * struct boot_plan - what is where
 * @end: of RAM that is not kept for tables
 * @initrd, @initrd_bytes: 0 if there is none
 */
struct boot_plan {
	struct arm64_kernel kernel;
	gpa_t dtb, initrd, end;
	uint64_t initrd_bytes;
};

static int load_initramfs(struct boot_plan *plan, struct guest_ram *ram, int fd,
			  struct diag *d)
{
	gpa_t at = GPA(plan->dtb.v + ARM64_DTB_MAX);
	uint64_t end = MIN(plan->end.v, INITRD_WINDOW), size = 0;
	uint64_t room = at.v < end ? end - at.v : 0;
	int err = arm64_file_size(&size, fd, d);
	void *dst;

	if (err)
		return err;
	if (!size)
		return diag_fail(d, EINVAL, "is empty");
	dst = size <= room ? ram_pin(ram, at, size) : NULL;
	if (!dst)
		return diag_fail(d, E2BIG,
				 "needs %" PRIu64 " MiB of memory behind the "
				 "kernel, and there are %" PRIu64
				 ": give more --memory",
				 arm64_mib_up(size), room / MIB(1));
	err = arm64_read_file(fd, dst, size, d);
	if (err)
		return err;
	plan->initrd = at;
	plan->initrd_bytes = size;
	return 0;
}

static int write_dtb(const struct boot_plan *plan, struct guest_ram *ram,
		     const struct arch_table *dtb, struct diag *d)
{
	if (dtb->size_bytes > ARM64_DTB_MAX)
		return diag_fail(d, E2BIG,
				 "the device tree has %zu bytes: at most "
				 "%" PRIu64,
				 dtb->size_bytes, ARM64_DTB_MAX);
	if (!range_within(plan->dtb.v, ARM64_DTB_MAX, 0, plan->end.v) ||
	    !ram_write(ram, plan->dtb, dtb->data, dtb->size_bytes))
		return diag_fail(d, E2BIG,
				 "no room for the device tree behind the "
				 "kernel: give more --memory");
	return 0;
}

static int write_table(const struct boot_plan *plan, struct guest_ram *ram,
		       const struct arch_table *t, struct diag *d)
{
	if (!t->gpa.v)
		return write_dtb(plan, ram, t, d);
	if (!ram_write(ram, t->gpa, t->data, t->size_bytes))
		return diag_fail(d, EFAULT, "no RAM where %s must be", t->name);
	return 0;
}

static int load_tables(const struct boot_plan *plan, struct guest_ram *ram,
		       const struct platform *p, const char *cmdline,
		       struct diag *d)
{
	struct arch_tables t = { 0 };
	int err = arm64_tables(&t, p, cmdline, plan->initrd, plan->initrd_bytes,
			       d);

	for (unsigned i = 0; !err && i < t.count; i++)
		err = write_table(plan, ram, &t.table[i], d);
	arch_tables_release(&t);
	return err;
}

static int check_cmdline(const char *cmdline, struct diag *d)
{
	size_t len = strlen(cmdline);

	if (len <= ARM64_CMDLINE_MAX)
		return 0;
	return diag_fail(d, E2BIG,
			 "--cmdline: has %zu bytes, and arm64 kernels take at "
			 "most %u",
			 len, ARM64_CMDLINE_MAX);
}

static int load_files(struct boot_plan *plan, struct guest_ram *ram,
		      const struct plat_range *r, uint64_t kept_bytes,
		      const struct arch_payload *load, struct diag *d)
{
	int err = arm64_load_kernel(&plan->kernel, ram, GPA(r->base),
				    r->size_bytes, load->kernel_fd, d);

	if (err)
		return diag_fail(d, -err, "--kernel %s", load->kernel_name);
	plan->end = GPA(r->base + r->size_bytes - kept_bytes);
	plan->dtb = GPA(align_up(plan->kernel.end.v, ARM64_DTB_MAX));
	if (load->initramfs_fd < 0)
		return 0;
	err = load_initramfs(plan, ram, load->initramfs_fd, d);
	if (err)
		diag_fail(d, -err, "--initramfs %s", load->initramfs_name);
	return err;
}

int arm64_load(struct arch_boot *boot, struct guest_ram *ram,
	       const struct platform *p, const struct arch_payload *load,
	       struct diag *d)
{
	struct boot_plan plan = { 0 };
	int err = check_cmdline(load->cmdline, d);

	if (!err)
		err = arch_fw_cfg_fill(p, load, 0, d);
	if (err)
		return err;
	if (load->firmware_name)
		return arm64_firmware_load(boot, ram, p, load, d);
	err = load_files(&plan, ram, &p->ram[0], arm64_acpi_range(p).size_bytes,
			 load, d);
	if (!err)
		err = load_tables(&plan, ram, p, load->cmdline, d);
	if (err)
		return err;
	*boot = (struct arch_boot){ .entry = plan.kernel.entry,
				    .arg = plan.dtb };
	return 0;
}
