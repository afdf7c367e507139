/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arm64 firmware that is a payload: what --firmware takes for UEFI (a branch
 * over its header, a firmware volume 4 KiB later). It copies the payload, given
 * as PAYLOAD, to where that was linked, and starts it as a kernel is started.
 */
	.text
_start:
	b 1f
	.long 0
1:	adr x1, payload
	adr x2, payload_end
	mov x3, #BASE
	mov x4, x3
2:	ldp x5, x6, [x1], #16
	stp x5, x6, [x4], #16
	cmp x1, x2
	b.lo 2b
	ic iallu
	dsb sy
	isb
	mov x0, xzr
	br x3

	.org 0x1028
	.ascii "_FVH"
	.org 0x2000
payload:
	.incbin PAYLOAD
	.balign 16
payload_end:
	.section .note.GNU-stack, "", %progbits
