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
#include <linux/mempolicy.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
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

/* What the system takes when no size is asked for; 0: it has no such pages. */
static uint64_t default_huge_page(void)
{
	int fd = memfd_create("spandrel-ram", MFD_CLOEXEC | MFD_HUGETLB);
	struct statfs fs;
	uint64_t size = 0;

	if (fd < 0)
		return 0;
	if (!fstatfs(fd, &fs))
		size = (uint64_t)fs.f_bsize;
	close(fd);
	return size;
}

/* The page that the piece is made of; 0: whichever the system has. */
static uint64_t page_of(const struct ram_backing *b)
{
	if (b->fd >= 0)
		return file_map_unit(b->fd);
	if (!b->opt.hugepages)
		return 0;
	return b->opt.hugepage_size_bytes ? b->opt.hugepage_size_bytes
					  : default_huge_page();
}

/* Shared memory of its own, or the file that the piece is a part of. */
static int open_shared(const struct ram_backing *b)
{
	/* Who gets it shall neither cut it short nor forbid ram_clear(). */
	static const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int fd;

	if (b->fd >= 0) {
		fd = fcntl(b->fd, F_DUPFD_CLOEXEC, 0);
		return fd < 0 ? -errno : fd;
	}
	if (b->opt.hugepages)
		flags |= MFD_HUGETLB | huge_flags(&b->opt) << MAP_HUGE_SHIFT;
	fd = memfd_create("spandrel-ram", flags);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)b->size_bytes) < 0 ||
	    fcntl(fd, F_ADD_SEALS, seals) < 0) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

static int back_shared(uint8_t *at, const struct ram_backing *b, int *out)
{
	int fd = open_shared(b);

	if (fd < 0)
		return fd;
	if (mmap(at, b->size_bytes, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_FIXED, fd,
		 (off_t)b->fd_offset_bytes) == MAP_FAILED) {
		int err = -errno;

		close(fd);
		return err;
	}
	*out = fd;
	return 0;
}

static int back_private(uint8_t *at, const struct ram_backing *b)
{
	int flags = MAP_PRIVATE | MAP_FIXED;

	if (b->fd < 0)
		flags |= MAP_ANONYMOUS;
	/* Huge pages are reserved: one that is missing later is a SIGBUS. */
	flags |= b->opt.hugepages ? MAP_HUGETLB | (int)(huge_flags(&b->opt)
							<< MAP_HUGE_SHIFT)
				  : MAP_NORESERVE;
	if (mmap(at, b->size_bytes, PROT_READ | PROT_WRITE, flags, b->fd,
		 (off_t)b->fd_offset_bytes) == MAP_FAILED)
		return -errno;
	return 0;
}

/* Before the first page is there: all pages come from these nodes. */
static int bind_nodes(uint8_t *at, const struct ram_backing *b)
{
	unsigned long mask[RAM_HOST_NODES_MAX / (8 * sizeof(long))] = { 0 };

	for (unsigned i = 0; i < b->host_node_count; i++)
		mask[b->host_node[i] / (8 * sizeof(long))] |=
			1ul << b->host_node[i] % (8 * sizeof(long));
	if (b->host_node_count &&
	    syscall(SYS_mbind, at, b->size_bytes, MPOL_BIND, mask,
		    RAM_HOST_NODES_MAX + 1, 0) < 0)
		return -errno;
	return 0;
}

static int advise(uint8_t *at, const struct ram_backing *b)
{
	/* Advice only: a kernel without it still runs the guest. */
	if (b->opt.thp && !b->opt.hugepages)
		madvise(at, b->size_bytes, MADV_HUGEPAGE);
	if (b->opt.mergeable)
		madvise(at, b->size_bytes, MADV_MERGEABLE);
	madvise(at, b->size_bytes, MADV_DONTDUMP);
	if (b->opt.prefault &&
	    madvise(at, b->size_bytes, MADV_POPULATE_WRITE) < 0)
		return -errno;
	return 0;
}

/* Say for what option it failed. */
static int blame(const struct ram_backing *b, int err, struct diag *d)
{
	return b->who ? diag_fail(d, -err, "%s", b->who) : err;
}

