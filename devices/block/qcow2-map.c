/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: where guest clusters are: L1, L2 and their cache (sec. "Cluster
 * mapping")
 *
 * The L1 table is in memory. L2 tables are cached in slots that stay where
 * they are, so that a reader without the lock never touches freed memory: it
 * looks at the slot's owner before and after it reads entries, and a slot gets
 * a new owner number with each new table. Slots are replaced by a clock; dirty
 * ones wait for the next commit.
 *
 * An L2 table of a writable image is checked when it is read: what it calls
 * its own (COPIED) must have refcount 1 and must not be a table or the header,
 * since such clusters are written without further questions.
 *
 * Limits: 32 MiB of L2 tables, which is all of a 256 GiB disk with 64 KiB
 * clusters; the memory is used as tables are.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "vmm/base/bytes.h"
#include "vmm/base/check.h"

#include "devices/block/qcow2-impl.h"

#define SLOTS_MIN      16
#define L1_OFFSET_MASK QCOW2_OFFSET_MASK
#define L1_RESERVED    (~(QCOW2_COPIED | L1_OFFSET_MASK))
#define L2_RESERVED    (~(QCOW2_COPIED | QCOW2_ZERO | QCOW2_OFFSET_MASK))

static uint64_t l1_index(const struct qcow2 *q, uint64_t offset)
{
	return offset >> (q->cluster_bits + q->l2_bits);
}

static uint32_t l2_index(const struct qcow2 *q, uint64_t offset)
{
	return (uint32_t)(offset >> q->cluster_bits) & ((1u << q->l2_bits) - 1);
}

static uint64_t load_entry(const struct qcow2_l2 *l2, uint32_t i)
{
	return be64toh(
		atomic_load_explicit(&l2->table[i], memory_order_acquire));
}

static void store_entry(const struct qcow2_l2 *l2, uint32_t i, uint64_t v)
{
	atomic_store_explicit(&l2->table[i], htobe64(v), memory_order_release);
}

/* ---- entries ----------------------------------------------------------- */

void qcow2_packed_range(const struct qcow2 *q, uint64_t entry, uint64_t *offset,
			uint64_t *bytes)
{
	unsigned x = 62 - (q->cluster_bits - 8);
	uint64_t sectors = ((entry & ~QCOW2_PACKED) >> x) + 1;

	*offset = entry & ((1ull << x) - 1);
	*bytes = sectors * 512 - (*offset & 511);
}

static bool sound(const struct qcow2 *q, uint64_t entry)
{
	uint64_t host = entry & QCOW2_OFFSET_MASK;

	return !(entry & L2_RESERVED) &&
	       !(host & (qcow2_cluster_bytes(q) - 1)) &&
	       (!host || host < q->file_bytes) &&
	       (q->h.version > 2 || !(entry & QCOW2_ZERO));
}

void qcow2_map_decode(const struct qcow2 *q, uint64_t entry,
		      struct qcow2_run *run)
{
	run->entry = entry;
	run->bytes = qcow2_cluster_bytes(q);
	run->host = entry & QCOW2_OFFSET_MASK;
	run->copied = entry & QCOW2_COPIED;
	if (entry & QCOW2_PACKED)
		run->kind = run->copied ? QCOW2_BAD : QCOW2_COMPRESSED;
	else if (!sound(q, entry))
		run->kind = QCOW2_BAD;
	else if (entry & QCOW2_ZERO)
		run->kind = QCOW2_ZEROS;
	else
		run->kind = run->host ? QCOW2_DATA : QCOW2_HOLE;
}

/* Does the next cluster go on where the run ends? */
static bool continues(const struct qcow2_run *run, const struct qcow2_run *next)
{
	if (next->kind != run->kind)
		return false;
	if (run->kind == QCOW2_DATA)
		return next->host == run->host + run->bytes &&
		       next->copied == run->copied;
	return run->kind == QCOW2_HOLE || run->kind == QCOW2_ZEROS;
}

/* ---- looking up -------------------------------------------------------- */

static void find_in_table(const struct qcow2 *q, const struct qcow2_l2 *l2,
			  uint64_t offset, uint64_t len, struct qcow2_run *run)
{
	uint64_t skip = offset & (qcow2_cluster_bytes(q) - 1);
	uint32_t i = l2_index(q, offset);
	struct qcow2_run next;

	qcow2_map_decode(q, load_entry(l2, i), run);
	while (run->bytes - skip < len && ++i < 1u << q->l2_bits) {
		qcow2_map_decode(q, load_entry(l2, i), &next);
		if (!continues(run, &next))
			break;
		run->bytes += next.bytes;
	}
	run->bytes = MIN(run->bytes - skip, len);
	if (run->kind == QCOW2_DATA)
		run->host += skip;
}

/* No table: all of what it would cover is unallocated. */
static void find_no_table(const struct qcow2 *q, uint64_t offset, uint64_t len,
			  struct qcow2_run *run)
{
	uint64_t covered = 1ull << (q->cluster_bits + q->l2_bits);

	memset(run, 0, sizeof(*run));
	run->kind = QCOW2_HOLE;
	run->bytes = MIN(covered - (offset & (covered - 1)), len);
}

static void mark_used(struct qcow2_l2 *l2)
{
	if (!atomic_load_explicit(&l2->used, memory_order_relaxed))
		atomic_store_explicit(&l2->used, true, memory_order_relaxed);
}

void qcow2_map_find(struct qcow2 *q, uint64_t offset, uint64_t len,
		    struct qcow2_run *run)
{
	struct qcow2_l1 *l1 =
		atomic_load_explicit(&q->l1, memory_order_acquire);
	uint64_t index = l1_index(q, offset), owner;
	uint32_t slot = index < l1->count
				? atomic_load_explicit(&l1->slot[index],
						       memory_order_acquire)
				: 0;
	struct qcow2_l2 *l2;

	run->kind = QCOW2_ABSENT;
	run->bytes = 0;
	if (!slot)
		return;
	if (slot == QCOW2_NO_TABLE) {
		find_no_table(q, offset, len, run);
		return;
	}
	l2 = &q->slot[slot - 1];
	owner = atomic_load_explicit(&l2->owner, memory_order_acquire);
	if ((uint32_t)owner != index + 1)
		return;
	find_in_table(q, l2, offset, len, run);
	/* Entries were loaded with acquire: this load comes after them. */
	if (atomic_load_explicit(&l2->owner, memory_order_relaxed) != owner)
		run->kind = QCOW2_ABSENT;
	mark_used(l2);
}

/* ---- the cache --------------------------------------------------------- */

static void set_slot(struct qcow2 *q, uint64_t index, uint32_t slot)
{
	atomic_store_explicit(&q->l1->slot[index], slot, memory_order_release);
}

static void disown(struct qcow2 *q, struct qcow2_l2 *l2)
{
	uint64_t owner = l2->owner;
	uint32_t index = (uint32_t)owner;

	if (!index)
		return;
	index--;
	set_slot(q, index, q->l1->entry[index] ? 0 : QCOW2_NO_TABLE);
	/* Entries are stored with release: whoever sees a new one also sees
	 * that the slot is nobody's. */
	atomic_store(&l2->owner, ((owner >> 32) + 1) << 32);
}

static void own(struct qcow2 *q, struct qcow2_l2 *l2, uint64_t index)
{
	atomic_store(&l2->owner, (l2->owner >> 32) << 32 | (index + 1));
	set_slot(q, index, (uint32_t)(l2 - q->slot) + 1);
	mark_used(l2);
}

/* A slot that is nobody's any more, or NULL if all are dirty. */
static struct qcow2_l2 *take_slot(struct qcow2 *q)
{
	struct qcow2_l2 *l2;

	for (uint32_t i = 0; i < 2 * q->slot_count; i++) {
		l2 = &q->slot[q->hand];
		q->hand = (q->hand + 1) % q->slot_count;
		if (l2->dirty)
			continue;
		if (l2->owner && (uint32_t)l2->owner &&
		    atomic_exchange(&l2->used, false))
			continue;
		disown(q, l2);
		return l2;
	}
	return NULL;
}

/* What a table calls its own will be written in place. */
static int check_owned(struct qcow2 *q, const uint8_t *table)
{
	struct qcow2_run run;
	uint64_t count;
	bool meta;
	int err;

	for (uint32_t i = 0; i < 1u << q->l2_bits; i++) {
		qcow2_map_decode(q, get_be64(table + (size_t)i * 8), &run);
		if (!run.copied || !run.host || run.kind == QCOW2_BAD)
			continue;
		err = qcow2_ref(q, run.host >> q->cluster_bits, &count, &meta);
		if (err)
			return err;
		if (count != 1 || meta)
			return qcow2_corrupt(q,
					     "a data cluster is also something "
					     "else",
					     run.host);
	}
	return 0;
}

static int read_table(struct qcow2 *q, uint64_t place)
{
	uint64_t bytes = qcow2_cluster_bytes(q);
	int err;

	if ((place & (bytes - 1)) ||
	    !range_within(place, bytes, 0, q->file_bytes))
		return qcow2_corrupt(q, "an L2 table is not within the file",
				     place);
	err = block_file_read(q->file, place, q->table_read, bytes);
	if (!err && q->writable)
		err = check_owned(q, q->table_read);
	return err;
}

static void fill(const struct qcow2 *q, const struct qcow2_l2 *l2,
		 const uint8_t *table)
{
	for (uint32_t i = 0; i < 1u << q->l2_bits; i++)
		store_entry(l2, i, table ? get_be64(table + (size_t)i * 8) : 0);
}

static int load(struct qcow2 *q, uint64_t index)
{
	uint64_t entry = q->l1->entry[index];
	struct qcow2_l2 *l2;
	int err;

	if (entry & L1_RESERVED)
		return qcow2_corrupt(q, "an L1 entry has reserved bits", entry);
	err = read_table(q, entry & L1_OFFSET_MASK);
	if (err)
		return err;
	l2 = take_slot(q);
	if (!l2)
		return -EIO;
	fill(q, l2, q->table_read);
	own(q, l2, index);
	return 0;
}

int qcow2_map_load(struct qcow2 *q, uint64_t offset, uint64_t len,
		   struct qcow2_run *run)
{
	uint64_t index = l1_index(q, offset);
	int err;

	if (index >= q->l1->count)
		return -EIO;
	if (!q->l1->slot[index]) {
		err = load(q, index);
		if (err)
			return err;
	}
	qcow2_map_find(q, offset, len, run);
	return 0;
}

int qcow2_map_table(struct qcow2 *q, uint64_t offset, bool create,
		    struct qcow2_l2 **out)
{
	uint64_t index = l1_index(q, offset);
	struct qcow2_l2 *l2 = NULL;
	int err = 0;

	if (index >= q->l1->count)
		return -EIO;
	if (!q->l1->slot[index])
		err = load(q, index);
	if (err)
		return err;
	if (q->l1->slot[index] != QCOW2_NO_TABLE) {
		l2 = &q->slot[q->l1->slot[index] - 1];
	} else if (create) {
		l2 = take_slot(q);
		if (!l2)
			return -EIO;
		fill(q, l2, NULL);
		own(q, l2, index);
	}
	*out = l2;
	return 0;
}

uint64_t qcow2_map_entry(const struct qcow2 *q, const struct qcow2_l2 *l2,
			 uint64_t offset)
{
	return load_entry(l2, l2_index(q, offset));
}

void qcow2_map_set(struct qcow2 *q, struct qcow2_l2 *l2, uint64_t offset,
		   uint64_t entry)
{
	store_entry(l2, l2_index(q, offset), entry);
	if (!l2->dirty)
		q->dirty_slots++;
	l2->dirty = true;
	q->dirty = true;
}

/* ---- life -------------------------------------------------------------- */

static void l1_free(struct qcow2_l1 *l1)
{
	if (!l1)
		return;
	free(l1->entry);
	free(l1->slot);
	free(l1);
}

static struct qcow2_l1 *l1_new(uint32_t count)
{
	struct qcow2_l1 *l1 = calloc(1, sizeof(*l1));

	if (!l1)
		return NULL;
	l1->count = count;
	l1->entry = calloc(count, sizeof(*l1->entry));
	l1->slot = calloc(count, sizeof(*l1->slot));
	if (l1->entry && l1->slot)
		return l1;
	l1_free(l1);
	return NULL;
}

static int l1_read(struct qcow2 *q, struct diag *d)
{
	struct qcow2_l1 *l1 = q->l1;
	int err;

	err = block_file_read(q->file, q->h.l1_offset, l1->entry,
			      (size_t)l1->count * 8);
	if (err)
		return diag_errno(d, -err, "%s: cannot read the L1 table",
				  q->what);
	for (uint32_t i = 0; i < l1->count; i++) {
		l1->entry[i] = be64toh(l1->entry[i]);
		if (!l1->entry[i])
			l1->slot[i] = QCOW2_NO_TABLE;
	}
	return 0;
}

static int make_slots(struct qcow2 *q)
{
	uint64_t bytes = qcow2_cluster_bytes(q);
	uint64_t count = MIN(QCOW2_L2_CACHE_BYTES / bytes,
			     MAX(2ull * q->h.l1_count, 64));
	void *memory;

	q->slot_count = (uint32_t)MAX(count, SLOTS_MIN);
	memory = mmap(NULL, q->slot_count * bytes, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED)
		return -ENOMEM;
	q->slot_memory = memory;
	q->slot = calloc(q->slot_count, sizeof(*q->slot));
	q->table_read = malloc(bytes);
	if (!q->slot || !q->table_read)
		return -ENOMEM;
	for (uint32_t i = 0; i < q->slot_count; i++)
		q->slot[i].table = (_Atomic uint64_t *)(void *)(q->slot_memory +
								i * bytes);
	return 0;
}

int qcow2_map_init(struct qcow2 *q, struct diag *d)
{
	q->l1 = l1_new(q->h.l1_count);
	if (!q->l1 || make_slots(q))
		return diag_fail(d, ENOMEM, "out of memory");
	q->l1_place = q->h.l1_offset >> q->cluster_bits;
	q->l1_clusters = qcow2_clusters(q, 8ull * q->h.l1_count);
	return l1_read(q, d);
}

void qcow2_map_release(struct qcow2 *q)
{
	struct qcow2_l1 *l1 = q->l1, *older;

	for (; l1; l1 = older) {
		older = l1->older;
		l1_free(l1);
	}
	if (q->slot_memory)
		munmap(q->slot_memory,
		       (size_t)q->slot_count << q->cluster_bits);
	free(q->slot);
	free(q->table_read);
}

int qcow2_map_grow(struct qcow2 *q, uint64_t bytes)
{
	uint64_t needed = qcow2_l1_needed(bytes, q->cluster_bits);
	struct qcow2_l1 *l1 = q->l1, *grown;

	if (needed <= l1->count)
		return 0;
	if (needed > QCOW2_L1_BYTES_MAX / 8)
		return -EFBIG;
	/* More than needed: each that was too small is kept. */
	grown = l1_new((uint32_t)MIN(MAX(needed, 2ull * l1->count),
				     QCOW2_L1_BYTES_MAX / 8));
	if (!grown)
		return -ENOMEM;
	memcpy(grown->entry, l1->entry, l1->count * sizeof(*l1->entry));
	for (uint32_t i = 0; i < grown->count; i++)
		grown->slot[i] = i < l1->count ? l1->slot[i] : QCOW2_NO_TABLE;
	grown->older = l1;
	q->l1_moved = false; /* wherever it was to be is too small */
	atomic_store_explicit(&q->l1, grown, memory_order_release);
	return 0;
}
