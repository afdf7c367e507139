/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: CPUID: from the host's table to the guest's, see cpuid.h
 *
 * One function per subject, called in the order of the table at the end.
 *
 * Topology: Intel guests read 0x1F, else 0xB; AMD guests 0x80000026, else 0xB,
 * and always 0x8000001E. Dies exist only in 0x1F and 0x80000026, which are
 * added when there are several per package; 0xB then says "core" up to the
 * package. All of them shift APIC ids by the widths of layout.h. Caches of
 * level 1 and 2 belong to a core, those above to a die.
 *
 * Clocks: 0x15 tells Intel guests the TSC frequency. Linux multiplies it out
 * in 32 bits and takes its crystal for the APIC timer's clock, so the crystal
 * is 1 GHz, which is KVM's APIC bus, and the ratio is the best fraction whose
 * numerator stays small.
 *
 * Not implemented: CPU models other than the host's, SGX, SEV guests.
 */
#include "arch/x86_64/cpuid.h"

#include <errno.h>
#include <string.h>

#include "arch/x86_64/layout.h"

#define BIT(n) (UINT32_C(1) << (n))

#define LEAF1_ECX_VMX	       BIT(5)
#define LEAF1_ECX_PDCM	       BIT(15)
#define LEAF1_ECX_X2APIC       BIT(21)
#define LEAF1_ECX_TSC_DEADLINE BIT(24)
#define LEAF1_ECX_HYPERVISOR   BIT(31)
#define LEAF1_EDX_HTT	       BIT(28)
#define LEAF7_EBX_SGX	       BIT(2)
#define LEAF7_ECX_SGX_LC       BIT(30)
#define LEAF7_EDX_ARCH_CAPS    BIT(29)
#define EXT1_ECX_CMP_LEGACY    BIT(1)
#define EXT1_ECX_SVM	       BIT(2)
#define EXT1_ECX_TOPOEXT       BIT(22)
#define EXT7_EDX_INVARIANT_TSC BIT(8)
#define KVM_MSI_EXT_DEST_ID    BIT(15)

#define APIC_BUS_KHZ	  1000000 /* KVM's APIC timer counts nanoseconds */
#define TSC_NUMERATOR_MAX 4294	  /* times 1 GHz in kHz fits 32 bits */

enum level_type {
	LEVEL_SMT = 1,
	LEVEL_CORE = 2,
	LEVEL_DIE = 5,	   /* 0x1F */
	LEVEL_AMD_CCD = 3, /* 0x80000026 */
	LEVEL_AMD_SOCKET = 4,
};

/* What every step needs; made once per vCPU. */
struct maker {
	struct x86_cpuid *c;
	const struct x86_cpuid_facts *f;
	const struct plat_cpu *cpu;
	const struct topology *t;
	bool intel, amd;
	unsigned smt_bits, die_bits, package_bits; /* bits below that level */
	uint32_t die_cpus, package_cpus;
};

struct x86_cpuid_entry *x86_cpuid_find(struct x86_cpuid *c, uint32_t leaf,
				       uint32_t subleaf)
{
	for (uint32_t i = 0; i < c->count; i++) {
		struct x86_cpuid_entry *e = &c->entry[i];

		if (e->leaf == leaf &&
		    (!e->has_subleaf || e->subleaf == subleaf))
			return e;
	}
	return NULL;
}

static struct x86_cpuid_entry *find(struct maker *m, uint32_t leaf)
{
	return x86_cpuid_find(m->c, leaf, 0);
}

static void drop(struct maker *m, uint32_t leaf)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < m->c->count; i++)
		if (m->c->entry[i].leaf != leaf)
			m->c->entry[kept++] = m->c->entry[i];
	m->c->count = kept;
}

static int add(struct maker *m, const struct x86_cpuid_entry *e)
{
	if (m->c->count >= X86_CPUID_MAX)
		return -ENOSPC;
	m->c->entry[m->c->count++] = *e;
	return 0;
}

/* The leaf without subleaves, made if it is not there. */
static struct x86_cpuid_entry *need(struct maker *m, uint32_t leaf)
{
	struct x86_cpuid_entry fresh = { .leaf = leaf };
	struct x86_cpuid_entry *e = find(m, leaf);

	if (e)
		return e;
	return add(m, &fresh) < 0 ? NULL : &m->c->entry[m->c->count - 1];
}

