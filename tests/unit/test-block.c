/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: raw images by both engines, with and without O_DIRECT
 *
 * On a file system of the build directory's kind (/var/tmp: ext4 mostly, with
 * ZERO_RANGE) and on tmpfs (/dev/shm: without). Runs under ThreadSanitizer
 * too.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/base/log.h"

#include "devices/block/block.h"
#include "devices/block/impl.h"
#include "tests/unit/suite.h"

#define SIZE MIB(8)

/* What every case runs with. */
static const struct {
	const char *dir;
	enum block_engine_choice engine;
	bool direct;
} ways[] = {
	{ "/var/tmp", ENGINE_URING, false },
	{ "/var/tmp", ENGINE_URING, true },
	{ "/var/tmp", ENGINE_THREADS, false },
	{ "/var/tmp", ENGINE_THREADS, true },
	{ "/dev/shm", ENGINE_URING, false },
	{ "/dev/shm", ENGINE_THREADS, false },
};

static char dir[64], path[80], what[100], why[512];
static struct block_options opt;
static struct event_loop *loop;
static struct block *image;
static struct block_queue *queue;

static void make_dir(const char *where)
{
	snprintf(dir, sizeof(dir), "%s/test-block-XXXXXX", where);
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/disk", dir);
	snprintf(what, sizeof(what), "--disk path=%s", path);
}

static void make_file(uint64_t bytes)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, (off_t)bytes), 0);
	close(fd);
}

static void setup(void)
{
	struct diag d = DIAG_INIT;

	opt = (struct block_options){
		.what = what, .path = path, .type = BLOCK_RAW, .sparse = true
	};
	loop = event_loop_new(&d);
	ck_assert_ptr_nonnull(loop);
	make_dir("/var/tmp");
}

static void teardown(void)
{
	block_queue_free(queue);
	block_close(image);
	event_loop_free(loop);
	unlink(path);
	rmdir(dir);
	queue = NULL;
	image = NULL;
}

/* Open; the sentence if it fails, else NULL. */
static const char *try_open(struct block **out)
{
	struct diag d = DIAG_INIT;

	if (!block_open(out, &opt, &d))
		return NULL;
	return diag_format(&d, why, sizeof(why));
}

static void client_begin(void *opaque)
{
	++*(unsigned *)opaque;
}

static void client_end(void *opaque)
{
	++((unsigned *)opaque)[1];
}

static unsigned calls[2];

static void open_image(void)
{
	const struct block_client client = { client_begin, client_end, calls };
	struct diag d = DIAG_INIT;
	const char *fault = try_open(&image);

	ck_assert_msg(!fault, "%s", fault);
	ck_assert_msg(!block_queue_new(&queue, image, loop, 16, &client, &d),
		      "%s", diag_format(&d, why, sizeof(why)));
}

/* Open a new image in the @i-th way. */
static void begin(int i)
{
	rmdir(dir);
	make_dir(ways[i].dir);
	opt.engine = ways[i].engine;
	opt.direct = ways[i].direct;
	make_file(SIZE);
	open_image();
}

/* ---- requests ---------------------------------------------------------- */

struct job {
	struct block_request r;
	unsigned done;
	int err;
};

static void job_done(struct block_request *r, int err)
{
	struct job *j = (void *)r;

	j->done++;
	j->err = err;
}

static void job_init(struct job *j, enum block_op op, uint64_t offset,
		     uint64_t len)
{
	*j = (struct job){ .r = { .op = op,
				  .offset_bytes = offset,
				  .len_bytes = len,
				  .done = job_done },
			   .err = -EINPROGRESS };
}

static int job_run(struct job *j)
{
	block_submit(queue, &j->r);
	block_kick(queue);
	block_queue_wait(queue);
	ck_assert_uint_eq(j->done, 1);
	return j->err;
}

static int simple(enum block_op op, uint64_t offset, uint64_t len,
		  bool may_unmap)
{
	struct job j;

	job_init(&j, op, offset, len);
	j.r.may_unmap = may_unmap;
	return job_run(&j);
}

/* Cut @buf into vectors: of @piece bytes, the first of them @first. */
static unsigned cut(struct iovec *iov, uint8_t *buf, size_t len, size_t first,
		    size_t piece)
{
	unsigned n = 0;
	size_t next = first;

	while (len) {
		iov[n] = (struct iovec){ buf, MIN(next, len) };
		buf += iov[n].iov_len;
		len -= iov[n++].iov_len;
		next = piece;
	}
	return n;
}

