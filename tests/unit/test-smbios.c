/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: SMBIOS: each table is walked by a reader that trusts nothing; what the
 * user said is in it, and what is no identity is refused with a sentence
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "arch/arch.h"
#include "vmm/base/bytes.h"
#include "vmm/identity.h"

#include "firmware/smbios.h"
#include "tests/unit/suite.h"

#define UUID "12345678-90ab-cdef-1234-567890abcdef"

static struct vm_config cfg;
static struct platform p;
static struct arch_tables tables;
static struct diag d;
static const struct arch_table *entry, *structures;

static void setup(void)
{
	d = DIAG_INIT;
	ck_assert_int_eq(vm_config_init(&cfg, "x86_64", &d), 0);
	cfg.cpus.boot_vcpus = cfg.cpus.max_vcpus = 1;
	cfg.memory.size_bytes = MIB(512);
}

static void teardown(void)
{
	arch_tables_release(&tables);
	platform_release(&p);
	vm_config_release(&cfg);
}

static void give(char **field, const char *text)
{
	free(*field);
	*field = strdup(text);
}

static int build(void)
{
	const struct host_caps caps = { .pa_bits = 46,
					.page_size_bytes = 4096,
					.ext_dest_id = true };
	int err = arch_x86_64.layout(&p, &cfg, &caps, &d);

	if (!err)
		err = arch_x86_64.tables(&tables, &p, NULL, GPA(0), 0, &d);
	for (unsigned i = 0; !err && i < tables.count; i++) {
		if (!strcmp(tables.table[i].name, "smbios3.bin"))
			entry = &tables.table[i];
		if (!strcmp(tables.table[i].name, "smbios.bin"))
			structures = &tables.table[i];
	}
	return err;
}

/* ---- reader --------------------------------------------------------------*/

/* Behind the strings of the structure at @at. */
static size_t next(size_t at)
{
	const uint8_t *t = structures->data;
	size_t size = structures->size_bytes;

	ck_assert_uint_le(at + 4, size);
	ck_assert_uint_ge(t[at + 1], 4);
	at += t[at + 1];
	ck_assert_uint_le(at + 2, size);
	while (t[at] || t[at + 1]) {
		at++;
		ck_assert_uint_le(at + 2, size);
	}
	return at + 2;
}

/* Structure number @index of @type; NULL: there are fewer. */
static const uint8_t *find(uint8_t type, unsigned index)
{
	for (size_t at = 0; at < structures->size_bytes; at = next(at))
		if (structures->data[at] == type && !index--)
			return structures->data + at;
	return NULL;
}

static const char *text(const uint8_t *s, unsigned at)
{
	const char *string = (const char *)s + s[1];

	if (!s[at])
		return "";
	for (unsigned n = 1; n < s[at]; n++) {
		ck_assert_int_ne(*string, 0);
		string += strlen(string) + 1;
	}
	ck_assert_int_ne(*string, 0);
	return string;
}

static unsigned count(uint8_t type)
{
	unsigned n = 0;

	while (find(type, n))
		n++;
	return n;
}

/* ---- structure -----------------------------------------------------------*/

START_TEST(entry_point)
{
	const uint8_t *e;
	uint8_t sum = 0;

	ck_assert_int_eq(build(), 0);
	e = entry->data;
	ck_assert_uint_eq(entry->gpa.v, 0xf0000);
	ck_assert_uint_eq(entry->size_bytes, 24);
	ck_assert_mem_eq(e, "_SM3_", 5);
	for (unsigned i = 0; i < 24; i++)
		sum += e[i];
	ck_assert_uint_eq(sum, 0);
	ck_assert_uint_eq(e[6], 24);
	ck_assert_uint_eq(e[7] << 8 | e[8], 0x302);
	ck_assert_uint_eq(get_le32(e + 12), structures->size_bytes);
	ck_assert_uint_eq(get_le64(e + 16), structures->gpa.v);
	ck_assert_uint_ge(structures->gpa.v, 0xf0000 + 24);
}
END_TEST

/* Lengths as the specification has them for this version; the last structure
 * is the last byte; no handle twice; all strings numbered. */
