/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: values of the schema that are lists, see schema-list.h
 *
 * A table says for each type how one element is read, printed and freed; the
 * rest does not know what it is a list of.
 */
#include "vmm/schema-list.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/config.h"

#define LIST_MAX 1024 /* elements of one list: host CPUs, descriptors */

/** struct any_list - what all lists begin with */
struct any_list {
	char *v;
	unsigned count;
};

static_assert(offsetof(struct u32_list, count) ==
			      offsetof(struct any_list, count) &&
		      offsetof(struct affinity_list, count) ==
			      offsetof(struct any_list, count) &&
		      offsetof(struct pair_list, count) ==
			      offsetof(struct any_list, count) &&
		      offsetof(struct word_list, count) ==
			      offsetof(struct any_list, count),
	      "lists begin alike");

/* ---- numbers -------------------------------------------------------------*/

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 'a' ^ 'A';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : 16;
}

bool schema_read_number(const char **text, uint64_t *out)
{
	const char *p = *text, *first;
	unsigned base = p[0] == '0' && (p[1] == 'x' || p[1] == 'X') ? 16 : 10;
	uint64_t v = 0;

	first = p += base == 16 ? 2 : 0;
	for (; digit(*p) < (int)base; p++)
		if (!mul_u64(v, base, &v) ||
		    !add_u64(v, (uint64_t)digit(*p), &v))
			return false;
	if (p == first)
		return false;
	*text = p;
	*out = v;
	return true;
}

/* ---- elements ------------------------------------------------------------*/

static bool append(struct any_list *list, const void *element, size_t size)
{
	char *more;

	if (list->count == LIST_MAX)
		return false;
	more = realloc(list->v, (list->count + 1) * size);
	if (!more)
		return false;
	memcpy(more + list->count * size, element, size);
	list->v = more;
	list->count++;
	return true;
}

/* "3" or "3-5", each within the key's range. */
static bool read_u32(const char **text, const struct schema_key *k,
		     struct any_list *list)
{
	uint64_t first, last;

	if (!schema_read_number(text, &first))
		return false;
	last = first;
	if (**text == '-' && ++*text && !schema_read_number(text, &last))
		return false;
	if (first < k->min || last < first || last > k->max ||
	    last - first >= LIST_MAX)
		return false;
	for (; first <= last; first++)
		if (!append(list, &(uint32_t){ (uint32_t)first },
			    sizeof(uint32_t)))
			return false;
	return true;
}

static bool read_elements(const char **text, const struct schema_key *k,
			  bool (*element)(const char **text,
					  const struct schema_key *k,
					  struct any_list *list),
			  bool brackets, struct any_list *list)
{
	bool bracket = **text == '[', more = true;

	if (brackets && !bracket)
		return false;
	*text += bracket;
	while (more) {
		if (!element(text, k, list))
			return false;
		more = bracket && **text == ',';
		*text += more;
	}
	return !bracket || *(*text)++ == ']';
}

/* "N@" */
static bool read_index(const char **text, uint64_t *index)
{
	return schema_read_number(text, index) && *index < LIST_MAX &&
	       *(*text)++ == '@';
}

static bool read_affinity(const char **text, const struct schema_key *k,
			  struct any_list *list)
{
	struct any_list cpus = { .v = NULL };
	struct affinity one;
	uint64_t index;

	if (!read_index(text, &index))
		return false;
	if (read_elements(text, k, read_u32, false, &cpus)) {
		one.index = (uint32_t)index;
		one.cpus = (struct u32_list){ (void *)cpus.v, cpus.count };
		if (append(list, &one, sizeof(one)))
			return true;
	}
	free(cpus.v);
	return false;
}

static bool read_pair(const char **text, const struct schema_key *k,
		      struct any_list *list)
{
	uint64_t id, value;
	struct pair one;

	if (!read_index(text, &id) || !schema_read_number(text, &value) ||
	    value < k->min || value > k->max)
		return false;
	one = (struct pair){ (uint32_t)id, (uint32_t)value };
	return append(list, &one, sizeof(one));
}

