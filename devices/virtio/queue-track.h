/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: a queue's requests in flight, written where they outlive this process
 *
 * Spec: vhost-user, "Inflight I/O tracking". Each head that is popped is marked
 * in a region of shared memory, with a number that counts up; the mark is
 * removed after the request was given back. Whoever is handed the region after
 * this process died can tell what was given back from what must be done again,
 * in the old order.
 *
 *	queue-track.c         split rings: before a head is given back it
 *	                      becomes that of the "last batch", and the ring's
 *	                      used index tells whether the batch was seen
 *	queue-track-packed.c  packed rings: what is given back overwrites
 *	                      descriptors, so the region has copies of them and
 *	                      says where the ring is
 *
 * The region is hostile, like all memory that a guest's VMM shares: every
 * number from it is copied and checked before it is used.
 *
 * Threads: those of the queue.
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

/**
 * struct track_desc - the spec's DescStatePacked: a copy of a descriptor
 * @next: entry of the chain's next descriptor, or of the free list's
 * @inflight, @last, @num, @counter: only of a chain's first entry
 */
struct track_desc {
	uint8_t inflight, padding;
	uint16_t next, last, num;
	uint64_t counter;
	uint16_t id, flags;
	uint32_t len;
	uint64_t addr;
};
static_assert(sizeof(struct track_desc) == 32, "vhost-user: DescStatePacked");
static_assert(offsetof(struct track_desc, counter) == 8, "DescStatePacked");
static_assert(offsetof(struct track_desc, addr) == 24, "DescStatePacked");

/** struct track_place - where a packed ring is: what is about to be, and what
 * @old is until the driver has seen it */
struct track_place {
	uint16_t used_idx, old_used_idx;
	uint8_t used_wrap, old_used_wrap;
	uint8_t padding[2];
};

/** struct track_packed - the spec's QueueRegionPacked */
struct track_packed {
	uint64_t features;
	uint16_t version, desc_num, free_head, old_free_head;
	struct track_place place;
	uint8_t padding[8];
	struct track_desc desc[];
};
static_assert(offsetof(struct track_packed, place) == 16, "QueueRegionPacked");
static_assert(sizeof(struct track_place) == 8, "stored at once");
static_assert(sizeof(struct track_packed) == 32, "QueueRegionPacked");

/** virtq_track_bytes - memory for a queue of @size entries */
static inline size_t virtq_track_bytes(uint16_t size, bool packed)
{
	return packed ? sizeof(struct track_packed) +
				size * sizeof(struct track_desc)
		      : sizeof(struct track_region) +
				size * sizeof(struct track_head);
}

/**
 * virtq_track - track what is in flight in @memory from now on
 * @q: enabled, nothing popped yet
 * @memory: struct track_region or track_packed, of at least
 *	virtq_track_bytes() bytes, 8-byte aligned, until the queue is reset
 *
 * A region that was used before also says where the queue is (what
 * virtq_base_set() said is forgotten), and which requests virtq_pop() returns
 * first.
 *
 * Return: 0, -ENOMEM, -EINVAL: @q is in use; or -EBADMSG: the region is of
 * another version, for a smaller queue or damaged.
 */
int virtq_track(struct virtq *q, void *memory);

/** virtq_split_used - the used index in the ring of an enabled split queue:
 * what whoever runs it has given back */
uint16_t virtq_split_used(const struct virtq *q);

#endif
