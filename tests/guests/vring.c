/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: split rings (VIRTIO 1.3 sec. 2.7) and packed rings (sec. 2.8), the
 * driver's side; see virtio.h */
#include "virtio.h"

/* A busy host runs the vCPU long before the device's thread. */
#define SPINS 50000000

/* Split ring: flags and index of the available ring, the used ring, and the
 * event index that follows each. */
#define AVAIL_FLAGS(r) (r)->driver
#define AVAIL_INDEX(r) ((r)->driver + 2)
#define AVAIL_RING(r)  ((r)->driver + 4)
#define USED_EVENT(r)  ((r)->driver + 4 + 2u * (r)->size)
#define USED_FLAGS(r)  (r)->device
#define USED_INDEX(r)  ((r)->device + 2)
#define USED_RING(r)   ((r)->device + 4)
#define AVAIL_EVENT(r) ((r)->device + 4 + 8u * (r)->size)

/* Packed ring, sec. 2.8.10: event suppression, in both parts */
#define EVENT_OFF_WRAP 0
#define EVENT_FLAGS    2
enum { EVENT_ENABLE = 0, EVENT_DISABLE = 1, EVENT_DESC = 2 };

static void write_desc(uintptr_t at, const struct vbuf *b)
{
	set64(at, b->at);
	write32(at + 8, b->len);
}

static uint16_t flags_of(unsigned i, unsigned out, unsigned in)
{
	return (uint16_t)((i + 1 < out + in ? D_NEXT : 0) |
			  (i < out ? 0 : D_WRITE));
}

static uint16_t take_free(struct vring *r)
{
	uint16_t id = r->free;

	r->free = r->next[id];
	r->free_count--;
	return id;
}

/* The descriptors of a chain stay linked in @next, as in the table. */
static int fill_split(struct vring *r, const struct vbuf *bufs, unsigned out,
		      unsigned in, unsigned flags)
{
	uint16_t head = r->free, id = head;

	for (unsigned i = 0; i < out + in; i++) {
		uintptr_t at;

		id = take_free(r);
		at = r->desc + 16u * id;
		write_desc(at, &bufs[i]);
		write16(at + 12, flags_of(i, out, in) | (uint16_t)flags);
		write16(at + 14, r->next[id]);
	}
	r->head = head;
	return head;
}

static uint16_t packed_flags(bool wrap)
{
	return wrap ? D_AVAIL : D_USED;
}

/* The first descriptor's flags are for vring_publish(). */
static int fill_packed(struct vring *r, const struct vbuf *bufs, unsigned out,
		       unsigned in, unsigned more)
{
	uint16_t id = take_free(r), slot = r->next_avail;
	bool wrap = r->avail_wrap;

	r->free_count -= (uint16_t)(out + in - 1);
	for (unsigned i = 0; i < out + in; i++) {
		uintptr_t at = r->desc + 16u * slot;
		uint16_t flags = flags_of(i, out, in) | (uint16_t)more |
				 packed_flags(wrap);

		write_desc(at, &bufs[i]);
		write16(at + 12, id);
		if (i)
			write16(at + 14, flags);
		else
			r->head_flags = flags;
		if (++slot == r->size) {
			slot = 0;
			wrap = !wrap;
		}
	}
	r->head = id;
	r->head_slot = r->next_avail;
	return id;
}

static int fill(struct vring *r, const struct vbuf *bufs, unsigned out,
		unsigned in, unsigned flags)
{
	int id;

	if (r->free_count < out + in)
		return -1;
	r->filled = (uint16_t)(out + in);
	id = r->packed ? fill_packed(r, bufs, out, in, flags)
		       : fill_split(r, bufs, out, in, flags);
	r->count[id] = r->filled;
	return id;
}

int vring_fill(struct vring *r, const struct vbuf *bufs, unsigned out,
	       unsigned in)
{
	return fill(r, bufs, out, in, 0);
}

/* Sec. 2.7.5.3.1 and 2.8.8: the table's descriptors are in order. */
int vring_fill_indirect(struct vring *r, const struct vbuf *bufs, unsigned out,
			unsigned in, uintptr_t *table)
{
	struct vbuf whole = { ram_alloc(16u * (out + in), 16),
			      16u * (out + in) };

	for (unsigned i = 0; i < out + in; i++) {
		uintptr_t at = whole.at + 16u * i;
		uint16_t flags = flags_of(i, out, in);

		write_desc(at, &bufs[i]);
		write16(at + (r->packed ? 14 : 12),
			r->packed ? flags & D_WRITE : flags);
		if (!r->packed)
			write16(at + 14, (uint16_t)(i + 1));
	}
	*table = whole.at;
	return fill(r, &whole, 1, 0, D_INDIRECT);
}

uintptr_t vring_slot(const struct vring *r, unsigned nth)
{
	uint16_t at = r->head;

	if (r->packed)
		return r->desc + 16u * ((r->head_slot + nth) % r->size);
	while (nth--)
		at = r->next[at];
	return r->desc + 16u * at;
}

