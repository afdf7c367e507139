/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: the device tree of a machine: see fdt.h
 *
 * Nodes are written in one pass. Phandles are fixed numbers, so that a node
 * can be referred to before it is there. Interrupt specifiers follow the
 * GIC binding: SPIs are numbered from 0, PPIs from 0 (INTID less 16).
 *
 * Not implemented: reserved memory, CPU hot-plug (a device tree cannot express
 * it).
 */
#include "firmware/fdt.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "vmm/base/bytes.h"

#include "firmware/efi.h"
#include "firmware/fdt-write.h"

enum phandle {
	PH_GIC = 1,
	PH_ITS,
	PH_CLOCK,
	PH_GPIO,
	PH_CPU0,	     /* and upward, CPUS_MAX of them */
	PH_CACHE0 = 0x10000, /* and upward: CACHE_LEVELS for each CPU */
};

/* GIC interrupt specifier (arm,gic-v3.yaml) */
enum { GIC_SPI, GIC_PPI };
enum { IRQ_EDGE_RISING = 1, IRQ_LEVEL_HIGH = 4 };

#define GICV2_CPUS_MAX 8
#define CPUS_MAX       4096

/* PPIs that Arm's Base System Architecture assigns, less 16 */
#define PPI_PMU 7
enum { PPI_HYP_TIMER = 10, PPI_VIRT_TIMER, PPI_SECURE_TIMER = 13, PPI_TIMER };

#define APB_CLOCK_HZ	 24000000
#define DISTANCE_BYTES	 12
#define POWER_KEY_LINE	 3
#define KEY_POWER	 116
#define BYTES_PER_BUS	 MIB(1)
#define MPIDR_AFF	 UINT64_C(0xff00ffffff)
#define MPIDR_AFF3_SHIFT 32

/* PCI bus binding (IEEE 1275): address space in the first of three cells. The
 * 64-bit window says "prefetchable": Linux takes a window that is not to be
 * below 4 GiB in size and complains. edk2 then ignores it and uses the other.
 */
enum {
	PCI_SPACE_IO = 0x01000000,
	PCI_SPACE_MEM32 = 0x02000000,
	PCI_SPACE_MEM64 = 0x43000000
};

static void reg_add(struct fdtw_list *l, const struct plat_range *r)
{
	fdtw_add64(l, r->base);
	fdtw_add64(l, r->size_bytes);
}

static void put_reg(struct fdtw *w, const struct plat_range *r, unsigned count)
{
	struct fdtw_list l = { .count = 0 };

	for (unsigned i = 0; i < count; i++)
		reg_add(&l, &r[i]);
	fdtw_cells(w, "reg", &l);
}

/* A property's string list: strings separated by NUL, ended by an empty one. */
static void put_list(struct fdtw *w, const char *name, const char *list)
{
	const char *end = list;

	while (*end)
		end += strlen(end) + 1;
	fdtw_bytes(w, name, list, (size_t)(end - list));
}

static void put_irqs(struct fdtw *w, const struct plat_irq *irq, unsigned count)
{
	struct fdtw_list l = { .count = 0 };

	for (unsigned i = 0; i < count; i++) {
		fdtw_add(&l, GIC_SPI);
		fdtw_add(&l, irq[i].pin);
		fdtw_add(&l, irq[i].level ? IRQ_LEVEL_HIGH : IRQ_EDGE_RISING);
	}
	if (count)
		fdtw_cells(w, "interrupts", &l);
}

/* GICv2 wants the CPUs that have the PPI in bits 15:8. */
static void ppi_add(struct fdtw_list *l, const struct platform *p, uint32_t ppi)
{
	uint32_t cpus = 0;

	if (p->intc.kind == INTC_GICV2)
		cpus = ((1u << MIN(p->cpu_enabled, GICV2_CPUS_MAX)) - 1) << 8;
	fdtw_add(l, GIC_PPI);
	fdtw_add(l, ppi);
	fdtw_add(l, cpus | IRQ_LEVEL_HIGH);
}

/* ---- processors ---- */

static bool wide_mpidr(const struct platform *p)
{
	for (unsigned i = 0; i < p->cpu_enabled; i++)
		if (p->cpu[i].hw_id & MPIDR_AFF & ~UINT64_C(0xffffffff))
			return true;
	return false;
}

