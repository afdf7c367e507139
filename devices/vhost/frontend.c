/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: vhost-user front end, see frontend.h
 *
 * ask() is the one door: it sends a request and, if there is to be a reply,
 * waits for it. A request without one is sent with NEED_REPLY where REPLY_ACK
 * allows, so that every failure is known when it happens, by name.
 */
#include "devices/vhost/frontend.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "devices/virtio/queue-track.h"

void vhost_frontend_init(struct vhost_frontend *vf, const char *who,
			 const char *path)
{
	*vf = (struct vhost_frontend){
		.who = who,
		.path = path,
		.fd = -1,
		.request = -1,
		.inflight_fd = -1,
	};
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void vhost_frontend_close(struct vhost_frontend *vf)
{
	if (vf->fd >= 0)
		vu_channel_release(&vf->replies);
	if (vf->request >= 0)
		vu_channel_release(&vf->requests);
	close_fd(&vf->fd);
	close_fd(&vf->request);
}

void vhost_frontend_release(struct vhost_frontend *vf)
{
	vhost_frontend_close(vf);
	close_fd(&vf->inflight_fd);
}

/* ---- asking ------------------------------------------------------------- */

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int failed(struct vhost_frontend *vf, int err, uint32_t request,
		  struct diag *d)
{
	const char *name = vu_request_name(VU_FROM_FRONTEND, request);

	if (err == -ETIMEDOUT)
		return diag_fail(d, ETIMEDOUT,
				 "%s: the back end at %s does not answer %s "
				 "within %d s",
				 vf->who, vf->path, name,
				 VHOST_REPLY_MS / 1000);
	return diag_fail(d, -err, "%s: %s to the back end at %s failed",
			 vf->who, name, vf->path);
}

static int await(struct vhost_frontend *vf, struct vu_msg *reply,
		 struct diag *d)
{
	int64_t end = now_ms() + VHOST_REPLY_MS;
	int got;

	while (!(got = vu_recv(&vf->replies, reply, d))) {
		struct pollfd p = { .fd = vf->fd, .events = POLLIN };
		int64_t left = end - now_ms();

		if (left <= 0)
			return -ETIMEDOUT;
		if (poll(&p, 1, (int)left) < 0 && errno != EINTR)
			return -errno;
	}
	return got < 0 ? got : 0;
}

/* Return: 0 and a *@reply to release, or -errno; the connection is of no more
 * use then. */
static int exchange(struct vhost_frontend *vf, struct vu_msg *msg,
		    struct vu_msg *reply, struct diag *d)
{
	int err;

	if (vf->fd < 0)
		return -ENOTCONN;
	err = vu_send(vf->fd, &msg->header, msg->bytes, msg->fd, msg->fd_count);
	if (err || !reply)
		return err;
	err = await(vf, reply, d);
	if (err)
		return err;
	if (reply->header.request == msg->header.request)
		return 0;
	vu_msg_release(reply);
	return diag_fail(
		d, EPROTO, "the reply is to %s",
		vu_request_name(VU_FROM_FRONTEND, reply->header.request));
}

/* Requests with a reply of their own. */
static int ask(struct vhost_frontend *vf, struct vu_msg *msg,
	       struct vu_msg *reply, struct diag *d)
{
	int err;

	*reply = (struct vu_msg){ .fd_count = 0 };
	msg->header.flags = VU_VERSION;
	err = exchange(vf, msg, reply, d);
	return err ? failed(vf, err, msg->header.request, d) : 0;
}

/* Requests without. */
static int tell(struct vhost_frontend *vf, struct vu_msg *msg, struct diag *d)
{
	bool ack = vf->protocol & VU_P_REPLY_ACK;
	struct vu_msg reply;
	int err;

	msg->header.flags = VU_VERSION | (ack ? VU_NEED_REPLY : 0);
	err = exchange(vf, msg, ack ? &reply : NULL, d);
	if (!err && ack) {
		if (reply.u64)
			err = diag_fail(d, EIO, "the back end refuses");
		vu_msg_release(&reply);
	}
	return err ? failed(vf, err, msg->header.request, d) : 0;
}

static int tell_u64(struct vhost_frontend *vf, uint32_t request, uint64_t value,
		    struct diag *d)
{
	struct vu_msg msg = { .header = { request, 0, sizeof(value) } };

	msg.u64 = value;
	return tell(vf, &msg, d);
}

static int tell_state(struct vhost_frontend *vf, uint32_t request,
		      unsigned index, uint32_t num, struct diag *d)
{
	struct vu_msg msg = { .header = { request, 0, sizeof(msg.state) } };

	msg.state = (struct vu_vring_state){ index, num };
	return tell(vf, &msg, d);
}

static int tell_fd(struct vhost_frontend *vf, uint32_t request, unsigned index,
		   int fd, struct diag *d)
{
	struct vu_msg msg = { .header = { request, 0, sizeof(msg.u64) } };

	msg.u64 = index | (fd < 0 ? VU_NO_FD : 0);
	msg.fd[0] = fd;
	msg.fd_count = fd >= 0;
	return tell(vf, &msg, d);
}

static int ask_u64(struct vhost_frontend *vf, uint32_t request, uint64_t *out,
		   struct diag *d)
{
	struct vu_msg msg = { .header = { request, 0, 0 } }, reply;
	int err = ask(vf, &msg, &reply, d);

	if (err)
		return err;
	*out = reply.u64;
	vu_msg_release(&reply);
	return 0;
}

/* ---- greeting ----------------------------------------------------------- */

static int open_requests(struct vhost_frontend *vf, struct diag *d)
{
	struct vu_msg msg = { .header = { VU_SET_BACKEND_REQ_FD, 0, 0 } };
	int fds[2], err;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return diag_errno(d, errno, "%s: cannot make a socket",
				  vf->who);
	msg.fd[0] = fds[1];
	msg.fd_count = 1;
	err = tell(vf, &msg, d);
	close(fds[1]);
	if (err) {
		close(fds[0]);
		return err;
	}
	vf->request = fds[0];
	vu_channel_init(&vf->requests, fds[0], VU_FROM_BACKEND);
	return 0;
}

static int protocol_greet(struct vhost_frontend *vf, uint64_t want,
			  struct diag *d)
{
	uint64_t has;
	int err = ask_u64(vf, VU_GET_PROTOCOL_FEATURES, &has, d);

	if (!err)
		err = tell_u64(vf, VU_SET_PROTOCOL_FEATURES, has & want, d);
	if (err)
		return err;
	vf->protocol = has & want;
	if (vf->protocol & VU_P_MQ)
		err = ask_u64(vf, VU_GET_QUEUE_NUM, &vf->queues_max, d);
	if (!err && vf->protocol & VU_P_CONFIG_MEM_SLOTS)
		err = ask_u64(vf, VU_GET_MAX_MEM_SLOTS, &vf->slots_max, d);
	if (!err && vf->protocol & VU_P_BACKEND_REQ)
		err = open_requests(vf, d);
	return err;
}

int vhost_frontend_greet(struct vhost_frontend *vf, int fd, uint64_t want,
			 struct diag *d)
{
	struct vu_msg owner = { .header = { VU_SET_OWNER, 0, 0 } };
	int err;

	vhost_frontend_close(vf);
	vf->fd = fd;
	vf->protocol = vf->queues_max = 0;
	vf->slots_max = VU_REGIONS_MAX;
	vu_channel_init(&vf->replies, fd, VU_REPLIES);
	err = ask_u64(vf, VU_GET_FEATURES, &vf->features, d);
	if (!err && vf->features & VU_F_PROTOCOL_FEATURES)
		err = protocol_greet(vf, want, d);
	if (!err)
		err = tell(vf, &owner, d);
	if (err)
		vhost_frontend_close(vf);
	return err;
}

void vhost_frontend_take(struct vhost_frontend *vf,
			 const struct vhost_frontend *greeted)
{
	int inflight_fd = vf->inflight_fd;
	struct vu_inflight inflight = vf->inflight;

	*vf = *greeted;
	vf->inflight_fd = inflight_fd;
	vf->inflight = inflight;
}

int vhost_frontend_features(struct vhost_frontend *vf, uint64_t features,
			    struct diag *d)
{
	return tell_u64(vf, VU_SET_FEATURES,
			features | (vf->features & VU_F_PROTOCOL_FEATURES), d);
}

/* ---- memory ------------------------------------------------------------- */

/* A back end maps descriptors, so its regions are our pieces. */
static struct vu_region describe(const struct ram_region *r,
				 const struct ram_piece *piece)
{
	return (struct vu_region){
		.gpa = r->gpa.v + piece->offset_bytes,
		.size_bytes = piece->size_bytes,
		.user = (uintptr_t)r->host + piece->offset_bytes,
		.offset_bytes = piece->fd_offset_bytes,
	};
}

static unsigned piece_count(const struct guest_ram *ram)
{
	unsigned count = 0;

	for (unsigned i = 0; i < ram->region_count; i++)
		count += ram->region[i].piece_count;
	return count;
}

static bool all_shared(const struct guest_ram *ram)
{
	for (unsigned i = 0; i < ram->region_count; i++)
		for (unsigned j = 0; j < ram->region[i].piece_count; j++)
			if (ram->region[i].piece[j].fd < 0)
				return false;
	return true;
}

int vhost_frontend_check(const struct vhost_frontend *vf,
			 const struct guest_ram *ram, struct diag *d)
{
	if (!all_shared(ram))
		return diag_fail(d, EINVAL,
				 "%s: a vhost-user back end must see the "
				 "guest's RAM: give --memory shared=on (with "
				 "zones: each --memory-zone)",
				 vf->who);
	if (piece_count(ram) <= vf->slots_max)
		return 0;
	return diag_fail(d, EINVAL,
			 "%s: RAM is in %u regions, and the back end at %s "
			 "takes %llu at most",
			 vf->who, piece_count(ram), vf->path,
			 (unsigned long long)vf->slots_max);
}

static int add_piece(struct vhost_frontend *vf, const struct ram_region *r,
		     const struct ram_piece *piece, struct diag *d)
{
	struct vu_msg msg = {
		.header = { VU_ADD_MEM_REG, 0, sizeof(msg.one) },
		.fd = { piece->fd },
		.fd_count = 1,
	};

	msg.one.region = describe(r, piece);
	return tell(vf, &msg, d);
}

/* One by one, which has no limit of its own. */
static int add_pieces(struct vhost_frontend *vf, const struct guest_ram *ram,
		      struct diag *d)
{
	int err = 0;

	for (unsigned i = 0; i < ram->region_count; i++)
		for (unsigned j = 0; j < ram->region[i].piece_count && !err;
		     j++)
			err = add_piece(vf, &ram->region[i],
					&ram->region[i].piece[j], d);
	return err;
}

/* @msg has room: there are at most VU_REGIONS_MAX. */
static void list_pieces(struct vu_msg *msg, const struct guest_ram *ram)
{
	for (unsigned i = 0; i < ram->region_count; i++) {
		const struct ram_region *r = &ram->region[i];

		for (unsigned j = 0; j < r->piece_count; j++) {
			msg->memory.region[msg->fd_count] =
				describe(r, &r->piece[j]);
			msg->fd[msg->fd_count++] = r->piece[j].fd;
		}
	}
	msg->memory.count = msg->fd_count;
}

int vhost_frontend_memory(struct vhost_frontend *vf,
			  const struct guest_ram *ram, struct diag *d)
{
	struct vu_msg msg = { .header = { VU_SET_MEM_TABLE, 0, 0 } };
	int err = vhost_frontend_check(vf, ram, d);

	if (err)
		return err;
	if (piece_count(ram) > VU_REGIONS_MAX)
		return add_pieces(vf, ram, d);
	list_pieces(&msg, ram);
	msg.header.size_bytes =
		(uint32_t)(offsetof(struct vu_memory, region) +
			   msg.fd_count * sizeof(struct vu_region));
	return tell(vf, &msg, d);
}

/* ---- requests in flight ------------------------------------------------- */

static int inflight_get(struct vhost_frontend *vf, uint16_t queues,
			uint16_t size, struct diag *d)
{
	struct vu_msg msg = { .header = { VU_GET_INFLIGHT_FD, 0,
					  sizeof(msg.inflight) } };
	struct vu_msg reply;
	int err;

	msg.inflight = (struct vu_inflight){ .queue_count = queues,
					     .queue_size = size };
	err = ask(vf, &msg, &reply, d);
	if (err)
		return err;
	if (reply.inflight.mmap_size_bytes) {
		vf->inflight_fd = vu_take_fd(&reply, 0);
		vf->inflight = reply.inflight;
	}
	vu_msg_release(&reply);
	return 0;
}

/* Where the memory of a queue is, each of which has the same share. Only files
 * in memory (memfd, tmpfs) have seals, and using those never waits. */
static bool region_at(const struct vhost_frontend *vf, unsigned index,
		      uint64_t *at)
{
	const struct vu_inflight *fl = &vf->inflight;

	return vf->inflight_fd >= 0 && index < fl->queue_count &&
	       add_u64(fl->mmap_offset_bytes,
		       fl->mmap_size_bytes / fl->queue_count * index, at) &&
	       *at <= INT64_MAX - sizeof(struct track_packed) &&
	       fcntl(vf->inflight_fd, F_GET_SEALS) >= 0;
}

/* Read, not mapped: the file may be shorter than the back end said. */
static bool read_region(const struct vhost_frontend *vf, unsigned index,
			struct track_packed *r)
{
	uint64_t at;

	return region_at(vf, index, &at) &&
	       pread(vf->inflight_fd, r, sizeof(*r), (off_t)at) == sizeof(*r);
}

bool vhost_frontend_place(const struct vhost_frontend *vf, unsigned index,
			  uint16_t size, uint32_t *base)
{
	struct track_packed r;

	if (!read_region(vf, index, &r))
		return false;
	if (!r.version)
		return true;
	if (r.place.old_used_idx >= MIN(size, 0x8000u))
		return false;
	*base = r.place.old_used_idx | (r.place.old_used_wrap ? 0x8000u : 0);
	*base |= *base << 16;
	return true;
}

/* A hole, as that is zeros, and makes no file longer. */
void vhost_frontend_drop(const struct vhost_frontend *vf, unsigned index)
{
	const struct vu_inflight *fl = &vf->inflight;
	uint64_t at, bytes;

	if (!region_at(vf, index, &at))
		return;
	bytes = MIN(fl->mmap_size_bytes / fl->queue_count, INT64_MAX - at);
	/* A file that takes no write is the back end's fault, and its loss. */
	if (fallocate(vf->inflight_fd,
		      FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)at,
		      (off_t)bytes) < 0)
		return;
}

