/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: memory that is not RAM: files that the guest maps, and the generation ID
 *
 * Each --pmem file gets a range of guest-physical addresses right above RAM,
 * taken from the lower end of the 64-bit PCI window that is there (of several
 * PCI segments one has it). Not from an upper end: Linux with KASLR on x86_64
 * leaves room in its direct map for 10 TiB above RAM only
 * (CONFIG_RANDOMIZE_MEMORY_PHYSICAL_PADDING), and refuses persistent memory
 * beyond. Machines without PCI use the addresses above RAM and 4 GiB.
 *
 * The pages of the generation ID and of the VMClock (--platform vmgenid=on,
 * vmclock=on) are files without a name, behind all others: a reset does not
 * clear them.
 *
 * Threads: main, while the machine is built.
 */
#ifndef VMM_PMEM_H
#define VMM_PMEM_H

#include "vmm/base/diag.h"
#include "vmm/config.h"
#include "vmm/event.h"
#include "vmm/memory.h"
#include "vmm/platform.h"

/** PMEM_ALIGN - of addresses and sizes: Linux maps struct pages for persistent
 * memory in subsections of 2 MiB (include/linux/mmzone.h) */
#define PMEM_ALIGN MIB(2)

/** DEVICE_PAGE - bytes: the largest page of any host, and of any guest */
#define DEVICE_PAGE KIB(64)

/**
 * pmem_place - open, lock and map the files of config.pmem, and the pages of
 *	devices
 * @p: laid out; receives platform.pmem and the pages, loses as much of its PCI
 *	window. Call it before devices take their part of that
 * @ram: holds all RAM; NULL: only find the places, as for tables: nothing is
 *	opened
 *
 * A writable file is locked so that no other machine can use it, one whose
 * writes are discarded so that no other can write it (OFD locks, as long as
 * it is mapped).
 *
 * Return: 0 or -errno with @d.
 */
int pmem_place(struct platform *p, struct guest_ram *ram,
	       const struct vm_config *cfg, struct diag *d);

/**
 * pmem_watch - on @loop, hear when a file that is memory of the guest is cut
 *	short
 * @source: becomes part of @loop, or its fd -1 where there is nothing to hear;
 *	for pmem_unwatch()
 *
 * Best effort: without it, what is lost shows at the first access, which on
 * x86 may take for ever (file-map.h).
 */
void pmem_watch(struct event_source *source, struct event_loop *loop,
		const struct guest_ram *ram);

/** pmem_unwatch - undo pmem_watch(); accepts a source whose fd is -1 */
void pmem_unwatch(struct event_source *source, struct event_loop *loop);

#endif
