/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: inside of the qcow2 format
 *
 *	qcow2.c           opening, closing, size
 *	qcow2-header.c    the header and what it may say
 *	qcow2-bitmaps.c   which are out of date from now on
 *	qcow2-backing.c   the files that an image is laid over
 *	qcow2-map.c       guest cluster -> host cluster: L1, L2 and their cache
 *	qcow2-refs.c      refcounts: finding, taking and dropping host clusters
 *	qcow2-commit.c    a new state of all tables becomes the image's
 *	qcow2-io.c        requests, the long way: synchronous, on a worker
 *	qcow2-fast.c      requests, the short way: the engine's, on the queue
 *	qcow2-work.c      the workers
 *	qcow2-compress.c  zlib and zstd clusters
 *
 * How an image survives SIGKILL and power loss. The tables on disk are never
 * changed in place. Allocation, discard and so on change tables in memory;
 * qcow2_commit() writes every changed table into clusters that are free in the
 * image as it is on disk, together with a new L1 and a new refcount table,
 * makes all of it durable, and then writes the header's 36 bytes (size to
 * refcount_table_clusters) that point to them: one write within one sector,
 * which both a dying process and a dying disk do wholly or not at all. Before
 * it the image is the old one, after it the new one, and both are consistent,
 * without a leaked cluster and without one that is used twice. Clusters that
 * the old state uses are not reused before the new one is durable. A guest's
 * FLUSH commits; so does closing, a second of idleness, and having too much
 * in memory.
 *
 * Threads and locks. Each image has one lock (struct qcow2.lock) over all of
 * its tables; it may be held while metadata is read or committed. Lock order:
 * an image's lock before its backing image's; before struct
 * qcow2_workers.lock; before struct qcow2_queue.lock. Queues look up what is
 * cached without any lock (qcow2_map_find()) and do their own data I/O; all
 * else they give to workers.
 * Guest clusters whose host cluster is being replaced are claimed
 * (qcow2_claim()), so that two writers never do it twice.
 * Host clusters that were dropped are reused only when no request is in
 * flight that may have looked them up before (struct qcow2_epoch).
 */
#ifndef DEVICES_BLOCK_QCOW2_IMPL_H
#define DEVICES_BLOCK_QCOW2_IMPL_H

#include <pthread.h>
#include <stdatomic.h>

#include "devices/block/impl.h"

#define QCOW2_CLUSTER_BITS_MIN	 9
#define QCOW2_CLUSTER_BITS_MAX	 21 /* QEMU's limit, sec. "Header" */
#define QCOW2_REFCOUNT_ORDER_MAX 6
#define QCOW2_L1_BYTES_MAX	 MIB(32) /* QEMU's limit, sec. "Header" */
#define QCOW2_RT_BYTES_MAX	 MIB(8)	 /* QEMU's: QCOW_MAX_REFTABLE_SIZE */
#define QCOW2_L2_CACHE_BYTES	 MIB(32) /* 256 GiB with 64 KiB clusters */
#define QCOW2_RB_CACHE_BYTES	 MIB(8)
#define QCOW2_BACKING_DEPTH_MAX	 16
#define QCOW2_BACKING_NAME_MAX	 1023 /* sec. "Header" */
#define QCOW2_WORKERS		 4
#define QCOW2_CLAIMS_MAX	 (QCOW2_WORKERS + 1) /* and a resize */

/* Bits of L1 and L2 entries (sec. "Cluster mapping"). */
#define QCOW2_COPIED	  (1ull << 63)
#define QCOW2_PACKED	  (1ull << 62)
#define QCOW2_ZERO	  (1ull << 0)
#define QCOW2_OFFSET_MASK 0x00fffffffffffe00ull

