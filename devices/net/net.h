/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: where a network device's packets go: back ends
 *
 *	tap.c       an interface of the host, made by us or given
 *	socket.c    datagram sockets, given: another VMM, a test
 *
 * A back end has one descriptor for each pair of queues. A packet is one
 * struct virtio_net_hdr_mrg_rxbuf (12 bytes, little-endian, VIRTIO 1.3 sec.
 * 5.1.6) and a frame. Checksums and segments that the sender left undone are
 * in that header; what may be left undone towards the guest is said by
 * set_offloads(). The device moves packets between guest RAM and recv/send
 * without a copy.
 *
 * Threads: recv and send of one pair on one thread at a time, pairs in
 * parallel; set_offloads and set_pairs one at a time, beside them; the rest on
 * the main thread.
 */
#ifndef DEVICES_NET_NET_H
#define DEVICES_NET_NET_H

#include <sys/uio.h>

#include "vmm/base/diag.h"
#include "vmm/base/types.h"
#include "vmm/config.h"

/* VIRTIO 1.3 sec. 5.1.3: bits that concern back ends. */
#define NET_F_CSUM	 (1ULL << 0)
#define NET_F_GUEST_CSUM (1ULL << 1)
#define NET_F_GUEST_TSO4 (1ULL << 7)
#define NET_F_GUEST_TSO6 (1ULL << 8)
#define NET_F_GUEST_ECN	 (1ULL << 9)
#define NET_F_GUEST_UFO	 (1ULL << 10)
#define NET_F_HOST_TSO4	 (1ULL << 11)
#define NET_F_HOST_TSO6	 (1ULL << 12)
#define NET_F_HOST_ECN	 (1ULL << 13)
#define NET_F_HOST_UFO	 (1ULL << 14)

/** NET_F_GUEST_OFFLOADS - what set_offloads() understands */
#define NET_F_GUEST_OFFLOADS                                      \
	(NET_F_GUEST_CSUM | NET_F_GUEST_TSO4 | NET_F_GUEST_TSO6 | \
	 NET_F_GUEST_ECN | NET_F_GUEST_UFO)

/** NET_HDR_BYTES - of the header before each frame (VIRTIO 1.3 sec. 5.1.6) */
#define NET_HDR_BYTES 12

/** NET_PAIRS_MAX - most pairs of queues: a tap's (MAX_TAP_QUEUES in Linux'
 * drivers/net/tun.c) */
#define NET_PAIRS_MAX 256

struct net_backend;

/**
 * struct net_backend_ops - what a back end does
 * @recv: take one packet of @pair into @count vectors; returns its length, or
 *	-EAGAIN: none is there, or -errno. A packet that is longer than the
 *	vectors loses its end.
 * @send: give one packet; returns 0, -EAGAIN: not now, the descriptor becomes
 *	writable; or -errno: it is lost
 * @set_offloads: NET_F_GUEST_OFFLOADS that the guest takes; 0 or -errno
 * @set_pairs: use the first @pairs, one or more; 0 or -errno
 * @free: close everything, and undo what was changed on the host unless
 *	net_backend.begun
 */
struct net_backend_ops {
	ssize_t (*recv)(struct net_backend *b, unsigned pair,
			const struct iovec *iov, int count);
	int (*send)(struct net_backend *b, unsigned pair,
		    const struct iovec *iov, int count);
	int (*set_offloads)(struct net_backend *b, uint64_t offloads);
	int (*set_pairs)(struct net_backend *b, unsigned pairs);
	void (*free)(struct net_backend *b);
};

/**
 * struct net_backend - first member of every back end
 * @features: NET_F_ bits above that it can do; fixed
 * @mtu: of the host's side; 0: not known
 * @vhost: the kernel's vhost-net can use the descriptors
 * @begun: see struct device_env; the owner's
 * @pair_count: pairs of queues
 * @fd: of each pair, non-blocking; to be watched, and read and written through
 *	recv and send only
 */
struct net_backend {
	const struct net_backend_ops *ops;
	uint64_t features;
	uint32_t mtu;
	bool vhost, begun;
	unsigned pair_count;
	int *fd;
};

/**
 * net_backend_open - what a configuration asks for
 * @out: receives it; untouched on failure
 * @c: has passed the checks of --net
 *
 * Return: 0, or -errno and @d; nothing of the host is changed then.
 */
int net_backend_open(struct net_backend **out, const struct net_config *c,
		     struct diag *d);

/** net_backend_none - what stands for it in a machine that will never run: it
 * opens nothing, and no packet comes or goes; 0 or -ENOMEM */
int net_backend_none(struct net_backend **out, const struct net_config *c,
		     struct diag *d);

/** net_backend_free - accepts NULL */
void net_backend_free(struct net_backend *b);

/* ---- for back ends ------------------------------------------------------- */

/** tap_open - see tap.c; @c without fd, or with those of a tap */
int tap_open(struct net_backend **out, const struct net_config *c,
	     struct diag *d);

/** socket_open - see socket.c; @c with fd */
int socket_open(struct net_backend **out, const struct net_config *c,
		struct diag *d);

/** net_backend_init - room for the descriptors, all -1; 0 or -ENOMEM */
int net_backend_init(struct net_backend *b, const struct net_backend_ops *ops,
		     unsigned pairs, struct diag *d);

/** net_backend_close - close the descriptors and free their list */
void net_backend_close(struct net_backend *b);

/** net_backend_dup - use duplicates of the descriptors in @c->fd, non-blocking;
 * they stay the caller's; 0 or -errno */
int net_backend_dup(struct net_backend *b, const struct net_config *c,
		    struct diag *d);

/** net_readv, net_writev - recv and send by one system call */
ssize_t net_readv(struct net_backend *b, unsigned pair, const struct iovec *iov,
		  int count);
int net_writev(struct net_backend *b, unsigned pair, const struct iovec *iov,
	       int count);

#endif
