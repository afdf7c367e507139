/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: geometry of the flash that firmware keeps its variables in */
#ifndef DEVICES_LEGACY_FLASH_CFI_H
#define DEVICES_LEGACY_FLASH_CFI_H

#include "vmm/base/types.h"

/** FLASH_BYTES - its window: one bank of QEMU's virt */
#define FLASH_BYTES MIB(64)

/** FLASH_BLOCK_BYTES - what is erased at once, in both chips */
#define FLASH_BLOCK_BYTES KIB(256)

/** FLASH_PC_BLOCK_BYTES - what is erased at once on a PC */
#define FLASH_PC_BLOCK_BYTES KIB(4)

/** FLASH_WORD_BYTES - width of the bus; a PC's has one byte */
#define FLASH_WORD_BYTES 4

/** FLASH_BUFFER_BYTES - most that one buffered write programs */
#define FLASH_BUFFER_BYTES 128

/** FLASH_VARS_BYTES - the least that AAVMF uses: variables, working space and
 * spare, one block each (edk2's ArmVirtQemu.fdf) */
#define FLASH_VARS_BYTES KIB(768)

#endif
