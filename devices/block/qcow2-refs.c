/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: refcounts of qcow2 images: which host clusters are free (sec. "Host
 * cluster management")
 *
 * Refcount blocks are cached; those that are dirty or that have busy clusters
 * stay. A cluster can be had if its refcount is 0 and it is not busy. Busy
 * are: clusters that were found for a write that is under way (they get a
 * refcount together with the L2 entry, so that no commit in between makes them
 * a leak), and dropped ones until the commit is durable and nobody reads them.
 *
 * When a block is read, all tables that we know of in its range must have a
 * refcount and must not overlap; so nothing that is allocated later can hit
 * one, however wrong the image is.
 *
 * Limits: refcount tables of 8 MiB as in QEMU; a search looks at SCAN_MAX
 * blocks, then goes on at the end of the file.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/check.h"

#include "devices/block/qcow2-impl.h"

#define RBS_MIN	    4
#define SCAN_MAX    1024	 /* 2 TiB with 64 KiB clusters */
#define FILE_MAX    (1ull << 56) /* offsets have 56 bits */
#define RT_RESERVED 511ull

/* ---- one block --------------------------------------------------------- */

static uint64_t get_count(const struct qcow2 *q, const struct qcow2_rb *rb,
			  uint32_t i)
{
	unsigned order = q->h.refcount_order, bits = 1u << order;
	const uint8_t *t = rb->table;

	switch (order) {
	case 6:
		return get_be64(t + (size_t)i * 8);
	case 5:
		return get_be32(t + (size_t)i * 4);
	case 4:
		return get_be16(t + (size_t)i * 2);
	default:
		t += i >> (3 - order);
		i &= (8 >> order) - 1;
		return (*t >> (i * bits)) & ((1u << bits) - 1);
	}
}

static void put_count(const struct qcow2 *q, struct qcow2_rb *rb, uint32_t i,
		      uint64_t v)
{
	unsigned order = q->h.refcount_order, bits = 1u << order, shift;
	uint8_t *t = rb->table;

	switch (order) {
	case 6:
		put_be64(t + (size_t)i * 8, v);
		break;
	case 5:
		put_be32(t + (size_t)i * 4, (uint32_t)v);
		break;
	case 4:
		put_be16(t + (size_t)i * 2, (uint16_t)v);
		break;
	default:
		t += i >> (3 - order);
		shift = (i & ((8 >> order) - 1)) * bits;
		*t &= (uint8_t) ~(((1u << bits) - 1) << shift);
		*t |= (uint8_t)(v << shift);
	}
}

static bool test_bit(const uint64_t *map, uint32_t i)
{
	return map[i / 64] >> (i % 64) & 1;
}

static void set_bit(uint64_t *map, uint32_t i, bool on)
{
	uint64_t bit = 1ull << (i % 64);

	map[i / 64] = on ? map[i / 64] | bit : map[i / 64] & ~bit;
}

static uint32_t in_block(const struct qcow2 *q, uint64_t cluster)
{
	return (uint32_t)(cluster & ((1ull << q->rb_bits) - 1));
}

static void set_busy(const struct qcow2 *q, struct qcow2_rb *rb,
		     uint64_t cluster, bool on)
{
	set_bit(rb->busy, in_block(q, cluster), on);
	rb->busy_count += on ? 1u : -1u;
}

static void dirty_block(struct qcow2 *q, struct qcow2_rb *rb)
{
	if (!rb->dirty)
		q->dirty_rbs++;
	rb->dirty = true;
	q->dirty = true;
}

/* ---- the cache --------------------------------------------------------- */

static void unlink_block(struct qcow2 *q, struct qcow2_rb *rb)
{
	*(rb->older ? &rb->older->newer : &q->oldest) = rb->newer;
	*(rb->newer ? &rb->newer->older : &q->newest) = rb->older;
}

static void link_newest(struct qcow2 *q, struct qcow2_rb *rb)
{
	rb->older = q->newest;
	rb->newer = NULL;
	*(q->newest ? &q->newest->newer : &q->oldest) = rb;
	q->newest = rb;
}

static void forget(struct qcow2 *q, struct qcow2_rb *rb)
{
	unlink_block(q, rb);
	q->rb[rb->index] = NULL;
	q->rb_count--;
	free(rb->table);
	free(rb->busy);
	free(rb->meta);
	free(rb);
}

void qcow2_refs_trim(struct qcow2 *q)
{
	uint64_t most = MAX(QCOW2_RB_CACHE_BYTES >> q->cluster_bits, RBS_MIN);
	struct qcow2_rb *rb = q->oldest, *newer;

	for (; rb && q->rb_count > most; rb = newer) {
		newer = rb->newer;
		if (!rb->dirty && !rb->busy_count)
			forget(q, rb);
	}
}

static struct qcow2_rb *make_block(struct qcow2 *q, uint32_t index)
{
	size_t words = (1ull << q->rb_bits) / 64;
	struct qcow2_rb *rb = calloc(1, sizeof(*rb));

	if (!rb)
		return NULL;
	rb->index = index;
	rb->table = calloc(1, qcow2_cluster_bytes(q));
	rb->busy = calloc(words, 8);
	rb->meta = calloc(words, 8);
	if (rb->table && rb->busy && rb->meta)
		return rb;
	free(rb->table);
	free(rb->busy);
	free(rb->meta);
	free(rb);
	return NULL;
}

/* [@first, @first + @count) are tables: mark those within the block. */
static int mark_tables(struct qcow2 *q, struct qcow2_rb *rb, uint64_t first,
		       uint64_t count)
{
	uint64_t low = (uint64_t)rb->index << q->rb_bits;
	uint64_t high = low + (1ull << q->rb_bits);
	uint64_t end = MIN(first + count, high);

	for (first = MAX(first, low); first < end; first++) {
		if (!get_count(q, rb, in_block(q, first)))
			return qcow2_corrupt(q, "a table has refcount 0",
					     first << q->cluster_bits);
		if (test_bit(rb->meta, in_block(q, first)))
			return qcow2_corrupt(q, "two tables overlap",
					     first << q->cluster_bits);
		set_bit(rb->meta, in_block(q, first), true);
	}
	return 0;
}

static int mark_all_tables(struct qcow2 *q, struct qcow2_rb *rb)
{
	struct qcow2_l1 *l1 = q->l1;
	uint64_t at;
	int err;

	err = mark_tables(q, rb, 0, 1); /* the header */
	if (!err)
		err = mark_tables(q, rb, q->l1_place, q->l1_clusters);
	if (!err)
		err = mark_tables(q, rb, q->rt_place, q->rt_clusters);
	for (size_t i = 0; i < q->fixed.count && !err; i++)
		err = mark_tables(q, rb, q->fixed.v[i].first,
				  q->fixed.v[i].count);
	for (uint32_t i = 0; i < q->rt_room && !err; i++)
		if (q->rt[i])
			err = mark_tables(q, rb, q->rt[i] >> q->cluster_bits,
					  1);
	for (uint32_t i = 0; i < l1->count && !err; i++) {
		at = l1->entry[i] & QCOW2_OFFSET_MASK;
		if (at)
			err = mark_tables(q, rb, at >> q->cluster_bits, 1);
	}
	return err;
}

static int read_block(struct qcow2 *q, struct qcow2_rb *rb)
{
	uint64_t bytes = qcow2_cluster_bytes(q), at = q->rt[rb->index];

	if (!at)
		return 0;
	if ((at & RT_RESERVED) || (at & (bytes - 1)) ||
	    !range_within(at, bytes, 0, q->file_bytes))
		return qcow2_corrupt(
			q, "a refcount block is not within the file", at);
	return block_file_read(q->file, at, rb->table, bytes);
}

static int grow_table(struct qcow2 *q, uint64_t index)
{
	uint32_t room = q->rt_room;
	struct qcow2_rb **rb;
	uint64_t *rt;

	if (index >= QCOW2_RT_BYTES_MAX / 8)
		return -EFBIG;
	while (room <= index)
		room *= 2;
	rt = realloc(q->rt, room * sizeof(*rt));
	if (!rt)
		return -ENOMEM;
	q->rt = rt;
	rb = realloc(q->rb, room * sizeof(struct qcow2_rb *));
	if (!rb)
		return -ENOMEM;
	q->rb = rb;
	memset(rt + q->rt_room, 0, (room - q->rt_room) * sizeof(*rt));
	memset(rb + q->rt_room, 0,
	       (room - q->rt_room) * sizeof(struct qcow2_rb *));
	q->rt_room = room;
	return 0;
}

static int get_block(struct qcow2 *q, uint64_t cluster, struct qcow2_rb **out)
{
	uint64_t index = cluster >> q->rb_bits;
	struct qcow2_rb *rb;
	int err = 0;

	if (index >= q->rt_room)
		err = grow_table(q, index);
	if (err)
		return err;
	rb = q->rb[index];
	if (!rb) {
		rb = make_block(q, (uint32_t)index);
		if (!rb)
			return -ENOMEM;
		q->rb[index] = rb;
		q->rb_count++;
		link_newest(q, rb);
		err = read_block(q, rb);
		if (!err)
			err = mark_all_tables(q, rb);
		if (err)
			forget(q, rb);
	} else if (rb != q->newest) {
		unlink_block(q, rb);
		link_newest(q, rb);
	}
	*out = rb;
	return err;
}

/* The block of a cluster that keeps it in memory. */
static struct qcow2_rb *held_block(struct qcow2 *q, uint64_t cluster)
{
	struct qcow2_rb *rb = q->rb[cluster >> q->rb_bits];

	CHECK(rb);
	return rb;
}

int qcow2_ref(struct qcow2 *q, uint64_t cluster, uint64_t *count, bool *meta)
{
	struct qcow2_rb *rb;
	int err;

	qcow2_refs_trim(q);
	err = get_block(q, cluster, &rb);
	if (err)
		return err;
	*count = get_count(q, rb, in_block(q, cluster));
	*meta = test_bit(rb->meta, in_block(q, cluster));
	return 0;
}

/* ---- finding free clusters --------------------------------------------- */

/**
 * struct search - for free clusters
 * @at: where it is; @blocks: how many it has seen; @rb: the last
 * @jumped: to the end of the file
 */
struct search {
	uint64_t at;
	uint32_t blocks;
	struct qcow2_rb *rb;
	bool jumped;
};

/* Go to the block of s->at. */
static int search_block(struct qcow2 *q, struct search *s)
{
	uint64_t end = qcow2_clusters(q, q->file_bytes);

	if (s->rb && s->rb->index == s->at >> q->rb_bits)
		return 0;
	if (s->blocks++ == SCAN_MAX) {
		if (s->jumped)
			return -ENOSPC;
		s->jumped = true;
		s->blocks = 0;
		s->at = MAX(s->at, end);
	}
	if (s->at >= FILE_MAX >> q->cluster_bits)
		return -EFBIG;
	qcow2_refs_trim(q);
	return get_block(q, s->at, &s->rb);
}

static bool is_free(const struct qcow2 *q, const struct qcow2_rb *rb,
		    uint64_t cluster)
{
	uint32_t i = in_block(q, cluster);

	return !get_count(q, rb, i) && !test_bit(rb->busy, i);
}

static int search(struct qcow2 *q, uint64_t most, bool all,
		  struct qcow2_found *found, struct search *s)
{
	uint64_t last;
	int err;

	found->count = 0;
	while (found->count < most) {
		last = s->at;
		err = search_block(q, s);
		if (err)
			return err;
		if (s->at != last)
			found->count = 0; /* it jumped */
		if (is_free(q, s->rb, s->at)) {
			if (!found->count++)
				found->first = s->at;
		} else if (found->count && !all) {
			break;
		} else {
			found->count = 0;
		}
		s->at++;
	}
	return 0;
}

static int lengthen(struct qcow2 *q, struct qcow2_found *found)
{
	uint64_t begin = found->first << q->cluster_bits;
	uint64_t end = (found->first + found->count) << q->cluster_bits;

	found->fresh = begin >= q->file_bytes && !q->file->is_device;
	if (end <= q->file_bytes)
		return 0;
	if (q->file->is_device)
		return -ENOSPC;
	if (ftruncate(q->file->fd, (off_t)end) < 0)
		return -errno;
	q->file_bytes = end;
	return 0;
}

int qcow2_find_free(struct qcow2 *q, uint64_t most, bool all, bool data,
		    struct qcow2_found *found)
{
	uint64_t *hint = data ? &q->data_hint : &q->meta_hint;
	struct search s = { .at = *hint };
	struct qcow2_rb *rb;
	int err;

	err = search(q, most, all, found, &s);
	if (!err)
		err = lengthen(q, found);
	for (uint64_t i = 0; i < found->count && !err; i++) {
		err = get_block(q, found->first + i, &rb);
		if (err)
			qcow2_unfind(q, found->first, i);
		else
			set_busy(q, rb, found->first + i, true);
	}
	if (!err && (!all || most == 1))
		*hint = found->first + found->count;
	return err;
}

void qcow2_unfind(struct qcow2 *q, uint64_t first, uint64_t count)
{
	for (uint64_t c = first; c < first + count; c++)
		set_busy(q, held_block(q, c), c, false);
	q->data_hint = MIN(q->data_hint, first);
}

/* ---- taking and dropping ----------------------------------------------- */

void qcow2_take(struct qcow2 *q, uint64_t first, uint64_t count, bool meta)
{
	struct qcow2_rb *rb;

	for (uint64_t c = first; c < first + count; c++) {
		rb = held_block(q, c);
		set_busy(q, rb, c, false);
		put_count(q, rb, in_block(q, c), 1);
		set_bit(rb->meta, in_block(q, c), meta);
		dirty_block(q, rb);
	}
}

int qcow2_can_drop(struct qcow2 *q, uint64_t first, uint64_t count, bool meta)
{
	struct qcow2_rb *rb;
	int err;

	for (uint64_t c = first; c < first + count; c++) {
		err = get_block(q, c, &rb);
		if (err)
			return err;
		if (!get_count(q, rb, in_block(q, c)))
			return qcow2_corrupt(q, "a used cluster has refcount 0",
					     c << q->cluster_bits);
		if (test_bit(rb->meta, in_block(q, c)) != meta)
			return qcow2_corrupt(q,
					     "a data cluster is also a table",
					     c << q->cluster_bits);
	}
	return 0;
}

static bool extents_add(struct qcow2_extents *e, uint64_t cluster, bool data)
{
	struct qcow2_extent *last = e->count ? &e->v[e->count - 1] : NULL;
	struct qcow2_extent *v;
	size_t room;

	if (last && last->first + last->count == cluster &&
	    last->data == data) {
		last->count++;
		return true;
	}
	if (!e->v || e->count == e->room) {
		room = MAX(e->room * 2, 16);
		v = realloc(e->v, room * sizeof(*v));
		if (!v)
			return false;
		e->v = v;
		e->room = room;
	}
	e->v[e->count++] = (struct qcow2_extent){ cluster, 1, data };
	return true;
}

void qcow2_drop(struct qcow2 *q, uint64_t first, uint64_t count)
{
	struct qcow2_rb *rb;
	uint64_t refs;
	uint32_t i;

	for (uint64_t c = first; c < first + count; c++) {
		rb = held_block(q, c);
		i = in_block(q, c);
		refs = get_count(q, rb, i);
		if (!refs)
			continue;
		put_count(q, rb, i, refs - 1);
		dirty_block(q, rb);
		if (refs > 1)
			continue;
		/* Without memory for it, it stays busy until we close. */
		set_busy(q, rb, c, true);
		extents_add(&q->frozen, c, !test_bit(rb->meta, i));
		set_bit(rb->meta, i, false);
	}
}

/* ---- what was dropped becomes free ------------------------------------- */

void qcow2_bury(struct qcow2 *q)
{
	struct qcow2_grave *g;

	if (!q->frozen.count)
		return;
	g = calloc(1, sizeof(*g));
	if (!g)
		return; /* with the next commit, perhaps */
	g->extents = q->frozen;
	g->epoch = q->epoch;
	g->next = q->grave;
	q->grave = g;
	q->buried = true;
	memset(&q->frozen, 0, sizeof(q->frozen));
}

/* Requests that began in epoch e are done before there is an epoch e + 2. */
static void advance_epoch(struct qcow2 *q)
{
	unsigned next = q->epoch + 1;

	for (struct qcow2_queue *d = q->queues; d; d = d->next)
		if (atomic_load(&d->epoch[next & 1]))
			return;
	atomic_store(&q->epoch, next);
}

static void punch(const struct qcow2 *q, const struct qcow2_extent *e)
{
	if (e->data && q->file->sparse && !q->file->no_punch_hole &&
	    fallocate(q->file->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		      (off_t)(e->first << q->cluster_bits),
		      (off_t)(e->count << q->cluster_bits)) < 0 &&
	    (errno == EOPNOTSUPP || errno == ENOSYS))
		q->file->no_punch_hole = true;
}

static void release_extent(struct qcow2 *q, const struct qcow2_extent *e)
{
	uint64_t *hint = e->data ? &q->data_hint : &q->meta_hint;

	for (uint64_t c = e->first; c < e->first + e->count; c++)
		set_busy(q, held_block(q, c), c, false);
	*hint = MIN(*hint, e->first);
}

static struct qcow2_grave *take_grave(struct qcow2 *q)
{
	struct qcow2_grave **at = &q->grave, *g;

	while (*at && (int)(q->epoch - (*at)->epoch) < 2)
		at = &(*at)->next;
	g = *at;
	if (g)
		*at = g->next;
	return g;
}

bool qcow2_exhume(struct qcow2 *q)
{
	struct qcow2_grave *g;

	if (!q->grave)
		return false;
	advance_epoch(q);
	advance_epoch(q);
	while ((g = take_grave(q))) {
		pthread_mutex_unlock(&q->lock);
		for (size_t i = 0; i < g->extents.count; i++)
			punch(q, &g->extents.v[i]);
		pthread_mutex_lock(&q->lock);
		for (size_t i = 0; i < g->extents.count; i++)
			release_extent(q, &g->extents.v[i]);
		free(g->extents.v);
		free(g);
	}
	q->buried = q->grave;
	return q->buried;
}

/* ---- life -------------------------------------------------------------- */

static int add_fixed(struct qcow2 *q, uint64_t offset, uint64_t bytes)
{
	uint64_t first = offset >> q->cluster_bits, end;

	if ((offset & (qcow2_cluster_bytes(q) - 1)) ||
	    !range_within(offset, bytes, 0, q->file_bytes))
		return -EINVAL;
	end = first + qcow2_clusters(q, bytes);
	for (; first < end; first++)
		if (!extents_add(&q->fixed, first, false))
			return -ENOMEM;
	return 0;
}

/* Snapshot table (sec. "Snapshots"): 40 bytes, extra data, ID, name; padded
 * to 8. Their L1 tables must not be hit; the rest has refcounts. */
static int read_snapshots(struct qcow2 *q)
{
	uint64_t at = q->h.snapshots_offset, l1, l1_bytes;
	uint8_t head[40];
	int err;

	for (uint32_t i = 0; i < q->h.snapshot_count; i++) {
		if (!range_within(at, sizeof(head), 0, q->file_bytes))
			return -EINVAL;
		err = block_file_read(q->file, at, head, sizeof(head));
		if (err)
			return err;
		l1 = get_be64(head);
		l1_bytes = 8ull * get_be32(head + 8);
		if (l1_bytes > QCOW2_L1_BYTES_MAX)
			return -EINVAL;
		err = l1_bytes ? add_fixed(q, l1, l1_bytes) : 0;
		if (err)
			return err;
		at += sizeof(head) + get_be32(head + 36) + get_be16(head + 12) +
		      get_be16(head + 14);
		at = align_up(at, 8);
	}
	return add_fixed(q, q->h.snapshots_offset, at - q->h.snapshots_offset);
}

static int read_rt(struct qcow2 *q)
{
	int err = block_file_read(q->file, q->h.rt_offset, q->rt,
				  q->rt_room * sizeof(*q->rt));

	for (uint32_t i = 0; i < q->rt_room && !err; i++)
		q->rt[i] = be64toh(q->rt[i]);
	return err;
}

int qcow2_refs_init(struct qcow2 *q, struct diag *d)
{
	int err = 0;

	q->rt_place = q->h.rt_offset >> q->cluster_bits;
	q->rt_clusters = q->h.rt_clusters;
	q->rt_room = (uint32_t)(q->rt_clusters << (q->cluster_bits - 3));
	q->rt = calloc(q->rt_room, sizeof(*q->rt));
	q->rb = calloc(q->rt_room, sizeof(struct qcow2_rb *));
	if (!q->rt || !q->rb)
		return diag_fail(d, ENOMEM, "out of memory");
	err = read_rt(q);
	if (err)
		return diag_errno(d, -err, "%s: cannot read refcounts",
				  q->what);
	err = q->h.snapshot_count ? read_snapshots(q) : 0;
	if (err)
		return diag_fail(d, -err,
				 "%s: not a sound qcow2 image: its snapshot "
				 "table is damaged ('qemu-img check' says "
				 "more)",
				 q->what);
	return 0;
}

void qcow2_refs_release(struct qcow2 *q)
{
	struct qcow2_rb *rb = q->oldest, *newer;
	struct qcow2_grave *g;

	for (; rb; rb = newer) {
		newer = rb->newer;
		forget(q, rb);
	}
	while ((g = q->grave)) {
		q->grave = g->next;
		free(g->extents.v);
		free(g);
	}
	free(q->frozen.v);
	free(q->fixed.v);
	free(q->rt);
	free(q->rb);
}
