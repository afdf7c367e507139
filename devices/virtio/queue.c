/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: virtqueues on split rings, see queue.h */
#include "devices/virtio/queue.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/base/check.h"

/* VIRTIO 1.3 sec. 2.7.5 */
enum { DESC_NEXT = 1, DESC_WRITE = 2, DESC_INDIRECT = 4 };

struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	uint16_t next;
};
static_assert(sizeof(struct desc) == 16, "VIRTIO 1.3 sec. 2.7.5");
static_assert(offsetof(struct desc, flags) == 12, "VIRTIO 1.3 sec. 2.7.5");

/* VIRTIO 1.3 sec. 2.7.6 and 2.7.8: flags, idx, ring[size], event. */
enum { RING_FLAGS = 0, RING_IDX = 2, RING_ENTRIES = 4 };
enum { AVAIL_ENTRY = 2, USED_ENTRY = 8 };
enum { AVAIL_NO_INTERRUPT = 1 };

/* A chain may not describe more than this (VIRTIO 1.3 sec. 2.7.5.2). */
#define CHAIN_BYTES_MAX UINT32_MAX

/* ---- ring words -------------------------------------------------------- */

static uint64_t avail_bytes(uint16_t size)
{
	return RING_ENTRIES + (uint64_t)size * AVAIL_ENTRY + 2;
}

static uint64_t used_bytes(uint16_t size)
{
	return RING_ENTRIES + (uint64_t)size * USED_ENTRY + 2;
}

/* Aligned, because ring and region are. NULL cannot happen as long as RAM
 * stays; the callers survive it all the same. */
static uint16_t *word_at(const struct virtq *q, gpa_t ring, uint64_t offset)
{
	return ram_pin(q->ram, GPA(ring.v + offset), sizeof(uint16_t));
}

static uint16_t word_load(const struct virtq *q, gpa_t ring, uint64_t offset)
{
	const uint16_t *at = word_at(q, ring, offset);

	return at ? le16toh(__atomic_load_n(at, __ATOMIC_ACQUIRE)) : 0;
}

static void word_store(const struct virtq *q, gpa_t ring, uint64_t offset,
		       uint16_t value)
{
	uint16_t *at = word_at(q, ring, offset);

	if (at)
		__atomic_store_n(at, htole16(value), __ATOMIC_RELEASE);
}

/* Store, then look: the driver does the same in the other order, and one of
 * us must see the other (VIRTIO 1.3 sec. 2.7.7.2). */
static void full_barrier(void)
{
	__sync_synchronize();
}

/* ---- life -------------------------------------------------------------- */

int virtq_init(struct virtq *q, const struct guest_ram *ram, uint16_t size_max,
	       struct diag *d)
{
	CHECK(is_pow2(size_max) && size_max <= VIRTQ_SIZE_MAX);
	*q = (struct virtq){ .ram = ram, .size_max = size_max };
	q->in_flight = calloc((size_max + 63u) / 64, sizeof(uint64_t));
	q->iov = calloc(size_max, sizeof(q->iov[0]));
	if (!q->in_flight || !q->iov) {
		virtq_release(q);
		return diag_fail(d, ENOMEM, "out of memory");
	}
	return 0;
}

void virtq_release(struct virtq *q)
{
	free(q->in_flight);
	free(q->iov);
	memset(q, 0, sizeof(*q));
}

void virtq_reset(struct virtq *q)
{
	const struct virtq old = *q;

	memset(q->in_flight, 0, (q->size_max + 63u) / 64 * sizeof(uint64_t));
	*q = (struct virtq){ .ram = old.ram,
			     .size_max = old.size_max,
			     .in_flight = old.in_flight,
			     .iov = old.iov };
}

static int broken(struct virtq *q, const char *why)
{
	if (!q->broken)
		q->broken = why;
	return -EPROTO;
}

/* NULL if the queue can be at @at, else what is wrong. */
static const char *layout_fault(const struct virtq *q,
				const struct virtq_layout *at)
{
	if (!is_pow2(at->size) || at->size > q->size_max)
		return "queue size is not a power of two within the limit";
	if (at->desc.v % 16 || at->driver.v % 2 || at->device.v % 4)
		return "ring is not aligned";
	if (!ram_pin(q->ram, at->desc, (uint64_t)at->size * 16) ||
	    !ram_pin(q->ram, at->driver, avail_bytes(at->size)) ||
	    !ram_pin(q->ram, at->device, used_bytes(at->size)))
		return "ring is not in RAM";
	return NULL;
}

