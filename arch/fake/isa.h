/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: the made-up instruction set "fake", and its machine's memory map
 *
 * Small enough to be interpreted in a page of C, complete enough to drive
 * devices, take interrupts, start vCPUs and power off. arch/fake builds the
 * machine around it, vmm/host/fake runs it, arch/fake/asm.h assembles it.
 *
 * Registers: r0 to r15 of 64 bits, all equal; a pc; control registers below.
 * All memory is little-endian. An instruction is 8 bytes, 8-aligned:
 *
 *	bits  0-7   operation (enum fake_op)
 *	bits  8-11  rd       bits 12-15  ra       bits 16-19  rb
 *	bits 20-23  width: log2 of the bytes that a load, store or port access
 *	            moves (0 to 3); 0 elsewhere
 *	bits 24-31  0
 *	bits 32-63  imm, signed
 *
 * Anything else, and a fetch from outside RAM, is fatal to the vCPU.
 *
 * Memory: an access of 1, 2, 4 or 8 bytes at any alignment. If all of it is
 * in one RAM region it is RAM; if it is a 4-byte store into the MSI window
 * it sends an interrupt; otherwise it is MMIO. Aligned RAM loads are acquire,
 * stores are release, so flags in RAM work between vCPUs.
 *
 * Interrupts: numbers 0 to 255, pending ones are taken lowest first before
 * an instruction if FAKE_STATUS_IE is set. Entry: epc = pc, cause = number,
 * IE moves to PIE and is cleared, pc = vector + 8 * number: the vector table
 * has one instruction (a jump) per number. Nothing else is saved: handlers
 * keep to registers of their own. FAKE_OP_IRET undoes it.
 *
 * Wires: pin p is interrupt FAKE_IRQ_PIN + p on vCPU 0. A rising wire makes
 * it pending; taking it clears that; IRET from it looks at the wire and makes
 * it pending again if it is still high. So both edges and levels work.
 * Messages: a store of n at FAKE_MSI_GPA + FAKE_MSI_STRIDE * v makes n
 * pending on vCPU v.
 *
 * Time: the count register counts the vCPU's own instructions. When it
 * reaches compare (if that is not 0), FAKE_IRQ_TIMER becomes pending and
 * compare becomes 0. Waiting with compare set jumps ahead in time, so timers
 * are deterministic and tests never sleep.
 */
#ifndef ARCH_FAKE_ISA_H
#define ARCH_FAKE_ISA_H

#include "vmm/base/types.h"

#define FAKE_INSN_BYTES 8

/** enum fake_op - operations; 0 stays illegal so that zeroed RAM faults */
enum fake_op {
	FAKE_OP_ILLEGAL,
	FAKE_OP_LI,    /* rd = imm */
	FAKE_OP_LIH,   /* rd bits 63-32 = imm */
	FAKE_OP_ADD,   /* rd = ra + rb */
	FAKE_OP_SUB,   /* rd = ra - rb */
	FAKE_OP_AND,   /* rd = ra & rb */
	FAKE_OP_ADDI,  /* rd = ra + imm */
	FAKE_OP_ANDI,  /* rd = ra & imm */
	FAKE_OP_LOAD,  /* rd = width bytes at [ra + imm], zero-extended */
	FAKE_OP_STORE, /* width bytes at [ra + imm] = rd */
	FAKE_OP_IN,    /* rd = port ra + imm; all ones without ports */
	FAKE_OP_OUT,   /* port ra + imm = rd */
	FAKE_OP_JMP,   /* pc = pc + imm */
	FAKE_OP_BZ,    /* … if ra == 0 */
	FAKE_OP_BNZ,   /* … if ra != 0 */
	FAKE_OP_BLT,   /* … if ra < rb, unsigned */
	FAKE_OP_CALL,  /* rd = pc + 8, pc = pc + imm */
	FAKE_OP_JR,    /* pc = ra */
	FAKE_OP_CRR,   /* rd = control register imm */
	FAKE_OP_CRW,   /* control register imm = ra */
	FAKE_OP_WFI,   /* wait until an interrupt is pending, IE or not */
	FAKE_OP_INT,   /* enter interrupt imm (0 to 255) now, IE or not */
	FAKE_OP_IRET,  /* pc = epc, IE = PIE */
	FAKE_OP_HVC,   /* ask the hypervisor: enum fake_hvc in imm */
	FAKE_OP_BRK,   /* breakpoint: HOST_DEBUG, pc behind it */
	FAKE_OP_HALT,  /* this vCPU is done: HOST_HALTED */
	FAKE_OPS
};

