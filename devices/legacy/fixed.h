/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: what all devices with fixed registers share
 *
 * One register range, one lock that the bus takes around register handlers,
 * and one wire that is only driven when it changes.
 */
#ifndef DEVICES_LEGACY_FIXED_H
#define DEVICES_LEGACY_FIXED_H

#include "devices/device.h"

/**
 * struct fixed - embedded in a device
 * @bus: where @region is added; NULL before fixed_realize()
 * @region: the registers
 * @kind: MMIO or ports
 * @lock: guards the device's state; the bus holds it around handlers
 * @wire: interrupt; sink NULL: none
 * @level: what @wire was driven to last
 */
struct fixed {
	struct bus *bus;
	struct bus_region region;
	enum plat_bus kind;
	pthread_mutex_t lock;
	struct irq_wire wire;
	bool level;
};

/**
 * fixed_realize - put a device's registers on the bus
 * @f: zeroed, inside of @dev
 * @dev: passed to @ops as opaque
 * @place: where
 * @size_bytes: of the register range
 * @ops: register handlers; always called with @f->lock held
 *
 * Return: 0, -ENODEV (the machine has no such bus), or what bus_add() says.
 */
int fixed_realize(struct fixed *f, struct device *dev,
		  const struct device_place *place, uint64_t size_bytes,
		  const struct bus_ops *ops, struct diag *d);

/** fixed_unrealize - the mirror of a successful fixed_realize() */
void fixed_unrealize(struct fixed *f);

/** fixed_drive - drive the wire if @level is new; @f->lock held, or no vCPU
 * running */
static inline void fixed_drive(struct fixed *f, bool level)
{
	if (level == f->level)
		return;
	f->level = level;
	irq_set(&f->wire, level);
}

/** fixed_lower - lower the wire whatever it was (reset) */
void fixed_lower(struct fixed *f);

/** fixed_describe - fill range[0] and, if there is a wire, irq[0] of @out
 * @level: the wire is level-triggered */
void fixed_describe(const struct fixed *f, struct plat_dev *out, bool level);

/**
 * fixed_read_bytes - an access of any size to registers that are one byte wide
 * @get: one byte; called for each in ascending order
 *
 * As on an 8-bit bus: a wider access is several byte accesses, little-endian.
 */
uint64_t fixed_read_bytes(void *opaque, uint64_t offset_bytes,
			  unsigned size_bytes,
			  uint8_t (*get)(void *opaque, uint64_t offset_bytes));

/** fixed_write_bytes - the mirror of fixed_read_bytes() */
void fixed_write_bytes(void *opaque, uint64_t offset_bytes, unsigned size_bytes,
		       uint64_t value,
		       void (*put)(void *opaque, uint64_t offset_bytes,
				   uint8_t value));

#endif
