/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: qcow2 requests, the long way: on a worker, synchronously
 *
 * Here is all that needs tables changed, read or more than one file: writes to
 * clusters that are not ours alone, zeros, discards, compressed clusters, and
 * whatever the short way (qcow2-fast.c) found no table for.
 *
 * A write to a guest cluster that has no host cluster of its own: claim it,
 * find a free host cluster, write the data and what surrounds it, and only
 * then change L2 entry and refcounts, together under the lock.
 *
 * Zeros and discards (VIRTIO 1.3 sec. 5.2.6): whole clusters lose their host
 * cluster; with may_unmap off they keep it, marked as zeros (version 3).
 * Version 2 knows no zero clusters: over a backing image, zeros are written
 * and discards do nothing. Parts of clusters are written, or left alone by
 * discards.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/check.h"
#include "vmm/base/iov.h"

#include "devices/block/qcow2-impl.h"

#define BOUNCE_BYTES MIB(1)
#define ALIGN	     4096 /* enough for any O_DIRECT that file.c accepts */

static int read_range(struct qcow2 *q, struct qcow2_scratch *s, uint64_t offset,
		      uint8_t *buf, uint64_t len);

/* ---- buffers ----------------------------------------------------------- */

int qcow2_scratch_init(struct qcow2_scratch *s, const struct qcow2 *q)
{
	size_t cluster = (size_t)MAX(qcow2_cluster_bytes(q), ALIGN);

	memset(s, 0, sizeof(*s));
	s->bounce_bytes = MAX(BOUNCE_BYTES, cluster);
	s->bounce = aligned_alloc(ALIGN, s->bounce_bytes);
	return s->bounce ? 0 : -ENOMEM;
}

void qcow2_scratch_release(struct qcow2_scratch *s)
{
	free(s->bounce);
	free(s->packed);
	free(s->cluster);
}

/* ---- reading ----------------------------------------------------------- */

/* NOLINTNEXTLINE(misc-no-recursion): QCOW2_BACKING_DEPTH_MAX at most */
static int read_under(struct qcow2 *q, struct qcow2_scratch *s, uint64_t offset,
		      uint8_t *buf, uint64_t len)
{
	uint64_t have = offset < q->under_bytes ? q->under_bytes - offset : 0;
	int err = 0;

	have = MIN(have, len);
	memset(buf + have, 0, len - have);
	if (have && q->under)
		err = read_range(q->under, s, offset, buf, have);
	else if (have)
		err = block_file_read(q->under_raw, offset, buf, have);
	return err;
}

static int scratch_for(struct qcow2_scratch *s)
{
	size_t most = 1u << QCOW2_CLUSTER_BITS_MAX;

	if (!s->packed)
		s->packed = malloc(2 * most);
	if (!s->cluster)
		s->cluster = malloc(most);
	return s->packed && s->cluster ? 0 : -ENOMEM;
}

static int unpack(struct qcow2 *q, struct qcow2_scratch *s, uint64_t entry)
{
	uint64_t bytes, at;
	int err;

	if (s->image == q && s->entry == entry)
		return 0;
	err = scratch_for(s);
	if (err)
		return err;
	s->image = NULL;
	qcow2_packed_range(q, entry, &at, &bytes);
	if (at >= q->file_bytes || bytes > 2ull << q->cluster_bits)
		return -EIO;
	err = block_file_read(q->file, at, s->packed, bytes);
	if (!err)
		err = qcow2_unpack(q->h.compression, s->packed, bytes,
				   s->cluster, qcow2_cluster_bytes(q));
	if (err)
		return err;
	s->image = q;
	s->entry = entry;
	return 0;
}

static int read_packed(struct qcow2 *q, struct qcow2_scratch *s,
		       uint64_t offset, uint8_t *buf, uint64_t len,
		       uint64_t entry)
{
	int err = unpack(q, s, entry);

	if (!err)
		memcpy(buf,
		       s->cluster + (offset & (qcow2_cluster_bytes(q) - 1)),
		       len);
	return err;
}

/* NOLINTNEXTLINE(misc-no-recursion): QCOW2_BACKING_DEPTH_MAX at most */
static int read_run(struct qcow2 *q, struct qcow2_scratch *s, uint64_t offset,
		    uint8_t *buf, const struct qcow2_run *run)
{
	switch (run->kind) {
	case QCOW2_HOLE:
		return read_under(q, s, offset, buf, run->bytes);
	case QCOW2_ZEROS:
		memset(buf, 0, run->bytes);
		return 0;
	case QCOW2_DATA:
		return block_file_read(q->file, run->host, buf, run->bytes);
	case QCOW2_COMPRESSED:
		return read_packed(q, s, offset, buf, run->bytes, run->entry);
	case QCOW2_BAD:
	case QCOW2_ABSENT:
	default:
		return -EIO;
	}
}

