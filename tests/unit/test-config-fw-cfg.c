/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: --fw-cfg-config: what is accepted, what is refused and with which
 * sentence */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/config.h"
#include "vmm/schema.h"

#include "tests/unit/config-parse.h"
#include "tests/unit/suite.h"

#define N11	   "nnnnnnnnnnn"
#define N55	   N11 N11 N11 N11 N11
#define BRACKETS   ": must be [name=NAME,file=FILE:...], in brackets"
#define EACH	   ": each item must have one name=, and one of file= and string="
#define ITEM(name) "--fw-cfg-config items=[name=" name "]"
#define OWN	   ": is the machine's own: give another, such as opt/NAME"

static const struct {
	const char *value, *sentence; /* NULL: accepted */
	unsigned items;
} cases[] = {
	{ "e820=on", NULL, 0 },
	{ "items=[name=opt/a,file=/f]", NULL, 1 },
	{ "items=[name=opt/a,string=x:file=b,name=opt/b],e820=off", NULL, 2 },
	{ "items=[name=" N55 ",string=x]", NULL, 1 },
	{ "items=[name=" N55 "n,string=x]",
	  ITEM(N55 "n") ": is longer than 55 characters", 0 },
	{ "items=[name=etc/e820,string=x],e820=off", NULL, 1 },
	{ "items=[name=etc/e820,string=x]", ITEM("etc/e820") OWN, 0 },
	{ "items=[name=etc/table-loader,string=x]",
	  ITEM("etc/table-loader") OWN, 0 },
	{ "items=[name=etc/smbios/smbios-anchor,string=x]",
	  ITEM("etc/smbios/smbios-anchor") OWN, 0 },
	{ "items=[name=etc/smbios/smbios-tables,string=x]",
	  ITEM("etc/smbios/smbios-tables") OWN, 0 },
	{ "items=[name=etc/acpi/rsdp,string=x]", ITEM("etc/acpi/rsdp") OWN, 0 },
	{ "items=[name=etc/acpi/tables,string=x]", ITEM("etc/acpi/tables") OWN,
	  0 },
	{ "acpi_table=off,items=[name=etc/acpi/tables,string=x]", NULL, 1 },
	{ "items=[name=a,string=x:name=b,string=y:name=a,file=z]",
	  ITEM("a") ": given twice", 0 },
	{ "items=[name=a b,string=x]",
	  ITEM("a b") ": must be printable ASCII without spaces", 0 },
	{ "items=[name=\xc3\xa9,string=x]",
	  ITEM("\xc3\xa9") ": must be printable ASCII without spaces", 0 },
	{ "items=x", "--fw-cfg-config items=x" BRACKETS, 0 },
	{ "items=[]", "--fw-cfg-config items=[]" EACH, 0 },
	{ "items=[name=a]", "--fw-cfg-config items=[name=a]" EACH, 0 },
	{ "items=[file=a]", "--fw-cfg-config items=[file=a]" EACH, 0 },
	{ "items=[name=a,file=b,string=c]",
	  "--fw-cfg-config items=[name=a,file=b,string=c]" EACH, 0 },
	{ "items=[name=a,name=b,string=c]",
	  "--fw-cfg-config items=[name=a,name=b,string=c]" EACH, 0 },
	{ "items=[name=a,string=]",
	  "--fw-cfg-config items=[name=a,string=]" EACH, 0 },
	{ "items=[name=a,text=b]", "--fw-cfg-config items=[name=a,text=b]" EACH,
	  0 },
	{ "items=[name=a,string=b:]",
	  "--fw-cfg-config items=[name=a,string=b:]" EACH, 0 },
	{ "disable,items=[name=a,string=b]",
	  "--fw-cfg-config disable: has no items", 0 },
};

START_TEST(values)
{
	struct fw_cfg_given *g = NULL;
	struct diag d = DIAG_INIT;
	struct vm_config c;
	int err = config_parse(&c, "fw-cfg-config", cases[_i].value, &d);

	if (cases[_i].sentence) {
		ck_assert_int_eq(err, -EINVAL);
		ck_assert_str_eq(d.text[0], cases[_i].sentence);
	} else {
		ck_assert_msg(!err, "%s", d.text[0]);
		ck_assert_ptr_eq(vm_config_fw_cfg(&c, false), c.fw_cfg);
	}
	if (cases[_i].items) {
		ck_assert_int_eq(fw_cfg_given_new(&g, c.fw_cfg->items, &d), 0);
		ck_assert_uint_eq(g->count, cases[_i].items);
	}
	fw_cfg_given_free(g);
	vm_config_release(&c);
}
END_TEST

START_TEST(items)
{
	struct fw_cfg_given *g;
	struct diag d = DIAG_INIT;

	ck_assert_int_eq(
		fw_cfg_given_new(&g, "[name=a/b,string=c=d:file=/e f,name=g]",
				 &d),
		0);
	ck_assert_uint_eq(g->count, 2);
	ck_assert_str_eq(g->item[0].name, "a/b");
	ck_assert_str_eq(g->item[0].string, "c=d");
	ck_assert_ptr_null(g->item[0].file);
	ck_assert_int_eq(g->item[0].fd, -1);
	ck_assert_str_eq(g->item[1].name, "g");
	ck_assert_str_eq(g->item[1].file, "/e f");
	ck_assert_ptr_null(g->item[1].string);
	fw_cfg_given_free(g);
}
END_TEST

