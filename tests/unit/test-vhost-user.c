/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: the vhost-user front end against the back end, over a socket pair
 *
 * The back end serves a toy device on a thread of its own; the test is the
 * front end's VMM and the guest's driver at once. The toy holds requests until
 * it is told to finish them, and forgets what it holds when it is stopped: to
 * the memory of requests in flight that looks like a death.
 *
 * Almost everything runs on split rings and on packed ones.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/log.h"

#include "devices/vhost/backend.h"
#include "devices/vhost/frontend.h"
#include "devices/virtio/queue-track.h"
#include "tests/unit/formats.h"
#include "tests/unit/patience.h"
#include "tests/unit/suite.h"
#include "tests/unit/virtio-ring.h"

#define QUEUES 2
#define SIZE   16
#define RAM_AT 0x40000000ULL
#define RAM_SZ MIB(1)
#define WANT                                                               \
	(VU_P_MQ | VU_P_REPLY_ACK | VU_P_BACKEND_REQ | VU_P_CONFIG |       \
	 VU_P_INFLIGHT_SHMFD | VU_P_RESET_DEVICE | VU_P_CONFIG_MEM_SLOTS | \
	 VU_P_STATUS)

/* ---- the toy ------------------------------------------------------------ */

/**
 * struct toy - a device that adds one to each byte of a request
 * @hold: requests are not finished until it is cleared (and a kick comes)
 * @held, @held_count: those, by queue
 * @seen: first bytes of requests, as they were taken
 */
struct toy {
	struct virtio_device vd;
	atomic_bool hold;
	struct virtq_chain held[QUEUES][SIZE];
	struct iovec iov[QUEUES][SIZE][2];
	unsigned held_count[QUEUES];
	uint8_t seen[64];
	atomic_uint seen_count;
	uint8_t config[8];
};

static struct toy *to_toy(struct virtio_device *vd)
{
	return container_of(vd, struct toy, vd);
}

static void finish(struct toy *toy, unsigned queue, struct virtq_chain *c)
{
	uint8_t byte = 0;

	iov_read(c->iov, c->out_count, 0, &byte, 1);
	byte++;
	iov_write(c->iov + c->out_count, c->in_count, 0, &byte, 1);
	virtio_push(&toy->vd, queue, c, 1);
}

static void toy_notify(struct virtio_device *vd, unsigned queue)
{
	struct toy *toy = to_toy(vd);
	struct virtq_chain c;
	unsigned taken = 0;

	while (virtio_more(vd, queue, &taken) && virtio_pop(vd, queue, &c)) {
		unsigned at = toy->held_count[queue]++;
		uint8_t byte = 0;

		ck_assert_uint_lt(at, SIZE);
		ck_assert_uint_le(c.out_count + c.in_count, 2);
		memcpy(toy->iov[queue][at], c.iov,
		       (c.out_count + c.in_count) * sizeof(*c.iov));
		c.iov = toy->iov[queue][at];
		toy->held[queue][at] = c;
		iov_read(c.iov, c.out_count, 0, &byte, 1);
		toy->seen[atomic_fetch_add(&toy->seen_count, 1) % 64] = byte;
	}
	/* Last come, first served: out of order. */
	while (!toy->hold && toy->held_count[queue])
		finish(toy, queue, &toy->held[queue][--toy->held_count[queue]]);
	virtio_done(vd, queue);
}

static void toy_stop(struct virtio_device *vd, unsigned queue)
{
	to_toy(vd)->held_count[queue] = 0;
}

static void toy_get_config(struct virtio_device *vd, uint8_t *config)
{
	memcpy(config, to_toy(vd)->config, 8);
}

static void toy_set_config(struct virtio_device *vd, unsigned offset,
			   const uint8_t *data, unsigned len)
{
	memcpy(to_toy(vd)->config + offset, data, len);
}

static uint64_t toy_features(struct virtio_device *vd)
{
	(void)vd;
	return 5;
}

static const struct virtio_class toy_virtio = {
	.id = VIRTIO_ID_RNG,
	.queue_count = QUEUES,
	.queue_size = SIZE,
	.config_bytes = 8,
	.get_features = toy_features,
	.get_config = toy_get_config,
	.set_config = toy_set_config,
	.notify = toy_notify,
	.stop = toy_stop,
};

static const struct device_class toy_class = {
	.name = "toy",
	.size_bytes = sizeof(struct toy),
	.data = &toy_virtio,
	VIRTIO_DEVICE_CLASS,
};

/* ---- the back end's process --------------------------------------------- */

/* What the back end says of hostile peers is not for the test log. */
static int quiet;

static struct guest_ram their_ram;
static struct vm_config config;
static struct device_env env;
static struct device *dev;
static struct toy *toy;
static pthread_t thread;
static struct event_source attach_source;
static atomic_int attach_fd;
static atomic_uint ends; /* front ends that have gone */

static void ended(void *unused)
{
	(void)unused;
	ends++;
}

static void *serve(void *unused)
{
	(void)unused;
	event_loop_run(env.loop);
	return NULL;
}

static void attach_ready(void *opaque, uint32_t events)
{
	uint64_t count;

	(void)opaque;
	(void)events;
	ck_assert_int_eq(read(attach_source.fd, &count, 8), 8);
	ck_assert_int_eq(vhost_backend_attach(dev, attach_fd, NULL), 0);
}

static void server_open(void)
{
	struct diag d = DIAG_INIT;

	ram_init(&their_ram);
	env = (struct device_env){ .ram = &their_ram,
				   .loop = event_loop_new(&d),
				   .config = &config,
				   .transport = &virtio_vhost_user };
	ck_assert_int_eq(
		device_new(&dev, &toy_class, "_toy", NULL, &env, NULL, &d), 0);
	dev->cls->reset(dev);
	ends = 0;
	vhost_backend_on_end(dev, ended, NULL);
	toy = container_of(dev, struct toy, vd.dev);
	attach_source = (struct event_source){ eventfd(0, EFD_CLOEXEC),
					       attach_ready, NULL };
	ck_assert_int_eq(event_add(env.loop, &attach_source, EPOLLIN), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, serve, NULL), 0);
}

