/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: an EFI system table for a kernel without firmware: see efi.h
 *
 * The blob:
 *
 *	0x000	system table (120 bytes)
 *	0x080	configuration tables (4 of 24 bytes)
 *	0x0e0	vendor, UTF-16 (18 bytes)
 *	0x0f8	RT properties (8 bytes)
 *	0x100	reservations (16 bytes)
 *	0x200	memory map
 */
#include "firmware/efi.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "vmm/base/bytes.h"
#include "vmm/base/check.h"

enum {
	AT_CONFIG = 0x80,
	AT_VENDOR = 0xe0,
	AT_RT_PROPERTIES = 0xf8,
	AT_RESERVE = 0x100,
};

/* EFI_SYSTEM_TABLE, sec. 4.3.1 */
enum {
	SYSTEM_REVISION = 8,
	SYSTEM_HEADER_BYTES = 12,
	SYSTEM_CRC = 16,
	SYSTEM_VENDOR = 24,
	SYSTEM_CONFIG_COUNT = 104,
	SYSTEM_CONFIG = 112,
	SYSTEM_BYTES = 120,
};

#define SYSTEM_SIGNATURE UINT64_C(0x5453595320494249) /* "IBI SYST" */
#define REVISION_2_70	 (2 << 16 | 70)

enum { CONFIG_TABLES = 4, CONFIG_BYTES = 24 };
enum { RT_PROPERTIES_VERSION = 1, RT_PROPERTIES_BYTES = 8 };

/* Linux, include/linux/efi.h, struct linux_efi_memreserve: an int with the
 * number of entries there is room for, an atomic int with the number in use,
 * the next such table. Kernels add to a list that is not theirs only while
 * there is room in it: with none they append a page. */
enum { RESERVE_ROOM = 0, RESERVE_USED = 4 };

/* Sec. 7.2: memory types and attribute write-back cacheable */
enum { MEMORY_CONVENTIONAL = 7, MEMORY_ACPI_RECLAIM = 9, MEMORY_WB = 8 };

#define EFI_PAGE 4096

/* As they are in memory: the first three groups little-endian */
static const uint8_t acpi_20_guid[16] = { 0x71, 0xe8, 0x68, 0x88, 0xf1, 0xe4,
					  0xd3, 0x11, 0xbc, 0x22, 0x00, 0x80,
					  0xc7, 0x3c, 0x88, 0x81 };
static const uint8_t rt_properties_guid[16] = { 0x8a, 0x91, 0x66, 0xeb,
						0xef, 0x7e, 0x2a, 0x40,
						0x84, 0x2e, 0x93, 0x1d,
						0x21, 0xc3, 0x8a, 0xe9 };
static const uint8_t smbios3_guid[16] = { 0x44, 0x15, 0xfd, 0xf2, 0x94, 0x97,
					  0x2c, 0x4a, 0x99, 0x2e, 0xe5, 0xbb,
					  0xcf, 0x20, 0xe3, 0x94 };
static const uint8_t memreserve_guid[16] = { 0xc6, 0xb0, 0x8e, 0x88, 0xde, 0x8e,
					     0xf5, 0x4f, 0xa8, 0xf0, 0x9a, 0xee,
					     0x5c, 0xb9, 0x77, 0xc2 };

static void put_config(uint8_t *blob, unsigned i, const uint8_t guid[16],
		       uint64_t gpa)
{
	uint8_t *at = blob + AT_CONFIG + (size_t)i * CONFIG_BYTES;

	memcpy(at, guid, 16);
	put_le64(at + 16, gpa);
}

static void put_vendor(uint8_t *at)
{
	for (const char *c = "Spandrel"; *c; c++, at += 2)
		put_le16(at, (uint8_t)*c);
}

static void put_system(uint8_t *blob, gpa_t at)
{
	put_le64(blob, SYSTEM_SIGNATURE);
	put_le32(blob + SYSTEM_REVISION, REVISION_2_70);
	put_le32(blob + SYSTEM_HEADER_BYTES, SYSTEM_BYTES);
	put_le64(blob + SYSTEM_VENDOR, at.v + AT_VENDOR);
	put_le64(blob + SYSTEM_CONFIG_COUNT, CONFIG_TABLES);
	put_le64(blob + SYSTEM_CONFIG, at.v + AT_CONFIG);
	put_le32(blob + SYSTEM_CRC, (uint32_t)crc32(0, blob, SYSTEM_BYTES));
}

static void put_configs(uint8_t *blob, gpa_t at, gpa_t rsdp)
{
	put_vendor(blob + AT_VENDOR);
	put_config(blob, 0, acpi_20_guid, rsdp.v);
	put_config(blob, 1, rt_properties_guid, at.v + AT_RT_PROPERTIES);
	put_config(blob, 2, memreserve_guid, at.v + AT_RESERVE);
	put_config(blob, 3, smbios3_guid, at.v + EFI_BLOB_BYTES);
	put_le16(blob + AT_RT_PROPERTIES, RT_PROPERTIES_VERSION);
	put_le16(blob + AT_RT_PROPERTIES + 2, RT_PROPERTIES_BYTES);
	put_le32(blob + AT_RESERVE + RESERVE_ROOM, 0);
	put_le32(blob + AT_RESERVE + RESERVE_USED, 0);
}

/* Returns the place of the next descriptor. */
static uint8_t *put_memory(uint8_t *at, uint32_t type, uint64_t base,
			   uint64_t size_bytes)
{
	put_le32(at, type);
	put_le64(at + 8, base);
	put_le64(at + 24, size_bytes / EFI_PAGE);
	put_le64(at + 32, MEMORY_WB);
	return at + EFI_DESCRIPTOR_BYTES;
}

static size_t put_memmap(uint8_t *map, const struct platform *p,
			 const struct plat_range *tables)
{
	const struct plat_range *low = &p->ram[0];
	uint8_t *at = map;

	CHECK(tables->base + tables->size_bytes == low->base + low->size_bytes);
	at = put_memory(at, MEMORY_CONVENTIONAL, low->base,
			tables->base - low->base);
	at = put_memory(at, MEMORY_ACPI_RECLAIM, tables->base,
			tables->size_bytes);
	for (unsigned i = 1; i < p->ram_count; i++)
		at = put_memory(at, MEMORY_CONVENTIONAL, p->ram[i].base,
				p->ram[i].size_bytes);
	return (size_t)(at - map);
}

int efi_build(uint8_t **blob, size_t *memmap_bytes, const struct platform *p,
	      const struct plat_range *tables, gpa_t rsdp, struct diag *d)
{
	uint8_t *out = calloc(1, EFI_BLOB_BYTES);
	gpa_t at = GPA(tables->base);

	if (!out)
		return diag_fail(d, ENOMEM, "EFI: no memory for the tables");
	put_configs(out, at, rsdp);
	put_system(out, at);
	*memmap_bytes = put_memmap(out + EFI_MEMMAP_OFFSET, p, tables);
	*blob = out;
	return 0;
}
