/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: the host contract: what a hypervisor back end offers
 *
 * One const table of operations per hypervisor (KVM, MSHV, fake). The rest of
 * Spandrel sees hypervisors through this header only. The rules:
 *
 * - All configuration is collected in struct host_vm_config and by
 *   ram_map(); then one commit() makes the VM in the order that the
 *   hypervisor wants. After commit() vCPUs exist.
 * - Port I/O and MMIO never leave vcpu_run(): the back end calls the two buses
 *   itself. vcpu_run() returns only with an enum host_event.
 * - Devices interrupt by MSI routes + irqfd; wires go to the arch's user-space
 *   IOAPIC (which sends MSIs) or to the GIC through irq_pin().
 * - Doorbells are ioeventfds on MMIO; on ports only where caps.pio_doorbell.
 * - RAM is keyed by GPA and mapped and unmapped as whole regions, also while
 *   vCPUs run. It hides devices at the same place, but for writes to read-only
 *   RAM, which go to the buses.
 *
 * Threads: vm functions from any thread unless stated; each vCPU's run, state
 * get and put from the thread that owns the vCPU (or any one thread while it
 * does not run). vcpu_kick() from any thread and from signal handlers.
 *
 * Errors: 0 or -errno with the reason in the diag.
 */
#ifndef VMM_HOST_HOST_H
#define VMM_HOST_HOST_H

#include "vmm/base/diag.h"
#include "vmm/base/types.h"
#include "vmm/bus.h"
#include "vmm/caches.h"
#include "vmm/host/state.h"
#include "vmm/irq.h"

/**
 * struct host_caps - what this hypervisor on this machine can do
 * @pa_bits: guest-physical address bits (x86: the host's; arm64: IPA limit)
 * @vcpus_recommended, @vcpus_max: soft and hard limit
 * @pio_doorbell: doorbells on ports work
 * @ext_dest_id: x86: 15-bit MSI destination ids (more than 255 vCPUs)
 * @gicv3, @gicv2, @its: arm64: what the host's GIC can virtualise
 * @pmu, @sve, @pauth: arm64: features that can be given to vCPUs
 * @software: guest instructions are emulated one by one (PVM): good for small
 *	payloads, not for Linux
 * @clidr: arm64: CLIDR_EL1, the levels of cache that vCPUs show; 0: unknown
 * @cache: arm64: how large they are; there may be more than @clidr says
 * @tsc_khz: x86: frequency of the vCPUs' TSC, 0 if unknown; known once a VM
 *	is committed (host_vm.caps)
 * @page_size_bytes: granularity of ram_map()
 */
struct host_caps {
	unsigned pa_bits;
	unsigned vcpus_recommended, vcpus_max;
	bool pio_doorbell, ext_dest_id;
	bool gicv3, gicv2, its;
	bool pmu, sve, pauth;
	bool software;
	uint64_t clidr;
	struct cache_level cache[CACHE_LEVELS];
	uint32_t tsc_khz;
	uint64_t page_size_bytes;
};

/** enum host_event - why vcpu_run() returned */
enum host_event {
	HOST_INTERRUPTED, /* kicked */
	HOST_EOI,	  /* x86: see host_vcpu.eoi_vector */
	HOST_RESET,	  /* the guest asked the hypervisor for a reset */
	HOST_POWEROFF,	  /* … to power off */
	HOST_HALTED,	  /* halted with no way to wake up */
	HOST_DEBUG,	  /* breakpoint */
	HOST_FATAL,	  /* the vCPU cannot go on: host_vcpu.why says why */
};

/** struct host_x86_config - facts needed before vCPUs exist */
struct host_x86_config {
	uint32_t ioapic_pins; /* routes reserved for the user-space IOAPIC */
	uint64_t tss_gpa;     /* 3 unused pages below 4 GiB for VMX real mode */
	const uint32_t *apic_ids; /* one per vCPU */
};

/** struct host_arm64_config - facts needed before vCPUs exist */
struct host_arm64_config {
	unsigned ipa_bits;
	bool gicv3; /* else GICv2 */
	uint64_t dist_gpa, cpu_if_gpa;
	uint64_t redist_gpa[2];
	uint32_t redist_count[2]; /* vCPUs per region, 0: unused */
	uint64_t its_gpa;	  /* 0: none */
	uint32_t spi_count;	  /* multiple of 32 */
	bool pmu, sve, pauth;
	uint32_t pmu_intid;
};

/**
 * struct host_vm_config - all that must be known before commit()
 * @vcpu_count: vCPUs to create; vCPU 0 boots, the others wait for the guest
 * @mmio, @pio: address spaces, called from vcpu_run(); @pio may be NULL
 * @caps: what probe() found, so that vm_new() need not probe again; NULL lets
 *	it do so
 * @x86, @arm64: the one of the built architecture; copied by vm_new()
 */
struct host_vm_config {
	unsigned vcpu_count;
	struct bus *mmio, *pio;
	const struct host_caps *caps;
	struct host_x86_config x86;
	struct host_arm64_config arm64;
};

struct host_ops;

/** struct host_vm - first member of each back end's VM */
struct host_vm {
	const struct host_ops *ops;
	struct host_caps caps;
};

/**
 * struct host_vcpu - first member of each back end's vCPU
 * @index: 0 .. vcpu_count - 1
 * @eoi_vector: valid after HOST_EOI
 * @why: valid after HOST_FATAL: one sentence with registers
 */
