/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: a guest that does anything to PCI, virtio-pci and virtio-mmio
 *
 * The input is a list of accesses, 8 bytes each, to a machine with an entropy
 * device and a console on either transport, and pvpanic. Machines are made
 * once and reset before each input. Nothing must crash, and when the machine
 * is reset, the devices must work.
 */
#include "tests/unit/virtio-driver.h"

#define RING BED_RAM_A
#define DATA (BED_RAM_A + 0x10000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/**
 * struct op - one step of the guest
 * @kind: what, modulo the number of kinds; high bits: which device and queue
 * @size: log2 of the width of an access, in the low two bits
 * @at: offset
 * @value: what is written, sign-extended to 64 bits
 */
struct op {
	uint8_t kind, size;
	uint16_t at;
	int32_t value;
};

struct rig {
	struct bed bed;
	struct device *dev[3];
	struct drv drv[2];
	unsigned dev_count;
};

static void rig_open(struct rig *r, enum transport_choice transport)
{
	static const char *const names[] = { "virtio-rng", "virtio-console",
					     "pvpanic" };

	bed_open(&r->bed, transport, true);
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		r->dev[r->dev_count++] = bed_add(&r->bed, names[i]);
}

/* As the machine does it: its VM is a new one. */
static void rig_reset(struct rig *r)
{
	unsigned first = r->bed.config.platform.transport == TRANSPORT_PCI;

	r->bed.vm.doorbells = r->bed.vm.irqfds = 0;
	r->bed.host->cls->reset(r->bed.host);
	for (unsigned i = 0; i < r->dev_count; i++)
		r->dev[i]->cls->reset(r->dev[i]);
	for (unsigned i = 0; i < 2; i++)
		drv_find(&r->drv[i], &r->bed, r->dev[i], i + first);
	ram_fill(&r->bed.ram, GPA(BED_RAM_A), 0, 0x20000);
	ram_fill(&r->bed.ram, GPA(BED_RAM_B), 0, 0x10000);
}

/* Packed rings only when asked for. */
static uint64_t features_of(struct drv *drv, const struct op *op)
{
	uint64_t features = op->at & 1 ? drv_offered(drv) : (uint32_t)op->value;

	return op->at & 2 ? features : features & ~VIRTIO_F_RING_PACKED;
}

static void set_up(struct drv *drv, unsigned queues, uint64_t features)
{
	if (!drv->mmio)
		drv_msix(drv, queues + 1);
	drv_negotiate(drv, VIRTIO_F_VERSION_1 | features);
	for (unsigned i = 0; i < queues; i++)
		drv_queue(drv, i, 8, i ? BED_RAM_B : RING);
	drv_go(drv);
}

static void save_and_load(struct rig *r, unsigned i, const struct op *op)
{
	struct device *dev = r->dev[i];
	struct stream_out out;
	struct stream_in in;
	struct diag d = DIAG_INIT;

	stream_out_init(&out);
	dev->cls->save(dev, &out);
	if (op->size & 4 && out.len)
		out.data[op->at % out.len] ^= (uint8_t)op->value;
	r->bed.vm.irqfds = 0;
	dev->cls->reset(dev);
	stream_in_init(&in, out.data, out.len);
	dev->cls->load(dev, &in, &d);
	stream_out_release(&out);
}

static void bus_op(struct bus *bus, uint64_t addr, const struct op *op)
{
	unsigned size = 1u << (op->size & 3);

	if (op->size & 4)
		bus_read(bus, addr, size);
	else
		bus_write(bus, addr, size, (uint64_t)(int64_t)op->value);
}

/* A descriptor, and perhaps a request: mostly sane, so that some are. */
static void ring_op(struct drv *drv, unsigned q, const struct op *op)
{
	uint32_t len = (uint32_t)op->value >> 8 & 0x1fff;
	uint64_t addr =
		op->size & 0x80 ? (uint64_t)(int64_t)op->value : DATA + op->at;
	uint16_t head = op->size & 0x20 ? op->at : op->size & 7;

	if (!drv->size[q])
		return;
	if (drv->vq[q].packed) {
		vring_offer1(&drv->vq[q], head, addr, len, op->value & 7);
	} else {
		desc_put(drv->b, drv->ring[q], op->size & 7, addr, len,
			 op->value & 7, op->value >> 3 & 7);
		if (op->size & 0x40)
			drv_offer(drv, q, head);
	}
	if (op->size & 0x10)
		drv_kick(drv, q);
}

static void operate(struct rig *r, const struct op *op)
{
	unsigned which = op->kind >> 4 & 1, q = op->kind >> 5 & which;
	struct drv *drv = &r->drv[which];
	struct bed *b = &r->bed;

	switch (op->kind & 0xf) {
	case 0:
	case 1:
		bus_op(b->env.mmio,
		       BED_ECAM + op->at + (op->kind >> 4) * 0x8000, op);
		break;
	case 2:
		bus_op(b->env.pio, 0xcf8 + (op->at & 7), op);
		break;
	case 3:
	case 4:
	case 5:
		/* Wherever the BAR is now. */
		if (!drv->mmio && op->size & 0x40)
			drv->base = cfg_bar64(b, drv->slot, 0);
		bus_op(b->env.mmio, drv->base + op->at, op);
		break;
	case 6:
		bus_op(b->env.mmio, BED_VMMIO + op->at, op);
		break;
	case 7:
		set_up(drv, which + 1, features_of(drv, op));
		break;
	case 8:
	case 9:
		ring_op(drv, q, op);
		break;
	case 10:
		bed_run(b, op->at & 3);
		break;
	case 11:
		ram_write(&b->ram, GPA((q ? BED_RAM_B : BED_RAM_A) + op->at),
			  &op->value, 4);
		break;
	case 12:
		save_and_load(r, (op->kind >> 4) % r->dev_count, op);
		break;
	case 13:
		r->dev[which]->cls->reset(r->dev[which]);
		break;
	case 14:
		b->vm.refuse = op->at & 1;
		break;
	default:
		drv_kick(drv, q);
	}
}

/* After all that, and a reset, each device serves a request. */
static void check_works(struct rig *r)
{
	uint32_t head, len;

	r->bed.vm.refuse = false;
	rig_reset(r);
	for (unsigned i = 0; i < 2; i++) {
		struct drv *drv = &r->drv[i];

		set_up(drv, i + 1, 0);
		drv_add(drv, i, DATA, 4, !i);
		drv_kick(drv, i);
		bed_run(&r->bed, 2);
		CHECK(drv_take(drv, i, &head, &len));
		CHECK(len == (i ? 0 : 4));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct rig rigs[2];
	struct rig *r;

	if (len < 1 + sizeof(struct op))
		return -1;
	r = &rigs[data[0] & 1];
	if (!r->dev_count)
		rig_open(r, data[0] & 1 ? TRANSPORT_MMIO : TRANSPORT_PCI);
	rig_reset(r);
	for (size_t at = 1; at + sizeof(struct op) <= MIN(len, 4096u);
	     at += sizeof(struct op)) {
		struct op op;

		memcpy(&op, data + at, sizeof(op));
		operate(r, &op);
	}
	check_works(r);
	return 0;
}
