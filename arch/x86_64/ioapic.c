/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: IOAPIC: 24 wires become messages to local APICs
 *
 * Intel 82093AA data sheet (order 290566), with the EOI register of the later
 * version 0x20 (ICH datasheets), which spares guests a trick when they end an
 * interrupt by hand. An edge on an unmasked pin, or a high level on an unmasked
 * pin whose remote IRR is clear, sends the MSI that the pin's redirection entry
 * describes (SDM vol. 3 sec. 11.11). Edges on masked pins are lost.
 *
 * Destination ids of 15 bits: bits 55:49 of an entry are bits 14:8 of the id,
 * as the guest learns from KVM_FEATURE_MSI_EXT_DEST_ID; they go where they are
 * in an MSI's address, bits 11:5.
 *
 * The hypervisor reports the end of an interrupt only for vectors it has been
 * told about: level-triggered pins have a route, numbered like the pin, that
 * nothing ever fires. Edge-triggered pins have none, because to change the
 * table is expensive. A route outlives masking: the interrupt may be in
 * service.
 *
 * Threads: any; @lock guards everything, and is taken before struct irqchip's.
 *
 * Not implemented: ExtINT and the remappable format (no PIC, no IOMMU).
 */
#include "arch/x86_64/ioapic.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "arch/x86_64/layout.h"

enum {
	REG_SELECT = 0x00,
	REG_WINDOW = 0x10,
	REG_EOI = 0x40,
	INDEX_ID = 0x00,
	INDEX_VERSION = 0x01,
	INDEX_ARBITRATION = 0x02,
	INDEX_ENTRY = 0x10, /* two registers per pin: low, high */
};

#define VERSION 0x20

/* Redirection entry. */
#define RTE_VECTOR     UINT64_C(0xff)
#define RTE_DELIVERY   (UINT64_C(7) << 8)
#define RTE_EXTINT     (UINT64_C(7) << 8)
#define RTE_LOGICAL    (UINT64_C(1) << 11)
#define RTE_PENDING    (UINT64_C(1) << 12)
#define RTE_REMOTE_IRR (UINT64_C(1) << 14)
#define RTE_LEVEL      (UINT64_C(1) << 15)
#define RTE_MASKED     (UINT64_C(1) << 16)
#define RTE_READ_ONLY  (RTE_PENDING | RTE_REMOTE_IRR)
#define RTE_RESERVED   UINT64_C(0x0000fffffffe0000)
#define RTE_DEST_SHIFT 56
#define RTE_EXT_SHIFT  48 /* bit 48 would be the remappable format */
#define RTE_POWER_ON   RTE_MASKED
#define ID_MASK	       UINT32_C(0x0f000000)

#define MSI_DEST_SHIFT 12
#define MSI_EXT_SHIFT  4
#define MSI_LOGICAL    UINT64_C(4)
#define MSI_LEVEL      (UINT32_C(1) << 15)
#define MSI_ASSERT     (UINT32_C(1) << 14)

/**
 * struct arch_irqchip - @level: wires that are high; @routed: pins that have a
 * route in the hypervisor's table, @route: its message
 */
struct arch_irqchip {
	pthread_mutex_t lock;
	struct irqchip *chip;
	struct bus *mmio;
	struct bus_region region;
	uint32_t select, id;
	uint32_t level, routed;
	uint64_t entry[X86_IOAPIC_PINS];
	struct msi_message route[X86_IOAPIC_PINS];
};

static struct msi_message message(uint64_t rte)
{
	uint64_t dest = rte >> RTE_DEST_SHIFT,
		 ext = rte >> RTE_EXT_SHIFT & 0xfe;
	struct msi_message msg = {
		.addr = X86_LAPIC_BASE | dest << MSI_DEST_SHIFT |
			ext << MSI_EXT_SHIFT,
		.data = (uint32_t)(rte & (RTE_VECTOR | RTE_DELIVERY)),
	};

	if (rte & RTE_LOGICAL)
		msg.addr |= MSI_LOGICAL;
	if (rte & RTE_LEVEL)
		msg.data |= MSI_LEVEL | MSI_ASSERT;
	return msg;
}

static void send(struct arch_irqchip *ic, uint32_t pin)
{
	struct host_vm *vm = ic->chip->vm;
	struct msi_message msg = message(ic->entry[pin]);

	if (!vm || (ic->entry[pin] & RTE_DELIVERY) == RTE_EXTINT)
		return;
	/* It fails only for a destination that is not there. */
	vm->ops->msi_send(vm, &msg);
}

