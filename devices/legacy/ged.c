/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: ACPI generic event device: the power button
 *
 * ACPI 6.5 sec. 5.6.9. The device is one edge-triggered wire; what an edge
 * means is in the DSDT's _EVT method: Notify(the power button, 0x80). It has
 * no registers and no state.
 *
 * Threads: the power button is pressed on the main thread.
 */
#include <assert.h>
#include <errno.h>

#include "devices/legacy/legacy.h"

struct ged {
	struct device dev;
	struct irq_wire wire;
};

static int ged_realize(struct device *dev, const struct device_place *place,
		       struct diag *d)
{
	struct ged *g = container_of(dev, struct ged, dev);

	if (!place->wire.sink)
		return diag_fail(d, EINVAL, "ged: needs a wire");
	g->wire = place->wire;
	return 0;
}

static void ged_power_button(struct device *dev)
{
	irq_pulse(&container_of(dev, struct ged, dev)->wire);
}

static int ged_describe(const struct device *dev, struct platform *p,
			struct diag *d)
{
	const struct ged *g = (const void *)dev;
	struct plat_dev out = {
		.role = PLAT_GED,
		.name = "ged",
		.hid = "ACPI0013",
		.irq = { { .pin = g->wire.pin, .level = false } },
		.irq_count = 1,
	};

	static_assert(offsetof(struct ged, dev) == 0, "first member");
	return platform_add(p, &out, d);
}

const struct device_class ged_class = {
	.name = "ged",
	.size_bytes = sizeof(struct ged),
	.realize = ged_realize,
	.describe = ged_describe,
	.power_button = ged_power_button,
};
