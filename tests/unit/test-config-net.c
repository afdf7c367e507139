/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: --net: what it turns into, and what is refused with which sentence */
#include <check.h>
#include <string.h>

#include "vmm/config.h"
#include "vmm/net-addr.h"
#include "vmm/schema.h"

#include "tests/unit/suite.h"

static struct vm_config config;
static struct diag d;
static char why[512];

static void setup(void)
{
	d = (struct diag){ 0 };
	ck_assert_int_eq(vm_config_init(&config, "x86_64", &d), 0);
}

static void teardown(void)
{
	vm_config_release(&config);
}

static int give(const char *value)
{
	const struct schema_option *o =
		schema_find(&vm_config_schema, "net", 3);
	int ret = schema_parse(o, value, &config, &d);

	if (!ret)
		ret = vm_config_complete(&config, &d);
	return ret ? ret : vm_config_check(&config, "x86_64", &d);
}

START_TEST(defaults)
{
	const struct net_config *n;
	uint8_t mac[MAC_BYTES];

	ck_assert_int_eq(give("tap=t0"), 0);
	ck_assert_int_eq(give("mac=52:54:00:00:00:01"), 0);
	ck_assert_uint_eq(config.net_count, 2);
	n = &config.net[0];
	ck_assert_str_eq(n->id, "_net0");
	ck_assert_str_eq(n->tap, "t0");
	ck_assert(mac_parse(n->mac, mac) && !mac_is_multicast(mac));
	ck_assert_uint_eq(n->num_queues, 2);
	ck_assert_uint_eq(n->queue_size, 256);
	ck_assert(n->offload_tso && n->offload_ufo && n->offload_csum);
	ck_assert(!n->vhost);
	ck_assert_str_eq(config.net[1].id, "_net1");
	ck_assert_str_eq(config.net[1].mac, "52:54:00:00:00:01");
	ck_assert_ptr_null(config.net[1].tap);
}
END_TEST

START_TEST(everything)
{
	const struct net_config *n;

	ck_assert_int_eq(
		give("fd=[5,6],ip=10.0.0.1,mask=255.0.0.0,mtu=9000,id=lan,"
		     "host_mac=02:00:00:00:00:02,num_queues=4,queue_size=1024,"
		     "offload_tso=off,bw_size=1M,bw_refill_time=100,"
		     "ops_size=1000,ops_one_time_burst=5,ops_refill_time=200"),
		0);
	n = &config.net[0];
	ck_assert_uint_eq(n->fd.count, 2);
	ck_assert_uint_eq(n->fd.v[1], 6);
	ck_assert_uint_eq(n->mtu, 9000);
	ck_assert_str_eq(n->id, "lan");
	ck_assert(!n->offload_tso);
	ck_assert_uint_eq(n->rate.bandwidth.size, 1 << 20);
	ck_assert_uint_eq(n->rate.ops.one_time_burst, 5);
	ck_assert_uint_eq(n->rate.ops.refill_time_ms, 200);
}
END_TEST

START_TEST(remote)
{
	config.memory.shared = true;
	ck_assert_int_eq(give("vhost_user=on,socket=s,vhost_mode=server,"
			      "mtu=1500"),
			 0);
	ck_assert(config.net[0].vhost_user && config.net[0].mac);
	ck_assert_str_eq(config.net[0].socket, "s");
	ck_assert_int_eq(config.net[0].vhost_mode, VHOST_SERVER);
}
END_TEST

