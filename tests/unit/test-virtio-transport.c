/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: tests of virtio.c, pci.c and mmio.c: registers, status, queues, kicks
 *
 * Most tests run eight times: over PCI and MMIO, with and without a hypervisor
 * that takes doorbells, with both ring formats. The device is one made for
 * this: it gives each buffer back with its length and counts its hooks.
 */
#include <check.h>
#include <errno.h>

#include "vmm/base/log.h"

#include "formats.h"
#include "tests/unit/suite.h"
#include "virtio-driver.h"

#define RING0 BED_RAM_A
#define RING1 BED_RAM_B
#define DATA  (BED_RAM_A + 0x10000)
#define ALL                                                                 \
	(VIRTIO_F_VERSION_1 | VIRTIO_F_EVENT_IDX | VIRTIO_F_INDIRECT_DESC | \
	 VIRTIO_F_RING_RESET)
#define TOY_FEATURE (1ULL << 5)
#define TOY_REFUSED (1ULL << 6) /* offered, but not together with 5 */
#define OFFERED	    (ALL | VIRTIO_F_RING_PACKED | TOY_FEATURE)

/* ---- the device -------------------------------------------------------- */

struct toy {
	struct virtio_device vd;
	unsigned resets, notified[2], served;
	uint64_t features;
	uint8_t config[20];
};

static struct toy *toy_of(struct virtio_device *vd)
{
	return container_of(vd, struct toy, vd);
}

static void toy_reset(struct virtio_device *vd)
{
	toy_of(vd)->resets++;
	toy_of(vd)->features = 0;
}

static uint64_t toy_features(struct virtio_device *vd)
{
	(void)vd;
	return TOY_FEATURE | TOY_REFUSED;
}

static bool toy_set_features(struct virtio_device *vd, uint64_t features)
{
	if ((features & TOY_FEATURE) && (features & TOY_REFUSED))
		return false;
	toy_of(vd)->features = features;
	return true;
}

static void toy_get_config(struct virtio_device *vd, uint8_t *config)
{
	memcpy(config, toy_of(vd)->config, sizeof(toy_of(vd)->config));
}

static void toy_set_config(struct virtio_device *vd, unsigned offset,
			   const uint8_t *data, unsigned len)
{
	ck_assert_uint_le(offset + len, sizeof(toy_of(vd)->config));
	memcpy(toy_of(vd)->config + offset, data, len);
}

static void toy_notify(struct virtio_device *vd, unsigned queue)
{
	struct toy *toy = toy_of(vd);
	struct virtq_chain c;
	unsigned taken = 0;

	toy->notified[queue]++;
	while (virtio_more(vd, queue, &taken) && virtio_pop(vd, queue, &c)) {
		virtio_push(vd, queue, &c, (uint32_t)c.in_bytes);
		toy->served++;
	}
	virtio_done(vd, queue);
}

static const struct virtio_class toy_virtio = {
	.id = 42,
	.pci_class = 0xff0000,
	.queue_count = 2,
	.queue_size = 256,
	.config_bytes = 20,
	.reset = toy_reset,
	.get_features = toy_features,
	.set_features = toy_set_features,
	.get_config = toy_get_config,
	.set_config = toy_set_config,
	.notify = toy_notify,
};

static const struct device_class toy_class = {
	.name = "toy",
	.size_bytes = sizeof(struct toy),
	.data = &toy_virtio,
	VIRTIO_DEVICE_CLASS,
};

/* ---- fixture ----------------------------------------------------------- */

static struct bed bed;
static struct device *dev;
static struct toy *toy;
static struct drv drv;

/* @i: bit 0 MMIO, bit 1 with a hypervisor. */
static void begin(int i)
{
	struct diag d = DIAG_INIT;

	memset(&bed, 0, sizeof(bed));
	bed_open(&bed, i & 1 ? TRANSPORT_MMIO : TRANSPORT_PCI, i & 2);
	ck_assert_int_eq(
		device_new(&dev, &toy_class, "_toy", NULL, &bed.env, NULL, &d),
		0);
	dev->cls->reset(dev);
	toy = container_of(dev, struct toy, vd.dev);
	drv_find(&drv, &bed, dev, i & 1 ? 0 : 1);
}

static void end(void)
{
	device_free(dev);
	ck_assert_uint_eq(bed.vm.doorbells, 0);
	bed_close(&bed);
}

/* Return: the status then. */
static uint8_t negotiate(uint64_t features)
{
	return drv_negotiate(&drv, features | format);
}

/* A driver that runs both queues. */
static void run(uint64_t features)
{
	if (!drv.mmio)
		drv_msix(&drv, 3);
	ck_assert_uint_eq(negotiate(features) & VIRTIO_FEATURES_OK,
			  VIRTIO_FEATURES_OK);
	drv_queue(&drv, 0, 16, RING0);
	drv_queue(&drv, 1, 16, RING1);
	drv_go(&drv);
	ck_assert_uint_eq(drv_status(&drv), 15);
	bed_run(&bed, 4); /* the first look at each queue */
	drv_interrupts(&drv, 0);
	drv_interrupts(&drv, 1);
}

/* One request served, and the driver told. */
static void ck_serves(unsigned q)
{
	uint32_t head, len;
	uint16_t want = drv_add(&drv, q, DATA, 100, true);

	drv_kick(&drv, q);
	bed_run(&bed, 4);
	ck_assert(drv_take(&drv, q, &head, &len));
	ck_assert_uint_eq(head, want);
	ck_assert_uint_eq(len, 100);
}

/* ---- identity ---------------------------------------------------------- */

