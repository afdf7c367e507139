/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: virtio network device: control queue (VIRTIO 1.3 sec. 5.1.6.5)
 *
 * A command is copied once; what it may set is checked before anything is
 * changed. Filters (receive modes, MAC table) are only remembered: more
 * packets than asked for are allowed, and the host's bridge or route decides
 * what comes.
 *
 * Not implemented: VLAN filter, RSS, hash report, notification coalescing,
 * statistics (their features are not offered).
 */
#include <string.h>

#include "vmm/base/bytes.h"

#include "devices/virtio/net-impl.h"

enum { ACK_OK = 0, ACK_ERR = 1 };
enum { CLASS_RX, CLASS_MAC, CLASS_VLAN, CLASS_ANNOUNCE, CLASS_MQ, CLASS_GUEST };

/* Class and command. */
#define COMMAND_BYTES 2

/* The longest command of a fixed length: a set of offloads. */
#define DATA_BYTES_MAX 8

/**
 * struct request - a command
 * @iov, @iov_count: of the chain's readable part; @bytes: of its data, behind
 *	class and command
 * @command: within its class; @data: the first bytes, copied
 */
struct request {
	const struct iovec *iov;
	unsigned iov_count;
	uint64_t bytes;
	uint8_t command;
	uint8_t data[DATA_BYTES_MAX];
};

/* ---- commands; net.lock held; true: done ----------------------------------
 */

static bool set_rx_mode(struct net *net, const struct request *r)
{
	uint8_t bit = (uint8_t)(1u << r->command);

	if (r->data[0] > 1)
		return false;
	net->rx_modes &= (uint8_t)~bit;
	net->rx_modes |= r->data[0] ? bit : 0;
	return true;
}

/* Two tables, each a count and as many addresses (sec. 5.1.6.5.2). */
static bool set_mac_table(struct net *net, const struct request *r)
{
	uint64_t at = 0;

	(void)net;
	for (unsigned i = 0; i < 2; i++) {
		uint8_t count[4];

		if (iov_read(r->iov, r->iov_count, COMMAND_BYTES + at, count,
			     sizeof(count)) != sizeof(count))
			return false;
		at += sizeof(count) + (uint64_t)get_le32(count) * MAC_BYTES;
		if (at > r->bytes)
			return false;
	}
	return at == r->bytes;
}

static bool set_mac(struct net *net, const struct request *r)
{
	if (mac_is_multicast(r->data) || mac_is_zero(r->data))
		return false;
	memcpy(net->now_mac, r->data, sizeof(net->now_mac));
	return true;
}

static bool announced(struct net *net, const struct request *r)
{
	(void)r;
	net->status &= (uint16_t)~NET_S_ANNOUNCE;
	return true;
}

int net_use_pairs(struct net *net, unsigned pairs)
{
	int err;

	/* What is not attached to the tap is of no use to the kernel. */
	net_vhost_use(net, MIN(pairs, net->pairs));
	err = net->backend->ops->set_pairs(net->backend, pairs);
	if (!err)
		net->pairs = pairs;
	net_vhost_use(net, net->pairs);
	/* Those that are attached again have not been watched. */
	for (unsigned i = 0; i < net->pairs; i++)
		virtio_kick(&net->vd, 2 * i);
	return err;
}

static bool set_pairs(struct net *net, const struct request *r)
{
	unsigned pairs = get_le16(r->data);

	return pairs && pairs <= net->backend->pair_count &&
	       !net_use_pairs(net, pairs);
}

static bool set_offloads(struct net *net, const struct request *r)
{
	struct net_backend *b = net->backend;
	uint64_t offloads = get_le64(r->data);

	if (offloads & ~(net->vd.features & NET_F_GUEST_OFFLOADS) ||
	    b->ops->set_offloads(b, offloads))
		return false;
	net->offloads = offloads;
	return true;
}

static const struct command {
	uint8_t class, first, last;
	uint64_t feature;
	uint64_t bytes; /* of data; 0: any */
	bool (*run)(struct net *net, const struct request *r);
} commands[] = {
	{ CLASS_RX, 0, 1, NET_F_CTRL_RX, 1, set_rx_mode },
	{ CLASS_RX, 2, 5, NET_F_CTRL_RX_EXTRA, 1, set_rx_mode },
	{ CLASS_MAC, 0, 0, NET_F_CTRL_RX, 0, set_mac_table },
	{ CLASS_MAC, 1, 1, NET_F_CTRL_MAC_ADDR, MAC_BYTES, set_mac },
	{ CLASS_ANNOUNCE, 0, 0, NET_F_GUEST_ANNOUNCE, 0, announced },
	{ CLASS_MQ, 0, 0, NET_F_MQ, 2, set_pairs },
	{ CLASS_GUEST, 0, 0, NET_F_CTRL_GUEST_OFFLOADS, 8, set_offloads },
};

/* ---- the queue ------------------------------------------------------------
 */

static const struct command *find(const struct net *net, const uint8_t *code)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		const struct command *c = &commands[i];

		if (c->class == code[0] && code[1] >= c->first &&
		    code[1] <= c->last && net->vd.features & c->feature)
			return c;
	}
	return NULL;
}

static uint8_t run(struct net *net, const struct virtq_chain *chain)
{
	struct request r = { .iov = chain->iov, .iov_count = chain->out_count };
	uint8_t code[COMMAND_BYTES];
	const struct command *c;
	bool ok;

	if (iov_read(r.iov, r.iov_count, 0, code, sizeof(code)) != sizeof(code))
		return ACK_ERR;
	r.bytes = chain->out_bytes - sizeof(code);
	r.command = code[1];
	iov_read(r.iov, r.iov_count, sizeof(code), r.data, sizeof(r.data));
	c = find(net, code);
	if (!c || (c->bytes && r.bytes != c->bytes))
		return ACK_ERR;
	pthread_mutex_lock(&net->lock);
	ok = c->run(net, &r);
	pthread_mutex_unlock(&net->lock);
	return ok ? ACK_OK : ACK_ERR;
}

void net_control(struct net *net, unsigned queue)
{
	struct virtio_device *vd = &net->vd;
	struct virtq_chain chain;
	unsigned taken = 0;

	while (virtio_more(vd, queue, &taken) &&
	       virtio_pop(vd, queue, &chain)) {
		uint8_t ack;

		if (!chain.in_bytes) {
			virtio_push(vd, queue, &chain, 0);
			virtio_misused(vd, "a command has no room for its "
					   "answer");
			break;
		}
		ack = run(net, &chain);
		iov_write(chain.iov + chain.out_count, chain.in_count, 0, &ack,
			  sizeof(ack));
		virtio_push(vd, queue, &chain, sizeof(ack));
	}
	virtio_done(vd, queue);
}
