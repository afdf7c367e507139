/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: making and ending devices, see device.h */
#include "devices/device.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* NOLINTNEXTLINE(readability-function-size): what a device is made of */
int device_new(struct device **out, const struct device_class *cls,
	       const char *id, const void *item, const struct device_env *env,
	       const struct device_place *place, struct diag *d)
{
	struct device *dev = calloc(1, cls->size_bytes);
	int err;

	if (!dev)
		return diag_fail(d, ENOMEM, "out of memory");
	dev->cls = cls;
	dev->env = env;
	dev->item = item;
	dev->segment = place ? place->segment : 0;
	snprintf(dev->id, sizeof(dev->id), "%s", id);
	err = cls->realize(dev, place, d);
	if (err) {
		free(dev);
		return err;
	}
	*out = dev;
	return 0;
}

void device_free(struct device *dev)
{
	if (!dev)
		return;
	if (dev->cls->unrealize)
		dev->cls->unrealize(dev);
	free(dev);
}
