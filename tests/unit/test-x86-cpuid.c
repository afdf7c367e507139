/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: CPUID of guests on an EPYC and on a Xeon host
 *
 * The tables of two hosts are made up after what KVM_GET_SUPPORTED_CPUID
 * returns on a Zen 3 and on a Sapphire Rapids. What the guest reads of its
 * topology is decoded by rules of its own here, which are those of Linux 6.12
 * (arch/x86/kernel/cpu/topology_*.c): the decoded place must be the place
 * that the platform says the CPU has.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "arch/x86_64/cpuid.h"
#include "arch/x86_64/layout.h"

#include "tests/unit/suite.h"

enum host { EPYC, XEON, HOSTS };

static const struct x86_cpuid_entry epyc[] = {
	{ 0x0, 0, 0, 0x10, 0x68747541, 0x444d4163, 0x69746e65 },
	{ 0x1, 0, 0, 0xa00f11, 0x12400800, 0xfeda3223, 0x178bfbff },
	{ 0x6, 0, 0, 0x4, 0, 0, 0 },
	{ 0x7, 0, 1, 0, 0x219c97a9, 0x40068c, 0x30000010 },
	{ 0xb, 0, 1, 0, 0, 0, 0x12 },
	{ 0xd, 0, 1, 0x207, 0x988, 0x988, 0 },
	{ 0xd, 1, 1, 0xf, 0x348, 0x1800, 0 },
	{ 0x40000000, 0, 0, 0x40000001, 0x4b4d564b, 0x564b4d56, 0x4d },
	{ 0x40000001, 0, 0, 0x01007efb, 0, 0, 0 },
	{ 0x80000000, 0, 0, 0x80000021, 0x68747541, 0x444d4163, 0x69746e65 },
	{ 0x80000001, 0, 0, 0xa00f11, 0x40000000, 0x75c237ff, 0x2fd3fbff },
	{ 0x80000005, 0, 0, 0xff40ff40, 0xff40ff40, 0x20080140, 0x20080140 },
	{ 0x80000007, 0, 0, 0, 0, 0, 0x100 },
	{ 0x80000008, 0, 0, 0x3030, 0x111ed205, 0x707f, 0 },
	{ 0x8000000a, 0, 0, 1, 16, 0, 0x119b9cff },
	{ 0x8000001d, 0, 1, 0x00004121, 0x1c0003f, 0x3f, 0 },
	{ 0x8000001d, 1, 1, 0x00004122, 0x1c0003f, 0x3f, 0 },
	{ 0x8000001d, 2, 1, 0x00004143, 0x1c0003f, 0x3ff, 2 },
	{ 0x8000001d, 3, 1, 0x0003c163, 0x3c0003f, 0x7fff, 1 },
	{ 0x8000001d, 4, 1, 0, 0, 0, 0 },
	{ 0x8000001e, 0, 0, 0, 0, 0, 0 },
	{ 0x8000001f, 0, 0, 0x1000b, 0x4173, 0x1fd, 1 },
	{ 0x80000021, 0, 0, 0x45, 0, 0, 0 },
};

