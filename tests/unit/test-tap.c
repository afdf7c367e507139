/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: tests of network back ends and network addresses
 *
 * Each test runs in a process of its own (Check forks), in a network namespace
 * of its own with made-up root rights, so that it needs no privilege and
 * leaves nothing behind. Where that is not allowed the tap tests are skipped,
 * which is said on standard error.
 */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/net-addr.h"

#include "devices/net/net.h"
#include "tests/unit/patience.h"
#include "tests/unit/suite.h"

static struct diag d;
static char why[512];

static const char *said(void)
{
	return diag_format(&d, why, sizeof(why));
}

/* ---- addresses ----------------------------------------------------------- */

static const struct {
	const char *text;
	bool ok;
} macs[] = {
	{ "52:54:00:12:34:56", true },
	{ "AA:bb:CC:dd:EE:ff", true },
	{ "52:54:00:12:34", false },
	{ "52:54:00:12:34:56:", false },
	{ "52-54-00-12-34-56", false },
	{ "5:254:00:12:34:56", false },
	{ "gg:54:00:12:34:56", false },
	{ "+2:54:00:12:34:56", false },
	{ "", false },
};

START_TEST(mac_from_text)
{
	uint8_t mac[MAC_BYTES] = { 1 };
	char text[MAC_TEXT_BYTES];

	ck_assert_int_eq(mac_parse(macs[_i].text, mac), macs[_i].ok);
	if (macs[_i].ok)
		ck_assert_int_eq(
			strcasecmp(mac_print(mac, text), macs[_i].text), 0);
	else
		ck_assert_uint_eq(mac[0], 1);
}
END_TEST

START_TEST(mac_by_chance)
{
	uint8_t a[MAC_BYTES], b[MAC_BYTES];

	mac_random(a);
	mac_random(b);
	ck_assert_mem_ne(a, b, MAC_BYTES);
	ck_assert(!mac_is_multicast(a) && !mac_is_zero(a));
	ck_assert_uint_eq(a[0] & 3, 2);
}
END_TEST

static const struct {
	const char *mask;
	int prefix;
} masks[] = {
	{ "255.255.255.0", 24 },
	{ "255.255.255.255", 32 },
	{ "0.0.0.0", 0 },
	{ "255.0.255.0", -1 },
	{ "ffff:ffff::", 32 },
	{ "ffff:ffff:ffff:fffe::", 63 },
	{ "::", 0 },
	{ "ffff::1", -1 },
};

START_TEST(mask_to_prefix)
{
	struct ip_addr ip;

	ck_assert(ip_parse(masks[_i].mask, &ip));
	ck_assert_int_eq(ip_prefix(&ip), masks[_i].prefix);
	ck_assert(!ip_parse("1.2.3", &ip));
	ck_assert(!ip_parse("", &ip));
}
END_TEST

/* ---- taps ---------------------------------------------------------------- */

static struct net_config config(const char *tap, unsigned pairs)
{
	return (struct net_config){ .tap = (char *)(uintptr_t)tap,
				    .num_queues = 2 * pairs };
}

static struct net_config given(uint32_t *fds, unsigned count)
{
	return (struct net_config){ .fd = { fds, count },
				    .num_queues = 2 * count };
}

static bool namespace(void)
{
	int fd;

	if (unshare(CLONE_NEWNET) && unshare(CLONE_NEWUSER | CLONE_NEWNET)) {
		fprintf(stderr, "# skipped: no network namespace: %s\n",
			strerror(errno));
		return false;
	}
	fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		fprintf(stderr, "# skipped: /dev/net/tun: %s\n",
			strerror(errno));
		return false;
	}
	close(fd);
	return true;
}

static struct ifreq ask(const char *name, unsigned long what)
{
	struct ifreq req = { 0 };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	strncpy(req.ifr_name, name, IFNAMSIZ - 1);
	ck_assert_msg(!ioctl(fd, what, &req), "%s: %s", name, strerror(errno));
	close(fd);
	return req;
}

static uint32_t address(const char *name, unsigned long what)
{
	struct ifreq req = ask(name, what);
	struct sockaddr_in a;

	memcpy(&a, &req.ifr_addr, sizeof(a));
	return ntohl(a.sin_addr.s_addr);
}

