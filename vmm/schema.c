/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: reading, checking and printing values by the schema
 *
 * Order: text of values, reading one value by its type, lists, whole options,
 * checks, printing. Every refusal goes through refuse(), so that all of them
 * read "--option key=value: what it must be".
 */
#include "vmm/schema.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/check.h"
#include "vmm/config.h"
#include "vmm/schema-list.h"

/* Enums are stored through unsigned; strings from users are cut in messages
 * so that the remedy behind them is never lost. */
static_assert(sizeof(enum char_mode) == sizeof(unsigned), "enum size");
#define SHOWN "%.100s"

#define NAME_MAX_BYTES 32

static const char size_units[] = "KMGT";

static void *field(void *base, size_t offset)
{
	return (char *)base + offset;
}

static const void *field_const(const void *base, size_t offset)
{
	return (const char *)base + offset;
}

/* ---- texts ---------------------------------------------------------------*/

static const char *size_text(uint64_t v, char *buf)
{
	unsigned unit = 0;

	while (unit < 4 && v && !(v & 1023)) {
		v >>= 10;
		unit++;
	}
	snprintf(buf, SCHEMA_TEXT_BYTES, "%" PRIu64 "%.1s", v,
		 unit ? size_units + unit - 1 : "");
	return buf;
}

/* "a, b or c" with @comma ", " and @last " or " */
static const char *choices_text(const struct schema_key *k, const char *comma,
				const char *last, char *buf)
{
	const char *names[16];
	unsigned count = 0;
	size_t used = 0;

	for (unsigned i = 0; i < k->choice_count; i++)
		if (!k->choice[i].later && count < ARRAY_SIZE(names))
			names[count++] = k->choice[i].name;
	buf[0] = '\0';
	for (unsigned i = 0; i < count && used < SCHEMA_TEXT_BYTES; i++)
		used += (size_t)snprintf(buf + used, SCHEMA_TEXT_BYTES - used,
					 "%s%s", names[i],
					 i + 1 == count	  ? ""
					 : i + 2 == count ? last
							  : comma);
	return buf;
}

const char *schema_text_value(const struct schema_key *k, char *buf)
{
	static const char *const fixed[] = {
		[SCHEMA_STRING] = "TEXT",
		[SCHEMA_PATH] = "FILE",
		[SCHEMA_U32] = "N",
		[SCHEMA_SIZE] = "SIZE",
		[SCHEMA_U64] = "N",
		[SCHEMA_U32S] = "[N,...]",
		[SCHEMA_AFFINITY] = "[N@[CPU,...],...]",
		[SCHEMA_PAIRS] = "[N@VALUE,...]",
		[SCHEMA_WORDS] = "[TEXT,...]",
		[SCHEMA_BOOL] = "on|off",
		[SCHEMA_TOPOLOGY] = "T:C:D:P",
		[SCHEMA_FLAG] = "",
		[SCHEMA_COUNT] = "",
	};
	char words[SCHEMA_TEXT_BYTES];

	if (k->type == SCHEMA_ENUM || k->type == SCHEMA_NAME)
		return choices_text(k, "|", "|", buf);
	if (k->type == SCHEMA_SET)
		snprintf(buf, SCHEMA_TEXT_BYTES, "[%.150s]",
			 choices_text(k, ",", ",", words));
	else
		snprintf(buf, SCHEMA_TEXT_BYTES, "%s", fixed[k->type]);
	return buf;
}

static const char *range_text(const struct schema_key *k, char *buf)
{
	char low[SCHEMA_TEXT_BYTES], high[SCHEMA_TEXT_BYTES];

	buf[0] = '\0';
	if ((k->type == SCHEMA_U32 || k->type == SCHEMA_U32S ||
	     k->type == SCHEMA_PAIRS || k->type == SCHEMA_U64) &&
	    k->max != UINT64_MAX)
		snprintf(buf, SCHEMA_TEXT_BYTES, "%" PRIu64 " to %" PRIu64,
			 k->min, k->max);
	if (k->type == SCHEMA_SIZE && k->max != UINT64_MAX)
		snprintf(buf, SCHEMA_TEXT_BYTES, "%.40s to %.40s",
			 size_text(k->min, low), size_text(k->max, high));
	return buf;
}

