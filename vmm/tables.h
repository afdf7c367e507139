/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: `spandrel tables`: firmware tables as files */
#ifndef VMM_TABLES_H
#define VMM_TABLES_H

#include <stdio.h>

#include "arch/arch.h"
#include "vmm/base/diag.h"

/**
 * tables_write - write each table into a file of its own
 * @t: the tables; their names become file names
 * @dir: directory, made if missing
 * @list: receives a line per file: path, size, guest-physical address
 * @d: names the file
 *
 * Return: 0 or -errno; after a failure none of the files is left, nor the
 * directory if it was made here.
 */
int tables_write(const struct arch_tables *t, const char *dir, FILE *list,
		 struct diag *d);

#endif
