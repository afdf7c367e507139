/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: arm64: ACPI without firmware: see acpi.h */
#include "arch/arm64/acpi.h"

#include <errno.h>

#include "arch/layout.h"
#include "arch/smbios.h"

#include "firmware/acpi.h"
#include "firmware/efi.h"

/* Kernels may have pages of 64 KiB (UEFI 2.10 sec. 2.3.6). */
#define PAGE_MAX_BYTES KIB(64)

/* Room for SMBIOS, as much as x86_64 has. */
#define SMBIOS_BYTES KIB(64)

struct plat_range arm64_acpi_range(const struct platform *p)
{
	const struct plat_range *ram = &p->ram[0];
	uint64_t end = ram->base + ram->size_bytes, base;

	if (p->tables != TABLES_ACPI || ram->size_bytes < 2 * ARM64_ACPI_BYTES)
		return layout_mmio(0, 0);
	base = align_down(end - ARM64_ACPI_BYTES, PAGE_MAX_BYTES);
	return layout_mmio(base, end - base);
}

/* The RSDP is the first table. */
static int add_efi(struct arch_tables *t, struct fdt_boot *boot,
		   const struct platform *p, const struct plat_range *r,
		   struct diag *d)
{
	gpa_t at = GPA(r->base), smbios = GPA(at.v + EFI_BLOB_BYTES);
	size_t memmap_bytes;
	uint8_t *data;
	int err = smbios_add(t, p, smbios, SMBIOS_BYTES, d);

	if (!err)
		err = efi_build(&data, &memmap_bytes, p, r, t->table[0].gpa, d);
	if (!err)
		err = arch_tables_add(t, "efi.bin", at, data, EFI_BLOB_BYTES,
				      d);
	if (err)
		return err;
	boot->efi_system_table = at;
	boot->efi_memmap = GPA(at.v + EFI_MEMMAP_OFFSET);
	boot->efi_memmap_bytes = (uint32_t)memmap_bytes;
	return 0;
}

int arm64_acpi(struct arch_tables *out, struct fdt_boot *boot,
	       const struct platform *p, struct diag *d)
{
	struct plat_range r = arm64_acpi_range(p);
	const uint64_t before = EFI_BLOB_BYTES + SMBIOS_BYTES;
	struct acpi_area area = { GPA(r.base + before),
				  ARM64_ACPI_BYTES - before };
	struct arch_tables t = { .count = 0 };
	int err;

	if (!r.size_bytes)
		return diag_fail(d, E2BIG,
				 "--platform tables=acpi: no room for the "
				 "tables: give more --memory");
	err = acpi_build(&t, p, &area, 1, d);
	if (!err)
		err = add_efi(&t, boot, p, &r, d);
	if (err)
		arch_tables_release(&t);
	else
		*out = t;
	return err;
}

int arm64_acpi_unplaced(struct arch_tables *out, const struct platform *p,
			struct diag *d)
{
	const struct acpi_area area = { GPA(0), ARM64_ACPI_BYTES };
	int err = acpi_build(out, p, &area, 1, d);

	for (unsigned i = 0; !err && i < out->count; i++)
		out->table[i].gpa = GPA(0);
	return err;
}
