/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: a guest and host programs that do anything to the vsock device
 *
 * The input is a list of operations of 12 bytes: packets from the guest with
 * any header, host programs that connect, write, read, shut down and close,
 * receive buffers of any size, time passing, reset, save and load. The device
 * is made once; its loop is run here, so that every input does the same every
 * time. After each input a reset must leave no connection behind.
 */
#include <sys/stat.h>

#include "tests/unit/vsock-guest.h"

#define CLIENTS	 8
#define OPS_MAX	 200
#define RX_SLOTS 32

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/**
 * struct op - one step
 * @kind: what is done, modulo the number of kinds
 * @a, @b, @c: small choices
 * @x, @y: numbers
 */
struct op {
	uint8_t kind, a, b, c;
	uint32_t x, y;
};

static struct bed bed;
static struct device *dev;
static struct vsock *v;
static struct drv drv;
static struct vsock_config config;
static char dir[64], path[80];
static int client[CLIENTS], listener;
static struct event_source idle;
static struct event_loop *loop;
static unsigned rounds, rx_next, tx_next, rx_flying, tx_flying, ev_flying;

static void idle_ready(void *opaque, uint32_t events)
{
	(void)opaque;
	(void)events;
	if (!rounds--)
		event_loop_stop(loop);
}

static void run(unsigned n)
{
	rounds = n;
	event_loop_run(loop);
}

static int unix_socket(const char *at, bool listens)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	CHECK(fd >= 0);
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", at);
	if (listens) {
		unlink(at);
		CHECK(!bind(fd, (void *)&sa, sizeof(sa)) && !listen(fd, 2));
	} else if (connect(fd, (void *)&sa, sizeof(sa))) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static void clean_up(void)
{
	event_del(loop, &idle);
	device_free(dev);
	unlink(path);
	strcat(path, "_7");
	unlink(path);
	rmdir(dir);
}

