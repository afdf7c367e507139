/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: tests of rate limits, with a clock of their own */
#include <check.h>
#include <pthread.h>

#include "vmm/token-bucket.h"

#include "tests/unit/suite.h"

#define MS(n) ((n)*1000000ULL)

/* A clock begins anywhere but at 0. */
#define T0 MS(5000)

static void limit(struct rate_limiter *rl, uint64_t bw_size, uint64_t burst,
		  uint64_t bw_ms, uint64_t ops_size, uint64_t ops_ms)
{
	const struct rate_config c = {
		.bandwidth = { bw_size, burst, bw_ms },
		.ops = { ops_size, 0, ops_ms },
	};

	rate_limiter_init(rl, &c);
}

/* One step: at T0 + @at_ms take (or pay) and expect to wait @wait_ns. */
struct step {
	uint64_t at_ms, bytes, ops, wait_ns;
	bool charge;
};

struct script {
	uint64_t bw_size, burst, bw_ms, ops_size, ops_ms;
	struct step step[10];
};

static const struct script scripts[] = {
	/* Nothing limited. */
	{ 0, 0, 0, 0, 0, { { 0, ~0ULL, ~0ULL, 0, 0 }, { 0, 1, 1, 0, 0 } } },
	/* A full bucket, then 1000 bytes a second: 1 byte each ms. */
	{ 1000,
	  0,
	  1000,
	  0,
	  0,
	  { { 0, 1000, 1, 0, 0 },
	    { 0, 1, 1, MS(1), 0 },
	    { 1, 1, 1, 0, 0 },
	    { 1, 10, 1, MS(10), 0 },
	    { 10, 10, 1, MS(1), 0 },
	    { 11, 10, 1, 0, 0 },
	    /* Never more than one bucket however long it rests. */
	    { 90000, 1000, 1, 0, 0 },
	    { 90000, 1, 1, MS(1), 0 } } },
	/* The burst is used first and does not come back. */
	{ 100,
	  50,
	  100,
	  0,
	  0,
	  { { 0, 40, 1, 0, 0 },
	    { 0, 100, 1, 0, 0 },
	    { 0, 20, 1, MS(10), 0 },
	    { 1000, 100, 1, 0, 0 },
	    { 1000, 1, 1, MS(1), 0 } } },
	/* Larger than the bucket: goes when it is full, others pay. */
	{ 100,
	  0,
	  100,
	  0,
	  0,
	  { { 0, 1, 1, 0, 0 },
	    { 0, 150, 1, MS(1), 0 },
	    { 1, 150, 1, 0, 0 },
	    { 1, 0, 1, MS(50), 0 },
	    { 1, 10, 1, MS(60), 0 },
	    { 51, 0, 1, 0, 0 },
	    { 51, 10, 1, MS(10), 0 } } },
	/* A fraction of a token is not lost: 3 bytes in 2 ms. */
	{ 3,
	  0,
	  2,
	  0,
	  0,
	  { { 0, 3, 1, 0, 0 },
	    { 1, 1, 1, 0, 0 },
	    { 1, 2, 1, MS(1), 0 },
	    { 2, 2, 1, 0, 0 } } },
	/* Both limits: no bytes are taken when operations are short. */
	{ 100,
	  0,
	  100,
	  2,
	  100,
	  { { 0, 50, 2, 0, 0 },
	    { 0, 50, 1, MS(50), 0 },
	    { 0, 60, 1, MS(50), 0 },
	    { 0, 50, 0, 0, 0 },
	    { 49, 1, 1, MS(1), 0 },
	    { 50, 50, 1, 0, 0 } } },
	/* Paid afterwards: the next one waits. */
	{ 100,
	  0,
	  100,
	  0,
	  0,
	  { { 0, 0, 1, 0, 0 },
	    { 0, 130, 0, 0, true },
	    { 0, 0, 1, MS(30), 0 },
	    { 30, 0, 1, 0, 0 } } },
	/* A wait is cut, and time may stand still or run backwards. */
	{ 1,
	  0,
	  10000,
	  0,
	  0,
	  { { 10, 1, 1, 0, 0 },
	    { 10, 1, 1, RATE_WAIT_NS_MAX, 0 },
	    { 5, 1, 1, RATE_WAIT_NS_MAX, 0 },
	    { 10010, 1, 1, 0, 0 } } },
	/* The largest numbers do not wrap. */
	{ RATE_SIZE_MAX,
	  RATE_SIZE_MAX,
	  RATE_REFILL_MS_MAX,
	  1,
	  RATE_REFILL_MS_MAX,
	  { { 0, ~0ULL, 1, 0, 0 },
	    { 0, ~0ULL, 0, 0, true },
	    { 0, ~0ULL, 0, 0, true },
	    { 0, ~0ULL, ~0ULL, 0, true },
	    { 0, 1, 1, RATE_WAIT_NS_MAX, 0 },
	    { 100000000, 1, 1, RATE_WAIT_NS_MAX, 0 } } },
};

