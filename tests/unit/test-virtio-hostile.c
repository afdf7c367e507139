/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: tests of devices/virtio/queue*.c: rings as a hostile driver makes them
 *
 * Both ring formats: odd runs of loop tests are packed. The letter that a
 * test's name begins with is the bug class, after the field's known holes: (a)
 * addresses that wrap, straddle or hit a hole; (b) malformed chains; (c)
 * available index jumps; (d) descriptors that change under the reader; (e) a
 * head that is in flight twice; (f) registers written after activation, resets
 * with requests in flight, queues enabled again; (m) drivers that keep a
 * device busy for ever.
 *
 * The other classes are not about rings. Their tests are in the suites of what
 * they attack, marked "Class (x)", and run on both formats where a driver
 * takes part: (g) widths and alignment of register accesses: test-pci,
 * test-virtio-transport; (h) the MSI-X table and pending bits: the same; (i)
 * configuration space: the same; (j) formats that are guessed:
 * test-virtio-blk; (k) what grows without bounds: test-virtio-transport (the
 * log), -balloon, -devices; (l) snapshots that lie: test-pci,
 * test-virtio-transport; (n) paths that change hands: test-virtio-blk; (o)
 * requests of any size from the host: test-virtio-vsock; (p) vhost-user:
 * test-vhost-user; (q) page numbers outside of RAM, (r) memory that was given
 * away: test-virtio-balloon. tests/lint/layers finds a class without a test.
 */
#include <check.h>
#include <errno.h>

#include "tests/unit/suite.h"
#include "virtio-driver.h"
#include "virtq-rig.h"

#define OTHER (BED_RAM_A + 0x20000)
#define DATA  (BED_RAM_A + 0x10000)
#define TABLE (DATA + 0x1000)

/* All ring features, of the format of run @i. */
static struct virtq_features all(int i)
{
	return (struct virtq_features){ .packed = i & 1,
					.event_idx = true,
					.indirect = true };
}

static void begin(struct virtq_features has)
{
	struct virtq_layout at;

	vring_init(&v, &ram, has.packed, SIZE, RING);
	at = vring_layout(&v);
	ck_assert_int_eq(virtq_enable(&q, &at, has), 0);
}

static void ck_pops(uint16_t head)
{
	struct virtq_chain c;

	ck_assert_int_eq(virtq_pop(&q, &c), 1);
	ck_assert_uint_eq(c.head, head);
}

/* @why NULL: whatever. It stays broken; a reset repairs it. */
static void ck_breaks(const char *what, const char *why)
{
	unsigned before = q.in_flight_count;
	struct virtq_chain c;

	ck_assert_msg(virtq_pop(&q, &c) == -EPROTO, "%s: accepted", what);
	ck_assert_ptr_nonnull(q.broken);
	if (why)
		ck_assert_str_eq(q.broken, why);
	ck_assert_uint_eq(q.in_flight_count, before);
	ck_assert_int_eq(virtq_pop(&q, &c), -EPROTO);
	ck_assert(!virtq_wait(&q));
	begin(q.has);
	vring_offer1(&v, 0, DATA, 1, 0);
	ck_pops(0);
}

/* ---- (a) addresses ----------------------------------------------------- */

#define END (RING + BED_RAM_SZ)

enum { NEITHER, SPLIT, PACKED, BOTH };