static int watch_piece(uint8_t *at, const struct ram_backing *b,
		       struct ram_piece *piece, struct diag *d)
{
	struct file_map_area area = { .size_bytes = b->size_bytes,
				      .fd = b->fd,
				      .offset_bytes = b->fd_offset_bytes };
	int err;

	area.at = at;
	err = file_map_new(&piece->watch, &area, d);
	return err ? blame(b, err, d) : 0;
}

/* On failure @piece has a descriptor only if that is still to be closed. */
static int back(uint8_t *at, const struct ram_backing *b,
		struct ram_piece *piece, struct diag *d)
{
	int err = b->opt.shared ? back_shared(at, b, &piece->fd)
				: back_private(at, b);

	if (!err) {
		err = bind_nodes(at, b);
		if (err) {
			diag_errno(d, -err,
				   "cannot take memory from this NUMA node of "
				   "the host");
			return blame(b, err, d);
		}
		err = advise(at, b);
	}
	if (!err)
		return b->fd < 0 ? 0 : watch_piece(at, b, piece, d);
	diag_errno(d, -err, "cannot allocate %llu MiB of %s%s",
		   (unsigned long long)(b->size_bytes >> 20),
		   b->opt.shared ? "shared " : "",
		   b->opt.hugepages ? "huge pages (see "
				      "/proc/sys/vm/nr_hugepages)"
				    : "guest RAM");
	return blame(b, err, d);
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

static void pieces_release(struct ram_region *r)
{
	for (unsigned i = 0; i < r->piece_count; i++)
		if (r->piece[i].fd >= 0)
			close(r->piece[i].fd);
	free(r->piece);
}

static void region_release(struct ram_region *r)
{
	for (unsigned i = 0; i < r->piece_count; i++)
		file_map_free(r->piece[i].watch);
	unreserve(r->mapped, r->mapped_bytes);
	pieces_release(r);
}

/* Room for the description of @count pieces, and what all of them add up to;
 * false: out of memory. */
static bool region_init(struct ram_region *r, gpa_t gpa, unsigned count)
{
	*r = (struct ram_region){ .gpa = gpa, .piece_count = count };
	r->piece = calloc(count, sizeof(*r->piece));
	for (unsigned i = 0; r->piece && i < count; i++)
		r->piece[i].fd = -1;
	return r->piece != NULL;
}

/* A region that is one piece; takes over @fd, which may be -1. */
static bool region_init_one(struct ram_region *r, gpa_t gpa, uint64_t size,
			    int fd, uint64_t offset)
{
	if (!region_init(r, gpa, 1))
		return false;
	r->size_bytes = size;
	r->piece[0] = (struct ram_piece){ .size_bytes = size,
					  .fd = fd,
					  .fd_offset_bytes = offset };
	return true;
}

/* mmap() would round an odd size up, over what follows. */
static int check_pages(const struct ram_backing *b, uint64_t offset,
		       uint64_t page, struct diag *d)
{
	if (!page || (offset % page == 0 && b->size_bytes % page == 0))
		return 0;
	diag_fail(d, EINVAL,
		  "a piece of %llu bytes, 0x%llx bytes into RAM, is not made "
		  "of whole pages of %llu bytes: change the size, or put it "
		  "before what has smaller pages",
		  (unsigned long long)b->size_bytes, (unsigned long long)offset,
		  (unsigned long long)page);
	return blame(b, -EINVAL, d);
}

/* Sizes and places of the pieces; @align: what the largest page needs. */
static int plan(struct ram_region *r, const struct ram_backing *b,
		uint64_t *align, struct diag *d)
{
	int err = 0;

	*align = GUARD;
	for (unsigned i = 0; i < r->piece_count && !err; i++) {
		uint64_t page = page_of(&b[i]);

		r->piece[i].offset_bytes = r->size_bytes;
		r->piece[i].size_bytes = b[i].size_bytes;
		r->piece[i].fd_offset_bytes = b[i].fd_offset_bytes;
		*align = MAX(*align, page);
		err = check_pages(&b[i], r->size_bytes, page, d);
		if (!err &&
		    !add_u64(r->size_bytes, b[i].size_bytes, &r->size_bytes))
			err = diag_fail(d, EINVAL, "RAM region 0x%llx wraps",
					(unsigned long long)r->gpa.v);
	}
	return err;
}

static int back_all(struct ram_region *r, const struct ram_backing *b,
		    struct diag *d)
{
	int err = 0;

