/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: x86_64: firmware tables from the platform description
 *
 * ACPI and SMBIOS. The RSDP is at X86_RSDP_GPA, where a kernel finds it even if
 * nobody tells it. Tables follow up to 0xF0000; the 64 KiB above are
 * SMBIOS's, its entry point first. What does not fit there (from about 1000
 * vCPUs) goes below the RSDP, from 0xA0000: together there is room for about
 * 5000 vCPUs. All of it is backed by memory, and none of it is RAM in the
 * guest's memory map.
 */
#ifndef ARCH_X86_64_TABLES_H
#define ARCH_X86_64_TABLES_H

#include "arch/arch.h"

/**
 * x86_tables - see struct arch.tables
 * @out: receives the tables, all placed, the RSDP first; released by
 *	arch_tables_release()
 * @cmdline, @initrd, @initrd_bytes: not used, ACPI does not hold them
 *
 * Return: 0, -E2BIG (does not fit), -EINVAL, -ENOMEM; @out untouched on
 * failure.
 */
int x86_tables(struct arch_tables *out, const struct platform *p,
	       const char *cmdline, gpa_t initrd, uint64_t initrd_bytes,
	       struct diag *d);

#endif
