/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: arm64 kernel files: good ones land where they ask, bad ones are named
 *
 * Builds a small Image with a PE header, packs it as gzip and EFI zboot, and
 * cuts and damages it at every place that a header knows.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zstd.h>

#include "arch/arm64/image.h"
#include "arch/arm64/kernel.h"
#include "vmm/base/bytes.h"

#include "tests/unit/arm64-kernels.h"
#include "tests/unit/suite.h"

#define RAM_BASE  UINT64_C(0x40000000)
#define RAM_BYTES MIB(4)

static struct guest_ram ram;

static void setup(void)
{
	ram_init(&ram);
	ck_assert_int_eq(ram_add(&ram, GPA(RAM_BASE), RAM_BYTES,
				 &(struct ram_options){ 0 }, NULL),
			 0);
}

static void teardown(void)
{
	ram_release(&ram);
}

/* ---- making kernels ----------------------------------------------------- */

static struct file zstd(struct file in)
{
	struct file f = new_file(ZSTD_compressBound(in.len));

	f.len = ZSTD_compress(f.data, f.len, in.data, in.len, 1);
	ck_assert(!ZSTD_isError(f.len));
	free(in.data);
	return f;
}

/* Wraps @payload, with a trailer of 4 bytes as the real one has. */
static struct file zboot(struct file payload, const char *method)
{
	struct file f = new_file(256 + payload.len + 4);

	memcpy(f.data, "MZ\0\0zimg", 8);
	put_le32(f.data + 8, 256);
	put_le32(f.data + 12, (uint32_t)payload.len);
	strcpy((char *)f.data + 24, method);
	put_le32(f.data + 0x38, 0x818223cd);
	put_le32(f.data + 0x3c, 64);
	memcpy(f.data + 256, payload.data, payload.len);
	free(payload.data);
	return f;
}

static int fd_of(struct file f)
{
	int fd = memfd_create("kernel", MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, f.data, f.len), (ssize_t)f.len);
	return fd;
}

static int load(struct file f, gpa_t *entry, gpa_t *end, struct diag *d)
{
	struct arm64_kernel k = { GPA(0), GPA(0) };
	int fd = fd_of(f), err;

	err = arm64_load_kernel(&k, &ram, GPA(RAM_BASE), RAM_BYTES, fd, d);
	*entry = k.entry;
	*end = k.end;
	close(fd);
	return err;
}

/* ---- kernels that boot -------------------------------------------------- */

enum packing { PLAIN, GZIP, ZBOOT_GZIP, ZBOOT_ZSTD };

static struct file pack(enum packing packing, struct file f)
{
	switch (packing) {
	case GZIP:
		return pack_gzip(f);
	case ZBOOT_GZIP:
		return zboot(pack_gzip(f), "gzip");
	case ZBOOT_ZSTD:
		return zboot(zstd(f), "zstd");
	case PLAIN:
	default:
		return f;
	}
}

static const struct good {
	enum packing packing;
	uint64_t text_offset;
} good[] = {
	{ PLAIN, 0 },	   { PLAIN, 0x80000 }, { GZIP, 0 },
	{ GZIP, 0x80000 }, { ZBOOT_GZIP, 0 },  { ZBOOT_ZSTD, 0 },
};

START_TEST(test_good)
{
	struct file want = make_image(), f;
	gpa_t entry = GPA(0), end = GPA(0);
	struct diag d = DIAG_INIT;
	uint8_t *got;

	put_le64(want.data + 8, good[_i].text_offset);
	f = make_image();
	put_le64(f.data + 8, good[_i].text_offset);
	f = pack(good[_i].packing, f);
	ck_assert_msg(!load(f, &entry, &end, &d), "%s", d.text[0]);
	ck_assert_uint_eq(entry.v, RAM_BASE + good[_i].text_offset);
	ck_assert_uint_eq(end.v, entry.v + IMAGE_MEM_BYTES);
	got = ram_pin(&ram, entry, IMAGE_MEM_BYTES);
	ck_assert_ptr_nonnull(got);
	ck_assert_mem_eq(got, want.data, want.len);
	for (size_t i = want.len; i < IMAGE_MEM_BYTES; i++)
		ck_assert_uint_eq(got[i], 0);
	free(f.data);
	free(want.data);
}
END_TEST

