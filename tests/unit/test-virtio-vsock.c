/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: tests of virtio-vsock: connections both ways, ends, credit, time limits,
 * hostile packets, state; each over PCI and MMIO, on both ring formats
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "tests/unit/formats.h"
#include "tests/unit/suite.h"
#include "tests/unit/vsock-guest.h"

#define V1    VIRTIO_F_VERSION_1
#define QUIET 15 /* ms in which what should not come would have come */

static struct bed bed;
static struct guest guest;
static struct guest *const g = &guest;
static struct vsock *v;
static struct vsock_config config;
static char dir[32], path[64];

static void setup(void)
{
	memset(&bed, 0, sizeof(bed));
	memset(&guest, 0, sizeof(guest));
	strcpy(dir, "/tmp/test-vsock-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/v", dir);
}

static void teardown(void)
{
	char cmd[64];

	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	ck_assert_int_eq(system(cmd), 0);
}

/* Time limits: long, unless a test waits for them. */
static void set_limits(unsigned ms)
{
	pthread_mutex_lock(&v->vd.lock);
	v->limits.connect_ns = v->limits.close_ns = ms * 1000000ULL;
	pthread_mutex_unlock(&v->vd.lock);
}

static void add_device(int transport)
{
	config = (struct vsock_config){ .cid = CID, .socket = path };
	bed_open(&bed, transport ? TRANSPORT_MMIO : TRANSPORT_PCI, false);
	bed.item = &config;
	g->bed = &bed;
	g->dev = bed_add(&bed, "virtio-vsock");
	drv_find(&g->drv, &bed, g->dev, transport ? 0 : 1);
	v = guest_vsock(g);
	set_limits(60000);
	g->rx_size = RX_BYTES;
	g->rx_count = 32;
	g->alloc = 65536;
	g->listening = true;
}

static void begin(int transport)
{
	add_device(transport);
	guest_start(g, V1 | format);
}

static void end(void)
{
	device_free(g->dev);
	guest_release(g);
	bed_close(&bed);
	ck_assert_int_lt(access(path, F_OK), 0);
}

/* Look at what the device's thread works with. */
#define LOOK(what)                                 \
	({                                         \
		pthread_mutex_lock(&v->vd.lock);   \
		__auto_type look_ = (what);        \
		pthread_mutex_unlock(&v->vd.lock); \
		look_;                             \
	})

static void no_connections(void)
{
	ck_assert(
		GUEST_UNTIL(g, LOOK(v->unused_count) == v->limits.connections));
}

/* Bytes that are held for the host. */
static uint32_t held(const struct peer *p)
{
	struct vsock_conn *c;
	uint32_t n;

	pthread_mutex_lock(&v->vd.lock);
	c = vsock_conn_find(v, p->gp, p->hp);
	n = c ? c->held : 0;
	pthread_mutex_unlock(&v->vd.lock);
	return n;
}

/* ---- the host's programs
 * ---------------------------------------------------*/

static int host_connect(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	strcpy(sa.sun_path, path);
	ck_assert_int_eq(connect(fd, (void *)&sa, sizeof(sa)), 0);
	return fd;
}

static int host_listen(uint32_t port, int backlog)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s_%u", path, port);
	unlink(sa.sun_path);
	ck_assert_int_eq(bind(fd, (void *)&sa, sizeof(sa)), 0);
	ck_assert_int_eq(listen(fd, backlog), 0);
	return fd;
}

