/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: what every virtqueue must do, whatever the device
 *
 * A payload says how one harmless request of its device looks; exercise()
 * then tests the queue with both ring formats: completion, interrupts and
 * doorbells and their suppression, indirect descriptors, wrap-around, queue
 * and device reset with requests in flight, and everything that a hostile
 * driver can put into a ring.
 */
#ifndef TESTS_GUESTS_EXERCISE_H
#define TESTS_GUESTS_EXERCISE_H

#include "virtio.h"

#define EXERCISE_BUFS 4

/** struct exercise - one device
 * @id: its type
 * @queue: the queue that takes @request
 * @features: device-specific ones to accept
 * @out, @in: readable and writable buffers of a request, at most
 *	EXERCISE_BUFS, each of which the device looks at
 * @request: fill in @bufs; memory from ram_alloc()
 * @check: is the request done well? NULL: always
 * @started: after virtio_start() and vring_make() of @queue: other queues;
 *	may be NULL */
struct exercise {
	unsigned id, queue;
	uint64_t features;
	unsigned out, in;
	void (*request)(struct vbuf *bufs);
	bool (*check)(const struct vbuf *bufs, uint32_t written);
	void (*started)(struct virtio *v);
};

/** exercise - all of it, with TAP lines */
void exercise(const struct exercise *e);

/** exercise_restart - the device and its ring anew, with those of @features
 * that are offered; false: refused */
bool exercise_restart(const struct exercise *e, struct virtio *v,
		      struct vring *r, uint64_t features);

#endif
