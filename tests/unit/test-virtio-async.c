/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: virtio devices with requests in flight, on threads of their own, and
 * with offloaded queues
 *
 * "lazy" keeps every request until a timer of the queue's I/O thread ends, so
 * whatever stops a queue meets requests in flight. "proxy" offloads its queues
 * to the test.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "vmm/iothread.h"

#include "suite.h"
#include "virtio-driver.h"

#define RING0	 (BED_RAM_A + 0x1000)
#define RING1	 (BED_RAM_B + 0x1000)
#define DATA	 (BED_RAM_B + 0x10000)
#define SLOW_NS	 (5 * 1000000ULL)
#define QUEUES	 2
#define KEPT_MAX 16

/* ---- lazy -------------------------------------------------------------- */

struct lazy_queue {
	struct iothread *thread;
	struct event_timer timer;
	struct virtq_chain kept[KEPT_MAX];
	unsigned kept_count, served, in_flight;
	pthread_cond_t idle;
};

struct lazy {
	struct virtio_device vd;
	struct lazy_queue q[QUEUES];
	unsigned started[QUEUES], stopped[QUEUES];
};

static struct lazy *lazy_of(struct virtio_device *vd)
{
	return container_of(vd, struct lazy, vd);
}

static void lazy_notify(struct virtio_device *vd, unsigned queue)
{
	struct lazy_queue *q = &lazy_of(vd)->q[queue];
	struct virtq_chain c;

	while (q->kept_count < KEPT_MAX && virtio_pop(vd, queue, &c))
		q->kept[q->kept_count++] = c;
	q->in_flight = q->kept_count;
	event_timer_set(&q->timer, SLOW_NS, 0);
}

static void lazy_done(struct lazy *lazy, unsigned queue)
{
	struct lazy_queue *q = &lazy->q[queue];

	virtio_queue_lock(&lazy->vd, queue);
	q->served += q->kept_count;
	while (q->kept_count)
		virtio_push(&lazy->vd, queue, &q->kept[--q->kept_count], 1);
	virtio_done(&lazy->vd, queue);
	q->in_flight = 0;
	pthread_cond_broadcast(&q->idle);
	virtio_queue_unlock(&lazy->vd, queue);
}

static void lazy_done0(void *opaque)
{
	lazy_done(opaque, 0);
}

static void lazy_done1(void *opaque)
{
	lazy_done(opaque, 1);
}

static struct event_loop *lazy_loop(struct virtio_device *vd, unsigned queue)
{
	return iothread_loop(lazy_of(vd)->q[queue].thread);
}

static int lazy_realize(struct virtio_device *vd, struct diag *d)
{
	static void (*const done[])(void *) = { lazy_done0, lazy_done1 };
	struct lazy *lazy = lazy_of(vd);

	for (unsigned i = 0; i < QUEUES; i++) {
		struct lazy_queue *q = &lazy->q[i];
		char name[16];

		snprintf(name, sizeof(name), "_lazy_q%u", i);
		ck_assert_int_eq(iothread_new(&q->thread, name, NULL, d), 0);
		pthread_cond_init(&q->idle, NULL);
		ck_assert_int_eq(event_timer_init(&q->timer, lazy_loop(vd, i),
						  done[i], lazy),
				 0);
	}
	return 0;
}

static void lazy_halt(struct virtio_device *vd)
{
	for (unsigned i = 0; i < QUEUES; i++)
		iothread_stop(lazy_of(vd)->q[i].thread);
}

static void lazy_unrealize(struct virtio_device *vd)
{
	for (unsigned i = 0; i < QUEUES; i++) {
		event_timer_release(&lazy_of(vd)->q[i].timer);
		iothread_free(lazy_of(vd)->q[i].thread);
	}
}

static void lazy_start(struct virtio_device *vd, unsigned queue)
{
	lazy_of(vd)->started[queue]++;
}

static void lazy_stop(struct virtio_device *vd, unsigned queue)
{
	struct lazy_queue *q = &lazy_of(vd)->q[queue];

	virtio_queue_lock(vd, queue);
	while (q->in_flight)
		pthread_cond_wait(&q->idle, &vd->queue[queue].lock);
	virtio_queue_unlock(vd, queue);
	lazy_of(vd)->stopped[queue]++;
}

static const struct virtio_class lazy_virtio = {
	.id = 42,
	.pci_class = 0xff0000,
	.queue_count = QUEUES,
	.queue_size = 16,
	.parallel = true,
	.realize = lazy_realize,
	.unrealize = lazy_unrealize,
	.loop = lazy_loop,
	.halt = lazy_halt,
	.notify = lazy_notify,
	.start = lazy_start,
	.stop = lazy_stop,
};

