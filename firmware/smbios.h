/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: SMBIOS: what the machine calls itself, from its platform description
 *
 * DSP0134 3.2: firmware, system, chassis, processors, the owner's strings
 * (type 11), RAM, boot status. A guest without UEFI finds the entry point at
 * a multiple of 16 from 0xF0000 (x86_64); UEFI firmware reads it there or gets
 * it by fw_cfg, and publishes it.
 *
 * Strings that the user did not give have our names, or are absent. At most
 * SMBIOS_PACKAGES_MAX processors are described, so that thousands of vCPUs do
 * not fill the space that there is.
 *
 * Not implemented: caches, slots, DIMMs as the NUMA nodes have them.
 *
 * Threads: pure, any thread.
 */
#ifndef FIRMWARE_SMBIOS_H
#define FIRMWARE_SMBIOS_H

#include "vmm/base/diag.h"
#include "vmm/platform.h"

#include "firmware/acpi-buf.h"

#define SMBIOS_ENTRY_BYTES  24
#define SMBIOS_PACKAGES_MAX 256

/**
 * smbios_build - append all structures to @b, which must be empty
 * @p: identity, RAM and topology are read
 *
 * Return: 0, or -ENOMEM.
 */
int smbios_build(struct acpi_buf *b, const struct platform *p, struct diag *d);

/**
 * smbios_entry - the 64-bit entry point (DSP0134 sec. 5.2.2)
 * @table: where the structures are, @size_bytes of them
 */
void smbios_entry(uint8_t out[SMBIOS_ENTRY_BYTES], gpa_t table,
		  uint32_t size_bytes);

#endif
