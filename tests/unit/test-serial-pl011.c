/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: tests of devices/legacy/serial-pl011.c and primecell.c */
#include "legacy-rig.h"

enum {
	DR = 0x00,
	RSR = 0x04,
	FR = 0x18,
	ILPR = 0x20,
	IBRD = 0x24,
	FBRD = 0x28,
	LCR_H = 0x2c,
	CR = 0x30,
	IFLS = 0x34,
	IMSC = 0x38,
	RIS = 0x3c,
	MIS = 0x40,
	ICR = 0x44,
	DMACR = 0x48,
};

static void setup(void)
{
	rig_open();
	rig_line();
	rig.dev = rig_make(&serial_pl011_class, PLAT_MMIO);
}

/* FIFOs on, receiver on, as a driver does */
static void start(void)
{
	wrm(LCR_H, 4, 0x70);
	wrm(CR, 4, 0x301);
}

/* ---- registers ---------------------------------------------------------- */

static const struct {
	unsigned offset;
	uint32_t reset, written, holds;
} registers[] = {
	{ DR, 0, 0xffffff00, 0 },   { RSR, 0, ~0u, 0 },
	{ FR, 0x97, ~0u, 0x97 },    { ILPR, 0, ~0u, 0xff },
	{ IBRD, 0, ~0u, 0xffff },   { FBRD, 0, ~0u, 0x3f },
	{ LCR_H, 0, ~0u, 0xff },    { CR, 0x300, ~0u, 0xff87 },
	{ IFLS, 0x12, ~0u, 0x3f },  { IMSC, 0, ~0u, 0x7ff },
	{ RIS, 0, ~0u, 0 },	    { MIS, 0, ~0u, 0 },
	{ ICR, 0, ~0u, 0 },	    { DMACR, 0, ~0u, 0x7 },
	{ 0x08, 0, ~0u, 0 },	    { 0x4c, 0, ~0u, 0 },
	{ 0x80, 0, ~0u, 0 },	    { 0xfdc, 0, ~0u, 0 },
	{ 0xfe0, 0x11, ~0u, 0x11 }, { 0xfe4, 0x10, ~0u, 0x10 },
	{ 0xfe8, 0x34, ~0u, 0x34 }, { 0xfec, 0x00, ~0u, 0x00 },
	{ 0xff0, 0x0d, ~0u, 0x0d }, { 0xff4, 0xf0, ~0u, 0xf0 },
	{ 0xff8, 0x05, ~0u, 0x05 }, { 0xffc, 0xb1, ~0u, 0xb1 },
};

START_TEST(register_table)
{
	unsigned offset = registers[_i].offset;

	ck_assert_uint_eq(rdm(offset, 4), registers[_i].reset);
	wrm(offset, 4, registers[_i].written);
	ck_assert_uint_eq(rdm(offset, 4), registers[_i].holds);
	wrm(offset, 8, ~0ull);
	ck_assert_uint_eq(rdm(offset, 4), registers[_i].holds);
	rig.dev->cls->reset(rig.dev);
	ck_assert_uint_eq(rdm(offset, 4), registers[_i].reset);
	ck_assert(!rig.level);
}
END_TEST

START_TEST(widths)
{
	wrm(IBRD, 2, 0x1234);
	ck_assert_uint_eq(rdm(IBRD, 1), 0x34);
	ck_assert_uint_eq(rdm(IBRD + 1, 1), 0x12);
	ck_assert_uint_eq(rdm(IBRD + 1, 4), 0x12);
	wrm(IBRD + 1, 1, 0xff);
	ck_assert_uint_eq(rdm(IBRD, 4), 0x1234);
	wrm(IBRD, 1, 0x56);
	ck_assert_uint_eq(rdm(IBRD, 4), 0x56);
	wrm(IBRD, 8, 0x2a00000077ull);
	ck_assert_uint_eq(rdm(IBRD, 4), 0x77);
	ck_assert_uint_eq(rdm(FBRD, 4), 0x2a);
	ck_assert_uint_eq(rdm(IBRD, 8), 0x2a00000077ull);
	ck_assert_uint_eq(rdm(0xffc, 8), UINT64_MAX); /* sticks out */
	ck_assert_uint_eq(rdm(0xff8, 8), 0xb100000005ull);
}
END_TEST

START_TEST(hostile_accesses)
{
	start();
	rig_type("0123456789");
	rig_hostile_access(rig.mmio, 0x80, 20000);
	rig_hostile_access(rig.mmio, 0x1010, 5000);
	rig.dev->cls->reset(rig.dev);
	ck_assert_uint_eq(rdm(FR, 4), 0x97);
}
END_TEST

/* ---- transmitter -------------------------------------------------------- */

