/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: tests of devices/virtio/queue.c: rings as a hostile driver makes them
 *
 * Letters in brackets are the bug classes of the field's known holes: (a)
 * addresses that wrap, straddle or hit a hole; (b) malformed chains; (c)
 * available index jumps; (d) descriptors that change under the reader; (e) a
 * head that is in flight twice; (l) hostile snapshots.
 */
#include <check.h>
#include <errno.h>

#include "tests/unit/suite.h"
#include "virtio-driver.h"

#define RING BED_RAM_A
#define DATA (BED_RAM_A + 0x8000)
#define SIZE 8

static struct guest_ram ram;
static struct virtq q;
static uint16_t avail;
static struct bed shell; /* only for the helpers that take a bed */

static void setup(void)
{
	static const struct ram_options plain;
	struct diag d = DIAG_INIT;

	ram_init(&ram);
	ck_assert_int_eq(ram_add(&ram, GPA(BED_RAM_A), BED_RAM_SZ, &plain, &d),
			 0);
	ck_assert_int_eq(ram_add(&ram, GPA(BED_RAM_B), BED_RAM_SZ, &plain, &d),
			 0);
	ck_assert_int_eq(virtq_init(&q, &ram, 1024, &d), 0);
	shell.ram = ram;
	avail = 0;
}

static void teardown(void)
{
	virtq_release(&q);
	ram_release(&ram);
}

static struct virtq_layout layout(uint16_t size)
{
	return (struct virtq_layout){ .size = size,
				      .desc = GPA(RING),
				      .driver = GPA(ring_avail(RING)),
				      .device = GPA(ring_used(RING)) };
}

static void enable(bool event_idx, bool indirect)
{
	struct virtq_layout at = layout(SIZE);

	ck_assert_int_eq(virtq_enable(&q, &at, event_idx, indirect), 0);
}

static void desc(unsigned i, uint64_t addr, uint32_t len, uint16_t flags,
		 uint16_t next)
{
	desc_put(&shell, RING, i, addr, len, flags, next);
}

static void offer(uint16_t head)
{
	ram_put_u16(&shell, ring_avail(RING) + 4 + 2 * (avail % SIZE), head);
	ram_put_u16(&shell, ring_avail(RING) + 2, ++avail);
}

static uint16_t used_idx(void)
{
	return ram_u16(&shell, ring_used(RING) + 2);
}

/* ---- what a good driver does ------------------------------------------- */

START_TEST(empty_queue)
{
	struct virtq_chain c;

	ck_assert_int_eq(virtq_pop(&q, &c), 0); /* not enabled */
	enable(false, false);
	ck_assert_int_eq(virtq_pop(&q, &c), 0);
	ck_assert(!virtq_wait(&q));
	ck_assert(!virtq_signal(&q));
}
END_TEST

START_TEST(chain_of_three)
{
	struct virtq_chain c;

	enable(false, false);
	desc(5, DATA, 16, D_NEXT, 2);
	desc(2, DATA + 0x100, 32, D_NEXT, 7);
	desc(7, BED_RAM_B, 64, D_WRITE, 0);
	offer(5);
	ck_assert_int_eq(virtq_pop(&q, &c), 1);
	ck_assert_uint_eq(c.head, 5);
	ck_assert_uint_eq(c.out_count, 2);
	ck_assert_uint_eq(c.in_count, 1);
	ck_assert_uint_eq(c.out_bytes, 48);
	ck_assert_uint_eq(c.in_bytes, 64);
	ck_assert_ptr_eq(c.iov[1].iov_base,
			 ram_pin(&ram, GPA(DATA + 0x100), 1));
	ck_assert_ptr_eq(c.iov[2].iov_base, ram_pin(&ram, GPA(BED_RAM_B), 1));
	virtq_push(&q, c.head, 60);
	ck_assert_uint_eq(used_idx(), 1);
	ck_assert_uint_eq(ram_u16(&shell, ring_used(RING) + 4), 5);
	ck_assert_uint_eq(ram_u16(&shell, ring_used(RING) + 8), 60);
	ck_assert_int_eq(virtq_pop(&q, &c), 0);
}
END_TEST

