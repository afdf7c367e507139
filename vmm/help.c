/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: --help, made from the schemas; at most 80 columns wide */
#include <errno.h>
#include <string.h>

#include "vmm/cli.h"
#include "vmm/version.h"

#define WIDTH	    79
#define TEXT_COLUMN 28

/* @text from column @at on, broken at spaces, continued at @indent. */
static void wrap(FILE *out, int at, int indent, const char *text)
{
	bool first = true;

	while (*text) {
		int len = (int)strcspn(text, " ");

		if (!first && at + 1 + len > WIDTH) {
			fprintf(out, "\n%*s", indent, "");
			at = indent;
			first = true;
		}
		at += fprintf(out, "%s%.*s", first ? "" : " ", len, text);
		first = false;
		text += len;
		text += *text == ' ';
	}
	fputc('\n', out);
}

/* "left", padded, then text; on the next line if left is too long. */
static void entry(FILE *out, const char *left, const char *text)
{
	int at = fprintf(out, "%s", left);

	if (!*text) {
		fputc('\n', out);
		return;
	}
	if (at >= TEXT_COLUMN) {
		fputc('\n', out);
		at = 0;
	}
	fprintf(out, "%*s", TEXT_COLUMN - at, "");
	wrap(out, TEXT_COLUMN, TEXT_COLUMN, text);
}

static void help_key(FILE *out, const struct schema_key *k)
{
	char left[2 * SCHEMA_TEXT_BYTES], value[SCHEMA_TEXT_BYTES];
	char limits[SCHEMA_TEXT_BYTES], text[512];

	snprintf(left, sizeof(left), "      %s%s%s", k->name ? k->name : "",
		 k->name ? "=" : "", schema_text_value(k, value));
	snprintf(text, sizeof(text), "%s%s", k->doc,
		 schema_text_limits(k, limits));
	entry(out, left, text);
}

const char *cli_placeholder(const struct schema_option *o, char *buf)
{
	if (!o->list)
		return schema_text_value(o->key, buf);
	snprintf(buf, SCHEMA_TEXT_BYTES, "%s",
		 o->one_of ? "WHERE" : "KEY=VALUE,...");
	return buf;
}

static void help_option(FILE *out, const struct schema_option *o)
{
	char left[2 * SCHEMA_TEXT_BYTES], value[SCHEMA_TEXT_BYTES];
	char limits[SCHEMA_TEXT_BYTES], text[512];
	char letter[8] = "";

	if (o->letter)
		snprintf(letter, sizeof(letter), "-%c, ", o->letter);
	cli_placeholder(o, value);
	snprintf(left, sizeof(left), "  %s--%s%s%s", letter, o->name,
		 *value ? " " : "", value);
	snprintf(text, sizeof(text), "%s%s%s", o->doc,
		 o->list ? "" : schema_text_limits(o->key, limits),
		 o->most > 1 ? "; can be given several times" : "");
	entry(out, left, text);
	for (unsigned i = 0; o->list && i < o->key_count; i++)
		help_key(out, &o->key[i]);
}

static void help_group(FILE *out, const char *group)
{
	fprintf(out, "\n%s:\n", group);
}

static void help_all(FILE *out)
{
	fputs("Spandrel " SPANDREL_VERSION ", a virtual machine monitor\n\n",
	      out);
	for (unsigned i = 0; i < CLI_VERBS; i++) {
		fprintf(out, "%s spandrel %s\n",
			i ? "      " : "Usage:", cli_verbs[i].usage);
		fprintf(out, "%*s", 11, "");
		wrap(out, 11, 11, cli_verbs[i].doc);
	}
	schema_each(&vm_config_schema, out, help_group, help_option);
	schema_each(&cli_schema, out, help_group, help_option);
	fputs("\nSizes take K, M, G or T. Quotes or brackets protect commas: "
	      "file=\"a,b\".\n\nExit status:\n",
	      out);
	for (unsigned i = 0; i < CLI_EXITS; i++) {
		char left[16];

		snprintf(left, sizeof(left), "  %d", cli_exits[i].status);
		fprintf(out, "%-6s", left);
		wrap(out, 6, 6, cli_exits[i].doc);
	}
}

static bool help_verb(FILE *out, const char *topic)
{
	for (unsigned i = 1; i < CLI_VERBS; i++) {
		if (strcmp(topic, cli_verbs[i].word) != 0)
			continue;
		fprintf(out, "spandrel %s\n", cli_verbs[i].usage);
		wrap(out, 0, 0, cli_verbs[i].doc);
		for (unsigned j = 0; j < cli_schema.count; j++)
			if (cli_schema.option[j]->verbs ==
			    1u << cli_verbs[i].verb)
				help_option(out, cli_schema.option[j]);
		return true;
	}
	return false;
}

int cli_help(FILE *out, const char *topic, struct diag *d)
{
	const struct schema_option *o;

	if (!topic) {
		help_all(out);
		return 0;
	}
	topic += strspn(topic, "-");
	if (help_verb(out, topic))
		return 0;
	o = schema_find(&vm_config_schema, topic, strlen(topic));
	if (!o)
		o = schema_find(&cli_schema, topic, strlen(topic));
	if (!o || !o->group)
		return cli_refuse_option(topic, strlen(topic), d);
	help_option(out, o);
	return 0;
}
