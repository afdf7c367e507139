/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: guest RAM as the fake hypervisor sees it, and the dirty log
 *
 * Every access looks the region up and checks both of its ends, so a guest
 * never reaches a byte outside of what ram_map() showed it. As with second
 * level page tables, only the guest's own stores are logged, not what devices
 * write through vmm/memory.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/host/fake/vm.h"

static uint64_t page_size(const struct fake_vm *vm)
{
	return vm->host.caps.page_size_bytes;
}

static size_t dirty_words(const struct fake_vm *vm, const struct fake_map *m)
{
	return MAX(1, (size_t)(m->size_bytes / page_size(vm) + 63) / 64);
}

static struct fake_map *map_at(struct fake_vm *vm, uint64_t gpa)
{
	for (unsigned i = 0; i < vm->map_count; i++)
		if (vm->map[i].gpa == gpa)
			return &vm->map[i];
	return NULL;
}

static int map_check(const struct fake_vm *vm, const struct fake_map *new,
		     struct diag *d)
{
	uint64_t at = (uintptr_t) new->host, end;

	if (!new->size_bytes ||
	    ((new->gpa | new->size_bytes | at) & (page_size(vm) - 1)))
		return diag_fail(d, EINVAL, "RAM at 0x%llx is not page-aligned",
				 (unsigned long long)new->gpa);
	if (!add_u64(new->gpa, new->size_bytes, &end) ||
	    end > 1ULL << FAKE_PA_BITS)
		return diag_fail(d, EINVAL, "RAM at 0x%llx ends above %u bits",
				 (unsigned long long)new->gpa, FAKE_PA_BITS);
	for (unsigned i = 0; i < vm->map_count; i++) {
		const struct fake_map *m = &vm->map[i];

		if (new->gpa < m->gpa + m->size_bytes && m->gpa < end)
			return diag_fail(d, EEXIST,
					 "RAM at 0x%llx overlaps RAM at 0x%llx",
					 (unsigned long long)new->gpa,
					 (unsigned long long)m->gpa);
	}
	return 0;
}

/* map_lock held for writing. */
static int map_add(struct fake_vm *vm, struct fake_map *new, struct diag *d)
{
	int err = map_check(vm, new, d);

	if (err)
		return err;
	if (vm->map_count == FAKE_MAPS_MAX)
		return diag_fail(d, ENOSPC, "more than %u RAM regions",
				 FAKE_MAPS_MAX);
	if (vm->logging) {
		new->dirty = calloc(dirty_words(vm, new), sizeof(*new->dirty));
		if (!new->dirty)
			return diag_fail(d, ENOMEM, "out of memory");
	}
	vm->map[vm->map_count++] = *new;
	return 0;
}

int fake_ram_map(struct host_vm *host, gpa_t gpa, void *at, uint64_t size_bytes,
		 unsigned flags, struct diag *d)
{
	struct fake_vm *vm = fake_vm_of(host);
	struct fake_map new = { .gpa = gpa.v,
				.size_bytes = size_bytes,
				.host = at,
				.flags = flags };
	int err = fake_fails(vm, HOST_FAKE_RAM_MAP, d);

	if (err)
		return err;
	pthread_rwlock_wrlock(&vm->map_lock);
	err = map_add(vm, &new, d);
	pthread_rwlock_unlock(&vm->map_lock);
	return err;
}

int fake_ram_unmap(struct host_vm *host, gpa_t gpa, struct diag *d)
{
	struct fake_vm *vm = fake_vm_of(host);
	struct fake_map *m;
	int err = 0;

	pthread_rwlock_wrlock(&vm->map_lock);
	m = map_at(vm, gpa.v);
	if (m) {
		free(m->dirty);
		*m = vm->map[--vm->map_count];
	} else {
		err = diag_fail(d, ENOENT, "no RAM region starts at 0x%llx",
				(unsigned long long)gpa.v);
	}
	pthread_rwlock_unlock(&vm->map_lock);
	return err;
}

/* map_lock held for writing. */
static void dirty_drop(struct fake_vm *vm)
{
	for (unsigned i = 0; i < vm->map_count; i++) {
		free(vm->map[i].dirty);
		vm->map[i].dirty = NULL;
	}
	vm->logging = false;
}

void fake_ram_release(struct fake_vm *vm)
{
	dirty_drop(vm);
	vm->map_count = 0;
}

/* map_lock held for writing. */
static int dirty_make(struct fake_vm *vm, struct diag *d)
{
	for (unsigned i = 0; i < vm->map_count; i++) {
		struct fake_map *m = &vm->map[i];

		m->dirty = calloc(dirty_words(vm, m), sizeof(*m->dirty));
		if (!m->dirty) {
			dirty_drop(vm);
			return diag_fail(d, ENOMEM, "out of memory");
		}
	}
	vm->logging = true;
	return 0;
}

