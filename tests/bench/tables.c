/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: how long all tables of a large machine take to build
 *
 * Usage: tables [RUNS]
 *
 * Machines of 64 vCPUs and 32 devices in 4 NUMA nodes, by hand like those of
 * the unit tests. For each, one line: name, microseconds of the fastest of RUNS
 * (1000), bytes of all tables.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "arch/arch.h"

#include "tests/unit/platforms.h"

static const struct {
	struct sample s;
	const char *arch;
	enum tables_choice tables;
} machines[] = {
	{ { "x86_64-acpi",
	    false,
	    { 2, 8, 1, 4 },
	    .pci = true,
	    .virtio_mmio = 25,
	    .high_ram = GIB(9),
	    .nodes = 4 },
	  "x86_64",
	  TABLES_ACPI },
	{ { "arm64-acpi",
	    true,
	    { 2, 8, 1, 4 },
	    .pci = true,
	    .virtio_mmio = 28,
	    .high_ram = GIB(9),
	    .nodes = 4 },
	  "arm64",
	  TABLES_ACPI },
	{ { "arm64-fdt",
	    true,
	    { 2, 8, 1, 4 },
	    .pci = true,
	    .virtio_mmio = 28,
	    .high_ram = GIB(9),
	    .nodes = 4,
	    .clidr = 0443 },
	  "arm64",
	  TABLES_FDT },
};

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* Builds and frees them once; adds up their sizes. */
static double build_us(const struct arch *arch, const struct platform *p,
		       size_t *bytes)
{
	struct arch_tables t = { .count = 0 };
	struct diag d = DIAG_INIT;
	double from = now_us();
	double took;

	if (arch->tables(&t, p, "console=ttyS0", GPA(0), 0, &d)) {
		fprintf(stderr, "%s: %s\n", arch->name, d.text[0]);
		exit(1);
	}
	took = now_us() - from;
	*bytes = 0;
	for (unsigned i = 0; i < t.count; i++)
		*bytes += t.table[i].size_bytes;
	arch_tables_release(&t);
	return took;
}

int main(int argc, char **argv)
{
	int runs = argc > 1 ? atoi(argv[1]) : 1000;

	for (unsigned i = 0; i < ARRAY_SIZE(machines); i++) {
		const struct arch *arch = arch_find(machines[i].arch);
		double best = 1e9;
		struct platform p;
		size_t bytes = 0;

		sample_make(&p, &machines[i].s);
		p.tables = machines[i].tables;
		for (int run = 0; run < runs; run++)
			best = MIN(best, build_us(arch, &p, &bytes));
		printf("%s %.1f us, %u vCPUs, %u devices, %zu bytes\n",
		       machines[i].s.name, best, p.cpu_count, p.dev_count,
		       bytes);
		platform_release(&p);
	}
	return 0;
}
