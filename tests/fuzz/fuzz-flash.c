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

/**
 * struct machine - one for each first byte; they stay, as all that is mapped
 * anew costs more than the rest
 * @fd: of the file at @path; -1: none
 * @lost: some of the file is gone
 * @fresh: state of the flash when it was new
 */
struct machine {
	struct bus *bus;
	struct platform platform;
	struct vm_config config;
	struct overlays overlays;
	struct device_env env;
	struct device *dev;
	uint64_t store_bytes, block_bytes;
	unsigned word;
	int fd;
	char path[64];
	bool lost;
	struct stream_out fresh;
};

/* The one at work; the others wait. */
static struct machine m, machines[4];

/* ---- the machine -------------------------------------------------------- */

static void make_device(void)
{
	struct device_place place = { .bus = PLAT_MMIO, .base = BASE };

	m.dev = calloc(1, flash_cfi_class.size_bytes);
	CHECK(m.dev);
	m.dev->cls = &flash_cfi_class;
	m.dev->env = &m.env;
	CHECK(!flash_cfi_class.realize(m.dev, &place, NULL));
	flash_cfi_class.reset(m.dev);
}

static void drop_device(void)
{
	flash_cfi_class.unrealize(m.dev);
	free(m.dev);
}

/* A file of the right size, which cannot grow again where it was cut. */
static void make_file(void)
{
	static uint8_t erased[FLASH_VARS_BYTES];

	memset(erased, 0xff, sizeof(erased));
	m.fd = memfd_create("vars", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	CHECK(m.fd >= 0);
	CHECK(write(m.fd, erased, m.store_bytes) == (ssize_t)m.store_bytes);
	CHECK(!fcntl(m.fd, F_ADD_SEALS, F_SEAL_GROW));
	snprintf(m.path, sizeof(m.path), "/proc/self/fd/%d", m.fd);
	m.config.firmware_vars = m.path;
}

static void save(struct stream_out *out)
{
	stream_out_init(out);
	flash_cfi_class.save(m.dev, out);
	CHECK(!out->failed);
}

static void make_machine(uint8_t how)
{
	log_setup(-1, LOG_ERROR);
	m = (struct machine){ .fd = -1 };
	m.platform.q35 = how & 1;
	m.platform.flash = (struct plat_range){ PLAT_MMIO, BASE, PC_BYTES };
	m.store_bytes = how & 1 ? PC_BYTES : FLASH_VARS_BYTES;
	m.block_bytes = how & 1 ? FLASH_PC_BLOCK_BYTES : FLASH_BLOCK_BYTES;
	m.word = how & 1 ? 1 : FLASH_WORD_BYTES;
	m.bus = bus_new("fuzz", 0);
	m.env.mmio = m.bus;
	m.env.overlays = &m.overlays;
	m.env.platform = &m.platform;
	m.env.config = &m.config;
	if (how & 2)
		make_file();
	make_device();
	save(&m.fresh);
}

static void drop_machine(void)
{
	drop_device();
	bus_free(m.bus);
	stream_out_release(&m.fresh);
	if (m.fd >= 0)
		close(m.fd);
	m.bus = NULL;
}

/* As it was when it was new. */
static void take_machine(uint8_t how)
{
	struct stream_in in;

	m = machines[how % ARRAY_SIZE(machines)];
	if (!m.bus) {
		make_machine(how);
		return;
	}
	flash_cfi_class.reset(m.dev);
	stream_in_init(&in, m.fresh.data, m.fresh.len);
	CHECK(!flash_cfi_class.load(m.dev, &in, NULL));
}

static void put_machine(uint8_t how)
{
	if (m.lost)
		drop_machine();
	machines[how % ARRAY_SIZE(machines)] = m;
}

/* ---- whole commands ----------------------------------------------------- */

static uint64_t get(uint64_t at, unsigned size)
{
	uint64_t value = bus_read(m.bus, BASE + at, size);

	CHECK(size == 8 || value >> (8 * size) == 0);
	return value;
}

static void put(uint64_t at, unsigned size, uint64_t value)
{
	bus_write(m.bus, BASE + at, size, value);
}

static void cmd(uint64_t at, uint8_t c)
{
	put(at, m.word, m.word == 1 ? c : (uint32_t)c << 16 | c);
}

static uint8_t status(void)
{
	uint32_t s = (uint32_t)get(0, m.word);

	CHECK(m.word == 1 || s >> 16 == (s & 0xffff));
	return (uint8_t)s;
}

/* Where something is kept, or anywhere; in words. */
static uint64_t place(const struct step *s)
{
	uint64_t room = s->size & 0x80 ? FLASH_BYTES : m.store_bytes;
	uint64_t at = ((uint64_t)s->at << 10 | s->value >> 22) % room;

	if (m.platform.q35)
		at %= PC_BYTES;
	return align_down(at, m.word);
}

/* Begin with reading, and with no errors to remember. */
static void to_array(void)
{
	flash_cfi_class.reset(m.dev);
	cmd(0, 0x50);
	cmd(0, 0xff);
}

/* The write has ended: is it well? Then read again. */
static void end(bool inside)
{
	uint8_t s = status();

	CHECK(s & READY);
	CHECK(!(s & ~(READY | PROGRAM_ERROR)));
	CHECK(m.lost || !!(s & PROGRAM_ERROR) == !inside);
	cmd(0, 0xff);
}

static void program(const struct step *s)
{
	uint64_t at = place(s), mask = m.word == 1 ? 0xff : UINT32_MAX;
	bool inside = at < m.store_bytes;
	uint64_t was, next;

	to_array();
	was = get(at, m.word);
	next = get((at + m.word) % m.store_bytes, m.word);
	cmd(at, s->size & 1 ? 0x10 : 0x40);
	put(at, m.word, s->value & mask);
	end(inside);
	CHECK(get(at, m.word) == (inside ? was & s->value & mask : mask));
	CHECK(get((at + m.word) % m.store_bytes, m.word) == next);
}

/* Something that is not erased, where there is flash. */
static void mark(uint64_t at)
{
	if (at >= m.store_bytes)
		return;
	cmd(at, 0x40);
	put(at, m.word, 0);
	cmd(0, 0xff);
	CHECK(!get(at, m.word));
}

static void erase(const struct step *s)
{
	uint64_t at = place(s), block = align_down(at, m.block_bytes);
	uint64_t end_at = block + m.block_bytes;

	to_array();
	mark(block - m.word);
	mark(block);
	mark(end_at);
	cmd(at, 0x20);
	cmd(at, s->size & 1 ? 0xd0 : 0xff);
	if (s->size & 1) {
		CHECK(status() == READY || (m.lost && status() & READY));
		cmd(0, 0xff);
		for (uint64_t i = 0; i < m.block_bytes; i += KIB(1))
			CHECK(get(block + i, 8) == UINT64_MAX);
	} else { /* not confirmed: back to reading */
		CHECK(block >= m.store_bytes || !get(block, m.word));
	}
	CHECK(block - m.word >= m.store_bytes || !get(block - m.word, m.word));
	CHECK(end_at >= m.store_bytes || !get(end_at, m.word));
}

static void buffer(const struct step *s)
{
	uint64_t at = place(s), words = s->size % 0x40 + 1u;
	uint64_t most = FLASH_BUFFER_BYTES / m.word;
	uint64_t mask = m.word == 1 ? 0xff : UINT32_MAX,
		 was[FLASH_BUFFER_BYTES];

	/* Inside of the window, and the word behind it, too. */
	at = MIN(at, (m.platform.q35 ? PC_BYTES : FLASH_BYTES) -
			     (words + 1) * m.word);
	to_array();
	for (unsigned i = 0; i < words; i++)
		was[i] = get(at + i * m.word, m.word);
	cmd(at, 0xe8);
	CHECK(status() == READY);
	put(at, m.word, words - 1);
	if (words > most) {
		CHECK(status() == (READY | PROGRAM_ERROR));
		return;
	}
	for (unsigned i = 0; i < words; i++)
		put(at + i * m.word, m.word, (s->value * (i + 1)) & mask);
	cmd(at, 0xd0);
	end(range_within(at, words * m.word, 0, m.store_bytes));
	for (unsigned i = 0; i < words; i++)
		if (range_within(at, words * m.word, 0, m.store_bytes))
			CHECK(get(at + i * m.word, m.word) ==
			      (was[i] & s->value * (i + 1) & mask));
}

static void identify(const struct step *s)
{
	to_array();
	cmd(0, 0x90);
	CHECK((get(0, m.word) & 0xff) == 0x89);
	get(place(s), 1u << (s->size & 3));
	cmd(0, 0x98);
	CHECK((get(0x10 * m.word, m.word) & 0xff) == 'Q');
	get(place(s), 1u << (s->size & 3));
	cmd(0, 0xff);
}

/* ---- state -------------------------------------------------------------- */

/* A step of a saved state may be damaged; it is refused, or taken as it is. */
static void save_load(const struct step *s)
{
	size_t head;
	struct stream_out first, second;
	struct stream_in in;
	bool damaged = s->size & 1;

	save(&first);
	head = first.len - m.store_bytes;
	if (damaged)
		first.data[s->at % head] ^= (uint8_t)s->value;
	drop_device();
	if (m.lost) /* it would be refused */
		m.config.firmware_vars = NULL;
	make_device();
	stream_in_init(&in, first.data,
		       s->size & 2 ? s->value % first.len : first.len);
	if (flash_cfi_class.load(m.dev, &in, NULL)) {
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
	if (m.fd < 0 || m.lost)
		return;
	CHECK(!ftruncate(m.fd, s->value % m.store_bytes));
	m.lost = true;
}

static void check_file(void)
{
	static uint8_t file[FLASH_VARS_BYTES];
	struct stream_out out;

	if (m.fd < 0 || m.lost)
		return;
	CHECK(file_read_at(m.fd, 0, file, m.store_bytes) ==
	      (int64_t)m.store_bytes);
	save(&out);
	CHECK(!memcmp(out.data + out.len - m.store_bytes, file, m.store_bytes));
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
		flash_cfi_class.reset(m.dev);
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
	take_machine(data[0]);
	for (size_t at = 1, n = 0; at + sizeof(s) <= len && n < STEPS; n++) {
		memcpy(&s, data + at, sizeof(s));
		run_step(&s);
		at += sizeof(s);
	}
	check_file();
	put_machine(data[0]);
	return 0;
}
