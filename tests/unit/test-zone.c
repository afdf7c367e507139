/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: memory zones: the sentences about bad ones, where layouts put them, and
 * what the guest's RAM is then made of
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arch/arch.h"
#include "arch/fake/fake.h"
#include "vmm/config.h"
#include "vmm/schema.h"
#include "vmm/zone.h"

#include "tests/unit/suite.h"

static const struct host_caps caps = {
	.pa_bits = 46,
	.vcpus_max = 4096,
	.gicv3 = true,
	.ext_dest_id = true,
	.page_size_bytes = 4096,
};

struct rig {
	struct vm_config cfg;
	struct platform p;
	struct guest_ram ram;
	struct diag d;
};

static void give(struct rig *r, const char *name, const char *value)
{
	const struct schema_option *o =
		schema_find(&vm_config_schema, name, strlen(name));

	ck_assert_msg(!schema_parse(o, value, &r->cfg, &r->d), "%s",
		      r->d.text[0]);
}

/* A configuration with @memory and @zones, which end with NULL; its check */
static int rig_make(struct rig *r, const char *arch, const char *memory,
		    const char *const *zones)
{
	memset(r, 0, sizeof(*r));
	ck_assert_int_eq(vm_config_init(&r->cfg, arch, &r->d), 0);
	if (memory)
		give(r, "memory", memory);
	for (; *zones; zones++)
		give(r, "memory-zone", *zones);
	ck_assert_int_eq(vm_config_complete(&r->cfg, &r->d), 0);
	return vm_config_check(&r->cfg, arch, &r->d);
}

static void rig_free(struct rig *r)
{
	ram_release(&r->ram);
	platform_release(&r->p);
	vm_config_release(&r->cfg);
}

/* ---- refused ------------------------------------------------------------ */

static const struct {
	const char *memory, *zones[4], *sentence;
} refused[] = {
	{ "size=0",
	  { NULL },
	  "--memory size=0: must be at least 1M, or 0 with --memory-zone" },
	{ NULL,
	  { "id=a,size=1M" },
	  "--memory size=536870912: must be 0 with --memory-zone, whose sizes "
	  "make up the RAM" },
	{ "size=0,shared=on",
	  { "id=a,size=1M" },
	  "--memory shared=on: with --memory-zone, each zone says that "
	  "itself" },
	{ "size=0,prefault=on",
	  { "id=a,size=1M" },
	  "--memory prefault=on: with --memory-zone, each zone says that "
	  "itself" },
	{ "0", { "size=1M" }, "--memory-zone: has no id=: name the zone" },
	{ "0",
	  { "id=\"a,b\",size=1M" },
	  "--memory-zone id=a,b: must be at most 63 characters and none of "
	  ",[]" },
	{ "0",
	  { "id=a,size=1M", "id=b,size=1M", "id=a,size=1M" },
	  "--memory-zone id=a: given twice" },
	{ "0",
	  { "id=a" },
	  "--memory-zone size=0: must be a size such as 512M, 4K to 4096T" },
	{ "0",
	  { "id=a,size=1048577" },
	  "--memory-zone id=a,size=1048577: must be a multiple of 4K; the "
	  "next one is 1052672" },
	{ "0",
	  { "id=a,size=1M,mergeable=on,shared=on" },
	  "--memory-zone id=a,mergeable=on: does not work with shared=on, "
	  "whose pages KSM never merges" },
	{ "0",
	  { "id=a,size=3M,hugepages=on,hugepage_size=2M" },
	  "--memory-zone id=a,size=3145728: must be a multiple of "
	  "hugepage_size, 2097152" },
	{ "0",
	  { "id=a,size=1M,file=x,hugepages=on" },
	  "--memory-zone id=a,hugepages=on: not together with file=: a file "
	  "on hugetlbfs has huge pages by itself" },
};

