/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: the ACPI generator: every sample machine's tables by an independent
 * checker, by iasl in both directions and by acpiexec; their contents against
 * the platform description; the same devices as in the device tree; errors
 */
#include <check.h>
#include <errno.h>
#include <inttypes.h>
#include <libfdt.h>
#include <stdlib.h>

#include "arch/x86_64/tables.h"
#include "vmm/base/bytes.h"

#include "firmware/acpi.h"
#include "firmware/aml.h"
#include "firmware/dsdt.h"
#include "firmware/fdt.h"
#include "tests/unit/acpiexec.h"
#include "tests/unit/numa-check.h"
#include "tests/unit/platforms.h"
#include "tests/unit/suite.h"
#include "tests/unit/tool.h"

struct machine {
	struct platform p;
	struct arch_tables t;
};

/* SMBIOS tables, which come last, have a suite of their own. */
static void keep_acpi(struct arch_tables *t)
{
	while (t->count && !strncmp(t->table[t->count - 1].name, "smbios", 6))
		free(t->table[--t->count].data);
}

static void machine_make(struct machine *m, const struct sample *s)
{
	struct diag d = DIAG_INIT;
	char why[512];
	int err;

	sample_make(&m->p, s);
	m->t = (struct arch_tables){ .count = 0 };
	err = x86_tables(&m->t, &m->p, "", GPA(0), 0, &d);
	ck_assert_msg(!err, "%s: %s", s->name,
		      diag_format(&d, why, sizeof(why)));
	keep_acpi(&m->t);
}

static void machine_free(struct machine *m)
{
	arch_tables_release(&m->t);
	platform_release(&m->p);
}

/* ---- a checker of its own ---- */

static uint8_t sum(const uint8_t *p, size_t len)
{
	uint8_t s = 0;

	while (len--)
		s += *p++;
	return s;
}

static const struct arch_table *table_at(const struct arch_tables *t,
					 uint64_t gpa)
{
	for (unsigned i = 0; i < t->count; i++)
		if (t->table[i].gpa.v == gpa)
			return &t->table[i];
	return NULL;
}

static const struct arch_table *table_by_sig(const struct arch_tables *t,
					     const char *sig)
{
	for (unsigned i = 1; i < t->count; i++)
		if (!memcmp(t->table[i].data, sig, 4))
			return &t->table[i];
	return NULL;
}

static const uint8_t *need(const struct machine *m, const char *sig)
{
	const struct arch_table *t = table_by_sig(&m->t, sig);

	ck_assert_msg(t != NULL, "no %s", sig);
	return t->data;
}

static const char *check_table(const struct arch_table *t, const char *sig)
{
	if (!t)
		return "pointer to nowhere";
	if (t->size_bytes < 36 || get_le32(t->data + 4) != t->size_bytes)
		return "length";
	if (sum(t->data, t->size_bytes))
		return "checksum";
	if (sig && memcmp(t->data, sig, 4))
		return "signature";
	return NULL;
}

/* Entries of a MADT or SRAT fill it exactly. */
static const char *check_entries(const struct arch_table *t, size_t at)
{
	while (at + 2 <= t->size_bytes && t->data[at + 1] >= 2)
		at += t->data[at + 1];
	return at == t->size_bytes ? NULL : "entries";
}

static const char *check_fadt(const struct arch_tables *all,
			      const struct arch_table *t)
{
	if (t->size_bytes != 276 || t->data[8] != 6)
		return "FADT revision";
	return check_table(table_at(all, get_le64(t->data + 140)), "DSDT");
}

static const char *check_xsdt(const struct arch_tables *all,
			      const struct arch_table *xsdt)
{
	const char *bad = check_table(xsdt, "XSDT");

	if (bad)
		return bad;
	if ((xsdt->size_bytes - 36) / 8 != all->count - 3)
		return "number of tables";
	for (size_t at = 36; !bad && at < xsdt->size_bytes; at += 8) {
		uint64_t gpa = get_le64(xsdt->data + at);
		const struct arch_table *t = table_at(all, gpa);

		bad = check_table(t, NULL);
		if (!bad && !memcmp(t->data, "FACP", 4))
			bad = check_fadt(all, t);
		if (!bad && !memcmp(t->data, "APIC", 4))
			bad = check_entries(t, 44);
		if (!bad && !memcmp(t->data, "SRAT", 4))
			bad = check_entries(t, 48);
	}
	return bad;
}

static const char *check_places(const struct arch_tables *all)
{
	for (unsigned i = 0; i < all->count; i++) {
		const struct arch_table *a = &all->table[i];

		if (a->gpa.v % 16 ||
		    !range_within(a->gpa.v, a->size_bytes, 0xa0000, 0x50000))
			return "outside";
		for (unsigned j = 0; j < i; j++) {
			const struct arch_table *b = &all->table[j];

			if (a->gpa.v < b->gpa.v + b->size_bytes &&
			    b->gpa.v < a->gpa.v + a->size_bytes)
				return "overlap";
		}
	}
	return NULL;
}

/* NULL, or what is wrong with these tables */
static const char *check_all(const struct arch_tables *all)
{
	const struct arch_table *rsdp = &all->table[0];
	const char *bad = check_places(all);

	if (bad)
		return bad;
	if (rsdp->gpa.v != 0xe0000 || rsdp->size_bytes != 36)
		return "RSDP place";
	if (memcmp(rsdp->data, "RSD PTR ", 8) || rsdp->data[15] != 2 ||
	    get_le32(rsdp->data + 20) != 36 || get_le32(rsdp->data + 16))
		return "RSDP";
	if (sum(rsdp->data, 20) || sum(rsdp->data, 36))
		return "RSDP checksum";
	return check_xsdt(all, table_at(all, get_le64(rsdp->data + 24)));
}

