/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: qcow2 against a model in memory, and against qemu-img
 *
 * Random requests on images of all kinds that qemu-img makes: what is read is
 * what the model says; afterwards `qemu-img check` finds nothing, not even a
 * leak, and `qemu-img convert` reads the same. Headers and tables that are
 * wrong are refused, each with its sentence. test-qcow2-kill.c kills
 * it, test-qcow2-queues.c has several threads.
 */
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "tests/unit/patience.h"
#include "tests/unit/qcow2-rig.h"
#include "tests/unit/suite.h"

static const struct block_options plain = { .path = "a", .sparse = true };
static const struct block_options readonly = { .path = "a", .readonly = true };
static const struct block_options layered = { .path = "a",
					      .sparse = true,
					      .backing_files = true };

static void make(unsigned version)
{
	int fd = open("a", O_RDWR | O_CREAT | O_TRUNC, 0600);

	image_make(fd, version, 16, 4, MIB(4));
	close(fd);
}

static void patch(uint64_t at, unsigned bytes, uint64_t value)
{
	int fd = open("a", O_RDWR);
	uint8_t be[8];

	put_be64(be, value);
	ck_assert_int_eq(pwrite(fd, be + 8 - bytes, bytes, (off_t)at), bytes);
	close(fd);
}

static uint64_t peek(uint64_t at)
{
	int fd = open("a", O_RDONLY);
	uint8_t be[8] = { 0 };

	ck_assert_int_eq(pread(fd, be, 8, (off_t)at), 8);
	close(fd);
	return get_be64(be);
}

/* ---- headers ----------------------------------------------------------- */

static const struct wrong {
	unsigned version, at, bytes;
	uint64_t value;
	int err;
	const char *text;
} wrongs[] = {
	{ 3, 0, 4, 0x12345678, -EINVAL, "not a qcow2 image" },
	{ 3, 4, 4, 1, -ENOTSUP, "version 1 is not supported" },
	{ 3, 4, 4, 4, -ENOTSUP, "version 4 is not supported" },
	{ 3, 20, 4, 8, -EINVAL, "512 bytes to 2 MiB" },
	{ 3, 20, 4, 22, -EINVAL, "512 bytes to 2 MiB" },
	{ 3, 20, 4, 0xffffffff, -EINVAL, "512 bytes to 2 MiB" },
	{ 3, 24, 8, 0, -EINVAL, "has no size" },
	{ 3, 24, 8, 1000, -EINVAL, "not a multiple of 512" },
	{ 3, 24, 8, GIB(1), -EINVAL, "L1 table is too small" },
	{ 3, 24, 8, 1ull << 63, -EINVAL, "larger than the format allows" },
	{ 3, 32, 4, 1, -ENOTSUP, "encrypted" },
	{ 3, 32, 4, 2, -ENOTSUP, "encrypted" },
	{ 3, 36, 4, 0, -EINVAL, "L1 table is too small" },
	{ 3, 36, 4, 0xffffffff, -EINVAL, "more than 32 MiB" },
	{ 3, 36, 4, 1 << 22, -EINVAL, "L1 table is not within" },
	{ 3, 40, 8, 0x30001, -EINVAL, "L1 table is not within" },
	{ 3, 40, 8, 0, -EINVAL, "L1 table is not within" },
	{ 3, 40, 8, 0xffffffffffff0000, -EINVAL, "L1 table is not within" },
	{ 3, 48, 8, 0x60000, -EINVAL, "refcount table is not within" },
	{ 3, 48, 8, 0x10200, -EINVAL, "refcount table is not within" },
	{ 3, 56, 4, 0, -EINVAL, "refcount table is empty" },
	{ 3, 56, 4, 129, -EINVAL, "more than 8 MiB" },
	{ 3, 56, 4, 0xffffffff, -EINVAL, "more than 8 MiB" },
	{ 3, 60, 4, 65537, -EINVAL, "more than 65536 snapshots" },
	{ 3, 60, 4, 1, -EINVAL, "snapshot table is not within" },
	{ 3, 72, 8, 4, -ENOTSUP, "external data files" },
	{ 3, 72, 8, 16, -ENOTSUP, "subclusters" },
	{ 3, 72, 8, 1ull << 40, -ENOTSUP, "feature 'bit 40'" },
	{ 3, 72, 8, 8, -EINVAL, "compression type contradicts" },
	{ 3, 72, 8, 1, -EROFS, "check -r all" },
	{ 3, 72, 8, 2, -EROFS, "readonly=on" },
	{ 3, 96, 4, 7, -EINVAL, "more than 64 bits" },
	{ 3, 100, 4, 96, -EINVAL, "impossible length" },
	{ 3, 100, 4, 105, -EINVAL, "impossible length" },
	{ 3, 100, 4, 0xfffffff8, -EINVAL, "impossible length" },
	{ 3, 104, 8, 0xe2792acaffffffff, -EINVAL, "extension is too long" },
	{ 3, 8, 8, 0x200000, -EINVAL, "name of its backing file" },
	{ 3, 8, 8, 512, -EINVAL, "name of its backing file" },
	{ 2, 8, 8, 0xffffffffffffffff, -EINVAL, "name of its backing file" },
	{ 2, 40, 8, 0x50000001, -EINVAL, "L1 table is not within" },
};

