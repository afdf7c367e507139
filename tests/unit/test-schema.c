/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: options that are given several times, and lists of numbers and words, on
 * a schema of the test's own */
#include <errno.h>
#include <stdlib.h>

#include "vmm/config.h"
#include "vmm/schema.h"

#include "suite.h"

struct thing {
	char *id;
	uint32_t size;
	uint64_t big;
	struct u32_list fds;
	struct affinity_list cpus;
	struct pair_list far;
	struct word_list words;
};

struct things {
	struct thing *thing;
	unsigned thing_count;
	struct thing *only;
	unsigned only_count;
};

#define ITEM_KEY(key, kind, field) \
	.name = key, .type = kind, .offset = offsetof(struct thing, field)

static const struct schema_key thing_keys[] = {
	{ ITEM_KEY("id", SCHEMA_STRING, id) },
	{ ITEM_KEY("size", SCHEMA_U32, size), .min = 1, .max = 9,
	  .preset = "4" },
	{ ITEM_KEY("big", SCHEMA_U64, big), .max = UINT64_MAX },
	{ ITEM_KEY("fd", SCHEMA_U32S, fds), .max = 100 },
	{ ITEM_KEY("cpus", SCHEMA_AFFINITY, cpus), .max = 1023 },
	{ ITEM_KEY("far", SCHEMA_PAIRS, far), .min = 10, .max = 254 },
	{ ITEM_KEY("words", SCHEMA_WORDS, words) },
};

static const struct schema_option thing_option = {
	.name = "thing",
	.key = thing_keys,
	.key_count = ARRAY_SIZE(thing_keys),
	.list = true,
	.most = 3,
	.items_offset = offsetof(struct things, thing),
	.count_offset = offsetof(struct things, thing_count),
	.item_bytes = sizeof(struct thing),
};

static const struct schema_option only_option = {
	.name = "only",
	.key = thing_keys,
	.key_count = ARRAY_SIZE(thing_keys),
	.list = true,
	.most = 1,
	.items_offset = offsetof(struct things, only),
	.count_offset = offsetof(struct things, only_count),
	.item_bytes = sizeof(struct thing),
};

static const struct schema_option *const options[] = { &thing_option,
						       &only_option };
static const struct schema schema = { options, ARRAY_SIZE(options) };

static struct things things;
static struct diag d;

static void setup(void)
{
	things = (struct things){ .thing = NULL };
	d = DIAG_INIT;
	ck_assert_int_eq(schema_init(&schema, &things, "x86_64", &d), 0);
}

static void teardown(void)
{
	schema_release(&schema, &things);
	ck_assert_ptr_null(things.thing);
	ck_assert_uint_eq(things.thing_count, 0);
}

static int give(const struct schema_option *o, const char *value)
{
	return schema_parse(o, value, &things, &d);
}

static void expect_printed(unsigned index, const char *expected)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	schema_print(&thing_option, &things, index, f);
	ck_assert_int_eq(fclose(f), 0);
	ck_assert_str_eq(text, expected);
	free(text);
}

START_TEST(test_items)
{
	ck_assert_uint_eq(schema_count(&thing_option, &things), 0);
	ck_assert_int_eq(give(&thing_option, "id=a,size=2"), 0);
	ck_assert_int_eq(give(&thing_option, "id=b"), 0);
	ck_assert_uint_eq(schema_count(&thing_option, &things), 2);
	ck_assert_str_eq(things.thing[0].id, "a");
	ck_assert_uint_eq(things.thing[0].size, 2);
	ck_assert_uint_eq(things.thing[1].size, 4); /* the default */
	expect_printed(1, "id=b,size=4,big=0");
	ck_assert_int_eq(schema_check(&schema, &things, "arm64", &d), 0);
	things.thing[1].size = 10;
	ck_assert_int_eq(schema_check(&schema, &things, "arm64", &d), -EINVAL);
	ck_assert_str_eq(d.text[0],
			 "--thing size=10: must be a number, 1 to 9");
}
END_TEST

