/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: x86_64: checks a configuration against the architecture and places it
 *
 * The map and the reasons for it are in layout.h. Everything here is pure: it
 * reads the configuration and what the host can do, and fills the platform
 * description. Each check names the option, the value and the limit.
 *
 * Not implemented: RAM and CPU hot-plug.
 */
#include "arch/x86_64/layout.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "arch/layout.h"
#include "arch/numa.h"
#include "vmm/identity.h"

/* Bits that number @count things from 0. */
static unsigned width(uint32_t count)
{
	return count < 2 ? 0 : 32 - (unsigned)__builtin_clz(count - 1);
}

struct x86_apic_widths x86_apic_widths(const struct topology *t)
{
	return (struct x86_apic_widths){
		.thread = width(t->threads_per_core),
		.core = width(t->cores_per_die),
		.die = width(t->dies_per_package),
	};
}

uint64_t x86_apic_id(const struct topology *t, const struct plat_cpu *cpu)
{
	struct x86_apic_widths w = x86_apic_widths(t);
	uint64_t id = cpu->package;

	id = id << w.die | cpu->die;
	id = id << w.core | cpu->core;
	return id << w.thread | cpu->thread;
}

uint32_t x86_apic_id_max(const struct platform *p)
{
	/* CPUs are in the order of their places, so ids only grow. */
	return (uint32_t)p->cpu[p->cpu_count - 1].hw_id;
}

static struct plat_range ports(uint64_t base, uint64_t size_bytes)
{
	return (struct plat_range){ PLAT_PIO, base, size_bytes };
}

static int check_tables(const struct vm_config *cfg, struct diag *d)
{
	if (cfg->platform.tables == TABLES_FDT)
		return diag_fail(d, EINVAL,
				 "--platform tables=fdt: x86_64 guests are "
				 "described by ACPI: use acpi or auto");
	return 0;
}

/* What CPUID has bits for (leaf 0x8000001E, on whatever processor: tables do
 * not depend on the host); the PPTT has no limits. */
static int check_topology(const struct topology *t, struct diag *d)
{
	if (t->threads_per_core <= X86_THREADS_MAX &&
	    t->dies_per_package <= X86_DIES_MAX)
		return 0;
	return diag_fail(d, EINVAL,
			 "--cpus topology=%u:%u:%u:%u: x86_64's CPUID can say "
			 "at most %d threads per core and %d dies per package",
			 t->threads_per_core, t->cores_per_die,
			 t->dies_per_package, t->packages, X86_THREADS_MAX,
			 X86_DIES_MAX);
}

static int check_flash(const struct platform *p, const struct vm_config *cfg,
		       struct diag *d)
{
	if (!cfg->firmware_vars || p->flash.size_bytes)
		return 0;
	return diag_fail(
		d, EINVAL, "--firmware-vars %s: %s", cfg->firmware_vars,
		p->q35 ? "this firmware is in one file with its "
			 "variables, which are lost at power-off: give "
			 "OVMF_CODE_4M.fd and a copy of "
			 "OVMF_VARS_4M.fd"
		       : "of x86_64's firmware only OVMF keeps "
			 "variables in a file: leave it out");
}

static struct plat_cpu place(const struct topology *t, uint32_t i)
{
	struct plat_cpu cpu = layout_place(t, i);

	cpu.hw_id = x86_apic_id(t, &cpu);
	return cpu;
}

static int check_ids(const struct platform *p, const struct vm_config *cfg,
		     const struct host_caps *caps, struct diag *d)
{
	uint64_t max = place(&p->topology, cfg->cpus.max_vcpus - 1).hw_id;
	unsigned limit = caps->ext_dest_id || !caps->pa_bits ? X86_APIC_ID_MAX
							     : X86_XAPIC_ID_MAX;

	if (max <= limit)
		return 0;
	return diag_fail(d, E2BIG,
			 "--cpus %s=%u: needs APIC id %" PRIu64
			 ", interrupts of this hypervisor reach at most %u: "
			 "use fewer vCPUs, or a topology of powers of two",
			 layout_cpus_key(cfg), cfg->cpus.max_vcpus, max, limit);
}

/* The CPUs, and behind them their APIC ids as host_config() wants them. */
static int fill_cpus(struct platform *p, const struct vm_config *cfg,
		     struct diag *d)
{
	uint32_t n = cfg->cpus.max_vcpus, *ids;

