/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: what the host's sysfs says of its caches, also when it is odd */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "vmm/caches.h"

#include "tests/unit/suite.h"

static char dir[] = "/tmp/test-caches-XXXXXX";

static void write_text(unsigned index, const char *name, const char *text)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/index%u", dir, index);
	mkdir(path, 0777);
	snprintf(path, sizeof(path), "%s/index%u/%s", dir, index, name);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

static void setup(void)
{
	strcpy(dir + strlen(dir) - 6, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void teardown(void)
{
	char command[64];

	snprintf(command, sizeof(command), "rm -r %s", dir);
	ck_assert_int_eq(system(command), 0);
}

static void write_cache(unsigned index, const char *level, const char *type,
			const char *size)
{
	write_text(index, "level", level);
	write_text(index, "type", type);
	write_text(index, "size", size);
	write_text(index, "coherency_line_size", "64\n");
	write_text(index, "number_of_sets", "128\n");
	write_text(index, "ways_of_associativity", "8\n");
}

START_TEST(test_usual)
{
	struct cache_level c[CACHE_LEVELS] = { 0 };

	write_cache(0, "1\n", "Data\n", "48K\n");
	write_cache(1, "1\n", "Instruction\n", "32K\n");
	write_cache(2, "2\n", "Unified\n", "1024K\n");
	write_cache(3, "3\n", "Unified\n", "33554432\n");
	caches_read(c, dir);
	ck_assert_uint_eq(c[0].data.size_bytes, KIB(48));
	ck_assert_uint_eq(c[0].code.size_bytes, KIB(32));
	ck_assert_uint_eq(c[0].code.line_bytes, 64);
	ck_assert_uint_eq(c[0].code.sets, 128);
	ck_assert_uint_eq(c[0].code.ways, 8);
	ck_assert_uint_eq(c[1].data.size_bytes, MIB(1));
	ck_assert_uint_eq(c[1].code.size_bytes, 0);
	ck_assert_uint_eq(c[2].data.size_bytes, MIB(32));
	ck_assert_uint_eq(c[3].data.size_bytes, 0);
}
END_TEST

static const struct {
	const char *level, *type, *size;
	uint32_t bytes; /* of level 1's data */
} odd[] = {
	{ "1", "Data", "", 0 },
	{ "1", "Data", "-5K", 0 },
	{ "1", "Data", "4194304K", 0 },
	{ "1", "Data", "4194303K", UINT32_MAX - 1023 },
	{ "1", "Data", "99999999999999999999999999", 0 },
	{ "1", "Data", "123456789012345678901234567890123456789012345K", 0 },
	{ "1", "Data", "18014398509481985K", 0 },
	{ "1", "data", "64K", 0 },
	{ "0", "Data", "64K", 0 },
	{ "8", "Data", "64K", 0 },
	{ "-1", "Data", "64K", 0 },
	{ "x", "Data", "64K", 0 },
};

START_TEST(test_odd)
{
	struct cache_level c[CACHE_LEVELS] = { 0 };

	write_cache(0, odd[_i].level, odd[_i].type, odd[_i].size);
	caches_read(c, dir);
	ck_assert_uint_eq(c[0].data.size_bytes, odd[_i].bytes);
	for (unsigned i = 1; i < CACHE_LEVELS; i++)
		ck_assert_uint_eq(c[i].data.size_bytes, 0);
}
END_TEST

START_TEST(test_nothing)
{
	struct cache_level c[CACHE_LEVELS] = { 0 }, zero[CACHE_LEVELS] = { 0 };

	caches_read(c, "/nonexistent");
	ck_assert_mem_eq(c, zero, sizeof(c));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("caches");
	TCase *t = tcase_create("caches");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_usual);
	tcase_add_loop_test(t, test_odd, 0, ARRAY_SIZE(odd));
	tcase_add_test(t, test_nothing);
	suite_add_tcase(s, t);
	return suite_run(s);
}
