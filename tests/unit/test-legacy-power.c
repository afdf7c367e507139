/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: tests of devices/legacy/acpi-pm.c, ged.c and gpio-pl061.c */
#include <time.h>

#include "legacy-rig.h"

#define DATA(mask) ((mask)*4)

enum {
	DIR = 0x400,
	IS = 0x404,
	IBE = 0x408,
	IEV = 0x40c,
	IE = 0x410,
	RIS = 0x414,
	MIS = 0x418,
	IC = 0x41c,
	AFSEL = 0x420,
	KEY = 0x08,
};

/* ---- acpi-pm ------------------------------------------------------------ */

static void pm_setup(void)
{
	rig_open();
	rig.dev = rig_make(&acpi_pm_class, PLAT_PIO);
}

static const struct {
	unsigned offset, size;
	uint64_t value;
	unsigned resets, offs;
} controls[] = {
	{ 0, 1, 0x01, 1, 0 },	{ 0, 1, 0x34, 0, 1 },
	{ 0, 2, 0x0034, 0, 1 }, { 0, 4, 0x00000001, 1, 0 },
	{ 0, 8, 0x34, 0, 1 },	{ 0, 1, 0x80, 0, 0 }, /* WAK_STS */
	{ 0, 1, 0x14, 0, 0 },			      /* S5 without SLP_EN */
	{ 0, 1, 0x24, 0, 0 },			      /* S1 */
	{ 0, 1, 0x2c, 0, 0 },			      /* S3 */
	{ 0, 1, 0x00, 0, 0 },	{ 0, 1, 0xff, 0, 0 },
	{ 1, 1, 0x01, 0, 0 },	{ 7, 1, 0x34, 0, 0 },
	{ 6, 4, 0x34, 0, 0 }, /* sticks out */
	{ 8, 4, 0x01, 0, 0 }, /* the timer */
};

START_TEST(pm_control)
{
	wr(controls[_i].offset, controls[_i].size, controls[_i].value);
	ck_assert_uint_eq(rig.requests[MACHINE_RESET], controls[_i].resets);
	ck_assert_uint_eq(rig.requests[MACHINE_POWEROFF], controls[_i].offs);
	ck_assert_uint_eq(rig.requests[MACHINE_PANIC], 0);
	ck_assert_uint_eq(rd(0, 1), 0);
	ck_assert_uint_eq(rd(0, 8), 0);
}
END_TEST

static const struct {
	unsigned offset, size;
	uint64_t value;
	unsigned offs;
} pm1[] = {
	{ 4, 2, 0x2000, 1 }, { 4, 2, 0x2001, 1 }, { 4, 2, 0x3c00, 0 },
	{ 4, 2, 0x2400, 0 }, { 4, 2, 0x0001, 0 }, { 4, 1, 0x20, 0 },
	{ 4, 4, 0x2000, 0 }, { 5, 1, 0x20, 0 },	  { 0, 2, 0x2000, 0 },
};

/* Only where firmware made for a PC wants it. */
START_TEST(pm1_control)
{
	bool q35 = _i % 2;

	rig_drop(rig.dev);
	rig.platform.q35 = q35;
	rig.dev = rig_make(&acpi_pm_class, PLAT_PIO);
	wr(pm1[_i / 2].offset, pm1[_i / 2].size, pm1[_i / 2].value);
	ck_assert_uint_eq(rig.requests[MACHINE_POWEROFF],
			  q35 ? pm1[_i / 2].offs : 0);
	ck_assert_uint_eq(rig.requests[MACHINE_RESET], 0);
	ck_assert_uint_eq(rd(4, 2), q35 ? 1 : 0);
}
END_TEST

START_TEST(pm_timer_runs_at_its_frequency)
{
	uint64_t outer, inner, ns;
	uint32_t from, to;

	/* On a busy host much can lie between two lines. */
	outer = patience_ns();
	from = (uint32_t)rd(8, 4);
	inner = patience_ns();
	usleep(50000);
	ns = patience_ns() - inner;
	to = (uint32_t)rd(8, 4);
	ck_assert_uint_ge(to - from, ns * 3579545 / 1000000000);
	ns = patience_ns() - outer;
	ck_assert_uint_le(to - from, ns * 3579545 / 1000000000 + 1);
}
END_TEST

START_TEST(pm_timer_is_monotonic_and_read_only)
{
	uint32_t last = (uint32_t)rd(8, 4), now;

	ck_assert_uint_lt(last, 3579545);
	for (int i = 0; i < 100000; i++) {
		now = (uint32_t)rd(8, 4);
		ck_assert_uint_ge(now, last);
		last = now;
		wr(8, 4, 0);
	}
}
END_TEST

