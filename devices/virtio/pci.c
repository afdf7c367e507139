/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: virtio over PCI (VIRTIO 1.3 sec. 4.1), modern interface only
 *
 * One 64-bit memory BAR of 32 KiB holds everything:
 *
 *	0x0000	common configuration	0x3000	notification, 4 bytes a queue
 *	0x1000	ISR status		0x4000	MSI-X table
 *	0x2000	device configuration	0x7000	MSI-X pending bits
 *
 * Each queue has a notification address of its own, so a doorbell needs no
 * data match. Doorbells exist while the driver runs the device and follow the
 * BAR. Without MSI-X the device uses INTA and the ISR byte.
 *
 * Accesses of any width and alignment are safe: reads come from an image of
 * the registers; writes must match a register, or half of a 64-bit one.
 *
 * Not implemented: legacy interface, notification data, admin queue, shared
 * memory regions.
 */
#include "devices/pci/pci.h"

#include <assert.h>
#include <errno.h>
#include <linux/virtio_pci.h>
#include <string.h>

#include "vmm/base/bytes.h"

#include "devices/virtio/virtio.h"

enum {
	AT_COMMON = 0x0000,
	AT_ISR = 0x1000,
	AT_DEVICE = 0x2000,
	AT_NOTIFY = 0x3000,
	AT_MSIX = 0x4000,
	AT_PBA = 0x7000,
	BAR_BYTES = 0x8000,
	SECTION_BYTES = 0x1000,
	NOTIFY_STRIDE = 4,
	VECTORS_MAX = (AT_PBA - AT_MSIX) / 16,
};
static_assert(VIRTIO_QUEUES_MAX * NOTIFY_STRIDE <= AT_MSIX - AT_NOTIFY,
	      "each queue has a notification address");

enum { ISR_QUEUE = 1, ISR_CONFIG = 2 };

/* sec. 4.1.4.3: struct virtio_pci_common_cfg of 1.3 */
enum {
	COMMON_OFFERED_SELECT = 0x00,
	COMMON_OFFERED = 0x04,
	COMMON_DRIVER_SELECT = 0x08,
	COMMON_DRIVER = 0x0c,
	COMMON_CONFIG_VECTOR = 0x10,
	COMMON_QUEUE_COUNT = 0x12,
	COMMON_STATUS = 0x14,
	COMMON_GENERATION = 0x15,
	COMMON_QUEUE_SELECT = 0x16,
	COMMON_QUEUE_SIZE = 0x18,
	COMMON_QUEUE_VECTOR = 0x1a,
	COMMON_QUEUE_ENABLE = 0x1c,
	COMMON_QUEUE_NOTIFY = 0x1e,
	COMMON_QUEUE_DESC = 0x20,
	COMMON_QUEUE_AVAIL = 0x28,
	COMMON_QUEUE_USED = 0x30,
	COMMON_QUEUE_RESET = 0x3a,
	COMMON_BYTES = 0x40,
};
static_assert(COMMON_QUEUE_USED == VIRTIO_PCI_COMMON_Q_USEDLO,
	      "VIRTIO 1.3 sec. 4.1.4.3");

/**
 * struct virtio_pci - transport state
 * @cfg_cap: offset of the configuration access capability
 * @base: where the BAR is, or PCI_UNMAPPED; guarded by virtio_device.lock
 * @isr: and the level of INTA, guarded by @isr_lock
 */
struct virtio_pci {
	struct pci_func func;
	struct virtio_device *vd;
	uint8_t cfg_cap;
	uint64_t base;
	pthread_mutex_t isr_lock;
	uint8_t isr;
};

static struct virtio_pci *bus_of(const struct virtio_device *vd)
{
	return vd->bus;
}

static struct virtio_pci *func_owner(struct pci_func *f)
{
	return container_of(f, struct virtio_pci, func);
}

/* ---- common configuration ---------------------------------------------- */

