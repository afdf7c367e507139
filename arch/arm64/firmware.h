/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: arm64: firmware into flash bank 0, its device tree at the start of RAM
 *
 * U-Boot's qemu_arm64 and UEFI for QEMU's `virt` machine execute in place from
 * address 0 and look for a device tree at the first byte of RAM, whatever x0
 * says.
 */
#ifndef ARCH_ARM64_FIRMWARE_H
#define ARCH_ARM64_FIRMWARE_H

#include "arch/arch.h"

/**
 * ARM64_FIRMWARE_DTB_MAX - bytes at the start of RAM that firmware leaves to
 * the device tree: edk2's ArmVirtQemu has its first stack from 0x4007c000 on
 * (ArmVirtQemu.dsc, PcdCPUCoresStackBase), U-Boot's is above that
 */
#define ARM64_FIRMWARE_DTB_MAX KIB(496)

/** arm64_recognise - see struct arch.recognise: one machine suits all firmware;
 * unpacks the kernel if firmware cannot */
int arm64_recognise(struct platform *p, struct arch_payload *load,
		    struct diag *d);

/**
 * arm64_firmware_load - recognise firmware by its content and load it
 * @load: with firmware_fd, and platform.rom's memory in @load->rom
 * @ram: receives the device tree; reads as zero
 *
 * Return: like struct arch.load.
 */
int arm64_firmware_load(struct arch_boot *boot, struct guest_ram *ram,
			const struct platform *p,
			const struct arch_payload *load, struct diag *d);

#endif