START_TEST(pm_timer_widths)
{
	ck_assert_uint_le(rd(8, 1), 0xff);
	ck_assert_uint_le(rd(10, 2), 0xffff);
	ck_assert_uint_eq(rd(11, 1), 0); /* bits 31:24 after under 4 s */
	ck_assert_uint_eq(rd(10, 4), 0xffffffff);
	ck_assert_uint_eq(rd(8, 8), UINT64_MAX);
	rig_hostile_access(rig.pio, 16, 20000);
}
END_TEST

START_TEST(pm_state)
{
	struct stream_out out;
	struct stream_in in;
	struct diag d = DIAG_INIT;
	uint8_t far[4] = { 0xf0, 0xff, 0xff, 0xff };
	uint32_t before, after;

	before = (uint32_t)rd(8, 4);
	rig_round_trip(PLAT_PIO, true);
	after = (uint32_t)rd(8, 4);
	ck_assert_uint_ge(after, before);
	ck_assert_uint_lt(after - before, 3579545 / 2);
	stream_in_init(&in, far, 4);
	ck_assert_int_eq(rig.dev->cls->load(rig.dev, &in, &d), 0);
	stream_out_init(&out);
	rig.dev->cls->save(rig.dev, &out);
	ck_assert_uint_eq(out.len, 4);
	stream_out_release(&out);
	ck_assert_uint_lt((uint32_t)rd(8, 4) - 0xfffffff0u, 3579545 / 2);
	stream_in_init(&in, far, 3);
	ck_assert_int_lt(rig.dev->cls->load(rig.dev, &in, &d), 0);
	rig.dev->cls->reset(rig.dev);
	ck_assert_uint_lt(rd(8, 4), 3579545 / 2);
}
END_TEST

START_TEST(pm_describes_itself)
{
	struct diag d = DIAG_INIT;
	const struct plat_dev *p;

	ck_assert_int_eq(rig.dev->cls->describe(rig.dev, &rig.platform, &d), 0);
	p = platform_find(&rig.platform, PLAT_RESET_SLEEP);
	ck_assert_uint_eq(p->range[0].base, RIG_BASE);
	ck_assert_uint_eq(p->range[0].size_bytes, 8);
	p = platform_find(&rig.platform, PLAT_PM_TIMER);
	ck_assert_uint_eq(p->range[0].base, RIG_BASE + 8);
	ck_assert_uint_eq(p->range[0].size_bytes, 4);
	ck_assert_int_eq(p->range[0].bus, PLAT_PIO);
}
END_TEST

/* The pulse on the reset line, and no other command of the 8042. */
START_TEST(kbc_reset)
{
	bus_write(rig.pio, 0x64, 1, 0xd1);
	bus_write(rig.pio, 0x60, 1, 0xfe);
	ck_assert_uint_eq(rig.requests[MACHINE_RESET], 0);
	ck_assert_uint_eq(bus_read(rig.pio, 0x64, 1), 0xff);
	bus_write(rig.pio, 0x64, 1, 0xfe);
	ck_assert_uint_eq(rig.requests[MACHINE_RESET], 1);
}
END_TEST

/* The second or third region does not fit: nothing may stay behind. */
START_TEST(pm_realize_undoes)
{
	static const struct bus_ops none = { 0 };
	struct bus_region taken = { .base = _i ? 0x64 : RIG_BASE + 8,
				    .size_bytes = 1,
				    .ops = &none,
				    .name = "taken" };
	struct bus_region free_again = { .base = RIG_BASE,
					 .size_bytes = _i ? 12 : 8,
					 .ops = &none,
					 .name = "free" };
	struct device_place place = { .bus = PLAT_PIO, .base = RIG_BASE };
	struct diag d = DIAG_INIT;

	rig.dev->cls->unrealize(rig.dev);
	ck_assert_int_eq(bus_add(rig.pio, &taken, &d), 0);
	ck_assert_int_eq(rig.dev->cls->realize(rig.dev, &place, &d), -EEXIST);
	ck_assert_int_eq(bus_add(rig.pio, &free_again, &d), 0);
	bus_remove(rig.pio, &free_again);
	bus_remove(rig.pio, &taken);
	ck_assert_int_eq(rig.dev->cls->realize(rig.dev, &place, &d), 0);
}
END_TEST

/* ---- ged ---------------------------------------------------------------- */

