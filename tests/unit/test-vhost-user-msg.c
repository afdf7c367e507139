/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: tests of vhost-user messages: class (p), hostile peers at both ends */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "devices/vhost/vhost-user-msg.h"
#include "tests/unit/suite.h"

static int peer, ours;
static struct vu_channel ch;
static struct vu_msg msg;
static struct diag d;

static void open_pair(enum vu_direction dir)
{
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	peer = fds[0];
	ours = fds[1];
	d = DIAG_INIT;
	vu_channel_init(&ch, ours, dir);
}

static void close_pair(void)
{
	vu_channel_release(&ch);
	close(peer);
	close(ours);
}

static unsigned open_fds(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* Anything at all, with @fd_count descriptors, even more than allowed. */
static void send_raw(const void *data, size_t len, unsigned fd_count)
{
	char control[CMSG_SPACE(16 * sizeof(int))] = { 0 };
	struct iovec iov = { (char *)(uintptr_t)data, len };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fd_count) {
		struct cmsghdr *c;

		m.msg_control = control;
		m.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
		for (unsigned i = 0; i < fd_count; i++)
			memcpy(CMSG_DATA(c) + i * sizeof(int), &peer,
			       sizeof(int));
	}
	ck_assert_int_eq(sendmsg(peer, &m, 0), (ssize_t)len);
}

static void send_message(uint32_t request, uint32_t flags, uint32_t size,
			 unsigned fds)
{
	uint8_t raw[1024] = { 0 };
	struct vu_header h = { request, flags, size };

	memcpy(raw, &h, sizeof(h));
	for (uint32_t i = 0; i < size && i < 1000; i++)
		raw[12 + i] = (uint8_t)(i + 1);
	send_raw(raw, 12 + MIN(size, 1000u), fds);
}

static const struct shape {
	const char *what;
	enum vu_direction dir;
	uint32_t request, flags, size;
	unsigned fds;
	int ret;
} shapes[] = {
	{ "GET_FEATURES", VU_FROM_FRONTEND, 1, 1, 0, 0, 1 },
	{ "with need_reply", VU_FROM_FRONTEND, 1, 9, 0, 0, 1 },
	{ "unknown flags", VU_FROM_FRONTEND, 1, 0xff0001, 0, 0, 1 },
	{ "SET_MEM_TABLE full", VU_FROM_FRONTEND, 5, 1, 264, 8, 1 },
	{ "SET_MEM_TABLE empty", VU_FROM_FRONTEND, 5, 1, 8, 0, 1 },
	{ "GET_CONFIG full", VU_FROM_FRONTEND, 24, 1, 268, 0, 1 },
	{ "ADD_MEM_REG", VU_FROM_FRONTEND, 37, 1, 40, 1, 1 },
	{ "SET_VRING_KICK without", VU_FROM_FRONTEND, 12, 1, 8, 0, 1 },
	{ "SET_INFLIGHT_FD", VU_FROM_FRONTEND, 32, 1, 20, 1, 1 },
	{ "unknown request", VU_FROM_FRONTEND, 99, 1, 8, 0, 1 },
	{ "huge unknown request", VU_FROM_FRONTEND, UINT32_MAX, 1, 0, 0, 1 },
	{ "request 0", VU_FROM_FRONTEND, 0, 1, 0, 0, 1 },
	{ "version 0", VU_FROM_FRONTEND, 1, 0, 0, 0, -EPROTO },
	{ "version 2", VU_FROM_FRONTEND, 1, 2, 0, 0, -EPROTO },
	{ "a reply", VU_FROM_FRONTEND, 1, 5, 8, 0, -EPROTO },
	{ "too long", VU_FROM_FRONTEND, 5, 1, 265, 0, -EPROTO },
	{ "much too long", VU_FROM_FRONTEND, 99, 1, 269, 0, -EPROTO },
	{ "4 GiB", VU_FROM_FRONTEND, 99, 1, UINT32_MAX, 0, -EPROTO },
	{ "too short", VU_FROM_FRONTEND, 9, 1, 39, 0, -EPROTO },
	{ "no payload", VU_FROM_FRONTEND, 2, 1, 0, 0, -EPROTO },
	{ "descriptor unasked", VU_FROM_FRONTEND, 1, 1, 0, 1, -EPROTO },
	{ "two kicks", VU_FROM_FRONTEND, 12, 1, 8, 2, -EPROTO },
	{ "no descriptor", VU_FROM_FRONTEND, 37, 1, 40, 0, -EPROTO },
	{ "nine descriptors", VU_FROM_FRONTEND, 5, 1, 264, 9, -EPROTO },
	{ "16 descriptors", VU_FROM_FRONTEND, 99, 1, 8, 16, -EPROTO },
	{ "reply", VU_REPLIES, 1, 5, 8, 0, 1 },
	{ "ack", VU_REPLIES, 5, 5, 8, 0, 1 },
	{ "inflight reply", VU_REPLIES, 31, 5, 20, 1, 1 },
	{ "config refused", VU_REPLIES, 24, 5, 0, 0, 1 },
	{ "no reply", VU_REPLIES, 1, 1, 8, 0, -EPROTO },
	{ "short reply", VU_REPLIES, 1, 5, 4, 0, -EPROTO },
	{ "long reply", VU_REPLIES, 1, 5, 16, 0, -EPROTO },
	{ "reply with descriptor", VU_REPLIES, 1, 5, 8, 1, -EPROTO },
	{ "reply to nothing", VU_REPLIES, 77, 5, 8, 0, -EPROTO },
	{ "config change", VU_FROM_BACKEND, 2, 1, 0, 0, 1 },
	{ "config change, fd", VU_FROM_BACKEND, 2, 1, 0, 1, -EPROTO },
	{ "config change, long", VU_FROM_BACKEND, 2, 1, 9, 0, -EPROTO },
	{ "back end's unknown", VU_FROM_BACKEND, 3, 1, 24, 1, 1 },
};