static int transfer(enum block_op op, uint64_t offset, void *buf, size_t len,
		    size_t first, size_t piece)
{
	struct iovec *iov = calloc(len / MAX(piece, 1u) + 2, sizeof(*iov));
	struct job j;
	int err;

	job_init(&j, op, offset, len);
	j.r.iov = iov;
	j.r.iov_count = cut(iov, buf, len, first, piece);
	err = job_run(&j);
	free(iov);
	return err;
}

static void pattern(uint8_t *buf, size_t len, unsigned seed)
{
	for (size_t i = 0; i < len; i++)
		buf[i] = (uint8_t)((i * 31 + i / 509 + seed) | 1);
}

/* [@from, @to) of @buf is zero and nothing else. */
static bool zero_between(const uint8_t *buf, size_t len, size_t from, size_t to)
{
	for (size_t i = 0; i < len; i++)
		if (!buf[i] != (i >= from && i < to))
			return false;
	return true;
}

static uint64_t allocated(void)
{
	struct stat st;

	ck_assert_int_eq(stat(path, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

/* ---- transfers --------------------------------------------------------- */

static const struct {
	uint64_t offset;
	size_t len, skew, first, piece;
} shapes[] = {
	{ 0, 4096, 0, 4096, 4096 },
	{ 4096, 512 * 7, 0, 512, 512 },
	{ SIZE - 4096, 4096, 0, 4096, 4096 }, /* the last sectors */
	{ 8192, 4096, 3, 4096, 4096 },	      /* misaligned address */
	{ 8192, 8192, 0, 100, 1000 },	      /* misaligned lengths */
	{ 65536, MIB(1), 5, 700, 4096 },      /* in several copies */
	{ 0, 512 * 3000, 0, 512, 512 },	      /* above IOV_MAX */
	{ 1024, 512 * 3000, 1, 512, 512 },    /* and misaligned */
	{ 512, 0, 0, 0, 1 },		      /* nothing */
};

START_TEST(test_transfer)
{
	uint8_t *out = aligned_alloc(4096, MIB(2)), *in;
	uint8_t *back = aligned_alloc(4096, MIB(2));
	int fd;

	begin(_i);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	for (unsigned i = 0; i < ARRAY_SIZE(shapes); i++) {
		size_t len = shapes[i].len;

		pattern(out, MIB(2), i);
		in = calloc(1, len + 1);
		ck_assert_int_eq(transfer(BLOCK_WRITE, shapes[i].offset,
					  out + shapes[i].skew, len,
					  shapes[i].first, shapes[i].piece),
				 0);
		ck_assert_int_eq(simple(BLOCK_FLUSH, 0, 0, false), 0);
		ck_assert_int_eq(pread(fd, in, len, (off_t)shapes[i].offset),
				 (ssize_t)len);
		ck_assert_mem_eq(in, out + shapes[i].skew, len);
		memset(back, 0, MIB(2));
		ck_assert_int_eq(transfer(BLOCK_READ, shapes[i].offset,
					  back + shapes[i].skew, len,
					  shapes[i].first, shapes[i].piece),
				 0);
		ck_assert_mem_eq(back + shapes[i].skew, in, len);
		ck_assert_uint_eq(back[shapes[i].skew + len], 0);
		free(in);
	}
	close(fd);
	free(out);
	free(back);
}
END_TEST

/* More requests than the queue is deep, none of them waited for. */
START_TEST(test_many)
{
	enum { COUNT = 500 };
	struct job *j = calloc(COUNT, sizeof(*j));
	struct iovec *iov = calloc(COUNT, sizeof(*iov));
	uint8_t *buf = aligned_alloc(4096, (size_t)COUNT * 4096);

	begin(_i);
	pattern(buf, (size_t)COUNT * 4096, 1);
	for (unsigned i = 0; i < COUNT; i++) {
		job_init(&j[i], BLOCK_WRITE, i * 4096ULL, 4096);
		iov[i] = (struct iovec){ buf + i * 4096ULL, 4096 };
		j[i].r.iov = &iov[i];
		j[i].r.iov_count = 1;
		block_submit(queue, &j[i].r);
		if (i % 100 == 99)
			block_kick(queue);
	}
	block_queue_wait(queue);
	for (unsigned i = 0; i < COUNT; i++) {
		ck_assert_uint_eq(j[i].done, 1);
		ck_assert_int_eq(j[i].err, 0);
	}
	memset(buf, 0, (size_t)COUNT * 4096);
	ck_assert_int_eq(
		transfer(BLOCK_READ, 0, buf, (size_t)COUNT * 4096, 4096, 4096),
		0);
	ck_assert_ptr_null(memchr(buf, 0, (size_t)COUNT * 4096));
	free(j);
	free(iov);
	free(buf);
}
END_TEST

/* Somebody has cut the file: what is missing reads as zeros. */
START_TEST(test_cut_file)
{
	uint8_t *buf = aligned_alloc(4096, 16384);

	begin(_i);
	pattern(buf, 16384, 0);
	ck_assert_int_eq(transfer(BLOCK_WRITE, 0, buf, 16384, 16384, 1), 0);
	ck_assert_int_eq(truncate(path, 8192), 0);
	ck_assert_int_eq(transfer(BLOCK_READ, 4096, buf, 12288, 1000, 3000), 0);
	ck_assert(zero_between(buf, 12288, 4096, 12288));
	free(buf);
}
END_TEST

static const struct {
	enum block_op op;
	uint64_t offset, len;
} outside[] = {
	{ BLOCK_READ, SIZE, 512 },
	{ BLOCK_WRITE, SIZE - 512, 1024 },
	{ BLOCK_READ, UINT64_MAX - 511, 1024 },
	{ BLOCK_DISCARD, 0, SIZE + 512 },
	{ BLOCK_ZERO, 512, UINT64_MAX - 511 },
	{ BLOCK_READ, 1, 512 },
	{ BLOCK_WRITE, 512, 511 },
};

START_TEST(test_outside)
{
	begin(_i);
	for (unsigned i = 0; i < ARRAY_SIZE(outside); i++)
		ck_assert_int_eq(simple(outside[i].op, outside[i].offset,
					outside[i].len, false),
				 -EINVAL);
}
END_TEST

/* ---- discard and zero -------------------------------------------------- */

static void fill(void)
{
	uint8_t *buf = aligned_alloc(4096, SIZE);

	pattern(buf, SIZE, 0);
	ck_assert_int_eq(transfer(BLOCK_WRITE, 0, buf, SIZE, MIB(1), MIB(1)),
			 0);
	ck_assert_int_eq(simple(BLOCK_FLUSH, 0, 0, false), 0);
	free(buf);
}

static void check_zero(uint64_t from, uint64_t to)
{
	uint8_t *buf = aligned_alloc(4096, SIZE);

	ck_assert_int_eq(transfer(BLOCK_READ, 0, buf, SIZE, MIB(1), MIB(1)), 0);
	ck_assert(zero_between(buf, SIZE, from, to));
	free(buf);
}

START_TEST(test_discard)
{
	begin(_i);
	fill();
	ck_assert(block_info(image)->discard);
	ck_assert_int_eq(simple(BLOCK_DISCARD, MIB(1), MIB(4), false), 0);
	ck_assert_uint_le(allocated(), MIB(4) + KIB(64));
	check_zero(MIB(1), MIB(5));
}
END_TEST

START_TEST(test_not_sparse)
{
	opt.sparse = false;
	begin(_i);
	fill();
	ck_assert(!block_info(image)->discard);
	ck_assert_int_eq(simple(BLOCK_DISCARD, MIB(1), MIB(4), false), 0);
	check_zero(0, 0);
	ck_assert_int_eq(simple(BLOCK_ZERO, MIB(1), MIB(4), true), 0);
	ck_assert_uint_ge(allocated(), SIZE);
	check_zero(MIB(1), MIB(5));
}
END_TEST

START_TEST(test_zero)
{
	begin(_i);
	fill();
	ck_assert_int_eq(simple(BLOCK_ZERO, 4096, MIB(3), false), 0);
	ck_assert_uint_ge(allocated(), SIZE);
	check_zero(4096, MIB(3) + 4096);
	ck_assert_int_eq(simple(BLOCK_ZERO, 4096, MIB(3), true), 0);
	ck_assert_uint_le(allocated(), MIB(5) + KIB(64));
	check_zero(4096, MIB(3) + 4096);
	/* Again, with what was found out about the file system. */
	ck_assert_int_eq(simple(BLOCK_ZERO, 4096, MIB(4), false), 0);
	check_zero(4096, MIB(4) + 4096);
}
END_TEST

/* ---- errors while running ---------------------------------------------- */

START_TEST(test_readonly)
{
	uint8_t buf[512];

	make_file(SIZE);
	opt.readonly = true;
	open_image();
	ck_assert(block_info(image)->readonly);
	ck_assert(!block_info(image)->discard);
	ck_assert_int_eq(transfer(BLOCK_READ, 0, buf, 512, 512, 512), 0);
	ck_assert_int_eq(transfer(BLOCK_WRITE, 0, buf, 512, 512, 512), -EROFS);
	ck_assert_int_eq(simple(BLOCK_ZERO, 0, 512, false), -EROFS);
	ck_assert_int_eq(simple(BLOCK_DISCARD, 0, 512, false), -EROFS);
	ck_assert_int_eq(simple(BLOCK_FLUSH, 0, 0, false), 0);
	ck_assert_int_eq(block_resize(image, SIZE * 2, NULL), -EROFS);
}
END_TEST

/* The host takes no more: an error, and the queue goes on. */
START_TEST(test_host_is_full)
{
	struct rlimit limit = { MIB(1), RLIM_INFINITY };
	uint8_t *buf = aligned_alloc(4096, 8192);

	begin(_i);
	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	memset(buf, 7, 8192);
	ck_assert_int_eq(transfer(BLOCK_WRITE, MIB(2), buf, 4096, 4096, 1),
			 -EFBIG);
	/* Half of it fits. */
	ck_assert_int_eq(
		transfer(BLOCK_WRITE, MIB(1) - 4096, buf, 8192, 8192, 1),
		-EFBIG);
	ck_assert_int_eq(transfer(BLOCK_WRITE, 0, buf, 8192, 8192, 1), 0);
	limit.rlim_cur = RLIM_INFINITY;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	free(buf);
}
END_TEST

/* ---- the event loop's thread ------------------------------------------- */

struct threaded {
	struct event_source go;
	struct job job[64];
	struct iovec iov[64];
	uint8_t *buf;
	atomic_bool submitted;
};

/* On the loop's thread: submit everything. */
static void submit_all(void *opaque, uint32_t events)
{
	struct threaded *t = opaque;

	(void)events;
	event_del(loop, &t->go);
	for (unsigned i = 0; i < ARRAY_SIZE(t->job); i++) {
		job_init(&t->job[i], i % 2 ? BLOCK_READ : BLOCK_WRITE,
			 i * 65536ULL, 65536);
		t->iov[i] = (struct iovec){ t->buf + i * 65536ULL, 65536 };
		t->job[i].r.iov = &t->iov[i];
		t->job[i].r.iov_count = 1;
		block_submit(queue, &t->job[i].r);
	}
	block_kick(queue);
	atomic_store(&t->submitted, true);
}

static void *loop_thread(void *opaque)
{
	event_loop_run(opaque);
	return NULL;
}

START_TEST(test_wait_from_elsewhere)
{
	static struct threaded t;
	uint64_t one = 1;
	pthread_t thread;
	int pipe_fd[2];

	begin(_i);
	memset(&t, 0, sizeof(t));
	calls[0] = calls[1] = 0;
	t.buf = aligned_alloc(4096, 64 * 65536);
	ck_assert_int_eq(pipe(pipe_fd), 0);
	t.go = (struct event_source){ pipe_fd[0], submit_all, &t };
	block_queue_wait(queue); /* nothing yet */
	ck_assert_int_eq(event_add(loop, &t.go, 1), 0);
	pthread_create(&thread, NULL, loop_thread, loop);
	ck_assert_int_eq(write(pipe_fd[1], &one, 1), 1);
	while (!atomic_load(&t.submitted))
		usleep(100);
	block_queue_wait(queue);
	for (unsigned i = 0; i < 64; i++) {
		ck_assert_uint_eq(t.job[i].done, 1);
		ck_assert_int_eq(t.job[i].err, 0);
	}
	event_loop_stop(loop);
	pthread_join(thread, NULL);
	ck_assert_uint_eq(calls[0], calls[1]);
	close(pipe_fd[0]);
	close(pipe_fd[1]);
	free(t.buf);
}
END_TEST

/* ---- opening ----------------------------------------------------------- */

START_TEST(test_info)
{
	const struct block_info *info;

	begin(_i);
	info = block_info(image);
	ck_assert_uint_eq(info->capacity_bytes, SIZE);
	ck_assert_uint_eq(block_capacity(image), SIZE);
	ck_assert(info->logical_bytes == 512 || info->logical_bytes == 4096);
	ck_assert_uint_ge(info->physical_bytes, info->logical_bytes);
	ck_assert_uint_eq(info->mem_align > 1, opt.direct);
	ck_assert(!info->readonly && info->write_zeroes);
}
END_TEST

static const struct {
	uint64_t size; /* 0: as @special says */
	enum { MISSING, EMPTY, FOLDER, FIFO, SIZED } special;
	int err;
	const char *sentence; /* behind "--disk path=PATH" */
} refused[] = {
	{ 0, MISSING, -ENOENT, ": No such file or directory" },
	{ 0, EMPTY, -EINVAL, ": is empty: give it a size (truncate -s 10G)" },
	{ 0, FOLDER, -EISDIR, ": Is a directory" },
	{ 0, FIFO, -EINVAL, ": is neither a regular file nor a block device" },
	{ 1000, SIZED, -EINVAL,
	  ": its size of 1000 bytes is not a multiple of 512: truncate -s "
	  "%512 makes it one" },
	{ 511, SIZED, -EINVAL,
	  ": its size of 511 bytes is not a multiple of 512: truncate -s "
	  "%512 makes it one" },
};

START_TEST(test_refused)
{
	char expected[256];

	if (refused[_i].special == FOLDER)
		ck_assert_int_eq(mkdir(path, 0700), 0);
	else if (refused[_i].special == FIFO)
		ck_assert_int_eq(mkfifo(path, 0600), 0);
	else if (refused[_i].special != MISSING)
		make_file(refused[_i].size);
	snprintf(expected, sizeof(expected), "%s%s", what,
		 refused[_i].sentence);
	ck_assert_str_eq(try_open(&image), expected);
	ck_assert_ptr_null(image);
	ck_assert_int_eq(block_open(&image, &opt, NULL), refused[_i].err);
	rmdir(path);
}
END_TEST

START_TEST(test_unreadable)
{
	char expected[256];

	make_file(SIZE);
	ck_assert_int_eq(chmod(path, 0), 0);
	if (!geteuid()) {
		ck_assert_int_eq(chmod(dir, 0755), 0);
		ck_assert_int_eq(seteuid(65534), 0);
	}
	snprintf(expected, sizeof(expected),
		 "%s: cannot be written (readonly=on may do): Permission "
		 "denied",
		 what);
	ck_assert_str_eq(try_open(&image), expected);
	opt.readonly = true;
	snprintf(expected, sizeof(expected), "%s: Permission denied", what);
	ck_assert_str_eq(try_open(&image), expected);
	if (!getuid())
		ck_assert_int_eq(seteuid(0), 0);
}
END_TEST

/* What an untyped image begins with changes nothing but the log. */
START_TEST(test_untyped_is_raw)
{
	static const char magic[] = "QFI\xfb";
	char log[512] = "", name[100];
	int fd;

	make_file(SIZE);
	fd = open(path, O_RDWR | O_CLOEXEC);
	ck_assert_int_eq(pwrite(fd, magic, 4, 0), 4);
	close(fd);
	snprintf(name, sizeof(name), "%s/log", dir);
	fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	unlink(name);
	log_setup(fd, LOG_WARN);
	opt.type = _i ? BLOCK_RAW : BLOCK_AUTO;
	open_image();
	ck_assert_uint_eq(block_capacity(image), SIZE);
	ck_assert_int_ge(pread(fd, log, sizeof(log) - 1, 0), 0);
	if (_i)
		ck_assert_str_eq(log, "");
	else
		ck_assert_ptr_nonnull(strstr(
			log, ": begins like a qcow2 image, but is used as "
			     "raw, because image_type= is not given: say "
			     "image_type=qcow2, or image_type=raw\n"));
	log_setup(2, LOG_WARN);
	close(fd);
}
END_TEST

/* ---- locks ------------------------------------------------------------- */

static const struct {
	bool first_readonly, second_readonly, whole, conflict;
} lock_cases[] = {
	{ false, false, false, true }, { false, true, false, true },
	{ true, false, false, true },  { true, true, false, false },
	{ false, false, true, true },  { true, true, true, false },
};

START_TEST(test_lock_same_process)
{
	struct block *second = NULL;
	char expected[256];
	const char *fault;

	make_file(SIZE);
	opt.lock_whole = lock_cases[_i].whole;
	opt.readonly = lock_cases[_i].first_readonly;
	open_image();
	opt.readonly = lock_cases[_i].second_readonly;
	fault = try_open(&second);
	snprintf(expected, sizeof(expected),
		 "%s: is in use already by this process: a disk can be "
		 "attached once, or readonly=on each time",
		 what);
	if (lock_cases[_i].conflict)
		ck_assert_str_eq(fault, expected);
	else
		ck_assert_ptr_null(fault);
	block_close(second);
}
END_TEST

/* The other process opens as the case says first and is named by us. */
START_TEST(test_lock_other_process)
{
	char expected[256], byte;
	const char *fault;
	int pipe_fd[2];
	pid_t pid;

	make_file(SIZE);
	opt.lock_whole = lock_cases[_i].whole;
	ck_assert_int_eq(pipe(pipe_fd), 0);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_NAME, "other-vm");
		opt.readonly = lock_cases[_i].first_readonly;
		if (try_open(&image) || write(pipe_fd[1], "x", 1) != 1)
			_exit(1);
		pause();
	}
	ck_assert_int_eq(read(pipe_fd[0], &byte, 1), 1);
	opt.readonly = lock_cases[_i].second_readonly;
	fault = try_open(&image);
	snprintf(expected, sizeof(expected),
		 "%s: process %d (other-vm) %s it: stop that, or open it with "
		 "readonly=on in both",
		 what, (int)pid, opt.readonly ? "writes" : "uses");
	if (lock_cases[_i].conflict)
		ck_assert_str_eq(fault, expected);
	else
		ck_assert_ptr_null(fault);
	/* A lock dies with its process. */
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(pipe_fd[0]);
	close(pipe_fd[1]);
	if (fault)
		ck_assert_ptr_null(try_open(&image));
}
END_TEST

/* Closing unlocks, although the kernel takes the ring apart later; and a
 * machine that was killed leaves nothing behind. */
START_TEST(test_lock_ends)
{
	char byte;
	int pipe_fd[2];
	pid_t pid;

	make_file(SIZE);
	for (unsigned i = 0; i < 20; i++) {
		open_image();
		ck_assert_int_eq(simple(BLOCK_FLUSH, 0, 0, false), 0);
		block_queue_free(queue);
		block_close(image);
	}
	queue = NULL;
	image = NULL;
	for (unsigned i = 0; i < 5; i++) {
		ck_assert_int_eq(pipe(pipe_fd), 0);
		pid = fork();
		if (!pid) {
			open_image();
			if (write(pipe_fd[1], "x", 1) == 1)
				pause();
			_exit(1);
		}
		ck_assert_int_eq(read(pipe_fd[0], &byte, 1), 1);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		ck_assert_ptr_null(try_open(&image));
		block_close(image);
		image = NULL;
		close(pipe_fd[0]);
		close(pipe_fd[1]);
	}
}
END_TEST

/* Beyond its end a file is locked only by lock_granularity=full. */
START_TEST(test_lock_granularity)
{
	struct flock lock = { .l_type = F_WRLCK,
			      .l_whence = SEEK_SET,
			      .l_start = (off_t)SIZE,
			      .l_len = 512 };
	int fd;

	make_file(SIZE);
	opt.lock_whole = _i;
	open_image();
	fd = open(path, O_RDWR | O_CLOEXEC);
	ck_assert_int_eq(fcntl(fd, F_OFD_SETLK, &lock), _i ? -1 : 0);
	lock.l_start = 0;
	ck_assert_int_eq(fcntl(fd, F_OFD_SETLK, &lock), -1);
	close(fd);
	/* A new end is locked too. */
	ck_assert_int_eq(block_resize(image, SIZE * 2, NULL), 0);
	fd = open(path, O_RDWR | O_CLOEXEC);
	lock.l_start = (off_t)SIZE;
	ck_assert_int_eq(fcntl(fd, F_OFD_SETLK, &lock), -1);
	close(fd);
}
END_TEST

/* ---- size -------------------------------------------------------------- */

START_TEST(test_resize)
{
	struct diag d = DIAG_INIT;
	char expected[256];
	uint8_t *buf = aligned_alloc(4096, 4096);

	begin(_i);
	ck_assert_int_eq(transfer(BLOCK_READ, SIZE, buf, 4096, 4096, 1),
			 -EINVAL);
	ck_assert_int_eq(block_resize(image, SIZE + MIB(1), NULL), 0);
	ck_assert_uint_eq(block_capacity(image), SIZE + MIB(1));
	ck_assert_int_eq(transfer(BLOCK_WRITE, SIZE, buf, 4096, 4096, 1), 0);
	ck_assert_int_eq(block_resize(image, SIZE, &d), -EINVAL);
	snprintf(expected, sizeof(expected),
		 "%s: new size of 8388608 bytes: must not be less than now "
		 "(9437184), that would lose data",
		 what);
	ck_assert_str_eq(diag_format(&d, why, sizeof(why)), expected);
	ck_assert_int_eq(block_resize(image, SIZE + MIB(2) + 1, NULL), -EINVAL);
	ck_assert_int_eq(block_resize(image, UINT64_MAX - 4095, NULL), -EINVAL);
	ck_assert_uint_eq(block_capacity(image), SIZE + MIB(1));
	free(buf);
}
END_TEST

/* ---- io_uring is refused ----------------------------------------------- */

static void refuse_io_uring(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { ARRAY_SIZE(code), code };

	ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	ck_assert_int_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog), 0);
}

