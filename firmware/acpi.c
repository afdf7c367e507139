/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: the ACPI tables of a machine: see acpi.h
 *
 * Each table is one function that writes it front to back, field by field in
 * the order of the specification. What is absent is zero.
 */
#include "firmware/acpi.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/base/check.h"

#include "firmware/acpi-arm64.h"
#include "firmware/acpi-buf.h"
#include "firmware/acpi-numa.h"
#include "firmware/acpi-pptt.h"
#include "firmware/dsdt.h"

#define TABLE_ALIGN 16
#define LAPIC_BASE  0xfee00000u
#define RSDP_XSDT   24
#define AREAS_MAX   4

/** struct builder - tables so far; @used: bytes taken of each area */
struct builder {
	struct arch_tables out;
	const struct platform *p;
	const struct acpi_area *area;
	unsigned area_count;
	uint64_t used[AREAS_MAX];
};

/* ---- placement ---- */

/* Identifiers stand in tables without a NUL (ACPI 6.5 sec. 5.2.6). */
static void put_text(uint8_t *at, const char *text)
{
	while (*text)
		*at++ = (uint8_t)*text++;
}

static int place(struct builder *bl, size_t size, gpa_t *out, struct diag *d)
{
	for (unsigned i = 0; i < bl->area_count; i++) {
		const struct acpi_area *a = &bl->area[i];
		uint64_t at = align_up(bl->used[i], TABLE_ALIGN);

		if (!range_within(at, size, 0, a->size_bytes))
			continue;
		*out = GPA(a->gpa.v + at);
		bl->used[i] = at + size;
		return 0;
	}
	return diag_fail(d, E2BIG,
			 "ACPI: a table of %zu bytes for %u vCPUs does not fit "
			 "into what is left for tables: take fewer vCPUs",
			 size, bl->p->cpu_count);
}

/* "FACP" -> "facp.aml" */
static void name_table(struct arch_table *t)
{
	for (int i = 0; i < 4; i++)
		t->name[i] = (char)tolower(t->data[i]);
	memcpy(t->name + 4, ".aml", 5);
}

/* Take over the finished table in @b; @b is released whatever happens. */
static int add(struct builder *bl, struct acpi_buf *b, gpa_t *where,
	       struct diag *d)
{
	struct arch_table *t = &bl->out.table[bl->out.count];
	gpa_t gpa = GPA(0);
	int err;

	CHECK(bl->out.count < ARCH_TABLES_MAX);
	if (b->failed)
		err = diag_fail(d, ENOMEM, "ACPI: no memory for the tables");
	else
		err = place(bl, b->size_bytes, &gpa, d);
	if (err) {
		acpi_buf_release(b);
		return err;
	}
	t->gpa = gpa;
	t->data = b->data;
	t->size_bytes = b->size_bytes;
	name_table(t);
	bl->out.count++;
	if (where)
		*where = gpa;
	return 0;
}

/* The table holds the address of another one at @offset. */
static void note_pointer(struct builder *bl, unsigned table, size_t offset)
{
	struct arch_tables *t = &bl->out;

	CHECK(t->pointer_count < ARRAY_SIZE(t->pointer));
	t->pointer[t->pointer_count++] =
		(struct arch_pointer){ table, (uint32_t)offset };
}

/* Generic address structure (sec. 5.2.3.2) of the first register of @dev */
enum { GAS_BYTES = 12, GAS_AT_ADDRESS = 4 };
enum gas_access { GAS_BYTE = 1, GAS_DWORD = 3 };

static void fill_gas(uint8_t *gas, const struct plat_dev *dev,
		     enum gas_access access)
{
	if (!dev || !dev->range_count)
		return;
	gas[0] = dev->range[0].bus == PLAT_PIO;
	gas[1] = (uint8_t)(8 << (access - 1)); /* width in bits */
	gas[3] = (uint8_t)access;
	put_le64(gas + GAS_AT_ADDRESS, dev->range[0].base);
}

/* ---- FADT: ACPI 6.3 sec. 5.2.9 ---- */

#define FADT_REVISION 6
#define FADT_MINOR    3
#define FADT_BYTES    276