void vring_publish(struct vring *r)
{
	memory_barrier();
	if (r->packed) {
		write16(r->desc + 16u * r->head_slot + 14, r->head_flags);
		r->next_avail += r->filled;
		r->added += r->filled;
		if (r->next_avail >= r->size) {
			r->next_avail -= r->size;
			r->avail_wrap = !r->avail_wrap;
		}
	} else {
		write16(AVAIL_RING(r) + 2u * (r->next_avail % r->size),
			r->head);
		memory_barrier();
		write16(AVAIL_INDEX(r), ++r->next_avail);
		r->added++;
	}
	memory_barrier();
}

int vring_add(struct vring *r, const struct vbuf *bufs, unsigned out,
	      unsigned in)
{
	int id = vring_fill(r, bufs, out, in);

	if (id >= 0)
		vring_publish(r);
	return id;
}

/* ---- doorbell ------------------------------------------------------------ */

/* Sec. 2.7.7.2: does @event lie within the last @added before @now? */
static bool passed(uint16_t event, uint16_t now, uint16_t added)
{
	return (uint16_t)(now - event - 1) < added;
}

static bool wants_bell_packed(const struct vring *r)
{
	uint16_t flags = read16(r->device + EVENT_FLAGS) & 3;
	uint16_t at = read16(r->device + EVENT_OFF_WRAP), event = at & 0x7fff;

	if (flags != EVENT_DESC)
		return flags == EVENT_ENABLE;
	if (at >> 15 != r->avail_wrap)
		event -= r->size;
	return passed(event, r->next_avail, r->added);
}

bool vring_kick(struct vring *r)
{
	bool wanted;

	if (r->packed)
		wanted = wants_bell_packed(r);
	else if (r->event_idx)
		wanted =
			passed(read16(AVAIL_EVENT(r)), r->next_avail, r->added);
	else
		wanted = !(read16(USED_FLAGS(r)) & 1);
	r->added = 0;
	if (wanted)
		vring_ring(r);
	return wanted;
}

/* ---- completions --------------------------------------------------------- */

static void give_free(struct vring *r, uint16_t id)
{
	uint16_t last = id;

	for (unsigned i = 1; !r->packed && i < r->count[id]; i++)
		last = r->next[last];
	r->next[last] = r->free;
	r->free = id;
	r->free_count += r->count[id];
}

static int take_split(struct vring *r, uint32_t *written)
{
	uintptr_t at = USED_RING(r) + 8u * (r->next_used % r->size);

	if (read16(USED_INDEX(r)) == r->next_used)
		return -1;
	memory_barrier();
	r->next_used++;
	*written = read32(at + 4);
	return (int)read32(at);
}

static int take_packed(struct vring *r, uint32_t *written)
{
	uintptr_t at = r->desc + 16u * r->next_used;
	uint16_t flags = read16(at + 14), id;
	bool avail = flags & D_AVAIL, used = flags & D_USED;

	if (avail != used || used != r->used_wrap)
		return -1;
	memory_barrier();
	*written = read32(at + 8);
	id = read16(at + 12);
	if (id >= r->size)
		return id;
	r->next_used += r->count[id];
	if (r->next_used >= r->size) {
		r->next_used -= r->size;
		r->used_wrap = !r->used_wrap;
	}
	return id;
}

int vring_take(struct vring *r, uint32_t *written)
{
	uint32_t unused;
	int id = r->packed ? take_packed(r, written ? written : &unused)
			   : take_split(r, written ? written : &unused);

	if (id >= r->size) {
		ok(false, "a used buffer's id is one that we gave");
		machine_off();
	}
	if (id >= 0)
		give_free(r, (uint16_t)id);
	return id;
}

int vring_wait(struct vring *r, uint32_t *written)
{
	for (unsigned i = 0; i < SPINS; i++) {
		int id = vring_take(r, written);

		if (id >= 0)
			return id;
		cpu_relax();
	}
	return -1;
}

bool vring_wait_or_reset(struct vring *r)
{
	while (vring_take(r, NULL) < 0)
		if (virtio_status(r->v) & S_NEEDS_RESET)
			return true;
	return false;
}

/* ---- interrupts ---------------------------------------------------------- */

static void interrupt_at(struct vring *r, unsigned count)
{
	uint16_t at = (uint16_t)(r->next_used + count);
	bool wrap = r->used_wrap;

	if (!r->packed) {
		write16(USED_EVENT(r), at);
		return;
	}
	if (at >= r->size) {
		at -= r->size;
		wrap = !wrap;
	}
	write16(r->driver + EVENT_OFF_WRAP, (uint16_t)(at | wrap << 15));
	write16(r->driver + EVENT_FLAGS, EVENT_DESC);
}

void vring_interrupt_after(struct vring *r, unsigned count)
{
	interrupt_at(r, count - 1);
	memory_barrier();
}

/* A split ring with EVENT_IDX has no flag: an index far away is "none". */
void vring_interrupts(struct vring *r, bool on)
{
	if (r->packed)
		write16(r->driver + EVENT_FLAGS,
			on ? EVENT_ENABLE : EVENT_DISABLE);
	else if (r->event_idx)
		write16(USED_EVENT(r),
			(uint16_t)(r->next_used + (on ? 0 : 0x8000)));
	else
		write16(AVAIL_FLAGS(r), !on);
	memory_barrier();
}
