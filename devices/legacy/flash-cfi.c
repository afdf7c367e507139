/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: NOR flash in which firmware keeps its variables
 *
 * The command set is Intel's (CFI primary vendor 0x0001: Common Flash Memory
 * Interface, JEDEC JEP137; Intel StrataFlash P30 data sheet). Erasing a block
 * makes it ones; programming only clears bits. There are two shapes, those that
 * firmware knows from QEMU:
 *
 *	virt	two 16-bit chips side by side on a 32-bit bus, every command and
 *		every answer in both halves of a word; blocks of 256 KiB
 *	q35	one 8-bit chip, blocks of 4 KiB; what firmware leaves free
 *
 * Flash is as large as its window, and has memory where its file has bytes:
 * what lies behind reads as erased and cannot be programmed.
 *
 * The status register always says "ready". Only a PC's says nothing when it was
 * cleared, as QEMU's does: OVMF takes it for ROM otherwise (edk2, QemuFlash.c).
 *
 * What the guest programs is in the file before its next instruction, in the
 * guest's order, so a VMM that is killed leaves what a board leaves whose
 * power fails; firmware is made for that. At the end of a series of writes
 * (back to reading) the file is also made durable.
 *
 * Answers of registers: QEMU's hw/block/pflash_cfi01.c is what firmware has
 * been tried with.
 *
 * Firmware reads a lot at once, byte by byte. So after a few reads of the
 * content the guest is shown the memory that it lies in (overlay.h), until the
 * next command; of a series of commands only the first waits for that. With
 * commands, reads are of registers again, which on arm64 no load of a pair can
 * read.
 *
 * Threads: registers on vCPU threads under fixed.lock. What the guest is shown
 * never changes meanwhile.
 * Not implemented: locking of blocks (accepted, without effect), the protection
 * registers, suspend.
 */
#include "devices/legacy/flash-cfi.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/file.h"
#include "vmm/base/log.h"

#include "devices/legacy/fixed.h"
#include "devices/legacy/legacy.h"

#define ERASED 0xff

/* So many reads take about as long as to show the content and hide it. */
#define READS_TO_SHOW 64

enum flash_command {
	CMD_PROGRAM_ALT = 0x10,
	CMD_ERASE = 0x20,
	CMD_PROGRAM = 0x40,
	CMD_CLEAR_STATUS = 0x50,
	CMD_LOCK = 0x60,
	CMD_STATUS = 0x70,
	CMD_IDENTIFY = 0x90,
	CMD_QUERY = 0x98,
	CMD_CONFIRM = 0xd0,
	CMD_BUFFER = 0xe8,
	CMD_ARRAY = 0xff,
};

/* Status register; the guest never has to wait. */
#define STATUS_READY	     0x80
#define STATUS_ERASE_ERROR   0x20
#define STATUS_PROGRAM_ERROR 0x10

/* What a read gives. */
enum flash_view { VIEW_ARRAY, VIEW_STATUS, VIEW_ID, VIEW_QUERY, VIEWS };

/* What the next write is. */
enum flash_step {
	STEP_COMMAND,
	STEP_PROGRAM,	     /* the datum */
	STEP_ERASE_CONFIRM,  /* 0xd0, at the block */
	STEP_LOCK_CONFIRM,   /* 0x01 or 0xd0 */
	STEP_BUFFER_COUNT,   /* words that follow, minus one */
	STEP_BUFFER_DATA,    /* a word into the buffer */
	STEP_BUFFER_CONFIRM, /* 0xd0: program the buffer */
	STEPS,
};

/**
 * struct shape - of chips and bus
 * @can_be_made: firmware knows what to do with erased flash
 * @cleared: status register when the guest has cleared it
 * @block_bytes: what is erased at once
 * @least_bytes, @most_bytes: of the file
 */
struct shape {
	uint32_t word_bytes;
	bool two_chips;
	bool can_be_made;
	uint8_t cleared;
	uint64_t block_bytes;
	uint64_t least_bytes, most_bytes;
};

