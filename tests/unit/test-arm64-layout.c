/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: arm64's memory map: places, limits, and one sentence for each mistake
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "arch/arm64/irqchip.h"
#include "arch/arm64/layout.h"

#include "tests/unit/suite.h"

static struct host_caps caps_of(unsigned pa_bits, bool gicv3)
{
	return (struct host_caps){
		.pa_bits = pa_bits,
		.vcpus_max = gicv3 ? 512 : 8,
		.gicv3 = gicv3,
		.gicv2 = !gicv3,
		.its = gicv3,
		.pmu = true,
		.page_size_bytes = 4096,
	};
}

static struct vm_config config_of(uint32_t vcpus, uint64_t size_bytes)
{
	return (struct vm_config){
		.cpus = { .boot_vcpus = vcpus, .max_vcpus = vcpus },
		.memory = { .size_bytes = size_bytes },
		.serial = { .mode = CHAR_TTY },
	};
}

/* ---- where things are --------------------------------------------------- */

static const struct place {
	const char *what;
	unsigned pa_bits;
	uint32_t vcpus;
	uint64_t ram, ecam, mem64, mem64_bytes, redist1;
	unsigned buses, got_bits;
} places[] = {
	{ "as QEMU's virt", 40, 1, MIB(64), 0x4010000000, 0x8000000000,
	  GIB(512), 0, 256, 40 },
	{ "large host", 48, 4, GIB(3), 0x4010000000, 0x8000000000, GIB(512), 0,
	  256, 40 },
	{ "RAM up to 256 GiB", 40, 1, GIB(255), 0x4010000000, 0x8000000000,
	  GIB(512), 0, 256, 40 },
	{ "RAM beyond 256 GiB", 40, 1, GIB(300), GIB(301) + MIB(256),
	  0x8000000000, GIB(512), 0, 256, 40 },
	{ "RAM beyond 512 GiB", 40, 1, GIB(600), GIB(601) + MIB(256), GIB(768),
	  GIB(256), 0, 256, 40 },
	{ "the same, more bits", 48, 1, GIB(600), GIB(601) + MIB(256),
	  GIB(1024), GIB(512), 0, 256, 41 },
	{ "36 bits", 36, 1, GIB(4), GIB(5) + MIB(256), GIB(32), GIB(32), 0, 256,
	  36 },
	{ "36 bits, full", 36, 1, GIB(63), 0x3F000000, 0, 0, 0, 16, 36 },
	{ "36 bits, nearly full", 36, 1, GIB(62), GIB(63) + MIB(256), 0, 0, 0,
	  256, 36 },
	{ "32 bits", 32, 1, GIB(3), 0x3F000000, 0, 0, 0, 16, 32 },
	{ "second GICR region", 48, 124, GIB(1), 0x4010000000, 0x8000000000,
	  GIB(512), 0x4000000000, 256, 40 },
	{ "512 vCPUs on 36 bits", 36, 512, GIB(1), GIB(2) + MIB(256), GIB(32),
	  GIB(32), GIB(2), 256, 36 },
};

START_TEST(test_places)
{
	const struct place *t = &places[_i];
	struct host_caps caps = caps_of(t->pa_bits, true);
	struct vm_config cfg = config_of(t->vcpus, t->ram);
	struct platform p = { 0 };
	struct diag d = DIAG_INIT;

	ck_assert_msg(!arm64_layout(&p, &cfg, &caps, &d), "%s: %s", t->what,
		      d.text[0]);
	ck_assert_uint_eq(p.ram_count, 1);
	ck_assert_uint_eq(p.ram[0].base, 0x40000000);
	ck_assert_uint_eq(p.ram[0].size_bytes, t->ram);
	ck_assert_uint_eq(p.pci.segment[0].ecam.base, t->ecam);
	ck_assert_uint_eq(p.pci.segment[0].bus_count, t->buses);
	ck_assert_uint_eq(p.pci.segment[0].ecam.size_bytes, MIB(t->buses));
	ck_assert_uint_eq(p.pci.segment[0].mmio64.base, t->mem64);
	ck_assert_uint_eq(p.pci.segment[0].mmio64.size_bytes, t->mem64_bytes);
	ck_assert_uint_eq(p.intc.redist_count, t->redist1 ? 2 : 1);
	ck_assert_uint_eq(p.intc.redist[1].base, t->redist1);
	ck_assert_uint_eq(p.pa_bits, t->got_bits);
	platform_release(&p);
}
END_TEST

struct named_range {
	const char *name;
	struct plat_range r;
};

