/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: fuzz devices with fixed registers
 *
 * The first byte chooses a device, the second whether its state comes from the
 * input first. Then one record of 4 to 12 bytes per step: register accesses of
 * any width and place, input on the serial line, reset, the power button, and
 * a save and load, which must give back the same state. Flash and fw_cfg have
 * targets of their own.
 */
#include <stdlib.h>
#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/base/check.h"
#include "vmm/chardev-impl.h"

#include "devices/legacy/legacy.h"
#include "devices/tpm/tpm.h"

#define BASE  0x1000
#define STEPS 2000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const struct device_class *const classes[] = {
	&serial_16550_class, &serial_pl011_class,   &rtc_cmos_class,
	&rtc_pl031_class,    &gpio_pl061_class,	    &acpi_pm_class,
	&tpm_crb_class,	     &watchdog_sp805_class,
};

struct bench {
	struct bus *bus;
	struct device_env env;
	struct platform platform;
	struct vm_config config;
	struct irq_sink sink;
	struct device *dev;
};

static void set_wire(void *opaque, uint32_t pin, bool level)
{
	(void)opaque;
	(void)level;
	CHECK(pin == 9);
}

static void request(void *machine, enum machine_request what)
{
	(void)machine;
	CHECK(what == MACHINE_RESET || what == MACHINE_POWEROFF);
}

static struct device *make(struct bench *b, const struct device_class *cls)
{
	struct device_place place = { .bus = PLAT_MMIO,
				      .base = BASE,
				      .wire = { &b->sink, 9 } };
	struct device *dev = calloc(1, cls->size_bytes);

	CHECK(dev);
	dev->cls = cls;
	dev->env = &b->env;
	CHECK(!cls->realize(dev, &place, NULL));
	cls->reset(dev);
	return dev;
}

static void drop(struct device *dev)
{
	dev->cls->unrealize(dev);
	free(dev);
}

static void open_bench(struct bench *b)
{
	struct char_config cfg = { .mode = CHAR_NULL };

	memset(b, 0, sizeof(*b));
	b->bus = bus_new("MMIO", 0);
	b->sink.set = set_wire;
	b->platform.ram[0].size_bytes = GIB(1);
	b->platform.ram_count = 1;
	b->platform.tpm = (struct plat_range){ PLAT_MMIO, BASE, 0x1000 };
	b->env.tables_only = true; /* a TPM that nobody emulates */
	b->env.mmio = b->env.pio = b->bus;
	b->env.loop = event_loop_new(NULL);
	b->env.platform = &b->platform;
	b->env.config = &b->config;
	b->env.request = request;
	CHECK(!chardev_new(&b->env.serial, &cfg, "fuzz", b->env.loop, NULL));
}

static void close_bench(struct bench *b)
{
	drop(b->dev);
	chardev_free(b->env.serial);
	event_loop_free(b->env.loop);
	bus_free(b->bus);
}

/* Input as the back end gives it: never more than there is room for. */
static void type(const struct chardev_user *user, const uint8_t *data,
		 size_t len)
{
	size_t room = user->room ? user->room(user->opaque) : 0;

	if (room)
		user->receive(user->opaque, data, MIN(room, len));
}

static bool ticks(const struct device_class *cls)
{
	return cls == &rtc_cmos_class || cls == &rtc_pl031_class ||
	       cls == &acpi_pm_class || cls == &watchdog_sp805_class;
}

static void round_trip(struct bench *b)
{
	const struct device_class *cls = b->dev->cls;
	struct stream_out first, second;
	struct stream_in in;

	stream_out_init(&first);
	stream_out_init(&second);
	cls->save(b->dev, &first);
	drop(b->dev);
	b->dev = make(b, cls);
	stream_in_init(&in, first.data, first.len);
	CHECK(!cls->load(b->dev, &in, NULL));
	CHECK(!stream_in_done(&in));
	cls->save(b->dev, &second);
	CHECK(first.len == second.len);
	CHECK(ticks(cls) || !memcmp(first.data, second.data, first.len));
	stream_out_release(&first);
	stream_out_release(&second);
}

static void access_register(struct bench *b, uint8_t op, uint16_t offset,
			    uint64_t value)
{
	unsigned size = 1u << (op & 3);
	uint64_t at = BASE + offset % (op & 8 ? 0x50 : 0x1008);

	if (op & 4) {
		bus_write(b->bus, at, size, value);
		return;
	}
	value = bus_read(b->bus, at, size);
	CHECK(size == 8 || value >> (8 * size) == 0);
}

/* One step. Return: bytes used. */
static size_t step(struct bench *b, const uint8_t *p, size_t len)
{
	uint8_t record[12] = { 0 };
	const struct device_class *cls = b->dev->cls;

	memcpy(record, p, MIN(len, sizeof(record)));
	switch (record[0] >> 4) {
	case 0:
		type(&b->env.serial->user, record + 1, 1 + record[0] % 11);
		return sizeof(record);
	case 1:
		cls->reset(b->dev);
		return 1;
	case 2:
		round_trip(b);
		return 1;
	case 3:
		if (cls->power_button)
			cls->power_button(b->dev);
		return 1;
	default:
		access_register(b, record[0], get_le16(record + 1),
				get_le64(record + 3));
		return record[0] & 4 ? 11 : 3;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct bench b;
	struct stream_in in;
	size_t used;

	if (len < 2)
		return 0;
	open_bench(&b);
	b.dev = make(&b, classes[data[0] % ARRAY_SIZE(classes)]);
	stream_in_init(&in, data + 2, len - 2);
	if (data[1] & 1 && b.dev->cls->load(b.dev, &in, NULL))
		in.at = len - 2; /* refused: nothing left to do */
	data += 2 + in.at;
	len -= 2 + in.at;
	for (unsigned i = 0; len && i < STEPS; i++) {
		used = MIN(step(&b, data, len), len);
		data += used;
		len -= used;
	}
	close_bench(&b);
	return 0;
}
