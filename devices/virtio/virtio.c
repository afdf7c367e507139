/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: what all virtio devices and both transports share, see virtio.h */
#include "devices/virtio/virtio.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/check.h"
#include "vmm/base/eventfd.h"
#include "vmm/base/log.h"

#include "devices/virtio/queue-track.h"

#define COMMON_FEATURES                                                     \
	(VIRTIO_F_VERSION_1 | VIRTIO_F_EVENT_IDX | VIRTIO_F_INDIRECT_DESC | \
	 VIRTIO_F_RING_RESET | VIRTIO_F_RING_PACKED)

static struct virtio_device *to_virtio(struct device *dev)
{
	return container_of(dev, struct virtio_device, dev);
}

/* A rule was broken that harms nothing: the access is dropped. */
static void dropped(struct virtio_device *vd, const char *what)
{
	log_guest(&vd->misuse, "%s: the guest's driver %s: ignored", vd->dev.id,
		  what);
}

/* ---- interrupts and misuse --------------------------------------------- */

/* DRIVER_OK and not broken. */
static bool running(const struct virtio_device *vd)
{
	return (atomic_load(&vd->status) &
		(VIRTIO_DRIVER_OK | VIRTIO_NEEDS_RESET)) == VIRTIO_DRIVER_OK;
}

void virtio_config_changed(struct virtio_device *vd)
{
	atomic_fetch_add(&vd->generation, 1);
	if (atomic_load(&vd->status) & VIRTIO_DRIVER_OK)
		vd->transport->interrupt(vd, NULL);
}

static void need_reset(struct virtio_device *vd)
{
	if (!(atomic_fetch_or(&vd->status, VIRTIO_NEEDS_RESET) &
	      VIRTIO_NEEDS_RESET))
		virtio_config_changed(vd);
}

void virtio_lost(struct virtio_device *vd, const char *why)
{
	log_guest(&vd->misuse, "%s: %s: the device needs a reset", vd->dev.id,
		  why);
	need_reset(vd);
}

void virtio_misused(struct virtio_device *vd, const char *why)
{
	log_guest(&vd->misuse,
		  "%s: the guest's driver broke a rule (%s): the device needs "
		  "a reset",
		  vd->dev.id, why);
	need_reset(vd);
}

/* ---- queues: for devices ----------------------------------------------- */

static pthread_mutex_t *ring_lock(struct virtio_queue *q)
{
	return q->vd->cls->parallel ? &q->lock : &q->vd->lock;
}

void virtio_queue_lock(struct virtio_device *vd, unsigned queue)
{
	pthread_mutex_lock(ring_lock(&vd->queue[queue]));
}

void virtio_queue_unlock(struct virtio_device *vd, unsigned queue)
{
	pthread_mutex_unlock(ring_lock(&vd->queue[queue]));
}

/* For those who hold the device's lock. */
static void ring_enter(struct virtio_queue *q)
{
	if (q->vd->cls->parallel)
		pthread_mutex_lock(&q->lock);
}

static void ring_leave(struct virtio_queue *q)
{
	if (q->vd->cls->parallel)
		pthread_mutex_unlock(&q->lock);
}

bool virtio_pop(struct virtio_device *vd, unsigned queue,
		struct virtq_chain *chain)
{
	struct virtq *ring = &vd->queue[queue].ring;
	int got;

	if (!atomic_load(&vd->queue[queue].started) || !running(vd))
		return false;
	got = virtq_pop(ring, chain);
	if (!got && virtq_wait(ring))
		got = virtq_pop(ring, chain);
	if (ring->broken)
		virtio_misused(vd, ring->broken);
	return got > 0;
}

void virtio_push(struct virtio_device *vd, unsigned queue,
		 const struct virtq_chain *chain, uint32_t written)
{
	virtq_push(&vd->queue[queue].ring, chain->head, written);
}

void virtio_push_all(struct virtio_device *vd, unsigned queue,
		     const struct virtq_used *used, unsigned count)
{
	virtq_push_all(&vd->queue[queue].ring, used, count);
}