/* Every range of the platform, as a list. */
static unsigned ranges_of(const struct platform *p, struct named_range *out)
{
	const struct named_range all[] = {
		{ "GICD", p->intc.dist },
		{ "GICC", p->intc.cpu_if },
		{ "ITS", p->intc.its },
		{ "GICR0", p->intc.redist[0] },
		{ "GICR1", p->intc.redist[1] },
		{ "PL011", { PLAT_MMIO, ARM64_PL011_BASE, KIB(64) } },
		{ "PL031", { PLAT_MMIO, ARM64_PL031_BASE, KIB(64) } },
		{ "PL061", { PLAT_MMIO, ARM64_PL061_BASE, KIB(64) } },
		{ "pvpanic", p->pvpanic },
		{ "virtio", p->virtio_mmio },
		{ "mem32", p->pci.segment[0].mmio32 },
		{ "ports", p->pci.pio },
		{ "ECAM", p->pci.segment[0].ecam },
		{ "mem64", p->pci.segment[0].mmio64 },
		{ "RAM", p->ram[0] },
	};
	unsigned n = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(all); i++)
		if (all[i].r.size_bytes)
			out[n++] = all[i];
	return n;
}

/* Nothing overlaps, everything is below the address limit. */
START_TEST(test_disjoint)
{
	const struct place *t = &places[_i];
	struct host_caps caps = caps_of(t->pa_bits, true);
	struct vm_config cfg = config_of(t->vcpus, t->ram);
	struct platform p = { 0 };
	struct named_range r[16];
	unsigned n;

	ck_assert_int_eq(arm64_layout(&p, &cfg, &caps, NULL), 0);
	n = ranges_of(&p, r);
	for (unsigned i = 0; i < n; i++) {
		ck_assert_msg(r[i].r.base + r[i].r.size_bytes <=
				      UINT64_C(1) << p.pa_bits,
			      "%s sticks out", r[i].name);
		for (unsigned k = 0; k < i; k++)
			ck_assert_msg(
				r[i].r.base >= r[k].r.base +
							r[k].r.size_bytes ||
					r[k].r.base >=
						r[i].r.base + r[i].r.size_bytes,
				"%s: %s overlaps %s", t->what, r[i].name,
				r[k].name);
	}
	platform_release(&p);
}
END_TEST

/* ---- mistakes ----------------------------------------------------------- */

static char some_name[] = "f";

static const struct mistake {
	struct vm_config cfg;
	struct host_caps caps;
	int err;
	const char *says;
} mistakes[] = {
#define CPUS(...)                                                     \
	{                                                             \
		.memory.size_bytes = MIB(64), .cpus = { __VA_ARGS__ } \
	}
#define MEM(n)                                             \
	{                                                  \
		.memory.size_bytes = (n), .cpus = { 1, 1 } \
	}
#define V3(bits)                                                    \
	{                                                           \
		.pa_bits = (bits), .vcpus_max = 512, .gicv3 = true, \
		.its = true, .page_size_bytes = 65536               \
	}
#define V2                                                    \
	{                                                     \
		.pa_bits = 40, .vcpus_max = 8, .gicv2 = true, \
		.page_size_bytes = 4096                       \
	}
	{ CPUS(0, 0), V3(40), EINVAL, "--cpus boot=0: must be at least 1" },
	{ CPUS(2, 1), V3(40), EINVAL, "--cpus max=1: must be at least boot=2" },
	{ CPUS(9, 9), V2, E2BIG,
	  "--cpus boot=9: this host can only virtualise "
	  "GICv2, which has at most 8" },
	{ CPUS(1, 9), V2, E2BIG, "--cpus max=9: this host can only" },
	{ CPUS(513, 513), V3(40), E2BIG,
	  "boot=513: this host's hypervisor "
	  "allows at most 512" },
	{ CPUS(1, 4, .topology = { 2, 1, 1, 1 }), V3(40), EINVAL,
	  "--cpus topology=2:1:1:1: the product must be the 4" },
	{ CPUS(1, 4, .topology = { 0, 4, 1, 1 }), V3(40), EINVAL, "product" },
	{ CPUS(1, 1, .topology = { 1U << 31, 1U << 31, 4, 1 }), V3(40), EINVAL,
	  "product" },
	{ CPUS(1, 1, .sve = true), V3(40), EINVAL,
	  "features=sve: this host has no SVE" },
	{ CPUS(1, 1, .pauth = true), V3(40), EINVAL, "no pointer auth" },
	{ CPUS(1, 1, .pmu = ON), V3(40), EINVAL, "pmu=on: this host has no" },
	{ CPUS(1, 1, .nested = true), V3(40), EINVAL, "nested=on" },
	{ CPUS(1, 1, .max_phys_bits = 31), V3(40), EINVAL,
	  "max_phys_bits=31: arm64 guests need at least 32" },
	{ { .memory.size_bytes = MIB(64),
	    .cpus = { 1, 1 },
	    .firmware = some_name,
	    .platform.tables = TABLES_ACPI },
	  V3(40),
	  EINVAL,
	  "--platform tables=acpi: firmware takes them from fw_cfg, and only "
	  "UEFI does: give --firmware-vars and --fw-cfg-config acpi_table=on, "
	  "or tables=fdt" },
	{ MEM(0), V3(40), EINVAL, "--memory size=0: must be a positive" },
	{ MEM(MIB(64) + 4096), V3(40), EINVAL, "multiple of 65536" },
	{ MEM(GIB(64)), V3(36), E2BIG,
	  "at most 67645734912 bytes fit below "
	  "the limit of 36" },
	{ MEM(UINT64_MAX - 65535), V3(48), E2BIG, "at most" },
	{ { .memory.size_bytes = GIB(63), .cpus = { 124, 124 } },
	  V3(36),
	  E2BIG,
	  "no room for the interrupt controller of 124 vCPUs" },
	{ MEM(MIB(64)),
	  { .pa_bits = 40, .page_size_bytes = 4096 },
	  EINVAL,
	  "neither GICv3 nor GICv2" },
};