enum {
	FADT_PROFILE = 45,
	FADT_PM_TIMER = 76,
	FADT_PM_TIMER_BYTES = 91,
	FADT_BOOT_FLAGS = 109,
	FADT_FLAGS = 112,
	FADT_RESET_REG = 116,
	FADT_RESET_VALUE = 128,
	FADT_ARM_BOOT_FLAGS = 129,
	FADT_MINOR_VERSION = 131,
	FADT_X_DSDT = 140,
	FADT_X_PM_TIMER = 208,
	FADT_SLEEP_CONTROL = 244,
	FADT_SLEEP_STATUS = 256,
	FADT_HYPERVISOR = 268,
};

#define PROFILE_ENTERPRISE_SERVER 4

/* IA-PC boot architecture flags */
enum { BOOT_NO_VGA = 1 << 2, BOOT_NO_CMOS_RTC = 1 << 5 };

/* Arm boot architecture flags: PSCI, by HVC */
enum { ARM_BOOT_PSCI = 1 << 0, ARM_BOOT_HVC = 1 << 1 };

/* Fixed feature flags; buttons and RTC: there are none in fixed registers */
enum {
	FLAG_WBINVD = 1 << 0,
	FLAG_POWER_BUTTON = 1 << 4,
	FLAG_SLEEP_BUTTON = 1 << 5,
	FLAG_FIX_RTC = 1 << 6,
	FLAG_RESET_REG = 1 << 10,
	FLAG_HW_REDUCED = 1 << 20,
};

#define RESET_VALUE 1 /* resets when written to PLAT_RESET_SLEEP's register */

static bool has_hid(const struct platform *p, const char *hid)
{
	for (unsigned i = 0; i < p->dev_count; i++)
		if (p->dev[i].hid && !strcmp(p->dev[i].hid, hid))
			return true;
	return false;
}

static void fill_sleep(uint8_t *fadt, const struct plat_dev *dev)
{
	if (!dev)
		return;
	fill_gas(fadt + FADT_RESET_REG, dev, GAS_BYTE);
	fadt[FADT_RESET_VALUE] = RESET_VALUE;
	fill_gas(fadt + FADT_SLEEP_CONTROL, dev, GAS_BYTE);
	fill_gas(fadt + FADT_SLEEP_STATUS, dev, GAS_BYTE);
}

static void fill_pm_timer(uint8_t *fadt, const struct plat_dev *dev)
{
	if (!dev)
		return;
	put_le32(fadt + FADT_PM_TIMER, (uint32_t)dev->range[0].base);
	fadt[FADT_PM_TIMER_BYTES] = 4;
	fill_gas(fadt + FADT_X_PM_TIMER, dev, GAS_DWORD);
}

static bool has_gic(const struct platform *p)
{
	return p->intc.kind == INTC_GICV3 || p->intc.kind == INTC_GICV2;
}

static void fill_boot_flags(uint8_t *fadt, const struct platform *p)
{
	if (has_gic(p))
		put_le16(fadt + FADT_ARM_BOOT_FLAGS,
			 ARM_BOOT_PSCI | ARM_BOOT_HVC);
	else if (has_hid(p, "PNP0B00"))
		put_le16(fadt + FADT_BOOT_FLAGS, BOOT_NO_VGA);
	else
		put_le16(fadt + FADT_BOOT_FLAGS,
			 BOOT_NO_VGA | BOOT_NO_CMOS_RTC);
}

static void fill_fadt(uint8_t *fadt, const struct platform *p, gpa_t dsdt)
{
	const struct plat_dev *sleep = platform_find(p, PLAT_RESET_SLEEP);
	uint32_t flags = FLAG_WBINVD | FLAG_POWER_BUTTON | FLAG_SLEEP_BUTTON |
			 FLAG_FIX_RTC | FLAG_HW_REDUCED;

	if (sleep)
		flags |= FLAG_RESET_REG;
	fadt[FADT_PROFILE] = PROFILE_ENTERPRISE_SERVER;
	fill_boot_flags(fadt, p);
	put_le32(fadt + FADT_FLAGS, flags);
	fadt[FADT_MINOR_VERSION] = FADT_MINOR;
	put_le64(fadt + FADT_X_DSDT, dsdt.v);
	fill_sleep(fadt, sleep);
	fill_pm_timer(fadt, platform_find(p, PLAT_PM_TIMER));
	put_text(fadt + FADT_HYPERVISOR, ACPI_OEM_TABLE_ID);
}

static int add_fadt(struct builder *bl, gpa_t dsdt, gpa_t *where,
		    struct diag *d)
{
	struct acpi_buf b = { 0 };

