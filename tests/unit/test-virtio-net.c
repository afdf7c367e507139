/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: tests of the virtio network device, both transports and ring formats
 *
 * The other side of the cable is a datagram socket that the test holds. Queues
 * are served by threads of the device, so the tests wait for what they expect,
 * for up to PATIENCE_MS. The loop index chooses transport (bit 0) and ring
 * format (bit 1).
 */
#include <check.h>
#include <errno.h>
#include <sys/socket.h>
#include <time.h>

#include "vmm/net-addr.h"

#include "devices/net/net.h"
#include "tests/unit/driver-wait.h"
#include "tests/unit/suite.h"

#define QUEUE_SIZE 64
#define DATA	   BED_RAM_B
#define COMMANDS   (DATA + 0x90000)
#define RING(q)	   (BED_RAM_A + (q)*0x8000ULL)
#define V1	   (VIRTIO_F_VERSION_1 | VIRTIO_F_RING_RESET)
#define MRG	   (1ULL << 15)
#define CTRL	   (1ULL << 17)
#define CTRL_RX	   (1ULL << 18)
#define RX_EXTRA   (1ULL << 20)
#define ANNOUNCE   (1ULL << 21)
#define MQ	   (1ULL << 22)
#define CTRL_MAC   (1ULL << 23)
#define CTRL_GUEST (1ULL << 2)
#define HDR	   NET_HDR_BYTES

static struct bed bed;
static struct device *dev;
static struct drv drv;
static struct net_config config;
static uint32_t fds[2];
static int peer[2];

static void setup(void)
{
	memset(&bed, 0, sizeof(bed));
	config = (struct net_config){
		.mac = (char *)(uintptr_t) "52:54:00:12:34:56",
		.fd = { fds, 1 },
		.num_queues = 2,
		.queue_size = QUEUE_SIZE,
		.offload_tso = true,
		.offload_ufo = true,
		.offload_csum = true,
	};
}

static void begin(int how, unsigned pairs)
{
	config.fd.count = pairs;
	config.num_queues = 2 * pairs;
	for (unsigned i = 0; i < pairs; i++) {
		int pair[2];

		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK,
					    0, pair),
				 0);
		fds[i] = (uint32_t)pair[0];
		peer[i] = pair[1];
	}
	bed_open(&bed, how & 1 ? TRANSPORT_MMIO : TRANSPORT_PCI, false);
	bed.item = &config;
	dev = bed_add(&bed, "virtio-net");
	drv_find(&drv, &bed, dev, how & 1 ? 0 : 1);
}

static void end(void)
{
	device_free(dev);
	bed_close(&bed);
	for (unsigned i = 0; i < config.fd.count; i++) {
		close((int)fds[i]);
		close(peer[i]);
	}
}

/* Negotiate and start; packed rings if @how says so. */
static void run(int how, uint64_t features, unsigned queues)
{
	features |= V1 | (how & 2 ? VIRTIO_F_RING_PACKED : 0);
	if (!drv.mmio)
		drv_msix(&drv, queues + 1);
	ck_assert_uint_eq(drv_negotiate(&drv, features), 11);
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
	return drv_await(&drv, q, PATIENCE_MS);
}

static void nothing(unsigned q)
{
	drv_unused(&drv, q);
}

static void fill(uint8_t *packet, size_t len, uint8_t seed)
{
	memset(packet, 0, HDR);
	for (size_t i = HDR; i < len; i++)
		packet[i] = (uint8_t)(i * 7 + seed);
}

static void wire_send(unsigned pair, size_t len, uint8_t seed)
{
	uint8_t packet[70000];

	fill(packet, len, seed);
	ck_assert_int_eq(send(peer[pair], packet, len, 0), (ssize_t)len);
}

/* The next packet on the wire; its length. */
static size_t wire_recv(unsigned pair, uint8_t *packet, size_t size)
{
	struct pollfd p = { .fd = peer[pair], .events = POLLIN };
	ssize_t n;

	ck_assert_int_eq(poll(&p, 1, PATIENCE_MS), 1);
	n = recv(peer[pair], packet, size, 0);
	ck_assert_int_gt(n, 0);
	return (size_t)n;
}

