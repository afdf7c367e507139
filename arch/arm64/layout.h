/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: arm64: the guest's memory map and processors
 *
 * The low part is that of QEMU's `virt` machine, because the firmware that
 * distributions ship (AAVMF, U-Boot's qemu_arm64) has it built in: its early
 * page tables cover the devices between 128 and 256 MiB and RAM from exactly
 * 1 GiB up, and nothing else.
 *
 *	0x0000_0000  64 MiB of ROM with the firmware, where there is one
 *	0x0400_0000  64 MiB of flash for variables (--firmware-vars), or of ROM
 *		     that reads as zero: U-Boot looks for its environment
 *		     there, byte by byte
 *	0x0800_0000  GICD, 64 KiB
 *	0x0801_0000  GICC, 64 KiB (GICv2 only)
 *	0x0808_0000  ITS, 128 KiB (GICv3 with PCI only)
 *	0x080A_0000  GICR, 128 KiB for each of the first 123 vCPUs
 *	0x0900_0000  PL011 UART, SPI 1
 *	0x0901_0000  PL031 clock, SPI 2
 *	0x0902_0000  fw_cfg, where there is one
 *	0x0903_0000  PL061 GPIO with the power key, SPI 7
 *	0x090C_0000  pvpanic (QEMU's virt has nothing there)
 *	0x090E_0000  TPM, 5 localities of 4 KiB, with ACPI only
 *	0x0A00_0000  32 virtio-mmio devices of 512 bytes, SPI 16 to 47
 *	0x1000_0000  PCI 32-bit memory window, up to
 *	0x3EFF_0000  PCI ports, 64 KiB
 *	0x3F00_0000  PCI ECAM of 16 buses, only where the high one cannot be
 *	0x4000_0000  RAM, in one range
 *	high = max(256 GiB, end of RAM rounded up to 1 GiB):
 *	high         GICR of vCPU 123 and up, 64 MiB
 *	high+256 MiB PCI ECAM of 256 buses (QEMU: 0x40_1000_0000)
 *	above        PCI 64-bit memory window, 512 GiB (QEMU: 0x80_0000_0000)
 *
 * Of several PCI segments, segment 0 has the first half of those buses, and the
 * others a bus each in the second half; they share the memory windows, in their
 * order.
 *
 * All of it must lie below the intermediate physical address size (IPA) that
 * the hypervisor offers. Where that is small (36 bits on some machines), high
 * moves down to the end of RAM, the 64-bit window shrinks by powers of two
 * and then goes away, and ECAM falls back to its 16 low buses. The guest gets
 * the fewest address bits that hold everything: each level of stage-2 tables
 * that is not there makes every TLB miss cheaper.
 *
 * Interrupts: wires are SPIs counted from 0 (INTID - 32). SPI 8 says that the
 * generation ID changed, SPI 9 the VMClock; their pages are where vmm/pmem.h
 * says.
 */
#ifndef ARCH_ARM64_LAYOUT_H
#define ARCH_ARM64_LAYOUT_H

#include "arch/arch.h"

#define ARM64_ROM_BASE	       UINT64_C(0)
#define ARM64_ROM_SIZE	       MIB(128)
#define ARM64_FIRMWARE_MAX     MIB(64)
#define ARM64_FLASH_BASE       UINT64_C(0x04000000)
#define ARM64_GICD_BASE	       UINT64_C(0x08000000)
#define ARM64_GICD_SIZE	       KIB(64)
#define ARM64_GICC_BASE	       UINT64_C(0x08010000)
#define ARM64_GICC_SIZE	       KIB(64)
#define ARM64_ITS_BASE	       UINT64_C(0x08080000)
#define ARM64_ITS_SIZE	       KIB(128)
#define ARM64_GICR_BASE	       UINT64_C(0x080A0000)
#define ARM64_GICR_STRIDE      KIB(128) /* one vCPU */
#define ARM64_GICR_LOW_MAX     123	/* vCPUs in the low region */
#define ARM64_GICR_HIGH_MAX    512	/* vCPUs in the high region */
#define ARM64_PL011_BASE       UINT64_C(0x09000000)
#define ARM64_PL031_BASE       UINT64_C(0x09010000)
#define ARM64_FW_CFG_BASE      UINT64_C(0x09020000)
#define ARM64_PL061_BASE       UINT64_C(0x09030000)
#define ARM64_PVPANIC_BASE     UINT64_C(0x090C0000)
#define ARM64_WATCHDOG_BASE    UINT64_C(0x090D0000)
#define ARM64_TPM_BASE	       UINT64_C(0x090E0000)
#define ARM64_TPM_SIZE	       KIB(20)
#define ARM64_VIRTIO_BASE      UINT64_C(0x0A000000)
#define ARM64_VIRTIO_STRIDE    UINT64_C(0x200)
#define ARM64_VIRTIO_COUNT     32
#define ARM64_PCI_MEM32_BASE   UINT64_C(0x10000000)
#define ARM64_PCI_PIO_BASE     UINT64_C(0x3EFF0000)
#define ARM64_PCI_PIO_SIZE     KIB(64)
#define ARM64_ECAM_LOW_BASE    UINT64_C(0x3F000000)
#define ARM64_ECAM_LOW_BUSES   16
#define ARM64_RAM_BASE	       UINT64_C(0x40000000)
#define ARM64_HIGH_BASE	       GIB(256)
#define ARM64_HIGH_ECAM_OFFSET MIB(256)
#define ARM64_ECAM_BUSES       256
#define ARM64_MEM64_SIZE       GIB(512)

/** enum arm64_spi - wires: SPIs counted from 0 */
enum arm64_spi {
	ARM64_SPI_PL011 = 1,
	ARM64_SPI_PL031 = 2,
	ARM64_SPI_INTX = 3, /* INTA..INTD: 3 to 6 */
	ARM64_SPI_PL061 = 7,
	ARM64_SPI_VMGENID = 8,
	ARM64_SPI_VMCLOCK = 9,
	ARM64_SPI_GED = 10,    /* power button, with ACPI */
	ARM64_SPI_VIRTIO = 16, /* 16 to 47 */
	ARM64_SPI_COUNT = 64,  /* what the GIC is asked for; multiple of 32 */
};

#define ARM64_PMU_INTID	      23 /* PPI 7 */
#define ARM64_GICV2_VCPUS_MAX 8
#define ARM64_IPA_BITS_MIN    32 /* the smallest that KVM makes */

/**
 * arm64_mpidr - affinity bits that KVM gives to vCPU @index
 *
 * KVM derives them from the vCPU's number so that a GICv3 SGI (16 targets of
 * one Aff1) reaches it: Aff0 = bits 3:0, Aff1 = bits 11:4, Aff2 = the rest.
 * Their position does not depend on the topology that the tables describe.
 *
 * Return: MPIDR_EL1 without bit 31.
 */
uint64_t arm64_mpidr(unsigned index);

/**
 * arm64_layout - see struct arch.layout
 * @caps: vcpus_max 0 means no limit; neither gicv3 nor gicv2 is an error
 */
int arm64_layout(struct platform *p, const struct vm_config *cfg,
		 const struct host_caps *caps, struct diag *d);

/** arm64_devices - see struct arch.devices; pure */
unsigned arm64_devices(const struct platform *p, const struct vm_config *cfg,
		       struct arch_device *out);

#endif
