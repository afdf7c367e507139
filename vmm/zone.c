/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: guest RAM from the configuration, see zone.h */
#include "vmm/zone.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/file.h"

/**
 * struct zone - what pieces of RAM come from
 * @who: option, for messages
 * @fd: its file, or -1; @used_bytes: of the zone so far
 */
struct zone {
	char who[sizeof("--memory-zone id=") + CONFIG_ID_MAX];
	int fd;
	uint64_t used_bytes;
	const struct memory_config *ram;
	const struct u32_list *nodes;
};

static int check_file(const struct zone_config *z, int fd, struct diag *d)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return diag_errno(d, errno, "file=%s", z->file);
	if (!S_ISREG(st.st_mode))
		return diag_fail(d, EINVAL,
				 "file=%s: is neither a file nor a directory",
				 z->file);
	if ((uint64_t)st.st_size < z->ram.size_bytes)
		return diag_fail(d, EINVAL,
				 "file=%s: has only %lld bytes, the zone "
				 "%" PRIu64 ": make it longer with truncate -s",
				 z->file, (long long)st.st_size,
				 z->ram.size_bytes);
	return 0;
}

static int open_file(const struct zone_config *z, struct diag *d)
{
	int fd = file_or_temporary(z->file, z->ram.shared ? O_RDWR : O_RDONLY,
				   z->ram.size_bytes);
	int err;

	if (fd < 0)
		return diag_errno(d, -fd, "file=%s", z->file);
	err = check_file(z, fd, d);
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

/* Zone @index of @cfg, or all RAM if it has none. */
static int zone_open(struct zone *zone, const struct vm_config *cfg,
		     uint32_t index, struct diag *d)
{
	const struct zone_config *z;

	if (!cfg->zone_count) {
		*zone = (struct zone){ .fd = -1, .ram = &cfg->memory };
		snprintf(zone->who, sizeof(zone->who),
			 "--memory size=%" PRIu64 "M",
			 cfg->memory.size_bytes >> 20);
		return 0;
	}
	z = &cfg->zones[index];
	*zone = (struct zone){ .fd = -1,
			       .ram = &z->ram,
			       .nodes = &z->host_nodes };
	snprintf(zone->who, sizeof(zone->who), "--memory-zone id=%s", z->id);
	if (!z->file)
		return 0;
	zone->fd = open_file(z, d);
	return zone->fd < 0 ? diag_fail(d, -zone->fd, "%s", zone->who) : 0;
}

/* The next @size bytes of the zone */
static struct ram_backing zone_take(struct zone *zone, uint64_t size, bool thp)
{
	const struct memory_config *m = zone->ram;
	struct ram_backing b = {
		.who = zone->who,
		.size_bytes = size,
		.opt = {
			.shared = m->shared,
			.hugepages = m->hugepages,
			.hugepage_size_bytes = m->hugepage_size_bytes,
			.prefault = m->prefault,
			.thp = thp,
			.mergeable = m->mergeable,
		},
		.fd = zone->fd,
	};

	if (zone->fd >= 0)
		b.fd_offset_bytes = zone->used_bytes;
	if (zone->nodes) {
		b.host_node = zone->nodes->v;
		b.host_node_count = zone->nodes->count;
	}
	zone->used_bytes += size;
	return b;
}

static bool within(const struct plat_range *inner,
		   const struct plat_range *outer)
{
	return range_within(inner->base, inner->size_bytes, outer->base,
			    outer->size_bytes);
}

static int map_ranges(struct guest_ram *ram, struct zone *zones,
		      const struct platform *p, bool thp, struct diag *d)
{
	unsigned next = 0;
	int err = 0;

	for (unsigned i = 0; i < p->ram_count && !err; i++) {
		struct ram_backing piece[PLAT_PARTS_MAX];
		unsigned count = 0;

		while (next < p->part_count &&
		       within(&p->part[next].range, &p->ram[i])) {
			const struct plat_part *part = &p->part[next++];

			piece[count++] = zone_take(&zones[part->zone],
						   part->range.size_bytes, thp);
		}
		err = ram_add_pieces(ram, GPA(p->ram[i].base), piece, count, d);
	}
	return err;
}

int zones_map(struct guest_ram *ram, const struct platform *p,
	      const struct vm_config *cfg, struct diag *d)
{
	struct zone zones[CONFIG_ZONES_MAX];
	unsigned count = MAX(cfg->zone_count, 1u), opened = 0;
	int err = 0;

	for (; opened < count && !err; opened++)
		err = zone_open(&zones[opened], cfg, opened, d);
	if (!err)
		err = map_ranges(ram, zones, p, cfg->memory.thp, d);
	for (unsigned i = 0; i < opened; i++)
		if (zones[i].fd >= 0)
			close(zones[i].fd);
	return err;
}