static bool wire_is_quiet(unsigned pair)
{
	uint8_t byte;

	for (unsigned i = 0; i < 20; i++)
		nap();
	return recv(peer[pair], &byte, 1, MSG_PEEK) < 0;
}

/* A packet in the guest at @at is what wire_send() sent. */
static void check_packet(uint64_t at, size_t len, uint8_t seed,
			 uint16_t buffers)
{
	static uint8_t want[70000], got[70000];

	fill(want, len, seed);
	put_le16(want + 10, buffers);
	ck_assert(ram_read(&bed.ram, GPA(at), got, len));
	ck_assert_mem_eq(got, want, len);
}

static void offer_rx(unsigned q, unsigned count, uint32_t bytes)
{
	static uint64_t next;

	for (unsigned i = 0; i < count; i++)
		drv_add(&drv, q, DATA + (next++ % 64) * 0x1000, bytes, true);
	drv_kick(&drv, q);
}

/* ---- receiving ------------------------------------------------------------
 */

START_TEST(rx_packet)
{
	begin(_i, 1);
	run(_i, 0, 2);
	drv_add(&drv, 0, DATA, 2048, true);
	drv_kick(&drv, 0);
	wire_send(0, 112, 1);
	ck_assert_uint_eq(take(0), 112);
	check_packet(DATA, 112, 1, 1);
	while (!drv_interrupts(&drv, 0))
		nap();
	end();
}
END_TEST

/* Packets that are there before the buffers. */
START_TEST(rx_waits_for_buffers)
{
	begin(_i, 1);
	run(_i, 0, 2);
	for (unsigned i = 0; i < 3; i++)
		wire_send(0, 100 + i, (uint8_t)i);
	nothing(0);
	for (unsigned i = 0; i < 3; i++) {
		drv_add(&drv, 0, DATA + i * 4096ULL, 2048, true);
		drv_kick(&drv, 0);
		ck_assert_uint_eq(take(0), 100 + i);
		check_packet(DATA + i * 4096ULL, 100 + i, (uint8_t)i, 1);
	}
	end();
}
END_TEST

/* One packet in several buffers, and the rest of them for the next. */
START_TEST(rx_merged)
{
	begin(_i, 1);
	run(_i, MRG, 2);
	for (unsigned i = 0; i < 5; i++)
		drv_add(&drv, 0, DATA + 1000ULL * i, 1000, true);
	drv_kick(&drv, 0);
	wire_send(0, 2500, 3);
	ck_assert_uint_eq(take(0), 1000);
	ck_assert_uint_eq(take(0), 1000);
	ck_assert_uint_eq(take(0), 500);
	check_packet(DATA, 2500, 3, 3);
	wire_send(0, 500, 4);
	ck_assert_uint_eq(take(0), 500);
	check_packet(DATA + 3000, 500, 4, 1);
	end();
}
END_TEST

/* A long packet comes when there are too few buffers: nothing is lost. */
START_TEST(rx_held)
{
	begin(_i, 1);
	run(_i, MRG | NET_F_GUEST_CSUM | NET_F_GUEST_TSO4, 2);
	drv_add(&drv, 0, DATA, 1000, true);
	drv_kick(&drv, 0);
	wire_send(0, 60000, 9);
	nothing(0);
	for (unsigned i = 1; i < 60; i++)
		drv_add(&drv, 0, DATA + 1000ULL * i, 1000, true);
	drv_kick(&drv, 0);
	for (unsigned i = 0; i < 60; i++)
		ck_assert_uint_eq(take(0), 1000);
	check_packet(DATA, 60000, 9, 60);
	end();
}
END_TEST

