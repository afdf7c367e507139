/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: byte streams over vsock, hybrid vsock sockets and TCP, checked at both
 * ends; for test guests and for the emulated servers they run in
 *
 *	stream pattern BYTES		that many of the pattern to stdout
 *	stream serve ADDRESS N		take N connections, all at a time
 *	stream send ADDRESS BYTES	to a server, which checks them
 *	stream receive ADDRESS BYTES	from a server, checked here
 *	stream echo ADDRESS BYTES N	N connections at once, there and back
 *
 * ADDRESS: vsock:CID:PORT (CID 4294967295 to listen), unix:PATH, tcp:IPV4:PORT,
 * or hybrid:PATH:PORT, a UNIX socket that wants "CONNECT PORT" and answers
 * "OK ...". The pattern is a xorshift generator's output, different in every
 * 8 bytes, so that lost, doubled and swapped data all show.
 *
 * A connection begins with a line: "sink", "echo", or "source BYTES". The
 * client's end of data is a half-close, after which the server of a sink says
 * "OK BYTES" and closes; a server that echoes sends all that is left and
 * closes. Exit status 0 means that everything was right.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/vm_sockets.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHUNK_BYTES  65536
#define LINE_BYTES   64
#define CONNECTS_MAX 1024
#define QUIET_MS     60000 /* nothing moved for so long: give up */
#define START_TRIES  1000  /* the server may not listen yet: 100 s */

__attribute__((format(printf, 1, 2))) static _Noreturn void
fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "stream: ");
	vfprintf(stderr, format, args);
	fprintf(stderr, errno ? ": %s\n" : "\n", strerror(errno));
	va_end(args);
	exit(1);
}

/* ---- the pattern ------------------------------------------------------- */

struct pattern {
	uint64_t state, word;
	unsigned left;
};

static void pattern_start(struct pattern *p)
{
	*p = (struct pattern){ .state = UINT64_C(0x9e3779b97f4a7c15) };
}

static uint64_t pattern_word(struct pattern *p)
{
	p->state ^= p->state << 13;
	p->state ^= p->state >> 7;
	p->state ^= p->state << 17;
	return p->state;
}

static uint8_t pattern_byte(struct pattern *p)
{
	uint8_t byte;

	if (!p->left) {
		p->word = pattern_word(p);
		p->left = 8;
	}
	byte = (uint8_t)p->word;
	p->word >>= 8;
	p->left--;
	return byte;
}

/* Whole words where possible: emulated processors are slow. */
static void pattern_fill(struct pattern *p, uint8_t *to, size_t len)
{
	for (; len && p->left; len--)
		*to++ = pattern_byte(p);
	for (; len >= 8; len -= 8, to += 8) {
		uint64_t word = pattern_word(p);

		memcpy(to, &word, 8);
	}
	while (len--)
		*to++ = pattern_byte(p);
}

static bool pattern_check(struct pattern *p, const uint8_t *data, size_t len)
{
	static uint8_t want[CHUNK_BYTES];

	pattern_fill(p, want, len);
	return !memcmp(want, data, len);
}

/* ---- sockets ----------------------------------------------------------- */

union address {
	struct sockaddr any;
	struct sockaddr_vm vm;
	struct sockaddr_un un;
	struct sockaddr_in in;
};

static uint32_t number(const char *text)
{
	return (uint32_t)strtoul(text, NULL, 10);
}

static socklen_t unix_address(union address *a, const char *path)
{
	a->un.sun_family = AF_UNIX;
	if (strlen(path) >= sizeof(a->un.sun_path))
		fail("%s: too long for a socket", path);
	strcpy(a->un.sun_path, path);
	return sizeof(a->un);
}

/* The last ":" of @text becomes its end; returns what follows. */
static char *split(char *text)
{
	char *colon = strrchr(text, ':');

	if (!colon)
		fail("%s: no port", text);
	*colon = 0;
	return colon + 1;
}

