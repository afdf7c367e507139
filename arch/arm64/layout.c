/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: arm64: checks a configuration against the architecture and places it
 *
 * The map and the reasons for it are in layout.h. Everything here is pure: it
 * reads the configuration and what the host can do, and fills the platform
 * description. Each check names the option, the value and the limit.
 *
 * Not implemented: device memory hot-plug.
 */
#include "arch/arm64/layout.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "arch/layout.h"
#include "arch/numa.h"
#include "vmm/identity.h"

uint64_t arm64_mpidr(unsigned index)
{
	return (index & 0xf) | (uint64_t)(index >> 4 & 0xff) << 8 |
	       (uint64_t)(index >> 12 & 0xff) << 16;
}

static int check_cpus(const struct vm_config *cfg, const struct host_caps *caps,
		      struct diag *d)
{
	uint32_t n = cfg->cpus.max_vcpus;

	if (!caps->gicv3 && n > ARM64_GICV2_VCPUS_MAX)
		return diag_fail(d, E2BIG,
				 "--cpus %s=%u: this host can only virtualise "
				 "GICv2, which has at most %u vCPUs",
				 layout_cpus_key(cfg), n,
				 ARM64_GICV2_VCPUS_MAX);
	return layout_check_cpus(cfg, caps,
				 ARM64_GICR_LOW_MAX + ARM64_GICR_HIGH_MAX,
				 "arm64", d);
}

static int check_features(const struct vm_config *cfg,
			  const struct host_caps *caps, struct diag *d)
{
	const char *missing = NULL;

	if (cfg->cpus.sve && !caps->sve)
		missing = "features=sve: this host has no SVE";
	if (cfg->cpus.pauth && !caps->pauth)
		missing = "features=pauth: this host has no pointer "
			  "authentication";
	if (cfg->cpus.pmu == ON && !caps->pmu)
		missing = "pmu=on: this host has no PMU";
	if (cfg->cpus.nested)
		missing = "nested=on: not possible on arm64 yet";
	if (missing)
		return diag_fail(d, EINVAL,
				 "--cpus %s for guests: leave it out", missing);
	if (!caps->gicv3 && !caps->gicv2)
		return diag_fail(
			d, EINVAL,
			"this host can virtualise neither GICv3 nor "
			"GICv2: no interrupt controller for the guest");
	return 0;
}

static int fill_cpus(struct platform *p, const struct vm_config *cfg,
		     const struct host_caps *caps, struct diag *d)
{
	uint32_t n = cfg->cpus.max_vcpus;

	p->cpu = calloc(n, sizeof(*p->cpu));
	if (!p->cpu)
		return diag_fail(d, ENOMEM, "no memory for %u vCPUs", n);
	p->cpu_count = n;
	p->cpu_enabled = cfg->cpus.boot_vcpus;
	for (uint32_t i = 0; i < n; i++) {
		p->cpu[i] = layout_place(&p->topology, i);
		p->cpu[i].hw_id = arm64_mpidr(i);
	}
	p->clidr = caps->clidr;
	memcpy(p->cache, caps->cache, sizeof(p->cache));
	p->sve = cfg->cpus.sve;
	p->pauth = cfg->cpus.pauth;
	return 0;
}

static int fill_ram(struct platform *p, const struct vm_config *cfg,
		    const struct host_caps *caps, unsigned bits, struct diag *d)
{
	int err;

	if (bits < ARM64_IPA_BITS_MIN)
		return diag_fail(d, EINVAL,
				 "--cpus max_phys_bits=%u: arm64 guests need "
				 "at least %u",
				 bits, ARM64_IPA_BITS_MIN);
	err = layout_check_memory(
		cfg, caps, (UINT64_C(1) << bits) - ARM64_RAM_BASE, bits, d);
	if (err)
		return err;
	p->ram[0] = layout_mmio(ARM64_RAM_BASE, vm_config_ram_bytes(cfg));
	p->ram_count = 1;
	layout_parts(p, cfg);
	return 0;
}

static void fill_intc(struct platform *p, const struct vm_config *cfg,
		      const struct host_caps *caps)
{
	struct plat_intc *gic = &p->intc;

	gic->pin_count = ARM64_SPI_COUNT;
	gic->dist = layout_mmio(ARM64_GICD_BASE, ARM64_GICD_SIZE);
	gic->pmu = cfg->cpus.pmu != OFF && caps->pmu;
	if (!caps->gicv3) {
		gic->kind = INTC_GICV2;
		gic->cpu_if = layout_mmio(ARM64_GICC_BASE, ARM64_GICC_SIZE);
		return;
	}
	gic->kind = INTC_GICV3;
	gic->redist[0] = layout_mmio(ARM64_GICR_BASE,
				     MIN(p->cpu_count, ARM64_GICR_LOW_MAX) *
					     ARM64_GICR_STRIDE);
	gic->redist_count = 1;
	if (caps->its && p->pci.segment_count)
		gic->its = layout_mmio(ARM64_ITS_BASE, ARM64_ITS_SIZE);
}