/** enum fake_cr - control registers */
enum fake_cr {
	FAKE_CR_VECTOR,
	FAKE_CR_EPC,
	FAKE_CR_CAUSE,
	FAKE_CR_STATUS,
	FAKE_CR_COUNT,
	FAKE_CR_COMPARE,
	FAKE_CR_INDEX, /* read-only: the vCPU's own number */
};

#define FAKE_STATUS_IE	1 /* interrupts enabled */
#define FAKE_STATUS_PIE 2 /* … before the last interrupt entry */

/** enum fake_hvc - hypercalls; r0 receives the result */
enum fake_hvc {
	FAKE_HVC_POWEROFF, /* HOST_POWEROFF */
	FAKE_HVC_RESET,	   /* HOST_RESET */
	FAKE_HVC_CPU_ON,   /* start vCPU r1 at pc r2 with r1 = r3 */
};

/** Results of FAKE_HVC_CPU_ON in r0 */
#define FAKE_CPU_ON_OK	    0ULL
#define FAKE_CPU_ON_INVALID (~0ULL) /* no such vCPU */
#define FAKE_CPU_ON_ALREADY (~1ULL) /* it has been started before */

/** enum fake_power - what a vCPU does; struct fake_core.power */
enum fake_power {
	FAKE_POWER_OFF, /* waits for FAKE_HVC_CPU_ON */
	FAKE_POWER_ON,
	FAKE_POWER_WAITING, /* for any pending interrupt */
	FAKE_POWER_HALTED,
};

#define FAKE_IRQS      256
#define FAKE_IRQ_TIMER 8
#define FAKE_IRQ_PIN   32 /* wire 0 */
#define FAKE_PINS      64
#define FAKE_PA_BITS   40
#define FAKE_VCPUS_MAX 16

/*
 * Memory map. Nothing at 0, RAM in two pieces at places with no round
 * number, one of them above 4 GiB, so that code which takes addresses for
 * granted breaks here first.
 *
 *	0x1235_0000  RAM, the first MiB of it
 *	0x2001_0000  serial port        0x2002_0000  pvpanic
 *	0x2003_0000  power key          0x2004_0000  watchdog
 *	0x2100_0000  virtio-mmio devices
 *	0x2f00_0000  MSI window, one doorbell per vCPU
 *	0x3000_0000  PCI configuration (ECAM), one bus
 *	0x4000_0000  PCI memory below 4 GiB
 *	0x7_6543_0000  the rest of RAM
 *	0x20_0000_0000 PCI memory above 4 GiB
 */
#define FAKE_RAM_LOW_GPA    0x12350000ULL
#define FAKE_RAM_LOW_BYTES  MIB(1)
#define FAKE_SERIAL_GPA	    0x20010000ULL
#define FAKE_PVPANIC_GPA    0x20020000ULL
#define FAKE_POWER_KEY_GPA  0x20030000ULL
#define FAKE_WATCHDOG_GPA   0x20040000ULL
#define FAKE_VIRTIO_GPA	    0x21000000ULL
#define FAKE_VIRTIO_STRIDE  0x1000ULL
#define FAKE_VIRTIO_SLOTS   16
#define FAKE_MSI_GPA	    0x2f000000ULL
#define FAKE_MSI_STRIDE	    0x10ULL
#define FAKE_ECAM_GPA	    0x30000000ULL
#define FAKE_PCI32_GPA	    0x40000000ULL
#define FAKE_PCI32_BYTES    MIB(256)
#define FAKE_RAM_HIGH_GPA   0x765430000ULL
#define FAKE_RAM_HIGH_BYTES GIB(64)
#define FAKE_PCI64_GPA	    0x2000000000ULL
#define FAKE_PCI64_BYTES    GIB(4)

/* Wires */
#define FAKE_PIN_SERIAL	   3
#define FAKE_PIN_POWER_KEY 5
#define FAKE_PIN_VMGENID   6
#define FAKE_PIN_VMCLOCK   7
#define FAKE_PIN_INTX	   8 /* INTA to INTD */
#define FAKE_PIN_VIRTIO	   16

/* Routes below this are not for devices: an odd number, on purpose. */
#define FAKE_GSI_FIRST 21

#endif
