/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: the keys of a rate limit, for every device that has one
 *
 * For the key table of an option whose item struct has a struct rate_config
 * (vmm/config.h) called rate; to be checked by rate_config_check(). Included
 * by vmm/config*.c only, behind vmm/config-impl.h.
 */
#ifndef VMM_CONFIG_RATE_H
#define VMM_CONFIG_RATE_H

#include "vmm/schema.h"
#include "vmm/token-bucket.h"

/* One key of the limit at @path in struct @kind; 0 cannot be given. */
/* NOLINTBEGIN(bugprone-macro-parentheses): offsetof() takes names */
#define RATE_KEY(kind, path, word, how, field, most, text)             \
	{                                                              \
		.name = (word), .type = (how),                         \
		.offset = offsetof(struct kind, path.field), .min = 1, \
		.max = (most), .optional = true, .doc = (text), SINCE  \
	}
/* NOLINTEND(bugprone-macro-parentheses) */

/** RATE_KEYS - the six keys of a rate limit for the item struct @kind */
#define RATE_KEYS(kind) RATE_KEYS_AT(kind, rate)

/** RATE_KEYS_AT - the same for the struct rate_config at @path in @kind */
#define RATE_KEYS_AT(kind, path)                                           \
	RATE_KEY(kind, path, "bw_size", SCHEMA_SIZE, bandwidth.size,       \
		 RATE_SIZE_MAX, "rate limit: bytes every bw_refill_time"), \
		RATE_KEY(kind, path, "bw_one_time_burst", SCHEMA_SIZE,     \
			 bandwidth.one_time_burst, RATE_SIZE_MAX,          \
			 "bytes above the limit, once"),                   \
		RATE_KEY(kind, path, "bw_refill_time", SCHEMA_U64,         \
			 bandwidth.refill_time_ms, RATE_REFILL_MS_MAX,     \
			 "milliseconds in which bw_size bytes may pass"),  \
		RATE_KEY(kind, path, "ops_size", SCHEMA_U64, ops.size,     \
			 RATE_SIZE_MAX,                                    \
			 "rate limit: operations every ops_refill_time"),  \
		RATE_KEY(kind, path, "ops_one_time_burst", SCHEMA_U64,     \
			 ops.one_time_burst, RATE_SIZE_MAX,                \
			 "operations above the limit, once"),              \
		RATE_KEY(kind, path, "ops_refill_time", SCHEMA_U64,        \
			 ops.refill_time_ms, RATE_REFILL_MS_MAX,           \
			 "milliseconds in which ops_size operations may pass")

#endif