/**
 * struct flash - the device
 * @fd: of the variables, -1: none; @name: for messages
 * @store: @store_bytes of content; @overlay: shows it to the guest
 * @reads: of the content, since the last command
 * @buffer, @buffer_used: for CMD_BUFFER, from @buffer_at; @buffer_left words
 *	are still to come
 * @dirty: the file was written since it was made durable
 */
struct flash {
	struct device dev;
	struct fixed fixed;
	struct shape shape;
	int fd;
	const char *name;
	uint8_t *store;
	uint64_t store_bytes;
	struct overlay overlay;
	uint32_t reads;
	enum flash_view view;
	enum flash_step step;
	uint8_t status;
	uint64_t buffer_at;
	uint32_t buffer_used, buffer_left;
	uint8_t buffer[FLASH_BUFFER_BYTES];
	bool dirty;
	atomic_uint misuse;
};

static struct flash *to_flash(struct device *dev)
{
	return container_of(dev, struct flash, dev);
}

/* ---- content ------------------------------------------------------------ */

/* The guest sees a file that cannot be written as flash that is worn out. */
static bool keep(struct flash *f, uint64_t at, uint64_t len)
{
	int err;

	if (f->fd < 0)
		return true;
	err = file_write_at(f->fd, at, f->store + at, len);
	if (err) {
		log_guest(&f->misuse, "--firmware-vars %s: %s", f->name,
			  strerror(-err));
		return false;
	}
	f->dirty = true;
	return true;
}

static void program(struct flash *f, uint64_t at, const uint8_t *data,
		    uint64_t len)
{
	bool good = range_within(at, len, 0, f->store_bytes);

	for (uint64_t i = 0; good && i < len; i++)
		f->store[at + i] &= data[i];
	f->status |= STATUS_READY;
	if (!good || !keep(f, at, len))
		f->status |= STATUS_PROGRAM_ERROR;
}

static void erase(struct flash *f, uint64_t at)
{
	uint64_t len = f->shape.block_bytes, block = at - at % len;

	f->status |= STATUS_READY;
	if (block >= f->store_bytes)
		return;
	memset(f->store + block, ERASED, len);
	if (!keep(f, block, len))
		f->status |= STATUS_ERASE_ERROR;
}

static void make_durable(struct flash *f)
{
	if (f->dirty && fdatasync(f->fd))
		log_guest(&f->misuse, "--firmware-vars %s: %s", f->name,
			  strerror(errno));
	f->dirty = false;
}

/* ---- reads -------------------------------------------------------------- */

/* Both chips answer alike, if there are two. */
static uint32_t answers(const struct flash *f, uint16_t one)
{
	return f->shape.two_chips ? (uint32_t)one << 16 | one : one;
}

/* Intel, and a P30 of 256 Mbit; block status: not locked. */
static uint16_t identity(uint64_t word)
{
	static const uint16_t id[] = { 0x0089, 0x8919, 0 };

	return word < ARRAY_SIZE(id) ? id[word] : 0;
}

/* Rounded up. */
static unsigned log2_of(uint64_t n)
{
	return 64 - (unsigned)__builtin_clzll(n - 1);
}

/* What depends on the shape, each byte of it in a word. */
static uint8_t geometry(const struct flash *f, uint64_t word)
{
	unsigned chips = f->shape.two_chips ? 2 : 1;
	uint64_t size = f->shape.most_bytes, block = f->shape.block_bytes;
	uint64_t last = size / block - 1; /* block of the only region */
	uint64_t units = block / chips / 256;

	switch (word) {
	case 0x27:
		return (uint8_t)log2_of(size / chips);
	case 0x28:
		return f->shape.two_chips; /* 16 or 8 bits wide */
	case 0x2d:
	case 0x2e:
		return (uint8_t)(last >> 8 * (word - 0x2d));
	case 0x2f:
	case 0x30:
		return (uint8_t)(units >> 8 * (word - 0x2f));
	default:
		return 0;
	}
}

