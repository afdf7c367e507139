/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: two machines never write one image
 *
 * Open file description locks (fcntl(2), Linux 3.15): they belong to the open
 * file, so they end with it, whatever process dies, and conflict between two
 * opens in one process too. A writer excludes everybody, readers share.
 *
 * lock_granularity=byte-range locks the offsets that the file has when it is
 * opened; full locks all offsets (Cloud Hypervisor's two ways). The kernel
 * does not say who holds such a lock, so /proc is searched for a process that
 * has the file open and whose fdinfo shows a lock; processes of other users
 * stay unnamed.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/log.h"

#include "devices/block/impl.h"

#define PATH_BYTES 64 /* "/proc/PID/fdinfo/N" */

/* The kernel takes an io_uring apart some time after its process has died, and
 * with it the last reference to the file. */
#define LATE_TRIES   50
#define LATE_WAIT_US 10000

/* Does this process's descriptor hold a lock on the file? */
static bool holds_lock(const char *pid, const char *fd)
{
	char path[PATH_BYTES], line[128];
	bool found = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%.16s/fdinfo/%.16s", pid, fd);
	f = fopen(path, "re");
	if (!f)
		return false;
	while (!found && fgets(line, sizeof(line), f))
		found = !strncmp(line, "lock:", 5);
	fclose(f);
	return found;
}

static bool same_file(const char *pid, const char *fd, const struct stat *st)
{
	char path[PATH_BYTES];
	struct stat other;

	snprintf(path, sizeof(path), "/proc/%.16s/fd/%.16s", pid, fd);
	return !stat(path, &other) && other.st_dev == st->st_dev &&
	       other.st_ino == st->st_ino && other.st_rdev == st->st_rdev;
}

static bool process_holds(const char *pid, const struct stat *st)
{
	char path[PATH_BYTES];
	struct dirent *e;
	bool found = false;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%.16s/fd", pid);
	dir = opendir(path);
	if (!dir)
		return false;
	while (!found && (e = readdir(dir)))
		found = isdigit((unsigned char)e->d_name[0]) &&
			same_file(pid, e->d_name, st) &&
			holds_lock(pid, e->d_name);
	closedir(dir);
	return found;
}

/* The process that holds a lock on the file, -1 if /proc does not tell. */
static pid_t find_holder(const struct stat *st)
{
	DIR *dir = opendir("/proc");
	struct dirent *e;
	pid_t pid = -1;

	if (!dir)
		return -1;
	while (pid < 0 && (e = readdir(dir)))
		if (isdigit((unsigned char)e->d_name[0]) &&
		    process_holds(e->d_name, st))
			pid = (pid_t)strtol(e->d_name, NULL, 10);
	closedir(dir);
	return pid;
}

static void process_name(pid_t pid, char *name, int size_bytes)
{
	char path[PATH_BYTES];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	f = fopen(path, "re");
	if (!f || !fgets(name, size_bytes, f))
		snprintf(name, (size_t)size_bytes, "?");
	name[strcspn(name, "\n")] = 0;
	if (f)
		fclose(f);
}

static int refused(const struct block_file *f, pid_t pid, struct diag *d)
{
	const char *use = f->readonly ? "writes" : "uses";
	char name[32];

	if (pid == getpid())
		return diag_fail(d, EBUSY,
				 "%s: is in use already by this process: a "
				 "disk can be attached once, or readonly=on "
				 "each time",
				 f->what);
	if (pid <= 0)
		return diag_fail(
			d, EBUSY,
			"%s: a process %s it that /proc does not show: "
			"another user's, or on another host",
			f->what, use);
	process_name(pid, name, sizeof(name));
	return diag_fail(d, EBUSY,
			 "%s: process %d (%s) %s it: stop that, or open it "
			 "with readonly=on in both",
			 f->what, (int)pid, name, use);
}

/* Return: 0, or who has it, -1 if that cannot be told. */
static pid_t try_lock(const struct block_file *f)
{
	struct flock lock = {
		.l_type = f->readonly ? F_RDLCK : F_WRLCK,
		.l_whence = SEEK_SET,
		.l_len = f->lock_whole ? 0 : (off_t)f->size_bytes,
	};
	struct stat st;

	if (!fcntl(f->fd, F_OFD_SETLK, &lock))
		return 0;
	if (errno != EAGAIN && errno != EACCES) {
		log_warn("%s: cannot be locked (%s): make sure that no other "
			 "machine uses it",
			 f->what, strerror(errno));
		return 0;
	}
	/* A POSIX lock has an owner, an OFD lock has -1. */
	if (!fcntl(f->fd, F_OFD_GETLK, &lock) && lock.l_type != F_UNLCK &&
	    lock.l_pid > 0)
		return lock.l_pid;
	return fstat(f->fd, &st) ? -1 : find_holder(&st);
}

int block_lock(const struct block_file *f, struct diag *d)
{
	pid_t holder = try_lock(f);

	for (unsigned i = 0; holder < 0 && i < LATE_TRIES; i++) {
		usleep(LATE_WAIT_US);
		holder = try_lock(f);
	}
	return holder ? refused(f, holder, d) : 0;
}

void block_unlock(const struct block_file *f)
{
	struct flock lock = { .l_type = F_UNLCK, .l_whence = SEEK_SET };

	fcntl(f->fd, F_OFD_SETLK, &lock);
}