START_TEST(test_wrong_header)
{
	const struct wrong *w = &wrongs[_i];
	struct rig rig;
	char text[320];

	make(w->version);
	ck_assert_int_eq(rig_open(&rig, &plain, NULL), 0);
	rig_close(&rig);
	patch(w->at, w->bytes, w->value);
	ck_assert_int_eq(rig_open(&rig, &plain, text), w->err);
	ck_assert_msg(strstr(text, w->text), "%s", text);
	ck_assert(!strncmp(text, "--disk path=a: ", 15));
}
END_TEST

START_TEST(test_feature_is_named)
{
	struct rig rig;
	char text[320];
	int fd;

	make(3);
	patch(72, 8, 1ull << 9);
	fd = open("a", O_RDWR);
	ck_assert_int_eq(pwrite(fd,
				"\x68\x03\xf8\x57\0\0\0\x30\0\x09"
				"flux\x01 capacitor",
				26, 104),
			 26);
	close(fd);
	ck_assert_int_eq(rig_open(&rig, &plain, text), -ENOTSUP);
	ck_assert_msg(strstr(text, "'flux? capacitor'"), "%s", text);
}
END_TEST

START_TEST(test_short_files)
{
	struct rig rig;
	char text[320];

	make(3);
	for (off_t bytes = 0; bytes < 110; bytes += 9) {
		ck_assert_int_eq(truncate("a", bytes), 0);
		ck_assert_int_lt(rig_open(&rig, &plain, text), 0);
	}
}
END_TEST

START_TEST(test_marked_images_can_be_read)
{
	uint8_t buf[512];
	struct rig rig;

	make(3);
	patch(72, 8, 1 + _i);
	ck_assert_int_eq(rig_open(&rig, &readonly, NULL), 0);
	ck_assert_int_eq(rig_do(&rig, BLOCK_READ, 0, buf, 512, false), 0);
	ck_assert_int_eq(buf[0], 0xda);
	ck_assert_int_eq(rig_do(&rig, BLOCK_WRITE, 0, buf, 512, false), -EROFS);
	rig_close(&rig);
}
END_TEST

/* ---- tables ------------------------------------------------------------ */

#define COPIED (1ull << 63)

/* A wrong table: reading or writing at @offset fails, the image is marked. */
static const struct bad_table {
	uint64_t at, value;
	unsigned bytes;
	bool write;
	uint64_t offset;
} bad_tables[] = {
	{ 0x30000, 0x40200 | COPIED, 8, false, 0 },   /* L2 unaligned */
	{ 0x30000, 0x7700000 | COPIED, 8, false, 0 }, /* L2 beyond the end */
	{ 0x30000, 0x40001 | COPIED, 8, false, 0 },   /* L1 reserved */
	{ 0x40000, 0x50200 | COPIED, 8, false, 0 },   /* data unaligned */
	{ 0x40000, 0x7700000 | COPIED, 8, false, 0 }, /* beyond the end */
	{ 0x40000, 0x50002 | COPIED, 8, false, 0 },   /* reserved */
	{ 0x40000, 0x10000 | COPIED, 8, true, 0 },    /* refcount table */
	{ 0x40000, 0x20000 | COPIED, 8, true, 0 },    /* refcount block */
	{ 0x40000, 0x30000 | COPIED, 8, true, 0 },    /* L1 table */
	{ 0x40000, 0x40000 | COPIED, 8, true, 0 },    /* L2 table itself */
	{ 0x40000, 0x30000, 8, true, 0 }, /* L1 table, but not ours alone */
	{ 0x10000, 0x20200, 8, true, 0x10000 },	  /* refcount block unaligned */
	{ 0x10000, 0x7700000, 8, true, 0x10000 }, /* beyond the end */
	{ 0x10000, 0x30000, 8, true, 0x10000 },	  /* is the L1 table */
	{ 0x20000, 0, 2, true, 0x10000 },	  /* header is free */
	{ 0x20006, 0, 2, true, 0x10000 },	  /* L1 table is free */
	{ 0x20008, 0, 2, true, 0x10000 },	  /* L2 table is free */
	{ 0x2000a, 0, 2, true, 0 },		  /* data is free */
	{ 0x2000a, 2, 2, true, 0 },		  /* data is shared */
};

