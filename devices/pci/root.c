/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: PCI host bridge: ECAM, CF8/CFC, address windows, see pci.h
 *
 * The bridge says it is 8086:0d57, the identity that Cloud Hypervisor's
 * firmware build looks for (CLOUDHV.fd recognises its platform by it); for
 * firmware that is made for a PC it is another one, see q35.c.
 *
 * Port 0xcf9, inside of CONFIG_ADDRESS, is the reset control register of
 * Intel's chipsets (ICH9 datasheet sec. 13.7.5): firmware resets by it, and so
 * does Linux, through firmware or on its own (reboot=pci).
 */
#include <errno.h>
#include <string.h>

#include "devices/pci/pci.h"

#define CF8_PORT   0xcf8
#define CFC_PORT   0xcfc
#define CF8_ENABLE 0x80000000u
#define RESET_AT   1 /* port 0xcf9 */
#define RESET_CPU  0x04

static const struct pci_ident bridge_ident = {
	.vendor = 0x8086,
	.device = 0x0d57,
	.class_code = 0x060000, /* host bridge */
};

static const struct pci_func_ops bridge_ops = { 0 };

struct pci_root *pci_host_root(struct device *dev)
{
	return container_of(dev, struct pci_root, dev);
}

/* ---- configuration accesses -------------------------------------------- */

/* Who answers on @bus at @devfn; functions other than 0 do not exist. */
static struct pci_func *find(struct pci_root *root, unsigned bus,
			     unsigned devfn)
{
	if (bus || (devfn & 7))
		return NULL;
	return root->func[devfn >> 3];
}

/* PCI Express 5.0 sec. 7.2.2: bus << 20 | devfn << 12 | register. */
static struct pci_func *ecam_find(struct pci_root *root, uint64_t offset,
				  unsigned size, unsigned *reg)
{
	*reg = offset & 0xfff;
	if (*reg + size > 0x1000)
		return NULL;
	return find(root, (unsigned)(offset >> 20), offset >> 12 & 0xff);
}

static uint64_t ecam_read(void *opaque, uint64_t offset_bytes,
			  unsigned size_bytes)
{
	unsigned reg;
	struct pci_func *f = ecam_find(opaque, offset_bytes, size_bytes, &reg);

	return f ? pci_config_read(f, reg, size_bytes) : UINT64_MAX;
}

static void ecam_write(void *opaque, uint64_t offset_bytes, unsigned size_bytes,
		       uint64_t value)
{
	unsigned reg;
	struct pci_func *f = ecam_find(opaque, offset_bytes, size_bytes, &reg);

	if (f)
		pci_config_write(f, reg, size_bytes, value);
}

static const struct bus_ops ecam_ops = { ecam_read, ecam_write };

/* PCI 3.0 sec. 3.2.2.3.2: only 32-bit accesses reach CONFIG_ADDRESS. */
static uint64_t cf8_read(void *opaque, uint64_t offset_bytes,
			 unsigned size_bytes)
{
	struct pci_root *root = opaque;

	if (offset_bytes == RESET_AT && size_bytes == 1)
		return 0;
	return offset_bytes || size_bytes != 4 ? UINT64_MAX : root->cf8;
}

static void cf8_write(void *opaque, uint64_t offset_bytes, unsigned size_bytes,
		      uint64_t value)
{
	struct pci_root *root = opaque;
	const struct device_env *env = root->dev.env;

	if (!offset_bytes && size_bytes == 4)
		root->cf8 = (uint32_t)value & 0x80fffffc;
	else if (offset_bytes == RESET_AT && size_bytes == 1 &&
		 value & RESET_CPU)
		env->request(env->machine, MACHINE_RESET);
}

static const struct bus_ops cf8_ops = { cf8_read, cf8_write };

static struct pci_func *cfc_find(struct pci_root *root)
{
	if (!(root->cf8 & CF8_ENABLE))
		return NULL;
	return find(root, root->cf8 >> 16 & 0xff, root->cf8 >> 8 & 0xff);
}

static uint64_t cfc_read(void *opaque, uint64_t offset_bytes,
			 unsigned size_bytes)
{
	struct pci_root *root = opaque;
	struct pci_func *f = cfc_find(root);
	unsigned reg = (root->cf8 & 0xfc) + (unsigned)offset_bytes;

	return f ? pci_config_read(f, reg, size_bytes) : UINT64_MAX;
}

static void cfc_write(void *opaque, uint64_t offset_bytes, unsigned size_bytes,
		      uint64_t value)
{
	struct pci_root *root = opaque;
	struct pci_func *f = cfc_find(root);

	if (f)
		pci_config_write(f, (root->cf8 & 0xfc) + (unsigned)offset_bytes,
				 size_bytes, value);
}

static const struct bus_ops cfc_ops = { cfc_read, cfc_write };

/* ---- address windows --------------------------------------------------- */

/* The first address above @at that the BARs of @f leave free. */
static uint64_t skip(const struct pci_func *f, uint64_t at, uint64_t size)
{
	for (unsigned i = 0; f && i < PCI_BARS; i++) {
		const struct pci_bar *bar = &f->bar[i];
		uint64_t bytes = bar->region.size_bytes;

		if (bytes && at < bar->home + bytes && bar->home < at + size)
			at = align_up(bar->home + bytes, size);
	}
	return at;
}

/* First fit in one window; BARs are few. */
static bool window_alloc(const struct pci_func *self,
			 const struct plat_range *window, uint64_t size,
			 uint64_t *base)
{
	uint64_t at = align_up(window->base, size), before;

	do {
		before = at;
		at = skip(self, at, size);
		for (unsigned slot = 0; slot < PCI_SLOTS; slot++)
			at = skip(self->root->func[slot], at, size);
	} while (at != before);
	if (!at || !range_within(at, size, window->base, window->size_bytes))
		return false;
	*base = at;
	return true;
}

