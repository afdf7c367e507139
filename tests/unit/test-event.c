/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: the event loop: sources, timers, removal inside callbacks, stopping
 *
 * Runs under ThreadSanitizer too.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "vmm/event.h"

#include "tests/unit/suite.h"

#define MS 1000000ULL

/* A watched eventfd. */
struct bell {
	struct event_source src;
	struct event_loop *loop;
	atomic_uint rung;
	uint32_t events;
	unsigned stop_at;     /* stops the loop when rung that often */
	struct bell *victim;  /* removed by this one */
	struct bell *recruit; /* added by this one */
};

static void bell_ready(void *opaque, uint32_t events)
{
	struct bell *b = opaque;
	uint64_t count;

	b->events = events;
	ck_assert_int_eq(read(b->src.fd, &count, sizeof(count)), 8);
	if (b->victim)
		event_del(b->loop, &b->victim->src);
	if (b->recruit)
		ck_assert_int_eq(event_add(b->loop, &b->recruit->src, EPOLLIN),
				 0);
	b->recruit = NULL;
	if (atomic_fetch_add(&b->rung, 1) + 1 == b->stop_at)
		event_loop_stop(b->loop);
}

static void ring(struct bell *b)
{
	uint64_t one = 1;

	ck_assert_int_eq(write(b->src.fd, &one, sizeof(one)), 8);
}

static void bell_init(struct bell *b, struct event_loop *loop)
{
	memset(b, 0, sizeof(*b));
	b->loop = loop;
	b->src = (struct event_source){ .fd = eventfd(0, EFD_CLOEXEC |
								 EFD_NONBLOCK),
					.ready = bell_ready,
					.opaque = b };
}

static void bell_release(struct bell *b)
{
	event_del(b->loop, &b->src);
	close(b->src.fd);
}

static struct event_loop *loop_new(void)
{
	struct diag d = DIAG_INIT;
	struct event_loop *loop = event_loop_new(&d);

