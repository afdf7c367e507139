/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: virtio network device (VIRTIO 1.3 sec. 5.1)
 *
 * A card with one or more pairs of queues, each served by a thread of its own,
 * in front of a back end (devices/net/net.h). The device offers what the back
 * end and the user's offload_ switches allow. The driver may use fewer pairs
 * than there are; it begins with one.
 *
 * After the machine was paused (so also after it came from a snapshot or
 * another host) the card announces itself: by a reverse ARP request to the
 * host's side, from which bridges learn where it is now, and by GUEST_ANNOUNCE,
 * upon which the driver does the same for its VLANs and addresses.
 *
 * Served by vhost-user there is no control queue: the front end answers it. All
 * pairs are known then, and those are in use whose rings run.
 *
 * With vhost=on the kernel moves the packets between the rings and a tap, and
 * the threads are its own; all else is as it was.
 *
 * Threads and locks: net-impl.h. Not implemented: hash report, RSS, RSC,
 * standby, speed and duplex; the link is always up.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "vmm/base/bytes.h"
#include "vmm/base/log.h"

#include "devices/virtio/devices.h"
#include "devices/virtio/net-impl.h"

/* VIRTIO 1.3 sec. 5.1.4 */
enum {
	CONFIG_MAC = 0,
	CONFIG_STATUS = 6,
	CONFIG_PAIRS = 8,
	CONFIG_MTU = 10,
	CONFIG_BYTES = 12,
};

#define NET_F_ALWAYS (NET_F_MAC | NET_F_STATUS | NET_F_MRG_RXBUF)
#define NET_F_CTRLS                                            \
	(NET_F_CTRL_VQ | NET_F_CTRL_RX | NET_F_CTRL_RX_EXTRA | \
	 NET_F_CTRL_MAC_ADDR | NET_F_GUEST_ANNOUNCE |          \
	 NET_F_CTRL_GUEST_OFFLOADS)

#define NET_F_CSUMS (NET_F_CSUM | NET_F_GUEST_CSUM)
#define NET_F_UFOS  (NET_F_GUEST_UFO | NET_F_HOST_UFO)
#define NET_F_TSOS                                               \
	(NET_F_GUEST_TSO4 | NET_F_GUEST_TSO6 | NET_F_GUEST_ECN | \
	 NET_F_HOST_TSO4 | NET_F_HOST_TSO6 | NET_F_HOST_ECN)

/* ---- queues -------------------------------------------------------------- */

static bool has_control(const struct net *net)
{
	return !net->vd.transport->data_only;
}

/* Pairs that the driver knows of (sec. 5.1.2). */
static unsigned known_pairs(const struct net *net)
{
	return net->vd.features & NET_F_MQ || !has_control(net)
		       ? net->backend->pair_count
		       : 1;
}

/* Behind them. */
static unsigned ctrl_queue(const struct net *net)
{
	return 2 * known_pairs(net);
}

/* NULL: @queue is the control queue, or none. */
static struct net_pair *pair_of(const struct net *net, unsigned queue)
{
	return queue / 2 < known_pairs(net) ? net->pair[queue / 2] : NULL;
}

static void net_notify(struct virtio_device *vd, unsigned queue)
{
	struct net *net = to_net(vd);
	struct net_pair *p = pair_of(net, queue);

	if (queue == ctrl_queue(net))
		net_control(net, queue);
	if (!p || !p->thread)
		return;
	if (queue % 2) {
		net_transmit(p);
	} else {
		p->readable = true;
		net_receive(p);
	}
}

/* Without a control queue: the first pairs that are started, at least one. */
static void use_started(struct net *net)
{
	unsigned pairs = 0;

	if (has_control(net))
		return;
	while (pairs < net->backend->pair_count && net->pair[pairs]->started)
		pairs++;
	pthread_mutex_lock(&net->lock);
	if (MAX(pairs, 1u) != net->pairs)
		net_use_pairs(net, MAX(pairs, 1u));
	pthread_mutex_unlock(&net->lock);
}

/* The descriptor is watched while either direction is started. */
static void net_start(struct virtio_device *vd, unsigned queue)
{
	struct net_pair *p = pair_of(to_net(vd), queue);
	bool first;

	if (p && !p->thread) {
		net_vhost_start(p, queue);
		return;
	}
	first = p && !p->started++;
	use_started(to_net(vd));
	if (first)
		event_add(iothread_loop(p->thread), &p->source,
			  EPOLLIN | EPOLLOUT | EPOLLET);
}

/* Between two calls only staged buffers are in flight. The handler of the
 * descriptor may be running, but has nothing to do any more. */
