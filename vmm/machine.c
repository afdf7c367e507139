/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: assembling a machine, see machine.h
 *
 * Devices are created in a fixed order, so that PCI slots and virtio-mmio
 * slots, and with them every name inside the guest, depend on the
 * configuration only: fixed devices of the architecture, PCI host bridges,
 * then what the options ask for in the order of the table below.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/base/log.h"
#include "vmm/fw-cfg.h"
#include "vmm/machine-internal.h"
#include "vmm/pmem.h"
#include "vmm/zone.h"

#include "devices/pci/pci.h"

/* ---- devices ------------------------------------------------------------ */

static unsigned count_one(const struct vm_config *cfg)
{
	(void)cfg;
	return 1;
}

static unsigned count_console(const struct vm_config *cfg)
{
	return cfg->console.mode != CHAR_OFF || cfg->console_port_count;
}

static unsigned count_debug_console(const struct vm_config *cfg)
{
	return cfg->debug_console_count &&
	       cfg->debug_console->out.mode != CHAR_OFF;
}

static unsigned count_rtc(const struct vm_config *cfg)
{
	return cfg->rtc;
}

static unsigned count_pvpanic(const struct vm_config *cfg)
{
	return cfg->pvpanic;
}

static const char *disk_class(const void *item)
{
	const struct disk_config *k = item;

	return k->vhost_user ? "vhost-user-blk" : "virtio-blk";
}

static const char *net_class(const void *item)
{
	const struct net_config *n = item;

	return n->vhost_user ? "vhost-user-net" : "virtio-net";
}

static const char *vsock_class(const void *item)
{
	const struct vsock_config *v = item;

	return v->vhost ? "vhost-vsock" : "virtio-vsock";
}

/**
 * struct device_rule - devices that a configuration asks for
 * @cls: their class; @cls_of: that of one item, where they differ
 * @optional: a build without the class just has none
 * @count: how many; NULL: as many as there are items
 * @items, @item_count: where struct vm_config has the pointer to the items and
 *	their number; @item_bytes: of one; 0: it has none
 * @id: offset of the id in an item
 * @segment: that of the number of its PCI segment, in struct vm_config where it
 *	has no items; 0: it has none
 */
struct device_rule {
	const char *cls;
	const char *(*cls_of)(const void *item);
	bool optional;
	unsigned (*count)(const struct vm_config *cfg);
	size_t items, item_count, item_bytes, id, segment;
};

/* The items of an option: EACH(disks, disk_count, struct disk_config). */
#define EACH(list, number, type)                          \
	.items = offsetof(struct vm_config, list),        \
	.item_count = offsetof(struct vm_config, number), \
	.item_bytes = sizeof(type), .id = offsetof(type, id)

#define EACH_PCI(list, number, type) \
	EACH(list, number, type), .segment = offsetof(type, pci_segment)
#define SEGMENT(member) .segment = offsetof(struct vm_config, member)

static const struct device_rule device_rules[] = {
	{ "virtio-blk", disk_class,
	  EACH_PCI(disks, disk_count, struct disk_config) },
	{ "virtio-rng", .optional = true, .count = count_one,
	  SEGMENT(rng.pci_segment) },
	{ "virtio-console", .count = count_console, SEGMENT(console_segment) },
	{ "virtio-balloon",
	  EACH_PCI(balloon, balloon_count, struct balloon_config) },
	{ "virtio-rtc", .count = count_rtc },
	{ "virtio-pmem", EACH_PCI(pmem, pmem_count, struct pmem_config) },
	{ "virtio-vsock", vsock_class,
	  EACH_PCI(vsock, vsock_count, struct vsock_config) },
	{ "virtio-fs", EACH_PCI(fs, fs_count, struct fs_config) },
	{ "generic-vhost-user",
	  EACH_PCI(generic_vhost_user, generic_vhost_user_count,
		   struct vhost_user_config) },
	{ "pvpanic", .count = count_pvpanic },
	{ "virtio-net", net_class,
	  EACH_PCI(net, net_count, struct net_config) },
	{ "tpm-crb", EACH(tpm, tpm_count, struct tpm_config) },
	{ "debug-console", .count = count_debug_console },
};

static unsigned rule_count(const struct device_rule *r,
			   const struct vm_config *cfg)
{
	if (r->count)
		return r->count(cfg);
	return *(const unsigned *)(const void *)((const char *)cfg +
						 r->item_count);
}

