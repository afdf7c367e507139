/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: the vCPU threads of one machine
 *
 * Each vCPU has a thread named vcpuN that alternates between the hypervisor
 * and the machine. Threads live from vcpus_start() to vcpus_join(); a machine
 * reset ends them and starts new ones.
 */
#ifndef VMM_VCPU_H
#define VMM_VCPU_H

#include <pthread.h>
#include <stdatomic.h>

#include "vmm/base/diag.h"
#include "vmm/host/host.h"

/**
 * struct vcpu_hooks - what the machine does about events
 * @event: anything but HOST_INTERRUPTED and HOST_EOI; vCPU thread; the thread
 *	ends after it
 * @eoi: interrupt @vector was ended; vCPU thread; may be NULL
 */
struct vcpu_hooks {
	void (*event)(void *opaque, struct host_vcpu *vcpu,
		      enum host_event event);
	void (*eoi)(void *opaque, uint8_t vector);
	void *opaque;
};

/** struct vcpu_thread - one of them; @started: @thread is to be joined */
struct vcpu_thread {
	struct vcpus *set;
	struct host_vcpu *vcpu;
	pthread_t thread;
	bool started;
};

/**
 * struct vcpus - all vCPU threads
 * @stop: threads end before they enter the guest again
 */
struct vcpus {
	struct host_vm *vm;
	struct vcpu_hooks hooks;
	struct vcpu_thread *thread;
	unsigned count;
	atomic_bool stop;
};

/**
 * vcpus_start - start @count threads; vCPU 0 begins, the others wait for it
 * inside the hypervisor
 *
 * Return: 0, or -EAGAIN/-ENOMEM and no thread runs.
 */
int vcpus_start(struct vcpus *s, struct host_vm *vm, unsigned count,
		const struct vcpu_hooks *hooks, struct diag *d);

/** vcpus_stop - make all threads leave the guest and end; any thread,
 * async-signal-safe; does not wait */
void vcpus_stop(struct vcpus *s);

/** vcpus_join - vcpus_stop() and wait; accepts a zeroed struct */
void vcpus_join(struct vcpus *s);

#endif
