/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: virtqueues, the device's side
 *
 * Spec: VIRTIO 1.3 sec. 2.6 to 2.8: split and packed rings, with indirect
 * descriptors (2.7.5.3, 2.8.7), event suppression (2.7.7, 2.7.10, 2.8.10), in
 * order use (2.7.9, 2.8.9) and ring reset (2.6.1).
 *
 *	queue.c          life, chains, what is in flight, state: both formats
 *	queue-split.c    the split ring's bytes
 *	queue-packed.c   the packed ring's bytes
 *	queue-impl.h     what these three share
 *
 * The guest's memory is hostile. Ring addresses are latched, checked and
 * turned into host pointers when the queue is enabled (RAM does not move while
 * a queue is enabled); each descriptor is copied once and the copy is used;
 * indexes and flags are single 16-bit atomic accesses; a chain has at most as
 * many descriptors as the queue has entries, readable ones first, all in RAM;
 * a head that is still in flight is refused. Whatever breaks these rules makes
 * the queue "broken": nothing more is taken from it until it is reset.
 *
 * Positions: where the device reads and writes next. A split ring counts
 * modulo 2^16. A packed ring counts modulo twice its size, so that a position
 * below the size means a wrap counter of 1 and one above it a wrap counter of
 * 0 (sec. 2.8.1); there is no other wrap counter.
 *
 * Notifications: the driver need not notify while the device takes requests;
 * virtq_pop() tells it so, virtq_wait() asks for the next one.
 *
 * Threads: one at a time; the owner serialises (virtio.h says how).
 *
 * Not done: one used entry for several requests, which IN_ORDER would allow.
 */
#ifndef DEVICES_VIRTIO_QUEUE_H
#define DEVICES_VIRTIO_QUEUE_H

#include <sys/uio.h>

#include "vmm/base/diag.h"
#include "vmm/memory.h"
#include "vmm/stream.h"

#define VIRTQ_SIZE_MAX 32768

/**
 * struct virtq_layout - where a queue is and how long
 * @size: entries; a power of two in a split ring (VIRTIO 1.3 sec. 2.7)
 * @desc: descriptor table or ring, 16-byte aligned
 * @driver: available ring, 2-byte aligned, or driver event suppression, 4-byte
 *	aligned
 * @device: used ring or device event suppression, 4-byte aligned
 */
struct virtq_layout {
	uint16_t size;
	gpa_t desc, driver, device;
};

/**
 * struct virtq_features - what was negotiated that concerns rings
 * @event_idx: VIRTIO_F_EVENT_IDX
 * @indirect: VIRTIO_F_INDIRECT_DESC
 * @packed: VIRTIO_F_RING_PACKED
 * @in_order: VIRTIO_F_IN_ORDER: a request that is pushed before its turn is
 *	held back until its turn comes, so any device may offer it; one that
 *	completes out of order had better not
 */
struct virtq_features {
	bool event_idx, indirect, packed, in_order;
};

/**
 * struct virtq_slot - what is known of a head in flight
 * @written: for virtq_push(), while held back
 * @step: positions that its chain takes in the ring
 * @done: pushed and held back (in order only)
 * @again: was in flight when another process died (queue-track.h)
 * @before: while given back in a batch: the one before it
 * @entry: packed and tracked: of the chain's first descriptor
 */
struct virtq_slot {
	uint32_t written;
	uint16_t step, before, entry;
	bool done, again;
};

/**
 * struct virtq - one queue
 * @size_max: most entries it can have
 * @ops: of its format, while enabled
 * @at, @has: latched when enabled; never reread from registers
 * @desc, @driver, @device: @at in this process
 * @enabled: taking buffers
 * @armed: the driver notifies of its next request
 * @broken: why it does not any more, or NULL
 * @cycle: positions are below it
 * @avail_next: position of the next request
 * @avail_seen: split: available index when it was looked at last
 * @used_next: position of the next used entry
 * @unsignalled: positions used since the driver was last interrupted; stops
 *	counting at 2^16
 * @in_flight: one bit per head that was popped and not given back;
 *	@in_flight_count of them
 * @slot: by head
 * @order: heads in flight as they were popped (in order only); a ring of
 *	virtq_layout.size; @order_next is where the next one goes
 * @iov: I/O vectors of the chain popped last, @size_max of them
 * @track: where heads in flight are remembered, or NULL; @track_ops: how;
 *	@track_counter: the next one's number; @track_at: packed: where the
 *	descriptor taken last was copied to; @again: @again_count requests that
 *	are taken first, before @again_next they were (queue-track.h)
 */
