/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: the CPU model of a guest: CPUID
 *
 * The guest gets what the hypervisor supports, with the topology of the
 * platform description in place of the host's, and without what it could not
 * use. Pure: a table in, a table out, so that EPYC and Xeon guests are tested
 * on any machine. Intel SDM vol. 2A (CPUID), AMD APM vol. 3 app. E, KVM's
 * Documentation/virt/kvm/x86/cpuid.rst and errata.rst.
 */
#ifndef ARCH_X86_64_CPUID_H
#define ARCH_X86_64_CPUID_H

#include "vmm/host/state.h"
#include "vmm/platform.h"

/**
 * struct x86_cpuid_facts - what the CPU model depends on beside the host
 * @p: topology, CPUs, address bits, nested virtualisation
 * @ext_dest_id: the hypervisor takes MSIs with 15-bit destinations
 * @tsc_khz: frequency of the vCPUs' TSC, 0 if unknown
 */
struct x86_cpuid_facts {
	const struct platform *p;
	bool ext_dest_id;
	uint32_t tsc_khz;
};

/** x86_cpuid_find - the entry that answers (@leaf, @subleaf), or NULL */
struct x86_cpuid_entry *x86_cpuid_find(struct x86_cpuid *c, uint32_t leaf,
				       uint32_t subleaf);

/**
 * x86_cpuid_make - turn what the host supports into what vCPU @index sees
 * @c: in: the host's table, out: the guest's; undefined on failure
 *
 * Return: 0, or -ENOSPC (the host's table is too full).
 */
int x86_cpuid_make(struct x86_cpuid *c, const struct x86_cpuid_facts *f,
		   unsigned index);

#endif