/* The buffer of a packet that does not fit serves the next one. */
START_TEST(rx_too_long)
{
	begin(_i, 1);
	run(_i, 0, 2);
	drv_add(&drv, 0, DATA, 1000, true);
	drv_kick(&drv, 0);
	wire_send(0, 1500, 1);
	wire_send(0, 20, 1); /* shorter than a frame */
	wire_send(0, 600, 2);
	ck_assert_uint_eq(take(0), 600);
	check_packet(DATA, 600, 2, 1);
	end();
}
END_TEST

/* A driver that never has enough buffers loses packets, and no more. */
START_TEST(rx_never_enough)
{
	begin(_i, 1);
	run(_i, MRG | NET_F_GUEST_CSUM | NET_F_GUEST_TSO4, 2);
	drv_add(&drv, 0, DATA, 1000, true);
	drv_kick(&drv, 0);
	wire_send(0, 60000, 9);
	wire_send(0, 700, 5);
	/* Kicks that come faster than the device sees them are one. */
	WAIT_UNTIL((drv_kick(&drv, 0), nap(), drv_used_idx(&drv, 0)));
	ck_assert_uint_eq(take(0), 700);
	check_packet(DATA, 700, 5, 1);
	end();
}
END_TEST

START_TEST(rx_useless_buffers)
{
	begin(_i, 1);
	run(_i, MRG, 2);
	drv_add(&drv, 0, DATA, 8, true);
	drv_add(&drv, 0, DATA, 64, false);
	drv_add(&drv, 0, DATA, 0, true);
	drv_add(&drv, 0, DATA, 2000, true);
	drv_kick(&drv, 0);
	wire_send(0, 80, 1);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_uint_eq(take(0), 0);
	ck_assert_uint_eq(take(0), 80);
	end();
}
END_TEST

/* A useless buffer behind a good one that is at hand when the queue stops:
 * both are there again afterwards, in their order. */
START_TEST(rx_useless_and_paused)
{
	struct stream_out out;

	begin(_i, 1);
	run(_i, MRG | VIRTIO_F_IN_ORDER, 2);
	drv_add(&drv, 0, DATA, 2000, true);
	drv_add(&drv, 0, DATA + 0x1000, 8, true);
	drv_add(&drv, 0, DATA + 0x2000, 2000, true);
	drv_kick(&drv, 0);
	nothing(0);
	dev->cls->pause(dev);
	stream_out_init(&out);
	dev->cls->save(dev, &out);
	stream_out_release(&out);
	dev->cls->resume(dev);
	wire_send(0, 100, 1);
	ck_assert_uint_eq(take(0), 100);
	ck_assert_uint_eq(take(0), 0);
	wire_send(0, 120, 2);
	ck_assert_uint_eq(take(0), 120);
	check_packet(DATA, 100, 1, 1);
	check_packet(DATA + 0x2000, 120, 2, 1);
	end();
}
END_TEST

/* ---- sending --------------------------------------------------------------
 */

/* A packet of @len bytes in three pieces, somewhere else each time. */
static void guest_send(unsigned q, const uint8_t *packet, uint32_t len)
{
	static uint64_t next;
	uint64_t at = DATA + 0x40000 + (next++ % 64) * 0x1000;
	const struct vbuf buf[3] = {
		{ at, 7, 0 },
		{ at + 7, 20, 0 },
		{ at + 27, len - 27, 0 },
	};

	ram_write(&bed.ram, GPA(at), packet, len);
	drv_chain(&drv, q, buf, 3);
	drv_kick(&drv, q);
}

START_TEST(tx_packet)
{
	uint8_t packet[1600], got[1600];

	begin(_i, 1);
	run(_i, VIRTIO_F_EVENT_IDX, 2);
	for (unsigned i = 0; i < 100; i++) {
		fill(packet, sizeof(packet), (uint8_t)i);
		guest_send(1, packet, sizeof(packet));
		ck_assert_uint_eq(take(1), 0);
		ck_assert_uint_eq(wire_recv(0, got, sizeof(got)),
				  sizeof(packet));
		ck_assert_mem_eq(got, packet, sizeof(packet));
	}
	end();
}
END_TEST

#define OFFLOADS (NET_F_CSUM | NET_F_HOST_TSO4)
#define OTHERS	 (NET_F_CSUM | NET_F_HOST_TSO6 | NET_F_HOST_ECN | NET_F_HOST_UFO)

