/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: sending and receiving vhost-user messages, see vhost-user-msg.h
 *
 * A stream socket may deliver a message in pieces, so a channel collects:
 * first the header, then as many bytes as it says. Descriptors arrive with the
 * piece that carries the first byte they were sent with; they are kept with
 * the message whichever piece it is.
 */
#include "devices/vhost/vhost-user-msg.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/base/iov.h"

#define SEND_PATIENCE_MS 1000

/**
 * struct rule - what a message looks like
 * @min_bytes, @max_bytes: of the payload
 * @fds_min, @fds_max: descriptors
 * @reply_bytes: payload of the reply, least; replies are also sent to what
 *	has none when the sender asks (REPLY_ACK): a u64
 */
struct rule {
	const char *name;
	uint16_t min_bytes, max_bytes;
	uint8_t fds_min, fds_max;
	uint16_t reply_min, reply_max, reply_fds;
};

#define U64    8
#define CONFIG sizeof(struct vu_config) - VU_CONFIG_MAX

/* QEMU and libblkio send what they like with requests that have no payload or
 * no descriptor; what harms nothing is let through. */
static const struct rule requests[VU_REQUESTS] = {
	[VU_GET_FEATURES] = { "GET_FEATURES", 0, U64, 0, 0, U64, U64, 0 },
	[VU_SET_FEATURES] = { "SET_FEATURES", U64, U64, 0, 0, 0, 0, 0 },
	[VU_SET_OWNER] = { "SET_OWNER", 0, U64, 0, 0, 0, 0, 0 },
	[VU_RESET_OWNER] = { "RESET_OWNER", 0, U64, 0, 0, 0, 0, 0 },
	[VU_SET_MEM_TABLE] = { "SET_MEM_TABLE", 8, sizeof(struct vu_memory), 0,
			       VU_REGIONS_MAX, 0, 0, 0 },
	[VU_SET_VRING_NUM] = { "SET_VRING_NUM", 8, 8, 0, 0, 0, 0, 0 },
	[VU_SET_VRING_ADDR] = { "SET_VRING_ADDR", 40, 40, 0, 0, 0, 0, 0 },
	[VU_SET_VRING_BASE] = { "SET_VRING_BASE", 8, 8, 0, 0, 0, 0, 0 },
	[VU_GET_VRING_BASE] = { "GET_VRING_BASE", 8, 8, 0, 0, 8, 8, 0 },
	[VU_SET_VRING_KICK] = { "SET_VRING_KICK", U64, U64, 0, 1, 0, 0, 0 },
	[VU_SET_VRING_CALL] = { "SET_VRING_CALL", U64, U64, 0, 1, 0, 0, 0 },
	[VU_SET_VRING_ERR] = { "SET_VRING_ERR", U64, U64, 0, 1, 0, 0, 0 },
	[VU_GET_PROTOCOL_FEATURES] = { "GET_PROTOCOL_FEATURES", 0, U64, 0, 0,
				       U64, U64, 0 },
	[VU_SET_PROTOCOL_FEATURES] = { "SET_PROTOCOL_FEATURES", U64, U64, 0, 0,
				       0, 0, 0 },
	[VU_GET_QUEUE_NUM] = { "GET_QUEUE_NUM", 0, U64, 0, 0, U64, U64, 0 },
	[VU_SET_VRING_ENABLE] = { "SET_VRING_ENABLE", 8, 8, 0, 0, 0, 0, 0 },
	[VU_NET_SET_MTU] = { "NET_SET_MTU", U64, U64, 0, 0, 0, 0, 0 },
	[VU_SET_BACKEND_REQ_FD] = { "SET_BACKEND_REQ_FD", 0, U64, 1, 1, 0, 0,
				    0 },
	[VU_GET_CONFIG] = { "GET_CONFIG", CONFIG, sizeof(struct vu_config), 0,
			    0, 0, sizeof(struct vu_config), 0 },
	[VU_SET_CONFIG] = { "SET_CONFIG", CONFIG, sizeof(struct vu_config), 0,
			    0, 0, 0, 0 },
	[VU_GET_INFLIGHT_FD] = { "GET_INFLIGHT_FD", VU_INFLIGHT_BYTES,
				 sizeof(struct vu_inflight), 0, 0,
				 VU_INFLIGHT_BYTES, sizeof(struct vu_inflight),
				 1 },
	[VU_SET_INFLIGHT_FD] = { "SET_INFLIGHT_FD", VU_INFLIGHT_BYTES,
				 sizeof(struct vu_inflight), 1, 1, 0, 0, 0 },
	[VU_RESET_DEVICE] = { "RESET_DEVICE", 0, U64, 0, 0, 0, 0, 0 },
	[VU_GET_MAX_MEM_SLOTS] = { "GET_MAX_MEM_SLOTS", 0, U64, 0, 0, U64, U64,
				   0 },
	[VU_ADD_MEM_REG] = { "ADD_MEM_REG", sizeof(struct vu_one_region),
			     sizeof(struct vu_one_region), 1, 1, 0, 0, 0 },
	[VU_REM_MEM_REG] = { "REM_MEM_REG", sizeof(struct vu_one_region),
			     sizeof(struct vu_one_region), 0, 1, 0, 0, 0 },
	[VU_SET_STATUS] = { "SET_STATUS", U64, U64, 0, 0, 0, 0, 0 },
	[VU_GET_STATUS] = { "GET_STATUS", 0, U64, 0, 0, U64, U64, 0 },
};