START_TEST(test_mistakes)
{
	const struct mistake *t = &mistakes[_i];
	struct platform p = { 0 };
	struct diag d = DIAG_INIT;

	ck_assert_int_eq(arm64_layout(&p, &t->cfg, &t->caps, &d), -t->err);
	ck_assert_uint_eq(d.depth, 1);
	ck_assert_msg(strstr(d.text[0], t->says) != NULL, "'%s' lacks '%s'",
		      d.text[0], t->says);
	platform_release(&p);
}
END_TEST

/* ---- CPUs, interrupts, devices ------------------------------------------ */

static const struct {
	unsigned index;
	uint64_t mpidr;
} mpidrs[] = {
	{ 0, 0 },	  { 15, 0xf },	     { 16, 0x100 },	{ 255, 0xf0f },
	{ 4095, 0xff0f }, { 4096, 0x10000 }, { 4113, 0x10101 },
};

START_TEST(test_mpidr)
{
	ck_assert_uint_eq(arm64_mpidr(mpidrs[_i].index), mpidrs[_i].mpidr);
}
END_TEST

START_TEST(test_topology)
{
	struct host_caps caps = caps_of(40, true);
	struct vm_config cfg = config_of(12, MIB(64));
	struct platform p = { 0 };

	cfg.cpus.boot_vcpus = 5;
	cfg.cpus.topology = (struct topology){ 2, 3, 1, 2 };
	ck_assert_int_eq(arm64_layout(&p, &cfg, &caps, NULL), 0);
	ck_assert_uint_eq(p.cpu_count, 12);
	ck_assert_uint_eq(p.cpu_enabled, 5);
	ck_assert_uint_eq(p.cpu[9].thread, 1);
	ck_assert_uint_eq(p.cpu[9].core, 1);
	ck_assert_uint_eq(p.cpu[9].die, 0);
	ck_assert_uint_eq(p.cpu[9].package, 1);
	ck_assert_uint_eq(p.cpu[9].hw_id, 9);
	platform_release(&p);
}
END_TEST

START_TEST(test_no_topology)
{
	struct host_caps caps = caps_of(40, true);
	struct vm_config cfg = config_of(3, MIB(64));
	struct platform p = { 0 };

	ck_assert_int_eq(arm64_layout(&p, &cfg, &caps, NULL), 0);
	ck_assert_uint_eq(p.topology.packages, 3);
	ck_assert_uint_eq(p.cpu[2].package, 2);
	ck_assert_uint_eq(p.cpu[2].core, 0);
	platform_release(&p);
}
END_TEST

START_TEST(test_gicv2)
{
	struct host_caps caps = caps_of(40, false);
	struct vm_config cfg = config_of(8, MIB(64));
	struct platform p = { 0 };

	ck_assert_int_eq(arm64_layout(&p, &cfg, &caps, NULL), 0);
	ck_assert_int_eq(p.intc.kind, INTC_GICV2);
	ck_assert_uint_eq(p.intc.cpu_if.base, 0x08010000);
	ck_assert_uint_eq(p.intc.its.size_bytes, 0);
	ck_assert_uint_eq(p.intc.redist_count, 0);
	platform_release(&p);
}
END_TEST

