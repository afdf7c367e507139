/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: the watchdog, as sp805_wdt and as wdat_wdt drive it */
#include "legacy-rig.h"

enum {
	LOAD = 0x000,
	VALUE = 0x004,
	CONTROL = 0x008,
	INTCLR = 0x00c,
	RIS = 0x010,
	MIS = 0x014,
	LOCK = 0xc00,
};
enum { INTEN = 1, RESEN = 2 };

#define MS(n) ((n)*24000u - 1) /* LOAD for n milliseconds */

static void setup(void)
{
	rig_open();
	rig.dev = rig_make(&watchdog_sp805_class, PLAT_MMIO);
	strcpy(rig.dev->id, "__watchdog");
}

static unsigned resets(void)
{
	return rig.requests[MACHINE_RESET];
}

/* DDI0270B table 3-1 and ours; what Linux' AMBA bus reads. */
static const struct reg_case {
	unsigned at;
	uint32_t value;
} reg_cases[] = {
	{ LOAD, UINT32_MAX },
	{ VALUE, UINT32_MAX },
	{ CONTROL, 0 },
	{ INTCLR, 0 },
	{ RIS, 0 },
	{ MIS, 0 },
	{ LOCK, 0 },
	{ WATCHDOG_PERIOD, 357913 },
	{ WATCHDOG_LEFT, 357913 },
	{ WATCHDOG_FIRED, 0 },
	{ 0x018, 0 },
	{ 0xf00, 0 },
	{ 0xfe0, 0x05 },
	{ 0xfe4, 0x18 },
	{ 0xfe8, 0x14 },
	{ 0xfec, 0x00 },
	{ 0xff0, 0x0d },
	{ 0xff4, 0xf0 },
	{ 0xff8, 0x05 },
	{ 0xffc, 0xb1 },
};

START_TEST(registers)
{
	const struct reg_case *c = &reg_cases[_i];

	ck_assert_uint_eq(rdm(c->at, 4), c->value);
}
END_TEST

/* A write of all ones, then zeros: what is stored. */
static const struct write_case {
	unsigned at;
	uint32_t ones, zeros;
} write_cases[] = {
	{ LOAD, UINT32_MAX, 0 },
	{ VALUE, UINT32_MAX, UINT32_MAX },
	{ CONTROL, INTEN | RESEN, 0 },
	{ RIS, 0, 0 },
	{ MIS, 0, 0 },
	{ WATCHDOG_PERIOD, 357913, 0 },
	{ WATCHDOG_FIRED, 0, 0 },
};

START_TEST(writes)
{
	const struct write_case *c = &write_cases[_i];

	wrm(c->at, 4, UINT32_MAX);
	ck_assert_uint_eq(rdm(c->at, 4), c->ones);
	wrm(c->at, 4, 0);
	ck_assert_uint_eq(rdm(c->at, 4), c->zeros);
}
END_TEST

START_TEST(lock)
{
	wrm(LOCK, 4, 1);
	ck_assert_uint_eq(rdm(LOCK, 4), 1);
	wrm(LOAD, 4, 5);
	wrm(WATCHDOG_PERIOD, 4, 5);
	wrm(CONTROL, 4, 3);
	ck_assert_uint_eq(rdm(LOAD, 4), UINT32_MAX);
	ck_assert_uint_eq(rdm(CONTROL, 4), 0);
	wrm(LOCK, 4, 0x1acce551);
	ck_assert_uint_eq(rdm(LOCK, 4), 0);
	wrm(LOAD, 4, 5);
	ck_assert_uint_eq(rdm(LOAD, 4), 5);
}
END_TEST

/* As sp805_wdt starts it. */
static void start(uint32_t load)
{
	wrm(LOCK, 4, 0x1acce551);
	wrm(LOAD, 4, load);
	wrm(INTCLR, 4, 1);
	wrm(CONTROL, 4, INTEN | RESEN);
	wrm(LOCK, 4, 1);
}

START_TEST(bites)
{
	uint64_t from = patience_ns();
	unsigned early;

	start(MS(60));
	ck_assert_uint_le(rdm(VALUE, 4), MS(60));
	RIG_UNTIL(rdm(RIS, 4));
	ck_assert_uint_ge(ms_since(from), 60);
	ck_assert_uint_eq(rdm(MIS, 4), 1);
	early = resets();
	if (ms_since(from) < 120)
		ck_assert_uint_eq(early, 0);
	RIG_UNTIL(resets());
	ck_assert_uint_ge(ms_since(from), 120);
	ck_assert_uint_eq(rdm(WATCHDOG_FIRED, 4), 1);
	/* Once, and the next guest can find out. */
	rig_run_ms(150);
	ck_assert_uint_eq(resets(), 1);
	rig.dev->cls->reset(rig.dev);
	ck_assert_uint_eq(rdm(WATCHDOG_FIRED, 4), 1);
	ck_assert_uint_eq(rdm(CONTROL, 4), 0);
	wrm(WATCHDOG_FIRED, 4, 0);
	ck_assert_uint_eq(rdm(WATCHDOG_FIRED, 4), 0);
	rig_run_ms(150);
	ck_assert_uint_eq(resets(), 1);
}
END_TEST

/* Nothing happens to the guest: refreshed; stopped; not to reset; reset. */
static const struct quiet_case {
	const char *what;
	bool refresh;
	unsigned stop, control;
	bool reset;
} quiet_cases[] = {
	{ "refreshed", true, 0, INTEN | RESEN, false },
	{ "stopped", false, 1, INTEN | RESEN, false },
	{ "no RESEN", false, 0, INTEN, false },
	{ "no INTEN", false, 0, RESEN, false },
	{ "machine reset", false, 0, INTEN | RESEN, true },
};

