/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: powers off at once; make bench times what is around it */
#include "guest.h"

void secondary(void)
{
}

void payload(void)
{
}
