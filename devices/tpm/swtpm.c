/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: talking to swtpm, see swtpm.h */
#include "devices/tpm/swtpm.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/log.h"
#include "vmm/unix-socket.h"

/* swtpm's tpm_ioctl.h */
enum {
	CMD_INIT = 2,
	CMD_CANCEL_TPM_CMD = 9,
	CMD_STOP = 14,
	CMD_SET_DATAFD = 16,
	CMD_SET_BUFFERSIZE = 17,
};
enum { INIT_DELETE_VOLATILE = 1 };

/* TCG TPM 2.0 part 1 sec. 18: tag (2 bytes), size (4), code (4) */
enum { HEADER_BYTES = 10, HEADER_SIZE = 2 };

/* ---- control ------------------------------------------------------------ */

static int send_control(struct swtpm *t, const uint8_t *cmd, size_t len, int fd)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { .head = { .cmsg_len = CMSG_LEN(sizeof(int)),
				.cmsg_level = SOL_SOCKET,
				.cmsg_type = SCM_RIGHTS } };
	struct iovec iov = { .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	uint8_t copy[16];
	ssize_t n;

	memcpy(copy, cmd, len);
	iov.iov_base = copy;
	if (fd >= 0) {
		memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control.room);
	}
	n = sendmsg(t->control, &msg, MSG_NOSIGNAL);
	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EIO;
}

static int receive_all(int fd, uint8_t *buf, size_t len)
{
	size_t have = 0;

	while (have < len) {
		ssize_t n = recv(fd, buf + have, len - have, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -ECONNRESET;
		have += (size_t)n;
	}
	return 0;
}

/*
 * One command: its number, @arg if @arg_bytes is 4, @fd if it is not -1; the
 * answer is a result, 0 if all is well, and @more bytes behind it.
 */
/* NOLINTNEXTLINE(readability-function-size): a command has many parts */
static int control(struct swtpm *t, uint32_t number, size_t arg_bytes,
		   uint32_t arg, int fd, size_t more, struct diag *d)
{
	uint8_t cmd[8], answer[16];
	int err;

	put_be32(cmd, number);
	put_be32(cmd + 4, arg);
	err = send_control(t, cmd, 4 + arg_bytes, fd);
	if (!err)
		err = receive_all(t->control, answer, 4 + more);
	if (err == -EAGAIN)
		return diag_fail(d, ETIMEDOUT,
				 "swtpm does not answer control command %u "
				 "within %d s",
				 number, SWTPM_PATIENCE_S);
	if (err)
		return diag_errno(d, -err, "swtpm: control command %u", number);
	if (get_be32(answer))
		return diag_fail(d, EIO,
				 "swtpm refuses control command %u with "
				 "error %#x",
				 number, get_be32(answer));
	return 0;
}

static int start_tpm(struct swtpm *t, struct diag *d)
{
	int err = control(t, CMD_STOP, 0, 0, -1, 0, d);

	/* The answer holds the size it took and its limits. */
	if (!err)
		err = control(t, CMD_SET_BUFFERSIZE, 4, SWTPM_BUFFER_MAX, -1,
			      12, d);
	if (!err)
		err = control(t, CMD_INIT, 4, INIT_DELETE_VOLATILE, -1, 0, d);
	return err;
}

/* ---- answers ------------------------------------------------------------ */

static void give_up(struct swtpm *t)
{
	if (t->data.fd < 0)
		return;
	event_del(t->loop, &t->data);
	close(t->data.fd);
	t->data.fd = -1;
}

/* Bytes of the whole answer: HEADER_BYTES until its header is there; 0 if it
 * cannot be one. */
static size_t wanted(const struct swtpm *t)
{
	uint32_t size;

	if (t->have < HEADER_BYTES)
		return HEADER_BYTES;
	size = get_be32(t->answer + HEADER_SIZE);
	return size >= HEADER_BYTES && size <= sizeof(t->answer) ? size : 0;
}

static void data_ready(void *opaque, uint32_t events)
{
	struct swtpm *t = opaque;
	size_t want = wanted(t);
	ssize_t n = recv(t->data.fd, t->answer + t->have, want - t->have,
			 MSG_DONTWAIT);

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	t->have += n > 0 ? (size_t)n : 0;
	want = wanted(t);
	if (n <= 0 || !want) {
		log_error("swtpm %s: the guest's TPM fails from now on",
			  n > 0 ? "sent nonsense" : "has gone");
		give_up(t);
		t->answered(t->opaque, NULL, 0);
	} else if (t->have == want) {
		t->have = 0;
		t->answered(t->opaque, t->answer, want);
	}
}

bool swtpm_send(struct swtpm *t, const uint8_t *command, size_t len)
{
	t->have = 0;
	return t->loop && t->data.fd >= 0 &&
	       send(t->data.fd, command, len, MSG_NOSIGNAL | MSG_DONTWAIT) ==
		       (ssize_t)len;
}

void swtpm_cancel(struct swtpm *t)
{
	struct diag ignored = DIAG_INIT;

	if (t->loop && t->data.fd >= 0)
		control(t, CMD_CANCEL_TPM_CMD, 0, 0, -1, 0, &ignored);
}

/* ---- life --------------------------------------------------------------- */

static int give_data_end(struct swtpm *t, struct diag *d)
{
	int pair[2], err;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return diag_errno(d, errno, "cannot make a socket pair");
	err = control(t, CMD_SET_DATAFD, 0, 0, pair[1], 0, d);
	close(pair[1]);
	t->data.fd = pair[0];
	t->data.ready = data_ready;
	t->data.opaque = t;
	if (!err)
		err = event_add(t->loop, &t->data, EPOLLIN);
	return err;
}

static int connect_to(struct swtpm *t, const char *path, struct diag *d)
{
	const struct timeval patience = { .tv_sec = SWTPM_PATIENCE_S };
	struct sockaddr_un sa;
	int err = unix_address(&sa, "--tpm socket", path, d);
	int fd = err ? err : unix_connect(&sa);

	if (err)
		return err;
	if (fd < 0)
		return diag_fail(d, -fd,
				 "--tpm socket=%s: %s; start it first: swtpm "
				 "socket --tpm2 --tpmstate dir=DIR --ctrl "
				 "type=unixio,path=%s",
				 path, strerror(-fd), path);
	t->control = fd;
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	return 0;
}

int swtpm_open(struct swtpm *t, const char *path, struct event_loop *loop,
	       void (*answered)(void *opaque, const uint8_t *answer,
				size_t len),
	       void *opaque, struct diag *d)
{
	int err;

	*t = (struct swtpm){ .control = -1,
			     .data.fd = -1,
			     .loop = loop,
			     .answered = answered,
			     .opaque = opaque };
	err = connect_to(t, path, d);
	if (!err)
		err = give_data_end(t, d);
	if (!err)
		err = start_tpm(t, d);
	if (err)
		swtpm_close(t);
	return err;
}

void swtpm_close(struct swtpm *t)
{
	if (!t->loop)
		return;
	give_up(t);
	if (t->control >= 0)
		close(t->control);
	t->control = -1;
	t->loop = NULL;
}

/* What the TPM was about to say. */
static void drop_answer(struct swtpm *t)
{
	uint8_t waste[512];

	while (recv(t->data.fd, waste, sizeof(waste), MSG_DONTWAIT) > 0)
		;
	t->have = 0;
}

int swtpm_reset(struct swtpm *t, struct diag *d)
{
	int err;

	if (t->data.fd < 0)
		return -ENOTCONN;
	err = start_tpm(t, d);
	if (err)
		give_up(t);
	else
		drop_answer(t);
	return err;
}
