/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: what the machine calls itself: the strings of --platform
 *
 * Cloud Hypervisor's system_..., chassis_asset_tag and oem_strings, and its
 * older names serial_number and uuid. The guest reads them from SMBIOS,
 * which arm64 has by UEFI only.
 */
#ifndef VMM_IDENTITY_H
#define VMM_IDENTITY_H

#include "vmm/base/diag.h"
#include "vmm/platform.h"

/** IDENTITY_TEXT_MAX - characters of one string */
#define IDENTITY_TEXT_MAX 255

/** IDENTITY_OEM_MAX - strings in oem_strings=[...], and characters in all */
#define IDENTITY_OEM_MAX   255
#define IDENTITY_OEM_BYTES 16384

/**
 * identity_check - are these strings that SMBIOS can hold?
 *
 * Return: 0, or -EINVAL and one sentence: not printable ASCII, too long, too
 * many, a UUID that is not one, old and new name both given.
 */
int identity_check(const struct platform_config *c, struct diag *d);

/** identity_given - the first key that says something of it, or NULL */
const char *identity_given(const struct platform_config *c);

/**
 * identity_fill - the strings of @c, borrowed, NULL where there are none
 * @c: passed identity_check()
 */
void identity_fill(struct plat_identity *out, const struct platform_config *c);

#endif
