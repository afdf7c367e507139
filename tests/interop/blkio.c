/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: a vhost-user-blk client that is not ours: libblkio
 *
 *	blkio verify SOCKET QUEUES
 *		write, read back, zero, discard and flush on every queue at
 *		once; TAP on standard output
 *	blkio load SOCKET read|write DEPTH QUEUES SECONDS
 *		random 4 KiB requests, DEPTH in flight on each of QUEUES, one
 *		thread each; prints "requests seconds errors"
 *
 * Built against Debian's libblkio (tests/interop/blkio.py).
 */
#include <blkio.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BLOCK	      4096
#define DEPTH_MAX     128
#define QUEUES_MAX    8
#define VERIFY_BLOCKS 64

static struct blkio *disk;
static struct blkio_mem_region memory;
static uint64_t capacity;

static void must(int ret, const char *what)
{
	if (ret >= 0)
		return;
	fprintf(stderr, "blkio: %s: %s\n", what, blkio_get_error_msg());
	exit(2);
}

static void open_disk(const char *path, int queues, size_t bytes)
{
	must(blkio_create("virtio-blk-vhost-user", &disk), "create");
	must(blkio_set_str(disk, "path", path), "path");
	must(blkio_connect(disk), "connect");
	must(blkio_set_int(disk, "num-queues", queues), "num-queues");
	must(blkio_set_int(disk, "queue-size", 128), "queue-size");
	must(blkio_start(disk), "start");
	must(blkio_get_uint64(disk, "capacity", &capacity), "capacity");
	must(blkio_alloc_mem_region(disk, &memory, bytes), "memory");
	must(blkio_map_mem_region(disk, &memory), "map memory");
}

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- load --------------------------------------------------------------- */

struct worker {
	pthread_t thread;
	int queue, depth;
	bool write;
	double until_s;
	uint64_t done, errors, seed;
};

static uint64_t random_block(struct worker *w)
{
	w->seed = w->seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (w->seed >> 33) % (capacity / BLOCK);
}

static void submit(struct worker *w, struct blkioq *q, char *buf)
{
	uint64_t at = random_block(w) * BLOCK;

	if (w->write)
		blkioq_write(q, at, buf, BLOCK, buf, 0);
	else
		blkioq_read(q, at, buf, BLOCK, buf, 0);
}

static void *work(void *opaque)
{
	struct worker *w = opaque;
	struct blkioq *q = blkio_get_queue(disk, w->queue);
	char *mine = (char *)memory.addr + (size_t)w->queue * DEPTH_MAX * BLOCK;
	struct blkio_completion c[DEPTH_MAX];

	for (int i = 0; i < w->depth; i++)
		submit(w, q, mine + i * BLOCK);
	while (now_s() < w->until_s) {
		int n = blkioq_do_io(q, c, 1, w->depth, NULL);

		must(n, "do_io");
		for (int i = 0; i < n; i++) {
			w->done++;
			w->errors += c[i].ret != 0;
			submit(w, q, c[i].user_data);
		}
	}
	return NULL;
}

static int load(char **arg)
{
	struct worker w[QUEUES_MAX] = { 0 };
	int queues = atoi(arg[3]);
	double start = 0, seconds = atof(arg[4]);
	uint64_t done = 0, errors = 0;

	if (queues < 1 || queues > QUEUES_MAX || atoi(arg[2]) > DEPTH_MAX)
		return 2;
	open_disk(arg[0], queues, (size_t)queues * DEPTH_MAX * BLOCK);
	start = now_s();
	for (int i = 0; i < queues; i++) {
		w[i] = (struct worker){ .queue = i,
					.depth = atoi(arg[2]),
					.write = !strcmp(arg[1], "write"),
					.until_s = start + seconds,
					.seed = (uint64_t)i + 1 };
		pthread_create(&w[i].thread, NULL, work, &w[i]);
	}
	for (int i = 0; i < queues; i++) {
		pthread_join(w[i].thread, NULL);
		done += w[i].done;
		errors += w[i].errors;
	}
	printf("%llu %f %llu\n", (unsigned long long)done, now_s() - start,
	       (unsigned long long)errors);
	return errors ? 1 : 0;
}

/* ---- verify ------------------------------------------------------------- */

static int tests, failures;

