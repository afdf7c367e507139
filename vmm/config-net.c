/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: --net: its keys and the rules inside of one */
#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/config-impl.h"
#include "vmm/config-rate.h"
#include "vmm/net-addr.h"

/* RFC 8200 sec. 5: what IPv6 needs; an IPv4 packet has a 16-bit length. */
#define MTU_MIN 1280
#define MTU_MAX 65535

/* VIRTIO 1.3 sec. 2.7; two queues for each pair, as many as a tap has. */
#define QUEUE_SIZE_MAX 32768
#define QUEUES_MAX     512

/* vhost-user, VHOST_USER_SET_VRING_KICK: a queue's number has 8 bits. */
#define REMOTE_QUEUES_MAX 256

/* PCI slots of a bus beside the host bridge. */
#define NETS_MAX 31

#define TEXT_KEY(text, member, words)                                        \
	{                                                                    \
		.name = (text), .type = SCHEMA_STRING,                       \
		.offset = ITEM_AT(net_config, member), .doc = (words), SINCE \
	}

#define SWITCH_KEY(member, words)                                      \
	{                                                              \
		.name = #member, .type = SCHEMA_BOOL,                  \
		.offset = ITEM_AT(net_config, member), .preset = "on", \
		.doc = (words), SINCE                                  \
	}

static const struct schema_choice mode_words[] = {
	{ .name = "client", .value = VHOST_CLIENT },
	{ .name = "server", .value = VHOST_SERVER },
};

static const struct schema_key net_keys[] = {
	TEXT_KEY("tap", tap,
		 "the host's tap interface, made if there is none; without it "
		 "a new one"),
	TEXT_KEY("ip", ip, "one more address of the host's side, IPv4 or IPv6"),
	TEXT_KEY("mask", mask, "its mask, written as an address"),
	TEXT_KEY("mac", mac, "MAC address of the guest's side; else random"),
	TEXT_KEY("host_mac", host_mac, "MAC address of the host's side"),
	{ .name = "mtu",
	  .type = SCHEMA_U32,
	  .offset = ITEM_AT(net_config, mtu),
	  .min = MTU_MIN,
	  .max = MTU_MAX,
	  .optional = true,
	  .doc = "largest packet of both sides",
	  SINCE },
	{ .name = "fd",
	  .type = SCHEMA_U32S,
	  .offset = ITEM_AT(net_config, fd),
	  .min = 3,
	  .max = INT32_MAX,
	  .doc = "open descriptors of a tap's queues, or of datagram sockets",
	  SINCE },
	{ .name = "num_queues",
	  .type = SCHEMA_U32,
	  .offset = ITEM_AT(net_config, num_queues),
	  .min = 2,
	  .max = QUEUES_MAX,
	  .preset = "2",
	  .doc = "two for each pair; pairs work in parallel",
	  SINCE },
	{ .name = "queue_size",
	  .type = SCHEMA_U32,
	  .offset = ITEM_AT(net_config, queue_size),
	  .min = 1,
	  .max = QUEUE_SIZE_MAX,
	  .preset = "256",
	  .doc = "entries of each queue, a power of two",
	  SINCE },
	PCI_KEYS(net_config),
	SWITCH_KEY(offload_tso, "TCP segments may be left to the other side"),
	SWITCH_KEY(offload_ufo, "UDP fragments likewise"),
	SWITCH_KEY(offload_csum, "checksums likewise; off: none of the three"),
	{ .name = "vhost",
	  .type = SCHEMA_BOOL,
	  .offset = ITEM_AT(net_config, vhost),
	  .preset = "off",
	  .doc = "the kernel's vhost-net moves the packets, not a thread of "
		 "spandrel's",
	  SINCE },
	RATE_KEYS(net_config),
	VHOST_USER_KEYS(net_config),
	{ .name = "vhost_mode",
	  .type = SCHEMA_ENUM,
	  .offset = ITEM_AT(net_config, vhost_mode),
	  CHOICES(mode_words),
	  .preset = "client",
	  .doc = "server: we listen at socket=, and the back end connects",
	  SINCE },
};

const struct schema_option net_option = {
	.name = "net",
	.group = "Devices",
	ITEMS(net, net_count, net_config, NETS_MAX),
	.id_prefix = "_net",
	KEYS(net_keys),
	.later = LATER_DEVICE,
	.doc = "virtio network card",
	SERVED,
};

int complete_nets(struct vm_config *c, struct diag *d)
{
	for (unsigned i = 0; i < c->net_count; i++) {
		uint8_t mac[MAC_BYTES];
		char text[MAC_TEXT_BYTES];

		if (c->net[i].mac)
			continue;
		mac_random(mac);
		c->net[i].mac = strdup(mac_print(mac, text));
		if (!c->net[i].mac)
			return diag_fail(d, ENOMEM, "out of memory");
	}
	return 0;
}

/* ---- rules ----------------------------------------------------------------
 */

