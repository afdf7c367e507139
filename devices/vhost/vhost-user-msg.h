/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: vhost-user messages, for both ends
 *
 * Spec: QEMU's docs/interop/vhost-user.rst ("the spec" below). A message is a
 * header of three 32-bit words, a payload of at most VU_PAYLOAD_MAX bytes in
 * the machine's byte order, and at most VU_FDS_MAX file descriptors, over a
 * UNIX stream socket.
 *
 * The peer is hostile: vu_recv() refuses a message whose version, payload size
 * or number of descriptors is not what its request says (one const table per
 * direction), closes descriptors that nobody asked for, and never waits.
 * Payloads are copies; numbers in them are for the receiver to check.
 *
 * Threads: a channel belongs to one thread at a time.
 *
 * Not implemented: dirty logging, postcopy, crypto sessions, GPU, IOTLB,
 * in-band notifications, cross-endian rings, device state transfer.
 */
#ifndef DEVICES_VHOST_VHOST_USER_MSG_H
#define DEVICES_VHOST_VHOST_USER_MSG_H

#include <assert.h>

#include "vmm/base/diag.h"
#include "vmm/base/types.h"

#define VU_REGIONS_MAX 8     /* in one message: spec, "Memory regions" */
#define VU_FDS_MAX     8     /* likewise, one for each region */
#define VU_CONFIG_MAX  256   /* bytes of configuration: as QEMU */
#define VU_NO_FD       0x100 /* in SET_VRING_KICK, CALL, ERR: no descriptor */

/* Header flags. */
#define VU_VERSION	1
#define VU_VERSION_MASK 3
#define VU_REPLY	(1u << 2)
#define VU_NEED_REPLY	(1u << 3)

/** enum vu_request - from the front end */
enum vu_request {
	VU_GET_FEATURES = 1,
	VU_SET_FEATURES = 2,
	VU_SET_OWNER = 3,
	VU_RESET_OWNER = 4,
	VU_SET_MEM_TABLE = 5,
	VU_SET_VRING_NUM = 8,
	VU_SET_VRING_ADDR = 9,
	VU_SET_VRING_BASE = 10,
	VU_GET_VRING_BASE = 11,
	VU_SET_VRING_KICK = 12,
	VU_SET_VRING_CALL = 13,
	VU_SET_VRING_ERR = 14,
	VU_GET_PROTOCOL_FEATURES = 15,
	VU_SET_PROTOCOL_FEATURES = 16,
	VU_GET_QUEUE_NUM = 17,
	VU_SET_VRING_ENABLE = 18,
	VU_NET_SET_MTU = 20,
	VU_SET_BACKEND_REQ_FD = 21,
	VU_GET_CONFIG = 24,
	VU_SET_CONFIG = 25,
	VU_GET_INFLIGHT_FD = 31,
	VU_SET_INFLIGHT_FD = 32,
	VU_RESET_DEVICE = 34,
	VU_GET_MAX_MEM_SLOTS = 36,
	VU_ADD_MEM_REG = 37,
	VU_REM_MEM_REG = 38,
	VU_SET_STATUS = 39,
	VU_GET_STATUS = 40,
	VU_REQUESTS,
};

/** enum vu_backend_request - from the back end, over its own channel */
enum vu_backend_request {
	VU_BACKEND_CONFIG_CHANGE = 2,
	VU_BACKEND_REQUESTS,
};

/* Protocol features; VU_F_PROTOCOL_FEATURES is a bit of the device's. */
#define VU_F_PROTOCOL_FEATURES (1ULL << 30)
#define VU_P_MQ		       (1ULL << 0)
#define VU_P_REPLY_ACK	       (1ULL << 3)
#define VU_P_NET_MTU	       (1ULL << 4)
#define VU_P_BACKEND_REQ       (1ULL << 5)
#define VU_P_CONFIG	       (1ULL << 9)
#define VU_P_INFLIGHT_SHMFD    (1ULL << 12)
#define VU_P_RESET_DEVICE      (1ULL << 13)
#define VU_P_CONFIG_MEM_SLOTS  (1ULL << 15)
#define VU_P_STATUS	       (1ULL << 16)

/** struct vu_header - in front of every message */
struct vu_header {
	uint32_t request, flags, size_bytes;
};
static_assert(sizeof(struct vu_header) == 12, "vhost-user: Header");

/** struct vu_vring_state - one number of one queue */
struct vu_vring_state {
	uint32_t index, num;
};
static_assert(sizeof(struct vu_vring_state) == 8, "vhost-user: vring state");

