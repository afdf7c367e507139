/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: overlays on the fake hypervisor, and flash, which uses them, as vCPUs
 * see it
 *
 * Runs under ThreadSanitizer too.
 */
#include "arch/fake/asm.h"
#include "vmm/host/fake/fake.h"

#include "devices/legacy/flash-cfi.h"
#include "legacy-rig.h"

#define BASE   UINT64_C(0x04000000)
#define CODE   FAKE_RAM_LOW_GPA
#define DATA   (FAKE_RAM_LOW_GPA + 0x8000)
#define READY  0x00800080u
#define FEW    63 /* reads that need no overlay */
#define ROUNDS 100

static struct vm_config config;
static struct guest_ram ram;
static struct host_vm *vm;

static void new_vm(void)
{
	struct host_vm_config cfg = { .vcpu_count = 2, .mmio = rig.mmio };
	struct diag d = DIAG_INIT;

	ck_assert_int_eq(host_fake.vm_new(&vm, &cfg, &d), 0);
	ck_assert_int_eq(host_fake.ram_map(vm, ram.region[0].gpa,
					   ram.region[0].host,
					   ram.region[0].size_bytes, 0, &d),
			 0);
	ck_assert_int_eq(host_fake.commit(vm, &d), 0);
	overlays_attach(&rig.overlays, vm);
}

static void drop_vm(void)
{
	overlays_attach(&rig.overlays, NULL);
	host_fake.vm_free(vm);
	vm = NULL;
}

static void setup(void)
{
	static const struct ram_options plain = { 0 };

	rig_open();
	ram_init(&ram);
	ck_assert_int_eq(ram_add(&ram, GPA(FAKE_RAM_LOW_GPA),
				 FAKE_RAM_LOW_BYTES, &plain, NULL),
			 0);
	new_vm();
}

static void make_flash(void)
{
	struct device_place place = { .bus = PLAT_MMIO, .base = BASE };
	struct diag d = DIAG_INIT;

	ck_assert_int_eq(device_new(&rig.dev, &flash_cfi_class, "flash", NULL,
				    &rig.env, &place, &d),
			 0);
	flash_cfi_class.reset(rig.dev);
}

static void setup_flash(void)
{
	setup();
	rig.env.config = &config;
	make_flash();
}

static void teardown(void)
{
	rig_close();
	drop_vm();
	ram_release(&ram);
}

/* How many overlays are shown; RAM is a map as well. */
static unsigned shown(void)
{
	struct host_fake_stats stats;

	host_fake_stats(vm, &stats);
	return stats.maps - 1;
}

/* ---- vCPUs -------------------------------------------------------------- */

static void load_program(struct fake_asm *a)
{
	fake_asm_finish(a);
	ck_assert(ram_write(&ram, GPA(a->base), a->code,
			    a->count * sizeof(a->code[0])));
}

static void start(unsigned index, uint64_t pc)
{
	struct fake_core core = { .pc = pc, .power = FAKE_POWER_ON };

	ck_assert_int_eq(host_fake.state_put(host_fake.vcpu(vm, index),
					     HOST_FAKE_CORE, &core,
					     sizeof(core), NULL),
			 0);
}

static uint64_t register_of(unsigned index, enum fake_reg reg)
{
	struct fake_core core;

	ck_assert_int_eq(host_fake.state_get(host_fake.vcpu(vm, index),
					     HOST_FAKE_CORE, &core,
					     sizeof(core), NULL),
			 0);
	return core.r[reg];
}

/* ---- overlays ----------------------------------------------------------- */

static _Alignas(65536) uint8_t page[65536];

static struct overlay an_overlay(void)
{
	return (struct overlay){ .gpa = GPA(BASE),
				 .host = page,
				 .size_bytes = sizeof(page) };
}

/* What vCPU 0 reads at @BASE, where there are no registers. */
static uint64_t vcpu_reads(void)
{
	static struct fake_asm a;

	fake_asm_init(&a, CODE);
	fake_li(&a, R5, BASE);
	fake_ld(&a, 1, R1, R5, sizeof(page) - 1);
	fake_op0(&a, FAKE_OP_BRK);
	load_program(&a);
	start(0, CODE);
	ck_assert_int_eq(host_fake.vcpu_run(host_fake.vcpu(vm, 0)), HOST_DEBUG);
	return register_of(0, R1);
}

