/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: the device tree of a machine, from its platform description
 *
 * Describes CPUs and their topology, RAM, PSCI, the generic timer, the GIC,
 * the PMU, the PCI host bridge and every device that has a `compatible`
 * list, with the bindings that Linux documents and edk2 and U-Boot read. It
 * knows no device: what is beyond compatible, reg and interrupts comes from
 * the device's own properties or from its role.
 *
 * Devicetree Specification 0.4; bindings of Linux 6.12.
 *
 * Threads: pure, any thread.
 */
#ifndef FIRMWARE_FDT_H
#define FIRMWARE_FDT_H

#include "vmm/base/diag.h"
#include "vmm/base/types.h"
#include "vmm/platform.h"

/** FDT_LIMIT_BYTES - largest tree that arm64 Linux accepts (Linux,
 * Documentation/arch/arm64/booting.rst) */
#define FDT_LIMIT_BYTES MIB(2)

#define FDT_SEED_BYTES 64

/**
 * struct fdt_boot - what the tree says to a kernel, beside the machine
 * @cmdline: bootargs; NULL: no such property
 * @initrd, @initrd_bytes: initial RAM file system in guest RAM; 0: none
 * @efi_system_table, @efi_memmap, @efi_memmap_bytes: where the kernel finds
 *	ACPI tables (efi.h); the tree then has nothing but /chosen, or Linux
 *	would take the tree and not the tables. 0: a whole tree
 * @seeded: @rng_seed and @kaslr_seed hold random numbers, never used twice
 */
struct fdt_boot {
	const char *cmdline;
	gpa_t initrd;
	uint64_t initrd_bytes;
	gpa_t efi_system_table, efi_memmap;
	uint32_t efi_memmap_bytes;
	bool seeded;
	uint8_t rng_seed[FDT_SEED_BYTES];
	uint64_t kaslr_seed;
};

/**
 * fdt_build - build the device tree
 * @blob: receives the tree, malloc'ed, owned by the caller
 * @size_bytes: receives its size, at most FDT_LIMIT_BYTES
 * @p: the machine: interrupt controller a GIC; CPUs in the order of their
 *	place in the topology (package, die, core, thread)
 * @boot: /chosen
 *
 * CPUs that are not enabled at boot are left out: a device tree has no way to
 * add them later.
 *
 * Return: 0, -EINVAL (not describable by a device tree), -E2BIG (command line
 * too long), -ENOMEM; outputs untouched on failure.
 */
int fdt_build(uint8_t **blob, size_t *size_bytes, const struct platform *p,
	      const struct fdt_boot *boot, struct diag *d);

#endif