/* A kernel without EFI stub has no PE header to check. */
START_TEST(test_no_stub)
{
	struct file f = make_image();
	gpa_t entry, end;

	memset(f.data, 0, 8);
	put_le32(f.data + 60, 0);
	f.len = 4096;
	ck_assert_int_eq(load(f, &entry, &end, NULL), 0);
	free(f.data);
}
END_TEST

/* ---- kernels that are cut off ------------------------------------------- */

static const struct cut {
	enum packing packing;
	size_t len; /* 0: one byte less than all */
	int err;
	const char *says;
} cuts[] = {
	{ PLAIN, 1, ENOEXEC, "is no kernel: 1 bytes are less than a header" },
	{ PLAIN, 59, ENOEXEC, "less than a header" },
	{ PLAIN, 60, EINVAL, "is truncated inside its Image header" },
	{ PLAIN, 63, EINVAL, "is truncated inside its Image header" },
	{ PLAIN, 64, EINVAL,
	  "is truncated: its PE header announces 88 bytes, "
	  "but there are 64" },
	{ PLAIN, 87, EINVAL, "its PE header announces 88" },
	{ PLAIN, 88, EINVAL, "its PE header announces 288" },
	{ PLAIN, 300, EINVAL, "its PE header announces 131072" },
	{ PLAIN, KIB(128), EINVAL, "its PE header announces 196608" },
	{ PLAIN, 0, EINVAL, "announces 196608 bytes, but there are 196607" },
	{ GZIP, 1, ENOEXEC, "less than a header" },
	{ GZIP, 2, EINVAL, "is truncated: its compressed data end early" },
	{ GZIP, 10, EINVAL, "its compressed data end early" },
	{ GZIP, 11, EINVAL, "its compressed data end early" },
	{ GZIP, 5000, EINVAL, "its compressed data end early" },
	{ GZIP, 0, EINVAL, "its compressed data end early" },
	{ ZBOOT_GZIP, 7, ENOEXEC, "less than a header" },
	{ ZBOOT_GZIP, 8, EINVAL, "is truncated inside its EFI zboot header" },
	{ ZBOOT_GZIP, 63, EINVAL, "is truncated inside its EFI zboot header" },
	{ ZBOOT_GZIP, 64, EINVAL,
	  "is truncated: it has 64 bytes, but its EFI "
	  "zboot header announces" },
	{ ZBOOT_ZSTD, 256, EINVAL, "it has 256 bytes, but" },
	{ ZBOOT_ZSTD, 5000, EINVAL, "it has 5000 bytes, but" },
};

START_TEST(test_cut)
{
	const struct cut *t = &cuts[_i];
	struct file f = pack(t->packing, make_image());
	gpa_t entry, end;
	struct diag d = DIAG_INIT;

	f.len = t->len ? t->len : f.len - 1;
	ck_assert_int_eq(load(f, &entry, &end, &d), -t->err);
	ck_assert_uint_eq(d.depth, 1);
	ck_assert_msg(strstr(d.text[0], t->says) != NULL, "'%s' lacks '%s'",
		      d.text[0], t->says);
	free(f.data);
}
END_TEST

/* Shorter than whole at any place: never accepted, never out of bounds. */
START_TEST(test_cut_anywhere)
{
	struct file whole = pack((enum packing)_i, make_image()), f = whole;
	gpa_t entry, end;

	if (_i >= ZBOOT_GZIP)
		whole.len -= 4;
	for (f.len = 0; f.len < whole.len; f.len += f.len < 400 ? 1 : 3889)
		ck_assert_int_lt(load(f, &entry, &end, NULL), 0);
	free(whole.data);
}
END_TEST

/* ---- kernels that are wrong --------------------------------------------- */

