/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: one PCI function: configuration space and BARs, see pci.h
 *
 * BAR registers need no special case to be sized: the bits below the size are
 * simply not writable, so writing ones and reading back gives the size (PCI
 * 3.0 sec. 6.2.5.1).
 */
#include <errno.h>
#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/base/check.h"

#include "devices/pci/pci.h"

static const struct pci_reg header_regs[] = {
	{ .offset = PCI_COMMAND,
	  .size_bytes = 2,
	  .value = PCI_COMMAND_MEMORY,
	  .rw = PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER |
		PCI_COMMAND_PARITY | PCI_COMMAND_SERR | PCI_COMMAND_INTX_OFF },
	/* Error bits: never set here, but write-1-to-clear by the book. */
	{ .offset = PCI_STATUS, .size_bytes = 2, .rw1c = 0xf900 },
	{ .offset = PCI_INT_LINE, .size_bytes = 1, .rw = 0xff },
};

/* ---- building ---------------------------------------------------------- */

void pci_func_add_reg(struct pci_func *f, const struct pci_reg *reg)
{
	CHECK(reg->offset + reg->size_bytes <= PCI_CONFIG_BYTES);
	CHECK(!(reg->rw & reg->rw1c));
	for (unsigned i = 0; i < reg->size_bytes; i++) {
		f->reset[reg->offset + i] = (uint8_t)(reg->value >> (8 * i));
		f->rw[reg->offset + i] = (uint8_t)(reg->rw >> (8 * i));
		f->rw1c[reg->offset + i] = (uint8_t)(reg->rw1c >> (8 * i));
	}
}

static void fill_ident(struct pci_func *f, const struct pci_ident *id)
{
	put_le16(f->reset + PCI_VENDOR, id->vendor);
	put_le16(f->reset + PCI_DEVICE, id->device);
	put_le32(f->reset + PCI_REVISION, id->class_code << 8 | id->revision);
	put_le16(f->reset + PCI_SUB_VENDOR, id->sub_vendor);
	put_le16(f->reset + PCI_SUB_DEVICE, id->sub_device);
}

static int take_slot(struct pci_root *root, unsigned wanted, uint8_t *devfn,
		     struct diag *d)
{
	unsigned slot = wanted;

	if (!~root->taken)
		return diag_fail(d, ENOSPC,
				 "PCI segment %u has no slot left: give "
				 "devices pci_segment= of another (--platform "
				 "num_pci_segments=)",
				 root->dev.segment);
	if (!wanted)
		slot = (unsigned)__builtin_ctz(~root->taken);
	if (root->taken >> slot & 1)
		return diag_fail(d, ENOSPC, "PCI slot %u is taken", slot);
	root->taken |= 1u << slot;
	*devfn = (uint8_t)(slot << 3);
	return 0;
}

int pci_func_init(struct pci_func *f, struct pci_root *root, const char *name,
		  const struct pci_ident *ident, const struct pci_func_ops *ops,
		  struct diag *d)
{
	int err = take_slot(root, ident->slot, &f->devfn, d);

	if (err)
		return err;
	f->root = root;
	f->name = name;
	f->ops = ops;
	f->cap_next = PCI_CAPS_FIRST;
	f->window_first = 0xff;
	fill_ident(f, ident);
	for (size_t i = 0; i < ARRAY_SIZE(header_regs); i++)
		pci_func_add_reg(f, &header_regs[i]);
	if (ident->intx && !root->dev.segment &&
	    root->dev.env->platform->pci.intx_present)
		f->reset[PCI_INT_PIN] = 1;
	return 0;
}

