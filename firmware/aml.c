/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: writing AML that is data: see aml.h
 */
#include "firmware/aml.h"

#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/base/check.h"

/* ACPI 6.5 sec. 20.3, AML byte stream opcodes */
enum {
	OP_ZERO = 0x00,
	OP_ONE = 0x01,
	OP_NAME = 0x08,
	OP_BYTE = 0x0a,
	OP_WORD = 0x0b,
	OP_DWORD = 0x0c,
	OP_STRING = 0x0d,
	OP_QWORD = 0x0e,
	OP_SCOPE = 0x10,
	OP_BUFFER = 0x11,
	OP_PACKAGE = 0x12,
	OP_EXT = 0x5b,
	OP_EXT_DEVICE = 0x82,
};

/* Resource descriptor tags, sec. 6.4.2 and 6.4.3 */
enum {
	RES_IO = 0x47,
	RES_END = 0x79,
	RES_MEMORY32_FIXED = 0x86,
	RES_DWORD_SPACE = 0x87,
	RES_WORD_SPACE = 0x88,
	RES_INTERRUPT = 0x89,
	RES_QWORD_SPACE = 0x8a,
};

#define PKG_LENGTH_BYTES 3
#define PKG_LENGTH_MAX	 0xfffff /* of that many bytes */
#define NAME_SEG_BYTES	 4

static struct aml_mark open_package(struct acpi_buf *b)
{
	struct aml_mark m = { b->size_bytes };

	acpi_zero(b, PKG_LENGTH_BYTES);
	return m;
}

static void patch_length(struct acpi_buf *b, size_t at)
{
	size_t len = b->size_bytes - at;

	if (b->failed)
		return;
	CHECK(len <= PKG_LENGTH_MAX);
	b->data[at] = (uint8_t)(0x80 | (len & 0xf));
	b->data[at + 1] = (uint8_t)(len >> 4);
	b->data[at + 2] = (uint8_t)(len >> 12);
}

struct aml_mark aml_scope(struct acpi_buf *b, const char *path)
{
	struct aml_mark m;

	acpi_put8(b, OP_SCOPE);
	m = open_package(b);
	acpi_put(b, path, strlen(path));
	return m;
}

struct aml_mark aml_device(struct acpi_buf *b, const char *name)
{
	struct aml_mark m;

	acpi_put8(b, OP_EXT);
	acpi_put8(b, OP_EXT_DEVICE);
	m = open_package(b);
	acpi_put(b, name, NAME_SEG_BYTES);
	return m;
}

struct aml_mark aml_package(struct acpi_buf *b, uint8_t count)
{
	struct aml_mark m;

	acpi_put8(b, OP_PACKAGE);
	m = open_package(b);
	acpi_put8(b, count);
	return m;
}

void aml_close(struct acpi_buf *b, struct aml_mark m)
{
	patch_length(b, m.at);
}

void aml_integer(struct acpi_buf *b, uint64_t v)
{
	if (v <= 1) {
		acpi_put8(b, v ? OP_ONE : OP_ZERO);
	} else if (v <= UINT8_MAX) {
		acpi_put8(b, OP_BYTE);
		acpi_put8(b, (uint8_t)v);
	} else if (v <= UINT16_MAX) {
		acpi_put8(b, OP_WORD);
		acpi_put16(b, (uint16_t)v);
	} else if (v <= UINT32_MAX) {
		acpi_put8(b, OP_DWORD);
		acpi_put32(b, (uint32_t)v);
	} else {
		acpi_put8(b, OP_QWORD);
		acpi_put64(b, v);
	}
}

void aml_name(struct acpi_buf *b, const char *name)
{
	acpi_put8(b, OP_NAME);
	acpi_put(b, name, NAME_SEG_BYTES);
}

