/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: the contents of the ACPI tables about NUMA nodes
 *
 * Each function appends everything behind the header of its table to @b, from
 * a platform description that has nodes.
 *
 * ACPI 6.3 (SRAT, SLIT), 6.4 (HMAT).
 *
 * Not implemented: generic initiators, memory side caches, hot-plug.
 *
 * Threads: pure, any thread.
 */
#ifndef FIRMWARE_ACPI_NUMA_H
#define FIRMWARE_ACPI_NUMA_H

#include "vmm/platform.h"

#include "firmware/acpi-buf.h"

/** ACPI_SRAT_REVISION, ACPI_SLIT_REVISION, ACPI_HMAT_REVISION - of the formats
 * that are written here */
#define ACPI_SRAT_REVISION 3
#define ACPI_SLIT_REVISION 1
#define ACPI_HMAT_REVISION 2

/** acpi_put_srat - which node each CPU and each range of RAM is in. Linux
 * numbers nodes in the order in which it meets their CPUs, so CPUs come in the
 * order of nodes */
void acpi_put_srat(struct acpi_buf *b, const struct platform *p);

/** acpi_put_slit - distances */
void acpi_put_slit(struct acpi_buf *b, const struct platform *p);

/** acpi_put_hmat - latencies and bandwidths between nodes with CPUs and nodes
 * with RAM */
void acpi_put_hmat(struct acpi_buf *b, const struct platform *p);

#endif
