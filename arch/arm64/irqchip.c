/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: arm64: wires of devices to SPIs of the hypervisor's GIC
 *
 * See irqchip.h. A wire that the hypervisor refuses to drive is our own
 * mistake or a VM that is going away; it is said once and counted.
 */
#include "arch/arm64/irqchip.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/log.h"

struct arch_irqchip {
	const struct irqchip *chip;
	uint32_t pin_count;
	atomic_uint refused;
};

static void set_pin(void *opaque, uint32_t pin, bool level)
{
	struct arch_irqchip *ic = opaque;
	struct host_vm *vm = ic->chip->vm;
	int err;

	if (!vm || !vm->ops->irq_pin || pin >= ic->pin_count)
		return;
	err = vm->ops->irq_pin(vm, pin, level);
	if (err)
		log_guest(&ic->refused, "SPI %u cannot be driven: %s", pin,
			  strerror(-err));
}

int arm64_irqchip_new(struct arch_irqchip **out, struct irqchip *chip,
		      const struct platform *p, struct bus *mmio,
		      struct diag *d)
{
	struct arch_irqchip *ic = calloc(1, sizeof(*ic));

	(void)mmio;
	if (!ic)
		return diag_fail(d, ENOMEM,
				 "no memory for the interrupt "
				 "controller");
	ic->chip = chip;
	ic->pin_count = p->intc.pin_count;
	chip->gsi_first = p->intc.pin_count;
	chip->sink.set = set_pin;
	chip->sink.opaque = ic;
	*out = ic;
	return 0;
}

void arm64_irqchip_reset(struct arch_irqchip *ic)
{
	(void)ic;
}

void arm64_irqchip_free(struct arch_irqchip *ic)
{
	free(ic);
}
