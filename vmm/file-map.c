/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: mapped files that somebody else may cut short, see file-map.h
 *
 * The lock spins, because the signal handler takes it. It cannot wait for the
 * thread that it interrupts: with the lock held nothing touches a map. For
 * the same reason the handler may log, without the lock: nothing that logs
 * touches a map, but it may wait for who reads the log.
 */
#include "vmm/file-map.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "vmm/base/log.h"

/* Bad pages that are replaced one by one, each of which splits the mapping
 * (vm.max_map_count: 65530); the next one takes the rest with it. */
#define SINGLES_MAX 256

/**
 * struct file_map - one mapping
 * @live_bytes: how much of it, from its start on, is still the file's, but for
 *	single pages
 * @singles: pages replaced below that
 * @lost: see file_map_lost(); @unsaid: and the user is yet to be told
 */
struct file_map {
	struct file_map *next;
	uint8_t *at;
	size_t size_bytes, unit_bytes;
	int fd;
	uint64_t offset_bytes;
	size_t live_bytes;
	unsigned singles;
	bool unsaid;
	atomic_bool lost;
};

/* @first, and what is in the list: under @lock. @before: what handled SIGBUS */
static struct {
	atomic_bool lock;
	struct file_map *first;
	atomic_uint repairs;
	pthread_once_t hooked;
	struct sigaction before;
} maps = { .hooked = PTHREAD_ONCE_INIT };

static void lock(void)
{
	while (atomic_exchange_explicit(&maps.lock, true, memory_order_acquire))
		sched_yield();
}

static void unlock(void)
{
	atomic_store_explicit(&maps.lock, false, memory_order_release);
}

/* ---- repairing: with the lock ------------------------------------------- */

#define LINK_BYTES 32

static const char *fd_link(const struct file_map *m, char *link)
{
	snprintf(link, LINK_BYTES, "/proc/self/fd/%d", m->fd);
	return link;
}

static bool replace(struct file_map *m, size_t from, size_t to)
{
	if (mmap(m->at + from, to - from, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
		 0) == MAP_FAILED)
		return false;
	madvise(m->at + from, to - from, MADV_DONTDUMP);
	atomic_fetch_add(&maps.repairs, 1);
	if (!atomic_exchange(&m->lost, true))
		m->unsaid = true;
	return true;
}

static bool cut(struct file_map *m, size_t end)
{
	if (end >= m->live_bytes || !replace(m, end, m->live_bytes))
		return false;
	m->live_bytes = end;
	return true;
}

/* How much of the mapping the file has. Devices that are no disks have it
 * all, as far as anybody knows. */
static size_t file_end(const struct file_map *m)
{
	struct stat st;
	uint64_t end;

	if (fstat(m->fd, &st) < 0)
		return m->size_bytes;
	end = (uint64_t)st.st_size;
	if (!S_ISREG(st.st_mode) &&
	    (!S_ISBLK(st.st_mode) || ioctl(m->fd, BLKGETSIZE64, &end) < 0))
		return m->size_bytes;
	end = end > m->offset_bytes ? end - m->offset_bytes : 0;
	return MIN(align_up(end, m->unit_bytes), m->size_bytes);
}

static bool fault_in(struct file_map *m, size_t offset)
{
	size_t unit = align_down(offset, m->unit_bytes);

	cut(m, file_end(m));
	if (offset >= m->live_bytes) /* now, or by another thread before */
		return true;
	if (++m->singles > SINGLES_MAX)
		return cut(m, unit);
	return replace(m, unit, unit + m->unit_bytes);
}

/* ---- and telling: without ------------------------------------------------ */

/* The file of one map of which it has not been said yet; false: there is none
 */
static bool next_unsaid(char *name, size_t size)
{
	char link[LINK_BYTES];
	struct file_map *m;
	ssize_t len;

	lock();
	for (m = maps.first; m && !m->unsaid; m = m->next)
		;
	if (m) {
		m->unsaid = false;
		len = readlink(fd_link(m, link), name, size - 1);
		name[MAX(len, 0)] = '\0';
	}
	unlock();
	return m != NULL;
}

static void say_unsaid(void)
{
	char name[256];

	while (next_unsaid(name, sizeof(name)))
		log_warn("%s has been cut short, or its disk is full or fails: "
			 "memory that it had is zero now, and no longer "
			 "written to it",
			 *name ? name : "a mapped file");
}

