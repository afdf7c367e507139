/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: real-time clock PL031
 *
 * Arm PrimeCell RTC (PL031) TRM, DDI0224C: a 32-bit counter of seconds, here
 * of UTC since 1970, with one match register. Names are the manual's.
 *
 * The counter is the host's clock plus an offset that writes to RTCLR change;
 * like a battery-backed clock it goes on through a reset of the machine.
 *
 * Threads: all under pc.fixed.lock; the alarm fires on the event-loop thread.
 *
 * Not implemented: stopping the counter (RTCCR stays 1, as the manual says it
 * does once it was written).
 */
#include <assert.h>
#include <errno.h>
#include <time.h>

#include "devices/legacy/legacy.h"
#include "devices/legacy/primecell.h"

#define NS_PER_SECOND 1000000000

enum { DR, MR, LR, CR, IMSC, RIS, MIS, ICR, REG_COUNT };

static_assert(REG_COUNT <= PRIMECELL_REGS, "room for all registers");

/**
 * struct rtc - the clock; guarded by pc.fixed.lock
 * @offset: counter minus the host's seconds, modulo 2^32
 * @seen: counter when the match was last looked for
 * @alarm: fires when the counter may match
 * @armed: it is running
 */
struct rtc {
	struct primecell pc;
	uint32_t offset, seen;
	struct event_timer alarm;
	bool armed;
};

static struct rtc *to_rtc(struct primecell *pc)
{
	return container_of(pc, struct rtc, pc);
}

static struct timespec host_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts;
}

static uint32_t counter(const struct rtc *r)
{
	return (uint32_t)host_now().tv_sec + r->offset;
}

/* ---- match -------------------------------------------------------------- */

/* Did the counter pass MR since we looked last? */
static void look(struct rtc *r)
{
	uint32_t now = counter(r);
	uint32_t passed = now - r->seen;
	uint32_t ahead = r->pc.reg[MR] - r->seen;

	/* A host clock that was set back has not passed anything. */
	if (passed <= INT32_MAX && ahead && ahead <= passed)
		r->pc.reg[RIS] = 1;
	r->seen = now;
}

/* Wake up at the match, if it would interrupt and has not yet. */
static void arm(struct rtc *r)
{
	const uint32_t *reg = r->pc.reg;
	struct timespec ts = host_now();
	uint32_t ahead = reg[MR] - ((uint32_t)ts.tv_sec + r->offset);
	bool want = (reg[IMSC] & 1) && !reg[RIS] && ahead;
	uint64_t delay_ns = (uint64_t)ahead * NS_PER_SECOND;

	if (want || r->armed)
		event_timer_set(&r->alarm,
				want ? delay_ns - (uint64_t)ts.tv_nsec : 0, 0);
	r->armed = want;
}

static void rtc_update(struct primecell *pc)
{
	fixed_drive(&pc->fixed, pc->reg[RIS] & pc->reg[IMSC]);
}

static void alarm_fired(void *opaque)
{
	struct rtc *r = opaque;

	pthread_mutex_lock(&r->pc.fixed.lock);
	r->armed = false;
	look(r);
	rtc_update(&r->pc);
	arm(r); /* the host's clock may have been changed */
	pthread_mutex_unlock(&r->pc.fixed.lock);
}

/* ---- registers (sec. 3.3) ----------------------------------------------- */

static uint32_t read_dr(struct primecell *pc)
{
	return counter(to_rtc(pc));
}

static void write_mr(struct primecell *pc, uint32_t value, uint32_t before)
{
	struct rtc *r = to_rtc(pc);

	(void)before;
	r->seen = counter(r);
	if (value == r->seen)
		pc->reg[RIS] = 1;
	arm(r);
}

static void write_lr(struct primecell *pc, uint32_t value, uint32_t before)
{
	struct rtc *r = to_rtc(pc);

	(void)before;
	r->offset = value - (uint32_t)host_now().tv_sec;
	r->seen = value;
	if (value == pc->reg[MR])
		pc->reg[RIS] = 1;
	arm(r);
}

static void write_imsc(struct primecell *pc, uint32_t value, uint32_t before)
{
	(void)value;
	(void)before;
	look(to_rtc(pc));
	arm(to_rtc(pc));
}

