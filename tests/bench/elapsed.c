/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: run a command, print how long it took
 *
 * Usage: elapsed LIMIT_S [-m TEXT]... COMMAND [ARGUMENT]...
 * Prints "@@NS nanoseconds status" on a line of its own when COMMAND has
 * ended, 124 if it had to be killed. Before that, for each -m, "@@AT
 * nanoseconds TEXT": when a line of COMMAND's output first had TEXT; COMMAND is
 * killed when all were there. Inside a server that counts instructions a
 * nanosecond is one instruction.
 */
#include <err.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MARKS_MAX  4
#define LINE_BYTES 256

struct mark {
	const char *text;
	uint64_t at_ns; /* 0: not yet */
};

static pid_t child;
static struct mark mark[MARKS_MAX];
static int marks, seen;

static void on_alarm(int number)
{
	(void)number;
	kill(child, SIGKILL);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* The line so far has one more byte. */
static void look(const char *line)
{
	for (int i = 0; i < marks; i++)
		if (!mark[i].at_ns && strstr(line, mark[i].text)) {
			mark[i].at_ns = now_ns();
			if (++seen == marks)
				kill(child, SIGKILL);
		}
}

/* Pass on what COMMAND says, until it says no more. */
static void watch(int fd)
{
	char buf[4096], line[LINE_BYTES + 1] = "";
	size_t used = 0;
	ssize_t n;

	while (seen < marks && (n = read(fd, buf, sizeof(buf))) > 0) {
		if (write(1, buf, (size_t)n) != n)
			err(1, "write");
		for (ssize_t i = 0; i < n; i++) {
			if (buf[i] == '\n')
				used = 0;
			else if (used < LINE_BYTES)
				line[used++] = buf[i];
			line[used] = '\0';
			look(line);
		}
	}
}

static void run(char **command, const int *out)
{
	if (marks && (dup2(out[1], 1) < 0 || dup2(out[1], 2) < 0))
		err(1, "dup2");
	close(out[0]);
	close(out[1]);
	execvp(command[0], command);
	err(127, "%s", command[0]);
}

static char **parse(char **argument)
{
	while (argument[0] && !strcmp(argument[0], "-m") && argument[1] &&
	       marks < MARKS_MAX) {
		mark[marks++].text = argument[1];
		argument += 2;
	}
	return argument;
}

int main(int argc, char **argv)
{
	char **command = argc < 3 ? argv + argc : parse(argv + 2);
	int status, out[2];
	uint64_t start;

	if (!command[0])
		errx(2, "usage: elapsed LIMIT_S [-m TEXT]... COMMAND "
			"[ARGUMENT]...");
	if (pipe(out) < 0)
		err(1, "pipe");
	signal(SIGALRM, on_alarm);
	start = now_ns();
	child = fork();
	if (child < 0)
		err(1, "fork");
	if (!child)
		run(command, out);
	close(out[1]);
	alarm((unsigned)atoi(argv[1]));
	watch(out[0]);
	while (waitpid(child, &status, 0) < 0)
		;
	printf("\n");
	for (int i = 0; i < marks; i++)
		if (mark[i].at_ns)
			printf("@@AT %llu %s\n",
			       (unsigned long long)(mark[i].at_ns - start),
			       mark[i].text);
	printf("@@NS %llu %d\n", (unsigned long long)(now_ns() - start),
	       WIFEXITED(status) ? WEXITSTATUS(status) : 124);
	return 0;
}
