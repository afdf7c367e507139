/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: virtqueues, what both ring formats share, see queue.h */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/base/check.h"

#include "devices/virtio/queue-impl.h"

/* A chain may not describe more than this (VIRTIO 1.3 sec. 2.7.5.2). */
#define CHAIN_BYTES_MAX UINT32_MAX

/* virtq.unsignalled says "very many": no ring is longer. */
#define UNSIGNALLED_MAX 0x10000u

/* Store, then look: the driver does the same in the other order, and one of
 * us must see the other (VIRTIO 1.3 sec. 2.7.7.2, 2.8.21.3). */
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
	q->slot = calloc(size_max, sizeof(q->slot[0]));
	q->order = calloc(size_max, sizeof(q->order[0]));
	q->iov = calloc(size_max, sizeof(q->iov[0]));
	if (!q->in_flight || !q->slot || !q->order || !q->iov) {
		virtq_release(q);
		return diag_fail(d, ENOMEM, "out of memory");
	}
	return 0;
}

void virtq_release(struct virtq *q)
{
	free(q->in_flight);
	free(q->slot);
	free(q->order);
	free(q->iov);
	free(q->again);
	memset(q, 0, sizeof(*q));
}

void virtq_reset(struct virtq *q)
{
	const struct virtq old = *q;

	memset(q->in_flight, 0, (q->size_max + 63u) / 64 * sizeof(uint64_t));
	free(q->again);
	*q = (struct virtq){ .ram = old.ram,
			     .size_max = old.size_max,
			     .in_flight = old.in_flight,
			     .slot = old.slot,
			     .order = old.order,
			     .iov = old.iov };
}

int virtq_break(struct virtq *q, const char *why)
{
	if (!q->broken)
		q->broken = why;
	return -EPROTO;
}

bool virtq_size_ok(uint16_t size, uint16_t size_max, bool packed)
{
	return size && size <= size_max && (packed || is_pow2(size));
}

void *virtq_pin(const struct virtq *q, gpa_t gpa, uint64_t len, unsigned align)
{
	return gpa.v % align ? NULL : ram_pin(q->ram, gpa, len);
}

/* Put a queue in reset state to @at, at the rings' beginning. */
static const char *place(struct virtq *q, const struct virtq_layout *at,
			 struct virtq_features has)
{
	q->at = *at;
	q->has = has;
	q->ops = has.packed ? &virtq_packed : &virtq_split;
	return q->ops->place(q);
}

int virtq_enable(struct virtq *q, const struct virtq_layout *at,
		 struct virtq_features has)
{
	const struct virtq_layout copy = *at;
	const char *fault;

	virtq_reset(q);
	fault = place(q, &copy, has);
	if (fault) {
		virtq_reset(q);
		q->broken = fault;
		return -EINVAL;
	}
	/* The driver has cleared the area that could say otherwise. */
	q->armed = true;
	q->enabled = true;
	return 0;
}

/* ---- chains ------------------------------------------------------------ */

const char *virtq_add_buffer(const struct virtq *q, struct virtq_chain *c,
			     uint64_t addr, uint32_t len, uint16_t flags)
{
	unsigned at = c->out_count + c->in_count;
	bool writable = flags & DESC_WRITE;
	void *host;

	if (!writable && c->in_count)
		return "readable descriptor after a writable one";
	if (c->out_bytes + c->in_bytes + len > CHAIN_BYTES_MAX)
		return "chain of more than 4 GiB";
	if (!len)
		return NULL;
	host = ram_pin(q->ram, GPA(addr), len);
	if (!host)
		return "buffer is not in RAM";
	c->iov[at] = (struct iovec){ .iov_base = host, .iov_len = len };
	*(writable ? &c->in_count : &c->out_count) += 1;
	*(writable ? &c->in_bytes : &c->out_bytes) += len;
	return NULL;
}

const char *virtq_open_table(const struct virtq *q, uint64_t addr, uint32_t len,
			     uint16_t flags, const uint8_t **table)
{
	if (!q->has.indirect)
		return "indirect descriptor without the feature";
	if (flags & DESC_NEXT)
		return "indirect descriptor with a next one";
	if (!len || len % DESC_BYTES)
		return "indirect table of a wrong length";
	*table = ram_pin(q->ram, GPA(addr), len);
	return *table ? NULL : "indirect table is not in RAM";
}

/* ---- heads in flight --------------------------------------------------- */

bool virtq_in_flight(const struct virtq *q, uint16_t head)
{
	return q->in_flight[head / 64] >> (head % 64) & 1;
}

