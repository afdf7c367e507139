/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: SMBIOS structures, see smbios.h
 *
 * A structure is a fixed part, which numbers its strings from 1, and the
 * strings behind it, ended by an empty one (DSP0134 sec. 6.1.3). It is put
 * together in a struct entry and then appended as a whole. Offsets are those
 * of the specification's tables.
 */
#include "firmware/smbios.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm/base/bytes.h"

#define STRINGS_MAX  255
#define FIXED_MAX    0x30
#define HEADER_BYTES 4

/* Handles: any that are not used twice; below 0xff00 (sec. 6.1.2). */
enum handle {
	HANDLE_FIRMWARE = 0x0000,
	HANDLE_SYSTEM = 0x0100,
	HANDLE_CHASSIS = 0x0300,
	HANDLE_PROCESSOR = 0x0400, /* and 255 more */
	HANDLE_OEM = 0x0b00,
	HANDLE_ARRAY = 0x1000,
	HANDLE_DEVICE = 0x1100,
	HANDLE_MAPPED = 0x1300, /* and one for each range of RAM */
	HANDLE_BOOT = 0x2000,
	HANDLE_END = 0x7f00,
	HANDLE_NONE = 0xfffe, /* "no error information structure" */
};

/** struct text - @len bytes, not ended by NUL */
struct text {
	const char *at;
	size_t len;
};

/** struct entry - a structure in the making: @bytes of the fixed part */
struct entry {
	uint8_t fixed[FIXED_MAX];
	unsigned bytes;
	struct text string[STRINGS_MAX];
	unsigned strings;
	char name[16]; /* what one of them may point to */
};

static void begin(struct entry *e, uint8_t type, unsigned bytes,
		  unsigned handle)
{
	memset(e->fixed, 0, sizeof(e->fixed));
	e->bytes = bytes;
	e->strings = 0;
	e->fixed[0] = type;
	e->fixed[1] = (uint8_t)bytes;
	put_le16(e->fixed + 2, (uint16_t)handle);
}

/* The number of the string; 0: there is none. */
static uint8_t add_text(struct entry *e, const char *at, size_t len)
{
	if (!len || e->strings == STRINGS_MAX)
		return 0;
	e->string[e->strings++] = (struct text){ at, len };
	return (uint8_t)e->strings;
}

static void string(struct entry *e, unsigned at, const char *text,
		   const char *otherwise)
{
	text = text ? text : otherwise;
	e->fixed[at] = text ? add_text(e, text, strlen(text)) : 0;
}

static void end(struct entry *e, struct acpi_buf *b)
{
	acpi_put(b, e->fixed, e->bytes);
	for (unsigned i = 0; i < e->strings; i++) {
		acpi_put(b, e->string[i].at, e->string[i].len);
		acpi_put8(b, 0);
	}
	acpi_zero(b, e->strings ? 1 : 2);
}

/* Sec. 7.1. The date is not of a build, so that tables repeat; Linux trusts
 * _CRS without the memory map if it is 2023 or later. */
static void put_firmware(struct entry *e, struct acpi_buf *b)
{
	begin(e, 0, 0x1a, HANDLE_FIRMWARE);
	string(e, 0x04, "Spandrel", NULL);
	string(e, 0x05, "0", NULL);
	string(e, 0x08, "01/01/2026", NULL);
	put_le64(e->fixed + 0x0a, 1 << 3); /* no characteristics */
	e->fixed[0x13] = 1 << 2 | 1 << 4;  /* a virtual machine's table */
	memset(e->fixed + 0x14, 0xff, 4);  /* no releases */
	end(e, b);
}

/* Sec. 7.2: switched on by its power switch. */
static void put_system(struct entry *e, const struct plat_identity *id,
		       struct acpi_buf *b)
{
	begin(e, 1, 0x1b, HANDLE_SYSTEM);
	string(e, 0x04, id->manufacturer, "Spandrel");
	string(e, 0x05, id->product, "Spandrel virtual machine");
	string(e, 0x06, id->version, NULL);
	string(e, 0x07, id->serial, NULL);
	memcpy(e->fixed + 0x08, id->uuid, sizeof(id->uuid));
	e->fixed[0x18] = 6;
	string(e, 0x19, id->sku, NULL);
	string(e, 0x1a, id->family, NULL);
	end(e, b);
}

/* Sec. 7.4: "other", all states safe, no security. */
static void put_chassis(struct entry *e, const struct plat_identity *id,
			struct acpi_buf *b)
{
	begin(e, 3, 0x16, HANDLE_CHASSIS);
	string(e, 0x04, id->manufacturer, "Spandrel");
	e->fixed[0x05] = 1;
	string(e, 0x07, id->serial, NULL);
	string(e, 0x08, id->asset_tag, NULL);
	memset(e->fixed + 0x09, 3, 4);
	end(e, b);
}

/* A count in a byte, where 255 refers to the word that also has it. */
static void count(struct entry *e, unsigned byte_at, unsigned word_at,
		  uint32_t n)
{
	e->fixed[byte_at] = (uint8_t)MIN(n, 255);
	put_le16(e->fixed + word_at, (uint16_t)MIN(n, UINT16_MAX));
}

/* Sec. 7.5: enabled, in a socket of its own, 64 bits, no caches known. */
static void put_processor(struct entry *e, const struct topology *t,
			  unsigned package, struct acpi_buf *b)
{
	uint32_t cores = t->cores_per_die * t->dies_per_package;

	snprintf(e->name, sizeof(e->name), "CPU %u", package);
	begin(e, 4, 0x30, HANDLE_PROCESSOR + package);
	string(e, 0x04, e->name, NULL);
	e->fixed[0x05] = 3;
	e->fixed[0x06] = 1;
	string(e, 0x07, "Spandrel", NULL);
	e->fixed[0x18] = 0x41;
	e->fixed[0x19] = 1;
	memset(e->fixed + 0x1a, 0xff, 6);
	count(e, 0x23, 0x2a, cores);
	count(e, 0x24, 0x2c, cores);
	count(e, 0x25, 0x2e, cores * t->threads_per_core);
	put_le16(e->fixed + 0x26, 1 << 2);
	put_le16(e->fixed + 0x28, 1);
	end(e, b);
}

