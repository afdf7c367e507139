/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: vmm/base: checked arithmetic, byte order, error chains, the log
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/check.h"
#include "vmm/base/diag.h"
#include "vmm/base/eventfd.h"
#include "vmm/base/file.h"
#include "vmm/base/iov.h"
#include "vmm/base/log.h"
#include "vmm/base/types.h"

#include "tests/unit/suite.h"

#define TOP UINT64_MAX

/* ---- arithmetic --------------------------------------------------------- */

static const struct sum {
	uint64_t a, b, sum, product;
	bool sum_fits, product_fits;
} sums[] = {
	{ 0, 0, 0, 0, true, true },
	{ 2, 3, 5, 6, true, true },
	{ TOP, 0, TOP, 0, true, true },
	{ TOP, 1, 0, TOP, false, true },
	{ TOP - 1, 1, TOP, TOP - 1, true, true },
	{ TOP, TOP, 0, 0, false, false },
	{ 1ULL << 63, 1ULL << 63, 0, 0, false, false },
	{ 1ULL << 32, 1ULL << 32, 1ULL << 33, 0, true, false },
	{ 1ULL << 32, (1ULL << 32) - 1, (1ULL << 33) - 1, TOP - 0xffffffff,
	  true, true },
};

START_TEST(test_sums)
{
	const struct sum *c = &sums[_i];
	uint64_t out = 77;

	ck_assert_int_eq(add_u64(c->a, c->b, &out), c->sum_fits);
	ck_assert_uint_eq(out, c->sum_fits ? c->sum : 77);
	out = 78;
	ck_assert_int_eq(mul_u64(c->a, c->b, &out), c->product_fits);
	ck_assert_uint_eq(out, c->product_fits ? c->product : 78);
}
END_TEST

static const struct within {
	uint64_t at, len, base, size;
	bool inside;
} withins[] = {
	{ 0x1000, 0x1000, 0x1000, 0x1000, true },
	{ 0x1000, 0x1001, 0x1000, 0x1000, false },
	{ 0xfff, 1, 0x1000, 0x1000, false },
	{ 0xfff, 2, 0x1000, 0x1000, false },
	{ 0x1fff, 1, 0x1000, 0x1000, true },
	{ 0x1fff, 2, 0x1000, 0x1000, false },
	{ 0x2000, 0, 0x1000, 0x1000, true }, /* nothing, at the end */
	{ 0x2000, 1, 0x1000, 0x1000, false },
	{ 0x2001, 0, 0x1000, 0x1000, false },
	{ 0x1800, TOP, 0x1000, 0x1000, false },
	{ TOP, 1, 0x1000, 0x1000, false },
	{ TOP, 2, 0x1000, 0x1000, false },
	{ TOP, 1, TOP - 0xfff, 0x1000, true },
	{ TOP, 2, TOP - 0xfff, 0x1000, false },
	{ 0, 1, TOP - 0xfff, 0x1000, false },
	{ 0, TOP, 0, TOP, true },
	{ 1, TOP, 0, TOP, false },
	{ 0, 0, 0, 0, true },
};

START_TEST(test_within)
{
	const struct within *c = &withins[_i];

	ck_assert_int_eq(range_within(c->at, c->len, c->base, c->size),
			 c->inside);
}
END_TEST

START_TEST(test_powers_and_alignment)
{
	ck_assert(!is_pow2(0));
	ck_assert(is_pow2(1));
	ck_assert(!is_pow2(3));
	ck_assert(is_pow2(1ULL << 63));
	ck_assert(!is_pow2(TOP));
	ck_assert_uint_eq(align_down(0x1fff, 0x1000), 0x1000);
	ck_assert_uint_eq(align_down(0x1000, 0x1000), 0x1000);
	ck_assert_uint_eq(align_up(0x1001, 0x1000), 0x2000);
	ck_assert_uint_eq(align_up(0x1000, 0x1000), 0x1000);
	ck_assert_uint_eq(align_up(0, 0x1000), 0);
	ck_assert_uint_eq(KIB(3) + MIB(2) + GIB(1), 0x40200c00);
	ck_assert_uint_eq(TIB(1), 1ULL << 40);
}
END_TEST

/* ---- bytes -------------------------------------------------------------- */

