/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: requests in flight in shared memory, see queue-track.h
 *
 * This process may be killed between any two stores. Release stores keep the
 * compiler from reordering them; what a processor has done before a kill it
 * has done in order, as far as the next process can see.
 */
#include "devices/virtio/queue-track.h"

#include <errno.h>
#include <stdlib.h>

#include "devices/virtio/queue-impl.h"

static struct track_region *region(const struct virtq *q)
{
	return q->track;
}

static void split_begin(struct virtq *q, uint16_t head)
{
	struct track_head *h = &region(q)->head[head];

	TRACK_SET(h->counter, q->track_counter++);
	TRACK_SET(h->inflight, 1);
}

static void split_unmark(struct virtq *q, uint16_t head)
{
	TRACK_SET(region(q)->head[head].inflight, 0);
}

/* Before the used index moves: part of the batch that it will move for. */
static void split_giving(struct virtq *q, uint16_t head)
{
	struct track_region *r = region(q);

	TRACK_SET(r->head[head].next, TRACK_GET(r->last_batch_head));
	TRACK_SET(r->last_batch_head, head);
}

/* The ring's used index says it. */
static void split_publish(struct virtq *q, uint16_t next)
{
	(void)q;
	(void)next;
}

static void split_done(struct virtq *q, uint16_t next)
{
	TRACK_SET(region(q)->used_idx, next);
}

/* ---- after a death ------------------------------------------------------ */

/* The last batch was given back, whatever its marks say: @used tells. */
static void commit(struct virtq *q, uint16_t used)
{
	struct track_region *r = region(q);
	unsigned batch = (uint16_t)(used - TRACK_GET(r->used_idx));
	uint16_t head = TRACK_GET(r->last_batch_head);

	batch = MIN(batch, q->at.size); /* hostile: no batch is longer */
	for (unsigned i = 0; i < batch && head < q->at.size; i++) {
		TRACK_SET(r->head[head].inflight, 0);
		head = TRACK_GET(r->head[head].next);
	}
	TRACK_SET(r->used_idx, used);
}

static int by_counter(const void *a, const void *b)
{
	const struct virtq_again *x = a, *y = b;

	return x->counter < y->counter ? -1 : x->counter > y->counter;
}

void virtq_track_sort(struct virtq *q, unsigned count)
{
	if (count)
		qsort(q->again, count, sizeof(*q->again), by_counter);
	q->track_counter = count ? q->again[count - 1].counter + 1 : 0;
	q->again_count = count;
}

/* What has to be done again. */
static void split_collect(struct virtq *q)
{
	const struct track_region *r = region(q);
	unsigned count = 0;

	for (uint16_t head = 0; head < q->at.size; head++) {
		if (TRACK_GET(r->head[head].inflight) != 1)
			continue;
		q->again[count++] = (struct virtq_again){
			.counter = TRACK_GET(r->head[head].counter),
			.head = head,
		};
	}
	virtq_track_sort(q, count);
}

static void split_fresh(struct virtq *q)
{
	struct track_region *r = region(q);

	for (uint16_t head = 0; head < q->at.size; head++)
		TRACK_SET(r->head[head].inflight, 0);
	TRACK_SET(r->used_idx, q->used_next);
}

static int split_resume(struct virtq *q)
{
	uint16_t used = virtq_split_used(q);

	commit(q, used);
	split_collect(q);
	q->used_next = used;
	q->avail_next = q->avail_seen = (uint16_t)(used + q->again_count);
	return 0;
}

const struct track_ops virtq_track_split = {
	.begin = split_begin,
	.undo = split_unmark,
	.giving = split_giving,
	.publish = split_publish,
	.given = split_unmark,
	.done = split_done,
	.fresh = split_fresh,
	.resume = split_resume,
};

/* ---- both formats ------------------------------------------------------- */

/* Both regions begin alike. */
static_assert(offsetof(struct track_region, version) ==
			      offsetof(struct track_packed, version) &&
		      offsetof(struct track_region, desc_num) ==
			      offsetof(struct track_packed, desc_num),
	      "vhost-user: QueueRegionSplit, QueueRegionPacked");

static int resume(struct virtq *q)
{
	if (TRACK_GET(region(q)->version) != TRACK_VERSION ||
	    TRACK_GET(region(q)->desc_num) < q->at.size)
		return -EBADMSG;
	q->again = calloc(q->at.size, sizeof(*q->again));
	return q->again ? q->track_ops->resume(q) : -ENOMEM;
}

static void fresh(struct virtq *q)
{
	q->track_ops->fresh(q);
	TRACK_SET(region(q)->desc_num, q->at.size);
	TRACK_SET(region(q)->version, TRACK_VERSION);
}

int virtq_track(struct virtq *q, void *memory)
{
	int err = 0;

	if (!q->enabled || q->in_flight_count || q->again)
		return -EINVAL;
	q->track = memory;
	q->track_ops = q->has.packed ? &virtq_track_packed : &virtq_track_split;
	if (TRACK_GET(region(q)->version))
		err = resume(q);
	else
		fresh(q);
	if (err)
		q->track = NULL;
	return err;
}
