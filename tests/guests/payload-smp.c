/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: start vCPU 1 (the runner gives two) and talk to it through RAM */
#include "guest.h"

/* A busy host runs vCPU 0 long before vCPU 1. */
#define SPINS 50000000

static volatile unsigned ping, pong;

void secondary(void)
{
	pong = 1;
	memory_barrier();
	while (ping != 2)
		cpu_relax();
	pong = 3;
	memory_barrier();
}

static bool wait_for(unsigned value)
{
	for (unsigned i = 0; i < SPINS && pong != value; i++)
		cpu_relax();
	return pong == value;
}

void payload(void)
{
	plan(4);
	ok(pong == 0, "vCPU 1 waits");
	ok(cpu_start(1), "vCPU 1 can be started");
	ok(wait_for(1), "vCPU 1 runs");
	ping = 2;
	memory_barrier();
	ok(wait_for(3), "vCPU 1 sees what vCPU 0 writes");
}
