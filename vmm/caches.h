/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: the caches of a processor
 *
 * arm64 processors say which levels they have (CLIDR_EL1), but not reliably how
 * large they are, so the guest is told by its tables what Linux on the host
 * knows. x86_64 guests ask CPUID.
 */
#ifndef VMM_CACHES_H
#define VMM_CACHES_H

#include "vmm/base/types.h"

/** CACHE_LEVELS - CLIDR_EL1.Ctype1 to 7 (Arm ARM D24.2.27) */
#define CACHE_LEVELS 7

/** enum cache_type - CLIDR_EL1.Ctype<n> */
enum cache_type {
	CACHE_NONE,
	CACHE_CODE,
	CACHE_DATA,
	CACHE_SEPARATE,
	CACHE_UNIFIED
};

/** struct cache_shape - of one cache; a number that is not known is 0 */
struct cache_shape {
	uint32_t size_bytes, line_bytes, sets, ways;
};

/** struct cache_level - one level: @data, which may be unified, and @code */
struct cache_level {
	struct cache_shape data, code;
};

/**
 * caches_read - the caches that Linux knows of one CPU of the host
 * @out: CACHE_LEVELS of them, zeroed; what is not known stays 0
 * @dir: "/sys/devices/system/cpu/cpu0/cache", or the like for tests
 */
void caches_read(struct cache_level *out, const char *dir);

#endif
