/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: address space dispatch, see bus.h
 *
 * The table is a sorted array of slots, read under a sequence counter: a
 * reader notes an even counter, searches, and searches again if the counter
 * has moved. Writers hold the lock, make the counter odd, change slots, make
 * it even. Slots are atomics, so a torn search is only a wrong result that the
 * counter throws away, never undefined behaviour; loading them with acquire
 * and storing them with release keeps them between the two looks at the
 * counter (no fences, which ThreadSanitizer does not model). When the
 * array must grow, the old one stays allocated until bus_free(), since a
 * reader may still be searching it; doubling keeps the total below twice the
 * newest.
 */
#include "vmm/bus.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "vmm/base/check.h"

struct slot {
	_Atomic uint64_t base;
	_Atomic uint64_t last; /* last address, inclusive */
	const struct bus_region *_Atomic region;
};

struct table {
	struct table *older; /* freed with the bus */
	size_t capacity;
	struct slot slot[];
};

struct bus {
	const char *name;
	uint64_t last;	      /* last address of the space */
	pthread_mutex_t lock; /* serialises writers */
	atomic_uint sequence;
	struct table *_Atomic table;
	_Atomic size_t count;
};

#define GET(x)	  atomic_load_explicit(&(x), memory_order_acquire)
#define PUT(x, v) atomic_store_explicit(&(x), (v), memory_order_release)

static struct table *table_new(size_t capacity, struct table *older)
{
	struct table *t = calloc(1, sizeof(*t) + capacity * sizeof(t->slot[0]));

	if (!t)
		return NULL;
	t->capacity = capacity;
	t->older = older;
	return t;
}

struct bus *bus_new(const char *name, uint64_t size_bytes)
{
	struct bus *bus = calloc(1, sizeof(*bus));
	struct table *t = table_new(32, NULL);

	if (!bus || !t) {
		free(bus);
		free(t);
		return NULL;
	}
	bus->name = name;
	bus->last = size_bytes - 1; /* 0 wraps to all of 64 bits */
	pthread_mutex_init(&bus->lock, NULL);
	PUT(bus->table, t);
	return bus;
}

void bus_free(struct bus *bus)
{
	struct table *t, *older;

	if (!bus)
		return;
	for (t = GET(bus->table); t; t = older) {
		older = t->older;
		free(t);
	}
	pthread_mutex_destroy(&bus->lock);
	free(bus);
}

