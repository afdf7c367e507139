/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: tests of vmm/chardev.c, chardev-open.c and terminal.c
 *
 * Every test runs in a process of its own (Check forks), so it may replace
 * descriptors 0 and 1 and die of signals.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "vmm/chardev.h"
#include "vmm/file-map.h"
#include "vmm/terminal.h"

#include "patience.h"
#include "tests/unit/suite.h"

static struct event_loop *loop;
static char dir[] = "/tmp/test-chardev-XXXXXX";
static char path[64];

/* ---- helpers ------------------------------------------------------------ */

struct sink {
	struct chardev *c;
	size_t room, len;
	char got[8192];
};

static size_t sink_room(void *opaque)
{
	return ((struct sink *)opaque)->room;
}

static void sink_receive(void *opaque, const uint8_t *data, size_t len)
{
	struct sink *s = opaque;

	ck_assert_uint_le(len, s->room);
	ck_assert_uint_le(s->len + len, sizeof(s->got));
	memcpy(s->got + s->len, data, len);
	s->len += len;
	s->room -= len;
}

static void sink_attach(struct sink *s, struct chardev *c, size_t room)
{
	struct chardev_user user = { .room = sink_room,
				     .receive = sink_receive,
				     .opaque = s };

	*s = (struct sink){ .c = c, .room = room };
	chardev_attach(c, &user);
}

static void run_ms(unsigned ms)
{
	loop_run_ms(loop, ms);
}

static uint64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* The loop must sleep, not spin, while nothing can happen. A spinning one that
 * shares its CPU gets a quarter of the time at least. */
static void assert_idle(void)
{
	uint64_t before = cpu_ns();

	run_ms(200);
	ck_assert_uint_lt(cpu_ns() - before, 15000000);
}

static struct chardev *open_mode(enum char_mode mode, const char *where)
{
	struct char_config cfg = { .mode = mode };
	struct diag d = DIAG_INIT;
	struct chardev *c = NULL;
	char text[400];

	cfg.file = cfg.socket = where ? strdup(where) : NULL;
	ck_assert_msg(chardev_new(&c, &cfg, "--serial", loop, &d) == 0, "%s",
		      diag_format(&d, text, sizeof(text)));
	free(cfg.file);
	return c;
}

/* As it is while a guest runs. */
static struct chardev *open_file(const char *where)
{
	struct chardev *c = open_mode(CHAR_FILE, where);

	chardev_begin(c);
	return c;
}

static int open_refused(enum char_mode mode, const char *where, char *text)
{
	struct char_config cfg = { .mode = mode };
	struct diag d = DIAG_INIT;
	struct chardev *c = NULL;
	int err;

	cfg.file = cfg.socket = where ? strdup(where) : NULL;
	err = chardev_new(&c, &cfg, "--serial", loop, &d);
	ck_assert_ptr_null(c);
	diag_format(&d, text, 400);
	free(cfg.file);
	return err;
}

/* Standard input and output become pipes; we hold the other ends. */
static void make_pipes(int *to_stdin, int *from_stdout)
{
	int in[2], out[2];

	ck_assert_int_eq(pipe2(in, O_CLOEXEC), 0);
	ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
	dup2(in[0], 0);
	dup2(out[1], 1);
	close(in[0]);
	close(out[1]);
	*to_stdin = in[1];
	*from_stdout = out[0];
}

static void send_text(int fd, const char *text)
{
	ck_assert_int_eq(write(fd, text, strlen(text)), (int)strlen(text));
}

/* What can be read from @fd; "" if there is nothing within @ms. */
static const char *read_within(int fd, int ms)
{
	static char buf[8192];
	struct pollfd p = { .fd = fd, .events = POLLIN };
	ssize_t n;

	n = poll(&p, 1, ms) > 0 ? read(fd, buf, sizeof(buf) - 1) : 0;
	buf[n > 0 ? n : 0] = 0;
	return buf;
}

static const char *read_text(int fd)
{
	return read_within(fd, 10000);
}

static const char *file_text(void)
{
	static char buf[8192];
	int fd = open(path, O_RDONLY);
	ssize_t n = read(fd, buf, sizeof(buf) - 1);

	close(fd);
	buf[n > 0 ? n : 0] = 0;
	return buf;
}

static void setup(void)
{
	struct diag d = DIAG_INIT;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/x", dir);
	loop = event_loop_new(&d);
	ck_assert_ptr_nonnull(loop);
}

static void teardown(void)
{
	event_loop_free(loop);
	unlink(path);
	ck_assert_int_eq(rmdir(dir), 0);
}

/* ---- null, file --------------------------------------------------------- */

START_TEST(null_swallows)
{
	struct chardev *c = open_mode(CHAR_NULL, NULL);
	struct sink s;
	uint16_t columns = 9, rows = 9;

	sink_attach(&s, c, 16);
	chardev_write(c, "abc\n", 4);
	chardev_resume(c);
	chardev_winsize(c, &columns, &rows);
	ck_assert_int_eq(columns + rows, 0);
	ck_assert_ptr_null(chardev_pty_path(c));
	assert_idle();
	ck_assert_uint_eq(s.len, 0);
	chardev_free(c);
	chardev_free(NULL);
}
END_TEST

