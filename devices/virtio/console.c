/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: virtio console, one port (VIRTIO 1.3 sec. 5.3)
 *
 * Output goes to env->console as it comes, at most 64 KiB of each request
 * (drivers send pages); what the back end does not take it drops. Input waits
 * in the back end until the driver has offered a buffer. The terminal's size
 * is part of the configuration; a driver that knows it (F_SIZE) is told when it
 * changes. We look once a second, because nobody tells us about a
 * pseudo-terminal.
 *
 * Not implemented: multiple ports.
 *
 * Threads: see virtio.h; input arrives on the event loop. Lock order:
 * virtio_device.lock, then the character back end's.
 */
#include <errno.h>

#include "vmm/base/bytes.h"

#include "devices/virtio/devices.h"
#include "devices/virtio/virtio.h"

#define OUTPUT_BYTES_MAX 65536
#define LOOK_NS		 UINT64_C(1000000000)

enum { QUEUE_RECEIVE, QUEUE_TRANSMIT, QUEUES };

/* sec. 5.3.3 and 5.3.4 */
#define CONSOLE_F_SIZE	      (1ULL << 0)
#define CONSOLE_F_EMERG_WRITE (1ULL << 2)
enum {
	CONFIG_COLUMNS = 0,
	CONFIG_ROWS = 2,
	CONFIG_PORTS = 4,
	CONFIG_EMERG_WRITE = 8,
	CONFIG_BYTES = 12,
};

/** struct console - see the DOC block
 * @look: looks at the terminal's size; runs while the driver does
 * @columns, @rows: what it was when we looked, or the driver did, last
 */
struct console {
	struct virtio_device vd;
	struct event_timer look;
	uint16_t columns, rows;
};

static struct console *to_console(struct virtio_device *vd)
{
	return container_of(vd, struct console, vd);
}

static struct chardev *backend(const struct virtio_device *vd)
{
	return vd->dev.env->console;
}

static void console_out(struct virtio_device *vd,
			const struct virtq_chain *chain)
{
	size_t left = OUTPUT_BYTES_MAX;

	for (unsigned i = 0; i < chain->out_count && left; i++) {
		size_t n = MIN(chain->iov[i].iov_len, left);

		if (backend(vd))
			chardev_write(backend(vd), chain->iov[i].iov_base, n);
		left -= n;
	}
}

static void transmit(struct virtio_device *vd)
{
	struct virtq_chain chain;
	unsigned taken = 0;

	while (virtio_more(vd, QUEUE_TRANSMIT, &taken) &&
	       virtio_pop(vd, QUEUE_TRANSMIT, &chain)) {
		console_out(vd, &chain);
		virtio_push(vd, QUEUE_TRANSMIT, &chain, 0);
	}
	virtio_done(vd, QUEUE_TRANSMIT);
}

static void console_notify(struct virtio_device *vd, unsigned queue)
{
	if (queue == QUEUE_TRANSMIT)
		transmit(vd);
	else if (backend(vd))
		chardev_resume(backend(vd));
}

/* ---- input ------------------------------------------------------------- */

/* The next buffer that can hold something; others go back empty. */
static bool next_buffer(struct virtio_device *vd, struct virtq_chain *chain)
{
	unsigned taken = 0;

	while (virtio_more(vd, QUEUE_RECEIVE, &taken) &&
	       virtio_pop(vd, QUEUE_RECEIVE, chain)) {
		if (chain->in_bytes)
			return true;
		virtio_push(vd, QUEUE_RECEIVE, chain, 0);
	}
	virtio_done(vd, QUEUE_RECEIVE);
	return false;
}

static size_t console_room(void *opaque)
{
	struct virtio_device *vd = opaque;
	struct virtq_chain chain;
	size_t room = 0;

	pthread_mutex_lock(&vd->lock);
	if (next_buffer(vd, &chain)) {
		room = chain.in_bytes;
		virtq_undo(&vd->queue[QUEUE_RECEIVE].ring, &chain);
	}
	pthread_mutex_unlock(&vd->lock);
	return room;
}