	acpi_table_begin(&b, "FACP", FADT_REVISION);
	acpi_zero(&b, FADT_BYTES - ACPI_HEADER_BYTES);
	if (!b.failed)
		fill_fadt(b.data, bl->p, dsdt);
	acpi_table_end(&b);
	note_pointer(bl, bl->out.count, FADT_X_DSDT);
	return add(bl, &b, where, d);
}

/* ---- MADT: ACPI 6.3 sec. 5.2.12 ---- */

#define MADT_REVISION 5

enum { MADT_LAPIC = 0, MADT_IOAPIC = 1, MADT_X2APIC = 9 };
enum { MADT_ENABLED = 1, MADT_ONLINE_CAPABLE = 2 };

static void put_lapic(struct acpi_buf *b, uint8_t id, uint8_t uid,
		      uint32_t flags)
{
	acpi_put8(b, MADT_LAPIC);
	acpi_put8(b, 8);
	acpi_put8(b, uid);
	acpi_put8(b, id);
	acpi_put32(b, flags);
}

static void put_x2apic(struct acpi_buf *b, uint32_t id, uint32_t uid,
		       uint32_t flags)
{
	acpi_put8(b, MADT_X2APIC);
	acpi_put8(b, 16);
	acpi_put16(b, 0);
	acpi_put32(b, id);
	acpi_put32(b, flags);
	acpi_put32(b, uid);
}

static void put_ioapic(struct acpi_buf *b, const struct plat_intc *intc)
{
	acpi_put8(b, MADT_IOAPIC);
	acpi_put8(b, 12);
	acpi_put16(b, 0); /* id 0 */
	acpi_put32(b, (uint32_t)intc->ioapic.base);
	acpi_put32(b, 0); /* its first wire is GSI 0 */
}

/* Ids that fit into a local APIC entry must be in one (sec. 5.2.12.12). */
static void put_processor(struct acpi_buf *b, const struct platform *p,
			  unsigned i)
{
	uint32_t id = (uint32_t)p->cpu[i].hw_id;
	uint32_t flags =
		i < p->cpu_enabled ? MADT_ENABLED : MADT_ONLINE_CAPABLE;

	if (id < ACPI_XAPIC_ID_END && i < ACPI_XAPIC_ID_END)
		put_lapic(b, (uint8_t)id, (uint8_t)i, flags);
	else
		put_x2apic(b, id, i, flags);
}

static void put_apics(struct acpi_buf *b, const struct platform *p)
{
	acpi_put32(b, LAPIC_BASE);
	acpi_put32(b, 0); /* no 8259 */
	for (unsigned i = 0; i < p->cpu_count; i++)
		put_processor(b, p, i);
	put_ioapic(b, &p->intc);
}

/* A table that @put writes behind its header */
static int
add_written(struct builder *bl, const char *signature, uint8_t revision,
	    void (*put)(struct acpi_buf *b, const struct platform *p),
	    gpa_t *where, struct diag *d)
{
	struct acpi_buf b = { 0 };

	acpi_table_begin(&b, signature, revision);
	put(&b, bl->p);
	acpi_table_end(&b);
	return add(bl, &b, where, d);
}

static int add_madt(struct builder *bl, gpa_t *where, struct diag *d)
{
	return add_written(bl, "APIC", MADT_REVISION,
			   has_gic(bl->p) ? acpi_put_gic : put_apics, where, d);
}

static int add_gtdt(struct builder *bl, gpa_t *where, struct diag *d)
{
	return add_written(bl, "GTDT", ACPI_GTDT_REVISION, acpi_put_gtdt, where,
			   d);
}

static int add_pptt(struct builder *bl, gpa_t *where, struct diag *d)
{
	return add_written(bl, "PPTT", ACPI_PPTT_REVISION, acpi_put_pptt, where,
			   d);
}

static int add_iort(struct builder *bl, gpa_t *where, struct diag *d)
{
	return add_written(bl, "IORT", ACPI_IORT_REVISION, acpi_put_iort, where,
			   d);
}

/* ---- MCFG: PCI Firmware 3.3 sec. 4.1.2 ---- */

