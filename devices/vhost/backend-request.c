/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: vhost-user back end: what each message does
 *
 * One function for each request, one const table. What a front end may not do
 * is an error with a sentence; backend_handle() makes an answer of it, or the
 * end of the connection.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/log.h"

#include "devices/vhost/backend-impl.h"

#define PROTOCOL                                                           \
	(VU_P_MQ | VU_P_REPLY_ACK | VU_P_BACKEND_REQ | VU_P_CONFIG |       \
	 VU_P_INFLIGHT_SHMFD | VU_P_RESET_DEVICE | VU_P_CONFIG_MEM_SLOTS | \
	 VU_P_STATUS)

/* What a front end may negotiate: not what needs it to translate addresses. */
#define NOT_OFFERED VIRTIO_F_ACCESS_PLATFORM

/* ---- requests ----------------------------------------------------------- */

/* Each is called with the message and, for those that have a reply, with a
 * reply whose payload it fills. */
#define REQUEST(name)                                                 \
	static int name(struct vhost_backend *be, struct vu_msg *msg, \
			struct vu_msg *reply, struct diag *d)

REQUEST(get_features)
{
	(void)msg;
	(void)d;
	reply->u64 = (be->vd->offered & ~NOT_OFFERED) | VU_F_PROTOCOL_FEATURES;
	return 0;
}

/* The device as it is when a driver has negotiated @features. */
static int negotiate(struct vhost_backend *be, uint64_t features)
{
	struct virtio_device *vd = be->vd;
	bool ok;

	pthread_mutex_lock(&vd->lock);
	virtio_set_status(vd, 0);
	virtio_set_status(vd, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER);
	vd->driver_word = 0;
	virtio_accept(vd, (uint32_t)features);
	vd->driver_word = 1;
	virtio_accept(vd, (uint32_t)(features >> 32));
	virtio_set_status(vd, vd->status | VIRTIO_FEATURES_OK);
	ok = vd->status & VIRTIO_FEATURES_OK;
	pthread_mutex_unlock(&vd->lock);
	return ok ? 0 : -EINVAL;
}

REQUEST(set_features)
{
	uint64_t offered = be->vd->offered & ~NOT_OFFERED;

	(void)reply;
	if (msg->u64 == be->features)
		return 0;
	for (unsigned i = 0; i < be->vd->queue_count; i++)
		if (be->ring[i].running)
			return diag_fail(d, EBUSY,
					 "features change while ring %u runs",
					 i);
	be->features = 0;
	if (msg->u64 & ~(offered | VU_F_PROTOCOL_FEATURES))
		return diag_fail(d, EINVAL, "features 0x%llx are not offered",
				 (unsigned long long)(msg->u64 & ~offered));
	if (!(msg->u64 & VIRTIO_F_VERSION_1))
		return diag_fail(d, EINVAL,
				 "a driver older than virtio 1.0 (without "
				 "VIRTIO_F_VERSION_1) is not served");
	if (negotiate(be, msg->u64 & ~VU_F_PROTOCOL_FEATURES))
		return diag_fail(d, EINVAL,
				 "the device refuses features 0x%llx",
				 (unsigned long long)msg->u64);
	be->features = msg->u64;
	/* Without the extension rings are enabled from the beginning. */
	if (!(msg->u64 & VU_F_PROTOCOL_FEATURES))
		for (unsigned i = 0; i < be->vd->queue_count; i++)
			be->ring[i].enabled = true;
	return backend_rings_update(be, d);
}

REQUEST(get_protocol_features)
{
	(void)be;
	(void)msg;
	(void)d;
	reply->u64 = PROTOCOL;
	return 0;
}

REQUEST(set_protocol_features)
{
	(void)reply;
	if (msg->u64 & ~PROTOCOL)
		return diag_fail(d, EINVAL,
				 "protocol features 0x%llx are not offered",
				 (unsigned long long)(msg->u64 & ~PROTOCOL));
	be->protocol = msg->u64;
	return 0;
}