	p->cpu = calloc(n, sizeof(*p->cpu) + sizeof(*ids));
	if (!p->cpu)
		return diag_fail(d, ENOMEM, "no memory for %u vCPUs", n);
	ids = (uint32_t *)(void *)(p->cpu + n);
	p->cpu_count = n;
	p->cpu_enabled = cfg->cpus.boot_vcpus;
	for (uint32_t i = 0; i < n; i++) {
		p->cpu[i] = place(&p->topology, i);
		ids[i] = (uint32_t)p->cpu[i].hw_id;
	}
	return 0;
}

static int fill_pa_bits(struct platform *p, const struct vm_config *cfg,
			const struct host_caps *caps, struct diag *d)
{
	unsigned host = caps->pa_bits ? caps->pa_bits : X86_PA_BITS_DEFAULT;
	unsigned bits = layout_pa_bits(cfg, host);

	if (bits < X86_PA_BITS_MIN)
		return diag_fail(d, EINVAL,
				 "--cpus max_phys_bits=%u: x86_64 guests need "
				 "at least %u",
				 bits, X86_PA_BITS_MIN);
	p->pa_bits = bits;
	return 0;
}

static int fill_ram(struct platform *p, const struct vm_config *cfg,
		    const struct host_caps *caps, struct diag *d)
{
	uint64_t size = vm_config_ram_bytes(cfg);
	uint64_t end = UINT64_C(1) << p->pa_bits;
	uint64_t low_end = p->q35 ? X86_Q35_LOW_RAM_END : X86_LOW_RAM_END;
	uint64_t room = low_end + (end - X86_HIGH_RAM_BASE);
	uint64_t low = MIN(size, low_end);
	int err = layout_check_memory(cfg, caps, room, p->pa_bits, d);

	if (err)
		return err;
	if (size < X86_HOLE_END)
		return diag_fail(d, EINVAL,
				 "%s%" PRIu64 ": x86_64 guests need at least "
				 "%" PRIu64 " bytes (1 MiB)",
				 vm_config_ram_words(cfg), size, X86_HOLE_END);
	p->ram[0] = layout_mmio(0, low);
	p->ram_count = 1;
	if (size > low)
		p->ram[p->ram_count++] =
			layout_mmio(X86_HIGH_RAM_BASE, size - low);
	layout_parts(p, cfg);
	return 0;
}

/* What goes above RAM and is not a BAR. */
static bool has_memory_devices(const struct vm_config *cfg)
{
	return cfg->pmem_count || cfg->platform.vmgenid ||
	       cfg->platform.vmclock;
}

static void fill_pci(struct platform *p, const struct vm_config *cfg)
{
	const struct plat_range *top = &p->ram[p->ram_count - 1];
	uint64_t base = MAX(X86_HIGH_RAM_BASE, top->base + top->size_bytes);
	uint64_t end = UINT64_C(1) << p->pa_bits;
	struct plat_pci *pci = &p->pci;
	struct plat_segment *s = &pci->segment[0];

	s->ecam = layout_mmio(X86_ECAM_BASE, MIB(X86_ECAM_BUSES));
	s->bus_count = X86_ECAM_BUSES;
	s->mmio32 = layout_mmio(X86_PCI_MEM32_BASE, X86_PCI_MEM32_SIZE);
	if (p->q35) {
		pci->pio_chipset = ports(X86_PM_PORT, X86_PM_PORTS);
		s->ecam = layout_mmio(0, 0);
		s->mmio32 = layout_mmio(X86_Q35_LOW_RAM_END, X86_Q35_PCI_SIZE);
	}
	s->mmio64 = layout_mmio(base, end - base);
	if (cfg->firmware && !p->q35 && has_memory_devices(cfg)) {
		s->mmio64.size_bytes =
			MIN(s->mmio64.size_bytes / 2, X86_BARS_MAX);
		pci->mmio64_fixed = true;
	}
	pci->pio = ports(X86_PCI_PORT_BASE, X86_PCI_PORT_SIZE);
	pci->cf8 = true;
	pci->intx_present = true;
	for (unsigned i = 0; i < ARRAY_SIZE(pci->intx); i++)
		pci->intx[i] = X86_WIRE_INTX + i;
}

/* See layout.h: segment 0 last. */
static int split_q35(struct platform *p, const struct vm_config *cfg,
		     struct diag *d)
{
	struct plat_segment *s = &p->pci.segment[0];
	struct plat_range high = s->mmio64;
	uint64_t end = high.base + high.size_bytes;
	uint64_t last = UINT64_C(7) << (MIN(p->pa_bits, X86_OVMF_BITS) - 3);
	struct plat_range more = layout_mmio(
		X86_Q35_MORE_MEM32, X86_Q35_MORE_END - X86_Q35_MORE_MEM32);
	int err = layout_segments(p, cfg, X86_Q35_ECAM + MIB(1), more, 1, d);

