/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: basic types shared by every layer
 *
 * gpa_t keeps guest-physical addresses from mixing with host pointers and
 * plain integers: it does not convert silently in either direction. All sums
 * and products of numbers that a guest, a file or a user chose go through
 * the add_/mul_ helpers below, which report overflow instead of wrapping.
 */
#ifndef VMM_BASE_TYPES_H
#define VMM_BASE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** gpa_t - guest-physical address in bytes */
typedef struct {
	uint64_t v;
} gpa_t;

#define GPA(x)	      ((gpa_t){ (x) })
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define KIB(n) ((uint64_t)(n) << 10)
#define MIB(n) ((uint64_t)(n) << 20)
#define GIB(n) ((uint64_t)(n) << 30)
#define TIB(n) ((uint64_t)(n) << 40)

/** container_of - the struct that holds @member at @ptr */
#define container_of(ptr, type, member) \
	((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/**
 * add_u64 - @a + @b, checked
 * @out: receives the sum; untouched on overflow
 *
 * Return: true if the sum fits into 64 bits.
 */
static inline bool add_u64(uint64_t a, uint64_t b, uint64_t *out)
{
	uint64_t sum;

	if (__builtin_add_overflow(a, b, &sum))
		return false;
	*out = sum;
	return true;
}

/**
 * mul_u64 - @a * @b, checked
 * @out: receives the product; untouched on overflow
 *
 * Return: true if the product fits into 64 bits.
 */
static inline bool mul_u64(uint64_t a, uint64_t b, uint64_t *out)
{
	uint64_t product;

	if (__builtin_mul_overflow(a, b, &product))
		return false;
	*out = product;
	return true;
}

/** is_pow2 - true if exactly one bit of @v is set */
static inline bool is_pow2(uint64_t v)
{
	return v && !(v & (v - 1));
}

/** align_down - @v rounded down to a multiple of @to, a power of two */
static inline uint64_t align_down(uint64_t v, uint64_t to)
{
	return v & ~(to - 1);
}

/** align_up - @v rounded up to a multiple of @to, a power of two; may wrap:
 * for numbers of our own only */
static inline uint64_t align_up(uint64_t v, uint64_t to)
{
	return (v + to - 1) & ~(to - 1);
}

/** range_within - true if [@at, @at + @len) lies inside [@base, @base + @size)
 *
 * Safe for any numbers: nothing wraps.
 */
static inline bool range_within(uint64_t at, uint64_t len, uint64_t base,
				uint64_t size)
{
	return at >= base && at - base <= size && len <= size - (at - base);
}

#endif
