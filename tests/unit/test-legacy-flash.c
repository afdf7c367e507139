/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: tests of devices/legacy/flash-cfi.c, as firmware uses it */
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "devices/legacy/flash-cfi.h"
#include "legacy-rig.h"

#define BASE  UINT64_C(0x04000000)
#define READY 0x00800080u
#define KILLS 200

static char path[] = "/tmp/test-flash-XXXXXX";
static struct vm_config config;

static struct device *make(struct diag *d)
{
	struct device_place place = { .bus = PLAT_MMIO, .base = BASE };
	struct device *dev = calloc(1, flash_cfi_class.size_bytes);

	dev->cls = &flash_cfi_class;
	dev->env = &rig.env;
	if (flash_cfi_class.realize(dev, &place, d)) {
		free(dev);
		return NULL;
	}
	flash_cfi_class.reset(dev);
	return dev;
}

static void setup(void)
{
	struct diag d = DIAG_INIT;

	rig_open();
	rig.env.config = &config;
	rig.dev = make(&d);
	ck_assert_ptr_nonnull(rig.dev);
}

static void setup_file(void)
{
	close(mkstemp(path));
	config.firmware_vars = path;
	setup();
}

static void teardown(void)
{
	rig_close();
	if (config.firmware_vars)
		unlink(path);
}

static uint32_t get(uint64_t at)
{
	return (uint32_t)bus_read(rig.mmio, BASE + at, 4);
}

static void put(uint64_t at, uint32_t value)
{
	bus_write(rig.mmio, BASE + at, 4, value);
}

/* A command goes to both chips. */
static void cmd(uint64_t at, uint8_t c)
{
	put(at, (uint32_t)c << 16 | c);
}

static void program(uint64_t at, uint32_t value)
{
	cmd(at, 0x40);
	put(at, value);
	ck_assert_uint_eq(get(at), READY);
	cmd(at, 0xff);
}

static void erase(uint64_t at)
{
	cmd(at, 0x20);
	cmd(at, 0xd0);
	cmd(at, 0xff);
}

/* ---- commands ----------------------------------------------------------- */

START_TEST(begins_erased)
{
	ck_assert_uint_eq(get(0), UINT32_MAX);
	ck_assert_uint_eq(get(FLASH_VARS_BYTES - 4), UINT32_MAX);
	ck_assert_uint_eq(get(FLASH_BYTES - 4), UINT32_MAX);
}
END_TEST

START_TEST(programs_words_and_only_clears_bits)
{
	program(8, 0x12345678);
	ck_assert_uint_eq(get(8), 0x12345678);
	ck_assert_uint_eq(get(4), UINT32_MAX);
	ck_assert_uint_eq(get(12), UINT32_MAX);
	program(8, 0xffff00ff);
	ck_assert_uint_eq(get(8), 0x12340078);
	ck_assert_uint_eq(bus_read(rig.mmio, BASE + 8, 1), 0x78);
	ck_assert_uint_eq(bus_read(rig.mmio, BASE + 10, 2), 0x1234);
}
END_TEST

START_TEST(erases_one_block)
{
	program(0, 0);
	program(FLASH_BLOCK_BYTES, 0);
	program(2 * FLASH_BLOCK_BYTES - 4, 0);
	program(2 * FLASH_BLOCK_BYTES, 0);
	erase(FLASH_BLOCK_BYTES + 0x1000);
	ck_assert_uint_eq(get(0), 0);
	ck_assert_uint_eq(get(FLASH_BLOCK_BYTES), UINT32_MAX);
	ck_assert_uint_eq(get(2 * FLASH_BLOCK_BYTES - 4), UINT32_MAX);
	ck_assert_uint_eq(get(2 * FLASH_BLOCK_BYTES), 0);
}
END_TEST

START_TEST(erase_without_confirmation_does_nothing)
{
	program(0, 0);
	cmd(0, 0x20);
	cmd(0, 0xff);
	ck_assert_uint_eq(get(0), 0);
}
END_TEST