static void console_receive(void *opaque, const uint8_t *data, size_t len)
{
	struct virtio_device *vd = opaque;
	struct virtq_chain chain;

	pthread_mutex_lock(&vd->lock);
	if (next_buffer(vd, &chain)) {
		size_t n = iov_write(chain.iov + chain.out_count,
				     chain.in_count, 0, data, len);

		virtio_push(vd, QUEUE_RECEIVE, &chain, (uint32_t)n);
		virtio_done(vd, QUEUE_RECEIVE);
	}
	pthread_mutex_unlock(&vd->lock);
}

/* ---- configuration ----------------------------------------------------- */

static uint64_t console_features(struct virtio_device *vd)
{
	(void)vd;
	return CONSOLE_F_SIZE | CONSOLE_F_EMERG_WRITE;
}

/* Is it another size than last time? */
static bool resized(struct console *c)
{
	uint16_t columns = 0, rows = 0;
	bool is;

	chardev_winsize(backend(&c->vd), &columns, &rows);
	is = columns != c->columns || rows != c->rows;
	c->columns = columns;
	c->rows = rows;
	return is;
}

static void console_get_config(struct virtio_device *vd, uint8_t *config)
{
	struct console *c = to_console(vd);

	if (backend(vd))
		resized(c);
	put_le16(config + CONFIG_COLUMNS, c->columns);
	put_le16(config + CONFIG_ROWS, c->rows);
	put_le32(config + CONFIG_PORTS, 1);
}

/* A driver in trouble prints one byte at a time without queues. */
static void console_set_config(struct virtio_device *vd, unsigned offset,
			       const uint8_t *data, unsigned len)
{
	(void)len;
	if (offset == CONFIG_EMERG_WRITE && backend(vd))
		chardev_write(backend(vd), data, 1);
}

/* ---- size of the terminal ---------------------------------------------- */

static bool is_terminal(const struct virtio_device *vd)
{
	enum char_mode mode = vd->dev.env->config->console.mode;

	return backend(vd) && (mode == CHAR_TTY || mode == CHAR_PTY);
}

static void look(void *opaque)
{
	struct console *c = opaque;

	pthread_mutex_lock(&c->vd.lock);
	if (resized(c))
		virtio_config_changed(&c->vd);
	pthread_mutex_unlock(&c->vd.lock);
}

static void console_start(struct virtio_device *vd, unsigned queue)
{
	struct console *c = to_console(vd);

	if (queue != QUEUE_TRANSMIT || !is_terminal(vd) ||
	    !(vd->features & CONSOLE_F_SIZE))
		return;
	event_timer_set(&c->look, LOOK_NS, LOOK_NS);
}

static void console_stop(struct virtio_device *vd, unsigned queue)
{
	if (queue == QUEUE_TRANSMIT)
		event_timer_set(&to_console(vd)->look, 0, 0);
}

static int console_realize(struct virtio_device *vd, struct diag *d)
{
	int err = event_timer_init(&to_console(vd)->look, vd->dev.env->loop,
				   look, to_console(vd));
	const struct chardev_user user = { .room = console_room,
					   .receive = console_receive,
					   .opaque = vd };

	if (err)
		return diag_errno(d, -err, "--console: cannot make a timer");
	if (backend(vd))
		chardev_attach(backend(vd), &user);
	return 0;
}

static void console_unrealize(struct virtio_device *vd)
{
	if (backend(vd))
		chardev_attach(backend(vd), NULL);
	event_timer_release(&to_console(vd)->look);
}

static const struct virtio_class console_virtio = {
	.id = VIRTIO_ID_CONSOLE,
	.pci_class = 0x078000, /* other communication controller */
	.queue_count = QUEUES,
	.queue_size = 256,
	.config_bytes = CONFIG_BYTES,
	.realize = console_realize,
	.unrealize = console_unrealize,
	.get_features = console_features,
	.get_config = console_get_config,
	.set_config = console_set_config,
	.notify = console_notify,
	.start = console_start,
	.stop = console_stop,
};

const struct device_class virtio_console_class = {
	.name = "virtio-console",
	.size_bytes = sizeof(struct console),
	.data = &console_virtio,
	VIRTIO_DEVICE_CLASS,
};
