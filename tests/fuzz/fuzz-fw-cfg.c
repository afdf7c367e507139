/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: firmware that does anything with fw_cfg, and a model of what it sees
 *
 * The first byte chooses ports or memory. Then steps of 16 bytes: an item is
 * selected, read byte by byte as `rep insb` does, or by a command in RAM that
 * reads, skips or writes; any register is read or written, RAM is changed, the
 * event loop runs, the device is paused, reset, saved and loaded, also with a
 * state from the input; a file shrinks.
 *
 * The model knows the item and the place in it as long as everything succeeded,
 * and checks each byte that is read, and those around it.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/check.h"
#include "vmm/base/log.h"
#include "vmm/fw-cfg.h"

#include "devices/legacy/legacy.h"
#include "tests/unit/patience.h"

#define BASE	    0x510
#define STEPS	    200
#define RAM_BYTES   MIB(4)
#define BIG_BYTES   (MIB(2) + 77)
#define SHORT_BYTES KIB(64)
#define WRITE_BYTES 300
#define GUARD	    16

/* Control words, docs/specs/fw_cfg.rst of QEMU */
enum { ERROR = 1, READ = 2, SKIP = 4, SELECT = 8, WRITE = 16 };

/* Files, sorted by name. */
enum { BIG = 0x20, EMPTY, SHORT, WRITABLE };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/**
 * struct step - as the input has it, little-endian
 * @op: what, modulo OPS; @flags: of it
 * @key: an item; @len, @at: bytes and a place in RAM
 */
struct step {
	uint8_t op, flags;
	uint16_t key;
	uint32_t len, at, value;
};

/**
 * struct model - what the device must give next
 * @known: it is known; not behind an error
 * @flying: a long command may be under way
 */
struct model {
	uint16_t key;
	uint32_t at;
	bool known, flying;
};

static struct bus *bus;
static enum plat_bus kind;
static struct guest_ram ram;
static struct platform platform;
static struct device_env env;
static struct device *dev;
static struct model model;
static int short_fd;

/* ---- the machine -------------------------------------------------------- */

static void written(void *opaque, uint32_t at, const uint8_t *now, uint32_t len)
{
	(void)now;
	CHECK(opaque == &model && range_within(at, len, 0, WRITE_BYTES));
}

static int make_file(uint32_t bytes)
{
	int fd = memfd_create("item", MFD_CLOEXEC);
	uint8_t *all = malloc(bytes);

	CHECK(fd >= 0 && all);
	for (uint32_t i = 0; i < bytes; i++)
		all[i] = (uint8_t)(i * 7 + i / 256 + 1);
	CHECK(write(fd, all, bytes) == (ssize_t)bytes);
	free(all);
	return fd;
}

static void add(const char *name, struct fw_cfg_content c)
{
	CHECK(!fw_cfg_add(env.fw_cfg, name, &c, NULL));
}

static void add_items(void)
{
	static const uint8_t zeros[WRITE_BYTES];

	env.fw_cfg = fw_cfg_new();
	CHECK(env.fw_cfg);
	short_fd = make_file(SHORT_BYTES);
	add("a/big", (struct fw_cfg_content){ .fd = make_file(BIG_BYTES + 5),
					      .offset_bytes = 5,
					      .size_bytes = BIG_BYTES });
	add("b/empty", (struct fw_cfg_content){ .data = "" });
	add("c/short", (struct fw_cfg_content){ .fd = short_fd,
						.size_bytes = SHORT_BYTES });
	add("d/writable", (struct fw_cfg_content){ .data = zeros,
						   .size_bytes = WRITE_BYTES,
						   .written = written,
						   .opaque = &model });
	CHECK(!fw_cfg_set_number(env.fw_cfg, FW_CFG_CPUS, 0x1234, 2, NULL));
}

static void make_machine(void)
{
	log_setup(-1, LOG_ERROR);
	bus = bus_new("fuzz", 0);
	ram_init(&ram);
	CHECK(!ram_add(&ram, GPA(0), RAM_BYTES, &(struct ram_options){ 0 },
		       NULL));
	add_items();
	env.mmio = env.pio = bus;
	env.ram = &ram;
	env.loop = event_loop_new(NULL);
	env.platform = &platform;
}

static void make_device(void)
{
	struct device_place place = { .bus = kind, .base = BASE };

	dev = calloc(1, fw_cfg_class.size_bytes);
	CHECK(dev);
	dev->cls = &fw_cfg_class;
	dev->env = &env;
	CHECK(!fw_cfg_class.realize(dev, &place, NULL));
	fw_cfg_class.reset(dev);
}

static void drop_device(void)
{
	fw_cfg_class.unrealize(dev);
	free(dev);
}

/* ---- model -------------------------------------------------------------- */

static const struct fw_cfg_item *item(void)
{
	return fw_cfg_find(env.fw_cfg, model.key);
}

