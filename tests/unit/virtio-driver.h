/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: a machine without a hypervisor, and a virtio driver for it
 *
 * struct bed is what a device sees of a machine: buses, RAM in two pieces with
 * a hole between them, an interrupt controller that counts, an event loop. A
 * pretended hypervisor (bed.vm) records doorbells and irqfds; without it the
 * slow paths run. struct drv drives one virtio device through its registers
 * only, over PCI or MMIO, on packed rings if it accepted them. Also used by the
 * fuzzers, so nothing here needs Check; what cannot fail aborts.
 */
#ifndef TESTS_VIRTIO_DRIVER_H
#define TESTS_VIRTIO_DRIVER_H

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/check.h"
#include "vmm/host/host.h"

#include "devices/pci/pci.h"
#include "devices/virtio/devices.h"
#include "devices/virtio/virtio.h"
#include "tests/unit/virtio-ring.h"

#define BED_RAM_A  0x10000000ULL
#define BED_RAM_B  0x20000000ULL
#define BED_RAM_SZ MIB(1)
#define BED_ECAM   0xe0000000ULL
#define BED_MEM32  0xc0000000ULL
#define BED_MEM64  0x4000000000ULL
#define BED_VMMIO  0xd0000000ULL
#define BED_PINS   64
#define BED_NOTES  64
#define DRV_QUEUES 8

/* ---- a hypervisor that writes down what it is told --------------------- */

struct note {
	uint64_t key; /* address of a doorbell, route of an irqfd */
	int fd;
};

struct bed_vm {
	struct host_vm vm;
	struct note doorbell[BED_NOTES], irqfd[BED_NOTES];
	unsigned doorbells, irqfds;
	struct msi_message route[BED_NOTES];
	bool refuse; /* fail from now on */
};

static inline int note_add(struct note *n, unsigned *count, uint64_t key,
			   int fd)
{
	for (unsigned i = 0; i < *count; i++)
		if (n[i].key == key && n[i].fd == fd)
			return 0;
	CHECK(*count < BED_NOTES);
	n[(*count)++] = (struct note){ key, fd };
	return 0;
}

static inline int note_del(struct note *n, unsigned *count, uint64_t key,
			   int fd)
{
	for (unsigned i = 0; i < *count; i++) {
		if (n[i].key != key || n[i].fd != fd)
			continue;
		n[i] = n[--*count];
		return 0;
	}
	return -2;
}

static inline struct bed_vm *bed_vm_of(struct host_vm *vm)
{
	return container_of(vm, struct bed_vm, vm);
}

/* Doorbells that match a value share an address. */
static inline uint64_t bell_key(uint64_t addr, const uint64_t *match)
{
	return addr | (match ? *match << 48 : 0);
}

static inline int bed_doorbell_add(struct host_vm *vm, bool pio, uint64_t addr,
				   unsigned size, const uint64_t *match, int fd)
{
	struct bed_vm *b = bed_vm_of(vm);

	(void)pio;
	(void)size;
	return b->refuse ? -1
			 : note_add(b->doorbell, &b->doorbells,
				    bell_key(addr, match), fd);
}

static inline int bed_doorbell_del(struct host_vm *vm, bool pio, uint64_t addr,
				   unsigned size, const uint64_t *match, int fd)
{
	struct bed_vm *b = bed_vm_of(vm);

	(void)pio;
	(void)size;
	return note_del(b->doorbell, &b->doorbells, bell_key(addr, match), fd);
}

static inline int bed_irqfd_add(struct host_vm *vm, uint32_t gsi, int fd)
{
	struct bed_vm *b = bed_vm_of(vm);

	return b->refuse ? -1 : note_add(b->irqfd, &b->irqfds, gsi, fd);
}

static inline int bed_irqfd_del(struct host_vm *vm, uint32_t gsi, int fd)
{
	struct bed_vm *b = bed_vm_of(vm);

	return note_del(b->irqfd, &b->irqfds, gsi, fd);
}

