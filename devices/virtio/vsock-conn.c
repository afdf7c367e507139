/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: vsock connections: life cycle, credit, bytes, see vsock.c
 *
 *	guest asks                        host client says CONNECT
 *	    |                                     |
 *	 DIALING (server's queue is full)     REQUESTING (REQUEST sent)
 *	    |                                     | RESPONSE
 *	    +----------------> OPEN <-------------+
 *	                        | |
 *	   both directions over | | guest sent SHUTDOWN for both, its bytes are
 *	   on the host's side   | | delivered; or a rule was broken
 *	                    CLOSING RESETTING
 *	      RST came: free    |     | RST sent: free
 *
 * Directions end one by one. From the guest: its SHUTDOWN(SEND) becomes
 * shutdown(SHUT_WR) once all its bytes are with the host. From the host: end
 * of file becomes SHUTDOWN(SEND) once all bytes are with the guest. A side
 * that stops reading gets the other one told so (EPIPE, SHUTDOWN(RECEIVE)).
 *
 * The guest may send a RST long before the host has read everything (Linux
 * does so 8 s after close()). If it had said before that its bytes are
 * complete, they are still delivered: an ORPHAN, which lives until the host
 * has read all, has closed, or its slot is needed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "vmm/base/check.h"

#include "devices/virtio/vsock.h"

/*
 * Credit for the guest, and so the most that we hold for one connection: as
 * Linux's VIRTIO_VSOCK_DEFAULT_BUF_SIZE while they are few, as the largest
 * packet of most drivers when they are many. In all at most
 * 256 x 256 KiB + 3840 x 64 KiB = 304 MiB, if no program on the host reads.
 */
#define FEW_CONNECTIONS	 256
#define ALLOC_BYTES_FEW	 KIB(256)
#define ALLOC_BYTES_MANY KIB(64)

/* Vectors per system call; a buffer of more gets several, or is not filled. */
#define SLICE_VECTORS 64

/* Most bytes in one packet for the guest, as Linux's
 * VIRTIO_VSOCK_MAX_PKT_BUF_SIZE: then others get their turn. */
#define PACKET_BYTES_MAX KIB(64)

/* ---- slots and names ------------------------------------------------------*/

int vsock_conns_new(struct vsock *v, struct diag *d)
{
	uint32_t count = v->limits.connections, buckets = 1;

	while (buckets < count)
		buckets *= 2;
	v->slot = calloc(count, sizeof(v->slot[0]));
	v->unused = calloc(count, sizeof(v->unused[0]));
	v->bucket = calloc(buckets, sizeof(struct vsock_conn *));
	if (!v->slot || !v->unused || !v->bucket)
		return diag_fail(d, ENOMEM, "out of memory");
	v->bucket_mask = buckets - 1;
	for (uint32_t i = 0; i < count; i++)
		v->unused[v->unused_count++] = count - 1 - i;
	/* Without entropy the table is only easier to fill unevenly. */
	if (getrandom(&v->hash_key, sizeof(v->hash_key), GRND_NONBLOCK) < 0)
		v->hash_key = 0x9e3779b97f4a7c15; /* 2^64 / golden ratio */
	v->hash_key |= 1;
	vsock_list_init(&v->runnable);
	vsock_list_init(&v->waiting);
	vsock_list_init(&v->expendable);
	return 0;
}

void vsock_conns_free(struct vsock *v)
{
	if (v->slot && v->unused && v->bucket)
		vsock_conns_drop(v);
	free(v->slot);
	free(v->unused);
	free(v->bucket);
}

void vsock_conns_drop(struct vsock *v)
{
	for (uint32_t i = 0; i < v->limits.connections; i++)
		if (v->slot[i].state != VSOCK_FREE)
			vsock_conn_free(v, &v->slot[i]);
}

static struct vsock_conn **bucket_of(struct vsock *v, uint32_t guest_port,
				     uint32_t host_port)
{
	uint64_t key = (uint64_t)guest_port << 32 | host_port;

	return &v->bucket[(key * v->hash_key >> 48) & v->bucket_mask];
}

struct vsock_conn *vsock_conn_find(struct vsock *v, uint32_t guest_port,
				   uint32_t host_port)
{
	struct vsock_conn *c = *bucket_of(v, guest_port, host_port);

	while (c && (c->guest_port != guest_port || c->host_port != host_port))
		c = c->chain;
	return c;
}

void vsock_conn_name(struct vsock *v, struct vsock_conn *c, uint32_t guest_port,
		     uint32_t host_port)
{
	struct vsock_conn **at = bucket_of(v, guest_port, host_port);

	c->guest_port = guest_port;
	c->host_port = host_port;
	c->chain = *at;
	c->hashed = true;
	*at = c;
}

static void forget_name(struct vsock *v, struct vsock_conn *c)
{
	struct vsock_conn **at = bucket_of(v, c->guest_port, c->host_port);

	if (!c->hashed)
		return;
	while (*at != c)
		at = &(*at)->chain;
	*at = c->chain;
	c->hashed = false;
}

static void make_room(struct vsock *v)
{
	if (!v->unused_count && !vsock_list_empty(&v->expendable))
		vsock_conn_free(v, container_of(v->expendable.next,
						struct vsock_conn, wait));
}

struct vsock_conn *vsock_conn_new(struct vsock *v, enum vsock_state state,
				  int fd)
{
	uint32_t used = v->limits.connections - v->unused_count;
	struct vsock_conn *c;

	make_room(v);
	if (!v->unused_count) {
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	c = &v->slot[v->unused[--v->unused_count]];
	*c = (struct vsock_conn){
		.use = c->use,
		.fd = fd,
		.state = state,
		.alloc_bytes = used < FEW_CONNECTIONS ? ALLOC_BYTES_FEW
						      : ALLOC_BYTES_MANY,
	};
	return c;
}

static void drop_buffer(struct vsock_conn *c)
{
	c->forwarded += c->held;
	c->head = c->held = 0;
	free(c->buf);
	c->buf = NULL;
}

/* Closing takes it out of the epoll set: nobody else has the descriptor. */
static void close_socket(struct vsock_conn *c)
{
	drop_buffer(c);
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->readable = c->blocked = false;
}

void vsock_conn_free(struct vsock *v, struct vsock_conn *c)
{
	close_socket(c);
	forget_name(v, c);
	vsock_list_del(&c->turn);
	vsock_list_del(&c->wait);
	c->state = VSOCK_FREE;
	c->use++;
	v->unused[v->unused_count++] = (uint32_t)(c - v->slot);
	vsock_host_slot_free(v);
}

/* ---- turns ----------------------------------------------------------------*/

/* A hostile guest's numbers may say anything; then there is no credit. */
static uint32_t credit(const struct vsock_conn *c)
{
	uint32_t in_flight = c->sent - c->guest_forwarded;

	return in_flight < c->guest_alloc ? c->guest_alloc - in_flight : 0;
}

bool vsock_conn_wants(const struct vsock_conn *c)
{
	return c->pending ||
	       (c->state == VSOCK_OPEN && c->readable && credit(c));
}

static void take_turn(struct vsock *v, struct vsock_conn *c)
{
	if (vsock_conn_wants(c))
		vsock_list_add(&v->runnable, &c->turn);
}

void vsock_conn_owe(struct vsock *v, struct vsock_conn *c, uint8_t packets)
{
	c->pending |= packets;
	take_turn(v, c);
}

void vsock_conn_reset(struct vsock *v, struct vsock_conn *c)
{
	if (!c->told_guest) {
		vsock_conn_free(v, c);
		return;
	}
	close_socket(c);
	vsock_list_del(&c->wait);
	c->state = VSOCK_RESETTING;
	c->pending = VSOCK_SEND_RST;
	take_turn(v, c);
}

static void broke_rule(struct vsock *v, struct vsock_conn *c, const char *what)
{
	vsock_misused(v, what);
	vsock_conn_reset(v, c);
}

/* ---- ends -----------------------------------------------------------------*/

static void end_orphan(struct vsock *v, struct vsock_conn *c)
{
	if (!c->held)
		vsock_conn_free(v, c);
}

/* What we know now that the guest must be told: SHUTDOWN flags. */
static uint8_t shutdown_flags(const struct vsock_conn *c)
{
	bool heard_all = c->guest_shut & VSOCK_SHUT_SEND && !c->held;
	uint8_t flags = c->own_shut;

	if (c->eof)
		flags |= VSOCK_SHUT_SEND;
	/* Nothing will come: saying so ends the connection on both sides. */
	if (c->deaf || (c->eof && heard_all))
		flags |= VSOCK_SHUT_RECEIVE;
	return flags;
}

static void tell_ends(struct vsock *v, struct vsock_conn *c)
{
	uint8_t flags = shutdown_flags(c);

	if (flags != c->own_shut) {
		c->own_shut = flags;
		vsock_conn_owe(v, c, VSOCK_SEND_SHUTDOWN);
	}
	if (flags != VSOCK_SHUT_BOTH)
		return;
	close_socket(c);
	c->state = VSOCK_CLOSING;
	vsock_host_wait(v, c, v->limits.close_ns);
}

/* Something has ended: pass it on to the other side. @c may change state. */
static void settle(struct vsock *v, struct vsock_conn *c)
{
	if (c->state == VSOCK_ORPHAN) {
		end_orphan(v, c);
		return;
	}
	if (c->state != VSOCK_OPEN)
		return;
	if (c->guest_shut == VSOCK_SHUT_BOTH && !c->held) {
		vsock_conn_reset(v, c);
		return;
	}
	if (c->guest_shut & VSOCK_SHUT_SEND && !c->held && !c->write_shut) {
		shutdown(c->fd, SHUT_WR);
		c->write_shut = true;
	}
	tell_ends(v, c);
}

/* ---- from the guest to the host -------------------------------------------*/

/* The host's side is gone, or reads no more. */
static void go_deaf(struct vsock *v, struct vsock_conn *c)
{
	c->deaf = true;
	drop_buffer(c);
	if (c->blocked)
		vsock_host_block(v, c, false);
	c->blocked = false;
}

/* Return: bytes taken; 0: none now, or never (then it is deaf). */
static size_t push(struct vsock *v, struct vsock_conn *c, struct iovec *iov,
		   int count)
{
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = (size_t)count };
	ssize_t n = sendmsg(c->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n >= 0)
		return (size_t)n;
	if (errno != EAGAIN && errno != EINTR && errno != ENOBUFS)
		go_deaf(v, c);
	return 0;
}

static size_t push_all(struct vsock *v, struct vsock_conn *c,
		       const struct iovec *data, unsigned count, size_t len)
{
	struct iovec part[SLICE_VECTORS];
	size_t done = 0, n = 1;

	while (done < len && n) {
		n = push(v, c, part,
			 (int)iov_slice(part, SLICE_VECTORS, data, count, done,
					len - done));
		done += n;
	}
	return done;
}

/* The caller has checked credit and length, so it fits. */
static bool hold(struct vsock *v, struct vsock_conn *c,
		 const struct iovec *data, unsigned count, size_t offset,
		 size_t len)
{
	if (!c->buf)
		c->buf = malloc(c->alloc_bytes);
	if (!c->buf)
		return false;
	while (len) {
		uint32_t at = (c->head + c->held) & (c->alloc_bytes - 1);
		size_t n = MIN(len, (size_t)(c->alloc_bytes - at));

		n = iov_read(data, count, offset, c->buf + at, n);
		CHECK(n);
		c->held += (uint32_t)n;
		offset += n;
		len -= n;
	}
	if (!c->blocked)
		vsock_host_block(v, c, true);
	c->blocked = true;
	return true;
}

/* The guest learns of its new credit when half of it is used up unseen. */
static void forwarded(struct vsock *v, struct vsock_conn *c, uint32_t n)
{
	c->forwarded += n;
	if (c->forwarded - c->told >= c->alloc_bytes / 2 &&
	    c->state == VSOCK_OPEN)
		vsock_conn_owe(v, c, VSOCK_SEND_UPDATE);
}

static void flush(struct vsock *v, struct vsock_conn *c)
{
	while (c->held) {
		struct iovec part = {
			.iov_base = c->buf + c->head,
			.iov_len = MIN(c->held, c->alloc_bytes - c->head),
		};
		uint32_t n = (uint32_t)push(v, c, &part, 1);

		if (!n)
			return;
		c->head = (c->head + n) & (c->alloc_bytes - 1);
		c->held -= n;
		forwarded(v, c, n);
	}
	if (c->blocked)
		vsock_host_block(v, c, false);
	c->blocked = false;
	drop_buffer(c);
}

static void take_data(struct vsock *v, struct vsock_conn *c,
		      const struct iovec *data, unsigned count, uint32_t len)
{
	size_t done = len;

	if (!c->deaf && !c->held)
		done = push_all(v, c, data, count, len);
	else if (!c->deaf)
		done = 0;
	if (c->deaf)
		done = len;
	if (done < len && !hold(v, c, data, count, done, len - done)) {
		vsock_conn_reset(v, c); /* out of memory */
		return;
	}
	forwarded(v, c, (uint32_t)done);
	settle(v, c);
}

/* Our own words to the host's side. */
static void say(struct vsock *v, struct vsock_conn *c, const char *text)
{
	struct iovec iov;
	uint8_t words[32];
	size_t len = MIN(strlen(text), sizeof(words));

	/* NOLINTNEXTLINE(bugprone-not-null-terminated-result): no string */
	memcpy(words, text, len);
	iov = (struct iovec){ .iov_base = words, .iov_len = len };
	/* The socket is new and empty: it takes all, or is broken. */
	if (push(v, c, &iov, 1) < len)
		go_deaf(v, c);
}

/* ---- packets from the guest -----------------------------------------------*/

void vsock_conn_open(struct vsock *v, struct vsock_conn *c)
{
	c->state = VSOCK_OPEN;
	c->told_guest = true;
	c->readable = true; /* bytes may have come before it was watched */
	vsock_list_del(&c->wait);
	take_turn(v, c);
}

static void on_response(struct vsock *v, struct vsock_conn *c,
			const struct vsock_header *h, const struct iovec *data,
			unsigned count)
{
	char ok[32];

	(void)h;
	(void)data;
	(void)count;
	if (c->state != VSOCK_REQUESTING || !c->told_guest) {
		broke_rule(v, c, "accepts what was not asked for");
		return;
	}
	snprintf(ok, sizeof(ok), "OK %u\n", c->host_port);
	vsock_conn_open(v, c);
	say(v, c, ok);
	settle(v, c);
}

static void on_rst(struct vsock *v, struct vsock_conn *c,
		   const struct vsock_header *h, const struct iovec *data,
		   unsigned count)
{
	(void)h;
	(void)data;
	(void)count;
	if (c->state != VSOCK_OPEN || !c->held ||
	    !(c->guest_shut & VSOCK_SHUT_SEND)) {
		vsock_conn_free(v, c);
		return;
	}
	forget_name(v, c);
	vsock_list_del(&c->turn);
	c->pending = 0;
	c->state = VSOCK_ORPHAN;
	vsock_list_add(&v->expendable, &c->wait);
}

static void on_shutdown(struct vsock *v, struct vsock_conn *c,
			const struct vsock_header *h, const struct iovec *data,
			unsigned count)
{
	(void)data;
	(void)count;
	if (c->state == VSOCK_OPEN || c->state == VSOCK_CLOSING)
		c->guest_shut |= h->flags & VSOCK_SHUT_BOTH;
	if (c->state == VSOCK_CLOSING && c->guest_shut == VSOCK_SHUT_BOTH) {
		vsock_conn_reset(v, c);
		return;
	}
	if (c->state != VSOCK_OPEN)
		return;
	if (c->guest_shut & VSOCK_SHUT_RECEIVE && !c->eof) {
		shutdown(c->fd, SHUT_RD);
		c->readable = false;
		c->eof = true;
	}
	settle(v, c);
}

static void on_rw(struct vsock *v, struct vsock_conn *c,
		  const struct vsock_header *h, const struct iovec *data,
		  unsigned count)
{
	if (c->state == VSOCK_CLOSING)
		return; /* sent before it saw our SHUTDOWN */
	if (c->guest_shut & VSOCK_SHUT_SEND) {
		broke_rule(v, c, "sends after SHUTDOWN");
		return;
	}
	if (h->len > c->alloc_bytes - (c->got - c->forwarded)) {
		broke_rule(v, c, "sends more than its credit");
		return;
	}
	c->got += h->len;
	take_data(v, c, data, count, h->len);
}

static void on_credit_update(struct vsock *v, struct vsock_conn *c,
			     const struct vsock_header *h,
			     const struct iovec *data, unsigned count)
{
	(void)v;
	(void)c;
	(void)h;
	(void)data;
	(void)count;
}

static void on_credit_request(struct vsock *v, struct vsock_conn *c,
			      const struct vsock_header *h,
			      const struct iovec *data, unsigned count)
{
	(void)h;
	(void)data;
	(void)count;
	vsock_conn_owe(v, c, VSOCK_SEND_UPDATE);
}

/* Not before the connection is open, but for what makes or ends it. */
static bool too_early(const struct vsock_conn *c, uint16_t op)
{
	return (c->state == VSOCK_DIALING && op != VSOCK_OP_RST) ||
	       (c->state == VSOCK_REQUESTING && op != VSOCK_OP_RST &&
		op != VSOCK_OP_RESPONSE);
}

void vsock_conn_receive(struct vsock *v, struct vsock_conn *c,
			const struct vsock_header *h, const struct iovec *data,
			unsigned count)
{
	static void (*const on[])(struct vsock *, struct vsock_conn *,
				  const struct vsock_header *,
				  const struct iovec *, unsigned) = {
		[VSOCK_OP_RESPONSE] = on_response,
		[VSOCK_OP_RST] = on_rst,
		[VSOCK_OP_SHUTDOWN] = on_shutdown,
		[VSOCK_OP_RW] = on_rw,
		[VSOCK_OP_CREDIT_UPDATE] = on_credit_update,
		[VSOCK_OP_CREDIT_REQUEST] = on_credit_request,
	};

	if (c->state == VSOCK_RESETTING && h->op != VSOCK_OP_RST)
		return; /* the answer to all is on its way */
	if (h->op >= ARRAY_SIZE(on) || !on[h->op] || too_early(c, h->op)) {
		broke_rule(v, c, "sends a packet that makes no sense now");
		return;
	}
	c->guest_alloc = h->buf_alloc;
	c->guest_forwarded = h->fwd_cnt;
	c->asked = false;
	take_turn(v, c);
	on[h->op](v, c, h, data, count);
}

/* ---- packets for the guest ------------------------------------------------*/

/* @len bytes of data are in @chain already. */
static uint32_t put_packet(struct vsock *v, struct vsock_conn *c,
			   const struct virtq_chain *chain, enum vsock_op op,
			   uint32_t len)
{
	const struct vsock_header h = {
		.src_cid = VSOCK_HOST_CID,
		.dst_cid = v->cid,
		.src_port = c->host_port,
		.dst_port = c->guest_port,
		.len = len,
		.type = VSOCK_TYPE_STREAM,
		.op = (uint16_t)op,
		.flags = op == VSOCK_OP_SHUTDOWN ? c->own_shut : 0,
		.buf_alloc = c->alloc_bytes,
		.fwd_cnt = c->forwarded,
	};

	c->told = c->forwarded;
	c->pending &= (uint8_t)~VSOCK_SEND_UPDATE;
	vsock_put_header(chain, &h);
	return VSOCK_HEADER_BYTES + len;
}

/* Nothing to read: for now, for ever, or an error. */
static void read_failed(struct vsock *v, struct vsock_conn *c, ssize_t n)
{
	c->readable = false;
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		c->readable = errno == EINTR;
		return;
	}
	if (n < 0) {
		vsock_conn_reset(v, c);
		return;
	}
	c->eof = true;
	settle(v, c);
}