START_TEST(test_tables)
{
	struct machine m;
	const char *bad;

	machine_make(&m, sample_nth(false, _i));
	bad = check_all(&m.t);
	ck_assert_msg(!bad, "%s", bad);
	machine_free(&m);
}
END_TEST

/* Whichever byte of whichever table is damaged, the checker notices. */
START_TEST(test_checker_sees_damage)
{
	struct machine m;

	machine_make(&m, sample_named("x86-numa"));
	for (unsigned i = 0; i < m.t.count; i++)
		for (size_t at = 0; at < m.t.table[i].size_bytes; at++) {
			m.t.table[i].data[at] ^= 0x40;
			ck_assert_ptr_nonnull(check_all(&m.t));
			m.t.table[i].data[at] ^= 0x40;
		}
	m.t.table[2].gpa.v += 16;
	ck_assert_ptr_nonnull(check_all(&m.t));
	m.t.table[2].gpa.v -= 16;
	ck_assert_ptr_null(check_all(&m.t));
	machine_free(&m);
}
END_TEST

/* ---- iasl ---- */

/* Disassemble and recompile table file @name; true if iasl finds nothing. */
static bool iasl_agrees(struct tool *t, const char *name)
{
	if (tool_run(t, "iasl -p %s-d -d %s.aml", name, name) ||
	    strstr(t->said, "arning") || strstr(t->said, "ACPI Error") ||
	    strstr(t->said, "nvalid") || strstr(t->said, "ncorrect"))
		return false;
	return !tool_run(t, "iasl -p %s-r %s-d.dsl", name, name) &&
	       (strstr(t->said, "0 Errors, 0 Warnings, 0 Remarks") ||
		strstr(t->said, "Compilation successful"));
}

START_TEST(test_iasl)
{
	struct machine m;
	struct tool tool;

	machine_make(&m, sample_nth(false, _i));
	tool_open(&tool);
	for (unsigned i = 1; i < m.t.count; i++) {
		const struct arch_table *t = &m.t.table[i];
		char name[16];

		snprintf(name, sizeof(name), "%.4s", t->name);
		tool_write(&tool, t->name, t->data, t->size_bytes);
		ck_assert_msg(iasl_agrees(&tool, name), "%s", tool.said);
		ck_assert_msg(strstr(tool.said,
				     "0 Errors, 0 Warnings, 0 Remarks") != NULL,
			      "%s", tool.said);
	}
	tool_close(&tool);
	machine_free(&m);
}
END_TEST

/* Damage that a checksum would hide: iasl does look at the contents. */
static const struct {
	const char *table, *from, *to;
	size_t len;
} damages[] = {
	{ "DSDT", "C000",
	  "C0\x01"
	  "0",
	  4 },
	{ "DSDT", "_CRS\x11", "_CRS\x0d", 5 },
	{ "DSDT", "C001", "C000", 4 },
	{ "APIC", "\x00\x08\x01\x01", "\x00\x00\x01\x01", 4 },
};

START_TEST(test_iasl_sees_damage)
{
	const struct arch_table *t;
	struct machine m;
	struct tool tool;
	uint8_t *at;

	machine_make(&m, sample_named("x86-4x2"));
	t = table_by_sig(&m.t, damages[_i].table);
	at = memmem(t->data, t->size_bytes, damages[_i].from, damages[_i].len);
	ck_assert_ptr_nonnull(at);
	memcpy(at, damages[_i].to, damages[_i].len);
	t->data[9] -= sum(t->data, t->size_bytes);
	tool_open(&tool);
	tool_write(&tool, "bad.aml", t->data, t->size_bytes);
	ck_assert_msg(!iasl_agrees(&tool, "bad"), "%s", tool.said);
	tool_close(&tool);
	machine_free(&m);
}
END_TEST

/* ---- acpiexec: what methods do ---- */

START_TEST(test_all_evaluate)
{
	const struct sample *sample = sample_nth(false, _i);
	struct machine m;
	struct tool tool;

	machine_make(&m, sample);
	tool_open(&tool);
	tool_write(&tool, "t.aml", need(&m, "DSDT"),
		   table_by_sig(&m.t, "DSDT")->size_bytes);
	ck_assert_uint_eq(!acpiexec_all(&tool), sample->bare);
	tool_close(&tool);
	machine_free(&m);
}
END_TEST

#define OSC_UUID "(5B 4D DB 33 F7 1F 1C 40 96 57 74 41 C0 3D D7 66)"
#define DSM_UUID "(D0 37 C9 E5 53 35 7A 4D 91 17 EA 4D 19 C3 43 4D)"
#define OTHER	 "(00 37 C9 E5 53 35 7A 4D 91 17 EA 4D 19 C3 43 4D)"

