/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: the list operations of the platform description, see platform.h */
#include "vmm/platform.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void platform_release(struct platform *p)
{
	free(p->cpu);
	free(p->numa);
	memset(p, 0, sizeof(*p));
}

int platform_add(struct platform *p, const struct plat_dev *dev, struct diag *d)
{
	if (p->dev_count == PLAT_DEVICES_MAX)
		return diag_fail(d, ENOSPC,
				 "%s: the machine is full with %u devices",
				 dev->name, PLAT_DEVICES_MAX);
	p->dev[p->dev_count++] = *dev;
	return 0;
}

/* Zones that follow each other make no difference to the guest. */
bool platform_memory(const struct platform *p, unsigned *next,
		     struct plat_range *range, uint32_t *node)
{
	const struct plat_part *part = &p->part[*next];

	if (*next >= p->part_count)
		return false;
	*range = part->range;
	*node = part->node;
	while (++*next < p->part_count && p->part[*next].node == *node &&
	       p->part[*next].range.base == range->base + range->size_bytes)
		range->size_bytes += p->part[*next].range.size_bytes;
	return true;
}

enum cache_type platform_cache_type(const struct platform *p, unsigned level)
{
	if (level > CACHE_LEVELS)
		return CACHE_NONE;
	return (enum cache_type)(p->clidr >> (3 * (level - 1)) & 7);
}

unsigned platform_cache_levels(const struct platform *p)
{
	unsigned levels = 0;

	while (platform_cache_type(p, levels + 1) != CACHE_NONE)
		levels++;
	return levels > 1 ? levels : 0;
}

unsigned platform_cache_owner(const struct platform *p, unsigned cpu,
			      unsigned level)
{
	const struct plat_cpu *c = &p->cpu[cpu];
	bool last = level == platform_cache_levels(p);

	while (cpu && p->cpu[cpu - 1].package == c->package &&
	       p->cpu[cpu - 1].die == c->die &&
	       (last || p->cpu[cpu - 1].core == c->core))
		cpu--;
	return cpu;
}

uint32_t platform_msi_ids(const struct platform *p)
{
	const struct plat_pci *pci = &p->pci;

	return PLAT_SEGMENT_IDS *
	       (pci->segment_count > 1 ? 1 : pci->segment[0].bus_count);
}

const struct plat_dev *platform_find(const struct platform *p,
				     enum plat_role role)
{
	for (unsigned i = 0; i < p->dev_count; i++)
		if (p->dev[i].role == role)
			return &p->dev[i];
	return NULL;
}
