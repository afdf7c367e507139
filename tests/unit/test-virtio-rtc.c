/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: tests of virtio-rtc, over both transports, on both ring formats */
#include <check.h>
#include <sys/timex.h>
#include <time.h>

#include "formats.h"
#include "tests/unit/suite.h"
#include "virtio-driver.h"

#define V1   VIRTIO_F_VERSION_1
#define RING BED_RAM_A
#define DATA BED_RAM_B

static struct bed bed;
static struct device *dev;
static struct drv drv;

static void begin(int transport)
{
	memset(&bed, 0, sizeof(bed));
	bed_open(&bed, transport ? TRANSPORT_MMIO : TRANSPORT_PCI, false);
	dev = bed_add(&bed, "virtio-rtc");
	drv_find(&drv, &bed, dev, transport ? 0 : 1);
	if (!drv.mmio)
		drv_msix(&drv, 2);
	ck_assert_uint_eq(drv_negotiate(&drv, V1 | format), 11);
	drv_queue(&drv, 0, 16, RING);
	drv_go(&drv);
}

static void end(void)
{
	device_free(dev);
	bed_close(&bed);
}

static unsigned clock_count(void)
{
	struct timex tx = { 0 };

	return adjtimex(&tx) >= 0 && tx.tai ? 2 : 1;
}

/* Return: bytes of the answer, which is at DATA + 64. */
static uint32_t request(uint16_t type, uint16_t clock, uint32_t out,
			uint32_t in, uint8_t *answer)
{
	const struct vbuf buf[] = { { DATA, out, 0 },
				    { DATA + 64, in, D_WRITE } };
	uint8_t raw[16] = { 0 };
	uint32_t head, len;

	put_le16(raw, type);
	put_le16(raw + 8, clock);
	ram_write(&bed.ram, GPA(DATA), raw, 16);
	ram_fill(&bed.ram, GPA(DATA + 64), 0xee, 64);
	drv_chain(&drv, 0, buf, 2);
	drv_kick(&drv, 0);
	bed_run(&bed, 2);
	ck_assert(drv_take(&drv, 0, &head, &len));
	ck_assert(ram_read(&bed.ram, GPA(DATA + 64), answer, 32));
	ck_assert_uint_eq(answer[len], 0xee); /* not a byte more */
	return len;
}

enum { OK, EOPNOTSUPP_ = 2, ENODEV_, EINVAL_ };

static const struct request_case {
	const char *what;
	uint16_t type, clock;
	uint32_t out, in, len;
	uint8_t status;
} request_cases[] = {
	{ "configuration", 0x1000, 0, 8, 16, 16, OK },
	{ "longer", 0x1000, 0, 16, 32, 16, OK },
	{ "capabilities", 0x1001, 0, 16, 16, 16, OK },
	{ "of no clock", 0x1001, 7, 16, 16, 8, ENODEV_ },
	{ "cross capabilities", 0x1002, 0, 16, 16, 16, OK },
	{ "read", 1, 0, 16, 16, 16, OK },
	{ "read no clock", 1, 0xffff, 16, 16, 8, ENODEV_ },
	{ "read cross", 2, 0, 16, 24, 8, EOPNOTSUPP_ },
	{ "read cross, short", 2, 0, 16, 16, 8, EINVAL_ },
	{ "alarm", 0x1003, 0, 16, 16, 8, EOPNOTSUPP_ },
	{ "nothing", 0, 0, 16, 16, 8, EOPNOTSUPP_ },
	{ "short answer", 1, 0, 16, 15, 8, EINVAL_ },
	{ "short request", 1, 0, 15, 16, 8, EINVAL_ },
	{ "no answer", 1, 0, 16, 7, 0, 0xee },
	{ "no head", 1, 0, 7, 16, 0, 0xee },
};

START_TEST(requests)
{
	const struct request_case *c = &request_cases[_i / 2];
	uint8_t answer[32];

	begin(_i % 2);
	ck_assert_msg(request(c->type, c->clock, c->out, c->in, answer) ==
			      c->len,
		      "%s", c->what);
	ck_assert_msg(answer[0] == c->status, "%s: %u", c->what, answer[0]);
	for (unsigned i = 1; i < 8 && c->len; i++)
		ck_assert_uint_eq(answer[i], 0);
	ck_assert_uint_eq(drv_interrupts(&drv, 0), 1);
	ck_assert_uint_eq(drv_status(&drv), 15);
	end();
}
END_TEST

static uint64_t now(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

START_TEST(clocks)
{
	static const clockid_t id[] = { CLOCK_REALTIME, CLOCK_TAI };
	static const uint8_t type[] = { 4, 1 };
	uint8_t answer[32];

	begin(_i);
	request(0x1000, 0, 8, 16, answer);
	ck_assert_uint_eq(get_le16(answer + 8), clock_count());
	for (uint16_t i = 0; i < clock_count(); i++) {
		uint64_t before = now(id[i]);

		request(1, i, 16, 16, answer);
		ck_assert_uint_ge(get_le64(answer + 8), before);
		ck_assert_uint_le(get_le64(answer + 8), now(id[i]));
		request(0x1001, i, 16, 16, answer);
		ck_assert_uint_eq(get_le64(answer + 8), type[i]);
		request(0x1002, i, 16, 16, answer);
		ck_assert_uint_eq(get_le64(answer + 8), 0);
	}
	ck_assert_uint_eq(drv_offered(&drv) & 0xffffff, 0);
	end();
}
END_TEST

START_TEST(state_round_trip)
{
	struct stream_out out;
	struct stream_in in;
	struct diag d = DIAG_INIT;
	uint8_t answer[32];

	begin(_i);
	dev->cls->pause(dev);
	stream_out_init(&out);
	dev->cls->save(dev, &out);
	dev->cls->reset(dev);
	stream_in_init(&in, out.data, out.len);
	ck_assert_int_eq(dev->cls->load(dev, &in, &d), 0);
	ck_assert_int_eq(stream_in_done(&in), 0);
	dev->cls->resume(dev);
	ck_assert_uint_eq(request(1, 0, 16, 16, answer), 16);
	stream_out_release(&out);
	end();
}
END_TEST

static TCase *rtc_case(bool packed)
{
	TCase *tc = FORMAT_CASE("rtc", packed);

	tcase_add_loop_test(tc, requests, 0, 2 * ARRAY_SIZE(request_cases));
	tcase_add_loop_test(tc, clocks, 0, 2);
	tcase_add_loop_test(tc, state_round_trip, 0, 2);
	return tc;
}

int main(void)
{
	Suite *suite = suite_create("virtio-rtc");

	for (int packed = 0; packed < 2; packed++)
		suite_add_tcase(suite, rtc_case(packed));
	return suite_run(suite);
}
