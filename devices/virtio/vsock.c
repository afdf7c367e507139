/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: virtio socket device (VIRTIO 1.3 sec. 5.10), stream sockets
 *
 * AF_VSOCK in the guest is AF_UNIX on the host ("hybrid vsock", as Cloud
 * Hypervisor and Firecracker have it), see vsock-host.c. Connections are in
 * vsock-conn.c; here are the queues.
 *
 * From the guest: each packet of the transmit queue is dealt with at once. Its
 * bytes go from guest RAM into the socket; only what a full socket does not
 * take is copied, at most as much as the credit we gave. So a slow program on
 * the host holds up its own connection and no other.
 *
 * To the guest: connections that have something take turns, one packet each,
 * and read from their socket straight into the guest's receive buffer. Packets
 * without data wait as bits in the connection, so they need no memory.
 *
 * What is wrong is answered with a RST or, if it has no sender that we know,
 * dropped; both are counted. Answers that belong to no connection wait in a
 * ring; when that is full, the guest's packets wait until it takes its
 * answers (sec. 5.10.6.1.2).
 *
 * A restored guest gets the event that all its connections are gone
 * (sec. 5.10.6.7). Connections also end, without a word, when the guest resets
 * the device.
 *
 * Limits: 4096 connections; see vsock-conn.c for memory.
 * Not implemented: seqpacket sockets.
 *
 * Threads: register handlers on vCPU threads, all else on a thread of the
 * device's own, all under virtio_device.lock, which is the only one.
 */
#include "devices/virtio/vsock.h"

#include <errno.h>
#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/base/log.h"

#include "devices/virtio/devices.h"

/* sec. 5.10.6.7 */
#define EVENT_BYTES	      4
#define EVENT_TRANSPORT_RESET 0

static const struct vsock_limits default_limits = {
	.connections = 4096,
	.connect_ns = 2000000000,
	.close_ns = 8000000000,
	.tick_ns = 20000000,
};

static struct vsock *to_vsock(struct virtio_device *vd)
{
	return container_of(vd, struct vsock, vd);
}

void vsock_misused(struct vsock *v, const char *what)
{
	log_guest(&v->bad, "%s: the guest's driver %s: refused", v->vd.dev.id,
		  what);
}

/* ---- headers --------------------------------------------------------------*/

/* sec. 5.10.6 */
enum {
	AT_SRC_CID = 0,
	AT_DST_CID = 8,
	AT_SRC_PORT = 16,
	AT_DST_PORT = 20,
	AT_LEN = 24,
	AT_TYPE = 28,
	AT_OP = 30,
	AT_FLAGS = 32,
	AT_BUF_ALLOC = 36,
	AT_FWD_CNT = 40,
};

static void get_header(const uint8_t *raw, struct vsock_header *h)
{
	*h = (struct vsock_header){
		.src_cid = get_le64(raw + AT_SRC_CID),
		.dst_cid = get_le64(raw + AT_DST_CID),
		.src_port = get_le32(raw + AT_SRC_PORT),
		.dst_port = get_le32(raw + AT_DST_PORT),
		.len = get_le32(raw + AT_LEN),
		.type = get_le16(raw + AT_TYPE),
		.op = get_le16(raw + AT_OP),
		.flags = get_le32(raw + AT_FLAGS),
		.buf_alloc = get_le32(raw + AT_BUF_ALLOC),
		.fwd_cnt = get_le32(raw + AT_FWD_CNT),
	};
}

void vsock_put_header(const struct virtq_chain *chain,
		      const struct vsock_header *h)
{
	uint8_t raw[VSOCK_HEADER_BYTES];

	put_le64(raw + AT_SRC_CID, h->src_cid);
	put_le64(raw + AT_DST_CID, h->dst_cid);
	put_le32(raw + AT_SRC_PORT, h->src_port);
	put_le32(raw + AT_DST_PORT, h->dst_port);
	put_le32(raw + AT_LEN, h->len);
	put_le16(raw + AT_TYPE, h->type);
	put_le16(raw + AT_OP, h->op);
	put_le32(raw + AT_FLAGS, h->flags);
	put_le32(raw + AT_BUF_ALLOC, h->buf_alloc);
	put_le32(raw + AT_FWD_CNT, h->fwd_cnt);
	iov_write(chain->iov + chain->out_count, chain->in_count, 0, raw,
		  sizeof(raw));
}

/* ---- from the guest -------------------------------------------------------*/

/* There is room: transmit() has looked. */
static void answer_rst(struct vsock *v, const struct vsock_header *h)
{
	unsigned at = (v->rst_head + v->rst_count++) % VSOCK_RSTS;

	v->rst[at] = (struct vsock_rst){
		.src_cid = h->dst_cid,
		.src_port = h->dst_port,
		.dst_port = h->src_port,
		.type = h->type,
	};
}

/* What is wrong with a packet, NULL: nothing so far. */
static const char *header_fault(const struct vsock_header *h, uint64_t bytes)
{
	if (h->type != VSOCK_TYPE_STREAM)
		return "sends a packet of an unknown type";
	if (h->dst_cid != VSOCK_HOST_CID)
		return "sends a packet to somebody else than the host";
	if (h->len > bytes)
		return "sends a packet that is shorter than it says";
	return NULL;
}

