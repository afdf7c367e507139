/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: virtio network device: packets to the guest (VIRTIO 1.3 sec. 5.1.6.3)
 *
 * Packets are read straight into the guest's buffers. How long one is shows
 * only afterwards, so before each read as many buffers are staged as the
 * longest packet takes (with MRG_RXBUF; else one); what a packet leaves over
 * stays staged for the next. When the driver has fewer, the end of the packet
 * is read into memory of our own, from where the whole of it is copied when
 * there are more: the only copy. A driver that offers too little several times
 * loses the packet, and one without MRG_RXBUF at once.
 *
 * Nothing is polled: without buffers the descriptor is left alone until the
 * driver notifies, without packets until it becomes readable.
 *
 * Limits: a buffer of more than IOV_MAX - 1 pieces goes back unused.
 */
#include <errno.h>
#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/base/log.h"

#include "devices/virtio/net-impl.h"

/* A driver refills in batches; more than that is ours to be patient with. */
#define HELD_TRIES_MAX 8

static struct virtio_device *vd_of(struct net_pair *p)
{
	return &p->net->vd;
}

static bool mergeable(const struct net_pair *p)
{
	return p->net->vd.features & NET_F_MRG_RXBUF;
}

static void drop(struct net_pair *p, const char *why)
{
	log_guest(&p->net->rx_dropped, "%s: a packet for the guest is lost: %s",
		  p->net->vd.dev.id, why);
}

/* ---- buffers ------------------------------------------------------------- */

/* Bytes that the next packet can have. */
static uint64_t wanted(const struct net_pair *p)
{
	uint32_t mtu = MAX(p->net->backend->mtu, 1500u);

	if (!mergeable(p))
		return 1;
	if (p->net->vd.features &
	    (NET_F_GUEST_TSO4 | NET_F_GUEST_TSO6 | NET_F_GUEST_UFO))
		return PACKET_BYTES_MAX;
	return NET_HDR_BYTES + FRAME_BYTES_MIN + 4 + (uint64_t)mtu;
}

/* No packet fits into it: its header must be in one buffer. */
static bool useless(const struct virtq_chain *c)
{
	return c->in_bytes < NET_HDR_BYTES || c->in_count >= IOV_MAX;
}

static bool stage_room(const struct rx_stage *s, const struct virtq_chain *c)
{
	return s->iov_count + c->in_count < IOV_MAX;
}

static void stage_add(struct rx_stage *s, const struct virtq_chain *c)
{
	memcpy(s->iov + s->iov_count, c->iov + c->out_count,
	       c->in_count * sizeof(s->iov[0]));
	s->chain[s->chain_count++] = *c;
	s->iov_count += c->in_count;
	s->bytes += c->in_bytes;
}

/* Forget the first @count chains, which were used. */
static void stage_use(struct rx_stage *s, unsigned count)
{
	unsigned iovs = 0;

	for (unsigned i = 0; i < count; i++) {
		iovs += s->chain[i].in_count;
		s->bytes -= s->chain[i].in_bytes;
	}
	s->chain_count -= count;
	s->iov_count -= iovs;
	memmove(s->chain, s->chain + count,
		s->chain_count * sizeof(s->chain[0]));
	memmove(s->iov, s->iov + iovs, s->iov_count * sizeof(s->iov[0]));
}

/*
 * Have @bytes at hand. Return: true, or false if the driver has offered less;
 * @full tells whether it is us who cannot take more.
 */
static bool stage_fill(struct net_pair *p, uint64_t bytes, bool *full)
{
	struct virtio_device *vd = vd_of(p);
	struct rx_stage *s = &p->stage;
	struct virtq_chain c;
	unsigned returned = 0;

	*full = false;
	while (s->bytes < bytes) {
		*full = s->chain_count == RX_CHAINS;
		if (*full || returned == VIRTIO_KICK_BUDGET ||
		    !virtio_pop(vd, rx_queue(p), &c))
			return false;
		/* Only the newest goes back into the ring, and only the oldest
		 * to the driver. */
		*full = s->chain_count && (useless(&c) || !stage_room(s, &c));
		if (*full) {
			virtq_undo(&vd->queue[rx_queue(p)].ring, &c);
			return false;
		}
		if (useless(&c)) {
			virtio_push(vd, rx_queue(p), &c, 0);
			returned++;
			log_guest(&vd->misuse,
				  "%s: the guest's driver offers a buffer that "
				  "holds no packet: ignored",
				  vd->dev.id);
			continue;
		}
		stage_add(s, &c);
	}
	return true;
}

