/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: guest RAM from --memory and --memory-zone
 *
 * Zones lie one behind the other in the guest, in the order of the command
 * line; one may go on behind a hole (x86_64). A zone with a file is mapped from
 * the file's beginning.
 *
 * Threads: main thread, while the machine is built.
 */
#ifndef VMM_ZONE_H
#define VMM_ZONE_H

#include "vmm/base/diag.h"
#include "vmm/config.h"
#include "vmm/memory.h"
#include "vmm/platform.h"

/**
 * zones_map - map all RAM of the machine
 * @ram: empty; receives a region for each range of @p's RAM, also on failure
 *	those that were there before it
 * @cfg: what @p was laid out from
 *
 * Return: 0, -EINVAL (a file that is too short or no file), -ENOMEM, or the
 * -errno of open(2), mmap(2) or mbind(2).
 */
int zones_map(struct guest_ram *ram, const struct platform *p,
	      const struct vm_config *cfg, struct diag *d);

#endif
