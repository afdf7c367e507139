/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: finding, starting and reading virtio devices, see virtio.h */
#include "virtio.h"

/* A busy host runs the vCPU long before the device's thread. */
#define WAIT_READS  200000
#define QUIET_READS 300

#define RAM_BYTES  (16u << 20)
#define BAR_BASE   (pci_mem32_base + 0x1000000)
#define BAR_STRIDE 0x100000

/* VIRTIO 1.3 sec. 4.1.4.3, struct virtio_pci_common_cfg */
enum {
	PCI_OFFERED_SELECT = 0x00,
	PCI_OFFERED = 0x04,
	PCI_DRIVER_SELECT = 0x08,
	PCI_DRIVER = 0x0c,
	PCI_CONFIG_VECTOR = 0x10,
	PCI_STATUS = 0x14,
	PCI_QUEUE_SELECT = 0x16,
	PCI_QUEUE_SIZE = 0x18,
	PCI_QUEUE_VECTOR = 0x1a,
	PCI_QUEUE_ENABLE = 0x1c,
	PCI_QUEUE_NOTIFY = 0x1e,
	PCI_QUEUE_DESC = 0x20,
	PCI_QUEUE_DRIVER = 0x28,
	PCI_QUEUE_DEVICE = 0x30,
	PCI_QUEUE_RESET = 0x3a,
};

/* VIRTIO 1.3 sec. 4.2.2 */
enum {
	MMIO_MAGIC = 0x000,
	MMIO_VERSION = 0x004,
	MMIO_ID = 0x008,
	MMIO_OFFERED = 0x010,
	MMIO_OFFERED_SELECT = 0x014,
	MMIO_DRIVER = 0x020,
	MMIO_DRIVER_SELECT = 0x024,
	MMIO_QUEUE_SELECT = 0x030,
	MMIO_QUEUE_SIZE_MAX = 0x034,
	MMIO_QUEUE_SIZE = 0x038,
	MMIO_QUEUE_READY = 0x044,
	MMIO_NOTIFY = 0x050,
	MMIO_INTERRUPT = 0x060,
	MMIO_INTERRUPT_ACK = 0x064,
	MMIO_STATUS = 0x070,
	MMIO_QUEUE_DESC = 0x080,
	MMIO_QUEUE_DRIVER = 0x090,
	MMIO_QUEUE_DEVICE = 0x0a0,
	MMIO_QUEUE_RESET = 0x0c0,
	MMIO_CONFIG = 0x100,
};

static size_t ram_used;

uintptr_t ram_alloc(size_t bytes, size_t align)
{
	size_t at = (ram_used + align - 1) & ~(align - 1);

	ram_used = at + bytes;
	if (ram_used > RAM_BYTES) {
		ok(false, "the payload's memory lasts");
		machine_off();
	}
	for (size_t i = 0; i < bytes; i += 4)
		write32(free_ram + at + i, 0);
	return free_ram + at;
}

void ram_reset(void)
{
	ram_used = 0;
}

void set64(uintptr_t at, uint64_t v)
{
	write32(at, (uint32_t)v);
	write32(at + 4, (uint32_t)(v >> 32));
}

uint64_t get64(uintptr_t at)
{
	return read32(at) | (uint64_t)read32(at + 4) << 32;
}

/* ---- where it is --------------------------------------------------------- */

static uintptr_t bar_address(uintptr_t cfg, unsigned bar)
{
	return read32(cfg + 0x10 + 4 * bar) & ~15u;
}

/* VIRTIO 1.3 sec. 4.1.4, struct virtio_pci_cap; PCI 3.0 sec. 6.8.2. */
static void read_capability(struct virtio *v, unsigned at)
{
	uintptr_t cap = v->cfg + at;
	uintptr_t where = bar_address(v->cfg, read8(cap + 4)) + read32(cap + 8);

	if (read8(cap) == 0x11) {
		v->msix = bar_address(v->cfg, read32(cap + 4) & 7) +
			  (read32(cap + 4) & ~7u);
		v->pba = bar_address(v->cfg, read32(cap + 8) & 7) +
			 (read32(cap + 8) & ~7u);
	}
	if (read8(cap) != 9)
		return;
	switch (read8(cap + 3)) {
	case 1:
		v->base = where;
		break;
	case 2:
		v->notify = where;
		v->notify_step = read32(cap + 16);
		break;
	case 3:
		v->isr = where;
		break;
	case 4:
		v->device = where;
		break;
	}
}

static bool read_capabilities(struct virtio *v)
{
	unsigned at = read8(v->cfg + 0x34);

	for (int hops = 0; at && hops < 48; hops++) {
		read_capability(v, at);
		at = read8(v->cfg + at + 1);
	}
	return v->base && v->notify && v->isr;
}

bool virtio_move(struct virtio *v, uint32_t base)
{
	pci_bar_place(v->cfg, 0, base);
	return read_capabilities(v);
}

