/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: arch: what all architectures share, see arch.h
 */
#include <stdlib.h>
#include <string.h>

#include "arch/arch.h"

void arch_tables_release(struct arch_tables *t)
{
	for (unsigned i = 0; i < t->count; i++)
		free(t->table[i].data);
	memset(t, 0, sizeof(*t));
}