START_TEST(file_flushes_at_newline_timer_and_end)
{
	struct chardev *c = open_file(path);

	for (const char *p = "one\r\n"; *p; p++) {
		ck_assert_str_eq(file_text(), "");
		chardev_write(c, p, 1);
	}
	ck_assert_str_eq(file_text(), "one\r\n");
	chardev_write(c, "login: ", 7);
	ck_assert_str_eq(file_text(), "one\r\n");
	run_ms(60);
	ck_assert_str_eq(file_text(), "one\r\nlogin: ");
	chardev_write(c, "end", 3);
	chardev_free(c);
	ck_assert_str_eq(file_text(), "one\r\nlogin: end");
}
END_TEST

/* Only when the guest is about to run: who finds before that that something
 * else is wrong leaves no file, and the old one as it was. */
START_TEST(file_truncates)
{
	struct chardev *c;

	chardev_free(open_mode(CHAR_FILE, path));
	ck_assert_int_eq(access(path, F_OK), -1);
	c = open_mode(CHAR_FILE, path);
	chardev_begin(c);
	chardev_free(c);
	ck_assert_str_eq(file_text(), "");
	send_text(open(path, O_WRONLY | O_CLOEXEC), "old");
	chardev_free(open_mode(CHAR_FILE, path));
	ck_assert_str_eq(file_text(), "old");
	c = open_mode(CHAR_FILE, path);
	chardev_begin(c);
	ck_assert_str_eq(file_text(), "");
	chardev_write(c, "new\n", 4);
	chardev_free(c);
	ck_assert_str_eq(file_text(), "new\n");
}
END_TEST

START_TEST(file_takes_megabytes)
{
	static char big[3 * 1048576 + 17];
	struct chardev *c = open_file(path);
	struct stat st;

	memset(big, 'x', sizeof(big));
	chardev_write(c, big, sizeof(big));
	chardev_free(c);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_size, sizeof(big));
}
END_TEST

START_TEST(file_full_disk_does_not_kill)
{
	struct chardev *c = open_file("/dev/full");

	for (int i = 0; i < 10000; i++)
		chardev_write(c, "line\n", 5);
	assert_idle();
	chardev_free(c);
}
END_TEST

/* ---- refusals ----------------------------------------------------------- */

