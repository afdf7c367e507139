/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: a virtio driver's side of one ring, split or packed
 *
 * What a driver that keeps the rules does (VIRTIO 1.3 sec. 2.7 and 2.8), in
 * guest RAM only, and a few raw writes for those that do not. Independent of
 * the product's code, which it is there to test. Nothing here needs Check.
 */
#ifndef TESTS_VIRTIO_RING_H
#define TESTS_VIRTIO_RING_H

#include "vmm/base/bytes.h"
#include "vmm/base/check.h"
#include "vmm/memory.h"

#include "devices/virtio/queue.h"

#define VRING_MAX 1024 /* entries */

enum { D_NEXT = 1, D_WRITE = 2, D_INDIRECT = 4, D_AVAIL = 128, D_USED = 32768 };

/* Parts of a ring at @ring: up to VRING_MAX entries each. */
static inline uint64_t ring_avail(uint64_t ring)
{
	return ring + 0x4000;
}

static inline uint64_t ring_used(uint64_t ring)
{
	return ring + 0x5000;
}

/**
 * struct vring - one ring
 * @desc, @driver, @device: its parts
 * @avail, @used: what the driver counts: split: free-running indexes; packed:
 *	positions below twice @size, where the second half is wrap counter 0
 * @taken: used entries taken
 * @chain: by head or buffer id: descriptors of its chain (packed)
 */
struct vring {
	struct guest_ram *ram;
	bool packed, event_idx;
	uint16_t size;
	uint64_t desc, driver, device;
	uint16_t avail, used, taken;
	uint16_t chain[VRING_MAX];
};

/* A part of a request. */
struct vbuf {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
};

static inline uint16_t vring_get16(const struct vring *v, uint64_t at)
{
	const uint16_t *word = ram_pin(v->ram, GPA(at), 2);

	CHECK(word);
	return le16toh(__atomic_load_n(word, __ATOMIC_ACQUIRE));
}

static inline void vring_put16(struct vring *v, uint64_t at, uint16_t value)
{
	uint16_t *word = ram_pin(v->ram, GPA(at), 2);

	CHECK(word);
	__atomic_store_n(word, htole16(value), __ATOMIC_RELEASE);
}

/* A fresh ring at @at; its 0x8000 bytes are cleared. */
static inline void vring_init(struct vring *v, struct guest_ram *ram,
			      bool packed, uint16_t size, uint64_t at)
{
	CHECK(size && size <= VRING_MAX);
	*v = (struct vring){ .ram = ram,
			     .packed = packed,
			     .size = size,
			     .desc = at,
			     .driver = ring_avail(at),
			     .device = ring_used(at) };
	CHECK(ram_fill(ram, GPA(at), 0, 0x8000));
}

static inline struct virtq_layout vring_layout(const struct vring *v)
{
	return (struct virtq_layout){ .size = v->size,
				      .desc = GPA(v->desc),
				      .driver = GPA(v->driver),
				      .device = GPA(v->device) };
}

/* ---- descriptors ------------------------------------------------------- */

/* Descriptor @i of a table; the two 16-bit fields are flags, next in the split
 * format and id, flags in the packed one. */
static inline void vdesc_put(struct guest_ram *ram, uint64_t table, unsigned i,
			     uint64_t addr, uint32_t len, uint16_t field12,
			     uint16_t field14)
{
	uint8_t raw[16];

	put_le64(raw, addr);
	put_le32(raw + 8, len);
	put_le16(raw + 12, field12);
	put_le16(raw + 14, field14);
	ram_write(ram, GPA(table + i * 16ULL), raw, sizeof(raw));
}

/* ---- packed positions -------------------------------------------------- */

static inline uint16_t packed_after(const struct vring *v, uint16_t at,
				    unsigned n)
{
	return (uint16_t)((at + n) % (2u * v->size));
}

static inline uint64_t packed_desc(const struct vring *v, uint16_t at)
{
	return v->desc + at % v->size * 16ULL;
}

/* AVAIL and USED of a descriptor made available at @at. */
static inline uint16_t packed_avail(const struct vring *v, uint16_t at)
{
	return at < v->size ? D_AVAIL : D_USED;
}

/* The driver writes the flags of the first descriptor last. */
static inline void packed_offer(struct vring *v, uint16_t id,
				const struct vbuf *buf, unsigned count)
{
	uint16_t first = v->avail;
	uint16_t flags = (uint16_t)(buf[0].flags | packed_avail(v, first) |
				    (count > 1 ? D_NEXT : 0));

	for (unsigned i = 0; i < count; i++) {
		uint16_t at = packed_after(v, first, i);
		uint16_t rest = (uint16_t)(buf[i].flags | packed_avail(v, at) |
					   (i + 1 < count ? D_NEXT : 0));
		uint8_t raw[14];

		put_le64(raw, buf[i].addr);
		put_le32(raw + 8, buf[i].len);
		put_le16(raw + 12, id);
		ram_write(v->ram, GPA(packed_desc(v, at)), raw, sizeof(raw));
		if (i)
			vring_put16(v, packed_desc(v, at) + 14, rest);
	}
	if (id < VRING_MAX)
		v->chain[id] = (uint16_t)count;
	vring_put16(v, packed_desc(v, first) + 14, flags);
	v->avail = packed_after(v, first, count);
}

