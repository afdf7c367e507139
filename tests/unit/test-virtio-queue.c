/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: tests of devices/virtio/queue*.c: what good drivers see, on both ring
 * formats; test-virtio-hostile.c has the others
 *
 * Loop tests: odd runs are packed rings.
 */
#include <check.h>
#include <errno.h>

#include "tests/unit/suite.h"
#include "tests/unit/virtq-rig.h"

#define DATA  (RAM_A + 0x8000)
#define TABLE (DATA + 0x1000)

static void begin_size(struct virtq_features has, uint16_t size)
{
	struct virtq_layout at;

	vring_init(&v, &ram, has.packed, size, RING);
	v.event_idx = has.event_idx;
	at = vring_layout(&v);
	ck_assert_int_eq(virtq_enable(&q, &at, has), 0);
}

static void begin(struct virtq_features has)
{
	begin_size(has, SIZE);
}

/* Plain rings of the format of run @i. */
static struct virtq_features format(int i)
{
	return (struct virtq_features){ .packed = i & 1 };
}

static struct virtq_features with_events(int i)
{
	return (struct virtq_features){ .packed = i & 1, .event_idx = true };
}

static struct virtq_chain pop(void)
{
	struct virtq_chain c;

	ck_assert_int_eq(virtq_pop(&q, &c), 1);
	return c;
}

static void ck_empty(void)
{
	struct virtq_chain c;

	ck_assert_int_eq(virtq_pop(&q, &c), 0);
	ck_assert_ptr_null(q.broken);
}

static void ck_taken(uint32_t id, uint32_t len)
{
	uint32_t got_id, got_len;

	ck_assert(vring_take(&v, &got_id, &got_len));
	ck_assert_uint_eq(got_id, id);
	ck_assert_uint_eq(got_len, len);
}

static void ck_none_used(void)
{
	uint32_t id, len;

	ck_assert(!vring_take(&v, &id, &len));
}

/* ---- requests ---------------------------------------------------------- */

START_TEST(empty_queue)
{
	struct virtq_chain c;

	ck_assert_int_eq(virtq_pop(&q, &c), 0); /* not enabled */
	ck_assert(!virtq_wait(&q));
	begin(format(_i));
	ck_empty();
	ck_assert(!virtq_wait(&q));
	ck_assert(!virtq_signal(&q));
}
END_TEST

static const struct vbuf three[] = {
	{ DATA, 16, 0 },
	{ DATA + 0x100, 32, 0 },
	{ RAM_B, 64, D_WRITE },
};

START_TEST(chain_of_three)
{
	struct virtq_chain c;

	begin(format(_i));
	vring_offer(&v, 5, three, 3);
	c = pop();
	ck_assert_uint_eq(c.head, 5);
	ck_assert_uint_eq(c.out_count, 2);
	ck_assert_uint_eq(c.in_count, 1);
	ck_assert_uint_eq(c.out_bytes, 48);
	ck_assert_uint_eq(c.in_bytes, 64);
	ck_assert_ptr_eq(c.iov[0].iov_base, ram_pin(&ram, GPA(DATA), 1));
	ck_assert_ptr_eq(c.iov[1].iov_base,
			 ram_pin(&ram, GPA(DATA + 0x100), 1));
	ck_assert_ptr_eq(c.iov[2].iov_base, ram_pin(&ram, GPA(RAM_B), 1));
	ck_none_used();
	virtq_push(&q, c.head, 60);
	ck_taken(5, 60);
	ck_none_used();
	ck_empty();
}
END_TEST

/* A split ring's descriptors may be linked in any order. */
START_TEST(split_links_jump)
{
	struct virtq_chain c;

	begin(format(0));
	vdesc_put(&ram, RING, 5, DATA, 16, D_NEXT, 2);
	vdesc_put(&ram, RING, 2, DATA, 32, D_NEXT, 7);
	vdesc_put(&ram, RING, 7, RAM_B, 64, D_WRITE, 0);
	split_offer_head(&v, 5);
	c = pop();
	ck_assert_uint_eq(c.out_bytes, 48);
	ck_assert_uint_eq(c.in_bytes, 64);
}
END_TEST