static void server_close(void)
{
	event_loop_stop(env.loop);
	pthread_join(thread, NULL);
	event_del(env.loop, &attach_source);
	close(attach_source.fd);
	device_free(dev);
	ck_assert_uint_eq(their_ram.region_count, 0);
	event_loop_free(env.loop);
	ram_release(&their_ram);
}

/* ---- our VMM and driver ------------------------------------------------- */

static struct guest_ram ram;
static struct vhost_frontend vf;
static struct diag d;
static int kick[QUEUES], call[QUEUES];
static struct vring vr[QUEUES];
static unsigned added[QUEUES]; /* requests */

#define RINGS 0x10000ULL /* of each queue, and its buffers */

static uint8_t *ring(unsigned q)
{
	return ram.region[0].host + q * RINGS;
}

static uint64_t buffer_at(unsigned q, unsigned slot)
{
	return RAM_AT + q * RINGS + 0x8000 + slot * 16ULL;
}

static uint8_t *buffer(unsigned q, unsigned slot)
{
	return ring(q) + 0x8000 + slot * 16;
}

/* A ring at its beginning, as a driver makes it. */
static void ring_new(unsigned q)
{
	vring_init(&vr[q], &ram, format, SIZE, RAM_AT + q * RINGS);
	added[q] = 0;
}

/* Where a ring is that has had @requests of two descriptors each, all of them
 * given back: packed: descriptor and wrap counter, twice (vhost-user, "Ring
 * states"). */
static uint32_t base_after(unsigned requests)
{
	uint32_t at = 2 * requests % (2 * SIZE);

	if (!format)
		return requests;
	at = at % SIZE | (at < SIZE ? 0x8000 : 0);
	return at | at << 16;
}

/* A connected socket whose other end the back end serves. */
static int connect_raw(void)
{
	uint64_t one = 1;
	int fds[2];

	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	attach_fd = fds[1];
	ck_assert_int_eq(write(attach_source.fd, &one, 8), 8);
	return fds[0];
}

static void ok(int err)
{
	char why[512];

	ck_assert_msg(!err, "%s", diag_format(&d, why, sizeof(why)));
}

static void greet(void)
{
	ok(vhost_frontend_greet(&vf, connect_raw(), WANT, &d));
}

static int broken = -1; /* eventfd of all rings */

static struct vhost_ring describe(unsigned q, uint32_t base)
{
	return (struct vhost_ring){
		.size = SIZE,
		.base = base,
		.desc = ring(q),
		.avail = ring(q) + (vr[q].driver - vr[q].desc),
		.used = ring(q) + (vr[q].device - vr[q].desc),
		.kick = kick[q],
		.call = call[q],
		.broken = broken,
	};
}

static void start_ring(unsigned q, uint32_t base)
{
	const struct vhost_ring r = describe(q, base);

	ok(vhost_frontend_start(&vf, q, &r, &d));
}

static void accept_features(void)
{
	ok(vhost_frontend_features(
		&vf, VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC | format, &d));
}

static void negotiate(void)
{
	greet();
	accept_features();
	ok(vhost_frontend_inflight(&vf, QUEUES, SIZE, &d));
	ok(vhost_frontend_memory(&vf, &ram, &d));
}

static void begin(void)
{
	const struct ram_options shared = { .shared = true };

	d = DIAG_INIT;
	server_open();
	ram_init(&ram);
	ok(ram_add(&ram, GPA(RAM_AT), RAM_SZ, &shared, &d));
	vhost_frontend_init(&vf, "--toy", "(a pair)");
	for (unsigned q = 0; q < QUEUES; q++) {
		kick[q] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		call[q] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		ring_new(q);
	}
}

static void end(void)
{
	vhost_frontend_release(&vf);
	server_close();
	for (unsigned q = 0; q < QUEUES; q++) {
		close(kick[q]);
		close(call[q]);
	}
	ram_release(&ram);
}

static void ring_kick(unsigned q)
{
	uint64_t one = 1;

	ck_assert_int_eq(write(kick[q], &one, 8), 8);
}

/* A request of one byte in, one byte out, named 2 * slot. */
static void add(unsigned q, unsigned slot, uint8_t byte)
{
	uint64_t at = buffer_at(q, slot);
	const struct vbuf buf[] = { { at, 1, 0 }, { at + 1, 1, D_WRITE } };

	buffer(q, slot)[0] = byte;
	buffer(q, slot)[1] = 0;
	vring_offer(&vr[q], (uint16_t)(2 * slot), buf, 2);
	added[q]++;
}

/* Taken here too, as a packed ring has room for no more than it has. */
static uint16_t used_idx(unsigned q)
{
	uint32_t id, len;

	while (vring_take(&vr[q], &id, &len))
		;
	return vring_used_count(&vr[q]);
}

static void until_used(unsigned q, uint16_t want)
{
	WAIT_UNTIL(used_idx(q) == want);
	ck_assert_uint_eq(used_idx(q), want);
}

static void until_seen(unsigned want)
{
	WAIT_UNTIL(toy->seen_count >= want);
	ck_assert_uint_eq(toy->seen_count, want);
}

static void until_ended(unsigned want)
{
	WAIT_UNTIL(ends >= want);
	ck_assert_uint_ge(ends, want);
}

static bool called(unsigned q, int timeout_ms)
{
	struct pollfd p = { .fd = call[q], .events = POLLIN };
	uint64_t count;

	return poll(&p, 1, timeout_ms) == 1 && read(call[q], &count, 8) == 8;
}

/* One request from the beginning to its end. */
static void round_trip(unsigned q, unsigned slot, uint8_t byte)
{
	while (called(q, 0))
		;
	add(q, slot, byte);
	ring_kick(q);
	until_used(q, (uint16_t)added[q]);
	ck_assert_uint_eq(buffer(q, slot)[1], (uint8_t)(byte + 1));
	ck_assert(called(q, 5000));
}

/* ---- what works --------------------------------------------------------- */

START_TEST(greeting)
{
	begin();
	greet();
	ck_assert_uint_eq(vf.protocol, WANT);
	ck_assert_uint_eq(vf.queues_max, QUEUES);
	ck_assert_uint_eq(vf.slots_max, RAM_REGIONS_MAX);
	ck_assert_uint_eq(vf.features & 0xff, 5);
	ck_assert(vf.features & VIRTIO_F_VERSION_1);
	ck_assert(!(vf.features & VIRTIO_F_ACCESS_PLATFORM));
	end();
}
END_TEST

