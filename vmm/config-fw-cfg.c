/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: --fw-cfg-config */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/config-impl.h"
#include "vmm/fw-cfg.h"

static const struct schema_choice disable_words[] = {
	{ .name = "disable", .value = true },
};

static const struct schema_key keys[] = {
	{ .type = SCHEMA_ENUM,
	  .offset = ITEM_AT(fw_cfg_config, disable),
	  CHOICES(disable_words),
	  .doc = "no fw_cfg, even where firmware looks for it",
	  SINCE },
	{ .name = "e820",
	  .type = SCHEMA_BOOL,
	  .offset = ITEM_AT(fw_cfg_config, e820),
	  .preset = "on",
	  .doc = "where RAM is: " FW_CFG_E820,
	  SINCE },
	{ .name = "kernel",
	  .type = SCHEMA_BOOL,
	  .offset = ITEM_AT(fw_cfg_config, kernel),
	  .preset = "on",
	  .doc = "--kernel, for firmware to start",
	  SINCE },
	{ .name = "cmdline",
	  .type = SCHEMA_BOOL,
	  .offset = ITEM_AT(fw_cfg_config, cmdline),
	  .preset = "on",
	  .doc = "--cmdline, for that kernel",
	  SINCE },
	{ .name = "initramfs",
	  .type = SCHEMA_BOOL,
	  .offset = ITEM_AT(fw_cfg_config, initramfs),
	  .preset = "on",
	  .doc = "--initramfs, for that kernel",
	  SINCE },
	{ .name = "acpi_table",
	  .type = SCHEMA_BOOL,
	  .offset = ITEM_AT(fw_cfg_config, acpi_table),
	  .preset = "on",
	  .doc = "ACPI tables, for firmware to place: " FW_CFG_ACPI_TABLES
		 " and more",
	  SINCE },
	{ .name = "items",
	  .type = SCHEMA_STRING,
	  .offset = ITEM_AT(fw_cfg_config, items),
	  .doc = "[name=NAME,file=FILE:name=NAME,string=TEXT...]: files of "
		 "your own; in Linux they are below "
		 "/sys/firmware/qemu_fw_cfg/by_name",
	  SINCE },
};

const struct schema_option fw_cfg_option = {
	.name = "fw-cfg-config",
	.group = "What to boot",
	ITEMS(fw_cfg, fw_cfg_count, fw_cfg_config, 1),
	KEYS(keys),
	.doc = "what firmware and guest find by fw_cfg; with --firmware-vars "
	       "and for OVMF there is one without this option, too",
	MACHINE,
};

const struct fw_cfg_config *vm_config_fw_cfg(const struct vm_config *c,
					     bool needed)
{
	static const struct fw_cfg_config all = {
		.e820 = true,
		.kernel = true,
		.cmdline = true,
		.initramfs = true,
		.acpi_table = true,
	};

	if (c->fw_cfg_count)
		return c->fw_cfg->disable ? NULL : c->fw_cfg;
	return needed || c->firmware_vars ? &all : NULL;
}

/* ---- items=[…] -----------------------------------------------------------*/

static int refuse(const char *items, const char *why, struct diag *d)
{
	return diag_fail(d, EINVAL, "--fw-cfg-config items=%.100s: %s", items,
			 why);
}

/* One element, "key=value", into @item; false: neither key, or twice. */
static bool take_element(struct fw_cfg_given_item *item, char *element)
{
	char *value = strchr(element, '=');
	const char **where = NULL;

	if (!value || !value[1])
		return false;
	*value++ = '\0';
	if (!strcmp(element, "name"))
		where = &item->name;
	else if (!strcmp(element, "file"))
		where = &item->file;
	else if (!strcmp(element, "string"))
		where = &item->string;
	if (!where || *where)
		return false;
	*where = value;
	return true;
}

static bool take_item(struct fw_cfg_given_item *item, char *text)
{
	char *element;

	*item = (struct fw_cfg_given_item){ .fd = -1 };
	while ((element = strsep(&text, ",")))
		if (!take_element(item, element))
			return false;
	return item->name && !item->file != !item->string;
}