static uint32_t read_ris(struct primecell *pc)
{
	look(to_rtc(pc));
	return pc->reg[RIS];
}

static uint32_t read_mis(struct primecell *pc)
{
	return read_ris(pc) & pc->reg[IMSC];
}

static void write_icr(struct primecell *pc, uint32_t value, uint32_t before)
{
	(void)before;
	look(to_rtc(pc));
	pc->reg[RIS] &= ~value;
	arm(to_rtc(pc));
}

static const struct primecell_reg regs[REG_COUNT] = {
	[DR] = { .offset = 0x000, .read = read_dr },
	[MR] = { .offset = 0x004, .writable = ~0u, .write = write_mr },
	[LR] = { .offset = 0x008, .writable = ~0u, .write = write_lr },
	[CR] = { .offset = 0x00c, .reset = 1 },
	[IMSC] = { .offset = 0x010, .writable = 1, .write = write_imsc },
	[RIS] = { .offset = 0x014, .state = 1, .read = read_ris },
	[MIS] = { .offset = 0x018, .read = read_mis },
	[ICR] = { .offset = 0x01c, .write = write_icr },
};

static const struct primecell_type rtc_type = {
	.part = 0x00041031,
	.reg = regs,
	.reg_count = REG_COUNT,
	.update = rtc_update,
};

/* ---- device ------------------------------------------------------------- */

static void rtc_reset(struct device *dev)
{
	struct rtc *r = to_rtc(to_primecell(dev));

	primecell_reset(&r->pc);
	r->seen = counter(r);
	arm(r);
}

static int rtc_realize(struct device *dev, const struct device_place *place,
		       struct diag *d)
{
	struct rtc *r = to_rtc(to_primecell(dev));
	int err = event_timer_init(&r->alarm, dev->env->loop, alarm_fired, r);

	if (err)
		return diag_errno(d, -err, "rtc-pl031: cannot make a timer");
	err = primecell_realize(&r->pc, place, d);
	if (err)
		event_timer_release(&r->alarm);
	return err;
}

static void rtc_unrealize(struct device *dev)
{
	struct rtc *r = to_rtc(to_primecell(dev));

	event_timer_release(&r->alarm);
	fixed_unrealize(&r->pc.fixed);
}

static int rtc_describe(const struct device *dev, struct platform *p,
			struct diag *d)
{
	struct plat_dev out = {
		.role = PLAT_PLAIN,
		.name = "rtc",
		.compatible = "arm,pl031\0arm,primecell\0",
	};

	primecell_describe(to_const_primecell(dev), &out, 1, "apb_pclk");
	return platform_add(p, &out, d);
}

static void rtc_save(const struct device *dev, struct stream_out *out)
{
	const struct rtc *r = (const void *)dev;

	static_assert(offsetof(struct rtc, pc) == 0, "first member");
	primecell_save(&r->pc, out);
	stream_put_u32(out, r->offset);
	stream_put_u32(out, r->seen);
}

/* An alarm whose time passed while the machine was saved fires now. */
static int rtc_load(struct device *dev, struct stream_in *in, struct diag *d)
{
	struct rtc *r = to_rtc(to_primecell(dev));
	uint32_t reg[PRIMECELL_REGS];
	int err = primecell_get(&r->pc, in, reg, d);
	uint32_t offset = stream_get_u32(in);
	uint32_t seen = stream_get_u32(in);

	if (err)
		return err;
	if (in->failed)
		return diag_fail(d, EBADMSG, "rtc-pl031: state is cut off");
	r->offset = offset;
	r->seen = seen;
	primecell_put(&r->pc, reg);
	look(r);
	rtc_update(&r->pc);
	arm(r);
	return 0;
}

const struct device_class rtc_pl031_class = {
	.name = "rtc-pl031",
	.size_bytes = sizeof(struct rtc),
	.data = &rtc_type,
	.realize = rtc_realize,
	.describe = rtc_describe,
	.reset = rtc_reset,
	.save = rtc_save,
	.load = rtc_load,
	.unrealize = rtc_unrealize,
};