static void flight_begin(struct virtq *q, uint16_t head, unsigned step)
{
	q->in_flight[head / 64] |= 1ULL << (head % 64);
	q->slot[head] = (struct virtq_slot){ .step = (uint16_t)step };
	q->in_flight_count++;
	if (!q->has.in_order)
		return;
	q->order[q->order_next++] = head;
	if (q->order_next == q->at.size)
		q->order_next = 0;
}

static void flight_end(struct virtq *q, uint16_t head)
{
	q->in_flight[head / 64] &= ~(1ULL << (head % 64));
	q->in_flight_count--;
}

/* In order: the one whose turn it is. */
static uint16_t flight_oldest(const struct virtq *q)
{
	unsigned at = q->order_next + q->at.size - q->in_flight_count;

	return q->order[at % q->at.size];
}

/* ---- taking requests --------------------------------------------------- */

/* What was in flight when another process died: its place in the ring, and its
 * mark in virtq.track, are taken already. */
static int take_again(struct virtq *q, struct virtq_chain *c)
{
	const struct virtq_again *again = &q->again[q->again_next];
	unsigned step = 0;
	int got = q->ops->retake(q, again, c, &step);

	if (got <= 0)
		return got;
	flight_begin(q, c->head, step);
	q->slot[c->head].again = true;
	q->slot[c->head].entry = again->head;
	q->again_next++;
	return 1;
}

static int take_new(struct virtq *q, struct virtq_chain *c)
{
	unsigned step = 0;
	int got = q->ops->take(q, c, &step);

	if (got <= 0)
		return got;
	flight_begin(q, c->head, step);
	if (q->track)
		q->track_ops->begin(q, c->head);
	q->avail_next = virtq_after(q, q->avail_next, step);
	return 1;
}

int virtq_pop(struct virtq *q, struct virtq_chain *chain)
{
	struct virtq_chain c = { .iov = q->iov };
	int got;

	if (q->broken)
		return -EPROTO;
	if (!q->enabled)
		return 0;
	got = q->again_next < q->again_count ? take_again(q, &c)
					     : take_new(q, &c);
	if (got <= 0)
		return got;
	if (q->armed)
		q->ops->disarm(q);
	q->armed = false;
	*chain = c;
	return 1;
}

void virtq_undo(struct virtq *q, const struct virtq_chain *chain)
{
	if (!q->enabled || chain->head >= q->at.size ||
	    !virtq_in_flight(q, chain->head))
		return;
	flight_end(q, chain->head);
	if (q->slot[chain->head].again) {
		q->again_next--;
	} else {
		if (q->track)
			q->track_ops->undo(q, chain->head);
		q->avail_next = virtq_after(
			q, q->avail_next, q->cycle - q->slot[chain->head].step);
	}
	if (q->has.in_order)
		q->order_next = (uint16_t)((q->order_next ? q->order_next
							  : q->at.size) -
					   1);
}

bool virtq_wait(struct virtq *q)
{
	if (!q->enabled || q->broken)
		return false;
	q->ops->arm(q);
	q->armed = true;
	full_barrier();
	return q->ops->waiting(q);
}

/* ---- giving back ------------------------------------------------------- */

/* struct batch - used entries that are not published yet: @count up to before
 * @at; the first has @written; @last is the head added last, if tracked */
struct batch {
	uint16_t at, last;
	unsigned count;
	uint32_t written;
};

static void batch_add(struct virtq *q, struct batch *b, uint16_t head,
		      uint32_t written)
{
	unsigned step = q->slot[head].step;

	if (q->track) {
		q->track_ops->giving(q, head);
		q->slot[head].before = b->last;
		b->last = head;
	}
	q->ops->fill(q, b->at, head, written);
	if (!b->count++)
		b->written = written;
	b->at = virtq_after(q, b->at, step);
	q->unsignalled = MIN(q->unsignalled + step, UNSIGNALLED_MAX);
	flight_end(q, head);
}

/* Hold @head back, and add all whose turn has come. */
static void batch_in_order(struct virtq *q, struct batch *b, uint16_t head,
			   uint32_t written)
{
	q->slot[head].done = true;
	q->slot[head].written = written;
	while (q->in_flight_count) {
		head = flight_oldest(q);
		if (!q->slot[head].done)
			break;
		batch_add(q, b, head, q->slot[head].written);
	}
}