void vhost_frontend_forget(struct vhost_frontend *vf)
{
	close_fd(&vf->inflight_fd);
}

int vhost_frontend_inflight(struct vhost_frontend *vf, uint16_t queues,
			    uint16_t size, struct diag *d)
{
	struct vu_msg msg = { .header = { VU_SET_INFLIGHT_FD, 0,
					  sizeof(msg.inflight) } };
	int err = 0;

	if (!(vf->protocol & VU_P_INFLIGHT_SHMFD))
		return 0;
	if (vf->inflight_fd < 0)
		err = inflight_get(vf, queues, size, d);
	if (err || vf->inflight_fd < 0)
		return err;
	msg.inflight = vf->inflight;
	msg.fd[0] = vf->inflight_fd;
	msg.fd_count = 1;
	return tell(vf, &msg, d);
}

/* ---- queues ------------------------------------------------------------- */

static int tell_addr(struct vhost_frontend *vf, unsigned index,
		     const struct vhost_ring *ring, struct diag *d)
{
	struct vu_msg msg = { .header = { VU_SET_VRING_ADDR, 0,
					  sizeof(msg.addr) } };

	msg.addr = (struct vu_vring_addr){
		.index = index,
		.desc = (uintptr_t)ring->desc,
		.used = (uintptr_t)ring->used,
		.avail = (uintptr_t)ring->avail,
	};
	return tell(vf, &msg, d);
}

