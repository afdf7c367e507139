/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: a kernel that has vhost-net and vhost-vsock, for unit tests
 *
 * In place of devices/vhost/kernel-sys.c. Each open device has a thread, as in
 * the kernel, that works on its rings with our own virtq code: vhost-net moves
 * packets between them and a descriptor, vhost-vsock sends back what it gets.
 * It refuses what the kernel refuses: rings without owner, memory or place,
 * changes of a ring at work, features that it does not have. A device lives
 * until it is closed; fake_end() waits for that.
 */
#ifndef TESTS_UNIT_FAKE_VHOST_H
#define TESTS_UNIT_FAKE_VHOST_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/base/check.h"
#include "vmm/base/iov.h"

#include "devices/vhost/kernel-abi.h"
#include "devices/vhost/kernel.h"
#include "devices/virtio/queue.h"

#define FAKE_DEVICES 8
#define FAKE_RINGS   2
#define FAKE_SIZE    1024 /* most entries of a ring */
#define FAKE_PACKET  70000

/* What Linux 6.12 offers: VHOST_FEATURES and those of net or vsock. */
#define NOTIFY_ON_EMPTY (1ULL << 24)
#define LOG_ALL		(1ULL << 26)
#define ANY_LAYOUT	(1ULL << 27) /* net: VHOST_NET_F_VIRTIO_NET_HDR */
#define FAKE_FEATURES                                                      \
	(NOTIFY_ON_EMPTY | LOG_ALL | ANY_LAYOUT | VIRTIO_F_INDIRECT_DESC | \
	 VIRTIO_F_EVENT_IDX | VIRTIO_F_VERSION_1 | VIRTIO_F_ACCESS_PLATFORM)
#define FAKE_NET   (1ULL << 15) /* MRG_RXBUF */
#define FAKE_VSOCK (1ULL << 1)	/* SEQPACKET */

/**
 * struct fake_ring - a vhost_virtqueue
 * @kick, @call, @err: our duplicates, -1: none
 * @backend: likewise, of vhost-net
 * @on: at work
 */
struct fake_ring {
	unsigned num, base;
	struct virtq_layout at;
	bool placed, on;
	int kick, call, err, backend;
	struct virtq q;
};

/**
 * struct fake_vhost - an open device
 * @fd: the product's; @end: ours: hangs up when that is closed
 * @wake: eventfd: look at everything again
 * @kicked: ring 1, while it was at work
 */
struct fake_vhost {
	int fd, end, wake;
	bool vsock, owned, mapped, kicked;
	uint64_t features, cid;
	struct fake_ring ring[FAKE_RINGS];
	pthread_t thread;
	uint8_t packet[FAKE_PACKET];
};

/**
 * struct fake_kernel - all of it
 * @ram: that the table of memory must describe
 * @offers: features; @no_device: errno of opening; @refuse: a request that
 *	fails with EFAULT; @taken: a CID that another guest has
 * @calls: how often VK_SET_CALL was made
 */
struct fake_kernel {
	pthread_mutex_t lock;
	const struct guest_ram *ram;
	uint64_t offers;
	int no_device;
	unsigned long refuse;
	uint64_t taken;
	unsigned calls, count;
	char path[32];
	struct fake_vhost dev[FAKE_DEVICES];
};

static struct fake_kernel fake;

static inline void fake_begin(const struct guest_ram *ram, uint64_t features)
{
	memset(&fake, 0, sizeof(fake));
	pthread_mutex_init(&fake.lock, NULL);
	fake.ram = ram;
	fake.offers = FAKE_FEATURES | features;
}

/* ---- the thread ---------------------------------------------------------- */

static inline void fake_signal(int fd)
{
	uint64_t one = 1;

	if (fd >= 0)
		CHECK(write(fd, &one, sizeof(one)) == sizeof(one));
}

static inline bool fake_pop(struct fake_ring *r, struct virtq_chain *chain)
{
	int got;

	if (!r->on)
		return false;
	got = virtq_pop(&r->q, chain);
	if (!got && virtq_wait(&r->q))
		got = virtq_pop(&r->q, chain);
	if (got < 0) {
		r->on = false;
		fake_signal(r->err);
	}
	return got > 0;
}

static inline void fake_push(struct fake_ring *r,
			     const struct virtq_chain *chain, size_t written)
{
	virtq_push(&r->q, chain->head, (uint32_t)written);
	if (virtq_signal(&r->q))
		fake_signal(r->call);
}

static inline void fake_give(struct fake_ring *r,
			     const struct virtq_chain *chain, const void *data,
			     size_t len)
{
	fake_push(r, chain,
		  iov_write(chain->iov + chain->out_count, chain->in_count, 0,
			    data, len));
}

/* Return: true if the descriptor has something, should it be waited for. */
static inline bool fake_receive(struct fake_vhost *v)
{
	struct fake_ring *r = &v->ring[0];
	struct virtq_chain chain;
	ssize_t n;

	while (fake_pop(r, &chain)) {
		n = read(r->backend, v->packet, sizeof(v->packet));
		if (n < 0) {
			virtq_undo(&r->q, &chain);
			return true;
		}
		fake_give(r, &chain, v->packet, (size_t)n);
	}
	return false;
}

