/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: arch: what all architectures share, see arch.h
 */
#include "arch/arch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int arch_tables_add(struct arch_tables *t, const char *name, gpa_t gpa,
		    uint8_t *data, size_t size_bytes, struct diag *d)
{
	struct arch_table *one = &t->table[t->count];

	if (!data)
		return diag_fail(d, ENOMEM, "out of memory");
	if (t->count == ARCH_TABLES_MAX) {
		free(data);
		return diag_fail(d, E2BIG, "more than %u tables",
				 ARCH_TABLES_MAX);
	}
	*one = (struct arch_table){ .gpa = gpa,
				    .data = data,
				    .size_bytes = size_bytes };
	snprintf(one->name, sizeof(one->name), "%s", name);
	t->count++;
	return 0;
}

void arch_tables_release(struct arch_tables *t)
{
	for (unsigned i = 0; i < t->count; i++)
		free(t->table[i].data);
	memset(t, 0, sizeof(*t));
}

static const struct arch *const all[] = {
	&arch_x86_64,
	&arch_arm64,
#ifdef CONFIG_HOST_FAKE
	&arch_fake,
#endif
};

const struct arch *arch_native(void)
{
#if defined(__x86_64__)
	return &arch_x86_64;
#elif defined(__aarch64__)
	return &arch_arm64;
#else
#error "no architecture of ours"
#endif
}

const struct arch *arch_find(const char *name)
{
	for (unsigned i = 0; i < ARRAY_SIZE(all); i++)
		if (!strcmp(all[i]->name, name))
			return all[i];
	return NULL;
}
