/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: waits for ever; make bench looks at what the VMM holds meanwhile */
#include "guest.h"

void secondary(void)
{
}

void payload(void)
{
	for (;;)
		cpu_wait();
}
