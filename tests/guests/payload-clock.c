/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: reads of the clock that firmware polls, beside reads of nothing; make
 * bench reads the last line
 *
 * Batches of either take turns, and the fastest of each counts, because the
 * host does other things as well.
 */
#include "guest.h"

#define BATCHES 200
#define READS	500

static uint32_t batch(uint32_t (*read)(void))
{
	uint32_t start = cpu_cycles();

	for (unsigned i = 0; i < READS; i++)
		(void)read();
	return cpu_cycles() - start;
}

void secondary(void)
{
}

void payload(void)
{
	uint32_t clock = UINT32_MAX, nothing = UINT32_MAX;

	for (unsigned i = 0; i < BATCHES; i++) {
		uint32_t took = batch(clock_read);

		if (took < clock)
			clock = took;
		took = batch(nothing_read);
		if (took < nothing)
			nothing = took;
	}
	print("CLOCK ");
	print_number(clock / READS);
	print(" NOTHING ");
	print_number(nothing / READS);
	print("\n");
}