static uint32_t rest(void)
{
	uint32_t size = fw_cfg_size(item());

	return model.at < size ? size - model.at : 0;
}

static void model_select(uint16_t key)
{
	model.key = key;
	model.at = 0;
	model.known = !model.flying;
}

/* The next @len bytes into @out; false: its file has become shorter. */
static bool model_read(uint8_t *out, uint32_t len)
{
	uint32_t n = MIN(len, rest());

	memset(out, 0, len);
	if (fw_cfg_read(item(), model.at, out, n))
		return false;
	model.at += n;
	return true;
}

/* ---- registers ---------------------------------------------------------- */

static void select_item(uint16_t key)
{
	if (kind == PLAT_PIO)
		bus_write(bus, BASE, 2, key);
	else
		bus_write(bus, BASE + 8, 2, htobe16(key));
	model_select(key);
}

static void string_input(unsigned size, unsigned count)
{
	unsigned at = kind == PLAT_PIO ? BASE + 1 : BASE;

	/* A window of the file may be older than its end. */
	if (model.key == SHORT)
		model.known = false;
	for (unsigned i = 0; i < count; i++) {
		uint64_t got = bus_read(bus, at, size);
		uint8_t want[8] = { 0 };

		CHECK(size == 8 || got >> (8 * size) == 0);
		if (model.known && model_read(want, size))
			CHECK(got == get_le64(want));
	}
}

static void any_register(const struct step *s)
{
	unsigned size = 1u << (s->flags & 3);
	uint64_t at = BASE + s->key % 28;

	model.known = false;
	model.flying = true;
	if (s->flags & 4)
		bus_write(bus, at, size, (uint64_t)s->value << 32 | s->at);
	else
		bus_read(bus, at, size);
}

/* ---- commands ----------------------------------------------------------- */

static void ring(uint64_t gpa)
{
	unsigned at = BASE + (kind == PLAT_PIO ? 4 : 16);

	if (kind == PLAT_MMIO && !(gpa & 1)) {
		bus_write(bus, at, 8, htobe64(gpa));
		return;
	}
	bus_write(bus, at, 4, htobe32((uint32_t)(gpa >> 32)));
	bus_write(bus, at + 4, 4, htobe32((uint32_t)gpa));
}

static uint32_t control_at(uint64_t gpa)
{
	uint8_t be[4] = { 0 };

	ram_read(&ram, GPA(gpa), be, sizeof(be));
	return get_be32(be);
}

static void put_command(uint64_t gpa, uint32_t control, uint32_t len,
			uint64_t to)
{
	uint8_t cmd[16];

	put_be32(cmd, control);
	put_be32(cmd + 4, len);
	put_be64(cmd + 8, to);
	ram_write(&ram, GPA(gpa), cmd, sizeof(cmd));
}

/* Until a command that does nothing succeeds: all of RAM is a few pieces. */
static void land(void)
{
	unsigned rounds = 100;

	fw_cfg_class.resume(dev);
	do {
		CHECK(rounds--);
		loop_run_ready(env.loop);
		put_command(0, 0, 0, 0);
		ring(0);
	} while (control_at(0));
	model.flying = false;
}

/* All of it is in RAM, and the command's own words are far from it. */
static bool is_plain(uint64_t gpa, uint32_t len, uint64_t to)
{
	return range_within(gpa, 16, 0, RAM_BYTES) &&
	       range_within(to, len, GUARD, RAM_BYTES - 2 * GUARD) &&
	       (to + len + GUARD <= gpa || gpa + 16 + GUARD <= to) &&
	       to >= 16 + GUARD;
}

static void check_read(uint64_t gpa, uint32_t len, uint64_t to)
{
	static uint8_t want[RAM_BYTES], around[2 * GUARD];
	const uint8_t *at = ram_pin(&ram, GPA(to), len);

	memcpy(around, at - GUARD, GUARD);
	memcpy(around + GUARD, at + len, GUARD);
	if (!model_read(want, len)) {
		model.known = false;
		model.flying = true;
		ring(gpa);
		return;
	}
	ring(gpa);
	if (len > MIB(1))
		land();
	CHECK(!control_at(gpa));
	CHECK(!memcmp(at, want, len));
	CHECK(!memcmp(around, at - GUARD, GUARD));
	CHECK(!memcmp(around + GUARD, at + len, GUARD));
}

static void check_write(uint64_t gpa, uint32_t len, uint64_t to)
{
	bool good = !len || (model.key == WRITABLE && len <= rest());
	uint8_t now[WRITE_BYTES];

	ring(gpa);
	CHECK(control_at(gpa) == (good ? 0 : ERROR));
	model.known = good;
	if (!good || !len)
		return;
	CHECK(!fw_cfg_read(item(), model.at, now, len));
	CHECK(!memcmp(now, ram_pin(&ram, GPA(to), len), len));
	model.at += len;
}