/* Incompatible and auto-clear features (sec. "Header"). */
#define QCOW2_INCOMPAT_DIRTY	   (1ull << 0)
#define QCOW2_INCOMPAT_CORRUPT	   (1ull << 1)
#define QCOW2_INCOMPAT_DATA_FILE   (1ull << 2)
#define QCOW2_INCOMPAT_COMPRESSION (1ull << 3)
#define QCOW2_INCOMPAT_EXTENDED_L2 (1ull << 4)
#define QCOW2_AUTOCLEAR_BITMAPS	   (1ull << 0)

/**
 * struct qcow2_header - what the first cluster says, checked
 * @sector: the part of the file that holds the fixed header, as it is there
 * @sector_bytes: of it
 * @version: 2 or 3
 * @l1_count: entries of the L1 table
 * @compression: 0 zlib, 1 zstd
 * @bitmap_count: persistent bitmaps, whose directory of @bitmaps_bytes is at
 *	@bitmaps_offset; 0: none
 * @backing: name of the backing file, empty if there is none
 * @backing_format: "raw", "qcow2", …; empty if the header does not say
 */
struct qcow2_header {
	uint8_t sector[4096];
	uint32_t sector_bytes;
	unsigned version, cluster_bits, refcount_order, compression;
	uint64_t size_bytes, l1_offset, rt_offset, snapshots_offset;
	uint32_t l1_count, rt_clusters, snapshot_count;
	uint64_t incompatible, autoclear;
	uint64_t bitmaps_offset, bitmaps_bytes;
	uint32_t bitmap_count;
	char backing[QCOW2_BACKING_NAME_MAX + 1];
	char backing_format[16];
};

#define QCOW2_NO_TABLE UINT32_MAX

/**
 * struct qcow2_l1 - the L1 table in memory
 * @older: those that were too small; lock-free readers may still see them
 * @count: entries
 * @entry: in host order: offset | QCOW2_COPIED; struct qcow2.lock
 * @slot: cache slot + 1 of that L2 table, 0: not cached, QCOW2_NO_TABLE: there
 *	is none
 */
struct qcow2_l1 {
	struct qcow2_l1 *older;
	uint32_t count;
	uint64_t *entry;
	atomic_uint *slot;
};

/**
 * struct qcow2_l2 - a slot of the L2 cache
 * @owner: L1 index + 1 in the low 32 bits (0: nobody's), above it a number
 *	that changes with each use of the slot
 * @table: entries as on disk
 * @used: since the clock's hand came by
 * @dirty: differs from what is on disk; struct qcow2.lock
 * @moved: has a place that the image on disk does not know; struct qcow2.lock
 */
struct qcow2_l2 {
	_Atomic uint64_t owner;
	_Atomic uint64_t *table;
	atomic_bool used;
	bool dirty, moved;
};

/**
 * struct qcow2_rb - a refcount block in memory; struct qcow2.lock
 * @older, @newer: list of all that are cached
 * @index: in the refcount table
 * @dirty, @moved: as in struct qcow2_l2
 * @busy_count: bits in @busy
 * @table: as on disk
 * @busy: a bit per cluster: its refcount is 0 but it cannot be had: it was
 *	found for somebody, or the image on disk still uses it
 * @meta: a bit per cluster: header or table
 */
struct qcow2_rb {
	struct qcow2_rb *older, *newer;
	uint32_t index;
	bool dirty, moved;
	uint32_t busy_count;
	uint8_t *table;
	uint64_t *busy, *meta;
};

/** struct qcow2_extent - @count host clusters from @first on; @data: not
 * tables, so the host may have the space back */
struct qcow2_extent {
	uint64_t first, count;
	bool data;
};

/** struct qcow2_extents - a growing array of @count extents */
struct qcow2_extents {
	struct qcow2_extent *v;
	size_t count, room;
};

/**
 * struct qcow2_grave - clusters dropped and committed, until no reader is left
 * @epoch: free once struct qcow2.epoch is 2 more
 */
struct qcow2_grave {
	struct qcow2_grave *next;
	struct qcow2_extents extents;
	unsigned epoch;
};

