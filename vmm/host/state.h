/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: vCPU state in neutral structs, one per class
 *
 * arch fills these in, host back ends translate them into what the hypervisor
 * wants. No hypervisor type appears here, so every arch plug-in compiles and
 * is tested on every machine. Values are in host byte order; their meaning is
 * that of the architecture manuals (Intel SDM, AMD APM, Arm ARM DDI 0487).
 */
#ifndef VMM_HOST_STATE_H
#define VMM_HOST_STATE_H

#include <stdint.h>

/**
 * enum host_state - a class of vCPU state and the struct that carries it
 *
 * CPUID and feature classes are accepted only before the vCPU's first run.
 */
enum host_state {
	HOST_X86_CPUID,	  /* struct x86_cpuid */
	HOST_X86_GPR,	  /* struct x86_gpr */
	HOST_X86_SREGS,	  /* struct x86_sregs */
	HOST_X86_MSRS,	  /* struct x86_msrs */
	HOST_ARM64_CORE,  /* struct arm64_core */
	HOST_ARM64_MPIDR, /* uint64_t; get only */
	HOST_FAKE_CORE,	  /* struct fake_core */
};

/** struct x86_cpuid_entry - what CPUID answers for one leaf, or subleaf */
struct x86_cpuid_entry {
	uint32_t leaf, subleaf;
	uint32_t has_subleaf; /* 1: the subleaf (ECX) selects */
	uint32_t eax, ebx, ecx, edx;
};

#define X86_CPUID_MAX 256

/** struct x86_cpuid - CPUID as the guest sees it */
struct x86_cpuid {
	uint32_t count;
	struct x86_cpuid_entry entry[X86_CPUID_MAX];
};

/** struct x86_gpr - general registers, in no other order than their names */
struct x86_gpr {
	uint64_t rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp;
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
	uint64_t rip, rflags;
};

/** struct x86_segment - a segment register with its hidden part; @limit is in
 * bytes (already scaled), @unusable as in VMX */
struct x86_segment {
	uint64_t base;
	uint32_t limit;
	uint16_t selector;
	uint8_t type, present, dpl, db, s, l, g, avl, unusable;
};

/** struct x86_table - GDTR or IDTR; @limit in bytes, less 1 */
struct x86_table {
	uint64_t base;
	uint16_t limit;
};

/** struct x86_sregs - segments, tables, control registers */
struct x86_sregs {
	struct x86_segment cs, ds, es, fs, gs, ss, tr, ldt;
	struct x86_table gdt, idt;
	uint64_t cr0, cr2, cr3, cr4, cr8, efer, apic_base;
};

/** struct x86_msr - MSR @index holds @value */
struct x86_msr {
	uint32_t index;
	uint64_t value;
};

#define X86_MSRS_MAX 64

/** struct x86_msrs - MSRs to write, or to read (their index is set) */
struct x86_msrs {
	uint32_t count;
	struct x86_msr msr[X86_MSRS_MAX];
};

/** struct arm64_core - x0..x30, SP_EL1, PC, PSTATE */
struct arm64_core {
	uint64_t x[31];
	uint64_t sp_el1, pc, pstate;
};

/**
 * struct fake_core - all state of a vCPU of the made-up ISA (arch/fake/isa.h)
 * @vector, @epc, @cause, @status, @count, @compare: control registers
 * @pending: bitmap of pending interrupts
 * @power: enum fake_power
 */
struct fake_core {
	uint64_t r[16];
	uint64_t pc;
	uint64_t vector, epc, cause, status, count, compare;
	uint64_t pending[4];
	uint64_t power;
};

#endif