START_TEST(identity_mmio)
{
	begin(1);
	ck_assert_uint_eq(drv_get(&drv, 0x00, 4), 0x74726976);
	ck_assert_uint_eq(drv_get(&drv, 0x04, 4), 2);
	ck_assert_uint_eq(drv_get(&drv, 0x08, 4), 42);
	ck_assert_uint_eq(drv_get(&drv, 0x0c, 4), 0x1af4);
	ck_assert_uint_eq(drv_get(&drv, 0xb0, 4), UINT32_MAX);
	drv_put(&drv, 0x30, 4, 1);
	ck_assert_uint_eq(drv_get(&drv, 0x34, 4), 256);
	drv_put(&drv, 0x30, 4, 2); /* no such queue */
	ck_assert_uint_eq(drv_get(&drv, 0x34, 4), 0);
	drv_put(&drv, 0x30, 4, UINT32_MAX);
	ck_assert_uint_eq(drv_get(&drv, 0x34, 4), 0);
	end();
}
END_TEST

START_TEST(identity_pci)
{
	begin(0);
	ck_assert_uint_eq(cfg_get(&bed, 1, 2, 2), 0x1040 + 42);
	ck_assert_uint_eq(drv_get(&drv, 0x12, 2), 2);
	for (uint16_t q = 0; q < 2; q++) {
		drv_select(&drv, q);
		ck_assert_uint_eq(drv_get(&drv, 0x18, 2), 256);
		ck_assert_uint_eq(drv_get(&drv, 0x1e, 2), q);
		ck_assert_uint_eq(drv_get(&drv, 0x1a, 2), VIRTIO_NO_VECTOR);
	}
	drv_select(&drv, 2);
	ck_assert_uint_eq(drv_get(&drv, 0x18, 2), 0);
	end();
}
END_TEST

/* VIRTIO 1.3 sec. 4.1.4: what each capability says. */
START_TEST(pci_capabilities)
{
	static const struct {
		uint8_t type, len;
		uint32_t offset, length;
	} want[] = {
		{ 1, 16, 0x0000, 64 }, { 2, 20, 0x3000, 8 },
		{ 3, 16, 0x1000, 1 },  { 4, 16, 0x2000, 20 },
		{ 5, 20, 0, 0 },
	};

	begin(0);
	for (unsigned i = 0; i < ARRAY_SIZE(want); i++) {
		unsigned at = cfg_cap(&bed, 1, PCI_CAP_VENDOR, i);

		ck_assert_uint_eq(cfg_get(&bed, 1, at + 2, 1), want[i].len);
		ck_assert_uint_eq(cfg_get(&bed, 1, at + 3, 1), want[i].type);
		ck_assert_uint_eq(cfg_get(&bed, 1, at + 4, 1), 0);
		ck_assert_uint_eq(cfg_get(&bed, 1, at + 8, 4), want[i].offset);
		ck_assert_uint_eq(cfg_get(&bed, 1, at + 12, 4), want[i].length);
	}
	ck_assert_uint_eq(
		cfg_get(&bed, 1, cfg_cap(&bed, 1, PCI_CAP_VENDOR, 1) + 16, 4),
		4);
	end();
}
END_TEST

/* ---- status and features ----------------------------------------------- */

START_TEST(features_negotiate)
{
	begin(_i);
	ck_assert_uint_eq(drv_offered(&drv), OFFERED | TOY_REFUSED);
	ck_assert_uint_eq(drv_negotiate(&drv, ALL | TOY_FEATURE), 11);
	ck_assert_uint_eq(toy->features, ALL | TOY_FEATURE);
	/* Final from now on. */
	drv_accept(&drv, 0);
	ck_assert_uint_eq(toy->vd.features, ALL | TOY_FEATURE);
	ck_assert_uint_gt(atomic_load(&toy->vd.misuse), 0);
	drv_set_status(&drv, 0);
	ck_assert_uint_eq(drv_status(&drv), 0);
	ck_assert_uint_eq(toy->vd.features, 0);
	end();
}
END_TEST

static const uint64_t refused[] = {
	0,
	VIRTIO_F_EVENT_IDX,				/* no VERSION_1 */
	VIRTIO_F_VERSION_1 | 1ULL << 33,		/* not offered */
	VIRTIO_F_VERSION_1 | 1,				/* not offered */
	VIRTIO_F_VERSION_1 | 1ULL << 63,		/* not offered */
	VIRTIO_F_VERSION_1 | TOY_FEATURE | TOY_REFUSED, /* device says no */
};

START_TEST(features_refused)
{
	begin(_i & 1);
	ck_assert_uint_eq(drv_negotiate(&drv, refused[_i / 2]), 3);
	drv_go(&drv);
	ck_assert_uint_eq(drv_status(&drv), 3);
	/* A better offer is accepted. */
	drv_accept(&drv, VIRTIO_F_VERSION_1);
	drv_set_status(&drv, 11);
	ck_assert_uint_eq(drv_status(&drv), 11);
	end();
}
END_TEST

START_TEST(feature_words_beyond)
{
	unsigned select = _i & 1 ? 0x14 : 0, at = _i & 1 ? 0x10 : 4;

	begin(_i);
	drv_put(&drv, select, 4, 2);
	ck_assert_uint_eq(drv_get(&drv, at, 4), 0);
	drv_put(&drv, select, 4, UINT32_MAX);
	ck_assert_uint_eq(drv_get(&drv, at, 4), 0);
	drv_put(&drv, select + (_i & 1 ? 0x10 : 8), 4, 77);
	drv_put(&drv, at + (_i & 1 ? 0x10 : 8), 4, UINT32_MAX);
	ck_assert_uint_eq(toy->vd.features, 0);
	end();
}
END_TEST

/* Skipped negotiation: class (f). */
START_TEST(start_without_features_ok)
{
	begin(_i);
	drv_set_status(&drv, 3);
	drv_queue(&drv, 0, 16, RING0);
	ck_assert(!drv_enabled(&drv));
	drv_set_status(&drv, 7);
	ck_assert_uint_eq(drv_status(&drv), 3);
	drv_add(&drv, 0, DATA, 16, true);
	drv_kick(&drv, 0);
	bed_run(&bed, 2);
	ck_assert_uint_eq(drv_used_idx(&drv, 0), 0);
	end();
}
END_TEST

