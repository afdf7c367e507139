/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: what the files of the vsock device share
 *
 *	vsock.c       the virtio device: queues, packets in and out
 *	vsock-conn.c  connections: life cycle, credit, bytes
 *	vsock-host.c  the host's side: sockets, CONNECT, time limits
 *	vsock-vhost.c a device of its own, in which the kernel does all that
 *
 * How it works is said in vsock.c. Everything here runs under
 * virtio_device.lock, but for what realize and unrealize call.
 */
#ifndef DEVICES_VIRTIO_VSOCK_H
#define DEVICES_VIRTIO_VSOCK_H

#include "vmm/iothread.h"
#include "vmm/unix-socket.h"

#include "devices/virtio/virtio.h"

/* VIRTIO 1.3 sec. 5.10.2, 5.10.4, 5.10.6 */
enum { VSOCK_RX, VSOCK_TX, VSOCK_EVENT, VSOCK_QUEUES };

#define VSOCK_CONFIG_BYTES 8 /* guest_cid */
#define VSOCK_HEADER_BYTES 44
#define VSOCK_HOST_CID	   2
#define VSOCK_TYPE_STREAM  1
#define VSOCK_PORT_ANY	   UINT32_MAX /* vsock(7): VMADDR_PORT_ANY */

/* VIRTIO 1.3 sec. 5.10.3 */
#define VSOCK_F_STREAM	  (1ULL << 0)
#define VSOCK_F_SEQPACKET (1ULL << 1)

/* PCI Code and ID Assignment: other network controller. */
#define VSOCK_PCI_CLASS 0x028000

/* Receive buffers are 4 KiB in Linux: this many hold 1 MiB. */
#define VSOCK_QUEUE_SIZE 256

enum vsock_op {
	VSOCK_OP_REQUEST = 1,
	VSOCK_OP_RESPONSE = 2,
	VSOCK_OP_RST = 3,
	VSOCK_OP_SHUTDOWN = 4,
	VSOCK_OP_RW = 5,
	VSOCK_OP_CREDIT_UPDATE = 6,
	VSOCK_OP_CREDIT_REQUEST = 7,
};

/* Flags of VSOCK_OP_SHUTDOWN, sec. 5.10.6.5: what the sender will not do. */
enum vsock_shutdown {
	VSOCK_SHUT_RECEIVE = 1,
	VSOCK_SHUT_SEND = 2,
	VSOCK_SHUT_BOTH = 3,
};

/** struct vsock_header - struct virtio_vsock_hdr in host order */
struct vsock_header {
	uint64_t src_cid, dst_cid;
	uint32_t src_port, dst_port;
	uint32_t len;
	uint16_t type, op;
	uint32_t flags, buf_alloc, fwd_cnt;
};

/** struct vsock_link - a place in a list; @next NULL: in none */
struct vsock_link {
	struct vsock_link *prev, *next;
};

/**
 * enum vsock_state - of a connection
 * @VSOCK_FREE: the slot is not used
 * @VSOCK_GREETING: a host client that has not said CONNECT yet
 * @VSOCK_REQUESTING: asked the guest, which has not answered
 * @VSOCK_DIALING: the guest asked; the host's server has a full queue
 * @VSOCK_OPEN: bytes flow; either side may have shut down one direction
 * @VSOCK_CLOSING: we have sent SHUTDOWN for both directions; the guest owes
 *	a RST; no socket any more
 * @VSOCK_RESETTING: a RST is to be sent; no socket any more
 * @VSOCK_ORPHAN: the guest is gone; what it had sent is still being delivered
 */
enum vsock_state {
	VSOCK_FREE,
	VSOCK_GREETING,
	VSOCK_REQUESTING,
	VSOCK_DIALING,
	VSOCK_OPEN,
	VSOCK_CLOSING,
	VSOCK_RESETTING,
	VSOCK_ORPHAN,
};

/* Packets without data that are to be sent: vsock_conn.pending. */
enum {
	VSOCK_SEND_RST = 1,
	VSOCK_SEND_REQUEST = 2,
	VSOCK_SEND_RESPONSE = 4,
	VSOCK_SEND_SHUTDOWN = 8,
	VSOCK_SEND_UPDATE = 16, /* our credit */
	VSOCK_SEND_ASK = 32,	/* for the guest's credit */
};

