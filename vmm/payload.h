/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: opening the files that a guest boots from */
#ifndef VMM_PAYLOAD_H
#define VMM_PAYLOAD_H

#include "arch/arch.h"
#include "vmm/config.h"

/**
 * payload_open - open firmware, kernel, initramfs and the files of fw_cfg
 * @out: receives descriptors (owned, see payload_close()) and names (borrowed
 *	from @cfg)
 *
 * Return: 0, or -errno and one sentence with option and path in @d: missing,
 * not readable, a directory or device, empty.
 */
int payload_open(struct arch_payload *out, const struct vm_config *cfg,
		 struct diag *d);

/** payload_close - accepts a payload that was never opened but zeroed with
 * descriptors -1 */
void payload_close(struct arch_payload *p);

#endif
