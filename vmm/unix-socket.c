/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: UNIX stream sockets that the user names by a path, see unix-socket.h */
#include "vmm/unix-socket.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static int new_socket(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd < 0 ? -errno : fd;
}

int unix_address(struct sockaddr_un *sa, const char *option, const char *path,
		 struct diag *d)
{
	size_t len = path ? strlen(path) : 0;

	if (!len)
		return diag_fail(d, EINVAL, "%s=: needs a path", option);
	if (len > UNIX_PATH_MAX_BYTES)
		return diag_fail(d, ENAMETOOLONG,
				 "%s=%s: longer than %zu bytes", option, path,
				 UNIX_PATH_MAX_BYTES);
	memset(sa, 0, sizeof(*sa));
	sa->sun_family = AF_UNIX;
	memcpy(sa->sun_path, path, len + 1);
	return 0;
}

int unix_connect(const struct sockaddr_un *sa)
{
	int fd = new_socket(), err;

	if (fd < 0)
		return fd;
	if (connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) == 0)
		return fd;
	err = errno;
	close(fd);
	return -err;
}

/* What is at the path already? A socket nobody listens on is a leftover. */
static int remove_stale(const struct sockaddr_un *sa, const char *option,
			struct diag *d)
{
	struct stat st;
	int fd;

	if (lstat(sa->sun_path, &st) < 0)
		return 0;
	if (!S_ISSOCK(st.st_mode))
		return diag_fail(d, EEXIST, "%s=%s: exists and is not a socket",
				 option, sa->sun_path);
	fd = unix_connect(sa);
	if (fd >= 0)
		close(fd);
	if (fd != -ECONNREFUSED)
		return diag_fail(d, EADDRINUSE,
				 "%s=%s: in use by another program; end it or "
				 "choose another path",
				 option, sa->sun_path);
	return unlink(sa->sun_path) < 0
		       ? diag_errno(d, errno, "%s=%s: cannot replace", option,
				    sa->sun_path)
		       : 0;
}

/* @l->path is set once the file is ours. */
static int listen_at(struct unix_listener *l, const struct sockaddr_un *sa,
		     int backlog)
{
	char *path = strdup(sa->sun_path);
	struct stat st;
	int err;

	if (!path)
		return -ENOMEM;
	l->fd = new_socket();
	if (l->fd < 0 ||
	    bind(l->fd, (const struct sockaddr *)sa, sizeof(*sa)) < 0) {
		err = l->fd < 0 ? l->fd : -errno;
		free(path);
		return err;
	}
	l->path = path;
	if (lstat(path, &st) < 0)
		return -errno;
	l->dev = st.st_dev;
	l->ino = st.st_ino;
	return listen(l->fd, backlog) < 0 ? -errno : 0;
}

int unix_listen(struct unix_listener *l, const char *option, const char *path,
		int backlog, struct diag *d)
{
	struct unix_listener made = UNIX_LISTENER_INIT;
	struct sockaddr_un sa;
	int err = unix_address(&sa, option, path, d);

	if (!err)
		err = remove_stale(&sa, option, d);
	if (err)
		return err;
	err = listen_at(&made, &sa, backlog);
	if (err) {
		unix_unlisten(&made);
		return diag_errno(d, -err, "%s=%s: cannot listen", option,
				  path);
	}
	*l = made;
	return 0;
}

void unix_unlisten(struct unix_listener *l)
{
	struct stat st;

	if (l->fd >= 0)
		close(l->fd);
	if (l->path && lstat(l->path, &st) == 0 && st.st_dev == l->dev &&
	    st.st_ino == l->ino)
		unlink(l->path);
	free(l->path);
	*l = UNIX_LISTENER_INIT;
}

int unix_accept(const struct unix_listener *l)
{
	int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0)
		return fd;
	return errno == EINTR || errno == ECONNABORTED ? -EAGAIN : -errno;
}
