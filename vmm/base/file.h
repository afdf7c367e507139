/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: files: reading and writing all that is asked for; temporary ones
 *
 * One call moves what pread() and pwrite() move in several, when a signal
 * comes in between or a transfer is short. Threads: any; the position of the
 * file is not touched.
 */
#ifndef VMM_BASE_FILE_H
#define VMM_BASE_FILE_H

#include <stdint.h>

/** file_read_at - @len bytes at @offset into @buf: return how many, fewer only
 * where the file ends, or -errno */
int64_t file_read_at(int fd, uint64_t offset, void *buf, uint64_t len);

/** file_read_sparse - @len bytes at @offset into @buf, which is zero: memory
 * that only gets zeros is not touched. Return: 0, or -errno with some of them
 * read; -EIO: the file ends before */
int file_read_sparse(int fd, uint64_t offset, uint8_t *buf, uint64_t len);

/** file_write_at - @len bytes to @offset: return 0, or -errno with some of them
 * written; -EIO: the file takes no more */
int file_write_at(int fd, uint64_t offset, const void *buf, uint64_t len);

/**
 * file_or_temporary - open @path; in a directory, a file without a name, which
 *	is there for as long as it is open
 * @access: O_RDONLY or O_RDWR; a temporary file can always be written
 * @size_bytes: of a temporary file, which reads as zero
 *
 * Does not wait for the other end of a FIFO. Return: a descriptor, close-on-
 * exec; or -errno of open(2) or ftruncate(2).
 */
int file_or_temporary(const char *path, int access, uint64_t size_bytes);

#endif
