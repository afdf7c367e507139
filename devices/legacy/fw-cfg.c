/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: fw_cfg: items by number for firmware
 *
 * QEMU, docs/specs/fw_cfg.rst. A selector chooses an item, reads of the data
 * register give one byte of it after the other, zeros behind its end; or the
 * guest writes the address of a command to the DMA register and the device
 * reads, skips or writes as many bytes as that says, and then clears its
 * control word or sets it to "error". There are two front ends: ports of
 * x86_64 (selector little-endian, data one byte behind it) and the registers
 * of Arm's QEMU virt machine (data first, selector big-endian). An access to
 * the data register may have any width: so many bytes go by.
 *
 * A command may ask for 4 GiB. As much as SLICE_BYTES is done before the
 * guest's next instruction; what is left is done on the event loop, one such
 * piece at a time, and the guest sees from the control word when it is over:
 * the specification allows for that, and every driver waits for it.
 * Meanwhile another command ends in error at once.
 *
 * Threads: registers on vCPU threads, the rest of a long command on the event
 * loop, all under fixed.lock.
 * Not implemented: writes to the data register, as in QEMU since 2.4.
 */
#include "vmm/fw-cfg.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/base/log.h"

#include "devices/legacy/fixed.h"
#include "devices/legacy/legacy.h"

#define SLICE_BYTES  MIB(1)
#define WINDOW_BYTES 256
#define SIGNATURE    "QEMU CFG" /* what the DMA register reads as */

/* Bits of a command's control word; above them is a key. */
enum {
	DMA_ERROR = 1 << 0,
	DMA_READ = 1 << 1,
	DMA_SKIP = 1 << 2,
	DMA_SELECT = 1 << 3,
	DMA_WRITE = 1 << 4,
	DMA_KEY_SHIFT = 16,
};

/* A command in guest RAM, struct FWCfgDmaAccess: big-endian. */
enum { CMD_CONTROL = 0, CMD_LENGTH = 4, CMD_ADDRESS = 8, CMD_BYTES = 16 };

/**
 * struct front - offsets of the registers
 * @data, @data_end: where reads give data
 * @big_endian: the selector
 */
struct front {
	uint8_t selector, data, data_end, dma, bytes;
	bool big_endian;
};

static const struct front fronts[] = {
	[PLAT_PIO] = { 0, 1, 2, 4, 12, false },
	[PLAT_MMIO] = { 8, 0, 8, 16, 24, true },
};

/**
 * struct reading - what is left of a long command
 * @command: where it is; @to: where the next byte goes; @left: bytes; 0: there
 *	is none
 */
struct reading {
	uint64_t command, to;
	uint32_t left;
};

/**
 * struct fw_cfg_device - the device; guarded by fixed.lock
 * @key, @at: the chosen item, and the byte of it that comes next
 * @window: @window_bytes of the item from @window_at on, so that a file is not
 *	read byte by byte
 * @dma_high: upper half of the DMA register, from the guest's last write
 * @more: does the next piece of @reading
 */
struct fw_cfg_device {
	struct device dev;
	struct fixed fixed;
	uint16_t key;
	uint32_t at;
	uint32_t window_at, window_bytes;
	uint8_t window[WINDOW_BYTES];
	uint32_t dma_high;
	struct reading reading;
	struct event_timer more;
	atomic_uint unreadable, misuse;
};

static struct fw_cfg_device *to_fw_cfg(struct device *dev)
{
	return container_of(dev, struct fw_cfg_device, dev);
}

static const struct fw_cfg_item *chosen(const struct fw_cfg_device *f)
{
	return fw_cfg_find(f->dev.env->fw_cfg, f->key);
}

static void choose(struct fw_cfg_device *f, uint16_t key)
{
	f->key = key;
	f->at = 0;
	f->window_bytes = 0;
}

/* Bytes of the chosen item that are still to come. */
static uint32_t rest(const struct fw_cfg_device *f)
{
	uint32_t size = fw_cfg_size(chosen(f));

	return f->at < size ? size - f->at : 0;
}

/* ---- one byte after the other --------------------------------------------*/

static int get(struct fw_cfg_device *f, void *buf, uint32_t len)
{
	int err = fw_cfg_read(chosen(f), f->at, buf, len);

	if (err)
		log_guest(&f->unreadable, "fw_cfg: item %#x: %s", f->key,
			  err == -ENODATA ? "its file has become shorter"
					  : strerror(-err));
	return err;
}

static bool in_window(const struct fw_cfg_device *f)
{
	return range_within(f->at, 1, f->window_at, f->window_bytes);
}

static uint8_t next_byte(struct fw_cfg_device *f)
{
	uint32_t len = MIN(rest(f), WINDOW_BYTES);

	if (!len)
		return 0;
	if (!in_window(f)) {
		if (get(f, f->window, len))
			memset(f->window, 0, len);
		f->window_at = f->at;
		f->window_bytes = len;
	}
	return f->window[f->at++ - f->window_at];
}

/* ---- commands ------------------------------------------------------------*/