static void buffer(uint64_t at, unsigned words)
{
	cmd(at, 0xe8);
	ck_assert_uint_eq(get(at), READY);
	cmd(at, (uint8_t)(words - 1));
	for (unsigned i = 0; i < words; i++)
		put(at + 4 * i, 0xa0000000 + i);
}

START_TEST(programs_a_buffer)
{
	buffer(0x1000, 32);
	ck_assert_uint_eq(get(0x1000), READY);
	cmd(0x1000, 0xd0);
	ck_assert_uint_eq(get(0x1000), READY);
	cmd(0, 0xff);
	for (unsigned i = 0; i < 32; i++)
		ck_assert_uint_eq(get(0x1000 + 4 * i), 0xa0000000 + i);
	ck_assert_uint_eq(get(0x1080), UINT32_MAX);
}
END_TEST

START_TEST(buffer_without_confirmation_is_dropped)
{
	buffer(0x1000, 2);
	cmd(0x1000, 0xff);
	ck_assert_uint_eq(get(0x1000), UINT32_MAX);
}
END_TEST

START_TEST(buffer_that_is_too_long)
{
	cmd(0, 0xe8);
	cmd(0, 32);
	ck_assert_uint_eq(get(0), READY | 0x00100010);
	cmd(0, 0x50);
	cmd(0, 0x70);
	ck_assert_uint_eq(get(0), READY);
}
END_TEST

START_TEST(buffer_word_that_is_elsewhere)
{
	cmd(0, 0xe8);
	cmd(0, 1);
	put(0, 1);
	put(0x2000, 2);
	cmd(0, 0xd0);
	ck_assert_uint_eq(get(0), READY | 0x00100010);
	cmd(0, 0xff);
	ck_assert_uint_eq(get(0x2000), UINT32_MAX);
}
END_TEST

START_TEST(behind_the_store_nothing_is_kept)
{
	cmd(FLASH_VARS_BYTES, 0x40);
	put(FLASH_VARS_BYTES, 0);
	ck_assert_uint_eq(get(0), READY | 0x00100010);
	cmd(0, 0xff);
	ck_assert_uint_eq(get(FLASH_VARS_BYTES), UINT32_MAX);
	erase(FLASH_BYTES - 4);
}
END_TEST

START_TEST(says_what_it_is)
{
	cmd(0, 0x90);
	ck_assert_uint_eq(get(0), 0x00890089);
	ck_assert_uint_eq(get(8), 0);
	cmd(0, 0x98);
	ck_assert_uint_eq(get(0x10 * 4), 0x00510051);
	ck_assert_uint_eq(get(0x11 * 4), 0x00520052);
	ck_assert_uint_eq(get(0x12 * 4), 0x00590059);
	ck_assert_uint_eq(get(0x27 * 4), 0x00190019);
	ck_assert_uint_eq(get(FLASH_BYTES - 4), 0);
	cmd(0, 0xff);
	ck_assert_uint_eq(get(0), UINT32_MAX);
}
END_TEST

START_TEST(locks_and_unlocks)
{
	cmd(0, 0x60);
	cmd(0, 0xd0);
	ck_assert_uint_eq(get(0), READY);
	cmd(0, 0x60);
	cmd(0, 0x01);
	ck_assert_uint_eq(get(0), READY);
	program(0, 5);
	ck_assert_uint_eq(get(0), 5);
}
END_TEST

/* Firmware of the guest's may do anything: every byte as a command, in every
 * state, at every width. */
START_TEST(any_commands)
{
	uint32_t x = 1;

	for (unsigned i = 0; i < 200000; i++) {
		unsigned size;
		uint64_t at;

		x = x * 1664525 + 1013904223;
		size = 1u << (x >> 30);
		at = (x >> 3) % (FLASH_BYTES - 8) & ~(uint64_t)(size - 1);
		if (x & 1)
			at %= 2 * FLASH_BLOCK_BYTES;
		if (x & 2)
			bus_read(rig.mmio, BASE + at, size);
		else
			bus_write(rig.mmio, BASE + at, size,
				  x & 4 ? x >> 8 : (x >> 8 & 3) * 0x101);
	}
}
END_TEST

