/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: serial port PL011
 *
 * Arm PrimeCell UART (PL011) TRM, DDI0183G, revision r1p5: 32-byte FIFOs.
 * Names and section numbers are the manual's.
 *
 * The transmitter is infinitely fast: the transmit FIFO is always empty, and
 * each byte written raises the transmit interrupt anew. It also transmits
 * while the UART is disabled: an early console of a guest without firmware
 * relies on somebody having enabled it. Received data that stays below the
 * trigger level raises the time-out interrupt at once.
 *
 * Input waits in the back end while the FIFO is full, in loopback mode, and
 * until the guest enables the receiver.
 *
 * Threads: register handlers under fixed.lock; the back end calls
 * pl011_room() and pl011_receive() on the event-loop thread.
 *
 * Not implemented: baud rate and frame format (stored, without effect), break,
 * parity and framing errors, IrDA, DMA requests, hardware flow control.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "devices/legacy/legacy.h"
#include "devices/legacy/primecell.h"

#define FIFO_BYTES 32

enum {
	FR_CTS = 1 << 0,
	FR_DSR = 1 << 1,
	FR_DCD = 1 << 2,
	FR_RXFE = 1 << 4,
	FR_RXFF = 1 << 6,
	FR_TXFE = 1 << 7,
	FR_RI = 1 << 8,

	LCR_FEN = 1 << 4,

	CR_UARTEN = 1 << 0,
	CR_LBE = 1 << 7,
	CR_RXE = 1 << 9,
	CR_DTR = 1 << 10,
	CR_RTS = 1 << 11,
	CR_OUT1 = 1 << 12,
	CR_OUT2 = 1 << 13,

	INT_RI = 1 << 0,
	INT_CTS = 1 << 1,
	INT_DCD = 1 << 2,
	INT_DSR = 1 << 3,
	INT_RX = 1 << 4,
	INT_TX = 1 << 5,
	INT_RT = 1 << 6,
	INT_OE = 1 << 10,
	INT_ALL = 0x7ff,

	DR_OE = 1 << 11,
	RSR_OE = 1 << 3,
};

/* In the order of regs[]: polled and written most come first. */
enum {
	FR,
	DR,
	RIS,
	MIS,
	ICR,
	IMSC,
	RSR,
	ILPR,
	IBRD,
	FBRD,
	LCR_H,
	CR,
	IFLS,
	DMACR,
	REG_COUNT
};

static_assert(REG_COUNT <= PRIMECELL_REGS, "room for all registers");

/**
 * struct pl011 - the port; all of it guarded by pc.fixed.lock
 * @fifo: received, @fifo_len bytes from @fifo_head; one byte with FIFOs off
 */
struct pl011 {
	struct primecell pc;
	uint8_t fifo[FIFO_BYTES];
	unsigned fifo_head, fifo_len;
};

static struct pl011 *to_pl011(struct primecell *pc)
{
	return container_of(pc, struct pl011, pc);
}

static struct chardev *line_of(const struct pl011 *p)
{
	return p->pc.dev.env->serial;
}

/* ---- receiver ----------------------------------------------------------- */

static unsigned fifo_capacity(const uint32_t *reg)
{
	return reg[LCR_H] & LCR_FEN ? FIFO_BYTES : 1;
}

/* IFLS.RXIFLSEL (sec. 3.3.9); the reserved values count as one half. */
static unsigned trigger(const uint32_t *reg)
{
	static const uint8_t level[] = { 4, 8, 16, 24, 28, 16, 16, 16 };

	return reg[LCR_H] & LCR_FEN ? level[(reg[IFLS] >> 3) & 7] : 1;
}

static void fifo_push(struct pl011 *p, uint8_t byte)
{
	uint32_t *reg = p->pc.reg;

	if (p->fifo_len == fifo_capacity(reg)) {
		reg[RSR] |= RSR_OE;
		reg[RIS] |= INT_OE;
		return;
	}
	p->fifo[(p->fifo_head + p->fifo_len++) % FIFO_BYTES] = byte;
	if (p->fifo_len >= trigger(reg))
		reg[RIS] |= INT_RX;
	else
		reg[RIS] |= INT_RT;
}

static uint8_t fifo_pop(struct pl011 *p)
{
	uint32_t *reg = p->pc.reg;
	uint8_t byte = p->fifo[p->fifo_head];

	if (!p->fifo_len)
		return 0;
	p->fifo_head = (p->fifo_head + 1) % FIFO_BYTES;
	p->fifo_len--;
	if (p->fifo_len < trigger(reg))
		reg[RIS] &= ~(uint32_t)INT_RX;
	if (!p->fifo_len)
		reg[RIS] &= ~(uint32_t)INT_RT;
	else if (p->fifo_len < trigger(reg))
		reg[RIS] |= INT_RT;
	return byte;
}

