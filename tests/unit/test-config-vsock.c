/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: --vsock: what is accepted, what is refused and with which sentence */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/config.h"
#include "vmm/schema.h"

#include "tests/unit/config-parse.h"
#include "tests/unit/suite.h"

#define X10  "xxxxxxxxxx"
#define X96  X10 X10 X10 X10 X10 X10 X10 X10 X10 "xxxxxx"
#define CIDS ": must be a number, 3 to 4294967294"

static const struct {
	const char *value, *sentence; /* NULL: accepted */
	uint32_t cid;
	const char *socket, *id;
} cases[] = {
	{ "cid=3,socket=/run/v", NULL, 3, "/run/v", "_vsock0" },
	{ "socket=v,cid=4294967294,id=talk", NULL, 4294967294, "v", "talk" },
	{ "cid=3,socket=" X96, NULL, 3, X96, "_vsock0" },
	{ "cid=3,socket=" X96 "x",
	  "--vsock socket=" X96 "x: longer than 96 bytes, which leave room for "
	  "_PORT",
	  0, NULL, NULL },
	{ "cid=2,socket=v", "--vsock cid=2" CIDS, 0, NULL, NULL },
	{ "cid=0,socket=v", "--vsock cid=0" CIDS, 0, NULL, NULL },
	{ "cid=4294967295,socket=v", "--vsock cid=4294967295" CIDS, 0, NULL,
	  NULL },
	{ "cid=4294967299,socket=v", "--vsock cid=4294967299" CIDS, 0, NULL,
	  NULL },
	{ "socket=v", "--vsock: needs cid=, 3 to 4294967294", 0, NULL, NULL },
	{ "cid=3", "--vsock: needs socket=PATH, or vhost=on", 0, NULL, NULL },
	{ "cid=3,vhost=on", NULL, 3, NULL, "_vsock0" },
	{ "cid=3,vhost=on,socket=v",
	  "--vsock vhost=on: has no socket: leave out socket=, or vhost=on", 0,
	  NULL, NULL },
	{ "vhost=on", "--vsock: needs cid=, 3 to 4294967294", 0, NULL, NULL },
	{ "cid=3,socket=v,iommu=on", "--vsock iommu: not supported yet", 0,
	  NULL, NULL },
	{ "cid=3,socket=v,id=__vsock",
	  "--vsock id=__vsock: names that begin with __ are the machine's own",
	  0, NULL, NULL },
};

START_TEST(values)
{
	struct diag d = DIAG_INIT;
	struct vm_config c;
	int err = config_parse(&c, "vsock", cases[_i].value, &d);

	if (cases[_i].sentence) {
		ck_assert_int_eq(err, -EINVAL);
		ck_assert_str_eq(d.text[0], cases[_i].sentence);
	} else {
		ck_assert_msg(!err, "%s", d.text[0]);
		ck_assert_uint_eq(c.vsock_count, 1);
		ck_assert_uint_eq(c.vsock->cid, cases[_i].cid);
		ck_assert_pstr_eq(c.vsock->socket, cases[_i].socket);
		ck_assert_int_eq(c.vsock->vhost, !cases[_i].socket);
		ck_assert_str_eq(c.vsock->id, cases[_i].id);
	}
	vm_config_release(&c);
}
END_TEST

START_TEST(only_one)
{
	struct diag d = DIAG_INIT;
	struct vm_config c;

	ck_assert_int_eq(config_parse(&c, "vsock", "cid=3,socket=v", &d), 0);
	ck_assert_int_eq(
		schema_parse(schema_find(&vm_config_schema, "vsock", 5),
			     "cid=4,socket=w", &c, &d),
		-EINVAL);
	vm_config_release(&c);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("config-vsock");
	TCase *tc = tcase_create("config-vsock");

	tcase_add_loop_test(tc, values, 0, ARRAY_SIZE(cases));
	tcase_add_test(tc, only_one);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return suite_run(suite());
}
