/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: virtio devices that a vhost-user back end serves
 *
 * The registers are ours, the rings are the back end's: when the driver starts
 * a queue, the back end is told where it is, which eventfd the driver kicks
 * and which one interrupts it; from then on we see nothing of it. Stopping a
 * queue (reset, saving) waits until the back end has nothing in flight.
 *
 * A back end may die, or be replaced: it is connected to again and again,
 * RETRY_MIN_MS to RETRY_MAX_MS apart, and told everything anew. Where it can
 * (INFLIGHT_SHMFD), it has kept in shared memory of ours what was in flight,
 * and does that again; where it cannot, it starts where the used ring ends.
 * Meanwhile the guest waits. A back end that comes back with less than the
 * driver has negotiated is refused, and said so once.
 *
 * --fs and --net have a configuration of ours (tag, MAC address), --disk and
 * --generic-vhost-user that of the back end. The number of queues that a disk
 * has is ours all the same.
 *
 * A network card with several pairs of queues has a control queue, which is
 * ours: the back end knows only queues with data, and those of pairs that the
 * driver does not use are told to it, disabled.
 *
 * --net vhost_mode=server turns only the connection around: we listen, and
 * the back end connects, again when it comes back. A card's link is down while
 * there is no back end.
 *
 * A packed ring does not say where it is once its back end is gone; only the
 * memory of requests in flight does. So packed rings are offered where the back
 * end has INFLIGHT_SHMFD, and one that then has no such memory for them costs
 * the guest a reset of the device when it goes.
 *
 * Rings are as large as the user says. No message says what a back end can
 * take, so it is asked for that size at the start: else it would refuse when
 * the driver starts, and each time that it is connected to again. Ours takes
 * VIRTIO_SERVED_QUEUE entries, or more if it is told to.
 *
 * A back end that finds a ring broken says so (SET_VRING_ERR), and the guest
 * sees DEVICE_NEEDS_RESET.
 *
 * Threads: see virtio.h; the connection and the rings are guarded by
 * virtio_device.lock. A back end that does not answer is waited for
 * (frontend.h), so the connection, reconnects and a card's control queue have
 * a thread of their own, "<id>_vu": of the machine nothing waits but a vCPU
 * that uses the device, and the main loop when it makes, pauses or resets it,
 * and these only for one that is there: one that comes back is greeted without
 * the lock, and the end of the machine ends the greeting.
 *
 * Not implemented: saving a back end's own state (DEVICE_STATE), shared memory
 * regions (DAX), commands of a network card other than the number of pairs.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/check.h"
#include "vmm/base/eventfd.h"
#include "vmm/base/log.h"
#include "vmm/iothread.h"
#include "vmm/unix-socket.h"

#include "devices/vhost/frontend.h"
#include "devices/virtio/blk.h"
#include "devices/virtio/devices.h"
#include "devices/virtio/net-impl.h"
#include "devices/virtio/queue-track.h"
#include "devices/virtio/virtio.h"

/* The first connection is waited for: back ends are started with us. */
#define CONNECT_MS   5000
#define CONNECT_STEP 10
#define RETRY_MIN_MS 10
#define RETRY_MAX_MS 1000
#define NS_PER_MS    1000000ULL

/* VIRTIO 1.3 sec. 2.2: bits 0 to 23 and from 50 on belong to the device. */
#define DEVICE_FEATURES (0xffffffULL | ~((1ULL << 50) - 1))

#define PROTOCOL                                                           \
	(VU_P_MQ | VU_P_REPLY_ACK | VU_P_BACKEND_REQ | VU_P_CONFIG |       \
	 VU_P_INFLIGHT_SHMFD | VU_P_RESET_DEVICE | VU_P_CONFIG_MEM_SLOTS | \
	 VU_P_STATUS)

/* VIRTIO 1.3 sec. 5.11.4: tag, number of request queues. */
enum { FS_TAG_BYTES = 36, FS_CONFIG_BYTES = 40 };

/* Sec. 5.2.4: num_queues. */
enum { BLK_NUM_QUEUES = 34 };

/* Sec. 5.1.4: mac, status, max_virtqueue_pairs, mtu. */
enum { NET_STATUS = 6, NET_PAIRS = 8, NET_MTU = 10, NET_CONFIG_BYTES = 12 };

/**
 * struct remote - see the DOC block
 * @who: in messages: "--fs tag=work"
 * @socket: of the item
 * @listener: vhost_mode=server: where it connects to us
 * @mask: device features that it may offer; @extra: those we have ourselves
 * @card: it is one with a link of ours
 * @pairs: of a card with a control queue; 0: there is no such queue
 * @pairs_used: by its driver
 * @num_queues_at: number of queues, in the configuration; 0: it has none
 * @own_config: the configuration is ours, not the back end's
 * @first: the back end's features at the first greeting, which the device's
 *	were made of
 * @ready: it knows features and memory; @told: it, or one before it, was told
 *	of a ring since the last reset
 * @watched: conn, and request if there is one, are in the event loop
 * @broken: an eventfd, for all rings; in the event loop as long as @thread is
 * @retry: when it is gone; @retry_ms: next delay
 * @thread: see the DOC block; NULL: tables only
 * @greet_lock: guards the next two, nothing else is locked under it
 * @greeted: a descriptor, ours alone, of the connection that is being greeted;
 *	-1: none is
 * @halting: none will be any more
 * @lost: how often it went
 */
