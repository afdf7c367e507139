/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: the items of fw_cfg, see fw-cfg.h */
#include "vmm/fw-cfg.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/base/check.h"
#include "vmm/base/file.h"

/* struct FWCfgFile of QEMU: big-endian size, key and 0, then the name. */
enum { FILE_SIZE = 0, FILE_KEY = 4, FILE_NAME = 8, FILE_BYTES = 64 };
static_assert(FILE_NAME + FW_CFG_NAME_BYTES == FILE_BYTES, "FWCfgFile");

/* @owned is what @content.data points to, if that is ours. */
struct fw_cfg_item {
	char name[FW_CFG_NAME_BYTES];
	uint8_t *owned;
	struct fw_cfg_content content;
};

struct fw_cfg {
	struct fw_cfg_item fixed[FW_CFG_FILE_FIRST];
	struct fw_cfg_item file[FW_CFG_FILES_MAX];
	unsigned file_count;
};

struct fw_cfg *fw_cfg_new(void)
{
	return calloc(1, sizeof(struct fw_cfg));
}

static void drop(struct fw_cfg_item *item)
{
	free(item->owned);
	memset(item, 0, sizeof(*item));
}

void fw_cfg_clear(struct fw_cfg *fc)
{
	for (unsigned i = 0; i < ARRAY_SIZE(fc->fixed); i++)
		drop(&fc->fixed[i]);
	for (unsigned i = 0; i < fc->file_count; i++)
		drop(&fc->file[i]);
	fc->file_count = 0;
}

void fw_cfg_free(struct fw_cfg *fc)
{
	if (fc)
		fw_cfg_clear(fc);
	free(fc);
}

static int fill(struct fw_cfg_item *item, const struct fw_cfg_content *c,
		struct diag *d)
{
	CHECK(!c->written || c->data);
	item->content = *c;
	if (!c->data)
		return 0;
	item->owned = malloc(MAX(c->size_bytes, 1U));
	if (!item->owned)
		return diag_fail(d, ENOMEM, "out of memory");
	memcpy(item->owned, c->data, c->size_bytes);
	item->content.data = item->owned;
	return 0;
}

int fw_cfg_set(struct fw_cfg *fc, enum fw_cfg_key key,
	       const struct fw_cfg_content *c, struct diag *d)
{
	struct fw_cfg_item item = { .owned = NULL };
	int err = fill(&item, c, d);

	CHECK(key < FW_CFG_FILE_FIRST);
	if (err)
		return err;
	drop(&fc->fixed[key]);
	fc->fixed[key] = item;
	return 0;
}

int fw_cfg_set_number(struct fw_cfg *fc, enum fw_cfg_key key, uint64_t value,
		      unsigned bytes, struct diag *d)
{
	uint8_t le[8];

	put_le64(le, value);
	return fw_cfg_set(
		fc, key,
		&(struct fw_cfg_content){ .data = le, .size_bytes = bytes }, d);
}

/* ---- files ---------------------------------------------------------------*/

static int write_directory(struct fw_cfg *fc, struct diag *d)
{
	uint8_t dir[4 + FW_CFG_FILES_MAX * FILE_BYTES] = { 0 }, *at = dir + 4;

	put_be32(dir, fc->file_count);
	for (unsigned i = 0; i < fc->file_count; i++, at += FILE_BYTES) {
		put_be32(at + FILE_SIZE, fc->file[i].content.size_bytes);
		put_be16(at + FILE_KEY, (uint16_t)(FW_CFG_FILE_FIRST + i));
		memcpy(at + FILE_NAME, fc->file[i].name, FW_CFG_NAME_BYTES);
	}
	return fw_cfg_set(
		fc, FW_CFG_DIRECTORY,
		&(struct fw_cfg_content){ .data = dir,
					  .size_bytes = (uint32_t)(at - dir) },
		d);
}

/* Where @name belongs, or where it is already. */
static unsigned place_of(const struct fw_cfg *fc, const char *name)
{
	unsigned i = 0;

	while (i < fc->file_count && strcmp(fc->file[i].name, name) < 0)
		i++;
	return i;
}

int fw_cfg_add(struct fw_cfg *fc, const char *name,
	       const struct fw_cfg_content *c, struct diag *d)
{
	unsigned at = place_of(fc, name);
	struct fw_cfg_item item, *last;
	int err;

	if (strlen(name) >= FW_CFG_NAME_BYTES)
		return diag_fail(d, ENAMETOOLONG,
				 "fw_cfg: %.80s: longer than %d characters",
				 name, FW_CFG_NAME_BYTES - 1);
	if (at < fc->file_count && !strcmp(fc->file[at].name, name))
		return diag_fail(d, EEXIST, "fw_cfg: %s: is there already",
				 name);
	if (fc->file_count == FW_CFG_FILES_MAX)
		return diag_fail(d, ENOSPC, "fw_cfg: more than %d files",
				 FW_CFG_FILES_MAX);
	last = &fc->file[fc->file_count];
	err = fill(last, c, d);
	if (err)
		return err;
	snprintf(last->name, sizeof(last->name), "%s", name);
	item = *last;
	memmove(&fc->file[at + 1], &fc->file[at],
		(fc->file_count++ - at) * sizeof(item));
	fc->file[at] = item;
	return write_directory(fc, d);
}

/* ---- content -------------------------------------------------------------*/

const struct fw_cfg_item *fw_cfg_find(const struct fw_cfg *fc, uint16_t key)
{
	static const struct fw_cfg_item signature = {
		.content = { .data = "QEMU", .size_bytes = 4 },
	};
	static const struct fw_cfg_item id = {
		.content = { .data = "\3\0\0", .size_bytes = 4 },
	};

	if (key == FW_CFG_SIGNATURE)
		return &signature;
	if (key == FW_CFG_ID)
		return &id;
	if (key < FW_CFG_FILE_FIRST)
		return &fc->fixed[key];
	key -= FW_CFG_FILE_FIRST;
	return key < fc->file_count ? &fc->file[key] : NULL;
}

uint32_t fw_cfg_size(const struct fw_cfg_item *item)
{
	return item ? item->content.size_bytes : 0;
}

static int read_file(const struct fw_cfg_content *c, uint32_t at, void *buf,
		     uint32_t len)
{
	int64_t got = file_read_at(c->fd, c->offset_bytes + at, buf, len);

	if (got < 0)
		return (int)got;
	return got == len ? 0 : -ENODATA;
}

int fw_cfg_read(const struct fw_cfg_item *item, uint32_t at, void *buf,
		uint32_t len)
{
	CHECK(range_within(at, len, 0, fw_cfg_size(item)));
	if (!len)
		return 0;
	if (!item->content.data)
		return read_file(&item->content, at, buf, len);
	memcpy(buf, (const uint8_t *)item->content.data + at, len);
	return 0;
}

bool fw_cfg_write(const struct fw_cfg_item *item, uint32_t at, const void *buf,
		  uint32_t len)
{
	if (!item || !item->content.written ||
	    !range_within(at, len, 0, item->content.size_bytes))
		return false;
	memcpy(item->owned + at, buf, len);
	item->content.written(item->content.opaque, at, item->owned + at, len);
	return true;
}