static const struct {
	const char *evaluate, *says;
} methods[] = {
	{ "\\_SB.GED._EVT 5", "No object was returned" },
	{ "\\_SB.C005._STA", "= 0000000000000000" },
	{ "\\_S5", "= 0000000000000005" },
	{ "\\_SB.PCI0._OSC " OSC_UUID
	  " 1 3 (00 00 00 00 1F 00 00 00 9D 00 00 00)",
	  "00 00 00 00 1F 00 00 00 9D 00 00 00" },
	{ "\\_SB.PCI0._OSC " OSC_UUID
	  " 1 3 (01 00 00 00 1F 00 00 00 FF 01 00 00)",
	  "11 00 00 00 1F 00 00 00 BF 00 00 00" },
	{ "\\_SB.PCI0._OSC " OSC_UUID
	  " 2 3 (00 00 00 00 1F 00 00 00 01 00 00 00)",
	  "08 00 00 00 1F 00 00 00 01 00 00 00" },
	{ "\\_SB.PCI0._OSC " OTHER " 1 3 (00 00 00 00 1F 00 00 00 FF 01 00 00)",
	  "04 00 00 00 1F 00 00 00 FF 01 00 00" },
	{ "\\_SB.PCI0._DSM " DSM_UUID " 1 0 [0]", "0000: 21" },
	{ "\\_SB.PCI0._DSM " DSM_UUID " 1 5 [0]", "= 0000000000000000" },
	{ "\\_SB.PCI0._DSM " OTHER " 1 0 [0]", "0000: 00" },
};

START_TEST(test_methods)
{
	static const char *const notice[] = {
		"Received a Device Notify on [PWRB]",
		"Value 0x80 (Status Change)",
	};
	char line[4096] = "";
	const char *at;
	struct machine m;
	struct tool tool;

	machine_make(&m, sample_named("x86-hotplug"));
	tool_open(&tool);
	tool_write(&tool, "t.aml", need(&m, "DSDT"),
		   table_by_sig(&m.t, "DSDT")->size_bytes);
	for (unsigned i = 0; i < ARRAY_SIZE(methods); i++) {
		strcat(line, "evaluate ");
		strcat(line, methods[i].evaluate);
		strcat(line, ";");
	}
	acpiexec(&tool, line, notice, ARRAY_SIZE(notice));
	at = tool.said;
	for (unsigned i = 0; i < ARRAY_SIZE(methods); i++) {
		at = strstr(at, "Evaluating ");
		ck_assert_ptr_nonnull(at);
		at = strstr(at + 1, methods[i].says);
		ck_assert_msg(at != NULL, "%s: no '%s' in %s",
			      methods[i].evaluate, methods[i].says, tool.said);
	}
	tool_close(&tool);
	machine_free(&m);
}
END_TEST

/* What Linux' vmgenid.c and ptp_vmclock.c look for, and their notification */
START_TEST(test_event_devices)
{
	static const char *const says[] = {
		"\"VM_GEN_COUNTER\"", "Contains 2 Elements",
		"0000000023450000",   "0000000000000081",
		"Dword00 : 00000006", "\"VMCLOCK\"",
		"Dword00 : 00000007", "Address Minimum : 0000008123600000",
	};
	static const char *const notices[] = {
		"Device Notify on [VGEN]",
		"Device Notify on [VCLK]",
		"Value 0x80 (Status Change)",
	};
	const char *at;
	struct machine m;
	struct tool tool;

	machine_make(&m, sample_named("x86-ids"));
	tool_open(&tool);
	tool_write(&tool, "t.aml", need(&m, "DSDT"),
		   table_by_sig(&m.t, "DSDT")->size_bytes);
	acpiexec(&tool,
		 "evaluate \\_SB.VGEN._CID; evaluate \\_SB.VGEN.ADDR;"
		 "evaluate \\_SB.VGED._EVT 6; resources \\_SB.VGED;"
		 "evaluate \\_SB.VCLK._CID;"
		 "evaluate \\_SB.CGED._EVT 7; resources \\_SB.CGED;"
		 "resources \\_SB.VCLK",
		 notices, ARRAY_SIZE(notices));
	at = tool.said;
	for (unsigned i = 0; i < ARRAY_SIZE(says); i++) {
		const char *next = strstr(at, says[i]);

		ck_assert_msg(next != NULL, "no '%s' in %s", says[i], at);
		at = next;
	}
	tool_close(&tool);
	machine_free(&m);
}
END_TEST

/* Ends of windows, lower and upper, in this order and no more */
static void expect_windows(const struct tool *tool, const char *const *ends,
			   size_t count)
{
	const char *at = tool->said;

	for (size_t i = 0; i < count; i++) {
		at = strstr(at, i % 2 ? "Maximum" : "Minimum");
		ck_assert_msg(at != NULL, "window %zu in %s", i / 2,
			      tool->said);
		ck_assert_mem_eq(strchr(at, ':'), ends[i], strlen(ends[i]));
	}
	ck_assert_ptr_null(strstr(at, "Minimum"));
}

/* The host bridge's windows, as ACPICA reads them */
static const char *const windows[] = {
	": 0000",
	": 00FF", /* buses */
	": 0CF8",
	": 0CF8", /* configuration ports */
	": 1000",
	": FFFF", /* ports */
	": C0000000",
	": E7FFFFFF", /* 32-bit memory */
	": 0000000400000000",
	": 000000FFFFFFFFFF",
};

START_TEST(test_windows)
{
	struct machine m;
	struct tool tool;

	machine_make(&m, sample_named("x86-8x2"));
	tool_open(&tool);
	tool_write(&tool, "t.aml", need(&m, "DSDT"),
		   table_by_sig(&m.t, "DSDT")->size_bytes);
	tool_run(&tool, "acpiexec -b 'resources \\_SB.PCI0' t.aml | "
			"grep -E 'Address M|ACPI (Err|Warn)'");
	expect_windows(&tool, windows, ARRAY_SIZE(windows));
	ck_assert_ptr_null(strstr(tool.said, "ACPI "));
	tool_close(&tool);
	machine_free(&m);
}
END_TEST

/* The same of a segment that is not the first: memory only */
static const char *const segment_windows[] = {
	": 0000",     ": 0000", /* buses */
	": E4000000", ": E7FFFFFF", ": 000000F000000000", ": 000000FFFFFFFFFF",
};

