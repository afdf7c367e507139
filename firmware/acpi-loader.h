/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: ACPI tables for firmware that puts them where it likes
 *
 * UEFI firmware gets the tables by fw_cfg in one piece, the RSDP in another,
 * and a script of QEMU's linker/loader (hw/acpi/bios-linker-loader.c) that says
 * how to bring them into memory: allocate both, add their addresses to the
 * pointers in them, and set the checksums of what has changed. Afterwards they
 * are what acpi_build() writes for these places.
 *
 * Threads: pure, any thread.
 */
#ifndef FIRMWARE_ACPI_LOADER_H
#define FIRMWARE_ACPI_LOADER_H

#include "vmm/base/diag.h"
#include "vmm/platform.h"

#include "firmware/acpi-buf.h"

/** struct acpi_files - contents of three files, see vmm/fw-cfg.h; a zeroed one
 * is empty */
struct acpi_files {
	struct acpi_buf rsdp, tables, loader;
};

/**
 * acpi_files_build - all tables, and the script that links them
 * @out: released by acpi_files_release()
 * @p: as for acpi_build()
 *
 * Return: 0, or like acpi_build(); @out untouched on failure.
 */
int acpi_files_build(struct acpi_files *out, const struct platform *p,
		     struct diag *d);

/** acpi_files_release - free all; empty again */
void acpi_files_release(struct acpi_files *f);

#endif