static bool find_pci(struct virtio *v, unsigned id, unsigned nth)
{
	uint32_t want = (0x1040u + id) << 16 | 0x1af4;

	for (unsigned slot = 0; slot < 32; slot++) {
		uintptr_t cfg = ecam_base + ((uintptr_t)slot << 15);

		if (read32(cfg) != want || nth--)
			continue;
		v->cfg = cfg;
		return virtio_move(v, (uint32_t)(BAR_BASE + slot * BAR_STRIDE));
	}
	return false;
}

static bool find_mmio(struct virtio *v, unsigned id, unsigned nth)
{
	for (unsigned slot = 0; slot < virtio_mmio_count; slot++) {
		uintptr_t base = virtio_mmio_base + slot * virtio_mmio_stride;

		if (read32(base + MMIO_MAGIC) != 0x74726976 ||
		    read32(base + MMIO_VERSION) != 2 ||
		    read32(base + MMIO_ID) != id || nth--)
			continue;
		v->base = base;
		v->device = base + MMIO_CONFIG;
		return true;
	}
	return false;
}

/* Without PCI, arm64's intermediate physical addresses may end below ECAM, so
 * look at the first slot of virtio-mmio before. */
bool virtio_find(struct virtio *v, unsigned id, unsigned nth)
{
	*v = (struct virtio){ 0 };
	if (read32(virtio_mmio_base + MMIO_MAGIC) == 0x74726976)
		return find_mmio(v, id, nth);
	return find_pci(v, id, nth);
}

/* ---- registers ----------------------------------------------------------- */

uint8_t virtio_status(const struct virtio *v)
{
	return v->cfg ? read8(v->base + PCI_STATUS)
		      : (uint8_t)read32(v->base + MMIO_STATUS);
}

void virtio_set_status(struct virtio *v, uint8_t status)
{
	if (v->cfg)
		write8(v->base + PCI_STATUS, status);
	else
		write32(v->base + MMIO_STATUS, status);
}

static uint32_t offered(const struct virtio *v, unsigned word)
{
	write32(v->base + (v->cfg ? PCI_OFFERED_SELECT : MMIO_OFFERED_SELECT),
		word);
	return read32(v->base + (v->cfg ? PCI_OFFERED : MMIO_OFFERED));
}

uint64_t virtio_offered(const struct virtio *v)
{
	return offered(v, 0) | (uint64_t)offered(v, 1) << 32;
}

static void accept(struct virtio *v, unsigned word, uint32_t bits)
{
	write32(v->base + (v->cfg ? PCI_DRIVER_SELECT : MMIO_DRIVER_SELECT),
		word);
	write32(v->base + (v->cfg ? PCI_DRIVER : MMIO_DRIVER), bits);
}

bool virtio_start(struct virtio *v, uint64_t want)
{
	uint8_t status = S_ACKNOWLEDGE | S_DRIVER;

	virtio_set_status(v, 0);
	for (unsigned i = 0; i < WAIT_READS && virtio_status(v); i++)
		cpu_relax();
	if (virtio_status(v))
		return false;
	virtio_set_status(v, status);
	v->features = virtio_offered(v) & (want | F_VERSION_1);
	accept(v, 0, (uint32_t)v->features);
	accept(v, 1, (uint32_t)(v->features >> 32));
	status |= S_FEATURES_OK;
	virtio_set_status(v, status);
	return virtio_status(v) == status && v->features & F_VERSION_1;
}

void virtio_ready(struct virtio *v)
{
	virtio_set_status(v, virtio_status(v) | S_DRIVER_OK);
}

uint8_t virtio_config8(const struct virtio *v, unsigned offset)
{
	return read8(v->device + offset);
}

uint16_t virtio_config16(const struct virtio *v, unsigned offset)
{
	return read16(v->device + offset);
}

uint32_t virtio_config32(const struct virtio *v, unsigned offset)
{
	return read32(v->device + offset);
}

uint64_t virtio_config64(const struct virtio *v, unsigned offset)
{
	return get64(v->device + offset);
}

void virtio_config_write8(struct virtio *v, unsigned offset, uint8_t value)
{
	write8(v->device + offset, value);
}

/* ---- interrupts ---------------------------------------------------------- */

unsigned virtio_isr(struct virtio *v)
{
	uint32_t bits;

	if (v->cfg)
		return read8(v->isr);
	bits = read32(v->base + MMIO_INTERRUPT);
	if (bits)
		write32(v->base + MMIO_INTERRUPT_ACK, bits);
	return bits;
}

static bool isr_within(struct virtio *v, unsigned reads)
{
	while (reads--)
		if (virtio_isr(v))
			return true;
	return false;
}

bool virtio_interrupted(struct virtio *v)
{
	return isr_within(v, WAIT_READS);
}

bool virtio_quiet(struct virtio *v)
{
	return !isr_within(v, QUIET_READS);
}