static int add_mcfg(struct builder *bl, gpa_t *where, struct diag *d)
{
	const struct plat_pci *pci = &bl->p->pci;
	struct acpi_buf b = { 0 };

	acpi_table_begin(&b, "MCFG", 1);
	acpi_put64(&b, 0);
	for (unsigned i = 0; i < pci->segment_count; i++) {
		const struct plat_segment *s = &pci->segment[i];

		acpi_put64(&b, s->ecam.base);
		acpi_put16(&b, (uint16_t)i);
		acpi_put8(&b, 0); /* first bus */
		acpi_put8(&b, (uint8_t)(s->bus_count - 1));
		acpi_put32(&b, 0);
	}
	acpi_table_end(&b);
	return add(bl, &b, where, d);
}

/* ---- SPCR: Serial Port Console Redirection 1.03 ---- */

#define SPCR_BYTES 80

enum {
	SPCR_TYPE = 36,
	SPCR_GAS = 40,
	SPCR_IRQ_TYPE = 52,
	SPCR_GSI = 54,
	SPCR_BAUD = 58,
	SPCR_STOP = 60,
	SPCR_TERMINAL = 62,
	SPCR_PCI_ID = 64,
};

enum { SPCR_IRQ_IOAPIC = 2, SPCR_IRQ_GIC = 8 };
enum { SPCR_115200 = 7, SPCR_STOP_1 = 1, SPCR_ANSI = 3 };

/* The interface types of consoles by _HID; -1: SPCR has no word for it */
static int spcr_type(const struct plat_dev *dev)
{
	static const struct {
		const char *hid;
		int type;
	} known[] = { { "PNP0501", 0 }, { "ARMH0011", 3 } };

	for (unsigned i = 0; dev && dev->hid && i < ARRAY_SIZE(known); i++)
		if (!strcmp(dev->hid, known[i].hid))
			return known[i].type;
	return -1;
}

static void fill_spcr(uint8_t *spcr, const struct platform *p,
		      const struct plat_dev *dev)
{
	spcr[SPCR_TYPE] = (uint8_t)spcr_type(dev);
	fill_gas(spcr + SPCR_GAS, dev,
		 dev->range[0].bus == PLAT_PIO ? GAS_BYTE : GAS_DWORD);
	if (dev->irq_count) {
		spcr[SPCR_IRQ_TYPE] = p->intc.kind == INTC_APIC
					      ? SPCR_IRQ_IOAPIC
					      : SPCR_IRQ_GIC;
		put_le32(spcr + SPCR_GSI, acpi_gsi(p, dev->irq[0].pin));
	}
	spcr[SPCR_BAUD] = SPCR_115200;
	spcr[SPCR_STOP] = SPCR_STOP_1;
	spcr[SPCR_TERMINAL] = SPCR_ANSI;
	put_le32(spcr + SPCR_PCI_ID, UINT32_MAX); /* not a PCI device */
}

static int add_spcr(struct builder *bl, gpa_t *where, struct diag *d)
{
	struct acpi_buf b = { 0 };

	acpi_table_begin(&b, "SPCR", 2);
	acpi_zero(&b, SPCR_BYTES - ACPI_HEADER_BYTES);
	if (!b.failed)
		fill_spcr(b.data, bl->p, platform_find(bl->p, PLAT_CONSOLE));
	acpi_table_end(&b);
	return add(bl, &b, where, d);
}

/* ---- DBG2: Microsoft Debug Port Table 2, 2020 ---- */

enum { DBG2_SERIAL = 0x8000 };
enum {
	DBG2_FIRST = 44, /* the port's structure, in the table */
	DBG2_GAS = 22,	 /* from here on in that structure */
	DBG2_SIZE = DBG2_GAS + GAS_BYTES,
	DBG2_NAME = DBG2_SIZE + 4,
};

