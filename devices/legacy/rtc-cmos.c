/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: real-time clock and NVRAM of the PC, MC146818
 *
 * Motorola MC146818A data sheet (1984); the century at 0x32 is the PC's. Port
 * 0 selects one of 128 bytes (bit 7 would mask NMIs), port 1 accesses it.
 *
 * Time is the host's UTC plus an offset that the guest's writes change. It
 * goes on through a reset of the machine, and so does the NVRAM: both have a
 * battery. The registers are computed when they are read; while updates are
 * halted (SET, or the divider in reset) they are plain memory. UIP is on in
 * the last 244 us of a second. The day of the week follows the date.
 *
 * Update, alarm and periodic flags are found out when somebody looks; a timer
 * runs only while one of them is enabled as an interrupt, and not while an
 * interrupt waits for its acknowledgement (a read of register C), so a guest
 * cannot make us work more than it does itself.
 *
 * The NVRAM tells firmware the memory size: 0x15, 0x17, 0x30 in KiB, 0x34 in
 * 64 KiB above 16 MiB, 0x5b in 64 KiB above 4 GiB. The shutdown byte 0x0f is
 * plain memory: writing 0 to it through index 0x8f, which Cloud Hypervisor
 * takes for a reset, is what BIOSes do while they boot; Linux does it only
 * right before an orderly reset of another kind.
 *
 * Threads: all under fixed.lock; the timer fires on the event-loop thread.
 *
 * Not implemented: square wave, daylight saving, daily test bits.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <time.h>

#include "vmm/base/bytes.h"

#include "devices/legacy/fixed.h"
#include "devices/legacy/legacy.h"

#define PORTS		2
#define RAM_BYTES	128
#define NS_PER_SECOND	1000000000
#define SECONDS_PER_DAY 86400
#define UIP_NS		244000
#define CRYSTAL_HZ	32768
/* Years 0 to 9999, seen from any sensible host clock, and then some. */
#define OFFSET_MAX 1000000000000

enum {
	SECONDS = 0x00,
	SECONDS_ALARM = 0x01,
	MINUTES = 0x02,
	MINUTES_ALARM = 0x03,
	HOURS = 0x04,
	HOURS_ALARM = 0x05,
	WEEKDAY = 0x06,
	DAY = 0x07,
	MONTH = 0x08,
	YEAR = 0x09,
	REG_A = 0x0a,
	REG_B = 0x0b,
	REG_C = 0x0c,
	REG_D = 0x0d,
	BASE_KIB = 0x15,
	EXTENDED_KIB = 0x17,
	EXTENDED_KIB_2 = 0x30,
	CENTURY = 0x32,
	ABOVE_16M = 0x34,
	ABOVE_4G = 0x5b,

	A_UIP = 0x80,
	A_DIVIDER_RESET = 0x60,
	A_DIVIDER_32K = 0x20,
	A_RATE = 0x0f,
	A_RATE_1K = 0x06,

	B_SET = 0x80,
	B_24H = 0x02,
	B_BINARY = 0x04,

	/* The same bits enable in B and flag in C. */
	PERIODIC = 0x40,
	ALARM = 0x20,
	UPDATE = 0x10,
	EVENTS = PERIODIC | ALARM | UPDATE,
	C_IRQ = 0x80,

	D_VALID = 0x80,
	HOUR_PM = 0x80,
	ALARM_ANY = 0xc0,
};

/** struct instant - @sec seconds since 1970, any sign, and @ns of a second */
struct instant {
	int64_t sec;
	uint32_t ns;
};

/** struct date - a time of day and date, all in natural units */
struct date {
	int64_t year;
	unsigned month, day, weekday, hour, minute, second;
};

/**
 * struct cmos - the device; guarded by @fixed.lock
 * @index: selected byte
 * @ram: all bytes; the time only while halted
 * @offset_sec, @offset_ns: the guest's time minus the host's; the latter less
 *	than a second
 * @seen: the guest's time when flags were last looked for
 * @timer: the next event that would interrupt; @armed: it is running
 */