START_TEST(requests)
{
	begin();
	negotiate();
	for (unsigned q = 0; q < QUEUES; q++)
		start_ring(q, base_after(0));
	for (unsigned i = 0; i < 100; i++)
		round_trip(i % QUEUES, i % 8, (uint8_t)(i * 3));
	end();
}
END_TEST

/* What was made available before the ring started is not forgotten. */
START_TEST(requests_before_start)
{
	begin();
	negotiate();
	add(0, 0, 7);
	start_ring(0, base_after(0));
	until_used(0, 1);
	ck_assert(called(0, 5000));
	end();
}
END_TEST

START_TEST(stop_and_go_on)
{
	uint32_t base = 99;

	begin();
	negotiate();
	start_ring(0, base_after(0));
	round_trip(0, 0, 1);
	round_trip(0, 1, 2);
	ok(vhost_frontend_stop(&vf, 0, &base, &d));
	ck_assert_uint_eq(base, base_after(2));
	add(0, 2, 3);
	ring_kick(0);
	usleep(20000);
	ck_assert_uint_eq(used_idx(0), 2);
	start_ring(0, base);
	until_used(0, 3);
	round_trip(0, 3, 4);
	/* Disabled, then enabled: no position is told. */
	ok(vhost_frontend_enable(&vf, 0, false, &d));
	add(0, 4, 5);
	ring_kick(0);
	usleep(20000);
	ck_assert_uint_eq(used_idx(0), 4);
	ok(vhost_frontend_enable(&vf, 0, true, &d));
	until_used(0, 5);
	end();
}
END_TEST

/* More memory while rings run: nothing stops for good. */
START_TEST(memory_while_running)
{
	const struct ram_options shared = { .shared = true };
	struct vu_msg msg = { .header = { VU_REM_MEM_REG, VU_VERSION,
					  sizeof(msg.one) } };

	begin();
	negotiate();
	start_ring(0, base_after(0));
	round_trip(0, 0, 1);
	ok(ram_add(&ram, GPA(RAM_AT + GIB(1)), 0x10000, &shared, &d));
	ok(vhost_frontend_memory(&vf, &ram, &d));
	round_trip(0, 1, 2);
	msg.one.region = (struct vu_region){
		.gpa = RAM_AT + GIB(1),
		.size_bytes = 0x10000,
		.user = (uintptr_t)ram.region[1].host,
	};
	ck_assert_int_eq(vu_send(vf.fd, &msg.header, msg.bytes, NULL, 0), 0);
	round_trip(0, 2, 3);
	/* Without its memory the ring stands still, and is not lost. */
	ok(vhost_frontend_call(&vf, 0, call[0], &d));
	end();
}
END_TEST

START_TEST(other_call)
{
	int other = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	begin();
	negotiate();
	start_ring(0, base_after(0));
	round_trip(0, 0, 1);
	ok(vhost_frontend_call(&vf, 0, -1, &d));
	add(0, 1, 1);
	ring_kick(0);
	until_used(0, 2);
	ck_assert(!called(0, 20));
	close(call[0]);
	call[0] = other;
	ok(vhost_frontend_call(&vf, 0, other, &d));
	round_trip(0, 2, 1);
	end();
}
END_TEST

/* virtio_uml has a socket instead of an eventfd. One that is full is not waited
 * for. */
START_TEST(call_by_socket)
{
	uint64_t count = 0;
	int fds[2];

	begin();
	negotiate();
	start_ring(0, base_after(0));
	round_trip(0, 0, 1);
	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	ok(vhost_frontend_call(&vf, 0, fds[1], &d));
	/* What the old one may have been told. */
	ck_assert_int_eq(read(fds[0], &count, 8), 8);
	add(0, 1, 1);
	ring_kick(0);
	until_used(0, 2);
	ck_assert_int_eq(read(fds[0], &count, 8), 8);
	ck_assert_uint_eq(count, 1);
	while (send(fds[1], &count, 8, MSG_DONTWAIT) == 8)
		;
	for (unsigned i = 0; i < 4; i++) {
		add(0, 2, 1);
		ring_kick(0);
		until_used(0, (uint16_t)(3 + i));
	}
	close(fds[0]); /* nor does its end end anybody */
	add(0, 2, 1);
	ring_kick(0);
	until_used(0, 7);
	ok(vhost_frontend_call(&vf, 0, call[0], &d));
	round_trip(0, 2, 1);
	close(fds[1]);
	end();
}
END_TEST

/* virtio_uml asks for an answer to the very request that negotiates answers. */
START_TEST(answers_from_the_first)
{
	struct vu_header h = { VU_SET_PROTOCOL_FEATURES,
			       VU_VERSION | VU_NEED_REPLY, 8 };
	const uint64_t features = VU_P_REPLY_ACK;
	struct pollfd p = { .events = POLLIN };
	uint8_t reply[20];

	begin();
	p.fd = connect_raw();
	ck_assert_int_eq(vu_send(p.fd, &h, &features, NULL, 0), 0);
	ck_assert_int_eq(poll(&p, 1, PATIENCE_MS), 1);
	ck_assert_int_eq(recv(p.fd, reply, sizeof(reply), MSG_WAITALL), 20);
	ck_assert_uint_eq(get_le64(reply + 12), 0);
	close(p.fd);
	end();
}
END_TEST

START_TEST(configuration)
{
	uint8_t got[60] = { 0 }, wrote[2] = { 0xaa, 0xbb };
	bool changed = false;
	struct pollfd p;

	begin();
	memcpy(toy->config, "12345678", 8);
	negotiate();
	ok(vhost_frontend_config(&vf, got, sizeof(got), &d));
	ck_assert_mem_eq(got, "12345678\0\0", 10);
	ok(vhost_frontend_set_config(&vf, 3, wrote, 2, &d));
	ok(vhost_frontend_config(&vf, got, 8, &d));
	ck_assert_mem_eq(got,
			 "123\xaa\xbb"
			 "678",
			 8);
	/* Beyond the device's configuration: nothing is written. */
	ok(vhost_frontend_set_config(&vf, 7, wrote, 2, &d));
	start_ring(0, base_after(0));
	virtio_config_changed(&toy->vd);
	p = (struct pollfd){ .fd = vf.request, .events = POLLIN };
	ck_assert_int_eq(poll(&p, 1, PATIENCE_MS), 1);
	ok(vhost_frontend_poll(&vf, &changed, &d));
	ck_assert(changed);
	end();
}
END_TEST

