/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: the schema: every option and key, described once
 *
 * A schema is a const table of options; an option has one value, or a list of
 * keys. Each key says its type, range, default, the field that it sets (by
 * offset into a config struct), and one line of documentation. The command
 * line, --help, the man page and shell completion are all made from it; a
 * field that is added to the table appears in all of them.
 *
 * Grammar of a list, Cloud Hypervisor's: elements separated by commas, each
 * KEY=VALUE or a bare word; commas inside [...] or "..." do not separate;
 * quotes are removed. Sizes are bytes with K, M, G or T behind them. Switches
 * are on, off, true or false. An empty value is an error.
 *
 * Threads: none; the tables are const, everything else belongs to the caller.
 */
#ifndef VMM_SCHEMA_H
#define VMM_SCHEMA_H

#include <stdio.h>

#include "vmm/base/diag.h"
#include "vmm/base/types.h"

/** enum schema_type - what a value looks like and what the field is */
enum schema_type {
	SCHEMA_STRING,	 /* char *: any text */
	SCHEMA_PATH,	 /* char *: the name of a file */
	SCHEMA_NAME,	 /* char *: the name of one of the choices */
	SCHEMA_U32,	 /* uint32_t */
	SCHEMA_U64,	 /* uint64_t: a count */
	SCHEMA_SIZE,	 /* uint64_t: bytes */
	SCHEMA_BOOL,	 /* bool: on or off */
	SCHEMA_ENUM,	 /* an enum: value of one of the choices */
	SCHEMA_SET,	 /* a or [a,b]: each choice's value is the offset of
			  * a bool */
	SCHEMA_TOPOLOGY, /* struct topology: four numbers with : between */
	SCHEMA_U32S,	 /* struct u32_list: 1 or [1,3-5] */
	SCHEMA_AFFINITY, /* struct affinity_list: [0@[1,2],1@[3-5]] */
	SCHEMA_PAIRS,	 /* struct pair_list: 0@20 or [0@20,1@30] */
	SCHEMA_WORDS,	 /* struct word_list: a or [a,b] */
	SCHEMA_FLAG,	 /* bool: an option without value */
	SCHEMA_COUNT,	 /* unsigned: how often the option was given */
};

/**
 * struct schema_choice - one word that a value can be
 * @name: the word
 * @value: enum value, or offset of a bool (SCHEMA_SET)
 * @arch: only on this architecture; NULL: on all
 * @later: the word is known but not supported yet; never accepted
 */
struct schema_choice {
	const char *name;
	size_t value;
	const char *arch;
	bool later;
};

/**
 * struct schema_key - one field
 * @name: key; NULL for an option's only value and for bare words in a list
 * @type: see enum schema_type
 * @lead: a list element without "=" is a value of this key
 * @aside: in a @one_of list, not the one
 * @arch: works only on this architecture; elsewhere there is no default, and
 *	only 0, off or auto is accepted
 * @offset: of the field in the config struct
 * @min, @max: limits of SCHEMA_U32, SCHEMA_U64 and SCHEMA_SIZE and of each
 *	number of the lists; @optional: 0, which cannot be given, means that
 *	nothing was given
 * @preset: default, written as a user would; NULL: 0, off, nothing
 * @choice, @choice_count: words for SCHEMA_ENUM, SCHEMA_NAME, SCHEMA_SET
 * @selects, @selects_offset: giving this key also sets the enum at
 *	@selects_offset to @selects; 0: it does not
 * @doc: one line without full stop
 * @since: version that had it first
 */
struct schema_key {
	const char *name;
	enum schema_type type;
	bool lead, optional, aside;
	const char *arch;
	size_t offset;
	uint64_t min, max;
	const char *preset;
	const struct schema_choice *choice;
	unsigned choice_count;
	unsigned selects;
	size_t selects_offset;
	const char *doc, *since;
};

/**
 * struct schema_option - one command line option
 * @name: without dashes; @letter: short form or 0
 * @group: heading in --help; options of a group are neighbours
 * @key, @key_count: fields; exactly one unless @list
 * @list: the value is a list of elements
 * @one_of: a list of exactly one element, beside those of keys that are @aside
 * @most: the option can be given that often, each time for an item of its own
 *	(a disk, a network card); 0: it has no items. @key offsets are then
 *	relative to the item, and a default that depends on the architecture
 *	is not possible
 * @id_prefix: what its items are called without a key "id": with their number
 *	behind it, except after "__"; NULL: they are no devices
 * @items_offset, @count_offset: where the config struct has the pointer to the
 *	items (malloc'ed) and their number (unsigned); @item_bytes: of one
 * @verbs: mask of enum cli_verb that know it (1 << verb)
 * @later: keys, separated by spaces, that are known but not supported yet
 * @doc, @since: as in struct schema_key
 */
