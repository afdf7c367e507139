/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: tests of devices/legacy/fw-cfg.c and vmm/fw-cfg.c */
#include <stdio.h>

#include "vmm/base/bytes.h"
#include "vmm/fw-cfg.h"

#include "legacy-rig.h"

#define RAM_BYTES      MIB(8)
#define COMMAND	       0x1000 /* where the tests put theirs */
#define TARGET	       0x2000
#define FILE_BYTES     5000
#define WRITABLE_BYTES 300 /* more than the device takes at once */

/* Control words, docs/specs/fw_cfg.rst */
enum { ERROR = 1, READ = 2, SKIP = 4, SELECT = 8, WRITE = 16 };

static struct guest_ram ram;
static struct fw_cfg *items;
static int file_fd;
static uint8_t content[FILE_BYTES];
static unsigned changes;
static uint32_t changed_at, changed_len;
static enum plat_bus bus_kind;

static void written(void *opaque, uint32_t at, const uint8_t *now, uint32_t len)
{
	ck_assert_ptr_eq(opaque, &changes);
	ck_assert_uint_eq(now[0], at ? 'x' : 'a');
	changes++;
	changed_at = at;
	changed_len = len;
}

static void add(const char *name, const void *data, uint32_t len)
{
	struct fw_cfg_content c = { .data = data, .size_bytes = len };
	struct diag d = DIAG_INIT;

	ck_assert_int_eq(fw_cfg_add(items, name, &c, &d), 0);
}

static void add_file(void)
{
	char path[] = "/tmp/test-fw-cfg-XXXXXX";
	struct fw_cfg_content c = { .size_bytes = FILE_BYTES - 7,
				    .offset_bytes = 7 };
	struct diag d = DIAG_INIT;

	file_fd = mkstemp(path);
	unlink(path);
	for (unsigned i = 0; i < FILE_BYTES; i++)
		content[i] = (uint8_t)(i * 7 + i / 256);
	ck_assert_int_eq(write(file_fd, content, FILE_BYTES), FILE_BYTES);
	c.fd = file_fd;
	ck_assert_int_eq(fw_cfg_add(items, "opt/file", &c, &d), 0);
}

static void add_writable(void)
{
	static uint8_t dashes[WRITABLE_BYTES];
	struct fw_cfg_content c = { .data = dashes,
				    .size_bytes = WRITABLE_BYTES,
				    .written = written,
				    .opaque = &changes };
	struct diag d = DIAG_INIT;

	memset(dashes, '-', sizeof(dashes));
	ck_assert_int_eq(fw_cfg_add(items, "opt/writable", &c, &d), 0);
}

/* Keys: 0x20 etc/alpha, 0x21 opt/b, 0x22 opt/file, 0x23 opt/writable */
static void setup_on(enum plat_bus bus)
{
	struct diag d = DIAG_INIT;

	rig_open();
	bus_kind = bus;
	changes = 0;
	ram_init(&ram);
	ck_assert_int_eq(ram_add(&ram, GPA(0), RAM_BYTES,
				 &(struct ram_options){ 0 }, &d),
			 0);
	items = fw_cfg_new();
	add("opt/b", "0123456789", 10);
	add_file();
	add("etc/alpha", "alpha", 5);
	add_writable();
	rig.env.ram = &ram;
	rig.env.fw_cfg = items;
	rig.dev = rig_make(&fw_cfg_class, bus);
}

static void setup_ports(void)
{
	setup_on(PLAT_PIO);
}

static void setup_memory(void)
{
	setup_on(PLAT_MMIO);
}

static void teardown(void)
{
	rig_close();
	fw_cfg_free(items);
	ram_release(&ram);
	close(file_fd);
}

static void choose(uint16_t key)
{
	if (bus_kind == PLAT_PIO)
		wr(0, 2, key);
	else
		wrm(8, 2, htobe16(key));
}

static uint64_t take(unsigned size)
{
	return bus_kind == PLAT_PIO ? rd(1, size) : rdm(0, size);
}