static const struct wrong {
	enum packing packing;
	size_t at, len;
	const char *bytes;
	int err;
	const char *says;
} wrong[] = {
#define PATCH(at, b) at, sizeof(b) - 1, b
	{ PLAIN, PATCH(16, "\0\0\0\0\0\0\0\0"), EINVAL,
	  "does not say how much memory it needs" },
	{ PLAIN, PATCH(16, "\0\0\0\1\0\0\0\0"), E2BIG,
	  "needs 16 MiB of memory, and there are 4: give more --memory" },
	{ PLAIN, PATCH(16, "\xff\xff\xff\xff\xff\xff\xff\xff"), E2BIG,
	  "give more --memory" },
	{ PLAIN, PATCH(16, "\x3f\0\0\0\0\0\0\0"), EINVAL, "image_size is 63" },
	{ PLAIN, PATCH(16, "\0\x10\0\0\0\0\0\0"), EINVAL,
	  "holds more than the 4096 bytes that its header announces" },
	{ GZIP, PATCH(16, "\0\x10\0\0\0\0\0\0"), EINVAL, "holds more than" },
	{ ZBOOT_ZSTD, PATCH(16, "\0\x10\0\0\0\0\0\0"), EINVAL,
	  "holds more than" },
	{ PLAIN, PATCH(24, "\x0b"), EINVAL, "is a big-endian kernel" },
	{ PLAIN, PATCH(8, "\1"), EINVAL, "text_offset is 0x1" },
	{ PLAIN, PATCH(8, "\0\0\x20"), EINVAL, "text_offset is 0x200000" },
	{ PLAIN, PATCH(8, "\0\xf0\xff\xff\xff\xff\xff\xff"), EINVAL,
	  "text_offset is" },
	{ PLAIN, PATCH(56, "ARM\x65"), ENOEXEC, "is no arm64 kernel" },
	{ GZIP, PATCH(56, "ARM\x65"), ENOEXEC, "is no arm64 kernel" },
	{ PLAIN, PATCH(64, "PX"), EINVAL, "its PE header is damaged" },
	{ PLAIN, PATCH(68, "\x64\x86"), EINVAL, "its PE header is damaged" },
	{ PLAIN, PATCH(60, "\xf0\xff\xff\xff"), EINVAL, "is truncated" },
	{ PLAIN, PATCH(70, "\xff\xff"), EINVAL, "is truncated" },
};

START_TEST(test_wrong)
{
	const struct wrong *t = &wrong[_i];
	struct file f = make_image();
	gpa_t entry, end;
	struct diag d = DIAG_INIT;
	int err;

	memcpy(f.data + t->at, t->bytes, t->len);
	f = pack(t->packing, f);
	err = load(f, &entry, &end, &d);
	ck_assert_int_eq(err, -t->err);
	ck_assert_msg(strstr(d.text[0], t->says) != NULL, "'%s' lacks '%s'",
		      d.text[0], t->says);
	free(f.data);
}
END_TEST

/* Damage of the container instead of the contents. */
static const struct wrong container[] = {
	{ GZIP, PATCH(2, "\x09"), EINVAL, "its gzip data are damaged" },
	{ GZIP, PATCH(6000, "\xff\xff\xff\xff\xff\xff\xff\xff"), EINVAL,
	  "its gzip data are damaged" },
	{ ZBOOT_ZSTD, PATCH(256, "\0"), EINVAL, "its zstd data are damaged" },
	{ ZBOOT_GZIP, PATCH(8, "\x3f\0\0\0"), EINVAL,
	  "payload starts at byte 63" },
	{ ZBOOT_GZIP, PATCH(8, "\xff\xff\xff\xff"), EINVAL, "announces" },
	{ ZBOOT_GZIP, PATCH(12, "\xff\xff\xff\xff"), EINVAL, "announces" },
	{ ZBOOT_GZIP, PATCH(12, "\0\0\0\0"), EINVAL, "end early" },
	{ ZBOOT_GZIP, PATCH(24, "lzma"), EINVAL, "packed with 'lzma'" },
	{ ZBOOT_GZIP, PATCH(24, "\x1b[31mabcdef"), EINVAL, "'?[31mabc'" },
	{ ZBOOT_GZIP, PATCH(24, "zstd"), EINVAL, "its zstd data are damaged" },
};

START_TEST(test_container)
{
	const struct wrong *t = &container[_i];
	struct file f = pack(t->packing, make_image());
	gpa_t entry, end;
	struct diag d = DIAG_INIT;

	memcpy(f.data + t->at, t->bytes, t->len);
	ck_assert_int_eq(load(f, &entry, &end, &d), -t->err);
	ck_assert_msg(strstr(d.text[0], t->says) != NULL, "'%s' lacks '%s'",
		      d.text[0], t->says);
	free(f.data);
}
END_TEST

