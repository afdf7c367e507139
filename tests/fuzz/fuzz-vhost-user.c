/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: any bytes as a vhost-user conversation, at both ends
 *
 * Input: a control byte, then for the back end messages: request, flags, kind
 * of descriptor, payload size, payload. Bit 0 of the control byte: a ring is
 * set up properly before; bit 1: so is the memory of requests in flight; bit 2:
 * the rings are packed. The ring's memory is the rest of the input. Bit 7: the
 * bytes are what a back end answers to our front end instead.
 *
 * Nothing may crash, hang, or leave a descriptor or a mapping behind.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/base/check.h"
#include "vmm/base/log.h"

#include "devices/vhost/backend.h"
#include "devices/vhost/frontend.h"

#define RAM_AT	  0x10000ULL
#define RAM_BYTES KIB(64)
#define USER	  0x7f0000000000ULL
#define SIZE	  8
#define ROUNDS	  3

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* ---- a device ----------------------------------------------------------- */

static void toy_notify(struct virtio_device *vd, unsigned queue)
{
	struct virtq_chain c;
	unsigned taken = 0;

	while (virtio_more(vd, queue, &taken) && virtio_pop(vd, queue, &c)) {
		uint8_t first = 0;

		iov_read(c.iov, c.out_count, 0, &first, 1);
		iov_write(c.iov + c.out_count, c.in_count, 0, &first, 1);
		if (first != 0xff) /* else never given back */
			virtio_push(vd, queue, &c, 1);
	}
	virtio_done(vd, queue);
}

static void toy_config(struct virtio_device *vd, uint8_t *config)
{
	(void)vd;
	memset(config, 7, 16);
}

static const struct virtio_class toy_virtio = {
	.id = VIRTIO_ID_RNG,
	.queue_count = 2,
	.queue_size = 16,
	.config_bytes = 16,
	.get_config = toy_config,
	.notify = toy_notify,
};

static const struct device_class toy_class = {
	.name = "toy",
	.size_bytes = sizeof(struct virtio_device),
	.data = &toy_virtio,
	VIRTIO_DEVICE_CLASS,
};

/* ---- its process -------------------------------------------------------- */

static struct guest_ram ram;
static struct vm_config config;
static struct device_env env;
static struct device *dev;
static struct event_source idle;
static unsigned rounds, ends;

static void on_idle(void *opaque, uint32_t events)
{
	(void)opaque;
	(void)events;
	if (!rounds--)
		event_loop_stop(env.loop);
}

static void run(void)
{
	rounds = ROUNDS;
	event_loop_run(env.loop);
}

static void on_end(void *opaque)
{
	(void)opaque;
	ends++;
}

static void once(void)
{
	struct diag d = DIAG_INIT;

	if (dev)
		return;
	log_setup(open("/dev/null", O_WRONLY | O_CLOEXEC), LOG_ERROR);
	env = (struct device_env){ .ram = &ram,
				   .loop = event_loop_new(&d),
				   .config = &config,
				   .transport = &virtio_vhost_user };
	CHECK(env.loop);
	idle = (struct event_source){ eventfd(1, EFD_CLOEXEC), on_idle, NULL };
	CHECK(!event_add(env.loop, &idle, EPOLLIN));
	CHECK(!device_new(&dev, &toy_class, "_toy", NULL, &env, NULL, &d));
	dev->cls->reset(dev);
	vhost_backend_on_end(dev, on_end, NULL);
}

