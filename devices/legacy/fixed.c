/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: what all devices with fixed registers share, see fixed.h */
#include "devices/legacy/fixed.h"

#include <errno.h>

int fixed_realize(struct fixed *f, struct device *dev,
		  const struct device_place *place, uint64_t size_bytes,
		  const struct bus_ops *ops, struct diag *d)
{
	struct bus *bus =
		place->bus == PLAT_PIO ? dev->env->pio : dev->env->mmio;
	int err;

	if (!bus)
		return diag_fail(d, ENODEV, "%s: this machine has no ports",
				 dev->cls->name);
	f->kind = place->bus;
	f->wire = place->wire;
	f->region = (struct bus_region){
		.base = place->base,
		.size_bytes = size_bytes,
		.ops = ops,
		.opaque = dev,
		.lock = &f->lock,
		.name = dev->cls->name,
	};
	pthread_mutex_init(&f->lock, NULL);
	err = bus_add(bus, &f->region, d);
	if (err) {
		pthread_mutex_destroy(&f->lock);
		return err;
	}
	f->bus = bus;
	return 0;
}

void fixed_unrealize(struct fixed *f)
{
	bus_remove(f->bus, &f->region);
	fixed_lower(f);
	pthread_mutex_destroy(&f->lock);
	f->bus = NULL;
}

void fixed_lower(struct fixed *f)
{
	f->level = false;
	irq_set(&f->wire, false);
}

void fixed_describe(const struct fixed *f, struct plat_dev *out, bool level)
{
	out->range[0] =
		(struct plat_range){ .bus = f->kind,
				     .base = f->region.base,
				     .size_bytes = f->region.size_bytes };
	out->range_count = 1;
	if (!f->wire.sink)
		return;
	out->irq[0] = (struct plat_irq){ .pin = f->wire.pin, .level = level };
	out->irq_count = 1;
}

uint64_t fixed_read_bytes(void *opaque, uint64_t offset_bytes,
			  unsigned size_bytes,
			  uint8_t (*get)(void *opaque, uint64_t offset_bytes))
{
	uint64_t value = 0;

	for (unsigned i = 0; i < size_bytes; i++)
		value |= (uint64_t)get(opaque, offset_bytes + i) << (8 * i);
	return value;
}

void fixed_write_bytes(void *opaque, uint64_t offset_bytes, unsigned size_bytes,
		       uint64_t value,
		       void (*put)(void *opaque, uint64_t offset_bytes,
				   uint8_t value))
{
	for (unsigned i = 0; i < size_bytes; i++)
		put(opaque, offset_bytes + i, (uint8_t)(value >> (8 * i)));
}