static void image_queue(struct virtio_queue *q, uint8_t *image)
{
	put_le16(image + COMMON_QUEUE_SIZE, q->reg.size);
	put_le16(image + COMMON_QUEUE_VECTOR, q->vector);
	put_le16(image + COMMON_QUEUE_ENABLE, q->ring.enabled);
	put_le16(image + COMMON_QUEUE_NOTIFY, (uint16_t)q->index);
	put_le64(image + COMMON_QUEUE_DESC, q->reg.desc.v);
	put_le64(image + COMMON_QUEUE_AVAIL, q->reg.driver.v);
	put_le64(image + COMMON_QUEUE_USED, q->reg.device.v);
}

/* All registers as bytes. */
static void common_image(struct virtio_device *vd, uint8_t *image)
{
	struct virtio_queue *q = virtio_selected(vd);

	memset(image, 0, COMMON_BYTES);
	put_le32(image + COMMON_OFFERED_SELECT, vd->offered_word);
	put_le32(image + COMMON_OFFERED, virtio_offered(vd));
	put_le32(image + COMMON_DRIVER_SELECT, vd->driver_word);
	put_le32(image + COMMON_DRIVER, virtio_accepted(vd));
	put_le16(image + COMMON_CONFIG_VECTOR, vd->config_vector);
	put_le16(image + COMMON_QUEUE_COUNT, (uint16_t)vd->queue_count);
	image[COMMON_STATUS] = vd->status;
	image[COMMON_GENERATION] = (uint8_t)vd->generation;
	put_le16(image + COMMON_QUEUE_SELECT, vd->queue_select);
	if (q)
		image_queue(q, image);
}

static uint64_t common_read(struct virtio_pci *vp, uint64_t offset,
			    unsigned size)
{
	uint8_t image[COMMON_BYTES + 8] = { 0 };

	if (offset >= COMMON_BYTES)
		return 0;
	common_image(vp->vd, image);
	return get_le64(image + offset) &
	       (size < 8 ? (1ULL << (8 * size)) - 1 : UINT64_MAX);
}

static void write_offered_select(struct virtio_pci *vp, uint64_t value)
{
	vp->vd->offered_word = (uint32_t)value;
}

static void write_driver_select(struct virtio_pci *vp, uint64_t value)
{
	vp->vd->driver_word = (uint32_t)value;
}

static void write_driver(struct virtio_pci *vp, uint64_t value)
{
	virtio_accept(vp->vd, (uint32_t)value);
}

/* A vector that does not exist reads back as none (sec. 4.1.5.1.2.1). */
static uint16_t check_vector(const struct virtio_pci *vp, uint64_t value)
{
	return value < vp->func.msix.count ? (uint16_t)value : VIRTIO_NO_VECTOR;
}

static void write_config_vector(struct virtio_pci *vp, uint64_t value)
{
	vp->vd->config_vector = check_vector(vp, value);
}

static void write_status(struct virtio_pci *vp, uint64_t value)
{
	virtio_set_status(vp->vd, (uint8_t)value);
}

static void write_queue_select(struct virtio_pci *vp, uint64_t value)
{
	vp->vd->queue_select = (uint16_t)value;
}

static void write_size(struct virtio_pci *vp, struct virtio_queue *q,
		       uint64_t value)
{
	(void)vp;
	virtio_queue_set_size(q, (uint16_t)value);
}

static void write_vector(struct virtio_pci *vp, struct virtio_queue *q,
			 uint64_t value)
{
	q->vector = check_vector(vp, value);
	virtio_vector_changed(q);
}

/* Writing 0 is not allowed (sec. 4.1.4.3.2); only a reset disables. */
static void write_enable(struct virtio_pci *vp, struct virtio_queue *q,
			 uint64_t value)
{
	(void)vp;
	if (value == 1)
		virtio_queue_enable(q);
}

static void write_reset(struct virtio_pci *vp, struct virtio_queue *q,
			uint64_t value)
{
	(void)vp;
	if (value == 1)
		virtio_queue_reset(q);
}