static inline int bed_route_set(struct host_vm *vm, uint32_t gsi,
				const struct msi_message *msg)
{
	struct bed_vm *b = bed_vm_of(vm);

	if (b->refuse)
		return -1;
	if (gsi < BED_NOTES)
		b->route[gsi] = *msg;
	return 0;
}

static inline void bed_route_clear(struct host_vm *vm, uint32_t gsi)
{
	if (gsi < BED_NOTES)
		bed_vm_of(vm)->route[gsi] = (struct msi_message){ 0 };
}

static inline int bed_route_apply(struct host_vm *vm)
{
	return bed_vm_of(vm)->refuse ? -1 : 0;
}

static const struct host_ops bed_ops = {
	.name = "bed",
	.doorbell_add = bed_doorbell_add,
	.doorbell_del = bed_doorbell_del,
	.irqfd_add = bed_irqfd_add,
	.irqfd_del = bed_irqfd_del,
	.msi_route_set = bed_route_set,
	.msi_route_clear = bed_route_clear,
	.msi_route_apply = bed_route_apply,
};

/* ---- the machine ------------------------------------------------------- */

struct bed {
	const void *item; /* of the device that bed_add() makes next */
	struct guest_ram ram;
	struct irqchip irqchip;
	struct doorbells doorbells;
	struct platform platform;
	struct vm_config config;
	struct device_env env;
	struct device *host;
	unsigned mmio_used;
	unsigned rises[BED_PINS]; /* rising edges of each wire */
	bool level[BED_PINS];
	unsigned requests[3]; /* by enum machine_request */
	struct event_source idle;
	unsigned rounds;
	struct bed_vm vm;
};

static inline void bed_wire(void *opaque, uint32_t pin, bool level)
{
	struct bed *b = opaque;

	CHECK(pin < BED_PINS);
	/* From any thread. */
	if (!__atomic_exchange_n(&b->level[pin], level, __ATOMIC_SEQ_CST) &&
	    level)
		__atomic_fetch_add(&b->rises[pin], 1, __ATOMIC_SEQ_CST);
}

static inline void bed_request(void *machine, enum machine_request what)
{
	((struct bed *)machine)->requests[what]++;
}

static inline void bed_idle(void *opaque, uint32_t events)
{
	struct bed *b = opaque;

	(void)events;
	if (!b->rounds--)
		event_loop_stop(b->env.loop);
}

/* Run the event loop @rounds times over everything that is ready. */
static inline void bed_run(struct bed *b, unsigned rounds)
{
	b->rounds = rounds;
	event_loop_run(b->env.loop);
}

static inline void bed_platform(struct platform *p)
{
	p->pci = (struct plat_pci){
		.segment_count = 1,
		.segment[0] = { .ecam = { PLAT_MMIO, BED_ECAM, MIB(1) },
				.bus_count = 1,
				.mmio32 = { PLAT_MMIO, BED_MEM32, MIB(16) },
				.mmio64 = { PLAT_MMIO, BED_MEM64, GIB(1) } },
		.cf8 = true,
		.intx_present = true,
		.intx = { 16, 17, 18, 19 },
	};
	p->virtio_mmio = (struct plat_range){ PLAT_MMIO, BED_VMMIO, 0x1000 };
	p->virtio_mmio_stride = 0x200;
	p->virtio_mmio_pin = 32;
	p->pvpanic = (struct plat_range){ PLAT_PIO, 0x505, 1 };
}

