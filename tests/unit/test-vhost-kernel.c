/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: tests of devices whose rings the kernel serves (vhost=on)
 *
 * The kernel is fake-vhost.h. The tap is a datagram socket whose other end the
 * test holds; tap_open() is here, in place of tap.c. The loop index chooses the
 * transport.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "devices/net/net.h"
#include "devices/virtio/vsock.h"
#include "fake-vhost.h"
#include "tests/unit/driver-wait.h"
#include "tests/unit/suite.h"

#define TAKE_MS	   5000
#define QUEUE_SIZE 64
#define DATA	   BED_RAM_B
#define SPARE	   (DATA + 0x90000)
#define RING(q)	   (BED_RAM_A + (q)*0x8000ULL)
#define V1	   (VIRTIO_F_VERSION_1 | VIRTIO_F_RING_RESET)
#define MRG	   (1ULL << 15)
#define CTRL	   (1ULL << 17)
#define MQ	   (1ULL << 22)
#define CTRL_MAC   (1ULL << 23)
#define HDR	   NET_HDR_BYTES

static struct bed bed;
static struct device *dev;
static struct drv drv;
static struct net_config config;
static uint64_t later; /* features that a kernel may have one day */
static struct diag d;
static char why[512];

/* ---- a tap ----------------------------------------------------------------
 */

/**
 * struct wire - back end
 * @peer: the test's ends; @attached: pairs in use
 * @early: a ring was at work on a pair that was not in use
 */
static struct wire {
	struct net_backend b;
	int peer[2];
	unsigned attached;
	bool early, fail;
} wire;

static int wire_offloads(struct net_backend *b, uint64_t offloads)
{
	(void)b;
	(void)offloads;
	return 0;
}

static int wire_pairs(struct net_backend *b, unsigned pairs)
{
	for (unsigned i = MIN(pairs, wire.attached); i < b->pair_count; i++)
		wire.early |= fake_at_work(i, 0) || fake_at_work(i, 1);
	if (wire.fail)
		return -EINVAL;
	wire.attached = pairs;
	return 0;
}

static void wire_free(struct net_backend *b)
{
	net_backend_close(b);
}

static const struct net_backend_ops wire_ops = {
	.recv = net_readv,
	.send = net_writev,
	.set_offloads = wire_offloads,
	.set_pairs = wire_pairs,
	.free = wire_free,
};

int tap_open(struct net_backend **out, const struct net_config *c,
	     struct diag *diag)
{
	struct net_backend *b = &wire.b;

	memset(&wire, 0, sizeof(wire));
	b->vhost = true;
	ck_assert_int_eq(
		net_backend_init(b, &wire_ops, c->num_queues / 2, diag), 0);
	for (unsigned i = 0; i < b->pair_count; i++) {
		int pair[2];

		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK,
					    0, pair),
				 0);
		b->fd[i] = pair[0];
		wire.peer[i] = pair[1];
	}
	*out = b;
	return 0;
}

/* ---- bench ----------------------------------------------------------------
 */

static void open_bed(int how, uint64_t kernel)
{
	memset(&bed, 0, sizeof(bed));
	bed_open(&bed, how & 1 ? TRANSPORT_MMIO : TRANSPORT_PCI, true);
	bed.config.platform.access_platform = true;
	fake_begin(&bed.ram, kernel);
}

static int make(const char *cls, const void *item)
{
	int err;

	d = DIAG_INIT;
	err = device_new(&dev, device_class_find(cls), "_x", item, &bed.env,
			 NULL, &d);
	if (!err)
		dev->cls->reset(dev);
	return err;
}

static void begin(int how, unsigned pairs)
{
	config = (struct net_config){
		.mac = (char *)(uintptr_t) "52:54:00:12:34:56",
		.num_queues = 2 * pairs,
		.queue_size = QUEUE_SIZE,
		.vhost = true,
	};
	open_bed(how, FAKE_NET | later);
	ck_assert_msg(!make("virtio-net", &config), "%s",
		      diag_format(&d, why, sizeof(why)));
	drv_find(&drv, &bed, dev, how & 1 ? 0 : 1);
}

