/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: x86_64: what people give as a kernel or as firmware by mistake
 *
 * Recognised by marks at fixed places, only to be named in a message; those of
 * firmware are in arch/firmware-marks.h.
 */
#include "arch/firmware-marks.h"
#include "arch/x86_64/boot.h"
#include "arch/x86_64/pc-firmware.h"

/* Marks that speak for themselves. */
static const char *by_mark(const struct x86_image *img)
{
	static const struct {
		unsigned at, bytes;
		const char *mark;
		const char *is;
	} known[] = {
		{ 56, 4, "ARM\x64", "an arm64 kernel" },
		{ 4, 4, "zimg", "a kernel packed for EFI firmware" },
		{ 0, 2, "\x1f\x8b", "compressed by gzip: unpack it first" },
		{ 0, 4, "\x28\xb5\x2f\xfd",
		  "compressed by zstd: unpack it first" },
		{ 0, 5,
		  "\xfd"
		  "7zXZ",
		  "compressed by xz: unpack it first" },
		{ 0, 3, "BZh", "compressed by bzip2: unpack it first" },
		{ 0, 4, "\x02\x21\x4c\x18",
		  "compressed by lz4: unpack it first" },
		{ 0, 4, "QFI\xfb", "a qcow2 disk image" },
		{ 512, 8, "EFI PART", "a disk image" },
		{ 0, 5, "07070", "a cpio archive (an initramfs?)" },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(known); i++)
		if (firmware_mark_at(img->head, img->head_bytes, known[i].at,
				     known[i].mark, known[i].bytes))
			return known[i].is;
	return NULL;
}

static const char *by_volume(const struct x86_image *img)
{
	const uint8_t *head = img->head;
	size_t len = img->head_bytes;

	if (firmware_volume_at(head, len, FIRMWARE_ARM64_VOLUME))
		return "UEFI firmware for arm64 (AAVMF)";
	if (!firmware_volume_at(head, len, 0))
		return NULL;
	if (x86_is_pc_firmware(img))
		return "UEFI firmware for QEMU's PC (OVMF)";
	if (firmware_is_variables(head, len))
		return "a store of UEFI variables without firmware";
	return "UEFI firmware that is cut off, or a part of it";
}

const char *x86_image_known(const struct x86_image *img)
{
	const char *is = by_mark(img);

	if (!is)
		is = by_volume(img);
	if (!is && firmware_is_arm64_uboot(img->head, img->head_bytes))
		is = "firmware for arm64 (U-Boot?)";
	return is;
}