START_TEST(well_formed)
{
	static const uint8_t length[128] = {
		[0] = 0x1a,  [1] = 0x1b,  [3] = 0x16,  [4] = 0x30,  [11] = 5,
		[16] = 0x17, [17] = 0x28, [19] = 0x1f, [32] = 0x0b, [127] = 4,
	};
	static bool seen[UINT16_MAX + 1];
	size_t at = 0;
	uint8_t type = 0;

	give(&cfg.platform.oem_strings, "[a,b]");
	cfg.memory.size_bytes = GIB(5);
	cfg.cpus.boot_vcpus = cfg.cpus.max_vcpus = 3;
	ck_assert_int_eq(build(), 0);
	memset(seen, 0, sizeof(seen));
	while (at < structures->size_bytes) {
		const uint8_t *s = structures->data + at;

		type = s[0];
		ck_assert_uint_eq(s[1], length[type]);
		ck_assert(!seen[get_le16(s + 2)]);
		seen[get_le16(s + 2)] = true;
		at = next(at);
	}
	ck_assert_uint_eq(at, structures->size_bytes);
	ck_assert_uint_eq(type, 127);
	ck_assert_uint_eq(count(4), 3);
	ck_assert_uint_eq(count(19), 2);
	ck_assert_uint_eq(count(0) * count(1) * count(3) * count(11), 1);
	ck_assert_uint_eq(count(16) * count(17) * count(32) * count(127), 1);
}
END_TEST

START_TEST(defaults)
{
	const uint8_t *s;

	ck_assert_int_eq(build(), 0);
	s = find(1, 0);
	ck_assert_str_eq(text(s, 4), "Spandrel");
	ck_assert_str_eq(text(s, 5), "Spandrel virtual machine");
	ck_assert_str_eq(text(s, 7), "");
	for (unsigned i = 0; i < 16; i++)
		ck_assert_uint_eq(s[8 + i], 0);
	ck_assert_ptr_null(find(11, 0));
	ck_assert_str_eq(text(find(3, 0), 8), "");
	ck_assert(find(0, 0)[0x13] & 1 << 4); /* a virtual machine */
}
END_TEST

/* Both spellings of the options that have two. */
START_TEST(identity)
{
	static const uint8_t uuid[] = { 0x78, 0x56, 0x34, 0x12, 0xab, 0x90,
					0xef, 0xcd, 0x12, 0x34, 0x56, 0x78,
					0x90, 0xab, 0xcd, 0xef };
	struct platform_config *c = &cfg.platform;
	const uint8_t *s;

	give(&c->system_manufacturer, "Maker");
	give(&c->system_product_name, "Product");
	give(&c->system_version, "Version");
	give(_i ? &c->serial_number : &c->system_serial_number, "Serial");
	give(_i ? &c->uuid : &c->system_uuid,
	     "12345678-90AB-cdef-1234-567890abcdef");
	give(&c->system_sku_number, "Sku");
	give(&c->system_family, "Family");
	give(&c->chassis_asset_tag, "Tag");
	ck_assert_int_eq(identity_check(c, &d), 0);
	ck_assert_int_eq(build(), 0);
	s = find(1, 0);
	ck_assert_str_eq(text(s, 4), "Maker");
	ck_assert_str_eq(text(s, 5), "Product");
	ck_assert_str_eq(text(s, 6), "Version");
	ck_assert_str_eq(text(s, 7), "Serial");
	ck_assert_mem_eq(s + 8, uuid, sizeof(uuid));
	ck_assert_str_eq(text(s, 0x19), "Sku");
	ck_assert_str_eq(text(s, 0x1a), "Family");
	s = find(3, 0);
	ck_assert_str_eq(text(s, 4), "Maker");
	ck_assert_str_eq(text(s, 8), "Tag");
}
END_TEST

static const struct {
	const char *list, *first, *last;
	unsigned count;
} oem[] = {
	{ "[one,two,three]", "one", "three", 3 },
	{ "alone", "alone", "alone", 1 },
	{ "[io.systemd.credential:a=b c]", "io.systemd.credential:a=b c",
	  "io.systemd.credential:a=b c", 1 },
	{ "[a,,b]", "a", "b", 2 },
};

START_TEST(oem_strings)
{
	const uint8_t *s;

	give(&cfg.platform.oem_strings, oem[_i].list);
	ck_assert_int_eq(build(), 0);
	s = find(11, 0);
	ck_assert_uint_eq(s[4], oem[_i].count);
	ck_assert_str_eq((const char *)s + 5, oem[_i].first);
	ck_assert_str_eq(text(s, 4), oem[_i].last);
}
END_TEST