START_TEST(status_and_reset)
{
	begin();
	negotiate();
	ok(vhost_frontend_status(&vf, 15, &d));
	start_ring(0, base_after(0));
	round_trip(0, 0, 1);
	if (_i)
		ok(vhost_frontend_status(&vf, 0, &d));
	else
		ok(vhost_frontend_reset(&vf, &d));
	add(0, 1, 1);
	ring_kick(0);
	usleep(20000);
	ck_assert_uint_eq(used_idx(0), 1);
	/* Everything anew. */
	ring_new(0);
	accept_features();
	start_ring(0, base_after(0));
	round_trip(0, 0, 1);
	end();
}
END_TEST

/* ---- back ends and front ends that go ----------------------------------- */

START_TEST(front_end_comes_again)
{
	begin();
	for (unsigned i = 0; i < 3; i++) {
		negotiate();
		start_ring(0, base_after(i));
		round_trip(0, i, 1);
		vhost_frontend_release(&vf);
		until_ended(i + 1);
	}
	end();
}
END_TEST

static void wait_gone(void)
{
	unsigned before = ends;

	vhost_frontend_close(&vf);
	until_ended(before + 1);
}

/* None lost, none done twice, in the old order. */
START_TEST(replay)
{
	begin();
	negotiate();
	ck_assert_int_ge(vf.inflight_fd, 0);
	start_ring(0, base_after(0));
	ck_assert(!called(0, 20)); /* there is nothing to tell */
	round_trip(0, 0, 100);	   /* given back before the end */
	toy->hold = true;
	for (unsigned i = 1; i < 5; i++)
		add(0, 8 - i, (uint8_t)i);
	ring_kick(0);
	until_seen(5);
	wait_gone();
	ck_assert_uint_eq(used_idx(0), 1);
	toy->hold = false;
	toy->seen_count = 0;
	/* One more comes while nobody is there. */
	add(0, 1, 50);
	negotiate();
	start_ring(0, base_after(1));
	until_used(0, 6);
	ck_assert(called(0, 5000));
	virtio_queue_lock(&toy->vd, 0);
	ck_assert_uint_eq(toy->seen_count, 5);
	ck_assert_mem_eq(toy->seen, "\1\2\3\4\62", 5);
	virtio_queue_unlock(&toy->vd, 0);
	for (unsigned i = 1; i < 5; i++)
		ck_assert_uint_eq(buffer(0, 8 - i)[1], i + 1);
	round_trip(0, 3, 9);
	/* Who died may not have told of that. */
	wait_gone();
	while (called(0, 0))
		;
	negotiate();
	start_ring(0, base_after(7));
	ck_assert(called(0, 5000));
	end();
}
END_TEST

/* Death after the used index moved, before the marks were removed: what the
 * dead one gave back is not done again. */
START_TEST(replay_not_twice)
{
	struct track_region *r;
	size_t bytes;

	begin();
	negotiate();
	start_ring(0, base_after(0));
	round_trip(0, 0, 1);
	round_trip(0, 1, 2);
	wait_gone();
	bytes = vf.inflight.mmap_size_bytes;
	r = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
		 vf.inflight_fd, 0);
	ck_assert_ptr_ne(r, MAP_FAILED);
	ck_assert_uint_eq(r->version, TRACK_VERSION);
	ck_assert_uint_eq(r->used_idx, 2);
	ck_assert_uint_eq(r->last_batch_head, 2);
	r->head[2].inflight = 1;
	r->used_idx = 1;
	toy->seen_count = 0;
	negotiate();
	start_ring(0, 2);
	round_trip(0, 2, 3);
	ck_assert_uint_eq(toy->seen_count, 1);
	ck_assert_uint_eq(r->head[2].inflight, 0);
	munmap(r, bytes);
	end();
}
END_TEST

/* A queue that the driver reset while nobody was there: what was in flight of
 * it is not done, and the ring begins where it is told. Of the other it is. */
START_TEST(dropped)
{
	begin();
	negotiate();
	toy->hold = true;
	for (unsigned q = 0; q < QUEUES; q++) {
		start_ring(q, base_after(0));
		add(q, 0, (uint8_t)(10 * q));
		add(q, 1, (uint8_t)(10 * q + 1));
		ring_kick(q);
		until_seen(2 * q + 2);
	}
	wait_gone();
	vhost_frontend_drop(&vf, 0);
	vhost_frontend_drop(&vf, QUEUES);
	ring_new(0);
	toy->hold = false;
	toy->seen_count = 0;
	negotiate();
	start_ring(0, base_after(0));
	round_trip(0, 2, 3);
	ck_assert_uint_eq(toy->seen_count, 1);
	start_ring(1, base_after(0));
	until_used(1, 2);
	ck_assert_uint_eq(toy->seen_count, 3);
	round_trip(0, 3, 4);
	end();
}
END_TEST

/* The memory of requests in flight is anybody's: nothing bad follows. */
START_TEST(replay_hostile)
{
	struct track_region *r;
	uint32_t base;
	size_t bytes;

	begin();
	negotiate();
	start_ring(0, base_after(0));
	round_trip(0, 0, 1);
	wait_gone();
	bytes = vf.inflight.mmap_size_bytes;
	r = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
		 vf.inflight_fd, 0);
	switch (_i) {
	case 0:
		r->version = 77;
		break;
	case 1:
		r->desc_num = 3;
		break;
	case 2:
		r->last_batch_head = 0xfff0;
		r->used_idx = 0x8000;
		break;
	case 3: /* a list that is a circle */
		r->used_idx = 0x8000;
		r->head[0].next = 0;
		break;
	default: /* everything in flight, and never available */
		memset(r, 1, bytes);
		r->version = TRACK_VERSION;
		r->desc_num = SIZE;
		r->last_batch_head = 0;
	}
	negotiate();
	if (_i < 2) {
		const struct vhost_ring bad = describe(0, 1);

		ck_assert_int_eq(vhost_frontend_start(&vf, 0, &bad, &d), -EIO);
	} else {
		start_ring(0, 1);
		usleep(20000);
	}
	d = DIAG_INIT;
	ok(vhost_frontend_stop(&vf, 0, &base, &d));
	munmap(r, bytes);
	end();
}
END_TEST

