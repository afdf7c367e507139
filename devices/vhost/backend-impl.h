/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: what the files of the vhost-user back end share; nobody else includes it
 *
 *	backend.c          connections, the virtio transport
 *	backend-request.c  what each message does
 *	backend-ring.c     guest RAM, rings, descriptors
 *
 * Everything runs on device_env.loop unless it says otherwise.
 */
#ifndef DEVICES_VHOST_BACKEND_IMPL_H
#define DEVICES_VHOST_BACKEND_IMPL_H

#include "devices/vhost/backend.h"
#include "devices/vhost/inflight.h"
#include "devices/vhost/vhost-user-msg.h"

/**
 * struct vring - what the front end has said about one queue
 * @base: where the ring is, when it does not run
 * @kick: watched on the queue's loop while @has_kick
 * @call, @err: eventfds; always open, of nobody's unless the front end sent one
 * @call_is_socket: what it sent is a socket; changed with the queue locked
 * @has_num, @has_addr, @has_kick: it has said so
 * @enabled: it wants the ring to be processed
 * @running: it is
 */
struct vring {
	struct vhost_backend *be;
	unsigned index;
	uint32_t num, base;
	struct vu_vring_addr addr;
	struct event_source kick;
	int call, err;
	bool call_is_socket;
	bool has_num, has_addr, has_kick, enabled, running;
};

/**
 * struct vhost_backend - the transport's state
 * @listener, @front: sockets; fd -1 when there is none
 * @region: guest RAM as the front end sees it, @region_count of them
 * @features: negotiated, with VU_F_PROTOCOL_FEATURES; 0: none yet
 * @protocol: protocol features likewise
 * @request: socket for our requests, always open like vring.call;
 *	@can_request if it is the front end's
 * @faults: connections that ended with a fault
 */
struct vhost_backend {
	struct virtio_device *vd;
	struct event_source listener, front;
	struct vu_channel channel;
	uint64_t features, protocol;
	struct vu_region region[RAM_REGIONS_MAX];
	unsigned region_count;
	struct vring *ring;
	struct inflight inflight;
	int request;
	atomic_bool can_request;
	unsigned faults;
	void (*ended)(void *opaque);
	void *opaque;
};

/** backend_slot_new - a descriptor number that is signalled from any thread: an
 * eventfd that nobody reads, to begin with; -1 and errno */
int backend_slot_new(void);

/** backend_slot_set - let @slot stand for @fd, which is closed; -1: for
 * nobody's again. Return: 0 or -errno */
int backend_slot_set(int slot, int fd);

/** backend_signal - add one to an eventfd; any thread */
void backend_signal(int fd);

/** backend_call_set - let the call of @r stand for @fd, an eventfd or a socket,
 * as backend_slot_set() does */
int backend_call_set(struct vring *r, int fd, bool is_socket);

/** backend_call - tell the front end of used buffers, without waiting; the
 * queue is locked or the caller on device_env.loop */
void backend_call(const struct vring *r);

/** backend_region_add - map a piece of guest RAM; takes @fd over, also on
 * failure; no ring runs. Return: 0 or -errno and @d */
int backend_region_add(struct vhost_backend *be, const struct vu_region *r,
		       int fd, struct diag *d);

/** backend_region_remove - unmap the @index-th; no ring runs */
void backend_region_remove(struct vhost_backend *be, unsigned index);

/** backend_regions_clear - unmap all; no ring runs */
void backend_regions_clear(struct vhost_backend *be);

/** backend_ring - the ring that a message is about; NULL and @d: none */
struct vring *backend_ring(struct vhost_backend *be, uint64_t index,
			   struct diag *d);

/** backend_ring_stopped - likewise, one that does not run */
struct vring *backend_ring_stopped(struct vhost_backend *be, uint32_t index,
				   struct diag *d);

/** backend_kick_watch - take kicks from @fd, which is taken over on success.
 * Return: 0 or -errno */
int backend_kick_watch(struct vring *r, int fd);

/** backend_kick_unwatch - and close it; does nothing if there is none */
void backend_kick_unwatch(struct vring *r);

/** backend_ring_update - run the ring or not, as the front end wants it by now.
 * Return: 0, or -errno and @d: it does not run */
int backend_ring_update(struct vhost_backend *be, struct vring *r,
			struct diag *d);

/** backend_rings_update - all of them, until one fails */
int backend_rings_update(struct vhost_backend *be, struct diag *d);

/** backend_rings_stop - stop all, for as long as nobody updates them */
void backend_rings_stop(struct vhost_backend *be);

/** backend_ring_forget - as if the front end had said nothing of it */
void backend_ring_forget(struct vring *r);

/** backend_device_reset - the device in its first state, no ring runs */
void backend_device_reset(struct vhost_backend *be);

/** backend_handle - do what @msg says, and answer. Return: 0, or -errno and @d:
 * the connection is to end */
int backend_handle(struct vhost_backend *be, struct vu_msg *msg,
		   struct diag *d);

#endif