	for (unsigned i = 0; i < r->piece_count && !err; i++)
		err = back(r->host + r->piece[i].offset_bytes, &b[i],
			   &r->piece[i], d);
	return err;
}

int ram_add_pieces(struct guest_ram *ram, gpa_t gpa,
		   const struct ram_backing *piece, unsigned piece_count,
		   struct diag *d)
{
	struct ram_region r;
	uint64_t align;
	int err;

	if (!region_init(&r, gpa, piece_count))
		return diag_fail(d, ENOMEM, "out of memory");
	err = plan(&r, piece, &align, d);
	if (!err)
		err = check_new(ram, gpa, r.size_bytes, d);
	if (err)
		goto err_pieces;
	r.host = r.mapped = reserve(r.size_bytes, align);
	r.mapped_bytes = r.size_bytes;
	if (!r.host) {
		err = diag_errno(d, errno,
				 "cannot reserve %llu MiB of address space",
				 (unsigned long long)(r.size_bytes >> 20));
		blame(piece, err, d);
		goto err_pieces;
	}
	err = back_all(&r, piece, d);
	if (err) {
		region_release(&r);
		return err;
	}
	ram->region[ram->region_count++] = r;
	return 0;

err_pieces:
	pieces_release(&r);
	return err;
}

int ram_add(struct guest_ram *ram, gpa_t gpa, uint64_t size_bytes,
	    const struct ram_options *opt, struct diag *d)
{
	const struct ram_backing b = { .size_bytes = size_bytes,
				       .opt = *opt,
				       .fd = -1 };

	return ram_add_pieces(ram, gpa, &b, 1, d);
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

/* Return: 0, or -EINVAL: the file ends before @end. */
static int check_shared(int fd, uint64_t end, struct diag *d)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
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
	return 0;
}

/* The only piece of @r, which is mapped from @offset of @fd on. */
static int watch_all(struct ram_region *r, int fd, uint64_t offset,
		     struct diag *d)
{
	struct file_map_area area = { r->mapped, r->mapped_bytes, fd, offset };
	int err = file_map_new(&r->piece->watch, &area, d);