static void unconnected(struct vsock *v, const struct vsock_header *h)
{
	if (h->op == VSOCK_OP_RST)
		return;
	if (h->op == VSOCK_OP_REQUEST)
		vsock_host_dial(v, h);
	if (!vsock_conn_find(v, h->src_port, h->dst_port))
		answer_rst(v, h);
}

static void refuse(struct vsock *v, const struct vsock_header *h,
		   struct vsock_conn *c, const char *why)
{
	vsock_misused(v, why);
	if (c)
		vsock_conn_reset(v, c);
	else if (h->op != VSOCK_OP_RST)
		answer_rst(v, h);
}

static void take_packet(struct vsock *v, const struct vsock_header *h,
			uint64_t bytes, const struct iovec *data,
			unsigned count)
{
	const char *fault = header_fault(h, bytes);
	struct vsock_conn *c = NULL;

	if (h->src_cid != v->cid) {
		vsock_misused(v, "sends a packet in somebody else's name");
		return;
	}
	if (h->type == VSOCK_TYPE_STREAM && h->dst_cid == VSOCK_HOST_CID)
		c = vsock_conn_find(v, h->src_port, h->dst_port);
	if (fault)
		refuse(v, h, c, fault);
	else if (c)
		vsock_conn_receive(v, c, h, data, count);
	else
		unconnected(v, h);
}

static void take_chain(struct vsock *v, const struct virtq_chain *chain)
{
	uint8_t raw[VSOCK_HEADER_BYTES];
	struct vsock_header h;
	unsigned first;

	if (iov_read(chain->iov, chain->out_count, 0, raw, sizeof(raw)) <
	    sizeof(raw)) {
		vsock_misused(v, "sends a packet without a whole header");
		return;
	}
	get_header(raw, &h);
	first = iov_skip(chain->iov, chain->out_count, sizeof(raw));
	take_packet(v, &h, chain->out_bytes - sizeof(raw), chain->iov + first,
		    chain->out_count - first);
}

static void transmit(struct vsock *v)
{
	struct virtq_chain chain;
	unsigned taken = 0;

	for (;;) {
		v->tx_paused = v->rst_count == VSOCK_RSTS;
		if (v->tx_paused || !virtio_more(&v->vd, VSOCK_TX, &taken) ||
		    !virtio_pop(&v->vd, VSOCK_TX, &chain))
			break;
		take_chain(v, &chain);
		virtio_push(&v->vd, VSOCK_TX, &chain, 0);
	}
	virtio_done(&v->vd, VSOCK_TX);
}

/* ---- to the guest ---------------------------------------------------------*/

static uint32_t send_rst(struct vsock *v, const struct virtq_chain *chain)
{
	const struct vsock_rst *r = &v->rst[v->rst_head];
	const struct vsock_header h = {
		.src_cid = r->src_cid,
		.dst_cid = v->cid,
		.src_port = r->src_port,
		.dst_port = r->dst_port,
		.type = r->type,
		.op = VSOCK_OP_RST,
	};

	vsock_put_header(chain, &h);
	v->rst_head = (v->rst_head + 1) % VSOCK_RSTS;
	v->rst_count--;
	if (v->tx_paused && v->rst_count == VSOCK_RSTS / 2) {
		v->tx_paused = false;
		virtio_kick(&v->vd, VSOCK_TX);
	}
	return VSOCK_HEADER_BYTES;
}

/* One turn. Return: length of the packet, 0: there was none after all. */
static uint32_t send_one(struct vsock *v, const struct virtq_chain *chain)
{
	struct vsock_conn *c;
	uint32_t len;

	v->rst_turn = !v->rst_turn;
	if (v->rst_count && (v->rst_turn || vsock_list_empty(&v->runnable)))
		return send_rst(v, chain);
	c = container_of(v->runnable.next, struct vsock_conn, turn);
	vsock_list_del(&c->turn);
	len = vsock_conn_send(v, c, chain);
	if (c->state != VSOCK_FREE && vsock_conn_wants(c))
		vsock_list_add(&v->runnable, &c->turn);
	return len;
}

static bool have_something(const struct vsock *v)
{
	return v->rst_count || !vsock_list_empty(&v->runnable);
}

/* Fill one buffer. Return: false: it was not used. */
static bool fill(struct vsock *v, const struct virtq_chain *chain)
{
	uint32_t len = 0;

	if (chain->in_bytes < VSOCK_HEADER_BYTES) {
		vsock_misused(v, "offers a buffer too small for a header");
		virtio_push(&v->vd, VSOCK_RX, chain, 0);
		return true;
	}
	while (!len && have_something(v))
		len = send_one(v, chain);
	if (len)
		virtio_push(&v->vd, VSOCK_RX, chain, len);
	else
		virtq_undo(&v->vd.queue[VSOCK_RX].ring, chain);
	return len;
}

