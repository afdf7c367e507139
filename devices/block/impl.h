/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: inside of devices/block: files, engines, formats
 *
 * A format (raw, qcow2) turns a request on the disk into requests on host
 * files: struct block_request again, with offsets in the file, given to
 * block_file_submit(). An engine carries out a request on a file in one step
 * or several: file.c decides which, the engine only makes system calls.
 *
 *	block_submit -> format->submit -> block_file_submit -> engine->submit
 *	                                                          |  again
 *	request.done <- block_complete <- file.c: block_step_done <-
 *
 * Threads: struct block and struct block_file are constant while queues
 * exist, but for atomics and what a format guards itself. A struct block_queue
 * belongs to its thread.
 */
#ifndef DEVICES_BLOCK_IMPL_H
#define DEVICES_BLOCK_IMPL_H

#include <pthread.h>
#include <stdatomic.h>

#include "devices/block/block.h"

#define BLOCK_FILES_MAX 32 /* of one image, with its backing files */

/**
 * struct block_file - an open and locked file of the host
 * @what: how messages name it; owned
 * @fd: opened as asked; @slot: its place in struct block.file
 * @is_device: a block device
 * @readonly, @direct, @sparse: as opened
 * @lock_whole: see struct block_options
 * @logical_bytes, @physical_bytes, @io_min_bytes, @io_opt_bytes: as in struct
 *	block_info; requests must be multiples of @logical_bytes only if @direct
 * @mem_align: of buffers; 1 without O_DIRECT
 * @size_bytes: when opened
 * @no_zero_range, @no_punch_hole: the file system has refused these
 */
struct block_file {
	char *what;
	int fd;
	unsigned slot;
	bool is_device, readonly, direct, sparse, lock_whole;
	uint32_t logical_bytes, physical_bytes, io_min_bytes, io_opt_bytes;
	uint32_t mem_align;
	uint64_t size_bytes;
	atomic_bool no_zero_range, no_punch_hole;
};

/**
 * struct block_format - a type of image
 * @open: block.file[0] is open; open more with block_file_open(), fill
 *	block.info (preset with the file's) and block.capacity; undo on failure
 * @close: files are closed afterwards; may be NULL
 * @queue_new, @queue_free: block_queue.format; may be NULL
 * @submit: carry out a request, which is within the disk and allowed
 * @reap: deliver what its own threads have finished; how many; may be NULL
 * @resize: see block_resize(); sets block.capacity
 */
struct block_format {
	const char *name;
	int (*open)(struct block *b, const struct block_options *opt,
		    struct diag *d);
	void (*close)(struct block *b);
	int (*queue_new)(struct block_queue *q, struct diag *d);
	void (*queue_free)(struct block_queue *q);
	void (*submit)(struct block_queue *q, struct block_request *r);
	unsigned (*reap)(struct block_queue *q);
	int (*resize)(struct block *b, uint64_t bytes, struct diag *d);
};

extern const struct block_format block_raw;
extern const struct block_format block_qcow2;

/**
 * struct block - an open image
 * @capacity: of the disk in bytes
 * @file: @file_count of them; the first is the image itself
 * @format: which; @state: the format's own
 */
struct block {
	const struct block_format *format;
	void *state;
	struct block_info info;
	_Atomic uint64_t capacity;
	enum block_engine_choice engine;
	struct block_file *file[BLOCK_FILES_MAX];
	unsigned file_count;
};

/**
 * struct block_engine - who makes the system calls
 * @open: block_queue.engine_state; -errno if the host refuses it
 * @close: the mirror; nothing is in flight
 * @submit: carry out the next step of a request (block_request.step), at the
 *	latest when kicked
 * @kick: start all of them
 * @reap: give results to block_step_finish(); @wait: until there is at least
 *	one. Return: how many
 */
struct block_engine {
	const char *name;
	int (*open)(struct block_queue *q, struct diag *d);
	void (*close)(struct block_queue *q);
	void (*submit)(struct block_queue *q, struct block_request *r);
	void (*kick)(struct block_queue *q);
	unsigned (*reap)(struct block_queue *q, bool wait);
};

extern const struct block_engine block_engine_uring;
extern const struct block_engine block_engine_threads;

