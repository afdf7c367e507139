/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: reading the command line
 *
 * Long options as --name VALUE and --name=VALUE, short ones as -v, -vv. Each
 * option once, except -v and those of which a machine can have several, which
 * also take several values: --disk A B. A value that is itself the name of an
 * option is taken for a forgotten value; --name=VALUE passes it all the same.
 */
#include "vmm/cli.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/serve.h"

#define AT(member) offsetof(struct cli, member)
#define SEEN_MAX   64

/* Cloud Hypervisor's options that are known but not there yet. */
static const char later_options[] =
	"api-socket dbus-object-path dbus-service-name dbus-system-bus device "
	"event-monitor gdb host-data igvm ivshmem "
	"landlock landlock-rules log-format no-shutdown "
	"pvmemcontrol restore seccomp user-device vdpa";

const struct cli_verb_doc cli_verbs[CLI_VERBS] = {
	{ CLI_BOOT, NULL, "--kernel FILE|--firmware FILE [OPTION]...",
	  "Boot a Linux kernel, or firmware and what is on a disk, in a "
	  "virtual machine." },
	{ CLI_TABLES, "tables", "tables --out DIR [--arch ARCH] [OPTION]...",
	  "Write the firmware tables (ACPI or device tree) that this machine "
	  "would get into files, without running it." },
	{ CLI_DOCTOR, "doctor", "doctor [--json]",
	  "Say what this host offers for virtual machines, what is missing, "
	  "and what to do about it." },
	{ CLI_DEVICE, "device",
	  "device " SERVE_KINDS " --socket PATH [OPTION]...",
	  "Serve one device to another virtual machine monitor by vhost-user: "
	  "the front end connects to the socket, again and again." },
};

const struct cli_exit_doc cli_exits[CLI_EXITS] = {
	{ CLI_EXIT_OK,
	  "The guest powered off; or the command did what it was asked to "
	  "(doctor: guests can run here)." },
	{ CLI_EXIT_ERROR,
	  "An error; one sentence on standard error says which (doctor: "
	  "guests cannot run here)." },
	{ CLI_EXIT_TERMINATED,
	  "A signal ended the machine before the guest had powered off." },
	{ CLI_EXIT_PANIC,
	  "The guest's kernel reported a panic (see --pvpanic)." },
};

static const struct schema_choice arch_words[] = {
	{ .name = "x86_64" },
	{ .name = "arm64" },
};

static const struct schema_choice shell_words[] = {
	{ .name = "bash" },
};

static const struct schema_key arch_key = {
	.type = SCHEMA_NAME,
	.offset = AT(arch),
	.choice = arch_words,
	.choice_count = ARRAY_SIZE(arch_words),
};

static const struct schema_key shell_key = {
	.type = SCHEMA_NAME,
	.offset = AT(shell),
	.choice = shell_words,
	.choice_count = ARRAY_SIZE(shell_words),
};

static const struct schema_key out_key = { .type = SCHEMA_PATH,
					   .offset = AT(out) };
static const struct schema_key socket_key = { .type = SCHEMA_PATH,
					      .offset = AT(socket) };
static const struct schema_key host_key = { .type = SCHEMA_FLAG,
					    .offset = AT(host) };
static const struct schema_key json_key = { .type = SCHEMA_FLAG,
					    .offset = AT(json) };
static const struct schema_key help_key = { .type = SCHEMA_FLAG,
					    .offset = AT(help) };
static const struct schema_key version_key = { .type = SCHEMA_FLAG,
					       .offset = AT(version) };
static const struct schema_key man_key = { .type = SCHEMA_FLAG,
					   .offset = AT(man) };

#define ONE(k) .key = &(k), .key_count = 1, .since = "0.1"

/* Without a group: not in --help. */
static const struct schema_option out_option = {
	.name = "out",
	.group = "Commands",
	ONE(out_key),
	.verbs = 1u << CLI_TABLES,
	.doc = "tables: directory for the files, made if missing",
};

