/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: overlays: memory in front of a device's registers
 *
 * While reads of its registers give nothing but bytes of memory, a device may
 * show the guest this memory: reads are then as fast as those of RAM, and
 * writes still reach the registers. A read may be on its way to the registers
 * when the memory appears; it is answered by them. Once the memory is hidden,
 * no vCPU sees it any more.
 *
 * To show and to hide takes as long as dozens of register accesses, on some
 * hosts hundreds. So a device does it when many reads have come.
 *
 * What is shown is a part of the VM, and gone with it at a machine reset.
 *
 * Threads: any; the caller serialises calls for one overlay. Not for use by
 * who holds a lock that a vCPU could want inside of the hypervisor.
 */
#ifndef VMM_OVERLAY_H
#define VMM_OVERLAY_H

#include "vmm/base/types.h"

struct host_vm;

/**
 * struct overlays - of one machine
 * @vm: NULL while there is none
 * @vms: how many there have been, @vm included
 */
struct overlays {
	struct host_vm *vm;
	uint32_t vms;
};

/**
 * struct overlay - one of a device
 * @gpa, @host, @size_bytes: the memory; all multiples of the host's page size
 * @shown_in: the VM that shows it, by number; 0: none
 */
struct overlay {
	gpa_t gpa;
	void *host;
	uint64_t size_bytes;
	uint32_t shown_in;
};

/** overlays_attach - @vm is the machine's VM from now on; NULL: there is none.
 * No vCPU runs */
void overlays_attach(struct overlays *s, struct host_vm *vm);

/** overlay_show - Return: 0, also if it is shown already; -errno: registers go
 * on answering */
int overlay_show(struct overlays *s, struct overlay *o);

/** overlay_hide - Return: 0, also if it is not shown; -errno: it is still
 * shown */
int overlay_hide(struct overlays *s, struct overlay *o);

#endif