/* No strings between the brackets: no structure. */
START_TEST(no_oem_strings)
{
	give(&cfg.platform.oem_strings, "[]");
	ck_assert_int_eq(build(), 0);
	ck_assert_ptr_null(find(11, 0));
}
END_TEST

/* ---- RAM and processors --------------------------------------------------*/

static const struct {
	uint64_t bytes;
	unsigned size, extended;
	uint32_t last_kib; /* of the last range */
} memory[] = {
	{ MIB(64), 64, 0, 0xffff },
	{ GIB(4), 4096, 0, 0x4fffff },
	{ GIB(32) - MIB(2), 0x7ffe, 0, 0x20ff7ff },
	{ GIB(32), 0x7fff, 32768, 0x20fffff },
	{ GIB(8192), 0x7fff, 8192 * 1024, UINT32_MAX },
};

START_TEST(ram)
{
	const uint8_t *s;
	uint32_t last;

	cfg.memory.size_bytes = memory[_i].bytes;
	ck_assert_int_eq(build(), 0);
	ck_assert_uint_eq(get_le64(find(16, 0) + 0x0f), memory[_i].bytes);
	s = find(17, 0);
	ck_assert_uint_eq(get_le16(s + 0x0c), memory[_i].size);
	ck_assert_uint_eq(get_le32(s + 0x1c), memory[_i].extended);
	ck_assert_uint_eq(get_le16(s + 4), get_le16(find(16, 0) + 2));
	s = find(19, count(19) - 1);
	last = get_le32(s + 8);
	if (memory[_i].last_kib == UINT32_MAX) {
		ck_assert_uint_eq(get_le32(s + 4), UINT32_MAX);
		ck_assert_uint_eq(get_le64(s + 0x0f), GIB(4));
		ck_assert_uint_eq(get_le64(s + 0x17), GIB(8193) - 1);
	}
	ck_assert_uint_eq(last, memory[_i].last_kib);
}
END_TEST

START_TEST(processors)
{
	const uint8_t *s;

	cfg.cpus.boot_vcpus = cfg.cpus.max_vcpus = 24;
	cfg.cpus.topology = (struct topology){ 2, 3, 2, 2 };
	ck_assert_int_eq(build(), 0);
	ck_assert_uint_eq(count(4), 2);
	s = find(4, 1);
	ck_assert_str_eq(text(s, 4), "CPU 1");
	ck_assert_uint_eq(s[0x23], 6);
	ck_assert_uint_eq(s[0x25], 12);
	ck_assert_uint_eq(get_le16(s + 0x2a), 6);
	ck_assert_uint_eq(get_le16(s + 0x2e), 12);
}
END_TEST

/* More than fit are left out; all the rest is there. */
START_TEST(many_processors)
{
	cfg.cpus.boot_vcpus = cfg.cpus.max_vcpus = 2048;
	ck_assert_int_eq(build(), 0);
	ck_assert_uint_eq(count(4), SMBIOS_PACKAGES_MAX);
	ck_assert_uint_eq(count(127), 1);
}
END_TEST

/* As long as the configuration may be, with as many processors: it fits. */
START_TEST(longest)
{
	char *list = calloc(1, IDENTITY_OEM_BYTES + 1);

	memset(list, 'x', IDENTITY_OEM_BYTES);
	cfg.platform.oem_strings = list;
	cfg.cpus.boot_vcpus = cfg.cpus.max_vcpus = 2048;
	ck_assert_int_eq(identity_check(&cfg.platform, &d), 0);
	ck_assert_int_eq(build(), 0);
	ck_assert_uint_eq(strlen(text(find(11, 0), 4)), IDENTITY_OEM_BYTES);
}
END_TEST

/* ---- refused -------------------------------------------------------------*/

#define UUID_SENTENCE \
	": must be a UUID such as 12345678-90ab-cdef-1234-567890abcdef"

static const struct {
	size_t at;
	const char *value, *sentence;
} bad[] = {
	{ offsetof(struct platform_config, uuid), "1234",
	  "--platform uuid=1234" UUID_SENTENCE },
	{ offsetof(struct platform_config, system_uuid),
	  "12345678-90ab-cdef-1234-567890abcdeg",
	  "--platform "
	  "system_uuid=12345678-90ab-cdef-1234-567890abcdeg" UUID_SENTENCE },
	{ offsetof(struct platform_config, uuid),
	  "1234567-890ab-cdef-1234-567890abcdef",
	  "--platform "
	  "uuid=1234567-890ab-cdef-1234-567890abcdef" UUID_SENTENCE },
	{ offsetof(struct platform_config, uuid),
	  "12345678-90ab-cdef-1234-567890abcdef0",
	  "--platform "
	  "uuid=12345678-90ab-cdef-1234-567890abcdef0" UUID_SENTENCE },
	{ offsetof(struct platform_config, serial_number), "a\nb",
	  "--platform serial_number: must be printable ASCII characters" },
	{ offsetof(struct platform_config, system_serial_number), "\xc3\xa4",
	  "--platform system_serial_number: must be printable ASCII "
	  "characters" },
	{ offsetof(struct platform_config, oem_strings), "[a,\x7f]",
	  "--platform oem_strings: must be printable ASCII characters" },
};

