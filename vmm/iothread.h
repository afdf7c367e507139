/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: I/O threads: a thread that runs one event loop
 *
 * For devices whose queues are served beside the main thread. Named as Cloud
 * Hypervisor names its own ("_disk0_q0", "_net0_qp0"), which libvirt reads to
 * find and pin them. Signals are blocked in them: they go to the main thread.
 */
#ifndef VMM_IOTHREAD_H
#define VMM_IOTHREAD_H

#include <signal.h>

#include "vmm/base/diag.h"
#include "vmm/config.h"
#include "vmm/event.h"

struct iothread;

/**
 * iothread_mask - block all signals in this thread, but those that it causes
 *	itself: when these are blocked no handler runs (file-map.h)
 * @old: receives the mask before; a thread inherits its creator's
 */
void iothread_mask(sigset_t *old);

/**
 * iothread_new - start a thread
 * @out: receives it; untouched on failure
 * @name: of the thread; the kernel shows the first 15 characters
 * @cpus: host CPUs it may run on; NULL or empty: any
 *
 * Return: 0, -ENOMEM, -EAGAIN, or -EINVAL (no such CPU).
 */
int iothread_new(struct iothread **out, const char *name,
		 const struct u32_list *cpus, struct diag *d);

/** iothread_loop - its event loop, to which any thread may add sources */
struct event_loop *iothread_loop(struct iothread *t);

/** iothread_stop - end the thread; the loop stays and calls nobody any more;
 * accepts NULL and a thread that has ended */
void iothread_stop(struct iothread *t);

/** iothread_free - stop, free thread and loop; sources must be deleted before;
 * accepts NULL */
void iothread_free(struct iothread *t);

#endif
