/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: disks from which firmware starts something: what is found on them,
 * what is not looked at, images that lie, and when the log says so
 */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/log.h"
#include "vmm/base/types.h"
#include "vmm/boot-disk.h"

#include "tests/unit/suite.h"

#define DISK_BYTES KIB(256)
#define PART	   100 /* sector of a partition */

static uint8_t disk[DISK_BYTES];
static char path[64];

static void put_fat(uint64_t lba, bool fat32)
{
	memcpy(disk + lba * 512 + (fat32 ? 82 : 54), fat32 ? "FAT32" : "FAT16",
	       5);
	put_le16(disk + lba * 512 + 510, 0xaa55);
}

static void put_mbr(unsigned entry, uint32_t lba)
{
	put_le32(disk + 446 + entry * 16 + 8, lba);
	put_le16(disk + 510, 0xaa55);
}

/* Entries of @size bytes at sector @at; entry @index begins at @lba */
static void put_gpt(uint64_t at, uint32_t count, uint32_t size, unsigned index,
		    uint64_t lba)
{
	put_mbr(0, 1);
	memcpy(disk + 512, "EFI PART", 8);
	put_le64(disk + 512 + 72, at);
	put_le32(disk + 512 + 80, count);
	put_le32(disk + 512 + 84, size);
	if (at * 512 + index * size + 40 <= DISK_BYTES)
		put_le64(disk + at * 512 + index * size + 32, lba);
}

static void setup(void)
{
	int fd;

	memset(disk, 0, sizeof(disk));
	snprintf(path, sizeof(path), "/tmp/test-boot-disk-XXXXXX");
	fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	close(fd);
}

static void teardown(void)
{
	unlink(path);
}

static void write_disk(size_t len)
{
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(disk, 1, len, f), len);
	ck_assert_int_eq(fclose(f), 0);
}

static bool missing(void)
{
	struct disk_config k = { .path = path };
	struct vm_config c = { .disks = &k, .disk_count = 1 };

	return boot_disk_missing(&c);
}

static void fat12(void)
{
	put_fat(0, false);
}

static void fat32(void)
{
	put_fat(0, true);
}

static void no_mark(void)
{
	put_fat(0, true);
	disk[511] = 0;
}

static void mbr(void)
{
	put_mbr(3, PART);
	put_fat(PART, true);
}

static void mbr_of_ext4(void)
{
	put_mbr(0, PART);
	put_fat(PART + 1, true);
}

static void gpt(void)
{
	put_gpt(2, 128, 128, 127, PART);
	put_fat(PART, false);
}

static void gpt_of_large_entries(void)
{
	put_gpt(20, 4, 512, 3, PART);
	put_fat(PART, false);
}

static void gpt_of_ext4(void)
{
	put_gpt(2, 128, 128, 0, PART);
}

static void gpt_that_has_fewer(void)
{
	put_gpt(2, 4, 128, 4, PART);
	put_fat(PART, false);
}

/* Whatever a header says, looking ends soon. */
static void gpt_of_4g_entries(void)
{
	put_gpt(2, UINT32_MAX, UINT32_MAX, 0, UINT64_MAX);
}

static void gpt_elsewhere(void)
{
	put_gpt(UINT64_MAX, 128, 128, 0, 0);
}

static void gpt_of_itself(void)
{
	put_gpt(1, 128, 0, 0, 1);
}

static void cd(void)
{
	memcpy(disk + 0x8001, "CD001", 5);
}

static void gpt_of_4k_sectors(void)
{
	memcpy(disk + 4096, "EFI PART", 8);
}

static void nothing(void)
{
}

static const struct {
	void (*make)(void);
	bool missing;
} images[] = {
	{ fat12, false },
	{ fat32, false },
	{ no_mark, true },
	{ mbr, false },
	{ mbr_of_ext4, true },
	{ gpt, false },
	{ gpt_of_large_entries, false },
	{ gpt_of_ext4, true },
	{ gpt_that_has_fewer, true },
	{ gpt_of_4g_entries, true },
	{ gpt_elsewhere, true },
	{ gpt_of_itself, true },
	{ cd, false },
	{ gpt_of_4k_sectors, false },
	{ nothing, true },
};

START_TEST(test_images)
{
	images[_i].make();
	write_disk(DISK_BYTES);
	ck_assert_int_eq(missing(), images[_i].missing);
}
END_TEST

/* Cut anywhere, it is not read behind its end, and still without a FAT. */
START_TEST(test_cut)
{
	put_gpt(2, 128, 128, 0, PART);
	for (size_t len = 512; len < 40 * 512; len += 509) {
		write_disk(len);
		ck_assert(missing());
	}
}
END_TEST

START_TEST(test_not_looked_at)
{
	struct disk_config k = { .path = path };
	struct vm_config c = { .disks = &k, .disk_count = 1 };

	write_disk(100);
	ck_assert(!boot_disk_missing(&c)); /* not even a sector */
	write_disk(DISK_BYTES);
	ck_assert(boot_disk_missing(&c));
	k.image_type = DISK_QCOW2;
	ck_assert(!boot_disk_missing(&c));
	k.image_type = DISK_RAW;
	ck_assert(boot_disk_missing(&c));
	k.vhost_user = true;
	ck_assert(!boot_disk_missing(&c));
	k.vhost_user = false;
	unlink(path);
	ck_assert(!boot_disk_missing(&c));
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_assert(!boot_disk_missing(&c));
	c.disk_count = 0;
	ck_assert(boot_disk_missing(&c));
}
END_TEST

/* One of several is enough. */
START_TEST(test_several)
{
	static char none[] = "/dev/zero";
	struct disk_config k[] = { { .path = none }, { .path = path } };
	struct vm_config c = { .disks = k, .disk_count = 2 };

	write_disk(DISK_BYTES);
	ck_assert(boot_disk_missing(&c));
	put_fat(0, true);
	write_disk(DISK_BYTES);
	ck_assert(!boot_disk_missing(&c));
}
END_TEST

static void said(const struct vm_config *c, const char *text)
{
	int fd = memfd_create("log", MFD_CLOEXEC);
	char log[512] = "";

	log_setup(fd, LOG_WARN);
	boot_disk_advise(c);
	log_setup(STDERR_FILENO, LOG_WARN);
	ck_assert_int_ge(pread(fd, log, sizeof(log) - 1, 0), 0);
	close(fd);
	ck_assert_msg(text ? strstr(log, text) != NULL : !*log, "%s", log);
}

START_TEST(test_advice)
{
	static char name[] = "F";
	struct vm_config c = { .firmware = name };

	said(&c, "warning: --firmware: no --disk has a FAT file system (an EFI "
		 "system partition), where firmware finds programs: give a "
		 "disk image that has one, or --kernel\n");
	c.kernel = name;
	said(&c, NULL);
	c.kernel = NULL;
	c.net_count = 1; /* it may start from there */
	said(&c, NULL);
	c.net_count = 0;
	c.fs_count = 1;
	said(&c, NULL);
	c.fs_count = 0;
	c.generic_vhost_user_count = 1;
	said(&c, NULL);
	c.generic_vhost_user_count = 0;
	c.firmware = NULL;
	said(&c, NULL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("boot-disk");
	TCase *t = tcase_create("all");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, test_images, 0, ARRAY_SIZE(images));
	tcase_add_test(t, test_cut);
	tcase_add_test(t, test_not_looked_at);
	tcase_add_test(t, test_several);
	tcase_add_test(t, test_advice);
	suite_add_tcase(s, t);
	return suite_run(s);
}