/* As many bytes as @room and the guest's credit allow; without room, none, but
 * still: are there any? */
static ssize_t pull(struct vsock_conn *c, const struct virtq_chain *chain,
		    size_t room)
{
	struct iovec part[SLICE_VECTORS];
	char byte;

	if (!room)
		return recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
	room = MIN(MIN(room, (size_t)PACKET_BYTES_MAX), (size_t)credit(c));
	return readv(c->fd, part,
		     (int)iov_slice(part, SLICE_VECTORS,
				    chain->iov + chain->out_count,
				    chain->in_count, VSOCK_HEADER_BYTES, room));
}

static uint32_t send_data(struct vsock *v, struct vsock_conn *c,
			  const struct virtq_chain *chain)
{
	size_t room = chain->in_bytes - VSOCK_HEADER_BYTES;
	ssize_t n = pull(c, chain, room);

	if (n <= 0) {
		read_failed(v, c, n);
		return 0;
	}
	/* A buffer for headers only: something that always makes sense. */
	if (!room)
		return put_packet(v, c, chain, VSOCK_OP_CREDIT_UPDATE, 0);
	c->sent += (uint32_t)n;
	if (!credit(c) && !c->asked) {
		c->asked = true;
		c->pending |= VSOCK_SEND_ASK;
	}
	return put_packet(v, c, chain, VSOCK_OP_RW, (uint32_t)n);
}