static const struct device_class lazy_class = {
	.name = "lazy",
	.size_bytes = sizeof(struct lazy),
	.data = &lazy_virtio,
	VIRTIO_DEVICE_CLASS,
};

/* ---- proxy ------------------------------------------------------------- */

struct proxy {
	struct virtio_device vd;
	int call[QUEUES];
	unsigned started, stopped, changed;
};

static struct proxy *proxy_of(struct virtio_device *vd)
{
	return container_of(vd, struct proxy, vd);
}

static void proxy_start(struct virtio_device *vd, unsigned queue)
{
	proxy_of(vd)->call[queue] = virtio_call_fd(vd, queue);
	proxy_of(vd)->started++;
}

static void proxy_stop(struct virtio_device *vd, unsigned queue)
{
	(void)queue;
	proxy_of(vd)->stopped++;
}

static void proxy_call_changed(struct virtio_device *vd, unsigned queue)
{
	proxy_of(vd)->call[queue] = virtio_call_fd(vd, queue);
	proxy_of(vd)->changed++;
}

static uint64_t proxy_limit(struct virtio_device *vd)
{
	(void)vd;
	return VIRTIO_F_VERSION_1 | VIRTIO_F_EVENT_IDX;
}

static const struct virtio_class proxy_virtio = {
	.id = 42,
	.pci_class = 0xff0000,
	.queue_count = QUEUES,
	.queue_size = 16,
	.offload = true,
	.limit = proxy_limit,
	.start = proxy_start,
	.stop = proxy_stop,
	.call_changed = proxy_call_changed,
};

static const struct device_class proxy_class = {
	.name = "proxy",
	.size_bytes = sizeof(struct proxy),
	.data = &proxy_virtio,
	VIRTIO_DEVICE_CLASS,
};

/* ---- fixture ----------------------------------------------------------- */

static struct bed bed;
static struct device *dev;
static struct lazy *lazy;
static struct proxy *proxy;
static struct drv drv;

static void begin(const struct device_class *cls, int mmio)
{
	struct diag d = DIAG_INIT;

	memset(&bed, 0, sizeof(bed));
	bed_open(&bed, mmio ? TRANSPORT_MMIO : TRANSPORT_PCI, true);
	ck_assert_int_eq(device_new(&dev, cls, "_x", NULL, &bed.env, NULL, &d),
			 0);
	dev->cls->reset(dev);
	lazy = container_of(dev, struct lazy, vd.dev);
	proxy = container_of(dev, struct proxy, vd.dev);
	drv_find(&drv, &bed, dev, mmio ? 0 : 1);
}

static void end(void)
{
	device_free(dev);
	bed_close(&bed);
}

static void run(void)
{
	if (!drv.mmio)
		drv_msix(&drv, 3);
	drv_negotiate(&drv, drv_offered(&drv) &
				    (VIRTIO_F_VERSION_1 | VIRTIO_F_RING_RESET));
	drv_queue(&drv, 0, 16, RING0);
	drv_queue(&drv, 1, 16, RING1);
	drv_go(&drv);
	ck_assert_uint_eq(drv_status(&drv), 15);
}

/* @count requests on queue @q, and wait until all of them are in flight. */
static void launch(unsigned q, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		drv_add(&drv, q, DATA + i * 64, 64, true);
	drv_kick(&drv, q);
	for (;;) {
		unsigned seen;

		virtio_queue_lock(&lazy->vd, q);
		seen = lazy->q[q].in_flight + lazy->q[q].served;
		virtio_queue_unlock(&lazy->vd, q);
		if (seen)
			return;
		usleep(100);
	}
}

static void wait_served(unsigned q, unsigned count)
{
	unsigned served = 0;

	while (served < count) {
		usleep(100);
		virtio_queue_lock(&lazy->vd, q);
		served = lazy->q[q].served;
		virtio_queue_unlock(&lazy->vd, q);
	}
}

/* ---- requests in flight ------------------------------------------------ */

START_TEST(queues_work_on_their_threads)
{
	begin(&lazy_class, _i);
	run();
	launch(0, 3);
	launch(1, 5);
	wait_served(0, 3);
	wait_served(1, 5);
	ck_assert_uint_eq(drv_used_idx(&drv, 0), 3);
	ck_assert_uint_eq(drv_used_idx(&drv, 1), 5);
	ck_assert_uint_ge(drv_interrupts(&drv, 0), 1);
	end();
}
END_TEST

