/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: the KVM back end on arm64
 *
 * Order that KVM wants: VM capabilities, RAM, all vCPUs, KVM_ARM_VCPU_INIT of
 * each, the vGIC with its addresses and its explicit INIT, the ITS, then the
 * PMU of each vCPU, which needs the vGIC (devices/arm-vgic-v3.rst,
 * arm-vgic-its.rst, vcpu.rst in Documentation/virt/kvm/).
 *
 * Interrupt numbers: KVM_IRQ_LINE takes the INTID (4.25); wires are SPIs from
 * 0. MSI routes carry the device id that the ITS translates by.
 *
 * A load or store that the CPU does not describe to the hypervisor (LDP, STP,
 * writeback, SVE) ends the VM with its address when it hits a device: no
 * driver does that, and emulating it would mean decoding A64. Loads from what
 * can be shown as memory (flash) are repeated when it is.
 *
 * Not implemented: choosing the PMU of a big.LITTLE host, steal time, vGIC
 * save and restore, EL2 for guests.
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vmm/host/kvm/kvm.h"

#define IPA_BITS_DEFAULT 40 /* 4.2: VM type 0 */
#define SPI_INTID_FIRST	 32
#define GIC_IRQS_SPI(n)	 ((n) + SPI_INTID_FIRST)

const struct kvm_need kvm_arch_needs[] = {
	{ KVM_CAP_ARM_PSCI_0_2, "KVM_CAP_ARM_PSCI_0_2" },
	{ KVM_CAP_DEVICE_CTRL, "KVM_CAP_DEVICE_CTRL" },
	{ KVM_CAP_ONE_REG, "KVM_CAP_ONE_REG" },
	{ 0, NULL },
};

/* ---- registers ---------------------------------------------------------- */

#define REG_U64 (KVM_REG_ARM64 | KVM_REG_SIZE_U64)
#define CORE(field)                   \
	(REG_U64 | KVM_REG_ARM_CORE | \
	 (offsetof(struct kvm_regs, field) / sizeof(uint32_t)))

#define REG_PC	      CORE(regs.pc)
#define REG_PSTATE    CORE(regs.pstate)
#define REG_SP_EL1    CORE(sp_el1)
#define REG_X(n)      (CORE(regs.regs) + 2 * (uint64_t)(n))
#define REG_MPIDR_EL1 ARM64_SYS_REG(3, 0, 0, 0, 5)
#define REG_CLIDR_EL1 ARM64_SYS_REG(3, 1, 0, 0, 1)
#define REG_ESR_EL1   ARM64_SYS_REG(3, 0, 5, 2, 0)
#define REG_FAR_EL1   ARM64_SYS_REG(3, 0, 6, 0, 0)

static int get_reg(int fd, uint64_t id, uint64_t *value)
{
	uint64_t v;
	struct kvm_one_reg reg = { .id = id, .addr = (uintptr_t)&v };

	if (ioctl(fd, KVM_GET_ONE_REG, &reg) < 0)
		return -errno;
	*value = v;
	return 0;
}

static int put_reg(int fd, uint64_t id, uint64_t value)
{
	struct kvm_one_reg reg = { .id = id, .addr = (uintptr_t)&value };

	return ioctl(fd, KVM_SET_ONE_REG, &reg) < 0 ? -errno : 0;
}

/* ---- probe -------------------------------------------------------------- */

static bool can_create(int vm_fd, uint32_t type)
{
	struct kvm_create_device dev = {
		.type = type,
		.flags = KVM_CREATE_DEVICE_TEST,
	};

	return ioctl(vm_fd, KVM_CREATE_DEVICE, &dev) == 0;
}

/* What a vCPU says about its caches; KVM makes it up on newer kernels. */
static uint64_t probe_clidr(int vm_fd)
{
	int fd = ioctl(vm_fd, KVM_CREATE_VCPU, 0);
	struct kvm_vcpu_init init = { 0 };
	uint64_t clidr = 0;

	if (fd < 0)
		return 0;
	if (ioctl(vm_fd, KVM_ARM_PREFERRED_TARGET, &init) < 0 ||
	    ioctl(fd, KVM_ARM_VCPU_INIT, &init) < 0 ||
	    get_reg(fd, REG_CLIDR_EL1, &clidr))
		clidr = 0;
	close(fd);
	return clidr;
}