const char *schema_text_limits(const struct schema_key *k, char *buf)
{
	char range[SCHEMA_TEXT_BYTES];

	range_text(k, range);
	snprintf(buf, SCHEMA_TEXT_BYTES, "%s%.60s%s%.60s%s%s",
		 range[0] ? "; " : "", range, k->preset ? "; default " : "",
		 k->preset ? k->preset : "", k->arch ? "; only on " : "",
		 k->arch ? k->arch : "");
	return buf;
}

static const char *must_text(const struct schema_key *k, char *buf)
{
	char part[SCHEMA_TEXT_BYTES];

	switch (k->type) {
	case SCHEMA_U32:
	case SCHEMA_U64:
		range_text(k, part);
		snprintf(buf, SCHEMA_TEXT_BYTES, "must be a number%s%.100s",
			 part[0] ? ", " : "", part);
		break;
	case SCHEMA_U32S:
		snprintf(buf, SCHEMA_TEXT_BYTES,
			 "must be [LIST] of numbers, each %.80s",
			 range_text(k, part));
		break;
	case SCHEMA_AFFINITY:
		snprintf(buf, SCHEMA_TEXT_BYTES,
			 "must be [QUEUE@[CPU,...],...], such as "
			 "[0@[1,2],1@[3-5]]");
		break;
	case SCHEMA_PAIRS:
		snprintf(buf, SCHEMA_TEXT_BYTES,
			 "must be [N@VALUE,...], each value %.80s",
			 range_text(k, part));
		break;
	case SCHEMA_WORDS:
		snprintf(buf, SCHEMA_TEXT_BYTES,
			 "must be [LIST] of words that are not empty");
		break;
	case SCHEMA_SIZE:
		range_text(k, part);
		snprintf(buf, SCHEMA_TEXT_BYTES,
			 "must be a size such as 512M%s%.100s",
			 part[0] ? ", " : "", part);
		break;
	case SCHEMA_BOOL:
		snprintf(buf, SCHEMA_TEXT_BYTES, "must be on or off");
		break;
	case SCHEMA_TOPOLOGY:
		snprintf(buf, SCHEMA_TEXT_BYTES,
			 "must be four numbers from 1 up, "
			 "threads:cores:dies:packages");
		break;
	case SCHEMA_SET:
		snprintf(buf, SCHEMA_TEXT_BYTES, "must be [LIST] of %.120s",
			 choices_text(k, ", ", " and ", part));
		break;
	case SCHEMA_ENUM:
	case SCHEMA_NAME:
		snprintf(buf, SCHEMA_TEXT_BYTES, "must be %.140s",
			 choices_text(k, ", ", " or ", part));
		break;
	case SCHEMA_STRING:
	case SCHEMA_PATH:
	case SCHEMA_FLAG:
	case SCHEMA_COUNT:
		snprintf(buf, SCHEMA_TEXT_BYTES, "must not be empty");
		break;
	}
	return buf;
}

/* ---- refusals ------------------------------------------------------------*/

static int refuse(const struct schema_option *o, const struct schema_key *k,
		  const char *value, const char *why, struct diag *d)
{
	const char *key = k && k->name ? k->name : "";

	return diag_fail(d, EINVAL, "--%s%s%s%s" SHOWN ": %s", o->name,
			 *key || *value ? " " : "", key, *key ? "=" : "", value,
			 why);
}

static int refuse_value(const struct schema_option *o,
			const struct schema_key *k, const char *value,
			struct diag *d)
{
	char must[SCHEMA_TEXT_BYTES];

	return refuse(o, k, value, must_text(k, must), d);
}

/* ---- guessing what was meant ---------------------------------------------*/

static unsigned edit_distance(const char *a, size_t a_len, const char *b,
			      size_t b_len)
{
	unsigned row[NAME_MAX_BYTES + 1];

	for (unsigned j = 0; j <= b_len; j++)
		row[j] = j;
	for (unsigned i = 1; i <= a_len; i++) {
		unsigned diagonal = row[0];

		row[0] = i;
		for (unsigned j = 1; j <= b_len; j++) {
			unsigned change = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			row[j] = MIN(change, MIN(row[j], row[j - 1]) + 1);
		}
	}
	return row[b_len];
}

