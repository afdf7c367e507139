/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: serial port NS16550A
 *
 * National Semiconductor PC16550D data sheet (June 1995); register names and
 * section numbers are its. Eight byte-wide registers, 16-byte receive FIFO.
 *
 * The transmitter is infinitely fast: a byte written to THR is handed to the
 * character back end at once, THR is always empty, and the THRE interrupt is
 * raised again right away. The receive time-out interrupt comes at once as
 * well, so that a guest never waits for the trigger level.
 *
 * Input waits in the back end while the FIFO is full or in loopback mode.
 *
 * Threads: register handlers under fixed.lock; the back end calls
 * serial_room() and serial_receive() on the event-loop thread.
 *
 * Not implemented: baud rate and frame format (stored, without effect), break,
 * parity and framing errors, DMA modes, hardware flow control (MCR.RTS), and
 * the gating of the interrupt by MCR.OUT2 that is the PC's, not the chip's.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "devices/legacy/fixed.h"
#include "devices/legacy/legacy.h"

#define PORTS	   8
#define FIFO_BYTES 16

enum {
	IER_RDA = 0x01,
	IER_THRE = 0x02,
	IER_RLS = 0x04,
	IER_MS = 0x08,

	IIR_MS = 0x00,
	IIR_NONE = 0x01,
	IIR_THRE = 0x02,
	IIR_RDA = 0x04,
	IIR_RLS = 0x06,
	IIR_TIMEOUT = 0x0c,
	IIR_FIFO = 0xc0,

	FCR_ENABLE = 0x01,
	FCR_CLEAR_RX = 0x02,
	FCR_TRIGGER = 0xc0,

	LCR_DLAB = 0x80,

	MCR_DTR = 0x01,
	MCR_RTS = 0x02,
	MCR_OUT1 = 0x04,
	MCR_OUT2 = 0x08,
	MCR_LOOP = 0x10,

	LSR_DR = 0x01,
	LSR_OE = 0x02,
	LSR_THRE = 0x20,
	LSR_TEMT = 0x40,

	MSR_DELTAS = 0x0f,
	MSR_TERI = 0x04,
	MSR_CTS = 0x10,
	MSR_DSR = 0x20,
	MSR_RI = 0x40,
	MSR_DCD = 0x80,
};

/* Registers by place (0-7); DLL and DLM lie under 0 and 1 with LCR.DLAB. */
enum { DATA, IER, FCR, LCR, MCR, LSR, MSR, SCR, DLL, DLM, REG_COUNT };

/**
 * struct serial - the port; all of it guarded by @fixed.lock
 * @reg: stored bits of each register
 * @fifo: received, @fifo_len bytes from @fifo_head; one byte with FIFOs off
 * @thre: the THRE interrupt is pending: IIR was not read since
 */
struct serial {
	struct device dev;
	struct fixed fixed;
	uint8_t reg[REG_COUNT];
	uint8_t fifo[FIFO_BYTES];
	unsigned fifo_head, fifo_len;
	bool thre;
};

static struct serial *to_serial(struct device *dev)
{
	return container_of(dev, struct serial, dev);
}

static const struct serial *to_const(const struct device *dev)
{
	static_assert(offsetof(struct serial, dev) == 0, "first member");
	return (const void *)dev;
}

/* ---- interrupt (sec. 8.6) ----------------------------------------------- */

static bool fifo_on(const struct serial *s)
{
	return s->reg[FCR] & FCR_ENABLE;
}

static unsigned fifo_capacity(const struct serial *s)
{
	return fifo_on(s) ? FIFO_BYTES : 1;
}

static bool trigger_reached(const struct serial *s)
{
	static const uint8_t level[] = { 1, 4, 8, 14 };

	return s->fifo_len >= (fifo_on(s) ? level[s->reg[FCR] >> 6] : 1);
}

