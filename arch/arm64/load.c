/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: arm64: the Linux boot protocol, see load.h
 *
 * Documentation/arch/arm64/booting.rst.
 *
 * Not implemented: firmware, ACPI through a fabricated EFI system table.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "arch/arm64/fdt.h"
#include "arch/arm64/kernel.h"
#include "arch/arm64/load.h"

#define INITRD_WINDOW GIB(32)

static int load_initramfs(uint64_t *bytes, struct guest_ram *ram, gpa_t at,
			  gpa_t end, int fd, struct diag *d)
{
	uint64_t size = 0, room = at.v < end.v ? end.v - at.v : 0;
	int err = arm64_file_size(&size, fd, d);
	void *dst;

	if (err)
		return err;
	if (!size)
		return diag_fail(d, EINVAL, "is empty");
	if (size > room)
		return diag_fail(d, E2BIG,
				 "needs %" PRIu64 " MiB of memory behind the "
				 "kernel, and there are %" PRIu64
				 ": give more --memory",
				 arm64_mib_up(size), room / MIB(1));
	dst = ram_pin(ram, at, size);
	if (!dst)
		return diag_fail(d, E2BIG, "does not fit into RAM");
	err = arm64_read_file(fd, dst, size, d);
	if (!err)
		*bytes = size;
	return err;
}

static int write_dtb(struct guest_ram *ram, gpa_t at, gpa_t end,
		     const struct arch_tables *t, struct diag *d)
{
	for (unsigned i = 0; i < t->count; i++) {
		const struct arch_table *dtb = &t->table[i];

		if (strcmp(dtb->name, "virt.dtb"))
			continue;
		if (dtb->size_bytes > ARM64_DTB_MAX)
			return diag_fail(d, E2BIG,
					 "the device tree has %zu bytes: at "
					 "most %" PRIu64,
					 dtb->size_bytes, ARM64_DTB_MAX);
		if (!range_within(at.v, ARM64_DTB_MAX, 0, end.v) ||
		    !ram_write(ram, at, dtb->data, dtb->size_bytes))
			return diag_fail(d, E2BIG,
					 "no room for the device tree behind "
					 "the kernel: give more --memory");
		return 0;
	}
	return diag_fail(d, EINVAL, "no device tree was made");
}

static int load_tables(struct guest_ram *ram, const struct platform *p,
		       gpa_t at, gpa_t end, const char *cmdline, gpa_t initrd,
		       uint64_t initrd_bytes, struct diag *d)
{
	struct arch_tables t = { 0 };
	int err = arm64_tables(&t, p, cmdline, initrd, initrd_bytes, d);

	if (!err)
		err = write_dtb(ram, at, end, &t, d);
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

int arm64_load(struct arch_boot *boot, struct guest_ram *ram,
	       const struct platform *p, const struct arch_payload *load,
	       struct diag *d)
{
	const struct plat_range *r = &p->ram[0];
	gpa_t end = GPA(r->base + r->size_bytes), initrd = GPA(0);
	gpa_t entry, kernel_end, dtb;
	uint64_t initrd_bytes = 0;
	int err = check_cmdline(load->cmdline, d);

	if (err)
		return err;
	err = arm64_load_kernel(&entry, &kernel_end, ram, GPA(r->base),
				r->size_bytes, load->kernel_fd, d);
	if (err)
		return diag_fail(d, -err, "--kernel %s", load->kernel_name);
	dtb = GPA(align_up(kernel_end.v, ARM64_DTB_MAX));
	if (load->initramfs_fd >= 0) {
		initrd = GPA(dtb.v + ARM64_DTB_MAX);
		err = load_initramfs(&initrd_bytes, ram, initrd,
				     GPA(MIN(end.v, INITRD_WINDOW)),
				     load->initramfs_fd, d);
		if (err)
			return diag_fail(d, -err, "--initramfs %s",
					 load->initramfs_name);
	}
	err = load_tables(ram, p, dtb, end, load->cmdline, initrd, initrd_bytes,
			  d);
	if (err)
		return err;
	*boot = (struct arch_boot){ .entry = entry, .arg = dtb };
	return 0;
}
