/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: the items of fw_cfg that are the same on all architectures */
#ifndef ARCH_FW_CFG_H
#define ARCH_FW_CFG_H

#include "arch/arch.h"

/**
 * arch_fw_cfg_fill - fill @load->fw_cfg, which must be empty
 * @p: the machine
 * @load: if its fw_cfg is NULL, nothing is done
 * @setup_bytes: of the kernel file belong to the setup item (bzImage); they are
 *	inside of it
 *
 * Return: 0, or -errno with @d: -ENOMEM, -E2BIG (a file of 4 GiB or more),
 * -EIO.
 */
int arch_fw_cfg_fill(const struct platform *p, const struct arch_payload *load,
		     uint32_t setup_bytes, struct diag *d);

#endif