/* @b is zeroed. @vm: with the pretended hypervisor. */
static inline void bed_open(struct bed *b, enum transport_choice transport,
			    bool vm)
{
	static const struct ram_options plain;
	struct diag d = DIAG_INIT;

	ram_init(&b->ram);
	CHECK(!ram_add(&b->ram, GPA(BED_RAM_A), BED_RAM_SZ, &plain, &d));
	CHECK(!ram_add(&b->ram, GPA(BED_RAM_B), BED_RAM_SZ, &plain, &d));
	irqchip_init(&b->irqchip, 24);
	b->irqchip.sink = (struct irq_sink){ bed_wire, b };
	b->vm.vm.ops = &bed_ops;
	if (vm)
		b->irqchip.vm = b->doorbells.vm = &b->vm.vm;
	bed_platform(&b->platform);
	b->config.platform.transport = transport;
	b->env = (struct device_env){
		.mmio = bus_new("MMIO", 0),
		.pio = bus_new("port", 0x10000),
		.ram = &b->ram,
		.irqchip = &b->irqchip,
		.doorbells = &b->doorbells,
		.loop = event_loop_new(&d),
		.virtio_mmio_used = &b->mmio_used,
		.platform = &b->platform,
		.config = &b->config,
		.request = bed_request,
		.machine = b,
	};
	/* Always ready, level-triggered: called once in every batch. */
	b->idle = (struct event_source){ eventfd(1, EFD_CLOEXEC), bed_idle, b };
	CHECK(!event_add(b->env.loop, &b->idle, EPOLLIN));
	CHECK(!device_new(&b->host, &pci_host_class, "__pci", NULL, &b->env,
			  NULL, &d));
	b->env.pci[0] = pci_host_root(b->host);
}

/* bed_open(), with RAM that other programs can map. */
static inline void bed_open_shared(struct bed *b,
				   enum transport_choice transport)
{
	const struct ram_options shared = { .shared = true };

	bed_open(b, transport, true);
	ram_release(&b->ram);
	CHECK(!ram_add(&b->ram, GPA(BED_RAM_A), BED_RAM_SZ, &shared, NULL));
	CHECK(!ram_add(&b->ram, GPA(BED_RAM_B), BED_RAM_SZ, &shared, NULL));
}

static inline void bed_close(struct bed *b)
{
	device_free(b->host);
	event_del(b->env.loop, &b->idle);
	close(b->idle.fd);
	event_loop_free(b->env.loop);
	bus_free(b->env.pio);
	bus_free(b->env.mmio);
	irqchip_release(&b->irqchip);
	ram_release(&b->ram);
}

static inline struct device *bed_add(struct bed *b, const char *cls)
{
	struct device *dev = NULL;
	struct diag d = DIAG_INIT;
	char id[32], why[512];

	snprintf(id, sizeof(id), "_%s", cls);
	if (device_new(&dev, device_class_find(cls), id, b->item, &b->env, NULL,
		       &d)) {
		fprintf(stderr, "%s\n", diag_format(&d, why, sizeof(why)));
		abort();
	}
	dev->cls->reset(dev);
	return dev;
}

/* Save, power-cycle on a new VM, and load; @damage is xored into byte @at. */
static inline void bed_save_load(struct bed *b, struct device *dev, size_t at,
				 uint8_t damage)
{
	struct stream_out out;
	struct stream_in in;
	struct diag d = DIAG_INIT;

	dev->cls->pause(dev);
	stream_out_init(&out);
	dev->cls->save(dev, &out);
	if (out.len)
		out.data[at % out.len] ^= damage;
	b->vm.irqfds = b->vm.doorbells = 0;
	dev->cls->reset(dev);
	stream_in_init(&in, out.data, out.len);
	if (dev->cls->load(dev, &in, &d))
		dev->cls->reset(dev);
	stream_out_release(&out);
	dev->cls->resume(dev);
}

/* ---- configuration space through ECAM ---------------------------------- */

static inline uint64_t cfg_addr(unsigned slot, unsigned reg)
{
	return BED_ECAM + ((uint64_t)slot << 15) + reg;
}

static inline uint64_t cfg_get(struct bed *b, unsigned slot, unsigned reg,
			       unsigned size)
{
	return bus_read(b->env.mmio, cfg_addr(slot, reg), size);
}