static const struct x86_cpuid_entry xeon[] = {
	{ 0x0, 0, 0, 0x20, 0x756e6547, 0x6c65746e, 0x49656e69 },
	{ 0x1, 0, 0, 0x806f8, 0x5400800, 0xfffaba1f, 0x1fcbfbff },
	{ 0x4, 0, 1, 0xfc004121, 0x2c0003f, 0x3f, 0 },
	{ 0x4, 1, 1, 0xfc004122, 0x1c0003f, 0x3f, 0 },
	{ 0x4, 2, 1, 0xfc01c143, 0x3c0003f, 0x7ff, 0 },
	{ 0x4, 3, 1, 0xfc1fc163, 0x380003f, 0x1bfff, 4 },
	{ 0x4, 4, 1, 0, 0, 0, 0 },
	{ 0x7, 0, 1, 2, 0xf1bf27ef, 0x5b417f6e, 0xbfd14410 },
	{ 0x7, 1, 1, 0x1c30, 0, 0, 0 },
	{ 0xa, 0, 0, 0x7300802, 0, 0, 0x603 },
	{ 0xb, 0, 1, 0, 0, 0, 0x4 },
	{ 0x12, 0, 1, 0x3, 0, 0, 0x1f1f },
	{ 0x15, 0, 0, 0, 0, 0, 0 },
	{ 0x16, 0, 0, 0, 0, 0, 0 },
	{ 0x1f, 0, 1, 0, 0, 0, 0x4 },
	{ 0x40000000, 0, 0, 0x40000001, 0x4b4d564b, 0x564b4d56, 0x4d },
	{ 0x40000001, 0, 0, 0x01007efb, 0, 0, 0 },
	{ 0x80000000, 0, 0, 0x80000008, 0, 0, 0 },
	{ 0x80000001, 0, 0, 0, 0, 0x121, 0x2c100800 },
	{ 0x80000007, 0, 0, 0, 0, 0, 0x100 },
	{ 0x80000008, 0, 0, 0x3934, 0x200d000, 0, 0 },
};

static struct platform p;
static struct x86_cpuid c;
static struct x86_cpuid_facts facts;

static void use_host(enum host host)
{
	const struct x86_cpuid_entry *e = host == EPYC ? epyc : xeon;

	c.count = host == EPYC ? ARRAY_SIZE(epyc) : ARRAY_SIZE(xeon);
	memcpy(c.entry, e, c.count * sizeof(*e));
}

static void use_topology(struct topology t, bool nested)
{
	uint32_t n = t.threads_per_core * t.cores_per_die * t.dies_per_package *
		     t.packages;
	struct vm_config cfg = {
		.cpus = { .boot_vcpus = n,
			  .max_vcpus = n,
			  .topology = t,
			  .nested = nested },
		.memory.size_bytes = MIB(64),
	};
	struct host_caps caps = { .pa_bits = 48, .ext_dest_id = true };

	platform_release(&p);
	memset(&p, 0, sizeof(p));
	ck_assert_int_eq(arch_x86_64.layout(&p, &cfg, &caps, NULL), 0);
	facts = (struct x86_cpuid_facts){ &p, true, 2445404 };
}

static void make(enum host host, unsigned index)
{
	use_host(host);
	ck_assert_int_eq(x86_cpuid_make(&c, &facts, index), 0);
}

static void setup(void)
{
	use_topology((struct topology){ 1, 1, 1, 1 }, false);
}

static void teardown(void)
{
	platform_release(&p);
}

/* What the instruction returns: zeros where nothing answers. */
static struct x86_cpuid_entry cpuid(uint32_t leaf, uint32_t subleaf)
{
	const struct x86_cpuid_entry *e = x86_cpuid_find(&c, leaf, subleaf);

	return e ? *e : (struct x86_cpuid_entry){ 0 };
}

/* ---- decoding the topology as Linux does -------------------------------- */

enum domain { SMT, CORE, MODULE, TILE, DIE, DIEGRP, DOMAINS };

struct decoded {
	unsigned shift[DOMAINS];
	uint32_t cpus[DOMAINS];
	uint32_t apic_id;
};

static void set_domain(struct decoded *t, enum domain dom, unsigned shift,
		       uint32_t cpus)
{
	for (; dom < DOMAINS; dom++) {
		t->shift[dom] = shift;
		t->cpus[dom] = cpus;
	}
}