/**
 * struct qcow2_queue - a format's part of a block_queue
 * @next: struct qcow2.queues
 * @q: the other part
 * @epoch: requests in flight that began in an even and in an odd epoch
 * @spare: ops for reuse
 * @lock: over @done, what workers have finished, and @tail
 * @source: an eventfd that says so
 */
struct qcow2_queue {
	struct qcow2_queue *next;
	struct block_queue *q;
	struct qcow2 *image;
	atomic_uint epoch[2];
	struct qcow2_op *spare;
	pthread_mutex_t lock;
	struct qcow2_op *done, **tail;
	struct event_source source;
};

/**
 * struct qcow2_op - a request under way
 * @next: list of spare ones, of jobs, or of finished jobs
 * @r: the disk's request
 * @epoch: in which it began
 * @pieces: requests on files that are not done; one more while they are made
 * @err: of the first that failed
 * @child: the request on a file, if one is enough
 */
struct qcow2_op {
	struct qcow2_op *next;
	struct qcow2_queue *queue;
	struct block_request *r;
	unsigned epoch, pieces;
	int err;
	struct block_request child;
};

/** struct qcow2_claim - guest clusters [@first, @end) whose mapping is being
 * replaced */
struct qcow2_claim {
	uint64_t first, end;
	bool active;
};

/**
 * struct qcow2_scratch - a worker's buffers
 * @bounce: @bounce_bytes (at least a cluster), aligned for O_DIRECT
 * @packed: compressed bytes of a cluster
 * @cluster: a cluster that was compressed; which one: @image, @entry (nobody
 *	makes new ones, so it stays right)
 */
struct qcow2_scratch {
	uint8_t *bounce, *packed, *cluster;
	size_t bounce_bytes;
	const struct qcow2 *image;
	uint64_t entry;
};

/**
 * struct qcow2_workers - threads for what the queues do not do themselves
 * @wake: there is a job, or @stopping
 * @thread: @count of them run
 * @idle: of them
 * @jobs, @tail: not begun
 * @stopping: end when there are no jobs
 */
struct qcow2_workers {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	pthread_t thread[QCOW2_WORKERS];
	unsigned count, idle;
	struct qcow2_op *jobs, **tail;
	bool stopping;
};

/**
 * struct qcow2 - an open image; constant but for what is said
 * @what: how messages name it
 * @file: it
 * @over: the image that this one is backing, or NULL
 * @writable: opened for writing, and has all that takes
 * @cluster_bits, @l2_bits, @rb_bits: log2 of bytes in a cluster, of entries
 *	in an L2 table and in a refcount block
 * @file_bytes: of the file; grows
 * @capacity: of the guest's disk
 * @under: backing image if it is qcow2; @under_raw: if it is raw;
 *	@under_bytes: its size
 * @dirty: something is not committed
 * @failed: errno that ends all writing, or 0
 * @l1: L1 table; replaced when it grows
 * @l1_place: where the L1 table is, @l1_clusters: how many it takes
 * @l1_moved, @rt_moved: there is a place that is not committed
 * @slot: the L2 cache, @slot_count of them, @hand the clock's, @slot_memory
 *	their tables, @dirty_slots that are dirty; @table_read: one is read into
 * @rt: refcount table in host order, @rt_room entries, and @rb what of it is
 *	cached; @rt_clusters at @rt_place
 * @newest, @oldest: cached refcount blocks, @rb_count of them, @dirty_rbs dirty
 * @fixed: clusters of tables that nobody moves: snapshots
 * @data_hint, @meta_hint: where to look for free clusters
 * @frozen: dropped since the last commit
 * @grave: dropped, committed; @buried: there is one
 * @epoch: see struct qcow2_grave
 * @queues: all of them
 * @claim: under way; @unclaimed: when one ends
 */
struct qcow2 {
	const char *what;
	struct block *b;
	struct block_file *file;
	struct qcow2 *over;
	bool writable;
	struct qcow2_header h;
	unsigned cluster_bits, l2_bits, rb_bits;
	_Atomic uint64_t file_bytes, capacity;
	struct qcow2 *under;
	struct block_file *under_raw;
	uint64_t under_bytes;
	atomic_bool dirty, buried;
	atomic_int failed;
	struct qcow2_l1 *_Atomic l1;
	struct qcow2_workers workers;