/* Some facts are only told to a VM, so one is made to ask: small, because
 * the tables of a large one take time. */
static int probe_vm(int kvm_fd, struct host_caps *caps, struct diag *d)
{
	unsigned bits = MIN(caps->pa_bits, IPA_BITS_DEFAULT);
	int vm_fd;

	do
		vm_fd = ioctl(kvm_fd, KVM_CREATE_VM,
			      KVM_VM_TYPE_ARM_IPA_SIZE(bits));
	while (vm_fd < 0 && errno == EINTR);
	if (vm_fd < 0)
		return diag_errno(d, errno, "KVM cannot create a VM");
	caps->gicv3 = can_create(vm_fd, KVM_DEV_TYPE_ARM_VGIC_V3);
	caps->gicv2 = can_create(vm_fd, KVM_DEV_TYPE_ARM_VGIC_V2);
	caps->its = caps->gicv3 && can_create(vm_fd, KVM_DEV_TYPE_ARM_VGIC_ITS);
	caps->clidr = probe_clidr(vm_fd);
	caches_read(caps->cache, "/sys/devices/system/cpu/cpu0/cache");
	close(vm_fd);
	return 0;
}

int kvm_arch_probe(int kvm_fd, struct host_caps *caps, struct diag *d)
{
	int ipa = kvm_check(kvm_fd, KVM_CAP_ARM_VM_IPA_SIZE);

	caps->pa_bits = ipa ? (unsigned)ipa : IPA_BITS_DEFAULT;
	caps->pmu = kvm_check(kvm_fd, KVM_CAP_ARM_PMU_V3) != 0;
	caps->sve = kvm_check(kvm_fd, KVM_CAP_ARM_SVE) != 0;
	caps->pauth = kvm_check(kvm_fd, KVM_CAP_ARM_PTRAUTH_ADDRESS) &&
		      kvm_check(kvm_fd, KVM_CAP_ARM_PTRAUTH_GENERIC);
	return probe_vm(kvm_fd, caps, d);
}

/* ---- VM and vCPUs ------------------------------------------------------- */

unsigned long kvm_arch_vm_type(const struct host_vm_config *cfg)
{
	unsigned bits = cfg->arm64.ipa_bits;

	return bits == IPA_BITS_DEFAULT ? 0 : KVM_VM_TYPE_ARM_IPA_SIZE(bits);
}

unsigned long kvm_arch_vcpu_id(const struct host_vm_config *cfg, unsigned index)
{
	(void)cfg;
	return index;
}

int kvm_arch_before_vcpus(struct kvm_vm *vm, struct diag *d)
{
	(void)d;
	/* Optional: without it such an access makes KVM_RUN fail. */
	if (kvm_check(vm->fd, KVM_CAP_ARM_NISV_TO_USER))
		kvm_enable(vm->fd, KVM_CAP_ARM_NISV_TO_USER, 0);
	return 0;
}

static void feature(struct kvm_vcpu_init *init, unsigned bit)
{
	init->features[bit / 32] |= 1U << (bit % 32);
}

static int init_vcpu(struct kvm_vcpu *v, const struct kvm_vcpu_init *target,
		     const struct host_arm64_config *cfg, struct diag *d)
{
	struct kvm_vcpu_init init = *target;
	int sve = KVM_ARM_VCPU_SVE;

	feature(&init, KVM_ARM_VCPU_PSCI_0_2);
	if (v->base.index)
		feature(&init, KVM_ARM_VCPU_POWER_OFF);
	if (cfg->pmu)
		feature(&init, KVM_ARM_VCPU_PMU_V3);
	if (cfg->sve)
		feature(&init, KVM_ARM_VCPU_SVE);
	if (cfg->pauth) {
		feature(&init, KVM_ARM_VCPU_PTRAUTH_ADDRESS);
		feature(&init, KVM_ARM_VCPU_PTRAUTH_GENERIC);
	}
	if (ioctl(v->fd, KVM_ARM_VCPU_INIT, &init) < 0)
		return diag_errno(d, errno, "KVM cannot initialise vCPU %u",
				  v->base.index);
	if (cfg->sve && ioctl(v->fd, KVM_ARM_VCPU_FINALIZE, &sve) < 0)
		return diag_errno(d, errno, "KVM refuses SVE for vCPU %u",
				  v->base.index);
	return 0;
}

