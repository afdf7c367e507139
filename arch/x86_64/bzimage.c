/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: bzImage: Linux's own format, entered in long mode
 *
 * Documentation/arch/x86/boot.rst (protocol 2.12 to 2.15), zero-page.rst. The
 * file is a real-mode setup part, of which only the header is used, and the
 * kernel proper: a program that unpacks Linux. It is copied to the address
 * that the header prefers and entered at offset 0x200 with the first 4 GiB
 * mapped to themselves.
 *
 * A relocatable kernel could be loaded elsewhere, but that gains nothing: its
 * unpacker never unpacks below the preferred address (head_64.S,
 * LOAD_PHYSICAL_ADDR), and above it there is less room, not more.
 *
 * Every number of the header is hostile. Not implemented: the 16-bit and
 * 32-bit entries, kernels before 3.8, EFI handover, setup_data.
 */
#include "arch/x86_64/bzimage.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "arch/x86_64/layout.h"
#include "vmm/base/bytes.h"

/* Offsets in the file and in boot_params alike (boot.rst, zero-page.rst). */
enum {
	BP_RSDP = 0x070,
	BP_EXT_RAMDISK_IMAGE = 0x0c0,
	BP_EXT_RAMDISK_SIZE = 0x0c4,
	BP_EXT_CMDLINE = 0x0c8,
	BP_E820_COUNT = 0x1e8,
	HDR = 0x1f1,
	HDR_SETUP_SECTS = 0x1f1,
	HDR_SYSSIZE = 0x1f4, /* in units of 16 bytes */
	HDR_VID_MODE = 0x1fa,
	HDR_BOOT_FLAG = 0x1fe,
	HDR_JUMP = 0x201, /* the header ends that far behind 0x202 */
	HDR_MAGIC = 0x202,
	HDR_VERSION = 0x206,
	HDR_LOADER = 0x210,
	HDR_CODE32_START = 0x214,
	HDR_RAMDISK_IMAGE = 0x218,
	HDR_RAMDISK_SIZE = 0x21c,
	HDR_CMDLINE = 0x228,
	HDR_INITRD_ADDR_MAX = 0x22c,
	HDR_XLOADFLAGS = 0x236,
	HDR_CMDLINE_SIZE = 0x238,
	HDR_SETUP_DATA = 0x250,
	HDR_PREF_ADDRESS = 0x258,
	HDR_INIT_SIZE = 0x260,
	HDR_NEEDED = 0x264, /* what protocol 2.12 has at least */
	HDR_END_MAX = 0x290,
	BP_E820 = 0x2d0,
	BP_SIZE = 0x1000,
};

#define VERSION_MIN	0x020c
#define XLF_KERNEL_64	0x1
#define XLF_ABOVE_4G	0x2
#define ENTRY_64	0x200
#define LOADER_UNKNOWN	0xff
#define VID_MODE_NORMAL 0xffff

bool x86_bzimage_is(const struct x86_image *img)
{
	return img->head_bytes >= HDR_MAGIC + 4 &&
	       get_le16(img->head + HDR_BOOT_FLAG) == 0xaa55 &&
	       !memcmp(img->head + HDR_MAGIC, "HdrS", 4);
}

static int check_version(const struct x86_image *img, struct diag *d)
{
	unsigned version = get_le16(img->head + HDR_VERSION);

	if (img->head_bytes < HDR_NEEDED)
		return diag_fail(d, EINVAL,
				 "%s %s: truncated: it ends inside its header, "
				 "after %zu bytes",
				 img->option, img->name, img->head_bytes);
	if (version < VERSION_MIN)
		return diag_fail(d, ENOEXEC,
				 "%s %s: speaks boot protocol %u.%02u, needed "
				 "is 2.12 (Linux 3.8) or newer",
				 img->option, img->name, version >> 8,
				 version & 0xff);
	if (!(get_le16(img->head + HDR_XLOADFLAGS) & XLF_KERNEL_64))
		return diag_fail(d, ENOEXEC,
				 "%s %s: is a 32-bit kernel, this machine runs "
				 "64-bit ones",
				 img->option, img->name);
	return 0;
}

/* Keep the setup header for boot_params. */
static int keep_header(struct x86_kernel *k, const struct x86_image *img,
		       struct diag *d)
{
	size_t end = HDR_MAGIC + (size_t)img->head[HDR_JUMP];

	if (end < HDR_NEEDED)
		return diag_fail(d, EINVAL,
				 "%s %s: malformed: its header ends at offset "
				 "0x%zx, before 0x%x",
				 img->option, img->name, end, HDR_NEEDED);
	end = MIN(end, (size_t)HDR_END_MAX);
	if (end > img->head_bytes)
		return diag_fail(d, EINVAL,
				 "%s %s: truncated: it ends inside its header, "
				 "after %zu bytes",
				 img->option, img->name, img->head_bytes);
	k->header_bytes = end - HDR;
	memcpy(k->header, img->head + HDR, k->header_bytes);
	return 0;
}

/* 0 means 4, for kernels of the 20th century */
static uint32_t setup_bytes(const struct x86_image *img)
{
	unsigned sectors = img->head[HDR_SETUP_SECTS];

	return ((sectors ? sectors : 4) + 1) * 512;
}

uint32_t x86_bzimage_setup_bytes(const struct x86_image *img)
{
	return (uint32_t)MIN(setup_bytes(img), img->size_bytes);
}

/* Where the kernel proper is: in the file and in the guest. */
struct payload {
	uint64_t at, bytes;
	uint64_t gpa, room; /* it uses @room bytes while it unpacks itself */
};