static int host_accept(int fd)
{
	return accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

static void say(int fd, const char *text)
{
	ck_assert_int_eq(send(fd, text, strlen(text), MSG_NOSIGNAL),
			 (ssize_t)strlen(text));
}

/* What is there to read: text, "EOF", "reset", or "" for nothing now. */
static const char *hear(int fd)
{
	static char text[256];
	ssize_t n = recv(fd, text, sizeof(text) - 1, 0);

	if (n < 0)
		return errno == EAGAIN ? "" : "reset";
	if (!n)
		return "EOF";
	text[n] = 0;
	return text;
}

static void expect_hear(int fd, const char *text)
{
	const char *got = "";

	GUEST_UNTIL(g, *(got = hear(fd)));
	ck_assert_str_eq(got, text);
}

static void expect_silence(int fd)
{
	guest_settle(g, QUIET);
	ck_assert_str_eq(hear(fd), "");
}

/* Wait until the device has dealt with all that the guest has sent. */
static void all_taken(void)
{
	ck_assert(GUEST_UNTIL(g, !g->tx_flying));
}

/* ---- what the guest got
 * -----------------------------------------------------*/

static struct vsock_header next_note(uint16_t op)
{
	ck_assert_msg(GUEST_UNTIL(g, g->seen < g->notes), "no packet");
	ck_assert_uint_eq(g->note[g->seen].op, op);
	return g->note[g->seen++];
}

static void no_note(void)
{
	guest_settle(g, QUIET);
	ck_assert_uint_eq(g->seen, g->notes);
}

static void forget_notes(void)
{
	guest_settle(g, QUIET);
	g->seen = g->notes;
}

/* A connection that the guest makes to the host's port; both ends. */
static struct peer *guest_connects(uint32_t gp, uint32_t hp, int listener,
				   int *fd)
{
	struct peer *p = guest_add_peer(g, gp, hp);

	guest_send(g, p, VSOCK_OP_REQUEST, 0, NULL, 0);
	ck_assert(GUEST_UNTIL(g, p->open));
	*fd = host_accept(listener);
	ck_assert_int_ge(*fd, 0);
	return p;
}

/* One that a host program makes to the guest's port. */
static struct peer *host_connects(uint32_t gp, int *fd)
{
	unsigned before = g->peers;
	char line[32], want[32];
	struct peer *p;

	*fd = host_connect();
	snprintf(line, sizeof(line), "CONNECT %u\n", gp);
	say(*fd, line);
	ck_assert(GUEST_UNTIL(g, g->peers > before));
	p = &g->peer[before];
	ck_assert_uint_eq(p->gp, gp);
	snprintf(want, sizeof(want), "OK %u\n", p->hp);
	expect_hear(*fd, want);
	return p;
}

static struct peer *easy(int *fd)
{
	int l = host_listen(7, 8);
	struct peer *p = guest_connects(1000, 7, l, fd);

	close(l);
	forget_notes();
	return p;
}

/* A pattern that shows what is missing or twice. */
static void fill(uint8_t *data, size_t at, size_t len)
{
	for (size_t i = 0; i < len; i++, at++)
		data[i] = (uint8_t)(at * 7 + (at >> 8) + (at >> 16));
}

/* ---- connecting
 * --------------------------------------------------------------*/

START_TEST(config_and_features)
{
	begin(_i);
	ck_assert_uint_eq(drv_get(&g->drv, g->drv.mmio ? 0x100 : 0x2000, 4),
			  CID);
	ck_assert_uint_eq(drv_get(&g->drv, g->drv.mmio ? 0x104 : 0x2004, 4), 0);
	ck_assert(drv_offered(&g->drv) & 1);
	ck_assert(!(drv_offered(&g->drv) & 2)); /* no seqpacket */
	end();
}
END_TEST

START_TEST(guest_to_host)
{
	struct vsock_header h;
	struct peer *p;
	int l, fd;

	begin(_i);
	l = host_listen(7, 8);
	p = guest_connects(1000, 7, l, &fd);
	h = next_note(VSOCK_OP_RESPONSE);
	ck_assert_uint_eq(h.src_cid, 2);
	ck_assert_uint_eq(h.type, 1);
	ck_assert_uint_ge(h.buf_alloc, 65536);
	guest_send(g, p, VSOCK_OP_RW, 0, "hello", 5);
	expect_hear(fd, "hello");
	say(fd, "and hello");
	ck_assert(GUEST_UNTIL(g, p->len == 9));
	ck_assert_mem_eq(p->data, "and hello", 9);
	h = next_note(VSOCK_OP_RW);
	ck_assert_uint_eq(h.len, 9);
	ck_assert_uint_eq(h.fwd_cnt, 5);
	no_note();
	close(l);
	close(fd);
	end();
}
END_TEST

START_TEST(guest_to_nobody)
{
	struct peer *p;

	begin(_i);
	p = guest_add_peer(g, 1000, 7);
	guest_send(g, p, VSOCK_OP_REQUEST, 0, NULL, 0);
	ck_assert(GUEST_UNTIL(g, p->rst));
	/* The same ports can be used again at once. */
	easy(&(int){ 0 });
	end();
}
END_TEST

/* A server with a full queue is dialed until it has room. */
START_TEST(guest_to_busy_server)
{
	struct peer *p[8];
	unsigned open = 0;
	int l, fd[8];

	begin(_i);
	l = host_listen(7, 0);
	for (unsigned i = 0; i < 8; i++) {
		p[i] = guest_add_peer(g, 1000 + i, 7);
		guest_send(g, p[i], VSOCK_OP_REQUEST, 0, NULL, 0);
	}
	guest_settle(g, QUIET);
	for (unsigned i = 0; i < 8; i++)
		open += p[i]->open;
	ck_assert_uint_lt(open, 8);
	for (unsigned i = 0; i < 8; i++) {
		fd[i] = -1;
		ck_assert(GUEST_UNTIL(g, (fd[i] = host_accept(l)) >= 0));
		close(fd[i]);
	}
	for (unsigned i = 0; i < 8; i++)
		ck_assert(GUEST_UNTIL(g, p[i]->open) && !p[i]->rst);
	close(l);
	end();
}
END_TEST

START_TEST(guest_to_server_that_never_accepts)
{
	struct peer *p[3];
	int l;

	begin(_i);
	set_limits(50);
	l = host_listen(7, 0);
	for (unsigned i = 0; i < 3; i++) {
		p[i] = guest_add_peer(g, 1000 + i, 7);
		guest_send(g, p[i], VSOCK_OP_REQUEST, 0, NULL, 0);
	}
	ck_assert(GUEST_UNTIL(g, p[2]->rst));
	ck_assert(!p[2]->open);
	ck_assert(LOOK(vsock_list_empty(&v->waiting)));
	close(l);
	end();
}
END_TEST

START_TEST(host_to_guest)
{
	struct vsock_header h;
	struct peer *p;
	int fd;

	begin(_i);
	p = host_connects(52, &fd);
	h = next_note(VSOCK_OP_REQUEST);
	ck_assert_uint_eq(h.src_cid, 2);
	ck_assert_uint_ge(h.src_port, 1u << 30);
	ck_assert_uint_ge(h.buf_alloc, 65536);
	say(fd, "abc");
	ck_assert(GUEST_UNTIL(g, p->len == 3));
	guest_send(g, p, VSOCK_OP_RW, 0, "xyz", 3);
	expect_hear(fd, "xyz");
	close(fd);
	end();
}
END_TEST

/* What the client sends behind its line belongs to the guest. */
START_TEST(host_sends_early)
{
	struct peer *p;
	int fd;

	begin(_i);
	fd = host_connect();
	say(fd, "CONN");
	expect_silence(fd);
	say(fd, "ECT 52\nearly\nbytes");
	ck_assert(GUEST_UNTIL(g, g->peers && g->peer[0].len == 11));
	p = &g->peer[0];
	ck_assert_mem_eq(p->data, "early\nbytes", 11);
	close(fd);
	end();
}
END_TEST

/* …and reaches it even if the client does not wait for the answer. */
START_TEST(host_sends_and_leaves)
{
	struct peer *p;
	int fd;

	begin(_i);
	fd = host_connect();
	say(fd, "CONNECT 52\nlast words");
	close(fd);
	ck_assert(GUEST_UNTIL(g, g->peers && !g->peer[0].used));
	p = &g->peer[0];
	ck_assert_uint_eq(p->len, 10);
	ck_assert_uint_eq(p->shut, VSOCK_SHUT_BOTH);
	end();
}
END_TEST

static const struct {
	const char *line;
	uint32_t port; /* 0: hung up on */
} greetings[] = {
	{ "CONNECT 1\n", 1 },
	{ "connect 22\n", 22 },
	{ "CONNECT 4294967294\n", 4294967294 },
	{ "CONNECT 80\r\n", 80 },
	{ "CONNECT 4294967295\n", 0 },
	{ "CONNECT 4294967296\n", 0 },
	{ "CONNECT 99999999999999999999\n", 0 },
	{ "CONNECT -1\n", 0 },
	{ "CONNECT +1\n", 0 },
	{ "CONNECT  1\n", 0 },
	{ "CONNECT 1 \n", 0 },
	{ "CONNECT 0x10\n", 0 },
	{ "CONNECT\n", 0 },
	{ "CONNECT \n", 0 },
	{ "GET / HTTP/1.1\r\n", 0 },
	{ "\n", 0 },
	{ "\n\n\n", 0 },
	{ "CONNECT 000000000000000000000000000000001\n", 0 },
	{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 0 },
};

/* Class (o): the line is all that a host program asks the device for; of any
 * length and content. */
START_TEST(host_greetings)
{
	int fd;

	begin(0);
	fd = host_connect();
	say(fd, greetings[_i].line);
	if (greetings[_i].port) {
		ck_assert_uint_eq(next_note(VSOCK_OP_REQUEST).dst_port,
				  greetings[_i].port);
	} else {
		const char *got = "";

		ck_assert(GUEST_UNTIL(g, *(got = hear(fd))));
		/* "reset": there was more than was looked at */
		ck_assert(!strcmp(got, "EOF") || !strcmp(got, "reset"));
		no_note();
		no_connections();
	}
	close(fd);
	end();
}
END_TEST

START_TEST(host_is_refused)
{
	int fd;

	begin(_i);
	g->listening = false;
	fd = host_connect();
	say(fd, "CONNECT 52\n");
	expect_hear(fd, "EOF");
	close(fd);
	guest_settle(g, QUIET);
	no_connections();
	end();
}
END_TEST

START_TEST(host_is_not_answered)
{
	int fd;

	begin(_i);
	g->manual = true;
	set_limits(50);
	fd = host_connect();
	say(fd, "CONNECT 52\n");
	next_note(VSOCK_OP_REQUEST);
	expect_hear(fd, "EOF");
	next_note(VSOCK_OP_RST);
	close(fd);
	guest_settle(g, QUIET);
	no_connections();
	end();
}
END_TEST

/* Before the driver runs, nobody can answer either. */
START_TEST(host_comes_too_early)
{
	int fd;

	add_device(_i);
	set_limits(50);
	fd = host_connect();
	say(fd, "CONNECT 52\n");
	for (uint64_t from = patience_ns();
	     strcmp(hear(fd), "EOF") && ms_since(from) < PATIENCE_MS;)
		usleep(100);
	ck_assert_str_eq(hear(fd), "EOF");
	close(fd);
	guest_start(g, V1 | format);
	no_note();
	end();
}
END_TEST

/* ---- ends
 * ---------------------------------------------------------------------*/

START_TEST(guest_half_closes)
{
	struct peer *p;
	int fd;

	begin(_i);
	p = easy(&fd);
	guest_send(g, p, VSOCK_OP_RW, 0, "bye", 3);
	guest_send(g, p, VSOCK_OP_SHUTDOWN, VSOCK_SHUT_SEND, NULL, 0);
	expect_hear(fd, "bye");
	expect_hear(fd, "EOF");
	no_note();
	say(fd, "still here");
	ck_assert(GUEST_UNTIL(g, p->len == 10));
	/* The other direction ends: all is over, for both sides. */
	close(fd);
	ck_assert(GUEST_UNTIL(g, !p->used));
	ck_assert_uint_eq(p->shut, VSOCK_SHUT_BOTH);
	guest_settle(g, QUIET);
	no_connections();
	end();
}
END_TEST

START_TEST(host_half_closes)
{
	struct peer *p;
	int fd;

	begin(_i);
	p = easy(&fd);
	say(fd, "question");
	shutdown(fd, SHUT_WR);
	ck_assert(GUEST_UNTIL(g, p->shut));
	ck_assert_uint_eq(p->shut, VSOCK_SHUT_SEND);
	ck_assert_uint_eq(p->len, 8);
	guest_send(g, p, VSOCK_OP_RW, 0, "answer", 6);
	expect_hear(fd, "answer");
	guest_send(g, p, VSOCK_OP_SHUTDOWN, VSOCK_SHUT_SEND, NULL, 0);
	expect_hear(fd, "EOF");
	ck_assert(GUEST_UNTIL(g, p->shut == VSOCK_SHUT_BOTH));
	close(fd);
	guest_settle(g, QUIET);
	no_connections();
	end();
}
END_TEST

START_TEST(guest_closes)
{
	struct peer *p;
	int fd;

	begin(_i);
	p = easy(&fd);
	guest_send(g, p, VSOCK_OP_RW, 0, "bye", 3);
	guest_send(g, p, VSOCK_OP_SHUTDOWN, VSOCK_SHUT_BOTH, NULL, 0);
	next_note(VSOCK_OP_RST);
	no_note();
	expect_hear(fd, "bye");
	expect_hear(fd, "EOF");
	ck_assert_int_lt(send(fd, "x", 1, MSG_NOSIGNAL), 0);
	no_connections();
	close(fd);
	end();
}
END_TEST

START_TEST(host_closes)
{
	struct peer *p;
	int fd;

	begin(_i);
	p = easy(&fd);
	say(fd, "bye");
	close(fd);
	ck_assert(GUEST_UNTIL(g, p->shut == VSOCK_SHUT_BOTH));
	ck_assert_uint_eq(p->len, 3);
	guest_settle(g, QUIET); /* its RST gets through */
	no_connections();
	end();
}
END_TEST

/* The guest says nothing to our SHUTDOWN: after a while we do. */
START_TEST(host_closes_guest_says_nothing)
{
	bool rst, in_time;
	struct peer *p;
	uint64_t from;
	int fd;

	begin(_i);
	set_limits(500);
	p = easy(&fd);
	g->manual = true;
	from = patience_ns();
	close(fd);
	ck_assert(GUEST_UNTIL(g, p->shut == VSOCK_SHUT_BOTH));
	rst = p->rst;
	/* Bytes that had crossed are no offence. */
	guest_send(g, p, VSOCK_OP_RW, 0, "late", 4);
	all_taken();
	in_time = ms_since(from) < 500;
	ck_assert(!rst || !in_time);
	ck_assert(GUEST_UNTIL(g, p->rst));
	no_connections();
	if (in_time)
		ck_assert_uint_eq(atomic_load(&v->bad), 0);
	end();
}
END_TEST

/* Bytes wait for the guest's credit; only then comes the end. */
START_TEST(host_closes_bytes_first)
{
	uint8_t data[10000];
	struct peer *p;
	int fd;

	begin(_i);
	g->alloc = 4000;
	p = easy(&fd);
	p->hold = true;
	fill(data, 0, sizeof(data));
	ck_assert_int_eq(write(fd, data, sizeof(data)), sizeof(data));
	close(fd);
	ck_assert(GUEST_UNTIL(g, p->len == 4000));
	guest_settle(g, QUIET);
	ck_assert(!(p->shut & VSOCK_SHUT_SEND) && !p->rst);
	p->hold = false;
	p->fwd = 4000;
	guest_send(g, p, VSOCK_OP_CREDIT_UPDATE, 0, NULL, 0);
	ck_assert(GUEST_UNTIL(g, !p->used));
	ck_assert_uint_eq(p->len, sizeof(data));
	ck_assert_mem_eq(p->data, data, sizeof(data));
	ck_assert_uint_eq(p->shut, VSOCK_SHUT_BOTH);
	end();
}
END_TEST

/* Send until the host's socket is full and we hold @held bytes. */
static size_t stuff(struct peer *p, uint32_t want)
{
	static uint8_t data[16384];
	size_t sent = 0;

	for (;;) {
		ck_assert(GUEST_UNTIL(
			g, held(p) >= want || guest_credit(p) >= sizeof(data)));
		if (held(p) >= want)
			return sent;
		fill(data, sent, sizeof(data));
		guest_send(g, p, VSOCK_OP_RW, 0, data, sizeof(data));
		sent += sizeof(data);
		guest_run(g);
	}
}

/* Read @len bytes, check the pattern, and that the end follows. */
static void drain(int fd, size_t len, const char *then)
{
	static uint8_t got[65536], want[65536];
	size_t at = 0;
	ssize_t n = 0;

	while (at < len) {
		ck_assert(GUEST_UNTIL(g,
				      (n = recv(fd, got, sizeof(got), 0)) > 0));
		fill(want, at, (size_t)n);
		ck_assert_mem_eq(got, want, n);
		at += (size_t)n;
	}
	ck_assert_uint_eq(at, len);
	if (*then)
		expect_hear(fd, then);
	else
		expect_silence(fd);
}

START_TEST(guest_closes_bytes_first)
{
	struct peer *p;
	size_t len;
	int fd;

	begin(_i);
	p = easy(&fd);
	len = stuff(p, 1);
	guest_send(g, p, VSOCK_OP_SHUTDOWN, VSOCK_SHUT_BOTH, NULL, 0);
	guest_settle(g, QUIET);
	ck_assert(!p->rst);
	drain(fd, len, "EOF");
	ck_assert(GUEST_UNTIL(g, p->rst));
	close(fd);
	end();
}
END_TEST

START_TEST(guest_half_closes_bytes_first)
{
	struct peer *p;
	size_t len;
	int fd;

	begin(_i);
	p = easy(&fd);
	len = stuff(p, 100000);
	guest_send(g, p, VSOCK_OP_SHUTDOWN, VSOCK_SHUT_SEND, NULL, 0);
	say(fd, "x");
	drain(fd, len, "EOF");
	ck_assert(GUEST_UNTIL(g, p->len == 1));
	ck_assert(!p->rst && !p->shut);
	close(fd);
	end();
}
END_TEST

/* Linux loses patience 8 s after close(): the bytes still arrive. */
START_TEST(guest_closes_and_resets)
{
	struct peer *p, *again;
	size_t len;
	int fd, fd2;

	begin(_i);
	p = easy(&fd);
	len = stuff(p, 1);
	guest_send(g, p, VSOCK_OP_SHUTDOWN, VSOCK_SHUT_BOTH, NULL, 0);
	guest_send(g, p, VSOCK_OP_RST, 0, NULL, 0);
	forget_notes();
	p->used = false;
	/* The ports are free again. */
	again = easy(&fd2);
	guest_send(g, again, VSOCK_OP_RW, 0, "new", 3);
	expect_hear(fd2, "new");
	close(fd2);
	drain(fd, len, "EOF");
	close(fd);
	guest_settle(g, QUIET);
	no_connections();
	end();
}
END_TEST

/* A RST without SHUTDOWN is no end of file… but the socket has no other. */
START_TEST(guest_resets)
{
	struct peer *p;
	int fd;

	begin(_i);
	p = easy(&fd);
	guest_send(g, p, VSOCK_OP_RST, 0, NULL, 0);
	expect_hear(fd, "EOF");
	no_note();
	no_connections();
	close(fd);
	end();
}
END_TEST

START_TEST(guest_stops_reading)
{
	struct peer *p;
	int fd;

	begin(_i);
	p = easy(&fd);
	guest_send(g, p, VSOCK_OP_SHUTDOWN, VSOCK_SHUT_RECEIVE, NULL, 0);
	ck_assert(GUEST_UNTIL(g, p->shut == VSOCK_SHUT_SEND));
	ck_assert_int_lt(send(fd, "x", 1, MSG_NOSIGNAL), 0);
	ck_assert_int_eq(errno, EPIPE);
	guest_send(g, p, VSOCK_OP_RW, 0, "more", 4);
	expect_hear(fd, "more");
	close(fd);
	end();
}
END_TEST

START_TEST(host_stops_reading)
{
	struct peer *p;
	int fd;

	begin(_i);
	p = easy(&fd);
	shutdown(fd, SHUT_RD);
	guest_send(g, p, VSOCK_OP_RW, 0, "lost", 4);
	ck_assert(GUEST_UNTIL(g, p->shut == VSOCK_SHUT_RECEIVE));
	/* Who does not hear it yet is not stuck: its credit comes back. */
	guest_send(g, p, VSOCK_OP_RW, 0, "lost too", 8);
	all_taken();
	say(fd, "more");
	ck_assert(GUEST_UNTIL(g, p->len == 4));
	ck_assert_uint_eq(p->host_fwd, 12);
	close(fd);
	ck_assert(GUEST_UNTIL(g, !p->used));
	end();
}
END_TEST

/* The host leaves while we hold bytes for it. */
START_TEST(host_leaves_full)
{
	struct peer *p;
	int fd;

	begin(_i);
	p = easy(&fd);
	stuff(p, 1);
	close(fd);
	ck_assert(GUEST_UNTIL(g, !p->used));
	guest_settle(g, QUIET);
	no_connections();
	end();
}
END_TEST

/* ---- credit
 * ---------------------------------------------------------------------*/

START_TEST(credit_for_the_guest)
{
	struct peer *p, *q;
	struct vsock_conn *c;
	size_t len;
	int fd, fd2;

	begin(_i);
	p = easy(&fd);
	q = host_connects(52, &fd2);
	len = stuff(p, 1);
	c = LOOK(vsock_conn_find(v, p->gp, p->hp));
	while (guest_credit(p) >= 16384) {
		uint8_t data[16384];

		fill(data, len, sizeof(data));
		guest_send(g, p, VSOCK_OP_RW, 0, data, sizeof(data));
		len += sizeof(data);
		guest_run(g);
	}
	guest_settle(g, QUIET);
	ck_assert_uint_le(held(p), c->alloc_bytes);
	ck_assert_uint_gt(held(p), c->alloc_bytes / 2 - 16384);
	/* Others are not held up. */
	guest_send(g, q, VSOCK_OP_RW, 0, "me too", 6);
	expect_hear(fd2, "me too");
	say(fd2, "fine");
	ck_assert(GUEST_UNTIL(g, q->len == 4));
	/* CREDIT_REQUEST is answered with the truth. */
	forget_notes();
	guest_send(g, p, VSOCK_OP_CREDIT_REQUEST, 0, NULL, 0);
	ck_assert_uint_eq(next_note(VSOCK_OP_CREDIT_UPDATE).fwd_cnt,
			  (uint32_t)len - held(p));
	drain(fd, len, "");
	end();
	close(fd);
	close(fd2);
}
END_TEST

START_TEST(credit_is_exceeded)
{
	static uint8_t data[65536];
	struct vsock_conn *c;
	struct peer *p;
	int fd;

	begin(_i);
	p = easy(&fd);
	stuff(p, 1);
	c = LOOK(vsock_conn_find(v, p->gp, p->hp));
	for (unsigned i = 0; i <= c->alloc_bytes / sizeof(data); i++)
		guest_send(g, p, VSOCK_OP_RW, 0, data, sizeof(data));
	ck_assert(GUEST_UNTIL(g, p->rst));
	ck_assert_uint_ge(atomic_load(&v->bad), 1);
	no_connections();
	close(fd);
	end();
}
END_TEST

START_TEST(credit_of_the_guest)
{
	static uint8_t data[200000];
	struct peer *p;
	size_t done = 0;
	ssize_t n;
	int fd;

	begin(_i);
	g->alloc = 10000;
	p = easy(&fd);
	fill(data, 0, sizeof(data));
	while (done < sizeof(data)) {
		n = send(fd, data + done, MIN(sizeof(data) - done, 50000),
			 MSG_NOSIGNAL);
		done += n > 0 ? (size_t)n : 0;
		guest_run(g); /* checks that credit is kept */
	}
	ck_assert(GUEST_UNTIL(g, p->len == sizeof(data)));
	ck_assert_mem_eq(p->data, data, sizeof(data));
	close(fd);
	end();
}
END_TEST

/* No credit: we ask once, and go on when some comes. */
START_TEST(credit_is_asked_for)
{
	uint8_t data[3000] = { 1 };
	struct peer *p;
	int fd;

	begin(_i);
	g->alloc = 1000;
	p = easy(&fd);
	p->hold = true;
	ck_assert_int_eq(write(fd, data, 3000), 3000);
	next_note(VSOCK_OP_RW);
	next_note(VSOCK_OP_CREDIT_REQUEST);
	no_note();
	p->fwd = 500;
	guest_send(g, p, VSOCK_OP_CREDIT_UPDATE, 0, NULL, 0);
	ck_assert_uint_eq(next_note(VSOCK_OP_RW).len, 500);
	end();
	close(fd);
}
END_TEST

/* fwd_cnt and our own count pass 2^32. */
START_TEST(credit_wraps)
{
	static uint8_t data[300000], got[300000];
	struct vsock_conn *c;
	struct peer *p;
	size_t at = 0, in = 0;
	int fd;

	begin(_i);
	p = easy(&fd);
	c = LOOK(vsock_conn_find(v, p->gp, p->hp));
	pthread_mutex_lock(&v->vd.lock);
	c->got = c->forwarded = c->told = UINT32_MAX - 1000;
	c->sent = c->guest_forwarded = UINT32_MAX - 2000;
	pthread_mutex_unlock(&v->vd.lock);
	p->sent = p->host_fwd = UINT32_MAX - 1000;
	p->got = p->fwd = p->told = UINT32_MAX - 2000;
	p->hold = true;
	fill(data, 0, sizeof(data));
	while (at < sizeof(data)) {
		uint32_t n = MIN(guest_credit(p), 30000u);
		ssize_t r = recv(fd, got + in, sizeof(got) - in, 0);

		n = MIN(n, (uint32_t)(sizeof(data) - at));
		if (n)
			guest_send(g, p, VSOCK_OP_RW, 0, data + at, n);
		at += n;
		in += r > 0 ? (size_t)r : 0;
		guest_run(g);
	}
	while (in < sizeof(got)) {
		ssize_t r = recv(fd, got + in, sizeof(got) - in, 0);

		in += r > 0 ? (size_t)r : 0;
		guest_run(g);
	}
	ck_assert_mem_eq(got, data, sizeof(data));
	ck_assert_uint_eq(p->host_fwd, p->sent - (p->sent - p->host_fwd));
	ck_assert_uint_lt(p->host_fwd, 300000);
	/* The other way: credit is what the guest's counts say modulo 2^32. */
	ck_assert_int_eq(write(fd, data, 100000), 100000);
	ck_assert(GUEST_UNTIL(g, p->len == 65536));
	p->fwd += 65536;
	guest_send(g, p, VSOCK_OP_CREDIT_UPDATE, 0, NULL, 0);
	end();
	close(fd);
}
END_TEST

/* Counts that cannot be: no credit, nothing worse. */
START_TEST(credit_of_a_liar)
{
	struct peer *p;
	int fd;

	begin(_i);
	p = easy(&fd);
	p->fwd = 5;
	guest_send(g, p, VSOCK_OP_CREDIT_UPDATE, 0, NULL, 0);
	p->fwd = 0;
	p->hold = true;
	all_taken();
	say(fd, "text");
	no_note();
	guest_send(g, p, VSOCK_OP_CREDIT_UPDATE, 0, NULL, 0);
	ck_assert(GUEST_UNTIL(g, p->len == 4));
	end();
	close(fd);
}
END_TEST

/* ---- buffers
 * --------------------------------------------------------------------*/

/* Without receive buffers nothing is lost, and nobody spins. */
START_TEST(no_receive_buffers)
{
	struct peer *p;
	int l, fd[8];

	begin(_i);
	device_free(g->dev);
	bed_close(&bed);
	memset(&bed, 0, sizeof(bed));
	add_device(_i);
	g->rx_count = 0;
	guest_start(g, V1 | format);
	l = host_listen(7, 8);
	for (unsigned i = 0; i < 8; i++) {
		p = guest_add_peer(g, 1000 + i, 7);
		guest_send(g, p, VSOCK_OP_REQUEST, 0, NULL, 0);
	}
	guest_settle(g, QUIET);
	for (unsigned i = 0; i < 8; i++) {
		fd[i] = host_accept(l);
		ck_assert_int_ge(fd[i], 0);
		say(fd[i], "text");
	}
	guest_settle(g, QUIET);
	guest_offer_rx(g, 0);
	drv_kick(&g->drv, VSOCK_RX);
	for (unsigned i = 0; i < 8; i++)
		ck_assert(
			GUEST_UNTIL(g, g->peer[i].open && g->peer[i].len == 4));
	for (unsigned i = 0; i < 8; i++)
		close(fd[i]);
	close(l);
	end();
}
END_TEST

/* Buffers of odd sizes: too small for a header, or for nothing else. */
START_TEST(small_receive_buffers)
{
	static const unsigned sizes[] = { 45, 46, 100 };
	struct peer *p;
	uint32_t head, len;
	int fd;

	begin(_i);
	p = easy(&fd);
	/* Three that do not fit; each comes back empty. */
	g->rx_size = 43;
	bed_run(&bed, 2);
	while (LOOK(drv_take(&g->drv, VSOCK_RX, &head, &len)))
		;
	device_free(g->dev);
	guest_release(g);
	bed_close(&bed);
	close(fd);
	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		memset(&bed, 0, sizeof(bed));
		memset(&guest, 0, sizeof(guest));
		add_device(_i);
		g->rx_size = sizes[i];
		guest_start(g, V1 | format);
		p = easy(&fd);
		say(fd, "piece by piece");
		ck_assert(GUEST_UNTIL(g, p->len == 14));
		ck_assert_mem_eq(p->data, "piece by piece", 14);
		close(fd);
		ck_assert(GUEST_UNTIL(g, !p->used));
		if (i + 1 == ARRAY_SIZE(sizes))
			break;
		device_free(g->dev);
		guest_release(g);
		bed_close(&bed);
	}
	end();
}
END_TEST

