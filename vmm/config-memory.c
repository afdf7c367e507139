/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: --memory and --memory-zone
 *
 * A machine has RAM of one kind, or, with --memory size=0, zones that are each
 * backed in their own way. Both have the same keys for that.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "vmm/config-impl.h"
#include "vmm/memory.h"

#define GUEST_PAGE KIB(4)
#define RAM_MIN	   MIB(1)
#define ZONE_MAX   TIB(4096)

/* The keys of the struct memory_config at @path in struct @kind. */
/* NOLINTBEGIN(bugprone-macro-parentheses): offsetof() takes names */
#define RAM_SWITCH(kind, path, word, field, text)                             \
	{                                                                     \
		.name = (word), .type = SCHEMA_BOOL,                          \
		.offset = offsetof(struct kind, path.field), .preset = "off", \
		.doc = (text), SINCE                                          \
	}
/* NOLINTEND(bugprone-macro-parentheses) */

/* NOLINTBEGIN(bugprone-macro-parentheses): names of a type and a field */
#define RAM_KEYS(kind, path)                                                 \
	RAM_SWITCH(kind, path, "mergeable", mergeable,                       \
		   "let the host's KSM share equal pages between guests"),   \
		RAM_SWITCH(kind, path, "shared", shared,                     \
			   "RAM that other processes can map, for "          \
			   "vhost-user"),                                    \
		RAM_SWITCH(kind, path, "hugepages", hugepages,               \
			   "take RAM from the host's huge page pool"),       \
		{ .name = "hugepage_size",                                   \
		  .type = SCHEMA_SIZE,                                       \
		  .optional = true,                                          \
		  .offset = offsetof(struct kind, path.hugepage_size_bytes), \
		  .min = KIB(64),                                            \
		  .max = GIB(16),                                            \
		  .doc = "size of those pages, a power of two; the host's "  \
			 "default unless given",                             \
		  SINCE },                                                   \
		RAM_SWITCH(kind, path, "prefault", prefault,                 \
			   "get all RAM from the host before the guest "     \
			   "starts")
/* NOLINTEND(bugprone-macro-parentheses) */

static const struct schema_key memory_keys[] = {
	{ .name = "size",
	  .type = SCHEMA_SIZE,
	  .lead = true,
	  .offset = AT(memory.size_bytes),
	  .max = ZONE_MAX,
	  .preset = "512M",
	  .doc = "RAM, a multiple of 4K, at least 1M; --memory SIZE is short "
		 "for it; 0: see --memory-zone",
	  SINCE },
	RAM_KEYS(vm_config, memory),
	{ .name = "thp",
	  .type = SCHEMA_BOOL,
	  .offset = AT(memory.thp),
	  .preset = "on",
	  .doc = "ask the host for transparent huge pages",
	  SINCE },
};

const struct schema_option memory_option = {
	.name = "memory",
	.group = "CPUs and memory",
	.list = true,
	KEYS(memory_keys),
	.later = "hotplug_method hotplug_size hotplugged_size reserve",
	.doc = "guest RAM and how the host backs it",
	MACHINE,
};

static const struct schema_key zone_keys[] = {
	{ .name = "id",
	  .type = SCHEMA_STRING,
	  .offset = ITEM_AT(zone_config, id),
	  .doc = "name of the zone, for --numa memory_zones=",
	  SINCE },
	{ .name = "size",
	  .type = SCHEMA_SIZE,
	  .offset = ITEM_AT(zone_config, ram.size_bytes),
	  .min = GUEST_PAGE,
	  .max = ZONE_MAX,
	  .doc = "how much of the guest's RAM it is, a multiple of 4K",
	  SINCE },
	{ .name = "file",
	  .type = SCHEMA_PATH,
	  .offset = ITEM_AT(zone_config, file),
	  .doc = "file that the zone maps, at least as long; or a directory "
		 "for a temporary file; with shared=off the file stays as it "
		 "is",
	  SINCE },
	RAM_KEYS(zone_config, ram),
	{ .name = "host_numa_node",
	  .type = SCHEMA_U32S,
	  .offset = ITEM_AT(zone_config, host_nodes),
	  .max = RAM_HOST_NODES_MAX - 1,
	  .doc = "NUMA node of the host that the memory comes from, or several",
	  SINCE },
};

const struct schema_option memory_zone_option = {
	.name = "memory-zone",
	.group = "CPUs and memory",
	ITEMS(zones, zone_count, zone_config, CONFIG_ZONES_MAX),
	KEYS(zone_keys),
	.later = "hotplug_size hotplugged_size reserve",
	.doc = "a part of the guest's RAM that is backed in its own way; with "
	       "--memory size=0",
	MACHINE,
};

uint64_t vm_config_ram_bytes(const struct vm_config *c)
{
	uint64_t sum = c->memory.size_bytes;

	for (unsigned i = 0; i < c->zone_count; i++)
		sum += c->zones[i].ram.size_bytes;
	return sum;
}

