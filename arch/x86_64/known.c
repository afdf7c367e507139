/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: x86_64: what people give as a kernel or as firmware by mistake
 *
 * Recognised by marks at fixed places, only to be named in a message. UEFI
 * firmware begins with a firmware volume, which has "_FVH" at 0x28 (PI 1.8
 * vol. 3 sec. 3.2.1); that for Arm begins with a branch, and its volume 4 KiB
 * later. A volume whose file system is EFI_SYSTEM_NV_DATA_FV_GUID holds
 * variables. The x86 reset vector is the last 16 bytes of an image, and is
 * there if they are not what erased flash reads as.
 */
#include <string.h>

#include "arch/x86_64/boot.h"
#include "vmm/base/bytes.h"

#define FV_MARK	      0x28
#define FV_GUID	      0x10
#define ARM_FV	      0x1000
#define ARM_NOP	      0xd503201f
#define RESET_VECTOR  16
#define OPCODE_BRANCH 5 /* bits 31:26 of "b", Arm ARM C6.2.26 */

static bool has(const struct x86_image *img, unsigned at, const char *mark,
		unsigned bytes)
{
	return at + bytes <= img->head_bytes &&
	       !memcmp(img->head + at, mark, bytes);
}

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
		{ ARM_FV + FV_MARK, 4, "_FVH",
		  "UEFI firmware for arm64 (AAVMF)" },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(known); i++)
		if (has(img, known[i].at, known[i].mark, known[i].bytes))
			return known[i].is;
	return NULL;
}

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

static const char *by_volume(const struct x86_image *img)
{
	static const char variables[] = "\x8d\x2b\xf1\xff\x96\x76\x8b\x4c"
					"\xa9\x85\x27\x47\x07\x5b\x4f\x50";

	if (!has(img, FV_MARK, "_FVH", 4))
		return NULL;
	if (has_reset_vector(img))
		return "UEFI firmware for QEMU's PC (OVMF), which needs "
		       "devices that are not there";
	if (has(img, FV_GUID, variables, sizeof(variables) - 1))
		return "a store of UEFI variables without firmware";
	return "a part of UEFI firmware";
}

/* U-Boot begins with a branch over its header, and a nop. */
static bool is_arm64_code(const struct x86_image *img)
{
	return img->head_bytes >= 8 &&
	       get_le32(img->head) >> 26 == OPCODE_BRANCH &&
	       get_le32(img->head + 4) == ARM_NOP;
}

const char *x86_image_known(const struct x86_image *img)
{
	const char *is = by_mark(img);

	if (!is)
		is = by_volume(img);
	if (!is && is_arm64_code(img))
		is = "firmware for arm64 (U-Boot?)";
	return is;
}