/**
 * struct block_queue - a thread's door; see block.h
 * @in_flight: requests on files that are not done, and jobs
 * @jobs: of them, those that a format's own threads do; @job_fd is readable
 *	when one is finished
 * @kicking: inside block_kick()
 * @owner: the thread that submits, valid once @owned
 * @source: what the engine makes readable when something is done
 * @busy, @waiters: block_queue_wait() on other threads: one looks at the other
 *	after its own store
 */
struct block_queue {
	struct block *b;
	struct event_loop *loop;
	struct block_client client;
	unsigned depth;
	const struct block_engine *engine;
	void *engine_state;
	void *format;
	unsigned in_flight, jobs;
	int job_fd;
	bool kicking, owned;
	pthread_t owner;
	struct event_source source;
	atomic_bool busy;
	atomic_uint waiters;
	pthread_mutex_t lock;
	pthread_cond_t quiet;
};

/* ---- block.c ----------------------------------------------------------- */

/** block_file_submit - start @r, whose offset is one in @file */
void block_file_submit(struct block_queue *q, struct block_file *file,
		       struct block_request *r);

/** block_job_begin - a format's own threads do something for @q */
void block_job_begin(struct block_queue *q);

/** block_job_end - it is done, and its request will be in a moment; from
 * block_format.reap() */
void block_job_end(struct block_queue *q);

/** block_queue_run - deliver what is done, from the event loop */
void block_queue_run(struct block_queue *q);

/** block_step_finish - an engine reports what a step returned: >= 0 or -errno;
 * goes on with the next step, or the request is done */
void block_step_finish(struct block_queue *q, struct block_request *r,
		       int64_t result);

/* ---- file.c ------------------------------------------------------------ */

/** enum block_step - one system call */
enum block_step {
	STEP_READ,     /* preadv() */
	STEP_WRITE,    /* pwritev() */
	STEP_SYNC,     /* fdatasync() */
	STEP_ALLOCATE, /* fallocate() with block_request.mode */
	STEP_DISCARD,  /* BLKDISCARD, always block_step_call() */
};

/**
 * block_file_open - open, measure and lock a file
 * @b: it becomes the next of block.file, closed with the block
 * @opt: its what, path, readonly, direct, sparse, lock_whole count
 *
 * Return: 0 or -errno as block_open().
 */
int block_file_open(struct block *b, const struct block_options *opt,
		    struct block_file **out, struct diag *d);

/** block_file_close - accepts NULL */
void block_file_close(struct block_file *f);

/** block_file_size - bytes of the file now, or -errno */
int64_t block_file_size(const struct block_file *f);

/**
 * block_file_read, block_file_write - copy now, at any offset and alignment
 *
 * Reading beyond the end gives zeros. With O_DIRECT, writes must be multiples
 * of block_file.logical_bytes. For metadata: this waits.
 * Return: 0 or -errno.
 */
int block_file_read(const struct block_file *f, uint64_t offset, void *buf,
		    size_t len);
int block_file_write(const struct block_file *f, uint64_t offset,
		     const void *buf, size_t len);

/** block_step_first - decide on the first step of @r. Return: 1: @r->step is
 * one; 0: there is nothing to do; -errno */
int block_step_first(struct block_request *r);

/** block_step_next - the step returned @result. Return: as above */
int block_step_next(struct block_request *r, int64_t result);

/** block_step_release - after the last step */
void block_step_release(struct block_request *r);

/** block_step_iov - vectors of STEP_READ and STEP_WRITE; @count receives how
 * many, at most IOV_MAX; the offset is block_step_offset() */
const struct iovec *block_step_iov(const struct block_request *r,
				   unsigned *count);

/** block_step_offset - where the step begins in the file */
static inline uint64_t block_step_offset(const struct block_request *r)
{
	return r->offset_bytes + r->moved_bytes;
}

/** block_step_call - make the system call here and now; its result or -errno */
int64_t block_step_call(const struct block_request *r);

/* ---- lock.c ------------------------------------------------------------ */

/**
 * block_lock - lock an open file against other processes
 *
 * Return: 0, or -EBUSY and @d names who holds it, as far as /proc tells. A
 * file system without locks is no failure.
 */
int block_lock(const struct block_file *f, struct diag *d);

/** block_unlock - now: closing alone would not, as an io_uring holds on to the
 * file for some time after it is gone */
void block_unlock(const struct block_file *f);

#endif
