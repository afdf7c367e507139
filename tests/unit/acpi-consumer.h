/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: a consumer of table-loader scripts, as firmware has one, that trusts
 * nothing in them
 *
 * QEMU, hw/acpi/bios-linker-loader.c: entries of 128 bytes bring files into
 * memory, add addresses of files to the pointers in them, and set checksums.
 * Here each file has its address from the start. Used by a unit test and by a
 * fuzz target, so nothing here needs Check.
 */
#ifndef TESTS_UNIT_ACPI_CONSUMER_H
#define TESTS_UNIT_ACPI_CONSUMER_H

#include <stdlib.h>
#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/base/types.h"
#include "vmm/fw-cfg.h"

#define CONSUMER_ENTRY	   128
#define CONSUMER_ALIGN_MAX KIB(4)

/**
 * struct consumer_file - a file that a script may name
 * @name: its whole name
 * @bytes, @size_bytes: what fw_cfg has of it
 * @gpa: where firmware puts it
 * @zone: 1: anywhere, 2: below 1 MiB; what the script asked for
 * @data: what is in memory; malloc'ed, NULL before it is allocated
 */
struct consumer_file {
	const char *name;
	const uint8_t *bytes;
	size_t size_bytes;
	uint64_t gpa;
	uint8_t zone;
	uint8_t *data;
};

/** struct consumer - all files; consumer_release() frees what they came to */
struct consumer {
	struct consumer_file file[3];
	unsigned count;
};

/** consumer_add - a file that fw_cfg has: see struct consumer_file */
static inline void consumer_add(struct consumer *c, const char *name,
				const uint8_t *bytes, size_t size_bytes,
				uint64_t gpa)
{
	c->file[c->count++] = (struct consumer_file){ .name = name,
						      .bytes = bytes,
						      .size_bytes = size_bytes,
						      .gpa = gpa };
}

static inline struct consumer_file *consumer_find(struct consumer *c,
						  const uint8_t *name)
{
	if (!memchr(name, 0, FW_CFG_NAME_BYTES))
		return NULL;
	for (unsigned i = 0; i < c->count; i++)
		if (!strcmp((const char *)name, c->file[i].name))
			return &c->file[i];
	return NULL;
}

static inline const char *consumer_allocate(struct consumer *c,
					    const uint8_t *e)
{
	struct consumer_file *f = consumer_find(c, e + 4);
	uint32_t align = get_le32(e + 60);

	if (!f)
		return "allocates a file that does not exist";
	if (f->data)
		return "allocates a file twice";
	if (!is_pow2(align) || align > CONSUMER_ALIGN_MAX || f->gpa % align)
		return "alignment";
	if (e[64] != 1 && e[64] != 2)
		return "zone";
	f->zone = e[64];
	f->data = malloc(MAX(f->size_bytes, 1u));
	if (!f->data)
		return "no memory";
	if (f->size_bytes)
		memcpy(f->data, f->bytes, f->size_bytes);
	return NULL;
}

static inline const char *consumer_add_pointer(struct consumer *c,
					       const uint8_t *e)
{
	struct consumer_file *in = consumer_find(c, e + 4);
	struct consumer_file *to = consumer_find(c, e + 60);
	uint32_t offset = get_le32(e + 116);
	uint8_t size = e[120], le[8] = { 0 };
	uint64_t value;

	if (!in || !to || !in->data || !to->data)
		return "pointer between files that are not there";
	if (!is_pow2(size) || size > sizeof(le))
		return "size of a pointer";
	if (!range_within(offset, size, 0, in->size_bytes))
		return "pointer outside of its file";
	memcpy(le, in->data + offset, size);
	value = get_le64(le);
	if (value >= to->size_bytes)
		return "pointer to what is behind its file";
	value += to->gpa;
	if (size < sizeof(le) && value >> (8 * size))
		return "pointer that is too small";
	put_le64(le, value);
	memcpy(in->data + offset, le, size);
	return NULL;
}

/* As edk2 does it: what is in the place of the sum is summed up, too. */
static inline const char *consumer_add_checksum(struct consumer *c,
						const uint8_t *e)
{
	struct consumer_file *f = consumer_find(c, e + 4);
	uint32_t at = get_le32(e + 60), first = get_le32(e + 64);
	uint32_t len = get_le32(e + 68);
	uint8_t sum = 0;

	if (!f || !f->data)
		return "checksum of a file that is not there";
	if (!range_within(first, len, 0, f->size_bytes))
		return "checksum of what is outside of the file";
	if (!range_within(at, 1, first, len))
		return "checksum outside of what it is of";
	for (uint32_t i = 0; i < len; i++)
		sum += f->data[first + i];
	f->data[at] = (uint8_t)-sum;
	return NULL;
}

/** consumer_run - do what a script says
 * Return: NULL, or what is wrong with it; what came before has been done. */
static inline const char *consumer_run(struct consumer *c,
				       const uint8_t *script, size_t size_bytes)
{
	const char *wrong = NULL;

	if (size_bytes % CONSUMER_ENTRY)
		return "size of the script";
	for (size_t i = 0; !wrong && i < size_bytes; i += CONSUMER_ENTRY) {
		const uint8_t *e = script + i;

		switch (get_le32(e)) {
		case 1:
			wrong = consumer_allocate(c, e);
			break;
		case 2:
			wrong = consumer_add_pointer(c, e);
			break;
		case 3:
			wrong = consumer_add_checksum(c, e);
			break;
		default:
			wrong = "unknown command";
		}
	}
	return wrong;
}

/** consumer_release - free what a script brought into memory */
static inline void consumer_release(struct consumer *c)
{
	for (unsigned i = 0; i < c->count; i++)
		free(c->file[i].data);
	c->count = 0;
}

#endif
