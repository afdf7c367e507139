/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: e820: the list of memory that a directly booted kernel starts from
 *
 * The same list serves boot_params (Linux, Documentation/arch/x86/
 * zero-page.rst) and hvm_start_info (PVH); the types are ACPI's (6.5 sec. 15).
 */
#ifndef ARCH_X86_64_E820_H
#define ARCH_X86_64_E820_H

#include "vmm/platform.h"

#define X86_E820_MAX 32

/** enum x86_e820_type - address range types, ACPI 6.5 sec. 15 */
enum x86_e820_type {
	X86_E820_RAM = 1,
	X86_E820_RESERVED = 2,
	X86_E820_ACPI = 3, /* tables; may be reused once they were read */
};

/** struct x86_e820_entry - one range */
struct x86_e820_entry {
	uint64_t base, size_bytes;
	enum x86_e820_type type;
};

/** struct x86_e820 - disjoint entries; RAM is in address order */
struct x86_e820 {
	struct x86_e820_entry entry[X86_E820_MAX];
	unsigned count;
};

/**
 * x86_e820_init - RAM without the hole below 1 MiB, and ECAM as reserved
 * @p: from x86_layout()
 */
void x86_e820_init(struct x86_e820 *map, const struct platform *p);

/**
 * x86_e820_carve - turn part of the RAM into something else
 * @base, @size_bytes: the part; what of it is not RAM stays as it is
 * @type: what it becomes
 *
 * Return: 0, or -ENOSPC and @map unchanged when X86_E820_MAX is too few.
 */
int x86_e820_carve(struct x86_e820 *map, uint64_t base, uint64_t size_bytes,
		   enum x86_e820_type type);

#endif
