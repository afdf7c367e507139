/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: devices with fixed registers: serial ports, clocks, power
 *
 * Each has one file that reads from top to bottom and says what it models and
 * what it leaves out. All are placed by arch through struct device_place and
 * listed in devices/registry.c.
 */
#ifndef DEVICES_LEGACY_LEGACY_H
#define DEVICES_LEGACY_LEGACY_H

#include "devices/device.h"

/** serial_16550_class - NS16550A UART, 8 registers; connected to env->serial;
 * level wire */
extern const struct device_class serial_16550_class;

/** serial_pl011_class - Arm PrimeCell UART, 4 KiB; connected to env->serial;
 * level wire */
extern const struct device_class serial_pl011_class;

/** rtc_cmos_class - MC146818 clock and NVRAM, 2 ports; edge wire */
extern const struct device_class rtc_cmos_class;

/** rtc_pl031_class - Arm PrimeCell clock, 4 KiB; level wire */
extern const struct device_class rtc_pl031_class;

/** gpio_pl061_class - Arm PrimeCell GPIO, 4 KiB; power key on line 3; level
 * wire */
extern const struct device_class gpio_pl061_class;

/** acpi_pm_class - ACPI reset and sleep register (8 ports) and, right behind
 * it, the PM timer (4 ports); no wire */
extern const struct device_class acpi_pm_class;

/** debug_console_class - one port, connected to env->debug_console; its place
 * is --debug-console iobase= */
extern const struct device_class debug_console_class;

/** ged_class - ACPI generic event device: the power button; no registers;
 * edge wire */
extern const struct device_class ged_class;

/** vmgenid_class - generation ID, in platform.vmgenid; no registers; edge wire
 */
extern const struct device_class vmgenid_class;

/** vmclock_class - VMClock, in platform.vmclock; no registers; edge wire */
extern const struct device_class vmclock_class;

/** flash_cfi_class - NOR flash for firmware's variables, 64 MiB, in
 * config->firmware_vars; no wire */
extern const struct device_class flash_cfi_class;

/** fw_cfg_class - QEMU's fw_cfg, 12 ports or 24 bytes of memory, in
 * env->fw_cfg; no wire */
extern const struct device_class fw_cfg_class;

/** watchdog_sp805_class - Arm PrimeCell watchdog, 4 KiB, also for ACPI's WDAT;
 * no wire */
extern const struct device_class watchdog_sp805_class;

#endif
