/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: x86_64 layout: what fits is placed without overlap, what does not is
 * refused with the option, the value and the limit
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "arch/x86_64/e820.h"
#include "arch/x86_64/layout.h"
#include "vmm/pmem.h"

#include "tests/unit/suite.h"

static struct platform p;
static struct vm_config cfg;
static struct host_caps caps;
static struct diag d;

static void setup(void)
{
	memset(&p, 0, sizeof(p));
	d = DIAG_INIT;
	cfg = (struct vm_config){
		.cpus = { .boot_vcpus = 2, .max_vcpus = 2 },
		.memory.size_bytes = MIB(512),
		.serial.mode = CHAR_TTY,
	};
	caps = (struct host_caps){
		.pa_bits = 46,
		.vcpus_max = 4096,
		.ext_dest_id = true,
		.page_size_bytes = KIB(4),
	};
}

static void teardown(void)
{
	platform_release(&p);
}

static int layout(void)
{
	return arch_x86_64.layout(&p, &cfg, &caps, &d);
}

/* ---- the map ------------------------------------------------------------ */

static const struct {
	uint64_t ram;
	unsigned pa_bits;
	uint64_t low, high, mem64;
} maps[] = {
	{ MIB(1), 46, MIB(1), 0, GIB(4) },
	{ GIB(3) - KIB(4), 46, GIB(3) - KIB(4), 0, GIB(4) },
	{ GIB(3), 46, GIB(3), 0, GIB(4) },
	{ GIB(3) + KIB(4), 46, GIB(3), KIB(4), GIB(4) + KIB(4) },
	{ TIB(1), 46, GIB(3), TIB(1) - GIB(3), TIB(1) + GIB(1) },
	{ GIB(63), 36, GIB(3), GIB(60), GIB(64) }, /* full */
};

START_TEST(test_map)
{
	uint64_t end = UINT64_C(1) << maps[_i].pa_bits;

	cfg.memory.size_bytes = maps[_i].ram;
	caps.pa_bits = maps[_i].pa_bits;
	ck_assert_int_eq(layout(), 0);
	ck_assert_uint_eq(p.ram_count, maps[_i].high ? 2 : 1);
	ck_assert_uint_eq(p.ram[0].base, 0);
	ck_assert_uint_eq(p.ram[0].size_bytes, maps[_i].low);
	if (maps[_i].high)
		ck_assert_uint_eq(p.ram[1].base, GIB(4));
	ck_assert_uint_eq(p.ram[1].size_bytes, maps[_i].high);
	ck_assert_uint_eq(p.pci.segment[0].mmio64.base, maps[_i].mem64);
	ck_assert_uint_eq(p.pci.segment[0].mmio64.size_bytes,
			  end - maps[_i].mem64);
	ck_assert_uint_eq(p.pa_bits, maps[_i].pa_bits);
}
END_TEST

/* No two of the things below 4 GiB overlap. */
START_TEST(test_disjoint)
{
	cfg.memory.size_bytes = GIB(8);
	ck_assert_int_eq(layout(), 0);
	const struct plat_range r[] = {
		p.ram[0],
		p.ram[1],
		p.pci.segment[0].mmio32,
		p.pci.segment[0].mmio64,
		p.pci.segment[0].ecam,
		p.virtio_mmio,
		p.intc.ioapic,
		{ PLAT_MMIO, X86_LAPIC_BASE, KIB(4) },
		{ PLAT_MMIO, X86_TSS_BASE - KIB(4), 4 * KIB(4) },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(r); i++) {
		ck_assert_uint_gt(r[i].size_bytes, 0);
		for (unsigned k = 0; k < i; k++)
			ck_assert(r[i].base >= r[k].base + r[k].size_bytes ||
				  r[k].base >= r[i].base + r[i].size_bytes);
	}
	ck_assert_uint_eq(p.pci.segment[0].ecam.size_bytes,
			  MIB(1) * p.pci.segment[0].bus_count);
	/* Where CLOUDHV.fd's window is. */
	ck_assert_uint_eq(p.pci.segment[0].mmio32.base, 0xc0000000);
	ck_assert_uint_le(p.pci.segment[0].ecam.base +
				  p.pci.segment[0].ecam.size_bytes,
			  0xf8000000);
}
END_TEST

/* Firmware made for a PC: RAM and window as OVMF finds them, no ECAM of ours.
 */
