/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: a guest, and a peer on the wire, that do anything to a network card
 *
 * The input is a byte that chooses transport, rings and features, then a list
 * of steps of 8 bytes: buffers, packets, commands, raw descriptors, packets
 * from the wire, resets, saved and corrupted states. The card has two pairs of
 * queues and sockets as its back end, and is made once for each transport. Its
 * queues are served by this thread when the input says so, beside the card's
 * own threads. Nothing must crash, and when the card is reset, it must work.
 */
#include <sys/socket.h>

#include "devices/net/net.h"
#include "tests/unit/virtio-driver.h"

#define QUEUES	  5
#define SIZE	  16
#define RING(q)	  (BED_RAM_A + (q)*0x8000ULL)
#define DATA	  BED_RAM_B
#define DATA_SIZE 0x80000
#define STEPS_MAX 200

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/**
 * struct step - one of the input's
 * @kind: what, modulo the number of kinds; high bits: which queue
 */
struct step {
	uint8_t kind, size;
	uint16_t at;
	uint32_t value;
};

struct rig {
	struct bed bed;
	struct net_config config;
	uint32_t fds[2];
	int peer[2];
	struct device *dev;
	struct drv drv;
};

static void rig_open(struct rig *r, enum transport_choice transport)
{
	r->config = (struct net_config){
		.mac = (char *)(uintptr_t) "52:54:00:12:34:56",
		.fd = { r->fds, 2 },
		.num_queues = 4,
		.queue_size = SIZE,
		.offload_tso = true,
		.offload_ufo = true,
		.offload_csum = true,
	};
	for (unsigned i = 0; i < 2; i++) {
		int pair[2];

		CHECK(!socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0,
				  pair));
		r->fds[i] = (uint32_t)pair[0];
		r->peer[i] = pair[1];
	}
	bed_open(&r->bed, transport, true);
	r->bed.item = &r->config;
	r->dev = bed_add(&r->bed, "virtio-net");
}

static void drain(struct rig *r)
{
	uint8_t byte;

	for (unsigned i = 0; i < 2; i++) {
		while (recv(r->peer[i], &byte, 1, 0) >= 0)
			;
		while (recv((int)r->fds[i], &byte, 1, 0) >= 0)
			;
	}
}

static void rig_reset(struct rig *r)
{
	bool pci = r->bed.config.platform.transport == TRANSPORT_PCI;

	r->bed.vm.doorbells = r->bed.vm.irqfds = 0;
	r->bed.host->cls->reset(r->bed.host);
	r->dev->cls->reset(r->dev);
	r->dev->cls->resume(r->dev);
	drain(r);
	drv_find(&r->drv, &r->bed, r->dev, pci);
	ram_fill(&r->bed.ram, GPA(BED_RAM_A), 0, 0x40000);
}

static void set_up(struct rig *r, uint64_t features)
{
	if (!r->drv.mmio)
		drv_msix(&r->drv, QUEUES + 1);
	drv_negotiate(&r->drv, VIRTIO_F_VERSION_1 | features);
	for (unsigned q = 0; q < QUEUES; q++)
		drv_queue(&r->drv, q, SIZE, RING(q));
	drv_go(&r->drv);
}

/* As the queue's own thread would. */
static void serve(struct rig *r, unsigned q)
{
	struct virtio_device *vd =
		container_of(r->dev, struct virtio_device, dev);

	virtio_queue_lock(vd, q);
	if (atomic_load(&vd->queue[q].started))
		vd->cls->notify(vd, q);
	virtio_queue_unlock(vd, q);
}

/* ---- steps --------------------------------------------------------------- */

static uint64_t place(const struct step *s)
{
	return DATA + (s->at * 8ULL) % (DATA_SIZE - 0x100);
}

static void offer(struct rig *r, unsigned q, const struct vbuf *buf,
		  unsigned count)
{
	if (r->drv.size[q])
		drv_chain(&r->drv, q, buf, count);
}

static void step_buffer(struct rig *r, unsigned q, const struct step *s)
{
	const struct vbuf one = { place(s), s->value & 0x1fff, D_WRITE };

	for (unsigned i = 0; i <= (s->size & 7); i++)
		offer(r, q & 2, &one, 1);
}

/* A header that is nearly right, and a frame. */
static void step_packet(struct rig *r, unsigned q, const struct step *s)
{
	uint8_t hdr[NET_HDR_BYTES] = { 1, 1, 54, 0, 100, 0, 34, 0, 16, 0 };
	const struct vbuf buf[2] = {
		{ place(s), NET_HDR_BYTES, 0 },
		{ place(s) + 64, s->value >> 16, 0 },
	};

	hdr[s->value % 10] = (uint8_t)(s->value >> 8);
	if (s->size & 1)
		hdr[s->size / 2 % 2] = 0;
	ram_write(&r->bed.ram, GPA(place(s)), hdr, sizeof(hdr));
	offer(r, (q & 2) + 1, buf, 2);
}

