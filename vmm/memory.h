/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: guest RAM
 *
 * Guest RAM is a handful of regions, each one host mapping with inaccessible
 * guard ranges on both sides. Devices never hold pointers into it: they copy
 * in and out through ram_read() and ram_write(), which check every address,
 * or pin it with ram_pin(): I/O vectors for the length of one request, rings
 * while their queue is enabled.
 *
 * A region may be made of pieces that are backed in different ways (memory
 * zones); only who hands memory to other processes or back to the host sees
 * them.
 *
 * RAM that other processes shall see lies in a memfd or file, whose descriptor
 * its piece keeps (--memory shared=on). The other way round, a vhost-user back
 * end maps the RAM of another VMM's guest: ram_add_file().
 *
 * Threads: regions are added before the first vCPU runs and stay until the
 * machine is gone, so all access is lock-free; a vhost-user back end changes
 * them while its queues are stopped. Guest RAM may change under the reader at
 * any time: copy once, validate the copy, use the copy.
 */
#ifndef VMM_MEMORY_H
#define VMM_MEMORY_H

#include "vmm/base/diag.h"
#include "vmm/base/types.h"
#include "vmm/file-map.h"

#define RAM_REGIONS_MAX 32

/**
 * struct ram_piece - a part of a region that is backed in one way
 * @offset_bytes: where it begins in its region; @size_bytes: of it
 * @fd: shared memory that it is a part of, from @fd_offset_bytes on; -1 for
 *	private memory
 * @watch: of the mapping of somebody else's file; NULL: it cannot shrink
 */
struct ram_piece {
	uint64_t offset_bytes, size_bytes;
	int fd;
	uint64_t fd_offset_bytes;
	struct file_map *watch;
};

/**
 * struct ram_region - one contiguous range of guest RAM
 * @gpa: where the guest sees it; page-aligned
 * @size_bytes: its size; a multiple of the host's page size, except for
 *	ram_add_file()
 * @host: where this process sees it
 * @piece: malloc'ed; @piece_count of them, at least 1, that fill it in order
 * @mapped, @mapped_bytes: all of the mapping, without the guard ranges
 * @pmem: persistent memory, not RAM: devices reach it like RAM, but
 *	ram_clear(), ram_size() and ram_discard() leave the user's file alone
 */
struct ram_region {
	gpa_t gpa;
	uint64_t size_bytes;
	uint8_t *host;
	struct ram_piece *piece;
	unsigned piece_count;
	uint8_t *mapped;
	uint64_t mapped_bytes;
	bool pmem;
};

/** struct guest_ram - all of a machine's RAM, sorted by address */
struct guest_ram {
	struct ram_region region[RAM_REGIONS_MAX];
	unsigned region_count;
};

/**
 * struct ram_options - how RAM is backed (Cloud Hypervisor's --memory keys)
 * @shared: MAP_SHARED memfd, so that vhost-user back ends can map it
 * @hugepages: hugetlbfs pages of @hugepage_size_bytes (0: system default)
 * @prefault: populate all pages now
 * @thp: ask for transparent huge pages
 * @mergeable: let KSM merge equal pages
 */
struct ram_options {
	bool shared, hugepages, prefault, thp, mergeable;
	uint64_t hugepage_size_bytes;
};

/**
 * struct ram_backing - what one piece of a new region is made of
 * @who: option that asked for it, for messages; NULL: the caller says
 * @size_bytes: a multiple of the host's page size, and of @opt's huge pages
 * @opt: how it is backed
 * @fd: file that it is a part of, from @fd_offset_bytes on; -1: memory of its
 *	own. With @opt.shared the guest's writes go to the file, else they stay
 *	in memory. Stays the caller's
 * @host_node, @host_node_count: NUMA nodes of the host that all of it comes
 *	from, each below RAM_HOST_NODES_MAX; none: the host's choice
 */
struct ram_backing {
	const char *who;
	uint64_t size_bytes;
	struct ram_options opt;
	int fd;
	uint64_t fd_offset_bytes;
	const uint32_t *host_node;
	unsigned host_node_count;
};

#define RAM_HOST_NODES_MAX 1024 /* of Linux: CONFIG_NODES_SHIFT is up to 10 */

/** ram_init - an empty guest_ram */
void ram_init(struct guest_ram *ram);

/**
 * ram_add - map one region; regions must be added in address order
 * @opt: how it is backed
 * @d: receives the reason
 *
 * Return: 0, -EINVAL (unaligned, overlapping, too many), -ENOMEM.
 */
