/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: ACPI tables about NUMA nodes: see acpi-numa.h */
#include "firmware/acpi-numa.h"

#include "firmware/acpi.h"

/* ---- SRAT: ACPI 6.3 sec. 5.2.16 ---- */

enum { SRAT_LAPIC = 0, SRAT_MEMORY = 1, SRAT_X2APIC = 2, SRAT_GICC = 3 };
enum { SRAT_ENABLED = 1 };

static void put_lapic(struct acpi_buf *b, const struct plat_cpu *cpu)
{
	acpi_put8(b, SRAT_LAPIC);
	acpi_put8(b, 16);
	acpi_put8(b, (uint8_t)cpu->node);
	acpi_put8(b, (uint8_t)cpu->hw_id);
	acpi_put32(b, SRAT_ENABLED);
	acpi_put64(b, 0); /* SAPIC EID, rest of the node, clock domain */
}

static void put_x2apic(struct acpi_buf *b, const struct plat_cpu *cpu)
{
	acpi_put8(b, SRAT_X2APIC);
	acpi_put8(b, 24);
	acpi_put16(b, 0);
	acpi_put32(b, cpu->node);
	acpi_put32(b, (uint32_t)cpu->hw_id);
	acpi_put32(b, SRAT_ENABLED);
	acpi_put64(b, 0);
}

static void put_gicc(struct acpi_buf *b, const struct plat_cpu *cpu,
		     uint32_t uid)
{
	acpi_put8(b, SRAT_GICC);
	acpi_put8(b, 18);
	acpi_put32(b, cpu->node);
	acpi_put32(b, uid); /* of the MADT's GICC */
	acpi_put32(b, SRAT_ENABLED);
	acpi_put32(b, 0);
}

static void put_cpu(struct acpi_buf *b, const struct platform *p, uint32_t i)
{
	if (p->intc.kind != INTC_APIC)
		put_gicc(b, &p->cpu[i], i);
	else if (p->cpu[i].hw_id < ACPI_XAPIC_ID_END)
		put_lapic(b, &p->cpu[i]);
	else
		put_x2apic(b, &p->cpu[i]);
}

static void put_ram(struct acpi_buf *b, const struct plat_range *ram,
		    uint32_t node)
{
	acpi_put8(b, SRAT_MEMORY);
	acpi_put8(b, 40);
	acpi_put32(b, node);
	acpi_put16(b, 0);
	acpi_put64(b, ram->base);
	acpi_put64(b, ram->size_bytes);
	acpi_put32(b, 0);
	acpi_put32(b, SRAT_ENABLED);
	acpi_put64(b, 0);
}

void acpi_put_srat(struct acpi_buf *b, const struct platform *p)
{
	struct plat_range ram;
	unsigned next = 0;
	uint32_t node;

	acpi_put32(b, 1); /* reserved, must be 1 */
	acpi_put64(b, 0);
	for (node = 0; node < p->numa->node_count; node++)
		for (uint32_t i = 0; i < p->cpu_count; i++)
			if (p->cpu[i].node == node)
				put_cpu(b, p, i);
	while (platform_memory(p, &next, &ram, &node))
		put_ram(b, &ram, node);
}

/* ---- SLIT: ACPI 6.3 sec. 5.2.17 ---- */

void acpi_put_slit(struct acpi_buf *b, const struct platform *p)
{
	uint32_t n = p->numa->node_count;

	acpi_put64(b, n);
	for (uint32_t i = 0; i < n; i++)
		for (uint32_t j = 0; j < n; j++)
			acpi_put8(b, (uint8_t)p->numa->link[i][j].distance);
}

/* ---- HMAT: ACPI 6.4 sec. 5.2.27 ---- */

enum { HMAT_PROXIMITY = 0, HMAT_LOCALITY = 1 };
enum { HMAT_INITIATOR_VALID = 1 };
enum hmat_data { HMAT_LATENCY = 0, HMAT_BANDWIDTH = 3 }; /* of any access */

#define HMAT_VALUE_MAX 0xfffe /* 0xffff: not reachable */
#define PS_PER_NS      1000

/** struct members - nodes of one kind */
struct members {
	uint32_t node[PLAT_NODES_MAX];
	uint32_t count;
};

static struct members with_cpus(const struct platform *p)
{
	bool has[PLAT_NODES_MAX] = { false };
	struct members m = { .count = 0 };