	ck_assert_msg(loop != NULL, "%s", d.text[0]);
	return loop;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* ---- sources ------------------------------------------------------------ */

START_TEST(test_source)
{
	struct event_loop *loop = loop_new();
	struct bell b;

	bell_init(&b, loop);
	ck_assert_int_eq(event_add(loop, &b.src, EPOLLIN), 0);
	ck_assert_int_eq(event_add(loop, &b.src, EPOLLIN), -EEXIST);
	b.stop_at = 1;
	ring(&b);
	event_loop_run(loop);
	ck_assert_uint_eq(atomic_load(&b.rung), 1);
	ck_assert_uint_eq(b.events, EPOLLIN);
	b.stop_at = 2;
	ring(&b);
	event_loop_run(loop); /* a loop runs again */
	ck_assert_uint_eq(atomic_load(&b.rung), 2);
	bell_release(&b);
	bell_release(&b); /* not watched: ignored */
	event_loop_free(loop);
	event_loop_free(NULL);
}
END_TEST

START_TEST(test_mod)
{
	struct event_loop *loop = loop_new();
	struct bell b, last;

	bell_init(&b, loop);
	bell_init(&last, loop);
	ck_assert_int_eq(event_mod(loop, &b.src, EPOLLIN), -ENOENT);
	ck_assert_int_eq(event_add(loop, &b.src, 0), 0);
	ck_assert_int_eq(event_add(loop, &last.src, EPOLLIN), 0);
	last.stop_at = 1;
	ring(&b); /* watched for nothing */
	ring(&last);
	event_loop_run(loop);
	ck_assert_uint_eq(atomic_load(&b.rung), 0);
	ck_assert_int_eq(event_mod(loop, &b.src, EPOLLIN), 0);
	b.stop_at = 1;
	event_loop_run(loop);
	ck_assert_uint_eq(atomic_load(&b.rung), 1);
	bell_release(&b);
	bell_release(&last);
	event_loop_free(loop);
}
END_TEST

START_TEST(test_unwatchable)
{
	struct event_source file = { .fd = open("/proc/self/exe",
						O_RDONLY | O_CLOEXEC) };
	struct event_source closed = { .fd = -1 };
	struct event_loop *loop = loop_new();

	ck_assert_int_eq(event_add(loop, &file, EPOLLIN), -EPERM);
	ck_assert_int_eq(event_add(loop, &closed, EPOLLIN), -EBADF);
	event_del(loop, &file);
	event_del(loop, &closed);
	close(file.fd);
	event_loop_free(loop);
}
END_TEST

/* ---- removal ------------------------------------------------------------ */

#define CROWD 100 /* more than one batch */

/* All are ready at once; the first one called removes all others. */
static struct bell crowd[CROWD]; /* the test's process has only this one */

static void massacre(void *opaque, uint32_t events)
{
	struct bell *self = opaque;

	(void)events;
	atomic_fetch_add(&self->rung, 1);
	for (unsigned i = 0; i < CROWD; i++) {
		if (&crowd[i] == self)
			continue;
		event_del(self->loop, &crowd[i].src);
		crowd[i].src.ready = NULL; /* calling it would crash */
	}
	event_loop_stop(self->loop);
}

START_TEST(test_removed_by_callback)
{
	struct event_loop *loop = loop_new();
	unsigned rung = 0;

	for (unsigned i = 0; i < CROWD; i++) {
		bell_init(&crowd[i], loop);
		crowd[i].src.ready = massacre;
		ck_assert_int_eq(event_add(loop, &crowd[i].src, EPOLLIN), 0);
		ring(&crowd[i]);
	}
	event_loop_run(loop);
	for (unsigned i = 0; i < CROWD; i++) {
		rung += atomic_load(&crowd[i].rung);
		bell_release(&crowd[i]);
	}
	ck_assert_uint_eq(rung, 1);
	event_loop_free(loop);
}
END_TEST

START_TEST(test_removes_itself)
{
	struct event_loop *loop = loop_new();
	struct bell b, last;

	bell_init(&b, loop);
	bell_init(&last, loop);
	b.victim = &b;
	last.stop_at = 1;
	ck_assert_int_eq(event_add(loop, &b.src, EPOLLIN), 0);
	ring(&b);
	b.recruit = &last;
	ring(&last);
	event_loop_run(loop);
	ring(&b);
	last.stop_at = 2;
	ring(&last);
	event_loop_run(loop);
	ck_assert_uint_eq(atomic_load(&b.rung), 1);
	ck_assert_uint_eq(atomic_load(&last.rung), 2);
	bell_release(&b);
	bell_release(&last);
	event_loop_free(loop);
}
END_TEST

/* ---- stopping ----------------------------------------------------------- */

START_TEST(test_stop_before_run)
{
	struct event_loop *loop = loop_new();
	struct bell b;

	bell_init(&b, loop);
	ck_assert_int_eq(event_add(loop, &b.src, EPOLLIN), 0);
	event_loop_stop(loop);
	event_loop_stop(loop);
	event_loop_run(loop); /* returns at once */
	b.stop_at = 1;
	ring(&b);
	event_loop_run(loop); /* does not: the stops were used up */
	ck_assert_uint_eq(atomic_load(&b.rung), 1);
	bell_release(&b);
	event_loop_free(loop);
}
END_TEST

static void *stop_main(void *arg)
{
	usleep(5000);
	event_loop_stop(arg);
	return NULL;
}

START_TEST(test_stop_from_thread)
{
	struct event_loop *loop = loop_new();
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, stop_main, loop), 0);
	event_loop_run(loop);
	pthread_join(thread, NULL);
	event_loop_free(loop);
}
END_TEST

static struct event_loop *alarm_loop; /* signal handlers have no argument */

static void on_alarm(int sig)
{
	(void)sig;
	event_loop_stop(alarm_loop);
}

START_TEST(test_stop_from_signal_handler)
{
	struct sigaction sa = { .sa_handler = on_alarm };

	alarm_loop = loop_new();
	ck_assert_int_eq(sigaction(SIGALRM, &sa, NULL), 0);
	ualarm(10000, 0);
	event_loop_run(alarm_loop);
	event_loop_free(alarm_loop);
}
END_TEST

static void do_nothing(int sig)
{
	(void)sig;
}