struct schema_option {
	const char *name;
	const char *group;
	const struct schema_key *key;
	const char *later;
	const char *doc, *since;
	unsigned key_count;
	unsigned verbs;
	char letter;
	bool list, one_of;
	unsigned most;
	const char *id_prefix;
	size_t items_offset, count_offset, item_bytes;
};

/** struct schema - a table of options for one config struct */
struct schema {
	const struct schema_option *const *option;
	unsigned count;
};

/** SCHEMA_TEXT_BYTES - room for any text made by the schema_text_ functions */
#define SCHEMA_TEXT_BYTES 160

/**
 * schema_init - set every field that has a default
 * @base: the config struct, zeroed
 * @arch: name of the architecture
 *
 * Return: 0 or -ENOMEM. A default that does not parse is a bug (CHECK).
 */
int schema_init(const struct schema *s, void *base, const char *arch,
		struct diag *d);

/** schema_release - free all strings of @base and set them to NULL */
void schema_release(const struct schema *s, void *base);

/**
 * schema_find - the option of that name (without dashes)
 * @len: length of @name, which need not end there
 *
 * Return: the option, or NULL.
 */
const struct schema_option *schema_find(const struct schema *s,
					const char *name, size_t len);

/**
 * schema_parse - set fields from the value of one option
 * @o: the option
 * @value: what the user gave; NULL for SCHEMA_FLAG and SCHEMA_COUNT
 * @base: the config struct
 * @d: names option, key, value and the limit or the nearest key
 *
 * An option with items gets one more. Return: 0, -EINVAL, or -ENOMEM. On
 * failure some fields may have been set; @base can still be released.
 */
int schema_parse(const struct schema_option *o, const char *value, void *base,
		 struct diag *d);

/**
 * schema_check - are all fields within their ranges, on this architecture?
 * @arch: name of the architecture
 *
 * For configurations that were not made by schema_parse() as for those that
 * were. Return: 0 or -EINVAL.
 */
int schema_check(const struct schema *s, const void *base, const char *arch,
		 struct diag *d);

/** schema_count - how often the option would be given: its items, or 1 if any
 * field of it holds something to print */
unsigned schema_count(const struct schema_option *o, const void *base);

/**
 * schema_print - the value of one option as a user would give it, with all
 * its fields, without "--name "
 * @index: which item, below schema_count(); 0 for options without items
 *
 * schema_parse() of the text gives the same fields again.
 */
void schema_print(const struct schema_option *o, const void *base,
		  unsigned index, FILE *out);

/** schema_listed - is @word one of the space-separated words of @list? */
bool schema_listed(const char *list, const char *word, size_t len);

/**
 * struct schema_guess - search for the name that is nearest to a misspelt one
 * @best: nearest so far, NULL before the first
 * @distance: edits between the two
 */
struct schema_guess {
	const char *best;
	unsigned distance;
};

/** schema_guess - consider @name as what was meant by @word */
void schema_guess(struct schema_guess *g, const char *word, size_t len,
		  const char *name);

/** schema_text_value - placeholder of the key's value: "SIZE", "on|off";
 * "" if it has none; @buf holds SCHEMA_TEXT_BYTES; Return: @buf */
const char *schema_text_value(const struct schema_key *k, char *buf);

/** schema_text_limits - range, default and architecture of a key, each with
 * "; " in front: "; 1 to 4096; default 1"; @buf as above; Return: @buf */
const char *schema_text_limits(const struct schema_key *k, char *buf);

/**
 * schema_each - print the options that have a group, in their order
 * @out: where to
 * @heading: called with each group's name, before its first option
 * @option: called with each option
 */
void schema_each(const struct schema *s, FILE *out,
		 void (*heading)(FILE *out, const char *group),
		 void (*option)(FILE *out, const struct schema_option *o));

/** schema_takes_value - does the option have a value? */
bool schema_takes_value(const struct schema_option *o);

#endif
