/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: tests of devices/legacy/serial-16550.c */
#include "legacy-rig.h"

enum { RBR, IER, IIR, LCR, MCR, LSR, MSR, SCR };

static void setup(void)
{
	rig_open();
	rig_line();
	rig.dev = rig_make(&serial_16550_class, PLAT_PIO);
}

/* ---- registers ---------------------------------------------------------- */

/* @dlab: LCR while accessing; a register reads @reset after reset and
 * @holds after a write of @written. */
static const struct {
	unsigned offset, lcr;
	uint8_t reset, written, holds;
} registers[] = {
	{ IER, 0x00, 0x00, 0xff, 0x0f }, { IER, 0x00, 0x00, 0x40, 0x00 },
	{ LCR, 0x00, 0x00, 0xff, 0xff }, { MCR, 0x00, 0x00, 0xff, 0x1f },
	{ LSR, 0x00, 0x60, 0xff, 0x60 }, { MSR, 0x00, 0xb0, 0xff, 0xb0 },
	{ SCR, 0x00, 0x00, 0xa5, 0xa5 }, { RBR, 0x80, 0x01, 0xc3, 0xc3 },
	{ IER, 0x80, 0x00, 0xc3, 0xc3 }, { SCR, 0x80, 0x00, 0x5a, 0x5a },
	{ IIR, 0x00, 0x01, 0x01, 0xc1 }, { IIR, 0x00, 0x01, 0x21, 0xc1 },
	{ IIR, 0x00, 0x01, 0xc0, 0x01 }, { IIR, 0xbf, 0x01, 0xe7, 0xc1 },
};

START_TEST(register_table)
{
	wr(LCR, 1, registers[_i].lcr);
	if (registers[_i].offset != LCR)
		ck_assert_uint_eq(rd(registers[_i].offset, 1),
				  registers[_i].reset);
	wr(registers[_i].offset, 1, registers[_i].written);
	ck_assert_uint_eq(rd(registers[_i].offset, 1), registers[_i].holds);
}
END_TEST

START_TEST(reset_restores_everything)
{
	static const uint8_t values[] = { 0, 0, 1, 0, 0, 0x60, 0xb0, 0 };

	rig_type("abc");
	for (unsigned i = 1; i < 8; i++)
		wr(i, 1, 0x1f);
	rig.dev->cls->reset(rig.dev);
	ck_assert(!rig.level);
	rd(LSR, 1);
	for (unsigned i = 0; i < 8; i++)
		ck_assert_uint_eq(rd(i, 1), values[i]);
}
END_TEST

/* A word access is two byte accesses, low byte first, as on an 8-bit bus. */
START_TEST(wide_accesses_are_bytes)
{
	wr(LCR, 1, 0x80);
	wr(RBR, 2, 0x1234);
	ck_assert_uint_eq(rd(RBR, 1), 0x34);
	ck_assert_uint_eq(rd(IER, 1), 0x12);
	ck_assert_uint_eq(rd(RBR, 2), 0x1234);
	wr(LCR, 1, 0);
	wr(RBR, 4, 0xffffff00 | 'W');
	ck_assert_str_eq(rig_output(), "W");
	ck_assert_uint_eq(rd(LCR, 1), 0xff);
	ck_assert_uint_eq(rd(IER, 8), UINT64_MAX); /* sticks out */
}
END_TEST

START_TEST(hostile_accesses)
{
	rig_type("0123456789");
	rig_hostile_access(rig.pio, 12, 20000);
	rig.dev->cls->reset(rig.dev);
	ck_assert_uint_eq(rd(IIR, 1), 0x01);
}
END_TEST

/* ---- what Linux's 8250 driver probes ------------------------------------ */

START_TEST(linux_finds_a_16550a)
{
	/* autoconfig(): IER holds 4 bits, loopback reflects MCR */
	wr(IER, 1, 0);
	ck_assert_uint_eq(rd(IER, 1) & 0x0f, 0);
	wr(IER, 1, 0x0f);
	ck_assert_uint_eq(rd(IER, 1) & 0x0f, 0x0f);
	wr(IER, 1, 0);
	wr(MCR, 1, 0x10 | 0x0a);
	ck_assert_uint_eq(rd(MSR, 1) & 0xf0, 0x90);
	wr(MCR, 1, 0);
	wr(IIR, 1, 0x01);
	ck_assert_uint_eq(rd(IIR, 1) >> 6, 3);
	/* autoconfig_16550a(): not a 16650, 16750, 16850, XScale */
	wr(LCR, 1, 0x80);
	ck_assert_uint_ne(rd(IIR, 1), 0);
	wr(LCR, 1, 0xbf);
	ck_assert_uint_ne(rd(IIR, 1), 0);
	wr(LCR, 1, 0);
	wr(IIR, 1, 0x01 | 0x20);
	ck_assert_uint_eq(rd(IIR, 1) & 0xe0, 0xc0);
	wr(IER, 1, 0x40);
	ck_assert_uint_eq(rd(IER, 1) & 0x40, 0);
}
END_TEST

