/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: every kind of device that this build has
 *
 * One const table. What Kconfig leaves out is not in it, and asking for it
 * says so (the #ifdefs are about features, never about the architecture).
 */
#include <string.h>

#include "devices/device.h"
#include "devices/legacy/legacy.h"
#include "devices/pci/pci.h"
#include "devices/tpm/tpm.h"
#include "devices/virtio/devices.h"

static const struct device_class *const classes[] = {
	&serial_16550_class,
	&serial_pl011_class,
	&rtc_cmos_class,
	&rtc_pl031_class,
	&gpio_pl061_class,
	&acpi_pm_class,
	&ged_class,
	&debug_console_class,
	&flash_cfi_class,
	&fw_cfg_class,
	&pci_host_class,
#ifdef CONFIG_VIRTIO_BLK
	&virtio_blk_class,
#endif
#ifdef CONFIG_WATCHDOG
	&watchdog_sp805_class,
#endif
#ifdef CONFIG_VMGENID
	&vmgenid_class,
#endif
#ifdef CONFIG_VMCLOCK
	&vmclock_class,
#endif
#ifdef CONFIG_VIRTIO_RNG
	&virtio_rng_class,
#endif
#ifdef CONFIG_VIRTIO_NET
	&virtio_net_class,
#endif
#ifdef CONFIG_VIRTIO_CONSOLE
	&virtio_console_class,
#endif
#ifdef CONFIG_TPM
	&tpm_crb_class,
#endif
#ifdef CONFIG_VIRTIO_BALLOON
	&virtio_balloon_class,
#endif
#ifdef CONFIG_VIRTIO_PMEM
	&virtio_pmem_class,
#endif
#ifdef CONFIG_VIRTIO_RTC
	&virtio_rtc_class,
#endif
#ifdef CONFIG_VIRTIO_VSOCK
	&virtio_vsock_class,
	&vhost_vsock_class,
#endif
#ifdef CONFIG_VHOST_USER
	&virtio_fs_class,
	&vhost_user_blk_class,
	&vhost_user_net_class,
	&generic_vhost_user_class,
#endif
#ifdef CONFIG_PVPANIC
	&pvpanic_class,
#endif
};

const struct device_class *device_class_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(classes); i++)
		if (!strcmp(classes[i]->name, name))
			return classes[i];
	return NULL;
}
