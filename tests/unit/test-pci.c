/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: tests of devices/pci: configuration space, BARs, MSI-X, INTx, pvpanic */
#include <check.h>
#include <errno.h>

#include "vmm/base/log.h"

#include "tests/unit/suite.h"
#include "virtio-driver.h"

static struct bed bed;
static struct device *dev;  /* virtio-rng in slot 1 */
static struct device *dev2; /* pvpanic in slot 2 */

static void setup(void)
{
	memset(&bed, 0, sizeof(bed));
	bed_open(&bed, TRANSPORT_PCI, true);
	dev = bed_add(&bed, "virtio-rng");
	dev2 = bed_add(&bed, "pvpanic");
}

static void teardown(void)
{
	device_free(dev2);
	device_free(dev);
	bed_close(&bed);
}

static struct pci_func *func(unsigned slot)
{
	return bed.env.pci[0]->func[slot];
}

/* ---- configuration space ----------------------------------------------- */

static const struct {
	unsigned slot, reg, size;
	uint64_t value;
} known[] = {
	{ 0, 0x00, 4, 0x0d578086 }, /* CLOUDHV.fd looks for this */
	{ 0, 0x08, 4, 0x06000000 },
	{ 0, 0x0e, 1, 0 },
	{ 0, 0x34, 1, 0 },
	{ 1, 0x00, 4, 0x10441af4 },
	{ 1, 0x00, 2, 0x1af4 },
	{ 1, 0x02, 2, 0x1044 },
	{ 1, 0x04, 2, 0x0002 }, /* decodes from power-on */
	{ 1, 0x06, 2, 0x0010 },
	{ 1, 0x08, 1, 1 },
	{ 1, 0x3d, 1, 1 },
	{ 2, 0x00, 4, 0x00111b36 },
	{ 2, 0x0a, 2, 0x0880 },
	{ 3, 0x00, 4, UINT32_MAX }, /* nothing there */
	{ 31, 0x00, 2, UINT16_MAX },
	{ 1, 0x100, 4, UINT32_MAX }, /* no extended space */
	{ 1, 0xfff, 1, UINT8_MAX },
	{ 1, 0x3f, 1, 0 },
};

START_TEST(registers_known)
{
	ck_assert_uint_eq(
		cfg_get(&bed, known[_i].slot, known[_i].reg, known[_i].size),
		known[_i].value);
}
END_TEST

START_TEST(function_one_absent)
{
	ck_assert_uint_eq(bus_read(bed.env.mmio, cfg_addr(1, 0) + 0x1000, 4),
			  UINT32_MAX);
	bus_write(bed.env.mmio, cfg_addr(1, 4) + 0x1000, 2, 0);
	ck_assert_uint_eq(cfg_get(&bed, 1, 4, 2), 2);
}
END_TEST

/* Class (g): any width at any alignment, also over the end of a register,
 * of the 256 bytes and of a function's 4 KiB. */
START_TEST(config_any_width_and_alignment)
{
	unsigned size = 1u << _i;

	for (unsigned reg = 0; reg < 0x1000; reg++) {
		uint64_t want = 0;

		for (unsigned i = 0; i < size; i++)
			want |= cfg_get(&bed, 1, MIN(reg + i, 0xfffu), 1)
				<< (8 * i);
		if (reg + size > 256 && reg < 256)
			want = UINT64_MAX;
		ck_assert_uint_eq(cfg_get(&bed, 1, reg, size),
				  size < 8 ? want & ((1ULL << (8 * size)) - 1)
					   : want);
	}
	/* Over the end of the function into the next one. */
	bus_write(bed.env.mmio, cfg_addr(1, 0xfff), size, 0);
	ck_assert_uint_eq(cfg_get(&bed, 2, 0, 4), 0x00111b36);
}
END_TEST

START_TEST(cf8_shows_the_same)
{
	for (unsigned reg = 0; reg < 256; reg += 4) {
		bus_write(bed.env.pio, 0xcf8, 4, 0x80000000 | 1 << 11 | reg);
		ck_assert_uint_eq(bus_read(bed.env.pio, 0xcfc, 4),
				  cfg_get(&bed, 1, reg, 4));
		ck_assert_uint_eq(bus_read(bed.env.pio, 0xcfe, 2),
				  cfg_get(&bed, 1, reg + 2, 2));
	}
}
END_TEST

START_TEST(cf8_widths)
{
	bus_write(bed.env.pio, 0xcf8, 4, 0xffffffff);
	ck_assert_uint_eq(bus_read(bed.env.pio, 0xcf8, 4), 0x80fffffc);
	ck_assert_uint_eq(bus_read(bed.env.pio, 0xcfc, 4), UINT32_MAX);
	/* How Linux and firmware probe: a byte does not reach the latch. */
	bus_write(bed.env.pio, 0xcfb, 1, 1);
	ck_assert_uint_eq(bus_read(bed.env.pio, 0xcf8, 4), 0x80fffffc);
	ck_assert_uint_eq(bus_read(bed.env.pio, 0xcfa, 1), 0xff);
	/* Disabled: nothing answers. */
	bus_write(bed.env.pio, 0xcf8, 4, 1 << 11);
	ck_assert_uint_eq(bus_read(bed.env.pio, 0xcfc, 4), UINT32_MAX);
	bus_write(bed.env.pio, 0xcf8, 4, 0x80000000 | 1 << 11 | 4);
	bus_write(bed.env.pio, 0xcfc, 2, 0x406);
	ck_assert_uint_eq(cfg_get(&bed, 1, 4, 2), 0x406);
}
END_TEST