/* Header, length of the packet, and does it pass? */
static const struct {
	uint64_t features;
	uint8_t hdr[HDR];
	uint32_t len;
	bool passes;
} headers[] = {
	{ 0, { 0 }, 100, true },
	{ 0, { 0 }, 30, true },
	{ OFFLOADS, { 1, 0, 0, 0, 0, 0, 34, 0, 16, 0 }, 100, true },
	{ OFFLOADS, { 1, 1, 54, 0, 100, 0, 34, 0, 16, 0 }, 1000, true },
	{ OTHERS, { 1, 4, 74, 0, 100, 0, 54, 0, 16, 0 }, 1000, true },
	{ OTHERS, { 1, 0x84, 74, 0, 100, 0, 54, 0, 16, 0 }, 1000, true },
	{ OTHERS, { 1, 3, 42, 0, 100, 0, 34, 0, 6, 0 }, 1000, true },
	/* Not negotiated. */
	{ OTHERS, { 1, 1, 54, 0, 100, 0, 34, 0, 16, 0 }, 1000, false },
	{ 0, { 1, 0, 0, 0, 0, 0, 34, 0, 16, 0 }, 100, false },
	{ 0, { 1, 1, 54, 0, 100, 0, 34, 0, 16, 0 }, 1000, false },
	{ OFFLOADS, { 1, 4, 54, 0, 100, 0, 34, 0, 16, 0 }, 1000, false },
	{ OFFLOADS, { 1, 0x81, 54, 0, 100, 0, 34, 0, 16, 0 }, 1000, false },
	{ OFFLOADS, { 1, 3, 54, 0, 100, 0, 34, 0, 16, 0 }, 1000, false },
	/* Outside of the packet. */
	{ OFFLOADS, { 1, 0, 0, 0, 0, 0, 80, 0, 7, 0 }, 100, false },
	{ OFFLOADS, { 1, 0, 0, 0, 0, 0, 255, 255, 255, 255 }, 100, false },
	{ OFFLOADS, { 1, 1, 255, 255, 100, 0, 34, 0, 16, 0 }, 1000, false },
	/* Segments without size, without checksum, of no kind. */
	{ OFFLOADS, { 1, 1, 54, 0, 0, 0, 34, 0, 16, 0 }, 1000, false },
	{ OFFLOADS, { 0, 1, 54, 0, 100, 0, 34, 0, 16, 0 }, 1000, false },
	{ OFFLOADS, { 1, 2, 54, 0, 100, 0, 34, 0, 16, 0 }, 1000, false },
	{ OFFLOADS, { 1, 0x80, 54, 0, 100, 0, 34, 0, 16, 0 }, 1000, false },
};

START_TEST(tx_header)
{
	uint8_t packet[1000], got[1000];

	begin(0, 1);
	run(0, headers[_i].features, 2);
	fill(packet, sizeof(packet), 1);
	memcpy(packet, headers[_i].hdr, HDR);
	guest_send(1, packet, headers[_i].len);
	ck_assert_uint_eq(take(1), 0);
	if (headers[_i].passes) {
		ck_assert_uint_eq(wire_recv(0, got, sizeof(got)),
				  headers[_i].len);
		ck_assert_mem_eq(got, packet, headers[_i].len);
	} else {
		ck_assert(wire_is_quiet(0));
	}
	ck_assert_uint_eq(drv_status(&drv), 15);
	end();
}
END_TEST

/* No packet, or too long a one. */
START_TEST(tx_impossible)
{
	begin(_i, 1);
	run(_i, 0, 2);
	drv_add(&drv, 1, DATA, 5, false);
	drv_add(&drv, 1, DATA, HDR + 13, false);
	drv_add(&drv, 1, DATA, 70000, false);
	drv_add(&drv, 1, DATA, 100, true);
	drv_kick(&drv, 1);
	for (unsigned i = 0; i < 4; i++)
		ck_assert_uint_eq(take(1), 0);
	ck_assert(wire_is_quiet(0));
	end();
}
END_TEST