static int look_up(struct qcow2 *q, uint64_t offset, uint64_t len,
		   struct qcow2_run *run)
{
	int err = 0;

	qcow2_map_find(q, offset, len, run);
	if (run->kind != QCOW2_ABSENT && run->kind != QCOW2_BAD)
		return 0;
	pthread_mutex_lock(&q->lock);
	err = qcow2_map_load(q, offset, len, run);
	if (!err && run->kind == QCOW2_BAD)
		err = qcow2_corrupt(q, "an L2 entry makes no sense",
				    run->entry);
	pthread_mutex_unlock(&q->lock);
	return err;
}

/* NOLINTNEXTLINE(misc-no-recursion): QCOW2_BACKING_DEPTH_MAX at most */
static int read_range(struct qcow2 *q, struct qcow2_scratch *s, uint64_t offset,
		      uint8_t *buf, uint64_t len)
{
	struct qcow2_run run;
	int err = 0;

	while (len && !err) {
		err = look_up(q, offset, len, &run);
		if (!err)
			err = read_run(q, s, offset, buf, &run);
		offset += run.bytes;
		buf += run.bytes;
		len -= run.bytes;
	}
	return err;
}

static int do_read(struct qcow2 *q, struct qcow2_scratch *s,
		   const struct block_request *r)
{
	uint64_t done = 0, n;
	int err = 0;

	for (; done < r->len_bytes && !err; done += n) {
		n = MIN(r->len_bytes - done, s->bounce_bytes);
		err = read_range(q, s, r->offset_bytes + done, s->bounce, n);
		if (!err)
			iov_write(r->iov, r->iov_count, done, s->bounce, n);
	}
	return err;
}

/* ---- claims: struct qcow2.lock held ------------------------------------ */

static bool claimed(const struct qcow2 *q, uint64_t first, uint64_t end)
{
	for (unsigned i = 0; i < QCOW2_CLAIMS_MAX; i++)
		if (q->claim[i].active && q->claim[i].first < end &&
		    first < q->claim[i].end)
			return true;
	return false;
}

/* Be the only one who replaces these guest clusters; waits. */
static struct qcow2_claim *claim(struct qcow2 *q, uint64_t first, uint64_t end)
{
	struct qcow2_claim *c = q->claim;

	while (claimed(q, first, end))
		pthread_cond_wait(&q->unclaimed, &q->lock);
	while (c->active)
		c++;
	CHECK(c < q->claim + QCOW2_CLAIMS_MAX); /* one per thread */
	*c = (struct qcow2_claim){ first, end, true };
	return c;
}

static void unclaim(struct qcow2 *q, struct qcow2_claim *c)
{
	c->active = false;
	pthread_cond_broadcast(&q->unclaimed);
}

/* ---- dropping what an entry refers to: lock held ----------------------- */

static uint64_t used_by(const struct qcow2 *q, const struct qcow2_run *run,
			uint64_t *first)
{
	uint64_t at, bytes;

	if (run->kind != QCOW2_COMPRESSED) {
		*first = run->host >> q->cluster_bits;
		return run->host ? 1 : 0;
	}
	qcow2_packed_range(q, run->entry, &at, &bytes);
	*first = at >> q->cluster_bits;
	return ((at + bytes - 1) >> q->cluster_bits) - *first + 1;
}

static int can_replace(struct qcow2 *q, const struct qcow2_run *run)
{
	uint64_t first, count = used_by(q, run, &first);

	if (run->kind == QCOW2_BAD)
		return qcow2_corrupt(q, "an L2 entry makes no sense",
				     run->entry);
	return count ? qcow2_can_drop(q, first, count, false) : 0;
}

static void drop_old(struct qcow2 *q, const struct qcow2_run *run)
{
	uint64_t first, count = used_by(q, run, &first);

	if (count)
		qcow2_drop(q, first, count);
}

/* ---- writing ----------------------------------------------------------- */

/**
 * struct piece - a part of a write within one L2 table
 * @offset, @len: of the guest's disk
 * @buf: what to write; NULL: zeros
 * @at: where its data is in the request
 * @host: where its first cluster goes, in the file
 * @clusters: how many it takes there
 * @found: they are new
 * @fresh: they read as zeros
 */
struct piece {
	const struct block_request *r;
	uint64_t offset, len, at;
	uint64_t host, clusters;
	bool found, fresh;
};