void schema_guess(struct schema_guess *g, const char *word, size_t len,
		  const char *name)
{
	unsigned distance = edit_distance(word, MIN(len, NAME_MAX_BYTES), name,
					  MIN(strlen(name), NAME_MAX_BYTES));

	/* What somebody stopped typing is nearer than any other word. */
	if (len && !strncmp(name, word, len))
		distance = 0;
	if (g->best && g->distance <= distance)
		return;
	g->best = name;
	g->distance = distance;
}

bool schema_listed(const char *list, const char *word, size_t len)
{
	while (list && *list) {
		size_t n = strcspn(list, " ");

		if (n == len && !memcmp(list, word, len))
			return true;
		list += n + strspn(list + n, " ");
	}
	return false;
}

static int refuse_key(const struct schema_option *o, const char *element,
		      struct diag *d)
{
	size_t len = strcspn(element, "=");
	struct schema_guess g = { .best = NULL };
	int shown = (int)MIN(len, 60);

	if (schema_listed(o->later, element, len))
		return diag_fail(d, EINVAL, "--%s %.*s: not supported yet",
				 o->name, shown, element);
	for (unsigned i = 0; i < o->key_count; i++) {
		const struct schema_key *k = &o->key[i];

		if (k->name)
			schema_guess(&g, element, len, k->name);
		for (unsigned j = 0; !k->name && j < k->choice_count; j++)
			schema_guess(&g, element, len, k->choice[j].name);
	}
	return diag_fail(d, EINVAL,
			 "--%s %.*s: there is no such key; the nearest is %s",
			 o->name, shown, element, g.best);
}

/* ---- reading one value ---------------------------------------------------*/

static bool read_size(const char *text, uint64_t *out)
{
	static const char units[] = "KkMmGgTt";
	const char *unit;
	uint64_t v;

	if (!schema_read_number(&text, &v))
		return false;
	if (*text) {
		unit = strchr(units, *text++);
		if (!unit ||
		    !mul_u64(v, KIB(1) << (10 * ((unit - units) / 2)), &v))
			return false;
	}
	if (*text)
		return false;
	*out = v;
	return true;
}

static bool read_topology(const char *text, struct topology *out)
{
	uint64_t part[4];

	for (unsigned i = 0; i < 4; i++) {
		if (!schema_read_number(&text, &part[i]) || !part[i] ||
		    part[i] > UINT32_MAX || *text != (i < 3 ? ':' : '\0'))
			return false;
		text++;
	}
	*out = (struct topology){
		.threads_per_core = (uint32_t)part[0],
		.cores_per_die = (uint32_t)part[1],
		.dies_per_package = (uint32_t)part[2],
		.packages = (uint32_t)part[3],
	};
	return true;
}

static bool read_switch(const char *text, bool *out)
{
	static const struct {
		const char *word;
		bool value;
	} words[] = {
		{ "on", true },
		{ "off", false },
		{ "true", true },
		{ "false", false },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(words); i++) {
		if (strcasecmp(text, words[i].word) != 0)
			continue;
		*out = words[i].value;
		return true;
	}
	return false;
}

static const struct schema_choice *find_choice(const struct schema_key *k,
					       const char *word, size_t len)
{
	for (unsigned i = 0; i < k->choice_count; i++)
		if (strlen(k->choice[i].name) == len &&
		    !memcmp(k->choice[i].name, word, len))
			return &k->choice[i];
	return NULL;
}

/* One word of the choices, or NULL and the reason is in @d. */
static const struct schema_choice *read_choice(const struct schema_option *o,
					       const struct schema_key *k,
					       const char *word, size_t len,
					       struct diag *d)
{
	const struct schema_choice *c = find_choice(k, word, len);
	char text[SCHEMA_TEXT_BYTES];

	if (c && !c->later)
		return c;
	snprintf(text, sizeof(text), "%.*s", (int)MIN(len, 100), word);
	if (c)
		refuse(o, k, text, "not supported yet", d);
	else
		refuse_value(o, k, text, d);
	return NULL;
}

