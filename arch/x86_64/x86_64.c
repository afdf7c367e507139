/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: x86_64: the arch contract's table
 *
 * Not implemented: save and restore of vCPUs, confidential guests.
 */
#include "arch/arch.h"
#include "arch/x86_64/ioapic.h"
#include "arch/x86_64/layout.h"
#include "arch/x86_64/load.h"
#include "arch/x86_64/pc-firmware.h"
#include "arch/x86_64/tables.h"
#include "arch/x86_64/vcpu.h"

const struct arch arch_x86_64 = {
	.name = "x86_64",
	.recognise = x86_pc_recognise,
	.layout = x86_layout,
	.devices = x86_devices,
	.host_config = x86_host_config,
	.irqchip_new = x86_ioapic_new,
	.irqchip_reset = x86_ioapic_reset,
	.irqchip_free = x86_ioapic_free,
	.eoi = x86_ioapic_eoi,
	.tables = x86_tables,
	.load = x86_load,
	.vcpu_reset = x86_vcpu_reset,
};
