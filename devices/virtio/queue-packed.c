/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: packed rings, VIRTIO 1.3 sec. 2.8, see queue.h
 *
 * One ring for both sides. The driver writes descriptors and says by two flag
 * bits that they are its newest; the device overwrites the first descriptor of
 * a chain that is in its way, in the order in which chains complete, and skips
 * as many as the completed chain was long. All of its own bookkeeping is in
 * struct virtq: what the ring holds is never read back. What another process
 * had taken is found in virtq.track.
 *
 * A hostile driver can make any descriptor look new at any time. What bounds
 * it: the descriptors in flight, from used_next to avail_next, are never more
 * than the ring has.
 */
#include <string.h>

#include "vmm/base/bytes.h"

#include "devices/virtio/queue-impl.h"
#include "devices/virtio/queue-track.h"

/* VIRTIO 1.3 sec. 2.8.1 and 2.8.13 */
enum { DESC_AVAIL = 1 << 7, DESC_USED = 1 << 15 };
enum { DESC_ADDR = 0, DESC_LEN = 8, DESC_ID = 12, DESC_FLAGS = 14 };

/* VIRTIO 1.3 sec. 2.8.10 and 2.8.14 */
enum { EVENT_DESC = 0, EVENT_FLAGS = 2, EVENT_BYTES = 4 };
enum { EVENTS_ENABLE = 0, EVENTS_DISABLE = 1, EVENTS_AT = 2, EVENTS_MASK = 3 };
#define EVENT_WRAP 0x8000

struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t id;
	uint16_t flags;
};

/* ---- positions --------------------------------------------------------- */

static bool wrap_counter(const struct virtq *q, uint16_t position)
{
	return position < q->at.size;
}

static size_t offset(const struct virtq *q, uint16_t position)
{
	size_t index = position < q->at.size ? position
					     : position - (size_t)q->at.size;

	return index * DESC_BYTES;
}

static const char *packed_place(struct virtq *q)
{
	if (!virtq_size_ok(q->at.size, q->size_max, true))
		return "queue size is not within the limit";
	q->cycle = 2u * q->at.size;
	q->desc =
		virtq_pin(q, q->at.desc, (uint64_t)q->at.size * DESC_BYTES, 16);
	q->driver = virtq_pin(q, q->at.driver, EVENT_BYTES, 4);
	q->device = virtq_pin(q, q->at.device, EVENT_BYTES, 4);
	if (!q->desc || !q->driver || !q->device)
		return "ring is not aligned or not in RAM";
	return NULL;
}

/* ---- taking ------------------------------------------------------------ */

/* All but the flags of the first descriptor are read here, once. */
static struct desc desc_copy(const uint8_t *at)
{
	uint8_t raw[DESC_BYTES];

	memcpy(raw, at, sizeof(raw));
	return (struct desc){
		.addr = get_le64(raw + DESC_ADDR),
		.len = get_le32(raw + DESC_LEN),
		.id = get_le16(raw + DESC_ID),
		.flags = get_le16(raw + DESC_FLAGS),
	};
}

/* The flags of a descriptor, read before the rest of it. Return: has the driver
 * made it available? */
static bool available(const struct virtq *q, uint16_t position, uint16_t *flags)
{
	bool wrap = wrap_counter(q, position);

	*flags = ring_load(q->desc, offset(q, position) + DESC_FLAGS);
	return !!(*flags & DESC_AVAIL) == wrap &&
	       !!(*flags & DESC_USED) != wrap;
}

bool virtq_packed_available(const struct virtq *q, uint16_t position)
{
	uint16_t flags;

	return available(q, position, &flags);
}

/* An indirect table has no links: all of it is the chain, and of the flags
 * only WRITE counts (VIRTIO 1.3 sec. 2.8.7). */
static const char *walk_table(const struct virtq *q, struct virtq_chain *c,
			      const struct desc *d)
{
	const uint8_t *table;
	const char *fault =
		virtq_open_table(q, d->addr, d->len, d->flags, &table);

	if (!fault && d->len / DESC_BYTES > q->at.size)
		fault = "chain is longer than the queue";
	for (uint32_t i = 0; !fault && i < d->len / DESC_BYTES; i++) {
		struct desc t = desc_copy(table + i * (size_t)DESC_BYTES);

		fault = virtq_add_buffer(q, c, t.addr, t.len, t.flags);
	}
	return fault;
}

static const char *add(const struct virtq *q, struct virtq_chain *c,
		       const struct desc *d)
{
	return d->flags & DESC_INDIRECT
		       ? walk_table(q, c, d)
		       : virtq_add_buffer(q, c, d->addr, d->len, d->flags);
}

/* Collect the chain that begins at avail_next with @flags; the last of its
 * descriptors names it (VIRTIO 1.3 sec. 2.8.6). */
static const char *walk(struct virtq *q, struct virtq_chain *c, uint16_t flags,
			unsigned *step)
{
	const uint8_t *ring = q->desc;
	unsigned room =
		q->at.size - virtq_distance(q, q->used_next, q->avail_next);
	const char *fault;
	unsigned n = 0;

	do {
		struct desc d;

		if (n == room)
			return "chain is longer than the ring has room";
		d = desc_copy(ring +
			      offset(q, virtq_after(q, q->avail_next, n)));
		d.flags = n ? d.flags : flags;
		if (n && d.flags & DESC_INDIRECT)
			return "indirect descriptor in a chain";
		fault = add(q, c, &d);
		if (!fault && q->track)
			fault = virtq_track_copy(q, n, d.addr, d.len, d.id,
						 d.flags);
		if (fault)
			return fault;
		c->head = d.id;
		flags = d.flags;
		n++;
	} while (flags & DESC_NEXT);
	*step = n;
	return NULL;
}

