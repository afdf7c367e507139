/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: interrupts as devices see them: wires and messages
 *
 * A wire (struct irq_wire) is an input of the machine's interrupt controller:
 * an IOAPIC pin on x86_64, an SPI on arm64. A message-signalled interrupt
 * (struct msi) is an eventfd that the hypervisor turns into an interrupt
 * without leaving the kernel (irqfd), plus the message that the guest wrote
 * into MSI-X or a route table.
 *
 * Numbers: a wire's number is the pin or the SPI number counted from 0 (INTID
 * minus 32 on arm64). Firmware generators convert; devices do not.
 *
 * Threads: irq_set(), irq_pulse() and msi_fire() from any thread. msi_set()
 * from any thread, serialised inside. irqchip_init/release from main only.
 */
#ifndef VMM_IRQ_H
#define VMM_IRQ_H

#include <pthread.h>

#include "vmm/base/diag.h"
#include "vmm/base/types.h"

/**
 * struct irq_sink - what drives the wires; made by arch
 * @set: raise or lower input @pin; any thread
 */
struct irq_sink {
	void (*set)(void *opaque, uint32_t pin, bool level);
	void *opaque;
};

/** struct irq_wire - one wire from a device into the interrupt controller */
struct irq_wire {
	const struct irq_sink *sink;
	uint32_t pin;
};

/** irq_set - drive a level-triggered wire */
static inline void irq_set(const struct irq_wire *w, bool level)
{
	if (w->sink)
		w->sink->set(w->sink->opaque, w->pin, level);
}

/** irq_pulse - one edge on an edge-triggered wire */
static inline void irq_pulse(const struct irq_wire *w)
{
	irq_set(w, true);
	irq_set(w, false);
}

/**
 * struct msi_message - what an MSI write carries
 * @addr: address of the doorbell that the guest programmed
 * @data: the data
 * @devid: requester id as the interrupt controller sees it: (segment << 16) |
 *	(bus << 8) | devfn, the id space of msi-map and IORT; KVM's ITS uses
 *	it, x86 ignores it
 */
struct msi_message {
	uint64_t addr;
	uint32_t data;
	uint32_t devid;
};

struct host_vm;

/**
 * struct irqchip - allocator of MSI routes for one machine
 * @vm: the hypervisor's side; NULL before the VM exists
 * @sink: what drives wires
 * @lock: guards routes
 * @gsi_first: routes below this number belong to the interrupt controller
 * @gsi_used: bitmap of routes in use
 */
struct irqchip {
	struct host_vm *vm;
	struct irq_sink sink;
	pthread_mutex_t lock;
	uint32_t gsi_first;
	uint64_t gsi_used[64];
};

/**
 * struct msi - one message-signalled interrupt source (an MSI-X vector)
 * @chip: where it was allocated
 * @fd: eventfd; a write of 1 fires the interrupt; -1 if not allocated
 * @gsi: route number
 * @msg: the message last set
 * @live: irqfd attached: the message is programmed and not masked
 * @shared: another program may have @fd; the owner's
 */
struct msi {
	struct irqchip *chip;
	int fd;
	uint32_t gsi;
	struct msi_message msg;
	bool live, shared;
};

/** irqchip_init - @gsi_first: number of routes that are not for devices */
void irqchip_init(struct irqchip *chip, uint32_t gsi_first);

/** irqchip_release - forget everything; all msi must be released before */
void irqchip_release(struct irqchip *chip);

/**
 * msi_init - allocate a route number and an eventfd
 *
 * Return: 0, -ENOSPC (all 4096 routes taken), -EMFILE.
 */
int msi_init(struct msi *msi, struct irqchip *chip, struct diag *d);

/** msi_release - give back; accepts a zeroed or released msi (fd <= 0) */
void msi_release(struct msi *msi);

/**
 * msi_set - program or mask the message
 * @msg: the new message
 * @enabled: false detaches the irqfd: fired interrupts stay in the eventfd
 *	counter (that is the pending bit) and arrive when enabled again
 *
 * Return: 0 or what the hypervisor refused with; the vector is then masked.
 */
int msi_set(struct msi *msi, const struct msi_message *msg, bool enabled);

/** msi_fire - signal the interrupt (write 1 to the eventfd) */
void msi_fire(struct msi *msi);

/** msi_pending - true if fired while masked and not delivered yet */
bool msi_pending(const struct msi *msi);

/** msi_rebind - after a machine reset: attach to the new VM, masked */
int msi_rebind(struct msi *msi);

#endif