static uint32_t cache_phandle(const struct platform *p, unsigned cpu,
			      unsigned level)
{
	return PH_CACHE0 + platform_cache_owner(p, cpu, level) * CACHE_LEVELS +
	       level - 1;
}

/* Devicetree Specification 0.4 sec. 3.8.4; @prefix: "i-", "d-" or "". Of
 * separate caches a size of 0 says that they are there and how large is not
 * known. */
static void put_shape(struct fdtw *w, const char *prefix,
		      const struct cache_shape *c)
{
	const struct {
		const char *name;
		uint32_t value;
	} props[] = {
		{ "cache-size", c->size_bytes },
		{ "cache-line-size", c->line_bytes },
		{ "cache-sets", c->sets },
	};
	char name[24];

	for (unsigned i = 0; i < ARRAY_SIZE(props); i++) {
		snprintf(name, sizeof(name), "%s%s", prefix, props[i].name);
		if (props[i].value || (*prefix && !i))
			fdtw_u32(w, name, props[i].value);
	}
}

static void put_cache(struct fdtw *w, const struct platform *p, unsigned cpu,
		      unsigned level)
{
	enum cache_type type = platform_cache_type(p, level);
	const struct cache_level *c = &p->cache[level - 1];

	if (type == CACHE_CODE || type == CACHE_SEPARATE)
		put_shape(w, "i-", &c->code);
	if (type == CACHE_DATA || type == CACHE_SEPARATE)
		put_shape(w, "d-", &c->data);
	if (type == CACHE_UNIFIED) {
		fdtw_flag(w, "cache-unified");
		put_shape(w, "", &c->data);
	}
	if (level < platform_cache_levels(p))
		fdtw_u32(w, "next-level-cache",
			 cache_phandle(p, cpu, level + 1));
}

/* The outer caches that @cpu is the first one to share */
static void put_outer_caches(struct fdtw *w, const struct platform *p,
			     unsigned cpu)
{
	for (unsigned level = 2; level <= platform_cache_levels(p); level++) {
		if (platform_cache_owner(p, cpu, level) != cpu)
			continue;
		fdtw_begin(w, "l%u-cache", level);
		fdtw_text(w, "compatible", "cache");
		fdtw_u32(w, "cache-level", level);
		put_cache(w, p, cpu, level);
		fdtw_u32(w, "phandle", cache_phandle(p, cpu, level));
		fdtw_end(w);
	}
}

/* Linux takes the levels from CLIDR_EL1 and then wants a node for each. */
static void put_caches(struct fdtw *w, const struct platform *p, unsigned cpu)
{
	if (!platform_cache_levels(p))
		return;
	put_cache(w, p, cpu, 1);
	put_outer_caches(w, p, cpu);
}

/* numa.txt: of CPUs, memory and host bridges */
static void put_node_id(struct fdtw *w, const struct platform *p, uint32_t node)
{
	if (p->numa)
		fdtw_u32(w, "numa-node-id", node);
}

static void put_cpu(struct fdtw *w, const struct platform *p, unsigned i,
		    bool wide)
{
	uint64_t mpidr = p->cpu[i].hw_id & MPIDR_AFF;

	if (wide)
		fdtw_begin(w, "cpu@%" PRIx64 ",%" PRIx64,
			   mpidr >> MPIDR_AFF3_SHIFT, mpidr & 0xffffff);
	else
		fdtw_begin(w, "cpu@%" PRIx64, mpidr);
	fdtw_text(w, "device_type", "cpu");
	fdtw_text(w, "compatible", "arm,armv8");
	if (wide)
		fdtw_u64(w, "reg", mpidr);
	else
		fdtw_u32(w, "reg", (uint32_t)mpidr);
	fdtw_text(w, "enable-method", "psci");
	fdtw_u32(w, "phandle", PH_CPU0 + i);
	put_node_id(w, p, p->cpu[i].node);
	put_caches(w, p, i);
	fdtw_end(w);
}

/* cpu-map (cpu-topology.txt) nests sockets, clusters, cores and, where there
 * are several to a core, threads. Open the levels in which @c differs. */
static void open_levels(struct fdtw *w, const struct plat_cpu *c,
			unsigned level, bool threads)
{
	if (level <= 0)
		fdtw_begin(w, "socket%u", c->package);
	if (level <= 1)
		fdtw_begin(w, "cluster%u", c->die);
	if (level <= 2)
		fdtw_begin(w, "core%u", c->core);
	if (threads)
		fdtw_begin(w, "thread%u", c->thread);
}

