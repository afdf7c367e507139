/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: arm64: firmware tables from the platform description
 *
 * The flattened device tree, and with it ACPI tables where asked for.
 */
#ifndef ARCH_ARM64_TABLES_H
#define ARCH_ARM64_TABLES_H

#include "arch/arch.h"

/**
 * arm64_dtb - the whole device tree, for firmware: "virt.dtb", not placed
 *
 * Otherwise like arm64_tables() without command line, but with seeds.
 */
int arm64_dtb(struct arch_tables *out, const struct platform *p,
	      struct diag *d);

/**
 * arm64_tables - see struct arch.tables
 * @out: receives, with --platform tables=acpi, the ACPI and EFI tables at
 *	their places (acpi.h), and last "virt.dtb", not placed (gpa 0): the
 *	loader puts it where there is room. With firmware, no table has a place
 *	yet: it puts ACPI where it likes. Released by arch_tables_release()
 * @cmdline: NULL: without command line and random seeds, so that two calls
 *	give the same tree
 *
 * Takes the seeds of /chosen from getrandom(2).
 *
 * Return: 0, -EINVAL, -E2BIG, -ENOMEM, -ENOSYS or -EAGAIN (no random
 * numbers); @out untouched on failure.
 */
int arm64_tables(struct arch_tables *out, const struct platform *p,
		 const char *cmdline, gpa_t initrd, uint64_t initrd_bytes,
		 struct diag *d);

#endif
