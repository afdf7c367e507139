/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: tests of any virtqueue, see exercise.h */
#include "exercise.h"

#define SIZE  16 /* entries of the ring under test */
#define BURST 8

static const struct exercise *e;
static struct virtio v;
static struct vring r;
static struct vbuf bufs[EXERCISE_BUFS];
static const char *format;

static void test(bool good, const char *name)
{
	ok_with(good, format, name);
}

bool exercise_restart(const struct exercise *ex, struct virtio *dev,
		      struct vring *ring, uint64_t features)
{
	ram_reset();
	if (!virtio_start(dev, ex->features | features) ||
	    !vring_make(ring, dev, ex->queue, SIZE))
		return false;
	if (ex->started)
		ex->started(dev);
	virtio_ready(dev);
	ex->request(bufs);
	return true;
}

static bool restart(uint64_t features)
{
	return exercise_restart(e, &v, &r, features);
}

static int add(void)
{
	return vring_add(&r, bufs, e->out, e->in);
}

static bool done(void)
{
	uint32_t written;

	return vring_wait(&r, &written) >= 0 &&
	       (!e->check || e->check(bufs, written));
}

static bool works(void)
{
	add();
	vring_ring(&r);
	return done();
}

/* ---- good drivers -------------------------------------------------------- */

static void plain(uint64_t features)
{
	unsigned good = 0;

	test(restart(features), "features, queue and DRIVER_OK");
	virtio_isr(&v);
	test(works(), "a request completes");
	test(virtio_interrupted(&v), "and interrupts");
	test(virtio_quiet(&v), "once");
	vring_interrupts(&r, false);
	test(works() && virtio_quiet(&v), "not if interrupts are unwanted");
	for (unsigned i = 0; i < 5 * SIZE / 2; i++)
		good += works();
	test(good == 5 * SIZE / 2, "the ring wraps around");
}

/* More requests per doorbell than one; whether the device then wants another
 * one is its own affair, but it must not starve. */
static void burst(uint64_t features)
{
	unsigned good = 0;

	restart(features);
	for (unsigned i = 0; i < BURST; i++)
		if (r.free_count >= e->out + e->in)
			good += add() >= 0;
	vring_kick(&r);
	/* None if the device is still having its first look, at DRIVER_OK. */
	test(r.bells <= 1, "at most one doorbell is wanted for a burst");
	/* All have the same buffers, so e->check() is for the last one. */
	while (good && vring_wait(&r, NULL) >= 0)
		good--;
	test(good == 0, "and all of it completes");
	for (good = 0; good < 3 * SIZE; good++) {
		add();
		vring_kick(&r);
		if (!done())
			break;
	}
	test(good == 3 * SIZE,
	     "no request starves whose doorbell was unwanted");
}

static void event_index(uint64_t features)
{
	bool early;

	if (!restart(features | F_EVENT_IDX) || !r.event_idx)
		return;
	virtio_isr(&v);
	/* A packed ring counts descriptors, sec. 2.8.10.2. */
	vring_interrupt_after(&r, r.packed ? 2 * (e->out + e->in) + 1 : 3);
	early = works() && works() && !virtio_quiet(&v);
	test(!early, "EVENT_IDX: no interrupt before the third request");
	test(works() && virtio_interrupted(&v), "EVENT_IDX: but with it");
	test(works() && virtio_quiet(&v), "EVENT_IDX: and none after it");
}

static void indirect(uint64_t features)
{
	uintptr_t table;

	if (!restart(features | F_INDIRECT) || !(v.features & F_INDIRECT))
		return;
	vring_fill_indirect(&r, bufs, e->out, e->in, &table);
	vring_publish(&r);
	vring_ring(&r);
	test(done(), "an indirect request completes");
}

static void resets(uint64_t features)
{
	restart(features);
	add();
	vring_ring(&r);
	add();
	test(restart(features) && works(), "device reset with work in flight");
	if (!restart(features | F_RING_RESET) || !(v.features & F_RING_RESET))
		return;
	add();
	vring_ring(&r);
	test(vring_reset(&r), "queue reset with work in flight");
	test(vring_make(&r, &v, e->queue, SIZE) && works(),
	     "the queue works again after it");
}

static void msix(uint64_t features)
{
	if (!v.cfg)
		return;
	restart(0);
	virtio_set_status(&v, 0);
	virtio_msix(&v, true);
	restart(features);
	test(works() && virtio_pending(&v, e->queue),
	     "a masked MSI-X vector becomes pending");
	restart(features);
	vring_interrupts(&r, false);
	virtio_msix(&v, false);
}

/* ---- hostile drivers ----------------------------------------------------- */

static void wild_address(void)
{
	set64(vring_slot(&r, 0), 0xffffff0000ull << 8);
}

static void wrapping_address(void)
{
	set64(vring_slot(&r, 0), ~0ull - 7);
}

static void device_address(void)
{
	set64(vring_slot(&r, 0), v.base);
}

static void huge_length(void)
{
	write32(vring_slot(&r, 0) + 8, 0xffffffff);
}

static void self_loop(void)
{
	uintptr_t at = vring_slot(&r, 0);

	write16(at + 12, read16(at + 12) | D_NEXT);
	write16(at + 14, (uint16_t)((at - r.desc) / 16));
}