START_TEST(test_refused)
{
	struct rig r;

	ck_assert_int_eq(
		rig_make(&r, "x86_64", refused[_i].memory, refused[_i].zones),
		-EINVAL);
	ck_assert_str_eq(r.d.text[0], refused[_i].sentence);
	rig_free(&r);
}
END_TEST

/* The sentence says what works where zones are. */
START_TEST(test_vhost_user_needs_shared)
{
	static const char *const zones[] = { "id=a,size=1M,shared=on",
					     "id=b,size=1M", NULL };
	struct rig r;

	ck_assert_int_eq(rig_make(&r, "x86_64", "0", zones), 0);
	give(&r, "fs", "tag=t,socket=s");
	ck_assert_int_eq(vm_config_check(&r.cfg, "x86_64", &r.d), -EINVAL);
	ck_assert_str_eq(r.d.text[0],
			 "--fs: a vhost-user back end must see the guest's "
			 "RAM: give each --memory-zone shared=on");
	rig_free(&r);
}
END_TEST

/* ---- sums --------------------------------------------------------------- */

static const char *const two[] = { "id=low,size=1M,shared=on",
				   "id=high,size=3M,shared=on", NULL };
static const char *const mixed[] = { "id=low,size=1M,shared=on",
				     "id=high,size=3M", NULL };
static const char *const none[] = { NULL };

START_TEST(test_sums)
{
	struct rig r;

	ck_assert_int_eq(rig_make(&r, "x86_64", "0", two), 0);
	ck_assert_uint_eq(vm_config_ram_bytes(&r.cfg), MIB(4));
	ck_assert(vm_config_ram_shared(&r.cfg));
	rig_free(&r);
	ck_assert_int_eq(rig_make(&r, "x86_64", "0", mixed), 0);
	ck_assert(!vm_config_ram_shared(&r.cfg));
	rig_free(&r);
	ck_assert_int_eq(rig_make(&r, "x86_64", "8M,shared=on", none), 0);
	ck_assert_uint_eq(vm_config_ram_bytes(&r.cfg), MIB(8));
	ck_assert(vm_config_ram_shared(&r.cfg));
	rig_free(&r);
}
END_TEST

/* More than fits, less than is needed. */
START_TEST(test_sums_that_do_not_fit)
{
	static const struct {
		const char *arch, *zones[3], *sentence;
	} bad[] = {
		{ "x86_64",
		  { "id=a,size=32T", "id=b,size=32T" },
		  "--memory-zone: together 70368744177664: at most "
		  "70367670435840 bytes fit below the limit of 46 address "
		  "bits" },
		{ "arm64",
		  { "id=a,size=64T" },
		  "--memory-zone: together 70368744177664: at most "
		  "70367670435840 bytes fit below the limit of 46 address "
		  "bits" },
		{ "x86_64",
		  { "id=a,size=64K", "id=b,size=64K" },
		  "--memory-zone: together 131072: x86_64 guests need at "
		  "least 1048576 bytes (1 MiB)" },
	};
	struct rig r;

	ck_assert_int_eq(rig_make(&r, bad[_i].arch, "0", bad[_i].zones), 0);
	ck_assert_int_lt(
		arch_find(bad[_i].arch)->layout(&r.p, &r.cfg, &caps, &r.d), 0);
	ck_assert_str_eq(r.d.text[0], bad[_i].sentence);
	rig_free(&r);
}
END_TEST

/* ---- places ------------------------------------------------------------- */

#define G GIB(1)