START_TEST(test_no_pci_no_its)
{
	struct host_caps caps = caps_of(40, true);
	struct vm_config cfg = config_of(1, MIB(64));
	struct platform p = { 0 };

	cfg.platform.transport = TRANSPORT_MMIO;
	cfg.cpus.pmu = OFF;
	ck_assert_int_eq(arm64_layout(&p, &cfg, &caps, NULL), 0);
	ck_assert(!p.pci.segment_count);
	ck_assert_uint_eq(p.intc.its.size_bytes, 0);
	ck_assert_uint_eq(p.pci.segment[0].ecam.size_bytes, 0);
	ck_assert_uint_eq(p.pa_bits, 32);
	ck_assert(!p.intc.pmu);
	platform_release(&p);
}
END_TEST

/* UEFI, which --firmware-vars stands for, takes ACPI from fw_cfg. */
static const struct {
	enum tables_choice given;
	bool firmware, vars, fw_cfg, acpi_table;
	enum tables_choice got;
} choices[] = {
	{ TABLES_AUTO, .got = TABLES_FDT },
	{ TABLES_ACPI, .got = TABLES_ACPI },
	{ TABLES_AUTO, .firmware = true, .got = TABLES_FDT },
	{ TABLES_AUTO, true, true, .got = TABLES_ACPI },
	{ TABLES_FDT, true, true, .got = TABLES_FDT },
	{ TABLES_ACPI, true, true, .got = TABLES_ACPI },
	{ TABLES_AUTO, true, true, true, true, TABLES_ACPI },
	{ TABLES_AUTO, true, true, true, false, TABLES_FDT },
	{ TABLES_AUTO, true, false, true, true, TABLES_FDT },
};

START_TEST(test_tables)
{
	struct fw_cfg_config f = { .acpi_table = choices[_i].acpi_table };
	struct host_caps caps = caps_of(40, true);
	struct vm_config cfg = config_of(1, MIB(64));
	bool acpi = choices[_i].got == TABLES_ACPI;
	struct arch_device out[16];
	struct platform p = { 0 };

	cfg.platform.tables = choices[_i].given;
	cfg.firmware = choices[_i].firmware ? some_name : NULL;
	cfg.firmware_vars = choices[_i].vars ? some_name : NULL;
	cfg.fw_cfg = &f;
	cfg.fw_cfg_count = choices[_i].fw_cfg;
	ck_assert_int_eq(arm64_layout(&p, &cfg, &caps, NULL), 0);
	ck_assert_uint_eq(p.tables, choices[_i].got);
	ck_assert_uint_eq(p.tpm.size_bytes != 0, acpi);
	arm64_devices(&p, &cfg, out);
	ck_assert_str_eq(out[2].cls, acpi ? "ged" : "gpio-pl061");
	platform_release(&p);
}
END_TEST

/* What carries it: fw_cfg to UEFI, or SMBIOS beside ACPI's tables */
static const struct {
	enum tables_choice tables;
	bool firmware, vars;
	const char *remedy; /* NULL: accepted */
} carriers[] = {
	{ TABLES_AUTO, false, false, "give --platform tables=acpi" },
	{ TABLES_FDT, false, false, "give --platform tables=acpi" },
	{ TABLES_ACPI, false, false, NULL },
	{ TABLES_AUTO, true, false, "give --firmware-vars" },
	{ TABLES_AUTO, true, true, NULL },
};

START_TEST(test_identity)
{
	struct host_caps caps = caps_of(40, true);
	struct vm_config cfg = config_of(1, MIB(64));
	const char *remedy = carriers[_i].remedy;
	struct diag d = DIAG_INIT;
	struct platform p = { 0 };

	cfg.platform.tables = carriers[_i].tables;
	cfg.platform.serial_number = some_name;
	cfg.firmware = carriers[_i].firmware ? some_name : NULL;
	cfg.firmware_vars = carriers[_i].vars ? some_name : NULL;
	ck_assert_int_eq(arm64_layout(&p, &cfg, &caps, &d),
			 remedy ? -EINVAL : 0);
	ck_assert_msg(!remedy || strstr(d.text[0], remedy) != NULL, "%s",
		      d.text[0]);
	platform_release(&p);
}
END_TEST