void virtio_done(struct virtio_device *vd, unsigned queue)
{
	struct virtio_queue *q = &vd->queue[queue];

	if (virtq_signal(&q->ring))
		vd->transport->interrupt(vd, q);
}

bool virtio_more(struct virtio_device *vd, unsigned queue, unsigned *taken)
{
	if ((*taken)++ < VIRTIO_KICK_BUDGET)
		return true;
	virtio_kick(vd, queue);
	return false;
}

void virtio_kick(struct virtio_device *vd, unsigned queue)
{
	eventfd_add(vd->queue[queue].kick.fd, vd->cls->offload);
}

void virtio_process(struct virtio_device *vd, unsigned queue)
{
	virtio_queue_lock(vd, queue);
	if (running(vd) && atomic_load(&vd->queue[queue].started))
		vd->cls->notify(vd, queue);
	virtio_queue_unlock(vd, queue);
}

static void kicked(void *opaque, uint32_t events)
{
	struct virtio_queue *q = opaque;

	(void)events;
	if (!eventfd_take(q->kick.fd))
		virtio_process(q->vd, q->index);
}

/* ---- status and features: for transports ------------------------------- */

/* Let the device work on @q, if it can. */
static void queue_start(struct virtio_queue *q)
{
	struct virtio_device *vd = q->vd;

	if (q->started || vd->paused || !q->ring.enabled || !running(vd))
		return;
	atomic_store(&q->started, true);
	if (vd->cls->start)
		vd->cls->start(vd, q->index);
	virtio_kick(vd, q->index);
}

/* When it returns, nothing of @q is in flight. */
static void queue_stop(struct virtio_queue *q)
{
	if (!q->started)
		return;
	atomic_store(&q->started, false);
	/* Who has seen it started has the ring's lock, and is done now. */
	ring_enter(q);
	ring_leave(q);
	if (q->vd->cls->stop)
		q->vd->cls->stop(q->vd, q->index);
}

/* Has somebody asked for an interrupt that nobody has made yet? */
static bool take_call(struct virtio_queue *q)
{
	return q->call.fd > 0 && !eventfd_take(q->call.fd);
}

/* VIRTIO 1.3 sec. 2.4.1: nothing of before a reset is told after it. */
static void queue_forget(struct virtio_queue *q)
{
	take_call(q);
	ring_enter(q);
	virtq_reset(&q->ring);
	ring_leave(q);
	q->reg = (struct virtq_layout){ .size = q->ring.size_max };
}

/* Forget all that the driver did. */
static void state_reset(struct virtio_device *vd)
{
	vd->transport->doorbells(vd, false);
	for (unsigned i = 0; i < vd->queue_count; i++)
		queue_stop(&vd->queue[i]);
	if (vd->cls->reset)
		vd->cls->reset(vd);
	for (unsigned i = 0; i < vd->queue_count; i++) {
		queue_forget(&vd->queue[i]);
		vd->queue[i].vector = VIRTIO_NO_VECTOR;
	}
	vd->features = 0;
	atomic_store(&vd->status, 0);
	vd->config_vector = VIRTIO_NO_VECTOR;
	vd->offered_word = vd->driver_word = 0;
	vd->queue_select = 0;
	vd->transport->device_reset(vd);
}

/* VIRTIO 1.3 sec. 2.2 and 3.1.1: the driver may say FEATURES_OK. */
static bool negotiate(struct virtio_device *vd)
{
	if (vd->features & ~vd->offered || !(vd->features & VIRTIO_F_VERSION_1))
		return false;
	return !vd->cls->set_features ||
	       vd->cls->set_features(vd, vd->features);
}

/* Requests made available before DRIVER_OK had no doorbell yet. */
static void start(struct virtio_device *vd)
{
	vd->transport->doorbells(vd, true);
	for (unsigned i = 0; i < vd->queue_count; i++)
		queue_start(&vd->queue[i]);
}

