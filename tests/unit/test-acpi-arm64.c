/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: ACPI of arm64 machines: every sample machine's tables by iasl in both
 * directions, their contents against the platform description, the EFI tables
 * and the stub of a device tree through which a kernel finds them
 */
#include <check.h>
#include <errno.h>
#include <libfdt.h>
#include <stdlib.h>
#include <zlib.h>

#include "arch/arm64/acpi.h"
#include "arch/arm64/tables.h"
#include "vmm/base/bytes.h"

#include "tests/unit/acpiexec.h"
#include "tests/unit/numa-check.h"
#include "tests/unit/platforms.h"
#include "tests/unit/suite.h"
#include "tests/unit/tool.h"

struct machine {
	struct platform p;
	struct arch_tables t;
};

/* Of m->p */
static void machine_build(struct machine *m)
{
	struct diag d = DIAG_INIT;
	char why[512];
	int err;

	m->p.tables = TABLES_ACPI;
	m->t = (struct arch_tables){ .count = 0 };
	err = arm64_tables(&m->t, &m->p, NULL, GPA(0), 0, &d);
	ck_assert_msg(!err, "%s", diag_format(&d, why, sizeof(why)));
}

static void machine_make(struct machine *m, const struct sample *s)
{
	sample_make(&m->p, s);
	machine_build(m);
}

static void machine_free(struct machine *m)
{
	arch_tables_release(&m->t);
	platform_release(&m->p);
}

static const struct arch_table *by_name(const struct machine *m,
					const char *name)
{
	for (unsigned i = 0; i < m->t.count; i++)
		if (!strcmp(m->t.table[i].name, name))
			return &m->t.table[i];
	return NULL;
}

static const struct arch_table *by_gpa(const struct machine *m, uint64_t gpa)
{
	for (unsigned i = 0; i < m->t.count; i++)
		if (m->t.table[i].gpa.v == gpa)
			return &m->t.table[i];
	return NULL;
}

/* ---- places and pointers ---- */

static uint8_t sum(const struct arch_table *t, size_t len)
{
	uint8_t s = 0;

	for (size_t i = 0; i < len; i++)
		s += t->data[i];
	return s;
}

/* All tables are apart from each other in the memory kept for them. */
START_TEST(test_places)
{
	struct plat_range r;
	struct machine m;

	machine_make(&m, sample_nth(true, _i));
	r = arm64_acpi_range(&m.p);
	for (unsigned i = 0; i + 1 < m.t.count; i++) {
		const struct arch_table *a = &m.t.table[i];

		ck_assert(range_within(a->gpa.v, a->size_bytes, r.base,
				       r.size_bytes));
		for (unsigned j = 0; j < i; j++) {
			const struct arch_table *b = &m.t.table[j];

			ck_assert(a->gpa.v >= b->gpa.v + b->size_bytes ||
				  b->gpa.v >= a->gpa.v + a->size_bytes);
		}
	}
	machine_free(&m);
}
END_TEST

/* From the stub tree to every table, as a kernel goes */
START_TEST(test_found_by_kernel)
{
	const struct arch_table *efi, *rsdp, *xsdt, *dtb;
	struct machine m;
	uint8_t copy[120];
	const uint8_t *at;

	machine_make(&m, sample_nth(true, _i));
	dtb = by_name(&m, "virt.dtb");
	at = fdt_getprop(dtb->data, fdt_path_offset(dtb->data, "/chosen"),
			 "linux,uefi-system-table", NULL);
	ck_assert_ptr_nonnull(at);
	efi = by_gpa(&m, get_be64(at));
	ck_assert_ptr_nonnull(efi);
	memcpy(copy, efi->data, sizeof(copy));
	put_le32(copy + 16, 0);
	ck_assert_uint_eq(crc32(0, copy, sizeof(copy)),
			  get_le32(efi->data + 16));
	at = efi->data + get_le64(efi->data + 112) - efi->gpa.v;
	ck_assert_uint_eq(get_le64(efi->data + 104), 4);
	ck_assert_uint_eq(get_le32(at), 0x8868e871); /* ACPI 2.0 */
	rsdp = by_gpa(&m, get_le64(at + 16));
	ck_assert_mem_eq(rsdp->data, "RSD PTR ", 8);
	ck_assert_uint_eq(sum(rsdp, 20) | sum(rsdp, 36), 0);
	xsdt = by_gpa(&m, get_le64(rsdp->data + 24));
	ck_assert_mem_eq(xsdt->data, "XSDT", 4);
	/* all but RSDP, XSDT, DSDT, the two of SMBIOS, EFI and tree */
	ck_assert_uint_eq((xsdt->size_bytes - 36) / 8, m.t.count - 7);
	for (size_t i = 36; i < xsdt->size_bytes; i += 8) {
		const struct arch_table *t =
			by_gpa(&m, get_le64(xsdt->data + i));

		ck_assert_ptr_nonnull(t);
		ck_assert_uint_eq(sum(t, t->size_bytes), 0);
	}
	machine_free(&m);
}
END_TEST