/* "QEMU" in the order of bytes, as memory would have it. */
static uint64_t text(const char *bytes, unsigned len)
{
	uint64_t v = 0;

	memcpy(&v, bytes, len);
	return le64toh(v);
}

static void put_command(uint64_t gpa, uint32_t control, uint32_t len,
			uint64_t to)
{
	uint8_t cmd[16];

	put_be32(cmd, control);
	put_be32(cmd + 4, len);
	put_be64(cmd + 8, to);
	ck_assert(ram_write(&ram, GPA(gpa), cmd, sizeof(cmd)));
}

/* In halves by ports, at once in memory, as firmware does it. */
static void ring(uint64_t gpa)
{
	if (bus_kind == PLAT_PIO) {
		wr(4, 4, htobe32((uint32_t)(gpa >> 32)));
		wr(8, 4, htobe32((uint32_t)gpa));
	} else {
		wrm(16, 8, htobe64(gpa));
	}
}

static uint32_t control_at(uint64_t gpa)
{
	uint8_t be[4];

	ck_assert(ram_read(&ram, GPA(gpa), be, sizeof(be)));
	return get_be32(be);
}

static uint32_t command(uint32_t control, uint32_t len, uint64_t to)
{
	put_command(COMMAND, control, len, to);
	ring(COMMAND);
	return control_at(COMMAND);
}

static const uint8_t *target(uint32_t len)
{
	static uint8_t buf[FILE_BYTES + 64];

	ck_assert(len <= sizeof(buf) && ram_read(&ram, GPA(TARGET), buf, len));
	return buf;
}

static uint32_t key_bits(uint16_t key)
{
	return SELECT | (uint32_t)key << 16;
}

/* ---- registers ---- */

START_TEST(signature_and_features)
{
	choose(0);
	ck_assert_uint_eq(take(1), 'Q');
	ck_assert_uint_eq(take(1), 'E');
	ck_assert_uint_eq(take(1), 'M');
	ck_assert_uint_eq(take(1), 'U');
	ck_assert_uint_eq(take(1), 0);
	choose(1);
	ck_assert_uint_eq(take(4), 3);
}
END_TEST

START_TEST(widths_go_by_the_byte)
{
	choose(0x21);
	ck_assert_uint_eq(take(2), text("01", 2));
	ck_assert_uint_eq(take(4), text("2345", 4));
	ck_assert_uint_eq(take(1), '6');
	ck_assert_uint_eq(take(8), text("789\0\0\0\0\0", 8));
	ck_assert_uint_eq(take(8), 0);
	choose(0x21);
	ck_assert_uint_eq(take(8), text("01234567", 8));
}
END_TEST

START_TEST(unknown_items_are_zero)
{
	static const uint16_t keys[] = { 0x02,	 0x1f,	 0x24,	0x100,
					 0x7fff, 0x8000, 0xffff };

	for (unsigned i = 0; i < ARRAY_SIZE(keys); i++) {
		choose(keys[i]);
		ck_assert_uint_eq(take(8), 0);
	}
}
END_TEST

START_TEST(dma_register_reads_as_its_name)
{
	unsigned at = bus_kind == PLAT_PIO ? 4 : 16;

	for (unsigned size = 1; size <= 8; size *= 2)
		for (unsigned i = 0; i + size <= 8; i += size)
			ck_assert_uint_eq(bus_kind == PLAT_PIO
						  ? rd(at + i, size)
						  : rdm(at + i, size),
					  text("QEMU CFG" + i, size));
}
END_TEST