/* Packed: the last descriptor names the buffer (VIRTIO 1.3 sec. 2.8.6), and
 * a used entry says by WRITE whether anything was written. */
START_TEST(packed_details)
{
	begin(format(1));
	vring_offer(&v, 6, three, 3);
	vring_put16(&v, RING + 12, 1);
	vring_put16(&v, RING + 28, 99);
	ck_assert_uint_eq(pop().head, 6);
	virtq_push(&q, 6, 1);
	ck_assert_uint_eq(vring_get16(&v, RING + 14),
			  D_AVAIL | D_USED | D_WRITE);
	vring_offer1(&v, 0, DATA, 1, 0);
	pop();
	virtq_push(&q, 0, 0);
	ck_assert_uint_eq(vring_get16(&v, RING + 3 * 16 + 14),
			  D_AVAIL | D_USED);
	ck_taken(6, 1);
	ck_taken(0, 0);
}
END_TEST

/* Chains of 1 to 3, so that they meet the end of a packed ring in every way,
 * which a size of 7 helps; far beyond 2^16. */
START_TEST(indexes_wrap)
{
	begin_size(with_events(_i), _i & 1 ? 7 : 8);
	for (unsigned n = 0; n < 70000; n++) {
		unsigned count = n % 3 + 1;
		uint16_t id = (uint16_t)(n % v.size);
		struct virtq_chain c;

		vring_offer(&v, id, three, count);
		c = pop();
		ck_assert_uint_eq(c.head, id);
		ck_assert_uint_eq(c.out_count + c.in_count, count);
		ck_empty();
		virtq_push(&q, c.head, n);
		ck_taken(id, n);
		ck_none_used();
	}
	ck_assert_uint_eq(v.taken, (uint16_t)70000);
}
END_TEST

/* Sizes of packed rings need not be powers of two (sec. 2.8.10.1). */
static const uint16_t sizes[] = { 1, 2, 3, 5, 7, 8, 255, 1000, 1024 };

START_TEST(full_rings)
{
	uint16_t size = sizes[_i / 2];

	if (!(_i & 1) && !is_pow2(size))
		return;
	begin_size(format(_i), size);
	for (unsigned round = 0; round < 5; round++) {
		for (uint16_t id = 0; id < size; id++)
			vring_offer1(&v, id, DATA, id + 1u, 0);
		for (uint16_t id = 0; id < size; id++)
			ck_assert_uint_eq(pop().out_bytes, id + 1u);
		ck_empty();
		for (uint16_t id = 0; id < size; id++)
			virtq_push(&q, id, 0);
		for (uint16_t id = 0; id < size; id++)
			ck_taken(id, 0);
		ck_none_used();
	}
}
END_TEST

START_TEST(out_of_order)
{
	begin(format(_i));
	for (unsigned round = 0; round < 5; round++) {
		for (uint16_t i = 0; i < SIZE; i++) {
			vring_offer1(&v, i, DATA, 1, 0);
			pop();
		}
		ck_assert_uint_eq(q.in_flight_count, SIZE);
		for (uint16_t i = SIZE; i--;)
			virtq_push(&q, i, i);
		ck_assert_uint_eq(q.in_flight_count, 0);
		for (uint16_t i = SIZE; i--;)
			ck_taken(i, i);
	}
}
END_TEST

/* Chains of different lengths complete in another order: a packed ring's used
 * entries overwrite what is in their way, and skip. */
START_TEST(out_of_order_chains)
{
	begin_size(format(_i), _i & 1 ? 7 : 8);
	for (unsigned round = 0; round < 50; round++) {
		vring_offer(&v, 0, three, 3);
		vring_offer(&v, 3, three, 1);
		vring_offer(&v, 4, three, 2);
		pop();
		pop();
		pop();
		virtq_push(&q, 4, 4);
		ck_taken(4, 4);
		virtq_push(&q, 0, 10);
		virtq_push(&q, 3, 3);
		ck_taken(0, 10);
		ck_taken(3, 3);
		ck_none_used();
	}
}
END_TEST

