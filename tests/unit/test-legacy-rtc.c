/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: tests of devices/legacy/rtc-cmos.c and rtc-pl031.c */
#include <time.h>

#include "vmm/base/bytes.h"

#include "legacy-rig.h"

/* ---- rtc-cmos ----------------------------------------------------------- */

enum {
	SEC = 0,
	SEC_ALARM,
	MIN_,
	MIN_ALARM,
	HOUR,
	HOUR_ALARM,
	WDAY,
	DAY,
	MONTH,
	YEAR,
	A,
	B,
	C,
	D,
	CENTURY = 0x32,
};

static void cmos_setup(void)
{
	rig_open();
	rig.dev = rig_make(&rtc_cmos_class, PLAT_PIO);
}

static uint8_t get(uint8_t index)
{
	wr(0, 1, index);
	return (uint8_t)rd(1, 1);
}

static void put(uint8_t index, uint8_t value)
{
	wr(0, 1, index);
	wr(1, 1, value);
}

struct moment {
	uint8_t century, year, month, day, hour, minute, second;
};

static void put_moment(const struct moment *m)
{
	put(B, get(B) | 0x80);
	put(CENTURY, m->century);
	put(YEAR, m->year);
	put(MONTH, m->month);
	put(DAY, m->day);
	put(HOUR, m->hour);
	put(MIN_, m->minute);
	put(SEC, m->second);
	put(B, get(B) & 0x7f);
}

static uint64_t put_ns; /* patience_ns() of put_moment_at_half() */

/* May the second that was put have ended, because we did not run for long? */
static bool late(void)
{
	return ms_since(put_ns) >= 500;
}

static void check_moment(const struct moment *m)
{
	const struct moment is = { get(CENTURY), get(YEAR), get(MONTH),
				   get(DAY),	 get(HOUR), get(MIN_),
				   get(SEC) };

	if (!late())
		ck_assert_mem_eq(&is, m, sizeof(is));
}

/* Begin a second, so that what follows happens within it. Setting the time
 * with the divider in reset makes it half a second old. */
static void put_moment_at_half(const struct moment *m)
{
	put_ns = patience_ns();
	put(A, 0x76);
	put_moment(m);
	put(A, 0x26);
}

static void cmos_advance(int64_t sec)
{
	rig_advance(1 + 128, 8, sec);
}

static unsigned unbcd(uint8_t v)
{
	return (v >> 4) * 10u + (v & 15);
}

/* As exact as the clocks are: time() may be a tick behind. */
static time_t host_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec;
}

START_TEST(cmos_tells_the_hosts_time)
{
	struct tm t = { 0 };
	time_t before, after, guest;

	before = host_seconds();
	do {
		t.tm_sec = (int)unbcd(get(SEC));
		t.tm_min = (int)unbcd(get(MIN_));
		t.tm_hour = (int)unbcd(get(HOUR));
		t.tm_mday = (int)unbcd(get(DAY));
		t.tm_mon = (int)unbcd(get(MONTH)) - 1;
		t.tm_year =
			(int)(unbcd(get(CENTURY)) * 100 + unbcd(get(YEAR))) -
			1900;
	} while (t.tm_sec != (int)unbcd(get(SEC)));
	after = host_seconds();
	guest = timegm(&t);
	ck_assert_int_ge(guest, before);
	ck_assert_int_le(guest, after);
	ck_assert_int_eq(t.tm_wday + 1, get(WDAY));
}
END_TEST