static void wild_next(void)
{
	uintptr_t at = vring_slot(&r, 0);

	write16(at + 12, read16(at + 12) | D_NEXT);
	write16(at + 14, SIZE);
}

static void far_next(void)
{
	uintptr_t at = vring_slot(&r, 0);

	write16(at + 12, read16(at + 12) | D_NEXT);
	write16(at + 14, 0xffff);
}

static void wild_head(void)
{
	r.head = SIZE;
}

static void index_jump(void)
{
	r.next_avail += SIZE + 1;
}

/* The first comes last, by vring_publish(): a device that has just been started
 * may look at the ring before it is kicked. */
static void endless_chain(void)
{
	for (unsigned i = 0; i < SIZE; i++)
		if (i != r.head_slot)
			write16(r.desc + 16 * i + 14,
				D_NEXT | (r.head_flags & (D_AVAIL | D_USED)));
	r.head_flags |= D_NEXT;
}

static void wild_indirect(void)
{
	uintptr_t at = vring_slot(&r, 0);

	set64(at, 0xffffff0000ull << 8);
	write32(at + 8, 16);
}

static void odd_indirect(void)
{
	write32(vring_slot(&r, 0) + 8, 15);
}

static void empty_indirect(void)
{
	write32(vring_slot(&r, 0) + 8, 0);
}

static uintptr_t table;

static void nested_indirect(void)
{
	write16(table + 12, read16(table + 12) | D_INDIRECT);
	set64(table, table);
	write32(table + 8, 16);
}

static void indirect_loop(void)
{
	write16(table + 12, read16(table + 12) | D_NEXT);
	write16(table + 14, 0);
}

static void indirect_wild_next(void)
{
	write16(table + 12, read16(table + 12) | D_NEXT);
	write16(table + 14, 0x7fff);
}

enum { SPLIT = 1, PACKED = 2, BOTH = 3 };

static const struct spoiler {
	const char *name;
	unsigned formats;
	bool indirect;
	void (*spoil)(void);
} spoilers[] = {
	{ "hostile: an address outside of RAM", BOTH, false, wild_address },
	{ "hostile: an address that wraps", BOTH, false, wrapping_address },
	{ "hostile: an address of registers", BOTH, false, device_address },
	{ "hostile: 4 GiB in one descriptor", BOTH, false, huge_length },
	{ "hostile: a descriptor that is its own next", SPLIT, false,
	  self_loop },
	{ "hostile: next is one too large", SPLIT, false, wild_next },
	{ "hostile: next is 65535", SPLIT, false, far_next },
	{ "hostile: a head outside of the table", SPLIT, false, wild_head },
	{ "hostile: an index that runs ahead", SPLIT, false, index_jump },
	{ "hostile: a chain that fills the ring and goes on", PACKED, false,
	  endless_chain },
	{ "hostile: an indirect table outside of RAM", BOTH, true,
	  wild_indirect },
	{ "hostile: an indirect table of 15 bytes", BOTH, true, odd_indirect },
	{ "hostile: an empty indirect table", BOTH, true, empty_indirect },
	/* A packed ring's tables have no such flag, sec. 2.8.8. */
	{ "hostile: an indirect table in an indirect table", SPLIT, true,
	  nested_indirect },
	{ "hostile: an indirect chain that loops", SPLIT, true, indirect_loop },
	{ "hostile: an indirect chain that leaves its table", SPLIT, true,
	  indirect_wild_next },
};

static void hostile(const struct spoiler *s, uint64_t features)
{
	if (!restart(features) || (s->indirect && !(v.features & F_INDIRECT)))
		return;
	if (s->indirect)
		vring_fill_indirect(&r, bufs, e->out, e->in, &table);
	else
		vring_fill(&r, bufs, e->out, e->in);
	s->spoil();
	vring_publish(&r);
	vring_ring(&r);
	test(virtio_needs_reset(&v) && restart(features) && works(), s->name);
}

static void ring_format(uint64_t features, unsigned formats)
{
	plain(features);
	burst(features);
	burst(features | F_EVENT_IDX);
	event_index(features);
	indirect(features);
	resets(features);
	msix(features);
	for (unsigned i = 0; i < sizeof(spoilers) / sizeof(spoilers[0]); i++)
		if (spoilers[i].formats & formats)
			hostile(&spoilers[i], features | F_INDIRECT);
}

/* Features that must not be accepted without being offered. */
static void refusals(void)
{
	virtio_start(&v, 0);
	virtio_set_status(&v, 0);
	test(virtio_status(&v) == 0, "reset");
	test(virtio_offered(&v) & F_VERSION_1, "VERSION_1 is offered");
	test(!vring_make(&r, &v, 1000, SIZE), "there is no queue 1000");
}

void exercise(const struct exercise *ex)
{
	e = ex;
	format = "";
	if (!virtio_find(&v, e->id, 0)) {
		test(false, "the device is there");
		return;
	}
	refusals();
	format = "split: ";
	ring_format(0, SPLIT);
	if (!(virtio_offered(&v) & F_PACKED))
		return;
	format = "packed: ";
	ring_format(F_PACKED, PACKED);
}