static unsigned open_fds(void)
{
	unsigned n = 0;

	for (int fd = 3; fd < 64; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* ---- the front end ------------------------------------------------------ */

static int memory_new(const uint8_t *data, size_t len)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	CHECK(fd >= 0 && !ftruncate(fd, RAM_BYTES));
	CHECK(pwrite(fd, data, MIN(len, RAM_BYTES), 0) >= 0);
	return fd;
}

static void send_message(int fd, uint32_t request, const void *payload,
			 uint32_t size, int with)
{
	struct vu_header h = { request, VU_VERSION, size };

	vu_send(fd, &h, payload, &with, with >= 0);
}

static void set_state(int fd, uint32_t request, uint32_t num)
{
	struct vu_vring_state s = { 0, num };

	send_message(fd, request, &s, sizeof(s), -1);
}

static void set_up(int fd, int mem, uint8_t control)
{
	const struct vu_memory m = {
		.count = 1,
		.region = { { RAM_AT, RAM_BYTES, USER, 0 } },
	};
	const struct vu_vring_addr a = { .desc = USER,
					 .avail = USER + 0x200,
					 .used = USER + 0x400 };
	const struct vu_inflight fl = { .mmap_size_bytes = 0x2000,
					.queue_count = 1,
					.queue_size = SIZE };
	uint64_t features = VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC |
			    VIRTIO_F_EVENT_IDX |
			    (control & 4 ? VIRTIO_F_RING_PACKED : 0);
	uint64_t zero = 0;
	int kick = eventfd(1, EFD_CLOEXEC);

	send_message(fd, VU_SET_FEATURES, &features, 8, -1);
	send_message(fd, VU_SET_MEM_TABLE, &m, 40, mem);
	if (control & 2) /* the ring's memory is as good as any */
		send_message(fd, VU_SET_INFLIGHT_FD, &fl, sizeof(fl), mem);
	set_state(fd, VU_SET_VRING_NUM, SIZE);
	if (control & 4)
		set_state(fd, VU_SET_VRING_BASE, 0x80008000);
	send_message(fd, VU_SET_VRING_ADDR, &a, sizeof(a), -1);
	send_message(fd, VU_SET_VRING_KICK, &zero, 8, kick);
	close(kick);
	run();
}

/* One message from the input. Return: bytes used. */
static size_t one(int fd, int mem, const uint8_t *data, size_t len)
{
	uint8_t payload[256];
	uint32_t size;
	int with = -1;

	if (len < 4)
		return len;
	size = data[3];
	memset(payload, 0, sizeof(payload));
	memcpy(payload, data + 4, MIN(size, len - 4));
	if (data[2] & 1)
		with = dup(mem);
	else if (data[2] & 2)
		with = eventfd(1, EFD_CLOEXEC);
	if (data[1] & 0x80) {
		struct vu_header h = { data[0], data[1] & 0x7f, size };

		vu_send(fd, &h, payload, &with, with >= 0);
	} else {
		send_message(fd, data[0], payload, size, with);
	}
	if (with >= 0)
		close(with);
	run();
	return MIN(4 + size, len);
}

static void back_end(uint8_t control, const uint8_t *data, size_t len)
{
	int fds[2], mem = memory_new(data, len);
	unsigned before;

	CHECK(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
	before = open_fds() - 1; /* the back end closes its end */
	ends = 0;
	CHECK(!vhost_backend_attach(dev, fds[1], NULL));
	if (control & 1)
		set_up(fds[0], mem, control);
	for (unsigned i = 0; i < 32 && len && !ends; i++) {
		size_t used = one(fds[0], mem, data, len);

		data += used;
		len -= used;
	}
	shutdown(fds[0], SHUT_WR);
	while (!ends)
		run();
	CHECK(!ram.region_count);
	CHECK(open_fds() == before);
	close(fds[0]);
	close(mem);
}

/* ---- the other way round ------------------------------------------------ */

static void front_end(const uint8_t *data, size_t len)
{
	struct vhost_frontend vf;
	struct diag d = DIAG_INIT;
	uint8_t got[16];
	bool changed;
	uint32_t base;
	int fds[2];

	CHECK(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
	CHECK(send(fds[1], data, len, MSG_NOSIGNAL) >= 0);
	shutdown(fds[1], SHUT_WR);
	vhost_frontend_init(&vf, "--fuzz", "(pair)");
	if (!vhost_frontend_greet(&vf, fds[0], ~0ULL, &d) &&
	    !vhost_frontend_inflight(&vf, 2, 16, &d) &&
	    !vhost_frontend_config(&vf, got, 16, &d) &&
	    !vhost_frontend_stop(&vf, 0, &base, &d))
		vhost_frontend_poll(&vf, &changed, &d);
	vhost_frontend_place(&vf, 0, 16, &base);
	vhost_frontend_drop(&vf, 1);
	vhost_frontend_release(&vf);
	close(fds[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len < 2 || len > 4096)
		return -1;
	once();
	if (data[0] & 0x80)
		front_end(data + 1, len - 1);
	else
		back_end(data[0], data + 1, len - 1);
	return 0;
}
