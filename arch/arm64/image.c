/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: arm64: headers of kernel files, see image.h
 *
 * Follows Documentation/arch/arm64/booting.rst (Image), the header that the
 * kernel's EFI zboot wrapper carries (drivers/firmware/efi/libstub,
 * zboot-header.S), RFC 1952 (gzip) and the PE/COFF specification.
 *
 * Not implemented: kernels before 3.17, which do not say how much memory they
 * need; zboot with other methods than gzip and zstd.
 */
#include "arch/arm64/image.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "arch/firmware-marks.h"
#include "vmm/base/bytes.h"

#define IMAGE_MAGIC_AT	 56
#define IMAGE_PE_AT	 60
#define IMAGE_FLAG_BE	 1
#define ZBOOT_FIXED	 64 /* its fixed part ends with the PE offset */
#define ELF_MACHINE_AT	 18
#define PE_MACHINE_ARM64 0xaa64

/**
 * struct foreign - files that do not boot here, by their magic
 * @says: what to tell the user
 */
struct foreign {
	size_t at;
	const char *magic;
	size_t len;
	int err;
	const char *says;
};

#define MAGIC(at, m) at, m, sizeof(m) - 1

static const struct foreign foreign[] = {
	{ MAGIC(0x202, "HdrS"), ENOEXEC,
	  "is an x86_64 kernel, and this machine is arm64" },
	{ MAGIC(ELF_MACHINE_AT, "\x3e\x00"), ENOEXEC,
	  "is an x86_64 kernel, and this machine is arm64" },
	{ MAGIC(ELF_MACHINE_AT, "\xb7\x00"), ENOEXEC,
	  "is an ELF file (vmlinux?): arm64 boots arch/arm64/boot/Image" },
	{ MAGIC(0, "\177ELF"), ENOEXEC,
	  "is an ELF file for another architecture than arm64" },
	{ MAGIC(0, "\xfd"
		   "7zXZ\0"),
	  EINVAL,
	  "is compressed with xz: unpack it first (only gzip is known)" },
	{ MAGIC(0, "\x28\xb5\x2f\xfd"), EINVAL,
	  "is compressed with zstd: unpack it first (only gzip is known)" },
	{ MAGIC(0, "BZh"), EINVAL,
	  "is compressed with bzip2: unpack it first (only gzip is known)" },
	{ MAGIC(0, "\x02\x21\x4c\x18"), EINVAL,
	  "is compressed with lz4: unpack it first (only gzip is known)" },
	{ MAGIC(0, "\xd0\x0d\xfe\xed"), ENOEXEC,
	  "is a device tree or FIT image, not a kernel Image" },
};

/* Machine numbers count only behind an ELF magic. */
static bool is_foreign(const struct foreign *f, const uint8_t *head, size_t len)
{
	if (f->at == ELF_MACHINE_AT &&
	    !firmware_mark_at(head, len, 0, "\177ELF", 4))
		return false;
	return firmware_mark_at(head, len, f->at, f->magic, f->len);
}

static int refuse(const uint8_t *head, size_t len, uint64_t file_bytes,
		  struct diag *d)
{
	for (unsigned i = 0; i < ARRAY_SIZE(foreign); i++)
		if (is_foreign(&foreign[i], head, len))
			return diag_fail(d, foreign[i].err, "%s",
					 foreign[i].says);
	if (len < ARM64_IMAGE_HEADER_BYTES)
		return diag_fail(d, ENOEXEC,
				 "is no kernel: %" PRIu64 " bytes are less "
				 "than a header",
				 file_bytes);
	return diag_fail(d, ENOEXEC,
			 "is no arm64 kernel: it has neither an Image, gzip "
			 "nor EFI zboot header");
}

static int zboot_format(enum unpack_format *out, const uint8_t *head,
			size_t len, struct diag *d)
{
	char name[9] = "";

	memcpy(name, head + 24, MIN(len - 24, sizeof(name) - 1));
	if (!strcmp(name, "gzip")) {
		*out = UNPACK_GZIP;
	} else if (!strcmp(name, "zstd")) {
		*out = UNPACK_ZSTD;
	} else {
		for (char *c = name; *c; c++)
			if (*c < ' ' || *c > '~')
				*c = '?';
		return diag_fail(d, EINVAL,
				 "is an EFI zboot kernel packed with '%s': "
				 "only gzip and zstd are known",
				 name);
	}
	return 0;
}