START_TEST(useless_receive_buffers)
{
	uint32_t head, len;
	struct peer *p;
	int fd;

	add_device(_i);
	g->rx_count = 4;
	g->rx_size = 43;
	guest_start(g, V1 | format);
	p = guest_add_peer(g, 1, 99);
	guest_send(g, p, VSOCK_OP_REQUEST, 0, NULL, 0);
	for (unsigned i = 0; i < 4; i++) {
		while (!LOOK(drv_take(&g->drv, VSOCK_RX, &head, &len)))
			bed_run(&bed, 1);
		ck_assert_uint_eq(len, 0);
	}
	ck_assert_uint_ge(atomic_load(&v->bad), 4);
	/* Headers only: packets without data fit, data waits. */
	g->rx_size = 44;
	guest_offer_rx(g, 0);
	drv_kick(&g->drv, VSOCK_RX);
	ck_assert(GUEST_UNTIL(g, p->rst));
	p = easy(&fd);
	g->rx_size = RX_BYTES;
	say(fd, "x");
	ck_assert(GUEST_UNTIL(g, p->len == 1));
	close(fd);
	end();
}
END_TEST

/* ---- many
 * -----------------------------------------------------------------------*/

/* Half of them made by the guest, half by the host; all echo at once. */
START_TEST(many)
{
	enum { MANY = 1200 };
	static int fd[MANY];
	static char text[MANY][16];
	unsigned heard = 0;
	int l;

	begin(_i);
	g->echo = true;
	l = host_listen(7, 128);
	for (unsigned i = 0; i < MANY; i++) {
		if (i & 1)
			host_connects(5000 + i, &fd[i]);
		else
			guest_connects(1000 + i, 7, l, &fd[i]);
	}
	ck_assert_uint_eq(LOOK(v->unused_count), v->limits.connections - MANY);
	for (unsigned i = 0; i < MANY; i++) {
		snprintf(text[i], sizeof(text[i]), "text %u", i);
		say(fd[i], text[i]);
	}
	for (unsigned i = 0; i < MANY; i++) {
		expect_hear(fd[i], text[i]);
		heard++;
	}
	ck_assert_uint_eq(heard, MANY);
	for (unsigned i = 0; i < MANY; i++)
		close(fd[i]);
	ck_assert(
		GUEST_UNTIL(g, LOOK(v->unused_count) == v->limits.connections));
	close(l);
	end();
}
END_TEST