static void net_stop(struct virtio_device *vd, unsigned queue)
{
	struct net_pair *p = pair_of(to_net(vd), queue);

	if (!p)
		return;
	if (!p->thread) {
		net_vhost_stop(p, queue);
		return;
	}
	virtio_queue_lock(vd, queue);
	(queue % 2 ? net_tx_stop : net_rx_stop)(p);
	virtio_queue_unlock(vd, queue);
	if (!--p->started)
		event_del(iothread_loop(p->thread), &p->source);
	use_started(to_net(vd));
}

static void net_call_changed(struct virtio_device *vd, unsigned queue)
{
	struct net_pair *p = pair_of(to_net(vd), queue);

	if (p && !p->thread)
		net_vhost_call_changed(p, queue);
}

/* Edge-triggered: once for each time that something has changed. */
static void backend_ready(void *opaque, uint32_t events)
{
	struct net_pair *p = opaque;
	struct virtio_device *vd = &p->net->vd;

	if (events & ~(uint32_t)EPOLLOUT) {
		virtio_queue_lock(vd, rx_queue(p));
		p->readable = true;
		net_receive(p);
		virtio_queue_unlock(vd, rx_queue(p));
	}
	if (events & EPOLLOUT) {
		virtio_queue_lock(vd, tx_queue(p));
		if (p->blocked) {
			p->blocked = false;
			net_transmit(p);
		}
		virtio_queue_unlock(vd, tx_queue(p));
	}
}

static void rx_tokens(void *opaque)
{
	struct net_pair *p = opaque;

	virtio_kick(&p->net->vd, rx_queue(p));
}

static void tx_tokens(void *opaque)
{
	struct net_pair *p = opaque;

	virtio_kick(&p->net->vd, tx_queue(p));
}

static struct event_loop *net_loop(struct virtio_device *vd, unsigned queue)
{
	struct net *net = to_net(vd);
	struct net_pair *p = queue / 2 < net->backend->pair_count
				     ? net->pair[queue / 2]
				     : NULL;

	return p && p->thread ? iothread_loop(p->thread) : NULL;
}

/* ---- features and configuration ------------------------------------------ */

static uint64_t net_features(struct virtio_device *vd)
{
	const struct net *net = to_net(vd);
	uint64_t allowed = NET_F_CSUMS |
			   (net->config->offload_ufo ? NET_F_UFOS : 0) |
			   (net->config->offload_tso ? NET_F_TSOS : 0);

	/* sec. 5.1.3.1: segments and fragments need checksums. */
	if (!net->config->offload_csum)
		allowed = 0;
	return NET_F_ALWAYS | (has_control(net) ? NET_F_CTRLS : 0) |
	       (net->config->mtu ? NET_F_MTU : 0) |
	       (net->backend->pair_count > 1 ? NET_F_MQ : 0) |
	       (net->backend->features & allowed);
}

static uint64_t net_limit(struct virtio_device *vd)
{
	return vhost_kernel_limit(&to_net(vd)->pair[0]->vhost);
}

/* sec. 5.1.3.1: a feature and those of which it requires at least one. What
 * requires a control queue is not a matter of who has none. */
static const struct {
	uint64_t feature, one_of;
} requirements[] = {
	{ NET_F_GUEST_TSO4, NET_F_GUEST_CSUM },
	{ NET_F_GUEST_TSO6, NET_F_GUEST_CSUM },
	{ NET_F_GUEST_ECN, NET_F_GUEST_TSO4 | NET_F_GUEST_TSO6 },
	{ NET_F_GUEST_UFO, NET_F_GUEST_CSUM },
	{ NET_F_HOST_TSO4, NET_F_CSUM },
	{ NET_F_HOST_TSO6, NET_F_CSUM },
	{ NET_F_HOST_ECN, NET_F_HOST_TSO4 | NET_F_HOST_TSO6 },
	{ NET_F_HOST_UFO, NET_F_CSUM },
	{ NET_F_CTRL_RX, NET_F_CTRL_VQ },
	{ NET_F_CTRL_RX_EXTRA, NET_F_CTRL_VQ },
	{ NET_F_GUEST_ANNOUNCE, NET_F_CTRL_VQ },
	{ NET_F_MQ, NET_F_CTRL_VQ },
	{ NET_F_CTRL_MAC_ADDR, NET_F_CTRL_VQ },
};

static bool net_set_features(struct virtio_device *vd, uint64_t features)
{
	struct net *net = to_net(vd);
	struct net_backend *b = net->backend;

	for (size_t i = 0; i < ARRAY_SIZE(requirements); i++)
		if (features & requirements[i].feature &&
		    !(features & requirements[i].one_of) &&
		    (has_control(net) ||
		     requirements[i].one_of != NET_F_CTRL_VQ))
			return false;
	if (b->ops->set_offloads(b, features & NET_F_GUEST_OFFLOADS))
		return false;
	pthread_mutex_lock(&net->lock);
	net->offloads = features & NET_F_GUEST_OFFLOADS;
	pthread_mutex_unlock(&net->lock);
	return true;
}