void vsock_send(struct vsock *v)
{
	struct virtq_chain chain;
	unsigned taken = 0;

	if (!(v->vd.status & VIRTIO_DRIVER_OK))
		return; /* there may be no queues yet */
	while (have_something(v) && virtio_more(&v->vd, VSOCK_RX, &taken) &&
	       virtio_pop(&v->vd, VSOCK_RX, &chain) && fill(v, &chain))
		;
	virtio_done(&v->vd, VSOCK_RX);
}

/* ---- events ---------------------------------------------------------------*/

int vsock_send_reset_event(struct virtio_device *vd)
{
	uint8_t event[EVENT_BYTES];
	struct virtq_chain chain;
	uint32_t len;

	put_le32(event, EVENT_TRANSPORT_RESET);
	if (!virtio_pop(vd, VSOCK_EVENT, &chain))
		return 0;
	len = (uint32_t)iov_write(chain.iov + chain.out_count, chain.in_count,
				  0, event, sizeof(event));
	virtio_push(vd, VSOCK_EVENT, &chain, len);
	virtio_done(vd, VSOCK_EVENT);
	return len == sizeof(event) ? 1 : -EINVAL;
}

static void send_event(struct vsock *v)
{
	int sent = v->reset_event ? vsock_send_reset_event(&v->vd) : 0;

	if (sent > 0)
		v->reset_event = false;
	if (sent < 0)
		vsock_misused(v, "offers a buffer too small for an event");
}

/* ---- device ---------------------------------------------------------------*/

static void vsock_notify(struct virtio_device *vd, unsigned queue)
{
	struct vsock *v = to_vsock(vd);

	if (queue == VSOCK_TX)
		transmit(v);
	if (queue == VSOCK_EVENT)
		send_event(v);
	else
		vsock_send(v);
}

static void vsock_reset(struct virtio_device *vd)
{
	struct vsock *v = to_vsock(vd);

	vsock_conns_drop(v);
	v->rst_head = v->rst_count = 0;
	v->tx_paused = v->reset_event = false;
}

static uint64_t vsock_features(struct virtio_device *vd)
{
	(void)vd;
	return VSOCK_F_STREAM;
}

static void vsock_get_config(struct virtio_device *vd, uint8_t *config)
{
	put_le64(config, to_vsock(vd)->cid);
}

static void vsock_save(const struct virtio_device *vd, struct stream_out *out)
{
	const struct vsock *v = (const void *)vd; /* its first member */

	stream_put_u32(out, atomic_load(&v->next_port));
}

/* Our connections stayed behind; a driver that runs has to be told. */
static int vsock_load(struct virtio_device *vd, struct stream_in *in)
{
	struct vsock *v = to_vsock(vd);
	uint32_t next_port = stream_get_u32(in);

	if (in->failed)
		return -EBADMSG;
	v->next_port = next_port;
	v->reset_event = vd->status & VIRTIO_DRIVER_OK;
	return 0;
}

static struct event_loop *vsock_loop(struct virtio_device *vd, unsigned queue)
{
	struct vsock *v = to_vsock(vd);

	(void)queue;
	return v->thread ? iothread_loop(v->thread) : NULL;
}

static void vsock_halt(struct virtio_device *vd)
{
	iothread_stop(to_vsock(vd)->thread);
}

static void vsock_release(struct vsock *v)
{
	iothread_stop(v->thread);
	vsock_host_close(v);
	vsock_conns_free(v);
	iothread_free(v->thread);
}

static int vsock_realize(struct virtio_device *vd, struct diag *d)
{
	const struct vsock_config *cfg = vd->dev.item;
	struct vsock *v = to_vsock(vd);
	int err;

	v->poll_fd = -1;
	v->listener = UNIX_LISTENER_INIT;
	v->cid = cfg->cid;
	v->path = cfg->socket;
	/* No RAM: the machine is only described, nothing may be created. */
	if (vd->dev.env->tables_only)
		return 0;
	v->limits = default_limits;
	err = vsock_conns_new(v, d);
	if (!err)
		err = iothread_new(&v->thread, vd->dev.id, NULL, d);
	if (!err)
		err = vsock_host_open(v, d);
	if (err)
		vsock_release(v);
	return err;
}

static void vsock_unrealize(struct virtio_device *vd)
{
	vsock_release(to_vsock(vd));
}

static const struct virtio_class vsock_virtio = {
	.id = VIRTIO_ID_VSOCK,
	.pci_class = VSOCK_PCI_CLASS,
	.in_order = true,
	.queue_count = VSOCK_QUEUES,
	.queue_size = VSOCK_QUEUE_SIZE,
	.config_bytes = VSOCK_CONFIG_BYTES,
	.realize = vsock_realize,
	.unrealize = vsock_unrealize,
	.save = vsock_save,
	.load = vsock_load,
	.reset = vsock_reset,
	.get_features = vsock_features,
	.get_config = vsock_get_config,
	.notify = vsock_notify,
	.loop = vsock_loop,
	.halt = vsock_halt,
};

const struct device_class virtio_vsock_class = {
	.name = "virtio-vsock",
	.size_bytes = sizeof(struct vsock),
	.data = &vsock_virtio,
	VIRTIO_DEVICE_CLASS,
};
