/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: requests of a virtio disk (VIRTIO 1.3 sec. 5.2.6)
 *
 * Each request has a slot that exists since the queue was made, so that none
 * needs memory unless it has more than IOV_INLINE buffers. Header and ranges
 * are copied once out of guest memory; the status byte is the last writable
 * byte of the chain, wherever the driver cuts it into buffers.
 *
 * All requests of one notification are started by one block_kick(). A request
 * that the rate limit holds up is put back into the ring, and the queue sleeps
 * until the limit lets it pass.
 *
 * Threads: the queue's I/O thread, with the queue's lock held.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/base/log.h"

#include "devices/virtio/blk.h"

#define IOV_INLINE 8 /* a page each: 32 KiB, most random requests */

/* VIRTIO 1.3 sec. 5.2.6 */
enum {
	TYPE_IN = 0,
	TYPE_OUT = 1,
	TYPE_FLUSH = 4,
	TYPE_GET_ID = 8,
	TYPE_DISCARD = 11,
	TYPE_WRITE_ZEROES = 13,
};
enum { STATUS_OK = 0, STATUS_IOERR = 1, STATUS_UNSUPP = 2 };
enum { HEADER_BYTES = 16, RANGE_BYTES = 16, RANGE_UNMAP = 1 };

/**
 * struct blk_request - a request in flight
 * @r: what the image is asked; first, so that one is the other
 * @next: in blk_queue.free
 * @chain: to be given back
 * @status: in guest memory
 * @data_bytes: read from the disk when all goes well
 * @then_flush: the write is to be made durable
 * @vec: vectors of @r, when they are few
 */
struct blk_request {
	struct block_request r;
	struct blk_queue *q;
	struct blk_request *next;
	struct virtq_chain chain;
	uint8_t *status;
	uint32_t data_bytes;
	bool then_flush;
	struct iovec *many, vec[IOV_INLINE];
};

/** struct header - the copy of a request's header */
struct header {
	uint32_t type;
	uint64_t sector;
};

static struct blk_request *request_of(struct block_request *r)
{
	return container_of(r, struct blk_request, r);
}

/* ---- giving back ------------------------------------------------------- */

/* @written: writable bytes that were filled, without the status. They count
 * only if the status follows: used lengths have no holes. */
static void finish(struct blk_request *rq, uint8_t status, uint32_t written)
{
	struct blk_queue *q = rq->q;
	uint64_t room = rq->chain.in_bytes - 1;

	*(volatile uint8_t *)rq->status = status;
	virtio_push(&q->blk->vd, q->index, &rq->chain,
		    written + (written == room));
	free(rq->many);
	rq->many = NULL;
	rq->next = q->free;
	q->free = rq;
}

static void say_error(struct blk *blk, const struct block_request *r, int err)
{
	static const char *const ops[] = {
		[BLOCK_READ] = "read",	      [BLOCK_WRITE] = "write",
		[BLOCK_FLUSH] = "flush",      [BLOCK_DISCARD] = "discard",
		[BLOCK_ZERO] = "write zeros",
	};

	/* The guest's own: outside of the disk, or read-only. */
	if (err == -EINVAL || err == -EROFS)
		return;
	log_guest(&blk->host_errors,
		  "%s: --disk path=%s: cannot %s at %llu: %s: the guest sees "
		  "an I/O error",
		  blk->vd.dev.id, blk->cfg->path, ops[r->op],
		  (unsigned long long)r->offset_bytes, strerror(-err));
}

static void request_done(struct block_request *r, int err)
{
	struct blk_request *rq = request_of(r);

	if (!err && rq->then_flush) {
		rq->then_flush = false;
		r->op = BLOCK_FLUSH;
		block_submit(rq->q->door, r);
		return;
	}
	if (err)
		say_error(rq->q->blk, r, err);
	finish(rq,
	       !err		 ? STATUS_OK
	       : err == -ENOTSUP ? STATUS_UNSUPP
				 : STATUS_IOERR,
	       err ? 0 : rq->data_bytes);
}

/* ---- taking apart ------------------------------------------------------ */

/* The last writable byte; there is one. */
static uint8_t *status_byte(const struct virtq_chain *c)
{
	const struct iovec *last = &c->iov[c->out_count + c->in_count - 1];

	return (uint8_t *)last->iov_base + last->iov_len - 1;
}

static struct iovec *room_for(struct blk_request *rq, unsigned count)
{
	if (count <= IOV_INLINE)
		return rq->vec;
	rq->many = malloc(count * sizeof(rq->many[0]));
	return rq->many;
}

/* The @len bytes behind the first @skip of @iov, as vectors of the request. */
static bool take_buffers(struct blk_request *rq, const struct iovec *iov,
			 unsigned count, size_t skip, size_t len)
{
	struct iovec *to = room_for(rq, count);

	if (!to)
		return false;
	rq->r.iov = to;
	rq->r.iov_count = iov_slice(to, count, iov, count, skip, len);
	return true;
}

/* ---- starting ---------------------------------------------------------- */

