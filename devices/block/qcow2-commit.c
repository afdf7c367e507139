/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: how the state in memory becomes the image's: see qcow2-impl.h
 *
 * Steps: (1) every dirty L2 table, the L1 table, the refcount table and every
 * dirty refcount block get a new place that is free on disk; the old one is
 * dropped. That changes refcounts, so it goes on until no dirty block is
 * without a new place. (2) All of them are written there. (3) fdatasync(): the
 * guest's data and the tables are durable, and nothing refers to the tables
 * yet. (4) The header. (5) fdatasync().
 *
 * If (1) or (2) fails, for instance because the disk is full, the image is as
 * it was and the state in memory is still right: what has a place keeps it
 * (moved) and the next commit goes on. After a failure of (3) to (5) nobody
 * knows what is on disk: nothing more is written.
 *
 * What was dropped stays untouched until the next state is durable, so two
 * sets of places are used in turn and the image does not grow by commits.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/log.h"

#include "devices/block/qcow2-impl.h"

/* Offsets in the header (sec. "Header"). */
enum {
	HEADER_SIZE = 24,
	HEADER_L1_COUNT = 36,
	HEADER_L1_OFFSET = 40,
	HEADER_RT_OFFSET = 48,
	HEADER_RT_CLUSTERS = 56,
};

/* ---- (1) places -------------------------------------------------------- */

/* Give a table of @count clusters a new place instead of @old (0: it has
 * none); @old is kept if that fails. */
static int move(struct qcow2 *q, uint64_t old, uint64_t old_count,
		uint64_t count, uint64_t *place)
{
	struct qcow2_found found;
	int err;

	err = qcow2_find_free(q, count, true, false, &found);
	if (err)
		return err;
	err = old ? qcow2_can_drop(q, old, old_count, true) : 0;
	if (err) {
		qcow2_unfind(q, found.first, found.count);
		return err;
	}
	qcow2_take(q, found.first, found.count, true);
	if (old)
		qcow2_drop(q, old, old_count);
	*place = found.first;
	return 0;
}

static int place_l2(struct qcow2 *q, struct qcow2_l2 *l2)
{
	uint64_t *entry = &q->l1->entry[(uint32_t)l2->owner - 1], place;
	int err;

	err = move(q, (*entry & QCOW2_OFFSET_MASK) >> q->cluster_bits, 1, 1,
		   &place);
	if (err)
		return err;
	*entry = place << q->cluster_bits | QCOW2_COPIED;
	l2->moved = true;
	return 0;
}

static int place_l2s(struct qcow2 *q)
{
	int err = 0;

	for (uint32_t i = 0; i < q->slot_count && !err; i++)
		if (q->slot[i].dirty && !q->slot[i].moved)
			err = place_l2(q, &q->slot[i]);
	return err;
}

static int place_l1(struct qcow2 *q)
{
	uint64_t count = qcow2_clusters(q, 8ull * q->l1->count);
	int err;

	if (q->l1_moved)
		return 0;
	err = move(q, q->l1_place, q->l1_clusters, count, &q->l1_place);
	if (err)
		return err;
	q->l1_clusters = count;
	q->l1_moved = true;
	return 0;
}

/* Again if it has grown meanwhile. */
static int place_rt(struct qcow2 *q)
{
	uint64_t count = qcow2_clusters(q, 8ull * q->rt_room);
	int err;

	if (q->rt_moved && count == q->rt_clusters)
		return 0;
	err = move(q, q->rt_place, q->rt_clusters, count, &q->rt_place);
	if (err)
		return err;
	q->rt_clusters = count;
	q->rt_moved = true;
	return 0;
}

static int place_block(struct qcow2 *q, struct qcow2_rb *rb)
{
	uint64_t old = q->rt[rb->index] >> q->cluster_bits, place;
	int err = move(q, old, 1, 1, &place);

	if (err)
		return err;
	q->rt[rb->index] = place << q->cluster_bits;
	rb->moved = true;
	return 0;
}

static struct qcow2_rb *unplaced_block(struct qcow2 *q)
{
	struct qcow2_rb *rb = q->newest;

	while (rb && (!rb->dirty || rb->moved))
		rb = rb->older;
	return rb;
}

static bool rt_has_grown(struct qcow2 *q)
{
	return qcow2_clusters(q, 8ull * q->rt_room) != q->rt_clusters;
}