int pci_root_alloc(const struct pci_func *f, uint64_t size_bytes, bool is64,
		   uint64_t *base, struct diag *d)
{
	const struct plat_segment *at = f->root->at;

	if (is64 && window_alloc(f, &at->mmio64, size_bytes, base))
		return 0;
	if (window_alloc(f, &at->mmio32, size_bytes, base))
		return 0;
	return diag_fail(d, ENOSPC, "%s: no room for %llu bytes of registers",
			 f->name, (unsigned long long)size_bytes);
}

/* ---- device class ------------------------------------------------------ */

static void host_unrealize(struct device *dev)
{
	struct pci_root *root = pci_host_root(dev);

	if (dev->env->pio) {
		bus_remove(dev->env->pio, &root->cf8_port);
		bus_remove(dev->env->pio, &root->cfc_port);
	}
	bus_remove(dev->env->mmio, &root->ecam);
	bus_remove(dev->env->mmio, &root->pciexbar);
	pci_func_release(&root->lpc);
	pci_func_release(&root->bridge);
	pthread_mutex_destroy(&root->own_lock);
	pthread_mutex_destroy(&root->intx_lock);
}

static void fill_regions(struct pci_root *root)
{
	root->ecam =
		(struct bus_region){ .base = root->at->ecam.base,
				     .size_bytes = MIB(root->at->bus_count),
				     .ops = &ecam_ops,
				     .opaque = root,
				     .lock = root->lock,
				     .name = "PCI ECAM" };
	root->pciexbar = root->ecam;
	root->cf8_port = (struct bus_region){ .base = CF8_PORT,
					      .size_bytes = 4,
					      .ops = &cf8_ops,
					      .opaque = root,
					      .lock = root->lock,
					      .name = "PCI address port" };
	root->cfc_port = (struct bus_region){ .base = CFC_PORT,
					      .size_bytes = 4,
					      .ops = &cfc_ops,
					      .opaque = root,
					      .lock = root->lock,
					      .name = "PCI data port" };
}

static int map_regions(struct pci_root *root, struct diag *d)
{
	const struct device_env *env = root->dev.env;
	int err = root->at->ecam.size_bytes ? bus_add(env->mmio, &root->ecam, d)
					    : 0;

	if (err || root->dev.segment || !env->platform->pci.cf8)
		return err;
	err = bus_add(env->pio, &root->cf8_port, d);
	return err ? err : bus_add(env->pio, &root->cfc_port, d);
}

static int init_chipset(struct pci_root *root, struct diag *d)
{
	bool q35 = root->dev.env->platform->q35 && !root->dev.segment;
	int err = q35 ? pci_q35_init(root, d)
		      : pci_func_init(&root->bridge, root, "PCI host bridge",
				      &bridge_ident, &bridge_ops, d);

	if (!err)
		err = pci_func_plug(&root->bridge, d);
	if (!err && q35)
		err = pci_func_plug(&root->lpc, d);
	return err;
}

static int host_realize(struct device *dev, const struct device_place *place,
			struct diag *d)
{
	struct pci_root *root = pci_host_root(dev);
	int err;

	(void)place;
	pthread_mutex_init(&root->own_lock, NULL);
	pthread_mutex_init(&root->intx_lock, NULL);
	root->lock = dev->segment ? dev->env->pci[0]->lock : &root->own_lock;
	root->at = &dev->env->platform->pci.segment[dev->segment];
	fill_regions(root);
	err = init_chipset(root, d);
	if (!err)
		err = map_regions(root, d);
	if (err)
		host_unrealize(dev);
	return err;
}

/* Addresses and windows of all segments are in struct plat_pci. */
static int host_describe(const struct device *dev, struct platform *p,
			 struct diag *d)
{
	static const struct plat_dev desc = {
		.role = PLAT_PCI_HOST,
		.name = "pcie",
		.compatible = "pci-host-ecam-generic\0",
		.hid = "PNP0A08",
	};

	return dev->segment ? 0 : platform_add(p, &desc, d);
}

static void host_reset(struct device *dev)
{
	struct pci_root *root = pci_host_root(dev);

	pci_func_reset(&root->bridge);
	if (root->lpc.root) {
		pci_func_reset(&root->lpc);
		pci_q35_update(root);
	}
	pthread_mutex_lock(root->lock);
	root->cf8 = 0;
	pthread_mutex_unlock(root->lock);
}

static void host_save(const struct device *dev, struct stream_out *out)
{
	const struct pci_root *root = (const void *)dev;

	pci_func_save(&root->bridge, out);
	if (root->lpc.root)
		pci_func_save(&root->lpc, out);
	stream_put_u32(out, root->cf8);
}

static int host_load(struct device *dev, struct stream_in *in, struct diag *d)
{
	struct pci_root *root = pci_host_root(dev);
	int err = pci_func_load(&root->bridge, in, d);
	uint32_t cf8;

	if (!err && root->lpc.root)
		err = pci_func_load(&root->lpc, in, d);
	if (err)
		return err;
	cf8 = stream_get_u32(in);
	if (in->failed)
		return diag_fail(d, EBADMSG, "PCI host bridge: short state");
	root->cf8 = cf8 & 0x80fffffc;
	if (root->lpc.root)
		pci_q35_update(root);
	return 0;
}

const struct device_class pci_host_class = {
	.name = "pci-host",
	.size_bytes = sizeof(struct pci_root),
	.realize = host_realize,
	.describe = host_describe,
	.reset = host_reset,
	.save = host_save,
	.load = host_load,
	.unrealize = host_unrealize,
};
