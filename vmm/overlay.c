/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: memory in front of a device's registers, see overlay.h */
#include "vmm/overlay.h"

#include <errno.h>

#include "vmm/host/host.h"

void overlays_attach(struct overlays *s, struct host_vm *vm)
{
	s->vm = vm;
	if (vm)
		s->vms++;
}

static bool is_shown(const struct overlays *s, const struct overlay *o)
{
	return s->vm && o->shown_in == s->vms;
}

int overlay_show(struct overlays *s, struct overlay *o)
{
	int err;

	if (!s->vm)
		return -ENODEV;
	if (is_shown(s, o))
		return 0;
	err = s->vm->ops->ram_map(s->vm, o->gpa, o->host, o->size_bytes,
				  RAM_READ_ONLY, NULL);
	if (!err)
		o->shown_in = s->vms;
	return err;
}

int overlay_hide(struct overlays *s, struct overlay *o)
{
	int err = 0;

	if (is_shown(s, o))
		err = s->vm->ops->ram_unmap(s->vm, o->gpa, NULL);
	if (!err)
		o->shown_in = 0;
	return err;
}