/* Linux writes 2, then 6 or 14; firmware 6. Nothing else resets. */
START_TEST(reset_control)
{
	unsigned *resets = &bed.requests[MACHINE_RESET];

	bus_write(bed.env.pio, 0xcf8, 4, 0x80000804);
	ck_assert_uint_eq(bus_read(bed.env.pio, 0xcf9, 1), 0);
	bus_write(bed.env.pio, 0xcf9, 1, 2);
	bus_write(bed.env.pio, 0xcf9, 2, 6);
	bus_write(bed.env.pio, 0xcfa, 1, 6);
	bus_write(bed.env.pio, 0xcf8, 1, 6);
	ck_assert_uint_eq(*resets, 0);
	bus_write(bed.env.pio, 0xcf9, 1, 6);
	ck_assert_uint_eq(*resets, 1);
	bus_write(bed.env.pio, 0xcf9, 1, 14);
	ck_assert_uint_eq(*resets, 2);
	ck_assert_uint_eq(bus_read(bed.env.pio, 0xcf8, 4), 0x80000804);
}
END_TEST

/* The register table: what is not in a write mask never changes, whatever is
 * written, and reset brings everything back. */
START_TEST(register_table_holds)
{
	static const uint8_t patterns[] = { 0xff, 0x00, 0xa5, 0x5a };
	struct pci_func *f = func((unsigned)_i);
	uint8_t before[256];

	for (unsigned reg = 0; reg < 256; reg++)
		before[reg] = (uint8_t)cfg_get(&bed, (unsigned)_i, reg, 1);
	for (unsigned n = 0; n < 4 * 256; n++)
		cfg_put(&bed, (unsigned)_i, n % 256, 1, patterns[n / 256]);
	for (unsigned reg = 0; reg < 256; reg++) {
		uint8_t fixed = (uint8_t)~f->rw[reg];

		ck_assert_uint_eq(cfg_get(&bed, (unsigned)_i, reg, 1) & fixed,
				  before[reg] & fixed);
	}
	pci_func_reset(f);
	for (unsigned reg = 0; reg < 256; reg++)
		ck_assert_uint_eq(cfg_get(&bed, (unsigned)_i, reg, 1),
				  before[reg]);
}
END_TEST

START_TEST(caps_are_a_list)
{
	/* common, notify, ISR, access: 4 vendor capabilities, then MSI-X */
	ck_assert_uint_ne(cfg_cap(&bed, 1, PCI_CAP_VENDOR, 3), 0);
	ck_assert_uint_eq(cfg_cap(&bed, 1, PCI_CAP_VENDOR, 4), 0);
	ck_assert_uint_ne(cfg_cap(&bed, 1, PCI_CAP_MSIX, 0), 0);
}
END_TEST

START_TEST(slots_run_out)
{
	struct pci_func f[PCI_SLOTS];
	static const struct pci_ident ident = { .vendor = 1 };
	static const struct pci_func_ops none = { 0 };
	struct diag d = DIAG_INIT;
	unsigned got = 0;

	memset(f, 0, sizeof(f));
	while (!pci_func_init(&f[got], bed.env.pci[0], "x", &ident, &none, &d))
		got++;
	ck_assert_uint_eq(got, 29); /* bridge and two devices are there */
	ck_assert_str_eq(d.text[0],
			 "PCI segment 0 has no slot left: give devices "
			 "pci_segment= of another (--platform "
			 "num_pci_segments=)");
	for (unsigned i = 0; i < got; i++)
		pci_func_release(&f[i]);
	ck_assert_int_eq(
		pci_func_init(&f[0], bed.env.pci[0], "x", &ident, &none, &d),
		0);
	ck_assert_uint_eq(f[0].devfn >> 3, 3);
	pci_func_release(&f[0]);
}
END_TEST

/* ---- BARs -------------------------------------------------------------- */

static uint64_t pvpanic_at(uint64_t base)
{
	return bus_read(bed.env.mmio, base, 1);
}

START_TEST(bars_have_a_home)
{
	ck_assert_uint_eq(cfg_get(&bed, 1, 0x10, 4), (uint32_t)BED_MEM64 | 4);
	ck_assert_uint_eq(cfg_bar64(&bed, 1, 0), BED_MEM64);
	ck_assert_uint_eq(cfg_get(&bed, 2, 0x10, 4), BED_MEM32);
	ck_assert_uint_eq(pvpanic_at(BED_MEM32), 3);
}
END_TEST

/* PCI 3.0 sec. 6.2.5.1: sizing, with decoding off as Linux does it. */
START_TEST(bar_sizing)
{
	cfg_put(&bed, 1, 4, 2, 0);
	cfg_put(&bed, 1, 0x10, 4, UINT32_MAX);
	cfg_put(&bed, 1, 0x14, 4, UINT32_MAX);
	ck_assert_uint_eq(cfg_get(&bed, 1, 0x10, 4), 0xffff8004);
	ck_assert_uint_eq(cfg_get(&bed, 1, 0x14, 4), UINT32_MAX);
	cfg_put(&bed, 2, 0x10, 4, UINT32_MAX);
	ck_assert_uint_eq(cfg_get(&bed, 2, 0x10, 4), 0xfffff000);
	/* Not implemented: reads zero. */
	cfg_put(&bed, 2, 0x14, 4, UINT32_MAX);
	ck_assert_uint_eq(cfg_get(&bed, 2, 0x14, 4), 0);
	cfg_put(&bed, 2, 0x30, 4, UINT32_MAX);
	ck_assert_uint_eq(cfg_get(&bed, 2, 0x30, 4), 0);
	cfg_put(&bed, 2, 0x10, 4, BED_MEM32);
	ck_assert_uint_eq(pvpanic_at(BED_MEM32), 3);
}
END_TEST

START_TEST(bar_moves)
{
	uint64_t to = BED_MEM32 + 0x100000;

	cfg_put(&bed, 2, 0x10, 4, to);
	ck_assert_uint_eq(pvpanic_at(to), 3);
	ck_assert_uint_eq(pvpanic_at(BED_MEM32), 0xff);
	/* Decoding off: nowhere; on again: there. */
	cfg_put(&bed, 2, 4, 2, 0);
	ck_assert_uint_eq(pvpanic_at(to), 0xff);
	cfg_put(&bed, 2, 4, 2, 2);
	ck_assert_uint_eq(pvpanic_at(to), 3);
	pci_func_reset(func(2));
	ck_assert_uint_eq(pvpanic_at(BED_MEM32), 3);
	ck_assert_uint_eq(pvpanic_at(to), 0xff);
}
END_TEST

