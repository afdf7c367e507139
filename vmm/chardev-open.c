/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: character back ends: opening and closing each mode, see chardev.h
 *
 *	null	swallows output, has no input
 *	tty	standard output and input. Whatever they are: terminals, pipes,
 *		files, sockets; input may be closed. The first chardev in the
 *		process gets the input, others are output only
 *	pty	a new pseudo-terminal, its slave in raw mode
 *	file	created or truncated; output only; may be a FIFO or device.
 *		Emptied by chardev_begin() only, and one that was created is
 *		removed if it never came to that
 *	socket	a listening UNIX stream socket; one client at a time, the next
 *		one waits in line; removed when closed
 *
 * Standard output is opened a second time through /proc, so that it can be
 * non-blocking without making it so for the shell and others who share it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "vmm/base/log.h"
#include "vmm/chardev-impl.h"
#include "vmm/terminal.h"

/* ---- tty ---------------------------------------------------------------- */

/* Asked before we open anything: our own descriptors would fill the gap. */
static bool fd_open_for(int fd, int unwanted_mode)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && (flags & O_ACCMODE) != unwanted_mode;
}

void chardev_look(struct chardev *c)
{
	c->has_stdin = fd_open_for(STDIN_FILENO, O_WRONLY);
	c->has_stdout = fd_open_for(STDOUT_FILENO, O_RDONLY);
}

