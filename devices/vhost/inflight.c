/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: memory for requests in flight, see inflight.h */
#include "devices/vhost/inflight.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/virtio/queue-track.h"

/* Regions begin on cache lines of their own. */
#define REGION_ALIGN 64

/* As a region's size depends on this only, sizes and products stay small. */
static size_t region_bytes(uint16_t queue_size, bool packed)
{
	return align_up(virtq_track_bytes(queue_size, packed), REGION_ALIGN);
}

static int check(const struct vu_inflight *desc, unsigned queues_max,
		 struct diag *d)
{
	if (desc->queue_count && desc->queue_count <= queues_max &&
	    desc->queue_size)
		return 0;
	return diag_fail(d, EINVAL,
			 "requests in flight of %u queues of %u entries; there "
			 "are %u queues",
			 desc->queue_count, desc->queue_size, queues_max);
}

int inflight_new(struct vu_inflight *desc, unsigned queues_max, bool packed,
		 struct diag *d)
{
	static const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	int err = check(desc, queues_max, d), fd;
	size_t bytes;

	if (err)
		return err;
	bytes = desc->queue_count * region_bytes(desc->queue_size, packed);
	fd = memfd_create("spandrel-inflight", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return diag_errno(d, errno, "cannot make shared memory");
	if (ftruncate(fd, (off_t)bytes) < 0 ||
	    fcntl(fd, F_ADD_SEALS, seals) < 0) {
		err = diag_errno(d, errno,
				 "cannot make %zu bytes of shared "
				 "memory",
				 bytes);
		close(fd);
		return err;
	}
	desc->mmap_size_bytes = bytes;
	desc->mmap_offset_bytes = 0;
	return fd;
}

/* What is said of it must be there. */
static int check_file(const struct vu_inflight *desc, int fd, size_t bytes,
		      struct diag *d)
{
	uint64_t end;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return diag_errno(d, errno, "cannot look at shared memory");
	if (S_ISREG(st.st_mode) && desc->mmap_size_bytes >= bytes &&
	    desc->mmap_offset_bytes % file_map_unit(fd) == 0 &&
	    add_u64(desc->mmap_offset_bytes, bytes, &end) &&
	    end <= (uint64_t)st.st_size)
		return 0;
	return diag_fail(d, EINVAL,
			 "memory of %lld bytes for requests in flight is too "
			 "small, or not at a page: %llu at %llu for %u queues "
			 "of %u entries",
			 (long long)st.st_size,
			 (unsigned long long)desc->mmap_size_bytes,
			 (unsigned long long)desc->mmap_offset_bytes,
			 desc->queue_count, desc->queue_size);
}

int inflight_map(struct inflight *fl, const struct vu_inflight *desc, int fd,
		 unsigned queues_max, bool packed, struct diag *d)
{
	int err = check(desc, queues_max, d);
	struct file_map_area area = { .fd = fd };
	struct file_map *watch;
	size_t bytes;

	if (err)
		return err;
	bytes = desc->queue_count * region_bytes(desc->queue_size, packed);
	err = check_file(desc, fd, bytes, d);
	if (err)
		return err;
	fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK); /* if it can be */
	area.size_bytes = align_up(bytes, file_map_unit(fd));
	area.offset_bytes = desc->mmap_offset_bytes;
	area.at = mmap(NULL, area.size_bytes, PROT_READ | PROT_WRITE,
		       MAP_SHARED, fd, (off_t)area.offset_bytes);
	if (area.at == MAP_FAILED)
		return diag_errno(d, errno, "cannot map shared memory");
	err = file_map_new(&watch, &area, d);
	if (err) {
		munmap(area.at, area.size_bytes);
		return err;
	}
	inflight_release(fl);
	*fl = (struct inflight){ .map = area.at,
				 .map_bytes = area.size_bytes,
				 .watch = watch,
				 .queue_count = desc->queue_count,
				 .queue_size = desc->queue_size,
				 .packed = packed };
	return 0;
}

void inflight_release(struct inflight *fl)
{
	file_map_free(fl->watch);
	if (fl->map)
		munmap(fl->map, fl->map_bytes);
	memset(fl, 0, sizeof(*fl));
}

void *inflight_region(const struct inflight *fl, unsigned queue, uint16_t size,
		      bool packed)
{
	if (!fl->map || queue >= fl->queue_count || size > fl->queue_size ||
	    packed != fl->packed)
		return NULL;
	return fl->map + queue * region_bytes(fl->queue_size, packed);
}
