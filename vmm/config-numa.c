/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: --numa
 *
 * Cloud Hypervisor's keys, and two of ours: latencies= and bandwidths=, which
 * make an ACPI HMAT (Cloud Hypervisor has none), in the form of distances=.
 *
 * What the guest would not see as it was given is refused. Linux numbers nodes
 * from 0 without gaps, by ACPI those with processors first; its scheduler
 * complains of a cache (a die) that is in two nodes; and RAM or a processor
 * that is in no node makes it drop the whole description.
 */
#include "vmm/config-numa.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "vmm/config-impl.h"

#define NO_NODE UINT32_MAX

static const struct schema_key keys[] = {
	{ .name = "guest_numa_id",
	  .type = SCHEMA_U32,
	  .offset = ITEM_AT(numa_config, guest_numa_id),
	  .max = CONFIG_NODES_MAX - 1,
	  .preset = "0",
	  .doc = "number of the node in the guest; all nodes count from 0 "
		 "without gaps",
	  SINCE },
	{ .name = "cpus",
	  .type = SCHEMA_U32S,
	  .offset = ITEM_AT(numa_config, cpus),
	  .max = VCPUS_MAX - 1,
	  .doc = "its vCPUs",
	  SINCE },
	{ .name = "memory_zones",
	  .type = SCHEMA_WORDS,
	  .offset = ITEM_AT(numa_config, memory_zones),
	  .doc = "its memory: ids of --memory-zone",
	  SINCE },
	{ .name = "distances",
	  .type = SCHEMA_PAIRS,
	  .offset = ITEM_AT(numa_config, distances),
	  .min = NUMA_LOCAL,
	  .max = NUMA_DISTANCE_MAX,
	  .doc = "how far other nodes are, NODE@DISTANCE, where 10 is the node "
		 "itself; what is not given is as far as the way back, or 20",
	  SINCE },
	{ .name = "latencies",
	  .type = SCHEMA_PAIRS,
	  .offset = ITEM_AT(numa_config, latencies),
	  .min = 1,
	  .max = 65534,
	  .doc = "nanoseconds from its vCPUs to a node's memory, "
		 "NODE@NANOSECONDS; seen by ACPI only (HMAT)",
	  SINCE },
	{ .name = "bandwidths",
	  .type = SCHEMA_PAIRS,
	  .offset = ITEM_AT(numa_config, bandwidths),
	  .min = 1,
	  .max = 1 << 24,
	  .doc = "megabytes per second between them, NODE@MEGABYTES; seen by "
		 "ACPI only (HMAT)",
	  SINCE },
	{ .name = "pci_segments",
	  .type = SCHEMA_U32S,
	  .offset = ITEM_AT(numa_config, pci_segments),
	  .max = CONFIG_SEGMENTS_MAX - 1,
	  .doc = "PCI segments that are near; in node 0 unless given",
	  SINCE },
};

const struct schema_option numa_option = {
	.name = "numa",
	.group = "CPUs and memory",
	ITEMS(numa, numa_count, numa_config, CONFIG_NODES_MAX),
	KEYS(keys),
	.later = "device_id",
	.doc = "a NUMA node of the guest, of vCPUs and memory zones",
	MACHINE,
};

const struct numa_config *vm_config_node(const struct vm_config *c, uint32_t id)
{
	for (unsigned i = 0; i < c->numa_count; i++)
		if (c->numa[i].guest_numa_id == id)
			return &c->numa[i];
	return NULL;
}

/* ---- ids -----------------------------------------------------------------*/

static int check_node_id(const struct vm_config *c, unsigned index,
			 struct diag *d)
{
	uint32_t id = c->numa[index].guest_numa_id;

	if (vm_config_node(c, id) != &c->numa[index])
		return diag_fail(
			d, EINVAL,
			"--numa guest_numa_id=%" PRIu32 ": given twice", id);
	if (id < c->numa_count)
		return 0;
	return diag_fail(d, EINVAL,
			 "--numa guest_numa_id=%" PRIu32
			 ": the ids of %u nodes must be 0 to %u",
			 id, c->numa_count, c->numa_count - 1);
}

static int check_content(const struct vm_config *c, uint32_t id, struct diag *d)
{
	const struct numa_config *n = vm_config_node(c, id);

	if (!n->cpus.count && !n->memory_zones.count)
		return diag_fail(d, EINVAL,
				 "--numa guest_numa_id=%" PRIu32
				 ": is empty: give it cpus= or memory_zones=",
				 id);
	if (!n->cpus.count || !id || vm_config_node(c, id - 1)->cpus.count)
		return 0;
	return diag_fail(d, EINVAL,
			 "--numa guest_numa_id=%" PRIu32
			 ": has vCPUs and node %" PRIu32
			 " has none: Linux numbers nodes without vCPUs last, "
			 "so do the same",
			 id, id - 1);
}

