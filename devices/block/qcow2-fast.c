/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: qcow2 requests, the short way: on the queue's thread
 *
 * Reads whose L2 tables are cached, of this image and of those that it is laid
 * over, and writes to clusters that are ours alone become requests on the
 * files, which the engine does as it does for raw images. One cluster, or
 * neighbours, cost no memory; what is in several places takes a request for
 * each. All else goes to a worker, as a whole.
 *
 * Each request belongs to an epoch from before it looks something up until it
 * is done: see struct qcow2_grave.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/base/check.h"
#include "vmm/base/iov.h"

#include "devices/block/qcow2-impl.h"

#define PIECES_MAX 32

/**
 * struct target - where a part of a request goes
 * @file: NULL: zeros
 * @at: offset in it
 * @bytes: how much
 */
struct target {
	struct block_file *file;
	uint64_t at, bytes;
};

/**
 * struct piece - a part of a request, on its way
 * @iov: its part of the vectors
 */
struct piece {
	struct qcow2_op *op;
	struct block_request child;
	struct iovec iov[];
};

/* ---- epochs and ops ---------------------------------------------------- */

static void enter(struct qcow2_op *op)
{
	struct qcow2_queue *fq = op->queue;

	for (;;) {
		op->epoch = atomic_load(&fq->image->epoch);
		atomic_fetch_add(&fq->epoch[op->epoch & 1], 1);
		if (atomic_load(&fq->image->epoch) == op->epoch)
			return;
		atomic_fetch_sub(&fq->epoch[op->epoch & 1], 1);
	}
}

static struct qcow2_op *op_new(struct qcow2_queue *fq, struct block_request *r)
{
	struct qcow2_op *op = fq->spare;

	if (op)
		fq->spare = op->next;
	else
		op = calloc(1, sizeof(*op));
	if (!op)
		return NULL;
	op->queue = fq;
	op->r = r;
	op->err = 0;
	enter(op);
	return op;
}

static void op_done(struct qcow2_op *op)
{
	struct qcow2_queue *fq = op->queue;
	struct block_request *r = op->r;
	int err = op->err;

	atomic_fetch_sub(&fq->epoch[op->epoch & 1], 1);
	op->next = fq->spare;
	fq->spare = op;
	r->done(r, err);
}

/* ---- where things are -------------------------------------------------- */

/* Reading: follow the images down. false: a worker has to. */
static bool read_target(struct qcow2 *q, uint64_t offset, uint64_t len,
			struct target *t)
{
	struct qcow2_run run;

	for (;; q = q->under) {
		qcow2_map_find(q, offset, len, &run);
		len = t->bytes = run.bytes;
		t->at = run.host;
		t->file = run.kind == QCOW2_DATA ? q->file : NULL;
		if (run.kind != QCOW2_HOLE)
			return run.kind == QCOW2_DATA ||
			       run.kind == QCOW2_ZEROS;
		if (offset >= q->under_bytes)
			return true; /* or there is none */
		len = t->bytes = MIN(len, q->under_bytes - offset);
		if (!q->under)
			break;
	}
	t->file = q->under_raw;
	t->at = offset;
	return true;
}

static bool write_target(struct qcow2 *q, uint64_t offset, uint64_t len,
			 struct target *t)
{
	struct qcow2_run run;

	qcow2_map_find(q, offset, len, &run);
	t->file = q->file;
	t->at = run.host;
	t->bytes = run.bytes;
	return run.kind == QCOW2_DATA && run.copied && !q->failed;
}

static bool find_target(const struct qcow2_op *op, uint64_t done,
			struct target *t)
{
	const struct block_request *r = op->r;
	struct qcow2 *q = op->queue->image;
	uint64_t offset = r->offset_bytes + done, len = r->len_bytes - done;

	return r->op == BLOCK_READ ? read_target(q, offset, len, t)
				   : write_target(q, offset, len, t);
}

/* ---- requests on files ------------------------------------------------- */

static void child_done(struct block_request *child, int err)
{
	struct qcow2_op *op = container_of(child, struct qcow2_op, child);

	op->err = err;
	op_done(op);
}

static void submit_whole(struct qcow2_op *op, const struct target *t)
{
	struct block_request *child = &op->child;

	child->op = op->r->op;
	child->iov = op->r->iov;
	child->iov_count = op->r->iov_count;
	child->offset_bytes = t->at;
	child->len_bytes = op->r->len_bytes;
	child->done = child_done;
	block_file_submit(op->queue->q, t->file, child);
}

static void drop_piece(struct qcow2_op *op, int err)
{
	if (err && !op->err)
		op->err = err;
	if (!--op->pieces)
		op_done(op);
}

static void piece_done(struct block_request *child, int err)
{
	struct piece *p = container_of(child, struct piece, child);
	struct qcow2_op *op = p->op;

	free(p);
	drop_piece(op, err);
}

static int submit_piece(struct qcow2_op *op, const struct target *t,
			uint64_t done)
{
	const struct block_request *r = op->r;
	struct piece *p =
		calloc(1, sizeof(*p) + r->iov_count * sizeof(p->iov[0]));

	if (!p)
		return -ENOMEM;
	p->op = op;
	p->child.op = r->op;
	p->child.iov = p->iov;
	p->child.iov_count = iov_slice(p->iov, r->iov_count, r->iov,
				       r->iov_count, done, t->bytes);
	p->child.offset_bytes = t->at;
	p->child.len_bytes = t->bytes;
	p->child.done = piece_done;
	if (t->file) {
		op->pieces++;
		block_file_submit(op->queue->q, t->file, &p->child);
		return 0;
	}
	for (unsigned i = 0; i < p->child.iov_count; i++)
		memset(p->iov[i].iov_base, 0, p->iov[i].iov_len);
	free(p);
	return 0;
}