/* What is known before it rings, and how it must end. */
static void check_command(uint64_t gpa, uint32_t control, uint32_t len,
			  uint64_t to)
{
	if (control & READ && len) {
		check_read(gpa, len, to);
	} else if (!(control & READ) && control & WRITE) {
		check_write(gpa, len, to);
	} else {
		ring(gpa);
		CHECK(!control_at(gpa));
		if (!(control & READ) && control & SKIP)
			model.at += MIN(len, rest());
	}
}

static void command(const struct step *s)
{
	uint32_t control = (s->flags & 0x1f) | (uint32_t)s->key << 16;
	uint32_t len = s->flags & 0x20 ? s->len : s->len % KIB(8);
	uint64_t to = s->flags & 0x40 ? s->at : s->at % RAM_BYTES;
	uint64_t gpa = s->flags & 0x80 ? (uint64_t)s->value << 8
				       : s->value % RAM_BYTES;

	put_command(gpa, control, len, to);
	if (is_plain(gpa, len, to) && !model.flying) {
		if (control & SELECT)
			model_select(s->key);
		if (model.known) {
			check_command(gpa, control, len, to);
			return;
		}
	}
	model.known = false;
	model.flying = true;
	ring(gpa);
}

/* ---- state -------------------------------------------------------------- */

static void round_trip(void)
{
	struct stream_out first, second;
	struct stream_in in;

	stream_out_init(&first);
	stream_out_init(&second);
	fw_cfg_class.pause(dev);
	fw_cfg_class.save(dev, &first);
	drop_device();
	make_device();
	stream_in_init(&in, first.data, first.len);
	CHECK(!fw_cfg_class.load(dev, &in, NULL) && !stream_in_done(&in));
	fw_cfg_class.save(dev, &second);
	CHECK(first.len == second.len &&
	      !memcmp(first.data, second.data, first.len));
	fw_cfg_class.resume(dev);
	stream_out_release(&first);
	stream_out_release(&second);
}

/* Any bytes; what is left of a long command is not cut off by its end. */
static void load_any(const struct step *s)
{
	struct stream_out out;
	struct stream_in in;

	stream_out_init(&out);
	stream_put_u16(&out, s->key);
	stream_put_u32(&out, s->value);
	stream_put_u32(&out, s->flags & 1 ? s->len : 0);
	stream_put_u64(&out, s->at);
	stream_put_u64(&out, s->flags & 2 ? s->len : s->len % RAM_BYTES);
	stream_put_u32(&out, s->flags & 4 ? s->value : s->value % MIB(3));
	stream_in_init(&in, out.data,
		       s->flags & 0x80 ? s->len % out.len : out.len);
	CHECK(!!fw_cfg_class.load(dev, &in, NULL) == !!(s->flags & 0x80));
	fw_cfg_class.resume(dev);
	stream_out_release(&out);
	model.known = false;
	model.flying = true;
}

static void reset(void)
{
	fw_cfg_class.reset(dev);
	model = (struct model){ .known = true };
}

static void change_ram(const struct step *s)
{
	uint32_t words[2] = { s->len, s->value };

	ram_write(&ram, GPA(s->at % RAM_BYTES), words, sizeof(words));
}

static void run_step(const struct step *s)
{
	switch (s->op % 12) {
	case 0:
		select_item(s->key);
		break;
	case 1:
		string_input(1u << (s->flags & 3), s->len % 600);
		break;
	case 2:
	case 3:
	case 4:
		command(s);
		break;
	case 5:
		any_register(s);
		break;
	case 6:
		change_ram(s);
		break;
	case 7:
		loop_run_ready(env.loop);
		break;
	case 8:
		land();
		break;
	case 9:
		round_trip();
		break;
	case 10:
		if (s->flags & 8)
			load_any(s);
		else
			reset();
		break;
	default:
		if (s->flags & 1)
			fw_cfg_class.pause(dev);
		else
			CHECK(!ftruncate(short_fd, s->len % SHORT_BYTES));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct step s;

	if (len < 1 + sizeof(s))
		return -1;
	if (!bus)
		make_machine();
	kind = data[0] & 1 ? PLAT_MMIO : PLAT_PIO;
	make_device();
	model = (struct model){ .known = true };
	for (size_t at = 1, n = 0; at + sizeof(s) <= len && n < STEPS; n++) {
		memcpy(&s, data + at, sizeof(s));
		run_step(&s);
		at += sizeof(s);
	}
	/* Whatever was done to it: reset, and it works. */
	reset();
	select_item(FW_CFG_SIGNATURE);
	string_input(1, 5);
	drop_device();
	CHECK(!ftruncate(short_fd, SHORT_BYTES));
	CHECK(!ram_clear(&ram, NULL));
	return 0;
}