/* ---- split ------------------------------------------------------------- */

static inline void split_offer_head(struct vring *v, uint16_t head)
{
	vring_put16(v, v->driver + 4 + 2 * (v->avail % v->size), head);
	vring_put16(v, v->driver + 2, ++v->avail);
}

static inline void split_offer(struct vring *v, uint16_t id,
			       const struct vbuf *buf, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		bool last = i + 1 == count;

		vdesc_put(v->ram, v->desc, (id + i) % v->size, buf[i].addr,
			  buf[i].len, buf[i].flags | (last ? 0 : D_NEXT),
			  last ? 0 : (uint16_t)((id + i + 1) % v->size));
	}
	split_offer_head(v, id);
}

/* ---- both -------------------------------------------------------------- */

/*
 * Make a request of @count descriptors available, named @id. In a split ring
 * it takes descriptors @id, @id + 1, … of the table: they must be free. An @id
 * that is not below the size is for hostile drivers.
 */
static inline void vring_offer(struct vring *v, uint16_t id,
			       const struct vbuf *buf, unsigned count)
{
	if (v->packed)
		packed_offer(v, id, buf, count);
	else if (id < v->size)
		split_offer(v, id, buf, count);
	else
		split_offer_head(v, id);
}

static inline void vring_offer1(struct vring *v, uint16_t id, uint64_t addr,
				uint32_t len, uint16_t flags)
{
	const struct vbuf one = { addr, len, flags };

	vring_offer(v, id, &one, 1);
}

static inline bool packed_is_used(const struct vring *v, uint16_t at)
{
	uint16_t flags = vring_get16(v, packed_desc(v, at) + 14);
	uint16_t want = at < v->size ? D_AVAIL | D_USED : 0;

	return (flags & (D_AVAIL | D_USED)) == want;
}

/* The used entry at @at. Return: false if there is none. */
static inline bool vring_used_entry(const struct vring *v, uint16_t at,
				    uint32_t *id, uint32_t *len)
{
	uint8_t raw[8];

	if (v->packed) {
		if (at == v->avail || !packed_is_used(v, at))
			return false;
		*id = vring_get16(v, packed_desc(v, at) + 12);
		ram_read(v->ram, GPA(packed_desc(v, at) + 8), raw, 4);
		*len = get_le32(raw);
		return *id < v->size && v->chain[*id];
	}
	if (vring_get16(v, v->device + 2) == at)
		return false;
	ram_read(v->ram, GPA(v->device + 4 + 8 * (at % v->size)), raw, 8);
	*id = get_le32(raw);
	*len = get_le32(raw + 4);
	return true;
}

static inline uint16_t vring_used_after(const struct vring *v, uint16_t at,
					uint32_t id)
{
	return v->packed ? packed_after(v, at, v->chain[id])
			 : (uint16_t)(at + 1);
}

/* Take the next used entry. Return: false if there is none. */
static inline bool vring_take(struct vring *v, uint32_t *id, uint32_t *len)
{
	if (!vring_used_entry(v, v->used, id, len))
		return false;
	v->used = vring_used_after(v, v->used, *id);
	v->taken++;
	return true;
}

/* Used entries so far, taken or not, modulo 2^16. */
static inline uint16_t vring_used_count(const struct vring *v)
{
	uint16_t at = v->used, count = v->taken;
	uint32_t id, len;

	if (!v->packed)
		return vring_get16(v, v->device + 2);
	for (unsigned i = 0; i < v->size; i++) {
		if (!vring_used_entry(v, at, &id, &len))
			break;
		at = vring_used_after(v, at, id);
		count++;
	}
	return count;
}

/* ---- notifications ----------------------------------------------------- */

/* Whether the driver wants interrupts, without EVENT_IDX. */
static inline void vring_want(struct vring *v, bool interrupts)
{
	vring_put16(v, v->driver + (v->packed ? 2 : 0), !interrupts);
}

static inline uint16_t packed_off_wrap(const struct vring *v, uint16_t at)
{
	return (uint16_t)(at % v->size | (at < v->size ? 0x8000 : 0));
}

/* With EVENT_IDX: interrupt when the used position passes @at. */
static inline void vring_want_at(struct vring *v, uint16_t at)
{
	if (!v->packed) {
		vring_put16(v, v->driver + 4 + 2 * v->size, at);
		return;
	}
	vring_put16(v, v->driver, packed_off_wrap(v, at));
	vring_put16(v, v->driver + 2, 2);
}

/* Must the driver notify, having made available what is from @old on? */
static inline bool vring_must_notify(const struct vring *v, uint16_t old)
{
	unsigned cycle = v->packed ? 2u * v->size : 0x10000;
	unsigned at, flags;

	if (!v->packed) {
		if (!v->event_idx)
			return !vring_get16(v, v->device);
		at = vring_get16(v, v->device + 4 + 8 * v->size);
	} else {
		flags = vring_get16(v, v->device + 2);
		if (flags != 2)
			return flags != 1;
		at = vring_get16(v, v->device);
		at = (at & 0x7fff) + (at & 0x8000 ? 0 : v->size);
	}
	return (v->avail + cycle - at - 1) % cycle <
	       (v->avail + cycle - old) % cycle;
}

#endif
