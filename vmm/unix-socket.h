/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: UNIX stream sockets that the user names by a path
 *
 * Whoever listens for clients (consoles, vsock, vhost-user servers) or
 * connects to a server (vhost-user, swtpm) does it by the same rules, and so
 * with the same messages:
 *
 *	a path that does not fit into a socket address is refused, never cut;
 *	a socket at the path that somebody listens on is never replaced;
 *	one that nobody listens on is a leftover of a crash and is replaced;
 *	anything else at the path is never touched;
 *	when we end, the file is removed, unless it is no longer ours.
 *
 * Spec: unix(7). Threads: none; everything belongs to the caller.
 */
#ifndef VMM_UNIX_SOCKET_H
#define VMM_UNIX_SOCKET_H

#include <sys/types.h>
#include <sys/un.h>

#include "vmm/base/diag.h"
#include "vmm/base/types.h"

/** UNIX_PATH_MAX_BYTES - longest path, without its NUL */
#define UNIX_PATH_MAX_BYTES (sizeof(((struct sockaddr_un *)0)->sun_path) - 1)

/**
 * struct unix_listener - a listening socket and the file that is its name
 * @fd: non-blocking, close-on-exec; -1: not listening
 * @path: of the file; NULL: none was made
 * @dev, @ino: the file's identity
 */
struct unix_listener {
	int fd;
	char *path;
	dev_t dev;
	ino_t ino;
};

/** UNIX_LISTENER_INIT - not listening */
#define UNIX_LISTENER_INIT ((struct unix_listener){ .fd = -1 })

/**
 * unix_address - the socket address of a path
 * @sa: receives it; untouched on failure
 * @option: the user's name for @path, such as "--serial socket"
 * @path: NULL is refused like ""
 *
 * Return: 0, -EINVAL (empty), -ENAMETOOLONG; @d says "OPTION=PATH: why".
 */
int unix_address(struct sockaddr_un *sa, const char *option, const char *path,
		 struct diag *d);

/**
 * unix_listen - make a listening socket at a path, by the rules above
 * @l: receives it, to be given to unix_unlisten(); untouched on failure
 * @option: as for unix_address()
 * @backlog: of listen(2)
 *
 * Return: 0 or -errno with @d: that of unix_address(), -EEXIST (not a socket),
 * -EADDRINUSE (somebody listens), or of the system calls. Nothing is left
 * behind on failure, except that a leftover is gone.
 */
int unix_listen(struct unix_listener *l, const char *option, const char *path,
		int backlog, struct diag *d);

/** unix_unlisten - close, and remove the file if it is still ours; accepts one
 * that is not listening */
void unix_unlisten(struct unix_listener *l);

/**
 * unix_accept - take the next client
 *
 * Return: a descriptor, non-blocking and close-on-exec, or -errno: -EAGAIN
 * (nobody waits, or gave up waiting), -EMFILE and others of accept4(2).
 */
int unix_accept(const struct unix_listener *l);

/**
 * unix_connect - connect to the server that listens at @sa
 *
 * Never waits. Return: a descriptor, non-blocking and close-on-exec, or
 * -errno: -ENOENT, -ECONNREFUSED (nobody listens), -EAGAIN (the server's
 * queue is full), -EMFILE and others of socket(2), connect(2).
 */
int unix_connect(const struct sockaddr_un *sa);

#endif
