/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: sample machines for tests of everything that reads a platform
 * description
 *
 * Made by hand, so that a generator is tested apart from the layouts. The
 * device lists are what the devices of the same names describe.
 */
#ifndef TESTS_UNIT_PLATFORMS_H
#define TESTS_UNIT_PLATFORMS_H

#include <stdlib.h>
#include <string.h>

#include "vmm/base/types.h"
#include "vmm/platform.h"

/**
 * struct sample - what one machine is like
 * @arm64: GIC and memory-mapped devices; else APICs and ports
 * @topology: threads, cores, dies, packages
 * @enabled: CPUs at boot; 0: all
 * @gicv2, @no_its: of arm64
 * @pci, @virtio_mmio: transport; number of virtio-mmio devices
 * @segments: of PCI; 0: one
 * @high_ram: bytes of RAM above 4 GiB
 * @nodes: NUMA nodes; 0 and 1: no NUMA
 * @bare: no console, no power button, no timer
 * @clidr: CLIDR_EL1 of arm64; the sizes of three levels are then known
 * @ids: there are a generation ID and a VMClock
 * @pptt: x86_64 has a PPTT
 */
struct sample {
	const char *name;
	bool arm64;
	struct topology topology;
	unsigned enabled;
	bool gicv2, no_its, pci;
	unsigned virtio_mmio;
	uint64_t high_ram;
	unsigned nodes;
	bool bare;
	uint64_t clidr;
	bool ids, pptt;
	unsigned segments;
};

static const struct sample samples[] = {
	{ "arm-1", true, { 1, 1, 1, 1 }, .pci = true },
	{ "arm-2", true, { 2, 1, 1, 1 }, .virtio_mmio = 2 },
	{ "arm-4x2", true, { 2, 2, 1, 2 }, .pci = true, .clidr = 041 },
	{ "arm-8x2",
	  true,
	  { 2, 4, 2, 1 },
	  .pci = true,
	  .virtio_mmio = 8,
	  .high_ram = GIB(9) },
	{ "arm-gicv2",
	  true,
	  { 1, 8, 1, 1 },
	  .gicv2 = true,
	  .pci = true,
	  .clidr = 3 },
	{ "arm-no-its",
	  true,
	  { 1, 4, 1, 1 },
	  .no_its = true,
	  .pci = true,
	  .clidr = 0443 },
	{ "arm-300", true, { 1, 300, 1, 1 }, .pci = true },
	{ "arm-hotplug", true, { 1, 8, 1, 1 }, .enabled = 3, .pci = true },
	{ "arm-numa",
	  true,
	  { 2, 4, 1, 3 },
	  .pci = true,
	  .nodes = 3,
	  .high_ram = GIB(4) },
	{ "arm-segments",
	  true,
	  { 1, 2, 1, 1 },
	  .pci = true,
	  .nodes = 2,
	  .segments = 3 },
	{ "arm-bare", true, { 1, 1, 1, 1 }, .bare = true },
	{ "arm-ids", true, { 1, 1, 1, 1 }, .pci = true, .ids = true },
	{ "x86-1", false, { 1, 1, 1, 1 }, .pci = true },
	{ "x86-2", false, { 2, 1, 1, 1 }, .virtio_mmio = 2 },
	{ "x86-4x2", false, { 2, 2, 1, 2 }, .pci = true, .pptt = true },
	{ "x86-8x2",
	  false,
	  { 2, 4, 2, 1 },
	  .pci = true,
	  .pptt = true,
	  .virtio_mmio = 8,
	  .high_ram = GIB(9) },
	{ "x86-64", false, { 2, 32, 1, 1 }, .pci = true, .virtio_mmio = 28 },
	{ "x86-300", false, { 2, 50, 1, 3 }, .pci = true },
	{ "x86-4096", false, { 2, 64, 4, 8 }, .pci = true },
	{ "x86-hotplug", false, { 1, 8, 1, 1 }, .enabled = 3, .pci = true },
	{ "x86-numa",
	  false,
	  { 2, 4, 1, 2 },
	  .pci = true,
	  .nodes = 2,
	  .high_ram = GIB(4) },
	{ "x86-300-numa",
	  false,
	  { 2, 50, 1, 3 },
	  .pci = true,
	  .nodes = 2,
	  .high_ram = GIB(4) },
	{ "x86-ids", false, { 1, 1, 1, 1 }, .pci = true, .ids = true },
	{ "x86-segments",
	  false,
	  { 1, 2, 1, 1 },
	  .pci = true,
	  .nodes = 2,
	  .segments = 3 },
	{ "x86-bare", false, { 1, 1, 1, 1 }, .bare = true },
};

