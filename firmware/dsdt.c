/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: the DSDT of a machine: see dsdt.h
 *
 * Data is written by aml.c; methods are compiled from firmware/asl.
 *
 * Names: C000 to DFFF processors, PCI0 and PC01 to PCFF host bridges by
 * segment, MBRD (motherboard resources), GED_, PWRB, VGED and VGEN (generation
 * ID), CGED and VCLK (VMClock), DVnn device nn of the platform description.
 *
 * Not implemented: hot-plug, I/O windows of PCI that are translated from memory
 * (arm64).
 */
#include "firmware/dsdt.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "firmware/aml.h"
#include "firmware/asl/ged.h"
#include "firmware/asl/pci.h"

#define GIC_SPI_FIRST	 32
#define PCI_SLOTS	 32
#define PCI_CONFIG_PORT	 0xcf8
#define PCI_CONFIG_PORTS 8
#define PCI_PORTS_FIRST	 0x1000 /* what is below belongs to the board */

static bool has_gic(const struct platform *p)
{
	return p->intc.kind == INTC_GICV3 || p->intc.kind == INTC_GICV2;
}

uint32_t acpi_gsi(const struct platform *p, uint32_t pin)
{
	return has_gic(p) ? pin + GIC_SPI_FIRST : pin;
}

/* ---- processors ---- */

static void put_cpus(struct acpi_buf *b, const struct platform *p)
{
	for (unsigned i = 0; i < p->cpu_count; i++) {
		struct aml_mark dev;
		char name[5];

		snprintf(name, sizeof(name), "%c%03X", 'C' + (i >> 12 & 1),
			 i & 0xfff);
		dev = aml_device(b, name);
		aml_name_id(b, "_HID", "ACPI0007");
		aml_name_integer(b, "_UID", i);
		if (i >= p->cpu_enabled)
			aml_name_integer(b, "_STA", 0);
		aml_close(b, dev);
	}
}

/* ---- PCI ---- */

static void put_window(struct acpi_buf *b, enum aml_space space,
		       const struct plat_range *r)
{
	uint64_t first = r->base;

	if (!r->size_bytes)
		return;
	if (space == AML_IO && !first)
		first = PCI_PORTS_FIRST;
	aml_crs_window(b, space, first, r->base + r->size_bytes - 1);
}

static void put_ports(struct acpi_buf *b, const struct plat_pci *pci)
{
	if (pci->cf8)
		aml_crs_io(b, PCI_CONFIG_PORT, PCI_CONFIG_PORTS);
	if (pci->pio.bus == PLAT_PIO)
		put_window(b, AML_IO, &pci->pio);
	if (pci->pio_chipset.size_bytes)
		put_window(b, AML_IO, &pci->pio_chipset);
}

static void put_pci_crs(struct acpi_buf *b, const struct plat_pci *pci,
			unsigned segment)
{
	const struct plat_segment *s = &pci->segment[segment];
	struct aml_crs crs = aml_crs_open(b);

	aml_crs_window(b, AML_BUS, 0, s->bus_count - 1);
	if (!segment)
		put_ports(b, pci);
	put_window(b, AML_MEMORY, &s->mmio32);
	put_window(b, AML_MEMORY, &s->mmio64);
	aml_crs_close(b, crs);
}

/* Package () { slot and all functions, pin, no link device, GSI } */
static void put_route(struct acpi_buf *b, uint32_t slot, uint32_t pin,
		      uint32_t gsi)
{
	struct aml_mark entry = aml_package(b, 4);

	aml_integer(b, slot << 16 | 0xffff);
	aml_integer(b, pin);
	aml_integer(b, 0);
	aml_integer(b, gsi);
	aml_close(b, entry);
}

static void put_prt(struct acpi_buf *b, const struct platform *p)
{
	struct aml_mark prt;

	if (!p->pci.intx_present)
		return;
	aml_name(b, "_PRT");
	prt = aml_package(b, 4 * PCI_SLOTS);
	for (uint32_t slot = 0; slot < PCI_SLOTS; slot++)
		for (uint32_t pin = 0; pin < 4; pin++) {
			uint32_t wire = p->pci.intx[(slot + pin) % 4];

			put_route(b, slot, pin, acpi_gsi(p, wire));
		}
	aml_close(b, prt);
}

/* Linux uses ECAM only if a PNP0C02 device claims it (PCI Firmware 3.3
 * sec. 4.1.2). */