static inline void fake_transmit(struct fake_vhost *v)
{
	struct fake_ring *r = &v->ring[1];
	struct virtq_chain chain;

	while (fake_pop(r, &chain)) {
		size_t len = iov_read(chain.iov, chain.out_count, 0, v->packet,
				      sizeof(v->packet));

		CHECK(write(r->backend, v->packet, len) == (ssize_t)len);
		fake_push(r, &chain, 0);
	}
}

/* The transmit ring is only looked at after a kick, as in the kernel. */
static inline void fake_echo(struct fake_vhost *v)
{
	struct virtq_chain in, out;

	while (v->kicked && fake_pop(&v->ring[0], &in)) {
		size_t len;

		if (!fake_pop(&v->ring[1], &out)) {
			virtq_undo(&v->ring[0].q, &in);
			v->kicked = false;
			return;
		}
		len = iov_read(out.iov, out.out_count, 0, v->packet,
			       sizeof(v->packet));
		fake_push(&v->ring[1], &out, 0);
		fake_give(&v->ring[0], &in, v->packet, len);
	}
}

static inline void fake_drain(struct fake_vhost *v)
{
	uint64_t count;

	(void)!read(v->wake, &count, sizeof(count));
	for (unsigned i = 0; i < FAKE_RINGS; i++)
		if (v->ring[i].kick >= 0 &&
		    read(v->ring[i].kick, &count, sizeof(count)) > 0)
			v->kicked |= i == 1 && v->ring[i].on;
}

static inline void *fake_work(void *opaque)
{
	struct fake_vhost *v = opaque;

	for (;;) {
		struct pollfd p[5] = { { .fd = v->end },
				       { .fd = v->wake, .events = POLLIN } };
		bool wanted = false;

		pthread_mutex_lock(&fake.lock);
		fake_drain(v);
		if (v->vsock) {
			fake_echo(v);
		} else {
			wanted = fake_receive(v);
			fake_transmit(v);
		}
		for (unsigned i = 0; i < FAKE_RINGS; i++)
			p[2 + i] = (struct pollfd){ .fd = v->ring[i].kick,
						    .events = POLLIN };
		p[4] = (struct pollfd){ .fd = wanted ? v->ring[0].backend : -1,
					.events = POLLIN };
		pthread_mutex_unlock(&fake.lock);
		poll(p, 5, -1);
		if (p[0].revents & POLLHUP)
			return NULL;
	}
}

/* ---- requests; the lock held --------------------------------------------- */

static inline int fake_file(int *to, int fd)
{
	if (*to >= 0)
		close(*to);
	*to = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);
	return fd >= 0 && *to < 0 ? -EBADF : 0;
}

static inline void fake_ring_stop(struct fake_ring *r)
{
	if (r->q.enabled)
		r->base = virtq_base_get(&r->q);
	virtq_reset(&r->q);
	r->on = false;
}

static inline int fake_ring_start(struct fake_vhost *v, struct fake_ring *r)
{
	const struct virtq_features has = {
		.event_idx = v->features & VIRTIO_F_EVENT_IDX,
		.indirect = v->features & VIRTIO_F_INDIRECT_DESC,
	};

	if (!v->owned)
		return -EPERM;
	if (!v->mapped || !r->placed || !r->num)
		return -EFAULT;
	r->at.size = (uint16_t)r->num;
	if (virtq_enable(&r->q, &r->at, has) || virtq_base_set(&r->q, r->base))
		return -EFAULT;
	r->on = true;
	return 0;
}

static inline int fake_set_memory(struct fake_vhost *v,
				  const struct vk_memory *m)
{
	if (m->count != fake.ram->region_count || m->padding)
		return -EFAULT;
	for (unsigned i = 0; i < m->count; i++) {
		const struct ram_region *r = &fake.ram->region[i];

		if (m->region[i].gpa != r->gpa.v ||
		    m->region[i].size_bytes != r->size_bytes ||
		    m->region[i].host != (uintptr_t)r->host ||
		    m->region[i].flags)
			return -EFAULT;
	}
	v->mapped = true;
	return 0;
}

static inline int fake_set_addr(struct fake_ring *r, const struct vk_place *a)
{
	if (!ram_locate(fake.ram, (void *)(uintptr_t)a->desc, &r->at.desc) ||
	    !ram_locate(fake.ram, (void *)(uintptr_t)a->avail, &r->at.driver) ||
	    !ram_locate(fake.ram, (void *)(uintptr_t)a->used, &r->at.device) ||
	    a->flags)
		return -EFAULT;
	r->placed = true;
	return 0;
}

static inline int fake_run(struct fake_vhost *v, bool on)
{
	int err = 0;

	v->kicked = false;
	for (unsigned i = 0; i < FAKE_RINGS && !err; i++) {
		fake_ring_stop(&v->ring[i]);
		err = on ? fake_ring_start(v, &v->ring[i]) : 0;
	}
	return err;
}