/* JEP137 and JESD68.01: one byte a word; times and voltages are a P30's. */
static uint16_t query(const struct flash *f, uint64_t word)
{
	static const uint8_t table[] = {
		/* clang-format off */
		[0x10] = 'Q', 'R', 'Y',
		[0x13] = 0x01, 0x00,	   /* Intel command set */
		[0x15] = 0x31, 0x00,	   /* its extended table */
		[0x1b] = 0x17, 0x20,	   /* 1.7 to 2.0 V */
		[0x1f] = 0x08, 0x09, 0x0a, /* typical times, powers of two */
		[0x23] = 0x01, 0x01, 0x02, /* and how much more at most */
		[0x2a] = 6, 0x00,	   /* 2^6 bytes of buffer a chip */
		[0x2c] = 1,		   /* region of blocks */
		[0x31] = 'P', 'R', 'I', '1', '0',
		/* clang-format on */
	};

	static_assert(2 << 6 == FLASH_BUFFER_BYTES, "two buffers of 2^6");
	if (word >= sizeof(table))
		return 0;
	return table[word] ? table[word] : geometry(f, word);
}

static uint32_t answer(const struct flash *f, uint64_t offset)
{
	uint32_t width = f->shape.word_bytes;
	uint64_t word = offset / width;

	if (f->view == VIEW_STATUS)
		return answers(f, f->status);
	if (f->view == VIEW_ID)
		return answers(f,
			       identity(word % (f->shape.block_bytes / width)));
	return answers(f, query(f, word));
}

static uint8_t read_byte(void *opaque, uint64_t offset)
{
	const struct flash *f = to_flash(opaque);

	if (f->view != VIEW_ARRAY)
		return (uint8_t)(answer(f, offset) >>
				 8 * (offset % f->shape.word_bytes));
	return offset < f->store_bytes ? f->store[offset] : ERASED;
}

static bool is_content(const struct flash *f, uint64_t offset)
{
	return f->view == VIEW_ARRAY && offset < f->store_bytes;
}

/* For hypervisors that cannot, registers go on. */
static bool flash_show(void *opaque, uint64_t offset)
{
	struct flash *f = to_flash(opaque);

	return is_content(f, offset) &&
	       !overlay_show(f->dev.env->overlays, &f->overlay);
}

static void hide(struct flash *f)
{
	int err = overlay_hide(f->dev.env->overlays, &f->overlay);

	f->reads = 0;
	if (err)
		log_guest(&f->misuse, "flash: its registers cannot be read: %s",
			  strerror(-err));
}

static uint64_t flash_read(void *opaque, uint64_t offset, unsigned size)
{
	struct flash *f = to_flash(opaque);

	if (is_content(f, offset) && ++f->reads == READS_TO_SHOW)
		overlay_show(f->dev.env->overlays, &f->overlay);
	return fixed_read_bytes(opaque, offset, size, read_byte);
}

/* ---- commands ----------------------------------------------------------- */

static void to_array(struct flash *f)
{
	f->view = VIEW_ARRAY;
	f->step = STEP_COMMAND;
	make_durable(f);
}

static void to_step(struct flash *f, enum flash_step step)
{
	f->view = VIEW_STATUS;
	f->step = step;
}

static void to_view(struct flash *f, enum flash_view view)
{
	f->view = view;
	f->step = STEP_COMMAND;
}

static void command(struct flash *f, uint8_t cmd)
{
	switch (cmd) {
	case CMD_PROGRAM:
	case CMD_PROGRAM_ALT:
		to_step(f, STEP_PROGRAM);
		break;
	case CMD_ERASE:
		to_step(f, STEP_ERASE_CONFIRM);
		break;
	case CMD_LOCK:
		to_step(f, STEP_LOCK_CONFIRM);
		break;
	case CMD_BUFFER:
		f->status |= STATUS_READY;
		to_step(f, STEP_BUFFER_COUNT);
		break;
	case CMD_CLEAR_STATUS:
		f->status = f->shape.cleared;
		break;
	case CMD_STATUS:
		to_view(f, VIEW_STATUS);
		break;
	case CMD_IDENTIFY:
		to_view(f, VIEW_ID);
		break;
	case CMD_QUERY:
		to_view(f, VIEW_QUERY);
		break;
	default:
		to_array(f);
	}
}