START_TEST(directory_is_sorted)
{
	static const struct {
		uint32_t size;
		const char *name;
	} want[] = { { 5, "etc/alpha" },
		     { 10, "opt/b" },
		     { FILE_BYTES - 7, "opt/file" },
		     { WRITABLE_BYTES, "opt/writable" } };
	uint8_t dir[4 + 64 * 4];

	choose(0x19);
	for (unsigned i = 0; i < sizeof(dir); i++)
		dir[i] = (uint8_t)take(1);
	ck_assert_uint_eq(get_be32(dir), ARRAY_SIZE(want));
	for (unsigned i = 0; i < ARRAY_SIZE(want); i++) {
		const uint8_t *e = dir + 4 + 64 * i;

		ck_assert_uint_eq(get_be32(e), want[i].size);
		ck_assert_uint_eq(get_be16(e + 4), 0x20 + i);
		ck_assert_uint_eq(get_be16(e + 6), 0);
		ck_assert_str_eq((const char *)e + 8, want[i].name);
		ck_assert_uint_eq(e[63], 0);
	}
	ck_assert_uint_eq(take(8), 0);
}
END_TEST

/* What `rep insb` makes of it. */
START_TEST(a_file_byte_by_byte)
{
	choose(0x22);
	for (unsigned i = 7; i < FILE_BYTES; i++)
		ck_assert_uint_eq(take(1), content[i]);
	ck_assert_uint_eq(take(1), 0);
}
END_TEST

START_TEST(data_cannot_be_written)
{
	choose(0x23);
	if (bus_kind == PLAT_PIO)
		wr(1, 1, 'x');
	else
		wrm(0, 1, 'x');
	ck_assert_uint_eq(take(1), '-');
	ck_assert_uint_eq(changes, 0);
}
END_TEST

/* ---- commands ---- */

START_TEST(selects_and_reads)
{
	ck_assert_uint_eq(command(key_bits(0x21) | READ, 4, TARGET), 0);
	ck_assert_mem_eq(target(5), "0123\0", 5);
	ck_assert_uint_eq(command(READ, 4, TARGET), 0);
	ck_assert_mem_eq(target(4), "4567", 4);
	ck_assert_uint_eq(take(1), '8');
}
END_TEST

START_TEST(zeros_behind_the_end)
{
	ram_fill(&ram, GPA(TARGET), 0xaa, 64);
	ck_assert_uint_eq(command(key_bits(0x21) | READ, 13, TARGET), 0);
	ck_assert_mem_eq(target(14), "0123456789\0\0\0\xaa", 14);
	ck_assert_uint_eq(command(key_bits(0x999) | READ, 5, TARGET), 0);
	ck_assert_mem_eq(target(6),
			 "\0\0\0\0\0"
			 "5",
			 6);
}
END_TEST

START_TEST(skips)
{
	ck_assert_uint_eq(command(key_bits(0x21) | SKIP, 3, 0), 0);
	ck_assert_uint_eq(command(READ, 2, TARGET), 0);
	ck_assert_mem_eq(target(2), "34", 2);
	ck_assert_uint_eq(command(SKIP, UINT32_MAX, 0), 0);
	ck_assert_uint_eq(take(1), 0);
	ck_assert_uint_eq(command(key_bits(0x21), 0, 0), 0);
	ck_assert_uint_eq(take(1), '0');
}
END_TEST

START_TEST(nothing_to_do)
{
	choose(0x21);
	ck_assert_uint_eq(command(READ, 0, UINT64_MAX), 0);
	ck_assert_uint_eq(command(0, 5, TARGET), 0);
	ck_assert_uint_eq(take(1), '0');
}
END_TEST

START_TEST(a_file_at_once)
{
	ck_assert_uint_eq(
		command(key_bits(0x22) | READ, FILE_BYTES - 7, TARGET), 0);
	ck_assert_mem_eq(target(FILE_BYTES - 7), content + 7, FILE_BYTES - 7);
}
END_TEST

START_TEST(a_file_that_shrinks)
{
	ck_assert_int_eq(ftruncate(file_fd, 100), 0);
	ck_assert_uint_eq(command(key_bits(0x22) | READ, 200, TARGET), ERROR);
	ck_assert_uint_eq(command(key_bits(0x22) | READ, 93, TARGET), 0);
	ck_assert_mem_eq(target(93), content + 7, 93);
	choose(0x22);
	ck_assert_uint_eq(take(8), 0);
}
END_TEST