/* ---- packed rings ------------------------------------------------------- */

static struct track_packed *map_packed(void)
{
	struct track_packed *r =
		mmap(NULL, vf.inflight.mmap_size_bytes, PROT_READ | PROT_WRITE,
		     MAP_SHARED, vf.inflight_fd, 0);

	ck_assert_ptr_ne(r, MAP_FAILED);
	return r;
}

static void check_place(const struct track_packed *r, unsigned done)
{
	uint32_t base = 0;

	ck_assert_uint_eq(r->place.used_idx, base_after(done) & 0x7fff);
	ck_assert_uint_eq(r->place.old_used_idx, r->place.used_idx);
	ck_assert_uint_eq(r->place.used_wrap, !!(base_after(done) & 0x8000));
	ck_assert_uint_eq(r->place.old_used_wrap, r->place.used_wrap);
	ck_assert_uint_eq(r->old_free_head, r->free_head);
	ck_assert(vhost_frontend_place(&vf, 0, SIZE, &base));
	ck_assert_uint_eq(base, base_after(done));
}

/* Death after the driver saw a batch, before the region said so: it is not done
 * again. Two requests of entries 0 and 1, one after the other, at each place in
 * the ring. */
START_TEST(packed_replay_not_twice)
{
	struct track_packed *r;

	begin();
	negotiate();
	start_ring(0, base_after(0));
	for (int i = 0; i < _i; i++)
		round_trip(0, 0, 1);
	r = map_packed();
	ck_assert_uint_eq(r->version, TRACK_VERSION);
	round_trip(0, 1, 2);
	wait_gone();
	check_place(r, (unsigned)_i + 1);
	/* As it was when the batch was published. */
	r->old_free_head = 2;
	r->place.old_used_idx = base_after((unsigned)_i) & 0x7fff;
	r->place.old_used_wrap = !!(base_after((unsigned)_i) & 0x8000);
	r->desc[0].inflight = 1;
	toy->seen_count = 0;
	negotiate();
	start_ring(0, base_after(0)); /* nobody need know where it is */
	round_trip(0, 2, 3);
	ck_assert_uint_eq(toy->seen_count, 1);
	ck_assert_uint_eq(r->desc[0].inflight, 0);
	wait_gone();
	check_place(r, (unsigned)_i + 2);
	munmap(r, vf.inflight.mmap_size_bytes);
	end();
}
END_TEST

/* Death before the driver saw it: it is done again, once. */
START_TEST(packed_replay_rolled_back)
{
	struct track_packed *r;

	begin();
	negotiate();
	start_ring(0, base_after(0));
	for (int i = 0; i < _i; i++)
		round_trip(0, 0, 1);
	toy->hold = true;
	toy->seen_count = 0;
	add(0, 1, 2);
	ring_kick(0);
	until_seen(1);
	wait_gone();
	r = map_packed();
	check_place(r, (unsigned)_i);
	ck_assert_uint_eq(r->desc[0].inflight, 1);
	ck_assert_uint_eq(r->desc[0].num, 2);
	ck_assert_uint_eq(r->desc[0].last, 1);
	/* As it was when it had joined the batch. */
	r->desc[1].next = r->free_head;
	r->free_head = 0;
	r->place.used_idx = base_after((unsigned)_i + 1) & 0x7fff;
	r->place.used_wrap = !!(base_after((unsigned)_i + 1) & 0x8000);
	toy->hold = false;
	negotiate();
	start_ring(0, base_after(0));
	until_used(0, (uint16_t)(_i + 1));
	ck_assert_uint_eq(buffer(0, 1)[1], 3);
	round_trip(0, 2, 3);
	ck_assert_uint_eq(toy->seen_count, 3);
	wait_gone();
	check_place(r, (unsigned)_i + 2);
	munmap(r, vf.inflight.mmap_size_bytes);
	end();
}
END_TEST

/* What a hostile front end may do to a region with a request in flight: a
 * value of @bytes bytes at @at. @starts: the ring starts all the same */
#define ENTRY(field)                                                      \
	sizeof(struct track_packed) + offsetof(struct track_desc, field), \
		sizeof(((struct track_desc *)0)->field)
#define HEAD(field)                           \
	offsetof(struct track_packed, field), \
		sizeof(((struct track_packed *)0)->field)
static const struct damage {
	size_t at, bytes;
	uint64_t value;
	bool starts;
} damages[] = {
	{ HEAD(version), 77, false },
	{ HEAD(desc_num), 3, false },
	{ HEAD(place.used_idx), SIZE, false },
	{ HEAD(place.old_used_idx), 0x7fff, false },
	{ HEAD(place.used_wrap), 0xff, true },
	{ HEAD(old_free_head), 0, true },
	{ HEAD(old_free_head), 0xffff, true },
	{ ENTRY(num), 0, false },
	{ ENTRY(num), SIZE + 1, false },
	{ ENTRY(num), SIZE, true },
	{ ENTRY(next), 0xffff, true },
	{ ENTRY(next), 0, true },
	{ ENTRY(last), 0xffff, true },
	{ ENTRY(id), 0xffff, true },
	{ ENTRY(flags), 0xffff, true },
	{ ENTRY(addr), UINT64_MAX, true },
	{ ENTRY(len), UINT32_MAX, true },
	{ ENTRY(counter), UINT64_MAX, true },
};