static inline void cfg_put(struct bed *b, unsigned slot, unsigned reg,
			   unsigned size, uint64_t value)
{
	bus_write(b->env.mmio, cfg_addr(slot, reg), size, value);
}

/* Offset of the @nth capability of kind @id, 0 if there is none. */
static inline unsigned cfg_cap(struct bed *b, unsigned slot, uint8_t id,
			       unsigned nth)
{
	unsigned at = (unsigned)cfg_get(b, slot, PCI_CAP_LIST, 1);

	for (unsigned i = 0; at && i < 48; i++) {
		if (cfg_get(b, slot, at, 1) == id && !nth--)
			return at;
		at = (unsigned)cfg_get(b, slot, at + 1, 1);
	}
	return 0;
}

static inline uint64_t cfg_bar64(struct bed *b, unsigned slot, unsigned index)
{
	return (cfg_get(b, slot, PCI_BAR0 + 4 * index, 4) & ~0xfULL) |
	       cfg_get(b, slot, PCI_BAR0 + 4 * index + 4, 4) << 32;
}

/* ---- the driver -------------------------------------------------------- */

/**
 * struct drv - a driver of one virtio device
 * @base: of its registers: the BAR's page 0, or the MMIO slot
 * @slot: PCI slot or MMIO slot
 * @size, @ring: of queue 0, 1, …: entries, and where its parts are; buffers
 *	begin at @ring + 0x8000
 * @next_desc: where drv_add() and drv_chain() take the next descriptor or id
 * @vq: the driver's side of the rings
 */
struct drv {
	struct bed *b;
	struct device *dev;
	bool mmio;
	unsigned slot;
	uint64_t base;
	uint64_t features;
	uint16_t size[DRV_QUEUES];
	uint64_t ring[DRV_QUEUES];
	uint16_t next_desc[DRV_QUEUES];
	struct vring vq[DRV_QUEUES];
};

static inline void drv_find(struct drv *drv, struct bed *b, struct device *dev,
			    unsigned slot)
{
	*drv = (struct drv){ .b = b, .dev = dev, .slot = slot };
	drv->mmio = b->config.platform.transport == TRANSPORT_MMIO;
	drv->base =
		drv->mmio ? BED_VMMIO + slot * 0x200 : cfg_bar64(b, slot, 0);
}

static inline uint64_t drv_get(struct drv *drv, unsigned offset, unsigned size)
{
	return bus_read(drv->b->env.mmio, drv->base + offset, size);
}

static inline void drv_put(struct drv *drv, unsigned offset, unsigned size,
			   uint64_t value)
{
	bus_write(drv->b->env.mmio, drv->base + offset, size, value);
}

static inline uint8_t drv_status(struct drv *drv)
{
	return (uint8_t)(drv->mmio ? drv_get(drv, 0x70, 4)
				   : drv_get(drv, 0x14, 1));
}

static inline void drv_set_status(struct drv *drv, uint8_t status)
{
	if (drv->mmio)
		drv_put(drv, 0x70, 4, status);
	else
		drv_put(drv, 0x14, 1, status);
}

static inline uint64_t drv_offered(struct drv *drv)
{
	unsigned select = drv->mmio ? 0x14 : 0x00;
	unsigned at = drv->mmio ? 0x10 : 0x04;
	uint64_t low;

	drv_put(drv, select, 4, 0);
	low = drv_get(drv, at, 4);
	drv_put(drv, select, 4, 1);
	return low | drv_get(drv, at, 4) << 32;
}

static inline void drv_accept(struct drv *drv, uint64_t features)
{
	unsigned select = drv->mmio ? 0x24 : 0x08;
	unsigned at = drv->mmio ? 0x20 : 0x0c;

	drv->features = features;
	drv_put(drv, select, 4, 0);
	drv_put(drv, at, 4, (uint32_t)features);
	drv_put(drv, select, 4, 1);
	drv_put(drv, at, 4, features >> 32);
}