static bool ours(const struct qcow2_run *run)
{
	return run->kind == QCOW2_DATA && run->copied;
}

/* Zeros as far as the guest can see, and nothing below. */
static bool blank(const struct qcow2 *q, const struct qcow2_run *run)
{
	return run->kind == QCOW2_ZEROS ||
	       (run->kind == QCOW2_HOLE && !q->under && !q->under_raw);
}

/* How many clusters from @offset on need a new host cluster? */
static uint64_t needy(struct qcow2 *q, const struct qcow2_l2 *l2,
		      uint64_t offset, uint64_t most)
{
	struct qcow2_run run;
	uint64_t n;

	for (n = 0; n < most; n++) {
		qcow2_map_decode(q, qcow2_map_entry(q, l2, offset), &run);
		if (ours(&run) ||
		    (run.kind == QCOW2_ZEROS && run.copied && run.host))
			break;
		offset += qcow2_cluster_bytes(q);
	}
	return n;
}

static void shorten(struct qcow2 *q, struct piece *p)
{
	uint64_t mask = qcow2_cluster_bytes(q) - 1;

	p->len = MIN(p->len,
		     (p->clusters << q->cluster_bits) - (p->offset & mask));
}

/* Where will the piece be? Locked. Return: 0 or -errno; p->len may shrink. */
static int find_place(struct qcow2 *q, const struct qcow2_l2 *l2,
		      struct piece *p)
{
	uint64_t mask = qcow2_cluster_bytes(q) - 1;
	uint64_t most = qcow2_clusters(q, (p->offset & mask) + p->len);
	struct qcow2_found found;
	struct qcow2_run run;
	int err;

	most = needy(q, l2, p->offset, most);
	if (!most) { /* a zero cluster that kept its host cluster */
		qcow2_map_decode(q, qcow2_map_entry(q, l2, p->offset), &run);
		p->host = run.host;
		p->clusters = 1;
		shorten(q, p);
		return 0;
	}
	err = qcow2_find_free(q, most, false, true, &found);
	if (err)
		return err;
	p->found = true;
	p->fresh = found.fresh;
	p->host = found.first << q->cluster_bits;
	p->clusters = found.count;
	shorten(q, p);
	return 0;
}

/* What the guest sees of @len bytes at @offset now, to surround a write. */
static int surround(struct qcow2 *q, struct qcow2_scratch *s, uint64_t offset,
		    uint8_t *buf, uint64_t len)
{
	uint64_t end = q->capacity;
	uint64_t have = offset < end ? MIN(end - offset, len) : 0;

	memset(buf + have, 0, len - have);
	return have ? read_range(q, s, offset, buf, have) : 0;
}

static void gather(const struct piece *p, uint8_t *buf)
{
	if (p->r->op == BLOCK_WRITE)
		iov_read(p->r->iov, p->r->iov_count, p->at, buf, p->len);
	else
		memset(buf, 0, p->len);
}

/* Fill the clusters of a piece: its data with what surrounds it. */
static int write_piece(struct qcow2 *q, struct qcow2_scratch *s,
		       const struct piece *p, bool bare)
{
	uint64_t head = p->offset & (qcow2_cluster_bytes(q) - 1);
	uint64_t end = p->clusters << q->cluster_bits;
	int err = 0;

	if (bare && p->fresh) {
		gather(p, s->bounce);
		return block_file_write(q->file, p->host + head, s->bounce,
					p->len);
	}
	if (head)
		err = surround(q, s, p->offset - head, s->bounce, head);
	if (!err && head + p->len < end)
		err = surround(q, s, p->offset + p->len,
			       s->bounce + head + p->len, end - head - p->len);
	if (err)
		return err;
	gather(p, s->bounce + head);
	return block_file_write(q->file, p->host, s->bounce, end);
}

/* The piece is written: tables say so from now on. Locked. */
static int link_piece(struct qcow2 *q, const struct piece *p)
{
	uint64_t bytes = qcow2_cluster_bytes(q);
	uint64_t offset = align_down(p->offset, bytes), host = p->host;
	struct qcow2_l2 *l2 = NULL;
	struct qcow2_run run;
	int err;

	err = q->failed ? -q->failed : qcow2_map_table(q, offset, true, &l2);
	for (uint64_t i = 0; i < p->clusters && !err && p->found; i++) {
		qcow2_map_decode(q, qcow2_map_entry(q, l2, offset + i * bytes),
				 &run);
		err = can_replace(q, &run);
	}
	if (err)
		return err;
	for (uint64_t i = 0; i < p->clusters; i++, offset += bytes) {
		qcow2_map_decode(q, qcow2_map_entry(q, l2, offset), &run);
		if (p->found) {
			qcow2_take(q, host >> q->cluster_bits, 1, false);
			drop_old(q, &run);
		}
		qcow2_map_set(q, l2, offset, host | QCOW2_COPIED);
		host += bytes;
	}
	return 0;
}