START_TEST(packed_replay_hostile)
{
	const struct damage *m = &damages[_i];
	struct track_packed *r;
	uint32_t base;

	begin();
	negotiate();
	start_ring(0, base_after(0));
	toy->hold = true;
	add(0, 1, 2);
	ring_kick(0);
	until_seen(1);
	wait_gone();
	toy->hold = false;
	r = map_packed();
	memcpy((uint8_t *)r + m->at, &m->value, m->bytes);
	vhost_frontend_place(&vf, 0, SIZE, &base);
	negotiate();
	if (m->starts) {
		start_ring(0, base_after(0));
		usleep(20000);
		/* And while it runs. */
		memset(r, 0xff, vf.inflight.mmap_size_bytes / QUEUES);
		add(0, 2, 3);
		ring_kick(0);
		usleep(20000);
	} else {
		const struct vhost_ring bad = describe(0, base_after(0));

		ck_assert_int_eq(vhost_frontend_start(&vf, 0, &bad, &d), -EIO);
	}
	d = DIAG_INIT;
	ok(vhost_frontend_stop(&vf, 0, &base, &d));
	munmap(r, vf.inflight.mmap_size_bytes);
	end();
}
END_TEST

/* The front end's look at it. */
START_TEST(packed_no_place)
{
	struct track_packed *r;
	uint32_t base = 0x1234;

	begin();
	ck_assert(!vhost_frontend_place(&vf, 0, SIZE, &base));
	negotiate();
	ck_assert(vhost_frontend_place(&vf, 0, SIZE, &base)); /* not used yet */
	ck_assert(!vhost_frontend_place(&vf, QUEUES, SIZE, &base));
	ck_assert_uint_eq(base, 0x1234);
	start_ring(0, base_after(0));
	round_trip(0, 0, 1);
	wait_gone();
	r = map_packed();
	r->place.old_used_idx = SIZE;
	ck_assert(!vhost_frontend_place(&vf, 0, SIZE, &base));
	vf.inflight.mmap_offset_bytes = UINT64_MAX;
	ck_assert(!vhost_frontend_place(&vf, 1, SIZE, &base));
	vhost_frontend_drop(&vf, 1);
	vf.inflight.mmap_offset_bytes = INT64_MAX;
	ck_assert(!vhost_frontend_place(&vf, 0, SIZE, &base));
	vhost_frontend_drop(&vf, 0);
	ck_assert_uint_eq(r->version, TRACK_VERSION);
	vf.inflight.queue_count = 0;
	ck_assert(!vhost_frontend_place(&vf, 0, SIZE, &base));
	ck_assert_uint_eq(base, 0x1234);
	munmap(r, vf.inflight.mmap_size_bytes);
	end();
}
END_TEST

/* Around the ring's end, where the wrap counters change, and stopped at each
 * position. */
START_TEST(packed_positions)
{
	uint32_t base = base_after(0);

	begin();
	negotiate();
	for (unsigned i = 0; i < 3 * SIZE; i++) {
		start_ring(0, base);
		round_trip(0, i % 8, (uint8_t)i);
		ok(vhost_frontend_stop(&vf, 0, &base, &d));
		ck_assert_uint_eq(base, base_after(i + 1));
	}
	end();
}
END_TEST

/* Beyond the ring; halves that differ: requests would be in flight. */
START_TEST(packed_no_position)
{
	static const uint32_t bases[] = { SIZE | SIZE << 16, 0x8000, 0x80008001,
					  0xffffffff };
	struct vhost_ring bad;

	begin();
	negotiate();
	bad = describe(0, bases[_i]);
	ck_assert_int_eq(vhost_frontend_start(&vf, 0, &bad, &d), -EIO);
	d = DIAG_INIT;
	/* The next front end is served. */
	vhost_frontend_release(&vf);
	until_ended(1);
	negotiate();
	start_ring(0, base_after(0));
	round_trip(0, 0, 1);
	end();
}
END_TEST

/* Who reads the back end's log learns what is wrong. */
START_TEST(refusals_say_why)
{
	static const char *const why[] = { "ring 0: no such position",
					   "ring 0: its memory of requests in "
					   "flight is damaged" };
	int log = memfd_create("log", MFD_CLOEXEC);
	uint16_t version = 77;
	struct vhost_ring bad;
	char text[4096] = "";

	log_setup(log, LOG_INFO);
	begin();
	negotiate();
	bad = describe(0, _i ? base_after(0) : 0x8000);
	if (_i)
		ck_assert_int_eq(pwrite(vf.inflight_fd, &version, 2,
					offsetof(struct track_packed, version)),
				 2);
	ck_assert_int_eq(vhost_frontend_start(&vf, 0, &bad, &d), -EIO);
	d = DIAG_INIT;
	end();
	ck_assert_int_gt(pread(log, text, sizeof(text) - 1, 0), 0);
	ck_assert_msg(strstr(text, why[_i]) != NULL, "%s", text);
	log_setup(quiet, LOG_ERROR);
	close(log);
}
END_TEST

/* ---- class (p): a hostile front end ------------------------------------- */

/* @arg: by request; @dead: the connection ends where the request has no
 * REPLY_ACK, or its reply cannot say no */
