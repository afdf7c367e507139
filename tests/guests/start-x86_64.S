/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PVH entry (xen/include/public/arch-x86/hvm/start_info.h): 32-bit protected
 * mode, flat segments, no paging, interrupts off. Secondary vCPUs arrive in
 * real mode at 0x8000, where cpu_start() has copied ap_start.
 */
	.section .note.pvh, "a", @note
	.long 4, 4, 18		/* name, descriptor, XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz "Xen"
	.long _start

	.section .text.start, "ax"
	.code32
	.globl _start
_start:
	mov $stack_top, %esp
	call guest_main

	.globl ap_start, ap_end
	.code16
ap_start:
	cli
	lgdtl %cs:(ap_gdt_pointer - ap_start)
	mov $1, %eax
	mov %eax, %cr0
	ljmpl $8, $ap_protected
ap_gdt_pointer:
	.word ap_gdt_end - ap_gdt - 1
	.long ap_gdt
ap_end:
	.code32
ap_protected:
	mov $16, %ax
	mov %ax, %ds
	mov %ax, %es
	mov %ax, %ss
	/* One at a time: cpu_start() waits for each. */
	mov $ap_stack_top, %esp
	call secondary
1:	hlt
	jmp 1b

	.balign 8
ap_gdt:
	.quad 0
	.quad 0x00cf9b000000ffff	/* code, flat */
	.quad 0x00cf93000000ffff	/* data, flat */
ap_gdt_end:

	.bss
	.balign 16
	.skip 16384
stack_top:
	.skip 4096
ap_stack_top:
	.section .note.GNU-stack, "", @progbits
