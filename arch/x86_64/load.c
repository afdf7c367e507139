/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: x86_64: firmware or kernel, initramfs, command line and tables into
 * guest RAM
 *
 * Formats are recognised by content: bzImage (bzimage.c), ELF with a PVH entry
 * (pvh.c), firmware (firmware.c). What else people try to boot is recognised
 * just well enough to say what it is (known.c). See boot.h for the order of
 * steps and the addresses.
 */
#include "arch/x86_64/load.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "arch/fw-cfg.h"
#include "arch/x86_64/bzimage.h"
#include "arch/x86_64/firmware.h"
#include "arch/x86_64/layout.h"
#include "arch/x86_64/pvh.h"
#include "arch/x86_64/tables.h"
#include "vmm/base/bytes.h"

uint64_t x86_gdt(enum x86_protocol protocol, unsigned index)
{
	/* Base 0; limit 4 GiB (TR: 0x67, its TSS is never used). */
	static const uint64_t code32 = 0x00cf9b000000ffff;
	static const uint64_t code64 = 0x00af9b000000ffff;
	static const uint64_t data = 0x00cf93000000ffff;
	static const uint64_t tss = 0x00008b0000000067;

	switch (index) {
	case X86_GDT_CS:
		return protocol == X86_PVH ? code32 : code64;
	case X86_GDT_DS:
		return data;
	case X86_GDT_TR:
		return tss;
	default:
		return 0;
	}
}

static int not_a_kernel(const struct x86_image *img, struct diag *d)
{
	const char *is = x86_image_known(img);

	if (is)
		return diag_fail(d, ENOEXEC,
				 "%s %s: is %s; x86_64 boots a bzImage or an "
				 "ELF vmlinux",
				 img->option, img->name, is);
	return diag_fail(d, ENOEXEC,
			 "%s %s: is not a kernel: neither a bzImage nor an ELF "
			 "vmlinux",
			 img->option, img->name);
}

static int load_kernel(struct x86_kernel *k, const struct guest_ram *ram,
		       const struct arch_payload *load, struct diag *d)
{
	struct x86_image img;
	int err = x86_image_open(&img, load->kernel_fd, "--kernel",
				 load->kernel_name, d);

	if (err)
		return err;
	if (x86_bzimage_is(&img))
		return x86_bzimage_load(k, &img, ram, d);
	if (x86_pvh_is(&img))
		return x86_pvh_load(k, &img, ram, d);
	return not_a_kernel(&img, d);
}

/* What runs first. */
static int load_program(struct x86_kernel *k, const struct guest_ram *ram,
			const struct platform *p,
			const struct arch_payload *load, struct diag *d)
{
	if (load->firmware_name)
		return x86_firmware_load(k, ram, p, load, d);
	return load_kernel(k, ram, load, d);
}

/* The last region, not counting persistent memory. */
static const struct ram_region *top_of_ram(const struct guest_ram *ram)
{
	unsigned i = ram->region_count - 1;

	while (i && ram->region[i].pmem)
		i--;
	return &ram->region[i];
}

/*
 * As high as it can be: at the top of low RAM if it fits there above the
 * kernel, else at the top of high RAM if the kernel allows that.
 */
static int place_initrd(struct x86_handoff *h, const struct x86_kernel *k,
			const struct x86_image *img,
			const struct guest_ram *ram, struct diag *d)
{
	const struct ram_region *top = top_of_ram(ram);
	uint64_t from = align_up(k->end, KIB(4));
	uint64_t to = align_down(MIN(k->initrd_end, x86_low_ram(ram)), KIB(4));
	uint64_t room = to > from ? to - from : 0;
	uint64_t need = img->size_bytes;

	h->initrd_bytes = need;
	if (need <= room) {
		h->initrd = align_down(to - need, KIB(4));
		return 0;
	}
	if (k->initrd_high && top != ram->region) {
		room = MAX(room, top->size_bytes);
		to = top->gpa.v + top->size_bytes;
		if (need <= top->size_bytes) {
			h->initrd = align_down(to - need, KIB(4));
			return 0;
		}
	}
	return diag_fail(d, E2BIG,
			 "%s %s: has %" PRIu64 " bytes, beside the kernel "
			 "there is room for %" PRIu64 ": give --memory more",
			 img->option, img->name, need, room);
}

