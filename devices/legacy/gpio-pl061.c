/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: GPIO controller PL061 with a power key
 *
 * Arm PrimeCell GPIO (PL061) TRM, DDI0190C. Names and section numbers are the
 * manual's. Eight lines; line 3 is wired to the machine's power key, active
 * high, the others to nothing (they read as 0).
 *
 * GPIODATA is 256 words: address bits 9:2 select the lines that an access sees
 * (sec. 3.3.1). The key is held for 100 ms, as long as a finger would, because
 * drivers look again after a debounce time.
 *
 * Threads: register handlers under pc.fixed.lock; the key on the main thread.
 *
 * Only in the FDT: under ACPI the power button is the generic event device.
 *
 * Not implemented: the alternate (hardware control) function of the lines.
 */
#include <assert.h>
#include <errno.h>

#include "devices/legacy/legacy.h"
#include "devices/legacy/primecell.h"

#define KEY_LINE (1u << 3)
#define KEY_NS	 100000000
#define DATA_END 0x400

enum { DIR, IS, IBE, IEV, IE, RIS, MIS, IC, AFSEL, REG_COUNT };

static_assert(REG_COUNT <= PRIMECELL_REGS, "room for all registers");

/**
 * struct gpio - the controller; guarded by pc.fixed.lock
 * @out: what was written to lines that are outputs
 * @in: levels that come from outside
 * @release: lets go of the key
 */
struct gpio {
	struct primecell pc;
	uint8_t out, in;
	struct event_timer release;
};

static struct gpio *to_gpio(struct primecell *pc)
{
	return container_of(pc, struct gpio, pc);
}

static uint8_t lines(const struct gpio *g)
{
	uint8_t dir = (uint8_t)g->pc.reg[DIR];

	return (g->out & dir) | (g->in & ~dir);
}

/* ---- interrupts (sec. 2.3) ---------------------------------------------- */

/* Lines with level sensing interrupt as long as the level is there. */
static uint32_t raw(const struct gpio *g)
{
	const uint32_t *reg = g->pc.reg;
	uint32_t active = ~(lines(g) ^ reg[IEV]);

	return (reg[RIS] & ~reg[IS]) | (active & reg[IS] & 0xff);
}

static void gpio_update(struct primecell *pc)
{
	fixed_drive(&pc->fixed, raw(to_gpio(pc)) & pc->reg[IE]);
}

/* Lines with edge sensing remember their edges. */
static void edges(struct gpio *g, uint8_t before)
{
	uint32_t *reg = g->pc.reg;
	uint32_t now = lines(g);
	uint32_t changed = now ^ before;

	reg[RIS] |= changed & ~reg[IS] & (reg[IBE] | ~(now ^ reg[IEV]));
}

/* ---- registers (sec. 3.3) ----------------------------------------------- */

static uint32_t read_ris(struct primecell *pc)
{
	return raw(to_gpio(pc));
}

static uint32_t read_mis(struct primecell *pc)
{
	return raw(to_gpio(pc)) & pc->reg[IE];
}

static void write_ic(struct primecell *pc, uint32_t value, uint32_t before)
{
	(void)before;
	pc->reg[RIS] &= ~value;
}

static const struct primecell_reg regs[REG_COUNT] = {
	[DIR] = { .offset = 0x400, .writable = 0xff },
	[IS] = { .offset = 0x404, .writable = 0xff },
	[IBE] = { .offset = 0x408, .writable = 0xff },
	[IEV] = { .offset = 0x40c, .writable = 0xff },
	[IE] = { .offset = 0x410, .writable = 0xff },
	[RIS] = { .offset = 0x414, .state = 0xff, .read = read_ris },
	[MIS] = { .offset = 0x418, .read = read_mis },
	[IC] = { .offset = 0x41c, .write = write_ic },
	[AFSEL] = { .offset = 0x420, .writable = 0xff },
};

static uint32_t gpio_read_data(struct primecell *pc, uint32_t mask)
{
	return lines(to_gpio(pc)) & mask;
}

