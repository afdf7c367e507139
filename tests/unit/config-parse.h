/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: a configuration from one option, checked like that of a command line */
#ifndef TESTS_UNIT_CONFIG_PARSE_H
#define TESTS_UNIT_CONFIG_PARSE_H

#include <check.h>
#include <string.h>

#include "vmm/config.h"
#include "vmm/schema.h"

/** config_parse - @option=@value; @c is to be released whatever comes of it.
 * Return: 0, or like vm_config_check() */
static inline int config_parse(struct vm_config *c, const char *option,
			       const char *value, struct diag *d)
{
	const struct schema_option *o =
		schema_find(&vm_config_schema, option, strlen(option));
	int err = vm_config_init(c, "x86_64", d);

	ck_assert_ptr_nonnull(o);
	if (!err)
		err = schema_parse(o, value, c, d);
	if (!err)
		err = vm_config_complete(c, d);
	return err ? err : vm_config_check(c, "x86_64", d);
}

#endif
