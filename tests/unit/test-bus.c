/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: address spaces: who answers, overlaps, moves, readers beside a writer
 *
 * Runs under ThreadSanitizer too.
 */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/bus.h"

#include "tests/unit/suite.h"

#define TOP UINT64_MAX

/* A region whose registers read as its mark plus the offset. */
struct probe {
	struct bus_region region;
	uint64_t mark;
	uint64_t offset, value;
	unsigned size;
	atomic_uint reads, writes;
};

static uint64_t probe_read(void *opaque, uint64_t offset, unsigned size)
{
	struct probe *p = opaque;

	p->size = size;
	atomic_fetch_add(&p->reads, 1);
	return p->mark + offset;
}

static void probe_write(void *opaque, uint64_t offset, unsigned size,
			uint64_t value)
{
	struct probe *p = opaque;

	p->offset = offset;
	p->size = size;
	p->value = value;
	atomic_fetch_add(&p->writes, 1);
}

static const struct bus_ops probe_ops = { probe_read, probe_write };

/* For several threads: remembers nothing. */
static uint64_t quiet_read(void *opaque, uint64_t offset, unsigned size)
{
	struct probe *p = opaque;

	(void)size;
	return p->mark + offset;
}

static const struct bus_ops quiet_ops = { quiet_read, probe_write };

static void probe_init(struct probe *p, uint64_t base, uint64_t size,
		       uint64_t mark)
{
	memset(p, 0, sizeof(*p));
	p->mark = mark;
	p->region = (struct bus_region){ .base = base,
					 .size_bytes = size,
					 .ops = &probe_ops,
					 .opaque = p,
					 .name = "probe" };
}

/* ---- who answers -------------------------------------------------------- */

#define A_BASE 0x1000ULL
#define B_BASE 0x2000ULL /* right behind A */
#define C_BASE (TOP - 0xf)

static const struct access_case {
	const char *what;
	uint64_t addr;
	unsigned size;
	uint64_t value;
	bool hit;
} access_cases[] = {
	{ "first byte", A_BASE, 1, 0xa0, true },
	{ "truncated to a byte", A_BASE + 0xff1, 1, 0x91, true },
	{ "last 8 bytes", A_BASE + 0xff8, 8, 0xa0 + 0xff8, true },
	{ "from A into B", A_BASE + 0xffc, 8, TOP, false },
	{ "from A into B by one", A_BASE + 0xfff, 2, 0xffff, false },
	{ "B's first", B_BASE, 4, 0xb0, true },
	{ "B's second", B_BASE + 4, 4, 0xb4, true },
	{ "behind B", B_BASE + 8, 4, UINT32_MAX, false },
	{ "over B's end", B_BASE + 6, 4, UINT32_MAX, false },
	{ "before A", A_BASE - 1, 1, 0xff, false },
	{ "into A", A_BASE - 1, 2, 0xffff, false },
	{ "around B", B_BASE - 4, 8, TOP, false },
	{ "nothing there", 0x500000, 2, 0xffff, false },
	{ "address 0", 0, 8, TOP, false },
	{ "last byte of all", TOP, 1, 0xcf, true },
	{ "last 8 of all", TOP - 7, 8, 0xc8, true },
	{ "wraps", TOP, 2, 0xffff, false },
	{ "wraps by one", TOP - 6, 8, TOP, false },
	{ "before the last region", C_BASE - 1, 1, 0xff, false },
};