/* One that sends without end does not keep others from their turn. */
START_TEST(turns)
{
	static uint8_t data[100000];
	struct peer *p, *q;
	int fd, fd2;

	add_device(_i);
	g->rx_count = 4;
	guest_start(g, V1 | format);
	g->alloc = 1u << 30;
	p = easy(&fd);
	q = host_connects(52, &fd2);
	ck_assert_int_gt(write(fd, data, sizeof(data)), 50000);
	say(fd2, "short");
	ck_assert(GUEST_UNTIL(g, q->len == 5));
	ck_assert_uint_lt(p->len, 50000);
	close(fd);
	close(fd2);
	end();
}
END_TEST

/* Leave only @n slots. */
static void shrink(uint32_t n)
{
	pthread_mutex_lock(&v->vd.lock);
	v->unused_count = n;
	pthread_mutex_unlock(&v->vd.lock);
}

START_TEST(no_slots)
{
	struct peer *p;
	int l, fd[6];

	begin(_i);
	shrink(3);
	l = host_listen(7, 8);
	for (unsigned i = 0; i < 3; i++)
		guest_connects(1000 + i, 7, l, &fd[i]);
	p = guest_add_peer(g, 1003, 7);
	guest_send(g, p, VSOCK_OP_REQUEST, 0, NULL, 0);
	ck_assert(GUEST_UNTIL(g, p->rst));
	/* A client waits in line until there is room. */
	fd[4] = host_connect();
	say(fd[4], "CONNECT 9\n");
	expect_silence(fd[4]);
	close(fd[0]);
	ck_assert(GUEST_UNTIL(g, *hear(fd[4]) == 'O'));
	for (unsigned i = 1; i < 5; i++)
		if (i != 3)
			close(fd[i]);
	close(l);
	end();
}
END_TEST

