/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: watchdog: Arm SP805, which also speaks ACPI's WDAT
 *
 * Arm PrimeCell Watchdog (SP805) TRM, DDI0270B: a counter of 24 MHz ticks that
 * interrupts when it reaches zero and, if nobody has cleared that when it does
 * so again, resets the machine. Names are the manual's; its interrupt goes
 * nowhere.
 *
 * Machines with ACPI tables describe the same registers in a WDAT
 * (firmware/acpi.c), whose counts are whole milliseconds: three registers of
 * our own, where SP805 has none, count in those:
 *
 *	0x100 PERIOD  milliseconds from a refresh to the reset; rw
 *	0x104 LEFT    milliseconds left; ro
 *	0x108 FIRED   1: the last reset of the machine was ours; writing clears
 *
 * so that Linux drives the one device as sp805_wdt (FDT) and as wdat_wdt
 * (ACPI). FIRED survives the reset.
 *
 * The counter runs on the host's monotonic clock and stands while the machine
 * is paused; one that was saved goes on with the time that was left.
 *
 * Threads: all under pc.fixed.lock; expiry on the event-loop thread.
 *
 * Not implemented: integration test registers (0xf00, 0xf04).
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "vmm/base/log.h"

#include "devices/legacy/legacy.h"
#include "devices/legacy/primecell.h"

#define NS_PER_SECOND UINT64_C(1000000000)
#define HZ	      UINT64_C(24000000) /* the APB clock of the FDT */
#define TICKS_PER_MS  (HZ / 1000)
#define UNLOCK	      0x1acce551 /* sec. 3.3.7 */

enum {
	INTCLR,
	LOAD,
	VALUE,
	CONTROL,
	RIS,
	MIS,
	LOCK,
	PERIOD,
	LEFT,
	FIRED,
	REG_COUNT,
};

static_assert(REG_COUNT <= PRIMECELL_REGS, "room for all registers");

/* sec. 3.3.3 */
enum { INTEN = 1 << 0, RESEN = 1 << 1 };

static_assert(WATCHDOG_RUN == (INTEN | RESEN), "what a WDAT writes");

/**
 * struct watchdog - guarded by pc.fixed.lock
 * @start_ns: when the counter was last LOAD, if it runs (INTEN)
 * @expiry: fires when it reaches zero
 * @paused: it stands at @paused_value
 * @resets: how often we have reset the machine
 */
struct watchdog {
	struct primecell pc;
	uint64_t start_ns;
	struct event_timer expiry;
	bool paused;
	uint32_t paused_value;
	uint64_t resets;
};

static struct watchdog *to_watchdog(struct primecell *pc)
{
	return container_of(pc, struct watchdog, pc);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_SECOND + (uint64_t)ts.tv_nsec;
}

/* ---- the counter --------------------------------------------------------- */

static bool runs(const struct watchdog *w)
{
	return w->pc.reg[CONTROL] & INTEN;
}

/* Ticks from LOAD to the event: it counts LOAD, LOAD - 1, … 0. */
static uint64_t period_ticks(const struct watchdog *w)
{
	return w->pc.reg[LOAD] + UINT64_C(1);
}

/* At most 2^32 ticks: nothing overflows. */
static uint64_t ticks_to_ns(uint64_t ticks)
{
	return ticks * NS_PER_SECOND / HZ;
}

static uint64_t elapsed_ticks(const struct watchdog *w)
{
	uint64_t ns = now_ns() - w->start_ns;

	return ns / NS_PER_SECOND * HZ +
	       ns % NS_PER_SECOND * HZ / NS_PER_SECOND;
}

static uint32_t value(const struct watchdog *w)
{
	if (!runs(w))
		return w->pc.reg[LOAD];
	if (w->paused)
		return w->paused_value;
	/* An expiry that is on its way already: the timer is late. */
	return (uint32_t)(w->pc.reg[LOAD] -
			  MIN(elapsed_ticks(w), period_ticks(w) - 1));
}

/* Count from @from, at most LOAD. An interrupt that cannot reset needs no
 * timer. */
