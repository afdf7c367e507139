/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: block I/O by io_uring
 *
 * One ring per queue, with the image's files registered. Requests collect in
 * the submission queue until the kick, which is one io_uring_enter() for all
 * of them; what the page cache can answer is done when that call returns, and
 * is delivered at once. What takes longer makes the ring's descriptor
 * readable, which the event loop watches; there is no eventfd to write and
 * read.
 *
 * Writes into the page cache do not go through the ring: they are a copy under
 * the inode's lock, which io_uring would give to a thread of the kernel for
 * most file systems (ext4, tmpfs). Made here they cost half the processor time
 * (one in flight: 7.5 and 4 us; 32 in flight: 3.6 and 2.9 us).
 *
 * A read that is alone in its kick is tried without the ring first: from the
 * page cache of ext4 that takes a sixth less processor time (tmpfs: the same);
 * for several the ring's one call is cheaper. After one that was not in the
 * page cache the next ones are not tried.
 *
 * The kernel is asked not to interrupt the thread for completions (Linux 5.19,
 * COOP_TASKRUN). DEFER_TASKRUN would be a little better still, but then a ring
 * that epoll watches loses wake-ups (seen with Linux 6.18).
 *
 * Threads: the queue's.
 */
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <time.h>

#include "devices/block/impl.h"

#define READ_NOWAIT 8	 /* RWF_NOWAIT, whose type is only for io_uring */
#define ENTRIES_MAX 4096 /* more are in flight after several kicks */
#define REAP_BATCH  64

/* A write that took longer than the one was not only copied: the host makes us
 * wait for its disk (usually 10 to 200 ms). Others are then kept from the
 * queue's thread for the other time. */
#define SLOW_WRITE_NS 10000000ULL
#define SLOW_TIME_NS  100000000ULL

/* Reads that go through the ring untried after one that was not cached. */
#define UNTRIED_READS 32

/**
 * struct uring - block_queue.engine_state
 * @slow_until_ns: writes are given to the kernel's threads; 0: they are not
 * @alone: a read that is the only request since the last kick; or NULL
 * @untried: reads to go
 */
struct uring {
	struct io_uring ring;
	uint64_t slow_until_ns;
	struct block_request *alone;
	unsigned untried;
};

static int ring_init(struct uring *u, unsigned depth)
{
	unsigned entries = MIN(MAX(depth, 1), ENTRIES_MAX);
	int err;

	err = io_uring_queue_init(entries, &u->ring,
				  IORING_SETUP_CLAMP |
					  IORING_SETUP_COOP_TASKRUN |
					  IORING_SETUP_TASKRUN_FLAG);
	if (err == -EINVAL) /* older than 5.19 */
		err = io_uring_queue_init(entries, &u->ring,
					  IORING_SETUP_CLAMP);
	return err;
}

static int register_files(struct uring *u, const struct block *b)
{
	int fd[BLOCK_FILES_MAX];

	for (unsigned i = 0; i < b->file_count; i++)
		fd[i] = b->file[i]->fd;
	return io_uring_register_files(&u->ring, fd, b->file_count);
}

static int uring_open(struct block_queue *q, struct diag *d)
{
	struct uring *u = calloc(1, sizeof(*u));
	int err;

	if (!u)
		return diag_fail(d, ENOMEM, "out of memory");
	err = ring_init(u, q->depth);
	if (err) {
		free(u);
		return diag_errno(d, -err, "%s: io_uring", q->b->file[0]->what);
	}
	err = register_files(u, q->b);
	if (err) {
		io_uring_queue_exit(&u->ring);
		free(u);
		return diag_errno(d, -err, "%s: io_uring, files",
				  q->b->file[0]->what);
	}
	q->engine_state = u;
	q->source.fd = u->ring.ring_fd;
	return 0;
}

static void uring_close(struct block_queue *q)
{
	struct uring *u = q->engine_state;

	io_uring_queue_exit(&u->ring);
	free(u);
}

static void enter(struct uring *u)
{
	/* Failures leave entries in the queue, for the next time: the kernel
	 * is short of memory. */
	io_uring_submit(&u->ring);
}

static struct io_uring_sqe *next_entry(struct uring *u)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

	while (!sqe) {
		enter(u);
		sqe = io_uring_get_sqe(&u->ring);
	}
	return sqe;
}