static int find_payload(struct payload *pl, const struct x86_image *img,
			struct diag *d)
{
	uint64_t end;

	pl->at = setup_bytes(img);
	pl->bytes = get_le32(img->head + HDR_SYSSIZE) * UINT64_C(16);
	pl->gpa = get_le64(img->head + HDR_PREF_ADDRESS);
	pl->room = get_le32(img->head + HDR_INIT_SIZE);
	pl->room = MAX(pl->room, pl->bytes);
	if (pl->bytes <= ENTRY_64)
		return diag_fail(
			d, EINVAL,
			"%s %s: malformed: its header promises %" PRIu64
			" bytes of kernel, too few for an entry point",
			img->option, img->name, pl->bytes);
	end = pl->at + pl->bytes;
	if (end > img->size_bytes)
		return diag_fail(
			d, EINVAL,
			"%s %s: truncated: its header promises %" PRIu64
			" bytes, the file has %" PRIu64,
			img->option, img->name, end, img->size_bytes);
	if (pl->gpa < X86_KERNEL_MIN)
		return diag_fail(d, EINVAL,
				 "%s %s: malformed: wants to be at 0x%" PRIx64
				 ", below 1 MiB",
				 img->option, img->name, pl->gpa);
	return 0;
}

int x86_bzimage_load(struct x86_kernel *k, const struct x86_image *img,
		     const struct guest_ram *ram, struct diag *d)
{
	uint64_t low = x86_low_ram(ram), end = UINT64_MAX;
	struct payload pl;
	int err;

	if ((err = check_version(img, d)) || (err = keep_header(k, img, d)) ||
	    (err = find_payload(&pl, img, d)))
		return err;
	if (!add_u64(pl.gpa, pl.room, &end) || end > low)
		return x86_image_too_big(img, end, low, d);
	err = x86_image_copy(img, pl.at, ram, pl.gpa, pl.bytes, d);
	if (err)
		return err;
	k->protocol = X86_LINUX64;
	k->entry = pl.gpa + ENTRY_64;
	k->end = end;
	k->initrd_end = get_le32(img->head + HDR_INITRD_ADDR_MAX) + UINT64_C(1);
	k->initrd_high = get_le16(img->head + HDR_XLOADFLAGS) & XLF_ABOVE_4G;
	k->cmdline_max = get_le32(img->head + HDR_CMDLINE_SIZE);
	return 0;
}

static void put_split(uint8_t *page, unsigned low, unsigned high, uint64_t v)
{
	put_le32(page + low, (uint32_t)v);
	put_le32(page + high, (uint32_t)(v >> 32));
}

static void put_e820(uint8_t *page, const struct x86_e820 *map)
{
	uint8_t *at = page + BP_E820;

	static_assert(BP_E820 + X86_E820_MAX * 20 <= BP_SIZE,
		      "zero-page.rst: e820_table");
	for (unsigned i = 0; i < map->count; i++, at += 20) {
		put_le64(at, map->entry[i].base);
		put_le64(at + 8, map->entry[i].size_bytes);
		put_le32(at + 16, map->entry[i].type);
	}
	page[BP_E820_COUNT] = (uint8_t)map->count;
}

static void fill_zero_page(uint8_t *page, const struct x86_kernel *k,
			   const struct x86_handoff *h)
{
	memcpy(page + HDR, k->header, k->header_bytes);
	page[HDR_LOADER] = LOADER_UNKNOWN;
	put_le16(page + HDR_VID_MODE, VID_MODE_NORMAL);
	put_le32(page + HDR_CODE32_START, (uint32_t)(k->entry - ENTRY_64));
	put_le64(page + HDR_SETUP_DATA, 0);
	put_le64(page + BP_RSDP, h->rsdp);
	put_split(page, HDR_CMDLINE, BP_EXT_CMDLINE, X86_CMDLINE_GPA);
	put_split(page, HDR_RAMDISK_IMAGE, BP_EXT_RAMDISK_IMAGE, h->initrd);
	put_split(page, HDR_RAMDISK_SIZE, BP_EXT_RAMDISK_SIZE, h->initrd_bytes);
	put_e820(page, &h->map);
}

/* Identity map of 4 GiB in 2 MiB pages (SDM vol. 3 sec. 4.5). */
static bool put_page_tables(const struct guest_ram *ram)
{
	enum { TABLE = 3, PAGE = 0x83 }; /* present, writable, size */
	uint8_t *at = ram_pin(ram, GPA(X86_PAGE_TABLES_GPA), 6 * KIB(4));
	uint64_t dirs = X86_PAGE_TABLES_GPA + 2 * KIB(4);

	if (!at)
		return false;
	put_le64(at, (X86_PAGE_TABLES_GPA + KIB(4)) | TABLE);
	for (uint64_t i = 0; i < 4; i++)
		put_le64(at + KIB(4) + i * 8, (dirs + i * KIB(4)) | TABLE);
	for (uint64_t i = 0; i < UINT64_C(4) * 512; i++)
		put_le64(at + 2 * KIB(4) + i * 8, i * MIB(2) | PAGE);
	return true;
}

int x86_bzimage_handoff(const struct x86_kernel *k, const struct x86_handoff *h,
			const struct guest_ram *ram, struct diag *d)
{
	uint8_t page[BP_SIZE] = { 0 };

	fill_zero_page(page, k, h);
	if (!ram_write(ram, GPA(X86_ZERO_PAGE_GPA), page, sizeof(page)) ||
	    !put_page_tables(ram))
		return diag_fail(d, E2BIG, "no RAM for the start data");
	return 0;
}
