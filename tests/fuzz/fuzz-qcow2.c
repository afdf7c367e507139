/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: fuzz qcow2 images and what is done with them
 *
 * Input: a byte of flags, a byte that says how many requests follow, 8 bytes
 * for each request, and the image. If flags & 1, every 512 bytes of it are the
 * beginning of a cluster of 64 KiB, so that small inputs make such images too.
 *
 * What is written must be read back, and an image that was not found damaged
 * must still be one when it is closed. Everything runs on this thread, without
 * queues and workers.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/check.h"
#include "vmm/base/log.h"

#include "devices/block/qcow2-impl.h"

#define OPS_MAX	    40
#define IMAGE_MAX   KIB(256)
#define BUF_BYTES   KIB(256)
#define SPREAD_BITS 16

enum { FLAG_SPREAD = 1, FLAG_READONLY = 2 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static uint8_t buf[BUF_BYTES], back[BUF_BYTES];

static int make_file(const uint8_t *image, size_t len, bool spread)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	size_t piece = spread ? 512 : MAX(len, 1);

	CHECK(fd >= 0);
	for (size_t at = 0; at < len; at += piece)
		CHECK(pwrite(fd, image + at, MIN(piece, len - at),
			     (off_t)(at / piece << SPREAD_BITS)) > 0);
	if (spread)
		CHECK(!ftruncate(fd, (off_t)((len / 512 + 1) << SPREAD_BITS)));
	return fd;
}

/**
 * struct open_image - one, without queues
 * @err: of opening
 */
struct open_image {
	struct block b;
	struct qcow2 *q;
	struct qcow2_scratch s;
	int err;
};

static void open_image(struct open_image *i, int fd, bool readonly)
{
	char path[32];
	struct block_options opt = { .what = "fuzz",
				     .path = path,
				     .readonly = readonly,
				     .sparse = true };
	struct block_file *f;
	struct diag d = DIAG_INIT;

	memset(i, 0, sizeof(*i));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	i->err = block_file_open(&i->b, &opt, &f, &d);
	CHECK(!i->err);
	i->err = qcow2_new(&i->q, &i->b, f, NULL, &opt, &d);
	CHECK(!i->err == !d.depth);
	if (i->err)
		return;
	i->b.state = i->q;
	i->b.capacity = i->q->capacity;
	CHECK(!qcow2_scratch_init(&i->s, i->q));
}

static int request(struct open_image *i, enum block_op op, uint64_t at,
		   void *to, size_t len, bool unmap)
{
	struct iovec iov = { to, len };
	struct block_request r = { .op = op,
				   .may_unmap = unmap,
				   .offset_bytes = at,
				   .len_bytes = len,
				   .iov = &iov,
				   .iov_count = 1 };

	if (i->b.file[0]->readonly && op != BLOCK_READ)
		return -EROFS;
	return qcow2_carry_out(i->q, &i->s, &r);
}

static bool close_image(struct open_image *i)
{
	bool failed = i->err;

	if (!i->err) {
		/* Closing would do it too, but may find damage. */
		request(i, BLOCK_FLUSH, 0, NULL, 0, false);
		failed = i->q->failed;
		qcow2_free(i->q);
		qcow2_scratch_release(&i->s);
	}
	for (unsigned n = 0; n < i->b.file_count; n++)
		block_file_close(i->b.file[n]);
	return !failed;
}

static void read_back(struct open_image *i, uint64_t at, size_t len)
{
	int err = request(i, BLOCK_READ, at, back, len, false);

	CHECK(err || !memcmp(buf, back, len));
}

/* Record: op, value, length, offset in 512 bytes (40 bits). */
static void step(struct open_image *i, const uint8_t *p)
{
	uint64_t sectors = i->q->capacity / 512;
	uint64_t at = (get_le32(p + 3) | (uint64_t)p[7] << 32) % sectors * 512;
	size_t len =
		MIN((1 + p[2]) * 512ul << (p[0] >> 4 & 1), i->q->capacity - at);
	bool unmap = p[0] & 0x20;
	struct qcow2_run run;

	memset(buf, p[1], len);
	switch (p[0] & 7) {
	case 0:
		qcow2_map_find(i->q, at, len, &run);
		request(i, BLOCK_READ, at, back, len, false);
		break;
	case 1:
	case 2:
		if (!request(i, BLOCK_WRITE, at, buf, len, false))
			read_back(i, at, len);
		break;
	case 3:
		memset(buf, 0, len);
		if (!request(i, BLOCK_ZERO, at, NULL, len, unmap))
			read_back(i, at, len);
		break;
	case 4:
		request(i, BLOCK_DISCARD, at, NULL, len, true);
		break;
	case 5:
		pthread_mutex_lock(&i->q->lock);
		qcow2_exhume(i->q);
		pthread_mutex_unlock(&i->q->lock);
		break;
	case 6:
		if (i->q->writable && unmap)
			block_qcow2.resize(&i->b, i->q->capacity + len, NULL);
		break;
	default:
		request(i, BLOCK_FLUSH, 0, NULL, 0, false);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct open_image i;
	unsigned ops;
	bool good;
	int fd;

	if (len < 2)
		return 0;
	log_setup(-1, LOG_ERROR);
	ops = MIN(data[1] % (OPS_MAX + 1), (unsigned)((len - 2) / 8));
	fd = make_file(data + 2 + ops * 8ul,
		       MIN(len - 2 - ops * 8ul, IMAGE_MAX),
		       data[0] & FLAG_SPREAD);
	open_image(&i, fd, data[0] & FLAG_READONLY);
	for (unsigned n = 0; n < ops && !i.err; n++)
		step(&i, data + 2 + n * 8ul);
	good = close_image(&i);
	if (good) {
		open_image(&i, fd, false);
		/* Read-only: it may be marked dirty or corrupt. */
		CHECK(!i.err || data[0] & FLAG_READONLY);
		close_image(&i);
	}
	close(fd);
	return 0;
}