START_TEST(test_q35)
{
	p.q35 = true;
	p.rom = (struct plat_range){ PLAT_MMIO, GIB(4) - MIB(3), MIB(3) };
	cfg.memory.size_bytes = GIB(2) + KIB(4);
	ck_assert_int_eq(layout(), 0);
	ck_assert_uint_eq(p.ram_count, 2);
	ck_assert_uint_eq(p.ram[0].size_bytes, GIB(2));
	ck_assert_uint_eq(p.ram[1].base, GIB(4));
	ck_assert_uint_eq(p.ram[1].size_bytes, KIB(4));
	ck_assert_uint_eq(p.pci.segment[0].mmio32.base, GIB(2));
	ck_assert_uint_eq(p.pci.segment[0].mmio32.base +
				  p.pci.segment[0].mmio32.size_bytes,
			  0xfc000000);
	ck_assert_uint_lt(p.pci.segment[0].mmio32.base +
				  p.pci.segment[0].mmio32.size_bytes,
			  p.virtio_mmio.base);
	ck_assert_uint_eq(p.pci.segment[0].ecam.size_bytes, 0);
	ck_assert_uint_eq(p.pci.segment[0].bus_count, 1);
	ck_assert_uint_eq(p.pci.pio_chipset.base, 0x600);
	/* The firmware area is free of VMX's pages. */
	ck_assert_uint_le(X86_TSS_BASE + 3 * KIB(4), GIB(4) - MIB(16));
}
END_TEST

static const struct {
	bool q35;
	uint64_t flash_bytes;
	const char *text; /* NULL: taken */
} vars[] = {
	{ true, KIB(528), NULL },
	{ true, 0, "is in one file with its variables" },
	{ false, 0, "of x86_64's firmware only OVMF keeps variables" },
};

START_TEST(test_firmware_vars)
{
	static char name[] = "VARS";
	struct arch_device dev[16];
	unsigned n, found = 0;

	p.q35 = vars[_i].q35;
	p.flash = (struct plat_range){ PLAT_MMIO, 0xffc00000,
				       vars[_i].flash_bytes };
	cfg.firmware_vars = name;
	ck_assert_int_eq(layout(), vars[_i].text ? -EINVAL : 0);
	if (vars[_i].text) {
		ck_assert_ptr_nonnull(strstr(d.text[0], vars[_i].text));
		ck_assert_ptr_nonnull(
			strstr(d.text[0], "--firmware-vars VARS"));
		return;
	}
	n = arch_x86_64.devices(&p, &cfg, dev);
	for (unsigned i = 0; i < n; i++)
		if (!strcmp(dev[i].cls, "flash-cfi")) {
			ck_assert_uint_eq(dev[i].base, 0xffc00000);
			found++;
		}
	ck_assert_uint_eq(found, 1);
}
END_TEST

/* CLOUDHV.fd puts BARs right behind RAM, so nothing else may be there. */
START_TEST(test_window_behind_ram)
{
	static char firmware[] = "f";

	cfg.firmware = firmware;
	cfg.platform.vmgenid = _i & 1;
	p.q35 = _i & 2;
	caps.pa_bits = _i & 4 ? 40 : 46;
	cfg.memory.size_bytes = GIB(8);
	ck_assert_int_eq(layout(), 0);
	ck_assert_uint_eq(p.pci.segment[0].mmio64.base,
			  p.q35 ? GIB(10) : GIB(9));
	ck_assert_int_eq(p.pci.mmio64_fixed, cfg.platform.vmgenid && !p.q35);
	ck_assert_int_eq(pmem_place(&p, NULL, &cfg, &d), 0);
	if (!cfg.platform.vmgenid)
		return;
	ck_assert_uint_eq(p.vmgenid.size_bytes, DEVICE_PAGE);
	if (p.q35) {
		ck_assert_uint_ge(p.pci.segment[0].mmio64.base,
				  p.vmgenid.base + DEVICE_PAGE);
		return;
	}
	ck_assert_uint_eq(p.pci.segment[0].mmio64.base, GIB(9));
	ck_assert_uint_ge(p.vmgenid.base,
			  p.pci.segment[0].mmio64.base +
				  p.pci.segment[0].mmio64.size_bytes);
	ck_assert_uint_ge(p.pci.segment[0].mmio64.size_bytes, GIB(500));
	ck_assert_uint_le(p.vmgenid.base, TIB(5));
}
END_TEST