START_TEST(test_bytes)
{
	uint8_t b[16] = { 0 }, *p = b + 1; /* not aligned */

	put_le16(p, 0x0102);
	ck_assert_mem_eq(p, "\x02\x01\x00", 3);
	ck_assert_uint_eq(get_le16(p), 0x0102);
	ck_assert_uint_eq(get_be16(p), 0x0201);
	put_be32(p, 0x01020304);
	ck_assert_mem_eq(p, "\x01\x02\x03\x04\x00", 5);
	ck_assert_uint_eq(get_be32(p), 0x01020304);
	ck_assert_uint_eq(get_le32(p), 0x04030201);
	put_le64(p, 0x0102030405060708);
	ck_assert_mem_eq(p, "\x08\x07\x06\x05\x04\x03\x02\x01\x00", 9);
	ck_assert_uint_eq(get_le64(p), 0x0102030405060708);
	ck_assert_uint_eq(get_be64(p), 0x0807060504030201);
	put_be16(p, 0xfffe);
	put_le32(p + 4, 0xfffffffe);
	put_be64(p + 7, 1);
	ck_assert_uint_eq(get_be64(p + 7), 1);
	ck_assert_uint_eq(b[0], 0);
}
END_TEST

/* ---- diag --------------------------------------------------------------- */

START_TEST(test_diag_chain)
{
	struct diag d = DIAG_INIT;
	char text[64];

	ck_assert_str_eq(diag_format(&d, text, sizeof(text)), "");
	ck_assert_int_eq(diag_fail(&d, EINVAL, "cause %d", 7), -EINVAL);
	ck_assert_int_eq(diag_fail(&d, ENOMEM, "context"), -ENOMEM);
	ck_assert_uint_eq(d.depth, 2);
	ck_assert_str_eq(diag_format(&d, text, sizeof(text)),
			 "context: cause 7");
	ck_assert_int_eq(diag_fail(NULL, EIO, "dropped"), -EIO);
	ck_assert_int_eq(diag_errno(NULL, EIO, "dropped"), -EIO);
}
END_TEST

START_TEST(test_diag_errno)
{
	struct diag d = DIAG_INIT;
	char text[64];

	ck_assert_int_eq(diag_errno(&d, ENOENT, "%s", "/x"), -ENOENT);
	ck_assert_str_eq(diag_format(&d, text, sizeof(text)),
			 "/x: No such file or directory");
}
END_TEST

START_TEST(test_diag_full)
{
	struct diag d = DIAG_INIT;
	char text[256];

	for (int i = 0; i < DIAG_DEPTH + 3; i++)
		diag_fail(&d, EIO, "m%d", i);
	ck_assert_uint_eq(d.depth, DIAG_DEPTH);
	ck_assert_str_eq(d.text[0], "m0");
	ck_assert_str_eq(d.text[DIAG_DEPTH - 1], "m8");
	ck_assert_str_eq(diag_format(&d, text, sizeof(text)),
			 "m8: m4: m3: m2: m1: m0");
}
END_TEST

START_TEST(test_diag_long)
{
	struct diag d = DIAG_INIT;
	char big[2 * DIAG_TEXT], text[4096];

	memset(big, 'x', sizeof(big));
	big[sizeof(big) - 1] = '\0';
	for (int i = 0; i < DIAG_DEPTH; i++)
		diag_errno(&d, EIO, "%s", big);
	for (unsigned i = 0; i < d.depth; i++)
		ck_assert_uint_eq(strlen(d.text[i]), DIAG_TEXT - 1);
	diag_format(&d, text, sizeof(text));
	ck_assert_uint_eq(strlen(text),
			  DIAG_DEPTH * (DIAG_TEXT - 1) + (DIAG_DEPTH - 1) * 2);
}
END_TEST

START_TEST(test_diag_small_buffer)
{
	unsigned long size = (unsigned long)_i + 1;
	const char *whole = "bb: aaaa";
	struct diag d = DIAG_INIT;
	char text[12];

	diag_fail(&d, EIO, "aaaa");
	diag_fail(&d, EIO, "bb");
	memset(text, '#', sizeof(text));
	diag_format(&d, text, size);
	ck_assert_uint_eq(strlen(text), MIN(size - 1, strlen(whole)));
	ck_assert_int_eq(strncmp(text, whole, strlen(text)), 0);
	for (unsigned long i = size; i < sizeof(text); i++)
		ck_assert_int_eq(text[i], '#');
}
END_TEST

/* ---- log ---------------------------------------------------------------- */

struct sink {
	int fd[2];
	char text[4096];
};

static void sink_open(struct sink *s, enum log_level level)
{
	ck_assert_int_eq(pipe2(s->fd, O_CLOEXEC | O_NONBLOCK), 0);
	log_setup(s->fd[1], level);
}

static const char *sink_text(struct sink *s)
{
	ssize_t n = read(s->fd[0], s->text, sizeof(s->text) - 1);

	s->text[n > 0 ? n : 0] = '\0';
	return s->text;
}

