/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: what the parts of the virtio network device share; of others only
 * vhost-user.c includes it, for the feature bits and its control queue
 *
 *	net.c          the device: features, configuration, state
 *	net-ctrl.c     its control queue
 *	net-command.c  commands on such a queue
 *	net-rx.c       packets to the guest
 *	net-tx.c       packets from the guest
 *	net-vhost.c    or the kernel moves the packets: vhost=on
 *
 * Threads: pair i has the thread "_net0_qpi", on which its two queues, its
 * descriptor and its timers are served; fields of a direction are guarded by
 * that queue's lock. With vhost=on there is a thread of the kernel instead.
 * The control queue is on the main loop. Lock order: virtio_device.lock, queue
 * locks, net.lock.
 */
#ifndef DEVICES_VIRTIO_NET_IMPL_H
#define DEVICES_VIRTIO_NET_IMPL_H

#include <limits.h>

#include "vmm/iothread.h"
#include "vmm/net-addr.h"
#include "vmm/token-bucket.h"

#include "devices/net/net.h"
#include "devices/vhost/kernel.h"
#include "devices/virtio/virtio.h"

/* VIRTIO 1.3 sec. 5.1.3, beside those in devices/net/net.h */
#define NET_F_CTRL_GUEST_OFFLOADS (1ULL << 2)
#define NET_F_MTU		  (1ULL << 3)
#define NET_F_MAC		  (1ULL << 5)
#define NET_F_MRG_RXBUF		  (1ULL << 15)
#define NET_F_STATUS		  (1ULL << 16)
#define NET_F_CTRL_VQ		  (1ULL << 17)
#define NET_F_CTRL_RX		  (1ULL << 18)
#define NET_F_CTRL_RX_EXTRA	  (1ULL << 20)
#define NET_F_GUEST_ANNOUNCE	  (1ULL << 21)
#define NET_F_MQ		  (1ULL << 22)
#define NET_F_CTRL_MAC_ADDR	  (1ULL << 23)

/* VIRTIO 1.3 sec. 5.1.4: bits of status */
enum { NET_S_LINK_UP = 1, NET_S_ANNOUNCE = 2 };

/* VIRTIO 1.3 sec. 5.1.6: the header's fields, flags and kinds of segments. */
enum {
	HDR_FLAGS = 0,
	HDR_GSO_TYPE = 1,
	HDR_LEN = 2,
	HDR_GSO_SIZE = 4,
	HDR_CSUM_START = 6,
	HDR_CSUM_OFFSET = 8,
	HDR_NUM_BUFFERS = 10,
};
enum { HDR_F_NEEDS_CSUM = 1 };
enum {
	GSO_NONE = 0,
	GSO_TCPV4 = 1,
	GSO_UDP = 3,
	GSO_TCPV6 = 4,
	GSO_ECN = 0x80,
};

/* VIRTIO 1.3 sec. 5.1.6.5: classes of commands */
enum net_command_class {
	NET_CTRL_RX = 0,
	NET_CTRL_MAC = 1,
	NET_CTRL_ANNOUNCE = 3,
	NET_CTRL_MQ = 4,
	NET_CTRL_GUEST = 5,
};

/** NET_COMMAND_BYTES - class and command, in front of the data */
#define NET_COMMAND_BYTES 2

/**
 * struct net_command - a command
 * @iov, @iov_count: of the chain's readable part; @bytes: of its data, behind
 *	class and command
 * @class: enum net_command_class or anything else; @command: within it
 * @data: the first bytes, copied: the longest command of a fixed length is a
 *	set of offloads
 */
struct net_command {
	const struct iovec *iov;
	unsigned iov_count;
	uint64_t bytes;
	uint8_t class, command;
	uint8_t data[8];
};

/** net_command_fn - do what @c says, if all about it is right; the queue's
 * lock is held. Return: was it done? */
typedef bool net_command_fn(struct virtio_device *vd,
			    const struct net_command *c);

/** FRAME_BYTES_MIN - destination, source and type (IEEE 802.3 sec. 3.1.1) */
#define FRAME_BYTES_MIN 14

/** PACKET_BYTES_MAX - header, the 65550 bytes of VIRTIO 1.3 sec. 5.1.6.3.1, and
 * a VLAN tag (IEEE 802.1Q sec. 9.3) */
#define PACKET_BYTES_MAX (NET_HDR_BYTES + 65550 + 4)

/** RX_CHAINS - buffers collected for one packet: 64 KiB in pieces of 1 KiB */
#define RX_CHAINS 64

/**
 * struct rx_stage - receive buffers popped and not used yet
 * @chain: @chain_count of them, as popped
 * @iov: their vectors, back to back; @iov_count of them, @bytes in all; one
 *	more place at the end
 */
struct rx_stage {
	struct virtq_chain chain[RX_CHAINS];
	struct iovec iov[IOV_MAX];
	unsigned chain_count, iov_count;
	uint64_t bytes;
};

