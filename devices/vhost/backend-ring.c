/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: vhost-user back end: guest RAM, rings, their descriptors
 *
 * A ring runs when everything is there: size, addresses that are in RAM, a
 * kick descriptor, enabled. backend_ring_update() is called after whatever may
 * have changed that. A change of memory stops the rings that run, and lets them
 * go on where they were.
 *
 * Descriptors for interrupts are swapped under a queue thread that is about to
 * signal them: each ring has one descriptor number for its lifetime, and
 * dup3() changes what it stands for.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "devices/vhost/backend-impl.h"
#include "devices/virtio/queue-track.h"

/* ---- descriptors that can be swapped under their users ------------------ */

/* A number to begin with: an eventfd that nobody reads. */
int backend_slot_new(void)
{
	return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

/* @slot stands for @fd from now on, which is closed; @fd -1: for nobody's. */
int backend_slot_set(int slot, int fd)
{
	int err = 0;

	if (fd < 0)
		fd = backend_slot_new();
	if (fd < 0 || dup3(fd, slot, O_CLOEXEC) < 0)
		err = -errno;
	if (fd >= 0)
		close(fd);
	return err;
}

void backend_signal(int fd)
{
	uint64_t one = 1;

	if (write(fd, &one, sizeof(one)) < 0)
		return; /* the front end's counter is full: it knows */
}

int backend_call_set(struct vring *r, int fd, bool is_socket)
{
	int err;

	virtio_queue_lock(r->be->vd, r->index);
	err = backend_slot_set(r->call, fd);
	if (!err)
		r->call_is_socket = is_socket;
	virtio_queue_unlock(r->be->vd, r->index);
	return err;
}

void backend_call(const struct vring *r)
{
	uint64_t one = 1;

	if (!r->call_is_socket)
		backend_signal(r->call);
	else if (send(r->call, &one, sizeof(one), MSG_DONTWAIT | MSG_NOSIGNAL) <
		 0)
		return; /* it is full: there is something to wake up for */
}

/* ---- guest RAM ---------------------------------------------------------- */

/* Return: false if @user is in no region. */
static bool translate(const struct vhost_backend *be, uint64_t user, gpa_t *out)
{
	for (unsigned i = 0; i < be->region_count; i++) {
		const struct vu_region *r = &be->region[i];

		if (user - r->user >= r->size_bytes)
			continue;
		*out = GPA(r->gpa + (user - r->user));
		return true;
	}
	return false;
}

int backend_region_add(struct vhost_backend *be, const struct vu_region *r,
		       int fd, struct diag *d)
{
	uint64_t end;
	int err;

	if (fd < 0 || !add_u64(r->user, r->size_bytes, &end)) {
		if (fd >= 0)
			close(fd);
		return diag_fail(d, EINVAL,
				 "a memory region wraps or has no descriptor");
	}
	err = ram_add_file(be->vd->dev.env->ram, GPA(r->gpa), r->size_bytes, fd,
			   r->offset_bytes, d);
	if (err) {
		close(fd);
		return err;
	}
	be->region[be->region_count++] = *r;
	return 0;
}

void backend_region_remove(struct vhost_backend *be, unsigned index)
{
	struct guest_ram *ram = be->vd->dev.env->ram;
	unsigned at = 0;

	while (ram->region[at].gpa.v != be->region[index].gpa)
		at++;
	ram_remove(ram, at);
	be->region[index] = be->region[--be->region_count];
}

void backend_regions_clear(struct vhost_backend *be)
{
	while (be->region_count)
		backend_region_remove(be, be->region_count - 1);
}

/* ---- rings -------------------------------------------------------------- */

static void kicked(void *opaque, uint32_t events)
{
	struct vring *r = opaque;

	(void)events;
	virtio_process(r->be->vd, r->index);
}

/*
 * Edge-triggered and never read: each kick is an edge, and one system call is
 * saved on every one. What the counter says does not matter.
 */
int backend_kick_watch(struct vring *r, int fd)
{
	int err;

	r->kick = (struct event_source){ fd, kicked, r };
	err = event_add(r->be->vd->queue[r->index].loop, &r->kick,
			EPOLLIN | EPOLLET);
	r->has_kick = !err;
	return err;
}

void backend_kick_unwatch(struct vring *r)
{
	if (!r->has_kick)
		return;
	event_del(r->be->vd->queue[r->index].loop, &r->kick);
	close(r->kick.fd);
	r->has_kick = false;
}

static bool ring_ready(const struct vhost_backend *be, const struct vring *r)
{
	return be->features & VIRTIO_F_VERSION_1 && r->has_num && r->has_addr &&
	       r->has_kick && r->enabled;
}

/* The ring's registers, as the driver would have written them. */
static int ring_program(struct vhost_backend *be, struct vring *r,
			struct diag *d)
{
	struct virtio_queue *q = &be->vd->queue[r->index];
	struct virtq_layout at = { .size = (uint16_t)r->num };

	if (!translate(be, r->addr.desc, &at.desc) ||
	    !translate(be, r->addr.avail, &at.driver) ||
	    !translate(be, r->addr.used, &at.device))
		return diag_fail(d, EFAULT,
				 "ring %u is not in the memory that was sent",
				 r->index);
	q->reg = at;
	return 0;
}

/* @err: of virtio_queue_enable_at() */
static const char *why_not(const struct virtq *ring, int err)
{
	if (ring->broken)
		return ring->broken;
	if (err == -ENOMEM)
		return "out of memory";
	return err == -EBADMSG ? "its memory of requests in flight is damaged, "
				 "or of another version or size"
			       : "no such position";
}

/* Has somebody run this ring before? Both formats say so in one place. */
static bool was_used(const struct track_region *memory)
{
	return memory && *(const volatile uint16_t *)&memory->version;
}

static int ring_start(struct vhost_backend *be, struct vring *r, struct diag *d)
{
	struct virtio_device *vd = be->vd;
	struct virtio_queue *q = &vd->queue[r->index];
	void *memory;
	bool used;
	int err = ring_program(be, r, d);

	if (err)
		return err;
	memory = inflight_region(&be->inflight, r->index, (uint16_t)r->num,
				 be->features & VIRTIO_F_RING_PACKED);
	used = was_used(memory);
	err = virtio_queue_enable_at(q, r->base, memory);
	if (err)
		return diag_fail(d, -err, "ring %u: %s", r->index,
				 why_not(&q->ring, err));
	r->running = true;
	if (!(vd->status & VIRTIO_DRIVER_OK))
		virtio_set_status(vd, vd->status | VIRTIO_DRIVER_OK);
	/* Who died may not have told of the last that it had given back. */
	if (used)
		backend_call(r);
	return 0;
}

static void ring_stop(struct vhost_backend *be, struct vring *r)
{
	if (!r->running)
		return;
	virtio_queue_disable_at(&be->vd->queue[r->index], &r->base);
	r->running = false;
}

/* Run the ring or not, as the front end wants it by now. */
int backend_ring_update(struct vhost_backend *be, struct vring *r,
			struct diag *d)
{
	int err = 0;

	pthread_mutex_lock(&be->vd->lock);
	if (!ring_ready(be, r))
		ring_stop(be, r);
	else if (!r->running)
		err = ring_start(be, r, d);
	pthread_mutex_unlock(&be->vd->lock);
	return err;
}

void backend_rings_stop(struct vhost_backend *be)
{
	pthread_mutex_lock(&be->vd->lock);
	for (unsigned i = 0; i < be->vd->queue_count; i++)
		ring_stop(be, &be->ring[i]);
	pthread_mutex_unlock(&be->vd->lock);
}

int backend_rings_update(struct vhost_backend *be, struct diag *d)
{
	int err = 0;

	for (unsigned i = 0; i < be->vd->queue_count && !err; i++)
		err = backend_ring_update(be, &be->ring[i], d);
	return err;
}

void backend_ring_forget(struct vring *r)
{
	backend_kick_unwatch(r);
	backend_call_set(r, -1, false);
	backend_slot_set(r->err, -1);
	r->has_num = r->has_addr = r->enabled = false;
	r->num = r->base = 0;
}

void backend_device_reset(struct vhost_backend *be)
{
	pthread_mutex_lock(&be->vd->lock);
	virtio_set_status(be->vd, 0);
	pthread_mutex_unlock(&be->vd->lock);
	for (unsigned i = 0; i < be->vd->queue_count; i++)
		be->ring[i].running = false;
}

/* The ring that a message is about; NULL: there is none. */
struct vring *backend_ring(struct vhost_backend *be, uint64_t index,
			   struct diag *d)
{
	if (index < be->vd->queue_count)
		return &be->ring[index];
	diag_fail(d, EINVAL, "there is no ring %llu",
		  (unsigned long long)index);
	return NULL;
}

/* A ring whose position or place may be changed, or NULL. */
struct vring *backend_ring_stopped(struct vhost_backend *be, uint32_t index,
				   struct diag *d)
{
	struct vring *r = backend_ring(be, index, d);

	if (!r || !r->running)
		return r;
	diag_fail(d, EBUSY, "ring %u runs", index);
	return NULL;
}
