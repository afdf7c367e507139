/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arm64 Image header (Documentation/arch/arm64/booting.rst) and entry: EL1,
 * MMU off, x0 = FDT. Secondary vCPUs arrive at ap_start by PSCI CPU_ON.
 *
 * RAM must be cacheable, or on real processors the guest would not see what
 * the VMM writes through its own cacheable mapping. So everything is mapped to
 * itself in blocks of 1 GiB: the second one is RAM, the others are devices;
 * map_high() changes the last one.
 * The table is part of the image, which KVM makes coherent when it maps it.
 */
#define DEVICE	0x0401		/* AF, attribute 0, block */
#define NORMAL	0x0705		/* AF, inner shareable, attribute 1, block */
#define MAIR	0xff00		/* 0: Device-nGnRnE, 1: Normal write-back */
/* 4 KiB granule, 39 bits, 40 bits out, cacheable walks, no TTBR1 */
#define TCR	(25 | 1 << 8 | 1 << 10 | 3 << 12 | 1 << 23 | 2 << 32)
#define SCTLR	0x30d01805	/* RES1, M, C, I */

	.section .text.start, "ax"
	.globl _start
_start:
	b 1f
	.long 0
	.quad 0			/* text_offset */
	.quad image_size
	.quad 0xa		/* 4 KiB pages, anywhere */
	.quad 0, 0, 0
	.ascii "ARM\x64"
	.long 0
1:	adrp x1, stack_top
	add x1, x1, :lo12:stack_top
	mov sp, x1
	bl mmu_on
	bl guest_main

	.globl ap_start
ap_start:
	adrp x1, ap_stack_top
	add x1, x1, :lo12:ap_stack_top
	mov sp, x1
	bl mmu_on
	bl secondary
2:	wfi
	b 2b

mmu_on:
	adrp x2, vectors
	msr vbar_el1, x2
	adrp x2, page_table
	msr ttbr0_el1, x2
	ldr x2, =MAIR
	msr mair_el1, x2
	ldr x2, =TCR
	msr tcr_el1, x2
	ldr x2, =SCTLR
	isb
	tlbi vmalle1
	dsb nsh
	isb
	msr sctlr_el1, x2
	isb
	ret
	.ltorg

	/* All exceptions are faults: say so and stop. */
	.balign 4096
vectors:
	.rept 16
	.balign 128
	b exception
	.endr

	.data
	.balign 4096
	.globl page_table
page_table:
	.quad DEVICE, 1 << 30 | NORMAL
	.set gib, 2
	.rept 510
	.quad gib << 30 | DEVICE
	.set gib, gib + 1
	.endr

	.bss
	.balign 16
	.skip 16384
stack_top:
	.skip 4096
ap_stack_top:
	.section .note.GNU-stack, "", %progbits
