/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: x86_64: the user-space IOAPIC
 *
 * The part of the interrupt controller that is outside the hypervisor, see
 * ioapic.c. The functions below are struct arch's irqchip hooks, and the two
 * for snapshots.
 */
#ifndef ARCH_X86_64_IOAPIC_H
#define ARCH_X86_64_IOAPIC_H

#include "arch/arch.h"
#include "vmm/stream.h"

/**
 * x86_ioapic_new - see struct arch.irqchip_new
 * @chip: sink and gsi_first are set; its vm may be NULL, now and later:
 *	interrupts are then dropped
 *
 * Return: 0; -ENOMEM; -EEXIST or -EINVAL (no room on @mmio).
 */
int x86_ioapic_new(struct arch_irqchip **out, struct irqchip *chip,
		   const struct platform *p, struct bus *mmio, struct diag *d);

/** x86_ioapic_reset - all pins masked and low; the routes of the old VM are
 * forgotten */
void x86_ioapic_reset(struct arch_irqchip *ic);

/** x86_ioapic_free - accepts NULL */
void x86_ioapic_free(struct arch_irqchip *ic);

/**
 * x86_ioapic_eoi - a local APIC ended @vector
 *
 * Any vCPU thread. Level-triggered pins that sent @vector may interrupt again;
 * those that are still high do.
 */
void x86_ioapic_eoi(struct arch_irqchip *ic, uint8_t vector);

/** x86_ioapic_save - registers and levels of the wires; no vCPU runs */
void x86_ioapic_save(struct arch_irqchip *ic, struct stream_out *out);

/**
 * x86_ioapic_load - the mirror; on success the hypervisor knows the routes
 * Return: 0, or -EBADMSG and @ic unchanged.
 */
int x86_ioapic_load(struct arch_irqchip *ic, struct stream_in *in,
		    struct diag *d);

#endif