START_TEST(test_shapes)
{
	const struct shape *s = &shapes[_i];
	unsigned before;
	int ret;

	open_pair(s->dir);
	before = open_fds();
	send_message(s->request, s->flags, s->size, s->fds);
	ret = vu_recv(&ch, &msg, &d);
	ck_assert_msg(ret == s->ret, "%s: %d: %s", s->what, ret, d.text[0]);
	if (ret == 1) {
		ck_assert_uint_eq(msg.header.request, s->request);
		ck_assert_uint_eq(msg.fd_count, s->fds);
		for (uint32_t i = 0; i < sizeof(msg.bytes); i++)
			ck_assert_uint_eq(msg.bytes[i],
					  i < s->size ? (uint8_t)(i + 1) : 0);
		vu_msg_release(&msg);
	}
	vu_channel_release(&ch);
	ck_assert_uint_eq(open_fds(), before);
	close_pair();
}
END_TEST

START_TEST(test_in_pieces)
{
	uint8_t raw[12 + 40];
	struct vu_header h = { VU_ADD_MEM_REG, VU_VERSION, 40 };

	open_pair(VU_FROM_FRONTEND);
	memset(raw, 0x77, sizeof(raw));
	memcpy(raw, &h, sizeof(h));
	for (size_t i = 0; i < sizeof(raw); i++) {
		ck_assert_int_eq(vu_recv(&ch, &msg, &d), 0);
		send_raw(raw + i, 1, i == (_i ? 20u : 0u));
	}
	ck_assert_int_eq(vu_recv(&ch, &msg, &d), 1);
	ck_assert_uint_eq(msg.one.region.user, 0x7777777777777777);
	ck_assert_uint_eq(msg.fd_count, 1);
	ck_assert_int_eq(vu_recv(&ch, &(struct vu_msg){ 0 }, &d), 0);
	vu_msg_release(&msg);
	close_pair();
}
END_TEST

START_TEST(test_peer_gone)
{
	uint8_t raw[12] = { 1, 0, 0, 0, 1 };

	open_pair(VU_FROM_FRONTEND);
	send_raw(raw, _i ? 7 : 0, 0);
	shutdown(peer, SHUT_WR);
	ck_assert_int_eq(vu_recv(&ch, &msg, &d), -ECONNRESET);
	close_pair();
}
END_TEST

START_TEST(test_send)
{
	struct vu_header h = { VU_SET_MEM_TABLE, VU_VERSION, 8 + 2 * 32 };
	struct vu_memory mem = { .count = 2, .region[1].user = 9 };
	int fds[2];

	open_pair(VU_FROM_FRONTEND);
	fds[0] = fds[1] = ours;
	ck_assert_int_eq(vu_send(peer, &h, &mem, fds, 2), 0);
	h = (struct vu_header){ VU_GET_FEATURES, VU_VERSION, 0 };
	ck_assert_int_eq(vu_send(peer, &h, NULL, NULL, 0), 0);
	ck_assert_int_eq(vu_recv(&ch, &msg, &d), 1);
	ck_assert_uint_eq(msg.memory.region[1].user, 9);
	ck_assert_uint_eq(msg.fd_count, 2);
	ck_assert_int_ge(vu_take_fd(&msg, 1), 0);
	ck_assert_int_eq(vu_take_fd(&msg, 1), -1);
	ck_assert_int_eq(vu_take_fd(&msg, 2), -1);
	vu_msg_release(&msg);
	ck_assert_int_eq(vu_recv(&ch, &msg, &d), 1);
	ck_assert_uint_eq(msg.header.request, VU_GET_FEATURES);
	close_pair();
}
END_TEST

/* A peer that never reads does not hold us up for ever. */
START_TEST(test_send_never_read)
{
	struct vu_header h = { VU_SET_MEM_TABLE, VU_VERSION, 264 };
	struct vu_memory mem = { .count = 0 };
	int err = 0;

	open_pair(VU_FROM_FRONTEND);
	for (unsigned i = 0; i < 100000 && !err; i++)
		err = vu_send(peer, &h, &mem, NULL, 0);
	ck_assert_int_eq(err, -ETIMEDOUT);
	close(ours);
	ck_assert_int_eq(vu_send(peer, &h, &mem, NULL, 0), -EPIPE);
	ours = dup(peer);
	close_pair();
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("vhost-user-msg");
	TCase *t = tcase_create("vhost-user-msg");

	tcase_add_loop_test(t, test_shapes, 0, ARRAY_SIZE(shapes));
	tcase_add_loop_test(t, test_in_pieces, 0, 2);
	tcase_add_loop_test(t, test_peer_gone, 0, 2);
	tcase_add_test(t, test_send);
	tcase_add_test(t, test_send_never_read);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return suite_run(suite());
}