static void count_from(struct watchdog *w, uint32_t from)
{
	bool want = runs(w) && !w->paused &&
		    (!w->pc.reg[RIS] || w->pc.reg[CONTROL] & RESEN);
	uint64_t delay_ns = ticks_to_ns(from + UINT64_C(1));

	w->paused_value = from;
	w->start_ns = now_ns() - ticks_to_ns(w->pc.reg[LOAD] - from);
	event_timer_set(&w->expiry, want ? delay_ns : 0, 0);
}

static void reload(struct watchdog *w)
{
	count_from(w, w->pc.reg[LOAD]);
}

static void bite(struct watchdog *w)
{
	const struct device_env *env = w->pc.dev.env;

	/* A guest may do so for ever: the 1st, 2nd, 4th, 8th … time is said. */
	if (is_pow2(++w->resets))
		log_warn("%s: the guest has not refreshed it in time: the "
			 "machine is reset (%llu so far)",
			 w->pc.dev.id, (unsigned long long)w->resets);
	w->pc.reg[FIRED] = 1;
	w->pc.reg[CONTROL] = 0;
	env->request(env->machine, MACHINE_RESET);
}

static void expired(void *opaque)
{
	struct watchdog *w = opaque;

	pthread_mutex_lock(&w->pc.fixed.lock);
	/* The guest may have refreshed it since the timer fired. */
	if (runs(w) && !w->paused && elapsed_ticks(w) + 1 >= period_ticks(w)) {
		if (w->pc.reg[RIS] && w->pc.reg[CONTROL] & RESEN)
			bite(w);
		w->pc.reg[RIS] = 1;
		reload(w);
	}
	pthread_mutex_unlock(&w->pc.fixed.lock);
}

/* ---- registers (sec. 3.3) ------------------------------------------------ */

static bool locked(const struct primecell *pc)
{
	return pc->reg[LOCK];
}

static void write_load(struct primecell *pc, uint32_t v, uint32_t before)
{
	(void)before;
	if (locked(pc))
		return;
	pc->reg[LOAD] = v;
	reload(to_watchdog(pc));
}

static uint32_t read_value(struct primecell *pc)
{
	return value(to_watchdog(pc));
}

static void write_control(struct primecell *pc, uint32_t v, uint32_t before)
{
	(void)before;
	if (locked(pc))
		return;
	before = pc->reg[CONTROL];
	pc->reg[CONTROL] = v & (INTEN | RESEN);
	/* Starting reloads; RESEN alone must not lengthen the countdown, but
	 * may find that there was no timer. */
	if ((before ^ v) & INTEN || (pc->reg[RIS] && (before ^ v) & RESEN))
		reload(to_watchdog(pc));
}

static void write_intclr(struct primecell *pc, uint32_t v, uint32_t before)
{
	(void)v;
	(void)before;
	if (locked(pc))
		return;
	pc->reg[RIS] = 0;
	reload(to_watchdog(pc));
}

static uint32_t read_mis(struct primecell *pc)
{
	return pc->reg[RIS] & pc->reg[CONTROL] & INTEN;
}

static void write_lock(struct primecell *pc, uint32_t v, uint32_t before)
{
	(void)before;
	pc->reg[LOCK] = v != UNLOCK;
}

/* ---- registers of our own ------------------------------------------------ */

/* The reset comes after two countdowns. */
static uint32_t read_period(struct primecell *pc)
{
	return (uint32_t)(2 * period_ticks(to_watchdog(pc)) / TICKS_PER_MS);
}

static void write_period(struct primecell *pc, uint32_t v, uint32_t before)
{
	uint64_t ticks = v * TICKS_PER_MS / 2;

	write_load(pc, (uint32_t)MIN(MAX(ticks, 1u) - 1, UINT32_MAX), before);
}

static uint32_t read_left(struct primecell *pc)
{
	uint64_t ticks = value(to_watchdog(pc)) + UINT64_C(1);

	if (!pc->reg[RIS])
		ticks += period_ticks(to_watchdog(pc));
	return (uint32_t)(ticks / TICKS_PER_MS);
}

static void write_fired(struct primecell *pc, uint32_t v, uint32_t before)
{
	(void)v;
	(void)before;
	pc->reg[FIRED] = 0;
}