static void buffer_begin(struct flash *f, uint16_t minus_one)
{
	uint32_t words = minus_one + 1u;

	if (words > FLASH_BUFFER_BYTES / f->shape.word_bytes) {
		f->status |= STATUS_PROGRAM_ERROR;
		to_step(f, STEP_COMMAND);
		return;
	}
	f->buffer_used = 0;
	f->buffer_left = words;
	f->step = STEP_BUFFER_DATA;
}

/* Words may come in any order, as long as they are within the buffer. */
static void buffer_take(struct flash *f, uint64_t offset, const uint8_t *data,
			unsigned size)
{
	if (!f->buffer_used) {
		f->buffer_at = offset;
		memset(f->buffer, ERASED, sizeof(f->buffer));
	}
	if (range_within(offset, size, f->buffer_at, sizeof(f->buffer))) {
		uint64_t at = offset - f->buffer_at;

		memcpy(f->buffer + at, data, size);
		f->buffer_used = MAX(f->buffer_used, (uint32_t)(at + size));
	} else {
		f->status |= STATUS_PROGRAM_ERROR;
	}
	if (!--f->buffer_left)
		f->step = STEP_BUFFER_CONFIRM;
}

static void confirm(struct flash *f, uint64_t offset, uint8_t cmd)
{
	if (cmd != CMD_CONFIRM && f->step != STEP_LOCK_CONFIRM) {
		to_array(f);
		return;
	}
	f->status |= STATUS_READY;
	if (f->step == STEP_ERASE_CONFIRM)
		erase(f, offset);
	else if (f->step == STEP_BUFFER_CONFIRM)
		program(f, f->buffer_at, f->buffer, f->buffer_used);
	to_step(f, STEP_COMMAND);
}

static void flash_write(void *opaque, uint64_t offset, unsigned size,
			uint64_t value)
{
	struct flash *f = to_flash(opaque);
	uint8_t data[sizeof(value)] = { 0 };

	for (unsigned i = 0; i < size; i++)
		data[i] = (uint8_t)(value >> 8 * i);
	if (f->step == STEP_COMMAND) {
		command(f, data[0]);
	} else if (f->step == STEP_PROGRAM) {
		program(f, offset, data, size);
		to_step(f, STEP_COMMAND);
	} else if (f->step == STEP_BUFFER_COUNT) {
		buffer_begin(f, (uint16_t)value);
	} else if (f->step == STEP_BUFFER_DATA) {
		buffer_take(f, offset, data, size);
	} else {
		confirm(f, offset, data[0]);
	}
	if (f->view != VIEW_ARRAY)
		hide(f);
}

static const struct bus_ops flash_ops = { flash_read, flash_write };

/* ---- the file ----------------------------------------------------------- */

#define NEEDS_COPY "give a copy of the OVMF_VARS file that comes with it"

static int open_vars(const char *name, bool make, struct diag *d)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int flags = O_RDWR | O_CLOEXEC | O_NOCTTY | (make ? O_CREAT : 0);
	int fd = open(name, flags, 0600);

	if (fd < 0 && errno == ENOENT && !make)
		return diag_fail(d, ENOENT,
				 "--firmware-vars %s: does not exist, and this "
				 "firmware cannot make it: " NEEDS_COPY,
				 name);
	if (fd < 0)
		return diag_errno(d, errno, "--firmware-vars %s", name);
	if (!fcntl(fd, F_OFD_SETLK, &lock))
		return fd;
	close(fd);
	return diag_fail(d, EBUSY,
			 "--firmware-vars %s: another machine uses it: give "
			 "each machine a file of its own",
			 name);
}

