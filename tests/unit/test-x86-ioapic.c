/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: the IOAPIC in front of a hypervisor that writes down what it is told
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "arch/x86_64/ioapic.h"
#include "arch/x86_64/layout.h"

#include "tests/unit/suite.h"

#define ID	0
#define VERSION 1
#define ENTRY	0x10

#define LEVEL  (1U << 15)
#define MASKED (1U << 16)
#define IRR    (1U << 14)

/* ---- the hypervisor ----------------------------------------------------- */

static struct msi_message sent[64], route[X86_IOAPIC_PINS];
static unsigned sent_count, applied;
static uint32_t routes; /* pins that have one */

static int fake_route_set(struct host_vm *vm, uint32_t gsi,
			  const struct msi_message *msg)
{
	(void)vm;
	ck_assert_uint_lt(gsi, X86_IOAPIC_PINS);
	route[gsi] = *msg;
	routes |= 1U << gsi;
	return 0;
}

static void fake_route_clear(struct host_vm *vm, uint32_t gsi)
{
	(void)vm;
	routes &= ~(1U << gsi);
}

static int fake_route_apply(struct host_vm *vm)
{
	(void)vm;
	applied++;
	return 0;
}

static int fake_send(struct host_vm *vm, const struct msi_message *msg)
{
	(void)vm;
	ck_assert_uint_lt(sent_count, ARRAY_SIZE(sent));
	sent[sent_count++] = *msg;
	return 0;
}

static const struct host_ops ops = {
	.msi_route_set = fake_route_set,
	.msi_route_clear = fake_route_clear,
	.msi_route_apply = fake_route_apply,
	.msi_send = fake_send,
};

/* ---- the machine -------------------------------------------------------- */

static struct host_vm vm = { .ops = &ops };
static struct platform p;
static struct irqchip chip;
static struct bus *mmio;
static struct arch_irqchip *ic;

static void setup(void)
{
	p.intc.ioapic = (struct plat_range){ PLAT_MMIO, X86_IOAPIC_BASE,
					     X86_IOAPIC_SIZE };
	sent_count = applied = 0;
	routes = 0;
	mmio = bus_new("mmio", 0);
	irqchip_init(&chip, 0);
	chip.vm = &vm;
	ck_assert_int_eq(arch_x86_64.irqchip_new(&ic, &chip, &p, mmio, NULL),
			 0);
}

static void teardown(void)
{
	arch_x86_64.irqchip_free(ic);
	irqchip_release(&chip);
	bus_free(mmio);
}

static uint32_t get(unsigned index)
{
	bus_write(mmio, X86_IOAPIC_BASE, 4, index);
	return (uint32_t)bus_read(mmio, X86_IOAPIC_BASE + 0x10, 4);
}

static void set(unsigned index, uint32_t value)
{
	bus_write(mmio, X86_IOAPIC_BASE, 4, index);
	bus_write(mmio, X86_IOAPIC_BASE + 0x10, 4, value);
}

static void set_pin(unsigned pin, uint32_t low, uint32_t high)
{
	set(ENTRY + 2 * pin + 1, high);
	set(ENTRY + 2 * pin, low);
}

static void wire(unsigned pin, bool level)
{
	irq_set(&(struct irq_wire){ &chip.sink, pin }, level);
}

static void eoi(uint8_t vector)
{
	arch_x86_64.eoi(ic, vector);
}

/* ---- registers ---------------------------------------------------------- */

START_TEST(test_power_on)
{
	ck_assert_uint_eq(chip.gsi_first, 24);
	ck_assert_uint_eq(get(ID), 0);
	ck_assert_uint_eq(get(VERSION), 0x20 | 23 << 16);
	for (unsigned i = 0; i < 24; i++) {
		ck_assert_uint_eq(get(ENTRY + 2 * i), MASKED);
		ck_assert_uint_eq(get(ENTRY + 2 * i + 1), 0);
	}
	ck_assert_uint_eq(get(ENTRY + 48), 0);
	ck_assert_uint_eq(get(0xff), 0);
}
END_TEST