/* NULL for devices that have no item of their own. */
static const char *rule_item(const struct device_rule *r,
			     const struct vm_config *cfg, unsigned index)
{
	const char *const *items = (const void *)((const char *)cfg + r->items);

	return r->item_bytes ? *items + index * r->item_bytes : NULL;
}

static unsigned rule_segment(const struct device_rule *r,
			     const struct vm_config *cfg, const char *item)
{
	const char *base = item ? item : (const char *)cfg;

	return r->segment ? *(const uint32_t *)(const void *)(base + r->segment)
			  : 0;
}

/* "virtio-rng" -> "__rng", "serial-16550" -> "__serial": the fixed ids that
 * Cloud Hypervisor's clients know. */
static void device_id(const char *cls, char *id, size_t size_bytes)
{
	const char *from = strncmp(cls, "virtio-", 7) ? cls : cls + 7;

	snprintf(id, size_bytes, "__%.*s", (int)strcspn(from, "-"), from);
}

/* Then a user knows what it is about. */
static bool names_option(const struct diag *d)
{
	return d && d->depth && !strncmp(d->text[d->depth - 1], "--", 2);
}

static int add_device(struct machine *m, const char *name, const char *id,
		      const void *item, const struct device_place *place,
		      struct diag *d)
{
	const struct device_class *cls = device_class_find(name);
	char fixed_id[sizeof(((struct device *)0)->id)];
	struct device *dev;
	int err;

	if (!cls)
		return diag_fail(d, ENODEV,
				 "this build has no %s (see make menuconfig)",
				 name);
	if (m->device_count == ARRAY_SIZE(m->device))
		return diag_fail(d, ENOSPC, "more than %zu devices",
				 ARRAY_SIZE(m->device));
	if (!id) {
		device_id(name, fixed_id, sizeof(fixed_id));
		id = fixed_id;
	}
	err = device_new(&dev, cls, id, item, &m->env, place, d);
	if (err)
		return names_option(d)
			       ? err
			       : diag_fail(d, -err, "cannot create %s", name);
	m->device[m->device_count++] = dev;
	log_debug("device %s: %s", id, name);
	return 0;
}

static int add_by_rule(struct machine *m, const struct device_rule *r,
		       struct diag *d)
{
	unsigned count = rule_count(r, m->cfg);
	int err = 0;

	if (r->optional && !device_class_find(r->cls))
		return 0;
	for (unsigned i = 0; i < count && !err; i++) {
		const char *item = rule_item(r, m->cfg, i);
		const struct device_place place = {
			.segment = rule_segment(r, m->cfg, item),
		};
		const char *id =
			item ? *(char *const *)(const void *)(item + r->id)
			     : NULL;

		err = add_device(m, r->cls_of ? r->cls_of(item) : r->cls, id,
				 item, &place, d);
	}
	return err;
}

static int add_fixed_devices(struct machine *m, struct diag *d)
{
	struct arch_device fixed[16];
	unsigned count = m->arch->devices(&m->platform, m->cfg, fixed);
	int err = 0;

	for (unsigned i = 0; i < count && !err; i++) {
		struct device_place place = {
			.bus = fixed[i].bus,
			.base = fixed[i].base,
			.wire = { .pin = fixed[i].pin },
		};

		if (fixed[i].pin != ARCH_NO_PIN)
			place.wire.sink = &m->irqchip.sink;
		err = add_device(m, fixed[i].cls, NULL, NULL, &place, d);
	}
	return err;
}

static int add_segments(struct machine *m, struct diag *d)
{
	int err = 0;

	for (unsigned i = 0; i < m->platform.pci.segment_count && !err; i++) {
		const struct device_place place = { .segment = i };
		char id[16];

		snprintf(id, sizeof(id), i ? "__pci%u" : "__pci", i);
		err = add_device(m, "pci-host", id, NULL, &place, d);
		if (!err)
			m->env.pci[i] =
				pci_host_root(m->device[m->device_count - 1]);
	}
	return err;
}

static int add_devices(struct machine *m, struct diag *d)
{
	int err = add_fixed_devices(m, d);

	if (!err)
		err = add_segments(m, d);
	for (size_t i = 0; i < ARRAY_SIZE(device_rules) && !err; i++)
		err = add_by_rule(m, &device_rules[i], d);
	for (unsigned i = 0; i < m->device_count && !err; i++)
		if (m->device[i]->cls->describe)
			err = m->device[i]->cls->describe(m->device[i],
							  &m->platform, d);
	return err;
}