static void put_ecam(struct acpi_buf *b, const struct plat_pci *pci)
{
	struct aml_mark dev = aml_device(b, "MBRD");
	struct aml_crs crs;

	aml_name_id(b, "_HID", "PNP0C02");
	aml_name_integer(b, "_UID", 0);
	crs = aml_crs_open(b);
	for (unsigned i = 0; i < pci->segment_count; i++) {
		const struct plat_range *ecam = &pci->segment[i].ecam;

		aml_crs_memory(b, ecam->base, ecam->size_bytes);
	}
	aml_crs_close(b, crs);
	aml_close(b, dev);
}

static void put_segment(struct acpi_buf *b, const struct platform *p,
			unsigned segment)
{
	struct aml_mark dev;
	char name[5];

	snprintf(name, sizeof(name), segment ? "PC%02X" : "PCI0",
		 segment & 0xff);
	dev = aml_device(b, name);
	aml_name_integer(b, "_SEG", segment);
	aml_name_integer(b, "_UID", segment);
	aml_paste(b, pci_aml_code, sizeof(pci_aml_code), "PCI0");
	put_pci_crs(b, &p->pci, segment);
	if (!segment)
		put_prt(b, p);
	if (p->numa)
		aml_name_integer(b, "_PXM", p->pci.segment[segment].node);
	aml_close(b, dev);
}

static void put_pci(struct acpi_buf *b, const struct platform *p)
{
	for (unsigned i = 0; i < p->pci.segment_count; i++)
		put_segment(b, p, i);
	if (p->pci.segment_count && p->pci.segment[0].ecam.size_bytes)
		put_ecam(b, &p->pci);
}

/* ---- devices ---- */

static void put_resources(struct acpi_buf *b, const struct platform *p,
			  const struct plat_dev *dev)
{
	struct aml_crs crs;

	if (!dev->range_count && !dev->irq_count)
		return;
	crs = aml_crs_open(b);
	for (unsigned i = 0; i < dev->range_count; i++) {
		const struct plat_range *r = &dev->range[i];

		if (r->bus == PLAT_PIO)
			aml_crs_io(b, (uint16_t)r->base,
				   (uint8_t)r->size_bytes);
		else
			aml_crs_memory(b, r->base, r->size_bytes);
	}
	for (unsigned i = 0; i < dev->irq_count; i++)
		aml_crs_irq(b, acpi_gsi(p, dev->irq[i].pin), dev->irq[i].level);
	aml_crs_close(b, crs);
}

void dsdt_dev_name(char name[5], unsigned n)
{
	snprintf(name, 5, "DV%02X", n & 0xff);
}

static void put_dev(struct acpi_buf *b, const struct platform *p, unsigned n)
{
	const struct plat_dev *dev = &p->dev[n];
	struct aml_mark mark;
	char name[5];

	dsdt_dev_name(name, n);
	mark = aml_device(b, name);
	aml_name_id(b, "_HID", dev->hid);
	aml_name_integer(b, "_UID", dev->uid);
	if (has_gic(p)) /* elsewhere DMA is coherent unless _CCA denies it */
		aml_name_integer(b, "_CCA", 1);
	put_resources(b, p, dev);
	aml_close(b, mark);
}

/* The event device: its first wire is the power button's. */
static void put_ged(struct acpi_buf *b, const struct platform *p,
		    const struct plat_dev *dev)
{
	struct aml_mark mark = aml_device(b, "GED_");

	aml_paste(b, ged_aml_code, sizeof(ged_aml_code), "GED_");
	aml_name_integer(b, "PWRI", acpi_gsi(p, dev->irq[0].pin));
	put_resources(b, p, dev);
	aml_close(b, mark);
	mark = aml_device(b, "PWRB");
	aml_paste(b, ged_aml_code, sizeof(ged_aml_code), "PWRB");
	aml_close(b, mark);
}

/* An event device of its own for the wire of @dev, whose _EVT says that it
 * changed */
static void put_event(struct acpi_buf *b, const struct platform *p,
		      const struct plat_dev *dev, const char *name)
{
	struct plat_dev event = *dev;
	struct aml_mark mark = aml_device(b, name);

	event.range_count = 0;
	aml_paste(b, ged_aml_code, sizeof(ged_aml_code), name);
	put_resources(b, p, &event);
	aml_close(b, mark);
}