struct remote {
	struct virtio_device vd;
	char who[80];
	const char *socket;
	struct sockaddr_un addr;
	struct vhost_frontend vf;
	struct unix_listener listener;
	uint64_t mask, extra;
	unsigned num_queues_at;
	bool own_config, card;
	unsigned pairs, pairs_used;
	uint8_t config[VU_CONFIG_MAX];
	uint64_t first;
	bool ready, told, watched;
	struct event_source conn, request, broken;
	struct event_timer retry;
	struct iothread *thread;
	pthread_mutex_t greet_lock;
	int greeted;
	bool halting;
	unsigned retry_ms, lost;
	atomic_uint refused;
};

/* Those of the rings themselves that the back end must have. */
#define RING_FEATURES                                                         \
	(VIRTIO_F_RING_PACKED | VIRTIO_F_EVENT_IDX | VIRTIO_F_INDIRECT_DESC | \
	 VIRTIO_F_IN_ORDER)

static struct remote *to_remote(struct virtio_device *vd)
{
	return container_of(vd, struct remote, vd);
}

static bool connected(const struct remote *rm)
{
	return rm->vf.fd >= 0;
}

/* ---- losing it ---------------------------------------------------------- */

static void unwatch(struct remote *rm)
{
	if (!rm->watched)
		return;
	event_del(iothread_loop(rm->thread), &rm->conn);
	if (rm->request.fd >= 0)
		event_del(iothread_loop(rm->thread), &rm->request);
	rm->watched = false;
}

/* A card's; others have none. */
static void set_link(struct remote *rm, bool up)
{
	if (!rm->card)
		return;
	put_le16(rm->config + NET_STATUS, up ? NET_S_LINK_UP : 0);
	virtio_config_changed(&rm->vd);
}

static void retry_later(struct remote *rm)
{
	event_timer_set(&rm->retry, rm->retry_ms * NS_PER_MS, 0);
	rm->retry_ms = MIN(rm->retry_ms * 2, RETRY_MAX_MS);
}

/* The connection is of no more use, says @d. */
static void lost(struct remote *rm, const struct diag *d)
{
	if (!connected(rm))
		return;
	unwatch(rm);
	vhost_frontend_close(&rm->vf);
	rm->ready = false;
	set_link(rm, false);
	if (is_pow2(++rm->lost))
		log_warn("%s: the back end at %s is gone (%s); waiting for it "
			 "to come back (time %u)",
			 rm->who, rm->socket, d->text[0], rm->lost);
	rm->retry_ms = RETRY_MIN_MS;
	retry_later(rm);
}

/* For requests that are only made while it is there. */
static void check_alive(struct remote *rm, int err, const struct diag *d)
{
	if (err)
		lost(rm, d);
}

/* ---- whose queue is it -------------------------------------------------- */

/* Those that the back end may have. */
static unsigned back_end_queues(const struct remote *rm)
{
	return rm->pairs ? 2 * rm->pairs : rm->vd.queue_count;
}

/* Sec. 5.1.2: the control queue is behind the pairs that the driver knows of.
 */
static unsigned known_queues(const struct remote *rm)
{
	return rm->pairs && !(rm->vd.features & NET_F_MQ) ? 2
							  : back_end_queues(rm);
}

static bool is_control(const struct remote *rm, unsigned queue)
{
	return rm->pairs && queue == known_queues(rm);
}

/* Does the back end have it? Of queues that nobody knows, no. */
static bool is_remote(const struct remote *rm, unsigned queue)
{
	return queue < known_queues(rm);
}

static bool in_use(const struct remote *rm, unsigned queue)
{
	return !rm->pairs || queue < 2 * rm->pairs_used;
}

/* ---- telling it everything ---------------------------------------------- */

static uint64_t shared_features(const struct remote *rm)
{
	uint64_t ours = rm->card ? NET_F_CTRL_VQ : 0;

	return rm->vd.features & rm->vf.features & ~ours;
}

static int make_ready(struct remote *rm, struct diag *d)
{
	struct virtio_device *vd = &rm->vd;
	int err = vhost_frontend_features(&rm->vf, shared_features(rm), d);

	if (!err)
		err = vhost_frontend_inflight(&rm->vf,
					      (uint16_t)back_end_queues(rm),
					      vd->queue_size, d);
	if (!err)
		err = vhost_frontend_memory(&rm->vf, vd->dev.env->ram, d);
	if (!err)
		err = vhost_frontend_status(&rm->vf, vd->status, d);
	rm->ready = !err;
	return err;
}

