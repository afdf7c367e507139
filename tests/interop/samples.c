/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: the ACPI tables of the unit tests' sample machines, for other programs
 *
 * Usage: samples DIRECTORY
 *
 * Makes DIRECTORY/MACHINE/TABLE.aml, and says each name.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "arch/arch.h"

#include "tests/unit/platforms.h"

static void fail(const char *what, const char *why)
{
	fprintf(stderr, "samples: %s: %s\n", what, why);
	exit(1);
}

static void write_file(const char *path, const struct arch_table *t)
{
	FILE *f = fopen(path, "w");

	if (!f || fwrite(t->data, 1, t->size_bytes, f) != t->size_bytes ||
	    fclose(f))
		fail(path, strerror(errno));
}

static void write_tables(const char *dir, const struct sample *s)
{
	const struct arch *arch = arch_find(s->arm64 ? "arm64" : "x86_64");
	struct arch_tables t = { .count = 0 };
	struct diag d = DIAG_INIT;
	struct platform p;
	char path[4096];

	sample_make(&p, s);
	p.tables = TABLES_ACPI;
	if (arch->tables(&t, &p, "", GPA(0), 0, &d))
		fail(s->name, d.text[0]);
	snprintf(path, sizeof(path), "%s/%s", dir, s->name);
	if (mkdir(path, 0777))
		fail(path, strerror(errno));
	for (unsigned i = 0; i < t.count; i++) {
		const char *name = t.table[i].name;

		/* Others are not ACPI's. */
		if (!strstr(name, ".aml"))
			continue;
		snprintf(path, sizeof(path), "%s/%s/%s", dir, s->name, name);
		write_file(path, &t.table[i]);
		printf("%s/%s\n", s->name, name);
	}
	arch_tables_release(&t);
	platform_release(&p);
}

int main(int argc, char **argv)
{
	if (argc != 2)
		fail("usage", "samples DIRECTORY");
	for (unsigned i = 0; i < ARRAY_SIZE(samples); i++)
		write_tables(argv[1], &samples[i]);
	return 0;
}