/* index, what is written, what is read back */
static const struct {
	unsigned index;
	uint32_t wrote, reads;
} registers[] = {
	{ ID, UINT32_MAX, 0x0f000000 },
	{ VERSION, 0, 0x20 | 23 << 16 },
	{ 2, UINT32_MAX, 0 },
	{ 3, UINT32_MAX, 0 },
	{ 0xf, UINT32_MAX, 0 },
	/* delivery status and remote IRR are read-only, the rest reserved */
	{ ENTRY, UINT32_MAX, 0x1afff },
	{ ENTRY + 1, UINT32_MAX, 0xffff0000 },
	{ ENTRY + 47, UINT32_MAX, 0xffff0000 },
	{ ENTRY + 48, UINT32_MAX, 0 },
	{ 0xff, UINT32_MAX, 0 },
};

START_TEST(test_register)
{
	set(registers[_i].index, registers[_i].wrote);
	ck_assert_uint_eq(get(registers[_i].index), registers[_i].reads);
}
END_TEST

/* Every offset, width and alignment that the bus lets through. */
START_TEST(test_any_access)
{
	static const unsigned sizes[] = { 1, 2, 4, 8 };

	for (unsigned s = 0; s < ARRAY_SIZE(sizes); s++)
		for (uint64_t at = 0; at < 0x60; at++) {
			bus_write(mmio, X86_IOAPIC_BASE + at, sizes[s],
				  UINT64_MAX);
			bus_read(mmio, X86_IOAPIC_BASE + at, sizes[s]);
		}
	ck_assert_uint_eq(sent_count, 0);
}
END_TEST

/* ---- messages ----------------------------------------------------------- */

static const struct {
	uint32_t low, high;
	uint64_t addr;
	uint32_t data;
} messages[] = {
	{ 0x31, 0, 0xfee00000, 0x31 },
	{ 0x31, 5U << 24, 0xfee05000, 0x31 },
	{ 0x31, 255U << 24, 0xfeeff000, 0x31 },
	{ 0x31 | 1 << 11, 3U << 24, 0xfee03004, 0x31 }, /* logical */
	{ 0x31 | 1 << 8, 0, 0xfee00000, 0x131 },	/* lowest priority */
	{ 4 << 8, 0, 0xfee00000, 0x400 },		/* NMI */
	/* 15-bit ids: 0x1234 = 0x34 and 0x12 in bits 55:49 */
	{ 0x31, 0x34U << 24 | 0x12U << 17, 0xfee34000 | 0x12 << 5, 0x31 },
	{ 0x31, 0xffU << 24 | 0x7fU << 17, 0xfeeff000 | 0x7f << 5, 0x31 },
	/* bit 48, the remappable format, is not passed on */
	{ 0x31, 1U << 16, 0xfee00000, 0x31 },
};

START_TEST(test_message)
{
	set_pin(4, messages[_i].low, messages[_i].high);
	wire(4, true);
	wire(4, false);
	ck_assert_uint_eq(sent_count, 1);
	ck_assert_uint_eq(sent[0].addr, messages[_i].addr);
	ck_assert_uint_eq(sent[0].data, messages[_i].data);
	ck_assert_uint_eq(applied, 0);
}
END_TEST

START_TEST(test_extint)
{
	set_pin(0, 7 << 8, 0);
	wire(0, true);
	ck_assert_uint_eq(sent_count, 0);
}
END_TEST

/* ---- edges -------------------------------------------------------------- */

START_TEST(test_edge)
{
	set_pin(4, 0x40, 0);
	wire(4, true);
	wire(4, true);
	ck_assert_uint_eq(sent_count, 1);
	wire(4, false);
	ck_assert_uint_eq(sent_count, 1);
	wire(4, true);
	ck_assert_uint_eq(sent_count, 2);
	eoi(0x40);
	ck_assert_uint_eq(sent_count, 2);
}
END_TEST

START_TEST(test_edge_masked)
{
	set_pin(4, 0x40 | MASKED, 0);
	wire(4, true);
	set_pin(4, 0x40, 0);
	ck_assert_uint_eq(sent_count, 0);
	wire(4, false);
	wire(4, true);
	ck_assert_uint_eq(sent_count, 1);
}
END_TEST

/* ---- levels ------------------------------------------------------------- */