START_TEST(test_wires)
{
	struct arch_device dev[16];
	uint32_t used = 0;
	unsigned n;

	ck_assert_int_eq(layout(), 0);
	n = arch_x86_64.devices(&p, &cfg, dev);
	ck_assert_uint_eq(n, 4);
	for (unsigned i = 0; i < n; i++) {
		if (dev[i].pin == ARCH_NO_PIN)
			continue;
		ck_assert_uint_lt(dev[i].pin, p.intc.pin_count);
		ck_assert(!(used >> dev[i].pin & 1));
		used |= 1U << dev[i].pin;
	}
	for (unsigned i = 0; i < 4; i++) {
		ck_assert_uint_lt(p.pci.intx[i], p.intc.pin_count);
		ck_assert(!(used >> p.pci.intx[i] & 1));
		used |= 1U << p.pci.intx[i];
	}
	for (unsigned i = 0; i < X86_VIRTIO_COUNT; i++)
		ck_assert(!(used >> (p.virtio_mmio_pin + i) & 1));
	cfg.serial.mode = CHAR_OFF;
	ck_assert_uint_eq(arch_x86_64.devices(&p, &cfg, dev), 3);
	ck_assert_str_ne(dev[0].cls, "serial-16550");
}
END_TEST

START_TEST(test_transport)
{
	cfg.platform.transport = TRANSPORT_MMIO;
	ck_assert_int_eq(layout(), 0);
	ck_assert(!p.pci.segment_count);
	ck_assert_uint_eq(p.pci.segment[0].ecam.size_bytes, 0);
}
END_TEST

/* `spandrel tables` on a machine without a hypervisor. */
START_TEST(test_no_host)
{
	memset(&caps, 0, sizeof(caps));
	cfg.cpus.boot_vcpus = cfg.cpus.max_vcpus = 1000;
	ck_assert_int_eq(layout(), 0);
	ck_assert_uint_eq(p.pa_bits, 46);
}
END_TEST

/* ---- CPUs --------------------------------------------------------------- */

static const struct {
	struct topology t;
	unsigned thread_bits, core_bits, die_bits;
	uint32_t last; /* APIC id of the last CPU */
} topologies[] = {
	{ { 0, 0, 0, 0 }, 0, 0, 0, 23 }, /* 24 packages */
	{ { 1, 1, 1, 24 }, 0, 0, 0, 23 }, { { 2, 12, 1, 1 }, 1, 4, 0, 23 },
	{ { 2, 3, 2, 2 }, 1, 2, 1, 29 },  { { 1, 3, 2, 4 }, 0, 2, 1, 30 },
	{ { 3, 2, 2, 2 }, 2, 1, 1, 30 },
};

START_TEST(test_topology)
{
	struct host_vm_config hc = { .vcpu_count = 24 };
	struct x86_apic_widths w;

	cfg.cpus.boot_vcpus = 4;
	cfg.cpus.max_vcpus = 24;
	cfg.cpus.topology = topologies[_i].t;
	ck_assert_int_eq(layout(), 0);
	ck_assert_uint_eq(p.cpu_count, 24);
	ck_assert_uint_eq(p.cpu_enabled, 4);
	w = x86_apic_widths(&p.topology);
	ck_assert_uint_eq(w.thread, topologies[_i].thread_bits);
	ck_assert_uint_eq(w.core, topologies[_i].core_bits);
	ck_assert_uint_eq(w.die, topologies[_i].die_bits);
	ck_assert_uint_eq(p.cpu[0].hw_id, 0);
	ck_assert_uint_eq(p.cpu[23].hw_id, topologies[_i].last);
	ck_assert_uint_eq(x86_apic_id_max(&p), topologies[_i].last);
	for (unsigned i = 1; i < 24; i++)
		ck_assert_uint_gt(p.cpu[i].hw_id, p.cpu[i - 1].hw_id);
	ck_assert_int_eq(arch_x86_64.host_config(&p, &hc, &d), 0);
	for (unsigned i = 0; i < 24; i++)
		ck_assert_uint_eq(hc.x86.apic_ids[i], p.cpu[i].hw_id);
	ck_assert_uint_eq(hc.x86.ioapic_pins, 24);
}
END_TEST

