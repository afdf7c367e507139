/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: the kernel's vhost, see kernel.h */
#include "devices/vhost/kernel.h"

#include <errno.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/base/log.h"

#include "devices/vhost/kernel-abi.h"
#include "devices/virtio/queue-track.h"

/* A request that has no reason to fail but a bug or a lack of memory. */
static int tell(const struct vhost_kernel *vk, unsigned long request, void *arg,
		const char *what, struct diag *d)
{
	int err = vhost_sys_ioctl(vk->fd, request, arg);

	return err ? diag_errno(d, -err, "%s: the kernel refuses the %s",
				vk->who, what)
		   : 0;
}

void vhost_kernel_fail(struct vhost_kernel *vk, const struct diag *d)
{
	log_guest(&vk->failed, "%s: %s", vk->vd->dev.id, d->text[0]);
	virtio_misused(vk->vd, "the kernel's vhost cannot serve a ring");
}

/* ---- opening ------------------------------------------------------------- */

static void ring_broken(void *opaque, uint32_t events)
{
	struct vhost_kernel *vk = opaque;
	uint64_t count;

	(void)events;
	if (read(vk->error.fd, &count, sizeof(count)) == sizeof(count))
		virtio_misused(vk->vd, "the kernel's vhost cannot read a ring");
}

static int open_device(struct vhost_kernel *vk, const char *path,
		       const char *module, struct diag *d)
{
	int fd = vhost_sys_open(path);

	if (fd == -ENOENT || fd == -ENODEV || fd == -ENXIO)
		return diag_fail(d, -fd, "%s: this host has no %s: modprobe %s",
				 vk->who, path, module);
	if (fd == -EACCES || fd == -EPERM)
		return diag_fail(d, -fd,
				 "%s: no permission to open %s: give this user "
				 "access to it",
				 vk->who, path);
	if (fd < 0)
		return diag_errno(d, -fd, "%s: cannot open %s", vk->who, path);
	vk->fd = fd;
	vk->path = path;
	return 0;
}

static int own(struct vhost_kernel *vk, struct diag *d)
{
	int err = tell(vk, VK_SET_OWNER, NULL, "owner", d);

	if (!err)
		err = tell(vk, VK_GET_FEATURES, &vk->features,
			   "question for features", d);
	if (!err && !(vk->features & VIRTIO_F_VERSION_1))
		return diag_fail(d, EOPNOTSUPP,
				 "%s: this kernel's %s is older than virtio "
				 "1.0",
				 vk->who, vk->path);
	return err;
}

static int watch_errors(struct vhost_kernel *vk, struct diag *d)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
	    err = fd < 0 ? errno : 0;

	vk->error = (struct event_source){ fd, ring_broken, vk };
	if (!err)
		err = -event_add(vk->vd->dev.env->loop, &vk->error, EPOLLIN);
	return err ? diag_errno(d, err, "%s: cannot make an eventfd", vk->who)
		   : 0;
}

int vhost_kernel_open(struct vhost_kernel *vk, struct virtio_device *vd,
		      const char *who, const char *path, const char *module,
		      struct diag *d)
{
	int err;

	*vk = (struct vhost_kernel){ .who = who, .vd = vd, .error.fd = -1 };
	err = open_device(vk, path, module, d);
	if (!err)
		err = own(vk, d);
	if (!err)
		err = watch_errors(vk, d);
	if (err)
		vhost_kernel_close(vk);
	return err;
}

void vhost_kernel_close(struct vhost_kernel *vk)
{
	if (!vk->path)
		return;
	if (vk->error.fd >= 0) {
		event_del(vk->vd->dev.env->loop, &vk->error);
		close(vk->error.fd);
	}
	close(vk->fd);
	vk->path = NULL;
}

/* Resetting a queue is stopping it; ACCESS_PLATFORM is moot. */
uint64_t vhost_kernel_limit(const struct vhost_kernel *vk)
{
	if (!vk->path)
		return UINT64_MAX;
	return (vk->features & ~VIRTIO_F_RING_PACKED) | VIRTIO_F_RING_RESET |
	       VIRTIO_F_ACCESS_PLATFORM;
}

/* ---- queues -------------------------------------------------------------- */

static int tell_memory(struct vhost_kernel *vk, struct diag *d)
{
	const struct guest_ram *ram = vk->vd->dev.env->ram;
	union {
		struct vk_memory head;
		uint8_t bytes[sizeof(struct vk_memory) +
			      RAM_REGIONS_MAX * sizeof(struct vk_region)];
	} table = { .head.count = ram->region_count };

	for (unsigned i = 0; i < ram->region_count; i++)
		table.head.region[i] = (struct vk_region){
			.gpa = ram->region[i].gpa.v,
			.size_bytes = ram->region[i].size_bytes,
			.host = (uintptr_t)ram->region[i].host,
		};
	return tell(vk, VK_SET_MEMORY, &table, "map of guest RAM", d);
}

