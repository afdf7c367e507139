/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: a guest that does anything to a console with several ports
 *
 * The input is a byte that chooses transport and features, then a list of steps
 * of 8 bytes: control messages, buffers, raw descriptors, resets, saved and
 * corrupted states. Nothing must crash, and after a reset the ports must be
 * introduced.
 */
#include "devices/virtio/console-impl.h"
#include "tests/unit/virtio-driver.h"

#define QUEUES	  8
#define SIZE	  16
#define RING(q)	  (BED_RAM_A + (q)*0x8000ULL)
#define DATA	  BED_RAM_B
#define STEPS_MAX 200

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/** struct step - one of the input's; @kind: modulo the number of kinds; its
 * high bits: which queue */
struct step {
	uint8_t kind, size;
	uint16_t at;
	uint32_t value;
};

struct rig {
	struct bed bed;
	struct console_port_config ports[2];
	struct chardev *backs[2];
	struct device *dev;
	struct drv drv;
};

static void rig_open(struct rig *r, enum transport_choice transport)
{
	static const char *const names[] = { "agent", "log" };

	r->bed.config.console_port = r->ports;
	r->bed.config.console_port_count = 2;
	r->bed.config.console.mode = CHAR_NULL;
	bed_open(&r->bed, transport, true);
	for (unsigned i = 0; i < 2; i++) {
		r->ports[i].name = (char *)(uintptr_t)names[i];
		r->ports[i].back.mode = CHAR_NULL;
		CHECK(!chardev_new(&r->backs[i], &r->ports[i].back, "port",
				   r->bed.env.loop, NULL));
	}
	r->bed.env.console_port = r->backs;
	CHECK(!chardev_new(&r->bed.env.console, &r->bed.config.console,
			   "--console", r->bed.env.loop, NULL));
	r->dev = bed_add(&r->bed, "virtio-console");
}

static void rig_start(struct rig *r, uint64_t features)
{
	bool pci = r->bed.config.platform.transport == TRANSPORT_PCI;

	r->bed.vm.doorbells = r->bed.vm.irqfds = 0;
	r->bed.host->cls->reset(r->bed.host);
	r->dev->cls->reset(r->dev);
	r->dev->cls->resume(r->dev);
	drv_find(&r->drv, &r->bed, r->dev, pci);
	ram_fill(&r->bed.ram, GPA(BED_RAM_A), 0, 0x40000);
	if (pci)
		drv_msix(&r->drv, QUEUES + 1);
	drv_negotiate(&r->drv, VIRTIO_F_VERSION_1 | features);
	for (unsigned q = 0; q < QUEUES; q++)
		drv_queue(&r->drv, q, SIZE, RING(q));
	drv_go(&r->drv);
}

/* ---- steps --------------------------------------------------------------- */

static uint64_t place(const struct step *s)
{
	return DATA + s->at * 8ULL;
}

static void step_message(struct rig *r, unsigned q, const struct step *s)
{
	uint8_t raw[8];

	(void)q;
	put_le32(raw, s->value & 3);
	put_le16(raw + 4, s->size & 7);
	put_le16(raw + 6, s->value >> 8 & 1);
	ram_write(&r->bed.ram, GPA(place(s)), raw, sizeof(raw));
	drv_add(&r->drv, CONSOLE_CONTROL_TRANSMIT, place(s), 8, false);
	drv_kick(&r->drv, CONSOLE_CONTROL_TRANSMIT);
}

static void step_buffer(struct rig *r, unsigned q, const struct step *s)
{
	drv_add(&r->drv, q, place(s), s->value & 0xff, !(q & 1));
	drv_kick(&r->drv, q);
}

static void step_raw(struct rig *r, unsigned q, const struct step *s)
{
	const struct vbuf one = { s->size & 0x80 ? (uint64_t)s->value << 12
						 : place(s),
				  s->value, s->size & 7 };

	drv_chain(&r->drv, q, &one, 1);
	drv_kick(&r->drv, q);
}

static void step_memory(struct rig *r, unsigned q, const struct step *s)
{
	uint8_t raw[4];

	put_le32(raw, s->value);
	ram_write(&r->bed.ram, GPA(RING(q) + s->at % 0x7ffc), raw, sizeof(raw));
}

static void step_run(struct rig *r, unsigned q, const struct step *s)
{
	(void)q;
	(void)s;
	bed_run(&r->bed, 2);
}

static void step_queue_reset(struct rig *r, unsigned q, const struct step *s)
{
	drv_ring_reset(&r->drv, q);
	if (s->size & 1)
		drv_queue(&r->drv, q, SIZE, RING(q));
}

static void step_status(struct rig *r, unsigned q, const struct step *s)
{
	(void)q;
	drv_set_status(&r->drv, (uint8_t)s->value);
}

static void step_state(struct rig *r, unsigned q, const struct step *s)
{
	(void)q;
	bed_save_load(&r->bed, r->dev, s->at,
		      s->size & 1 ? (uint8_t)s->value : 0);
}

static void (*const steps[])(struct rig *r, unsigned q,
			     const struct step *s) = {
	step_message, step_buffer, step_message,     step_run,	 step_raw,
	step_memory,  step_run,	   step_queue_reset, step_state, step_status,
};

/* ---- the ports are introduced -------------------------------------------- */

static void must_work(struct rig *r)
{
	const uint8_t ready[8] = { 0, 0, 0, 0, 0, 0, 1, 0 };
	uint32_t head, len;

	rig_start(r, CONSOLE_F_MULTIPORT);
	ram_write(&r->bed.ram, GPA(DATA), ready, sizeof(ready));
	for (unsigned i = 0; i < 3; i++)
		drv_add(&r->drv, CONSOLE_CONTROL_RECEIVE, DATA + 64, 64, true);
	drv_add(&r->drv, CONSOLE_CONTROL_TRANSMIT, DATA, 8, false);
	drv_kick(&r->drv, CONSOLE_CONTROL_TRANSMIT);
	bed_run(&r->bed, 4);
	for (unsigned i = 0; i < 3; i++)
		CHECK(drv_take(&r->drv, CONSOLE_CONTROL_RECEIVE, &head, &len) &&
		      len == 8);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct rig rigs[2];
	struct rig *r;

	if (!len)
		return 0;
	r = &rigs[data[0] & 1];
	if (!r->dev)
		rig_open(r, data[0] & 1 ? TRANSPORT_MMIO : TRANSPORT_PCI);
	rig_start(r, (data[0] & 2 ? 0 : CONSOLE_F_MULTIPORT) |
			     (data[0] & 4 ? VIRTIO_F_RING_PACKED : 0) |
			     (data[0] & 8 ? VIRTIO_F_EVENT_IDX : 0) |
			     VIRTIO_F_RING_RESET);
	data++;
	len--;
	for (unsigned i = 0; i < STEPS_MAX && len >= sizeof(struct step); i++) {
		struct step s;

		memcpy(&s, data, sizeof(s));
		if (r->drv.size[s.kind >> 5])
			steps[s.kind % ARRAY_SIZE(steps)](r, s.kind >> 5, &s);
		data += sizeof(s);
		len -= sizeof(s);
	}
	must_work(r);
	return 0;
}