/* Date and the second before midnight; the day after and its weekday. */
static const struct {
	struct moment from, to;
	uint8_t weekday;
} midnights[] = {
	{ { 0x20, 0x24, 0x02, 0x28, 0x23, 0x59, 0x59 },
	  { 0x20, 0x24, 0x02, 0x29, 0x00, 0x00, 0x00 },
	  5 },
	{ { 0x20, 0x25, 0x02, 0x28, 0x23, 0x59, 0x59 },
	  { 0x20, 0x25, 0x03, 0x01, 0x00, 0x00, 0x00 },
	  7 },
	{ { 0x20, 0x00, 0x02, 0x28, 0x23, 0x59, 0x59 },
	  { 0x20, 0x00, 0x02, 0x29, 0x00, 0x00, 0x00 },
	  3 },
	{ { 0x21, 0x00, 0x02, 0x28, 0x23, 0x59, 0x59 },
	  { 0x21, 0x00, 0x03, 0x01, 0x00, 0x00, 0x00 },
	  2 },
	{ { 0x19, 0x99, 0x12, 0x31, 0x23, 0x59, 0x59 },
	  { 0x20, 0x00, 0x01, 0x01, 0x00, 0x00, 0x00 },
	  7 },
	{ { 0x19, 0x69, 0x12, 0x31, 0x23, 0x59, 0x59 },
	  { 0x19, 0x70, 0x01, 0x01, 0x00, 0x00, 0x00 },
	  5 },
	{ { 0x16, 0x00, 0x02, 0x29, 0x23, 0x59, 0x59 },
	  { 0x16, 0x00, 0x03, 0x01, 0x00, 0x00, 0x00 },
	  4 },
	{ { 0x99, 0x99, 0x12, 0x31, 0x23, 0x59, 0x58 },
	  { 0x99, 0x99, 0x12, 0x31, 0x23, 0x59, 0x59 },
	  6 },
};

START_TEST(cmos_carries_over_midnight)
{
	put_moment_at_half(&midnights[_i].from);
	check_moment(&midnights[_i].from);
	cmos_advance(1);
	check_moment(&midnights[_i].to);
	ck_assert_uint_eq(get(WDAY), midnights[_i].weekday);
}
END_TEST

/* How 21:05:09 and 00:.. read in each format of register B. */
static const struct {
	uint8_t b, hour_9pm, hour_0, hour_12, day_28;
} formats[] = {
	{ 0x02, 0x21, 0x00, 0x12, 0x28 },
	{ 0x06, 21, 0, 12, 28 },
	{ 0x00, 0x89, 0x12, 0x92, 0x28 },
	{ 0x04, 0x80 + 9, 12, 0x80 + 12, 28 },
};

START_TEST(cmos_formats)
{
	static const struct moment nine = { 0x20, 0x31, 0x07, 0x28,
					    0x21, 0x05, 0x09 };

	put_moment_at_half(&nine);
	put(B, formats[_i].b);
	ck_assert_uint_eq(get(HOUR), formats[_i].hour_9pm);
	ck_assert_uint_eq(get(DAY), formats[_i].day_28);
	put(HOUR, formats[_i].hour_0);
	ck_assert_uint_eq(get(HOUR), formats[_i].hour_0);
	put(HOUR, formats[_i].hour_12);
	ck_assert_uint_eq(get(HOUR), formats[_i].hour_12);
	put(B, 0x02);
	ck_assert_uint_eq(get(HOUR), 0x12);
	ck_assert_uint_eq(get(MIN_), 0x05);
	ck_assert_uint_eq(get(DAY), 0x28);
}
END_TEST

START_TEST(cmos_set_stops_the_clock)
{
	static const struct moment m = { 0x20, 0x26, 0x01, 0x02,
					 0x03, 0x04, 0x05 };
	uint8_t second;

	put_moment_at_half(&m);
	put(B, 0x82);
	if (late())
		return;
	rig_run_ms(700);
	put_ns = patience_ns();
	check_moment(&m);
	ck_assert_uint_eq(get(A) & 0x80, 0);
	put_ns = patience_ns();
	put(SEC, 0x30);
	put(B, 0x02);
	second = get(SEC);
	if (!late())
		ck_assert(second == 0x30 || second == 0x31);
}
END_TEST