START_TEST(test_segments)
{
	static const struct {
		const char *evaluate, *says;
	} names[] = {
		{ "\\_SB.PCI0._SEG", "= 0000000000000000" },
		{ "\\_SB.PC02._SEG", "= 0000000000000002" },
		{ "\\_SB.PC02._UID", "= 0000000000000002" },
		{ "\\_SB.PC02._PXM", "= 0000000000000000" },
		{ "\\_SB.PC01._PXM", "= 0000000000000001" },
		{ "\\_SB.PC01._DSM " DSM_UUID " 1 5 [0]",
		  "= 0000000000000000" },
		{ "\\_SB.PC01._PRT", "AE_NOT_FOUND" },
	};
	struct machine m;
	struct tool tool;
	char line[256];

	machine_make(&m, sample_named("x86-segments"));
	tool_open(&tool);
	tool_write(&tool, "t.aml", need(&m, "DSDT"),
		   table_by_sig(&m.t, "DSDT")->size_bytes);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(line, sizeof(line),
			 "acpiexec -b 'evaluate %s' t.aml 2>&1",
			 names[i].evaluate);
		tool_run(&tool, "%s", line);
		ck_assert_msg(strstr(tool.said, names[i].says) != NULL,
			      "%s: %s", names[i].evaluate, tool.said);
	}
	tool_run(&tool, "acpiexec -b 'resources \\_SB.PC01' t.aml | "
			"grep -E 'Address M|ACPI (Err|Warn)'");
	expect_windows(&tool, segment_windows, ARRAY_SIZE(segment_windows));
	/* All ECAM is claimed. */
	tool_run(&tool, "acpiexec -b 'resources \\_SB.MBRD' t.aml | "
			"grep -E 'Address :'");
	ck_assert_ptr_nonnull(strstr(tool.said, "E8000000"));
	ck_assert_ptr_nonnull(strstr(tool.said, "F8000000"));
	ck_assert_ptr_nonnull(strstr(tool.said, "F8100000"));
	tool_close(&tool);
	machine_free(&m);
}
END_TEST

/* ---- contents ---- */

START_TEST(test_fadt)
{
	static const struct {
		const char *sample;
		uint16_t boot;
		uint32_t flags, timer;
	} cases[] = { { "x86-1", 0x04, 0x100471, 0x608 },
		      { "x86-bare", 0x24, 0x100071, 0 } };
	const uint8_t *fadt;
	struct machine m;
	uint64_t port;

	machine_make(&m, sample_named(cases[_i].sample));
	fadt = need(&m, "FACP");
	port = _i ? 0 : 0x600;
	ck_assert_uint_eq(fadt[131], 3);
	ck_assert_uint_eq(get_le16(fadt + 109), cases[_i].boot);
	ck_assert_uint_eq(get_le32(fadt + 112), cases[_i].flags);
	ck_assert_uint_eq(get_le32(fadt + 76), cases[_i].timer);
	ck_assert_uint_eq(get_le64(fadt + 212), cases[_i].timer);
	ck_assert_uint_eq(get_le64(fadt + 120), port);
	ck_assert_uint_eq(fadt[128], port ? 1 : 0);
	ck_assert_uint_eq(get_le64(fadt + 248), port);
	ck_assert_uint_eq(get_le64(fadt + 260), port);
	ck_assert_uint_eq(fadt[244], port ? 1 : 0); /* system I/O */
	ck_assert_mem_eq(fadt + 268, "SPANDREL", 8);
	machine_free(&m);
}
END_TEST

/* Each CPU is in the MADT once, in the kind of entry that its id asks for. */
START_TEST(test_madt)
{
	const struct arch_table *t;
	unsigned cpus = 0, chips = 0;
	struct machine m;

	machine_make(&m, sample_nth(false, _i));
	t = table_by_sig(&m.t, "APIC");
	ck_assert_uint_eq(get_le32(t->data + 36), 0xfee00000);
	ck_assert_uint_eq(get_le32(t->data + 40), 0);
	for (size_t at = 44; at < t->size_bytes; at += t->data[at + 1]) {
		const uint8_t *e = t->data + at;
		uint32_t id, uid, flags;

		if (e[0] == 1) {
			ck_assert_uint_eq(get_le32(e + 4), 0xfec00000);
			ck_assert_uint_eq(get_le32(e + 8), 0);
			chips++;
			continue;
		}
		ck_assert(e[0] == 0 || e[0] == 9);
		uid = e[0] ? get_le32(e + 12) : e[2];
		id = e[0] ? get_le32(e + 4) : e[3];
		flags = get_le32(e + (e[0] ? 8 : 4));
		ck_assert_uint_eq(uid, cpus);
		ck_assert_uint_eq(id, m.p.cpu[cpus].hw_id);
		ck_assert_uint_eq(flags, cpus < m.p.cpu_enabled ? 1 : 2);
		ck_assert_int_eq(e[0] == 0, id < 255);
		cpus++;
	}
	ck_assert_uint_eq(cpus, m.p.cpu_count);
	ck_assert_uint_eq(chips, 1);
	machine_free(&m);
}
END_TEST

