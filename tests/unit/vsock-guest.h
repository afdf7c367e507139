/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: a guest's vsock stack, for tests of the device
 *
 * Below it struct drv, above it nothing: it answers packets as Linux's
 * virtio transport does (RESPONSE or RST to a REQUEST, CREDIT_UPDATE at half,
 * RST to a complete SHUTDOWN) and notes what came, per connection and in order.
 * guest.manual: it only notes.
 *
 * The device works on a thread of its own, under its lock. Guest memory is
 * touched under that lock here, too: our rings are plain memory, and the thread
 * sanitizer would not like them otherwise.
 */
#ifndef TESTS_VSOCK_GUEST_H
#define TESTS_VSOCK_GUEST_H

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "devices/virtio/vsock.h"
#include "tests/unit/patience.h"
#include "tests/unit/virtio-driver.h"

#define CID 42

/* Where rings and buffers are: RAM A for receiving, RAM B for sending. */
#define RX_RING	   BED_RAM_A
#define EVENT_RING (BED_RAM_A + 0x8000)
#define EVENT_BUF  (BED_RAM_A + 0x10000)
#define RX_BUFS	   (BED_RAM_A + 0x40000)
#define TX_RING	   BED_RAM_B
#define TX_BUFS	   (BED_RAM_B + 0x10000)
#define RX_BYTES   4096
#define TX_BYTES   0x11000
#define TX_COUNT   8
#define PEERS_MAX  5000
#define NOTES_MAX  16384

/**
 * struct peer - one connection as the guest sees it
 * @open: RESPONSE sent or received; @rst: RST received
 * @shut: SHUTDOWN flags received
 * @alloc, @got, @fwd: credit we give; @hold: never give more
 * @sent, @host_alloc, @host_fwd: credit that we have
 * @data: what came, @len bytes
 */
struct peer {
	uint32_t gp, hp;
	bool used, open, rst, hold;
	uint8_t shut;
	uint32_t alloc, got, fwd, told;
	uint32_t sent, host_alloc, host_fwd;
	uint8_t *data;
	size_t len;
};

/**
 * struct guest - the stack
 * @rx_count: receive buffers that are offered
 * @listening: takes REQUESTs; @manual: answers nothing
 * @alloc: credit for new connections
 * @note: headers of all packets received, @notes of them, @seen looked at
 */
struct guest {
	struct bed *bed;
	struct device *dev;
	struct drv drv;
	unsigned rx_size, rx_count;
	bool listening, manual, echo;
	uint32_t alloc;
	struct peer peer[PEERS_MAX];
	unsigned peers;
	struct vsock_header note[NOTES_MAX];
	unsigned notes, seen;
	unsigned tx_next, tx_flying;
	uint32_t rx_head[256]; /* buffer of each head */
	struct guest_turn *old_turns;
};

static inline struct vsock *guest_vsock(struct guest *g)
{
	return container_of(g->dev, struct vsock, vd.dev);
}

static inline void guest_lock(struct guest *g)
{
	pthread_mutex_lock(&guest_vsock(g)->vd.lock);
}

static inline void guest_unlock(struct guest *g)
{
	pthread_mutex_unlock(&guest_vsock(g)->vd.lock);
}

static inline struct peer *guest_peer(struct guest *g, uint32_t gp, uint32_t hp)
{
	for (unsigned i = 0; i < g->peers; i++)
		if (g->peer[i].used && g->peer[i].gp == gp &&
		    g->peer[i].hp == hp)
			return &g->peer[i];
	return NULL;
}

static inline struct peer *guest_add_peer(struct guest *g, uint32_t gp,
					  uint32_t hp)
{
	struct peer *p = &g->peer[g->peers++];

	CHECK(g->peers <= PEERS_MAX);
	*p = (struct peer){
		.gp = gp, .hp = hp, .used = true, .alloc = g->alloc
	};
	return p;
}

/* ---- sending --------------------------------------------------------------*/

static inline void header_put(uint8_t *raw, const struct vsock_header *h)
{
	put_le64(raw, h->src_cid);
	put_le64(raw + 8, h->dst_cid);
	put_le32(raw + 16, h->src_port);
	put_le32(raw + 20, h->dst_port);
	put_le32(raw + 24, h->len);
	put_le16(raw + 28, h->type);
	put_le16(raw + 30, h->op);
	put_le32(raw + 32, h->flags);
	put_le32(raw + 36, h->buf_alloc);
	put_le32(raw + 40, h->fwd_cnt);
}

static inline void header_get(const uint8_t *raw, struct vsock_header *h)
{
	*h = (struct vsock_header){
		.src_cid = get_le64(raw),
		.dst_cid = get_le64(raw + 8),
		.src_port = get_le32(raw + 16),
		.dst_port = get_le32(raw + 20),
		.len = get_le32(raw + 24),
		.type = get_le16(raw + 28),
		.op = get_le16(raw + 30),
		.flags = get_le32(raw + 32),
		.buf_alloc = get_le32(raw + 36),
		.fwd_cnt = get_le32(raw + 40),
	};
}

