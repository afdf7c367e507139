/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: devices of a vhost-user back end that lives in another process
 *
 * The back end is our own, with a toy device, in a child that listens on a
 * socket; the test is the guest's driver, through registers and rings, over
 * both transports. The child is killed without warning and started again.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "vmm/base/log.h"
#include "vmm/unix-socket.h"

#include "devices/net/net.h"
#include "devices/vhost/backend.h"
#include "devices/vhost/frontend.h"
#include "devices/vhost/inflight.h"
#include "devices/virtio/net-impl.h"
#include "devices/virtio/queue-track.h"
#include "tests/unit/formats.h"
#include "tests/unit/patience.h"
#include "tests/unit/suite.h"
#include "virtio-driver.h"

#define RING	 BED_RAM_A
#define DATA	 (BED_RAM_B + 0x10000)
#define SIZE	 16
#define FEATURES VIRTIO_F_VERSION_1

#define TOY_FEATURES 0x21

/* ---- the child ---------------------------------------------------------- */

/**
 * struct world - shared with the child
 * @hold: requests are taken and not finished
 * @blocking: eventfds are such that one waits for them
 * @taken: how many; @seen: their first bytes
 */
struct world {
	atomic_bool hold, blocking;
	atomic_uint taken;
	uint8_t seen[256];
};

static struct world *world;
static char dir[32], path[64];
static pid_t child;

/* Is @what in the name of what is open as @fd? */
static bool is_open(int fd, const char *what)
{
	char link[32], name[64];
	ssize_t len;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, name, sizeof(name) - 1);
	name[MAX(len, 0)] = '\0';
	return strstr(name, what) != NULL;
}

/* Those of the front end with them: flags are those of the open file. */
static void clear_flags(void)
{
	for (int fd = 3; fd < 256; fd++)
		if (is_open(fd, "eventfd"))
			CHECK(!fcntl(fd, F_SETFL, 0));
}

static void toy_notify(struct virtio_device *vd, unsigned queue)
{
	struct virtq_chain c;
	unsigned taken = 0;

	if (world->blocking)
		clear_flags();
	while (virtio_more(vd, queue, &taken) && virtio_pop(vd, queue, &c)) {
		uint8_t byte = 0;

		iov_read(c.iov, c.out_count, 0, &byte, 1);
		world->seen[world->taken % 256] = byte;
		world->taken++;
		/* Held: whoever kills us loses it. */
		if (world->hold)
			continue;
		byte++;
		iov_write(c.iov + c.out_count, c.in_count, 0, &byte, 1);
		virtio_push(vd, queue, &c, 1);
	}
	virtio_done(vd, queue);
}

static void toy_get_config(struct virtio_device *vd, uint8_t *config)
{
	(void)vd;
	memcpy(config, "configuration", 13);
}

static uint64_t toy_features(struct virtio_device *vd)
{
	(void)vd;
	return TOY_FEATURES;
}

static uint16_t toy_bytes;

static int toy_realize(struct virtio_device *vd, struct diag *d)
{
	(void)d;
	if (toy_bytes)
		vd->config_bytes = toy_bytes;
	return 0;
}

static const struct virtio_class toy_virtio = {
	.realize = toy_realize,
	.id = VIRTIO_ID_RNG,
	.queue_count = 2,
	.queue_size = SIZE,
	.config_bytes = 13,
	.get_features = toy_features,
	.get_config = toy_get_config,
	.notify = toy_notify,
};

static const struct device_class toy_class = {
	.name = "toy",
	.size_bytes = sizeof(struct virtio_device),
	.data = &toy_virtio,
	VIRTIO_DEVICE_CLASS,
};

/* The front end listens, and we connect, again if need be. */
static void serve_connect(struct device *served, struct event_loop *loop)
{
	struct sockaddr_un sa;
	int fd;

	ck_assert_int_eq(unix_address(&sa, "--socket", path, NULL), 0);
	while ((fd = unix_connect(&sa)) < 0)
		usleep(1000);
	CHECK(!vhost_backend_attach(served, fd, NULL));
	event_loop_run(loop);
}

static bool child_connects;
static const struct device_class *child_class = &toy_class;
static const void *child_item;

static void serve(void)
{
	struct unix_listener l = UNIX_LISTENER_INIT;
	static struct guest_ram ram;
	static struct vm_config config;
	static struct device_env env;
	struct device *dev;
	struct diag d = DIAG_INIT;

	env = (struct device_env){ .ram = &ram,
				   .loop = event_loop_new(&d),
				   .config = &config,
				   .transport = &virtio_vhost_user };
	CHECK(!device_new(&dev, child_class, "_toy", child_item, &env, NULL,
			  &d));
	dev->cls->reset(dev);
	if (child_connects)
		serve_connect(dev, env.loop);
	CHECK(!unix_listen(&l, "--socket", path, 1, &d));
	CHECK(!vhost_backend_listen(dev, l.fd, &d));
	event_loop_run(env.loop);
}

static void child_start(void)
{
	child = fork();
	ck_assert_int_ge(child, 0);
	if (child)
		return;
	serve();
	_exit(0);
}

static void child_kill(void)
{
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	child = 0;
}

/* ---- the machine -------------------------------------------------------- */

static struct bed bed;
static struct drv drv;
static struct device *dev;
static uint32_t sizes[] = { SIZE, SIZE };
static char type[] = "rng";
static struct vhost_user_config item = { .device_type = type,
					 .socket = path,
					 .queue_sizes = { sizes, 2 } };