/* One of @device and @queue; @queue is for registers of the selected queue. */
static const struct common_reg {
	uint8_t offset, size;
	void (*device)(struct virtio_pci *vp, uint64_t value);
	void (*queue)(struct virtio_pci *vp, struct virtio_queue *q,
		      uint64_t value);
} common_regs[] = {
	{ COMMON_OFFERED_SELECT, 4, .device = write_offered_select },
	{ COMMON_DRIVER_SELECT, 4, .device = write_driver_select },
	{ COMMON_DRIVER, 4, .device = write_driver },
	{ COMMON_CONFIG_VECTOR, 2, .device = write_config_vector },
	{ COMMON_STATUS, 1, .device = write_status },
	{ COMMON_QUEUE_SELECT, 2, .device = write_queue_select },
	{ COMMON_QUEUE_SIZE, 2, .queue = write_size },
	{ COMMON_QUEUE_VECTOR, 2, .queue = write_vector },
	{ COMMON_QUEUE_ENABLE, 2, .queue = write_enable },
	{ COMMON_QUEUE_RESET, 2, .queue = write_reset },
};

/* The three ring addresses: as a whole or in halves. */
static void write_address(struct virtio_pci *vp, uint64_t offset, unsigned size,
			  uint64_t value)
{
	struct virtio_queue *q = virtio_selected(vp->vd);
	unsigned shift = offset % 8 * 8;
	uint64_t mask = size == 8 ? UINT64_MAX : UINT32_MAX;

	if (!q || size < 4 || offset % size)
		return;
	virtio_queue_set_addr(q, (enum virtio_ring)(offset / 8 - 4),
			      value << shift, mask << shift);
}
static_assert(COMMON_QUEUE_DESC / 8 - 4 == VIRTIO_DESC &&
		      COMMON_QUEUE_AVAIL / 8 - 4 == VIRTIO_AVAIL &&
		      COMMON_QUEUE_USED / 8 - 4 == VIRTIO_USED,
	      "write_address() counts in 8-byte registers");

static void common_write(struct virtio_pci *vp, uint64_t offset, unsigned size,
			 uint64_t value)
{
	struct virtio_queue *q = virtio_selected(vp->vd);

	if (range_within(offset, size, COMMON_QUEUE_DESC, 24)) {
		write_address(vp, offset, size, value);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(common_regs); i++) {
		const struct common_reg *r = &common_regs[i];

		if (r->offset != offset || r->size != size)
			continue;
		if (r->device)
			r->device(vp, value);
		else if (q)
			r->queue(vp, q, value);
	}
}

/* ---- the other sections ------------------------------------------------ */

/* Clear the register and INTA, or add to both. Return: what it was. */
static uint8_t isr_change(struct virtio_pci *vp, uint8_t add)
{
	uint8_t was;

	pthread_mutex_lock(&vp->isr_lock);
	was = vp->isr;
	vp->isr = add ? was | add : 0;
	pci_intx_set(&vp->func, add);
	pthread_mutex_unlock(&vp->isr_lock);
	return was;
}

static uint64_t isr_read(struct virtio_pci *vp, uint64_t offset, unsigned size)
{
	(void)size;
	return offset ? 0 : isr_change(vp, 0);
}

static uint64_t device_read(struct virtio_pci *vp, uint64_t offset,
			    unsigned size)
{
	return virtio_config_read(vp->vd, offset, size);
}

static void device_write(struct virtio_pci *vp, uint64_t offset, unsigned size,
			 uint64_t value)
{
	virtio_config_write(vp->vd, offset, size, value);
}

static void notify_write(struct virtio_pci *vp, uint64_t offset, unsigned size,
			 uint64_t value)
{
	(void)size;
	(void)value;
	virtio_notify(vp->vd, offset / NOTIFY_STRIDE);
}

static uint64_t table_read(struct virtio_pci *vp, uint64_t offset,
			   unsigned size)
{
	return pci_msix_table_read(&vp->func, offset, size);
}

static void table_write(struct virtio_pci *vp, uint64_t offset, unsigned size,
			uint64_t value)
{
	pci_msix_table_write(&vp->func, offset, size, value);
}

