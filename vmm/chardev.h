/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: character back ends: where a serial port or console is connected
 *
 * Modes are Cloud Hypervisor's: off, null, tty (this terminal), pty, file,
 * socket. The terminal is put into raw mode while a guest runs and is always
 * restored: on exit, on fatal signals, and around SIGTSTP.
 *
 * Threads: chardev_write() from any thread, never blocks the guest for long:
 * what the other side does not take within a bounded buffer is dropped.
 * @receive and @resized are called on the event-loop thread.
 */
#ifndef VMM_CHARDEV_H
#define VMM_CHARDEV_H

#include "vmm/base/diag.h"
#include "vmm/base/types.h"
#include "vmm/config.h"
#include "vmm/event.h"

struct chardev;

/**
 * struct chardev_user - the device in front
 * @room: how many bytes of input the device can take now
 * @receive: @len bytes of input, at most what @room said
 * @resized: chardev_winsize() says something else now; NULL: not interested
 */
struct chardev_user {
	size_t (*room)(void *opaque);
	void (*receive)(void *opaque, const uint8_t *data, size_t len);
	void (*resized)(void *opaque);
	void *opaque;
};

/**
 * chardev_new - open a back end
 * @cfg: mode and path; CHAR_OFF is not valid here
 * @name: for messages: "--serial"
 *
 * Return: 0 and *@out, or -errno and @d.
 */
int chardev_new(struct chardev **out, const struct char_config *cfg,
		const char *name, struct event_loop *loop, struct diag *d);

/** chardev_begin - all else is in order, the guest will run: empty the file of
 * CHAR_FILE, which goes away with @c otherwise if it was not there before;
 * before anything is written; accepts NULL */
void chardev_begin(struct chardev *c);

/** chardev_free - flush what can be flushed, restore the terminal; accepts
 * NULL */
void chardev_free(struct chardev *c);

/** chardev_attach - connect the device; NULL detaches */
void chardev_attach(struct chardev *c, const struct chardev_user *user);

/** chardev_write - guest output; drops what does not fit */
void chardev_write(struct chardev *c, const void *data, size_t len);

/** chardev_resume - the device has room again: deliver waiting input */
void chardev_resume(struct chardev *c);

/** chardev_winsize - columns and rows of the terminal, 0 if there is none */
void chardev_winsize(const struct chardev *c, uint16_t *columns,
		     uint16_t *rows);

/** chardev_pty_path - the pty's path for mode pty, else NULL */
const char *chardev_pty_path(const struct chardev *c);

#endif
