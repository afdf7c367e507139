/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: the KVM back end on x86_64
 *
 * Split irqchip (api.rst 7.5): local APICs in the kernel, the IOAPIC is ours
 * and sends MSIs; no PIC, no PIT. 32-bit x2APIC ids (7.8). The vCPU id that
 * KVM gets is the initial APIC id.
 *
 * PVM: some cloud machines offer /dev/kvm without VMX or SVM, by a module that
 * emulates every guest instruction. Small payloads run there, Linux does not.
 */
#include <assert.h>
#include <cpuid.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm/host/kvm/kvm.h"

#define CPUID_1_ECX_VMX		 (1U << 5) /* Intel SDM vol. 2A, CPUID */
#define CPUID_80000001_ECX_SVM	 (1U << 2) /* AMD APM vol. 3, E.4.2 */
#define CPUID_80000008_PHYS_BITS 0xffU

const struct kvm_need kvm_arch_needs[] = {
	{ KVM_CAP_SPLIT_IRQCHIP, "KVM_CAP_SPLIT_IRQCHIP" },
	{ KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID" },
	{ KVM_CAP_SET_TSS_ADDR, "KVM_CAP_SET_TSS_ADDR" },
	{ KVM_CAP_X2APIC_API, "KVM_CAP_X2APIC_API" },
	{ 0, NULL },
};

/* The processor can run guests by itself. */
static bool has_virtualisation(void)
{
	uint32_t a, b, c, d;

	if (__get_cpuid(1, &a, &b, &c, &d) && c & CPUID_1_ECX_VMX)
		return true;
	return __get_cpuid(0x80000001, &a, &b, &c, &d) &&
	       c & CPUID_80000001_ECX_SVM;
}

int kvm_arch_probe(int kvm_fd, struct host_caps *caps, struct diag *d)
{
	uint32_t a = 36, b, c, dx;

	(void)d;
	__get_cpuid(0x80000008, &a, &b, &c, &dx);
	caps->pa_bits = a & CPUID_80000008_PHYS_BITS;
	caps->pio_doorbell = true;
	caps->ext_dest_id = kvm_check(kvm_fd, KVM_CAP_X2APIC_API) != 0;
	caps->software = !has_virtualisation();
	return 0;
}

unsigned long kvm_arch_vm_type(const struct host_vm_config *cfg)
{
	(void)cfg;
	return 0;
}

unsigned long kvm_arch_vcpu_id(const struct host_vm_config *cfg, unsigned index)
{
	return cfg->x86.apic_ids[index];
}

int kvm_arch_before_vcpus(struct kvm_vm *vm, struct diag *d)
{
	uint64_t identity = vm->cfg.x86.tss_gpa - 0x1000;
	int err;

	if (ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity) < 0 ||
	    ioctl(vm->fd, KVM_SET_TSS_ADDR, vm->cfg.x86.tss_gpa) < 0)
		return diag_errno(d, errno, "KVM_SET_TSS_ADDR");
	err = kvm_enable(vm->fd, KVM_CAP_SPLIT_IRQCHIP,
			 vm->cfg.x86.ioapic_pins);
	if (err)
		return diag_errno(d, -err, "KVM_CAP_SPLIT_IRQCHIP");
	err = kvm_enable(vm->fd, KVM_CAP_X2APIC_API,
			 KVM_X2APIC_API_USE_32BIT_IDS |
				 KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK);
	return err ? diag_errno(d, -err, "KVM_CAP_X2APIC_API") : 0;
}

int kvm_arch_after_vcpus(struct kvm_vm *vm, struct diag *d)
{
	int khz = ioctl(vm->vcpu[0].fd, KVM_GET_TSC_KHZ, 0);

	(void)d;
	vm->base.caps.tsc_khz = khz > 0 ? (uint32_t)khz : 0;
	return 0;
}

void kvm_arch_release(struct kvm_vm *vm)
{
	free(vm->cpuid);
}

bool kvm_arch_exit(struct kvm_vcpu *vcpu, enum host_event *event)
{
	if (vcpu->run->exit_reason == KVM_EXIT_IOAPIC_EOI) {
		vcpu->base.eoi_vector = vcpu->run->eoi.vector;
		*event = HOST_EOI;
		return true;
	}
	snprintf(vcpu->base.why, sizeof(vcpu->base.why),
		 "vCPU %u: unexpected KVM exit %u", vcpu->base.index,
		 vcpu->run->exit_reason);
	*event = HOST_FATAL;
	return true;
}