/* Everything at once, and all of it gone afterwards. */
START_TEST(tap_is_made)
{
	struct net_config c = config("t0", 1);
	struct net_backend *b = NULL;
	struct ifreq req;

	c.ip = (char[]){ "192.168.7.1" };
	c.mask = (char[]){ "255.255.255.128" };
	c.host_mac = (char[]){ "52:54:00:01:02:03" };
	c.mtu = 9000;
	if (!namespace())
		return;
	ck_assert_msg(!net_backend_open(&b, &c, &d), "%s", said());
	ck_assert_uint_eq(b->pair_count, 1);
	ck_assert_uint_eq(b->mtu, 9000);
	ck_assert_uint_eq(b->features & NET_F_GUEST_TSO4, NET_F_GUEST_TSO4);
	ck_assert_int_eq(ask("t0", SIOCGIFMTU).ifr_mtu, 9000);
	ck_assert_uint_eq(address("t0", SIOCGIFADDR), 0xc0a80701);
	ck_assert_uint_eq(address("t0", SIOCGIFNETMASK), 0xffffff80);
	ck_assert_uint_eq(address("t0", SIOCGIFBRDADDR), 0xc0a8077f);
	req = ask("t0", SIOCGIFHWADDR);
	ck_assert_mem_eq(req.ifr_hwaddr.sa_data, "\x52\x54\0\1\2\3", 6);
	ck_assert(ask("t0", SIOCGIFFLAGS).ifr_flags & IFF_UP);
	net_backend_free(b);
	ck_assert_uint_eq(if_nametoindex("t0"), 0);
}
END_TEST

START_TEST(tap_without_a_name)
{
	struct net_config c = config(NULL, 1);
	struct net_backend *a = NULL, *b = NULL;

	if (!namespace())
		return;
	ck_assert_int_eq(net_backend_open(&a, &c, &d), 0);
	ck_assert_int_eq(net_backend_open(&b, &c, &d), 0);
	ck_assert_uint_ne(if_nametoindex("vmtap0"), 0);
	ck_assert_uint_ne(if_nametoindex("vmtap1"), 0);
	ck_assert_uint_eq(a->mtu, 1500);
	net_backend_free(a);
	net_backend_free(b);
}
END_TEST

static bool has_v6(const char *name, const char *line)
{
	FILE *f = fopen("/proc/self/net/if_inet6", "re");
	char text[128];
	bool found = false;

	while (f && fgets(text, sizeof(text), f))
		found |= !strncmp(text, line, strlen(line)) &&
			 strstr(text, name);
	if (f)
		fclose(f);
	return found;
}

START_TEST(tap_with_ipv6)
{
	struct net_config c = config("t0", 1);
	struct net_backend *b = NULL;

	c.ip = (char[]){ "fd00::7" };
	c.mask = (char[]){ "ffff:ffff:ffff::" };
	if (!namespace())
		return;
	if (access("/proc/self/net/if_inet6", R_OK)) {
		fprintf(stderr, "# skipped: this host has no IPv6\n");
		return;
	}
	ck_assert_msg(!net_backend_open(&b, &c, &d), "%s", said());
	ck_assert(has_v6("t0", "fd000000000000000000000000000007 "));
	net_backend_free(b);
}
END_TEST

/* A packet from the host's stack comes with a header, and one of ours gets
 * there: an ARP request by us for the host's address is answered. */