static const struct rule backend_requests[VU_BACKEND_REQUESTS] = {
	[VU_BACKEND_CONFIG_CHANGE] = { "CONFIG_CHANGE_MSG", 0, U64, 0, 0, 0, 0,
				       0 },
};

static const struct rule *find_rule(enum vu_direction dir, uint32_t request)
{
	const struct rule *rules = requests;
	size_t count = ARRAY_SIZE(requests);

	if (dir == VU_FROM_BACKEND) {
		rules = backend_requests;
		count = ARRAY_SIZE(backend_requests);
	}
	return request < count && rules[request].name ? &rules[request] : NULL;
}

const char *vu_request_name(enum vu_direction dir, uint32_t request)
{
	const struct rule *r = find_rule(dir, request);

	return r ? r->name : "an unknown request";
}

/* ---- checks ------------------------------------------------------------ */

static bool header_fits(enum vu_direction dir, const struct vu_header *h)
{
	const struct rule *r = find_rule(dir, h->request);
	bool reply = h->flags & VU_REPLY;

	if ((h->flags & VU_VERSION_MASK) != VU_VERSION ||
	    h->size_bytes > VU_PAYLOAD_MAX || reply != (dir == VU_REPLIES))
		return false;
	if (!r) /* answered with an error by whoever receives it */
		return dir != VU_REPLIES;
	if (!reply)
		return h->size_bytes >= r->min_bytes &&
		       h->size_bytes <= r->max_bytes;
	if (!r->reply_max)
		return h->size_bytes == U64;
	return h->size_bytes >= r->reply_min && h->size_bytes <= r->reply_max;
}

static bool fds_fit(enum vu_direction dir, const struct vu_msg *msg)
{
	const struct rule *r = find_rule(dir, msg->header.request);

	if (!r)
		return true;
	if (dir == VU_REPLIES)
		return msg->fd_count <= r->reply_fds;
	return msg->fd_count >= r->fds_min && msg->fd_count <= r->fds_max;
}

static int refuse(const struct vu_channel *ch, const char *what, struct diag *d)
{
	const struct vu_header *h = &ch->msg.header;

	return diag_fail(d, EPROTO,
			 "vhost-user: %s (%u) with %s: flags 0x%x, %u bytes, "
			 "%u descriptors",
			 vu_request_name(ch->direction, h->request), h->request,
			 what, h->flags, h->size_bytes, ch->msg.fd_count);
}

/* ---- receiving --------------------------------------------------------- */

void vu_channel_init(struct vu_channel *ch, int fd, enum vu_direction dir)
{
	memset(ch, 0, sizeof(*ch));
	ch->fd = fd;
	ch->direction = dir;
}

void vu_channel_release(struct vu_channel *ch)
{
	vu_msg_release(&ch->msg);
	ch->have_bytes = 0;
}

void vu_msg_release(struct vu_msg *msg)
{
	for (unsigned i = 0; i < msg->fd_count; i++)
		if (msg->fd[i] >= 0)
			close(msg->fd[i]);
	msg->fd_count = 0;
}

int vu_take_fd(struct vu_msg *msg, unsigned i)
{
	int fd = i < msg->fd_count ? msg->fd[i] : -1;

	if (fd >= 0)
		msg->fd[i] = -1;
	return fd;
}

/* Keep the descriptors of @m, close those that are too many. Return: false
 * if there were too many. */