static const struct {
	struct virtq_layout at;
	int good;
} layouts[] = {
	{ { 8, { RING }, { RING + 0x1000 }, { RING + 0x2000 } }, BOTH },
	{ { 1024, { RING }, { RING + 0x4000 }, { RING + 0x8000 } }, BOTH },
	{ { 0, { RING }, { RING + 0x1000 }, { RING + 0x2000 } }, NEITHER },
	{ { 6, { RING }, { RING + 0x1000 }, { RING + 0x2000 } }, PACKED },
	{ { 1025, { RING }, { RING + 0x8000 }, { RING + 0x10000 } }, NEITHER },
	{ { 2048, { RING }, { RING + 0x8000 }, { RING + 0x10000 } }, NEITHER },
	{ { 32768, { RING }, { RING }, { RING } }, NEITHER },
	{ { 65535, { RING }, { RING + 0x1000 }, { RING + 0x2000 } }, NEITHER },
	/* alignment */
	{ { 8, { RING + 8 }, { RING + 0x1000 }, { RING + 0x2000 } }, NEITHER },
	{ { 8, { RING }, { RING + 0x1001 }, { RING + 0x2000 } }, NEITHER },
	{ { 8, { RING }, { RING + 0x1002 }, { RING + 0x2000 } }, SPLIT },
	{ { 8, { RING }, { RING + 0x1000 }, { RING + 0x2002 } }, NEITHER },
	/* holes, ends, wraps */
	{ { 8, { 0 }, { RING + 0x1000 }, { RING + 0x2000 } }, NEITHER },
	{ { 8, { RING }, { BED_MEM32 }, { RING + 0x2000 } }, NEITHER },
	{ { 8, { RING }, { RING + 4096 }, { UINT64_MAX & ~3ULL } }, NEITHER },
	{ { 8, { UINT64_MAX & ~15ULL }, { RING }, { RING + 4096 } }, NEITHER },
	{ { 8, { END - 112 }, { RING }, { RING + 64 } }, NEITHER },
	{ { 8, { END - 128 }, { RING }, { RING + 64 } }, BOTH },
	{ { 8, { RING }, { END - 20 }, { RING + 128 } }, PACKED },
	{ { 8, { RING }, { END - 22 }, { RING + 128 } }, SPLIT },
	{ { 8, { RING }, { END - 4 }, { RING + 128 } }, PACKED },
	{ { 8, { RING }, { END }, { RING + 128 } }, NEITHER },
	{ { 8, { RING }, { RING + 128 }, { END - 68 } }, PACKED },
	{ { 8, { RING }, { RING + 128 }, { END - 72 } }, BOTH },
};

START_TEST(a_ring_places)
{
	const struct virtq_layout *at = &layouts[_i / 2].at;
	struct virtq_chain c;

	if (layouts[_i / 2].good & (_i & 1 ? PACKED : SPLIT)) {
		ck_assert_int_eq(virtq_enable(&q, at, all(_i)), 0);
		ck_assert(q.enabled);
		return;
	}
	ck_assert_int_eq(virtq_enable(&q, at, all(_i)), -EINVAL);
	ck_assert(!q.enabled);
	ck_assert_ptr_nonnull(q.broken);
	ck_assert_int_eq(virtq_pop(&q, &c), -EPROTO);
}
END_TEST

static const struct {
	const char *what;
	uint64_t addr;
	uint32_t len;
} places[] = {
	{ "address 0", 0, 1 },
	{ "hole", END, 1 },
	{ "into the hole", END - 8, 9 },
	{ "over the hole", BED_RAM_A, 0x10000001 },
	{ "before RAM", BED_RAM_A - 1, 2 },
	{ "wraps", UINT64_MAX - 3, 16 },
	{ "wraps to the end", UINT64_MAX - 15, 16 },
	{ "device registers", BED_ECAM, 16 },
	{ "MSI doorbell", 0xfee00000, 16 },
	{ "4 GiB long", DATA, UINT32_MAX - 15 },
};

START_TEST(a_buffer_places)
{
	int at = _i / 4;

	begin(all(_i));
	vring_offer1(&v, 0, places[at].addr, places[at].len,
		     _i & 2 ? D_WRITE : 0);
	ck_breaks(places[at].what, "buffer is not in RAM");
}
END_TEST

START_TEST(a_indirect_table_places)
{
	begin(all(_i));
	vring_offer1(&v, 0, places[_i / 2].addr,
		     (places[_i / 2].len + 15) & ~15u, D_INDIRECT);
	ck_breaks(places[_i / 2].what, "indirect table is not in RAM");
}
END_TEST

