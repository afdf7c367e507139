/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: NUMA nodes from the configuration, see numa.h */
#include "arch/numa.h"

#include <errno.h>
#include <stdlib.h>

#include "vmm/config-numa.h"

/* 0: the node does not say how far @id is. */
static uint32_t given(const struct pair_list *list, uint32_t id)
{
	for (unsigned i = 0; i < list->count; i++)
		if (list->v[i].id == id)
			return list->v[i].value;
	return 0;
}

static uint32_t distance(const struct vm_config *cfg, uint32_t from,
			 uint32_t to)
{
	uint32_t there, back;

	if (from == to)
		return NUMA_LOCAL;
	there = given(&vm_config_node(cfg, from)->distances, to);
	back = given(&vm_config_node(cfg, to)->distances, from);
	return there ? there : back ? back : NUMA_REMOTE;
}

static void fill_links(struct plat_numa *numa, const struct vm_config *cfg)
{
	for (uint32_t i = 0; i < numa->node_count; i++) {
		const struct numa_config *n = vm_config_node(cfg, i);

		numa->hmat |= n->latencies.count || n->bandwidths.count;
		for (uint32_t j = 0; j < numa->node_count; j++)
			numa->link[i][j] = (struct plat_link){
				.distance = distance(cfg, i, j),
				.latency_ns = given(&n->latencies, j),
				.bandwidth_mb = given(&n->bandwidths, j),
			};
	}
}

static void fill_members(struct platform *p, const struct vm_config *cfg,
			 const struct numa_config *n)
{
	for (unsigned i = 0; i < n->cpus.count; i++)
		p->cpu[n->cpus.v[i]].node = n->guest_numa_id;
	for (unsigned i = 0; i < n->pci_segments.count; i++)
		p->pci.segment[n->pci_segments.v[i]].node = n->guest_numa_id;
	for (unsigned i = 0; i < n->memory_zones.count; i++) {
		unsigned zone = vm_config_zone(cfg, n->memory_zones.v[i]);

		for (unsigned j = 0; j < p->part_count; j++)
			if (p->part[j].zone == zone)
				p->part[j].node = n->guest_numa_id;
	}
}

int numa_fill(struct platform *p, const struct vm_config *cfg, struct diag *d)
{
	if (!cfg->numa_count)
		return 0;
	p->numa = calloc(1, sizeof(*p->numa));
	if (!p->numa)
		return diag_fail(d, ENOMEM, "out of memory");
	p->numa->node_count = cfg->numa_count;
	fill_links(p->numa, cfg);
	for (unsigned i = 0; i < cfg->numa_count; i++)
		fill_members(p, cfg, &cfg->numa[i]);
	return 0;
}
