/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: virtio-blk: what the machine can ask of a disk, and its inner seam
 *
 *	blk.c         the device: features, configuration, image, threads
 *	blk-queue.c   requests of one queue
 *
 * Threads: virtio_blk_resize() and virtio_blk_set_rate() on the main thread.
 * A struct blk_queue belongs to its I/O thread, under the queue's lock.
 */
#ifndef DEVICES_VIRTIO_BLK_H
#define DEVICES_VIRTIO_BLK_H

#include "vmm/iothread.h"
#include "vmm/token-bucket.h"

#include "devices/block/block.h"
#include "devices/virtio/virtio.h"

/* VIRTIO 1.3 sec. 5.2.3 */
#define VIRTIO_BLK_F_SEG_MAX	  (1ULL << 2)
#define VIRTIO_BLK_F_RO		  (1ULL << 5)
#define VIRTIO_BLK_F_BLK_SIZE	  (1ULL << 6)
#define VIRTIO_BLK_F_FLUSH	  (1ULL << 9)
#define VIRTIO_BLK_F_TOPOLOGY	  (1ULL << 10)
#define VIRTIO_BLK_F_CONFIG_WCE	  (1ULL << 11)
#define VIRTIO_BLK_F_MQ		  (1ULL << 12)
#define VIRTIO_BLK_F_DISCARD	  (1ULL << 13)
#define VIRTIO_BLK_F_WRITE_ZEROES (1ULL << 14)

#define VIRTIO_BLK_ID_BYTES 20 /* VIRTIO 1.3 sec. 5.2.6 */

/* Longest BLOCK_ZERO: where zeros must be written, a reset waits for it. */
#define VIRTIO_BLK_ZERO_SECTORS	   (MIB(128) / BLOCK_SECTOR_BYTES)
#define VIRTIO_BLK_DISCARD_SECTORS (GIB(4) / BLOCK_SECTOR_BYTES)

struct blk;
struct blk_request;

/**
 * struct blk_queue - one queue
 * @request: as many as the queue can have entries; @free: those not in use
 * @door: to the image
 * @limited: waiting for @timer, because a rate limit said so
 */
struct blk_queue {
	struct blk *blk;
	unsigned index;
	struct iothread *thread;
	struct block_queue *door;
	struct blk_request *request, *free;
	struct event_timer timer;
	bool limited;
};

/**
 * struct blk - a disk
 * @image: NULL while the machine is only described (spandrel tables)
 * @serial: for GET_ID, padded with zeros
 * @limit: @own, or the group's
 * @write_back: the configuration's writeback
 * @write_through: each write is made durable before it is done
 * @host_errors: counted, one is logged
 */
struct blk {
	struct virtio_device vd;
	const struct disk_config *cfg;
	struct block *image;
	char serial[VIRTIO_BLK_ID_BYTES];
	struct blk_queue *queue;
	struct rate_limiter own, *limit;
	atomic_bool write_back, write_through;
	atomic_uint host_errors;
};

/**
 * virtio_blk_resize - give the disk another size and tell the driver
 * @dev: a device of virtio_blk_class
 *
 * Return: 0 or -errno as block_resize().
 */
int virtio_blk_resize(struct device *dev, uint64_t bytes, struct diag *d);

/**
 * virtio_blk_set_rate - other rate limits from now on
 * @rate: as on the command line; all 0: none
 *
 * Return: 0, or -EINVAL: not a limit, or the disk is in a group.
 */
int virtio_blk_set_rate(struct device *dev, const struct rate_config *rate,
			struct diag *d);

/** blk_queue_open - thread, door and requests of queue @index; 0 or -errno */
int blk_queue_open(struct blk *blk, unsigned index, struct diag *d);

/** blk_queue_close - the mirror; nothing is in flight; accepts a half-opened
 * queue */
void blk_queue_close(struct blk_queue *q);

/** blk_notify, blk_stop - hooks of struct virtio_class */
void blk_notify(struct virtio_device *vd, unsigned queue);
void blk_stop(struct virtio_device *vd, unsigned queue);

#endif
