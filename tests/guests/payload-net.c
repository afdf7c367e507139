/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: virtio-net (VIRTIO 1.3 sec. 5.1) on a tap interface, whose kernel
 * answers ARP (RFC 826)
 *
 * prepare: { [ -e /dev/net/tun ] || modprobe tun; }
 * under: unshare -n
 * run pci: --net tap=payload,ip=10.0.0.1
 * run mmio: --net tap=payload,ip=10.0.0.1 --platform transport=mmio
 */
#include "exercise.h"

#define NET	     1
#define RX_BUFFERS   8
#define FRAME_BYTES  60u /* the shortest, without its checksum */
#define BUFFER_BYTES 2048u
#define HOST_IP	     0x0a000001u
#define OUR_IP	     0x0a000002u

/* Sec. 5.1.2, 5.1.3 and 5.1.6 */
enum { RX, TX };
#define F_MAC (1ull << 5)
enum {
	AT_FLAGS = 0,
	AT_GSO_TYPE = 1,
	AT_CSUM_START = 6,
	AT_CSUM_OFFSET = 8,
	HEADER = 12
};
enum { NEEDS_CSUM = 1, GSO_TCPV4 = 1 };

/* IEEE 802.3; IEEE 802 sec. 9.2.4: a type for experiments */
enum { AT_TARGET = 0, AT_SOURCE = 6, AT_TYPE = 12, AT_BODY = 14 };
enum { TYPE_ARP = 0x0806, TYPE_EXPERIMENT = 0x88b5 };

/* RFC 826, from the start of the frame */
enum {
	AT_HARDWARE = 14,
	AT_PROTOCOL = 16,
	AT_LENGTHS = 18,
	AT_OPERATION = 20,
	AT_SENDER = 22,
	AT_SENDER_IP = 28,
	AT_SOUGHT_IP = 38
};
enum { ARP_REQUEST = 1, ARP_REPLY = 2 };

static uint8_t mac[6]; /* ours */

static struct virtio v;
static struct vring tx, rx;
static uintptr_t packet;
static uintptr_t rx_buffer[VRING_SIZE_MAX]; /* by id */
static bool receiving;

/* Network order, and no alignment */
static void put(uintptr_t at, uint32_t value, unsigned bytes)
{
	while (bytes--)
		write8(at++, (uint8_t)(value >> 8 * bytes));
}

static uint32_t get(uintptr_t at, unsigned bytes)
{
	uint32_t value = 0;

	while (bytes--)
		value = value << 8 | read8(at++);
	return value;
}

static bool is_ours(uintptr_t at)
{
	for (unsigned i = 0; i < sizeof(mac); i++)
		if (read8(at + i) != mac[i])
			return false;
	return true;
}

/* To everybody. */
static void frame(uint16_t type)
{
	for (unsigned i = 0; i < HEADER + FRAME_BYTES; i++)
		write8(packet + i, 0);
	for (unsigned i = 0; i < sizeof(mac); i++) {
		write8(packet + HEADER + AT_TARGET + i, 0xff);
		write8(packet + HEADER + AT_SOURCE + i, mac[i]);
	}
	put(packet + HEADER + AT_TYPE, type, 2);
}

static void request(struct vbuf *bufs)
{
	packet = ram_alloc(BUFFER_BYTES, 16);
	frame(TYPE_EXPERIMENT);
	bufs[0] = (struct vbuf){ packet, HEADER + FRAME_BYTES };
}

static bool check(const struct vbuf *bufs, uint32_t written)
{
	(void)bufs;
	return written == 0;
}

static void offer(void)
{
	struct vbuf buf = { ram_alloc(BUFFER_BYTES, 16), BUFFER_BYTES };
	int id = vring_add(&rx, &buf, 0, 1);

	rx_buffer[id] = buf.at;
}

/* What the host's kernel says by itself would interrupt exercise(). */
static void started(struct virtio *dev)
{
	if (!receiving || !vring_make(&rx, dev, RX, RX_BUFFERS))
		return;
	for (unsigned i = 0; i < RX_BUFFERS; i++)
		offer();
}

static const struct exercise net = { .id = NET,
				     .queue = TX,
				     .out = 1,
				     .request = request,
				     .check = check,
				     .started = started };