static int load_initrd(struct x86_handoff *h, const struct x86_kernel *k,
		       const struct guest_ram *ram,
		       const struct arch_payload *load, struct diag *d)
{
	struct x86_image img;
	int err;

	if (load->initramfs_fd < 0)
		return 0;
	if ((err = x86_image_open(&img, load->initramfs_fd, "--initramfs",
				  load->initramfs_name, d)) ||
	    (err = place_initrd(h, k, &img, ram, d)))
		return err;
	return x86_image_copy(&img, 0, ram, h->initrd, img.size_bytes, d);
}

static int load_cmdline(struct x86_handoff *h, const struct x86_kernel *k,
			const struct guest_ram *ram, const char *cmdline,
			struct diag *d)
{
	uint64_t max = MIN(k->cmdline_max, X86_CMDLINE_ROOM - 1);

	h->cmdline_bytes = strlen(cmdline);
	if (h->cmdline_bytes > max)
		return diag_fail(d, E2BIG,
				 "--cmdline: has %" PRIu64 " bytes, this "
				 "kernel takes at most %" PRIu64,
				 h->cmdline_bytes, max);
	if (!ram_write(ram, GPA(X86_CMDLINE_GPA), cmdline,
		       h->cmdline_bytes + 1))
		return diag_fail(d, E2BIG, "no RAM for the command line");
	return 0;
}

/* A table belongs into the hole, or into RAM that nothing else uses. */
static int put_table(struct x86_handoff *h, const struct x86_kernel *k,
		     const struct guest_ram *ram, const struct arch_table *t,
		     struct diag *d)
{
	uint64_t at = t->gpa.v, bytes = t->size_bytes;
	bool hole = range_within(at, bytes, X86_HOLE_BASE,
				 X86_HOLE_END - X86_HOLE_BASE);
	bool hits_initrd = h->initrd_bytes &&
			   at < h->initrd + h->initrd_bytes &&
			   h->initrd < at + bytes;

	if ((!hole && (at < k->end || hits_initrd)) ||
	    !ram_write(ram, t->gpa, t->data, bytes))
		return diag_fail(d, E2BIG,
				 "no room for the table %s of %zu bytes at "
				 "0x%" PRIx64,
				 t->name, t->size_bytes, at);
	if (x86_e820_carve(&h->map, at, bytes, X86_E820_ACPI) < 0)
		return diag_fail(d, E2BIG, "more than %u ranges of memory",
				 X86_E820_MAX);
	return 0;
}

static int load_tables(struct x86_handoff *h, const struct x86_kernel *k,
		       const struct guest_ram *ram, const struct platform *p,
		       const char *cmdline, struct diag *d)
{
	struct arch_tables tables = { .count = 0 };
	int err = x86_tables(&tables, p, cmdline, GPA(h->initrd),
			     h->initrd_bytes, d);

	if (err)
		return err;
	x86_e820_init(&h->map, p);
	for (unsigned i = 0; i < tables.count && !err; i++)
		if (tables.table[i].gpa.v)
			err = put_table(h, k, ram, &tables.table[i], d);
	h->rsdp = X86_RSDP_GPA;
	arch_tables_release(&tables);
	return err;
}

/*
 * Linux without EFI on hardware-reduced ACPI resets by way of the BIOS: it
 * prefers EFI, falls back from that to a real-mode jump to F000:FFF0, and
 * never looks at the FADT's reset register (arch/x86/kernel/reboot.c). So the
 * four instructions that a BIOS would come to are put there.
 */
static int put_bios_reset(const struct platform *p, const struct guest_ram *ram,
			  struct diag *d)
{
	const struct plat_dev *dev = platform_find(p, PLAT_RESET_SLEEP);
	uint8_t code[] = {
		0xba, 0,    0, /* mov $port, %dx */
		0xb0, 1,       /* mov $1, %al */
		0xee,	       /* out %al, (%dx) */
		0xf4,	       /* hlt */
		0xeb, 0xfd,    /* jmp to the hlt */
	};

