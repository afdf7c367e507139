/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: virtio entropy device (VIRTIO 1.3 sec. 5.4)
 *
 * Fills each buffer with up to 4 KiB read straight from --rng src= into the
 * guest's memory. A source that has nothing now (a FIFO, a socket) keeps the
 * requests waiting until the event loop sees it readable; one that has ended
 * or fails stops the device, which is said once. A rate limit (bw_…, ops_…)
 * keeps requests waiting until there are tokens.
 *
 * Threads: see virtio.h; the source's readiness on the event loop.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "vmm/base/log.h"
#include "vmm/token-bucket.h"

#include "devices/virtio/devices.h"
#include "devices/virtio/virtio.h"

#define REQUEST_BYTES_MAX 4096
#define DEFAULT_SOURCE	  "/dev/urandom"

enum { QUEUE_REQUESTS };

/**
 * struct rng - see the DOC block
 * @source: where entropy comes from; watched (EPOLLONESHOT) while we wait
 * @watchable: epoll takes it; a regular file or /dev/urandom never blocks
 * @limiter: of requests and bytes; @retry: fires when to ask it again
 * @dried_up: nothing will come any more, said once
 */
struct rng {
	struct virtio_device vd;
	struct event_source source;
	bool watchable;
	struct rate_limiter limiter;
	struct event_timer retry;
	atomic_uint dried_up;
};

static struct rng *to_rng(struct virtio_device *vd)
{
	return container_of(vd, struct rng, vd);
}

static const char *source_name(const struct rng *rng)
{
	const char *src = rng->vd.dev.env->config->rng.src;

	return src ? src : DEFAULT_SOURCE;
}

/* Cut the vectors down to REQUEST_BYTES_MAX; returns how many remain. */
static int cut(const struct virtq_chain *chain)
{
	struct iovec *iov = chain->iov + chain->out_count;
	size_t left = REQUEST_BYTES_MAX;
	unsigned i;

	for (i = 0; i < MIN(chain->in_count, 16u) && left; i++) {
		iov[i].iov_len = MIN(iov[i].iov_len, left);
		left -= iov[i].iov_len;
	}
	return (int)i;
}

static void wait_for_source(struct rng *rng)
{
	if (rng->watchable)
		event_mod(rng->vd.dev.env->loop, &rng->source,
			  EPOLLIN | EPOLLONESHOT);
}

/* The bytes are paid for afterwards: a source may have fewer. */
static bool may_read(struct rng *rng)
{
	uint64_t wait_ns = rate_limiter_take(&rng->limiter, 0, 1);

	if (wait_ns)
		event_timer_set(&rng->retry, wait_ns, 0);
	return !wait_ns;
}

static bool put_back(struct rng *rng, const struct virtq_chain *chain)
{
	virtq_undo(&rng->vd.queue[QUEUE_REQUESTS].ring, chain);
	return false;
}

/* Return: true to go on with the next request. */
static bool serve(struct rng *rng, const struct virtq_chain *chain)
{
	struct virtio_device *vd = &rng->vd;
	ssize_t got = 0;

	if (!may_read(rng))
		return put_back(rng, chain);
	if (chain->in_count)
		got = readv(rng->source.fd, chain->iov + chain->out_count,
			    cut(chain));
	if (got > 0 || !chain->in_count) {
		rate_limiter_charge(&rng->limiter, (uint64_t)got, 0);
		virtio_push(vd, QUEUE_REQUESTS, chain, (uint32_t)got);
		return true;
	}
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		wait_for_source(rng);
	else
		log_guest(&rng->dried_up, "--rng src=%s: %s", source_name(rng),
			  got ? "cannot be read any more" : "has ended");
	return put_back(rng, chain);
}

static void rng_notify(struct virtio_device *vd, unsigned queue)
{
	struct virtq_chain chain;
	unsigned taken = 0;

	while (virtio_more(vd, queue, &taken) &&
	       virtio_pop(vd, queue, &chain) && serve(to_rng(vd), &chain))
		;
	virtio_done(vd, queue);
}

static void source_ready(void *opaque, uint32_t events)
{
	struct rng *rng = opaque;

	(void)events;
	virtio_kick(&rng->vd, QUEUE_REQUESTS);
}

static void may_retry(void *opaque)
{
	struct rng *rng = opaque;

	virtio_kick(&rng->vd, QUEUE_REQUESTS);
}

static int open_source(struct rng *rng, struct diag *d)
{
	struct virtio_device *vd = &rng->vd;
	int err;

	rng->source.ready = source_ready;
	rng->source.opaque = rng;
	rng->source.fd =
		open(source_name(rng), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (rng->source.fd < 0)
		return diag_errno(d, errno, "--rng src=%s", source_name(rng));
	err = event_add(vd->dev.env->loop, &rng->source, EPOLLONESHOT);
	rng->watchable = !err;
	if (!err || err == -EPERM)
		return 0;
	close(rng->source.fd);
	return diag_errno(d, -err, "--rng src=%s: cannot watch it",
			  source_name(rng));
}

static int rng_realize(struct virtio_device *vd, struct diag *d)
{
	const struct device_env *env = vd->dev.env;
	struct rng *rng = to_rng(vd);
	int err = event_timer_init(&rng->retry, env->loop, may_retry, rng);

	if (err)
		return diag_errno(d, -err, "--rng: cannot make a timer");
	err = open_source(rng, d);
	if (err) {
		event_timer_release(&rng->retry);
		return err;
	}
	rate_limiter_init(&rng->limiter, &env->config->rng.rate);
	return 0;
}

static void rng_unrealize(struct virtio_device *vd)
{
	struct rng *rng = to_rng(vd);

	if (rng->watchable)
		event_del(vd->dev.env->loop, &rng->source);
	close(rng->source.fd);
	event_timer_release(&rng->retry);
	rate_limiter_release(&rng->limiter);
}

static const struct virtio_class rng_virtio = {
	.id = VIRTIO_ID_RNG,
	.pci_class = 0xff0000, /* fits no other class */
	.queue_count = 1,
	.queue_size = 256,
	.realize = rng_realize,
	.unrealize = rng_unrealize,
	.notify = rng_notify,
};

const struct device_class virtio_rng_class = {
	.name = "virtio-rng",
	.size_bytes = sizeof(struct rng),
	.data = &rng_virtio,
	VIRTIO_DEVICE_CLASS,
};
