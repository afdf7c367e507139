/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: tap interfaces of the host as a network back end
 *
 * Three ways: no name, then a new interface vmtapN is made, which is gone with
 * us; a name, then that interface is used, or made if there is none; or the
 * descriptors of a tap's queues, opened by somebody with the right to do it
 * (libvirt; macvtap too). One descriptor for each pair of queues
 * (IFF_MULTI_QUEUE), each packet with its virtio-net header (IFF_VNET_HDR).
 *
 * Address, MAC and MTU of the host's side are set and the interface is brought
 * up, as far as it is not so already: who owns a prepared tap needs no
 * privilege. Addresses that it has stay, ours comes beside them. If anything
 * fails, here or of the machine, what was changed is put back.
 *
 * Reference: Linux' Documentation/networking/tuntap.rst, drivers/net/tun.c,
 * netdevice(7), rtnetlink(7). Not implemented: USO offloads; steering by
 * program.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/base/log.h"
#include "vmm/net-addr.h"

#include "devices/net/net.h"

#define TUN_DEVICE "/dev/net/tun"
#define NEW_TAP	   "vmtap%d" /* Cloud Hypervisor's */

/* RFC 4291 sec. 2.5.4: an interface's part of an address has 64 bits. */
#define IPV6_PREFIX 64

/* An address to add or remove: rtnetlink(7) */
struct ip_request {
	struct nlmsghdr head;
	struct ifaddrmsg addr;
	uint8_t attrs[3 * RTA_SPACE(sizeof(struct in6_addr))];
};

/**
 * struct tap - see the DOC block
 * @name: the kernel's
 * @inet: socket for the interface's settings
 * @attached: queues that the kernel uses
 * @was_mtu, @was_flags, @was_mac: what to put back on failure, if the bit is
 *	set in @changed
 * @new_ip: what to remove then
 */
struct tap {
	struct net_backend b;
	char name[IFNAMSIZ];
	int inet;
	unsigned attached, changed;
	struct ifreq was_mtu, was_flags, was_mac;
	struct ip_request new_ip;
};

enum {
	CHANGED_MTU = 1,
	CHANGED_FLAGS = 2,
	CHANGED_MAC = 4,
	CHANGED_IP = 8,
};

static struct tap *to_tap(struct net_backend *b)
{
	return container_of(b, struct tap, b);
}

static struct ifreq named(const struct tap *t)
{
	struct ifreq req = { 0 };

	memcpy(req.ifr_name, t->name, sizeof(req.ifr_name));
	return req;
}

/* ---- opening ------------------------------------------------------------- */

static int open_failed(int err, struct diag *d)
{
	if (err == ENOENT || err == ENODEV)
		return diag_fail(d, err,
				 "--net: this host has no " TUN_DEVICE
				 ": modprobe tun");
	if (err == EACCES || err == EPERM)
		return diag_fail(d, err,
				 "--net: no permission to open " TUN_DEVICE
				 ": give this user access to it, or pass a "
				 "tap's descriptor with fd=");
	return diag_errno(d, err, "--net: cannot open " TUN_DEVICE);
}

/* drivers/net/tun.c, tun_set_iff() and tun_attach() */
static int attach_failed(const struct net_config *c, int err, struct diag *d)
{
	const char *name = c->tap ? c->tap : NEW_TAP;

	if (err == EPERM)
		return diag_fail(d, err,
				 "--net tap=%s: no permission: run with "
				 "CAP_NET_ADMIN, or make the tap for this "
				 "user: ip tuntap add dev NAME mode tap user "
				 "USER",
				 name);
	if (err == EBUSY)
		return diag_fail(d, err,
				 "--net tap=%s: another process uses it", name);
	if (err == EINVAL)
		return diag_fail(d, err,
				 "--net tap=%s: is not a tap, or does not have "
				 "%s: ip tuntap add dev NAME mode tap%s",
				 name,
				 c->num_queues > 2 ? "several queues"
						   : "one queue",
				 c->num_queues > 2 ? " multi_queue" : "");
	return diag_errno(d, err, "--net tap=%s: cannot attach to it", name);
}

/* A tap that was made for several queues takes one descriptor too, if asked
 * in these words. */
static int attach(struct tap *t, int fd, bool multi)
{
	struct ifreq req = named(t);
	int flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;

	req.ifr_flags = (short)(flags | (multi ? IFF_MULTI_QUEUE : 0));
	if (ioctl(fd, TUNSETIFF, &req)) {
		if (errno != EINVAL || multi)
			return -errno;
		req.ifr_flags = (short)(flags | IFF_MULTI_QUEUE);
		if (ioctl(fd, TUNSETIFF, &req))
			return -errno;
	}
	memcpy(t->name, req.ifr_name, sizeof(t->name));
	return 0;
}