static int start_queue(struct remote *rm, unsigned queue, struct diag *d)
{
	struct virtio_queue *q = &rm->vd.queue[queue];
	const struct vhost_ring ring = {
		.size = q->ring.at.size,
		.base = virtq_base_get(&q->ring),
		.desc = q->ring.desc,
		.avail = q->ring.driver,
		.used = q->ring.device,
		.kick = q->kick.fd,
		.call = virtio_call_fd(&rm->vd, queue),
		.broken = rm->broken.fd,
		.idle = !in_use(rm, queue),
	};

	rm->told = true;
	return vhost_frontend_start(&rm->vf, queue, &ring, d);
}

static int make_ready_once(struct remote *rm, struct diag *d)
{
	return rm->ready ? 0 : make_ready(rm, d);
}

static void remote_start(struct virtio_device *vd, unsigned queue)
{
	struct remote *rm = to_remote(vd);
	struct diag d = DIAG_INIT;
	int err;

	if (is_control(rm, queue))
		virtio_watch(vd, queue, true);
	if (!is_remote(rm, queue) || !connected(rm))
		return; /* when it is */
	err = make_ready_once(rm, &d);
	if (!err)
		err = start_queue(rm, queue, &d);
	check_alive(rm, err, &d);
}

/* Where a ring is whose back end has gone: where it used last. Return: false:
 * nobody knows. */
static bool find_place(struct remote *rm, unsigned queue)
{
	struct virtq *ring = &rm->vd.queue[queue].ring;
	uint32_t base = virtq_base_get(ring);

	if (!ring->has.packed)
		base = virtq_split_used(ring);
	else if (rm->told &&
		 !vhost_frontend_place(&rm->vf, queue, ring->at.size, &base))
		return false;
	return !virtq_base_set(ring, base);
}

static void place_lost(struct virtio_device *vd)
{
	virtio_lost(vd, "its back end went away, and nobody knows where its "
			"packed rings are");
}

/* Where the ring is: what the back end says, or else where it used last. */
static void remote_stop(struct virtio_device *vd, unsigned queue)
{
	struct remote *rm = to_remote(vd);
	struct virtq *ring = &vd->queue[queue].ring;
	struct diag d = DIAG_INIT;
	uint32_t base = 0;
	int err = -ENOTCONN;

	if (is_control(rm, queue))
		virtio_watch(vd, queue, false);
	if (!is_remote(rm, queue))
		return;
	if (connected(rm)) {
		err = vhost_frontend_stop(&rm->vf, queue, &base, &d);
		check_alive(rm, err, &d);
	}
	if (!err)
		virtq_base_set(ring, base);
	else if (!find_place(rm, queue) && vd->paused)
		place_lost(vd);
	/* The driver has reset it; nobody shall go on with the old ring. */
	if (!vd->paused)
		vhost_frontend_drop(&rm->vf, queue);
}

static void remote_call_changed(struct virtio_device *vd, unsigned queue)
{
	struct remote *rm = to_remote(vd);
	struct diag d = DIAG_INIT;

	if (connected(rm) && rm->ready && is_remote(rm, queue))
		check_alive(rm,
			    vhost_frontend_call(&rm->vf, queue,
						virtio_call_fd(vd, queue), &d),
			    &d);
}

static void conn_ready(void *opaque, uint32_t events);

static int watch(struct remote *rm, struct diag *d)
{
	struct event_loop *loop = iothread_loop(rm->thread);
	int err;

	rm->conn = (struct event_source){ rm->vf.fd, conn_ready, rm };
	rm->request = (struct event_source){ rm->vf.request, conn_ready, rm };
	err = event_add(loop, &rm->conn, EPOLLIN);
	if (!err && rm->request.fd >= 0) {
		err = event_add(loop, &rm->request, EPOLLIN);
		if (err)
			event_del(loop, &rm->conn);
	}
	if (err)
		return diag_errno(d, -err, "%s: cannot watch a socket",
				  rm->who);
	rm->watched = true;
	return 0;
}

/* Has a back end said so since the last time? */
static bool take_broken(struct remote *rm)
{
	return !eventfd_take(rm->broken.fd);
}

static void broken_ready(void *opaque, uint32_t events)
{
	struct remote *rm = opaque;

	(void)events;
	pthread_mutex_lock(&rm->vd.lock);
	if (take_broken(rm) && rm->told)
		virtio_lost(&rm->vd, "its back end says that a ring breaks the "
				     "rules");
	pthread_mutex_unlock(&rm->vd.lock);
}

/* All queues have been stopped: nothing is in flight that anybody wants. From
 * the first reset on the device is whole, and its thread may use it too. */