/* Put the guest's clock @ns into its second. */
static void cmos_fraction(uint32_t ns)
{
	struct timespec host;
	struct stream_out out;
	struct stream_in in;
	struct diag d = DIAG_INIT;
	uint32_t offset;

	stream_out_init(&out);
	rig.dev->cls->save(rig.dev, &out);
	clock_gettime(CLOCK_REALTIME, &host);
	offset = (ns + 1000000000 - (uint32_t)host.tv_nsec) % 1000000000;
	put_le32(out.data + 1 + 128 + 8, offset);
	stream_in_init(&in, out.data, out.len);
	ck_assert_int_eq(rig.dev->cls->load(rig.dev, &in, &d), 0);
	stream_out_release(&out);
}

/* UIP is on from 244 us before the second turns. */
START_TEST(cmos_update_in_progress)
{
	bool on = false;

	cmos_fraction(100000000);
	ck_assert_uint_eq(get(A), 0x26);
	for (int i = 0; i < 100 && !on; i++) { /* we may be interrupted */
		cmos_fraction(1000000000 - 240000);
		on = get(A) == 0xa6;
	}
	ck_assert(on);
	cmos_fraction(1000000000 - 240000);
	put(B, 0x82); /* no update while halted */
	ck_assert_uint_eq(get(A), 0x26);
}
END_TEST

static const struct {
	uint8_t index, reset, written, holds;
} cmos_registers[] = {
	{ A, 0x26, 0xa6, 0x26 },      { A, 0x26, 0x0f, 0x0f },
	{ B, 0x02, 0x7f, 0x7f },      { B, 0x02, 0x92, 0x82 },
	{ C, 0x00, 0xff, 0x00 },      { D, 0x80, 0x00, 0x80 },
	{ 0x0e, 0x00, 0x5a, 0x5a },   { 0x0f, 0x00, 0xff, 0xff },
	{ 0x7f, 0x00, 0x5a, 0x5a },   { SEC_ALARM, 0, 0xff, 0xff },
	{ MIN_ALARM, 0, 0xc0, 0xc0 }, { HOUR_ALARM, 0, 0x12, 0x12 },
	{ 0x8e, 0x00, 0xa5, 0xa5 }, /* bit 7 of the index: NMI mask */
};

/* Bits that do not change by themselves: not UIP, nor the flags of C, of which
 * the periodic one is set every millisecond. */
static uint8_t still(uint8_t index)
{
	return index == A ? 0x7f : index == C ? 0x8f : 0xff;
}

START_TEST(cmos_register_table)
{
	uint8_t index = cmos_registers[_i].index;

	ck_assert_uint_eq(get(index) & still(index), cmos_registers[_i].reset);
	put(index, cmos_registers[_i].written);
	ck_assert_uint_eq(get(index) & still(index), cmos_registers[_i].holds);
	ck_assert_uint_eq(rd(0, 1), 0xff);
	ck_assert_uint_eq(rig.requests[MACHINE_RESET], 0);
}
END_TEST

START_TEST(cmos_reset_keeps_time_and_nvram)
{
	static const struct moment m = { 0x20, 0x40, 0x01, 0x02,
					 0x03, 0x04, 0x05 };

	put(0x40, 0x77);
	put(B, 0x72);
	put_moment_at_half(&m);
	rig.dev->cls->reset(rig.dev);
	check_moment(&m);
	ck_assert_uint_eq(get(0x40), 0x77);
	ck_assert_uint_eq(get(B), 0x02);
	ck_assert_uint_eq(get(C) & still(C), 0);
	ck_assert(!rig.level);
	put(B, 0x82); /* halted: the machine is reset in mid-setting */
	put(YEAR, 0x41);
	rig.dev->cls->reset(rig.dev);
	ck_assert_uint_eq(get(YEAR), 0x41);
}
END_TEST

/* RAM in MiB below and above 4 GiB; what the bytes must say. */
static const struct {
	uint64_t low_mib, high_mib;
	uint16_t extended_kib, above_16m;
	uint32_t above_4g;
} sizes[] = {
	{ 64, 0, 64512, 48 * 16, 0 },
	{ 3072, 5120, 64511 + 1024, 3056 * 16, 5120 * 16 },
	{ 8, 0, 7168, 0, 0 },
	{ 3072, 2u << 20, 65535, 3056 * 16, 0xffffff },
};

