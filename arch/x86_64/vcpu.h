/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: x86_64: start state of vCPUs, see vcpu.c */
#ifndef ARCH_X86_64_VCPU_H
#define ARCH_X86_64_VCPU_H

#include "arch/arch.h"

/** x86_vcpu_reset - see struct arch.vcpu_reset; @p is from x86_layout() */
int x86_vcpu_reset(struct host_vcpu *vcpu, const struct platform *p,
		   const struct arch_boot *boot, struct diag *d);

/** x86_boot_gpr - general registers at the entry of @boot's protocol */
void x86_boot_gpr(struct x86_gpr *r, const struct arch_boot *boot);

/** x86_boot_sregs - segments, control registers and EFER at that entry;
 * everything else in @s is zeroed */
void x86_boot_sregs(struct x86_sregs *s, const struct arch_boot *boot);

/** x86_boot_apic_base - IA32_APIC_BASE of vCPU @index at power-on; starts in
 * x2APIC mode if @p has an id that xAPIC mode cannot name */
uint64_t x86_boot_apic_base(const struct platform *p, unsigned index);

/** x86_boot_msrs - the MSRs whose start value is not the hypervisor's */
void x86_boot_msrs(struct x86_msrs *m);

#endif