START_TEST(ged_is_an_edge)
{
	struct device_place bare = { .bus = PLAT_PIO };
	struct diag d = DIAG_INIT;
	const struct plat_dev *p;

	rig_open();
	rig.dev = rig_make(&ged_class, PLAT_PIO);
	ck_assert_uint_eq(rig.edges, 0);
	rig.dev->cls->power_button(rig.dev);
	ck_assert_uint_eq(rig.edges, 1);
	ck_assert(!rig.level);
	rig.dev->cls->power_button(rig.dev);
	ck_assert_uint_eq(rig.edges, 2);
	ck_assert_int_eq(rig.dev->cls->describe(rig.dev, &rig.platform, &d), 0);
	p = platform_find(&rig.platform, PLAT_GED);
	ck_assert_str_eq(p->hid, "ACPI0013");
	ck_assert_uint_eq(p->range_count, 0);
	ck_assert_uint_eq(p->irq[0].pin, 5);
	ck_assert(!p->irq[0].level);
	ck_assert_int_eq(rig.dev->cls->realize(rig.dev, &bare, &d), -EINVAL);
	rig_close();
}
END_TEST

/* ---- gpio-pl061 --------------------------------------------------------- */

static void gpio_setup(void)
{
	rig_open();
	rig.dev = rig_make(&gpio_pl061_class, PLAT_MMIO);
}

static void press(void)
{
	rig.dev->cls->power_button(rig.dev);
}

static const struct {
	unsigned offset;
	uint32_t reset, holds;
} gpio_registers[] = {
	{ DATA(0xff), 0, 0 },  { DIR, 0, 0xff },      { IS, 0, 0xff },
	{ IBE, 0, 0xff },      { IEV, 0, 0xff },      { IE, 0, 0xff },
	{ RIS, 0, 0 },	       { MIS, 0, 0 },	      { IC, 0, 0 },
	{ AFSEL, 0, 0xff },    { 0x424, 0, 0 },	      { 0xfdc, 0, 0 },
	{ 0xfe0, 0x61, 0x61 }, { 0xfe4, 0x10, 0x10 }, { 0xfe8, 0x04, 0x04 },
	{ 0xfec, 0x00, 0x00 }, { 0xff0, 0x0d, 0x0d }, { 0xff4, 0xf0, 0xf0 },
	{ 0xff8, 0x05, 0x05 }, { 0xffc, 0xb1, 0xb1 },
};

START_TEST(gpio_register_table)
{
	unsigned offset = gpio_registers[_i].offset;

	ck_assert_uint_eq(rdm(offset, 4), gpio_registers[_i].reset);
	wrm(offset, 4, 0xffffffff);
	ck_assert_uint_eq(rdm(offset, 4), gpio_registers[_i].holds);
	rig.dev->cls->reset(rig.dev);
	ck_assert_uint_eq(rdm(offset, 4), gpio_registers[_i].reset);
	ck_assert(!rig.level);
}
END_TEST

START_TEST(gpio_masked_data)
{
	wrm(DIR, 4, 0xf0);
	wrm(DATA(0xff), 4, 0xff);
	ck_assert_uint_eq(rdm(DATA(0xff), 4), 0xf0); /* inputs stay */
	wrm(DATA(0x30), 4, 0x00);
	ck_assert_uint_eq(rdm(DATA(0xff), 4), 0xc0);
	ck_assert_uint_eq(rdm(DATA(0x40), 4), 0x40);
	ck_assert_uint_eq(rdm(DATA(0x00), 4), 0x00);
	wrm(DATA(0x00), 4, 0xff);
	wrm(DATA(0xff) + 1, 1, 0xff); /* between words */
	ck_assert_uint_eq(rdm(DATA(0xff), 1), 0xc0);
}
END_TEST

/* How gpio-keys watches a line, and other ways: interrupts at press, at
 * release, level at press. */
static const struct {
	uint8_t is, ibe, iev;
	bool press, release, held;
} sensings[] = {
	{ 0, KEY, 0, true, true, false },
	{ 0, 0, KEY, true, false, false },
	{ 0, 0, 0, false, true, false },
	{ KEY, 0, KEY, true, false, true },
};

START_TEST(gpio_power_key)
{
	wrm(IS, 4, sensings[_i].is);
	wrm(IBE, 4, sensings[_i].ibe);
	wrm(IEV, 4, sensings[_i].iev);
	wrm(IC, 4, 0xff);
	wrm(IE, 4, KEY);
	press();
	ck_assert_int_eq(rig.level, sensings[_i].press);
	ck_assert_uint_eq(rdm(DATA(KEY), 4), KEY);
	ck_assert_uint_eq(rdm(MIS, 4), sensings[_i].press ? KEY : 0);
	wrm(IC, 4, KEY);
	ck_assert_int_eq(rig.level, sensings[_i].held);
	rig_run_ms(30); /* a driver debounces */
	ck_assert_uint_eq(rdm(DATA(KEY), 4), KEY);
	rig_run_ms(150);
	ck_assert_uint_eq(rdm(DATA(KEY), 4), 0);
	ck_assert_int_eq(rig.level, sensings[_i].release);
}
END_TEST

