/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: the device tree generator: every sample machine through libfdt's and
 * dtc's checks, node by node against the platform description, and its errors
 */
#include <check.h>
#include <errno.h>
#include <inttypes.h>
#include <libfdt.h>
#include <stdlib.h>

#include "arch/arm64/tables.h"
#include "vmm/base/bytes.h"

#include "firmware/fdt.h"
#include "tests/unit/platforms.h"
#include "tests/unit/suite.h"
#include "tests/unit/tool.h"

/* Checks that dtc 1.6 leaves out unless asked; all others are on */
#define DTC                                                            \
	"dtc -W node_name_chars_strict -W property_name_chars_strict " \
	"-W unique_unit_address_if_enabled -W interrupt_provider "

static const struct fdt_boot no_boot;

struct tree {
	struct platform p;
	uint8_t *blob;
	size_t size;
};

static void tree_make(struct tree *t, const struct sample *s)
{
	struct diag d = DIAG_INIT;
	char why[512];
	int err;

	sample_make(&t->p, s);
	err = fdt_build(&t->blob, &t->size, &t->p, &no_boot, &d);
	ck_assert_msg(!err, "%s: %s", s->name,
		      diag_format(&d, why, sizeof(why)));
}

static void tree_free(struct tree *t)
{
	free(t->blob);
	platform_release(&t->p);
}

static const void *prop(const struct tree *t, int node, const char *name,
			int len)
{
	int have;
	const void *p = fdt_getprop(t->blob, node, name, &have);

	ck_assert_msg(p != NULL, "no property %s", name);
	if (len >= 0)
		ck_assert_int_eq(have, len);
	return p;
}

static int node_at(const struct tree *t, const char *path)
{
	int node = fdt_path_offset(t->blob, path);

	ck_assert_msg(node >= 0, "no node %s", path);
	return node;
}

START_TEST(test_well_formed)
{
	struct tree t;

	tree_make(&t, sample_nth(true, _i));
	ck_assert_int_eq(fdt_check_full(t.blob, t.size), 0);
	ck_assert_uint_eq(fdt_totalsize(t.blob), t.size);
	tree_free(&t);
}
END_TEST

START_TEST(test_dtc)
{
	struct tool tool;
	struct tree t;

	tree_make(&t, sample_nth(true, _i));
	tool_open(&tool);
	tool_write(&tool, "t.dtb", t.blob, t.size);
	ck_assert_int_eq(tool_run(&tool, DTC "-I dtb -O dts -o t.dts t.dtb"),
			 0);
	ck_assert_str_eq(tool.said, "");
	ck_assert_int_eq(tool_run(&tool,
				  "dtc -q -I dts -O dtb -o u.dtb t.dts &&"
				  "dtc -I dtb -O dts u.dtb | cmp - t.dts"),
			 0);
	ck_assert_str_eq(tool.said, "");
	tool_close(&tool);
	tree_free(&t);
}
END_TEST

/* What dtc must complain about: it does check. */
static const struct damage {
	const char *from, *to;
} damages[] = {
	{ "rtc@9010000", "rtc@0x10000" },
	{ "#gpio-cells", "#gpio-cellz" },
	{ "#clock-cells", "#clock-cellz" },
	{ "pcie@4010000000", "pcix@4010000000" },
	{ "#interrupt-cells", "#interrupt-cellz" },
};

START_TEST(test_dtc_sees_damage)
{
	const struct damage *m = &damages[_i];
	struct tool tool;
	uint8_t *at;
	struct tree t;

	tree_make(&t, sample_named("arm-1"));
	at = memmem(t.blob, t.size, m->from, strlen(m->from) + 1);
	ck_assert_ptr_nonnull(at);
	memcpy(at, m->to, strlen(m->to));
	tool_open(&tool);
	tool_write(&tool, "t.dtb", t.blob, t.size);
	tool_run(&tool, DTC "-I dtb -O dts -o /dev/null t.dtb");
	ck_assert_ptr_nonnull(strstr(tool.said, "Warning"));
	tool_close(&tool);
	tree_free(&t);
}
END_TEST