static void once(void)
{
	char at[96];

	if (dev)
		return;
	snprintf(dir, sizeof(dir), "/tmp/fuzz-vsock-XXXXXX");
	CHECK(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/v", dir);
	snprintf(at, sizeof(at), "%s_7", path);
	config = (struct vsock_config){ .cid = CID, .socket = path };
	bed_open(&bed, TRANSPORT_MMIO, false);
	bed.item = &config;
	dev = bed_add(&bed, "virtio-vsock");
	drv_find(&drv, &bed, dev, 0);
	v = container_of(dev, struct vsock, vd.dev);
	v->vd.cls->halt(&v->vd);
	loop = iothread_loop(v->thread);
	idle = (struct event_source){ eventfd(1, EFD_CLOEXEC), idle_ready,
				      NULL };
	CHECK(!event_add(loop, &idle, EPOLLIN));
	listener = unix_socket(at, true);
	for (unsigned i = 0; i < CLIENTS; i++)
		client[i] = -1;
	atexit(clean_up);
}

/* ---- the guest ------------------------------------------------------------*/

static void set_up(void)
{
	drv_negotiate(&drv, VIRTIO_F_VERSION_1);
	drv_queue(&drv, VSOCK_RX, 64, RX_RING);
	drv_queue(&drv, VSOCK_TX, 64, TX_RING);
	drv_queue(&drv, VSOCK_EVENT, 4, EVENT_RING);
	rx_next = tx_next = rx_flying = tx_flying = ev_flying = 0;
	drv_go(&drv);
	run(2);
}

static uint32_t host_port(const struct op *op)
{
	static const uint32_t ports[] = { 7, 8, UINT32_MAX };

	if (op->b % 8 < 4)
		return 7;
	if (op->b % 8 < 6)
		return ports[op->b % 3];
	return v->next_port - (op->b >> 4);
}

static void guest_packet_op(const struct op *op)
{
	uint32_t bytes = op->x & 0xffff;
	struct vsock_header h = {
		.src_cid = op->c == 0xff ? op->y : CID,
		.dst_cid = op->c == 0xfe ? op->y : VSOCK_HOST_CID,
		.src_port = 1000 + (op->b >> 3 & 3),
		.dst_port = host_port(op),
		.len = op->c == 0xfd ? op->x : bytes,
		.type = op->c == 0xfc ? (uint16_t)op->y : VSOCK_TYPE_STREAM,
		.op = op->a & 0x80 ? op->a : 1 + op->a % 7,
		.flags = op->a >> 3 & 3,
		.buf_alloc = op->c & 1 ? op->y : 65536,
		.fwd_cnt = op->c & 2 ? op->y : 0,
	};
	uint64_t at = TX_BUFS + (uint64_t)(tx_next % TX_COUNT) * TX_BYTES;
	uint8_t raw[VSOCK_HEADER_BYTES];
	uint32_t head, left;

	while (drv_take(&drv, VSOCK_TX, &head, &left))
		tx_flying--;
	if (tx_flying == TX_COUNT)
		return;
	tx_flying++;
	tx_next++;
	header_put(raw, &h);
	ram_write(&bed.ram, GPA(at), raw, sizeof(raw));
	drv_add(&drv, VSOCK_TX, at,
		op->c == 0xfb ? op->x % 60 + 1 : (uint32_t)sizeof(raw) + bytes,
		op->c == 0xfa);
	drv_kick(&drv, VSOCK_TX);
	run(1);
}

static void check_received(uint32_t buffer, uint32_t len)
{
	uint8_t raw[VSOCK_HEADER_BYTES];
	struct vsock_header h;

	if (!len)
		return;
	CHECK(len >= sizeof(raw) && len <= RX_BYTES);
	ram_read(&bed.ram, GPA(RX_BUFS + (uint64_t)buffer * RX_BYTES), raw,
		 sizeof(raw));
	header_get(raw, &h);
	CHECK(h.dst_cid == CID && len == sizeof(raw) + h.len);
	CHECK(h.op >= VSOCK_OP_REQUEST && h.op <= VSOCK_OP_CREDIT_REQUEST);
	CHECK(!h.len || h.op == VSOCK_OP_RW);
}

static void rx_op(const struct op *op)
{
	uint32_t head, len, size = op->c & 1 ? RX_BYTES : op->x % 64 + 1;

	for (; drv_take(&drv, VSOCK_RX, &head, &len); rx_flying--)
		check_received(head % RX_SLOTS, len);
	for (unsigned i = 0; i <= op->a % 8u && rx_flying < RX_SLOTS;
	     i++, rx_next++, rx_flying++)
		drv_add(&drv, VSOCK_RX,
			RX_BUFS + (uint64_t)(rx_next % RX_SLOTS) * RX_BYTES,
			size, true);
	drv_kick(&drv, VSOCK_RX);
	run(1);
}

static void event_op(void)
{
	uint32_t head, len;

	for (; drv_take(&drv, VSOCK_EVENT, &head, &len); ev_flying--)
		CHECK(!len || len == 4);
	if (ev_flying == 4)
		return;
	ev_flying++;
	drv_add(&drv, VSOCK_EVENT, EVENT_BUF, 4, true);
	drv_kick(&drv, VSOCK_EVENT);
	run(1);
}

static void state_op(const struct op *op)
{
	struct stream_out out;
	struct stream_in in;
	struct diag d = DIAG_INIT;

	stream_out_init(&out);
	dev->cls->pause(dev);
	dev->cls->save(dev, &out);
	dev->cls->resume(dev);
	if (op->c & 1)
		out.data[op->x % out.len] ^= op->b;
	dev->cls->reset(dev);
	stream_in_init(&in, out.data, out.len);
	if (dev->cls->load(dev, &in, &d) ||
	    (drv_status(&drv) & 0x47) !=
		    (VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_DRIVER_OK))
		set_up();
	stream_out_release(&out);
}

/* ---- the host -------------------------------------------------------------*/

static void connect_op(const struct op *op)
{
	int *fd = &client[op->a % CLIENTS];

	if (*fd >= 0)
		close(*fd);
	*fd = op->b & 1 ? unix_socket(path, false)
			: accept4(listener, NULL, NULL,
				  SOCK_NONBLOCK | SOCK_CLOEXEC);
	run(1);
}

static void write_op(const struct op *op)
{
	static char text[70000];
	int n = snprintf(text, sizeof(text), "CONNECT %u\n",
			 op->c & 1 ? op->x : 1000 + op->x % 4);
	size_t len = op->b & 1 ? (size_t)n : op->y % sizeof(text);

	send(client[op->a % CLIENTS], text, op->c & 2 ? op->y % 40 : len,
	     MSG_NOSIGNAL);
	run(1);
}

static void read_op(const struct op *op)
{
	static char text[300000];

	recv(client[op->a % CLIENTS], text, op->x % sizeof(text), 0);
	run(1);
}

static void end_op(const struct op *op)
{
	int *fd = &client[op->a % CLIENTS];

	if (op->b % 4 < 3) {
		shutdown(*fd, op->b % 4);
	} else {
		close(*fd);
		*fd = -1;
	}
	run(1);
}

static void time_op(const struct op *op)
{
	pthread_mutex_lock(&v->vd.lock);
	for (unsigned i = 0; i < 16; i++) {
		struct vsock_conn *c = &v->slot[i];

		if (c->state != VSOCK_FREE && op->a & 1)
			c->deadline_ns = 0;
	}
	pthread_mutex_unlock(&v->vd.lock);
	v->tick.expired(v->tick.opaque);
}

static void operate(const struct op *op)
{
	switch (op->kind % 16) {
	case 8:
	case 9:
		rx_op(op);
		break;
	case 10:
		connect_op(op);
		break;
	case 11:
		write_op(op);
		break;
	case 12:
		read_op(op);
		break;
	case 13:
		end_op(op);
		break;
	case 14:
		time_op(op);
		break;
	case 15:
		if (op->a == 1)
			state_op(op);
		else if (op->a == 2)
			set_up();
		else if (op->a & 1)
			event_op();
		else
			run(3);
		break;
	default:
		guest_packet_op(op);
	}
}

/* ---- one input ------------------------------------------------------------*/

static void all_over(void)
{
	int fd;

	for (unsigned i = 0; i < CLIENTS; i++) {
		if (client[i] >= 0)
			close(client[i]);
		client[i] = -1;
	}
	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0)
		close(fd);
	run(3);
	drv_set_status(&drv, 0);
	/* A client that connects while it is reset would be let in: none does.
	 */
	CHECK(v->unused_count == v->limits.connections);
	CHECK(vsock_list_empty(&v->runnable) && !v->rst_count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	once();
	set_up();
	for (unsigned i = 0; i < OPS_MAX && len >= 12; i++) {
		const struct op op = {
			.kind = data[0],
			.a = data[1],
			.b = data[2],
			.c = data[3],
			.x = get_le32(data + 4),
			.y = get_le32(data + 8),
		};

		operate(&op);
		data += 12;
		len -= 12;
	}
	all_over();
	return 0;
}