static const struct {
	const char *arch;
	const char *zones[4];
	struct {
		uint64_t base, size;
		uint32_t zone;
	} part[5];
} places[] = {
	{ "x86_64", { NULL }, { { 0, MIB(512), 0 } } },
	{ "x86_64", { "id=a,size=1G" }, { { 0, G, 0 } } },
	{ "x86_64",
	  { "id=a,size=1G", "id=b,size=1G" },
	  { { 0, G, 0 }, { G, G, 1 } } },
	{ "x86_64", /* over the hole */
	  { "id=a,size=1G", "id=b,size=4G", "id=c,size=1G" },
	  { { 0, G, 0 },
	    { G, 2 * G, 1 },
	    { 4 * G, 2 * G, 1 },
	    { 6 * G, G, 2 } } },
	{ "x86_64", /* up to the hole */
	  { "id=a,size=3G", "id=b,size=1G" },
	  { { 0, 3 * G, 0 }, { 4 * G, G, 1 } } },
	{ "arm64",
	  { "id=a,size=1G", "id=b,size=4G" },
	  { { G, G, 0 }, { 2 * G, 4 * G, 1 } } },
	{ "fake",
	  { "id=a,size=64K", "id=b,size=128K" },
	  { { FAKE_RAM_LOW_GPA, KIB(64), 0 },
	    { FAKE_RAM_LOW_GPA + KIB(64), KIB(128), 1 } } },
};

static void check_parts(const struct platform *p, int place)
{
	for (unsigned i = 0; i < p->part_count; i++) {
		ck_assert_uint_eq(p->part[i].range.base,
				  places[place].part[i].base);
		ck_assert_uint_eq(p->part[i].range.size_bytes,
				  places[place].part[i].size);
		ck_assert_uint_eq(p->part[i].zone, places[place].part[i].zone);
		ck_assert_uint_eq(p->part[i].node, 0);
	}
	ck_assert_uint_eq(places[place].part[p->part_count].size, 0);
}

/* Without nodes the guest sees ranges, not zones. */
static void check_memory_ranges(const struct platform *p)
{
	struct plat_range range;
	unsigned next = 0, count = 0;
	uint32_t node;

	while (platform_memory(p, &next, &range, &node)) {
		ck_assert_uint_eq(range.base, p->ram[count].base);
		ck_assert_uint_eq(range.size_bytes, p->ram[count].size_bytes);
		count++;
	}
	ck_assert_uint_eq(count, p->ram_count);
}

START_TEST(test_places)
{
	const struct arch *arch = arch_find(places[_i].arch);
	struct rig r;

	ck_assert_int_eq(rig_make(&r, arch->name,
				  places[_i].zones[0] ? "0" : NULL,
				  places[_i].zones),
			 0);
	ck_assert_msg(!arch->layout(&r.p, &r.cfg, &caps, &r.d), "%s",
		      r.d.text[0]);
	check_parts(&r.p, _i);
	check_memory_ranges(&r.p);
	rig_free(&r);
}
END_TEST

/* ---- mapped ------------------------------------------------------------- */

static char *file_new(uint64_t bytes)
{
	char *name = strdup("/tmp/test-zone-XXXXXX");
	int fd = mkstemp(name);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, (off_t)bytes), 0);
	close(fd);
	return name;
}

static char *with_file(const char *front, const char *name)
{
	char *text;

	ck_assert_int_gt(asprintf(&text, "%s,file=%s", front, name), 0);
	return text;
}

/* A zone over the hole of RAM goes on in its file where it stopped. */
START_TEST(test_mapped)
{
	char *name = file_new(GIB(4));
	char *b = with_file("id=b,size=4G,shared=on", name);
	const char *const zones[] = { "id=a,size=1G", b, NULL };
	struct rig r;
	char text[6] = "";
	int fd;

	ck_assert_int_eq(rig_make(&r, "x86_64", "0", zones), 0);
	ck_assert_int_eq(arch_find("x86_64")->layout(&r.p, &r.cfg, &caps, &r.d),
			 0);
	ck_assert_msg(!zones_map(&r.ram, &r.p, &r.cfg, &r.d), "%s",
		      r.d.text[0]);
	ck_assert_uint_eq(r.ram.region_count, 2);
	ck_assert_uint_eq(ram_size(&r.ram), GIB(5));
	/* from the first zone into the file, and its part above the hole */
	ck_assert(ram_write(&r.ram, GPA(GIB(1) - 2), "..low", 5));
	ck_assert(ram_write(&r.ram, GPA(GIB(4)), "high", 4));
	fd = open(name, O_RDONLY);
	ck_assert_int_eq(pread(fd, text, 3, 0), 3);
	ck_assert_str_eq(text, "low");
	ck_assert_int_eq(pread(fd, text, 4, (off_t)GIB(2)), 4);
	ck_assert_str_eq(text, "high");
	close(fd);
	rig_free(&r);
	unlink(name);
	free(b);
	free(name);
}
END_TEST