static void end(void)
{
	device_free(dev);
	fake_end();
	bed_close(&bed);
	for (unsigned i = 0; i < 2; i++)
		if (wire.peer[i])
			close(wire.peer[i]);
}

static void run(uint64_t features, unsigned queues)
{
	if (!drv.mmio)
		drv_msix(&drv, queues + 1);
	ck_assert_uint_eq(drv_negotiate(&drv, V1 | features), 11);
	for (unsigned q = 0; q < queues; q++)
		drv_queue(&drv, q, QUEUE_SIZE, RING(q));
	drv_go(&drv);
}

static void nap(void)
{
	drv_nap(&drv);
}

static uint32_t take(unsigned q)
{
	return drv_await(&drv, q, TAKE_MS);
}

static void nothing(unsigned q)
{
	drv_unused(&drv, q);
}

static void offer(unsigned q, unsigned count)
{
	static uint64_t next;

	for (unsigned i = 0; i < count; i++)
		drv_add(&drv, q, DATA + (next++ % 32) * 0x1000, 2048, true);
	drv_kick(&drv, q);
}

static void send_out(unsigned q, uint32_t len)
{
	drv_add(&drv, q, SPARE, len, false);
	drv_kick(&drv, q);
	ck_assert_uint_eq(take(q), 0);
}

static void wire_send(unsigned pair, size_t len)
{
	uint8_t packet[2048] = { 0 };

	ck_assert_int_eq(send(wire.peer[pair], packet, len, 0), (ssize_t)len);
}

/* The next packet that is not the card's announcement (RARP, 0x8035). */
static ssize_t wire_recv(unsigned pair)
{
	uint8_t packet[2048];
	ssize_t n;

	do
		n = recv(wire.peer[pair], packet, sizeof(packet), 0);
	while (n == HDR + 60 && packet[HDR + 12] == 0x80 &&
	       packet[HDR + 13] == 0x35);
	return n;
}

static void both_ways(unsigned pair, uint32_t len)
{
	offer(2 * pair, 1);
	wire_send(pair, len);
	ck_assert_uint_eq(take(2 * pair), len);
	send_out(2 * pair + 1, len + 1);
	ck_assert_int_eq(wire_recv(pair), len + 1);
}

static uint8_t command(unsigned q, const uint8_t *text, uint32_t len)
{
	const struct vbuf buf[2] = { { SPARE + 0x1000, len, 0 },
				     { SPARE + 0x1100, 1, D_WRITE } };
	uint8_t ack = 77;

	ram_write(&bed.ram, GPA(SPARE + 0x1000), text, len);
	drv_chain(&drv, q, buf, 2);
	drv_kick(&drv, q);
	ck_assert_uint_eq(take(q), 1);
	ram_read(&bed.ram, GPA(SPARE + 0x1100), &ack, 1);
	return ack;
}

/* ---- vhost-net ------------------------------------------------------------
 */

/* Content, interrupts, and more packets than the ring has entries. */
START_TEST(net_packets)
{
	uint8_t sent[100], got[100];

	begin(_i, 1);
	run(MRG | VIRTIO_F_EVENT_IDX, 2);
	ck_assert_str_eq(fake.path, "/dev/vhost-net");
	for (unsigned i = 0; i < sizeof(sent); i++)
		sent[i] = (uint8_t)(i * 7);
	drv_add(&drv, 0, DATA, 2048, true);
	drv_kick(&drv, 0);
	ck_assert_int_eq(send(wire.peer[0], sent, 100, 0), 100);
	ck_assert_uint_eq(take(0), 100);
	ram_read(&bed.ram, GPA(DATA), got, 100);
	ck_assert_mem_eq(got, sent, 100);
	while (!drv_interrupts(&drv, 0))
		nap();
	for (unsigned i = 0; i < 3 * QUEUE_SIZE; i++)
		both_ways(0, 60 + i);
	ck_assert_uint_eq(drv_status(&drv), 15);
	end();
}
END_TEST