static void prepare(struct io_uring_sqe *sqe, const struct block_request *r)
{
	int fd = (int)r->file->slot;
	uint64_t at = block_step_offset(r);
	const struct iovec *iov;
	unsigned count;

	iov = block_step_iov(r, &count);
	switch ((enum block_step)r->step) {
	case STEP_READ:
		if (count == 1)
			io_uring_prep_read(sqe, fd, iov->iov_base,
					   (unsigned)iov->iov_len, at);
		else
			io_uring_prep_readv(sqe, fd, iov, count, at);
		break;
	case STEP_WRITE:
		if (count == 1)
			io_uring_prep_write(sqe, fd, iov->iov_base,
					    (unsigned)iov->iov_len, at);
		else
			io_uring_prep_writev(sqe, fd, iov, count, at);
		break;
	case STEP_ALLOCATE:
		io_uring_prep_fallocate(sqe, fd, r->mode, (off_t)at,
					(off_t)r->len_bytes);
		break;
	case STEP_DISCARD:
	case STEP_SYNC:
	default:
		io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
	}
	sqe->flags |= IOSQE_FIXED_FILE;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static bool writes_here(const struct uring *u, const struct block_request *r)
{
	const struct block_file *f = r->file;

	return r->step == STEP_WRITE && !r->bounce.iov_base && !f->direct &&
	       !f->is_device &&
	       (!u->slow_until_ns || now_ns() >= u->slow_until_ns);
}

static int64_t write_here(struct uring *u, const struct block_request *r)
{
	uint64_t begin = now_ns(), end;
	int64_t result = block_step_call(r);

	end = now_ns();
	u->slow_until_ns = end - begin > SLOW_WRITE_NS ? end + SLOW_TIME_NS : 0;
	return result;
}

static bool reads_here(struct uring *u, const struct block_request *r)
{
	if (r->step != STEP_READ || r->file->direct)
		return false;
	if (!u->untried)
		return true;
	u->untried--;
	return false;
}

/* Return: bytes read, or what means that the ring has to do it. */
static int64_t read_here(struct uring *u, const struct block_request *r)
{
	const struct iovec *iov;
	unsigned count;
	int64_t result;

	iov = block_step_iov(r, &count);
	result = preadv2(r->file->fd, iov, (int)count,
			 (off_t)block_step_offset(r), READ_NOWAIT);
	if (result <= 0)
		u->untried = UNTRIED_READS;
	return result;
}

static void queue_entry(struct uring *u, struct block_request *r)
{
	struct io_uring_sqe *sqe = next_entry(u);

	prepare(sqe, r);
	io_uring_sqe_set_data(sqe, r);
}

static struct block_request *take_alone(struct uring *u)
{
	struct block_request *r = u->alone;

	u->alone = NULL;
	return r;
}

static void uring_submit(struct block_queue *q, struct block_request *r)
{
	struct uring *u = q->engine_state;

	if (u->alone)
		queue_entry(u, take_alone(u));
	/* Rare: a device that knows nothing better. It has no io_uring form
	 * before Linux 6.12, and is done quickly. */
	if (r->step == STEP_DISCARD)
		block_step_finish(q, r, block_step_call(r));
	else if (writes_here(u, r))
		block_step_finish(q, r, write_here(u, r));
	else if (!io_uring_sq_ready(&u->ring) && reads_here(u, r))
		u->alone = r;
	else
		queue_entry(u, r);
}

static void uring_kick(struct block_queue *q)
{
	struct uring *u = q->engine_state;

	/* What was read in part comes again. */
	while (u->alone) {
		struct block_request *r = take_alone(u);
		int64_t result = read_here(u, r);

		if (result > 0)
			block_step_finish(q, r, result);
		else
			queue_entry(u, r);
	}
	if (io_uring_sq_ready(&u->ring))
		enter(u);
}

static unsigned uring_reap(struct block_queue *q, bool wait)
{
	struct uring *u = q->engine_state;
	struct io_uring_cqe *cqe[REAP_BATCH];
	unsigned n;

	n = io_uring_peek_batch_cqe(&u->ring, cqe, REAP_BATCH);
	if (!n && wait && !io_uring_wait_cqe(&u->ring, cqe))
		n = 1;
	for (unsigned i = 0; i < n; i++) {
		struct block_request *r = io_uring_cqe_get_data(cqe[i]);
		int result = cqe[i]->res;

		io_uring_cq_advance(&u->ring, 1);
		block_step_finish(q, r, result);
	}
	return n;
}

const struct block_engine block_engine_uring = {
	.name = "io_uring",
	.open = uring_open,
	.close = uring_close,
	.submit = uring_submit,
	.kick = uring_kick,
	.reap = uring_reap,
};
