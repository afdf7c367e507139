/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: ACPI tables for firmware that moves them: see acpi-loader.h */
#include "firmware/acpi-loader.h"

#include <errno.h>
#include <stdio.h>

#include "vmm/base/bytes.h"
#include "vmm/fw-cfg.h"

#include "firmware/acpi.h"

/* More than 4096 vCPUs need. */
#define TABLES_MAX MIB(4)

/* Commands of struct BiosLinkerLoaderEntry, and its size; numbers are
 * little-endian. */
enum {
	LOADER_ALLOCATE = 1,
	LOADER_ADD_POINTER = 2,
	LOADER_ADD_CHECKSUM = 3,
	LOADER_BYTES = 128,
};

/* Where a file may go: anywhere, or below 1 MiB on a PC. */
enum { ZONE_HIGH = 1, ZONE_FSEG = 2 };

/* ---- script --------------------------------------------------------------*/

static void put_name(struct acpi_buf *b, const char *name)
{
	char field[FW_CFG_NAME_BYTES] = "";

	snprintf(field, sizeof(field), "%s", name);
	acpi_put(b, field, sizeof(field));
}

/* Entries begin at multiples of LOADER_BYTES. */
static void end_entry(struct acpi_buf *b)
{
	acpi_zero(b, -b->size_bytes % LOADER_BYTES);
}

static void put_allocate(struct acpi_buf *b, const char *file, uint32_t align,
			 uint8_t zone)
{
	acpi_put32(b, LOADER_ALLOCATE);
	put_name(b, file);
	acpi_put32(b, align);
	acpi_put8(b, zone);
	end_entry(b);
}

/* Add the address of the tables. */
static void put_pointer(struct acpi_buf *b, const char *in, uint32_t offset)
{
	acpi_put32(b, LOADER_ADD_POINTER);
	put_name(b, in);
	put_name(b, FW_CFG_ACPI_TABLES);
	acpi_put32(b, offset);
	acpi_put8(b, 8); /* bytes of the pointer */
	end_entry(b);
}

static void put_checksum(struct acpi_buf *b, const char *file, uint32_t at,
			 uint32_t first, uint32_t len)
{
	acpi_put32(b, LOADER_ADD_CHECKSUM);
	put_name(b, file);
	acpi_put32(b, at);
	acpi_put32(b, first);
	acpi_put32(b, len);
	end_entry(b);
}

/* ---- files ---------------------------------------------------------------*/

/* The RSDP is table 0 and a file of its own; @base: in its file. */
static const char *file_of(const struct arch_tables *t, unsigned i,
			   uint32_t *base)
{
	*base = i ? (uint32_t)t->table[i].gpa.v : 0;
	return i ? FW_CFG_ACPI_TABLES : FW_CFG_ACPI_RSDP;
}

static bool has_pointer(const struct arch_tables *t, unsigned table)
{
	for (unsigned i = 0; i < t->pointer_count; i++)
		if (t->pointer[i].table == table)
			return true;
	return false;
}

static void put_script(struct acpi_buf *b, const struct arch_tables *t)
{
	uint32_t base;

	put_allocate(b, FW_CFG_ACPI_RSDP, 16, ZONE_FSEG);
	put_allocate(b, FW_CFG_ACPI_TABLES, 64, ZONE_HIGH);
	for (unsigned i = 0; i < t->pointer_count; i++) {
		const struct arch_pointer *p = &t->pointer[i];
		const char *file = file_of(t, p->table, &base);

		put_pointer(b, file, base + p->offset);
	}
	for (unsigned i = 0; i < t->count; i++) {
		const char *file = file_of(t, i, &base);
		uint32_t at = i ? ACPI_HEADER_CHECKSUM : ACPI_RSDP_CHECKSUM;

		if (has_pointer(t, i))
			put_checksum(b, file, base + at, base,
				     (uint32_t)t->table[i].size_bytes);
	}
}

/* edk2 sums up with the checksum that is there, so it must be 0 first. */
static void put_table(struct acpi_buf *b, const struct arch_tables *t,
		      unsigned i)
{
	uint32_t base;
	uint8_t *at;

	file_of(t, i, &base);
	acpi_zero(b, base - b->size_bytes);
	at = acpi_put(b, t->table[i].data, t->table[i].size_bytes);
	if (at && has_pointer(t, i))
		at[i ? ACPI_HEADER_CHECKSUM : ACPI_RSDP_CHECKSUM] = 0;
}

static void write_files(struct acpi_files *f, const struct arch_tables *t)
{
	put_table(&f->rsdp, t, 0);
	for (unsigned i = 1; i < t->count; i++)
		put_table(&f->tables, t, i);
	put_script(&f->loader, t);
}

int acpi_files_build(struct acpi_files *out, const struct platform *p,
		     struct diag *d)
{
	/* Addresses of the tables are then offsets in their file. */
	static const struct acpi_area area[] = {
		{ { 0 }, ACPI_RSDP_BYTES },
		{ { 0 }, TABLES_MAX },
	};
	struct acpi_files f = { .rsdp = { .data = NULL } };
	struct arch_tables t = { .count = 0 };
	int err = acpi_build(&t, p, area, ARRAY_SIZE(area), d);

	if (err)
		return err;
	write_files(&f, &t);
	arch_tables_release(&t);
	if (f.rsdp.failed || f.tables.failed || f.loader.failed) {
		acpi_files_release(&f);
		return diag_fail(d, ENOMEM, "ACPI: no memory for the tables");
	}
	*out = f;
	return 0;
}

void acpi_files_release(struct acpi_files *f)
{
	acpi_buf_release(&f->rsdp);
	acpi_buf_release(&f->tables);
	acpi_buf_release(&f->loader);
}
