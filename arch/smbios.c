/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: SMBIOS for a guest without firmware, see smbios.h */
#include "arch/smbios.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "vmm/base/check.h"

#include "firmware/smbios.h"

#define STRUCTURES_AT 0x20

static int add_structures(struct arch_tables *out, struct acpi_buf *b, gpa_t at,
			  uint64_t room_bytes, struct diag *d)
{
	gpa_t structures = GPA(at.v + STRUCTURES_AT);
	uint8_t *entry;
	int err;

	CHECK(room_bytes > STRUCTURES_AT);
	room_bytes -= STRUCTURES_AT;
	if (b->size_bytes > room_bytes)
		return diag_fail(d, E2BIG,
				 "--platform: its strings need %zu bytes of "
				 "SMBIOS tables, there is room for %" PRIu64,
				 b->size_bytes, room_bytes);
	entry = malloc(SMBIOS_ENTRY_BYTES);
	if (entry)
		smbios_entry(entry, structures, (uint32_t)b->size_bytes);
	err = arch_tables_add(out, "smbios3.bin", at, entry, SMBIOS_ENTRY_BYTES,
			      d);
	if (err)
		return err;
	err = arch_tables_add(out, "smbios.bin", structures, b->data,
			      b->size_bytes, d);
	*b = (struct acpi_buf){ .data = NULL }; /* it is in @out, or freed */
	return err;
}

int smbios_add(struct arch_tables *out, const struct platform *p, gpa_t at,
	       uint64_t room_bytes, struct diag *d)
{
	struct acpi_buf b = { .data = NULL };
	int err = smbios_build(&b, p, d);

	if (!err)
		err = add_structures(out, &b, at, room_bytes, d);
	acpi_buf_release(&b);
	return err;
}