/* The pending interrupt of the highest priority, as IIR shows it. */
static uint8_t pending(const struct serial *s)
{
	uint8_t ier = s->reg[IER];

	if ((ier & IER_RLS) && (s->reg[LSR] & LSR_OE))
		return IIR_RLS;
	if ((ier & IER_RDA) && s->fifo_len)
		return trigger_reached(s) ? IIR_RDA : IIR_TIMEOUT;
	if ((ier & IER_THRE) && s->thre)
		return IIR_THRE;
	if ((ier & IER_MS) && (s->reg[MSR] & MSR_DELTAS))
		return IIR_MS;
	return IIR_NONE;
}

static void update(struct serial *s)
{
	fixed_drive(&s->fixed, pending(s) != IIR_NONE);
}

/* ---- receiver ----------------------------------------------------------- */

static void fifo_push(struct serial *s, uint8_t byte)
{
	if (s->fifo_len == fifo_capacity(s)) {
		s->reg[LSR] |= LSR_OE;
		return;
	}
	s->fifo[(s->fifo_head + s->fifo_len++) % FIFO_BYTES] = byte;
}

static void fifo_clear(struct serial *s)
{
	s->fifo_head = s->fifo_len = 0;
}

/* There may be room now. */
static void resume(struct serial *s)
{
	if (s->dev.env->serial)
		chardev_resume(s->dev.env->serial);
}

static size_t serial_room(void *opaque)
{
	struct serial *s = opaque;
	size_t room = 0;

	pthread_mutex_lock(&s->fixed.lock);
	if (!(s->reg[MCR] & MCR_LOOP))
		room = fifo_capacity(s) - s->fifo_len;
	pthread_mutex_unlock(&s->fixed.lock);
	return room;
}

static void serial_receive(void *opaque, const uint8_t *data, size_t len)
{
	struct serial *s = opaque;

	pthread_mutex_lock(&s->fixed.lock);
	for (size_t i = 0; i < len; i++)
		fifo_push(s, data[i]);
	update(s);
	pthread_mutex_unlock(&s->fixed.lock);
}

/* ---- registers (sec. 8) ------------------------------------------------- */

static uint8_t read_rbr(struct serial *s)
{
	uint8_t byte = s->fifo[s->fifo_head];

	if (!s->fifo_len)
		return 0;
	s->fifo_head = (s->fifo_head + 1) % FIFO_BYTES;
	s->fifo_len--;
	resume(s);
	return byte;
}

static void write_thr(struct serial *s, uint8_t byte, uint8_t before)
{
	(void)before;
	s->thre = true;
	if (s->reg[MCR] & MCR_LOOP)
		fifo_push(s, byte);
	else if (s->dev.env->serial)
		chardev_write(s->dev.env->serial, &byte, 1);
}

/* Enabling the THRE interrupt while THR is empty raises it: drivers start to
 * transmit that way, and Linux probes for it. */
static void write_ier(struct serial *s, uint8_t value, uint8_t before)
{
	if (value & ~before & IER_THRE)
		s->thre = true;
}

static uint8_t read_iir(struct serial *s)
{
	uint8_t iir = pending(s);

	if (iir == IIR_THRE)
		s->thre = false;
	return fifo_on(s) ? iir | IIR_FIFO : iir;
}

/* Without the enable bit, no other bit is programmed. */
static void write_fcr(struct serial *s, uint8_t value, uint8_t before)
{
	if (!(value & FCR_ENABLE))
		s->reg[FCR] = 0;
	if (!((value ^ before) & FCR_ENABLE) && !(value & FCR_CLEAR_RX))
		return;
	fifo_clear(s);
	resume(s);
}

static uint8_t read_lsr(struct serial *s)
{
	uint8_t lsr = s->reg[LSR] | LSR_THRE | LSR_TEMT;

	s->reg[LSR] = 0;
	return s->fifo_len ? lsr | LSR_DR : lsr;
}

