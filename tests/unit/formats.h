/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: tests that run once on split rings and once on packed ones
 *
 * The fixture of a FORMAT_CASE() sets format, the feature bit that its driver
 * accepts beside what a test asks for; what runs is told apart by the name of
 * the case.
 */
#ifndef TESTS_UNIT_FORMATS_H
#define TESTS_UNIT_FORMATS_H

#include <check.h>

#include "devices/virtio/virtio.h"

static uint64_t format; /* VIRTIO_F_RING_PACKED or 0 */

static inline void format_split(void)
{
	format = 0;
}

static inline void format_packed(void)
{
	format = VIRTIO_F_RING_PACKED;
}

static inline TCase *format_case(const char *name, bool packed)
{
	TCase *tc = tcase_create(name);

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, packed ? format_packed : format_split,
				  NULL);
	return tc;
}

#define FORMAT_CASE(name, packed) \
	format_case((packed) ? name ", packed" : name ", split", packed)

#endif