static uint64_t pba_read(struct virtio_pci *vp, uint64_t offset, unsigned size)
{
	return pci_msix_pba_read(&vp->func, offset, size);
}

/* By page of the BAR; @base is where the section begins. */
static const struct section {
	uint64_t base;
	uint64_t (*read)(struct virtio_pci *vp, uint64_t offset, unsigned size);
	void (*write)(struct virtio_pci *vp, uint64_t offset, unsigned size,
		      uint64_t value);
} sections[BAR_BYTES / SECTION_BYTES] = {
	{ AT_COMMON, common_read, common_write },
	{ AT_ISR, isr_read, NULL },
	{ AT_DEVICE, device_read, device_write },
	{ AT_NOTIFY, NULL, notify_write },
	{ AT_MSIX, table_read, table_write },
	{ AT_MSIX, table_read, table_write },
	{ AT_MSIX, table_read, table_write },
	{ AT_PBA, pba_read, NULL },
};

static uint64_t bar_read(void *opaque, uint64_t offset_bytes,
			 unsigned size_bytes)
{
	struct virtio_pci *vp = opaque;
	const struct section *s = &sections[offset_bytes / SECTION_BYTES];
	uint64_t value;

	if (!s->read)
		return 0;
	pthread_mutex_lock(&vp->vd->lock);
	value = s->read(vp, offset_bytes - s->base, size_bytes);
	pthread_mutex_unlock(&vp->vd->lock);
	return value;
}

static void bar_write(void *opaque, uint64_t offset_bytes, unsigned size_bytes,
		      uint64_t value)
{
	struct virtio_pci *vp = opaque;
	const struct section *s = &sections[offset_bytes / SECTION_BYTES];

	if (!s->write)
		return;
	pthread_mutex_lock(&vp->vd->lock);
	s->write(vp, offset_bytes - s->base, size_bytes, value);
	pthread_mutex_unlock(&vp->vd->lock);
}

static const struct bus_ops bar_ops = { bar_read, bar_write };

/* ---- configuration access capability (sec. 4.1.4.9) -------------------- */

/* Where the capability points; false: nowhere inside the BAR. */
static bool cfg_target(const struct virtio_pci *vp, uint32_t *offset,
		       uint32_t *len)
{
	const uint8_t *cap = vp->func.config + vp->cfg_cap;

	*offset = get_le32(cap + offsetof(struct virtio_pci_cap, offset));
	*len = get_le32(cap + offsetof(struct virtio_pci_cap, length));
	return !cap[offsetof(struct virtio_pci_cap, bar)] &&
	       (*len == 1 || *len == 2 || *len == 4) && !(*offset % *len) &&
	       range_within(*offset, *len, 0, BAR_BYTES);
}

static uint8_t *cfg_data(struct virtio_pci *vp)
{
	return vp->func.config + vp->cfg_cap + sizeof(struct virtio_pci_cap);
}

static void window_read(struct pci_func *f)
{
	struct virtio_pci *vp = func_owner(f);
	uint32_t offset, len;

	if (cfg_target(vp, &offset, &len))
		put_le32(cfg_data(vp), (uint32_t)bar_read(vp, offset, len));
}

static void window_written(struct pci_func *f)
{
	struct virtio_pci *vp = func_owner(f);
	uint32_t offset, len, value = get_le32(cfg_data(vp));

	if (!cfg_target(vp, &offset, &len))
		return;
	if (len < 4)
		value &= (1u << (8 * len)) - 1;
	bar_write(vp, offset, len, value);
}

/* ---- interrupts and doorbells ------------------------------------------ */

static void pci_interrupt(struct virtio_device *vd, struct virtio_queue *q)
{
	struct virtio_pci *vp = bus_of(vd);

	if (pci_msix_fire(&vp->func, q ? q->vector : vd->config_vector))
		return;
	isr_change(vp, q ? ISR_QUEUE : ISR_CONFIG);
}

static int pci_call_fd(struct virtio_device *vd, struct virtio_queue *q)
{
	return pci_msix_fd(&bus_of(vd)->func, q->vector);
}

