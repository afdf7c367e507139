/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: the header of qcow2 images, versions 2 and 3 (secs. "Header", "Header
 * extensions", "Feature name table" of the specification)
 *
 * Everything that the rest relies on is checked here: sizes, alignments, that
 * tables lie within the file, and that all features are known. Refused, each
 * with its own sentence: encryption, external data files, extended L2 entries
 * (subclusters), unknown incompatible features; for writing also images that
 * are marked dirty or corrupt.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/bytes.h"

#include "devices/block/qcow2-impl.h"

#define MAGIC	       0x514649fb /* "QFI\xfb" */
#define V2_BYTES       72
#define V3_BYTES_MIN   104
#define AT_COMPRESSION 104
#define CAPACITY_MAX   (1ull << 56) /* offsets in L2 entries have 56 bits */
#define SNAPSHOTS_MAX  65536	    /* QEMU's: QCOW_MAX_SNAPSHOTS */
/* Extensions are looked for in this much of the first cluster: backing file
 * names and feature tables take less than 2 KiB. */
#define EXTENSIONS_BYTES_MAX KIB(64)

enum extension {
	EXT_END = 0,
	EXT_BACKING_FORMAT = (int)0xe2792aca,
	EXT_FEATURES = 0x6803f857,
	EXT_BITMAPS = 0x23852875,
};

enum { FEATURE_BYTES = 48, FEATURE_NAME_BYTES = 46, EXT_BITMAPS_BYTES = 24 };

/**
 * struct reading - what the checks need
 * @bytes: of the file
 * @head: its beginning, @head_bytes
 * @header_bytes: length of the fixed header
 * @features: the feature name table in @head, @feature_count entries
 */
struct reading {
	const char *what;
	uint64_t bytes;
	uint8_t *head;
	size_t head_bytes;
	uint32_t header_bytes;
	const uint8_t *features;
	size_t feature_count;
	struct diag *d;
};

uint64_t qcow2_l1_needed(uint64_t bytes, unsigned cluster_bits)
{
	unsigned shift = 2 * cluster_bits - 3;

	return (bytes >> shift) + !!(bytes & ((1ull << shift) - 1));
}

static int damaged(const struct reading *r, const char *why)
{
	return diag_fail(r->d, EINVAL,
			 "%s: not a sound qcow2 image: %s ('qemu-img check' "
			 "says more)",
			 r->what, why);
}

/* ---- the fixed part ---------------------------------------------------- */

static int check_kind(const struct reading *r, struct qcow2_header *h)
{
	if (r->bytes < V2_BYTES || get_be32(r->head) != MAGIC)
		return diag_fail(r->d, EINVAL,
				 "%s: not a qcow2 image: say image_type=raw, "
				 "or make one with 'qemu-img create -f qcow2'",
				 r->what);
	h->version = get_be32(r->head + 4);
	if (h->version != 2 && h->version != 3)
		return diag_fail(r->d, ENOTSUP,
				 "%s: qcow2 version %u is not supported, 2 "
				 "and 3 are",
				 r->what, h->version);
	if (h->version == 3 && r->bytes < V3_BYTES_MIN)
		return damaged(r, "the file ends within the header");
	return 0;
}

static void parse(struct reading *r, struct qcow2_header *h)
{
	const uint8_t *p = r->head;

	h->cluster_bits = get_be32(p + 20);
	h->size_bytes = get_be64(p + 24);
	h->l1_count = get_be32(p + 36);
	h->l1_offset = get_be64(p + 40);
	h->rt_offset = get_be64(p + 48);
	h->rt_clusters = get_be32(p + 56);
	h->snapshot_count = get_be32(p + 60);
	h->snapshots_offset = get_be64(p + 64);
	h->refcount_order = 4; /* version 2: always */
	r->header_bytes = V2_BYTES;
	if (h->version == 2)
		return;
	h->incompatible = get_be64(p + 72);
	h->autoclear = get_be64(p + 88);
	h->refcount_order = get_be32(p + 96);
	r->header_bytes = get_be32(p + 100);
}

static bool aligned_within(const struct reading *r,
			   const struct qcow2_header *h, uint64_t offset,
			   uint64_t bytes)
{
	return !(offset & ((1ull << h->cluster_bits) - 1)) && offset &&
	       range_within(offset, bytes, 0, r->bytes);
}

static int check_size(const struct reading *r, const struct qcow2_header *h)
{
	uint64_t needed;

	if (!h->size_bytes)
		return diag_fail(r->d, EINVAL, "%s: the disk has no size",
				 r->what);
	if (h->size_bytes % BLOCK_SECTOR_BYTES)
		return diag_fail(r->d, EINVAL,
				 "%s: the disk's %" PRIu64
				 " bytes are not a multiple of 512: use "
				 "'qemu-img resize'",
				 r->what, h->size_bytes);
	needed = qcow2_l1_needed(h->size_bytes, h->cluster_bits);
	if (h->size_bytes > CAPACITY_MAX || needed > QCOW2_L1_BYTES_MAX / 8)
		return damaged(r, "the disk is larger than the format allows");
	if (h->l1_count < needed)
		return damaged(r, "its L1 table is too small for the disk");
	return 0;
}

static int check_tables(const struct reading *r, const struct qcow2_header *h)
{
	uint64_t rt_bytes = (uint64_t)h->rt_clusters << h->cluster_bits;

	if (h->l1_count > QCOW2_L1_BYTES_MAX / 8)
		return damaged(r, "its L1 table has more than 32 MiB");
	if (!aligned_within(r, h, h->l1_offset, (uint64_t)h->l1_count * 8))
		return damaged(r, "its L1 table is not within the file");
	if (!rt_bytes || rt_bytes > QCOW2_RT_BYTES_MAX)
		return damaged(r, "its refcount table is empty or has more "
				  "than 8 MiB");
	if (!aligned_within(r, h, h->rt_offset, rt_bytes))
		return damaged(r, "its refcount table is not within the file");
	if (h->snapshot_count > SNAPSHOTS_MAX)
		return damaged(r, "it has more than 65536 snapshots");
	if (h->snapshot_count && !aligned_within(r, h, h->snapshots_offset, 1))
		return damaged(r, "its snapshot table is not within the file");
	return 0;
}

static int check_layout(const struct reading *r, const struct qcow2_header *h)
{
	if (h->cluster_bits < QCOW2_CLUSTER_BITS_MIN ||
	    h->cluster_bits > QCOW2_CLUSTER_BITS_MAX)
		return damaged(r, "clusters are not 512 bytes to 2 MiB");
	if (h->refcount_order > QCOW2_REFCOUNT_ORDER_MAX)
		return damaged(r, "refcounts have more than 64 bits");
	if (h->version == 3 &&
	    (r->header_bytes < V3_BYTES_MIN || r->header_bytes % 8 ||
	     r->header_bytes > r->head_bytes))
		return damaged(r, "its header has an impossible length");
	return 0;
}

/* ---- features ---------------------------------------------------------- */

static int no_support(const struct reading *r, const char *thing,
		      const char *remedy)
{
	return diag_fail(r->d, ENOTSUP, "%s: %s not supported: %s", r->what,
			 thing, remedy);
}

/* The image's own name for an incompatible feature, or a made-up one. */
static const char *feature_name(const struct reading *r, unsigned bit,
				char name[FEATURE_NAME_BYTES + 1])
{
	const uint8_t *f = r->features;

	snprintf(name, FEATURE_NAME_BYTES + 1, "bit %u", bit);
	for (size_t i = 0; i < r->feature_count; i++, f += FEATURE_BYTES)
		if (f[0] == 0 && f[1] == bit && f[2])
			snprintf(name, FEATURE_NAME_BYTES + 1, "%.*s",
				 FEATURE_NAME_BYTES, (const char *)f + 2);
	for (char *c = name; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
	return name;
}

static int check_features(const struct reading *r, const struct qcow2_header *h)
{
	static const uint64_t known =
		QCOW2_INCOMPAT_DIRTY | QCOW2_INCOMPAT_CORRUPT |
		QCOW2_INCOMPAT_DATA_FILE | QCOW2_INCOMPAT_COMPRESSION |
		QCOW2_INCOMPAT_EXTENDED_L2;
	uint64_t unknown = h->incompatible & ~known;
	char name[FEATURE_NAME_BYTES + 1];

	if (get_be32(r->head + 32))
		return no_support(r, "encrypted qcow2 images are",
				  "decrypt it with 'qemu-img convert'");
	if (unknown)
		return diag_fail(
			r->d, ENOTSUP,
			"%s: qcow2 feature '%s' is not supported: "
			"remove it with 'qemu-img convert'",
			r->what,
			feature_name(r, (unsigned)__builtin_ctzll(unknown),
				     name));
	if (h->incompatible & QCOW2_INCOMPAT_DATA_FILE)
		return no_support(r, "external data files are",
				  "merge it with 'qemu-img convert -O qcow2'");
	if (h->incompatible & QCOW2_INCOMPAT_EXTENDED_L2)
		return no_support(r, "subclusters (extended L2 entries) are",
				  "use 'qemu-img convert -O qcow2 -o "
				  "extended_l2=off'");
	return 0;
}

static int check_compression(const struct reading *r, struct qcow2_header *h)
{
	if (h->version == 3 && r->header_bytes > AT_COMPRESSION)
		h->compression = r->head[AT_COMPRESSION];
	if (!!(h->incompatible & QCOW2_INCOMPAT_COMPRESSION) !=
	    !!h->compression)
		return damaged(r, "its compression type contradicts its "
				  "features");
	if (h->compression > 1)
		return diag_fail(r->d, ENOTSUP,
				 "%s: qcow2 compression type %u is not "
				 "supported: 0 (zlib) and 1 (zstd) are",
				 r->what, h->compression);
	return 0;
}

static int check_writable(const struct reading *r, const struct qcow2_header *h)
{
	if (h->incompatible & QCOW2_INCOMPAT_CORRUPT)
		return diag_fail(
			r->d, EROFS,
			"%s: marked corrupt: open it with readonly=on, "
			"or repair it with 'qemu-img check -r all'",
			r->what);
	if (h->incompatible & QCOW2_INCOMPAT_DIRTY)
		return diag_fail(
			r->d, EROFS,
			"%s: was not closed properly and its refcounts "
			"are out of date: run 'qemu-img check -r all' "
			"first",
			r->what);
	return 0;
}

/* ---- extensions and the backing file's name ---------------------------- */

static void take_extension(struct reading *r, struct qcow2_header *h,
			   uint32_t type, const uint8_t *data, uint32_t len)
{
	switch ((enum extension)type) {
	case EXT_BACKING_FORMAT:
		if (len < sizeof(h->backing_format)) {
			memcpy(h->backing_format, data, len);
			h->backing_format[len] = '\0';
		}
		break;
	case EXT_FEATURES:
		r->features = data;
		r->feature_count = len / FEATURE_BYTES;
		break;
	case EXT_BITMAPS:
		if (len < EXT_BITMAPS_BYTES)
			break;
		h->bitmap_count = get_be32(data);
		h->bitmaps_bytes = get_be64(data + 8);
		h->bitmaps_offset = get_be64(data + 16);
		break;
	case EXT_END:
	default:
		break;
	}
}

static int read_extensions(struct reading *r, struct qcow2_header *h)
{
	size_t end = MIN(r->head_bytes, 1ull << h->cluster_bits);
	uint64_t backing_at = get_be64(r->head + 8);
	uint64_t at = r->header_bytes;
	uint32_t type, len;

	if (backing_at && backing_at < end)
		end = backing_at; /* they stop where the name begins */
	while (at + 8 <= end) {
		type = get_be32(r->head + at);
		len = get_be32(r->head + at + 4);
		at += 8;
		if (type == EXT_END)
			break;
		if (len > end - at)
			return damaged(r, "a header extension is too long");
		take_extension(r, h, type, r->head + at, len);
		at += align_up(len, 8);
	}
	return 0;
}

static int read_backing_name(const struct reading *r, struct qcow2_header *h)
{
	uint64_t at = get_be64(r->head + 8);
	uint32_t len = get_be32(r->head + 16);

	if (!at)
		return 0;
	if (!len || len > QCOW2_BACKING_NAME_MAX ||
	    !range_within(at, len, 0,
			  MIN(r->head_bytes, 1ull << h->cluster_bits)))
		return damaged(r, "the name of its backing file is not within "
				  "the first cluster");
	memcpy(h->backing, r->head + at, len);
	if (strlen(h->backing) != len)
		return damaged(r, "the name of its backing file has a zero "
				  "byte");
	return 0;
}

static int check_all(struct reading *r, struct qcow2_header *h, bool writable)
{
	int err;

	err = check_kind(r, h);
	if (err)
		return err;
	parse(r, h);
	err = check_layout(r, h);
	if (!err)
		err = read_extensions(r, h);
	if (!err)
		err = check_features(r, h); /* they may change all else */
	if (!err)
		err = check_size(r, h);
	if (!err)
		err = check_tables(r, h);
	if (!err)
		err = check_compression(r, h);
	if (!err)
		err = read_backing_name(r, h);
	if (!err && writable)
		err = check_writable(r, h);
	return err;
}

int qcow2_header_read(const struct block_file *f, const char *what,
		      bool writable, struct qcow2_header *h, struct diag *d)
{
	struct reading r = { .what = what, .d = d };
	int64_t bytes = block_file_size(f);
	int err;

	if (bytes < 0)
		return diag_errno(d, (int)-bytes, "%s", what);
	memset(h, 0, sizeof(*h));
	r.bytes = (uint64_t)bytes;
	r.head_bytes = EXTENSIONS_BYTES_MAX;
	r.head = malloc(r.head_bytes);
	if (!r.head)
		return diag_fail(d, ENOMEM, "out of memory");
	err = block_file_read(f, 0, r.head, r.head_bytes);
	if (err)
		diag_errno(d, -err, "%s: cannot read the header", what);
	else
		err = check_all(&r, h, writable);
	h->sector_bytes = f->direct ? f->logical_bytes : BLOCK_SECTOR_BYTES;
	memcpy(h->sector, r.head, h->sector_bytes);
	free(r.head);
	return err;
}

int qcow2_header_write(const struct block_file *f, const struct qcow2_header *h)
{
	return block_file_write(f, 0, h->sector, h->sector_bytes);
}