static void resume(struct pl011 *p)
{
	if (line_of(p))
		chardev_resume(line_of(p));
}

static void fifo_clear(struct pl011 *p)
{
	p->fifo_head = p->fifo_len = 0;
	p->pc.reg[RIS] &= ~(uint32_t)(INT_RX | INT_RT);
	resume(p);
}

static bool receiving(const uint32_t *reg)
{
	return (reg[CR] & (CR_UARTEN | CR_RXE | CR_LBE)) ==
	       (CR_UARTEN | CR_RXE);
}

static size_t pl011_room(void *opaque)
{
	struct pl011 *p = opaque;
	size_t room = 0;

	pthread_mutex_lock(&p->pc.fixed.lock);
	if (receiving(p->pc.reg))
		room = fifo_capacity(p->pc.reg) - p->fifo_len;
	pthread_mutex_unlock(&p->pc.fixed.lock);
	return room;
}

static void pl011_update(struct primecell *pc)
{
	fixed_drive(&pc->fixed, pc->reg[RIS] & pc->reg[IMSC]);
}

static void pl011_receive(void *opaque, const uint8_t *data, size_t len)
{
	struct pl011 *p = opaque;

	pthread_mutex_lock(&p->pc.fixed.lock);
	for (size_t i = 0; i < len; i++)
		fifo_push(p, data[i]);
	pl011_update(&p->pc);
	pthread_mutex_unlock(&p->pc.fixed.lock);
}

/* ---- registers (sec. 3.3) ----------------------------------------------- */

/* The error flag belongs to a character; here: to the next one read. */
static uint32_t read_dr(struct primecell *pc)
{
	struct pl011 *p = to_pl011(pc);
	uint32_t flags = pc->reg[RSR] & RSR_OE ? DR_OE : 0;
	uint32_t value = fifo_pop(p) | flags;

	resume(p);
	return value;
}

static void write_dr(struct primecell *pc, uint32_t value, uint32_t before)
{
	struct pl011 *p = to_pl011(pc);
	uint8_t byte = (uint8_t)value;

	(void)before;
	pc->reg[RIS] |= INT_TX;
	if (pc->reg[CR] & CR_LBE)
		fifo_push(p, byte);
	else if (line_of(p))
		chardev_write(line_of(p), &byte, 1);
}

/* UARTECR: a write of any value clears the errors. */
static void write_ecr(struct primecell *pc, uint32_t value, uint32_t before)
{
	(void)value;
	(void)before;
	pc->reg[RSR] = 0;
}

/* Our own outputs in loopback mode, else a modem that is always there. */
static uint32_t modem_lines(uint32_t cr)
{
	uint32_t lines = 0;

	if (!(cr & CR_LBE))
		return FR_CTS | FR_DSR | FR_DCD;
	lines |= cr & CR_RTS ? FR_CTS : 0;
	lines |= cr & CR_DTR ? FR_DSR : 0;
	lines |= cr & CR_OUT2 ? FR_DCD : 0;
	lines |= cr & CR_OUT1 ? FR_RI : 0;
	return lines;
}

static uint32_t read_fr(struct primecell *pc)
{
	const struct pl011 *p = to_pl011(pc);
	uint32_t fr = FR_TXFE | modem_lines(pc->reg[CR]);

	if (!p->fifo_len)
		fr |= FR_RXFE;
	if (p->fifo_len == fifo_capacity(pc->reg))
		fr |= FR_RXFF;
	return fr;
}

static void write_lcr_h(struct primecell *pc, uint32_t value, uint32_t before)
{
	if ((value ^ before) & LCR_FEN)
		fifo_clear(to_pl011(pc));
}

static void write_cr(struct primecell *pc, uint32_t value, uint32_t before)
{
	uint32_t changed = modem_lines(before) ^ modem_lines(pc->reg[CR]);

	(void)value;
	pc->reg[RIS] |= changed & FR_CTS ? INT_CTS : 0;
	pc->reg[RIS] |= changed & FR_DSR ? INT_DSR : 0;
	pc->reg[RIS] |= changed & FR_DCD ? INT_DCD : 0;
	pc->reg[RIS] |= changed & FR_RI ? INT_RI : 0;
	resume(to_pl011(pc));
}

static uint32_t read_mis(struct primecell *pc)
{
	return pc->reg[RIS] & pc->reg[IMSC];
}

