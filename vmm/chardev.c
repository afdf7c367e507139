/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: character back ends: bytes in and out, see chardev.h
 *
 * Output. A serial port writes byte by byte, one exit each, so bytes gather
 * in a ring of 64 KiB and go out with a newline, when the ring is full, after
 * 10 ms, and at the end. Nothing blocks: what the other side does not take
 * now goes when epoll says so. When the ring is full, a terminal or pipe gets
 * 50 ms to take something (which slows a chatty guest down to its reader
 * without losing a byte); a reader that took nothing in that time, a pty or a
 * socket without a client lose the oldest bytes: the ring holds the latest
 * 64 KiB for whoever connects. A reader that is gone (EPIPE) is said once,
 * and then output is dropped.
 *
 * Input. Up to 4 KiB wait for a device that has no room; then reading pauses,
 * so that pipes and sockets push back on their writers. A person at a
 * terminal is read on, for the escapes, and loses what does not fit:
 *	Ctrl-A x	sends SIGTERM to this process: presses the power button
 *	Ctrl-A Ctrl-A	sends one Ctrl-A
 *	Ctrl-A other	sends both
 * The end of input ends input, nothing else.
 *
 * Size. A terminal's change comes with SIGWINCH. The kernel tells the holder of
 * a pty's master nothing (only processes whose controlling terminal it is), so
 * for a device that wants to know we look once a second.
 *
 * SIGPIPE is ignored for the whole process from the first chardev on, unless
 * the program has a handler for it.
 *
 * Threads and locks: see chardev-impl.h.
 */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/base/eventfd.h"
#include "vmm/base/log.h"
#include "vmm/chardev-impl.h"
#include "vmm/terminal.h"

#define FLUSH_NS    10000000
#define SIZE_NS	    1000000000
#define PATIENCE_MS 50
#define WAITS	    4
#define FAREWELL_MS 500
#define READ_BUDGET 16
#define CTRL_A	    0x01
#define BLOCK_CHUNK 512
#define OUT_MASK    (CHARDEV_OUT_BYTES - 1)

/* ---- output ------------------------------------------------------------- */

static bool out_ready_now(const struct chardev_out *o, int timeout_ms)
{
	struct pollfd p = { .fd = o->fd, .events = POLLOUT };

	return poll(&p, 1, timeout_ms) > 0;
}

