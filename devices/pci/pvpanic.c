/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: pvpanic: the guest's kernel reports that it crashed
 *
 * One byte: reading tells which events are supported, writing reports one.
 * The register is BAR 0 of PCI function 1b36:0011; on a machine without PCI
 * it is at the platform's pvpanic range (memory or a port).
 *
 * Spec: QEMU docs/specs/pvpanic, the interface of Linux' pvpanic driver.
 * Not implemented: the shutdown event (bit 2).
 *
 * Threads: registers on vCPU threads, without state beyond a counter.
 */
#include <errno.h>

#include "vmm/base/log.h"

#include "devices/pci/pci.h"

enum { EVENT_PANICKED = 1 << 0, EVENT_CRASH_LOADED = 1 << 1 };

#define BAR_BYTES 4096

struct pvpanic {
	struct device dev;
	struct pci_func func;
	struct bus_region region; /* without PCI */
	atomic_uint reported;
};

static uint64_t pvpanic_read(void *opaque, uint64_t offset_bytes,
			     unsigned size_bytes)
{
	(void)opaque;
	(void)size_bytes;
	return offset_bytes ? 0 : EVENT_PANICKED | EVENT_CRASH_LOADED;
}

static void pvpanic_write(void *opaque, uint64_t offset_bytes,
			  unsigned size_bytes, uint64_t value)
{
	struct pvpanic *p = opaque;

	(void)size_bytes;
	if (offset_bytes)
		return;
	if (value & EVENT_PANICKED)
		p->dev.env->request(p->dev.env->machine, MACHINE_PANIC);
	else if (value & EVENT_CRASH_LOADED)
		log_guest(&p->reported,
			  "the guest crashed and saves its own dump");
}

static const struct bus_ops pvpanic_ops = { pvpanic_read, pvpanic_write };

static const struct pci_ident pvpanic_ident = {
	.vendor = 0x1b36,
	.device = 0x0011,
	.sub_vendor = 0x1af4,
	.sub_device = 0x1100,
	.class_code = 0x088000, /* other system peripheral */
	.revision = 1,
};

static const struct pci_func_ops func_ops = { 0 };

static struct pvpanic *to_pvpanic(struct device *dev)
{
	return container_of(dev, struct pvpanic, dev);
}

static struct bus *plain_bus(const struct device_env *env)
{
	return env->platform->pvpanic.bus == PLAT_PIO ? env->pio : env->mmio;
}

static int realize_plain(struct pvpanic *p, struct diag *d)
{
	const struct device_env *env = p->dev.env;
	const struct plat_range *at = &env->platform->pvpanic;
	int err;

	if (!at->size_bytes)
		return diag_fail(d, ENODEV,
				 "--pvpanic: this machine has no place for it");
	p->region = (struct bus_region){ .base = at->base,
					 .size_bytes = at->size_bytes,
					 .ops = &pvpanic_ops,
					 .opaque = p,
					 .name = "pvpanic" };
	err = bus_add(plain_bus(env), &p->region, d);
	if (err)
		p->region.size_bytes = 0;
	return err;
}

static int realize_pci(struct pvpanic *p, struct diag *d)
{
	const struct pci_bar_spec bar = { .size_bytes = BAR_BYTES,
					  .ops = &pvpanic_ops,
					  .opaque = p };
	int err = pci_func_init(&p->func, p->dev.env->pci[0], "pvpanic",
				&pvpanic_ident, &func_ops, d);

	if (!err)
		err = pci_func_add_bar(&p->func, &bar, d);
	if (!err)
		err = pci_func_plug(&p->func, d);
	if (err)
		pci_func_release(&p->func);
	return err;
}

static int pvpanic_realize(struct device *dev, const struct device_place *place,
			   struct diag *d)
{
	struct pvpanic *p = to_pvpanic(dev);

	(void)place;
	return dev->env->pci[0] ? realize_pci(p, d) : realize_plain(p, d);
}

static int pvpanic_describe(const struct device *dev, struct platform *plat,
			    struct diag *d)
{
	const struct plat_dev desc = {
		.name = "pvpanic",
		.compatible = "qemu,pvpanic-mmio\0",
		.hid = "QEMU0001",
		.range = { plat->pvpanic },
		.range_count = 1,
	};

	return dev->env->pci[0] ? 0 : platform_add(plat, &desc, d);
}

static void pvpanic_reset(struct device *dev)
{
	struct pvpanic *p = to_pvpanic(dev);

	if (p->func.root)
		pci_func_reset(&p->func);
}

static void pvpanic_save(const struct device *dev, struct stream_out *out)
{
	const struct pvpanic *p = (const void *)dev;

	if (p->func.root)
		pci_func_save(&p->func, out);
}

static int pvpanic_load(struct device *dev, struct stream_in *in,
			struct diag *d)
{
	struct pvpanic *p = to_pvpanic(dev);

	return p->func.root ? pci_func_load(&p->func, in, d) : 0;
}

static void pvpanic_unrealize(struct device *dev)
{
	struct pvpanic *p = to_pvpanic(dev);

	if (p->func.root)
		pci_func_release(&p->func);
	else
		bus_remove(plain_bus(dev->env), &p->region);
}

const struct device_class pvpanic_class = {
	.name = "pvpanic",
	.size_bytes = sizeof(struct pvpanic),
	.realize = pvpanic_realize,
	.describe = pvpanic_describe,
	.reset = pvpanic_reset,
	.save = pvpanic_save,
	.load = pvpanic_load,
	.unrealize = pvpanic_unrealize,
};
