/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: the command line
 *
 *	spandrel OPTIONS                            boot a machine
 *	spandrel tables --out DIR [OPTIONS]         write its firmware tables
 *	spandrel doctor [--json]                    what this host offers
 *	spandrel device KIND --socket PATH [OPTIONS]  serve by vhost-user
 *	spandrel --help [OPTION] | --version
 *
 * Options come from two schemas: vm_config_schema and the program's own
 * (cli_schema). --man and --completion print what `make install` installs.
 *
 * Threads: main thread only, before others exist.
 */
#ifndef VMM_CLI_H
#define VMM_CLI_H

#include <stdio.h>

#include "vmm/base/diag.h"
#include "vmm/config.h"
#include "vmm/schema.h"

/** enum cli_verb - what the program is asked to do; CLI_BOOT has no word */
enum cli_verb {
	CLI_BOOT,
	CLI_TABLES,
	CLI_DOCTOR,
	CLI_DEVICE,
	CLI_HELP,
	CLI_VERSION,
	CLI_MAN,
	CLI_COMPLETION,
};

/* Masks for schema_option.verbs: verbs that know an option. */
#define CLI_RUN	    (1u << CLI_BOOT)
#define CLI_SERVE   (1u << CLI_DEVICE)
#define CLI_MACHINE (1u << CLI_BOOT | 1u << CLI_TABLES)
#define CLI_ALL \
	(1u << CLI_BOOT | 1u << CLI_TABLES | 1u << CLI_DOCTOR | CLI_SERVE)

/** Exit statuses; in --help, the man page and the README */
enum cli_exit {
	CLI_EXIT_OK,	     /* the guest powered off, or the verb is done */
	CLI_EXIT_ERROR,	     /* one sentence on standard error says why */
	CLI_EXIT_TERMINATED, /* ended by a signal before the guest had */
	CLI_EXIT_PANIC,	     /* the guest's kernel reported a panic */
};

/** struct cli_exit_doc - for help and man page, from cli_exits[] */
struct cli_exit_doc {
	enum cli_exit status;
	const char *doc;
};

/** struct cli_verb_doc - for help and man page, from cli_verbs[]; @word NULL:
 * the options come right away */
struct cli_verb_doc {
	enum cli_verb verb;
	const char *word, *usage, *doc;
};

#define CLI_EXITS 4
#define CLI_VERBS 4

/* Every status, every verb that has a help text, and the program's own options
 * (vm_config_schema has the machine's). */
extern const struct cli_exit_doc cli_exits[CLI_EXITS];
extern const struct cli_verb_doc cli_verbs[CLI_VERBS];
extern const struct schema cli_schema;

/**
 * struct cli - a parsed command line
 * @config: the machine
 * @arch: architecture of the tables, never NULL
 * @out: directory for the tables
 * @host: tables for what the hypervisor of this host can do
 * @json: doctor prints JSON
 * @shell: --completion
 * @kind: of device; points into argv
 * @socket: where it is served
 * @topic: --help TOPIC, an option's name without dashes; NULL: all; points
 *	into argv
 */
struct cli {
	enum cli_verb verb;
	struct vm_config config;
	char *arch, *out, *shell, *socket;
	const char *kind;
	bool json, host;
	bool help, version, man; /* fields of the options of that name */
	const char *topic;
};

/**
 * cli_parse - read and check a command line
 * @cli: overwritten; release with cli_release() also after failure
 * @native: name of the architecture that this program was built for
 * @argc, @argv: as main() gets them
 * @d: one sentence with option, value and remedy
 *
 * --help and --version end the reading: what follows is not looked at.
 *
 * Return: 0, -EINVAL or -ENOMEM.
 */
int cli_parse(struct cli *cli, const char *native, int argc, char **argv,
	      struct diag *d);

/** cli_release - free what a command line owns; accepts a zeroed one */
void cli_release(struct cli *cli);

/**
 * cli_help - print --help, at most 80 columns wide
 * @topic: NULL: everything; else one option or verb, without dashes
 *
 * Return: 0, or -EINVAL: there is no such topic, @d names the nearest.
 */
int cli_help(FILE *out, const char *topic, struct diag *d);

/** cli_placeholder - what stands for an option's value in documentation; ""
 * if it has none; @buf holds SCHEMA_TEXT_BYTES; Return: @buf */
const char *cli_placeholder(const struct schema_option *o, char *buf);

/** cli_refuse_option - -EINVAL and @d says that there is no option of that
 * name (@len bytes of @name), and which one is nearest */
int cli_refuse_option(const char *name, size_t len, struct diag *d);

/** cli_man - print the man page, roff with man macros */
void cli_man(FILE *out);

/** cli_completion - print the completion script for @shell; "bash" */
void cli_completion(FILE *out, const char *shell);

/** cli_config_print - print a configuration as a command line */
void cli_config_print(const struct vm_config *c, FILE *out);

#endif
