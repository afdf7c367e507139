/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: qcow2 images for tests: made by hand or by qemu-img, used synchronously
 */
#ifndef TESTS_UNIT_QCOW2_RIG_H
#define TESTS_UNIT_QCOW2_RIG_H

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/check.h"
#include "vmm/event.h"

#include "devices/block/block.h"

/** struct rig - an open image with one queue */
struct rig {
	struct block *b;
	struct event_loop *loop;
	struct block_queue *q;
};

/** rig_open - Return: 0 or -errno, @text (320 bytes, may be NULL) says why */
static inline int rig_open(struct rig *rig, const struct block_options *opt,
			   char *text)
{
	static const struct block_client none = { 0 };
	struct block_options with = *opt;
	struct diag d = DIAG_INIT;
	int err;

	with.what = "--disk path=a";
	with.type = BLOCK_QCOW2;
	err = block_open(&rig->b, &with, &d);
	if (text)
		diag_format(&d, text, 320);
	if (err)
		return err;
	rig->loop = event_loop_new(NULL);
	CHECK(rig->loop);
	err = block_queue_new(&rig->q, rig->b, rig->loop, 64, &none, NULL);
	CHECK(!err);
	return 0;
}

/** rig_close - the mirror */
static inline void rig_close(struct rig *rig)
{
	block_queue_free(rig->q);
	event_loop_free(rig->loop);
	block_close(rig->b);
}

struct rig_request {
	struct block_request r;
	int err;
};

static inline void rig_done(struct block_request *r, int err)
{
	((struct rig_request *)(void *)r)->err = err;
}

/** rig_do - one request, to its end; 0 or -errno */
static inline int rig_do(struct rig *rig, enum block_op op, uint64_t offset,
			 void *buf, size_t len, bool may_unmap)
{
	struct iovec iov[2] = { { buf, len / 3 },
				{ (char *)buf + len / 3, len - len / 3 } };
	struct rig_request x = {
		.r = { .op = op,
		       .may_unmap = may_unmap,
		       .offset_bytes = offset,
		       .len_bytes = len,
		       .iov = iov,
		       .iov_count = 2,
		       .done = rig_done },
		.err = 1,
	};

	block_submit(rig->q, &x.r);
	block_kick(rig->q);
	block_queue_wait(rig->q);
	CHECK(x.err <= 0);
	return x.err;
}

/** rig_flush - 0 or -errno */
static inline int rig_flush(struct rig *rig)
{
	return rig_do(rig, BLOCK_FLUSH, 0, NULL, 0, false);
}

/** shell - run a command; its exit status; what it says goes to @log */
__attribute__((format(printf, 1, 2))) static inline int shell(const char *fmt,
							      ...)
{
	char command[1024];
	va_list ap;
	int n, status;

	va_start(ap, fmt);
	strcpy(command, "(");
	n = vsnprintf(command + 1, sizeof(command) - 1, fmt, ap);
	va_end(ap);
	CHECK(n > 0 && (size_t)n < sizeof(command) - 32);
	strcat(command, ") >qemu.log 2>&1");
	status = system(command);
	CHECK(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static char rig_dir[64];

/** enter_dir - work in a new folder, in memory if possible */
static inline void enter_dir(void)
{
	strcpy(rig_dir, access("/dev/shm", W_OK) ? "/tmp/qcow2-XXXXXX"
						 : "/dev/shm/qcow2-XXXXXX");
	CHECK(mkdtemp(rig_dir) && !chdir(rig_dir));
}

/** leave_dir - and remove it */
static inline void leave_dir(void)
{
	CHECK(!shell("rm -rf %s/*", rig_dir));
	unlink("qemu.log");
	CHECK(!chdir("/") && !rmdir(rig_dir));
}

/* Clusters of image_make(). */
enum { AT_RT = 1, AT_RB, AT_L1, AT_L2, AT_DATA, AT_END };

/**
 * image_make - the smallest image with one L2 table and one data cluster
 * @fd: an empty file
 * @bits: log2 of the cluster size; @capacity: of the disk
 */
static inline void image_make(int fd, unsigned version, unsigned bits,
			      unsigned order, uint64_t capacity)
{
	size_t c = (size_t)1 << bits;
	uint8_t *p = calloc(AT_END, c);

	CHECK(p && order == 4);
	put_be32(p, 0x514649fb);
	put_be32(p + 4, version);
	put_be32(p + 20, bits);
	put_be64(p + 24, capacity);
	put_be32(p + 36, (uint32_t)((capacity - 1) >> (2 * bits - 3)) + 1);
	put_be64(p + 40, AT_L1 * c);
	put_be64(p + 48, AT_RT * c);
	put_be32(p + 56, 1);
	if (version == 3) {
		put_be32(p + 96, order);
		put_be32(p + 100, 104);
	}
	put_be64(p + AT_RT * c, AT_RB * c);
	for (unsigned i = 0; i < AT_END; i++)
		put_be16(p + AT_RB * c + 2 * i, 1);
	put_be64(p + AT_L1 * c, AT_L2 * c | 1ull << 63);
	put_be64(p + AT_L2 * c, AT_DATA * c | 1ull << 63);
	memset(p + AT_DATA * c, 0xda, c);
	CHECK(pwrite(fd, p, AT_END * c, 0) == (ssize_t)(AT_END * c));
	free(p);
}

#endif