START_TEST(status_bits_stay)
{
	begin(_i);
	run(ALL);
	drv_set_status(&drv, 1); /* clearing bits is not possible */
	ck_assert_uint_eq(drv_status(&drv), 15);
	drv_set_status(&drv, 128);
	ck_assert_uint_eq(drv_status(&drv), 143);
	drv_set_status(&drv, 0x70); /* not the driver's */
	ck_assert_uint_eq(drv_status(&drv), 143);
	end();
}
END_TEST

/* ---- serving ----------------------------------------------------------- */

START_TEST(serves_and_interrupts)
{
	begin(_i);
	run(VIRTIO_F_VERSION_1);
	for (unsigned n = 0; n < 40; n++) {
		ck_serves(n & 1);
		ck_assert_uint_eq(drv_interrupts(&drv, n & 1), 1);
		ck_assert_uint_eq(drv.mmio ? 0 : drv_interrupts(&drv, ~n & 1),
				  0);
	}
	if (drv.mmio) {
		ck_assert_uint_eq(drv_get(&drv, 0x60, 4), 1);
		drv_put(&drv, 0x64, 4, 1);
		ck_assert_uint_eq(drv_get(&drv, 0x60, 4), 0);
	}
	end();
}
END_TEST

/* Both ways to be kicked, told apart by who has the doorbell. */
START_TEST(doorbells_follow_the_driver)
{
	begin(_i);
	ck_assert_uint_eq(bed.vm.doorbells, 0);
	run(ALL);
	ck_assert_uint_eq(bed.vm.doorbells, _i & 2 ? 2 : 0);
	if (_i & 2)
		ck_assert_uint_eq(bed.vm.doorbell[0].key, drv_bell(&drv, 0));
	ck_serves(0);
	ck_serves(1);
	drv_set_status(&drv, 0);
	ck_assert_uint_eq(bed.vm.doorbells, 0);
	end();
}
END_TEST

START_TEST(register_kick_without_doorbell)
{
	begin(_i | 2);
	bed.vm.refuse = true;
	if (!drv.mmio)
		ck_assert_uint_eq(negotiate(ALL), 11);
	negotiate(ALL);
	drv_queue(&drv, 0, 16, RING0);
	drv_go(&drv);
	ck_assert_uint_eq(bed.vm.doorbells, 0);
	ck_serves(0);
	bed.vm.refuse = false;
	end();
}
END_TEST

/* Requests that were there before DRIVER_OK need no kick. */
START_TEST(early_requests)
{
	uint32_t head, len;

	begin(_i);
	negotiate(ALL);
	drv_queue(&drv, 0, 16, RING0);
	drv_add(&drv, 0, DATA, 8, true);
	drv_kick(&drv, 0);
	bed_run(&bed, 2);
	ck_assert_uint_eq(drv_used_idx(&drv, 0), 0);
	drv_go(&drv);
	bed_run(&bed, 2);
	ck_assert(drv_take(&drv, 0, &head, &len));
	end();
}
END_TEST

START_TEST(event_index_saves_interrupts)
{
	begin(_i);
	run(ALL);
	vring_want_at(&drv.vq[0], 2);
	ck_serves(0);
	ck_serves(0);
	ck_assert_uint_eq(drv_interrupts(&drv, 0), 0);
	ck_serves(0);
	ck_assert_uint_eq(drv_interrupts(&drv, 0), 1);
	end();
}
END_TEST

START_TEST(kick_of_strange_queues)
{
	begin(_i);
	run(ALL);
	if (drv.mmio) {
		bus_write(bed.env.mmio, drv.base + 0x50, 4, 2);
		bus_write(bed.env.mmio, drv.base + 0x50, 4, UINT32_MAX);
	} else {
		for (unsigned at = 0x3008; at < 0x4000; at += 61)
			drv_put(&drv, at, 2, 0);
	}
	bed_run(&bed, 2);
	ck_assert_uint_gt(atomic_load(&toy->vd.misuse), 0);
	ck_serves(1);
	end();
}
END_TEST

/* Class (m): a ring that never runs dry leaves turns for others. */
START_TEST(work_budget)
{
	begin(_i);
	ck_assert_uint_eq(negotiate(VIRTIO_F_VERSION_1), 11);
	drv_queue(&drv, 0, 256, RING0);
	drv_go(&drv);
	bed_run(&bed, 4);
	for (unsigned n = 0; n < 256; n++)
		drv_add(&drv, 0, DATA, 1, true);
	drv_kick(&drv, 0);
	bed_run(&bed, 0); /* one batch */
	ck_assert_uint_eq(toy->served, VIRTIO_KICK_BUDGET);
	bed_run(&bed, 0);
	ck_assert_uint_eq(toy->served, 2 * VIRTIO_KICK_BUDGET);
	bed_run(&bed, 8);
	ck_assert_uint_eq(toy->served, 256);
	ck_assert_uint_eq(drv_used_idx(&drv, 0), 256);
	end();
}
END_TEST

/* ---- misuse ------------------------------------------------------------ */

/* Class (f); CVE-2026-5747 was this: registers written after activation. */
START_TEST(registers_latched_at_enable)
{
	begin(_i);
	run(ALL);
	drv_select(&drv, 0);
	drv_set_size(&drv, 256);
	drv_set_rings(&drv, DATA, DATA + 0x4000, DATA + 0x5000);
	drv_enable(&drv);
	ck_assert_uint_eq(toy->vd.queue[0].reg.size, 16);
	ck_assert_uint_eq(toy->vd.queue[0].reg.desc.v, RING0);
	ck_assert_uint_eq(toy->vd.queue[0].ring.at.size, 16);
	ck_assert_uint_eq(toy->vd.queue[0].ring.at.device.v, ring_used(RING0));
	ck_serves(0);
	end();
}
END_TEST

static const uint32_t bad_sizes[] = { 0, 3, 512, 257, 65535, 32768 };

START_TEST(queue_size_bad)
{
	unsigned size = bad_sizes[_i / 2];

	begin(_i & 1);
	negotiate(ALL);
	drv_select(&drv, 0);
	drv_set_size(&drv, size);
	/* A packed ring's size need not be a power of two. */
	ck_assert_uint_eq(toy->vd.queue[0].reg.size,
			  format && size == 3 ? 3 : 256);
	end();
}
END_TEST