void virtio_set_status(struct virtio_device *vd, uint8_t status)
{
	static const uint8_t writable =
		VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FAILED;
	uint8_t added = status & (uint8_t)~vd->status;

	if (!status) {
		state_reset(vd);
		return;
	}
	atomic_fetch_or(&vd->status, status & writable);
	if (added & VIRTIO_FEATURES_OK) {
		if (negotiate(vd))
			atomic_fetch_or(&vd->status, VIRTIO_FEATURES_OK);
		else
			dropped(vd, "asks for features that are not offered");
	}
	if (!(added & VIRTIO_DRIVER_OK))
		return;
	if (!(vd->status & VIRTIO_FEATURES_OK)) {
		dropped(vd, "starts without negotiated features");
		return;
	}
	atomic_fetch_or(&vd->status, VIRTIO_DRIVER_OK);
	start(vd);
}

uint32_t virtio_offered(const struct virtio_device *vd)
{
	return vd->offered_word < 2
		       ? (uint32_t)(vd->offered >> (32 * vd->offered_word))
		       : 0;
}

uint32_t virtio_accepted(const struct virtio_device *vd)
{
	return vd->driver_word < 2
		       ? (uint32_t)(vd->features >> (32 * vd->driver_word))
		       : 0;
}

void virtio_accept(struct virtio_device *vd, uint32_t bits)
{
	unsigned shift = 32 * (vd->driver_word & 1);

	if (vd->driver_word > 1)
		return;
	if (vd->status & VIRTIO_FEATURES_OK) {
		dropped(vd, "changes features after FEATURES_OK");
		return;
	}
	vd->features &= ~((uint64_t)UINT32_MAX << shift);
	vd->features |= (uint64_t)bits << shift;
}

/* ---- queue registers: for transports ----------------------------------- */

struct virtio_queue *virtio_selected(struct virtio_device *vd)
{
	return vd->queue_select < vd->queue_count ? &vd->queue[vd->queue_select]
						  : NULL;
}

static gpa_t *addr_register(struct virtq_layout *reg, enum virtio_ring ring)
{
	gpa_t *const at[] = {
		[VIRTIO_DESC] = &reg->desc,
		[VIRTIO_AVAIL] = &reg->driver,
		[VIRTIO_USED] = &reg->device,
	};

	return at[ring];
}

/* Registers of a running queue are latched. */
static bool frozen(struct virtio_queue *q)
{
	if (q->ring.enabled)
		dropped(q->vd, "programs a queue that is enabled");
	return q->ring.enabled;
}

void virtio_queue_set_addr(struct virtio_queue *q, enum virtio_ring ring,
			   uint64_t value, uint64_t mask)
{
	gpa_t *at = addr_register(&q->reg, ring);

	if (!frozen(q))
		at->v = (at->v & ~mask) | (value & mask);
}

static bool size_ok(const struct virtio_queue *q, uint16_t size)
{
	return virtq_size_ok(size, q->ring.size_max,
			     q->vd->features & VIRTIO_F_RING_PACKED);
}

void virtio_queue_set_size(struct virtio_queue *q, uint16_t size)
{
	if (frozen(q))
		return;
	if (!size_ok(q, size))
		dropped(q->vd, "wants a queue size that is not offered");
	else
		q->reg.size = size;
}

static struct virtq_features ring_features(uint64_t features)
{
	return (struct virtq_features){
		.event_idx = features & VIRTIO_F_EVENT_IDX,
		.indirect = features & VIRTIO_F_INDIRECT_DESC,
		.packed = features & VIRTIO_F_RING_PACKED,
		.in_order = features & VIRTIO_F_IN_ORDER,
	};
}

void virtio_queue_enable(struct virtio_queue *q)
{
	struct virtio_device *vd = q->vd;
	int err;

	if (q->ring.enabled)
		return;
	if (!(vd->status & VIRTIO_FEATURES_OK)) {
		dropped(vd, "enables a queue before FEATURES_OK");
		return;
	}
	ring_enter(q);
	err = virtq_enable(&q->ring, &q->reg, ring_features(vd->features));
	ring_leave(q);
	if (err) {
		virtio_misused(vd, q->ring.broken);
	} else if (vd->status & VIRTIO_DRIVER_OK) {
		vd->transport->doorbells(vd, true);
		queue_start(q);
	}
}

