/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: files, see file.h */
#include "vmm/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/types.h"

/* Not more in one call than every kernel takes (MAX_RW_COUNT, 0x7ffff000). */
#define CALL_MAX GIB(1)

/* Zeros of a page are as many as can be left out; more cost fewer calls. */
#define CHUNK_BYTES KIB(64)

int64_t file_read_at(int fd, uint64_t offset, void *buf, uint64_t len)
{
	uint64_t done = 0;

	while (done < len) {
		ssize_t n = pread(fd, (uint8_t *)buf + done,
				  MIN(len - done, CALL_MAX),
				  (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		done += (uint64_t)n;
	}
	return (int64_t)done;
}

static bool is_zero(const uint8_t *data, size_t len)
{
	return !data[0] && !memcmp(data, data + 1, len - 1);
}

int file_read_sparse(int fd, uint64_t offset, uint8_t *buf, uint64_t len)
{
	uint8_t chunk[CHUNK_BYTES];

	for (uint64_t at = 0; at < len; at += sizeof(chunk)) {
		size_t want = MIN(len - at, sizeof(chunk));
		int64_t n = file_read_at(fd, offset + at, chunk, want);

		if (n != (int64_t)want)
			return n < 0 ? (int)n : -EIO;
		if (!is_zero(chunk, want))
			memcpy(buf + at, chunk, want);
	}
	return 0;
}

int file_write_at(int fd, uint64_t offset, const void *buf, uint64_t len)
{
	uint64_t done = 0;

	while (done < len) {
		ssize_t n = pwrite(fd, (const uint8_t *)buf + done,
				   MIN(len - done, CALL_MAX),
				   (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		done += (uint64_t)n;
	}
	return 0;
}

static int temporary(const char *directory, uint64_t size)
{
	int fd = open(directory, O_RDWR | O_CLOEXEC | O_TMPFILE, 0600);
	int err;

	if (fd < 0)
		return -errno;
	if (!ftruncate(fd, (off_t)size))
		return fd;
	err = -errno;
	close(fd);
	return err;
}

int file_or_temporary(const char *path, int access, uint64_t size_bytes)
{
	struct stat st;
	int fd;

	if (!stat(path, &st) && S_ISDIR(st.st_mode))
		return temporary(path, size_bytes);
	fd = open(path, access | O_CLOEXEC | O_NONBLOCK);
	return fd < 0 ? -errno : fd;
}
