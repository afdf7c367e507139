/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: the device contract
 *
 * A device is a struct whose first member is struct device, and a const
 * struct device_class listed in devices/registry.c. It sees the machine only
 * through struct device_env: no hypervisor, no architecture. Lifetime:
 *
 *	realize    allocate, register regions, wires, doorbells; may fail and
 *	           then leaves nothing behind
 *	describe   add to the platform description; pure
 *	reset      power-on state; also called once before the first run
 *	pause      end what is in flight; nothing of the device touches RAM
 *	           until resume
 *	save/load  state as bytes, of a paused device; load validates everything
 *	           before it changes the device, which is in reset state
 *	unrealize  the mirror of realize
 *
 * Threads: realize, describe, unrealize on the main thread. reset, pause,
 * resume, save and load on the main thread while no vCPU runs. Register
 * handlers on vCPU threads, under struct bus_region's lock (see vmm/bus.h).
 */
#ifndef DEVICES_DEVICE_H
#define DEVICES_DEVICE_H

#include "vmm/base/diag.h"
#include "vmm/base/types.h"
#include "vmm/bus.h"
#include "vmm/chardev.h"
#include "vmm/config.h"
#include "vmm/doorbell.h"
#include "vmm/event.h"
#include "vmm/irq.h"
#include "vmm/memory.h"
#include "vmm/overlay.h"
#include "vmm/platform.h"
#include "vmm/stream.h"

/** enum machine_request - what a guest can ask of its machine by device */
enum machine_request {
	MACHINE_RESET,
	MACHINE_POWEROFF,
	MACHINE_PANIC, /* the guest's kernel reports that it crashed */
};

struct fw_cfg;
struct pci_root;
struct rate_limiter;
struct virtio_transport;

/**
 * struct device_env - the machine as a device sees it; outlives the device
 * @pio: NULL where the architecture has no ports
 * @pci: host bridges by segment; NULL where there is none
 * @platform: RAM, windows; const once devices are described
 * @virtio_mmio_used: slots of the virtio-mmio window already taken
 * @serial, @console, @debug_console: character back ends; NULL when off
 * @console_port: those of vm_config.console_port, in its order; NULL: none
 * @tables_only: the machine only describes itself and will never run: devices
 *	open, create and contact nothing outside of it
 * @begun: nothing can fail any more, or the guest has run already: what devices
 *	have changed on the host stays, which else goes with them
 * @fw_cfg: what fw_cfg shows; NULL: the machine has none
 * @rate_groups: one for each of config->rate_groups, for their members
 * @transport: how virtio devices are attached; NULL: by the configuration
 * @request: ask the machine for something; any thread; returns at once, the
 *	calling vCPU stops before its next instruction
 */
struct device_env {
	struct bus *mmio, *pio;
	struct guest_ram *ram;
	struct irqchip *irqchip;
	struct doorbells *doorbells;
	struct overlays *overlays;
	struct event_loop *loop;
	struct pci_root *pci[PLAT_SEGMENTS_MAX];
	unsigned *virtio_mmio_used;
	const struct platform *platform;
	const struct vm_config *config;
	struct chardev *serial, *console, *debug_console;
	struct chardev *const *console_port;
	bool tables_only, begun;
	struct fw_cfg *fw_cfg;
	struct rate_limiter *rate_groups;
	const struct virtio_transport *transport;
	void (*request)(void *machine, enum machine_request what);
	void *machine;
};

/**
 * struct device_place - where a device goes
 * @base: address of fixed registers on @bus; @wire: their interrupt (sink NULL:
 *	none)
 * @segment: of PCI
 */
struct device_place {
	enum plat_bus bus;
	uint64_t base;
	struct irq_wire wire;
	unsigned segment;
};

struct device;

/**
 * struct device_class - see the DOC block
 * @name: unique; in messages and snapshots
 * @size_bytes: of the device's struct, allocated zeroed by device_new()
 * @data: for families of devices that share code (virtio)
 * @power_button: press it; NULL unless the device has one; main thread
 * Hooks other than realize may be NULL where there is nothing to do.
 */
struct device_class {
	const char *name;
	size_t size_bytes;
	const void *data;
	int (*realize)(struct device *dev, const struct device_place *place,
		       struct diag *d);
	int (*describe)(const struct device *dev, struct platform *p,
			struct diag *d);
	void (*reset)(struct device *dev);
	void (*save)(const struct device *dev, struct stream_out *out);
	int (*load)(struct device *dev, struct stream_in *in, struct diag *d);
	void (*unrealize)(struct device *dev);
	void (*pause)(struct device *dev);
	void (*resume)(struct device *dev);
	void (*power_button)(struct device *dev);
};

/**
 * struct device - first member of every device
 * @id: as in vm.info: "__rng", "_disk0"
 * @item: its part of the configuration (struct disk_config, …), which outlives
 *	it; NULL for devices that have none of their own
 * @segment: of PCI, if it is there
 */
struct device {
	const struct device_class *cls;
	const struct device_env *env;
	const void *item;
	unsigned segment;
	char id[CONFIG_ID_MAX + 1];
};

/**
 * device_new - allocate and realize
 * @out: receives the device; untouched on failure
 * @item: see struct device
 * @place: NULL for devices that find their own place, in segment 0
 *
 * Return: 0 or -errno with @d.
 */
int device_new(struct device **out, const struct device_class *cls,
	       const char *id, const void *item, const struct device_env *env,
	       const struct device_place *place, struct diag *d);

/** device_free - unrealize and free; accepts NULL */
void device_free(struct device *dev);

/** device_class_find - by name; NULL if there is none (devices/registry.c) */
const struct device_class *device_class_find(const char *name);

#endif