int vhost_frontend_size(struct vhost_frontend *vf, unsigned index,
			uint16_t size, struct diag *d)
{
	if (!(vf->protocol & VU_P_REPLY_ACK))
		return 0;
	return tell_state(vf, VU_SET_VRING_NUM, index, size, d);
}

int vhost_frontend_start(struct vhost_frontend *vf, unsigned index,
			 const struct vhost_ring *ring, struct diag *d)
{
	int err = tell_state(vf, VU_SET_VRING_NUM, index, ring->size, d);

	if (!err)
		err = tell_state(vf, VU_SET_VRING_BASE, index, ring->base, d);
	if (!err)
		err = tell_addr(vf, index, ring, d);
	if (!err)
		err = tell_fd(vf, VU_SET_VRING_CALL, index, ring->call, d);
	if (!err)
		err = tell_fd(vf, VU_SET_VRING_ERR, index, ring->broken, d);
	if (!err)
		err = tell_fd(vf, VU_SET_VRING_KICK, index, ring->kick, d);
	if (!err && vf->features & VU_F_PROTOCOL_FEATURES)
		err = vhost_frontend_enable(vf, index, !ring->idle, d);
	return err;
}

int vhost_frontend_stop(struct vhost_frontend *vf, unsigned index,
			uint32_t *base, struct diag *d)
{
	struct vu_msg msg = { .header = { VU_GET_VRING_BASE, 0,
					  sizeof(msg.state) } };
	struct vu_msg reply;
	int err;

	msg.state.index = index;
	err = ask(vf, &msg, &reply, d);
	if (err)
		return err;
	if (reply.state.index == index)
		*base = reply.state.num;
	else
		err = diag_fail(d, EPROTO,
				"%s: the back end at %s speaks of queue %u "
				"instead of %u",
				vf->who, vf->path, reply.state.index, index);
	vu_msg_release(&reply);
	return err;
}