static void net_get_config(struct virtio_device *vd, uint8_t *config)
{
	struct net *net = to_net(vd);

	pthread_mutex_lock(&net->lock);
	memcpy(config + CONFIG_MAC, net->now_mac, MAC_BYTES);
	put_le16(config + CONFIG_STATUS, net->status);
	put_le16(config + CONFIG_PAIRS, (uint16_t)net->backend->pair_count);
	put_le16(config + CONFIG_MTU, (uint16_t)net->config->mtu);
	pthread_mutex_unlock(&net->lock);
}

/* Return: 0, or -errno of the back end, which is only said: a reset cannot
 * fail. */
static int use(struct net *net, unsigned pairs, uint64_t offloads)
{
	struct net_backend *b = net->backend;
	int err = b->ops->set_pairs(b, pairs);

	if (!err)
		err = b->ops->set_offloads(b, offloads);
	if (err)
		log_warn("%s: the host's side cannot be set up: %s",
			 net->vd.dev.id, strerror(-err));
	net->pairs = pairs;
	net->offloads = offloads;
	return err;
}

static void net_reset(struct virtio_device *vd)
{
	struct net *net = to_net(vd);

	pthread_mutex_lock(&net->lock);
	memcpy(net->now_mac, net->mac, MAC_BYTES);
	net->status = NET_S_LINK_UP;
	net->rx_modes = 0;
	use(net, 1, 0);
	pthread_mutex_unlock(&net->lock);
}

/* ---- announcing -----------------------------------------------------------
 */

/* RFC 903: who has my address? Nobody answers. */
static void send_rarp(struct net *net)
{
	static const uint8_t head[] = { 0x80, 0x35, 0, 1, 8, 0, 6, 4, 0, 3 };
	enum { SRC = 6, HEAD = 12, SENDER = 22, TARGET = 32, LEN = 60 };
	uint8_t packet[NET_HDR_BYTES + LEN] = { 0 };
	uint8_t *frame = packet + NET_HDR_BYTES;
	struct net_backend *b = net->backend;
	struct iovec iov = { packet, sizeof(packet) };

	memset(frame, 0xff, MAC_BYTES);
	memcpy(frame + SRC, net->now_mac, MAC_BYTES);
	memcpy(frame + HEAD, head, sizeof(head));
	memcpy(frame + SENDER, net->now_mac, MAC_BYTES);
	memcpy(frame + TARGET, net->now_mac, MAC_BYTES);
	b->ops->send(b, 0, &iov, 1);
}

static void net_resume(struct device *dev)
{
	struct net *net = container_of(dev, struct net, vd.dev);
	bool driver;

	virtio_resume(dev);
	pthread_mutex_lock(&net->lock);
	send_rarp(net);
	driver = net->vd.features & NET_F_GUEST_ANNOUNCE &&
		 atomic_load(&net->vd.status) & VIRTIO_DRIVER_OK;
	net->status |= driver ? NET_S_ANNOUNCE : 0;
	pthread_mutex_unlock(&net->lock);
	if (driver)
		virtio_config_changed(&net->vd);
}

/* ---- state ----------------------------------------------------------------
 */

static void net_save(const struct virtio_device *vd, struct stream_out *out)
{
	const struct net *net = (const void *)vd;

	for (unsigned i = 0; i < MAC_BYTES; i++)
		stream_put_u8(out, net->now_mac[i]);
	stream_put_u16(out, net->status);
	stream_put_u8(out, net->rx_modes);
	stream_put_u16(out, (uint16_t)net->pairs);
	stream_put_u64(out, net->offloads);
}

static int net_load(struct virtio_device *vd, struct stream_in *in)
{
	struct net *net = to_net(vd);
	uint8_t mac[MAC_BYTES], rx_modes;
	uint64_t offloads;
	uint16_t status;
	unsigned pairs;

	for (unsigned i = 0; i < MAC_BYTES; i++)
		mac[i] = stream_get_u8(in);
	status = stream_get_u16(in);
	rx_modes = stream_get_u8(in);
	pairs = stream_get_u16(in);
	offloads = stream_get_u64(in);
	if (in->failed || mac_is_multicast(mac) || !pairs ||
	    pairs > net->backend->pair_count || rx_modes >> 6 ||
	    status & ~(NET_S_LINK_UP | NET_S_ANNOUNCE) ||
	    offloads & ~(vd->features & NET_F_GUEST_OFFLOADS))
		return -EBADMSG;
	memcpy(net->now_mac, mac, MAC_BYTES);
	net->status = status;
	net->rx_modes = rx_modes;
	return use(net, pairs, offloads) ? -EBADMSG : 0;
}