static bool decode_leaf(struct decoded *t, uint32_t leaf)
{
	static const int intel[] = { -1, SMT, CORE, MODULE, TILE, DIE, DIEGRP };
	static const int amd[] = { -1, SMT, CORE, TILE, DIE };
	unsigned i;

	for (i = 0;; i++) {
		struct x86_cpuid_entry e = cpuid(leaf, i);
		unsigned type = e.ecx >> 8 & 0xff;
		bool is_amd = leaf == 0x80000026;

		if (!(e.ebx & 0xffff) || !type)
			break;
		ck_assert_uint_eq(e.ecx & 0xff, i);
		ck_assert_uint_lt(type, is_amd	      ? ARRAY_SIZE(amd)
					: leaf == 0xb ? 3
						      : ARRAY_SIZE(intel));
		if (!i)
			t->apic_id = e.edx;
		ck_assert_uint_eq(e.edx, t->apic_id);
		set_domain(t, (enum domain)(is_amd ? amd[type] : intel[type]),
			   e.eax & 0x1f, e.ebx & 0xffff);
	}
	return i > 0;
}

static struct decoded decode(enum host host)
{
	struct decoded t = { .apic_id = 0 };

	set_domain(&t, SMT, 0, 1);
	if (host == XEON && cpuid(0, 0).eax >= 0x1f && decode_leaf(&t, 0x1f))
		return t;
	if (host == EPYC && cpuid(0x80000000, 0).eax >= 0x80000026 &&
	    decode_leaf(&t, 0x80000026))
		return t;
	ck_assert_uint_ge(cpuid(0, 0).eax, 0xb);
	ck_assert(decode_leaf(&t, 0xb));
	return t;
}

static const struct topology topologies[] = {
	{ 1, 1, 1, 1 }, { 1, 4, 1, 1 }, { 2, 4, 1, 1 },	 { 1, 1, 1, 4 },
	{ 2, 3, 2, 2 }, { 1, 6, 1, 2 }, { 2, 64, 1, 2 }, { 1, 3, 5, 3 },
};

static void expect_place(enum host host, unsigned i)
{
	const struct plat_cpu *cpu = &p.cpu[i];
	const struct topology *t = &p.topology;
	struct x86_apic_widths w = x86_apic_widths(t);
	unsigned die = w.thread + w.core, package = die + w.die;
	struct decoded got = decode(host);
	uint32_t id = got.apic_id;

	ck_assert_uint_eq(id, cpu->hw_id);
	ck_assert_uint_eq(got.shift[SMT], w.thread);
	ck_assert_uint_eq(got.shift[DIEGRP], package);
	ck_assert_uint_eq(id >> got.shift[DIEGRP], cpu->package);
	ck_assert_uint_eq(id & ((1U << got.shift[SMT]) - 1), cpu->thread);
	/* die: shift of the level below */
	if (t->dies_per_package > 1)
		ck_assert_uint_eq(id >> got.shift[TILE] &
					  ((1U << (package - die)) - 1),
				  cpu->die);
	ck_assert_uint_eq((id >> w.thread) & ((1U << w.core) - 1), cpu->core);
	ck_assert_uint_eq(got.cpus[SMT], t->threads_per_core);
	ck_assert_uint_eq(got.cpus[DIEGRP], t->threads_per_core *
						    t->cores_per_die *
						    t->dies_per_package);
	ck_assert_uint_eq(got.cpus[DIE] / got.cpus[TILE], t->dies_per_package);
	/* Leaf 1 has room for 8 bits of it. */
	ck_assert_uint_eq(cpuid(1, 0).ebx >> 24, id & 0xff);
	ck_assert_uint_eq(cpuid(1, 0).ebx >> 16 & 0xff,
			  MIN(1U << package, 255U));
	ck_assert_uint_eq(cpuid(1, 0).edx >> 28 & 1, got.cpus[DIEGRP] > 1);
}

START_TEST(test_places)
{
	enum host host = (enum host)(_i % HOSTS);

	use_topology(topologies[_i / HOSTS], false);
	for (unsigned i = 0; i < p.cpu_count; i++) {
		make(host, i);
		expect_place(host, i);
	}
}
END_TEST