/* A tree that is cut short is refused by libfdt, wherever it is cut. */
START_TEST(test_libfdt_sees_damage)
{
	struct tree t;

	tree_make(&t, sample_named("arm-1"));
	for (size_t size = 0; size < t.size; size++)
		ck_assert_int_ne(fdt_check_full(t.blob, size), 0);
	tree_free(&t);
}
END_TEST

START_TEST(test_cpus)
{
	const struct sample *s = sample_nth(true, _i);
	unsigned n = 0;
	struct tree t;
	int node;

	tree_make(&t, s);
	fdt_for_each_subnode(node, t.blob, node_at(&t, "/cpus"))
	{
		if (!fdt_getprop(t.blob, node, "device_type", NULL))
			continue;
		ck_assert_uint_lt(n, t.p.cpu_enabled);
		ck_assert_uint_eq(get_be32(prop(&t, node, "reg", 4)),
				  t.p.cpu[n].hw_id);
		ck_assert_str_eq(prop(&t, node, "enable-method", 5), "psci");
		n++;
	}
	ck_assert_uint_eq(n, t.p.cpu_enabled);
	tree_free(&t);
}
END_TEST

/* Each CPU leads through as many levels of cache as CLIDR_EL1 has. */
START_TEST(test_caches)
{
	const struct sample *s = sample_nth(true, _i);
	struct tree t;

	tree_make(&t, s);
	for (unsigned i = 0; i < t.p.cpu_enabled; i++) {
		/* a single level is left out */
		uint64_t clidr = s->clidr > 7 ? s->clidr : 0;
		unsigned level = 1;
		char path[64];
		int node;

		snprintf(path, sizeof(path), "/cpus/cpu@%" PRIx64,
			 t.p.cpu[i].hw_id);
		node = node_at(&t, path);
		for (; clidr; clidr >>= 3, level++) {
			unsigned type = clidr & 7;
			const uint8_t *next = fdt_getprop(
				t.blob, node, "next-level-cache", NULL);

			ck_assert_int_eq(type & 1, fdt_getprop(t.blob, node,
							       "i-cache-size",
							       NULL) != NULL);
			ck_assert_int_eq(type == 4, fdt_getprop(t.blob, node,
								"cache-unified",
								NULL) != NULL);
			ck_assert_int_eq(next != NULL, clidr >> 3 != 0);
			if (!next)
				continue;
			node = fdt_node_offset_by_phandle(t.blob,
							  get_be32(next));
			ck_assert_uint_eq(
				get_be32(prop(&t, node, "cache-level", 4)),
				level + 1);
		}
		ck_assert_ptr_null(
			fdt_getprop(t.blob, node, "next-level-cache", NULL));
	}
	tree_free(&t);
}
END_TEST

static void check_shape(const struct tree *t, int node, const char *prefix,
			const struct cache_shape *c)
{
	char name[32];

	snprintf(name, sizeof(name), "%scache-size", prefix);
	ck_assert_uint_eq(get_be32(prop(t, node, name, 4)), c->size_bytes);
	snprintf(name, sizeof(name), "%scache-line-size", prefix);
	ck_assert_uint_eq(get_be32(prop(t, node, name, 4)), c->line_bytes);
	snprintf(name, sizeof(name), "%scache-sets", prefix);
	ck_assert_uint_eq(get_be32(prop(t, node, name, 4)), c->sets);
}

/* Sizes; the second level of three is each core's, the third is the die's. */
START_TEST(test_cache_sizes)
{
	struct tree t;
	int node;

	tree_make(&t, sample_named("arm-no-its"));
	node = node_at(&t, "/cpus/cpu@3");
	check_shape(&t, node, "i-", &t.p.cache[0].code);
	check_shape(&t, node, "d-", &t.p.cache[0].data);
	check_shape(&t, node_at(&t, "/cpus/cpu@3/l2-cache"), "",
		    &t.p.cache[1].data);
	check_shape(&t, node_at(&t, "/cpus/cpu@0/l3-cache"), "",
		    &t.p.cache[2].data);
	ck_assert_int_lt(fdt_path_offset(t.blob, "/cpus/cpu@3/l3-cache"), 0);
	tree_free(&t);
	/* 4x2: two packages of two cores of two threads, two levels */
	tree_make(&t, sample_named("arm-4x2"));
	node_at(&t, "/cpus/cpu@0/l2-cache");
	node_at(&t, "/cpus/cpu@4/l2-cache");
	ck_assert_int_lt(fdt_path_offset(t.blob, "/cpus/cpu@2/l2-cache"), 0);
	tree_free(&t);
}
END_TEST