/* Linux, net/core/dev.c, dev_valid_name() */
static int check_tap(const struct net_config *n, struct diag *d)
{
	if (!n->tap)
		return 0;
	if (n->fd.count)
		return diag_fail(d, EINVAL,
				 "--net tap=%.60s: fd= names a tap already; "
				 "give one of the two",
				 n->tap);
	if (strlen(n->tap) >= IFNAMSIZ)
		return diag_fail(d, EINVAL,
				 "--net tap=%.60s: longer than %d characters",
				 n->tap, IFNAMSIZ - 1);
	if (strpbrk(n->tap, "/: \t\n") || !strcmp(n->tap, ".") ||
	    !strcmp(n->tap, ".."))
		return diag_fail(d, EINVAL,
				 "--net tap=%s: no name of an interface: no /, "
				 ": or spaces",
				 n->tap);
	return 0;
}

static int check_mac(const char *key, const char *text, struct diag *d)
{
	uint8_t mac[MAC_BYTES];

	if (!text)
		return 0;
	if (!mac_parse(text, mac))
		return diag_fail(d, EINVAL,
				 "--net %s=%.60s: not a MAC address such as "
				 "52:54:00:12:34:56",
				 key, text);
	if (mac_is_multicast(mac))
		return diag_fail(d, EINVAL,
				 "--net %s=%s: a multicast address; the first "
				 "byte must be even",
				 key, text);
	if (mac_is_zero(mac))
		return diag_fail(d, EINVAL, "--net %s=%s: must not be zero",
				 key, text);
	return 0;
}

static int check_ip(const struct net_config *n, struct diag *d)
{
	struct ip_addr ip, mask;

	if (n->mask && !n->ip)
		return diag_fail(d, EINVAL,
				 "--net mask=%.60s: also needs ip=", n->mask);
	if (!n->ip)
		return 0;
	if (!ip_parse(n->ip, &ip))
		return diag_fail(d, EINVAL,
				 "--net ip=%.60s: neither an IPv4 nor an IPv6 "
				 "address",
				 n->ip);
	if (!n->mask)
		return 0;
	if (!ip_parse(n->mask, &mask) || mask.family != ip.family ||
	    ip_prefix(&mask) < 0)
		return diag_fail(d, EINVAL,
				 "--net mask=%.60s: not a mask for ip=%s, such "
				 "as %s",
				 n->mask, n->ip,
				 ip.family == AF_INET
					 ? "255.255.255.0"
					 : "ffff:ffff:ffff:ffff::");
	return 0;
}

static int check_queues(const struct net_config *n, struct diag *d)
{
	if (n->num_queues % 2)
		return diag_fail(d, EINVAL,
				 "--net num_queues=%u: must be even, one to "
				 "receive and one to send for each pair",
				 n->num_queues);
	if (n->fd.count && 2 * n->fd.count != n->num_queues)
		return diag_fail(
			d, EINVAL,
			"--net fd=: %u descriptors need num_queues=%u, "
			"two each",
			n->fd.count, 2 * n->fd.count);
	if (!is_pow2(n->queue_size))
		return diag_fail(d, EINVAL,
				 "--net queue_size=%u: must be a power of two",
				 n->queue_size);
	return 0;
}

static int check_tap_keys(const struct net_config *n, struct diag *d)
{
	const struct given_key keys[] = {
		{ n->tap, "tap" },
		{ n->fd.count, "fd" },
		{ n->ip, "ip" },
		{ n->mask, "mask" },
		{ n->host_mac, "host_mac" },
		{ n->vhost, "vhost" },
		{ n->rate.bandwidth.size, "bw_size" },
		{ n->rate.ops.size, "ops_size" },
	};

	return check_own_keys("--net", keys, ARRAY_SIZE(keys), d);
}

static int check_remote(const struct vm_config *c, const struct net_config *n,
			struct diag *d)
{
	int err = n->vhost_user ? check_tap_keys(n, d) : 0;

	if (err)
		return err;
	if (n->vhost_user && n->num_queues > REMOTE_QUEUES_MAX)
		return diag_fail(d, EINVAL,
				 "--net vhost_user=on num_queues=%u: must be "
				 "at most %d",
				 n->num_queues, REMOTE_QUEUES_MAX);
	if (!n->vhost_user && n->vhost_mode == VHOST_SERVER)
		return diag_fail(d, EINVAL,
				 "--net vhost_mode=server: works only with "
				 "vhost_user=on");
	return check_socket(c, "--net", n->vhost_user, n->socket, d);
}

/* A tap behind fd= is looked for when it is opened. */
static int check_vhost(const struct net_config *n, struct diag *d)
{
	if (!n->vhost || (!n->rate.bandwidth.size && !n->rate.ops.size))
		return 0;
	return diag_fail(d, EINVAL,
			 "--net vhost=on: the kernel's vhost-net has no rate "
			 "limits: leave out %s_size=, or vhost=on",
			 n->rate.bandwidth.size ? "bw" : "ops");
}

int check_nets(const struct vm_config *c, struct diag *d)
{
	int ret = 0;

	for (unsigned i = 0; i < c->net_count && !ret; i++) {
		const struct net_config *n = &c->net[i];

		ret = check_tap(n, d);
		if (!ret)
			ret = check_mac("mac", n->mac, d);
		if (!ret)
			ret = check_mac("host_mac", n->host_mac, d);
		if (!ret)
			ret = check_ip(n, d);
		if (!ret)
			ret = check_queues(n, d);
		if (!ret)
			ret = rate_config_check(&n->rate, "--net", d);
		if (!ret)
			ret = check_remote(c, n, d);
		if (!ret)
			ret = check_vhost(n, d);
	}
	return ret;
}
