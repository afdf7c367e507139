/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: a virtio driver for payloads
 *
 * VIRTIO 1.3 over PCI (modern) and MMIO (version 2), split and packed rings,
 * one source for both ISAs. It polls: payloads run with interrupts off, and
 * look at the ISR byte, InterruptStatus or the MSI-X pending bits to learn
 * whether an interrupt was sent.
 *
 *	virtio_find()		the device
 *	virtio_start()		reset, features
 *	vring_make()		each queue
 *	virtio_ready()		DRIVER_OK
 *	vring_add()		a request; vring_fill() + vring_publish() for
 *				those who want to spoil it in between
 *	vring_kick()		the doorbell, unless the device asks for none
 *	vring_wait()		its completion
 *
 * Memory for rings and buffers comes from ram_alloc() and is given back, all
 * of it, by ram_reset().
 */
#ifndef TESTS_GUESTS_VIRTIO_H
#define TESTS_GUESTS_VIRTIO_H

#include "guest.h"

#define VRING_SIZE_MAX 256

/* VIRTIO 1.3 sec. 2.1 */
enum {
	S_ACKNOWLEDGE = 1,
	S_DRIVER = 2,
	S_DRIVER_OK = 4,
	S_FEATURES_OK = 8,
	S_NEEDS_RESET = 64
};

/* VIRTIO 1.3 sec. 6 */
#define F_INDIRECT   (1ull << 28)
#define F_EVENT_IDX  (1ull << 29)
#define F_VERSION_1  (1ull << 32)
#define F_PACKED     (1ull << 34)
#define F_IN_ORDER   (1ull << 35)
#define F_RING_RESET (1ull << 40)

/* VIRTIO 1.3 sec. 2.7.5 and 2.8.5: descriptor flags */
enum { D_NEXT = 1, D_WRITE = 2, D_INDIRECT = 4, D_AVAIL = 128, D_USED = 32768 };

/** struct virtio - a device
 * @cfg: PCI configuration space; 0 if it is virtio-mmio
 * @base: virtio-mmio registers, or PCI common configuration
 * @isr, @device, @notify, @notify_step: VIRTIO 1.3 sec. 4.1.4
 * @msix: MSI-X table; @pba: pending bits
 * @features: negotiated */
struct virtio {
	uintptr_t cfg, base, isr, device, notify, msix, pba;
	uint32_t notify_step;
	uint64_t features;
};

/** struct vring - the driver's side of one queue
 * @desc, @driver, @device: the three parts in guest memory
 * @next_avail, @next_used: free-running in a split ring, slots in a packed one
 * @added: @next_avail has gone so far since vring_kick() looked last
 * @free, @next: list of free descriptors (split) or buffer ids (packed)
 * @count: descriptors of the request with this id
 * @filled: descriptors written but not yet published; @head of them,
 *	@head_flags: flags of the first (packed)
 * @bells: doorbells rung */
struct vring {
	struct virtio *v;
	uint16_t index, size, size_max;
	bool packed, event_idx;
	uintptr_t desc, driver, device, bell;
	uint16_t next_avail, next_used, added;
	bool avail_wrap, used_wrap;
	uint16_t free, free_count;
	uint16_t next[VRING_SIZE_MAX], count[VRING_SIZE_MAX];
	uint16_t head, filled, head_slot, head_flags;
	unsigned bells;
};

/** struct vbuf - a piece of a request */
struct vbuf {
	uintptr_t at;
	uint32_t len;
};

/** ram_alloc - @bytes of zeroed memory on @align; never fails, the machine
 * stops with a failed test instead */
uintptr_t ram_alloc(size_t bytes, size_t align);

/** ram_reset - all memory is free again */
void ram_reset(void);

/** virtio_find - device number @nth (from 0) of type @id, on PCI or MMIO */
bool virtio_find(struct virtio *v, unsigned id, unsigned nth);

/** virtio_move - put its BAR at @base, on PCI; then vring_moved() for each of
 * its queues */
bool virtio_move(struct virtio *v, uint32_t base);

