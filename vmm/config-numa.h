/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: what --numa says, for those who build a machine from it
 *
 * Pure. The configuration has passed vm_config_check().
 */
#ifndef VMM_CONFIG_NUMA_H
#define VMM_CONFIG_NUMA_H

#include "vmm/config.h"

/* Relative distances: ACPI 6.5 sec. 5.2.17, where 255 is "not reachable" */
#define NUMA_LOCAL	  10
#define NUMA_REMOTE	  20 /* unless given */
#define NUMA_DISTANCE_MAX 254

/** vm_config_node - the node of that id, or NULL */
const struct numa_config *vm_config_node(const struct vm_config *c,
					 uint32_t id);

/** vm_config_zone - index of the zone of that id; config.zone_count if there is
 * none */
unsigned vm_config_zone(const struct vm_config *c, const char *id);

#endif