static void put_processors(struct entry *e, const struct platform *p,
			   struct acpi_buf *b)
{
	for (unsigned i = 0; i < MIN(p->topology.packages, SMBIOS_PACKAGES_MAX);
	     i++)
		put_processor(e, &p->topology, i, b);
}

/* Sec. 7.12: the list "[a,b]" or "a"; identity_check() has seen it. */
static void put_oem_strings(struct entry *e, const char *list,
			    struct acpi_buf *b)
{
	if (!list)
		return;
	begin(e, 11, 0x05, HANDLE_OEM);
	list += *list == '[';
	while (*list) {
		size_t len = strcspn(list, ",]");

		add_text(e, list, len);
		list += len + !!list[len];
	}
	e->fixed[0x04] = (uint8_t)e->strings;
	if (e->strings)
		end(e, b);
}

static uint64_t ram_bytes(const struct platform *p)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < p->ram_count; i++)
		sum += p->ram[i].size_bytes;
	return sum;
}

/* Sec. 7.17: system memory without error correction, one device. */
static void put_array(struct entry *e, uint64_t bytes, struct acpi_buf *b)
{
	begin(e, 16, 0x17, HANDLE_ARRAY);
	e->fixed[0x04] = 1;
	e->fixed[0x05] = 3;
	e->fixed[0x06] = 3;
	put_le32(e->fixed + 0x07, 0x80000000); /* see the 64-bit field */
	put_le16(e->fixed + 0x0b, HANDLE_NONE);
	put_le16(e->fixed + 0x0d, 1);
	put_le64(e->fixed + 0x0f, bytes);
	end(e, b);
}

/* Sec. 7.18: a DIMM of unknown width with all RAM; the size is in MiB. */
static void put_device(struct entry *e, uint64_t bytes, struct acpi_buf *b)
{
	uint64_t mib = bytes >> 20;

	begin(e, 17, 0x28, HANDLE_DEVICE);
	put_le16(e->fixed + 0x04, HANDLE_ARRAY);
	put_le16(e->fixed + 0x06, HANDLE_NONE);
	put_le32(e->fixed + 0x08, UINT32_MAX);
	put_le16(e->fixed + 0x0c, (uint16_t)MIN(mib, 0x7fff));
	e->fixed[0x0e] = 9;
	string(e, 0x10, "DIMM 0", NULL);
	e->fixed[0x12] = 7;
	put_le16(e->fixed + 0x13, 1 << 1);
	if (mib >= 0x7fff)
		put_le32(e->fixed + 0x1c, (uint32_t)MIN(mib, INT32_MAX));
	end(e, b);
}

/* Sec. 7.20: in KiB if that fits, else in bytes. */
static void put_mapped(struct entry *e, const struct plat_range *ram,
		       unsigned index, struct acpi_buf *b)
{
	uint64_t last = ram->base + ram->size_bytes - 1;
	bool wide = last >> 10 >= UINT32_MAX;

	begin(e, 19, 0x1f, HANDLE_MAPPED + index);
	put_le32(e->fixed + 0x04,
		 wide ? UINT32_MAX : (uint32_t)(ram->base >> 10));
	put_le32(e->fixed + 0x08, wide ? UINT32_MAX : (uint32_t)(last >> 10));
	put_le16(e->fixed + 0x0c, HANDLE_ARRAY);
	e->fixed[0x0e] = 1;
	if (wide) {
		put_le64(e->fixed + 0x0f, ram->base);
		put_le64(e->fixed + 0x17, last);
	}
	end(e, b);
}

static void put_ram(struct entry *e, const struct platform *p,
		    struct acpi_buf *b)
{
	put_array(e, ram_bytes(p), b);
	put_device(e, ram_bytes(p), b);
	for (unsigned i = 0; i < p->ram_count; i++)
		put_mapped(e, &p->ram[i], i, b);
}

int smbios_build(struct acpi_buf *b, const struct platform *p, struct diag *d)
{
	struct entry e;

	put_firmware(&e, b);
	put_system(&e, &p->identity, b);
	put_chassis(&e, &p->identity, b);
	put_processors(&e, p, b);
	put_oem_strings(&e, p->identity.oem_strings, b);
	put_ram(&e, p, b);
	begin(&e, 32, 0x0b, HANDLE_BOOT); /* sec. 7.33: no errors */
	end(&e, b);
	begin(&e, 127, HEADER_BYTES, HANDLE_END);
	end(&e, b);
	return b->failed ? diag_fail(d, ENOMEM, "out of memory") : 0;
}

void smbios_entry(uint8_t out[SMBIOS_ENTRY_BYTES], gpa_t table,
		  uint32_t size_bytes)
{
	uint8_t sum = 0;

	memset(out, 0, SMBIOS_ENTRY_BYTES);
	memcpy(out, (const uint8_t[]){ '_', 'S', 'M', '3', '_' }, 5);
	out[6] = SMBIOS_ENTRY_BYTES;
	out[7] = 3; /* version 3.2 */
	out[8] = 2;
	out[10] = 1; /* of this structure */
	put_le32(out + 12, size_bytes);
	put_le64(out + 16, table.v);
	for (unsigned i = 0; i < SMBIOS_ENTRY_BYTES; i++)
		sum += out[i];
	out[5] = (uint8_t)-sum;
}
