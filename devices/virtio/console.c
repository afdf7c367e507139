/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: virtio console (VIRTIO 1.3 sec. 5.3)
 *
 * Port 0 is --console; each --console-port is one more, which Linux shows as
 * /dev/virtio-ports/NAME. MULTIPORT is offered when there are further ports
 * only; a driver that does not accept it has port 0.
 *
 * Output goes to the port's back end as it comes, at most 64 KiB of each
 * request (drivers send pages); what the back end does not take it drops.
 * Input waits in the back end until the driver has offered a buffer and, with
 * MULTIPORT, has opened the port: Linux discards what comes before.
 *
 * The terminal's size is part of the configuration; when it changes, the
 * driver gets a configuration interrupt and, with MULTIPORT, RESIZE.
 *
 * Threads: see virtio.h; input and sizes arrive on the event loop. Lock order:
 * virtio_device.lock, then the character back end's.
 */
#include <errno.h>

#include "vmm/base/bytes.h"

#include "devices/virtio/console-impl.h"
#include "devices/virtio/devices.h"

#define OUTPUT_BYTES_MAX 65536

/* sec. 5.3.4 */
enum {
	CONFIG_COLUMNS = 0,
	CONFIG_ROWS = 2,
	CONFIG_PORTS = 4,
	CONFIG_EMERG_WRITE = 8,
	CONFIG_BYTES = 12,
};

static struct console *to_console(struct virtio_device *vd)
{
	return container_of(vd, struct console, vd);
}

static unsigned receive_queue(const struct console_port *p)
{
	return p->id ? 2 + 2 * p->id : CONSOLE_RECEIVE;
}

/* ---- output ------------------------------------------------------------ */

static void output(struct console_port *p, const struct virtq_chain *chain)
{
	size_t left = OUTPUT_BYTES_MAX;

	for (unsigned i = 0; i < chain->out_count && left; i++) {
		size_t n = MIN(chain->iov[i].iov_len, left);

		if (p->back)
			chardev_write(p->back, chain->iov[i].iov_base, n);
		left -= n;
	}
}

static void transmit(struct console_port *p)
{
	struct virtio_device *vd = &p->con->vd;
	unsigned queue = receive_queue(p) + 1, taken = 0;
	struct virtq_chain chain;

	while (virtio_more(vd, queue, &taken) &&
	       virtio_pop(vd, queue, &chain)) {
		output(p, &chain);
		virtio_push(vd, queue, &chain, 0);
	}
	virtio_done(vd, queue);
}

static void port_notify(struct console_port *p, unsigned queue)
{
	if (queue & 1)
		transmit(p);
	else if (p->back)
		chardev_resume(p->back);
}

static void console_notify(struct virtio_device *vd, unsigned queue)
{
	struct console *con = to_console(vd);

	if (queue < CONSOLE_QUEUES_ONE)
		port_notify(&con->port[0], queue);
	else if (!console_multiport(con))
		return; /* not the driver's */
	else if (queue == CONSOLE_CONTROL_RECEIVE)
		console_control_send(con);
	else if (queue == CONSOLE_CONTROL_TRANSMIT)
		console_control_receive(con);
	else
		port_notify(&con->port[queue / 2 - 1], queue);
}

/* ---- input ------------------------------------------------------------- */

/* The next buffer that can hold something; others go back empty. */
static bool next_buffer(struct console_port *p, struct virtq_chain *chain)
{
	struct virtio_device *vd = &p->con->vd;
	unsigned queue = receive_queue(p), taken = 0;

	while (virtio_more(vd, queue, &taken) && virtio_pop(vd, queue, chain)) {
		if (chain->in_bytes)
			return true;
		virtio_push(vd, queue, chain, 0);
	}
	virtio_done(vd, queue);
	return false;
}

static bool wants_input(const struct console_port *p)
{
	if (console_multiport(p->con))
		return p->state & PORT_OPENED;
	return p->id == 0;
}

static size_t port_room(void *opaque)
{
	struct console_port *p = opaque;
	struct virtio_device *vd = &p->con->vd;
	struct virtq_chain chain;
	size_t room = 0;

	pthread_mutex_lock(&vd->lock);
	if (wants_input(p) && next_buffer(p, &chain)) {
		room = chain.in_bytes;
		virtq_undo(&vd->queue[receive_queue(p)].ring, &chain);
	}
	pthread_mutex_unlock(&vd->lock);
	return room;
}

static void port_receive(void *opaque, const uint8_t *data, size_t len)
{
	struct console_port *p = opaque;
	struct virtio_device *vd = &p->con->vd;
	struct virtq_chain chain;

	pthread_mutex_lock(&vd->lock);
	if (next_buffer(p, &chain)) {
		size_t n = iov_write(chain.iov + chain.out_count,
				     chain.in_count, 0, data, len);

		virtio_push(vd, receive_queue(p), &chain, (uint32_t)n);
		virtio_done(vd, receive_queue(p));
	}
	pthread_mutex_unlock(&vd->lock);
}

/* ---- configuration ----------------------------------------------------- */

static uint64_t console_features(struct virtio_device *vd)
{
	uint64_t features = CONSOLE_F_SIZE | CONSOLE_F_EMERG_WRITE;

	if (to_console(vd)->port_count > 1)
		features |= CONSOLE_F_MULTIPORT;
	return features;
}

