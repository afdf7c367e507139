/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: arm64: firmware tables, see tables.h
 */
#include "arch/arm64/tables.h"

#include <errno.h>
#include <sys/random.h>

#include "arch/arm64/acpi.h"

#include "firmware/fdt.h"

static int fill(void *buf, size_t size, struct diag *d)
{
	ssize_t n = getrandom(buf, size, 0); /* whole, up to 256 bytes */

	if (n < 0)
		return diag_errno(d, errno, "getrandom");
	if ((size_t)n != size)
		return diag_fail(d, EAGAIN, "getrandom: %zd of %zu bytes", n,
				 size);
	return 0;
}

static int seed(struct fdt_boot *boot, struct diag *d)
{
	int err = fill(boot->rng_seed, sizeof(boot->rng_seed), d);

	if (!err)
		err = fill(&boot->kaslr_seed, sizeof(boot->kaslr_seed), d);
	boot->seeded = !err;
	return err;
}

static int add_dtb(struct arch_tables *t, const struct platform *p,
		   const struct fdt_boot *boot, struct diag *d)
{
	uint8_t *data;
	size_t size_bytes;
	int err = fdt_build(&data, &size_bytes, p, boot, d);

	if (err)
		return err;
	return arch_tables_add(t, "virt.dtb", GPA(0), data, size_bytes, d);
}

int arm64_dtb(struct arch_tables *out, const struct platform *p, struct diag *d)
{
	struct fdt_boot boot = { .cmdline = "" };
	int err = seed(&boot, d);

	return err ? err : add_dtb(out, p, &boot, d);
}

static int add_acpi(struct arch_tables *t, struct fdt_boot *boot,
		    const struct platform *p, struct diag *d)
{
	if (p->tables != TABLES_ACPI)
		return 0;
	if (p->rom.size_bytes)
		return arm64_acpi_unplaced(t, p, d);
	return arm64_acpi(t, boot, p, d);
}

int arm64_tables(struct arch_tables *out, const struct platform *p,
		 const char *cmdline, gpa_t initrd, uint64_t initrd_bytes,
		 struct diag *d)
{
	struct fdt_boot boot = {
		.cmdline = cmdline,
		.initrd = initrd,
		.initrd_bytes = initrd_bytes,
	};
	struct arch_tables t = { .count = 0 };
	int err = cmdline ? seed(&boot, d) : 0;

	if (!err)
		err = add_acpi(&t, &boot, p, d);
	if (!err)
		err = add_dtb(&t, p, &boot, d);
	if (err)
		arch_tables_release(&t);
	else
		*out = t;
	return err;
}
