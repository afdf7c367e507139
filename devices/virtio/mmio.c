/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: virtio over MMIO (VIRTIO 1.3 sec. 4.2), version 2 only
 *
 * Devices share the platform's virtio-mmio window, one slot each in the order
 * of their creation, one edge-triggered wire each. A device has one address
 * for notifications; the doorbells of its queues match the value written.
 *
 * Accesses to registers other than 4 aligned bytes read as zero and are
 * dropped (sec. 4.2.2.2); the device's configuration takes any.
 *
 * Not implemented: legacy interface, shared memory regions.
 */
#include <assert.h>
#include <errno.h>
#include <linux/virtio_mmio.h>

#include "devices/virtio/virtio.h"

enum {
	MAGIC = 0x74726976, /* "virt" */
	VERSION = 2,
	INT_QUEUE = 1,
	INT_CONFIG = 2,
	/* Not in Debian 12's header. */
	QUEUE_RESET = 0x0c0,
};
static_assert(VIRTIO_MMIO_CONFIG == 0x100, "VIRTIO 1.3 sec. 4.2.2");

/**
 * struct virtio_mmio - transport state
 * @pending: InterruptStatus; any thread
 */
struct virtio_mmio {
	struct bus_region region;
	struct virtio_device *vd;
	unsigned slot;
	_Atomic uint8_t pending;
};

static struct virtio_mmio *bus_of(const struct virtio_device *vd)
{
	return vd->bus;
}

static struct irq_wire wire_of(const struct virtio_mmio *vm)
{
	const struct device_env *env = vm->vd->dev.env;
	bool wired = env->irqchip->sink.set;

	return (struct irq_wire){
		.sink = wired ? &env->irqchip->sink : NULL,
		.pin = env->platform->virtio_mmio_pin + vm->slot,
	};
}

/* ---- registers --------------------------------------------------------- */

static uint32_t queue_read(const struct virtio_queue *q, uint64_t offset)
{
	switch (offset) {
	case VIRTIO_MMIO_QUEUE_NUM_MAX:
		return q->ring.size_max;
	case VIRTIO_MMIO_QUEUE_READY:
		return q->ring.enabled;
	default:
		return 0;
	}
}

static uint32_t register_read(struct virtio_mmio *vm, uint64_t offset)
{
	struct virtio_device *vd = vm->vd;
	const struct virtio_queue *q = virtio_selected(vd);

	switch (offset) {
	case VIRTIO_MMIO_MAGIC_VALUE:
		return MAGIC;
	case VIRTIO_MMIO_VERSION:
		return VERSION;
	case VIRTIO_MMIO_DEVICE_ID:
		return vd->id;
	case VIRTIO_MMIO_VENDOR_ID:
		return VIRTIO_VENDOR;
	case VIRTIO_MMIO_DEVICE_FEATURES:
		return virtio_offered(vd);
	case VIRTIO_MMIO_INTERRUPT_STATUS:
		return vm->pending;
	case VIRTIO_MMIO_STATUS:
		return vd->status;
	case VIRTIO_MMIO_SHM_LEN_LOW:
	case VIRTIO_MMIO_SHM_LEN_HIGH:
	case VIRTIO_MMIO_SHM_BASE_LOW:
	case VIRTIO_MMIO_SHM_BASE_HIGH:
		return UINT32_MAX; /* no such region (sec. 4.2.2) */
	case VIRTIO_MMIO_CONFIG_GENERATION:
		return vd->generation;
	default:
		return q ? queue_read(q, offset) : 0;
	}
}

static uint64_t mmio_read(void *opaque, uint64_t offset_bytes,
			  unsigned size_bytes)
{
	struct virtio_mmio *vm = opaque;

	if (offset_bytes >= VIRTIO_MMIO_CONFIG)
		return virtio_config_read(
			vm->vd, offset_bytes - VIRTIO_MMIO_CONFIG, size_bytes);
	if (size_bytes != 4 || offset_bytes % 4)
		return 0;
	return register_read(vm, offset_bytes);
}