static const struct schema_option arch_option = {
	.name = "arch",
	.group = "Commands",
	ONE(arch_key),
	.verbs = 1u << CLI_TABLES,
	.doc = "tables: architecture; this machine's unless given",
};

static const struct schema_option host_option = {
	.name = "host",
	.group = "Commands",
	ONE(host_key),
	.verbs = 1u << CLI_TABLES,
	.doc = "tables: as this host's hypervisor makes them; else those of a "
	       "host that can do everything",
};

static const struct schema_option json_option = {
	.name = "json",
	.group = "Commands",
	ONE(json_key),
	.verbs = 1u << CLI_DOCTOR,
	.doc = "doctor: print JSON",
};

static const struct schema_option socket_option = {
	.name = "socket",
	.group = "Commands",
	ONE(socket_key),
	.verbs = CLI_SERVE,
	.doc = "device: where front ends connect to; fd=N: a socket that is "
	       "open already",
};

static const struct schema_option help_option = {
	.name = "help",
	.letter = 'h',
	.group = "Commands",
	ONE(help_key),
	.verbs = CLI_ALL,
	.doc = "print this; --help OPTION: only that option",
};

static const struct schema_option version_option = {
	.name = "version",
	.letter = 'V',
	.group = "Commands",
	ONE(version_key),
	.verbs = CLI_ALL,
	.doc = "print the version",
};

static const struct schema_option man_option = {
	.name = "man",
	ONE(man_key),
	.verbs = CLI_ALL,
};

static const struct schema_option completion_option = {
	.name = "completion",
	ONE(shell_key),
	.verbs = CLI_ALL,
};

static const struct schema_option *const options[] = {
	&out_option,	 &arch_option,	 &host_option,
	&json_option,	 &socket_option, &help_option,
	&version_option, &man_option,	 &completion_option,
};

const struct schema cli_schema = {
	.option = options,
	.count = ARRAY_SIZE(options),
};

/* ---- parser --------------------------------------------------------------*/

/**
 * struct parser - where we are
 * @argv: NULL-terminated rest of the arguments
 * @seen: options that were given: the program's first, then the machine's
 */
struct parser {
	struct cli *cli;
	char **argv;
	uint64_t seen;
	struct diag *d;
};

static const struct schema_option *find_option(const char *name, size_t len)
{
	const struct schema_option *o = schema_find(&cli_schema, name, len);

	return o ? o : schema_find(&vm_config_schema, name, len);
}

/* Its place in the schema; the schema's count if it is not in there. */
static unsigned index_in(const struct schema *s, const struct schema_option *o)
{
	unsigned i = 0;

	while (i < s->count && s->option[i] != o)
		i++;
	return i;
}

static bool is_ours(const struct schema_option *o)
{
	return index_in(&cli_schema, o) < cli_schema.count;
}

static unsigned option_index(const struct schema_option *o)
{
	static_assert(ARRAY_SIZE(options) < SEEN_MAX / 4, "seen is 64 bits");
	if (is_ours(o))
		return index_in(&cli_schema, o);
	return cli_schema.count + index_in(&vm_config_schema, o);
}

static void guess_option(struct schema_guess *g, const struct schema *s,
			 const char *name, size_t len)
{
	for (unsigned i = 0; i < s->count; i++)
		if (s->option[i]->group)
			schema_guess(g, name, len, s->option[i]->name);
}

int cli_refuse_option(const char *name, size_t len, struct diag *d)
{
	struct schema_guess g = { .best = NULL };
	int shown = (int)MIN(len, 60);

	if (schema_listed(later_options, name, len))
		return diag_fail(d, EINVAL, "--%.*s: not supported yet", shown,
				 name);
	guess_option(&g, &vm_config_schema, name, len);
	guess_option(&g, &cli_schema, name, len);
	return diag_fail(d, EINVAL,
			 "--%.*s: there is no such option; the nearest is --%s",
			 shown, name, g.best);
}