void kvm_arch_describe(struct kvm_vcpu *vcpu, char *buf, size_t size_bytes)
{
	struct kvm_regs r = { 0 };
	struct kvm_sregs s = { 0 };

	ioctl(vcpu->fd, KVM_GET_REGS, &r);
	ioctl(vcpu->fd, KVM_GET_SREGS, &s);
	snprintf(buf, size_bytes,
		 "rip 0x%llx rsp 0x%llx cs 0x%x cr0 0x%llx cr3 0x%llx cr4 "
		 "0x%llx efer 0x%llx",
		 r.rip, r.rsp, s.cs.selector, s.cr0, s.cr3, s.cr4, s.efer);
}

/* ---- CPUID -------------------------------------------------------------- */

static void cpuid_to_kvm(struct kvm_cpuid2 *to, const struct x86_cpuid *from)
{
	to->nent = from->count;
	for (uint32_t i = 0; i < from->count; i++) {
		const struct x86_cpuid_entry *e = &from->entry[i];

		to->entries[i] = (struct kvm_cpuid_entry2){
			.function = e->leaf,
			.index = e->subleaf,
			.flags = e->has_subleaf
					 ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX
					 : 0,
			.eax = e->eax,
			.ebx = e->ebx,
			.ecx = e->ecx,
			.edx = e->edx,
		};
	}
}

static void cpuid_from_kvm(struct x86_cpuid *to, const struct kvm_cpuid2 *from)
{
	to->count = from->nent;
	for (uint32_t i = 0; i < from->nent; i++) {
		const struct kvm_cpuid_entry2 *e = &from->entries[i];

		to->entry[i] = (struct x86_cpuid_entry){
			.leaf = e->function,
			.subleaf = e->index,
			.has_subleaf =
				!!(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX),
			.eax = e->eax,
			.ebx = e->ebx,
			.ecx = e->ecx,
			.edx = e->edx,
		};
	}
}

static struct kvm_cpuid2 *cpuid_buffer(void)
{
	return calloc(1,
		      sizeof(struct kvm_cpuid2) +
			      X86_CPUID_MAX * sizeof(struct kvm_cpuid_entry2));
}

/* Ask KVM; *@out is malloc'ed. */
static int ask_cpuid(int kvm_fd, struct x86_cpuid **out, struct diag *d)
{
	struct kvm_cpuid2 *c = cpuid_buffer();
	struct x86_cpuid *found = calloc(1, sizeof(*found));
	int err = 0;

	if (!c || !found) {
		err = diag_fail(d, ENOMEM, "out of memory");
	} else {
		c->nent = X86_CPUID_MAX;
		if (ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, c) < 0)
			err = diag_errno(d, errno, "KVM_GET_SUPPORTED_CPUID");
	}
	if (!err) {
		cpuid_from_kvm(found, c);
		*out = found;
	} else {
		free(found);
	}
	free(c);
	return err;
}

int kvm_arch_cpuid(struct host_vm *vm, struct x86_cpuid *out, struct diag *d)
{
	struct kvm_vm *kvm = kvm_vm_of(vm);
	int err = kvm->cpuid ? 0 : ask_cpuid(kvm->kvm_fd, &kvm->cpuid, d);

	if (!err)
		*out = *kvm->cpuid;
	return err;
}

static int put_cpuid(struct kvm_vcpu *v, const void *buf)
{
	const struct x86_cpuid *cpuid = buf;
	struct kvm_cpuid2 *c = cpuid_buffer();
	int err;

	if (!c)
		return -ENOMEM;
	cpuid_to_kvm(c, cpuid);
	err = ioctl(v->fd, KVM_SET_CPUID2, c) < 0 ? -errno : 0;
	free(c);
	return err;
}

static int get_cpuid(struct kvm_vcpu *v, void *buf)
{
	struct kvm_cpuid2 *c = cpuid_buffer();
	int err;

	if (!c)
		return -ENOMEM;
	c->nent = X86_CPUID_MAX;
	err = ioctl(v->fd, KVM_GET_CPUID2, c) < 0 ? -errno : 0;
	if (!err)
		cpuid_from_kvm(buf, c);
	free(c);
	return err;
}