/* Clients that say nothing give way, the oldest first. */
START_TEST(slots_are_made)
{
	int fd[4], l, a, b;

	begin(_i);
	shrink(3);
	for (unsigned i = 0; i < 4; i++) {
		fd[i] = host_connect();
		guest_settle(g, QUIET);
	}
	expect_hear(fd[0], "EOF");
	ck_assert_str_eq(hear(fd[1]), "");
	l = host_listen(7, 8);
	guest_connects(1000, 7, l, &a);
	expect_hear(fd[1], "EOF");
	guest_connects(1001, 7, l, &b);
	expect_hear(fd[2], "EOF");
	ck_assert_str_eq(hear(fd[3]), "");
	for (unsigned i = 0; i < 4; i++)
		close(fd[i]);
	close(a);
	close(b);
	close(l);
	end();
}
END_TEST

/* ---- what is wrong
 * -----------------------------------------------------------------*/

/* Answers that belong to no connection: none is lost, memory is bounded. */
START_TEST(rst_storm)
{
	enum { STORM = 5 * VSOCK_RSTS };
	struct peer none = { .hp = 1 };
	unsigned sent = 0, rsts = 0;

	add_device(_i);
	g->rx_count = 0;
	guest_start(g, V1 | format);
	/* Until the device takes no more. */
	for (;;) {
		bool full = LOOK(v->rst_count) == VSOCK_RSTS;

		ck_assert_uint_lt(sent, STORM);
		guest_reap(g);
		if (full && g->tx_flying == TX_COUNT)
			break;
		if (g->tx_flying == TX_COUNT)
			continue;
		none.gp = ++sent;
		guest_send(g, &none, VSOCK_OP_RW, 0, NULL, 0);
	}
	ck_assert_uint_eq(sent, VSOCK_RSTS + TX_COUNT);
	for (unsigned i = 0; i < 8; i++)
		guest_offer_rx(g, i);
	drv_kick(&g->drv, VSOCK_RX);
	ck_assert(GUEST_UNTIL(g, g->notes == sent));
	for (unsigned i = 0; i < g->notes; i++) {
		rsts += g->note[i].op == VSOCK_OP_RST;
		ck_assert_uint_eq(g->note[i].dst_port, i + 1);
	}
	ck_assert_uint_eq(rsts, sent);
	end();
}
END_TEST