static void setup(void)
{
	memset(&bed, 0, sizeof(bed));
	strcpy(dir, "/tmp/test-vu-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s", dir);
	world = mmap(NULL, sizeof(*world), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(world, MAP_FAILED);
}

static void teardown(void)
{
	if (child)
		child_kill();
	unlink(path);
	rmdir(dir);
	munmap(world, sizeof(*world));
}

static void bed_shared(int transport)
{
	bed_open_shared(&bed, transport ? TRANSPORT_MMIO : TRANSPORT_PCI);
	bed.item = &item;
}

static void begin(int transport)
{
	child_start();
	bed_shared(transport);
	dev = bed_add(&bed, "generic-vhost-user");
	drv_find(&drv, &bed, dev, transport ? 0 : 1);
}

static void end(void)
{
	device_free(dev);
	bed_close(&bed);
}

static void run_with(uint64_t features)
{
	if (!drv.mmio)
		drv_msix(&drv, 3);
	ck_assert_uint_eq(drv_negotiate(&drv, FEATURES | format | features),
			  11);
	drv_queue(&drv, 0, SIZE, RING);
	drv_go(&drv);
}

static void run(void)
{
	run_with(0);
}

static void offer(unsigned slot, uint8_t byte)
{
	const struct vbuf buf[] = { { DATA + slot * 16, 1, 0 },
				    { DATA + slot * 16 + 1, 1, D_WRITE } };
	uint8_t raw[2] = { byte, 0 };

	ram_write(&bed.ram, GPA(DATA + slot * 16), raw, 2);
	drv_chain(&drv, 0, buf, 2);
}

static uint8_t answer(unsigned slot)
{
	uint8_t byte = 0;

	ram_read(&bed.ram, GPA(DATA + slot * 16 + 1), &byte, 1);
	return byte;
}

/* How many are used, all of which are taken: a packed ring has no room for
 * more. */
static uint16_t used(void)
{
	uint32_t head, len;

	while (drv_take(&drv, 0, &head, &len))
		;
	return drv_used_idx(&drv, 0);
}

#define BED_UNTIL(cond) WAIT_UNTIL((bed_run(&bed, 1), (cond)))

static void until_used(uint16_t want)
{
	BED_UNTIL(used() == want);
	ck_assert_uint_eq(used(), want);
}

static void until_interrupt(void)
{
	ck_assert(BED_UNTIL(drv_interrupts(&drv, 0)));
}

static void until_taken(unsigned want)
{
	BED_UNTIL(world->taken >= want);
	ck_assert_uint_eq(world->taken, want);
}

static void round_trip(unsigned slot, uint8_t byte)
{
	uint16_t before = used();

	while (drv_interrupts(&drv, 0))
		;
	offer(slot, byte);
	drv_kick(&drv, 0);
	until_used((uint16_t)(before + 1));
	ck_assert_uint_eq(answer(slot), (uint8_t)(byte + 1));
	until_interrupt();
}

START_TEST(works)
{
	uint8_t config[13];

	begin(_i);
	ck_assert_uint_eq(drv_offered(&drv) & 0xffffff, 0x21);
	ck_assert(drv_offered(&drv) & VIRTIO_F_RING_PACKED);
	for (unsigned i = 0; i < 13; i++)
		config[i] = (uint8_t)drv_get(
			&drv, (drv.mmio ? 0x100 : 0x2000) + i, 1);
	ck_assert_mem_eq(config, "configuration", 13);
	run();
	for (unsigned i = 0; i < 40; i++)
		round_trip(i % 8, (uint8_t)(i * 5));
	end();
}
END_TEST

static const struct virtio_transport *real;

/* The back end goes, and another one is there: who connects to that now uses
 * a device that is not made yet. */
static int realize_alone(struct virtio_device *vd, struct diag *d)
{
	struct unix_listener l = UNIX_LISTENER_INIT;
	struct pollfd p;

	child_kill();
	ck_assert_int_eq(unix_listen(&l, "test", path, 1, NULL), 0);
	p = (struct pollfd){ .fd = l.fd, .events = POLLIN };
	ck_assert_int_eq(poll(&p, 1, 200), 0);
	unix_unlisten(&l);
	return real->realize(vd, d);
}

START_TEST(gone_at_once)
{
	struct virtio_transport alone;

	child_start();
	bed_shared(_i);
	real = _i ? &virtio_mmio : &virtio_pci;
	alone = *real;
	alone.realize = realize_alone;
	bed.env.transport = &alone;
	dev = bed_add(&bed, "generic-vhost-user");
	drv_find(&drv, &bed, dev, _i ? 0 : 1);
	child_start();
	run();
	round_trip(0, 1);
	end();
}
END_TEST

/* Nothing of the device runs when its transport goes: calls stay untaken. */
static void unrealize_called(struct virtio_device *vd)
{
	struct pollfd p = { .fd = vd->queue[0].call.fd, .events = POLLIN };
	uint64_t one = 1;

	ck_assert_int_gt(p.fd, 0);
	ck_assert_int_eq(write(p.fd, &one, sizeof(one)), sizeof(one));
	usleep(50000);
	ck_assert_int_eq(poll(&p, 1, 0), 1);
	real->unrealize(vd);
}

START_TEST(called_at_the_end)
{
	struct virtio_transport called;

	child_start();
	bed_shared(1);
	real = &virtio_mmio;
	called = *real;
	called.unrealize = unrealize_called;
	bed.env.transport = &called;
	dev = bed_add(&bed, "generic-vhost-user");
	drv_find(&drv, &bed, dev, 0);
	run();
	round_trip(0, 1);
	end();
}
END_TEST

/* Reset in every state: the back end lets go of everything each time. */
START_TEST(resets)
{
	begin(_i);
	for (unsigned i = 0; i < 5; i++) {
		world->taken = 0;
		run();
		round_trip(0, (uint8_t)i);
		world->hold = i & 1;
		offer(1, 1);
		drv_kick(&drv, 0);
		until_taken(2);
		world->hold = false;
		drv_set_status(&drv, 0);
	}
	end();
}
END_TEST

/* Class (p): the back end finds the ring broken, and the guest hears of it as
 * of a device of ours. What was said before a reset is not said of what comes
 * after it. */
START_TEST(broken)
{
	const struct vbuf nowhere = { BED_RAM_A - 1, 2, 0 };

	begin(_i);
	for (unsigned i = 0; i < 3; i++) {
		run();
		round_trip(0, (uint8_t)i);
		drv_chain(&drv, 0, &nowhere, 1);
		drv_kick(&drv, 0);
		ck_assert(BED_UNTIL(drv_status(&drv) & VIRTIO_NEEDS_RESET));
		drv_set_status(&drv, 0);
		ck_assert_uint_eq(drv_status(&drv), 0);
	}
	run();
	drv_chain(&drv, 0, &nowhere, 1);
	drv_kick(&drv, 0);
	drv_set_status(&drv, 0);
	run();
	for (unsigned i = 0; i < 5; i++)
		round_trip(i, (uint8_t)i);
	ck_assert_uint_eq(drv_status(&drv) & VIRTIO_NEEDS_RESET, 0);
	end();
}
END_TEST

/* kill -9 with requests in flight: none is lost, none is done twice. */
START_TEST(killed)
{
	begin(_i);
	run();
	round_trip(0, 10);
	round_trip(1, 20);
	world->hold = true;
	for (unsigned i = 2; i < 6; i++)
		offer(i, (uint8_t)(i * 10));
	drv_kick(&drv, 0);
	until_taken(6);
	child_kill();
	bed_run(&bed, 3);
	ck_assert_uint_eq(used(), 2);
	/* The guest goes on meanwhile. */
	offer(6, 60);
	drv_kick(&drv, 0);
	world->hold = false;
	world->taken = 0;
	child_start();
	until_used(7);
	until_interrupt();
	ck_assert_uint_eq(world->taken, 5);
	ck_assert_mem_eq(world->seen, "\x14\x1e\x28\x32\x3c", 5);
	for (unsigned i = 2; i < 7; i++)
		ck_assert_uint_eq(answer(i), i * 10 + 1);
	round_trip(7, 1);
	end();
}
END_TEST

/* Again and again, at any moment. */
START_TEST(killed_often)
{
	uint16_t done = 0;

	begin(_i);
	run();
	for (unsigned i = 0; i < 10; i++) {
		for (unsigned n = 0; n < 7; n++)
			offer((done + n) % 8, (uint8_t)(done + n));
		drv_kick(&drv, 0);
		usleep(i * 50);
		child_kill();
		child_start();
		done = (uint16_t)(done + 7);
		until_used(done);
		for (unsigned n = 1; n < 8; n++)
			ck_assert_uint_eq(answer((unsigned)(done - n) % 8),
					  (uint8_t)(done - n + 1));
		drv.next_desc[0] = 0;
	}
	end();
}
END_TEST

/* Away while the guest resets and starts its driver again. */
START_TEST(away)
{
	begin(_i);
	run();
	round_trip(0, 1);
	child_kill();
	bed_run(&bed, 3);
	drv_set_status(&drv, 0);
	run();
	offer(0, 5);
	drv_kick(&drv, 0);
	child_start();
	until_used(1);
	ck_assert_uint_eq(answer(0), 6);
	end();
}
END_TEST

/* One queue alone begins anew; the back end must not remember where it was. */
START_TEST(queue_reset)
{
	begin(_i);
	run_with(VIRTIO_F_RING_RESET);
	for (unsigned i = 0; i < 3; i++) {
		round_trip(0, 1);
		round_trip(1, 2);
		drv_ring_reset(&drv, 0);
		drv_queue(&drv, 0, SIZE, RING);
	}
	round_trip(2, 3);
	end();
}
END_TEST

/* The same while the back end is away, with requests in flight: the one that
 * comes back knows nothing of the old ring. */
START_TEST(queue_reset_away)
{
	begin(_i);
	run_with(VIRTIO_F_RING_RESET);
	round_trip(0, 1);
	world->hold = true;
	offer(1, 2);
	offer(2, 3);
	drv_kick(&drv, 0);
	until_taken(3);
	child_kill();
	bed_run(&bed, 3);
	drv_ring_reset(&drv, 0);
	drv_queue(&drv, 0, SIZE, RING);
	world->hold = false;
	world->taken = 0;
	offer(3, 40);
	child_start();
	ck_assert(BED_UNTIL(used()));
	ck_assert_uint_eq(used(), 1);
	ck_assert_uint_eq(answer(3), 41);
	round_trip(4, 50);
	ck_assert_uint_eq(world->taken, 2);
	end();
}
END_TEST

/* The memory of requests in flight, which is nobody's secret. */
static int inflight_fd(void)
{
	for (int fd = 3; fd < 1024; fd++)
		if (is_open(fd, "spandrel-inflight"))
			return fd;
	return -1;
}

/* Where a packed ring is only that memory knows: damaged, the driver must
 * begin anew, and can. */
START_TEST(place_unknown)
{
	begin(_i);
	run();
	round_trip(0, 1);
	child_kill();
	bed_run(&bed, 3);
	ck_assert_int_eq(pwrite(inflight_fd(), "\xff\xff\xff\xff", 4, 16), 4);
	child_start();
	ck_assert(BED_UNTIL(drv_status(&drv) & VIRTIO_NEEDS_RESET));
	drv_set_status(&drv, 0);
	run();
	round_trip(0, 1);
	end();
}
END_TEST

static unsigned config_byte(unsigned at)
{
	return (unsigned)drv_get(&drv, (drv.mmio ? 0x100 : 0x2000) + at, 1);
}

static void begin_as(int transport, const char *cls, const void *what)
{
	child_start();
	bed_shared(transport);
	bed.item = what;
	dev = bed_add(&bed, cls);
	drv_find(&drv, &bed, dev, transport ? 0 : 1);
}

/* Nor does who is paused meanwhile go on with a ring that is anywhere: without
 * such memory the back end that is back would take any place for it. */
START_TEST(place_unknown_paused)
{
	int none = open("/dev/null", O_RDWR | O_CLOEXEC);

	begin(_i);
	run();
	round_trip(0, 1);
	child_kill();
	bed_run(&bed, 3);
	ck_assert_int_ge(dup2(none, inflight_fd()), 0);
	close(none);
	dev->cls->pause(dev);
	ck_assert(drv_status(&drv) & VIRTIO_NEEDS_RESET);
	child_start();
	dev->cls->resume(dev);
	drv_set_status(&drv, 0);
	run();
	round_trip(0, 1);
	end();
}
END_TEST

/* Death after the driver saw a batch, before the memory said so, and a pause.
 * The successor knows that better than we, also when it comes back first. A
 * card, as its link tells when that is. */
START_TEST(place_guessed)
{
	const struct net_config n = { .vhost_user = true,
				      .socket = path,
				      .num_queues = 2,
				      .queue_size = SIZE };
	struct track_packed *r;

	begin_as(_i, "vhost-user-net", &n);
	run();
	round_trip(0, 1);
	round_trip(1, 2);
	child_kill();
	ck_assert(BED_UNTIL(config_byte(6) == 0));
	r = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, inflight_fd(),
		 0);
	ck_assert_ptr_ne(r, MAP_FAILED);
	ck_assert_uint_eq(r->place.used_idx, 4);
	/* As it was when the second batch was published. */
	r->old_free_head = 2;
	r->place.old_used_idx = 2;
	r->desc[0].inflight = 1;
	munmap(r, 4096);
	world->taken = 0;
	dev->cls->pause(dev);
	child_start();
	ck_assert(BED_UNTIL(config_byte(6) == 1));
	dev->cls->resume(dev);
	round_trip(2, 3);
	ck_assert_uint_eq(world->taken, 1);
	end();
}
END_TEST