/* Up to FEATURES_OK. Return: the status then. */
static inline uint8_t drv_negotiate(struct drv *drv, uint64_t features)
{
	drv_set_status(drv, 0);
	drv_set_status(drv, VIRTIO_ACKNOWLEDGE);
	drv_set_status(drv, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER);
	drv_accept(drv, features);
	drv_set_status(drv,
		       VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK);
	return drv_status(drv);
}

static inline void drv_go(struct drv *drv)
{
	drv_set_status(drv, drv_status(drv) | VIRTIO_DRIVER_OK);
}

static inline void drv_select(struct drv *drv, unsigned q)
{
	drv_put(drv, drv->mmio ? 0x30 : 0x16, drv->mmio ? 4 : 2, q);
}

/* Reset queue @q alone (RING_RESET). */
static inline void drv_ring_reset(struct drv *drv, unsigned q)
{
	drv_select(drv, q);
	drv_put(drv, drv->mmio ? 0xc0 : 0x3a, drv->mmio ? 4 : 2, 1);
}

/* Queue registers by the offset that each transport has for them. */
static inline void drv_queue_put(struct drv *drv, unsigned pci, unsigned mmio,
				 unsigned pci_size, uint64_t value)
{
	drv_put(drv, drv->mmio ? mmio : pci, drv->mmio ? 4 : pci_size, value);
}

static inline void drv_set_size(struct drv *drv, unsigned size)
{
	drv_queue_put(drv, 0x18, 0x38, 2, size);
}

static inline void drv_set_rings(struct drv *drv, uint64_t desc, uint64_t avail,
				 uint64_t used)
{
	const uint64_t at[] = { desc, avail, used };

	for (unsigned i = 0; i < 3; i++) {
		unsigned pci = 0x20 + 8 * i, mmio = 0x80 + 0x10 * i;

		drv_queue_put(drv, pci, mmio, 4, (uint32_t)at[i]);
		drv_queue_put(drv, pci + 4, mmio + 4, 4, at[i] >> 32);
	}
}

static inline bool drv_enabled(struct drv *drv)
{
	return drv->mmio ? drv_get(drv, 0x44, 4) : drv_get(drv, 0x1c, 2);
}

static inline void drv_enable(struct drv *drv)
{
	drv_queue_put(drv, 0x1c, 0x44, 2, 1);
}

/* Set queue @q up with @size entries at @ring, zeroed, and enable it. */
static inline void drv_queue(struct drv *drv, unsigned q, uint16_t size,
			     uint64_t ring)
{
	vring_init(&drv->vq[q], &drv->b->ram,
		   drv->features & VIRTIO_F_RING_PACKED, size, ring);
	drv->vq[q].event_idx = drv->features & VIRTIO_F_EVENT_IDX;
	drv->size[q] = size;
	drv->ring[q] = ring;
	drv->next_desc[q] = 0;
	drv_select(drv, q);
	drv_set_size(drv, size);
	drv_set_rings(drv, ring, ring_avail(ring), ring_used(ring));
	if (!drv->mmio) {
		drv_put(drv, 0x10, 2, 0);
		drv_put(drv, 0x1a, 2, q + 1);
	}
	drv_enable(drv);
}

/* ---- rings ------------------------------------------------------------- */

/* Descriptor @i of a table in the split format. */
static inline void desc_put(struct bed *b, uint64_t table, unsigned i,
			    uint64_t addr, uint32_t len, uint16_t flags,
			    uint16_t next)
{
	vdesc_put(&b->ram, table, i, addr, len, flags, next);
}

static inline uint16_t ram_u16(struct bed *b, uint64_t at)
{
	uint8_t raw[2] = { 0xee, 0xee };

	ram_read(&b->ram, GPA(at), raw, 2);
	return get_le16(raw);
}