/* DSP0134 3.2 sec. 5.2.2; UEFI 2.10 sec. 4.6.1.2 */
START_TEST(test_smbios)
{
	static const uint8_t guid[16] = { 0x44, 0x15, 0xfd, 0xf2, 0x94, 0x97,
					  0x2c, 0x4a, 0x99, 0x2e, 0xe5, 0xbb,
					  0xcf, 0x20, 0xe3, 0x94 };
	const struct arch_table *efi, *entry, *structures;
	struct machine m;
	const uint8_t *at;

	machine_make(&m, sample_nth(true, _i));
	efi = by_name(&m, "efi.bin");
	at = efi->data + get_le64(efi->data + 112) - efi->gpa.v;
	for (unsigned i = 0; memcmp(at, guid, sizeof(guid)); i++, at += 24)
		ck_assert_uint_lt(i, 3);
	entry = by_gpa(&m, get_le64(at + 16));
	ck_assert_ptr_nonnull(entry);
	ck_assert_mem_eq(entry->data, "_SM3_", 5);
	ck_assert_uint_eq(entry->gpa.v % 16, 0);
	ck_assert_uint_eq(sum(entry, entry->size_bytes), 0);
	structures = by_gpa(&m, get_le64(entry->data + 16));
	ck_assert_ptr_nonnull(structures);
	ck_assert_uint_eq(structures->size_bytes, get_le32(entry->data + 12));
	machine_free(&m);
}
END_TEST

/* Strings that do not fit are refused, and nothing is left of the tables. */
START_TEST(test_smbios_room)
{
	static char text[KIB(33)], strings[KIB(33)];
	struct arch_tables t = { .count = 0 };
	struct diag d = DIAG_INIT;
	struct platform p;

	memset(text, 'x', sizeof(text) - 1);
	memset(strings, 'y', sizeof(strings) - 1);
	sample_make(&p, sample_nth(true, 0));
	p.identity.product = text;
	p.identity.version = strings;
	p.tables = TABLES_ACPI;
	ck_assert_int_eq(arm64_tables(&t, &p, NULL, GPA(0), 0, &d), -E2BIG);
	ck_assert_msg(strstr(d.text[0], "--platform: its strings") != NULL,
		      "%s", d.text[0]);
	ck_assert_uint_eq(t.count, 0);
	platform_release(&p);
}
END_TEST

/* Linux takes ACPI only if there is no node but /chosen. */
START_TEST(test_stub_tree)
{
	const struct arch_table *dtb, *efi;
	struct machine m;
	int node, nodes = 0, chosen;
	uint64_t map, pages = 0;

	machine_make(&m, sample_nth(true, _i));
	dtb = by_name(&m, "virt.dtb");
	efi = by_name(&m, "efi.bin");
	fdt_for_each_subnode(node, dtb->data, 0) nodes++;
	ck_assert_int_eq(nodes, 1);
	chosen = fdt_path_offset(dtb->data, "/chosen");
	map = get_be64(fdt_getprop(dtb->data, chosen, "linux,uefi-mmap-start",
				   NULL)) -
	      efi->gpa.v;
	ck_assert_uint_eq(get_be32(fdt_getprop(dtb->data, chosen,
					       "linux,uefi-mmap-size", NULL)),
			  80);
	ck_assert_ptr_nonnull(
		fdt_getprop(dtb->data, chosen, "linux,uefi-secure-boot", NULL));
	for (unsigned i = 0; i < 2; i++) {
		const uint8_t *e = efi->data + map + 40 * i;

		ck_assert_uint_eq(get_le32(e), i ? 9 : 7);
		ck_assert_uint_eq(get_le64(e + 8),
				  m.p.ram[0].base + pages * 4096);
		pages += get_le64(e + 24);
		ck_assert_uint_eq(get_le64(e + 32), 8);
	}
	ck_assert_uint_eq(pages * 4096, m.p.ram[0].size_bytes);
	machine_free(&m);
}
END_TEST