struct cmos {
	struct device dev;
	struct fixed fixed;
	uint8_t index;
	uint8_t ram[RAM_BYTES];
	int64_t offset_sec;
	uint32_t offset_ns;
	struct instant seen;
	struct event_timer timer;
	bool armed;
};

static struct cmos *to_cmos(struct device *dev)
{
	return container_of(dev, struct cmos, dev);
}

static const struct cmos *to_const(const struct device *dev)
{
	static_assert(offsetof(struct cmos, dev) == 0, "first member");
	return (const void *)dev;
}

/* ---- calendar ----------------------------------------------------------- */

/*
 * Days since 1970-01-01 in the Gregorian calendar. Years are counted from
 * March, so that the leap day comes last, in eras of 400 years.
 */
static int64_t days_from_date(int64_t year, unsigned month, unsigned day)
{
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t of_era = y - era * 400;
	int64_t of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 +
	       of_year - 719468;
}

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

static struct date date_from_seconds(int64_t sec)
{
	int64_t days = floor_div(sec, SECONDS_PER_DAY);
	unsigned left = (unsigned)(sec - days * SECONDS_PER_DAY);
	int64_t z = days + 719468;
	int64_t era = floor_div(z, 146097);
	int64_t doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	unsigned mp = (unsigned)((5 * doy + 2) / 153);
	unsigned month = mp < 10 ? mp + 3 : mp - 9;

	return (struct date){
		.year = yoe + era * 400 + (month <= 2),
		.month = month,
		.day = (unsigned)doy - (153 * mp + 2) / 5 + 1,
		.weekday = (unsigned)((days % 7 + 11) % 7) + 1, /* 1: Sunday */
		.hour = left / 3600,
		.minute = left / 60 % 60,
		.second = left % 60,
	};
}

static int64_t seconds_from_date(const struct date *t)
{
	return days_from_date(t->year, t->month, t->day) * SECONDS_PER_DAY +
	       (int64_t)t->hour * 3600 + (int64_t)t->minute * 60 + t->second;
}

/* ---- register formats (data sheet, table 3) ----------------------------- */

static uint8_t encode(const struct cmos *c, unsigned v)
{
	return (uint8_t)(c->ram[REG_B] & B_BINARY ? v : v / 10 << 4 | v % 10);
}

static unsigned decode(const struct cmos *c, uint8_t v)
{
	return c->ram[REG_B] & B_BINARY ? v : (v >> 4) * 10u + (v & 15);
}

static uint8_t encode_hour(const struct cmos *c, unsigned hour)
{
	if (c->ram[REG_B] & B_24H)
		return encode(c, hour);
	return encode(c, hour % 12 ? hour % 12 : 12) |
	       (hour >= 12 ? HOUR_PM : 0);
}

static unsigned decode_hour(const struct cmos *c, uint8_t v)
{
	if (c->ram[REG_B] & B_24H)
		return decode(c, v);
	return decode(c, v & (0xff ^ HOUR_PM)) % 12 + (v & HOUR_PM ? 12 : 0);
}

static void store_date(struct cmos *c, const struct date *t)
{
	c->ram[SECONDS] = encode(c, t->second);
	c->ram[MINUTES] = encode(c, t->minute);
	c->ram[HOURS] = encode_hour(c, t->hour);
	c->ram[WEEKDAY] = encode(c, t->weekday);
	c->ram[DAY] = encode(c, t->day);
	c->ram[MONTH] = encode(c, t->month);
	c->ram[YEAR] = encode(c, (unsigned)(t->year % 100 + 100) % 100);
	c->ram[CENTURY] =
		encode(c, (unsigned)(t->year / 100 % 100 + 100) % 100);
}

static unsigned clamp(unsigned v, unsigned low, unsigned high)
{
	return MIN(MAX(v, low), high);
}

/* Whatever the guest wrote becomes some date. */
static struct date load_date(const struct cmos *c)
{
	unsigned century = clamp(decode(c, c->ram[CENTURY]), 0, 99);

