/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: the ACPI PPTT: see acpi-pptt.h */
#include "firmware/acpi-pptt.h"

enum { PPTT_PROCESSOR = 0, PPTT_CACHE = 1 };
enum { PROCESSOR_BYTES = 20, CACHE_BYTES = 24 };
enum {
	PPTT_PACKAGE = 1 << 0,
	PPTT_UID_VALID = 1 << 1,
	PPTT_THREAD = 1 << 2,
	PPTT_LEAF = 1 << 3,
	PPTT_IDENTICAL = 1 << 4,
};
enum {
	SIZE_VALID = 1 << 0,
	SETS_VALID = 1 << 1,
	WAYS_VALID = 1 << 2,
	TYPE_VALID = 1 << 4,
	LINE_VALID = 1 << 6,
};
enum cache_kind { KIND_DATA = 0 << 2, KIND_CODE = 1 << 2, KIND_ALL = 2 << 2 };

/** struct resources - where the caches of a processor node are in the table */
struct resources {
	uint32_t at[2];
	uint32_t count;
};

/* Append a node; where it is in the table, for its children */
static uint32_t put_node(struct acpi_buf *b, uint32_t flags, uint32_t parent,
			 uint32_t uid, const struct resources *r)
{
	uint32_t at = (uint32_t)b->size_bytes;

	acpi_put8(b, PPTT_PROCESSOR);
	acpi_put8(b, (uint8_t)(PROCESSOR_BYTES + 4 * r->count));
	acpi_put16(b, 0);
	acpi_put32(b, flags | PPTT_IDENTICAL);
	acpi_put32(b, parent);
	acpi_put32(b, uid);
	acpi_put32(b, r->count);
	for (uint32_t i = 0; i < r->count; i++)
		acpi_put32(b, r->at[i]);
	return at;
}

/* Append a cache; where it is. @next: what it belongs to, 0 for none */
static uint32_t put_cache(struct acpi_buf *b, const struct cache_shape *c,
			  enum cache_kind kind, uint32_t next)
{
	uint32_t at = (uint32_t)b->size_bytes, flags = TYPE_VALID;
	uint8_t ways = c->ways <= UINT8_MAX ? (uint8_t)c->ways : 0;
	uint16_t line =
		c->line_bytes <= UINT16_MAX ? (uint16_t)c->line_bytes : 0;

	flags |= c->size_bytes ? SIZE_VALID : 0;
	flags |= c->sets ? SETS_VALID : 0;
	flags |= ways ? WAYS_VALID : 0;
	flags |= line ? LINE_VALID : 0;
	acpi_put8(b, PPTT_CACHE);
	acpi_put8(b, CACHE_BYTES);
	acpi_put16(b, 0);
	acpi_put32(b, flags);
	acpi_put32(b, next);
	acpi_put32(b, c->size_bytes);
	acpi_put32(b, c->sets);
	acpi_put8(b, ways);
	acpi_put8(b, (uint8_t)kind);
	acpi_put16(b, line);
	return at;
}

/* The caches of one level; @next: those that they give way to */
static struct resources put_level(struct acpi_buf *b, const struct platform *p,
				  unsigned level, const struct resources *next)
{
	const struct cache_level *c = &p->cache[level - 1];
	enum cache_type type = platform_cache_type(p, level);
	uint32_t data = next->count ? next->at[0] : 0;
	uint32_t code = next->count ? next->at[next->count - 1] : 0;
	struct resources r = { .count = 0 };

	if (type == CACHE_UNIFIED)
		r.at[r.count++] = put_cache(b, &c->data, KIND_ALL, data);
	if (type == CACHE_DATA || type == CACHE_SEPARATE)
		r.at[r.count++] = put_cache(b, &c->data, KIND_DATA, data);
	if (type == CACHE_CODE || type == CACHE_SEPARATE)
		r.at[r.count++] = put_cache(b, &c->code, KIND_CODE, code);
	return r;
}

/* Levels @first to @last, the outermost first; those of level @first */
static struct resources put_levels(struct acpi_buf *b, const struct platform *p,
				   unsigned first, unsigned last)
{
	struct resources r = { .count = 0 };

	for (unsigned level = last; level && level >= first; level--)
		r = put_level(b, p, level, &r);
	return r;
}

static const struct resources none;

/* The node of a package, and of a die where there are several; the latter, or
 * the package, has the last level of cache. */
static uint32_t put_die(struct acpi_buf *b, const struct platform *p,
			const struct plat_cpu *c, uint32_t *package)
{
	unsigned last = platform_cache_levels(p);
	struct resources r = put_levels(b, p, last, last);

	if (p->topology.dies_per_package < 2)
		return put_node(b, PPTT_PACKAGE, 0, 0, &r);
	if (!c->die)
		*package = put_node(b, PPTT_PACKAGE, 0, 0, &none);
	return put_node(b, 0, *package, 0, &r);
}

void acpi_put_pptt(struct acpi_buf *b, const struct platform *p)
{
	unsigned levels = platform_cache_levels(p);
	bool threads = p->topology.threads_per_core > 1;
	uint32_t package = 0, die = 0, core = 0;

	for (uint32_t i = 0; i < p->cpu_count; i++) {
		const struct plat_cpu *c = &p->cpu[i];
		struct resources r = none;

		if (!c->thread && !c->core)
			die = put_die(b, p, c, &package);
		if (!c->thread && levels)
			r = put_levels(b, p, 1, levels - 1);
		if (!c->thread && threads)
			core = put_node(b, 0, die, 0, &r);
		if (threads)
			put_node(b, PPTT_LEAF | PPTT_UID_VALID | PPTT_THREAD,
				 core, i, &none);
		else
			put_node(b, PPTT_LEAF | PPTT_UID_VALID, die, i, &r);
	}
}