/* ---- iasl ---- */

/* What iasl compiles must be ours, but for its name in the header. It rewrites
 * the DSDT's constants, and an IORT's node offset with an unprinted warning. */
START_TEST(test_iasl)
{
	struct machine m;
	struct tool tool;

	machine_make(&m, sample_nth(true, _i));
	tool_open(&tool);
	for (unsigned i = 0; i < m.t.count; i++) {
		const struct arch_table *t = &m.t.table[i];

		if (!strstr(t->name, ".aml"))
			continue;
		tool_write(&tool, t->name, t->data, t->size_bytes);
		ck_assert_msg(!tool_run(&tool, "iasl -p d -d %s", t->name) &&
				      !strstr(tool.said, "Error (") &&
				      !strstr(tool.said, "nvalid") &&
				      !strstr(tool.said, "ncorrect"),
			      "%s", tool.said);
		ck_assert_msg(!tool_run(&tool, "iasl -p r d.dsl") &&
				      strstr(tool.said, "0 Errors, ") &&
				      (!strncmp(t->name, "iort", 4) ||
				       strstr(tool.said, " 0 Warnings, ")),
			      "%s: %s", t->name, tool.said);
		if (strncmp(t->name, "dsdt", 4) && strncmp(t->name, "iort", 4))
			ck_assert_msg(
				!tool_run(&tool, "cmp -i 36 %s r.aml", t->name),
				"%s: %s", t->name, tool.said);
	}
	tool_close(&tool);
	machine_free(&m);
}
END_TEST

/* ---- acpiexec ---- */

static void write_dsdt(struct tool *tool, const struct machine *m)
{
	const struct arch_table *t = by_name(m, "dsdt.aml");

	tool_write(tool, "t.aml", t->data, t->size_bytes);
}

START_TEST(test_all_evaluate)
{
	const struct sample *sample = sample_nth(true, _i);
	struct machine m;
	struct tool tool;

	machine_make(&m, sample);
	tool_open(&tool);
	write_dsdt(&tool, &m);
	ck_assert_uint_eq(!acpiexec_all(&tool), sample->bare);
	tool_close(&tool);
	machine_free(&m);
}
END_TEST

/* SPI n is interrupt 32 + n: 10 the power key, 8 and 9 the identities. */
START_TEST(test_events)
{
	static const char *const notices[] = {
		"Device Notify on [PWRB]",
		"Device Notify on [VGEN]",
		"Device Notify on [VCLK]",
		"Value 0x80 (Status Change)",
	};
	static const char *const says[] = {
		"Dword00 : 0000002A",
		"Dword00 : 00000028",
		"Dword00 : 00000029",
	};
	struct machine m;
	struct tool tool;
	const char *at;

	sample_make(&m.p, sample_named("arm-ids"));
	sample_dev(&m.p, (struct plat_dev){ PLAT_GED, "ged", NULL, "ACPI0013",
					    .irq = { { 10, false } } })
		->range_count = 0;
	machine_build(&m);
	tool_open(&tool);
	write_dsdt(&tool, &m);
	acpiexec(&tool,
		 "evaluate \\_SB.GED._EVT 0x2A; evaluate \\_SB.VGED._EVT 0x28;"
		 "evaluate \\_SB.CGED._EVT 0x29; resources \\_SB.GED;"
		 "resources \\_SB.VGED; resources \\_SB.CGED",
		 notices, ARRAY_SIZE(notices));
	at = tool.said;
	for (unsigned i = 0; i < ARRAY_SIZE(says); i++) {
		at = strstr(at, says[i]);
		ck_assert_msg(at != NULL, "no %s", says[i]);
	}
	tool_close(&tool);
	machine_free(&m);
}
END_TEST

/* ---- contents ---- */

