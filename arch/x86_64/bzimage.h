/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: x86_64: Linux's bzImage, see bzimage.c */
#ifndef ARCH_X86_64_BZIMAGE_H
#define ARCH_X86_64_BZIMAGE_H

#include "arch/x86_64/boot.h"

/** x86_bzimage_is - does the head of the file carry the setup signature? */
bool x86_bzimage_is(const struct x86_image *img);

/** x86_bzimage_setup_bytes - of a bzImage: its real-mode part, at most all of
 * the file */
uint32_t x86_bzimage_setup_bytes(const struct x86_image *img);

/**
 * x86_bzimage_load - check a bzImage and copy its kernel to where it wants it
 * Return: 0 and @k; -ENOEXEC (32-bit, too old), -EINVAL, -E2BIG, -EIO.
 */
int x86_bzimage_load(struct x86_kernel *k, const struct x86_image *img,
		     const struct guest_ram *ram, struct diag *d);

/**
 * x86_bzimage_handoff - write boot_params, page tables
 * Return: 0, -E2BIG (no RAM there).
 */
int x86_bzimage_handoff(const struct x86_kernel *k, const struct x86_handoff *h,
			const struct guest_ram *ram, struct diag *d);

#endif
