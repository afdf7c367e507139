/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: arm64: the arch contract's table and the parts that are too small for
 * files of their own: what the hypervisor must know, and the start state
 *
 * Start state: Documentation/arch/arm64/booting.rst. vCPU 0 enters the kernel
 * at EL1 with the FDT in x0; all others wait, powered off, for PSCI CPU_ON,
 * which the hypervisor implements.
 *
 * Not implemented: snapshots of the GIC, nested virtualisation (EL2), MTE.
 */
#include <errno.h>
#include <inttypes.h>

#include "arch/arm64/firmware.h"
#include "arch/arm64/irqchip.h"
#include "arch/arm64/layout.h"
#include "arch/arm64/load.h"
#include "arch/arm64/tables.h"

/* EL1h, with debug, SError, IRQ and FIQ masked */
#define PSTATE_BOOT UINT64_C(0x3c5)

static int host_config(const struct platform *p, struct host_vm_config *out,
		       struct diag *d)
{
	const struct plat_intc *gic = &p->intc;
	struct host_arm64_config *c = &out->arm64;

	(void)d;
	*c = (struct host_arm64_config){
		.ipa_bits = p->pa_bits,
		.gicv3 = gic->kind == INTC_GICV3,
		.dist_gpa = gic->dist.base,
		.cpu_if_gpa = gic->cpu_if.base,
		.its_gpa = gic->its.size_bytes ? gic->its.base : 0,
		.spi_count = gic->pin_count,
		.pmu = gic->pmu,
		.pmu_intid = ARM64_PMU_INTID,
		.sve = p->sve,
		.pauth = p->pauth,
	};
	for (unsigned i = 0; i < gic->redist_count; i++) {
		const struct plat_range *r = &gic->redist[i];

		c->redist_gpa[i] = r->base;
		c->redist_count[i] = r->size_bytes / ARM64_GICR_STRIDE;
	}
	return 0;
}

/* The tables name each CPU by its MPIDR: they must agree with the VM. */
static int check_mpidr(struct host_vcpu *vcpu, const struct platform *p,
		       struct diag *d)
{
	uint64_t want = p->cpu[vcpu->index].hw_id, mpidr;
	int err = vcpu->vm->ops->state_get(vcpu, HOST_ARM64_MPIDR, &mpidr,
					   sizeof(mpidr), d);

	if (err)
		return diag_fail(d, -err, "vCPU %u: cannot read its MPIDR",
				 vcpu->index);
	mpidr &= UINT64_C(0xff00ffffff);
	if (mpidr != want)
		return diag_fail(d, ENOTSUP,
				 "vCPU %u: the hypervisor calls it %#" PRIx64
				 " (MPIDR), the guest's tables %#" PRIx64,
				 vcpu->index, mpidr, want);
	return 0;
}

static int vcpu_reset(struct host_vcpu *vcpu, const struct platform *p,
		      const struct arch_boot *boot, struct diag *d)
{
	struct arm64_core core = {
		.x[0] = boot->arg.v,
		.pc = boot->entry.v,
		.pstate = PSTATE_BOOT,
	};
	int err = check_mpidr(vcpu, p, d);

	if (err || vcpu->index)
		return err;
	err = vcpu->vm->ops->state_put(vcpu, HOST_ARM64_CORE, &core,
				       sizeof(core), d);
	if (err)
		diag_fail(d, -err, "vCPU 0: cannot set its start state");
	return err;
}

const struct arch arch_arm64 = {
	.name = "arm64",
	.layout = arm64_layout,
	.devices = arm64_devices,
	.host_config = host_config,
	.irqchip_new = arm64_irqchip_new,
	.irqchip_reset = arm64_irqchip_reset,
	.irqchip_free = arm64_irqchip_free,
	.tables = arm64_tables,
	.recognise = arm64_recognise,
	.load = arm64_load,
	.vcpu_reset = vcpu_reset,
};
