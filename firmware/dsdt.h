/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: the DSDT of a machine, from its platform description
 *
 * Below \_SB: the processors, the PCI host bridges, a PNP0C02 device that
 * reserves their ECAM, the generic event device with the power button, and
 * every device that has a _HID. Knows no device and no architecture: an
 * interrupt's GSI is its pin (IOAPIC) or 32 more (GIC).
 *
 * ACPI 6.5; PCI Firmware 3.3 for the host bridge.
 *
 * Threads: pure, any thread.
 */
#ifndef FIRMWARE_DSDT_H
#define FIRMWARE_DSDT_H

#include "vmm/base/diag.h"
#include "vmm/platform.h"

#include "firmware/acpi-buf.h"

/** DSDT_CPUS_MAX - most processors that have names of their own */
#define DSDT_CPUS_MAX 8192

/**
 * acpi_gsi - the global system interrupt of wire @pin
 */
uint32_t acpi_gsi(const struct platform *p, uint32_t pin);

/** dsdt_dev_name - what platform.dev[@n] is called in \_SB; with a NUL */
void dsdt_dev_name(char name[5], unsigned n);

/**
 * dsdt_build - write the DSDT into @b, which must be empty
 *
 * Return: 0, -EINVAL (port range that ACPI cannot describe, GED without a
 * wire), -E2BIG (more than DSDT_CPUS_MAX processors), -ENOMEM.
 */
int dsdt_build(struct acpi_buf *b, const struct platform *p, struct diag *d);

#endif
