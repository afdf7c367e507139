/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: disk images: what virtio-blk sees of them
 *
 *	block.c           opening by type, queues, dispatch
 *	raw.c, qcow2*.c   formats: struct block_format (impl.h)
 *	file.c, lock.c    the host's file: size, alignment, steps of a request
 *	engine-*.c        who does the I/O: io_uring, or a pool of threads
 *
 * An image is opened once (struct block) and has one door per thread (struct
 * block_queue). Requests are asynchronous, owned by the caller, and need no
 * memory of ours unless O_DIRECT meets a misaligned buffer.
 *
 * The type of an image is what the user says and never what it contains: a
 * guest can write any header into its raw disk (CVE-2026-27211). Images are
 * locked while they are open: one writer or many readers, on this host and
 * wherever the file system carries locks.
 *
 * Threads: block_open(), block_queue_new(), block_queue_free(), block_close()
 * on one thread at a time. block_submit() and block_kick() on the thread that
 * runs the queue's event loop, always the same one. block_queue_wait() and
 * block_resize() on any thread.
 */
#ifndef DEVICES_BLOCK_BLOCK_H
#define DEVICES_BLOCK_BLOCK_H

#include <sys/uio.h>

#include "vmm/base/diag.h"
#include "vmm/base/types.h"
#include "vmm/event.h"

/* Offsets, lengths and sizes are multiples of this, and of
 * block_info.logical_bytes (VIRTIO 1.3 sec. 5.2.4: sectors). */
#define BLOCK_SECTOR_BYTES 512

/** enum block_type - the format of an image; AUTO is raw, with a hint in the
 * log if it looks like something else */
enum block_type { BLOCK_AUTO, BLOCK_RAW, BLOCK_QCOW2 };

/** enum block_engine_choice - who does the I/O; AUTO: io_uring where the host
 * lets us, else threads */
enum block_engine_choice { ENGINE_AUTO, ENGINE_URING, ENGINE_THREADS };

/**
 * struct block_options - how to open an image; strings are the caller's and
 *	needed during block_open() only
 * @what: how messages name it: "--disk path=a.img"
 * @path: of the image: a regular file or a block device
 * @readonly: opened so; shares its lock with other readers
 * @direct: O_DIRECT
 * @backing_files: a qcow2 image may name others (any path: whoever made the
 *	image decides what is read)
 * @sparse: discarded ranges are given back to the file system
 * @lock_whole: lock all offsets, not only those that the file has now
 */
struct block_options {
	const char *what, *path;
	enum block_type type;
	enum block_engine_choice engine;
	bool readonly, direct, backing_files, sparse, lock_whole;
};

/**
 * struct block_info - what an image is like
 * @capacity_bytes: size of the disk, as block_capacity()
 * @logical_bytes: 512 or 4096: unit of all requests
 * @physical_bytes: what the storage writes at once; at least @logical_bytes
 * @io_min_bytes, @io_opt_bytes: best sizes of requests; 0: not known
 * @discard_bytes: best unit of BLOCK_DISCARD
 * @mem_align: buffers with this alignment (address and length) need no copy
 * @readonly: writes fail with -EROFS
 * @discard, @write_zeroes: operations that are more than an error
 */
struct block_info {
	uint64_t capacity_bytes;
	uint32_t logical_bytes, physical_bytes, io_min_bytes, io_opt_bytes;
	uint32_t discard_bytes, mem_align;
	bool readonly, discard, write_zeroes;
};

/** enum block_op - what a request does */
enum block_op {
	BLOCK_READ,
	BLOCK_WRITE,
	BLOCK_FLUSH,   /* writes that are done() are durable */
	BLOCK_DISCARD, /* contents are not needed any more; a hint */
	BLOCK_ZERO,    /* reads as zeros; deallocated only with may_unmap */
};

struct block;
struct block_file;
struct block_queue;

/**
 * struct block_request - one request; the caller's until @done is called
 * @op: see enum block_op
 * @may_unmap: BLOCK_ZERO may deallocate
 * @offset_bytes, @len_bytes: where; within the disk; 0 for BLOCK_FLUSH
 * @iov, @iov_count: buffers, together @len_bytes, for reads and writes; the
 *	vectors may be changed here
 * @done: called once, on the queue's thread, possibly inside block_submit();
 *	@err is 0 or -errno. It may reuse or free the request, and submit.
 * The rest belongs to format and engine.
 */
struct block_request {
	enum block_op op;
	bool may_unmap;
	unsigned iov_count;
	uint64_t offset_bytes, len_bytes;
	struct iovec *iov;
	void (*done)(struct block_request *r, int err);

	/* file.c and engines */
	struct block_file *file;
	struct block_request *next;
	uint64_t moved_bytes; /* transferred so far */
	struct iovec bounce;  /* aligned copy, or zeros to be written */
	uint8_t step;	      /* enum block_step */
	int mode;	      /* of fallocate() */
	int64_t result;	      /* threads: of the last step */
	/* a format's */
	void *format;
};

/**
 * block_open - open and lock an image
 * @out: receives it; untouched on failure
 * @d: one sentence beginning with @opt->what
 *
 * Return: 0 or -errno: of open(), -EBUSY (locked by another process), -EINVAL
 * (empty, not whole sectors, not a file, O_DIRECT refused), -ENOTSUP.
 */
int block_open(struct block **out, const struct block_options *opt,
	       struct diag *d);

/** block_close - no queues are left; accepts NULL */
void block_close(struct block *b);

/** block_info - constant while the image is open, but for its capacity */
const struct block_info *block_info(const struct block *b);

/** block_capacity - the size of the disk now, in bytes; any thread */
uint64_t block_capacity(const struct block *b);

/**
 * struct block_client - how completions are delivered from the event loop
 * @begin, @end: called around each batch of done() calls that does not come
 *	from inside block_submit() or block_kick(); may be NULL
 */
struct block_client {
	void (*begin)(void *opaque);
	void (*end)(void *opaque);
	void *opaque;
};

/**
 * block_queue_new - a thread's door to the image
 * @loop: completions are delivered from it
 * @depth: requests that are usually in flight at most; more are possible
 * @client: copied
 *
 * Return: 0 or -errno.
 */
int block_queue_new(struct block_queue **out, struct block *b,
		    struct event_loop *loop, unsigned depth,
		    const struct block_client *client, struct diag *d);

/** block_queue_free - nothing is in flight; accepts NULL. With the loop's
 * thread stopped, or on it */
void block_queue_free(struct block_queue *q);

/**
 * block_submit - start a request, at the latest with the next block_kick()
 *
 * A request outside of the disk is done with -EINVAL, a write to a read-only
 * image with -EROFS.
 */
void block_submit(struct block_queue *q, struct block_request *r);

/** block_kick - start all that was submitted, with one system call at best,
 * and deliver what is done at once; does nothing inside of itself */
void block_kick(struct block_queue *q);

/**
 * block_queue_wait - until nothing is in flight
 *
 * The block_kick() that delivers the last one may not have returned yet.
 * On the queue's thread it delivers; on any other it waits for that thread,
 * which must be running its event loop. Not inside done(), and without locks
 * that done(), block_client.begin or block_client.end take.
 */
void block_queue_wait(struct block_queue *q);

/**
 * block_resize - change the size of the disk, for block devices: take note of
 *	their new size
 * @bytes: a multiple of block_info.logical_bytes, not less than now
 *
 * Return: 0 or -errno.
 */
int block_resize(struct block *b, uint64_t bytes, struct diag *d);

#endif
