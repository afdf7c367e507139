/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: arch: marks by which firmware is recognised, whatever it is for
 *
 * UEFI firmware is made of firmware volumes, which have "_FVH" at 0x28 (PI 1.8
 * vol. 3 sec. 3.2.1). That for a PC begins with one and ends in the reset
 * vector; that for Arm begins with a branch, and its volume is 4 KiB later. A
 * volume whose file system is EFI_SYSTEM_NV_DATA_FV_GUID holds variables.
 * U-Boot for Arm begins with a branch over its header, and a nop.
 *
 * @head is the first @len bytes of a file, and nothing behind them is read.
 */
#ifndef ARCH_FIRMWARE_MARKS_H
#define ARCH_FIRMWARE_MARKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FIRMWARE_ARM64_VOLUME 0x1000

/** firmware_mark_at - are there the @mark_len bytes of @mark at @at? */
bool firmware_mark_at(const uint8_t *head, size_t len, size_t at,
		      const void *mark, size_t mark_len);

/** firmware_volume_at - does a volume begin at @at? */
bool firmware_volume_at(const uint8_t *head, size_t len, size_t at);

/** firmware_is_variables - a volume of UEFI variables, without firmware */
bool firmware_is_variables(const uint8_t *head, size_t len);

/** firmware_is_arm64_code - begins with a branch; firmware_is_arm64_uboot: and
 * with a nop */
bool firmware_is_arm64_code(const uint8_t *head, size_t len);
bool firmware_is_arm64_uboot(const uint8_t *head, size_t len);

#endif