START_TEST(indexes_wrap)
{
	struct virtq_chain c;

	enable(true, false);
	for (unsigned n = 0; n < 70000; n++) {
		desc(n % SIZE, DATA, n % 100 + 1, 0, 0);
		offer(n % SIZE);
		ck_assert_int_eq(virtq_pop(&q, &c), 1);
		ck_assert_uint_eq(c.out_bytes, n % 100 + 1);
		virtq_push(&q, c.head, 0);
		ck_assert_uint_eq(used_idx(), (uint16_t)(n + 1));
	}
	ck_assert_ptr_null(q.broken);
}
END_TEST

START_TEST(out_of_order)
{
	struct virtq_chain c;

	enable(false, false);
	for (uint16_t i = 0; i < SIZE; i++) {
		desc(i, DATA, 1, 0, 0);
		offer(i);
		ck_assert_int_eq(virtq_pop(&q, &c), 1);
	}
	for (uint16_t i = SIZE; i--;)
		virtq_push(&q, i, i);
	ck_assert_uint_eq(used_idx(), SIZE);
	ck_assert_uint_eq(q.in_flight_count, 0);
	ck_assert_uint_eq(ram_u16(&shell, ring_used(RING) + 4), SIZE - 1);
}
END_TEST

START_TEST(undo_gives_it_again)
{
	struct virtq_chain c;

	enable(false, false);
	desc(3, DATA, 1, D_WRITE, 0);
	offer(3);
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_int_eq(virtq_pop(&q, &c), 1);
		ck_assert_uint_eq(c.head, 3);
		virtq_undo(&q, &c);
		ck_assert_uint_eq(q.in_flight_count, 0);
	}
	ck_assert_int_eq(virtq_pop(&q, &c), 1);
}
END_TEST

START_TEST(indirect_table)
{
	struct virtq_chain c;
	uint64_t table = DATA + 0x1000;

	enable(false, true);
	/* A direct one first, then the table (VIRTIO 1.3 sec. 2.7.5.3.1). */
	desc(0, DATA, 4, D_NEXT, 1);
	desc(1, table, 3 * 16, D_INDIRECT, 0);
	desc_put(&shell, table, 0, DATA, 8, D_NEXT, 2);
	desc_put(&shell, table, 2, DATA, 16, D_NEXT | D_WRITE, 1);
	desc_put(&shell, table, 1, DATA, 32, D_WRITE, 0);
	offer(0);
	ck_assert_int_eq(virtq_pop(&q, &c), 1);
	ck_assert_uint_eq(c.out_bytes, 12);
	ck_assert_uint_eq(c.in_bytes, 48);
	ck_assert_uint_eq(c.head, 0);
}
END_TEST

START_TEST(full_length_chain)
{
	struct virtq_chain c;

	enable(false, false);
	for (unsigned i = 0; i < SIZE; i++)
		desc(i, DATA, 1, i < SIZE - 1 ? D_NEXT : 0, i + 1);
	offer(0);
	ck_assert_int_eq(virtq_pop(&q, &c), 1);
	ck_assert_uint_eq(c.out_count, SIZE);
}
END_TEST

START_TEST(largest_queue)
{
	struct virtq big;
	struct virtq_chain c;
	struct virtq_layout at = { .size = 32768,
				   .desc = GPA(BED_RAM_B),
				   .driver = GPA(RING),
				   .device = GPA(RING + 0x20000) };
	struct diag d = DIAG_INIT;

	ck_assert_int_eq(virtq_init(&big, &ram, 32768, &d), 0);
	ck_assert_int_eq(virtq_enable(&big, &at, true, true), 0);
	desc_put(&shell, BED_RAM_B, 32767, RING, 5, D_WRITE, 0);
	ram_put_u16(&shell, RING + 4, 32767);
	ram_put_u16(&shell, RING + 2, 1);
	ck_assert_int_eq(virtq_pop(&big, &c), 1);
	virtq_push(&big, c.head, 5);
	ck_assert_uint_eq(ram_u16(&shell, RING + 0x20002), 1);
	virtq_release(&big);
}
END_TEST

/* ---- notification ------------------------------------------------------ */

static void push_one(void)
{
	struct virtq_chain c;

	desc(0, DATA, 1, 0, 0);
	offer(0);
	ck_assert_int_eq(virtq_pop(&q, &c), 1);
	virtq_push(&q, c.head, 0);
}

START_TEST(signal_by_flag)
{
	enable(false, false);
	ck_assert(!virtq_signal(&q));
	push_one();
	ck_assert(virtq_signal(&q));
	ck_assert(!virtq_signal(&q));		  /* nothing new */
	ram_put_u16(&shell, ring_avail(RING), 1); /* NO_INTERRUPT */
	push_one();
	ck_assert(!virtq_signal(&q));
}
END_TEST