START_TEST(vcpu_sees_what_is_shown)
{
	struct overlay o = an_overlay();

	page[sizeof(page) - 1] = 0x5a;
	ck_assert_uint_eq(vcpu_reads(), 0xff);
	ck_assert_int_eq(overlay_show(&rig.overlays, &o), 0);
	ck_assert_uint_eq(vcpu_reads(), 0x5a);
	ck_assert_int_eq(overlay_hide(&rig.overlays, &o), 0);
	ck_assert_uint_eq(vcpu_reads(), 0xff);
}
END_TEST

START_TEST(shows_and_hides)
{
	struct overlay o = an_overlay();

	ck_assert_int_eq(overlay_hide(&rig.overlays, &o), 0);
	ck_assert_int_eq(overlay_show(&rig.overlays, &o), 0);
	ck_assert_int_eq(overlay_show(&rig.overlays, &o), 0);
	ck_assert_uint_eq(shown(), 1);
	ck_assert_int_eq(overlay_hide(&rig.overlays, &o), 0);
	ck_assert_int_eq(overlay_hide(&rig.overlays, &o), 0);
	ck_assert_uint_eq(shown(), 0);
}
END_TEST

START_TEST(is_gone_with_the_vm)
{
	struct overlay o = an_overlay();

	ck_assert_int_eq(overlay_show(&rig.overlays, &o), 0);
	drop_vm();
	ck_assert_int_eq(overlay_hide(&rig.overlays, &o), 0);
	ck_assert_int_eq(overlay_show(&rig.overlays, &o), -ENODEV);
	new_vm();
	ck_assert_uint_eq(shown(), 0);
	ck_assert_int_eq(overlay_show(&rig.overlays, &o), 0);
	ck_assert_uint_eq(shown(), 1);
	drop_vm();
	new_vm();
	ck_assert_int_eq(overlay_hide(&rig.overlays, &o), 0);
	ck_assert_uint_eq(shown(), 0);
}
END_TEST

START_TEST(is_refused)
{
	struct overlay o = an_overlay();

	host_fake_fail(vm, HOST_FAKE_RAM_MAP, 1, ENOMEM);
	ck_assert_int_eq(overlay_show(&rig.overlays, &o), -ENOMEM);
	ck_assert_int_eq(overlay_hide(&rig.overlays, &o), 0);
	ck_assert_int_eq(overlay_show(&rig.overlays, &o), 0);
	/* Somebody else took it away: it is said, not hidden. */
	ck_assert_int_eq(host_fake.ram_unmap(vm, GPA(BASE), NULL), 0);
	ck_assert_int_eq(overlay_hide(&rig.overlays, &o), -ENOENT);
}
END_TEST

/* ---- flash -------------------------------------------------------------- */

static uint32_t get(uint64_t at)
{
	return (uint32_t)bus_read(rig.mmio, BASE + at, 4);
}

static void cmd(uint64_t at, uint8_t c)
{
	bus_write(rig.mmio, BASE + at, 4, (uint32_t)c << 16 | c);
}

static void read_few(void)
{
	for (unsigned i = 0; i < FEW; i++)
		get(4 * i);
	ck_assert_uint_eq(shown(), 0);
}

static void read_many(void)
{
	read_few();
	get(0);
	ck_assert_uint_eq(shown(), 1);
}

static void program(uint64_t at, uint32_t value)
{
	cmd(at, 0x40);
	bus_write(rig.mmio, BASE + at, 4, value);
	cmd(at, 0xff);
}

static const uint8_t commands[] = { 0x10, 0x20, 0x40, 0x60,
				    0x70, 0x90, 0x98, 0xe8 };

START_TEST(flash_shows_its_array_only)
{
	/* Behind its content there is nothing to show. */
	for (unsigned i = 0; i < 2 * FEW; i++)
		get(FLASH_VARS_BYTES + 4 * i);
	read_many();
	cmd(0, 0x50); /* what it clears cannot be seen */
	ck_assert_uint_eq(shown(), 1);
	cmd(0, commands[_i]);
	ck_assert_uint_eq(shown(), 0);
	for (unsigned i = 0; i < 2 * FEW; i++)
		get(4 * i);
	ck_assert_uint_eq(shown(), 0);
	cmd(0, 0xff);
	cmd(0, 0xff);
	read_many();
}
END_TEST