/* @port receives the port of a hybrid address, else NULL. */
static socklen_t parse(union address *a, const char *given, const char **port)
{
	char *text = strdup(given), *rest = strchr(text, ':'), *last;

	if (!rest)
		fail("%s: not an address", given);
	*rest++ = 0;
	memset(a, 0, sizeof(*a));
	*port = NULL;
	if (!strcmp(text, "unix"))
		return unix_address(a, rest);
	last = split(rest);
	if (!strcmp(text, "hybrid")) {
		*port = last;
		return unix_address(a, rest);
	}
	if (!strcmp(text, "tcp")) {
		a->in.sin_family = AF_INET;
		a->in.sin_port = htons((uint16_t)number(last));
		if (!inet_aton(rest, &a->in.sin_addr))
			fail("%s: not an IPv4 address", rest);
		return sizeof(a->in);
	}
	if (strcmp(text, "vsock"))
		fail("%s: an unknown kind of address", given);
	a->vm.svm_family = AF_VSOCK;
	a->vm.svm_cid = number(rest);
	a->vm.svm_port = number(last);
	return sizeof(a->vm);
}

static void send_all(int fd, const void *data, size_t len)
{
	const uint8_t *at = data;

	while (len) {
		ssize_t n = send(fd, at, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			fail("send");
		at += n;
		len -= (size_t)n;
	}
}

/* One line without its end, read byte by byte: data may follow. */
static void read_line(int fd, char *line)
{
	size_t n = 0;

	while (n < LINE_BYTES - 1 && recv(fd, line + n, 1, 0) == 1 &&
	       line[n] != '\n')
		n++;
	line[n] = 0;
}

static int dial(const char *given)
{
	const char *port;
	union address a;
	socklen_t len = parse(&a, given, &port);
	char line[LINE_BYTES];

	for (int i = 0; i < START_TRIES; i++) {
		int fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (fd < 0)
			fail("socket");
		if (!connect(fd, &a.any, len)) {
			if (!port)
				return fd;
			snprintf(line, sizeof(line), "CONNECT %s\n", port);
			send_all(fd, line, strlen(line));
			read_line(fd, line);
			if (!strncmp(line, "OK ", 3))
				return fd;
		}
		close(fd);
		usleep(100000);
	}
	fail("%s: cannot connect", given);
}

static int listen_at(const char *given)
{
	const char *port;
	union address a;
	socklen_t len = parse(&a, given, &port);
	int fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int one = 1;

	if (a.any.sa_family == AF_UNIX)
		unlink(a.un.sun_path);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, &a.any, len) || listen(fd, CONNECTS_MAX))
		fail("%s: cannot listen", given);
	return fd;
}

/* "@word\n" or "@word @bytes\n" */
static void greet(int fd, const char *word, uint64_t bytes)
{
	char line[LINE_BYTES];

	if (bytes)
		snprintf(line, sizeof(line), "%s %" PRIu64 "\n", word, bytes);
	else
		snprintf(line, sizeof(line), "%s\n", word);
	send_all(fd, line, strlen(line));
}

/* ---- transfers --------------------------------------------------------- */

static void send_pattern(int fd, uint64_t bytes)
{
	static uint8_t chunk[CHUNK_BYTES];
	struct pattern p;

	pattern_start(&p);
	while (bytes) {
		size_t n = bytes < CHUNK_BYTES ? (size_t)bytes : CHUNK_BYTES;

		pattern_fill(&p, chunk, n);
		send_all(fd, chunk, n);
		bytes -= n;
	}
}

/* Everything until the other end's half-close, checked; how much it was. */
static uint64_t receive_pattern(int fd)
{
	static uint8_t chunk[CHUNK_BYTES];
	struct pattern p;
	uint64_t bytes = 0;
	ssize_t n;

	pattern_start(&p);
	while ((n = recv(fd, chunk, sizeof(chunk), 0)) > 0) {
		if (!pattern_check(&p, chunk, (size_t)n)) {
			errno = 0;
			fail("wrong data after %" PRIu64 " bytes", bytes);
		}
		bytes += (uint64_t)n;
	}
	if (n < 0)
		fail("receive after %" PRIu64 " bytes", bytes);
	return bytes;
}