static bool read_word(const char **text, const struct schema_key *k,
		      struct any_list *list)
{
	size_t len = strcspn(*text, ",[]");
	char *word;

	(void)k;
	if (!len)
		return false;
	word = strndup(*text, len);
	*text += len;
	if (word && append(list, &word, sizeof(word)))
		return true;
	free(word);
	return false;
}

static void print_u32(const void *element, FILE *out)
{
	fprintf(out, "%" PRIu32, *(const uint32_t *)element);
}

static void print_affinity(const void *element, FILE *out)
{
	const struct affinity *a = element;

	fprintf(out, "%" PRIu32 "@", a->index);
	for (unsigned i = 0; i < a->cpus.count; i++)
		fprintf(out, "%s%" PRIu32, i ? "," : "[", a->cpus.v[i]);
	fputc(']', out);
}

static void print_pair(const void *element, FILE *out)
{
	const struct pair *p = element;

	fprintf(out, "%" PRIu32 "@%" PRIu32, p->id, p->value);
}

static void print_word(const void *element, FILE *out)
{
	fputs(*(char *const *)element, out);
}

static void free_affinity(void *element)
{
	free(((struct affinity *)element)->cpus.v);
}

static void free_word(void *element)
{
	free(*(char **)element);
}

/* ---- lists ---------------------------------------------------------------*/

/* @brackets: also around one element */
static const struct kind {
	enum schema_type type;
	size_t size;
	bool brackets;
	bool (*read)(const char **text, const struct schema_key *k,
		     struct any_list *list);
	void (*print)(const void *element, FILE *out);
	void (*release)(void *element); /* NULL: nothing to free */
} kinds[] = {
	{ SCHEMA_U32S, sizeof(uint32_t), false, read_u32, print_u32, NULL },
	{ SCHEMA_AFFINITY, sizeof(struct affinity), true, read_affinity,
	  print_affinity, free_affinity },
	{ SCHEMA_PAIRS, sizeof(struct pair), false, read_pair, print_pair,
	  NULL },
	{ SCHEMA_WORDS, sizeof(char *), false, read_word, print_word,
	  free_word },
};

static const struct kind *kind_of(const struct schema_key *k)
{
	for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++)
		if (kinds[i].type == k->type)
			return &kinds[i];
	return NULL;
}

bool schema_is_list(const struct schema_key *k)
{
	return kind_of(k) != NULL;
}

/* Copied, as the compiler takes each kind of list for a type of its own. */
static struct any_list load(const void *list)
{
	struct any_list l;

	memcpy(&l, list, sizeof(l));
	return l;
}

bool schema_list_read(const struct schema_key *k, const char *text, void *list)
{
	const struct kind *kind = kind_of(k);
	struct any_list fresh = { .v = NULL };

	if (!read_elements(&text, k, kind->read, kind->brackets, &fresh) ||
	    *text) {
		schema_list_release(k, &fresh);
		return false;
	}
	schema_list_release(k, list);
	memcpy(list, &fresh, sizeof(fresh));
	return true;
}

unsigned schema_list_count(const void *list)
{
	return load(list).count;
}

void schema_list_print(const struct schema_key *k, const void *list, FILE *out)
{
	const struct kind *kind = kind_of(k);
	struct any_list l = load(list);

	for (unsigned i = 0; i < l.count; i++) {
		fputc(i ? ',' : '[', out);
		kind->print(l.v + i * kind->size, out);
	}
	fputc(']', out);
}

void schema_list_release(const struct schema_key *k, void *list)
{
	const struct kind *kind = kind_of(k);
	struct any_list l = load(list);

	for (unsigned i = 0; kind->release && i < l.count; i++)
		kind->release(l.v + i * kind->size);
	free(l.v);
	memcpy(list, &(struct any_list){ .v = NULL }, sizeof(l));
}