/* The largest window that fits between @from and @end, aligned to its size. */
static struct plat_range window(uint64_t from, uint64_t end)
{
	for (uint64_t size = ARM64_MEM64_SIZE; size >= GIB(1); size >>= 1) {
		uint64_t base = align_up(from, size);

		if (range_within(base, size, from, end - from))
			return layout_mmio(base, size);
	}
	return layout_mmio(0, 0);
}

static void fill_pci(struct platform *p)
{
	struct plat_pci *pci = &p->pci;
	struct plat_segment *s = &pci->segment[0];

	s->bus_count = ARM64_ECAM_LOW_BUSES;
	s->ecam = layout_mmio(ARM64_ECAM_LOW_BASE, MIB(ARM64_ECAM_LOW_BUSES));
	s->mmio32 = layout_mmio(ARM64_PCI_MEM32_BASE,
				ARM64_PCI_PIO_BASE - ARM64_PCI_MEM32_BASE);
	pci->pio = layout_mmio(ARM64_PCI_PIO_BASE, ARM64_PCI_PIO_SIZE);
	pci->intx_present = true;
	for (unsigned i = 0; i < ARRAY_SIZE(pci->intx); i++)
		pci->intx[i] = ARM64_SPI_INTX + i;
}

/* What lies above RAM. @end: first address that the guest cannot have. */
static int fill_high(struct platform *p, const struct vm_config *cfg,
		     uint64_t end, struct diag *d)
{
	uint64_t ram_end = ARM64_RAM_BASE + p->ram[0].size_bytes;
	uint64_t high = MAX(ARM64_HIGH_BASE, align_up(ram_end, GIB(1)));
	uint64_t fixed = ARM64_HIGH_ECAM_OFFSET + MIB(ARM64_ECAM_BUSES);
	struct plat_segment *s = &p->pci.segment[0];
	bool more =
		p->intc.kind == INTC_GICV3 && p->cpu_count > ARM64_GICR_LOW_MAX;

	if (high > end || fixed > end - high)
		high = align_up(ram_end, GIB(1));
	if (high > end || fixed > end - high) {
		if (!more)
			return 0;
		return diag_fail(d, E2BIG,
				 "%s%" PRIu64 ": leaves no room for the "
				 "interrupt controller of %u vCPUs: at most %u "
				 "vCPUs",
				 vm_config_ram_words(cfg), p->ram[0].size_bytes,
				 p->cpu_count, ARM64_GICR_LOW_MAX);
	}
	if (more) {
		p->intc.redist[1] =
			layout_mmio(high, (p->cpu_count - ARM64_GICR_LOW_MAX) *
						  ARM64_GICR_STRIDE);
		p->intc.redist_count = 2;
	}
	if (p->pci.segment_count) {
		s->bus_count = ARM64_ECAM_BUSES;
		s->ecam = layout_mmio(high + ARM64_HIGH_ECAM_OFFSET,
				      MIB(ARM64_ECAM_BUSES));
		s->mmio64 = window(high + fixed, end);
	}
	return 0;
}

/* Segment 0 gives the second half of its ECAM to the others: firmware knows
 * this place, and U-Boot maps no other. */
static int split_pci(struct platform *p, const struct vm_config *cfg,
		     struct diag *d)
{
	struct plat_segment *s = &p->pci.segment[0];
	uint32_t n = vm_config_pci_segments(cfg), buses = s->bus_count / 2;

	if (!p->pci.segment_count || n == 1)
		return 0;
	if (!p->intc.its.size_bytes)
		return diag_fail(
			d, EINVAL,
			"--platform num_pci_segments=%u: this host has "
			"no ITS, without which only segment 0 can "
			"interrupt: leave it out",
			n);
	if (n > buses + 1)
		return diag_fail(
			d, E2BIG,
			"--platform num_pci_segments=%u: in %u address "
			"bits, behind this RAM, there is room for %u",
			n, p->pa_bits, buses + 1);
	s->bus_count = buses;
	s->ecam.size_bytes /= 2;
	return layout_segments(p, cfg, s->ecam.base + s->ecam.size_bytes,
			       s->mmio32, 0, d);
}

/* The fewest address bits that hold everything. */
static unsigned needed_bits(const struct platform *p)
{
	const struct plat_range top[] = {
		p->ram[0],
		p->intc.redist[1],
		p->pci.segment[0].ecam,
		p->pci.segment[0].mmio64,
	};
	unsigned bits = ARM64_IPA_BITS_MIN;

	for (unsigned i = 0; i < ARRAY_SIZE(top); i++)
		while (top[i].size_bytes &&
		       (top[i].base + top[i].size_bytes - 1) >> bits)
			bits++;
	return bits;
}

/* UEFI takes ACPI tables from fw_cfg. */
static bool acpi_by_uefi(const struct vm_config *cfg)
{
	const struct fw_cfg_config *f = vm_config_fw_cfg(cfg, false);

	return cfg->firmware_vars && f && f->acpi_table;
}