/* The port that SPCR names, by its name in the DSDT */
static int add_dbg2(struct builder *bl, gpa_t *where, struct diag *d)
{
	const struct plat_dev *dev = platform_find(bl->p, PLAT_CONSOLE);
	char name[] = "\\_SB.DV00";
	uint8_t gas[GAS_BYTES] = { 0 };
	struct acpi_buf b = { 0 };

	dsdt_dev_name(name + strlen("\\_SB."), (unsigned)(dev - bl->p->dev));
	fill_gas(gas, dev,
		 dev->range[0].bus == PLAT_PIO ? GAS_BYTE : GAS_DWORD);
	acpi_table_begin(&b, "DBG2", 0);
	acpi_put32(&b, DBG2_FIRST);
	acpi_put32(&b, 1); /* ports */
	acpi_put8(&b, 0);  /* revision */
	acpi_put16(&b, DBG2_NAME + sizeof(name));
	acpi_put8(&b, 1); /* register ranges */
	acpi_put16(&b, sizeof(name));
	acpi_put16(&b, DBG2_NAME);
	acpi_put16(&b, 0); /* OEM data, and where */
	acpi_put16(&b, 0);
	acpi_put16(&b, DBG2_SERIAL);
	acpi_put16(&b, (uint16_t)spcr_type(dev));
	acpi_put16(&b, 0);
	acpi_put16(&b, DBG2_GAS);
	acpi_put16(&b, DBG2_SIZE);
	acpi_put(&b, gas, sizeof(gas));
	acpi_put32(&b, (uint32_t)dev->range[0].size_bytes);
	acpi_put(&b, name, sizeof(name));
	acpi_table_end(&b);
	return add(bl, &b, where, d);
}

/* ---- WDAT: Microsoft, Hardware Watchdog Timers Design Specification ---- */

#define WDAT_NO_PCI 0xff

enum { WDAT_ENABLED = 1 << 0 };

enum wdat_action {
	WDAT_RESET = 1,
	WDAT_GET_LEFT = 4,
	WDAT_GET_PERIOD = 5,
	WDAT_SET_PERIOD = 6,
	WDAT_GET_RUNNING = 8,
	WDAT_SET_RUNNING = 9,
	WDAT_GET_STOPPED = 10,
	WDAT_SET_STOPPED = 11,
	WDAT_GET_STATUS = 32,
	WDAT_SET_STATUS = 33,
};

enum wdat_instruction {
	WDAT_IS_VALUE, /* is the register, masked, @value? */
	WDAT_READ_COUNT,
	WDAT_WRITE_VALUE,
	WDAT_WRITE_COUNT,
};

static const struct wdat_entry {
	enum wdat_action action;
	enum wdat_instruction instruction;
	enum plat_watchdog reg;
	uint32_t value, mask;
} wdat_entries[] = {
	{ WDAT_RESET, WDAT_WRITE_VALUE, WATCHDOG_INTCLR, 1, UINT32_MAX },
	{ WDAT_GET_LEFT, WDAT_READ_COUNT, WATCHDOG_LEFT, 0, UINT32_MAX },
	{ WDAT_GET_PERIOD, WDAT_READ_COUNT, WATCHDOG_PERIOD, 0, UINT32_MAX },
	{ WDAT_SET_PERIOD, WDAT_WRITE_COUNT, WATCHDOG_PERIOD, 0, UINT32_MAX },
	{ WDAT_GET_RUNNING, WDAT_IS_VALUE, WATCHDOG_CONTROL, WATCHDOG_RUN,
	  WATCHDOG_RUN },
	{ WDAT_SET_RUNNING, WDAT_WRITE_VALUE, WATCHDOG_CONTROL, WATCHDOG_RUN,
	  WATCHDOG_RUN },
	{ WDAT_GET_STOPPED, WDAT_IS_VALUE, WATCHDOG_CONTROL, 0, WATCHDOG_RUN },
	{ WDAT_SET_STOPPED, WDAT_WRITE_VALUE, WATCHDOG_CONTROL, 0,
	  WATCHDOG_RUN },
	{ WDAT_GET_STATUS, WDAT_IS_VALUE, WATCHDOG_FIRED, 1, 1 },
	{ WDAT_SET_STATUS, WDAT_WRITE_VALUE, WATCHDOG_FIRED, 0, UINT32_MAX },
};

static void put_wdat_entry(struct acpi_buf *b, const struct plat_dev *dev,
			   const struct wdat_entry *e)
{
	struct plat_dev at = *dev;
	uint8_t gas[GAS_BYTES] = { 0 };

	at.range[0].base += e->reg;
	fill_gas(gas, &at, GAS_DWORD);
	acpi_put8(b, (uint8_t)e->action);
	acpi_put8(b, (uint8_t)e->instruction);
	acpi_zero(b, 2);
	acpi_put(b, gas, sizeof(gas));
	acpi_put32(b, e->value);
	acpi_put32(b, e->mask);
}