/* Do the surroundings of the piece read as zeros? Locked. */
static bool is_bare(struct qcow2 *q, const struct qcow2_l2 *l2,
		    const struct piece *p)
{
	struct qcow2_run first, last;

	qcow2_map_decode(q, qcow2_map_entry(q, l2, p->offset), &first);
	qcow2_map_decode(q, qcow2_map_entry(q, l2, p->offset + p->len - 1),
			 &last);
	return blank(q, &first) && blank(q, &last);
}

/* A piece whose first cluster is not ours. Locked, and let go in between. */
static int write_new(struct qcow2 *q, struct qcow2_scratch *s,
		     const struct qcow2_l2 *l2, struct piece *p)
{
	bool bare;
	int err;

	err = find_place(q, l2, p);
	if (err)
		return err;
	bare = is_bare(q, l2, p);
	pthread_mutex_unlock(&q->lock);
	err = write_piece(q, s, p, bare);
	pthread_mutex_lock(&q->lock);
	if (!err)
		err = link_piece(q, p);
	if (err && p->found)
		qcow2_unfind(q, p->host >> q->cluster_bits, p->clusters);
	return err;
}

static int write_ours(struct qcow2 *q, struct qcow2_scratch *s, struct piece *p,
		      const struct qcow2_run *run)
{
	int err;

	p->len = run->bytes;
	pthread_mutex_unlock(&q->lock);
	gather(p, s->bounce);
	err = block_file_write(q->file, run->host, s->bounce, p->len);
	pthread_mutex_lock(&q->lock);
	return err;
}

/* As much of @p as can be done at once. Locked, and let go in between. */
static int write_some(struct qcow2 *q, struct qcow2_scratch *s, struct piece *p)
{
	struct qcow2_l2 *l2;
	struct qcow2_run run;
	int err;

	err = qcow2_make_room(q);
	if (!err)
		err = qcow2_map_table(q, p->offset, true, &l2);
	if (!err)
		err = qcow2_map_load(q, p->offset, p->len, &run);
	if (err)
		return err;
	if (run.kind == QCOW2_BAD)
		return qcow2_corrupt(q, "an L2 entry makes no sense",
				     run.entry);
	return ours(&run) ? write_ours(q, s, p, &run) : write_new(q, s, l2, p);
}

/* Write @len bytes at @offset: data of @r from @at on, or zeros. */
static int write_range(struct qcow2 *q, struct qcow2_scratch *s,
		       const struct block_request *r, uint64_t offset,
		       uint64_t len, uint64_t at)
{
	uint64_t mask = qcow2_cluster_bytes(q) - 1;
	uint64_t table = 1ull << (q->cluster_bits + q->l2_bits);
	struct qcow2_claim *c;
	struct piece p;
	int err = 0;

	while (len && !err) {
		p = (struct piece){ .r = r, .offset = offset, .at = at };
		p.len = MIN(len, s->bounce_bytes - (offset & mask));
		p.len = MIN(p.len, table - (offset & (table - 1)));
		pthread_mutex_lock(&q->lock);
		c = claim(q, offset >> q->cluster_bits,
			  (offset + p.len + mask) >> q->cluster_bits);
		err = write_some(q, s, &p);
		unclaim(q, c);
		pthread_mutex_unlock(&q->lock);
		offset += p.len;
		len -= p.len;
		at += p.len;
	}
	return err;
}

/* ---- zeros and discards ------------------------------------------------ */

enum fate {
	KEEP,	 /* as it is */
	FREE,	 /* unallocated */
	ZERO,	 /* a zero cluster without a host cluster */
	RESERVE, /* a zero cluster that keeps it */
	WRITE,	 /* zeros are to be written */
};

static enum fate fate(const struct qcow2 *q, const struct block_request *r,
		      const struct qcow2_run *run)
{
	bool under = q->under || q->under_raw, v3 = q->h.version > 2;

	if (r->op == BLOCK_DISCARD)
		return !under ? FREE : v3 ? ZERO : KEEP;
	if (blank(q, run) && !(r->may_unmap && run->host))
		return KEEP;
	if (!v3)
		return !under && r->may_unmap ? FREE : WRITE;
	if (!r->may_unmap && run->host && run->copied &&
	    run->kind != QCOW2_COMPRESSED)
		return RESERVE;
	return under ? ZERO : FREE;
}