bool file_map_fault(const void *at)
{
	bool repaired = false;
	struct file_map *m;

	lock();
	for (m = maps.first; m; m = m->next)
		if (range_within((uintptr_t)at, 1, (uintptr_t)m->at,
				 m->size_bytes))
			break;
	if (m)
		repaired = fault_in(m, (size_t)((const uint8_t *)at - m->at));
	unlock();
	say_unsaid();
	return repaired;
}

unsigned file_map_repairs(void)
{
	return atomic_load(&maps.repairs);
}

bool file_map_repair(unsigned before)
{
	lock();
	for (struct file_map *m = maps.first; m; m = m->next)
		cut(m, file_end(m));
	unlock();
	say_unsaid();
	return file_map_repairs() != before;
}

/* ---- full disks ---------------------------------------------------------- */

/* A file system keeps a few blocks for itself. */
#define BLOCKS_LEFT 16

/* Could there be a page that the file does not have, and cannot get? What has
 * no blocks at all has no limit: our own memory, tmpfs with size=0. */
static bool is_starved(const struct file_map *m)
{
	off_t hole = lseek(m->fd, (off_t)m->offset_bytes, SEEK_HOLE);
	struct statfs fs;

	return hole >= 0 && !fstatfs(m->fd, &fs) &&
	       (uint64_t)hole < m->offset_bytes + m->live_bytes &&
	       fs.f_blocks && (uint64_t)fs.f_bavail < BLOCKS_LEFT;
}

bool file_map_wait(void)
{
	const struct timespec pause = { .tv_nsec =
						FILE_MAP_WAIT_MS * 1000000L };
	static atomic_uint said;
	struct file_map *m;

	lock();
	for (m = maps.first; m && !is_starved(m); m = m->next)
		;
	unlock();
	if (!m)
		return false;
	log_guest(&said,
		  "a disk is full that has --pmem or memory files with holes: "
		  "the guest stands still until there is room");
	nanosleep(&pause, NULL);
	return true;
}

/* ---- the signal --------------------------------------------------------- */

/* What is not for us happens again, with the handler that was there. */
static void on_bus_error(int number, siginfo_t *info, void *context)
{
	int saved = errno;

	(void)context;
	if (info->si_code != BUS_ADRERR || !file_map_fault(info->si_addr)) {
		sigaction(number, &maps.before, NULL);
		/* Of what is sent, not caused, there is only this one. */
		if (info->si_code <= 0 || info->si_code == BUS_MCEERR_AO)
			(void)raise(number);
	}
	errno = saved;
}

static void hook(void)
{
	struct sigaction act = { .sa_sigaction = on_bus_error,
				 .sa_flags = SA_SIGINFO | SA_RESTART };

	sigaction(SIGBUS, &act, &maps.before);
}

/* ---- maps --------------------------------------------------------------- */

size_t file_map_unit(int fd)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct statfs fs;

	if (!fstatfs(fd, &fs) && fs.f_type == HUGETLBFS_MAGIC &&
	    is_pow2((uint64_t)fs.f_bsize))
		page = MAX(page, (size_t)fs.f_bsize);
	return page;
}

int file_map_new(struct file_map **out, const struct file_map_area *area,
		 struct diag *d)
{
	struct file_map *m = calloc(1, sizeof(*m));
	int err;

	if (!m)
		return diag_fail(d, ENOMEM, "out of memory");
	*m = (struct file_map){ .at = area->at,
				.size_bytes = area->size_bytes,
				.unit_bytes = file_map_unit(area->fd),
				.offset_bytes = area->offset_bytes,
				.live_bytes = area->size_bytes };
	m->fd = fcntl(area->fd, F_DUPFD_CLOEXEC, 0);
	if (m->fd < 0) {
		err = errno;
		free(m);
		return diag_errno(d, err, "cannot watch a mapped file");
	}
	pthread_once(&maps.hooked, hook);
	lock();
	m->next = maps.first;
	maps.first = m;
	unlock();
	*out = m;
	return 0;
}

void file_map_free(struct file_map *m)
{
	struct file_map **link = &maps.first;

	if (!m)
		return;
	lock();
	while (*link != m)
		link = &(*link)->next;
	*link = m->next;
	unlock();
	close(m->fd);
	free(m);
}

int file_map_notify(const struct file_map *m, int inotify_fd)
{
	char link[LINK_BYTES];

	return inotify_add_watch(inotify_fd, fd_link(m, link), IN_MODIFY) < 0
		       ? -errno
		       : 0;
}

bool file_map_lost(const struct file_map *m)
{
	return atomic_load(&m->lost);
}
