/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: the fake hypervisor's inside, shared by its four files
 *
 *	fake.c	VM life cycle, state, the table of operations
 *	cpu.c	the interpreter
 *	ram.c	guest RAM by GPA, dirty log
 *	wires.c	pins, routes, irqfds, messages, doorbells
 *
 * Locks: fake_vm.map_lock (read by every memory access) and fake_vm.lock
 * (everything else). Neither is held while the other is taken, nor while a
 * bus handler runs.
 */
#ifndef VMM_HOST_FAKE_VM_H
#define VMM_HOST_FAKE_VM_H

#include <pthread.h>
#include <stdatomic.h>

#include "arch/fake/isa.h"
#include "vmm/host/fake/fake.h"
#include "vmm/host/host.h"

#define FAKE_MAPS_MAX	   16
#define FAKE_ROUTES_MAX	   4096
#define FAKE_IRQFDS_MAX	   4096
#define FAKE_DOORBELLS_MAX 256

/** struct fake_map - RAM; @dirty has one bit per page while logging, else
 * NULL */
struct fake_map {
	uint64_t gpa, size_bytes;
	uint8_t *host;
	unsigned flags;
	_Atomic uint64_t *dirty;
};

/** struct fake_route - the MSI route of one GSI */
struct fake_route {
	bool used;
	struct msi_message msg;
};

/** struct fake_irqfd - eventfd @fd fires route @gsi; @fd stays the caller's */
struct fake_irqfd {
	uint32_t gsi;
	int fd;
};

/** struct fake_doorbell - as given to host_ops.doorbell_add() */
struct fake_doorbell {
	bool pio, has_match;
	uint64_t addr, match;
	unsigned size_bytes;
	int fd;
};

/**
 * struct fake_vcpu - one vCPU
 * @core: its state; of the thread that runs it
 * @since_poll: instructions since irqfds were looked at; same owner
 * @event: why run() ends; same owner
 * @pending: interrupts; any thread
 * @kicked: run() must end; any thread and signal handlers
 * @wake_fd: eventfd that ends waiting; any thread and signal handlers
 * @start, @start_pc, @start_arg: a start by FAKE_HVC_CPU_ON that the vCPU has
 *	not seen yet; @started: it was on at least once. All under
 *	fake_vm.lock
 */
struct fake_vcpu {
	struct host_vcpu host;
	struct fake_core core;
	unsigned since_poll;
	enum host_event event;
	_Atomic uint64_t pending[FAKE_IRQS / 64];
	atomic_bool kicked;
	int wake_fd;
	bool start, started;
	uint64_t start_pc, start_arg;
};

/** struct fake_fault - see host_fake_fail() */
struct fake_fault {
	unsigned left; /* calls until it fails; 0: never */
	int err;
};

/**
 * struct fake_vm - one VM
 * @poll_every: see host_fake_poll_every()
 * @irqfds_present: irqfd_count, readable without the lock
 * @pins: levels of the wires; any thread
 */
struct fake_vm {
	struct host_vm host;
	struct host_vm_config cfg;
	bool committed;
	unsigned poll_every;
	struct fake_vcpu vcpu[FAKE_VCPUS_MAX];

	pthread_rwlock_t map_lock; /* guards map, map_count, logging */
	struct fake_map map[FAKE_MAPS_MAX];
	unsigned map_count;
	bool logging;

	pthread_mutex_t lock;			    /* guards all below */
	struct fake_route route[FAKE_ROUTES_MAX];   /* as set */
	struct fake_route applied[FAKE_ROUTES_MAX]; /* as in force */
	struct fake_irqfd irqfd[FAKE_IRQFDS_MAX];
	unsigned irqfd_count;
	int irqfd_epoll; /* readable when an irqfd has fired */
	atomic_uint irqfds_present;
	struct fake_doorbell doorbell[FAKE_DOORBELLS_MAX];
	unsigned doorbell_count;
	unsigned dropped, rings;
	struct fake_fault fault[HOST_FAKE_FAULTS];

