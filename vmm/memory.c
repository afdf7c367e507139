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
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* One huge page: also keeps the 2 MiB alignment of what follows it. */
#define GUARD MIB(2)

void ram_init(struct guest_ram *ram)
{
	memset(ram, 0, sizeof(*ram));
}

/* Reserve guard + size + guard, return the middle, which is aligned to @align:
 * a power of two, at least GUARD. */
static uint8_t *reserve(uint64_t size, uint64_t align)
{
	uint64_t whole = align_up(size, GUARD) + 2 * GUARD + align;
	uint8_t *at, *middle, *end;

	errno = ENOMEM;
	if (whole < size) /* wrapped */
		return NULL;
	at = mmap(NULL, whole, PROT_NONE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (at == MAP_FAILED)
		return NULL;
	middle = at + (align_up((uintptr_t)at + GUARD, align) - (uintptr_t)at);
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
		       const struct ram_options *opt, int *out)
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
	if (err)
		close(fd);
	else
		*out = fd;
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

/* @fd: receives the memfd, or stays as it is. */
static int back(uint8_t *at, uint64_t size, const struct ram_options *opt,
		int *fd)
{
	int err = opt->shared ? back_shared(at, size, opt, fd)
			      : back_private(at, size, opt);

	if (err)
		return err;
	/* Advice only: a kernel without it still runs the guest. */
	if (opt->thp && !opt->hugepages)
		madvise(at, size, MADV_HUGEPAGE);
	if (opt->mergeable)
		madvise(at, size, MADV_MERGEABLE);
	madvise(at, size, MADV_DONTDUMP);
	if (!opt->prefault || !madvise(at, size, MADV_POPULATE_WRITE))
		return 0;
	err = -errno;
	if (*fd >= 0)
		close(*fd);
	return err;
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
	int err = check_new(ram, gpa, size_bytes, d), fd = -1;
	uint8_t *host;

	if (err)
		return err;
	host = reserve(size_bytes, GUARD);
	if (!host)
		return diag_errno(d, errno,
				  "cannot reserve %llu MiB of address space",
				  (unsigned long long)(size_bytes >> 20));
	err = back(host, size_bytes, opt, &fd);
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
		.gpa = gpa,
		.size_bytes = size_bytes,
		.host = host,
		.fd = fd,
		.mapped = host,
		.mapped_bytes = size_bytes,
	};
	return 0;
}

/* ---- other processes' memory ------------------------------------------- */

/* Where a new region goes in the table; region_count + 1 if it overlaps. */
static unsigned place_of(const struct guest_ram *ram, gpa_t gpa, uint64_t size)
{
	unsigned at = 0;

	while (at < ram->region_count && ram->region[at].gpa.v < gpa.v)
		at++;
	if ((at && gpa.v - ram->region[at - 1].gpa.v <
			   ram->region[at - 1].size_bytes) ||
	    (at < ram->region_count && ram->region[at].gpa.v - gpa.v < size))
		return ram->region_count + 1;
	return at;
}

/*
 * The unit in which @fd is mapped: a huge page for hugetlbfs. Return: 0, or
 * -EINVAL: the file ends before @end.
 */
static int mapping_unit(int fd, uint64_t end, uint64_t *unit, struct diag *d)
{
	struct statfs fs;
	struct stat st;

	if (fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0)
		return diag_errno(d, errno, "cannot look at shared memory");
	if (S_ISREG(st.st_mode) && (uint64_t)st.st_size < end)
		return diag_fail(d, EINVAL,
				 "shared memory of %llu bytes is said to have "
				 "%llu",
				 (unsigned long long)st.st_size,
				 (unsigned long long)end);
	if (!S_ISREG(st.st_mode) && !S_ISCHR(st.st_mode))
		return diag_fail(d, EINVAL,
				 "shared memory is neither file nor device");
	*unit = (uint64_t)sysconf(_SC_PAGESIZE);
	if (fs.f_type == HUGETLBFS_MAGIC && is_pow2((uint64_t)fs.f_bsize))
		*unit = MAX(*unit, (uint64_t)fs.f_bsize);
	return 0;
}

static int map_file(struct ram_region *r, uint64_t unit, struct diag *d)
{
	uint64_t first = align_down(r->fd_offset_bytes, unit);
	uint64_t head = r->fd_offset_bytes - first;

	r->mapped_bytes = align_up(head + r->size_bytes, unit);
	if (r->mapped_bytes < r->size_bytes)
		return diag_fail(d, EINVAL, "shared memory wraps around");
	r->mapped = reserve(r->mapped_bytes, MAX(GUARD, unit));
	if (!r->mapped)
		return diag_errno(d, errno, "cannot reserve address space");
	if (mmap(r->mapped, r->mapped_bytes, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_FIXED | MAP_NORESERVE, r->fd,
		 (off_t)first) == MAP_FAILED) {
		int err = errno;

		unreserve(r->mapped, r->mapped_bytes);
		return diag_errno(d, err, "cannot map shared memory");
	}
	madvise(r->mapped, r->mapped_bytes, MADV_DONTDUMP);
	r->host = r->mapped + head;
	return 0;
}