static bool start(void)
{
	receiving = true;
	if (!exercise_restart(&net, &v, &tx, F_MAC))
		return false;
	vring_ring(&rx);
	return true;
}

static bool send(uint32_t len)
{
	struct vbuf buf = { packet, len };

	vring_add(&tx, &buf, 1, 0);
	vring_ring(&tx);
	return vring_wait(&tx, NULL) >= 0;
}

/* The next ARP frame; @len: of it. */
static uintptr_t receive(uint32_t *len)
{
	for (;;) {
		int id = vring_wait(&rx, len);
		uintptr_t at;

		if (id < 0)
			return 0;
		at = rx_buffer[id];
		offer();
		vring_ring(&rx);
		if (*len > HEADER + AT_SOUGHT_IP &&
		    get(at + HEADER + AT_TYPE, 2) == TYPE_ARP) {
			*len -= HEADER;
			return at + HEADER;
		}
	}
}

static void who_has_host(uint32_t asker_ip)
{
	uintptr_t at = packet + HEADER;

	frame(TYPE_ARP);
	put(at + AT_HARDWARE, 1, 2); /* Ethernet */
	put(at + AT_PROTOCOL, 0x0800, 2);
	put(at + AT_LENGTHS, 0x0604, 2);
	put(at + AT_OPERATION, ARP_REQUEST, 2);
	for (unsigned i = 0; i < sizeof(mac); i++)
		write8(at + AT_SENDER + i, mac[i]);
	put(at + AT_SENDER_IP, asker_ip, 4);
	put(at + AT_SOUGHT_IP, HOST_IP, 4);
}

static bool host_answers(void)
{
	uint32_t len;
	uintptr_t at;

	who_has_host(OUR_IP);
	if (!send(HEADER + FRAME_BYTES))
		return false;
	at = receive(&len);
	return at && is_ours(at + AT_TARGET) &&
	       get(at + AT_OPERATION, 2) == ARP_REPLY &&
	       get(at + AT_SENDER_IP, 4) == HOST_IP &&
	       get(at + AT_SOUGHT_IP, 4) == OUR_IP;
}

static void good_packets(void)
{
	for (unsigned i = 0; i < sizeof(mac); i++)
		mac[i] = virtio_config8(&v, i);
	/* IEEE 802 sec. 8.2.2: of one station, and given by nobody */
	ok(v.features & F_MAC && (mac[0] & 3) == 2, "the card has an address");
	ok(host_answers(), "the host hears and answers");
	ok(host_answers() && host_answers(), "and does so again");
}

/* Dropped, because no offload was negotiated: the next answer is not to it. */
static void hostile(unsigned flags, unsigned gso, uint16_t csum,
		    const char *name)
{
	who_has_host(OUR_IP + 1);
	write8(packet + AT_FLAGS, (uint8_t)flags);
	write8(packet + AT_GSO_TYPE, (uint8_t)gso);
	write16(packet + AT_CSUM_START, csum);
	write16(packet + AT_CSUM_OFFSET, csum);
	ok(send(HEADER + FRAME_BYTES) && host_answers(), name);
}

static void malformed(uint32_t len, const char *name)
{
	struct vbuf buf = { packet, len };

	frame(TYPE_EXPERIMENT);
	vring_add(&tx, &buf, 1, 0);
	vring_ring(&tx);
	if (vring_wait_or_reset(&tx))
		start();
	ok(host_answers(), name);
}

static void hostile_packets(void)
{
	hostile(NEEDS_CSUM, 0, 0xffff, "hostile: a checksum behind the end");
	hostile(0, GSO_TCPV4, 0, "hostile: segments without their size");
	hostile(0xff, 0x7f, 0, "hostile: unknown flags and segments");
	malformed(HEADER - 1, "hostile: a header that is cut short");
	malformed(HEADER, "hostile: a header and no frame");
	malformed(HEADER + AT_BODY - 1, "hostile: a frame that is cut short");
}

void secondary(void)
{
}

void payload(void)
{
	exercise(&net);
	if (virtio_find(&v, NET, 0) && start()) {
		good_packets();
		hostile_packets();
	}
	plan_done();
}