void virtio_queue_disable(struct virtio_queue *q)
{
	queue_stop(q);
	ring_enter(q);
	virtq_reset(&q->ring);
	ring_leave(q);
}

static int enable_at(struct virtio_queue *q, uint32_t base, void *track)
{
	int err =
		virtq_enable(&q->ring, &q->reg, ring_features(q->vd->features));

	if (!err)
		err = virtq_base_set(&q->ring, base);
	if (!err && track)
		err = virtq_track(&q->ring, track);
	if (err && q->ring.enabled)
		virtq_reset(&q->ring);
	return err;
}

int virtio_queue_enable_at(struct virtio_queue *q, uint32_t base, void *track)
{
	int err;

	ring_enter(q);
	err = enable_at(q, base, track);
	ring_leave(q);
	if (!err)
		queue_start(q);
	return err;
}

void virtio_queue_disable_at(struct virtio_queue *q, uint32_t *base)
{
	queue_stop(q);
	ring_enter(q);
	if (q->ring.enabled)
		*base = virtq_base_get(&q->ring);
	virtq_reset(&q->ring);
	ring_leave(q);
}

void virtio_queue_reset(struct virtio_queue *q)
{
	if (!(q->vd->features & VIRTIO_F_RING_RESET)) {
		dropped(q->vd, "resets a queue without the feature");
		return;
	}
	queue_stop(q);
	queue_forget(q);
}

void virtio_notify(struct virtio_device *vd, uint64_t queue)
{
	if (queue < vd->queue_count)
		virtio_kick(vd, (unsigned)queue);
	else
		dropped(vd, "notifies a queue that does not exist");
}

/* ---- configuration: for transports ------------------------------------- */

uint64_t virtio_config_read(struct virtio_device *vd, uint64_t offset,
			    unsigned size_bytes)
{
	uint8_t config[VIRTIO_CONFIG_MAX + 8] = { 0 };

	if (!range_within(offset, size_bytes, 0, VIRTIO_CONFIG_MAX))
		return 0;
	if (vd->cls->get_config)
		vd->cls->get_config(vd, config);
	return get_le64(config + offset);
}

void virtio_config_write(struct virtio_device *vd, uint64_t offset,
			 unsigned size_bytes, uint64_t value)
{
	uint8_t bytes[8];

	if (!vd->cls->set_config ||
	    !range_within(offset, size_bytes, 0, vd->config_bytes))
		return;
	put_le64(bytes, value);
	vd->cls->set_config(vd, (unsigned)offset, bytes, size_bytes);
}

/* ---- device class ------------------------------------------------------ */

static int source_open(struct event_loop *loop, struct event_source *src,
		       void (*ready)(void *opaque, uint32_t events),
		       void *opaque)
{
	int err;

	src->ready = ready;
	src->opaque = opaque;
	src->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (src->fd < 0)
		return -errno;
	if (!loop)
		return 0;
	err = event_add(loop, src, EPOLLIN);
	if (err) {
		close(src->fd);
		src->fd = -1;
	}
	return err;
}

static void source_close(struct event_loop *loop, struct event_source *src)
{
	if (src->fd <= 0)
		return;
	event_del(loop, src);
	close(src->fd);
}

static void queues_free(struct virtio_device *vd)
{
	for (unsigned i = 0; i < vd->queue_count; i++) {
		struct virtio_queue *q = &vd->queue[i];

		source_close(q->loop, &q->kick);
		source_close(q->loop, &q->call);
		virtq_release(&q->ring);
		if (q->vd)
			pthread_mutex_destroy(&q->lock);
	}
	free(vd->queue);
	vd->queue = NULL;
}