/* What stops a queue waits for what is in flight, and nothing follows. */
static void reset_device(void)
{
	drv_set_status(&drv, 0);
}

static void reset_ring(void)
{
	drv_ring_reset(&drv, 0);
}

static void power_cycle(void)
{
	dev->cls->reset(dev);
}

static void pause_device(void)
{
	dev->cls->pause(dev);
}

static void (*const stops[])(void) = { reset_device, reset_ring, power_cycle,
				       pause_device };

START_TEST(stop_waits_for_requests_in_flight)
{
	uint8_t seen;

	begin(&lazy_class, _i & 1);
	run();
	launch(0, 4);
	stops[_i / 2]();
	ck_assert_uint_eq(lazy->q[0].served, 4);
	ck_assert_uint_eq(lazy->stopped[0], 1);
	ck_assert_uint_eq(lazy->stopped[1], stops[_i / 2] != reset_ring);
	ram_fill(&bed.ram, GPA(DATA), 0x5a, 256);
	drv_kick(&drv, 0);
	usleep(2 * SLOW_NS / 1000);
	ck_assert_uint_eq(lazy->q[0].served, 4);
	ck_assert(ram_read(&bed.ram, GPA(DATA), &seen, 1));
	ck_assert_uint_eq(seen, 0x5a);
	end();
}
END_TEST

START_TEST(unrealize_with_requests_in_flight)
{
	begin(&lazy_class, _i);
	run();
	launch(0, 4);
	launch(1, 4);
	end();
}
END_TEST

/* Requests that came while the device was paused are served afterwards. */
START_TEST(pause_save_load_resume)
{
	struct stream_out out;
	struct stream_in in;
	struct diag d = DIAG_INIT;

	begin(&lazy_class, _i);
	run();
	launch(0, 2);
	dev->cls->pause(dev);
	ck_assert_uint_eq(drv_used_idx(&drv, 0), 2);
	drv_add(&drv, 0, DATA, 64, true);
	drv_kick(&drv, 0);
	stream_out_init(&out);
	dev->cls->save(dev, &out);
	usleep(2 * SLOW_NS / 1000);
	ck_assert_uint_eq(lazy->q[0].served, 2);
	dev->cls->resume(dev);
	wait_served(0, 3);
	ck_assert_uint_eq(drv_used_idx(&drv, 0), 3);

	/* The copy goes on from where the original was saved. */
	dev->cls->reset(dev);
	lazy->q[0].served = 0;
	stream_in_init(&in, out.data, out.len);
	ck_assert_int_eq(dev->cls->load(dev, &in, &d), 0);
	wait_served(0, 1);
	ck_assert_uint_eq(drv_used_idx(&drv, 0), 3);
	stream_out_release(&out);
	end();
}
END_TEST

START_TEST(ring_reset_and_again)
{
	begin(&lazy_class, _i);
	run();
	launch(0, 4);
	reset_ring();
	drv_queue(&drv, 0, 16, RING0);
	lazy->q[0].served = 0;
	launch(0, 1);
	wait_served(0, 1);
	ck_assert_uint_eq(lazy->started[0], 2);
	end();
}
END_TEST

/* ---- offloaded queues -------------------------------------------------- */

static void signal_fd(int fd)
{
	uint64_t one = 1;

	ck_assert_int_eq(write(fd, &one, sizeof(one)), sizeof(one));
}

START_TEST(offload_gets_kicks_and_interrupts)
{
	uint64_t count = 0;

	begin(&proxy_class, _i);
	run();
	ck_assert_uint_eq(proxy->started, 2);
	ck_assert_int_eq(read(proxy->vd.queue[1].kick.fd, &count, 8), 8);
	drv_kick(&drv, 1);
	ck_assert_int_eq(read(proxy->vd.queue[1].kick.fd, &count, 8), 8);
	signal_fd(proxy->call[1]);
	if (drv.mmio)
		bed_run(&bed, 2);
	ck_assert_uint_eq(drv_interrupts(&drv, 1), 1);
	drv_set_status(&drv, 0);
	ck_assert_uint_eq(proxy->stopped, 2);
	end();
}
END_TEST

/* An interrupt that was asked for is made before a pause, and not any more
 * after a reset. */
