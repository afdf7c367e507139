/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: doorbells: guest writes that wake a thread without leaving the kernel
 *
 * A doorbell ties one MMIO address to an eventfd. Where the hypervisor cannot
 * do it, doorbell_add() fails and the device's ordinary register write does
 * the same work more slowly. A BAR move or a machine reset re-registers.
 *
 * Threads: any; serialised inside.
 */
#ifndef VMM_DOORBELL_H
#define VMM_DOORBELL_H

#include "vmm/base/types.h"

struct host_vm;

/** struct doorbells - of one machine; @vm NULL while there is no VM */
struct doorbells {
	struct host_vm *vm;
};

/**
 * doorbell_add - writes at @gpa signal @fd
 * @match: only 4-byte writes of *@match; NULL: of any width and value
 *
 * Return: 0, or -errno: the caller keeps handling the write itself.
 */
int doorbell_add(struct doorbells *d, gpa_t gpa, const uint32_t *match, int fd);

/** doorbell_del - the mirror; ignores what is not registered */
void doorbell_del(struct doorbells *d, gpa_t gpa, const uint32_t *match,
		  int fd);

#endif