/* ---- registers ---------------------------------------------------------- */

/* X(name): the general registers have the same names on both sides. */
/* clang-format off */
#define GPRS(X)                                                        \
	X(rax) X(rbx) X(rcx) X(rdx) X(rsi) X(rdi) X(rsp) X(rbp)        \
	X(r8) X(r9) X(r10) X(r11) X(r12) X(r13) X(r14) X(r15)          \
	X(rip) X(rflags)
/* clang-format on */

static int put_gpr(struct kvm_vcpu *v, const void *buf)
{
	const struct x86_gpr *g = buf;
	struct kvm_regs r = { 0 };

#define X(name) r.name = g->name;
	GPRS(X)
#undef X
	return ioctl(v->fd, KVM_SET_REGS, &r) < 0 ? -errno : 0;
}

static int get_gpr(struct kvm_vcpu *v, void *buf)
{
	struct x86_gpr *g = buf;
	struct kvm_regs r;

	if (ioctl(v->fd, KVM_GET_REGS, &r) < 0)
		return -errno;
#define X(name) g->name = r.name;
	GPRS(X)
#undef X
	return 0;
}

static struct kvm_segment segment_to_kvm(const struct x86_segment *s)
{
	return (struct kvm_segment){
		.base = s->base,
		.limit = s->limit,
		.selector = s->selector,
		.type = s->type,
		.present = s->present,
		.dpl = s->dpl,
		.db = s->db,
		.s = s->s,
		.l = s->l,
		.g = s->g,
		.avl = s->avl,
		.unusable = s->unusable,
	};
}

static struct x86_segment segment_from_kvm(const struct kvm_segment *s)
{
	return (struct x86_segment){
		.base = s->base,
		.limit = s->limit,
		.selector = s->selector,
		.type = s->type,
		.present = s->present,
		.dpl = s->dpl,
		.db = s->db,
		.s = s->s,
		.l = s->l,
		.g = s->g,
		.avl = s->avl,
		.unusable = s->unusable,
	};
}

/* X(name): fields with the same name on both sides, by kind. */
#define SEGMENTS(X) X(cs) X(ds) X(es) X(fs) X(gs) X(ss) X(tr) X(ldt)
#define CONTROLS(X) X(cr0) X(cr2) X(cr3) X(cr4) X(cr8) X(efer) X(apic_base)

static int put_sregs(struct kvm_vcpu *v, const void *buf)
{
	const struct x86_sregs *n = buf;
	struct kvm_sregs s;

	/* Keeps what is not ours: the pending interrupt. */
	if (ioctl(v->fd, KVM_GET_SREGS, &s) < 0)
		return -errno;
#define X(name) s.name = segment_to_kvm(&n->name);
	SEGMENTS(X)
#undef X
#define X(name) s.name = n->name;
	CONTROLS(X)
#undef X
	s.gdt = (struct kvm_dtable){ .base = n->gdt.base,
				     .limit = n->gdt.limit };
	s.idt = (struct kvm_dtable){ .base = n->idt.base,
				     .limit = n->idt.limit };
	return ioctl(v->fd, KVM_SET_SREGS, &s) < 0 ? -errno : 0;
}

static int get_sregs(struct kvm_vcpu *v, void *buf)
{
	struct x86_sregs *n = buf;
	struct kvm_sregs s;

	if (ioctl(v->fd, KVM_GET_SREGS, &s) < 0)
		return -errno;
#define X(name) n->name = segment_from_kvm(&s.name);
	SEGMENTS(X)
#undef X
#define X(name) n->name = s.name;
	CONTROLS(X)
#undef X
	n->gdt = (struct x86_table){ .base = s.gdt.base, .limit = s.gdt.limit };
	n->idt = (struct x86_table){ .base = s.idt.base, .limit = s.idt.limit };
	return 0;
}

/* struct kvm_msrs (4.18) with room for its entries */
struct msr_buffer {
	uint32_t nmsrs, pad;
	struct kvm_msr_entry entry[X86_MSRS_MAX];
};

static_assert(offsetof(struct msr_buffer, entry) == sizeof(struct kvm_msrs),
	      "api.rst 4.18: entries follow the count");

static void msrs_to_kvm(struct msr_buffer *to, const struct x86_msrs *from)
{
	memset(to, 0, sizeof(*to));
	to->nmsrs = from->count;
	for (uint32_t i = 0; i < from->count; i++) {
		to->entry[i].index = from->msr[i].index;
		to->entry[i].data = from->msr[i].value;
	}
}