START_TEST(tap_moves_packets)
{
	uint8_t ask_arp[NET_HDR_BYTES + 42] = { 0 }, got[2000];
	static const uint8_t arp[42] = {
		255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0,  1, 8, 6,
		0,   1,	  8,   0,   6,	 4,   0, 1, 2, 0, 0,  0, 0, 1,
		10,  0,	  0,   2,   0,	 0,   0, 0, 0, 0, 10, 0, 0, 1,
	};
	struct iovec out = { ask_arp, sizeof(ask_arp) };
	struct iovec in = { got, sizeof(got) };
	struct net_config c = config("t0", 1);
	struct net_backend *b = NULL;
	bool answered = false;

	c.ip = (char[]){ "10.0.0.1" };
	c.mask = (char[]){ "255.0.0.0" };
	if (!namespace())
		return;
	ck_assert_int_eq(net_backend_open(&b, &c, &d), 0);
	memcpy(ask_arp + NET_HDR_BYTES, arp, sizeof(arp));
	ck_assert_int_eq(b->ops->set_offloads(b, NET_F_GUEST_CSUM), 0);
	ck_assert_int_eq(b->ops->send(b, 0, &out, 1), 0);
	for (unsigned i = 0; i < 50 && !answered; i++) {
		struct pollfd p = { .fd = b->fd[0], .events = POLLIN };
		ssize_t n;

		ck_assert_int_eq(poll(&p, 1, PATIENCE_MS), 1);
		n = b->ops->recv(b, 0, &in, 1);
		answered = n >= (ssize_t)sizeof(ask_arp) &&
			   got[NET_HDR_BYTES + 12] == 8 &&
			   got[NET_HDR_BYTES + 13] == 6 &&
			   got[NET_HDR_BYTES + 21] == 2;
	}
	ck_assert(answered);
	while (b->ops->recv(b, 0, &in, 1) > 0)
		;
	ck_assert_int_eq(b->ops->recv(b, 0, &in, 1), -EAGAIN);
	net_backend_free(b);
}
END_TEST

START_TEST(tap_has_several_queues)
{
	struct net_config c = config("t0", 4);
	struct net_backend *b = NULL;

	if (!namespace())
		return;
	ck_assert_msg(!net_backend_open(&b, &c, &d), "%s", said());
	ck_assert_uint_eq(b->pair_count, 4);
	for (unsigned n = 1; n <= 4; n++)
		ck_assert_int_eq(b->ops->set_pairs(b, n), 0);
	for (unsigned n = 4; n >= 1; n--)
		ck_assert_int_eq(b->ops->set_pairs(b, n), 0);
	net_backend_free(b);
}
END_TEST

/* ---- taps that cannot be used ---------------------------------------------
 */

static int tap_fd(const char *name, int flags)
{
	struct ifreq req = { 0 };
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	strncpy(req.ifr_name, name, IFNAMSIZ - 1);
	req.ifr_flags = (short)(IFF_NO_PI | flags);
	ck_assert_int_eq(ioctl(fd, TUNSETIFF, &req), 0);
	return fd;
}

static void refused(struct net_config *c, const char *says)
{
	struct net_backend *b = NULL;

	d = (struct diag){ 0 };
	ck_assert_int_lt(net_backend_open(&b, c, &d), 0);
	ck_assert_ptr_null(b);
	ck_assert_str_eq(said(), says);
}

START_TEST(tap_is_busy)
{
	struct net_config c = config("t0", 1), two = config("t1", 2);
	int fd;

	if (!namespace())
		return;
	fd = tap_fd("t0", IFF_TAP);
	refused(&c, "--net tap=t0: another process uses it");
	close(fd);
	fd = tap_fd("t1", IFF_TAP);
	refused(&two, "--net tap=t1: is not a tap, or does not have several "
		      "queues: ip tuntap add dev NAME mode tap multi_queue");
	close(fd);
	fd = tap_fd("t0", IFF_TUN);
	refused(&c, "--net tap=t0: is not a tap, or does not have one queue: "
		    "ip tuntap add dev NAME mode tap");
	close(fd);
}
END_TEST

/* One queue of a tap that was made for several. */
START_TEST(tap_made_for_several)
{
	struct net_config c = config("t0", 1);
	struct net_backend *b = NULL;
	int fd;

	if (!namespace())
		return;
	fd = tap_fd("t0", IFF_TAP | IFF_MULTI_QUEUE | IFF_VNET_HDR);
	ck_assert_msg(!net_backend_open(&b, &c, &d), "%s", said());
	net_backend_free(b);
	close(fd);
}
END_TEST

static bool has_address(const char *name)
{
	struct ifreq req = { 0 };
	int fd = socket(AF_INET, SOCK_DGRAM, 0), ret;

	strncpy(req.ifr_name, name, IFNAMSIZ - 1);
	ret = ioctl(fd, SIOCGIFADDR, &req);
	close(fd);
	return !ret;
}