/* The place of each CPU in cpu-map is its place in the topology. */
START_TEST(test_cpu_map)
{
	const struct sample *s = sample_nth(true, _i);
	struct tree t;

	tree_make(&t, s);
	for (unsigned i = 0; i < t.p.cpu_enabled; i++) {
		const struct plat_cpu *c = &t.p.cpu[i];
		char path[128], cpu[64];
		uint32_t ph;
		int n;

		n = snprintf(path, sizeof(path),
			     "/cpus/cpu-map/socket%u/cluster%u/core%u",
			     c->package, c->die, c->core);
		if (s->topology.threads_per_core > 1)
			snprintf(path + n, sizeof(path) - (size_t)n,
				 "/thread%u", c->thread);
		ph = get_be32(prop(&t, node_at(&t, path), "cpu", 4));
		snprintf(cpu, sizeof(cpu), "/cpus/cpu@%" PRIx64, c->hw_id);
		ck_assert_int_eq(fdt_node_offset_by_phandle(t.blob, ph),
				 node_at(&t, cpu));
	}
	tree_free(&t);
}
END_TEST

/* Aff3 takes #address-cells from one to two. */
START_TEST(test_wide_mpidr)
{
	struct tree t = { .blob = NULL };
	struct diag d = DIAG_INIT;
	int node;

	sample_make(&t.p, sample_named("arm-2"));
	t.p.cpu[1].hw_id = UINT64_C(0x300000201) | UINT64_C(0x80000000);
	ck_assert_int_eq(fdt_build(&t.blob, &t.size, &t.p, &no_boot, &d), 0);
	node = node_at(&t, "/cpus");
	ck_assert_uint_eq(get_be32(prop(&t, node, "#address-cells", 4)), 2);
	node = node_at(&t, "/cpus/cpu@3,201");
	ck_assert_uint_eq(get_be64(prop(&t, node, "reg", 8)), 0x300000201);
	tree_free(&t);
}
END_TEST

/* All RAM, in one node for each stretch of a NUMA node. */
START_TEST(test_memory)
{
	uint64_t sum = 0;
	struct tree t;

	tree_make(&t, sample_nth(true, _i));
	for (unsigned i = 0; i < t.p.part_count;) {
		const struct plat_part *part = &t.p.part[i];
		char path[64];
		const uint8_t *reg;
		uint64_t end;
		int node;

		snprintf(path, sizeof(path), "/memory@%" PRIx64,
			 part->range.base);
		node = node_at(&t, path);
		reg = prop(&t, node, "reg", 16);
		ck_assert_uint_eq(get_be64(reg), part->range.base);
		end = get_be64(reg) + get_be64(reg + 8);
		sum += get_be64(reg + 8);
		if (t.p.numa)
			ck_assert_uint_eq(
				get_be32(prop(&t, node, "numa-node-id", 4)),
				part->node);
		while (i < t.p.part_count && t.p.part[i].range.base < end)
			ck_assert_uint_eq(t.p.part[i++].node, part->node);
	}
	ck_assert_uint_eq(sum, t.p.ram[0].size_bytes);
	tree_free(&t);
}
END_TEST

