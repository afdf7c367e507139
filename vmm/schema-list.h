/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: values of the schema that are lists, see schema.h
 *
 * A list is written [A,B,...]; one element needs no brackets. All lists begin
 * with a malloc'ed pointer and a count, and are all zero when they are empty.
 *
 * Threads: none; everything belongs to the caller.
 */
#ifndef VMM_SCHEMA_LIST_H
#define VMM_SCHEMA_LIST_H

#include "vmm/schema.h"

/** schema_is_list - does the key have one of the types of this file? */
bool schema_is_list(const struct schema_key *k);

/**
 * schema_read_number - digits from *@text on, hexadecimal behind 0x
 * @text: moved behind them
 *
 * Return: false if there is none or it does not fit; outputs untouched then.
 */
bool schema_read_number(const char **text, uint64_t *out);

/**
 * schema_list_read - the list that @text says
 * @k: its type and the range of its numbers
 * @list: replaced; untouched on failure
 *
 * Return: false if it is no such list, empty, too long, or out of memory.
 */
bool schema_list_read(const struct schema_key *k, const char *text, void *list);

/** schema_list_count - elements of the list */
unsigned schema_list_count(const void *list);

/** schema_list_print - so that schema_list_read() gives the same again */
void schema_list_print(const struct schema_key *k, const void *list, FILE *out);

/** schema_list_release - free it; it is empty then */
void schema_list_release(const struct schema_key *k, void *list);

#endif
