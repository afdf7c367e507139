/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: kill -9 while a qcow2 image is written
 *
 * A child writes, zeros, discards and flushes as fast as it can, with several
 * requests in flight; at a random moment it is killed. Then `qemu-img check`
 * must find nothing at all, not even a leaked cluster, and each block must be
 * what it was when it was last flushed, or newer. The next child goes on with
 * the same image.
 *
 * Each block of 4 KiB has a version, which counts up. A version that is
 * ZERO_VERSION modulo 4 is written as zeros, the others as the number.
 */
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>

#include "tests/unit/patience.h"
#include "tests/unit/qcow2-rig.h"
#include "tests/unit/suite.h"

#define ROUNDS	     15 /* per kind of image, or $QCOW2_KILL_ROUNDS */
#define BLOCKS	     2048
#define BLOCK_BYTES  4096
#define IN_FLIGHT    12
#define ZERO_VERSION 3
/* Behind the blocks: what is only discarded and written again. */
#define TRASH_BYTES MIB(4)
#define DISK_BYTES  (BLOCKS * (uint64_t)BLOCK_BYTES + TRASH_BYTES)

/** struct shared - what parent and child know of each block */
static struct shared {
	uint32_t issued[BLOCKS], flushed[BLOCKS];
	unsigned flushes;
} * shared;

static const struct kind {
	const char *options;
	bool snapshot, layered;
} kinds[] = {
	{ "-o cluster_size=65536", false, false },
	{ "-o cluster_size=4096", true, false },
	{ "-b base -F raw -o cluster_size=16384", false, true },
	{ "-o cluster_size=65536,compat=0.10", false, false },
};

/* ---- the child --------------------------------------------------------- */

struct slot {
	struct block_request r;
	struct iovec iov;
	uint32_t block, version;
	bool busy;
	uint8_t buf[16 * BLOCK_BYTES] __attribute__((aligned(4096)));
};

static struct slot slots[IN_FLIGHT];
static uint32_t completed[BLOCKS], at_flush[BLOCKS];
static bool flushing;

static void slot_done(struct block_request *r, int err)
{
	struct slot *s = container_of(r, struct slot, r);

	CHECK(!err);
	s->busy = false;
	if (r->op == BLOCK_FLUSH) {
		flushing = false;
		for (unsigned i = 0; i < BLOCKS; i++)
			*(volatile uint32_t *)&shared->flushed[i] = at_flush[i];
		shared->flushes++;
	} else if (s->block < BLOCKS) {
		completed[s->block] = s->version;
	}
}

static bool block_is_busy(uint32_t block)
{
	for (unsigned i = 0; i < IN_FLIGHT; i++)
		if (slots[i].busy && slots[i].block == block)
			return true;
	return false;
}

static void prepare_flush(struct slot *s)
{
	flushing = true;
	s->block = UINT32_MAX;
	memcpy(at_flush, completed, sizeof(completed));
	s->r.op = BLOCK_FLUSH;
	s->r.offset_bytes = s->r.len_bytes = 0;
}

static void prepare_trash(struct slot *s, unsigned *seed)
{
	unsigned n = TRASH_BYTES / BLOCK_BYTES - 16;

	s->block = UINT32_MAX;
	s->r.op = rand_r(seed) % 2 ? BLOCK_DISCARD : BLOCK_WRITE;
	s->r.offset_bytes =
		(BLOCKS + (unsigned)rand_r(seed) % n) * (uint64_t)BLOCK_BYTES;
	s->r.len_bytes = s->iov.iov_len = sizeof(s->buf);
}

static void prepare_block(struct slot *s, unsigned *seed)
{
	do {
		s->block = (unsigned)rand_r(seed) % BLOCKS;
	} while (block_is_busy(s->block));
	s->version = shared->issued[s->block] + 1;
	shared->issued[s->block] = s->version;
	s->r.op = s->version % 4 == ZERO_VERSION ? BLOCK_ZERO : BLOCK_WRITE;
	s->r.may_unmap = rand_r(seed) % 2;
	s->r.offset_bytes = s->block * (uint64_t)BLOCK_BYTES;
	s->r.len_bytes = s->iov.iov_len = BLOCK_BYTES;
	for (unsigned i = 0; i < BLOCK_BYTES / 4; i++)
		put_le32(s->buf + 4ul * i, s->version);
}