	if (err)
		unreserve(r->mapped, r->mapped_bytes);
	return err;
}

/* The only piece of @r, in whole pages of @fd; @flags: private or shared */
static int map_file(struct ram_region *r, int fd, int flags, struct diag *d)
{
	uint64_t unit = file_map_unit(fd);
	uint64_t first = align_down(r->piece->fd_offset_bytes, unit);
	uint64_t head = r->piece->fd_offset_bytes - first;

	r->mapped_bytes = align_up(head + r->size_bytes, unit);
	if (r->mapped_bytes < r->size_bytes)
		return diag_fail(d, EINVAL, "it wraps around");
	r->mapped = reserve(r->mapped_bytes, MAX(GUARD, unit));
	if (!r->mapped)
		return diag_errno(d, errno, "cannot reserve address space");
	if (mmap(r->mapped, r->mapped_bytes, PROT_READ | PROT_WRITE,
		 flags | MAP_FIXED | MAP_NORESERVE, fd,
		 (off_t)first) == MAP_FAILED) {
		int err = errno;

		unreserve(r->mapped, r->mapped_bytes);
		return diag_errno(d, err, "cannot map it");
	}
	madvise(r->mapped, r->mapped_bytes, MADV_DONTDUMP);
	r->host = r->mapped + head;
	return watch_all(r, fd, first, d);
}

int ram_add_file(struct guest_ram *ram, gpa_t gpa, uint64_t size_bytes, int fd,
		 uint64_t offset_bytes, struct diag *d)
{
	unsigned at = place_of(ram, gpa, size_bytes);
	struct ram_region r;
	uint64_t end;
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
	err = check_shared(fd, end, d);
	if (err)
		return err;
	if (!region_init_one(&r, gpa, size_bytes, fd, offset_bytes))
		return diag_fail(d, ENOMEM, "out of memory");
	err = map_file(&r, fd, MAP_SHARED, d);
	if (err) {
		free(r.piece);
		return err;
	}
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
	int err = check_new(ram, gpa, size_bytes, d);
	struct ram_region r;

	if (err)
		return err;
	if (!region_init_one(&r, gpa, size_bytes, private ? -1 : fd, 0))
		return diag_fail(d, ENOMEM, "out of memory");
	r.pmem = true;
	err = map_file(&r, fd, private ? MAP_PRIVATE : MAP_SHARED, d);
	if (err) {
		free(r.piece);
		return err;
	}
	/* The mapping keeps the file open, and its locks with it; others may
	 * map the file only if it is what the guest sees. */
	if (private)
		close(fd);
	ram->region[ram->region_count++] = r;
	return 0;
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

static bool piece_lost(const struct ram_piece *p)
{
	return p->watch && file_map_lost(p->watch);
}

/* What has been replaced (file-map.h) is private memory in between. Not every
 * file system can free a part of a file. */
static void clear_shared(uint8_t *at, const struct ram_piece *p)
{
	if (fallocate(p->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		      (off_t)p->fd_offset_bytes, (off_t)p->size_bytes) < 0 ||
	    (piece_lost(p) && madvise(at, p->size_bytes, MADV_DONTNEED) < 0))
		memset(at, 0, p->size_bytes);
}

static int clear_private(uint8_t *at, const struct ram_piece *p)
{
	if (!piece_lost(p))
		return madvise(at, p->size_bytes, MADV_DONTNEED) < 0 ? -errno
								     : 0;
	memset(at, 0, p->size_bytes); /* a part is not the file's */
	return 0;
}

static int clear_region(const struct ram_region *r)
{
	int err = 0;

	for (unsigned i = 0; i < r->piece_count && !err; i++) {
		uint8_t *at = r->host + r->piece[i].offset_bytes;

		if (r->piece[i].fd >= 0)
			clear_shared(at, &r->piece[i]);
		else
			err = clear_private(at, &r->piece[i]);
	}
	return err;
}

int ram_clear(struct guest_ram *ram, struct diag *d)
{
	int err = 0;

	for (unsigned i = 0; i < ram->region_count && !err; i++)
		if (!ram->region[i].pmem)
			err = clear_region(&ram->region[i]);
	return err ? diag_errno(d, -err, "cannot clear guest RAM") : 0;
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

bool ram_lost(const struct guest_ram *ram, gpa_t gpa)
{
	const struct ram_region *r = find(ram, gpa, 1);

	for (unsigned i = 0; r && i < r->piece_count; i++)
		if (piece_lost(&r->piece[i]))
			return true;
	return false;
}

/* Of a memfd, MADV_DONTNEED would only drop our own mapping. */
static int discard_piece(const struct ram_region *r,
			 const struct ram_piece *piece, uintptr_t from,
			 uintptr_t to)
{
	uintptr_t start = (uintptr_t)r->host + piece->offset_bytes;

	from = MAX(from, start);
	to = MIN(to, start + piece->size_bytes);
	if (from >= to)
		return 0;
	if (madvise(r->host + (from - (uintptr_t)r->host), to - from,
		    piece->fd >= 0 ? MADV_REMOVE : MADV_DONTNEED) < 0)
		return -errno;
	return 0;
}

int ram_discard(const struct guest_ram *ram, gpa_t gpa, uint64_t len)
{
	const struct ram_region *r = find(ram, gpa, len);
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), at, from, to;
	int err = 0;

	if (!r || r->pmem)
		return -EFAULT;
	/* Pages of the host: a region of another process may begin in one. */
	at = (uintptr_t)r->host + (gpa.v - r->gpa.v);
	from = align_up(at, page);
	to = align_down(at + len, page);
	for (unsigned i = 0; i < r->piece_count && !err; i++)
		err = discard_piece(r, &r->piece[i], from, to);
	return err;
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