struct net;

/**
 * struct net_pair - a receive and a transmit queue
 * @thread: serves it, NULL with vhost=on; @source: its descriptor,
 *	edge-triggered
 * @rx_timer, @tx_timer: wait for tokens
 * @started: queues of the two; guarded by virtio_device.lock
 * @vhost: the kernel's end, with vhost=on; guarded by virtio_device.lock, but
 *	for what net.lock guards:
 * @known: rings that the kernel has been told of, a bit for each; @attached:
 *	those that it has given the descriptor
 * Guarded by the receive queue's lock:
 * @readable: the back end may have a packet
 * @stage: receive buffers at hand
 * @held: a packet of @held_bytes (0: none) that came when there were not
 *	enough buffers; @held_tries: how often it was tried since
 * Guarded by the transmit queue's lock:
 * @blocked: the back end takes nothing now
 * @hdr, @tx_iov: the packet being sent
 */
struct net_pair {
	struct net *net;
	unsigned index;
	struct iothread *thread;
	struct event_source source;
	struct event_timer rx_timer, tx_timer;
	unsigned started;

	struct vhost_kernel vhost;
	unsigned known, attached;

	bool readable;
	struct rx_stage stage;
	uint8_t held[PACKET_BYTES_MAX];
	size_t held_bytes;
	unsigned held_tries;

	bool blocked;
	uint8_t hdr[NET_HDR_BYTES];
	struct iovec tx_iov[IOV_MAX];
};

/**
 * struct net - see the DOC block
 * @config: the user's; @mac: the card's own
 * @pair: one for each of the back end's
 * @rx_limit, @tx_limit: all pairs together
 * @lock: guards the rest
 * @now_mac: what the driver made of it
 * @status: NET_S_ bits
 * @rx_modes: what the driver asked for, a bit for each command of the class
 * @pairs: in use
 * @offloads: NET_F_GUEST_OFFLOADS in use
 * @rx_dropped, @tx_dropped: packets the guest could not take, or must not
 *	send; @host_dropped: packets that the host did not take
 */
struct net {
	struct virtio_device vd;
	const struct net_config *config;
	uint8_t mac[MAC_BYTES];
	struct net_backend *backend;
	struct net_pair **pair;
	struct rate_limiter rx_limit, tx_limit;
	pthread_mutex_t lock;
	uint8_t now_mac[MAC_BYTES];
	uint16_t status;
	uint8_t rx_modes;
	unsigned pairs;
	uint64_t offloads;
	atomic_uint rx_dropped, tx_dropped, host_dropped;
};

static inline struct net *to_net(struct virtio_device *vd)
{
	return container_of(vd, struct net, vd);
}

/** rx_queue, tx_queue - numbers of a pair's queues (VIRTIO 1.3 sec. 5.1.2) */
static inline unsigned rx_queue(const struct net_pair *p)
{
	return 2 * p->index;
}

static inline unsigned tx_queue(const struct net_pair *p)
{
	return 2 * p->index + 1;
}

/** net_vhost_open - have the kernel serve @p; 0 or -errno with @d */
int net_vhost_open(struct net_pair *p, struct diag *d);

/** net_vhost_close - accepts a pair that the kernel does not serve */
void net_vhost_close(struct net_pair *p);

/** net_vhost_start - the kernel goes on with @queue of @p, as soon as the pair
 * is in use; virtio_device.lock held */
void net_vhost_start(struct net_pair *p, unsigned queue);

/** net_vhost_stop - the mirror */
void net_vhost_stop(struct net_pair *p, unsigned queue);

/** net_vhost_call_changed - see virtio_class.call_changed */
void net_vhost_call_changed(struct net_pair *p, unsigned queue);

/** net_vhost_use - the kernel may use the descriptors of the first @pairs, and
 * no others; net.lock held; nothing happens without vhost=on */
void net_vhost_use(struct net *net, unsigned pairs);

/** net_receive - move packets to the guest; receive queue's lock held */
void net_receive(struct net_pair *p);

/** net_rx_stop - give all buffers back as if never taken; the lock as above */
void net_rx_stop(struct net_pair *p);

/** net_transmit - move packets from the guest; transmit queue's lock held */
void net_transmit(struct net_pair *p);

/** net_tx_stop - forget that the back end was not ready; the lock as above */
void net_tx_stop(struct net_pair *p);

/** net_use_pairs - the first @pairs, at most as many as there are; net.lock
 * held. Return: 0, or -errno of the back end, nothing changed */
int net_use_pairs(struct net *net, unsigned pairs);

/** net_commands - answer the commands on @queue by @run; the queue's lock
 * held */
void net_commands(struct virtio_device *vd, unsigned queue,
		  net_command_fn *run);

/** net_control - answer commands on @queue; its lock held */
void net_control(struct net *net, unsigned queue);

#endif
