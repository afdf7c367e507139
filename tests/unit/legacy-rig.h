/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: one device with fixed registers on a bench
 *
 * Two buses, an interrupt input that remembers its level and counts its rising
 * edges, a machine that counts requests, an event loop, and a serial line
 * whose other end the test holds. One test process has one rig.
 */
#ifndef TESTS_UNIT_LEGACY_RIG_H
#define TESTS_UNIT_LEGACY_RIG_H

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/pmem.h"

#include "devices/device.h"
#include "devices/legacy/legacy.h"
#include "patience.h"
#include "tests/unit/suite.h"

#define RIG_BASE 0x3f8

struct rig {
	struct bus *mmio, *pio;
	struct event_loop *loop;
	struct overlays overlays;
	struct device_env env;
	struct platform platform;
	struct irq_sink sink;
	uint32_t pin;
	bool level;
	unsigned edges;
	unsigned requests[3];
	int to_guest, from_guest;
	struct device *dev;
};

static struct rig rig;

static void rig_set(void *opaque, uint32_t pin, bool level)
{
	struct rig *r = opaque;

	ck_assert_uint_eq(pin, 5);
	r->edges += level && !r->level;
	r->level = level;
}

static void rig_request(void *machine, enum machine_request what)
{
	((struct rig *)machine)->requests[what]++;
}

/* Descriptors 0 and 1 become the guest's end of a serial line. */
static inline void rig_line(void)
{
	struct char_config cfg = { .mode = CHAR_TTY };
	struct diag d = DIAG_INIT;
	int in[2], out[2];

	ck_assert_int_eq(pipe2(in, O_CLOEXEC) | pipe2(out, O_CLOEXEC), 0);
	dup2(in[0], 0);
	dup2(out[1], 1);
	close(in[0]);
	close(out[1]);
	rig.to_guest = in[1];
	rig.from_guest = out[0];
	ck_assert_int_eq(
		chardev_new(&rig.env.serial, &cfg, "--serial", rig.loop, &d),
		0);
}

static inline void rig_open(void)
{
	struct diag d = DIAG_INIT;

	rig = (struct rig){ .to_guest = -1, .from_guest = -1 };
	rig.mmio = bus_new("MMIO", 0);
	rig.pio = bus_new("port", 0x10000);
	rig.loop = event_loop_new(&d);
	rig.sink = (struct irq_sink){ rig_set, &rig };
	rig.platform.ram[0] = (struct plat_range){ .size_bytes = GIB(3) };
	rig.platform.ram[1] =
		(struct plat_range){ .base = GIB(4), .size_bytes = GIB(5) };
	rig.platform.ram_count = 2;
	rig.env = (struct device_env){ .mmio = rig.mmio,
				       .pio = rig.pio,
				       .overlays = &rig.overlays,
				       .loop = rig.loop,
				       .platform = &rig.platform,
				       .request = rig_request,
				       .machine = &rig };
}

/* Create the device at RIG_BASE, wired to pin 5. */
static inline struct device *rig_make(const struct device_class *cls,
				      enum plat_bus bus)
{
	struct device_place place = { .bus = bus,
				      .base = RIG_BASE,
				      .wire = { &rig.sink, 5 } };
	struct diag d = DIAG_INIT;
	struct device *dev = calloc(1, cls->size_bytes);

	ck_assert_ptr_nonnull(dev);
	dev->cls = cls;
	dev->env = &rig.env;
	ck_assert_int_eq(cls->realize(dev, &place, &d), 0);
	if (cls->reset)
		cls->reset(dev);
	return dev;
}

static inline void rig_drop(struct device *dev)
{
	if (dev->cls->unrealize)
		dev->cls->unrealize(dev);
	free(dev);
}

static inline void rig_close(void)
{
	if (rig.dev)
		rig_drop(rig.dev);
	chardev_free(rig.env.serial);
	event_loop_free(rig.loop);
	bus_free(rig.pio);
	bus_free(rig.mmio);
	platform_release(&rig.platform);
}

static inline void rig_run_ms(unsigned ms)
{
	loop_run_ms(rig.loop, ms);
}

/* Run until @cond holds; it must. */
#define RIG_UNTIL(cond) ck_assert(LOOP_UNTIL(rig.loop, cond))

/* Somebody types @text at the other end. */
static inline void rig_type(const char *text)
{
	ck_assert_int_eq(write(rig.to_guest, text, strlen(text)),
			 (int)strlen(text));
	rig_run_ms(10);
}

/* What the guest sent to the other end. */
static inline const char *rig_output(void)
{
	static char buf[65536];
	struct pollfd p = { .fd = rig.from_guest, .events = POLLIN };
	ssize_t n = 0;

	rig_run_ms(20);
	if (poll(&p, 1, 0) > 0)
		n = read(rig.from_guest, buf, sizeof(buf) - 1);
	buf[n > 0 ? n : 0] = 0;
	return buf;
}

static inline uint64_t rd(unsigned offset, unsigned size)
{
	return bus_read(rig.dev->env->pio, RIG_BASE + offset, size);
}