static const struct hostile {
	const char *what;
	uint32_t request, size;
	uint64_t arg[5];
	int fds; /* memfds; -1: an eventfd */
	bool dead;
} hostile[] = {
	{ "unknown request", 99, 8, { 0 }, 0, false },
	{ "request 0", 0, 0, { 0 }, 0, false },
	{ "log", 6, 8, { 0 }, 1, false },
	{ "features not offered", VU_SET_FEATURES, 8, { ~0ULL }, 0, false },
	{ "legacy", VU_SET_FEATURES, 8, { 0 }, 0, false },
	{ "IOMMU", VU_SET_FEATURES, 8, { 3ULL << 32 }, 0, false },
	{ "protocol", VU_SET_PROTOCOL_FEATURES, 8, { ~0ULL }, 0, false },
	{ "9 regions", VU_SET_MEM_TABLE, 8, { 9 }, 0, false },
	{ "regions without fds", VU_SET_MEM_TABLE, 40, { 1 }, 0, false },
	{ "regions cut short", VU_SET_MEM_TABLE, 8, { 1 }, 1, false },
	{ "no memory", VU_SET_MEM_TABLE, 40, { 1, 0, 0, 0, 0 }, 1, false },
	{ "memory wraps",
	  VU_SET_MEM_TABLE,
	  40,
	  { 1, ~0ULL, 0x1000, 0, 0 },
	  1,
	  false },
	{ "user wraps",
	  VU_SET_MEM_TABLE,
	  40,
	  { 1, 0, 0x1000, ~0ULL, 0 },
	  1,
	  false },
	{ "offset wraps",
	  VU_SET_MEM_TABLE,
	  40,
	  { 1, 0, 0x1000, 0, ~0ULL },
	  1,
	  false },
	{ "file too short",
	  VU_SET_MEM_TABLE,
	  40,
	  { 1, 0, 0x2001, 0, 0 },
	  1,
	  false },
	{ "memory is an eventfd",
	  VU_SET_MEM_TABLE,
	  40,
	  { 1, 0, 0x1000, 0, 0 },
	  -1,
	  false },
	{ "overlap",
	  VU_ADD_MEM_REG,
	  40,
	  { 0, RAM_AT + 0xff000, 0x2000, 0, 0 },
	  1,
	  false },
	{ "remove what is not", VU_REM_MEM_REG, 40, { 0, 5, 6, 7 }, 0, false },
	{ "ring 2", VU_SET_VRING_NUM, 8, { 2 | 16ULL << 32 }, 0, false },
	{ "ring -1", VU_SET_VRING_NUM, 8, { ~0ULL }, 0, false },
	{ "size 0", VU_SET_VRING_NUM, 8, { 1 }, 0, false },
	{ "size 17", VU_SET_VRING_NUM, 8, { 1 | 17ULL << 32 }, 0, false },
	{ "size 65552", VU_SET_VRING_NUM, 8, { 1 | 65552ULL << 32 }, 0, false },
	{ "resize running", VU_SET_VRING_NUM, 8, { 8ULL << 32 }, 0, false },
	{ "move running", VU_SET_VRING_ADDR, 40, { 0, 1, 2, 3, 4 }, 0, false },
	{ "address of ring 5", VU_SET_VRING_ADDR, 40, { 5 }, 0, false },
	{ "base running", VU_SET_VRING_BASE, 8, { 8ULL << 32 }, 0, false },
	{ "base of ring 9", VU_SET_VRING_BASE, 8, { 9 }, 0, false },
	{ "get base of ring 9", VU_GET_VRING_BASE, 8, { 9 }, 0, true },
	{ "kick of ring 255", VU_SET_VRING_KICK, 8, { 255 }, -1, false },
	{ "kick is a file", VU_SET_VRING_KICK, 8, { 1 }, 1, false },
	{ "kick missing", VU_SET_VRING_KICK, 8, { 1 }, 0, false },
	{ "kick by polling", VU_SET_VRING_KICK, 8, { 0x101 }, 0, false },
	{ "kick and none", VU_SET_VRING_KICK, 8, { 0x101 }, -1, false },
	{ "kick, odd bits", VU_SET_VRING_KICK, 8, { 1ULL << 40 }, -1, false },
	{ "call is a file", VU_SET_VRING_CALL, 8, { 0 }, 1, false },
	{ "err is a file", VU_SET_VRING_ERR, 8, { 0 }, 1, false },
	{ "enable ring 2",
	  VU_SET_VRING_ENABLE,
	  8,
	  { 2 | 1ULL << 32 },
	  0,
	  false },
	{ "requests to a file", VU_SET_BACKEND_REQ_FD, 0, { 0 }, 1, false },
	{ "config too far",
	  VU_GET_CONFIG,
	  12,
	  { 1ULL << 32 | 256, 0 },
	  0,
	  false },
	{ "set config too far",
	  VU_SET_CONFIG,
	  12,
	  { 1ULL << 32 | 256, 0 },
	  0,
	  false },
	{ "set config, cut", VU_SET_CONFIG, 12, { 8ULL << 32, 0 }, 0, false },
	{ "inflight, 3 queues",
	  VU_GET_INFLIGHT_FD,
	  24,
	  { 0, 0, 3 | 16 << 16 },
	  0,
	  true },
	{ "inflight, 0 queues",
	  VU_GET_INFLIGHT_FD,
	  24,
	  { 0, 0, 16 << 16 },
	  0,
	  true },
	{ "inflight, running",
	  VU_SET_INFLIGHT_FD,
	  24,
	  { 0x1000, 0, 1 | 16 << 16 },
	  1,
	  false },
};

static void send_hostile(const struct hostile *h, bool ack)
{
	struct vu_header head = { h->request,
				  VU_VERSION | (ack ? VU_NEED_REPLY : 0),
				  h->size };
	int fd = -1;

	if (h->fds > 0) {
		fd = memfd_create("hostile", MFD_CLOEXEC);
		ck_assert_int_eq(ftruncate(fd, 0x2000), 0);
	} else if (h->fds < 0) {
		fd = eventfd(0, EFD_CLOEXEC);
	}
	ck_assert_int_eq(vu_send(vf.fd, &head, h->arg, &fd, fd >= 0), 0);
	if (fd >= 0)
		close(fd);
}

/* What comes back: the payload, 1 if there is none, or -1: the connection has
 * ended. */
static int64_t verdict(void)
{
	struct pollfd p = { .fd = vf.fd, .events = POLLIN };
	uint8_t raw[12 + VU_PAYLOAD_MAX];
	ssize_t got;

	ck_assert_int_eq(poll(&p, 1, PATIENCE_MS), 1);
	got = recv(vf.fd, raw, sizeof(raw), 0);
	if (got <= 0)
		return -1;
	ck_assert_int_ge(got, 12);
	return got >= 20 ? (int64_t)get_le64(raw + 12) : 1;
}

/* Class (p): whatever a front end says. */
START_TEST(hostile_front_end)
{
	const struct hostile *h = &hostile[_i / 2];
	bool ack = _i % 2;
	int64_t got;

	begin();
	negotiate();
	/* Features cannot change while a ring runs: that is another error. */
	if (h->request != VU_SET_FEATURES) {
		start_ring(0, base_after(0));
		round_trip(0, 0, 1);
	}
	send_hostile(h, ack);
	got = h->request == VU_GET_CONFIG || ack || h->dead ? verdict() : -1;
	if (h->dead)
		ck_assert_msg(got == -1, "%s", h->what);
	else
		ck_assert_msg(
			got == (ack || h->request == VU_GET_CONFIG ? 1 : -1),
			"%s: %lld", h->what, (long long)got);
	/* It still serves, this front end or the next one. */
	vhost_frontend_release(&vf);
	d = DIAG_INIT;
	until_ended(1);
	ring_new(0);
	negotiate();
	start_ring(0, base_after(0));
	round_trip(0, 0, 1);
	end();
}
END_TEST