static void close_levels(struct fdtw *w, unsigned level)
{
	for (; level <= 2; level++)
		fdtw_end(w);
}

/* The outermost level in which @a and @b differ: 0 package, 1 die, 2 core,
 * 3 thread; 4 if they are the same */
static unsigned differ(const struct plat_cpu *a, const struct plat_cpu *b)
{
	const uint32_t at[] = { a->package, a->die, a->core, a->thread };
	const uint32_t bt[] = { b->package, b->die, b->core, b->thread };
	unsigned level = 0;

	while (level < ARRAY_SIZE(at) && at[level] == bt[level])
		level++;
	return level;
}

static void put_cpu_map(struct fdtw *w, const struct platform *p)
{
	bool threads = p->topology.threads_per_core > 1;

	fdtw_begin(w, "cpu-map");
	for (unsigned i = 0; i < p->cpu_enabled; i++) {
		const struct plat_cpu *c = &p->cpu[i];
		unsigned level = i ? differ(c, c - 1) : 0;

		if (i)
			close_levels(w, level);
		open_levels(w, c, level, threads);
		fdtw_u32(w, "cpu", PH_CPU0 + i);
		if (threads)
			fdtw_end(w);
	}
	close_levels(w, 0);
	fdtw_end(w);
}

static void put_cpus(struct fdtw *w, const struct platform *p)
{
	bool wide = wide_mpidr(p);

	fdtw_begin(w, "cpus");
	fdtw_u32(w, "#address-cells", wide ? 2 : 1);
	fdtw_u32(w, "#size-cells", 0);
	for (unsigned i = 0; i < p->cpu_enabled; i++)
		put_cpu(w, p, i, wide);
	put_cpu_map(w, p);
	fdtw_end(w);
}

static void put_psci(struct fdtw *w)
{
	fdtw_begin(w, "psci");
	put_list(w, "compatible", "arm,psci-1.0\0arm,psci-0.2\0");
	fdtw_text(w, "method", "hvc");
	fdtw_end(w);
}

/* always-on: without it Linux thinks that the timer stops in idle states and
 * looks for another one to wake up by. */
static void put_timer(struct fdtw *w, const struct platform *p)
{
	static const uint32_t ppi[] = { PPI_SECURE_TIMER, PPI_TIMER,
					PPI_VIRT_TIMER, PPI_HYP_TIMER };
	struct fdtw_list l = { .count = 0 };

	fdtw_begin(w, "timer");
	fdtw_text(w, "compatible", "arm,armv8-timer");
	for (unsigned i = 0; i < ARRAY_SIZE(ppi); i++)
		ppi_add(&l, p, ppi[i]);
	fdtw_cells(w, "interrupts", &l);
	fdtw_flag(w, "always-on");
	fdtw_end(w);
}

static void put_pmu(struct fdtw *w, const struct platform *p)
{
	struct fdtw_list l = { .count = 0 };

	if (!p->intc.pmu)
		return;
	fdtw_begin(w, "pmu");
	fdtw_text(w, "compatible", "arm,armv8-pmuv3");
	ppi_add(&l, p, PPI_PMU);
	fdtw_cells(w, "interrupts", &l);
	fdtw_end(w);
}

/* ---- RAM ---- */

static void put_memory(struct fdtw *w, const struct platform *p)
{
	struct plat_range ram;
	unsigned next = 0;
	uint32_t node;

	while (platform_memory(p, &next, &ram, &node)) {
		fdtw_begin(w, "memory@%" PRIx64, ram.base);
		fdtw_text(w, "device_type", "memory");
		put_reg(w, &ram, 1);
		put_node_id(w, p, node);
		fdtw_end(w);
	}
}

/* Triples: from a node, to a node, how far */
static void put_distances(struct fdtw *w, const struct plat_numa *numa)
{
	uint32_t n = numa->node_count;
	uint8_t *at;

	fdtw_begin(w, "distance-map");
	fdtw_text(w, "compatible", "numa-distance-map-v1");
	at = fdtw_room(w, "distance-matrix", (size_t)n * n * DISTANCE_BYTES);
	for (uint32_t i = 0; at && i < n; i++)
		for (uint32_t j = 0; j < n; j++, at += DISTANCE_BYTES) {
			put_be32(at, i);
			put_be32(at + 4, j);
			put_be32(at + 8, numa->link[i][j].distance);
		}
	fdtw_end(w);
}

