/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arm64 Image header (Documentation/arch/arm64/booting.rst) and entry: EL1,
 * MMU off, x0 = FDT. Secondary vCPUs arrive at ap_start by PSCI CPU_ON.
 */
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
	bl guest_main

	.globl ap_start
ap_start:
	adrp x1, ap_stack_top
	add x1, x1, :lo12:ap_stack_top
	mov sp, x1
	bl secondary
2:	wfi
	b 2b

	.bss
	.balign 16
	.skip 16384
stack_top:
	.skip 4096
ap_stack_top:
	.section .note.GNU-stack, "", %progbits
