/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: I/O threads, see iothread.h */
#include "vmm/iothread.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

struct iothread {
	struct event_loop *loop;
	pthread_t thread;
	bool running;
	char name[16]; /* pthread_setname_np(3): 16 with the NUL */
};

static void *run(void *opaque)
{
	struct iothread *t = opaque;

	pthread_setname_np(pthread_self(), t->name);
	event_loop_run(t->loop);
	return NULL;
}

static int pin(const struct iothread *t, const struct u32_list *cpus,
	       struct diag *d)
{
	cpu_set_t set;
	int err;

	if (!cpus || !cpus->count)
		return 0;
	CPU_ZERO(&set);
	for (unsigned i = 0; i < cpus->count; i++)
		if (cpus->v[i] < CPU_SETSIZE)
			CPU_SET(cpus->v[i], &set);
	err = pthread_setaffinity_np(t->thread, sizeof(set), &set);
	if (err == EINVAL)
		return diag_fail(d, EINVAL,
				 "thread %s: cannot run on the CPUs given: "
				 "none of them is one that this program may "
				 "use (taskset -p, nproc)",
				 t->name);
	return err ? diag_errno(d, err,
				"thread %s: cannot run on the CPUs given",
				t->name)
		   : 0;
}

void iothread_mask(sigset_t *old)
{
	static const int own[] = { SIGBUS, SIGSEGV, SIGILL, SIGFPE };
	sigset_t others;

	sigfillset(&others);
	for (size_t i = 0; i < ARRAY_SIZE(own); i++)
		sigdelset(&others, own[i]);
	pthread_sigmask(SIG_BLOCK, &others, old);
}

static int start(struct iothread *t, struct diag *d)
{
	sigset_t old;
	int err;

	iothread_mask(&old);
	err = pthread_create(&t->thread, NULL, run, t);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err)
		return diag_errno(d, err, "cannot start thread %s", t->name);
	t->running = true;
	return 0;
}

int iothread_new(struct iothread **out, const char *name,
		 const struct u32_list *cpus, struct diag *d)
{
	struct iothread *t = calloc(1, sizeof(*t));
	int err;

	if (!t)
		return diag_fail(d, ENOMEM, "out of memory");
	snprintf(t->name, sizeof(t->name), "%s", name);
	t->loop = event_loop_new(d);
	err = t->loop ? start(t, d) : -ENOMEM;
	if (!err)
		err = pin(t, cpus, d);
	if (err) {
		iothread_free(t);
		return err;
	}
	*out = t;
	return 0;
}

struct event_loop *iothread_loop(struct iothread *t)
{
	return t->loop;
}

void iothread_stop(struct iothread *t)
{
	if (!t || !t->running)
		return;
	event_loop_stop(t->loop);
	pthread_join(t->thread, NULL);
	t->running = false;
}

void iothread_free(struct iothread *t)
{
	if (!t)
		return;
	iothread_stop(t);
	event_loop_free(t->loop);
	free(t);
}