enum answer { NOTHING, RST };

static const struct bad {
	const char *what;
	uint64_t src_cid, dst_cid;
	uint16_t type, op;
	uint32_t len, bytes;
	enum answer alone, connected; /* what it gets */
	bool counted;
} bad_packets[] = {
	{ "data", CID, 2, 1, 5, 4, 4, RST, NOTHING, false },
	{ "response", CID, 2, 1, 2, 0, 0, RST, RST, true },
	{ "request again", CID, 2, 1, 1, 0, 0, RST, RST, false },
	{ "rst", CID, 2, 1, 3, 0, 0, NOTHING, NOTHING, false },
	{ "shutdown, no flags", CID, 2, 1, 4, 0, 0, RST, NOTHING, false },
	{ "credit update", CID, 2, 1, 6, 0, 0, RST, NOTHING, false },
	{ "op 0", CID, 2, 1, 0, 0, 0, RST, RST, false },
	{ "op 8", CID, 2, 1, 8, 0, 0, RST, RST, false },
	{ "op 65535", CID, 2, 1, 65535, 0, 0, RST, RST, false },
	{ "type 0", CID, 2, 0, 5, 0, 0, RST, RST, true },
	{ "seqpacket", CID, 2, 2, 1, 0, 0, RST, RST, true },
	{ "type 65535", CID, 2, 65535, 1, 0, 0, RST, RST, true },
	{ "rst of unknown type", CID, 2, 7, 3, 0, 0, NOTHING, NOTHING, true },
	{ "to itself", CID, CID, 1, 1, 0, 0, RST, RST, true },
	{ "to the hypervisor", CID, 0, 1, 1, 0, 0, RST, RST, true },
	{ "to all", CID, UINT64_MAX, 1, 1, 0, 0, RST, RST, true },
	{ "high half", CID, 2 | 1ULL << 32, 1, 1, 0, 0, RST, RST, true },
	{ "spoofed", CID + 1, 2, 1, 5, 0, 0, NOTHING, NOTHING, true },
	{ "spoofed high half", CID | 1ULL << 32, 2, 1, 5, 0, 0, NOTHING,
	  NOTHING, true },
	{ "shorter than it says", CID, 2, 1, 5, 100, 99, RST, RST, true },
	{ "empty, says 4 GiB", CID, 2, 1, 5, UINT32_MAX, 0, RST, RST, true },
	{ "longer than it says", CID, 2, 1, 5, 4, 100, RST, NOTHING, false },
	{ "larger than credit", CID, 2, 1, 5, 65536, 65536, RST, NOTHING,
	  false },
	{ "data with a request", CID, 2, 1, 1, 8, 8, RST, RST, false },
};