/* ---- life ------------------------------------------------------------------
 */

static void net_halt(struct virtio_device *vd)
{
	struct net *net = to_net(vd);

	for (unsigned i = 0; i < net->backend->pair_count; i++)
		iothread_stop(net->pair[i]->thread);
}

static void pair_free(struct net_pair *p)
{
	if (!p)
		return;
	event_timer_release(&p->rx_timer);
	event_timer_release(&p->tx_timer);
	iothread_free(p->thread);
	net_vhost_close(p);
	free(p);
}

static int pair_start(struct net_pair *p, struct diag *d)
{
	char name[CONFIG_ID_MAX + 16];
	struct event_loop *loop;
	int err;

	snprintf(name, sizeof(name), "%s_qp%u", p->net->vd.dev.id, p->index);
	err = iothread_new(&p->thread, name, NULL, d);
	if (err)
		return err;
	loop = iothread_loop(p->thread);
	err = event_timer_init(&p->rx_timer, loop, rx_tokens, p);
	if (!err)
		err = event_timer_init(&p->tx_timer, loop, tx_tokens, p);
	return err ? diag_errno(d, -err, "cannot make a timer") : 0;
}

static int pair_new(struct net *net, unsigned index, struct diag *d)
{
	struct net_pair *p = calloc(1, sizeof(*p));

	if (!p)
		return diag_fail(d, ENOMEM, "out of memory");
	net->pair[index] = p;
	p->net = net;
	p->index = index;
	p->source.fd = net->backend->fd[index];
	p->source.opaque = p;
	p->source.ready = backend_ready;
	return net->config->vhost ? net_vhost_open(p, d) : pair_start(p, d);
}

static int pairs_new(struct net *net, struct diag *d)
{
	unsigned count = net->backend->pair_count;
	int err = 0;

	net->pair = calloc(count, sizeof(struct net_pair *));
	if (!net->pair)
		return diag_fail(d, ENOMEM, "out of memory");
	for (unsigned i = 0; i < count && !err; i++)
		err = pair_new(net, i, d);
	return err;
}

static void net_unrealize(struct virtio_device *vd)
{
	struct net *net = to_net(vd);

	for (unsigned i = 0; net->pair && i < net->backend->pair_count; i++)
		pair_free(net->pair[i]);
	free(net->pair);
	net->backend->begun = vd->dev.env->begun;
	net_backend_free(net->backend);
	rate_limiter_release(&net->rx_limit);
	rate_limiter_release(&net->tx_limit);
	pthread_mutex_destroy(&net->lock);
}

static void choose_mac(struct net *net)
{
	if (!net->config->mac || !mac_parse(net->config->mac, net->mac))
		mac_random(net->mac);
}

static int net_realize(struct virtio_device *vd, struct diag *d)
{
	struct net *net = to_net(vd);
	int err;

	net->config = vd->dev.item;
	err = (vd->dev.env->tables_only ? net_backend_none : net_backend_open)(
		&net->backend, net->config, d);
	if (err)
		return err;
	pthread_mutex_init(&net->lock, NULL);
	rate_limiter_init(&net->rx_limit, &net->config->rate);
	rate_limiter_init(&net->tx_limit, &net->config->rate);
	choose_mac(net);
	vd->queue_count =
		2 * net->backend->pair_count + (has_control(net) ? 1 : 0);
	vd->queue_size = virtio_queue_most(vd, net->config->queue_size);
	err = pairs_new(net, d);
	if (err)
		net_unrealize(vd);
	return err;
}

static const struct virtio_class net_virtio = {
	.id = VIRTIO_ID_NET,
	.pci_class = 0x020000, /* Ethernet controller */
	.queue_count = 3,
	.queue_size = 256,
	.config_bytes = CONFIG_BYTES,
	.parallel = true,
	.in_order = true,
	.realize = net_realize,
	.unrealize = net_unrealize,
	.loop = net_loop,
	.halt = net_halt,
	.save = net_save,
	.load = net_load,
	.reset = net_reset,
	.get_features = net_features,
	.set_features = net_set_features,
	.get_config = net_get_config,
	.notify = net_notify,
	.limit = net_limit,
	.start = net_start,
	.stop = net_stop,
	.call_changed = net_call_changed,
};

/* As VIRTIO_DEVICE_CLASS, but for resume. */
const struct device_class virtio_net_class = {
	.name = "virtio-net",
	.size_bytes = sizeof(struct net),
	.data = &net_virtio,
	.realize = virtio_realize,
	.describe = virtio_describe,
	.reset = virtio_power_on,
	.save = virtio_save,
	.load = virtio_load,
	.unrealize = virtio_unrealize,
	.pause = virtio_pause,
	.resume = net_resume,
};
