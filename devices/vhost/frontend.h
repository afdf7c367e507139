/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: vhost-user front end: the conversation with a back end
 *
 * What a VMM says to a program that serves a device of its guest (virtiofsd,
 * qemu-storage-daemon, passt, DPDK, `spandrel device`). Here is the protocol
 * only; devices/virtio/vhost-user.c makes a device of it.
 *
 * Each request that has a reply, and with REPLY_ACK each other one too, is
 * waited for, REPLY_MS at most. The back end is not trusted: replies are
 * checked like everything else that comes over a socket, and it gets guest RAM
 * and eventfds, nothing else.
 *
 * Threads: one at a time; the owner serialises.
 */
#ifndef DEVICES_VHOST_FRONTEND_H
#define DEVICES_VHOST_FRONTEND_H

#include "vmm/memory.h"

#include "devices/vhost/vhost-user-msg.h"

/* Longest wait for a reply: a disk that flushes may take its time. */
#define VHOST_REPLY_MS 10000

/**
 * struct vhost_frontend - a back end, connected or not
 * @who: option in messages: "--fs tag=work"; the caller's
 * @path: socket, for messages; the caller's
 * @fd: -1: not connected
 * @replies: of @fd
 * @request: our end of the socket for the back end's requests, -1: none
 * @requests: of @request
 * @features, @protocol: what the back end offers; what is used of its protocol
 * @queues_max: with VU_P_MQ, else 0: unknown
 * @slots_max: regions of memory that it can take
 * @inflight_fd, @inflight: memory of requests in flight, kept while the back
 *	end is away; -1: none
 */
struct vhost_frontend {
	const char *who, *path;
	int fd;
	struct vu_channel replies;
	int request;
	struct vu_channel requests;
	uint64_t features, protocol;
	uint64_t queues_max, slots_max;
	int inflight_fd;
	struct vu_inflight inflight;
};

/** struct vhost_ring - one queue, as the back end is told of it; @broken: the
 * eventfd by which it says that the driver breaks rules; @idle: it shall not be
 * processed until vhost_frontend_enable() */
struct vhost_ring {
	uint32_t size, base;
	const void *desc, *avail, *used;
	int kick, call, broken;
	bool idle;
};

/** vhost_frontend_init - not connected */
void vhost_frontend_init(struct vhost_frontend *vf, const char *who,
			 const char *path);

/** vhost_frontend_close - disconnect; what is in flight stays remembered */
void vhost_frontend_close(struct vhost_frontend *vf);

/** vhost_frontend_release - disconnect and forget */
void vhost_frontend_release(struct vhost_frontend *vf);

/**
 * vhost_frontend_greet - find out what the back end can do
 * @fd: connected socket; taken over, also on failure
 * @want: protocol features to use if it has them
 *
 * Return: 0, -ETIMEDOUT (it never answers), -EPROTO, or -errno; then the
 * connection is closed and @d names it.
 */
int vhost_frontend_greet(struct vhost_frontend *vf, int fd, uint64_t want,
			 struct diag *d);

/** vhost_frontend_take - go on with a back end that @greeted, which is of no
 * more use, has found; @vf is not connected, and keeps what is in flight */
void vhost_frontend_take(struct vhost_frontend *vf,
			 const struct vhost_frontend *greeted);

/** vhost_frontend_features - the driver's features, with
 * VU_F_PROTOCOL_FEATURES if the back end has it */
int vhost_frontend_features(struct vhost_frontend *vf, uint64_t features,
			    struct diag *d);

/**
 * vhost_frontend_memory - tell it where guest RAM is
 *
 * Return: 0; -EINVAL: RAM is not shared, or in more regions than it can take;
 * or as the other functions.
 */
int vhost_frontend_memory(struct vhost_frontend *vf,
			  const struct guest_ram *ram, struct diag *d);

/** vhost_frontend_check - could guest RAM be told to the back end? As
 * vhost_frontend_memory(): 0 or -EINVAL */
int vhost_frontend_check(const struct vhost_frontend *vf,
			 const struct guest_ram *ram, struct diag *d);

/** vhost_frontend_inflight - let it remember what is in flight of @queues
 * queues of @size entries: in new memory the first time, in the same after
 * that. Nothing happens where it cannot. */
int vhost_frontend_inflight(struct vhost_frontend *vf, uint16_t queues,
			    uint16_t size, struct diag *d);

/**
 * vhost_frontend_place - where a packed ring was when its back end went away,
 *	says the memory of requests in flight
 * @base: receives it, as vhost_frontend_stop() would; untouched if the ring was
 *	not used yet; a guess if the back end died while it gave requests back,
 *	which its successor knows better
 *
 * Return: true, or false: there is no such memory, or it is damaged.
 */
bool vhost_frontend_place(const struct vhost_frontend *vf, unsigned index,
			  uint16_t size, uint32_t *base);

/** vhost_frontend_drop - the driver has begun queue @index anew: what was in
 * flight of it does not matter any more, nor where it was. Of the others it
 * does. @index is not started, or the back end is away. */
void vhost_frontend_drop(const struct vhost_frontend *vf, unsigned index);

/** vhost_frontend_forget - what was in flight does not matter any more */
void vhost_frontend_forget(struct vhost_frontend *vf);

/** vhost_frontend_size - may queue @index have @size entries? It cannot say so
 * without REPLY_ACK; then 0. @index is not started. */
int vhost_frontend_size(struct vhost_frontend *vf, unsigned index,
			uint16_t size, struct diag *d);

/** vhost_frontend_start - let queue @index run, or get ready to */
int vhost_frontend_start(struct vhost_frontend *vf, unsigned index,
			 const struct vhost_ring *ring, struct diag *d);

/** vhost_frontend_stop - let it end what is in flight; @base: where the ring
 * is then */
int vhost_frontend_stop(struct vhost_frontend *vf, unsigned index,
			uint32_t *base, struct diag *d);

/** vhost_frontend_call - another eventfd for the interrupt of a queue */
int vhost_frontend_call(struct vhost_frontend *vf, unsigned index, int call,
			struct diag *d);

/** vhost_frontend_enable - process the queue or, without stopping it, not */
int vhost_frontend_enable(struct vhost_frontend *vf, unsigned index, bool on,
			  struct diag *d);

/** vhost_frontend_config - read @len bytes of configuration, at most
 * VU_CONFIG_MAX; -EOPNOTSUPP: it has no VU_P_CONFIG */
int vhost_frontend_config(struct vhost_frontend *vf, void *to, unsigned len,
			  struct diag *d);

/** vhost_frontend_set_config - the driver wrote */
int vhost_frontend_set_config(struct vhost_frontend *vf, unsigned offset,
			      const void *data, unsigned len, struct diag *d);

/** vhost_frontend_status - enum virtio_status; nothing without VU_P_STATUS */
int vhost_frontend_status(struct vhost_frontend *vf, uint8_t status,
			  struct diag *d);

/** vhost_frontend_reset - RESET_DEVICE, for those that have it */
int vhost_frontend_reset(struct vhost_frontend *vf, struct diag *d);

/**
 * vhost_frontend_poll - what came while nobody waited for a reply
 * @changed: set if the configuration changed
 *
 * Return: 0, -ECONNRESET: the back end has gone, or -EPROTO.
 */
int vhost_frontend_poll(struct vhost_frontend *vf, bool *changed,
			struct diag *d);

#endif