START_TEST(test_mcfg)
{
	const struct sample *s = sample_nth(false, _i);
	const struct arch_table *t;
	struct machine m;

	machine_make(&m, s);
	t = table_by_sig(&m.t, "MCFG");
	ck_assert_int_eq(t != NULL, s->pci);
	if (t) {
		ck_assert_uint_eq(t->size_bytes,
				  44 + 16 * m.p.pci.segment_count);
		ck_assert_uint_eq(get_le64(t->data + 44), 0xe8000000);
		ck_assert_uint_eq(t->data[54], 0);
		ck_assert_uint_eq(t->data[55], 255);
	}
	for (unsigned i = 1; i < m.p.pci.segment_count; i++) {
		const uint8_t *e = t->data + 44 + 16 * i;

		ck_assert_uint_eq(get_le64(e), 0xf8000000 + MIB(i - 1));
		ck_assert_uint_eq(get_le16(e + 8), i);
		ck_assert_uint_eq(get_le16(e + 10), 0); /* buses */
	}
	machine_free(&m);
}
END_TEST

START_TEST(test_spcr)
{
	const struct sample *s = sample_nth(false, _i);
	const struct arch_table *t;
	struct machine m;

	machine_make(&m, s);
	t = table_by_sig(&m.t, "SPCR");
	ck_assert_int_eq(t != NULL, !s->bare);
	if (t) {
		ck_assert_uint_eq(t->size_bytes, 80);
		ck_assert_uint_eq(t->data[36], 0);
		ck_assert_uint_eq(t->data[40], 1);
		ck_assert_uint_eq(get_le64(t->data + 44), 0x3f8);
		ck_assert_uint_eq(get_le32(t->data + 54), 4);
	}
	machine_free(&m);
}
END_TEST

/* Each CPU is a leaf with its _UID, below a package; no caches: CPUID's. */
START_TEST(test_pptt)
{
	const struct sample *s = sample_nth(false, _i);
	const struct arch_table *t;
	uint32_t leaves = 0, packages = 0;
	struct machine m;

	machine_make(&m, s);
	t = table_by_sig(&m.t, "PPTT");
	ck_assert_int_eq(t != NULL, s->pptt);
	for (size_t at = 36; t && at < t->size_bytes; at += t->data[at + 1]) {
		const uint8_t *e = t->data + at;

		ck_assert_uint_eq(e[0], 0);
		packages += e[4] & 1;
		if (!(e[4] & 8))
			continue;
		ck_assert_uint_eq(get_le32(e + 12), leaves);
		ck_assert_uint_eq(packages, m.p.cpu[leaves].package + 1);
		leaves++;
	}
	ck_assert_uint_eq(leaves, t ? m.p.cpu_count : 0);
	machine_free(&m);
}
END_TEST

/* The DBG2 names the device of the DSDT that has the console's ports. */
START_TEST(test_dbg2)
{
	const struct sample *s = sample_nth(false, _i);
	const struct arch_table *t;
	struct machine m;

	machine_make(&m, s);
	t = table_by_sig(&m.t, "DBG2");
	ck_assert_int_eq(t != NULL, !s->bare);
	if (t) {
		const uint8_t *dsdt = need(&m, "DSDT");
		const uint8_t *e = t->data + get_le32(t->data + 36);
		const char *name = (const char *)e + get_le16(e + 6);
		const uint8_t *dev;

		ck_assert_uint_eq(get_le32(t->data + 40), 1);
		ck_assert_uint_eq(get_le16(e + 1), t->data + t->size_bytes - e);
		ck_assert_uint_eq(get_le32(e + 12), 0x8000); /* 16550 */
		e += get_le16(e + 18);
		ck_assert_uint_eq(e[0], 1);
		ck_assert_uint_eq(get_le64(e + 4), 0x3f8);
		ck_assert_uint_eq(get_le32(e + 12), 8);
		ck_assert_int_eq(strncmp(name, "\\_SB.DV", 7), 0);
		ck_assert_uint_eq(strlen(name), 9);
		dev = memmem(dsdt, get_le32(dsdt + 4), name + 5, 4);
		ck_assert_ptr_nonnull(dev);
		/* the next _CRS has the ports */
		dev = memmem(dev, 200, "_CRS", 4);
		ck_assert_ptr_nonnull(dev);
		ck_assert_ptr_nonnull(memmem(dev, 20, "\x47\x01\xf8\x03", 4));
	}
	machine_free(&m);
}
END_TEST

/* Every action that Linux' wdat_wdt runs, on the register that does it. */
START_TEST(test_wdat)
{
	static const struct {
		uint8_t action, instruction;
		uint16_t reg;
		uint32_t value, mask;
	} want[] = {
		{ 1, 2, 0x00c, 1, UINT32_MAX }, { 4, 1, 0x104, 0, UINT32_MAX },
		{ 5, 1, 0x100, 0, UINT32_MAX }, { 6, 3, 0x100, 0, UINT32_MAX },
		{ 8, 0, 0x008, 3, 3 },		{ 9, 2, 0x008, 3, 3 },
		{ 10, 0, 0x008, 0, 3 },		{ 11, 2, 0x008, 0, 3 },
		{ 32, 0, 0x108, 1, 1 },		{ 33, 2, 0x108, 0, UINT32_MAX },
	};
	const struct sample *s = sample_nth(false, _i);
	const struct arch_table *t;
	struct machine m;

	machine_make(&m, s);
	t = table_by_sig(&m.t, "WDAT");
	ck_assert_int_eq(t != NULL, !s->bare);
	for (unsigned i = 0; t && i < ARRAY_SIZE(want); i++) {
		const uint8_t *e = t->data + 68 + 24 * i;

		ck_assert_uint_eq(e[0], want[i].action);
		ck_assert_uint_eq(e[1], want[i].instruction);
		ck_assert_uint_eq(get_le32(e + 4), 0x03002000); /* memory */
		ck_assert_uint_eq(get_le64(e + 8), 0xfeb10000 + want[i].reg);
		ck_assert_uint_eq(get_le32(e + 16), want[i].value);
		ck_assert_uint_eq(get_le32(e + 20), want[i].mask);
	}
	if (t) {
		ck_assert_uint_eq(t->size_bytes, 68 + 24 * ARRAY_SIZE(want));
		ck_assert_uint_eq(get_le32(t->data + 36), 32);
		ck_assert_uint_eq(get_le32(t->data + 40), 0xffff00ff);
		ck_assert_uint_eq(get_le32(t->data + 44), 0xff);
		ck_assert_uint_eq(get_le32(t->data + 48), 1);
		ck_assert_uint_eq(get_le32(t->data + 52), 357913);
		ck_assert_uint_eq(get_le32(t->data + 56), 1);
		ck_assert_uint_eq(get_le32(t->data + 60), 1);
		ck_assert_uint_eq(get_le32(t->data + 64), ARRAY_SIZE(want));
	}
	machine_free(&m);
}
END_TEST