/* The modem lines as the chip sees them: our own outputs in loopback mode,
 * else a modem that is always there. */
static uint8_t modem_lines(const struct serial *s)
{
	uint8_t mcr = s->reg[MCR];
	uint8_t lines = 0;

	if (!(mcr & MCR_LOOP))
		return MSR_DCD | MSR_DSR | MSR_CTS;
	lines |= mcr & MCR_RTS ? MSR_CTS : 0;
	lines |= mcr & MCR_DTR ? MSR_DSR : 0;
	lines |= mcr & MCR_OUT1 ? MSR_RI : 0;
	lines |= mcr & MCR_OUT2 ? MSR_DCD : 0;
	return lines;
}

static void write_mcr(struct serial *s, uint8_t value, uint8_t before)
{
	uint8_t now = modem_lines(s);
	uint8_t changed = (s->reg[MSR] ^ now) >> 4;

	/* Of the ring indicator only its end is reported. */
	if (now & MSR_RI)
		changed &= 0xff ^ MSR_TERI;
	s->reg[MSR] = now | changed | (s->reg[MSR] & MSR_DELTAS);
	if (before & ~value & MCR_LOOP)
		resume(s);
}

static uint8_t read_msr(struct serial *s)
{
	uint8_t msr = s->reg[MSR];

	s->reg[MSR] &= 0xff ^ MSR_DELTAS;
	return msr;
}

/*
 * @reset: stored bits after reset
 * @writable: bits that a write stores
 * @read: instead of the stored bits
 * @write: what else a write does: the value written, the bits stored before
 */
static const struct serial_reg {
	uint8_t reset, writable;
	uint8_t (*read)(struct serial *s);
	void (*write)(struct serial *s, uint8_t value, uint8_t before);
} regs[REG_COUNT] = {
	[DATA] = { .read = read_rbr, .write = write_thr },
	[IER] = { .writable = 0x0f, .write = write_ier },
	[FCR] = { .writable = FCR_ENABLE | FCR_TRIGGER,
		  .read = read_iir,
		  .write = write_fcr },
	[LCR] = { .writable = 0xff },
	[MCR] = { .writable = 0x1f, .write = write_mcr },
	[LSR] = { .read = read_lsr },
	[MSR] = { .reset = MSR_DCD | MSR_DSR | MSR_CTS, .read = read_msr },
	[SCR] = { .writable = 0xff },
	[DLL] = { .reset = 0x01, .writable = 0xff }, /* 115200 baud */
	[DLM] = { .writable = 0xff },
};

static unsigned reg_at(const struct serial *s, uint64_t offset_bytes)
{
	unsigned i = offset_bytes % PORTS;

	return i < 2 && (s->reg[LCR] & LCR_DLAB) ? DLL + i : i;
}

static uint8_t get_byte(void *opaque, uint64_t offset_bytes)
{
	struct serial *s = opaque;
	unsigned i = reg_at(s, offset_bytes);

	return regs[i].read ? regs[i].read(s) : s->reg[i];
}

static void put_byte(void *opaque, uint64_t offset_bytes, uint8_t value)
{
	struct serial *s = opaque;
	unsigned i = reg_at(s, offset_bytes);
	uint8_t before = s->reg[i];

	s->reg[i] = (before & ~regs[i].writable) | (value & regs[i].writable);
	if (regs[i].write)
		regs[i].write(s, value, before);
}

static uint64_t serial_read(void *opaque, uint64_t offset_bytes,
			    unsigned size_bytes)
{
	uint64_t value =
		fixed_read_bytes(opaque, offset_bytes, size_bytes, get_byte);

	update(opaque);
	return value;
}

static void serial_write(void *opaque, uint64_t offset_bytes,
			 unsigned size_bytes, uint64_t value)
{
	fixed_write_bytes(opaque, offset_bytes, size_bytes, value, put_byte);
	update(opaque);
}