static int reopen_stdout(struct chardev_out *o)
{
	struct stat st;
	int fd = -1;

	if (fstat(STDOUT_FILENO, &st) < 0)
		return -errno;
	o->send = S_ISSOCK(st.st_mode);
	/* A second open of a regular file would start over at offset 0. */
	if (!o->send && !S_ISREG(st.st_mode))
		fd = open("/proc/self/fd/1",
			  O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	o->blocking = !o->send && !S_ISREG(st.st_mode);
	fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	return fd < 0 ? -errno : fd;
}

static void open_stdin(struct chardev *c)
{
	int fd;

	if (!c->has_stdin || !terminal_claim())
		return;
	c->in.claimed = true;
	c->in.person = terminal_raw(c->kick.fd);
	fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
	if (fd >= 0)
		chardev_input_start(c, fd);
}

static int open_tty(struct chardev *c, struct diag *d)
{
	int fd;

	if (!c->has_stdout)
		return diag_fail(d, EBADF,
				 "%s tty: standard output is closed; open it "
				 "or use %s null",
				 c->name, c->name);
	fd = reopen_stdout(&c->out);
	if (fd < 0)
		return diag_errno(d, -fd, "%s tty: cannot use standard output",
				  c->name);
	c->out.patient = true;
	chardev_output_start(c, fd);
	open_stdin(c);
	return 0;
}

/* ---- pty ---------------------------------------------------------------- */

static int open_pty_slave(struct chardev *c)
{
	struct termios tio;

	c->slave_fd = open(c->pty_path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (c->slave_fd < 0 || tcgetattr(c->slave_fd, &tio) < 0)
		return -errno;
	cfmakeraw(&tio);
	return tcsetattr(c->slave_fd, TCSANOW, &tio) < 0 ? -errno : 0;
}

static int setup_pty(struct chardev *c, int master)
{
	int out;

	if (grantpt(master) < 0 || unlockpt(master) < 0)
		return -errno;
	if (ptsname_r(master, c->pty_path, sizeof(c->pty_path)))
		return -errno;
	if (open_pty_slave(c) < 0)
		return -errno;
	out = fcntl(master, F_DUPFD_CLOEXEC, 3);
	if (out < 0)
		return -errno;
	chardev_output_start(c, out);
	chardev_input_start(c, master);
	return 0;
}

static int open_pty(struct chardev *c, struct diag *d)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	int err = master < 0 ? -errno : setup_pty(c, master);

	if (!err) {
		log_info("%s is %s", c->name, c->pty_path);
		return 0;
	}
	if (master >= 0)
		close(master);
	return diag_errno(d, -err, "%s pty: cannot make a pseudo-terminal",
			  c->name);
}

/* ---- file --------------------------------------------------------------- */

static int open_file(struct chardev *c, const char *path, struct diag *d)
{
	int flags = O_WRONLY | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, fd;

	if (!path || !*path)
		return diag_fail(d, EINVAL, "%s file=: needs a path", c->name);
	c->new_file = strdup(path);
	if (!c->new_file)
		return diag_fail(d, ENOMEM, "%s: out of memory", c->name);
	fd = open(path, flags | O_EXCL, 0644);
	if (fd < 0) {
		free(c->new_file);
		c->new_file = NULL;
		fd = open(path, flags, 0644);
	}
	if (fd < 0)
		return diag_errno(d, errno, "%s file=%s: cannot open", c->name,
				  path);
	chardev_output_start(c, fd);
	return 0;
}

void chardev_begin(struct chardev *c)
{
	if (!c || c->mode != CHAR_FILE)
		return;
	/* FIFOs and devices cannot be emptied, and need not be. */
	if (ftruncate(c->out.fd, 0))
		log_debug("%s: is not emptied: %s", c->name, strerror(errno));
	free(c->new_file);
	c->new_file = NULL;
}

static void remove_file(struct chardev *c)
{
	if (!c->new_file)
		return;
	unlink(c->new_file);
	free(c->new_file);
}

/* ---- socket ------------------------------------------------------------- */

static void let_in(struct chardev *c, bool on)
{
	if (on)
		event_add(c->loop, &c->watch, EPOLLIN);
	else
		event_del(c->loop, &c->watch);
}

void chardev_client_gone(struct chardev *c)
{
	chardev_input_stop(c, true);
	chardev_output_stop(c);
	let_in(c, true);
}

/* Not to try again at once, for ever, when descriptors are short. */
static void accept_failed(struct chardev *c, int err)
{
	if (err == EAGAIN)
		return;
	log_warn("%s: takes no more clients: %s", c->name, strerror(err));
	let_in(c, false);
}

static void client_came(void *opaque, uint32_t events)
{
	struct chardev *c = opaque;
	int fd, out;

	(void)events;
	fd = unix_accept(&c->listener);
	if (fd < 0) {
		accept_failed(c, -fd);
		return;
	}
	out = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (out < 0) {
		log_warn("%s: cannot serve a client: %s", c->name,
			 strerror(errno));
		close(fd);
		return;
	}
	let_in(c, false);
	chardev_output_start(c, out);
	chardev_input_start(c, fd);
}

static int watch_listener(struct chardev *c)
{
	c->watch.fd = c->listener.fd;
	c->watch.ready = client_came;
	c->watch.opaque = c;
	return event_add(c->loop, &c->watch, EPOLLIN);
}

static int open_socket(struct chardev *c, const char *path, struct diag *d)
{
	char option[sizeof(c->name) + sizeof(" socket")];
	int err;

	snprintf(option, sizeof(option), "%s socket", c->name);
	err = unix_listen(&c->listener, option, path, 1, d);
	if (err)
		return err;
	c->out.send = true;
	err = watch_listener(c);
	return err ? diag_errno(d, -err, "%s=%s: cannot watch it", option, path)
		   : 0;
}

static void close_listener(struct chardev *c)
{
	if (c->listener.fd >= 0)
		event_del(c->loop, &c->watch);
	unix_unlisten(&c->listener);
}

/* ---- all ---------------------------------------------------------------- */

int chardev_open(struct chardev *c, const struct char_config *cfg,
		 struct diag *d)
{
	switch (cfg->mode) {
	case CHAR_NULL:
		return 0;
	case CHAR_TTY:
		return open_tty(c, d);
	case CHAR_PTY:
		return open_pty(c, d);
	case CHAR_FILE:
		return open_file(c, cfg->file, d);
	case CHAR_SOCKET:
		return open_socket(c, cfg->socket, d);
	case CHAR_OFF:
		break;
	}
	return diag_fail(d, EINVAL, "%s: off has no back end", c->name);
}

void chardev_close(struct chardev *c)
{
	chardev_input_stop(c, false);
	chardev_output_stop(c);
	close_listener(c);
	remove_file(c);
	if (c->slave_fd >= 0)
		close(c->slave_fd);
	if (c->in.claimed)
		terminal_release();
}