/* The highest leaf of a range is at least @leaf. */
static int raise_max(struct maker *m, uint32_t range, uint32_t leaf)
{
	struct x86_cpuid_entry *e = need(m, range);

	if (!e)
		return -ENOSPC;
	e->eax = MAX(e->eax, leaf);
	return 0;
}

static uint32_t max_leaf(struct maker *m, uint32_t range)
{
	struct x86_cpuid_entry *e = find(m, range);

	return e ? e->eax : 0;
}

static bool invariant_tsc(struct maker *m)
{
	struct x86_cpuid_entry *e = find(m, 0x80000007);

	return m->f->tsc_khz && e && e->edx & EXT7_EDX_INVARIANT_TSC;
}

/* ---- features ----------------------------------------------------------- */

static int fix_features(struct maker *m)
{
	struct x86_cpuid_entry *e = find(m, 1), *pmu = find(m, 0xa);

	if (!e)
		return 0;
	e->ecx |= LEAF1_ECX_HYPERVISOR | LEAF1_ECX_X2APIC |
		  LEAF1_ECX_TSC_DEADLINE;
	if (!pmu || !(pmu->eax & 0xff))
		e->ecx &= ~LEAF1_ECX_PDCM;
	if (!m->f->p->nested)
		e->ecx &= ~LEAF1_ECX_VMX;
	e = find(m, 7);
	if (!e)
		return 0;
	e->ebx &= ~LEAF7_EBX_SGX;
	e->ecx &= ~LEAF7_ECX_SGX_LC;
	if (m->amd)
		e->edx &= ~LEAF7_EDX_ARCH_CAPS;
	return 0;
}

/* Leaves whose subject is not there: SGX, SEV, SVM. */
static int fix_absent(struct maker *m)
{
	struct x86_cpuid_entry *ext = find(m, 0x80000001);

	drop(m, 0x12);
	drop(m, 0x8000001f);
	if (m->f->p->nested)
		return 0;
	drop(m, 0x8000000a);
	if (ext)
		ext->ecx &= ~EXT1_ECX_SVM;
	return 0;
}

/* ---- topology ----------------------------------------------------------- */

static int fix_leaf1(struct maker *m)
{
	struct x86_cpuid_entry *e = find(m, 1);
	uint32_t ids = MIN(UINT32_C(1) << m->package_bits, UINT32_C(255));

	if (!e)
		return 0;
	e->ebx = (e->ebx & 0xffff) | ids << 16 |
		 (uint32_t)(m->cpu->hw_id & 0xff) << 24;
	e->edx &= ~LEAF1_EDX_HTT;
	if (m->package_cpus > 1)
		e->edx |= LEAF1_EDX_HTT;
	return 0;
}

struct level {
	enum level_type type;
	unsigned bits; /* of the APIC id, below the next level's */
	uint32_t cpus;
};

/* The levels of one leaf, and the empty one that ends them. */
static int put_levels(struct maker *m, uint32_t leaf, const struct level *level,
		      unsigned count)
{
	drop(m, leaf);
	for (unsigned i = 0; i <= count; i++) {
		struct x86_cpuid_entry e = {
			.leaf = leaf,
			.subleaf = i,
			.has_subleaf = 1,
			.ecx = i,
			.edx = (uint32_t)m->cpu->hw_id,
		};

		if (i < count) {
			e.eax = level[i].bits;
			e.ebx = level[i].cpus & 0xffff;
			e.ecx |= (uint32_t)level[i].type << 8;
		}
		if (add(m, &e) < 0)
			return -ENOSPC;
	}
	return 0;
}

static int fix_leaf_b(struct maker *m)
{
	const struct level levels[] = {
		{ LEVEL_SMT, m->smt_bits, m->t->threads_per_core },
		{ LEVEL_CORE, m->package_bits, m->package_cpus },
	};

	if (raise_max(m, 0, 0xb) < 0)
		return -ENOSPC;
	return put_levels(m, 0xb, levels, ARRAY_SIZE(levels));
}

static int fix_leaf_1f(struct maker *m)
{
	const struct level levels[] = {
		{ LEVEL_SMT, m->smt_bits, m->t->threads_per_core },
		{ LEVEL_CORE, m->die_bits, m->die_cpus },
		{ LEVEL_DIE, m->package_bits, m->package_cpus },
	};

	drop(m, 0x1f);
	if (!m->intel)
		return 0;
	if (m->t->dies_per_package > 1 && raise_max(m, 0, 0x1f) < 0)
		return -ENOSPC;
	if (max_leaf(m, 0) < 0x1f)
		return 0;
	return put_levels(m, 0x1f, levels, ARRAY_SIZE(levels));
}