START_TEST(test_numa)
{
	const struct sample *s = sample_nth(false, _i);
	const struct arch_table *srat, *slit, *hmat;
	struct machine m;

	machine_make(&m, s);
	srat = table_by_sig(&m.t, "SRAT");
	slit = table_by_sig(&m.t, "SLIT");
	hmat = table_by_sig(&m.t, "HMAT");
	ck_assert_int_eq(srat != NULL, s->nodes > 1);
	ck_assert_int_eq(slit != NULL, s->nodes > 1);
	ck_assert_int_eq(hmat != NULL, s->nodes > 1);
	if (srat) {
		check_srat(&m.p, srat->data, srat->size_bytes);
		check_slit(&m.p, slit->data, slit->size_bytes);
		check_hmat(&m.p, hmat->data, hmat->size_bytes);
	}
	machine_free(&m);
}
END_TEST

/* The largest that can be given; what is small beside it is not 0. */
START_TEST(test_slowest_link)
{
	static const uint32_t most[] = { 1, 65534, 65535, 65536, UINT32_MAX };
	struct machine m = { .t.count = 0 };
	struct diag d = DIAG_INIT;

	sample_make(&m.p, sample_named("x86-numa"));
	m.p.numa->link[0][0] = (struct plat_link){ 10, 1, 1 };
	m.p.numa->link[0][1] = (struct plat_link){ 20, most[_i], most[_i] };
	ck_assert_int_eq(x86_tables(&m.t, &m.p, "", GPA(0), 0, &d), 0);
	check_hmat(&m.p, table_by_sig(&m.t, "HMAT")->data,
		   table_by_sig(&m.t, "HMAT")->size_bytes);
	machine_free(&m);
}
END_TEST

/* ---- the DSDT's devices ---- */

/** struct found - a device of the DSDT: _HID text, first range, first GSI */
struct found {
	uint64_t base, size;
	uint32_t gsi;
	bool ports, has_irq, edge;
};

/* An independent reader of resource templates */
static void read_crs(struct found *f, const uint8_t *p)
{
	while (p[0] != 0x79) {
		size_t len =
			p[0] & 0x80 ? 3u + get_le16(p + 1) : 1u + (p[0] & 7);

		if (p[0] == 0x47) {
			f->ports = true;
			f->base = get_le16(p + 2);
			f->size = p[7];
			ck_assert_uint_eq(get_le16(p + 4), f->base);
		} else if (p[0] == 0x86) {
			f->base = get_le32(p + 4);
			f->size = get_le32(p + 8);
		} else if (p[0] == 0x89) {
			f->has_irq = true;
			f->gsi = get_le32(p + 5);
			f->edge = p[3] & 2;
		}
		p += len;
	}
}

static size_t pkg_length(const uint8_t *p)
{
	ck_assert_uint_eq(p[0] >> 6, 2);
	return (p[0] & 0xfu) | (size_t)p[1] << 4 | (size_t)p[2] << 12;
}

/* Devices DVnn, GED_ included, of a DSDT; their number */
static unsigned read_devices(const uint8_t *dsdt, struct found *out)
{
	/* header, ScopeOp, PkgLength, "\_SB_" */
	const uint8_t *p = dsdt + 36 + 1 + 3 + 5;
	const uint8_t *end = dsdt + 37 + pkg_length(dsdt + 37);
	unsigned n = 0;

	while (p < end) {
		size_t len = pkg_length(p + 2);
		const uint8_t *crs = memmem(p, len + 2, "_CRS", 4);

		ck_assert_uint_eq(get_be16(p), 0x5b82);
		if (!memcmp(p + 5, "DV", 2) || !memcmp(p + 5, "GED_", 4)) {
			out[n] = (struct found){ 0 };
			if (crs)
				read_crs(&out[n], crs + 11);
			n++;
		}
		p += 2 + len;
	}
	ck_assert_ptr_eq(p, end);
	return n;
}

static void same_device(const struct platform *p, const struct plat_dev *dev,
			const struct found *f)
{
	if (dev->range_count) {
		ck_assert_uint_eq(f->base, dev->range[0].base);
		ck_assert_uint_eq(f->size, dev->range[0].size_bytes);
		ck_assert_int_eq(f->ports, dev->range[0].bus == PLAT_PIO);
	}
	ck_assert_int_eq(f->has_irq, dev->irq_count > 0);
	if (f->has_irq) {
		ck_assert_uint_eq(f->gsi, acpi_gsi(p, dev->irq[0].pin));
		ck_assert_int_eq(f->edge, !dev->irq[0].level);
	}
}

static bool in_dsdt(const struct plat_dev *dev)
{
	return dev->hid && dev->role != PLAT_PCI_HOST;
}