START_TEST(test_devices)
{
	struct platform p = { .tables = TABLES_FDT };
	struct vm_config cfg = config_of(1, MIB(64));
	struct arch_device out[16];

	ck_assert_uint_eq(arm64_devices(&p, &cfg, out), 3);
	ck_assert_str_eq(out[0].cls, "serial-pl011");
	ck_assert_uint_eq(out[0].base, 0x09000000);
	ck_assert_uint_eq(out[0].pin, 1);
	cfg.serial.mode = CHAR_OFF;
	ck_assert_uint_eq(arm64_devices(&p, &cfg, out), 2);
	ck_assert_str_eq(out[0].cls, "rtc-pl031");
	ck_assert_str_eq(out[1].cls, "gpio-pl061");
	ck_assert_uint_eq(out[1].pin, 7);
	p.tables = TABLES_ACPI;
	ck_assert_uint_eq(arm64_devices(&p, &cfg, out), 2);
	ck_assert_str_eq(out[1].cls, "ged");
	ck_assert_uint_eq(out[1].pin, 10);
	p.tables = TABLES_FDT;
	cfg.watchdog = true;
	ck_assert_uint_eq(arm64_devices(&p, &cfg, out), 3);
	ck_assert_str_eq(out[2].cls, "watchdog-sp805");
	cfg.platform.vmgenid = true;
	ck_assert_uint_eq(arm64_devices(&p, &cfg, out), 4);
	ck_assert_str_eq(out[2].cls, "vmgenid");
	ck_assert_uint_eq(out[2].pin, 8);
	cfg.platform.vmclock = true;
	ck_assert_uint_eq(arm64_devices(&p, &cfg, out), 5);
	ck_assert_str_eq(out[3].cls, "vmclock");
	ck_assert_uint_eq(out[3].pin, 9);
}
END_TEST

/* ---- wires -------------------------------------------------------------- */

static uint32_t last_pin;
static int pin_calls, pin_level;

static int note_pin(struct host_vm *vm, uint32_t pin, bool level)
{
	(void)vm;
	last_pin = pin;
	pin_level = level;
	pin_calls++;
	return pin == 9 ? -EINVAL : 0;
}

START_TEST(test_wires)
{
	static const struct host_ops ops = { .irq_pin = note_pin };
	struct host_vm vm = { .ops = &ops };
	struct platform p = { .intc.pin_count = 64 };
	struct arch_irqchip *ic;
	struct irqchip chip;
	struct irq_wire w;

	irqchip_init(&chip, 0);
	ck_assert_int_eq(arm64_irqchip_new(&ic, &chip, &p, NULL, NULL), 0);
	ck_assert_uint_eq(chip.gsi_first, 64);
	w = (struct irq_wire){ &chip.sink, 7 };
	irq_set(&w, true); /* no VM yet: dropped */
	ck_assert_int_eq(pin_calls, 0);
	chip.vm = &vm;
	irq_set(&w, true);
	ck_assert_int_eq(pin_calls, 1);
	ck_assert_uint_eq(last_pin, 7);
	ck_assert_int_eq(pin_level, 1);
	irq_pulse(&w);
	ck_assert_int_eq(pin_calls, 3);
	ck_assert_int_eq(pin_level, 0);
	w.pin = 9;
	irq_set(&w, true); /* refused: said, not fatal */
	w.pin = 64;
	irq_set(&w, true); /* no such SPI */
	ck_assert_int_eq(pin_calls, 4);
	arm64_irqchip_reset(ic);
	arm64_irqchip_free(ic);
	arm64_irqchip_free(NULL);
	irqchip_release(&chip);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("arm64-layout");
	TCase *t = tcase_create("layout");

	tcase_add_loop_test(t, test_places, 0, ARRAY_SIZE(places));
	tcase_add_loop_test(t, test_disjoint, 0, ARRAY_SIZE(places));
	tcase_add_loop_test(t, test_tables, 0, ARRAY_SIZE(choices));
	tcase_add_loop_test(t, test_identity, 0, ARRAY_SIZE(carriers));
	tcase_add_loop_test(t, test_mistakes, 0, ARRAY_SIZE(mistakes));
	tcase_add_loop_test(t, test_mpidr, 0, ARRAY_SIZE(mpidrs));
	tcase_add_test(t, test_topology);
	tcase_add_test(t, test_no_topology);
	tcase_add_test(t, test_gicv2);
	tcase_add_test(t, test_no_pci_no_its);
	tcase_add_test(t, test_devices);
	tcase_add_test(t, test_wires);
	suite_add_tcase(s, t);
	return suite_run(s);
}