/* The batch is published: nothing of it is in flight any more. */
static void batch_tracked(struct virtq *q, const struct batch *b)
{
	uint16_t head = b->last;

	for (unsigned i = 0; i < b->count; i++) {
		q->track_ops->given(q, head);
		head = q->slot[head].before;
	}
	q->track_ops->done(q, b->at);
}

void virtq_push_all(struct virtq *q, const struct virtq_used *used,
		    unsigned count)
{
	struct batch b = { .at = q->used_next };

	for (unsigned i = 0; i < count; i++) {
		uint16_t head = used[i].head;

		if (!q->enabled || head >= q->at.size ||
		    !virtq_in_flight(q, head))
			continue;
		if (!q->has.in_order)
			batch_add(q, &b, head, used[i].written);
		else if (!q->slot[head].done)
			batch_in_order(q, &b, head, used[i].written);
	}
	if (!b.count)
		return;
	if (q->track)
		q->track_ops->publish(q, b.at);
	q->ops->publish(q, b.written, b.at);
	q->used_next = b.at;
	if (q->track)
		batch_tracked(q, &b);
}

void virtq_push(struct virtq *q, uint16_t head, uint32_t written)
{
	const struct virtq_used used = { head, written };

	virtq_push_all(q, &used, 1);
}

bool virtq_signal(struct virtq *q)
{
	bool wanted;

	if (!q->enabled || !q->unsignalled)
		return false;
	full_barrier();
	wanted = q->ops->signal(q);
	q->unsignalled = 0;
	return wanted;
}

/* ---- state ------------------------------------------------------------- */

uint32_t virtq_base_get(const struct virtq *q)
{
	uint32_t index = q->avail_next;

	if (!q->has.packed)
		return index;
	if (index < q->at.size)
		index |= 1u << 15;
	else
		index -= q->at.size;
	return index | index << 16;
}

int virtq_base_set(struct virtq *q, uint32_t base)
{
	uint32_t at = base & 0x7fff;

	if (!q->has.packed) {
		at = base;
	} else {
		if (at >= q->at.size || base >> 16 != (base & 0xffff))
			return -EINVAL;
		if (!(base & 1u << 15))
			at += q->at.size;
	}
	if (!q->enabled || q->in_flight_count || at >= q->cycle)
		return -EINVAL;
	q->avail_next = q->avail_seen = q->used_next = (uint16_t)at;
	q->unsignalled = 0;
	q->armed = false; /* whoever ran the rings may have disarmed them */
	return 0;
}

void virtq_save(const struct virtq *q, struct stream_out *out)
{
	CHECK(!q->in_flight_count);
	stream_put_u8(out, q->enabled);
	stream_put_u8(out, !!q->broken);
	stream_put_u8(out, q->has.event_idx);
	stream_put_u8(out, q->has.indirect);
	stream_put_u8(out, q->has.packed);
	stream_put_u8(out, q->has.in_order);
	stream_put_u16(out, q->at.size);
	stream_put_u64(out, q->at.desc.v);
	stream_put_u64(out, q->at.driver.v);
	stream_put_u64(out, q->at.device.v);
	stream_put_u16(out, q->avail_next);
	stream_put_u32(out, q->unsignalled);
}

static int load_place(struct virtq *q, const struct virtq_layout *at,
		      struct virtq_features has, struct stream_in *in)
{
	uint16_t next = stream_get_u16(in);
	uint32_t unsignalled = stream_get_u32(in);

	if (in->failed || unsignalled > UNSIGNALLED_MAX)
		return -EBADMSG;
	if (!q->enabled)
		return 0;
	if (place(q, at, has) || next >= q->cycle)
		return -EBADMSG;
	q->avail_next = q->avail_seen = q->used_next = next;
	q->unsignalled = unsignalled;
	return 0;
}

int virtq_load(struct virtq *q, struct stream_in *in)
{
	struct virtq n = *q;
	struct virtq_features has;
	struct virtq_layout at;

	n.enabled = stream_get_u8(in);
	n.broken = stream_get_u8(in) ? "broken before it was saved" : NULL;
	has.event_idx = stream_get_u8(in);
	has.indirect = stream_get_u8(in);
	has.packed = stream_get_u8(in);
	has.in_order = stream_get_u8(in);
	at.size = stream_get_u16(in);
	at.desc.v = stream_get_u64(in);
	at.driver.v = stream_get_u64(in);
	at.device.v = stream_get_u64(in);
	if (load_place(&n, &at, has, in))
		return -EBADMSG;
	*q = n;
	return 0;
}