START_TEST(test_level)
{
	set_pin(5, 0x50 | LEVEL, 0);
	ck_assert_uint_eq(routes, 1U << 5);
	ck_assert_uint_eq(applied, 1);
	wire(5, true);
	ck_assert_uint_eq(sent_count, 1);
	ck_assert_uint_eq(sent[0].data, 0x50 | LEVEL | 1 << 14);
	ck_assert_uint_eq(get(ENTRY + 10) & IRR, IRR);
	wire(5, false);
	wire(5, true); /* in service: waits */
	ck_assert_uint_eq(sent_count, 1);
	eoi(0x51);
	ck_assert_uint_eq(sent_count, 1);
	eoi(0x50);
	ck_assert_uint_eq(sent_count, 2);
	wire(5, false);
	eoi(0x50);
	ck_assert_uint_eq(sent_count, 2);
	ck_assert_uint_eq(get(ENTRY + 10) & IRR, 0);
}
END_TEST

START_TEST(test_level_masked)
{
	wire(5, true);
	set_pin(5, 0x50 | LEVEL | MASKED, 0);
	ck_assert_uint_eq(sent_count, 0);
	ck_assert_uint_eq(applied, 0);
	set_pin(5, 0x50 | LEVEL, 0);
	ck_assert_uint_eq(sent_count, 1);
	/* masked while in service: its end does not interrupt again */
	set_pin(5, 0x50 | LEVEL | MASKED, 0);
	eoi(0x50);
	ck_assert_uint_eq(sent_count, 1);
	set_pin(5, 0x50 | LEVEL, 0);
	ck_assert_uint_eq(sent_count, 2);
	/* the same message: the hypervisor was told once */
	ck_assert_uint_eq(applied, 1);
}
END_TEST

START_TEST(test_eoi_register)
{
	set_pin(5, 0x50 | LEVEL, 0);
	wire(5, true);
	bus_write(mmio, X86_IOAPIC_BASE + 0x40, 4, 0x50);
	ck_assert_uint_eq(sent_count, 2);
}
END_TEST

/* The way to end an interrupt where there is no EOI register. */
START_TEST(test_end_by_edge)
{
	set_pin(5, 0x50 | LEVEL, 0);
	wire(5, true);
	set(ENTRY + 10, 0x50 | MASKED);
	ck_assert_uint_eq(get(ENTRY + 10) & IRR, 0);
	set(ENTRY + 10, 0x50 | LEVEL);
	ck_assert_uint_eq(sent_count, 2);
}
END_TEST

/* Two pins of one vector end together. */
START_TEST(test_shared_vector)
{
	set_pin(20, 0x50 | LEVEL, 0);
	set_pin(21, 0x50 | LEVEL, 0);
	wire(20, true);
	wire(21, true);
	ck_assert_uint_eq(sent_count, 2);
	wire(20, false);
	eoi(0x50);
	ck_assert_uint_eq(sent_count, 3);
}
END_TEST

START_TEST(test_routes)
{
	set_pin(5, 0x50 | LEVEL, 0);
	set_pin(6, 0x60, 0);
	ck_assert_uint_eq(routes, 1U << 5);
	set_pin(5, 0x50 | LEVEL | MASKED, 0);
	ck_assert_uint_eq(routes, 1U << 5);
	set_pin(5, 0x51 | LEVEL, 7U << 24);
	ck_assert_uint_eq(route[5].addr, 0xfee07000);
	ck_assert_uint_eq(route[5].data & 0xff, 0x51);
	set_pin(5, 0x51, 0); /* now edge: nobody needs its end */
	ck_assert_uint_eq(routes, 0);
}
END_TEST

/* ---- without a VM, reset, snapshots ------------------------------------- */

START_TEST(test_no_vm)
{
	chip.vm = NULL;
	set_pin(5, 0x50 | LEVEL, 0);
	set_pin(4, 0x40, 0);
	wire(4, true);
	wire(5, true);
	eoi(0x50);
	wire(24, true);
	wire(UINT32_MAX, true);
	ck_assert_uint_eq(sent_count, 0);
}
END_TEST

START_TEST(test_reset)
{
	set(ID, 0x05000000);
	set_pin(5, 0x50 | LEVEL, 1U << 24);
	wire(5, true);
	routes = 0; /* a new VM */
	arch_x86_64.irqchip_reset(ic);
	ck_assert_uint_eq(get(ID), 0);
	ck_assert_uint_eq(get(ENTRY + 10), MASKED);
	ck_assert_uint_eq(get(ENTRY + 11), 0);
	ck_assert_uint_eq(sent_count, 1);
	set_pin(5, 0x50 | LEVEL, 1U << 24);
	ck_assert_uint_eq(sent_count, 1);
	ck_assert_uint_eq(routes, 1U << 5);
}
END_TEST

