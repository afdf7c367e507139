/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: do the ACPI tables about NUMA nodes say what the description says? An
 * independent reader of SRAT, SLIT and HMAT for the suites of both ISAs */
#ifndef TESTS_UNIT_NUMA_CHECK_H
#define TESTS_UNIT_NUMA_CHECK_H

#include <check.h>

#include "vmm/base/bytes.h"
#include "vmm/platform.h"

/* The CPU of an SRAT entry, and the node that it says; NULL: not of a CPU */
static inline const struct plat_cpu *srat_cpu(const struct platform *p,
					      const uint8_t *e, uint32_t *node)
{
	uint64_t id = e[0] == 0 ? e[3] : get_le32(e + (e[0] == 2 ? 8 : 6));

	if (e[0] == 1)
		return NULL;
	ck_assert_int_eq(e[0] == 3, p->intc.kind != INTC_APIC);
	*node = e[0] == 0 ? e[2] : get_le32(e + (e[0] == 2 ? 4 : 2));
	ck_assert_uint_eq(get_le32(e + (e[0] == 0   ? 4
					: e[0] == 2 ? 12
						    : 10)),
			  1);
	if (e[0] == 3) {
		ck_assert_uint_eq(e[1], 18);
		ck_assert_uint_lt(id, p->cpu_count);
		return &p->cpu[id];
	}
	ck_assert_int_eq(e[0], id < 255 ? 0 : 2);
	for (unsigned i = 0; i < p->cpu_count; i++)
		if (p->cpu[i].hw_id == id)
			return &p->cpu[i];
	ck_abort_msg("no CPU of id %u", (unsigned)id);
}

/* Bytes of @p's RAM that are in the range of a memory entry, all in its node */
static inline uint64_t srat_ram(const struct platform *p, const uint8_t *e)
{
	uint64_t sum = 0;

	ck_assert_uint_eq(e[1], 40);
	ck_assert_uint_eq(get_le32(e + 28), 1);
	for (unsigned i = 0; i < p->part_count; i++) {
		const struct plat_part *part = &p->part[i];

		if (!range_within(part->range.base, part->range.size_bytes,
				  get_le64(e + 8), get_le64(e + 16)))
			continue;
		ck_assert_uint_eq(get_le32(e + 2), part->node);
		sum += part->range.size_bytes;
	}
	ck_assert_uint_eq(sum, get_le64(e + 16));
	return sum;
}

/* All CPUs, in the order of nodes, and all RAM, neighbours in one entry */
static inline void check_srat(const struct platform *p, const uint8_t *t,
			      size_t size_bytes)
{
	uint32_t cpus = 0, last = 0, ranges = 0, node = 0;
	uint64_t ram = 0, all = 0, end = 0;

	for (size_t at = 48; at < size_bytes; at += t[at + 1]) {
		const uint8_t *e = t + at;
		const struct plat_cpu *cpu = srat_cpu(p, e, &node);

		if (cpu) {
			ck_assert_uint_eq(node, cpu->node);
			ck_assert_uint_ge(node, last);
			last = node;
			cpus++;
			continue;
		}
		if (ranges++)
			ck_assert(get_le64(e + 8) > end ||
				  get_le32(e + 2) != last);
		end = get_le64(e + 8) + get_le64(e + 16);
		last = get_le32(e + 2);
		ram += srat_ram(p, e);
	}
	for (unsigned i = 0; i < p->ram_count; i++)
		all += p->ram[i].size_bytes;
	ck_assert_uint_eq(cpus, p->cpu_count);
	ck_assert_uint_eq(ram, all);
}

static inline void check_slit(const struct platform *p, const uint8_t *t,
			      size_t size_bytes)
{
	uint32_t n = p->numa->node_count;

	ck_assert_uint_eq(get_le64(t + 36), n);
	ck_assert_uint_eq(size_bytes, 44 + n * n);
	for (uint32_t i = 0; i < n; i++)
		for (uint32_t j = 0; j < n; j++)
			ck_assert_uint_eq(t[44 + i * n + j],
					  p->numa->link[i][j].distance);
}

/* One latency or bandwidth structure; all sample nodes have CPUs and RAM. */
static inline void check_locality(const struct platform *p, const uint8_t *e)
{
	uint32_t n = p->numa->node_count;
	uint64_t unit = get_le64(e + 24);
	const uint8_t *value = e + 32 + 8 * n;

	ck_assert_uint_eq(get_le32(e + 4), 32 + 8 * n + 2 * n * n);
	ck_assert_uint_eq(get_le32(e + 12), n);
	ck_assert_uint_eq(get_le32(e + 16), n);
	for (uint32_t i = 0; i < n; i++) {
		ck_assert_uint_eq(get_le32(e + 32 + 4 * i), i);
		ck_assert_uint_eq(get_le32(e + 32 + 4 * n + 4 * i), i);
	}
	for (uint32_t i = 0; i < n * n; i++) {
		const struct plat_link *l = &p->numa->link[i / n][i % n];
		uint64_t said = get_le16(value + 2 * i) * unit;

		uint64_t is = e[9] ? l->bandwidth_mb : 1000ull * l->latency_ns;

		ck_assert_uint_ne(get_le16(value + 2 * i), 0xffff);
		ck_assert(said >= is && said < is + unit);
	}
}

static inline void check_hmat(const struct platform *p, const uint8_t *t,
			      size_t size_bytes)
{
	uint32_t memories = 0, latencies = 0, bandwidths = 0;

	for (size_t at = 40; at < size_bytes; at += get_le32(t + at + 4)) {
		const uint8_t *e = t + at;

		ck_assert_uint_le(get_le16(e), 1);
		if (get_le16(e) == 0) {
			ck_assert_uint_eq(get_le16(e + 8), 1);
			ck_assert_uint_eq(get_le32(e + 12), memories);
			ck_assert_uint_eq(get_le32(e + 16), memories);
			memories++;
			continue;
		}
		ck_assert(e[9] == 0 || e[9] == 3);
		latencies += e[9] == 0;
		bandwidths += e[9] == 3;
		check_locality(p, e);
	}
	ck_assert_uint_eq(memories, p->numa->node_count);
	ck_assert_uint_eq(latencies, 1);
	ck_assert_uint_eq(bandwidths, 1);
}

#endif