static int init_vcpus(struct kvm_vm *vm, struct diag *d)
{
	struct kvm_vcpu_init target = { 0 };
	int err = 0;

	if (ioctl(vm->fd, KVM_ARM_PREFERRED_TARGET, &target) < 0)
		return diag_errno(d, errno, "KVM_ARM_PREFERRED_TARGET");
	for (unsigned i = 0; i < vm->cfg.vcpu_count && !err; i++)
		err = init_vcpu(&vm->vcpu[i], &target, &vm->cfg.arm64, d);
	return err;
}

/* ---- GIC ---------------------------------------------------------------- */

/* @value NULL: the attribute is an action */
static int set_attr(int fd, uint32_t group, uint64_t attr, const void *value,
		    const char *what, struct diag *d)
{
	struct kvm_device_attr a = {
		.group = group,
		.attr = attr,
		.addr = (uintptr_t)value,
	};

	if (ioctl(fd, KVM_SET_DEVICE_ATTR, &a) < 0)
		return diag_errno(d, errno, "KVM refuses %s", what);
	return 0;
}

static int set_addr(int fd, uint64_t type, uint64_t addr, const char *what,
		    struct diag *d)
{
	return set_attr(fd, KVM_DEV_ARM_VGIC_GRP_ADDR, type, &addr, what, d);
}

static int init_device(int fd, const char *what, struct diag *d)
{
	return set_attr(fd, KVM_DEV_ARM_VGIC_GRP_CTRL,
			KVM_DEV_ARM_VGIC_CTRL_INIT, NULL, what, d);
}

static int create_device(int *fd, struct kvm_vm *vm, uint32_t type,
			 const char *what, struct diag *d)
{
	struct kvm_create_device dev = { .type = type };

	if (ioctl(vm->fd, KVM_CREATE_DEVICE, &dev) < 0)
		return diag_errno(d, errno, "KVM cannot make %s", what);
	*fd = (int)dev.fd;
	return 0;
}

static int set_redistributors(int fd, const struct host_arm64_config *cfg,
			      struct diag *d)
{
	int err = 0;

	for (unsigned i = 0; i < 2 && !err; i++) {
		uint64_t region = (uint64_t)cfg->redist_count[i] << 52 |
				  cfg->redist_gpa[i] | i;

		if (!cfg->redist_count[i])
			break;
		err = set_addr(fd, KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION, region,
			       "the place of the redistributors", d);
	}
	return err;
}

static int place_gicv3(struct kvm_vm *vm, struct diag *d)
{
	const struct host_arm64_config *cfg = &vm->cfg.arm64;
	int err = create_device(&vm->gic_fd, vm, KVM_DEV_TYPE_ARM_VGIC_V3,
				"a GICv3", d);

	if (!err)
		err = set_addr(vm->gic_fd, KVM_VGIC_V3_ADDR_TYPE_DIST,
			       cfg->dist_gpa, "the place of the GICv3", d);
	return err ? err : set_redistributors(vm->gic_fd, cfg, d);
}

static int place_gicv2(struct kvm_vm *vm, struct diag *d)
{
	const struct host_arm64_config *cfg = &vm->cfg.arm64;
	int err = create_device(&vm->gic_fd, vm, KVM_DEV_TYPE_ARM_VGIC_V2,
				"a GICv2", d);

	if (!err)
		err = set_addr(vm->gic_fd, KVM_VGIC_V2_ADDR_TYPE_DIST,
			       cfg->dist_gpa, "the place of the GICv2", d);
	if (!err)
		err = set_addr(vm->gic_fd, KVM_VGIC_V2_ADDR_TYPE_CPU,
			       cfg->cpu_if_gpa,
			       "the place of the GICv2's CPU interface", d);
	return err;
}

static int make_gic(struct kvm_vm *vm, struct diag *d)
{
	uint32_t irqs = GIC_IRQS_SPI(vm->cfg.arm64.spi_count);
	int err = vm->cfg.arm64.gicv3 ? place_gicv3(vm, d) : place_gicv2(vm, d);

	if (!err)
		err = set_attr(vm->gic_fd, KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0,
			       &irqs, "the number of interrupts", d);
	return err ? err : init_device(vm->gic_fd, "to start the GIC", d);
}