/* ---- assembly ----------------------------------------------------------- */

static int open_chardev(struct machine *m, struct chardev **out,
			const struct char_config *cfg, const char *name,
			struct diag *d)
{
	/* Tables only: nothing may be opened or created. */
	if (cfg->mode == CHAR_OFF || !m->host)
		return 0;
	return chardev_new(out, cfg, name, m->loop, d);
}

static int open_console_ports(struct machine *m, struct diag *d)
{
	char name[sizeof("--console-port ") + CONFIG_ID_MAX];
	int err = 0;

	for (unsigned i = 0; i < m->cfg->console_port_count && !err; i++) {
		const struct console_port_config *p = &m->cfg->console_port[i];

		snprintf(name, sizeof(name), "--console-port %s", p->name);
		err = open_chardev(m, &m->console_port[i], &p->back, name, d);
	}
	return err;
}

static int open_chardevs(struct machine *m, struct diag *d)
{
	int err = open_chardev(m, &m->serial, &m->cfg->serial, "--serial", d);

	if (!err)
		err = open_chardev(m, &m->console, &m->cfg->console,
				   "--console", d);
	if (!err && m->cfg->debug_console_count)
		err = open_chardev(m, &m->debug_console,
				   &m->cfg->debug_console->out,
				   "--debug-console", d);
	if (!err)
		err = open_console_ports(m, d);
	return err;
}

static void fill_env(struct machine *m)
{
	m->env = (struct device_env){
		.mmio = m->mmio,
		.pio = m->pio,
		.ram = &m->ram,
		.irqchip = &m->irqchip,
		.doorbells = &m->doorbells,
		.overlays = &m->overlays,
		.loop = m->loop,
		.virtio_mmio_used = &m->virtio_mmio_used,
		.platform = &m->platform,
		.config = m->cfg,
		.tables_only = !m->host,
		.serial = m->serial,
		.console = m->console,
		.console_port = m->console_port,
		.debug_console = m->debug_console,
		.fw_cfg = m->fw_cfg,
		.rate_groups = m->rate_groups,
		.request = machine_requested,
		.machine = m,
	};
}

static int add_rom(struct machine *m, struct diag *d)
{
	const struct plat_range *r = &m->platform.rom;
	int err;

	m->payload.rom = &m->rom;
	if (!r->size_bytes)
		return 0;
	err = ram_add(&m->rom, GPA(r->base), r->size_bytes,
		      &(struct ram_options){ 0 }, d);
	return err ? diag_fail(d, -err, "--firmware %s", m->cfg->firmware) : 0;
}

/* It is filled when the machine is switched on. */
static int add_fw_cfg(struct machine *m, struct diag *d)
{
	m->payload.fw_cfg_config = vm_config_fw_cfg(m->cfg, m->platform.q35);
	if (!m->payload.fw_cfg_config)
		return 0;
	m->fw_cfg = m->payload.fw_cfg = fw_cfg_new();
	return m->fw_cfg ? 0 : diag_fail(d, ENOMEM, "out of memory");
}

static int add_wake(struct machine *m, struct diag *d)
{
	m->wake.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (m->wake.fd < 0)
		return diag_errno(d, errno, "cannot create an eventfd");
	return 0;
}

static int add_rate_groups(struct machine *m, struct diag *d)
{
	const struct vm_config *cfg = m->cfg;

	m->rate_groups =
		calloc(cfg->rate_group_count + 1, sizeof(m->rate_groups[0]));
	if (!m->rate_groups)
		return diag_fail(d, ENOMEM, "out of memory");
	for (unsigned i = 0; i < cfg->rate_group_count; i++)
		rate_limiter_init(&m->rate_groups[i],
				  &cfg->rate_groups[i].rate);
	return 0;
}

static void free_rate_groups(struct machine *m)
{
	for (unsigned i = 0; m->rate_groups && i < m->cfg->rate_group_count;
	     i++)
		rate_limiter_release(&m->rate_groups[i]);
	free(m->rate_groups);
}