/* Level-triggered pin: interrupt if it may and wants to. */
static void service(struct arch_irqchip *ic, uint32_t pin)
{
	uint64_t *rte = &ic->entry[pin];

	if (!(*rte & RTE_LEVEL) || *rte & (RTE_MASKED | RTE_REMOTE_IRR) ||
	    !(ic->level >> pin & 1))
		return;
	*rte |= RTE_REMOTE_IRR;
	send(ic, pin);
}

/* Tell the hypervisor about the entries of the pins in @pins. */
static void update_routes(struct arch_irqchip *ic, uint32_t pins)
{
	struct host_vm *vm = ic->chip->vm;
	bool changed = false;

	if (!vm)
		return;
	pthread_mutex_lock(&ic->chip->lock);
	for (uint32_t pin = 0; pin < X86_IOAPIC_PINS; pin++) {
		struct msi_message msg = message(ic->entry[pin]);
		bool known = ic->routed >> pin & 1;

		if (!(pins >> pin & 1) || ic->entry[pin] & RTE_MASKED)
			continue;
		if (!(ic->entry[pin] & RTE_LEVEL)) {
			if (!known)
				continue;
			vm->ops->msi_route_clear(vm, pin);
			ic->routed &= ~(UINT32_C(1) << pin);
		} else {
			if (known && msg.addr == ic->route[pin].addr &&
			    msg.data == ic->route[pin].data)
				continue;
			if (vm->ops->msi_route_set(vm, pin, &msg) < 0)
				continue;
			ic->routed |= UINT32_C(1) << pin;
			ic->route[pin] = msg;
		}
		changed = true;
	}
	if (changed)
		vm->ops->msi_route_apply(vm);
	pthread_mutex_unlock(&ic->chip->lock);
}

static void write_entry(struct arch_irqchip *ic, uint32_t index, uint32_t value)
{
	uint32_t pin = (index - INDEX_ENTRY) / 2;
	uint64_t *rte, kept, v;

	if (index < INDEX_ENTRY || pin >= X86_IOAPIC_PINS)
		return;
	rte = &ic->entry[pin];
	v = index & 1 ? (uint64_t)value << 32 | (uint32_t)*rte
		      : (*rte & ~UINT64_C(0xffffffff)) | value;
	kept = *rte & RTE_READ_ONLY;
	*rte = (v & ~(RTE_READ_ONLY | RTE_RESERVED)) | kept;
	/* A pin made edge-triggered forgets what was in service: guests end
	 * an interrupt by hand that way. */
	if (!(*rte & RTE_LEVEL))
		*rte &= ~RTE_REMOTE_IRR;
	update_routes(ic, UINT32_C(1) << pin);
	service(ic, pin);
}

static uint32_t read_window(const struct arch_irqchip *ic)
{
	uint32_t pin = (ic->select - INDEX_ENTRY) / 2;

	switch (ic->select) {
	case INDEX_ID:
	case INDEX_ARBITRATION:
		return ic->id;
	case INDEX_VERSION:
		return VERSION | (X86_IOAPIC_PINS - 1) << 16;
	default:
		break;
	}
	if (ic->select < INDEX_ENTRY || pin >= X86_IOAPIC_PINS)
		return 0;
	return (uint32_t)(ic->entry[pin] >> (ic->select & 1 ? 32 : 0));
}

/* @lock held, here and below: by the bus for register accesses. */
static void end(struct arch_irqchip *ic, uint8_t vector)
{
	for (uint32_t pin = 0; pin < X86_IOAPIC_PINS; pin++) {
		uint64_t *rte = &ic->entry[pin];

		if ((*rte & RTE_VECTOR) != vector || !(*rte & RTE_REMOTE_IRR))
			continue;
		*rte &= ~RTE_REMOTE_IRR;
		service(ic, pin);
	}
}

static uint64_t ioapic_read(void *opaque, uint64_t offset_bytes,
			    unsigned size_bytes)
{
	struct arch_irqchip *ic = opaque;

	(void)size_bytes;
	if (offset_bytes == REG_SELECT)
		return ic->select;
	return offset_bytes == REG_WINDOW ? read_window(ic) : 0;
}

static void ioapic_write(void *opaque, uint64_t offset_bytes,
			 unsigned size_bytes, uint64_t value)
{
	struct arch_irqchip *ic = opaque;

	(void)size_bytes;
	switch (offset_bytes) {
	case REG_SELECT:
		ic->select = value & 0xff;
		break;
	case REG_WINDOW:
		if (ic->select == INDEX_ID)
			ic->id = (uint32_t)value & ID_MASK;
		else
			write_entry(ic, ic->select, (uint32_t)value);
		break;
	case REG_EOI:
		end(ic, (uint8_t)value);
		break;
	default:
		break;
	}
}

