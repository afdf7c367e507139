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
#include "tests/unit/acpi-consumer.h"
#include "tests/unit/platforms.h"
#include "tests/unit/suite.h"

#define RSDP_GPA   UINT64_C(0x7fff1230)
#define TABLES_GPA UINT64_C(0x7ffe0440)

static struct platform p;
static struct acpi_files files;
static struct consumer mem;

/* What is in the memory of a file, or NULL. */
static struct consumer_file *const rsdp = &mem.file[0];
static struct consumer_file *const tables = &mem.file[1];

static void setup_sample(int n)
{
	struct diag d = DIAG_INIT;

	sample_make(&p, &samples[n]);
	p.tables = TABLES_ACPI;
	ck_assert_msg(!acpi_files_build(&files, &p, &d), "%s: %s",
		      samples[n].name, d.text[0]);
	consumer_add(&mem, "etc/acpi/rsdp", files.rsdp.data,
		     files.rsdp.size_bytes, RSDP_GPA);
	consumer_add(&mem, "etc/acpi/tables", files.tables.data,
		     files.tables.size_bytes, TABLES_GPA);
}

static void teardown(void)
{
	consumer_release(&mem);
	acpi_files_release(&files);
	platform_release(&p);
}

static void run_script(void)
{
	const char *wrong =
		consumer_run(&mem, files.loader.data, files.loader.size_bytes);

	ck_assert_msg(!wrong, "%s", wrong);
	ck_assert(rsdp->data && tables->data);
	ck_assert_uint_eq(rsdp->zone, 2);
	ck_assert_uint_eq(tables->zone, 1);
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
		const struct consumer_file *f = &mem.file[i > 0];

		ck_assert_msg(range_within(one->gpa.v, one->size_bytes, f->gpa,
					   f->size_bytes),
			      "%s", one->name);
		ck_assert_msg(!memcmp(f->data + (one->gpa.v - f->gpa),
				      one->data, one->size_bytes),
			      "%s: %s differs", samples[_i].name, one->name);
		if (i)
			end = MAX(end, one->gpa.v + one->size_bytes);
	}
	ck_assert_uint_eq(rsdp->size_bytes, ACPI_RSDP_BYTES);
	ck_assert_uint_eq(tables->size_bytes, end - TABLES_GPA);
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
	xsdt = tables->data + (get_le64(rsdp->data + 24) - TABLES_GPA);
	ck_assert_mem_eq(xsdt, "XSDT", 4);
	len = get_le32(xsdt + 4);
	for (uint32_t i = 36; i < len; i += 8) {
		table = tables->data + (get_le64(xsdt + i) - TABLES_GPA);
		ck_assert_uint_eq(acpi_sum(table, get_le32(table + 4)), 0);
	}
	table = tables->data + (get_le64(xsdt + 36) - TABLES_GPA);
	ck_assert_mem_eq(table, "FACP", 4);
	table = tables->data + (get_le64(table + 140) - TABLES_GPA);
	ck_assert_mem_eq(table, "DSDT", 4);
	ck_assert_uint_eq(acpi_sum(rsdp->data, 20), 0);
	ck_assert_uint_eq(acpi_sum(rsdp->data, 36), 0);
}
END_TEST

/* ---- the consumer itself ---- */

/* One byte of a good script is another: by entry, place and value. */
static const struct damage {
	unsigned entry, at;
	uint8_t value;
	const char *says;
} damages[] = {
	{ 0, 0, 9, "unknown command" },
	{ 0, 0, 0, "unknown command" },
	{ 0, 4, 'x', "allocates a file that does not exist" },
	{ 0, 60, 3, "alignment" },
	{ 0, 60, 0, "alignment" },
	{ 0, 62, 1, "alignment" },
	{ 0, 64, 3, "zone" },
	{ 1, 13, 0, "allocates a file that does not exist" },
	{ 2, 4, 'x', "pointer between files that are not there" },
	{ 2, 60, 'x', "pointer between files that are not there" },
	{ 2, 120, 3, "size of a pointer" },
	{ 2, 120, 16, "size of a pointer" },
	{ 2, 120, 2, "pointer that is too small" },
	{ 2, 119, 1, "pointer outside of its file" },
	{ 2, 116, 0, "pointer to what is behind its file" },
};

START_TEST(refuses_a_damaged_script)
{
	const struct damage *bad = &damages[_i];
	const char *wrong;

	setup_sample(0);
	files.loader.data[bad->entry * CONSUMER_ENTRY + bad->at] = bad->value;
	wrong = consumer_run(&mem, files.loader.data, files.loader.size_bytes);
	ck_assert_ptr_nonnull(wrong);
	ck_assert_str_eq(wrong, bad->says);
}
END_TEST

/* The last entry is a checksum. */
START_TEST(refuses_a_damaged_checksum)
{
	static const struct damage bad[] = {
		{ 0, 4, 'x', "checksum of a file that is not there" },
		{ 0, 63, 1, "checksum outside of what it is of" },
		{ 0, 67, 1, "checksum of what is outside of the file" },
		{ 0, 71, 1, "checksum of what is outside of the file" },
	};
	uint8_t *last;
	const char *wrong;

	setup_sample(0);
	last = files.loader.data + files.loader.size_bytes - CONSUMER_ENTRY;
	ck_assert_uint_eq(get_le32(last), 3);
	last[bad[_i].at] = bad[_i].value;
	wrong = consumer_run(&mem, files.loader.data, files.loader.size_bytes);
	ck_assert_ptr_nonnull(wrong);
	ck_assert_str_eq(wrong, bad[_i].says);
}
END_TEST

START_TEST(refuses_what_is_out_of_order)
{
	const uint8_t *script;

	setup_sample(0);
	script = files.loader.data;
	ck_assert_ptr_nonnull(consumer_run(&mem, script + 2 * CONSUMER_ENTRY,
					   CONSUMER_ENTRY));
	ck_assert_ptr_nonnull(consumer_run(&mem, script, CONSUMER_ENTRY + 1));
	ck_assert_ptr_null(consumer_run(&mem, script, CONSUMER_ENTRY));
	ck_assert_str_eq(consumer_run(&mem, script, CONSUMER_ENTRY),
			 "allocates a file twice");
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
	tcase_add_loop_test(t, refuses_a_damaged_script, 0,
			    (int)ARRAY_SIZE(damages));
	tcase_add_loop_test(t, refuses_a_damaged_checksum, 0, 4);
	tcase_add_test(t, refuses_what_is_out_of_order);
	suite_add_tcase(s, t);
	return suite_run(s);
}