/* Run for half a second, and let a vCPU use the device: did that take as long
 * as a reply is waited for? */
static bool is_held_up(struct unix_listener *listener, int *peer)
{
	uint64_t before = patience_ns();
	int fd;

	for (unsigned i = 0; i < 50; i++) {
		bed_run(&bed, 1);
		config_byte(0);
		usleep(10000);
		/* The next one that is tried, and kept waiting. */
		fd = unix_accept(listener);
		if (fd >= 0) {
			close(*peer);
			*peer = fd;
		}
	}
	return ms_since(before) >= VHOST_REPLY_MS - 2000;
}

/* The one that comes back takes the connection and says nothing, for as long as
 * we wait: nobody but the device's thread does. A host may stand still for
 * once.
 */
START_TEST(silent)
{
	struct unix_listener listener = UNIX_LISTENER_INIT;
	int peer = -1;

	begin(_i);
	run();
	round_trip(0, 1);
	child_kill();
	ck_assert_int_eq(unix_listen(&listener, "test", path, 1, NULL), 0);
	ck_assert(!is_held_up(&listener, &peer) ||
		  !is_held_up(&listener, &peer) ||
		  !is_held_up(&listener, &peer));
	ck_assert_int_ge(peer, 0);
	close(peer);
	unix_unlisten(&listener);
	end();
}
END_TEST