/* 1 MiB described again and again: fine below 4 GiB, refused at it. */
START_TEST(a_sum_of_4_gib)
{
	struct virtq big;
	struct virtq_chain c;
	struct virtq_layout at = { .size = 8192,
				   .desc = GPA(BED_RAM_B),
				   .driver = GPA(RING),
				   .device = GPA(RING + 0x20000) };
	struct diag d = DIAG_INIT;
	unsigned last = _i & 2 ? 4095 : 4094;

	ck_assert_int_eq(virtq_init(&big, &ram, 8192, &d), 0);
	ck_assert_int_eq(virtq_enable(&big, &at, all(_i)), 0);
	for (unsigned i = 0; i <= last; i++) {
		uint16_t next = i < last ? D_NEXT : 0;
		uint16_t flags = next | D_AVAIL;

		vdesc_put(&ram, BED_RAM_B, i, BED_RAM_A, BED_RAM_SZ,
			  _i & 1 ? 0 : next,
			  _i & 1 ? flags : (uint16_t)(i + 1));
	}
	ram_write(&ram, GPA(RING + 2), "\1", 1);
	ck_assert_int_eq(virtq_pop(&big, &c), _i & 2 ? -EPROTO : 1);
	if (!(_i & 2))
		ck_assert_uint_eq(c.out_bytes, 4095 * BED_RAM_SZ);
	virtq_release(&big);
}
END_TEST

/* ---- (b) chains -------------------------------------------------------- */

struct bad_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};

/* @d is the ring's table, @t an indirect one at TABLE. */
static const struct {
	const char *what;
	struct bad_desc d[4], t[4];
	uint16_t head;
	int bad;
} chains[] = {
	{ "head outside", .head = SIZE, .bad = BOTH },
	{ "head far outside", .head = 65535, .bad = BOTH },
	{ "next outside", .d = { { DATA, 1, D_NEXT, SIZE } }, .bad = SPLIT },
	{ "loop of one", .d = { { DATA, 1, D_NEXT, 0 } }, .bad = SPLIT },
	{ "loop of two",
	  .d = { { DATA, 1, D_NEXT, 1 }, { DATA, 1, D_NEXT, 0 } },
	  .bad = SPLIT },
	{ "loop of empty buffers", .d = { { DATA, 0, D_NEXT, 0 } },
	  .bad = SPLIT },
	{ "readable after writable",
	  .d = { { DATA, 1, D_NEXT | D_WRITE, 1 }, { DATA, 1, 0, 0 } },
	  .bad = BOTH },
	{ "readable and empty after writable",
	  .d = { { DATA, 1, D_NEXT | D_WRITE, 1 }, { DATA, 0, 0, 0 } },
	  .bad = BOTH },
	{ "indirect in indirect", .d = { { TABLE, 16, D_INDIRECT, 0 } },
	  .t = { { TABLE, 16, D_INDIRECT, 0 } }, .bad = SPLIT },
	{ "the ring as indirect table",
	  .d = { { RING, SIZE * 16, D_INDIRECT, 0 } }, .bad = SPLIT },
	{ "indirect with next",
	  .d = { { TABLE, 16, D_INDIRECT | D_NEXT, 1 }, { DATA, 1, 0, 0 } },
	  .bad = BOTH },
	{ "indirect after direct",
	  .d = { { DATA, 1, D_NEXT, 1 }, { TABLE, 16, D_INDIRECT, 0 } },
	  .bad = PACKED },
	{ "indirect of length 0", .d = { { TABLE, 0, D_INDIRECT, 0 } },
	  .bad = BOTH },
	{ "indirect of length 15", .d = { { TABLE, 15, D_INDIRECT, 0 } },
	  .bad = BOTH },
	{ "indirect of length 17", .d = { { TABLE, 17, D_INDIRECT, 0 } },
	  .bad = BOTH },
	{ "indirect next outside", .d = { { TABLE, 32, D_INDIRECT, 0 } },
	  .t = { { DATA, 1, D_NEXT, 2 } }, .bad = SPLIT },
	{ "indirect loop", .d = { { TABLE, 32, D_INDIRECT, 0 } },
	  .t = { { DATA, 1, D_NEXT, 1 }, { DATA, 1, D_NEXT, 0 } },
	  .bad = SPLIT },
	{ "indirect readable after writable",
	  .d = { { TABLE, 32, D_INDIRECT, 0 } },
	  .t = { { DATA, 1, D_NEXT | D_WRITE, 1 }, { DATA, 1, 0, 0 } },
	  .bad = BOTH },
};