	pthread_mutex_t lock; /* over all that follows */
	uint64_t l1_place, l1_clusters;
	bool l1_moved, rt_moved;
	struct qcow2_l2 *slot;
	uint32_t slot_count, hand, dirty_slots;
	uint8_t *slot_memory, *table_read;
	uint64_t *rt;
	struct qcow2_rb **rb;
	uint32_t rt_room;
	uint64_t rt_place, rt_clusters;
	struct qcow2_rb *newest, *oldest;
	uint32_t rb_count, dirty_rbs;
	struct qcow2_extents fixed;
	uint64_t data_hint, meta_hint;
	struct qcow2_extents frozen;
	struct qcow2_grave *grave;
	atomic_uint epoch;
	struct qcow2_queue *queues;
	struct qcow2_claim claim[QCOW2_CLAIMS_MAX];
	pthread_cond_t unclaimed;
};

static inline uint64_t qcow2_cluster_bytes(const struct qcow2 *q)
{
	return 1ull << q->cluster_bits;
}

/* Clusters that hold @bytes. */
static inline uint64_t qcow2_clusters(const struct qcow2 *q, uint64_t bytes)
{
	return (bytes >> q->cluster_bits) +
	       !!(bytes & (qcow2_cluster_bytes(q) - 1));
}

/* ---- qcow2-header.c ---------------------------------------------------- */

/**
 * qcow2_header_read - read and check the header
 * @f: the file
 * @what: how messages name it
 * @writable: it is to be written
 * @h: receives it
 *
 * Return: 0, -EINVAL (not qcow2, or damaged), -ENOTSUP (what we do not
 * support), -EROFS (may only be read), or of reading; @d says which.
 */
int qcow2_header_read(const struct block_file *f, const char *what,
		      bool writable, struct qcow2_header *h, struct diag *d);

/**
 * qcow2_header_write - put the header's sector into the file
 *
 * One write within one sector. Does not sync. Return: 0 or -errno.
 */
int qcow2_header_write(const struct block_file *f,
		       const struct qcow2_header *h);

/** qcow2_l1_needed - L1 entries of a disk of @bytes with such clusters */
uint64_t qcow2_l1_needed(uint64_t bytes, unsigned cluster_bits);

/* ---- qcow2.c ----------------------------------------------------------- */

/**
 * qcow2_new - open an image whose file is open
 * @over: the image that it backs, or NULL for the disk itself
 * @opt: backing_files and what goes for backing files
 *
 * Return: 0 or -errno.
 */
int qcow2_new(struct qcow2 **out, struct block *b, struct block_file *file,
	      struct qcow2 *over, const struct block_options *opt,
	      struct diag *d);

/** qcow2_free - commit and free, its backing images too; accepts NULL */
void qcow2_free(struct qcow2 *q);

/**
 * qcow2_corrupt - the image contradicts itself: say so once, mark it
 * @why: what is wrong, for the log
 * @at: where: an offset in the file
 *
 * Nothing is written from then on. struct qcow2.lock held.
 * Return: -EIO.
 */
int qcow2_corrupt(struct qcow2 *q, const char *why, uint64_t at);

/* ---- qcow2-backing.c --------------------------------------------------- */

/** qcow2_backing_open - open what the header names, if it names something */
int qcow2_backing_open(struct qcow2 *q, const struct block_options *opt,
		       struct diag *d);

/* ---- qcow2-bitmaps.c --------------------------------------------------- */

/** qcow2_bitmaps_mark - bitmaps are not kept up to date: say so in the image.
 * Return: how many were, or -errno if the directory is of no use */
int qcow2_bitmaps_mark(struct qcow2 *q);

/* ---- qcow2-map.c ------------------------------------------------------- */