static inline struct plat_range sample_mmio(uint64_t base, uint64_t size)
{
	return (struct plat_range){ PLAT_MMIO, base, size };
}

static inline struct plat_range sample_ports(uint64_t base, uint64_t size)
{
	return (struct plat_range){ PLAT_PIO, base, size };
}

static inline unsigned sample_bits(uint32_t n)
{
	return n > 1 ? 32 - (unsigned)__builtin_clz(n - 1) : 0;
}

static inline uint64_t sample_hw_id(const struct sample *s, uint32_t i,
				    const struct plat_cpu *c)
{
	const struct topology *t = &s->topology;
	uint64_t id = c->package;

	if (s->arm64)
		return (i & 0xf) | (uint64_t)(i >> 4) << 8;
	id = id << sample_bits(t->dies_per_package) | c->die;
	id = id << sample_bits(t->cores_per_die) | c->core;
	return id << sample_bits(t->threads_per_core) | c->thread;
}

static inline void sample_cpus(struct platform *p, const struct sample *s)
{
	const struct topology *t = &s->topology;
	uint32_t per_package =
		t->threads_per_core * t->cores_per_die * t->dies_per_package;
	uint32_t n = per_package * t->packages;

	p->topology = *t;
	p->cpu = calloc(n, sizeof(*p->cpu));
	p->cpu_count = n;
	p->cpu_enabled = s->enabled ? s->enabled : n;
	for (uint32_t i = 0; i < n; i++) {
		struct plat_cpu *c = &p->cpu[i];
		uint32_t core = i / t->threads_per_core;

		c->thread = i % t->threads_per_core;
		c->core = core % t->cores_per_die;
		c->die = core / t->cores_per_die % t->dies_per_package;
		c->package = i / per_package;
		c->hw_id = sample_hw_id(s, i, c);
		/* the first CPUs are in the last node */
		c->node = s->nodes > 1 ? (n - 1 - i) * s->nodes / n : 0;
	}
}

static inline void sample_arm64(struct platform *p, const struct sample *s)
{
	struct plat_intc *gic = &p->intc;

	p->arch = "arm64";
	p->tables = TABLES_FDT;
	p->clidr = s->clidr;
	for (unsigned i = 0; s->clidr && i < 3; i++) {
		p->cache[i].data =
			(struct cache_shape){ 65536u << i, 64, 256u << i, 4 };
		p->cache[i].code =
			(struct cache_shape){ 32768u << i, 64, 128u << i, 4 };
	}
	p->ram[0] = sample_mmio(0x40000000, GIB(3) + s->high_ram);
	gic->kind = s->gicv2 ? INTC_GICV2 : INTC_GICV3;
	gic->pin_count = 288;
	gic->pmu = true;
	gic->dist = sample_mmio(0x08000000, 0x10000);
	if (s->gicv2) {
		gic->cpu_if = sample_mmio(0x08010000, 0x10000);
	} else {
		uint64_t low = MIN(p->cpu_count, 123u);

		gic->redist[0] = sample_mmio(0x080a0000, low * 0x20000);
		gic->redist[1] = sample_mmio(0x4000000000,
					     (p->cpu_count - low) * 0x20000);
		gic->redist_count = p->cpu_count > low ? 2 : 1;
		if (!s->no_its)
			gic->its = sample_mmio(0x08080000, 0x20000);
	}
	p->pci = (struct plat_pci){
		.segment_count = s->pci,
		.segment[0] = { .ecam = sample_mmio(0x4010000000, MIB(256)),
				.bus_count = 256,
				.mmio32 = sample_mmio(0x10000000, 0x2eff0000),
				.mmio64 = sample_mmio(0x8000000000, GIB(512)) },
		.pio = sample_mmio(0x3eff0000, 0x10000),
		.intx_present = s->pci,
		.intx = { 3, 4, 5, 6 },
	};
	p->virtio_mmio = sample_mmio(0x0a000000, 32 * 0x200);
	p->virtio_mmio_stride = 0x200;
	p->virtio_mmio_pin = 16;
}

