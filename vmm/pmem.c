/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: files that become memory of the guest, see pmem.h */
#include "vmm/pmem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/file.h"

/* ---- where ------------------------------------------------------------- */

/* First address above all RAM, 4 GiB, and windows that stay there. */
static uint64_t above_ram(const struct platform *p)
{
	uint64_t at = GIB(4);

	for (unsigned i = 0; i < p->ram_count; i++)
		at = MAX(at, p->ram[i].base + p->ram[i].size_bytes);
	for (unsigned i = 0; i < p->pci.segment_count; i++)
		at = MAX(at, p->pci.segment[i].mmio64.base +
				     p->pci.segment[i].mmio64.size_bytes);
	return at;
}

/* The PCI segment whose window is right above RAM; on q35 not the first. */
static unsigned nearest(const struct platform *p)
{
	const struct plat_segment *s = p->pci.segment;
	unsigned found = 0;

	for (unsigned i = 1; i < p->pci.segment_count; i++)
		if (s[i].mmio64.size_bytes &&
		    (!s[found].mmio64.size_bytes ||
		     s[i].mmio64.base < s[found].mmio64.base))
			found = i;
	return found;
}

/* Does the PCI window give way? */
static bool from_window(const struct platform *p)
{
	return p->pci.segment[nearest(p)].mmio64.size_bytes &&
	       !p->pci.mmio64_fixed;
}

/* What is free: the PCI window, or else what follows RAM and window. */
static struct plat_range room(const struct platform *p)
{
	uint64_t base = above_ram(p), end = UINT64_C(1) << p->pa_bits;

	if (from_window(p))
		return p->pci.segment[nearest(p)].mmio64;
	if (p->pmem_count)
		base = p->pmem[p->pmem_count - 1].base +
		       p->pmem[p->pmem_count - 1].size_bytes;
	if (p->vmgenid.size_bytes)
		base = p->vmgenid.base + p->vmgenid.size_bytes;
	if (p->intc.redist_count > 1)
		end = p->intc.redist[1].base;
	return (struct plat_range){ PLAT_MMIO, base,
				    end > base ? end - base : 0 };
}

static int no_room(const struct platform *p, uint64_t size, struct diag *d)
{
	unsigned n = nearest(p);

	if (from_window(p) && p->pci.segment_count > 1)
		return diag_fail(d, ENOSPC,
				 "%" PRIu64 " bytes do not fit into the 64-bit "
				 "window of PCI segment %u: raise its share "
				 "(--pci-segment pci_segment=%u,"
				 "mmio64_aperture_weight=)",
				 size, n, n);
	return diag_fail(d, ENOSPC,
			 "%" PRIu64 " bytes do not fit between RAM and the end "
			 "of the %u-bit address space (--cpus max_phys_bits)",
			 size, p->pa_bits);
}

static int take(struct platform *p, uint64_t size, struct plat_range *out,
		struct diag *d)
{
	struct plat_range *window = &p->pci.segment[nearest(p)].mmio64;
	struct plat_range from = room(p);
	uint64_t base = align_up(from.base, PMEM_ALIGN);

	if (!range_within(base, size, from.base, from.size_bytes))
		return no_room(p, size, d);
	*out = (struct plat_range){ PLAT_MMIO, base, size };
	if (from_window(p)) {
		window->size_bytes -= base + size - from.base;
		window->base = base + size;
	}
	return 0;
}

static int take_file(struct platform *p, const struct pmem_config *c,
		     uint64_t size, struct diag *d)
{
	int err = take(p, size, &p->pmem[p->pmem_count], d);

	if (err)
		return diag_fail(d, -err, "--pmem file=%s", c->file);
	p->pmem_count++;
	return 0;
}

/* ---- which file -------------------------------------------------------- */

static int check_size(const struct pmem_config *c, uint64_t size,
		      uint64_t there, struct diag *d)
{
	if (!size)
		return diag_fail(d, EINVAL,
				 "--pmem file=%s: is empty: make it a multiple "
				 "of 2M long, or give size= and a directory",
				 c->file);
	if (size % PMEM_ALIGN)
		return diag_fail(d, EINVAL,
				 "--pmem file=%s: %" PRIu64 " bytes are not a "
				 "multiple of 2M; the next one is %" PRIu64,
				 c->file, size, align_up(size, PMEM_ALIGN));
	if (size > there)
		return diag_fail(d, EINVAL,
				 "--pmem file=%s,size=%" PRIu64
				 ": the file has only %" PRIu64 " bytes",
				 c->file, size, there);
	return 0;
}

/* File systems without locks are no reason to refuse. */
static int lock_file(const struct pmem_config *c, int fd, struct diag *d)
{
	struct flock lock = {
		.l_type = c->discard_writes ? F_RDLCK : F_WRLCK,
		.l_whence = SEEK_SET,
	};

	if (!fcntl(fd, F_OFD_SETLK, &lock) ||
	    (errno != EAGAIN && errno != EACCES))
		return 0;
	return diag_fail(d, EBUSY,
			 "--pmem file=%s: another process uses it; %s", c->file,
			 c->discard_writes
				 ? "wait until nobody writes it any more"
				 : "copy it, or give both discard_writes=on");
}

/* Return: its size or -errno. */
static int64_t size_of(const struct pmem_config *c, int fd, struct diag *d)
{
	off_t there = lseek(fd, 0, SEEK_END);
	uint64_t size = c->size_bytes ? c->size_bytes : (uint64_t)there;
	int err;

	if (there < 0)
		return diag_errno(d, errno, "--pmem file=%s", c->file);
	err = check_size(c, size, (uint64_t)there, d);
	return err ? err : (int64_t)size;
}

