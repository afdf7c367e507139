/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: what the parts of the virtio console share; nobody else's
 *
 *	console.c       the device: data queues, configuration, state
 *	console-ctrl.c  the control queues of VIRTIO_CONSOLE_F_MULTIPORT
 *
 * Everything is guarded by virtio_device.lock.
 */
#ifndef DEVICES_VIRTIO_CONSOLE_IMPL_H
#define DEVICES_VIRTIO_CONSOLE_IMPL_H

#include "devices/virtio/virtio.h"

/* VIRTIO 1.3 sec. 5.3.3 */
#define CONSOLE_F_SIZE	      (1ULL << 0)
#define CONSOLE_F_MULTIPORT   (1ULL << 1)
#define CONSOLE_F_EMERG_WRITE (1ULL << 2)

/* VIRTIO 1.3 sec. 5.3.2: the first port's two, the control queues, then two
 * for each further port. */
enum {
	CONSOLE_RECEIVE,
	CONSOLE_TRANSMIT,
	CONSOLE_CONTROL_RECEIVE,
	CONSOLE_CONTROL_TRANSMIT,
	CONSOLE_QUEUES_ONE = 2, /* without the feature */
};

/**
 * enum console_state - what driver and device have told each other of a port
 * @PORT_ADDED: the driver knows that it is there
 * @PORT_OPENED: a program in the guest has it open
 */
enum console_state {
	PORT_ADDED = 1 << 0,
	PORT_OPENED = 1 << 1,
	PORT_STATES = (1 << 2) - 1,
};

/** enum console_todo - messages that a port has yet to send, in this order */
enum console_todo {
	TODO_ADD = 1 << 0,
	TODO_CONSOLE = 1 << 1,
	TODO_NAME = 1 << 2,
	TODO_OPEN = 1 << 3,
	TODO_RESIZE = 1 << 4,
	TODO_ALL = (1 << 5) - 1,
};

/**
 * struct console_port - one of a console's ports
 * @back: its back end; NULL: output is dropped
 * @name: in the guest; NULL for the console itself
 * @exists: false for a first port whose option is off
 * @state: enum console_state; @todo: enum console_todo
 */
struct console_port {
	struct console *con;
	unsigned id;
	struct chardev *back;
	const char *name;
	bool exists;
	uint8_t state, todo;
};

/**
 * struct console - the device
 * @ready: the driver has said DEVICE_READY
 * @port: @port_count of them; the first is the console
 */
struct console {
	struct virtio_device vd;
	bool ready;
	unsigned port_count;
	struct console_port port[CONSOLE_PORTS_MAX + 1];
};

/** console_multiport - did the driver accept the feature? */
static inline bool console_multiport(const struct console *con)
{
	return con->vd.features & CONSOLE_F_MULTIPORT;
}

/** console_control_send - send what ports have to say, as far as the driver
 * has offered buffers */
void console_control_send(struct console *con);

/** console_control_receive - take the driver's messages, and answer */
void console_control_receive(struct console *con);

#endif
