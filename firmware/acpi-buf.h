/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: a growing buffer that ACPI tables are written into
 *
 * Running out of memory sticks, so that generators are lists of statements
 * and check once, at the end. Numbers are little-endian.
 *
 * Threads: a buffer belongs to one thread.
 */
#ifndef FIRMWARE_ACPI_BUF_H
#define FIRMWARE_ACPI_BUF_H

#include "vmm/base/types.h"

#define ACPI_HEADER_BYTES    36
#define ACPI_HEADER_CHECKSUM 9

/* What ACPI 6.5 sec. 5.2.6 calls OEMID, OEM table id and creator id */
#define ACPI_OEM_ID	  "SPNDRL"
#define ACPI_OEM_TABLE_ID "SPANDREL"
#define ACPI_CREATOR_ID	  "SPDL"

/**
 * struct acpi_buf - bytes written so far; a zeroed one is empty
 * @data: malloc'ed, owned; @size_bytes written, @room_bytes allocated
 * @failed: memory ran out; what follows is dropped
 */
struct acpi_buf {
	uint8_t *data;
	size_t size_bytes, room_bytes;
	bool failed;
};

/** acpi_buf_release - free the data; the buffer is empty again */
void acpi_buf_release(struct acpi_buf *b);

/**
 * acpi_put - append @len bytes
 *
 * Return: where they are until the next append, or NULL when out of memory.
 */
uint8_t *acpi_put(struct acpi_buf *b, const void *p, size_t len);

/** acpi_put8, acpi_put16, acpi_put32, acpi_put64 - append one number */
void acpi_put8(struct acpi_buf *b, uint8_t v);
void acpi_put16(struct acpi_buf *b, uint16_t v);
void acpi_put32(struct acpi_buf *b, uint32_t v);
void acpi_put64(struct acpi_buf *b, uint64_t v);

/** acpi_zero - append @len zero bytes */
void acpi_zero(struct acpi_buf *b, size_t len);

/**
 * acpi_table_begin - write the header of a table at the start of @b
 * @signature: four characters
 * @revision: of this table's format
 */
void acpi_table_begin(struct acpi_buf *b, const char *signature,
		      uint8_t revision);

/** acpi_table_end - set length and checksum of the table in @b */
void acpi_table_end(struct acpi_buf *b);

/** acpi_sum - sum of @len bytes, modulo 256; 0 over a correct table */
uint8_t acpi_sum(const void *p, size_t len);

#endif
