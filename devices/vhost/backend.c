/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: vhost-user back end: connections and the virtio transport, see
 * backend.h */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/base/log.h"

#include "devices/vhost/backend-impl.h"

/* Messages handled in one go; then others on the loop get their turn. */
#define MESSAGE_BUDGET 32

static struct vhost_backend *backend_of(const struct virtio_device *vd)
{
	return vd->bus;
}

/* ---- connections -------------------------------------------------------- */

static void disconnect(struct vhost_backend *be)
{
	if (be->front.fd < 0)
		return;
	backend_rings_stop(be);
	backend_device_reset(be);
	for (unsigned i = 0; i < be->vd->queue_count; i++)
		backend_ring_forget(&be->ring[i]);
	atomic_store(&be->can_request, false);
	backend_slot_set(be->request, -1);
	inflight_release(&be->inflight);
	backend_regions_clear(be);
	be->features = be->protocol = 0;
	event_del(be->vd->dev.env->loop, &be->front);
	vu_channel_release(&be->channel);
	close(be->front.fd);
	be->front.fd = -1;
}

/* Said each time at first, then less and less often: whoever can connect
 * cannot fill a log. */
static void connection_ended(struct vhost_backend *be, int err,
			     const struct diag *d)
{
	char why[DIAG_DEPTH * DIAG_TEXT];

	disconnect(be);
	if (err == -ECONNRESET)
		log_info("%s: the front end has gone", be->vd->dev.id);
	else if (is_pow2(++be->faults))
		log_warn("%s: the connection to the front end ends: %s "
			 "(fault %u)",
			 be->vd->dev.id, diag_format(d, why, sizeof(why)),
			 be->faults);
	if (be->ended)
		be->ended(be->opaque);
}

static void front_ready(void *opaque, uint32_t events)
{
	struct vhost_backend *be = opaque;
	struct diag d = DIAG_INIT;
	struct vu_msg msg;
	int got = 1;

	(void)events;
	for (unsigned i = 0; i < MESSAGE_BUDGET && got == 1; i++) {
		int err;

		got = vu_recv(&be->channel, &msg, &d);
		if (got != 1)
			break;
		err = backend_handle(be, &msg, &d);
		vu_msg_release(&msg);
		if (err)
			got = err;
	}
	if (got < 0)
		connection_ended(be, got, &d);
}

static int attach(struct vhost_backend *be, int fd, struct diag *d)
{
	int err;

	if (be->front.fd >= 0)
		return diag_fail(d, EBUSY, "%s: there is a front end already",
				 be->vd->dev.id);
	be->front.fd = fd;
	err = event_add(be->vd->dev.env->loop, &be->front, EPOLLIN);
	if (err) {
		be->front.fd = -1;
		return diag_errno(d, -err, "%s: cannot watch the front end",
				  be->vd->dev.id);
	}
	vu_channel_init(&be->channel, fd, VU_FROM_FRONTEND);
	log_info("%s: a front end has connected", be->vd->dev.id);
	return 0;
}

/* A second front end is turned away at once: it would wait for ever. */
static void listener_ready(void *opaque, uint32_t events)
{
	struct vhost_backend *be = opaque;
	struct diag d = DIAG_INIT;
	int fd = accept4(be->listener.fd, NULL, NULL, SOCK_CLOEXEC);

	(void)events;
	if (fd < 0)
		return; /* it went while it waited */
	if (!attach(be, fd, &d))
		return;
	close(fd);
	if (is_pow2(++be->faults))
		log_warn("%s (fault %u)", d.text[0], be->faults);
}

int vhost_backend_attach(struct device *dev, int fd, struct diag *d)
{
	return attach(backend_of(container_of(dev, struct virtio_device, dev)),
		      fd, d);
}

int vhost_backend_listen(struct device *dev, int fd, struct diag *d)
{
	struct vhost_backend *be =
		backend_of(container_of(dev, struct virtio_device, dev));
	int err;

	be->listener.fd = fd;
	err = event_add(dev->env->loop, &be->listener, EPOLLIN);
	if (!err)
		return 0;
	be->listener.fd = -1;
	return diag_errno(d, -err, "%s: cannot watch the socket", dev->id);
}