/* What was changed before the failure is as it was. */
START_TEST(tap_is_put_back)
{
	struct net_config c = config("t0", 1);
	struct ifreq mac;
	int fd;

	c.mtu = 2000;
	c.host_mac = (char[]){ "52:54:00:01:02:03" };
	c.ip = (char[]){ "10.0.0.1" };
	c.mask = (char[]){ "255.0.255.0" }; /* the kernel says no */
	if (!namespace())
		return;
	fd = tap_fd("t0", IFF_TAP | IFF_MULTI_QUEUE | IFF_VNET_HDR);
	mac = ask("t0", SIOCGIFHWADDR);
	refused(&c, "--net tap=t0: cannot set its address: Invalid argument");
	ck_assert_int_eq(ask("t0", SIOCGIFMTU).ifr_mtu, 1500);
	ck_assert_mem_eq(ask("t0", SIOCGIFHWADDR).ifr_hwaddr.sa_data,
			 mac.ifr_hwaddr.sa_data, 6);
	ck_assert(!(ask("t0", SIOCGIFFLAGS).ifr_flags & IFF_UP));
	ck_assert(!has_address("t0"));
	c.mtu = 65535;
	refused(&c, "--net mtu=65535: above what the host's t0 can have");
	close(fd);
}
END_TEST

/* Nor does it stay changed when something else is wrong, but it does when the
 * guest has run. */
START_TEST(tap_stays_if_begun)
{
	struct net_config c = config("t0", 1);
	struct net_backend *b = NULL;
	const char *line = "fd000000000000000000000000000007 ";
	int fd;

	c.mtu = 2000;
	c.ip = (char[]){ "fd00::7" };
	if (_i & 2)
		c.ip = (char[]){ "10.0.0.1" };
	if (!namespace())
		return;
	fd = tap_fd("t0", IFF_TAP | IFF_MULTI_QUEUE | IFF_VNET_HDR);
	ck_assert_msg(!net_backend_open(&b, &c, &d), "%s", said());
	ck_assert_int_eq(ask("t0", SIOCGIFMTU).ifr_mtu, 2000);
	ck_assert(_i & 2 ? has_address("t0") : has_v6("t0", line));
	b->begun = _i & 1;
	net_backend_free(b);
	ck_assert_int_eq(ask("t0", SIOCGIFMTU).ifr_mtu, _i & 1 ? 2000 : 1500);
	ck_assert_int_eq(!!(ask("t0", SIOCGIFFLAGS).ifr_flags & IFF_UP),
			 _i & 1);
	ck_assert_int_eq(_i & 2 ? has_address("t0") : has_v6("t0", line),
			 _i & 1);
	close(fd);
}
END_TEST

/* "10.0.0.1/8 ", the kernel's order; one call's text is gone with the next */
static const char *addresses(const char *name)
{
	static char text[256];
	struct ifaddrs *all, *i;

	text[0] = '\0';
	ck_assert_int_eq(getifaddrs(&all), 0);
	for (i = all; i; i = i->ifa_next) {
		struct ip_addr mask = { .family = AF_INET };
		struct sockaddr_in a, m;
		size_t used = strlen(text);

		if (strcmp(i->ifa_name, name) != 0 || !i->ifa_addr ||
		    i->ifa_addr->sa_family != AF_INET)
			continue;
		memcpy(&a, i->ifa_addr, sizeof(a));
		memcpy(&m, i->ifa_netmask, sizeof(m));
		mask.v4 = m.sin_addr;
		snprintf(text + used, sizeof(text) - used, "%s/%d ",
			 inet_ntoa(a.sin_addr), ip_prefix(&mask));
	}
	freeifaddrs(all);
	return text;
}

/* One after the other, on a tap that somebody else keeps. */
static const struct {
	const char *ip, *mask;
	bool begun;
	const char *then, *after;
} beside[] = {
	{ "10.1.2.1", "255.255.255.0", true, "10.1.2.1/24 ", "10.1.2.1/24 " },
	{ "10.9.9.9", NULL, false, "10.1.2.1/24 10.9.9.9/8 ", "10.1.2.1/24 " },
	{ "10.1.2.2", "255.255.255.0", true, "10.1.2.1/24 10.1.2.2/24 ",
	  "10.1.2.1/24 10.1.2.2/24 " },
	{ "172.16.0.1", NULL, false, "10.1.2.1/24 172.16.0.1/16 10.1.2.2/24 ",
	  "10.1.2.1/24 10.1.2.2/24 " },
	{ "10.1.2.2", NULL, false, "10.1.2.1/24 10.1.2.2/24 ",
	  "10.1.2.1/24 10.1.2.2/24 " },
	{ "10.1.2.1", "255.255.255.0", false, "10.1.2.1/24 10.1.2.2/24 ",
	  "10.1.2.1/24 10.1.2.2/24 " },
	/* The same once more, but of a wider network. */
	{ "10.1.2.1", "255.255.0.0", false,
	  "10.1.2.1/24 10.1.2.1/16 10.1.2.2/24 ", "10.1.2.1/24 10.1.2.2/24 " },
	{ "192.168.1.1", NULL, true, "10.1.2.1/24 192.168.1.1/24 10.1.2.2/24 ",
	  "10.1.2.1/24 192.168.1.1/24 10.1.2.2/24 " },
};