bool virtio_needs_reset(const struct virtio *v)
{
	for (unsigned i = 0; i < WAIT_READS; i++)
		if (virtio_status(v) & S_NEEDS_RESET)
			return true;
	return false;
}

/* PCI 3.0 sec. 6.8.2.3: bit 15 of message control enables. */
void virtio_msix(struct virtio *v, bool on)
{
	unsigned at = read8(v->cfg + 0x34);

	while (at && read8(v->cfg + at) != 0x11)
		at = read8(v->cfg + at + 1);
	for (unsigned i = 0; i <= (read16(v->cfg + at + 2) & 0x7ffu); i++)
		write32(v->msix + 16 * i + 12, 1);
	write16(v->cfg + at + 2, on ? 0x8000 : 0);
}

bool virtio_pending(const struct virtio *v, unsigned vector)
{
	for (unsigned i = 0; i < QUIET_READS; i++)
		if (read32(v->pba + vector / 32 * 4) >> vector % 32 & 1)
			return true;
	return false;
}

/* ---- queue registers ----------------------------------------------------- */

void vring_moved(struct vring *r)
{
	uintptr_t base = r->v->base;

	write16(base + PCI_QUEUE_SELECT, r->index);
	r->bell = r->v->notify + (uintptr_t)read16(base + PCI_QUEUE_NOTIFY) *
					 r->v->notify_step;
}

static void make_pci(struct vring *r)
{
	uintptr_t base = r->v->base;

	write16(base + PCI_QUEUE_SIZE, r->size);
	set64(base + PCI_QUEUE_DESC, r->desc);
	set64(base + PCI_QUEUE_DRIVER, r->driver);
	set64(base + PCI_QUEUE_DEVICE, r->device);
	write16(base + PCI_QUEUE_VECTOR, r->index);
	write16(base + PCI_QUEUE_ENABLE, 1);
	vring_moved(r);
}

static void make_mmio(struct vring *r)
{
	uintptr_t base = r->v->base;

	write32(base + MMIO_QUEUE_SIZE, r->size);
	set64(base + MMIO_QUEUE_DESC, r->desc);
	set64(base + MMIO_QUEUE_DRIVER, r->driver);
	set64(base + MMIO_QUEUE_DEVICE, r->device);
	write32(base + MMIO_QUEUE_READY, 1);
	r->bell = base + MMIO_NOTIFY;
}

static uint16_t select(struct virtio *v, unsigned index)
{
	if (v->cfg) {
		write16(v->base + PCI_QUEUE_SELECT, (uint16_t)index);
		return read16(v->base + PCI_QUEUE_SIZE);
	}
	write32(v->base + MMIO_QUEUE_SELECT, index);
	return (uint16_t)read32(v->base + MMIO_QUEUE_SIZE_MAX);
}

static bool enabled(const struct virtio *v)
{
	return v->cfg ? read16(v->base + PCI_QUEUE_ENABLE)
		      : read32(v->base + MMIO_QUEUE_READY) & 1;
}

static void make_lists(struct vring *r)
{
	r->free_count = r->size;
	for (unsigned i = 0; i < r->size; i++)
		r->next[i] = (uint16_t)(i + 1);
}

/* The split ring's parts are the larger ones, so both formats fit. */
bool vring_make(struct vring *r, struct virtio *v, unsigned index,
		unsigned size)
{
	uint16_t offer = select(v, index);

	*r = (struct vring){ .v = v, .index = (uint16_t)index };
	r->size_max = offer;
	r->size = (uint16_t)(size		      ? size
			     : offer > VRING_SIZE_MAX ? VRING_SIZE_MAX
						      : offer);
	if (!offer || r->size > VRING_SIZE_MAX)
		return false;
	r->packed = v->features & F_PACKED;
	r->event_idx = v->features & F_EVENT_IDX;
	r->avail_wrap = r->used_wrap = true;
	r->desc = ram_alloc(16u * r->size, 16);
	r->driver = ram_alloc(6u + 2u * r->size, 4);
	r->device = ram_alloc(6u + 8u * r->size, 4);
	make_lists(r);
	memory_barrier();
	if (v->cfg)
		make_pci(r);
	else
		make_mmio(r);
	return enabled(v);
}

bool vring_reset(struct vring *r)
{
	struct virtio *v = r->v;

	select(v, r->index);
	if (v->cfg)
		write16(v->base + PCI_QUEUE_RESET, 1);
	else
		write32(v->base + MMIO_QUEUE_RESET, 1);
	for (unsigned i = 0; i < WAIT_READS; i++)
		if (!(v->cfg ? read16(v->base + PCI_QUEUE_RESET)
			     : read32(v->base + MMIO_QUEUE_RESET)))
			return !enabled(v);
	return false;
}

void vring_ring(struct vring *r)
{
	r->bells++;
	if (r->v->cfg)
		write16(r->bell, r->index);
	else
		write32(r->bell, r->index);
}
