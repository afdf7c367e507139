/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: debug console: a port that prints what is written to it
 *
 * The port of Bochs and of QEMU's isa-debugcon: each byte written is a byte
 * of output, and reads give 0xe9, by which firmware knows that the port is
 * there. There is no input and no state. The guest is not told about the
 * device; who prints to it knows the port.
 *
 * Threads: registers on vCPU threads; chardev_write() takes any.
 */
#include "devices/legacy/fixed.h"
#include "devices/legacy/legacy.h"

#define PRESENT 0xe9 /* Bochs: reads of the port give its number */

struct debug_console {
	struct device dev;
	struct fixed fixed;
};

static struct debug_console *owner(struct device *dev)
{
	return container_of(dev, struct debug_console, dev);
}

static uint8_t get_byte(void *opaque, uint64_t offset_bytes)
{
	(void)opaque;
	return offset_bytes ? 0xff : PRESENT;
}

static void put_byte(void *opaque, uint64_t offset_bytes, uint8_t value)
{
	struct debug_console *c = owner(opaque);

	if (!offset_bytes && c->dev.env->debug_console)
		chardev_write(c->dev.env->debug_console, &value, 1);
}

static uint64_t port_read(void *opaque, uint64_t offset_bytes,
			  unsigned size_bytes)
{
	return fixed_read_bytes(opaque, offset_bytes, size_bytes, get_byte);
}

static void port_write(void *opaque, uint64_t offset_bytes, unsigned size_bytes,
		       uint64_t value)
{
	fixed_write_bytes(opaque, offset_bytes, size_bytes, value, put_byte);
}

static const struct bus_ops port_ops = { port_read, port_write };

static int debug_console_realize(struct device *dev,
				 const struct device_place *place,
				 struct diag *d)
{
	const struct device_place at = {
		.bus = PLAT_PIO,
		.base = dev->env->config->debug_console->iobase,
	};
	int err;

	(void)place;
	err = fixed_realize(&owner(dev)->fixed, dev, &at, 1, &port_ops, d);
	return err ? diag_fail(d, -err, "--debug-console iobase=%#x",
			       dev->env->config->debug_console->iobase)
		   : 0;
}

static void debug_console_unrealize(struct device *dev)
{
	fixed_unrealize(&owner(dev)->fixed);
}

const struct device_class debug_console_class = {
	.name = "debug-console",
	.size_bytes = sizeof(struct debug_console),
	.realize = debug_console_realize,
	.unrealize = debug_console_unrealize,
};