static const struct {
	enum char_mode mode;
	const char *where, *says;
	int err;
} refusals[] = {
	{ CHAR_OFF, NULL, "--serial: off has no back end", EINVAL },
	{ CHAR_FILE, NULL, "--serial file=: needs a path", EINVAL },
	{ CHAR_FILE, "/nonexistent/a",
	  "--serial file=/nonexistent/a: cannot open", ENOENT },
	{ CHAR_FILE, "/tmp", "--serial file=/tmp: cannot open", EISDIR },
	{ CHAR_SOCKET, NULL, "--serial socket=: needs a path", EINVAL },
	{ CHAR_SOCKET, "/nonexistent/a",
	  "--serial socket=/nonexistent/a: cannot listen", ENOENT },
	{ CHAR_SOCKET, "/tmp", "--serial socket=/tmp: exists and is not",
	  EEXIST },
	{ CHAR_SOCKET,
	  "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	  "--serial socket=/a", ENAMETOOLONG },
};

START_TEST(refuses)
{
	char text[400];

	ck_assert_int_eq(
		open_refused(refusals[_i].mode, refusals[_i].where, text),
		-refusals[_i].err);
	ck_assert_ptr_nonnull(strstr(text, refusals[_i].says));
}
END_TEST

START_TEST(tty_refuses_closed_stdout)
{
	char text[400];
	int saved = dup(1);
	int err;

	close(1);
	err = open_refused(CHAR_TTY, NULL, text);
	dup2(saved, 1);
	close(saved);
	ck_assert_int_eq(err, -EBADF);
	ck_assert_ptr_nonnull(strstr(text, "standard output is closed"));
}
END_TEST

/* ---- tty over pipes ----------------------------------------------------- */

START_TEST(pipes_carry_both_ways)
{
	int in, out;
	struct chardev *c;
	struct sink s;

	make_pipes(&in, &out);
	c = open_mode(CHAR_TTY, NULL);
	sink_attach(&s, c, 100);
	send_text(in, "\001xhello"); /* no escapes in a pipe */
	run_ms(20);
	ck_assert_mem_eq(s.got, "\001xhello", 7);
	chardev_write(c, "out\n", 4);
	ck_assert_str_eq(read_text(out), "out\n");
	ck_assert_int_eq(fcntl(1, F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_eq(fcntl(0, F_GETFL) & O_NONBLOCK, 0);
	chardev_free(c);
}
END_TEST

START_TEST(input_waits_for_room)
{
	int in, out;
	struct chardev *c;
	struct sink s;
	char text[20001];
	size_t sent = 20000;

	make_pipes(&in, &out);
	c = open_mode(CHAR_TTY, NULL);
	sink_attach(&s, c, 0);
	for (size_t i = 0; i < sent; i++)
		text[i] = (char)('a' + i % 26);
	text[sent] = 0;
	send_text(in, text);
	close(in);
	assert_idle();
	ck_assert_uint_eq(s.len, 0);
	for (size_t taken = 0; taken < sent; taken += s.len) {
		s.len = 0;
		s.room = 1000;
		chardev_resume(c);
		run_ms(5);
		ck_assert_uint_eq(s.len, 1000);
		ck_assert_mem_eq(s.got, text + taken, s.len);
	}
	s.room = 1000;
	assert_idle();
	chardev_free(c);
}
END_TEST

START_TEST(input_before_attach_is_kept)
{
	int in, out;
	struct chardev *c;
	struct sink s;

	make_pipes(&in, &out);
	c = open_mode(CHAR_TTY, NULL);
	send_text(in, "early");
	run_ms(10);
	sink_attach(&s, c, 3);
	run_ms(10);
	ck_assert_mem_eq(s.got, "ear", 3);
	chardev_attach(c, NULL);
	run_ms(10);
	ck_assert_uint_eq(s.len, 3);
	chardev_free(c);
}
END_TEST

static const char *const stdin_kinds[] = { NULL, "/dev/null", "/", "/dev/zero",
					   "/etc/passwd" };

START_TEST(any_stdin_will_do)
{
	const char *kind = stdin_kinds[_i];
	int in, out;
	struct chardev *c;
	struct sink s;

	make_pipes(&in, &out);
	close(0);
	if (kind)
		ck_assert_int_eq(open(kind, O_RDONLY), 0);
	c = open_mode(CHAR_TTY, NULL);
	sink_attach(&s, c, 10);
	chardev_write(c, "on\n", 3);
	ck_assert_str_eq(read_text(out), "on\n");
	assert_idle();
	ck_assert_uint_eq(s.len, _i < 3 ? 0 : 10);
	chardev_free(c);
}
END_TEST

START_TEST(regular_file_as_stdin_is_read_to_its_end)
{
	int in, out;
	struct chardev *c;
	struct sink s;

	make_pipes(&in, &out);
	close(0);
	ck_assert_int_eq(open(path, O_RDWR | O_CREAT, 0600), 0);
	send_text(0, "a script of some length");
	lseek(0, 0, SEEK_SET);
	c = open_mode(CHAR_TTY, NULL);
	sink_attach(&s, c, 1);
	for (int i = 0; i < 60; i++) {
		s.room = 1;
		chardev_resume(c);
		run_ms(2);
	}
	ck_assert_uint_eq(s.len, 23);
	ck_assert_mem_eq(s.got, "a script of some length", 23);
	assert_idle();
	chardev_free(c);
}
END_TEST

START_TEST(regular_file_as_stdout_is_appended_to)
{
	struct chardev *c;
	int fd = open(path, O_RDWR | O_CREAT, 0600);

	send_text(fd, "before ");
	dup2(fd, 1);
	c = open_mode(CHAR_TTY, NULL);
	chardev_write(c, "after", 5);
	chardev_free(c);
	ck_assert_str_eq(file_text(), "before after");
}
END_TEST

START_TEST(socket_as_stdout_works)
{
	struct chardev *c;
	int sv[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	dup2(sv[0], 1);
	dup2(sv[0], 0);
	close(sv[0]);
	c = open_mode(CHAR_TTY, NULL);
	chardev_write(c, "x\n", 2);
	ck_assert_str_eq(read_text(sv[1]), "x\n");
	close(sv[1]);
	chardev_write(c, "x\n", 2);
	assert_idle();
	chardev_free(c);
}
END_TEST

START_TEST(reader_gone_neither_kills_nor_spins)
{
	int in, out;
	struct chardev *c;

	make_pipes(&in, &out);
	c = open_mode(CHAR_TTY, NULL);
	close(out);
	for (int i = 0; i < 100000; i++)
		chardev_write(c, "line\n", 5);
	assert_idle();
	chardev_free(c);
}
END_TEST

START_TEST(stuck_reader_costs_bounded_time)
{
	int in, out;
	struct chardev *c;
	struct timespec a, b;
	size_t total = 0;
	const char *text;

	make_pipes(&in, &out);
	c = open_mode(CHAR_TTY, NULL);
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (int i = 0; i < 1000000; i++)
		chardev_write(c, "y\n", 2);
	clock_gettime(CLOCK_MONOTONIC, &b);
	ck_assert_int_lt(b.tv_sec - a.tv_sec, 200);
	assert_idle();
	chardev_write(c, "last\n", 5);
	do {
		run_ms(1);
		text = read_text(out);
		total += strlen(text);
	} while (*text && !strstr(text, "last"));
	ck_assert_ptr_nonnull(strstr(text, "last\n"));
	ck_assert_uint_ge(total, 65536 * 2); /* the pipe and the ring */
	chardev_free(c);
}
END_TEST

/**
 * struct slow_reader - takes its time
 * @away_ns: the longest time that it did not read: as long as it sleeps, or as
 *	a busy host lets it
 */
struct slow_reader {
	int fd;
	size_t total;
	bool ordered;
	uint64_t away_ns;
};

static void *read_slowly(void *opaque)
{
	struct slow_reader *r = opaque;
	uint64_t last = patience_ns();
	uint8_t buf[16384];
	ssize_t n;

	r->ordered = true;
	while ((n = read(r->fd, buf, sizeof(buf))) > 0) {
		r->away_ns = MAX(r->away_ns, patience_ns() - last);
		last = patience_ns();
		for (ssize_t i = 0; i < n; i++)
			if (buf[i] != (uint8_t)((r->total + (size_t)i) % 251))
				r->ordered = false;
		r->total += (size_t)n;
		usleep(2000);
	}
	return NULL;
}

/* Write 1 MB to a reader. */
static struct slow_reader run_slow_reader(void)
{
	static uint8_t big[1000000];
	struct slow_reader r = { 0 };
	struct chardev *c;
	pthread_t t;
	int in;

	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (uint8_t)(i % 251);
	make_pipes(&in, &r.fd);
	ck_assert_int_eq(pthread_create(&t, NULL, read_slowly, &r), 0);
	c = open_mode(CHAR_TTY, NULL);
	for (size_t i = 0; i < sizeof(big); i += 1000)
		chardev_write(c, big + i, 1000);
	chardev_free(c);
	dup2(2, 1); /* the end of the pipe */
	pthread_join(t, NULL);
	close(in);
	close(r.fd);
	return r;
}

/* A reader that a busy host keeps away for longer than output waits (50 ms) is
 * no slow one but a stuck one: then again. */
START_TEST(slow_reader_loses_nothing)
{
	struct slow_reader r;
	unsigned tries = 20;

	do
		r = run_slow_reader();
	while (r.away_ns > 25000000 && --tries);
	if (!tries)
		return;
	ck_assert_uint_eq(r.total, 1000000);
	ck_assert(r.ordered);
}
END_TEST

START_TEST(second_tty_gets_output_only)
{
	int in, out;
	struct chardev *a, *b;
	struct sink sa, sb;

	make_pipes(&in, &out);
	a = open_mode(CHAR_TTY, NULL);
	b = open_mode(CHAR_TTY, NULL);
	sink_attach(&sa, a, 100);
	sink_attach(&sb, b, 100);
	send_text(in, "mine");
	run_ms(20);
	ck_assert_uint_eq(sa.len, 4);
	ck_assert_uint_eq(sb.len, 0);
	chardev_write(b, "b\n", 2);
	ck_assert_str_eq(read_text(out), "b\n");
	chardev_free(a);
	chardev_free(b);
	a = open_mode(CHAR_TTY, NULL); /* input is free again */
	sink_attach(&sa, a, 100);
	send_text(in, "again");
	run_ms(20);
	ck_assert_uint_eq(sa.len, 5);
	chardev_free(a);
}
END_TEST

/* ---- terminal ----------------------------------------------------------- */

/* A pseudo-terminal as standard input and output. Return: its master. */
static int make_terminal(void)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	int slave;

	ck_assert_int_ge(master, 0);
	ck_assert_int_eq(grantpt(master) | unlockpt(master), 0);
	slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	ck_assert_int_ge(slave, 0);
	dup2(slave, 0);
	dup2(slave, 1);
	if (slave > 1)
		close(slave);
	return master;
}

static bool is_raw(int fd)
{
	struct termios tio;

	ck_assert_int_eq(tcgetattr(fd, &tio), 0);
	ck_assert(tio.c_oflag & OPOST);
	return !(tio.c_lflag & (ECHO | ICANON | ISIG)) &&
	       !(tio.c_iflag & (ICRNL | IXON));
}

START_TEST(terminal_is_raw_and_restored)
{
	int master = make_terminal();
	struct winsize ws = { .ws_col = 132, .ws_row = 43 };
	uint16_t columns, rows;
	struct chardev *c;

	ck_assert(!is_raw(master));
	ck_assert_int_eq(ioctl(master, TIOCSWINSZ, &ws), 0);
	c = open_mode(CHAR_TTY, NULL);
	ck_assert(is_raw(master));
	chardev_winsize(c, &columns, &rows);
	ck_assert_uint_eq(columns, 132);
	ck_assert_uint_eq(rows, 43);
	chardev_free(c);
	ck_assert(!is_raw(master));
	terminal_restore();
	close(master);
}
END_TEST

static void count_size(void *opaque)
{
	++*(unsigned *)opaque;
}

/* The shell's terminal: SIGWINCH of the kernel goes to its session only, so
 * the test sends it. A pty is looked at once a second. */
START_TEST(size_changes_are_told)
{
	const enum char_mode mode = _i ? CHAR_PTY : CHAR_TTY;
	struct winsize ws = { .ws_col = 90, .ws_row = 30 };
	int master = _i ? -1 : make_terminal();
	struct chardev *c = open_mode(mode, NULL);
	unsigned told = 0;
	const struct chardev_user user = { .resized = count_size,
					   .opaque = &told };
	int fd = _i ? open(chardev_pty_path(c), O_RDWR | O_NOCTTY) : master;

	chardev_attach(c, &user);
	run_ms(20);
	ck_assert_uint_eq(told, 0);
	for (unsigned round = 1; round < 3; round++) {
		ws.ws_col++;
		ck_assert_int_eq(ioctl(fd, TIOCSWINSZ, &ws), 0);
		raise(SIGWINCH);
		run_ms(_i ? 1500 : 20);
		ck_assert_uint_eq(told, round);
	}
	raise(SIGWINCH); /* the same size */
	run_ms(20);
	ck_assert_uint_eq(told, 2);
	chardev_attach(c, NULL);
	assert_idle();
	chardev_free(c);
	close(fd);
}
END_TEST

static const struct {
	const char *keys, *arrives;
	bool quits;
} escapes[] = {
	{ "plain\r\003\032\021", "plain\r\003\032\021", false },
	{ "a\001\001b", "a\001b", false },
	{ "a\001cb", "a\001cb", false },
	{ "a\001x", "a", true },
	{ "\001\001x", "\001x", false },
	{ "\001\001\001x", "\001", true },
	{ "\001\033[A", "\001\033[A", false },
};

static volatile sig_atomic_t quits;

static void count_quit(int number)
{
	(void)number;
	quits++;
}

START_TEST(terminal_escapes)
{
	int master = make_terminal();
	struct chardev *c;
	struct sink s;

	signal(SIGTERM, count_quit);
	c = open_mode(CHAR_TTY, NULL);
	sink_attach(&s, c, 100);
	for (const char *p = escapes[_i].keys; *p; p++) {
		ck_assert_int_eq(write(master, p, 1), 1);
		run_ms(2);
	}
	LOOP_UNTIL(loop, s.len >= strlen(escapes[_i].arrives) &&
				 quits >= escapes[_i].quits);
	run_ms(10);
	ck_assert_uint_eq(s.len, strlen(escapes[_i].arrives));
	ck_assert_mem_eq(s.got, escapes[_i].arrives, s.len);
	ck_assert_int_eq(quits, escapes[_i].quits);
	chardev_free(c);
	close(master);
}
END_TEST

START_TEST(terminal_escape_works_when_the_guest_hangs)
{
	int master = make_terminal();
	struct chardev *c;
	struct sink s;

	signal(SIGTERM, count_quit);
	c = open_mode(CHAR_TTY, NULL);
	sink_attach(&s, c, 0);
	for (int i = 0; i < 200; i++) {
		send_text(master, "0123456789012345678901234567890123456789");
		run_ms(1);
	}
	send_text(master, "\001x");
	LOOP_UNTIL(loop, quits);
	ck_assert_int_eq(quits, 1);
	chardev_free(c);
	close(master);
}
END_TEST

START_TEST(terminal_hangup_ends_input)
{
	int master = make_terminal();
	struct chardev *c;
	struct sink s;

	signal(SIGHUP, SIG_IGN);
	c = open_mode(CHAR_TTY, NULL);
	sink_attach(&s, c, 100);
	close(master);
	chardev_write(c, "gone\n", 5);
	assert_idle();
	chardev_free(c);
}
END_TEST

static void crash(void)
{
	volatile char *nowhere =
		mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	*nowhere = 1;
}

/* How a process with a raw terminal may end. */
static void end_by(int how)
{
	if (how == 0)
		exit(7);
	if (how == SIGSEGV)
		crash();
	if (how == SIGABRT)
		abort();
	raise(how);
	_exit(99);
}

static const int ends[] = { 0,	     SIGHUP,  SIGINT, SIGQUIT,
			    SIGTERM, SIGSEGV, SIGBUS, SIGABRT };

static struct chardev *volatile kept; /* for the leak checker */

START_TEST(terminal_is_restored_at_any_end)
{
	int master = make_terminal();
	int how = ends[_i];
	int status, ready[2];
	pid_t pid;
	char byte;

	ck_assert_int_eq(pipe(ready), 0);
	pid = fork();
	if (!pid) {
		if (how) /* also replaces a sanitizer's handler */
			signal(how, SIG_DFL);
		kept = open_mode(CHAR_TTY, NULL);
		if (!kept || !is_raw(0) || write(ready[1], "r", 1) != 1)
			_exit(98);
		end_by(how);
	}
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	if (how)
		ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == how);
	else
		ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	ck_assert(!is_raw(master));
	close(master);
}
END_TEST

START_TEST(terminal_keeps_the_programs_own_handler)
{
	int master = make_terminal();
	struct sigaction act;
	struct chardev *c;

	signal(SIGTERM, count_quit);
	signal(SIGINT, SIG_DFL);
	c = open_mode(CHAR_TTY, NULL);
	sigaction(SIGTERM, NULL, &act);
	ck_assert(act.sa_handler == count_quit);
	sigaction(SIGINT, NULL, &act);
	ck_assert(act.sa_handler != SIG_DFL);
	chardev_free(c);
	sigaction(SIGINT, NULL, &act);
	ck_assert(act.sa_handler == SIG_DFL);
	close(master);
}
END_TEST

/* Whichever of the two came first. */
START_TEST(terminal_stays_raw_when_a_file_is_cut)
{
	int master = make_terminal(), fd = memfd_create("map", MFD_CLOEXEC);
	struct chardev *c = _i ? open_mode(CHAR_TTY, NULL) : NULL;
	struct file_map *m;
	volatile uint8_t *at;

	ck_assert_int_eq(ftruncate(fd, 0x10000), 0);
	at = mmap(NULL, 0x10000, PROT_READ, MAP_SHARED, fd, 0);
	ck_assert(at != MAP_FAILED);
	ck_assert_int_eq(
		file_map_new(&m,
			     &(struct file_map_area){ (void *)(uintptr_t)at,
						      0x10000, fd, 0 },
			     NULL),
		0);
	if (!_i)
		c = open_mode(CHAR_TTY, NULL);
	for (int left = 0x10000; left >= 0; left -= 0x8000) {
		ck_assert(is_raw(master));
		ck_assert_int_eq(ftruncate(fd, left), 0);
		ck_assert_uint_eq(at[0xffff], 0);
	}
	ck_assert(is_raw(master));
	file_map_free(m);
	chardev_free(c);
	munmap((void *)(uintptr_t)at, 0x10000);
	close(fd);
	close(master);
}
END_TEST

/* The child: a session leader with the terminal, echoing input. */
static void job(int echo_fd)
{
	struct chardev *c;
	struct sink s;

	setsid();
	ioctl(0, TIOCSCTTY, 1);
	c = open_mode(CHAR_TTY, NULL);
	for (;;) {
		sink_attach(&s, c, 100);
		run_ms(10);
		if (s.len && write(echo_fd, s.got, s.len) < 0)
			_exit(1);
	}
}

static void wait_raw(int fd, bool raw)
{
	for (int i = 0; i < 6000 && is_raw(fd) != raw; i++)
		usleep(10000);
	ck_assert_int_eq(is_raw(fd), raw);
}

START_TEST(terminal_is_lent_out_while_stopped)
{
	int master = make_terminal();
	int echo[2], status;
	pid_t pid;

	ck_assert_int_eq(pipe(echo), 0);
	pid = fork();
	if (!pid)
		job(echo[1]);
	wait_raw(master, true);
	ck_assert_int_eq(kill(pid, SIGTSTP), 0);
	ck_assert_int_eq(waitpid(pid, &status, WUNTRACED), pid);
	ck_assert(WIFSTOPPED(status));
	ck_assert(!is_raw(master));
	ck_assert_int_eq(kill(pid, SIGCONT), 0);
	wait_raw(master, true);
	send_text(master, "key");
	ck_assert_str_eq(read_text(echo[0]), "key");
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	waitpid(pid, &status, 0);
	close(master);
}
END_TEST

/* ---- pty ---------------------------------------------------------------- */

START_TEST(pty_carries_both_ways)
{
	struct chardev *c = open_mode(CHAR_PTY, NULL);
	struct sink s;
	int fd;

	sink_attach(&s, c, 100);
	ck_assert_ptr_nonnull(chardev_pty_path(c));
	assert_idle(); /* no client: no hang-up loop */
	for (int round = 0; round < 2; round++) {
		fd = open(chardev_pty_path(c), O_RDWR | O_NOCTTY);
		ck_assert_int_ge(fd, 0);
		chardev_write(c, "a\nb\r\n", 5);
		ck_assert_str_eq(read_text(fd), "a\nb\r\n");
		s.len = 0;
		send_text(fd, "\001x\r");
		LOOP_UNTIL(loop, s.len >= 3);
		ck_assert_uint_eq(s.len, 3);
		ck_assert_mem_eq(s.got, "\001x\r", 3);
		close(fd);
		assert_idle();
	}
	chardev_free(c);
}
END_TEST

START_TEST(pty_without_client_does_not_block)
{
	struct chardev *c = open_mode(CHAR_PTY, NULL);

	for (int i = 0; i < 100000; i++)
		chardev_write(c, "boot message\n", 13);
	assert_idle();
	chardev_free(c);
}
END_TEST

/* ---- socket ------------------------------------------------------------- */

static int client(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(sa.sun_path, path);
	ck_assert_int_eq(connect(fd, (void *)&sa, sizeof(sa)), 0);
	return fd;
}

START_TEST(socket_carries_both_ways)
{
	struct chardev *c = open_mode(CHAR_SOCKET, path);
	struct sink s;
	int fd;

	sink_attach(&s, c, 100);
	chardev_write(c, "early\n", 6);
	assert_idle();
	fd = client();
	run_ms(10);
	ck_assert_str_eq(read_text(fd), "early\n");
	send_text(fd, "in");
	run_ms(10);
	ck_assert_mem_eq(s.got, "in", 2);
	close(fd);
	assert_idle();
	chardev_free(c);
	ck_assert_int_lt(access(path, F_OK), 0);
}
END_TEST

START_TEST(socket_serves_one_client_at_a_time)
{
	struct chardev *c = open_mode(CHAR_SOCKET, path);
	int a, b;

	a = client();
	run_ms(10);
	b = client();
	assert_idle();
	chardev_write(c, "for a\n", 6);
	ck_assert_str_eq(read_text(a), "for a\n");
	ck_assert_str_eq(read_within(b, 100), "");
	close(a);
	run_ms(10);
	chardev_write(c, "for b\n", 6);
	run_ms(10);
	ck_assert_str_eq(read_text(b), "for b\n");
	close(b);
	chardev_free(c);
}
END_TEST

START_TEST(socket_client_leaves_while_guest_writes)
{
	struct chardev *c = open_mode(CHAR_SOCKET, path);
	int fd = client();

	run_ms(10);
	close(fd);
	for (int i = 0; i < 50000; i++)
		chardev_write(c, "line\n", 5);
	run_ms(10);
	fd = client();
	run_ms(10);
	ck_assert_ptr_nonnull(strstr(read_text(fd), "line\n"));
	close(fd);
	chardev_free(c);
}
END_TEST

START_TEST(socket_takes_what_a_client_sent_before_it_left)
{
	struct chardev *c = open_mode(CHAR_SOCKET, path);
	struct sink s;
	int fd;

	sink_attach(&s, c, 2);
	fd = client();
	send_text(fd, "reboot\n");
	close(fd);
	run_ms(20);
	s.room = 100;
	chardev_resume(c);
	run_ms(20);
	ck_assert_uint_eq(s.len, 7);
	ck_assert_mem_eq(s.got, "reboot\n", 7);
	chardev_free(c);
}
END_TEST

START_TEST(socket_half_close_still_gets_output)
{
	struct chardev *c = open_mode(CHAR_SOCKET, path);
	struct sink s;
	int fd;

	sink_attach(&s, c, 100);
	fd = client();
	send_text(fd, "ls\n");
	shutdown(fd, SHUT_WR);
	assert_idle();
	ck_assert_uint_eq(s.len, 3);
	chardev_write(c, "file\n", 5);
	ck_assert_str_eq(read_text(fd), "file\n");
	close(fd);
	assert_idle();
	chardev_free(c);
}
END_TEST

START_TEST(socket_in_use_is_refused_and_left_alone)
{
	struct chardev *c = open_mode(CHAR_SOCKET, path);
	char text[400];
	int fd;

	ck_assert_int_eq(open_refused(CHAR_SOCKET, path, text), -EADDRINUSE);
	ck_assert_ptr_nonnull(strstr(text, "in use by another program"));
	run_ms(20);
	fd = client(); /* still there */
	close(fd);
	chardev_free(c);
}
END_TEST

START_TEST(socket_leftover_is_replaced)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(sa.sun_path, path);
	ck_assert_int_eq(bind(fd, (void *)&sa, sizeof(sa)), 0);
	close(fd);
	chardev_free(open_mode(CHAR_SOCKET, path));
	ck_assert_int_lt(access(path, F_OK), 0);
}
END_TEST

START_TEST(socket_of_somebody_else_is_not_removed)
{
	struct chardev *c = open_mode(CHAR_SOCKET, path);

	ck_assert_int_eq(unlink(path), 0);
	close(open(path, O_CREAT | O_WRONLY, 0600));
	chardev_free(c);
	ck_assert_int_eq(access(path, F_OK), 0);
}
END_TEST

/* ---- threads ------------------------------------------------------------ */

static void *write_lines(void *opaque)
{
	for (int i = 0; i < 20000; i++) {
		chardev_write(opaque, "0123456\n", 8);
		chardev_resume(opaque);
	}
	return NULL;
}

START_TEST(two_vcpus_write_at_once)
{
	struct chardev *c = open_file(path);
	struct sink s;
	struct stat st;
	pthread_t t[2];

	sink_attach(&s, c, 0);
	for (int i = 0; i < 2; i++)
		pthread_create(&t[i], NULL, write_lines, c);
	run_ms(50);
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	chardev_free(c);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_size, 2 * 20000 * 8);
}
END_TEST

