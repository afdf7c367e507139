/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: guest RAM, see memory.h
 *
 * Each region lies inside a larger reservation of inaccessible address space:
 * GUARD bytes before and at least GUARD after it, so that a wrong offset from
 * a pinned pointer faults instead of reaching other memory of this process.
 * Regions start on a 2 MiB boundary on the host as they do in the guest, which
 * transparent huge pages need.
 */
#include "vmm/memory.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* One huge page: also keeps the 2 MiB alignment of what follows it. */
#define GUARD MIB(2)

void ram_init(struct guest_ram *ram)
{
	memset(ram, 0, sizeof(*ram));
}

/* Reserve guard + size + guard, return the 2 MiB-aligned middle. */
static uint8_t *reserve(uint64_t size)
{
	uint64_t whole = align_up(size, GUARD) + 3 * GUARD;
	uint8_t *at, *middle, *end;

	errno = ENOMEM;
	if (whole < size) /* wrapped */
		return NULL;
	at = mmap(NULL, whole, PROT_NONE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (at == MAP_FAILED)
		return NULL;
	middle = at + (align_up((uintptr_t)at + GUARD, GUARD) - (uintptr_t)at);
	end = middle + align_up(size, GUARD) + GUARD;
	if (middle - GUARD > at)
		munmap(at, (size_t)(middle - GUARD - at));
	if (at + whole > end)
		munmap(end, (size_t)(at + whole - end));
	return middle;
}

static void unreserve(uint8_t *middle, uint64_t size)
{
	munmap(middle - GUARD, align_up(size, GUARD) + 2 * GUARD);
}

/* mmap flags for huge pages of one size; include/uapi/linux/mman.h */
static unsigned huge_flags(const struct ram_options *opt)
{
	unsigned shift = 0;

	if (!opt->hugepages)
		return 0;
	if (opt->hugepage_size_bytes)
		shift = (unsigned)__builtin_ctzll(opt->hugepage_size_bytes);
	return shift;
}

static int back_shared(uint8_t *at, uint64_t size,
		       const struct ram_options *opt)
{
	unsigned flags = MFD_CLOEXEC;
	int fd, err = 0;

	if (opt->hugepages)
		flags |= MFD_HUGETLB | huge_flags(opt) << MAP_HUGE_SHIFT;
	fd = memfd_create("spandrel-ram", flags);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)size) < 0 ||
	    mmap(at, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
		 0) == MAP_FAILED)
		err = -errno;
	close(fd);
	return err;
}

static int back_private(uint8_t *at, uint64_t size,
			const struct ram_options *opt)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;

	if (opt->hugepages)
		flags |= MAP_HUGETLB | (int)(huge_flags(opt) << MAP_HUGE_SHIFT);
	if (mmap(at, size, PROT_READ | PROT_WRITE, flags, -1, 0) == MAP_FAILED)
		return -errno;
	return 0;
}

static int back(uint8_t *at, uint64_t size, const struct ram_options *opt)
{
	int err = opt->shared ? back_shared(at, size, opt)
			      : back_private(at, size, opt);

	if (err)
		return err;
	/* Advice only: a kernel without it still runs the guest. */
	if (opt->thp && !opt->hugepages)
		madvise(at, size, MADV_HUGEPAGE);
	if (opt->mergeable)
		madvise(at, size, MADV_MERGEABLE);
	madvise(at, size, MADV_DONTDUMP);
	if (opt->prefault && madvise(at, size, MADV_POPULATE_WRITE) < 0)
		return -errno;
	return 0;
}

static int check_new(const struct guest_ram *ram, gpa_t gpa, uint64_t size,
		     struct diag *d)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), end;
	const struct ram_region *last;

	if (ram->region_count == RAM_REGIONS_MAX)
		return diag_fail(d, EINVAL, "more than %u RAM regions",
				 RAM_REGIONS_MAX);
	if (!size || size % page || gpa.v % page || !add_u64(gpa.v, size, &end))
		return diag_fail(d, EINVAL,
				 "RAM region 0x%llx+0x%llx is not made of "
				 "whole %llu-byte pages",
				 (unsigned long long)gpa.v,
				 (unsigned long long)size,
				 (unsigned long long)page);
	if (!ram->region_count)
		return 0;
	last = &ram->region[ram->region_count - 1];
	if (gpa.v < last->gpa.v + last->size_bytes)
		return diag_fail(d, EINVAL, "RAM region 0x%llx overlaps",
				 (unsigned long long)gpa.v);
	return 0;
}

int ram_add(struct guest_ram *ram, gpa_t gpa, uint64_t size_bytes,
	    const struct ram_options *opt, struct diag *d)
{
	int err = check_new(ram, gpa, size_bytes, d);
	uint8_t *host;

	if (err)
		return err;
	host = reserve(size_bytes);
	if (!host)
		return diag_errno(d, errno,
				  "cannot reserve %llu MiB of address space",
				  (unsigned long long)(size_bytes >> 20));
	err = back(host, size_bytes, opt);
	if (err) {
		unreserve(host, size_bytes);
		return diag_errno(d, -err, "cannot allocate %llu MiB of %s%s",
				  (unsigned long long)(size_bytes >> 20),
				  opt->shared ? "shared " : "",
				  opt->hugepages ? "huge pages (see "
						   "/proc/sys/vm/nr_hugepages)"
						 : "guest RAM");
	}
	ram->region[ram->region_count++] = (struct ram_region){
		.gpa = gpa, .size_bytes = size_bytes, .host = host
	};
	return 0;
}

void ram_release(struct guest_ram *ram)
{
	for (unsigned i = 0; i < ram->region_count; i++)
		unreserve(ram->region[i].host, ram->region[i].size_bytes);
	ram_init(ram);
}

int ram_clear(struct guest_ram *ram, struct diag *d)
{
	for (unsigned i = 0; i < ram->region_count; i++) {
		struct ram_region *r = &ram->region[i];

		/*
		 * MADV_REMOVE empties shared memory, MADV_DONTNEED private
		 * memory; each refuses or ignores the other kind, so one of
		 * them leaves zeros and the check is that one succeeded.
		 */
		if (madvise(r->host, r->size_bytes, MADV_REMOVE) < 0 &&
		    madvise(r->host, r->size_bytes, MADV_DONTNEED) < 0)
			return diag_errno(d, errno, "cannot clear guest RAM");
	}
	return 0;
}

uint64_t ram_size(const struct guest_ram *ram)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < ram->region_count; i++)
		sum += ram->region[i].size_bytes;
	return sum;
}

void *ram_pin(const struct guest_ram *ram, gpa_t gpa, uint64_t len)
{
	for (unsigned i = 0; i < ram->region_count; i++) {
		const struct ram_region *r = &ram->region[i];

		if (range_within(gpa.v, len, r->gpa.v, r->size_bytes))
			return r->host + (gpa.v - r->gpa.v);
	}
	return NULL;
}

bool ram_read(const struct guest_ram *ram, gpa_t gpa, void *buf, uint64_t len)
{
	const void *at = ram_pin(ram, gpa, len);

	if (!at)
		return false;
	memcpy(buf, at, len);
	return true;
}

bool ram_write(const struct guest_ram *ram, gpa_t gpa, const void *buf,
	       uint64_t len)
{
	void *at = ram_pin(ram, gpa, len);

	if (!at)
		return false;
	memcpy(at, buf, len);
	return true;
}

bool ram_fill(const struct guest_ram *ram, gpa_t gpa, uint8_t value,
	      uint64_t len)
{
	void *at = ram_pin(ram, gpa, len);

	if (!at)
		return false;
	memset(at, value, len);
	return true;
}