REQUEST(set_owner)
{
	(void)be;
	(void)msg;
	(void)reply;
	(void)d;
	return 0;
}

/* Deprecated; the spec says to disable all rings. */
REQUEST(reset_owner)
{
	(void)msg;
	(void)reply;
	(void)d;
	backend_rings_stop(be);
	for (unsigned i = 0; i < be->vd->queue_count; i++)
		be->ring[i].enabled = false;
	return 0;
}

REQUEST(set_mem_table)
{
	const struct vu_memory *m = &msg->memory;
	int err = 0;

	(void)reply;
	if (m->count > VU_REGIONS_MAX || m->count != msg->fd_count ||
	    msg->header.size_bytes <
		    offsetof(struct vu_memory, region) +
			    m->count * sizeof(struct vu_region))
		return diag_fail(d, EINVAL,
				 "a table of %u memory regions with %u "
				 "descriptors in %u bytes",
				 m->count, msg->fd_count,
				 msg->header.size_bytes);
	backend_rings_stop(be);
	backend_regions_clear(be);
	for (unsigned i = 0; i < m->count && !err; i++)
		err = backend_region_add(be, &m->region[i], vu_take_fd(msg, i),
					 d);
	if (err) {
		backend_regions_clear(be);
		return err;
	}
	return backend_rings_update(be, d);
}

REQUEST(get_max_mem_slots)
{
	(void)be;
	(void)msg;
	(void)d;
	reply->u64 = RAM_REGIONS_MAX;
	return 0;
}

REQUEST(add_mem_reg)
{
	int err;

	(void)reply;
	backend_rings_stop(be);
	err = backend_region_add(be, &msg->one.region, vu_take_fd(msg, 0), d);
	return err ? err : backend_rings_update(be, d);
}

REQUEST(rem_mem_reg)
{
	const struct vu_region *want = &msg->one.region;

	(void)reply;
	for (unsigned i = 0; i < be->region_count; i++) {
		const struct vu_region *r = &be->region[i];

		if (r->gpa != want->gpa || r->user != want->user ||
		    r->size_bytes != want->size_bytes)
			continue;
		backend_rings_stop(be);
		backend_region_remove(be, i);
		return backend_rings_update(be, d);
	}
	return diag_fail(d, ENOENT, "there is no such memory region");
}

REQUEST(set_vring_num)
{
	struct vring *r = backend_ring_stopped(be, msg->state.index, d);

	(void)reply;
	if (!r)
		return -EINVAL;
	if (!msg->state.num ||
	    msg->state.num > be->vd->queue[r->index].ring.size_max)
		return diag_fail(d, EINVAL,
				 "ring %u of %u entries; 1 to %u are possible",
				 r->index, msg->state.num,
				 be->vd->queue[r->index].ring.size_max);
	r->num = msg->state.num;
	r->has_num = true;
	return backend_ring_update(be, r, d);
}

/* Sent again while the ring runs to turn its logging on or off. */
REQUEST(set_vring_addr)
{
	const struct vu_vring_addr *a = &msg->addr;
	struct vring *r = backend_ring(be, a->index, d);

	(void)reply;
	if (r && r->running && a->desc == r->addr.desc &&
	    a->avail == r->addr.avail && a->used == r->addr.used)
		return 0;
	r = r ? backend_ring_stopped(be, a->index, d) : NULL;
	if (!r)
		return -EINVAL;
	r->addr = *a;
	r->has_addr = true;
	return backend_ring_update(be, r, d);
}

REQUEST(set_vring_base)
{
	struct vring *r = backend_ring_stopped(be, msg->state.index, d);

	(void)reply;
	if (!r)
		return -EINVAL;
	r->base = msg->state.num;
	return 0;
}

REQUEST(get_vring_base)
{
	struct vring *r = backend_ring(be, msg->state.index, d);
	int err;

	if (!r)
		return -EINVAL;
	backend_kick_unwatch(r);
	err = backend_ring_update(be, r, d);
	reply->state.index = r->index;
	reply->state.num = r->base;
	return err;
}