static void send_bad(const struct bad *b, uint32_t gp, uint32_t hp)
{
	static uint8_t data[65536];
	struct vsock_header h = guest_header(gp, hp, b->op, 0);

	h.src_cid = b->src_cid;
	h.dst_cid = b->dst_cid;
	h.type = b->type;
	h.len = b->len;
	h.buf_alloc = 65536;
	guest_send_raw(g, &h, data, b->bytes);
}

START_TEST(bad_packet_alone)
{
	const struct bad *b = &bad_packets[_i];

	begin(_i & 1);
	send_bad(b, 1000, 7);
	if (b->alone == RST) {
		struct vsock_header h = next_note(VSOCK_OP_RST);

		ck_assert_uint_eq(h.src_cid, b->dst_cid);
		ck_assert_uint_eq(h.type, b->type);
		ck_assert_uint_eq(h.src_port, 7);
		ck_assert_uint_eq(h.dst_port, 1000);
	}
	all_taken();
	no_note();
	ck_assert(!b->counted || atomic_load(&v->bad) ||
		  b->type == VSOCK_TYPE_STREAM);
	no_connections();
	ck_assert(!(drv_status(&g->drv) & VIRTIO_NEEDS_RESET));
	end();
}
END_TEST

START_TEST(bad_packet_connected)
{
	const struct bad *b = &bad_packets[_i];
	struct peer *p;
	int fd;

	begin(_i & 1);
	p = easy(&fd);
	send_bad(b, p->gp, p->hp);
	if (b->connected == RST)
		next_note(VSOCK_OP_RST);
	all_taken();
	no_note();
	ck_assert(!b->counted || atomic_load(&v->bad));
	ck_assert(!(drv_status(&g->drv) & VIRTIO_NEEDS_RESET));
	close(fd);
	end();
}
END_TEST

/* Every length that is not a header. */
START_TEST(no_header)
{
	uint32_t head, len, n = 0;

	begin(_i);
	for (uint32_t bytes = 0; bytes < VSOCK_HEADER_BYTES; bytes++)
		(void)LOOK(drv_add(&g->drv, VSOCK_TX, TX_BUFS,
				   bytes ? bytes : 1, bytes & 1));
	drv_kick(&g->drv, VSOCK_TX);
	for (uint64_t from = patience_ns();
	     n < VSOCK_HEADER_BYTES && ms_since(from) < PATIENCE_MS;) {
		bed_run(&bed, 1);
		while (LOOK(drv_take(&g->drv, VSOCK_TX, &head, &len)))
			n += !len;
	}
	ck_assert_uint_eq(n, VSOCK_HEADER_BYTES);
	no_note();
	ck_assert_uint_eq(atomic_load(&v->bad), VSOCK_HEADER_BYTES);
	end();
}
END_TEST

/* The guest answers what it was not asked, or too much. */
START_TEST(answers_out_of_turn)
{
	static const uint16_t early[] = { VSOCK_OP_RW, VSOCK_OP_SHUTDOWN,
					  VSOCK_OP_CREDIT_UPDATE,
					  VSOCK_OP_CREDIT_REQUEST, 99 };
	int fd;

	begin(_i);
	g->manual = true;
	for (unsigned i = 0; i < ARRAY_SIZE(early); i++) {
		struct vsock_header h;
		struct peer p = { .gp = 52 };

		fd = host_connect();
		say(fd, "CONNECT 52\n");
		h = next_note(VSOCK_OP_REQUEST);
		p.hp = h.src_port;
		guest_send(g, &p, early[i], 3, NULL, 0);
		expect_hear(fd, "EOF");
		next_note(VSOCK_OP_RST);
		/* It is gone: its late answer is refused. */
		guest_send(g, &p, VSOCK_OP_RESPONSE, 0, NULL, 0);
		next_note(VSOCK_OP_RST);
		close(fd);
	}
	no_connections();
	end();
}
END_TEST

START_TEST(data_after_shutdown)
{
	struct peer *p;
	int fd;

	begin(_i);
	p = easy(&fd);
	guest_send(g, p, VSOCK_OP_SHUTDOWN, VSOCK_SHUT_SEND, NULL, 0);
	/* Flags are permanent. */
	guest_send(g, p, VSOCK_OP_SHUTDOWN, 0, NULL, 0);
	guest_send(g, p, VSOCK_OP_RW, 0, "x", 1);
	next_note(VSOCK_OP_RST);
	expect_hear(fd, "EOF");
	close(fd);
	end();
}
END_TEST

/* ---- reset and state
 * ------------------------------------------------------------------*/

START_TEST(reset)
{
	int fd, fd2, fd3, l;

	begin(_i);
	easy(&fd);
	host_connects(52, &fd2);
	fd3 = host_connect(); /* has not said anything */
	guest_settle(g, QUIET);
	drv_set_status(&g->drv, 0);
	ck_assert_str_eq(hear(fd), "EOF");
	ck_assert_str_eq(hear(fd2), "EOF");
	no_connections();
	/* And all over again. */
	g->peers = 0;
	guest_start(g, V1 | format);
	forget_notes();
	close(fd);
	close(fd2);
	close(fd3);
	l = host_listen(7, 8);
	guest_connects(1000, 7, l, &fd);
	say(fd, "again");
	ck_assert(GUEST_UNTIL(g, g->peer[0].len == 5));
	close(fd);
	close(l);
	end();
}
END_TEST

/* A queue reset loses no connection. */
START_TEST(queue_reset)
{
	uint32_t head, len;
	struct peer *p;
	int fd;

	add_device(_i);
	guest_start(g, V1 | format | VIRTIO_F_RING_RESET);
	p = easy(&fd);
	drv_ring_reset(&g->drv, VSOCK_RX);
	say(fd, "meanwhile");
	bed_run(&bed, 6);
	ck_assert_uint_eq(p->len, 0);
	while (LOOK(drv_take(&g->drv, VSOCK_RX, &head, &len)))
		;
	drv_queue(&g->drv, VSOCK_RX, 64, RX_RING);
	for (unsigned i = 0; i < 4; i++)
		guest_offer_rx(g, i);
	drv_kick(&g->drv, VSOCK_RX);
	ck_assert(GUEST_UNTIL(g, p->len == 9));
	close(fd);
	end();
}
END_TEST

