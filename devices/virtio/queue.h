/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: virtqueues, the device's side
 *
 * Spec: VIRTIO 1.3 sec. 2.6 and 2.7 (split ring), with indirect descriptors
 * (2.7.5.3), used and available event (2.7.10) and ring reset (2.6.1). A
 * packed ring (2.8) would hide behind the same functions.
 *
 * The guest's memory is hostile. Ring addresses are latched and checked when
 * the queue is enabled; each descriptor is copied once and the copy is used;
 * indexes are single 16-bit atomic accesses; a chain has at most as many
 * descriptors as the queue has entries, readable ones first, all in RAM; a
 * head that is still in flight is refused. Whatever breaks these rules makes
 * the queue "broken": nothing more is taken from it until it is reset.
 *
 * Threads: one at a time; the owner (struct virtio_device.lock) serialises.
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
 * @size: entries; a power of two
 * @desc: descriptor table, 16-byte aligned
 * @driver: available ring, 2-byte aligned
 * @device: used ring, 4-byte aligned
 */
struct virtq_layout {
	uint16_t size;
	gpa_t desc, driver, device;
};

/**
 * struct virtq - one queue
 * @size_max: most entries it can have
 * @at: latched when enabled; never reread from registers
 * @event_idx, @indirect: negotiated features
 * @enabled: taking buffers
 * @broken: why it does not any more, or NULL
 * @avail_next: next entry of the available ring
 * @used_next: next entry of the used ring
 * @signalled: @used_next when the driver was last interrupted
 * @in_flight: one bit per head that was popped and not pushed;
 *	@in_flight_count of them
 * @iov: I/O vectors of the chain popped last, @size_max of them
 */
struct virtq {
	const struct guest_ram *ram;
	uint16_t size_max;
	struct virtq_layout at;
	bool event_idx, indirect;
	bool enabled;
	const char *broken;
	uint16_t avail_next, used_next, signalled;
	unsigned in_flight_count;
	uint64_t *in_flight;
	struct iovec *iov;
};

/**
 * struct virtq_chain - one request: buffers that the driver made available
 * @head: its name
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

/**
 * virtq_enable - latch @at and start taking buffers
 *
 * Return: 0, or -EINVAL: @at is misaligned, too long or not RAM; the queue
 * stays disabled and virtq.broken says why.
 */
int virtq_enable(struct virtq *q, const struct virtq_layout *at, bool event_idx,
		 bool indirect);

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

/** virtq_signal - true if the driver wants an interrupt for what was pushed
 * since the last call */
bool virtq_signal(struct virtq *q);

/**
 * virtq_wait - ask the driver to notify about its next request
 * Return: true if there are requests already: pop again.
 */
bool virtq_wait(struct virtq *q);

/** virtq_save - nothing may be in flight */
void virtq_save(const struct virtq *q, struct stream_out *out);

/** virtq_load - the mirror, for a queue in reset state; checks like
 * virtq_enable(). Return: 0 or -EBADMSG, then the queue is unchanged. */
int virtq_load(struct virtq *q, struct stream_in *in);

#endif
