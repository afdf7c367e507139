/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: virtio console, the control queues (VIRTIO 1.3 sec. 5.3.6.2)
 *
 * The driver says DEVICE_READY; we tell it of each port (PORT_ADD); for each
 * it says PORT_READY, and we tell what the port is (CONSOLE_PORT or PORT_NAME)
 * and that its other side is open (PORT_OPEN: always, a back end without a
 * client keeps the latest output). PORT_OPEN from the driver lets input in.
 *
 * What a port has to say is a set of bits, not a queue of messages: a driver
 * that repeats itself, or offers no buffers, costs nothing. Messages for ports
 * that do not exist or were not added, and unknown ones, are dropped.
 *
 * Quirk: Linux before its commit 5326ab737a47 (2025) takes the two numbers of
 * RESIZE for rows, columns.
 *
 * Not implemented: PORT_REMOVE (ports stay as long as the machine).
 */
#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/base/log.h"

#include "devices/virtio/console-impl.h"

/* struct virtio_console_control */
enum {
	CONTROL_ID = 0,
	CONTROL_EVENT = 4,
	CONTROL_VALUE = 6,
	CONTROL_BYTES = 8
};

enum control_event {
	DEVICE_READY = 0,
	PORT_ADD = 1,
	PORT_READY = 3,
	CONSOLE_PORT = 4,
	RESIZE = 5,
	PORT_OPEN = 6,
	PORT_NAME = 7,
};

#define MESSAGE_MAX (CONTROL_BYTES + CONFIG_ID_MAX)

/* ---- to the driver ------------------------------------------------------ */

/* Indexed by the bit of enum console_todo. */
static const enum control_event events[] = {
	PORT_ADD, CONSOLE_PORT, PORT_NAME, PORT_OPEN, RESIZE,
};

static struct console_port *next_port(struct console *con)
{
	for (unsigned i = 0; i < con->port_count; i++)
		if (con->port[i].todo)
			return &con->port[i];
	return NULL;
}

/* What follows the header. Return: its length. */
static size_t put_rest(const struct console_port *p, enum control_event event,
		       uint8_t *rest)
{
	uint16_t columns = 0, rows = 0;
	size_t len;

	if (event == RESIZE) {
		if (p->back)
			chardev_winsize(p->back, &columns, &rows);
		put_le16(rest, columns);
		put_le16(rest + 2, rows);
		return 4;
	}
	if (event != PORT_NAME)
		return 0;
	len = strnlen(p->name, CONFIG_ID_MAX);
	memcpy(rest, p->name, len); /* without a NUL */
	return len;
}

/* Return: bytes written; 0 if the buffer is too small. */
static uint32_t send_one(struct console_port *p,
			 const struct virtq_chain *chain)
{
	unsigned bit = (unsigned)__builtin_ctz(p->todo);
	enum control_event event = events[bit];
	uint8_t message[MESSAGE_MAX];
	size_t len;

	put_le32(message + CONTROL_ID, p->id);
	put_le16(message + CONTROL_EVENT, (uint16_t)event);
	put_le16(message + CONTROL_VALUE,
		 event == PORT_OPEN || event == CONSOLE_PORT);
	len = CONTROL_BYTES + put_rest(p, event, message + CONTROL_BYTES);
	if (chain->in_bytes < len)
		return 0;
	p->todo &= (uint8_t) ~(1u << bit);
	if (event == PORT_ADD)
		p->state |= PORT_ADDED;
	return (uint32_t)iov_write(chain->iov + chain->out_count,
				   chain->in_count, 0, message, len);
}

void console_control_send(struct console *con)
{
	struct virtio_device *vd = &con->vd;
	struct console_port *p;
	struct virtq_chain chain;
	unsigned taken = 0;

	while ((p = next_port(con)) &&
	       virtio_more(vd, CONSOLE_CONTROL_RECEIVE, &taken) &&
	       virtio_pop(vd, CONSOLE_CONTROL_RECEIVE, &chain))
		virtio_push(vd, CONSOLE_CONTROL_RECEIVE, &chain,
			    send_one(p, &chain));
	virtio_done(vd, CONSOLE_CONTROL_RECEIVE);
}

/* ---- from the driver ---------------------------------------------------- */

static void refused(struct console *con, const char *what)
{
	log_guest(&con->vd.misuse,
		  "%s: the guest's driver sends a control message %s: ignored",
		  con->vd.dev.id, what);
}

static void device_ready(struct console *con, bool good)
{
	if (con->ready || !good)
		return;
	con->ready = true;
	for (unsigned i = 0; i < con->port_count; i++)
		if (con->port[i].exists)
			con->port[i].todo |= TODO_ADD;
}

static void port_ready(struct console_port *p, bool good)
{
	if (!good)
		return;
	p->todo |= TODO_OPEN;
	p->todo |= p->name ? TODO_NAME : TODO_CONSOLE | TODO_RESIZE;
}

static void port_open(struct console_port *p, bool open)
{
	p->state &= (uint8_t)~PORT_OPENED;
	if (!open)
		return;
	p->state |= PORT_OPENED;
	if (p->back)
		chardev_resume(p->back);
}

static void port_event(struct console *con, uint32_t id, uint16_t event,
		       bool on)
{
	struct console_port *p = id < con->port_count ? &con->port[id] : NULL;

	if (!p || !(p->state & PORT_ADDED))
		refused(con, "for a port that it was not told of");
	else if (event == PORT_READY)
		port_ready(p, on);
	else
		port_open(p, on);
}

static void receive_one(struct console *con, const struct virtq_chain *chain)
{
	uint8_t message[CONTROL_BYTES];
	uint16_t event;
	bool on;

	if (iov_read(chain->iov, chain->out_count, 0, message,
		     sizeof(message)) < sizeof(message)) {
		refused(con, "that is too short");
		return;
	}
	event = get_le16(message + CONTROL_EVENT);
	on = get_le16(message + CONTROL_VALUE);
	if (event == DEVICE_READY)
		device_ready(con, on);
	else if (event == PORT_READY || event == PORT_OPEN)
		port_event(con, get_le32(message + CONTROL_ID), event, on);
	else
		refused(con, "that is not a driver's");
}

void console_control_receive(struct console *con)
{
	struct virtio_device *vd = &con->vd;
	struct virtq_chain chain;
	unsigned taken = 0;

	while (virtio_more(vd, CONSOLE_CONTROL_TRANSMIT, &taken) &&
	       virtio_pop(vd, CONSOLE_CONTROL_TRANSMIT, &chain)) {
		receive_one(con, &chain);
		virtio_push(vd, CONSOLE_CONTROL_TRANSMIT, &chain, 0);
	}
	virtio_done(vd, CONSOLE_CONTROL_TRANSMIT);
	console_control_send(con);
}