static int set_string(const struct schema_key *k, const char *value, void *base,
		      struct diag *d)
{
	char **where = field(base, k->offset);
	char *copy = strdup(value);

	if (!copy)
		return diag_fail(d, ENOMEM, "out of memory");
	free(*where);
	*where = copy;
	return 0;
}

static int set_set(const struct schema_option *o, const struct schema_key *k,
		   const char *value, void *base, struct diag *d)
{
	size_t rest = strlen(value);
	const struct schema_choice *c;

	for (unsigned i = 0; i < k->choice_count; i++)
		if (!k->choice[i].later)
			*(bool *)field(base, k->choice[i].value) = false;
	if (rest >= 2 && value[0] == '[' && value[rest - 1] == ']') {
		value++;
		rest -= 2;
		if (!rest)
			return 0;
	}
	for (;;) {
		size_t len = strcspn(value, ",");

		len = MIN(len, rest);
		c = read_choice(o, k, value, len, d);
		if (!c)
			return -EINVAL;
		if (*(bool *)field(base, c->value))
			return refuse(o, k, c->name, "given twice", d);
		*(bool *)field(base, c->value) = true;
		if (len == rest)
			return 0;
		value += len + 1;
		rest -= len + 1;
	}
}

static int set_number(const struct schema_option *o, const struct schema_key *k,
		      const char *value, void *base, struct diag *d)
{
	const char *end = value;
	uint64_t v = 0;
	bool ok;

	if (k->type == SCHEMA_SIZE)
		ok = read_size(value, &v);
	else
		ok = schema_read_number(&end, &v) && !*end;
	if (!ok || v < k->min || v > k->max)
		return refuse_value(o, k, value, d);
	if (k->type == SCHEMA_SIZE || k->type == SCHEMA_U64)
		*(uint64_t *)field(base, k->offset) = v;
	else
		*(uint32_t *)field(base, k->offset) = (uint32_t)v;
	return 0;
}

static int set_choice(const struct schema_option *o, const struct schema_key *k,
		      const char *value, void *base, struct diag *d)
{
	const struct schema_choice *c;

	c = read_choice(o, k, value, strlen(value), d);
	if (!c)
		return -EINVAL;
	if (k->type == SCHEMA_NAME)
		return set_string(k, c->name, base, d);
	*(unsigned *)field(base, k->offset) = (unsigned)c->value;
	return 0;
}

static int set_value(const struct schema_option *o, const struct schema_key *k,
		     const char *value, void *base, struct diag *d)
{
	bool ok = value[0] != '\0';

	if (!ok)
		return refuse(o, k, value, "must not be empty", d);
	switch (k->type) {
	case SCHEMA_STRING:
	case SCHEMA_PATH:
		return set_string(k, value, base, d);
	case SCHEMA_U32:
	case SCHEMA_U64:
	case SCHEMA_SIZE:
		return set_number(o, k, value, base, d);
	case SCHEMA_U32S:
	case SCHEMA_AFFINITY:
	case SCHEMA_PAIRS:
	case SCHEMA_WORDS:
		ok = schema_list_read(k, value, field(base, k->offset));
		break;
	case SCHEMA_NAME:
	case SCHEMA_ENUM:
		return set_choice(o, k, value, base, d);
	case SCHEMA_SET:
		return set_set(o, k, value, base, d);
	case SCHEMA_BOOL:
		ok = read_switch(value, field(base, k->offset));
		break;
	case SCHEMA_TOPOLOGY:
		ok = read_topology(value, field(base, k->offset));
		break;
	case SCHEMA_FLAG:
	case SCHEMA_COUNT:
		return diag_fail(d, EINVAL, "--%s takes no value", o->name);
	}
	return ok ? 0 : refuse_value(o, k, value, d);
}

/* ---- lists ---------------------------------------------------------------*/

/*
 * Cut the next element off *@cursor, in place, and remove its quotes.
 * *@cursor becomes NULL behind the last one. Return: the element, or NULL if
 * brackets or quotes do not match.
 */