static void remote_reset(struct virtio_device *vd)
{
	struct remote *rm = to_remote(vd);
	struct diag d = DIAG_INIT;
	int err;

	if (connected(rm) && rm->ready) {
		err = vhost_frontend_reset(&rm->vf, &d);
		if (!err)
			err = vhost_frontend_status(&rm->vf, 0, &d);
		check_alive(rm, err, &d);
	}
	if (rm->thread)
		take_broken(rm);
	rm->ready = rm->told = false;
	rm->pairs_used = 1;
	vhost_frontend_forget(&rm->vf);
	if (connected(rm) && !rm->watched)
		check_alive(rm, watch(rm, &d), &d);
}

/* ---- reaching it -------------------------------------------------------- */

/* A connection, or -errno; never waits. */
static int dial(const struct remote *rm)
{
	return rm->listener.fd >= 0 ? unix_accept(&rm->listener)
				    : unix_connect(&rm->addr);
}

static int greet(struct vhost_frontend *vf, int fd, struct diag *d)
{
	int err = vhost_frontend_greet(vf, fd, PROTOCOL, d);

	if (!(vf->protocol & VU_P_INFLIGHT_SHMFD))
		vf->features &= ~VIRTIO_F_RING_PACKED;
	return err;
}

/* ---- coming back -------------------------------------------------------- */

static int no_config(const struct remote *rm, struct diag *d)
{
	return diag_fail(d, EOPNOTSUPP,
			 "%s: the back end at %s has no configuration", rm->who,
			 rm->socket);
}

/* The largest configuration that the back end has: it refuses more. */
static int fetch_config(struct remote *rm, struct diag *d)
{
	static const unsigned sizes[] = { 256, 96, 68, 64, 60, 40, 24, 12, 8 };
	int err = -EOPNOTSUPP;

	if (!(rm->vf.protocol & VU_P_CONFIG))
		return rm->num_queues_at ? no_config(rm, d) : 0;
	if (rm->vd.config_bytes)
		return vhost_frontend_config(&rm->vf, rm->config,
					     rm->vd.config_bytes, d);
	for (size_t i = 0; i < ARRAY_SIZE(sizes) && err; i++) {
		struct diag ignored = DIAG_INIT;

		err = vhost_frontend_config(&rm->vf, rm->config, sizes[i],
					    &ignored);
		if (!err)
			rm->vd.config_bytes = (uint16_t)sizes[i];
		if (!connected(rm))
			break;
	}
	return err ? no_config(rm, d) : 0;
}

static int read_config(struct remote *rm, struct diag *d)
{
	int err = rm->own_config ? 0 : fetch_config(rm, d);

	if (!err && rm->num_queues_at)
		put_le16(rm->config + rm->num_queues_at,
			 (uint16_t)rm->vd.queue_count);
	return err;
}

/* The back end of a network card counts pairs (QEMU, DPDK), and has one if it
 * does not say (vhost-user, "Multiple queue support"). */
static int check_pairs(const struct remote *rm, struct diag *d)
{
	unsigned wanted = back_end_queues(rm) / 2;
	unsigned long long most = MAX(rm->vf.queues_max, 1ULL);

	if (wanted <= most)
		return 0;
	return diag_fail(d, EINVAL,
			 "%s num_queues=%u: the back end at %s has %llu %s of "
			 "queues: give num_queues=%llu at most",
			 rm->who, 2 * wanted, rm->socket, most,
			 most == 1 ? "pair" : "pairs", 2 * most);
}

/* The queues that we want must be those of the back end. */
static int check_queues(const struct remote *rm, struct diag *d)
{
	unsigned wanted = rm->vd.queue_count;

	if (rm->card)
		return check_pairs(rm, d);
	if (rm->vd.id == VIRTIO_ID_NET)
		wanted /= 2;
	if (!rm->vf.queues_max || wanted <= rm->vf.queues_max)
		return 0;
	return diag_fail(
		d, EINVAL, "%s: %u %s, and the back end at %s has %llu",
		rm->who, wanted,
		rm->vd.id == VIRTIO_ID_NET ? "pairs of queues" : "queues",
		rm->socket, (unsigned long long)rm->vf.queues_max);
}

static int check_size(struct remote *rm, struct diag *d)
{
	struct diag why = DIAG_INIT;
	int err = vhost_frontend_size(&rm->vf, 0, rm->vd.queue_size, &why);

	if (!err)
		return 0;
	return diag_fail(d, -err,
			 "%s: the back end at %s does not take rings of %u "
			 "entries: give a smaller queue_size, or a larger one "
			 "to the back end",
			 rm->who, rm->socket, rm->vd.queue_size);
}

/* The first time it decides what there is; later it must offer that again. */
static int check_offer(struct remote *rm, struct diag *d)
{
	uint64_t needed =
		(rm->vd.offered & DEVICE_FEATURES & rm->first & rm->mask) |
		(rm->vd.features & RING_FEATURES);
	uint64_t missing = needed & ~rm->vf.features;

	if (!missing)
		return 0;
	return diag_fail(d, EINVAL,
			 "%s: the back end at %s came back without features "
			 "0x%llx",
			 rm->who, rm->socket, (unsigned long long)missing);
}

