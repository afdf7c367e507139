/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: x86_64: MSRs that firmware would have set before it starts a kernel
 *
 * What is not here starts as the hypervisor makes it. Intel SDM vol. 4; AMD
 * processors have the same MTRR type register, and KVM emulates MISC_ENABLE
 * for all of them.
 */
#include "arch/x86_64/vcpu.h"

#define MSR_IA32_MISC_ENABLE   0x1a0
#define MSR_IA32_MTRR_DEF_TYPE 0x2ff

#define MISC_ENABLE_FAST_STRINGS (UINT64_C(1) << 0)
#define MISC_ENABLE_NO_BTS	 (UINT64_C(1) << 11)
#define MISC_ENABLE_NO_PEBS	 (UINT64_C(1) << 12)
#define MTRR_ENABLE		 (UINT64_C(1) << 11)
#define MTRR_WRITE_BACK		 6

void x86_boot_msrs(struct x86_msrs *m)
{
	static const struct x86_msr boot[] = {
		{ MSR_IA32_MISC_ENABLE, MISC_ENABLE_FAST_STRINGS |
						MISC_ENABLE_NO_BTS |
						MISC_ENABLE_NO_PEBS },
		/* All memory is write-back: no variable range is needed. */
		{ MSR_IA32_MTRR_DEF_TYPE, MTRR_ENABLE | MTRR_WRITE_BACK },
	};

	m->count = ARRAY_SIZE(boot);
	for (unsigned i = 0; i < ARRAY_SIZE(boot); i++)
		m->msr[i] = boot[i];
}