/* Nobody will ever open its other end. */
static char *fifo_new(void)
{
	char *name = file_new(0);

	ck_assert_int_eq(unlink(name), 0);
	ck_assert_int_eq(mkfifo(name, 0600), 0);
	return name;
}

static const struct {
	const char *zone, *file;
	uint64_t file_bytes; /* of a file to be made; 0: a FIFO */
	int err;
	const char *says;
} files[] = {
	{ "id=a,size=1M", NULL, MIB(1), 0, NULL },
	{ "id=a,size=1M,shared=on", NULL, MIB(1), 0, NULL },
	{ "id=a,size=1M", "/tmp", 0, 0, NULL },
	{ "id=a,size=1M,shared=on", "/tmp", 0, 0, NULL },
	{ "id=a,size=1M", NULL, MIB(1) - 1, -EINVAL,
	  "has only 1048575 bytes, the zone 1048576: make it longer" },
	{ "id=a,size=1M", NULL, 0, -EINVAL, "neither a file nor" },
	{ "id=a,size=1M,shared=on", NULL, 0, -EINVAL, "neither a file nor" },
	{ "id=a,size=1M", "/dev/null", 0, -EINVAL, "neither a file nor" },
	{ "id=a,size=1M", "/nonexistent", 0, -ENOENT,
	  "file=/nonexistent: No such file" },
	{ "id=a,size=1M,host_numa_node=1023", "/tmp", 0, -EINVAL,
	  "cannot take memory from this NUMA node" },
};

START_TEST(test_files)
{
	char *name = files[_i].file	    ? strdup(files[_i].file)
		     : files[_i].file_bytes ? file_new(files[_i].file_bytes)
					    : fifo_new();
	char *zone = with_file(files[_i].zone, name);
	const char *const zones[] = { zone, NULL };
	int next = dup(0);
	struct rig r;

	close(next);
	ck_assert_int_eq(rig_make(&r, "x86_64", "0", zones), 0);
	ck_assert_int_eq(arch_find("x86_64")->layout(&r.p, &r.cfg, &caps, &r.d),
			 0);
	ck_assert_int_eq(zones_map(&r.ram, &r.p, &r.cfg, &r.d), files[_i].err);
	if (files[_i].err) {
		ck_assert_msg(strstr(r.d.text[0], files[_i].says) != NULL, "%s",
			      r.d.text[0]);
		ck_assert_str_eq(r.d.text[1], "--memory-zone id=a");
		ck_assert_uint_eq(r.ram.region_count, 0);
	} else {
		ck_assert(ram_fill(&r.ram, GPA(0), 1, MIB(1)));
	}
	rig_free(&r);
	ck_assert_int_eq(dup(0), next);
	close(next);
	if (!files[_i].file)
		unlink(name);
	free(zone);
	free(name);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("zone");
	TCase *t = tcase_create("zone");

	tcase_add_test(t, test_vhost_user_needs_shared);
	tcase_add_loop_test(t, test_refused, 0, ARRAY_SIZE(refused));
	tcase_add_test(t, test_sums);
	tcase_add_loop_test(t, test_sums_that_do_not_fit, 0, 3);
	tcase_add_loop_test(t, test_places, 0, ARRAY_SIZE(places));
	tcase_add_test(t, test_mapped);
	tcase_add_loop_test(t, test_files, 0, ARRAY_SIZE(files));
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return suite_run(suite());
}