START_TEST(bar_moves_byte_by_byte)
{
	uint64_t to = 0xc1230000;

	for (unsigned i = 0; i < 4; i++)
		cfg_put(&bed, 2, 0x10 + i, 1, to >> (8 * i));
	ck_assert_uint_eq(pvpanic_at(to), 3);
}
END_TEST

/* A BAR on top of something decodes nothing, and gets its place as soon as
 * that is free. */
START_TEST(bar_conflict_resolves)
{
	uint64_t base = BED_MEM32 + 0x200000;

	cfg_put(&bed, 1, 0x10, 4, base);
	cfg_put(&bed, 1, 0x14, 4, 0);
	ck_assert_uint_eq(bus_read(bed.env.mmio, base + 0x12, 2), 1);
	cfg_put(&bed, 2, 0x10, 4, base + 0x1000);
	ck_assert_uint_eq(pvpanic_at(base + 0x1000), 0); /* the ISR */
	ck_assert_uint_eq(pvpanic_at(BED_MEM32), 0xff);
	cfg_put(&bed, 1, 4, 2, 0);
	ck_assert_uint_eq(pvpanic_at(base + 0x1000), 3);
	cfg_put(&bed, 1, 4, 2, 2);
	ck_assert_uint_eq(bus_read(bed.env.mmio, base + 0x12, 2), 0xffff);
	cfg_put(&bed, 2, 4, 2, 0);
	ck_assert_uint_eq(bus_read(bed.env.mmio, base + 0x12, 2), 1);
}
END_TEST

static const uint64_t bad_places[] = {
	0, 0xfffffffffffff000, BED_ECAM, 0xffffffffffff8000, BED_VMMIO,
};

START_TEST(bar_at_bad_place_harms_nothing)
{
	cfg_put(&bed, 1, 0x10, 4, (uint32_t)bad_places[_i]);
	cfg_put(&bed, 1, 0x14, 4, bad_places[_i] >> 32);
	ck_assert_uint_eq(cfg_get(&bed, 0, 0, 4), 0x0d578086);
	cfg_put(&bed, 1, 0x10, 4, (uint32_t)BED_MEM64);
	cfg_put(&bed, 1, 0x14, 4, BED_MEM64 >> 32);
	ck_assert_uint_eq(bus_read(bed.env.mmio, BED_MEM64 + 0x12, 2), 1);
}
END_TEST

static int add_bar(struct pci_func *f, unsigned index, uint64_t size, bool is64)
{
	static const struct bus_ops dead = { 0 };
	const struct pci_bar_spec spec = {
		.index = index, .is64 = is64, .size_bytes = size, .ops = &dead
	};
	struct diag d = DIAG_INIT;

	return pci_func_add_bar(f, &spec, &d);
}

START_TEST(windows_fill_up)
{
	struct pci_func f = { 0 };
	static const struct pci_ident ident = { .vendor = 1 };
	static const struct pci_func_ops none = { 0 };
	struct diag d = DIAG_INIT;

	ck_assert_int_eq(
		pci_func_init(&f, bed.env.pci[0], "x", &ident, &none, &d), 0);
	/* Larger than what is left of the 32-bit window. */
	ck_assert_int_eq(add_bar(&f, 0, MIB(16), false), -ENOSPC);
	/* 64-bit windows first, and naturally aligned. */
	ck_assert_int_eq(add_bar(&f, 0, MIB(16), true), 0);
	ck_assert_uint_eq(f.bar[0].home, BED_MEM64 + MIB(16));
	ck_assert_int_eq(add_bar(&f, 2, MIB(8), false), 0);
	ck_assert_uint_eq(f.bar[2].home, BED_MEM32 + MIB(8));
	/* Its own unplugged BARs count, too. */
	ck_assert_int_eq(add_bar(&f, 3, MIB(8), false), -ENOSPC);
	pci_func_release(&f);
}
END_TEST

/* ---- MSI-X ------------------------------------------------------------- */

static uint64_t table(unsigned offset)
{
	return BED_MEM64 + 0x4000 + offset;
}

static void msix_control(uint16_t control)
{
	cfg_put(&bed, 1, cfg_cap(&bed, 1, PCI_CAP_MSIX, 0) + 2, 2, control);
}

static uint64_t pending(void)
{
	return bus_read(bed.env.mmio, BED_MEM64 + 0x7000, 8);
}

static void program(unsigned vector, uint32_t data, uint32_t control)
{
	bus_write(bed.env.mmio, table(16 * vector), 4, 0xfee01000);
	bus_write(bed.env.mmio, table(16 * vector + 4), 4, 0);
	bus_write(bed.env.mmio, table(16 * vector + 8), 4, data);
	bus_write(bed.env.mmio, table(16 * vector + 12), 4, control);
}

START_TEST(msix_capability)
{
	unsigned cap = cfg_cap(&bed, 1, PCI_CAP_MSIX, 0);

	ck_assert_uint_eq(cfg_get(&bed, 1, cap + 2, 2), 1); /* two vectors */
	ck_assert_uint_eq(cfg_get(&bed, 1, cap + 4, 4), 0x4000);
	ck_assert_uint_eq(cfg_get(&bed, 1, cap + 8, 4), 0x7000);
	ck_assert_uint_eq(bus_read(bed.env.mmio, table(12), 4), 1);
}
END_TEST

START_TEST(msix_reaches_hypervisor_only_when_live)
{
	program(0, 0x41, 0);
	ck_assert_uint_eq(bed.vm.irqfds, 0);
	msix_control(0xc000); /* enabled, function masked */
	ck_assert_uint_eq(bed.vm.irqfds, 0);
	msix_control(0x8000);
	ck_assert_uint_eq(bed.vm.irqfds, 1);
	ck_assert_uint_eq(bed.vm.route[24].data, 0x41);
	ck_assert_uint_eq(bed.vm.route[24].addr, 0xfee01000);
	ck_assert_uint_eq(bed.vm.route[24].devid, 1 << 3);
	bus_write(bed.env.mmio, table(8), 4, 0x42);
	ck_assert_uint_eq(bed.vm.route[24].data, 0x42);
	bus_write(bed.env.mmio, table(12), 4, 1);
	ck_assert_uint_eq(bed.vm.irqfds, 0);
	bus_write(bed.env.mmio, table(12), 4, 0);
	ck_assert_uint_eq(bed.vm.irqfds, 1);
	msix_control(0);
	ck_assert_uint_eq(bed.vm.irqfds, 0);
}
END_TEST

