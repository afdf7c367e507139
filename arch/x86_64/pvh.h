/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: x86_64: ELF files with a PVH entry, see pvh.c */
#ifndef ARCH_X86_64_PVH_H
#define ARCH_X86_64_PVH_H

#include "arch/x86_64/boot.h"

/** x86_pvh_is - does the file start with the ELF signature? */
bool x86_pvh_is(const struct x86_image *img);

/**
 * x86_pvh_load - check an ELF file and copy its segments
 * Return: 0 and @k; -ENOEXEC (other machine, no PVH note), -EINVAL, -E2BIG,
 * -EIO.
 */
int x86_pvh_load(struct x86_kernel *k, const struct x86_image *img,
		 const struct guest_ram *ram, struct diag *d);

/**
 * x86_pvh_handoff - write hvm_start_info and what it points to
 * Return: 0, -E2BIG (no RAM there).
 */
int x86_pvh_handoff(const struct x86_handoff *h, const struct guest_ram *ram,
		    struct diag *d);

#endif