static int open_queues(struct tap *t, const struct net_config *c,
		       struct diag *d)
{
	strncpy(t->name, c->tap ? c->tap : NEW_TAP, sizeof(t->name) - 1);
	for (unsigned i = 0; i < t->b.pair_count; i++) {
		int err, fd = open(TUN_DEVICE, O_RDWR | O_NONBLOCK | O_CLOEXEC);

		if (fd < 0)
			return open_failed(errno, d);
		t->b.fd[i] = fd;
		err = attach(t, fd, t->b.pair_count > 1);
		if (err)
			return attach_failed(c, -err, d);
	}
	return 0;
}

/* All of them belong to one tap that has what we need. */
static int check_given(struct tap *t, const struct net_config *c,
		       struct diag *d)
{
	for (unsigned i = 0; i < t->b.pair_count; i++) {
		struct ifreq req = { 0 };

		if (ioctl(t->b.fd[i], TUNGETIFF, &req) ||
		    !(req.ifr_flags & IFF_TAP))
			return diag_fail(d, EINVAL,
					 "--net fd=%u: is neither a tap nor a "
					 "datagram socket",
					 c->fd.v[i]);
		if (!(req.ifr_flags & IFF_VNET_HDR))
			return diag_fail(d, EINVAL,
					 "--net fd=%u: open the tap with "
					 "IFF_VNET_HDR",
					 c->fd.v[i]);
		if (i && strcmp(t->name, req.ifr_name) != 0)
			return diag_fail(d, EINVAL,
					 "--net fd=%u: belongs to another tap "
					 "than fd=%u",
					 c->fd.v[i], c->fd.v[0]);
		memcpy(t->name, req.ifr_name, sizeof(t->name));
	}
	return 0;
}

/* ---- packets ------------------------------------------------------------- */

static unsigned tun_offloads(uint64_t f)
{
	return (f & NET_F_GUEST_CSUM ? TUN_F_CSUM : 0) |
	       (f & NET_F_GUEST_TSO4 ? TUN_F_TSO4 : 0) |
	       (f & NET_F_GUEST_TSO6 ? TUN_F_TSO6 : 0) |
	       (f & NET_F_GUEST_ECN ? TUN_F_TSO_ECN : 0) |
	       (f & NET_F_GUEST_UFO ? TUN_F_UFO : 0);
}

static int tap_set_offloads(struct net_backend *b, uint64_t offloads)
{
	if (ioctl(b->fd[0], TUNSETOFFLOAD, (long)tun_offloads(offloads)))
		return -errno;
	return 0;
}

/* Header as VIRTIO 1.x has it; what the kernel can leave undone. */
static int set_format(struct tap *t, struct diag *d)
{
	static const uint64_t guest = NET_F_GUEST_OFFLOADS,
			      host = NET_F_CSUM | NET_F_HOST_TSO4 |
				     NET_F_HOST_TSO6 | NET_F_HOST_ECN;
	const int bytes = NET_HDR_BYTES, little = 1;

	for (unsigned i = 0; i < t->b.pair_count; i++)
		if (ioctl(t->b.fd[i], TUNSETVNETHDRSZ, &bytes) ||
		    ioctl(t->b.fd[i], TUNSETVNETLE, &little))
			return diag_errno(d, errno,
					  "--net tap=%s: cannot set the header",
					  t->name);
	t->b.features = guest | host | NET_F_HOST_UFO;
	if (tap_set_offloads(&t->b, guest)) {
		/* Linux 4.14 to 5.x without UFO. */
		t->b.features = (guest & ~NET_F_GUEST_UFO) | host;
		if (tap_set_offloads(&t->b, t->b.features & guest))
			t->b.features = host;
	}
	tap_set_offloads(&t->b, 0);
	return 0;
}

/* ---- the interface ------------------------------------------------------- */

static int set_failed(const struct tap *t, const char *what, struct diag *d)
{
	int err = errno;

	if (err == EPERM || err == EACCES)
		return diag_fail(d, err,
				 "--net tap=%s: no permission to set its %s: "
				 "set it before, or run with CAP_NET_ADMIN",
				 t->name, what);
	return diag_errno(d, err, "--net tap=%s: cannot set its %s", t->name,
			  what);
}