int ram_add(struct guest_ram *ram, gpa_t gpa, uint64_t size_bytes,
	    const struct ram_options *opt, struct diag *d);

/**
 * ram_add_pieces - map one region that is made of pieces
 * @piece: in the order of addresses; @piece_count of them, at least 1
 *
 * Return: like ram_add(), or -errno of mmap(2) or mbind(2).
 */
int ram_add_pieces(struct guest_ram *ram, gpa_t gpa,
		   const struct ram_backing *piece, unsigned piece_count,
		   struct diag *d);

/**
 * ram_add_file - map a part of a file that another process calls guest RAM
 * @gpa, @size_bytes: any numbers; the range may touch others, not overlap
 * @fd: memfd, hugetlbfs or tmpfs file, or device; taken over on success, then
 *	closed with the region
 * @offset_bytes: where the range begins in it; any number
 * @d: receives the reason
 *
 * A file that ends before the range does is refused; where the file allows it,
 * it is sealed against shrinking later, and else watched (file-map.h).
 *
 * Return: 0, -EINVAL (empty, wraps, overlaps, file too short), -ENOSPC (too
 * many regions), or -errno of mmap(2).
 */
int ram_add_file(struct guest_ram *ram, gpa_t gpa, uint64_t size_bytes, int fd,
		 uint64_t offset_bytes, struct diag *d);

/**
 * ram_add_pmem - map a file as persistent memory; after all RAM
 * @fd: at least @size_bytes long; taken over on success, then closed with the
 *	region. Locks on it last as long
 * @private: keep what the guest writes in memory and off the file
 *
 * A file that is cut short while it is mapped loses what was behind its new
 * end, see ram_lost() and file-map.h.
 *
 * Return: like ram_add(), or the errno of mmap(2).
 */
int ram_add_pmem(struct guest_ram *ram, gpa_t gpa, uint64_t size_bytes, int fd,
		 bool private, struct diag *d);

/** ram_lost - does a file no longer hold all of the region that @gpa is in?
 * Any thread */
bool ram_lost(const struct guest_ram *ram, gpa_t gpa);

/** ram_remove - unmap one region: the @index-th; those behind it move up.
 * Nothing may use guest RAM meanwhile */
void ram_remove(struct guest_ram *ram, unsigned index);

/** ram_release - unmap everything; accepts an empty guest_ram */
void ram_release(struct guest_ram *ram);

/** ram_clear - make all RAM read again as when it was new, cheaply (machine
 * reset): as zero, where it is not a private mapping of a file */
int ram_clear(struct guest_ram *ram, struct diag *d);

/**
 * ram_discard - give the host its memory back; the range reads then as after
 * ram_clear()
 * @len: bytes; host pages of which only a part is inside stay as they are
 *
 * Any thread. Return: 0; -EFAULT if any byte of the range is not RAM or if it
 * crosses regions; -errno of madvise().
 */
int ram_discard(const struct guest_ram *ram, gpa_t gpa, uint64_t len);

/**
 * ram_locate - where in the guest a pinned pointer points to
 * Return: true and *@gpa, or false: not into guest RAM.
 */
bool ram_locate(const struct guest_ram *ram, const void *at, gpa_t *gpa);

/** ram_size - bytes of RAM in all regions */
uint64_t ram_size(const struct guest_ram *ram);

/**
 * ram_read - copy out of guest RAM
 * @ram: the RAM
 * @gpa: first byte
 * @buf: receives @len bytes; untouched on failure
 * @len: bytes; 0 succeeds if @gpa is RAM or the end of a region
 *
 * Return: true, or false if any byte of the range is not RAM. Never crosses
 * from one region into the next.
 */
bool ram_read(const struct guest_ram *ram, gpa_t gpa, void *buf, uint64_t len);

/** ram_write - copy into guest RAM; the mirror of ram_read() */
bool ram_write(const struct guest_ram *ram, gpa_t gpa, const void *buf,
	       uint64_t len);

/** ram_fill - set @len bytes of guest RAM to @value; returns like ram_read() */
bool ram_fill(const struct guest_ram *ram, gpa_t gpa, uint8_t value,
	      uint64_t len);

/**
 * ram_pin - a host pointer to a range of guest RAM, for I/O vectors
 *
 * The only way to a pointer into guest RAM. The pointer is valid until the
 * machine is released; what it points to may change at any time.
 *
 * Return: the pointer, or NULL if any byte of the range is not RAM.
 */
void *ram_pin(const struct guest_ram *ram, gpa_t gpa, uint64_t len);

#endif
