/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: an assembler for arch/fake, for programs inside tests
 *
 *	struct fake_asm a;
 *
 *	fake_asm_init(&a, FAKE_RAM_LOW_GPA + 0x10000);
 *	fake_li(&a, R1, 3);
 *	fake_mark(&a, 'l');			label: any number below 128
 *	fake_addi(&a, R1, R1, -1);
 *	fake_bnz(&a, R1, 'l');			backwards and forwards
 *	fake_hvc(&a, FAKE_HVC_POWEROFF);
 *	fake_asm_finish(&a);			a.code, a.count are ready
 *
 * Mistakes (program too long, label missing or used twice) end the test
 * program through CHECK().
 */
#ifndef ARCH_FAKE_ASM_H
#define ARCH_FAKE_ASM_H

#include <string.h>

#include "arch/fake/isa.h"
#include "vmm/base/check.h"

#define FAKE_ASM_INSNS	1024
#define FAKE_ASM_LABELS 128
#define FAKE_ASM_FIXUPS 512

enum fake_reg {
	R0,
	R1,
	R2,
	R3,
	R4,
	R5,
	R6,
	R7,
	R8,
	R9,
	R10,
	R11,
	R12,
	R13,
	R14,
	R15
};

/**
 * struct fake_asm - a program being written
 * @base: GPA of its first instruction
 * @code: @count instructions
 * @label: index of the marked instruction + 1; 0: not marked
 * @fixup: branches whose imm is filled in by fake_asm_finish()
 */
struct fake_asm {
	uint64_t base;
	uint64_t code[FAKE_ASM_INSNS];
	uint32_t count;
	uint32_t label[FAKE_ASM_LABELS];
	struct {
		uint32_t at, label;
	} fixup[FAKE_ASM_FIXUPS];
	uint32_t fixup_count;
};

/** fake_insn - encode one instruction (arch/fake/isa.h) */
static inline uint64_t fake_insn(enum fake_op op, unsigned rd, unsigned ra,
				 unsigned rb, unsigned width, int32_t imm)
{
	return (uint64_t)op | (uint64_t)rd << 8 | (uint64_t)ra << 12 |
	       (uint64_t)rb << 16 | (uint64_t)width << 20 |
	       (uint64_t)(uint32_t)imm << 32;
}

/** fake_asm_init - an empty program that will run at @base */
static inline void fake_asm_init(struct fake_asm *a, uint64_t base)
{
	memset(a, 0, sizeof(*a));
	a->base = base;
}

/** fake_emit - append one encoded instruction */
static inline void fake_emit(struct fake_asm *a, uint64_t insn)
{
	CHECK(a->count < FAKE_ASM_INSNS);
	a->code[a->count++] = insn;
}

/** fake_mark - @label is the next instruction */
static inline void fake_mark(struct fake_asm *a, unsigned label)
{
	CHECK(label < FAKE_ASM_LABELS && !a->label[label]);
	a->label[label] = a->count + 1;
}

/** fake_address - GPA of a label that has been marked */
static inline uint64_t fake_address(const struct fake_asm *a, unsigned label)
{
	CHECK(label < FAKE_ASM_LABELS && a->label[label]);
	return a->base + (a->label[label] - 1) * FAKE_INSN_BYTES;
}

/** fake_to - append an instruction whose imm is the way to @label */
static inline void fake_to(struct fake_asm *a, uint64_t insn, unsigned label)
{
	CHECK(a->fixup_count < FAKE_ASM_FIXUPS && label < FAKE_ASM_LABELS);
	a->fixup[a->fixup_count].at = a->count;
	a->fixup[a->fixup_count++].label = label;
	fake_emit(a, insn);
}

/** fake_asm_finish - fill in branches; the program is then complete */
static inline void fake_asm_finish(struct fake_asm *a)
{
	for (uint32_t i = 0; i < a->fixup_count; i++) {
		uint32_t at = a->fixup[i].at;
		uint64_t to = fake_address(a, a->fixup[i].label);
		uint64_t from = a->base + at * (uint64_t)FAKE_INSN_BYTES;

		a->code[at] |= (uint64_t)(uint32_t)(to - from) << 32;
	}
	a->fixup_count = 0;
}

/** fake_li - rd = @value (two instructions, whatever the value) */
static inline void fake_li(struct fake_asm *a, unsigned rd, uint64_t value)
{
	fake_emit(a, fake_insn(FAKE_OP_LI, rd, 0, 0, 0, (int32_t)value));
	fake_emit(a,
		  fake_insn(FAKE_OP_LIH, rd, 0, 0, 0, (int32_t)(value >> 32)));
}

/** fake_la - rd = the address of @label, which may come later */
static inline void fake_la(struct fake_asm *a, unsigned rd, unsigned label)
{
	/* call over nothing gives the pc; then add the rest of the way */
	fake_emit(a, fake_insn(FAKE_OP_CALL, rd, 0, 0, 0, FAKE_INSN_BYTES));
	fake_to(a, fake_insn(FAKE_OP_ADDI, rd, rd, 0, 0, 0), label);
}