/* The guest turned MSI-X on or off. */
static void msix_switched(struct pci_func *f)
{
	struct virtio_device *vd = func_owner(f)->vd;

	pthread_mutex_lock(&vd->lock);
	for (unsigned i = 0; i < vd->queue_count; i++)
		virtio_vector_changed(&vd->queue[i]);
	pthread_mutex_unlock(&vd->lock);
}

static void doorbell_on(struct virtio_pci *vp, struct virtio_queue *q)
{
	gpa_t at =
		GPA(vp->base + AT_NOTIFY + (uint64_t)q->index * NOTIFY_STRIDE);

	if (!doorbell_add(vp->vd->dev.env->doorbells, at, NULL, q->kick.fd))
		q->doorbell = at;
}

static void doorbell_off(struct virtio_pci *vp, struct virtio_queue *q)
{
	doorbell_del(vp->vd->dev.env->doorbells, q->doorbell, NULL, q->kick.fd);
	q->doorbell = GPA(0);
}

static void pci_doorbells(struct virtio_device *vd, bool on)
{
	struct virtio_pci *vp = bus_of(vd);

	for (unsigned i = 0; i < vd->queue_count; i++) {
		struct virtio_queue *q = &vd->queue[i];

		if (!on && q->doorbell.v)
			doorbell_off(vp, q);
		if (on && !q->doorbell.v && q->ring.enabled &&
		    vp->base != PCI_UNMAPPED)
			doorbell_on(vp, q);
	}
}

static void bar_moved(struct pci_func *f, unsigned index, uint64_t base)
{
	struct virtio_pci *vp = func_owner(f);
	struct virtio_device *vd = vp->vd;

	(void)index;
	pthread_mutex_lock(&vd->lock);
	pci_doorbells(vd, false);
	vp->base = base;
	if (vd->status & VIRTIO_DRIVER_OK)
		pci_doorbells(vd, true);
	pthread_mutex_unlock(&vd->lock);
}

static void pci_device_reset(struct virtio_device *vd)
{
	isr_change(bus_of(vd), 0);
}

/* ---- making ------------------------------------------------------------ */

static const struct pci_func_ops func_ops = {
	.bar_moved = bar_moved,
	.msix_switched = msix_switched,
	.window_read = window_read,
	.window_written = window_written,
};

/* Add a vendor capability that points at [@offset, @offset + @length). */
static uint8_t add_cap(struct pci_func *f, uint8_t type, uint32_t offset,
		       uint32_t length, const struct pci_reg *extra)
{
	uint8_t bytes = sizeof(struct virtio_pci_cap) + (extra ? 4 : 0);
	bool access = type == VIRTIO_PCI_CAP_PCI_CFG;
	const uint32_t rw = access ? UINT32_MAX : 0;
	const struct pci_reg regs[] = {
		{ .offset = 2, .size_bytes = 1, .value = bytes },
		{ .offset = 3, .size_bytes = 1, .value = type },
		{ .offset = 4, .size_bytes = 1, .rw = rw & 0xff },
		{ .offset = 8, .size_bytes = 4, .value = offset, .rw = rw },
		{ .offset = 12, .size_bytes = 4, .value = length, .rw = rw },
	};
	uint8_t at = pci_func_add_cap(f, PCI_CAP_VENDOR, bytes, regs,
				      ARRAY_SIZE(regs));

	if (extra) {
		struct pci_reg reg = *extra;

		reg.offset = (uint8_t)(at + sizeof(struct virtio_pci_cap));
		pci_func_add_reg(f, &reg);
	}
	return at;
}
static_assert(sizeof(struct virtio_pci_cap) == 16, "VIRTIO 1.3 sec. 4.1.4");