static int place_all(struct qcow2 *q)
{
	struct qcow2_rb *rb;
	int err;

	err = place_l2s(q);
	if (!err)
		err = place_l1(q);
	do {
		if (!err)
			err = place_rt(q);
		while (!err && (rb = unplaced_block(q)))
			err = place_block(q, rb);
	} while (!err && rt_has_grown(q));
	return err;
}

/* ---- (2) contents ------------------------------------------------------ */

static int write_entries(struct qcow2 *q, uint64_t place, uint64_t clusters,
			 const uint64_t *entry, uint32_t count)
{
	size_t bytes = clusters << q->cluster_bits;
	uint8_t *table = calloc(1, bytes);
	int err;

	if (!table)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++)
		put_be64(table + (size_t)i * 8, entry[i]);
	err = block_file_write(q->file, place << q->cluster_bits, table, bytes);
	free(table);
	return err;
}

static int write_l2s(struct qcow2 *q)
{
	uint64_t bytes = qcow2_cluster_bytes(q), at;
	int err = 0;

	for (uint32_t i = 0; i < q->slot_count && !err; i++) {
		if (!q->slot[i].dirty)
			continue;
		at = q->l1->entry[(uint32_t)q->slot[i].owner - 1];
		err = block_file_write(q->file, at & QCOW2_OFFSET_MASK,
				       q->slot_memory + i * bytes, bytes);
	}
	return err;
}

static int write_blocks(struct qcow2 *q)
{
	int err = 0;

	for (struct qcow2_rb *rb = q->newest; rb && !err; rb = rb->older)
		if (rb->dirty)
			err = block_file_write(q->file, q->rt[rb->index],
					       rb->table,
					       qcow2_cluster_bytes(q));
	return err;
}

static int write_all(struct qcow2 *q)
{
	int err;

	err = write_l2s(q);
	if (!err)
		err = write_blocks(q);
	if (!err)
		err = write_entries(q, q->l1_place, q->l1_clusters,
				    q->l1->entry, q->l1->count);
	if (!err)
		err = write_entries(q, q->rt_place, q->rt_clusters, q->rt,
				    q->rt_room);
	return err;
}

/* ---- (3) to (5) -------------------------------------------------------- */

static int write_header(struct qcow2 *q)
{
	uint8_t *p = q->h.sector;

	put_be64(p + HEADER_SIZE, q->capacity);
	put_be32(p + HEADER_L1_COUNT, q->l1->count);
	put_be64(p + HEADER_L1_OFFSET, q->l1_place << q->cluster_bits);
	put_be64(p + HEADER_RT_OFFSET, q->rt_place << q->cluster_bits);
	put_be32(p + HEADER_RT_CLUSTERS, (uint32_t)q->rt_clusters);
	return qcow2_header_write(q->file, &q->h);
}

static int sync_file(const struct qcow2 *q)
{
	return fdatasync(q->file->fd) < 0 ? -errno : 0;
}

static int switch_over(struct qcow2 *q)
{
	int err;

	err = sync_file(q);
	if (!err)
		err = write_header(q);
	if (!err)
		err = sync_file(q);
	if (!err)
		return 0;
	log_error("%s: cannot write the qcow2 header (%s): no more writes",
		  q->what, strerror(-err));
	q->failed = -err;
	return err;
}

static void now_clean(struct qcow2 *q)
{
	for (uint32_t i = 0; i < q->slot_count && q->dirty_slots; i++) {
		q->dirty_slots -= q->slot[i].dirty;
		q->slot[i].dirty = q->slot[i].moved = false;
	}
	for (struct qcow2_rb *rb = q->newest; rb; rb = rb->older)
		rb->dirty = rb->moved = false;
	q->dirty_rbs = 0;
	q->l1_moved = q->rt_moved = false;
	q->dirty = false;
}

int qcow2_commit(struct qcow2 *q)
{
	int err;

	if (q->failed)
		return -q->failed;
	if (!q->dirty)
		return sync_file(q);
	err = place_all(q);
	if (!err)
		err = write_all(q);
	if (!err)
		err = switch_over(q);
	if (err)
		return err;
	now_clean(q);
	qcow2_bury(q);
	qcow2_refs_trim(q);
	return 0;
}

int qcow2_make_room(struct qcow2 *q)
{
	uint64_t rbs = MAX(QCOW2_RB_CACHE_BYTES >> q->cluster_bits, 8);

	if (q->failed)
		return -q->failed;
	if (q->dirty_slots * 2 < q->slot_count && q->dirty_rbs < rbs)
		return 0;
	return qcow2_commit(q);
}
