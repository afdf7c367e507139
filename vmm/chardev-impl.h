/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: what chardev.c (bytes in and out) and chardev-open.c (back ends) share
 *
 * Threads: chardev_write() and chardev_resume() run on any thread, all else
 * on the event-loop thread. Lock order: the device's lock, then chardev.lock,
 * then what vmm/event.c locks inside. The device is called without
 * chardev.lock held.
 */
#ifndef VMM_CHARDEV_IMPL_H
#define VMM_CHARDEV_IMPL_H

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "vmm/chardev.h"
#include "vmm/unix-socket.h"

#define CHARDEV_IN_BYTES  4096
#define CHARDEV_OUT_BYTES 65536

static_assert((CHARDEV_OUT_BYTES & (CHARDEV_OUT_BYTES - 1)) == 0,
	      "the output ring wraps by masking");

/**
 * struct chardev_out - output; guarded by chardev.lock
 * @fd: where it goes; -1: nowhere yet (socket without client)
 * @src: watched for EPOLLOUT while the other side is slow
 * @send: @fd is a socket: send(2), which cannot raise SIGPIPE
 * @blocking: @fd may block: poll(2) before each write
 * @patient: wait a little for a slow reader before bytes are dropped
 * @stalled: waited in vain, and nothing has moved since
 * @watched: @src is in the event loop
 * @dead: the other side is gone: drop everything
 * @warned: said so
 * @timer: flushes what no newline flushed; @armed: it is running
 * @ring: CHARDEV_OUT_BYTES, @len of them in use from @head; the oldest are
 *	overwritten. Its own allocation, so that unused pages cost nothing
 */
struct chardev_out {
	int fd;
	struct event_source src;
	bool send, blocking, patient, stalled, watched, dead, warned;
	struct event_timer timer;
	bool armed;
	uint32_t head, len;
	uint8_t *ring;
};

/**
 * struct chardev_in - input; event-loop thread only
 * @fd: where it comes from; -1: nowhere
 * @src: watched for EPOLLIN while @buf has room
 * @watched: @src is in the event loop
 * @always: @fd cannot be watched (regular file): reads never block
 * @eof: nothing more will come
 * @person: a terminal: Ctrl-A escapes; reading never pauses
 * @escape: the last key was Ctrl-A
 * @claimed: we hold standard input, see terminal.h
 * @buf: @len bytes that the device has not taken
 */
struct chardev_in {
	int fd;
	struct event_source src;
	bool watched, always, eof, person, escape, claimed;
	size_t len;
	uint8_t buf[CHARDEV_IN_BYTES];
};

/**
 * struct chardev - one back end
 * @kick: eventfd source: wakes the event loop to deliver input
 * @waiting: input is there and the device had no room
 * @user: the device; room NULL: none
 * @new_file: CHAR_FILE: created, and not begun yet; else NULL
 * @listener: CHAR_SOCKET: its listening socket, fd -1 otherwise
 * @watch: CHAR_SOCKET: @listener in the event loop
 * @has_stdin, @has_stdout: descriptors 0 and 1 were there at the start
 * @slave_fd: CHAR_PTY: held open, so that the master never hangs up
 * @columns, @rows: size of the terminal that @user knows
 * @size_timer: CHAR_PTY: looks at the size
 */
struct chardev {
	char name[80];
	enum char_mode mode;
	struct event_loop *loop;
	struct event_source kick;
	atomic_bool waiting;
	struct chardev_user user;
	struct chardev_in in;
	pthread_mutex_t lock;
	struct chardev_out out;
	char *new_file;
	struct unix_listener listener;
	struct event_source watch;
	bool has_stdin, has_stdout;
	int slave_fd;
	char pty_path[64];
	uint16_t columns, rows;
	struct event_timer size_timer;
};

/** chardev_look - note which standard descriptors are open; before any other
 * descriptor is opened */
void chardev_look(struct chardev *c);

/** chardev_open - open the back end of @c->mode; on failure everything that
 * was opened is closed by chardev_close() */
int chardev_open(struct chardev *c, const struct char_config *cfg,
		 struct diag *d);

/** chardev_close - undo chardev_open(); accepts a half-open @c */
void chardev_close(struct chardev *c);

/** chardev_input_start - begin to watch @fd for input; it stays @c's */
void chardev_input_start(struct chardev *c, int fd);

/** chardev_input_stop - stop watching, close the descriptor, forget what was
 * read but not delivered unless @keep */
void chardev_input_stop(struct chardev *c, bool keep);

/** chardev_output_start - send output, and what has gathered, to @fd */
void chardev_output_start(struct chardev *c, int fd);

/** chardev_output_stop - close the descriptor; later output gathers */
void chardev_output_stop(struct chardev *c);

/** chardev_client_gone - CHAR_SOCKET: the client hung up; let the next in */
void chardev_client_gone(struct chardev *c);

#endif
