/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: tests of devices/tpm against a swtpm of the test's own
 *
 * "server" is a thread that answers control commands as swtpm does and TPM
 * commands by a behaviour that the test chooses.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "vmm/base/bytes.h"

#include "devices/tpm/tpm.h"
#include "legacy-rig.h"

#define BASE 0xfed40000
#define CMD  (BASE + 0x80)

enum behaviour {
	ECHO,	    /* the command is the answer */
	SPLIT,	    /* in two pieces */
	TOO_LONG,   /* says that it is longer than the buffer */
	TOO_SHORT,  /* … than a header */
	HANG_UP,    /* closes the connection */
	NOT_AT_ALL, /* never */
	REFUSE,	    /* control commands fail */
	SILENT,	    /* control commands are not answered */
};

static struct {
	int listener, control, data;
	enum behaviour behaviour;
	atomic_uint stops, inits, cancels;
	pthread_t thread;
	char dir[32], path[64];
} server;

static struct tpm_config item;

/* ---- the other process -------------------------------------------------- */

static void answer_command(void)
{
	uint8_t cmd[4096];
	ssize_t n = recv(server.data, cmd, sizeof(cmd), 0);

	if (n <= 0)
		return;
	if (server.behaviour == TOO_LONG)
		put_be32(cmd + 2, 3969);
	if (server.behaviour == TOO_SHORT)
		put_be32(cmd + 2, 9);
	if (server.behaviour == HANG_UP)
		shutdown(server.data, SHUT_RDWR);
	else if (server.behaviour == SPLIT) {
		ck_assert_int_eq(send(server.data, cmd, 4, 0), 4);
		usleep(10000);
		ck_assert_int_eq(send(server.data, cmd + 4, (size_t)n - 4, 0),
				 n - 4);
	} else if (server.behaviour != NOT_AT_ALL)
		ck_assert_int_eq(send(server.data, cmd, (size_t)n, 0), n);
}

static void take_data_fd(struct msghdr *msg)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(msg);

	ck_assert_ptr_nonnull(c);
	memcpy(&server.data, CMSG_DATA(c), sizeof(int));
}