/** struct vu_vring_addr - where the parts of a ring are: user addresses */
struct vu_vring_addr {
	uint32_t index, flags;
	uint64_t desc, used, avail, log;
};
static_assert(sizeof(struct vu_vring_addr) == 40, "vhost-user: vring address");
static_assert(offsetof(struct vu_vring_addr, used) == 16, "vhost-user");

/** struct vu_region - a piece of guest RAM; @offset_bytes in its file */
struct vu_region {
	uint64_t gpa, size_bytes, user, offset_bytes;
};
static_assert(sizeof(struct vu_region) == 32, "vhost-user: Memory regions");

/** struct vu_memory - SET_MEM_TABLE; one descriptor for each region */
struct vu_memory {
	uint32_t count, padding;
	struct vu_region region[VU_REGIONS_MAX];
};
static_assert(offsetof(struct vu_memory, region) == 8, "vhost-user");
static_assert(sizeof(struct vu_memory) == 264, "vhost-user: Memory regions");

/** struct vu_one_region - ADD_MEM_REG, REM_MEM_REG */
struct vu_one_region {
	uint64_t padding;
	struct vu_region region;
};
static_assert(sizeof(struct vu_one_region) == 40, "vhost-user: Single region");

/** struct vu_config - a part of the device's configuration; @data has
 * @size_bytes */
struct vu_config {
	uint32_t offset_bytes, size_bytes, flags;
	uint8_t data[VU_CONFIG_MAX];
};
static_assert(offsetof(struct vu_config, data) == 12, "vhost-user: config");

/** struct vu_inflight - memory that remembers requests in flight */
struct vu_inflight {
	uint64_t mmap_size_bytes, mmap_offset_bytes;
	uint16_t queue_count, queue_size;
};
/* On the wire without the struct's padding. */
#define VU_INFLIGHT_BYTES 20
static_assert(offsetof(struct vu_inflight, queue_size) == 18, "vhost-user");

/**
 * struct vu_msg - one message
 * @fd: descriptors that came along; whoever uses one sets it to -1, and
 *	vu_msg_release() closes the others
 */
struct vu_msg {
	int fd[VU_FDS_MAX];
	unsigned fd_count;
	struct vu_header header;
	union {
		uint64_t u64;
		struct vu_vring_state state;
		struct vu_vring_addr addr;
		struct vu_memory memory;
		struct vu_one_region one;
		struct vu_config config;
		struct vu_inflight inflight;
		uint8_t bytes[sizeof(struct vu_config)];
	};
};

#define VU_PAYLOAD_MAX sizeof(struct vu_config)
static_assert(VU_PAYLOAD_MAX >= sizeof(struct vu_memory), "largest payload");

/** enum vu_direction - what a channel receives */
enum vu_direction {
	VU_FROM_FRONTEND, /* requests to a back end */
	VU_FROM_BACKEND,  /* requests to a front end, on the back end's channel
			   */
	VU_REPLIES,	  /* replies to a front end */
};

/**
 * struct vu_channel - the receiving half of a socket
 * @fd: the socket, the caller's
 * @direction: what may come
 * @have_bytes: how much of @msg has come
 */
struct vu_channel {
	int fd;
	enum vu_direction direction;
	size_t have_bytes;
	struct vu_msg msg;
};

/** vu_channel_init - nothing received yet */
void vu_channel_init(struct vu_channel *ch, int fd, enum vu_direction dir);

/** vu_channel_release - close what came with half a message; not the socket */
void vu_channel_release(struct vu_channel *ch);

/**
 * vu_recv - take a message if one is there; never waits
 * @msg: receives it; release it with vu_msg_release()
 * @d: says what is wrong with it
 *
 * Return: 1 and *@msg; 0 when (the rest of) it has not come yet; -ECONNRESET
 * when the peer has gone; -EPROTO: not a message that this end may get; else
 * -errno of recvmsg(2). After an error the channel is of no more use.
 */
int vu_recv(struct vu_channel *ch, struct vu_msg *msg, struct diag *d);

/** vu_msg_release - close the descriptors that nobody took */
void vu_msg_release(struct vu_msg *msg);

/** vu_take_fd - descriptor @i of a message, now the caller's; -1 if there is
 * none */
int vu_take_fd(struct vu_msg *msg, unsigned i);

/**
 * vu_send - send a message
 * @header: of which @size_bytes bytes of @payload follow
 * @fds, @fd_count: descriptors to send along; they stay the caller's
 *
 * Waits at most a second for a peer that does not read.
 *
 * Return: 0, -ETIMEDOUT, or -errno of sendmsg(2).
 */
int vu_send(int fd, const struct vu_header *header, const void *payload,
	    const int *fds, unsigned fd_count);

/** vu_request_name - "SET_MEM_TABLE"; "an unknown request" */
const char *vu_request_name(enum vu_direction dir, uint32_t request);

#endif