START_TEST(rings_outside_of_ram)
{
	begin(_i);
	negotiate(ALL);
	drv_select(&drv, 0);
	drv_set_rings(&drv, BED_ECAM, RING0, RING0 + 0x1000);
	drv_enable(&drv);
	ck_assert(!drv_enabled(&drv));
	ck_assert_uint_eq(drv_status(&drv), 11 | VIRTIO_NEEDS_RESET);
	run(ALL); /* a reset repairs it */
	ck_serves(0);
	end();
}
END_TEST

/* A broken ring: NEEDS_RESET, a configuration interrupt, one line in the log,
 * nothing more until reset. */
START_TEST(broken_ring_needs_reset)
{
	begin(_i);
	run(ALL);
	vring_offer1(&drv.vq[0], 999, DATA, 1, 0);
	for (unsigned i = 0; i < 10; i++) {
		drv_kick(&drv, 0);
		bed_run(&bed, 2);
	}
	ck_assert_uint_eq(drv_status(&drv), 15 | VIRTIO_NEEDS_RESET);
	ck_assert_uint_eq(atomic_load(&toy->vd.misuse), 1);
	if (drv.mmio) {
		ck_assert_uint_eq(drv_get(&drv, 0x60, 4), 2);
		ck_assert_uint_eq(drv_interrupts(&drv, 0), 1);
	} else {
		ck_assert_uint_eq(drv_fired(&drv, 0), 1);
	}
	/* The other queue is dead, too. */
	drv_add(&drv, 1, DATA, 4, true);
	drv_kick(&drv, 1);
	bed_run(&bed, 2);
	ck_assert_uint_eq(drv_used_idx(&drv, 1), 0);
	drv_set_status(&drv, 0);
	ck_assert_uint_eq(drv_status(&drv), 0);
	run(ALL);
	ck_serves(0);
	end();
}
END_TEST

/* Class (k): what a driver does a thousand times is said once. */
START_TEST(nothing_fills_the_log)
{
	FILE *log = tmpfile();
	unsigned lines = 0;
	int c;

	ck_assert_ptr_nonnull(log);
	log_setup(fileno(log), LOG_DEBUG);
	begin(_i);
	for (unsigned n = 0; n < 1000; n++) {
		run(ALL);
		drv_accept(&drv, 0);
		vring_offer1(&drv.vq[0], 999, DATA, 1, 0);
		drv_kick(&drv, 0);
		bed_run(&bed, 1);
		ck_assert_uint_eq(drv_status(&drv), 15 | VIRTIO_NEEDS_RESET);
	}
	rewind(log);
	while ((c = fgetc(log)) != EOF)
		lines += c == '\n';
	ck_assert_uint_le(lines, 2);
	end();
	log_setup(STDERR_FILENO, LOG_WARN);
	fclose(log);
}
END_TEST

/* ---- reset in every state ---------------------------------------------- */

static void reach(unsigned state)
{
	if (state >= 1)
		drv_set_status(&drv, 1);
	if (state >= 2)
		drv_set_status(&drv, 3);
	if (state >= 3)
		negotiate(ALL);
	if (state >= 4)
		drv_queue(&drv, 0, 16, RING0);
	if (state >= 5)
		drv_go(&drv);
	if (state >= 6) {
		drv_add(&drv, 0, DATA, 4, true);
		drv_kick(&drv, 0); /* not processed yet */
	}
	if (state >= 7) {
		vring_offer1(&drv.vq[0], 5000, DATA, 1, 0);
		bed_run(&bed, 2);
	}
}

/* Driver's reset (bit 2 of _i clear) and the machine's. */
START_TEST(reset_in_every_state)
{
	unsigned served;

	begin(_i & 3);
	reach((unsigned)_i / 8);
	if (_i & 4)
		dev->cls->reset(dev);
	else
		drv_set_status(&drv, 0);
	served = toy->served;
	ck_assert_uint_eq(drv_status(&drv), 0);
	ck_assert_uint_eq(bed.vm.doorbells, 0);
	drv_select(&drv, 0);
	ck_assert(!drv_enabled(&drv));
	bed_run(&bed, 2); /* a kick that was under way finds nothing */
	ck_assert_uint_eq(toy->served, served);
	run(ALL);
	ck_serves(0);
	ck_serves(1);
	end();
}
END_TEST

START_TEST(ring_reset)
{
	begin(_i);
	run(ALL);
	ck_serves(0);
	drv_select(&drv, 0);
	drv_queue_put(&drv, 0x3a, 0xc0, 2, 1);
	ck_assert(!drv_enabled(&drv));
	ck_assert_uint_eq(drv_get(&drv, drv.mmio ? 0xc0 : 0x3a, 2), 0);
	drv_add(&drv, 0, DATA, 4, true);
	drv_kick(&drv, 0);
	bed_run(&bed, 2);
	ck_assert_uint_eq(drv_used_idx(&drv, 0), 1);
	ck_serves(1); /* the other one goes on */
	drv_queue(&drv, 0, 64, RING0);
	ck_assert(drv_enabled(&drv));
	ck_serves(0);
	end();
}
END_TEST

START_TEST(ring_reset_needs_the_feature)
{
	begin(_i);
	run(ALL & ~VIRTIO_F_RING_RESET);
	drv_select(&drv, 0);
	drv_queue_put(&drv, 0x3a, 0xc0, 2, 1);
	ck_assert(drv_enabled(&drv));
	ck_serves(0);
	end();
}
END_TEST

START_TEST(mmio_ready_zero_stops)
{
	begin(1);
	run(ALL);
	drv_select(&drv, 0);
	drv_put(&drv, 0x44, 4, 0);
	ck_assert_uint_eq(drv_get(&drv, 0x44, 4), 0);
	drv_add(&drv, 0, DATA, 4, true);
	drv_kick(&drv, 0);
	bed_run(&bed, 2);
	ck_assert_uint_eq(drv_used_idx(&drv, 0), 0);
	end();
}
END_TEST

