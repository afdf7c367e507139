/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: x86_64: firmware into guest RAM */
#ifndef ARCH_X86_64_FIRMWARE_H
#define ARCH_X86_64_FIRMWARE_H

#include "arch/arch.h"
#include "arch/x86_64/boot.h"

/**
 * x86_firmware_load - recognise firmware by content and put it where it asks,
 * or at the end of 4 GiB (OVMF)
 * @k: receives how it is started
 * @p: the machine, for what firmware needs of it
 * @load: firmware_fd, firmware_name, rom and fw_cfg are read
 *
 * Return: 0; -ENOEXEC (not firmware for x86_64; @d says what it is), -EINVAL
 * (malformed, truncated, or @p lacks what it needs), -E2BIG (more than there
 * is room), -EIO.
 */
int x86_firmware_load(struct x86_kernel *k, const struct guest_ram *ram,
		      const struct platform *p, const struct arch_payload *load,
		      struct diag *d);

#endif
