/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: a growing buffer for ACPI tables: see acpi-buf.h
 *
 * Header layout: ACPI 6.5 sec. 5.2.6, table 5.4.
 */
#include "firmware/acpi-buf.h"

#include <stdlib.h>

#include "vmm/base/bytes.h"

#define ROOM_FIRST   512
#define AT_LENGTH    4
#define CREATOR_REV  1
#define OEM_REVISION 1

void acpi_buf_release(struct acpi_buf *b)
{
	free(b->data);
	*b = (struct acpi_buf){ 0 };
}

static bool grow(struct acpi_buf *b, size_t len)
{
	size_t want = b->size_bytes + len;
	size_t room = MAX(b->room_bytes, ROOM_FIRST);
	uint8_t *data;

	while (room < want)
		room *= 2;
	if (room == b->room_bytes)
		return true;
	data = realloc(b->data, room);
	if (!data) {
		b->failed = true;
		return false;
	}
	b->data = data;
	b->room_bytes = room;
	return true;
}

uint8_t *acpi_put(struct acpi_buf *b, const void *p, size_t len)
{
	uint8_t *at;

	if (b->failed || !grow(b, len))
		return NULL;
	at = b->data + b->size_bytes;
	memcpy(at, p, len);
	b->size_bytes += len;
	return at;
}

void acpi_put8(struct acpi_buf *b, uint8_t v)
{
	acpi_put(b, &v, 1);
}

void acpi_put16(struct acpi_buf *b, uint16_t v)
{
	uint8_t le[2];

	put_le16(le, v);
	acpi_put(b, le, sizeof(le));
}

void acpi_put32(struct acpi_buf *b, uint32_t v)
{
	uint8_t le[4];

	put_le32(le, v);
	acpi_put(b, le, sizeof(le));
}

void acpi_put64(struct acpi_buf *b, uint64_t v)
{
	uint8_t le[8];

	put_le64(le, v);
	acpi_put(b, le, sizeof(le));
}

void acpi_zero(struct acpi_buf *b, size_t len)
{
	while (len--)
		acpi_put8(b, 0);
}

void acpi_table_begin(struct acpi_buf *b, const char *signature,
		      uint8_t revision)
{
	acpi_put(b, signature, 4);
	acpi_put32(b, 0); /* length */
	acpi_put8(b, revision);
	acpi_put8(b, 0); /* checksum */
	acpi_put(b, ACPI_OEM_ID, 6);
	acpi_put(b, ACPI_OEM_TABLE_ID, 8);
	acpi_put32(b, OEM_REVISION);
	acpi_put(b, ACPI_CREATOR_ID, 4);
	acpi_put32(b, CREATOR_REV);
}

void acpi_table_end(struct acpi_buf *b)
{
	if (b->failed)
		return;
	put_le32(b->data + AT_LENGTH, (uint32_t)b->size_bytes);
	b->data[ACPI_HEADER_CHECKSUM] = 0;
	b->data[ACPI_HEADER_CHECKSUM] =
		(uint8_t)-acpi_sum(b->data, b->size_bytes);
}

uint8_t acpi_sum(const void *p, size_t len)
{
	const uint8_t *byte = p;
	uint8_t sum = 0;

	while (len--)
		sum += *byte++;
	return sum;
}