int fake_dirty_start(struct host_vm *host, struct diag *d)
{
	struct fake_vm *vm = fake_vm_of(host);
	int err = 0;

	pthread_rwlock_wrlock(&vm->map_lock);
	if (!vm->logging)
		err = dirty_make(vm, d);
	pthread_rwlock_unlock(&vm->map_lock);
	return err;
}

int fake_dirty_stop(struct host_vm *host, struct diag *d)
{
	struct fake_vm *vm = fake_vm_of(host);

	(void)d;
	pthread_rwlock_wrlock(&vm->map_lock);
	dirty_drop(vm);
	pthread_rwlock_unlock(&vm->map_lock);
	return 0;
}

/* map_lock held for reading. */
static int dirty_copy(struct fake_vm *vm, uint64_t gpa, uint64_t *bitmap,
		      size_t words, struct diag *d)
{
	struct fake_map *m = map_at(vm, gpa);

	if (!m)
		return diag_fail(d, ENOENT, "no RAM region starts at 0x%llx",
				 (unsigned long long)gpa);
	if (!m->dirty)
		return diag_fail(d, EINVAL, "dirty logging is off");
	if (words != dirty_words(vm, m))
		return diag_fail(d, EINVAL, "%zu words for a bitmap of %zu",
				 words, dirty_words(vm, m));
	for (size_t i = 0; i < words; i++)
		bitmap[i] = atomic_exchange(&m->dirty[i], 0);
	return 0;
}

int fake_dirty_take(struct host_vm *host, gpa_t gpa, uint64_t *bitmap,
		    size_t words, struct diag *d)
{
	struct fake_vm *vm = fake_vm_of(host);
	int err;

	pthread_rwlock_rdlock(&vm->map_lock);
	err = dirty_copy(vm, gpa.v, bitmap, words, d);
	pthread_rwlock_unlock(&vm->map_lock);
	return err;
}

static void dirty_mark(struct fake_vm *vm, struct fake_map *m, uint64_t offset,
		       unsigned size)
{
	uint64_t last = (offset + size - 1) / page_size(vm);

	if (!m->dirty)
		return;
	for (uint64_t i = offset / page_size(vm); i <= last; i++)
		atomic_fetch_or(&m->dirty[i / 64], 1ULL << (i % 64));
}

/* The region that holds all of the access; map_lock held. */
static struct fake_map *map_find(struct fake_vm *vm, uint64_t gpa,
				 unsigned size)
{
	for (unsigned i = 0; i < vm->map_count; i++)
		if (range_within(gpa, size, vm->map[i].gpa,
				 vm->map[i].size_bytes))
			return &vm->map[i];
	return NULL;
}

static uint64_t load_aligned(const void *at, unsigned size)
{
	switch (size) {
	case 1:
		return __atomic_load_n((const uint8_t *)at, __ATOMIC_ACQUIRE);
	case 2:
		return __atomic_load_n((const uint16_t *)at, __ATOMIC_ACQUIRE);
	case 4:
		return __atomic_load_n((const uint32_t *)at, __ATOMIC_ACQUIRE);
	default:
		return __atomic_load_n((const uint64_t *)at, __ATOMIC_ACQUIRE);
	}
}

static void store_aligned(void *at, unsigned size, uint64_t v)
{
	switch (size) {
	case 1:
		__atomic_store_n((uint8_t *)at, (uint8_t)v, __ATOMIC_RELEASE);
		break;
	case 2:
		__atomic_store_n((uint16_t *)at, (uint16_t)v, __ATOMIC_RELEASE);
		break;
	case 4:
		__atomic_store_n((uint32_t *)at, (uint32_t)v, __ATOMIC_RELEASE);
		break;
	default:
		__atomic_store_n((uint64_t *)at, v, __ATOMIC_RELEASE);
	}
}

bool fake_ram_load(struct fake_vm *vm, uint64_t gpa, unsigned size_bytes,
		   uint64_t *out)
{
	struct fake_map *m;
	uint64_t value = 0;

	pthread_rwlock_rdlock(&vm->map_lock);
	m = map_find(vm, gpa, size_bytes);
	if (m && gpa % size_bytes == 0)
		value = load_aligned(m->host + (gpa - m->gpa), size_bytes);
	else if (m)
		memcpy(&value, m->host + (gpa - m->gpa), size_bytes);
	pthread_rwlock_unlock(&vm->map_lock);
	if (!m)
		return false;
	*out = value;
	return true;
}

bool fake_ram_store(struct fake_vm *vm, uint64_t gpa, unsigned size_bytes,
		    uint64_t value)
{
	struct fake_map *m;

	pthread_rwlock_rdlock(&vm->map_lock);
	m = map_find(vm, gpa, size_bytes);
	if (m && (m->flags & RAM_READ_ONLY))
		m = NULL;
	if (m && gpa % size_bytes == 0)
		store_aligned(m->host + (gpa - m->gpa), size_bytes, value);
	else if (m)
		memcpy(m->host + (gpa - m->gpa), &value, size_bytes);
	if (m)
		dirty_mark(vm, m, gpa - m->gpa, size_bytes);
	pthread_rwlock_unlock(&vm->map_lock);
	return m;
}