/* Processors, the host bridge, and how far nodes are from each other */
START_TEST(test_numa)
{
	struct tree t;
	const uint8_t *map;
	uint32_t n;

	tree_make(&t, sample_named("arm-numa"));
	n = t.p.numa->node_count;
	for (unsigned i = 0; i < t.p.cpu_enabled; i++) {
		char path[64];

		snprintf(path, sizeof(path), "/cpus/cpu@%" PRIx64,
			 t.p.cpu[i].hw_id);
		ck_assert_uint_eq(get_be32(prop(&t, node_at(&t, path),
						"numa-node-id", 4)),
				  t.p.cpu[i].node);
	}
	ck_assert_uint_eq(get_be32(prop(&t, node_at(&t, "/pcie@4010000000"),
					"numa-node-id", 4)),
			  t.p.pci.segment[0].node);
	ck_assert_str_eq(
		prop(&t, node_at(&t, "/distance-map"), "compatible", -1),
		"numa-distance-map-v1");
	map = prop(&t, node_at(&t, "/distance-map"), "distance-matrix",
		   12 * (int)(n * n));
	for (uint32_t i = 0; i < n * n; i++, map += 12) {
		ck_assert_uint_eq(get_be32(map), i / n);
		ck_assert_uint_eq(get_be32(map + 4), i % n);
		ck_assert_uint_eq(get_be32(map + 8),
				  t.p.numa->link[i / n][i % n].distance);
	}
	tree_free(&t);
}
END_TEST

/* As many nodes as there can be fit. */
START_TEST(test_numa_most)
{
	struct tree t = { .blob = NULL };
	struct diag d = DIAG_INIT;

	sample_make(&t.p, sample_named("arm-numa"));
	t.p.numa->node_count = PLAT_NODES_MAX;
	ck_assert_int_eq(fdt_build(&t.blob, &t.size, &t.p, &no_boot, &d), 0);
	prop(&t, node_at(&t, "/distance-map"), "distance-matrix",
	     12 * PLAT_NODES_MAX * PLAT_NODES_MAX);
	tree_free(&t);
}
END_TEST

START_TEST(test_memory_ranges)
{
	struct tree t = { .blob = NULL };
	struct diag d = DIAG_INIT;

	sample_make(&t.p, sample_named("arm-1"));
	t.p.part[t.p.part_count++].range = sample_mmio(0x8000000000, GIB(1));
	ck_assert_int_eq(fdt_build(&t.blob, &t.size, &t.p, &no_boot, &d), 0);
	node_at(&t, "/memory@40000000");
	node_at(&t, "/memory@8000000000");
	tree_free(&t);
}
END_TEST

START_TEST(test_gic)
{
	const struct sample *s = sample_nth(true, _i);
	struct tree t;
	int node, regs;

	tree_make(&t, s);
	node = node_at(&t, "/interrupt-controller@8000000");
	ck_assert_str_eq(prop(&t, node, "compatible", -1),
			 s->gicv2 ? "arm,cortex-a15-gic" : "arm,gic-v3");
	regs = s->gicv2 ? 2 : 1 + (int)t.p.intc.redist_count;
	prop(&t, node, "reg", 16 * regs);
	ck_assert_int_eq(fdt_getprop(t.blob, node, "#redistributor-regions",
				     NULL) != NULL,
			 regs > 2);
	ck_assert_int_eq(fdt_first_subnode(t.blob, node) >= 0,
			 !s->gicv2 && !s->no_its);
	tree_free(&t);
}
END_TEST

/* GICv2: PPIs carry the mask of CPUs; GICv3: they do not. */
START_TEST(test_ppi)
{
	static const struct {
		const char *sample;
		uint32_t flags;
	} cases[] = { { "arm-gicv2", 0xff04 }, { "arm-4x2", 4 } };
	static const uint32_t ppi[] = { 13, 14, 11, 10 };
	const uint8_t *irqs;
	struct tree t;

	tree_make(&t, sample_named(cases[_i].sample));
	irqs = prop(&t, node_at(&t, "/timer"), "interrupts", 48);
	for (unsigned i = 0; i < 4; i++) {
		ck_assert_uint_eq(get_be32(irqs + 12 * i), 1);
		ck_assert_uint_eq(get_be32(irqs + 12 * i + 4), ppi[i]);
		ck_assert_uint_eq(get_be32(irqs + 12 * i + 8), cases[_i].flags);
	}
	prop(&t, node_at(&t, "/timer"), "always-on", 0);
	irqs = prop(&t, node_at(&t, "/pmu"), "interrupts", 12);
	ck_assert_uint_eq(get_be32(irqs + 4), 7);
	tree_free(&t);
}
END_TEST