/* VIRTIO 1.3 sec. 2.7.7.2: interrupt when the index passes used_event. */
static const struct {
	uint16_t event;
	unsigned pushes;
	bool wanted;
} events[] = {
	{ 0, 1, true },	     { 1, 1, false }, { 1, 2, true },
	{ 2, 3, true },	     { 3, 3, false }, { 65535, 1, false },
	{ 65535, 3, false },
};

START_TEST(signal_by_event)
{
	enable(true, false);
	ram_put_u16(&shell, ring_avail(RING) + 4 + 2 * SIZE, events[_i].event);
	ram_put_u16(&shell, ring_avail(RING), 1); /* must be ignored */
	for (unsigned i = 0; i < events[_i].pushes; i++)
		push_one();
	ck_assert_int_eq(virtq_signal(&q), events[_i].wanted);
	ck_assert(!virtq_signal(&q));
}
END_TEST

START_TEST(wait_publishes_event)
{
	enable(true, false);
	push_one();
	push_one();
	ck_assert(!virtq_wait(&q));
	ck_assert_uint_eq(ram_u16(&shell, ring_used(RING) + 4 + 8 * SIZE), 2);
	desc(0, DATA, 1, 0, 0);
	offer(0);
	ck_assert(virtq_wait(&q)); /* the driver was faster */
}
END_TEST

/* ---- rings in bad places (a) ------------------------------------------- */

static const struct {
	struct virtq_layout at;
	bool good;
} layouts[] = {
	{ { 8, { RING }, { RING + 0x1000 }, { RING + 0x2000 } }, true },
	{ { 1024, { RING }, { RING + 0x4000 }, { RING + 0x8000 } }, true },
	{ { 0, { RING }, { RING + 0x1000 }, { RING + 0x2000 } }, false },
	{ { 6, { RING }, { RING + 0x1000 }, { RING + 0x2000 } }, false },
	{ { 2048, { RING }, { RING + 0x8000 }, { RING + 0x10000 } }, false },
	{ { 65535, { RING }, { RING + 0x1000 }, { RING + 0x2000 } }, false },
	/* alignment */
	{ { 8, { RING + 8 }, { RING + 0x1000 }, { RING + 0x2000 } }, false },
	{ { 8, { RING }, { RING + 0x1001 }, { RING + 0x2000 } }, false },
	{ { 8, { RING }, { RING + 0x1000 }, { RING + 0x2002 } }, false },
	/* holes, ends, wraps */
	{ { 8, { 0 }, { RING + 0x1000 }, { RING + 0x2000 } }, false },
	{ { 8, { RING }, { BED_MEM32 }, { RING + 0x2000 } }, false },
	{ { 8, { RING }, { RING + 0x1000 }, { UINT64_MAX & ~3ULL } }, false },
	{ { 8, { UINT64_MAX & ~15ULL }, { RING }, { RING + 0x2000 } }, false },
	{ { 8, { RING + BED_RAM_SZ - 112 }, { RING }, { RING + 64 } }, false },
	{ { 8, { RING + BED_RAM_SZ - 128 }, { RING }, { RING + 64 } }, true },
	{ { 8, { RING }, { RING + BED_RAM_SZ - 20 }, { RING + 128 } }, false },
	{ { 8, { RING }, { RING + BED_RAM_SZ - 22 }, { RING + 128 } }, true },
	{ { 8, { RING }, { RING + 128 }, { RING + BED_RAM_SZ - 68 } }, false },
	{ { 8, { RING }, { RING + 128 }, { RING + BED_RAM_SZ - 72 } }, true },
};

START_TEST(ring_places)
{
	struct virtq_chain c;

	if (layouts[_i].good) {
		ck_assert_int_eq(virtq_enable(&q, &layouts[_i].at, true, true),
				 0);
		ck_assert(q.enabled);
		return;
	}
	ck_assert_int_eq(virtq_enable(&q, &layouts[_i].at, true, true),
			 -EINVAL);
	ck_assert(!q.enabled);
	ck_assert_ptr_nonnull(q.broken);
	ck_assert_int_eq(virtq_pop(&q, &c), -EPROTO);
}
END_TEST

/* ---- malformed chains (a, b) ------------------------------------------- */

struct bad_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};

#define TABLE (DATA + 0x1000)