START_TEST(test_io_uring_refused)
{
	const struct block_client none = { 0 };
	struct diag d = DIAG_INIT;
	char expected[256];
	uint8_t buf[512];

	make_file(SIZE);
	refuse_io_uring();
	open_image(); /* ENGINE_AUTO */
	ck_assert_ptr_eq(queue->engine, &block_engine_threads);
	ck_assert_int_eq(transfer(BLOCK_READ, 0, buf, 512, 512, 512), 0);
	block_queue_free(queue);
	block_close(image);
	queue = NULL;
	opt.engine = ENGINE_URING;
	ck_assert_ptr_null(try_open(&image));
	ck_assert_int_eq(block_queue_new(&queue, image, loop, 8, &none, &d),
			 -EPERM);
	snprintf(expected, sizeof(expected),
		 "%s: io_uring: Operation not permitted", what);
	ck_assert_str_eq(diag_format(&d, why, sizeof(why)), expected);
}
END_TEST

static Suite *block_suite(void)
{
	Suite *s = suite_create("block");
	TCase *t = tcase_create("raw");
	const int n = ARRAY_SIZE(ways);

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, test_transfer, 0, n);
	tcase_add_loop_test(t, test_many, 0, n);
	tcase_add_loop_test(t, test_cut_file, 0, n);
	tcase_add_loop_test(t, test_outside, 0, n);
	tcase_add_loop_test(t, test_discard, 0, n);
	tcase_add_loop_test(t, test_not_sparse, 0, n);
	tcase_add_loop_test(t, test_zero, 0, n);
	tcase_add_test(t, test_readonly);
	tcase_add_loop_test(t, test_host_is_full, 0, n);
	tcase_add_loop_test(t, test_wait_from_elsewhere, 0, n);
	tcase_add_loop_test(t, test_info, 0, n);
	tcase_add_loop_test(t, test_refused, 0, ARRAY_SIZE(refused));
	tcase_add_test(t, test_unreadable);
	tcase_add_loop_test(t, test_untyped_is_raw, 0, 2);
	tcase_add_loop_test(t, test_lock_same_process, 0,
			    ARRAY_SIZE(lock_cases));
	tcase_add_loop_test(t, test_lock_other_process, 0,
			    ARRAY_SIZE(lock_cases));
	tcase_add_test(t, test_lock_ends);
	tcase_add_loop_test(t, test_lock_granularity, 0, 2);
	tcase_add_loop_test(t, test_resize, 0, n);
	tcase_add_test(t, test_io_uring_refused);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return suite_run(block_suite());
}