/* More than the socket takes: the rest waits, in order, until it is read. */
START_TEST(tx_blocked)
{
	uint8_t packet[4000], got[4000];
	int size = 8192;
	unsigned count = 0;

	begin(_i, 1);
	setsockopt((int)fds[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	run(_i, 0, 2);
	for (unsigned i = 0; i < 16; i++) {
		fill(packet, sizeof(packet), (uint8_t)i);
		ram_write(&bed.ram, GPA(DATA + i * 4096ULL), packet,
			  sizeof(packet));
		drv_add(&drv, 1, DATA + i * 4096ULL, sizeof(packet), false);
	}
	drv_kick(&drv, 1);
	for (unsigned i = 0; i < 20; i++)
		nap();
	ck_assert_uint_lt(drv_used_idx(&drv, 1), 16);
	for (; count < 16; count++) {
		fill(packet, sizeof(packet), (uint8_t)count);
		ck_assert_uint_eq(wire_recv(0, got, sizeof(got)), sizeof(got));
		ck_assert_mem_eq(got, packet, sizeof(got));
		take(1);
	}
	end();
}
END_TEST

/* ---- control queue ---------------------------------------------------------
 */

#define ALL_CTRL                                                             \
	(CTRL | CTRL_RX | RX_EXTRA | ANNOUNCE | MQ | CTRL_MAC | CTRL_GUEST | \
	 NET_F_GUEST_CSUM | NET_F_GUEST_TSO4)

static const struct {
	uint64_t features;
	uint8_t command[24];
	uint32_t len;
	uint8_t ack;
} commands[] = {
	{ ALL_CTRL, { 0, 0, 1 }, 3, 0 },
	{ ALL_CTRL, { 0, 5, 1 }, 3, 0 },
	{ ALL_CTRL, { 0, 0, 2 }, 3, 1 },
	{ ALL_CTRL, { 0, 6, 1 }, 3, 1 },
	{ ALL_CTRL, { 0, 0 }, 2, 1 },
	{ ALL_CTRL & ~RX_EXTRA, { 0, 2, 1 }, 3, 1 },
	/* MAC table: none; one and one; counts that lie */
	{ ALL_CTRL, { 1, 0 }, 10, 0 },
	{ ALL_CTRL, { 1, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 1, 0 }, 16, 0 },
	{ ALL_CTRL, { 1, 0, 2, 0, 0, 0, 2, 0, 0, 0, 0, 1, 0 }, 16, 1 },
	{ ALL_CTRL, { 1, 0, 255, 255, 255, 255 }, 16, 1 },
	{ ALL_CTRL, { 1, 0 }, 5, 1 },
	/* MAC address: multicast, zero, too short */
	{ ALL_CTRL, { 1, 1, 2, 3, 4, 5, 6, 7 }, 8, 0 },
	{ ALL_CTRL, { 1, 1, 3, 3, 4, 5, 6, 7 }, 8, 1 },
	{ ALL_CTRL, { 1, 1 }, 8, 1 },
	{ ALL_CTRL, { 1, 1, 2, 3 }, 4, 1 },
	{ ALL_CTRL & ~CTRL_MAC, { 1, 1, 2, 3, 4, 5, 6, 7 }, 8, 1 },
	{ ALL_CTRL, { 2, 0, 1, 0 }, 4, 1 },
	{ ALL_CTRL, { 3, 0 }, 2, 0 },
	/* Pairs */
	{ ALL_CTRL, { 4, 0, 2, 0 }, 4, 0 },
	{ ALL_CTRL, { 4, 0, 0, 0 }, 4, 1 },
	{ ALL_CTRL, { 4, 0, 3, 0 }, 4, 1 },
	{ ALL_CTRL, { 4, 1, 1, 0 }, 4, 1 },
	/* Offloads: less, what was not negotiated */
	{ ALL_CTRL, { 5, 0, 2 }, 10, 0 },
	{ ALL_CTRL, { 5, 0, 0, 4 }, 10, 1 },
	{ ALL_CTRL, { 5, 0, 0, 0, 0, 0, 0, 0, 0, 128 }, 10, 1 },
	{ ALL_CTRL, { 99, 0 }, 2, 1 },
	{ ALL_CTRL, { 0 }, 1, 1 },
};

static uint8_t command(unsigned q, const uint8_t *text, uint32_t len)
{
	const struct vbuf buf[2] = { { COMMANDS, len, 0 },
				     { COMMANDS + 100, 1, D_WRITE } };
	uint8_t ack = 77;

	ram_write(&bed.ram, GPA(COMMANDS), text, len);
	ram_write(&bed.ram, GPA(COMMANDS + 100), &ack, 1);
	drv_chain(&drv, q, buf, 2);
	drv_kick(&drv, q);
	ck_assert_uint_eq(take(q), 1);
	ram_read(&bed.ram, GPA(COMMANDS + 100), &ack, 1);
	return ack;
}

START_TEST(ctrl_command)
{
	begin(0, 2);
	run(0, commands[_i].features, 5);
	ck_assert_uint_eq(command(4, commands[_i].command, commands[_i].len),
			  commands[_i].ack);
	ck_assert_uint_eq(drv_status(&drv), 15);
	end();
}
END_TEST

static uint64_t cfg(unsigned at, unsigned size)
{
	return drv_get(&drv, (drv.mmio ? 0x100 : 0x2000) + at, size);
}

/* A driver that knows of one pair has its control queue behind it. */
START_TEST(ctrl_without_mq)
{
	static const uint8_t set_mac[] = { 1, 1, 2, 3, 4, 5, 6, 7 };

	begin(_i, 2);
	run(_i, ALL_CTRL & ~MQ, 4);
	ck_assert_uint_eq(cfg(0, 4), 0x12005452);
	ck_assert_uint_eq(command(2, set_mac, sizeof(set_mac)), 0);
	ck_assert_uint_eq(cfg(0, 4), 0x05040302);
	ck_assert_uint_eq(cfg(4, 2), 0x0706);
	/* Its buffers are no receive buffers of a second pair. */
	for (unsigned i = 0; i < 8; i++)
		wire_send(1, 100, 1);
	ck_assert_uint_eq(command(2, set_mac, sizeof(set_mac)), 0);
	/* The card's own again. */
	drv_set_status(&drv, 0);
	ck_assert_uint_eq(cfg(0, 4), 0x12005452);
	end();
}
END_TEST

START_TEST(ctrl_has_no_room)
{
	begin(_i, 1);
	run(_i, CTRL, 3);
	drv_add(&drv, 2, DATA, 2, false);
	drv_kick(&drv, 2);
	bed_run(&bed, 4);
	ck_assert(drv_status(&drv) & VIRTIO_NEEDS_RESET);
	end();
}
END_TEST

START_TEST(two_pairs)
{
	static const uint8_t both[] = { 4, 0, 2, 0 };
	uint8_t packet[200], got[200];

	begin(_i, 2);
	run(_i, ALL_CTRL, 5);
	ck_assert_uint_eq(cfg(8, 2), 2);
	ck_assert_uint_eq(command(4, both, sizeof(both)), 0);
	for (unsigned pair = 0; pair < 2; pair++) {
		offer_rx(2 * pair, 2, 2048);
		wire_send(pair, 100 + pair, 1);
		ck_assert_uint_eq(take(2 * pair), 100 + pair);
		fill(packet, sizeof(packet), (uint8_t)pair);
		guest_send(2 * pair + 1, packet, sizeof(packet));
		ck_assert_uint_eq(wire_recv(pair, got, sizeof(got)),
				  sizeof(got));
	}
	end();
}
END_TEST

/* ---- features ---------------------------------------------------------------
 */

static const struct {
	bool tso, ufo, csum;
	uint64_t offered;
} offers[] = {
	{ true, true, true, 0x7f83 },
	{ false, true, true, 0x4403 },
	{ true, false, true, 0x3b83 },
	{ true, true, false, 0 },
};

START_TEST(offers_offloads)
{
	uint64_t bits;

	config.offload_tso = offers[_i].tso;
	config.offload_ufo = offers[_i].ufo;
	config.offload_csum = offers[_i].csum;
	config.mtu = _i ? 1400 : 0;
	begin(0, 1);
	bits = drv_offered(&drv);
	ck_assert_uint_eq(bits & 0x7f83, offers[_i].offered);
	ck_assert_uint_eq(bits >> 3 & 1, _i > 0);
	ck_assert_uint_eq(cfg(10, 2), config.mtu);
	ck_assert_uint_eq(bits & MQ, 0);
	end();
}
END_TEST

/* sec. 5.1.3.1: what needs what. */
static const uint64_t incomplete[] = {
	NET_F_GUEST_TSO4, NET_F_HOST_TSO6, NET_F_CSUM | NET_F_HOST_ECN,
	NET_F_GUEST_UFO,  ANNOUNCE,	   CTRL_RX,
};

START_TEST(refuses_incomplete_features)
{
	begin(0, 1);
	ck_assert_uint_eq(drv_negotiate(&drv, V1 | incomplete[_i]), 3);
	end();
}
END_TEST

/* ---- reset, state, limits
 * ---------------------------------------------------- */

START_TEST(reset_under_traffic)
{
	uint8_t packet[100], last[333] = { 0 };
	uint32_t len = 0;

	begin(_i, 1);
	fill(packet, sizeof(packet), 1);
	for (unsigned i = 0; i < 40; i++) {
		run(_i, MRG, 2);
		offer_rx(0, 20, 1500);
		for (unsigned j = 0; j < 10; j++) {
			send(peer[0], packet, sizeof(packet), 0);
			guest_send(1, packet, sizeof(packet));
			while (recv(peer[0], packet, sizeof(packet), 0) > 0)
				;
		}
		if (i % 2)
			nap();
		drv_set_status(&drv, 0);
		ck_assert_uint_eq(drv_status(&drv), 0);
	}
	/* What still is on the wire comes first. */
	run(_i, MRG, 2);
	for (bool sent = false; len != sizeof(last);) {
		sent = sent || send(peer[0], last, sizeof(last), 0) > 0;
		offer_rx(0, 1, 1500);
		len = take(0);
	}
	end();
}
END_TEST

/* Only the receive queue, by RING_RESET; buffers are not lost. */
START_TEST(queue_reset)
{
	begin(_i, 1);
	run(_i, MRG, 2);
	offer_rx(0, 8, 1500);
	wire_send(0, 100, 1);
	ck_assert_uint_eq(take(0), 100);
	drv_ring_reset(&drv, 0);
	wire_send(0, 200, 2);
	drv_queue(&drv, 0, QUEUE_SIZE, RING(0));
	offer_rx(0, 8, 1500);
	ck_assert_uint_eq(take(0), 200);
	end();
}
END_TEST

/* Buffers at hand go back, and the driver is asked to announce itself. */
START_TEST(saved_and_loaded)
{
	static const uint8_t set_mac[] = { 1, 1, 2, 3, 4, 5, 6, 7 };
	static const uint8_t done[] = { 3, 0 };
	struct stream_out out;
	struct stream_in in;
	struct diag d = DIAG_INIT;
	uint8_t got[100];

	begin(_i, 1);
	run(_i, MRG | CTRL | CTRL_MAC | ANNOUNCE, 3);
	offer_rx(0, 4, 1500);
	ck_assert_uint_eq(command(2, set_mac, sizeof(set_mac)), 0);
	wire_send(0, 100, 1);
	ck_assert_uint_eq(take(0), 100);
	dev->cls->pause(dev);
	stream_out_init(&out);
	dev->cls->save(dev, &out);
	wire_send(0, 150, 2);
	nothing(0);
	dev->cls->reset(dev);
	stream_in_init(&in, out.data, out.len);
	ck_assert_int_eq(dev->cls->load(dev, &in, &d), 0);
	stream_out_release(&out);
	dev->cls->resume(dev);
	ck_assert_uint_eq(take(0), 150);
	ck_assert_uint_eq(cfg(0, 4), 0x05040302);
	ck_assert_uint_eq(cfg(6, 2), 3);
	ck_assert_uint_eq(wire_recv(0, got, sizeof(got)), HDR + 60);
	ck_assert_mem_eq(got + HDR + 6, set_mac + 2, 6);
	ck_assert_uint_eq(got[HDR + 12], 0x80);
	ck_assert_uint_eq(got[HDR + 13], 0x35);
	ck_assert_uint_eq(command(2, done, sizeof(done)), 0);
	ck_assert_uint_eq(cfg(6, 2), 1);
	end();
}
END_TEST

/* 10 packets at 5 in 200 ms: one bucket at once, one 200 ms later. */
START_TEST(rate_is_limited)
{
	uint8_t packet[100];
	uint64_t start;

	config.rate.ops = (struct bucket_config){ 5, 0, 200 };
	begin(_i & 1, 1);
	run(0, MRG, 2);
	fill(packet, sizeof(packet), 1);
	start = patience_ns();
	if (_i & 2) {
		for (unsigned i = 0; i < 10; i++)
			guest_send(1, packet, sizeof(packet));
		for (unsigned i = 0; i < 10; i++)
			take(1);
	} else {
		offer_rx(0, 20, 1500);
		for (unsigned i = 0; i < 11; i++)
			wire_send(0, 100, 1);
		for (unsigned i = 0; i < 11; i++)
			take(0);
	}
	ck_assert_uint_ge(ms_since(start), 190);
	end();
}
END_TEST

/* A machine that only describes itself opens nothing: not what does not exist,
 * and not what does. */
START_TEST(described_only)
{
	fds[0] = 999999;
	config.fd.count = 1;
	config.vhost = _i;
	bed_open(&bed, TRANSPORT_PCI, false);
	bed.env.tables_only = true;
	bed.item = &config;
	dev = bed_add(&bed, "virtio-net");
	device_free(dev);
	bed_close(&bed);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("virtio-net");
	TCase *tc = tcase_create("virtio-net");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_loop_test(tc, rx_packet, 0, 4);
	tcase_add_loop_test(tc, rx_waits_for_buffers, 0, 4);
	tcase_add_loop_test(tc, rx_merged, 0, 4);
	tcase_add_loop_test(tc, rx_held, 0, 4);
	tcase_add_loop_test(tc, rx_too_long, 0, 4);
	tcase_add_loop_test(tc, rx_never_enough, 0, 4);
	tcase_add_loop_test(tc, rx_useless_buffers, 0, 4);
	tcase_add_loop_test(tc, rx_useless_and_paused, 0, 4);
	tcase_add_loop_test(tc, tx_packet, 0, 4);
	tcase_add_loop_test(tc, tx_header, 0, ARRAY_SIZE(headers));
	tcase_add_loop_test(tc, tx_impossible, 0, 4);
	tcase_add_loop_test(tc, tx_blocked, 0, 4);
	tcase_add_loop_test(tc, ctrl_command, 0, ARRAY_SIZE(commands));
	tcase_add_loop_test(tc, ctrl_without_mq, 0, 4);
	tcase_add_loop_test(tc, ctrl_has_no_room, 0, 4);
	tcase_add_loop_test(tc, two_pairs, 0, 4);
	tcase_add_loop_test(tc, offers_offloads, 0, ARRAY_SIZE(offers));
	tcase_add_loop_test(tc, refuses_incomplete_features, 0,
			    ARRAY_SIZE(incomplete));
	tcase_add_loop_test(tc, reset_under_traffic, 0, 4);
	tcase_add_loop_test(tc, queue_reset, 0, 4);
	tcase_add_loop_test(tc, saved_and_loaded, 0, 4);
	tcase_add_loop_test(tc, rate_is_limited, 0, 4);
	tcase_add_loop_test(tc, described_only, 0, 2);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