START_TEST(test_dsdt_devices)
{
	struct found found[PLAT_DEVICES_MAX];
	unsigned n, next = 0;
	struct machine m;

	machine_make(&m, sample_nth(false, _i));
	n = read_devices(need(&m, "DSDT"), found);
	for (unsigned i = 0; i < m.p.dev_count; i++) {
		if (!in_dsdt(&m.p.dev[i]))
			continue;
		ck_assert_uint_lt(next, n);
		same_device(&m.p, &m.p.dev[i], &found[next++]);
	}
	ck_assert_uint_eq(next, n);
	machine_free(&m);
}
END_TEST

/* The node of a device tree that is device @f, or -1 */
static int same_node(const void *fdt, const struct found *f)
{
	int node;

	fdt_for_each_subnode(node, fdt, 0)
	{
		const uint8_t *reg = fdt_getprop(fdt, node, "reg", NULL);
		const uint8_t *irq = fdt_getprop(fdt, node, "interrupts", NULL);

		if (reg && irq && get_be64(reg) == f->base &&
		    get_be64(reg + 8) == f->size &&
		    get_be32(irq + 4) + 32 == f->gsi &&
		    (get_be32(irq + 8) == 1) == f->edge)
			return node;
	}
	return -1;
}

/* One description, two generators: the same devices at the same places. What
 * only one of them can express, the description says. */
START_TEST(test_same_devices_as_fdt)
{
	static const struct fdt_boot boot;
	struct found found[PLAT_DEVICES_MAX];
	unsigned acpi_only = 0, want_acpi_only = 0, n;
	struct acpi_buf dsdt = { 0 };
	struct diag d = DIAG_INIT;
	struct platform p;
	uint8_t *fdt;
	size_t size;

	sample_make(&p, sample_nth(true, _i));
	p.dev[p.dev_count] =
		(struct plat_dev){ .name = "only",
				   .hid = "SPDL0001",
				   .range_count = 1,
				   .irq_count = 1,
				   .range = { sample_mmio(0x0b000000, 64) },
				   .irq = { { 99, true } } };
	p.dev_count++;
	ck_assert_int_eq(fdt_build(&fdt, &size, &p, &boot, &d), 0);
	ck_assert_int_eq(dsdt_build(&dsdt, &p, &d), 0);
	n = read_devices(dsdt.data, found);
	for (unsigned i = 0; i < n; i++)
		acpi_only += same_node(fdt, &found[i]) < 0;
	for (unsigned i = 0; i < p.dev_count; i++)
		want_acpi_only += in_dsdt(&p.dev[i]) && !p.dev[i].compatible;
	ck_assert_uint_eq(want_acpi_only, 1);
	ck_assert_uint_eq(acpi_only, want_acpi_only);
	free(fdt);
	acpi_buf_release(&dsdt);
	platform_release(&p);
}
END_TEST

/* ---- AML ---- */

static const struct {
	const char *id;
	size_t len;
	const char *aml;
} ids[] = {
	{ "PNP0A08", 5, "\x0c\x41\xd0\x0a\x08" },
	{ "PNP0C0C", 5, "\x0c\x41\xd0\x0c\x0c" },
	{ "LNRO0005", 10, "\x0dLNRO0005" },
	{ "PNP0A0G", 9, "\x0dPNP0A0G" },
	{ "pnp0a08", 9, "\x0dpnp0a08" },
};

START_TEST(test_ids)
{
	struct acpi_buf b = { 0 };

	aml_name_id(&b, "_HID", ids[_i].id);
	ck_assert_uint_eq(b.size_bytes, 5 + ids[_i].len);
	ck_assert_mem_eq(b.data, "\x08_HID", 5);
	ck_assert_mem_eq(b.data + 5, ids[_i].aml, ids[_i].len);
	acpi_buf_release(&b);
}
END_TEST

static const struct {
	uint64_t v;
	size_t len;
	const char *aml;
} integers[] = {
	{ 0, 1, "\x00" },
	{ 1, 1, "\x01" },
	{ 2, 2, "\x0a\x02" },
	{ 255, 2, "\x0a\xff" },
	{ 256, 3, "\x0b\x00\x01" },
	{ 65536, 5, "\x0c\x00\x00\x01\x00" },
	{ UINT32_MAX + UINT64_C(1), 9, "\x0e\x00\x00\x00\x00\x01\x00\x00\x00" },
};

START_TEST(test_integers)
{
	struct acpi_buf b = { 0 };

	aml_integer(&b, integers[_i].v);
	ck_assert_uint_eq(b.size_bytes, integers[_i].len);
	ck_assert_mem_eq(b.data, integers[_i].aml, integers[_i].len);
	acpi_buf_release(&b);
}
END_TEST

/* ---- room and mistakes ---- */

/* Two areas that together just hold the tables, and one byte less */
START_TEST(test_room)
{
	struct acpi_area area[2] = { { GPA(0xe0000), 0 }, { GPA(0x70000), 0 } };
	struct arch_tables t = { .count = 0 };
	struct diag d = DIAG_INIT;
	struct platform p;
	uint64_t need_bytes;

	sample_make(&p, sample_named("x86-300"));
	area[0].size_bytes = 0x20000;
	ck_assert_int_eq(acpi_build(&t, &p, area, 1, &d), 0);
	need_bytes = t.table[t.count - 1].gpa.v - 0xe0000 +
		     t.table[t.count - 1].size_bytes;
	arch_tables_release(&t);
	area[0].size_bytes = need_bytes;
	ck_assert_int_eq(acpi_build(&t, &p, area, 1, &d), 0);
	arch_tables_release(&t);
	area[0].size_bytes = need_bytes - 1;
	ck_assert_int_eq(acpi_build(&t, &p, area, 1, &d), -E2BIG);
	ck_assert_uint_eq(t.count, 0);
	ck_assert_ptr_nonnull(strstr(d.text[0], "300 vCPUs"));
	area[0].size_bytes = 512;
	area[1].size_bytes = need_bytes;
	d = DIAG_INIT;
	ck_assert_int_eq(acpi_build(&t, &p, area, 2, &d), 0);
	ck_assert_uint_eq(t.table[0].gpa.v, 0xe0000);
	ck_assert_uint_eq(t.table[1].gpa.v, 0x70000);
	arch_tables_release(&t);
	platform_release(&p);
}
END_TEST