static char *next_element(char **cursor)
{
	char *start = *cursor, *out = start, *in = start;
	bool quoted = false;
	int depth = 0;

	for (; *in && (*in != ',' || quoted || depth); in++) {
		if (*in == '"') {
			quoted = !quoted;
			continue;
		}
		if (!quoted)
			depth += (*in == '[') - (*in == ']');
		if (depth < 0)
			return NULL;
		*out++ = *in;
	}
	if (quoted || depth)
		return NULL;
	*cursor = *in ? in + 1 : NULL;
	*out = '\0';
	return start;
}

/* The key that @element gives, and its value. */
static const struct schema_key *
find_key(const struct schema_option *o, const char *element, const char **value)
{
	size_t len = strcspn(element, "=");

	for (unsigned i = 0; i < o->key_count; i++) {
		const struct schema_key *k = &o->key[i];

		*value = element;
		if (!element[len] && !k->name && find_choice(k, element, len))
			return k;
		if (!element[len] && k->lead)
			return k;
		if (!element[len] || !k->name || strlen(k->name) != len ||
		    memcmp(k->name, element, len) != 0)
			continue;
		*value = element + len + 1;
		return k;
	}
	return NULL;
}

static bool has_key(const struct schema_option *o, const char *name)
{
	for (unsigned i = 0; i < o->key_count; i++)
		if (o->key[i].name && !strcmp(o->key[i].name, name))
			return true;
	return false;
}

/* The keys of a one_of list of which one can be given. */
static uint64_t main_keys(const struct schema_option *o)
{
	uint64_t keys = 0;

	for (unsigned i = 0; i < o->key_count; i++)
		keys |= (uint64_t)!o->key[i].aside << i;
	return keys;
}

static int parse_element(const struct schema_option *o, const char *element,
			 uint64_t *seen, void *base, struct diag *d)
{
	const struct schema_key *k;
	const char *value;
	int ret;

	if (has_key(o, element))
		return refuse(o, NULL, element, "needs a value, KEY=VALUE", d);
	k = find_key(o, element, &value);
	if (!k || (k->lead && value == element &&
		   !(element[0] >= '0' && element[0] <= '9')))
		return refuse_key(o, element, d);
	if (*seen & 1ull << (k - o->key))
		return diag_fail(d, EINVAL, "--%s %s: given twice", o->name,
				 k->name ? k->name : element);
	if (o->one_of && !k->aside && *seen & main_keys(o))
		return refuse(o, NULL, element, "only one can be given", d);
	*seen |= 1ull << (k - o->key);
	ret = set_value(o, k, value, base, d);
	if (!ret && k->selects)
		*(unsigned *)field(base, k->selects_offset) = k->selects;
	return ret;
}

static int parse_list(const struct schema_option *o, const char *value,
		      void *base, struct diag *d)
{
	char *copy = strdup(value), *cursor = copy, *element;
	uint64_t seen = 0;
	int ret = 0;

	if (!copy)
		return diag_fail(d, ENOMEM, "out of memory");
	while (!ret && cursor) {
		element = next_element(&cursor);
		if (!element)
			ret = refuse(o, NULL, value,
				     "brackets or quotes do not match", d);
		else if (!*element)
			ret = refuse(o, NULL, value, "an element is empty", d);
		else
			ret = parse_element(o, element, &seen, base, d);
	}
	free(copy);
	return ret;
}

/* ---- options -------------------------------------------------------------*/

bool schema_takes_value(const struct schema_option *o)
{
	return o->list || (o->key[0].type != SCHEMA_FLAG &&
			   o->key[0].type != SCHEMA_COUNT);
}

const struct schema_option *schema_find(const struct schema *s,
					const char *name, size_t len)
{
	for (unsigned i = 0; i < s->count; i++)
		if (strlen(s->option[i]->name) == len &&
		    !memcmp(s->option[i]->name, name, len))
			return s->option[i];
	return NULL;
}

static bool elsewhere(const char *only, const char *arch)
{
	return only && arch && strcmp(only, arch) != 0;
}