static void write_icr(struct primecell *pc, uint32_t value, uint32_t before)
{
	(void)before;
	pc->reg[RIS] &= ~value;
}

static const struct primecell_reg regs[REG_COUNT] = {
	[FR] = { .offset = 0x018, .read = read_fr },
	[DR] = { .offset = 0x000, .read = read_dr, .write = write_dr },
	[RIS] = { .offset = 0x03c, .state = INT_ALL },
	[MIS] = { .offset = 0x040, .read = read_mis },
	[ICR] = { .offset = 0x044, .write = write_icr },
	[IMSC] = { .offset = 0x038, .writable = INT_ALL },
	[RSR] = { .offset = 0x004, .state = RSR_OE, .write = write_ecr },
	[ILPR] = { .offset = 0x020, .writable = 0xff },
	[IBRD] = { .offset = 0x024, .writable = 0xffff },
	[FBRD] = { .offset = 0x028, .writable = 0x3f },
	[LCR_H] = { .offset = 0x02c, .writable = 0xff, .write = write_lcr_h },
	[CR] = { .offset = 0x030,
		 .reset = 0x0300,
		 .writable = 0xff87,
		 .write = write_cr },
	[IFLS] = { .offset = 0x034, .reset = 0x12, .writable = 0x3f },
	[DMACR] = { .offset = 0x048, .writable = 0x07 },
};

static const struct primecell_type pl011_type = {
	.part = 0x00341011,
	.reg = regs,
	.reg_count = REG_COUNT,
	.update = pl011_update,
};

/* ---- device ------------------------------------------------------------- */

static void pl011_reset(struct device *dev)
{
	primecell_reset(to_primecell(dev));
	fifo_clear(to_pl011(to_primecell(dev)));
}

static int pl011_realize(struct device *dev, const struct device_place *place,
			 struct diag *d)
{
	struct pl011 *p = to_pl011(to_primecell(dev));
	struct chardev_user user = { .room = pl011_room,
				     .receive = pl011_receive,
				     .opaque = p };
	int err = primecell_realize(&p->pc, place, d);

	if (!err && line_of(p))
		chardev_attach(line_of(p), &user);
	return err;
}

static void pl011_unrealize(struct device *dev)
{
	struct pl011 *p = to_pl011(to_primecell(dev));

	if (line_of(p))
		chardev_attach(line_of(p), NULL);
	fixed_unrealize(&p->pc.fixed);
}

static int pl011_describe(const struct device *dev, struct platform *pl,
			  struct diag *d)
{
	struct plat_dev out = {
		.role = PLAT_CONSOLE,
		.name = "pl011",
		.compatible = "arm,pl011\0arm,primecell\0",
		.hid = "ARMH0011",
	};

	primecell_describe(to_const_primecell(dev), &out, 2,
			   "uartclk\0apb_pclk");
	return platform_add(pl, &out, d);
}

static void pl011_save(const struct device *dev, struct stream_out *out)
{
	const struct primecell *pc = to_const_primecell(dev);
	const struct pl011 *p = (const void *)pc;

	static_assert(offsetof(struct pl011, pc) == 0, "first member");
	primecell_save(pc, out);
	stream_put_u8(out, (uint8_t)p->fifo_len);
	for (unsigned i = 0; i < p->fifo_len; i++)
		stream_put_u8(out, p->fifo[(p->fifo_head + i) % FIFO_BYTES]);
}

static int pl011_load(struct device *dev, struct stream_in *in, struct diag *d)
{
	struct pl011 *p = to_pl011(to_primecell(dev));
	uint32_t reg[PRIMECELL_REGS];
	uint8_t fifo[FIFO_BYTES] = { 0 };
	unsigned len;
	int err = primecell_get(&p->pc, in, reg, d);

	if (err)
		return err;
	len = stream_get_u8(in);
	if (len > fifo_capacity(reg))
		return diag_fail(d, EBADMSG, "serial-pl011: FIFO of %u bytes",
				 len);
	stream_get(in, fifo, len);
	if (in->failed)
		return diag_fail(d, EBADMSG, "serial-pl011: state is cut off");
	memcpy(p->fifo, fifo, sizeof(fifo));
	p->fifo_head = 0;
	p->fifo_len = len;
	primecell_put(&p->pc, reg);
	resume(p);
	return 0;
}

const struct device_class serial_pl011_class = {
	.name = "serial-pl011",
	.size_bytes = sizeof(struct pl011),
	.data = &pl011_type,
	.realize = pl011_realize,
	.describe = pl011_describe,
	.reset = pl011_reset,
	.save = pl011_save,
	.load = pl011_load,
	.unrealize = pl011_unrealize,
};