static void address_write(struct virtio_queue *q, uint64_t offset,
			  uint32_t value)
{
	static const struct {
		uint16_t offset;
		enum virtio_ring ring;
	} at[] = {
		{ VIRTIO_MMIO_QUEUE_DESC_LOW, VIRTIO_DESC },
		{ VIRTIO_MMIO_QUEUE_AVAIL_LOW, VIRTIO_AVAIL },
		{ VIRTIO_MMIO_QUEUE_USED_LOW, VIRTIO_USED },
	};

	for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
		unsigned shift = offset == at[i].offset ? 0 : 32;

		if (offset == at[i].offset || offset == at[i].offset + 4u)
			virtio_queue_set_addr(q, at[i].ring,
					      (uint64_t)value << shift,
					      (uint64_t)UINT32_MAX << shift);
	}
}

static void queue_write(struct virtio_queue *q, uint64_t offset, uint32_t value)
{
	switch (offset) {
	case VIRTIO_MMIO_QUEUE_NUM:
		virtio_queue_set_size(q, (uint16_t)MIN(value, UINT16_MAX));
		break;
	case VIRTIO_MMIO_QUEUE_READY:
		/* Writing 0 stops the queue (sec. 4.2.2.2). */
		if (value == 1)
			virtio_queue_enable(q);
		else if (!value)
			virtio_queue_disable(q);
		break;
	case QUEUE_RESET:
		if (value == 1)
			virtio_queue_reset(q);
		break;
	default:
		address_write(q, offset, value);
	}
}

static void register_write(struct virtio_mmio *vm, uint64_t offset,
			   uint32_t value)
{
	struct virtio_device *vd = vm->vd;
	struct virtio_queue *q = virtio_selected(vd);

	switch (offset) {
	case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
		vd->offered_word = value;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES:
		virtio_accept(vd, value);
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
		vd->driver_word = value;
		break;
	case VIRTIO_MMIO_QUEUE_SEL:
		vd->queue_select = (uint16_t)MIN(value, UINT16_MAX);
		break;
	case VIRTIO_MMIO_QUEUE_NOTIFY:
		virtio_notify(vd, value);
		break;
	case VIRTIO_MMIO_INTERRUPT_ACK:
		atomic_fetch_and(&vm->pending, (uint8_t)~value);
		break;
	case VIRTIO_MMIO_STATUS:
		virtio_set_status(vd, (uint8_t)value);
		break;
	default:
		if (q)
			queue_write(q, offset, value);
	}
}

static void mmio_write(void *opaque, uint64_t offset_bytes, unsigned size_bytes,
		       uint64_t value)
{
	struct virtio_mmio *vm = opaque;

	if (offset_bytes >= VIRTIO_MMIO_CONFIG)
		virtio_config_write(vm->vd, offset_bytes - VIRTIO_MMIO_CONFIG,
				    size_bytes, value);
	else if (size_bytes == 4 && !(offset_bytes % 4))
		register_write(vm, offset_bytes, (uint32_t)value);
}

static const struct bus_ops mmio_ops = { mmio_read, mmio_write };

/* ---- interrupts and doorbells ------------------------------------------ */

static void mmio_interrupt(struct virtio_device *vd, struct virtio_queue *q)
{
	struct virtio_mmio *vm = bus_of(vd);
	struct irq_wire wire = wire_of(vm);

	atomic_fetch_or(&vm->pending, q ? INT_QUEUE : INT_CONFIG);
	irq_pulse(&wire);
}

static void mmio_doorbells(struct virtio_device *vd, bool on)
{
	struct doorbells *bells = vd->dev.env->doorbells;
	gpa_t at = GPA(bus_of(vd)->region.base + VIRTIO_MMIO_QUEUE_NOTIFY);

	for (uint32_t i = 0; i < vd->queue_count; i++) {
		struct virtio_queue *q = &vd->queue[i];

		if (on && !q->doorbell.v && q->ring.enabled &&
		    !doorbell_add(bells, at, &i, q->kick.fd))
			q->doorbell = at;
		if (on || !q->doorbell.v)
			continue;
		doorbell_del(bells, at, &i, q->kick.fd);
		q->doorbell = GPA(0);
	}
}