static int queue_new(struct virtio_device *vd, unsigned index, struct diag *d)
{
	struct virtio_queue *q = &vd->queue[index];
	int err = virtq_init(&q->ring, vd->dev.env->ram, vd->queue_size, d);

	if (err)
		return err;
	pthread_mutex_init(&q->lock, NULL);
	q->vd = vd;
	q->index = index;
	q->loop = vd->cls->loop ? vd->cls->loop(vd, index) : NULL;
	if (!q->loop)
		q->loop = vd->dev.env->loop;
	err = source_open(vd->cls->offload ? NULL : q->loop, &q->kick, kicked,
			  q);
	return err ? diag_errno(d, -err, "cannot make a kick eventfd") : 0;
}

static int queues_new(struct virtio_device *vd, struct diag *d)
{
	int err = 0;

	CHECK(vd->queue_count && vd->queue_count <= VIRTIO_QUEUES_MAX);
	vd->queue = calloc(vd->queue_count, sizeof(vd->queue[0]));
	if (!vd->queue)
		return diag_fail(d, ENOMEM, "out of memory");
	for (unsigned i = 0; i < vd->queue_count && !err; i++)
		err = queue_new(vd, i, d);
	if (err)
		queues_free(vd);
	return err;
}

static const struct virtio_transport *choose(const struct device_env *env)
{
	if (env->transport)
		return env->transport;
	return env->config->platform.transport == TRANSPORT_MMIO ? &virtio_mmio
								 : &virtio_pci;
}

static int transport_new(struct virtio_device *vd, struct diag *d)
{
	int err;

	vd->bus = calloc(1, vd->transport->size_bytes);
	if (!vd->bus)
		return diag_fail(d, ENOMEM, "out of memory");
	err = vd->transport->realize(vd, d);
	if (err) {
		free(vd->bus);
		vd->bus = NULL;
	}
	return err;
}

/* What the device offers to the driver. */
static uint64_t offer(struct virtio_device *vd)
{
	uint64_t common = COMMON_FEATURES;

	if (vd->cls->in_order)
		common |= VIRTIO_F_IN_ORDER;
	if (vd->dev.env->config->platform.access_platform)
		common |= VIRTIO_F_ACCESS_PLATFORM;
	if (vd->cls->limit)
		common &= vd->cls->limit(vd);
	return common | (vd->cls->get_features ? vd->cls->get_features(vd) : 0);
}

int virtio_realize(struct device *dev, const struct device_place *place,
		   struct diag *d)
{
	struct virtio_device *vd = to_virtio(dev);
	int err;

	(void)place;
	vd->cls = dev->cls->data;
	vd->queue_count = vd->cls->queue_count;
	vd->queue_size = vd->cls->queue_size;
	vd->config_bytes = vd->cls->config_bytes;
	vd->id = vd->cls->id;
	vd->transport = choose(vd->dev.env);
	pthread_mutex_init(&vd->lock, NULL);
	err = vd->cls->realize ? vd->cls->realize(vd, d) : 0;
	if (err)
		goto err_lock;
	CHECK(vd->config_bytes <= VIRTIO_CONFIG_MAX);
	vd->offered = offer(vd);
	err = queues_new(vd, d);
	if (err)
		goto err_class;
	err = transport_new(vd, d);
	if (err)
		goto err_queues;
	pthread_mutex_lock(&vd->lock);
	state_reset(vd);
	pthread_mutex_unlock(&vd->lock);
	return 0;

err_queues:
	if (vd->cls->halt)
		vd->cls->halt(vd);
	queues_free(vd);
err_class:
	if (vd->cls->unrealize)
		vd->cls->unrealize(vd);
err_lock:
	pthread_mutex_destroy(&vd->lock);
	return err;
}

void virtio_unrealize(struct device *dev)
{
	struct virtio_device *vd = to_virtio(dev);

	pthread_mutex_lock(&vd->lock);
	state_reset(vd);
	pthread_mutex_unlock(&vd->lock);
	if (vd->cls->halt)
		vd->cls->halt(vd);
	vd->transport->unrealize(vd);
	free(vd->bus);
	queues_free(vd);
	if (vd->cls->unrealize)
		vd->cls->unrealize(vd);
	pthread_mutex_destroy(&vd->lock);
}