/* The same chain in the format of the ring; a packed one has no links. */
static void put_desc(uint64_t table, unsigned i, const struct bad_desc *d,
		     uint16_t head)
{
	if (v.packed)
		vdesc_put(&ram, table, i, d->addr, d->len, head,
			  d->flags | packed_avail(&v, (uint16_t)i));
	else
		vdesc_put(&ram, table, i, d->addr, d->len, d->flags, d->next);
}

static void put_chain(int at)
{
	for (unsigned n = 0; n < 4; n++) {
		put_desc(RING, n, &chains[at].d[n], chains[at].head);
		put_desc(TABLE, n, &chains[at].t[n], 0);
	}
	if (!v.packed)
		split_offer_head(&v, chains[at].head);
}

START_TEST(b_chains)
{
	int at = _i / 2;

	begin(all(_i));
	put_chain(at);
	if (chains[at].bad & (_i & 1 ? PACKED : SPLIT))
		ck_breaks(chains[at].what, NULL);
	else
		ck_pops(chains[at].head);
}
END_TEST

START_TEST(b_indirect_needs_the_feature)
{
	struct virtq_features has = all(_i);

	has.indirect = false;
	begin(has);
	vdesc_put(&ram, TABLE, 0, DATA, 1, 0, 0);
	vring_offer1(&v, 0, TABLE, 16, D_INDIRECT);
	ck_breaks("indirect", "indirect descriptor without the feature");
}
END_TEST

/* Packed: descriptors that go on for ever, from any position. */
START_TEST(b_packed_chain_without_end)
{
	begin(all(1));
	for (int n = 0; n < _i; n++) {
		vring_offer1(&v, 0, DATA, 1, 0);
		ck_pops(0);
		virtq_push(&q, 0, 0);
	}
	for (unsigned n = 0; n < SIZE; n++)
		vdesc_put(&ram, RING, n, DATA, 1, 0,
			  D_NEXT | packed_avail(&v, q.avail_next));
	ck_breaks("endless", "chain is longer than the ring has room");
}
END_TEST

/* Packed: a chain into descriptors that are in flight. */
START_TEST(b_packed_chain_over_others)
{
	static const struct vbuf two[] = { { DATA, 1, 0 }, { DATA, 1, 0 } };

	begin(all(1));
	for (uint16_t id = 0; id < SIZE - 1; id++) {
		vring_offer1(&v, id, DATA, 1, 0);
		ck_pops(id);
	}
	vring_offer(&v, 7, two, 2);
	ck_breaks("over others", "chain is longer than the ring has room");
}
END_TEST

START_TEST(b_table_longer_than_queue)
{
	begin(all(_i));
	for (unsigned i = 0; i <= SIZE; i++) {
		uint16_t next = i < SIZE ? D_NEXT : 0;

		vdesc_put(&ram, TABLE, i, DATA, 1, _i & 1 ? 0 : next,
			  _i & 1 ? 0 : (uint16_t)(i + 1));
	}
	vring_offer1(&v, 0, TABLE, (SIZE + 1) * 16, D_INDIRECT);
	ck_breaks("long table", "chain is longer than the queue");
}
END_TEST

/* ---- (c) how much is available ----------------------------------------- */

static const uint16_t jumps[] = { SIZE + 1, 100, 32768, 65535 };

START_TEST(c_split_index_jumps)
{
	begin(all(0));
	vring_put16(&v, v.driver + 2, jumps[_i]);
	ck_breaks("jump", "available index jumped");
}
END_TEST

