/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: what Arm PrimeCell peripherals share, see primecell.h */
#include "devices/legacy/primecell.h"

#include <errno.h>
#include <string.h>

#define SPAN	 0x1000
#define ID_FIRST 0xfe0
#define CELL_ID	 0xb105f00d

static const struct primecell_type *type_of(const struct primecell *pc)
{
	return pc->dev.cls->data;
}

/* Index of the register at @offset, or -1. */
static int reg_find(const struct primecell_type *t, uint64_t offset)
{
	for (unsigned i = 0; i < t->reg_count; i++)
		if (t->reg[i].offset == offset)
			return (int)i;
	return -1;
}

/* Peripheral and cell identification: one byte of the id per word. */
static uint32_t read_id(const struct primecell_type *t, uint64_t offset)
{
	unsigned byte = (unsigned)(offset - ID_FIRST) / 4;
	uint32_t id = byte < 4 ? t->part : CELL_ID;

	return (id >> (8 * (byte % 4))) & 0xff;
}

static uint32_t read_word(struct primecell *pc, uint64_t offset)
{
	const struct primecell_type *t = type_of(pc);
	int i = reg_find(t, offset);

	if (offset < t->masked_bytes)
		return t->read_masked(pc, offset / 4 & 0xff);
	if (i < 0)
		return offset >= ID_FIRST ? read_id(t, offset) : 0;
	return t->reg[i].read ? t->reg[i].read(pc) : pc->reg[i];
}

static void write_word(struct primecell *pc, uint64_t offset, uint32_t value)
{
	const struct primecell_type *t = type_of(pc);
	int i = reg_find(t, offset);
	const struct primecell_reg *r;
	uint32_t before;

	if (offset < t->masked_bytes)
		t->write_masked(pc, offset / 4 & 0xff, value);
	if (i < 0)
		return;
	r = &t->reg[i];
	before = pc->reg[i];
	pc->reg[i] = (before & ~r->writable) | (value & r->writable);
	if (r->write)
		r->write(pc, value, before);
}

static uint64_t primecell_read(void *opaque, uint64_t offset_bytes,
			       unsigned size_bytes)
{
	struct primecell *pc = opaque;
	uint64_t at = offset_bytes & ~3ull;
	uint64_t value = read_word(pc, at) >> (8 * (offset_bytes & 3));

	if (size_bytes == 8 && !(offset_bytes & 3))
		value |= (uint64_t)read_word(pc, at + 4) << 32;
	type_of(pc)->update(pc);
	return value;
}

static void primecell_write(void *opaque, uint64_t offset_bytes,
			    unsigned size_bytes, uint64_t value)
{
	struct primecell *pc = opaque;

	if (offset_bytes & 3)
		return;
	write_word(pc, offset_bytes, (uint32_t)value);
	if (size_bytes == 8)
		write_word(pc, offset_bytes + 4, (uint32_t)(value >> 32));
	type_of(pc)->update(pc);
}

static const struct bus_ops primecell_ops = { .read = primecell_read,
					      .write = primecell_write };

int primecell_realize(struct primecell *pc, const struct device_place *place,
		      struct diag *d)
{
	int err = fixed_realize(&pc->fixed, &pc->dev, place, SPAN,
				&primecell_ops, d);

	if (!err)
		primecell_reset(pc);
	return err;
}

void primecell_reset(struct primecell *pc)
{
	const struct primecell_type *t = type_of(pc);

	for (unsigned i = 0; i < t->reg_count; i++)
		pc->reg[i] = t->reg[i].reset;
	fixed_lower(&pc->fixed);
}

void primecell_describe(const struct primecell *pc, struct plat_dev *out,
			uint32_t clocks, const char *clock_names)
{
	fixed_describe(&pc->fixed, out, true);
	out->prop[out->prop_count++] = (struct plat_prop){
		.name = "clocks",
		.kind = PROP_CLOCK,
		.u32 = clocks,
		.str = clock_names,
	};
}

void primecell_save(const struct primecell *pc, struct stream_out *out)
{
	for (unsigned i = 0; i < type_of(pc)->reg_count; i++)
		stream_put_u32(out, pc->reg[i]);
}

int primecell_get(const struct primecell *pc, struct stream_in *in,
		  uint32_t *reg, struct diag *d)
{
	const struct primecell_type *t = type_of(pc);

	for (unsigned i = 0; i < t->reg_count; i++) {
		const struct primecell_reg *r = &t->reg[i];

		reg[i] = stream_get_u32(in);
		if (reg[i] & ~(r->reset | r->writable | r->state))
			return diag_fail(d, EBADMSG,
					 "%s: register 0x%03x cannot be 0x%x",
					 pc->dev.cls->name, r->offset, reg[i]);
	}
	if (in->failed)
		return diag_fail(d, EBADMSG, "%s: state is cut off",
				 pc->dev.cls->name);
	return 0;
}

void primecell_put(struct primecell *pc, const uint32_t *reg)
{
	const struct primecell_type *t = type_of(pc);

	memcpy(pc->reg, reg, t->reg_count * sizeof(reg[0]));
	t->update(pc);
}