/* ---- interrupt controller ---- */

static void put_its(struct fdtw *w, const struct plat_range *its)
{
	if (!its->size_bytes)
		return;
	fdtw_begin(w, "msi-controller@%" PRIx64, its->base);
	fdtw_text(w, "compatible", "arm,gic-v3-its");
	put_reg(w, its, 1);
	fdtw_flag(w, "msi-controller");
	fdtw_u32(w, "#msi-cells", 1);
	fdtw_u32(w, "phandle", PH_ITS);
	fdtw_end(w);
}

static void put_gic_regs(struct fdtw *w, const struct plat_intc *gic)
{
	struct fdtw_list l = { .count = 0 };

	reg_add(&l, &gic->dist);
	if (gic->kind == INTC_GICV2)
		reg_add(&l, &gic->cpu_if);
	for (unsigned i = 0; i < gic->redist_count; i++)
		reg_add(&l, &gic->redist[i]);
	fdtw_cells(w, "reg", &l);
	if (gic->redist_count > 1)
		fdtw_u32(w, "#redistributor-regions", gic->redist_count);
}

static void put_gic(struct fdtw *w, const struct plat_intc *gic)
{
	fdtw_begin(w, "interrupt-controller@%" PRIx64, gic->dist.base);
	fdtw_text(w, "compatible",
		  gic->kind == INTC_GICV3 ? "arm,gic-v3"
					  : "arm,cortex-a15-gic");
	put_gic_regs(w, gic);
	fdtw_flag(w, "interrupt-controller");
	fdtw_u32(w, "#interrupt-cells", 3);
	fdtw_u32(w, "#address-cells", 2);
	fdtw_u32(w, "#size-cells", 2);
	fdtw_flag(w, "ranges");
	fdtw_u32(w, "phandle", PH_GIC);
	put_its(w, &gic->its);
	fdtw_end(w);
}

/* ---- PCI host bridge ---- */

static void window_add(struct fdtw_list *l, uint32_t space, uint64_t pci,
		       const struct plat_range *r)
{
	if (!r->size_bytes)
		return;
	fdtw_add(l, space);
	fdtw_add64(l, pci);
	reg_add(l, r);
}

static void put_pci_windows(struct fdtw *w, const struct plat_pci *pci,
			    unsigned segment)
{
	const struct plat_segment *s = &pci->segment[segment];
	struct fdtw_list l = { .count = 0 };

	if (!segment)
		window_add(&l, PCI_SPACE_IO, 0, &pci->pio);
	window_add(&l, PCI_SPACE_MEM32, s->mmio32.base, &s->mmio32);
	window_add(&l, PCI_SPACE_MEM64, s->mmio64.base, &s->mmio64);
	fdtw_cells(w, "ranges", &l);
}

/* Pins rotate from slot to slot, so four slots show the whole pattern. */
static void put_intx(struct fdtw *w, const struct plat_pci *pci)
{
	static const struct fdtw_list mask = { { 3 << 11, 0, 0, 7 }, 4, false };
	struct fdtw_list l = { .count = 0 };

	if (!pci->intx_present)
		return;
	for (uint32_t slot = 0; slot < 4; slot++) {
		for (uint32_t pin = 0; pin < 4; pin++) {
			fdtw_add(&l, slot << 11);
			fdtw_add64(&l, 0);
			fdtw_add(&l, pin + 1);
			fdtw_add(&l, PH_GIC);
			fdtw_add64(&l, 0); /* the GIC's unit address */
			fdtw_add(&l, GIC_SPI);
			fdtw_add(&l, pci->intx[(slot + pin) % 4]);
			fdtw_add(&l, IRQ_LEVEL_HIGH);
		}
	}
	fdtw_u32(w, "#interrupt-cells", 1);
	fdtw_cells(w, "interrupt-map-mask", &mask);
	fdtw_cells(w, "interrupt-map", &l);
}