static void no_apic(struct platform *p)
{
	p->intc.kind = INTC_FAKE;
}

static void high_ioapic(struct platform *p)
{
	p->intc.ioapic.base = GIB(5);
}

static void many_ports(struct platform *p)
{
	p->dev[1].range[0].size_bytes = 256;
}

static void high_ports(struct platform *p)
{
	p->dev[1].range[0].base = 0xfff9;
}

static void no_bus(struct platform *p)
{
	p->pci.segment[0].bus_count = 0;
}

static void ged_wire(struct platform *p)
{
	for (unsigned i = 0; i < p->dev_count; i++)
		if (p->dev[i].role == PLAT_GED)
			p->dev[i].irq_count = 0;
}

static void timer_port(struct platform *p)
{
	for (unsigned i = 0; i < p->dev_count; i++)
		if (p->dev[i].role == PLAT_PM_TIMER)
			p->dev[i].range[0].bus = PLAT_MMIO;
}

static const struct {
	void (*make)(struct platform *p);
	int err;
	const char *says;
} mistakes[] = {
	{ no_apic, -ENOTSUP, "APICs or a GIC" },
	{ high_ioapic, -EINVAL, "IOAPIC" },
	{ many_ports, -EINVAL, "serial has 256 ports" },
	{ high_ports, -EINVAL, "0xfff9" },
	{ no_bus, -EINVAL, "0 PCI buses" },
	{ ged_wire, -EINVAL, "event device" },
	{ timer_port, -EINVAL, "PM timer" },
};

START_TEST(test_mistakes)
{
	struct arch_tables t = { .count = 0 };
	struct diag d = DIAG_INIT;
	struct platform p;

	sample_make(&p, sample_named("x86-4x2"));
	mistakes[_i].make(&p);
	ck_assert_int_eq(x86_tables(&t, &p, "", GPA(0), 0, &d),
			 mistakes[_i].err);
	ck_assert_msg(strstr(d.text[0], mistakes[_i].says) != NULL, "%s",
		      d.text[0]);
	ck_assert_uint_eq(t.count, 0);
	platform_release(&p);
}
END_TEST

/* More CPUs than there are names or room for */
START_TEST(test_too_many_cpus)
{
	static const struct sample s = {
		"many", false, { 1, 8193, 1, 1 }, .pci = false
	};
	struct arch_tables t = { .count = 0 };
	struct diag d = DIAG_INIT;
	struct platform p;

	sample_make(&p, &s);
	ck_assert_int_eq(x86_tables(&t, &p, "", GPA(0), 0, &d), -E2BIG);
	p.cpu_count = p.cpu_enabled = 8192;
	ck_assert_int_eq(x86_tables(&t, &p, "", GPA(0), 0, &d), -E2BIG);
	p.cpu_count = p.cpu_enabled = 5000;
	ck_assert_int_eq(x86_tables(&t, &p, "", GPA(0), 0, &d), 0);
	keep_acpi(&t);
	ck_assert_ptr_null(check_all(&t));
	arch_tables_release(&t);
	platform_release(&p);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("acpi");
	TCase *t = tcase_create("acpi");
	int n = sample_count(false);

	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, test_tables, 0, n);
	tcase_add_test(t, test_checker_sees_damage);
	tcase_add_loop_test(t, test_iasl, 0, n);
	tcase_add_loop_test(t, test_iasl_sees_damage, 0, ARRAY_SIZE(damages));
	tcase_add_loop_test(t, test_all_evaluate, 0, n);
	tcase_add_test(t, test_methods);
	tcase_add_test(t, test_event_devices);
	tcase_add_test(t, test_windows);
	tcase_add_test(t, test_segments);
	tcase_add_loop_test(t, test_fadt, 0, 2);
	tcase_add_loop_test(t, test_madt, 0, n);
	tcase_add_loop_test(t, test_mcfg, 0, n);
	tcase_add_loop_test(t, test_spcr, 0, n);
	tcase_add_loop_test(t, test_pptt, 0, n);
	tcase_add_loop_test(t, test_dbg2, 0, n);
	tcase_add_loop_test(t, test_wdat, 0, n);
	tcase_add_loop_test(t, test_numa, 0, n);
	tcase_add_loop_test(t, test_slowest_link, 0, 5);
	tcase_add_loop_test(t, test_dsdt_devices, 0, n);
	tcase_add_loop_test(t, test_same_devices_as_fdt, 0, sample_count(true));
	tcase_add_loop_test(t, test_ids, 0, ARRAY_SIZE(ids));
	tcase_add_loop_test(t, test_integers, 0, ARRAY_SIZE(integers));
	tcase_add_test(t, test_room);
	tcase_add_loop_test(t, test_mistakes, 0, ARRAY_SIZE(mistakes));
	tcase_add_test(t, test_too_many_cpus);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return suite_run(suite());
}
