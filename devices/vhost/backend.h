/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: a virtio device served to another VMM: vhost-user back end
 *
 * The same device code as in a machine, with a transport of its own: where
 * virtio-pci has registers, this has messages (vhost-user-msg.h) from a front
 * end: QEMU, Cloud Hypervisor, libblkio, DPDK's virtio-user, Spandrel.
 * Guest RAM is what the front end sends; device_env.ram starts empty.
 *
 *	SET_FEATURES                    status up to FEATURES_OK
 *	SET_MEM_TABLE, ADD_MEM_REG      device_env.ram; user addresses become
 *	                                guest-physical ones
 *	SET_VRING_NUM, ADDR, BASE       what a queue's registers would hold
 *	SET_VRING_KICK, CALL, ERR       doorbell, interrupt, "needs reset"
 *	SET_VRING_ENABLE                with all of the above: the ring runs
 *	GET_VRING_BASE                  the ring stops, nothing is in flight
 *	GET_INFLIGHT_FD, SET_...        memory that outlives this process, see
 *	                                devices/virtio/queue-track.h
 *
 * The interrupt may be a socket, as that of Linux' virtio_uml is; kicks are
 * eventfds.
 *
 * One front end at a time; when it goes, the device is reset, its memory is
 * forgotten, and the next one is waited for.
 *
 * The front end is hostile, as a guest is: what it sends wrong is answered
 * with an error where it asked for an answer (REPLY_ACK), and ends the
 * connection where it did not. Memory that ends earlier than it says is
 * refused.
 *
 * Threads: messages on device_env.loop; kicks on the loops of the queues.
 * Interrupts and configuration changes from any thread.
 *
 * Not implemented: dirty logging (live migration of the front end), IOTLB,
 * polling without a kick descriptor, in-band notifications.
 */
#ifndef DEVICES_VHOST_BACKEND_H
#define DEVICES_VHOST_BACKEND_H

#include "devices/virtio/virtio.h"

/** virtio_vhost_user - for device_env.transport */
extern const struct virtio_transport virtio_vhost_user;

/**
 * vhost_backend_listen - wait for front ends
 * @dev: a virtio device on virtio_vhost_user
 * @fd: listening UNIX socket; stays the caller's, open as long as @dev lives
 *
 * Return: 0 or -errno and @d.
 */
int vhost_backend_listen(struct device *dev, int fd, struct diag *d);

/**
 * vhost_backend_attach - serve the front end at the other end of @fd
 * @fd: connected UNIX stream socket; taken over on success
 *
 * Return: 0, -EBUSY (there is one), or -errno and @d.
 */
int vhost_backend_attach(struct device *dev, int fd, struct diag *d);

/** vhost_backend_on_end - call @ended(@opaque) on the loop whenever a front
 * end has gone; NULL: nobody */
void vhost_backend_on_end(struct device *dev, void (*ended)(void *opaque),
			  void *opaque);

#endif