void vhost_backend_on_end(struct device *dev, void (*ended)(void *opaque),
			  void *opaque)
{
	struct vhost_backend *be =
		backend_of(container_of(dev, struct virtio_device, dev));

	be->ended = ended;
	be->opaque = opaque;
}

/* ---- transport ---------------------------------------------------------- */

static void rings_free(struct vhost_backend *be)
{
	for (unsigned i = 0; i < be->vd->queue_count; i++) {
		if (be->ring[i].call >= 0)
			close(be->ring[i].call);
		if (be->ring[i].err >= 0)
			close(be->ring[i].err);
	}
	free(be->ring);
	if (be->request >= 0)
		close(be->request);
}

static int rings_new(struct vhost_backend *be, struct diag *d)
{
	unsigned count = be->vd->queue_count;
	bool failed;

	be->ring = calloc(count, sizeof(be->ring[0]));
	if (!be->ring)
		return diag_fail(d, ENOMEM, "out of memory");
	be->request = backend_slot_new();
	failed = be->request < 0;
	for (unsigned i = 0; i < count; i++) {
		struct vring *r = &be->ring[i];

		r->be = be;
		r->index = i;
		r->call = backend_slot_new();
		r->err = backend_slot_new();
		failed |= r->call < 0 || r->err < 0;
	}
	if (!failed)
		return 0;
	rings_free(be);
	return diag_errno(d, EMFILE, "cannot create eventfds");
}

static int backend_realize(struct virtio_device *vd, struct diag *d)
{
	struct vhost_backend *be = backend_of(vd);

	be->vd = vd;
	be->listener = (struct event_source){ -1, listener_ready, be };
	be->front = (struct event_source){ -1, front_ready, be };
	return rings_new(be, d);
}

static void backend_unrealize(struct virtio_device *vd)
{
	struct vhost_backend *be = backend_of(vd);

	disconnect(be);
	if (be->listener.fd >= 0)
		event_del(vd->dev.env->loop, &be->listener);
	rings_free(be);
}

/* The configuration changed; or the device needs a reset, of which each ring's
 * err speaks. */
static void config_interrupt(struct vhost_backend *be)
{
	static const struct vu_header change = { VU_BACKEND_CONFIG_CHANGE,
						 VU_VERSION, 0 };

	if (be->vd->status & VIRTIO_NEEDS_RESET)
		for (unsigned i = 0; i < be->vd->queue_count; i++)
			backend_signal(be->ring[i].err);
	if (atomic_load(&be->can_request))
		vu_send(be->request, &change, NULL, NULL, 0);
}

static void backend_interrupt(struct virtio_device *vd, struct virtio_queue *q)
{
	struct vhost_backend *be = backend_of(vd);

	if (q)
		backend_call(&be->ring[q->index]);
	else
		config_interrupt(be);
}

static void backend_none(struct virtio_device *vd)
{
	(void)vd;
}

/* Kicks are the front end's own eventfds. */
static void backend_doorbells(struct virtio_device *vd, bool on)
{
	(void)vd;
	(void)on;
}

static void backend_save(const struct virtio_device *vd, struct stream_out *out)
{
	(void)vd;
	(void)out;
}

static int backend_load(struct virtio_device *vd, struct stream_in *in,
			struct diag *d)
{
	(void)in;
	return diag_fail(d, EOPNOTSUPP,
			 "%s: a device that is served to others "
			 "cannot be restored",
			 vd->dev.id);
}

const struct virtio_transport virtio_vhost_user = {
	.name = "vhost-user",
	.size_bytes = sizeof(struct vhost_backend),
	.data_only = true,
	.realize = backend_realize,
	.unrealize = backend_unrealize,
	.reset = backend_none,
	.device_reset = backend_none,
	.interrupt = backend_interrupt,
	.doorbells = backend_doorbells,
	.save = backend_save,
	.load = backend_load,
};
