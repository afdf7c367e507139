/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: x86_64: firmware tables: see tables.h
 */
#include "arch/x86_64/tables.h"

#include "arch/smbios.h"
#include "arch/x86_64/layout.h"

#include "firmware/acpi.h"

#define SMBIOS_GPA  UINT64_C(0x000F0000)
#define SMBIOS_ROOM (X86_BIOS_RESET_GPA - SMBIOS_GPA)

int x86_tables(struct arch_tables *out, const struct platform *p,
	       const char *cmdline, gpa_t initrd, uint64_t initrd_bytes,
	       struct diag *d)
{
	static const struct acpi_area area[] = {
		{ GPA(X86_RSDP_GPA), SMBIOS_GPA - X86_RSDP_GPA },
		{ GPA(X86_HOLE_BASE), X86_RSDP_GPA - X86_HOLE_BASE },
	};
	struct arch_tables all = { .count = 0 };
	int err;

	(void)cmdline;
	(void)initrd;
	(void)initrd_bytes;
	err = acpi_build(&all, p, area, ARRAY_SIZE(area), d);
	if (!err)
		err = smbios_add(&all, p, GPA(SMBIOS_GPA), SMBIOS_ROOM, d);
	if (err)
		arch_tables_release(&all);
	else
		*out = all;
	return err;
}
