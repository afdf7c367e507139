/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: compressed clusters of qcow2 (sec. "Compressed Clusters Descriptor")
 *
 * zlib: raw deflate with a window of 4 KiB (windowBits -12), as QEMU writes
 * it. zstd: one frame. The length in the L2 entry is rounded up to sectors, so
 * what follows the stream is ignored. A stream that ends before the cluster is
 * full is damaged. Nothing is compressed here: written clusters are plain.
 */
#include <errno.h>
#include <string.h>
#define ZLIB_CONST /* input is const */
#include <zlib.h>
#include <zstd.h>

#include "devices/block/qcow2-impl.h"

#define QEMU_WINDOW_BITS (-12)
/* 8 MiB, a frame with a larger window than any cluster needs is hostile. */
#define ZSTD_WINDOW_BITS_MAX 23

static int unpack_zlib(const uint8_t *in, size_t in_bytes, uint8_t *out,
		       size_t out_bytes)
{
	z_stream z;
	int ret;

	memset(&z, 0, sizeof(z));
	if (inflateInit2(&z, QEMU_WINDOW_BITS) != Z_OK)
		return -ENOMEM;
	z.next_in = in;
	z.avail_in = (uInt)in_bytes;
	z.next_out = out;
	z.avail_out = (uInt)out_bytes;
	ret = inflate(&z, Z_FINISH);
	inflateEnd(&z);
	/* Z_BUF_ERROR: full, before the end of the stream was seen. */
	if ((ret == Z_STREAM_END || ret == Z_BUF_ERROR) && !z.avail_out)
		return 0;
	return -EIO;
}

static int unpack_zstd(const uint8_t *in, size_t in_bytes, uint8_t *out,
		       size_t out_bytes)
{
	ZSTD_inBuffer i = { in, in_bytes, 0 };
	ZSTD_outBuffer o = { .size = out_bytes };
	ZSTD_DStream *z = ZSTD_createDStream();
	size_t before, ret = 1;

	if (!z)
		return -ENOMEM;
	o.dst = out;
	ZSTD_DCtx_setParameter(z, ZSTD_d_windowLogMax, ZSTD_WINDOW_BITS_MAX);
	do {
		before = i.pos + o.pos;
		ret = ZSTD_decompressStream(z, &o, &i);
	} while (!ZSTD_isError(ret) && ret && o.pos < o.size &&
		 i.pos + o.pos > before);
	ZSTD_freeDStream(z);
	return ZSTD_isError(ret) || o.pos < o.size ? -EIO : 0;
}

int qcow2_unpack(unsigned compression, const uint8_t *in, size_t in_bytes,
		 uint8_t *out, size_t out_bytes)
{
	return compression ? unpack_zstd(in, in_bytes, out, out_bytes)
			   : unpack_zlib(in, in_bytes, out, out_bytes);
}