static void put_vmclock(struct acpi_buf *b, const struct platform *p,
			const struct plat_dev *dev)
{
	struct plat_dev clock = *dev;
	struct aml_mark mark;

	put_event(b, p, dev, "CGED");
	clock.irq_count = 0;
	mark = aml_device(b, "VCLK");
	aml_paste(b, ged_aml_code, sizeof(ged_aml_code), "VCLK");
	put_resources(b, p, &clock);
	aml_close(b, mark);
}

/* Where it is: Package () { low, high half of the address } */
static void put_vmgenid(struct acpi_buf *b, const struct platform *p,
			const struct plat_dev *dev)
{
	struct aml_mark mark, addr;

	put_event(b, p, dev, "VGED");
	mark = aml_device(b, "VGEN");
	aml_paste(b, ged_aml_code, sizeof(ged_aml_code), "VGEN");
	aml_name(b, "ADDR");
	addr = aml_package(b, 2);
	aml_integer(b, (uint32_t)dev->range[0].base);
	aml_integer(b, dev->range[0].base >> 32);
	aml_close(b, addr);
	aml_close(b, mark);
}

static void put_devices(struct acpi_buf *b, const struct platform *p)
{
	for (unsigned i = 0; i < p->dev_count; i++) {
		const struct plat_dev *dev = &p->dev[i];

		if (dev->role == PLAT_GED)
			put_ged(b, p, dev);
		else if (dev->role == PLAT_VMGENID)
			put_vmgenid(b, p, dev);
		else if (dev->role == PLAT_VMCLOCK)
			put_vmclock(b, p, dev);
		else if (dev->hid && dev->role != PLAT_PCI_HOST)
			put_dev(b, p, i);
	}
}

/* Package () { sleep type 5 } : soft off, value for the sleep control
 * register of the FADT (ACPI 6.5 sec. 7.4.2) */
static void put_s5(struct acpi_buf *b, const struct platform *p)
{
	struct aml_mark s5;

	if (!platform_find(p, PLAT_RESET_SLEEP))
		return;
	aml_name(b, "_S5_");
	s5 = aml_package(b, 4);
	aml_integer(b, 5);
	for (int i = 0; i < 3; i++)
		aml_integer(b, 0);
	aml_close(b, s5);
}

/* ---- checks ---- */

static int check_range(const struct plat_dev *dev, const struct plat_range *r,
		       struct diag *d)
{
	if (r->bus == PLAT_MMIO)
		return 0;
	if (range_within(r->base, r->size_bytes, 0, 0x10000) &&
	    r->size_bytes <= UINT8_MAX)
		return 0;
	return diag_fail(d, EINVAL,
			 "ACPI: %s has %" PRIu64 " ports at %#" PRIx64
			 ": at most 255 below 0x10000 can be described",
			 dev->name, r->size_bytes, r->base);
}

static int check(const struct platform *p, struct diag *d)
{
	int err = 0;

	if (p->cpu_count > DSDT_CPUS_MAX)
		return diag_fail(d, E2BIG, "ACPI: %u CPUs: at most %d",
				 p->cpu_count, DSDT_CPUS_MAX);
	for (unsigned i = 0; i < p->pci.segment_count; i++) {
		uint32_t n = p->pci.segment[i].bus_count;

		if (!n || n > 256)
			return diag_fail(d, EINVAL,
					 "ACPI: %u PCI buses: 1 to 256", n);
	}
	for (unsigned i = 0; i < p->dev_count; i++) {
		const struct plat_dev *dev = &p->dev[i];

		if (dev->role == PLAT_GED && !dev->irq_count)
			return diag_fail(d, EINVAL,
					 "ACPI: the event device has no wire");
		if (!dev->hid)
			continue;
		for (unsigned j = 0; !err && j < dev->range_count; j++)
			err = check_range(dev, &dev->range[j], d);
	}
	return err;
}

int dsdt_build(struct acpi_buf *b, const struct platform *p, struct diag *d)
{
	struct aml_mark sb;
	int err = check(p, d);

	if (err)
		return err;
	acpi_table_begin(b, "DSDT", 2);
	sb = aml_scope(b, "\\_SB_");
	put_cpus(b, p);
	put_pci(b, p);
	put_devices(b, p);
	aml_close(b, sb);
	put_s5(b, p);
	acpi_table_end(b);
	if (b->failed)
		return diag_fail(d, ENOMEM, "ACPI: no memory for the DSDT");
	return 0;
}