START_TEST(undo_gives_it_again)
{
	struct virtq_chain c;

	begin_size(format(_i), _i & 1 ? 5 : 8);
	for (unsigned n = 0; n < 30; n++) {
		vring_offer(&v, 1, three, 3);
		for (unsigned i = 0; i < 3; i++) {
			c = pop();
			ck_assert_uint_eq(c.head, 1);
			virtq_undo(&q, &c);
			ck_assert_uint_eq(q.in_flight_count, 0);
		}
		c = pop();
		virtq_push(&q, 1, n);
		ck_taken(1, n);
		virtq_undo(&q, &c); /* too late */
		ck_empty();
	}
}
END_TEST

START_TEST(split_indirect_table)
{
	struct virtq_chain c;

	begin((struct virtq_features){ .indirect = true });
	/* A direct one first, then the table (VIRTIO 1.3 sec. 2.7.5.3.1). */
	vdesc_put(&ram, RING, 0, DATA, 4, D_NEXT, 1);
	vdesc_put(&ram, RING, 1, TABLE, 3 * 16, D_INDIRECT, 0);
	vdesc_put(&ram, TABLE, 0, DATA, 8, D_NEXT, 2);
	vdesc_put(&ram, TABLE, 2, DATA, 16, D_NEXT | D_WRITE, 1);
	vdesc_put(&ram, TABLE, 1, DATA, 32, D_WRITE, 0);
	split_offer_head(&v, 0);
	c = pop();
	ck_assert_uint_eq(c.out_bytes, 12);
	ck_assert_uint_eq(c.in_bytes, 48);
	ck_assert_uint_eq(c.head, 0);
}
END_TEST

/* All of the table, in order; ids and all flags but WRITE are ignored (sec.
 * 2.8.7). It takes one descriptor of the ring. */
START_TEST(packed_indirect_table)
{
	struct virtq_chain c;

	begin((struct virtq_features){ .indirect = true, .packed = true });
	for (uint16_t n = 0; n < 100; n++) {
		vdesc_put(&ram, TABLE, 0, DATA, 8, 999, 0);
		vdesc_put(&ram, TABLE, 1, DATA, 16, 0, D_WRITE | D_INDIRECT);
		vdesc_put(&ram, TABLE, 2, DATA, 32, 5, D_WRITE | D_NEXT);
		vring_offer1(&v, n % SIZE, TABLE, 3 * 16, D_INDIRECT | D_WRITE);
		vring_offer(&v, (uint16_t)((n + 1) % SIZE), three, 3);
		c = pop();
		ck_assert_uint_eq(c.out_bytes, 8);
		ck_assert_uint_eq(c.in_bytes, 48);
		ck_assert_uint_eq(c.head, n % SIZE);
		ck_assert_uint_eq(pop().in_bytes, 64);
		virtq_push(&q, n % SIZE, 48);
		virtq_push(&q, (uint16_t)((n + 1) % SIZE), 1);
		ck_taken(n % SIZE, 48);
		ck_taken((n + 1) % SIZE, 1);
	}
}
END_TEST

START_TEST(full_length_chain)
{
	struct vbuf buf[SIZE];

	begin(format(_i));
	for (unsigned i = 0; i < SIZE; i++)
		buf[i] = (struct vbuf){ DATA, 1, 0 };
	for (unsigned n = 0; n < 4; n++) {
		vring_offer(&v, 0, buf, SIZE);
		ck_assert_uint_eq(pop().out_count, SIZE);
		virtq_push(&q, 0, 0);
		ck_taken(0, 0);
	}
}
END_TEST

