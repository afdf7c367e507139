/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: `spandrel device`: one device of this program, served to another VMM
 *
 *	spandrel device blk --socket /run/a.sock --disk path=a.img
 *
 * makes the device that the machine would have, on the vhost-user transport
 * (devices/vhost/backend.h), and waits for front ends on a UNIX socket until a
 * signal ends it. The options of the device are the machine's.
 *
 * Threads: main, which runs the event loop, and those of the device.
 */
#ifndef VMM_SERVE_H
#define VMM_SERVE_H

#include "vmm/base/diag.h"
#include "vmm/config.h"

/** SERVE_KINDS - words behind `spandrel device`, for the command line */
#define SERVE_KINDS "blk|net|rng"

/**
 * serve_check - can @kind be served, and is all there that it needs?
 * @kind: a word of SERVE_KINDS; NULL or another word is refused
 * @socket: --socket, or NULL
 *
 * Return: 0, or -EINVAL and one sentence.
 */
int serve_check(const struct vm_config *cfg, const char *kind,
		const char *socket, struct diag *d);

/**
 * serve_main - serve until SIGTERM, SIGINT or SIGHUP
 * @socket: path of a socket to listen at, or "fd=N": a socket that is open
 *	already; if it is connected, the end of the connection ends the program
 *
 * Return: 0, or -errno and @d: the device or the socket cannot be made.
 */
int serve_main(const struct vm_config *cfg, const char *kind,
	       const char *socket, struct diag *d);

#endif
