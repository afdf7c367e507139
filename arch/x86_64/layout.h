/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: x86_64: the guest's memory map, ports, wires and processors
 *
 * The map is that of Cloud Hypervisor, because the firmware that distributions
 * build for it (CLOUDHV.fd) has the PCI windows and the ports built in. It
 * believes that its 32-bit window reaches up to 0xF800_0000 and fills it from
 * below, so the part that ECAM really occupies is reached only by a guest
 * with more than 640 MiB of 32-bit BARs.
 *
 *	0x0000_0000    RAM: start data of load.c (boot.h)
 *	0x000A_0000    for the guest not RAM: ACPI and SMBIOS tables (backed)
 *	0x0010_0000    RAM: kernel, ..., initramfs at the top; ends below
 *	0xC000_0000    PCI 32-bit memory window, 640 MiB
 *	0xE800_0000    PCI ECAM, one bus of 1 MiB
 *	0xFEB0_0000    virtio-mmio, 10 devices of 4 KiB
 *	0xFEC0_0000    IOAPIC
 *	0xFED4_0000    TPM, 5 localities of 4 KiB
 *	0xFEE0_0000    local APIC, MSI doorbell
 *	0xFEFF_C000    4 pages that VMX wants for real mode: KVM's identity
 *		       map, and the TSS from 0xFEFF_D000 on
 *	0xFF00_0000    firmware made for a PC, up to the end
 *	0x1_0000_0000  RAM, as much as did not fit below
 *	end of RAM     persistent memory and pages of devices, 64-bit PCI memory
 *		       window up to the last address. CLOUDHV fills that window
 *		       from the end of RAM, whatever tables say: for it the
 *		       window comes first, and ends 4 TiB later at the latest,
 *		       as Linux reaches 10 TiB behind RAM
 *		       (RANDOMIZE_MEMORY_PHYSICAL_PADDING)
 *
 *	port 0x064     keyboard controller: reset only
 *	port 0x070     CMOS clock                wire 8
 *	port 0x3f8     16550                     wire 4
 *	port 0x505     pvpanic
 *	port 0x510     fw_cfg, where there is one (QEMU's port)
 *	port 0x600     reset, sleep; PM timer at 0x608
 *	port 0xcf8     PCI configuration
 *	port 0x1000    PCI port window
 *		       generic event device      wire 5
 *		       generation ID             wire 6
 *		       VMClock                   wire 7
 *		       virtio-mmio               wires 10 to 19
 *		       PCI INTA..INTD            wires 20 to 23
 *
 * Firmware made for a PC (OVMF, platform.q35) finds out about RAM by fw_cfg and
 * has other numbers built in. It puts ECAM where it wants it, 0xB000_0000 in
 * Debian 12, 0xE000_0000 later, and the 32-bit window behind or in front of it
 * (edk2, PlatformInitLib/MemDetect.c). Here RAM ends below both, as on QEMU's
 * q35, and the window spans all of it. ACPI tables do not mention ECAM, so
 * Linux uses the ports:
 *
 *	0x8000_0000    PCI 32-bit memory window, 1984 MiB
 *
 * Further PCI segments have a bus each of ECAM behind that of segment 0, and
 * all share the memory windows, in their order. OVMF puts 64-bit BARs of
 * segment 0 into the last eighth of the address space, or (Debian 12) behind
 * what fw_cfg calls reserved: there segment 0 comes last, with that eighth at
 * least. Of more than 46 address bits OVMF maps 46, or with 5-level paging more
 * (edk2, PlatformAddressWidthFromCpuid()): segment 0 has the last eighth of 46
 * and all that follows. Below 4 GiB it fills its window from below, so the end
 * of it is for the others. And as ECAM is in the tables then, which Linux wants
 * for all segments or none, that of segment 0 is here, too:
 *
 *	0xF000_0000    PCI ECAM of up to 96 segments, a bus each
 *	0xF600_0000    PCI 32-bit memory windows of all but segment 0, 96 MiB
 *
 * A wire is an IOAPIC pin, and the ACPI GSI of the same number.
 *
 * One PCI bus, as there are no bridges: Linux looks for a device in each slot
 * of each bus that MCFG names, which for 256 buses takes 16384 exits.
 *
 * APIC ids: thread, core, die and package each take a field as wide as the
 * next power of two, so ids have gaps where a count is not one. x86_apic_id()
 * is the only place that makes them; MADT, SRAT and CPUID use its result
 * (struct plat_cpu.hw_id) and x86_apic_widths().
 */
#ifndef ARCH_X86_64_LAYOUT_H
#define ARCH_X86_64_LAYOUT_H

#include "arch/arch.h"

#define X86_HOLE_BASE	    UINT64_C(0x000A0000) /* no RAM for the guest */
#define X86_HOLE_END	    UINT64_C(0x00100000)
#define X86_RSDP_GPA	    UINT64_C(0x000E0000)
#define X86_BIOS_RESET_GPA  UINT64_C(0x000FFFF0) /* F000:FFF0 */
#define X86_LOW_RAM_END	    UINT64_C(0xC0000000)
#define X86_PCI_MEM32_BASE  UINT64_C(0xC0000000)
#define X86_PCI_MEM32_SIZE  MIB(640)
#define X86_ECAM_BASE	    UINT64_C(0xE8000000)
#define X86_ECAM_BUSES	    1
#define X86_Q35_LOW_RAM_END UINT64_C(0x80000000)
#define X86_Q35_PCI_SIZE    MIB(1984)
#define X86_Q35_ECAM	    UINT64_C(0xF0000000)
#define X86_Q35_MORE_MEM32  UINT64_C(0xF6000000)
#define X86_Q35_MORE_END    UINT64_C(0xFC000000)
#define X86_OVMF_BITS	    46u /* addresses that all of its versions map */
#define X86_VIRTIO_BASE	    UINT64_C(0xFEB00000)
#define X86_VIRTIO_STRIDE   KIB(4)
#define X86_VIRTIO_COUNT    10
#define X86_WATCHDOG_BASE   UINT64_C(0xFEB10000)
#define X86_IOAPIC_BASE	    UINT64_C(0xFEC00000)
#define X86_IOAPIC_SIZE	    KIB(4)
#define X86_TPM_BASE	    UINT64_C(0xFED40000)
#define X86_TPM_SIZE	    KIB(20)
#define X86_LAPIC_BASE	    UINT64_C(0xFEE00000)
#define X86_TSS_BASE	    UINT64_C(0xFEFFD000)
#define X86_HIGH_RAM_BASE   GIB(4)
#define X86_SERIAL_PORT	    0x3f8
#define X86_RTC_PORT	    0x70
#define X86_PVPANIC_PORT    0x505
#define X86_FW_CFG_PORT	    0x510
#define X86_PM_PORT	    0x600
#define X86_PM_PORTS	    128 /* ICH9 datasheet sec. 13.8.3 */
#define X86_BARS_MAX	    TIB(4)
#define X86_PCI_PORT_BASE   0x1000
#define X86_PCI_PORT_SIZE   0xf000
#define X86_IOAPIC_PINS	    24
#define X86_PA_BITS_MIN	    36	  /* of every x86_64 processor */
#define X86_PA_BITS_DEFAULT 46	  /* where no hypervisor has a say */
#define X86_APIC_ID_MAX	    32767 /* 15-bit MSI destinations */
#define X86_XAPIC_ID_MAX    254	  /* 8-bit ones; 255 is broadcast */

#define X86_THREADS_MAX 256 /* 8 bits of CPUID 0x8000001E EBX */
#define X86_DIES_MAX	8   /* 3 bits of its ECX */

/** enum x86_wire - IOAPIC pins */
enum x86_wire {
	X86_WIRE_SERIAL = 4,
	X86_WIRE_GED = 5,
	X86_WIRE_VMGENID = 6,
	X86_WIRE_VMCLOCK = 7,
	X86_WIRE_RTC = 8,
	X86_WIRE_VIRTIO = 10, /* 10 to 19 */
	X86_WIRE_INTX = 20,   /* 20 to 23 */
};

/** struct x86_apic_widths - bits of each field of an APIC id */
struct x86_apic_widths {
	unsigned thread, core, die;
};

/** x86_apic_widths - field widths for a topology whose counts are not 0 */
struct x86_apic_widths x86_apic_widths(const struct topology *t);

/**
 * x86_apic_id - APIC id of the CPU at a place in the topology
 * @cpu: thread, core, die and package are read
 *
 * Return: the id; may exceed 32 bits for topologies that layout() rejects.
 */
uint64_t x86_apic_id(const struct topology *t, const struct plat_cpu *cpu);

/** x86_apic_id_max - the largest id of @p's CPUs */
uint32_t x86_apic_id_max(const struct platform *p);

/**
 * x86_layout - see struct arch.layout
 * @caps: pa_bits 0 means that no hypervisor has a say (X86_PA_BITS_DEFAULT,
 *	all APIC ids); vcpus_max 0 means no limit
 *
 * Return: 0; -EINVAL (malformed), -E2BIG (beyond a limit), -ENOMEM.
 */
int x86_layout(struct platform *p, const struct vm_config *cfg,
	       const struct host_caps *caps, struct diag *d);

/** x86_devices - see struct arch.devices; pure */
unsigned x86_devices(const struct platform *p, const struct vm_config *cfg,
		     struct arch_device *out);

/** x86_host_config - see struct arch.host_config; @p is from x86_layout():
 * the array of APIC ids lies behind its CPUs */
int x86_host_config(const struct platform *p, struct host_vm_config *out,
		    struct diag *d);

#endif