struct host_vcpu {
	struct host_vm *vm;
	unsigned index;
	uint8_t eoi_vector;
	char why[256];
};

/** enum ram_flags - for ram_map() */
enum ram_flags { RAM_READ_ONLY = 1 };

/** struct host_ops - see the DOC block for the rules */
struct host_ops {
	/** @name: "kvm", "mshv", "fake" */
	const char *name;

	/**
	 * @probe: can this machine be used? Fills @caps. Errors, each one
	 * sentence with the remedy: -ENOENT (no device node), -EACCES (no
	 * permission), -ENOSYS (too old: names the capability), -ENOTSUP
	 * (there, but cannot run guests).
	 */
	int (*probe)(struct host_caps *caps, struct diag *d);

	/** @vm_new: a VM that has no RAM and no vCPUs yet */
	int (*vm_new)(struct host_vm **out, const struct host_vm_config *cfg,
		      struct diag *d);

	/** @vm_free: end everything; no vCPU may run; accepts NULL */
	void (*vm_free)(struct host_vm *vm);

	/** @ram_map: show [@host, @host + @size) at @gpa; page-aligned */
	int (*ram_map)(struct host_vm *vm, gpa_t gpa, void *host,
		       uint64_t size_bytes, unsigned flags, struct diag *d);

	/** @ram_unmap: hide the region that starts at @gpa; afterwards no vCPU
	 * sees it */
	int (*ram_unmap)(struct host_vm *vm, gpa_t gpa, struct diag *d);

	/** @commit: create interrupt controller and vCPUs; once */
	int (*commit)(struct host_vm *vm, struct diag *d);

	/** @vcpu: vCPU @index after commit() */
	struct host_vcpu *(*vcpu)(struct host_vm *vm, unsigned index);

	/** @vcpu_run: run until an event; EINTR and signals are
	 * HOST_INTERRUPTED */
	enum host_event (*vcpu_run)(struct host_vcpu *vcpu);

	/** @vcpu_kick: make a running or next vcpu_run() return
	 * HOST_INTERRUPTED; never lost; async-signal-safe */
	void (*vcpu_kick)(struct host_vcpu *vcpu);

	/** @state_get, @state_put: one class; @size_bytes is that of its
	 * struct; -ENOTSUP for a class of another architecture */
	int (*state_get)(struct host_vcpu *vcpu, enum host_state cls, void *buf,
			 size_t size_bytes, struct diag *d);
	int (*state_put)(struct host_vcpu *vcpu, enum host_state cls,
			 const void *buf, size_t size_bytes, struct diag *d);

	/** @cpuid: x86: what can be shown to guests (KVM_GET_SUPPORTED_CPUID);
	 * NULL elsewhere */
	int (*cpuid)(struct host_vm *vm, struct x86_cpuid *out, struct diag *d);

	/** @msi_route_set, @msi_route_clear: change the table in memory;
	 * @msi_route_apply: hand the whole table to the hypervisor.
	 * Callers serialise (struct irqchip's lock). */
	int (*msi_route_set)(struct host_vm *vm, uint32_t gsi,
			     const struct msi_message *msg);
	void (*msi_route_clear)(struct host_vm *vm, uint32_t gsi);
	int (*msi_route_apply)(struct host_vm *vm);

	/** @irqfd_add, @irqfd_del: eventfd @fd fires route @gsi (edge) */
	int (*irqfd_add)(struct host_vm *vm, uint32_t gsi, int fd);
	int (*irqfd_del)(struct host_vm *vm, uint32_t gsi, int fd);

	/** @msi_send: fire a message now, without a route */
	int (*msi_send)(struct host_vm *vm, const struct msi_message *msg);

	/** @irq_pin: arm64: SPI @pin (INTID 32 + @pin) to @level; -ENOTSUP
	 * on x86, whose pins live in the user-space IOAPIC */
	int (*irq_pin)(struct host_vm *vm, uint32_t pin, bool level);

	/** @doorbell_add, @doorbell_del: guest writes of @size_bytes (0: any)
	 * at @addr signal @fd; with @match only those of *@match */
	int (*doorbell_add)(struct host_vm *vm, bool pio, uint64_t addr,
			    unsigned size_bytes, const uint64_t *match, int fd);
	int (*doorbell_del)(struct host_vm *vm, bool pio, uint64_t addr,
			    unsigned size_bytes, const uint64_t *match, int fd);

	/** @dirty_start: log writes to RAM; @dirty_take: one bit per page of
	 * the region at @gpa, cleared by taking; @dirty_stop. Whole regions */
	int (*dirty_start)(struct host_vm *vm, struct diag *d);
	int (*dirty_take)(struct host_vm *vm, gpa_t gpa, uint64_t *bitmap,
			  size_t words, struct diag *d);
	int (*dirty_stop)(struct host_vm *vm, struct diag *d);
};

/* host_fake only with CONFIG_HOST_FAKE. */
extern const struct host_ops host_kvm;
extern const struct host_ops host_fake;

/**
 * host_select - the back end for --hypervisor
 * @name: "auto" or NULL, "kvm", "fake"
 * @caps: receives what it can do
 *
 * Return: the table, or NULL and @d says what is missing and how to get it.
 */
const struct host_ops *host_select(const char *name, struct host_caps *caps,
				   struct diag *d);

#endif
