/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: the man page (roff, man macros) and the bash completion, made from the
 * schemas
 */
#include <string.h>

#include "vmm/cli.h"
#include "vmm/version.h"

/* ---- man page ------------------------------------------------------------*/

/* Text with what roff would interpret escaped. */
static void roff(FILE *out, const char *text)
{
	bool line_start = true;

	for (; *text; text++) {
		if (line_start && (*text == '.' || *text == '\''))
			fputs("\\&", out);
		if (*text == '\\')
			fputs("\\e", out);
		else if (*text == '-')
			fputs("\\-", out);
		else
			fputc(*text, out);
		line_start = *text == '\n';
	}
}

/* .TP entry: bold @name, then @value, then the text. */
static void man_entry(FILE *out, const char *prefix, const char *name,
		      const char *value, const char *doc, const char *limits)
{
	fputs(".TP\n\\fB", out);
	roff(out, prefix);
	roff(out, name);
	fputs("\\fR", out);
	roff(out, value);
	fputc('\n', out);
	roff(out, doc);
	roff(out, limits);
	fputs(doc[strlen(doc) - 1] == '.' ? "\n" : ".\n", out);
}

static void man_key(FILE *out, const struct schema_key *k)
{
	char value[SCHEMA_TEXT_BYTES], limits[SCHEMA_TEXT_BYTES];

	schema_text_value(k, value);
	man_entry(out, k->name ? k->name : value, k->name ? "=" : "",
		  k->name ? value : "", k->doc, schema_text_limits(k, limits));
}

static void man_option(FILE *out, const struct schema_option *o)
{
	char value[SCHEMA_TEXT_BYTES + 1] = " ", limits[SCHEMA_TEXT_BYTES] = "";
	char prefix[8] = "--";

	if (o->letter)
		snprintf(prefix, sizeof(prefix), "-%c, --", o->letter);
	cli_placeholder(o, value + 1);
	if (!o->list)
		schema_text_limits(o->key, limits);
	else if (o->most > 1)
		snprintf(limits, sizeof(limits),
			 "; can be given several times");
	man_entry(out, prefix, o->name, value[1] ? value : "", o->doc, limits);
	if (!o->list)
		return;
	fputs(".RS\n", out);
	for (unsigned i = 0; i < o->key_count; i++)
		man_key(out, &o->key[i]);
	fputs(".RE\n", out);
}

static void man_group(FILE *out, const char *group)
{
	fprintf(out, ".SS %s\n", group);
}

static const char man_head[] =
	".TH SPANDREL 1 \"\" \"Spandrel " SPANDREL_VERSION "\"\n"
	".SH NAME\n"
	"spandrel \\- boot virtual machines on Arm and x86_64 servers\n"
	".SH SYNOPSIS\n";

static const char man_values[] =
	".SH VALUES\n"
	"Options that take KEY=VALUE,... take each key once, in any order. A "
	"comma\ninside square brackets or double quotes does not separate; "
	"the quotes are\nremoved. Switches are on, off, true or false. Sizes "
	"are bytes, or have one of\nK, M, G and T (powers of 1024) behind "
	"them. WHERE is exactly one of the words\nor keys listed.\n"
	".PP\n"
	"A value that cannot be used ends the program before anything has "
	"started, with\none sentence that names the option, the value and "
	"the limit.\n";

static const char man_signals[] =
	".SH SIGNALS\n"
	"SIGTERM, SIGINT and SIGHUP press the guest's power button; after "
	"ten seconds, or\nat the second signal, the machine is ended.\n"
	".SH EXAMPLES\n"
	"A machine with four vCPUs and 2 GiB of RAM, its console on this "
	"terminal:\n"
	".PP\n.nf\n"
	"    spandrel \\-\\-kernel vmlinuz \\-\\-initramfs initrd.img \\e\n"
	"        \\-\\-cmdline console=hvc0 \\-\\-cpus boot=4 \\-\\-memory "
	"size=2G\n"
	".fi\n.PP\n"
	"The device tree of an Arm server with eight vCPUs:\n"
	".PP\n.nf\n"
	"    spandrel tables \\-\\-arch arm64 \\-\\-out /tmp/tables "
	"\\-\\-cpus boot=8\n"
	".fi\n";

