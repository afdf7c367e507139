/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: split rings, VIRTIO 1.3 sec. 2.7, see queue.h
 *
 * The driver writes heads into the available ring and counts its index up; the
 * device answers in the used ring. The available index is looked at only when
 * all that it promised was taken: the driver writes its cache line all the
 * time. A used entry is written first, then the index, with release.
 */
#include <string.h>

#include "vmm/base/bytes.h"

#include "devices/virtio/queue-impl.h"
#include "devices/virtio/queue-track.h"

/* VIRTIO 1.3 sec. 2.7.6 and 2.7.8: flags, idx, ring[size], event. */
enum { RING_FLAGS = 0, RING_IDX = 2, RING_ENTRIES = 4 };
enum { AVAIL_ENTRY = 2, USED_ENTRY = 8 };
enum { AVAIL_NO_INTERRUPT = 1, USED_NO_NOTIFY = 1 };

/* Indexes are free-running 16-bit numbers (VIRTIO 1.3 sec. 2.7.6). */
#define SPLIT_CYCLE 0x10000

struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	uint16_t next;
};

static size_t avail_event(const struct virtq *q)
{
	return RING_ENTRIES + (size_t)q->at.size * USED_ENTRY;
}

static size_t used_event(const struct virtq *q)
{
	return RING_ENTRIES + (size_t)q->at.size * AVAIL_ENTRY;
}

static const char *split_place(struct virtq *q)
{
	if (!virtq_size_ok(q->at.size, q->size_max, false))
		return "queue size is not a power of two within the limit";
	q->cycle = SPLIT_CYCLE;
	q->desc =
		virtq_pin(q, q->at.desc, (uint64_t)q->at.size * DESC_BYTES, 16);
	q->driver = virtq_pin(q, q->at.driver, used_event(q) + 2, 2);
	q->device = virtq_pin(q, q->at.device, avail_event(q) + 2, 4);
	if (!q->desc || !q->driver || !q->device)
		return "ring is not aligned or not in RAM";
	return NULL;
}

/* ---- taking ------------------------------------------------------------ */

/* The one time that a descriptor is looked at. */
static struct desc desc_copy(const uint8_t *table, uint32_t index)
{
	uint8_t raw[DESC_BYTES];

	memcpy(raw, table + index * (size_t)DESC_BYTES, sizeof(raw));
	return (struct desc){
		.addr = get_le64(raw),
		.len = get_le32(raw + 8),
		.flags = get_le16(raw + 12),
		.next = get_le16(raw + 14),
	};
}

/* Collect the chain at @c->head. Ends: each buffer counts against the queue's
 * size, and there is one indirect table at most. */
static const char *walk(const struct virtq *q, struct virtq_chain *c)
{
	const uint8_t *table = q->desc;
	uint32_t index = c->head, count = q->at.size;
	bool indirect = false;
	const char *fault;
	unsigned seen = 0;

	for (;;) {
		struct desc d;

		if (index >= count)
			return "descriptor outside of its table";
		d = desc_copy(table, index);
		if (d.flags & DESC_INDIRECT) {
			if (indirect)
				return "indirect descriptor inside an "
				       "indirect table";
			fault = virtq_open_table(q, d.addr, d.len, d.flags,
						 &table);
			if (fault)
				return fault;
			count = d.len / DESC_BYTES;
			index = 0;
			indirect = true; /* table may be q->desc again */
			continue;
		}
		if (++seen > q->at.size)
			return "chain is longer than the queue";
		fault = virtq_add_buffer(q, c, d.addr, d.len, d.flags);
		if (fault || !(d.flags & DESC_NEXT))
			return fault;
		index = d.next;
	}
}

/* Look at the available index. */
static int look(struct virtq *q)
{
	uint16_t idx = ring_load(q->driver, RING_IDX);

	if ((uint16_t)(idx - q->avail_next) > q->at.size)
		return virtq_break(q, "available index jumped");
	q->avail_seen = idx;
	return idx != q->avail_next;
}

static int split_take(struct virtq *q, struct virtq_chain *c, unsigned *step)
{
	size_t entry = q->avail_next & (q->at.size - 1u);
	const char *fault;
	int got = 1;

	if (q->avail_seen == q->avail_next)
		got = look(q);
	if (got <= 0)
		return got;
	c->head = ring_load(q->driver, RING_ENTRIES + entry * AVAIL_ENTRY);
	if (c->head >= q->at.size)
		return virtq_break(q, "head outside of the descriptor table");
	if (virtq_in_flight(q, c->head))
		return virtq_break(q, "head is in flight already");
	fault = walk(q, c);
	if (fault)
		return virtq_break(q, fault);
	*step = 1;
	return 1;
}

static int split_retake(struct virtq *q, const struct virtq_again *again,
			struct virtq_chain *c, unsigned *step)
{
	const char *fault;

	c->head = again->head;
	fault = walk(q, c);
	if (fault)
		return virtq_break(q, fault);
	*step = 1;
	return 1;
}

uint16_t virtq_split_used(const struct virtq *q)
{
	return ring_load(q->device, RING_IDX);
}

/* ---- giving back and notifications ------------------------------------- */

static void split_fill(struct virtq *q, uint16_t at, uint16_t head,
		       uint32_t written)
{
	size_t entry = at & (q->at.size - 1u);
	uint8_t *used =
		(uint8_t *)q->device + RING_ENTRIES + entry * USED_ENTRY;

	put_le32(used, head);
	put_le32(used + 4, written);
}

static void split_publish(struct virtq *q, uint32_t written, uint16_t next)
{
	(void)written;
	ring_store(q->device, RING_IDX, next);
}

static bool split_signal(const struct virtq *q)
{
	if (q->has.event_idx)
		return virtq_passed(q, ring_load(q->driver, used_event(q)));
	return !(ring_load(q->driver, RING_FLAGS) & AVAIL_NO_INTERRUPT);
}

static void split_arm(struct virtq *q)
{
	if (q->has.event_idx)
		ring_store(q->device, avail_event(q), q->avail_next);
	else if (!q->armed)
		ring_store(q->device, RING_FLAGS, 0);
}

/* With EVENT_IDX the flags must stay 0, and the event that has passed will not
 * come again soon (VIRTIO 1.3 sec. 2.7.10.1). */
static void split_disarm(struct virtq *q)
{
	if (!q->has.event_idx)
		ring_store(q->device, RING_FLAGS, USED_NO_NOTIFY);
}

static bool split_waiting(struct virtq *q)
{
	return look(q) > 0;
}

const struct virtq_ops virtq_split = {
	.place = split_place,
	.take = split_take,
	.retake = split_retake,
	.fill = split_fill,
	.publish = split_publish,
	.signal = split_signal,
	.arm = split_arm,
	.disarm = split_disarm,
	.waiting = split_waiting,
};
