/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: run a command, print how long it took
 *
 * Usage: elapsed LIMIT_S COMMAND [ARGUMENT]...
 * Prints "@@NS nanoseconds status" on a line of its own when COMMAND has
 * ended, 124 if it had to be killed. Inside a server that counts instructions
 * a nanosecond is one instruction.
 */
#include <err.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static pid_t child;

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

int main(int argc, char **argv)
{
	uint64_t start;
	int status;

	if (argc < 3)
		errx(2, "usage: elapsed LIMIT_S COMMAND [ARGUMENT]...");
	signal(SIGALRM, on_alarm);
	start = now_ns();
	child = fork();
	if (child < 0)
		err(1, "fork");
	if (!child) {
		execvp(argv[2], argv + 2);
		err(127, "%s", argv[2]);
	}
	alarm((unsigned)atoi(argv[1]));
	while (waitpid(child, &status, 0) < 0)
		;
	printf("\n@@NS %llu %d\n", (unsigned long long)(now_ns() - start),
	       WIFEXITED(status) ? WEXITSTATUS(status) : 124);
	return 0;
}