/* ---- vCPUs ---------------------------------------------------------------*/

static int take_cpu(const struct vm_config *c, const struct numa_config *n,
		    uint32_t cpu, uint32_t *node, struct diag *d)
{
	if (cpu >= c->cpus.max_vcpus)
		return diag_fail(d, EINVAL,
				 "--numa guest_numa_id=%" PRIu32
				 ",cpus=%" PRIu32 ": there are only %" PRIu32
				 " vCPUs, from 0 on",
				 n->guest_numa_id, cpu, c->cpus.max_vcpus);
	if (node[cpu] != NO_NODE)
		return diag_fail(d, EINVAL,
				 "--numa guest_numa_id=%" PRIu32
				 ",cpus=%" PRIu32 ": this vCPU is in node "
				 "%" PRIu32 " already",
				 n->guest_numa_id, cpu, node[cpu]);
	node[cpu] = n->guest_numa_id;
	return 0;
}

static int check_dies(const struct vm_config *c, const uint32_t *node,
		      struct diag *d)
{
	const struct topology *t = &c->cpus.topology;
	uint32_t cpus = MAX(t->threads_per_core * t->cores_per_die, 1u);

	for (uint32_t i = 1; i < c->cpus.max_vcpus; i++) {
		if (i % cpus && node[i] != node[i - 1]) {
			return diag_fail(
				d, EINVAL,
				"--numa guest_numa_id=%" PRIu32 ",cpus=%" PRIu32
				": vCPU %" PRIu32 " is on the same die (--cpus "
				"topology), but in node %" PRIu32
				": give each node whole dies, of %" PRIu32
				" vCPUs",
				node[i], i, i - 1, node[i - 1], cpus);
		}
	}
	return 0;
}

static int check_cpus_of_nodes(const struct vm_config *c, struct diag *d)
{
	uint32_t node[VCPUS_MAX];
	int ret = 0;

	memset(node, 0xff, sizeof(node));
	for (unsigned i = 0; i < c->numa_count; i++)
		for (unsigned j = 0; j < c->numa[i].cpus.count && !ret; j++)
			ret = take_cpu(c, &c->numa[i], c->numa[i].cpus.v[j],
				       node, d);
	for (uint32_t i = 0; i < c->cpus.max_vcpus && !ret; i++)
		if (node[i] == NO_NODE)
			ret = diag_fail(d, EINVAL,
					"--numa: vCPU %" PRIu32
					" is in no node: add it to the cpus= "
					"of one",
					i);
	return ret ? ret : check_dies(c, node, d);
}

/* ---- memory --------------------------------------------------------------*/

unsigned vm_config_zone(const struct vm_config *c, const char *id)
{
	unsigned i = 0;

	while (i < c->zone_count && strcmp(c->zones[i].id, id) != 0)
		i++;
	return i;
}

static int take_zone(const struct vm_config *c, const struct numa_config *n,
		     const char *id, uint32_t *node, struct diag *d)
{
	unsigned zone = vm_config_zone(c, id);

	if (zone == c->zone_count)
		return diag_fail(d, EINVAL,
				 "--numa guest_numa_id=%" PRIu32
				 ",memory_zones=%.60s: there is no "
				 "--memory-zone of this id",
				 n->guest_numa_id, id);
	if (node[zone] != NO_NODE)
		return diag_fail(d, EINVAL,
				 "--numa guest_numa_id=%" PRIu32
				 ",memory_zones=%s: this zone is in node "
				 "%" PRIu32 " already",
				 n->guest_numa_id, id, node[zone]);
	node[zone] = n->guest_numa_id;
	return 0;
}

static int check_zones_of_nodes(const struct vm_config *c, struct diag *d)
{
	uint32_t node[CONFIG_ZONES_MAX];
	int ret = 0;

	if (!c->zone_count)
		return diag_fail(d, EINVAL,
				 "--numa: needs --memory size=0 and a "
				 "--memory-zone for the memory of each node");
	memset(node, 0xff, sizeof(node));
	for (unsigned i = 0; i < c->numa_count; i++) {
		const struct word_list *zones = &c->numa[i].memory_zones;

		for (unsigned j = 0; j < zones->count && !ret; j++)
			ret = take_zone(c, &c->numa[i], zones->v[j], node, d);
	}
	for (unsigned i = 0; i < c->zone_count && !ret; i++)
		if (node[i] == NO_NODE)
			ret = diag_fail(d, EINVAL,
					"--numa: zone %s is in no node: add it "
					"to the memory_zones= of one",
					c->zones[i].id);
	return ret;
}