START_TEST(empty_buffers_are_skipped)
{
	/* Address 0 does not matter. */
	static const struct vbuf buf[] = { { 0, 0, 0 }, { DATA, 4, D_WRITE } };
	struct virtq_chain c;

	begin(format(_i));
	vring_offer(&v, 0, buf, 2);
	c = pop();
	ck_assert_uint_eq(c.out_count, 0);
	ck_assert_uint_eq(c.in_count, 1);
	virtq_push(&q, c.head, 4);
	vring_offer(&v, 0, buf, 1);
	c = pop();
	ck_assert_uint_eq(c.out_count + c.in_count, 0);
}
END_TEST

START_TEST(largest_queue)
{
	struct virtq big;
	struct virtq_chain c;
	struct virtq_layout at = { .size = 32768,
				   .desc = GPA(RAM_B),
				   .driver = GPA(RING),
				   .device = GPA(RING + 0x20000) };
	struct diag d = DIAG_INIT;

	ck_assert_int_eq(virtq_init(&big, &ram, 32768, &d), 0);
	ck_assert_int_eq(virtq_enable(&big, &at, with_events(_i)), 0);
	if (_i & 1) {
		ck_assert_int_eq(virtq_base_set(&big, 0xffffffff), 0);
		vdesc_put(&ram, RAM_B, 32767, RING, 5, 32767,
			  D_WRITE | D_AVAIL);
	} else {
		vdesc_put(&ram, RAM_B, 32767, RING, 5, D_WRITE, 0);
		ram_write(&ram, GPA(RING + 2), "\1\0\377\177", 4);
	}
	ck_assert_int_eq(virtq_pop(&big, &c), 1);
	ck_assert_uint_eq(c.head, 32767);
	virtq_push(&big, c.head, 5);
	ck_assert_int_eq(virtq_pop(&big, &c), 0);
	ck_assert_uint_eq(big.used_next, _i & 1 ? 32768 : 1);
	virtq_release(&big);
}
END_TEST

/* ---- in order ---------------------------------------------------------- */

static struct virtq_features ordered(int i)
{
	return (struct virtq_features){ .packed = i & 1, .in_order = true };
}

START_TEST(in_order_holds_back)
{
	begin_size(ordered(_i), _i & 1 ? 7 : 8);
	for (unsigned round = 0; round < 50; round++) {
		vring_offer(&v, 0, three, 3);
		vring_offer(&v, 3, three, 1);
		vring_offer(&v, 4, three, 2);
		pop();
		pop();
		pop();
		virtq_push(&q, 4, 4);
		virtq_push(&q, 4, 5); /* ignored */
		ck_none_used();
		ck_assert(!virtq_signal(&q));
		virtq_push(&q, 0, 10);
		ck_taken(0, 10);
		ck_none_used();
		virtq_push(&q, 3, 3);
		ck_taken(3, 3);
		ck_taken(4, 4);
		ck_none_used();
		ck_assert(virtq_signal(&q));
		ck_assert_uint_eq(q.in_flight_count, 0);
	}
}
END_TEST

START_TEST(in_order_undo)
{
	struct virtq_chain c;

	begin(ordered(_i));
	for (unsigned n = 0; n < 30; n++) {
		vring_offer1(&v, 2, DATA, 1, 0);
		vring_offer1(&v, 1, DATA, 1, 0);
		pop();
		c = pop();
		virtq_undo(&q, &c);
		pop();
		virtq_push(&q, 1, n);
		ck_none_used();
		virtq_push(&q, 2, n);
		ck_taken(2, n);
		ck_taken(1, n);
	}
}
END_TEST

/* ---- notifications ----------------------------------------------------- */

static void push_one(void)
{
	vring_offer1(&v, 0, DATA, 1, 0);
	virtq_push(&q, pop().head, 0);
	ck_taken(0, 0);
}