/**
 * struct vsock_conn - one connection, in a slot of struct vsock
 * @turn: in vsock.runnable while it has something for the guest
 * @wait: in vsock.waiting (a time limit) or vsock.expendable
 * @chain: next in its hash bucket; @hashed: it is in one
 * @use: counts the connections that the slot has held
 * @fd: the host's socket, -1: none
 * @pending: VSOCK_SEND_… bits
 * @guest_shut, @own_shut: SHUTDOWN flags that the guest, we have sent
 * @readable: @fd may have bytes; @eof: it has no more
 * @deaf: the host's side takes no more bytes; what comes is dropped
 * @write_shut: the host's side was told that no more comes
 * @blocked: waiting for @fd to take bytes
 * @asked: for credit, and not been answered
 * @told_guest: the guest knows of it (a REQUEST was sent)
 * @alloc_bytes: most bytes that we hold for the host (buf_alloc)
 * @got, @forwarded, @told: bytes from the guest: received; given to the host
 *	(fwd_cnt); the last fwd_cnt that the guest was told; all modulo 2^32
 * @sent: bytes sent to the guest, modulo 2^32
 * @guest_alloc, @guest_forwarded: the guest's last buf_alloc and fwd_cnt
 * @buf: ring of @alloc_bytes, @held of them in use from @head; NULL while the
 *	host takes all
 * @deadline_ns: CLOCK_MONOTONIC, while in vsock.waiting
 */
struct vsock_conn {
	struct vsock_link turn, wait;
	struct vsock_conn *chain;
	uint32_t use;
	int fd;
	uint32_t guest_port, host_port;
	enum vsock_state state;
	uint8_t pending, guest_shut, own_shut;
	bool hashed, readable, eof, deaf, write_shut, blocked, asked;
	bool told_guest;
	uint32_t alloc_bytes, got, forwarded, told;
	uint32_t sent, guest_alloc, guest_forwarded;
	uint8_t *buf;
	uint32_t head, held;
	uint64_t deadline_ns;
};

/** struct vsock_rst - an answer to a packet that belongs to no connection */
struct vsock_rst {
	uint64_t src_cid;
	uint32_t src_port, dst_port;
	uint16_t type;
};

/** VSOCK_RSTS - how many of them wait; then the guest's packets do */
#define VSOCK_RSTS 256

/**
 * struct vsock_limits - numbers that tests change
 * @connections: slots
 * @connect_ns: to get an answer to a connection request, as Linux's
 *	VSOCK_DEFAULT_CONNECT_TIMEOUT
 * @close_ns: to get the RST that ends a clean shutdown, as Linux's
 *	VSOCK_CLOSE_TIMEOUT
 * @tick_ns: how often time limits are looked at
 */
struct vsock_limits {
	uint32_t connections;
	uint64_t connect_ns, close_ns, tick_ns;
};

/**
 * struct vsock - the device
 * @cid: the guest's
 * @path: the host listens at it, and dials "@path_PORT"
 * @thread: where all work is done; NULL: the machine is only described
 * @poll_fd: epoll set of @listener and all sockets; @poll: itself, in the
 *	thread's loop
 * @accepting: @listener is in it
 * @tick: time limits; @ticking: it is armed
 * @slot: limits.connections of them; @unused: those that are free, by
 *	@unused_count; @bucket: hash table of @bucket_mask + 1 lists
 * @hash_key: odd, random
 * @runnable: connections with something for the guest, served in turns
 * @waiting: connections with a time limit
 * @expendable: greeting or orphaned, oldest first: given up for new ones
 * @rst: ring of @rst_count from @rst_head
 * @rst_turn: the next packet for the guest is from that ring
 * @tx_paused: @rst is full: no packets are taken from the guest
 * @reset_event: the guest is to be told that all connections are gone
 * @next_port: of the host's side, for connections that the host makes
 * @bad: what the guest did wrong, counted
 * @refused: how often the host could not take a client
 */
struct vsock {
	struct virtio_device vd;
	struct vsock_limits limits;
	uint64_t cid;
	const char *path;
	struct iothread *thread;
	struct unix_listener listener;
	int poll_fd;
	struct event_source poll;
	bool accepting;
	struct event_timer tick;
	bool ticking;
	struct vsock_conn *slot;
	uint32_t *unused;
	uint32_t unused_count;
	struct vsock_conn **bucket;
	uint32_t bucket_mask;
	uint64_t hash_key;
	struct vsock_link runnable, waiting, expendable;
	struct vsock_rst rst[VSOCK_RSTS];
	unsigned rst_head, rst_count;
	bool rst_turn, tx_paused, reset_event;
	atomic_uint next_port;
	atomic_uint bad, refused;
};

/* ---- lists: a head is a link of its own ---------------------------------- */

/** vsock_list_init - an empty list */
static inline void vsock_list_init(struct vsock_link *head)
{
	head->prev = head->next = head;
}

/** vsock_list_add - at the end; ignores what is in a list already */
static inline void vsock_list_add(struct vsock_link *head, struct vsock_link *l)
{
	if (l->next)
		return;
	l->prev = head->prev;
	l->next = head;
	head->prev->next = l;
	head->prev = l;
}

