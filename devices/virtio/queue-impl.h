/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: what queue.c and the two ring formats share; nobody else includes it
 *
 * queue.c keeps positions, heads in flight and chains; a format knows the
 * bytes. Everything here runs on an enabled queue, its owner serialises.
 */
#ifndef DEVICES_VIRTIO_QUEUE_IMPL_H
#define DEVICES_VIRTIO_QUEUE_IMPL_H

#include <endian.h>

#include "devices/virtio/queue.h"

/* VIRTIO 1.3 sec. 2.7.5 and 2.8.5 to 2.8.7: both formats. */
enum { DESC_NEXT = 1, DESC_WRITE = 2, DESC_INDIRECT = 4 };
#define DESC_BYTES 16

/** struct virtq_again - a request that was in flight; @counter: its turn;
 * @head: its name (split) or entry (packed) in virtq.track; @step: packed:
 * descriptors */
struct virtq_again {
	uint64_t counter;
	uint16_t head, step;
};

/**
 * struct virtq_ops - a ring format
 * @place: check virtq.at, set virtq.desc, .driver, .device and .cycle; return
 *	NULL or what is wrong
 * @take: collect the chain at virtq.avail_next; @step receives the positions
 *	it takes; return 1, 0 if there is none, or -EPROTO by virtq_break()
 * @retake: collect the chain @again, which another process had taken;
 *	otherwise like @take
 * @fill: write a used entry at position @at, virtq.used_next or behind it;
 *	what @publish does not mention the driver does not see
 * @publish: all entries from virtq.used_next to before @next, the first of
 *	which has @written
 * @signal: does the driver want an interrupt for the virtq.unsignalled
 *	positions before virtq.used_next? After a full barrier.
 * @arm: ask the driver to notify of what comes at virtq.avail_next
 * @disarm: it need not notify
 * @waiting: are there requests? Not more than are known to be valid.
 */
struct virtq_ops {
	const char *(*place)(struct virtq *q);
	int (*take)(struct virtq *q, struct virtq_chain *c, unsigned *step);
	int (*retake)(struct virtq *q, const struct virtq_again *again,
		      struct virtq_chain *c, unsigned *step);
	void (*fill)(struct virtq *q, uint16_t at, uint16_t head,
		     uint32_t written);
	void (*publish)(struct virtq *q, uint32_t written, uint16_t next);
	bool (*signal)(const struct virtq *q);
	void (*arm)(struct virtq *q);
	void (*disarm)(struct virtq *q);
	bool (*waiting)(struct virtq *q);
};

extern const struct virtq_ops virtq_split, virtq_packed;

/** virtq_pin - a ring's part: NULL if it is not aligned or not RAM */
void *virtq_pin(const struct virtq *q, gpa_t gpa, uint64_t len, unsigned align);

/** virtq_break - stop taking requests; @why is a literal. Return: -EPROTO. */
int virtq_break(struct virtq *q, const char *why);

/** virtq_in_flight - was @head popped and not given back? @head < size */
bool virtq_in_flight(const struct virtq *q, uint16_t head);

/** virtq_add_buffer - one descriptor's buffer to the chain's vectors, which
 * have room. Return: NULL or what is wrong. */
const char *virtq_add_buffer(const struct virtq *q, struct virtq_chain *c,
			     uint64_t addr, uint32_t len, uint16_t flags);

/** virtq_open_table - an indirect table of @len bytes (VIRTIO 1.3 sec.
 * 2.7.5.3.1, 2.8.7). Return: NULL and @table, or what is wrong. */
const char *virtq_open_table(const struct virtq *q, uint64_t addr, uint32_t len,
			     uint16_t flags, const uint8_t **table);

/**
 * struct track_ops - how a format tracks what is in flight (queue-track.h)
 * @begin: @head was popped, at virtq.avail_next
 * @undo: it was put back
 * @giving: it is about to be given back, behind the others of its batch
 * @publish: the driver is about to see the batch, up to before @next
 * @given: it has seen @head of it; @done: all of that is marked
 * @fresh: nobody has used the region; @resume: somebody died with it, set
 *	positions and virtq.again; return 0 or -errno
 */
struct track_ops {
	void (*begin)(struct virtq *q, uint16_t head);
	void (*undo)(struct virtq *q, uint16_t head);
	void (*giving)(struct virtq *q, uint16_t head);
	void (*publish)(struct virtq *q, uint16_t next);
	void (*given)(struct virtq *q, uint16_t head);
	void (*done)(struct virtq *q, uint16_t next);
	void (*fresh)(struct virtq *q);
	int (*resume)(struct virtq *q);
};

extern const struct track_ops virtq_track_split, virtq_track_packed;

/* What breaks a queue whose region is not as we left it. */
#define VIRTQ_DAMAGED "memory of requests in flight is damaged"

/* Stores to the region, in their order, and loads from it. */
#define TRACK_SET(at, value) __atomic_store_n(&(at), (value), __ATOMIC_RELEASE)
#define TRACK_GET(at)	     __atomic_load_n(&(at), __ATOMIC_RELAXED)

/** virtq_track_sort - @count requests at virtq.again, which begin anew now,
 * oldest first */
void virtq_track_sort(struct virtq *q, unsigned count);

/** virtq_track_copy - packed: remember a chain's @n-th descriptor, all 16 bytes
 * of which were read, before @begin. Return: NULL or what is wrong. */
const char *virtq_track_copy(struct virtq *q, unsigned n, uint64_t addr,
			     uint32_t len, uint16_t id, uint16_t flags);

/** virtq_position - packed: the position of @index with this wrap counter */
static inline uint16_t virtq_position(const struct virtq *q, uint16_t index,
				      bool wrap)
{
	return wrap ? index : (uint16_t)(index + q->at.size);
}

/** virtq_packed_available - has the driver made what is at @position available,
 * and nobody used it? */
bool virtq_packed_available(const struct virtq *q, uint16_t position);

/** virtq_distance - positions from @from forward to @to */
static inline uint32_t virtq_distance(const struct virtq *q, uint16_t from,
				      uint16_t to)
{
	return (to >= from ? 0 : q->cycle) + to - from;
}

/** virtq_after - the position @n after @at; @n up to a cycle */
static inline uint16_t virtq_after(const struct virtq *q, uint16_t at,
				   uint32_t n)
{
	uint32_t to = at + n;

	return (uint16_t)(to >= q->cycle ? to - q->cycle : to);
}

/** virtq_passed - did the last virtq.unsignalled positions include @event? */
static inline bool virtq_passed(const struct virtq *q, uint16_t event)
{
	return q->unsignalled >= q->cycle ||
	       virtq_distance(q, event, q->used_next) - 1 < q->unsignalled;
}

/** ring_load, ring_store - a little-endian 16-bit word that the driver uses
 * too; acquire and release */
static inline uint16_t ring_load(const void *ring, size_t offset)
{
	const uint16_t *at = (const void *)((const uint8_t *)ring + offset);

	return le16toh(__atomic_load_n(at, __ATOMIC_ACQUIRE));
}

static inline void ring_store(void *ring, size_t offset, uint16_t value)
{
	uint16_t *at = (void *)((uint8_t *)ring + offset);

	__atomic_store_n(at, htole16(value), __ATOMIC_RELEASE);
}

#endif
