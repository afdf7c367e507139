/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: images and their queues: opening, dispatch, waiting; see block.h */
#include "devices/block/block.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "vmm/base/bytes.h"
#include "vmm/base/check.h"
#include "vmm/base/log.h"

#include "devices/block/impl.h"

/* ---- images ------------------------------------------------------------ */

/* A hint only: nothing is decided by it. */
static void hint_type(const struct block_file *f)
{
	uint8_t magic[4];

	if (!block_file_read(f, 0, magic, sizeof(magic)) &&
	    get_be32(magic) == 0x514649fb) /* "QFI\xfb" */
		log_warn("%s: begins like a qcow2 image, but is used as raw, "
			 "because image_type= is not given: say "
			 "image_type=qcow2, or image_type=raw",
			 f->what);
}

static const struct block_format *format_of(enum block_type type)
{
	return type == BLOCK_QCOW2 ? &block_qcow2 : &block_raw;
}

static void info_preset(struct block *b, bool sparse)
{
	const struct block_file *f = b->file[0];

	b->info = (struct block_info){
		.logical_bytes = f->logical_bytes,
		.physical_bytes = f->physical_bytes,
		.io_min_bytes = f->io_min_bytes,
		.io_opt_bytes = f->io_opt_bytes,
		.discard_bytes = f->physical_bytes,
		.mem_align = f->mem_align,
		.readonly = f->readonly,
		.discard = sparse && !f->readonly,
		.write_zeroes = !f->readonly,
	};
}

static void close_files(struct block *b)
{
	for (unsigned i = 0; i < b->file_count; i++)
		block_file_close(b->file[i]);
}

int block_open(struct block **out, const struct block_options *opt,
	       struct diag *d)
{
	struct block *b = calloc(1, sizeof(*b));
	struct block_file *f;
	int err;

	if (!b)
		return diag_fail(d, ENOMEM, "out of memory");
	b->format = format_of(opt->type);
	b->engine = opt->engine;
	err = block_file_open(b, opt, &f, d);
	if (err)
		goto err_free;
	if (opt->type == BLOCK_AUTO)
		hint_type(f);
	info_preset(b, opt->sparse);
	err = b->format->open(b, opt, d);
	if (err)
		goto err_free;
	b->info.capacity_bytes = b->capacity;
	*out = b;
	return 0;
err_free:
	close_files(b);
	free(b);
	return err;
}

void block_close(struct block *b)
{
	if (!b)
		return;
	if (b->format->close)
		b->format->close(b);
	close_files(b);
	free(b);
}

const struct block_info *block_info(const struct block *b)
{
	return &b->info;
}

uint64_t block_capacity(const struct block *b)
{
	return atomic_load_explicit(&b->capacity, memory_order_relaxed);
}

int block_resize(struct block *b, uint64_t bytes, struct diag *d)
{
	const char *what = b->file[0]->what;
	uint64_t now = b->capacity;

	if (b->info.readonly)
		return diag_fail(d, EROFS, "%s: cannot be resized: read-only",
				 what);
	if (!bytes || bytes % b->info.logical_bytes || bytes > INT64_MAX)
		return diag_fail(d, EINVAL,
				 "%s: new size of %llu bytes: must be a "
				 "multiple of %u",
				 what, (unsigned long long)bytes,
				 b->info.logical_bytes);
	if (bytes < now)
		return diag_fail(d, EINVAL,
				 "%s: new size of %llu bytes: must not be less "
				 "than now (%llu), that would lose data",
				 what, (unsigned long long)bytes,
				 (unsigned long long)now);
	return b->format->resize(b, bytes, d);
}

/* ---- queues ------------------------------------------------------------ */

static void notice_quiet(struct block_queue *q)
{
	if (q->in_flight || !atomic_load(&q->busy))
		return;
	atomic_store(&q->busy, false);
	if (!atomic_load(&q->waiters))
		return;
	pthread_mutex_lock(&q->lock);
	pthread_cond_broadcast(&q->quiet);
	pthread_mutex_unlock(&q->lock);
}

/* Until the engine or a job is done. */
static void wait_for_either(const struct block_queue *q)
{
	struct pollfd fd[] = { { .fd = q->source.fd, .events = POLLIN },
			       { .fd = q->job_fd, .events = POLLIN } };

	poll(fd, ARRAY_SIZE(fd), -1);
}

static unsigned reap_jobs(struct block_queue *q)
{
	return q->b->format->reap ? q->b->format->reap(q) : 0;
}

/* Return: how many were delivered; may be 0 in spite of @wait. */
static unsigned reap(struct block_queue *q, bool wait)
{
	unsigned n = reap_jobs(q);

	if (!n && wait && q->jobs) {
		wait_for_either(q);
		n = reap_jobs(q);
	}
	return n + q->engine->reap(q, wait && !n && !q->jobs && q->in_flight);
}

/* Start and deliver until nothing is ready; @wait: not before one was. */
static void run(struct block_queue *q, bool wait)
{
	q->kicking = true;
	do {
		q->engine->kick(q);
		wait = wait && q->in_flight;
	} while (reap(q, wait) && (wait = false, true));
	q->kicking = false;
}

static void run_as_client(struct block_queue *q, bool wait)
{
	if (q->client.begin)
		q->client.begin(q->client.opaque);
	run(q, wait);
	if (q->client.end)
		q->client.end(q->client.opaque);
	notice_quiet(q);
}

