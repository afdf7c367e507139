/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: a TPM between a guest and an swtpm that both do anything
 *
 * Input: a byte for how swtpm answers the control commands of the start, then
 * steps of 6 bytes: a register access, bytes that swtpm says (as an answer or
 * unasked, on either socket), a reset, a moment of the event loop, a save and
 * load. swtpm is a thread that answers control commands; what it says on the
 * data socket comes from the input, through this thread.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/check.h"
#include "vmm/base/log.h"

#include "devices/device.h"
#include "devices/tpm/swtpm.h"
#include "devices/tpm/tpm.h"
#include "tests/unit/patience.h"

#define BASE  0x10000
#define STEPS 500

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* ---- swtpm -------------------------------------------------------------- */

/**
 * struct server - swtpm
 * @how: 0: as it should; else what it answers to the @how-th control command
 *	is wrong in a way that @how also says
 * @data: its end of the data socket, -1: none yet
 */
static struct {
	int listener;
	struct sockaddr_un at;
	atomic_uint how;
	atomic_int data;
} server;

static void take_data_fd(struct msghdr *msg)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(msg);
	int fd;

	if (!c)
		return;
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	fd = atomic_exchange(&server.data, fd);
	if (fd >= 0)
		close(fd);
}

/* Return: false at the end of the connection. */
static bool answer_control(int control, unsigned count)
{
	uint8_t cmd[64], answer[16] = { 0 };
	char room[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { cmd, sizeof(cmd) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = room,
			      .msg_controllen = sizeof(room) };
	unsigned how = atomic_load(&server.how);
	bool wrong = how && how % 8 == count;
	size_t len = 4;

	if (recvmsg(control, &msg, MSG_CMSG_CLOEXEC) < 4)
		return false;
	take_data_fd(&msg);
	if (get_be32(cmd) == 17)
		len = 16;
	if (wrong) {
		memset(answer, (int)how, sizeof(answer));
		len = how >> 3 & 15;
	}
	/* After that it is gone: a silent one is waited for. */
	return len && send(control, answer, len, MSG_NOSIGNAL) > 0 && !wrong;
}

static void *serve(void *unused)
{
	(void)unused;
	for (;;) {
		int control = accept(server.listener, NULL, NULL);

		CHECK(control >= 0);
		for (unsigned n = 1; answer_control(control, n); n++)
			;
		close(control);
	}
	return NULL;
}

/* ---- the machine -------------------------------------------------------- */

static struct bus *bus;
static struct platform platform;
static struct vm_config config;
static struct device_env env;
static struct tpm_config item;
static struct irq_sink sink;

static void forget(void)
{
	unlink(server.at.sun_path);
}

static void once(void)
{
	pthread_t thread;

	if (bus)
		return;
	log_setup(open("/dev/null", O_WRONLY | O_CLOEXEC), LOG_ERROR);
	bus = bus_new("MMIO", 0);
	platform.tpm = (struct plat_range){ PLAT_MMIO, BASE, 0x5000 };
	env = (struct device_env){ .mmio = bus,
				   .loop = event_loop_new(NULL),
				   .platform = &platform,
				   .config = &config };
	server.at.sun_family = AF_UNIX;
	snprintf(server.at.sun_path, sizeof(server.at.sun_path),
		 "/tmp/fuzz-tpm-%d", (int)getpid());
	item.socket = server.at.sun_path;
	server.data = -1;
	server.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	unlink(server.at.sun_path);
	CHECK(!bind(server.listener, (struct sockaddr *)&server.at,
		    sizeof(server.at)));
	CHECK(!listen(server.listener, 4));
	atexit(forget);
	CHECK(!pthread_create(&thread, NULL, serve, NULL));
}

/* ---- steps -------------------------------------------------------------- */

static void say(const uint8_t *p)
{
	int fd = atomic_load(&server.data);
	uint8_t bytes[64];

	memset(bytes, p[5], sizeof(bytes));
	memcpy(bytes, "\x80\x01\0\0", 4);
	put_be32(bytes + 2, p[1] & 1 ? get_le16(p + 2) : p[4]);
	if (fd >= 0 && p[1] & 2)
		shutdown(fd, SHUT_RDWR);
	else if (fd >= 0 && send(fd, bytes, 1 + p[4] % sizeof(bytes),
				 MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return;
}

static void save_load(struct device *dev)
{
	struct stream_out out;
	struct stream_in in;

	stream_out_init(&out);
	dev->cls->save(dev, &out);
	stream_in_init(&in, out.data, out.len);
	dev->cls->load(dev, &in, NULL);
	stream_out_release(&out);
}

static void step(struct device *dev, const uint8_t *p)
{
	uint64_t at = BASE + get_le16(p + 2) % 0x1100;
	unsigned size = 1u << (p[1] & 3);

	switch (p[0] & 7) {
	case 0:
		bus_read(bus, at, size);
		break;
	case 1:
	case 2:
		bus_write(bus, at, size, get_le16(p + 4));
		break;
	case 3: /* a command, as a driver gives it */
		bus_write(bus, BASE + 0x08, 4, 1);
		bus_write(bus, BASE + 0x40, 4, 1);
		bus_write(bus, BASE + 0x82, 4, (uint64_t)p[4] << 24);
		bus_write(bus, BASE + 0x4c, 4, 1);
		break;
	case 4:
		say(p);
		break;
	case 5:
		loop_run_ready(env.loop);
		break;
	case 6:
		if (p[1] == 6)
			dev->cls->reset(dev);
		break;
	default:
		if (dev->cls->save && p[1] == 7)
			save_load(dev);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct device_place place = { .bus = PLAT_MMIO,
				      .base = BASE,
				      .wire = { &sink, 9 } };
	struct device *dev = NULL;

	if (len < 7)
		return -1;
	once();
	atomic_store(&server.how, data[0]);
	if (device_new(&dev, &tpm_crb_class, "__tpm", &item, &env, &place,
		       NULL))
		return 0;
	for (size_t at = 1; at + 6 <= MIN(len, 1 + 6 * (size_t)STEPS); at += 6)
		step(dev, data + at);
	loop_run_ready(env.loop);
	device_free(dev);
	return 0;
}