/* ---- state -------------------------------------------------------------- */

START_TEST(saved_in_the_middle_of_a_buffer)
{
	struct stream_out out;
	struct stream_in in;
	struct diag d = DIAG_INIT;

	program(0x2000, 7);
	cmd(0x1000, 0xe8);
	cmd(0x1000, 1);
	put(0x1000, 1);
	stream_out_init(&out);
	flash_cfi_class.save(rig.dev, &out);
	rig_drop(rig.dev);
	rig.dev = make(&d);
	stream_in_init(&in, out.data, out.len);
	ck_assert_int_eq(flash_cfi_class.load(rig.dev, &in, &d), 0);
	ck_assert_int_eq(stream_in_done(&in), 0);
	put(0x1004, 2);
	cmd(0x1000, 0xd0);
	cmd(0, 0xff);
	ck_assert_uint_eq(get(0x1000), 1);
	ck_assert_uint_eq(get(0x1004), 2);
	ck_assert_uint_eq(get(0x2000), 7);
	stream_out_release(&out);
}
END_TEST

START_TEST(damaged_state_changes_nothing)
{
	struct stream_out out;
	struct stream_in in;
	struct diag d = DIAG_INIT;

	stream_out_init(&out);
	flash_cfi_class.save(rig.dev, &out);
	program(0, 3);
	out.data[0] = 200;
	stream_in_init(&in, out.data, out.len);
	ck_assert_int_eq(flash_cfi_class.load(rig.dev, &in, &d), -EBADMSG);
	out.data[0] = 0;
	stream_in_init(&in, out.data, out.len - 1);
	ck_assert_int_eq(flash_cfi_class.load(rig.dev, &in, &d), -EBADMSG);
	ck_assert_uint_eq(get(0), 3);
	stream_out_release(&out);
}
END_TEST

/* ---- the file ----------------------------------------------------------- */

START_TEST(file_keeps_what_was_programmed)
{
	struct diag d = DIAG_INIT;
	struct stat st;

	program(0x40000, 0xcafe);
	rig_drop(rig.dev);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq((uint64_t)st.st_size, FLASH_VARS_BYTES);
	rig.dev = make(&d);
	ck_assert_uint_eq(get(0x40000), 0xcafe);
	ck_assert_uint_eq(get(0), UINT32_MAX);
}
END_TEST

static void refused(const char *why)
{
	struct diag d = DIAG_INIT;
	char text[512];

	ck_assert_ptr_null(make(&d));
	diag_format(&d, text, sizeof(text));
	ck_assert_msg(strstr(text, "--firmware-vars /tmp/test-flash-") &&
			      strstr(text, why),
		      "%s", text);
}

START_TEST(file_that_another_machine_uses)
{
	refused("another machine uses it");
}
END_TEST

START_TEST(file_of_a_wrong_size)
{
	static const off_t sizes[] = { 1, 768 * 1024 - 1, 768 * 1024 + 1,
				       512 * 1024, 65 << 20 };

	rig_drop(rig.dev);
	rig.dev = NULL;
	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		ck_assert_int_eq(truncate(path, sizes[i]), 0);
		refused("in steps of 262144");
	}
	unlink(path);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	refused("Is a directory");
	rmdir(path);
}
END_TEST

START_TEST(tables_leave_the_file_alone)
{
	struct diag d = DIAG_INIT;

	rig_drop(rig.dev);
	unlink(path);
	rig.env.tables_only = true;
	rig.dev = make(&d);
	ck_assert_ptr_nonnull(rig.dev);
	ck_assert_int_ne(access(path, F_OK), 0);
}
END_TEST

/*
 * Firmware's way to replace a variable: write the new one behind the old one,
 * then mark it valid, then the old one deleted. Two values of one variable, A
 * at 0 and B at 64: state word, then data. Whenever the VMM dies, one of them
 * is valid and whole.
 */