static void start(struct blk_request *rq, enum block_op op, uint64_t sector,
		  uint64_t len)
{
	struct block_request *r = &rq->r;

	r->op = op;
	r->len_bytes = len;
	if (op == BLOCK_FLUSH) {
		r->offset_bytes = 0;
	} else if (!mul_u64(sector, BLOCK_SECTOR_BYTES, &r->offset_bytes)) {
		finish(rq, STATUS_IOERR, 0);
		return;
	}
	block_submit(rq->q->door, r);
}

static void do_read(struct blk_request *rq, const struct header *h)
{
	const struct virtq_chain *c = &rq->chain;
	uint64_t len = c->in_bytes - 1;

	if (!take_buffers(rq, c->iov + c->out_count, c->in_count, 0, len)) {
		finish(rq, STATUS_IOERR, 0);
		return;
	}
	rq->data_bytes = (uint32_t)len;
	start(rq, BLOCK_READ, h->sector, len);
}

static bool write_through(const struct blk *blk)
{
	return atomic_load_explicit(&blk->write_through, memory_order_relaxed);
}

static void do_write(struct blk_request *rq, const struct header *h)
{
	const struct virtq_chain *c = &rq->chain;
	uint64_t len = c->out_bytes - HEADER_BYTES;

	if (!take_buffers(rq, c->iov, c->out_count, HEADER_BYTES, len)) {
		finish(rq, STATUS_IOERR, 0);
		return;
	}
	rq->then_flush = write_through(rq->q->blk);
	start(rq, BLOCK_WRITE, h->sector, len);
}

static void do_flush(struct blk_request *rq, const struct header *h)
{
	(void)h;
	start(rq, BLOCK_FLUSH, 0, 0);
}

static void do_get_id(struct blk_request *rq, const struct header *h)
{
	const struct virtq_chain *c = &rq->chain;
	size_t len = MIN(c->in_bytes - 1, VIRTIO_BLK_ID_BYTES);

	(void)h;
	iov_write(c->iov + c->out_count, c->in_count, 0, rq->q->blk->serial,
		  len);
	finish(rq, STATUS_OK, (uint32_t)len);
}

/* DISCARD and WRITE_ZEROES: one range (VIRTIO 1.3 sec. 5.2.6.2). */
static void do_range(struct blk_request *rq, enum block_op op,
		     uint32_t known_flags, uint32_t sectors_max)
{
	const struct virtq_chain *c = &rq->chain;
	uint8_t raw[RANGE_BYTES];
	uint32_t sectors, flags;

	if (c->out_bytes != HEADER_BYTES + RANGE_BYTES) {
		finish(rq, STATUS_IOERR, 0);
		return;
	}
	iov_read(c->iov, c->out_count, HEADER_BYTES, raw, sizeof(raw));
	sectors = get_le32(raw + 8);
	flags = get_le32(raw + 12);
	if (flags & ~known_flags) {
		finish(rq, STATUS_UNSUPP, 0);
		return;
	}
	if (sectors > sectors_max) {
		finish(rq, STATUS_IOERR, 0);
		return;
	}
	rq->r.may_unmap = flags & RANGE_UNMAP;
	rq->then_flush = write_through(rq->q->blk);
	start(rq, op, get_le64(raw), (uint64_t)sectors * BLOCK_SECTOR_BYTES);
}

static void do_discard(struct blk_request *rq, const struct header *h)
{
	(void)h;
	do_range(rq, BLOCK_DISCARD, 0, VIRTIO_BLK_DISCARD_SECTORS);
}

static void do_write_zeroes(struct blk_request *rq, const struct header *h)
{
	(void)h;
	do_range(rq, BLOCK_ZERO, RANGE_UNMAP, VIRTIO_BLK_ZERO_SECTORS);
}

/* What a type needs: features that were accepted. */
static const struct {
	void (*run)(struct blk_request *rq, const struct header *h);
	uint64_t feature;
} types[] = {
	[TYPE_IN] = { do_read, 0 },
	[TYPE_OUT] = { do_write, 0 },
	[TYPE_FLUSH] = { do_flush, 0 },
	[TYPE_GET_ID] = { do_get_id, 0 },
	[TYPE_DISCARD] = { do_discard, VIRTIO_BLK_F_DISCARD },
	[TYPE_WRITE_ZEROES] = { do_write_zeroes, VIRTIO_BLK_F_WRITE_ZEROES },
};

static void begin(struct blk_request *rq)
{
	const struct virtq_chain *c = &rq->chain;
	uint8_t raw[HEADER_BYTES];
	struct header h;

	rq->status = status_byte(c);
	rq->data_bytes = 0;
	rq->then_flush = rq->r.may_unmap = false;
	rq->r.iov_count = 0;
	if (iov_read(c->iov, c->out_count, 0, raw, sizeof(raw)) !=
	    sizeof(raw)) {
		finish(rq, STATUS_IOERR, 0);
		return;
	}
	h.type = get_le32(raw);
	h.sector = get_le64(raw + 8);
	if (h.type >= ARRAY_SIZE(types) || !types[h.type].run ||
	    types[h.type].feature & ~rq->q->blk->vd.features)
		finish(rq, STATUS_UNSUPP, 0);
	else
		types[h.type].run(rq, &h);
}