static inline void guest_reap(struct guest *g)
{
	uint32_t head, len;

	guest_lock(g);
	while (drv_take(&g->drv, VSOCK_TX, &head, &len)) {
		CHECK(!len);
		g->tx_flying--;
	}
	guest_unlock(g);
}

/* @bytes of a packet that are really there, @h->len or not. */
static inline void guest_send_raw(struct guest *g, const struct vsock_header *h,
				  const void *data, size_t bytes)
{
	uint64_t at = TX_BUFS + (uint64_t)(g->tx_next++ % TX_COUNT) * TX_BYTES;
	uint8_t raw[VSOCK_HEADER_BYTES];

	for (guest_reap(g); g->tx_flying == TX_COUNT; guest_reap(g))
		bed_run(g->bed, 1);
	header_put(raw, h);
	guest_lock(g);
	CHECK(ram_write(&g->bed->ram, GPA(at), raw, sizeof(raw)));
	if (bytes)
		CHECK(ram_write(&g->bed->ram, GPA(at + sizeof(raw)), data,
				bytes));
	drv_add(&g->drv, VSOCK_TX, at, (uint32_t)(sizeof(raw) + bytes), false);
	g->tx_flying++;
	guest_unlock(g);
	drv_kick(&g->drv, VSOCK_TX);
}

static inline struct vsock_header guest_header(uint32_t gp, uint32_t hp,
					       uint16_t op, uint32_t flags)
{
	return (struct vsock_header){
		.src_cid = CID,
		.dst_cid = VSOCK_HOST_CID,
		.src_port = gp,
		.dst_port = hp,
		.type = VSOCK_TYPE_STREAM,
		.op = op,
		.flags = flags,
	};
}

static inline void guest_send(struct guest *g, struct peer *p, uint16_t op,
			      uint32_t flags, const void *data, uint32_t len)
{
	struct vsock_header h = guest_header(p->gp, p->hp, op, flags);

	h.len = len;
	h.buf_alloc = p->alloc;
	h.fwd_cnt = p->told = p->fwd;
	p->sent += len;
	guest_send_raw(g, &h, data, len);
}

static inline uint32_t guest_credit(const struct peer *p)
{
	return p->host_alloc - (p->sent - p->host_fwd);
}

/* ---- receiving ------------------------------------------------------------*/

/* With the lock held. */
static inline void guest_put_rx(struct guest *g, unsigned buffer)
{
	uint16_t head = drv_add(&g->drv, VSOCK_RX,
				RX_BUFS + (uint64_t)buffer * RX_BYTES,
				g->rx_size, true);

	g->rx_head[head] = buffer;
}

static inline void guest_offer_rx(struct guest *g, unsigned buffer)
{
	guest_lock(g);
	guest_put_rx(g, buffer);
	guest_unlock(g);
}

static inline void guest_data(struct guest *g, struct peer *p,
			      const uint8_t *data, uint32_t len)
{
	p->data = realloc(p->data, p->len + len + 1);
	CHECK(p->data);
	memcpy(p->data + p->len, data, len);
	p->len += len;
	p->got += len;
	CHECK(p->got - p->fwd <= p->alloc); /* our credit is kept */
	if (p->hold)
		return;
	p->fwd += len;
	if (g->echo)
		guest_send(g, p, VSOCK_OP_RW, 0, data, len);
	else if (p->fwd - p->told >= p->alloc / 2)
		guest_send(g, p, VSOCK_OP_CREDIT_UPDATE, 0, NULL, 0);
}

static inline void guest_answer(struct guest *g, struct peer *p,
				const struct vsock_header *h)
{
	struct peer none = { .gp = h->dst_port, .hp = h->src_port };

	if (h->op == VSOCK_OP_REQUEST && g->listening && !p) {
		p = guest_add_peer(g, h->dst_port, h->src_port);
		p->open = true;
		p->host_alloc = h->buf_alloc;
		guest_send(g, p, VSOCK_OP_RESPONSE, 0, NULL, 0);
	} else if (!p && h->op != VSOCK_OP_RST) {
		guest_send(g, &none, VSOCK_OP_RST, 0, NULL, 0);
	} else if (p && p->shut == VSOCK_SHUT_BOTH &&
		   h->op == VSOCK_OP_SHUTDOWN) {
		guest_send(g, p, VSOCK_OP_RST, 0, NULL, 0);
		p->used = false;
	} else if (p && h->op == VSOCK_OP_CREDIT_REQUEST && !p->hold) {
		guest_send(g, p, VSOCK_OP_CREDIT_UPDATE, 0, NULL, 0);
	}
}

