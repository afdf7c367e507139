/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: x86_64: firmware or kernel, and what it is given, into guest RAM */
#ifndef ARCH_X86_64_LOAD_H
#define ARCH_X86_64_LOAD_H

#include "arch/arch.h"

/**
 * x86_load - see struct arch.load
 * @ram: laid out like @p; reads as zero
 *
 * Return: 0 and @boot; -ENOEXEC (not a kernel or not firmware for x86_64),
 * -EINVAL (malformed, truncated, empty, a machine that the firmware cannot
 * run on), -EISDIR, -E2BIG (does not fit, both numbers in @d), -EIO.
 */
int x86_load(struct arch_boot *boot, struct guest_ram *ram,
	     const struct platform *p, const struct arch_payload *load,
	     struct diag *d);

#endif
