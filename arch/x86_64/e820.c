/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: e820, see e820.h
 *
 * Linux refuses to use ECAM that is not reserved here or by an ACPI device
 * (arch/x86/pci/mmconfig-shared.c), so it is always listed.
 */
#include "arch/x86_64/e820.h"

#include <errno.h>

#include "arch/x86_64/layout.h"

static int add(struct x86_e820 *map, uint64_t base, uint64_t end,
	       enum x86_e820_type type)
{
	if (base >= end)
		return 0;
	if (map->count == X86_E820_MAX)
		return -ENOSPC;
	map->entry[map->count++] =
		(struct x86_e820_entry){ base, end - base, type };
	return 0;
}

int x86_e820_carve(struct x86_e820 *map, uint64_t base, uint64_t size_bytes,
		   enum x86_e820_type type)
{
	uint64_t end = base + size_bytes;
	struct x86_e820 out = { .count = 0 };
	int err = 0;

	for (unsigned i = 0; i < map->count && !err; i++) {
		const struct x86_e820_entry *e = &map->entry[i];
		uint64_t e_end = e->base + e->size_bytes;
		uint64_t from = MAX(base, e->base), to = MIN(end, e_end);

		if (e->type != X86_E820_RAM || from >= to) {
			err = add(&out, e->base, e_end, e->type);
			continue;
		}
		if ((err = add(&out, e->base, from, e->type)) ||
		    (err = add(&out, from, to, type)) ||
		    (err = add(&out, to, e_end, e->type)))
			break;
	}
	if (!err)
		*map = out;
	return err;
}

static void add_ram(struct x86_e820 *map, const struct plat_range *ram)
{
	uint64_t end = ram->base + ram->size_bytes;

	if (ram->base < X86_HOLE_BASE)
		add(map, ram->base, MIN(end, X86_HOLE_BASE), X86_E820_RAM);
	add(map, MAX(ram->base, X86_HOLE_END), end, X86_E820_RAM);
}

void x86_e820_init(struct x86_e820 *map, const struct platform *p)
{
	const struct plat_segment *s = p->pci.segment;
	unsigned n = p->pci.segment_count;

	map->count = 0;
	for (unsigned i = 0; i < p->ram_count; i++)
		add_ram(map, &p->ram[i]);
	/* ECAM of one segment follows that of the one before. */
	if (n && s[0].ecam.size_bytes)
		add(map, s[0].ecam.base,
		    s[n - 1].ecam.base + s[n - 1].ecam.size_bytes,
		    X86_E820_RESERVED);
}
