/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: arm64: kernel, initramfs and device tree into RAM
 *
 *	RAM + text_offset   Image, image_size bytes
 *	next 2 MiB          device tree, a 2 MiB block of its own
 *	after it            initramfs
 *
 * Everything is packed at the start of RAM, so the smallest guests boot, and
 * the kernel and its initramfs stay inside the one 32 GiB window that
 * booting.rst wants them in. Files are read straight into guest RAM.
 */
#ifndef ARCH_ARM64_LOAD_H
#define ARCH_ARM64_LOAD_H

#include "arch/arch.h"

#define ARM64_CMDLINE_MAX 2047 /* COMMAND_LINE_SIZE less the NUL */
#define ARM64_DTB_MAX	  MIB(2)

/** arm64_load - see struct arch.load; RAM must read as zero */
int arm64_load(struct arch_boot *boot, struct guest_ram *ram,
	       const struct platform *p, const struct arch_payload *load,
	       struct diag *d);

#endif
