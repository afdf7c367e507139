/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: virtio memory balloon (VIRTIO 1.3 sec. 5.5)
 *
 * The driver gives pages to the balloon and takes them back; what is inside
 * belongs to the host (ram_discard()). Free page reporting does the same for
 * pages that the guest has no use for at the moment, without a target.
 * Statistics and free page hints are passed on to the machine (balloon.h).
 *
 * Hints are never discarded: Linux takes hinted pages back when memory is
 * short, without waiting for us, so that a discard would hit live data.
 *
 * The driver poisons free pages (PAGE_POISON) with a value that is not zero:
 * reported pages are then left alone, because discarded ones read as zero.
 *
 * STATS_VQ and FREE_PAGE_HINT are always offered: drivers disagree about the
 * number of a queue that comes after one that does not exist.
 *
 * A page number outside of RAM (persistent memory is not RAM) is ignored and
 * counted. Work of one kick is bounded by PAGES_PER_KICK.
 *
 * Not implemented: MUST_TELL_HOST (a page that was taken back reads as zero
 * and costs the host nothing until it is touched).
 *
 * Threads: see virtio.h; balloon.h on the main thread.
 */
#include "devices/virtio/balloon.h"

#include <errno.h>
#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/base/log.h"

#include "devices/virtio/devices.h"
#include "devices/virtio/virtio.h"

/* sec. 5.5.6: pages of 4096 bytes, whatever the guest's or host's are */
#define PAGE_SHIFT     12
#define PAGE_BYTES     (UINT64_C(1) << PAGE_SHIFT)
#define PAGES_PER_KICK 4096 /* Linux sends 256 in a request */
#define STAT_BYTES     10   /* le16 tag, le64 value */

/* sec. 5.5.2 */
enum {
	QUEUE_INFLATE,
	QUEUE_DEFLATE,
	QUEUE_STATS,
	QUEUE_HINT,
	QUEUE_REPORT,
	QUEUES,
};

/* sec. 5.5.3 */
#define BALLOON_F_STATS_VQ	 (1ULL << 1)
#define BALLOON_F_DEFLATE_ON_OOM (1ULL << 2)
#define BALLOON_F_FREE_PAGE_HINT (1ULL << 3)
#define BALLOON_F_PAGE_POISON	 (1ULL << 4)
#define BALLOON_F_REPORTING	 (1ULL << 5)

/* sec. 5.5.4 */
enum {
	CONFIG_PAGES = 0,
	CONFIG_ACTUAL = 4,
	CONFIG_HINT_ID = 8,
	CONFIG_POISON = 12,
	CONFIG_BYTES = 16,
};

/* sec. 5.5.6.5: free_page_hint_cmd_id */
enum { HINT_STOP, HINT_DONE, HINT_FIRST };

/**
 * struct balloon - see the DOC block
 * @target, @actual: pages in the balloon: wanted, and as the driver says
 * @poison: value that fills the driver's free pages
 * @hint_id: command shown to the driver; at least HINT_FIRST: wants hints
 * @hint_last: the last such command
 * @hinting: the driver has taken up @hint_id
 * @hints: who gets them; @hints.free NULL: nobody
 * @stats: last heard
 * @stats_waiting: the driver's buffer with them is still in the queue; giving
 *	it back asks for new ones
 * @stray: page numbers outside of RAM, see log_guest()
 * @refused: discards that the host refused, likewise
 */
struct balloon {
	struct virtio_device vd;
	uint32_t target, actual, poison;
	uint32_t hint_id, hint_last;
	bool hinting;
	struct balloon_hints hints;
	struct balloon_stats stats;
	bool stats_waiting;
	atomic_uint stray, refused;
};

static struct balloon *to_balloon(struct virtio_device *vd)
{
	return container_of(vd, struct balloon, vd);
}

static struct balloon *from_device(struct device *dev)
{
	return to_balloon(container_of(dev, struct virtio_device, dev));
}

static const struct balloon_config *config_of(const struct virtio_device *vd)
{
	return vd->dev.item;
}

/* ---- inflate and deflate ----------------------------------------------- */

static void discard(struct balloon *b, gpa_t gpa, uint64_t len)
{
	int err = ram_discard(b->vd.dev.env->ram, gpa, len);

	if (err == -EFAULT)
		log_guest(&b->stray,
			  "%s: the guest's driver names a page that is not "
			  "RAM: ignored",
			  b->vd.dev.id);
	else if (err)
		log_guest(&b->refused,
			  "%s: the host does not take memory back (%s)",
			  b->vd.dev.id, strerror(-err));
}