	return (struct date){
		.second = clamp(decode(c, c->ram[SECONDS]), 0, 59),
		.minute = clamp(decode(c, c->ram[MINUTES]), 0, 59),
		.hour = clamp(decode_hour(c, c->ram[HOURS]), 0, 23),
		.day = clamp(decode(c, c->ram[DAY]), 1, 31),
		.month = clamp(decode(c, c->ram[MONTH]), 1, 12),
		.year = (century ? century : 20) * 100 +
			clamp(decode(c, c->ram[YEAR]), 0, 99),
	};
}

/* ---- the running clock -------------------------------------------------- */

static bool halted(const struct cmos *c)
{
	return (c->ram[REG_B] & B_SET) ||
	       (c->ram[REG_A] & A_DIVIDER_RESET) == A_DIVIDER_RESET;
}

static struct instant host_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (struct instant){ ts.tv_sec, (uint32_t)ts.tv_nsec };
}

static struct instant guest_now(const struct cmos *c)
{
	struct instant t = host_now();

	t.sec += c->offset_sec;
	t.ns += c->offset_ns;
	if (t.ns >= NS_PER_SECOND) {
		t.ns -= NS_PER_SECOND;
		t.sec++;
	}
	return t;
}

/* Let the clock go on from @t. */
static void set_clock(struct cmos *c, struct instant t)
{
	struct instant host = host_now();
	bool borrow = t.ns < host.ns;

	c->offset_sec = t.sec - host.sec - borrow;
	c->offset_ns = t.ns + (borrow ? NS_PER_SECOND : 0) - host.ns;
	c->seen = t;
}

static void latch(struct cmos *c)
{
	struct date t = date_from_seconds(guest_now(c).sec);

	store_date(c, &t);
}

/* Take over what the time registers hold; @ns into that second. */
static void unlatch(struct cmos *c, uint32_t ns)
{
	struct date t = load_date(c);

	set_clock(c, (struct instant){ seconds_from_date(&t), ns });
}

/* ---- events ------------------------------------------------------------- */

static bool alarm_field_matches(uint8_t alarm, unsigned wanted, unsigned v)
{
	return alarm >= ALARM_ANY || wanted == v;
}

static bool alarm_field_exists(uint8_t alarm, unsigned wanted, unsigned count)
{
	return alarm >= ALARM_ANY || wanted < count;
}

/*
 * The first second after @sec that matches the alarm, within a day; or
 * INT64_MAX. Steps by hours, then minutes, then seconds: some 200 at most,
 * because a field that no clock shows is found out first.
 */
static int64_t next_alarm(const struct cmos *c, int64_t sec)
{
	unsigned hour = decode_hour(c, c->ram[HOURS_ALARM]);
	unsigned minute = decode(c, c->ram[MINUTES_ALARM]);
	unsigned second = decode(c, c->ram[SECONDS_ALARM]);
	int64_t t = sec + 1;

	if (!alarm_field_exists(c->ram[HOURS_ALARM], hour, 24) ||
	    !alarm_field_exists(c->ram[MINUTES_ALARM], minute, 60) ||
	    !alarm_field_exists(c->ram[SECONDS_ALARM], second, 60))
		return INT64_MAX;
	while (t <= sec + SECONDS_PER_DAY) {
		unsigned of_day = (unsigned)(t - floor_div(t, SECONDS_PER_DAY) *
							 SECONDS_PER_DAY);

		if (!alarm_field_matches(c->ram[HOURS_ALARM], hour,
					 of_day / 3600))
			t += 3600 - of_day % 3600;
		else if (!alarm_field_matches(c->ram[MINUTES_ALARM], minute,
					      of_day / 60 % 60))
			t += 60 - of_day % 60;
		else if (!alarm_field_matches(c->ram[SECONDS_ALARM], second,
					      of_day % 60))
			t++;
		else
			return t;
	}
	return INT64_MAX;
}

/* Cycles of the crystal per period (a power of two), 0: none. Rates 1 and 2
 * are as 8 and 9 with this crystal. */
