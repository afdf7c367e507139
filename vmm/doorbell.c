/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: doorbells of one machine, see doorbell.h */
#include "vmm/doorbell.h"

#include <errno.h>

#include "vmm/host/host.h"

int doorbell_add(struct doorbells *d, gpa_t gpa, const uint32_t *match, int fd)
{
	uint64_t wide = match ? *match : 0;

	if (!d->vm)
		return -ENODEV;
	return d->vm->ops->doorbell_add(d->vm, false, gpa.v, match ? 4 : 0,
					match ? &wide : NULL, fd);
}

void doorbell_del(struct doorbells *d, gpa_t gpa, const uint32_t *match, int fd)
{
	uint64_t wide = match ? *match : 0;

	if (d->vm)
		d->vm->ops->doorbell_del(d->vm, false, gpa.v, match ? 4 : 0,
					 match ? &wide : NULL, fd);
}