static const char *verb_word(enum cli_verb verb)
{
	return cli_verbs[verb].word ? cli_verbs[verb].word : "";
}

/* What stands where a value is expected, but is an option. */
static bool is_option(const char *arg)
{
	return !strncmp(arg, "--", 2) && find_option(arg + 2, strlen(arg + 2));
}

/* The value of @o: behind "=", or the next argument. */
static const char *take_value(struct parser *p, const struct schema_option *o,
			      const char *given)
{
	const char *next = p->argv[0];

	if (given || !schema_takes_value(o) || !next)
		return given;
	if (is_option(next))
		return NULL;
	p->argv++;
	return next;
}

static int take_option(struct parser *p, const struct schema_option *o,
		       const char *given)
{
	void *base = is_ours(o) ? (void *)p->cli : &p->cli->config;
	uint64_t bit = 1ull << option_index(o);
	int ret;

	if (!(o->verbs & 1u << p->cli->verb))
		return diag_fail(p->d, EINVAL,
				 "--%s: not an option of spandrel%s%s", o->name,
				 p->cli->verb ? " " : ", only of its commands",
				 verb_word(p->cli->verb));
	if (given && !schema_takes_value(o))
		return diag_fail(p->d, EINVAL, "--%s takes no value", o->name);
	if (p->seen & bit && o->key[0].type != SCHEMA_COUNT && !o->most)
		return diag_fail(p->d, EINVAL, "--%s: given twice", o->name);
	p->seen |= bit;
	ret = schema_parse(o, take_value(p, o, given), base, p->d);
	/* --disk path=a path=b: an item each, as Cloud Hypervisor reads it. */
	while (!ret && o->most > 1 && p->argv[0] && p->argv[0][0] != '-')
		ret = schema_parse(o, *p->argv++, base, p->d);
	return ret;
}

static int take_long(struct parser *p, const char *name)
{
	size_t len = strcspn(name, "=");
	const struct schema_option *o = find_option(name, len);

	if (!o)
		return cli_refuse_option(name, len, p->d);
	return take_option(p, o, name[len] ? name + len + 1 : NULL);
}

static const struct schema_option *find_letter(const struct schema *s,
					       char letter)
{
	for (unsigned i = 0; i < s->count; i++)
		if (s->option[i]->letter == letter)
			return s->option[i];
	return NULL;
}

static int take_letters(struct parser *p, const char *letters)
{
	int ret = 0;

	for (; *letters && !ret; letters++) {
		const struct schema_option *o =
			find_letter(&vm_config_schema, *letters);

		if (!o)
			o = find_letter(&cli_schema, *letters);
		if (!o)
			return diag_fail(p->d, EINVAL,
					 "-%c: there is no such option; see "
					 "spandrel --help",
					 *letters);
		ret = take_option(p, o, NULL);
	}
	return ret;
}

static int take_argument(struct parser *p)
{
	const char *arg = *p->argv++;

	if (!strncmp(arg, "--", 2) && arg[2])
		return take_long(p, arg + 2);
	if (arg[0] == '-' && arg[1] && arg[1] != '-')
		return take_letters(p, arg + 1);
	return diag_fail(p->d, EINVAL,
			 "'%.100s' is not an option; options begin with --",
			 arg);
}

/* Verbs that are options: nothing behind them is read. */
static bool ended(struct parser *p)
{
	struct cli *cli = p->cli;

	if (cli->help) {
		cli->topic = p->argv[0];
		if (!cli->topic && cli->verb)
			cli->topic = verb_word(cli->verb);
		cli->verb = CLI_HELP;
	} else if (cli->version) {
		cli->verb = CLI_VERSION;
	} else if (cli->man) {
		cli->verb = CLI_MAN;
	} else if (cli->shell) {
		cli->verb = CLI_COMPLETION;
	} else {
		return false;
	}
	return true;
}