START_TEST(c_split_index_goes_back)
{
	begin(all(0));
	vring_offer1(&v, 0, DATA, 1, 0);
	ck_pops(0);
	virtq_push(&q, 0, 0);
	vring_put16(&v, v.driver + 2, 0);
	ck_assert(!virtq_wait(&q));
	ck_breaks("back", "available index jumped");
}
END_TEST

/* Packed: of the flags' four values at each position one is "available". */
START_TEST(c_packed_flags)
{
	begin(all(1));
	for (unsigned n = 0; n < 3 * SIZE; n++) {
		uint16_t flags = packed_avail(&v, v.avail);
		struct virtq_chain c;

		vring_offer1(&v, 0, DATA, 1, 0);
		for (unsigned f = 0; f < 4; f++) {
			uint16_t other = (uint16_t)((f & 1 ? D_AVAIL : 0) |
						    (f & 2 ? D_USED : 0));

			vring_put16(&v, RING + n % SIZE * 16 + 14, other);
			if (other != flags)
				ck_assert_int_eq(virtq_pop(&q, &c), 0);
		}
		vring_put16(&v, RING + n % SIZE * 16 + 14, flags);
		ck_pops(0);
		virtq_push(&q, 0, 0);
	}
}
END_TEST

/* Packed: more than the ring has, as if what is in flight were used. */
START_TEST(c_packed_more_than_the_ring)
{
	begin(all(1));
	for (uint16_t id = 0; id < SIZE; id++) {
		vring_offer1(&v, id, DATA, 1, 0);
		ck_pops(id);
	}
	vring_put16(&v, RING + 14, packed_avail(&v, v.avail));
	ck_breaks("more", "chain is longer than the ring has room");
}
END_TEST

/* ---- (d) races --------------------------------------------------------- */

/* What was popped is a copy: changing the ring changes nothing, not even
 * where a packed ring's used entry goes. */
START_TEST(d_copied_once)
{
	struct virtq_chain c;
	uint32_t id, len;

	begin(all(_i));
	vdesc_put(&ram, TABLE, 0, DATA, 4, 0, 0);
	vring_offer1(&v, 3, TABLE, 16, D_INDIRECT);
	ck_assert_int_eq(virtq_pop(&q, &c), 1);
	vdesc_put(&ram, TABLE, 0, 0, UINT32_MAX, 0xffff, 0xffff);
	for (unsigned i = 0; i < SIZE; i++)
		vdesc_put(&ram, RING, i, 0, UINT32_MAX, 0xffff, 0xffff);
	ck_assert_uint_eq(c.iov[0].iov_len, 4);
	ck_assert_uint_eq(c.head, 3);
	virtq_push(&q, c.head, 9);
	ck_assert(vring_take(&v, &id, &len));
	ck_assert_uint_eq(id, 3);
	ck_assert_uint_eq(len, 9);
}
END_TEST

/* A driver on another thread that rewrites everything all the time. */
static void *scribble(void *stop)
{
	static const uint32_t words[4][4] = {
		{ DATA, DATA, BED_RAM_B, 0xfffffff0 },
		{ 0, 0, 0, 1 },
		{ 16, 16, 64, 0x7fffffff },
		{ 0, D_WRITE, D_NEXT | 3 << 16, D_INDIRECT },
	};
	static const uint32_t packed[4] = {
		(uint32_t)D_AVAIL << 16,
		(uint32_t)(D_AVAIL | D_NEXT) << 16 | 1,
		(uint32_t)(D_USED | D_WRITE) << 16 | 2,
		(uint32_t)(D_AVAIL | D_INDIRECT) << 16 | 3,
	};
	uint32_t seed = 1;

	while (!atomic_load((atomic_bool *)stop)) {
		unsigned field;
		uint32_t *word, value;

		seed = seed * 1664525 + 1013904223;
		field = seed >> 16 & 0x1f;
		value = words[field & 3][seed >> 24 & 3];
		if (v.packed && (field & 3) == 3)
			value = packed[seed >> 24 & 3];
		word = ram_pin(&ram, GPA(RING + 4 * field), 4);
		__atomic_store_n(word, value, __ATOMIC_RELAXED);
		word = ram_pin(&ram, GPA(ring_avail(RING) + (seed >> 9 & 0xc)),
			       4);
		__atomic_store_n(word, seed & 0x00070007, __ATOMIC_RELAXED);
	}
	return NULL;
}