/** virtio_status - the register; virtio_set_status - write it */
uint8_t virtio_status(const struct virtio *v);
void virtio_set_status(struct virtio *v, uint8_t status);

/** virtio_offered - all feature bits of the device */
uint64_t virtio_offered(const struct virtio *v);

/** virtio_start - reset and accept those of @want that are offered, and
 * VERSION_1; false if the device refuses */
bool virtio_start(struct virtio *v, uint64_t want);

/** virtio_ready - DRIVER_OK */
void virtio_ready(struct virtio *v);

/** virtio_config8 … - read the device's configuration at @offset;
 * virtio_config_write8 - one byte of it */
uint8_t virtio_config8(const struct virtio *v, unsigned offset);
uint16_t virtio_config16(const struct virtio *v, unsigned offset);
uint32_t virtio_config32(const struct virtio *v, unsigned offset);
uint64_t virtio_config64(const struct virtio *v, unsigned offset);
void virtio_config_write8(struct virtio *v, unsigned offset, uint8_t value);

/** virtio_isr - read and clear: 1 queue, 2 configuration; not with MSI-X */
unsigned virtio_isr(struct virtio *v);

/** virtio_interrupted - wait until there was an interrupt; virtio_quiet - look
 * for a while whether one comes, true if none did */
bool virtio_interrupted(struct virtio *v);
bool virtio_quiet(struct virtio *v);

/** virtio_needs_reset - wait until the device gives up; false: it does not */
bool virtio_needs_reset(const struct virtio *v);

/** virtio_msix - enable MSI-X with all vectors masked, or disable it;
 * virtio_pending - is @vector's pending bit set, or will it be soon */
void virtio_msix(struct virtio *v, bool on);
bool virtio_pending(const struct virtio *v, unsigned vector);

/** vring_make - set queue @index up with @size entries (0: as many as the
 * device offers and we can) and enable it; false: refused */
bool vring_make(struct vring *r, struct virtio *v, unsigned index,
		unsigned size);

/** vring_moved - the doorbell is where the device now says */
void vring_moved(struct vring *r);

/** vring_reset - VIRTIO 1.3 sec. 2.6.1; the ring must be made again */
bool vring_reset(struct vring *r);

/** vring_fill - write a request's descriptors, @out readable and then @in
 * writable ones; its id, or -1: the ring is full */
int vring_fill(struct vring *r, const struct vbuf *bufs, unsigned out,
	       unsigned in);

/** vring_fill_indirect - the same behind one indirect descriptor; @table
 * receives where its descriptors are */
int vring_fill_indirect(struct vring *r, const struct vbuf *bufs, unsigned out,
			unsigned in, uintptr_t *table);

/** vring_slot - address of descriptor @nth of the request filled last */
uintptr_t vring_slot(const struct vring *r, unsigned nth);

/** vring_publish - make what was filled last available; no doorbell */
void vring_publish(struct vring *r);

/** vring_add - vring_fill() and vring_publish() */
int vring_add(struct vring *r, const struct vbuf *bufs, unsigned out,
	      unsigned in);

/** vring_ring - the doorbell; vring_kick - if the device wants one, true then
 */
void vring_ring(struct vring *r);
bool vring_kick(struct vring *r);

/** vring_take - id of a completed request and @written bytes (may be NULL);
 * -1 if there is none. vring_wait - waits for it */
int vring_take(struct vring *r, uint32_t *written);
int vring_wait(struct vring *r, uint32_t *written);

/** vring_wait_or_reset - wait until the request comes back (false) or the
 * device wants a reset instead (true) */
bool vring_wait_or_reset(struct vring *r);

/** vring_interrupts - ask for them or for none from now on */
void vring_interrupts(struct vring *r, bool on);

/** vring_interrupt_after - with EVENT_IDX: one when @count more requests are
 * done */
void vring_interrupt_after(struct vring *r, unsigned count);

/** set64, get64 - 64 bits in two halves */
void set64(uintptr_t at, uint64_t v);
uint64_t get64(uintptr_t at);

#endif
