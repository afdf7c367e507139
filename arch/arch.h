/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: the arch contract: what an instruction set architecture provides
 *
 * One const table per architecture. All of them compile on every host: they
 * are pure functions over the platform description, files and guest RAM, and
 * reach the hypervisor only through vmm/host/host.h and its neutral state
 * structs. The one that matches the host runs guests (arch_native()); the
 * others can build and print tables (`spandrel tables --arch`).
 *
 * Order of calls for a machine:
 *	recognise      which machine the firmware is made for
 *	layout         where RAM, windows and fixed devices go
 *	irqchip_new    interrupt controller outside the hypervisor, wires
 *	devices        which fixed devices to realise; they describe themselves
 *	host_config    facts that the hypervisor wants before commit()
 *	               (RAM mapped, VM committed, see vmm/machine-run.c)
 *	irqchip_reset  (and all devices)
 *	load           firmware or kernel, initramfs, command line, tables
 *	               into RAM
 *	vcpu_reset     each vCPU: CPU model and start state
 * A reset of the machine repeats from host_config with the same platform.
 * `spandrel tables` stops after devices and calls tables.
 *
 * Threads: all functions on the main thread while no vCPU runs, except eoi.
 */
#ifndef ARCH_ARCH_H
#define ARCH_ARCH_H

#include "vmm/base/diag.h"
#include "vmm/base/types.h"
#include "vmm/bus.h"
#include "vmm/config.h"
#include "vmm/host/host.h"
#include "vmm/irq.h"
#include "vmm/memory.h"
#include "vmm/platform.h"

struct fw_cfg;

/**
 * struct arch_device - a device with a fixed place on this architecture
 * @cls: name in devices/registry.c
 * @bus, @base: where its registers are
 * @pin: its wire; ARCH_NO_PIN if none
 */
struct arch_device {
	const char *cls;
	enum plat_bus bus;
	uint64_t base;
	uint32_t pin;
};

#define ARCH_NO_PIN UINT32_MAX

/**
 * struct arch_payload - the files to boot, opened and held by the machine
 * @firmware_fd: regular file, read only if there is a @firmware_name
 * @kernel_fd: regular file; -1: none, which needs firmware; with firmware it
 *	only goes into @fw_cfg, and so do initramfs and command line
 * @initramfs_fd: regular file or -1
 * @firmware_name: for messages; NULL: the kernel is booted without firmware
 * @kernel_name, @initramfs_name: for messages
 * @cmdline: command line, never NULL
 * @fw_cfg, @fw_cfg_config: what load() fills, and with what; NULL: the machine
 *	has no fw_cfg
 * @given: its items from the command line; NULL: none
 * @rom: memory of platform.rom, which load() may write and the guest not;
 *	empty where there is none, NULL in tests
 */
struct arch_payload {
	int firmware_fd, kernel_fd, initramfs_fd;
	const char *firmware_name, *kernel_name, *initramfs_name;
	const char *cmdline;
	struct fw_cfg *fw_cfg;
	const struct fw_cfg_config *fw_cfg_config;
	struct fw_cfg_given *given;
	struct guest_ram *rom;
};

/**
 * struct arch_boot - what load() decided, input of vcpu_reset()
 * @entry: first instruction of vCPU 0
 * @arg: GPA of the handoff structure (FDT, boot_params, hvm_start_info)
 * @protocol: architecture's own number of the boot protocol
 */
struct arch_boot {
	gpa_t entry;
	gpa_t arg;
	unsigned protocol;
};

/**
 * struct arch_table - one firmware table as the guest will find it
 * @name: file name for `spandrel tables`: "dsdt.aml", "virt.dtb"
 * @gpa: where it goes; 0: not placed
 * @data: malloc'ed, @size_bytes long
 */
struct arch_table {
	char name[16];
	gpa_t gpa;
	uint8_t *data;
	size_t size_bytes;
};

#define ARCH_TABLES_MAX 24

/** struct arch_pointer - 8 bytes at @offset of table @table hold the address of
 * another table */
struct arch_pointer {
	unsigned table;
	uint32_t offset;
};

/** struct arch_tables - all firmware tables of a machine; release with
 * arch_tables_release(). @pointer: every address of a table that is in one, in
 * case they must be moved */
struct arch_tables {
	struct arch_table table[ARCH_TABLES_MAX];
	unsigned count;
	struct arch_pointer pointer[ARCH_TABLES_MAX];
	unsigned pointer_count;
};