static void queue_ready(void *opaque, uint32_t events)
{
	struct block_queue *q = opaque;

	(void)events;
	run_as_client(q, false);
}

void block_queue_run(struct block_queue *q)
{
	run_as_client(q, false);
}

/* The host may refuse io_uring: seccomp, sysctl, memory limits, an old one. */
static int open_engine(struct block_queue *q, struct diag *d)
{
	enum block_engine_choice choice = q->b->engine;
	int err;

	q->engine = choice == ENGINE_THREADS ? &block_engine_threads
					     : &block_engine_uring;
	err = q->engine->open(q, choice == ENGINE_AUTO ? NULL : d);
	if (!err || choice != ENGINE_AUTO)
		return err;
	log_info("%s: io_uring is refused here (%s): threads do the I/O",
		 q->b->file[0]->what, strerror(-err));
	q->engine = &block_engine_threads;
	return q->engine->open(q, d);
}

static int queue_start(struct block_queue *q, struct diag *d)
{
	int err = open_engine(q, d);

	if (err)
		return err;
	q->source.ready = queue_ready;
	q->source.opaque = q;
	err = event_add(q->loop, &q->source, EPOLLIN);
	if (err) {
		q->engine->close(q);
		return diag_errno(d, -err, "%s: event loop",
				  q->b->file[0]->what);
	}
	if (q->b->format->queue_new)
		err = q->b->format->queue_new(q, d);
	if (err) {
		event_del(q->loop, &q->source);
		q->engine->close(q);
	}
	return err;
}

int block_queue_new(struct block_queue **out, struct block *b,
		    struct event_loop *loop, unsigned depth,
		    const struct block_client *client, struct diag *d)
{
	struct block_queue *q = calloc(1, sizeof(*q));
	int err;

	if (!q)
		return diag_fail(d, ENOMEM, "out of memory");
	q->b = b;
	q->loop = loop;
	q->depth = depth;
	q->client = *client;
	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->quiet, NULL);
	err = queue_start(q, d);
	if (err) {
		pthread_cond_destroy(&q->quiet);
		pthread_mutex_destroy(&q->lock);
		free(q);
		return err;
	}
	*out = q;
	return 0;
}

void block_queue_free(struct block_queue *q)
{
	if (!q)
		return;
	CHECK(!q->in_flight);
	if (q->b->format->queue_free)
		q->b->format->queue_free(q);
	event_del(q->loop, &q->source);
	q->engine->close(q);
	pthread_cond_destroy(&q->quiet);
	pthread_mutex_destroy(&q->lock);
	free(q);
}

static void own(struct block_queue *q)
{
	if (q->owned)
		return;
	q->owner = pthread_self();
	q->owned = true;
}

void block_kick(struct block_queue *q)
{
	if (q->kicking || !atomic_load_explicit(&q->busy, memory_order_relaxed))
		return;
	run(q, false);
	notice_quiet(q);
}

static void wait_for_owner(struct block_queue *q)
{
	pthread_mutex_lock(&q->lock);
	atomic_fetch_add(&q->waiters, 1);
	while (atomic_load(&q->busy))
		pthread_cond_wait(&q->quiet, &q->lock);
	atomic_fetch_sub(&q->waiters, 1);
	pthread_mutex_unlock(&q->lock);
}

void block_queue_wait(struct block_queue *q)
{
	if (!atomic_load(&q->busy))
		return;
	if (!pthread_equal(q->owner, pthread_self())) {
		wait_for_owner(q);
		return;
	}
	while (q->in_flight)
		run_as_client(q, true);
	notice_quiet(q);
}

/* ---- requests ---------------------------------------------------------- */

void block_submit(struct block_queue *q, struct block_request *r)
{
	const struct block *b = q->b;

	r->moved_bytes = 0;
	if (r->op != BLOCK_FLUSH &&
	    (!range_within(r->offset_bytes, r->len_bytes, 0,
			   block_capacity(b)) ||
	     (r->offset_bytes | r->len_bytes) & (b->info.logical_bytes - 1)))
		r->done(r, -EINVAL);
	else if (b->info.readonly && r->op != BLOCK_READ &&
		 r->op != BLOCK_FLUSH)
		r->done(r, -EROFS);
	else
		b->format->submit(q, r);
}

static void complete(struct block_queue *q, struct block_request *r, int err)
{
	block_step_release(r);
	q->in_flight--;
	r->done(r, err);
}

static void go_on(struct block_queue *q, struct block_request *r, int step)
{
	if (step > 0)
		q->engine->submit(q, r);
	else
		complete(q, r, step);
}

static void begin(struct block_queue *q)
{
	if (q->in_flight++)
		return;
	own(q);
	atomic_store_explicit(&q->busy, true, memory_order_relaxed);
}

void block_job_begin(struct block_queue *q)
{
	begin(q);
	q->jobs++;
}

void block_job_end(struct block_queue *q)
{
	q->in_flight--;
	q->jobs--;
}

void block_file_submit(struct block_queue *q, struct block_file *file,
		       struct block_request *r)
{
	r->file = file;
	begin(q);
	go_on(q, r, block_step_first(r));
}

void block_step_finish(struct block_queue *q, struct block_request *r,
		       int64_t result)
{
	go_on(q, r, block_step_next(r, result));
}