START_TEST(test_fadt)
{
	const uint8_t *fadt;
	struct machine m;

	machine_make(&m, sample_nth(true, _i));
	fadt = by_name(&m, "facp.aml")->data;
	ck_assert_uint_eq(get_le16(fadt + 129), 3);	      /* PSCI by HVC */
	ck_assert_uint_eq(get_le16(fadt + 109), 0);	      /* of PCs */
	ck_assert_uint_eq(get_le32(fadt + 112) >> 20 & 1, 1); /* reduced */
	ck_assert_ptr_eq(by_gpa(&m, get_le64(fadt + 140)),
			 by_name(&m, "dsdt.aml"));
	machine_free(&m);
}
END_TEST

START_TEST(test_madt)
{
	unsigned kinds[16] = { 0 };
	const struct arch_table *t;
	uint64_t redist = 0;
	struct machine m;

	machine_make(&m, sample_nth(true, _i));
	t = by_name(&m, "apic.aml");
	for (size_t at = 44; at < t->size_bytes; at += t->data[at + 1]) {
		const uint8_t *e = t->data + at;
		unsigned cpu = kinds[11];

		ck_assert_uint_lt(e[0], 16);
		kinds[e[0]]++;
		if (e[0] == 11) {
			ck_assert_uint_eq(e[1], 80);
			ck_assert_uint_eq(get_le32(e + 8), cpu);
			ck_assert_uint_eq(get_le32(e + 12),
					  cpu < m.p.cpu_enabled);
			ck_assert_uint_eq(get_le32(e + 20), 23);
			ck_assert_uint_eq(get_le64(e + 32),
					  m.p.intc.cpu_if.base);
			ck_assert_uint_eq(get_le64(e + 68), m.p.cpu[cpu].hw_id);
		}
		if (e[0] == 14)
			redist += get_le32(e + 12);
	}
	ck_assert_uint_eq(kinds[11], m.p.cpu_count);
	ck_assert_uint_eq(kinds[12], 1);
	ck_assert_uint_eq(kinds[14], m.p.intc.redist_count);
	ck_assert_uint_eq(kinds[15], m.p.intc.its.size_bytes != 0);
	if (m.p.intc.redist_count)
		ck_assert_uint_eq(redist, m.p.cpu_count * 0x20000);
	ck_assert_int_eq(by_name(&m, "iort.aml") != NULL,
			 m.p.pci.segment_count && kinds[15]);
	machine_free(&m);
}
END_TEST

/* Ids of segment n are n * 256 and on; of a segment that is alone, all. */
START_TEST(test_iort)
{
	unsigned found = 0;
	const struct arch_table *t;
	struct machine m;

	machine_make(&m, sample_nth(true, _i));
	t = by_name(&m, "iort.aml");
	if (!t) {
		machine_free(&m);
		return;
	}
	ck_assert_uint_eq(get_le32(t->data + 36), 1 + m.p.pci.segment_count);
	for (size_t at = 48; at < t->size_bytes;
	     at += get_le16(t->data + at + 1)) {
		const uint8_t *n = t->data + at;

		if (n[0] != 2)
			continue;
		ck_assert_uint_eq(get_le32(n + 28), found);
		ck_assert_uint_eq(get_le32(n + 12), 36);
		ck_assert_uint_eq(get_le32(n + 36), 0);
		ck_assert_uint_eq(get_le32(n + 40),
				  m.p.pci.segment_count > 1 ? 255 : 65535);
		ck_assert_uint_eq(get_le32(n + 44), found * 256);
		ck_assert_uint_eq(get_le32(n + 48), 48);
		found++;
	}
	ck_assert_uint_eq(found, m.p.pci.segment_count);
	machine_free(&m);
}
END_TEST

/* Each CPU's way up gives its package, die, core and thread. */
START_TEST(test_pptt)
{
	const struct arch_table *t;
	unsigned leaves = 0, packages = 0;
	struct machine m;

	machine_make(&m, sample_nth(true, _i));
	t = by_name(&m, "pptt.aml");
	for (size_t at = 36; at < t->size_bytes; at += t->data[at + 1]) {
		const uint8_t *e = t->data + at;
		uint32_t flags = get_le32(e + 4), up = get_le32(e + 8);
		unsigned levels = 0;

		if (e[0])
			continue; /* a cache */
		packages += flags & 1;
		if (!(flags & 8))
			continue;
		ck_assert_uint_eq(get_le32(e + 12), leaves);
		for (; up; levels++) {
			ck_assert_uint_lt(up, at);
			flags = get_le32(t->data + up + 4);
			up = get_le32(t->data + up + 8);
		}
		ck_assert_uint_eq(flags & 1, 1); /* a package is at the top */
		ck_assert_uint_eq(packages, m.p.cpu[leaves].package + 1);
		ck_assert_uint_eq(levels,
				  1 + (m.p.topology.dies_per_package > 1) +
					  (m.p.topology.threads_per_core > 1));
		leaves++;
	}
	ck_assert_uint_eq(leaves, m.p.cpu_count);
	ck_assert_uint_eq(packages, m.p.topology.packages);
	machine_free(&m);
}
END_TEST

