/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: requests in flight on packed rings, see queue-track.h
 *
 * Spec: vhost-user, "Inflight I/O tracking", packed virtqueues. The entries of
 * the region are a list of free ones and one list for each chain in flight, of
 * copies of its descriptors. What a batch gives back joins the free list, whose
 * old head, like the ring's old place, stays valid until the driver can see the
 * batch: whoever comes after a death looks at the ring's descriptor at the old
 * place and goes on from the new state or from the old one.
 *
 * The spec stores the places one after the other; here all of them are one
 * store, so that no death leaves an index with another one's wrap counter.
 */
#include <errno.h>
#include <string.h>

#include "devices/virtio/queue-impl.h"
#include "devices/virtio/queue-track.h"

static struct track_packed *region(const struct virtq *q)
{
	return q->track;
}

static struct track_place place_get(const struct virtq *q)
{
	const void *at = &region(q)->place;
	uint64_t raw = __atomic_load_n((const uint64_t *)at, __ATOMIC_ACQUIRE);
	struct track_place p;

	memcpy(&p, &raw, sizeof(p));
	return p;
}

static void place_set(struct virtq *q, struct track_place p)
{
	void *at = &region(q)->place;
	uint64_t raw;

	memcpy(&raw, &p, sizeof(raw));
	__atomic_store_n((uint64_t *)at, raw, __ATOMIC_RELEASE);
}

static bool wrap_of(const struct virtq *q, uint16_t position)
{
	return position < q->at.size;
}

static uint16_t index_of(const struct virtq *q, uint16_t position)
{
	return (uint16_t)(position - (wrap_of(q, position) ? 0 : q->at.size));
}

/* ---- taking ------------------------------------------------------------- */

const char *virtq_track_copy(struct virtq *q, unsigned n, uint64_t addr,
			     uint32_t len, uint16_t id, uint16_t flags)
{
	struct track_packed *r = region(q);
	struct track_desc *e;

	q->track_at = n ? TRACK_GET(r->desc[q->track_at].next)
			: TRACK_GET(r->free_head);
	if (q->track_at >= q->at.size)
		return VIRTQ_DAMAGED;
	e = &r->desc[q->track_at];
	TRACK_SET(e->addr, addr);
	TRACK_SET(e->len, len);
	TRACK_SET(e->id, id);
	TRACK_SET(e->flags, flags);
	return NULL;
}

/* Its descriptors are copied, at the head of the free list: with its mark, and
 * off the list, it is in flight. */
static void packed_begin(struct virtq *q, uint16_t head)
{
	struct track_packed *r = region(q);
	uint16_t entry = TRACK_GET(r->free_head);
	struct track_desc *e;

	if (entry >= q->at.size) /* hostile: changed meanwhile */
		return;
	e = &r->desc[entry];
	q->slot[head].entry = entry;
	TRACK_SET(e->num, q->slot[head].step);
	TRACK_SET(e->last, q->track_at);
	TRACK_SET(e->counter, q->track_counter++);
	TRACK_SET(e->inflight, 1);
	TRACK_SET(r->old_free_head, TRACK_GET(r->desc[q->track_at].next));
	TRACK_SET(r->free_head, TRACK_GET(r->old_free_head));
}

/* ---- giving back -------------------------------------------------------- */

static void packed_giving(struct virtq *q, uint16_t head)
{
	struct track_packed *r = region(q);
	uint16_t entry = q->slot[head].entry;
	uint16_t last = TRACK_GET(r->desc[entry].last);

	if (last < q->at.size)
		TRACK_SET(r->desc[last].next, TRACK_GET(r->free_head));
	TRACK_SET(r->free_head, entry);
}

static void packed_publish(struct virtq *q, uint16_t next)
{
	struct track_place p = place_get(q);

	p.used_idx = index_of(q, next);
	p.used_wrap = wrap_of(q, next);
	place_set(q, p);
}