START_TEST(not_in_ram)
{
	static const uint64_t bad[] = { RAM_BYTES - 3, RAM_BYTES, GIB(5),
					UINT64_MAX - 1 };

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		ck_assert_uint_eq(command(key_bits(0x21) | READ, 4, bad[i]),
				  ERROR);
		ck_assert_uint_eq(command(key_bits(0x77) | READ, 4, bad[i]),
				  ERROR);
		ck_assert_uint_eq(command(key_bits(0x23) | WRITE, 4, bad[i]),
				  ERROR);
		ring(bad[i]);
	}
	put_command(RAM_BYTES - 16, key_bits(0x21) | READ, 4, TARGET);
	ring(RAM_BYTES - 16);
	ck_assert_uint_eq(control_at(RAM_BYTES - 16), 0);
	ck_assert_uint_eq(changes, 0);
}
END_TEST

/* edk2's is packed, so it may be anywhere. */
START_TEST(a_command_that_is_not_aligned)
{
	put_command(COMMAND + 3, key_bits(0x21) | READ, 4, TARGET);
	ring(COMMAND + 3);
	ck_assert_uint_eq(control_at(COMMAND + 3), 0);
	ck_assert_mem_eq(target(4), "0123", 4);
}
END_TEST

START_TEST(writes_where_that_is_allowed)
{
	ram_write(&ram, GPA(TARGET), "abcx", 4);
	ck_assert_uint_eq(command(key_bits(0x23) | WRITE, 3, TARGET), 0);
	ck_assert_uint_eq(command(WRITE, 1, TARGET + 3), 0);
	ck_assert_uint_eq(changes, 2);
	ck_assert_uint_eq(changed_at, 3);
	ck_assert_uint_eq(changed_len, 1);
	choose(0x23);
	ck_assert_uint_eq(take(8), text("abcx----", 8));
	ck_assert_uint_eq(command(WRITE, WRITABLE_BYTES - 7, TARGET), ERROR);
	ck_assert_uint_eq(
		command(key_bits(0x23) | WRITE, WRITABLE_BYTES + 1, TARGET),
		ERROR);
	ck_assert_uint_eq(command(key_bits(0x21) | WRITE, 1, TARGET), ERROR);
	ck_assert_uint_eq(command(key_bits(0x22) | WRITE, 1, TARGET), ERROR);
	ck_assert_uint_eq(command(key_bits(0x99) | WRITE, 1, TARGET), ERROR);
	ck_assert_uint_eq(changes, 2);
	choose(0x21);
	ck_assert_uint_eq(take(1), '0');
}
END_TEST

/* ---- long commands ---- */

#define LONG (MIB(3) + 5)

static void start_long(void)
{
	ram_fill(&ram, GPA(MIB(1)), 0xaa, MIB(4));
	put_command(COMMAND, key_bits(0x21) | READ, LONG, MIB(1));
	ring(COMMAND);
}

static void long_is_done(void)
{
	uint8_t at[16];

	RIG_UNTIL(control_at(COMMAND) == 0);
	ram_read(&ram, GPA(MIB(1)), at, sizeof(at));
	ck_assert_mem_eq(at, "0123456789\0\0\0\0\0\0", 16);
	for (uint64_t i = MIB(2); i < MIB(1) + LONG; i += KIB(64)) {
		ram_read(&ram, GPA(i), at, 1);
		ck_assert_uint_eq(at[0], 0);
	}
	ram_read(&ram, GPA(MIB(1) + LONG - 1), at, 2);
	ck_assert_mem_eq(at, "\0\xaa", 2);
}

START_TEST(a_long_one_does_not_hold_the_guest)
{
	start_long();
	ck_assert_uint_eq(control_at(COMMAND), key_bits(0x21) | READ);
	long_is_done();
}
END_TEST

