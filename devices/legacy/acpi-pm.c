/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: ACPI reset and sleep register, and PM timer
 *
 * ACPI 6.5 sec. 4.8.3.6 (reset register), 4.8.3.7 (sleep control and status of
 * hardware-reduced machines), 4.8.3.3 (power management timer). As on Cloud
 * Hypervisor's platform, one byte at the base does all of the first three:
 *
 *	+0	write 0x01: reset; write 0x34 (SLP_EN, SLP_TYP 5): power off;
 *		reads as 0: no wake status, as nothing but S5 is there
 *	+4	16 bits as PM1a control of a PC (sec. 4.8.3.2.1), for firmware
 *		made for one: SLP_EN with SLP_TYP 0, which is QEMU's S5, powers
 *		off; reads as SCI_EN
 *	+8	PM timer: 32 bits at 3.579545 MHz, read-only
 *
 * Where it lies on ports, port 0x64 is there as well: of the PC's keyboard
 * controller only the pulse on its reset line, command 0xfe. edk2 knows no
 * other warm reset, which is what Linux asks of it; reboot=k is the same. Reads
 * are those of an empty port.
 *
 * Firmware polls the timer a million times in a boot, so it takes no lock and
 * is one clock_gettime() and one multiplication.
 *
 * Threads: handlers without a lock; @base_ns changes only while no vCPU runs.
 *
 * Not implemented: sleep states other than S5, wake-up, the timer's SCI (a
 * hardware-reduced machine has none).
 */
#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <time.h>

#include "vmm/base/log.h"

#include "devices/legacy/legacy.h"

#define KBC_PORT      0x64
#define KBC_RESET     0xfe /* pulse line 0 low: Intel 8042 manual */
#define RESET_PORTS   8
#define TIMER_PORTS   4
#define RESET_VALUE   0x01
#define PM1_CONTROL   4
#define PM1_SCI_EN    0x0001
#define PM1_SLP_EN    0x2000
#define PM1_SLP_TYP   0x1c00
#define SLP_EN	      0x20
#define SLP_TYP(v)    ((v) >> 2 & 7)
#define SLP_TYP_S5    5
#define WAK_STS	      0x80
#define TIMER_HZ      3579545
#define NS_PER_SECOND 1000000000
#define TICKS_PER_NS_Q64 \
	((uint64_t)(((unsigned __int128)TIMER_HZ << 64) / NS_PER_SECOND))

/**
 * struct acpi_pm - the device
 * @control: reset and sleep register
 * @timer: PM timer
 * @kbc: port of the keyboard controller; only if @kind is PLAT_PIO
 * @base_ns: CLOCK_MONOTONIC when the timer was 0
 * @strange: writes that mean nothing
 */
struct acpi_pm {
	struct device dev;
	struct bus *bus;
	enum plat_bus kind;
	struct bus_region control, timer, kbc;
	uint64_t base_ns;
	atomic_uint strange;
};

static struct acpi_pm *to_pm(struct device *dev)
{
	return container_of(dev, struct acpi_pm, dev);
}

static const struct acpi_pm *to_const(const struct device *dev)
{
	static_assert(offsetof(struct acpi_pm, dev) == 0, "first member");
	return (const void *)dev;
}

/* ---- reset and sleep ---------------------------------------------------- */

/* PM1a control, for firmware that is made for a PC. */
static bool has_pm1(const struct acpi_pm *pm)
{
	return pm->dev.env->platform->q35;
}

static uint64_t control_read(void *opaque, uint64_t offset_bytes,
			     unsigned size_bytes)
{
	const struct acpi_pm *pm = opaque;

	(void)size_bytes;
	return has_pm1(pm) && offset_bytes == PM1_CONTROL ? PM1_SCI_EN : 0;
}

static void control_write(void *opaque, uint64_t offset_bytes,
			  unsigned size_bytes, uint64_t value)
{
	struct acpi_pm *pm = opaque;
	const struct device_env *env = pm->dev.env;
	uint8_t v = (uint8_t)value;

	if (has_pm1(pm) && offset_bytes == PM1_CONTROL && size_bytes == 2 &&
	    (value & (PM1_SLP_EN | PM1_SLP_TYP)) == PM1_SLP_EN)
		env->request(env->machine, MACHINE_POWEROFF);
	if (offset_bytes ||
	    v == WAK_STS) /* Linux clears that before it sleeps */
		return;
	if (v == RESET_VALUE)
		env->request(env->machine, MACHINE_RESET);
	else if ((v & SLP_EN) && SLP_TYP(v) == SLP_TYP_S5)
		env->request(env->machine, MACHINE_POWEROFF);
	else
		log_guest(&pm->strange,
			  "acpi-pm: ignored a write of 0x%02x to the reset "
			  "and sleep register",
			  v);
}

static const struct bus_ops control_ops = { .read = control_read,
					    .write = control_write };

static uint64_t kbc_read(void *opaque, uint64_t offset_bytes,
			 unsigned size_bytes)
{
	(void)opaque;
	(void)offset_bytes;
	(void)size_bytes;
	return UINT64_MAX;
}