/** struct run - neighbouring pages, in either direction; @count may be 0 */
struct run {
	uint64_t first, count;
};

static void run_flush(struct balloon *b, struct run *run)
{
	const struct guest_ram *ram = b->vd.dev.env->ram;
	gpa_t gpa = GPA(run->first << PAGE_SHIFT);
	uint64_t len = run->count << PAGE_SHIFT;

	/* A run may reach over the end of a region: page by page then. */
	if (run->count > 1 && !ram_pin(ram, gpa, len))
		for (uint64_t i = 0; i < run->count; i++)
			discard(b, GPA(gpa.v + (i << PAGE_SHIFT)), PAGE_BYTES);
	else if (run->count)
		discard(b, gpa, len);
	run->count = 0;
}

static void run_add(struct balloon *b, struct run *run, uint32_t pfn)
{
	if (run->count && pfn == run->first + run->count) {
		run->count++;
	} else if (run->count && pfn + 1ULL == run->first) {
		run->first--;
		run->count++;
	} else {
		run_flush(b, run);
		*run = (struct run){ pfn, 1 };
	}
}

/* Return: pages in the request. */
static unsigned inflate(struct balloon *b, const struct virtq_chain *chain)
{
	struct run run = { 0 };
	uint8_t raw[1024];
	unsigned pages = 0;
	size_t got;

	do {
		got = iov_read(chain->iov, chain->out_count, pages * 4ULL, raw,
			       sizeof(raw)) /
		      4;
		for (size_t i = 0; i < got; i++)
			run_add(b, &run, get_le32(raw + 4 * i));
		pages += (unsigned)got;
	} while (got == sizeof(raw) / 4 && pages < PAGES_PER_KICK);
	run_flush(b, &run);
	return pages;
}

/* Deflated pages need nothing: they come back when they are touched. */
static void serve_pages(struct balloon *b, unsigned queue)
{
	struct virtio_device *vd = &b->vd;
	struct virtq_chain chain;
	unsigned taken = 0, pages = 0;

	while (virtio_more(vd, queue, &taken) &&
	       virtio_pop(vd, queue, &chain)) {
		if (queue == QUEUE_INFLATE)
			pages += inflate(b, &chain);
		virtio_push(vd, queue, &chain, 0);
		if (pages < PAGES_PER_KICK)
			continue;
		virtio_kick(vd, queue);
		break;
	}
	virtio_done(vd, queue);
}

/* ---- free page reporting (sec. 5.5.6.7) --------------------------------- */

static bool may_discard(const struct balloon *b)
{
	return !(b->vd.features & BALLOON_F_PAGE_POISON) || !b->poison;
}

/* The free pages are the buffers themselves. */
static void report(struct balloon *b, const struct virtq_chain *chain)
{
	const struct iovec *iov = chain->iov + chain->out_count;
	gpa_t gpa;

	for (unsigned i = 0; i < chain->in_count && may_discard(b); i++)
		if (ram_locate(b->vd.dev.env->ram, iov[i].iov_base, &gpa))
			discard(b, gpa, iov[i].iov_len);
}

static void serve_reports(struct balloon *b)
{
	struct virtio_device *vd = &b->vd;
	struct virtq_chain chain;
	unsigned taken = 0;

	while (virtio_more(vd, QUEUE_REPORT, &taken) &&
	       virtio_pop(vd, QUEUE_REPORT, &chain)) {
		report(b, &chain);
		virtio_push(vd, QUEUE_REPORT, &chain, 0);
	}
	virtio_done(vd, QUEUE_REPORT);
}

/* ---- free page hints (sec. 5.5.6.5) ------------------------------------- */

static void hint_command(struct balloon *b, uint32_t id)
{
	bool was = b->hinting;

	b->hinting = id >= HINT_FIRST && id == b->hint_id;
	if (was && id == HINT_STOP && b->hints.end)
		b->hints.end(b->hints.opaque);
}

static void hint_pages(struct balloon *b, const struct virtq_chain *chain)
{
	const struct iovec *iov = chain->iov + chain->out_count;
	gpa_t gpa;

	for (unsigned i = 0; i < chain->in_count; i++)
		if (b->hints.free &&
		    ram_locate(b->vd.dev.env->ram, iov[i].iov_base, &gpa))
			b->hints.free(b->hints.opaque, gpa, iov[i].iov_len);
}

