/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: virtio network device: packets from the guest (VIRTIO 1.3 sec. 5.1.6.2)
 *
 * Each packet goes straight from guest RAM to the back end, by one call; only
 * its header is copied, once, and checked: a packet may leave undone what was
 * negotiated and nothing else, inside its own length. One that breaks a rule,
 * or that the host refuses, is dropped and counted; that is what networks do.
 *
 * When the back end is full, or tokens are short, the packet goes back into
 * the ring and nothing more is taken until the descriptor is writable or the
 * timer has expired.
 *
 * Limits: a packet of more than IOV_MAX - 1 pieces is dropped.
 */
#include <errno.h>
#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/base/log.h"

#include "devices/virtio/net-impl.h"

/* The feature that a kind of segments needs; 0: there is no such kind. */
static uint64_t gso_feature(uint8_t gso)
{
	uint64_t ecn = gso & GSO_ECN ? NET_F_HOST_ECN : 0;

	switch (gso & ~GSO_ECN) {
	case GSO_TCPV4:
		return NET_F_HOST_TSO4 | ecn;
	case GSO_TCPV6:
		return NET_F_HOST_TSO6 | ecn;
	case GSO_UDP:
		return ecn ? 0 : NET_F_HOST_UFO;
	default:
		return 0;
	}
}

/* NULL, or what is wrong with a header before a frame of @len bytes. */
static const char *header_fault(const uint8_t *hdr, uint64_t len,
				uint64_t features)
{
	bool csum = hdr[HDR_FLAGS] & HDR_F_NEEDS_CSUM;
	uint64_t end = (uint64_t)get_le16(hdr + HDR_CSUM_START) +
		       get_le16(hdr + HDR_CSUM_OFFSET) + 2;
	uint64_t need;

	if (csum && !(features & NET_F_CSUM))
		return "needs a checksum, which was not negotiated";
	if (csum && end > len)
		return "wants its checksum outside of it";
	if (hdr[HDR_GSO_TYPE] == GSO_NONE)
		return NULL;
	need = gso_feature(hdr[HDR_GSO_TYPE]);
	if (!need || need & ~features)
		return "has segments that were not negotiated";
	if (!csum || !get_le16(hdr + HDR_GSO_SIZE) ||
	    get_le16(hdr + HDR_LEN) > len)
		return "has segments without checksum or size";
	return NULL;
}

static const char *packet_fault(struct net_pair *p, const struct virtq_chain *c)
{
	if (c->out_bytes < NET_HDR_BYTES + FRAME_BYTES_MIN)
		return "is shorter than a frame";
	if (c->out_bytes > PACKET_BYTES_MAX)
		return "is longer than any packet";
	if (c->out_count >= IOV_MAX)
		return "is in too many pieces";
	iov_read(c->iov, c->out_count, 0, p->hdr, sizeof(p->hdr));
	/* Only receivers look at it. */
	put_le16(p->hdr + HDR_NUM_BUFFERS, 0);
	return header_fault(p->hdr, c->out_bytes - NET_HDR_BYTES,
			    p->net->vd.features);
}

/* The header's copy, and the chain behind its own header. */
static int gather(struct net_pair *p, const struct virtq_chain *c)
{
	unsigned n;

	p->tx_iov[0] = (struct iovec){ p->hdr, sizeof(p->hdr) };
	n = iov_slice(p->tx_iov + 1, c->out_count, c->iov, c->out_count,
		      NET_HDR_BYTES, SIZE_MAX);
	return 1 + (int)n;
}

static void put_back(struct net_pair *p, const struct virtq_chain *c)
{
	virtq_undo(&p->net->vd.queue[tx_queue(p)].ring, c);
}

/* Return: false if the back end takes nothing now. */
static bool send_packet(struct net_pair *p, const struct virtq_chain *c)
{
	struct net_backend *b = p->net->backend;
	int err = b->ops->send(b, p->index, p->tx_iov, gather(p, c));

	if (err == -EAGAIN)
		return false;
	if (err)
		log_guest(&p->net->host_dropped,
			  "%s: a packet of the guest is lost: %s",
			  p->net->vd.dev.id, strerror(-err));
	return true;
}

/* Return: false to wait for something. */
static bool transmit_one(struct net_pair *p, const struct virtq_chain *c)
{
	const char *fault = packet_fault(p, c);
	struct virtio_device *vd = &p->net->vd;
	uint64_t wait_ns;

	if (fault) {
		log_guest(&p->net->tx_dropped,
			  "%s: a packet of the guest is dropped: it %s",
			  vd->dev.id, fault);
		virtio_push(vd, tx_queue(p), c, 0);
		return true;
	}
	wait_ns = rate_limiter_take(&p->net->tx_limit, c->out_bytes, 1);
	if (wait_ns) {
		event_timer_set(&p->tx_timer, wait_ns, 0);
		put_back(p, c);
		return false;
	}
	p->blocked = !send_packet(p, c);
	if (p->blocked) {
		put_back(p, c);
		return false;
	}
	virtio_push(vd, tx_queue(p), c, 0);
	return true;
}

void net_transmit(struct net_pair *p)
{
	struct virtio_device *vd = &p->net->vd;
	struct virtq_chain chain;
	unsigned taken = 0;

	while (!p->blocked && virtio_more(vd, tx_queue(p), &taken) &&
	       virtio_pop(vd, tx_queue(p), &chain) && transmit_one(p, &chain))
		;
	virtio_done(vd, tx_queue(p));
}

void net_tx_stop(struct net_pair *p)
{
	p->blocked = false;
	event_timer_set(&p->tx_timer, 0, 0);
}