/** enum qcow2_kind - where the contents of a guest cluster are */
enum qcow2_kind {
	QCOW2_HOLE,  /* in the backing image, or zeros */
	QCOW2_ZEROS, /* nowhere: zeros; there may be a host cluster */
	QCOW2_DATA,
	QCOW2_COMPRESSED,
	QCOW2_BAD,    /* the entry makes no sense */
	QCOW2_ABSENT, /* not in the cache */
};

/**
 * struct qcow2_run - neighbouring guest clusters of one kind
 * @kind: see enum qcow2_kind
 * @copied: the host clusters are ours alone
 * @host: offset in the file of the first byte asked for (DATA), of the host
 *	cluster (ZEROS, 0: there is none)
 * @bytes: how many
 * @entry: the first L2 entry, in host order
 */
struct qcow2_run {
	enum qcow2_kind kind;
	bool copied;
	uint64_t host, bytes, entry;
};

/** qcow2_map_init - read the L1 table, make the cache; 0 or -errno */
int qcow2_map_init(struct qcow2 *q, struct diag *d);

/** qcow2_map_release - accepts a zeroed one */
void qcow2_map_release(struct qcow2 *q);

/**
 * qcow2_map_find - look up @len bytes at @offset of the guest's disk
 * @run: receives what is there; its bytes are at most @len
 *
 * Takes no lock; kind is QCOW2_ABSENT if the table is not cached.
 */
void qcow2_map_find(struct qcow2 *q, uint64_t offset, uint64_t len,
		    struct qcow2_run *run);

/**
 * qcow2_map_load - the same, reading the table if need be
 *
 * struct qcow2.lock held. Return: 0 or -errno.
 */
int qcow2_map_load(struct qcow2 *q, uint64_t offset, uint64_t len,
		   struct qcow2_run *run);

/**
 * qcow2_map_table - the L2 table for an offset, to be changed
 * @create: make one if there is none
 * @out: receives it, or NULL if there is none
 *
 * struct qcow2.lock held. Return: 0 or -errno.
 */
int qcow2_map_table(struct qcow2 *q, uint64_t offset, bool create,
		    struct qcow2_l2 **out);

/** qcow2_map_set - change the entry of @offset; struct qcow2.lock held */
void qcow2_map_set(struct qcow2 *q, struct qcow2_l2 *l2, uint64_t offset,
		   uint64_t entry);

/** qcow2_map_entry - the entry of @offset, in host order */
uint64_t qcow2_map_entry(const struct qcow2 *q, const struct qcow2_l2 *l2,
			 uint64_t offset);

/** qcow2_map_decode - what one L2 entry says */
void qcow2_map_decode(const struct qcow2 *q, uint64_t entry,
		      struct qcow2_run *run);

/** qcow2_map_grow - make room for a disk of @bytes; 0 or -ENOMEM, -EFBIG.
 * struct qcow2.lock held */
int qcow2_map_grow(struct qcow2 *q, uint64_t bytes);

/** qcow2_packed_range - where in the file a compressed cluster is */
void qcow2_packed_range(const struct qcow2 *q, uint64_t entry, uint64_t *offset,
			uint64_t *bytes);

/* ---- qcow2-refs.c: struct qcow2.lock held ------------------------------ */

/** struct qcow2_found - @count free host clusters from @first on; @fresh: the
 * file was made longer for all of them, so they read as zeros */
struct qcow2_found {
	uint64_t first, count;
	bool fresh;
};

/** qcow2_refs_init - read the refcount table; 0 or -errno */
int qcow2_refs_init(struct qcow2 *q, struct diag *d);

/** qcow2_refs_release - accepts a zeroed one */
void qcow2_refs_release(struct qcow2 *q);

/** qcow2_refs_trim - forget refcount blocks when there are too many */
void qcow2_refs_trim(struct qcow2 *q);

/** qcow2_ref - the refcount of a cluster
 * @meta: receives whether it is a table's
 * Return: 0 or -errno. */
int qcow2_ref(struct qcow2 *q, uint64_t cluster, uint64_t *count, bool *meta);