static int add_wdat(struct builder *bl, gpa_t *where, struct diag *d)
{
	const struct plat_dev *dev = platform_find(bl->p, PLAT_WATCHDOG);
	struct acpi_buf b = { 0 };

	acpi_table_begin(&b, "WDAT", 1);
	acpi_put32(&b, 32);	     /* bytes from here to the entries */
	acpi_put16(&b, WDAT_NO_PCI); /* segment */
	acpi_put8(&b, WDAT_NO_PCI);  /* bus, device, function */
	acpi_put8(&b, WDAT_NO_PCI);
	acpi_put8(&b, WDAT_NO_PCI);
	acpi_zero(&b, 3);
	acpi_put32(&b, 1); /* milliseconds per count */
	acpi_put32(&b, WATCHDOG_MS_MAX);
	acpi_put32(&b, 1);
	acpi_put8(&b, WDAT_ENABLED);
	acpi_zero(&b, 3);
	acpi_put32(&b, ARRAY_SIZE(wdat_entries));
	for (unsigned i = 0; i < ARRAY_SIZE(wdat_entries); i++)
		put_wdat_entry(&b, dev, &wdat_entries[i]);
	acpi_table_end(&b);
	return add(bl, &b, where, d);
}

/* ---- NUMA ---- */

static int add_srat(struct builder *bl, gpa_t *where, struct diag *d)
{
	return add_written(bl, "SRAT", ACPI_SRAT_REVISION, acpi_put_srat, where,
			   d);
}

static int add_slit(struct builder *bl, gpa_t *where, struct diag *d)
{
	return add_written(bl, "SLIT", ACPI_SLIT_REVISION, acpi_put_slit, where,
			   d);
}

static int add_hmat(struct builder *bl, gpa_t *where, struct diag *d)
{
	return add_written(bl, "HMAT", ACPI_HMAT_REVISION, acpi_put_hmat, where,
			   d);
}

/* ---- TPM2: TCG ACPI Specification 1.4 sec. 8.3 ---- */

/* TCG ACPI Specification 1.4 table 7; the control area is at CTRL_REQ of the
 * registers (PTP 1.05 sec. 6.5.3.1) */
enum { TPM2_CLIENT = 0, TPM2_START_CRB = 7, TPM2_CRB_CONTROL = 0x40 };

static int add_tpm2(struct builder *bl, gpa_t *where, struct diag *d)
{
	const struct plat_dev *tpm = platform_find(bl->p, PLAT_TPM);
	struct acpi_buf b = { 0 };

	acpi_table_begin(&b, "TPM2", 4);
	acpi_put16(&b, TPM2_CLIENT);
	acpi_put16(&b, 0);
	acpi_put64(&b, tpm->range[0].base + TPM2_CRB_CONTROL);
	acpi_put32(&b, TPM2_START_CRB);
	for (unsigned i = 0; i < 3; i++)
		acpi_put32(&b, 0); /* no parameters of the start method */
	acpi_put32(&b, 0);	   /* no event log: its size, its address */
	acpi_put64(&b, 0);
	acpi_table_end(&b);
	return add(bl, &b, where, d);
}

/* ---- XSDT and RSDP: ACPI 6.3 sec. 5.2.5 and 5.2.8 ---- */

static int add_dsdt(struct builder *bl, gpa_t *where, struct diag *d)
{
	struct acpi_buf b = { 0 };
	int err = dsdt_build(&b, bl->p, d);

	if (err) {
		acpi_buf_release(&b);
		return err;
	}
	return add(bl, &b, where, d);
}

static int add_xsdt(struct builder *bl, const gpa_t *entry, unsigned count,
		    gpa_t *where, struct diag *d)
{
	struct acpi_buf b = { 0 };

	acpi_table_begin(&b, "XSDT", 1);
	for (unsigned i = 0; i < count; i++) {
		note_pointer(bl, bl->out.count, b.size_bytes);
		acpi_put64(&b, entry[i].v);
	}
	acpi_table_end(&b);
	return add(bl, &b, where, d);
}