static void gpio_write_data(struct primecell *pc, uint32_t mask, uint32_t value)
{
	struct gpio *g = to_gpio(pc);
	uint8_t before = lines(g);

	mask &= pc->reg[DIR];
	g->out = (uint8_t)((g->out & ~mask) | (value & mask));
	edges(g, before);
}

static const struct primecell_type gpio_type = {
	.part = 0x00041061,
	.reg = regs,
	.reg_count = REG_COUNT,
	.update = gpio_update,
	.masked_bytes = DATA_END,
	.read_masked = gpio_read_data,
	.write_masked = gpio_write_data,
};

/* ---- power key ---------------------------------------------------------- */

static void set_key(struct gpio *g, bool down)
{
	uint8_t before;

	pthread_mutex_lock(&g->pc.fixed.lock);
	before = lines(g);
	g->in = down ? KEY_LINE : 0;
	edges(g, before);
	gpio_update(&g->pc);
	pthread_mutex_unlock(&g->pc.fixed.lock);
}

static void gpio_power_button(struct device *dev)
{
	struct gpio *g = to_gpio(to_primecell(dev));

	set_key(g, true);
	event_timer_set(&g->release, KEY_NS, 0);
}

static void key_released(void *opaque)
{
	set_key(opaque, false);
}

/* ---- device ------------------------------------------------------------- */

static void gpio_reset(struct device *dev)
{
	struct gpio *g = to_gpio(to_primecell(dev));

	event_timer_set(&g->release, 0, 0);
	g->in = g->out = 0;
	primecell_reset(&g->pc);
}

static int gpio_realize(struct device *dev, const struct device_place *place,
			struct diag *d)
{
	struct gpio *g = to_gpio(to_primecell(dev));
	int err =
		event_timer_init(&g->release, dev->env->loop, key_released, g);

	if (err)
		return diag_errno(d, -err, "gpio-pl061: cannot make a timer");
	err = primecell_realize(&g->pc, place, d);
	if (err)
		event_timer_release(&g->release);
	return err;
}

static void gpio_unrealize(struct device *dev)
{
	struct gpio *g = to_gpio(to_primecell(dev));

	event_timer_release(&g->release);
	fixed_unrealize(&g->pc.fixed);
}

static int gpio_describe(const struct device *dev, struct platform *p,
			 struct diag *d)
{
	struct plat_dev out = {
		.role = PLAT_POWER_GPIO,
		.name = "pl061",
		.compatible = "arm,pl061\0arm,primecell\0",
		.prop = { { .name = "gpio-controller", .kind = PROP_FLAG },
			  { .name = "#gpio-cells",
			    .kind = PROP_U32,
			    .u32 = 2 } },
		.prop_count = 2,
	};

	primecell_describe(to_const_primecell(dev), &out, 1, "apb_pclk");
	return platform_add(p, &out, d);
}

/* A key that is held down is let go by a restore. */
static void gpio_save(const struct device *dev, struct stream_out *out)
{
	const struct gpio *g = (const void *)dev;

	static_assert(offsetof(struct gpio, pc) == 0, "first member");
	primecell_save(&g->pc, out);
	stream_put_u8(out, g->out);
}

static int gpio_load(struct device *dev, struct stream_in *in, struct diag *d)
{
	struct gpio *g = to_gpio(to_primecell(dev));
	uint32_t reg[PRIMECELL_REGS];
	int err = primecell_get(&g->pc, in, reg, d);
	uint8_t out = stream_get_u8(in);

	if (err)
		return err;
	if (in->failed)
		return diag_fail(d, EBADMSG, "gpio-pl061: state is cut off");
	g->out = out;
	primecell_put(&g->pc, reg);
	return 0;
}

const struct device_class gpio_pl061_class = {
	.name = "gpio-pl061",
	.size_bytes = sizeof(struct gpio),
	.data = &gpio_type,
	.realize = gpio_realize,
	.describe = gpio_describe,
	.reset = gpio_reset,
	.save = gpio_save,
	.load = gpio_load,
	.unrealize = gpio_unrealize,
	.power_button = gpio_power_button,
};