static void mmio_device_reset(struct virtio_device *vd)
{
	bus_of(vd)->pending = 0;
}

/* ---- making ------------------------------------------------------------ */

static int place(struct virtio_mmio *vm, struct diag *d)
{
	struct virtio_device *vd = vm->vd;
	const struct device_env *env = vd->dev.env;
	const struct platform *p = env->platform;
	uint64_t at = *env->virtio_mmio_used * p->virtio_mmio_stride;

	if (!range_within(at, p->virtio_mmio_stride, 0,
			  p->virtio_mmio.size_bytes))
		return diag_fail(d, ENOSPC,
				 "%s: all %u virtio-mmio slots are taken",
				 vd->dev.id, *env->virtio_mmio_used);
	vm->slot = *env->virtio_mmio_used;
	vm->region = (struct bus_region){
		.base = p->virtio_mmio.base + at,
		.size_bytes = p->virtio_mmio_stride,
		.ops = &mmio_ops,
		.opaque = vm,
		.lock = &vd->lock,
		.name = vd->dev.id,
	};
	return 0;
}

static int mmio_realize(struct virtio_device *vd, struct diag *d)
{
	struct virtio_mmio *vm = bus_of(vd);
	int err;

	vm->vd = vd;
	err = place(vm, d);
	if (err)
		return err;
	err = bus_add(vd->dev.env->mmio, &vm->region, d);
	if (!err)
		++*vd->dev.env->virtio_mmio_used;
	return err;
}

/* Slots are given out in order; only the last one comes back. */
static void mmio_unrealize(struct virtio_device *vd)
{
	struct virtio_mmio *vm = bus_of(vd);

	bus_remove(vd->dev.env->mmio, &vm->region);
	if (vm->slot + 1 == *vd->dev.env->virtio_mmio_used)
		--*vd->dev.env->virtio_mmio_used;
}

static int mmio_describe(const struct virtio_device *vd, struct platform *p,
			 struct diag *d)
{
	const struct virtio_mmio *vm = bus_of(vd);
	const struct plat_dev desc = {
		.name = "virtio_mmio",
		.compatible = "virtio,mmio\0",
		.hid = "LNRO0005",
		.uid = vm->slot,
		.range = { { .bus = PLAT_MMIO,
			     .base = vm->region.base,
			     .size_bytes = vm->region.size_bytes } },
		.range_count = 1,
		.irq = { { .pin = p->virtio_mmio_pin + vm->slot } },
		.irq_count = 1,
		.prop = { { .name = "dma-coherent", .kind = PROP_FLAG } },
		.prop_count = 1,
	};

	return platform_add(p, &desc, d);
}

static void mmio_reset(struct virtio_device *vd)
{
	(void)vd;
}

static void mmio_save(const struct virtio_device *vd, struct stream_out *out)
{
	stream_put_u8(out, bus_of(vd)->pending);
}

static int mmio_load(struct virtio_device *vd, struct stream_in *in,
		     struct diag *d)
{
	uint8_t pending = stream_get_u8(in);

	if (in->failed)
		return diag_fail(d, EBADMSG, "%s: short state", vd->dev.id);
	bus_of(vd)->pending = pending & (INT_QUEUE | INT_CONFIG);
	return 0;
}

const struct virtio_transport virtio_mmio = {
	.name = "MMIO",
	.size_bytes = sizeof(struct virtio_mmio),
	.realize = mmio_realize,
	.unrealize = mmio_unrealize,
	.describe = mmio_describe,
	.reset = mmio_reset,
	.device_reset = mmio_device_reset,
	.interrupt = mmio_interrupt,
	.doorbells = mmio_doorbells,
	.save = mmio_save,
	.load = mmio_load,
};
