/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: virtio network device: control queue (VIRTIO 1.3 sec. 5.1.6.5)
 *
 * What a command may set is checked before anything is changed. Filters
 * (receive modes, MAC table) are only remembered: more packets than asked for
 * are allowed, and the host's bridge or route decides what comes.
 *
 * Not implemented: VLAN filter, RSS, hash report, notification coalescing,
 * statistics (their features are not offered).
 */
#include <string.h>

#include "vmm/base/bytes.h"

#include "devices/virtio/net-impl.h"

/* ---- commands; net.lock held; true: done ----------------------------------
 */

static bool set_rx_mode(struct net *net, const struct net_command *r)
{
	uint8_t bit = (uint8_t)(1u << r->command);

	if (r->data[0] > 1)
		return false;
	net->rx_modes &= (uint8_t)~bit;
	net->rx_modes |= r->data[0] ? bit : 0;
	return true;
}

/* Two tables, each a count and as many addresses (sec. 5.1.6.5.2). */
static bool set_mac_table(struct net *net, const struct net_command *r)
{
	uint64_t at = 0;

	(void)net;
	for (unsigned i = 0; i < 2; i++) {
		uint8_t count[4];

		if (iov_read(r->iov, r->iov_count, NET_COMMAND_BYTES + at,
			     count, sizeof(count)) != sizeof(count))
			return false;
		at += sizeof(count) + (uint64_t)get_le32(count) * MAC_BYTES;
		if (at > r->bytes)
			return false;
	}
	return at == r->bytes;
}

static bool set_mac(struct net *net, const struct net_command *r)
{
	if (mac_is_multicast(r->data) || mac_is_zero(r->data))
		return false;
	memcpy(net->now_mac, r->data, sizeof(net->now_mac));
	return true;
}

static bool announced(struct net *net, const struct net_command *r)
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

static bool set_pairs(struct net *net, const struct net_command *r)
{
	unsigned pairs = get_le16(r->data);

	return pairs && pairs <= net->backend->pair_count &&
	       !net_use_pairs(net, pairs);
}

static bool set_offloads(struct net *net, const struct net_command *r)
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
	bool (*run)(struct net *net, const struct net_command *r);
} commands[] = {
	{ NET_CTRL_RX, 0, 1, NET_F_CTRL_RX, 1, set_rx_mode },
	{ NET_CTRL_RX, 2, 5, NET_F_CTRL_RX_EXTRA, 1, set_rx_mode },
	{ NET_CTRL_MAC, 0, 0, NET_F_CTRL_RX, 0, set_mac_table },
	{ NET_CTRL_MAC, 1, 1, NET_F_CTRL_MAC_ADDR, MAC_BYTES, set_mac },
	{ NET_CTRL_ANNOUNCE, 0, 0, NET_F_GUEST_ANNOUNCE, 0, announced },
	{ NET_CTRL_MQ, 0, 0, NET_F_MQ, 2, set_pairs },
	{ NET_CTRL_GUEST, 0, 0, NET_F_CTRL_GUEST_OFFLOADS, 8, set_offloads },
};

/* ---- the queue ------------------------------------------------------------
 */

static const struct command *find(const struct net *net,
				  const struct net_command *r)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		const struct command *c = &commands[i];

		if (c->class == r->class && r->command >= c->first &&
		    r->command <= c->last && net->vd.features & c->feature)
			return c;
	}
	return NULL;
}

static bool run(struct virtio_device *vd, const struct net_command *r)
{
	struct net *net = to_net(vd);
	const struct command *c = find(net, r);
	bool ok;

	if (!c || (c->bytes && r->bytes != c->bytes))
		return false;
	pthread_mutex_lock(&net->lock);
	ok = c->run(net, r);
	pthread_mutex_unlock(&net->lock);
	return ok;
}

void net_control(struct net *net, unsigned queue)
{
	net_commands(&net->vd, queue, run);
}