START_TEST(one_long_command_at_a_time)
{
	start_long();
	put_command(TARGET, READ, 1, TARGET + 64);
	ring(TARGET);
	ck_assert_uint_eq(control_at(TARGET), ERROR);
	long_is_done();
	ck_assert_uint_eq(command(key_bits(0x21) | READ, 1, TARGET), 0);
}
END_TEST

START_TEST(four_gigabytes)
{
	put_command(COMMAND, key_bits(0x21) | READ, UINT32_MAX, MIB(1));
	ring(COMMAND);
	ck_assert_uint_ne(control_at(COMMAND), ERROR);
	RIG_UNTIL(control_at(COMMAND) == ERROR); /* RAM is over */
	ck_assert_uint_eq(command(key_bits(0x21) | READ, 1, TARGET), 0);
}
END_TEST

START_TEST(reset_ends_a_long_one)
{
	start_long();
	rig.dev->cls->reset(rig.dev);
	rig_run_ms(20);
	ck_assert_uint_eq(control_at(COMMAND), key_bits(0x21) | READ);
	ck_assert_uint_eq(take(1), 'Q');
}
END_TEST

START_TEST(pause_and_resume)
{
	start_long();
	rig.dev->cls->pause(rig.dev);
	rig_run_ms(20);
	ck_assert_uint_eq(control_at(COMMAND), key_bits(0x21) | READ);
	rig.dev->cls->resume(rig.dev);
	long_is_done();
}
END_TEST

/* ---- state ---- */

START_TEST(round_trip)
{
	choose(0x21);
	take(2);
	rig_round_trip(bus_kind, false);
	ck_assert_uint_eq(take(1), '2');
	start_long();
	rig_round_trip(bus_kind, false);
	rig.dev->cls->resume(rig.dev);
	long_is_done();
}
END_TEST

START_TEST(half_an_address_survives)
{
	put_command(COMMAND, key_bits(0x21) | READ, 4, TARGET);
	if (bus_kind == PLAT_PIO)
		wr(4, 4, htobe32(1));
	else
		wrm(16, 4, htobe32(1));
	rig_round_trip(bus_kind, false);
	if (bus_kind == PLAT_PIO)
		wr(8, 4, htobe32(COMMAND));
	else
		wrm(20, 4, htobe32(COMMAND));
	ck_assert_uint_ne(control_at(COMMAND), 0); /* at 4 GiB is no RAM */
	if (bus_kind == PLAT_PIO)
		wr(8, 4, htobe32(COMMAND));
	else
		wrm(20, 4, htobe32(COMMAND));
	ck_assert_uint_eq(control_at(COMMAND), 0);
}
END_TEST

START_TEST(hostile_state)
{
	start_long();
	rig_hostile_state();
}
END_TEST

START_TEST(hostile_access)
{
	rig_hostile_access(bus_kind == PLAT_PIO ? rig.pio : rig.mmio, 32,
			   20000);
	rig_run_ms(5);
}
END_TEST

START_TEST(describes_itself)
{
	const struct plat_dev *dev = &rig.platform.dev[0];
	struct diag d = DIAG_INIT;
	bool ports = bus_kind == PLAT_PIO;

	ck_assert_int_eq(rig.dev->cls->describe(rig.dev, &rig.platform, &d), 0);
	ck_assert_str_eq(dev->hid, "QEMU0002");
	ck_assert_uint_eq(dev->range_count, 1);
	ck_assert_uint_eq(dev->range[0].bus, bus_kind);
	ck_assert_uint_eq(dev->range[0].size_bytes, ports ? 12 : 24);
	if (ports)
		ck_assert_ptr_null(dev->compatible);
	else
		ck_assert_str_eq(dev->compatible, "qemu,fw-cfg-mmio");
}
END_TEST

/* ---- the list of items ---- */