START_TEST(flash_is_shown_for_pairs)
{
	ck_assert(bus_show(rig.mmio, BASE + FLASH_VARS_BYTES - 1));
	ck_assert_uint_eq(shown(), 1);
	ck_assert(bus_show(rig.mmio, BASE));
	ck_assert(!bus_show(rig.mmio, BASE + FLASH_VARS_BYTES));
	cmd(0, 0x70);
	ck_assert(!bus_show(rig.mmio, BASE));
	ck_assert_uint_eq(shown(), 0);
}
END_TEST

START_TEST(flash_without_overlays)
{
	host_fake_fail(vm, HOST_FAKE_RAM_MAP, 1, ENOSPC);
	read_few();
	get(0);
	ck_assert_uint_eq(shown(), 0);
	ck_assert_uint_eq(get(0), UINT32_MAX);
	cmd(0, 0x70);
	ck_assert_uint_eq(get(0), READY);
	cmd(0, 0xff);
	read_many();
	rig_drop(rig.dev);
	rig.dev = NULL;
	ck_assert_uint_eq(shown(), 0);
}
END_TEST

START_TEST(flash_in_a_machine_that_is_reset)
{
	program(8, 0x12345678);
	read_many();
	drop_vm();
	new_vm();
	flash_cfi_class.reset(rig.dev);
	ck_assert_uint_eq(get(8), 0x12345678);
	cmd(0, 0x70);
	cmd(0, 0xff);
	read_many();
	/* In one that is not new, what is shown is right all the same. */
	flash_cfi_class.reset(rig.dev);
	ck_assert_uint_eq(shown(), 1);
}
END_TEST

START_TEST(flash_that_is_loaded)
{
	struct stream_out out;
	struct stream_in in;
	struct diag d = DIAG_INIT;

	stream_out_init(&out);
	cmd(0, 0x90);
	flash_cfi_class.save(rig.dev, &out);
	flash_cfi_class.reset(rig.dev);
	read_many();
	stream_in_init(&in, out.data, out.len);
	ck_assert_int_eq(flash_cfi_class.load(rig.dev, &in, &d), 0);
	ck_assert_uint_eq(shown(), 0);
	ck_assert_uint_eq(get(0), 0x00890089);
	cmd(0, 0xff);
	read_many();
	/* In the middle of a command its content cannot be seen. */
	out.data[0] = 0;
	out.data[1] = 1;
	stream_in_init(&in, out.data, out.len);
	ck_assert_int_eq(flash_cfi_class.load(rig.dev, &in, &d), -EBADMSG);
	stream_out_release(&out);
}
END_TEST

/* ---- flash and vCPUs ---------------------------------------------------- */

/* Writes get out, to the registers. */
START_TEST(vcpu_commands_what_is_shown)
{
	static struct fake_asm a;

	program(8, 0x12345678);
	read_many();
	fake_asm_init(&a, CODE);
	fake_li(&a, R5, BASE);
	fake_ld(&a, 4, R1, R5, 8);
	fake_op0(&a, FAKE_OP_BRK);
	fake_li(&a, R2, 0x00900090);
	fake_st(&a, 4, R2, R5, 0);
	fake_ld(&a, 4, R1, R5, 0);
	fake_op0(&a, FAKE_OP_BRK);
	load_program(&a);
	start(0, CODE);
	ck_assert_int_eq(host_fake.vcpu_run(host_fake.vcpu(vm, 0)), HOST_DEBUG);
	ck_assert_uint_eq(register_of(0, R1), 0x12345678);
	ck_assert_uint_eq(shown(), 1);
	ck_assert_int_eq(host_fake.vcpu_run(host_fake.vcpu(vm, 0)), HOST_DEBUG);
	ck_assert_uint_eq(register_of(0, R1), 0x00890089);
	ck_assert_uint_eq(shown(), 0);
}
END_TEST

/* [R5 + @offset] = a command for both chips */
static void emit_command(struct fake_asm *a, int32_t offset, uint8_t c)
{
	fake_li(a, R2, (uint32_t)c << 16 | c);
	fake_st(a, 4, R2, R5, offset);
}

/* Erase block 1, program the round's number there, see "ready", read it many
 * times; R8 counts what was wrong. */