/* ---- configuration ----------------------------------------------------- */

static unsigned config_at(void)
{
	return drv.mmio ? 0x100 : 0x2000;
}

static unsigned config_room(void)
{
	return drv.mmio ? 0x100 : 0x1000;
}

/* Class (i): configuration ends where it ends, for reads … */
START_TEST(config_any_offset)
{
	unsigned size = 1u << (_i >> 1);

	begin(_i & 1);
	for (unsigned i = 0; i < 20; i++)
		toy->config[i] = (uint8_t)(0x80 + i);
	for (unsigned at = 0; at + size <= config_room(); at++) {
		uint64_t got = drv_get(&drv, config_at() + at, size);

		for (unsigned i = 0; i < size; i++)
			ck_assert_uint_eq(got >> (8 * i) & 0xff,
					  at + i < 20 && at + size <= 256
						  ? 0x80 + at + i
						  : 0);
	}
	end();
}
END_TEST

/* … and for writes. */
START_TEST(config_write_bounds)
{
	unsigned size = 1u << (_i >> 1);

	begin(_i & 1);
	for (unsigned at = 0; at + size <= config_room(); at++)
		drv_put(&drv, config_at() + at, size, UINT64_MAX);
	for (unsigned i = 0; i < 20; i++)
		ck_assert_uint_eq(toy->config[i], 0xff);
	ck_assert_uint_eq(toy->resets, 2); /* what lies behind is whole */
	end();
}
END_TEST

START_TEST(config_change_is_told)
{
	unsigned at = _i & 1 ? 0xfc : 0x15, size = _i & 1 ? 4 : 1;
	uint64_t before;

	begin(_i);
	before = drv_get(&drv, at, size);
	virtio_config_changed(&toy->vd); /* no driver: no interrupt */
	ck_assert_uint_eq(bed.rises[32], 0);
	run(ALL);
	virtio_config_changed(&toy->vd);
	ck_assert_uint_eq(drv_get(&drv, at, size), before + 2);
	if (drv.mmio)
		ck_assert_uint_eq(drv_interrupts(&drv, 0), 1);
	else
		ck_assert_uint_eq(drv_fired(&drv, 0), 1);
	end();
}
END_TEST

/* ---- widths and alignments --------------------------------------------- */

/* Class (g): whatever is written anywhere with any width while the driver runs:
 * the rings in use stay what they were. */
START_TEST(scribble_on_registers)
{
	static const uint64_t values[] = { 0x5555555555555555, UINT64_MAX, 2 };
	unsigned room = _i & 1 ? 0x200 : 0x8000;

	begin(_i);
	run(ALL);
	for (unsigned n = 0; n < 4 * room; n++) {
		unsigned at = n % room, size = 1u << (n / room);

		/* Status and ring reset are meant to change things. */
		if (at + size > room || (drv.mmio && at == 0x70) ||
		    (!drv.mmio && at == 0x14))
			continue;
		drv_get(&drv, at, size);
		drv_put(&drv, at, size, values[n % 3]);
	}
	bed_run(&bed, 4);
	ck_assert_uint_eq(drv_status(&drv), 15);
	ck_assert_uint_eq(toy->vd.queue[0].ring.at.size, 16);
	ck_assert_uint_eq(toy->vd.queue[0].ring.at.desc.v, RING0);
	ck_assert_uint_eq(toy->vd.queue[1].ring.at.device.v, ring_used(RING1));
	ck_serves(0);
	ck_serves(1);
	end();
}
END_TEST

START_TEST(mmio_registers_take_words_only)
{
	begin(1);
	ck_assert_uint_eq(drv_get(&drv, 0x00, 1), 0);
	ck_assert_uint_eq(drv_get(&drv, 0x00, 8), 0);
	ck_assert_uint_eq(drv_get(&drv, 0x02, 4), 0);
	drv_put(&drv, 0x70, 1, 1);
	ck_assert_uint_eq(drv_status(&drv), 0);
	end();
}
END_TEST

START_TEST(pci_addresses_as_quads)
{
	begin(0);
	negotiate(ALL);
	drv_select(&drv, 1);
	drv_put(&drv, 0x20, 8, 0x123456789abcdef0);
	drv_put(&drv, 0x2c, 4, 0xaabbccdd);
	drv_put(&drv, 0x30, 2, 0xffff);	    /* too narrow */
	drv_put(&drv, 0x24, 8, UINT64_MAX); /* misaligned */
	ck_assert_uint_eq(drv_get(&drv, 0x20, 8), 0x123456789abcdef0);
	ck_assert_uint_eq(drv_get(&drv, 0x24, 4), 0x12345678);
	ck_assert_uint_eq(drv_get(&drv, 0x28, 8), 0xaabbccdd00000000);
	ck_assert_uint_eq(drv_get(&drv, 0x30, 8), 0);
	end();
}
END_TEST

/* ---- PCI only ---------------------------------------------------------- */

/* Class (h): vectors that the table does not have. */
START_TEST(pci_vectors_checked)
{
	begin(0);
	drv_put(&drv, 0x10, 2, 2);
	ck_assert_uint_eq(drv_get(&drv, 0x10, 2), 2);
	drv_put(&drv, 0x10, 2, 3); /* three vectors: 0 to 2 */
	ck_assert_uint_eq(drv_get(&drv, 0x10, 2), VIRTIO_NO_VECTOR);
	drv_select(&drv, 0);
	drv_put(&drv, 0x1a, 2, 0x8000);
	ck_assert_uint_eq(drv_get(&drv, 0x1a, 2), VIRTIO_NO_VECTOR);
	end();
}
END_TEST

/* Class (h): a masked vector waits in the pending bits, which nobody can
 * write; nor is there anything behind the table. */