static bool wants_acpi(const struct vm_config *cfg)
{
	if (cfg->platform.tables == TABLES_AUTO)
		return acpi_by_uefi(cfg);
	return cfg->platform.tables == TABLES_ACPI;
}

static int check_tables(const struct vm_config *cfg, struct diag *d)
{
	if (cfg->platform.tables != TABLES_ACPI || !cfg->firmware ||
	    acpi_by_uefi(cfg))
		return 0;
	return diag_fail(d, EINVAL,
			 "--platform tables=acpi: firmware takes them from "
			 "fw_cfg, and only UEFI does: give --firmware-vars "
			 "and --fw-cfg-config acpi_table=on, or tables=fdt");
}

/* So do its SMBIOS tables. */
static int check_identity(const struct vm_config *cfg, struct diag *d)
{
	const char *key = identity_given(&cfg->platform);

	if (!key || (cfg->firmware_vars && vm_config_fw_cfg(cfg, false)) ||
	    (wants_acpi(cfg) && !cfg->firmware))
		return 0;
	return diag_fail(d, EINVAL,
			 "--platform %s: arm64 guests learn it beside ACPI, or "
			 "from UEFI, which takes it from fw_cfg: give %s, or "
			 "leave it out",
			 key,
			 cfg->firmware ? "--firmware-vars"
				       : "--platform tables=acpi");
}

int arm64_layout(struct platform *p, const struct vm_config *cfg,
		 const struct host_caps *caps, struct diag *d)
{
	unsigned bits = layout_pa_bits(cfg, caps->pa_bits);
	int err;

	p->arch = "arm64";
	p->tables = wants_acpi(cfg) ? TABLES_ACPI : TABLES_FDT;
	p->pci.segment_count = cfg->platform.transport == TRANSPORT_PCI;
	identity_fill(&p->identity, &cfg->platform);
	if ((err = check_tables(cfg, d)) || (err = check_identity(cfg, d)) ||
	    (err = check_features(cfg, caps, d)) ||
	    (err = check_cpus(cfg, caps, d)) ||
	    (err = layout_topology(p, cfg, d)) ||
	    (err = fill_ram(p, cfg, caps, bits, d)) ||
	    (err = fill_cpus(p, cfg, caps, d)) || (err = numa_fill(p, cfg, d)))
		return err;
	if (p->pci.segment_count)
		fill_pci(p);
	fill_intc(p, cfg, caps);
	err = fill_high(p, cfg, UINT64_C(1) << bits, d);
	if (err)
		return err;
	/* Memory that is not RAM goes anywhere above it without a PCI window.
	 */
	p->pa_bits = (cfg->pmem_count || cfg->platform.vmgenid ||
		      cfg->platform.vmclock) &&
				     !p->pci.segment[0].mmio64.size_bytes
			     ? bits
			     : needed_bits(p);
	p->virtio_mmio = layout_mmio(ARM64_VIRTIO_BASE,
				     ARM64_VIRTIO_COUNT * ARM64_VIRTIO_STRIDE);
	p->virtio_mmio_stride = ARM64_VIRTIO_STRIDE;
	p->virtio_mmio_pin = ARM64_SPI_VIRTIO;
	if (cfg->firmware)
		p->rom = layout_mmio(ARM64_ROM_BASE,
				     cfg->firmware_vars ? ARM64_FIRMWARE_MAX
							: ARM64_ROM_SIZE);
	p->pvpanic = layout_mmio(ARM64_PVPANIC_BASE, 2);
	if (p->tables == TABLES_ACPI)
		p->tpm = layout_mmio(ARM64_TPM_BASE, ARM64_TPM_SIZE);
	return split_pci(p, cfg, d);
}

unsigned arm64_devices(const struct platform *p, const struct vm_config *cfg,
		       struct arch_device *out)
{
	bool acpi = p->tables == TABLES_ACPI;
	const struct arch_device all[] = {
		{ "serial-pl011", PLAT_MMIO, ARM64_PL011_BASE,
		  ARM64_SPI_PL011 },
		{ "rtc-pl031", PLAT_MMIO, ARM64_PL031_BASE, ARM64_SPI_PL031 },
		acpi ? (struct arch_device){ "ged", PLAT_MMIO, 0,
					     ARM64_SPI_GED }
		     : (struct arch_device){ "gpio-pl061", PLAT_MMIO,
					     ARM64_PL061_BASE,
					     ARM64_SPI_PL061 },
		{ "vmgenid", PLAT_MMIO, 0, ARM64_SPI_VMGENID },
		{ "vmclock", PLAT_MMIO, 0, ARM64_SPI_VMCLOCK },
		{ "flash-cfi", PLAT_MMIO, ARM64_FLASH_BASE, ARCH_NO_PIN },
		{ "fw-cfg", PLAT_MMIO, ARM64_FW_CFG_BASE, ARCH_NO_PIN },
		{ "watchdog-sp805", PLAT_MMIO, ARM64_WATCHDOG_BASE,
		  ARCH_NO_PIN },
	};

	return layout_devices(out, p, cfg, all, ARRAY_SIZE(all));
}
