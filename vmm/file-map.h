/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: mapped files that somebody else may cut short
 *
 * To touch a page that its file has lost, or cannot give because the disk is
 * full or fails, raises SIGBUS in this process. The file is not ours alone, so
 * that may not end the machine: a file map that is watched gets anonymous
 * memory where the file has none. It reads as zero, takes what is written and
 * never gives it to the file; this is said once. At most all of the mapping
 * becomes memory of ours: what the guest was given anyway.
 *
 * What has been replaced stays so when the file grows again.
 *
 * A vCPU raises no signal, and nobody knows what it touched. On arm64 KVM_RUN
 * fails with EFAULT. On x86 it need not return: KVM fetches the page
 * asynchronously, does not mind that this fails, and tries again for ever. So
 * whoever gives a map to a guest also asks to be told of changes
 * (file_map_notify()), and what a file has lost is replaced. Where its disk is
 * full, the vCPU stands still until there is room, and then nothing is lost: on
 * x86 without a word, on arm64 by file_map_wait().
 *
 * Memory that we make ourselves is sealed against shrinking instead
 * (F_SEAL_SHRINK). Errors of the memory itself (BUS_MCEERR_AR) stay fatal.
 *
 * Threads: any. The table of maps and the SIGBUS handler are the process's,
 * as the signal is; the handler is installed with the first map and passes on
 * what is not for it. The table's lock is a leaf.
 */
#ifndef VMM_FILE_MAP_H
#define VMM_FILE_MAP_H

#include "vmm/base/diag.h"
#include "vmm/base/types.h"

/** FILE_MAP_WAIT_MS - before a full disk is tried again */
#define FILE_MAP_WAIT_MS 100

struct file_map;

/**
 * struct file_map_area - a mapping
 * @at: its first byte; a multiple of file_map_unit(), as @size_bytes
 * @fd: the file; stays the caller's
 * @offset_bytes: where the mapping begins in it
 */
struct file_map_area {
	void *at;
	size_t size_bytes;
	int fd;
	uint64_t offset_bytes;
};

/** file_map_unit - bytes of a page in mappings of @fd, a power of two: a huge
 * page for hugetlbfs. mmap(2), munmap(2) and offsets go by it */
size_t file_map_unit(int fd);

/**
 * file_map_new - watch a mapping
 * @out: receives it; untouched on failure
 *
 * Return: 0, -ENOMEM, or -errno of fcntl(F_DUPFD_CLOEXEC).
 */
int file_map_new(struct file_map **out, const struct file_map_area *area,
		 struct diag *d);

/** file_map_free - watch no longer; before it is unmapped; accepts NULL */
void file_map_free(struct file_map *m);

/** file_map_lost - has any of it been replaced? Then the file does not hold
 * what the mapping does */
bool file_map_lost(const struct file_map *m);

/**
 * file_map_fault - an access at @at raised SIGBUS; async-signal-safe
 *
 * Return: true: memory is there now, repeat it; false: not in a file map, or
 * there is no memory.
 */
bool file_map_fault(const void *at);

/** file_map_notify - let @inotify_fd, an inotify instance, tell when the file's
 * size may have changed; then file_map_repair() is due. Return: 0 or -errno. */
int file_map_notify(const struct file_map *m, int inotify_fd);

/** file_map_repairs - how often any map was repaired; never goes back */
unsigned file_map_repairs(void);

/**
 * file_map_wait - an access failed (EFAULT), and there was nothing to repair:
 *	is that because a disk is full?
 *
 * Sleeps for FILE_MAP_WAIT_MS if so, or until a signal comes.
 *
 * Return: true: some file has holes, and there is no room: repeat the access.
 */
bool file_map_wait(void);

/**
 * file_map_repair - an access failed (EFAULT), nobody knows where: look at the
 *	sizes of all files
 * @before: file_map_repairs() before the access
 *
 * Return: true: something has been repaired since, by anybody: repeat it.
 */
bool file_map_repair(unsigned before);

#endif