START_TEST(test_pci)
{
	const struct sample *s = sample_nth(true, _i);
	const char *path = "/pcie@4010000000";
	const uint8_t *ranges, *map;
	struct tree t;
	int node;

	tree_make(&t, s);
	if (!s->pci) {
		ck_assert_int_lt(fdt_path_offset(t.blob, path), 0);
		tree_free(&t);
		return;
	}
	node = node_at(&t, path);
	ranges = prop(&t, node, "ranges", 3 * 28);
	ck_assert_uint_eq(get_be32(ranges), 0x01000000);
	ck_assert_uint_eq(get_be32(ranges + 56), 0x43000000);
	ck_assert_uint_eq(get_be64(ranges + 4), 0);
	ck_assert_uint_eq(get_be64(ranges + 12), t.p.pci.pio.base);
	ck_assert_uint_eq(get_be64(ranges + 28 + 4),
			  t.p.pci.segment[0].mmio32.base);
	ck_assert_uint_eq(get_be64(ranges + 56 + 20),
			  t.p.pci.segment[0].mmio64.size_bytes);
	ck_assert_int_eq(fdt_getprop(t.blob, node, "msi-map", NULL) != NULL,
			 !s->gicv2 && !s->no_its);
	map = prop(&t, node, "interrupt-map", 16 * 40);
	for (unsigned i = 0; i < 16; i++, map += 40) {
		ck_assert_uint_eq(get_be32(map), i / 4 << 11);
		ck_assert_uint_eq(get_be32(map + 12), i % 4 + 1);
		ck_assert_uint_eq(get_be32(map + 32),
				  t.p.pci.intx[(i / 4 + i % 4) % 4]);
	}
	tree_free(&t);
}
END_TEST

/* What further segments have, and do not have */
START_TEST(test_segments)
{
	struct tree t;

	tree_make(&t, sample_named("arm-segments"));
	for (unsigned i = 0; i < 3; i++) {
		const struct plat_segment *s = &t.p.pci.segment[i];
		const uint8_t *p;
		char path[64];
		int node;

		snprintf(path, sizeof(path), "/pcie@%" PRIx64, s->ecam.base);
		node = node_at(&t, path);
		p = prop(&t, node, "linux,pci-domain", 4);
		ck_assert_uint_eq(get_be32(p), i);
		p = prop(&t, node, "numa-node-id", 4);
		ck_assert_uint_eq(get_be32(p), s->node);
		p = prop(&t, node, "bus-range", 8);
		ck_assert_uint_eq(get_be32(p + 4), i ? 0 : 255);
		p = prop(&t, node, "msi-map", 16);
		ck_assert_uint_eq(get_be32(p), 0);
		ck_assert_uint_eq(get_be32(p + 8), i * 256);
		ck_assert_uint_eq(get_be32(p + 12), 256);
		p = prop(&t, node, "ranges", i ? 2 * 28 : 3 * 28);
		p += i ? 0 : 28;
		ck_assert_uint_eq(get_be64(p + 12), s->mmio32.base);
		ck_assert_uint_eq(get_be64(p + 20), s->mmio32.size_bytes);
		ck_assert_uint_eq(get_be64(p + 28 + 12), s->mmio64.base);
		ck_assert_int_eq(fdt_getprop(t.blob, node, "interrupt-map",
					     NULL) != NULL,
				 !i);
	}
	tree_free(&t);
}
END_TEST