/* @d is the ring's table, @t an indirect one at TABLE; head 0. */
static const struct {
	const char *what;
	struct bad_desc d[4], t[4];
	uint16_t head;
} bad_chains[] = {
	{ "head outside", .head = SIZE },
	{ "head far outside", .head = 65535 },
	{ "next outside", .d = { { DATA, 1, D_NEXT, SIZE } } },
	{ "loop of one", .d = { { DATA, 1, D_NEXT, 0 } } },
	{ "loop of two",
	  .d = { { DATA, 1, D_NEXT, 1 }, { DATA, 1, D_NEXT, 0 } } },
	{ "loop of empty buffers", .d = { { DATA, 0, D_NEXT, 0 } } },
	{ "readable after writable",
	  .d = { { DATA, 1, D_NEXT | D_WRITE, 1 }, { DATA, 1, 0, 0 } } },
	{ "address 0", .d = { { 0, 1, 0, 0 } } },
	{ "hole", .d = { { BED_RAM_A + BED_RAM_SZ, 1, 0, 0 } } },
	{ "into the hole", .d = { { BED_RAM_A + BED_RAM_SZ - 8, 9, 0, 0 } } },
	{ "over the hole", .d = { { BED_RAM_A, 0x10000001, 0, 0 } } },
	{ "before RAM", .d = { { BED_RAM_A - 1, 2, 0, 0 } } },
	{ "wraps", .d = { { UINT64_MAX - 3, 16, 0, 0 } } },
	{ "device registers", .d = { { BED_ECAM, 4, D_WRITE, 0 } } },
	{ "MSI doorbell", .d = { { 0xfee00000, 4, D_WRITE, 0 } } },
	{ "4 GiB long", .d = { { DATA, UINT32_MAX, 0, 0 } } },
	{ "indirect in indirect", .d = { { TABLE, 16, D_INDIRECT, 0 } },
	  .t = { { TABLE, 16, D_INDIRECT, 0 } } },
	{ "indirect with next",
	  .d = { { TABLE, 16, D_INDIRECT | D_NEXT, 1 }, { DATA, 1, 0, 0 } } },
	{ "indirect of length 0", .d = { { TABLE, 0, D_INDIRECT, 0 } } },
	{ "indirect of length 15", .d = { { TABLE, 15, D_INDIRECT, 0 } } },
	{ "indirect of length 17", .d = { { TABLE, 17, D_INDIRECT, 0 } } },
	{ "indirect table in a hole",
	  .d = { { BED_MEM32, 16, D_INDIRECT, 0 } } },
	{ "indirect table wraps",
	  .d = { { UINT64_MAX - 15, 64, D_INDIRECT, 0 } } },
	{ "indirect next outside", .d = { { TABLE, 32, D_INDIRECT, 0 } },
	  .t = { { DATA, 1, D_NEXT, 2 } } },
	{ "indirect loop", .d = { { TABLE, 32, D_INDIRECT, 0 } },
	  .t = { { DATA, 1, D_NEXT, 1 }, { DATA, 1, D_NEXT, 0 } } },
	{ "indirect readable after writable",
	  .d = { { TABLE, 32, D_INDIRECT, 0 } },
	  .t = { { DATA, 1, D_NEXT | D_WRITE, 1 }, { DATA, 1, 0, 0 } } },
};

static void put_chain(int i)
{
	for (unsigned n = 0; n < 4; n++) {
		const struct bad_desc *d = &bad_chains[i].d[n];
		const struct bad_desc *t = &bad_chains[i].t[n];

		desc(n, d->addr, d->len, d->flags, d->next);
		desc_put(&shell, TABLE, n, t->addr, t->len, t->flags, t->next);
	}
	offer(bad_chains[i].head);
}

START_TEST(bad_chain)
{
	struct virtq_chain c;

	enable(true, true);
	put_chain(_i);
	ck_assert_msg(virtq_pop(&q, &c) == -EPROTO, "%s: accepted",
		      bad_chains[_i].what);
	ck_assert_ptr_nonnull(q.broken);
	ck_assert_uint_eq(q.in_flight_count, 0);
	/* It stays broken, and a reset repairs it. */
	ck_assert_int_eq(virtq_pop(&q, &c), -EPROTO);
	ck_assert(!virtq_wait(&q));
	ram_fill(&ram, GPA(RING), 0, 0x8000);
	avail = 0;
	enable(true, true);
	push_one();
}
END_TEST