/* Must the request wait? Then it is back in the ring. */
static bool held_up(struct blk_queue *q, const struct virtq_chain *c)
{
	uint64_t bytes = c->out_bytes + c->in_bytes;
	uint64_t wait_ns;

	if (!atomic_load_explicit(&q->blk->limit->limited,
				  memory_order_relaxed))
		return false;
	/* Header and status do not count. */
	bytes -= MIN(bytes, HEADER_BYTES + 1);
	wait_ns = rate_limiter_take(q->blk->limit, bytes, 1);
	if (!wait_ns)
		return false;
	virtq_undo(&q->blk->vd.queue[q->index].ring, c);
	q->limited = true;
	event_timer_set(&q->timer, wait_ns, 0);
	return true;
}

/* Return: false: no more for now. */
static bool serve(struct blk_queue *q)
{
	struct blk_request *rq = q->free;
	struct virtio_device *vd = &q->blk->vd;

	/* There are as many as the ring has entries. */
	if (!rq || !virtio_pop(vd, q->index, &rq->chain) ||
	    held_up(q, &rq->chain))
		return false;
	if (!rq->chain.in_bytes) {
		/* Not in flight: such a device can be saved. */
		virtq_undo(&vd->queue[q->index].ring, &rq->chain);
		virtio_misused(vd, "request without a status byte");
		return false;
	}
	q->free = rq->next;
	begin(rq);
	return true;
}

void blk_notify(struct virtio_device *vd, unsigned queue)
{
	struct blk *blk = container_of(vd, struct blk, vd);
	struct blk_queue *q = &blk->queue[queue];
	unsigned taken = 0;

	if (q->limited)
		return;
	while (virtio_more(vd, queue, &taken) && serve(q))
		;
	block_kick(q->door);
	virtio_done(vd, queue);
}

/* ---- life -------------------------------------------------------------- */

static void batch_begin(void *opaque)
{
	struct blk_queue *q = opaque;

	virtio_queue_lock(&q->blk->vd, q->index);
}

static void batch_end(void *opaque)
{
	struct blk_queue *q = opaque;

	virtio_done(&q->blk->vd, q->index);
	virtio_queue_unlock(&q->blk->vd, q->index);
}

static void limit_passed(void *opaque)
{
	struct blk_queue *q = opaque;

	virtio_queue_lock(&q->blk->vd, q->index);
	q->limited = false;
	virtio_queue_unlock(&q->blk->vd, q->index);
	virtio_kick(&q->blk->vd, q->index);
}

void blk_stop(struct virtio_device *vd, unsigned queue)
{
	struct blk *blk = container_of(vd, struct blk, vd);
	struct blk_queue *q = &blk->queue[queue];

	virtio_queue_lock(vd, queue);
	event_timer_set(&q->timer, 0, 0);
	q->limited = false;
	virtio_queue_unlock(vd, queue);
	block_queue_wait(q->door);
	/* Who has delivered the last one has the lock, and is done now. */
	virtio_queue_lock(vd, queue);
	virtio_queue_unlock(vd, queue);
}

static const struct u32_list *cpus_of(const struct disk_config *cfg,
				      unsigned index)
{
	for (unsigned i = 0; i < cfg->queue_affinity.count; i++)
		if (cfg->queue_affinity.v[i].index == index)
			return &cfg->queue_affinity.v[i].cpus;
	return NULL;
}

static int make_requests(struct blk_queue *q, unsigned count, struct diag *d)
{
	q->request = calloc(count, sizeof(q->request[0]));
	if (!q->request)
		return diag_fail(d, ENOMEM, "out of memory");
	while (count--) {
		struct blk_request *rq = &q->request[count];

		rq->q = q;
		rq->r.done = request_done;
		rq->next = q->free;
		q->free = rq;
	}
	return 0;
}

int blk_queue_open(struct blk *blk, unsigned index, struct diag *d)
{
	struct blk_queue *q = &blk->queue[index];
	const struct block_client client = { batch_begin, batch_end, q };
	char name[sizeof(blk->vd.dev.id) + 16];
	struct event_loop *loop;
	int err;

	q->blk = blk;
	q->index = index;
	err = make_requests(q, blk->vd.queue_size, d);
	if (err)
		return err;
	snprintf(name, sizeof(name), "%s_q%u", blk->vd.dev.id, index);
	err = iothread_new(&q->thread, name, cpus_of(blk->cfg, index), d);
	if (err)
		return err;
	loop = iothread_loop(q->thread);
	err = event_timer_init(&q->timer, loop, limit_passed, q);
	if (err)
		return diag_errno(d, -err, "timer");
	return block_queue_new(&q->door, blk->image, loop, blk->vd.queue_size,
			       &client, d);
}

void blk_queue_close(struct blk_queue *q)
{
	iothread_stop(q->thread);
	block_queue_free(q->door);
	event_timer_release(&q->timer);
	iothread_free(q->thread);
	free(q->request);
	memset(q, 0, sizeof(*q));
}