START_TEST(cmos_memory_size)
{
	uint8_t b[3];

	rig.platform.ram[0].size_bytes = MIB(sizes[_i].low_mib);
	rig.platform.ram[1].size_bytes = MIB(sizes[_i].high_mib);
	rig.dev->cls->reset(rig.dev);
	ck_assert_uint_eq(get(0x15) | get(0x16) << 8, 640);
	ck_assert_uint_eq(get(0x17) | get(0x18) << 8, sizes[_i].extended_kib);
	ck_assert_uint_eq(get(0x30) | get(0x31) << 8, sizes[_i].extended_kib);
	ck_assert_uint_eq(get(0x34) | get(0x35) << 8, sizes[_i].above_16m);
	for (unsigned i = 0; i < 3; i++)
		b[i] = get((uint8_t)(0x5b + i));
	ck_assert_uint_eq(b[0] | b[1] << 8 | b[2] << 16, sizes[_i].above_4g);
}
END_TEST

START_TEST(cmos_wide_and_hostile_accesses)
{
	wr(0, 2, 0x5a40); /* index and data at once */
	ck_assert_uint_eq(get(0x40), 0x5a);
	ck_assert_uint_eq(rd(0, 2), 0x5aff);
	ck_assert_uint_eq(rd(0, 4), 0xffffffff); /* sticks out */
	rig_hostile_access(rig.pio, 4, 30000);
	for (unsigned i = 0; i < 256; i++)
		for (unsigned v = 0; v < 256; v += 5)
			put((uint8_t)i, (uint8_t)v);
	for (unsigned i = 0; i < 256; i++)
		get((uint8_t)i);
	rig_run_ms(20);
	rig.dev->cls->reset(rig.dev);
	ck_assert_uint_eq(get(B), 0x02);
}
END_TEST

/* ---- rtc-cmos: interrupts ----------------------------------------------- */

START_TEST(cmos_update_interrupt)
{
	static const struct moment m = { 0x20, 0x26, 0x01, 0x02,
					 0x03, 0x04, 0x05 };

	put(B, 0x12);
	put_moment_at_half(&m);
	put(B, 0x12);
	get(C);
	ck_assert(!rig.level || late());
	rig_run_ms(600);
	ck_assert(rig.level);
	ck_assert_uint_eq(rig.edges, 1);
	rig_run_ms(1100); /* not acknowledged: no more edges */
	ck_assert_uint_eq(rig.edges, 1);
	ck_assert_uint_eq(get(C), 0x90 | 0x40);
	ck_assert(!rig.level);
	ck_assert_uint_eq(get(C) & 0xbf, 0);
	rig_run_ms(1100);
	ck_assert_uint_eq(rig.edges, 2);
}
END_TEST

/* Alarm one second ahead, in ways that match or not. */
static const struct {
	uint8_t hour, minute, second;
	bool fires;
} alarms[] = {
	{ 0x03, 0x05, 0x00, true },  { 0xff, 0xff, 0x00, true },
	{ 0xc0, 0xc0, 0xc0, true },  { 0xff, 0x05, 0xff, true },
	{ 0x03, 0xff, 0xff, true },  { 0x04, 0xff, 0xff, false },
	{ 0x03, 0x04, 0x59, false }, { 0x03, 0x05, 0x01, false },
	{ 0x03, 0x05, 0x77, false }, { 0x99, 0x99, 0x99, false },
};

START_TEST(cmos_alarm)
{
	static const struct moment m = { 0x20, 0x26, 0x01, 0x02,
					 0x03, 0x04, 0x59 };
	uint8_t flags;
	bool level;

	put(HOUR_ALARM, alarms[_i].hour);
	put(MIN_ALARM, alarms[_i].minute);
	put(SEC_ALARM, alarms[_i].second);
	put_moment_at_half(&m);
	get(C);
	put(B, 0x22);
	ck_assert(!rig.level || late());
	cmos_advance(1);
	level = rig.level;
	flags = get(C) & 0xa0;
	if (late())
		return;
	ck_assert_int_eq(level, alarms[_i].fires);
	ck_assert_uint_eq(flags, alarms[_i].fires ? 0xa0 : 0);
}
END_TEST