static void put_pci(struct fdtw *w, const struct platform *p, unsigned segment)
{
	const struct plat_segment *s = &p->pci.segment[segment];
	const struct fdtw_list bus = { { 0, s->bus_count - 1 }, 2, false };
	const struct fdtw_list msi = { { 0, PH_ITS, segment * PLAT_SEGMENT_IDS,
					 platform_msi_ids(p) },
				       4,
				       false };

	fdtw_begin(w, "pcie@%" PRIx64, s->ecam.base);
	fdtw_text(w, "compatible", "pci-host-ecam-generic");
	fdtw_text(w, "device_type", "pci");
	put_reg(w, &s->ecam, 1);
	fdtw_u32(w, "#address-cells", 3);
	fdtw_u32(w, "#size-cells", 2);
	fdtw_cells(w, "bus-range", &bus);
	fdtw_u32(w, "linux,pci-domain", segment);
	put_node_id(w, p, s->node);
	fdtw_flag(w, "dma-coherent");
	put_pci_windows(w, &p->pci, segment);
	if (p->intc.its.size_bytes)
		fdtw_cells(w, "msi-map", &msi);
	if (!segment)
		put_intx(w, &p->pci);
	fdtw_end(w);
}

/* ---- devices ---- */

/* The clock that PrimeCell devices refuse to work without */
static void put_clock(struct fdtw *w)
{
	fdtw_begin(w, "apb-pclk");
	fdtw_text(w, "compatible", "fixed-clock");
	fdtw_u32(w, "#clock-cells", 0);
	fdtw_u32(w, "clock-frequency", APB_CLOCK_HZ);
	fdtw_text(w, "clock-output-names", "clk24mhz");
	fdtw_u32(w, "phandle", PH_CLOCK);
	fdtw_end(w);
}

static void put_clock_refs(struct fdtw *w, const struct plat_prop *prop)
{
	struct fdtw_list l = { .count = 0 };
	const char *end = prop->str;

	for (uint32_t i = 0; i < prop->u32; i++) {
		fdtw_add(&l, PH_CLOCK);
		end += strlen(end) + 1;
	}
	fdtw_cells(w, "clocks", &l);
	fdtw_bytes(w, "clock-names", prop->str, (size_t)(end - prop->str));
}

static void put_prop(struct fdtw *w, const struct plat_prop *prop)
{
	switch (prop->kind) {
	case PROP_FLAG:
		fdtw_flag(w, prop->name);
		break;
	case PROP_U32:
		fdtw_u32(w, prop->name, prop->u32);
		break;
	case PROP_CLOCK:
		put_clock_refs(w, prop);
		break;
	}
}

static bool has_prop(const struct plat_dev *dev, const char *name)
{
	for (unsigned i = 0; i < dev->prop_count; i++)
		if (dev->prop[i].name && !strcmp(dev->prop[i].name, name))
			return true;
	return false;
}

/* What a GPIO controller needs so that the power key can refer to it */
static void put_gpio_role(struct fdtw *w, const struct plat_dev *dev)
{
	if (!has_prop(dev, "gpio-controller"))
		fdtw_flag(w, "gpio-controller");
	if (!has_prop(dev, "#gpio-cells"))
		fdtw_u32(w, "#gpio-cells", 2);
	fdtw_u32(w, "phandle", PH_GPIO);
}

static bool in_tree(const struct plat_dev *dev)
{
	return dev->compatible && dev->role != PLAT_PCI_HOST;
}

static void put_dev(struct fdtw *w, const struct plat_dev *dev)
{
	if (dev->range_count)
		fdtw_begin(w, "%s@%" PRIx64, dev->name, dev->range[0].base);
	else
		fdtw_begin(w, "%s", dev->name);
	put_list(w, "compatible", dev->compatible);
	if (dev->range_count)
		put_reg(w, dev->range, dev->range_count);
	put_irqs(w, dev->irq, dev->irq_count);
	for (unsigned i = 0; i < dev->prop_count; i++)
		put_prop(w, &dev->prop[i]);
	if (dev->role == PLAT_POWER_GPIO)
		put_gpio_role(w, dev);
	fdtw_end(w);
}

static void put_power_key(struct fdtw *w, const struct platform *p)
{
	static const struct fdtw_list gpio = { { PH_GPIO, POWER_KEY_LINE, 0 },
					       3,
					       false };
	const struct plat_dev *dev = platform_find(p, PLAT_POWER_GPIO);

	if (!dev || !in_tree(dev))
		return;
	fdtw_begin(w, "gpio-keys");
	fdtw_text(w, "compatible", "gpio-keys");
	fdtw_begin(w, "power");
	fdtw_text(w, "label", "Power button");
	fdtw_u32(w, "linux,code", KEY_POWER);
	fdtw_cells(w, "gpios", &gpio);
	fdtw_end(w);
	fdtw_end(w);
}

