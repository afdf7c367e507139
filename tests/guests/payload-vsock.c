/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: virtio-vsock (VIRTIO 1.3 sec. 5.10), a host program that echoes
 *
 * prepare: { (stream serve unix:v.sock_5000 1 >log; echo $? >served) & }
 * prepare: await '[ -S v.sock_5000 ]'
 * run pci: --vsock cid=3,socket=v.sock
 * run mmio: --vsock cid=3,socket=v.sock --platform transport=mmio
 * after: await '[ -s served ]'
 * after: [ "$(cat served)" = 0 ] && rm served
 */
#include "exercise.h"

#define VSOCK	   19
#define CID	   3
#define HOST	   2
#define PORT	   5000
#define MINE	   1234
#define RX_BYTES   4096
#define RX_BUFFERS 8

/* Sec. 5.10.2 and 5.10.6 */
enum { RX, TX };
enum { STREAM = 1, SEQPACKET = 2 };
enum {
	REQUEST = 1,
	RESPONSE,
	RST,
	SHUTDOWN,
	RW,
	CREDIT_UPDATE,
	CREDIT_REQUEST
};
enum {
	AT_SRC_CID = 0,
	AT_DST_CID = 8,
	AT_SRC_PORT = 16,
	AT_DST_PORT = 20,
	AT_LEN = 24,
	AT_TYPE = 28,
	AT_OP = 30,
	AT_FLAGS = 32,
	AT_BUF_ALLOC = 36,
	AT_FWD_CNT = 40,
	HEADER = 44
};

static struct virtio v;
static struct vring tx, rx;
static uintptr_t packet;
static uintptr_t rx_buffer[VRING_SIZE_MAX]; /* by id */

static void header(uint32_t port, uint16_t op, uint32_t len)
{
	set64(packet + AT_SRC_CID, CID);
	set64(packet + AT_DST_CID, HOST);
	write32(packet + AT_SRC_PORT, MINE);
	write32(packet + AT_DST_PORT, port);
	write32(packet + AT_LEN, len);
	write16(packet + AT_TYPE, STREAM);
	write16(packet + AT_OP, op);
	write32(packet + AT_FLAGS, 0);
	write32(packet + AT_BUF_ALLOC, RX_BYTES * RX_BUFFERS);
	write32(packet + AT_FWD_CNT, 0);
}

/* A reset for a connection that is not there: nothing follows. */
static void request(struct vbuf *bufs)
{
	packet = ram_alloc(HEADER + RX_BYTES, 16);
	header(99, RST, 0);
	bufs[0] = (struct vbuf){ packet, HEADER };
}

static const struct exercise vsock = {
	.id = VSOCK, .queue = TX, .out = 1, .request = request
};

static void offer(void)
{
	struct vbuf buf = { ram_alloc(HEADER + RX_BYTES, 16),
			    HEADER + RX_BYTES };
	int id = vring_add(&rx, &buf, 0, 1);

	rx_buffer[id] = buf.at;
}

static bool start(void)
{
	if (!exercise_restart(&vsock, &v, &tx, 0) ||
	    !vring_make(&rx, &v, RX, RX_BUFFERS))
		return false;
	for (unsigned i = 0; i < RX_BUFFERS; i++)
		offer();
	vring_ring(&rx);
	return true;
}

static bool send(uint32_t len)
{
	struct vbuf buf = { packet, HEADER + len };

	vring_add(&tx, &buf, 1, 0);
	vring_ring(&tx);
	return vring_wait(&tx, NULL) >= 0;
}

/* The next packet for us; credit updates are not news. */
static uintptr_t receive(void)
{
	for (;;) {
		int id = vring_wait(&rx, NULL);
		uintptr_t at;

		if (id < 0)
			return 0;
		at = rx_buffer[id];
		offer();
		vring_ring(&rx);
		if (read16(at + AT_OP) != CREDIT_UPDATE)
			return at;
	}
}

static bool answers(uint16_t op)
{
	uintptr_t at = receive();

	return at && read16(at + AT_OP) == op &&
	       get64(at + AT_SRC_CID) == HOST && get64(at + AT_DST_CID) == CID;
}

/* The host's last words may include another SHUTDOWN. */
static bool closes(void)
{
	for (;;) {
		uintptr_t at = receive();

		if (!at || read16(at + AT_OP) != SHUTDOWN)
			return at && read16(at + AT_OP) == RST;
	}
}

static bool write_text(const char *text)
{
	uint32_t len = 0;

	for (; text[len]; len++)
		write8(packet + HEADER + len, (uint8_t)text[len]);
	header(PORT, RW, len);
	return send(len);
}

static bool comes_back(const char *text)
{
	uintptr_t at = receive();
	uint32_t len = 0;

	for (; at && text[len]; len++)
		if (read8(at + HEADER + len) != (uint8_t)text[len])
			return false;
	return at && read16(at + AT_OP) == RW && read32(at + AT_LEN) == len;
}

static void stream(void)
{
	ok(virtio_config64(&v, 0) == CID, "the guest's address");
	header(PORT, REQUEST, 0);
	ok(send(0) && answers(RESPONSE), "a connection is accepted");
	ok(write_text("echo\n") && write_text("over and back") &&
		   comes_back("over and back"),
	   "data goes to the host's program and back");
	header(PORT, CREDIT_REQUEST, 0);
	send(0);
	header(PORT, SHUTDOWN, 0);
	write32(packet + AT_FLAGS, 2); /* we send no more */
	send(0);
	ok(answers(SHUTDOWN), "its end follows ours");
	header(PORT, SHUTDOWN, 0);
	write32(packet + AT_FLAGS, 3); /* nor do we receive more */
	send(0);
	ok(closes(), "and then the connection is reset");
}

static void hostile(uint32_t port, uint16_t op, uint16_t type, const char *name)
{
	header(port, op, 0);
	write16(packet + AT_TYPE, type);
	ok(send(0) && answers(RST), name);
}

static void hostile_packets(void)
{
	struct vbuf buf = { packet, HEADER - 1 };

	hostile(5999, REQUEST, STREAM, "a port where nobody listens");
	hostile(PORT, RW, STREAM, "hostile: data without a connection");
	hostile(PORT, RESPONSE, STREAM, "hostile: an answer to nothing");
	hostile(PORT, 77, STREAM, "hostile: an unknown operation");
	hostile(PORT, REQUEST, SEQPACKET, "hostile: an unknown type");
	header(PORT, RW, 0xffffffff);
	ok(send(0), "hostile: a length of 4 GiB");
	header(PORT, REQUEST, 0);
	set64(packet + AT_SRC_CID, HOST);
	ok(send(0), "hostile: a sender that is not us");
	header(PORT, REQUEST, 0);
	vring_add(&tx, &buf, 1, 0);
	vring_ring(&tx);
	ok(vring_wait_or_reset(&tx) || true, "hostile: half a header");
	ok(start(), "the device goes on");
}

void secondary(void)
{
}

void payload(void)
{
	exercise(&vsock);
	if (virtio_find(&v, VSOCK, 0) && start()) {
		stream();
		hostile_packets();
	}
	plan_done();
}