START_TEST(tap_keeps_its_addresses)
{
	struct net_config c = config("t0", 1);
	struct net_backend *b = NULL;
	int fd;

	if (!namespace())
		return;
	fd = tap_fd("t0", IFF_TAP | IFF_MULTI_QUEUE | IFF_VNET_HDR);
	for (size_t i = 0; i < ARRAY_SIZE(beside); i++) {
		c.ip = (char *)(uintptr_t)beside[i].ip;
		c.mask = (char *)(uintptr_t)beside[i].mask;
		ck_assert_msg(!net_backend_open(&b, &c, &d), "%s", said());
		ck_assert_str_eq(addresses("t0"), beside[i].then);
		b->begun = beside[i].begun;
		net_backend_free(b);
		ck_assert_str_eq(addresses("t0"), beside[i].after);
	}
	c.ip = (char[]){ "224.0.0.5" };
	c.mask = NULL;
	refused(&c, "--net tap=t0: cannot set its address: Invalid argument");
	close(fd);
}
END_TEST

/* What is there already needs no right. */
START_TEST(tap_has_the_address)
{
	struct net_config c = config("t0", 1);
	struct net_backend *b = NULL;
	int fd;

	if (!namespace())
		return;
	fd = tap_fd("t0", IFF_TAP | IFF_MULTI_QUEUE | IFF_VNET_HDR);
	c.ip = (char[]){ "10.1.2.1" };
	c.mask = (char[]){ "255.255.255.0" };
	ck_assert_msg(!net_backend_open(&b, &c, &d), "%s", said());
	b->begun = true;
	net_backend_free(b);
	c = given(&(uint32_t){ (uint32_t)fd }, 1);
	c.ip = (char[]){ "10.1.2.1" };
	c.mask = (char[]){ "255.255.255.0" };
	if (unshare(CLONE_NEWUSER)) {
		fprintf(stderr, "# skipped: no user namespace\n");
		return;
	}
	ck_assert_msg(!net_backend_open(&b, &c, &d), "%s", said());
	net_backend_free(b);
	c.mask = (char[]){ "255.255.0.0" };
	refused(&c, "--net tap=t0: no permission to set its address: set it "
		    "before, or run with CAP_NET_ADMIN");
	close(fd);
}
END_TEST

START_TEST(tap_without_permission)
{
	struct net_config c = config("t0", 1);

	if (!namespace())
		return;
	/* Without a mapping nobody has a capability in here. */
	if (unshare(CLONE_NEWUSER)) {
		fprintf(stderr, "# skipped: no user namespace\n");
		return;
	}
	refused(&c, "--net tap=t0: no permission: run with CAP_NET_ADMIN, or "
		    "make the tap for this user: ip tuntap add dev NAME mode "
		    "tap user USER");
}
END_TEST

/* ---- given descriptors -----------------------------------------------------
 */

