/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: --disk and --rate-limit-group: what is accepted, and each refusal */
#include <check.h>
#include <errno.h>
#include <string.h>

#include "vmm/config.h"
#include "vmm/schema.h"

#include "suite.h"

static struct vm_config config;

static void setup(void)
{
	ck_assert_int_eq(vm_config_init(&config, "x86_64", NULL), 0);
}

static void teardown(void)
{
	vm_config_release(&config);
}

/* The sentence, or NULL. */
static const char *give(const char *option, const char *value, struct diag *d)
{
	int err;

	if (!value)
		return NULL;
	err = schema_parse(
		schema_find(&vm_config_schema, option, strlen(option)), value,
		&config, d);
	return err ? d->text[0] : NULL;
}

static const struct {
	const char *disk, *second, *group, *sentence;
	bool shared;
} cases[] = {
	{ .disk = "path=a" },
	{ .disk = "path=a", .second = "path=b,readonly=on" },
	{ .disk = "path=a,image_type=qcow2,backing_files=on" },
	{ .disk = "path=a,num_queues=2,queue_affinity=[0@[1,2],1@[3-5]]" },
	{ .disk = "path=a,queue_size=2" },
	{ .disk = "path=a,queue_size=32768,num_queues=64" },
	{ .disk = "path=a,serial=12345678901234567890" },
	{ .disk = "path=a,bw_size=1M,bw_refill_time=100" },
	{ .disk = "path=a,rate_limit_group=g",
	  .second = "path=b,rate_limit_group=g",
	  .group = "id=g,ops_size=100,ops_refill_time=1000" },
	{ .disk = "path=a,lock_granularity=full,_disable_io_uring=on" },
	{ .disk = "vhost_user=on,socket=s,num_queues=2", .shared = true },
	{ .disk = "vhost_user=on,socket=s",
	  .sentence = "--disk: a vhost-user back end must see the guest's RAM: "
		      "give --memory shared=on" },
	{ .disk = "vhost_user=on",
	  .sentence = "--disk: socket= is missing: where does the back end "
		      "listen" },
	{ .disk = "path=a,socket=s",
	  .sentence = "--disk socket=s: works only with vhost_user=on" },
	{ .disk = "vhost_user=on,socket=s,path=a",
	  .sentence = "--disk vhost_user=on: path= is up to the back end: give "
		      "it there, not here" },
	{ .disk = "vhost_user=on,socket=s,ops_size=1,ops_refill_time=1",
	  .sentence = "--disk vhost_user=on: ops_size= is up to the back end: "
		      "give it there, not here" },
	{ .disk = "readonly=on", .sentence = "--disk: needs path=FILE" },
	{ .disk = "path=", .sentence = "--disk path=: must not be empty" },
	{ .disk = "path=a,image_type=vhd",
	  .sentence = "--disk path=a: image_type=vhd is not supported: convert "
		      "it, qemu-img convert -f vpc -O raw" },
	{ .disk = "path=a,image_type=vhdx",
	  .sentence = "--disk path=a: image_type=vhdx is not supported: "
		      "convert it, qemu-img convert -f vhdx -O raw" },
	{ .disk = "path=a,image_type=vmdk",
	  .sentence = "--disk path=a: image_type=vmdk is not supported: "
		      "convert it, qemu-img convert -f vmdk -O raw" },
	{ .disk = "path=a,image_type=iso",
	  .sentence = "--disk image_type=iso: must be raw, qcow2, vhd, vhdx or "
		      "vmdk" },
	{ .disk = "path=a,backing_files=on",
	  .sentence = "--disk path=a: backing_files=on: works only with "
		      "image_type=qcow2" },
	{ .disk = "path=a,num_queues=0",
	  .sentence = "--disk num_queues=0: must be a number, 1 to 64" },
	{ .disk = "path=a,num_queues=65",
	  .sentence = "--disk num_queues=65: must be a number, 1 to 64" },
	{ .disk = "path=a,queue_size=1",
	  .sentence = "--disk queue_size=1: must be a number, 2 to 32768" },
	{ .disk = "path=a,queue_size=65536",
	  .sentence = "--disk queue_size=65536: must be a number, 2 to 32768" },
	{ .disk = "path=a,queue_size=100",
	  .sentence = "--disk queue_size=100: must be a power of two, 2 to "
		      "32768" },
	{ .disk = "path=a,num_queues=2,queue_affinity=[2@[0]]",
	  .sentence = "--disk queue_affinity=[2@...]: there are only "
		      "num_queues=2, counted from 0" },
	{ .disk = "path=a,serial=123456789012345678901",
	  .sentence = "--disk serial=123456789012345678901: longer than 20 "
		      "characters" },
	{ .disk = "path=a,id=x",
	  .second = "path=b,id=x",
	  .sentence = "--disk id=x: another --disk has this name already" },
	{ .disk = "path=a,id=__x",
	  .sentence = "--disk id=__x: names that begin with __ are the "
		      "machine's own" },
	{ .disk = "path=a,bw_size=0",
	  .sentence = "--disk bw_size=0: must be a size such as 512M, 1 to "
		      "4611686018427387903" },
	{ .disk = "path=a,ops_size=0",
	  .sentence = "--disk ops_size=0: must be a number, 1 to "
		      "4611686018427387903" },
	{ .disk = "path=a,bw_size=1M",
	  .sentence = "--disk bw_size=1048576: also needs bw_refill_time=, in "
		      "milliseconds" },
	{ .disk = "path=a,rate_limit_group=g",
	  .sentence = "--disk rate_limit_group=g: there is no "
		      "--rate-limit-group id=g" },
	{ .disk = "path=a,rate_limit_group=g,ops_size=1,ops_refill_time=1",
	  .group = "id=g,ops_size=100,ops_refill_time=1000",
	  .sentence = "--disk rate_limit_group=g: has limits of its own "
		      "already; remove bw_ and ops_ keys" },
	{ .group = "ops_size=1,ops_refill_time=1",
	  .sentence = "--rate-limit-group: needs id=NAME" },
	{ .group = "id=g",
	  .sentence = "--rate-limit-group id=g: limits nothing: needs bw_size "
		      "or ops_size" },
	{ .disk = "path=a,iommu=on",
	  .sentence = "--disk iommu: not supported yet" },
	{ .disk = "path=a,redonly=on",
	  .sentence = "--disk redonly: there is no such key; the nearest is "
		      "readonly" },
};