static int recognise_zboot(struct image_packing *out, const uint8_t *head,
			   size_t len, uint64_t file_bytes, struct diag *d)
{
	struct image_packing z;
	int err;

	if (len < ZBOOT_FIXED)
		return diag_fail(d, EINVAL,
				 "is truncated inside its EFI zboot header");
	err = zboot_format(&z.format, head, len, d);
	if (err)
		return err;
	z.at = get_le32(head + 8);
	z.size_bytes = get_le32(head + 12);
	if (z.at < ZBOOT_FIXED)
		return diag_fail(d, EINVAL,
				 "its EFI zboot header is damaged: the payload "
				 "starts at byte %" PRIu64,
				 z.at);
	if (!range_within(z.at, z.size_bytes, 0, file_bytes))
		return diag_fail(d, EINVAL,
				 "is truncated: it has %" PRIu64 " bytes, but "
				 "its EFI zboot header announces %" PRIu64,
				 file_bytes, z.at + z.size_bytes);
	*out = z;
	return 0;
}

int image_recognise(struct image_packing *out, const uint8_t *head,
		    size_t head_len, uint64_t file_bytes, struct diag *d)
{
	if (!file_bytes)
		return diag_fail(d, ENOEXEC, "is empty");
	if (firmware_mark_at(head, head_len, 0, ARM64_GZIP_MARK, 2)) {
		*out = (struct image_packing){ UNPACK_GZIP, 0, file_bytes };
		return 0;
	}
	if (firmware_mark_at(head, head_len, 0, "MZ", 2) &&
	    firmware_mark_at(head, head_len, 4, "zimg", 4))
		return recognise_zboot(out, head, head_len, file_bytes, d);
	if (firmware_mark_at(head, head_len, IMAGE_MAGIC_AT, "ARM\x64", 4)) {
		*out = (struct image_packing){ UNPACK_PLAIN, 0, file_bytes };
		return 0;
	}
	return refuse(head, head_len, file_bytes, d);
}

int image_parse(struct image_header *out, const uint8_t *head, size_t len,
		struct diag *d)
{
	struct image_header h;

	if (len < ARM64_IMAGE_HEADER_BYTES)
		return diag_fail(d, EINVAL,
				 "is truncated inside its Image header");
	if (!firmware_mark_at(head, len, IMAGE_MAGIC_AT, "ARM\x64", 4))
		return refuse(head, len, len, d);
	h.text_offset = get_le64(head + 8);
	h.image_bytes = get_le64(head + 16);
	if (get_le64(head + 24) & IMAGE_FLAG_BE)
		return diag_fail(d, EINVAL,
				 "is a big-endian kernel: only little-endian "
				 "ones can boot");
	if (!h.image_bytes)
		return diag_fail(d, EINVAL,
				 "its header does not say how much memory it "
				 "needs: kernels before 3.17 cannot boot");
	if (h.text_offset % KIB(4) || h.text_offset >= MIB(2))
		return diag_fail(
			d, EINVAL,
			"its header is damaged: text_offset is %#" PRIx64
			", must be a multiple of 4096 below "
			"2 MiB",
			h.text_offset);
	*out = h;
	return 0;
}

static int cut_off(uint64_t len, uint64_t want, struct diag *d)
{
	return diag_fail(d, EINVAL,
			 "is truncated: its PE header announces %" PRIu64
			 " bytes, but there are %" PRIu64,
			 want, len);
}

int image_complete(const uint8_t *image, uint64_t len, struct diag *d)
{
	uint64_t pe, section, end;

	if (!firmware_mark_at(image, len, 0, "MZ", 2))
		return 0;
	pe = get_le32(image + IMAGE_PE_AT);
	if (!range_within(pe, 24, 0, len))
		return cut_off(len, pe + 24, d);
	if (memcmp(image + pe, "PE\0\0", 4) != 0 ||
	    get_le16(image + pe + 4) != PE_MACHINE_ARM64)
		return diag_fail(d, EINVAL, "its PE header is damaged");
	section = pe + 24 + get_le16(image + pe + 20);
	for (unsigned n = get_le16(image + pe + 6); n; n--, section += 40) {
		if (!range_within(section, 40, 0, len))
			return cut_off(len, section + 40, d);
		end = (uint64_t)get_le32(image + section + 16) +
		      get_le32(image + section + 20);
		if (end > len)
			return cut_off(len, end, d);
	}
	return 0;
}
