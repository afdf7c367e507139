/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: arm64: bytes of a part of a file, unpacked on the way
 *
 * Kernels come plain, as gzip (RFC 1952) and as Zstandard frames (RFC 8878).
 * An unpacker turns a range of a file into the unpacked bytes, a piece at a
 * time, straight to where the caller wants them: never more than was asked
 * for, so what the file claims about its size cannot hurt. Files are hostile.
 *
 * Threads: one at a time. Memory: 64 KiB, and what zlib or libzstd take (at
 * most 128 MiB of window for the strongest setting that kernels use).
 */
#ifndef ARCH_ARM64_UNPACK_H
#define ARCH_ARM64_UNPACK_H

#include "vmm/base/diag.h"
#include "vmm/base/types.h"

/** enum unpack_format - how a part of a file is packed */
enum unpack_format { UNPACK_PLAIN, UNPACK_GZIP, UNPACK_ZSTD };

struct unpack;

/**
 * unpack_new - start
 * @fd: a regular file; stays the caller's and must stay open
 * @at, @size_bytes: the packed part; must lie inside the file
 *
 * Return: 0 and *@out, or -ENOMEM.
 */
int unpack_new(struct unpack **out, int fd, uint64_t at, uint64_t size_bytes,
	       enum unpack_format format, struct diag *d);

/** unpack_free - accepts NULL */
void unpack_free(struct unpack *u);

/**
 * unpack_read - the next bytes
 * @dst: receives at most @capacity bytes
 * @got: how many came; less than @capacity only at the end of the stream.
 *	Checksums at the end are checked when the read that meets it returns.
 *
 * Return: 0, -EINVAL (damaged or truncated), -EIO (cannot be read), -ENOMEM.
 */
int unpack_read(struct unpack *u, void *dst, uint64_t capacity, uint64_t *got,
		struct diag *d);

#endif