/* An eventfd or the like: writing 8 bytes to it does not wait for a reader, as
 * with a pipe. */
static bool is_event(int fd)
{
	struct stat st;

	return !fstat(fd, &st) && !(st.st_mode & S_IFMT);
}

static bool is_socket(int fd)
{
	struct stat st;

	return !fstat(fd, &st) && S_ISSOCK(st.st_mode);
}

/* The ring that a descriptor is for, and *@fd, which is -1 if the message says
 * that there is none. NULL: not what it says. */
static struct vring *ring_fd(struct vhost_backend *be, struct vu_msg *msg,
			     int *fd, struct diag *d)
{
	/* Linux' virtio_uml sends a socket to be called by. */
	bool may_socket = msg->header.request == VU_SET_VRING_CALL;
	bool none = msg->u64 & VU_NO_FD;
	struct vring *r = backend_ring(be, msg->u64 & (VU_NO_FD - 1), d);

	if (!r)
		return NULL;
	if (msg->u64 & ~(uint64_t)(2 * VU_NO_FD - 1) ||
	    msg->fd_count != !none ||
	    (!none && !is_event(msg->fd[0]) &&
	     !(may_socket && is_socket(msg->fd[0])))) {
		diag_fail(d, EINVAL, "ring %u: that is no eventfd", r->index);
		return NULL;
	}
	*fd = vu_take_fd(msg, 0);
	return r;
}

REQUEST(set_vring_kick)
{
	int fd = -1, err;
	struct vring *r = ring_fd(be, msg, &fd, d);

	(void)reply;
	if (!r)
		return -EINVAL;
	if (fd < 0)
		return diag_fail(d, EOPNOTSUPP,
				 "ring %u without a kick descriptor: polling "
				 "is not supported",
				 r->index);
	backend_kick_unwatch(r);
	err = backend_kick_watch(r, fd);
	if (err) {
		close(fd);
		return diag_errno(d, -err, "ring %u: cannot watch its kick",
				  r->index);
	}
	return backend_ring_update(be, r, d);
}

REQUEST(set_vring_call)
{
	int fd = -1, err;
	struct vring *r = ring_fd(be, msg, &fd, d);

	(void)reply;
	if (!r)
		return -EINVAL;
	err = backend_call_set(r, fd, fd >= 0 && is_socket(fd));
	/* What was used meanwhile, the old one may have been told. */
	if (!err && r->running)
		backend_call(r);
	return err ? diag_errno(d, -err, "ring %u: call", r->index) : 0;
}

REQUEST(set_vring_err)
{
	int fd = -1, err;
	struct vring *r = ring_fd(be, msg, &fd, d);

	(void)reply;
	if (!r)
		return -EINVAL;
	err = backend_slot_set(r->err, fd);
	return err ? diag_errno(d, -err, "ring %u: err", r->index) : 0;
}

REQUEST(set_vring_enable)
{
	struct vring *r = backend_ring(be, msg->state.index, d);

	(void)reply;
	if (!r)
		return -EINVAL;
	r->enabled = msg->state.num;
	return backend_ring_update(be, r, d);
}

/* A virtio-net front end counts pairs (QEMU, DPDK). */
REQUEST(get_queue_num)
{
	unsigned count = be->vd->queue_count;

	(void)msg;
	(void)d;
	reply->u64 = be->vd->id == VIRTIO_ID_NET ? count / 2 : count;
	return 0;
}

/* ---- configuration and status ------------------------------------------- */

static int config_range(const struct vu_msg *msg, struct diag *d)
{
	const struct vu_config *c = &msg->config;

	if (range_within(c->offset_bytes, c->size_bytes, 0, VU_CONFIG_MAX))
		return 0;
	return diag_fail(d, EINVAL,
			 "configuration of %u bytes at %u; there are %u",
			 c->size_bytes, c->offset_bytes, VU_CONFIG_MAX);
}