/** vsock_list_del - ignores what is in no list */
static inline void vsock_list_del(struct vsock_link *l)
{
	if (!l->next)
		return;
	l->prev->next = l->next;
	l->next->prev = l->prev;
	l->prev = l->next = NULL;
}

/** vsock_list_empty - has the list nothing but its head? */
static inline bool vsock_list_empty(const struct vsock_link *head)
{
	return head->next == head;
}

/* ---- vsock.c --------------------------------------------------------------*/

/** vsock_misused - the guest broke a rule: said once, then counted; @what
 * completes "the guest's driver …" */
void vsock_misused(struct vsock *v, const char *what);

/** vsock_put_header - write @h into the first writable bytes of @chain, which
 * has room for it */
void vsock_put_header(const struct virtq_chain *chain,
		      const struct vsock_header *h);

/**
 * vsock_send_reset_event - tell the driver that all connections are gone; the
 * event queue's lock held
 *
 * Return: 1, 0: the driver has no buffer there yet, -EINVAL: it is too small.
 */
int vsock_send_reset_event(struct virtio_device *vd);

/** vsock_send - give the guest what waits for it, as far as it has buffers */
void vsock_send(struct vsock *v);

/* ---- vsock-conn.c ---------------------------------------------------------*/

/** vsock_conns_new - slots and hash table; 0 or -ENOMEM */
int vsock_conns_new(struct vsock *v, struct diag *d);

/** vsock_conns_free - the mirror; accepts half of it */
void vsock_conns_free(struct vsock *v);

/** vsock_conns_drop - forget all connections, without a word to the guest */
void vsock_conns_drop(struct vsock *v);

/** vsock_conn_find - by both ports; NULL: none */
struct vsock_conn *vsock_conn_find(struct vsock *v, uint32_t guest_port,
				   uint32_t host_port);

/**
 * vsock_conn_new - a connection in its first state
 * @fd: its socket, -1: none yet; taken over, also on failure
 *
 * Return: the connection, or NULL: all slots are taken by connections that
 * are in use.
 */
struct vsock_conn *vsock_conn_new(struct vsock *v, enum vsock_state state,
				  int fd);

/** vsock_conn_free - forget it without a word to the guest */
void vsock_conn_free(struct vsock *v, struct vsock_conn *c);

/** vsock_conn_name - give it its ports, by which it is found from now on */
void vsock_conn_name(struct vsock *v, struct vsock_conn *c, uint32_t guest_port,
		     uint32_t host_port);

/** vsock_conn_open - both sides have agreed: bytes may flow */
void vsock_conn_open(struct vsock *v, struct vsock_conn *c);

/** vsock_conn_reset - end it at once; the guest, if it knows of it, gets a
 * RST */
void vsock_conn_reset(struct vsock *v, struct vsock_conn *c);

/** vsock_conn_owe - have packets of these kinds (VSOCK_SEND_…) sent */
void vsock_conn_owe(struct vsock *v, struct vsock_conn *c, uint8_t packets);

/** vsock_conn_ready - its socket has @events (EPOLLIN, …); @c is open or an
 * orphan */
void vsock_conn_ready(struct vsock *v, struct vsock_conn *c, uint32_t events);

/**
 * vsock_conn_receive - a packet from the guest, of any kind but a new REQUEST
 * @h: its header, checked but for op and credit
 * @data: what follows the header, @h->len bytes in @count vectors
 */
void vsock_conn_receive(struct vsock *v, struct vsock_conn *c,
			const struct vsock_header *h, const struct iovec *data,
			unsigned count);

/**
 * vsock_conn_send - put the next packet of @c into @chain
 * @chain: with room for a header
 *
 * @c may be gone afterwards. Return: its length, or 0: there was none.
 */
uint32_t vsock_conn_send(struct vsock *v, struct vsock_conn *c,
			 const struct virtq_chain *chain);

/** vsock_conn_wants - has it something that can be sent now? */
bool vsock_conn_wants(const struct vsock_conn *c);

/* ---- vsock-host.c ---------------------------------------------------------*/

/** vsock_host_open - listen, watch sockets, keep time; 0 or -errno with @d */
int vsock_host_open(struct vsock *v, struct diag *d);

/** vsock_host_close - the mirror; accepts half of it; the socket file goes */
void vsock_host_close(struct vsock *v);

/** vsock_host_block - watch its socket also for EPOLLOUT, or no longer */
void vsock_host_block(struct vsock *v, struct vsock_conn *c, bool on);

/** vsock_host_dial - the guest's REQUEST: connect to the host's server of that
 * port; answers the guest */
void vsock_host_dial(struct vsock *v, const struct vsock_header *h);

/** vsock_host_slot_free - a slot has become free */
void vsock_host_slot_free(struct vsock *v);

/** vsock_host_wait - put a time limit of @ns on @c */
void vsock_host_wait(struct vsock *v, struct vsock_conn *c, uint64_t ns);

#endif