void net_rx_stop(struct net_pair *p)
{
	struct virtq *ring = &vd_of(p)->queue[rx_queue(p)].ring;
	struct rx_stage *s = &p->stage;

	while (s->chain_count)
		virtq_undo(ring, &s->chain[--s->chain_count]);
	s->iov_count = 0;
	s->bytes = 0;
	p->held_bytes = 0;
	event_timer_set(&p->rx_timer, 0, 0);
}

/* ---- packets ------------------------------------------------------------- */

/* The first @len staged bytes are a packet: give its buffers to the driver,
 * all at once (sec. 5.1.6.4.1). */
static void deliver(struct net_pair *p, size_t len)
{
	struct virtio_device *vd = vd_of(p);
	struct rx_stage *s = &p->stage;
	struct virtq_used used[RX_CHAINS];
	unsigned count = 0;
	uint8_t number[2];
	size_t left = len;

	while (left) {
		size_t n = MIN(left, s->chain[count].in_bytes);

		used[count] = (struct virtq_used){ s->chain[count].head,
						   (uint32_t)n };
		left -= n;
		count++;
	}
	put_le16(number, (uint16_t)count);
	iov_write(s->iov, s->iov_count, HDR_NUM_BUFFERS, number,
		  sizeof(number));
	virtio_push_all(vd, rx_queue(p), used, count);
	stage_use(s, count);
	rate_limiter_charge(&p->net->rx_limit, len, 1);
}

/* Keep a packet of which @staged bytes are in the guest's buffers and the rest
 * in p->held already. */
static void hold(struct net_pair *p, size_t staged, size_t len)
{
	iov_read(p->stage.iov, p->stage.iov_count, 0, p->held, staged);
	p->held_bytes = len;
	p->held_tries = 0;
}

/* Return: true if it is gone. */
static bool deliver_held(struct net_pair *p)
{
	bool full;

	if (stage_fill(p, p->held_bytes, &full)) {
		iov_write(p->stage.iov, p->stage.iov_count, 0, p->held,
			  p->held_bytes);
		deliver(p, p->held_bytes);
	} else if (full || ++p->held_tries == HELD_TRIES_MAX) {
		drop(p, "there are not enough buffers for it");
	} else {
		return false;
	}
	p->held_bytes = 0;
	return true;
}

/* The staged buffers, and ours behind them. */
static ssize_t read_packet(struct net_pair *p)
{
	struct net_backend *b = p->net->backend;
	struct rx_stage *s = &p->stage;
	unsigned count = s->iov_count;

	if (s->bytes < sizeof(p->held))
		s->iov[count++] = (struct iovec){
			.iov_base = p->held + s->bytes,
			.iov_len = sizeof(p->held) - s->bytes,
		};
	return b->ops->recv(b, p->index, s->iov, (int)count);
}

static void read_failed(struct net_pair *p, int err)
{
	p->readable = false;
	if (err == EAGAIN || err == EINTR)
		return;
	/* A queue that the driver does not use is detached. */
	if (err != EBADFD)
		log_guest(&p->net->host_dropped, "%s: cannot read packets: %s",
			  p->net->vd.dev.id, strerror(err));
}

/* Return: false to wait for something. */
static bool receive_one(struct net_pair *p)
{
	uint64_t wait_ns;
	ssize_t len;
	bool full;

	if (p->held_bytes)
		return deliver_held(p);
	wait_ns = rate_limiter_take(&p->net->rx_limit, 0, 0);
	if (wait_ns) {
		event_timer_set(&p->rx_timer, wait_ns, 0);
		return false;
	}
	stage_fill(p, wanted(p), &full);
	if (!p->stage.chain_count)
		return false;
	len = read_packet(p);
	if (len < 0) {
		read_failed(p, (int)-len);
		return false;
	}
	if (len < NET_HDR_BYTES + FRAME_BYTES_MIN)
		drop(p, "it is shorter than a frame");
	else if ((uint64_t)len <= p->stage.bytes)
		deliver(p, (size_t)len);
	else if (mergeable(p) && !full)
		hold(p, p->stage.bytes, (size_t)len);
	else
		drop(p, "the driver's buffers are too small for it");
	return true;
}

void net_receive(struct net_pair *p)
{
	struct virtio_device *vd = vd_of(p);
	unsigned taken = 0;

	while (p->readable && virtio_more(vd, rx_queue(p), &taken) &&
	       receive_one(p))
		;
	virtio_done(vd, rx_queue(p));
}