/* "Suppressed notifications really are suppressed": to the driver. */
START_TEST(signal_by_flag)
{
	begin(format(_i));
	ck_assert(!virtq_signal(&q));
	push_one();
	ck_assert(virtq_signal(&q));
	ck_assert(!virtq_signal(&q)); /* nothing new */
	vring_want(&v, false);
	for (unsigned i = 0; i < 100; i++) {
		push_one();
		ck_assert(!virtq_signal(&q));
	}
	vring_want(&v, true);
	ck_assert(!virtq_signal(&q)); /* it must look for itself */
	push_one();
	ck_assert(virtq_signal(&q));
}
END_TEST

/* VIRTIO 1.3 sec. 2.7.7.2, 2.8.10: interrupt when the position passes the
 * event. -1: the position before the first one. */
static const struct {
	int event;
	unsigned pushes;
	bool wanted;
} events[] = {
	{ 0, 1, true },	 { 1, 1, false },  { 1, 2, true },   { 2, 3, true },
	{ 3, 3, false }, { -1, 1, false }, { -1, 3, false },
};

/* @start: so that the event is met around the end of ring and cycle, too. */
static void signal_from(int i, unsigned start)
{
	unsigned cycle = i & 1 ? 2 * SIZE : 0x10000;

	begin(with_events(i));
	vring_put16(&v, v.driver + (i & 1 ? 2 : 0), 1); /* split: ignored */
	for (unsigned n = 0; n < start; n++) {
		push_one();
		virtq_signal(&q);
	}
	vring_want_at(
		&v, (uint16_t)((start + cycle + (unsigned)events[i / 2].event) %
			       cycle));
	for (unsigned n = 0; n < events[i / 2].pushes; n++)
		push_one();
	ck_assert_int_eq(virtq_signal(&q), events[i / 2].wanted);
	ck_assert(!virtq_signal(&q));
}

START_TEST(signal_by_event)
{
	for (unsigned start = 0; start < 3 * SIZE; start++)
		signal_from(_i, start);
	signal_from(_i, 65534);
	signal_from(_i, 65536);
}
END_TEST

/* So many that the position is the same as at the last signal. */
START_TEST(signal_after_a_whole_cycle)
{
	unsigned cycle = _i & 1 ? 2 : 0x10000;

	begin_size(with_events(_i), 1);
	vring_want_at(&v, 1);
	for (unsigned n = 0; n < cycle; n++)
		push_one();
	ck_assert(virtq_signal(&q));
	ck_assert(!virtq_signal(&q));
}
END_TEST

/* A value that says nothing valid gets an interrupt too many. */
START_TEST(packed_odd_event_flags)
{
	begin(format(1));
	vring_want_at(&v, 5); /* without the feature */
	push_one();
	ck_assert(virtq_signal(&q));
	begin(with_events(1));
	vring_put16(&v, v.driver + 2, 3);
	push_one();
	ck_assert(virtq_signal(&q));
	vring_put16(&v, v.driver + 2, 2);
	vring_put16(&v, v.driver, SIZE);
	push_one();
	ck_assert(virtq_signal(&q));
}
END_TEST

static bool notifies(uint16_t id)
{
	uint16_t old = v.avail;

	vring_offer1(&v, id, DATA, 1, 0);
	return vring_must_notify(&v, old);
}

/* "Suppressed notifications really are suppressed": to the device. Runs 2 and
 * 3 are with EVENT_IDX. */
START_TEST(driver_is_quiet_while_device_works)
{
	begin(_i < 2 ? format(_i) : with_events(_i));
	for (unsigned round = 0; round < 100; round++) {
		ck_assert(notifies(0)); /* an idle device */
		pop();
		ck_assert(!notifies(1));
		pop();
		ck_assert(!notifies(2));
		virtq_push(&q, 0, 0);
		virtq_push(&q, 1, 0);
		ck_assert(virtq_wait(&q)); /* the driver was faster */
		pop();
		virtq_push(&q, 2, 0);
		ck_empty();
		ck_assert(!virtq_wait(&q));
		for (uint32_t id = 0; id < 3; id++)
			ck_taken(id, 0);
	}
}
END_TEST

