/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: what the machine calls itself, see identity.h
 *
 * SMBIOS strings are bytes without NUL; only printable ASCII is taken, which
 * every tool shows as it is. A UUID is stored as DSP0134 sec. 7.2.1 has it:
 * its first three groups as little-endian numbers.
 */
#include "vmm/identity.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#define UUID_CHARS 36

static bool printable(const char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			return false;
	return true;
}

static int check_text(const char *key, const char *text, size_t max,
		      struct diag *d)
{
	if (!text)
		return 0;
	if (!printable(text))
		return diag_fail(d, EINVAL,
				 "--platform %s: must be printable ASCII "
				 "characters",
				 key);
	if (strlen(text) > max)
		return diag_fail(d, EINVAL,
				 "--platform %s: has %zu characters, must be "
				 "at most %zu",
				 key, strlen(text), max);
	return 0;
}

#define AT(member) offsetof(struct platform_config, member)

/* @plain: a string like any other */
static const struct key {
	const char *name;
	size_t at;
	bool plain;
} keys[] = {
	{ "system_manufacturer", AT(system_manufacturer), true },
	{ "system_product_name", AT(system_product_name), true },
	{ "system_version", AT(system_version), true },
	{ "system_serial_number", AT(system_serial_number), true },
	{ "serial_number", AT(serial_number), true },
	{ "system_sku_number", AT(system_sku_number), true },
	{ "system_family", AT(system_family), true },
	{ "chassis_asset_tag", AT(chassis_asset_tag), true },
	{ "system_uuid", AT(system_uuid), false },
	{ "uuid", AT(uuid), false },
	{ "oem_strings", AT(oem_strings), false },
};

static const char *value(const struct platform_config *c, const struct key *k)
{
	return *(char *const *)(const void *)((const char *)c + k->at);
}

const char *identity_given(const struct platform_config *c)
{
	for (unsigned i = 0; i < ARRAY_SIZE(keys); i++)
		if (value(c, &keys[i]))
			return keys[i].name;
	return NULL;
}

static int check_texts(const struct platform_config *c, struct diag *d)
{
	int err = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(keys) && !err; i++)
		if (keys[i].plain)
			err = check_text(keys[i].name, value(c, &keys[i]),
					 IDENTITY_TEXT_MAX, d);
	return err;
}

static int nibble(char c)
{
	if (!isxdigit((unsigned char)c))
		return -1;
	return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

/* "8-4-4-4-12" digits; @out has them in the order that they are written. */
static bool read_uuid(const char *text, uint8_t out[16])
{
	unsigned n = 0;

	if (strlen(text) != UUID_CHARS)
		return false;
	for (unsigned i = 0; i < UUID_CHARS; i++) {
		int digit = nibble(text[i]);

		if (i == 8 || i == 13 || i == 18 || i == 23) {
			if (text[i] != '-')
				return false;
			continue;
		}
		if (digit < 0)
			return false;
		out[n / 2] = (uint8_t)(n % 2 ? out[n / 2] << 4 | digit : digit);
		n++;
	}
	return true;
}

static int check_uuid(const char *key, const char *text, struct diag *d)
{
	uint8_t uuid[16];

	if (!text || read_uuid(text, uuid))
		return 0;
	return diag_fail(d, EINVAL,
			 "--platform %s=%.60s: must be a UUID such as "
			 "12345678-90ab-cdef-1234-567890abcdef",
			 key, text);
}

static int check_oem_strings(const char *list, struct diag *d)
{
	unsigned count = 1;
	int err = check_text("oem_strings", list, IDENTITY_OEM_BYTES, d);

	if (!list || err)
		return err;
	for (const char *at = list; *at; at++)
		count += *at == ',';
	if (count > IDENTITY_OEM_MAX)
		return diag_fail(d, EINVAL,
				 "--platform oem_strings: are %u, must be at "
				 "most %u",
				 count, IDENTITY_OEM_MAX);
	return 0;
}

int identity_check(const struct platform_config *c, struct diag *d)
{
	int err;

	if ((c->serial_number && c->system_serial_number) ||
	    (c->uuid && c->system_uuid))
		return diag_fail(
			d, EINVAL,
			"--platform %s: is the older name of system_%s,"
			" give one of them",
			c->uuid && c->system_uuid ? "uuid" : "serial_number",
			c->uuid && c->system_uuid ? "uuid" : "serial_number");
	if ((err = check_texts(c, d)) ||
	    (err = check_uuid("system_uuid", c->system_uuid, d)) ||
	    (err = check_uuid("uuid", c->uuid, d)))
		return err;
	return check_oem_strings(c->oem_strings, d);
}

static void swap(uint8_t *at, unsigned bytes)
{
	for (unsigned i = 0; i < bytes / 2; i++) {
		uint8_t t = at[i];

		at[i] = at[bytes - 1 - i];
		at[bytes - 1 - i] = t;
	}
}

void identity_fill(struct plat_identity *out, const struct platform_config *c)
{
	const char *uuid = c->system_uuid ? c->system_uuid : c->uuid;

	*out = (struct plat_identity){
		.manufacturer = c->system_manufacturer,
		.product = c->system_product_name,
		.version = c->system_version,
		.serial = c->system_serial_number ? c->system_serial_number
						  : c->serial_number,
		.sku = c->system_sku_number,
		.family = c->system_family,
		.asset_tag = c->chassis_asset_tag,
		.oem_strings = c->oem_strings,
	};
	if (!uuid || !read_uuid(uuid, out->uuid))
		return;
	swap(out->uuid, 4);
	swap(out->uuid + 4, 2);
	swap(out->uuid + 6, 2);
}