static const struct bus_ops ioapic_ops = {
	.read = ioapic_read,
	.write = ioapic_write,
};

static void set_pin(void *opaque, uint32_t pin, bool level)
{
	struct arch_irqchip *ic = opaque;
	uint32_t bit;
	bool rises;

	if (pin >= X86_IOAPIC_PINS)
		return;
	bit = UINT32_C(1) << pin;
	pthread_mutex_lock(&ic->lock);
	rises = level && !(ic->level & bit);
	ic->level = level ? ic->level | bit : ic->level & ~bit;
	if (ic->entry[pin] & RTE_LEVEL)
		service(ic, pin);
	else if (rises && !(ic->entry[pin] & RTE_MASKED))
		send(ic, pin);
	pthread_mutex_unlock(&ic->lock);
}

void x86_ioapic_eoi(struct arch_irqchip *ic, uint8_t vector)
{
	pthread_mutex_lock(&ic->lock);
	end(ic, vector);
	pthread_mutex_unlock(&ic->lock);
}

void x86_ioapic_reset(struct arch_irqchip *ic)
{
	pthread_mutex_lock(&ic->lock);
	ic->select = ic->id = 0;
	ic->level = ic->routed = 0;
	for (uint32_t pin = 0; pin < X86_IOAPIC_PINS; pin++)
		ic->entry[pin] = RTE_POWER_ON;
	pthread_mutex_unlock(&ic->lock);
}

int x86_ioapic_new(struct arch_irqchip **out, struct irqchip *chip,
		   const struct platform *p, struct bus *mmio, struct diag *d)
{
	struct arch_irqchip *ic = calloc(1, sizeof(*ic));
	int err;

	if (!ic)
		return diag_fail(d, ENOMEM, "no memory for the IOAPIC");
	pthread_mutex_init(&ic->lock, NULL);
	ic->chip = chip;
	ic->mmio = mmio;
	ic->region = (struct bus_region){
		.base = p->intc.ioapic.base,
		.size_bytes = p->intc.ioapic.size_bytes,
		.ops = &ioapic_ops,
		.opaque = ic,
		.lock = &ic->lock,
		.name = "ioapic",
	};
	x86_ioapic_reset(ic);
	err = bus_add(mmio, &ic->region, d);
	if (err) {
		pthread_mutex_destroy(&ic->lock);
		free(ic);
		return err;
	}
	chip->sink = (struct irq_sink){ .set = set_pin, .opaque = ic };
	chip->gsi_first = X86_IOAPIC_PINS;
	*out = ic;
	return 0;
}

void x86_ioapic_free(struct arch_irqchip *ic)
{
	if (!ic)
		return;
	bus_remove(ic->mmio, &ic->region);
	pthread_mutex_destroy(&ic->lock);
	free(ic);
}

void x86_ioapic_save(struct arch_irqchip *ic, struct stream_out *out)
{
	pthread_mutex_lock(&ic->lock);
	stream_put_u32(out, X86_IOAPIC_PINS);
	stream_put_u32(out, ic->select);
	stream_put_u32(out, ic->id);
	stream_put_u32(out, ic->level);
	for (uint32_t pin = 0; pin < X86_IOAPIC_PINS; pin++)
		stream_put_u64(out, ic->entry[pin]);
	pthread_mutex_unlock(&ic->lock);
}

static bool entry_is_valid(uint64_t rte)
{
	return !(rte & (RTE_RESERVED | RTE_PENDING)) &&
	       (rte & RTE_LEVEL || !(rte & RTE_REMOTE_IRR));
}

int x86_ioapic_load(struct arch_irqchip *ic, struct stream_in *in,
		    struct diag *d)
{
	uint32_t pins = stream_get_u32(in), select = stream_get_u32(in);
	uint32_t id = stream_get_u32(in), level = stream_get_u32(in);
	uint64_t entry[X86_IOAPIC_PINS];
	bool valid = pins == X86_IOAPIC_PINS && select <= 0xff &&
		     !(id & ~ID_MASK) && !(level >> X86_IOAPIC_PINS);

	for (uint32_t pin = 0; pin < X86_IOAPIC_PINS; pin++) {
		entry[pin] = stream_get_u64(in);
		valid = valid && entry_is_valid(entry[pin]);
	}
	if (in->failed || !valid)
		return diag_fail(d, EBADMSG,
				 "the snapshot's IOAPIC state is damaged");
	pthread_mutex_lock(&ic->lock);
	ic->select = select;
	ic->id = id;
	ic->level = level;
	memcpy(ic->entry, entry, sizeof(entry));
	update_routes(ic, UINT32_MAX);
	pthread_mutex_unlock(&ic->lock);
	return 0;
}