/* The checksum at the end of a gzip stream counts. */
START_TEST(test_gzip_checksum)
{
	struct file f = pack_gzip(make_image());
	gpa_t entry, end;
	struct diag d = DIAG_INIT;

	f.data[f.len - 8] ^= 1;
	ck_assert_int_eq(load(f, &entry, &end, &d), -EINVAL);
	ck_assert(strstr(d.text[0], "incorrect data check") != NULL);
	free(f.data);
}
END_TEST

/* ---- files that are something else -------------------------------------- */

static const struct other {
	size_t at, len;
	const char *bytes;
	size_t file_bytes;
	int err;
	const char *says;
} others[] = {
	{ PATCH(0, ""), 0, ENOEXEC, "is empty" },
	{ PATCH(0x202, "HdrS"), 4096, ENOEXEC,
	  "is an x86_64 kernel, and this machine is arm64" },
	{ PATCH(0x202, "HdrS"), 0x206, ENOEXEC, "is an x86_64 kernel" },
	{ PATCH(0x202, "HdrS"), 0x205, ENOEXEC, "is no arm64 kernel" },
	{ PATCH(0, "\177ELF\2\1\1\0\0\0\0\0\0\0\0\0\2\0\x3e\0"), 4096, ENOEXEC,
	  "is an x86_64 kernel" },
	{ PATCH(0, "\177ELF\2\1\1\0\0\0\0\0\0\0\0\0\2\0\xb7\0"), 4096, ENOEXEC,
	  "arch/arm64/boot/Image" },
	{ PATCH(0, "\177ELF\2\1\1\0\0\0\0\0\0\0\0\0\2\0\xf3\0"), 4096, ENOEXEC,
	  "another architecture" },
	{ PATCH(0, "\xfd"
		   "7zXZ\0"),
	  4096, EINVAL, "compressed with xz" },
	{ PATCH(0, "\x28\xb5\x2f\xfd"), 4096, EINVAL, "compressed with zstd" },
	{ PATCH(0, "BZh9"), 4096, EINVAL, "compressed with bzip2" },
	{ PATCH(0, "\x02\x21\x4c\x18"), 4096, EINVAL, "compressed with lz4" },
	{ PATCH(0, "\xd0\x0d\xfe\xed"), 4096, ENOEXEC, "device tree" },
	{ PATCH(0, "random bytes"), 4096, ENOEXEC, "is no arm64 kernel" },
	{ PATCH(0, "MZ"), 4096, ENOEXEC, "is no arm64 kernel" },
};

START_TEST(test_others)
{
	const struct other *t = &others[_i];
	struct file f = new_file(t->file_bytes);
	gpa_t entry, end;
	struct diag d = DIAG_INIT;

	for (size_t i = 0; i < t->len && t->at + i < f.len; i++)
		f.data[t->at + i] = (uint8_t)t->bytes[i];
	ck_assert_int_eq(load(f, &entry, &end, &d), -t->err);
	ck_assert_msg(strstr(d.text[0], t->says) != NULL, "'%s' lacks '%s'",
		      d.text[0], t->says);
	free(f.data);
}
END_TEST

START_TEST(test_directory)
{
	struct diag d = DIAG_INIT;
	struct arm64_kernel k;
	int fd = open("/", O_RDONLY | O_CLOEXEC);

	ck_assert_int_eq(
		arm64_load_kernel(&k, &ram, GPA(RAM_BASE), RAM_BYTES, fd, &d),
		-EISDIR);
	ck_assert_str_eq(d.text[0], "is a directory");
	close(fd);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("arm64-kernel");
	TCase *t = tcase_create("kernel");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, test_good, 0, ARRAY_SIZE(good));
	tcase_add_test(t, test_no_stub);
	tcase_add_loop_test(t, test_cut, 0, ARRAY_SIZE(cuts));
	tcase_add_loop_test(t, test_cut_anywhere, PLAIN, ZBOOT_ZSTD + 1);
	tcase_add_loop_test(t, test_wrong, 0, ARRAY_SIZE(wrong));
	tcase_add_loop_test(t, test_container, 0, ARRAY_SIZE(container));
	tcase_add_test(t, test_gzip_checksum);
	tcase_add_loop_test(t, test_others, 0, ARRAY_SIZE(others));
	tcase_add_test(t, test_directory);
	suite_add_tcase(s, t);
	return suite_run(s);
}