static int clear_cluster(struct qcow2 *q, struct qcow2_l2 *l2, uint64_t offset,
			 enum fate f, const struct qcow2_run *run)
{
	uint64_t entry = f == ZERO ? QCOW2_ZERO : 0;
	int err;

	if (f == RESERVE) {
		qcow2_map_set(q, l2, offset, run->entry | QCOW2_ZERO);
		return 0;
	}
	if (run->entry == entry)
		return 0;
	err = can_replace(q, run);
	if (err)
		return err;
	drop_old(q, run);
	qcow2_map_set(q, l2, offset, entry);
	return 0;
}

/* Whole clusters within one table. Locked. Return: 0; 1: zeros are to be
 * written; -errno. @n receives how many bytes are done. */
static int clear_run(struct qcow2 *q, const struct block_request *r,
		     uint64_t offset, uint64_t len, uint64_t *n)
{
	bool under = q->under || q->under_raw;
	struct qcow2_l2 *l2 = NULL;
	struct qcow2_run run;
	enum fate f;
	int err;

	err = qcow2_make_room(q);
	if (!err)
		err = qcow2_map_table(q, offset, under, &l2);
	*n = err || l2 ? 0 : len;
	while (!err && *n < len) {
		qcow2_map_decode(q, qcow2_map_entry(q, l2, offset + *n), &run);
		if (run.kind == QCOW2_BAD)
			return can_replace(q, &run);
		f = fate(q, r, &run);
		if (f == WRITE)
			return *n ? 0 : 1;
		if (f != KEEP)
			err = clear_cluster(q, l2, offset + *n, f, &run);
		*n += qcow2_cluster_bytes(q);
	}
	return err;
}

static int clear_whole(struct qcow2 *q, struct qcow2_scratch *s,
		       const struct block_request *r, uint64_t offset,
		       uint64_t len)
{
	uint64_t table = 1ull << (q->cluster_bits + q->l2_bits), n = 0, part;
	struct qcow2_claim *c;
	int err = 0;

	for (; len && err >= 0; offset += n, len -= n) {
		part = MIN(len, table - (offset & (table - 1)));
		pthread_mutex_lock(&q->lock);
		c = claim(q, offset >> q->cluster_bits,
			  (offset + part) >> q->cluster_bits);
		err = clear_run(q, r, offset, part, &n);
		unclaim(q, c);
		pthread_mutex_unlock(&q->lock);
		if (err == 1) {
			n = qcow2_cluster_bytes(q);
			err = write_range(q, s, r, offset, n, 0);
		}
	}
	return err;
}

/* Part of a cluster: nothing to do if it reads as zeros anyway. */
static int clear_part(struct qcow2 *q, struct qcow2_scratch *s,
		      const struct block_request *r, uint64_t offset,
		      uint64_t len)
{
	struct qcow2_run run;
	int err;

	if (!len || r->op == BLOCK_DISCARD)
		return 0;
	err = look_up(q, offset, len, &run);
	if (err || blank(q, &run))
		return err;
	return write_range(q, s, r, offset, len, 0);
}

static int do_clear(struct qcow2 *q, struct qcow2_scratch *s,
		    const struct block_request *r)
{
	uint64_t bytes = qcow2_cluster_bytes(q);
	uint64_t begin = r->offset_bytes, end = begin + r->len_bytes;
	uint64_t first = align_up(begin, bytes), last = align_down(end, bytes);
	int err;

	if (end == q->capacity)
		last = align_up(end, bytes); /* nothing is behind it */
	if (first >= last && first > end)
		return clear_part(q, s, r, begin, end - begin);
	err = clear_part(q, s, r, begin, MIN(first, end) - begin);
	if (!err && first < last)
		err = clear_whole(q, s, r, first, last - first);
	if (!err && last >= first && last < end)
		err = clear_part(q, s, r, last, end - last);
	return err;
}

/* ---- requests ---------------------------------------------------------- */

static int do_flush(struct qcow2 *q)
{
	int err;

	pthread_mutex_lock(&q->lock);
	err = qcow2_commit(q);
	pthread_mutex_unlock(&q->lock);
	return err;
}

int qcow2_carry_out(struct qcow2 *q, struct qcow2_scratch *s,
		    const struct block_request *r)
{
	switch (r->op) {
	case BLOCK_READ:
		return do_read(q, s, r);
	case BLOCK_WRITE:
		return write_range(q, s, r, r->offset_bytes, r->len_bytes, 0);
	case BLOCK_DISCARD:
	case BLOCK_ZERO:
		return do_clear(q, s, r);
	case BLOCK_FLUSH:
	default:
		return do_flush(q);
	}
}