START_TEST(test_signal_does_not_end_it)
{
	struct sigaction sa = { .sa_handler = do_nothing };
	struct event_loop *loop = loop_new();
	uint64_t start = now_ns();
	pthread_t thread;
	struct itimerval every = { { 0, 1000 }, { 0, 1000 } }, off = { 0 };

	ck_assert_int_eq(sigaction(SIGALRM, &sa, NULL), 0);
	setitimer(ITIMER_REAL, &every, NULL);
	ck_assert_int_eq(pthread_create(&thread, NULL, stop_main, loop), 0);
	event_loop_run(loop);
	ck_assert_uint_ge(now_ns() - start, 4 * MS);
	setitimer(ITIMER_REAL, &off, NULL);
	pthread_join(thread, NULL);
	event_loop_free(loop);
}
END_TEST

struct storm {
	struct event_loop *loop;
	atomic_bool over;
};

static void *storm_main(void *arg)
{
	struct storm *s = arg;

	while (!atomic_load(&s->over))
		event_loop_stop(s->loop);
	return NULL;
}

/* Each of many runs ends, and the stops that came last end one run only. */
START_TEST(test_stop_storm)
{
	struct storm s = { .loop = loop_new() };
	pthread_t thread;
	struct bell b;

	bell_init(&b, s.loop);
	ck_assert_int_eq(event_add(s.loop, &b.src, EPOLLIN), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, storm_main, &s), 0);
	for (unsigned i = 0; i < 500; i++)
		event_loop_run(s.loop);
	atomic_store(&s.over, true);
	pthread_join(thread, NULL);
	event_loop_stop(s.loop);
	event_loop_run(s.loop);
	b.stop_at = 1;
	ring(&b);
	event_loop_run(s.loop);
	ck_assert_uint_eq(atomic_load(&b.rung), 1);
	bell_release(&b);
	event_loop_free(s.loop);
}
END_TEST

/* ---- timers ------------------------------------------------------------- */

struct ticking {
	struct event_timer timer;
	struct event_loop *loop;
	unsigned ticks, stop_at;
	bool release;
};

static void on_tick(void *opaque)
{
	struct ticking *t = opaque;

	t->ticks++;
	if (t->release)
		event_timer_release(&t->timer);
	if (t->ticks == t->stop_at)
		event_loop_stop(t->loop);
}

static void ticking_init(struct ticking *t, struct event_loop *loop,
			 unsigned stop_at)
{
	memset(t, 0, sizeof(*t));
	t->loop = loop;
	t->stop_at = stop_at;
	ck_assert_int_eq(event_timer_init(&t->timer, loop, on_tick, t), 0);
}

START_TEST(test_one_shot)
{
	struct event_loop *loop = loop_new();
	struct ticking t, end;
	uint64_t start = now_ns();

	ticking_init(&t, loop, 0);
	ticking_init(&end, loop, 1);
	event_timer_set(&t.timer, 2 * MS, 0);
	event_timer_set(&end.timer, 20 * MS, 0);
	event_loop_run(loop);
	ck_assert_uint_ge(now_ns() - start, 20 * MS);
	ck_assert_uint_eq(t.ticks, 1);
	ck_assert_uint_eq(end.ticks, 1);
	event_timer_release(&t.timer);
	event_timer_release(&t.timer); /* released is as zeroed */
	event_timer_release(&end.timer);
	event_loop_free(loop);
}
END_TEST

START_TEST(test_periodic)
{
	struct event_loop *loop = loop_new();
	uint64_t start = now_ns();
	struct ticking t;

	ticking_init(&t, loop, 4);
	event_timer_set(&t.timer, 1, 2 * MS);
	event_loop_run(loop);
	ck_assert_uint_eq(t.ticks, 4);
	ck_assert_uint_ge(now_ns() - start, 4 * MS);
	event_timer_release(&t.timer);
	event_loop_free(loop);
}
END_TEST