/* Index of the first slot whose last address is at or above @addr. */
static size_t search(struct table *t, size_t count, uint64_t addr)
{
	size_t low = 0, high = MIN(count, t->capacity);

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (GET(t->slot[mid].last) < addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static void write_begin(struct bus *bus)
{
	atomic_fetch_add_explicit(&bus->sequence, 1, memory_order_relaxed);
}

static void write_end(struct bus *bus)
{
	atomic_fetch_add_explicit(&bus->sequence, 1, memory_order_release);
}

/* What answers at @addr, and at which offset; false: nothing. */
static bool lookup(struct bus *bus, uint64_t addr, unsigned size,
		   const struct bus_region **region, uint64_t *offset)
{
	const struct bus_region *found;
	uint64_t base, last;
	unsigned before, after;

	do {
		struct table *t;
		size_t count, at;

		before = GET(bus->sequence);
		t = GET(bus->table);
		count = GET(bus->count);
		at = search(t, count, addr);
		found = NULL;
		base = last = 0;
		if (at < MIN(count, t->capacity)) {
			found = GET(t->slot[at].region);
			base = GET(t->slot[at].base);
			last = GET(t->slot[at].last);
		}
		after = GET(bus->sequence);
	} while ((before & 1) || before != after);
	if (!found || addr < base || size - 1 > last - addr)
		return false;
	*region = found;
	*offset = addr - base;
	return true;
}

static uint64_t truncate_to(uint64_t value, unsigned size)
{
	return size >= 8 ? value : value & ((1ULL << (size * 8)) - 1);
}

uint64_t bus_read(struct bus *bus, uint64_t addr, unsigned size_bytes)
{
	const struct bus_region *r;
	uint64_t offset, value;

	if (!lookup(bus, addr, size_bytes, &r, &offset))
		return truncate_to(UINT64_MAX, size_bytes);
	if (r->lock)
		pthread_mutex_lock(r->lock);
	value = r->ops->read(r->opaque, offset, size_bytes);
	if (r->lock)
		pthread_mutex_unlock(r->lock);
	return truncate_to(value, size_bytes);
}

void bus_write(struct bus *bus, uint64_t addr, unsigned size_bytes,
	       uint64_t value)
{
	const struct bus_region *r;
	uint64_t offset;

	if (!lookup(bus, addr, size_bytes, &r, &offset))
		return;
	if (r->lock)
		pthread_mutex_lock(r->lock);
	r->ops->write(r->opaque, offset, size_bytes,
		      truncate_to(value, size_bytes));
	if (r->lock)
		pthread_mutex_unlock(r->lock);
}

bool bus_show(struct bus *bus, uint64_t addr)
{
	const struct bus_region *r;
	uint64_t offset;
	bool shown;

	if (!lookup(bus, addr, 1, &r, &offset) || !r->show)
		return false;
	if (r->lock)
		pthread_mutex_lock(r->lock);
	shown = r->show(r->opaque, offset);
	if (r->lock)
		pthread_mutex_unlock(r->lock);
	return shown;
}

static void slot_copy(struct slot *to, struct slot *from)
{
	PUT(to->base, GET(from->base));
	PUT(to->last, GET(from->last));
	PUT(to->region, GET(from->region));
}

/* Make room for one more; lock held. */
static bool reserve(struct bus *bus)
{
	struct table *old = GET(bus->table), *t;

	if (GET(bus->count) < old->capacity)
		return true;
	t = table_new(old->capacity * 2, old);
	if (!t)
		return false;
	for (size_t i = 0; i < old->capacity; i++)
		slot_copy(&t->slot[i], &old->slot[i]);
	PUT(bus->table, t);
	return true;
}

static int insert(struct bus *bus, const struct bus_region *region,
		  struct diag *d)
{
	struct table *t = GET(bus->table);
	size_t count = GET(bus->count), at;
	uint64_t last;

	if (!region->size_bytes ||
	    !add_u64(region->base, region->size_bytes - 1, &last) ||
	    last > bus->last)
		return diag_fail(d, EINVAL,
				 "%s: 0x%llx+0x%llx is outside of the %s space",
				 region->name, (unsigned long long)region->base,
				 (unsigned long long)region->size_bytes,
				 bus->name);
	at = search(t, count, region->base);
	if (at < count && GET(t->slot[at].base) <= last)
		return diag_fail(d, EEXIST, "%s at %s 0x%llx overlaps %s",
				 region->name, bus->name,
				 (unsigned long long)region->base,
				 GET(t->slot[at].region)->name);
	write_begin(bus);
	for (size_t i = count; i > at; i--)
		slot_copy(&t->slot[i], &t->slot[i - 1]);
	PUT(t->slot[at].base, region->base);
	PUT(t->slot[at].last, last);
	PUT(t->slot[at].region, region);
	PUT(bus->count, count + 1);
	write_end(bus);
	return 0;
}

/* Lock held. */
static void drop(struct bus *bus, const struct bus_region *region)
{
	struct table *t = GET(bus->table);
	size_t count = GET(bus->count), at = 0;

	while (at < count && GET(t->slot[at].region) != region)
		at++;
	if (at == count)
		return;
	write_begin(bus);
	for (size_t i = at; i + 1 < count; i++)
		slot_copy(&t->slot[i], &t->slot[i + 1]);
	PUT(bus->count, count - 1);
	write_end(bus);
}

int bus_add(struct bus *bus, const struct bus_region *region, struct diag *d)
{
	int err;

	CHECK(region->ops && region->name);
	pthread_mutex_lock(&bus->lock);
	err = reserve(bus) ? insert(bus, region, d)
			   : diag_fail(d, ENOMEM, "out of memory");
	pthread_mutex_unlock(&bus->lock);
	return err;
}

void bus_remove(struct bus *bus, const struct bus_region *region)
{
	pthread_mutex_lock(&bus->lock);
	drop(bus, region);
	pthread_mutex_unlock(&bus->lock);
}

int bus_move(struct bus *bus, struct bus_region *region, uint64_t base)
{
	int err;

	pthread_mutex_lock(&bus->lock);
	drop(bus, region);
	region->base = base;
	err = reserve(bus) ? insert(bus, region, NULL) : -ENOMEM;
	pthread_mutex_unlock(&bus->lock);
	return err;
}
