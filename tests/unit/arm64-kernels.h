/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: a made-up arm64 kernel, plain and packed, for tests */
#ifndef TESTS_UNIT_ARM64_KERNELS_H
#define TESTS_UNIT_ARM64_KERNELS_H

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "vmm/base/bytes.h"
#include "vmm/base/types.h"

#define IMAGE_BYTES	KIB(192) /* of the file */
#define IMAGE_MEM_BYTES KIB(300) /* what it announces */

struct file {
	uint8_t *data;
	size_t len;
};

static inline struct file new_file(size_t len)
{
	struct file f = { calloc(1, len ? len : 1), len };

	ck_assert_ptr_nonnull(f.data);
	return f;
}

/* An Image as Debian's: MZ, PE header with two sections, incompressible-ish
 * contents. */
static inline struct file make_image(void)
{
	struct file f = new_file(IMAGE_BYTES);
	uint32_t seed = 1;

	for (size_t i = 4096; i < f.len; i++) {
		seed = seed * 1664525 + 1013904223;
		f.data[i] = (uint8_t)(seed >> 24) & 0x3f;
	}
	memcpy(f.data, "MZ", 2);
	put_le64(f.data + 16, IMAGE_MEM_BYTES);
	put_le64(f.data + 24, 0xa);
	memcpy(f.data + 56, "ARM\x64", 4);
	put_le32(f.data + 60, 64);
	memcpy(f.data + 64, "PE\0\0\x64\xaa", 6);
	put_le16(f.data + 70, 2);
	put_le16(f.data + 84, 0xa0);
	/* .text, .data: raw size, raw place */
	put_le32(f.data + 64 + 24 + 0xa0 + 16, KIB(124));
	put_le32(f.data + 64 + 24 + 0xa0 + 20, KIB(4));
	put_le32(f.data + 64 + 24 + 0xa0 + 40 + 16, KIB(64));
	put_le32(f.data + 64 + 24 + 0xa0 + 40 + 20, KIB(128));
	return f;
}

/* Frees @in. */
static inline struct file pack_gzip(struct file in)
{
	struct file f = new_file(in.len + KIB(64));
	z_stream z = { .next_in = in.data, .avail_in = (uInt)in.len };

	ck_assert_int_eq(deflateInit2(&z, 1, Z_DEFLATED, 16 + MAX_WBITS, 8,
				      Z_DEFAULT_STRATEGY),
			 Z_OK);
	z.next_out = f.data;
	z.avail_out = (uInt)f.len;
	ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
	f.len = z.total_out;
	deflateEnd(&z);
	free(in.data);
	return f;
}

#endif
