/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: what tests may ask of the fake hypervisor beyond struct host_ops
 *
 * Threads: like the vm functions of vmm/host/host.h.
 */
#ifndef VMM_HOST_FAKE_FAKE_H
#define VMM_HOST_FAKE_FAKE_H

#include "vmm/host/host.h"

/** enum host_fake_fault - operations that can be made to fail */
enum host_fake_fault {
	HOST_FAKE_VM_NEW, /* by environment only: there is no VM yet */
	HOST_FAKE_RAM_MAP,
	HOST_FAKE_COMMIT,
	HOST_FAKE_ROUTE_SET,
	HOST_FAKE_ROUTE_APPLY,
	HOST_FAKE_IRQFD_ADD,
	HOST_FAKE_DOORBELL_ADD,
	HOST_FAKE_STATE_PUT,
	HOST_FAKE_FAULTS
};

/**
 * HOST_FAKE_ENV - environment variable read by each vm_new()
 *
 * Faults for VMs that a test cannot reach: "NAME:NTH:ERRNO[,…]" with
 * NAME one of vm_new, ram_map, commit, route_set, route_apply, irqfd_add,
 * doorbell_add, state_put: the NTH call (from 1) on each new VM fails with
 * -ERRNO. vm_new:1:ERRNO fails vm_new() itself. What does not parse makes
 * vm_new() fail with -EINVAL.
 */
#define HOST_FAKE_ENV "SPANDREL_HOST_FAKE_FAIL"

/**
 * host_fake_fail - make a call fail, once
 * @host: a VM of host_fake
 * @what: which operation
 * @nth: 1: the next call of it; 0 cancels
 * @err: positive errno value it fails with; nothing else happens in that call
 */
void host_fake_fail(struct host_vm *host, enum host_fake_fault what,
		    unsigned nth, int err);

/**
 * host_fake_poll_every - how often running vCPUs look at irqfds
 * @instructions: 1 or more; default 64. With 1 and one vCPU, the instruction
 *	at which an interrupt arrives depends on nothing but the program.
 *
 * Context: no vCPU runs.
 */
void host_fake_poll_every(struct host_vm *host, unsigned instructions);

/** host_fake_poll - look at irqfds now, as a running vCPU would */
void host_fake_poll(struct host_vm *host);

/** host_fake_pending - true if interrupt @number is pending on vCPU @index,
 * which must exist */
bool host_fake_pending(struct host_vm *host, unsigned index, unsigned number);

/** host_fake_pin - level of wire @pin */
bool host_fake_pin(struct host_vm *host, unsigned pin);

/**
 * struct host_fake_stats - what the VM holds and has seen
 * @maps, @routes, @irqfds, @doorbells: how many there are now; @routes counts
 *	those that were applied
 * @dropped: messages that went nowhere: no route, or not a valid target
 * @doorbell_rings: guest writes that signalled a doorbell
 */
struct host_fake_stats {
	unsigned maps, routes, irqfds, doorbells;
	unsigned dropped, doorbell_rings;
};

/** host_fake_stats - a consistent copy of the numbers */
void host_fake_stats(struct host_vm *host, struct host_fake_stats *out);

#endif