/* Tell the back end that has come back what its predecessor knew. */
static int restore(struct remote *rm, struct diag *d)
{
	struct virtio_device *vd = &rm->vd;
	int err = check_offer(rm, d);

	if (!err)
		err = check_queues(rm, d);
	if (!err)
		err = read_config(rm, d);
	for (unsigned i = 0; i < vd->queue_count && !err; i++) {
		struct virtio_queue *q = &vd->queue[i];

		if (!q->started || !is_remote(rm, i))
			continue;
		if (!find_place(rm, i)) {
			place_lost(vd);
			continue;
		}
		err = make_ready_once(rm, d);
		if (!err)
			err = start_queue(rm, i, d);
		/* What came meanwhile, and what went untold. */
		if (!err) {
			virtio_kick(vd, i);
			vd->transport->interrupt(vd, q);
		}
	}
	return err;
}

/* @greeted has answered, or @err says that it has not. */
static int reconnect(struct remote *rm, const struct vhost_frontend *greeted,
		     int err, struct diag *d)
{
	if (!err) {
		vhost_frontend_take(&rm->vf, greeted);
		err = restore(rm, d);
	}
	if (!err)
		err = watch(rm, d);
	if (err)
		vhost_frontend_close(&rm->vf);
	if (err && d->depth)
		log_guest(&rm->refused, "%s", d->text[d->depth - 1]);
	return err;
}

/* Let remote_halt() end the greeting at @fd. Return: 0, or -errno: it shall not
 * begin, and @fd is closed. */
static int greeting_begin(struct remote *rm, int fd)
{
	int err = 0;

	pthread_mutex_lock(&rm->greet_lock);
	rm->greeted = rm->halting ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (rm->greeted < 0)
		err = rm->halting ? -ECANCELED : -errno;
	pthread_mutex_unlock(&rm->greet_lock);
	if (err)
		close(fd);
	return err;
}

static void greeting_end(struct remote *rm)
{
	pthread_mutex_lock(&rm->greet_lock);
	close(rm->greeted);
	rm->greeted = -1;
	pthread_mutex_unlock(&rm->greet_lock);
}

/* Greet whoever is there now. */
static int meet_again(struct remote *rm, struct vhost_frontend *vf,
		      struct diag *d)
{
	int fd = dial(rm);
	int err = fd < 0 ? fd : greeting_begin(rm, fd);

	if (err)
		return err;
	err = greet(vf, fd, d);
	greeting_end(rm);
	return err;
}

/* It is gone until this thread says otherwise. One that takes the connection
 * and says nothing is found out before a vCPU must wait for it. */
static void retry_expired(void *opaque)
{
	struct remote *rm = opaque;
	struct vhost_frontend greeted;
	struct diag d = DIAG_INIT;
	int err;

	vhost_frontend_init(&greeted, rm->who, rm->socket);
	err = meet_again(rm, &greeted, &d);
	pthread_mutex_lock(&rm->vd.lock);
	CHECK(!connected(rm));
	if (reconnect(rm, &greeted, err, &d)) {
		rm->ready = false;
		retry_later(rm);
	} else {
		set_link(rm, true);
		log_info("%s: the back end at %s is back", rm->who, rm->socket);
	}
	pthread_mutex_unlock(&rm->vd.lock);
}

static void conn_ready(void *opaque, uint32_t events)
{
	struct remote *rm = opaque;
	struct diag d = DIAG_INIT;
	bool changed = false;
	int err;

	(void)events;
	pthread_mutex_lock(&rm->vd.lock);
	if (connected(rm)) {
		err = vhost_frontend_poll(&rm->vf, &changed, &d);
		if (!err && changed)
			err = read_config(rm, &d);
		check_alive(rm, err, &d);
	}
	if (changed)
		virtio_config_changed(&rm->vd);
	pthread_mutex_unlock(&rm->vd.lock);
}

/* ---- features and configuration ----------------------------------------- */

static uint64_t remote_features(struct virtio_device *vd)
{
	const struct remote *rm = to_remote(vd);

	return (rm->first & DEVICE_FEATURES & rm->mask) | rm->extra;
}

/* Of the rings' features those that the back end has. Resetting a queue is
 * stopping it, which all can. Without a back end (tables only) it is moot. */
static uint64_t remote_limit(struct virtio_device *vd)
{
	return (to_remote(vd)->first & ~VIRTIO_F_IN_ORDER) |
	       VIRTIO_F_RING_RESET | VIRTIO_F_VERSION_1;
}

static void remote_get_config(struct virtio_device *vd, uint8_t *config)
{
	memcpy(config, to_remote(vd)->config, vd->config_bytes);
}

static void remote_set_config(struct virtio_device *vd, unsigned offset,
			      const uint8_t *data, unsigned len)
{
	struct remote *rm = to_remote(vd);
	struct diag d = DIAG_INIT;
	int err;

	if (rm->own_config || !connected(rm))
		return;
	err = vhost_frontend_set_config(&rm->vf, offset, data, len, &d);
	if (!err)
		err = read_config(rm, &d);
	check_alive(rm, err, &d);
}