static void emit_writer(struct fake_asm *a)
{
	fake_asm_init(a, CODE);
	fake_li(a, R5, BASE);
	fake_li(a, R1, ROUNDS);
	fake_mark(a, 'r');
	emit_command(a, FLASH_BLOCK_BYTES, 0x20);
	emit_command(a, FLASH_BLOCK_BYTES, 0xd0);
	emit_command(a, FLASH_BLOCK_BYTES, 0x40);
	fake_st(a, 4, R1, R5, FLASH_BLOCK_BYTES);
	fake_ld(a, 4, R3, R5, FLASH_BLOCK_BYTES);
	fake_addi(a, R3, R3, -(int32_t)READY);
	fake_bnz(a, R3, 'b');
	emit_command(a, FLASH_BLOCK_BYTES, 0xff);
	fake_li(a, R4, 4 * FEW);
	fake_mark(a, 'l');
	fake_ld(a, 4, R3, R5, FLASH_BLOCK_BYTES);
	fake_emit(a, fake_insn(FAKE_OP_SUB, R3, R3, R1, 0, 0));
	fake_bnz(a, R3, 'b');
	fake_addi(a, R4, R4, -1);
	fake_bnz(a, R4, 'l');
	fake_addi(a, R1, R1, -1);
	fake_bnz(a, R1, 'r');
	fake_op0(a, FAKE_OP_BRK);
	fake_mark(a, 'b');
	fake_addi(a, R8, R8, 1);
	fake_op0(a, FAKE_OP_BRK);
}

/* Read block 0, whatever the other one does: its word, or "ready", for ever;
 * at something else stop with R8 = 1. R9 counts. */
static void emit_reader(struct fake_asm *a, uint64_t base)
{
	fake_asm_init(a, base);
	fake_li(a, R5, BASE);
	fake_mark(a, 'l');
	fake_addi(a, R9, R9, 1);
	fake_ld(a, 4, R3, R5, 8);
	fake_addi(a, R4, R3, -0x12345678);
	fake_bz(a, R4, 'l');
	fake_addi(a, R4, R3, -(int32_t)READY);
	fake_bz(a, R4, 'l');
	fake_addi(a, R8, R8, 1);
	fake_op0(a, FAKE_OP_BRK);
}

static void *run_reader(void *arg)
{
	(void)arg;
	host_fake.vcpu_run(host_fake.vcpu(vm, 1));
	return NULL;
}

START_TEST(vcpus_read_and_write)
{
	static struct fake_asm a;
	pthread_t reader;

	program(8, 0x12345678);
	emit_reader(&a, DATA);
	load_program(&a);
	emit_writer(&a);
	load_program(&a);
	start(0, CODE);
	start(1, DATA);
	ck_assert_int_eq(pthread_create(&reader, NULL, run_reader, NULL), 0);
	ck_assert_int_eq(host_fake.vcpu_run(host_fake.vcpu(vm, 0)), HOST_DEBUG);
	host_fake.vcpu_kick(host_fake.vcpu(vm, 1));
	pthread_join(reader, NULL);
	ck_assert_uint_eq(register_of(0, R8), 0);
	ck_assert_uint_eq(register_of(0, R1), 0);
	ck_assert_uint_eq(register_of(1, R8), 0);
	ck_assert_uint_gt(register_of(1, R9), 0);
	ck_assert_uint_eq(shown(), 1);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("overlay");
	TCase *t = tcase_create("overlays");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, vcpu_sees_what_is_shown);
	tcase_add_test(t, shows_and_hides);
	tcase_add_test(t, is_gone_with_the_vm);
	tcase_add_test(t, is_refused);
	suite_add_tcase(s, t);
	t = tcase_create("flash");
	tcase_add_checked_fixture(t, setup_flash, teardown);
	tcase_add_loop_test(t, flash_shows_its_array_only, 0,
			    ARRAY_SIZE(commands));
	tcase_add_test(t, flash_is_shown_for_pairs);
	tcase_add_test(t, flash_without_overlays);
	tcase_add_test(t, flash_in_a_machine_that_is_reset);
	tcase_add_test(t, flash_that_is_loaded);
	tcase_add_test(t, vcpu_commands_what_is_shown);
	tcase_add_test(t, vcpus_read_and_write);
	suite_add_tcase(s, t);
	return suite_run(s);
}
