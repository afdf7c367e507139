/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: x86_64: UEFI firmware that is made for a PC, see pc-firmware.h
 *
 * Files are hostile: their sizes are all that is used, and that the volumes
 * fill the file, so that one that is cut off is refused.
 */
#include "arch/x86_64/pc-firmware.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "arch/firmware-marks.h"
#include "arch/layout.h"
#include "vmm/base/bytes.h"

#define RESET_VECTOR 16
#define FV_HEAD	     0x30
#define FV_LENGTH    0x20 /* PI 1.8 vol. 3 sec. 3.2.1 */
#define FV_MAX	     8
#define PAGE_BYTES   KIB(4)

/* The last 16 bytes, unless they are what erased flash or a hole reads as. */
static bool has_reset_vector(const struct x86_image *img)
{
	static const uint8_t erased[RESET_VECTOR] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	};
	uint8_t end[RESET_VECTOR];

	return img->size_bytes >= sizeof(end) &&
	       !x86_image_read(img, img->size_bytes - sizeof(end), end,
			       sizeof(end), NULL) &&
	       memcmp(end, erased, sizeof(end)) != 0 &&
	       memcmp(end, (uint8_t[RESET_VECTOR]){ 0 }, sizeof(end)) != 0;
}

bool x86_is_pc_firmware(const struct x86_image *img)
{
	return firmware_volume_at(img->head, img->head_bytes, 0) &&
	       has_reset_vector(img);
}

/* Volumes follow each other up to the end of the file. */
static int check_volumes(const struct x86_image *img, struct diag *d)
{
	uint64_t at = 0;

	for (unsigned i = 0; i < FV_MAX && at < img->size_bytes; i++) {
		uint8_t head[FV_HEAD];
		uint64_t len = 0;
		int err = x86_image_read(img, at, head, sizeof(head), d);

		if (err)
			return err;
		if (firmware_volume_at(head, sizeof(head), 0))
			len = get_le64(head + FV_LENGTH);
		if (!len || !range_within(at, len, 0, img->size_bytes))
			break;
		at += len;
	}
	if (at == img->size_bytes)
		return 0;
	return diag_fail(d, EINVAL,
			 "%s %s: is UEFI firmware for QEMU's PC (OVMF), but "
			 "damaged or cut off behind byte %" PRIu64,
			 img->option, img->name, at);
}

static int check_size(const struct x86_image *img, struct diag *d)
{
	if (img->size_bytes > X86_PC_FIRMWARE_MAX)
		return diag_fail(d, E2BIG,
				 "%s %s: has %" PRIu64
				 " bytes: at most %" PRIu64,
				 img->option, img->name, img->size_bytes,
				 X86_PC_FIRMWARE_MAX);
	if (img->size_bytes % PAGE_BYTES)
		return diag_fail(d, EINVAL,
				 "%s %s: has %" PRIu64 " bytes, which is not a "
				 "multiple of 4096",
				 img->option, img->name, img->size_bytes);
	return 0;
}

static uint64_t power_of_two_up(uint64_t n)
{
	return is_pow2(n) ? n : UINT64_C(2) << (63 - __builtin_clzll(n));
}

int x86_pc_recognise(struct platform *p, struct arch_payload *load,
		     struct diag *d)
{
	uint64_t bytes, all;
	struct x86_image img;
	int err = x86_image_open(&img, load->firmware_fd, "--firmware",
				 load->firmware_name, d);

	if (err)
		return err;
	if (!x86_is_pc_firmware(&img))
		return 0;
	if ((err = check_size(&img, d)) || (err = check_volumes(&img, d)))
		return err;
	bytes = img.size_bytes;
	all = power_of_two_up(bytes);
	p->q35 = true;
	p->rom = layout_mmio(GIB(4) - bytes, bytes);
	p->flash = layout_mmio(GIB(4) - all, all - bytes);
	return 0;
}

int x86_pc_load(const struct x86_image *img, const struct platform *p,
		const struct arch_payload *load, struct diag *d)
{
	if (!load->fw_cfg)
		return diag_fail(d, EINVAL,
				 "%s %s: is OVMF, which learns of memory and "
				 "ACPI by fw_cfg only: leave out "
				 "--fw-cfg-config disable",
				 img->option, img->name);
	if (img->size_bytes != p->rom.size_bytes)
		return diag_fail(d, EINVAL,
				 "%s %s: changed while the machine was made",
				 img->option, img->name);
	return x86_image_copy(img, 0, load->rom, p->rom.base, img->size_bytes,
			      d);
}