static int preset_option(const struct schema_option *o, void *base,
			 const char *arch, struct diag *d)
{
	for (unsigned i = 0; i < o->key_count; i++) {
		const struct schema_key *k = &o->key[i];
		int ret;

		if (!k->preset || elsewhere(k->arch, arch))
			continue;
		ret = set_value(o, k, k->preset, base, d);
		CHECK(ret != -EINVAL);
		if (ret)
			return ret;
	}
	return 0;
}

static unsigned item_count(const struct schema_option *o, const void *base)
{
	return *(const unsigned *)field_const(base, o->count_offset);
}

/* What the offsets of @o's keys are relative to. */
static void *item(const struct schema_option *o, void *base, unsigned index)
{
	if (!o->most)
		return base;
	return *(char **)field(base, o->items_offset) + index * o->item_bytes;
}

static const void *item_const(const struct schema_option *o, const void *base,
			      unsigned index)
{
	if (!o->most)
		return base;
	return *(const char *const *)field_const(base, o->items_offset) +
	       index * o->item_bytes;
}

/* One more item, with its defaults. */
static int add_item(const struct schema_option *o, void *base, struct diag *d)
{
	unsigned count = item_count(o, base);
	char **items = field(base, o->items_offset), *more;

	if (count == o->most && o->most == 1)
		return diag_fail(d, EINVAL, "--%s: given twice", o->name);
	if (count == o->most)
		return diag_fail(d, EINVAL, "--%s: given more than %u times",
				 o->name, o->most);
	more = realloc(*items, (count + 1) * o->item_bytes);
	if (!more)
		return diag_fail(d, ENOMEM, "out of memory");
	memset(more + count * o->item_bytes, 0, o->item_bytes);
	*items = more;
	*(unsigned *)field(base, o->count_offset) = count + 1;
	return preset_option(o, item(o, base, count), NULL, d);
}

int schema_parse(const struct schema_option *o, const char *value, void *base,
		 struct diag *d)
{
	const struct schema_key *k = o->key;
	int ret;

	if (schema_takes_value(o) && !value)
		return diag_fail(d, EINVAL, "--%s needs a value", o->name);
	if (o->most) {
		ret = add_item(o, base, d);
		if (ret)
			return ret;
		base = item(o, base, item_count(o, base) - 1);
	}
	if (o->list && value)
		return parse_list(o, value, base, d);
	if (value)
		return set_value(o, k, value, base, d);
	if (k->type == SCHEMA_FLAG)
		*(bool *)field(base, k->offset) = true;
	else
		++*(unsigned *)field(base, k->offset);
	return 0;
}

int schema_init(const struct schema *s, void *base, const char *arch,
		struct diag *d)
{
	int ret = 0;

	for (unsigned i = 0; i < s->count && !ret; i++)
		if (!s->option[i]->most)
			ret = preset_option(s->option[i], base, arch, d);
	return ret;
}

static void release_key(const struct schema_key *k, void *base)
{
	void *f = field(base, k->offset);

	switch (k->type) {
	case SCHEMA_STRING:
	case SCHEMA_PATH:
	case SCHEMA_NAME:
		free(*(char **)f);
		*(char **)f = NULL;
		break;
	case SCHEMA_U32S:
	case SCHEMA_AFFINITY:
	case SCHEMA_PAIRS:
	case SCHEMA_WORDS:
		schema_list_release(k, f);
		break;
	case SCHEMA_U32:
	case SCHEMA_U64:
	case SCHEMA_SIZE:
	case SCHEMA_BOOL:
	case SCHEMA_ENUM:
	case SCHEMA_SET:
	case SCHEMA_TOPOLOGY:
	case SCHEMA_FLAG:
	case SCHEMA_COUNT:
		break;
	}
}

static void release_option(const struct schema_option *o, void *base)
{
	unsigned count = o->most ? item_count(o, base) : 1;
	char **items = field(base, o->items_offset);

	for (unsigned i = 0; i < count; i++)
		for (unsigned j = 0; j < o->key_count; j++)
			release_key(&o->key[j], item(o, base, i));
	if (!o->most)
		return;
	free(*items);
	*items = NULL;
	*(unsigned *)field(base, o->count_offset) = 0;
}

void schema_release(const struct schema *s, void *base)
{
	for (unsigned i = 0; i < s->count; i++)
		release_option(s->option[i], base);
}