START_TEST(only_the_first_notifies)
{
	begin(with_events(_i));
	for (unsigned round = 0; round < 100; round++) {
		ck_assert(!virtq_wait(&q));
		ck_assert(notifies(0));
		ck_assert(!notifies(1));
		ck_assert(!notifies(2));
		for (uint16_t id = 0; id < 3; id++) {
			pop();
			virtq_push(&q, id, 0);
			ck_taken(id, 0);
		}
	}
}
END_TEST

/* ---- state (l) and bases ----------------------------------------------- */

static void save_reset_load(void)
{
	struct stream_out out;
	struct stream_in in;

	stream_out_init(&out);
	virtq_save(&q, &out);
	virtq_reset(&q);
	stream_in_init(&in, out.data, out.len);
	ck_assert_int_eq(virtq_load(&q, &in), 0);
	ck_assert_int_eq(stream_in_done(&in), 0);
	stream_out_release(&out);
}

START_TEST(state_round_trip)
{
	struct virtq_features has = { .packed = _i & 1,
				      .event_idx = _i & 2,
				      .indirect = _i & 4,
				      .in_order = _i & 8 };

	begin(has);
	for (unsigned n = 0; n < 3 * SIZE; n++) {
		push_one();
		vring_offer1(&v, 4, DATA, 9, 0);
		save_reset_load();
		ck_assert_mem_eq(&q.has, &has, sizeof(has));
		ck_assert_uint_eq(pop().head, 4);
		virtq_push(&q, 4, n);
		ck_taken(4, n);
		ck_none_used();
		ck_assert(n || virtq_signal(&q)); /* not lost */
	}
}
END_TEST

static void use_damaged(struct stream_in *in)
{
	struct virtq_chain c;

	virtq_reset(&q);
	if (virtq_load(&q, in)) {
		ck_assert(!q.enabled);
		return;
	}
	virtq_wait(&q);
	for (unsigned i = 0; i < 20 && virtq_pop(&q, &c) > 0; i++)
		virtq_push(&q, c.head, 0);
	virtq_signal(&q);
}

