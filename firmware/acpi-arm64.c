/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: ACPI tables of machines with a GIC: see acpi-arm64.h */
#include "firmware/acpi-arm64.h"

/* ---- MADT: ACPI 6.3 sec. 5.2.12.14 to 5.2.12.18 ---- */

enum { MADT_GICC = 11, MADT_GICD = 12, MADT_GICR = 14, MADT_ITS = 15 };
enum { GICC_BYTES = 80, GICD_BYTES = 24, GICR_BYTES = 16, ITS_BYTES = 20 };
enum { GICC_ENABLED = 1 };

#define PMU_INTID 23 /* PPI 7; level-triggered: no flag */

static void put_gicc(struct acpi_buf *b, const struct platform *p, unsigned i)
{
	acpi_put8(b, MADT_GICC);
	acpi_put8(b, GICC_BYTES);
	acpi_put16(b, 0);
	acpi_put32(b, i); /* CPU interface number */
	acpi_put32(b, i); /* _UID in the DSDT */
	acpi_put32(b, i < p->cpu_enabled ? GICC_ENABLED : 0);
	acpi_put32(b, 0); /* no parking protocol: PSCI */
	acpi_put32(b, p->intc.pmu ? PMU_INTID : 0);
	acpi_put64(b, 0);
	acpi_put64(b, p->intc.cpu_if.base); /* 0 with GICv3 */
	acpi_put64(b, 0);		    /* GICV */
	acpi_put64(b, 0);		    /* GICH */
	acpi_put32(b, 0);		    /* maintenance interrupt */
	acpi_put64(b, 0);		    /* GICR: see the GICR entries */
	acpi_put64(b, p->cpu[i].hw_id);
	acpi_put8(b, 0); /* efficiency class */
	acpi_put8(b, 0);
	acpi_put16(b, 0); /* no statistical profiling */
}

static void put_gicd(struct acpi_buf *b, const struct plat_intc *gic)
{
	acpi_put8(b, MADT_GICD);
	acpi_put8(b, GICD_BYTES);
	acpi_put16(b, 0);
	acpi_put32(b, 0); /* id */
	acpi_put64(b, gic->dist.base);
	acpi_put32(b, 0); /* its first interrupt is GSI 0 */
	acpi_put8(b, gic->kind == INTC_GICV3 ? 3 : 2);
	acpi_zero(b, 3);
}

static void put_gicr(struct acpi_buf *b, const struct plat_range *r)
{
	acpi_put8(b, MADT_GICR);
	acpi_put8(b, GICR_BYTES);
	acpi_put16(b, 0);
	acpi_put64(b, r->base);
	acpi_put32(b, (uint32_t)r->size_bytes);
}

static void put_its(struct acpi_buf *b, const struct plat_range *its)
{
	acpi_put8(b, MADT_ITS);
	acpi_put8(b, ITS_BYTES);
	acpi_put16(b, 0);
	acpi_put32(b, 0); /* id, which the IORT names */
	acpi_put64(b, its->base);
	acpi_put32(b, 0);
}

void acpi_put_gic(struct acpi_buf *b, const struct platform *p)
{
	const struct plat_intc *gic = &p->intc;

	acpi_put32(b, 0); /* no local APIC */
	acpi_put32(b, 0);
	for (unsigned i = 0; i < p->cpu_count; i++)
		put_gicc(b, p, i);
	put_gicd(b, gic);
	for (unsigned i = 0; i < gic->redist_count; i++)
		put_gicr(b, &gic->redist[i]);
	if (gic->its.size_bytes)
		put_its(b, &gic->its);
}

/* ---- GTDT: ACPI 6.3 sec. 5.2.24; interrupts: Arm BSA (DEN 0094C) table 6 ---
 */

enum { TIMER_LEVEL_HIGH = 0, TIMER_ALWAYS_ON = 1 << 2 };
enum {
	INTID_HYP_TIMER = 26,
	INTID_VIRT_TIMER = 27,
	INTID_SECURE_TIMER = 29,
	INTID_TIMER = 30,
};

void acpi_put_gtdt(struct acpi_buf *b, const struct platform *p)
{
	static const uint32_t timers[] = { INTID_SECURE_TIMER, INTID_TIMER,
					   INTID_VIRT_TIMER, INTID_HYP_TIMER };

	(void)p;
	acpi_put64(b, UINT64_MAX); /* no memory-mapped counter */
	acpi_put32(b, 0);
	for (unsigned i = 0; i < ARRAY_SIZE(timers); i++) {
		acpi_put32(b, timers[i]);
		acpi_put32(b, TIMER_LEVEL_HIGH | TIMER_ALWAYS_ON);
	}
	acpi_put64(b, UINT64_MAX);
	acpi_put32(b, 0); /* platform timers, and where they are described */
	acpi_put32(b, 0);
	acpi_put32(b, 0); /* virtual EL2 timer */
	acpi_put32(b, 0);
}

/* ---- IORT: DEN 0049D sec. 3 ---- */

enum { IORT_ITS_GROUP = 0, IORT_ROOT_COMPLEX = 2 };
enum {
	IORT_FIRST_NODE = 48, /* header, three fields */
	IORT_ITS_BYTES = 24,
	IORT_RC_BYTES = 36,
	IORT_MAPPING_BYTES = 20,
};
enum { IORT_COHERENT = 1, IORT_CPM_DACS = 3 };

static void put_iort_node(struct acpi_buf *b, uint8_t type, uint16_t bytes,
			  uint8_t revision, uint32_t id, uint32_t mappings)
{
	acpi_put8(b, type);
	acpi_put16(b, bytes);
	acpi_put8(b, revision);
	acpi_put32(b, id);
	acpi_put32(b, mappings);
	acpi_put32(b, mappings ? bytes - IORT_MAPPING_BYTES * mappings : 0);
}

static void put_root_complex(struct acpi_buf *b, const struct platform *p,
			     unsigned segment)
{
	put_iort_node(b, IORT_ROOT_COMPLEX, IORT_RC_BYTES + IORT_MAPPING_BYTES,
		      1, segment + 1, 1);
	acpi_put32(b, IORT_COHERENT);
	acpi_put8(b, 0); /* allocation hints */
	acpi_put16(b, 0);
	acpi_put8(b, IORT_CPM_DACS);
	acpi_put32(b, 0); /* no ATS */
	acpi_put32(b, segment);
	acpi_put8(b, 64); /* address bits */
	acpi_zero(b, 3);
	acpi_put32(b, 0); /* mapping: from id 0 on; how many, less 1 */
	acpi_put32(b, platform_msi_ids(p) - 1);
	acpi_put32(b, segment * PLAT_SEGMENT_IDS);
	acpi_put32(b, IORT_FIRST_NODE);
	acpi_put32(b, 0);
}

void acpi_put_iort(struct acpi_buf *b, const struct platform *p)
{
	acpi_put32(b, 1 + p->pci.segment_count); /* nodes */
	acpi_put32(b, IORT_FIRST_NODE);
	acpi_put32(b, 0);
	put_iort_node(b, IORT_ITS_GROUP, IORT_ITS_BYTES, 0, 0, 0);
	acpi_put32(b, 1); /* ITS with the MADT's id 0 */
	acpi_put32(b, 0);
	for (unsigned i = 0; i < p->pci.segment_count; i++)
		put_root_complex(b, p, i);
}