static inline void guest_packet(struct guest *g, const uint8_t *packet,
				uint32_t len)
{
	struct vsock_header h;
	struct peer *p;

	CHECK(len >= VSOCK_HEADER_BYTES);
	header_get(packet, &h);
	CHECK(len == VSOCK_HEADER_BYTES + h.len && h.dst_cid == CID);
	CHECK(g->notes < NOTES_MAX);
	g->note[g->notes++] = h;
	p = guest_peer(g, h.dst_port, h.src_port);
	if (p) {
		p->host_alloc = h.buf_alloc;
		p->host_fwd = h.fwd_cnt;
		p->open |= h.op == VSOCK_OP_RESPONSE;
		p->rst |= h.op == VSOCK_OP_RST;
		if (h.op == VSOCK_OP_SHUTDOWN)
			p->shut |= (uint8_t)h.flags;
		if (h.op == VSOCK_OP_RW)
			guest_data(g, p, packet + VSOCK_HEADER_BYTES, h.len);
	}
	if (!g->manual)
		guest_answer(g, p, &h);
	if (p && p->rst)
		p->used = false;
}

/* The next packet that was received; its buffer is offered again. */
static inline bool guest_take(struct guest *g, uint8_t *packet, uint32_t *len)
{
	uint32_t head;
	bool got;

	guest_lock(g);
	got = drv_take(&g->drv, VSOCK_RX, &head, len);
	if (got) {
		CHECK(*len <= RX_BYTES);
		ram_read(&g->bed->ram,
			 GPA(RX_BUFS + (uint64_t)g->rx_head[head] * RX_BYTES),
			 packet, *len);
		guest_put_rx(g, g->rx_head[head]);
	}
	guest_unlock(g);
	return got;
}

/* Take what the device has sent. Return: packets taken. */
static inline unsigned guest_run(struct guest *g)
{
	static uint8_t packet[RX_BYTES];
	uint32_t len;
	unsigned n = 0;

	bed_run(g->bed, 2);
	for (; guest_take(g, packet, &len); n++)
		if (len)
			guest_packet(g, packet, len);
	if (n)
		drv_kick(&g->drv, VSOCK_RX);
	guest_reap(g);
	return n;
}

/* What guest_device_rounds() adds to the device's loop. A source may be called
 * once more after it was removed, so these stay until the device is gone. */
struct guest_turn {
	struct event_source src;
	atomic_uint turns;
	struct guest_turn *next;
};

static inline void guest_turned(void *opaque, uint32_t events)
{
	(void)events;
	atomic_fetch_add(&((struct guest_turn *)opaque)->turns, 1);
}

/* Wait until the device's thread has done what was ready, however busy the host
 * is: some rounds over it. */
static inline void guest_device_rounds(struct guest *g)
{
	struct event_loop *loop = iothread_loop(guest_vsock(g)->thread);
	struct guest_turn *t = calloc(1, sizeof(*t));

	CHECK(t);
	t->src = (struct event_source){ eventfd(1, EFD_CLOEXEC), guest_turned,
					t };
	t->next = g->old_turns;
	g->old_turns = t;
	CHECK(!event_add(loop, &t->src, EPOLLIN));
	CHECK(WAIT_UNTIL(atomic_load(&t->turns) >= 8));
	event_del(loop, &t->src);
	close(t->src.fd);
}

/* Until nothing has come for @ms, in which the device's thread did run. */
static inline void guest_settle(struct guest *g, unsigned ms)
{
	uint64_t from = patience_ns();

	while (ms_since(from) <= ms) {
		guest_device_rounds(g);
		if (guest_run(g))
			from = patience_ns();
	}
}

/* Wait until @cond holds; false if it never does. */
#define GUEST_UNTIL(g, cond)                                               \
	({                                                                 \
		uint64_t from_ = patience_ns();                            \
		bool ok_;                                                  \
		while (!(ok_ = !!(cond)) && ms_since(from_) < PATIENCE_MS) \
			if (!guest_run(g))                                 \
				usleep(100);                               \
		ok_;                                                       \
	})

/* ---- start ----------------------------------------------------------------*/

/* Negotiate, set up three queues, offer @rx_count buffers of @rx_size. */
static inline void guest_start(struct guest *g, uint64_t features)
{
	drv_negotiate(&g->drv, features);
	drv_queue(&g->drv, VSOCK_RX, 64, RX_RING);
	drv_queue(&g->drv, VSOCK_TX, 64, TX_RING);
	drv_queue(&g->drv, VSOCK_EVENT, 4, EVENT_RING);
	g->tx_next = g->tx_flying = 0;
	drv_go(&g->drv);
	for (unsigned i = 0; i < g->rx_count; i++)
		guest_offer_rx(g, i);
	drv_kick(&g->drv, VSOCK_RX);
	bed_run(g->bed, 2);
}

/* The device is gone. */
static inline void guest_release(struct guest *g)
{
	for (struct guest_turn *t = g->old_turns, *next; t; t = next) {
		next = t->next;
		free(t);
	}
	g->old_turns = NULL;
	for (unsigned i = 0; i < g->peers; i++)
		free(g->peer[i].data);
}

#endif