/* serial8250_do_startup(): each time THRI is enabled, it fires. */
START_TEST(linux_thre_test)
{
	for (int i = 0; i < 3; i++) {
		wr(IER, 1, 0x02);
		ck_assert(rig.level);
		ck_assert_uint_eq(rd(IIR, 1), 0x02);
		ck_assert(!rig.level);
		ck_assert_uint_eq(rd(IIR, 1), 0x01);
		wr(IER, 1, 0);
	}
	ck_assert_uint_eq(rd(LSR, 1), 0x60);
}
END_TEST

/* ---- transmitter -------------------------------------------------------- */

START_TEST(transmits_in_order)
{
	for (const char *p = "Linux version\r\n"; *p; p++)
		wr(RBR, 1, (uint8_t)*p);
	ck_assert_str_eq(rig_output(), "Linux version\r\n");
	ck_assert_uint_eq(rd(LSR, 1), 0x60);
}
END_TEST

START_TEST(thre_interrupt_after_each_burst)
{
	wr(IER, 1, 0x02);
	for (int burst = 0; burst < 3; burst++) {
		ck_assert(rig.level);
		ck_assert_uint_eq(rd(IIR, 1), 0x02);
		ck_assert(!rig.level);
		for (int i = 0; i < 16; i++)
			wr(RBR, 1, 'b');
		ck_assert(rig.level);
	}
	wr(IER, 1, 0);
	ck_assert(!rig.level);
	ck_assert_uint_eq(rig.edges, 4);
}
END_TEST

START_TEST(no_back_end_swallows)
{
	struct device_place place = { .bus = PLAT_MMIO, .base = RIG_BASE };
	struct device_env env = { .mmio = rig.mmio };
	struct diag d = DIAG_INIT;
	struct device *dev = calloc(1, serial_16550_class.size_bytes);

	dev->cls = &serial_16550_class;
	dev->env = &env;
	ck_assert_int_eq(dev->cls->realize(dev, &place, &d), 0);
	bus_write(rig.mmio, RIG_BASE, 1, 'x');
	bus_write(rig.mmio, RIG_BASE + IER, 1, 0x0f);
	ck_assert_uint_eq(bus_read(rig.mmio, RIG_BASE + LSR, 1), 0x60);
	rig_drop(dev);
	ck_assert_uint_eq(bus_read(rig.mmio, RIG_BASE + LSR, 1), 0xff);
}
END_TEST

START_TEST(refuses_missing_bus_and_taken_place)
{
	struct device_place place = { .bus = PLAT_PIO, .base = RIG_BASE + 7 };
	struct device_env env = { .mmio = rig.mmio };
	struct diag d = DIAG_INIT;
	struct device *dev = calloc(1, serial_16550_class.size_bytes);

	dev->cls = &serial_16550_class;
	dev->env = &env;
	ck_assert_int_eq(dev->cls->realize(dev, &place, &d), -ENODEV);
	dev->env = &rig.env;
	ck_assert_int_eq(dev->cls->realize(dev, &place, &d), -EEXIST);
	free(dev);
}
END_TEST

/* ---- receiver ----------------------------------------------------------- */

static const struct {
	uint8_t fcr;
	const char *typed;
	uint8_t iir;
} triggers[] = {
	{ 0x00, "a", 0x04 },
	{ 0x01, "a", 0xc4 },
	{ 0x41, "abc", 0xcc },
	{ 0x41, "abcd", 0xc4 },
	{ 0x81, "abcdefg", 0xcc },
	{ 0x81, "abcdefgh", 0xc4 },
	{ 0xc1, "abcdefghijklm", 0xcc },
	{ 0xc1, "abcdefghijklmn", 0xc4 },
};