/* Every device of the description is in the tree, and no other. */
START_TEST(test_devices)
{
	int node, wires = 0, want = 0;
	struct tree t;

	tree_make(&t, sample_nth(true, _i));
	for (unsigned i = 0; i < t.p.dev_count; i++) {
		const struct plat_dev *dev = &t.p.dev[i];
		const uint8_t *p;
		char path[64];

		if (dev->role == PLAT_PCI_HOST)
			continue;
		want++;
		snprintf(path, sizeof(path), "/%s@%" PRIx64, dev->name,
			 dev->range[0].base);
		node = node_at(&t, path);
		p = prop(&t, node, "reg", 16);
		ck_assert_uint_eq(get_be64(p), dev->range[0].base);
		ck_assert_uint_eq(get_be64(p + 8), dev->range[0].size_bytes);
		p = prop(&t, node, "interrupts", 12);
		ck_assert_uint_eq(get_be32(p), 0);
		ck_assert_uint_eq(get_be32(p + 4), dev->irq[0].pin);
		ck_assert_uint_eq(get_be32(p + 8), dev->irq[0].level ? 4 : 1);
	}
	fdt_for_each_subnode(node, t.blob, 0) wires +=
		fdt_getprop(t.blob, node, "reg", NULL) &&
		fdt_getprop(t.blob, node, "interrupts", NULL);
	ck_assert_int_eq(wires, want);
	tree_free(&t);
}
END_TEST

START_TEST(test_console_and_key)
{
	const char *path;
	const uint8_t *p;
	struct tree t;
	int node;

	tree_make(&t, sample_named("arm-1"));
	path = prop(&t, node_at(&t, "/chosen"), "stdout-path", -1);
	ck_assert_str_eq(path, "/serial@9000000");
	ck_assert_str_eq(fdt_get_alias(t.blob, "serial0"), path);
	node = node_at(&t, path);
	p = prop(&t, node, "clocks", 8);
	ck_assert_int_eq(fdt_node_offset_by_phandle(t.blob, get_be32(p)),
			 node_at(&t, "/apb-pclk"));
	ck_assert_mem_eq(prop(&t, node, "clock-names", 17), "uartclk\0apb_pclk",
			 17);
	p = prop(&t, node_at(&t, "/gpio-keys/power"), "gpios", 12);
	ck_assert_int_eq(fdt_node_offset_by_phandle(t.blob, get_be32(p)),
			 node_at(&t, "/gpio@9030000"));
	ck_assert_uint_eq(get_be32(p + 4), 3);
	tree_free(&t);
	tree_make(&t, sample_named("arm-bare"));
	ck_assert_int_lt(fdt_path_offset(t.blob, "/gpio-keys"), 0);
	ck_assert_int_lt(fdt_path_offset(t.blob, "/aliases"), 0);
	ck_assert_int_lt(fdt_path_offset(t.blob, "/apb-pclk"), 0);
	tree_free(&t);
}
END_TEST

START_TEST(test_ids)
{
	const uint8_t *p;
	struct tree t;
	int node;

	tree_make(&t, sample_named("arm-ids"));
	node = node_at(&t, "/vmgenid@8123450000");
	ck_assert_str_eq(prop(&t, node, "compatible", -1), "microsoft,vmgenid");
	p = prop(&t, node, "interrupts", 12);
	ck_assert_uint_eq(get_be32(p + 4), 8);
	ck_assert_uint_eq(get_be32(p + 8), 1); /* rising edge */
	node = node_at(&t, "/ptp@8123600000");
	ck_assert_str_eq(prop(&t, node, "compatible", -1), "amazon,vmclock");
	p = prop(&t, node, "interrupts", 12);
	ck_assert_uint_eq(get_be32(p + 4), 9);
	ck_assert_uint_eq(get_be32(p + 8), 1);
	tree_free(&t);
}
END_TEST

/* A controller that brings its own cells is not given them twice. */
START_TEST(test_gpio_own_cells)
{
	struct tree t = { .blob = NULL };
	struct diag d = DIAG_INIT;
	struct plat_dev *dev;
	struct tool tool;

	sample_make(&t.p, sample_named("arm-1"));
	for (dev = t.p.dev; dev->role != PLAT_POWER_GPIO; dev++)
		;
	dev->prop[dev->prop_count++] =
		(struct plat_prop){ "gpio-controller", PROP_FLAG, 0, NULL };
	dev->prop[dev->prop_count++] =
		(struct plat_prop){ "#gpio-cells", PROP_U32, 2, NULL };
	ck_assert_int_eq(fdt_build(&t.blob, &t.size, &t.p, &no_boot, &d), 0);
	tool_open(&tool);
	tool_write(&tool, "t.dtb", t.blob, t.size);
	tool_run(&tool, "dtc -I dtb -O dts -o /dev/null t.dtb");
	ck_assert_str_eq(tool.said, "");
	tool_close(&tool);
	tree_free(&t);
}
END_TEST

