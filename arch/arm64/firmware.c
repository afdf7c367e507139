/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: arm64: firmware, see firmware.h
 *
 * U-Boot's header says where it ends (arch/arm/cpu/armv8/start.S: _TEXT_BASE,
 * _end_ofs). It wants memory, timer, GIC, PL011 and PCI or virtio-mmio from the
 * device tree, and finds GRUB on a disk by itself.
 *
 * UEFI is padded with zeros to the size of a flash bank; those are not copied,
 * and so take no memory. It never gets anywhere without flash for its
 * variables, or (edk2 2026.08) without fw_cfg, and U-Boot would take the
 * variables for its environment: each is refused where the other belongs.
 *
 * Files are hostile: nothing in them is used but to refuse them early.
 *
 * A kernel goes to UEFI by fw_cfg (arch/fw-cfg.c), which starts it as the EFI
 * program that it is; Image.gz is none, so it is unpacked once, into memory.
 */
#include "arch/arm64/firmware.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "arch/arm64/image.h"
#include "arch/arm64/kernel.h"
#include "arch/arm64/layout.h"
#include "arch/arm64/tables.h"
#include "arch/firmware-marks.h"
#include "vmm/base/bytes.h"
#include "vmm/base/file.h"

#define UBOOT_END   16	 /* _end_ofs */
#define FV_LENGTH   0x20 /* PI 1.8 vol. 3 sec. 3.2.1 */
#define CHUNK_BYTES KIB(64)
/* edk2 2025.02 and 2026.08: "Synchronous Exception" with 120 MiB */
#define UEFI_RAM_BYTES MIB(128)
#define KERNEL_MAX     MIB(256) /* five times Debian's */
#define HEAD_BYTES     (FIRMWARE_ARM64_VOLUME + 64)

/** struct firmware - a file; @head: its first @head_bytes, zeros behind them */
struct firmware {
	uint8_t head[HEAD_BYTES];
	size_t head_bytes;
	uint64_t size_bytes;
};

static bool is_kernel(const struct firmware *f)
{
	struct image_packing packing;
	struct diag ignored = DIAG_INIT;

	return !image_recognise(&packing, f->head,
				MIN(f->head_bytes, ARM64_HEAD_BYTES),
				f->size_bytes, &ignored);
}

static const char *known(const struct firmware *f)
{
	if (!memcmp(f->head, "\177ELF", 4))
		return "an ELF file (CLOUDHV.fd, vmlinux?)";
	if (!memcmp(f->head, "QFI\xfb", 4))
		return "a qcow2 disk image";
	if (!memcmp(f->head + 512, "EFI PART", 8))
		return "a disk image";
	if (!firmware_volume_at(f->head, f->head_bytes, 0))
		return "not firmware for arm64";
	if (firmware_is_variables(f->head, f->head_bytes))
		return "a store of UEFI variables without firmware";
	return "UEFI firmware for another machine (OVMF?)";
}

static int check_end(const struct firmware *f, uint64_t end, struct diag *d)
{
	if (end <= f->size_bytes)
		return 0;
	return diag_fail(d, EINVAL,
			 "is cut off: has %" PRIu64 " of %" PRIu64 " bytes",
			 f->size_bytes, end);
}

/* Its volume is filled up; a length that is nonsense is damage as well. */
static uint64_t uefi_end(const struct firmware *f)
{
	uint64_t len = get_le64(f->head + FIRMWARE_ARM64_VOLUME + FV_LENGTH);

	return MIN(len, UINT64_MAX - FIRMWARE_ARM64_VOLUME) +
	       FIRMWARE_ARM64_VOLUME;
}

/* It uses what is at the start of RAM, and dies of less. */
static bool has_uefi_ram(const struct platform *p)
{
	struct plat_range first = { .size_bytes = 0 };
	unsigned next = 0;
	uint32_t node;

	return platform_memory(p, &next, &first, &node) &&
	       first.size_bytes >= UEFI_RAM_BYTES;
}