/* Bytes of store that the file asks for; an empty file is made. */
static int measure(struct flash *f, struct diag *d)
{
	const struct shape *s = &f->shape;
	struct stat st;

	if (fstat(f->fd, &st))
		return diag_errno(d, errno, "--firmware-vars %s", f->name);
	if (!S_ISREG(st.st_mode))
		return diag_fail(d, EINVAL,
				 "--firmware-vars %s: is not a regular file",
				 f->name);
	f->store_bytes = (uint64_t)st.st_size;
	if (!s->can_be_made && f->store_bytes != s->least_bytes)
		return diag_fail(d, EINVAL,
				 "--firmware-vars %s: has %" PRIu64
				 " bytes, and this firmware's have %" PRIu64
				 ": " NEEDS_COPY,
				 f->name, f->store_bytes, s->least_bytes);
	if (!st.st_size)
		f->store_bytes = s->least_bytes;
	if (f->store_bytes < s->least_bytes || f->store_bytes > s->most_bytes ||
	    f->store_bytes % s->block_bytes)
		return diag_fail(d, EINVAL,
				 "--firmware-vars %s: has %" PRIu64
				 " bytes: give a file that does not exist yet, "
				 "or one of %" PRIu64 " to %" PRIu64
				 " bytes in steps of %" PRIu64,
				 f->name, f->store_bytes, s->least_bytes,
				 s->most_bytes, s->block_bytes);
	return st.st_size == 0;
}

/* The guest sees it: pages of its own. AAVMF_VARS.fd is mostly zeros. */
static int map_store(struct flash *f, struct diag *d)
{
	void *at = mmap(NULL, f->store_bytes, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED)
		return diag_fail(d, ENOMEM,
				 "no memory for %" PRIu64 " bytes of flash",
				 f->store_bytes);
	f->store = at;
	return 0;
}

static int read_store(struct flash *f, struct diag *d)
{
	int err = file_read_sparse(f->fd, 0, f->store, f->store_bytes);

	if (!err)
		return 0;
	return diag_fail(d, -err, "--firmware-vars %s: cannot be read",
			 f->name);
}

static int fill_store(struct flash *f, bool fresh, struct diag *d)
{
	int err = map_store(f, d);

	if (err)
		return err;
	if (!fresh)
		return read_store(f, d);
	memset(f->store, ERASED, f->store_bytes);
	if (keep(f, 0, f->store_bytes))
		return 0;
	return diag_fail(d, EIO, "--firmware-vars %s: cannot be written",
			 f->name);
}

static int open_store(struct flash *f, const struct device_env *env,
		      struct diag *d)
{
	int fresh = 1;

	f->fd = -1;
	f->name = env->config->firmware_vars;
	f->store_bytes = f->shape.least_bytes;
	if (f->name && !env->tables_only) {
		f->fd = open_vars(f->name, f->shape.can_be_made, d);
		if (f->fd < 0)
			return f->fd;
		fresh = measure(f, d);
		if (fresh < 0)
			return fresh;
	}
	return fill_store(f, fresh, d);
}

static void close_store(struct flash *f)
{
	if (f->store)
		munmap(f->store, f->store_bytes);
	f->store = NULL;
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
}

/* ---- device ------------------------------------------------------------- */

static const struct shape virt_shape = {
	.word_bytes = FLASH_WORD_BYTES,
	.two_chips = true,
	.can_be_made = true,
	.cleared = STATUS_READY,
	.block_bytes = FLASH_BLOCK_BYTES,
	.least_bytes = FLASH_VARS_BYTES,
	.most_bytes = FLASH_BYTES,
};

static struct shape pc_shape(const struct platform *p)
{
	return (struct shape){
		.word_bytes = 1,
		.block_bytes = FLASH_PC_BLOCK_BYTES,
		.least_bytes = p->flash.size_bytes,
		.most_bytes = p->flash.size_bytes,
	};
}

static int flash_realize(struct device *dev, const struct device_place *place,
			 struct diag *d)
{
	const struct platform *p = dev->env->platform;
	struct flash *f = to_flash(dev);
	int err;

	f->shape = p->q35 ? pc_shape(p) : virt_shape;
	err = open_store(f, dev->env, d);
	f->overlay = (struct overlay){ .gpa = GPA(place->base),
				       .host = f->store,
				       .size_bytes = f->store_bytes };
	if (!err)
		err = fixed_realize(&f->fixed, dev, place, f->shape.most_bytes,
				    &flash_ops, d);
	if (err) {
		close_store(f);
		return err;
	}
	f->fixed.region.show = flash_show;
	return 0;
}

