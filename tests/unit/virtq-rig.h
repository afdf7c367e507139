/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: one virtqueue on a bench: two pieces of RAM with a hole between them,
 * the device's side of the queue, and the driver's. One test process has one.
 */
#ifndef TESTS_UNIT_VIRTQ_RIG_H
#define TESTS_UNIT_VIRTQ_RIG_H

#include <check.h>

#include "tests/unit/virtio-ring.h"

#define RAM_A  0x10000000ULL
#define RAM_B  0x20000000ULL
#define RAM_SZ MIB(1)
#define RING   RAM_A
#define SIZE   8

static struct guest_ram ram;
static struct virtq q;
static struct vring v;

static inline void setup(void)
{
	static const struct ram_options plain;
	struct diag d = DIAG_INIT;

	ram_init(&ram);
	ck_assert_int_eq(ram_add(&ram, GPA(RAM_A), RAM_SZ, &plain, &d), 0);
	ck_assert_int_eq(ram_add(&ram, GPA(RAM_B), RAM_SZ, &plain, &d), 0);
	ck_assert_int_eq(virtq_init(&q, &ram, 1024, &d), 0);
}

static inline void teardown(void)
{
	virtq_release(&q);
	ram_release(&ram);
}

static inline TCase *queue_case(const char *name)
{
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	return tc;
}

#endif