static void serve_echo(int fd)
{
	static uint8_t chunk[CHUNK_BYTES];
	ssize_t n;

	while ((n = recv(fd, chunk, sizeof(chunk), 0)) > 0)
		send_all(fd, chunk, (size_t)n);
	if (n < 0)
		fail("receive");
}

/* Returns when the other end has everything: the machine that the server runs
 * on may be switched off once it ends. */
static void close_delivered(int fd)
{
	const struct linger linger = { .l_onoff = 1, .l_linger = 60 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(fd);
}

static _Noreturn void serve_one(int fd)
{
	char line[LINE_BYTES];
	uint64_t bytes;

	read_line(fd, line);
	if (!strcmp(line, "sink"))
		greet(fd, "OK", receive_pattern(fd));
	else if (!strcmp(line, "echo"))
		serve_echo(fd);
	else if (sscanf(line, "source %" SCNu64, &bytes) == 1)
		send_pattern(fd, bytes);
	else
		fail("an unknown greeting: %s", line);
	close_delivered(fd);
	exit(0);
}

static int serve(const char *address, unsigned count)
{
	int listener = listen_at(address), failed = 0, status;

	for (unsigned i = 0; i < count; i++) {
		int fd = accept(listener, NULL, NULL);
		pid_t child = fd < 0 ? -1 : fork();

		if (child < 0)
			fail("accept");
		if (!child)
			serve_one(fd);
		close(fd);
	}
	while (wait(&status) > 0)
		failed |= status;
	return !!failed;
}

static double seconds_since(const struct timespec *start)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - start->tv_sec) +
	       (double)(now.tv_nsec - start->tv_nsec) / 1e9;
}

static int say_done(const char *verb, uint64_t bytes, unsigned count,
		    const struct timespec *start)
{
	printf("STREAM-OK %s %" PRIu64 " bytes, %u connections, %.1f s\n", verb,
	       bytes, count, seconds_since(start));
	return 0;
}

static int send_to(const char *address, uint64_t bytes)
{
	struct timespec start;
	char line[LINE_BYTES];
	uint64_t got = 0;
	int fd = dial(address);

	clock_gettime(CLOCK_MONOTONIC, &start);
	greet(fd, "sink", 0);
	send_pattern(fd, bytes);
	shutdown(fd, SHUT_WR);
	read_line(fd, line);
	errno = 0;
	if (sscanf(line, "OK %" SCNu64, &got) != 1 || got != bytes)
		fail("the other end has %" PRIu64 " bytes", got);
	return say_done("sent", bytes, 1, &start);
}

static int receive_from(const char *address, uint64_t bytes)
{
	struct timespec start;
	uint64_t got;
	int fd = dial(address);

	clock_gettime(CLOCK_MONOTONIC, &start);
	greet(fd, "source", bytes);
	got = receive_pattern(fd);
	errno = 0;
	if (got != bytes)
		fail("only %" PRIu64 " bytes came", got);
	return say_done("received", bytes, 1, &start);
}

/* ---- many connections at once ------------------------------------------ */

struct echo {
	int fd;
	struct pattern out, in;
	uint64_t sent, got;
	uint8_t held[4096]; /* filled but not yet sent: @at of @fill */
	size_t at, fill;
};

static void echo_send(struct echo *e, uint64_t bytes)
{
	ssize_t n;

	if (e->at == e->fill) {
		e->fill = bytes - e->sent < sizeof(e->held)
				  ? (size_t)(bytes - e->sent)
				  : sizeof(e->held);
		e->at = 0;
		pattern_fill(&e->out, e->held, e->fill);
	}
	n = send(e->fd, e->held + e->at, e->fill - e->at,
		 MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0 && errno != EAGAIN)
		fail("send");
	if (n <= 0)
		return;
	e->at += (size_t)n;
	e->sent += (uint64_t)n;
	if (e->sent == bytes)
		shutdown(e->fd, SHUT_WR);
}