START_TEST(transmits_even_while_disabled)
{
	wrm(CR, 4, 0);
	for (const char *p = "early\n"; *p; p++) {
		ck_assert_uint_eq(rdm(FR, 2) & 0x28, 0); /* not full, idle */
		wrm(DR, 1, (uint8_t)*p);
	}
	ck_assert_str_eq(rig_output(), "early\n");
}
END_TEST

START_TEST(transmit_interrupt)
{
	wrm(IMSC, 4, 0x20);
	ck_assert(!rig.level); /* a transition, not a level */
	wrm(DR, 1, 'a');
	ck_assert(rig.level);
	ck_assert_uint_eq(rdm(MIS, 4), 0x20);
	wrm(ICR, 4, 0x20);
	ck_assert(!rig.level);
	wrm(DR, 1, 'b');
	ck_assert(rig.level);
	wrm(IMSC, 4, 0);
	ck_assert(!rig.level);
	ck_assert_uint_eq(rdm(RIS, 4), 0x20);
}
END_TEST

/* ---- receiver ----------------------------------------------------------- */

static const struct {
	uint32_t lcr_h, ifls;
	unsigned typed;
	uint32_t ris;
} triggers[] = {
	{ 0x00, 0x00, 1, 0x10 },  { 0x10, 0x00, 3, 0x40 },
	{ 0x10, 0x00, 4, 0x50 },  { 0x10, 0x08, 7, 0x40 },
	{ 0x10, 0x08, 8, 0x50 },  { 0x10, 0x12, 15, 0x40 },
	{ 0x10, 0x12, 16, 0x50 }, { 0x10, 0x18, 24, 0x50 },
	{ 0x10, 0x20, 28, 0x50 }, { 0x10, 0x38, 16, 0x50 },
};

START_TEST(receive_interrupt)
{
	const char *text = "0123456789abcdefghijklmnopqrstuv";
	char typed[40] = "";

	wrm(LCR_H, 4, triggers[_i].lcr_h);
	wrm(IFLS, 4, triggers[_i].ifls);
	wrm(CR, 4, 0x301);
	wrm(IMSC, 4, 0x50);
	memcpy(typed, text, triggers[_i].typed);
	rig_type(typed);
	ck_assert(rig.level);
	ck_assert_uint_eq(rdm(RIS, 4), triggers[_i].ris);
	for (const char *p = typed; *p; p++) {
		ck_assert_uint_eq(rdm(FR, 4) & 0x10, 0);
		ck_assert_uint_eq(rdm(DR, 4), (uint8_t)*p);
	}
	ck_assert(!rig.level);
	ck_assert_uint_eq(rdm(FR, 4), 0x97);
	ck_assert_uint_eq(rdm(DR, 4), 0);
}
END_TEST

/* An interrupt that was cleared while data is left comes back. */
START_TEST(timeout_comes_back)
{
	start();
	wrm(IMSC, 4, 0x50);
	rig_type("abc");
	wrm(ICR, 4, 0x7ff);
	ck_assert(!rig.level);
	ck_assert_uint_eq(rdm(DR, 4), 'a');
	ck_assert(rig.level);
	rdm(DR, 4);
	rdm(DR, 4);
	ck_assert(!rig.level);
}
END_TEST

START_TEST(input_waits_until_enabled)
{
	rig_type("typed before boot");
	ck_assert_uint_eq(rdm(FR, 4) & 0x10, 0x10);
	start();
	rig_run_ms(10);
	for (const char *p = "typed before boot"; *p; p++)
		ck_assert_uint_eq(rdm(DR, 4), (uint8_t)*p);
}
END_TEST

static const uint32_t fens[] = { 0x60, 0x70 };

START_TEST(input_flow_control)
{
	char text[200];

	for (unsigned i = 0; i < sizeof(text); i++)
		text[i] = (char)('0' + i % 70);
	text[sizeof(text) - 1] = 0;
	wrm(LCR_H, 4, fens[_i]);
	wrm(CR, 4, 0x301);
	rig_type(text);
	ck_assert_uint_eq(rdm(FR, 4) & 0x50, 0x40);
	for (const char *p = text; *p; p++) {
		if (rdm(FR, 4) & 0x10)
			rig_run_ms(3);
		ck_assert_uint_eq(rdm(DR, 4), (uint8_t)*p);
	}
	ck_assert_uint_eq(rdm(RSR, 4), 0);
}
END_TEST

START_TEST(fen_clears_the_fifo)
{
	start();
	rig_type("junk");
	wrm(LCR_H, 4, 0x60);
	ck_assert_uint_eq(rdm(FR, 4) & 0x10, 0x10);
	ck_assert_uint_eq(rdm(RIS, 4), 0);
}
END_TEST

/* ---- loopback ----------------------------------------------------------- */