	for (uint32_t i = 0; i < p->cpu_count; i++)
		has[p->cpu[i].node] = true;
	for (uint32_t i = 0; i < p->numa->node_count; i++)
		if (has[i])
			m.node[m.count++] = i;
	return m;
}

static struct members with_ram(const struct platform *p)
{
	bool has[PLAT_NODES_MAX] = { false };
	struct members m = { .count = 0 };

	for (uint32_t i = 0; i < p->part_count; i++)
		has[p->part[i].node] = true;
	for (uint32_t i = 0; i < p->numa->node_count; i++)
		if (has[i])
			m.node[m.count++] = i;
	return m;
}

static bool is_member(const struct members *m, uint32_t node)
{
	for (uint32_t i = 0; i < m->count; i++)
		if (m->node[i] == node)
			return true;
	return false;
}

/* The memory of node @node, whose controller its own CPUs are next to */
static void put_proximity(struct acpi_buf *b, uint32_t node, bool cpus)
{
	acpi_put16(b, HMAT_PROXIMITY);
	acpi_put16(b, 0);
	acpi_put32(b, 40);
	acpi_put16(b, cpus ? HMAT_INITIATOR_VALID : 0);
	acpi_put16(b, 0);
	acpi_put32(b, cpus ? node : 0);
	acpi_put32(b, node);
	acpi_put32(b, 0);
	acpi_put64(b, 0);
	acpi_put64(b, 0);
}

static uint32_t link_value(const struct plat_link *link, enum hmat_data what)
{
	return what == HMAT_LATENCY ? link->latency_ns : link->bandwidth_mb;
}

/* Rounded up; the sum of both may be more than 32 bits have. */
static uint32_t divide_up(uint32_t value, uint32_t by)
{
	return value / by + (value % by != 0);
}

/* The unit in which all values fit: 1, unless there are larger ones; 0: there
 * are none */
static uint32_t unit_of(const struct platform *p, enum hmat_data what)
{
	uint32_t most = 0, n = p->numa->node_count;

	for (uint32_t i = 0; i < n; i++)
		for (uint32_t j = 0; j < n; j++)
			most = MAX(most,
				   link_value(&p->numa->link[i][j], what));
	return divide_up(most, HMAT_VALUE_MAX);
}

/* Rounded up, as 0 would say that it is not known. */
static void put_value(struct acpi_buf *b, uint32_t value, uint32_t unit)
{
	acpi_put16(b, (uint16_t)divide_up(value, unit));
}

static void put_nodes(struct acpi_buf *b, const struct members *m)
{
	for (uint32_t i = 0; i < m->count; i++)
		acpi_put32(b, m->node[i]);
}

static void put_locality(struct acpi_buf *b, const struct platform *p,
			 const struct members *from, const struct members *to,
			 enum hmat_data what)
{
	uint32_t unit = unit_of(p, what);

	if (!unit)
		return;
	acpi_put16(b, HMAT_LOCALITY);
	acpi_put16(b, 0);
	acpi_put32(b, 32 + 4 * from->count + 4 * to->count +
			      2 * from->count * to->count);
	acpi_put8(b, 0); /* memory, any transfer size */
	acpi_put8(b, (uint8_t)what);
	acpi_put8(b, 0);
	acpi_put8(b, 0);
	acpi_put32(b, from->count);
	acpi_put32(b, to->count);
	acpi_put32(b, 0);
	acpi_put64(b, what == HMAT_LATENCY ? unit * PS_PER_NS : unit);
	put_nodes(b, from);
	put_nodes(b, to);
	for (uint32_t i = 0; i < from->count; i++)
		for (uint32_t j = 0; j < to->count; j++)
			put_value(b,
				  link_value(&p->numa->link[from->node[i]]
							   [to->node[j]],
					     what),
				  unit);
}

void acpi_put_hmat(struct acpi_buf *b, const struct platform *p)
{
	struct members from = with_cpus(p), to = with_ram(p);

	acpi_put32(b, 0);
	for (uint32_t i = 0; i < to.count; i++)
		put_proximity(b, to.node[i], is_member(&from, to.node[i]));
	put_locality(b, p, &from, &to, HMAT_LATENCY);
	put_locality(b, p, &from, &to, HMAT_BANDWIDTH);
}
