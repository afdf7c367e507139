/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: the threads of an image that do what would hold up its queues
 *
 * They start when there is something to do, at most QCOW2_WORKERS of them. A
 * worker that has had nothing to do for a while commits what is not committed
 * and frees what nobody reads any more, so that a guest's discards reach the
 * host although it does not flush.
 */
#include <errno.h>
#include <signal.h>
#include <time.h>

#include "vmm/iothread.h"

#include "devices/block/qcow2-impl.h"

#define COMMIT_AFTER_MS 1000
#define FREE_AFTER_MS	50 /* requests that were under way are done then */

void qcow2_workers_init(struct qcow2_workers *w)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&w->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&w->wake, &attr);
	pthread_condattr_destroy(&attr);
	w->tail = &w->jobs;
}

static unsigned patience_ms(const struct qcow2 *q)
{
	if (q->buried)
		return FREE_AFTER_MS;
	return q->dirty && !q->failed ? COMMIT_AFTER_MS : 0;
}

/* Return: false after @ms (0: never). Locked. */
static bool wait_for_job(struct qcow2_workers *w, unsigned ms)
{
	struct timespec until;

	if (!ms)
		return !pthread_cond_wait(&w->wake, &w->lock);
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += (long)ms * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	return pthread_cond_timedwait(&w->wake, &w->lock, &until) != ETIMEDOUT;
}

static void tidy_up(struct qcow2 *q)
{
	pthread_mutex_lock(&q->lock);
	if (q->buried)
		qcow2_exhume(q);
	else if (q->dirty && !q->failed)
		qcow2_commit(q); /* again later, if it fails */
	pthread_mutex_unlock(&q->lock);
}

/* The next job, or NULL at the end. */
static struct qcow2_op *next_job(struct qcow2 *q)
{
	struct qcow2_workers *w = &q->workers;
	struct qcow2_op *op;

	pthread_mutex_lock(&w->lock);
	w->idle++;
	while (!w->jobs && !w->stopping) {
		if (wait_for_job(w, patience_ms(q)))
			continue;
		pthread_mutex_unlock(&w->lock);
		tidy_up(q);
		pthread_mutex_lock(&w->lock);
	}
	w->idle--;
	op = w->jobs;
	if (op)
		w->jobs = op->next;
	if (!w->jobs)
		w->tail = &w->jobs;
	pthread_mutex_unlock(&w->lock);
	return op;
}

static void *worker(void *opaque)
{
	struct qcow2 *q = opaque;
	struct qcow2_scratch s;
	struct qcow2_op *op;
	int err = qcow2_scratch_init(&s, q);

	while ((op = next_job(q))) {
		op->err = err ? err : qcow2_carry_out(q, &s, op->r);
		qcow2_finish(op);
	}
	qcow2_scratch_release(&s);
	return NULL;
}

/* Signals are for other threads. Locked. */
static int start_worker(struct qcow2 *q)
{
	struct qcow2_workers *w = &q->workers;
	sigset_t old;
	int err;

	iothread_mask(&old);
	err = pthread_create(&w->thread[w->count], NULL, worker, q);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err)
		return -err;
	pthread_setname_np(w->thread[w->count], "qcow2");
	w->count++;
	return 0;
}

void qcow2_work(struct qcow2_op *op)
{
	struct qcow2 *q = op->queue->image;
	struct qcow2_workers *w = &q->workers;
	int err = 0;

	op->next = NULL;
	pthread_mutex_lock(&w->lock);
	if (!w->idle && w->count < QCOW2_WORKERS)
		err = start_worker(q);
	if (!err || w->count) {
		err = 0;
		*w->tail = op;
		w->tail = &op->next;
		pthread_cond_signal(&w->wake);
	}
	pthread_mutex_unlock(&w->lock);
	if (!err)
		return;
	op->err = err;
	qcow2_finish(op);
}

void qcow2_workers_stop(struct qcow2 *q)
{
	struct qcow2_workers *w = &q->workers;

	pthread_mutex_lock(&w->lock);
	w->stopping = true;
	pthread_cond_broadcast(&w->wake);
	pthread_mutex_unlock(&w->lock);
	for (unsigned i = 0; i < w->count; i++)
		pthread_join(w->thread[i], NULL);
	pthread_cond_destroy(&w->wake);
	pthread_mutex_destroy(&w->lock);
}