static void flash_unrealize(struct device *dev)
{
	struct flash *f = to_flash(dev);

	hide(f);
	fixed_unrealize(&f->fixed);
	close_store(f);
}

static void flash_reset(struct device *dev)
{
	struct flash *f = to_flash(dev);

	f->status = STATUS_READY;
	f->buffer_used = f->buffer_left = 0;
	f->reads = 0;
	to_array(f);
}

/* Firmware wants both banks in one node: its own code, and this one. */
static int flash_describe(const struct device *dev, struct platform *p,
			  struct diag *d)
{
	struct plat_dev out = {
		.role = PLAT_FLASH,
		.name = "flash",
		.compatible = "cfi-flash\0",
		.prop = { { .name = "bank-width",
			    .kind = PROP_U32,
			    .u32 = FLASH_WORD_BYTES } },
		.prop_count = 1,
	};

	fixed_describe(&((const struct flash *)dev)->fixed, &out, false);
	if (p->rom.size_bytes) {
		out.range[1] = out.range[0];
		out.range[0] = p->rom;
		out.range_count = 2;
	}
	return platform_add(p, &out, d);
}

static void flash_save(const struct device *dev, struct stream_out *out)
{
	const struct flash *f = (const void *)dev;

	static_assert(offsetof(struct flash, dev) == 0, "first member");
	stream_put_u8(out, (uint8_t)f->view);
	stream_put_u8(out, (uint8_t)f->step);
	stream_put_u8(out, f->status);
	stream_put_u64(out, f->buffer_at);
	stream_put_u32(out, f->buffer_used);
	stream_put_u32(out, f->buffer_left);
	stream_put(out, f->buffer, sizeof(f->buffer));
	stream_put_u64(out, f->store_bytes);
	stream_put(out, f->store, f->store_bytes);
}

static bool is_valid(const struct flash *in, const struct flash *now)
{
	return in->view < VIEWS && in->step < STEPS &&
	       (in->step == STEP_COMMAND || in->view == VIEW_STATUS) &&
	       in->buffer_used <= sizeof(in->buffer) &&
	       in->buffer_left <= sizeof(in->buffer) / now->shape.word_bytes &&
	       (in->step == STEP_BUFFER_DATA) == (in->buffer_left > 0) &&
	       in->store_bytes == now->store_bytes;
}

/* The variables are the snapshot's: the guest has read them. */
static int flash_load(struct device *dev, struct stream_in *in, struct diag *d)
{
	struct flash *f = to_flash(dev);
	struct flash n = { .view = (enum flash_view)stream_get_u8(in),
			   .step = (enum flash_step)stream_get_u8(in) };

	n.status = stream_get_u8(in);
	n.buffer_at = stream_get_u64(in);
	n.buffer_used = stream_get_u32(in);
	n.buffer_left = stream_get_u32(in);
	stream_get(in, n.buffer, sizeof(n.buffer));
	n.store_bytes = stream_get_u64(in);
	if (in->failed || !is_valid(&n, f) || in->len - in->at < f->store_bytes)
		return diag_fail(d, EBADMSG, "flash-cfi: damaged state");
	stream_get(in, f->store, f->store_bytes);
	f->view = n.view;
	f->step = n.step;
	f->status = n.status;
	f->buffer_at = n.buffer_at;
	f->buffer_used = n.buffer_used;
	f->buffer_left = n.buffer_left;
	memcpy(f->buffer, n.buffer, sizeof(f->buffer));
	hide(f);
	if (!keep(f, 0, f->store_bytes))
		return diag_fail(d, EIO,
				 "--firmware-vars %s: cannot be "
				 "written",
				 f->name);
	return 0;
}

const struct device_class flash_cfi_class = {
	.name = "flash-cfi",
	.size_bytes = sizeof(struct flash),
	.realize = flash_realize,
	.describe = flash_describe,
	.reset = flash_reset,
	.save = flash_save,
	.load = flash_load,
	.unrealize = flash_unrealize,
};