/*
 * The cache of @level and @kind (the type bits of its attributes) that the
 * processor node at @at has, found as Linux' acpi_find_cache_node() does; how
 * many there are. *@owner: the node that has it
 */
static unsigned find_cache(const struct arch_table *t, uint32_t at,
			   unsigned level, unsigned kind, const uint8_t **found,
			   uint32_t *owner)
{
	unsigned inner = 0, count = 0;

	for (; at; at = get_le32(t->data + at + 8)) {
		const uint8_t *node = t->data + at;
		unsigned deepest = inner;

		for (uint32_t i = 0; i < get_le32(node + 16); i++) {
			uint32_t c = get_le32(node + 20 + 4 * i);
			unsigned here = inner;

			for (; c; c = get_le32(t->data + c + 8)) {
				here++;
				if (here != level ||
				    (t->data[c + 21] >> 2 & 3) != kind)
					continue;
				count += *found != t->data + c;
				*found = t->data + c;
				*owner = at;
			}
			deepest = MAX(deepest, here);
		}
		inner = deepest;
	}
	return count;
}

/* The processor node with _UID @uid */
static uint32_t leaf_of(const struct arch_table *t, uint32_t uid)
{
	for (uint32_t at = 36; at < t->size_bytes; at += t->data[at + 1])
		if (!t->data[at] && get_le32(t->data + at + 4) & 8 &&
		    get_le32(t->data + at + 12) == uid)
			return at;
	ck_abort_msg("no CPU %u", uid);
}

static void check_cache(const struct arch_table *t, const struct platform *p,
			unsigned cpu, unsigned level, bool code)
{
	enum cache_type type = platform_cache_type(p, level);
	const struct cache_shape *c =
		code ? &p->cache[level - 1].code : &p->cache[level - 1].data;
	bool there = code ? type == CACHE_CODE || type == CACHE_SEPARATE
			  : type != CACHE_CODE;
	unsigned kind = code ? 1 : type == CACHE_UNIFIED ? 2 : 0;
	const uint8_t *found = NULL, *first = NULL;
	uint32_t owner = 0;

	ck_assert_uint_eq(
		find_cache(t, leaf_of(t, cpu), level, kind, &found, &owner),
		there);
	if (!there)
		return;
	ck_assert_uint_eq(get_le32(found + 12), c->size_bytes);
	ck_assert_uint_eq(get_le32(found + 16), c->sets);
	ck_assert_uint_eq(found[20], c->ways);
	ck_assert_uint_eq(get_le16(found + 22), c->line_bytes);
	ck_assert_uint_eq(get_le32(found + 4), c->size_bytes ? 0x57 : 0x10);
	/* It is the first one's of those that share it, and no other's. */
	find_cache(t, leaf_of(t, platform_cache_owner(p, cpu, level)), level,
		   kind, &first, &owner);
	ck_assert_ptr_eq(first, found);
	for (unsigned i = 0; i < p->cpu_count; i++) {
		const uint8_t *other = NULL;

		find_cache(t, leaf_of(t, i), level, kind, &other, &owner);
		ck_assert_int_eq(other == found,
				 platform_cache_owner(p, i, level) ==
					 platform_cache_owner(p, cpu, level));
	}
}

START_TEST(test_pptt_caches)
{
	static const uint64_t levels[] = { 0443, 041, 04443, 3, 0, 044, 0433 };
	struct sample s = *sample_named(_i % 2 ? "arm-8x2" : "arm-4x2");
	const struct arch_table *t;
	struct machine m;

	s.clidr = levels[_i / 2];
	machine_make(&m, &s);
	t = by_name(&m, "pptt.aml");
	for (unsigned cpu = 0; cpu < m.p.cpu_count; cpu++)
		for (unsigned i = 1; i <= platform_cache_levels(&m.p); i++) {
			check_cache(t, &m.p, cpu, i, false);
			check_cache(t, &m.p, cpu, i, true);
		}
	for (size_t at = 36; at < t->size_bytes; at += t->data[at + 1])
		ck_assert(!t->data[at] || platform_cache_levels(&m.p));
	machine_free(&m);
}
END_TEST