START_TEST(test_bad_table)
{
	const struct bad_table *t = &bad_tables[_i];
	uint8_t buf[4096] = { 1 };
	struct rig rig;

	make(3);
	patch(t->at, t->bytes, t->value);
	ck_assert_int_eq(rig_open(&rig, &plain, NULL), 0);
	ck_assert_int_eq(rig_do(&rig, t->write ? BLOCK_WRITE : BLOCK_READ,
				t->offset, buf, sizeof(buf), false),
			 -EIO);
	ck_assert_int_eq(rig_do(&rig, BLOCK_WRITE, 0x80000, buf, 512, false),
			 -EIO);
	ck_assert_int_eq(rig_do(&rig, BLOCK_DISCARD, 0, NULL, MIB(1), false),
			 -EIO);
	ck_assert_int_eq(rig_flush(&rig), -EIO);
	rig_close(&rig);
	ck_assert_uint_eq(peek(72), 2); /* marked corrupt */
	ck_assert_int_eq(rig_open(&rig, &plain, NULL), -EROFS);
}
END_TEST

/* ---- against a model --------------------------------------------------- */

static const struct kind {
	const char *create; /* options of qemu-img create */
	uint64_t bytes;
	const char *before; /* commands that make what it begins with */
	bool layered, direct, snapshot;
	unsigned steps;
} kinds[] = {
	{ "-o cluster_size=65536", MIB(8), NULL, false, false, false, 400 },
	{ "-o compat=0.10", MIB(8), NULL, false, false, false, 400 },
	{ "-o cluster_size=512", KIB(512), NULL, false, false, false, 400 },
	{ "-o cluster_size=512,refcount_bits=64", KIB(700), NULL, false, false,
	  false, 400 },
	{ "-o cluster_size=2M", MIB(24), NULL, false, false, false, 60 },
	{ "-o cluster_size=4096,refcount_bits=1", MIB(3), NULL, false, false,
	  false, 400 },
	{ "-o cluster_size=4096,refcount_bits=2", MIB(3) + 512, NULL, false,
	  false, true, 400 },
	{ "-o cluster_size=4096,refcount_bits=8", MIB(3) + 1536, NULL, false,
	  true, false, 200 },
	{ "-o preallocation=metadata", MIB(4), NULL, false, false, false, 200 },
	{ "-o preallocation=full,cluster_size=16k", MIB(4), NULL, false, false,
	  true, 200 },
	{ "-o cluster_size=8192", MIB(4), NULL, false, false, true, 400 },
	{ "-o cluster_size=8192,compat=0.10", MIB(4), NULL, false, false, true,
	  400 },
	{ "-b base -F raw -o cluster_size=8192", MIB(4),
	  "head -c 3000000 /dev/urandom >base", true, false, false, 400 },
	{ "-b base -F raw -o cluster_size=8192,compat=0.10", MIB(4),
	  "head -c 3000001 /dev/urandom >base", true, false, false, 400 },
	{ "-b base -F qcow2 -o cluster_size=8192", MIB(4),
	  "head -c 3000001 /dev/urandom >r; truncate -s %512 r;"
	  "qemu-img convert -c -O qcow2 -o cluster_size=65536 r base",
	  true, false, false, 400 },
	{ "-b mid -F qcow2", MIB(4),
	  "head -c 1500000 /dev/urandom >r; truncate -s 2M r;"
	  "qemu-img convert -O qcow2 -o cluster_size=4096 r base;"
	  "qemu-img create -f qcow2 -b base -F qcow2 mid 3M;"
	  "qemu-io -c 'write -P 7 900k 200k' mid;"
	  "qemu-io -c 'write -z 100k 300k' mid",
	  true, true, false, 300 },
};

