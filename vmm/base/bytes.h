/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: little- and big-endian loads and stores at any alignment
 *
 * The one place where byte order is spelled out. Names: get_/put_ + le/be +
 * width in bits. @p needs no alignment and must hold that many bits.
 */
#ifndef VMM_BASE_BYTES_H
#define VMM_BASE_BYTES_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

#define BYTES_DEFINE(name, type, from, to)             \
	static inline type get_##name(const void *p)   \
	{                                              \
		type v;                                \
		memcpy(&v, p, sizeof(v));              \
		return from(v);                        \
	}                                              \
	static inline void put_##name(void *p, type v) \
	{                                              \
		v = to(v);                             \
		memcpy(p, &v, sizeof(v));              \
	}

BYTES_DEFINE(le16, uint16_t, le16toh, htole16)
BYTES_DEFINE(le32, uint32_t, le32toh, htole32)
BYTES_DEFINE(le64, uint64_t, le64toh, htole64)
BYTES_DEFINE(be16, uint16_t, be16toh, htobe16)
BYTES_DEFINE(be32, uint32_t, be32toh, htobe32)
BYTES_DEFINE(be64, uint64_t, be64toh, htobe64)

#endif