/* Class (h): fired while masked: pending, and delivered by unmasking. */
START_TEST(msix_pending_while_masked)
{
	program(1, 0x41, 1);
	msix_control(0x8000);
	ck_assert(pci_msix_fire(func(1), 1));
	ck_assert_uint_eq(pending(), 2);
	bus_write(bed.env.mmio, table(28), 4, 0);
	ck_assert_uint_eq(pending(), 0);
	ck_assert_uint_eq(bed.vm.irqfds, 1);
	/* The count is there for the irqfd to take. */
	ck_assert_int_eq(poll(&(struct pollfd){ .fd = bed.vm.irqfd[0].fd,
						.events = POLLIN },
			      1, 0),
			 1);
}
END_TEST

START_TEST(msix_pending_under_function_mask)
{
	program(0, 0x41, 0);
	msix_control(0xc000);
	ck_assert(pci_msix_fire(func(1), 0));
	ck_assert_uint_eq(pending(), 1);
	ck_assert_uint_eq(bus_read(bed.env.mmio, BED_MEM64 + 0x7000, 1), 1);
	ck_assert_uint_eq(bus_read(bed.env.mmio, BED_MEM64 + 0x7001, 1), 0);
	msix_control(0x8000);
	ck_assert_uint_eq(pending(), 0);
}
END_TEST

START_TEST(msix_fire_out_of_range)
{
	ck_assert(!pci_msix_fire(func(1), 0)); /* disabled */
	msix_control(0x8000);
	ck_assert(pci_msix_fire(func(1), 2));
	ck_assert(pci_msix_fire(func(1), VIRTIO_NO_VECTOR));
	ck_assert_uint_eq(pending(), 0);
}
END_TEST

/* Class (h): beyond the table, over its end, into the PBA. */
START_TEST(msix_table_out_of_bounds)
{
	unsigned size = 1u << _i;

	for (unsigned at = 0; at < 0x4000 - size; at++) {
		bus_write(bed.env.mmio, table(at), size, UINT64_MAX);
		if (at + size > 32)
			ck_assert_uint_eq(
				bus_read(bed.env.mmio, table(at), size) != 0,
				0);
	}
	bus_write(bed.env.mmio, BED_MEM64 + 0x7000, size, UINT64_MAX);
	ck_assert_uint_eq(pending(), 0);
	ck_assert_uint_eq(bus_read(bed.env.mmio, table(12), 4), 1);
	ck_assert_uint_eq(bus_read(bed.env.mmio, table(0), 8),
			  0xfffffffffffffffc);
}
END_TEST

START_TEST(msix_table_bytes)
{
	for (unsigned i = 0; i < 12; i++)
		bus_write(bed.env.mmio, table(16 + i), 1, 0x10 + i);
	ck_assert_uint_eq(bus_read(bed.env.mmio, table(16), 8),
			  0x1716151413121110);
	ck_assert_uint_eq(bus_read(bed.env.mmio, table(24), 4), 0x1b1a1918);
	/* An 8-byte access over two entries. */
	bus_write(bed.env.mmio, table(12), 8, 0x1122334400000000);
	ck_assert_uint_eq(bus_read(bed.env.mmio, table(12), 4), 0);
	ck_assert_uint_eq(bus_read(bed.env.mmio, table(16), 4), 0x11223344);
}
END_TEST

START_TEST(msix_refusal_masks)
{
	bed.vm.refuse = true;
	program(0, 0x41, 0);
	msix_control(0x8000);
	ck_assert_uint_eq(bed.vm.irqfds, 0);
	ck_assert_uint_eq(atomic_load(&func(1)->msix.refused), 1);
	bed.vm.refuse = false;
}
END_TEST

START_TEST(msix_reset_forgets)
{
	program(0, 0x41, 0);
	program(1, 0x42, 1);
	msix_control(0x8000);
	pci_msix_fire(func(1), 1);
	ck_assert_uint_eq(pending(), 2);
	/* The machine's VM is gone with its irqfds. */
	bed.vm.irqfds = 0;
	dev->cls->reset(dev);
	ck_assert_uint_eq(pending(), 0);
	ck_assert_uint_eq(bus_read(bed.env.mmio, table(12), 4), 1);
	ck_assert_uint_eq(bus_read(bed.env.mmio, table(8), 4), 0);
	program(0, 0x43, 0);
	msix_control(0x8000);
	ck_assert_uint_eq(bed.vm.irqfds, 1);
}
END_TEST

/* ---- INTx -------------------------------------------------------------- */

START_TEST(intx_follows_level_and_command)
{
	pci_intx_set(func(1), true);
	ck_assert(bed.level[17]); /* INTA of slot 1 is line 1 */
	ck_assert_uint_eq(cfg_get(&bed, 1, 6, 2) & 8, 8);
	cfg_put(&bed, 1, 4, 2, 0x402);
	ck_assert(!bed.level[17]);
	cfg_put(&bed, 1, 4, 2, 0x002);
	ck_assert(bed.level[17]);
	pci_intx_set(func(1), false);
	ck_assert(!bed.level[17]);
	ck_assert_uint_eq(cfg_get(&bed, 1, 6, 2) & 8, 0);
}
END_TEST