START_TEST(pci_vector_masked)
{
	begin(_i);
	run(VIRTIO_F_VERSION_1);
	drv_put(&drv, 0x401c, 4, 1);
	ck_serves(0);
	ck_serves(0);
	for (unsigned at = 0x4030; at < 0x8000; at += 4)
		drv_put(&drv, at, 4, UINT32_MAX);
	ck_assert_uint_eq(drv_get(&drv, 0x7000, 8), 2);
	ck_assert_uint_eq(drv_get(&drv, 0x4030, 8), 0);
	drv_put(&drv, 0x401c, 4, 0);
	ck_assert_uint_ge(drv_fired(&drv, 1), 1);
	ck_assert_uint_eq(drv_get(&drv, 0x7000, 8), 0);
	ck_serves(1);
	ck_assert_uint_eq(drv_fired(&drv, 2), 1);
	end();
}
END_TEST

START_TEST(pci_intx_and_isr)
{
	begin(0);
	negotiate(VIRTIO_F_VERSION_1);
	drv_queue(&drv, 0, 16, RING0);
	drv_go(&drv);
	ck_serves(0);
	ck_assert(bed.level[17]);
	ck_assert_uint_eq(drv_get(&drv, 0x1000, 1), 1);
	ck_assert(!bed.level[17]);
	ck_assert_uint_eq(drv_get(&drv, 0x1000, 1), 0);
	virtio_config_changed(&toy->vd);
	ck_assert(bed.level[17]);
	ck_assert_uint_eq(drv_get(&drv, 0x1000, 1), 2);
	/* A reset takes the level back. */
	ck_serves(0);
	ck_assert(bed.level[17]);
	drv_set_status(&drv, 0);
	ck_assert(!bed.level[17]);
	end();
}
END_TEST

START_TEST(pci_bar_move_takes_doorbells_along)
{
	uint64_t to = BED_MEM32 + 0x400000;

	begin(2);
	run(ALL);
	cfg_put(&bed, 1, 4, 2, 0);
	ck_assert_uint_eq(bed.vm.doorbells, 0);
	cfg_put(&bed, 1, 0x10, 4, to);
	cfg_put(&bed, 1, 0x14, 4, 0);
	ck_assert_uint_eq(bed.vm.doorbells, 0);
	cfg_put(&bed, 1, 4, 2, 6);
	ck_assert_uint_eq(bed.vm.doorbells, 2);
	drv.base = to;
	ck_assert_uint_eq(bed.vm.doorbell[0].key, drv_bell(&drv, 0));
	ck_assert_uint_eq(bed.vm.doorbell[1].key, drv_bell(&drv, 1));
	ck_serves(0);
	ck_serves(1);
	/* With decoding on: once per write that changes the address. */
	cfg_put(&bed, 1, 0x10, 4, to + 0x100000);
	drv.base = to + 0x100000;
	ck_assert_uint_eq(bed.vm.doorbells, 2);
	ck_serves(1);
	end();
}
END_TEST

static void access_cap(uint8_t bar, uint32_t offset, uint32_t len)
{
	unsigned cap = cfg_cap(&bed, 1, PCI_CAP_VENDOR, 4);

	cfg_put(&bed, 1, cap + 4, 1, bar);
	cfg_put(&bed, 1, cap + 8, 4, offset);
	cfg_put(&bed, 1, cap + 12, 4, len);
}

static uint64_t access_get(unsigned size)
{
	return cfg_get(&bed, 1, cfg_cap(&bed, 1, PCI_CAP_VENDOR, 4) + 16, size);
}

static void access_put(unsigned size, uint64_t value)
{
	cfg_put(&bed, 1, cfg_cap(&bed, 1, PCI_CAP_VENDOR, 4) + 16, size, value);
}

/* VIRTIO 1.3 sec. 4.1.4.9: the BAR through configuration space. */
START_TEST(pci_access_capability)
{
	begin(0);
	access_cap(0, 0x12, 2);
	ck_assert_uint_eq(access_get(2), 2);
	access_cap(0, 0x14, 1);
	access_put(1, 3);
	ck_assert_uint_eq(drv_status(&drv), 3);
	ck_assert_uint_eq(access_get(1), 3);
	access_cap(0, 0, 4);
	access_put(4, 1);
	access_cap(0, 4, 4);
	ck_assert_uint_eq(access_get(4), OFFERED >> 32);
	/* Also while the BAR is not decoded. */
	cfg_put(&bed, 1, 4, 2, 0);
	ck_assert_uint_eq(access_get(4), OFFERED >> 32);
	end();
}
END_TEST

static const struct {
	uint8_t bar;
	uint32_t offset, len;
} outside[] = {
	{ 1, 0x14, 1 },	      { 0, 0x8000, 1 },	    { 0, 0x7ffe, 4 },
	{ 0, 0xffffffff, 1 }, { 0, 0xfffffffc, 4 }, { 0, 0x14, 0 },
	{ 0, 0x14, 3 },	      { 0, 0x14, 8 },	    { 0, 0x14, 0xffffffff },
	{ 0, 0x15, 2 },	      { 255, 0x14, 1 },
};

/* Class (i) again: offset and length in a register each. */
START_TEST(pci_access_outside)
{
	begin(0);
	access_cap(outside[_i].bar, outside[_i].offset, outside[_i].len);
	access_put(4, 0x01010101);
	access_get(4);
	access_get(1);
	ck_assert_uint_eq(drv_status(&drv), 0);
	ck_assert_uint_eq(atomic_load(&toy->vd.misuse), 0);
	end();
}
END_TEST

/* ---- MMIO only --------------------------------------------------------- */

