/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: the main event loop on epoll and timerfd, see event.h
 *
 * Removal inside a callback: the batch of ready events that epoll_wait()
 * returned may still name the removed source, so event_del() on the loop
 * thread blanks it in the batch.
 */
#include "vmm/event.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "vmm/base/eventfd.h"

#define BATCH 32

struct event_loop {
	int epoll_fd;
	int stop_fd;
	atomic_bool stopped;
	pthread_mutex_t lock; /* guards batch, batch_count */
	struct epoll_event batch[BATCH];
	int batch_count;
};

struct event_loop *event_loop_new(struct diag *d)
{
	struct event_loop *loop = calloc(1, sizeof(*loop));
	/* Edge-triggered: a stop that is counted after the run it ended must
	 * not keep the next run awake. */
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };

	if (!loop) {
		diag_fail(d, ENOMEM, "out of memory");
		return NULL;
	}
	pthread_mutex_init(&loop->lock, NULL);
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	loop->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->epoll_fd < 0 || loop->stop_fd < 0 ||
	    epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->stop_fd, &ev) < 0) {
		diag_errno(d, errno, "cannot create the event loop");
		event_loop_free(loop);
		return NULL;
	}
	return loop;
}

void event_loop_free(struct event_loop *loop)
{
	if (!loop)
		return;
	if (loop->epoll_fd >= 0)
		close(loop->epoll_fd);
	if (loop->stop_fd >= 0)
		close(loop->stop_fd);
	pthread_mutex_destroy(&loop->lock);
	free(loop);
}

int event_add(struct event_loop *loop, struct event_source *src,
	      uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = src };

	return epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, src->fd, &ev) < 0
		       ? -errno
		       : 0;
}

int event_mod(struct event_loop *loop, struct event_source *src,
	      uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = src };

	return epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, src->fd, &ev) < 0
		       ? -errno
		       : 0;
}

void event_del(struct event_loop *loop, struct event_source *src)
{
	epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, src->fd, NULL);
	pthread_mutex_lock(&loop->lock);
	for (int i = 0; i < loop->batch_count; i++)
		if (loop->batch[i].data.ptr == src)
			loop->batch[i].data.ptr = NULL;
	pthread_mutex_unlock(&loop->lock);
}

/* Take entry @i out of the batch; NULL if it was removed or is the stop fd. */
static struct event_source *batch_take(struct event_loop *loop, int i,
				       uint32_t *events)
{
	struct event_source *src;

	pthread_mutex_lock(&loop->lock);
	src = loop->batch[i].data.ptr;
	*events = loop->batch[i].events;
	pthread_mutex_unlock(&loop->lock);
	return src;
}

static void wait_batch(struct event_loop *loop)
{
	struct epoll_event ready[BATCH];
	int n = epoll_wait(loop->epoll_fd, ready, BATCH, -1);

	pthread_mutex_lock(&loop->lock);
	loop->batch_count = MAX(n, 0);
	if (n > 0)
		memcpy(loop->batch, ready, (size_t)n * sizeof(ready[0]));
	pthread_mutex_unlock(&loop->lock);
}

void event_loop_run(struct event_loop *loop)
{
	struct event_source *src;
	uint32_t events;

	while (!atomic_load(&loop->stopped)) {
		wait_batch(loop);
		for (int i = 0; i < loop->batch_count; i++) {
			src = batch_take(loop, i, &events);
			if (src)
				src->ready(src->opaque, events);
		}
		pthread_mutex_lock(&loop->lock);
		loop->batch_count = 0;
		pthread_mutex_unlock(&loop->lock);
	}
	atomic_store(&loop->stopped, false);
	eventfd_take(loop->stop_fd);
}

void event_loop_stop(struct event_loop *loop)
{
	atomic_store(&loop->stopped, true);
	eventfd_add(loop->stop_fd, false);
}

static void timer_ready(void *opaque, uint32_t events)
{
	struct event_timer *t = opaque;
	uint64_t count;

	(void)events;
	/* EAGAIN: re-armed or disarmed since epoll saw it. */
	if (read(t->source.fd, &count, sizeof(count)) == sizeof(count))
		t->expired(t->opaque);
}

int event_timer_init(struct event_timer *t, struct event_loop *loop,
		     void (*expired)(void *opaque), void *opaque)
{
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	int err;

	if (fd < 0)
		return -errno;
	*t = (struct event_timer){
		.source = { .fd = fd, .ready = timer_ready, .opaque = t },
		.expired = expired,
		.opaque = opaque,
		.loop = loop,
	};
	err = event_add(loop, &t->source, EPOLLIN);
	if (err) {
		close(fd);
		memset(t, 0, sizeof(*t));
	}
	return err;
}

static struct timespec to_timespec(uint64_t ns)
{
	return (struct timespec){ .tv_sec = (time_t)(ns / 1000000000),
				  .tv_nsec = (long)(ns % 1000000000) };
}

void event_timer_set(struct event_timer *t, uint64_t delay_ns,
		     uint64_t period_ns)
{
	struct itimerspec its = { .it_value = to_timespec(delay_ns),
				  .it_interval = to_timespec(period_ns) };

	timerfd_settime(t->source.fd, 0, &its, NULL);
}

void event_timer_release(struct event_timer *t)
{
	if (!t->loop)
		return;
	event_del(t->loop, &t->source);
	close(t->source.fd);
	memset(t, 0, sizeof(*t));
}

int event_signals(struct event_loop *loop, struct event_source *src,
		  struct diag *d)
{
	sigset_t set;
	int err;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	src->fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	err = src->fd < 0 ? -errno : event_add(loop, src, EPOLLIN);
	if (!err)
		return 0;
	if (src->fd >= 0)
		close(src->fd);
	src->fd = -1;
	return diag_errno(d, -err, "cannot watch signals");
}

void event_signals_end(struct event_loop *loop, struct event_source *src)
{
	event_del(loop, src);
	close(src->fd);
	src->fd = -1;
}