/* An hour, minute or second that no clock shows: found out at once, not by
 * trying all seconds of a day at each access. */
START_TEST(cmos_alarm_that_never_comes)
{
	static const uint8_t never[][3] = {
		{ 0xff, 0xff, 0x7f },
		{ 0xff, 0x7f, 0xff },
		{ 0x7f, 0xff, 0xff },
	};

	put(HOUR_ALARM, never[_i][0]);
	put(MIN_ALARM, never[_i][1]);
	put(SEC_ALARM, never[_i][2]);
	put(B, 0x22);
	for (unsigned i = 0; i < 100000; i++)
		ck_assert_uint_eq(get(C) & 0x20, 0);
	cmos_advance(2 * 86400);
	ck_assert_uint_eq(get(C) & 0x20, 0);
}
END_TEST

START_TEST(cmos_alarm_wakes_up)
{
	static const struct moment m = { 0x20, 0x26, 0x01, 0x02,
					 0x03, 0x04, 0x59 };

	put(HOUR_ALARM, 0x03);
	put(MIN_ALARM, 0x05);
	put_moment_at_half(&m);
	put(B, 0x22);
	get(C);
	rig_run_ms(200);
	ck_assert(!rig.level || late());
	RIG_UNTIL(rig.level);
}
END_TEST

/* Once a day: it came and went, and comes again. */
START_TEST(cmos_alarm_of_tomorrow)
{
	static const struct moment m = { 0x20, 0x26, 0x12, 0x31,
					 0x03, 0x05, 0x01 };

	put(HOUR_ALARM, 0x03);
	put(MIN_ALARM, 0x05);
	put_moment_at_half(&m);
	put(B, 0x22);
	get(C);
	cmos_advance(86390);
	ck_assert(!rig.level);
	cmos_advance(10);
	ck_assert(rig.level);
}
END_TEST

START_TEST(cmos_alarm_enabled_later_is_not_lost)
{
	static const struct moment m = { 0x20, 0x26, 0x01, 0x02,
					 0x03, 0x04, 0x59 };

	put(HOUR_ALARM, 0x03);
	put(MIN_ALARM, 0x05);
	put(SEC_ALARM, 0x00);
	put_moment_at_half(&m);
	get(C);
	cmos_advance(1);
	ck_assert(!rig.level);
	put(B, 0x22); /* the flag is there already */
	ck_assert(rig.level);
}
END_TEST

/* Rate, and about how many interrupts in 200 ms when each is acknowledged. */
static const struct {
	uint8_t rate;
	unsigned least, most;
} rates[] = {
	{ 0x00, 0, 0 }, { 0x0f, 0, 1 },	  { 0x0d, 1, 2 },
	{ 0x0b, 3, 7 }, { 0x08, 20, 52 }, { 0x01, 20, 52 },
};

START_TEST(cmos_periodic_interrupt)
{
	struct timespec from, now;
	unsigned count = 0, turns = 0;
	int64_t ms = 0;

	put(A, 0x20 | rates[_i].rate);
	get(C);
	put(B, 0x42);
	clock_gettime(CLOCK_MONOTONIC, &from);
	for (; ms < 200; turns++) {
		rig_run_ms(1);
		if (rig.level) {
			ck_assert_uint_eq(get(C) & 0xc0, 0xc0);
			count++;
		}
		clock_gettime(CLOCK_MONOTONIC, &now);
		ms = (now.tv_sec - from.tv_sec) * 1000 +
		     (now.tv_nsec - from.tv_nsec) / 1000000;
	}
	if (turns < 80 || ms > 220) /* this machine is too busy to tell */
		return;
	ck_assert_uint_le(count, rates[_i].most);
	ck_assert_uint_ge(count, rates[_i].least);
}
END_TEST

/* Without an acknowledgement nobody looks at the clock, which would show in
 * the state: the host has no work with a guest that does none. */
