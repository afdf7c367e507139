/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: arch_fake: a machine around the made-up instruction set of isa.h
 *
 * Made to be awkward: nothing at address 0, RAM in two pieces, CPU ids that
 * are not indices, route numbers that do not start at 0. What works here does
 * not depend on the accidents of x86_64 or arm64.
 *
 * Not implemented: NUMA, hot-plug, a topology that software can see.
 */
#include "arch/fake/fake.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "arch/layout.h"

struct arch_irqchip {
	struct irqchip *chip;
};

/* ---- layout ---- */

static int fill_ram(struct platform *p, const struct vm_config *cfg,
		    const struct host_caps *caps, struct diag *d)
{
	uint64_t size = vm_config_ram_bytes(cfg);
	uint64_t low = MIN(size, FAKE_RAM_LOW_BYTES);

	if (size < KIB(128) || size % caps->page_size_bytes ||
	    size - low > FAKE_RAM_HIGH_BYTES)
		return diag_fail(d, EINVAL,
				 "%s%" PRIu64 ": must be pages of %" PRIu64
				 " bytes, from 128 KiB to 64 GiB",
				 vm_config_ram_words(cfg), size,
				 caps->page_size_bytes);
	p->ram[p->ram_count++] = layout_mmio(FAKE_RAM_LOW_GPA, low);
	if (size > low)
		p->ram[p->ram_count++] =
			layout_mmio(FAKE_RAM_HIGH_GPA, size - low);
	layout_parts(p, cfg);
	return 0;
}

static int fill_cpus(struct platform *p, const struct vm_config *cfg,
		     const struct host_caps *caps, struct diag *d)
{
	uint32_t max = MIN(caps->vcpus_max, FAKE_VCPUS_MAX);
	uint32_t n = cfg->cpus.max_vcpus;

	if (!cfg->cpus.boot_vcpus || cfg->cpus.boot_vcpus > n || n > max)
		return diag_fail(d, EINVAL,
				 "--cpus boot=%u,max=%u: must be 1 to %u",
				 cfg->cpus.boot_vcpus, n, max);
	p->cpu = calloc(n, sizeof(*p->cpu));
	if (!p->cpu)
		return diag_fail(d, ENOMEM, "out of memory");
	for (uint32_t i = 0; i < n; i++) {
		p->cpu[i].hw_id = 5 + 3 * (uint64_t)i;
		p->cpu[i].package = i;
	}
	p->cpu_count = n;
	p->cpu_enabled = cfg->cpus.boot_vcpus;
	p->topology = (struct topology){ 1, 1, 1, n };
	return 0;
}

static void fill_pci(struct plat_pci *pci)
{
	struct plat_segment *s = &pci->segment[0];

	pci->segment_count = 1;
	s->ecam = layout_mmio(FAKE_ECAM_GPA, MIB(1));
	s->bus_count = 1;
	s->mmio32 = layout_mmio(FAKE_PCI32_GPA, FAKE_PCI32_BYTES);
	s->mmio64 = layout_mmio(FAKE_PCI64_GPA, FAKE_PCI64_BYTES);
	pci->intx_present = true;
	for (uint32_t i = 0; i < ARRAY_SIZE(pci->intx); i++)
		pci->intx[i] = FAKE_PIN_INTX + i;
}

static int fake_layout(struct platform *p, const struct vm_config *cfg,
		       const struct host_caps *caps, struct diag *d)
{
	int err = fill_ram(p, cfg, caps, d);

	if (!err)
		err = fill_cpus(p, cfg, caps, d);
	if (err)
		return err;
	p->arch = "fake";
	p->pa_bits = FAKE_PA_BITS;
	p->tables = TABLES_FDT;
	p->intc.kind = INTC_FAKE;
	p->intc.pin_count = FAKE_PINS;
	if (cfg->platform.transport == TRANSPORT_PCI) {
		fill_pci(&p->pci);
		err = layout_segments(p, cfg, FAKE_ECAM_GPA + MIB(1),
				      p->pci.segment[0].mmio32, 0, d);
	}
	p->virtio_mmio = layout_mmio(FAKE_VIRTIO_GPA,
				     FAKE_VIRTIO_STRIDE * FAKE_VIRTIO_SLOTS);
	p->virtio_mmio_stride = FAKE_VIRTIO_STRIDE;
	p->virtio_mmio_pin = FAKE_PIN_VIRTIO;
	p->pvpanic = layout_mmio(FAKE_PVPANIC_GPA, 2);
	return err;
}

static unsigned fake_devices(const struct platform *p,
			     const struct vm_config *cfg,
			     struct arch_device *out)
{
	static const struct arch_device all[] = {
		{ "serial-16550", PLAT_MMIO, FAKE_SERIAL_GPA, FAKE_PIN_SERIAL },
		{ "gpio-pl061", PLAT_MMIO, FAKE_POWER_KEY_GPA,
		  FAKE_PIN_POWER_KEY },
		{ "vmgenid", PLAT_MMIO, 0, FAKE_PIN_VMGENID },
		{ "vmclock", PLAT_MMIO, 0, FAKE_PIN_VMCLOCK },
		{ "watchdog-sp805", PLAT_MMIO, FAKE_WATCHDOG_GPA, ARCH_NO_PIN },
	};

	return layout_devices(out, p, cfg, all, ARRAY_SIZE(all));
}

static int fake_host_config(const struct platform *p,
			    struct host_vm_config *out, struct diag *d)
{
	(void)p;
	(void)out;
	(void)d;
	return 0;
}

/* ---- interrupt controller: all of it is in the hypervisor ---- */

static void pin_set(void *opaque, uint32_t pin, bool level)
{
	struct arch_irqchip *ic = opaque;
	struct host_vm *vm = ic->chip->vm;

	/* There is none while the machine is built or reset. */
	if (vm)
		vm->ops->irq_pin(vm, pin, level);
}

static int fake_irqchip_new(struct arch_irqchip **out, struct irqchip *chip,
			    const struct platform *p, struct bus *bus,
			    struct diag *d)
{
	struct arch_irqchip *ic = calloc(1, sizeof(*ic));

	(void)p;
	(void)bus;
	if (!ic)
		return diag_fail(d, ENOMEM, "out of memory");
	ic->chip = chip;
	chip->sink = (struct irq_sink){ .set = pin_set, .opaque = ic };
	chip->gsi_first = FAKE_GSI_FIRST;
	*out = ic;
	return 0;
}

static void fake_irqchip_reset(struct arch_irqchip *ic)
{
	(void)ic; /* a new VM has all wires low and nothing pending */
}

static void fake_irqchip_free(struct arch_irqchip *ic)
{
	free(ic);
}

/* ---- vCPUs ---- */

static int fake_vcpu_reset(struct host_vcpu *vcpu, const struct platform *p,
			   const struct arch_boot *boot, struct diag *d)
{
	struct fake_core core = { .power = FAKE_POWER_OFF };

	(void)p;
	if (vcpu->index == 0) {
		core.power = FAKE_POWER_ON;
		core.pc = boot->entry.v;
		core.r[1] = boot->arg.v;
	}
	return vcpu->vm->ops->state_put(vcpu, HOST_FAKE_CORE, &core,
					sizeof(core), d);
}

const struct arch arch_fake = {
	.name = "fake",
	.layout = fake_layout,
	.devices = fake_devices,
	.host_config = fake_host_config,
	.irqchip_new = fake_irqchip_new,
	.irqchip_reset = fake_irqchip_reset,
	.irqchip_free = fake_irqchip_free,
	.tables = fake_tables,
	.load = fake_load,
	.vcpu_reset = fake_vcpu_reset,
};