START_TEST(indirect_needs_the_feature)
{
	struct virtq_chain c;

	enable(true, false);
	desc(0, TABLE, 16, D_INDIRECT, 0);
	desc_put(&shell, TABLE, 0, DATA, 1, 0, 0);
	offer(0);
	ck_assert_int_eq(virtq_pop(&q, &c), -EPROTO);
}
END_TEST

START_TEST(chain_longer_than_queue)
{
	struct virtq_chain c;

	enable(false, true);
	for (unsigned i = 0; i <= SIZE; i++)
		desc_put(&shell, TABLE, i, DATA, 1, i < SIZE ? D_NEXT : 0,
			 i + 1);
	desc(0, TABLE, (SIZE + 1) * 16, D_INDIRECT, 0);
	offer(0);
	ck_assert_int_eq(virtq_pop(&q, &c), -EPROTO);
}
END_TEST

/* The largest table that can be said is not walked further than the queue is
 * long. */
START_TEST(indirect_table_of_4_gib)
{
	struct virtq_chain c;

	enable(false, true);
	desc(0, TABLE, 0xfffffff0, D_INDIRECT, 0);
	desc_put(&shell, TABLE, 0, DATA, 1, D_NEXT, 65535);
	offer(0);
	ck_assert_int_eq(virtq_pop(&q, &c), -EPROTO);
}
END_TEST

/* 1 MiB described again and again: fine below 4 GiB, refused at it. */
START_TEST(sum_of_4_gib)
{
	struct virtq big;
	struct virtq_chain c;
	struct virtq_layout at = { .size = 8192,
				   .desc = GPA(BED_RAM_B),
				   .driver = GPA(RING),
				   .device = GPA(RING + 0x20000) };
	struct diag d = DIAG_INIT;
	unsigned last = _i ? 4095 : 4094;

	ck_assert_int_eq(virtq_init(&big, &ram, 8192, &d), 0);
	ck_assert_int_eq(virtq_enable(&big, &at, false, false), 0);
	for (unsigned i = 0; i <= last; i++)
		desc_put(&shell, BED_RAM_B, i, BED_RAM_A, BED_RAM_SZ,
			 i < last ? D_NEXT : 0, (uint16_t)(i + 1));
	ram_put_u16(&shell, RING + 2, 1);
	ck_assert_int_eq(virtq_pop(&big, &c), _i ? -EPROTO : 1);
	if (!_i)
		ck_assert_uint_eq(c.out_bytes, 4095 * BED_RAM_SZ);
	virtq_release(&big);
}
END_TEST

START_TEST(empty_buffers_are_skipped)
{
	struct virtq_chain c;

	enable(false, false);
	desc(0, 0, 0, D_NEXT, 1); /* address 0 does not matter */
	desc(1, DATA, 4, D_WRITE, 0);
	offer(0);
	ck_assert_int_eq(virtq_pop(&q, &c), 1);
	ck_assert_uint_eq(c.out_count, 0);
	ck_assert_uint_eq(c.in_count, 1);
	virtq_push(&q, c.head, 4);
	desc(0, DATA, 0, 0, 0);
	offer(0);
	ck_assert_int_eq(virtq_pop(&q, &c), 1);
	ck_assert_uint_eq(c.out_count + c.in_count, 0);
}
END_TEST

/* ---- indexes, heads, races (c, d, e) ----------------------------------- */

static const uint16_t jumps[] = { SIZE + 1, 100, 32768, 65535 };

START_TEST(avail_jump)
{
	struct virtq_chain c;

	enable(true, false);
	ram_put_u16(&shell, ring_avail(RING) + 2, jumps[_i]);
	ck_assert_int_eq(virtq_pop(&q, &c), -EPROTO);
	ck_assert_str_eq(q.broken, "available index jumped");
}
END_TEST

START_TEST(avail_goes_back)
{
	struct virtq_chain c;

	enable(true, false);
	push_one();
	ram_put_u16(&shell, ring_avail(RING) + 2, 0);
	ck_assert(!virtq_wait(&q));
	ck_assert_int_eq(virtq_pop(&q, &c), -EPROTO);
}
END_TEST

