/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: the parts of a machine, shared by machine.c and machine-run.c only */
#ifndef VMM_MACHINE_INTERNAL_H
#define VMM_MACHINE_INTERNAL_H

#include <stdatomic.h>

#include "arch/arch.h"
#include "vmm/machine.h"
#include "vmm/payload.h"
#include "vmm/token-bucket.h"
#include "vmm/vcpu.h"

#include "devices/device.h"

/** MACHINE_DEVICES_MAX - most devices, host bridges among them; our choice */
#define MACHINE_DEVICES_MAX 512

/**
 * struct machine - see machine.h
 *
 * Built by machine_new() and then const: cfg, arch, host, caps, platform,
 * mmio, pio, ic, loop, serial, console, debug_console, console_port,
 * rate_groups, device, env.
 * Main thread only: fw_cfg (its items), vm, ram, rom, payload, vcpus, boot,
 * resets, timers. Any thread: @requested (bits of enum machine_want), @wake.
 * The first fatal vCPU writes @why, under @why_lock.
 */
struct machine {
	const struct vm_config *cfg;
	const struct arch *arch;
	const struct host_ops *host;
	struct host_caps caps;
	struct platform platform;
	struct guest_ram ram, rom; /* rom: at platform.rom, not for devices */
	struct bus *mmio, *pio;
	struct irqchip irqchip;
	struct arch_irqchip *ic;
	struct doorbells doorbells;
	struct overlays overlays;
	struct event_loop *loop;
	struct chardev *serial, *console, *debug_console;
	struct chardev *console_port[CONSOLE_PORTS_MAX];
	struct device_env env;
	struct fw_cfg *fw_cfg; /* NULL: there is none */
	struct rate_limiter *rate_groups;
	unsigned virtio_mmio_used;
	struct device *device[MACHINE_DEVICES_MAX];
	unsigned device_count;

	struct arch_payload payload;
	struct host_vm *vm;
	struct arch_boot boot;
	struct vcpus vcpus;
	uint64_t resets;
	struct event_timer term_timer, trim_timer;

	struct event_source files; /* of guest memory; see pmem_watch() */
	struct event_source wake;  /* eventfd: look at @requested */
	atomic_uint requested;
	pthread_mutex_t why_lock;
	char why[256];
};

/** enum machine_want - bits of machine.requested; several may be set */
enum machine_want {
	WANT_RESET = 1 << 0,
	WANT_POWEROFF = 1 << 1,
	WANT_PANIC = 1 << 2,
	WANT_FATAL = 1 << 3,
	WANT_SIGNAL = 1 << 4, /* press the power button */
	WANT_END = 1 << 5,    /* end now */
};

/** machine_want - remember a wish and wake the main thread; any thread and
 * signal handlers */
void machine_want(struct machine *m, unsigned want);

/** machine_requested - struct device_env.request */
void machine_requested(void *machine, enum machine_request what);

#endif