static inline void sample_x86_64(struct platform *p, const struct sample *s)
{
	p->arch = "x86_64";
	p->tables = TABLES_ACPI;
	p->pptt = s->pptt;
	p->ram[0] = sample_mmio(0, GIB(3));
	if (s->high_ram) {
		p->ram[1] = sample_mmio(GIB(4), s->high_ram);
		p->ram_count = 2;
	}
	p->intc.kind = INTC_APIC;
	p->intc.pin_count = 64;
	p->intc.ioapic = sample_mmio(0xfec00000, 0x1000);
	p->pci = (struct plat_pci){
		.segment_count = s->pci,
		.segment[0] = { .ecam = sample_mmio(0xe8000000, MIB(256)),
				.bus_count = 256,
				.mmio32 = sample_mmio(0xc0000000, MIB(640)),
				.mmio64 = sample_mmio(GIB(16),
						      TIB(1) - GIB(16)) },
		.pio = sample_ports(0x1000, 0xf000),
		.cf8 = true,
		.intx_present = s->pci,
		.intx = { 16, 17, 18, 19 },
	};
	p->virtio_mmio = sample_mmio(0xfeb00000, 32 * 0x1000);
	p->virtio_mmio_stride = 0x1000;
	p->virtio_mmio_pin = 24;
}

/* RAM is cut after 1, 2 and 3 GiB and where a range ends: the first two parts
 * are in node 0, each that follows in the next node. */
static inline void sample_parts(struct platform *p, const struct sample *s)
{
	for (unsigned i = 0; i < p->ram_count; i++) {
		struct plat_range r = p->ram[i];

		while (r.size_bytes) {
			uint32_t n = p->part_count;
			uint64_t size = n < 3 ? MIN(r.size_bytes, GIB(1))
					      : r.size_bytes;

			p->part[p->part_count++] = (struct plat_part){
				.range = sample_mmio(r.base, size),
				.node = n > 1 && s->nodes > 1
						? MIN(n - 1, s->nodes - 1)
						: 0,
			};
			r.base += size;
			r.size_bytes -= size;
		}
	}
}

/* Each segment but the first has one bus, and the last 64 MiB and 64 GiB of
 * what the first still had. */
static inline void sample_segments(struct platform *p, const struct sample *s)
{
	struct plat_segment *first = &p->pci.segment[0], *at = first;

	while (p->pci.segment_count < s->segments) {
		uint64_t ecam = at->ecam.base + at->ecam.size_bytes;

		at = &p->pci.segment[p->pci.segment_count];
		first->mmio32.size_bytes -= MIB(64);
		first->mmio64.size_bytes -= GIB(64);
		*at = (struct plat_segment){
			.ecam = sample_mmio(ecam, MIB(1)),
			.bus_count = 1,
			.mmio32 = sample_mmio(first->mmio32.base +
						      first->mmio32.size_bytes,
					      MIB(64)),
			.mmio64 = sample_mmio(first->mmio64.base +
						      first->mmio64.size_bytes,
					      GIB(64)),
			.node = p->pci.segment_count++ % 2,
		};
	}
}

/* Node i is 10 + 10 * |i - j| away from node j, and knows one latency. */
static inline void sample_numa(struct platform *p, const struct sample *s)
{
	if (s->nodes < 2)
		return;
	p->numa = calloc(1, sizeof(*p->numa));
	p->numa->node_count = s->nodes;
	p->pci.segment[0].node = s->nodes - 1;
	for (uint32_t i = 0; i < s->nodes; i++)
		for (uint32_t j = 0; j < s->nodes; j++)
			p->numa->link[i][j].distance =
				10 + 10 * (i > j ? i - j : j - i);
	p->numa->link[0][0] = (struct plat_link){ 10, 80, 200000 };
	p->numa->link[0][s->nodes - 1].latency_ns = 130;
	p->numa->hmat = true;
}

static inline struct plat_dev *sample_dev(struct platform *p,
					  struct plat_dev dev)
{
	struct plat_dev *out = &p->dev[p->dev_count++];

	*out = dev;
	out->irq_count = 1;
	out->range_count = 1;
	return out;
}

static inline void sample_arm64_devices(struct platform *p)
{
	static const struct plat_prop clock = { "clocks", PROP_CLOCK, 1,
						"apb_pclk\0" };
	static const struct plat_prop clocks = { "clocks", PROP_CLOCK, 2,
						 "uartclk\0apb_pclk\0" };

	sample_dev(p, (struct plat_dev){
			      PLAT_CONSOLE, "serial",
			      "arm,pl011\0arm,primecell\0", "ARMH0011", 0,
			      .range = { sample_mmio(0x09000000, 0x1000) },
			      .irq = { { 1, true } }, .prop = { clocks },
			      .prop_count = 1 });
	sample_dev(p, (struct plat_dev){
			      PLAT_PLAIN, "rtc", "arm,pl031\0arm,primecell\0",
			      .range = { sample_mmio(0x09010000, 0x1000) },
			      .irq = { { 2, true } }, .prop = { clock },
			      .prop_count = 1 });
	sample_dev(p, (struct plat_dev){
			      PLAT_POWER_GPIO, "gpio",
			      "arm,pl061\0arm,primecell\0",
			      .range = { sample_mmio(0x09030000, 0x1000) },
			      .irq = { { 7, true } }, .prop = { clock },
			      .prop_count = 1 });
}