/* Nor does the end of the machine wait for it. */
START_TEST(silent_at_the_end)
{
	struct unix_listener listener = UNIX_LISTENER_INIT;
	struct vu_header hello;
	uint64_t before;
	int peer;

	begin(_i);
	run();
	round_trip(0, 1);
	child_kill();
	ck_assert_int_eq(unix_listen(&listener, "test", path, 1, NULL), 0);
	ck_assert(BED_UNTIL((peer = unix_accept(&listener)) >= 0));
	ck_assert(WAIT_UNTIL(recv(peer, &hello, sizeof(hello), 0) ==
			     (ssize_t)sizeof(hello)));
	ck_assert_uint_eq(hello.request, VU_GET_FEATURES);
	before = patience_ns();
	end();
	ck_assert_uint_lt(ms_since(before), VHOST_REPLY_MS - 2000);
	close(peer);
	unix_unlisten(&listener);
}
END_TEST

/* A back end that has us wait for its eventfds holds nobody up. */
START_TEST(blocking)
{
	begin(_i);
	world->blocking = true;
	for (unsigned i = 0; i < 3; i++) {
		run();
		round_trip(0, (uint8_t)i);
		dev->cls->pause(dev);
		dev->cls->resume(dev);
		drv_set_status(&drv, 0);
	}
	dev->cls->reset(dev);
	end();
}
END_TEST

START_TEST(paused)
{
	begin(_i);
	run();
	round_trip(0, 1);
	dev->cls->pause(dev);
	offer(1, 7);
	drv_kick(&drv, 0);
	bed_run(&bed, 3);
	usleep(20000);
	ck_assert_uint_eq(used(), 1);
	dev->cls->resume(dev);
	until_used(2);
	round_trip(2, 3);
	end();
}
END_TEST

START_TEST(saved)
{
	struct stream_out out;
	struct stream_in in;
	struct diag d = DIAG_INIT;

	begin(_i);
	run();
	round_trip(0, 1);
	round_trip(1, 1);
	dev->cls->pause(dev);
	stream_out_init(&out);
	dev->cls->save(dev, &out);
	dev->cls->reset(dev);
	dev->cls->resume(dev);
	stream_in_init(&in, out.data, out.len);
	ck_assert_msg(!dev->cls->load(dev, &in, &d), "%s", d.text[0]);
	stream_out_release(&out);
	if (!drv.mmio)
		drv_msix(&drv, 3);
	round_trip(2, 9);
	end();
}
END_TEST

/* ---- disks and network cards -------------------------------------------- */

START_TEST(disk)
{
	const struct disk_config k = { .vhost_user = true,
				       .socket = path,
				       .num_queues = 2,
				       .queue_size = SIZE };

	toy_bytes = 60;
	begin_as(_i, "vhost-user-blk", &k);
	ck_assert_uint_eq(drv_offered(&drv) & 0xffffff, TOY_FEATURES);
	ck_assert_uint_eq(config_byte(0), 'c');
	ck_assert_uint_eq(config_byte(34), 2);
	run();
	for (unsigned i = 0; i < 8; i++)
		round_trip(i, (uint8_t)(i * 5));
	end();
}
END_TEST