void aml_name_integer(struct acpi_buf *b, const char *name, uint64_t v)
{
	aml_name(b, name);
	aml_integer(b, v);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Three letters of 5 bits and four hex digits, as a big-endian dword (ACPI
 * 6.5 sec. 19.6.37). Returns false if @id has not that form. */
static bool eisa_id(const char *id, uint32_t *out)
{
	uint32_t v = 0;

	if (strlen(id) != 7)
		return false;
	for (int i = 0; i < 3; i++) {
		if (id[i] < 'A' || id[i] > 'Z')
			return false;
		v = v << 5 | (uint32_t)(id[i] - 'A' + 1);
	}
	for (int i = 3; i < 7; i++) {
		int digit = hex_digit(id[i]);

		if (digit < 0)
			return false;
		v = v << 4 | (uint32_t)digit;
	}
	*out = __builtin_bswap32(v);
	return true;
}

void aml_name_id(struct acpi_buf *b, const char *name, const char *id)
{
	uint32_t eisa;

	aml_name(b, name);
	if (eisa_id(id, &eisa)) {
		acpi_put8(b, OP_DWORD);
		acpi_put32(b, eisa);
		return;
	}
	acpi_put8(b, OP_STRING);
	acpi_put(b, id, strlen(id) + 1);
}

/* ---- resource templates: a buffer whose size is not known at first ---- */

struct aml_crs aml_crs_open(struct acpi_buf *b)
{
	struct aml_crs c;

	aml_name(b, "_CRS");
	acpi_put8(b, OP_BUFFER);
	c.pkg_at = open_package(b).at;
	acpi_put8(b, OP_WORD);
	c.size_at = b->size_bytes;
	acpi_put16(b, 0);
	c.first = b->size_bytes;
	return c;
}

void aml_crs_close(struct acpi_buf *b, struct aml_crs c)
{
	size_t size;

	acpi_put8(b, RES_END);
	acpi_put8(b, 0); /* no checksum */
	size = b->size_bytes - c.first;
	CHECK(size <= UINT16_MAX);
	if (!b->failed)
		put_le16(b->data + c.size_at, (uint16_t)size);
	patch_length(b, c.pkg_at);
}

void aml_crs_io(struct acpi_buf *b, uint16_t base, uint8_t len)
{
	acpi_put8(b, RES_IO);
	acpi_put8(b, 1); /* decodes 16 bits */
	acpi_put16(b, base);
	acpi_put16(b, base);
	acpi_put8(b, 1); /* alignment */
	acpi_put8(b, len);
}

/* The widths of address space descriptors, sec. 6.4.3.5 */
enum width { WIDTH_16, WIDTH_32, WIDTH_64 };

static void put_width(struct acpi_buf *b, enum width width, uint64_t v)
{
	switch (width) {
	case WIDTH_16:
		acpi_put16(b, (uint16_t)v);
		break;
	case WIDTH_32:
		acpi_put32(b, (uint32_t)v);
		break;
	case WIDTH_64:
		acpi_put64(b, v);
		break;
	}
}

/* @flags: bit 0 consumer; bits 2 and 3 minimum and maximum fixed */
static void put_space(struct acpi_buf *b, enum width width,
		      enum aml_space space, uint8_t flags, uint64_t first,
		      uint64_t last)
{
	static const uint8_t tag[] = { RES_WORD_SPACE, RES_DWORD_SPACE,
				       RES_QWORD_SPACE };
	/* memory: read-write, not cacheable; I/O: entire range */
	static const uint8_t specific[] = { 1, 3, 0 };

	acpi_put8(b, tag[width]);
	acpi_put16(b, (uint16_t)(3 + 5 * (2 << width)));
	acpi_put8(b, (uint8_t)space);
	acpi_put8(b, flags);
	acpi_put8(b, specific[space]);
	put_width(b, width, 0); /* granularity */
	put_width(b, width, first);
	put_width(b, width, last);
	put_width(b, width, 0); /* translation */
	put_width(b, width, last - first + 1);
}

void aml_crs_memory(struct acpi_buf *b, uint64_t base, uint64_t len)
{
	if (!range_within(base, len, 0, UINT32_MAX)) {
		put_space(b, WIDTH_64, AML_MEMORY, 0x0d, base, base + len - 1);
		return;
	}
	acpi_put8(b, RES_MEMORY32_FIXED);
	acpi_put16(b, 9);
	acpi_put8(b, 1); /* read-write */
	acpi_put32(b, (uint32_t)base);
	acpi_put32(b, (uint32_t)len);
}

void aml_crs_window(struct acpi_buf *b, enum aml_space space, uint64_t first,
		    uint64_t last)
{
	enum width width = last > UINT32_MAX ? WIDTH_64 : WIDTH_32;

	if (space != AML_MEMORY && last <= UINT16_MAX)
		width = WIDTH_16;
	put_space(b, width, space, 0x0c, first, last);
}

void aml_crs_irq(struct acpi_buf *b, uint32_t gsi, bool level)
{
	acpi_put8(b, RES_INTERRUPT);
	acpi_put16(b, 6);
	acpi_put8(b, level ? 1 : 3); /* consumer; bit 1: edge */
	acpi_put8(b, 1);	     /* one interrupt */
	acpi_put32(b, gsi);
}

/* ---- compiled templates ---- */

/* PkgLength, sec. 20.2.4; @used receives its own size. */
static size_t package_length(const uint8_t *p, size_t *used)
{
	size_t extra = p[0] >> 6;
	size_t len = extra ? p[0] & 0xf : p[0] & 0x3f;

	for (size_t i = 0; i < extra; i++)
		len |= (size_t)p[1 + i] << (4 + 8 * i);
	*used = 1 + extra;
	return len;
}

void aml_paste(struct acpi_buf *b, const uint8_t *aml, size_t size_bytes,
	       const char *device)
{
	const uint8_t *p = aml + ACPI_HEADER_BYTES, *end = aml + size_bytes;

	for (;;) {
		size_t used, len;
		const uint8_t *name;

		CHECK(end - p > 6 && p[0] == OP_EXT && p[1] == OP_EXT_DEVICE);
		len = package_length(p + 2, &used);
		CHECK(len <= (size_t)(end - p) - 2);
		name = p + 2 + used;
		if (!memcmp(name, device, NAME_SEG_BYTES)) {
			name += NAME_SEG_BYTES;
			acpi_put(b, name, (size_t)(p + 2 + len - name));
			return;
		}
		p += 2 + len;
	}
}