/* All that the command did is in RAM before the guest sees its end. */
static void end_command(struct fw_cfg_device *f, uint64_t command,
			uint32_t control)
{
	const struct guest_ram *ram = f->dev.env->ram;
	uint32_t *word = ram_pin(ram, GPA(command), sizeof(*word));

	put_be32(&control, control);
	if (word && !((uintptr_t)word % sizeof(*word)))
		__atomic_store_n(word, control, __ATOMIC_RELEASE);
	else
		ram_write(ram, GPA(command), &control, sizeof(control));
}

/* @len bytes of the chosen item into guest RAM: false if it has none there. */
static bool put_item(struct fw_cfg_device *f, uint64_t to, uint32_t len)
{
	void *dst;

	if (!len)
		return true;
	dst = ram_pin(f->dev.env->ram, GPA(to), len);
	if (!dst || get(f, dst, len))
		return false;
	f->at += len;
	return true;
}

/* The next piece: false if the command has failed. */
static bool read_piece(struct fw_cfg_device *f)
{
	struct reading *r = &f->reading;
	uint32_t len = MIN(r->left, SLICE_BYTES);
	uint32_t from_item = MIN(len, rest(f));

	if (!put_item(f, r->to, from_item))
		return false;
	if (len > from_item &&
	    !ram_fill(f->dev.env->ram, GPA(r->to + from_item), 0,
		      len - from_item))
		return false;
	r->to += len;
	r->left -= len;
	return true;
}

static void go_on(struct fw_cfg_device *f)
{
	bool good = read_piece(f);

	if (good && f->reading.left) {
		event_timer_set(&f->more, 1, 0);
		return;
	}
	f->reading.left = 0;
	end_command(f, f->reading.command, good ? 0 : DMA_ERROR);
}

static void more(void *opaque)
{
	struct fw_cfg_device *f = opaque;

	pthread_mutex_lock(&f->fixed.lock);
	if (f->reading.left)
		go_on(f);
	pthread_mutex_unlock(&f->fixed.lock);
}

/* An item that can be written is small. */
static bool write_item(struct fw_cfg_device *f, uint64_t from, uint32_t len)
{
	uint8_t buf[WINDOW_BYTES];

	if (len > rest(f))
		return false;
	while (len) {
		uint32_t n = MIN(len, sizeof(buf));

		if (!ram_read(f->dev.env->ram, GPA(from), buf, n) ||
		    !fw_cfg_write(chosen(f), f->at, buf, n))
			return false;
		from += n;
		len -= n;
		f->at += n;
	}
	return true;
}

/* A command in @cmd, from @gpa; in the order of QEMU's checks. */
static void command(struct fw_cfg_device *f, uint64_t gpa, const uint8_t *cmd)
{
	uint32_t control = get_be32(cmd + CMD_CONTROL);
	uint32_t len = get_be32(cmd + CMD_LENGTH);
	uint64_t address = get_be64(cmd + CMD_ADDRESS);
	bool good = true;

	if (control & DMA_SELECT)
		choose(f, (uint16_t)(control >> DMA_KEY_SHIFT));
	if (control & DMA_READ && len) {
		f->reading = (struct reading){ gpa, address, len };
		go_on(f);
		return;
	}
	f->window_bytes = 0;
	if (control & DMA_READ)
		good = true;
	else if (control & DMA_WRITE)
		good = write_item(f, address, len);
	else if (control & DMA_SKIP)
		f->at += MIN(len, rest(f));
	end_command(f, gpa, good ? 0 : DMA_ERROR);
}

static void start(struct fw_cfg_device *f, uint64_t gpa)
{
	uint8_t cmd[CMD_BYTES];

	if (!ram_read(f->dev.env->ram, GPA(gpa), cmd, sizeof(cmd)))
		log_guest(&f->misuse,
			  "fw_cfg: the guest's command at %#llx is not in RAM",
			  (unsigned long long)gpa);
	else if (f->reading.left)
		end_command(f, gpa, DMA_ERROR);
	else
		command(f, gpa, cmd);
}

/* ---- registers -----------------------------------------------------------*/

static const struct front *front(const struct fw_cfg_device *f)
{
	return &fronts[f->fixed.kind];
}

static uint8_t read_byte(void *opaque, uint64_t offset_bytes)
{
	struct fw_cfg_device *f = opaque;
	uint64_t at = offset_bytes - front(f)->dma;

	return at < sizeof(SIGNATURE) - 1 ? (uint8_t)SIGNATURE[at] : 0;
}

static uint8_t data_byte(void *opaque, uint64_t offset_bytes)
{
	(void)offset_bytes;
	return next_byte(opaque);
}

static uint64_t fw_cfg_get(void *opaque, uint64_t offset_bytes,
			   unsigned size_bytes)
{
	struct fw_cfg_device *f = to_fw_cfg(opaque);
	bool data = offset_bytes >= front(f)->data &&
		    offset_bytes < front(f)->data_end;

	return fixed_read_bytes(f, offset_bytes, size_bytes,
				data ? data_byte : read_byte);
}