static ssize_t out_write(const struct chardev_out *o, const uint8_t *p,
			 size_t len)
{
	if (o->send)
		return send(o->fd, p, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (!o->blocking)
		return write(o->fd, p, len);
	if (out_ready_now(o, 0))
		return write(o->fd, p, MIN(len, BLOCK_CHUNK));
	errno = EAGAIN;
	return -1;
}

static void out_watch(struct chardev *c, bool on)
{
	struct chardev_out *o = &c->out;

	if (on == o->watched)
		return;
	if (!on)
		event_del(c->loop, &o->src);
	o->watched = on && event_add(c->loop, &o->src, EPOLLOUT) == 0;
}

static void wake_loop(struct chardev *c)
{
	eventfd_add(c->kick.fd, false);
}

/* A write failed for good. A full disk may recover, so that loses only what
 * is in the ring; a client that left makes room for the next. */
static void out_failed(struct chardev *c, int err)
{
	struct chardev_out *o = &c->out;

	if (c->mode == CHAR_SOCKET) {
		o->dead = true;
		wake_loop(c);
		return;
	}
	if (!o->warned)
		log_warn("%s: cannot write the guest's output: %s; dropping it",
			 c->name, strerror(err));
	o->warned = true;
	o->len = 0;
	o->dead = err != ENOSPC && err != EDQUOT;
}

/* Write out as much as goes now. */
static void out_flush(struct chardev *c)
{
	struct chardev_out *o = &c->out;
	ssize_t n;

	while (o->len && o->fd >= 0 && !o->dead) {
		n = out_write(o, o->ring + o->head,
			      MIN(o->len, CHARDEV_OUT_BYTES - o->head));
		if (n > 0) {
			o->head = (o->head + (uint32_t)n) & OUT_MASK;
			o->len -= (uint32_t)n;
			o->stalled = false;
		} else if (n < 0 && errno == EAGAIN) {
			break;
		} else if (n == 0 || errno != EINTR) {
			out_failed(c, n ? errno : EIO);
		}
	}
	out_watch(c, o->len && o->fd >= 0 && !o->dead);
}

/* The ring is full: give the reader a moment, at most once in a row. */
static void out_wait(struct chardev *c)
{
	struct chardev_out *o = &c->out;

	out_flush(c);
	if (o->len < CHARDEV_OUT_BYTES || !o->patient || o->stalled ||
	    o->fd < 0)
		return;
	o->stalled = !out_ready_now(o, PATIENCE_MS);
	out_flush(c);
}

static void out_append(struct chardev_out *o, const uint8_t *p, size_t len)
{
	uint32_t tail = (o->head + o->len) & OUT_MASK;
	size_t first = MIN(len, CHARDEV_OUT_BYTES - tail);

	memcpy(o->ring + tail, p, first);
	memcpy(o->ring, p + first, len - first);
	o->len += (uint32_t)len;
	if (o->len > CHARDEV_OUT_BYTES) {
		o->head = (o->head + o->len) & OUT_MASK;
		o->len = CHARDEV_OUT_BYTES;
	}
}

/* Append, and send if it is time to. */
static void out_put(struct chardev *c, const uint8_t *p, size_t len)
{
	struct chardev_out *o = &c->out;

	if (!o->len)
		o->head = 0; /* touch as few pages as possible */
	out_append(o, p, len);
	if (o->watched)
		return;
	if (memchr(p, '\n', len) || o->len > CHARDEV_OUT_BYTES / 2) {
		out_flush(c);
	} else if (!o->armed) {
		o->armed = true;
		event_timer_set(&o->timer, FLUSH_NS, 0);
	}
}

static bool out_ended(const struct chardev *c)
{
	return c->out.dead && c->mode != CHAR_SOCKET;
}

void chardev_write(struct chardev *c, const void *data, size_t len)
{
	const uint8_t *p = data;
	int waits = WAITS;
	size_t n;

	if (c->mode == CHAR_NULL)
		return;
	pthread_mutex_lock(&c->lock);
	while (len && !out_ended(c)) {
		if (c->out.len == CHARDEV_OUT_BYTES && waits-- > 0)
			out_wait(c);
		n = CHARDEV_OUT_BYTES - c->out.len;
		n = MIN(len, n ? n : CHARDEV_OUT_BYTES);
		out_put(c, p, n);
		p += n;
		len -= n;
	}
	pthread_mutex_unlock(&c->lock);
}

static void out_drained(void *opaque, uint32_t events)
{
	struct chardev *c = opaque;

	(void)events;
	pthread_mutex_lock(&c->lock);
	out_flush(c);
	pthread_mutex_unlock(&c->lock);
}

static void out_timer(void *opaque)
{
	struct chardev *c = opaque;

	pthread_mutex_lock(&c->lock);
	c->out.armed = false;
	out_flush(c);
	pthread_mutex_unlock(&c->lock);
}

void chardev_output_start(struct chardev *c, int fd)
{
	pthread_mutex_lock(&c->lock);
	c->out.fd = c->out.src.fd = fd;
	c->out.dead = false;
	out_flush(c);
	pthread_mutex_unlock(&c->lock);
}

void chardev_output_stop(struct chardev *c)
{
	pthread_mutex_lock(&c->lock);
	out_watch(c, false);
	if (c->out.fd >= 0)
		close(c->out.fd);
	c->out.fd = -1;
	pthread_mutex_unlock(&c->lock);
}

/* The end: a slow reader gets everything as long as it takes something. */
static void out_farewell(struct chardev *c)
{
	struct chardev_out *o = &c->out;

	pthread_mutex_lock(&c->lock);
	out_flush(c);
	while (o->len && o->fd >= 0 && !o->dead && o->patient &&
	       out_ready_now(o, FAREWELL_MS))
		out_flush(c);
	pthread_mutex_unlock(&c->lock);
}

/* ---- input -------------------------------------------------------------- */

/* Hand the device what it has room for. @waiting is set before its room is
 * asked a second time, so that a chardev_resume() in between is not lost. */
static void in_deliver(struct chardev *c)
{
	struct chardev_in *in = &c->in;
	size_t n;

	atomic_store(&c->waiting, false);
	while (in->len && c->user.room) {
		n = MIN(c->user.room(c->user.opaque), in->len);
		if (n) {
			c->user.receive(c->user.opaque, in->buf, n);
			in->len -= n;
			memmove(in->buf, in->buf + n, in->len);
		} else if (atomic_exchange(&c->waiting, true)) {
			break;
		}
	}
}

static void in_append(struct chardev_in *in, uint8_t byte)
{
	if (in->len < CHARDEV_IN_BYTES)
		in->buf[in->len++] = byte;
}

static void in_key(struct chardev_in *in, uint8_t key)
{
	if (!in->escape && key == CTRL_A) {
		in->escape = true;
		return;
	}
	if (in->escape && key == 'x')
		kill(getpid(), SIGTERM);
	else if (in->escape && key != CTRL_A)
		in_append(in, CTRL_A);
	if (!(in->escape && key == 'x'))
		in_append(in, key);
	in->escape = false;
}

static ssize_t in_read_keys(struct chardev_in *in)
{
	uint8_t keys[256];
	ssize_t n = read(in->fd, keys, sizeof(keys));

	for (ssize_t i = 0; i < n; i++)
		in_key(in, keys[i]);
	return n;
}

/* Read once. Return: bytes read, 0 at the end, -errno. */
static ssize_t in_read(struct chardev_in *in)
{
	ssize_t n;

	if (in->person)
		n = in_read_keys(in);
	else
		n = read(in->fd, in->buf + in->len, CHARDEV_IN_BYTES - in->len);
	if (n > 0 && !in->person)
		in->len += (size_t)n;
	return n < 0 ? -errno : n;
}

static bool in_wanted(const struct chardev_in *in)
{
	if (in->fd < 0 || in->eof)
		return false;
	if (in->person)
		return !terminal_background();
	return in->len < CHARDEV_IN_BYTES;
}

/* A socket stays in the loop, without events, to notice a hang-up. */
static void in_watch(struct chardev *c)
{
	struct chardev_in *in = &c->in;
	bool on = in_wanted(in);

	if (in->always || in->fd < 0)
		return;
	if (c->mode == CHAR_SOCKET && in->watched) {
		event_mod(c->loop, &in->src, on ? EPOLLIN : 0);
	} else if (on && !in->watched) {
		in->watched = event_add(c->loop, &in->src, EPOLLIN) == 0;
	} else if (!on && in->watched) {
		event_del(c->loop, &in->src);
		in->watched = false;
	}
}

static void in_read_some(struct chardev *c)
{
	ssize_t n;

	if (!in_wanted(&c->in))
		return;
	n = in_read(&c->in);
	if (n == 0 || (n < 0 && n != -EAGAIN && n != -EINTR))
		c->in.eof = true;
}

static void in_ready(void *opaque, uint32_t events)
{
	struct chardev *c = opaque;
	bool hung_up = events & (EPOLLHUP | EPOLLERR);

	in_read_some(c);
	in_deliver(c);
	if (c->mode == CHAR_SOCKET && hung_up &&
	    (c->in.eof || !in_wanted(&c->in)))
		chardev_client_gone(c);
	else
		in_watch(c);
}

/* A regular file is always ready: read on while the device takes it. */
static void in_read_file(struct chardev *c)
{
	int budget = READ_BUDGET;

	while (!c->in.eof && !c->in.len && c->user.room && budget--) {
		in_read_some(c);
		in_deliver(c);
	}
	if (budget < 0)
		wake_loop(c);
}

/* ---- size --------------------------------------------------------------- */

static void size_check(void *opaque)
{
	struct chardev *c = opaque;
	uint16_t columns, rows;

	if (!c->user.resized)
		return;
	chardev_winsize(c, &columns, &rows);
	if (columns == c->columns && rows == c->rows)
		return;
	c->columns = columns;
	c->rows = rows;
	c->user.resized(c->user.opaque);
}

static void size_watch(struct chardev *c)
{
	uint64_t period_ns = c->user.resized ? SIZE_NS : 0;

	chardev_winsize(c, &c->columns, &c->rows);
	if (c->mode == CHAR_PTY)
		event_timer_set(&c->size_timer, period_ns, period_ns);
}

/* ---- the device --------------------------------------------------------- */

static void kicked(void *opaque, uint32_t events)
{
	struct chardev *c = opaque;
	bool gone;

	(void)events;
	if (eventfd_take(c->kick.fd))
		return;
	pthread_mutex_lock(&c->lock);
	gone = c->mode == CHAR_SOCKET && c->out.dead && c->out.fd >= 0;
	pthread_mutex_unlock(&c->lock);
	if (gone)
		chardev_client_gone(c);
	if (c->mode == CHAR_TTY)
		size_check(c);
	in_deliver(c);
	if (c->in.always)
		in_read_file(c);
	in_watch(c);
}

void chardev_resume(struct chardev *c)
{
	if (atomic_load(&c->waiting))
		wake_loop(c);
}

void chardev_attach(struct chardev *c, const struct chardev_user *user)
{
	c->user = user ? *user : (struct chardev_user){ 0 };
	size_watch(c);
	wake_loop(c);
}

void chardev_input_start(struct chardev *c, int fd)
{
	struct chardev_in *in = &c->in;

	in->fd = in->src.fd = fd;
	in->eof = in->always = false;
	if (!in_wanted(in))
		return;
	switch (event_add(c->loop, &in->src, EPOLLIN)) {
	case 0:
		in->watched = true;
		break;
	case -EPERM:
		in->always = true;
		wake_loop(c);
		break;
	default:
		in->eof = true;
	}
}

void chardev_input_stop(struct chardev *c, bool keep)
{
	struct chardev_in *in = &c->in;

	if (in->watched)
		event_del(c->loop, &in->src);
	in->watched = false;
	if (in->fd >= 0)
		close(in->fd);
	in->fd = -1;
	if (!keep)
		in->len = 0;
}

/* ---- life --------------------------------------------------------------- */

static void ignore_sigpipe(void)
{
	static const struct sigaction ignore = { .sa_handler = SIG_IGN };
	struct sigaction act;

	if (sigaction(SIGPIPE, NULL, &act) == 0 &&
	    !(act.sa_flags & SA_SIGINFO) && act.sa_handler == SIG_DFL)
		sigaction(SIGPIPE, &ignore, NULL);
}

static void chardev_init(struct chardev *c, const struct char_config *cfg,
			 const char *name, struct event_loop *loop)
{
	chardev_look(c);
	(void)snprintf(c->name, sizeof(c->name), "%s", name);
	c->mode = cfg->mode;
	c->loop = loop;
	pthread_mutex_init(&c->lock, NULL);
	c->in.fd = c->out.fd = c->slave_fd = -1;
	c->listener = UNIX_LISTENER_INIT;
	c->in.src.ready = in_ready;
	c->out.src.ready = out_drained;
	c->kick.ready = kicked;
	c->in.src.opaque = c->out.src.opaque = c->kick.opaque = c;
	c->kick.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

static int chardev_start(struct chardev *c, const struct char_config *cfg,
			 struct diag *d)
{
	int err;

	if (c->kick.fd < 0)
		return diag_errno(d, errno, "%s: cannot make an eventfd",
				  c->name);
	err = event_add(c->loop, &c->kick, EPOLLIN);
	if (!err)
		err = event_timer_init(&c->out.timer, c->loop, out_timer, c);
	if (!err && c->mode == CHAR_PTY)
		err = event_timer_init(&c->size_timer, c->loop, size_check, c);
	if (err)
		return diag_errno(d, -err, "%s: cannot join the event loop",
				  c->name);
	return chardev_open(c, cfg, d);
}

int chardev_new(struct chardev **out, const struct char_config *cfg,
		const char *name, struct event_loop *loop, struct diag *d)
{
	struct chardev *c = calloc(1, sizeof(*c));
	int err;

	if (c)
		c->out.ring = malloc(CHARDEV_OUT_BYTES);
	if (!c || !c->out.ring) {
		free(c);
		return diag_fail(d, ENOMEM, "%s: out of memory", name);
	}
	ignore_sigpipe();
	chardev_init(c, cfg, name, loop);
	err = chardev_start(c, cfg, d);
	if (err) {
		chardev_free(c);
		return err;
	}
	*out = c;
	return 0;
}

void chardev_free(struct chardev *c)
{
	if (!c)
		return;
	out_farewell(c);
	chardev_close(c);
	event_timer_release(&c->size_timer);
	event_timer_release(&c->out.timer);
	if (c->kick.fd >= 0) {
		event_del(c->loop, &c->kick);
		close(c->kick.fd);
	}
	pthread_mutex_destroy(&c->lock);
	free(c->out.ring);
	free(c);
}

void chardev_winsize(const struct chardev *c, uint16_t *columns, uint16_t *rows)
{
	struct winsize ws = { 0 };

	if ((c->mode == CHAR_TTY || c->mode == CHAR_PTY) &&
	    ioctl(c->out.fd, TIOCGWINSZ, &ws) < 0)
		ws = (struct winsize){ 0 };
	*columns = ws.ws_col;
	*rows = ws.ws_row;
}

const char *chardev_pty_path(const struct chardev *c)
{
	return c->mode == CHAR_PTY ? c->pty_path : NULL;
}