START_TEST(test_log_levels)
{
	struct sink s;
	const char *text;

	sink_open(&s, LOG_INFO);
	log_debug("quiet");
	ck_assert_str_eq(sink_text(&s), "");
	log_info("n=%d", 5);
	text = sink_text(&s);
	ck_assert_int_eq(strncmp(text, "spandrel: ", 10), 0);
	ck_assert_ptr_nonnull(strstr(text, " info: n=5\n"));
	log_error("e");
	ck_assert_ptr_nonnull(strstr(sink_text(&s), " error: e\n"));
}
END_TEST

START_TEST(test_log_long_line)
{
	char big[2000];
	struct sink s;
	const char *text;

	memset(big, 'y', sizeof(big));
	big[sizeof(big) - 1] = '\0';
	sink_open(&s, LOG_WARN);
	log_warn("%s", big);
	text = sink_text(&s);
	ck_assert_uint_lt(strlen(text), 600);
	ck_assert_ptr_eq(strchr(text, '\n'), text + strlen(text) - 1);
}
END_TEST

START_TEST(test_log_guest_says_it_once)
{
	atomic_uint counter = 0;
	struct sink s;
	const char *text;

	sink_open(&s, LOG_WARN);
	for (int i = 0; i < 1000; i++)
		log_guest(&counter, "bad descriptor %d", i);
	text = sink_text(&s);
	ck_assert_ptr_nonnull(strstr(text, "bad descriptor 0\n"));
	ck_assert_ptr_null(strstr(text, "descriptor 1"));
	ck_assert_uint_eq(atomic_load(&counter), 1000);
}
END_TEST

START_TEST(test_log_to_nowhere)
{
	log_setup(-1, LOG_DEBUG);
	log_error("nobody hears this"); /* and nothing happens */
}
END_TEST

/* Nobody reads: lines are lost, the caller goes on. */
START_TEST(test_log_to_a_full_pipe)
{
	char big[400];
	int fd[2];

	memset(big, 'z', sizeof(big));
	big[sizeof(big) - 1] = '\0';
	ck_assert_int_eq(pipe2(fd, O_CLOEXEC), 0);
	ck_assert_int_gt(fcntl(fd[1], F_SETPIPE_SZ, 4096), 0);
	log_setup(fd[1], LOG_WARN);
	for (int i = 0; i < 30; i++)
		log_warn("%s", big);
}
END_TEST

/* "abcd", "", "efg": @offset and @len, what is left of them in at most @most
 * vectors. */
static const struct {
	size_t offset, len;
	unsigned most, count;
	const char *text;
} slices[] = {
	{ 0, 7, 3, 2, "abcdefg" }, { 0, SIZE_MAX, 3, 2, "abcdefg" },
	{ 1, 2, 3, 1, "bc" },	   { 3, 2, 3, 2, "de" },
	{ 4, 9, 3, 1, "efg" },	   { 7, 1, 3, 0, "" },
	{ SIZE_MAX, 1, 3, 0, "" }, { 0, 0, 3, 0, "" },
	{ 0, 7, 1, 1, "abcd" },	   { 0, 7, 0, 0, "" },
};

START_TEST(test_iov_slice)
{
	char a[] = "abcd", b[] = "efg", flat[8] = "";
	const struct iovec v[] = { { a, 4 }, { b, 0 }, { b, 3 } };
	struct iovec to[3];
	unsigned n = iov_slice(to, slices[_i].most, v, 3, slices[_i].offset,
			       slices[_i].len);

	ck_assert_uint_eq(n, slices[_i].count);
	iov_read(to, n, 0, flat, sizeof(flat));
	ck_assert_str_eq(flat, slices[_i].text);
}
END_TEST

START_TEST(test_iov_skip)
{
	char a[] = "abcd", b[] = "efg";
	struct iovec v[] = { { a, 4 }, { b, 3 } };

	ck_assert_uint_eq(iov_skip(v, 2, 1), 0);
	ck_assert_ptr_eq(v[0].iov_base, a + 1);
	ck_assert_uint_eq(v[0].iov_len, 3);
	ck_assert_uint_eq(iov_skip(v, 2, 3), 1);
	ck_assert_uint_eq(v[1].iov_len, 3);
	ck_assert_uint_eq(iov_skip(v + 1, 1, 3), 1);
	ck_assert_uint_eq(iov_skip(v + 1, 1, 9), 1);
}
END_TEST

/* ---- eventfds ----------------------------------------------------------- */