	if (!dev)
		return 0;
	put_le16(code + 1, (uint16_t)dev->range[0].base);
	if (!ram_write(ram, GPA(X86_BIOS_RESET_GPA), code, sizeof(code)))
		return diag_fail(d, E2BIG, "no RAM for the reset code");
	return 0;
}

static int put_gdt(enum x86_protocol protocol, const struct guest_ram *ram,
		   struct diag *d)
{
	uint8_t gdt[X86_GDT_MAX * 8];

	for (size_t i = 0; i < X86_GDT_MAX; i++)
		put_le64(gdt + i * 8, x86_gdt(protocol, (unsigned)i));
	if (!ram_write(ram, GPA(X86_GDT_GPA), gdt, sizeof(gdt)))
		return diag_fail(d, E2BIG, "no RAM for the start data");
	return 0;
}

static int hand_off(struct arch_boot *boot, const struct x86_kernel *k,
		    const struct x86_handoff *h, const struct guest_ram *ram,
		    struct diag *d)
{
	bool pvh = k->protocol == X86_PVH;
	int err = pvh ? x86_pvh_handoff(h, ram, d)
		      : x86_bzimage_handoff(k, h, ram, d);

	if (!err)
		err = put_gdt(k->protocol, ram, d);
	if (err)
		return err;
	*boot = (struct arch_boot){
		.entry = GPA(k->entry),
		.arg = GPA(pvh ? X86_START_INFO_GPA : X86_ZERO_PAGE_GPA),
		.protocol = k->protocol,
	};
	return 0;
}

/* The part of a kernel that fw_cfg keeps apart, for boot loaders. */
static int fill_fw_cfg(const struct platform *p,
		       const struct arch_payload *load, struct diag *d)
{
	struct x86_image img;
	int err;

	if (!load->fw_cfg || load->kernel_fd < 0)
		return arch_fw_cfg_fill(p, load, 0, d);
	err = x86_image_open(&img, load->kernel_fd, "--kernel",
			     load->kernel_name, d);
	if (err)
		return err;
	if (x86_bzimage_is(&img))
		return arch_fw_cfg_fill(p, load, x86_bzimage_setup_bytes(&img),
					d);
	if (load->firmware_name && memcmp(img.head, "MZ", 2) != 0)
		return diag_fail(d, ENOEXEC,
				 "--kernel %s: is neither a bzImage nor an EFI "
				 "program, which firmware could start",
				 load->kernel_name);
	return arch_fw_cfg_fill(p, load, 0, d);
}

/* What the first program gets: firmware finds its kernel's in fw_cfg. */
static int load_parts(struct x86_handoff *h, const struct x86_kernel *k,
		      const struct guest_ram *ram,
		      const struct arch_payload *load, struct diag *d)
{
	bool kernel = !load->firmware_name;
	int err = load_cmdline(h, k, ram, kernel ? load->cmdline : "", d);

	return !err && kernel ? load_initrd(h, k, ram, load, d) : err;
}

int x86_load(struct arch_boot *boot, struct guest_ram *ram,
	     const struct platform *p, const struct arch_payload *load,
	     struct diag *d)
{
	struct x86_handoff h = { .initrd_bytes = 0 };
	struct x86_kernel k = { .end = 0 };
	int err;

	if ((err = fill_fw_cfg(p, load, d)) ||
	    (err = load_program(&k, ram, p, load, d)))
		return err;
	if (k.protocol == X86_RESET) { /* it asks fw_cfg for the rest */
		*boot = (struct arch_boot){ .protocol = X86_RESET };
		return 0;
	}
	if ((err = load_parts(&h, &k, ram, load, d)) ||
	    (err = load_tables(&h, &k, ram, p, load->cmdline, d)) ||
	    (err = put_bios_reset(p, ram, d)))
		return err;
	return hand_off(boot, &k, &h, ram, d);
}
