/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: the kernel's vhost: rings that a thread of the host's kernel serves
 *
 * /dev/vhost-net moves packets between rings and a tap, /dev/vhost-vsock
 * between rings and the host's AF_VSOCK; no exit of the guest and no thread of
 * ours is in the way. The registers stay ours. When the driver starts a queue
 * the kernel is told where guest RAM and the ring are, which eventfd the driver
 * kicks and which one interrupts it; when the queue is stopped (reset, pause,
 * saving), it says how far it has come, and nothing is in flight.
 *
 * The kernel knows split rings only. It reports a ring that breaks the rules
 * by an eventfd, and takes nothing more from it: then the device needs a reset.
 *
 * Reference: Linux' include/uapi/linux/vhost.h, drivers/vhost/vhost.c, net.c
 * and vsock.c.
 *
 * Threads: opened and closed on the main thread; start, stop and call with
 * virtio_device.lock held; the rest is one system call each, any thread.
 *
 * Not implemented: the log of pages written (for migration of a running
 * guest), an IOMMU (ACCESS_PLATFORM is kept from the kernel: without one its
 * addresses are the guest's), busy polling.
 */
#ifndef DEVICES_VHOST_KERNEL_H
#define DEVICES_VHOST_KERNEL_H

#include "devices/virtio/virtio.h"

/**
 * struct vhost_kernel - one open /dev/vhost-…: the queues of one kernel thread
 * @who: option in messages: "--net vhost=on"; the caller's
 * @path: NULL: not open
 * @vd: the device whose queues it serves
 * @features: what the kernel offers
 * @started: rings that it knows, a bit for each
 * @error: eventfd by which the kernel says that a ring is broken
 * @failed: how often something went wrong
 */
struct vhost_kernel {
	const char *who, *path;
	struct virtio_device *vd;
	int fd;
	uint64_t features;
	unsigned started;
	struct event_source error;
	atomic_uint failed;
};

/**
 * vhost_kernel_open - become the owner of a new vhost device
 * @vk: zeroed
 * @path: "/dev/vhost-net"; @module: the one to load for it
 *
 * Return: 0, or -errno and @d; then @vk is not open.
 */
int vhost_kernel_open(struct vhost_kernel *vk, struct virtio_device *vd,
		      const char *who, const char *path, const char *module,
		      struct diag *d);

/** vhost_kernel_close - after its queues were stopped; accepts one that is not
 * open */
void vhost_kernel_close(struct vhost_kernel *vk);

/** vhost_kernel_limit - for virtio_class.limit; not open: nothing is withdrawn
 */
uint64_t vhost_kernel_limit(const struct vhost_kernel *vk);

/**
 * vhost_kernel_start - tell the kernel of a queue, for virtio_class.start
 * @index: of the ring, as the kernel counts
 * @q: the queue, whose kicks go to nobody else from now on
 *
 * It does not work on it before vhost_kernel_backend() or vhost_kernel_run().
 * virtio_device.lock held. Return: 0 or -errno and @d.
 */
int vhost_kernel_start(struct vhost_kernel *vk, unsigned index,
		       struct virtio_queue *q, struct diag *d);

/** vhost_kernel_stop - the mirror, when the kernel works on it no more; @q goes
 * on where the kernel ended; no queue's lock held */
void vhost_kernel_stop(struct vhost_kernel *vk, unsigned index,
		       struct virtio_queue *q);

/** vhost_kernel_call - virtio_call_fd() of @q is another one */
int vhost_kernel_call(struct vhost_kernel *vk, unsigned index,
		      struct virtio_queue *q, struct diag *d);

/** vhost_kernel_fail - a ring cannot be served, says @d: log it, and the device
 * needs a reset */
void vhost_kernel_fail(struct vhost_kernel *vk, const struct diag *d);

/** vhost_kernel_backend - vhost-net: move packets between ring @index and a
 * tap's descriptor; -1: no more */
int vhost_kernel_backend(struct vhost_kernel *vk, unsigned index, int fd,
			 struct diag *d);

/** vhost_kernel_cid - vhost-vsock: the guest's address; -EADDRINUSE: another
 * guest has it */
int vhost_kernel_cid(struct vhost_kernel *vk, uint64_t cid, struct diag *d);

/** vhost_kernel_run - vhost-vsock: work on both rings, or on none */
int vhost_kernel_run(struct vhost_kernel *vk, bool on, struct diag *d);

/* ---- kernel-sys.c; unit tests are linked with a kernel of their own ------ */

/** vhost_sys_open - open(2) for reading and writing; descriptor or -errno */
int vhost_sys_open(const char *path);

/** vhost_sys_ioctl - ioctl(2); 0 or -errno */
int vhost_sys_ioctl(int fd, unsigned long request, void *arg);

#endif