START_TEST(test_disarm_and_rearm)
{
	struct event_loop *loop = loop_new();
	struct ticking t, end;

	ticking_init(&t, loop, 0);
	ticking_init(&end, loop, 1);
	event_timer_set(&t.timer, 1 * MS, 1 * MS);
	event_timer_set(&t.timer, 0, 1 * MS);
	event_timer_set(&end.timer, 15 * MS, 0);
	event_loop_run(loop);
	ck_assert_uint_eq(t.ticks, 0);
	/* Already expired, then disarmed before the loop looks. */
	event_timer_set(&t.timer, 1, 0);
	usleep(2000);
	event_timer_set(&t.timer, 0, 0);
	end.stop_at = 2;
	event_timer_set(&end.timer, 5 * MS, 0);
	event_loop_run(loop);
	ck_assert_uint_eq(t.ticks, 0);
	event_timer_release(&t.timer);
	event_timer_release(&end.timer);
	event_loop_free(loop);
}
END_TEST

START_TEST(test_released_by_its_own_callback)
{
	struct event_loop *loop = loop_new();
	struct ticking t, end;

	ticking_init(&t, loop, 0);
	ticking_init(&end, loop, 1);
	t.release = true;
	event_timer_set(&t.timer, 1, 1 * MS);
	event_timer_set(&end.timer, 10 * MS, 0);
	event_loop_run(loop);
	ck_assert_uint_eq(t.ticks, 1);
	event_timer_release(&end.timer);
	event_loop_free(loop);
}
END_TEST

START_TEST(test_zeroed_timer)
{
	struct event_timer t;

	memset(&t, 0, sizeof(t));
	event_timer_release(&t);
}
END_TEST

static void *set_timer_main(void *arg)
{
	struct ticking *t = arg;

	usleep(3000);
	event_timer_set(&t->timer, 1, 0);
	return NULL;
}

START_TEST(test_set_from_thread)
{
	struct event_loop *loop = loop_new();
	struct ticking t;
	pthread_t thread;

	ticking_init(&t, loop, 1);
	event_timer_set(&t.timer, 3600 * 1000 * MS, 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, set_timer_main, &t), 0);
	event_loop_run(loop);
	pthread_join(thread, NULL);
	ck_assert_uint_eq(t.ticks, 1);
	event_timer_release(&t.timer);
	event_loop_free(loop);
}
END_TEST

/* ---- other threads ------------------------------------------------------ */

struct adding {
	struct event_loop *loop;
	unsigned failures;
};

/* Sources come and go, ringing, while the loop runs. A source that another
 * thread removes may be called once more, so it lives on. */
static void *add_main(void *arg)
{
	struct adding *a = arg;
	struct bell *b = calloc(50, sizeof(*b));

	for (unsigned i = 0; i < 50; i++) {
		bell_init(&b[i], a->loop);
		a->failures += !!event_add(a->loop, &b[i].src, EPOLLIN);
		ring(&b[i]);
		while (!atomic_load(&b[i].rung))
			usleep(10);
		event_del(a->loop, &b[i].src);
	}
	for (unsigned i = 0; i < 50; i++)
		close(b[i].src.fd);
	event_loop_stop(a->loop);
	free(b);
	return NULL;
}

START_TEST(test_added_by_threads)
{
	struct event_loop *loop = loop_new();
	struct adding a = { .loop = loop };
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, add_main, &a), 0);
	event_loop_run(loop);
	pthread_join(thread, NULL);
	ck_assert_uint_eq(a.failures, 0);
	event_loop_free(loop);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("event");
	TCase *t = tcase_create("event");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_source);
	tcase_add_test(t, test_mod);
	tcase_add_test(t, test_unwatchable);
	tcase_add_test(t, test_removed_by_callback);
	tcase_add_test(t, test_removes_itself);
	tcase_add_test(t, test_stop_before_run);
	tcase_add_test(t, test_stop_from_thread);
	tcase_add_test(t, test_stop_from_signal_handler);
	tcase_add_test(t, test_signal_does_not_end_it);
	tcase_add_test(t, test_stop_storm);
	tcase_add_test(t, test_one_shot);
	tcase_add_test(t, test_periodic);
	tcase_add_test(t, test_disarm_and_rearm);
	tcase_add_test(t, test_released_by_its_own_callback);
	tcase_add_test(t, test_zeroed_timer);
	tcase_add_test(t, test_set_from_thread);
	tcase_add_test(t, test_added_by_threads);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return suite_run(suite());
}