/* Return: true when the other end has closed, after everything. */
static bool echo_receive(struct echo *e, uint64_t bytes)
{
	static uint8_t chunk[CHUNK_BYTES];
	ssize_t n = recv(e->fd, chunk, sizeof(chunk), MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return false;
	if (n < 0)
		fail("receive");
	errno = 0;
	if (!pattern_check(&e->in, chunk, (size_t)n))
		fail("wrong data after %" PRIu64 " bytes", e->got);
	e->got += (uint64_t)n;
	if (!n && e->got != bytes)
		fail("only %" PRIu64 " bytes came back", e->got);
	return !n;
}

static void echo_step(struct echo *e, struct pollfd *p, uint64_t bytes,
		      unsigned *open)
{
	if (p->revents & POLLOUT)
		echo_send(e, bytes);
	if (p->revents & ~POLLOUT && echo_receive(e, bytes)) {
		close(e->fd);
		p->fd = -1;
		(*open)--;
	}
	p->events = e->sent < bytes ? POLLIN | POLLOUT : POLLIN;
}

static int echo(const char *address, uint64_t bytes, unsigned count)
{
	struct echo *all = calloc(count, sizeof(*all));
	struct pollfd *polls = calloc(count, sizeof(*polls));
	struct timespec start;
	unsigned open = count;

	clock_gettime(CLOCK_MONOTONIC, &start);
	for (unsigned i = 0; i < count; i++) {
		all[i].fd = dial(address);
		pattern_start(&all[i].out);
		pattern_start(&all[i].in);
		greet(all[i].fd, "echo", 0);
		polls[i] = (struct pollfd){ all[i].fd, POLLIN | POLLOUT, 0 };
	}
	while (open) {
		errno = 0;
		if (poll(polls, count, QUIET_MS) <= 0)
			fail("%u connections hang", open);
		for (unsigned i = 0; i < count; i++)
			if (polls[i].fd >= 0 && polls[i].revents)
				echo_step(&all[i], &polls[i], bytes, &open);
	}
	return say_done("echoed", bytes, count, &start);
}

static int write_pattern(uint64_t bytes)
{
	static uint8_t chunk[CHUNK_BYTES];
	struct pattern p;

	pattern_start(&p);
	while (bytes) {
		size_t n = bytes < CHUNK_BYTES ? (size_t)bytes : CHUNK_BYTES;

		pattern_fill(&p, chunk, n);
		if (fwrite(chunk, 1, n, stdout) != n)
			fail("standard output");
		bytes -= n;
	}
	return fflush(stdout) ? 1 : 0;
}

int main(int argc, char **argv)
{
	const char *verb = argc > 2 ? argv[1] : "";
	uint64_t bytes = argc > 3 ? strtoull(argv[3], NULL, 10) : 0;

	signal(SIGPIPE, SIG_IGN);
	if (!strcmp(verb, "pattern") && argc == 3)
		return write_pattern(strtoull(argv[2], NULL, 10));
	if (!strcmp(verb, "serve") && argc == 4)
		return serve(argv[2], (unsigned)bytes);
	if (!strcmp(verb, "send") && argc == 4)
		return send_to(argv[2], bytes);
	if (!strcmp(verb, "receive") && argc == 4)
		return receive_from(argv[2], bytes);
	if (!strcmp(verb, "echo") && argc == 5)
		return echo(argv[2], bytes, number(argv[4]));
	fprintf(stderr, "usage: stream pattern BYTES | serve ADDRESS N | "
			"send ADDRESS BYTES |\n       receive ADDRESS BYTES | "
			"echo ADDRESS BYTES N\n");
	return 2;
}