/* The id decodes back into the place that it was made from. */
START_TEST(test_apic_id)
{
	struct x86_apic_widths w;

	cfg.cpus.boot_vcpus = cfg.cpus.max_vcpus = 2 * 5 * 3 * 7;
	cfg.cpus.topology = (struct topology){ 2, 5, 3, 7 };
	ck_assert_int_eq(layout(), 0);
	w = x86_apic_widths(&p.topology);
	for (unsigned i = 0; i < p.cpu_count; i++) {
		const struct plat_cpu *c = &p.cpu[i];
		uint64_t id = c->hw_id;

		ck_assert_uint_eq(id & ((1U << w.thread) - 1), c->thread);
		id >>= w.thread;
		ck_assert_uint_eq(id & ((1U << w.core) - 1), c->core);
		id >>= w.core;
		ck_assert_uint_eq(id & ((1U << w.die) - 1), c->die);
		ck_assert_uint_eq(id >> w.die, c->package);
	}
}
END_TEST

/* ---- what does not fit -------------------------------------------------- */

static const struct {
	uint32_t boot, max;
	struct topology t;
	bool no_ext;
	uint64_t ram;
	uint32_t phys_bits;
	int err;
	const char *text;
} bad[] = {
	{ .boot = 0, .max = 1, .err = EINVAL, .text = "--cpus boot=0: must" },
	{ .boot = 3, .max = 2, .err = EINVAL, .text = "--cpus max=2: must" },
	{ .boot = 4097,
	  .max = 4097,
	  .err = E2BIG,
	  .text = "--cpus boot=4097: this host's hypervisor allows at most "
		  "4096" },
	{ .boot = 1, .max = 4097, .err = E2BIG, .text = "--cpus max=4097" },
	{ .boot = 256,
	  .max = 256,
	  .no_ext = true,
	  .err = E2BIG,
	  .text = "needs APIC id 255, interrupts of this hypervisor reach at "
		  "most 254" },
	{ .boot = 4,
	  .max = 4,
	  .t = { 1, 1, 1, 3 },
	  .err = EINVAL,
	  .text = "--cpus topology=1:1:1:3: the product must be the 4" },
	{ .boot = 4,
	  .max = 4,
	  .t = { 2, 0, 1, 2 },
	  .err = EINVAL,
	  .text = "--cpus topology=2:0:1:2" },
	{ .boot = 4,
	  .max = 4,
	  .t = { 65536, 65536, 65536, 65536 },
	  .err = EINVAL,
	  .text = "--cpus topology=65536:" },
	{ .boot = 4,
	  .max = 4,
	  .t = { UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX },
	  .err = EINVAL,
	  .text = "--cpus topology=4294967295:" },
	{ .boot = 4095, .max = 4095, .t = { 3, 3, 5, 91 }, .err = 0 },
	{ .boot = 8, .max = 8, .t = { 1, 1, 8, 1 }, .err = 0 },
	{ .boot = 9,
	  .max = 9,
	  .t = { 1, 1, 9, 1 },
	  .err = EINVAL,
	  .text = "--cpus topology=1:1:9:1: x86_64's CPUID can say at most "
		  "256 threads per core and 8 dies per package" },
	{ .boot = 257,
	  .max = 257,
	  .t = { 257, 1, 1, 1 },
	  .err = EINVAL,
	  .text = "--cpus topology=257:1:1:1: x86_64's CPUID can say" },
	{ .boot = 1,
	  .max = 1,
	  .ram = 1,
	  .err = EINVAL,
	  .text = "--memory size=1: must be a positive multiple of 4096" },
	{ .boot = 1,
	  .max = 1,
	  .ram = KIB(640),
	  .err = EINVAL,
	  .text = "--memory size=655360: x86_64 guests need at least" },
	{ .boot = 1,
	  .max = 1,
	  .ram = GIB(63) + KIB(4),
	  .phys_bits = 36,
	  .err = E2BIG,
	  .text = "--memory size=67645739008: at most 67645734912 bytes" },
	{ .boot = 1,
	  .max = 1,
	  .ram = UINT64_MAX & ~0xfffULL,
	  .err = E2BIG,
	  .text = "below the limit of 46 address bits" },
	{ .boot = 1,
	  .max = 1,
	  .phys_bits = 32,
	  .err = EINVAL,
	  .text = "--cpus max_phys_bits=32: x86_64 guests need at least 36" },
};