START_TEST(head_twice)
{
	struct virtq_chain c;

	enable(true, false);
	desc(0, DATA, 1, 0, 0);
	offer(0);
	offer(0);
	ck_assert_int_eq(virtq_pop(&q, &c), 1);
	ck_assert_int_eq(virtq_pop(&q, &c), -EPROTO);
	ck_assert_str_eq(q.broken, "head is in flight already");
	/* The first one can still be given back, once. */
	virtq_push(&q, 0, 0);
	ck_assert_uint_eq(used_idx(), 1);
	virtq_push(&q, 0, 0);
	ck_assert_uint_eq(used_idx(), 1);
}
END_TEST

START_TEST(push_of_strangers)
{
	enable(true, false);
	virtq_push(&q, 0, 0);
	virtq_push(&q, SIZE, 0);
	virtq_push(&q, 65535, 0);
	ck_assert_uint_eq(used_idx(), 0);
	virtq_reset(&q);
	virtq_push(&q, 0, 0);
	ck_assert_uint_eq(q.in_flight_count, 0);
}
END_TEST

/* A request that was in flight when the queue was reset and set up again. */
START_TEST(push_after_reset)
{
	struct virtq_chain c;

	enable(true, false);
	desc(1, DATA, 1, 0, 0);
	offer(1);
	ck_assert_int_eq(virtq_pop(&q, &c), 1);
	virtq_reset(&q);
	enable(true, false);
	virtq_push(&q, c.head, 1);
	ck_assert_uint_eq(used_idx(), 0);
}
END_TEST

/* What was popped is a copy: changing the ring changes nothing. */
START_TEST(copied_once)
{
	struct virtq_chain c;

	enable(true, true);
	desc(0, TABLE, 16, D_INDIRECT, 0);
	desc_put(&shell, TABLE, 0, DATA, 4, 0, 0);
	offer(0);
	ck_assert_int_eq(virtq_pop(&q, &c), 1);
	desc(0, 0, 0xffffffff, D_NEXT, 9);
	desc_put(&shell, TABLE, 0, 0, 0xffffffff, D_NEXT, 9);
	ck_assert_uint_eq(c.iov[0].iov_len, 4);
	ck_assert_uint_eq(c.head, 0);
	virtq_push(&q, c.head, 0);
	ck_assert_uint_eq(used_idx(), 1);
}
END_TEST

/* A driver on another thread that rewrites everything all the time: nothing
 * that is popped may ever lie outside of RAM. */
static void *scribble(void *stop)
{
	static const uint32_t words[4][4] = {
		{ DATA, DATA, BED_RAM_B, 0xfffffff0 },
		{ 0, 0, 0, 1 },
		{ 16, 16, 64, 0x7fffffff },
		{ 0, D_WRITE, D_NEXT | 3 << 16, D_INDIRECT },
	};
	uint32_t seed = 1;

	while (!atomic_load((atomic_bool *)stop)) {
		unsigned field;
		uint32_t *word;

		seed = seed * 1664525 + 1013904223;
		field = seed >> 16 & 0x1f;
		word = ram_pin(&ram, GPA(RING + 4 * field), 4);
		__atomic_store_n(word, words[field & 3][seed >> 24 & 3],
				 __ATOMIC_RELAXED);
		word = ram_pin(&ram, GPA(ring_avail(RING) + (seed >> 9 & 0xc)),
			       4);
		__atomic_store_n(word, seed & 0x00070007, __ATOMIC_RELAXED);
	}
	return NULL;
}

static bool inside(const struct iovec *v)
{
	const uint8_t *at = v->iov_base;

	for (unsigned i = 0; i < ram.region_count; i++) {
		const struct ram_region *r = &ram.region[i];

		if (at >= r->host && at + v->iov_len <= r->host + r->size_bytes)
			return true;
	}
	return false;
}

static void pop_and_check(unsigned *popped)
{
	struct virtq_chain c;

	if (!q.enabled || q.broken)
		enable(true, true);
	if (virtq_pop(&q, &c) != 1)
		return;
	++*popped;
	for (unsigned i = 0; i < c.out_count + c.in_count; i++)
		ck_assert(inside(&c.iov[i]));
	virtq_push(&q, c.head, 0);
}

START_TEST(ring_changes_under_the_reader)
{
	atomic_bool stop = false;
	pthread_t driver;
	unsigned popped = 0;

	pthread_create(&driver, NULL, scribble, &stop);
	while (popped < 10000)
		pop_and_check(&popped);
	atomic_store(&stop, true);
	pthread_join(driver, NULL);
}
END_TEST

/* ---- state (l) --------------------------------------------------------- */