void cli_man(FILE *out)
{
	fputs(man_head, out);
	for (unsigned i = 0; i < CLI_VERBS; i++) {
		fputs(i ? ".br\n\\fBspandrel\\fR " : "\\fBspandrel\\fR ", out);
		roff(out, cli_verbs[i].usage);
		fputc('\n', out);
	}
	fputs(".SH DESCRIPTION\n", out);
	for (unsigned i = 0; i < CLI_VERBS; i++)
		man_entry(out, "spandrel ",
			  cli_verbs[i].word ? cli_verbs[i].word : "", "",
			  cli_verbs[i].doc, "");
	fputs(".SH OPTIONS\n", out);
	schema_each(&vm_config_schema, out, man_group, man_option);
	schema_each(&cli_schema, out, man_group, man_option);
	fputs(man_values, out);
	fputs(".SH EXIT STATUS\n", out);
	for (unsigned i = 0; i < CLI_EXITS; i++) {
		char status[12];

		snprintf(status, sizeof(status), "%d", cli_exits[i].status);
		man_entry(out, status, "", "", cli_exits[i].doc, "");
	}
	fputs(man_signals, out);
}

/* ---- completion ----------------------------------------------------------*/

static void complete_words(FILE *out, const struct schema_key *k)
{
	static const char *const switches[] = { "on", "off" };
	const char *name = k->name ? k->name : "";
	const char *equals = k->name ? "=" : "";

	for (unsigned i = 0; i < k->choice_count; i++)
		if (!k->choice[i].later)
			fprintf(out, " %s%s%s", name, equals,
				k->choice[i].name);
	for (unsigned i = 0; k->type == SCHEMA_BOOL && i < 2; i++)
		fprintf(out, " %s%s%s", name, equals, switches[i]);
	if (!k->choice_count && k->type != SCHEMA_BOOL && k->name)
		fprintf(out, " %s=", name);
}

static void complete_option(FILE *out, const struct schema_option *o)
{
	if (!o->group || !schema_takes_value(o))
		return;
	if (!o->list && o->key->type == SCHEMA_PATH) {
		fprintf(out,
			"\t--%s) COMPREPLY=($(compgen -f -- \"$cur\")) ;;\n",
			o->name);
		return;
	}
	fprintf(out, "\t--%s) words=\"", o->name);
	for (unsigned i = 0; i < o->key_count; i++)
		complete_words(out, &o->key[i]);
	fputs("\" ;;\n", out);
}

static void complete_schema(FILE *out, const struct schema *s,
			    void (*each)(FILE *, const struct schema_option *))
{
	for (unsigned i = 0; i < s->count; i++)
		each(out, s->option[i]);
}

static void complete_name(FILE *out, const struct schema_option *o)
{
	if (o->group)
		fprintf(out, " --%s", o->name);
}

/*
 * Readline splits words at "=", ":" and, with the list grammar, we at commas:
 * the word is taken from COMP_LINE and the part before the last comma, or
 * before the last "=" of it, is put back or left out as readline wants it.
 */
static const char bash_head[] =
	"# bash completion for spandrel\n"
	"_spandrel() {\n"
	"\tlocal line=${COMP_LINE:0:COMP_POINT} cur prev words= lead\n"
	"\tcur=${line##* }; line=${line% *}; prev=${line##* }\n"
	"\tcase $prev in\n";

static const char bash_middle[] = "\t*) words=\"";

static const char bash_tail[] =
	"\" ;;\n"
	"\tesac\n"
	"\tif [ -n \"$words\" ]; then\n"
	"\t\tlead=; case $cur in *,*) lead=${cur%,*}, ;; esac\n"
	"\t\tCOMPREPLY=($(compgen -P \"$lead\" -W \"$words\" -- "
	"\"${cur##*,}\"))\n"
	"\t\tcase $cur in *=*) COMPREPLY=(\"${COMPREPLY[@]#\"${cur%=*}=\"}\")"
	" ;; esac\n"
	"\tfi\n"
	"}\n"
	"complete -o nospace -F _spandrel spandrel\n";

void cli_completion(FILE *out, const char *shell)
{
	(void)shell; /* bash is the only one that the parser accepts */
	fputs(bash_head, out);
	complete_schema(out, &vm_config_schema, complete_option);
	complete_schema(out, &cli_schema, complete_option);
	fputs(bash_middle, out);
	for (unsigned i = 1; i < CLI_VERBS; i++)
		fprintf(out, " %s", cli_verbs[i].word);
	complete_schema(out, &vm_config_schema, complete_name);
	complete_schema(out, &cli_schema, complete_name);
	fputs(bash_tail, out);
}