/* Offered: CSUM of the back end's 0x21, not its MAC bit but ours, with MTU and
 * STATUS. */
START_TEST(card)
{
	char mac[] = "52:54:00:12:34:56";
	const struct net_config n = { .vhost_user = true,
				      .socket = path,
				      .mac = mac,
				      .mtu = 0x5dc,
				      .num_queues = 2,
				      .queue_size = SIZE,
				      .offload_csum = true,
				      .vhost_mode = _i & 2 ? VHOST_SERVER
							   : VHOST_CLIENT };

	child_connects = n.vhost_mode == VHOST_SERVER;
	begin_as(_i & 1, "vhost-user-net", &n);
	ck_assert_uint_eq(drv_offered(&drv) & 0xffffff, 0x10029);
	ck_assert_uint_eq(config_byte(0), 0x52);
	ck_assert_uint_eq(config_byte(5), 0x56);
	ck_assert_uint_eq(config_byte(10), 0xdc);
	run();
	ck_assert_uint_eq(config_byte(6), 1);
	round_trip(0, 1);
	child_kill();
	ck_assert(BED_UNTIL(config_byte(6) == 0));
	child_start();
	round_trip(1, 2);
	ck_assert(BED_UNTIL(config_byte(6) == 1));
	end();
}
END_TEST

/* ---- our own card, served ------------------------------------------------ */

#define PACKET 200

static uint32_t wire_fds[2];
static int wire[2];
static char served_mac[] = "52:54:00:65:43:21";
static struct net_config served = { .mac = served_mac,
				    .fd = { wire_fds, 0 },
				    .queue_size = 2, /* a front end uses more */
				    .offload_csum = true,
				    .offload_tso = true };

static void serve_card(unsigned pairs)
{
	for (unsigned i = 0; i < pairs; i++) {
		int pair[2];

		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK,
					    0, pair),
				 0);
		wire_fds[i] = (uint32_t)pair[0];
		wire[i] = pair[1];
	}
	served.fd.count = pairs;
	served.num_queues = 2 * pairs;
	child_class = device_class_find("virtio-net");
	child_item = &served;
}

static void until_queue_used(unsigned q, uint16_t want)
{
	for (unsigned i = 0; i < 4000 && drv_used_idx(&drv, q) != want; i++) {
		bed_run(&bed, 1);
		usleep(1000);
	}
	ck_assert_uint_eq(drv_used_idx(&drv, q), want);
}

static ssize_t from_wire(unsigned pair, uint8_t *packet, size_t size)
{
	ssize_t got = -1;

	for (unsigned i = 0; i < 4000 && got < 0; i++) {
		bed_run(&bed, 1);
		got = recv(wire[pair], packet, size, MSG_DONTWAIT);
		if (got < 0)
			usleep(1000);
	}
	return got;
}

/* A packet from the guest to the wire of @pair, and one back. */
static void both_ways(unsigned pair, uint8_t seed)
{
	uint64_t at = DATA + pair * 0x2000ULL;
	uint16_t in = drv_used_idx(&drv, 2 * pair);
	uint16_t out = drv_used_idx(&drv, 2 * pair + 1);
	uint8_t sent[PACKET] = { 0 }, got[2 * PACKET] = { 0 };

	memset(sent + 12, seed, PACKET - 12);
	ram_write(&bed.ram, GPA(at), sent, PACKET);
	drv_add(&drv, 2 * pair + 1, at, PACKET, false);
	drv_kick(&drv, 2 * pair + 1);
	ck_assert_int_eq(from_wire(pair, got, sizeof(got)), PACKET);
	ck_assert_mem_eq(got, sent, PACKET);
	until_queue_used(2 * pair + 1, (uint16_t)(out + 1));

	drv_add(&drv, 2 * pair, at + 0x1000, 2048, true);
	drv_kick(&drv, 2 * pair);
	memset(sent + 12, seed + 1, PACKET - 12);
	ck_assert_int_eq(send(wire[pair], sent, PACKET, 0), PACKET);
	until_queue_used(2 * pair, (uint16_t)(in + 1));
	ram_read(&bed.ram, GPA(at + 0x1000), got, PACKET);
	sent[10] = 1; /* buffers */
	ck_assert_mem_eq(got, sent, PACKET);
}

static uint16_t ring_size = SIZE;

static void run_queues(uint64_t features, unsigned queues)
{
	if (!drv.mmio)
		drv_msix(&drv, queues + 1);
	ck_assert_uint_eq(drv_negotiate(&drv, FEATURES | features), 11);
	for (unsigned q = 0; q < queues; q++)
		drv_queue(&drv, q, ring_size, RING + q * 0x8000ULL);
	drv_go(&drv);
}

/* MAC address, MTU and status are the front end's; offloads both ends'. */
START_TEST(served_card)
{
	char mac[] = "52:54:00:12:34:56";
	const struct net_config n = { .vhost_user = true,
				      .socket = path,
				      .mac = mac,
				      .num_queues = 2,
				      .queue_size = SIZE,
				      .offload_csum = true };

	serve_card(1);
	begin_as(_i, "vhost-user-net", &n);
	ck_assert_uint_eq(drv_offered(&drv) & 0xffffff, 0x18023);
	ck_assert_uint_eq(config_byte(5), 0x56);
	run_queues(NET_F_CSUM | NET_F_GUEST_CSUM, 2);
	for (unsigned i = 0; i < 40; i++)
		both_ways(0, (uint8_t)i);
	child_kill();
	bed_run(&bed, 3);
	child_start();
	both_ways(0, 99);
	drv_set_status(&drv, 0);
	run_queues(0, 2);
	both_ways(0, 100);
	end();
}
END_TEST