START_TEST(too_many_items)
{
	char text[65 * 20] = "[", *at = text + 1;
	struct fw_cfg_given *g;
	struct diag d = DIAG_INIT;

	for (unsigned i = 0; i < 64; i++)
		at += sprintf(at, "%sname=%u,string=x", i ? ":" : "", i);
	strcpy(at, "]");
	ck_assert_int_eq(fw_cfg_given_new(&g, text, &d), 0);
	ck_assert_uint_eq(g->count, 64);
	fw_cfg_given_free(g);
	strcpy(at, ":name=64,string=x]");
	ck_assert_int_eq(fw_cfg_given_new(&g, text, &d), -EINVAL);
	ck_assert_ptr_nonnull(strstr(d.text[0], ": more than 64 items"));
}
END_TEST

START_TEST(who_has_it)
{
	static char vars[] = "v";
	struct vm_config c = { .firmware = NULL };
	struct fw_cfg_config f = { .disable = true };

	ck_assert_ptr_null(vm_config_fw_cfg(&c, false));
	ck_assert_ptr_nonnull(vm_config_fw_cfg(&c, true));
	c.firmware_vars = vars;
	ck_assert_ptr_nonnull(vm_config_fw_cfg(&c, false));
	ck_assert(vm_config_fw_cfg(&c, false)->e820);
	ck_assert(vm_config_fw_cfg(&c, false)->kernel);
	ck_assert(vm_config_fw_cfg(&c, false)->cmdline);
	ck_assert(vm_config_fw_cfg(&c, false)->initramfs);
	ck_assert(vm_config_fw_cfg(&c, false)->acpi_table);
	c.fw_cfg = &f;
	c.fw_cfg_count = 1;
	ck_assert_ptr_null(vm_config_fw_cfg(&c, false));
	ck_assert_ptr_null(vm_config_fw_cfg(&c, true));
	f.disable = false;
	ck_assert_ptr_eq(vm_config_fw_cfg(&c, false), &f);
}
END_TEST

/* ---- --firmware with --kernel ---- */

#define ONLY(option)                                                      \
	"--firmware and --" option                                        \
	": firmware gets it by fw_cfg only: give --fw-cfg-config " option \
	"=on, if this firmware looks there (AAVMF and OVMF do, "          \
	"CLOUDHV.fd does not)"
#define FOR(option)                                          \
	"--firmware and --" option                           \
	": are for a --kernel; without one, firmware finds " \
	"all on a --disk"

static const struct {
	bool kernel, cmdline, initramfs, vars;
	const char *config, *sentence; /* NULL: none; accepted */
} boots[] = {
	{ .vars = true },
	{ .kernel = true, .vars = true },
	{ .kernel = true, .cmdline = true, .initramfs = true, .vars = true },
	{ .kernel = true, .config = "e820=on" },
	{ .kernel = true, .config = "cmdline=off,initramfs=off" },
	{ .kernel = true, .sentence = ONLY("kernel") },
	{ .kernel = true,
	  .vars = true,
	  .config = "disable",
	  .sentence = ONLY("kernel") },
	{ .kernel = true,
	  .vars = true,
	  .config = "kernel=off",
	  .sentence = ONLY("kernel") },
	{ .kernel = true,
	  .cmdline = true,
	  .config = "cmdline=off",
	  .sentence = ONLY("cmdline") },
	{ .kernel = true,
	  .initramfs = true,
	  .config = "initramfs=off",
	  .sentence = ONLY("initramfs") },
	{ .cmdline = true, .vars = true, .sentence = FOR("cmdline") },
	{ .initramfs = true, .vars = true, .sentence = FOR("initramfs") },
};

static void give(struct vm_config *c, const char *name, const char *value)
{
	const struct schema_option *o =
		schema_find(&vm_config_schema, name, strlen(name));

	ck_assert_int_eq(schema_parse(o, value, c, NULL), 0);
}

START_TEST(firmware_and_kernel)
{
	struct diag d = DIAG_INIT;
	struct vm_config c;
	int err;

	ck_assert_int_eq(vm_config_init(&c, "arm64", &d), 0);
	give(&c, "firmware", "f");
	if (boots[_i].vars)
		give(&c, "firmware-vars", "v");
	if (boots[_i].kernel)
		give(&c, "kernel", "k");
	if (boots[_i].cmdline)
		give(&c, "cmdline", "c");
	if (boots[_i].initramfs)
		give(&c, "initramfs", "i");
	if (boots[_i].config)
		give(&c, "fw-cfg-config", boots[_i].config);
	ck_assert_int_eq(vm_config_complete(&c, &d), 0);
	err = vm_config_check(&c, "arm64", &d);
	ck_assert_int_eq(err, boots[_i].sentence ? -EINVAL : 0);
	if (err)
		ck_assert_str_eq(d.text[0], boots[_i].sentence);
	vm_config_release(&c);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("config-fw-cfg");
	TCase *t = tcase_create("config-fw-cfg");

	tcase_add_loop_test(t, values, 0, (int)ARRAY_SIZE(cases));
	tcase_add_test(t, items);
	tcase_add_test(t, too_many_items);
	tcase_add_test(t, who_has_it);
	tcase_add_loop_test(t, firmware_and_kernel, 0, (int)ARRAY_SIZE(boots));
	suite_add_tcase(s, t);
	return suite_run(s);
}
