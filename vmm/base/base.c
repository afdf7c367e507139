/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: implementation of check.h, diag.h and log.h
 *
 * The log sink is the one piece of process-wide state, like stderr itself.
 */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "vmm/base/check.h"
#include "vmm/base/diag.h"
#include "vmm/base/log.h"
#include "vmm/base/types.h"

static int log_fd = STDERR_FILENO;
static enum log_level log_limit = LOG_WARN;

void check_failed(const char *what, const char *file, int line)
{
	fprintf(stderr, "spandrel: bug: %s:%d: %s\n", file, line, what);
	abort();
}

static char *diag_slot(struct diag *d)
{
	if (d->depth < DIAG_DEPTH)
		d->depth++;
	return d->text[d->depth - 1];
}

int diag_fail(struct diag *d, int err, const char *fmt, ...)
{
	va_list ap;

	if (d) {
		va_start(ap, fmt);
		vsnprintf(diag_slot(d), DIAG_TEXT, fmt, ap);
		va_end(ap);
	}
	return -err;
}

int diag_errno(struct diag *d, int err, const char *fmt, ...)
{
	char *slot;
	size_t len;
	va_list ap;

	if (d) {
		slot = diag_slot(d);
		va_start(ap, fmt);
		vsnprintf(slot, DIAG_TEXT, fmt, ap);
		va_end(ap);
		len = strlen(slot);
		snprintf(slot + len, DIAG_TEXT - len, ": %s", strerror(err));
	}
	return -err;
}

const char *diag_format(const struct diag *d, char *buf,
			unsigned long size_bytes)
{
	size_t used = 0;

	buf[0] = '\0';
	for (unsigned i = d->depth; i-- > 0 && used < size_bytes;)
		used += (size_t)snprintf(buf + used, size_bytes - used, "%s%s",
					 d->text[i], i ? ": " : "");
	return buf;
}

void log_setup(int fd, enum log_level level)
{
	log_fd = fd;
	log_limit = level;
}

/* A pipe or terminal that nobody reads must not stop the machine. */
static bool writable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	return fd >= 0 && poll(&p, 1, LOG_PATIENCE_MS) == 1;
}

void log_line(enum log_level level, const char *fmt, ...)
{
	static const char *const names[] = {
		[LOG_ERROR] = "error",
		[LOG_WARN] = "warning",
		[LOG_INFO] = "info",
		[LOG_DEBUG] = "debug",
	};
	char line[512];
	struct timespec now;
	va_list ap;
	int used;

	if (level > log_limit)
		return;
	clock_gettime(CLOCK_MONOTONIC, &now);
	used = snprintf(line, sizeof(line),
			"spandrel: %lld.%06ld %s: ", (long long)now.tv_sec,
			now.tv_nsec / 1000, names[level]);
	va_start(ap, fmt);
	used += vsnprintf(line + used, sizeof(line) - (size_t)used, fmt, ap);
	va_end(ap);
	used = MIN(used, (int)sizeof(line) - 2);
	line[used++] = '\n';
	/* A log that cannot be written has nobody left to tell. */
	if (!writable(log_fd) || write(log_fd, line, (size_t)used) < 0)
		return;
}