START_TEST(intx_is_shared)
{
	struct device *more[4];

	for (unsigned i = 0; i < 4; i++)
		more[i] = bed_add(&bed, "virtio-rng"); /* slots 3 to 6 */
	pci_intx_set(func(1), true);
	pci_intx_set(func(5), true);
	pci_intx_set(func(1), false);
	ck_assert(bed.level[17]);
	device_free(more[2]); /* slot 5 lets go */
	ck_assert(!bed.level[17]);
	device_free(more[0]);
	device_free(more[1]);
	device_free(more[3]);
}
END_TEST

/* ---- state ------------------------------------------------------------- */

static struct stream_in saved(struct stream_out *out)
{
	struct stream_in in;

	stream_out_init(out);
	dev->cls->save(dev, out);
	stream_in_init(&in, out->data, out->len);
	return in;
}

START_TEST(state_round_trip)
{
	struct stream_out out, again;
	struct stream_in in;
	struct diag d = DIAG_INIT;

	program(0, 0x41, 0);
	program(1, 0x42, 1);
	msix_control(0x8000);
	pci_msix_fire(func(1), 1);
	cfg_put(&bed, 1, 0x14, 4, 0x41);
	cfg_put(&bed, 1, 0x3c, 1, 11);
	in = saved(&out);
	bed.vm.irqfds = 0;
	dev->cls->reset(dev);
	ck_assert_int_eq(dev->cls->load(dev, &in, &d), 0);
	ck_assert_int_eq(stream_in_done(&in), 0);
	ck_assert_uint_eq(bed.vm.irqfds, 1);
	ck_assert_uint_eq(bus_read(bed.env.mmio, 0x4100007000, 8), 2);
	saved(&again);
	ck_assert_uint_eq(out.len, again.len);
	ck_assert_mem_eq(out.data, again.data, out.len);
	stream_out_release(&out);
	stream_out_release(&again);
}
END_TEST

/* Class (l): a snapshot is hostile. Whatever byte is changed or missing, the
 * loader refuses or the device still works. */
START_TEST(state_damaged)
{
	struct stream_out out;
	struct diag d;

	msix_control(0x8000);
	saved(&out);
	for (size_t i = 0; i < out.len; i++) {
		struct stream_in in;

		out.data[i] ^= 0xff;
		stream_in_init(&in, out.data, out.len);
		d = DIAG_INIT;
		dev->cls->load(dev, &in, &d);
		cfg_put(&bed, 1, 4, 2, 2);
		cfg_get(&bed, 1, 0x10, 8);
		dev->cls->reset(dev);
		out.data[i] ^= 0xff;
		stream_in_init(&in, out.data, i);
		d = DIAG_INIT;
		ck_assert_int_ne(dev->cls->load(dev, &in, &d), 0);
		dev->cls->reset(dev);
	}
	ck_assert_uint_eq(cfg_get(&bed, 1, 0, 4), 0x10441af4);
	stream_out_release(&out);
}
END_TEST

START_TEST(state_of_bridge)
{
	struct device *host = bed.host;
	struct stream_out out;
	struct stream_in in;
	struct diag d = DIAG_INIT;

	bus_write(bed.env.pio, 0xcf8, 4, 0x80000804);
	stream_out_init(&out);
	host->cls->save(host, &out);
	host->cls->reset(host);
	ck_assert_uint_eq(bus_read(bed.env.pio, 0xcf8, 4), 0);
	stream_in_init(&in, out.data, out.len);
	ck_assert_int_eq(host->cls->load(host, &in, &d), 0);
	ck_assert_uint_eq(bus_read(bed.env.pio, 0xcf8, 4), 0x80000804);
	stream_in_init(&in, out.data, out.len - 1);
	ck_assert_int_eq(host->cls->load(host, &in, &d), -EBADMSG);
	stream_out_release(&out);
}
END_TEST

START_TEST(host_bridge_describes_itself)
{
	struct platform p = { 0 };
	struct diag d = DIAG_INIT;

	ck_assert_int_eq(bed.host->cls->describe(bed.host, &p, &d), 0);
	ck_assert_ptr_nonnull(platform_find(&p, PLAT_PCI_HOST));
	ck_assert_str_eq(platform_find(&p, PLAT_PCI_HOST)->name, "pcie");
	/* PCI devices are found, not described. */
	ck_assert_int_eq(dev2->cls->describe(dev2, &p, &d), 0);
	ck_assert_uint_eq(p.dev_count, 1);
}
END_TEST

/* ---- pvpanic ----------------------------------------------------------- */

static const struct {
	unsigned offset, size;
	uint64_t value;
	unsigned panics;
} panics[] = {
	{ 0, 1, 1, 1 }, { 0, 1, 3, 1 }, { 0, 1, 2, 0 }, { 0, 1, 4, 0 },
	{ 0, 4, 1, 1 }, { 1, 1, 1, 0 }, { 0, 1, 0, 0 }, { 4095, 1, 1, 0 },
};

START_TEST(pvpanic_reports)
{
	bus_write(bed.env.mmio, BED_MEM32 + panics[_i].offset, panics[_i].size,
		  panics[_i].value);
	ck_assert_uint_eq(bed.requests[MACHINE_PANIC], panics[_i].panics);
}
END_TEST

START_TEST(pvpanic_without_pci)
{
	struct platform p = bed.platform;
	struct device *plain;
	struct diag d = DIAG_INIT;

	bed.env.pci[0] = NULL;
	plain = bed_add(&bed, "pvpanic");
	ck_assert_uint_eq(bus_read(bed.env.pio, 0x505, 1), 3);
	bus_write(bed.env.pio, 0x505, 1, 1);
	ck_assert_uint_eq(bed.requests[MACHINE_PANIC], 1);
	ck_assert_int_eq(plain->cls->describe(plain, &p, &d), 0);
	ck_assert_str_eq(p.dev[0].hid, "QEMU0001");
	ck_assert_uint_eq(p.dev[0].range[0].base, 0x505);
	device_free(plain);
	bed.env.pci[0] = pci_host_root(bed.host);
	ck_assert_uint_eq(bus_read(bed.env.pio, 0x505, 1), 0xff);
}
END_TEST