START_TEST(test_chosen)
{
	struct fdt_boot boot = { .cmdline = "root=/dev/vda",
				 .initrd = GPA(0x148000000),
				 .initrd_bytes = 0x1234567,
				 .seeded = true,
				 .rng_seed = { 1, 2, 3 },
				 .kaslr_seed = 0x1122334455667788 };
	struct tree t = { .blob = NULL };
	struct diag d = DIAG_INIT;
	int node;

	sample_make(&t.p, sample_named("arm-1"));
	ck_assert_int_eq(fdt_build(&t.blob, &t.size, &t.p, &boot, &d), 0);
	node = node_at(&t, "/chosen");
	ck_assert_str_eq(prop(&t, node, "bootargs", -1), "root=/dev/vda");
	ck_assert_uint_eq(get_be64(prop(&t, node, "linux,initrd-start", 8)),
			  0x148000000);
	ck_assert_uint_eq(get_be64(prop(&t, node, "linux,initrd-end", 8)),
			  0x148000000 + 0x1234567);
	ck_assert_mem_eq(prop(&t, node, "rng-seed", FDT_SEED_BYTES),
			 boot.rng_seed, FDT_SEED_BYTES);
	ck_assert_uint_eq(get_be64(prop(&t, node, "kaslr-seed", 8)),
			  boot.kaslr_seed);
	tree_free(&t);
	tree_make(&t, sample_named("arm-1"));
	node = node_at(&t, "/chosen");
	ck_assert_ptr_null(fdt_getprop(t.blob, node, "bootargs", NULL));
	ck_assert_ptr_null(
		fdt_getprop(t.blob, node, "linux,initrd-start", NULL));
	ck_assert_ptr_null(fdt_getprop(t.blob, node, "rng-seed", NULL));
	tree_free(&t);
}
END_TEST

/* Long command lines: as long as the tree stays below 2 MiB */
START_TEST(test_long_cmdline)
{
	static const struct {
		size_t len;
		int err;
	} cases[] = { { 100000, 0 },
		      { MIB(2) - 8192, 0 },
		      { MIB(2), -E2BIG },
		      { MIB(5), -E2BIG } };
	char *text = malloc(cases[_i].len + 1);
	struct fdt_boot boot = { .cmdline = text };
	struct tree t = { .blob = NULL };
	struct diag d = DIAG_INIT;

	memset(text, 'x', cases[_i].len);
	text[cases[_i].len] = '\0';
	sample_make(&t.p, sample_named("arm-1"));
	ck_assert_int_eq(fdt_build(&t.blob, &t.size, &t.p, &boot, &d),
			 cases[_i].err);
	if (cases[_i].err)
		ck_assert_ptr_nonnull(strstr(d.text[0], "command line"));
	else
		ck_assert_uint_le(t.size, MIB(2));
	free(text);
	tree_free(&t);
}
END_TEST

static void no_cpu(struct platform *p)
{
	p->cpu_enabled = 0;
}

static void cpu_order(struct platform *p)
{
	struct plat_cpu c = p->cpu[1];

	p->cpu[1] = p->cpu[2];
	p->cpu[2] = c;
}

static void cpu_twice(struct platform *p)
{
	p->cpu[1] = p->cpu[0];
}

static void apic(struct platform *p)
{
	p->intc.kind = INTC_APIC;
}

static void ports(struct platform *p)
{
	p->dev[1].range[0].bus = PLAT_PIO;
}

static void no_registers(struct platform *p)
{
	p->dev[1].range_count = 0;
}

static void small_ecam(struct platform *p)
{
	p->pci.segment[0].ecam.size_bytes = MIB(255);
}

static void no_bus(struct platform *p)
{
	p->pci.segment[0].bus_count = 0;
}