	_Atomic uint64_t pins;
};

/** fake_vm_of - the fake VM behind @vm */
struct fake_vm *fake_vm_of(struct host_vm *vm);

/** fake_vcpu_of - the fake vCPU behind @vcpu */
struct fake_vcpu *fake_vcpu_of(struct host_vcpu *vcpu);

/** fake_vm_of_vcpu - the VM that @v belongs to */
struct fake_vm *fake_vm_of_vcpu(struct fake_vcpu *v);

/**
 * fake_fails - is this call one that a test wants to fail?
 *
 * Return: 0, or the -errno that the operation must return at once, with the
 * reason in @d (may be NULL).
 */
int fake_fails(struct fake_vm *vm, enum host_fake_fault what, struct diag *d);

/* ---- ram.c; int functions here and below are those of struct host_ops ---- */

int fake_ram_map(struct host_vm *host, gpa_t gpa, void *at, uint64_t size_bytes,
		 unsigned flags, struct diag *d);
int fake_ram_unmap(struct host_vm *host, gpa_t gpa, struct diag *d);
int fake_dirty_start(struct host_vm *host, struct diag *d);
int fake_dirty_take(struct host_vm *host, gpa_t gpa, uint64_t *bitmap,
		    size_t words, struct diag *d);
int fake_dirty_stop(struct host_vm *host, struct diag *d);

/** fake_ram_release - drop all maps and dirty bitmaps */
void fake_ram_release(struct fake_vm *vm);

/**
 * fake_ram_load - the guest loads @size_bytes (1, 2, 4, 8)
 * Return: false, and @out untouched, unless all of it is in one region.
 */
bool fake_ram_load(struct fake_vm *vm, uint64_t gpa, unsigned size_bytes,
		   uint64_t *out);

/** fake_ram_store - the mirror; false also for read-only regions */
bool fake_ram_store(struct fake_vm *vm, uint64_t gpa, unsigned size_bytes,
		    uint64_t value);

/* ---- wires.c ---- */

int fake_route_set(struct host_vm *host, uint32_t gsi,
		   const struct msi_message *msg);
void fake_route_clear(struct host_vm *host, uint32_t gsi);
int fake_route_apply(struct host_vm *host);
int fake_irqfd_add(struct host_vm *host, uint32_t gsi, int fd);
int fake_irqfd_del(struct host_vm *host, uint32_t gsi, int fd);
int fake_msi_send(struct host_vm *host, const struct msi_message *msg);
int fake_irq_pin(struct host_vm *host, uint32_t pin, bool level);
int fake_doorbell_add(struct host_vm *host, bool pio, uint64_t addr,
		      unsigned size_bytes, const uint64_t *match, int fd);
int fake_doorbell_del(struct host_vm *host, bool pio, uint64_t addr,
		      unsigned size_bytes, const uint64_t *match, int fd);

/** fake_doorbell_ring - a guest write; true if a doorbell took it */
bool fake_doorbell_ring(struct fake_vm *vm, bool pio, uint64_t addr,
			unsigned size_bytes, uint64_t value);

/** fake_raise - make interrupt @number (below FAKE_IRQS) pending, wake @v */
void fake_raise(struct fake_vcpu *v, unsigned number);

/** fake_irqfds_look - deliver what has fired; cheap if there are no irqfds */
void fake_irqfds_look(struct fake_vm *vm);

/* ---- cpu.c ---- */

enum host_event fake_vcpu_run(struct host_vcpu *vcpu);
void fake_vcpu_kick(struct host_vcpu *vcpu);

/** fake_wake - end the vCPU's waiting, if it waits; async-signal-safe */
void fake_wake(struct fake_vcpu *v);

/** fake_start_take - turn a start request into state; vCPU's owner */
void fake_start_take(struct fake_vcpu *v);

#endif
