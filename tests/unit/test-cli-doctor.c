/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: `doctor` on made-up hosts (a directory with /proc, /sys and /dev, and
 * a probe that says what the test wants), and `tables` on made-up tables
 */
#include <check.h>
#include <errno.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/doctor.h"
#include "vmm/tables.h"

#include "tests/unit/suite.h"

static char root[64];

static void setup(void)
{
	strcpy(root, "/tmp/test-doctor-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(root));
}

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void teardown(void)
{
	nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void put_file(const char *path, const char *text)
{
	char full[256];
	FILE *f;

	snprintf(full, sizeof(full), "%s%s", root, path);
	for (char *slash = full + strlen(root) + 1;
	     (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		mkdir(full, 0755);
		*slash = '/';
	}
	f = fopen(full, "w");
	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

/* ---- doctor --------------------------------------------------------------*/

static const struct host_ops ops_kvm = { .name = "kvm" };

static const struct host_ops *probe_good(const char *name,
					 struct host_caps *caps, struct diag *d)
{
	(void)d;
	ck_assert_str_eq(name, "auto");
	*caps = (struct host_caps){
		.pa_bits = 48,
		.vcpus_recommended = 8,
		.vcpus_max = 1024,
		.gicv3 = true,
		.its = true,
		.sve = true,
	};
	return &ops_kvm;
}

static const struct host_ops *probe_bad(const char *name,
					struct host_caps *caps, struct diag *d)
{
	(void)name;
	(void)caps;
	diag_fail(d, ENOENT, "no \"hypervisor\"\\\n");
	return NULL;
}

/* @good: probe; @x86: not an Arm host; @files: up to four of the made-up host;
 * @says: what the report
 * must contain, @not what it must not */
static const struct {
	bool good, json, x86;
	const char *files[4][2];
	const char *says[4], *not ;
} hosts[] = {
	{ .good = true,
	  .says = { "kvm can run guests: 1024 vCPUs (8 recommended), 48 bits",
		    "guests get a GICv3 with ITS", "guests can have: SVE",
		    "Guests can run on this host, with kvm." } },
	{ .says = { "missing  no \"hypervisor\"", "there is no /dev/kvm",
		    "-> load the module: modprobe kvm_amd",
		    "Guests cannot run on this host; see above." } },
	{ .files = { { "/dev/kvm", "" } },
	  .says = { "/dev/kvm may be opened" },
	  .not = "there is no /dev/kvm" },
	{ .files = { { "/dev/kvm", "" }, { "/sys/module/kvm_pvm/x", "" } },
	  .says = { "-> boot guests in an emulated server" } },
	{ .files = { { "/dev/mshv", "" } },
	  .says = { "note     /dev/mshv is there, but not supported yet" } },
	{ .files = { { "/proc/cpuinfo", "processor\t: 0\nmodel name\t: Fast "
					"CPU\nflags\t\t: fpu svm sse\n" } },
	  .says = { "ok       Fast CPU", "can virtualise (AMD SVM)" } },
	{ .files = { { "/proc/cpuinfo", "flags : fpu vmx\n" } },
	  .says = { "can virtualise (Intel VMX)" } },
	{ .files = { { "/proc/cpuinfo", "flags : fpu svmx vmxs\n" } },
	  .says = { "shows neither SVM nor VMX",
		    "-> switch virtualisation (SVM, VT-x) on in the" } },
	{ .files = { { "/proc/cpuinfo", "flags : hypervisor\n" } },
	  .says = { "-> this is a virtual machine: switch nested" } },
	{ .files = { { "/proc/cpuinfo", "Features : fp asimd\n" } },
	  .not = "SVM nor VMX" },
	{ .files = { { "/sys/module/kvm_amd/parameters/nested", "1\n" },
		     { "/sys/module/kvm_intel/parameters/nested", "N\n" } },
	  .says = { "guests can run guests (kvm_amd)", "kvm_intel has nested=N",
		    "-> load the module with nested=1" } },
	{ .files = { { "/proc/meminfo", "MemTotal:  2097152 kB\nMemFree: 1 "
					"kB\nMemAvailable: 1048576 kB\n" },
		     { "/proc/sys/vm/overcommit_memory", "2\n" },
		     { "/sys/kernel/mm/transparent_hugepage/enabled",
		       "always madvise [never]\n" },
		     { "/sys/kernel/mm/ksm/run", "0\n" } },
	  .says = { "2048 MiB of RAM, 1024 MiB available", "strict overcommit",
		    "transparent huge pages are off", "KSM is not running" } },
	{ .files = { { "/sys/kernel/mm/hugepages/hugepages-2048kB/"
		       "nr_hugepages",
		       "7\n" },
		     { "/sys/kernel/mm/hugepages/hugepages-2048kB/"
		       "free_hugepages",
		       "5\n" },
		     { "/sys/kernel/mm/ksm/run", "1\n" } },
	  .says = { "7 huge pages of 2048 KiB, 5 free" },
	  .not = "KSM is not running" },
	{ .x86 = true,
	  .files = { { "/usr/share/cloudhv-efi-x86-64/CLOUDHV.fd", "x" } },
	  .says = { "--firmware /usr/share/cloudhv-efi-x86-64/CLOUDHV.fd boots "
		    "from disks" },
	  .not = "no CLOUDHV.fd" },
	{ .x86 = true,
	  .says = { "note     no CLOUDHV.fd: guests need a kernel file",
		    "-> apt-get install cloudhv-efi-x86-64" } },
	{ .x86 = true,
	  .says = { "note     no OVMF: guests cannot boot from their disk",
		    "-> apt-get install ovmf" } },
	{ .x86 = true,
	  .files = { { "/usr/share/OVMF/OVMF_CODE_4M.fd", "x" } },
	  .says = { "--firmware /usr/share/OVMF/OVMF_CODE_4M.fd boots from "
		    "disks" },
	  .not = "no OVMF" },
	{ .says = { "note     no U-Boot: guests need a kernel file",
		    "-> apt-get install u-boot-qemu" },
	  .not = "CLOUDHV" },
	{ .files = { { "/usr/lib/u-boot/qemu_arm64/u-boot.bin", "x" } },
	  .says = { "--firmware /usr/lib/u-boot/qemu_arm64/u-boot.bin boots "
		    "from disks" },
	  .not = "no U-Boot" },
	{ .says = { "note     no AAVMF: guests cannot boot from their disk",
		    "-> apt-get install qemu-efi-aarch64" } },
	{ .files = { { "/usr/share/AAVMF/AAVMF_CODE.fd", "x" } },
	  .says = { "--firmware /usr/share/AAVMF/AAVMF_CODE.fd boots from "
		    "disks" },
	  .not = "no AAVMF" },
	{ .good = true,
	  .json = true,
	  .says = { "\"usable\": true", "\"hypervisor\": \"kvm\"",
		    "\"arch\": \"arm64\"", "\"level\": \"ok\"" } },
	{ .json = true,
	  .says = { "\"usable\": false", "\"hypervisor\": null",
		    "\"text\": \"no \\\"hypervisor\\\"\\\\\\u000a\"",
		    "\"remedy\": \"load the module" } },
};

START_TEST(test_doctor)
{
	struct doctor_source src = {
		.root = root,
		.arch = hosts[_i].x86 ? "x86_64" : "arm64",
		.select = hosts[_i].good ? probe_good : probe_bad,
	};
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	for (unsigned i = 0; i < 4 && hosts[_i].files[i][0]; i++)
		put_file(hosts[_i].files[i][0], hosts[_i].files[i][1]);
	ck_assert_int_eq(doctor_report(&src, hosts[_i].json, f),
			 hosts[_i].good);
	ck_assert_int_eq(fclose(f), 0);
	for (unsigned i = 0; i < 4 && hosts[_i].says[i]; i++)
		ck_assert_msg(strstr(text, hosts[_i].says[i]),
			      "no \"%s\" in:\n%s", hosts[_i].says[i], text);
	if (hosts[_i].not )
		ck_assert_msg(!strstr(text, hosts[_i].not ), "\"%s\" in:\n%s",
			      hosts[_i].not, text);
	free(text);
}
END_TEST

/* ---- tables --------------------------------------------------------------*/

static uint8_t first_data[] = "first", second_data[] = "second!";

static const struct arch_tables two = {
	.table = { { .name = "a.aml",
		     .gpa = { 0xe0000 },
		     .data = first_data,
		     .size_bytes = 5 },
		   { .name = "b.aml", .data = second_data, .size_bytes = 7 } },
	.count = 2,
};

static const char *inside(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", root, name);
	return path;
}

static int write_two(const char *dir, char **list, struct diag *d)
{
	size_t size;
	FILE *f = open_memstream(list, &size);
	int ret = tables_write(&two, dir, f, d);

	ck_assert_int_eq(fclose(f), 0);
	return ret;
}

START_TEST(test_tables)
{
	char expected[400], content[8] = "", dir[128];
	struct diag d = DIAG_INIT;
	char *list;
	FILE *f;

	strcpy(dir, inside("out"));
	ck_assert_int_eq(write_two(dir, &list, &d), 0);
	free(list);
	ck_assert_int_eq(write_two(dir, &list, &d), 0); /* again, into it */
	snprintf(expected, sizeof(expected),
		 "%s/a.aml: 5 bytes at 0xe0000\n%s/b.aml: 7 bytes\n", dir, dir);
	ck_assert_str_eq(list, expected);
	free(list);
	f = fopen(inside("out/b.aml"), "r");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fread(content, 1, 8, f), 7);
	fclose(f);
	ck_assert_mem_eq(content, "second!", 7);
}
END_TEST

/* The second file cannot be made: the first goes, the directory stays. */
START_TEST(test_tables_undo)
{
	struct diag d = DIAG_INIT;
	char *list;

	ck_assert_int_eq(mkdir(inside("out"), 0755), 0);
	ck_assert_int_eq(mkdir(inside("out/b.aml"), 0755), 0);
	ck_assert_int_eq(write_two(inside("out"), &list, &d), -EISDIR);
	ck_assert_str_eq(list, "");
	free(list);
	ck_assert_ptr_nonnull(strstr(d.text[0], "/out/b.aml: Is a directory"));
	ck_assert_int_ne(access(inside("out/a.aml"), F_OK), 0);
	ck_assert_int_eq(access(inside("out/b.aml"), F_OK), 0);
}
END_TEST

START_TEST(test_tables_no_place)
{
	struct diag d = DIAG_INIT;
	char *list;

	ck_assert_int_eq(write_two(inside("x/y"), &list, &d), -ENOENT);
	free(list);
	put_file("/file", "");
	ck_assert_int_eq(write_two(inside("file"), &list, &d), -ENOTDIR);
	free(list);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("cli-doctor");
	TCase *t = tcase_create("cli-doctor");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, test_doctor, 0, ARRAY_SIZE(hosts));
	tcase_add_test(t, test_tables);
	tcase_add_test(t, test_tables_undo);
	tcase_add_test(t, test_tables_no_place);
	suite_add_tcase(s, t);
	return suite_run(s);
}