START_TEST(gpio_key_masked_and_reset)
{
	wrm(IBE, 4, KEY);
	press();
	ck_assert(!rig.level);
	ck_assert_uint_eq(rdm(RIS, 4), KEY);
	ck_assert_uint_eq(rdm(MIS, 4), 0);
	wrm(IE, 4, KEY);
	ck_assert(rig.level);
	rig.dev->cls->reset(rig.dev);
	ck_assert(!rig.level);
	ck_assert_uint_eq(rdm(DATA(KEY), 4), 0);
	wrm(IBE, 4, KEY);
	wrm(IE, 4, KEY);
	rig_run_ms(150); /* no release after a reset */
	ck_assert(!rig.level);
}
END_TEST

START_TEST(gpio_key_on_an_output_line)
{
	wrm(DIR, 4, KEY);
	wrm(IBE, 4, KEY);
	wrm(IE, 4, KEY);
	press();
	ck_assert_uint_eq(rdm(DATA(KEY), 4), 0);
	ck_assert(!rig.level);
}
END_TEST

START_TEST(gpio_state)
{
	wrm(DIR, 4, 0xf0);
	wrm(DATA(0xff), 4, 0xa0);
	wrm(IBE, 4, KEY);
	wrm(IE, 4, KEY);
	press();
	rig_round_trip(PLAT_MMIO, false);
	ck_assert(rig.level);
	ck_assert_uint_eq(rdm(MIS, 4), KEY);
	ck_assert_uint_eq(rdm(DATA(0xff), 4), 0xa0);
	rig_hostile_state();
}
END_TEST

START_TEST(gpio_hostile_accesses)
{
	rig_hostile_access(rig.mmio, 0x1010, 20000);
	rig_hostile_access(rig.mmio, 0x430, 20000);
	rig.dev->cls->reset(rig.dev);
	ck_assert_uint_eq(rdm(DIR, 4), 0);
}
END_TEST

START_TEST(gpio_describes_itself)
{
	struct diag d = DIAG_INIT;
	const struct plat_dev *p;

	ck_assert_int_eq(rig.dev->cls->describe(rig.dev, &rig.platform, &d), 0);
	p = platform_find(&rig.platform, PLAT_POWER_GPIO);
	ck_assert_mem_eq(p->compatible, "arm,pl061\0arm,primecell\0", 25);
	ck_assert(p->irq[0].level);
	ck_assert_str_eq(p->prop[0].name, "gpio-controller");
	ck_assert_str_eq(p->prop[1].name, "#gpio-cells");
	ck_assert_uint_eq(p->prop[1].u32, 2);
	ck_assert_int_eq(p->prop[2].kind, PROP_CLOCK);
}
END_TEST

static TCase *pm_case(void)
{
	TCase *tc = tcase_create("acpi-pm");

	tcase_add_checked_fixture(tc, pm_setup, rig_close);
	tcase_add_loop_test(tc, pm_control, 0, ARRAY_SIZE(controls));
	tcase_add_loop_test(tc, pm1_control, 0, 2 * ARRAY_SIZE(pm1));
	tcase_add_test(tc, pm_timer_runs_at_its_frequency);
	tcase_add_test(tc, pm_timer_is_monotonic_and_read_only);
	tcase_add_test(tc, pm_timer_widths);
	tcase_add_test(tc, pm_state);
	tcase_add_test(tc, pm_describes_itself);
	tcase_add_test(tc, kbc_reset);
	tcase_add_loop_test(tc, pm_realize_undoes, 0, 2);
	return tc;
}

static TCase *gpio_case(void)
{
	TCase *tc = tcase_create("gpio-pl061");

	tcase_add_checked_fixture(tc, gpio_setup, rig_close);
	tcase_add_loop_test(tc, gpio_register_table, 0,
			    ARRAY_SIZE(gpio_registers));
	tcase_add_test(tc, gpio_masked_data);
	tcase_add_loop_test(tc, gpio_power_key, 0, ARRAY_SIZE(sensings));
	tcase_add_test(tc, gpio_key_masked_and_reset);
	tcase_add_test(tc, gpio_key_on_an_output_line);
	tcase_add_test(tc, gpio_state);
	tcase_add_test(tc, gpio_hostile_accesses);
	tcase_add_test(tc, gpio_describes_itself);
	return tc;
}

int main(void)
{
	Suite *suite = suite_create("legacy-power");
	TCase *ged = tcase_create("ged");

	tcase_add_test(ged, ged_is_an_edge);
	suite_add_tcase(suite, pm_case());
	suite_add_tcase(suite, ged);
	suite_add_tcase(suite, gpio_case());
	return suite_run(suite);
}