START_TEST(test_gtdt)
{
	static const uint32_t intids[] = { 29, 30, 27, 26 };
	const struct arch_table *t;
	struct machine m;

	machine_make(&m, sample_nth(true, _i));
	t = by_name(&m, "gtdt.aml");
	ck_assert_uint_eq(t->size_bytes, 104);
	for (unsigned i = 0; i < ARRAY_SIZE(intids); i++) {
		ck_assert_uint_eq(get_le32(t->data + 48 + 8 * i), intids[i]);
		ck_assert_uint_eq(get_le32(t->data + 52 + 8 * i), 4);
	}
	machine_free(&m);
}
END_TEST

START_TEST(test_dbg2)
{
	const struct sample *s = sample_nth(true, _i);
	const struct arch_table *t;
	struct machine m;

	machine_make(&m, s);
	t = by_name(&m, "dbg2.aml");
	ck_assert_int_eq(t != NULL, !s->bare);
	ck_assert_int_eq(by_name(&m, "spcr.aml") != NULL, !s->bare);
	if (t) {
		const uint8_t *e = t->data + get_le32(t->data + 36);

		ck_assert_uint_eq(get_le32(e + 12), 0x38000); /* PL011 */
		e += get_le16(e + 18);
		ck_assert_uint_eq(e[0], 0);
		ck_assert_uint_eq(get_le64(e + 4), 0x09000000);
		ck_assert_uint_eq(get_le32(e + 12), 0x1000);
	}
	machine_free(&m);
}
END_TEST

START_TEST(test_numa)
{
	const struct sample *s = sample_nth(true, _i);
	static const char *const names[] = { "srat.aml", "slit.aml",
					     "hmat.aml" };
	static void (*const checks[])(
		const struct platform *p, const uint8_t *t,
		size_t size_bytes) = { check_srat, check_slit, check_hmat };
	struct machine m;

	machine_make(&m, s);
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		const struct arch_table *t = by_name(&m, names[i]);

		ck_assert_int_eq(t != NULL, s->nodes > 1);
		if (t)
			checks[i](&m.p, t->data, t->size_bytes);
	}
	machine_free(&m);
}
END_TEST

/* ---- room ---- */

START_TEST(test_no_room)
{
	struct arch_tables t = { .count = 0 };
	struct diag d = DIAG_INIT;
	struct platform p;

	sample_make(&p, sample_named("arm-1"));
	p.tables = TABLES_ACPI;
	p.ram[0].size_bytes = MIB(1);
	ck_assert_int_eq(arm64_tables(&t, &p, NULL, GPA(0), 0, &d), -E2BIG);
	ck_assert_ptr_nonnull(strstr(d.text[0], "--memory"));
	ck_assert_uint_eq(t.count, 0);
	platform_release(&p);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("acpi-arm64");
	TCase *t = tcase_create("acpi-arm64");
	int n = sample_count(true);

	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, test_places, 0, n);
	tcase_add_loop_test(t, test_found_by_kernel, 0, n);
	tcase_add_loop_test(t, test_smbios, 0, n);
	tcase_add_test(t, test_smbios_room);
	tcase_add_loop_test(t, test_stub_tree, 0, n);
	tcase_add_loop_test(t, test_iasl, 0, n);
	tcase_add_loop_test(t, test_all_evaluate, 0, n);
	tcase_add_test(t, test_events);
	tcase_add_loop_test(t, test_fadt, 0, n);
	tcase_add_loop_test(t, test_madt, 0, n);
	tcase_add_loop_test(t, test_iort, 0, n);
	tcase_add_loop_test(t, test_pptt, 0, n);
	tcase_add_loop_test(t, test_pptt_caches, 0, 14);
	tcase_add_loop_test(t, test_gtdt, 0, n);
	tcase_add_loop_test(t, test_dbg2, 0, n);
	tcase_add_loop_test(t, test_numa, 0, n);
	tcase_add_test(t, test_no_room);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return suite_run(suite());
}
