/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: serving one device by vhost-user, see serve.h */
#include "vmm/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/base/log.h"
#include "vmm/unix-socket.h"

#include "devices/device.h"
#include "devices/vhost/backend.h"

/* Front ends come one at a time; more may wait while one leaves. */
#define BACKLOG 4

/**
 * struct kind - what can be served
 * @word: behind `spandrel device`; @cls: class of the device; @id: its name
 * @option: of which there must be one; NULL: it needs none
 * @items, @item_count: where struct vm_config has those
 * @item_id: offset of the id in an item; @remote: of vhost_user
 */
static const struct kind {
	const char *word, *cls, *id, *option;
	size_t items, item_count, item_id, remote;
} kinds[] = {
	{ .word = "blk",
	  .cls = "virtio-blk",
	  .id = "_disk0",
	  .option = "disk",
	  .items = offsetof(struct vm_config, disks),
	  .item_count = offsetof(struct vm_config, disk_count),
	  .item_id = offsetof(struct disk_config, id),
	  .remote = offsetof(struct disk_config, vhost_user) },
	{ .word = "net",
	  .cls = "virtio-net",
	  .id = "_net0",
	  .option = "net",
	  .items = offsetof(struct vm_config, net),
	  .item_count = offsetof(struct vm_config, net_count),
	  .item_id = offsetof(struct net_config, id),
	  .remote = offsetof(struct net_config, vhost_user) },
	{ .word = "rng", .cls = "virtio-rng", .id = "__rng" },
};

static const struct kind *find_kind(const char *word)
{
	for (size_t i = 0; word && i < ARRAY_SIZE(kinds); i++)
		if (!strcmp(kinds[i].word, word))
			return &kinds[i];
	return NULL;
}

static unsigned item_count(const struct kind *k, const struct vm_config *cfg)
{
	return *(const unsigned *)(const void *)((const char *)cfg +
						 k->item_count);
}

/* The first item of the kind's option; NULL if it has none. */
static const char *first_item(const struct kind *k, const struct vm_config *cfg)
{
	if (!k->option)
		return NULL;
	return *(const char *const *)(const void *)((const char *)cfg +
						    k->items);
}

static const char *device_name(const struct kind *k,
			       const struct vm_config *cfg)
{
	const char *item = first_item(k, cfg), *id = NULL;

	if (item)
		id = *(const char *const *)(const void *)(item + k->item_id);
	return id ? id : k->id;
}

int serve_check(const struct vm_config *cfg, const char *kind,
		const char *socket, struct diag *d)
{
	const struct kind *k = find_kind(kind);

	if (!k)
		return diag_fail(d, EINVAL,
				 "spandrel device %.40s: which device? %s",
				 kind ? kind : "", SERVE_KINDS);
	if (!socket)
		return diag_fail(d, EINVAL,
				 "--socket is missing: where shall front ends "
				 "connect to");
	if (k->option && item_count(k, cfg) != 1)
		return diag_fail(d, EINVAL,
				 "spandrel device %s serves one device: give "
				 "--%s once",
				 k->word, k->option);
	if (k->option &&
	    *(const bool *)(const void *)(first_item(k, cfg) + k->remote))
		return diag_fail(d, EINVAL,
				 "--%s vhost_user=on: is served already: "
				 "connect to its socket",
				 k->option);
	return 0;
}

/* ---- socket ------------------------------------------------------------- */

/**
 * struct door - where front ends come from
 * @listener: .fd -1 with fd=N
 * @fd: fd=N; -1 with a path
 * @connected: @fd is one front end, not a door
 */
struct door {
	struct unix_listener listener;
	int fd;
	bool connected;
};

static int socket_option(int fd, int option, int *value)
{
	socklen_t len = sizeof(*value);

	return getsockopt(fd, SOL_SOCKET, option, value, &len);
}

static int open_fd(struct door *door, const char *text, struct diag *d)
{
	int domain, type, accepts;
	char *end;
	long fd;

	errno = 0;
	fd = strtol(text, &end, 10);
	if (errno || end == text || *end || fd < 3 || fd > INT32_MAX)
		return diag_fail(d, EINVAL,
				 "--socket fd=%.40s: not the number of an open "
				 "descriptor above 2",
				 text);
	if (socket_option((int)fd, SO_DOMAIN, &domain) ||
	    socket_option((int)fd, SO_TYPE, &type) ||
	    socket_option((int)fd, SO_ACCEPTCONN, &accepts))
		return diag_errno(d, errno, "--socket fd=%ld", fd);
	if (domain != AF_UNIX || type != SOCK_STREAM)
		return diag_fail(d, EINVAL,
				 "--socket fd=%ld: not a UNIX stream socket",
				 fd);
	door->fd = (int)fd;
	door->connected = !accepts;
	fcntl(door->fd, F_SETFD, FD_CLOEXEC);
	return 0;
}