/* ---- making ------------------------------------------------------------- */

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int connect_first(struct remote *rm, struct diag *d)
{
	const struct timespec step = { .tv_nsec = CONNECT_STEP * NS_PER_MS };
	int64_t end = now_ms() + CONNECT_MS;
	int fd;

	while ((fd = dial(rm)) < 0) {
		if (fd != -ENOENT && fd != -ECONNREFUSED && fd != -EAGAIN)
			break;
		if (now_ms() >= end)
			break;
		nanosleep(&step, NULL);
	}
	if (fd >= 0)
		return fd;
	if (fd == -EAGAIN && rm->listener.fd >= 0)
		return diag_fail(d, -fd,
				 "%s: no vhost-user back end has connected to "
				 "socket=%s after %d s",
				 rm->who, rm->socket, CONNECT_MS / 1000);
	return diag_errno(d, -fd,
			  "%s: no vhost-user back end listens at socket=%s "
			  "after %d s",
			  rm->who, rm->socket, CONNECT_MS / 1000);
}

static int check_modern(const struct remote *rm, struct diag *d)
{
	if (rm->vf.features & VIRTIO_F_VERSION_1)
		return 0;
	return diag_fail(d, EINVAL,
			 "%s: the back end at %s is older than virtio 1.0",
			 rm->who, rm->socket);
}

static int meet(struct remote *rm, struct diag *d)
{
	int fd = connect_first(rm, d), err;

	if (fd < 0)
		return fd;
	err = greet(&rm->vf, fd, d);
	if (!err)
		err = check_modern(rm, d);
	if (!err)
		err = check_queues(rm, d);
	if (!err)
		err = check_size(rm, d);
	if (!err)
		err = vhost_frontend_check(&rm->vf, rm->vd.dev.env->ram, d);
	if (!err)
		err = read_config(rm, d);
	if (err)
		vhost_frontend_close(&rm->vf);
	rm->first = rm->vf.features;
	return err;
}

static int open_socket(struct remote *rm, enum vhost_mode mode, struct diag *d)
{
	char what[sizeof(rm->who) + 8];

	snprintf(what, sizeof(what), "%s socket", rm->who);
	rm->listener = UNIX_LISTENER_INIT;
	if (mode == VHOST_SERVER && !rm->vd.dev.env->tables_only)
		return unix_listen(&rm->listener, what, rm->socket, 1, d);
	return unix_address(&rm->addr, what, rm->socket, d);
}

static int broken_new(struct remote *rm, struct diag *d)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), err;

	if (fd < 0)
		return diag_errno(d, errno, "%s: eventfd", rm->who);
	rm->broken = (struct event_source){ fd, broken_ready, rm };
	err = event_add(iothread_loop(rm->thread), &rm->broken, EPOLLIN);
	if (err) {
		close(fd);
		return diag_errno(d, -err, "%s: cannot watch an eventfd",
				  rm->who);
	}
	return 0;
}

static void broken_free(struct remote *rm)
{
	event_del(iothread_loop(rm->thread), &rm->broken);
	close(rm->broken.fd);
}

/* With the first connection. */
static int remote_run(struct remote *rm, struct diag *d)
{
	char name[CONFIG_ID_MAX + 4];
	int err;

	snprintf(name, sizeof(name), "%s_vu", rm->vd.dev.id);
	err = iothread_new(&rm->thread, name, NULL, d);
	if (err)
		return err;
	err = broken_new(rm, d);
	if (err)
		goto err_thread;
	err = event_timer_init(&rm->retry, iothread_loop(rm->thread),
			       retry_expired, rm);
	if (err) {
		diag_errno(d, -err, "%s: cannot make a timer", rm->who);
		goto err_broken;
	}
	err = meet(rm, d);
	if (err)
		goto err_timer;
	return 0;
err_timer:
	event_timer_release(&rm->retry);
err_broken:
	broken_free(rm);
err_thread:
	iothread_free(rm->thread);
	return err;
}

static int remote_realize(struct remote *rm, enum vhost_mode mode,
			  struct diag *d)
{
	int err = open_socket(rm, mode, d);

	if (err)
		return err;
	if (!rm->mask)
		rm->mask = ~0ULL;
	vhost_frontend_init(&rm->vf, rm->who, rm->socket);
	pthread_mutex_init(&rm->greet_lock, NULL);
	rm->greeted = -1;
	if (rm->vd.dev.env->tables_only)
		return 0;
	err = remote_run(rm, d);
	if (err) {
		unix_unlisten(&rm->listener);
		pthread_mutex_destroy(&rm->greet_lock);
	}
	return err;
}

static void remote_unrealize(struct virtio_device *vd)
{
	struct remote *rm = to_remote(vd);

	unwatch(rm);
	if (rm->thread)
		broken_free(rm);
	event_timer_release(&rm->retry);
	vhost_frontend_release(&rm->vf);
	unix_unlisten(&rm->listener);
	iothread_free(rm->thread);
	pthread_mutex_destroy(&rm->greet_lock);
}

