/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: ACPI tables for firmware that moves them, from both ends
 *
 * An input with the first byte odd is a script and files for the consumer of
 * tests/unit/acpi-consumer.h, which may refuse anything, but touches nothing
 * else. Other inputs are a sample machine and changes of 12 bytes to its
 * description, also those that no layout would make. Either that is refused,
 * with and without firmware in the same way; or what the consumer comes to is,
 * byte for byte, what direct boot gets at that place, with good lengths and
 * checksums.
 */
#include <stdlib.h>
#include <string.h>

#include "vmm/base/check.h"

#include "firmware/acpi-loader.h"
#include "firmware/acpi.h"
#include "tests/unit/acpi-consumer.h"
#include "tests/unit/platforms.h"

#define RSDP_GPA   UINT64_C(0x000f5a30)
#define TABLES_GPA UINT64_C(0x7ffe0440)
#define CHANGES	   64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* ---- any script --------------------------------------------------------- */

/* The first bytes say how long each of two files is; the script follows. */
static void any_script(const uint8_t *data, size_t len)
{
	static const char *const names[] = { FW_CFG_ACPI_RSDP,
					     FW_CFG_ACPI_TABLES, "x" };
	struct consumer c = { .count = 0 };
	size_t sizes[3] = { 0 };

	if (len < 4)
		return;
	sizes[0] = MIN(len - 4, (size_t)data[0]);
	sizes[1] = MIN(len - 4 - sizes[0], (size_t)get_le16(data + 1));
	data += 4;
	len -= 4;
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		consumer_add(&c, names[i], data, sizes[i],
			     i ? TABLES_GPA & ~0xfffull : RSDP_GPA);
		data += sizes[i];
		len -= sizes[i];
	}
	consumer_run(&c, data, align_down(len, CONSUMER_ENTRY));
	consumer_release(&c);
}

/* ---- any machine -------------------------------------------------------- */

/**
 * struct change - as the input has it, little-endian
 * @what: of the platform, modulo the number of fields; or of a device, a CPU,
 *	a part of RAM, a cache, a link
 * @which, @sub: of those
 */
struct change {
	uint8_t what, which, sub, unused;
	uint64_t value;
} __attribute__((packed));

/* Plain numbers, of 1, 4 or 8 bytes; bytes are truths. */
#define FIELD(f)                                          \
	{                                                 \
		offsetof(struct platform, f),             \
			sizeof(((struct platform *)0)->f) \
	}
static const struct {
	size_t at, size;
} fields[] = {
	FIELD(intc.ioapic.base),
	FIELD(intc.pin_count),
	FIELD(intc.dist.base),
	FIELD(intc.cpu_if.base),
	FIELD(intc.its.base),
	FIELD(intc.its.size_bytes),
	FIELD(intc.redist[0].base),
	FIELD(intc.redist[1].size_bytes),
	FIELD(intc.pmu),
	FIELD(pci.segment[0].ecam.base),
	FIELD(pci.segment[0].ecam.size_bytes),
	FIELD(pci.segment[0].bus_count),
	FIELD(pci.segment[0].mmio32.base),
	FIELD(pci.segment[0].mmio32.size_bytes),
	FIELD(pci.segment[0].mmio64.base),
	FIELD(pci.segment[0].mmio64.size_bytes),
	FIELD(pci.segment[1].ecam.base),
	FIELD(pci.segment[1].ecam.size_bytes),
	FIELD(pci.segment[1].bus_count),
	FIELD(pci.segment[1].mmio64.base),
	FIELD(pci.segment[1].mmio64.size_bytes),
	FIELD(pci.pio.base),
	FIELD(pci.pio.size_bytes),
	FIELD(pci.pio_chipset.base),
	FIELD(pci.pio_chipset.size_bytes),
	FIELD(pci.cf8),
	FIELD(pci.intx_present),
	FIELD(pci.intx[0]),
	FIELD(pci.intx[3]),
	FIELD(cpu_enabled),
	FIELD(clidr),
	FIELD(pptt),
	FIELD(q35),
	FIELD(topology.threads_per_core),
	FIELD(topology.dies_per_package),
};