static int fix_amd_levels(struct maker *m)
{
	/* Linux takes dies from CCDs; one complex fills one die. */
	const struct level levels[] = {
		{ LEVEL_SMT, m->smt_bits, m->t->threads_per_core },
		{ LEVEL_CORE, m->die_bits, m->die_cpus },
		{ LEVEL_AMD_CCD, m->die_bits, m->die_cpus },
		{ LEVEL_AMD_SOCKET, m->package_bits, m->package_cpus },
	};

	drop(m, 0x80000026);
	if (!m->amd)
		return 0;
	if (m->t->dies_per_package > 1 &&
	    raise_max(m, 0x80000000, 0x80000026) < 0)
		return -ENOSPC;
	if (max_leaf(m, 0x80000000) < 0x80000026)
		return 0;
	return put_levels(m, 0x80000026, levels, ARRAY_SIZE(levels));
}

static int fix_amd_nodes(struct maker *m)
{
	struct x86_cpuid_entry *e = find(m, 0x80000001);
	const struct topology *t = m->t;
	uint32_t node = m->cpu->package * t->dies_per_package + m->cpu->die;
	uint32_t core = m->cpu->die * t->cores_per_die + m->cpu->core;

	if (!m->amd || !e) {
		drop(m, 0x8000001e);
		return 0;
	}
	e->ecx &= ~EXT1_ECX_CMP_LEGACY;
	if (m->package_cpus > 1)
		e->ecx |= EXT1_ECX_CMP_LEGACY;
	if (!(e->ecx & EXT1_ECX_TOPOEXT))
		return 0;
	drop(m, 0x8000001e);
	if (raise_max(m, 0x80000000, 0x8000001e) < 0)
		return -ENOSPC;
	return add(m, &(struct x86_cpuid_entry){
			      .leaf = 0x8000001e,
			      .eax = (uint32_t)m->cpu->hw_id,
			      .ebx = (core & 0xff) |
				     ((t->threads_per_core - 1) & 0xff) << 8,
			      .ecx = (node & 0xff) |
				     ((t->dies_per_package - 1) & 0x7) << 8,
		      });
}

/* Deterministic cache parameters: who shares a cache (4 and 0x8000001D). */
static int fix_caches(struct maker *m)
{
	uint32_t cores = (UINT32_C(1) << (m->package_bits - m->smt_bits)) - 1;

	for (uint32_t i = 0; i < m->c->count; i++) {
		struct x86_cpuid_entry *e = &m->c->entry[i];
		unsigned level = e->eax >> 5 & 7;
		unsigned bits = level > 2 ? m->die_bits : m->smt_bits;
		uint32_t sharing = (UINT32_C(1) << bits) - 1;

		if (e->leaf != 4 && e->leaf != 0x8000001d)
			continue;
		if (!(e->eax & 0x1f)) /* no cache: the end of the list */
			continue;
		e->eax &= 0x3fff;
		e->eax |= MIN(sharing, UINT32_C(0xfff)) << 14;
		if (e->leaf == 4)
			e->eax |= MIN(cores, UINT32_C(0x3f)) << 26;
	}
	return 0;
}

/* Address sizes, and AMD's count of CPUs in the package. */
static int fix_sizes(struct maker *m)
{
	struct x86_cpuid_entry *e;
	uint32_t bits = m->f->p->pa_bits;

	if (raise_max(m, 0x80000000, 0x80000008) < 0)
		return -ENOSPC;
	e = need(m, 0x80000008);
	if (!e)
		return -ENOSPC;
	/* Firmware sizes its 64-bit window by the guest's address bits. */
	e->eax = (e->eax & 0xff00) | bits | bits << 16;
	if (!(e->eax & 0xff00))
		e->eax |= 48 << 8;
	e->ecx = 0;
	if (m->amd)
		e->ecx = MIN(m->package_cpus - 1, UINT32_C(0xff)) |
			 (m->package_bits & 0xf) << 12;
	return 0;
}

/* ---- clocks and the hypervisor ------------------------------------------ */