/* Return: false at the end of the connection. */
static bool answer_control(void)
{
	uint8_t cmd[64], answer[16] = { 0 };
	char room[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { cmd, sizeof(cmd) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = room,
			      .msg_controllen = sizeof(room) };
	size_t len = 4;

	if (recvmsg(server.control, &msg, 0) < 4)
		return false;
	switch (get_be32(cmd)) {
	case 2:
		server.inits++;
		break;
	case 9:
		server.cancels++;
		break;
	case 14:
		server.stops++;
		break;
	case 16:
		take_data_fd(&msg);
		break;
	case 17:
		ck_assert_uint_eq(get_be32(cmd + 4), 3968);
		len = 16;
		break;
	}
	if (server.behaviour == REFUSE)
		put_be32(answer, 0xa);
	if (server.behaviour != SILENT)
		ck_assert_int_eq(send(server.control, answer, len, 0),
				 (ssize_t)len);
	return true;
}

static void *serve(void *opaque)
{
	server.control = accept(server.listener, NULL, NULL);
	for (bool on = true; on;) {
		struct pollfd p[] = { { server.control, POLLIN, 0 },
				      { server.data, POLLIN, 0 } };

		poll(p, 2, -1);
		if (p[1].revents & POLLIN)
			answer_command();
		if (p[0].revents)
			on = answer_control();
		if (p[1].revents & POLLHUP && !(p[1].revents & POLLIN))
			server.data = -1;
	}
	close(server.control);
	return opaque;
}

static void server_start(enum behaviour behaviour)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	strcpy(server.dir, "/tmp/test-tpm-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(server.dir));
	snprintf(server.path, sizeof(server.path), "%s/s", server.dir);
	strcpy(sa.sun_path, server.path);
	server.listener = socket(AF_UNIX, SOCK_STREAM, 0);
	server.data = -1;
	server.behaviour = behaviour;
	ck_assert_int_eq(
		bind(server.listener, (struct sockaddr *)&sa, sizeof(sa)), 0);
	ck_assert_int_eq(listen(server.listener, 1), 0);
	pthread_create(&server.thread, NULL, serve, NULL);
}

static void server_end(void)
{
	pthread_join(server.thread, NULL);
	close(server.listener);
	unlink(server.path);
	rmdir(server.dir);
}

/* ---- the guest's side --------------------------------------------------- */

static int make(struct diag *d)
{
	item.socket = server.path;
	return device_new(&rig.dev, &tpm_crb_class, "__tpm", &item, &rig.env,
			  NULL, d);
}

static void open_with(enum behaviour behaviour)
{
	struct diag d = DIAG_INIT;

	rig_open();
	rig.platform.tpm = (struct plat_range){ PLAT_MMIO, BASE, 0x5000 };
	server_start(behaviour);
	ck_assert_int_eq(make(&d), 0);
	rig.dev->cls->reset(rig.dev);
}

static void close_all(void)
{
	device_free(rig.dev);
	server_end();
}

static uint32_t get(unsigned reg)
{
	return (uint32_t)bus_read(rig.mmio, BASE + reg, 4);
}

static void put(unsigned reg, uint32_t value)
{
	bus_write(rig.mmio, BASE + reg, 4, value);
}

/* TPM2_PCR_Read-like: 20 bytes, the header says so. */
static void command(void)
{
	uint8_t cmd[20] = { 0x80, 0x01, 0, 0, 0, 20, 0, 0, 1, 0x7e, 7 };

	put(0x08, 1);
	put(0x40, 1);
	for (unsigned i = 0; i < sizeof(cmd); i++)
		bus_write(rig.mmio, CMD + i, 1, cmd[i]);
	put(0x4c, 1);
}

static void stop_loop(void *opaque)
{
	event_loop_stop(opaque);
}

static void run_for_ms(unsigned ms)
{
	struct event_timer t;

	ck_assert_int_eq(event_timer_init(&t, rig.loop, stop_loop, rig.loop),
			 0);
	event_timer_set(&t, ms * 1000000ULL, 0);
	event_loop_run(rig.loop);
	event_timer_release(&t);
}

static void wait_answer(void)
{
	for (unsigned i = 0; i < 500 && get(0x4c); i++)
		run_for_ms(5);
	ck_assert_uint_eq(get(0x4c), 0);
}

/* ---- tests -------------------------------------------------------------- */

static const struct {
	unsigned reg;
	uint64_t value;
} registers[] = {
	{ 0x00, 0x80 },	      /* valid, no locality */
	{ 0x0c, 0 },	      /* not granted */
	{ 0x30, 0x000a4011 }, /* CRB, version 1, chosen, locked */
	{ 0x34, 0xffffffff }, { 0x40, 0 },    { 0x44, 2 }, /* idle */
	{ 0x48, 0 },	      { 0x4c, 0 },    { 0x58, 3968 }, { 0x5c, CMD },
	{ 0x60, 0 },	      { 0x64, 3968 }, { 0x68, CMD },  { 0x6c, 0 },
};

START_TEST(register_table)
{
	open_with(ECHO);
	for (size_t i = 0; i < ARRAY_SIZE(registers); i++)
		ck_assert_msg(get(registers[i].reg) == registers[i].value,
			      "%#x: %#x", registers[i].reg,
			      get(registers[i].reg));
	put(0x08, 1);
	ck_assert_uint_eq(get(0x00), 0x82);
	ck_assert_uint_eq(get(0x0c), 1);
	put(0x08, 2);
	ck_assert_uint_eq(get(0x0c), 0);
	put(0x40, 1);
	ck_assert_uint_eq(get(0x44), 0);
	put(0x40, 2);
	ck_assert_uint_eq(get(0x44), 2);
	close_all();
}
END_TEST

START_TEST(command_is_answered)
{
	open_with(_i ? SPLIT : ECHO);
	ck_assert_uint_eq(server.inits, 2); /* opened, reset */
	command();
	ck_assert_uint_eq(get(0x4c), 1);
	/* Nobody changes a command that is being worked on. */
	bus_write(rig.mmio, CMD + 10, 1, 0xff);
	put(0x4c, 1);
	wait_answer();
	ck_assert_uint_eq(bus_read(rig.mmio, CMD + 10, 1), 7);
	ck_assert_uint_eq(get(0x44), 0);
	command();
	wait_answer();
	close_all();
}
END_TEST

static const enum behaviour nonsense[] = { TOO_LONG, TOO_SHORT, HANG_UP };

/* The guest's TPM fails; nothing else does. */
START_TEST(bad_server)
{
	open_with(nonsense[_i]);
	command();
	wait_answer();
	ck_assert_uint_eq(get(0x44), 1);
	command();
	ck_assert_uint_eq(get(0x4c), 0);
	close_all();
}
END_TEST

static const uint32_t sizes[] = { 0, 9, 3969, UINT32_MAX };

START_TEST(bad_command_size)
{
	open_with(ECHO);
	put(0x40, 1);
	for (unsigned i = 0; i < 4; i++)
		bus_write(rig.mmio, CMD + 2 + i, 1,
			  sizes[_i] >> (24 - 8 * i) & 0xff);
	put(0x4c, 1);
	ck_assert_uint_eq(get(0x4c), 0);
	ck_assert_uint_eq(get(0x44), 1);
	close_all();
}
END_TEST

START_TEST(cancel_and_reset)
{
	open_with(NOT_AT_ALL);
	command();
	put(0x48, 1);
	ck_assert_uint_eq(server.cancels, 1);
	ck_assert_uint_eq(get(0x4c), 1);
	server.behaviour = ECHO;
	rig.dev->cls->reset(rig.dev);
	ck_assert_uint_eq(get(0x4c), 0);
	ck_assert_uint_eq(bus_read(rig.mmio, CMD, 8), 0);
	command();
	wait_answer();
	close_all();
}
END_TEST

START_TEST(any_access)
{
	open_with(ECHO);
	for (unsigned at = 0; at < 0x1000; at++)
		for (unsigned size = 1; size <= 8; size *= 2) {
			bus_read(rig.mmio, BASE + at, size);
			bus_write(rig.mmio, BASE + at, size, UINT64_MAX);
		}
	close_all();
}
END_TEST

START_TEST(state_round_trip)
{
	struct diag d = DIAG_INIT;
	struct stream_out out;
	struct stream_in in;

	open_with(ECHO);
	command();
	wait_answer();
	stream_out_init(&out);
	rig.dev->cls->save(rig.dev, &out);
	rig.dev->cls->reset(rig.dev);
	for (size_t len = 0; len < out.len; len += 97) {
		stream_in_init(&in, out.data, len);
		ck_assert_int_ne(rig.dev->cls->load(rig.dev, &in, &d), 0);
	}
	stream_in_init(&in, out.data, out.len);
	ck_assert_int_eq(rig.dev->cls->load(rig.dev, &in, &d), 0);
	ck_assert_uint_eq(bus_read(rig.mmio, CMD + 10, 1), 7);
	ck_assert_uint_eq(get(0x0c), 1);
	ck_assert_uint_eq(get(0x44), 0);
	stream_out_release(&out);
	close_all();
}
END_TEST

static const struct {
	enum behaviour behaviour;
	const char *says;
} refusals[] = {
	{ REFUSE, "swtpm refuses control command 16 with error 0xa" },
	{ SILENT, "swtpm does not answer control command 16 within 5 s" },
};

START_TEST(start_refused)
{
	struct diag d = DIAG_INIT;
	char text[512];

	rig_open();
	rig.platform.tpm = (struct plat_range){ PLAT_MMIO, BASE, 0x5000 };
	server_start(refusals[_i].behaviour);
	ck_assert_int_lt(make(&d), 0);
	ck_assert_str_eq(diag_format(&d, text, sizeof(text)),
			 refusals[_i].says);
	server_end();
}
END_TEST

START_TEST(nobody_there)
{
	struct diag d = DIAG_INIT;
	char text[512];

	rig_open();
	rig.platform.tpm = (struct plat_range){ PLAT_MMIO, BASE, 0x5000 };
	strcpy(server.path, "/nonexistent/socket");
	ck_assert_int_eq(make(&d), -ENOENT);
	diag_format(&d, text, sizeof(text));
	ck_assert_ptr_nonnull(strstr(text, "--tpm socket=/nonexistent/socket: "
					   "No such file or directory; start "
					   "it first: swtpm socket"));
	rig.platform.tpm.size_bytes = 0;
	ck_assert_int_eq(make(&d), -ENODEV);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("tpm");
	TCase *t = tcase_create("tpm");

	tcase_set_timeout(t, 30);
	tcase_add_test(t, register_table);
	tcase_add_loop_test(t, command_is_answered, 0, 2);
	tcase_add_loop_test(t, bad_server, 0, ARRAY_SIZE(nonsense));
	tcase_add_loop_test(t, bad_command_size, 0, ARRAY_SIZE(sizes));
	tcase_add_test(t, cancel_and_reset);
	tcase_add_test(t, any_access);
	tcase_add_test(t, state_round_trip);
	tcase_add_loop_test(t, start_refused, 0, ARRAY_SIZE(refusals));
	tcase_add_test(t, nobody_there);
	suite_add_tcase(s, t);
	return suite_run(s);
}