static void change_field(struct platform *p, const struct change *c)
{
	uint8_t *at = (uint8_t *)p + fields[c->which % ARRAY_SIZE(fields)].at;
	uint64_t value = c->value;

	switch (fields[c->which % ARRAY_SIZE(fields)].size) {
	case 1:
		*at = value & 1;
		break;
	case 4:
		memcpy(at, &value, 4);
		break;
	default:
		memcpy(at, &value, 8);
	}
}

static void change_dev(struct platform *p, const struct change *c)
{
	static const char *const hids[] = { NULL,	"PNP0501",  "ARMH0011",
					    "ACPI0013", "QEMU0002", "a",
					    "",		"PNP0B00" };
	struct plat_dev *dev = &p->dev[c->which % MAX(p->dev_count, 1u)];
	uint32_t value = (uint32_t)c->value;

	switch (c->sub % 8) {
	case 0:
		dev->role = (enum plat_role)(value % (PLAT_WATCHDOG + 1));
		break;
	case 1:
		dev->hid = hids[value % ARRAY_SIZE(hids)];
		break;
	case 2:
		dev->uid = value;
		break;
	case 3:
		dev->range_count = value % (PLAT_RANGES_MAX + 1);
		dev->irq_count = (value >> 8) % 3;
		break;
	case 4:
		dev->range[c->sub / 8 % PLAT_RANGES_MAX].base = c->value;
		break;
	case 5:
		dev->range[c->sub / 8 % PLAT_RANGES_MAX].size_bytes = c->value;
		break;
	case 6:
		dev->range[c->sub / 8 % PLAT_RANGES_MAX].bus =
			value & 1 ? PLAT_PIO : PLAT_MMIO;
		break;
	default:
		dev->irq[c->sub / 8 % 2] =
			(struct plat_irq){ value, c->value >> 32 & 1 };
	}
}

static void add_dev(struct platform *p, const struct change *c)
{
	struct plat_dev dev = { .role = PLAT_PLAIN, .name = "fuzz" };

	if (p->dev_count)
		dev = p->dev[c->which % p->dev_count];
	platform_add(p, &dev, NULL);
}

static void change_cpu(struct platform *p, const struct change *c)
{
	struct plat_cpu *cpu =
		&p->cpu[(c->which | (unsigned)c->sub << 8) % p->cpu_count];
	uint32_t nodes = p->numa ? p->numa->node_count : 1;

	cpu->hw_id = c->value;
	cpu->node = c->unused % nodes;
	cpu->thread = c->unused & 1;
	cpu->core = c->unused >> 1 & 1;
	cpu->die = c->unused >> 2 & 1;
}

static void change_numa(struct platform *p, const struct change *c)
{
	struct plat_link *link;

	if (!p->numa)
		p->numa = calloc(1, sizeof(*p->numa));
	CHECK(p->numa);
	/* Nodes are only ever added. */
	p->numa->node_count =
		MAX(p->numa->node_count, 1 + c->unused % PLAT_NODES_MAX);
	p->pci.segment[c->sub % PLAT_SEGMENTS_MAX].node =
		c->unused % p->numa->node_count;
	p->numa->hmat |= c->value >> 63;
	link = &p->numa->link[c->which % p->numa->node_count]
			     [c->sub % p->numa->node_count];
	link->distance = (uint32_t)c->value;
	link->latency_ns = (uint32_t)(c->value >> 16);
	link->bandwidth_mb = (uint32_t)(c->value >> 32);
}

static void change_part(struct platform *p, const struct change *c)
{
	struct plat_part *part = &p->part[c->which % MAX(p->part_count, 1u)];

	if (c->sub & 1)
		part->range.base = c->value;
	else
		part->range.size_bytes = c->value;
	part->node = p->numa ? c->unused % p->numa->node_count : 0;
}

static void change_cache(struct platform *p, const struct change *c)
{
	struct cache_level *l = &p->cache[c->which % CACHE_LEVELS];
	struct cache_shape *shape = c->sub & 1 ? &l->code : &l->data;

	shape->size_bytes = (uint32_t)c->value;
	shape->line_bytes = (uint32_t)(c->value >> 24);
	shape->sets = (uint32_t)(c->value >> 8);
	shape->ways = (uint32_t)(c->value >> 40);
}

