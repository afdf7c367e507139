/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: the ACPI tables of a machine, from its platform description
 *
 * Hardware-reduced ACPI: RSDP, XSDT, FADT, DSDT (dsdt.h), MADT, MCFG when
 * there is PCI, SPCR and DBG2 when there is a console, WDAT when there is a
 * watchdog, SRAT, SLIT and, when it has something to say, HMAT when there are
 * NUMA nodes (acpi-numa.h); with a GIC also GTDT, and IORT when there is an ITS
 * (acpi-arm64.h); PPTT with a GIC or platform.pptt (acpi-pptt.h). Tables are
 * written for the place where they will be; where they point to each other is
 * noted, for firmware that moves them (acpi-loader.h).
 *
 * ACPI 6.3 (FADT) to 6.5; PCI Firmware 3.3 (MCFG); SPCR 1.03; DBG2 of 2020.
 *
 * Not implemented: VIOT, hot-plug.
 *
 * Threads: pure, any thread.
 */
#ifndef FIRMWARE_ACPI_H
#define FIRMWARE_ACPI_H

#include "arch/arch.h"
#include "vmm/base/diag.h"
#include "vmm/platform.h"

/** ACPI_XAPIC_ID_END - the first APIC id that only an x2APIC has: MADT and SRAT
 * have other structures for those */
#define ACPI_XAPIC_ID_END 255

/** ACPI_RSDP_BYTES - of the RSDP; its last checksum is at ACPI_RSDP_CHECKSUM */
#define ACPI_RSDP_BYTES	   36
#define ACPI_RSDP_CHECKSUM 32

/**
 * struct acpi_area - where tables may be put; backed by RAM, but not RAM in
 * the memory map that the guest is given
 * @gpa: 16-byte aligned
 */
struct acpi_area {
	gpa_t gpa;
	uint64_t size_bytes;
};

/**
 * acpi_build - build all tables
 * @out: receives them, the RSDP first; released by arch_tables_release()
 * @p: the machine; interrupt controller INTC_APIC or a GIC
 * @area: places; the RSDP comes first in the first one (a kernel that is not
 *	told looks for it from 0xE0000 to 0xFFFFF), and each table in the
 *	first area where there is still room for it. 64 vCPUs take 8 KiB, each
 *	further one 50 to 75 bytes.
 * @area_count: at least 1
 *
 * Return: 0, -E2BIG (does not fit), -EINVAL (not describable), -ENOTSUP (not
 * this interrupt controller), -ENOMEM; @out untouched on failure.
 */
int acpi_build(struct arch_tables *out, const struct platform *p,
	       const struct acpi_area *area, unsigned area_count,
	       struct diag *d);

#endif
