/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: what the layouts of the real architectures share
 *
 * The checks of a configuration and the parts of the platform description
 * that are the same on x86_64 and arm64. Pure. Each check names the option,
 * the value and the limit.
 */
#ifndef ARCH_LAYOUT_H
#define ARCH_LAYOUT_H

#include "arch/arch.h"

/** layout_mmio - [@base, @base + @size_bytes) of the memory bus */
static inline struct plat_range layout_mmio(uint64_t base, uint64_t size_bytes)
{
	return (struct plat_range){ PLAT_MMIO, base, size_bytes };
}

/** layout_cpus_key - the key of --cpus that says how many vCPUs there are, for
 * messages: "boot" or "max" */
const char *layout_cpus_key(const struct vm_config *cfg);

/**
 * layout_check_cpus - is the number of vCPUs possible?
 * @caps: vcpus_max 0 means no limit
 * @limit: the architecture's own, @arch its name
 *
 * Return: 0; -EINVAL (none, or more at boot than in all), -E2BIG.
 */
int layout_check_cpus(const struct vm_config *cfg, const struct host_caps *caps,
		      uint32_t limit, const char *arch, struct diag *d);

/**
 * layout_topology - fill in @p->topology; all 0 in @cfg means packages of one
 * CPU each
 *
 * Return: 0, or -EINVAL: it does not multiply out to the vCPUs.
 */
int layout_topology(struct platform *p, const struct vm_config *cfg,
		    struct diag *d);

/** layout_place - the place of CPU @index when threads are counted fastest;
 * hw_id is 0 */
struct plat_cpu layout_place(const struct topology *t, uint32_t index);

/** layout_pa_bits - guest-physical address bits: @host_bits, or fewer if
 * --cpus max_phys_bits says so; at most 52 (both architectures' own limit) */
unsigned layout_pa_bits(const struct vm_config *cfg, unsigned host_bits);

/**
 * layout_check_memory - is the size of RAM possible?
 * @room: bytes of RAM that fit below the limit of @bits address bits
 *
 * Return: 0; -EINVAL (not whole pages of the host), -E2BIG.
 */
int layout_check_memory(const struct vm_config *cfg,
			const struct host_caps *caps, uint64_t room,
			unsigned bits, struct diag *d);

/** layout_parts - fill in @p->part: the RAM of @p, whose ranges add up to that
 * of @cfg, cut where zones end */
void layout_parts(struct platform *p, const struct vm_config *cfg);

/**
 * layout_divide - share @whole among the PCI segments from @first on, by weight
 * @is64: it is for their mmio64, else mmio32
 */
void layout_divide(struct platform *p, const struct vm_config *cfg,
		   struct plat_range whole, unsigned first, bool is64);

/**
 * layout_segments - make further PCI segments
 * @p: segment 0 has all of the 64-bit window, which is then divided
 * @ecam: of segment 1; of each one more, 1 MiB further up
 * @low: 32-bit window to divide among those from @first on (0 or 1)
 *
 * Return: 0; -E2BIG: a share of @low is too small for anything.
 */
int layout_segments(struct platform *p, const struct vm_config *cfg,
		    uint64_t ecam, struct plat_range low, unsigned first,
		    struct diag *d);

/**
 * layout_devices - see struct arch.devices
 * @all: @count devices, the first of which is the serial port; it is left out
 *	with --serial off, and others if they were not asked for
 */
unsigned layout_devices(struct arch_device *out, const struct platform *p,
			const struct vm_config *cfg,
			const struct arch_device *all, unsigned count);

#endif