static int put_msrs(struct kvm_vcpu *v, const void *buf)
{
	struct msr_buffer m;
	int done;

	msrs_to_kvm(&m, buf);
	done = ioctl(v->fd, KVM_SET_MSRS, &m);
	if (done < 0)
		return -errno;
	return (uint32_t)done == m.nmsrs ? 0 : -EINVAL;
}

static int get_msrs(struct kvm_vcpu *v, void *buf)
{
	struct x86_msrs *out = buf;
	struct msr_buffer m;
	int done;

	msrs_to_kvm(&m, out);
	done = ioctl(v->fd, KVM_GET_MSRS, &m);
	if (done < 0)
		return -errno;
	for (int i = 0; i < done; i++)
		out->msr[i].value = m.entry[i].data;
	return (uint32_t)done == m.nmsrs ? 0 : -EINVAL;
}

static const struct state_class {
	const char *name;
	size_t size_bytes;
	int (*get)(struct kvm_vcpu *v, void *buf);
	int (*put)(struct kvm_vcpu *v, const void *buf);
} classes[] = {
	[HOST_X86_CPUID] = { "CPUID", sizeof(struct x86_cpuid), get_cpuid,
			     put_cpuid },
	[HOST_X86_GPR] = { "general registers", sizeof(struct x86_gpr), get_gpr,
			   put_gpr },
	[HOST_X86_SREGS] = { "segment and control registers",
			     sizeof(struct x86_sregs), get_sregs, put_sregs },
	[HOST_X86_MSRS] = { "MSRs", sizeof(struct x86_msrs), get_msrs,
			    put_msrs },
};

static const struct state_class *class_of(enum host_state cls, size_t size)
{
	if (cls >= ARRAY_SIZE(classes) || classes[cls].size_bytes != size)
		return NULL;
	return &classes[cls];
}

int kvm_arch_state_get(struct host_vcpu *vcpu, enum host_state cls, void *buf,
		       size_t size_bytes, struct diag *d)
{
	const struct state_class *c = class_of(cls, size_bytes);
	int err = c ? c->get(kvm_vcpu_of(vcpu), buf) : -ENOTSUP;

	return err ? diag_errno(d, -err, "vCPU %u: cannot read %s", vcpu->index,
				c ? c->name : "that state")
		   : 0;
}

int kvm_arch_state_put(struct host_vcpu *vcpu, enum host_state cls,
		       const void *buf, size_t size_bytes, struct diag *d)
{
	const struct state_class *c = class_of(cls, size_bytes);
	int err = c ? c->put(kvm_vcpu_of(vcpu), buf) : -ENOTSUP;

	return err ? diag_errno(d, -err, "vCPU %u: KVM refuses %s", vcpu->index,
				c ? c->name : "that state")
		   : 0;
}

/* ---- interrupts --------------------------------------------------------- */

int kvm_arch_irq_pin(struct host_vm *vm, uint32_t pin, bool level)
{
	(void)vm;
	(void)pin;
	(void)level;
	return -ENOTSUP;
}

/*
 * Bits 14:8 of a destination id are bits 11:5 of the address that a guest
 * writes (KVM_FEATURE_MSI_EXT_DEST_ID, x86/cpuid.rst), and bits 46:40 of the
 * one that KVM takes (KVM_CAP_X2APIC_API, api.rst 7.8). Bit 4 set would be the
 * remappable format, which there is not.
 */
static uint64_t msi_address(uint64_t addr)
{
	uint64_t ext = addr & 0xfe0;

	if (addr & 0x10 || addr >> 32)
		return addr;
	return (addr & ~ext) | ext << 35;
}

void kvm_arch_route(struct kvm_irq_routing_entry *e,
		    const struct msi_message *msg)
{
	uint64_t addr = msi_address(msg->addr);

	e->u.msi.address_lo = (uint32_t)addr;
	e->u.msi.address_hi = (uint32_t)(addr >> 32);
}

void kvm_arch_msi(struct kvm_msi *m, const struct msi_message *msg)
{
	uint64_t addr = msi_address(msg->addr);

	m->address_lo = (uint32_t)addr;
	m->address_hi = (uint32_t)(addr >> 32);
}