int virtio_describe(const struct device *dev, struct platform *p,
		    struct diag *d)
{
	const struct virtio_device *vd = (const void *)dev;

	return vd->transport->describe ? vd->transport->describe(vd, p, d) : 0;
}

void virtio_power_on(struct device *dev)
{
	struct virtio_device *vd = to_virtio(dev);

	pthread_mutex_lock(&vd->lock);
	state_reset(vd);
	pthread_mutex_unlock(&vd->lock);
	vd->transport->reset(vd);
}

void virtio_pause(struct device *dev)
{
	struct virtio_device *vd = to_virtio(dev);

	pthread_mutex_lock(&vd->lock);
	vd->paused = true;
	for (unsigned i = 0; i < vd->queue_count; i++) {
		struct virtio_queue *q = &vd->queue[i];

		queue_stop(q);
		/* For who saves the interrupt, or loads it. */
		if (take_call(q))
			vd->transport->interrupt(vd, q);
	}
	pthread_mutex_unlock(&vd->lock);
}

void virtio_resume(struct device *dev)
{
	struct virtio_device *vd = to_virtio(dev);

	pthread_mutex_lock(&vd->lock);
	vd->paused = false;
	for (unsigned i = 0; i < vd->queue_count; i++)
		queue_start(&vd->queue[i]);
	pthread_mutex_unlock(&vd->lock);
}

/* ---- offloaded queues -------------------------------------------------- */

void virtio_watch(struct virtio_device *vd, unsigned queue, bool on)
{
	struct virtio_queue *q = &vd->queue[queue];

	if (!on)
		event_del(q->loop, &q->kick);
	else if (event_add(q->loop, &q->kick, EPOLLIN))
		log_warn("%s: kicks of queue %u go unheard", vd->dev.id, queue);
}

static void called(void *opaque, uint32_t events)
{
	struct virtio_queue *q = opaque;

	(void)events;
	pthread_mutex_lock(&q->vd->lock);
	if (take_call(q) && running(q->vd))
		q->vd->transport->interrupt(q->vd, q);
	pthread_mutex_unlock(&q->vd->lock);
}

int virtio_call_fd(struct virtio_device *vd, unsigned queue)
{
	struct virtio_queue *q = &vd->queue[queue];
	int fd = -1, err = 0;

	if (vd->transport->call_fd)
		fd = vd->transport->call_fd(vd, q);
	if (fd >= 0)
		return fd;
	if (q->call.fd <= 0)
		err = source_open(q->loop, &q->call, called, q);
	return err ? err : q->call.fd;
}

void virtio_vector_changed(struct virtio_queue *q)
{
	if (q->started && q->vd->cls->call_changed)
		q->vd->cls->call_changed(q->vd, q->index);
}

/* ---- state ------------------------------------------------------------- */

static void queue_save(const struct virtio_queue *q, struct stream_out *out)
{
	stream_put_u16(out, q->reg.size);
	stream_put_u64(out, q->reg.desc.v);
	stream_put_u64(out, q->reg.driver.v);
	stream_put_u64(out, q->reg.device.v);
	stream_put_u16(out, q->vector);
	virtq_save(&q->ring, out);
}

static int ring_load_state(struct virtio_queue *q, struct stream_in *in)
{
	int err;

	ring_enter(q);
	err = virtq_load(&q->ring, in);
	ring_leave(q);
	return err;
}

static int queue_load(struct virtio_queue *q, struct stream_in *in)
{
	struct virtq_layout reg;
	uint16_t vector;

	reg.size = stream_get_u16(in);
	reg.desc.v = stream_get_u64(in);
	reg.driver.v = stream_get_u64(in);
	reg.device.v = stream_get_u64(in);
	vector = stream_get_u16(in);
	if (in->failed || !size_ok(q, reg.size) || ring_load_state(q, in))
		return -EBADMSG;
	q->reg = reg;
	q->vector = vector;
	return 0;
}

