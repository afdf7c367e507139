/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: the host's side of vsock: sockets, CONNECT, time limits, see vsock.c
 *
 * A host client connects to socket=, says "CONNECT PORT\n" (any case, as
 * Firecracker takes it) and gets "OK HOST_PORT\n" once a program in the guest
 * has accepted; it is hung up on if none does. What it sends behind the line
 * is for the guest. The line is peeked at until it is whole, so not a byte of
 * that is lost.
 *
 * A guest's program that connects to port N of CID 2 gets the server that
 * listens at socket=_N. A server whose queue is full is dialed again until the
 * time limit; a missing one is refused at once.
 *
 * All sockets are in one epoll set of our own, edge-triggered, which is itself
 * watched by the event loop. So everything that happens to a connection
 * happens under the device's lock, and a connection may be forgotten at any
 * moment: an event names slot and use, and is dropped if that use is over.
 * When descriptors or slots are short, clients wait in the listener's queue.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "vmm/base/log.h"

#include "devices/virtio/vsock.h"

/* Events and clients taken in one go; then others get their turn. */
#define EVENTS	64
#define ACCEPTS 16

/* "CONNECT 4294967295\r\n" is 20 bytes. */
#define LINE_BYTES_MAX 32

/* Where our own port numbers begin, as in Firecracker. */
#define FIRST_PORT (1u << 30)

#define EVENT_LISTENER UINT64_MAX

#define WATCHED ((uint32_t)(EPOLLIN | EPOLLRDHUP | EPOLLET))

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* ---- the epoll set --------------------------------------------------------*/

static uint64_t event_name(const struct vsock *v, const struct vsock_conn *c)
{
	return (uint64_t)c->use << 32 | (uint32_t)(c - v->slot);
}

static struct vsock_conn *event_conn(struct vsock *v, uint64_t name)
{
	struct vsock_conn *c = &v->slot[(uint32_t)name];

	return c->use == name >> 32 && c->fd >= 0 ? c : NULL;
}

/* Have vsock_conn_ready() called for its socket from now on. */
static int watch(struct vsock *v, struct vsock_conn *c)
{
	struct epoll_event ev = { .events = WATCHED,
				  .data.u64 = event_name(v, c) };

	return epoll_ctl(v->poll_fd, EPOLL_CTL_ADD, c->fd, &ev) < 0 ? -errno
								    : 0;
}

void vsock_host_block(struct vsock *v, struct vsock_conn *c, bool on)
{
	struct epoll_event ev = { .events = WATCHED | (on ? EPOLLOUT : 0),
				  .data.u64 = event_name(v, c) };

	epoll_ctl(v->poll_fd, EPOLL_CTL_MOD, c->fd, &ev);
}

static void let_in(struct vsock *v, bool on)
{
	struct epoll_event ev = { .events = EPOLLIN,
				  .data.u64 = EVENT_LISTENER };

	if (on == v->accepting)
		return;
	epoll_ctl(v->poll_fd, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL,
		  v->listener.fd, &ev);
	v->accepting = on;
}

void vsock_host_slot_free(struct vsock *v)
{
	if (v->listener.fd >= 0)
		let_in(v, true);
}

/* ---- time limits ----------------------------------------------------------*/

static void keep_time(struct vsock *v, bool on)
{
	if (on == v->ticking)
		return;
	event_timer_set(&v->tick, on ? v->limits.tick_ns : 0,
			on ? v->limits.tick_ns : 0);
	v->ticking = on;
}

void vsock_host_wait(struct vsock *v, struct vsock_conn *c, uint64_t ns)
{
	c->deadline_ns = now_ns() + ns;
	vsock_list_del(&c->wait);
	vsock_list_add(&v->waiting, &c->wait);
	keep_time(v, true);
}

/* ---- the guest connects ---------------------------------------------------*/

static void dialed(struct vsock *v, struct vsock_conn *c, int fd)
{
	c->fd = fd;
	if (watch(v, c)) {
		vsock_conn_reset(v, c);
		return;
	}
	vsock_conn_open(v, c);
	vsock_conn_owe(v, c, VSOCK_SEND_RESPONSE);
}

