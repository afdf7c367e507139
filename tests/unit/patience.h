/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: waiting, for tests on hosts that have other things to do
 *
 * A test must not fail because it, or a thread it waits for, did not run for a
 * while. So what must happen is waited for until a hang is the only
 * explanation, what must not have happened yet is only claimed while the clock
 * says so, and an event loop that ran for some time has done all that was due
 * by then. Nothing here needs Check, except by its users.
 */
#ifndef TESTS_UNIT_PATIENCE_H
#define TESTS_UNIT_PATIENCE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "vmm/base/check.h"
#include "vmm/event.h"

#define PATIENCE_MS 60000

static inline uint64_t patience_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/** ms_since - whole milliseconds since patience_ns() was @ns, rounded up */
static inline uint64_t ms_since(uint64_t ns)
{
	return (patience_ns() - ns + 999999) / 1000000;
}

/** WAIT_UNTIL - sleep until @cond holds, while other threads work; false if it
 * never did */
#define WAIT_UNTIL(cond)                                                   \
	({                                                                 \
		uint64_t from_ = patience_ns();                            \
		bool ok_;                                                  \
		while (!(ok_ = !!(cond)) && ms_since(from_) < PATIENCE_MS) \
			usleep(100);                                       \
		ok_;                                                       \
	})

struct patience_rounds {
	struct event_loop *loop;
	unsigned left;
};

static inline void patience_round(void *opaque, uint32_t events)
{
	struct patience_rounds *r = opaque;

	(void)events;
	if (!--r->left)
		event_loop_stop(r->loop);
}

/** loop_run_ready - rounds over whatever is ready, without waiting for more */
static inline void loop_run_ready(struct event_loop *loop)
{
	struct patience_rounds r = { loop, 16 };
	struct event_source always = { eventfd(1, EFD_CLOEXEC), patience_round,
				       &r };

	CHECK(!event_add(loop, &always, EPOLLIN));
	event_loop_run(loop);
	event_del(loop, &always);
	close(always.fd);
}

static inline void patience_stop(void *loop)
{
	event_loop_stop(loop);
}

/** loop_run_ms - run for @ms and until all that was ready by then is done */
static inline void loop_run_ms(struct event_loop *loop, unsigned ms)
{
	struct event_timer t;

	CHECK(!event_timer_init(&t, loop, patience_stop, loop));
	event_timer_set(&t, (uint64_t)ms * 1000000, 0);
	event_loop_run(loop);
	event_timer_release(&t);
	loop_run_ready(loop);
}

/** LOOP_UNTIL - run @loop until @cond holds; false if it never did */
#define LOOP_UNTIL(loop, cond)                                             \
	({                                                                 \
		uint64_t from_ = patience_ns();                            \
		bool ok_;                                                  \
		while (!(ok_ = !!(cond)) && ms_since(from_) < PATIENCE_MS) \
			loop_run_ms(loop, 2);                              \
		ok_;                                                       \
	})

#endif