static inline void sample_x86_64_devices(struct platform *p)
{
	sample_dev(p, (struct plat_dev){ PLAT_CONSOLE, "serial", "ns16550a\0",
					 "PNP0501",
					 .range = { sample_ports(0x3f8, 8) },
					 .irq = { { 4, true } } });
	sample_dev(p, (struct plat_dev){ PLAT_PLAIN, "rtc", NULL, "PNP0B00",
					 .range = { sample_ports(0x70, 2) },
					 .irq = { { 8, false } } });
	sample_dev(p, (struct plat_dev){ PLAT_GED, "ged", NULL, "ACPI0013",
					 .irq = { { 5, false } } })
		->range_count = 0;
	sample_dev(p, (struct plat_dev){ PLAT_RESET_SLEEP, "reset",
					 .range = { sample_ports(0x600, 1) } })
		->irq_count = 0;
	sample_dev(p, (struct plat_dev){ PLAT_PM_TIMER, "pm-timer",
					 .range = { sample_ports(0x608, 4) } })
		->irq_count = 0;
	sample_dev(p, (struct plat_dev){ PLAT_WATCHDOG, "watchdog",
					 "arm,sp805\0arm,primecell\0",
					 .range = { sample_mmio(0xfeb10000,
								0x1000) } })
		->irq_count = 0;
}

static inline void sample_virtio(struct platform *p, unsigned i)
{
	uint64_t base = p->virtio_mmio.base + i * p->virtio_mmio_stride;

	sample_dev(p, (struct plat_dev){
			      PLAT_PLAIN, "virtio", "virtio,mmio\0", "LNRO0005",
			      i, .range = { sample_mmio(base, 0x200) },
			      .irq = { { p->virtio_mmio_pin + i, false } },
			      .prop = { { "dma-coherent", PROP_FLAG, 0, "" } },
			      .prop_count = 1 });
}

static inline void sample_ids(struct platform *p, bool arm64)
{
	sample_dev(p, (struct plat_dev){
			      PLAT_VMGENID, "vmgenid", "microsoft,vmgenid\0",
			      .range = { sample_mmio(0x8123450000, 16) },
			      .irq = { { arm64 ? 8 : 6, false } } });
	sample_dev(p, (struct plat_dev){
			      PLAT_VMCLOCK, "ptp", "amazon,vmclock\0",
			      .range = { sample_mmio(0x8123600000, 0x10000) },
			      .irq = { { arm64 ? 9 : 7, false } } });
}

/** sample_make - fill @p, which platform_release() frees */
static inline void sample_make(struct platform *p, const struct sample *s)
{
	memset(p, 0, sizeof(*p));
	p->ram_count = 1;
	p->pa_bits = 46;
	sample_cpus(p, s);
	if (s->arm64)
		sample_arm64(p, s);
	else
		sample_x86_64(p, s);
	sample_parts(p, s);
	sample_numa(p, s);
	sample_segments(p, s);
	if (s->pci)
		p->dev[p->dev_count++] = (struct plat_dev){
			.role = PLAT_PCI_HOST,
			.name = "pcie",
			.compatible = "pci-host-ecam-generic\0",
			.hid = "PNP0A08",
		};
	if (!s->bare && s->arm64)
		sample_arm64_devices(p);
	if (!s->bare && !s->arm64)
		sample_x86_64_devices(p);
	if (s->ids)
		sample_ids(p, s->arm64);
	for (unsigned i = 0; i < s->virtio_mmio; i++)
		sample_virtio(p, i);
}

/** sample_count - samples of one architecture */
static inline int sample_count(bool arm64)
{
	int n = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(samples); i++)
		n += samples[i].arm64 == arm64;
	return n;
}

/** sample_nth - sample @n, counted from 0, of one architecture */
static inline const struct sample *sample_nth(bool arm64, int n)
{
	const struct sample *s = samples;

	while (s->arm64 != arm64 || n--)
		s++;
	return s;
}

/** sample_named - sample @name, which must exist */
static inline const struct sample *sample_named(const char *name)
{
	const struct sample *s = samples;

	while (strcmp(s->name, name))
		s++;
	return s;
}

#endif