int vhost_frontend_call(struct vhost_frontend *vf, unsigned index, int call,
			struct diag *d)
{
	return tell_fd(vf, VU_SET_VRING_CALL, index, call, d);
}

int vhost_frontend_enable(struct vhost_frontend *vf, unsigned index, bool on,
			  struct diag *d)
{
	return tell_state(vf, VU_SET_VRING_ENABLE, index, on, d);
}

/* ---- configuration and status ------------------------------------------- */

int vhost_frontend_config(struct vhost_frontend *vf, void *to, unsigned len,
			  struct diag *d)
{
	const uint32_t head = offsetof(struct vu_config, data);
	struct vu_msg msg = { .header = { VU_GET_CONFIG, 0, head + len } };
	struct vu_msg reply;
	int err;

	if (!(vf->protocol & VU_P_CONFIG))
		return diag_fail(d, EOPNOTSUPP,
				 "%s: the back end at %s has no configuration "
				 "(protocol feature CONFIG)",
				 vf->who, vf->path);
	msg.config.size_bytes = len;
	err = ask(vf, &msg, &reply, d);
	if (err)
		return err;
	if (reply.header.size_bytes == head + len)
		memcpy(to, reply.config.data, len);
	else
		err = diag_fail(d, EPROTO,
				"%s: the back end at %s has no %u bytes of "
				"configuration",
				vf->who, vf->path, len);
	vu_msg_release(&reply);
	return err;
}

