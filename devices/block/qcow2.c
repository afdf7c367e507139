/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: qcow2 images: opening, closing, size
 *
 * The format as QEMU's docs/interop/qcow2 specifies it, versions 2 and 3: all
 * cluster sizes and refcount widths, zero clusters, compressed clusters (read
 * only; written to, they become plain ones), backing files, internal snapshots
 * (left alone: shared clusters are copied before they are written). How it
 * all hangs together and why it survives being killed: qcow2-impl.h.
 *
 * Not implemented: encryption, external data files, subclusters, persistent
 * bitmaps (the image says they are out of date once it was open for writing),
 * making, deleting or applying snapshots, shrinking. Lazy refcounts are not
 * used; an image that was left dirty has to be repaired first.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/log.h"

#include "devices/block/qcow2-impl.h"

/* Offsets in the header (sec. "Header"). */
enum { HEADER_INCOMPATIBLE = 72, HEADER_AUTOCLEAR = 88 };

int qcow2_corrupt(struct qcow2 *q, const char *why, uint64_t at)
{
	uint8_t *p = q->h.sector + HEADER_INCOMPATIBLE;

	if (q->failed)
		return -EIO;
	log_error("%s: damaged at %#" PRIx64 ": %s: %s'qemu-img check -r all' "
		  "may repair it",
		  q->what, at, why, q->writable ? "no more writes; " : "");
	if (q->writable && q->h.version > 2) {
		put_be64(p, get_be64(p) | QCOW2_INCOMPAT_CORRUPT);
		if (qcow2_header_write(q->file, &q->h))
			log_error("%s: cannot be marked so", q->what);
	}
	q->failed = EIO;
	return -EIO;
}

/* ---- opening ----------------------------------------------------------- */

static int check_alignment(const struct qcow2 *q, struct diag *d)
{
	uint32_t logical = q->file->logical_bytes;

	if (!q->file->direct)
		return 0;
	if (qcow2_cluster_bytes(q) < logical)
		return diag_fail(d, EINVAL,
				 "%s: direct=on needs clusters of at least %u "
				 "bytes here, it has %" PRIu64
				 ": say direct=off",
				 q->what, logical, qcow2_cluster_bytes(q));
	if (q->capacity % logical)
		return diag_fail(d, EINVAL,
				 "%s: the disk's %" PRIu64
				 " bytes are not a multiple of %u, which "
				 "direct=on needs here",
				 q->what, q->capacity, logical);
	return 0;
}

static void take_header(struct qcow2 *q)
{
	const struct qcow2_header *h = &q->h;

	q->cluster_bits = h->cluster_bits;
	q->l2_bits = h->cluster_bits - 3;
	q->rb_bits = h->cluster_bits + 3 - h->refcount_order;
	q->capacity = h->size_bytes;
}

static int open_tables(struct qcow2 *q, const struct block_options *opt,
		       struct diag *d)
{
	int64_t bytes = block_file_size(q->file);
	int err;

	if (bytes < 0)
		return diag_errno(d, (int)-bytes, "%s", q->what);
	q->file_bytes = (uint64_t)bytes;
	err = qcow2_header_read(q->file, q->what, q->writable, &q->h, d);
	if (err)
		return err;
	take_header(q);
	err = check_alignment(q, d);
	if (!err)
		err = qcow2_map_init(q, d);
	if (!err && q->writable)
		err = qcow2_refs_init(q, d);
	if (!err)
		err = qcow2_backing_open(q, opt, d);
	return err;
}

/* NOLINTNEXTLINE(misc-no-recursion): QCOW2_BACKING_DEPTH_MAX at most */
static void release(struct qcow2 *q)
{
	qcow2_workers_stop(q);
	qcow2_free(q->under);
	qcow2_map_release(q);
	qcow2_refs_release(q);
	pthread_cond_destroy(&q->unclaimed);
	pthread_mutex_destroy(&q->lock);
	free(q);
}

int qcow2_new(struct qcow2 **out, struct block *b, struct block_file *file,
	      struct qcow2 *over, const struct block_options *opt,
	      struct diag *d)
{
	struct qcow2 *q = calloc(1, sizeof(*q));
	int err;

	if (!q) {
		diag_fail(d, ENOMEM, "out of memory");
		return -ENOMEM;
	}
	q->what = file->what;
	q->b = b;
	q->file = file;
	q->over = over;
	q->writable = !file->readonly;
	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->unclaimed, NULL);
	qcow2_workers_init(&q->workers);
	err = open_tables(q, opt, d);
	if (err)
		release(q);
	else
		*out = q;
	return err;
}