static void submit_pieces(struct qcow2_op *op, const struct target *t,
			  unsigned count)
{
	uint64_t done = 0;
	int err = 0;

	op->pieces = 1;
	for (unsigned i = 0; i < count && !err; i++) {
		err = submit_piece(op, &t[i], done);
		done += t[i].bytes;
	}
	drop_piece(op, err);
}

/* Return: false if a worker has to do it. */
static bool transfer(struct qcow2_op *op)
{
	struct target t[PIECES_MAX];
	uint64_t done = 0;
	unsigned n = 0;

	while (done < op->r->len_bytes) {
		if (n == PIECES_MAX || !find_target(op, done, &t[n]))
			return false;
		done += t[n++].bytes;
	}
	if (n == 1 && t[0].file)
		submit_whole(op, t);
	else
		submit_pieces(op, t, n);
	return true;
}

static bool flush(struct qcow2_op *op)
{
	struct qcow2 *q = op->queue->image;
	struct target t = { .file = q->file };

	if (q->dirty || q->failed)
		return false;
	submit_whole(op, &t);
	return true;
}

static bool start(struct qcow2_op *op)
{
	switch (op->r->op) {
	case BLOCK_READ:
	case BLOCK_WRITE:
		return transfer(op);
	case BLOCK_FLUSH:
		return flush(op);
	case BLOCK_DISCARD:
	case BLOCK_ZERO:
	default:
		return false;
	}
}

void qcow2_submit(struct block_queue *q, struct block_request *r)
{
	struct qcow2_op *op = op_new(q->format, r);

	if (!op) {
		r->done(r, -ENOMEM);
	} else if (!start(op)) {
		block_job_begin(q);
		qcow2_work(op);
	}
}

/* ---- what workers have done -------------------------------------------- */

void qcow2_finish(struct qcow2_op *op)
{
	struct qcow2_queue *fq = op->queue;
	uint64_t one = 1;
	bool first;

	op->next = NULL;
	pthread_mutex_lock(&fq->lock);
	first = !fq->done;
	*fq->tail = op;
	fq->tail = &op->next;
	/* Under the lock: who reaps this may be the last. It cannot fail: the
	 * counter would have to reach 2^64 - 1. */
	if (first)
		CHECK(write(fq->source.fd, &one, sizeof(one)) == sizeof(one));
	pthread_mutex_unlock(&fq->lock);
}

static struct qcow2_op *take_done(struct qcow2_queue *fq)
{
	struct qcow2_op *op;
	uint64_t count;

	pthread_mutex_lock(&fq->lock);
	op = fq->done;
	if (op && read(fq->source.fd, &count, sizeof(count)) < 0)
		count = 0; /* not blocking; there may be nothing */
	fq->done = NULL;
	fq->tail = &fq->done;
	pthread_mutex_unlock(&fq->lock);
	return op;
}

unsigned qcow2_reap(struct block_queue *q)
{
	struct qcow2_queue *fq = q->format;
	struct qcow2_op *op, *next;
	unsigned n = 0;

	if (!q->jobs)
		return 0;
	for (op = take_done(fq); op; op = next) {
		next = op->next;
		n++;
		block_job_end(q);
		op_done(op);
	}
	return n;
}

static void done_ready(void *opaque, uint32_t events)
{
	struct qcow2_queue *fq = opaque;

	(void)events;
	block_queue_run(fq->q);
}

/* ---- life -------------------------------------------------------------- */

static void attach(struct qcow2_queue *fq)
{
	struct qcow2 *q = fq->image;

	pthread_mutex_lock(&q->lock);
	fq->next = q->queues;
	q->queues = fq;
	pthread_mutex_unlock(&q->lock);
}

static void detach(struct qcow2_queue *fq)
{
	struct qcow2 *q = fq->image;
	struct qcow2_queue **at = &q->queues;

	pthread_mutex_lock(&q->lock);
	while (*at != fq)
		at = &(*at)->next;
	*at = fq->next;
	pthread_mutex_unlock(&q->lock);
}

static int watch(struct qcow2_queue *fq, struct diag *d)
{
	int err = 0;

	fq->source.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fq->source.fd < 0)
		return diag_errno(d, errno, "%s: eventfd", fq->image->what);
	err = event_add(fq->q->loop, &fq->source, EPOLLIN);
	if (!err)
		return 0;
	close(fq->source.fd);
	return diag_errno(d, -err, "%s: event loop", fq->image->what);
}

int qcow2_queue_new(struct block_queue *q, struct diag *d)
{
	struct qcow2_queue *fq = calloc(1, sizeof(*fq));
	int err;

	if (!fq)
		return diag_fail(d, ENOMEM, "out of memory");
	fq->q = q;
	fq->image = q->b->state;
	fq->tail = &fq->done;
	fq->source.ready = done_ready;
	fq->source.opaque = fq;
	err = watch(fq, d);
	if (err) {
		free(fq);
		return err;
	}
	pthread_mutex_init(&fq->lock, NULL);
	q->job_fd = fq->source.fd;
	q->format = fq;
	attach(fq);
	return 0;
}

void qcow2_queue_free(struct block_queue *q)
{
	struct qcow2_queue *fq = q->format;
	struct qcow2_op *op;

	detach(fq);
	event_del(q->loop, &fq->source);
	close(fq->source.fd);
	while ((op = fq->spare)) {
		fq->spare = op->next;
		free(op);
	}
	pthread_mutex_destroy(&fq->lock);
	free(fq);
}