static bool keep_fds(struct vu_msg *msg, struct msghdr *m)
{
	bool fit = !(m->msg_flags & MSG_CTRUNC);
	struct cmsghdr *c;

	for (c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int),
			       sizeof(int));
			if (msg->fd_count < VU_FDS_MAX) {
				msg->fd[msg->fd_count++] = fd;
			} else {
				close(fd);
				fit = false;
			}
		}
	}
	return fit;
}

/* Receive up to @want bytes to @to. Return: how many, 0: none yet, -errno. */
static ssize_t receive(struct vu_channel *ch, void *to, size_t want,
		       struct diag *d)
{
	union {
		char bytes[CMSG_SPACE(VU_FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { .iov_base = to, .iov_len = want };
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = &control,
			    .msg_controllen = sizeof(control) };
	ssize_t got;

	do {
		got = recvmsg(ch->fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		return errno == EAGAIN ? 0
				       : diag_errno(d, errno,
						    "vhost-user: cannot "
						    "receive");
	if (!keep_fds(&ch->msg, &m))
		return refuse(ch, "too many descriptors", d);
	if (!got)
		return diag_fail(d, ECONNRESET,
				 "vhost-user: the other end has gone");
	return got;
}

/* The part of the message that is missing, or NULL. */
static void *missing(struct vu_channel *ch, size_t *want)
{
	const size_t head = sizeof(struct vu_header);
	struct vu_msg *msg = &ch->msg;

	if (ch->have_bytes < head) {
		*want = head - ch->have_bytes;
		return (char *)&msg->header + ch->have_bytes;
	}
	*want = head + msg->header.size_bytes - ch->have_bytes;
	return *want ? msg->bytes + (ch->have_bytes - head) : NULL;
}

int vu_recv(struct vu_channel *ch, struct vu_msg *msg, struct diag *d)
{
	size_t want;
	void *to;

	while ((to = missing(ch, &want))) {
		ssize_t got = receive(ch, to, want, d);

		if (got <= 0)
			return (int)got;
		ch->have_bytes += (size_t)got;
		if (ch->have_bytes == sizeof(struct vu_header) &&
		    !header_fits(ch->direction, &ch->msg.header))
			return refuse(ch, "an impossible header", d);
	}
	if (!fds_fit(ch->direction, &ch->msg))
		return refuse(ch, "a wrong number of descriptors", d);
	*msg = ch->msg;
	memset(&ch->msg, 0, sizeof(ch->msg));
	ch->have_bytes = 0;
	return 1;
}

/* ---- sending ----------------------------------------------------------- */

static int wait_writable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	int n = poll(&p, 1, SEND_PATIENCE_MS);

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	return n ? 0 : -ETIMEDOUT;
}

static void attach_fds(struct msghdr *m, void *control, const int *fds,
		       unsigned count)
{
	struct cmsghdr *c;

	m->msg_control = control;
	m->msg_controllen = CMSG_SPACE(count * sizeof(int));
	c = CMSG_FIRSTHDR(m);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(count * sizeof(int));
	memcpy(CMSG_DATA(c), fds, count * sizeof(int));
}

/* Skip @sent bytes of the vectors; descriptors went with the first one. */
static void advance(struct msghdr *m, size_t sent)
{
	unsigned gone;

	m->msg_control = NULL;
	m->msg_controllen = 0;
	gone = iov_skip(m->msg_iov, (unsigned)m->msg_iovlen, sent);
	m->msg_iov += gone;
	m->msg_iovlen -= gone;
}

int vu_send(int fd, const struct vu_header *header, const void *payload,
	    const int *fds, unsigned fd_count)
{
	union {
		char bytes[CMSG_SPACE(VU_FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control = { .bytes = { 0 } };
	struct vu_header h = *header;
	uint8_t body[VU_PAYLOAD_MAX];
	struct iovec iov[2] = { { &h, sizeof(h) }, { body, h.size_bytes } };
	struct msghdr m = { .msg_iov = iov,
			    .msg_iovlen = h.size_bytes ? 2 : 1 };
	int err = 0;

	if (h.size_bytes)
		memcpy(body, payload, h.size_bytes);
	if (fds && fd_count)
		attach_fds(&m, &control, fds, fd_count);
	while (m.msg_iovlen && !err) {
		ssize_t n = sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n >= 0)
			advance(&m, (size_t)n);
		else if (errno == EAGAIN)
			err = wait_writable(fd);
		else if (errno != EINTR)
			err = -errno;
	}
	return err;
}