static void remote_halt(struct virtio_device *vd)
{
	struct remote *rm = to_remote(vd);

	pthread_mutex_lock(&rm->greet_lock);
	rm->halting = true;
	if (rm->greeted >= 0)
		shutdown(rm->greeted, SHUT_RDWR);
	pthread_mutex_unlock(&rm->greet_lock);
	iothread_stop(rm->thread);
}

static struct event_loop *remote_loop(struct virtio_device *vd, unsigned queue)
{
	struct iothread *thread = to_remote(vd)->thread;

	(void)queue;
	return thread ? iothread_loop(thread) : NULL;
}

#define REMOTE_HOOKS                                                           \
	.offload = true, .unrealize = remote_unrealize, .reset = remote_reset, \
	.get_features = remote_features, .get_config = remote_get_config,      \
	.set_config = remote_set_config, .limit = remote_limit,                \
	.start = remote_start, .stop = remote_stop, .loop = remote_loop,       \
	.halt = remote_halt, .call_changed = remote_call_changed

/* ---- file systems: VIRTIO 1.3 sec. 5.11 --------------------------------- */

static int fs_realize(struct virtio_device *vd, struct diag *d)
{
	const struct fs_config *c = vd->dev.item;
	struct remote *rm = to_remote(vd);

	snprintf(rm->who, sizeof(rm->who), "--fs tag=%s", c->tag);
	rm->socket = c->socket;
	rm->own_config = true;
	memcpy(rm->config, c->tag, strnlen(c->tag, FS_TAG_BYTES));
	put_le32(rm->config + FS_TAG_BYTES, c->num_queues);
	vd->queue_count = 1 + c->num_queues; /* and that for what is urgent */
	vd->queue_size = (uint16_t)c->queue_size;
	return remote_realize(rm, VHOST_CLIENT, d);
}

static const struct virtio_class fs_virtio = {
	.id = VIRTIO_ID_FS,
	.pci_class = 0x018000, /* mass storage, other */
	.queue_count = 2,
	.queue_size = 1024,
	.config_bytes = FS_CONFIG_BYTES,
	.realize = fs_realize,
	REMOTE_HOOKS,
};

const struct device_class virtio_fs_class = {
	.name = "virtio-fs",
	.size_bytes = sizeof(struct remote),
	.data = &fs_virtio,
	VIRTIO_DEVICE_CLASS,
};

/* ---- disks: VIRTIO 1.3 sec. 5.2 ------------------------------------------ */

static int blk_realize(struct virtio_device *vd, struct diag *d)
{
	const struct disk_config *c = vd->dev.item;
	struct remote *rm = to_remote(vd);

	snprintf(rm->who, sizeof(rm->who), "--disk %s", vd->dev.id);
	rm->socket = c->socket;
	rm->num_queues_at = BLK_NUM_QUEUES;
	rm->mask = c->num_queues > 1 ? ~0ULL : ~VIRTIO_BLK_F_MQ;
	vd->queue_count = c->num_queues;
	vd->queue_size = (uint16_t)c->queue_size;
	return remote_realize(rm, VHOST_CLIENT, d);
}

static const struct virtio_class blk_virtio = {
	.id = VIRTIO_ID_BLOCK,
	.pci_class = 0x018000, /* mass storage, other */
	.queue_count = 1,
	.queue_size = 128,
	.realize = blk_realize,
	REMOTE_HOOKS,
};

const struct device_class vhost_user_blk_class = {
	.name = "vhost-user-blk",
	.size_bytes = sizeof(struct remote),
	.data = &blk_virtio,
	VIRTIO_DEVICE_CLASS,
};

/* ---- network cards: VIRTIO 1.3 sec. 5.1 ---------------------------------- */

#define NET_TSOS                                                 \
	(NET_F_GUEST_TSO4 | NET_F_GUEST_TSO6 | NET_F_GUEST_ECN | \
	 NET_F_HOST_TSO4 | NET_F_HOST_TSO6 | NET_F_HOST_ECN)

/* What a back end without a control queue can do. */
static uint64_t net_mask(const struct net_config *c)
{
	uint64_t mask = NET_F_MRG_RXBUF;

	if (!c->offload_csum)
		return mask;
	mask |= NET_F_CSUM | NET_F_GUEST_CSUM;
	if (c->offload_tso)
		mask |= NET_TSOS;
	if (c->offload_ufo)
		mask |= NET_F_GUEST_UFO | NET_F_HOST_UFO;
	return mask;
}

/* Those that are not started are told when they are. */
static void use_pairs(struct remote *rm, unsigned pairs)
{
	struct diag d = DIAG_INIT;
	int err = 0;

	rm->pairs_used = pairs;
	if (!connected(rm) || !rm->ready)
		return;
	for (unsigned i = 0; i < known_queues(rm) && !err; i++)
		if (rm->vd.queue[i].started)
			err = vhost_frontend_enable(&rm->vf, i, in_use(rm, i),
						    &d);
	check_alive(rm, err, &d);
}

