/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: what is given back once the guest runs, and what must stay. */
#include <check.h>
#include <stdbool.h>
#include <stdio.h>

#include "vmm/footprint.h"

#include "tests/unit/suite.h"

#define CONSTANT_BYTES (1 << 20)

/* Not zero, or it were in .bss; of its own, so that little else is there. */
static const char constant[CONSTANT_BYTES] = { 1, [CONSTANT_BYTES - 1] = 2 };
static char written[CONSTANT_BYTES] = { 3 };
static const char *const relocated[] = { constant, written };

/* KiB of @address's mapping that are resident, from /proc/self/smaps. */
static long resident_kib(const void *address)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	unsigned long start, end, at = (unsigned long)address;
	char line[512];
	bool here = false;
	long kib = -1;

	ck_assert_ptr_nonnull(f);
	while (kib < 0 && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			here = at >= start && at < end;
		else if (here)
			sscanf(line, "Rss: %ld kB", &kib);
	}
	fclose(f);
	return kib;
}

static int sum(const char *bytes)
{
	int n = 0;

	for (int i = 0; i < CONSTANT_BYTES; i += 1024)
		n += ((const volatile char *)bytes)[i];
	return n + bytes[CONSTANT_BYTES - 1];
}

START_TEST(constants_go_and_come_back)
{
	ck_assert_int_eq(sum(constant), 3);
	ck_assert_int_ge(resident_kib(constant), CONSTANT_BYTES / 1024);
	footprint_trim();
	ck_assert_int_lt(resident_kib(constant), CONSTANT_BYTES / 1024);
	ck_assert_int_eq(sum(constant), 3);
}
END_TEST

START_TEST(what_was_written_stays)
{
	written[CONSTANT_BYTES - 1] = 4;
	footprint_trim();
	ck_assert_int_eq(sum(written), 7);
	ck_assert_ptr_eq(relocated[0], constant);
	ck_assert_ptr_eq(relocated[1], written);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("footprint");
	TCase *tc = tcase_create("footprint");

	tcase_add_test(tc, constants_go_and_come_back);
	tcase_add_test(tc, what_was_written_stays);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