static void put_devices(struct fdtw *w, const struct platform *p)
{
	bool clock = false;

	for (unsigned i = 0; i < p->dev_count; i++)
		for (unsigned j = 0; j < p->dev[i].prop_count; j++)
			clock |= p->dev[i].prop[j].kind == PROP_CLOCK;
	if (clock)
		put_clock(w);
	for (unsigned i = 0; i < p->dev_count; i++)
		if (in_tree(&p->dev[i]))
			put_dev(w, &p->dev[i]);
	put_power_key(w, p);
}

/* ---- what the kernel is told ---- */

static bool console_path(const struct platform *p, char *path, size_t size)
{
	const struct plat_dev *dev = platform_find(p, PLAT_CONSOLE);
	int n;

	if (!dev || !in_tree(dev))
		return false;
	n = snprintf(path, size, "/%s@%" PRIx64, dev->name, dev->range[0].base);
	return n > 0 && (size_t)n < size;
}

static void put_aliases(struct fdtw *w, const char *console)
{
	fdtw_begin(w, "aliases");
	fdtw_text(w, "serial0", console);
	fdtw_end(w);
}

/* Linux, Documentation/arch/arm/uefi.rst. The last one is of Debian's kernels,
 * which drop EFI if it is missing (enum efi_secureboot_mode of linux/efi.h). */
#define SECURE_BOOT_DISABLED 2

static void put_efi(struct fdtw *w, const struct fdt_boot *boot)
{
	fdtw_u64(w, "linux,uefi-system-table", boot->efi_system_table.v);
	fdtw_u64(w, "linux,uefi-mmap-start", boot->efi_memmap.v);
	fdtw_u32(w, "linux,uefi-mmap-size", boot->efi_memmap_bytes);
	fdtw_u32(w, "linux,uefi-mmap-desc-size", EFI_DESCRIPTOR_BYTES);
	fdtw_u32(w, "linux,uefi-mmap-desc-ver", EFI_DESCRIPTOR_VERSION);
	fdtw_u32(w, "linux,uefi-secure-boot", SECURE_BOOT_DISABLED);
}

static void put_chosen(struct fdtw *w, const struct fdt_boot *boot,
		       const char *console)
{
	fdtw_begin(w, "chosen");
	if (boot->cmdline)
		fdtw_text(w, "bootargs", boot->cmdline);
	if (boot->initrd_bytes) {
		fdtw_u64(w, "linux,initrd-start", boot->initrd.v);
		fdtw_u64(w, "linux,initrd-end",
			 boot->initrd.v + boot->initrd_bytes);
	}
	if (console)
		fdtw_text(w, "stdout-path", console);
	if (boot->efi_memmap_bytes)
		put_efi(w, boot);
	if (boot->seeded) {
		fdtw_bytes(w, "rng-seed", boot->rng_seed,
			   sizeof(boot->rng_seed));
		fdtw_u64(w, "kaslr-seed", boot->kaslr_seed);
	}
	fdtw_end(w);
}

static void put_root(struct fdtw *w, const struct platform *p,
		     const struct fdt_boot *boot)
{
	char console[64];
	bool found = console_path(p, console, sizeof(console));

	fdtw_text(w, "compatible", "linux,dummy-virt");
	fdtw_text(w, "model", "Spandrel");
	fdtw_u32(w, "#address-cells", 2);
	fdtw_u32(w, "#size-cells", 2);
	fdtw_u32(w, "interrupt-parent", PH_GIC);
	put_chosen(w, boot, found ? console : NULL);
	if (found)
		put_aliases(w, console);
	put_cpus(w, p);
	put_psci(w);
	put_memory(w, p);
	if (p->numa)
		put_distances(w, p->numa);
	put_gic(w, &p->intc);
	put_timer(w, p);
	put_pmu(w, p);
	for (unsigned i = 0; i < p->pci.segment_count; i++)
		put_pci(w, p, i);
	put_devices(w, p);
}

/* What Linux takes for no device tree at all (arch/arm64/kernel/acpi.c) */
static void put_stub(struct fdtw *w, const struct fdt_boot *boot)
{
	fdtw_u32(w, "#address-cells", 2);
	fdtw_u32(w, "#size-cells", 2);
	put_chosen(w, boot, NULL);
}

/* ---- checks ---- */