static int cut(struct fw_cfg_given *g, const char *items, struct diag *d)
{
	char *rest = g->text, *text;
	size_t len = strlen(rest);

	if (len < 2 || rest[0] != '[' || rest[len - 1] != ']')
		return refuse(items,
			      "must be [name=NAME,file=FILE:...], in brackets",
			      d);
	rest[len - 1] = '\0';
	rest++;
	while ((text = strsep(&rest, ":"))) {
		if (g->count == FW_CFG_GIVEN_MAX)
			return refuse(items, "more than 64 items", d);
		if (!take_item(&g->item[g->count], text))
			return refuse(items,
				      "each item must have one name=, and "
				      "one of file= and string=",
				      d);
		g->count++;
	}
	return 0;
}

int fw_cfg_given_new(struct fw_cfg_given **out, const char *items,
		     struct diag *d)
{
	struct fw_cfg_given *g = calloc(1, sizeof(*g));
	int err;

	if (g)
		g->text = strdup(items);
	if (!g || !g->text)
		err = diag_fail(d, ENOMEM, "out of memory");
	else
		err = cut(g, items, d);
	if (err) {
		fw_cfg_given_free(g);
		return err;
	}
	*out = g;
	return 0;
}

void fw_cfg_given_free(struct fw_cfg_given *g)
{
	if (g)
		free(g->text);
	free(g);
}

/* ---- rules ---------------------------------------------------------------*/

static int refuse_name(const char *name, const char *why, struct diag *d)
{
	return diag_fail(d, EINVAL, "--fw-cfg-config items=[name=%.80s]: %s",
			 name, why);
}

static int check_own(const struct fw_cfg_config *c, const char *name,
		     struct diag *d)
{
	const struct {
		bool used;
		const char *name;
	} own[] = {
		{ c->e820, FW_CFG_E820 },
		{ true, FW_CFG_RESERVED_END },
		{ true, FW_CFG_SMBIOS_ENTRY },
		{ true, FW_CFG_SMBIOS_TABLES },
		{ c->acpi_table, FW_CFG_ACPI_RSDP },
		{ c->acpi_table, FW_CFG_ACPI_TABLES },
		{ c->acpi_table, FW_CFG_ACPI_LOADER },
	};

	for (size_t i = 0; i < ARRAY_SIZE(own); i++)
		if (own[i].used && !strcmp(own[i].name, name))
			return refuse_name(name,
					   "is the machine's own: give "
					   "another, such as opt/NAME",
					   d);
	return 0;
}

static int check_name(const char *name, struct diag *d)
{
	if (strlen(name) >= FW_CFG_NAME_BYTES)
		return refuse_name(name, "is longer than 55 characters", d);
	for (const char *c = name; *c; c++)
		if (*c <= ' ' || *c > '~')
			return refuse_name(name,
					   "must be printable ASCII "
					   "without spaces",
					   d);
	return 0;
}

static int check_item(const struct fw_cfg_config *c,
		      const struct fw_cfg_given *g, unsigned index,
		      struct diag *d)
{
	const char *name = g->item[index].name;
	int err = check_name(name, d);

	if (!err)
		err = check_own(c, name, d);
	for (unsigned i = 0; i < index && !err; i++)
		if (!strcmp(g->item[i].name, name))
			err = refuse_name(name, "given twice", d);
	return err;
}

int check_fw_cfg(const struct vm_config *c, struct diag *d)
{
	const struct fw_cfg_config *f = c->fw_cfg_count ? c->fw_cfg : NULL;
	struct fw_cfg_given *g;
	int err;

	if (!f || !f->items)
		return 0;
	if (f->disable)
		return diag_fail(d, EINVAL,
				 "--fw-cfg-config disable: has no items");
	err = fw_cfg_given_new(&g, f->items, d);
	if (err)
		return err;
	for (unsigned i = 0; i < g->count && !err; i++)
		err = check_item(f, g, i, d);
	fw_cfg_given_free(g);
	return err;
}
