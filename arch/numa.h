/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: the NUMA nodes of a machine, for all architectures' layouts */
#ifndef ARCH_NUMA_H
#define ARCH_NUMA_H

#include "vmm/base/diag.h"
#include "vmm/config.h"
#include "vmm/platform.h"

/**
 * numa_fill - fill in @p->numa, and the nodes of @p's CPUs and RAM
 * @p: has its CPUs and parts
 * @cfg: checked by vm_config_check(); without --numa nothing is filled in
 *
 * Pure. Return: 0 or -ENOMEM.
 */
int numa_fill(struct platform *p, const struct vm_config *cfg, struct diag *d);

#endif