struct model {
	const struct kind *kind;
	struct rig rig;
	uint8_t *disk, *buf;
	unsigned seed;
};

static unsigned rnd(struct model *m, uint64_t below)
{
	return (unsigned)((uint64_t)rand_r(&m->seed) * below >> 31);
}

/* Content that compresses a little and is never zero. */
static void fill(struct model *m, size_t len)
{
	uint8_t v = (uint8_t)(1 + rnd(m, 255));

	for (size_t i = 0; i < len; i++)
		m->buf[i] = i % 64 ? v : (uint8_t)(1 + rnd(m, 255));
}

static void model_open(struct model *m)
{
	struct block_options opt = m->kind->layered ? layered : plain;

	opt.direct = m->kind->direct;
	ck_assert_int_eq(rig_open(&m->rig, &opt, NULL), 0);
	ck_assert_uint_eq(block_capacity(m->rig.b), m->kind->bytes);
}

/* What the image has before we begin is what qemu-img says. */
static void load_model(struct model *m)
{
	int fd;

	ck_assert_int_eq(shell("qemu-img convert -O raw a raw"), 0);
	fd = open("raw", O_RDONLY);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(read(fd, m->disk, m->kind->bytes), m->kind->bytes);
	close(fd);
}

static void model_step(struct model *m)
{
	uint64_t sectors = m->kind->bytes / 512;
	uint64_t at = 512ull * rnd(m, sectors);
	uint64_t most = rnd(m, 4) ? 65536 : m->kind->bytes;
	size_t len = 512 + 512 * (size_t)rnd(m, most / 512);
	unsigned op = rnd(m, 16);
	bool unmap = rnd(m, 2);

	len = MIN(len, m->kind->bytes - at);
	if (op < 6) {
		fill(m, len);
		memcpy(m->disk + at, m->buf, len);
		ck_assert_int_eq(
			rig_do(&m->rig, BLOCK_WRITE, at, m->buf, len, false),
			0);
	} else if (op < 12) {
		ck_assert_int_eq(
			rig_do(&m->rig, BLOCK_READ, at, m->buf, len, false), 0);
		ck_assert(!memcmp(m->disk + at, m->buf, len));
	} else if (op < 13) {
		memset(m->disk + at, 0, len);
		ck_assert_int_eq(
			rig_do(&m->rig, BLOCK_ZERO, at, NULL, len, unmap), 0);
	} else if (op < 14) {
		len = MIN(len, 65536);
		ck_assert_int_eq(
			rig_do(&m->rig, BLOCK_DISCARD, at, NULL, len, false),
			0);
		/* Undefined until it is written. */
		ck_assert_int_eq(rig_do(&m->rig, BLOCK_READ, at, m->disk + at,
					len, false),
				 0);
	} else if (op < 15) {
		ck_assert_int_eq(rig_flush(&m->rig), 0);
	} else if (!rnd(m, 4)) {
		rig_close(&m->rig);
		model_open(m);
	}
}

static void check_model(struct model *m)
{
	uint8_t *now = malloc(m->kind->bytes);
	int fd;

	if (shell("qemu-img check a"))
		ck_abort_msg("check: %d", system("cat qemu.log >&2"));
	ck_assert_int_eq(shell("qemu-img convert -O raw a raw"), 0);
	fd = open("raw", O_RDONLY);
	ck_assert_int_eq(read(fd, now, m->kind->bytes), m->kind->bytes);
	close(fd);
	ck_assert(!memcmp(now, m->disk, m->kind->bytes));
	free(now);
}

static void create(const struct kind *k)
{
	if (k->before)
		ck_assert_int_eq(shell("%s", k->before), 0);
	ck_assert_int_eq(shell("qemu-img create -f qcow2 %s a %llu", k->create,
			       (unsigned long long)k->bytes),
			 0);
	ck_assert_int_eq(shell("qemu-io -c 'write -P 3 0 100k' a"), 0);
}