static void add_caps(struct virtio_pci *vp)
{
	static const struct pci_reg stride = { .size_bytes = 4,
					       .value = NOTIFY_STRIDE };
	static const struct pci_reg data = { .size_bytes = 4,
					     .rw = UINT32_MAX };
	const struct virtio_device *vd = vp->vd;
	struct pci_func *f = &vp->func;
	uint8_t data_at;

	add_cap(f, VIRTIO_PCI_CAP_COMMON_CFG, AT_COMMON, COMMON_BYTES, NULL);
	add_cap(f, VIRTIO_PCI_CAP_NOTIFY_CFG, AT_NOTIFY,
		vd->queue_count * NOTIFY_STRIDE, &stride);
	add_cap(f, VIRTIO_PCI_CAP_ISR_CFG, AT_ISR, 1, NULL);
	if (vd->config_bytes)
		add_cap(f, VIRTIO_PCI_CAP_DEVICE_CFG, AT_DEVICE,
			vd->config_bytes, NULL);
	vp->cfg_cap = add_cap(f, VIRTIO_PCI_CAP_PCI_CFG, 0, 0, &data);
	data_at = (uint8_t)(vp->cfg_cap + sizeof(struct virtio_pci_cap));
	pci_func_window(f, data_at, data_at + 3);
}

static int build(struct virtio_pci *vp, struct diag *d)
{
	const struct virtio_device *vd = vp->vd;
	const struct pci_ident ident = {
		.vendor = VIRTIO_VENDOR,
		.device = (uint16_t)(0x1040 + vd->id),
		.sub_vendor = VIRTIO_VENDOR,
		.sub_device = (uint16_t)(0x1040 + vd->id),
		.class_code = vd->cls->pci_class,
		.revision = 1,
		.intx = true,
	};
	const struct pci_bar_spec bar = { .is64 = true,
					  .size_bytes = BAR_BYTES,
					  .ops = &bar_ops,
					  .opaque = vp };
	unsigned vectors = MIN(vd->queue_count + 1, (unsigned)VECTORS_MAX);
	int err = pci_func_init(&vp->func, vd->dev.env->pci[vd->dev.segment],
				vd->dev.id, &ident, &func_ops, d);

	if (err)
		return err;
	add_caps(vp);
	err = pci_func_add_bar(&vp->func, &bar, d);
	if (!err)
		err = pci_msix_init(&vp->func, vectors, 0, AT_MSIX, AT_PBA, d);
	if (!err)
		err = pci_func_plug(&vp->func, d);
	return err;
}

static void pci_unrealize(struct virtio_device *vd)
{
	pci_func_release(&bus_of(vd)->func);
	pthread_mutex_destroy(&bus_of(vd)->isr_lock);
}

static int pci_realize(struct virtio_device *vd, struct diag *d)
{
	struct virtio_pci *vp = bus_of(vd);
	int err;

	if (!vd->dev.env->pci[vd->dev.segment])
		return diag_fail(d, ENODEV, "%s: this machine has no PCI",
				 vd->dev.id);
	vp->vd = vd;
	vp->base = PCI_UNMAPPED;
	pthread_mutex_init(&vp->isr_lock, NULL);
	err = build(vp, d);
	if (err)
		pci_unrealize(vd);
	return err;
}

static void pci_reset(struct virtio_device *vd)
{
	pci_func_reset(&bus_of(vd)->func);
}

static void pci_save(const struct virtio_device *vd, struct stream_out *out)
{
	const struct virtio_pci *vp = bus_of(vd);

	stream_put_u8(out, vp->isr);
	pci_func_save(&vp->func, out);
}

static int pci_load(struct virtio_device *vd, struct stream_in *in,
		    struct diag *d)
{
	struct virtio_pci *vp = bus_of(vd);
	uint8_t isr = stream_get_u8(in);
	int err = pci_func_load(&vp->func, in, d);

	if (!err)
		vp->isr = isr & (ISR_QUEUE | ISR_CONFIG);
	return err;
}

const struct virtio_transport virtio_pci = {
	.name = "PCI",
	.size_bytes = sizeof(struct virtio_pci),
	.realize = pci_realize,
	.unrealize = pci_unrealize,
	.reset = pci_reset,
	.device_reset = pci_device_reset,
	.interrupt = pci_interrupt,
	.call_fd = pci_call_fd,
	.doorbells = pci_doorbells,
	.save = pci_save,
	.load = pci_load,
};
