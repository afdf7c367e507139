/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: SMBIOS for a guest without firmware that would place it */
#ifndef ARCH_SMBIOS_H
#define ARCH_SMBIOS_H

#include "arch/arch.h"

/**
 * smbios_add - build "smbios3.bin", the entry point, and "smbios.bin", the
 *	structures that it names
 * @at: for both, @room_bytes; the entry point comes first
 *
 * Return: 0; -ENOMEM; -E2BIG: there is no room for the strings of --platform.
 */
int smbios_add(struct arch_tables *out, const struct platform *p, gpa_t at,
	       uint64_t room_bytes, struct diag *d);

#endif