static void submit(struct rig *rig, struct slot *s, unsigned *seed)
{
	s->iov.iov_base = s->buf;
	s->r.iov = &s->iov;
	s->r.iov_count = 1;
	s->r.done = slot_done;
	if (rand_r(seed) % 24 == 0 && !flushing)
		prepare_flush(s);
	else if (rand_r(seed) % 6 == 0)
		prepare_trash(s, seed);
	else
		prepare_block(s, seed);
	s->busy = true;
	block_submit(rig->q, &s->r);
}

__attribute__((noreturn)) static void child(const struct block_options *opt,
					    unsigned seed)
{
	struct rig rig;

	memcpy(completed, shared->flushed, sizeof(completed));
	CHECK(!rig_open(&rig, opt, NULL));
	for (;;) {
		for (unsigned i = 0; i < IN_FLIGHT; i++)
			if (!slots[i].busy)
				submit(&rig, &slots[i], &seed);
		block_kick(rig.q);
		block_queue_wait(rig.q);
	}
}

/* ---- the parent -------------------------------------------------------- */

/* io_uring holds the file, and with it our lock, a moment longer. */
static void wait_for_lock(void)
{
	struct flock all = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int fd = open("a", O_RDWR);

	ck_assert_int_eq(fcntl(fd, F_OFD_SETLKW, &all), 0);
	close(fd);
}

static unsigned flushes(void)
{
	return *(volatile unsigned *)&shared->flushes;
}

/* One in four at any moment from its start on, the others later than their
 * second flush, whenever the host lets them come to that. */
static void kill_one(const struct block_options *opt, unsigned seed)
{
	unsigned before = shared->flushes;
	pid_t pid = fork();
	int status;

	ck_assert_int_ge(pid, 0);
	if (!pid)
		child(opt, seed);
	ck_assert(seed % 4 == 0 || WAIT_UNTIL(flushes() >= before + 2));
	usleep(2000 + seed * 7919 % 40000);
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL,
		      "the child ended by itself: %x", (unsigned)status);
	wait_for_lock();
}

/* The newest version that is zeros. */
static uint32_t zero_version(uint32_t most)
{
	return most < ZERO_VERSION ? 0 : most - (most - ZERO_VERSION) % 4;
}

static void check_block(uint32_t i, const uint8_t *buf)
{
	uint32_t v = get_le32(buf);

	/* Not torn. */
	ck_assert(!memcmp(buf, buf + 4, BLOCK_BYTES - 4));
	if (!v)
		v = zero_version(shared->issued[i]);
	ck_assert_uint_ge(v, shared->flushed[i]);
	ck_assert_uint_le(v, shared->issued[i]);
	shared->flushed[i] = v;
}

static void check_blocks(const struct block_options *opt)
{
	struct block_options ro = *opt;
	uint8_t *buf = malloc(BLOCKS * BLOCK_BYTES);
	struct rig rig;

	ro.readonly = true;
	ck_assert_int_eq(rig_open(&rig, &ro, NULL), 0);
	ck_assert_int_eq(
		rig_do(&rig, BLOCK_READ, 0, buf, BLOCKS * BLOCK_BYTES, false),
		0);
	rig_close(&rig);
	for (uint32_t i = 0; i < BLOCKS; i++)
		check_block(i, buf + (size_t)i * BLOCK_BYTES);
	free(buf);
}

START_TEST(test_kill)
{
	const struct kind *k = &kinds[_i];
	const char *more = getenv("QCOW2_KILL_ROUNDS");
	unsigned rounds = more ? (unsigned)atoi(more) : ROUNDS;
	struct block_options opt = { .path = "a",
				     .sparse = true,
				     .backing_files = k->layered };

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_int_eq(shell("truncate -s 1M base"), 0);
	ck_assert_int_eq(shell("qemu-img create -f qcow2 %s a %llu", k->options,
			       (unsigned long long)DISK_BYTES),
			 0);
	for (unsigned i = 0; i < rounds; i++) {
		kill_one(&opt, i + 1000 * (unsigned)_i);
		if (shell("qemu-img check a"))
			ck_abort_msg("round %u: %d", i,
				     system("cat qemu.log >&2"));
		check_blocks(&opt);
		if (k->snapshot && i % 10 == 5)
			ck_assert_int_eq(shell("qemu-img snapshot -c s%u a", i),
					 0);
	}
	ck_assert_uint_gt(shared->flushes, rounds); /* it did something */
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("qcow2-kill");
	TCase *tc = tcase_create("SIGKILL");

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, enter_dir, leave_dir);
	tcase_add_loop_test(tc, test_kill, 0, ARRAY_SIZE(kinds));
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