START_TEST(l_state_damaged)
{
	struct stream_out out;
	struct stream_in in;

	begin(with_events(_i));
	push_one();
	stream_out_init(&out);
	virtq_save(&q, &out);
	for (size_t i = 0; i < out.len * 8; i++) {
		out.data[i / 8] ^= (uint8_t)(1 << i % 8);
		stream_in_init(&in, out.data, out.len);
		use_damaged(&in);
		out.data[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	for (size_t len = 0; len < out.len; len++) {
		virtq_reset(&q);
		stream_in_init(&in, out.data, len);
		ck_assert_int_eq(virtq_load(&q, &in), -EBADMSG);
	}
	stream_out_release(&out);
}
END_TEST

/* As vhost-user's VRING_BASE messages have it. */
START_TEST(base_encoding)
{
	begin(format(_i));
	ck_assert_uint_eq(virtq_base_get(&q), _i & 1 ? 0x80008000 : 0);
	for (unsigned n = 0; n < 3; n++)
		push_one();
	ck_assert_uint_eq(virtq_base_get(&q), _i & 1 ? 0x80038003 : 3);
	for (unsigned n = 0; n < SIZE; n++)
		push_one();
	ck_assert_uint_eq(virtq_base_get(&q), _i & 1 ? 0x00030003 : 11);
}
END_TEST

/* Somebody else's turn in between: the device goes on where that ended. */
START_TEST(base_round_trip)
{
	begin(with_events(_i));
	for (unsigned n = 0; n < 40; n++) {
		uint32_t base = virtq_base_get(&q);
		struct virtq_layout at = vring_layout(&v);

		ck_assert_int_eq(virtq_enable(&q, &at, with_events(_i)), 0);
		ck_assert_int_eq(virtq_base_set(&q, base), 0);
		ck_assert_uint_eq(virtq_base_get(&q), base);
		ck_empty();
		ck_assert(!virtq_wait(&q));
		push_one();
	}
}
END_TEST

static const struct {
	uint32_t base;
	bool split, packed;
} bases[] = {
	{ 0, true, true },
	{ 0xffff, true, false },
	{ 0x10000, false, false },
	{ 0x80078007, false, true },
	{ 0x00070007, false, true },
	{ 0x80088008, false, false }, /* beyond the ring */
	{ 0x80008001, false, false }, /* in flight */
	{ 0x80000000, false, false }, /* a whole ring in flight */
	{ 0x00008000, true, false },
	{ UINT32_MAX, false, false },
};

START_TEST(base_checked)
{
	int want = (_i & 1 ? bases[_i / 2].packed : bases[_i / 2].split)
			   ? 0
			   : -EINVAL;

	ck_assert_int_eq(virtq_base_set(&q, 0), -EINVAL); /* not enabled */
	begin(format(_i));
	ck_assert_int_eq(virtq_base_set(&q, bases[_i / 2].base), want);
	vring_offer1(&v, 0, DATA, 1, 0);
	begin(format(_i));
	vring_offer1(&v, 0, DATA, 1, 0);
	pop();
	ck_assert_int_eq(virtq_base_set(&q, 0), -EINVAL); /* in flight */
}
END_TEST

/* ---- runner ------------------------------------------------------------ */

static TCase *request_case(void)
{
	TCase *tc = queue_case("requests");

	tcase_add_loop_test(tc, empty_queue, 0, 2);
	tcase_add_loop_test(tc, chain_of_three, 0, 2);
	tcase_add_test(tc, split_links_jump);
	tcase_add_test(tc, packed_details);
	tcase_add_loop_test(tc, indexes_wrap, 0, 2);
	tcase_add_loop_test(tc, full_rings, 0, 2 * ARRAY_SIZE(sizes));
	tcase_add_loop_test(tc, out_of_order, 0, 2);
	tcase_add_loop_test(tc, out_of_order_chains, 0, 2);
	tcase_add_loop_test(tc, undo_gives_it_again, 0, 2);
	tcase_add_test(tc, split_indirect_table);
	tcase_add_test(tc, packed_indirect_table);
	tcase_add_loop_test(tc, full_length_chain, 0, 2);
	tcase_add_loop_test(tc, empty_buffers_are_skipped, 0, 2);
	tcase_add_loop_test(tc, largest_queue, 0, 2);
	tcase_add_loop_test(tc, in_order_holds_back, 0, 2);
	tcase_add_loop_test(tc, in_order_undo, 0, 2);
	return tc;
}

static TCase *notification_case(void)
{
	TCase *tc = queue_case("notifications");

	tcase_add_loop_test(tc, signal_by_flag, 0, 2);
	tcase_add_loop_test(tc, signal_by_event, 0, 2 * ARRAY_SIZE(events));
	tcase_add_loop_test(tc, signal_after_a_whole_cycle, 0, 2);
	tcase_add_test(tc, packed_odd_event_flags);
	tcase_add_loop_test(tc, driver_is_quiet_while_device_works, 0, 4);
	tcase_add_loop_test(tc, only_the_first_notifies, 0, 2);
	return tc;
}

static TCase *state_case(void)
{
	TCase *tc = queue_case("state");

	tcase_add_loop_test(tc, state_round_trip, 0, 16);
	tcase_add_loop_test(tc, l_state_damaged, 0, 2);
	tcase_add_loop_test(tc, base_encoding, 0, 2);
	tcase_add_loop_test(tc, base_round_trip, 0, 2);
	tcase_add_loop_test(tc, base_checked, 0, 2 * ARRAY_SIZE(bases));
	return tc;
}

int main(void)
{
	Suite *suite = suite_create("virtio-queue");

	suite_add_tcase(suite, request_case());
	suite_add_tcase(suite, notification_case());
	suite_add_tcase(suite, state_case());
	return suite_run(suite);
}