	if (err)
		return err;
	s->ecam = layout_mmio(X86_Q35_ECAM, MIB(1));
	s->mmio32.size_bytes = X86_Q35_ECAM - s->mmio32.base;
	last = MAX(MIN(last, end - s->mmio64.size_bytes), high.base);
	s->mmio64 = layout_mmio(last, end - last);
	high.size_bytes = last - high.base;
	layout_divide(p, cfg, high, 1, true);
	return 0;
}

static int split_pci(struct platform *p, const struct vm_config *cfg,
		     struct diag *d)
{
	if (vm_config_pci_segments(cfg) == 1)
		return 0;
	if (p->q35)
		return split_q35(p, cfg, d);
	return layout_segments(p, cfg, X86_ECAM_BASE + MIB(X86_ECAM_BUSES),
			       p->pci.segment[0].mmio32, 0, d);
}

int x86_layout(struct platform *p, const struct vm_config *cfg,
	       const struct host_caps *caps, struct diag *d)
{
	int err;

	p->arch = "x86_64";
	p->tables = TABLES_ACPI;
	p->nested = cfg->cpus.nested;
	p->pptt = cfg->platform.pptt;
	identity_fill(&p->identity, &cfg->platform);
	if ((err = check_tables(cfg, d)) || (err = check_flash(p, cfg, d)) ||
	    (err = layout_check_cpus(cfg, caps, X86_APIC_ID_MAX + 1, "x86_64",
				     d)) ||
	    (err = layout_topology(p, cfg, d)) ||
	    (err = check_topology(&p->topology, d)) ||
	    (err = check_ids(p, cfg, caps, d)) ||
	    (err = fill_pa_bits(p, cfg, caps, d)) ||
	    (err = fill_ram(p, cfg, caps, d)) || (err = fill_cpus(p, cfg, d)) ||
	    (err = numa_fill(p, cfg, d)))
		return err;
	p->intc.kind = INTC_APIC;
	p->intc.ioapic = layout_mmio(X86_IOAPIC_BASE, X86_IOAPIC_SIZE);
	p->intc.pin_count = X86_IOAPIC_PINS;
	p->pci.segment_count = cfg->platform.transport == TRANSPORT_PCI;
	if (p->pci.segment_count) {
		fill_pci(p, cfg);
		err = split_pci(p, cfg, d);
		if (err)
			return err;
	}
	p->virtio_mmio = layout_mmio(X86_VIRTIO_BASE,
				     X86_VIRTIO_COUNT * X86_VIRTIO_STRIDE);
	p->virtio_mmio_stride = X86_VIRTIO_STRIDE;
	p->virtio_mmio_pin = X86_WIRE_VIRTIO;
	p->pvpanic = ports(X86_PVPANIC_PORT, 1);
	p->tpm = layout_mmio(X86_TPM_BASE, X86_TPM_SIZE);
	return 0;
}

unsigned x86_devices(const struct platform *p, const struct vm_config *cfg,
		     struct arch_device *out)
{
	const struct arch_device all[] = {
		{ "serial-16550", PLAT_PIO, X86_SERIAL_PORT, X86_WIRE_SERIAL },
		{ "rtc-cmos", PLAT_PIO, X86_RTC_PORT, X86_WIRE_RTC },
		{ "acpi-pm", PLAT_PIO, X86_PM_PORT, ARCH_NO_PIN },
		{ "ged", PLAT_PIO, 0, X86_WIRE_GED },
		{ "vmgenid", PLAT_MMIO, 0, X86_WIRE_VMGENID },
		{ "vmclock", PLAT_MMIO, 0, X86_WIRE_VMCLOCK },
		{ "fw-cfg", PLAT_PIO, X86_FW_CFG_PORT, ARCH_NO_PIN },
		{ "flash-cfi", PLAT_MMIO, p->flash.base, ARCH_NO_PIN },
		{ "watchdog-sp805", PLAT_MMIO, X86_WATCHDOG_BASE, ARCH_NO_PIN },
	};

	return layout_devices(out, p, cfg, all, ARRAY_SIZE(all));
}

int x86_host_config(const struct platform *p, struct host_vm_config *out,
		    struct diag *d)
{
	(void)d;
	out->x86 = (struct host_x86_config){
		.ioapic_pins = p->intc.pin_count,
		.tss_gpa = X86_TSS_BASE,
		.apic_ids =
			(const uint32_t *)(const void *)(p->cpu + p->cpu_count),
	};
	return 0;
}