static void step_command(struct rig *r, unsigned q, const struct step *s)
{
	uint8_t command[16] = { s->size & 7, s->size >> 5 };
	const struct vbuf buf[2] = {
		{ place(s), s->value >> 24 & 31, 0 },
		{ place(s) + 64, 1, D_WRITE },
	};

	(void)q;
	put_le32(command + 2, s->value & 0xffffff);
	ram_write(&r->bed.ram, GPA(place(s)), command, sizeof(command));
	offer(r, 4, buf, 2);
}

static void step_raw(struct rig *r, unsigned q, const struct step *s)
{
	const struct vbuf one = { s->size & 0x80 ? (uint64_t)s->value << 12
						 : place(s),
				  s->value, s->size & 7 };

	offer(r, q, &one, 1);
}

static void step_memory(struct rig *r, unsigned q, const struct step *s)
{
	uint8_t raw[4];

	put_le32(raw, s->value);
	ram_write(&r->bed.ram, GPA(RING(q) + s->at % 0x7ffc), raw, sizeof(raw));
}

static void step_wire(struct rig *r, unsigned q, const struct step *s)
{
	static uint8_t packet[UINT16_MAX];

	memset(packet, s->size, NET_HDR_BYTES);
	send(r->peer[q & 1], packet, s->at, 0);
}

static void step_serve(struct rig *r, unsigned q, const struct step *s)
{
	(void)s;
	serve(r, q);
}

static void step_queue_reset(struct rig *r, unsigned q, const struct step *s)
{
	drv_ring_reset(&r->drv, q);
	if (s->size & 1)
		drv_queue(&r->drv, q, SIZE, RING(q));
}

static void step_state(struct rig *r, unsigned q, const struct step *s)
{
	(void)q;
	bed_save_load(&r->bed, r->dev, s->at,
		      s->size & 1 ? (uint8_t)s->value : 0);
}

static void step_status(struct rig *r, unsigned q, const struct step *s)
{
	(void)q;
	drv_set_status(&r->drv, (uint8_t)s->value);
}

static void step_config(struct rig *r, unsigned q, const struct step *s)
{
	(void)q;
	drv_put(&r->drv, (r->drv.mmio ? 0x100 : 0x2000) + (s->at & 0xff),
		1u << (s->size & 3), s->value);
	drv_get(&r->drv, (r->drv.mmio ? 0x100 : 0x2000) + (s->at & 0xff),
		1u << (s->size & 3));
}

static void (*const steps[])(struct rig *r, unsigned q,
			     const struct step *s) = {
	step_buffer,	  step_packet, step_command, step_raw,	step_memory,
	step_wire,	  step_serve,  step_serve,   step_wire, step_status,
	step_queue_reset, step_state,  step_config,
};

static void take_step(struct rig *r, const struct step *s)
{
	unsigned q = s->kind >> 5 & 7;

	steps[s->kind % ARRAY_SIZE(steps)](r, q < QUEUES ? q : 4, s);
}

/* ---- the card works -------------------------------------------------------
 */

static void must_work(struct rig *r)
{
	uint8_t packet[64] = { 0 };
	uint32_t head, len;
	bool used = false;

	rig_reset(r);
	set_up(r, 0);
	drv_add(&r->drv, 0, DATA, 2000, true);
	CHECK(send(r->peer[0], packet, sizeof(packet), 0) == sizeof(packet));
	for (unsigned i = 0; i < 1000 && !used; i++) {
		serve(r, 0);
		used = drv_take(&r->drv, 0, &head, &len);
	}
	CHECK(used && len == sizeof(packet));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct rig rigs[2];
	struct rig *r;
	uint64_t features;

	if (!len)
		return 0;
	r = &rigs[data[0] & 1];
	if (!r->dev)
		rig_open(r, data[0] & 1 ? TRANSPORT_MMIO : TRANSPORT_PCI);
	rig_reset(r);
	features = drv_offered(&r->drv);
	if (data[0] & 2)
		features &= ~VIRTIO_F_RING_PACKED;
	if (data[0] & 4)
		features &= ~(1ULL << 15); /* MRG_RXBUF */
	if (data[0] & 8)
		features &= ~VIRTIO_F_EVENT_IDX;
	if (data[0] & 16)
		features &= ~(1ULL << 22); /* MQ */
	if (data[0] & 32)
		features &= ~VIRTIO_F_IN_ORDER;
	set_up(r, features);
	data++;
	len--;
	for (unsigned i = 0; i < STEPS_MAX && len >= sizeof(struct step); i++) {
		struct step s;

		memcpy(&s, data, sizeof(s));
		take_step(r, &s);
		data += sizeof(s);
		len -= sizeof(s);
	}
	must_work(r);
	return 0;
}