/* The spec's own driver asserts it (VIRTIO 1.3 sec. 2.8.22), and devices may
 * index by it. */
static int check_id(struct virtq *q, uint16_t id)
{
	if (id >= q->at.size)
		return virtq_break(q, "buffer id is not below the queue size");
	if (virtq_in_flight(q, id))
		return virtq_break(q, "buffer id is in flight already");
	return 1;
}

static int packed_take(struct virtq *q, struct virtq_chain *c, unsigned *step)
{
	const char *fault;
	uint16_t flags;

	if (!available(q, q->avail_next, &flags))
		return 0;
	fault = walk(q, c, flags, step);
	return fault ? virtq_break(q, fault) : check_id(q, c->head);
}

/* From the copies: the ring's descriptors may be overwritten. */
static const char *walk_copies(const struct virtq *q,
			       const struct virtq_again *again,
			       struct virtq_chain *c)
{
	const struct track_packed *r = q->track;
	const char *fault = NULL;
	uint16_t at = again->head;

	for (unsigned i = 0; i < again->step && !fault; i++) {
		const struct track_desc *e;
		struct desc d;

		if (at >= q->at.size)
			return VIRTQ_DAMAGED;
		e = &r->desc[at];
		d = (struct desc){ .addr = TRACK_GET(e->addr),
				   .len = TRACK_GET(e->len),
				   .id = TRACK_GET(e->id),
				   .flags = TRACK_GET(e->flags) };
		if (d.flags & DESC_INDIRECT && again->step > 1)
			return VIRTQ_DAMAGED;
		fault = add(q, c, &d);
		c->head = d.id;
		at = TRACK_GET(e->next);
	}
	return fault;
}

static int packed_retake(struct virtq *q, const struct virtq_again *again,
			 struct virtq_chain *c, unsigned *step)
{
	const char *fault = walk_copies(q, again, c);

	*step = again->step;
	return fault ? virtq_break(q, fault) : check_id(q, c->head);
}

/* ---- giving back and notifications ------------------------------------- */

static void used_flags(struct virtq *q, uint16_t at, uint32_t written)
{
	uint16_t flags = wrap_counter(q, at) ? DESC_AVAIL | DESC_USED : 0;

	ring_store(q->desc, offset(q, at) + DESC_FLAGS,
		   flags | (written ? DESC_WRITE : 0));
}

/* The driver looks at one descriptor after the other: as long as the first one
 * is not used, the others are not seen. */
static void packed_fill(struct virtq *q, uint16_t at, uint16_t head,
			uint32_t written)
{
	uint8_t *d = (uint8_t *)q->desc + offset(q, at);

	put_le32(d + DESC_LEN, written);
	put_le16(d + DESC_ID, head);
	if (at != q->used_next)
		used_flags(q, at, written);
}

static void packed_publish(struct virtq *q, uint32_t written, uint16_t next)
{
	(void)next;
	used_flags(q, q->used_next, written);
}

/* Of the flags' values, 3 is reserved and 2 needs EVENT_IDX; then better one
 * interrupt too many. The flags are read first, as the driver writes them last.
 */
static bool packed_signal(const struct virtq *q)
{
	uint16_t flags = ring_load(q->driver, EVENT_FLAGS) & EVENTS_MASK;
	uint16_t event, index;

	if (flags == EVENTS_DISABLE)
		return false;
	if (flags != EVENTS_AT || !q->has.event_idx)
		return true;
	event = ring_load(q->driver, EVENT_DESC);
	index = event & (EVENT_WRAP - 1);
	if (index >= q->at.size)
		return true;
	return virtq_passed(q, virtq_position(q, index, event & EVENT_WRAP));
}

static uint16_t event_of(const struct virtq *q, uint16_t position)
{
	uint16_t index = (uint16_t)(offset(q, position) / DESC_BYTES);

	return wrap_counter(q, position) ? index | EVENT_WRAP : index;
}

static void packed_arm(struct virtq *q)
{
	if (q->has.event_idx) {
		ring_store(q->device, EVENT_DESC, event_of(q, q->avail_next));
		ring_store(q->device, EVENT_FLAGS, EVENTS_AT);
	} else if (!q->armed) {
		ring_store(q->device, EVENT_FLAGS, EVENTS_ENABLE);
	}
}

static void packed_disarm(struct virtq *q)
{
	ring_store(q->device, EVENT_FLAGS, EVENTS_DISABLE);
}

static bool packed_waiting(struct virtq *q)
{
	uint16_t flags;

	return available(q, q->avail_next, &flags);
}

const struct virtq_ops virtq_packed = {
	.place = packed_place,
	.take = packed_take,
	.retake = packed_retake,
	.fill = packed_fill,
	.publish = packed_publish,
	.signal = packed_signal,
	.arm = packed_arm,
	.disarm = packed_disarm,
	.waiting = packed_waiting,
};
