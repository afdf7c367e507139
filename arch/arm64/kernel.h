/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: arm64: a kernel file into RAM
 *
 * Joins image.h (what the file is) and unpack.h (its bytes): checks a kernel
 * and puts it where it asks to be. Files are hostile; a failure may leave
 * bytes in the part of RAM that was offered, and nothing elsewhere.
 */
#ifndef ARCH_ARM64_KERNEL_H
#define ARCH_ARM64_KERNEL_H

#include "vmm/base/diag.h"
#include "vmm/base/types.h"
#include "vmm/memory.h"

/**
 * struct arm64_kernel - where a kernel is
 * @entry: its first instruction
 * @end: the first byte behind all that it needs
 */
struct arm64_kernel {
	gpa_t entry, end;
};

/**
 * arm64_load_kernel - recognise, unpack, check
 * @out: untouched on failure
 * @base, @room: the range of RAM that it may use, 2 MiB-aligned
 * @fd: the file
 *
 * Return: like struct arch.load.
 */
int arm64_load_kernel(struct arm64_kernel *out, struct guest_ram *ram,
		      gpa_t base, uint64_t room, int fd, struct diag *d);

/** arm64_file_size - bytes in a regular file; -EISDIR, -EIO … */
int arm64_file_size(uint64_t *out, int fd, struct diag *d);

/** arm64_read_file - the first @len bytes of @fd to @dst, not less */
int arm64_read_file(int fd, void *dst, uint64_t len, struct diag *d);

/** arm64_mib_up - @bytes in MiB, rounded up, for messages */
static inline uint64_t arm64_mib_up(uint64_t bytes)
{
	return bytes / MIB(1) + !!(bytes % MIB(1));
}

#endif