static int try_add(const char *name, struct diag *d)
{
	struct fw_cfg_content c = { .data = "x", .size_bytes = 1 };

	*d = DIAG_INIT;
	return fw_cfg_add(items, name, &c, d);
}

START_TEST(names)
{
	char name[60];
	struct diag d;

	memset(name, 'n', sizeof(name));
	name[56] = 0;
	ck_assert_int_eq(try_add(name, &d), -ENAMETOOLONG);
	name[55] = 0;
	ck_assert_int_eq(try_add(name, &d), 0);
	ck_assert_int_eq(try_add("opt/b", &d), -EEXIST);
	ck_assert_str_eq(d.text[0], "fw_cfg: opt/b: is there already");
	choose(0x22); /* between etc/alpha and opt/file now */
	ck_assert_uint_eq(take(1), '0');
}
END_TEST

START_TEST(no_more_files)
{
	struct diag d;
	char name[16];

	for (unsigned i = 4; i < FW_CFG_FILES_MAX; i++) {
		snprintf(name, sizeof(name), "opt/%03u", i);
		ck_assert_int_eq(try_add(name, &d), 0);
	}
	ck_assert_int_eq(try_add("one too many", &d), -ENOSPC);
	choose(0x20 + FW_CFG_FILES_MAX - 1);
	ck_assert_uint_eq(take(1), '-');
	fw_cfg_clear(items);
	choose(0x19);
	ck_assert_uint_eq(take(8), 0);
	choose(0x20);
	ck_assert_uint_eq(take(8), 0);
}
END_TEST

START_TEST(numbers)
{
	struct diag d = DIAG_INIT;

	ck_assert_int_eq(fw_cfg_set_number(items, FW_CFG_CPUS, 0x1234, 2, &d),
			 0);
	ck_assert_int_eq(fw_cfg_set_number(items, FW_CFG_CPUS, 0x102, 2, &d),
			 0);
	choose(5);
	ck_assert_uint_eq(take(8), 0x102);
}
END_TEST

static void add_tests(TCase *t)
{
	tcase_add_test(t, signature_and_features);
	tcase_add_test(t, widths_go_by_the_byte);
	tcase_add_test(t, unknown_items_are_zero);
	tcase_add_test(t, dma_register_reads_as_its_name);
	tcase_add_test(t, directory_is_sorted);
	tcase_add_test(t, a_file_byte_by_byte);
	tcase_add_test(t, data_cannot_be_written);
	tcase_add_test(t, selects_and_reads);
	tcase_add_test(t, zeros_behind_the_end);
	tcase_add_test(t, skips);
	tcase_add_test(t, nothing_to_do);
	tcase_add_test(t, a_file_at_once);
	tcase_add_test(t, a_file_that_shrinks);
	tcase_add_test(t, not_in_ram);
	tcase_add_test(t, a_command_that_is_not_aligned);
	tcase_add_test(t, writes_where_that_is_allowed);
	tcase_add_test(t, a_long_one_does_not_hold_the_guest);
	tcase_add_test(t, one_long_command_at_a_time);
	tcase_add_test(t, four_gigabytes);
	tcase_add_test(t, reset_ends_a_long_one);
	tcase_add_test(t, pause_and_resume);
	tcase_add_test(t, round_trip);
	tcase_add_test(t, half_an_address_survives);
	tcase_add_test(t, hostile_state);
	tcase_add_test(t, hostile_access);
	tcase_add_test(t, describes_itself);
	tcase_add_test(t, names);
	tcase_add_test(t, no_more_files);
	tcase_add_test(t, numbers);
}

int main(void)
{
	Suite *s = suite_create("fw-cfg");
	TCase *ports = tcase_create("ports"), *memory = tcase_create("memory");

	tcase_add_checked_fixture(ports, setup_ports, teardown);
	tcase_add_checked_fixture(memory, setup_memory, teardown);
	add_tests(ports);
	add_tests(memory);
	suite_add_tcase(s, ports);
	suite_add_tcase(s, memory);
	return suite_run(s);
}