/* A test that did not run for 200 ms has not done in time what it should. */
START_TEST(quiet)
{
	const struct quiet_case *c = &quiet_cases[_i];
	uint64_t last, longest_ms = 0;

	last = patience_ns();
	wrm(WATCHDOG_PERIOD, 4, 200);
	wrm(CONTROL, 4, c->control);
	for (unsigned i = 0; i < 12; i++) {
		rig_run_ms(50);
		if (c->refresh)
			wrm(INTCLR, 4, 0);
		if (c->stop)
			wrm(CONTROL, 4, 0);
		if (c->reset)
			rig.dev->cls->reset(rig.dev);
		longest_ms = MAX(longest_ms, ms_since(last));
		last = patience_ns() - 1000000;
	}
	if (longest_ms < 200)
		ck_assert_msg(!resets(), "%s", c->what);
}
END_TEST

/* As wdat_wdt drives it: milliseconds. */
START_TEST(milliseconds)
{
	wrm(WATCHDOG_PERIOD, 4, 30000);
	ck_assert_uint_eq(rdm(LOAD, 4), MS(15000));
	ck_assert_uint_eq(rdm(WATCHDOG_PERIOD, 4), 30000);
	ck_assert_uint_eq(rdm(WATCHDOG_LEFT, 4), 30000);
	wrm(CONTROL, 4, INTEN | RESEN);
	rig_run_ms(30);
	ck_assert_uint_le(rdm(WATCHDOG_LEFT, 4), 29970);
	ck_assert_uint_ge(rdm(WATCHDOG_LEFT, 4), 25000);
	wrm(WATCHDOG_PERIOD, 4, 100);
	RIG_UNTIL(resets());
	ck_assert_uint_eq(resets(), 1);
}
END_TEST

/* The shortest period: at once, and no storm of timers. */
START_TEST(shortest)
{
	wrm(LOAD, 4, 0);
	wrm(CONTROL, 4, _i ? INTEN : INTEN | RESEN);
	rig_run_ms(20);
	ck_assert_uint_eq(resets(), _i ? 0 : 1);
}
END_TEST

/* RESEN set late: from then on it counts. */
START_TEST(reset_enabled_late)
{
	wrm(LOAD, 4, MS(5));
	wrm(CONTROL, 4, INTEN);
	RIG_UNTIL(rdm(RIS, 4));
	wrm(CONTROL, 4, INTEN | RESEN);
	RIG_UNTIL(resets());
	ck_assert_uint_eq(resets(), 1);
}
END_TEST

START_TEST(state)
{
	uint64_t from = patience_ns();
	unsigned early;

	rig_round_trip(PLAT_MMIO, false);
	wrm(WATCHDOG_PERIOD, 4, 400);
	wrm(CONTROL, 4, INTEN | RESEN);
	rig_run_ms(100);
	rig_round_trip(PLAT_MMIO, true);
	/* It goes on with what was left: between 100 and 300 ms. */
	ck_assert_uint_le(rdm(WATCHDOG_LEFT, 4), 300);
	rig_run_ms(20);
	early = resets();
	if (ms_since(from) < 400)
		ck_assert_uint_eq(early, 0);
	RIG_UNTIL(resets());
	ck_assert_uint_eq(resets(), 1);
	rig_round_trip(PLAT_MMIO, false);
	ck_assert_uint_eq(rdm(WATCHDOG_FIRED, 4), 1);
	wrm(WATCHDOG_PERIOD, 4, 100000);
	wrm(CONTROL, 4, INTEN);
	rig_hostile_state();
}
END_TEST

START_TEST(paused)
{
	uint64_t left, from = patience_ns();

	wrm(WATCHDOG_PERIOD, 4, 400);
	wrm(CONTROL, 4, INTEN | RESEN);
	rig_run_ms(10);
	rig.dev->cls->pause(rig.dev);
	if (ms_since(from) >= 200)
		return;
	left = rdm(VALUE, 4);
	rig_run_ms(600);
	ck_assert_uint_eq(rdm(VALUE, 4), left);
	ck_assert_uint_eq(rdm(RIS, 4), 0);
	/* Saved while paused, as it is. */
	rig_round_trip(PLAT_MMIO, true);
	rig.dev->cls->pause(rig.dev);
	ck_assert_uint_le(rdm(VALUE, 4), left);
	rig.dev->cls->resume(rig.dev);
	RIG_UNTIL(resets());
	ck_assert_uint_eq(resets(), 1);
}
END_TEST

START_TEST(hostile)
{
	rig_hostile_access(rig.mmio, 0x1000, 20000);
	rig.dev->cls->reset(rig.dev);
	rig.requests[MACHINE_RESET] = 0;
	start(MS(1));
	RIG_UNTIL(resets());
	ck_assert_uint_eq(resets(), 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("legacy-watchdog");
	TCase *tc = tcase_create("watchdog");

	tcase_add_checked_fixture(tc, setup, rig_close);
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, registers, 0, ARRAY_SIZE(reg_cases));
	tcase_add_loop_test(tc, writes, 0, ARRAY_SIZE(write_cases));
	tcase_add_test(tc, lock);
	tcase_add_test(tc, bites);
	tcase_add_loop_test(tc, quiet, 0, ARRAY_SIZE(quiet_cases));
	tcase_add_test(tc, milliseconds);
	tcase_add_loop_test(tc, shortest, 0, 2);
	tcase_add_test(tc, reset_enabled_late);
	tcase_add_test(tc, state);
	tcase_add_test(tc, paused);
	tcase_add_test(tc, hostile);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