static void serve_hints(struct balloon *b)
{
	struct virtio_device *vd = &b->vd;
	struct virtq_chain chain;
	unsigned taken = 0;
	uint8_t raw[4];

	while (virtio_more(vd, QUEUE_HINT, &taken) &&
	       virtio_pop(vd, QUEUE_HINT, &chain)) {
		if (iov_read(chain.iov, chain.out_count, 0, raw, 4) == 4)
			hint_command(b, get_le32(raw));
		if (b->hinting)
			hint_pages(b, &chain);
		virtio_push(vd, QUEUE_HINT, &chain, 0);
	}
	virtio_done(vd, QUEUE_HINT);
}

/* ---- statistics (sec. 5.5.6.4) ------------------------------------------ */

static void read_stats(struct balloon *b, const struct virtq_chain *chain)
{
	/* Each tag once; more cannot be news. */
	uint8_t raw[BALLOON_STATS * STAT_BYTES];
	size_t got =
		iov_read(chain->iov, chain->out_count, 0, raw, sizeof(raw));

	for (size_t at = 0; at + STAT_BYTES <= got; at += STAT_BYTES) {
		uint16_t tag = get_le16(raw + at);

		if (tag >= BALLOON_STATS)
			continue;
		b->stats.known |= 1u << tag;
		b->stats.value[tag] = get_le64(raw + at + 2);
	}
}

/* The buffer stays in the queue until somebody wants new statistics. */
static void serve_stats(struct balloon *b)
{
	struct virtio_device *vd = &b->vd;
	struct virtq_chain chain;

	if (b->stats_waiting || !virtio_pop(vd, QUEUE_STATS, &chain))
		return;
	read_stats(b, &chain);
	virtq_undo(&vd->queue[QUEUE_STATS].ring, &chain);
	b->stats_waiting = true;
}

static void ask_for_stats(struct balloon *b)
{
	struct virtio_device *vd = &b->vd;
	struct virtq_chain chain;

	if (!b->stats_waiting)
		return;
	b->stats_waiting = false;
	if (virtio_pop(vd, QUEUE_STATS, &chain))
		virtio_push(vd, QUEUE_STATS, &chain, 0);
	virtio_done(vd, QUEUE_STATS);
	serve_stats(b);
}

/* ---- the hooks ---------------------------------------------------------- */

static void balloon_notify(struct virtio_device *vd, unsigned queue)
{
	struct balloon *b = to_balloon(vd);

	switch (queue) {
	case QUEUE_STATS:
		serve_stats(b);
		break;
	case QUEUE_HINT:
		serve_hints(b);
		break;
	case QUEUE_REPORT:
		serve_reports(b);
		break;
	default:
		serve_pages(b, queue);
	}
}

/* What waits in the queue is new to us, or news again. */
static void balloon_start(struct virtio_device *vd, unsigned queue)
{
	if (queue == QUEUE_STATS)
		to_balloon(vd)->stats_waiting = false;
}

static void balloon_reset(struct virtio_device *vd)
{
	struct balloon *b = to_balloon(vd);

	b->actual = b->poison = 0;
	b->hint_id = HINT_STOP;
	b->hinting = b->stats_waiting = false;
	b->stats = (struct balloon_stats){ 0 };
}

static uint64_t balloon_features(struct virtio_device *vd)
{
	const struct balloon_config *c = config_of(vd);

	return BALLOON_F_STATS_VQ | BALLOON_F_FREE_PAGE_HINT |
	       BALLOON_F_PAGE_POISON |
	       (c->deflate_on_oom ? BALLOON_F_DEFLATE_ON_OOM : 0) |
	       (c->free_page_reporting ? BALLOON_F_REPORTING : 0);
}

static void balloon_get_config(struct virtio_device *vd, uint8_t *config)
{
	const struct balloon *b = to_balloon(vd);

	put_le32(config + CONFIG_PAGES, b->target);
	put_le32(config + CONFIG_ACTUAL, b->actual);
	put_le32(config + CONFIG_HINT_ID, b->hint_id);
	put_le32(config + CONFIG_POISON, b->poison);
}

static void balloon_set_config(struct virtio_device *vd, unsigned offset,
			       const uint8_t *data, unsigned len)
{
	struct balloon *b = to_balloon(vd);
	uint8_t config[CONFIG_BYTES];

	balloon_get_config(vd, config);
	memcpy(config + offset, data, len);
	b->actual = get_le32(config + CONFIG_ACTUAL);
	b->poison = get_le32(config + CONFIG_POISON);
}

static int balloon_realize(struct virtio_device *vd, struct diag *d)
{
	(void)d;
	to_balloon(vd)->target =
		(uint32_t)(config_of(vd)->size_bytes >> PAGE_SHIFT);
	to_balloon(vd)->hint_last = HINT_FIRST - 1;
	return 0;
}

