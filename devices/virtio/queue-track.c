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

#define SET(at, value) __atomic_store_n(&(at), (value), __ATOMIC_RELEASE)
#define GET(at)	       __atomic_load_n(&(at), __ATOMIC_RELAXED)

void virtq_track_begin(struct virtq *q, uint16_t head)
{
	struct track_head *h = &q->track->head[head];

	SET(h->counter, q->track_counter++);
	SET(h->inflight, 1);
}

void virtq_track_undo(struct virtq *q, uint16_t head)
{
	SET(q->track->head[head].inflight, 0);
}

/* Before the used index moves: part of the batch that it will move for. */
void virtq_track_giving(struct virtq *q, uint16_t head)
{
	SET(q->track->head[head].next, GET(q->track->last_batch_head));
	SET(q->track->last_batch_head, head);
}

void virtq_track_used(struct virtq *q, uint16_t next)
{
	SET(q->track->used_idx, next);
}

/* ---- after a death ------------------------------------------------------ */

/* The last batch was given back, whatever its marks say: @used tells. */
static void commit(struct virtq *q, uint16_t used)
{
	struct track_region *r = q->track;
	unsigned batch = (uint16_t)(used - GET(r->used_idx));
	uint16_t head = GET(r->last_batch_head);

	batch = MIN(batch, q->at.size); /* hostile: no batch is longer */
	for (unsigned i = 0; i < batch && head < q->at.size; i++) {
		SET(r->head[head].inflight, 0);
		head = GET(r->head[head].next);
	}
	SET(r->used_idx, used);
}

static int by_counter(const void *a, const void *b)
{
	const struct virtq_again *x = a, *y = b;

	return x->counter < y->counter ? -1 : x->counter > y->counter;
}

/* What has to be done again, oldest first. */
static int collect(struct virtq *q)
{
	struct virtq_again *again = calloc(q->at.size, sizeof(*again));
	unsigned count = 0;

	if (!again)
		return -ENOMEM;
	for (uint16_t head = 0; head < q->at.size; head++) {
		if (GET(q->track->head[head].inflight) != 1)
			continue;
		again[count++] = (struct virtq_again){
			.counter = GET(q->track->head[head].counter),
			.head = head,
		};
	}
	if (count)
		qsort(again, count, sizeof(*again), by_counter);
	q->track_counter = count ? again[count - 1].counter + 1 : 0;
	q->again = again;
	q->again_count = count;
	return 0;
}

static void begin(struct virtq *q)
{
	for (uint16_t head = 0; head < q->at.size; head++)
		SET(q->track->head[head].inflight, 0);
	SET(q->track->used_idx, q->used_next);
	SET(q->track->desc_num, q->at.size);
	SET(q->track->version, TRACK_VERSION);
}

static int resume(struct virtq *q)
{
	uint16_t used = virtq_split_used(q);
	int err;

	if (GET(q->track->version) != TRACK_VERSION ||
	    GET(q->track->desc_num) < q->at.size)
		return -EINVAL;
	commit(q, used);
	err = collect(q);
	if (err)
		return err;
	q->used_next = used;
	q->avail_next = q->avail_seen = (uint16_t)(used + q->again_count);
	return 0;
}

int virtq_track(struct virtq *q, struct track_region *region)
{
	int err = 0;

	if (!q->enabled || q->has.packed || q->in_flight_count || q->again)
		return -EINVAL;
	q->track = region;
	if (GET(region->version))
		err = resume(q);
	else
		begin(q);
	if (err)
		q->track = NULL;
	return err;
}