START_TEST(mmio_slots)
{
	struct device *more[8];
	struct platform p = bed.platform;
	struct diag d = DIAG_INIT;

	begin(1);
	p = bed.platform;
	for (unsigned i = 1; i < 8; i++)
		ck_assert_int_eq(device_new(&more[i], &toy_class, "_t", NULL,
					    &bed.env, NULL, &d),
				 0);
	ck_assert_int_eq(device_new(&more[0], &toy_class, "_t", NULL, &bed.env,
				    NULL, &d),
			 -ENOSPC);
	ck_assert_uint_eq(bus_read(bed.env.mmio, BED_VMMIO + 7 * 0x200 + 8, 4),
			  42);
	ck_assert_int_eq(more[7]->cls->describe(more[7], &p, &d), 0);
	ck_assert_str_eq(p.dev[0].name, "virtio_mmio");
	ck_assert_str_eq(p.dev[0].compatible, "virtio,mmio");
	ck_assert_str_eq(p.dev[0].hid, "LNRO0005");
	ck_assert_uint_eq(p.dev[0].uid, 7);
	ck_assert_uint_eq(p.dev[0].range[0].base, BED_VMMIO + 7 * 0x200);
	ck_assert_uint_eq(p.dev[0].irq[0].pin, 39);
	ck_assert(!p.dev[0].irq[0].level);
	for (unsigned i = 8; --i;)
		device_free(more[i]);
	ck_assert_uint_eq(bed.mmio_used, 1);
	end();
}
END_TEST

/* ---- state ------------------------------------------------------------- */

static void save(struct stream_out *out)
{
	stream_out_init(out);
	dev->cls->save(dev, out);
	ck_assert(!out->failed);
}

static int load(const uint8_t *data, size_t len)
{
	struct stream_in in;
	struct diag d = DIAG_INIT;
	int err;

	stream_in_init(&in, data, len);
	err = dev->cls->load(dev, &in, &d);
	return err ? err : stream_in_done(&in);
}

/* As the machine does it: the VM with its doorbells and irqfds is gone. */
static void power_cycle(void)
{
	bed.vm.doorbells = bed.vm.irqfds = 0;
	dev->cls->reset(dev);
}

START_TEST(state_round_trip)
{
	struct stream_out out, again;

	begin(_i);
	run(ALL | TOY_FEATURE);
	ck_serves(0);
	ck_serves(0);
	ck_serves(1);
	save(&out);
	power_cycle();
	ck_assert_uint_eq(drv_status(&drv), 0);
	ck_assert_int_eq(load(out.data, out.len), 0);
	save(&again);
	ck_assert_uint_eq(out.len, again.len);
	ck_assert_mem_eq(out.data, again.data, out.len);
	ck_assert_uint_eq(drv_status(&drv), 15);
	ck_assert_uint_eq(toy->features, ALL | TOY_FEATURE | format);
	ck_serves(0);
	ck_serves(1);
	stream_out_release(&out);
	stream_out_release(&again);
	end();
}
END_TEST

/* A request made while nobody ran is found after the restore. */
START_TEST(state_with_waiting_request)
{
	struct stream_out out;
	uint32_t head, len;

	begin(_i);
	run(ALL);
	drv_add(&drv, 0, DATA, 7, true);
	save(&out);
	power_cycle();
	ck_assert_int_eq(load(out.data, out.len), 0);
	bed_run(&bed, 2);
	ck_assert(drv_take(&drv, 0, &head, &len));
	stream_out_release(&out);
	end();
}
END_TEST

/* Class (l): a file that holds state can hold anything. */
START_TEST(state_damaged)
{
	struct stream_out out;

	begin(_i);
	run(ALL);
	ck_serves(0);
	save(&out);
	for (size_t i = 0; i < out.len; i++) {
		out.data[i] ^= 0xff;
		power_cycle();
		if (!load(out.data, out.len)) {
			drv_kick(&drv, 0);
			bed_run(&bed, 1);
		}
		out.data[i] ^= 0xff;
		power_cycle();
		ck_assert_int_ne(load(out.data, i), 0);
	}
	power_cycle();
	drv.base = drv.mmio ? BED_VMMIO : cfg_bar64(&bed, 1, 0);
	run(ALL);
	ck_serves(0);
	stream_out_release(&out);
	end();
}
END_TEST

/* ---- threads ----------------------------------------------------------- */

static atomic_bool stop;

/* A vCPU that sets the device up, kicks and resets it, with empty rings. */
static void *vcpu_driver(void *opaque)
{
	struct drv mine = *(const struct drv *)opaque;

	while (!atomic_load(&stop)) {
		drv_negotiate(&mine, ALL | format);
		for (unsigned q = 0; q < 2; q++) {
			uint64_t ring = q ? RING1 : RING0;

			drv_select(&mine, q);
			drv_set_size(&mine, 16);
			drv_set_rings(&mine, ring, ring_avail(ring),
				      ring_used(ring));
			drv_enable(&mine);
		}
		drv_go(&mine);
		for (unsigned i = 0; i < 8; i++)
			drv_kick(&mine, i & 1);
		drv_get(&mine, mine.mmio ? 0x100 : 0x2000, 4);
	}
	return NULL;
}

/* Another one that moves the BAR and masks vectors meanwhile. */
static void *vcpu_pci(void *opaque)
{
	unsigned cap = cfg_cap(&bed, 1, PCI_CAP_MSIX, 0);

	(void)opaque;
	for (unsigned n = 0; !atomic_load(&stop); n++) {
		cfg_put(&bed, 1, 0x10, 4, BED_MEM64 + (n & 1) * 0x8000);
		cfg_put(&bed, 1, 4, 2, n & 2);
		cfg_put(&bed, 1, cap + 2, 2, n << 14);
		bus_write(bed.env.mmio, BED_MEM64 + 0x400c, 4, n & 1);
		bus_read(bed.env.mmio, BED_MEM64 + 0x7000, 8);
		cfg_get(&bed, 1, 6, 2);
	}
	return NULL;
}

static void on_deadline(void *opaque)
{
	(void)opaque;
	atomic_store(&stop, true);
	event_loop_stop(bed.env.loop);
}