START_TEST(follows_the_script)
{
	const struct script *s = &scripts[_i];
	struct rate_limiter rl;

	limit(&rl, s->bw_size, s->burst, s->bw_ms, s->ops_size, s->ops_ms);
	for (unsigned i = 0; i < ARRAY_SIZE(s->step); i++) {
		const struct step *t = &s->step[i];
		uint64_t now = T0 + MS(t->at_ms);

		if (!t->bytes && !t->ops)
			break;
		if (t->charge)
			rate_limiter_charge_at(&rl, now, t->bytes, t->ops);
		else
			ck_assert_msg(rate_limiter_take_at(&rl, now, t->bytes,
							   t->ops) ==
					      t->wait_ns,
				      "step %u", i);
	}
	rate_limiter_release(&rl);
}
END_TEST

/* Whoever waits as long as told gets through, and the rate is exact. */
START_TEST(rate_is_exact)
{
	static const uint64_t sizes[] = { 1, 7, 1000, 65536, 1000003 };
	uint64_t size = sizes[_i], now = T0, taken = 0, wait;
	struct rate_limiter rl;

	limit(&rl, size, 0, 33, 0, 0);
	for (unsigned i = 0; i < 20000; i++) {
		uint64_t n = i % (size < 50 ? size : 50) + 1;

		wait = rate_limiter_take_at(&rl, now, n, 1);
		now += wait;
		taken += wait ? 0 : n;
	}
	/* One bucket at the start, then size bytes every 33 ms. */
	ck_assert_uint_le(taken, size + (now - T0) * size / MS(33));
	if (now > T0)
		ck_assert_uint_ge(taken + 51, (now - T0) * size / MS(33));
	rate_limiter_release(&rl);
}
END_TEST

START_TEST(changes_at_run_time)
{
	const struct rate_config none = { 0 };
	const struct rate_config slow = { .bandwidth = { 10, 0, 1000 } };
	const struct rate_config fast = { .bandwidth = { 1000, 5, 1000 } };
	struct rate_limiter rl;

	rate_limiter_init(&rl, &none);
	ck_assert_uint_eq(rate_limiter_take(&rl, 1 << 30, 1), 0);
	rate_limiter_set_at(&rl, T0, &slow);
	ck_assert_uint_eq(rate_limiter_take_at(&rl, T0, 10, 1), 0);
	ck_assert_uint_eq(rate_limiter_take_at(&rl, T0, 1, 1), MS(100));
	/* No tokens are made by a change, but the burst is. */
	rate_limiter_set_at(&rl, T0, &fast);
	ck_assert_uint_eq(rate_limiter_take_at(&rl, T0, 5, 1), 0);
	ck_assert_uint_eq(rate_limiter_take_at(&rl, T0, 1, 1), MS(1));
	/* A debt stays, at the new pace. */
	rate_limiter_charge_at(&rl, T0, 20, 0);
	rate_limiter_set_at(&rl, T0, &slow);
	ck_assert_uint_eq(rate_limiter_take_at(&rl, T0 + MS(1999), 0, 1),
			  MS(1));
	ck_assert_uint_eq(rate_limiter_take_at(&rl, T0 + MS(2000), 0, 1), 0);
	rate_limiter_set(&rl, &none);
	ck_assert_uint_eq(rate_limiter_take(&rl, 1 << 30, 1), 0);
	rate_limiter_release(&rl);
}
END_TEST