static const struct mistake {
	void (*make)(struct platform *p);
	const char *says;
} mistakes[] = {
	{ no_cpu, "0 of 8 CPUs" },	   { cpu_order, "topology" },
	{ cpu_twice, "topology" },	   { apic, "GIC" },
	{ ports, "serial has I/O ports" }, { no_registers, "console serial" },
	{ small_ecam, "256 PCI buses" },   { no_bus, "0 PCI buses" },
};

START_TEST(test_mistakes)
{
	uint8_t *blob = NULL;
	struct diag d = DIAG_INIT;
	struct platform p;
	size_t size = 7;

	sample_make(&p, sample_named("arm-4x2"));
	mistakes[_i].make(&p);
	ck_assert_int_eq(fdt_build(&blob, &size, &p, &no_boot, &d), -EINVAL);
	ck_assert_msg(strstr(d.text[0], mistakes[_i].says) != NULL, "%s",
		      d.text[0]);
	ck_assert_ptr_null(blob);
	ck_assert_uint_eq(size, 7);
	platform_release(&p);
}
END_TEST

START_TEST(test_arm64_tables)
{
	struct arch_tables a = { .count = 0 }, b = a, c = a, e = a;
	struct diag d = DIAG_INIT;
	struct platform p;

	sample_make(&p, sample_named("arm-1"));
	ck_assert_int_eq(arm64_tables(&a, &p, NULL, GPA(0), 0, &d), 0);
	ck_assert_int_eq(arm64_tables(&b, &p, NULL, GPA(0), 0, &d), 0);
	ck_assert_int_eq(arm64_tables(&c, &p, "", GPA(0), 0, &d), 0);
	ck_assert_int_eq(arm64_tables(&e, &p, "", GPA(0), 0, &d), 0);
	ck_assert_uint_eq(a.count, 1);
	ck_assert_str_eq(a.table[0].name, "virt.dtb");
	ck_assert_uint_eq(a.table[0].gpa.v, 0);
	ck_assert_uint_eq(a.table[0].size_bytes, b.table[0].size_bytes);
	ck_assert_mem_eq(a.table[0].data, b.table[0].data,
			 a.table[0].size_bytes);
	/* seeds are never used twice */
	ck_assert_uint_eq(c.table[0].size_bytes, e.table[0].size_bytes);
	ck_assert_mem_ne(c.table[0].data, e.table[0].data,
			 c.table[0].size_bytes);
	arch_tables_release(&a);
	arch_tables_release(&b);
	arch_tables_release(&c);
	arch_tables_release(&e);
	platform_release(&p);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("fdt");
	TCase *t = tcase_create("fdt");
	int n = sample_count(true);

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, test_well_formed, 0, n);
	tcase_add_loop_test(t, test_dtc, 0, n);
	tcase_add_loop_test(t, test_dtc_sees_damage, 0, ARRAY_SIZE(damages));
	tcase_add_test(t, test_libfdt_sees_damage);
	tcase_add_loop_test(t, test_cpus, 0, n);
	tcase_add_loop_test(t, test_caches, 0, n);
	tcase_add_test(t, test_cache_sizes);
	tcase_add_loop_test(t, test_cpu_map, 0, n);
	tcase_add_test(t, test_wide_mpidr);
	tcase_add_loop_test(t, test_memory, 0, n);
	tcase_add_test(t, test_memory_ranges);
	tcase_add_test(t, test_numa);
	tcase_add_test(t, test_numa_most);
	tcase_add_loop_test(t, test_gic, 0, n);
	tcase_add_loop_test(t, test_ppi, 0, 2);
	tcase_add_loop_test(t, test_pci, 0, n);
	tcase_add_test(t, test_segments);
	tcase_add_loop_test(t, test_devices, 0, n);
	tcase_add_test(t, test_console_and_key);
	tcase_add_test(t, test_ids);
	tcase_add_test(t, test_gpio_own_cells);
	tcase_add_test(t, test_chosen);
	tcase_add_loop_test(t, test_long_cmdline, 0, 4);
	tcase_add_loop_test(t, test_mistakes, 0, ARRAY_SIZE(mistakes));
	tcase_add_test(t, test_arm64_tables);
	suite_add_tcase(s, t);
	return suite_run(s);
}