static int assemble(struct machine *m, struct diag *d)
{
	int err;

	m->mmio = bus_new("MMIO", 0);
	m->pio = bus_new("port", 0x10000);
	if (!m->mmio || !m->pio)
		return diag_fail(d, ENOMEM, "out of memory");
	m->loop = event_loop_new(d);
	if (!m->loop)
		return -errno;
	err = add_wake(m, d);
	if (!err && (m->host || m->cfg->firmware))
		err = payload_open(&m->payload, m->cfg, d);
	if (!err && m->cfg->firmware && m->arch->recognise)
		err = m->arch->recognise(&m->platform, &m->payload, d);
	if (!err)
		err = m->arch->layout(&m->platform, m->cfg, &m->caps, d);
	if (!err && m->host)
		err = zones_map(&m->ram, &m->platform, m->cfg, d);
	if (!err && m->host)
		err = add_rom(m, d);
	if (!err)
		err = add_fw_cfg(m, d);
	if (!err)
		err = pmem_place(&m->platform, m->host ? &m->ram : NULL, m->cfg,
				 d);
	if (!err && m->host)
		pmem_watch(&m->files, m->loop, &m->ram);
	if (!err)
		err = m->arch->irqchip_new(&m->ic, &m->irqchip, &m->platform,
					   m->mmio, d);
	if (!err)
		err = open_chardevs(m, d);
	if (!err)
		err = add_rate_groups(m, d);
	if (err)
		return err;
	fill_env(m);
	return add_devices(m, d);
}

int machine_new(struct machine **out, const struct vm_config *cfg,
		const struct arch *arch, const struct host_ops *host,
		const struct host_caps *caps, struct diag *d)
{
	struct machine *m = calloc(1, sizeof(*m));
	int err;

	if (!m)
		return diag_fail(d, ENOMEM, "out of memory");
	m->cfg = cfg;
	m->arch = arch;
	m->host = host;
	m->caps = *caps;
	m->payload.firmware_fd = -1;
	m->payload.kernel_fd = m->payload.initramfs_fd = -1;
	m->wake.fd = m->files.fd = -1;
	pthread_mutex_init(&m->why_lock, NULL);
	ram_init(&m->ram);
	ram_init(&m->rom);
	irqchip_init(&m->irqchip, 0);
	err = assemble(m, d);
	if (err) {
		machine_free(m);
		return err;
	}
	*out = m;
	return 0;
}

void machine_free(struct machine *m)
{
	if (!m)
		return;
	vcpus_join(&m->vcpus);
	while (m->device_count)
		device_free(m->device[--m->device_count]);
	free_rate_groups(m);
	m->arch->irqchip_free(m->ic);
	if (m->host)
		m->host->vm_free(m->vm);
	for (unsigned i = 0; i < ARRAY_SIZE(m->console_port); i++)
		chardev_free(m->console_port[i]);
	chardev_free(m->debug_console);
	chardev_free(m->console);
	chardev_free(m->serial);
	pmem_unwatch(&m->files, m->loop);
	event_timer_release(&m->term_timer);
	event_timer_release(&m->trim_timer);
	event_loop_free(m->loop);
	if (m->wake.fd >= 0)
		close(m->wake.fd);
	bus_free(m->pio);
	bus_free(m->mmio);
	fw_cfg_free(m->fw_cfg);
	ram_release(&m->rom);
	ram_release(&m->ram);
	payload_close(&m->payload);
	platform_release(&m->platform);
	irqchip_release(&m->irqchip);
	pthread_mutex_destroy(&m->why_lock);
	free(m);
}

/* ---- tables ------------------------------------------------------------- */

/* A host that can do everything, so that tables depend on the configuration
 * only. 46 bits: Cloud Hypervisor's default for max_phys_bits. */
static const struct host_caps generous = {
	.pa_bits = 46,
	.vcpus_recommended = 4096,
	.vcpus_max = 4096,
	.pio_doorbell = true,
	.ext_dest_id = true,
	.gicv3 = true,
	.its = true,
	.pmu = true,
	.sve = true,
	.pauth = true,
	.page_size_bytes = 4096,
};

int machine_tables(const struct arch *arch, const struct vm_config *cfg,
		   bool here, struct arch_tables *out, struct diag *d)
{
	struct host_caps caps = generous;
	struct machine *m = NULL;
	int err;

	if (here && !host_select(cfg->hypervisor, &caps, d))
		return -ENODEV;
	err = machine_new(&m, cfg, arch, NULL, &caps, d);
	if (err)
		return err;
	/* Without a command line there are no seeds: the same every time. */
	err = arch->tables(out, &m->platform, cfg->cmdline, GPA(0), 0, d);
	machine_free(m);
	return err;
}
