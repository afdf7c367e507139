/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: byte streams of device state, with friendly and hostile input
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/stream.h"

#include "tests/unit/suite.h"

START_TEST(test_round_trip)
{
	struct stream_out out;
	struct stream_in in;
	char text[6];

	stream_out_init(&out);
	stream_put_u8(&out, 0x12);
	stream_put_u16(&out, 0x3456);
	stream_put_u32(&out, 0x789abcde);
	stream_put_u64(&out, 0xf0123456789abcde);
	stream_put(&out, "hello", 6);
	ck_assert(!out.failed);
	ck_assert_uint_eq(out.len, 21);
	stream_in_init(&in, out.data, out.len);
	ck_assert_uint_eq(stream_get_u8(&in), 0x12);
	ck_assert_uint_eq(stream_get_u16(&in), 0x3456);
	ck_assert_uint_eq(stream_get_u32(&in), 0x789abcde);
	ck_assert_int_eq(stream_in_done(&in), -EBADMSG); /* not all taken */
	ck_assert_uint_eq(stream_get_u64(&in), 0xf0123456789abcde);
	stream_get(&in, text, sizeof(text));
	ck_assert_str_eq(text, "hello");
	ck_assert_int_eq(stream_in_done(&in), 0);
	stream_out_release(&out);
	ck_assert_ptr_null(out.data);
	stream_out_release(&out);
}
END_TEST

START_TEST(test_little_endian)
{
	struct stream_out out;

	stream_out_init(&out);
	stream_put_u16(&out, 0x0102);
	stream_put_u32(&out, 0x03040506);
	stream_put_u64(&out, 0x0708090a0b0c0d0e);
	ck_assert_mem_eq(out.data,
			 "\x02\x01\x06\x05\x04\x03\x0e\x0d\x0c\x0b\x0a\x09\x08"
			 "\x07",
			 14);
	stream_out_release(&out);
}
END_TEST

START_TEST(test_grows)
{
	struct stream_out out;
	struct stream_in in;

	stream_out_init(&out);
	for (uint32_t i = 0; i < 100000; i++)
		stream_put_u32(&out, i * 3);
	ck_assert_uint_eq(out.len, 400000);
	stream_in_init(&in, out.data, out.len);
	for (uint32_t i = 0; i < 100000; i++)
		ck_assert_uint_eq(stream_get_u32(&in), i * 3);
	ck_assert_int_eq(stream_in_done(&in), 0);
	stream_out_release(&out);
}
END_TEST

START_TEST(test_one_large_put)
{
	uint8_t *big = calloc(1, 100000);
	struct stream_out out;

	big[99999] = 9;
	stream_out_init(&out);
	stream_put_u8(&out, 1);
	stream_put(&out, big, 100000);
	stream_put(&out, big, 0);
	ck_assert(!out.failed);
	ck_assert_uint_eq(out.len, 100001);
	ck_assert_uint_eq(out.data[100000], 9);
	stream_out_release(&out);
	free(big);
}
END_TEST

START_TEST(test_absurd_put_fails_and_stays_failed)
{
	struct stream_out out;

	stream_out_init(&out);
	stream_put_u8(&out, 1);
	stream_put(&out, "", SIZE_MAX);
	ck_assert(out.failed);
	stream_put(&out, "", SIZE_MAX / 2 + 1);
	stream_put_u8(&out, 2);
	ck_assert(out.failed);
	ck_assert_uint_eq(out.len, 1);
	stream_out_release(&out);
}
END_TEST

/* Take fields of @width from @have bytes until it fails: what was there is
 * right, what was not is zero, and it stays failed. */
static const struct short_input {
	size_t have;
	unsigned width;
} short_inputs[] = {
	{ 0, 1 }, { 0, 8 }, { 1, 2 }, { 3, 4 }, { 7, 8 }, { 8, 1 },
	{ 9, 8 }, { 5, 2 }, { 6, 4 }, { 0, 2 }, { 0, 4 }, { 15, 8 },
};

static uint64_t get(struct stream_in *in, unsigned width)
{
	switch (width) {
	case 1:
		return stream_get_u8(in);
	case 2:
		return stream_get_u16(in);
	case 4:
		return stream_get_u32(in);
	default:
		return stream_get_u64(in);
	}
}

START_TEST(test_short_input)
{
	const struct short_input *c = &short_inputs[_i];
	/* Exactly as large as it claims, so that ASan sees a byte too far. */
	uint8_t *data = malloc(c->have ? c->have : 1);
	struct stream_in in;

	memset(data, 0xff, c->have);
	stream_in_init(&in, c->have ? data : NULL, c->have);
	for (size_t i = 0; i < c->have / c->width; i++)
		ck_assert_uint_eq(get(&in, c->width),
				  UINT64_MAX >> (64 - 8 * c->width));
	ck_assert(!in.failed);
	ck_assert_uint_eq(get(&in, c->width), 0);
	ck_assert(in.failed);
	ck_assert_uint_eq(get(&in, 1), 0); /* even if one byte is left */
	ck_assert_int_eq(stream_in_done(&in), -EBADMSG);
	free(data);
}
END_TEST

START_TEST(test_failed_read_clears_its_buffer)
{
	uint8_t data[3] = { 1, 2, 3 }, buf[4] = { 9, 9, 9, 9 };
	struct stream_in in;

	stream_in_init(&in, data, sizeof(data));
	stream_get(&in, buf, sizeof(buf));
	ck_assert_mem_eq(buf, "\0\0\0\0", 4);
	ck_assert_int_eq(stream_in_done(&in), -EBADMSG);
}
END_TEST

START_TEST(test_empty)
{
	struct stream_in in;

	stream_in_init(&in, NULL, 0);
	ck_assert_int_eq(stream_in_done(&in), 0);
	stream_get(&in, NULL, 0);
	ck_assert_int_eq(stream_in_done(&in), 0);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("stream");
	TCase *t = tcase_create("stream");

	tcase_add_test(t, test_round_trip);
	tcase_add_test(t, test_little_endian);
	tcase_add_test(t, test_grows);
	tcase_add_test(t, test_one_large_put);
	tcase_add_test(t, test_absurd_put_fails_and_stays_failed);
	tcase_add_loop_test(t, test_short_input, 0,
			    sizeof(short_inputs) / sizeof(short_inputs[0]));
	tcase_add_test(t, test_failed_read_clears_its_buffer);
	tcase_add_test(t, test_empty);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return suite_run(suite());
}