START_TEST(receive_interrupt)
{
	wr(IIR, 1, triggers[_i].fcr);
	wr(IER, 1, 0x01);
	rig_type(triggers[_i].typed);
	ck_assert(rig.level);
	ck_assert_uint_eq(rd(IIR, 1), triggers[_i].iir);
	ck_assert_uint_eq(rd(LSR, 1), 0x61);
	for (const char *p = triggers[_i].typed; *p; p++)
		ck_assert_uint_eq(rd(RBR, 1), (uint8_t)*p);
	ck_assert(!rig.level);
	ck_assert_uint_eq(rd(IIR, 1) & 0x0f, 0x01);
	ck_assert_uint_eq(rd(LSR, 1), 0x60);
	ck_assert_uint_eq(rd(RBR, 1), 0);
}
END_TEST

START_TEST(receive_without_interrupt_is_polled)
{
	rig_type("q");
	ck_assert(!rig.level);
	ck_assert_uint_eq(rd(LSR, 1), 0x61);
	ck_assert_uint_eq(rd(RBR, 1), 'q');
}
END_TEST

/* More than the FIFO holds waits, and is never lost. */
static const uint8_t fcrs[] = { 0x00, 0x01, 0xc1 };

START_TEST(input_flow_control)
{
	const char *text = "The quick brown fox jumps over the lazy dog, "
			   "and the guest reads at its own pace.";

	wr(IIR, 1, fcrs[_i]);
	wr(IER, 1, 0x01);
	rig_type(text);
	for (const char *p = text; *p; p++) {
		if (!(rd(LSR, 1) & 1))
			rig_run_ms(5);
		ck_assert_uint_eq(rd(LSR, 1), 0x61);
		ck_assert_uint_eq(rd(RBR, 1), (uint8_t)*p);
	}
	ck_assert_uint_eq(rd(LSR, 1), 0x60);
}
END_TEST

static const uint8_t clears[] = { 0x03, 0x00 };

START_TEST(fifo_clear_makes_room)
{
	wr(IIR, 1, 0x01);
	wr(IER, 1, 0x01);
	rig_type("0123456789abcdefREST");
	wr(IIR, 1, clears[_i]);
	ck_assert_uint_eq(rd(LSR, 1) & 1, 0);
	ck_assert(!rig.level);
	rig_run_ms(10);
	ck_assert_uint_eq(rd(RBR, 1), 'R');
}
END_TEST

/* ---- loopback, modem ---------------------------------------------------- */

START_TEST(loopback_data)
{
	wr(IIR, 1, 0x01);
	wr(MCR, 1, 0x10);
	rig_type("outside");
	ck_assert_uint_eq(rd(LSR, 1), 0x60);
	for (unsigned i = 0; i < 17; i++)
		wr(RBR, 1, 'A' + i);
	ck_assert_uint_eq(rd(LSR, 1), 0x63); /* overrun, told once */
	ck_assert_uint_eq(rd(LSR, 1), 0x61);
	for (unsigned i = 0; i < 16; i++)
		ck_assert_uint_eq(rd(RBR, 1), 'A' + i);
	ck_assert_uint_eq(rd(LSR, 1), 0x60);
	ck_assert_str_eq(rig_output(), "");
	wr(MCR, 1, 0);
	rig_run_ms(10);
	ck_assert_uint_eq(rd(RBR, 1), 'o');
}
END_TEST

START_TEST(overrun_interrupt_comes_first)
{
	wr(IER, 1, 0x05);
	wr(MCR, 1, 0x10);
	wr(RBR, 1, 'a');
	wr(RBR, 1, 'b');
	ck_assert_uint_eq(rd(IIR, 1), 0x06);
	rd(LSR, 1);
	ck_assert_uint_eq(rd(IIR, 1), 0x04);
	ck_assert_uint_eq(rd(RBR, 1), 'a');
	ck_assert_uint_eq(rd(IIR, 1), 0x01);
}
END_TEST

static const struct {
	uint8_t mcr, msr;
} loops[] = {
	{ 0x10, 0x0b }, /* all lines of the modem went away */
	{ 0x11, 0x29 }, { 0x12, 0x1a }, { 0x14, 0x4b },
	{ 0x18, 0x83 }, { 0x1b, 0xb0 }, { 0x1f, 0xf0 },
};