START_TEST(state_round_trip)
{
	struct stream_out out;
	struct stream_in in;
	struct virtq_chain c;

	enable(true, false);
	push_one();
	push_one();
	desc(4, DATA, 9, 0, 0);
	offer(4);
	stream_out_init(&out);
	virtq_save(&q, &out);
	virtq_reset(&q);
	stream_in_init(&in, out.data, out.len);
	ck_assert_int_eq(virtq_load(&q, &in), 0);
	ck_assert_int_eq(stream_in_done(&in), 0);
	ck_assert_int_eq(virtq_pop(&q, &c), 1);
	ck_assert_uint_eq(c.head, 4);
	virtq_push(&q, c.head, 0);
	ck_assert_uint_eq(used_idx(), 3);
	stream_out_release(&out);
}
END_TEST

START_TEST(state_damaged)
{
	struct stream_out out;
	struct virtq_chain c;

	enable(true, false);
	push_one();
	stream_out_init(&out);
	virtq_save(&q, &out);
	for (size_t i = 0; i < out.len * 8; i++) {
		struct stream_in in;

		out.data[i / 8] ^= (uint8_t)(1 << i % 8);
		virtq_reset(&q);
		stream_in_init(&in, out.data, out.len);
		if (!virtq_load(&q, &in))
			while (virtq_pop(&q, &c) > 0)
				virtq_push(&q, c.head, 0);
		else
			ck_assert(!q.enabled);
		out.data[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	for (size_t len = 0; len < out.len; len++) {
		struct stream_in in;

		virtq_reset(&q);
		stream_in_init(&in, out.data, len);
		ck_assert_int_eq(virtq_load(&q, &in), -EBADMSG);
	}
	stream_out_release(&out);
}
END_TEST

/* ---- runner ------------------------------------------------------------ */

static TCase *queue_case(const char *name)
{
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	return tc;
}

static TCase *good_case(void)
{
	TCase *tc = queue_case("good drivers");

	tcase_add_test(tc, empty_queue);
	tcase_add_test(tc, chain_of_three);
	tcase_add_test(tc, indexes_wrap);
	tcase_add_test(tc, out_of_order);
	tcase_add_test(tc, undo_gives_it_again);
	tcase_add_test(tc, indirect_table);
	tcase_add_test(tc, full_length_chain);
	tcase_add_test(tc, largest_queue);
	tcase_add_test(tc, signal_by_flag);
	tcase_add_loop_test(tc, signal_by_event, 0, ARRAY_SIZE(events));
	tcase_add_test(tc, wait_publishes_event);
	return tc;
}

static TCase *bad_case(void)
{
	TCase *tc = queue_case("hostile drivers");

	tcase_add_loop_test(tc, ring_places, 0, ARRAY_SIZE(layouts));
	tcase_add_loop_test(tc, bad_chain, 0, ARRAY_SIZE(bad_chains));
	tcase_add_test(tc, indirect_needs_the_feature);
	tcase_add_test(tc, chain_longer_than_queue);
	tcase_add_test(tc, indirect_table_of_4_gib);
	tcase_add_loop_test(tc, sum_of_4_gib, 0, 2);
	tcase_add_test(tc, empty_buffers_are_skipped);
	tcase_add_loop_test(tc, avail_jump, 0, ARRAY_SIZE(jumps));
	tcase_add_test(tc, avail_goes_back);
	tcase_add_test(tc, head_twice);
	tcase_add_test(tc, push_of_strangers);
	tcase_add_test(tc, push_after_reset);
	tcase_add_test(tc, copied_once);
	return tc;
}

/* A racing driver is the point of this one, so TSan must not run it. */
static TCase *race_case(void)
{
	TCase *tc = queue_case("racing driver");

#ifndef __SANITIZE_THREAD__
	tcase_add_test(tc, ring_changes_under_the_reader);
#else
	(void)ring_changes_under_the_reader;
#endif
	return tc;
}

static TCase *state_case(void)
{
	TCase *tc = queue_case("state");

	tcase_add_test(tc, state_round_trip);
	tcase_add_test(tc, state_damaged);
	return tc;
}

int main(void)
{
	Suite *suite = suite_create("virtio-queue");

	suite_add_tcase(suite, good_case());
	suite_add_tcase(suite, bad_case());
	suite_add_tcase(suite, race_case());
	suite_add_tcase(suite, state_case());
	return suite_run(suite);
}