void virtio_save(const struct device *dev, struct stream_out *out)
{
	const struct virtio_device *vd = (const void *)dev;

	stream_put_u16(out, (uint16_t)vd->queue_count);
	stream_put_u8(out, vd->status);
	stream_put_u64(out, vd->features);
	stream_put_u32(out, vd->generation);
	stream_put_u16(out, vd->config_vector);
	stream_put_u32(out, vd->offered_word);
	stream_put_u32(out, vd->driver_word);
	stream_put_u16(out, vd->queue_select);
	for (unsigned i = 0; i < vd->queue_count; i++)
		queue_save(&vd->queue[i], out);
	if (vd->cls->save)
		vd->cls->save(vd, out);
	vd->transport->save(vd, out);
}

/* No status that virtio_set_status() would not have let the driver reach. */
static bool status_possible(const struct virtio_device *vd, uint8_t status,
			    uint64_t features)
{
	if (status & 0x30 ||
	    (status & VIRTIO_DRIVER_OK && !(status & VIRTIO_FEATURES_OK)))
		return false;
	return !(status & VIRTIO_FEATURES_OK) ||
	       (!(features & ~vd->offered) && features & VIRTIO_F_VERSION_1);
}

static int common_load(struct virtio_device *vd, struct stream_in *in)
{
	unsigned queue_count = stream_get_u16(in);
	uint8_t status = stream_get_u8(in);
	uint64_t features = stream_get_u64(in);

	atomic_store(&vd->generation, stream_get_u32(in));
	vd->config_vector = stream_get_u16(in);
	vd->offered_word = stream_get_u32(in);
	vd->driver_word = stream_get_u32(in);
	vd->queue_select = stream_get_u16(in);
	if (in->failed || queue_count != vd->queue_count ||
	    !status_possible(vd, status, features))
		return -EBADMSG;
	atomic_store(&vd->status, status);
	vd->features = features;
	for (unsigned i = 0; i < queue_count; i++)
		if (queue_load(&vd->queue[i], in))
			return -EBADMSG;
	return vd->cls->load ? vd->cls->load(vd, in) : 0;
}

/* Restored queues carry the features that the device was restored with. */
static bool rings_agree(const struct virtio_device *vd)
{
	const struct virtq_features want = ring_features(vd->features);

	for (unsigned i = 0; i < vd->queue_count; i++) {
		const struct virtq *r = &vd->queue[i].ring;

		if (!r->enabled)
			continue;
		if (!(vd->status & VIRTIO_FEATURES_OK) ||
		    r->has.event_idx != want.event_idx ||
		    r->has.indirect != want.indirect ||
		    r->has.packed != want.packed ||
		    r->has.in_order != want.in_order)
			return false;
	}
	return true;
}

static int load_locked(struct virtio_device *vd, struct stream_in *in)
{
	int err = common_load(vd, in);

	if (!err && !rings_agree(vd))
		err = -EBADMSG;
	if (!err && vd->status & VIRTIO_FEATURES_OK && vd->cls->set_features &&
	    !vd->cls->set_features(vd, vd->features))
		err = -EBADMSG;
	if (err)
		state_reset(vd);
	return err;
}

int virtio_load(struct device *dev, struct stream_in *in, struct diag *d)
{
	struct virtio_device *vd = to_virtio(dev);
	int err;

	pthread_mutex_lock(&vd->lock);
	err = load_locked(vd, in);
	pthread_mutex_unlock(&vd->lock);
	if (err)
		return diag_fail(d, -err, "%s: saved state is damaged",
				 dev->id);
	err = vd->transport->load(vd, in, d);
	pthread_mutex_lock(&vd->lock);
	if (err)
		state_reset(vd);
	else if (running(vd))
		start(vd);
	pthread_mutex_unlock(&vd->lock);
	return err;
}