START_TEST(test_too_many)
{
	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(give(&thing_option, "size=1"), 0);
	ck_assert_int_eq(give(&thing_option, "size=1"), -EINVAL);
	ck_assert_str_eq(d.text[0], "--thing: given more than 3 times");
	d = DIAG_INIT;
	ck_assert_int_eq(give(&only_option, "size=1"), 0);
	ck_assert_int_eq(give(&only_option, "size=1"), -EINVAL);
	ck_assert_str_eq(d.text[0], "--only: given twice");
}
END_TEST

static const struct {
	const char *value, *printed;
} lists[] = {
	{ "fd=7", "size=4,big=0,fd=[7]" },
	{ "fd=[3,5-7]", "size=4,big=0,fd=[3,5,6,7]" },
	{ "fd=[3],fd=[]", NULL },
	{ "fd=[]", NULL },
	{ "fd=[3", NULL },
	{ "fd=3,4", NULL },
	{ "fd=[3,]", NULL },
	{ "fd=[7-5]", NULL },
	{ "fd=[101]", NULL },
	{ "fd=[1]x", NULL },
	{ "big=18446744073709551615", "size=4,big=18446744073709551615" },
	{ "big=18446744073709551616", NULL },
	{ "big=4K", NULL },
	{ "cpus=[0@[1,2],1@[3-5]]", "size=4,big=0,cpus=[0@[1,2],1@[3,4,5]]" },
	{ "cpus=[2@7]", "size=4,big=0,cpus=[2@[7]]" },
	{ "cpus=0@[1]", NULL },
	{ "cpus=[0@]", NULL },
	{ "cpus=[0@[1]", NULL },
	{ "cpus=[0@[1024]]", NULL },
	{ "cpus=[0@[1],]", NULL },
	{ "cpus=[]", NULL },
	{ "cpus=[1024@[1]]", NULL },
	{ "far=[1@20,2@254]", "size=4,big=0,far=[1@20,2@254]" },
	{ "far=0@10", "size=4,big=0,far=[0@10]" },
	{ "far=[1@9]", NULL },
	{ "far=[1@255]", NULL },
	{ "far=[1@20,]", NULL },
	{ "far=[1024@20]", NULL },
	{ "far=[20]", NULL },
	{ "far=1@20x", NULL },
	{ "words=a", "size=4,big=0,words=[a]" },
	{ "words=[a,b-c,d]", "size=4,big=0,words=[a,b-c,d]" },
	{ "words=[a,,b]", NULL },
	{ "words=[]", NULL },
	{ "words=[a][b]", NULL },
};

START_TEST(test_lists)
{
	int ret = give(&thing_option, lists[_i].value);

	ck_assert_int_eq(ret, lists[_i].printed ? 0 : -EINVAL);
	if (lists[_i].printed)
		expect_printed(0, lists[_i].printed);
	else
		ck_assert_uint_eq(d.depth, 1);
}
END_TEST

/* What is printed can be read again, whatever replaced it before. */
START_TEST(test_again)
{
	static const char all[] = "size=4,big=0,fd=[1,2,3],cpus=[0@[1,2]],"
				  "far=[3@20],words=[a,b]";

	ck_assert_int_eq(give(&thing_option, "cpus=[0@[1,2]],fd=[1-3],"
					     "words=[a,b],far=3@20"),
			 0);
	ck_assert_int_eq(give(&thing_option, all), 0);
	expect_printed(0, all);
	expect_printed(1, all);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("schema");
	TCase *t = tcase_create("schema");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_items);
	tcase_add_test(t, test_too_many);
	tcase_add_loop_test(t, test_lists, 0, ARRAY_SIZE(lists));
	tcase_add_test(t, test_again);
	suite_add_tcase(s, t);
	return suite_run(s);
}