/* ---- configuration ----------------------------------------------------- */

static const struct {
	struct rate_config c;
	const char *says; /* NULL: it is fine */
} configs[] = {
	{ { { 0 }, { 0 } }, NULL },
	{ { { 1, 0, 1 }, { 0 } }, NULL },
	{ { { RATE_SIZE_MAX, ~0ULL, RATE_REFILL_MS_MAX }, { 1, 1, 1 } }, NULL },
	{ { { 0, 0, 100 }, { 0 } },
	  "--disk bw_size=0: a rate limit of 0 would stop everything; give a "
	  "size of at least 1, or no bw_ keys for no limit" },
	{ { { 0 }, { 0, 5, 0 } },
	  "--disk ops_size=0: a rate limit of 0 would stop everything; give a "
	  "size of at least 1, or no ops_ keys for no limit" },
	{ { { 7, 0, 0 }, { 0 } },
	  "--disk bw_size=7: also needs bw_refill_time=, in milliseconds" },
	{ { { 0 }, { RATE_SIZE_MAX + 1, 0, 1 } },
	  "--disk ops_size=4611686018427387904: at most 4611686018427387903" },
	{ { { 0 }, { 1, 0, RATE_REFILL_MS_MAX + 1ULL } },
	  "--disk ops_refill_time=4294967296: at most 4294967295 "
	  "milliseconds" },
};

START_TEST(config_is_checked)
{
	struct diag d = DIAG_INIT;
	char why[512];

	if (!configs[_i].says) {
		ck_assert_int_eq(
			rate_config_check(&configs[_i].c, "--disk", &d), 0);
		return;
	}
	ck_assert_int_lt(rate_config_check(&configs[_i].c, "--disk", &d), 0);
	ck_assert_str_eq(diag_format(&d, why, sizeof(why)), configs[_i].says);
}
END_TEST

/* ---- shared ------------------------------------------------------------ */

static void *taker(void *opaque)
{
	uint64_t *got = opaque;
	struct rate_limiter *rl = (void *)(uintptr_t)got[0];

	for (unsigned i = 0; i < 10000; i++)
		got[1] += !rate_limiter_take(rl, 1, 1);
	return NULL;
}

/* Two threads together get no more than there is. */
START_TEST(shared_by_threads)
{
	const struct rate_config other = { .bandwidth = { 500, 0, 1000000 } };
	struct rate_limiter rl;
	uint64_t got[2][2];
	pthread_t t[2];

	limit(&rl, 1000, 0, 1000000, 0, 0);
	for (unsigned i = 0; i < 2; i++) {
		got[i][0] = (uintptr_t)&rl;
		got[i][1] = 0;
		ck_assert_int_eq(pthread_create(&t[i], NULL, taker, got[i]), 0);
	}
	rate_limiter_set(&rl, &other);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	ck_assert_uint_le(got[0][1] + got[1][1], 1500);
	ck_assert_uint_ge(got[0][1] + got[1][1], 500);
	rate_limiter_release(&rl);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("token-bucket");
	TCase *tc = tcase_create("token-bucket");

	tcase_add_loop_test(tc, follows_the_script, 0, ARRAY_SIZE(scripts));
	tcase_add_loop_test(tc, rate_is_exact, 0, 5);
	tcase_add_test(tc, changes_at_run_time);
	tcase_add_loop_test(tc, config_is_checked, 0, ARRAY_SIZE(configs));
	tcase_add_test(tc, shared_by_threads);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
