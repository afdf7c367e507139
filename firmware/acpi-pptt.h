/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: the contents of the ACPI PPTT: processors, their topology and caches
 *
 * ACPI 6.3 sec. 5.2.29. Linux reads it on arm64; on x86_64 it asks CPUID.
 *
 * Threads: pure, any thread.
 */
#ifndef FIRMWARE_ACPI_PPTT_H
#define FIRMWARE_ACPI_PPTT_H

#include "vmm/platform.h"

#include "firmware/acpi-buf.h"

/** ACPI_PPTT_REVISION - of the format that is written here */
#define ACPI_PPTT_REVISION 2

/** acpi_put_pptt - append everything behind the header to @b: packages, dies
 * where there are several in a package, cores, threads, and the caches of each
 * core and die; CPUs must be in the order of their place in the topology */
void acpi_put_pptt(struct acpi_buf *b, const struct platform *p);

#endif
