/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: is there a disk from which firmware starts something? */
#ifndef VMM_BOOT_DISK_H
#define VMM_BOOT_DISK_H

#include "vmm/config.h"

/**
 * boot_disk_missing - firmware will find nothing on any disk of @c
 *
 * Return: true if there is no FAT file system such as mkfs.fat and installers
 * make; false as well where we do not look (qcow2, vhost-user) or cannot. A
 * disk that is a FIFO does not hang this.
 */
bool boot_disk_missing(const struct vm_config *c);

/** boot_disk_advise - say so in the log, if firmware has nothing else */
void boot_disk_advise(const struct vm_config *c);

#endif
