/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: tests of vmm/unix-socket: paths, leftovers, who removes the file.
 * test-chardev goes through the same code with --serial socket=. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/unix-socket.h"

#include "tests/unit/suite.h"

static char dir[32], path[64];

static void setup(void)
{
	strcpy(dir, "/tmp/test-unix-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s", dir);
}

static void teardown(void)
{
	unlink(path);
	rmdir(dir);
}

static struct sockaddr_un address(const char *p)
{
	struct sockaddr_un sa;

	ck_assert_int_eq(unix_address(&sa, "--vsock socket", p, NULL), 0);
	return sa;
}

static int refused(const char *p, const char *why)
{
	struct unix_listener l = UNIX_LISTENER_INIT;
	struct diag d = DIAG_INIT;
	int err = unix_listen(&l, "--vsock socket", p, 1, &d);

	ck_assert_int_lt(err, 0);
	ck_assert_int_eq(l.fd, -1);
	ck_assert_ptr_null(l.path);
	ck_assert_msg(strstr(d.text[0], why) != NULL, "%s", d.text[0]);
	ck_assert_ptr_nonnull(strstr(d.text[0], "--vsock socket="));
	return err;
}

START_TEST(length)
{
	char p[UNIX_PATH_MAX_BYTES + 2];
	struct sockaddr_un sa;

	memset(p, 'a', sizeof(p));
	p[UNIX_PATH_MAX_BYTES + 1] = 0;
	ck_assert_int_eq(refused(p, "longer than 107 bytes"), -ENAMETOOLONG);
	p[UNIX_PATH_MAX_BYTES] = 0;
	sa = address(p);
	ck_assert_str_eq(sa.sun_path, p);
	ck_assert_int_eq(refused("", "needs a path"), -EINVAL);
	ck_assert_int_eq(refused(NULL, "needs a path"), -EINVAL);
}
END_TEST

START_TEST(listen_connect_remove)
{
	struct unix_listener l = UNIX_LISTENER_INIT;
	struct sockaddr_un sa = address(path);
	char got[4];
	int a, b;

	ck_assert_int_eq(unix_connect(&sa), -ENOENT);
	ck_assert_int_eq(unix_listen(&l, "--x", path, 4, NULL), 0);
	ck_assert_int_eq(unix_accept(&l), -EAGAIN);
	a = unix_connect(&sa);
	ck_assert_int_ge(a, 0);
	b = unix_accept(&l);
	ck_assert_int_ge(b, 0);
	ck_assert_int_eq(write(a, "hey", 3), 3);
	ck_assert_int_eq(read(b, got, sizeof(got)), 3);
	/* Neither end blocks nor survives exec. */
	ck_assert_int_lt(read(b, got, sizeof(got)), 0);
	ck_assert_int_eq(errno, EAGAIN);
	ck_assert_int_lt(read(a, got, sizeof(got)), 0);
	ck_assert(fcntl(a, F_GETFD) & FD_CLOEXEC);
	ck_assert(fcntl(b, F_GETFD) & FD_CLOEXEC);
	ck_assert(fcntl(l.fd, F_GETFD) & FD_CLOEXEC);
	close(a);
	close(b);
	unix_unlisten(&l);
	unix_unlisten(&l);
	ck_assert_int_lt(access(path, F_OK), 0);
}
END_TEST

/* Nobody accepts: the caller is told, and never waits. */
START_TEST(full_queue)
{
	struct unix_listener l = UNIX_LISTENER_INIT;
	struct sockaddr_un sa = address(path);
	int fd[8], n = 0;

	ck_assert_int_eq(unix_listen(&l, "--x", path, 1, NULL), 0);
	while (n < 8 && (fd[n] = unix_connect(&sa)) >= 0)
		n++;
	ck_assert_int_lt(n, 8);
	ck_assert_int_eq(fd[n], -EAGAIN);
	/* Also to the next one who would like to listen here. */
	ck_assert_int_eq(refused(path, "in use by another program"),
			 -EADDRINUSE);
	while (n)
		close(fd[--n]);
	unix_unlisten(&l);
}
END_TEST

START_TEST(leftover_is_replaced)
{
	struct unix_listener l = UNIX_LISTENER_INIT;
	struct sockaddr_un sa = address(path);
	int fd;

	ck_assert_int_eq(unix_listen(&l, "--x", path, 1, NULL), 0);
	close(l.fd);
	l.fd = -1;
	ck_assert_int_eq(unix_connect(&sa), -ECONNREFUSED);
	free(l.path);
	ck_assert_int_eq(unix_listen(&l, "--x", path, 1, NULL), 0);
	fd = unix_connect(&sa);
	ck_assert_int_ge(fd, 0);
	close(fd);
	unix_unlisten(&l);
}
END_TEST

START_TEST(other_files_are_left_alone)
{
	close(open(path, O_CREAT | O_WRONLY, 0600));
	ck_assert_int_eq(refused(path, "is not a socket"), -EEXIST);
	ck_assert_int_eq(access(path, F_OK), 0);
	unlink(path);
	ck_assert_int_eq(symlink("/nowhere/at/all", path), 0);
	ck_assert_int_eq(refused(path, "is not a socket"), -EEXIST);
}
END_TEST

START_TEST(somebody_elses_file_stays)
{
	struct unix_listener l = UNIX_LISTENER_INIT;
	struct unix_listener other = UNIX_LISTENER_INIT;

	ck_assert_int_eq(unix_listen(&l, "--x", path, 1, NULL), 0);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(unix_listen(&other, "--x", path, 1, NULL), 0);
	unix_unlisten(&l);
	ck_assert_int_eq(access(path, F_OK), 0);
	unix_unlisten(&other);
	ck_assert_int_lt(access(path, F_OK), 0);
}
END_TEST

START_TEST(folder_is_missing)
{
	ck_assert_int_eq(refused("/nowhere/at/all", "cannot listen"), -ENOENT);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("unix-socket");
	TCase *tc = tcase_create("unix-socket");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, length);
	tcase_add_test(tc, listen_connect_remove);
	tcase_add_test(tc, full_queue);
	tcase_add_test(tc, leftover_is_replaced);
	tcase_add_test(tc, other_files_are_left_alone);
	tcase_add_test(tc, somebody_elses_file_stays);
	tcase_add_test(tc, folder_is_missing);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return suite_run(suite());
}