START_TEST(test_bad)
{
	cfg.cpus.boot_vcpus = bad[_i].boot;
	cfg.cpus.max_vcpus = bad[_i].max;
	cfg.cpus.topology = bad[_i].t;
	cfg.cpus.max_phys_bits = bad[_i].phys_bits;
	caps.ext_dest_id = !bad[_i].no_ext;
	if (bad[_i].ram)
		cfg.memory.size_bytes = bad[_i].ram;
	ck_assert_int_eq(layout(), -bad[_i].err);
	if (bad[_i].text)
		ck_assert_msg(strstr(d.text[0], bad[_i].text) != NULL,
			      "\"%s\" is not in \"%s\"", bad[_i].text,
			      d.text[0]);
}
END_TEST

START_TEST(test_zero_ram)
{
	cfg.memory.size_bytes = 0;
	ck_assert_int_eq(layout(), -EINVAL);
}
END_TEST

START_TEST(test_fdt)
{
	cfg.platform.tables = TABLES_FDT;
	ck_assert_int_eq(layout(), -EINVAL);
	ck_assert_ptr_nonnull(strstr(d.text[0], "--platform tables=fdt"));
}
END_TEST

/* ---- e820 --------------------------------------------------------------- */

START_TEST(test_carve)
{
	struct x86_e820 map = { .count = 0 };

	ck_assert_int_eq(layout(), 0);
	x86_e820_init(&map, &p);
	ck_assert_uint_eq(map.count, 3);
	/* the middle, an edge, nothing */
	ck_assert_int_eq(x86_e820_carve(&map, MIB(100), MIB(1), X86_E820_ACPI),
			 0);
	ck_assert_uint_eq(map.count, 5);
	ck_assert_uint_eq(map.entry[2].base, MIB(100));
	ck_assert_uint_eq(map.entry[2].type, X86_E820_ACPI);
	ck_assert_uint_eq(map.entry[3].base, MIB(101));
	ck_assert_int_eq(x86_e820_carve(&map, MIB(511), MIB(2), X86_E820_ACPI),
			 0);
	ck_assert_uint_eq(map.count, 6);
	ck_assert_uint_eq(map.entry[4].base, MIB(511));
	ck_assert_uint_eq(map.entry[4].size_bytes, MIB(1));
	ck_assert_int_eq(x86_e820_carve(&map, 0xe0000, 4096, X86_E820_ACPI), 0);
	ck_assert_uint_eq(map.count, 6);
}
END_TEST

START_TEST(test_carve_full)
{
	struct x86_e820 map, before;
	int err = 0;

	ck_assert_int_eq(layout(), 0);
	x86_e820_init(&map, &p);
	for (uint64_t i = 0; i < 40 && !err; i++) {
		before = map;
		err = x86_e820_carve(&map, MIB(2 + 2 * i), KIB(4),
				     X86_E820_RESERVED);
	}
	ck_assert_int_eq(err, -ENOSPC);
	ck_assert_mem_eq(&map, &before, sizeof(map));
}
END_TEST

START_TEST(test_names)
{
	ck_assert_ptr_eq(arch_find("x86_64"), &arch_x86_64);
	ck_assert_ptr_eq(arch_find("arm64"), &arch_arm64);
	ck_assert_ptr_null(arch_find("m68k"));
	ck_assert_ptr_eq(arch_find(arch_native()->name), arch_native());
}
END_TEST

int main(void)
{
	Suite *s = suite_create("x86-layout");
	TCase *t = tcase_create("layout");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, test_map, 0, ARRAY_SIZE(maps));
	tcase_add_test(t, test_disjoint);
	tcase_add_test(t, test_q35);
	tcase_add_loop_test(t, test_window_behind_ram, 0, 8);
	tcase_add_loop_test(t, test_firmware_vars, 0, ARRAY_SIZE(vars));
	tcase_add_test(t, test_wires);
	tcase_add_test(t, test_transport);
	tcase_add_test(t, test_no_host);
	tcase_add_loop_test(t, test_topology, 0, ARRAY_SIZE(topologies));
	tcase_add_test(t, test_apic_id);
	tcase_add_loop_test(t, test_bad, 0, ARRAY_SIZE(bad));
	tcase_add_test(t, test_zero_ram);
	tcase_add_test(t, test_fdt);
	tcase_add_test(t, test_carve);
	tcase_add_test(t, test_carve_full);
	tcase_add_test(t, test_names);
	suite_add_tcase(s, t);
	return suite_run(s);
}