START_TEST(cmos_unacknowledged_interrupts_cost_nothing)
{
	struct stream_out a, b;

	put(A, 0x23);
	put(B, 0x72);
	rig_run_ms(20);
	ck_assert(rig.level);
	stream_out_init(&a);
	stream_out_init(&b);
	rig.dev->cls->save(rig.dev, &a);
	rig_run_ms(50);
	rig.dev->cls->save(rig.dev, &b);
	ck_assert_mem_eq(a.data, b.data, a.len);
	stream_out_release(&a);
	stream_out_release(&b);
}
END_TEST

START_TEST(cmos_state)
{
	static const struct moment m = { 0x20, 0x33, 0x04, 0x05,
					 0x06, 0x07, 0x08 };

	put_moment_at_half(&m);
	put(0x44, 0x99);
	put(B, 0x12);
	wr(0, 1, 0x44);
	rig_round_trip(PLAT_PIO, true);
	ck_assert_uint_eq(rd(1, 1), 0x99); /* the index too */
	ck_assert_uint_eq(get(B), 0x12);
	check_moment(&m);
	rig_run_ms(700);
	ck_assert(rig.level);
	rig_hostile_state();
}
END_TEST

START_TEST(cmos_describes_itself)
{
	struct diag d = DIAG_INIT;

	ck_assert_int_eq(rig.dev->cls->describe(rig.dev, &rig.platform, &d), 0);
	ck_assert_uint_eq(rig.platform.dev_count, 1);
	ck_assert_str_eq(rig.platform.dev[0].hid, "PNP0B00");
	ck_assert_uint_eq(rig.platform.dev[0].range[0].size_bytes, 2);
	ck_assert(!rig.platform.dev[0].irq[0].level);
}
END_TEST

/* ---- rtc-pl031 ---------------------------------------------------------- */

enum {
	DR = 0x00,
	MR = 0x04,
	LR = 0x08,
	CR = 0x0c,
	IMSC = 0x10,
	RIS = 0x14,
	MIS = 0x18,
	ICR = 0x1c,
};

static void pl031_setup(void)
{
	rig_open();
	rig.dev = rig_make(&rtc_pl031_class, PLAT_MMIO);
}

static void pl031_advance(int64_t sec)
{
	rig_advance(8 * 4, 4, sec);
}

START_TEST(pl031_tells_the_hosts_time)
{
	time_t before = host_seconds();
	uint32_t guest = (uint32_t)rdm(DR, 4);

	ck_assert_int_ge(guest, before);
	ck_assert_int_le(guest, host_seconds());
}
END_TEST

static const struct {
	unsigned offset;
	uint32_t reset, written, holds;
} pl031_registers[] = {
	{ MR, 0, 0x12345678, 0x12345678 },
	{ LR, 0, 0x12345678, 0x12345678 },
	{ CR, 1, 0, 1 },
	{ IMSC, 0, 0xffffffff, 1 },
	{ RIS, 0, 1, 0 },
	{ MIS, 0, 1, 0 },
	{ ICR, 0, 1, 0 },
	{ 0x20, 0, ~0u, 0 },
	{ 0xfe0, 0x31, 0, 0x31 },
	{ 0xfe4, 0x10, 0, 0x10 },
	{ 0xfe8, 0x04, 0, 0x04 },
	{ 0xfec, 0x00, 1, 0x00 },
	{ 0xff0, 0x0d, 0, 0x0d },
	{ 0xff4, 0xf0, 0, 0xf0 },
	{ 0xff8, 0x05, 0, 0x05 },
	{ 0xffc, 0xb1, 0, 0xb1 },
};

START_TEST(pl031_register_table)
{
	unsigned offset = pl031_registers[_i].offset;

	ck_assert_uint_eq(rdm(offset, 4), pl031_registers[_i].reset);
	wrm(offset, 4, pl031_registers[_i].written);
	ck_assert_uint_eq(rdm(offset, 4), pl031_registers[_i].holds);
	rig.dev->cls->reset(rig.dev);
	ck_assert_uint_eq(rdm(offset, 4), pl031_registers[_i].reset);
}
END_TEST