/* The most important packet without data. Return: its VSOCK_SEND_ bit. */
static uint8_t next_pending(const struct vsock_conn *c, enum vsock_op *op)
{
	static const struct {
		uint8_t bit;
		enum vsock_op op;
	} order[] = {
		{ VSOCK_SEND_RST, VSOCK_OP_RST },
		{ VSOCK_SEND_REQUEST, VSOCK_OP_REQUEST },
		{ VSOCK_SEND_RESPONSE, VSOCK_OP_RESPONSE },
		{ VSOCK_SEND_SHUTDOWN, VSOCK_OP_SHUTDOWN },
		{ VSOCK_SEND_ASK, VSOCK_OP_CREDIT_REQUEST },
		{ VSOCK_SEND_UPDATE, VSOCK_OP_CREDIT_UPDATE },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(order); i++) {
		if (!(c->pending & order[i].bit))
			continue;
		*op = order[i].op;
		return order[i].bit;
	}
	return 0;
}

static uint32_t send_pending(struct vsock *v, struct vsock_conn *c,
			     const struct virtq_chain *chain)
{
	enum vsock_op op = VSOCK_OP_RST;
	uint8_t bit = next_pending(c, &op);
	uint32_t len;

	if (!bit)
		return 0;
	c->pending &= (uint8_t)~bit;
	len = put_packet(v, c, chain, op, 0);
	c->told_guest = true;
	if (op == VSOCK_OP_RST)
		vsock_conn_free(v, c);
	return len;
}

uint32_t vsock_conn_send(struct vsock *v, struct vsock_conn *c,
			 const struct virtq_chain *chain)
{
	const uint8_t urgent = (uint8_t)~VSOCK_SEND_UPDATE;
	uint32_t len = 0;

	/* Data carries our credit as well. */
	if (!(c->pending & urgent) && c->state == VSOCK_OPEN && c->readable &&
	    credit(c))
		len = send_data(v, c, chain);
	return len ? len : send_pending(v, c, chain);
}

/* ---- the socket -----------------------------------------------------------*/

void vsock_conn_ready(struct vsock *v, struct vsock_conn *c, uint32_t events)
{
	/* Both directions are closed on the host's side. What it has sent can
	 * still be read. */
	if (events & EPOLLHUP)
		go_deaf(v, c);
	else if (events & EPOLLOUT)
		flush(v, c);
	if (events & ~(uint32_t)EPOLLOUT && !c->eof)
		c->readable = true;
	settle(v, c);
	if (c->state == VSOCK_OPEN)
		take_turn(v, c);
}