/* Whether it is one that waits or not. */
START_TEST(test_eventfd)
{
	int fd = eventfd(0, _i ? EFD_NONBLOCK : 0);
	uint64_t count = TOP - 1;

	ck_assert_int_eq(eventfd_take(fd), -EAGAIN);
	eventfd_add(fd, true);
	eventfd_add(fd, false);
	ck_assert_int_eq(eventfd_take(fd), 0);
	ck_assert_int_eq(eventfd_take(fd), -EAGAIN);
	ck_assert_int_eq(write(fd, &count, 8), 8);
	eventfd_add(fd, true);
	ck_assert_int_eq(read(fd, &count, 8), 8);
	ck_assert(count == TOP - 1);
	eventfd_add(fd, true);
	ck_assert_int_eq(read(fd, &count, 8), 8);
	ck_assert_uint_eq(count, 1);
	close(fd);
	ck_assert_int_eq(eventfd_take(fd), -EBADF);
}
END_TEST

/* ---- files -------------------------------------------------------------- */

START_TEST(test_file_moves_all)
{
	FILE *f = tmpfile();
	char text[8] = "";

	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(file_write_at(fileno(f), 3, "later", 5), 0);
	ck_assert_int_eq(file_read_at(fileno(f), 2, text, 4), 4);
	ck_assert_mem_eq(text, "\0lat", 5);
	ck_assert_int_eq(file_read_at(fileno(f), 6, text, 4), 2);
	ck_assert_mem_eq(text, "erat", 5);
	ck_assert_int_eq(file_read_at(fileno(f), 8, text, 4), 0);
	ck_assert_int_eq(file_read_at(fileno(f), 0, text, 0), 0);
	fclose(f);
}
END_TEST

/* Of zeros, but for the last byte. */
START_TEST(test_file_read_sparse)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), len = MIB(1) + 100;
	FILE *f = tmpfile();
	uint8_t *buf = mmap(NULL, len, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned char there = 1;

	ck_assert(f && buf != MAP_FAILED);
	madvise(buf, len, MADV_NOHUGEPAGE);
	ck_assert_int_eq(ftruncate(fileno(f), (off_t)len + 5), 0);
	ck_assert_int_eq(file_write_at(fileno(f), len + 4, "x", 1), 0);
	ck_assert_int_eq(file_read_sparse(fileno(f), 5, buf, len), 0);
	ck_assert_uint_eq(buf[len - 1], 'x');
	for (size_t at = 0; at < MIB(1) - page; at += page) {
		ck_assert_int_eq(mincore(buf + at, page, &there), 0);
		ck_assert(!(there & 1));
	}
	ck_assert_int_eq(file_read_sparse(fileno(f), 6, buf, len), -EIO);
	ck_assert_int_eq(file_read_sparse(-1, 0, buf, len), -EBADF);
	munmap(buf, len);
	fclose(f);
}
END_TEST

START_TEST(test_file_errors)
{
	int full = open("/dev/full", O_RDWR | O_CLOEXEC);
	char byte = 0;

	ck_assert_int_ge(full, 0);
	ck_assert_int_eq(file_write_at(full, 0, &byte, 1), -ENOSPC);
	close(full);
	ck_assert_int_eq(file_read_at(full, 0, &byte, 1), -EBADF);
	ck_assert_int_eq(file_write_at(full, 0, &byte, 1), -EBADF);
}
END_TEST

START_TEST(test_check_aborts)
{
	CHECK(1 + 1 == 2);
	CHECK(1 + 1 == 3);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("base");
	TCase *t = tcase_create("base");

	tcase_add_loop_test(t, test_sums, 0, ARRAY_SIZE(sums));
	tcase_add_loop_test(t, test_within, 0, ARRAY_SIZE(withins));
	tcase_add_test(t, test_powers_and_alignment);
	tcase_add_test(t, test_bytes);
	tcase_add_test(t, test_diag_chain);
	tcase_add_test(t, test_diag_errno);
	tcase_add_test(t, test_diag_full);
	tcase_add_test(t, test_diag_long);
	tcase_add_loop_test(t, test_diag_small_buffer, 0, 12);
	tcase_add_test(t, test_log_levels);
	tcase_add_test(t, test_log_long_line);
	tcase_add_test(t, test_log_guest_says_it_once);
	tcase_add_test(t, test_log_to_nowhere);
	tcase_add_test(t, test_log_to_a_full_pipe);
	tcase_add_loop_test(t, test_iov_slice, 0, ARRAY_SIZE(slices));
	tcase_add_test(t, test_iov_skip);
	tcase_add_loop_test(t, test_eventfd, 0, 2);
	tcase_add_test(t, test_file_moves_all);
	tcase_add_test(t, test_file_read_sparse);
	tcase_add_test(t, test_file_errors);
	tcase_add_test_raise_signal(t, test_check_aborts, SIGABRT);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return suite_run(suite());
}