START_TEST(tap_by_descriptor)
{
	uint32_t fds[2];
	struct net_config c = given(fds, 2);
	struct net_backend *b = NULL;
	int flags = IFF_TAP | IFF_MULTI_QUEUE;
	char says[200];

	if (!namespace())
		return;
	fds[0] = (uint32_t)tap_fd("t0", flags | IFF_VNET_HDR);
	fds[1] = (uint32_t)tap_fd("t0", flags | IFF_VNET_HDR);
	ck_assert_msg(!net_backend_open(&b, &c, &d), "%s", said());
	ck_assert_uint_eq(b->pair_count, 2);
	ck_assert_int_eq(b->ops->set_pairs(b, 1), 0);
	net_backend_free(b);
	/* They stay the caller's. */
	ck_assert_uint_ne(if_nametoindex("t0"), 0);
	close((int)fds[1]);
	fds[1] = (uint32_t)tap_fd("t1", flags | IFF_VNET_HDR);
	snprintf(says, sizeof(says),
		 "--net fd=%u: belongs to another tap than fd=%u", fds[1],
		 fds[0]);
	refused(&c, says);
	fds[1] = (uint32_t)tap_fd("t2", flags);
	c.fd.v++;
	c.fd.count = 1;
	snprintf(says, sizeof(says),
		 "--net fd=%u: open the tap with IFF_VNET_HDR", fds[1]);
	refused(&c, says);
}
END_TEST

START_TEST(descriptor_is_of_no_use)
{
	uint32_t fd = 1000;
	struct net_config c = given(&fd, 1);
	int pair[2];
	char says[200];

	refused(&c, "--net fd=1000: give the number of a descriptor that "
		    "spandrel inherits: Bad file descriptor");
	fd = (uint32_t)open("/dev/null", O_RDWR | O_CLOEXEC);
	snprintf(says, sizeof(says),
		 "--net fd=%u: is neither a tap nor a datagram socket", fd);
	refused(&c, says);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	fd = (uint32_t)pair[0];
	snprintf(says, sizeof(says),
		 "--net fd=%u: a stream socket keeps no packets apart; use "
		 "SOCK_DGRAM or SOCK_SEQPACKET",
		 fd);
	refused(&c, says);
}
END_TEST

START_TEST(socket_moves_packets)
{
	static const int types[] = { SOCK_DGRAM, SOCK_SEQPACKET };
	uint8_t got[100], packet[60] = { 1, 2, 3 };
	struct iovec in[2] = { { got, 12 }, { got + 12, 88 } };
	struct iovec out = { packet, sizeof(packet) };
	struct net_backend *b = NULL;
	struct net_config c;
	uint32_t fd;
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, types[_i], 0, pair), 0);
	fd = (uint32_t)pair[0];
	c = given(&fd, 1);
	ck_assert_msg(!net_backend_open(&b, &c, &d), "%s", said());
	ck_assert_int_eq(b->ops->recv(b, 0, in, 2), -EAGAIN);
	ck_assert_int_eq(write(pair[1], packet, 60), 60);
	ck_assert_int_eq(b->ops->recv(b, 0, in, 2), 60);
	ck_assert_mem_eq(got, packet, 60);
	ck_assert_int_eq(b->ops->send(b, 0, &out, 1), 0);
	ck_assert_int_eq(read(pair[1], got, 100), 60);
	ck_assert_int_eq(b->ops->set_pairs(b, 1), 0);
	close(pair[1]);
	if (types[_i] == SOCK_SEQPACKET)
		ck_assert_int_eq(b->ops->recv(b, 0, in, 2), -EAGAIN);
	net_backend_free(b);
	close(pair[0]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("tap");
	TCase *tc = tcase_create("tap");

	tcase_add_loop_test(tc, mac_from_text, 0, ARRAY_SIZE(macs));
	tcase_add_test(tc, mac_by_chance);
	tcase_add_loop_test(tc, mask_to_prefix, 0, ARRAY_SIZE(masks));
	tcase_add_test(tc, tap_is_made);
	tcase_add_test(tc, tap_without_a_name);
	tcase_add_test(tc, tap_with_ipv6);
	tcase_add_test(tc, tap_moves_packets);
	tcase_add_test(tc, tap_has_several_queues);
	tcase_add_test(tc, tap_is_busy);
	tcase_add_test(tc, tap_made_for_several);
	tcase_add_test(tc, tap_is_put_back);
	tcase_add_loop_test(tc, tap_stays_if_begun, 0, 4);
	tcase_add_test(tc, tap_keeps_its_addresses);
	tcase_add_test(tc, tap_has_the_address);
	tcase_add_test(tc, tap_without_permission);
	tcase_add_test(tc, tap_by_descriptor);
	tcase_add_test(tc, descriptor_is_of_no_use);
	tcase_add_loop_test(tc, socket_moves_packets, 0, 2);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