/*
 * The fraction nearest to @khz / 1 GHz whose numerator fits: the last
 * convergent of the continued fraction, or the one between it and the next if
 * that is nearer (a semiconvergent that is more than half of the way).
 */
static void tsc_ratio(uint32_t khz, uint32_t *num, uint32_t *den)
{
	uint64_t n = khz, d = APIC_BUS_KHZ;
	uint64_t n0 = 0, n1 = 1, d0 = 1, d1 = 0;

	while (d) {
		uint64_t whole = n / d, rest = n % d;
		uint64_t fits = n1 ? (TSC_NUMERATOR_MAX - n0) / n1 : whole;
		uint64_t take = MIN(whole, fits);
		uint64_t n2 = take * n1 + n0, d2 = take * d1 + d0;

		if (take < whole && 2 * take <= whole)
			break;
		n0 = n1, n1 = n2;
		d0 = d1, d1 = d2;
		n = d, d = take < whole ? 0 : rest;
	}
	*num = (uint32_t)n1;
	*den = (uint32_t)d1;
}

static int fix_tsc(struct maker *m)
{
	struct x86_cpuid_entry *e;
	uint32_t mhz = m->f->tsc_khz / 1000;

	if (!m->intel || !invariant_tsc(m) || max_leaf(m, 0) < 0x15)
		return 0;
	e = need(m, 0x15);
	if (!e)
		return -ENOSPC;
	tsc_ratio(m->f->tsc_khz, &e->ebx, &e->eax);
	e->ecx = APIC_BUS_KHZ * UINT32_C(1000);
	e->edx = 0;
	if (max_leaf(m, 0) < 0x16)
		return 0;
	e = need(m, 0x16);
	if (!e)
		return -ENOSPC;
	e->eax = e->ebx = mhz & 0xffff;
	e->ecx = 100; /* bus, MHz */
	return 0;
}

static int fix_kvm(struct maker *m)
{
	struct x86_cpuid_entry *sig = find(m, 0x40000000), *e;

	if (!sig || sig->ebx != 0x4b4d564b) /* "KVMK" */
		return 0;
	e = find(m, 0x40000001);
	if (e && m->f->ext_dest_id)
		e->eax |= KVM_MSI_EXT_DEST_ID;
	if (!invariant_tsc(m))
		return 0;
	/* VMware's timing leaf: TSC and APIC bus frequency in kHz. */
	sig->eax = MAX(sig->eax, UINT32_C(0x40000010));
	e = need(m, 0x40000010);
	if (!e)
		return -ENOSPC;
	e->eax = m->f->tsc_khz;
	e->ebx = APIC_BUS_KHZ;
	return 0;
}

/* ---- all of it ---------------------------------------------------------- */

static void read_vendor(struct maker *m)
{
	const struct x86_cpuid_entry *e = find(m, 0);
	char vendor[12] = "";

	if (e) {
		memcpy(vendor, &e->ebx, 4);
		memcpy(vendor + 4, &e->edx, 4);
		memcpy(vendor + 8, &e->ecx, 4);
	}
	m->intel = !memcmp(vendor, "GenuineIntel", 12);
	m->amd = !memcmp(vendor, "AuthenticAMD", 12) ||
		 !memcmp(vendor, "HygonGenuine", 12);
}

int x86_cpuid_make(struct x86_cpuid *c, const struct x86_cpuid_facts *f,
		   unsigned index)
{
	static int (*const steps[])(struct maker *) = {
		fix_features, fix_absent,     fix_leaf1,     fix_leaf_b,
		fix_leaf_1f,  fix_amd_levels, fix_amd_nodes, fix_caches,
		fix_sizes,    fix_tsc,	      fix_kvm,
	};
	const struct topology *t = &f->p->topology;
	struct x86_apic_widths w = x86_apic_widths(t);
	struct maker m = {
		.c = c,
		.f = f,
		.cpu = &f->p->cpu[index],
		.t = t,
		.smt_bits = w.thread,
		.die_bits = w.thread + w.core,
		.package_bits = w.thread + w.core + w.die,
		.die_cpus = t->threads_per_core * t->cores_per_die,
		.package_cpus = t->threads_per_core * t->cores_per_die *
				t->dies_per_package,
	};
	int err = 0;

	read_vendor(&m);
	for (unsigned i = 0; i < ARRAY_SIZE(steps) && !err; i++)
		err = steps[i](&m);
	return err;
}