static const struct primecell_reg regs[REG_COUNT] = {
	[INTCLR] = { .offset = 0x00c, .write = write_intclr },
	[LOAD] = { .offset = 0x000, .reset = ~0u, .write = write_load },
	[VALUE] = { .offset = 0x004, .read = read_value },
	[CONTROL] = { .offset = 0x008,
		      .state = INTEN | RESEN,
		      .write = write_control },
	[RIS] = { .offset = 0x010, .state = 1 },
	[MIS] = { .offset = 0x014, .read = read_mis },
	[LOCK] = { .offset = 0xc00, .state = 1, .write = write_lock },
	[PERIOD] = { .offset = WATCHDOG_PERIOD,
		     .read = read_period,
		     .write = write_period },
	[LEFT] = { .offset = WATCHDOG_LEFT, .read = read_left },
	[FIRED] = { .offset = WATCHDOG_FIRED,
		    .state = 1,
		    .write = write_fired },
};

static void no_wire(struct primecell *pc)
{
	(void)pc;
}

static const struct primecell_type watchdog_type = {
	.part = 0x00141805,
	.reg = regs,
	.reg_count = REG_COUNT,
	.update = no_wire,
};

/* ---- device -------------------------------------------------------------- */

static void watchdog_reset(struct device *dev)
{
	struct watchdog *w = to_watchdog(to_primecell(dev));
	uint32_t fired = w->pc.reg[FIRED];

	primecell_reset(&w->pc);
	w->pc.reg[FIRED] = fired;
	reload(w);
}

static int watchdog_realize(struct device *dev,
			    const struct device_place *place, struct diag *d)
{
	struct watchdog *w = to_watchdog(to_primecell(dev));
	int err = event_timer_init(&w->expiry, dev->env->loop, expired, w);

	if (err)
		return diag_errno(d, -err, "--watchdog: cannot make a timer");
	err = primecell_realize(&w->pc, place, d);
	if (err)
		event_timer_release(&w->expiry);
	return err;
}

static void watchdog_unrealize(struct device *dev)
{
	struct watchdog *w = to_watchdog(to_primecell(dev));

	event_timer_release(&w->expiry);
	fixed_unrealize(&w->pc.fixed);
}

static int watchdog_describe(const struct device *dev, struct platform *p,
			     struct diag *d)
{
	struct plat_dev out = {
		.role = PLAT_WATCHDOG,
		.name = "watchdog",
		.compatible = "arm,sp805\0arm,primecell\0",
	};

	primecell_describe(to_const_primecell(dev), &out, 2,
			   "wdog_clk\0apb_pclk");
	return platform_add(p, &out, d);
}

static void watchdog_save(const struct device *dev, struct stream_out *out)
{
	const struct watchdog *w = (const void *)dev;

	static_assert(offsetof(struct watchdog, pc) == 0, "first member");
	primecell_save(&w->pc, out);
	stream_put_u32(out, value(w));
}

static int watchdog_load(struct device *dev, struct stream_in *in,
			 struct diag *d)
{
	struct watchdog *w = to_watchdog(to_primecell(dev));
	uint32_t reg[PRIMECELL_REGS];
	int err = primecell_get(&w->pc, in, reg, d);
	uint32_t left = stream_get_u32(in);

	if (err)
		return err;
	if (in->failed || left > reg[LOAD])
		return diag_fail(d, EBADMSG,
				 "watchdog: state is cut off or impossible");
	primecell_put(&w->pc, reg);
	count_from(w, left);
	return 0;
}

static void watchdog_pause(struct device *dev)
{
	struct watchdog *w = to_watchdog(to_primecell(dev));

	w->paused_value = value(w);
	w->paused = true;
	event_timer_set(&w->expiry, 0, 0);
}

static void watchdog_resume(struct device *dev)
{
	struct watchdog *w = to_watchdog(to_primecell(dev));

	w->paused = false;
	count_from(w, w->paused_value);
}

const struct device_class watchdog_sp805_class = {
	.name = "watchdog-sp805",
	.size_bytes = sizeof(struct watchdog),
	.data = &watchdog_type,
	.realize = watchdog_realize,
	.describe = watchdog_describe,
	.reset = watchdog_reset,
	.save = watchdog_save,
	.load = watchdog_load,
	.pause = watchdog_pause,
	.resume = watchdog_resume,
	.unrealize = watchdog_unrealize,
};