START_TEST(test_access)
{
	const struct access_case *c = &access_cases[_i];
	struct bus *bus = bus_new("MMIO", 0);
	struct diag d = DIAG_INIT;
	struct probe p[3];
	unsigned writes = 0, reads = 0;

	probe_init(&p[0], A_BASE, 0x1000, 0xa0);
	probe_init(&p[1], B_BASE, 8, 0xb0);
	probe_init(&p[2], C_BASE, 0x10, 0xc0);
	for (unsigned i = 0; i < 3; i++) /* not in address order */
		ck_assert_int_eq(bus_add(bus, &p[(i + 2) % 3].region, &d), 0);
	ck_assert_msg(bus_read(bus, c->addr, c->size) == c->value, "%s",
		      c->what);
	bus_write(bus, c->addr, c->size, 0x1112131415161718);
	for (unsigned i = 0; i < 3; i++) {
		reads += atomic_load(&p[i].reads);
		writes += atomic_load(&p[i].writes);
		if (!atomic_load(&p[i].writes))
			continue;
		ck_assert_uint_eq(p[i].offset, c->addr - p[i].region.base);
		ck_assert_uint_eq(p[i].size, c->size);
		ck_assert_uint_eq(p[i].value,
				  0x1112131415161718ULL &
					  (TOP >> (64 - 8 * c->size)));
	}
	ck_assert_uint_eq(reads, c->hit);
	ck_assert_uint_eq(writes, c->hit);
	bus_free(bus);
}
END_TEST

START_TEST(test_whole_space)
{
	struct bus *bus = bus_new("MMIO", 0);
	struct diag d = DIAG_INIT;
	struct probe p;

	probe_init(&p, 1, TOP, 0); /* 2^64 itself cannot be said */
	ck_assert_int_eq(bus_add(bus, &p.region, &d), 0);
	ck_assert_uint_eq(bus_read(bus, TOP, 1), 0xfe);
	ck_assert_uint_eq(bus_read(bus, 1, 8), 0);
	ck_assert_uint_eq(bus_read(bus, 0, 1), 0xff);
	bus_free(bus);
	bus_free(NULL);
}
END_TEST

/* ---- adding ------------------------------------------------------------- */

static const struct add_case {
	const char *what;
	uint64_t space, base, size_bytes;
	int err;
} add_cases[] = {
	{ "same", 0, 0x1000, 0x100, -EEXIST },
	{ "inside", 0, 0x1010, 1, -EEXIST },
	{ "around", 0, 0xf00, 0x1000, -EEXIST },
	{ "over the beginning", 0, 0xfff, 2, -EEXIST },
	{ "over the end", 0, 0x10ff, 2, -EEXIST },
	{ "before", 0, 0xfff, 1, 0 },
	{ "behind", 0, 0x1100, 0x100, 0 },
	{ "empty", 0, 0x5000, 0, -EINVAL },
	{ "wraps", 0, TOP, 2, -EINVAL },
	{ "last byte", 0, TOP, 1, 0 },
	{ "last port", 0x10000, 0xffff, 1, 0 },
	{ "over the last port", 0x10000, 0xffff, 2, -EINVAL },
	{ "behind the last port", 0x10000, 0x10000, 1, -EINVAL },
	{ "way behind", 0x10000, TOP, 1, -EINVAL },
};

static bool probe_show(void *opaque, uint64_t offset)
{
	struct probe *p = opaque;

	p->offset = offset;
	ck_assert_int_eq(pthread_mutex_trylock(p->region.lock), EBUSY);
	return offset < 8;
}

START_TEST(test_show)
{
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	struct bus *bus = bus_new("test", 0);
	struct probe a, b;

	probe_init(&a, A_BASE, 0x1000, 0);
	probe_init(&b, B_BASE, 16, 0);
	b.region.show = probe_show;
	b.region.lock = &lock;
	ck_assert_int_eq(bus_add(bus, &a.region, NULL), 0);
	ck_assert_int_eq(bus_add(bus, &b.region, NULL), 0);
	ck_assert(bus_show(bus, B_BASE + 7));
	ck_assert_uint_eq(b.offset, 7);
	ck_assert(!bus_show(bus, B_BASE + 8));
	ck_assert(!bus_show(bus, B_BASE + 16));
	ck_assert(!bus_show(bus, A_BASE));
	ck_assert_int_eq(pthread_mutex_trylock(&lock), 0);
	bus_free(bus);
}
END_TEST

