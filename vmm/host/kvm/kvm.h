/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: inside the KVM back end: what kvm.c and the ISA files share
 *
 * kvm.c holds what every KVM has in common. kvm-x86_64.c and kvm-arm64.c, of
 * which one is built, define the kvm_arch_ functions below. KVM API numbers
 * are sections of Documentation/virt/kvm/api.rst.
 */
#ifndef VMM_HOST_KVM_KVM_H
#define VMM_HOST_KVM_KVM_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "vmm/host/host.h"
#include "vmm/memory.h"

/** struct kvm_slot - one memslot; its number is its place in kvm_vm.slot */
struct kvm_slot {
	bool used;
	gpa_t gpa;
	void *host;
	uint64_t size_bytes;
	uint32_t flags; /* KVM_MEM_ */
};

/**
 * struct kvm_vcpu - one vCPU
 * @fd: the vCPU's descriptor
 * @run: the page shared with KVM
 * @tid: thread inside vcpu_run(), 0 if none; for vcpu_kick()
 */
struct kvm_vcpu {
	struct host_vcpu base;
	int fd;
	struct kvm_run *run;
	_Atomic pid_t tid;
};

/**
 * struct kvm_vm - one VM
 * @slot_lock: guards @slot and @logging; nothing else is taken under it
 * @logging: writes to RAM are logged, those to new RAM too
 * @route: MSI routes by number; flags KVM_ROUTE_FREE means unused
 * @route_end: one above the highest route ever used
 * @gic_fd, @its_fd: arm64 devices; -1 if none
 * @cpuid: x86: what KVM supports, once it was asked; the same for all vCPUs
 */
struct kvm_vm {
	struct host_vm base;
	struct host_vm_config cfg;
	int kvm_fd, fd;
	size_t run_bytes;
	pthread_mutex_t slot_lock;
	struct kvm_slot slot[RAM_REGIONS_MAX];
	bool logging;
	struct kvm_irq_routing_entry *route;
	uint32_t route_end, route_capacity;
	struct kvm_vcpu *vcpu;
	int gic_fd, its_fd;
	struct x86_cpuid *cpuid;
};

/* ---- offered by kvm.c ---- */

/** kvm_check - KVM_CHECK_EXTENSION on @fd (4.4); negative errors are 0 */
int kvm_check(int fd, long capability);

/** kvm_enable - KVM_ENABLE_CAP on a VM or vCPU (4.37); 0 or -errno */
int kvm_enable(int fd, uint32_t capability, uint64_t arg0);

/** kvm_vcpu_of, kvm_vm_of - from the neutral struct to ours */
static inline struct kvm_vcpu *kvm_vcpu_of(struct host_vcpu *v)
{
	return container_of(v, struct kvm_vcpu, base);
}

static inline struct kvm_vm *kvm_vm_of(struct host_vm *vm)
{
	return container_of(vm, struct kvm_vm, base);
}

/* ---- defined by each ISA ---- */

/** struct kvm_need - a capability (KVM_CAP_) and its name, for messages */
struct kvm_need {
	long capability;
	const char *name;
};

/** kvm_arch_needs - capabilities without which nothing works; ends with a
 * NULL name */
extern const struct kvm_need kvm_arch_needs[];

/** kvm_arch_probe - @kvm_fd: fill @caps beyond the vCPU counts; 0 or -errno
 * with a sentence */
int kvm_arch_probe(int kvm_fd, struct host_caps *caps, struct diag *d);

/** kvm_arch_vm_type - argument of KVM_CREATE_VM (4.2) */
unsigned long kvm_arch_vm_type(const struct host_vm_config *cfg);

/** kvm_arch_vcpu_id - argument of KVM_CREATE_VCPU (4.7) for vCPU @index */
unsigned long kvm_arch_vcpu_id(const struct host_vm_config *cfg,
			       unsigned index);

/** kvm_arch_before_vcpus - VM capabilities, split irqchip; RAM is mapped */
int kvm_arch_before_vcpus(struct kvm_vm *vm, struct diag *d);

/** kvm_arch_after_vcpus - initialise vCPUs, vGIC, PMU */
int kvm_arch_after_vcpus(struct kvm_vm *vm, struct diag *d);

/** kvm_arch_release - close what the two above opened */
void kvm_arch_release(struct kvm_vm *vm);

/** kvm_arch_exit - an exit that kvm.c does not know
 * Return: true and @event if vcpu_run() must return, false to go on */
bool kvm_arch_exit(struct kvm_vcpu *vcpu, enum host_event *event);

/** kvm_arch_describe - registers in one line, for host_vcpu.why */
void kvm_arch_describe(struct kvm_vcpu *vcpu, char *buf, size_t size_bytes);

/** kvm_arch_state_get, kvm_arch_state_put - see struct host_ops */
int kvm_arch_state_get(struct host_vcpu *vcpu, enum host_state cls, void *buf,
		       size_t size_bytes, struct diag *d);
int kvm_arch_state_put(struct host_vcpu *vcpu, enum host_state cls,
		       const void *buf, size_t size_bytes, struct diag *d);

/** kvm_arch_cpuid, kvm_arch_irq_pin - the ops of struct host_ops */
int kvm_arch_cpuid(struct host_vm *vm, struct x86_cpuid *out, struct diag *d);
int kvm_arch_irq_pin(struct host_vm *vm, uint32_t pin, bool level);

/** kvm_arch_route - ISA's part of an MSI route (device id on arm64) */
void kvm_arch_route(struct kvm_irq_routing_entry *e,
		    const struct msi_message *msg);

/** kvm_arch_msi - ISA's part of KVM_SIGNAL_MSI */
void kvm_arch_msi(struct kvm_msi *m, const struct msi_message *msg);

#endif