/* A reader that knows only 0xB sees packages and threads all the same. */
START_TEST(test_leaf_b_alone)
{
	struct decoded t = { .apic_id = 0 };

	use_topology((struct topology){ 2, 3, 2, 2 }, false);
	make((enum host)_i, 23);
	ck_assert(decode_leaf(&t, 0xb));
	ck_assert_uint_eq(t.shift[CORE], 4);
	ck_assert_uint_eq(t.cpus[CORE], 12);
	ck_assert_uint_eq(t.apic_id >> 4, 1);
}
END_TEST

/* AMD's own leaves. */
START_TEST(test_amd_nodes)
{
	use_topology((struct topology){ 2, 3, 2, 2 }, false);
	for (unsigned i = 0; i < p.cpu_count; i++) {
		const struct plat_cpu *cpu = &p.cpu[i];

		make(EPYC, i);
		ck_assert_uint_eq(cpuid(0x8000001e, 0).eax, cpu->hw_id);
		ck_assert_uint_eq(cpuid(0x8000001e, 0).ebx,
				  (cpu->die * 3 + cpu->core) | 1 << 8);
		ck_assert_uint_eq(cpuid(0x8000001e, 0).ecx,
				  (cpu->package * 2 + cpu->die) | 1 << 8);
		ck_assert_uint_eq(cpuid(0x80000008, 0).ecx, 11 | 4 << 12);
		ck_assert_uint_eq(cpuid(0x80000001, 0).ecx >> 1 & 1, 1);
		ck_assert_uint_ge(cpuid(0x80000000, 0).eax, 0x80000026);
	}
	use_topology((struct topology){ 2, 3, 1, 2 }, false);
	make(EPYC, 0);
	ck_assert_uint_eq(cpuid(0x80000000, 0).eax, 0x80000021);
	ck_assert_uint_eq(cpuid(0x80000026, 0).ebx, 0);
}
END_TEST

START_TEST(test_intel_has_no_amd_leaves)
{
	use_topology((struct topology){ 2, 3, 2, 2 }, false);
	make(XEON, 5);
	ck_assert_uint_eq(cpuid(0x80000008, 0).ecx, 0);
	ck_assert_ptr_null(x86_cpuid_find(&c, 0x8000001e, 0));
	ck_assert_ptr_null(x86_cpuid_find(&c, 0x80000026, 0));
	make(EPYC, 5);
	ck_assert_ptr_null(x86_cpuid_find(&c, 0x1f, 0));
}
END_TEST

/* Caches are shared by what the guest has, not by what the host has. */
static const struct {
	enum host host;
	uint32_t leaf, subleaf, level;
	bool by_die;
} caches[] = {
	{ XEON, 4, 0, 1, false },	   { XEON, 4, 2, 2, false },
	{ XEON, 4, 3, 3, true },	   { EPYC, 0x8000001d, 1, 1, false },
	{ EPYC, 0x8000001d, 2, 2, false }, { EPYC, 0x8000001d, 3, 3, true },
};

START_TEST(test_caches)
{
	struct x86_cpuid_entry e;

	use_topology((struct topology){ 2, 3, 2, 1 }, false);
	make(caches[_i].host, 11);
	e = cpuid(caches[_i].leaf, caches[_i].subleaf);
	ck_assert_uint_eq(e.eax >> 5 & 7, caches[_i].level);
	ck_assert_uint_eq(e.eax >> 14 & 0xfff, caches[_i].by_die ? 7 : 1);
	ck_assert_uint_eq(e.eax >> 26, caches[_i].leaf == 4 ? 7 : 0);
	ck_assert_uint_eq(cpuid(caches[_i].leaf, 4).eax, 0);
}
END_TEST

/* ---- features ----------------------------------------------------------- */

