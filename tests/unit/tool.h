/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: running other programs (iasl, dtc) on what a test has made
 *
 * Files live in a directory of the test's own, removed by tool_close(); it
 * stays for inspection when the test fails before that.
 */
#ifndef TESTS_UNIT_TOOL_H
#define TESTS_UNIT_TOOL_H

#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

/** struct tool - @dir: the directory; @said: output of the last program */
struct tool {
	char dir[64];
	char said[65536];
};

static inline void tool_open(struct tool *t)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(t->dir, sizeof(t->dir), "%s/spandrel-XXXXXX",
		 tmp ? tmp : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(t->dir));
}

/** tool_write - make file @name of @size bytes */
static inline void tool_write(const struct tool *t, const char *name,
			      const void *data, size_t size)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", t->dir, name);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(data, 1, size, f), size);
	ck_assert_int_eq(fclose(f), 0);
}

/** tool_run - run a shell command in the directory; its exit status */
__attribute__((format(printf, 2, 3))) static inline int
tool_run(struct tool *t, const char *fmt, ...)
{
	char line[4096];
	size_t used;
	va_list ap;
	int status;
	FILE *f;

	used = (size_t)snprintf(line, sizeof(line), "cd %s && exec 2>&1; ",
				t->dir);
	va_start(ap, fmt);
	vsnprintf(line + used, sizeof(line) - used, fmt, ap);
	va_end(ap);
	f = popen(line, "r");
	ck_assert_ptr_nonnull(f);
	used = fread(t->said, 1, sizeof(t->said) - 1, f);
	t->said[used] = '\0';
	status = pclose(f);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static inline void tool_close(struct tool *t)
{
	ck_assert_int_eq(tool_run(t, "rm -rf %s", t->dir), 0);
}

#endif