START_TEST(test_model)
{
	struct model m = { .kind = &kinds[_i], .seed = 1 + (unsigned)_i };

	create(m.kind);
	m.disk = malloc(m.kind->bytes);
	m.buf = malloc(m.kind->bytes);
	load_model(&m);
	model_open(&m);
	for (unsigned i = 0; i < m.kind->steps; i++)
		model_step(&m);
	rig_close(&m.rig);
	check_model(&m);
	if (m.kind->snapshot) {
		ck_assert_int_eq(shell("qemu-img snapshot -c s a; cp raw then"),
				 0);
		model_open(&m);
		for (unsigned i = 0; i < m.kind->steps; i++)
			model_step(&m);
		rig_close(&m.rig);
		check_model(&m);
		ck_assert_int_eq(shell("qemu-img snapshot -a s a && "
				       "qemu-img check a && "
				       "qemu-img compare -F raw a then"),
				 0);
	}
	free(m.disk);
	free(m.buf);
}
END_TEST

/* ---- reading what qemu-img writes -------------------------------------- */

static const char *const sources[] = {
	"-c",
	"-c -o compression_type=zstd",
	"-c -o cluster_size=512",
	"-c -o cluster_size=2M",
	"-c -o cluster_size=2M,compression_type=zstd",
	"-c -o compat=0.10",
	"-o cluster_size=4096",
};

START_TEST(test_read_and_overwrite)
{
	struct kind k = { .bytes = MIB(5), .steps = 150 };
	struct model m = { .kind = &k, .seed = 5 };

	ck_assert_int_eq(shell("(seq 1 300000; head -c 1M /dev/urandom; "
			       "seq 1 99999) >r; truncate -s 5M r; "
			       "qemu-img convert -O qcow2 %s r a",
			       sources[_i]),
			 0);
	m.disk = malloc(k.bytes);
	m.buf = malloc(k.bytes);
	load_model(&m);
	model_open(&m);
	ck_assert_int_eq(rig_do(&m.rig, BLOCK_READ, 0, m.buf, k.bytes, false),
			 0);
	ck_assert(!memcmp(m.buf, m.disk, k.bytes));
	for (unsigned i = 0; i < k.steps; i++)
		model_step(&m);
	rig_close(&m.rig);
	check_model(&m);
	free(m.disk);
	free(m.buf);
}
END_TEST

/* ---- backing files ----------------------------------------------------- */

static const struct backing {
	const char *commands;
	bool allowed;
	int err;
	const char *text;
} backings[] = {
	{ "qemu-img create -f raw base 1M; "
	  "qemu-img create -f qcow2 -b base -F raw a",
	  false, -EPERM, "backing_files=on" },
	{ "qemu-img create -f raw base 1M; "
	  "qemu-img create -f qcow2 -b base -F raw a; rm base",
	  true, -ENOENT, "backing file base" },
	{ "qemu-img create -f qcow2 -u -b base -F raw a 1M; printf 1 | "
	  "dd of=a bs=1 seek=112 conv=notrunc", /* another extension */
	  true, -EINVAL, "does not say which format" },
	{ "qemu-img create -f qcow2 -u -b base -F vmdk a 1M", true, -ENOTSUP,
	  "format 'vmdk'" },
	{ "qemu-img create -f qcow2 -u -b nbd:unix:x -F raw a 1M", true,
	  -ENOTSUP, "is not a file" },
	{ "qemu-img create -f qcow2 -u -b ./a -F qcow2 a 1M", true, -ELOOP,
	  "laid over itself" },
	{ "qemu-img create -f qcow2 -u -b b -F qcow2 a 1M;"
	  "qemu-img create -f qcow2 -u -b ./a -F qcow2 b 1M",
	  true, -ELOOP, "laid over itself" },
	{ "head -c 1M /dev/zero >b; "
	  "qemu-img create -f qcow2 -u -b b -F qcow2 a 1M",
	  true, -EINVAL, "not a qcow2 image" },
	{ "qemu-img create -f qcow2 d0 1M; for i in $(seq 1 18); do "
	  "qemu-img create -u -f qcow2 -b d$((i-1)) -F qcow2 d$i 1M; done; "
	  "mv d18 a",
	  true, -ELOOP, "more than 16" },
};

START_TEST(test_backing_refused)
{
	const struct backing *b = &backings[_i];
	struct rig rig;
	char text[320];

	ck_assert_int_eq(shell("%s", b->commands), 0);
	ck_assert_int_eq(rig_open(&rig, b->allowed ? &layered : &plain, text),
			 b->err);
	ck_assert_msg(strstr(text, b->text), "%s", text);
}
END_TEST

