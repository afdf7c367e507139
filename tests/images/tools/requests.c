/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: what one request to a device takes, for benchmarks in test guests
 *
 *	requests read FILE N		N random reads of 4 KiB with O_DIRECT
 *	requests write FILE N		as many writes
 *	requests ask IPV4 PORT N	N datagrams there and back
 *	requests answer PORT		send each datagram back, for ever
 *
 * One in flight, so that nothing is shared between requests. The first eighth
 * is for warming up and is not counted. Prints "REQUESTS WHAT NANOSECONDS", the
 * median of the others, as what else the guest does between has no part in it:
 * in a server that counts instructions, these are what the guest, the VMM and
 * the server's kernel executed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BLOCK_BYTES    4096
#define DATAGRAM_BYTES 64
#define ANSWER_S       10 /* longer than any: then the datagram is lost */

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "requests: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* xorshift64: the same places in every run */
static uint64_t random_word(void)
{
	static uint64_t state = UINT64_C(0x9e3779b97f4a7c15);

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

struct target {
	int fd;
	uint64_t blocks; /* of a file */
	void *buffer;	 /* BLOCK_BYTES, aligned to that */
};

static off_t random_place(const struct target *t)
{
	return (off_t)(random_word() % t->blocks * BLOCK_BYTES);
}

static void read_block(const struct target *t)
{
	if (pread(t->fd, t->buffer, BLOCK_BYTES, random_place(t)) !=
	    BLOCK_BYTES)
		fail("read");
}

static void write_block(const struct target *t)
{
	if (pwrite(t->fd, t->buffer, BLOCK_BYTES, random_place(t)) !=
	    BLOCK_BYTES)
		fail("write");
}

static void ask(const struct target *t)
{
	if (send(t->fd, t->buffer, DATAGRAM_BYTES, 0) != DATAGRAM_BYTES ||
	    recv(t->fd, t->buffer, DATAGRAM_BYTES, 0) != DATAGRAM_BYTES)
		fail("datagram");
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static int measure(const struct target *t, const char *what,
		   void (*request)(const struct target *t), unsigned long count)
{
	uint64_t *took = calloc(count, sizeof(*took)), start;
	unsigned long warm = count / 8;

	if (!took)
		fail("memory");
	for (unsigned long i = 0; i < count; i++) {
		start = now_ns();
		request(t);
		took[i] = now_ns() - start;
	}
	qsort(took + warm, count - warm, sizeof(*took), compare);
	printf("REQUESTS %s %" PRIu64 "\n", what,
	       took[warm + (count - warm) / 2]);
	free(took);
	return 0;
}

static void open_file(struct target *t, const char *path, int flags)
{
	off_t size;

	t->fd = open(path, flags | O_DIRECT | O_CLOEXEC);
	size = t->fd < 0 ? -1 : lseek(t->fd, 0, SEEK_END);
	if (size < BLOCK_BYTES)
		fail(path);
	t->blocks = (uint64_t)size / BLOCK_BYTES;
}

static struct sockaddr_in address(const char *ip, const char *port)
{
	struct sockaddr_in a = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)atoi(port)),
	};

	if (!inet_aton(ip, &a.sin_addr))
		fail(ip);
	return a;
}

static int udp_socket(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		fail("socket");
	return fd;
}

static void open_peer(struct target *t, const char *ip, const char *port)
{
	struct sockaddr_in peer = address(ip, port);
	struct timeval limit = { .tv_sec = ANSWER_S };

	t->fd = udp_socket();
	setsockopt(t->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (connect(t->fd, (struct sockaddr *)&peer, sizeof(peer)))
		fail(ip);
}

static int answer(const char *port)
{
	struct sockaddr_in any = address("0.0.0.0", port), from;
	char data[DATAGRAM_BYTES];
	int fd = udp_socket();

	if (bind(fd, (struct sockaddr *)&any, sizeof(any)))
		fail(port);
	for (;;) {
		socklen_t len = sizeof(from);
		ssize_t n = recvfrom(fd, data, sizeof(data), 0,
				     (struct sockaddr *)&from, &len);

		if (n >= 0)
			sendto(fd, data, (size_t)n, 0, (struct sockaddr *)&from,
			       len);
	}
}

int main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";
	unsigned long count = argc > 3 ? strtoul(argv[argc - 1], NULL, 10) : 0;
	struct target t = { .buffer = aligned_alloc(BLOCK_BYTES, BLOCK_BYTES) };

	memset(t.buffer, 1, BLOCK_BYTES);
	if (!strcmp(verb, "read") && argc == 4 && count) {
		open_file(&t, argv[2], O_RDONLY);
		return measure(&t, verb, read_block, count);
	}
	if (!strcmp(verb, "write") && argc == 4 && count) {
		open_file(&t, argv[2], O_RDWR);
		return measure(&t, verb, write_block, count);
	}
	if (!strcmp(verb, "ask") && argc == 5 && count) {
		open_peer(&t, argv[2], argv[3]);
		return measure(&t, verb, ask, count);
	}
	if (!strcmp(verb, "answer") && argc == 3)
		return answer(argv[2]);
	fprintf(stderr, "usage: requests read FILE N | write FILE N |\n"
			"       ask IPV4 PORT N | answer PORT\n");
	return 2;
}