static int door_open(struct door *door, const char *socket, struct diag *d)
{
	*door = (struct door){ .listener = UNIX_LISTENER_INIT, .fd = -1 };
	if (!strncmp(socket, "fd=", 3))
		return open_fd(door, socket + 3, d);
	return unix_listen(&door->listener, "--socket", socket, BACKLOG, d);
}

static int door_serve(const struct door *door, struct device *dev,
		      struct diag *d)
{
	if (door->connected)
		return vhost_backend_attach(dev, door->fd, d);
	return vhost_backend_listen(
		dev, door->fd >= 0 ? door->fd : door->listener.fd, d);
}

/* ---- running ------------------------------------------------------------ */

/** struct server - all of it; @signals: a signalfd */
struct server {
	struct guest_ram ram;
	struct event_loop *loop;
	struct event_source signals;
	struct irqchip irqchip;
	struct device_env env;
	struct device *dev;
	struct door door;
};

static void on_signal(void *opaque, uint32_t events)
{
	struct server *s = opaque;

	(void)events;
	event_loop_stop(s->loop);
}

static void on_end(void *opaque)
{
	struct server *s = opaque;

	event_loop_stop(s->loop);
}

/* A served device asks for nothing: there is no machine. */
static void requested(void *machine, enum machine_request what)
{
	(void)machine;
	(void)what;
}

static int make_device(struct server *s, const struct vm_config *cfg,
		       const struct kind *k, struct diag *d)
{
	const struct device_class *cls = device_class_find(k->cls);
	int err;

	if (!cls)
		return diag_fail(d, ENODEV,
				 "this build has no %s (see make menuconfig)",
				 k->cls);
	s->env = (struct device_env){
		.ram = &s->ram,
		.irqchip = &s->irqchip,
		.loop = s->loop,
		.config = cfg,
		.transport = &virtio_vhost_user,
		.request = requested,
		.machine = s,
	};
	err = device_new(&s->dev, cls, device_name(k, cfg), first_item(k, cfg),
			 &s->env, NULL, d);
	if (err)
		return err;
	s->dev->cls->reset(s->dev);
	return 0;
}

static int server_open(struct server *s, const struct vm_config *cfg,
		       const struct kind *k, const char *socket, struct diag *d)
{
	int err;

	s->loop = event_loop_new(d);
	if (!s->loop)
		return -errno;
	s->signals.ready = on_signal;
	s->signals.opaque = s;
	err = event_signals(s->loop, &s->signals, d);
	if (!err)
		err = make_device(s, cfg, k, d);
	/* Last: what cannot be served leaves no socket behind. */
	if (!err)
		err = door_open(&s->door, socket, d);
	if (!err)
		err = door_serve(&s->door, s->dev, d);
	s->env.begun = !err;
	if (!err && s->door.connected)
		vhost_backend_on_end(s->dev, on_end, s);
	return err;
}

static void server_close(struct server *s)
{
	device_free(s->dev);
	unix_unlisten(&s->door.listener);
	if (s->signals.fd >= 0)
		event_signals_end(s->loop, &s->signals);
	event_loop_free(s->loop);
	ram_release(&s->ram);
	irqchip_release(&s->irqchip);
}

int serve_main(const struct vm_config *cfg, const char *kind,
	       const char *socket, struct diag *d)
{
	struct server s = { .signals.fd = -1,
			    .door = { .listener = UNIX_LISTENER_INIT,
				      .fd = -1 } };
	int err;

	ram_init(&s.ram);
	irqchip_init(&s.irqchip, 0);
	err = server_open(&s, cfg, find_kind(kind), socket, d);
	if (!err) {
		log_info("serving %s at %s", s.dev->id, socket);
		event_loop_run(s.loop);
		log_info("%s: no longer served", s.dev->id);
	}
	server_close(&s);
	return err;
}