START_TEST(test_features)
{
	make((enum host)_i, 0);
	ck_assert_uint_eq(cpuid(1, 0).ecx >> 31, 1);
	ck_assert_uint_eq(cpuid(1, 0).ecx >> 21 & 1, 1);
	ck_assert_uint_eq(cpuid(1, 0).ecx >> 24 & 1, 1);
	ck_assert_uint_eq(cpuid(1, 0).ebx >> 8 & 0xff, 8); /* CLFLUSH */
	ck_assert_uint_eq(cpuid(0x40000001, 0).eax >> 15 & 1, 1);
	ck_assert_uint_eq(cpuid(7, 0).ebx >> 2 & 1, 0);	 /* SGX */
	ck_assert_uint_eq(cpuid(7, 0).ecx >> 30 & 1, 0); /* SGX_LC */
	ck_assert_ptr_null(x86_cpuid_find(&c, 0x12, 0));
	ck_assert_ptr_null(x86_cpuid_find(&c, 0x8000001f, 0));
	ck_assert_uint_eq(cpuid(7, 0).edx >> 29 & 1, _i == XEON);
	/* What is not ours stays. */
	ck_assert_uint_eq(cpuid(0x80000007, 0).edx, 0x100);
	ck_assert_uint_eq(cpuid(1, 0).eax, _i == EPYC ? 0xa00f11 : 0x806f8);
}
END_TEST

START_TEST(test_no_ext_dest_id)
{
	facts.ext_dest_id = false;
	make((enum host)_i, 0);
	ck_assert_uint_eq(cpuid(0x40000001, 0).eax, 0x01007efb);
}
END_TEST

START_TEST(test_nested)
{
	bool nested = _i / HOSTS;

	use_topology((struct topology){ 1, 1, 1, 1 }, nested);
	make((enum host)(_i % HOSTS), 0);
	if (_i % HOSTS == XEON) {
		/* the made-up host offers VMX only with bit 5 set */
		c.count = ARRAY_SIZE(xeon);
		use_host(XEON);
		x86_cpuid_find(&c, 1, 0)->ecx |= 1U << 5;
		ck_assert_int_eq(x86_cpuid_make(&c, &facts, 0), 0);
		ck_assert_uint_eq(cpuid(1, 0).ecx >> 5 & 1, nested);
	} else {
		ck_assert_uint_eq(cpuid(0x80000001, 0).ecx >> 2 & 1, nested);
		ck_assert_int_eq(x86_cpuid_find(&c, 0x8000000a, 0) != NULL,
				 nested);
	}
}
END_TEST

/* Without a PMU nothing may point to one. */
START_TEST(test_no_pmu)
{
	use_host(XEON);
	ck_assert_uint_eq(cpuid(1, 0).ecx >> 15 & 1, 1);
	x86_cpuid_find(&c, 0xa, 0)->eax = 0;
	ck_assert_int_eq(x86_cpuid_make(&c, &facts, 0), 0);
	ck_assert_uint_eq(cpuid(1, 0).ecx >> 15 & 1, 0);
	make(XEON, 0);
	ck_assert_uint_eq(cpuid(1, 0).ecx >> 15 & 1, 1);
}
END_TEST

START_TEST(test_address_bits)
{
	make((enum host)_i, 0);
	ck_assert_uint_eq(cpuid(0x80000008, 0).eax & 0xff, 48);
	ck_assert_uint_eq(cpuid(0x80000008, 0).eax >> 16 & 0xff, 48);
	ck_assert_uint_eq(cpuid(0x80000008, 0).eax >> 8 & 0xff,
			  _i == EPYC ? 0x30 : 0x39);
	p.pa_bits = 40;
	make((enum host)_i, 0);
	ck_assert_uint_eq(cpuid(0x80000008, 0).eax & 0xff, 40);
}
END_TEST

/* ---- clocks ------------------------------------------------------------- */

static const uint32_t khz[] = { 2445404, 2000000, 1999999, 2000900, 3700003,
				1000000, 999999,  5700001, 800000,  2 };

