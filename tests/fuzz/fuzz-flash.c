/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: firmware that does anything with the flash of its variables, and a model
 * of what is in there
 *
 * The first byte chooses virt's two chips or a PC's one, and whether there is
 * a file. Then steps of 8 bytes: any write or read, and whole commands from a
 * known state (program, buffer, erase, identify, query), of which it is known
 * what they do; reset, saving, loading, also of a damaged state; the disk loses
 * the end of the file, so that writes fail.
 *
 * After each input, what is in the device is in the file.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/check.h"
#include "vmm/base/file.h"
#include "vmm/base/log.h"

#include "devices/legacy/flash-cfi.h"
#include "devices/legacy/legacy.h"

#define BASE	 MIB(64)
#define STEPS	 300
#define PC_BYTES KIB(64)

enum { READY = 0x80, PROGRAM_ERROR = 0x10 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/** struct step - as the input has it, little-endian */
struct step {
	uint8_t op, size;
	uint16_t at;
	uint32_t value;
};

static struct bus *bus;
static struct platform platform;
static struct vm_config config;
static struct overlays overlays;
static struct device_env env;
static struct device *dev;
static uint64_t store_bytes, block_bytes;
static unsigned word;
static int fd;
static char path[64];
static bool lost; /* some of the file is gone */

/* ---- the machine -------------------------------------------------------- */

static void make_device(void)
{
	struct device_place place = { .bus = PLAT_MMIO, .base = BASE };

	dev = calloc(1, flash_cfi_class.size_bytes);
	CHECK(dev);
	dev->cls = &flash_cfi_class;
	dev->env = &env;
	CHECK(!flash_cfi_class.realize(dev, &place, NULL));
	flash_cfi_class.reset(dev);
}

static void drop_device(void)
{
	flash_cfi_class.unrealize(dev);
	free(dev);
}

/* A file of the right size, which cannot grow again where it was cut. */
static void make_file(void)
{
	static uint8_t erased[FLASH_VARS_BYTES];

	memset(erased, 0xff, sizeof(erased));
	fd = memfd_create("vars", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	CHECK(fd >= 0);
	CHECK(write(fd, erased, store_bytes) == (ssize_t)store_bytes);
	CHECK(!fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	config.firmware_vars = path;
}

static void make_machine(uint8_t how)
{
	log_setup(-1, LOG_ERROR);
	platform.q35 = how & 1;
	platform.flash = (struct plat_range){ PLAT_MMIO, BASE, PC_BYTES };
	store_bytes = how & 1 ? PC_BYTES : FLASH_VARS_BYTES;
	block_bytes = how & 1 ? FLASH_PC_BLOCK_BYTES : FLASH_BLOCK_BYTES;
	word = how & 1 ? 1 : FLASH_WORD_BYTES;
	bus = bus_new("fuzz", 0);
	env.mmio = bus;
	env.overlays = &overlays;
	env.platform = &platform;
	env.config = &config;
	config.firmware_vars = NULL;
	fd = -1;
	lost = false;
	if (how & 2)
		make_file();
	make_device();
}

static void drop_machine(void)
{
	drop_device();
	bus_free(bus);
	if (fd >= 0)
		close(fd);
}

/* ---- whole commands ----------------------------------------------------- */

static uint64_t get(uint64_t at, unsigned size)
{
	uint64_t value = bus_read(bus, BASE + at, size);

	CHECK(size == 8 || value >> (8 * size) == 0);
	return value;
}

static void put(uint64_t at, unsigned size, uint64_t value)
{
	bus_write(bus, BASE + at, size, value);
}

static void cmd(uint64_t at, uint8_t c)
{
	put(at, word, word == 1 ? c : (uint32_t)c << 16 | c);
}

static uint8_t status(void)
{
	uint32_t s = (uint32_t)get(0, word);

	CHECK(word == 1 || s >> 16 == (s & 0xffff));
	return (uint8_t)s;
}

/* Where something is kept, or anywhere; in words. */
static uint64_t place(const struct step *s)
{
	uint64_t room = s->size & 0x80 ? FLASH_BYTES : store_bytes;
	uint64_t at = ((uint64_t)s->at << 10 | s->value >> 22) % room;

	if (platform.q35)
		at %= PC_BYTES;
	return align_down(at, word);
}

/* Begin with reading, and with no errors to remember. */
static void to_array(void)
{
	flash_cfi_class.reset(dev);
	cmd(0, 0x50);
	cmd(0, 0xff);
}

/* The write has ended: is it well? Then read again. */
static void end(bool inside)
{
	uint8_t s = status();

	CHECK(s & READY);
	CHECK(!(s & ~(READY | PROGRAM_ERROR)));
	CHECK(lost || !!(s & PROGRAM_ERROR) == !inside);
	cmd(0, 0xff);
}

static void program(const struct step *s)
{
	uint64_t at = place(s), mask = word == 1 ? 0xff : UINT32_MAX;
	bool inside = at < store_bytes;
	uint64_t was, next;

	to_array();
	was = get(at, word);
	next = get((at + word) % store_bytes, word);
	cmd(at, s->size & 1 ? 0x10 : 0x40);
	put(at, word, s->value & mask);
	end(inside);
	CHECK(get(at, word) == (inside ? was & s->value & mask : mask));
	CHECK(get((at + word) % store_bytes, word) == next);
}

/* Something that is not erased, where there is flash. */
static void mark(uint64_t at)
{
	if (at >= store_bytes)
		return;
	cmd(at, 0x40);
	put(at, word, 0);
	cmd(0, 0xff);
	CHECK(!get(at, word));
}

static void erase(const struct step *s)
{
	uint64_t at = place(s), block = align_down(at, block_bytes);
	uint64_t end_at = block + block_bytes;

	to_array();
	mark(block - word);
	mark(block);
	mark(end_at);
	cmd(at, 0x20);
	cmd(at, s->size & 1 ? 0xd0 : 0xff);
	if (s->size & 1) {
		CHECK(status() == READY || (lost && status() & READY));
		cmd(0, 0xff);
		for (uint64_t i = 0; i < block_bytes; i += KIB(1))
			CHECK(get(block + i, 8) == UINT64_MAX);
	} else { /* not confirmed: back to reading */
		CHECK(block >= store_bytes || !get(block, word));
	}
	CHECK(block - word >= store_bytes || !get(block - word, word));
	CHECK(end_at >= store_bytes || !get(end_at, word));
}

static void buffer(const struct step *s)
{
	uint64_t at = place(s), words = s->size % 0x40 + 1u;
	uint64_t most = FLASH_BUFFER_BYTES / word;
	uint64_t mask = word == 1 ? 0xff : UINT32_MAX, was[FLASH_BUFFER_BYTES];

	/* Inside of the window, and the word behind it, too. */
	at = MIN(at,
		 (platform.q35 ? PC_BYTES : FLASH_BYTES) - (words + 1) * word);
	to_array();
	for (unsigned i = 0; i < words; i++)
		was[i] = get(at + i * word, word);
	cmd(at, 0xe8);
	CHECK(status() == READY);
	put(at, word, words - 1);
	if (words > most) {
		CHECK(status() == (READY | PROGRAM_ERROR));
		return;
	}
	for (unsigned i = 0; i < words; i++)
		put(at + i * word, word, (s->value * (i + 1)) & mask);
	cmd(at, 0xd0);
	end(range_within(at, words * word, 0, store_bytes));
	for (unsigned i = 0; i < words; i++)
		if (range_within(at, words * word, 0, store_bytes))
			CHECK(get(at + i * word, word) ==
			      (was[i] & s->value * (i + 1) & mask));
}

static void identify(const struct step *s)
{
	to_array();
	cmd(0, 0x90);
	CHECK((get(0, word) & 0xff) == 0x89);
	get(place(s), 1u << (s->size & 3));
	cmd(0, 0x98);
	CHECK((get(0x10 * word, word) & 0xff) == 'Q');
	get(place(s), 1u << (s->size & 3));
	cmd(0, 0xff);
}

/* ---- state -------------------------------------------------------------- */

static void save(struct stream_out *out)
{
	stream_out_init(out);
	flash_cfi_class.save(dev, out);
	CHECK(!out->failed);
}

/* A step of a saved state may be damaged; it is refused, or taken as it is. */
static void save_load(const struct step *s)
{
	size_t head;
	struct stream_out first, second;
	struct stream_in in;
	bool damaged = s->size & 1;

	save(&first);
	head = first.len - store_bytes;
	if (damaged)
		first.data[s->at % head] ^= (uint8_t)s->value;
	drop_device();
	if (lost) /* it would be refused */
		config.firmware_vars = NULL;
	make_device();
	stream_in_init(&in, first.data,
		       s->size & 2 ? s->value % first.len : first.len);
	if (flash_cfi_class.load(dev, &in, NULL)) {
		CHECK(damaged || s->size & 2);
	} else if (!damaged) {
		save(&second);
		CHECK(first.len == second.len &&
		      !memcmp(first.data, second.data, first.len));
		stream_out_release(&second);
	}
	stream_out_release(&first);
}

/* The end of the file is gone, and does not come back. */
static void lose(const struct step *s)
{
	if (fd < 0 || lost)
		return;
	CHECK(!ftruncate(fd, s->value % store_bytes));
	lost = true;
}

static void check_file(void)
{
	static uint8_t file[FLASH_VARS_BYTES];
	struct stream_out out;

	if (fd < 0 || lost)
		return;
	CHECK(file_read_at(fd, 0, file, store_bytes) == (int64_t)store_bytes);
	save(&out);
	CHECK(!memcmp(out.data + out.len - store_bytes, file, store_bytes));
	stream_out_release(&out);
}

static void run_step(const struct step *s)
{
	unsigned size = 1u << (s->size & 3);

	switch (s->op % 12) {
	case 0:
	case 1:
	case 2: /* a command that may be one */
		cmd(place(s), (uint8_t)s->value);
		break;
	case 3:
		put(place(s), size, s->value * UINT64_C(0x100000001));
		break;
	case 4:
		get(place(s), size);
		break;
	case 5:
		program(s);
		break;
	case 6:
		erase(s);
		break;
	case 7:
		buffer(s);
		break;
	case 8:
		identify(s);
		break;
	case 9:
		save_load(s);
		break;
	case 10:
		flash_cfi_class.reset(dev);
		break;
	default:
		if (s->size == 0xf1)
			lose(s);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct step s;

	if (len < 1 + sizeof(s))
		return -1;
	make_machine(data[0]);
	for (size_t at = 1, n = 0; at + sizeof(s) <= len && n < STEPS; n++) {
		memcpy(&s, data + at, sizeof(s));
		run_step(&s);
		at += sizeof(s);
	}
	check_file();
	drop_machine();
	return 0;
}