static bool inside(const struct iovec *vec)
{
	const uint8_t *at = vec->iov_base;

	for (unsigned i = 0; i < ram.region_count; i++) {
		const struct ram_region *r = &ram.region[i];

		if (at >= r->host &&
		    at + vec->iov_len <= r->host + r->size_bytes)
			return true;
	}
	return false;
}

/* Nothing that is popped may ever lie outside of RAM. */
static void pop_and_check(unsigned *popped)
{
	struct virtq_layout at = vring_layout(&v);
	struct virtq_features has = all(v.packed);
	struct virtq_chain c;

	if (!q.enabled || q.broken)
		ck_assert_int_eq(virtq_enable(&q, &at, has), 0);
	if (virtq_pop(&q, &c) != 1)
		return;
	++*popped;
	for (unsigned i = 0; i < c.out_count + c.in_count; i++)
		ck_assert(inside(&c.iov[i]));
	virtq_push(&q, c.head, 0);
	virtq_signal(&q);
	virtq_wait(&q);
}

START_TEST(d_ring_changes_under_the_reader)
{
	atomic_bool stop = false;
	pthread_t driver;
	unsigned popped = 0;

	begin(all(_i));
	pthread_create(&driver, NULL, scribble, &stop);
	while (popped < 10000)
		pop_and_check(&popped);
	atomic_store(&stop, true);
	pthread_join(driver, NULL);
}
END_TEST

/* ---- (e) heads in flight ----------------------------------------------- */

START_TEST(e_head_twice)
{
	struct virtq_chain c;

	begin(all(_i));
	vring_offer1(&v, 0, DATA, 1, 0);
	vring_offer1(&v, 0, DATA, 1, 0);
	ck_pops(0);
	ck_assert_int_eq(virtq_pop(&q, &c), -EPROTO);
	ck_assert_ptr_nonnull(strstr(q.broken, "in flight already"));
	/* The first one can still be given back, once. */
	virtq_push(&q, 0, 0);
	ck_assert_uint_eq(vring_used_count(&v), 1);
	virtq_push(&q, 0, 0);
	ck_assert_uint_eq(vring_used_count(&v), 1);
}
END_TEST

START_TEST(e_push_of_strangers)
{
	struct virtq_features has = all(_i);

	has.in_order = _i & 2;
	begin(has);
	vring_offer1(&v, 1, DATA, 1, 0);
	ck_pops(1);
	virtq_push(&q, 0, 0);
	virtq_push(&q, SIZE, 0);
	virtq_push(&q, 65535, 0);
	ck_assert_uint_eq(vring_used_count(&v), 0);
	ck_assert_uint_eq(q.in_flight_count, 1);
	virtq_reset(&q);
	virtq_push(&q, 1, 0);
	ck_assert_uint_eq(q.in_flight_count, 0);
	ck_assert_uint_eq(vring_used_count(&v), 0);
}
END_TEST

/* ---- (f) resets -------------------------------------------------------- */

/* A request that was in flight when the queue was reset and set up again. */
START_TEST(f_push_after_reset)
{
	struct virtq_chain c;

	begin(all(_i));
	vring_offer1(&v, 1, DATA, 1, 0);
	ck_assert_int_eq(virtq_pop(&q, &c), 1);
	virtq_reset(&q);
	begin(all(_i));
	virtq_push(&q, c.head, 1);
	virtq_undo(&q, &c);
	ck_assert_uint_eq(vring_used_count(&v), 0);
	ck_assert_uint_eq(q.avail_next, 0);
}
END_TEST