static int set_mac(struct tap *t, const struct net_config *c, struct diag *d)
{
	struct ifreq req = named(t);
	uint8_t mac[MAC_BYTES];

	if (!c->host_mac || !mac_parse(c->host_mac, mac))
		return 0;
	if (ioctl(t->inet, SIOCGIFHWADDR, &req))
		return set_failed(t, "MAC address", d);
	if (!memcmp(req.ifr_hwaddr.sa_data, mac, sizeof(mac)))
		return 0;
	t->was_mac = req;
	memcpy(req.ifr_hwaddr.sa_data, mac, sizeof(mac));
	if (ioctl(t->inet, SIOCSIFHWADDR, &req))
		return set_failed(t, "MAC address", d);
	t->changed |= CHANGED_MAC;
	return 0;
}

static int set_mtu(struct tap *t, const struct net_config *c, struct diag *d)
{
	struct ifreq req = named(t);

	if (ioctl(t->inet, SIOCGIFMTU, &req))
		return set_failed(t, "MTU", d);
	t->b.mtu = (uint32_t)req.ifr_mtu;
	if (!c->mtu || c->mtu == t->b.mtu)
		return 0;
	t->was_mtu = req;
	req.ifr_mtu = (int)c->mtu;
	if (ioctl(t->inet, SIOCSIFMTU, &req)) {
		if (errno == EINVAL)
			return diag_fail(d, EINVAL,
					 "--net mtu=%u: above what the host's "
					 "%s can have",
					 c->mtu, t->name);
		return set_failed(t, "MTU", d);
	}
	t->changed |= CHANGED_MTU;
	t->b.mtu = c->mtu;
	return 0;
}

/* Needs no privilege, so it is asked first. */
static bool has_v4(const struct tap *t, const struct ip_addr *ip,
		   const struct ip_addr *mask)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = ip->v4 };
	struct ifreq req = named(t);

	memcpy(&req.ifr_addr, &a, sizeof(a));
	if (ip->family != AF_INET || ioctl(t->inet, SIOCGIFADDR, &req) ||
	    memcmp(&req.ifr_addr, &a, sizeof(a)) != 0)
		return false;
	if (!mask)
		return true;
	/* Of this address: the kernel looks at what is in it. */
	if (ioctl(t->inet, SIOCGIFNETMASK, &req))
		return false;
	a.sin_addr = mask->v4;
	return !memcmp(&req.ifr_netmask, &a, sizeof(a));
}

/* For one without a mask; what is none is for the kernel to refuse. */
static int default_prefix(const struct ip_addr *ip)
{
	uint32_t v4 = ntohl(ip->v4.s_addr);

	if (ip->family == AF_INET6)
		return IPV6_PREFIX;
	return IN_CLASSA(v4) ? 8 : IN_CLASSB(v4) ? 16 : IN_CLASSC(v4) ? 24 : -1;
}

static void add_attr(struct ip_request *req, unsigned short type,
		     const void *ip, size_t len)
{
	const struct rtattr attr = { (unsigned short)RTA_LENGTH(len), type };
	uint8_t *at = (uint8_t *)req + req->head.nlmsg_len;

	memcpy(at, &attr, sizeof(attr));
	memcpy(at + sizeof(attr), ip, len);
	req->head.nlmsg_len += attr.rta_len;
}

static struct ip_request ip_request(const struct tap *t,
				    const struct ip_addr *ip, int prefix)
{
	struct ip_request req = {
		.head.nlmsg_len = offsetof(struct ip_request, attrs),
		.head.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK,
		.addr.ifa_family = (uint8_t)ip->family,
		.addr.ifa_prefixlen = (uint8_t)prefix,
		.addr.ifa_index = if_nametoindex(t->name),
	};
	size_t len = ip->family == AF_INET ? sizeof(ip->v4) : sizeof(ip->v6);
	uint32_t all;

	add_attr(&req, IFA_LOCAL, &ip->v6, len);
	/* With it, what is removed is the one with this prefix. */
	add_attr(&req, IFA_ADDRESS, &ip->v6, len);
	if (ip->family == AF_INET && prefix >= 0 && prefix < 31) {
		all = ip->v4.s_addr | htonl(~0u >> prefix);
		add_attr(&req, IFA_BROADCAST, &all, sizeof(all));
	}
	return req;
}

/* The address comes or goes; 0 or -errno. */
static int change_ip(struct ip_request *req, uint16_t how)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	struct {
		struct nlmsghdr head;
		struct nlmsgerr said;
	} ack = { 0 };
	int err;

	req->head.nlmsg_type = how;
	if (fd < 0 || send(fd, req, req->head.nlmsg_len, 0) < 0 ||
	    recv(fd, &ack, sizeof(ack), 0) < 0)
		err = -errno;
	else
		err = ack.said.error;
	if (fd >= 0)
		close(fd);
	return err;
}