/* ---- from fields back to text --------------------------------------------*/

static const char *set_text(const struct schema_key *k, const void *base,
			    char *buf)
{
	size_t used = 0;

	for (unsigned i = 0; i < k->choice_count; i++) {
		const struct schema_choice *c = &k->choice[i];

		if (c->later || !*(const bool *)field_const(base, c->value))
			continue;
		used += (size_t)snprintf(buf + used, SCHEMA_TEXT_BYTES - used,
					 "%s%s", used ? "," : "[", c->name);
	}
	if (!used)
		return NULL;
	snprintf(buf + used, SCHEMA_TEXT_BYTES - used, "]");
	return buf;
}

static const char *topology_text(const struct topology *t, char *buf)
{
	if (!t->threads_per_core)
		return NULL;
	snprintf(buf, SCHEMA_TEXT_BYTES,
		 "%" PRIu32 ":%" PRIu32 ":%" PRIu32 ":%" PRIu32,
		 t->threads_per_core, t->cores_per_die, t->dies_per_package,
		 t->packages);
	return buf;
}

static const char *enum_text(const struct schema_key *k, unsigned value)
{
	for (unsigned i = 0; i < k->choice_count; i++)
		if (k->choice[i].value == value && !k->choice[i].later)
			return k->choice[i].name;
	return NULL;
}

/* The field as a user would write it, NULL if it is not set. */
static const char *field_text(const struct schema_key *k, const void *base,
			      char *buf)
{
	const void *f = field_const(base, k->offset);
	uint32_t v;

	switch (k->type) {
	case SCHEMA_STRING:
	case SCHEMA_PATH:
	case SCHEMA_NAME:
		return *(const char *const *)f;
	case SCHEMA_U32:
		v = *(const uint32_t *)f;
		snprintf(buf, SCHEMA_TEXT_BYTES, "%" PRIu32, v);
		return k->optional && !v ? NULL : buf;
	case SCHEMA_U64:
		snprintf(buf, SCHEMA_TEXT_BYTES, "%" PRIu64,
			 *(const uint64_t *)f);
		return k->optional && !*(const uint64_t *)f ? NULL : buf;
	case SCHEMA_SIZE:
		size_text(*(const uint64_t *)f, buf);
		return k->optional && !*(const uint64_t *)f ? NULL : buf;
	case SCHEMA_U32S:
	case SCHEMA_AFFINITY:
	case SCHEMA_PAIRS:
	case SCHEMA_WORDS:
		return schema_list_count(f) ? "" : NULL;
	case SCHEMA_BOOL:
		return *(const bool *)f ? "on" : "off";
	case SCHEMA_ENUM:
		return enum_text(k, *(const unsigned *)f);
	case SCHEMA_SET:
		return set_text(k, base, buf);
	case SCHEMA_TOPOLOGY:
		return topology_text(f, buf);
	case SCHEMA_FLAG:
		return *(const bool *)f ? "" : NULL;
	case SCHEMA_COUNT:
		return *(const unsigned *)f ? "" : NULL;
	}
	return NULL;
}

unsigned schema_count(const struct schema_option *o, const void *base)
{
	char buf[SCHEMA_TEXT_BYTES];

	if (o->most)
		return item_count(o, base);
	for (unsigned i = 0; i < o->key_count; i++)
		if (field_text(&o->key[i], base, buf))
			return 1;
	return 0;
}

static void print_value(const struct schema_option *o,
			const struct schema_key *k, const void *base,
			const char *text, FILE *out)
{
	const char *quote = "";

	if (schema_is_list(k))
		schema_list_print(k, field_const(base, k->offset), out);
	if (o->list && k->type != SCHEMA_SET && text[strcspn(text, ",[]")])
		quote = "\"";
	fprintf(out, "%s%s%s", quote, text, quote);
}

void schema_print(const struct schema_option *o, const void *base,
		  unsigned index, FILE *out)
{
	bool any = false;

	base = item_const(o, base, index);
	for (unsigned i = 0; i < o->key_count; i++) {
		const struct schema_key *k = &o->key[i];
		char buf[SCHEMA_TEXT_BYTES];
		const char *text = field_text(k, base, buf);

		if (!text)
			continue;
		fprintf(out, "%s%s%s", any ? "," : "", k->name ? k->name : "",
			k->name ? "=" : "");
		print_value(o, k, base, text, out);
		any = true;
	}
}