START_TEST(save_and_load)
{
	struct stream_out out;
	struct stream_in in;
	struct diag d = DIAG_INIT;
	uint8_t raw[4];
	uint32_t head, len, port;
	int fd, fd2;

	begin(_i);
	easy(&fd);
	host_connects(52, &fd2);
	port = g->peer[1].hp;
	guest_settle(g, QUIET);
	stream_out_init(&out);
	g->dev->cls->pause(g->dev);
	g->dev->cls->save(g->dev, &out);
	g->dev->cls->resume(g->dev);
	/* The machine that was saved goes on. */
	say(fd, "still");
	ck_assert(GUEST_UNTIL(g, g->peer[0].len == 5));
	/* The other one: all connections are gone, and it is told so. */
	g->dev->cls->reset(g->dev);
	ck_assert_str_eq(hear(fd), "EOF");
	ck_assert_str_eq(hear(fd2), "EOF");
	close(fd);
	close(fd2);
	stream_in_init(&in, out.data, out.len);
	ck_assert_int_eq(g->dev->cls->load(g->dev, &in, &d), 0);
	ck_assert_int_eq(stream_in_done(&in), 0);
	(void)LOOK(ram_fill(&bed.ram, GPA(EVENT_BUF), 0xff, 4));
	(void)LOOK(drv_add(&g->drv, VSOCK_EVENT, EVENT_BUF, 4, true));
	drv_kick(&g->drv, VSOCK_EVENT);
	for (uint64_t from = patience_ns();
	     !LOOK(drv_take(&g->drv, VSOCK_EVENT, &head, &len));
	     ck_assert(ms_since(from) < PATIENCE_MS))
		bed_run(&bed, 1);
	ck_assert_uint_eq(len, 4);
	(void)LOOK(ram_read(&bed.ram, GPA(EVENT_BUF), raw, 4));
	ck_assert_uint_eq(get_le32(raw), 0);
	/* Said once. */
	(void)LOOK(drv_add(&g->drv, VSOCK_EVENT, EVENT_BUF, 4, true));
	drv_kick(&g->drv, VSOCK_EVENT);
	bed_run(&bed, 4);
	ck_assert(!LOOK(drv_take(&g->drv, VSOCK_EVENT, &head, &len)));
	stream_out_release(&out);
	(void)port;
	end();
}
END_TEST

START_TEST(load_cut_short)
{
	struct stream_out out;
	struct stream_in in;
	struct diag d = DIAG_INIT;

	begin(_i);
	stream_out_init(&out);
	g->dev->cls->save(g->dev, &out);
	for (size_t len = 0; len < out.len; len++) {
		g->dev->cls->reset(g->dev);
		stream_in_init(&in, out.data, len);
		d.depth = 0;
		ck_assert(g->dev->cls->load(g->dev, &in, &d) ||
			  stream_in_done(&in));
	}
	stream_out_release(&out);
	end();
}
END_TEST

/* ---- realize
 * ----------------------------------------------------------------------*/

static int refused(const char *why)
{
	struct device *dev = NULL;
	struct diag d = DIAG_INIT;
	char text[512];
	int err = device_new(&dev, device_class_find("virtio-vsock"), "_vsock0",
			     &config, &bed.env, NULL, &d);

	ck_assert_ptr_null(dev);
	diag_format(&d, text, sizeof(text));
	ck_assert_msg(strstr(text, why) != NULL, "%s", text);
	return err;
}

START_TEST(socket_in_use)
{
	int fd;

	begin(_i);
	ck_assert_int_eq(refused("in use by another program"), -EADDRINUSE);
	guest_settle(g, QUIET);
	fd = host_connect(); /* it still works */
	close(fd);
	config.socket = dir;
	ck_assert_int_eq(refused("is not a socket"), -EEXIST);
	config.socket = path;
	end();
}
END_TEST

/* A description of the machine makes no socket. */
START_TEST(tables_only)
{
	struct guest_ram none = { .region_count = 0 };

	bed_open(&bed, _i ? TRANSPORT_MMIO : TRANSPORT_PCI, false);
	config = (struct vsock_config){ .cid = CID, .socket = path };
	bed.item = &config;
	bed.env.ram = &none;
	device_free(bed_add(&bed, "virtio-vsock"));
	ck_assert_int_lt(access(path, F_OK), 0);
	bed_close(&bed);
}
END_TEST

/* ---- suite
 * ------------------------------------------------------------------------*/

static void both(Suite *s, TCase *tc, const TTest *const *tests, unsigned count)
{
	tcase_add_checked_fixture(tc, setup, teardown);
	for (unsigned i = 0; i < count; i++)
		tcase_add_loop_test(tc, tests[i], 0, 2);
	suite_add_tcase(s, tc);
}

static void table(Suite *s, TCase *tc, const TTest *test, int count)
{
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, test, 0, count);
	suite_add_tcase(s, tc);
}

static void add_all(Suite *s, bool packed)
{
	const TTest *const connecting[] = {
		config_and_features,
		guest_to_host,
		guest_to_nobody,
		guest_to_busy_server,
		guest_to_server_that_never_accepts,
		host_to_guest,
		host_sends_early,
		host_sends_and_leaves,
		host_is_refused,
		host_is_not_answered,
		host_comes_too_early,
	};
	const TTest *const ends[] = {
		guest_half_closes,
		host_half_closes,
		guest_closes,
		host_closes,
		host_closes_guest_says_nothing,
		host_closes_bytes_first,
		guest_closes_bytes_first,
		guest_half_closes_bytes_first,
		guest_closes_and_resets,
		guest_resets,
		guest_stops_reading,
		host_stops_reading,
		host_leaves_full,
	};
	const TTest *const credits[] = {
		credit_for_the_guest, credit_is_exceeded, credit_of_the_guest,
		credit_is_asked_for,  credit_wraps,	  credit_of_a_liar,
	};
	const TTest *const rest[] = {
		no_receive_buffers,
		small_receive_buffers,
		useless_receive_buffers,
		many,
		turns,
		no_slots,
		slots_are_made,
		rst_storm,
		no_header,
		answers_out_of_turn,
		data_after_shutdown,
		reset,
		queue_reset,
		save_and_load,
		load_cut_short,
		socket_in_use,
		tables_only,
	};
	both(s, FORMAT_CASE("connecting", packed), connecting,
	     ARRAY_SIZE(connecting));
	table(s, FORMAT_CASE("greetings", packed), host_greetings,
	      ARRAY_SIZE(greetings));
	both(s, FORMAT_CASE("ends", packed), ends, ARRAY_SIZE(ends));
	both(s, FORMAT_CASE("credit", packed), credits, ARRAY_SIZE(credits));
	table(s, FORMAT_CASE("bad-alone", packed), bad_packet_alone,
	      ARRAY_SIZE(bad_packets));
	table(s, FORMAT_CASE("bad-connected", packed), bad_packet_connected,
	      ARRAY_SIZE(bad_packets));
	both(s, FORMAT_CASE("rest", packed), rest, ARRAY_SIZE(rest));
}

int main(void)
{
	Suite *suite = suite_create("virtio-vsock");

	for (int packed = 0; packed < 2; packed++)
		add_all(suite, packed);
	return suite_run(suite);
}
