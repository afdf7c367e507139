/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: datagram sockets as a network back end
 *
 * --net fd=N, where N is a connected UNIX socket of type SOCK_DGRAM or
 * SOCK_SEQPACKET: each message is one packet, a virtio-net header and a frame
 * (net.h), so that two machines, or a machine and a program without any
 * privilege, are connected by one socketpair(2). Offloads are whatever the
 * guest asks for: the other end understands the header by agreement.
 *
 * The other end is trusted as a peer on the same wire is: the guest's driver
 * checks what it gets.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "devices/net/net.h"

static int take_anything(struct net_backend *b, uint64_t offloads)
{
	(void)b;
	(void)offloads;
	return 0;
}

static int set_pairs(struct net_backend *b, unsigned pairs)
{
	(void)b;
	(void)pairs;
	return 0;
}

/* The end of a SEQPACKET connection reads as 0 bytes for ever. */
static ssize_t recv_packet(struct net_backend *b, unsigned pair,
			   const struct iovec *iov, int count)
{
	ssize_t got = net_readv(b, pair, iov, count);

	return got ? got : -EAGAIN;
}

static void socket_free(struct net_backend *b)
{
	net_backend_close(b);
	free(b);
}

static const struct net_backend_ops socket_ops = {
	.recv = recv_packet,
	.send = net_writev,
	.set_offloads = take_anything,
	.set_pairs = set_pairs,
	.free = socket_free,
};

static int check_type(uint32_t fd, struct diag *d)
{
	int type;
	socklen_t size = sizeof(type);

	if (getsockopt((int)fd, SOL_SOCKET, SO_TYPE, &type, &size))
		return diag_errno(d, errno, "--net fd=%u", fd);
	if (type != SOCK_DGRAM && type != SOCK_SEQPACKET)
		return diag_fail(
			d, EINVAL,
			"--net fd=%u: a stream socket keeps no packets "
			"apart; use SOCK_DGRAM or SOCK_SEQPACKET",
			fd);
	return 0;
}

int socket_open(struct net_backend **out, const struct net_config *c,
		struct diag *d)
{
	struct net_backend *b = calloc(1, sizeof(*b));
	int err = 0;

	if (!b)
		return diag_fail(d, ENOMEM, "out of memory");
	for (unsigned i = 0; i < c->fd.count && !err; i++)
		err = check_type(c->fd.v[i], d);
	if (!err)
		err = net_backend_init(b, &socket_ops, c->fd.count, d);
	if (!err)
		err = net_backend_dup(b, c, d);
	if (err) {
		socket_free(b);
		return err;
	}
	b->features = NET_F_GUEST_OFFLOADS | NET_F_CSUM | NET_F_HOST_TSO4 |
		      NET_F_HOST_TSO6 | NET_F_HOST_ECN | NET_F_HOST_UFO;
	*out = b;
	return 0;
}