/* Two pairs, also for who negotiates no MQ, its own configuration, and no
 * control queue. */
START_TEST(served_pairs)
{
	static uint32_t four[] = { SIZE, SIZE, SIZE, SIZE };
	static char net[] = "net";
	struct vhost_user_config k = { .device_type = net,
				       .socket = path,
				       .queue_sizes = { four, 4 } };

	serve_card(2);
	begin_as(_i, "generic-vhost-user", &k);
	ck_assert_uint_eq(drv_offered(&drv) & 0xffffff, 0x41bba3);
	ck_assert_uint_eq(config_byte(5), 0x21);
	ck_assert_uint_eq(config_byte(6), 1);
	ck_assert_uint_eq(config_byte(8), 2);
	run_queues(_i ? 1 << 22 : 0, 4);
	for (unsigned i = 0; i < 10; i++)
		both_ways(i & 1, (uint8_t)i);
	end();
}
END_TEST

#define COMMAND	   (BED_RAM_B + 0x8000)
#define MQ	   (NET_F_CTRL_VQ | NET_F_MQ)
#define CTRL_VQ_MQ 4 /* with MQ: behind the second pair */

/* Answer of the control queue @q to @bytes of @command. */
static uint8_t command(unsigned q, const uint8_t *raw, uint32_t bytes)
{
	const struct vbuf buf[] = { { COMMAND, bytes, 0 },
				    { COMMAND + 32, 1, D_WRITE } };
	uint16_t before = drv_used_idx(&drv, q);
	uint8_t ack = 77;

	ram_write(&bed.ram, GPA(COMMAND), raw, bytes);
	ram_write(&bed.ram, GPA(COMMAND + 32), &ack, 1);
	drv_chain(&drv, q, buf, 2);
	drv_kick(&drv, q);
	until_queue_used(q, (uint16_t)(before + 1));
	ram_read(&bed.ram, GPA(COMMAND + 32), &ack, 1);
	return ack;
}

static uint8_t use_pairs(unsigned q, uint8_t pairs)
{
	const uint8_t raw[] = { 4, 0, pairs, 0 };

	return command(q, raw, sizeof(raw));
}

/* The back end does not touch a pair that is not in use: the packet goes out
 * when it is. */
static void not_in_use(unsigned pair, unsigned ctrl)
{
	uint16_t out = drv_used_idx(&drv, 2 * pair + 1);
	uint8_t packet[PACKET] = { 0 };

	ram_write(&bed.ram, GPA(DATA), packet, PACKET);
	drv_add(&drv, 2 * pair + 1, DATA, PACKET, false);
	drv_kick(&drv, 2 * pair + 1);
	for (unsigned i = 0; i < 20; i++) {
		bed_run(&bed, 1);
		usleep(1000);
	}
	ck_assert_uint_eq(drv_used_idx(&drv, 2 * pair + 1), out);
	ck_assert_uint_eq(use_pairs(ctrl, 2), 0);
	ck_assert_int_eq(from_wire(pair, packet, sizeof(packet)), PACKET);
	until_queue_used(2 * pair + 1, (uint16_t)(out + 1));
}

static struct net_config two_pairs = {
	.vhost_user = true, .socket = path, .num_queues = 4, .queue_size = SIZE
};

static void begin_pairs(int transport)
{
	serve_card(2);
	begin_as(transport, "vhost-user-net", &two_pairs);
	ck_assert_uint_eq(drv_offered(&drv) & 0xffffff,
			  NET_F_MRG_RXBUF | NET_F_STATUS | MQ);
	ck_assert_uint_eq(config_byte(8), 2);
	ck_assert_uint_eq(config_byte(9), 0);
}

/* Two pairs and the control queue, which is ours; the back end that comes back
 * knows which pairs are in use. */
START_TEST(pairs)
{
	begin_pairs(_i);
	run_queues(MQ, 5);
	both_ways(0, 1);
	not_in_use(1, CTRL_VQ_MQ);
	for (unsigned i = 0; i < 20; i++)
		both_ways(i & 1, (uint8_t)i);
	child_kill();
	bed_run(&bed, 3);
	child_start();
	both_ways(1, 50);
	both_ways(0, 51);
	ck_assert_uint_eq(use_pairs(CTRL_VQ_MQ, 1), 0);
	both_ways(0, 52);
	not_in_use(1, CTRL_VQ_MQ);
	/* A driver that begins again begins with one. */
	drv_set_status(&drv, 0);
	run_queues(MQ, 5);
	both_ways(0, 53);
	not_in_use(1, CTRL_VQ_MQ);
	both_ways(1, 54);
	end();
}
END_TEST

/* The largest that Cloud Hypervisor has, though the back end is told of 2. */
START_TEST(large_rings)
{
	two_pairs.queue_size = ring_size = 1024;
	begin_pairs(_i);
	run_queues(MQ, 5);
	ck_assert_uint_eq(use_pairs(CTRL_VQ_MQ, 2), 0);
	for (unsigned i = 0; i < 40; i++)
		both_ways(i & 1, (uint8_t)i);
	child_kill();
	bed_run(&bed, 3);
	child_start();
	both_ways(1, 50);
	end();
}
END_TEST

/* While the back end is away the driver changes its mind. */
START_TEST(pairs_away)
{
	begin_pairs(_i);
	run_queues(MQ, 5);
	both_ways(0, 1);
	child_kill();
	bed_run(&bed, 3);
	ck_assert_uint_eq(use_pairs(CTRL_VQ_MQ, 2), 0);
	child_start();
	both_ways(1, 2);
	both_ways(0, 3);
	end();
}
END_TEST

/* Pairs in use outlive a pause and a saved state. */
START_TEST(pairs_saved)
{
	begin_pairs(_i);
	run_queues(MQ, 5);
	ck_assert_uint_eq(use_pairs(CTRL_VQ_MQ, 2), 0);
	both_ways(1, 1);
	dev->cls->pause(dev);
	dev->cls->resume(dev);
	both_ways(1, 2);
	bed_save_load(&bed, dev, 0, 0);
	if (!drv.mmio)
		drv_msix(&drv, 6);
	both_ways(1, 3);
	both_ways(0, 4);
	ck_assert_uint_eq(use_pairs(CTRL_VQ_MQ, 1), 0);
	end();
}
END_TEST

