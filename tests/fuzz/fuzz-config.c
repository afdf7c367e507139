/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: fuzz the command line: one argument per line of input
 *
 * A refusal must come with a sentence. An accepted command line must give a
 * checked machine, and each of its options, printed and read again, must
 * print the same.
 */
#include <stdlib.h>
#include <string.h>

#include "vmm/base/check.h"
#include "vmm/cli.h"

#define ARGS_MAX 32

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *printed(const struct schema_option *o, const void *base)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	CHECK(f);
	for (unsigned i = 0; i < schema_count(o, base); i++) {
		fputs(i ? "\n" : "", f);
		schema_print(o, base, i, f);
	}
	CHECK(!fclose(f));
	return text;
}

static void check_again(const struct schema_option *o,
			const struct vm_config *c)
{
	struct diag d = DIAG_INIT;
	struct vm_config again;
	char *first, *second, *copy, *line, *rest;

	CHECK(!vm_config_init(&again, "x86_64", &d));
	first = printed(o, c);
	rest = copy = strdup(first);
	CHECK(copy);
	while (*first && (line = strsep(&rest, "\n")))
		CHECK(!schema_parse(o, line, &again, &d));
	second = printed(o, &again);
	CHECK(!*first || !strcmp(first, second));
	free(copy);
	free(first);
	free(second);
	vm_config_release(&again);
}

static void check_accepted(const struct cli *cli)
{
	struct diag d = DIAG_INIT;

	if (cli->verb != CLI_BOOT && cli->verb != CLI_TABLES)
		return;
	CHECK(!vm_config_check(&cli->config, cli->arch, &d));
	for (unsigned i = 0; i < vm_config_schema.count; i++)
		if (schema_takes_value(vm_config_schema.option[i]))
			check_again(vm_config_schema.option[i], &cli->config);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = malloc(size + 1), *rest = copy, *argv[ARGS_MAX + 2];
	struct diag d = DIAG_INIT;
	struct cli cli;
	int argc = 0;

	CHECK(copy);
	memcpy(copy, data, size);
	copy[size] = '\0';
	argv[argc++] = copy + size; /* program name: "" */
	while (rest && argc < ARGS_MAX)
		argv[argc++] = strsep(&rest, "\n");
	argv[argc] = NULL;
	if (cli_parse(&cli, "x86_64", argc, argv, &d))
		CHECK(d.depth && d.text[0][0]);
	else
		check_accepted(&cli);
	cli_release(&cli);
	free(copy);
	return 0;
}