/**
 * qcow2_find_free - find free neighbouring clusters and keep them for us
 * @most: how many are wanted
 * @all: fewer are of no use
 * @data: not for tables
 * @found: receives them
 *
 * The file is made long enough. Return: 0, -ENOSPC, -EFBIG, -EIO.
 */
int qcow2_find_free(struct qcow2 *q, uint64_t most, bool all, bool data,
		    struct qcow2_found *found);

/** qcow2_unfind - give back what was found and not taken */
void qcow2_unfind(struct qcow2 *q, uint64_t first, uint64_t count);

/** qcow2_take - what was found has one user now; @meta: a table */
void qcow2_take(struct qcow2 *q, uint64_t first, uint64_t count, bool meta);

/** qcow2_can_drop - have what qcow2_drop() needs in memory, and see that the
 * clusters are what they are taken for; @meta: a table; 0 or -errno */
int qcow2_can_drop(struct qcow2 *q, uint64_t first, uint64_t count, bool meta);

/** qcow2_drop - one user less; after qcow2_can_drop() and before any trim */
void qcow2_drop(struct qcow2 *q, uint64_t first, uint64_t count);

/** qcow2_bury - all that was dropped is committed */
void qcow2_bury(struct qcow2 *q);

/** qcow2_exhume - what nobody reads any more is free and given back to the
 * host; lets go of the lock meanwhile. Return: true if something is left */
bool qcow2_exhume(struct qcow2 *q);

/* ---- qcow2-commit.c ---------------------------------------------------- */

/** qcow2_commit - make the state in memory the image's, durably, and all data
 * written before; struct qcow2.lock held. Return: 0 or -errno */
int qcow2_commit(struct qcow2 *q);

/** qcow2_make_room - commit if much is not; struct qcow2.lock held */
int qcow2_make_room(struct qcow2 *q);

/* ---- qcow2-compress.c -------------------------------------------------- */

/**
 * qcow2_unpack - decompress a cluster
 * @compression: of the image
 * @in, @in_bytes: compressed, possibly with something behind it
 * @out, @out_bytes: a whole cluster
 *
 * Return: 0, -EIO (damaged), -ENOMEM.
 */
int qcow2_unpack(unsigned compression, const uint8_t *in, size_t in_bytes,
		 uint8_t *out, size_t out_bytes);

/* ---- qcow2-io.c -------------------------------------------------------- */

/** qcow2_scratch_init - buffers for images like @q; 0 or -ENOMEM */
int qcow2_scratch_init(struct qcow2_scratch *s, const struct qcow2 *q);

/** qcow2_scratch_release - accepts a zeroed one */
void qcow2_scratch_release(struct qcow2_scratch *s);

/** qcow2_carry_out - do a request here and now; 0 or -errno */
int qcow2_carry_out(struct qcow2 *q, struct qcow2_scratch *s,
		    const struct block_request *r);

/* ---- qcow2-work.c ------------------------------------------------------ */

/** qcow2_workers_init - none is started yet */
void qcow2_workers_init(struct qcow2_workers *w);

/** qcow2_workers_stop - when all jobs are done */
void qcow2_workers_stop(struct qcow2 *q);

/** qcow2_work - give an op to a worker; it comes back by qcow2_finish() */
void qcow2_work(struct qcow2_op *op);

/* ---- qcow2-fast.c ------------------------------------------------------ */

/** qcow2_queue_new - see struct block_format */
int qcow2_queue_new(struct block_queue *q, struct diag *d);

/** qcow2_queue_free - see struct block_format */
void qcow2_queue_free(struct block_queue *q);

/** qcow2_submit - see struct block_format */
void qcow2_submit(struct block_queue *q, struct block_request *r);

/** qcow2_reap - see struct block_format */
unsigned qcow2_reap(struct block_queue *q);

/** qcow2_finish - a worker is done with an op, as struct qcow2_op.err says */
void qcow2_finish(struct qcow2_op *op);

#endif
