/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: a guest that does anything to one virtio device
 *
 * The input is a byte that says which transport, and a list of steps of 8
 * bytes: registers, queues, requests whose contents come from the input,
 * memory, saving and loading. The device is made once per transport and reset
 * before each input. A fuzz target defines what device it is and what else can
 * happen to it (struct one_device), and calls one_device().
 */
#ifndef TESTS_FUZZ_ONE_DEVICE_H
#define TESTS_FUZZ_ONE_DEVICE_H

#include "tests/unit/virtio-driver.h"

#define ONE_RING(q) (BED_RAM_A + (q)*0x10000ULL)
#define ONE_DATA    BED_RAM_B

/**
 * struct one_step - one step
 * @kind: what, modulo the number of kinds; high bits: which queue
 * @size: width and flags
 * @at: offset
 * @value: what is written
 */
struct one_step {
	uint8_t kind, size;
	uint16_t at;
	uint32_t value;
};

/**
 * struct one_device - a fuzz target
 * @cls: class of the device
 * @queues: it has at most DRV_QUEUES
 * @open: make what the device needs, set bed.item; before it exists
 * @step: what the machine does to the device; NULL: nothing
 * @check: after each input and a reset: it must work
 */
struct one_device {
	const char *cls;
	unsigned queues;
	void (*open)(struct bed *b);
	void (*step)(struct device *dev, const struct one_step *s);
	void (*check)(struct bed *b, struct drv *drv);
};

struct one_rig {
	const struct one_device *one;
	struct bed bed;
	struct device *dev;
	struct drv drv;
};

static inline void one_start(struct drv *drv, unsigned queues,
			     uint64_t features)
{
	if (!drv->mmio)
		drv_msix(drv, queues + 1);
	drv_negotiate(drv, VIRTIO_F_VERSION_1 | features);
	for (unsigned q = 0; q < queues; q++)
		drv_queue(drv, q, 16, ONE_RING(q));
	drv_go(drv);
}

static inline void one_reset(struct one_rig *r)
{
	bool mmio = r->bed.config.platform.transport == TRANSPORT_MMIO;

	r->bed.vm.doorbells = r->bed.vm.irqfds = 0;
	r->bed.host->cls->reset(r->bed.host);
	r->dev->cls->reset(r->dev);
	drv_find(&r->drv, &r->bed, r->dev, mmio ? 0 : 1);
	ram_fill(&r->bed.ram, GPA(BED_RAM_B), 0, 0x20000);
}

static inline void one_save_load(struct one_rig *r, const struct one_step *s)
{
	bed_save_load(&r->bed, r->dev, s->at,
		      s->size & 1 ? (uint8_t)s->value : 0);
}

/* A descriptor, mostly sane, and perhaps a request. */
static inline void one_ring(struct drv *drv, unsigned q,
			    const struct one_step *s)
{
	uint64_t at =
		s->size & 0x80 ? (uint64_t)s->value << 12 : ONE_DATA + s->at;

	if (!drv->size[q])
		return;
	desc_put(drv->b, drv->ring[q], s->size & 7, at, s->value >> 8 & 0xffff,
		 s->value & 7, s->value >> 3 & 7);
	if (s->size & 0x40)
		drv_offer(drv, q, s->size & 0x20 ? s->at : s->size & 7);
	if (s->size & 0x10)
		drv_kick(drv, q);
}

static inline void one_register(struct one_rig *r, const struct one_step *s)
{
	uint64_t addr = r->drv.base + (s->at & 0x7fff);
	unsigned size = 1u << (s->size & 3);

	if (s->size & 4)
		bus_read(r->bed.env.mmio, addr, size);
	else
		bus_write(r->bed.env.mmio, addr, size,
			  (uint64_t)(int64_t)(int32_t)s->value);
}

static inline void one_step(struct one_rig *r, const struct one_step *s)
{
	unsigned q = (s->kind >> 4) % r->one->queues;

	switch (s->kind & 0xf) {
	case 0:
	case 1:
		one_register(r, s);
		break;
	case 2:
		one_start(&r->drv, r->one->queues,
			  s->at & 1 ? drv_offered(&r->drv) : s->value);
		break;
	case 3:
	case 4:
	case 5:
		one_ring(&r->drv, q, s);
		break;
	case 6:
	case 7:
	case 8: /* contents of requests */
		ram_write(&r->bed.ram, GPA(ONE_DATA + s->at), &s->value, 4);
		break;
	case 9:
		drv_kick(&r->drv, q);
		bed_run(&r->bed, s->at & 3);
		break;
	case 10:
		one_save_load(r, s);
		break;
	case 11:
		drv_set_status(&r->drv, 0);
		break;
	case 12:
		ram_write(&r->bed.ram, GPA(ONE_RING(q) + (s->at & 0x7fff)),
			  &s->value, 4);
		break;
	default:
		if (r->one->step)
			r->one->step(r->dev, s);
	}
}

static inline int one_device(const struct one_device *one, const uint8_t *data,
			     size_t len)
{
	static struct one_rig rigs[2];
	struct one_rig *r;

	if (len < 1 + sizeof(struct one_step))
		return -1;
	r = &rigs[data[0] & 1];
	if (!r->one) {
		r->one = one;
		bed_open(&r->bed, data[0] & 1 ? TRANSPORT_MMIO : TRANSPORT_PCI,
			 true);
		one->open(&r->bed);
		r->dev = bed_add(&r->bed, one->cls);
	}
	one_reset(r);
	for (size_t at = 1; at + sizeof(struct one_step) <= MIN(len, 4096u);
	     at += sizeof(struct one_step)) {
		struct one_step s;

		memcpy(&s, data + at, sizeof(s));
		one_step(r, &s);
	}
	one_reset(r);
	one->check(&r->bed, &r->drv);
	return 0;
}

#endif