/* Sec. 5.1.2: without MQ the control queue is behind the first pair, and there
 * are no others. */
START_TEST(pairs_without_mq)
{
	begin_pairs(_i);
	run_queues(NET_F_CTRL_VQ, 3);
	both_ways(0, 1);
	ck_assert_uint_eq(use_pairs(2, 1), 1);
	ck_assert_uint_eq(use_pairs(2, 2), 1);
	both_ways(0, 2);
	drv_set_status(&drv, 0);
	run_queues(0, 2);
	both_ways(0, 3);
	/* MQ needs the queue that its command goes through. */
	drv_set_status(&drv, 0);
	ck_assert_uint_eq(drv_negotiate(&drv, FEATURES | NET_F_MQ), 3);
	end();
}
END_TEST

static const struct bad_command {
	const char *what;
	uint8_t raw[8];
	uint32_t bytes;
} bad_commands[] = {
	{ "no pair", { 4, 0, 0, 0 }, 4 },
	{ "three pairs", { 4, 0, 3, 0 }, 4 },
	{ "65535 pairs", { 4, 0, 0xff, 0xff }, 4 },
	{ "half a number", { 4, 0, 1 }, 3 },
	{ "too long", { 4, 0, 1, 0, 0 }, 5 },
	{ "RSS", { 4, 1, 1, 0 }, 4 },
	{ "receive mode", { 0, 0, 1 }, 3 },
	{ "announced", { 3, 0 }, 2 },
	{ "unknown class", { 200, 0, 1, 0 }, 4 },
	{ "half a command", { 4 }, 1 },
};

START_TEST(bad_pairs)
{
	const uint8_t one[] = { 4, 0, 1, 0 };

	begin_pairs(_i);
	run_queues(MQ, 5);
	for (size_t i = 0; i < ARRAY_SIZE(bad_commands); i++) {
		const struct bad_command *b = &bad_commands[i];

		ck_assert_msg(command(CTRL_VQ_MQ, b->raw, b->bytes) == 1, "%s",
			      b->what);
	}
	both_ways(0, 1);
	/* No room for an answer. */
	ram_write(&bed.ram, GPA(COMMAND), one, sizeof(one));
	drv_add(&drv, CTRL_VQ_MQ, COMMAND, sizeof(one), false);
	drv_kick(&drv, CTRL_VQ_MQ);
	until_queue_used(CTRL_VQ_MQ, ARRAY_SIZE(bad_commands) + 1);
	ck_assert(drv_status(&drv) & VIRTIO_NEEDS_RESET);
	drv_set_status(&drv, 0);
	run_queues(MQ, 5);
	both_ways(0, 2);
	end();
}
END_TEST

START_TEST(too_few_pairs)
{
	const struct net_config n = { .vhost_user = true,
				      .socket = path,
				      .num_queues = 6,
				      .queue_size = SIZE };
	struct diag d = DIAG_INIT;
	char text[1024];

	serve_card(_i ? 2 : 1);
	child_start();
	bed_shared(0);
	ck_assert_int_eq(device_new(&dev, device_class_find("vhost-user-net"),
				    "_net0", &n, &bed.env, NULL, &d),
			 -EINVAL);
	diag_format(&d, text, sizeof(text));
	ck_assert_msg(strstr(text, "--net _net0 num_queues=6: the back end at "
				   "/tmp/test-vu-") != NULL,
		      "%s", text);
	ck_assert_msg(strstr(text, _i ? " has 2 pairs of queues: give "
					"num_queues=4 at most"
				      : " has 1 pair of queues: give "
					"num_queues=2 at most") != NULL,
		      "%s", text);
	bed_close(&bed);
}
END_TEST

START_TEST(nobody_connects)
{
	const struct net_config n = { .vhost_user = true,
				      .socket = path,
				      .num_queues = 2,
				      .queue_size = SIZE,
				      .vhost_mode = VHOST_SERVER };
	struct diag d = DIAG_INIT;
	char text[1024];

	bed_shared(0);
	ck_assert_int_lt(device_new(&dev, device_class_find("vhost-user-net"),
				    "_net0", &n, &bed.env, NULL, &d),
			 0);
	diag_format(&d, text, sizeof(text));
	ck_assert_msg(strstr(text, "--net _net0: no vhost-user back end has "
				   "connected to socket=/tmp/test-vu-") != NULL,
		      "%s", text);
	ck_assert_str_eq(text + strlen(text) - 10, " after 5 s");
	ck_assert_int_lt(access(path, F_OK), 0);
	bed_close(&bed);
}
END_TEST

/* unix(7): sun_path has 108 bytes. */
START_TEST(path_too_long)
{
	char socket[110] = "";
	const struct net_config n = {
		.vhost_user = true,
		.socket = socket,
		.num_queues = 2,
		.queue_size = SIZE,
		.vhost_mode = _i ? VHOST_SERVER : VHOST_CLIENT,
	};
	struct diag d = DIAG_INIT;
	char text[1024], want[256];

	memset(socket, 'a', 108);
	bed_shared(0);
	ck_assert_int_lt(device_new(&dev, device_class_find("vhost-user-net"),
				    "_net0", &n, &bed.env, NULL, &d),
			 0);
	diag_format(&d, text, sizeof(text));
	snprintf(want, sizeof(want),
		 "--net _net0 socket=%s: longer than 107 bytes", socket);
	ck_assert_msg(strstr(text, want) != NULL, "%s", text);
	bed_close(&bed);
}
END_TEST

/* ---- what is refused ---------------------------------------------------- */