START_TEST(pl031_is_set_and_counts)
{
	uint64_t from = patience_ns();
	uint32_t now;

	wrm(LR, 4, 1000000);
	now = (uint32_t)rdm(DR, 4);
	ck_assert_uint_ge(now, 1000000);
	ck_assert_uint_le(now, 1000001 + ms_since(from) / 1000);
	rig.dev->cls->reset(rig.dev); /* it has a battery */
	ck_assert_uint_ge(rdm(DR, 4), 1000000);
	pl031_advance(1);
	now = (uint32_t)rdm(DR, 4);
	ck_assert_uint_ge(now, 1000001);
	ck_assert_uint_le(now, 1000002 + ms_since(from) / 1000);
	wrm(DR, 4, 5); /* read-only */
	ck_assert_uint_ge(rdm(DR, 4), 1000001);
}
END_TEST

/* Counter and match; does it interrupt within two seconds? */
static const struct {
	uint32_t counter, ahead;
	bool fires;
} matches[] = {
	{ 5000, 1, true },	     { 5000, 0, true },
	{ 0xffffffff, 1, true },     { 5000, 100, false },
	{ 5000, 0xffffff00, false }, /* in the past */
};

START_TEST(pl031_alarm)
{
	wrm(MR, 4, 1);
	wrm(LR, 4, matches[_i].counter);
	wrm(MR, 4, (uint32_t)rdm(DR, 4) + matches[_i].ahead);
	wrm(IMSC, 4, 1);
	pl031_advance(1);
	ck_assert_int_eq(rig.level, matches[_i].fires);
	ck_assert_uint_eq(rdm(RIS, 4), matches[_i].fires);
	ck_assert_uint_eq(rdm(MIS, 4), matches[_i].fires);
	wrm(ICR, 4, 1);
	ck_assert(!rig.level);
	ck_assert_uint_eq(rdm(RIS, 4), 0);
	pl031_advance(50);
	ck_assert(!rig.level);
}
END_TEST

START_TEST(pl031_alarm_wakes_up)
{
	wrm(MR, 4, (uint32_t)rdm(DR, 4) + 1);
	wrm(IMSC, 4, 1);
	rig_run_ms(1200);
	ck_assert(rig.level);
	ck_assert_uint_eq(rig.edges, 1);
}
END_TEST

/* Acknowledged before anybody looked; it must not come up later. */
START_TEST(pl031_alarm_acknowledged_unseen)
{
	wrm(MR, 4, (uint32_t)rdm(DR, 4) + 1);
	rig_run_ms(1200);
	wrm(ICR, 4, 1);
	ck_assert_uint_eq(rdm(RIS, 4), 0);
}
END_TEST

START_TEST(pl031_host_clock_set_back)
{
	wrm(LR, 4, 5000);
	wrm(MR, 4, 5100);
	wrm(IMSC, 4, 1);
	pl031_advance(-10);
	ck_assert(!rig.level);
	pl031_advance(120);
	ck_assert(rig.level);
}
END_TEST

START_TEST(pl031_masked_alarm_is_remembered)
{
	wrm(MR, 4, (uint32_t)rdm(DR, 4) + 1);
	pl031_advance(2);
	ck_assert(!rig.level);
	ck_assert_uint_eq(rdm(RIS, 4), 1);
	ck_assert_uint_eq(rdm(MIS, 4), 0);
	wrm(IMSC, 4, 1);
	ck_assert(rig.level);
	wrm(IMSC, 4, 0);
	ck_assert(!rig.level);
}
END_TEST

START_TEST(pl031_state)
{
	wrm(LR, 4, 7000);
	wrm(MR, 4, 7001);
	wrm(IMSC, 4, 1);
	rig_round_trip(PLAT_MMIO, true);
	ck_assert_uint_ge(rdm(DR, 4), 7000);
	ck_assert_uint_le(rdm(DR, 4), 7001 + PATIENCE_MS / 1000);
	RIG_UNTIL(rig.level);
	rig_hostile_state();
}
END_TEST