static inline void fake_add(struct fake_asm *a, unsigned rd, unsigned ra,
			    unsigned rb)
{
	fake_emit(a, fake_insn(FAKE_OP_ADD, rd, ra, rb, 0, 0));
}

static inline void fake_addi(struct fake_asm *a, unsigned rd, unsigned ra,
			     int32_t imm)
{
	fake_emit(a, fake_insn(FAKE_OP_ADDI, rd, ra, 0, 0, imm));
}

static inline void fake_andi(struct fake_asm *a, unsigned rd, unsigned ra,
			     int32_t imm)
{
	fake_emit(a, fake_insn(FAKE_OP_ANDI, rd, ra, 0, 0, imm));
}

/** fake_width - log2 of an access of 1, 2, 4 or 8 bytes */
static inline unsigned fake_width(unsigned size_bytes)
{
	CHECK(size_bytes && size_bytes <= 8 && is_pow2(size_bytes));
	return (unsigned)__builtin_ctz(size_bytes);
}

/** fake_ld - rd = @size_bytes at [ra + imm] */
static inline void fake_ld(struct fake_asm *a, unsigned size_bytes, unsigned rd,
			   unsigned ra, int32_t imm)
{
	fake_emit(a, fake_insn(FAKE_OP_LOAD, rd, ra, 0, fake_width(size_bytes),
			       imm));
}

/** fake_st - @size_bytes at [ra + imm] = rd */
static inline void fake_st(struct fake_asm *a, unsigned size_bytes, unsigned rd,
			   unsigned ra, int32_t imm)
{
	fake_emit(a, fake_insn(FAKE_OP_STORE, rd, ra, 0, fake_width(size_bytes),
			       imm));
}

/** fake_in - rd = @size_bytes from port ra + imm */
static inline void fake_in(struct fake_asm *a, unsigned size_bytes, unsigned rd,
			   unsigned ra, int32_t imm)
{
	fake_emit(a, fake_insn(FAKE_OP_IN, rd, ra, 0, fake_width(size_bytes),
			       imm));
}

/** fake_out - port ra + imm = rd */
static inline void fake_out(struct fake_asm *a, unsigned size_bytes,
			    unsigned rd, unsigned ra, int32_t imm)
{
	fake_emit(a, fake_insn(FAKE_OP_OUT, rd, ra, 0, fake_width(size_bytes),
			       imm));
}

static inline void fake_jmp(struct fake_asm *a, unsigned label)
{
	fake_to(a, fake_insn(FAKE_OP_JMP, 0, 0, 0, 0, 0), label);
}

static inline void fake_bz(struct fake_asm *a, unsigned ra, unsigned label)
{
	fake_to(a, fake_insn(FAKE_OP_BZ, 0, ra, 0, 0, 0), label);
}

static inline void fake_bnz(struct fake_asm *a, unsigned ra, unsigned label)
{
	fake_to(a, fake_insn(FAKE_OP_BNZ, 0, ra, 0, 0, 0), label);
}

static inline void fake_blt(struct fake_asm *a, unsigned ra, unsigned rb,
			    unsigned label)
{
	fake_to(a, fake_insn(FAKE_OP_BLT, 0, ra, rb, 0, 0), label);
}

/** fake_crr - rd = control register */
static inline void fake_crr(struct fake_asm *a, unsigned rd, enum fake_cr cr)
{
	fake_emit(a, fake_insn(FAKE_OP_CRR, rd, 0, 0, 0, (int32_t)cr));
}

/** fake_crw - control register = ra */
static inline void fake_crw(struct fake_asm *a, enum fake_cr cr, unsigned ra)
{
	fake_emit(a, fake_insn(FAKE_OP_CRW, 0, ra, 0, 0, (int32_t)cr));
}

static inline void fake_int(struct fake_asm *a, unsigned number)
{
	fake_emit(a, fake_insn(FAKE_OP_INT, 0, 0, 0, 0, (int32_t)number));
}

static inline void fake_hvc(struct fake_asm *a, enum fake_hvc function)
{
	fake_emit(a, fake_insn(FAKE_OP_HVC, 0, 0, 0, 0, (int32_t)function));
}

/** fake_op0 - an instruction without operands: WFI, IRET, BRK, HALT */
static inline void fake_op0(struct fake_asm *a, enum fake_op op)
{
	fake_emit(a, fake_insn(op, 0, 0, 0, 0, 0));
}

/** fake_vectors - a vector table whose entries all jump to @handler; mark it
 * yourself and put its address into FAKE_CR_VECTOR */
static inline void fake_vectors(struct fake_asm *a, unsigned handler)
{
	for (unsigned i = 0; i < FAKE_IRQS; i++)
		fake_jmp(a, handler);
}

#endif
