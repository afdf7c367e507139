/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: waiting for a device whose queues are served by other threads
 *
 * For suites: what does not come in time fails the test.
 */
#ifndef TESTS_UNIT_DRIVER_WAIT_H
#define TESTS_UNIT_DRIVER_WAIT_H

#include <check.h>
#include <stdint.h>
#include <time.h>

#include "tests/unit/patience.h"
#include "tests/unit/virtio-driver.h"

/** drv_nap - let the main loop and the other threads work for 1 ms */
static inline void drv_nap(const struct drv *d)
{
	const struct timespec ms = { .tv_nsec = 1000000 };

	bed_run(d->b, 1);
	nanosleep(&ms, NULL);
}

/** drv_await - length of the next used element of queue @q; fails when there
 * is none within @most_ms */
static inline uint32_t drv_await(struct drv *d, unsigned q, uint64_t most_ms)
{
	uint64_t from = patience_ns();
	uint32_t head, len;

	while (!drv_take(d, q, &head, &len)) {
		ck_assert_msg(ms_since(from) < most_ms, "queue %u: nothing", q);
		drv_nap(d);
	}
	return len;
}

/** drv_unused - nothing is used in queue @q for a while */
static inline void drv_unused(struct drv *d, unsigned q)
{
	uint16_t before = drv_used_idx(d, q);

	for (unsigned i = 0; i < 20; i++)
		drv_nap(d);
	ck_assert_uint_eq(drv_used_idx(d, q), before);
}

#endif
