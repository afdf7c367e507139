/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: block I/O by a pool of threads, where io_uring is refused
 *
 * Each queue has a few workers that take requests from a list and make the
 * system calls; results go to another list and make an eventfd readable.
 *
 * Threads: everything on the queue's thread, but worker().
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/base/eventfd.h"

#include "devices/block/impl.h"

#define WORKERS 4 /* system calls at once; each queue has its own */

/** struct list - a queue of requests, linked by block_request.next */
struct list {
	struct block_request *first, **end;
};

/**
 * struct pool - block_queue.engine_state
 * @submitted: on the queue's thread, until the kick
 * @lock: guards @todo, @finished, @stop
 */
struct pool {
	struct list submitted;
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct list todo, finished;
	bool stop;
	int event_fd;
	pthread_t worker[WORKERS];
	unsigned worker_count;
};

static void list_init(struct list *l)
{
	l->first = NULL;
	l->end = &l->first;
}

static void list_add(struct list *l, struct block_request *r)
{
	r->next = NULL;
	*l->end = r;
	l->end = &r->next;
}

static struct block_request *list_take(struct list *l)
{
	struct block_request *r = l->first;

	if (r)
		l->first = r->next;
	if (!l->first)
		l->end = &l->first;
	return r;
}

/* Move all of @from behind @to. */
static void list_move(struct list *to, struct list *from)
{
	if (!from->first)
		return;
	*to->end = from->first;
	to->end = from->end;
	list_init(from);
}

/* ---- workers ----------------------------------------------------------- */

static struct block_request *next_todo(struct pool *p)
{
	struct block_request *r;

	pthread_mutex_lock(&p->lock);
	while (!p->todo.first && !p->stop)
		pthread_cond_wait(&p->work, &p->lock);
	r = list_take(&p->todo);
	pthread_mutex_unlock(&p->lock);
	return r;
}

static void report(struct pool *p, struct block_request *r)
{
	bool first;

	pthread_mutex_lock(&p->lock);
	first = !p->finished.first;
	list_add(&p->finished, r);
	pthread_mutex_unlock(&p->lock);
	if (first)
		eventfd_add(p->event_fd, false);
}

static void *worker(void *opaque)
{
	struct pool *p = opaque;
	struct block_request *r;

	while ((r = next_todo(p))) {
		r->result = block_step_call(r);
		report(p, r);
	}
	return NULL;
}

/* ---- the queue's thread ------------------------------------------------ */

static void pool_close(struct block_queue *q)
{
	struct pool *p = q->engine_state;

	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_cond_broadcast(&p->work);
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->worker_count; i++)
		pthread_join(p->worker[i], NULL);
	if (p->event_fd >= 0)
		close(p->event_fd);
	pthread_cond_destroy(&p->work);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

static int start_workers(struct pool *p)
{
	int err = 0;

	while (!err && p->worker_count < WORKERS) {
		err = pthread_create(&p->worker[p->worker_count], NULL, worker,
				     p);
		p->worker_count += !err;
	}
	return p->worker_count ? 0 : err; /* one will do */
}

static int pool_open(struct block_queue *q, struct diag *d)
{
	struct pool *p = calloc(1, sizeof(*p));
	int err;

	if (!p)
		return diag_fail(d, ENOMEM, "out of memory");
	list_init(&p->submitted);
	list_init(&p->todo);
	list_init(&p->finished);
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->work, NULL);
	p->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	err = p->event_fd < 0 ? errno : start_workers(p);
	q->engine_state = p;
	q->source.fd = p->event_fd;
	if (!err)
		return 0;
	pool_close(q);
	return diag_errno(d, err, "%s: threads for I/O", q->b->file[0]->what);
}

static void pool_submit(struct block_queue *q, struct block_request *r)
{
	struct pool *p = q->engine_state;

	list_add(&p->submitted, r);
}

static void pool_kick(struct block_queue *q)
{
	struct pool *p = q->engine_state;
	bool several;

	if (!p->submitted.first)
		return;
	several = p->submitted.first->next;
	pthread_mutex_lock(&p->lock);
	list_move(&p->todo, &p->submitted);
	if (several)
		pthread_cond_broadcast(&p->work);
	else
		pthread_cond_signal(&p->work);
	pthread_mutex_unlock(&p->lock);
}

static unsigned pool_reap(struct block_queue *q, bool wait)
{
	struct pool *p = q->engine_state;
	struct pollfd readable = { .fd = p->event_fd, .events = POLLIN };
	struct list finished;
	struct block_request *r;
	unsigned n = 0;

	if (wait)
		poll(&readable, 1, -1);
	if (eventfd_take(p->event_fd))
		return 0;
	list_init(&finished);
	pthread_mutex_lock(&p->lock);
	list_move(&finished, &p->finished);
	pthread_mutex_unlock(&p->lock);
	for (; (r = list_take(&finished)); n++)
		block_step_finish(q, r, r->result);
	return n;
}

const struct block_engine block_engine_threads = {
	.name = "threads",
	.open = pool_open,
	.close = pool_close,
	.submit = pool_submit,
	.kick = pool_kick,
	.reap = pool_reap,
};
