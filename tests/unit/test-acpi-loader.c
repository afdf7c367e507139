/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: ACPI tables by fw_cfg: a loader of our own runs the script, trusting
 * nothing in it, and must come to the very bytes that direct boot gets
 */
#include <check.h>
#include <stdio.h>

#include "vmm/base/bytes.h"
#include "vmm/fw-cfg.h"

#include "firmware/acpi-loader.h"
#include "firmware/acpi.h"
#include "tests/unit/platforms.h"
#include "tests/unit/suite.h"

#define RSDP_GPA   UINT64_C(0x7fff1230)
#define TABLES_GPA UINT64_C(0x7ffe0440)

/* A file that the script brought into memory. */
struct blob {
	const char *name;
	const struct acpi_buf *file;
	uint64_t gpa;
	uint8_t *data;
};

static struct platform p;
static struct acpi_files files;
static struct blob blobs[2];

static void setup_sample(int n)
{
	struct diag d = DIAG_INIT;

	sample_make(&p, &samples[n]);
	p.tables = TABLES_ACPI;
	ck_assert_msg(!acpi_files_build(&files, &p, &d), "%s: %s",
		      samples[n].name, d.text[0]);
	blobs[0] =
		(struct blob){ "etc/acpi/rsdp", &files.rsdp, RSDP_GPA, NULL };
	blobs[1] = (struct blob){ "etc/acpi/tables", &files.tables, TABLES_GPA,
				  NULL };
}

static void teardown(void)
{
	free(blobs[0].data);
	free(blobs[1].data);
	acpi_files_release(&files);
	platform_release(&p);
}

/* ---- the loader ---- */

static struct blob *named(const uint8_t *name)
{
	ck_assert_ptr_nonnull(memchr(name, 0, FW_CFG_NAME_BYTES));
	for (unsigned i = 0; i < 2; i++)
		if (!strcmp((const char *)name, blobs[i].name))
			return &blobs[i];
	ck_abort_msg("the script names %s", (const char *)name);
	return NULL;
}

static void allocate(const uint8_t *e)
{
	struct blob *b = named(e + 4);
	uint32_t align = get_le32(e + 60);

	ck_assert_ptr_null(b->data); /* each once */
	ck_assert(is_pow2(align) && align <= 4096 && !(b->gpa % align));
	ck_assert_uint_eq(e[64], b == blobs ? 2 : 1);
	b->data = malloc(b->file->size_bytes);
	memcpy(b->data, b->file->data, b->file->size_bytes);
}

static void add_pointer(const uint8_t *e)
{
	struct blob *in = named(e + 4), *to = named(e + 60);
	uint32_t offset = get_le32(e + 116);
	uint64_t value;

	ck_assert_uint_eq(e[120], 8);
	ck_assert(in->data && to->data);
	ck_assert(range_within(offset, 8, 0, in->file->size_bytes));
	value = get_le64(in->data + offset);
	ck_assert_uint_lt(value, to->file->size_bytes);
	put_le64(in->data + offset, value + to->gpa);
}

/* As edk2 does it: what is in the place of the sum is summed up, too. */
static void add_checksum(const uint8_t *e)
{
	struct blob *b = named(e + 4);
	uint32_t at = get_le32(e + 60), first = get_le32(e + 64);
	uint32_t len = get_le32(e + 68);
	uint8_t sum = 0;

	ck_assert_ptr_nonnull(b->data);
	ck_assert(range_within(first, len, 0, b->file->size_bytes));
	ck_assert(range_within(at, 1, first, len));
	for (uint32_t i = 0; i < len; i++)
		sum += b->data[first + i];
	b->data[at] = (uint8_t)-sum;
}

static void run_script(void)
{
	const struct acpi_buf *s = &files.loader;

	ck_assert_uint_eq(s->size_bytes % 128, 0);
	for (size_t i = 0; i < s->size_bytes; i += 128) {
		const uint8_t *e = s->data + i;
		uint32_t command = get_le32(e);

		ck_assert(command >= 1 && command <= 3);
		if (command == 1)
			allocate(e);
		else if (command == 2)
			add_pointer(e);
		else
			add_checksum(e);
	}
	ck_assert(blobs[0].data && blobs[1].data);
}

/* ---- what it must come to ---- */

START_TEST(as_direct_boot)
{
	const struct acpi_area area[] = { { GPA(RSDP_GPA), ACPI_RSDP_BYTES },
					  { GPA(TABLES_GPA), MIB(4) } };
	struct arch_tables t = { .count = 0 };
	struct diag d = DIAG_INIT;
	uint64_t end = 0;

	setup_sample(_i);
	run_script();
	ck_assert_int_eq(acpi_build(&t, &p, area, 2, &d), 0);
	for (unsigned i = 0; i < t.count; i++) {
		const struct arch_table *one = &t.table[i];
		const struct blob *b = &blobs[i > 0];

		ck_assert_msg(range_within(one->gpa.v, one->size_bytes, b->gpa,
					   b->file->size_bytes),
			      "%s", one->name);
		ck_assert_msg(!memcmp(b->data + (one->gpa.v - b->gpa),
				      one->data, one->size_bytes),
			      "%s: %s differs", samples[_i].name, one->name);
		if (i)
			end = MAX(end, one->gpa.v + one->size_bytes);
	}
	ck_assert_uint_eq(blobs[0].file->size_bytes, ACPI_RSDP_BYTES);
	ck_assert_uint_eq(blobs[1].file->size_bytes, end - TABLES_GPA);
	arch_tables_release(&t);
}
END_TEST

/* Where they are, as an operating system finds them: RSDP, XSDT, all others. */
START_TEST(all_are_reached)
{
	const uint8_t *xsdt, *table;
	uint32_t len;

	setup_sample(_i);
	run_script();
	xsdt = blobs[1].data + (get_le64(blobs[0].data + 24) - TABLES_GPA);
	ck_assert_mem_eq(xsdt, "XSDT", 4);
	len = get_le32(xsdt + 4);
	for (uint32_t i = 36; i < len; i += 8) {
		table = blobs[1].data + (get_le64(xsdt + i) - TABLES_GPA);
		ck_assert_uint_eq(acpi_sum(table, get_le32(table + 4)), 0);
	}
	table = blobs[1].data + (get_le64(xsdt + 36) - TABLES_GPA);
	ck_assert_mem_eq(table, "FACP", 4);
	table = blobs[1].data + (get_le64(table + 140) - TABLES_GPA);
	ck_assert_mem_eq(table, "DSDT", 4);
	ck_assert_uint_eq(acpi_sum(blobs[0].data, 20), 0);
	ck_assert_uint_eq(acpi_sum(blobs[0].data, 36), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("acpi-loader");
	TCase *t = tcase_create("acpi-loader");

	tcase_add_checked_fixture(t, NULL, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, as_direct_boot, 0, (int)ARRAY_SIZE(samples));
	tcase_add_loop_test(t, all_are_reached, 0, (int)ARRAY_SIZE(samples));
	suite_add_tcase(s, t);
	return suite_run(s);
}