struct fifo {
	atomic_uint used, total;
};

static size_t fifo_room(void *opaque)
{
	return 4 - atomic_load(&((struct fifo *)opaque)->used);
}

static void fifo_receive(void *opaque, const uint8_t *data, size_t len)
{
	struct fifo *f = opaque;

	(void)data;
	atomic_fetch_add(&f->total, (unsigned)len);
	atomic_fetch_add(&f->used, (unsigned)len);
}

struct drain {
	struct chardev *c;
	struct fifo *fifo;
	unsigned want;
};

/* A vCPU that empties its FIFO as a guest does. */
static void *drain_fifo(void *opaque)
{
	struct drain *d = opaque;
	unsigned taken = 0;

	for (int idle = 0; taken < d->want && idle < 100000; idle++) {
		if (!atomic_load(&d->fifo->used)) {
			usleep(100);
			continue;
		}
		atomic_fetch_sub(&d->fifo->used, 1);
		chardev_resume(d->c);
		taken++;
		idle = 0;
	}
	event_loop_stop(loop);
	return NULL;
}

START_TEST(no_wakeup_is_lost)
{
	static char text[30001];
	struct fifo f = { 0 };
	struct chardev_user user = { .room = fifo_room,
				     .receive = fifo_receive,
				     .opaque = &f };
	struct drain d = { .fifo = &f, .want = 30000 };
	int in, out;
	pthread_t t;

	make_pipes(&in, &out);
	d.c = open_mode(CHAR_TTY, NULL);
	chardev_attach(d.c, &user);
	memset(text, 'k', 30000);
	send_text(in, text);
	pthread_create(&t, NULL, drain_fifo, &d);
	event_loop_run(loop);
	pthread_join(t, NULL);
	ck_assert_uint_eq(atomic_load(&f.total), 30000);
	chardev_free(d.c);
}
END_TEST