const char *vm_config_ram_words(const struct vm_config *c)
{
	return c->zone_count ? "--memory-zone: together " : "--memory size=";
}

bool vm_config_ram_shared(const struct vm_config *c)
{
	for (unsigned i = 0; i < c->zone_count; i++)
		if (!c->zones[i].ram.shared)
			return false;
	return c->zone_count || c->memory.shared;
}

/* ---- rules of both -------------------------------------------------------*/

/* @who: option, and what stands before a key: "--memory " */
static int check_hugepages(const struct memory_config *m, const char *who,
			   struct diag *d)
{
	uint64_t page = m->hugepage_size_bytes;

	if (!page)
		return 0;
	if (!m->hugepages)
		return diag_fail(d, EINVAL,
				 "%shugepage_size=%" PRIu64
				 ": works only with hugepages=on",
				 who, page);
	if (!is_pow2(page))
		return diag_fail(d, EINVAL,
				 "%shugepage_size=%" PRIu64
				 ": must be a power of two, such as 2M",
				 who, page);
	if (m->size_bytes % page)
		return diag_fail(d, EINVAL,
				 "%ssize=%" PRIu64
				 ": must be a multiple of hugepage_size, "
				 "%" PRIu64,
				 who, m->size_bytes, page);
	return 0;
}

static int check_ram(const struct memory_config *m, const char *who,
		     struct diag *d)
{
	if (m->size_bytes % GUEST_PAGE)
		return diag_fail(d, EINVAL,
				 "%ssize=%" PRIu64
				 ": must be a multiple of 4K; the next one "
				 "is %" PRIu64,
				 who, m->size_bytes,
				 align_up(m->size_bytes, GUEST_PAGE));
	if (m->mergeable && m->shared)
		return diag_fail(d, EINVAL,
				 "%smergeable=on: does not work with "
				 "shared=on, whose pages KSM never merges",
				 who);
	if (m->mergeable && m->hugepages)
		return diag_fail(d, EINVAL,
				 "%smergeable=on: does not work with "
				 "hugepages=on, whose pages KSM never merges",
				 who);
	return check_hugepages(m, who, d);
}

/* ---- zones ---------------------------------------------------------------*/

static int check_zone_id(const struct vm_config *c, unsigned index,
			 struct diag *d)
{
	const char *id = c->zones[index].id;

	if (!id)
		return diag_fail(d, EINVAL,
				 "--memory-zone: has no id=: name the zone");
	if (strlen(id) > CONFIG_ID_MAX || id[strcspn(id, ",[]")])
		return diag_fail(d, EINVAL,
				 "--memory-zone id=%.60s: must be at most %d "
				 "characters and none of ,[]",
				 id, CONFIG_ID_MAX);
	for (unsigned i = 0; i < index; i++)
		if (!strcmp(c->zones[i].id, id))
			return diag_fail(d, EINVAL,
					 "--memory-zone id=%s: given twice",
					 id);
	return 0;
}

static int check_zone(const struct vm_config *c, unsigned index, struct diag *d)
{
	const struct zone_config *z = &c->zones[index];
	char who[sizeof("--memory-zone id=,") + CONFIG_ID_MAX];
	int ret = check_zone_id(c, index, d);

	if (ret)
		return ret;
	snprintf(who, sizeof(who), "--memory-zone id=%s,", z->id);
	if (z->file && z->ram.hugepages)
		return diag_fail(d, EINVAL,
				 "%shugepages=on: not together with file=: a "
				 "file on hugetlbfs has huge pages by itself",
				 who);
	return check_ram(&z->ram, who, d);
}

/* What --memory says about RAM that is not there. */
static const char *idle_switch(const struct memory_config *m)
{
	return m->mergeable		? "mergeable=on"
	       : m->shared		? "shared=on"
	       : m->hugepages		? "hugepages=on"
	       : m->hugepage_size_bytes ? "hugepage_size"
	       : m->prefault		? "prefault=on"
					: NULL;
}

static int check_zones(const struct vm_config *c, struct diag *d)
{
	const char *idle = idle_switch(&c->memory);
	int ret = 0;

	if (c->memory.size_bytes)
		return diag_fail(d, EINVAL,
				 "--memory size=%" PRIu64
				 ": must be 0 with --memory-zone, whose sizes "
				 "make up the RAM",
				 c->memory.size_bytes);
	if (idle)
		return diag_fail(d, EINVAL,
				 "--memory %s: with --memory-zone, each zone "
				 "says that itself",
				 idle);
	for (unsigned i = 0; i < c->zone_count && !ret; i++)
		ret = check_zone(c, i, d);
	return ret;
}

int check_memory(const struct vm_config *c, struct diag *d)
{
	if (c->zone_count)
		return check_zones(c, d);
	if (c->memory.size_bytes < RAM_MIN)
		return diag_fail(d, EINVAL,
				 "--memory size=%" PRIu64
				 ": must be at least 1M, or 0 with "
				 "--memory-zone",
				 c->memory.size_bytes);
	return check_ram(&c->memory, "--memory ", d);
}