START_TEST(test_snapshot)
{
	struct stream_out out;
	struct stream_in in;
	uint32_t saved[64];

	set(ID, 0x05000000);
	set_pin(5, 0x50 | LEVEL, 1U << 24);
	set_pin(4, 0x40, 2U << 24);
	wire(5, true);
	for (unsigned i = 0; i < 64; i++)
		saved[i] = get(i);
	stream_out_init(&out);
	x86_ioapic_save(ic, &out);
	arch_x86_64.irqchip_reset(ic);
	routes = 0;
	sent_count = 0;
	stream_in_init(&in, out.data, out.len);
	ck_assert_int_eq(x86_ioapic_load(ic, &in, NULL), 0);
	ck_assert_int_eq(stream_in_done(&in), 0);
	for (unsigned i = 0; i < 64; i++)
		ck_assert_uint_eq(get(i), saved[i]);
	ck_assert_uint_eq(routes, 1U << 5);
	ck_assert_uint_eq(sent_count, 0);
	eoi(0x50); /* still high, as it was */
	ck_assert_uint_eq(sent_count, 1);
	stream_out_release(&out);
}
END_TEST

/* A word of the saved state, and a value that it never has. */
static const struct {
	unsigned at;
	uint32_t value;
} damage[] = {
	{ 0, 23 },   { 4, 256 },       { 8, 1 },	 { 12, 1U << 24 },
	{ 16, IRR }, { 16, 1U << 12 }, { 20, 1U << 15 }, { 16, 1U << 17 },
};

START_TEST(test_snapshot_damaged)
{
	struct stream_out out;
	struct stream_in in;

	set_pin(4, 0x40, 2U << 24);
	stream_out_init(&out);
	x86_ioapic_save(ic, &out);
	memcpy(out.data + damage[_i].at, &damage[_i].value, 4);
	stream_in_init(&in, out.data, out.len);
	ck_assert_int_eq(x86_ioapic_load(ic, &in, NULL), -EBADMSG);
	ck_assert_uint_eq(get(ENTRY + 8), 0x40);
	stream_out_release(&out);
}
END_TEST

START_TEST(test_snapshot_cut)
{
	struct stream_out out;
	struct stream_in in;

	stream_out_init(&out);
	x86_ioapic_save(ic, &out);
	for (size_t len = 0; len < out.len; len++) {
		stream_in_init(&in, out.data, len);
		ck_assert_int_eq(x86_ioapic_load(ic, &in, NULL), -EBADMSG);
	}
	stream_out_release(&out);
}
END_TEST

START_TEST(test_no_room)
{
	struct arch_irqchip *second = NULL;

	ck_assert_int_eq(
		arch_x86_64.irqchip_new(&second, &chip, &p, mmio, NULL),
		-EEXIST);
	ck_assert_ptr_null(second);
	arch_x86_64.irqchip_free(NULL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("x86-ioapic");
	TCase *t = tcase_create("ioapic");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_power_on);
	tcase_add_loop_test(t, test_register, 0, ARRAY_SIZE(registers));
	tcase_add_test(t, test_any_access);
	tcase_add_loop_test(t, test_message, 0, ARRAY_SIZE(messages));
	tcase_add_test(t, test_extint);
	tcase_add_test(t, test_edge);
	tcase_add_test(t, test_edge_masked);
	tcase_add_test(t, test_level);
	tcase_add_test(t, test_level_masked);
	tcase_add_test(t, test_eoi_register);
	tcase_add_test(t, test_end_by_edge);
	tcase_add_test(t, test_shared_vector);
	tcase_add_test(t, test_routes);
	tcase_add_test(t, test_no_vm);
	tcase_add_test(t, test_reset);
	tcase_add_test(t, test_snapshot);
	tcase_add_loop_test(t, test_snapshot_damaged, 0, ARRAY_SIZE(damage));
	tcase_add_test(t, test_snapshot_cut);
	tcase_add_test(t, test_no_room);
	suite_add_tcase(s, t);
	return suite_run(s);
}
