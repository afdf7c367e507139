/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: arm64: gzip and Zstandard streams from a file, see unpack.h
 *
 * One loop serves both formats: refill the input buffer, let the format's step
 * turn input into output, stop when the output is full or the stream ends.
 * Plain files are read straight to where they go.
 * Not implemented: several gzip members in a row; the first one counts.
 */
#include "arch/arm64/unpack.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "vmm/base/file.h"

#define BUFFER_BYTES	KIB(64)
#define ZSTD_WINDOW_LOG 27     /* zstd -22, what the kernel's build uses */
#define STEP_MAX	GIB(1) /* zlib counts in 32 bits */

struct unpack;

/**
 * struct format - how one format is unpacked; no hooks: it is plain
 * @step: consume input, produce at most @capacity bytes at @dst; sets u->done
 */
struct format {
	int (*start)(struct unpack *u);
	int (*step)(struct unpack *u, uint8_t *dst, size_t capacity,
		    size_t *got, struct diag *d);
	void (*stop)(struct unpack *u);
};

/**
 * struct unpack
 * @at, @end: part of the file that was not read yet
 * @in, @in_len: unused input inside @buffer
 * @done: the stream has ended
 */
struct unpack {
	const struct format *format;
	int fd;
	uint64_t at, end;
	uint8_t *in;
	size_t in_len;
	bool done;
	z_stream z;
	ZSTD_DStream *zstd;
	uint8_t buffer[BUFFER_BYTES];
};

static int gzip_start(struct unpack *u)
{
	return inflateInit2(&u->z, 16 + MAX_WBITS) == Z_OK ? 0 : -ENOMEM;
}

static int gzip_step(struct unpack *u, uint8_t *dst, size_t capacity,
		     size_t *got, struct diag *d)
{
	z_stream *z = &u->z;
	int rc;

	z->next_in = u->in;
	z->avail_in = (uInt)u->in_len;
	z->next_out = dst;
	z->avail_out = (uInt)capacity;
	rc = inflate(z, Z_NO_FLUSH);
	u->in = z->next_in;
	u->in_len = z->avail_in;
	*got = capacity - z->avail_out;
	u->done = rc == Z_STREAM_END;
	if (rc == Z_OK || rc == Z_STREAM_END || rc == Z_BUF_ERROR)
		return 0;
	if (rc == Z_MEM_ERROR)
		return diag_fail(d, ENOMEM, "no memory to unpack it");
	return diag_fail(d, EINVAL, "its gzip data are damaged (%s)",
			 z->msg ? z->msg : "bad stream");
}

static void gzip_stop(struct unpack *u)
{
	inflateEnd(&u->z);
}

static int zstd_start(struct unpack *u)
{
	u->zstd = ZSTD_createDStream();
	if (!u->zstd)
		return -ENOMEM;
	ZSTD_DCtx_setParameter(u->zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG);
	return 0;
}

static int zstd_step(struct unpack *u, uint8_t *dst, size_t capacity,
		     size_t *got, struct diag *d)
{
	ZSTD_inBuffer in = { u->in, u->in_len, 0 };
	ZSTD_outBuffer out = { .size = capacity };
	size_t rc;

	out.dst = dst;
	rc = ZSTD_decompressStream(u->zstd, &out, &in);
	u->in += in.pos;
	u->in_len -= in.pos;
	*got = out.pos;
	if (ZSTD_isError(rc))
		return diag_fail(d, EINVAL, "its zstd data are damaged (%s)",
				 ZSTD_getErrorName(rc));
	u->done = rc == 0;
	return 0;
}

static void zstd_stop(struct unpack *u)
{
	ZSTD_freeDStream(u->zstd);
}

static const struct format formats[] = {
	[UNPACK_PLAIN] = { NULL, NULL, NULL },
	[UNPACK_GZIP] = { gzip_start, gzip_step, gzip_stop },
	[UNPACK_ZSTD] = { zstd_start, zstd_step, zstd_stop },
};

int unpack_new(struct unpack **out, int fd, uint64_t at, uint64_t size_bytes,
	       enum unpack_format format, struct diag *d)
{
	struct unpack *u = calloc(1, sizeof(*u));

	if (!u)
		return diag_fail(d, ENOMEM, "no memory to unpack it");
	u->format = &formats[format];
	u->fd = fd;
	u->at = at;
	u->end = at + size_bytes;
	if (u->format->start && u->format->start(u)) {
		free(u);
		return diag_fail(d, ENOMEM, "no memory to unpack it");
	}
	*out = u;
	return 0;
}

void unpack_free(struct unpack *u)
{
	if (u && u->format->stop)
		u->format->stop(u);
	free(u);
}

/* Up to @capacity bytes of the packed part; 0: it has ended. */
static ssize_t read_packed(struct unpack *u, void *dst, uint64_t capacity,
			   struct diag *d)
{
	size_t want = MIN(MIN(capacity, u->end - u->at), STEP_MAX);
	ssize_t n = file_read_at(u->fd, u->at, dst, want);

	if (n < 0)
		return diag_errno(d, (int)-n, "cannot be read");
	u->at += (uint64_t)n;
	if (!n && want)
		return diag_fail(d, EIO, "became shorter while it was read");
	return n;
}

static int refill(struct unpack *u, struct diag *d)
{
	ssize_t n = read_packed(u, u->buffer, sizeof(u->buffer), d);

	if (n < 0)
		return (int)n;
	u->in = u->buffer;
	u->in_len = (size_t)n;
	return 0;
}

/* Plain data need no buffer of ours. */
static int read_plain(struct unpack *u, uint8_t *dst, uint64_t capacity,
		      uint64_t *got, struct diag *d)
{
	uint64_t done = 0;

	while (done < capacity && u->at < u->end) {
		ssize_t n = read_packed(u, dst + done, capacity - done, d);

		if (n < 0)
			return (int)n;
		done += (uint64_t)n;
	}
	*got = done;
	return 0;
}

int unpack_read(struct unpack *u, void *dst, uint64_t capacity, uint64_t *got,
		struct diag *d)
{
	uint8_t *to = dst;
	uint64_t done = 0;

	if (!u->format->step)
		return read_plain(u, dst, capacity, got, d);
	while (done < capacity && !u->done) {
		int err = u->in_len ? 0 : refill(u, d);
		size_t before = u->in_len, n;

		if (!err)
			err = u->format->step(u, to + done,
					      MIN(capacity - done, STEP_MAX),
					      &n, d);
		if (err)
			return err;
		done += n;
		if (!n && !u->done && u->in_len == before)
			return diag_fail(d, EINVAL,
					 "is truncated: its "
					 "compressed data end "
					 "early");
	}
	*got = done;
	return 0;
}