int virtq_enable(struct virtq *q, const struct virtq_layout *at, bool event_idx,
		 bool indirect)
{
	const char *fault = layout_fault(q, at);

	virtq_reset(q);
	q->broken = fault;
	if (fault)
		return -EINVAL;
	q->at = *at;
	q->event_idx = event_idx;
	q->indirect = indirect;
	q->enabled = true;
	return 0;
}

/* ---- taking requests --------------------------------------------------- */

/*
 * struct walk - a chain being collected
 * @table, @count: the descriptor table in use: the ring's or an indirect one
 * @seen: descriptors so far, in both tables
 */
struct walk {
	gpa_t table;
	uint32_t count;
	bool indirect;
	unsigned seen;
};

static bool desc_read(const struct virtq *q, const struct walk *w,
		      uint32_t index, struct desc *d)
{
	uint8_t raw[16];

	if (index >= w->count ||
	    !ram_read(q->ram, GPA(w->table.v + index * 16ULL), raw,
		      sizeof(raw)))
		return false;
	d->addr = get_le64(raw);
	d->len = get_le32(raw + 8);
	d->flags = get_le16(raw + 12);
	d->next = get_le16(raw + 14);
	return true;
}

/* Enter an indirect table (VIRTIO 1.3 sec. 2.7.5.3.1). */
static const char *walk_indirect(const struct virtq *q, struct walk *w,
				 const struct desc *d)
{
	uint64_t end;

	if (!q->indirect)
		return "indirect descriptor without the feature";
	if (w->indirect)
		return "indirect descriptor inside an indirect table";
	if (d->flags & DESC_NEXT)
		return "indirect descriptor with a next one";
	if (!d->len || d->len % 16)
		return "indirect table of a wrong length";
	if (!add_u64(d->addr, d->len, &end))
		return "indirect table wraps around";
	w->table = GPA(d->addr);
	w->count = d->len / 16;
	w->indirect = true;
	return NULL;
}

static const char *walk_buffer(const struct virtq *q, struct virtq_chain *c,
			       const struct desc *d)
{
	unsigned at = c->out_count + c->in_count;
	bool writable = d->flags & DESC_WRITE;
	void *host;

	if (!writable && c->in_count)
		return "readable descriptor after a writable one";
	if (c->out_bytes + c->in_bytes + d->len > CHAIN_BYTES_MAX)
		return "chain of more than 4 GiB";
	if (!d->len)
		return NULL;
	host = ram_pin(q->ram, GPA(d->addr), d->len);
	if (!host)
		return "buffer is not in RAM";
	c->iov[at] = (struct iovec){ .iov_base = host, .iov_len = d->len };
	*(writable ? &c->in_count : &c->out_count) += 1;
	*(writable ? &c->in_bytes : &c->out_bytes) += d->len;
	return NULL;
}

/* Collect the chain at @c->head. Ends: each step counts against the queue's
 * size. Return: NULL or what is wrong. */
static const char *walk_chain(const struct virtq *q, struct virtq_chain *c)
{
	struct walk w = { .table = q->at.desc, .count = q->at.size };
	uint32_t index = c->head;
	const char *fault;
	struct desc d;

	for (;;) {
		if (!desc_read(q, &w, index, &d))
			return "descriptor outside of its table or of RAM";
		if (d.flags & DESC_INDIRECT) {
			fault = walk_indirect(q, &w, &d);
			if (fault)
				return fault;
			index = 0;
			continue;
		}
		if (++w.seen > q->at.size)
			return "chain is longer than the queue";
		fault = walk_buffer(q, c, &d);
		if (fault || !(d.flags & DESC_NEXT))
			return fault;
		index = d.next;
	}
}

static bool head_in_flight(const struct virtq *q, uint16_t head)
{
	return q->in_flight[head / 64] >> (head % 64) & 1;
}

static void head_set(struct virtq *q, uint16_t head, bool in_flight)
{
	uint64_t bit = 1ULL << (head % 64);

	if (in_flight)
		q->in_flight[head / 64] |= bit;
	else
		q->in_flight[head / 64] &= ~bit;
	q->in_flight_count += in_flight ? 1 : -1u;
}

/* How many requests wait, or -EPROTO. */
static int avail_count(struct virtq *q)
{
	uint16_t idx = word_load(q, q->at.driver, RING_IDX);
	uint16_t count = (uint16_t)(idx - q->avail_next);

	if (count > q->at.size)
		return broken(q, "available index jumped");
	return count;
}

