/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: virtio-rtc (VIRTIO 1.4 draft, "RTC Device")
 *
 * run pci: --rtc
 * run mmio: --rtc --platform transport=mmio
 */
#include "exercise.h"

#define RTC	      17
#define REQUEST_BYTES 16
#define ANSWER_BYTES  32

/* Requests, status and types of clocks of include/uapi/linux/virtio_rtc.h */
enum {
	T_READ = 0x0001,
	T_READ_CROSS = 0x0002,
	T_CFG = 0x1000,
	T_CLOCK_CAP = 0x1001,
	T_CROSS_CAP = 0x1002
};
enum { S_OK = 0, S_EOPNOTSUPP = 2, S_ENODEV = 3, S_EINVAL = 4 };
enum { UTC_MAYBE_SMEARED = 4 };
enum { AT_CLOCK = 8, AT_BODY = 8 };

/* The first seconds of 2020 and of 2100 */
#define YEAR_2020_NS (1577836800ull * 1000000000)
#define YEAR_2100_NS (4102444800ull * 1000000000)

static struct virtio v;
static struct vring r;
static uintptr_t question, answer;
static uint16_t clocks;

static void fill(uint16_t type, uint16_t clock)
{
	set64(question, type);
	set64(question + AT_CLOCK, clock);
	for (unsigned i = 0; i < ANSWER_BYTES; i += 4)
		write32(answer + i, 0xffffffff);
}

static void request(struct vbuf *bufs)
{
	question = ram_alloc(REQUEST_BYTES, 16);
	answer = ram_alloc(ANSWER_BYTES, 16);
	fill(T_READ, 0);
	bufs[0] = (struct vbuf){ question, REQUEST_BYTES };
	bufs[1] = (struct vbuf){ answer, 16 };
}

static bool is_time(uint64_t ns)
{
	return ns > YEAR_2020_NS && ns < YEAR_2100_NS;
}

static bool check(const struct vbuf *bufs, uint32_t written)
{
	bool good = written == 16 && read8(answer) == S_OK &&
		    is_time(get64(answer + AT_BODY));

	(void)bufs;
	write8(answer, 0xff);
	return good;
}

static const struct exercise rtc = {
	.id = RTC, .out = 1, .in = 1, .request = request, .check = check
};

/* One request, of @out bytes, with room for @in; how much is answered. */
static uint32_t ask(uint16_t type, uint16_t clock, uint32_t out, uint32_t in)
{
	struct vbuf bufs[] = { { question, out }, { answer, in } };
	uint32_t written;

	fill(type, clock);
	vring_add(&r, bufs, 1, 1);
	vring_ring(&r);
	return vring_wait(&r, &written) < 0 ? ~0u : written;
}

/* Answered with all of it, and no more is written. */
static bool good(uint16_t type, uint16_t clock)
{
	return ask(type, clock, REQUEST_BYTES, ANSWER_BYTES) == 16 &&
	       read8(answer) == S_OK && read32(answer + 16) == 0xffffffff;
}

static void good_requests(void)
{
	uint64_t first;

	ok(good(T_CFG, 0), "the configuration");
	clocks = read16(answer + AT_BODY);
	ok(clocks >= 1, "there is a clock");
	ok(good(T_CLOCK_CAP, 0) && read8(answer + AT_BODY) == UTC_MAYBE_SMEARED,
	   "it is UTC");
	ok(good(T_CROSS_CAP, 0) && read8(answer + AT_BODY) == 0,
	   "and has no cross-timestamps");
	ok(good(T_READ, 0) && is_time(get64(answer + AT_BODY)),
	   "it says nanoseconds since 1970");
	first = get64(answer + AT_BODY);
	ok(good(T_READ, 0) && get64(answer + AT_BODY) > first, "and moves");
	ok(get64(answer + AT_BODY) - first < 60ull * 1000000000,
	   "by less than a minute");
}

/* An error is only a head. */
static void bad(uint16_t type, uint16_t clock, uint32_t out, uint32_t in,
		unsigned status, const char *name)
{
	ok(ask(type, clock, out, in) == AT_BODY && read8(answer) == status &&
		   read32(answer + AT_BODY) == 0xffffffff,
	   name);
}

static void bad_requests(void)
{
	bad(T_READ_CROSS, 0, 16, 24, S_EOPNOTSUPP,
	    "no cross-timestamp is read");
	bad(99, 0, 16, 16, S_EOPNOTSUPP, "hostile: an unknown request");
	bad(T_READ, clocks, 16, 16, S_ENODEV, "hostile: a clock too many");
	bad(T_CLOCK_CAP, 0xffff, 16, 16, S_ENODEV, "hostile: clock 65535");
	bad(T_READ, 0, 15, 16, S_EINVAL, "hostile: a request of 15 bytes");
	bad(T_READ, 0, 16, 15, S_EINVAL, "hostile: room for 15 bytes");
	ok(ask(T_READ, 0, 7, 16) == 0, "hostile: half a head");
	ok(ask(T_READ, 0, 16, 7) == 0 && read32(answer) == 0xffffffff,
	   "hostile: no room for a head");
	ok(good(T_READ, 0), "the device goes on");
}

void secondary(void)
{
}

void payload(void)
{
	exercise(&rtc);
	if (virtio_find(&v, RTC, 0) && exercise_restart(&rtc, &v, &r, 0)) {
		good_requests();
		bad_requests();
	}
	plan_done();
}
