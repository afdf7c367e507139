/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: shared memory that remembers what a vhost-user back end has in flight
 *
 * Spec: vhost-user, "Inflight I/O tracking". The back end makes a memfd, the
 * front end keeps it and hands it to the next back end when one dies. One
 * region for each queue; what is in it is devices/virtio/queue-track.h's.
 *
 * Threads: the main loop; regions are used by their queues' threads between
 * the start and the stop of the queue.
 *
 * The memory is for the ring format that was negotiated when it was made.
 */
#ifndef DEVICES_VHOST_INFLIGHT_H
#define DEVICES_VHOST_INFLIGHT_H

#include "vmm/file-map.h"

#include "devices/vhost/vhost-user-msg.h"

/** struct inflight - the mapped memory; @map NULL: none; @watch: it may be cut
 * short */
struct inflight {
	uint8_t *map;
	size_t map_bytes;
	struct file_map *watch;
	unsigned queue_count;
	uint16_t queue_size;
	bool packed;
};

/** inflight_new - memory for @desc's queues: a memfd that nobody can shrink
 *
 * Return: the descriptor, and @desc's sizes are set; -EINVAL: no such number
 * of queues or entries; or -errno. */
int inflight_new(struct vu_inflight *desc, unsigned queues_max, bool packed,
		 struct diag *d);

/**
 * inflight_map - use the memory that the front end has kept
 * @fl: receives it; what it held before is unmapped
 * @desc: what the front end says of it
 * @fd: stays the caller's
 *
 * Return: 0, -EINVAL: too small for what it is said to hold; or -errno.
 */
int inflight_map(struct inflight *fl, const struct vu_inflight *desc, int fd,
		 unsigned queues_max, bool packed, struct diag *d);

/** inflight_release - unmap; accepts a zeroed one */
void inflight_release(struct inflight *fl);

/** inflight_region - the memory of one queue, of @size entries at least; NULL:
 * there is none, or for the other format */
void *inflight_region(const struct inflight *fl, unsigned queue, uint16_t size,
		      bool packed);

#endif