static int take_verb(struct parser *p)
{
	const char *word = p->argv[0];
	struct schema_guess g = { .best = NULL };

	if (!word || word[0] == '-')
		return 0;
	p->argv++;
	for (unsigned i = 1; i < CLI_VERBS; i++) {
		schema_guess(&g, word, strlen(word), cli_verbs[i].word);
		if (strcmp(word, cli_verbs[i].word) != 0)
			continue;
		p->cli->verb = cli_verbs[i].verb;
		if (p->cli->verb == CLI_DEVICE && p->argv[0] &&
		    p->argv[0][0] != '-')
			p->cli->kind = *p->argv++;
		return 0;
	}
	return diag_fail(p->d, EINVAL,
			 "'%.100s' is not a command, the nearest is %s; a "
			 "kernel is given as --kernel FILE",
			 word, g.best);
}

/* --arch decides defaults, so it is looked up before anything is read. */
static const char *early_arch(const struct cli *cli, char **argv,
			      const char *native)
{
	const char *name = NULL;

	for (; cli->verb == CLI_TABLES && *argv; argv++) {
		if (!strcmp(*argv, "--arch"))
			name = argv[1];
		else if (!strncmp(*argv, "--arch=", 7))
			name = *argv + 7;
	}
	for (unsigned i = 0; name && i < ARRAY_SIZE(arch_words); i++)
		if (!strcmp(name, arch_words[i].name))
			return arch_words[i].name;
	return native;
}

static int check_machine(struct cli *cli, const char *arch, const char *native,
			 struct diag *d)
{
	int ret;

	if (cli->verb == CLI_BOOT && !cli->config.kernel &&
	    !cli->config.firmware)
		return diag_fail(d, EINVAL,
				 "--kernel or --firmware is missing: there is "
				 "nothing to boot; see spandrel --help");
	if (cli->verb == CLI_TABLES && !cli->out)
		return diag_fail(d, EINVAL,
				 "--out is missing: which directory shall the "
				 "tables go to");
	if (cli->host && strcmp(arch, native) != 0)
		return diag_fail(d, EINVAL,
				 "--host: this host's tables are those of %s, "
				 "not of %s; leave out --arch or --host",
				 native, arch);
	if (cli->verb == CLI_DEVICE) {
		ret = serve_check(&cli->config, cli->kind, cli->socket, d);
		if (ret)
			return ret;
	}
	ret = vm_config_complete(&cli->config, d);
	return ret ? ret : vm_config_check(&cli->config, arch, d);
}

static int finish(struct parser *p, const char *arch, const char *native)
{
	struct cli *cli = p->cli;

	if (cli->verb != CLI_BOOT && cli->verb != CLI_TABLES &&
	    cli->verb != CLI_DEVICE)
		return 0;
	if (!cli->arch && !(cli->arch = strdup(arch)))
		return diag_fail(p->d, ENOMEM, "out of memory");
	return check_machine(cli, arch, native, p->d);
}

int cli_parse(struct cli *cli, const char *native, int argc, char **argv,
	      struct diag *d)
{
	struct parser p = { .cli = cli, .argv = argv + (argc > 0), .d = d };
	const char *arch;
	int ret;

	memset(cli, 0, sizeof(*cli));
	ret = take_verb(&p);
	if (ret)
		return ret;
	arch = early_arch(cli, p.argv, native);
	ret = vm_config_init(&cli->config, arch, d);
	while (!ret && *p.argv) {
		ret = take_argument(&p);
		if (!ret && ended(&p))
			return 0;
	}
	return ret ? ret : finish(&p, arch, native);
}

void cli_release(struct cli *cli)
{
	schema_release(&cli_schema, cli);
	vm_config_release(&cli->config);
}

void cli_config_print(const struct vm_config *c, FILE *out)
{
	for (unsigned i = 0; i < vm_config_schema.count; i++) {
		const struct schema_option *o = vm_config_schema.option[i];

		for (unsigned j = 0; j < schema_count(o, c); j++) {
			fprintf(out, " --%s%s", o->name,
				schema_takes_value(o) ? " " : "");
			schema_print(o, c, j, out);
		}
	}
}