static const struct bus_ops serial_ops = { .read = serial_read,
					   .write = serial_write };

/* ---- device ------------------------------------------------------------- */

static void serial_reset(struct device *dev)
{
	struct serial *s = to_serial(dev);

	for (unsigned i = 0; i < REG_COUNT; i++)
		s->reg[i] = regs[i].reset;
	fifo_clear(s);
	s->thre = false;
	fixed_lower(&s->fixed);
	resume(s);
}

static int serial_realize(struct device *dev, const struct device_place *place,
			  struct diag *d)
{
	struct serial *s = to_serial(dev);
	struct chardev_user user = { .room = serial_room,
				     .receive = serial_receive,
				     .opaque = s };
	int err = fixed_realize(&s->fixed, dev, place, PORTS, &serial_ops, d);

	if (err)
		return err;
	serial_reset(dev);
	if (dev->env->serial)
		chardev_attach(dev->env->serial, &user);
	return 0;
}

static void serial_unrealize(struct device *dev)
{
	struct serial *s = to_serial(dev);

	if (dev->env->serial)
		chardev_attach(dev->env->serial, NULL);
	fixed_unrealize(&s->fixed);
}

static int serial_describe(const struct device *dev, struct platform *p,
			   struct diag *d)
{
	const struct serial *s = to_const(dev);
	struct plat_dev out = {
		.role = PLAT_CONSOLE,
		.name = "serial",
		.compatible = "ns16550a\0",
		.hid = "PNP0501",
		.prop = { { .name = "clock-frequency",
			    .kind = PROP_U32,
			    .u32 = 1843200 } },
		.prop_count = 1,
	};

	fixed_describe(&s->fixed, &out, true);
	return platform_add(p, &out, d);
}

static void serial_save(const struct device *dev, struct stream_out *out)
{
	const struct serial *s = to_const(dev);

	stream_put(out, s->reg, sizeof(s->reg));
	stream_put_u8(out, s->thre);
	stream_put_u8(out, (uint8_t)s->fifo_len);
	for (unsigned i = 0; i < s->fifo_len; i++)
		stream_put_u8(out, s->fifo[(s->fifo_head + i) % FIFO_BYTES]);
}

/* Bits that can be set in a stored register. */
static uint8_t possible(unsigned i)
{
	static const uint8_t extra[REG_COUNT] = {
		[LSR] = LSR_OE, [MSR] = 0xff
	};

	return regs[i].writable | regs[i].reset | extra[i];
}

static bool state_valid(const struct serial *s)
{
	for (unsigned i = 0; i < REG_COUNT; i++)
		if (s->reg[i] & ~possible(i))
			return false;
	return s->fifo_len <= fifo_capacity(s);
}

static int serial_load(struct device *dev, struct stream_in *in, struct diag *d)
{
	struct serial *s = to_serial(dev);
	struct serial new = { 0 };

	stream_get(in, new.reg, sizeof(new.reg));
	new.thre = stream_get_u8(in) & 1;
	new.fifo_len = stream_get_u8(in);
	if (in->failed || !state_valid(&new))
		return diag_fail(d, EBADMSG, "serial-16550: bad state");
	stream_get(in, new.fifo, new.fifo_len);
	if (in->failed)
		return diag_fail(d, EBADMSG, "serial-16550: state is cut off");
	memcpy(s->reg, new.reg, sizeof(s->reg));
	memcpy(s->fifo, new.fifo, sizeof(s->fifo));
	s->thre = new.thre;
	s->fifo_head = 0;
	s->fifo_len = new.fifo_len;
	update(s);
	resume(s);
	return 0;
}

const struct device_class serial_16550_class = {
	.name = "serial-16550",
	.size_bytes = sizeof(struct serial),
	.realize = serial_realize,
	.describe = serial_describe,
	.reset = serial_reset,
	.save = serial_save,
	.load = serial_load,
	.unrealize = serial_unrealize,
};