/* ---- suite -------------------------------------------------------------- */

static void add_streams(TCase *tc)
{
	tcase_add_test(tc, null_swallows);
	tcase_add_test(tc, file_flushes_at_newline_timer_and_end);
	tcase_add_test(tc, file_truncates);
	tcase_add_test(tc, file_takes_megabytes);
	tcase_add_test(tc, file_full_disk_does_not_kill);
	tcase_add_loop_test(tc, refuses, 0, ARRAY_SIZE(refusals));
	tcase_add_test(tc, tty_refuses_closed_stdout);
	tcase_add_test(tc, pipes_carry_both_ways);
	tcase_add_test(tc, input_waits_for_room);
	tcase_add_test(tc, input_before_attach_is_kept);
	tcase_add_loop_test(tc, any_stdin_will_do, 0, ARRAY_SIZE(stdin_kinds));
	tcase_add_test(tc, regular_file_as_stdin_is_read_to_its_end);
	tcase_add_test(tc, regular_file_as_stdout_is_appended_to);
	tcase_add_test(tc, socket_as_stdout_works);
	tcase_add_test(tc, reader_gone_neither_kills_nor_spins);
	tcase_add_test(tc, stuck_reader_costs_bounded_time);
	tcase_add_test(tc, slow_reader_loses_nothing);
	tcase_add_test(tc, second_tty_gets_output_only);
}