uint8_t pci_func_add_cap(struct pci_func *f, uint8_t id, uint8_t size_bytes,
			 const struct pci_reg *regs, size_t reg_count)
{
	uint8_t at = f->cap_next;

	CHECK(at + size_bytes <= PCI_CONFIG_BYTES);
	f->cap_next = (uint8_t)align_up((unsigned)at + size_bytes, 4);
	f->reset[at] = id;
	f->reset[f->cap_last ? f->cap_last + 1 : PCI_CAP_LIST] = at;
	f->reset[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
	f->cap_last = at;
	for (size_t i = 0; i < reg_count; i++) {
		struct pci_reg reg = regs[i];

		CHECK(reg.offset + reg.size_bytes <= size_bytes);
		reg.offset = (uint8_t)(reg.offset + at);
		pci_func_add_reg(f, &reg);
	}
	return at;
}

static uint8_t bar_offset(unsigned index)
{
	return (uint8_t)(PCI_BAR0 + 4 * index);
}

/* Only address bits down to the size can be written: see the DOC block. */
static void add_bar_regs(struct pci_func *f, const struct pci_bar_spec *spec,
			 uint64_t home)
{
	struct pci_reg reg = {
		.offset = bar_offset(spec->index),
		.size_bytes = 4,
		.value = (uint32_t)home | (spec->is64 ? 4 : 0),
		.rw = UINT32_MAX - (uint32_t)(spec->size_bytes - 1),
	};

	pci_func_add_reg(f, &reg);
	if (!spec->is64)
		return;
	reg.offset = bar_offset(spec->index + 1);
	reg.value = (uint32_t)(home >> 32);
	reg.rw = UINT32_MAX;
	pci_func_add_reg(f, &reg);
}

int pci_func_add_bar(struct pci_func *f, const struct pci_bar_spec *spec,
		     struct diag *d)
{
	struct pci_bar *bar = &f->bar[spec->index];
	uint64_t size = spec->size_bytes;
	int err;

	CHECK(is_pow2(size) && size >= 16 && size <= GIB(1) &&
	      spec->index + spec->is64 < PCI_BARS);
	err = pci_root_alloc(f, size, spec->is64, &bar->home, d);
	if (err)
		return err;
	bar->is64 = spec->is64;
	bar->region = (struct bus_region){ .base = bar->home,
					   .size_bytes = size,
					   .ops = spec->ops,
					   .opaque = spec->opaque,
					   .name = f->name };
	add_bar_regs(f, spec, bar->home);
	return 0;
}

void pci_func_window(struct pci_func *f, uint8_t first, uint8_t last)
{
	f->window_first = first;
	f->window_last = last;
}

/* ---- decoding ---------------------------------------------------------- */

/* Where the BAR register points, decoding or not. */
static uint64_t bar_address(const struct pci_func *f, unsigned index)
{
	uint64_t low = get_le32(f->config + bar_offset(index)) & ~0xfULL;

	if (!f->bar[index].is64)
		return low;
	return low | (uint64_t)get_le32(f->config + bar_offset(index + 1))
			     << 32;
}

static void bar_moved(struct pci_func *f, unsigned index)
{
	const struct pci_bar *bar = &f->bar[index];

	if (f->ops->bar_moved)
		f->ops->bar_moved(f, index,
				  bar->mapped ? bar->region.base
					      : PCI_UNMAPPED);
}

static void bar_unmap(struct pci_func *f, unsigned index)
{
	struct pci_bar *bar = &f->bar[index];

	if (!bar->mapped)
		return;
	bus_remove(f->root->dev.env->mmio, &bar->region);
	bar->mapped = false;
	bar_moved(f, index);
}

static void bar_map(struct pci_func *f, unsigned index, uint64_t at)
{
	struct pci_bar *bar = &f->bar[index];
	bool was = bar->mapped;

	bar->mapped = !bus_move(f->root->dev.env->mmio, &bar->region, at);
	if (was || bar->mapped)
		bar_moved(f, index);
}

static bool decodes(const struct pci_func *f)
{
	return f->config[PCI_COMMAND] & PCI_COMMAND_MEMORY;
}

/* Make the bus agree with the registers. Return: an address became free. */
static bool bar_update(struct pci_func *f, unsigned index)
{
	struct pci_bar *bar = &f->bar[index];
	uint64_t at = bar_address(f, index);
	bool was = bar->mapped;

	if (!bar->region.size_bytes)
		return false;
	/* Address 0 is how firmware says "not assigned yet". */
	if (!decodes(f) || !at) {
		bar_unmap(f, index);
		return was;
	}
	if (bar->mapped && bar->region.base == at)
		return false;
	bar_map(f, index, at);
	return was;
}

static void remap_segment(struct pci_root *root)
{
	for (unsigned slot = 0; slot < PCI_SLOTS; slot++) {
		struct pci_func *f = root->func[slot];

		for (unsigned i = 0; f && i < PCI_BARS; i++)
			if (f->bar[i].region.size_bytes && !f->bar[i].mapped)
				bar_update(f, i);
	}
}

/* BARs that lost a conflict get another try. */
static void remap(const struct device_env *env)
{
	for (unsigned i = 0; i < PLAT_SEGMENTS_MAX && env->pci[i]; i++)
		remap_segment(env->pci[i]);
}

static void bars_update(struct pci_func *f)
{
	bool freed = false;

	for (unsigned i = 0; i < PCI_BARS; i++)
		freed |= bar_update(f, i);
	if (freed)
		remap(f->root->dev.env);
}

int pci_func_plug(struct pci_func *f, struct diag *d)
{
	struct pci_root *root = f->root;
	int err = 0;

	pthread_mutex_lock(root->lock);
	memcpy(f->config, f->reset, sizeof(f->config));
	for (unsigned i = 0; i < PCI_BARS && !err; i++) {
		struct pci_bar *bar = &f->bar[i];

		if (!bar->region.size_bytes)
			continue;
		err = bus_add(root->dev.env->mmio, &bar->region, d);
		bar->mapped = !err;
		if (!err)
			bar_moved(f, i);
	}
	if (!err)
		root->func[f->devfn >> 3] = f;
	pthread_mutex_unlock(root->lock);
	return err;
}

void pci_func_release(struct pci_func *f)
{
	struct pci_root *root = f->root;

	if (!root)
		return;
	pci_intx_set(f, false);
	pthread_mutex_lock(root->lock);
	root->func[f->devfn >> 3] = NULL;
	for (unsigned i = 0; i < PCI_BARS; i++)
		if (f->bar[i].mapped)
			bus_remove(root->dev.env->mmio, &f->bar[i].region);
	root->taken &= ~(1u << (f->devfn >> 3));
	pthread_mutex_unlock(root->lock);
	pci_msix_release(f);
	memset(f, 0, sizeof(*f));
}

/* ---- configuration space ----------------------------------------------- */

static bool overlaps(unsigned offset, unsigned size, unsigned first,
		     unsigned last)
{
	return offset <= last && offset + size > first;
}

/* The level behind the interrupt status bit (PCI 3.0 sec. 6.2.3). */
static void refresh_status(struct pci_func *f)
{
	uint8_t *status = &f->config[PCI_STATUS];

	pthread_mutex_lock(&f->root->intx_lock);
	*status = (uint8_t)((*status & ~PCI_STATUS_INTX) |
			    (f->intx ? PCI_STATUS_INTX : 0));
	pthread_mutex_unlock(&f->root->intx_lock);
}

uint64_t pci_config_read(struct pci_func *f, unsigned offset,
			 unsigned size_bytes)
{
	uint8_t bytes[8] = { 0 };

	if (offset + size_bytes > PCI_CONFIG_BYTES)
		return UINT64_MAX;
	if (f->ops->window_read &&
	    overlaps(offset, size_bytes, f->window_first, f->window_last))
		f->ops->window_read(f);
	if (overlaps(offset, size_bytes, PCI_STATUS, PCI_STATUS))
		refresh_status(f);
	memcpy(bytes, f->config + offset, size_bytes);
	return get_le64(bytes);
}

static void intx_command(struct pci_func *f);

/* What a write must do beyond changing bytes. */
static void written(struct pci_func *f, unsigned offset, unsigned size)
{
	if (overlaps(offset, size, PCI_COMMAND, PCI_COMMAND + 1)) {
		intx_command(f);
		bars_update(f);
	}
	if (overlaps(offset, size, PCI_BAR0, PCI_BAR0 + 4 * PCI_BARS - 1))
		bars_update(f);
	if (f->msix.count &&
	    overlaps(offset, size, f->msix.cap + 2u, f->msix.cap + 3u))
		pci_msix_control(f);
	if (f->ops->window_written &&
	    overlaps(offset, size, f->window_first, f->window_last))
		f->ops->window_written(f);
}

void pci_config_write(struct pci_func *f, unsigned offset, unsigned size_bytes,
		      uint64_t value)
{
	if (offset + size_bytes > PCI_CONFIG_BYTES)
		return;
	for (unsigned i = 0; i < size_bytes; i++) {
		uint8_t *byte = &f->config[offset + i];
		uint8_t v = (uint8_t)(value >> (8 * i));
		uint8_t rw = f->rw[offset + i];

		*byte = (uint8_t)((*byte & ~rw) | (v & rw));
		*byte &= (uint8_t) ~(v & f->rw1c[offset + i]);
	}
	written(f, offset, size_bytes);
}

void pci_func_reset(struct pci_func *f)
{
	pci_intx_set(f, false);
	pthread_mutex_lock(f->root->lock);
	memcpy(f->config, f->reset, sizeof(f->config));
	intx_command(f);
	bars_update(f);
	if (f->msix.count)
		pci_msix_reset(f);
	pthread_mutex_unlock(f->root->lock);
}

/* ---- INTx -------------------------------------------------------------- */

/* PCI-to-PCI Bridge 1.2 table 9-1, which host bridges follow: INTA of slot n
 * is line n modulo 4. */
static void intx_drive(struct pci_func *f, bool on)
{
	struct pci_root *root = f->root;
	const struct plat_pci *pci = &root->dev.env->platform->pci;
	struct irqchip *chip = root->dev.env->irqchip;
	unsigned line = (f->devfn >> 3) % 4;
	struct irq_wire wire = { .sink = &chip->sink, .pin = pci->intx[line] };
	unsigned before = root->intx_users[line];

	if (on == f->intx_driven || !chip->sink.set)
		return;
	f->intx_driven = on;
	root->intx_users[line] = on ? before + 1 : before - 1;
	if (!before || !root->intx_users[line])
		irq_set(&wire, on);
}

void pci_intx_set(struct pci_func *f, bool level)
{
	if (!f->reset[PCI_INT_PIN])
		return;
	pthread_mutex_lock(&f->root->intx_lock);
	f->intx = level;
	intx_drive(f, f->intx && !f->intx_off);
	pthread_mutex_unlock(&f->root->intx_lock);
}

/* The command register changed. */
static void intx_command(struct pci_func *f)
{
	pthread_mutex_lock(&f->root->intx_lock);
	f->intx_off = get_le16(f->config + PCI_COMMAND) & PCI_COMMAND_INTX_OFF;
	intx_drive(f, f->intx && !f->intx_off);
	pthread_mutex_unlock(&f->root->intx_lock);
}

/* ---- state ------------------------------------------------------------- */

void pci_func_save(const struct pci_func *f, struct stream_out *out)
{
	stream_put(out, f->config, sizeof(f->config));
	stream_put_u8(out, f->intx);
	pci_msix_save(f, out);
}

/* Bits that the guest cannot write must be those of this function. */
static bool config_matches(const struct pci_func *f, const uint8_t *config)
{
	for (unsigned i = 0; i < PCI_CONFIG_BYTES; i++)
		if ((config[i] ^ f->reset[i]) & ~(f->rw[i] | f->rw1c[i]) &&
		    i != PCI_STATUS)
			return false;
	return true;
}

int pci_func_load(struct pci_func *f, struct stream_in *in, struct diag *d)
{
	uint8_t config[PCI_CONFIG_BYTES];
	bool intx;
	int err;

	stream_get(in, config, sizeof(config));
	intx = stream_get_u8(in);
	if (in->failed || !config_matches(f, config))
		return diag_fail(d, EBADMSG,
				 "%s: saved PCI state is of another device",
				 f->name);
	err = pci_msix_load(f, in, d);
	if (err)
		return err;
	pthread_mutex_lock(f->root->lock);
	memcpy(f->config, config, sizeof(config));
	intx_command(f);
	bars_update(f);
	if (f->msix.count)
		pci_msix_control(f);
	pthread_mutex_unlock(f->root->lock);
	pci_intx_set(f, intx);
	return 0;
}