static void packed_given(struct virtq *q, uint16_t head)
{
	TRACK_SET(region(q)->desc[q->slot[head].entry].inflight, 0);
}

static void packed_done(struct virtq *q, uint16_t next)
{
	struct track_packed *r = region(q);
	struct track_place p = {
		.used_idx = index_of(q, next),
		.old_used_idx = index_of(q, next),
		.used_wrap = wrap_of(q, next),
		.old_used_wrap = wrap_of(q, next),
	};

	TRACK_SET(r->old_free_head, TRACK_GET(r->free_head));
	place_set(q, p);
}

/* Free first, as the list rules. */
static void packed_undo(struct virtq *q, uint16_t head)
{
	packed_giving(q, head);
	TRACK_SET(region(q)->old_free_head, TRACK_GET(region(q)->free_head));
	packed_given(q, head);
}

/* ---- after a death ------------------------------------------------------ */

static void packed_fresh(struct virtq *q)
{
	struct track_packed *r = region(q);

	for (uint16_t i = 0; i < q->at.size; i++) {
		TRACK_SET(r->desc[i].inflight, 0);
		TRACK_SET(r->desc[i].next, (uint16_t)(i + 1));
	}
	TRACK_SET(r->free_head, 0);
	packed_done(q, q->used_next);
}

/* Was the last batch seen by the driver? Then it is all done, else not at all.
 * Return: the ring's position, or -EBADMSG. */
static int packed_settle(struct virtq *q)
{
	struct track_packed *r = region(q);
	struct track_place p = place_get(q);
	uint16_t old, used;

	if (p.used_idx >= q->at.size || p.old_used_idx >= q->at.size)
		return -EBADMSG;
	old = virtq_position(q, p.old_used_idx, p.old_used_wrap);
	used = virtq_position(q, p.used_idx, p.used_wrap);
	if (used != old && !virtq_packed_available(q, old))
		TRACK_SET(r->old_free_head, TRACK_GET(r->free_head));
	else
		used = old;
	TRACK_SET(r->free_head, TRACK_GET(r->old_free_head));
	packed_done(q, used);
	return used;
}

/* What is on the free list is not in flight, whatever its mark says. */
static void unmark_free(struct virtq *q)
{
	struct track_packed *r = region(q);
	uint16_t at = TRACK_GET(r->free_head);

	for (unsigned i = 0; i < q->at.size && at < q->at.size; i++) {
		TRACK_SET(r->desc[at].inflight, 0);
		at = TRACK_GET(r->desc[at].next);
	}
}

/* Return: how many descriptors are in flight, or -EBADMSG: more than there
 * are. */
static int packed_collect(struct virtq *q)
{
	const struct track_packed *r = region(q);
	unsigned count = 0, steps = 0;

	for (uint16_t i = 0; i < q->at.size; i++) {
		if (TRACK_GET(r->desc[i].inflight) != 1)
			continue;
		q->again[count++] = (struct virtq_again){
			.counter = TRACK_GET(r->desc[i].counter),
			.head = i,
			.step = TRACK_GET(r->desc[i].num),
		};
		steps += q->again[count - 1].step;
		if (!q->again[count - 1].step || steps > q->at.size)
			return -EBADMSG;
	}
	virtq_track_sort(q, count);
	return (int)steps;
}

static int packed_resume(struct virtq *q)
{
	int used = packed_settle(q), steps;

	if (used < 0)
		return used;
	unmark_free(q);
	steps = packed_collect(q);
	if (steps < 0)
		return steps;
	q->used_next = (uint16_t)used;
	q->avail_next = virtq_after(q, q->used_next, (unsigned)steps);
	return 0;
}

const struct track_ops virtq_track_packed = {
	.begin = packed_begin,
	.undo = packed_undo,
	.giving = packed_giving,
	.publish = packed_publish,
	.given = packed_given,
	.done = packed_done,
	.fresh = packed_fresh,
	.resume = packed_resume,
};
