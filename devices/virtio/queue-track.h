/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: a queue's requests in flight, written where they outlive this process
 *
 * Spec: vhost-user, "Inflight I/O tracking", split virtqueues. Each head that
 * is popped is marked in a region of shared memory, with a number that counts
 * up; before it is given back it becomes the head of the "last batch", and the
 * mark is removed after the used index has moved. Whoever is handed the region
 * after this process died can tell what was given back (the used index says
 * so) from what must be done again, in the old order.
 *
 * The region is hostile, like all memory that a guest's VMM shares: every
 * number from it is copied and checked before it is used.
 *
 * Threads: those of the queue.
 *
 * Not implemented: packed rings.
 */
#ifndef DEVICES_VIRTIO_QUEUE_TRACK_H
#define DEVICES_VIRTIO_QUEUE_TRACK_H

#include <assert.h>

#include "devices/virtio/queue.h"

#define TRACK_VERSION 1 /* 0: nobody has used the region yet */

/** struct track_head - the spec's DescStateSplit; @next in the last batch */
struct track_head {
	uint8_t inflight;
	uint8_t padding[5];
	uint16_t next;
	uint64_t counter;
};
static_assert(sizeof(struct track_head) == 16, "vhost-user: DescStateSplit");
static_assert(offsetof(struct track_head, counter) == 8, "DescStateSplit");

/** struct track_region - the spec's QueueRegionSplit */
struct track_region {
	uint64_t features;
	uint16_t version, desc_num, last_batch_head, used_idx;
	struct track_head head[];
};
static_assert(sizeof(struct track_region) == 16, "QueueRegionSplit");

/** virtq_track_bytes - memory for a queue of @size entries */
static inline size_t virtq_track_bytes(uint16_t size)
{
	return sizeof(struct track_region) + size * sizeof(struct track_head);
}

/**
 * virtq_track - track what is in flight in @region from now on
 * @q: a split ring, enabled, nothing popped yet
 * @region: of at least virtq_track_bytes(@q->at.size) bytes, until the queue
 *	is reset
 *
 * A region that was used before also says where the queue is (what
 * virtq_base_set() said is forgotten), and which requests virtq_pop() returns
 * first.
 *
 * Return: 0, -ENOMEM, or -EINVAL: packed, or the region is of another version
 * or for a smaller queue.
 */
int virtq_track(struct virtq *q, struct track_region *region);

/** virtq_split_used - the used index in the ring of an enabled split queue:
 * what whoever runs it has given back */
uint16_t virtq_split_used(const struct virtq *q);

#endif