/* ---- checks --------------------------------------------------------------*/

static int check_range(const struct schema_option *o,
		       const struct schema_key *k, const void *base,
		       struct diag *d)
{
	const void *f = field_const(base, k->offset);
	char buf[SCHEMA_TEXT_BYTES];
	uint64_t v;

	if (k->type == SCHEMA_U32)
		v = *(const uint32_t *)f;
	else if (k->type == SCHEMA_SIZE || k->type == SCHEMA_U64)
		v = *(const uint64_t *)f;
	else
		return 0;
	if ((k->optional && !v) || (v >= k->min && v <= k->max))
		return 0;
	return refuse_value(o, k, field_text(k, base, buf), d);
}

static int refuse_arch(const struct schema_option *o,
		       const struct schema_key *k, const char *value,
		       const char *only, const char *arch, struct diag *d)
{
	if (!k->name || !value)
		return diag_fail(d, EINVAL,
				 "--%s: only on %s, this machine is %s",
				 o->name, only, arch);
	return diag_fail(d, EINVAL,
			 "--%s %s=" SHOWN ": only on %s, this machine is %s",
			 o->name, k->name, value, only, arch);
}

static int check_set(const struct schema_option *o, const struct schema_key *k,
		     const void *base, const char *arch, struct diag *d)
{
	for (unsigned i = 0; i < k->choice_count; i++) {
		const struct schema_choice *c = &k->choice[i];

		if (!c->later && elsewhere(c->arch, arch) &&
		    *(const bool *)field_const(base, c->value))
			return refuse_arch(o, k, c->name, c->arch, arch, d);
	}
	return 0;
}

static int check_arch(const struct schema_option *o, const struct schema_key *k,
		      const void *base, const char *arch, struct diag *d)
{
	const void *f = field_const(base, k->offset);
	char buf[SCHEMA_TEXT_BYTES];
	bool set = true;

	if (k->type == SCHEMA_SET)
		return check_set(o, k, base, arch, d);
	if (!elsewhere(k->arch, arch))
		return 0;
	if (k->type == SCHEMA_BOOL)
		set = *(const bool *)f;
	else if (k->type == SCHEMA_ENUM)
		set = *(const unsigned *)f != 0;
	else if (k->type == SCHEMA_STRING || k->type == SCHEMA_PATH)
		set = *(const char *const *)f != NULL;
	if (!set)
		return 0;
	return refuse_arch(o, k, field_text(k, base, buf), k->arch, arch, d);
}

static int check_item(const struct schema_option *o, const void *base,
		      const char *arch, struct diag *d)
{
	int ret = 0;

	for (unsigned i = 0; i < o->key_count && !ret; i++) {
		ret = check_range(o, &o->key[i], base, d);
		if (!ret)
			ret = check_arch(o, &o->key[i], base, arch, d);
	}
	return ret;
}

static int check_option(const struct schema_option *o, const void *base,
			const char *arch, struct diag *d)
{
	unsigned count = o->most ? item_count(o, base) : 1;
	int ret = 0;

	for (unsigned i = 0; i < count && !ret; i++)
		ret = check_item(o, item_const(o, base, i), arch, d);
	return ret;
}

int schema_check(const struct schema *s, const void *base, const char *arch,
		 struct diag *d)
{
	int ret = 0;

	for (unsigned i = 0; i < s->count && !ret; i++)
		ret = check_option(s->option[i], base, arch, d);
	return ret;
}

void schema_each(const struct schema *s, FILE *out,
		 void (*heading)(FILE *out, const char *group),
		 void (*option)(FILE *out, const struct schema_option *o))
{
	const char *group = NULL;

	for (unsigned i = 0; i < s->count; i++) {
		const struct schema_option *o = s->option[i];

		if (!o->group)
			continue;
		if (!group || strcmp(group, o->group) != 0)
			heading(out, o->group);
		group = o->group;
		option(out, o);
	}
}