START_TEST(pl031_hostile_accesses)
{
	rig_hostile_access(rig.mmio, 0x28, 20000);
	rig_hostile_access(rig.mmio, 0x1010, 5000);
	rig_run_ms(20);
	rig.dev->cls->reset(rig.dev);
	ck_assert_uint_eq(rdm(MR, 4), 0);
}
END_TEST

START_TEST(pl031_describes_itself)
{
	struct diag d = DIAG_INIT;
	const struct plat_dev *p = &rig.platform.dev[0];

	ck_assert_int_eq(rig.dev->cls->describe(rig.dev, &rig.platform, &d), 0);
	ck_assert_mem_eq(p->compatible, "arm,pl031\0arm,primecell\0", 25);
	ck_assert_uint_eq(p->range[0].size_bytes, 0x1000);
	ck_assert(p->irq[0].level);
	ck_assert_int_eq(p->prop[0].kind, PROP_CLOCK);
}
END_TEST

static TCase *cmos_case(void)
{
	TCase *tc = tcase_create("rtc-cmos");

	tcase_add_checked_fixture(tc, cmos_setup, rig_close);
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, cmos_tells_the_hosts_time);
	tcase_add_loop_test(tc, cmos_carries_over_midnight, 0,
			    ARRAY_SIZE(midnights));
	tcase_add_loop_test(tc, cmos_formats, 0, ARRAY_SIZE(formats));
	tcase_add_test(tc, cmos_set_stops_the_clock);
	tcase_add_test(tc, cmos_update_in_progress);
	tcase_add_loop_test(tc, cmos_register_table, 0,
			    ARRAY_SIZE(cmos_registers));
	tcase_add_test(tc, cmos_reset_keeps_time_and_nvram);
	tcase_add_loop_test(tc, cmos_memory_size, 0, ARRAY_SIZE(sizes));
	tcase_add_test(tc, cmos_wide_and_hostile_accesses);
	tcase_add_test(tc, cmos_update_interrupt);
	tcase_add_loop_test(tc, cmos_alarm, 0, ARRAY_SIZE(alarms));
	tcase_add_loop_test(tc, cmos_alarm_that_never_comes, 0, 3);
	tcase_add_test(tc, cmos_alarm_wakes_up);
	tcase_add_test(tc, cmos_alarm_of_tomorrow);
	tcase_add_test(tc, cmos_alarm_enabled_later_is_not_lost);
	tcase_add_loop_test(tc, cmos_periodic_interrupt, 0, ARRAY_SIZE(rates));
	tcase_add_test(tc, cmos_unacknowledged_interrupts_cost_nothing);
	tcase_add_test(tc, cmos_state);
	tcase_add_test(tc, cmos_describes_itself);
	return tc;
}

static TCase *pl031_case(void)
{
	TCase *tc = tcase_create("rtc-pl031");

	tcase_add_checked_fixture(tc, pl031_setup, rig_close);
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, pl031_tells_the_hosts_time);
	tcase_add_loop_test(tc, pl031_register_table, 0,
			    ARRAY_SIZE(pl031_registers));
	tcase_add_test(tc, pl031_is_set_and_counts);
	tcase_add_loop_test(tc, pl031_alarm, 0, ARRAY_SIZE(matches));
	tcase_add_test(tc, pl031_alarm_wakes_up);
	tcase_add_test(tc, pl031_alarm_acknowledged_unseen);
	tcase_add_test(tc, pl031_host_clock_set_back);
	tcase_add_test(tc, pl031_masked_alarm_is_remembered);
	tcase_add_test(tc, pl031_state);
	tcase_add_test(tc, pl031_hostile_accesses);
	tcase_add_test(tc, pl031_describes_itself);
	return tc;
}

int main(void)
{
	Suite *suite = suite_create("legacy-rtc");

	suite_add_tcase(suite, cmos_case());
	suite_add_tcase(suite, pl031_case());
	return suite_run(suite);
}