static int set_ip(struct tap *t, const struct net_config *c, struct diag *d)
{
	struct ip_addr ip, mask;
	bool has_mask = c->mask && ip_parse(c->mask, &mask);
	int err;

	if (!c->ip || !ip_parse(c->ip, &ip) ||
	    has_v4(t, &ip, has_mask ? &mask : NULL))
		return 0;
	t->new_ip = ip_request(
		t, &ip, has_mask ? ip_prefix(&mask) : default_prefix(&ip));
	err = change_ip(&t->new_ip, RTM_NEWADDR);
	if (err == -EEXIST)
		return 0;
	errno = -err;
	if (err)
		return set_failed(t, "address", d);
	t->changed |= CHANGED_IP;
	return 0;
}

static int bring_up(struct tap *t, struct diag *d)
{
	struct ifreq req = named(t);

	if (ioctl(t->inet, SIOCGIFFLAGS, &req))
		return set_failed(t, "flags", d);
	if (req.ifr_flags & IFF_UP)
		return 0;
	t->was_flags = req;
	req.ifr_flags |= IFF_UP;
	if (ioctl(t->inet, SIOCSIFFLAGS, &req))
		return set_failed(t, "flags", d);
	t->changed |= CHANGED_FLAGS;
	return 0;
}

static void put_back(struct tap *t)
{
	bool failed = false;

	if (t->changed & CHANGED_IP)
		failed |= change_ip(&t->new_ip, RTM_DELADDR) != 0;
	if (t->changed & CHANGED_FLAGS)
		failed |= ioctl(t->inet, SIOCSIFFLAGS, &t->was_flags) != 0;
	if (t->changed & CHANGED_MTU)
		failed |= ioctl(t->inet, SIOCSIFMTU, &t->was_mtu) != 0;
	if (t->changed & CHANGED_MAC)
		failed |= ioctl(t->inet, SIOCSIFHWADDR, &t->was_mac) != 0;
	if (failed)
		log_warn("--net tap=%s: its old settings could not be put back",
			 t->name);
	t->changed = 0;
}

static int set_interface(struct tap *t, const struct net_config *c,
			 struct diag *d)
{
	int err = set_mtu(t, c, d);

	if (!err)
		err = set_mac(t, c, d);
	if (!err)
		err = bring_up(t, d);
	if (!err)
		err = set_ip(t, c, d);
	return err;
}

/* ---- the back end -------------------------------------------------------- */

static int set_queue(struct tap *t, unsigned pair, int flag)
{
	struct ifreq req = { .ifr_flags = (short)flag };

	return ioctl(t->b.fd[pair], TUNSETQUEUE, &req) ? -errno : 0;
}

static int tap_set_pairs(struct net_backend *b, unsigned pairs)
{
	struct tap *t = to_tap(b);
	int err = 0;

	while (t->attached < pairs && !err) {
		err = set_queue(t, t->attached, IFF_ATTACH_QUEUE);
		t->attached += !err;
	}
	while (t->attached > pairs && !err) {
		err = set_queue(t, t->attached - 1, IFF_DETACH_QUEUE);
		t->attached -= !err;
	}
	return err;
}

static void tap_free(struct net_backend *b)
{
	struct tap *t = to_tap(b);

	if (!b->begun)
		put_back(t);
	net_backend_close(b);
	if (t->inet >= 0)
		close(t->inet);
	free(t);
}

static const struct net_backend_ops tap_ops = {
	.recv = net_readv,
	.send = net_writev,
	.set_offloads = tap_set_offloads,
	.set_pairs = tap_set_pairs,
	.free = tap_free,
};

static int tap_build(struct tap *t, const struct net_config *c, struct diag *d)
{
	int err;

	t->inet = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (t->inet < 0)
		return diag_errno(d, errno, "--net: cannot make a socket");
	err = net_backend_init(&t->b, &tap_ops,
			       c->fd.count ? c->fd.count : c->num_queues / 2,
			       d);
	if (err)
		return err;
	if (!c->fd.count)
		err = open_queues(t, c, d);
	else if (!(err = net_backend_dup(&t->b, c, d)))
		err = check_given(t, c, d);
	if (!err)
		err = set_format(t, d);
	if (!err)
		err = set_interface(t, c, d);
	t->attached = t->b.pair_count;
	return err;
}

int tap_open(struct net_backend **out, const struct net_config *c,
	     struct diag *d)
{
	struct tap *t = calloc(1, sizeof(*t));
	int err;

	if (!t)
		return diag_fail(d, ENOMEM, "out of memory");
	t->b.ops = &tap_ops;
	t->b.vhost = true;
	err = tap_build(t, c, d);
	if (err) {
		tap_free(&t->b);
		return err;
	}
	log_info("--net: the host's side is %s", t->name);
	*out = &t->b;
	return 0;
}
