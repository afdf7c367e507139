/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: arm64: firmware tables: see fdt.h
 */
#include "arch/arm64/fdt.h"

#include <errno.h>
#include <sys/random.h>

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

int arm64_tables(struct arch_tables *out, const struct platform *p,
		 const char *cmdline, gpa_t initrd, uint64_t initrd_bytes,
		 struct diag *d)
{
	struct fdt_boot boot = {
		.cmdline = cmdline,
		.initrd = initrd,
		.initrd_bytes = initrd_bytes,
	};
	struct arch_table t = { .name = "virt.dtb" };
	int err = cmdline ? seed(&boot, d) : 0;

	if (!err)
		err = fdt_build(&t.data, &t.size_bytes, p, &boot, d);
	if (err)
		return err;
	*out = (struct arch_tables){ .table = { t }, .count = 1 };
	return 0;
}