static int make_its(struct kvm_vm *vm, struct diag *d)
{
	int err;

	if (!vm->cfg.arm64.its_gpa)
		return 0;
	err = create_device(&vm->its_fd, vm, KVM_DEV_TYPE_ARM_VGIC_ITS,
			    "an ITS", d);
	if (!err)
		err = set_addr(vm->its_fd, KVM_VGIC_ITS_ADDR_TYPE,
			       vm->cfg.arm64.its_gpa, "the place of the ITS",
			       d);
	return err ? err : init_device(vm->its_fd, "to start the ITS", d);
}

/* ---- PMU ---------------------------------------------------------------- */

static int init_pmus(struct kvm_vm *vm, struct diag *d)
{
	int intid = (int)vm->cfg.arm64.pmu_intid, err = 0;

	if (!vm->cfg.arm64.pmu)
		return 0;
	for (unsigned i = 0; i < vm->cfg.vcpu_count && !err; i++) {
		int fd = vm->vcpu[i].fd;

		err = set_attr(fd, KVM_ARM_VCPU_PMU_V3_CTRL,
			       KVM_ARM_VCPU_PMU_V3_IRQ, &intid,
			       "the PMU's interrupt", d);
		if (!err)
			err = set_attr(fd, KVM_ARM_VCPU_PMU_V3_CTRL,
				       KVM_ARM_VCPU_PMU_V3_INIT, NULL,
				       "to start the PMU (--cpus pmu=off "
				       "does without)",
				       d);
	}
	return err;
}

int kvm_arch_after_vcpus(struct kvm_vm *vm, struct diag *d)
{
	int err = init_vcpus(vm, d);

	if (!err)
		err = make_gic(vm, d);
	if (!err)
		err = make_its(vm, d);
	return err ? err : init_pmus(vm, d);
}

void kvm_arch_release(struct kvm_vm *vm)
{
	if (vm->its_fd >= 0)
		close(vm->its_fd);
	if (vm->gic_fd >= 0)
		close(vm->gic_fd);
}

/* ---- state -------------------------------------------------------------- */

static int get_core(struct kvm_vcpu *v, struct arm64_core *core)
{
	struct arm64_core c;
	int err = get_reg(v->fd, REG_PC, &c.pc);

	if (!err)
		err = get_reg(v->fd, REG_PSTATE, &c.pstate);
	if (!err)
		err = get_reg(v->fd, REG_SP_EL1, &c.sp_el1);
	for (unsigned i = 0; i < ARRAY_SIZE(c.x) && !err; i++)
		err = get_reg(v->fd, REG_X(i), &c.x[i]);
	if (!err)
		*core = c;
	return err;
}

static int put_core(struct kvm_vcpu *v, const struct arm64_core *c)
{
	int err = put_reg(v->fd, REG_PC, c->pc);

	if (!err)
		err = put_reg(v->fd, REG_PSTATE, c->pstate);
	if (!err)
		err = put_reg(v->fd, REG_SP_EL1, c->sp_el1);
	for (unsigned i = 0; i < ARRAY_SIZE(c->x) && !err; i++)
		err = put_reg(v->fd, REG_X(i), c->x[i]);
	return err;
}

int kvm_arch_state_get(struct host_vcpu *vcpu, enum host_state cls, void *buf,
		       size_t size_bytes, struct diag *d)
{
	struct kvm_vcpu *v = kvm_vcpu_of(vcpu);
	int err = -ENOTSUP;

	if (cls == HOST_ARM64_CORE && size_bytes == sizeof(struct arm64_core))
		err = get_core(v, buf);
	else if (cls == HOST_ARM64_MPIDR && size_bytes == sizeof(uint64_t))
		err = get_reg(v->fd, REG_MPIDR_EL1, buf);
	return err ? diag_errno(d, -err, "vCPU %u: cannot read its state",
				vcpu->index)
		   : 0;
}

int kvm_arch_state_put(struct host_vcpu *vcpu, enum host_state cls,
		       const void *buf, size_t size_bytes, struct diag *d)
{
	int err = -ENOTSUP;

	if (cls == HOST_ARM64_CORE && size_bytes == sizeof(struct arm64_core))
		err = put_core(kvm_vcpu_of(vcpu), buf);
	return err ? diag_errno(d, -err, "vCPU %u: KVM refuses its state",
				vcpu->index)
		   : 0;
}