/* More available than the ring has; packed: a name that it does not have. */
static void break_ring(void)
{
	if (!format) {
		vr[0].avail = 1000;
		add(0, 0, 1);
	} else {
		vring_offer1(&vr[0], SIZE, buffer_at(0, 0), 1, 0);
	}
}

/* Class (p): a ring that breaks the rules: err is signalled, the device serves
 * on. */
START_TEST(hostile_ring)
{
	struct pollfd p = { .events = POLLIN };

	begin();
	negotiate();
	p.fd = broken = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	start_ring(0, base_after(0));
	break_ring();
	ring_kick(0);
	ck_assert_int_eq(poll(&p, 1, PATIENCE_MS), 1);
	ok(vhost_frontend_reset(&vf, &d));
	ring_new(0);
	accept_features();
	start_ring(0, base_after(0));
	round_trip(0, 0, 1);
	close(broken);
	broken = -1;
	end();
}
END_TEST

/* ---- class (p) from the other side: a hostile back end ------------------ */

/* What a back end may answer to the first question, and what we say. */
static const struct bad_reply {
	const char *what;
	uint32_t request, flags, size;
	int err;
} bad_replies[] = {
	{ "closes", 0, 0, UINT32_MAX, -ECONNRESET },
	{ "no reply flag", VU_GET_FEATURES, 1, 8, -EPROTO },
	{ "to another request", VU_GET_STATUS, 5, 8, -EPROTO },
	{ "unknown request", 200, 5, 8, -EPROTO },
	{ "short", VU_GET_FEATURES, 5, 4, -EPROTO },
	{ "long", VU_GET_FEATURES, 5, 12, -EPROTO },
	{ "huge", VU_GET_FEATURES, 5, 1u << 31, -EPROTO },
	{ "version", VU_GET_FEATURES, 6, 8, -EPROTO },
};

START_TEST(hostile_back_end)
{
	const struct bad_reply *b = &bad_replies[_i];
	uint8_t raw[12 + 16] = { 0 };
	const struct vu_header h = { b->request, b->flags, b->size };
	char why[512];
	int fds[2];

	d = DIAG_INIT;
	vhost_frontend_init(&vf, "--fs tag=x", "/run/x.sock");
	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	memcpy(raw, &h, sizeof(h));
	if (b->size == UINT32_MAX)
		shutdown(fds[1], SHUT_WR);
	else
		ck_assert_int_gt(write(fds[1], raw, 12 + MIN(b->size, 16u)), 0);
	ck_assert_int_eq(vhost_frontend_greet(&vf, fds[0], WANT, &d), b->err);
	diag_format(&d, why, sizeof(why));
	ck_assert_ptr_nonnull(strstr(why, "--fs tag=x"));
	ck_assert_ptr_nonnull(strstr(why, "/run/x.sock"));
	ck_assert_int_eq(vf.fd, -1);
	close(fds[1]);
	vhost_frontend_release(&vf);
}
END_TEST

START_TEST(memory_must_be_shared)
{
	const struct ram_options plain = { .shared = false };
	struct guest_ram mine;
	char why[512];

	begin();
	greet();
	ram_init(&mine);
	ok(ram_add(&mine, GPA(0), 0x10000, &plain, &d));
	ck_assert_int_eq(vhost_frontend_memory(&vf, &mine, &d), -EINVAL);
	diag_format(&d, why, sizeof(why));
	ck_assert_ptr_nonnull(strstr(why, "--memory shared=on"));
	ram_release(&mine);
	end();
}
END_TEST

static TCase *both_formats(bool packed)
{
	TCase *t = FORMAT_CASE("vhost-user", packed);

	tcase_add_test(t, greeting);
	tcase_add_test(t, requests);
	tcase_add_test(t, requests_before_start);
	tcase_add_test(t, stop_and_go_on);
	tcase_add_test(t, memory_while_running);
	tcase_add_test(t, other_call);
	tcase_add_test(t, call_by_socket);
	tcase_add_test(t, answers_from_the_first);
	tcase_add_test(t, configuration);
	tcase_add_loop_test(t, status_and_reset, 0, 2);
	tcase_add_test(t, front_end_comes_again);
	tcase_add_test(t, replay);
	tcase_add_test(t, dropped);
	tcase_add_loop_test(t, hostile_front_end, 0, 2 * ARRAY_SIZE(hostile));
	tcase_add_test(t, hostile_ring);
	return t;
}

static TCase *only_split(void)
{
	TCase *t = FORMAT_CASE("in flight", false);

	tcase_add_test(t, replay_not_twice);
	tcase_add_loop_test(t, replay_hostile, 0, 5);
	tcase_add_loop_test(t, hostile_back_end, 0, ARRAY_SIZE(bad_replies));
	tcase_add_test(t, memory_must_be_shared);
	return t;
}

static TCase *only_packed(void)
{
	TCase *t = FORMAT_CASE("positions", true);

	tcase_add_loop_test(t, packed_replay_not_twice, 0, SIZE + 1);
	tcase_add_loop_test(t, packed_replay_rolled_back, 0, SIZE + 1);
	tcase_add_loop_test(t, packed_replay_hostile, 0, ARRAY_SIZE(damages));
	tcase_add_test(t, packed_no_place);
	tcase_add_test(t, packed_positions);
	tcase_add_loop_test(t, packed_no_position, 0, 4);
	tcase_add_loop_test(t, refusals_say_why, 0, 2);
	return t;
}

static Suite *suite(void)
{
	Suite *s = suite_create("vhost-user");

	suite_add_tcase(s, both_formats(false));
	suite_add_tcase(s, both_formats(true));
	suite_add_tcase(s, only_split());
	suite_add_tcase(s, only_packed());
	return s;
}

int main(void)
{
	quiet = open("/dev/null", O_WRONLY | O_CLOEXEC);
	log_setup(quiet, LOG_ERROR);
	return suite_run(suite());
}