START_TEST(loopback_modem_lines)
{
	wr(IER, 1, 0x08);
	wr(MCR, 1, loops[_i].mcr);
	ck_assert_int_eq(rig.level, (loops[_i].msr & 0x0f) != 0);
	if (rig.level)
		ck_assert_uint_eq(rd(IIR, 1), 0x00);
	ck_assert_uint_eq(rd(MSR, 1), loops[_i].msr);
	ck_assert(!rig.level);
	ck_assert_uint_eq(rd(MSR, 1), loops[_i].msr & 0xf0);
	wr(MCR, 1, 0);
	/* The trailing edge of the ring indicator is told. */
	ck_assert_uint_eq(rd(MSR, 1) & 0x04, loops[_i].mcr & 0x04);
}
END_TEST

/* ---- description, state ------------------------------------------------- */

START_TEST(describes_itself)
{
	struct diag d = DIAG_INIT;
	const struct plat_dev *p;

	ck_assert_int_eq(rig.dev->cls->describe(rig.dev, &rig.platform, &d), 0);
	p = platform_find(&rig.platform, PLAT_CONSOLE);
	ck_assert_str_eq(p->hid, "PNP0501");
	ck_assert_mem_eq(p->compatible, "ns16550a\0", 10);
	ck_assert_int_eq(p->range[0].bus, PLAT_PIO);
	ck_assert_uint_eq(p->range[0].base, RIG_BASE);
	ck_assert_uint_eq(p->range[0].size_bytes, 8);
	ck_assert_uint_eq(p->irq_count, 1);
	ck_assert_uint_eq(p->irq[0].pin, 5);
	ck_assert(p->irq[0].level);
	ck_assert_uint_eq(p->prop[0].u32, 1843200);
}
END_TEST

START_TEST(state_round_trip)
{
	wr(LCR, 1, 0x80);
	wr(RBR, 2, 0x4321);
	wr(LCR, 1, 0x03);
	wr(IIR, 1, 0x81);
	wr(IER, 1, 0x01);
	wr(MCR, 1, 0x0b);
	wr(SCR, 1, 0x77);
	rig_type("0123456789");
	rd(RBR, 1);
	rig_round_trip(PLAT_PIO, false);
	ck_assert(rig.level);
	ck_assert_uint_eq(rd(IIR, 1), 0xc4);
	ck_assert_uint_eq(rd(IER, 1), 0x01);
	ck_assert_uint_eq(rd(LCR, 1), 0x03);
	ck_assert_uint_eq(rd(MCR, 1), 0x0b);
	ck_assert_uint_eq(rd(SCR, 1), 0x77);
	for (const char *p = "123456789"; *p; p++)
		ck_assert_uint_eq(rd(RBR, 1), (uint8_t)*p);
	wr(LCR, 1, 0x80);
	ck_assert_uint_eq(rd(RBR, 2), 0x4321);
}
END_TEST

START_TEST(hostile_state)
{
	wr(IIR, 1, 0x01);
	rig_type("0123456789abcdef");
	rig_hostile_state();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("serial-16550");
	TCase *tc = tcase_create("serial-16550");

	tcase_add_checked_fixture(tc, setup, rig_close);
	tcase_add_loop_test(tc, register_table, 0, ARRAY_SIZE(registers));
	tcase_add_test(tc, reset_restores_everything);
	tcase_add_test(tc, wide_accesses_are_bytes);
	tcase_add_test(tc, hostile_accesses);
	tcase_add_test(tc, linux_finds_a_16550a);
	tcase_add_test(tc, linux_thre_test);
	tcase_add_test(tc, transmits_in_order);
	tcase_add_test(tc, thre_interrupt_after_each_burst);
	tcase_add_test(tc, no_back_end_swallows);
	tcase_add_test(tc, refuses_missing_bus_and_taken_place);
	tcase_add_loop_test(tc, receive_interrupt, 0, ARRAY_SIZE(triggers));
	tcase_add_test(tc, receive_without_interrupt_is_polled);
	tcase_add_loop_test(tc, input_flow_control, 0, ARRAY_SIZE(fcrs));
	tcase_add_loop_test(tc, fifo_clear_makes_room, 0, ARRAY_SIZE(clears));
	tcase_add_test(tc, loopback_data);
	tcase_add_test(tc, overrun_interrupt_comes_first);
	tcase_add_loop_test(tc, loopback_modem_lines, 0, ARRAY_SIZE(loops));
	tcase_add_test(tc, describes_itself);
	tcase_add_test(tc, state_round_trip);
	tcase_add_test(tc, hostile_state);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
