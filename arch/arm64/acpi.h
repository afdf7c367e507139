/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: arm64: ACPI, for a kernel that is booted without firmware and with it
 *
 * Without firmware, the last MiB of RAM holds, one after the other, the EFI
 * system table with its memory map (firmware/efi.h), SMBIOS and the ACPI
 * tables. The device tree then says nothing but where the first is.
 *
 * Threads: pure, any thread.
 */
#ifndef ARCH_ARM64_ACPI_H
#define ARCH_ARM64_ACPI_H

#include "arch/arch.h"

#include "firmware/fdt.h"

/** ARM64_ACPI_BYTES - memory at the end of RAM that is kept for the tables:
 * enough for all vCPUs that arm64 can have (300 take 75 KiB) */
#define ARM64_ACPI_BYTES MIB(1)

/** arm64_acpi_range - that memory; size 0 when @p has no ACPI tables */
struct plat_range arm64_acpi_range(const struct platform *p);

/**
 * arm64_acpi - build EFI, SMBIOS and ACPI tables, all with their places
 * @out: receives them; released by arch_tables_release()
 * @boot: receives where the kernel finds them
 *
 * Return: as acpi_build() and smbios_add(); outputs untouched on failure.
 */
int arm64_acpi(struct arch_tables *out, struct fdt_boot *boot,
	       const struct platform *p, struct diag *d);

/** arm64_acpi_unplaced - ACPI tables that firmware will place: all gpa are 0;
 * otherwise like arm64_acpi() */
int arm64_acpi_unplaced(struct arch_tables *out, const struct platform *p,
			struct diag *d);

#endif