static int check_uefi(const struct firmware *f, const struct platform *p,
		      const struct arch_payload *load, struct diag *d)
{
	if (!platform_find(p, PLAT_FLASH))
		return diag_fail(d, EINVAL,
				 "is UEFI (AAVMF), which keeps its variables "
				 "in flash: give --firmware-vars FILE, which "
				 "is made if it does not exist");
	if (!load->fw_cfg)
		return diag_fail(d, EINVAL,
				 "is UEFI (AAVMF), which learns of ACPI by "
				 "fw_cfg and may hang without: leave out "
				 "--fw-cfg-config disable");
	if (!has_uefi_ram(p))
		return diag_fail(d, E2BIG,
				 "is UEFI (AAVMF), which needs 128M of RAM: "
				 "give more --memory, or a larger zone to the "
				 "first --numa");
	return check_end(f, uefi_end(f), d);
}

static int check_uboot(const struct firmware *f, bool has_flash, struct diag *d)
{
	int err = check_end(f, get_le64(f->head + UBOOT_END), d);

	if (err)
		return err;
	if (has_flash)
		return diag_fail(d, EINVAL,
				 "is U-Boot, which keeps variables in a file "
				 "on the disk: leave out --firmware-vars");
	return 0;
}

static int recognise(const struct firmware *f, const struct platform *p,
		     const struct arch_payload *load, struct diag *d)
{
	if (firmware_is_arm64_code(f->head, f->head_bytes) &&
	    firmware_volume_at(f->head, f->head_bytes, FIRMWARE_ARM64_VOLUME))
		return check_uefi(f, p, load, d);
	if (is_kernel(f))
		return diag_fail(d, ENOEXEC,
				 "is a Linux kernel: give it as --kernel");
	if (!firmware_is_arm64_uboot(f->head, f->head_bytes))
		return diag_fail(
			d, ENOEXEC,
			"is %s; arm64 starts AAVMF_CODE.fd of Debian's "
			"qemu-efi-aarch64, and qemu_arm64/u-boot.bin "
			"of u-boot-qemu",
			known(f));
	return check_uboot(f, platform_find(p, PLAT_FLASH), d);
}

static int read_head(struct firmware *f, int fd, struct diag *d)
{
	int err = arm64_file_size(&f->size_bytes, fd, d);

	if (err)
		return err;
	f->head_bytes = MIN(f->size_bytes, sizeof(f->head));
	return arm64_read_file(fd, f->head, f->head_bytes, d);
}

static int load_file(const struct firmware *f, const struct platform *p,
		     const struct arch_payload *load, struct diag *d)
{
	void *rom;
	int err;

	if (f->size_bytes > ARM64_FIRMWARE_MAX)
		return diag_fail(d, E2BIG,
				 "has %" PRIu64 " bytes: at most %" PRIu64,
				 f->size_bytes, ARM64_FIRMWARE_MAX);
	rom = ram_pin(load->rom, GPA(p->rom.base), f->size_bytes);
	if (!rom)
		return diag_fail(d, ENOTSUP, "this machine has no ROM");
	err = file_read_sparse(load->firmware_fd, 0, rom, f->size_bytes);
	return err ? diag_fail(d, -err, "cannot be read") : 0;
}

static int write_dtb(struct guest_ram *ram, const struct platform *p,
		     struct diag *d)
{
	struct arch_tables t = { 0 };
	int err = arm64_dtb(&t, p, d);

	if (err)
		return err;
	if (t.table[0].size_bytes > ARM64_FIRMWARE_DTB_MAX)
		err = diag_fail(d, E2BIG,
				"the device tree has %zu bytes, and firmware "
				"takes at most %" PRIu64
				": use fewer vCPUs or devices",
				t.table[0].size_bytes, ARM64_FIRMWARE_DTB_MAX);
	else if (!ram_write(ram, GPA(p->ram[0].base), t.table[0].data,
			    t.table[0].size_bytes))
		err = diag_fail(d, E2BIG,
				"no room for the device tree: give more "
				"--memory");
	arch_tables_release(&t);
	return err;
}