static void balloon_save(const struct virtio_device *vd, struct stream_out *out)
{
	const struct balloon *b = (const void *)vd;

	stream_put_u32(out, b->target);
	stream_put_u32(out, b->actual);
	stream_put_u32(out, b->poison);
	stream_put_u32(out, b->hint_id);
	stream_put_u32(out, b->hint_last);
}

/* The buffer with statistics is taken again, as if it had just come. */
static int balloon_load(struct virtio_device *vd, struct stream_in *in)
{
	struct balloon *b = to_balloon(vd);
	uint32_t target = stream_get_u32(in), actual = stream_get_u32(in);
	uint32_t poison = stream_get_u32(in), hint_id = stream_get_u32(in);
	uint32_t hint_last = stream_get_u32(in);

	if (in->failed || hint_last < HINT_FIRST - 1)
		return -EBADMSG;
	b->target = target;
	b->actual = actual;
	b->poison = poison;
	b->hint_id = hint_id;
	b->hint_last = hint_last;
	return 0;
}

static const struct virtio_class balloon_virtio = {
	.id = VIRTIO_ID_BALLOON,
	.pci_class = 0xff0000, /* fits no other class */
	.queue_count = QUEUES,
	.queue_size = 128,
	.config_bytes = CONFIG_BYTES,
	.realize = balloon_realize,
	.save = balloon_save,
	.load = balloon_load,
	.reset = balloon_reset,
	.get_features = balloon_features,
	.get_config = balloon_get_config,
	.set_config = balloon_set_config,
	.notify = balloon_notify,
	.start = balloon_start,
};

const struct device_class virtio_balloon_class = {
	.name = "virtio-balloon",
	.size_bytes = sizeof(struct balloon),
	.data = &balloon_virtio,
	VIRTIO_DEVICE_CLASS,
};

/* ---- for the machine ---------------------------------------------------- */

int virtio_balloon_resize(struct device *dev, uint64_t bytes, struct diag *d)
{
	struct balloon *b = from_device(dev);
	uint64_t most = ram_size(dev->env->ram);

	if (bytes > most)
		return diag_fail(d, EINVAL,
				 "a balloon of %llu bytes: the machine has "
				 "only %llu bytes of RAM",
				 (unsigned long long)bytes,
				 (unsigned long long)most);
	pthread_mutex_lock(&b->vd.lock);
	b->target = (uint32_t)(bytes >> PAGE_SHIFT);
	virtio_config_changed(&b->vd);
	pthread_mutex_unlock(&b->vd.lock);
	return 0;
}

uint64_t virtio_balloon_actual(struct device *dev)
{
	struct balloon *b = from_device(dev);
	uint64_t actual;

	pthread_mutex_lock(&b->vd.lock);
	actual = (uint64_t)b->actual << PAGE_SHIFT;
	pthread_mutex_unlock(&b->vd.lock);
	return actual;
}

bool virtio_balloon_stats(struct device *dev, struct balloon_stats *out)
{
	struct balloon *b = from_device(dev);
	bool known;

	pthread_mutex_lock(&b->vd.lock);
	known = b->stats.known;
	if (known)
		*out = b->stats;
	ask_for_stats(b);
	pthread_mutex_unlock(&b->vd.lock);
	return known;
}

int virtio_balloon_hint_start(struct device *dev,
			      const struct balloon_hints *hints)
{
	struct balloon *b = from_device(dev);
	int err = -ENOTSUP;

	pthread_mutex_lock(&b->vd.lock);
	if (b->vd.status & VIRTIO_DRIVER_OK &&
	    b->vd.features & BALLOON_F_FREE_PAGE_HINT) {
		b->hints = *hints;
		b->hinting = false;
		b->hint_last = MAX(b->hint_last + 1, (uint32_t)HINT_FIRST);
		b->hint_id = b->hint_last;
		virtio_config_changed(&b->vd);
		err = 0;
	}
	pthread_mutex_unlock(&b->vd.lock);
	return err;
}

void virtio_balloon_hint_stop(struct device *dev)
{
	struct balloon *b = from_device(dev);

	pthread_mutex_lock(&b->vd.lock);
	b->hints = (struct balloon_hints){ 0 };
	b->hinting = false;
	if (b->hint_id >= HINT_FIRST) {
		b->hint_id = HINT_DONE;
		virtio_config_changed(&b->vd);
	}
	pthread_mutex_unlock(&b->vd.lock);
}