static void change(struct platform *p, const struct change *c)
{
	switch (c->what % 10) {
	case 0:
	case 1:
		change_field(p, c);
		break;
	case 2:
	case 3:
		change_dev(p, c);
		break;
	case 4:
		add_dev(p, c);
		break;
	case 5:
		change_cpu(p, c);
		break;
	case 6:
		change_numa(p, c);
		break;
	case 7:
		change_part(p, c);
		break;
	case 8:
		change_cache(p, c);
		break;
	default:
		p->intc.kind = (enum plat_intc_kind)(c->which % 4);
		p->intc.redist_count = c->sub % (PLAT_REDIST_MAX + 1);
		p->pci.segment_count = c->value % (PLAT_SEGMENTS_MAX + 1);
	}
}

/* ---- what they come to -------------------------------------------------- */

static void check_table(const struct arch_table *t, const uint8_t *now)
{
	CHECK(!memcmp(now, t->data, t->size_bytes));
	CHECK(get_le32(now + 4) == t->size_bytes);
	CHECK(!acpi_sum(now, t->size_bytes));
}

/* Every table but the DSDT is in the XSDT. */
static void check_xsdt(const struct arch_tables *t, const struct consumer *c)
{
	uint64_t at = get_le64(c->file[0].data + 24) - TABLES_GPA;
	const uint8_t *xsdt = c->file[1].data + at;

	CHECK(at < c->file[1].size_bytes && !memcmp(xsdt, "XSDT", 4));
	CHECK((get_le32(xsdt + 4) - ACPI_HEADER_BYTES) / 8 == t->count - 3);
}

static void check_all(const struct arch_tables *t, const struct consumer *c)
{
	const struct consumer_file *f = &c->file[1];

	CHECK(t->count > 3 && t->table[0].size_bytes == c->file[0].size_bytes);
	CHECK(!memcmp(c->file[0].data, t->table[0].data,
		      c->file[0].size_bytes));
	for (unsigned i = 1; i < t->count; i++) {
		const struct arch_table *one = &t->table[i];

		CHECK(range_within(one->gpa.v, one->size_bytes, f->gpa,
				   f->size_bytes));
		check_table(one, f->data + (one->gpa.v - f->gpa));
	}
	check_xsdt(t, c);
}

static void run_consumer(const struct acpi_files *files,
			 const struct arch_tables *direct)
{
	struct consumer c = { .count = 0 };

	consumer_add(&c, FW_CFG_ACPI_RSDP, files->rsdp.data,
		     files->rsdp.size_bytes, RSDP_GPA);
	consumer_add(&c, FW_CFG_ACPI_TABLES, files->tables.data,
		     files->tables.size_bytes, TABLES_GPA);
	CHECK(!consumer_run(&c, files->loader.data, files->loader.size_bytes));
	check_all(direct, &c);
	consumer_release(&c);
}

static void both_ways(const struct platform *p)
{
	const struct acpi_area area[] = { { GPA(RSDP_GPA), ACPI_RSDP_BYTES },
					  { GPA(TABLES_GPA), MIB(4) } };
	struct arch_tables direct = { .count = 0 };
	struct acpi_files files = { .rsdp = { .data = NULL } };
	struct diag d = DIAG_INIT;
	int err = acpi_build(&direct, p, area, ARRAY_SIZE(area), &d);

	CHECK(err <= 0 && !!err == !!d.depth);
	d = DIAG_INIT;
	CHECK(acpi_files_build(&files, p, &d) == err);
	if (!err)
		run_consumer(&files, &direct);
	arch_tables_release(&direct);
	acpi_files_release(&files);
}

static void any_machine(const uint8_t *data, size_t len)
{
	struct platform p;
	struct change c;

	sample_make(&p, &samples[data[0] / 2 % ARRAY_SIZE(samples)]);
	p.tables = TABLES_ACPI;
	for (size_t at = 1, n = 0; at + sizeof(c) <= len && n < CHANGES; n++) {
		memcpy(&c, data + at, sizeof(c));
		change(&p, &c);
		at += sizeof(c);
	}
	both_ways(&p);
	platform_release(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len < 2)
		return -1;
	if (data[0] & 1)
		any_script(data + 1, len - 1);
	else
		any_machine(data, len);
	return 0;
}