int ram_add_file(struct guest_ram *ram, gpa_t gpa, uint64_t size_bytes, int fd,
		 uint64_t offset_bytes, struct diag *d)
{
	unsigned at = place_of(ram, gpa, size_bytes);
	struct ram_region r = { .gpa = gpa,
				.size_bytes = size_bytes,
				.fd = fd,
				.fd_offset_bytes = offset_bytes };
	uint64_t end, unit = 0;
	int err;

	if (ram->region_count == RAM_REGIONS_MAX)
		return diag_fail(d, ENOSPC, "more than %u RAM regions",
				 RAM_REGIONS_MAX);
	if (!size_bytes || !add_u64(gpa.v, size_bytes, &end) ||
	    !add_u64(offset_bytes, size_bytes, &end) || end > INT64_MAX ||
	    at > ram->region_count)
		return diag_fail(d, EINVAL,
				 "RAM region 0x%llx+0x%llx is empty, wraps or "
				 "overlaps",
				 (unsigned long long)gpa.v,
				 (unsigned long long)size_bytes);
	err = mapping_unit(fd, end, &unit, d);
	if (!err)
		err = map_file(&r, unit, d);
	if (err)
		return err;
	/* Best effort: most files cannot be sealed. */
	fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK);
	memmove(&ram->region[at + 1], &ram->region[at],
		(ram->region_count - at) * sizeof(r));
	ram->region[at] = r;
	ram->region_count++;
	return 0;
}

int ram_add_pmem(struct guest_ram *ram, gpa_t gpa, uint64_t size_bytes, int fd,
		 bool private, struct diag *d)
{
	int flags = (private ? MAP_PRIVATE : MAP_SHARED) | MAP_NORESERVE;
	int err = check_new(ram, gpa, size_bytes, d);
	uint8_t *host;

	if (err)
		return err;
	host = reserve(size_bytes, GUARD);
	if (!host)
		return diag_errno(d, errno, "cannot reserve address space");
	if (mmap(host, size_bytes, PROT_READ | PROT_WRITE, flags | MAP_FIXED,
		 fd, 0) == MAP_FAILED) {
		err = errno;
		unreserve(host, size_bytes);
		return diag_errno(d, err, "cannot map it");
	}
	madvise(host, size_bytes, MADV_DONTDUMP);
	/* The mapping keeps the file open, and its locks with it; others may
	 * map the file only if it is what the guest sees. */
	if (private)
		close(fd);
	ram->region[ram->region_count++] = (struct ram_region){
		.gpa = gpa,
		.size_bytes = size_bytes,
		.host = host,
		.fd = private ? -1 : fd,
		.mapped = host,
		.mapped_bytes = size_bytes,
		.pmem = true,
	};
	return 0;
}

static void region_release(struct ram_region *r)
{
	unreserve(r->mapped, r->mapped_bytes);
	if (r->fd >= 0)
		close(r->fd);
}

void ram_remove(struct guest_ram *ram, unsigned index)
{
	region_release(&ram->region[index]);
	memmove(&ram->region[index], &ram->region[index + 1],
		(--ram->region_count - index) * sizeof(ram->region[0]));
}

void ram_release(struct guest_ram *ram)
{
	for (unsigned i = 0; i < ram->region_count; i++)
		region_release(&ram->region[i]);
	ram_init(ram);
}

int ram_clear(struct guest_ram *ram, struct diag *d)
{
	for (unsigned i = 0; i < ram->region_count; i++) {
		struct ram_region *r = &ram->region[i];

		if (r->pmem)
			continue;
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
		if (!ram->region[i].pmem)
			sum += ram->region[i].size_bytes;
	return sum;
}

static const struct ram_region *find(const struct guest_ram *ram, gpa_t gpa,
				     uint64_t len)
{
	for (unsigned i = 0; i < ram->region_count; i++) {
		const struct ram_region *r = &ram->region[i];

		if (range_within(gpa.v, len, r->gpa.v, r->size_bytes))
			return r;
	}
	return NULL;
}

int ram_discard(const struct guest_ram *ram, gpa_t gpa, uint64_t len)
{
	const struct ram_region *r = find(ram, gpa, len);
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), at, from, to;

	if (!r || r->pmem)
		return -EFAULT;
	/* Pages of the host: a region of another process may begin in one. */
	at = (uintptr_t)r->host + (gpa.v - r->gpa.v);
	from = align_up(at, page);
	to = align_down(at + len, page);
	if (from >= to)
		return 0;
	/* Of a memfd, MADV_DONTNEED would only drop our own mapping. */
	if (madvise(r->host + (from - (uintptr_t)r->host), to - from,
		    r->fd >= 0 ? MADV_REMOVE : MADV_DONTNEED) < 0)
		return -errno;
	return 0;
}

bool ram_locate(const struct guest_ram *ram, const void *at, gpa_t *gpa)
{
	for (unsigned i = 0; i < ram->region_count; i++) {
		const struct ram_region *r = &ram->region[i];

		if (!range_within((uintptr_t)at, 1, (uintptr_t)r->host,
				  r->size_bytes))
			continue;
		gpa->v = r->gpa.v + (uint64_t)((const uint8_t *)at - r->host);
		return true;
	}
	return false;
}

void *ram_pin(const struct guest_ram *ram, gpa_t gpa, uint64_t len)
{
	const struct ram_region *r = find(ram, gpa, len);

	return r ? r->host + (gpa.v - r->gpa.v) : NULL;
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
