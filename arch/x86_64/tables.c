/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: x86_64: firmware tables: see tables.h
 */
#include "arch/x86_64/tables.h"

#include <errno.h>
#include <stdlib.h>

#include "arch/x86_64/layout.h"

#include "firmware/acpi.h"
#include "firmware/smbios.h"

#define SMBIOS_GPA  UINT64_C(0x000F0000)
#define SMBIOS_AT   (SMBIOS_GPA + 0x20) /* the structures */
#define SMBIOS_ROOM (X86_BIOS_RESET_GPA - SMBIOS_AT)

static int add_structures(struct arch_tables *out, struct acpi_buf *b,
			  struct diag *d)
{
	uint8_t *entry;
	int err;

	if (b->size_bytes > SMBIOS_ROOM)
		return diag_fail(d, E2BIG,
				 "--platform: its strings need %zu bytes of "
				 "SMBIOS tables, there is room for %llu",
				 b->size_bytes,
				 (unsigned long long)SMBIOS_ROOM);
	entry = malloc(SMBIOS_ENTRY_BYTES);
	if (entry)
		smbios_entry(entry, GPA(SMBIOS_AT), (uint32_t)b->size_bytes);
	err = arch_tables_add(out, "smbios3.bin", GPA(SMBIOS_GPA), entry,
			      SMBIOS_ENTRY_BYTES, d);
	if (err)
		return err;
	err = arch_tables_add(out, "smbios.bin", GPA(SMBIOS_AT), b->data,
			      b->size_bytes, d);
	*b = (struct acpi_buf){ .data = NULL }; /* it is in @out, or freed */
	return err;
}

static int add_smbios(struct arch_tables *out, const struct platform *p,
		      struct diag *d)
{
	struct acpi_buf b = { .data = NULL };
	int err = smbios_build(&b, p, d);

	if (!err)
		err = add_structures(out, &b, d);
	acpi_buf_release(&b);
	return err;
}

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
		err = add_smbios(&all, p, d);
	if (err)
		arch_tables_release(&all);
	else
		*out = all;
	return err;
}