static uint32_t period_cycles(const struct cmos *c)
{
	unsigned rate = c->ram[REG_A] & A_RATE;

	if (!rate)
		return 0;
	return 1u << (rate <= 2 ? rate + 6 : rate - 1);
}

static uint32_t cycles_of_second(struct instant t)
{
	return (uint32_t)((uint64_t)t.ns * CRYSTAL_HZ / NS_PER_SECOND);
}

static bool period_passed(const struct cmos *c, struct instant from,
			  struct instant to)
{
	uint32_t cycles = period_cycles(c);

	if (!cycles)
		return false;
	return from.sec != to.sec ||
	       cycles_of_second(from) / cycles != cycles_of_second(to) / cycles;
}

static bool is_before(struct instant a, struct instant b)
{
	return a.sec < b.sec || (a.sec == b.sec && a.ns < b.ns);
}

/* Flag what happened since we looked last. */
static void look(struct cmos *c)
{
	struct instant from = c->seen;
	struct instant now = guest_now(c);

	c->seen = now;
	if (halted(c) || !is_before(from, now))
		return;
	if (now.sec != from.sec)
		c->ram[REG_C] |= UPDATE;
	if (now.sec != from.sec && next_alarm(c, from.sec) <= now.sec)
		c->ram[REG_C] |= ALARM;
	if (period_passed(c, from, now))
		c->ram[REG_C] |= PERIODIC;
}

static uint64_t ns_until_second(const struct cmos *c, int64_t sec)
{
	/* sec is at most a day ahead */
	return (uint64_t)(sec - c->seen.sec) * NS_PER_SECOND - c->seen.ns;
}

static uint64_t ns_until_period(const struct cmos *c)
{
	uint32_t cycles = period_cycles(c);
	uint32_t next = (cycles_of_second(c->seen) / cycles + 1) * cycles;

	return (uint64_t)next * NS_PER_SECOND / CRYSTAL_HZ + 1 - c->seen.ns;
}

/* Time to the next event that would interrupt, 0: none. */
static uint64_t next_event_ns(const struct cmos *c)
{
	uint8_t enabled = c->ram[REG_B] & EVENTS;
	uint64_t ns = UINT64_MAX;
	int64_t alarm = INT64_MAX;

	if (halted(c) || (c->ram[REG_C] & C_IRQ))
		return 0;
	if (enabled & UPDATE)
		ns = ns_until_second(c, c->seen.sec + 1);
	if (enabled & ALARM)
		alarm = next_alarm(c, c->seen.sec);
	if (alarm != INT64_MAX)
		ns = MIN(ns, ns_until_second(c, alarm));
	if ((enabled & PERIODIC) && period_cycles(c))
		ns = MIN(ns, ns_until_period(c));
	return ns == UINT64_MAX ? 0 : ns;
}

/* Interrupt if an enabled event is flagged, else wake up at the next. */
static void update(struct cmos *c)
{
	uint64_t ns;

	if (c->ram[REG_C] & c->ram[REG_B] & EVENTS)
		c->ram[REG_C] |= C_IRQ;
	else
		c->ram[REG_C] &= 0xff ^ C_IRQ;
	fixed_drive(&c->fixed, c->ram[REG_C] & C_IRQ);
	ns = next_event_ns(c);
	if (ns || c->armed)
		event_timer_set(&c->timer, ns, 0);
	c->armed = ns != 0;
}

static void timer_fired(void *opaque)
{
	struct cmos *c = opaque;

	pthread_mutex_lock(&c->fixed.lock);
	c->armed = false;
	look(c);
	update(c);
	pthread_mutex_unlock(&c->fixed.lock);
}

/* ---- registers ---------------------------------------------------------- */

static bool is_time(unsigned i)
{
	return i == CENTURY || (i <= YEAR && i != SECONDS_ALARM &&
				i != MINUTES_ALARM && i != HOURS_ALARM);
}