/* An error is a reply without payload. */
REQUEST(get_config)
{
	uint8_t config[VIRTIO_CONFIG_MAX] = { 0 };
	const struct vu_config *c = &msg->config;

	static_assert(VU_CONFIG_MAX <= sizeof(config), "copied from it");
	if (config_range(msg, d)) {
		reply->header.size_bytes = 0;
		return 0;
	}
	pthread_mutex_lock(&be->vd->lock);
	if (be->vd->cls->get_config)
		be->vd->cls->get_config(be->vd, config);
	pthread_mutex_unlock(&be->vd->lock);
	reply->config = *c;
	memcpy(reply->config.data, config + c->offset_bytes, c->size_bytes);
	reply->header.size_bytes =
		(uint32_t)offsetof(struct vu_config, data) + c->size_bytes;
	return 0;
}

/* What the device does not let a driver write stays as it is. */
REQUEST(set_config)
{
	const struct vu_config *c = &msg->config;
	struct virtio_device *vd = be->vd;
	int err = config_range(msg, d);

	(void)reply;
	if (err)
		return err;
	if (msg->header.size_bytes <
	    offsetof(struct vu_config, data) + c->size_bytes)
		return diag_fail(d, EINVAL, "configuration is cut short");
	pthread_mutex_lock(&vd->lock);
	if (vd->cls->set_config && range_within(c->offset_bytes, c->size_bytes,
						0, vd->cls->config_bytes))
		vd->cls->set_config(vd, c->offset_bytes, c->data,
				    c->size_bytes);
	pthread_mutex_unlock(&vd->lock);
	return 0;
}

REQUEST(reset_device)
{
	(void)msg;
	(void)reply;
	(void)d;
	backend_rings_stop(be);
	backend_device_reset(be);
	inflight_release(&be->inflight); /* of rings that are no more */
	be->features = 0;
	for (unsigned i = 0; i < be->vd->queue_count; i++)
		be->ring[i].enabled = false;
	return 0;
}

/* Features and rings say all but this: 0 resets. */
REQUEST(set_status)
{
	return msg->u64 ? 0 : reset_device(be, msg, reply, d);
}

REQUEST(get_status)
{
	(void)msg;
	(void)d;
	reply->u64 = be->vd->status;
	return 0;
}

REQUEST(set_backend_req_fd)
{
	int err;

	(void)reply;
	if (!is_socket(msg->fd[0]))
		return diag_fail(d, EINVAL, "that is no socket");
	err = backend_slot_set(be->request, vu_take_fd(msg, 0));
	if (err)
		return diag_errno(d, -err, "cannot keep a socket");
	atomic_store(&be->can_request, true);
	return 0;
}

/* ---- requests in flight ------------------------------------------------- */

static bool packed(const struct vhost_backend *be)
{
	return be->features & VIRTIO_F_RING_PACKED;
}

REQUEST(get_inflight_fd)
{
	int fd;

	reply->inflight = msg->inflight;
	reply->header.size_bytes = msg->header.size_bytes;
	fd = inflight_new(&reply->inflight, be->vd->queue_count, packed(be), d);
	if (fd < 0)
		return fd;
	reply->fd[0] = fd;
	reply->fd_count = 1;
	return 0;
}

REQUEST(set_inflight_fd)
{
	(void)reply;
	for (unsigned i = 0; i < be->vd->queue_count; i++)
		if (be->ring[i].running)
			return diag_fail(d, EBUSY, "ring %u runs", i);
	return inflight_map(&be->inflight, &msg->inflight, msg->fd[0],
			    be->vd->queue_count, packed(be), d);
}

/* ---- dispatch ----------------------------------------------------------- */

/**
 * struct handler - what a request does
 * @reply_bytes: payload of its reply; 0: it has none of its own
 */
