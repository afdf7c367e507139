/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: virtio socket device whose packets the kernel moves (vhost=on)
 *
 * AF_VSOCK in the guest is AF_VSOCK on the host: programs there connect to the
 * guest's cid=, and the guest's programs to CID 2. /dev/vhost-vsock works on
 * the two rings of packets, together or not at all; the event queue is ours, by
 * which a restored guest learns that its connections are gone (VIRTIO 1.3 sec.
 * 5.10.6.7). What the kernel can do besides streams, seqpacket sockets, is
 * offered.
 *
 * When the guest resets the device, the host's ends of its connections stay
 * until they say something: the kernel has no request to end them.
 *
 * Threads: see virtio.h; the kernel's is none of ours.
 */
#include "vmm/base/bytes.h"
#include "vmm/base/log.h"

#include "devices/vhost/kernel.h"
#include "devices/virtio/devices.h"
#include "devices/virtio/vsock.h"

#define BOTH_RINGS (1u << VSOCK_RX | 1u << VSOCK_TX)

/**
 * struct vhost_vsock - see the DOC block
 * @running: the kernel works on both rings
 * @reset_event: the driver is owed the event
 */
struct vhost_vsock {
	struct virtio_device vd;
	uint64_t cid;
	struct vhost_kernel vhost;
	bool running;
	atomic_bool reset_event;
};

static struct vhost_vsock *to_vhost_vsock(struct virtio_device *vd)
{
	return container_of(vd, struct vhost_vsock, vd);
}

/* A kick that came before counts for nothing, so there is another. */
static int run(struct vhost_vsock *v, struct diag *d)
{
	int err = vhost_kernel_run(&v->vhost, true, d);

	if (err)
		return err;
	v->running = true;
	virtio_kick(&v->vd, VSOCK_RX);
	virtio_kick(&v->vd, VSOCK_TX);
	return 0;
}

static void vhost_vsock_start(struct virtio_device *vd, unsigned queue)
{
	struct vhost_vsock *v = to_vhost_vsock(vd);
	struct diag d = DIAG_INIT;
	int err;

	if (queue == VSOCK_EVENT)
		return;
	err = vhost_kernel_start(&v->vhost, queue, &vd->queue[queue], &d);
	if (!err && v->vhost.started == BOTH_RINGS)
		err = run(v, &d);
	if (err)
		vhost_kernel_fail(&v->vhost, &d);
}

static void vhost_vsock_stop(struct virtio_device *vd, unsigned queue)
{
	struct vhost_vsock *v = to_vhost_vsock(vd);

	if (queue == VSOCK_EVENT)
		return;
	if (v->running)
		vhost_kernel_run(&v->vhost, false, NULL);
	v->running = false;
	vhost_kernel_stop(&v->vhost, queue, &vd->queue[queue]);
}

static void vhost_vsock_call_changed(struct virtio_device *vd, unsigned queue)
{
	struct vhost_vsock *v = to_vhost_vsock(vd);
	struct diag d = DIAG_INIT;

	if (queue != VSOCK_EVENT &&
	    vhost_kernel_call(&v->vhost, queue, &vd->queue[queue], &d))
		vhost_kernel_fail(&v->vhost, &d);
}

static void vhost_vsock_notify(struct virtio_device *vd, unsigned queue)
{
	struct vhost_vsock *v = to_vhost_vsock(vd);
	int sent;

	if (queue != VSOCK_EVENT || !v->reset_event)
		return;
	sent = vsock_send_reset_event(vd);
	if (sent > 0)
		v->reset_event = false;
	if (sent < 0)
		log_guest(&vd->misuse,
			  "%s: the guest's driver offers a buffer too small "
			  "for an event: refused",
			  vd->dev.id);
}

static void vhost_vsock_reset(struct virtio_device *vd)
{
	to_vhost_vsock(vd)->reset_event = false;
}

static uint64_t vhost_vsock_features(struct virtio_device *vd)
{
	return VSOCK_F_STREAM |
	       (to_vhost_vsock(vd)->vhost.features & VSOCK_F_SEQPACKET);
}

static uint64_t vhost_vsock_limit(struct virtio_device *vd)
{
	return vhost_kernel_limit(&to_vhost_vsock(vd)->vhost);
}

static void vhost_vsock_get_config(struct virtio_device *vd, uint8_t *config)
{
	put_le64(config, to_vhost_vsock(vd)->cid);
}

/* Connections stayed behind; a driver that runs has to be told. */
static int vhost_vsock_load(struct virtio_device *vd, struct stream_in *in)
{
	(void)in;
	to_vhost_vsock(vd)->reset_event = vd->status & VIRTIO_DRIVER_OK;
	return 0;
}

static int vhost_vsock_realize(struct virtio_device *vd, struct diag *d)
{
	const struct vsock_config *c = vd->dev.item;
	struct vhost_vsock *v = to_vhost_vsock(vd);
	int err;

	v->cid = c->cid;
	if (vd->dev.env->tables_only)
		return 0;
	err = vhost_kernel_open(&v->vhost, vd, "--vsock vhost=on",
				"/dev/vhost-vsock", "vhost_vsock", d);
	if (err)
		return err;
	err = vhost_kernel_cid(&v->vhost, v->cid, d);
	if (err)
		vhost_kernel_close(&v->vhost);
	return err;
}

static void vhost_vsock_unrealize(struct virtio_device *vd)
{
	vhost_kernel_close(&to_vhost_vsock(vd)->vhost);
}

static const struct virtio_class vhost_vsock_virtio = {
	.id = VIRTIO_ID_VSOCK,
	.pci_class = VSOCK_PCI_CLASS,
	.parallel = true,
	.in_order = true,
	.queue_count = VSOCK_QUEUES,
	.queue_size = VSOCK_QUEUE_SIZE,
	.config_bytes = VSOCK_CONFIG_BYTES,
	.realize = vhost_vsock_realize,
	.unrealize = vhost_vsock_unrealize,
	.load = vhost_vsock_load,
	.reset = vhost_vsock_reset,
	.get_features = vhost_vsock_features,
	.get_config = vhost_vsock_get_config,
	.notify = vhost_vsock_notify,
	.limit = vhost_vsock_limit,
	.start = vhost_vsock_start,
	.stop = vhost_vsock_stop,
	.call_changed = vhost_vsock_call_changed,
};

const struct device_class vhost_vsock_class = {
	.name = "vhost-vsock",
	.size_bytes = sizeof(struct vhost_vsock),
	.data = &vhost_vsock_virtio,
	VIRTIO_DEVICE_CLASS,
};