static uint8_t read_ram(struct cmos *c, unsigned i)
{
	uint8_t value;

	if (is_time(i) && !halted(c))
		latch(c);
	value = c->ram[i];
	if (i == REG_A && !halted(c) &&
	    guest_now(c).ns >= NS_PER_SECOND - UIP_NS)
		value |= A_UIP;
	if (i == REG_C) {
		look(c);
		update(c);
		value = c->ram[REG_C];
		c->ram[REG_C] = 0;
		update(c);
	}
	return value;
}

/*
 * A and B: changing the halt state changes who owns the time registers. After
 * a reset of the divider the first update comes half a second later.
 */
static void write_control(struct cmos *c, unsigned i, uint8_t value)
{
	bool was_halted = halted(c);

	if (!was_halted)
		latch(c);
	c->ram[i] = value;
	if (c->ram[REG_B] & B_SET)
		c->ram[REG_B] &= 0xff ^ UPDATE; /* as the chip does */
	if (was_halted && !halted(c))
		unlatch(c, i == REG_A ? NS_PER_SECOND / 2 : guest_now(c).ns);
}

static void write_time(struct cmos *c, unsigned i, uint8_t value)
{
	if (halted(c)) {
		c->ram[i] = value;
		return;
	}
	latch(c);
	c->ram[i] = value;
	unlatch(c, guest_now(c).ns);
}

static void write_ram(struct cmos *c, unsigned i, uint8_t value)
{
	if (i == REG_C || i == REG_D)
		return;
	look(c);
	if (i == REG_A)
		write_control(c, i, value & (0xff ^ A_UIP));
	else if (i == REG_B)
		write_control(c, i, value);
	else if (is_time(i))
		write_time(c, i, value);
	else
		c->ram[i] = value;
	if (i <= REG_B || i == CENTURY)
		update(c);
}

/* The index port is write-only. */
static uint8_t get_byte(void *opaque, uint64_t offset_bytes)
{
	struct cmos *c = opaque;

	return offset_bytes ? read_ram(c, c->index) : 0xff;
}

static void put_byte(void *opaque, uint64_t offset_bytes, uint8_t value)
{
	struct cmos *c = opaque;

	if (offset_bytes)
		write_ram(c, c->index, value);
	else
		c->index = value % RAM_BYTES;
}

static uint64_t cmos_read(void *opaque, uint64_t offset_bytes,
			  unsigned size_bytes)
{
	return fixed_read_bytes(opaque, offset_bytes, size_bytes, get_byte);
}

static void cmos_write(void *opaque, uint64_t offset_bytes, unsigned size_bytes,
		       uint64_t value)
{
	fixed_write_bytes(opaque, offset_bytes, size_bytes, value, put_byte);
}

static const struct bus_ops cmos_ops = { .read = cmos_read,
					 .write = cmos_write };

/* ---- memory size -------------------------------------------------------- */

static void store_memory_size(struct cmos *c)
{
	const struct platform *p = c->dev.env->platform;
	uint64_t low = 0, high = 0;

	for (unsigned i = 0; p && i < p->ram_count; i++) {
		if (p->ram[i].base < GIB(4))
			low += p->ram[i].size_bytes;
		else
			high += p->ram[i].size_bytes;
	}
	put_le16(&c->ram[BASE_KIB], 640);
	put_le16(&c->ram[EXTENDED_KIB],
		 (uint16_t)(MIN(MAX(low, MIB(1)) - MIB(1), MIB(64) - KIB(1)) /
			    KIB(1)));
	memcpy(&c->ram[EXTENDED_KIB_2], &c->ram[EXTENDED_KIB], 2);
	put_le16(&c->ram[ABOVE_16M],
		 (uint16_t)((MAX(low, MIB(16)) - MIB(16)) / KIB(64)));
	high = MIN(high / KIB(64), 0xffffff);
	put_le16(&c->ram[ABOVE_4G], (uint16_t)high);
	c->ram[ABOVE_4G + 2] = (uint8_t)(high >> 16);
}

/* ---- device ------------------------------------------------------------- */