/* ---- size, space, failures --------------------------------------------- */

START_TEST(test_resize)
{
	uint8_t *buf = malloc(MIB(1));
	struct diag d = DIAG_INIT;
	struct rig rig;
	size_t zeros;

	ck_assert_int_eq(shell("head -c 64M /dev/urandom >base; "
			       "qemu-img create -f qcow2 -o cluster_size=4096 "
			       "-b base -F raw a 1M"),
			 0);
	ck_assert_int_eq(rig_open(&rig, &layered, NULL), 0);
	memset(buf, 9, MIB(1));
	ck_assert_int_eq(rig_do(&rig, BLOCK_WRITE, 0, buf, 4096, false), 0);
	ck_assert_int_lt(block_resize(rig.b, KIB(512), &d), 0);
	ck_assert_int_eq(block_resize(rig.b, MIB(1) + 512, NULL), 0);
	ck_assert_int_eq(block_resize(rig.b, MIB(100), NULL), 0);
	ck_assert_uint_eq(block_capacity(rig.b), MIB(100));
	ck_assert_int_eq(rig_do(&rig, BLOCK_READ, MIB(1), buf, MIB(1), false),
			 0);
	/* Not the backing file's. */
	for (zeros = 0; zeros < MIB(1) && !buf[zeros]; zeros++)
		;
	ck_assert_uint_eq(zeros, MIB(1));
	memset(buf, 8, MIB(1));
	ck_assert_int_eq(rig_do(&rig, BLOCK_WRITE, MIB(99), buf, MIB(1), false),
			 0);
	rig_close(&rig);
	ck_assert_int_eq(shell("qemu-img check a && qemu-io -c "
			       "'read -P 8 99M 1M' -c 'read -P 0 1M 98M' -c "
			       "'read -P 9 0 4k' a | grep -c failed | grep 0"),
			 0);
	free(buf);
}
END_TEST