static int map_fd(struct platform *p, struct guest_ram *ram,
		  const struct pmem_config *c, int fd, struct diag *d)
{
	int err = lock_file(c, fd, d);
	int64_t size = err ? err : size_of(c, fd, d);

	if (size < 0)
		return (int)size;
	err = take_file(p, c, (uint64_t)size, d);
	if (err)
		return err;
	err = ram_add_pmem(ram, GPA(p->pmem[p->pmem_count - 1].base),
			   (uint64_t)size, fd, c->discard_writes, d);
	return err ? diag_fail(d, -err, "--pmem file=%s", c->file) : 0;
}

/* ---- both -------------------------------------------------------------- */

static int look(const struct pmem_config *c, struct stat *st, struct diag *d)
{
	if (stat(c->file, st) < 0)
		return diag_errno(d, errno, "--pmem file=%s", c->file);
	if (S_ISDIR(st->st_mode) && !c->size_bytes)
		return diag_fail(d, EINVAL,
				 "--pmem file=%s: is a directory: give size= "
				 "for a temporary file in it",
				 c->file);
	if (!S_ISREG(st->st_mode) && !S_ISDIR(st->st_mode) &&
	    !S_ISBLK(st->st_mode))
		return diag_fail(d, EINVAL,
				 "--pmem file=%s: neither a file, nor a block "
				 "device, nor a directory",
				 c->file);
	return 0;
}

/* Only the place; a block device without size= cannot be asked for it. */
static int place_unopened(struct platform *p, const struct pmem_config *c,
			  const struct stat *st, struct diag *d)
{
	uint64_t size = c->size_bytes ? c->size_bytes : (uint64_t)st->st_size;
	int err = check_size(c, size, size, d);

	return err ? err : take_file(p, c, size, d);
}

static int place_one(struct platform *p, struct guest_ram *ram,
		     const struct pmem_config *c, struct diag *d)
{
	struct stat st;
	int err = look(c, &st, d);
	int fd;

	if (err)
		return err;
	if (!ram)
		return place_unopened(p, c, &st, d);
	fd = file_or_temporary(c->file, c->discard_writes ? O_RDONLY : O_RDWR,
			       c->size_bytes);
	if (fd < 0)
		return diag_errno(d, -fd, "--pmem file=%s", c->file);
	err = map_fd(p, ram, c, fd, d);
	if (err)
		close(fd);
	return err;
}

/* ---- pages of devices --------------------------------------------------- */

static int map_page(struct guest_ram *ram, const struct plat_range *at,
		    struct diag *d)
{
	int fd = memfd_create("spandrel-page", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int err;

	if (fd < 0)
		return diag_errno(d, errno, "cannot create a memfd");
	/* A back end that maps it must not be able to cut it short. */
	if (ftruncate(fd, (off_t)at->size_bytes) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0)
		err = diag_errno(d, errno, "cannot size a memfd");
	else
		err = ram_add_pmem(ram, GPA(at->base), at->size_bytes, fd,
				   false, d);
	if (err)
		close(fd);
	return err;
}

/* @key: of --platform, which asked for it */
static int place_page(struct platform *p, struct guest_ram *ram,
		      struct plat_range *at, const char *key, struct diag *d)
{
	int err = take(p, DEVICE_PAGE, at, d);

	if (!err && ram)
		err = map_page(ram, at, d);
	return err ? diag_fail(d, -err, "--platform %s=on", key) : 0;
}

int pmem_place(struct platform *p, struct guest_ram *ram,
	       const struct vm_config *cfg, struct diag *d)
{
	int err = 0;

	for (unsigned i = 0; i < cfg->pmem_count && !err; i++)
		err = place_one(p, ram, &cfg->pmem[i], d);
	if (!err && cfg->platform.vmgenid)
		err = place_page(p, ram, &p->vmgenid, "vmgenid", d);
	if (!err && cfg->platform.vmclock)
		err = place_page(p, ram, &p->vmclock, "vmclock", d);
	return err;
}

/* ---- files that change -------------------------------------------------- */

static void files_changed(void *opaque, uint32_t events)
{
	const struct event_source *source = opaque;
	char buf[4096];

	(void)events;
	if (read(source->fd, buf, sizeof(buf)) > 0) /* whichever it was */
		file_map_repair(0);
}

/* @fd: inotify's, made for the first file. */
static void watch_region(const struct ram_region *r, int *fd)
{
	for (unsigned i = 0; i < r->piece_count; i++) {
		if (!r->piece[i].watch)
			continue;
		if (*fd < 0)
			*fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
		if (*fd >= 0)
			file_map_notify(r->piece[i].watch, *fd);
	}
}

void pmem_watch(struct event_source *source, struct event_loop *loop,
		const struct guest_ram *ram)
{
	*source = (struct event_source){ .fd = -1,
					 .ready = files_changed,
					 .opaque = source };
	for (unsigned i = 0; i < ram->region_count; i++)
		watch_region(&ram->region[i], &source->fd);
	if (source->fd >= 0 && event_add(loop, source, EPOLLIN)) {
		close(source->fd);
		source->fd = -1;
	}
}

void pmem_unwatch(struct event_source *source, struct event_loop *loop)
{
	if (source->fd < 0)
		return;
	event_del(loop, source);
	close(source->fd);
	source->fd = -1;
}