static void cmos_reset(struct device *dev)
{
	struct cmos *c = to_cmos(dev);

	if (halted(c))
		unlatch(c, guest_now(c).ns);
	c->ram[REG_A] = A_DIVIDER_32K | A_RATE_1K;
	c->ram[REG_B] = B_24H;
	c->ram[REG_C] = 0;
	c->ram[REG_D] = D_VALID;
	c->ram[SECONDS_ALARM] = c->ram[MINUTES_ALARM] = 0;
	c->ram[HOURS_ALARM] = 0;
	c->index = 0;
	c->seen = guest_now(c);
	store_memory_size(c);
	fixed_lower(&c->fixed);
	update(c);
}

static int cmos_realize(struct device *dev, const struct device_place *place,
			struct diag *d)
{
	struct cmos *c = to_cmos(dev);
	int err = event_timer_init(&c->timer, dev->env->loop, timer_fired, c);

	if (err)
		return diag_errno(d, -err, "rtc-cmos: cannot make a timer");
	err = fixed_realize(&c->fixed, dev, place, PORTS, &cmos_ops, d);
	if (err)
		event_timer_release(&c->timer);
	else
		cmos_reset(dev);
	return err;
}

static void cmos_unrealize(struct device *dev)
{
	struct cmos *c = to_cmos(dev);

	event_timer_release(&c->timer);
	fixed_unrealize(&c->fixed);
}

static int cmos_describe(const struct device *dev, struct platform *p,
			 struct diag *d)
{
	struct plat_dev out = {
		.role = PLAT_PLAIN,
		.name = "rtc",
		.hid = "PNP0B00",
	};

	fixed_describe(&to_const(dev)->fixed, &out, false);
	return platform_add(p, &out, d);
}

static void cmos_save(const struct device *dev, struct stream_out *out)
{
	const struct cmos *c = to_const(dev);

	stream_put_u8(out, c->index);
	stream_put(out, c->ram, sizeof(c->ram));
	stream_put_u64(out, (uint64_t)c->offset_sec);
	stream_put_u32(out, c->offset_ns);
	stream_put_u64(out, (uint64_t)c->seen.sec);
	stream_put_u32(out, c->seen.ns);
}

static bool in_range(int64_t sec, uint32_t ns)
{
	return sec >= -OFFSET_MAX && sec <= OFFSET_MAX && ns < NS_PER_SECOND;
}

static bool state_valid(const struct cmos *c)
{
	return c->index < RAM_BYTES && in_range(c->offset_sec, c->offset_ns) &&
	       in_range(c->seen.sec, c->seen.ns) && !(c->ram[REG_A] & A_UIP) &&
	       !(c->ram[REG_C] & ~(C_IRQ | EVENTS)) && c->ram[REG_D] == D_VALID;
}

/* The guest's time is the host's again, plus its offset: the time that the
 * machine was saved for has passed. */
static int cmos_load(struct device *dev, struct stream_in *in, struct diag *d)
{
	struct cmos *c = to_cmos(dev);
	struct cmos new = { .index = stream_get_u8(in) };

	stream_get(in, new.ram, sizeof(new.ram));
	new.offset_sec = (int64_t)stream_get_u64(in);
	new.offset_ns = stream_get_u32(in);
	new.seen.sec = (int64_t)stream_get_u64(in);
	new.seen.ns = stream_get_u32(in);
	if (in->failed || !state_valid(&new))
		return diag_fail(d, EBADMSG, "rtc-cmos: bad state");
	c->index = new.index;
	memcpy(c->ram, new.ram, sizeof(c->ram));
	c->offset_sec = new.offset_sec;
	c->offset_ns = new.offset_ns;
	c->seen = new.seen;
	look(c);
	update(c);
	return 0;
}

const struct device_class rtc_cmos_class = {
	.name = "rtc-cmos",
	.size_bytes = sizeof(struct cmos),
	.realize = cmos_realize,
	.describe = cmos_describe,
	.reset = cmos_reset,
	.save = cmos_save,
	.load = cmos_load,
	.unrealize = cmos_unrealize,
};