START_TEST(offload_forgets_interrupts)
{
	begin(&proxy_class, 1);
	run();
	signal_fd(proxy->call[1]);
	dev->cls->pause(dev);
	ck_assert_uint_eq(drv_interrupts(&drv, 1), 1);
	bed_run(&bed, 2);
	ck_assert_uint_eq(drv_interrupts(&drv, 1), 0);
	dev->cls->resume(dev);
	signal_fd(proxy->call[1]);
	drv_set_status(&drv, 0);
	bed_run(&bed, 2);
	ck_assert_uint_eq(drv_interrupts(&drv, 1), 0);
	signal_fd(proxy->call[1]); /* as late as that */
	bed_run(&bed, 2);
	ck_assert_uint_eq(drv_interrupts(&drv, 1), 0);
	end();
}
END_TEST

/* Who was sent our eventfds makes them such that one waits for them. */
START_TEST(offload_never_waits)
{
	struct virtio_queue *q;
	uint64_t count, most = UINT64_MAX - 1;

	begin(&proxy_class, _i);
	run();
	q = &proxy->vd.queue[1];
	ck_assert_int_eq(fcntl(proxy->call[1], F_SETFL, 0), 0);
	ck_assert_int_eq(fcntl(q->kick.fd, F_SETFL, 0), 0);
	dev->cls->pause(dev);
	dev->cls->resume(dev);
	drv_set_status(&drv, 0);
	dev->cls->reset(dev);
	ck_assert_int_eq(read(q->kick.fd, &count, 8), 8);
	ck_assert_int_eq(write(q->kick.fd, &most, 8), 8);
	virtio_kick(&proxy->vd, 1);
	ck_assert_int_eq(read(q->kick.fd, &count, 8), 8);
	ck_assert(count == most);
	end();
}
END_TEST

/* MSI-X: the vector's own eventfd; without it one that raises INTA. */
START_TEST(offload_follows_msix)
{
	unsigned cap;

	begin(&proxy_class, 0);
	run();
	cap = cfg_cap(&bed, 1, PCI_CAP_MSIX, 0);
	signal_fd(proxy->call[0]);
	ck_assert_uint_eq(drv_interrupts(&drv, 0), 1);
	cfg_put(&bed, 1, cap + 2, 2, 0);
	ck_assert_uint_eq(proxy->changed, 2);
	signal_fd(proxy->call[0]);
	bed_run(&bed, 2);
	ck_assert_uint_eq(drv_get(&drv, 0x1000, 1), 1);
	drv_select(&drv, 0);
	drv_put(&drv, 0x1a, 2, VIRTIO_NO_VECTOR);
	ck_assert_uint_eq(proxy->changed, 3);
	end();
}
END_TEST

START_TEST(offload_limits_features)
{
	begin(&proxy_class, _i);
	ck_assert_uint_eq(drv_offered(&drv),
			  VIRTIO_F_VERSION_1 | VIRTIO_F_EVENT_IDX);
	end();
}
END_TEST

static uint64_t offered_with(bool access_platform)
{
	struct diag d = DIAG_INIT;
	uint64_t offered;

	memset(&bed, 0, sizeof(bed));
	bed_open(&bed, TRANSPORT_PCI, true);
	bed.config.platform.access_platform = access_platform;
	ck_assert_int_eq(
		device_new(&dev, &lazy_class, "_x", NULL, &bed.env, NULL, &d),
		0);
	offered = container_of(dev, struct virtio_device, dev)->offered;
	end();
	return offered;
}

START_TEST(access_platform_on_request)
{
	ck_assert(!(offered_with(false) & VIRTIO_F_ACCESS_PLATFORM));
	ck_assert(offered_with(true) & VIRTIO_F_ACCESS_PLATFORM);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("virtio-async");
	TCase *t = tcase_create("in flight");

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, queues_work_on_their_threads, 0, 2);
	tcase_add_loop_test(t, stop_waits_for_requests_in_flight, 0,
			    2 * ARRAY_SIZE(stops));
	tcase_add_loop_test(t, unrealize_with_requests_in_flight, 0, 2);
	tcase_add_loop_test(t, pause_save_load_resume, 0, 2);
	tcase_add_loop_test(t, ring_reset_and_again, 0, 2);
	suite_add_tcase(s, t);
	t = tcase_create("offload");
	tcase_add_loop_test(t, offload_gets_kicks_and_interrupts, 0, 2);
	tcase_add_test(t, offload_follows_msix);
	tcase_add_test(t, offload_forgets_interrupts);
	tcase_add_loop_test(t, offload_never_waits, 0, 2);
	tcase_add_loop_test(t, offload_limits_features, 0, 2);
	tcase_add_test(t, access_platform_on_request);
	suite_add_tcase(s, t);
	return suite_run(s);
}