int vhost_frontend_set_config(struct vhost_frontend *vf, unsigned offset,
			      const void *data, unsigned len, struct diag *d)
{
	struct vu_msg msg = {
		.header = { VU_SET_CONFIG, 0,
			    (uint32_t)offsetof(struct vu_config, data) + len },
	};

	if (!(vf->protocol & VU_P_CONFIG) || len > VU_CONFIG_MAX)
		return 0;
	msg.config.offset_bytes = offset;
	msg.config.size_bytes = len;
	memcpy(msg.config.data, data, len);
	return tell(vf, &msg, d);
}

int vhost_frontend_status(struct vhost_frontend *vf, uint8_t status,
			  struct diag *d)
{
	if (!(vf->protocol & VU_P_STATUS))
		return 0;
	return tell_u64(vf, VU_SET_STATUS, status, d);
}

int vhost_frontend_reset(struct vhost_frontend *vf, struct diag *d)
{
	struct vu_msg msg = { .header = { VU_RESET_DEVICE, 0, 0 } };

	if (!(vf->protocol & VU_P_RESET_DEVICE))
		return 0;
	return tell(vf, &msg, d);
}

/* ---- unasked ------------------------------------------------------------ */

/* The back end's own requests: one is understood, the others are refused if
 * it wants to know. */
static int serve(struct vhost_frontend *vf, const struct vu_msg *msg,
		 bool *changed)
{
	struct vu_header h = { msg->header.request, VU_VERSION | VU_REPLY, 8 };
	uint64_t refused = msg->header.request != VU_BACKEND_CONFIG_CHANGE;

	if (!refused)
		*changed = true;
	if (!(msg->header.flags & VU_NEED_REPLY))
		return 0;
	return vu_send(vf->request, &h, &refused, NULL, 0);
}

/* At most so many at a time: a back end cannot keep us busy for ever. */
#define POLL_BUDGET 16

static int poll_requests(struct vhost_frontend *vf, bool *changed,
			 struct diag *d)
{
	struct vu_msg msg;
	int got = 1, err = 0;

	for (unsigned i = 0; i < POLL_BUDGET && !err; i++) {
		got = vu_recv(&vf->requests, &msg, d);
		if (got != 1)
			break;
		err = serve(vf, &msg, changed);
		vu_msg_release(&msg);
	}
	return err ? err : MIN(got, 0);
}

int vhost_frontend_poll(struct vhost_frontend *vf, bool *changed,
			struct diag *d)
{
	struct vu_msg msg;
	int got = 0;

	if (vf->request >= 0)
		got = poll_requests(vf, changed, d);
	if (got >= 0 && vf->fd >= 0)
		got = vu_recv(&vf->replies, &msg, d);
	if (got <= 0)
		return got;
	vu_msg_release(&msg);
	return diag_fail(d, EPROTO, "a reply that nobody asked for");
}