/* Nothing that the kernel cannot do, and it is told what was negotiated. */
START_TEST(net_features)
{
	uint64_t bits;

	later = VIRTIO_F_RING_PACKED;
	begin(_i, 1);
	bits = drv_offered(&drv);
	ck_assert(!(bits & (VIRTIO_F_RING_PACKED | VIRTIO_F_IN_ORDER)));
	ck_assert_uint_eq(bits & (V1 | MRG | VIRTIO_F_ACCESS_PLATFORM),
			  V1 | MRG | VIRTIO_F_ACCESS_PLATFORM);
	run(MRG | CTRL | VIRTIO_F_ACCESS_PLATFORM | VIRTIO_F_EVENT_IDX, 3);
	ck_assert_uint_eq(fake.dev[0].features,
			  VIRTIO_F_VERSION_1 | MRG | VIRTIO_F_EVENT_IDX);
	end();
}
END_TEST

static bool kick_waits(const struct virtio_device *vd, unsigned queue)
{
	struct pollfd p = { .fd = vd->queue[queue].kick.fd, .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

/* No kick goes through a loop of ours, and no thread of ours is there. */
START_TEST(net_kicks)
{
	struct virtio_device *vd;

	begin(_i, 1);
	vd = container_of(dev, struct virtio_device, dev);
	run(0, 2);
	ck_assert_ptr_eq(vd->queue[0].loop, bed.env.loop);
	/* The fake takes the first one; the kernel would leave it. */
	while (kick_waits(vd, 1))
		nap();
	pthread_mutex_lock(&fake.lock);
	drv_kick(&drv, 1);
	bed_run(&bed, 3);
	ck_assert(kick_waits(vd, 1));
	pthread_mutex_unlock(&fake.lock);
	end();
}
END_TEST

/* Paused: the kernel touches nothing. What is there goes on afterwards. */
START_TEST(net_pause)
{
	begin(_i, 1);
	run(MRG, 2);
	both_ways(0, 100);
	offer(0, 3);
	dev->cls->pause(dev);
	ck_assert(!fake_at_work(0, 0) && !fake_at_work(0, 1));
	wire_send(0, 200);
	drv_add(&drv, 1, SPARE, 300, false);
	drv_kick(&drv, 1);
	nothing(0);
	ck_assert_int_eq(wire_recv(0), -1);
	dev->cls->resume(dev);
	ck_assert_uint_eq(take(0), 200);
	ck_assert_uint_eq(take(1), 0);
	ck_assert_int_eq(wire_recv(0), 300);
	both_ways(0, 100);
	end();
}
END_TEST

START_TEST(net_save_load)
{
	begin(_i, 1);
	run(MRG | VIRTIO_F_EVENT_IDX, 2);
	for (unsigned i = 0; i < 100; i++)
		both_ways(0, 100);
	offer(0, 2);
	bed_save_load(&bed, dev, 0, 0);
	both_ways(0, 70);
	both_ways(0, 80);
	ck_assert_uint_eq(drv_status(&drv), 15);
	end();
}
END_TEST

START_TEST(net_reset)
{
	begin(_i, 1);
	for (unsigned i = 0; i < 20; i++) {
		run(i % 2 ? MRG : 0, 2);
		offer(0, 10);
		both_ways(0, 100 + i);
		drv_set_status(&drv, 0);
		ck_assert(!fake_at_work(0, 0) && !fake_at_work(0, 1));
		ck_assert_uint_eq(drv_status(&drv), 0);
	}
	run(MRG, 2);
	drv_ring_reset(&drv, 0);
	ck_assert(!fake_at_work(0, 0) && fake_at_work(0, 1));
	wire_send(0, 200);
	drv_queue(&drv, 0, QUEUE_SIZE, RING(0));
	offer(0, 8);
	ck_assert_uint_eq(take(0), 200);
	end();
}
END_TEST

/* Pairs come and go by command; the kernel has no tap that is detached. */
START_TEST(net_pairs)
{
	static const uint8_t one[] = { 4, 0, 1, 0 }, two[] = { 4, 0, 2, 0 };

	begin(_i, 2);
	run(MRG | CTRL | MQ, 5);
	for (unsigned i = 0; i < 3; i++) {
		ck_assert(fake_at_work(0, 0) && fake_at_work(0, 1));
		ck_assert(!fake_at_work(1, 0) && !fake_at_work(1, 1));
		ck_assert_uint_eq(wire.attached, 1);
		ck_assert_uint_eq(command(4, two, sizeof(two)), 0);
		ck_assert(fake_at_work(1, 0) && fake_at_work(1, 1));
		both_ways(0, 100 + i);
		both_ways(1, 200 + i);
		wire.fail = true;
		ck_assert_uint_eq(command(4, one, sizeof(one)), 1);
		wire.fail = false;
		both_ways(1, 200 + i);
		ck_assert_uint_eq(command(4, one, sizeof(one)), 0);
		both_ways(0, 100);
	}
	ck_assert(!wire.early);
	bed_save_load(&bed, dev, 0, 0);
	ck_assert(fake_at_work(0, 0) && !fake_at_work(1, 0));
	ck_assert_uint_eq(command(4, two, sizeof(two)), 0);
	both_ways(1, 90);
	end();
}
END_TEST

/* The queue behind the only pair is ours, whatever it may be with MQ. */
START_TEST(net_control)
{
	static const uint8_t set_mac[] = { 1, 1, 2, 3, 4, 5, 6, 7 };

	begin(_i, 2);
	run(CTRL | CTRL_MAC, 3);
	ck_assert_uint_eq(command(2, set_mac, sizeof(set_mac)), 0);
	ck_assert(!fake_at_work(1, 0));
	both_ways(0, 100);
	drv_set_status(&drv, 0);
	run(CTRL | CTRL_MAC | MQ, 5);
	ck_assert_uint_eq(command(4, set_mac, sizeof(set_mac)), 0);
	end();
}
END_TEST

/* An interrupt that moves is told to the kernel. */
START_TEST(net_call_changed)
{
	unsigned cap, calls;

	begin(0, 1);
	run(0, 2);
	calls = fake.calls;
	cap = cfg_cap(&bed, 1, PCI_CAP_MSIX, 0);
	cfg_put(&bed, 1, cap + 2, 2, 0);
	ck_assert_uint_eq(fake.calls, calls + 2);
	drv_get(&drv, 0x1000, 1);
	send_out(1, 100);
	for (unsigned i = 0; i < 50; i++)
		nap();
	ck_assert_uint_eq(drv_get(&drv, 0x1000, 1), 1);
	end();
}
END_TEST

/* A head that does not exist: the kernel says so, the device needs a reset. */
START_TEST(net_broken_ring)
{
	begin(_i, 1);
	run(0, 2);
	drv_offer(&drv, 1, 0x7000);
	drv_kick(&drv, 1);
	for (unsigned i = 0; i < 50; i++)
		nap();
	ck_assert(drv_status(&drv) & VIRTIO_NEEDS_RESET);
	drv_set_status(&drv, 0);
	run(0, 2);
	both_ways(0, 100);
	end();
}
END_TEST

/* ---- what goes wrong -------------------------------------------------------
 */

static const unsigned long requests[] = {
	VK_SET_FEATURES, VK_SET_MEMORY, VK_SET_SIZE,
	VK_SET_BASE,	 VK_SET_PLACE,	VK_SET_CALL,
	VK_SET_ERR,	 VK_SET_KICK,	VK_SET_BACKEND,
};

/* The guest's device is broken then, and whole again after a reset. */
START_TEST(net_refused_at_start)
{
	begin(_i & 1, 1);
	fake.refuse = requests[_i >> 1];
	run(0, 2);
	ck_assert(drv_status(&drv) & VIRTIO_NEEDS_RESET);
	nap();
	fake.refuse = 0;
	drv_set_status(&drv, 0);
	run(0, 2);
	both_ways(0, 100);
	ck_assert_uint_eq(drv_status(&drv), 15);
	end();
}
END_TEST

/* If it does not say where it ended, the ring does. */
START_TEST(net_without_base)
{
	begin(_i, 1);
	run(0, 2);
	both_ways(0, 100);
	fake.refuse = VK_GET_BASE;
	dev->cls->pause(dev);
	dev->cls->resume(dev);
	both_ways(0, 100);
	end();
}
END_TEST

static const struct {
	int no_device;
	unsigned long refuse;
	uint64_t without;
	const char *says;
} errors[] = {
	{ .no_device = ENOENT,
	  .says = "--net vhost=on: this host has no /dev/vhost-net: modprobe "
		  "vhost_net" },
	{ .no_device = EACCES,
	  .says = "--net vhost=on: no permission to open /dev/vhost-net: give "
		  "this user access to it" },
	{ .no_device = EMFILE,
	  .says = "--net vhost=on: cannot open /dev/vhost-net: Too many open "
		  "files" },
	{ .refuse = VK_SET_OWNER,
	  .says = "--net vhost=on: the kernel refuses the owner: Bad address" },
	{ .refuse = VK_GET_FEATURES,
	  .says = "--net vhost=on: the kernel refuses the question for "
		  "features: Bad address" },
	{ .without = VIRTIO_F_VERSION_1,
	  .says = "--net vhost=on: this kernel's /dev/vhost-net is older than "
		  "virtio 1.0" },
};

START_TEST(net_cannot_open)
{
	config = (struct net_config){ .num_queues = 2,
				      .queue_size = QUEUE_SIZE,
				      .vhost = true };
	open_bed(0, FAKE_NET);
	fake.no_device = errors[_i].no_device;
	fake.refuse = errors[_i].refuse;
	fake.offers &= ~errors[_i].without;
	ck_assert_int_lt(make("virtio-net", &config), 0);
	ck_assert_str_eq(diag_format(&d, why, sizeof(why)), errors[_i].says);
	end();
}
END_TEST

START_TEST(net_needs_a_tap)
{
	uint32_t fd;
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
	fd = (uint32_t)pair[0];
	config = (struct net_config){ .num_queues = 2,
				      .queue_size = QUEUE_SIZE,
				      .fd = { &fd, 1 },
				      .vhost = true };
	open_bed(0, FAKE_NET);
	ck_assert_int_eq(make("virtio-net", &config), -EINVAL);
	snprintf(why, sizeof(why),
		 "--net vhost=on: works only with a tap, which fd=%u is not",
		 fd);
	ck_assert_str_eq(d.text[0], why);
	end();
	close(pair[0]);
	close(pair[1]);
}
END_TEST

START_TEST(net_is_not_served)
{
	static const struct virtio_transport served = { .data_only = true };

	config = (struct net_config){ .num_queues = 2,
				      .queue_size = QUEUE_SIZE,
				      .vhost = true };
	open_bed(0, FAKE_NET);
	bed.env.transport = &served;
	ck_assert_int_eq(make("virtio-net", &config), -EINVAL);
	ck_assert_str_eq(d.text[0],
			 "--net vhost=on: not for a device that is served by "
			 "vhost-user: its VMM has the kicks");
	end();
}
END_TEST

/* ---- vhost-vsock ----------------------------------------------------------
 */

static const struct vsock_config vsock = { .cid = 42, .vhost = true };

static void vsock_begin(int how)
{
	open_bed(how, FAKE_VSOCK);
	ck_assert_msg(!make("vhost-vsock", &vsock), "%s",
		      diag_format(&d, why, sizeof(why)));
	drv_find(&drv, &bed, dev, how & 1 ? 0 : 1);
}

static bool vsock_at_work(void)
{
	ck_assert_int_eq(fake_at_work(0, 0), fake_at_work(0, 1));
	return fake_at_work(0, 0);
}

/* A packet there and back, which is what our kernel does with it. */
static void echo(uint32_t len, uint8_t seed)
{
	uint8_t sent[512], got[512];

	memset(sent, seed, sizeof(sent));
	ram_write(&bed.ram, GPA(SPARE), sent, len);
	drv_add(&drv, VSOCK_RX, DATA, 4096, true);
	drv_kick(&drv, VSOCK_RX);
	send_out(VSOCK_TX, len);
	ck_assert_uint_eq(take(VSOCK_RX), len);
	ram_read(&bed.ram, GPA(DATA), got, len);
	ck_assert_mem_eq(got, sent, len);
}

START_TEST(vsock_packets)
{
	uint64_t bits;

	vsock_begin(_i);
	ck_assert_str_eq(fake.path, "/dev/vhost-vsock");
	ck_assert_uint_eq(fake.dev[0].cid, 42);
	ck_assert_uint_eq(drv_get(&drv, drv.mmio ? 0x100 : 0x2000, 4), 42);
	bits = drv_offered(&drv);
	ck_assert_uint_eq(bits & 3, VSOCK_F_STREAM | VSOCK_F_SEQPACKET);
	ck_assert(!(bits & (VIRTIO_F_RING_PACKED | VIRTIO_F_IN_ORDER)));
	run(3, VSOCK_QUEUES);
	ck_assert(vsock_at_work());
	ck_assert_uint_eq(fake.dev[0].features,
			  VIRTIO_F_VERSION_1 | VSOCK_F_SEQPACKET);
	for (unsigned i = 0; i < 2 * QUEUE_SIZE; i++)
		echo(44 + i, (uint8_t)i);
	while (!drv_interrupts(&drv, VSOCK_RX))
		nap();
	end();
}
END_TEST

/* One ring without the other does nothing, and forgets nothing. */
START_TEST(vsock_rings)
{
	vsock_begin(_i);
	run(0, 1);
	drv_add(&drv, VSOCK_RX, DATA, 4096, true);
	drv_kick(&drv, VSOCK_RX);
	ck_assert(!vsock_at_work());
	drv_queue(&drv, VSOCK_TX, QUEUE_SIZE, RING(VSOCK_TX));
	ck_assert(vsock_at_work());
	send_out(VSOCK_TX, 100);
	ck_assert_uint_eq(take(VSOCK_RX), 100);
	echo(60, 1);
	drv_ring_reset(&drv, VSOCK_TX);
	ck_assert(!vsock_at_work());
	drv_add(&drv, VSOCK_RX, DATA, 4096, true);
	drv_kick(&drv, VSOCK_RX);
	drv_queue(&drv, VSOCK_TX, QUEUE_SIZE, RING(VSOCK_TX));
	send_out(VSOCK_TX, 200);
	ck_assert_uint_eq(take(VSOCK_RX), 200);
	/* Kicked while nobody listens. */
	drv_ring_reset(&drv, VSOCK_RX);
	drv_add(&drv, VSOCK_TX, SPARE, 300, false);
	drv_kick(&drv, VSOCK_TX);
	nothing(VSOCK_TX);
	drv_queue(&drv, VSOCK_RX, QUEUE_SIZE, RING(VSOCK_RX));
	drv_add(&drv, VSOCK_RX, DATA, 4096, true);
	drv_kick(&drv, VSOCK_RX);
	ck_assert_uint_eq(take(VSOCK_RX), 300);
	end();
}
END_TEST

START_TEST(vsock_reset)
{
	vsock_begin(_i);
	for (unsigned i = 0; i < 10; i++) {
		run(0, VSOCK_QUEUES);
		echo(60, (uint8_t)i);
		drv_set_status(&drv, 0);
		ck_assert(!vsock_at_work());
	}
	end();
}
END_TEST

START_TEST(vsock_pause)
{
	vsock_begin(_i);
	run(0, VSOCK_QUEUES);
	echo(60, 1);
	dev->cls->pause(dev);
	ck_assert(!vsock_at_work());
	drv_add(&drv, VSOCK_RX, DATA, 4096, true);
	drv_add(&drv, VSOCK_TX, SPARE, 100, false);
	drv_kick(&drv, VSOCK_TX);
	nothing(VSOCK_RX);
	dev->cls->resume(dev);
	ck_assert_uint_eq(take(VSOCK_RX), 100);
	ck_assert_uint_eq(take(VSOCK_TX), 0);
	echo(60, 2);
	end();
}
END_TEST

/* The driver gets the event, once, when it has a buffer that can hold it. */
START_TEST(vsock_save_load)
{
	uint8_t event[4] = { 1, 1, 1, 1 };

	vsock_begin(_i);
	run(0, VSOCK_QUEUES);
	for (unsigned i = 0; i < 5; i++)
		echo(60, 1);
	ram_write(&bed.ram, GPA(SPARE + 0x2000), event, 4);
	bed_save_load(&bed, dev, 0, 0);
	drv_add(&drv, VSOCK_EVENT, SPARE + 0x2000, 2, true);
	drv_kick(&drv, VSOCK_EVENT);
	ck_assert_uint_eq(take(VSOCK_EVENT), 2);
	drv_add(&drv, VSOCK_EVENT, SPARE + 0x2000, 4, true);
	drv_add(&drv, VSOCK_EVENT, SPARE + 0x2000, 4, true);
	drv_kick(&drv, VSOCK_EVENT);
	ck_assert_uint_eq(take(VSOCK_EVENT), 4);
	ram_read(&bed.ram, GPA(SPARE + 0x2000), event, 4);
	ck_assert_mem_eq(event, "\0\0\0", 4);
	nothing(VSOCK_EVENT);
	for (unsigned i = 0; i < QUEUE_SIZE; i++)
		echo(60, 2);
	end();
}
END_TEST

static const unsigned long vsock_requests[] = {
	VK_SET_FEATURES, VK_SET_MEMORY,	 VK_SET_SIZE,
	VK_SET_KICK,	 VK_SET_RUNNING,
};

START_TEST(vsock_refused_at_start)
{
	vsock_begin(_i & 1);
	fake.refuse = vsock_requests[_i >> 1];
	run(0, VSOCK_QUEUES);
	ck_assert(drv_status(&drv) & VIRTIO_NEEDS_RESET);
	fake.refuse = 0;
	drv_set_status(&drv, 0);
	run(0, VSOCK_QUEUES);
	echo(60, 1);
	end();
}
END_TEST

static const struct {
	int no_device;
	uint64_t taken;
	unsigned long refuse;
	const char *says;
} vsock_errors[] = {
	{ .no_device = ENOENT,
	  .says = "--vsock vhost=on: this host has no /dev/vhost-vsock: "
		  "modprobe vhost_vsock" },
	{ .taken = 42,
	  .says = "--vsock vhost=on: another guest of this host has cid=42" },
	{ .refuse = VK_SET_CID,
	  .says = "--vsock vhost=on: the kernel refuses cid=42: Bad address" },
};

START_TEST(vsock_cannot_open)
{
	open_bed(0, FAKE_VSOCK);
	fake.no_device = vsock_errors[_i].no_device;
	fake.taken = vsock_errors[_i].taken;
	fake.refuse = vsock_errors[_i].refuse;
	ck_assert_int_lt(make("vhost-vsock", &vsock), 0);
	ck_assert_str_eq(diag_format(&d, why, sizeof(why)),
			 vsock_errors[_i].says);
	end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("vhost-kernel");
	TCase *tc = tcase_create("net");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, net_packets, 0, 2);
	tcase_add_loop_test(tc, net_features, 0, 2);
	tcase_add_loop_test(tc, net_kicks, 0, 2);
	tcase_add_loop_test(tc, net_pause, 0, 2);
	tcase_add_loop_test(tc, net_save_load, 0, 2);
	tcase_add_loop_test(tc, net_reset, 0, 2);
	tcase_add_loop_test(tc, net_pairs, 0, 2);
	tcase_add_loop_test(tc, net_control, 0, 2);
	tcase_add_test(tc, net_call_changed);
	tcase_add_loop_test(tc, net_broken_ring, 0, 2);
	tcase_add_loop_test(tc, net_refused_at_start, 0,
			    2 * ARRAY_SIZE(requests));
	tcase_add_loop_test(tc, net_without_base, 0, 2);
	tcase_add_loop_test(tc, net_cannot_open, 0, ARRAY_SIZE(errors));
	tcase_add_test(tc, net_needs_a_tap);
	tcase_add_test(tc, net_is_not_served);
	suite_add_tcase(suite, tc);
	tc = tcase_create("vsock");
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, vsock_packets, 0, 2);
	tcase_add_loop_test(tc, vsock_rings, 0, 2);
	tcase_add_loop_test(tc, vsock_reset, 0, 2);
	tcase_add_loop_test(tc, vsock_pause, 0, 2);
	tcase_add_loop_test(tc, vsock_save_load, 0, 2);
	tcase_add_loop_test(tc, vsock_refused_at_start, 0,
			    2 * ARRAY_SIZE(vsock_requests));
	tcase_add_loop_test(tc, vsock_cannot_open, 0, ARRAY_SIZE(vsock_errors));
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
