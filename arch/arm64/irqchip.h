/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: arm64: how wires reach the GIC
 *
 * The whole GIC is in the hypervisor, so the user-space part only passes each
 * wire on as an SPI through host_ops.irq_pin(). Routes (GSIs) below the number
 * of SPIs name SPIs; message-signalled interrupts take those above.
 *
 * Threads: wires are driven from any thread; the hypervisor serialises.
 */
#ifndef ARCH_ARM64_IRQCHIP_H
#define ARCH_ARM64_IRQCHIP_H

#include "arch/arch.h"

/** arm64_irqchip_new - see struct arch.irqchip_new */
int arm64_irqchip_new(struct arch_irqchip **out, struct irqchip *chip,
		      const struct platform *p, struct bus *mmio,
		      struct diag *d);

/** arm64_irqchip_reset - nothing to do: a new VM has all wires low */
void arm64_irqchip_reset(struct arch_irqchip *ic);

/** arm64_irqchip_free - accepts NULL; the chip's sink must not be used after */
void arm64_irqchip_free(struct arch_irqchip *ic);

#endif