/* The same, and the other format then. */
START_TEST(f_push_after_change_of_format)
{
	struct virtq_chain c;

	begin(all(_i));
	vring_offer1(&v, 1, DATA, 1, 0);
	ck_assert_int_eq(virtq_pop(&q, &c), 1);
	begin(all(!_i));
	virtq_push(&q, c.head, 1);
	ck_assert_uint_eq(vring_used_count(&v), 0);
	vring_offer1(&v, 2, DATA, 1, 0);
	ck_pops(2);
}
END_TEST

/* ---- (f, m) with a device: run bit 0 packed, bit 1 MMIO ----------------- */

static struct bed bed;
static struct device *dev;
static struct drv drv;

static void device_begin(int i)
{
	uint64_t features = VIRTIO_F_VERSION_1 | VIRTIO_F_RING_RESET;

	memset(&bed, 0, sizeof(bed));
	bed_open(&bed, i & 2 ? TRANSPORT_MMIO : TRANSPORT_PCI, false);
	dev = bed_add(&bed, "virtio-rng");
	drv_find(&drv, &bed, dev, i & 2 ? 0 : 1);
	if (i & 1)
		features |= VIRTIO_F_RING_PACKED;
	ck_assert_uint_eq(drv_negotiate(&drv, features), 11);
	drv_queue(&drv, 0, 256, RING);
	drv_go(&drv);
	bed_run(&bed, 4);
}

static void device_end(void)
{
	device_free(dev);
	bed_close(&bed);
}

static void ck_serves(void)
{
	uint32_t id, len;

	drv_add(&drv, 0, DATA, 16, true);
	drv_kick(&drv, 0);
	bed_run(&bed, 4);
	ck_assert(drv_take(&drv, 0, &id, &len));
	ck_assert_uint_eq(len, 16);
}

/* Ring registers of a queue that runs are dead. */
START_TEST(f_registers_are_latched)
{
	device_begin(_i);
	for (unsigned n = 0; n < 300; n++) {
		drv_select(&drv, 0);
		drv_set_size(&drv, n % 256 + 1);
		drv_set_rings(&drv, BED_ECAM, UINT64_MAX & ~15ULL, 0);
		drv_enable(&drv);
		ck_serves();
	}
	ck_assert_uint_eq(drv_status(&drv), 15);
	device_end();
}
END_TEST

/* Reset, and set up elsewhere, with another size: the old ring is no longer
 * touched, although it holds requests. */
START_TEST(f_enabled_again_elsewhere)
{
	static uint8_t before[0x8000], after[0x8000];

	device_begin(_i);
	ck_serves();
	drv_add(&drv, 0, DATA, 16, true);
	drv_select(&drv, 0);
	drv_queue_put(&drv, 0x3a, 0xc0, 2, 1);
	ck_assert(!drv_enabled(&drv));
	ram_read(&bed.ram, GPA(RING), before, sizeof(before));
	drv_queue(&drv, 0, 64, OTHER);
	ck_assert(drv_enabled(&drv));
	for (unsigned n = 0; n < 200; n++)
		ck_serves();
	ram_read(&bed.ram, GPA(RING), after, sizeof(after));
	ck_assert_mem_eq(before, after, sizeof(after));
	device_end();
}
END_TEST

START_TEST(f_queue_size_of_the_format)
{
	device_begin(_i);
	drv_select(&drv, 0);
	drv_queue_put(&drv, 0x3a, 0xc0, 2, 1);
	drv_set_size(&drv, 64);
	drv_set_size(&drv, 100); /* packed only */
	drv_set_size(&drv, 257);
	drv_set_size(&drv, 0);
	drv_set_rings(&drv, OTHER, ring_avail(OTHER), ring_used(OTHER));
	drv_enable(&drv);
	vring_init(&drv.vq[0], &bed.ram, _i & 1, _i & 1 ? 100 : 64, OTHER);
	drv.size[0] = drv.vq[0].size;
	drv.next_desc[0] = 0;
	for (unsigned n = 0; n < 250; n++)
		ck_serves();
	device_end();
}
END_TEST