static void say(bool ok, const char *what, int queue)
{
	printf("%sok %d %s, queue %d\n", ok ? "" : "not ", ++tests, what,
	       queue);
	failures += !ok;
}

/* Wait for @count requests. Return: true if all went well. */
static bool wait_for(struct blkioq *q, int count)
{
	struct blkio_completion c[VERIFY_BLOCKS];
	bool ok = true;

	while (count > 0) {
		struct timespec patience = { .tv_sec = 20 };
		int n = blkioq_do_io(q, c, 1, VERIFY_BLOCKS, &patience);

		if (n <= 0)
			return false;
		for (int i = 0; i < n; i++)
			ok = ok && c[i].ret == 0;
		count -= n;
	}
	return ok;
}

static void fill(char *buf, int queue, int block)
{
	for (int i = 0; i < BLOCK; i++)
		buf[i] = (char)(queue * 31 + block * 7 + i);
}

static bool is_filled(const char *buf, int queue, int block)
{
	char want[BLOCK];

	fill(want, queue, block);
	return !memcmp(buf, want, BLOCK);
}

static bool is_zero(const char *buf)
{
	static const char zero[BLOCK];

	return !memcmp(buf, zero, BLOCK);
}

static uint64_t place(int queue, int block)
{
	return ((uint64_t)queue * VERIFY_BLOCKS + (uint64_t)block) * BLOCK;
}

static bool read_back(struct blkioq *q, char *mine, int queue)
{
	for (int i = 0; i < VERIFY_BLOCKS; i++) {
		memset(mine + i * BLOCK, 0xee, BLOCK);
		blkioq_read(q, place(queue, i), mine + i * BLOCK, BLOCK, NULL,
			    0);
	}
	return wait_for(q, VERIFY_BLOCKS);
}

static void verify_queue(int queue)
{
	struct blkioq *q = blkio_get_queue(disk, queue);
	char *mine =
		(char *)memory.addr + (size_t)queue * VERIFY_BLOCKS * BLOCK;
	bool ok = true;

	for (int i = 0; i < VERIFY_BLOCKS; i++) {
		fill(mine + i * BLOCK, queue, i);
		blkioq_write(q, place(queue, i), mine + i * BLOCK, BLOCK, NULL,
			     0);
	}
	say(wait_for(q, VERIFY_BLOCKS), "64 writes at once", queue);
	blkioq_flush(q, NULL, 0);
	say(wait_for(q, 1), "flush", queue);
	ok = read_back(q, mine, queue);
	for (int i = 0; i < VERIFY_BLOCKS; i++)
		ok = ok && is_filled(mine + i * BLOCK, queue, i);
	say(ok, "what was written is read", queue);
	blkioq_write_zeroes(q, place(queue, 1), 2 * BLOCK, NULL, 0);
	say(wait_for(q, 1), "write zeroes", queue);
	blkioq_discard(q, place(queue, 8), 8 * BLOCK, NULL, 0);
	say(wait_for(q, 1), "discard", queue);
	ok = read_back(q, mine, queue);
	for (int i = 0; i < VERIFY_BLOCKS; i++) {
		if (i >= 8 && i < 16)
			continue; /* anything may be there */
		ok = ok &&
		     (i == 1 || i == 2 ? is_zero(mine + i * BLOCK)
				       : is_filled(mine + i * BLOCK, queue, i));
	}
	say(ok, "zeroes are read, the rest is as it was", queue);
	blkioq_read(q, capacity, mine, BLOCK, NULL, 0);
	say(!wait_for(q, 1), "reading behind the end is refused", queue);
}

static int verify(char **arg)
{
	int queues = atoi(arg[1]);

	if (queues < 1 || queues > QUEUES_MAX)
		return 2;
	open_disk(arg[0], queues, (size_t)queues * VERIFY_BLOCKS * BLOCK);
	for (int i = 0; i < queues; i++)
		verify_queue(i);
	printf("1..%d\n", tests);
	return failures ? 1 : 0;
}

int main(int argc, char **argv)
{
	if (argc == 7 && !strcmp(argv[1], "load"))
		return load(argv + 2);
	if (argc == 4 && !strcmp(argv[1], "verify"))
		return verify(argv + 2);
	fprintf(stderr, "usage: blkio load SOCKET read|write DEPTH QUEUES "
			"SECONDS\n       blkio verify SOCKET QUEUES\n");
	return 2;
}