START_TEST(test_add)
{
	const struct add_case *c = &add_cases[_i];
	struct bus *bus = bus_new("space", c->space);
	struct diag d = DIAG_INIT;
	struct probe old, new;
	int err;

	probe_init(&old, 0x1000, 0x100, 0);
	probe_init(&new, c->base, c->size_bytes, 0x55);
	old.region.name = "old-one";
	ck_assert_int_eq(bus_add(bus, &old.region, &d), 0);
	err = bus_add(bus, &new.region, &d);
	ck_assert_msg(err == c->err, "%s: %d", c->what, err);
	ck_assert_uint_eq(d.depth, err ? 1 : 0);
	if (err == -EEXIST)
		ck_assert_ptr_nonnull(strstr(d.text[0], "old-one"));
	if (!err)
		ck_assert_uint_eq(bus_read(bus, c->base, 1), 0x55);
	ck_assert_uint_eq(bus_read(bus, 0x1000, 1), 0);
	bus_free(bus);
}
END_TEST

#define MANY 200

START_TEST(test_many_regions)
{
	struct probe *p = calloc(MANY, sizeof(*p));
	struct bus *bus = bus_new("MMIO", 0);
	struct diag d = DIAG_INIT;

	for (unsigned i = 0; i < MANY; i++) {
		unsigned at = i * 77 % MANY; /* every one, in disorder */

		probe_init(&p[at], 0x1000 * (at + 1ULL), 0x800, at);
		ck_assert_int_eq(bus_add(bus, &p[at].region, &d), 0);
	}
	for (unsigned i = 0; i < MANY; i++) {
		ck_assert_uint_eq(bus_read(bus, 0x1000 * (i + 1ULL), 4), i);
		ck_assert_uint_eq(bus_read(bus, 0x1000 * (i + 1ULL) + 0x800, 4),
				  UINT32_MAX);
	}
	for (unsigned i = 0; i < MANY; i += 2)
		bus_remove(bus, &p[i].region);
	for (unsigned i = 0; i < MANY; i++)
		ck_assert_uint_eq(bus_read(bus, 0x1000 * (i + 1ULL), 4),
				  i % 2 ? i : UINT32_MAX);
	bus_free(bus);
	free(p);
}
END_TEST

START_TEST(test_remove)
{
	struct bus *bus = bus_new("MMIO", 0);
	struct diag d = DIAG_INIT;
	struct probe p, stranger;

	probe_init(&p, 0x1000, 0x100, 7);
	probe_init(&stranger, 0x1000, 0x100, 8);
	ck_assert_int_eq(bus_add(bus, &p.region, &d), 0);
	bus_remove(bus, &stranger.region); /* equal is not the same */
	ck_assert_uint_eq(bus_read(bus, 0x1000, 1), 7);
	bus_remove(bus, &p.region);
	bus_remove(bus, &p.region);
	ck_assert_uint_eq(bus_read(bus, 0x1000, 1), 0xff);
	ck_assert_int_eq(bus_add(bus, &p.region, &d), 0);
	ck_assert_uint_eq(bus_read(bus, 0x1000, 1), 7);
	bus_free(bus);
}
END_TEST

/* ---- moving ------------------------------------------------------------- */

static const struct move_case {
	const char *what;
	uint64_t to;
	int err;
} move_cases[] = {
	{ "elsewhere", 0x9000, 0 },
	{ "nowhere", 0x3000, 0 },
	{ "over its old place", 0x3080, 0 },
	{ "onto the other", 0x1000, -EEXIST },
	{ "onto a part of the other", 0xf80, -EEXIST },
	{ "out of the space", 0xff80, -EINVAL },
	{ "way out", TOP - 0x7f, -EINVAL },
};