/* Both registers are big-endian; the lower half of the address starts. */
static void write_dma(struct fw_cfg_device *f, uint64_t at, unsigned size_bytes,
		      uint64_t value)
{
	uint64_t gpa = (uint64_t)f->dma_high << 32;

	if (at == 0 && size_bytes == 4) {
		f->dma_high = be32toh((uint32_t)value);
		return;
	}
	if (at == 0 && size_bytes == 8)
		gpa = be64toh(value);
	else if (at == 4 && size_bytes == 4)
		gpa |= be32toh((uint32_t)value);
	else
		return;
	f->dma_high = 0;
	start(f, gpa);
}

static void fw_cfg_put(void *opaque, uint64_t offset_bytes, unsigned size_bytes,
		       uint64_t value)
{
	struct fw_cfg_device *f = to_fw_cfg(opaque);
	const struct front *regs = front(f);
	uint16_t key = (uint16_t)value;

	if (offset_bytes == regs->selector && size_bytes == 2)
		choose(f, regs->big_endian ? be16toh(key) : key);
	else if (offset_bytes >= regs->dma)
		write_dma(f, offset_bytes - regs->dma, size_bytes, value);
}

static const struct bus_ops fw_cfg_ops = { fw_cfg_get, fw_cfg_put };

/* ---- device --------------------------------------------------------------*/

static void fw_cfg_reset(struct device *dev)
{
	struct fw_cfg_device *f = to_fw_cfg(dev);

	event_timer_set(&f->more, 0, 0);
	choose(f, 0);
	f->dma_high = 0;
	f->reading.left = 0;
}

static int fw_cfg_realize(struct device *dev, const struct device_place *place,
			  struct diag *d)
{
	struct fw_cfg_device *f = to_fw_cfg(dev);
	int err = event_timer_init(&f->more, dev->env->loop, more, f);

	if (err)
		return diag_errno(d, -err, "fw_cfg: cannot make a timer");
	err = fixed_realize(&f->fixed, dev, place, fronts[place->bus].bytes,
			    &fw_cfg_ops, d);
	if (err)
		event_timer_release(&f->more);
	return err;
}

static void fw_cfg_unrealize(struct device *dev)
{
	struct fw_cfg_device *f = to_fw_cfg(dev);

	event_timer_release(&f->more);
	fixed_unrealize(&f->fixed);
}

/* Linux, Documentation/devicetree/bindings/firmware/qemu,fw-cfg-mmio.yaml */
static int fw_cfg_describe(const struct device *dev, struct platform *p,
			   struct diag *d)
{
	const struct fw_cfg_device *f = (const void *)dev;
	struct plat_dev out = {
		.role = PLAT_PLAIN,
		.name = "fw-cfg",
		.hid = "QEMU0002",
		.prop = { { .name = "dma-coherent", .kind = PROP_FLAG } },
		.prop_count = 1,
	};

	static_assert(offsetof(struct fw_cfg_device, dev) == 0, "first member");
	if (f->fixed.kind == PLAT_MMIO)
		out.compatible = "qemu,fw-cfg-mmio\0";
	fixed_describe(&f->fixed, &out, false);
	return platform_add(p, &out, d);
}

static void fw_cfg_pause(struct device *dev)
{
	event_timer_set(&to_fw_cfg(dev)->more, 0, 0);
}

static void fw_cfg_resume(struct device *dev)
{
	struct fw_cfg_device *f = to_fw_cfg(dev);

	event_timer_set(&f->more, f->reading.left ? 1 : 0, 0);
}

static void fw_cfg_save(const struct device *dev, struct stream_out *out)
{
	const struct fw_cfg_device *f = (const void *)dev;

	stream_put_u16(out, f->key);
	stream_put_u32(out, f->at);
	stream_put_u32(out, f->dma_high);
	stream_put_u64(out, f->reading.command);
	stream_put_u64(out, f->reading.to);
	stream_put_u32(out, f->reading.left);
}

/* Every number is one that a guest could have written. */
static int fw_cfg_load(struct device *dev, struct stream_in *in, struct diag *d)
{
	struct fw_cfg_device *f = to_fw_cfg(dev);
	uint16_t key = stream_get_u16(in);
	uint32_t at = stream_get_u32(in);
	uint32_t dma_high = stream_get_u32(in);
	uint64_t command_gpa = stream_get_u64(in);
	uint64_t to = stream_get_u64(in);
	uint32_t left = stream_get_u32(in);

	if (in->failed)
		return diag_fail(d, EBADMSG, "fw-cfg: state is cut off");
	choose(f, key);
	f->at = at;
	f->dma_high = dma_high;
	f->reading = (struct reading){ command_gpa, to, left };
	return 0;
}

const struct device_class fw_cfg_class = {
	.name = "fw-cfg",
	.size_bytes = sizeof(struct fw_cfg_device),
	.realize = fw_cfg_realize,
	.describe = fw_cfg_describe,
	.reset = fw_cfg_reset,
	.save = fw_cfg_save,
	.load = fw_cfg_load,
	.unrealize = fw_cfg_unrealize,
	.pause = fw_cfg_pause,
	.resume = fw_cfg_resume,
};