static void refused(const char *why)
{
	struct diag d = DIAG_INIT;
	char text[1024];

	ck_assert_int_lt(device_new(&dev,
				    device_class_find("generic-vhost-user"),
				    "_v", &item, &bed.env, NULL, &d),
			 0);
	diag_format(&d, text, sizeof(text));
	ck_assert_msg(strstr(text, why) != NULL, "%s", text);
	ck_assert_ptr_nonnull(strstr(text, "device_type=rng"));
}

START_TEST(nobody_listens)
{
	bed_shared(0);
	refused("no vhost-user back end listens at socket=/tmp/test-vu-");
	bed_close(&bed);
}
END_TEST

START_TEST(never_answers)
{
	struct unix_listener l = UNIX_LISTENER_INIT;

	ck_assert_int_eq(unix_listen(&l, "x", path, 1, NULL), 0);
	bed_shared(0);
	refused("does not answer GET_FEATURES within 10 s");
	bed_close(&bed);
	unix_unlisten(&l);
}
END_TEST

/* Twice what it takes: said when the machine is made, not ever after. */
START_TEST(too_large_rings)
{
	child_start();
	bed_shared(0);
	sizes[0] = 2 * VIRTIO_SERVED_QUEUE;
	refused("does not take rings of 2048 entries: give a smaller "
		"queue_size");
	bed_close(&bed);
}
END_TEST

START_TEST(too_few_queues)
{
	static uint32_t three[] = { 16, 16, 16 };
	static struct vhost_user_config more = { .device_type = type,
						 .socket = path,
						 .queue_sizes = { three, 3 } };

	child_start();
	bed_shared(0);
	item = more;
	refused("3 queues, and the back end at ");
	bed_close(&bed);
}
END_TEST

/* A file on hugetlbfs is mapped and unmapped in whole huge pages; one that is
 * lost is replaced. */
START_TEST(inflight_on_huge_pages)
{
	struct vu_inflight desc = { .mmap_size_bytes = 0x1000,
				    .queue_count = 1,
				    .queue_size = 8 };
	int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB);
	struct inflight fl = { 0 };
	struct diag why = DIAG_INIT;
	unsigned char in;
	uint8_t *at;
	int err;

	if (fd < 0) {
		printf("# no huge pages here: %s\n", strerror(errno));
		return;
	}
	ck_assert_int_eq(ftruncate(fd, MIB(2)), 0);
	err = inflight_map(&fl, &desc, fd, 1, false, &why);
	if (err == -ENOMEM) {
		printf("# no huge page is free here\n");
		close(fd);
		return;
	}
	ck_assert_msg(!err, "%s", why.text[0]);
	at = inflight_region(&fl, 0, 8, false);
	at[8] = 1;
	if (_i) {
		ck_assert_int_eq(ftruncate(fd, 0), 0);
		ck_assert_uint_eq(*(volatile uint8_t *)&at[8], 0);
	}
	inflight_release(&fl);
	ck_assert_int_eq(mincore(at, 1, &in), -1);
	close(fd);
}
END_TEST

START_TEST(private_memory)
{
	child_start();
	bed_open(&bed, TRANSPORT_PCI, false);
	refused("give --memory shared=on");
	bed_close(&bed);
}
END_TEST

static TCase *both_formats(bool packed)
{
	TCase *t = FORMAT_CASE("rings", packed);

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, works, 0, 2);
	tcase_add_loop_test(t, gone_at_once, 0, 2);
	tcase_add_test(t, called_at_the_end);
	tcase_add_loop_test(t, resets, 0, 2);
	tcase_add_loop_test(t, broken, 0, 2);
	tcase_add_loop_test(t, killed, 0, 2);
	tcase_add_loop_test(t, killed_often, 0, 2);
	tcase_add_loop_test(t, away, 0, 2);
	tcase_add_loop_test(t, queue_reset, 0, 2);
	tcase_add_loop_test(t, queue_reset_away, 0, 2);
	tcase_add_loop_test(t, silent, 0, 2);
	tcase_add_loop_test(t, silent_at_the_end, 0, 2);
	if (packed) {
		tcase_add_loop_test(t, place_unknown, 0, 2);
		tcase_add_loop_test(t, place_unknown_paused, 0, 2);
		tcase_add_loop_test(t, place_guessed, 0, 2);
	}
	tcase_add_loop_test(t, blocking, 0, 2);
	tcase_add_loop_test(t, paused, 0, 2);
	tcase_add_loop_test(t, saved, 0, 2);
	return t;
}

static Suite *suite(void)
{
	Suite *s = suite_create("vhost-user-device");
	TCase *t = tcase_create("devices");

	suite_add_tcase(s, both_formats(false));
	suite_add_tcase(s, both_formats(true));
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, disk, 0, 2);
	tcase_add_loop_test(t, card, 0, 4);
	tcase_add_loop_test(t, served_card, 0, 2);
	tcase_add_loop_test(t, served_pairs, 0, 2);
	tcase_add_loop_test(t, pairs, 0, 2);
	tcase_add_loop_test(t, large_rings, 0, 2);
	tcase_add_loop_test(t, pairs_away, 0, 2);
	tcase_add_loop_test(t, pairs_saved, 0, 2);
	tcase_add_loop_test(t, pairs_without_mq, 0, 2);
	tcase_add_loop_test(t, bad_pairs, 0, 2);
	tcase_add_loop_test(t, too_few_pairs, 0, 2);
	tcase_add_test(t, nobody_connects);
	tcase_add_loop_test(t, path_too_long, 0, 2);
	tcase_add_test(t, nobody_listens);
	tcase_add_test(t, never_answers);
	tcase_add_test(t, too_large_rings);
	tcase_add_test(t, too_few_queues);
	tcase_add_test(t, private_memory);
	tcase_add_loop_test(t, inflight_on_huge_pages, 0, 2);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	log_setup(open("/dev/null", O_WRONLY | O_CLOEXEC), LOG_ERROR);
	return suite_run(suite());
}