/* ---- what is between nodes -----------------------------------------------*/

/* @key: of the pairs in @list, which are about existing nodes, once each */
static int check_targets(const struct vm_config *c, const struct numa_config *n,
			 const char *key, const struct pair_list *list,
			 struct diag *d)
{
	for (unsigned i = 0; i < list->count; i++) {
		const struct pair *p = &list->v[i];
		const char *why = NULL;

		if (!vm_config_node(c, p->id))
			why = "there is no such node";
		for (unsigned j = 0; j < i; j++)
			if (list->v[j].id == p->id)
				why = "this node was given already";
		if (why)
			return diag_fail(d, EINVAL,
					 "--numa guest_numa_id=%" PRIu32
					 ",%s=%" PRIu32 "@%" PRIu32 ": %s",
					 n->guest_numa_id, key, p->id, p->value,
					 why);
	}
	return 0;
}

static int check_distances(const struct numa_config *n, struct diag *d)
{
	for (unsigned i = 0; i < n->distances.count; i++) {
		const struct pair *p = &n->distances.v[i];
		bool self = p->id == n->guest_numa_id;

		if (self != (p->value == NUMA_LOCAL))
			return diag_fail(
				d, EINVAL,
				"--numa guest_numa_id=%" PRIu32
				",distances=%" PRIu32 "@%" PRIu32 ": %s",
				n->guest_numa_id, p->id, p->value,
				self ? "to itself it is 10"
				     : "to another node it is 11 to 254");
	}
	return 0;
}

/* HMAT is about vCPUs that reach memory. */
static int check_access(const struct vm_config *c, const struct numa_config *n,
			const char *key, const struct pair_list *list,
			struct diag *d)
{
	int ret = check_targets(c, n, key, list, d);

	if (!ret && list->count && !n->cpus.count)
		ret = diag_fail(d, EINVAL,
				"--numa guest_numa_id=%" PRIu32
				",%s=: this node has no vCPUs: give it to "
				"those that have",
				n->guest_numa_id, key);
	for (unsigned i = 0; i < list->count && !ret; i++)
		if (!vm_config_node(c, list->v[i].id)->memory_zones.count)
			ret = diag_fail(d, EINVAL,
					"--numa guest_numa_id=%" PRIu32
					",%s=%" PRIu32 "@%" PRIu32
					": node %" PRIu32 " has no memory",
					n->guest_numa_id, key, list->v[i].id,
					list->v[i].value, list->v[i].id);
	return ret;
}

static int check_links(const struct vm_config *c, const struct numa_config *n,
		       struct diag *d)
{
	int ret = check_targets(c, n, "distances", &n->distances, d);

	if (!ret)
		ret = check_distances(n, d);
	if (!ret)
		ret = check_access(c, n, "latencies", &n->latencies, d);
	if (!ret)
		ret = check_access(c, n, "bandwidths", &n->bandwidths, d);
	return ret;
}

static int check_segments(const struct vm_config *c, struct diag *d)
{
	bool given[CONFIG_SEGMENTS_MAX] = { false };

	for (unsigned i = 0; i < c->numa_count; i++) {
		for (unsigned j = 0; j < c->numa[i].pci_segments.count; j++) {
			const struct numa_config *n = &c->numa[i];
			uint32_t segment = n->pci_segments.v[j];

			bool there = segment < vm_config_pci_segments(c);

			if (there && !given[segment]) {
				given[segment] = true;
				continue;
			}
			return diag_fail(d, EINVAL,
					 "--numa guest_numa_id=%" PRIu32
					 ",pci_segments=%" PRIu32 ": %s",
					 n->guest_numa_id, segment,
					 there ? "this segment was given "
						 "already"
					       : "there is no such segment: "
						 "see --platform "
						 "num_pci_segments");
		}
	}
	return 0;
}

int check_numa(const struct vm_config *c, struct diag *d)
{
	int ret = 0;

	if (!c->numa_count)
		return 0;
	for (unsigned i = 0; i < c->numa_count && !ret; i++)
		ret = check_node_id(c, i, d);
	for (uint32_t i = 0; i < c->numa_count && !ret; i++)
		ret = check_content(c, i, d);
	if (!ret)
		ret = check_zones_of_nodes(c, d);
	if (!ret)
		ret = check_cpus_of_nodes(c, d);
	for (unsigned i = 0; i < c->numa_count && !ret; i++)
		ret = check_links(c, &c->numa[i], d);
	return ret ? ret : check_segments(c, d);
}
