/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: address spaces: who answers at which address
 *
 * A bus maps ranges of an address space (MMIO or x86 port I/O) to devices.
 * The table is sorted; vCPU threads look it up without a lock, writers
 * publish a new version. An access that hits nothing, or that sticks out of
 * its region, reads as all ones and is dropped when written, at any width.
 *
 * Threads: bus_access() from any vCPU thread. bus_add(), bus_remove() and
 * bus_move() from any thread, also from inside a handler (a guest moves a
 * BAR). A handler may still run on another vCPU while its region is being
 * moved; a device is only freed once all vCPUs are stopped.
 */
#ifndef VMM_BUS_H
#define VMM_BUS_H

#include <pthread.h>

#include "vmm/base/diag.h"
#include "vmm/base/types.h"

/**
 * struct bus_ops - a device's registers
 * @read: value at @offset_bytes from the region's base; @size_bytes is 1, 2,
 *	4 or 8; the caller truncates the result to it
 * @write: store @value there
 *
 * Handlers accept every offset inside the region, every size and every
 * alignment. An access never crosses the end of its region.
 */
struct bus_ops {
	uint64_t (*read)(void *opaque, uint64_t offset_bytes,
			 unsigned size_bytes);
	void (*write)(void *opaque, uint64_t offset_bytes, unsigned size_bytes,
		      uint64_t value);
};

/**
 * struct bus_region - one device range; owned by the device
 * @base: first address
 * @size_bytes: length, at least 1
 * @ops: handlers
 * @opaque: passed to the handlers
 * @show: a read at @offset_bytes that the hypervisor cannot describe (arm64: of
 *	two registers at once): put memory there, which can answer it, or
 *	return false. NULL: there never is any
 * @lock: taken around each handler call; NULL if handlers lock themselves
 * @name: for messages
 */
struct bus_region {
	uint64_t base;
	uint64_t size_bytes;
	const struct bus_ops *ops;
	void *opaque;
	bool (*show)(void *opaque, uint64_t offset_bytes);
	pthread_mutex_t *lock;
	const char *name;
};

struct bus;

/** bus_new - an empty address space of @size_bytes (0: all of 64 bits);
 * NULL if memory is short */
struct bus *bus_new(const char *name, uint64_t size_bytes);

/** bus_free - forget all regions; accepts NULL; no vCPU may be running */
void bus_free(struct bus *bus);

/**
 * bus_add - let @region answer
 * @region: stays owned by the caller, must live until removed
 *
 * Return: 0, -EEXIST (overlaps, named in @d), -EINVAL (empty or outside of
 * the address space), -ENOMEM.
 */
int bus_add(struct bus *bus, const struct bus_region *region, struct diag *d);

/** bus_remove - stop answering; unknown regions are ignored */
void bus_remove(struct bus *bus, const struct bus_region *region);

/**
 * bus_move - move @region to @base
 *
 * Return: 0 and @region->base changed, or -EEXIST/-EINVAL and the region is
 * removed from the bus (a BAR on top of something else decodes nothing).
 */
int bus_move(struct bus *bus, struct bus_region *region, uint64_t base);

/**
 * bus_read - a guest reads @size_bytes (1, 2, 4, 8) at @addr
 *
 * Return: the value, all ones where nothing answers.
 */
uint64_t bus_read(struct bus *bus, uint64_t addr, unsigned size_bytes);

/** bus_write - a guest writes @size_bytes (1, 2, 4, 8) at @addr */
void bus_write(struct bus *bus, uint64_t addr, unsigned size_bytes,
	       uint64_t value);

/** bus_show - a guest reads at @addr, all that is known: true if there is
 * memory now and the guest shall try again */
bool bus_show(struct bus *bus, uint64_t addr);

#endif