static inline void wr(unsigned offset, unsigned size, uint64_t value)
{
	bus_write(rig.dev->env->pio, RIG_BASE + offset, size, value);
}

static inline uint64_t rdm(unsigned offset, unsigned size)
{
	return bus_read(rig.dev->env->mmio, RIG_BASE + offset, size);
}

static inline void wrm(unsigned offset, unsigned size, uint64_t value)
{
	bus_write(rig.dev->env->mmio, RIG_BASE + offset, size, value);
}

/* Save the device, make it a fresh one, load. @ticks: its state holds a clock,
 * so saving again need not give the same bytes. */
static inline void rig_round_trip(enum plat_bus bus, bool ticks)
{
	const struct device_class *cls = rig.dev->cls;
	struct stream_out out, again;
	struct stream_in in;
	struct diag d = DIAG_INIT;

	stream_out_init(&out);
	stream_out_init(&again);
	cls->save(rig.dev, &out);
	ck_assert(!out.failed);
	rig_drop(rig.dev);
	rig.level = false;
	rig.dev = rig_make(cls, bus);
	stream_in_init(&in, out.data, out.len);
	ck_assert_int_eq(cls->load(rig.dev, &in, &d), 0);
	ck_assert_int_eq(stream_in_done(&in), 0);
	cls->save(rig.dev, &again);
	ck_assert_uint_eq(again.len, out.len);
	if (!ticks)
		ck_assert_mem_eq(again.data, out.data, out.len);
	stream_out_release(&out);
	stream_out_release(&again);
}

/* Let a clock go on by @sec seconds at once: in its saved state, the
 * @size bytes at @at are its offset in seconds. */
static inline void rig_advance(size_t at, size_t size, int64_t sec)
{
	struct stream_out out;
	struct stream_in in;
	struct diag d = DIAG_INIT;
	uint64_t offset = 0;

	stream_out_init(&out);
	rig.dev->cls->save(rig.dev, &out);
	memcpy(&offset, out.data + at, size);
	offset += (uint64_t)sec;
	memcpy(out.data + at, &offset, size);
	stream_in_init(&in, out.data, out.len);
	ck_assert_int_eq(rig.dev->cls->load(rig.dev, &in, &d), 0);
	stream_out_release(&out);
}

/*
 * Every cut and many corruptions of the saved state: load must refuse it or
 * take it, never harm us; after a refusal the device must save as it did.
 */
static inline void rig_hostile_state(void)
{
	const struct device_class *cls = rig.dev->cls;
	struct stream_out good, now;
	struct stream_in in;
	struct diag d;

	stream_out_init(&good);
	cls->save(rig.dev, &good);
	for (size_t i = 0; i < good.len * 9; i++) {
		uint8_t *bad = malloc(good.len);
		bool cut = i >= good.len * 8;

		memcpy(bad, good.data, good.len);
		if (!cut)
			bad[i / 8] ^= (uint8_t)(1 << i % 8);
		stream_in_init(&in, bad, cut ? i - good.len * 8 : good.len);
		d = DIAG_INIT;
		cls->reset(rig.dev);
		stream_out_init(&now);
		if (cls->load(rig.dev, &in, &d))
			ck_assert_uint_ge(d.depth, 1);
		else
			ck_assert(!cut);
		cls->save(rig.dev, &now);
		ck_assert(!now.failed);
		stream_out_release(&now);
		free(bad);
	}
	stream_out_release(&good);
}

/* Any access of any width at any place, deterministic. */
static inline void rig_hostile_access(struct bus *bus, unsigned span,
				      unsigned rounds)
{
	uint32_t x = 1;

	for (unsigned i = 0; i < rounds; i++) {
		x = x * 1664525 + 1013904223;
		unsigned size = 1u << (x >> 13) % 4;
		uint64_t at = RIG_BASE + (x >> 16) % span;

		if (x & 0x100)
			bus_write(bus, at, size, x * 0x9e3779b97f4a7c15ull);
		else
			bus_read(bus, at, size);
	}
}

/* A device that writes to a page which is not RAM (vmm/pmem.h). */
static struct guest_ram rig_ram;

static inline void rig_open_page(const struct vm_config *config,
				 const struct device_class *cls)
{
	struct diag d = DIAG_INIT;

	rig_open();
	rig.platform.pa_bits = 40;
	ram_init(&rig_ram);
	ck_assert_int_eq(pmem_place(&rig.platform, &rig_ram, config, &d), 0);
	rig.env.ram = &rig_ram;
	rig.dev = rig_make(cls, PLAT_MMIO);
}

static inline void rig_close_page(void)
{
	rig_close();
	ram_release(&rig_ram);
}

/* What the guest sees of it. */
static inline const uint8_t *rig_page(const struct plat_range *at, uint8_t *buf,
				      size_t len)
{
	memset(buf, 0, len);
	ck_assert(ram_read(&rig_ram, GPA(at->base), buf, len));
	return buf;
}

#endif