static void kbc_write(void *opaque, uint64_t offset_bytes, unsigned size_bytes,
		      uint64_t value)
{
	const struct acpi_pm *pm = opaque;
	const struct device_env *env = pm->dev.env;

	(void)offset_bytes;
	(void)size_bytes;
	if ((uint8_t)value == KBC_RESET)
		env->request(env->machine, MACHINE_RESET);
}

static const struct bus_ops kbc_ops = { .read = kbc_read, .write = kbc_write };

/* ---- timer -------------------------------------------------------------- */

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_SECOND + (uint64_t)ts.tv_nsec;
}

static uint32_t timer_value(const struct acpi_pm *pm)
{
	uint64_t ns = now_ns() - pm->base_ns;

	return (uint32_t)((unsigned __int128)ns * TICKS_PER_NS_Q64 >> 64);
}

static uint64_t timer_read(void *opaque, uint64_t offset_bytes,
			   unsigned size_bytes)
{
	(void)size_bytes;
	return timer_value(opaque) >> (8 * offset_bytes);
}

static void timer_write(void *opaque, uint64_t offset_bytes,
			unsigned size_bytes, uint64_t value)
{
	(void)opaque;
	(void)offset_bytes;
	(void)size_bytes;
	(void)value;
}

static const struct bus_ops timer_ops = { .read = timer_read,
					  .write = timer_write };

/* Let the timer go on from @ticks. */
static void timer_set(struct acpi_pm *pm, uint32_t ticks)
{
	uint64_t ns =
		((uint64_t)ticks * NS_PER_SECOND + TIMER_HZ - 1) / TIMER_HZ;

	pm->base_ns = now_ns() - ns;
}

/* ---- device ------------------------------------------------------------- */

static void pm_reset(struct device *dev)
{
	timer_set(to_pm(dev), 0);
}

static int add_regions(struct acpi_pm *pm, uint64_t base, struct diag *d)
{
	int err;

	pm->control = (struct bus_region){ .base = base,
					   .size_bytes = RESET_PORTS,
					   .ops = &control_ops,
					   .opaque = pm,
					   .name = "acpi-pm" };
	pm->timer = (struct bus_region){ .base = base + RESET_PORTS,
					 .size_bytes = TIMER_PORTS,
					 .ops = &timer_ops,
					 .opaque = pm,
					 .name = "acpi-pm timer" };
	pm->kbc = (struct bus_region){ .base = KBC_PORT,
				       .size_bytes = 1,
				       .ops = &kbc_ops,
				       .opaque = pm,
				       .name = "keyboard controller's reset" };
	err = bus_add(pm->bus, &pm->control, d);
	if (err)
		return err;
	err = bus_add(pm->bus, &pm->timer, d);
	if (err)
		goto err_control;
	err = pm->kind == PLAT_PIO ? bus_add(pm->bus, &pm->kbc, d) : 0;
	if (err)
		goto err_timer;
	return 0;
err_timer:
	bus_remove(pm->bus, &pm->timer);
err_control:
	bus_remove(pm->bus, &pm->control);
	return err;
}

static int pm_realize(struct device *dev, const struct device_place *place,
		      struct diag *d)
{
	struct acpi_pm *pm = to_pm(dev);

	pm->kind = place->bus;
	pm->bus = place->bus == PLAT_PIO ? dev->env->pio : dev->env->mmio;
	if (!pm->bus)
		return diag_fail(d, ENODEV,
				 "acpi-pm: this machine has no ports");
	pm_reset(dev);
	return add_regions(pm, place->base, d);
}

static void pm_unrealize(struct device *dev)
{
	struct acpi_pm *pm = to_pm(dev);

	if (pm->kind == PLAT_PIO)
		bus_remove(pm->bus, &pm->kbc);
	bus_remove(pm->bus, &pm->timer);
	bus_remove(pm->bus, &pm->control);
}

static int pm_describe(const struct device *dev, struct platform *p,
		       struct diag *d)
{
	const struct acpi_pm *pm = to_const(dev);
	struct plat_dev control = {
		.role = PLAT_RESET_SLEEP,
		.name = "acpi-sleep",
		.range = { { pm->kind, pm->control.base, RESET_PORTS } },
		.range_count = 1,
	};
	struct plat_dev timer = {
		.role = PLAT_PM_TIMER,
		.name = "acpi-timer",
		.range = { { pm->kind, pm->timer.base, TIMER_PORTS } },
		.range_count = 1,
	};
	int err = platform_add(p, &control, d);

	return err ? err : platform_add(p, &timer, d);
}

static void pm_save(const struct device *dev, struct stream_out *out)
{
	stream_put_u32(out, timer_value(to_const(dev)));
}

static int pm_load(struct device *dev, struct stream_in *in, struct diag *d)
{
	uint32_t ticks = stream_get_u32(in);

	if (in->failed)
		return diag_fail(d, EBADMSG, "acpi-pm: state is cut off");
	timer_set(to_pm(dev), ticks);
	return 0;
}

const struct device_class acpi_pm_class = {
	.name = "acpi-pm",
	.size_bytes = sizeof(struct acpi_pm),
	.realize = pm_realize,
	.describe = pm_describe,
	.reset = pm_reset,
	.save = pm_save,
	.load = pm_load,
	.unrealize = pm_unrealize,
};