START_TEST(loopback_data_and_overrun)
{
	start();
	wrm(CR, 4, 0x381);
	rig_type("outside");
	for (unsigned i = 0; i < 33; i++)
		wrm(DR, 4, 'A' + i);
	ck_assert_uint_eq(rdm(RIS, 4) & 0x400, 0x400);
	ck_assert_uint_eq(rdm(RSR, 4), 0x8);
	ck_assert_uint_eq(rdm(DR, 4), 0x800 | 'A');
	wrm(RSR, 4, 0);
	for (unsigned i = 1; i < 32; i++)
		ck_assert_uint_eq(rdm(DR, 4), 'A' + i);
	ck_assert_str_eq(rig_output(), "");
	wrm(CR, 4, 0x301);
	rig_run_ms(10);
	ck_assert_uint_eq(rdm(DR, 4), 'o');
}
END_TEST

static const struct {
	uint32_t cr, fr, ris;
} loops[] = {
	{ 0x380, 0x000, 0x0e },	 { 0x780, 0x002, 0x06 },
	{ 0xb80, 0x001, 0x0c },	 { 0x1380, 0x100, 0x0f },
	{ 0x2380, 0x004, 0x0a },
};

START_TEST(loopback_modem_lines)
{
	wrm(IMSC, 4, 0x0f);
	wrm(CR, 4, loops[_i].cr);
	ck_assert_uint_eq(rdm(FR, 4) & 0x107, loops[_i].fr);
	ck_assert_uint_eq(rdm(RIS, 4), loops[_i].ris);
	ck_assert(rig.level);
	wrm(ICR, 4, 0x0f);
	ck_assert(!rig.level);
}
END_TEST

/* ---- description, state ------------------------------------------------- */

START_TEST(describes_itself)
{
	struct diag d = DIAG_INIT;
	const struct plat_dev *p;

	ck_assert_int_eq(rig.dev->cls->describe(rig.dev, &rig.platform, &d), 0);
	p = platform_find(&rig.platform, PLAT_CONSOLE);
	ck_assert_str_eq(p->name, "pl011");
	ck_assert_str_eq(p->hid, "ARMH0011");
	ck_assert_mem_eq(p->compatible, "arm,pl011\0arm,primecell\0", 25);
	ck_assert_int_eq(p->range[0].bus, PLAT_MMIO);
	ck_assert_uint_eq(p->range[0].size_bytes, 0x1000);
	ck_assert(p->irq[0].level);
	ck_assert_int_eq(p->prop[0].kind, PROP_CLOCK);
	ck_assert_uint_eq(p->prop[0].u32, 2);
	ck_assert_mem_eq(p->prop[0].str, "uartclk\0apb_pclk", 17);
}
END_TEST

START_TEST(state_round_trip)
{
	start();
	wrm(IBRD, 4, 13);
	wrm(FBRD, 4, 1);
	wrm(IMSC, 4, 0x50);
	rig_type("0123456789");
	rdm(DR, 4);
	rig_round_trip(PLAT_MMIO, false);
	ck_assert(rig.level);
	ck_assert_uint_eq(rdm(IBRD, 4), 13);
	ck_assert_uint_eq(rdm(FBRD, 4), 1);
	ck_assert_uint_eq(rdm(LCR_H, 4), 0x70);
	for (const char *p = "123456789"; *p; p++)
		ck_assert_uint_eq(rdm(DR, 4), (uint8_t)*p);
	rig_type("more");
	ck_assert_uint_eq(rdm(DR, 4), 'm');
}
END_TEST

START_TEST(hostile_state)
{
	start();
	rig_type("0123456789abcdef");
	rig_hostile_state();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("serial-pl011");
	TCase *tc = tcase_create("serial-pl011");

	tcase_add_checked_fixture(tc, setup, rig_close);
	tcase_add_loop_test(tc, register_table, 0, ARRAY_SIZE(registers));
	tcase_add_test(tc, widths);
	tcase_add_test(tc, hostile_accesses);
	tcase_add_test(tc, transmits_even_while_disabled);
	tcase_add_test(tc, transmit_interrupt);
	tcase_add_loop_test(tc, receive_interrupt, 0, ARRAY_SIZE(triggers));
	tcase_add_test(tc, timeout_comes_back);
	tcase_add_test(tc, input_waits_until_enabled);
	tcase_add_loop_test(tc, input_flow_control, 0, ARRAY_SIZE(fens));
	tcase_add_test(tc, fen_clears_the_fifo);
	tcase_add_test(tc, loopback_data_and_overrun);
	tcase_add_loop_test(tc, loopback_modem_lines, 0, ARRAY_SIZE(loops));
	tcase_add_test(tc, describes_itself);
	tcase_add_test(tc, state_round_trip);
	tcase_add_test(tc, hostile_state);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