/* Sec. 5.1.6.5.6.1: VQ_PAIRS_SET. A back end that does not hear of it will,
 * when it is back. */
static bool net_command(struct virtio_device *vd, const struct net_command *c)
{
	struct remote *rm = to_remote(vd);
	unsigned pairs = get_le16(c->data);

	if (c->class != NET_CTRL_MQ || c->command || c->bytes != 2 ||
	    !(vd->features & NET_F_MQ) || !pairs || pairs > rm->pairs)
		return false;
	use_pairs(rm, pairs);
	return true;
}

static void net_notify(struct virtio_device *vd, unsigned queue)
{
	if (is_control(to_remote(vd), queue))
		net_commands(vd, queue, net_command);
}

/* Sec. 5.1.3.1 */
static bool net_set_features(struct virtio_device *vd, uint64_t features)
{
	(void)vd;
	return !(features & NET_F_MQ) || features & NET_F_CTRL_VQ;
}

static void net_save(const struct virtio_device *vd, struct stream_out *out)
{
	const struct remote *rm = (const void *)vd;

	stream_put_u16(out, (uint16_t)rm->pairs_used);
}

static int net_load(struct virtio_device *vd, struct stream_in *in)
{
	struct remote *rm = to_remote(vd);
	unsigned pairs = stream_get_u16(in);

	if (in->failed || !pairs || pairs > MAX(rm->pairs, 1u))
		return -EBADMSG;
	rm->pairs_used = pairs;
	return 0;
}

/* One pair needs no control queue, and has none. */
static void net_pairs(struct remote *rm, unsigned pairs)
{
	rm->vd.queue_count = 2 * pairs;
	rm->pairs_used = 1;
	put_le16(rm->config + NET_PAIRS, (uint16_t)pairs);
	if (pairs == 1)
		return;
	rm->pairs = pairs;
	rm->vd.queue_count++;
	rm->extra |= NET_F_CTRL_VQ | NET_F_MQ;
}

static int net_realize(struct virtio_device *vd, struct diag *d)
{
	const struct net_config *c = vd->dev.item;
	struct remote *rm = to_remote(vd);

	snprintf(rm->who, sizeof(rm->who), "--net %s", vd->dev.id);
	rm->socket = c->socket;
	rm->own_config = true;
	rm->card = true;
	rm->mask = net_mask(c);
	rm->extra = NET_F_STATUS;
	put_le16(rm->config + NET_STATUS, NET_S_LINK_UP);
	if (c->mac && mac_parse(c->mac, rm->config))
		rm->extra |= NET_F_MAC;
	if (c->mtu)
		rm->extra |= NET_F_MTU;
	put_le16(rm->config + NET_MTU, (uint16_t)c->mtu);
	net_pairs(rm, c->num_queues / 2);
	vd->queue_size = (uint16_t)c->queue_size;
	return remote_realize(rm, c->vhost_mode, d);
}

static const struct virtio_class net_virtio = {
	.id = VIRTIO_ID_NET,
	.pci_class = 0x020000, /* Ethernet controller */
	.queue_count = 2,
	.queue_size = 256,
	.config_bytes = NET_CONFIG_BYTES,
	.realize = net_realize,
	.set_features = net_set_features,
	.notify = net_notify,
	.save = net_save,
	.load = net_load,
	REMOTE_HOOKS,
};

const struct device_class vhost_user_net_class = {
	.name = "vhost-user-net",
	.size_bytes = sizeof(struct remote),
	.data = &net_virtio,
	VIRTIO_DEVICE_CLASS,
};

/* ---- any device --------------------------------------------------------- */

static int generic_realize(struct virtio_device *vd, struct diag *d)
{
	const struct vhost_user_config *c = vd->dev.item;
	struct remote *rm = to_remote(vd);
	uint32_t size = 1;

	snprintf(rm->who, sizeof(rm->who),
		 "--generic-vhost-user device_type=%s", c->device_type);
	rm->socket = c->socket;
	vd->id = vhost_user_device_type(c->device_type);
	vd->queue_count = c->queue_sizes.count;
	for (unsigned i = 0; i < c->queue_sizes.count; i++)
		size = MAX(size, c->queue_sizes.v[i]);
	vd->queue_size = (uint16_t)size;
	return remote_realize(rm, VHOST_CLIENT, d);
}

static const struct virtio_class generic_virtio = {
	.pci_class = 0xff0000, /* fits no other class */
	.queue_count = 1,
	.queue_size = 1,
	.realize = generic_realize,
	REMOTE_HOOKS,
};

const struct device_class generic_vhost_user_class = {
	.name = "generic-vhost-user",
	.size_bytes = sizeof(struct remote),
	.data = &generic_virtio,
	VIRTIO_DEVICE_CLASS,
};