static void console_get_config(struct virtio_device *vd, uint8_t *config)
{
	struct console *con = to_console(vd);
	uint16_t columns = 0, rows = 0;

	if (con->port[0].back)
		chardev_winsize(con->port[0].back, &columns, &rows);
	put_le16(config + CONFIG_COLUMNS, columns);
	put_le16(config + CONFIG_ROWS, rows);
	put_le32(config + CONFIG_PORTS, con->port_count);
}

/* A driver in trouble prints one byte at a time without queues. */
static void console_set_config(struct virtio_device *vd, unsigned offset,
			       const uint8_t *data, unsigned len)
{
	struct chardev *back = to_console(vd)->port[0].back;

	(void)len;
	if (offset == CONFIG_EMERG_WRITE && back)
		chardev_write(back, data, 1);
}

static void console_resized(void *opaque)
{
	struct console_port *p = opaque;
	struct console *con = p->con;

	pthread_mutex_lock(&con->vd.lock);
	if (con->vd.features & CONSOLE_F_SIZE)
		virtio_config_changed(&con->vd);
	if (console_multiport(con) && p->state & PORT_ADDED) {
		p->todo |= TODO_RESIZE;
		console_control_send(con);
	}
	pthread_mutex_unlock(&con->vd.lock);
}

/* ---- life --------------------------------------------------------------- */

static void port_init(struct console *con, unsigned id)
{
	const struct device_env *env = con->vd.dev.env;
	const struct vm_config *cfg = env->config;
	struct console_port *p = &con->port[id];

	p->con = con;
	p->id = id;
	p->exists = id || cfg->console.mode != CHAR_OFF;
	p->name = id ? cfg->console_port[id - 1].name : NULL;
	if (id)
		p->back = env->console_port ? env->console_port[id - 1] : NULL;
	else
		p->back = env->console;
}

static void port_attach(struct console_port *p)
{
	const struct chardev_user user = {
		.room = port_room,
		.receive = port_receive,
		.resized = p->id ? NULL : console_resized,
		.opaque = p,
	};

	if (p->back)
		chardev_attach(p->back, &user);
}

static int console_realize(struct virtio_device *vd, struct diag *d)
{
	struct console *con = to_console(vd);

	(void)d;
	con->port_count = 1 + vd->dev.env->config->console_port_count;
	if (con->port_count > 1)
		vd->queue_count = 2 * con->port_count + 2;
	for (unsigned i = 0; i < con->port_count; i++) {
		port_init(con, i);
		port_attach(&con->port[i]);
	}
	return 0;
}

static void console_unrealize(struct virtio_device *vd)
{
	struct console *con = to_console(vd);

	for (unsigned i = 0; i < con->port_count; i++)
		if (con->port[i].back)
			chardev_attach(con->port[i].back, NULL);
}

static void console_reset(struct virtio_device *vd)
{
	struct console *con = to_console(vd);

	con->ready = false;
	for (unsigned i = 0; i < con->port_count; i++)
		con->port[i].state = con->port[i].todo = 0;
}

static void console_save(const struct virtio_device *vd, struct stream_out *out)
{
	const struct console *con = (const void *)vd;

	stream_put_u8(out, con->ready);
	for (unsigned i = 0; i < con->port_count; i++) {
		stream_put_u8(out, con->port[i].state);
		stream_put_u8(out, con->port[i].todo);
	}
}

/* Only what messages can have made. */
static bool port_possible(const struct console_port *p, uint8_t state,
			  uint8_t todo, bool ready)
{
	const uint8_t may = TODO_ADD | TODO_OPEN |
			    (p->name ? TODO_NAME : TODO_CONSOLE | TODO_RESIZE);

	if (state & ~PORT_STATES || todo & ~may)
		return false;
	if (!p->exists || !ready)
		return !state && !todo;
	if (state & PORT_ADDED)
		return !(todo & TODO_ADD);
	return !state && todo == TODO_ADD;
}

/* Queues, status and features are loaded already. */
static int console_load(struct virtio_device *vd, struct stream_in *in)
{
	struct console *con = to_console(vd);
	uint8_t ready = stream_get_u8(in), state, todo;

	if (ready > 1 || (ready && !console_multiport(con)))
		return -EBADMSG;
	for (unsigned i = 0; i < con->port_count; i++) {
		state = stream_get_u8(in);
		todo = stream_get_u8(in);
		if (!port_possible(&con->port[i], state, todo, ready))
			return -EBADMSG;
		con->port[i].state = state;
		con->port[i].todo = todo;
	}
	con->ready = ready;
	return in->failed ? -EBADMSG : 0;
}

static const struct virtio_class console_virtio = {
	.id = VIRTIO_ID_CONSOLE,
	.pci_class = 0x078000, /* other communication controller */
	.queue_count = CONSOLE_QUEUES_ONE,
	.queue_size = 256,
	.config_bytes = CONFIG_BYTES,
	.realize = console_realize,
	.unrealize = console_unrealize,
	.save = console_save,
	.load = console_load,
	.reset = console_reset,
	.get_features = console_features,
	.get_config = console_get_config,
	.set_config = console_set_config,
	.notify = console_notify,
};

const struct device_class virtio_console_class = {
	.name = "virtio-console",
	.size_bytes = sizeof(struct console),
	.data = &console_virtio,
	VIRTIO_DEVICE_CLASS,
};