struct virtq {
	const struct guest_ram *ram;
	uint16_t size_max;
	const struct virtq_ops *ops;
	struct virtq_layout at;
	struct virtq_features has;
	void *desc, *driver, *device;
	bool enabled, armed;
	const char *broken;
	uint32_t cycle;
	uint16_t avail_next, avail_seen, used_next;
	uint32_t unsignalled;
	unsigned in_flight_count;
	uint64_t *in_flight;
	struct virtq_slot *slot;
	uint16_t *order, order_next;
	struct iovec *iov;
	void *track;
	const struct track_ops *track_ops;
	uint16_t track_at;
	uint64_t track_counter;
	struct virtq_again *again;
	unsigned again_count, again_next;
};

/**
 * struct virtq_chain - one request: buffers that the driver made available
 * @head: its name, below the queue's size: index of its first descriptor
 *	(split) or buffer id (packed)
 * @iov: @out_count readable vectors, then @in_count writable ones, in guest
 *	RAM, which the guest may change at any time; virtq.iov, so valid until
 *	the next pop
 * @out_bytes, @in_bytes: sums, each below 2^32
 */
struct virtq_chain {
	uint16_t head;
	struct iovec *iov;
	unsigned out_count, in_count;
	uint64_t out_bytes, in_bytes;
};

/**
 * virtq_init - a disabled queue
 * @size_max: a power of two up to VIRTQ_SIZE_MAX
 *
 * Return: 0 or -ENOMEM.
 */
int virtq_init(struct virtq *q, const struct guest_ram *ram, uint16_t size_max,
	       struct diag *d);

/** virtq_release - accepts a zeroed queue */
void virtq_release(struct virtq *q);

/** virtq_reset - disabled, nothing in flight, not broken */
void virtq_reset(struct virtq *q);

/** virtq_size_ok - can a queue of at most @size_max entries have @size? */
bool virtq_size_ok(uint16_t size, uint16_t size_max, bool packed);

/**
 * virtq_enable - latch @at and start taking buffers
 * @has: what was negotiated
 *
 * Return: 0, or -EINVAL: @at is misaligned, too long or not RAM; the queue
 * stays disabled and virtq.broken says why.
 */
int virtq_enable(struct virtq *q, const struct virtq_layout *at,
		 struct virtq_features has);

/**
 * virtq_pop - take the next request
 * @chain: receives it
 *
 * Return: 1; 0 if there is none or the queue is disabled; -EPROTO if the
 * queue is broken (virtq.broken says why).
 */
int virtq_pop(struct virtq *q, struct virtq_chain *chain);

/** virtq_undo - put the request popped last back, as if never popped */
void virtq_undo(struct virtq *q, const struct virtq_chain *chain);

/**
 * virtq_push - give a request back to the driver
 * @head: of a chain that is in flight; others are ignored (the queue was reset
 *	in the meantime)
 * @written: bytes written into its writable vectors
 *
 * Requests may be given back in any order.
 */
void virtq_push(struct virtq *q, uint16_t head, uint32_t written);

/** struct virtq_used - a request for virtq_push_all(); as in virtq_push() */
struct virtq_used {
	uint16_t head;
	uint32_t written;
};

/** virtq_push_all - virtq_push() of @count requests, of which the driver sees
 * all or none: a packet in several buffers (VIRTIO 1.3 sec. 5.1.6.4.1) */
void virtq_push_all(struct virtq *q, const struct virtq_used *used,
		    unsigned count);

/** virtq_signal - true if the driver wants an interrupt for what was pushed
 * since the last call */
bool virtq_signal(struct virtq *q);

/**
 * virtq_wait - ask the driver to notify about its next request
 * Return: true if there are requests already: pop again.
 */
bool virtq_wait(struct virtq *q);

/**
 * virtq_base_get, virtq_base_set - where the rings are, for somebody else who
 * runs them: vhost and vhost-user (GET_VRING_BASE and SET_VRING_BASE)
 * @q: enabled, nothing in flight
 *
 * A base is, for a split ring, the available index (bits 0-15); for a packed
 * one, the available index (0-14), its wrap counter (15), the used index
 * (16-30) and its wrap counter (31): vhost-user protocol, "A vring state
 * description". The kernel's vhost takes and gives the same numbers.
 *
 * As nothing is in flight, everything that is available up to there was used:
 * virtq_base_set() lets the device go on behind it. The next virtq_signal()
 * does not speak of what somebody else used.
 *
 * Return: virtq_base_set(): 0 or -EINVAL: no such position, or (packed) the
 * two differ; the queue is unchanged.
 */
uint32_t virtq_base_get(const struct virtq *q);
int virtq_base_set(struct virtq *q, uint32_t base);

/** virtq_save - nothing may be in flight */
void virtq_save(const struct virtq *q, struct stream_out *out);

/** virtq_load - the mirror, for a queue in reset state; checks like
 * virtq_enable(). Return: 0 or -EBADMSG, then the queue is unchanged. */
int virtq_load(struct virtq *q, struct stream_in *in);

#endif