START_TEST(test_move)
{
	const struct move_case *c = &move_cases[_i];
	struct bus *bus = bus_new("space", 0x10000);
	struct diag d = DIAG_INIT;
	struct probe a, b;

	probe_init(&a, 0x1000, 0x100, 0xa0);
	probe_init(&b, 0x3000, 0x100, 0xb0);
	ck_assert_int_eq(bus_add(bus, &a.region, &d), 0);
	ck_assert_int_eq(bus_add(bus, &b.region, &d), 0);
	ck_assert_msg(bus_move(bus, &b.region, c->to) == c->err, "%s", c->what);
	ck_assert_uint_eq(bus_read(bus, 0x1000, 1), 0xa0);
	if (c->err) {
		ck_assert_uint_eq(bus_read(bus, 0x3000, 1), 0xff);
		ck_assert_uint_eq(atomic_load(&b.reads), 0);
	} else {
		ck_assert_uint_eq(b.region.base, c->to);
		ck_assert_uint_eq(bus_read(bus, c->to, 1), 0xb0);
		ck_assert_uint_eq(bus_read(bus, c->to + 0x80, 1), 0x30);
	}
	/* From nowhere, a move brings it back. */
	ck_assert_int_eq(bus_move(bus, &b.region, 0x7000), 0);
	ck_assert_uint_eq(bus_read(bus, 0x7001, 1), 0xb1);
	bus_free(bus);
}
END_TEST

/* A BAR that moves itself, from its own handler, under its own lock. */
struct mover {
	struct bus *bus;
	struct bus_region region;
	pthread_mutex_t lock;
};

static uint64_t mover_read(void *opaque, uint64_t offset, unsigned size)
{
	struct mover *m = opaque;

	(void)offset;
	(void)size;
	/* The lock is held around each call. */
	return pthread_mutex_trylock(&m->lock) == EBUSY;
}

static void mover_write(void *opaque, uint64_t offset, unsigned size,
			uint64_t value)
{
	struct mover *m = opaque;

	(void)offset;
	(void)size;
	bus_move(m->bus, &m->region, value);
}

static const struct bus_ops mover_ops = { mover_read, mover_write };

START_TEST(test_move_from_handler)
{
	struct mover m = { .bus = bus_new("MMIO", 0) };
	struct diag d = DIAG_INIT;

	pthread_mutex_init(&m.lock, NULL);
	m.region = (struct bus_region){ .base = 0x1000,
					.size_bytes = 0x10,
					.ops = &mover_ops,
					.opaque = &m,
					.lock = &m.lock,
					.name = "mover" };
	ck_assert_int_eq(bus_add(m.bus, &m.region, &d), 0);
	bus_write(m.bus, 0x1000, 4, 0x8000);
	ck_assert_uint_eq(bus_read(m.bus, 0x1000, 4), UINT32_MAX);
	ck_assert_uint_eq(bus_read(m.bus, 0x8000, 4), 1);
	/* … and let go again. */
	ck_assert_int_eq(pthread_mutex_trylock(&m.lock), 0);
	pthread_mutex_unlock(&m.lock);
	bus_free(m.bus);
}
END_TEST

/* ---- readers beside a writer -------------------------------------------- */

#define FIXED	 16
#define CHURN	 64
#define READERS	 3
#define SWITCHES 3000

struct race {
	struct bus *bus;
	struct probe fixed[FIXED], churn[CHURN], nomad;
	atomic_bool stop;
	atomic_uint wrong;
};

/* Fixed regions answer at all times, whatever happens between them; the nomad
 * answers for itself or not at all. */
static void *reader_main(void *arg)
{
	struct race *r = arg;

	while (!atomic_load(&r->stop)) {
		for (unsigned i = 0; i < FIXED; i++) {
			uint64_t base = 0x10000 * (i + 1ULL);

			if (bus_read(r->bus, base + 3, 4) != i * 100 + 3)
				atomic_fetch_add(&r->wrong, 1);
			if (bus_read(r->bus, base + 0x200, 4) != UINT32_MAX)
				atomic_fetch_add(&r->wrong, 1);
		}
		for (unsigned i = 0; i < 2; i++) {
			uint64_t v =
				bus_read(r->bus, i ? 0x900008 : 0x13008, 4);

			if (v != 0xabcd08 && v != UINT32_MAX)
				atomic_fetch_add(&r->wrong, 1);
		}
	}
	return NULL;
}

static void race_churn(struct race *r)
{
	struct diag d = DIAG_INIT;

	for (unsigned n = 0; n < SWITCHES; n++) {
		struct probe *p = &r->churn[n * 7 % CHURN];

		if (n / CHURN % 2)
			bus_remove(r->bus, &p->region);
		else
			ck_assert_int_eq(bus_add(r->bus, &p->region, &d), 0);
		ck_assert_int_eq(bus_move(r->bus, &r->nomad.region,
					  n & 1 ? 0x13000 : 0x900000),
				 0);
	}
}