START_TEST(test_case)
{
	struct diag d = DIAG_INIT;
	const char *fault = give("disk", cases[_i].disk, &d);

	config.memory.shared = cases[_i].shared;
	if (!fault)
		fault = give("disk", cases[_i].second, &d);
	if (!fault)
		fault = give("rate-limit-group", cases[_i].group, &d);
	if (!fault && (vm_config_complete(&config, &d) ||
		       vm_config_check(&config, "x86_64", &d)))
		fault = d.text[0];
	if (cases[_i].sentence)
		ck_assert_str_eq(fault, cases[_i].sentence);
	else
		ck_assert_msg(!fault, "%s", fault);
}
END_TEST

START_TEST(test_group_twice)
{
	static const char group[] = "id=g,ops_size=1,ops_refill_time=1";
	struct diag d = DIAG_INIT;

	ck_assert_ptr_null(give("rate-limit-group", group, &d));
	ck_assert_ptr_null(give("rate-limit-group", group, &d));
	ck_assert_int_eq(vm_config_complete(&config, &d), 0);
	ck_assert_int_eq(vm_config_check(&config, "x86_64", &d), -EINVAL);
	ck_assert_str_eq(d.text[0],
			 "--rate-limit-group id=g: there is one already");
}
END_TEST

START_TEST(test_defaults)
{
	const struct disk_config *k;
	struct diag d = DIAG_INIT;

	ck_assert_ptr_null(give("disk", "path=a", &d));
	ck_assert_ptr_null(give("disk", "path=b", &d));
	ck_assert_int_eq(vm_config_complete(&config, &d), 0);
	ck_assert_uint_eq(config.disk_count, 2);
	k = &config.disks[1];
	ck_assert_str_eq(k->id, "_disk1");
	ck_assert_str_eq(k->path, "b");
	ck_assert_int_eq(k->image_type, DISK_UNTYPED);
	ck_assert_int_eq(k->lock_granularity, LOCK_BYTE_RANGE);
	ck_assert(!k->readonly && !k->direct && !k->backing_files);
	ck_assert(k->sparse);
	ck_assert_uint_eq(k->num_queues, 1);
	ck_assert_uint_eq(k->queue_size, 128);
	ck_assert_ptr_null(k->serial);
}
END_TEST

static Suite *disk_suite(void)
{
	Suite *s = suite_create("config-disk");
	TCase *t = tcase_create("options");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, test_case, 0, ARRAY_SIZE(cases));
	tcase_add_test(t, test_group_twice);
	tcase_add_test(t, test_defaults);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return suite_run(disk_suite());
}