/* For ThreadSanitizer, and for deadlocks: all lock orders at once. */
START_TEST(vcpus_and_event_loop)
{
	struct event_timer deadline;
	pthread_t a, b;

	begin(_i);
	atomic_store(&stop, false);
	ck_assert_int_eq(
		event_timer_init(&deadline, bed.env.loop, on_deadline, NULL),
		0);
	event_timer_set(&deadline, 300 * 1000000, 0);
	bed.rounds = UINT32_MAX;
	pthread_create(&a, NULL, vcpu_driver, &drv);
	pthread_create(&b, NULL, drv.mmio ? vcpu_driver : vcpu_pci, &drv);
	event_loop_run(bed.env.loop);
	pthread_join(a, NULL);
	pthread_join(b, NULL);
	event_timer_release(&deadline);
	dev->cls->reset(dev);
	drv.base = drv.mmio ? BED_VMMIO : cfg_bar64(&bed, 1, 0);
	run(ALL);
	ck_serves(0);
	end();
}
END_TEST

/* ---- vectors of guest memory ------------------------------------------- */

START_TEST(iov_copies)
{
	uint8_t a[4] = "abcd", b[3] = "efg", flat[8] = { 0 };
	struct iovec v[] = { { a, 4 }, { b, 3 } };

	ck_assert_uint_eq(iov_read(v, 2, 0, flat, 8), 7);
	ck_assert_mem_eq(flat, "abcdefg", 7);
	ck_assert_uint_eq(iov_read(v, 2, 3, flat, 2), 2);
	ck_assert_mem_eq(flat, "de", 2);
	ck_assert_uint_eq(iov_read(v, 2, 7, flat, 2), 0);
	ck_assert_uint_eq(iov_read(v, 2, SIZE_MAX, flat, 2), 0);
	ck_assert_uint_eq(iov_write(v, 2, 2, "12345678", 8), 5);
	ck_assert_mem_eq(a, "ab12", 4);
	ck_assert_mem_eq(b, "345", 3);
}
END_TEST

/* ---- runner ------------------------------------------------------------ */

static TCase *setup_case(void)
{
	TCase *tc = tcase_create("setting up");

	tcase_add_test(tc, identity_mmio);
	tcase_add_test(tc, identity_pci);
	tcase_add_test(tc, pci_capabilities);
	tcase_add_loop_test(tc, features_negotiate, 0, 4);
	tcase_add_loop_test(tc, features_refused, 0, 2 * ARRAY_SIZE(refused));
	tcase_add_loop_test(tc, feature_words_beyond, 0, 2);
	tcase_add_loop_test(tc, start_without_features_ok, 0, 4);
	tcase_add_loop_test(tc, status_bits_stay, 0, 4);
	return tc;
}

static TCase *serve_case(bool packed)
{
	TCase *tc = FORMAT_CASE("serving", packed);

	tcase_add_loop_test(tc, serves_and_interrupts, 0, 4);
	tcase_add_loop_test(tc, doorbells_follow_the_driver, 0, 4);
	tcase_add_loop_test(tc, register_kick_without_doorbell, 0, 2);
	tcase_add_loop_test(tc, early_requests, 0, 4);
	tcase_add_loop_test(tc, event_index_saves_interrupts, 0, 4);
	tcase_add_loop_test(tc, kick_of_strange_queues, 0, 2);
	tcase_add_loop_test(tc, work_budget, 0, 4);
	return tc;
}

static TCase *misuse_case(bool packed)
{
	TCase *tc = FORMAT_CASE("misuse and reset", packed);

	tcase_add_loop_test(tc, registers_latched_at_enable, 0, 4);
	tcase_add_loop_test(tc, queue_size_bad, 0, 2 * ARRAY_SIZE(bad_sizes));
	tcase_add_loop_test(tc, rings_outside_of_ram, 0, 2);
	tcase_add_loop_test(tc, broken_ring_needs_reset, 0, 4);
	tcase_add_loop_test(tc, nothing_fills_the_log, 0, 4);
	tcase_add_loop_test(tc, reset_in_every_state, 0, 64);
	tcase_add_loop_test(tc, ring_reset, 0, 4);
	tcase_add_loop_test(tc, ring_reset_needs_the_feature, 0, 2);
	tcase_add_test(tc, mmio_ready_zero_stops);
	tcase_add_loop_test(tc, scribble_on_registers, 0, 4);
	return tc;
}

static TCase *register_case(bool packed)
{
	TCase *tc = FORMAT_CASE("registers", packed);

	tcase_add_loop_test(tc, config_any_offset, 0, 8);
	tcase_add_loop_test(tc, config_write_bounds, 0, 8);
	tcase_add_loop_test(tc, config_change_is_told, 0, 2);
	tcase_add_test(tc, mmio_registers_take_words_only);
	tcase_add_test(tc, pci_addresses_as_quads);
	tcase_add_test(tc, pci_vectors_checked);
	for (int vm = 0; vm < 4; vm += 2)
		tcase_add_loop_test(tc, pci_vector_masked, vm, vm + 1);
	tcase_add_test(tc, pci_intx_and_isr);
	tcase_add_test(tc, pci_bar_move_takes_doorbells_along);
	tcase_add_test(tc, pci_access_capability);
	tcase_add_loop_test(tc, pci_access_outside, 0, ARRAY_SIZE(outside));
	tcase_add_test(tc, mmio_slots);
	tcase_add_test(tc, iov_copies);
	return tc;
}

static TCase *state_case(bool packed)
{
	TCase *tc = FORMAT_CASE("state and threads", packed);

	tcase_add_loop_test(tc, state_round_trip, 0, 4);
	tcase_add_loop_test(tc, state_with_waiting_request, 0, 4);
	tcase_add_loop_test(tc, state_damaged, 0, 4);
	tcase_add_loop_test(tc, vcpus_and_event_loop, 0, 2);
	return tc;
}

int main(void)
{
	Suite *suite = suite_create("virtio-transport");

	suite_add_tcase(suite, setup_case());
	for (int packed = 0; packed < 2; packed++) {
		suite_add_tcase(suite, serve_case(packed));
		suite_add_tcase(suite, misuse_case(packed));
		suite_add_tcase(suite, register_case(packed));
		suite_add_tcase(suite, state_case(packed));
	}
	return suite_run(suite);
}