static inline int fake_backend(struct fake_vhost *v, struct fake_ring *r,
			       int fd)
{
	if (!v->owned)
		return -EPERM;
	fake_ring_stop(r);
	fake_file(&r->backend, fd);
	return fd < 0 ? 0 : fake_ring_start(v, r);
}

static inline int fake_number(struct fake_ring *r, unsigned *field,
			      unsigned value)
{
	if (r->on)
		return -EBUSY;
	*field = value;
	return 0;
}

/* Every argument about a ring begins with its index. */
static inline int fake_ring_ioctl(struct fake_vhost *v, unsigned long request,
				  void *arg)
{
	struct vk_number *state = arg;
	struct vk_file *file = arg;
	struct fake_ring *r = &v->ring[state->index];

	if (state->index >= FAKE_RINGS)
		return -ENOBUFS;
	switch (request) {
	case VK_SET_SIZE:
		return fake_number(r, &r->num, state->number);
	case VK_SET_BASE:
		return fake_number(r, &r->base, state->number);
	case VK_GET_BASE:
		state->number = r->q.enabled ? virtq_base_get(&r->q) : r->base;
		return 0;
	case VK_SET_PLACE:
		return fake_set_addr(r, arg);
	case VK_SET_KICK:
		return fake_file(&r->kick, file->fd);
	case VK_SET_CALL:
		fake.calls++;
		return fake_file(&r->call, file->fd);
	case VK_SET_ERR:
		return fake_file(&r->err, file->fd);
	case VK_SET_BACKEND:
		return v->vsock ? -ENOTTY : fake_backend(v, r, file->fd);
	default:
		return -ENOTTY;
	}
}

static inline int fake_ioctl(struct fake_vhost *v, unsigned long request,
			     void *arg)
{
	switch (request) {
	case VK_SET_OWNER:
		v->owned = true;
		return 0;
	case VK_GET_FEATURES:
		*(uint64_t *)arg = fake.offers;
		return 0;
	case VK_SET_FEATURES:
		v->features = *(uint64_t *)arg;
		return v->features & ~fake.offers ? -EOPNOTSUPP : 0;
	case VK_SET_MEMORY:
		return fake_set_memory(v, arg);
	case VK_SET_CID:
		v->cid = *(uint64_t *)arg;
		return v->cid == fake.taken ? -EADDRINUSE : 0;
	case VK_SET_RUNNING:
		return fake_run(v, *(int *)arg);
	default:
		return fake_ring_ioctl(v, request, arg);
	}
}

/* ---- in place of kernel-sys.c -------------------------------------------- */

int vhost_sys_open(const char *path)
{
	struct fake_vhost *v = &fake.dev[fake.count];
	int pair[2];

	strncpy(fake.path, path, sizeof(fake.path) - 1);
	if (fake.no_device)
		return -fake.no_device;
	CHECK(fake.count < FAKE_DEVICES);
	CHECK(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	v->fd = pair[0];
	v->end = pair[1];
	v->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	v->vsock = strstr(path, "vsock");
	for (unsigned i = 0; i < FAKE_RINGS; i++) {
		struct fake_ring *r = &v->ring[i];

		r->kick = r->call = r->err = r->backend = -1;
		CHECK(!virtq_init(&r->q, fake.ram, FAKE_SIZE, NULL));
	}
	CHECK(!pthread_create(&v->thread, NULL, fake_work, v));
	fake.count++;
	return v->fd;
}

int vhost_sys_ioctl(int fd, unsigned long request, void *arg)
{
	int ret = -EBADF;

	pthread_mutex_lock(&fake.lock);
	for (unsigned i = 0; i < fake.count; i++) {
		struct fake_vhost *v = &fake.dev[i];

		if (v->fd != fd)
			continue;
		ret = request == fake.refuse ? -EFAULT
					     : fake_ioctl(v, request, arg);
		fake_signal(v->wake);
	}
	pthread_mutex_unlock(&fake.lock);
	return ret;
}

/* Wait until all devices are closed, and free them. */
static inline void fake_end(void)
{
	for (unsigned i = 0; i < fake.count; i++) {
		struct fake_vhost *v = &fake.dev[i];

		pthread_join(v->thread, NULL);
		close(v->end);
		close(v->wake);
		for (unsigned q = 0; q < FAKE_RINGS; q++) {
			struct fake_ring *r = &v->ring[q];

			fake_file(&r->kick, -1);
			fake_file(&r->call, -1);
			fake_file(&r->err, -1);
			fake_file(&r->backend, -1);
			virtq_release(&r->q);
		}
	}
	fake.count = 0;
}

/* Is ring @q of device @i at work? */
static inline bool fake_at_work(unsigned i, unsigned q)
{
	bool on;

	pthread_mutex_lock(&fake.lock);
	on = i < fake.count && fake.dev[i].ring[q].on;
	pthread_mutex_unlock(&fake.lock);
	return on;
}

#endif
