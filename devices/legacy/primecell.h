/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: what Arm PrimeCell peripherals share
 *
 * 4 KiB of 32-bit registers at word addresses, of which the last eight
 * identify the peripheral (DDI0183G sec. 3.3.15 and its like in every PrimeCell
 * manual). A device is a table of its registers; this file does the access
 * rules, reset, save and load.
 *
 * Narrow accesses see the low part of a word; a write replaces all of it, as
 * APB has no byte lanes. A read between words sees the higher bytes of its
 * word, a write there is dropped. Eight bytes are two words.
 *
 * Threads: all under fixed.lock.
 */
#ifndef DEVICES_LEGACY_PRIMECELL_H
#define DEVICES_LEGACY_PRIMECELL_H

#include <assert.h>

#include "devices/legacy/fixed.h"

#define PRIMECELL_REGS 16

struct primecell;

/**
 * struct primecell_reg - one register
 * @offset: from the base, in bytes; a multiple of 4 below 0xfe0
 * @reset: stored bits after reset
 * @writable: bits that a write stores
 * @state: bits beyond these that the device itself may set
 * @read: instead of the stored bits
 * @write: after the writable bits were stored: the value written, and the
 *	bits stored before
 */
struct primecell_reg {
	uint16_t offset;
	uint32_t reset, writable, state;
	uint32_t (*read)(struct primecell *pc);
	void (*write)(struct primecell *pc, uint32_t value, uint32_t before);
};

/**
 * struct primecell_type - struct device_class.data of a PrimeCell
 * @part: peripheral id: part number, designer 0x41, revision, configuration
 * @reg: @reg_count registers, at most PRIMECELL_REGS, the busiest first
 * @update: called after each access: drive the wire
 * @masked_bytes: the first so many bytes are one register whose address says
 *	which bits an access sees; 0: there is none
 * @read_masked, @write_masked: access to it; @mask: address bits 9:2
 */
struct primecell_type {
	uint32_t part;
	const struct primecell_reg *reg;
	unsigned reg_count;
	void (*update)(struct primecell *pc);
	uint32_t masked_bytes;
	uint32_t (*read_masked)(struct primecell *pc, uint32_t mask);
	void (*write_masked)(struct primecell *pc, uint32_t mask,
			     uint32_t value);
};

/**
 * struct primecell - first member of a PrimeCell device
 * @reg: stored bits, in the order of the type's table
 */
struct primecell {
	struct device dev;
	struct fixed fixed;
	uint32_t reg[PRIMECELL_REGS];
};

/** to_primecell - the PrimeCell that @dev is */
static inline struct primecell *to_primecell(struct device *dev)
{
	return container_of(dev, struct primecell, dev);
}

/** to_const_primecell - to_primecell() for const devices */
static inline const struct primecell *
to_const_primecell(const struct device *dev)
{
	static_assert(offsetof(struct primecell, dev) == 0, "first member");
	return (const void *)dev;
}

/** primecell_realize - like fixed_realize(), in reset state */
int primecell_realize(struct primecell *pc, const struct device_place *place,
		      struct diag *d);

/** primecell_reset - all registers to their reset values, wire low */
void primecell_reset(struct primecell *pc);

/** primecell_describe - fill in range, wire, and the clocks that Linux's AMBA
 * bus insists on: @clock_names, NUL-separated, one to two of them */
void primecell_describe(const struct primecell *pc, struct plat_dev *out,
			uint32_t clocks, const char *clock_names);

/** primecell_save - all stored bits */
void primecell_save(const struct primecell *pc, struct stream_out *out);

/**
 * primecell_get - read back what primecell_save() wrote
 * @reg: receives PRIMECELL_REGS stored values
 *
 * Return: 0, or -EBADMSG if a bit is set that cannot be.
 */
int primecell_get(const struct primecell *pc, struct stream_in *in,
		  uint32_t *reg, struct diag *d);

/** primecell_put - store @reg and drive the wire */
void primecell_put(struct primecell *pc, const uint32_t *reg);

#endif