/* Linux: crystal_khz * numerator / denominator, in 32 bits. */
START_TEST(test_tsc)
{
	struct x86_cpuid_entry e;
	uint32_t crystal_khz, tsc;
	uint64_t error;

	facts.tsc_khz = khz[_i];
	make(XEON, 0);
	e = cpuid(0x15, 0);
	ck_assert_uint_gt(e.eax, 0);
	ck_assert_uint_gt(e.ebx, 0);
	crystal_khz = e.ecx / 1000;
	ck_assert_uint_eq(crystal_khz, 1000000);
	ck_assert_uint_le((uint64_t)crystal_khz * e.ebx, UINT32_MAX);
	tsc = crystal_khz * e.ebx / e.eax;
	error = tsc > khz[_i] ? tsc - khz[_i] : khz[_i] - tsc;
	if (khz[_i] > 100000)
		ck_assert_uint_le(error * 1000000 / khz[_i], 12);
	ck_assert_uint_eq(cpuid(0x16, 0).eax, khz[_i] / 1000);
	ck_assert_uint_eq(cpuid(0x40000010, 0).eax, khz[_i]);
	ck_assert_uint_eq(cpuid(0x40000010, 0).ebx, 1000000);
	ck_assert_uint_eq(cpuid(0x40000000, 0).eax, 0x40000010);
}
END_TEST

START_TEST(test_tsc_unknown)
{
	if (_i == 0)
		facts.tsc_khz = 0;
	use_host(XEON);
	if (_i == 1)
		x86_cpuid_find(&c, 0x80000007, 0)->edx = 0;
	ck_assert_int_eq(x86_cpuid_make(&c, &facts, 0), 0);
	ck_assert_uint_eq(cpuid(0x15, 0).eax, 0);
	ck_assert_uint_eq(cpuid(0x40000000, 0).eax, 0x40000001);
	ck_assert_ptr_null(x86_cpuid_find(&c, 0x40000010, 0));
}
END_TEST

/* ---- odd hosts ---------------------------------------------------------- */

START_TEST(test_full)
{
	use_host(EPYC);
	while (c.count < X86_CPUID_MAX)
		c.entry[c.count++].leaf = 0x20000000;
	ck_assert_int_eq(x86_cpuid_make(&c, &facts, 0), -ENOSPC);
}
END_TEST

START_TEST(test_empty)
{
	struct decoded t = { .apic_id = 0 };

	c.count = 0;
	ck_assert_int_eq(x86_cpuid_make(&c, &facts, 0), 0);
	ck_assert(decode_leaf(&t, 0xb));
}
END_TEST

/* No leaf answers twice: the first entry would hide the other. */
START_TEST(test_unique)
{
	use_topology((struct topology){ 2, 3, 2, 2 }, true);
	make((enum host)_i, 7);
	for (unsigned a = 0; a < c.count; a++)
		for (unsigned b = 0; b < a; b++)
			ck_assert(c.entry[a].leaf != c.entry[b].leaf ||
				  (c.entry[a].has_subleaf &&
				   c.entry[b].has_subleaf &&
				   c.entry[a].subleaf != c.entry[b].subleaf));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("x86-cpuid");
	TCase *t = tcase_create("cpuid");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, test_places, 0, HOSTS * ARRAY_SIZE(topologies));
	tcase_add_loop_test(t, test_leaf_b_alone, 0, HOSTS);
	tcase_add_test(t, test_amd_nodes);
	tcase_add_test(t, test_intel_has_no_amd_leaves);
	tcase_add_loop_test(t, test_caches, 0, ARRAY_SIZE(caches));
	tcase_add_loop_test(t, test_features, 0, HOSTS);
	tcase_add_loop_test(t, test_no_ext_dest_id, 0, HOSTS);
	tcase_add_loop_test(t, test_nested, 0, 2 * HOSTS);
	tcase_add_test(t, test_no_pmu);
	tcase_add_loop_test(t, test_address_bits, 0, HOSTS);
	tcase_add_loop_test(t, test_tsc, 0, ARRAY_SIZE(khz));
	tcase_add_loop_test(t, test_tsc_unknown, 0, 2);
	tcase_add_test(t, test_full);
	tcase_add_test(t, test_empty);
	tcase_add_loop_test(t, test_unique, 0, HOSTS);
	suite_add_tcase(s, t);
	return suite_run(s);
}