void kvm_arch_describe(struct kvm_vcpu *vcpu, char *buf, size_t size_bytes)
{
	uint64_t pc = 0, pstate = 0, lr = 0, esr = 0, far = 0;

	get_reg(vcpu->fd, REG_PC, &pc);
	get_reg(vcpu->fd, REG_PSTATE, &pstate);
	get_reg(vcpu->fd, REG_X(30), &lr);
	get_reg(vcpu->fd, REG_ESR_EL1, &esr);
	get_reg(vcpu->fd, REG_FAR_EL1, &far);
	snprintf(buf, size_bytes,
		 "pc 0x%llx pstate 0x%llx lr 0x%llx esr_el1 0x%llx far_el1 "
		 "0x%llx",
		 (unsigned long long)pc, (unsigned long long)pstate,
		 (unsigned long long)lr, (unsigned long long)esr,
		 (unsigned long long)far);
}

/* ---- exits -------------------------------------------------------------- */

/* ISS of a data abort (DDI0487, ESR_EL2) */
#define ISS_WRITE    (1U << 6) /* WnR */
#define ISS_CACHE_OP (1U << 8) /* CM; WnR is set, too */
#define OPCODE_BYTES 4

/* As KVM does it where there is no memory at all. */
static bool skip(struct kvm_vcpu *v)
{
	uint64_t pc = 0;

	return !get_reg(v->fd, REG_PC, &pc) &&
	       !put_reg(v->fd, REG_PC, pc + OPCODE_BYTES);
}

/* An access that is not described; true: the guest can go on. */
static bool nisv(struct kvm_vcpu *v)
{
	const struct kvm_run *run = v->run;

	if (run->arm_nisv.esr_iss & ISS_CACHE_OP)
		return skip(v);
	return !(run->arm_nisv.esr_iss & ISS_WRITE) &&
	       bus_show(kvm_vm_of(v->base.vm)->cfg.mmio,
			run->arm_nisv.fault_ipa);
}

bool kvm_arch_exit(struct kvm_vcpu *vcpu, enum host_event *event)
{
	const struct kvm_run *run = vcpu->run;
	char *why = vcpu->base.why;
	size_t size = sizeof(vcpu->base.why);
	int used;

	if (run->exit_reason == KVM_EXIT_ARM_NISV) {
		if (nisv(vcpu))
			return false;
		used = snprintf(why, size,
				"vCPU %u: the guest used an instruction on the "
				"device at 0x%llx that KVM cannot describe "
				"(a pair, writeback or vector access); ",
				vcpu->base.index,
				(unsigned long long)run->arm_nisv.fault_ipa);
	} else {
		used = snprintf(why, size, "vCPU %u: unexpected KVM exit %u; ",
				vcpu->base.index, run->exit_reason);
	}
	kvm_arch_describe(vcpu, why + used, size - (size_t)used);
	*event = HOST_FATAL;
	return true;
}

/* ---- interrupts --------------------------------------------------------- */

int kvm_arch_cpuid(struct host_vm *vm, struct x86_cpuid *out, struct diag *d)
{
	(void)vm;
	(void)out;
	return diag_fail(d, ENOTSUP, "arm64 has no CPUID");
}

int kvm_arch_irq_pin(struct host_vm *vm, uint32_t pin, bool level)
{
	struct kvm_irq_level line = {
		.irq = KVM_ARM_IRQ_TYPE_SPI << KVM_ARM_IRQ_TYPE_SHIFT |
		       (pin + SPI_INTID_FIRST),
		.level = level,
	};

	return ioctl(kvm_vm_of(vm)->fd, KVM_IRQ_LINE, &line) < 0 ? -errno : 0;
}

void kvm_arch_route(struct kvm_irq_routing_entry *e,
		    const struct msi_message *msg)
{
	e->flags = KVM_MSI_VALID_DEVID;
	e->u.msi.devid = msg->devid;
}

void kvm_arch_msi(struct kvm_msi *m, const struct msi_message *msg)
{
	m->flags = KVM_MSI_VALID_DEVID;
	m->devid = msg->devid;
}
