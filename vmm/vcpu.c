/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: the vCPU loop, see vcpu.h
 *
 * @stop is set before the kick, and vcpu_kick() is never lost, so a thread
 * either sees @stop before it enters the guest or leaves the guest because of
 * the kick and sees it then.
 */
#include "vmm/vcpu.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Deep enough for every register handler; they do not recurse. */
#define STACK_BYTES KIB(256)

static void *vcpu_main(void *arg)
{
	struct vcpu_thread *t = arg;
	struct vcpus *s = t->set;
	const struct host_ops *ops = s->vm->ops;
	enum host_event event;
	char name[16];

	/* Here, because another thread's name takes a file in /proc. */
	snprintf(name, sizeof(name), "vcpu%u", t->vcpu->index);
	pthread_setname_np(pthread_self(), name);
	while (!atomic_load(&s->stop)) {
		event = ops->vcpu_run(t->vcpu);
		if (event == HOST_INTERRUPTED)
			continue;
		if (event == HOST_EOI) {
			if (s->hooks.eoi)
				s->hooks.eoi(s->hooks.opaque,
					     t->vcpu->eoi_vector);
			continue;
		}
		s->hooks.event(s->hooks.opaque, t->vcpu, event);
		break;
	}
	return NULL;
}

static int start_one(struct vcpus *s, unsigned i, const pthread_attr_t *attr)
{
	struct vcpu_thread *t = &s->thread[i];
	int err;

	t->set = s;
	t->vcpu = s->vm->ops->vcpu(s->vm, i);
	err = pthread_create(&t->thread, attr, vcpu_main, t);
	if (err)
		return -err;
	t->started = true;
	return 0;
}

int vcpus_start(struct vcpus *s, struct host_vm *vm, unsigned count,
		const struct vcpu_hooks *hooks, struct diag *d)
{
	pthread_attr_t attr;
	int err = 0;

	s->vm = vm;
	s->hooks = *hooks;
	s->count = count;
	atomic_store(&s->stop, false);
	s->thread = calloc(count, sizeof(*s->thread));
	if (!s->thread)
		return diag_fail(d, ENOMEM, "out of memory");
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	for (unsigned i = 0; i < count && !err; i++)
		err = start_one(s, i, &attr);
	pthread_attr_destroy(&attr);
	if (err) {
		vcpus_join(s);
		return diag_errno(d, -err, "cannot start %u vCPU threads",
				  count);
	}
	return 0;
}

void vcpus_stop(struct vcpus *s)
{
	atomic_store(&s->stop, true);
	for (unsigned i = 0; s->vm && i < s->count; i++)
		s->vm->ops->vcpu_kick(s->vm->ops->vcpu(s->vm, i));
}

void vcpus_join(struct vcpus *s)
{
	if (!s->thread)
		return;
	vcpus_stop(s);
	for (unsigned i = 0; i < s->count; i++)
		if (s->thread[i].started)
			pthread_join(s->thread[i].thread, NULL);
	free(s->thread);
	s->thread = NULL;
	s->vm = NULL;
	s->count = 0;
}