static const struct {
	const char *value, *says;
} bad[] = {
	{ "tap=a123456789012345",
	  "--net tap=a123456789012345: longer than 15 characters" },
	{ "tap=a/b",
	  "--net tap=a/b: no name of an interface: no /, : or spaces" },
	{ "tap=..",
	  "--net tap=..: no name of an interface: no /, : or spaces" },
	{ "tap=t0,fd=5",
	  "--net tap=t0: fd= names a tap already; give one of the two" },
	{ "mtu=1279", "--net mtu=1279: must be a number, 1280 to 65535" },
	{ "mtu=0", "--net mtu=0: must be a number, 1280 to 65535" },
	{ "mtu=65536", "--net mtu=65536: must be a number, 1280 to 65535" },
	{ "mac=52:54:00:12:34",
	  "--net mac=52:54:00:12:34: not a MAC address such as "
	  "52:54:00:12:34:56" },
	{ "mac=53:54:00:12:34:56",
	  "--net mac=53:54:00:12:34:56: a multicast address; the first byte "
	  "must be even" },
	{ "host_mac=ff:ff:ff:ff:ff:ff",
	  "--net host_mac=ff:ff:ff:ff:ff:ff: a multicast address; the first "
	  "byte must be even" },
	{ "mac=00:00:00:00:00:00",
	  "--net mac=00:00:00:00:00:00: must not be zero" },
	{ "ip=10.0.0", "--net ip=10.0.0: neither an IPv4 nor an IPv6 address" },
	{ "mask=255.0.0.0", "--net mask=255.0.0.0: also needs ip=" },
	{ "ip=10.0.0.1,mask=255.0.255.0",
	  "--net mask=255.0.255.0: not a mask for ip=10.0.0.1, such as "
	  "255.255.255.0" },
	{ "ip=fd00::1,mask=255.255.255.0",
	  "--net mask=255.255.255.0: not a mask for ip=fd00::1, such as "
	  "ffff:ffff:ffff:ffff::" },
	{ "num_queues=3",
	  "--net num_queues=3: must be even, one to receive and one to send "
	  "for each pair" },
	{ "num_queues=514",
	  "--net num_queues=514: must be a number, 2 to 512" },
	{ "queue_size=100", "--net queue_size=100: must be a power of two" },
	{ "queue_size=65536",
	  "--net queue_size=65536: must be a number, 1 to 32768" },
	{ "fd=[3,4]", "--net fd=: 2 descriptors need num_queues=4, two each" },
	{ "bw_size=100",
	  "--net bw_size=100: also needs bw_refill_time=, in milliseconds" },
	{ "bw_refill_time=100",
	  "--net bw_size=0: a rate limit of 0 would stop everything; give a "
	  "size of at least 1, or no bw_ keys for no limit" },
	{ "vhost_user=on",
	  "--net: socket= is missing: where does the back end listen" },
	{ "vhost_user=on,socket=s",
	  "--net: a vhost-user back end must see the guest's RAM: give "
	  "--memory shared=on" },
	{ "vhost_user=on,socket=s,tap=t0",
	  "--net vhost_user=on: tap= is up to the back end: give it there, "
	  "not here" },
	{ "vhost_user=on,socket=s,num_queues=258",
	  "--net vhost_user=on num_queues=258: must be at most 256" },
	{ "socket=s", "--net socket=s: works only with vhost_user=on" },
	{ "vhost_mode=server",
	  "--net vhost_mode=server: works only with vhost_user=on" },
	{ "vhost_mode=x", "--net vhost_mode=x: must be client or server" },
	{ "vhost_user=on,socket=s,vhost=on",
	  "--net vhost_user=on: vhost= is up to the back end: give it there, "
	  "not here" },
	{ "vhost=on,bw_size=1M,bw_refill_time=100",
	  "--net vhost=on: the kernel's vhost-net has no rate limits: leave "
	  "out bw_size=, or vhost=on" },
	{ "vhost=on,ops_size=10,ops_refill_time=100",
	  "--net vhost=on: the kernel's vhost-net has no rate limits: leave "
	  "out ops_size=, or vhost=on" },
	{ "iommu=on", "--net iommu: not supported yet" },
};

START_TEST(by_vhost)
{
	ck_assert_int_eq(give("tap=t0,vhost=on,num_queues=4"), 0);
	ck_assert(config.net[0].vhost);
}
END_TEST

START_TEST(refused)
{
	ck_assert_int_lt(give(bad[_i].value), 0);
	ck_assert_str_eq(diag_format(&d, why, sizeof(why)), bad[_i].says);
}
END_TEST

START_TEST(same_id)
{
	ck_assert_int_eq(give("id=a"), 0);
	ck_assert_int_lt(give("id=a"), 0);
	ck_assert_str_eq(diag_format(&d, why, sizeof(why)),
			 "--net id=a: another --net has this name already");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("config-net");
	TCase *tc = tcase_create("config-net");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, defaults);
	tcase_add_test(tc, everything);
	tcase_add_test(tc, remote);
	tcase_add_test(tc, by_vhost);
	tcase_add_loop_test(tc, refused, 0, sizeof(bad) / sizeof(bad[0]));
	tcase_add_test(tc, same_id);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