int virtq_pop(struct virtq *q, struct virtq_chain *chain)
{
	struct virtq_chain c = { .iov = q->iov };
	const char *fault;
	int count;

	if (q->broken)
		return -EPROTO;
	if (!q->enabled)
		return 0;
	count = avail_count(q);
	if (count <= 0)
		return count;
	c.head = word_load(q, q->at.driver,
			   RING_ENTRIES + (q->avail_next & (q->at.size - 1u)) *
						  AVAIL_ENTRY);
	if (c.head >= q->at.size)
		return broken(q, "head outside of the descriptor table");
	if (head_in_flight(q, c.head))
		return broken(q, "head is in flight already");
	fault = walk_chain(q, &c);
	if (fault)
		return broken(q, fault);
	head_set(q, c.head, true);
	q->avail_next++;
	*chain = c;
	return 1;
}

void virtq_undo(struct virtq *q, const struct virtq_chain *chain)
{
	if (!q->enabled || !head_in_flight(q, chain->head))
		return;
	head_set(q, chain->head, false);
	q->avail_next--;
}

/* ---- giving back ------------------------------------------------------- */

void virtq_push(struct virtq *q, uint16_t head, uint32_t written)
{
	uint64_t at;
	uint8_t raw[USED_ENTRY];

	if (!q->enabled || head >= q->at.size || !head_in_flight(q, head))
		return;
	at = RING_ENTRIES +
	     (q->used_next & (q->at.size - 1u)) * (uint64_t)USED_ENTRY;
	put_le32(raw, head);
	put_le32(raw + 4, written);
	ram_write(q->ram, GPA(q->at.device.v + at), raw, sizeof(raw));
	head_set(q, head, false);
	q->used_next++;
	word_store(q, q->at.device, RING_IDX, q->used_next);
}

/* VIRTIO 1.3 sec. 2.7.10: was @event passed between @old and @now? */
static bool event_passed(uint16_t event, uint16_t now, uint16_t old)
{
	return (uint16_t)(now - event - 1) < (uint16_t)(now - old);
}

bool virtq_signal(struct virtq *q)
{
	uint16_t old = q->signalled, event;

	if (!q->enabled || old == q->used_next)
		return false;
	full_barrier();
	q->signalled = q->used_next;
	if (!q->event_idx)
		return !(word_load(q, q->at.driver, RING_FLAGS) &
			 AVAIL_NO_INTERRUPT);
	event = word_load(q, q->at.driver,
			  RING_ENTRIES + (uint64_t)q->at.size * AVAIL_ENTRY);
	return event_passed(event, q->used_next, old);
}

bool virtq_wait(struct virtq *q)
{
	if (!q->enabled || q->broken)
		return false;
	if (q->event_idx)
		word_store(q, q->at.device,
			   RING_ENTRIES + (uint64_t)q->at.size * USED_ENTRY,
			   q->avail_next);
	full_barrier();
	return avail_count(q) > 0;
}

/* ---- state ------------------------------------------------------------- */

void virtq_save(const struct virtq *q, struct stream_out *out)
{
	CHECK(!q->in_flight_count);
	stream_put_u8(out, q->enabled);
	stream_put_u8(out, !!q->broken);
	stream_put_u8(out, q->event_idx);
	stream_put_u8(out, q->indirect);
	stream_put_u16(out, q->at.size);
	stream_put_u64(out, q->at.desc.v);
	stream_put_u64(out, q->at.driver.v);
	stream_put_u64(out, q->at.device.v);
	stream_put_u16(out, q->avail_next);
	stream_put_u16(out, q->used_next);
	stream_put_u16(out, q->signalled);
}

int virtq_load(struct virtq *q, struct stream_in *in)
{
	struct virtq n = *q;
	bool was_broken;

	n.enabled = stream_get_u8(in);
	was_broken = stream_get_u8(in);
	n.event_idx = stream_get_u8(in);
	n.indirect = stream_get_u8(in);
	n.at.size = stream_get_u16(in);
	n.at.desc.v = stream_get_u64(in);
	n.at.driver.v = stream_get_u64(in);
	n.at.device.v = stream_get_u64(in);
	n.avail_next = stream_get_u16(in);
	n.used_next = stream_get_u16(in);
	n.signalled = stream_get_u16(in);
	if (was_broken)
		n.broken = "broken before it was saved";
	if (in->failed || (n.enabled && layout_fault(q, &n.at)))
		return -EBADMSG;
	*q = n;
	return 0;
}