/* Return: the auto-clear features that are still right from now on. */
static uint64_t keep_autoclear(struct qcow2 *q)
{
	uint64_t bitmaps = q->h.autoclear & QCOW2_AUTOCLEAR_BITMAPS;
	int n = bitmaps ? qcow2_bitmaps_mark(q) : 0;

	if (n > 0)
		log_warn("%s: %d persistent bitmaps are out of date from now "
			 "on",
			 q->what, n);
	else if (n < 0)
		log_warn("%s: its persistent bitmaps are damaged and lost",
			 q->what);
	return n < 0 ? 0 : bitmaps;
}

/* "An implementation may only write to an image with unknown auto-clear
 * features if it clears the respective bits first." */
static int clear_autoclear(struct qcow2 *q, struct diag *d)
{
	int err;

	if (!q->writable || !q->h.autoclear)
		return 0;
	put_be64(q->h.sector + HEADER_AUTOCLEAR, keep_autoclear(q));
	err = qcow2_header_write(q->file, &q->h);
	if (!err && fdatasync(q->file->fd) < 0)
		err = -errno;
	if (err)
		return diag_errno(d, -err, "%s: cannot write the header",
				  q->what);
	return 0;
}

static int qcow2_open(struct block *b, const struct block_options *opt,
		      struct diag *d)
{
	struct qcow2 *q = NULL;
	int err;

	err = qcow2_new(&q, b, b->file[0], NULL, opt, d);
	if (err)
		return err;
	err = clear_autoclear(q, d);
	if (err) {
		release(q);
		return err;
	}
	b->state = q;
	b->capacity = q->capacity;
	b->info.discard_bytes = (uint32_t)qcow2_cluster_bytes(q);
	return 0;
}

/* ---- closing and size -------------------------------------------------- */

static void last_commit(struct qcow2 *q)
{
	int err;

	pthread_mutex_lock(&q->lock);
	err = q->dirty && !q->failed ? qcow2_commit(q) : 0;
	if (err)
		log_error("%s: what was not flushed is lost: %s", q->what,
			  strerror(-err));
	qcow2_exhume(q);
	pthread_mutex_unlock(&q->lock);
}

/* NOLINTNEXTLINE(misc-no-recursion): QCOW2_BACKING_DEPTH_MAX at most */
void qcow2_free(struct qcow2 *q)
{
	if (!q)
		return;
	if (q->writable)
		last_commit(q);
	release(q);
}

static void qcow2_close(struct block *b)
{
	qcow2_free(b->state);
}

/* What a larger backing image has there was never this disk's. */
static int hide_backing(struct qcow2 *q, uint64_t from, uint64_t to)
{
	struct block_request r = { .op = BLOCK_ZERO,
				   .may_unmap = true,
				   .offset_bytes = from,
				   .len_bytes = to - from };
	struct qcow2_scratch s;
	int err;

	if (q->under_bytes <= from)
		return 0;
	r.len_bytes = MIN(to, q->under_bytes) - from;
	err = qcow2_scratch_init(&s, q);
	if (!err)
		err = qcow2_carry_out(q, &s, &r);
	qcow2_scratch_release(&s);
	return err;
}

static int grow(struct qcow2 *q, uint64_t bytes)
{
	uint64_t before = q->capacity;
	int err;

	pthread_mutex_lock(&q->lock);
	err = q->failed ? -q->failed : qcow2_map_grow(q, bytes);
	pthread_mutex_unlock(&q->lock);
	if (!err)
		err = hide_backing(q, before, bytes);
	if (err)
		return err;
	pthread_mutex_lock(&q->lock);
	q->capacity = bytes;
	q->dirty = true;
	err = qcow2_commit(q);
	if (err)
		q->capacity = before;
	pthread_mutex_unlock(&q->lock);
	return err;
}

static int qcow2_resize(struct block *b, uint64_t bytes, struct diag *d)
{
	struct qcow2 *q = b->state;
	int err;

	if (q->h.version == 2 && q->h.snapshot_count)
		return diag_fail(d, ENOTSUP,
				 "%s: a version 2 image with snapshots cannot "
				 "be resized: 'qemu-img amend -o compat=1.1' "
				 "makes it version 3",
				 q->what);
	err = grow(q, bytes);
	if (err)
		return diag_errno(d, -err, "%s: cannot be resized", q->what);
	b->capacity = bytes;
	return 0;
}

const struct block_format block_qcow2 = {
	.name = "qcow2",
	.open = qcow2_open,
	.close = qcow2_close,
	.queue_new = qcow2_queue_new,
	.queue_free = qcow2_queue_free,
	.submit = qcow2_submit,
	.reap = qcow2_reap,
	.resize = qcow2_resize,
};