static void add_terminal(TCase *tc)
{
	tcase_add_test(tc, terminal_is_raw_and_restored);
	tcase_add_loop_test(tc, size_changes_are_told, 0, 2);
	tcase_add_loop_test(tc, terminal_escapes, 0, ARRAY_SIZE(escapes));
	tcase_add_test(tc, terminal_escape_works_when_the_guest_hangs);
	tcase_add_test(tc, terminal_hangup_ends_input);
	tcase_add_loop_test(tc, terminal_is_restored_at_any_end, 0,
			    ARRAY_SIZE(ends));
	tcase_add_test(tc, terminal_keeps_the_programs_own_handler);
	tcase_add_loop_test(tc, terminal_stays_raw_when_a_file_is_cut, 0, 2);
	tcase_add_test(tc, terminal_is_lent_out_while_stopped);
}

static void add_others(TCase *tc)
{
	tcase_add_test(tc, pty_carries_both_ways);
	tcase_add_test(tc, pty_without_client_does_not_block);
	tcase_add_test(tc, socket_carries_both_ways);
	tcase_add_test(tc, socket_serves_one_client_at_a_time);
	tcase_add_test(tc, socket_client_leaves_while_guest_writes);
	tcase_add_test(tc, socket_takes_what_a_client_sent_before_it_left);
	tcase_add_test(tc, socket_half_close_still_gets_output);
	tcase_add_test(tc, socket_in_use_is_refused_and_left_alone);
	tcase_add_test(tc, socket_leftover_is_replaced);
	tcase_add_test(tc, socket_of_somebody_else_is_not_removed);
	tcase_add_test(tc, two_vcpus_write_at_once);
	tcase_add_test(tc, no_wakeup_is_lost);
}

int main(void)
{
	static void (*const parts[])(TCase *) = { add_streams, add_terminal,
						  add_others };
	static const char *const names[] = { "streams", "terminal", "others" };
	Suite *suite = suite_create("chardev");

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		TCase *tc = tcase_create(names[i]);

		tcase_add_checked_fixture(tc, setup, teardown);
		tcase_set_timeout(tc, 60);
		parts[i](tc);
		suite_add_tcase(suite, tc);
	}
	return suite_run(suite);
}