#define VALID	0x3fffffff
#define DELETED 0x0fffffff

static void variable(uint64_t at, uint32_t value)
{
	buffer(at + 4, 8);
	cmd(at + 4, 0xd0);
	program(at + 36, value);
	program(at, VALID);
}

static void variables_for_ever(int ready)
{
	variable(0, 0);
	ck_assert_int_eq(write(ready, "", 1), 1);
	for (uint32_t n = 1;; n++) {
		uint64_t to = n % 3000 * 64, from = (n % 3000 - 1) * 64;

		if (!(n % 3000)) {
			/* Room is used up: the other block takes over. */
			erase(FLASH_BLOCK_BYTES);
			variable(FLASH_BLOCK_BYTES, n);
			erase(0);
			variable(0, n);
			continue;
		}
		variable(to, n);
		program(from, DELETED);
	}
}

/* What firmware finds: the last valid value, whole. */
static bool one_is_whole(void)
{
	for (uint64_t at = 0; at < FLASH_BLOCK_BYTES + 64; at += 64) {
		bool whole = get(at) == VALID;

		for (unsigned i = 0; whole && i < 8; i++)
			whole = get(at + 4 + 4 * i) == 0xa0000000 + i;
		if (whole)
			return true;
	}
	return false;
}

static void kill_one(unsigned after_us)
{
	struct diag d = DIAG_INIT;
	int ready[2], status;
	char byte;
	pid_t pid;

	ck_assert_int_eq(truncate(path, 0), 0);
	ck_assert_int_eq(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	if (!pid) {
		rig.dev = make(&d);
		ck_assert_ptr_nonnull(rig.dev);
		variables_for_ever(ready[1]);
	}
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	usleep(after_us);
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	close(ready[0]);
	close(ready[1]);
	rig.dev = make(&d);
	ck_assert_ptr_nonnull(rig.dev);
	ck_assert(one_is_whole());
	rig_drop(rig.dev);
	rig.dev = NULL;
}

START_TEST(killed_at_any_moment_leaves_old_or_new)
{
	rig_drop(rig.dev);
	rig.dev = NULL;
	for (unsigned i = 0; i < KILLS; i++)
		kill_one(i * 37 % 5000);
}
END_TEST

/* ---- a PC's ------------------------------------------------------------- */

#define PC_BYTES UINT64_C(0x84000) /* OVMF_VARS_4M.fd */

static void setup_pc(void)
{
	struct diag d = DIAG_INIT;

	rig_open();
	close(mkstemp(path));
	ck_assert_int_eq(truncate(path, (off_t)PC_BYTES), 0);
	config.firmware_vars = path;
	rig.env.config = &config;
	rig.platform.q35 = true;
	rig.platform.flash.size_bytes = PC_BYTES;
	rig.dev = make(&d);
	ck_assert_ptr_nonnull(rig.dev);
}

static uint8_t get8(uint64_t at)
{
	return (uint8_t)bus_read(rig.mmio, BASE + at, 1);
}

static void put8(uint64_t at, uint8_t value)
{
	bus_write(rig.mmio, BASE + at, 1, value);
}

/* What edk2's QemuFlashDetected() asks to know it from RAM and from ROM. */
START_TEST(pc_is_known_as_flash)
{
	put8(0, 0x50);
	ck_assert_uint_eq(get8(0), 0);
	put8(0, 0x70);
	ck_assert_uint_eq(get8(0), 0);
	put8(0, 0xff);
	put8(0x21, 0x20);
	put8(0x21, 0xd0);
	ck_assert_uint_eq(get8(0x21), 0x80);
	put8(0, 0xff);
	ck_assert_uint_eq(get8(0), 0xff);
}
END_TEST

START_TEST(pc_programs_bytes_and_erases_4_KiB)
{
	struct diag d = DIAG_INIT;

	for (uint64_t at = 0; at < 0x3000; at += 0x1000) {
		put8(at, 0x20);
		put8(at, 0xd0);
	}
	put8(0x1003, 0x10);
	put8(0x1003, 0x5a);
	put8(0x1003, 0xff);
	put8(0x2000, 0x10);
	put8(0x2000, 0xa5);
	put8(0x2000, 0xff);
	ck_assert_uint_eq(bus_read(rig.mmio, BASE + 0x1000, 8),
			  0xffffffff5affffff);
	put8(0x1fff, 0x20);
	put8(0x1fff, 0xd0);
	rig_drop(rig.dev);
	rig.dev = make(&d);
	ck_assert_uint_eq(get8(0x1003), 0xff);
	ck_assert_uint_eq(get8(0x2000), 0xa5);
	ck_assert_uint_eq(get8(0x3000), 0); /* as it was */
	ck_assert_uint_eq(get8(PC_BYTES - 1), 0);
	ck_assert_uint_eq(bus_read(rig.mmio, BASE + PC_BYTES, 1), 0xff);
}
END_TEST

START_TEST(pc_says_what_it_is)
{
	static const uint8_t geometry[] = { 20, 0, 0, 6, 0, 1, 131, 0, 16, 0 };

	put8(0x55, 0x98);
	ck_assert_uint_eq(get8(0x10), 'Q');
	for (unsigned i = 0; i < sizeof(geometry); i++)
		ck_assert_uint_eq(get8(0x27 + i), geometry[i]);
}
END_TEST

/* OVMF cannot make a store of its own. */
START_TEST(pc_wants_a_file_that_fits)
{
	static const off_t sizes[] = { 0, 0x84000 - 1, 0x85000, 0x20000 };

	rig_drop(rig.dev);
	rig.dev = NULL;
	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		ck_assert_int_eq(truncate(path, sizes[i]), 0);
		refused("this firmware's have 540672: give a copy of the "
			"OVMF_VARS file that comes with it");
	}
	unlink(path);
	refused("does not exist, and this firmware cannot make it: give a "
		"copy of the OVMF_VARS file that comes with it");
	ck_assert_int_ne(access(path, F_OK), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("flash");
	TCase *t = tcase_create("commands");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, begins_erased);
	tcase_add_test(t, programs_words_and_only_clears_bits);
	tcase_add_test(t, erases_one_block);
	tcase_add_test(t, erase_without_confirmation_does_nothing);
	tcase_add_test(t, programs_a_buffer);
	tcase_add_test(t, buffer_without_confirmation_is_dropped);
	tcase_add_test(t, buffer_that_is_too_long);
	tcase_add_test(t, buffer_word_that_is_elsewhere);
	tcase_add_test(t, behind_the_store_nothing_is_kept);
	tcase_add_test(t, says_what_it_is);
	tcase_add_test(t, locks_and_unlocks);
	tcase_add_test(t, any_commands);
	tcase_add_test(t, saved_in_the_middle_of_a_buffer);
	tcase_add_test(t, damaged_state_changes_nothing);
	suite_add_tcase(s, t);
	t = tcase_create("file");
	tcase_add_checked_fixture(t, setup_file, teardown);
	tcase_add_test(t, file_keeps_what_was_programmed);
	tcase_add_test(t, file_that_another_machine_uses);
	tcase_add_test(t, file_of_a_wrong_size);
	tcase_add_test(t, tables_leave_the_file_alone);
	tcase_add_test(t, killed_at_any_moment_leaves_old_or_new);
	suite_add_tcase(s, t);
	t = tcase_create("PC");
	tcase_add_checked_fixture(t, setup_pc, teardown);
	tcase_add_test(t, pc_is_known_as_flash);
	tcase_add_test(t, pc_programs_bytes_and_erases_4_KiB);
	tcase_add_test(t, pc_says_what_it_is);
	tcase_add_test(t, any_commands);
	tcase_add_test(t, pc_wants_a_file_that_fits);
	suite_add_tcase(s, t);
	return suite_run(s);
}
