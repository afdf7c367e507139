/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: doorbells of one machine, see doorbell.h */
#include "vmm/doorbell.h"

#include <errno.h>

#include "vmm/host/host.h"

int doorbell_add(struct doorbells *d, gpa_t gpa, int fd)
{
	if (!d->vm)
		return -ENODEV;
	return d->vm->ops->doorbell_add(d->vm, false, gpa.v, 0, NULL, fd);
}

void doorbell_del(struct doorbells *d, gpa_t gpa, int fd)
{
	if (d->vm)
		d->vm->ops->doorbell_del(d->vm, false, gpa.v, 0, NULL, fd);
}