static int check_cpus(const struct platform *p, struct diag *d)
{
	if (!p->cpu_enabled || p->cpu_enabled > p->cpu_count ||
	    p->cpu_enabled > CPUS_MAX)
		return diag_fail(d, EINVAL,
				 "device tree: %u of %u CPUs at boot: 1 to %d",
				 p->cpu_enabled, p->cpu_count, CPUS_MAX);
	for (unsigned i = 1; i < p->cpu_enabled; i++) {
		const struct plat_cpu *a = &p->cpu[i - 1], *b = &p->cpu[i];
		unsigned level = differ(a, b);
		bool rises = level == 0	  ? b->package > a->package
			     : level == 1 ? b->die > a->die
			     : level == 2 ? b->core > a->core
			     : level == 3 ? b->thread > a->thread
					  : false;

		if (!rises)
			return diag_fail(d, EINVAL,
					 "device tree: CPU %u comes before CPU "
					 "%u in the topology",
					 i, i - 1);
	}
	return 0;
}

static int check_dev(const struct plat_dev *dev, struct diag *d)
{
	if (dev->role == PLAT_CONSOLE && !dev->range_count)
		return diag_fail(d, EINVAL,
				 "device tree: console %s has no registers",
				 dev->name);
	for (unsigned i = 0; i < dev->range_count; i++)
		if (dev->range[i].bus != PLAT_MMIO)
			return diag_fail(d, EINVAL,
					 "device tree: %s has I/O ports, which "
					 "this machine does not",
					 dev->name);
	return 0;
}

static int check(const struct platform *p, struct diag *d)
{
	int err = check_cpus(p, d);

	if (p->intc.kind != INTC_GICV3 && p->intc.kind != INTC_GICV2)
		return diag_fail(d, EINVAL,
				 "device tree: %s has no GIC: only arm64 "
				 "machines get a device tree",
				 p->arch);
	for (unsigned i = 0; i < p->pci.segment_count; i++) {
		const struct plat_segment *s = &p->pci.segment[i];

		if (s->bus_count &&
		    s->bus_count * BYTES_PER_BUS <= s->ecam.size_bytes)
			continue;
		return diag_fail(d, EINVAL,
				 "device tree: %u PCI buses do not fit into "
				 "%" PRIu64 " bytes of ECAM",
				 s->bus_count, s->ecam.size_bytes);
	}
	for (unsigned i = 0; !err && i < p->dev_count; i++)
		if (in_tree(&p->dev[i]))
			err = check_dev(&p->dev[i], d);
	return err;
}

/* Room for any tree of @p with devices as they are; libfdt clears all of the
 * buffer, so the limit itself would cost a millisecond. */
static size_t guess(const struct platform *p, const struct fdt_boot *boot)
{
	size_t text = boot->cmdline ? strlen(boot->cmdline) : 0;
	size_t nodes = p->numa ? p->numa->node_count : 0;
	size_t room = 4096 +
		      (256 + (size_t)192 * platform_cache_levels(p)) *
			      (size_t)p->cpu_enabled +
		      512 * (size_t)(p->dev_count + p->pci.segment_count) +
		      128 * (size_t)p->part_count +
		      DISTANCE_BYTES * nodes * nodes;

	return text < FDT_LIMIT_BYTES - room ? room + text : FDT_LIMIT_BYTES;
}

static int write_tree(uint8_t **blob, size_t *size_bytes, size_t room_bytes,
		      const struct platform *p, const struct fdt_boot *boot)
{
	struct fdtw w;
	int err = fdtw_init(&w, room_bytes);

	if (err)
		return err;
	if (boot->efi_memmap_bytes)
		put_stub(&w, boot);
	else
		put_root(&w, p, boot);
	return fdtw_finish(&w, blob, size_bytes);
}

int fdt_build(uint8_t **blob, size_t *size_bytes, const struct platform *p,
	      const struct fdt_boot *boot, struct diag *d)
{
	int err = check(p, d);

	if (err)
		return err;
	err = write_tree(blob, size_bytes, guess(p, boot), p, boot);
	if (err == -E2BIG)
		err = write_tree(blob, size_bytes, FDT_LIMIT_BYTES, p, boot);
	if (err == -E2BIG)
		return diag_fail(d, E2BIG,
				 "device tree: does not fit into %u bytes, the "
				 "most that arm64 Linux accepts: shorten the "
				 "command line or take fewer vCPUs",
				 (unsigned)FDT_LIMIT_BYTES);
	if (err)
		return diag_errno(d, -err, "device tree: cannot be written");
	return 0;
}