static void dial(struct vsock *v, struct vsock_conn *c)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd;

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s_%" PRIu32, v->path,
		 c->host_port);
	fd = unix_connect(&sa);
	if (fd >= 0) {
		dialed(v, c, fd);
		return;
	}
	if (fd != -EAGAIN) {
		log_debug("%s: %s: %s", v->vd.dev.id, sa.sun_path,
			  strerror(-fd));
		vsock_conn_reset(v, c);
	}
}

void vsock_host_dial(struct vsock *v, const struct vsock_header *h)
{
	struct vsock_conn *c = vsock_conn_new(v, VSOCK_DIALING, -1);

	if (!c)
		return;
	vsock_conn_name(v, c, h->src_port, h->dst_port);
	c->told_guest = true;
	c->guest_alloc = h->buf_alloc;
	c->guest_forwarded = h->fwd_cnt;
	dial(v, c);
	if (c->state == VSOCK_DIALING)
		vsock_host_wait(v, c, v->limits.connect_ns);
}

/* ---- the host connects ----------------------------------------------------*/

/* The port in "CONNECT PORT"; VSOCK_PORT_ANY: the line is something else. */
static uint32_t parse_connect(char *line, size_t len)
{
	static const char word[] = "connect ";
	const size_t skip = sizeof(word) - 1;
	unsigned long port;
	char *end;

	line[len] = 0;
	if (len && line[len - 1] == '\r')
		line[len - 1] = 0;
	if (strncasecmp(line, word, skip) != 0 || line[skip] < '0' ||
	    line[skip] > '9')
		return VSOCK_PORT_ANY;
	errno = 0;
	port = strtoul(line + skip, &end, 10);
	return *end || errno || port > UINT32_MAX ? VSOCK_PORT_ANY
						  : (uint32_t)port;
}

static uint32_t free_port(struct vsock *v, uint32_t guest_port)
{
	uint32_t port = atomic_load(&v->next_port);

	/* Fewer connections than ports: this ends. */
	do
		port = FIRST_PORT | ((port + 1) & (FIRST_PORT - 1));
	while (vsock_conn_find(v, guest_port, port));
	atomic_store(&v->next_port, port);
	return port;
}

static void request(struct vsock *v, struct vsock_conn *c, uint32_t guest_port)
{
	c->state = VSOCK_REQUESTING;
	vsock_conn_name(v, c, guest_port, free_port(v, guest_port));
	vsock_host_wait(v, c, v->limits.connect_ns);
	vsock_conn_owe(v, c, VSOCK_SEND_REQUEST);
}

/* Its line, without the newline. Return: length; 0: not whole yet, or (@bad)
 * never will be. */
static size_t peek_line(int fd, char *line, bool *bad)
{
	ssize_t n = recv(fd, line, LINE_BYTES_MAX, MSG_PEEK | MSG_DONTWAIT);
	const char *end = n > 0 ? memchr(line, '\n', (size_t)n) : NULL;

	if (end && end > line)
		return (size_t)(end - line);
	*bad = end || n == 0 || n == LINE_BYTES_MAX ||
	       (n < 0 && errno != EAGAIN && errno != EINTR);
	return 0;
}

static void greeting_ready(struct vsock *v, struct vsock_conn *c)
{
	char line[LINE_BYTES_MAX + 1];
	bool bad = false;
	size_t len = peek_line(c->fd, line, &bad);
	uint32_t port = VSOCK_PORT_ANY;

	if (!len && !bad)
		return;
	/* Peeked, so they are there. */
	if (len && recv(c->fd, line, len + 1, MSG_DONTWAIT) == (ssize_t)len + 1)
		port = parse_connect(line, len);
	if (port == VSOCK_PORT_ANY) {
		log_debug("%s: a client did not say CONNECT and a port",
			  v->vd.dev.id);
		vsock_conn_free(v, c);
		return;
	}
	request(v, c, port);
}

