/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: generation ID: tells a guest that it is a copy of another
 *
 * Microsoft, "Virtual Machine Generation ID" (2012); the device tree binding
 * is Linux' rng/microsoft,vmgenid.yaml. 16 random bytes lie in memory that is
 * not RAM (see vmm/pmem.h) and change when a machine goes on from saved state,
 * which could be the state of several: then one edge of the wire makes the
 * guest look at them, and Linux reseed its random number generator. A reset
 * is no new generation.
 *
 * The guest can overwrite its page, to its own harm only: nothing is read
 * from it, and a reset writes the ID again.
 *
 * Saved state: nothing, as the next ID must not depend on the last.
 *
 * Threads: everything on the main thread.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "devices/legacy/legacy.h"

#define ID_BYTES 16

/** struct vmgenid - @fresh: @id is of a new generation that the guest has not
 * been told of */
struct vmgenid {
	struct device dev;
	struct irq_wire wire;
	uint8_t id[ID_BYTES];
	bool fresh;
};

static int draw(struct vmgenid *v, struct diag *d)
{
	uint8_t id[ID_BYTES];

	/* Never cut short nor interrupted up to 256 bytes (getrandom(2)). */
	if (getrandom(id, sizeof(id), 0) != sizeof(id))
		return diag_errno(d, errno, "no random bytes for vmgenid");
	memcpy(v->id, id, sizeof(id));
	return 0;
}

static int vmgenid_realize(struct device *dev, const struct device_place *place,
			   struct diag *d)
{
	struct vmgenid *v = container_of(dev, struct vmgenid, dev);

	if (!place->wire.sink)
		return diag_fail(d, EINVAL, "vmgenid: needs a wire");
	v->wire = place->wire;
	return draw(v, d);
}

static void publish(const struct vmgenid *v)
{
	const struct device_env *env = v->dev.env;

	/* Nowhere to if the machine only describes itself. */
	if (!env->tables_only)
		ram_write(env->ram, GPA(env->platform->vmgenid.base), v->id,
			  sizeof(v->id));
}

static void vmgenid_reset(struct device *dev)
{
	struct vmgenid *v = container_of(dev, struct vmgenid, dev);

	v->fresh = false;
	publish(v);
}

static int vmgenid_load(struct device *dev, struct stream_in *in,
			struct diag *d)
{
	struct vmgenid *v = container_of(dev, struct vmgenid, dev);
	int err = draw(v, d);

	(void)in;
	v->fresh = !err;
	return err;
}

/* Not in load: memory and the interrupt controller may be loaded later. */
static void vmgenid_resume(struct device *dev)
{
	struct vmgenid *v = container_of(dev, struct vmgenid, dev);

	if (!v->fresh)
		return;
	v->fresh = false;
	publish(v);
	irq_pulse(&v->wire);
}

static int vmgenid_describe(const struct device *dev, struct platform *p,
			    struct diag *d)
{
	const struct vmgenid *v = (const void *)dev;
	struct plat_dev out = {
		.role = PLAT_VMGENID,
		.name = "vmgenid",
		.compatible = "microsoft,vmgenid\0",
		.range = { { PLAT_MMIO, p->vmgenid.base, ID_BYTES } },
		.range_count = 1,
		.irq = { { .pin = v->wire.pin, .level = false } },
		.irq_count = 1,
	};

	static_assert(offsetof(struct vmgenid, dev) == 0, "first member");
	return platform_add(p, &out, d);
}

const struct device_class vmgenid_class = {
	.name = "vmgenid",
	.size_bytes = sizeof(struct vmgenid),
	.realize = vmgenid_realize,
	.describe = vmgenid_describe,
	.reset = vmgenid_reset,
	.load = vmgenid_load,
	.resume = vmgenid_resume,
};