START_TEST(registry_finds)
{
	static const char *const names[] = { "pci-host", "virtio-rng",
					     "virtio-console", "pvpanic" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		ck_assert_str_eq(device_class_find(names[i])->name, names[i]);
	ck_assert_ptr_null(device_class_find("pci-hos"));
	ck_assert_ptr_null(device_class_find(""));
}
END_TEST

/* ---- q35 --------------------------------------------------------------- */

/* A host bridge of a PC, and devices; ECAM by the tables or, 0, only by it */
static void q35_host(uint64_t ecam_bytes)
{
	struct diag d = DIAG_INIT;

	device_free(bed.host);
	bed.platform.q35 = true;
	bed.platform.pci.segment[0].ecam.size_bytes = ecam_bytes;
	ck_assert_int_eq(device_new(&bed.host, &pci_host_class, "__pci", NULL,
				    &bed.env, NULL, &d),
			 0);
	bed.env.pci[0] = pci_host_root(bed.host);
	dev = bed_add(&bed, "virtio-rng");
	dev2 = bed_add(&bed, "pvpanic");
}

static void q35_setup(void)
{
	memset(&bed, 0, sizeof(bed));
	bed_open(&bed, TRANSPORT_PCI, true);
	q35_host(0);
}

static uint64_t port_get(unsigned slot, unsigned reg, unsigned size)
{
	bus_write(bed.env.pio, 0xcf8, 4, 0x80000000 | slot << 11 | (reg & ~3u));
	return bus_read(bed.env.pio, 0xcfc + (reg & 3), size);
}

static void port_put(unsigned slot, unsigned reg, uint32_t value)
{
	bus_write(bed.env.pio, 0xcf8, 4, 0x80000000 | slot << 11 | reg);
	bus_write(bed.env.pio, 0xcfc, 4, value);
}

static uint64_t ecam_id(uint64_t base)
{
	return bus_read(bed.env.mmio, base, 4);
}

static const struct {
	unsigned slot, reg, size;
	uint64_t value;
} q35_known[] = {
	{ 0, 0x00, 4, 0x29c08086 },  { 0, 0x08, 4, 0x06000000 },
	{ 0, 0x60, 4, 0 },	     { 31, 0x00, 4, 0x29188086 },
	{ 31, 0x08, 4, 0x06010000 }, { 31, 0x0e, 1, 0 },
	{ 31, 0x40, 4, 0x601 },	     { 31, 0x44, 1, 0x80 },
	{ 1, 0x00, 4, 0x10441af4 },  { 2, 0x00, 4, 0x00111b36 },
	{ 30, 0x00, 4, UINT32_MAX },
};

START_TEST(q35_registers)
{
	port_put(31, 0x40, 0xb001); /* fixed */
	port_put(31, 0x44, 0);
	ck_assert_uint_eq(port_get(q35_known[_i].slot, q35_known[_i].reg,
				   q35_known[_i].size),
			  q35_known[_i].value);
}
END_TEST

/* edk2 puts ECAM at 0xb0000000 or at 0xe0000000, by its version. */
START_TEST(q35_ecam_moves)
{
	static const uint32_t at[] = { 0xb0000000, 0xe0000000, 0x80000000 };
	uint32_t base = at[_i];

	ck_assert_uint_eq(ecam_id(base), UINT32_MAX);
	port_put(0, 0x60, base | 1);
	ck_assert_uint_eq(ecam_id(base), 0x29c08086);
	ck_assert_uint_eq(ecam_id(base + (31 << 15)), 0x29188086);
	/* By itself, too. */
	bus_write(bed.env.mmio, base + 0x60, 4, 0xc4000001);
	ck_assert_uint_eq(ecam_id(base), UINT32_MAX);
	ck_assert_uint_eq(ecam_id(0xc4000000), 0x29c08086);
	port_put(0, 0x64, 1);
	ck_assert_uint_eq(ecam_id(0x1c4000000), 0x29c08086);
	port_put(0, 0x60, 0);
	ck_assert_uint_eq(ecam_id(0x1c4000000), UINT32_MAX);
	port_put(0, 0x64, 0);
	port_put(0, 0x60, base | 1);
	bed.host->cls->reset(bed.host);
	ck_assert_uint_eq(ecam_id(base), UINT32_MAX);
}
END_TEST

/* On top of a BAR: nothing moves, and it can be put elsewhere. */
START_TEST(q35_ecam_at_bad_place)
{
	port_put(1, 0x14, 0);
	port_put(1, 0x10, 0xb0000000);
	ck_assert_uint_ne(ecam_id(0xb0000000), UINT32_MAX);
	port_put(0, 0x60, 0xb0000001);
	ck_assert_uint_ne(ecam_id(0xb0000000), 0x29c08086);
	ck_assert_uint_eq(bed.env.pci[0]->misuse, 1);
	port_put(0, 0x60, 0xb4000001);
	ck_assert_uint_eq(ecam_id(0xb4000000), 0x29c08086);
}
END_TEST

/* Its lower half may be written first, and before it has an address. */
START_TEST(q35_ecam_without_place)
{
	port_put(0, 0x60, 1);
	ck_assert_uint_ne(ecam_id(0), 0x29c08086);
	port_put(0, 0x64, 1);
	ck_assert_uint_eq(ecam_id(GIB(4)), 0x29c08086);
	port_put(0, 0x64, 0);
	ck_assert_uint_ne(ecam_id(GIB(4)), 0x29c08086);
	ck_assert_uint_ne(ecam_id(0), 0x29c08086);
	ck_assert_uint_eq(bed.env.pci[0]->misuse, 0);
}
END_TEST

/* Where tables say that ECAM is, it is wherever the guest puts it as well. */
START_TEST(q35_ecam_of_tables)
{
	device_free(dev2);
	device_free(dev);
	q35_host(MIB(1));
	ck_assert_uint_eq(ecam_id(BED_ECAM), 0x29c08086);
	ck_assert_uint_eq(ecam_id(0xb0000000), UINT32_MAX);
	port_put(0, 0x60, 0xb0000001);
	ck_assert_uint_eq(ecam_id(0xb0000000), 0x29c08086);
	ck_assert_uint_eq(ecam_id(BED_ECAM), 0x29c08086);
	bed.host->cls->reset(bed.host);
	ck_assert_uint_eq(ecam_id(0xb0000000), UINT32_MAX);
	ck_assert_uint_eq(ecam_id(BED_ECAM), 0x29c08086);
}
END_TEST

/* Builds with it ask how large TSEG may be, and that is all that is known. */
START_TEST(q35_no_smm)
{
	static char name[] = "OVMF", line[256];
	int out[2];
	ssize_t n;

	ck_assert_int_eq(pipe(out), 0);
	log_setup(out[1], LOG_WARN);
	bed.config.firmware = name;
	port_put(0, 0x60, 0xb0000001);
	ck_assert_uint_eq(bed.env.pci[0]->no_smm, 0);
	port_put(0, 0x50, 0xffff);
	port_put(0, 0x50, 0xffff);
	ck_assert_uint_eq(bed.env.pci[0]->no_smm, 2);
	ck_assert_uint_eq(port_get(0, 0x50, 4), 0);
	ck_assert_uint_eq(ecam_id(0xb0000000), 0x29c08086);
	log_setup(2, LOG_WARN);
	close(out[1]);
	n = read(out[0], line, sizeof(line) - 1);
	ck_assert_int_gt(n, 0);
	line[n] = 0;
	ck_assert_ptr_nonnull(strstr(
		line, "--firmware OVMF: needs system management mode, which "
		      "there is not: give OVMF_CODE_4M.fd, or another build "
		      "without it\n"));
	ck_assert_int_eq(read(out[0], line, sizeof(line)), 0);
	close(out[0]);
}
END_TEST

START_TEST(q35_saves_where_ecam_is)
{
	struct stream_out out = { 0 };
	struct stream_in in;
	struct diag d = DIAG_INIT;

	port_put(0, 0x60, 0xb0000001);
	bed.host->cls->save(bed.host, &out);
	bed.host->cls->reset(bed.host);
	in = (struct stream_in){ .data = out.data, .len = out.len };
	ck_assert_int_eq(bed.host->cls->load(bed.host, &in, &d), 0);
	ck_assert_uint_eq(ecam_id(0xb0000000), 0x29c08086);
	stream_out_release(&out);
}
END_TEST

static TCase *q35_case(void)
{
	TCase *tc = tcase_create("q35");

	tcase_add_checked_fixture(tc, q35_setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, q35_registers, 0, ARRAY_SIZE(q35_known));
	tcase_add_loop_test(tc, q35_ecam_moves, 0, 3);
	tcase_add_test(tc, q35_ecam_at_bad_place);
	tcase_add_test(tc, q35_ecam_without_place);
	tcase_add_test(tc, q35_ecam_of_tables);
	tcase_add_test(tc, q35_no_smm);
	tcase_add_test(tc, q35_saves_where_ecam_is);
	return tc;
}

/* ---- a second segment -------------------------------------------------- */

#define ECAM_1	(BED_ECAM + MIB(1))
#define MEM64_1 (BED_MEM64 + GIB(1))

static struct device *host_1, *dev_1; /* virtio-rng in its slot 1 */

static struct device *in_segment_1(const struct device_class *cls)
{
	const struct device_place place = { .segment = 1 };
	struct device *out = NULL;
	struct diag d = DIAG_INIT;

	ck_assert_msg(!device_new(&out, cls, "_1", NULL, &bed.env, &place, &d),
		      "%s", d.text[0]);
	out->cls->reset(out);
	return out;
}

static void segments_setup(void)
{
	setup();
	bed.platform.pci.segment_count = 2;
	bed.platform.pci.segment[1] = (struct plat_segment){
		.ecam = { PLAT_MMIO, ECAM_1, MIB(1) },
		.bus_count = 1,
		.mmio32 = { PLAT_MMIO, BED_MEM32 + MIB(16), MIB(1) },
		.mmio64 = { PLAT_MMIO, MEM64_1, GIB(1) }
	};
	host_1 = in_segment_1(&pci_host_class);
	bed.env.pci[1] = pci_host_root(host_1);
	dev_1 = in_segment_1(device_class_find("virtio-rng"));
}

static void segments_teardown(void)
{
	device_free(dev_1);
	bed.env.pci[1] = NULL;
	device_free(host_1);
	teardown();
}

static uint64_t get_1(unsigned slot, unsigned reg, unsigned size)
{
	return bus_read(bed.env.mmio, ECAM_1 + (slot << 15) + reg, size);
}

static void put_1(unsigned slot, unsigned reg, unsigned size, uint64_t value)
{
	bus_write(bed.env.mmio, ECAM_1 + (slot << 15) + reg, size, value);
}

/* Its own bridge, slots and windows; no pin, and nothing by ports. */
START_TEST(segment_is_its_own)
{
	ck_assert_uint_eq(get_1(0, 0, 4), 0x0d578086);
	ck_assert_uint_eq(get_1(1, 0, 4), 0x10441af4);
	ck_assert_uint_eq(get_1(2, 0, 4), UINT32_MAX);
	ck_assert_uint_eq(cfg_get(&bed, 2, 0, 4), 0x00111b36);
	ck_assert_uint_eq(get_1(1, 0x3d, 1), 0);
	ck_assert_uint_eq(cfg_get(&bed, 1, 0x3d, 1), 1);
	ck_assert_uint_eq(get_1(1, 0x10, 4) & ~0xfu, (uint32_t)MEM64_1);
	ck_assert_uint_eq(get_1(1, 0x14, 4), MEM64_1 >> 32);
	put_1(1, 4, 2, 6);
	ck_assert_uint_eq(port_get(1, 4, 2), 2);
	ck_assert_uint_eq(bus_read(bed.env.mmio, MEM64_1 + 0x12, 2), 1);
}
END_TEST

/* An ITS tells devices apart by their ids. */
START_TEST(segment_is_in_message_ids)
{
	unsigned cap = PCI_CAPS_FIRST;

	while (get_1(1, cap, 1) != PCI_CAP_MSIX)
		cap = (unsigned)get_1(1, cap + 1, 1);
	bus_write(bed.env.mmio, MEM64_1 + 0x4000, 4, 0xfee01000);
	bus_write(bed.env.mmio, MEM64_1 + 0x4008, 4, 0x41);
	bus_write(bed.env.mmio, MEM64_1 + 0x400c, 4, 0);
	put_1(1, cap + 2, 2, 0x8000);
	ck_assert_uint_eq(bed.vm.irqfds, 1);
	ck_assert_uint_eq(bed.vm.route[bed.vm.irqfd[0].key].devid, 0x108);
}
END_TEST

/* BARs of both are on one bus: whoever comes second waits for the first to go,
 * also in a reset. */
START_TEST(segments_share_addresses)
{
	uint64_t base = BED_MEM64, away = BED_MEM64 + MIB(64);

	put_1(1, 0x14, 4, base >> 32);
	put_1(1, 0x10, 4, (uint32_t)base); /* taken */
	ck_assert_uint_eq(bus_read(bed.env.mmio, MEM64_1 + 0x12, 2), 0xffff);
	cfg_put(&bed, 1, 0x10, 4, (uint32_t)away);
	ck_assert_uint_eq(bus_read(bed.env.mmio, away + 0x12, 2), 1);
	ck_assert(bed.env.pci[1]->func[1]->bar[0].mapped);
	ck_assert_uint_eq(bus_read(bed.env.mmio, base + 0x12, 2), 1);
	dev->cls->reset(dev);
	ck_assert(!func(1)->bar[0].mapped);
	dev_1->cls->reset(dev_1);
	ck_assert(func(1)->bar[0].mapped);
	ck_assert_uint_eq(func(1)->bar[0].region.base, base);
	ck_assert_uint_eq(bus_read(bed.env.mmio, MEM64_1 + 0x12, 2), 1);
}
END_TEST

/* Firmware made for a PC moves ECAM of segment 0 only. */
START_TEST(segment_of_q35)
{
	bed.platform.q35 = true;
	device_free(dev_1);
	device_free(host_1);
	host_1 = in_segment_1(&pci_host_class);
	bed.env.pci[1] = pci_host_root(host_1);
	dev_1 = in_segment_1(device_class_find("virtio-rng"));
	ck_assert_uint_eq(get_1(0, 0, 4), 0x0d578086);
	ck_assert_uint_eq(get_1(31, 0, 4), UINT32_MAX);
	ck_assert_uint_eq(get_1(1, 0, 4), 0x10441af4);
}
END_TEST

static TCase *segment_case(void)
{
	TCase *tc = tcase_create("segments");

	tcase_add_checked_fixture(tc, segments_setup, segments_teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, segment_is_its_own);
	tcase_add_test(tc, segment_is_in_message_ids);
	tcase_add_test(tc, segments_share_addresses);
	tcase_add_test(tc, segment_of_q35);
	return tc;
}

/* ---- runner ------------------------------------------------------------ */

static TCase *bed_case(const char *name)
{
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	return tc;
}

static TCase *config_case(void)
{
	TCase *tc = bed_case("configuration space");

	tcase_add_loop_test(tc, registers_known, 0, ARRAY_SIZE(known));
	tcase_add_test(tc, function_one_absent);
	tcase_add_loop_test(tc, config_any_width_and_alignment, 0, 4);
	tcase_add_test(tc, cf8_shows_the_same);
	tcase_add_test(tc, cf8_widths);
	tcase_add_test(tc, reset_control);
	tcase_add_loop_test(tc, register_table_holds, 0, 3);
	tcase_add_test(tc, caps_are_a_list);
	tcase_add_test(tc, slots_run_out);
	return tc;
}

static TCase *bar_case(void)
{
	TCase *tc = bed_case("BARs");

	tcase_add_test(tc, bars_have_a_home);
	tcase_add_test(tc, bar_sizing);
	tcase_add_test(tc, bar_moves);
	tcase_add_test(tc, bar_moves_byte_by_byte);
	tcase_add_test(tc, bar_conflict_resolves);
	tcase_add_loop_test(tc, bar_at_bad_place_harms_nothing, 0,
			    ARRAY_SIZE(bad_places));
	tcase_add_test(tc, windows_fill_up);
	return tc;
}

static TCase *msix_case(void)
{
	TCase *tc = bed_case("MSI-X and INTx");

	tcase_add_test(tc, msix_capability);
	tcase_add_test(tc, msix_reaches_hypervisor_only_when_live);
	tcase_add_test(tc, msix_pending_while_masked);
	tcase_add_test(tc, msix_pending_under_function_mask);
	tcase_add_test(tc, msix_fire_out_of_range);
	tcase_add_loop_test(tc, msix_table_out_of_bounds, 0, 4);
	tcase_add_test(tc, msix_table_bytes);
	tcase_add_test(tc, msix_refusal_masks);
	tcase_add_test(tc, msix_reset_forgets);
	tcase_add_test(tc, intx_follows_level_and_command);
	tcase_add_test(tc, intx_is_shared);
	return tc;
}

static TCase *state_case(void)
{
	TCase *tc = bed_case("state, pvpanic, registry");

	tcase_add_test(tc, state_round_trip);
	tcase_add_test(tc, state_damaged);
	tcase_add_test(tc, state_of_bridge);
	tcase_add_test(tc, host_bridge_describes_itself);
	tcase_add_loop_test(tc, pvpanic_reports, 0, ARRAY_SIZE(panics));
	tcase_add_test(tc, pvpanic_without_pci);
	tcase_add_test(tc, registry_finds);
	return tc;
}

int main(void)
{
	Suite *suite = suite_create("pci");

	suite_add_tcase(suite, config_case());
	suite_add_tcase(suite, bar_case());
	suite_add_tcase(suite, q35_case());
	suite_add_tcase(suite, segment_case());
	suite_add_tcase(suite, msix_case());
	suite_add_tcase(suite, state_case());
	return suite_run(suite);
}
