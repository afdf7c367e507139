/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: x86_64: what a vCPU is when it starts
 *
 * vCPU 0 starts at the kernel's entry in the state of its boot protocol:
 * Linux's 64-bit protocol (Documentation/arch/x86/boot.rst) or PVH (Xen
 * docs/misc/pvh.pandoc); firmware of a PC starts at the reset vector, which is
 * the hypervisor's own reset state. All others wait inside the hypervisor for
 * INIT and SIPI, which their local APICs receive. Each has its own CPUID; the
 * MSRs of msr.c are the same on all.
 *
 * Only before the first run of a fresh VM: CPUID cannot change afterwards.
 */
#include "arch/x86_64/vcpu.h"

#include <errno.h>
#include <string.h>

#include "arch/x86_64/boot.h"
#include "arch/x86_64/cpuid.h"
#include "arch/x86_64/layout.h"

#define CR0_PE	   (UINT64_C(1) << 0)
#define CR0_ET	   (UINT64_C(1) << 4) /* always 1 */
#define CR0_NE	   (UINT64_C(1) << 5)
#define CR0_PG	   (UINT64_C(1) << 31)
#define CR4_PAE	   (UINT64_C(1) << 5)
#define EFER_LME   (UINT64_C(1) << 8)
#define EFER_LMA   (UINT64_C(1) << 10)
#define RFLAGS_ONE (UINT64_C(1) << 1)

#define APIC_BASE_BSP	 (UINT64_C(1) << 8)
#define APIC_BASE_X2APIC (UINT64_C(1) << 10)
#define APIC_BASE_ENABLE (UINT64_C(1) << 11)

void x86_boot_gpr(struct x86_gpr *r, const struct arch_boot *boot)
{
	*r = (struct x86_gpr){
		.rip = boot->entry.v,
		.rsp = X86_STACK_GPA,
		.rflags = RFLAGS_ONE,
	};
	if (boot->protocol == X86_PVH)
		r->rbx = boot->arg.v;
	else
		r->rsi = boot->arg.v;
}

/* The hidden part of a segment register that was loaded from the GDT. */
static struct x86_segment segment(enum x86_protocol protocol, unsigned index)
{
	uint64_t e = x86_gdt(protocol, index);
	uint32_t limit = (uint32_t)(e & 0xffff) | (uint32_t)(e >> 32 & 0xf0000);
	bool pages = e >> 55 & 1;

	return (struct x86_segment){
		.selector = (uint16_t)(index * 8),
		.limit = pages ? limit << 12 | 0xfff : limit,
		.type = e >> 40 & 0xf,
		.s = e >> 44 & 1,
		.dpl = e >> 45 & 3,
		.present = e >> 47 & 1,
		.avl = e >> 52 & 1,
		.l = e >> 53 & 1,
		.db = e >> 54 & 1,
		.g = pages,
	};
}

void x86_boot_sregs(struct x86_sregs *s, const struct arch_boot *boot)
{
	enum x86_protocol protocol = (enum x86_protocol)boot->protocol;
	struct x86_segment data = segment(protocol, X86_GDT_DS);

	*s = (struct x86_sregs){
		.cs = segment(protocol, X86_GDT_CS),
		.ds = data,
		.es = data,
		.fs = data,
		.gs = data,
		.ss = data,
		.tr = segment(protocol, X86_GDT_TR),
		.ldt = { .type = 2, .unusable = 1 },
		.gdt = { .base = X86_GDT_GPA, .limit = X86_GDT_MAX * 8 - 1 },
		.cr0 = CR0_PE | CR0_ET,
	};
	if (protocol == X86_PVH)
		return;
	s->cr0 |= CR0_PG | CR0_NE;
	s->cr3 = X86_PAGE_TABLES_GPA;
	s->cr4 = CR4_PAE;
	s->efer = EFER_LME | EFER_LMA;
}

uint64_t x86_boot_apic_base(const struct platform *p, unsigned index)
{
	uint64_t base = X86_LAPIC_BASE | APIC_BASE_ENABLE;

	if (!index)
		base |= APIC_BASE_BSP;
	if (x86_apic_id_max(p) > X86_XAPIC_ID_MAX)
		base |= APIC_BASE_X2APIC;
	return base;
}

static int put(struct host_vcpu *vcpu, enum host_state cls, const void *state,
	       size_t size_bytes, const char *what, struct diag *d)
{
	int err = vcpu->vm->ops->state_put(vcpu, cls, state, size_bytes, d);

	if (err)
		diag_fail(d, -err, "vCPU %u: cannot set its %s", vcpu->index,
			  what);
	return err;
}

static int put_cpuid(struct host_vcpu *vcpu, const struct platform *p,
		     struct diag *d)
{
	struct x86_cpuid_facts facts = {
		.p = p,
		.ext_dest_id = vcpu->vm->caps.ext_dest_id,
		.tsc_khz = vcpu->vm->caps.tsc_khz,
	};
	struct x86_cpuid cpuid;
	int err = vcpu->vm->ops->cpuid(vcpu->vm, &cpuid, d);

	if (err)
		return err;
	err = x86_cpuid_make(&cpuid, &facts, vcpu->index);
	if (err)
		return diag_fail(d, -err,
				 "the hypervisor's CPUID has more than %u "
				 "leaves",
				 X86_CPUID_MAX);
	return put(vcpu, HOST_X86_CPUID, &cpuid, sizeof(cpuid), "CPUID", d);
}

static int put_msrs(struct host_vcpu *vcpu, struct diag *d)
{
	struct x86_msrs msrs;

	x86_boot_msrs(&msrs);
	return put(vcpu, HOST_X86_MSRS, &msrs, sizeof(msrs), "MSRs", d);
}

static int put_boot_state(struct host_vcpu *vcpu, const struct platform *p,
			  const struct arch_boot *boot, struct diag *d)
{
	struct x86_sregs sregs;
	struct x86_gpr gpr;
	int err;

	x86_boot_sregs(&sregs, boot);
	sregs.apic_base = x86_boot_apic_base(p, vcpu->index);
	err = put(vcpu, HOST_X86_SREGS, &sregs, sizeof(sregs),
		  "control registers", d);
	if (err)
		return err;
	x86_boot_gpr(&gpr, boot);
	return put(vcpu, HOST_X86_GPR, &gpr, sizeof(gpr), "registers", d);
}

/* Reset state but for the mode of the local APIC. */
static int put_reset_state(struct host_vcpu *vcpu, const struct platform *p,
			   struct diag *d)
{
	struct x86_sregs sregs;
	int err;

	if (x86_apic_id_max(p) <= X86_XAPIC_ID_MAX)
		return 0;
	err = vcpu->vm->ops->state_get(vcpu, HOST_X86_SREGS, &sregs,
				       sizeof(sregs), d);
	if (err)
		return err;
	sregs.apic_base = x86_boot_apic_base(p, vcpu->index);
	return put(vcpu, HOST_X86_SREGS, &sregs, sizeof(sregs),
		   "local APIC's mode", d);
}

int x86_vcpu_reset(struct host_vcpu *vcpu, const struct platform *p,
		   const struct arch_boot *boot, struct diag *d)
{
	int err;

	if ((err = put_cpuid(vcpu, p, d)) || (err = put_msrs(vcpu, d)))
		return err;
	if (vcpu->index || boot->protocol == X86_RESET)
		return put_reset_state(vcpu, p, d);
	return put_boot_state(vcpu, p, boot, d);
}