/* Return: false: enough for now. */
static bool accept_one(struct vsock *v)
{
	struct vsock_conn *c;
	int fd;

	if (!v->unused_count && vsock_list_empty(&v->expendable)) {
		let_in(v, false);
		return false;
	}
	fd = unix_accept(&v->listener);
	if (fd == -EAGAIN)
		return false;
	if (fd < 0) {
		/* Descriptors are short: when the clock ticks, or a connection
		 * ends, it is tried again. */
		log_guest(&v->refused,
			  "%s: socket=%s: cannot take a client: %s",
			  v->vd.dev.id, v->path, strerror(-fd));
		let_in(v, false);
		keep_time(v, true);
		return false;
	}
	c = vsock_conn_new(v, VSOCK_GREETING, fd);
	vsock_list_add(&v->expendable, &c->wait);
	if (watch(v, c))
		vsock_conn_free(v, c);
	return true;
}

/* ---- events ---------------------------------------------------------------*/

static void conn_event(struct vsock *v, struct vsock_conn *c, uint32_t events)
{
	switch (c->state) {
	case VSOCK_GREETING:
		greeting_ready(v, c);
		break;
	case VSOCK_OPEN:
	case VSOCK_ORPHAN:
		vsock_conn_ready(v, c, events);
		break;
	case VSOCK_REQUESTING: /* looked at when it is open, even if it left */
	case VSOCK_FREE:
	case VSOCK_DIALING:
	case VSOCK_CLOSING:
	case VSOCK_RESETTING:
		break; /* no socket */
	}
}

static void one_event(struct vsock *v, const struct epoll_event *ev)
{
	struct vsock_conn *c;

	if (ev->data.u64 == EVENT_LISTENER) {
		for (int i = 0; i < ACCEPTS && accept_one(v); i++)
			;
		return;
	}
	c = event_conn(v, ev->data.u64);
	if (c)
		conn_event(v, c, ev->events);
}

static void sockets_ready(void *opaque, uint32_t events)
{
	struct epoll_event ev[EVENTS];
	struct vsock *v = opaque;
	int n;

	(void)events;
	pthread_mutex_lock(&v->vd.lock);
	n = epoll_wait(v->poll_fd, ev, EVENTS, 0);
	for (int i = 0; i < n; i++)
		one_event(v, &ev[i]);
	vsock_send(v);
	pthread_mutex_unlock(&v->vd.lock);
}

static void time_passed(struct vsock *v, struct vsock_conn *c, uint64_t now)
{
	if (c->state == VSOCK_DIALING)
		dial(v, c);
	if (c->wait.next && now >= c->deadline_ns)
		vsock_conn_reset(v, c);
}

static void ticked(void *opaque)
{
	struct vsock *v = opaque;
	struct vsock_link *l, *next;
	uint64_t now = now_ns();

	pthread_mutex_lock(&v->vd.lock);
	let_in(v, true);
	for (l = v->waiting.next; l != &v->waiting; l = next) {
		next = l->next;
		time_passed(v, container_of(l, struct vsock_conn, wait), now);
	}
	if (vsock_list_empty(&v->waiting))
		keep_time(v, false);
	vsock_send(v);
	pthread_mutex_unlock(&v->vd.lock);
}

/* ---- open and close -------------------------------------------------------*/

static int watch_all(struct vsock *v, struct diag *d)
{
	struct event_loop *loop = iothread_loop(v->thread);
	int err;

	v->poll.fd = v->poll_fd;
	v->poll.ready = sockets_ready;
	v->poll.opaque = v;
	let_in(v, true);
	err = event_timer_init(&v->tick, loop, ticked, v);
	if (!err)
		err = event_add(loop, &v->poll, EPOLLIN);
	return err ? diag_errno(d, -err, "%s: cannot watch its sockets",
				v->vd.dev.id)
		   : 0;
}

int vsock_host_open(struct vsock *v, struct diag *d)
{
	int err;

	v->poll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (v->poll_fd < 0)
		return diag_errno(d, errno, "%s: cannot watch its sockets",
				  v->vd.dev.id);
	err = unix_listen(&v->listener, "--vsock socket", v->path, SOMAXCONN,
			  d);
	return err ? err : watch_all(v, d);
}

void vsock_host_close(struct vsock *v)
{
	if (v->poll.opaque)
		event_del(iothread_loop(v->thread), &v->poll);
	event_timer_release(&v->tick);
	unix_unlisten(&v->listener);
	if (v->poll_fd >= 0)
		close(v->poll_fd);
}
