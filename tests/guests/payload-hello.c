/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: the least a guest can do: speak and power off */
#include "guest.h"

static volatile unsigned zero;

void secondary(void)
{
}

void payload(void)
{
	plan(2);
	ok(true, "the serial port works");
	ok(zero == 0, "memory that the file does not hold is zero");
}
