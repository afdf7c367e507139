/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: the program: standard streams, command line, verbs, exit status
 *
 * The only place that ends the process, and the only one that talks to
 * standard output on its own behalf. Exit statuses: enum cli_exit.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "arch/arch.h"
#include "vmm/base/log.h"
#include "vmm/cli.h"
#include "vmm/doctor.h"
#include "vmm/machine.h"
#include "vmm/serve.h"
#include "vmm/tables.h"
#include "vmm/version.h"

#define SENTENCE_BYTES (DIAG_DEPTH * DIAG_TEXT)

/*
 * A descriptor opened later must never become a standard stream: streams that
 * are closed get /dev/null. Standard output gets it for reading only, so that
 * writing to it still fails. Return: a bit per stream that was closed.
 */
static unsigned fill_standard_streams(void)
{
	unsigned closed = 0;

	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		int mode = fd == STDERR_FILENO ? O_WRONLY : O_RDONLY;

		if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF)
			continue;
		closed |= 1u << fd;
		if (open("/dev/null", mode) < 0)
			continue; /* no /dev: nothing better to do */
	}
	return closed;
}

static int check_streams(const struct vm_config *c, unsigned closed,
			 struct diag *d)
{
	bool serial = c->serial.mode == CHAR_TTY;

	if (!(closed & 1u << STDOUT_FILENO) ||
	    (!serial && c->console.mode != CHAR_TTY))
		return 0;
	return diag_fail(d, EBADF,
			 "--%s tty: standard output is closed; give file=, "
			 "pty, null or off",
			 serial ? "serial" : "console");
}

static int open_log(const struct vm_config *c, struct diag *d)
{
	enum log_level level = LOG_WARN;
	int fd = STDERR_FILENO;

	if (c->verbosity)
		level = c->verbosity == 1 ? LOG_INFO : LOG_DEBUG;
	if (c->log_file) {
		fd = open(c->log_file,
			  O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY,
			  0640);
		if (fd < 0)
			return diag_errno(d, errno,
					  "--log-file %.200s: cannot open it",
					  c->log_file);
	}
	log_setup(fd, level);
	return 0;
}

static void log_config(const struct vm_config *c)
{
	char *text = NULL;
	size_t size;
	FILE *f;

	if (!c->verbosity)
		return;
	f = open_memstream(&text, &size);
	if (!f)
		return;
	cli_config_print(c, f);
	if (!fclose(f))
		log_info("this machine:%s", text);
	free(text);
}

/* A machine holds one descriptor for each vsock connection, queue, interrupt
 * and image: as many as the host lets us have. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* ---- verbs: 0 and *status, or -errno and @d -------------------------------*/

static int boot(const struct cli *cli, unsigned closed, int *status,
		struct diag *d)
{
	static const enum cli_exit ends[] = {
		[MACHINE_ENDED_POWEROFF] = CLI_EXIT_OK,
		[MACHINE_ENDED_PANIC] = CLI_EXIT_PANIC,
		[MACHINE_ENDED_TERMINATED] = CLI_EXIT_TERMINATED,
	};
	enum machine_end end;
	int err = check_streams(&cli->config, closed, d);

	if (!err)
		err = open_log(&cli->config, d);
	if (err)
		return err;
	log_config(&cli->config);
	vm_config_warn(&cli->config);
	raise_descriptor_limit();
	err = machine_main(&cli->config, &end, d);
	if (!err)
		*status = ends[end];
	else if (cli->config.log_file)
		log_error("%s", d->text[0]);
	return err;
}

static int serve(const struct cli *cli, struct diag *d)
{
	int err = open_log(&cli->config, d);

	if (!err)
		err = serve_main(&cli->config, cli->kind, cli->socket, d);
	if (err && cli->config.log_file)
		log_error("%s", d->text[0]);
	return err;
}

static int tables(const struct cli *cli, struct diag *d)
{
	struct arch_tables t = { .count = 0 };
	int err = machine_tables(arch_find(cli->arch), &cli->config, cli->host,
				 &t, d);

	if (!err)
		err = tables_write(&t, cli->out, stdout, d);
	arch_tables_release(&t);
	return err;
}

static int doctor(const struct cli *cli)
{
	const struct doctor_source src = {
		.root = "",
		.arch = arch_native()->name,
		.select = host_select,
	};

	return doctor_report(&src, cli->json, stdout) ? CLI_EXIT_OK
						      : CLI_EXIT_ERROR;
}

static int run_verb(const struct cli *cli, unsigned closed, int *status,
		    struct diag *d)
{
	switch (cli->verb) {
	case CLI_BOOT:
		return boot(cli, closed, status, d);
	case CLI_TABLES:
		return tables(cli, d);
	case CLI_DEVICE:
		return serve(cli, d);
	case CLI_DOCTOR:
		*status = doctor(cli);
		break;
	case CLI_HELP:
		return cli_help(stdout, cli->topic, d);
	case CLI_VERSION:
		puts("spandrel v" SPANDREL_VERSION);
		break;
	case CLI_MAN:
		cli_man(stdout);
		break;
	case CLI_COMPLETION:
		cli_completion(stdout, cli->shell);
		break;
	}
	return 0;
}

static int flush_output(struct diag *d)
{
	bool failed = ferror(stdout); /* earlier: its errno is gone */

	if (fflush(stdout))
		return diag_errno(d, errno, "cannot write to standard output");
	if (failed)
		return diag_fail(d, EIO, "cannot write to standard output");
	return 0;
}

/* One line, whatever the user had put into an option. */
static void say_error(const struct diag *d)
{
	char sentence[SENTENCE_BYTES];

	diag_format(d, sentence, sizeof(sentence));
	for (char *c = sentence; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	fprintf(stderr, "spandrel: error: %s\n", sentence);
}

int main(int argc, char **argv)
{
	static char output[KIB(128)]; /* the longest, --help, is 17 KiB */
	unsigned closed = fill_standard_streams();
	struct diag d = DIAG_INIT;
	int status = CLI_EXIT_OK, err;
	struct cli cli;

	signal(SIGPIPE, SIG_IGN); /* writes report EPIPE */
	/* All in one write at the end, which says why it failed. */
	setvbuf(stdout, output, _IOFBF, sizeof(output));
	err = cli_parse(&cli, arch_native()->name, argc, argv, &d);
	if (!err)
		err = run_verb(&cli, closed, &status, &d);
	if (!err)
		err = flush_output(&d);
	if (err) {
		say_error(&d);
		status = CLI_EXIT_ERROR;
	}
	cli_release(&cli);
	return status;
}