static const struct handler {
	int (*run)(struct vhost_backend *be, struct vu_msg *msg,
		   struct vu_msg *reply, struct diag *d);
	uint32_t reply_bytes;
} handlers[VU_REQUESTS] = {
	[VU_GET_FEATURES] = { get_features, 8 },
	[VU_SET_FEATURES] = { set_features, 0 },
	[VU_SET_OWNER] = { set_owner, 0 },
	[VU_RESET_OWNER] = { reset_owner, 0 },
	[VU_SET_MEM_TABLE] = { set_mem_table, 0 },
	[VU_SET_VRING_NUM] = { set_vring_num, 0 },
	[VU_SET_VRING_ADDR] = { set_vring_addr, 0 },
	[VU_SET_VRING_BASE] = { set_vring_base, 0 },
	[VU_GET_VRING_BASE] = { get_vring_base, 8 },
	[VU_SET_VRING_KICK] = { set_vring_kick, 0 },
	[VU_SET_VRING_CALL] = { set_vring_call, 0 },
	[VU_SET_VRING_ERR] = { set_vring_err, 0 },
	[VU_GET_PROTOCOL_FEATURES] = { get_protocol_features, 8 },
	[VU_SET_PROTOCOL_FEATURES] = { set_protocol_features, 0 },
	[VU_GET_QUEUE_NUM] = { get_queue_num, 8 },
	[VU_SET_VRING_ENABLE] = { set_vring_enable, 0 },
	[VU_SET_BACKEND_REQ_FD] = { set_backend_req_fd, 0 },
	[VU_GET_CONFIG] = { get_config, sizeof(struct vu_config) },
	[VU_SET_CONFIG] = { set_config, 0 },
	[VU_GET_INFLIGHT_FD] = { get_inflight_fd, sizeof(struct vu_inflight) },
	[VU_SET_INFLIGHT_FD] = { set_inflight_fd, 0 },
	[VU_RESET_DEVICE] = { reset_device, 0 },
	[VU_GET_MAX_MEM_SLOTS] = { get_max_mem_slots, 8 },
	[VU_ADD_MEM_REG] = { add_mem_reg, 0 },
	[VU_REM_MEM_REG] = { rem_mem_reg, 0 },
	[VU_SET_STATUS] = { set_status, 0 },
	[VU_GET_STATUS] = { get_status, 8 },
};

static int answer(struct vhost_backend *be, struct vu_msg *reply,
		  struct diag *d)
{
	int err = vu_send(be->front.fd, &reply->header, reply->bytes, reply->fd,
			  reply->fd_count);

	return err ? diag_errno(d, -err, "cannot answer") : 0;
}

/* Return: 0, or -errno: the connection ends. */
int backend_handle(struct vhost_backend *be, struct vu_msg *msg, struct diag *d)
{
	uint32_t request = msg->header.request;
	const struct handler *h =
		request < VU_REQUESTS ? &handlers[request] : NULL;
	uint64_t protocol = be->protocol;
	struct vu_msg reply = {
		.header = { request, VU_VERSION | VU_REPLY, sizeof(uint64_t) },
	};
	int err;

	if (h && h->reply_bytes)
		reply.header.size_bytes = h->reply_bytes;
	if (h && h->run)
		err = h->run(be, msg, &reply, d);
	else
		err = diag_fail(d, ENOSYS, "not supported");
	if (err)
		diag_fail(d, -err, "%s",
			  vu_request_name(VU_FROM_FRONTEND, request));
	if (h && h->reply_bytes) {
		err = err ? err : answer(be, &reply, d);
		vu_msg_release(&reply);
		return err;
	}
	/* Linux' virtio_uml wants to hear of the request that negotiates it. */
	protocol |= be->protocol;
	if (!(msg->header.flags & VU_NEED_REPLY && protocol & VU_P_REPLY_ACK))
		return err;
	if (err)
		log_info("%s: the front end's request is refused: %s: %s",
			 be->vd->dev.id, d->text[d->depth - 1], d->text[0]);
	reply.u64 = (uint64_t) !!err;
	*d = DIAG_INIT;
	return answer(be, &reply, d);
}
