/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: virtio network device: pairs of queues that the kernel serves
 *
 * One /dev/vhost-net for each pair, with a thread of the kernel: ring 0
 * receives, ring 1 transmits, both with the pair's descriptor of the tap, which
 * has the header as VIRTIO 1.x wants it; so the kernel need not add one
 * (VHOST_NET_F_VIRTIO_NET_HDR stays off).
 *
 * A ring has the tap while its queue is started and its pair in use: one that
 * is not attached to the interface gives the kernel nothing to wait for.
 */
#include <errno.h>

#include "devices/virtio/net-impl.h"

#define WHO    "--net vhost=on"
#define DEVICE "/dev/vhost-net"

enum { RINGS = 2 };

int net_vhost_open(struct net_pair *p, struct diag *d)
{
	struct net *net = p->net;

	if (net->vd.transport->data_only)
		return diag_fail(d, EINVAL,
				 WHO ": not for a device that is served by "
				     "vhost-user: its VMM has the kicks");
	if (!net->backend->vhost)
		return diag_fail(d, EINVAL,
				 WHO ": works only with a tap, which fd=%u is "
				     "not",
				 net->config->fd.v[0]);
	if (net->vd.dev.env->tables_only)
		return 0;
	return vhost_kernel_open(&p->vhost, &net->vd, WHO, DEVICE, "vhost_net",
				 d);
}

void net_vhost_close(struct net_pair *p)
{
	vhost_kernel_close(&p->vhost);
}

/* Give ring @index the tap, or take it away. */
static int attach(struct net_pair *p, unsigned index, bool on, struct diag *d)
{
	unsigned bit = 1u << index;
	int err;

	if (!(p->attached & bit) == !on)
		return 0;
	err = vhost_kernel_backend(&p->vhost, index,
				   on ? p->net->backend->fd[p->index] : -1, d);
	if (!err)
		p->attached ^= bit;
	return err;
}

void net_vhost_start(struct net_pair *p, unsigned queue)
{
	struct net *net = p->net;
	unsigned index = queue % RINGS;
	struct diag d = DIAG_INIT;
	int err;

	err = vhost_kernel_start(&p->vhost, index, &net->vd.queue[queue], &d);
	if (!err) {
		pthread_mutex_lock(&net->lock);
		p->known |= 1u << index;
		if (p->index < net->pairs)
			err = attach(p, index, true, &d);
		pthread_mutex_unlock(&net->lock);
	}
	if (err)
		vhost_kernel_fail(&p->vhost, &d);
}

void net_vhost_stop(struct net_pair *p, unsigned queue)
{
	struct net *net = p->net;
	unsigned index = queue % RINGS;

	pthread_mutex_lock(&net->lock);
	p->known &= ~(1u << index);
	attach(p, index, false, NULL);
	pthread_mutex_unlock(&net->lock);
	vhost_kernel_stop(&p->vhost, index, &net->vd.queue[queue]);
}

void net_vhost_call_changed(struct net_pair *p, unsigned queue)
{
	struct diag d = DIAG_INIT;

	if (vhost_kernel_call(&p->vhost, queue % RINGS,
			      &p->net->vd.queue[queue], &d))
		vhost_kernel_fail(&p->vhost, &d);
}

void net_vhost_use(struct net *net, unsigned pairs)
{
	for (unsigned i = 0; i < net->backend->pair_count; i++) {
		struct net_pair *p = net->pair[i];
		struct diag d = DIAG_INIT;
		int err = 0;

		for (unsigned ring = 0; ring < RINGS && !err; ring++)
			err = attach(p, ring,
				     i < pairs && p->known & 1u << ring, &d);
		if (err)
			vhost_kernel_fail(&p->vhost, &d);
	}
}
