/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: x86_64: UEFI firmware that is made for a PC (OVMF)
 *
 * It is an image of firmware volumes that ends at 4 GiB, so that the reset
 * vector is in its last 16 bytes, and runs from there in place. In front of it
 * there is flash for its variables, so that both together are a power of two.
 * It finds everything else by the host bridge of QEMU's "q35" and by fw_cfg.
 */
#ifndef ARCH_X86_64_PC_FIRMWARE_H
#define ARCH_X86_64_PC_FIRMWARE_H

#include "arch/x86_64/boot.h"

/** X86_PC_FIRMWARE_MAX - bytes below 4 GiB for firmware and its variables */
#define X86_PC_FIRMWARE_MAX MIB(16)

/** x86_is_pc_firmware - volumes at the beginning, a reset vector at the end */
bool x86_is_pc_firmware(const struct x86_image *img);

/** x86_pc_recognise - see struct arch.recognise: fills q35, rom and flash */
int x86_pc_recognise(struct platform *p, struct arch_payload *load,
		     struct diag *d);

/** x86_pc_load - @img into platform.rom: 0, -EINVAL, -E2BIG, -EIO */
int x86_pc_load(const struct x86_image *img, const struct platform *p,
		const struct arch_payload *load, struct diag *d);

#endif