START_TEST(refused)
{
	give((char **)(void *)((char *)&cfg.platform + bad[_i].at),
	     bad[_i].value);
	ck_assert_int_eq(identity_check(&cfg.platform, &d), -EINVAL);
	ck_assert_str_eq(d.text[0], bad[_i].sentence);
}
END_TEST

START_TEST(too_long)
{
	char *value = calloc(1, 257);

	memset(value, 'x', 256);
	cfg.platform.chassis_asset_tag = value;
	ck_assert_int_eq(identity_check(&cfg.platform, &d), -EINVAL);
	ck_assert_str_eq(d.text[0], "--platform chassis_asset_tag: has 256 "
				    "characters, must be at most 255");
}
END_TEST

START_TEST(too_many)
{
	char *value = calloc(1, 257);

	memset(value, ',', 256);
	cfg.platform.oem_strings = value;
	ck_assert_int_eq(identity_check(&cfg.platform, &d), -EINVAL);
	ck_assert_str_eq(d.text[0], "--platform oem_strings: are 257, must be "
				    "at most 255");
}
END_TEST

START_TEST(both_names)
{
	struct platform_config *c = &cfg.platform;

	give(_i ? &c->uuid : &c->serial_number, "a");
	give(_i ? &c->system_uuid : &c->system_serial_number, "a");
	ck_assert_int_eq(identity_check(c, &d), -EINVAL);
	ck_assert_str_eq(d.text[0],
			 _i ? "--platform uuid: is the older name of "
			      "system_uuid, give one of them"
			    : "--platform serial_number: is the older name of "
			      "system_serial_number, give one of them");
}
END_TEST

/* An arm64 guest has SMBIOS only where UEFI brings it. */
START_TEST(arm64_needs_uefi)
{
	const struct host_caps caps = { .pa_bits = 46,
					.gicv3 = true,
					.page_size_bytes = 4096 };
	char **texts[] = { &cfg.platform.oem_strings, &cfg.platform.uuid,
			   &cfg.platform.system_family };

	cfg.cpus.nested = false;
	give(&cfg.firmware, "f");
	give(texts[_i], UUID);
	ck_assert_int_eq(arch_arm64.layout(&p, &cfg, &caps, &d), -EINVAL);
	ck_assert_ptr_nonnull(strstr(d.text[0], _i == 0	  ? "oem_strings: arm64"
						: _i == 1 ? "uuid: arm64"
							  : "family: arm64"));
	platform_release(&p);
	give(&cfg.firmware_vars, "v");
	ck_assert_int_eq(arch_arm64.layout(&p, &cfg, &caps, &d), 0);
	ck_assert_uint_eq(p.identity.uuid[0], _i == 1 ? 0x78 : 0);
	ck_assert_int_eq(p.identity.family != NULL, _i == 2);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("smbios");
	TCase *t = tcase_create("tables");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, entry_point);
	tcase_add_test(t, well_formed);
	tcase_add_test(t, defaults);
	tcase_add_loop_test(t, identity, 0, 2);
	tcase_add_loop_test(t, oem_strings, 0, ARRAY_SIZE(oem));
	tcase_add_test(t, no_oem_strings);
	tcase_add_loop_test(t, ram, 0, ARRAY_SIZE(memory));
	tcase_add_test(t, processors);
	tcase_add_test(t, many_processors);
	tcase_add_test(t, longest);
	tcase_add_loop_test(t, refused, 0, ARRAY_SIZE(bad));
	tcase_add_test(t, too_long);
	tcase_add_test(t, too_many);
	tcase_add_loop_test(t, both_names, 0, 2);
	tcase_add_loop_test(t, arm64_needs_uefi, 0, 3);
	suite_add_tcase(s, t);
	return suite_run(s);
}