/* ---- the kernel for firmware ---------------------------------------------*/

/* All that @u gives into @to, which is at most what the header announces. */
static int unpack_all(struct unpack *u, int to, struct diag *d)
{
	struct image_header h = { .image_bytes = KERNEL_MAX };
	uint8_t chunk[CHUNK_BYTES];
	uint64_t at = 0, got;
	int err;

	do {
		if ((err = unpack_read(u, chunk, sizeof(chunk), &got, d)) ||
		    (!at && (err = image_parse(&h, chunk, got, d))))
			return err;
		if (at + got > MIN(h.image_bytes, KERNEL_MAX))
			return diag_fail(d, EINVAL,
					 "holds more than the %" PRIu64
					 " bytes that its header announces, or "
					 "than %" PRIu64,
					 h.image_bytes, KERNEL_MAX);
		err = file_write_at(to, at, chunk, got);
		at += got;
	} while (!err && got == sizeof(chunk));
	return err ? diag_errno(d, -err, "cannot be unpacked") : 0;
}

/* @packed, which is @bytes long: the unpacked one's descriptor or -errno */
static int unpack_kernel(int packed, uint64_t bytes, struct diag *d)
{
	int fd = memfd_create("kernel", MFD_CLOEXEC), err;
	struct unpack *u;

	if (fd < 0)
		return diag_errno(d, errno, "cannot be unpacked");
	err = unpack_new(&u, packed, 0, bytes, UNPACK_GZIP, d);
	if (!err) {
		err = unpack_all(u, fd, d);
		unpack_free(u);
	}
	if (err)
		close(fd);
	return err ? err : fd;
}

static bool begins_with(int fd, const char mark[2])
{
	uint8_t head[2];

	return file_read_at(fd, 0, head, sizeof(head)) == sizeof(head) &&
	       !memcmp(head, mark, sizeof(head));
}

int arm64_recognise(struct platform *p, struct arch_payload *load,
		    struct diag *d)
{
	uint64_t bytes;
	int fd;

	(void)p;
	if (load->kernel_fd < 0 ||
	    !begins_with(load->kernel_fd, ARM64_GZIP_MARK))
		return 0;
	fd = arm64_file_size(&bytes, load->kernel_fd, d);
	if (!fd)
		fd = unpack_kernel(load->kernel_fd, bytes, d);
	if (fd < 0)
		return diag_fail(d, -fd, "--kernel %s", load->kernel_name);
	close(load->kernel_fd);
	load->kernel_fd = fd;
	return 0;
}

/* Firmware starts EFI programs. */
static int check_kernel(const struct arch_payload *load, struct diag *d)
{
	if (load->kernel_fd < 0 || begins_with(load->kernel_fd, "MZ"))
		return 0;
	return diag_fail(d, ENOEXEC,
			 "--kernel %s: is not an EFI program, which firmware "
			 "could start: give an Image, Image.gz or EFI zboot",
			 load->kernel_name);
}

int arm64_firmware_load(struct arch_boot *boot, struct guest_ram *ram,
			const struct platform *p,
			const struct arch_payload *load, struct diag *d)
{
	struct firmware f = { 0 };
	int err = check_kernel(load, d);

	if (err)
		return err;
	if ((err = read_head(&f, load->firmware_fd, d)) ||
	    (err = recognise(&f, p, load, d)) ||
	    (err = load_file(&f, p, load, d)) || (err = write_dtb(ram, p, d)))
		return diag_fail(d, -err, "--firmware %s", load->firmware_name);
	*boot = (struct arch_boot){ .entry = GPA(p->rom.base),
				    .arg = GPA(p->ram[0].base) };
	return 0;
}
