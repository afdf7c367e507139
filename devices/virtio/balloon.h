/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: what the machine does with its balloon, see balloon.c
 *
 * Threads: all functions on the main thread.
 */
#ifndef DEVICES_VIRTIO_BALLOON_H
#define DEVICES_VIRTIO_BALLOON_H

#include "devices/device.h"

/** BALLOON_STATS - tags of VIRTIO 1.3 sec. 5.5.6.4, from
 * VIRTIO_BALLOON_S_SWAP_IN (0) to VIRTIO_BALLOON_S_HTLB_PGFAIL (9), and Linux'
 * own from OOM_KILL (10) to DIRECT_RECLAIM (15) */
#define BALLOON_STATS 16

/**
 * struct balloon_stats - what the guest's driver last said about its memory
 * @known: bit n: @value[n] was reported
 * @value: by tag; bytes or counts
 */
struct balloon_stats {
	uint32_t known;
	uint64_t value[BALLOON_STATS];
};

/**
 * struct balloon_hints - who wants to know which pages are free
 * @free: [@gpa, @gpa + @len) was free when the driver said so; it may be in
 *	use again, and the device does not touch it
 * @end: the driver has named all it has
 */
struct balloon_hints {
	void (*free)(void *opaque, gpa_t gpa, uint64_t len);
	void (*end)(void *opaque);
	void *opaque;
};

/**
 * virtio_balloon_resize - ask the driver for a balloon of @bytes
 * @bytes: rounded down to pages of 4 KiB
 *
 * The driver takes its time, and may never get there.
 *
 * Return: 0, or -EINVAL: more than the machine has RAM.
 */
int virtio_balloon_resize(struct device *dev, uint64_t bytes, struct diag *d);

/** virtio_balloon_actual - bytes that the driver says are in the balloon */
uint64_t virtio_balloon_actual(struct device *dev);

/**
 * virtio_balloon_stats - the statistics that came last
 *
 * Also asks the driver for new ones, so call it twice with time between.
 *
 * Return: false if none have come, then @out is untouched.
 */
bool virtio_balloon_stats(struct device *dev, struct balloon_stats *out);

/**
 * virtio_balloon_hint_start - ask the driver which pages are free
 * @hints: called on the event loop from now until virtio_balloon_hint_stop(),
 *	with the device locked; copied
 *
 * Return: 0, or -ENOTSUP: no driver, or it cannot say.
 */
int virtio_balloon_hint_start(struct device *dev,
			      const struct balloon_hints *hints);

/** virtio_balloon_hint_stop - no more hints; the driver may use those pages
 * again. Also after loading a machine that was saved in between. */
void virtio_balloon_hint_stop(struct device *dev);

#endif