/* Before its first ring: what the driver accepted, and where RAM is now. */
static int prepare(struct vhost_kernel *vk, struct diag *d)
{
	uint64_t features =
		vk->vd->features & vk->features & ~VIRTIO_F_ACCESS_PLATFORM;
	int err = tell(vk, VK_SET_FEATURES, &features, "features", d);

	return err ? err : tell_memory(vk, d);
}

static int set_file(struct vhost_kernel *vk, unsigned long request,
		    unsigned index, int fd, const char *what, struct diag *d)
{
	struct vk_file file = { index, fd };

	return tell(vk, request, &file, what, d);
}

static int set_number(struct vhost_kernel *vk, unsigned long request,
		      unsigned index, uint32_t value, const char *what,
		      struct diag *d)
{
	struct vk_number state = { index, value };

	return tell(vk, request, &state, what, d);
}

static int set_place(struct vhost_kernel *vk, unsigned index,
		     const struct virtq *ring, struct diag *d)
{
	struct vk_place addr = {
		.index = index,
		.desc = (uintptr_t)ring->desc,
		.avail = (uintptr_t)ring->driver,
		.used = (uintptr_t)ring->device,
	};
	int err = set_number(vk, VK_SET_SIZE, index, ring->at.size,
			     "size of a ring", d);

	if (!err)
		err = set_number(vk, VK_SET_BASE, index, virtq_base_get(ring),
				 "base of a ring", d);
	return err ? err : tell(vk, VK_SET_PLACE, &addr, "place of a ring", d);
}

int vhost_kernel_call(struct vhost_kernel *vk, unsigned index,
		      struct virtio_queue *q, struct diag *d)
{
	int fd = virtio_call_fd(vk->vd, q->index);

	if (fd < 0)
		return diag_errno(d, -fd, "%s: cannot make an eventfd",
				  vk->who);
	return set_file(vk, VK_SET_CALL, index, fd, "interrupt of a ring", d);
}

static int tell_ring(struct vhost_kernel *vk, unsigned index,
		     struct virtio_queue *q, struct diag *d)
{
	int err = set_place(vk, index, &q->ring, d);

	if (!err)
		err = vhost_kernel_call(vk, index, q, d);
	if (!err)
		err = set_file(vk, VK_SET_ERR, index, vk->error.fd,
			       "error eventfd of a ring", d);
	return err ? err
		   : set_file(vk, VK_SET_KICK, index, q->kick.fd,
			      "kicks of a ring", d);
}

int vhost_kernel_start(struct vhost_kernel *vk, unsigned index,
		       struct virtio_queue *q, struct diag *d)
{
	int err = vk->started ? 0 : prepare(vk, d);

	if (!err)
		err = tell_ring(vk, index, q, d);
	if (err)
		return err;
	virtio_watch(vk->vd, q->index, false);
	vk->started |= 1u << index;
	return 0;
}

/* Where the kernel ended; if it does not say, where it used last. */
static uint32_t base_of(struct vhost_kernel *vk, unsigned index,
			const struct virtq *ring)
{
	struct vk_number state = { .index = index };

	if (vhost_sys_ioctl(vk->fd, VK_GET_BASE, &state))
		return virtq_split_used(ring);
	return state.number;
}

void vhost_kernel_stop(struct vhost_kernel *vk, unsigned index,
		       struct virtio_queue *q)
{
	uint32_t base;

	if (!(vk->started & 1u << index))
		return;
	vk->started &= ~(1u << index);
	/* Waits for the kernel's thread. */
	set_file(vk, VK_SET_KICK, index, -1, "", NULL);
	base = base_of(vk, index, &q->ring);
	virtio_watch(vk->vd, q->index, true);
	virtio_queue_lock(vk->vd, q->index);
	virtq_base_set(&q->ring, base);
	virtio_queue_unlock(vk->vd, q->index);
}

/* ---- what each of the two does besides ----------------------------------- */

int vhost_kernel_backend(struct vhost_kernel *vk, unsigned index, int fd,
			 struct diag *d)
{
	return set_file(vk, VK_SET_BACKEND, index, fd, "tap", d);
}

int vhost_kernel_cid(struct vhost_kernel *vk, uint64_t cid, struct diag *d)
{
	int err = vhost_sys_ioctl(vk->fd, VK_SET_CID, &cid);

	if (err == -EADDRINUSE)
		return diag_fail(d, -err,
				 "%s: another guest of this host has cid=%llu",
				 vk->who, (unsigned long long)cid);
	return err ? diag_errno(d, -err, "%s: the kernel refuses cid=%llu",
				vk->who, (unsigned long long)cid)
		   : 0;
}

int vhost_kernel_run(struct vhost_kernel *vk, bool on, struct diag *d)
{
	int running = on;

	return tell(vk, VK_SET_RUNNING, &running, "rings", d);
}