START_TEST(test_readers_beside_writer)
{
	struct race *r = calloc(1, sizeof(*r));
	struct diag d = DIAG_INIT;
	pthread_t thread[READERS];

	r->bus = bus_new("MMIO", 0);
	for (unsigned i = 0; i < FIXED; i++) {
		probe_init(&r->fixed[i], 0x10000 * (i + 1ULL), 0x100, i * 100);
		r->fixed[i].region.ops = &quiet_ops;
		ck_assert_int_eq(bus_add(r->bus, &r->fixed[i].region, &d), 0);
	}
	for (unsigned i = 0; i < CHURN; i++)
		probe_init(&r->churn[i], 0x10000 + 0x4000ULL * i + 0x1000,
			   0x100, 1);
	probe_init(&r->nomad, 0x900000, 0x10, 0xabcd00);
	r->nomad.region.ops = &quiet_ops;
	ck_assert_int_eq(bus_add(r->bus, &r->nomad.region, &d), 0);
	for (unsigned i = 0; i < READERS; i++)
		ck_assert_int_eq(
			pthread_create(&thread[i], NULL, reader_main, r), 0);
	race_churn(r);
	atomic_store(&r->stop, true);
	for (unsigned i = 0; i < READERS; i++)
		pthread_join(thread[i], NULL);
	ck_assert_uint_eq(atomic_load(&r->wrong), 0);
	bus_free(r->bus);
	free(r);
}
END_TEST

/* ---- the lock of a region ----------------------------------------------- */

struct counter {
	struct bus_region region;
	pthread_mutex_t lock;
	uint64_t value; /* no atomic: the region's lock guards it */
};

static uint64_t counter_read(void *opaque, uint64_t offset, unsigned size)
{
	struct counter *c = opaque;

	(void)offset;
	(void)size;
	return c->value;
}

static void counter_write(void *opaque, uint64_t offset, unsigned size,
			  uint64_t value)
{
	struct counter *c = opaque;

	(void)offset;
	(void)size;
	c->value += value;
}

static const struct bus_ops counter_ops = { counter_read, counter_write };

static void *add_main(void *arg)
{
	for (unsigned i = 0; i < 2000; i++)
		bus_write(arg, 0x1000, 4, 1);
	return NULL;
}

START_TEST(test_region_lock)
{
	struct counter c = { .lock = PTHREAD_MUTEX_INITIALIZER };
	struct bus *bus = bus_new("MMIO", 0);
	struct diag d = DIAG_INIT;
	pthread_t thread[READERS];

	c.region = (struct bus_region){ .base = 0x1000,
					.size_bytes = 8,
					.ops = &counter_ops,
					.opaque = &c,
					.lock = &c.lock,
					.name = "counter" };
	ck_assert_int_eq(bus_add(bus, &c.region, &d), 0);
	for (unsigned i = 0; i < READERS; i++)
		ck_assert_int_eq(
			pthread_create(&thread[i], NULL, add_main, bus), 0);
	for (unsigned i = 0; i < READERS; i++)
		pthread_join(thread[i], NULL);
	ck_assert_uint_eq(bus_read(bus, 0x1000, 8), READERS * 2000);
	bus_free(bus);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("bus");
	TCase *t = tcase_create("bus");

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, test_access, 0, ARRAY_SIZE(access_cases));
	tcase_add_test(t, test_whole_space);
	tcase_add_test(t, test_show);
	tcase_add_loop_test(t, test_add, 0, ARRAY_SIZE(add_cases));
	tcase_add_test(t, test_many_regions);
	tcase_add_test(t, test_remove);
	tcase_add_loop_test(t, test_move, 0, ARRAY_SIZE(move_cases));
	tcase_add_test(t, test_move_from_handler);
	tcase_add_test(t, test_readers_beside_writer);
	tcase_add_test(t, test_region_lock);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return suite_run(suite());
}
