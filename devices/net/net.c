/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: what network back ends share, see net.h */
#include "devices/net/net.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_socket(uint32_t fd)
{
	struct stat st;

	return !fstat((int)fd, &st) && S_ISSOCK(st.st_mode);
}

int net_backend_open(struct net_backend **out, const struct net_config *c,
		     struct diag *d)
{
	if (c->fd.count && is_socket(c->fd.v[0]))
		return socket_open(out, c, d);
	return tap_open(out, c, d);
}

/* ---- none ---------------------------------------------------------------- */

static ssize_t none_recv(struct net_backend *b, unsigned pair,
			 const struct iovec *iov, int count)
{
	(void)b;
	(void)pair;
	(void)iov;
	(void)count;
	return -EAGAIN;
}

static int none_send(struct net_backend *b, unsigned pair,
		     const struct iovec *iov, int count)
{
	(void)b;
	(void)pair;
	(void)iov;
	(void)count;
	return 0;
}

static int none_set_offloads(struct net_backend *b, uint64_t offloads)
{
	(void)b;
	(void)offloads;
	return 0;
}

static int none_set_pairs(struct net_backend *b, unsigned pairs)
{
	(void)b;
	(void)pairs;
	return 0;
}

static void none_free(struct net_backend *b)
{
	net_backend_close(b);
	free(b);
}

static const struct net_backend_ops none_ops = {
	.recv = none_recv,
	.send = none_send,
	.set_offloads = none_set_offloads,
	.set_pairs = none_set_pairs,
	.free = none_free,
};

int net_backend_none(struct net_backend **out, const struct net_config *c,
		     struct diag *d)
{
	struct net_backend *b = calloc(1, sizeof(*b));
	int err;

	if (!b)
		return diag_fail(d, ENOMEM, "out of memory");
	b->vhost = true;
	err = net_backend_init(b, &none_ops, c->num_queues / 2, d);
	if (err) {
		free(b);
		return err;
	}
	*out = b;
	return 0;
}

/* ---- all of them --------------------------------------------------------- */

void net_backend_free(struct net_backend *b)
{
	if (b)
		b->ops->free(b);
}

int net_backend_init(struct net_backend *b, const struct net_backend_ops *ops,
		     unsigned pairs, struct diag *d)
{
	b->ops = ops;
	b->fd = calloc(pairs, sizeof(b->fd[0]));
	if (!b->fd)
		return diag_fail(d, ENOMEM, "out of memory");
	b->pair_count = pairs;
	for (unsigned i = 0; i < pairs; i++)
		b->fd[i] = -1;
	return 0;
}

void net_backend_close(struct net_backend *b)
{
	for (unsigned i = 0; i < b->pair_count; i++)
		if (b->fd[i] >= 0)
			close(b->fd[i]);
	free(b->fd);
}

static int dup_one(uint32_t fd, int *out, struct diag *d)
{
	int flags = fcntl((int)fd, F_GETFL);

	if (flags < 0 || fcntl((int)fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return diag_errno(d, errno,
				  "--net fd=%u: give the number of a "
				  "descriptor that spandrel inherits",
				  fd);
	/* Not into the place of standard input, output and error. */
	*out = fcntl((int)fd, F_DUPFD_CLOEXEC, 3);
	return *out < 0 ? diag_errno(d, errno, "--net fd=%u", fd) : 0;
}

int net_backend_dup(struct net_backend *b, const struct net_config *c,
		    struct diag *d)
{
	int err = 0;

	for (unsigned i = 0; i < b->pair_count && !err; i++)
		err = dup_one(c->fd.v[i], &b->fd[i], d);
	return err;
}

ssize_t net_readv(struct net_backend *b, unsigned pair, const struct iovec *iov,
		  int count)
{
	ssize_t got = readv(b->fd[pair], iov, count);

	return got < 0 ? -errno : got;
}

int net_writev(struct net_backend *b, unsigned pair, const struct iovec *iov,
	       int count)
{
	return writev(b->fd[pair], iov, count) < 0 ? -errno : 0;
}