/* The first table of @bl, whose place is kept free */
static int set_rsdp(struct builder *bl, gpa_t xsdt, struct diag *d)
{
	struct arch_table *t = &bl->out.table[0];
	uint8_t *rsdp = calloc(1, ACPI_RSDP_BYTES);

	if (!rsdp)
		return diag_fail(d, ENOMEM, "ACPI: no memory for the tables");
	put_text(rsdp, "RSD PTR ");
	put_text(rsdp + 9, ACPI_OEM_ID);
	rsdp[15] = 2; /* revision */
	put_le32(rsdp + 20, ACPI_RSDP_BYTES);
	put_le64(rsdp + RSDP_XSDT, xsdt.v);
	note_pointer(bl, 0, RSDP_XSDT);
	rsdp[8] = (uint8_t)-acpi_sum(rsdp, 20);
	rsdp[ACPI_RSDP_CHECKSUM] = (uint8_t)-acpi_sum(rsdp, ACPI_RSDP_BYTES);
	*t = (struct arch_table){ "rsdp.bin", bl->area[0].gpa, rsdp,
				  ACPI_RSDP_BYTES };
	return 0;
}

/* ---- all of them ---- */

static bool always(const struct platform *p)
{
	(void)p;
	return true;
}

static bool has_ecam(const struct platform *p)
{
	return p->pci.segment_count && p->pci.segment[0].ecam.size_bytes;
}

static bool has_console(const struct platform *p)
{
	return spcr_type(platform_find(p, PLAT_CONSOLE)) >= 0;
}

static bool has_tpm(const struct platform *p)
{
	return platform_find(p, PLAT_TPM) != NULL;
}

static bool has_watchdog(const struct platform *p)
{
	return platform_find(p, PLAT_WATCHDOG);
}

static bool has_pptt(const struct platform *p)
{
	return has_gic(p) || p->pptt;
}

static bool has_its(const struct platform *p)
{
	return has_gic(p) && p->intc.its.size_bytes && p->pci.segment_count;
}

static bool has_numa(const struct platform *p)
{
	return p->numa != NULL;
}

static bool has_hmat(const struct platform *p)
{
	return p->numa && p->numa->hmat;
}

/* What the XSDT lists behind the FADT */
static const struct {
	bool (*wanted)(const struct platform *p);
	int (*add)(struct builder *bl, gpa_t *where, struct diag *d);
} tables[] = {
	{ always, add_madt },	    { has_ecam, add_mcfg },
	{ has_console, add_spcr },  { has_console, add_dbg2 },
	{ has_watchdog, add_wdat }, { has_numa, add_srat },
	{ has_numa, add_slit },	    { has_hmat, add_hmat },
	{ has_tpm, add_tpm2 },	    { has_gic, add_gtdt },
	{ has_pptt, add_pptt },	    { has_its, add_iort },
};

static int build(struct builder *bl, struct diag *d)
{
	gpa_t entry[1 + ARRAY_SIZE(tables)], dsdt = GPA(0), xsdt = GPA(0);
	unsigned n = 0;
	int err = add_dsdt(bl, &dsdt, d);

	if (!err)
		err = add_fadt(bl, dsdt, &entry[n++], d);
	for (unsigned i = 0; !err && i < ARRAY_SIZE(tables); i++)
		if (tables[i].wanted(bl->p))
			err = tables[i].add(bl, &entry[n++], d);
	if (!err)
		err = add_xsdt(bl, entry, n, &xsdt, d);
	if (!err)
		err = set_rsdp(bl, xsdt, d);
	return err;
}

static int check(const struct platform *p, struct diag *d)
{
	const struct plat_dev *timer = platform_find(p, PLAT_PM_TIMER);

	if (p->intc.kind == INTC_FAKE)
		return diag_fail(d, ENOTSUP,
				 "ACPI: only for machines with APICs or a GIC");
	if (p->intc.ioapic.base > UINT32_MAX)
		return diag_fail(d, EINVAL,
				 "ACPI: the IOAPIC must be below 4 GiB");
	if (timer && (!timer->range_count || timer->range[0].bus != PLAT_PIO))
		return diag_fail(d, EINVAL, "ACPI: the PM timer has no port");
	return 0;
}

int acpi_build(struct arch_tables *out, const struct platform *p,
	       const struct acpi_area *area, unsigned area_count,
	       struct diag *d)
{
	struct builder bl = {
		.out.count = 1,
		.p = p,
		.area = area,
		.area_count = area_count,
		.used[0] = ACPI_RSDP_BYTES,
	};
	int err = check(p, d);

	CHECK(area_count && area_count <= AREAS_MAX &&
	      area[0].size_bytes >= ACPI_RSDP_BYTES);
	if (!err)
		err = build(&bl, d);
	if (err) {
		arch_tables_release(&bl.out);
		return err;
	}
	*out = bl.out;
	return 0;
}
