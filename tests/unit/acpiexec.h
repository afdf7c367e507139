/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: what a DSDT's methods do when ACPICA, as in Linux, evaluates them: the
 * DSDT is file t.aml in the tool's directory
 */
#ifndef TESTS_UNIT_ACPIEXEC_H
#define TESTS_UNIT_ACPIEXEC_H

#include <string.h>

#include "tests/unit/tool.h"

/* The end of what it said, of which Check takes no more in a message */
static inline const char *acpiexec_tail(const struct tool *t)
{
	size_t len = strlen(t->said);

	return t->said + (len > 3000 ? len - 3000 : 0);
}

static inline void acpiexec_found_nothing(const struct tool *t)
{
	ck_assert_msg(!strstr(t->said, "ACPI Error") &&
			      !strstr(t->said, "ACPI Warning") &&
			      !strstr(t->said, "ACPI Exception"),
		      "%s", acpiexec_tail(t));
}

/**
 * acpiexec - run commands until all @count of @notices are said
 *
 * These come from a thread of its own: on a busy host anywhere among the other
 * output, in pieces, or not at all if the program ends before.
 */
static inline void acpiexec(struct tool *t, const char *commands,
			    const char *const *notices, unsigned count)
{
	unsigned tries = 50, said;

	do {
		ck_assert_int_eq(
			tool_run(t, "acpiexec -b '%s' t.aml", commands), 0);
		said = 0;
		for (unsigned i = 0; i < count; i++)
			said += strstr(t->said, notices[i]) != NULL;
	} while (said < count && --tries);
	ck_assert_msg(said == count, "a notice is missing in %s",
		      acpiexec_tail(t));
	acpiexec_found_nothing(t);
}

static inline unsigned acpiexec_count(const struct tool *t, const char *text)
{
	unsigned count = 0;

	for (const char *at = t->said; (at = strstr(at, text)); at++)
		count++;
	return count;
}

/** acpiexec_all - evaluate what every device has of these; how many it was */
static inline unsigned acpiexec_all(struct tool *t)
{
	unsigned count;

	/* The buffers themselves are of no interest. */
	ck_assert_int_eq(tool_run(t,
				  "acpiexec -b 'all _CRS; all _STA; "
				  "all _EVT; all _PRT; all _CCA' t.aml | "
				  "grep -E 'returned AE|ACPI [EW]|names in'"),
			 0);
	acpiexec_found_nothing(t);
	ck_assert_uint_eq(acpiexec_count(t, "names in the namespace"), 5);
	count = acpiexec_count(t, "returned AE_");
	ck_assert_msg(acpiexec_count(t, "returned AE_OK") == count, "%s",
		      acpiexec_tail(t));
	return count;
}

#endif
