/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: the main event loop: file descriptors and timers
 *
 * One epoll set, run by the main thread. Callbacks run on that thread, one at
 * a time. Sources may be added and removed from any thread and from inside
 * callbacks; a source removed by the main thread is never called again.
 */
#ifndef VMM_EVENT_H
#define VMM_EVENT_H

#include <stdint.h>

#include "vmm/base/diag.h"
#include "vmm/base/types.h"

struct event_loop;

/**
 * struct event_source - one watched file descriptor; owned by the caller
 * @fd: the descriptor; stays the caller's
 * @ready: called with the epoll events (EPOLLIN, …) that are ready
 * @opaque: passed to @ready
 *
 * Must stay in place until event_del().
 */
struct event_source {
	int fd;
	void (*ready)(void *opaque, uint32_t events);
	void *opaque;
};

/** struct event_timer - a one-shot or periodic timer; owned by the caller */
struct event_timer {
	struct event_source source;
	void (*expired)(void *opaque);
	void *opaque;
	struct event_loop *loop;
};

/** event_loop_new - Return: a loop, or NULL and @d says why */
struct event_loop *event_loop_new(struct diag *d);

/** event_loop_free - accepts NULL; sources must be deleted before */
void event_loop_free(struct event_loop *loop);

/** event_add - watch @src for @events (EPOLLIN | EPOLLOUT | EPOLLET …)
 * Return: 0 or -errno of epoll_ctl (EPERM: regular files are always ready) */
int event_add(struct event_loop *loop, struct event_source *src,
	      uint32_t events);

/** event_mod - change the watched events */
int event_mod(struct event_loop *loop, struct event_source *src,
	      uint32_t events);

/** event_del - stop watching; ignores sources that are not watched */
void event_del(struct event_loop *loop, struct event_source *src);

/** event_timer_init - a disarmed timer on CLOCK_MONOTONIC; 0 or -errno */
int event_timer_init(struct event_timer *t, struct event_loop *loop,
		     void (*expired)(void *opaque), void *opaque);

/** event_timer_set - fire in @delay_ns (0 disarms), then every @period_ns
 * (0: once); any thread */
void event_timer_set(struct event_timer *t, uint64_t delay_ns,
		     uint64_t period_ns);

/** event_timer_release - disarm and free; accepts a zeroed timer */
void event_timer_release(struct event_timer *t);

/**
 * event_signals - watch the signals that end a program: SIGTERM, SIGINT, SIGHUP
 * @src: its @ready is called for them and reads struct signalfd_siginfo, or
 *	stops the loop; @fd becomes a signalfd that the caller closes
 *
 * Blocks them for the calling thread and those that it starts from now on, so
 * call it on the main thread before there are others.
 *
 * Return: 0 or -errno with @d; @src->fd is -1 then.
 */
int event_signals(struct event_loop *loop, struct event_source *src,
		  struct diag *d);

/** event_signals_end - close what event_signals() made; the signals stay
 * blocked */
void event_signals_end(struct event_loop *loop, struct event_source *src);

/** event_loop_run - call back until event_loop_stop(); main thread */
void event_loop_run(struct event_loop *loop);

/** event_loop_stop - make event_loop_run() return; any thread and signal
 * handlers; a stop before the run ends that run at once */
void event_loop_stop(struct event_loop *loop);

#endif