static uint64_t host_bytes(void)
{
	struct stat st;

	ck_assert_int_eq(stat("a", &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

START_TEST(test_discard_reaches_host)
{
	uint8_t *buf = malloc(MIB(16));
	struct rig rig;

	memset(buf, 1, MIB(16));
	ck_assert_int_eq(shell("qemu-img create -f qcow2 a 64M"), 0);
	ck_assert_int_eq(rig_open(&rig, &plain, NULL), 0);
	ck_assert_uint_eq(block_info(rig.b)->discard_bytes, 65536);
	ck_assert_int_eq(rig_do(&rig, BLOCK_WRITE, 0, buf, MIB(16), false), 0);
	ck_assert_uint_ge(host_bytes(), MIB(16));
	ck_assert_int_eq(rig_do(&rig, BLOCK_DISCARD, 0, NULL, MIB(15), false),
			 0);
	WAIT_UNTIL(host_bytes() <= MIB(2));
	ck_assert_uint_le(host_bytes(), MIB(2)); /* without any flush */
	for (unsigned i = 0; i < 20; i++) {	 /* used again */
		ck_assert_int_eq(
			rig_do(&rig, BLOCK_WRITE, MIB(i), buf, MIB(15), false),
			0);
		ck_assert_int_eq(rig_flush(&rig), 0);
		ck_assert_int_eq(rig_do(&rig, BLOCK_DISCARD, MIB(i), NULL,
					MIB(15), false),
				 0);
		ck_assert_int_eq(rig_flush(&rig), 0);
		usleep(70000);
	}
	rig_close(&rig);
	ck_assert_int_eq(shell("qemu-img check a && test $(stat -c %%s a) -lt "
			       "50000000"),
			 0);
	free(buf);
}
END_TEST

/* The file may not grow: the guest sees errors, the image stays sound. */
START_TEST(test_no_space)
{
	struct rlimit limit = { MIB(4), RLIM_INFINITY };
	uint8_t *buf = malloc(MIB(16)), *back = malloc(KIB(64));
	bool wrote[256];
	struct rig rig;

	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(shell("qemu-img create -f qcow2 a 16M"), 0);
	ck_assert_int_eq(rig_open(&rig, &plain, NULL), 0);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	for (unsigned i = 0; i < 256; i++) {
		memset(buf, (int)i | 1, KIB(64));
		wrote[i] = !rig_do(&rig, BLOCK_WRITE, KIB(64) * i, buf, KIB(64),
				   false);
	}
	ck_assert(wrote[0] && !wrote[255]);
	rig_flush(&rig); /* may fail: no room for tables */
	limit.rlim_cur = RLIM_INFINITY;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	ck_assert_int_eq(rig_flush(&rig), 0);
	rig_close(&rig);
	ck_assert_int_eq(shell("qemu-img check a"), 0);
	ck_assert_int_eq(rig_open(&rig, &plain, NULL), 0);
	for (unsigned i = 0; i < 256; i++) {
		memset(buf, wrote[i] ? (int)i | 1 : 0, KIB(64));
		ck_assert_int_eq(rig_do(&rig, BLOCK_READ, KIB(64) * i, back,
					KIB(64), false),
				 0);
		ck_assert(!memcmp(buf, back, KIB(64)));
	}
	rig_close(&rig);
	free(buf);
	free(back);
}
END_TEST

/* One that QEMU keeps up to date, one that it does not. */
static void make_bitmaps(void)
{
	ck_assert_int_eq(shell("qemu-img create -f qcow2 a 4M && "
			       "qemu-img bitmap --add a b0 && "
			       "qemu-img bitmap --add --disable a b1"),
			 0);
	ck_assert_uint_eq(peek(88), 1);
}

START_TEST(test_bitmaps_are_out_of_date)
{
	uint8_t buf[512] = { 1 };
	struct rig rig;

	make_bitmaps();
	ck_assert_int_eq(rig_open(&rig, &readonly, NULL), 0);
	rig_close(&rig);
	ck_assert_int_eq(shell("qemu-img info a | grep -c in-use && exit 1; "
			       "qemu-img info a | grep -c auto | grep 1"),
			 0);
	ck_assert_int_eq(rig_open(&rig, &plain, NULL), 0);
	ck_assert_int_eq(rig_do(&rig, BLOCK_WRITE, 0, buf, 512, false), 0);
	rig_close(&rig);
	ck_assert_uint_eq(peek(88), 1);
	ck_assert_int_eq(shell("qemu-img check a && qemu-img info a | "
			       "grep -c in-use | grep 1"),
			 0);
	ck_assert_int_eq(shell("qemu-img bitmap --remove a b0 && "
			       "qemu-img bitmap --remove a b1 && "
			       "qemu-img check a"),
			 0);
}
END_TEST

/* Where header extensions begin, and in the bitmaps' the directory's place. */
START_TEST(test_bitmaps_are_damaged)
{
	struct rig rig;

	make_bitmaps();
	patch(88, 8, 3); /* and a feature that nobody knows */
	ck_assert_int_eq(rig_open(&rig, &plain, NULL), 0);
	rig_close(&rig);
	ck_assert_uint_eq(peek(88), 1);
	for (uint64_t at = 104; at < 4096; at += 8)
		if (peek(at) >> 32 == 0x23852875)
			patch(at + 24, 8, 0x7770000);
	ck_assert_int_eq(rig_open(&rig, &plain, NULL), 0);
	rig_close(&rig);
	ck_assert_uint_eq(peek(88), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("qcow2");
	TCase *tc = tcase_create("images");

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, enter_dir, leave_dir);
	tcase_add_loop_test(tc, test_wrong_header, 0, ARRAY_SIZE(wrongs));
	tcase_add_test(tc, test_feature_is_named);
	tcase_add_test(tc, test_short_files);
	tcase_add_loop_test(tc, test_marked_images_can_be_read, 0, 2);
	tcase_add_loop_test(tc, test_bad_table, 0, ARRAY_SIZE(bad_tables));
	tcase_add_loop_test(tc, test_model, 0, ARRAY_SIZE(kinds));
	tcase_add_loop_test(tc, test_read_and_overwrite, 0,
			    ARRAY_SIZE(sources));
	tcase_add_loop_test(tc, test_backing_refused, 0, ARRAY_SIZE(backings));
	tcase_add_test(tc, test_resize);
	tcase_add_test(tc, test_discard_reaches_host);
	tcase_add_test(tc, test_no_space);
	tcase_add_test(tc, test_bitmaps_are_out_of_date);
	tcase_add_test(tc, test_bitmaps_are_damaged);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
