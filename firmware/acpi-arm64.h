/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: the contents of the ACPI tables that only machines with a GIC have
 *
 * Each function appends everything behind the header of its table to @b, from
 * the platform description. The GIC's interrupt numbers are ACPI's global
 * system interrupts as they are.
 *
 * ACPI 6.3 (MADT, GTDT); Arm DEN 0049D (IORT).
 *
 * Not implemented: GICv2m frames, SMMUs.
 *
 * Threads: pure, any thread.
 */
#ifndef FIRMWARE_ACPI_ARM64_H
#define FIRMWARE_ACPI_ARM64_H

#include "vmm/platform.h"

#include "firmware/acpi-buf.h"

/** ACPI_GTDT_REVISION, ACPI_IORT_REVISION - of the formats that are written
 * here */
#define ACPI_GTDT_REVISION 3
#define ACPI_IORT_REVISION 0

/** acpi_put_gic - the MADT's GICC of each CPU, then GICD, GICRs and ITS */
void acpi_put_gic(struct acpi_buf *b, const struct platform *p);

/** acpi_put_gtdt - the generic timer's interrupts: the architecture's PPIs */
void acpi_put_gtdt(struct acpi_buf *b, const struct platform *p);

/** acpi_put_iort - PCI device ids of each segment go to the ITS, which must be
 * there, behind those of the segment before it */
void acpi_put_iort(struct acpi_buf *b, const struct platform *p);

#endif
