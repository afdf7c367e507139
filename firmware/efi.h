/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: an EFI system table and memory map for a kernel without firmware
 *
 * An arm64 kernel finds ACPI only through EFI: a system table whose addresses
 * /chosen of an otherwise empty device tree gives it, as Xen and kexec do it
 * (Linux, drivers/firmware/efi/fdtparams.c). Boot and runtime services are
 * NULL. Beside the RSDP there are three configuration tables:
 *
 *	EFI_RT_PROPERTIES_TABLE	no runtime service is there; without it Linux'
 *				rtc-efi calls them through NULL
 *	LINUX_EFI_MEMRESERVE	an empty list that is full, so that Linux makes
 *				one of its own: the ITS driver wants it
 *	SMBIOS3_TABLE		what the machine calls itself
 *
 * RAM is taken from the memory map: conventional memory, and the tables as
 * memory that the kernel may have when it has read them.
 *
 * UEFI 2.10 sec. 4.3 (system table), 4.6 (configuration tables), 7.2
 * (memory map).
 *
 * Threads: pure, any thread.
 */
#ifndef FIRMWARE_EFI_H
#define FIRMWARE_EFI_H

#include "vmm/base/diag.h"
#include "vmm/base/types.h"
#include "vmm/platform.h"

/** EFI_BLOB_BYTES - room for what efi_build() makes */
#define EFI_BLOB_BYTES KIB(4)

/** EFI_MEMMAP_OFFSET - where the memory map begins; the system table is at 0 */
#define EFI_MEMMAP_OFFSET 512

/** EFI_DESCRIPTOR_BYTES, EFI_DESCRIPTOR_VERSION - of the memory map */
#define EFI_DESCRIPTOR_BYTES   40
#define EFI_DESCRIPTOR_VERSION 1

/**
 * efi_build - write system table, configuration tables and memory map
 * @blob: receives EFI_BLOB_BYTES, malloc'ed, owned by the caller
 * @memmap_bytes: receives the size of the memory map
 * @p: the machine: its RAM
 * @tables: RAM that holds the blob, at its start, the entry point of SMBIOS 3
 *	right behind it, and all other tables; whole pages at the end of the
 *	first range of RAM
 * @rsdp: where the RSDP is
 *
 * Return: 0 or -ENOMEM; outputs untouched on failure.
 */
int efi_build(uint8_t **blob, size_t *memmap_bytes, const struct platform *p,
	      const struct plat_range *tables, gpa_t rsdp, struct diag *d);

#endif