static inline void ram_put_u16(struct bed *b, uint64_t at, uint16_t v)
{
	uint8_t raw[2];

	put_le16(raw, v);
	ram_write(&b->ram, GPA(at), raw, 2);
}

/* Make @head available, whatever it is: split rings. */
static inline void drv_offer(struct drv *drv, unsigned q, uint16_t head)
{
	split_offer_head(&drv->vq[q], head);
}

/* One request of @count buffers; returns its head. */
static inline uint16_t drv_chain(struct drv *drv, unsigned q,
				 const struct vbuf *buf, unsigned count)
{
	uint16_t head = drv->next_desc[q] % drv->size[q];

	drv->next_desc[q] = (uint16_t)(drv->next_desc[q] + count);
	vring_offer(&drv->vq[q], head, buf, count);
	return head;
}

/* One request of one buffer; returns its head. */
static inline uint16_t drv_add(struct drv *drv, unsigned q, uint64_t addr,
			       uint32_t len, bool writable)
{
	const struct vbuf one = { addr, len, writable ? D_WRITE : 0 };

	return drv_chain(drv, q, &one, 1);
}

/* Where the driver notifies queue @q. */
static inline uint64_t drv_bell(struct drv *drv, unsigned q)
{
	return drv->base + (drv->mmio ? 0x50 : 0x3000 + 4 * q);
}

/* Notify as a guest does: through the doorbell if there is one. */
static inline void drv_kick(struct drv *drv, unsigned q)
{
	struct bed_vm *vm = &drv->b->vm;
	uint64_t one = 1, match = q;
	uint64_t key = bell_key(drv_bell(drv, q), drv->mmio ? &match : NULL);

	for (unsigned i = 0; i < vm->doorbells; i++) {
		if (vm->doorbell[i].key != key)
			continue;
		CHECK(write(vm->doorbell[i].fd, &one, 8) == 8);
		return;
	}
	bus_write(drv->b->env.mmio, drv_bell(drv, q), drv->mmio ? 4 : 2, q);
}

/* Used entries so far. */
static inline uint16_t drv_used_idx(struct drv *drv, unsigned q)
{
	return vring_used_count(&drv->vq[q]);
}

/* The next used element. Return: false if there is none. */
static inline bool drv_take(struct drv *drv, unsigned q, uint32_t *head,
			    uint32_t *len)
{
	return vring_take(&drv->vq[q], head, len);
}

/* MSI-X on: vector 0 for the configuration, 1 + q for queues. */
static inline void drv_msix(struct drv *drv, unsigned vectors)
{
	unsigned cap = cfg_cap(drv->b, drv->slot, PCI_CAP_MSIX, 0);

	for (unsigned i = 0; i < vectors; i++) {
		drv_put(drv, 0x4000 + 16 * i, 8, 0xfee00000);
		drv_put(drv, 0x4008 + 16 * i, 4, 0x40 + i);
		drv_put(drv, 0x400c + 16 * i, 4, 0);
	}
	cfg_put(drv->b, drv->slot, cap + 2, 2, 0x8000);
}

/* How often the device has fired MSI-X vector @i since the last call. */
static inline unsigned drv_fired(struct drv *drv, unsigned i)
{
	struct pci_func *f = drv->b->env.pci[0]->func[drv->slot];
	struct pollfd p = { f->msix.vector[i].msi.fd, POLLIN, 0 };
	uint64_t count = 0;

	if (poll(&p, 1, 0) != 1 || read(p.fd, &count, 8) != 8)
		return 0;
	return (unsigned)count;
}

/* Interrupts since the last call: MSI-X of queue @q, or edges of the wire. */
static inline unsigned drv_interrupts(struct drv *drv, unsigned q)
{
	unsigned *rises = &drv->b->rises[32 + drv->slot], n;

	if (!drv->mmio)
		return drv_fired(drv, q + 1);
	n = __atomic_exchange_n(rises, 0, __ATOMIC_SEQ_CST);
	return n;
}

#endif