/**
 * arch_tables_add - one more, called @name
 * @gpa: 0: not placed
 * @data: malloc'ed; NULL is a failure of malloc(). Owned by @t, and freed where
 *	this fails
 *
 * Return: 0, -ENOMEM, -E2BIG.
 */
int arch_tables_add(struct arch_tables *t, const char *name, gpa_t gpa,
		    uint8_t *data, size_t size_bytes, struct diag *d);

/** arch_tables_release - free all data; accepts a zeroed struct */
void arch_tables_release(struct arch_tables *t);

/** struct arch_irqchip - opaque: the part of the interrupt controller that
 * is not in the hypervisor */
struct arch_irqchip;

/** struct arch - one architecture; see the DOC block. int functions return 0
 * or -errno with @d */
struct arch {
	/** @name: "x86_64", "arm64", "fake" */
	const char *name;

	/**
	 * @recognise: what machine the firmware of @load is made for; fills
	 * those fields of @p that layout() must know, and may replace
	 * @load->kernel_fd by what that firmware can start; NULL: nothing to
	 * do. Only where there is firmware
	 *
	 * Return: 0, -EINVAL, -E2BIG, -EIO; firmware that nobody knows is
	 * load()'s affair.
	 */
	int (*recognise)(struct platform *p, struct arch_payload *load,
			 struct diag *d);

	/**
	 * @layout: check the configuration against the architecture's limits
	 * and fill @p: RAM ranges, CPUs and their ids, windows, interrupt
	 * controller, places of fixed devices
	 *
	 * Return: 0, -EINVAL or -E2BIG; @d names option, value and limit.
	 */
	int (*layout)(struct platform *p, const struct vm_config *cfg,
		      const struct host_caps *caps, struct diag *d);

	/** @devices: fixed devices for @p and @cfg; @out has room for 16;
	 * count */
	unsigned (*devices)(const struct platform *p,
			    const struct vm_config *cfg,
			    struct arch_device *out);

	/** @host_config: fill the architecture's part of @out (the arrays it
	 * points to stay valid as long as @p) */
	int (*host_config)(const struct platform *p, struct host_vm_config *out,
			   struct diag *d);

	/**
	 * @irqchip_new: create the user-space part and say how wires are driven
	 * @out: receives it; freed by irqchip_free()
	 * @chip: sink and gsi_first are filled in here; its vm is NULL
	 *	whenever there is no VM, as now: wires then go nowhere
	 * @mmio: where it may put registers
	 */
	int (*irqchip_new)(struct arch_irqchip **out, struct irqchip *chip,
			   const struct platform *p, struct bus *mmio,
			   struct diag *d);

	/** @irqchip_reset: power-on state; irqchip->vm may be a new VM */
	void (*irqchip_reset)(struct arch_irqchip *ic);

	/** @irqchip_free: accepts NULL */
	void (*irqchip_free)(struct arch_irqchip *ic);

	/** @eoi: the guest ended interrupt @vector; vCPU thread; may be NULL */
	void (*eoi)(struct arch_irqchip *ic, uint8_t vector);

	/**
	 * @tables: everything that describes the machine to a guest
	 * @cmdline: NULL: without command line, and without random seeds
	 * @initrd, @initrd_bytes: where load() put it, 0 if nowhere
	 */
	int (*tables)(struct arch_tables *out, const struct platform *p,
		      const char *cmdline, gpa_t initrd, uint64_t initrd_bytes,
		      struct diag *d);

	/**
	 * @load: recognise the firmware or the kernel by content, put it,
	 * initramfs, command line and tables into RAM
	 *
	 * Return: 0 and @boot, or -ENOEXEC (not firmware or not a kernel for
	 * this architecture), -EINVAL (malformed), -E2BIG (does not fit), -EIO,
	 * -ENOTSUP (no firmware on this architecture).
	 */
	int (*load)(struct arch_boot *boot, struct guest_ram *ram,
		    const struct platform *p, const struct arch_payload *load,
		    struct diag *d);

	/** @vcpu_reset: CPU model and start state of vCPU @index; once after
	 * each commit() */
	int (*vcpu_reset)(struct host_vcpu *vcpu, const struct platform *p,
			  const struct arch_boot *boot, struct diag *d);
};

/* Each in a folder of that name; arch_fake only with CONFIG_HOST_FAKE. */
extern const struct arch arch_x86_64;
extern const struct arch arch_arm64;
extern const struct arch arch_fake;

/** arch_native - the architecture that this program was built for */
const struct arch *arch_native(void);

/** arch_find - by name; NULL if there is none */
const struct arch *arch_find(const char *name);

#endif