/* A ring that is always full of requests leaves turns for others. */
START_TEST(m_work_budget)
{
	uint32_t id, len;

	device_begin(_i);
	for (unsigned n = 0; n < 256; n++)
		drv_add(&drv, 0, DATA, 1, true);
	drv_kick(&drv, 0);
	for (unsigned round = 1; round < 20; round++) {
		bed_run(&bed, 0); /* one batch */
		for (unsigned n = 0; n < VIRTIO_KICK_BUDGET; n++) {
			ck_assert(drv_take(&drv, 0, &id, &len));
			drv_add(&drv, 0, DATA, 1, true);
		}
		ck_assert(!drv_take(&drv, 0, &id, &len));
	}
	device_end();
}
END_TEST

/* Packed: a ring where everything always looks new ends in a reset, not in an
 * endless loop (CVE-2026-16457 was one). */
START_TEST(m_packed_ring_without_end)
{
	device_begin(_i);
	for (unsigned n = 0; n < 256; n++)
		vdesc_put(&bed.ram, RING, n, DATA, 0, 7, D_AVAIL | D_NEXT);
	drv_kick(&drv, 0);
	bed_run(&bed, 1);
	ck_assert_uint_eq(drv_status(&drv), 15 | VIRTIO_NEEDS_RESET);
	device_end();
}
END_TEST

/* ---- runner ------------------------------------------------------------ */

static TCase *ring_case(void)
{
	TCase *tc = queue_case("rings");

	tcase_add_loop_test(tc, a_ring_places, 0, 2 * ARRAY_SIZE(layouts));
	tcase_add_loop_test(tc, a_buffer_places, 0, 4 * ARRAY_SIZE(places));
	tcase_add_loop_test(tc, a_indirect_table_places, 0,
			    2 * ARRAY_SIZE(places));
	tcase_add_loop_test(tc, a_sum_of_4_gib, 0, 4);
	tcase_add_loop_test(tc, b_chains, 0, 2 * ARRAY_SIZE(chains));
	tcase_add_loop_test(tc, b_indirect_needs_the_feature, 0, 2);
	tcase_add_loop_test(tc, b_packed_chain_without_end, 0, 2 * SIZE);
	tcase_add_test(tc, b_packed_chain_over_others);
	tcase_add_loop_test(tc, b_table_longer_than_queue, 0, 2);
	tcase_add_loop_test(tc, c_split_index_jumps, 0, ARRAY_SIZE(jumps));
	tcase_add_test(tc, c_split_index_goes_back);
	tcase_add_test(tc, c_packed_flags);
	tcase_add_test(tc, c_packed_more_than_the_ring);
	tcase_add_loop_test(tc, d_copied_once, 0, 2);
	tcase_add_loop_test(tc, e_head_twice, 0, 2);
	tcase_add_loop_test(tc, e_push_of_strangers, 0, 4);
	tcase_add_loop_test(tc, f_push_after_reset, 0, 2);
	tcase_add_loop_test(tc, f_push_after_change_of_format, 0, 2);
	return tc;
}

/* A racing driver is the point of this one, so TSan must not run it. */
static TCase *race_case(void)
{
	TCase *tc = queue_case("racing driver");

#ifndef __SANITIZE_THREAD__
	tcase_add_loop_test(tc, d_ring_changes_under_the_reader, 0, 2);
#else
	(void)d_ring_changes_under_the_reader;
#endif
	return tc;
}

static TCase *device_case(void)
{
	TCase *tc = tcase_create("with a device");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, f_registers_are_latched, 0, 4);
	tcase_add_loop_test(tc, f_enabled_again_elsewhere, 0, 4);
	tcase_add_loop_test(tc, f_queue_size_of_the_format, 0, 4);
	tcase_add_loop_test(tc, m_work_budget, 0, 4);
	tcase_add_loop_test(tc, m_packed_ring_without_end, 1, 2);
	return tc;
}

int main(void)
{
	Suite *suite = suite_create("virtio-hostile");

	suite_add_tcase(suite, ring_case());
	suite_add_tcase(suite, race_case());
	suite_add_tcase(suite, device_case());
	return suite_run(suite);
}
