/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: flash, whose content is read as memory (devices/legacy/flash-cfi.c), on
 * arm64: there KVM describes no access of two registers at once, so these work
 * with memory only
 *
 * run firmware: --firmware ROM --firmware-vars vars
 */
#include "guest.h"

#define FLASH	  0x04000000ul
#define BLOCK	  0x40000ul
#define LAST_PAIR (FLASH + 3 * BLOCK - 16)
#define READY	  0x00800080u
#define VALUE	  0x12345678u
#define ROUNDS	  100

struct pair {
	uint64_t low, high;
};

static struct pair read_pair(uintptr_t at)
{
	struct pair p;

	__asm__ volatile("ldp %0, %1, [%2]"
			 : "=&r"(p.low), "=&r"(p.high)
			 : "r"(at));
	return p;
}

static bool reads(uintptr_t at, uint64_t low)
{
	struct pair p = read_pair(at);

	return p.low == low && p.high == UINT64_MAX;
}

static void command(uintptr_t at, uint8_t c)
{
	write32(at, (uint32_t)c << 16 | c);
}

static void program(uintptr_t at, uint32_t value)
{
	command(at, 0x40);
	write32(at, value);
}

static void erase(uintptr_t at)
{
	command(at, 0x20);
	command(at, 0xd0);
}

/* Single reads make memory of it, too. */
static bool reads_on(uintptr_t at, uint32_t value)
{
	for (unsigned i = 0; i < 1000; i++)
		if (read32(at) != value)
			return false;
	return true;
}

/* As memory it is new each time. */
static bool comes_and_goes(void)
{
	for (unsigned i = 0; i < ROUNDS; i++) {
		erase(FLASH + BLOCK);
		program(FLASH + BLOCK, i);
		if (read32(FLASH) != READY)
			return false;
		command(FLASH, 0xff);
		if (!reads(FLASH + BLOCK, UINT64_C(0xffffffff00000000) | i))
			return false;
	}
	return true;
}

static void cache_operation(uintptr_t at)
{
	__asm__ volatile("dc civac, %0\n\tdsb sy" : : "r"(at) : "memory");
}

void secondary(void)
{
}

void payload(void)
{
	ok(reads(FLASH, UINT64_MAX), "a pair, before anything else");
	cache_operation(FLASH + 2 * BLOCK);
	ok(reads(LAST_PAIR, UINT64_MAX), "the last pair, after a cache "
					 "operation on memory not yet read");
	program(FLASH, VALUE);
	ok(read32(FLASH) == READY, "its status");
	command(FLASH, 0xff);
	ok(reads(FLASH, UINT64_C(0xffffffff00000000) | VALUE),
	   "a pair of what was programmed");
	ok(reads_on(FLASH, VALUE), "many words of it");
	command(FLASH, 0x90);
	ok(read32(FLASH) == 0x00890089, "its maker");
	command(FLASH, 0xff);
	ok(reads_on(FLASH, VALUE), "many words, without a pair before");
	ok(comes_and_goes(), "written and read by turns");
	plan_done();
}
