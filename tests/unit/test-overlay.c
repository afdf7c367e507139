/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: overlays on the fake hypervisor, as vCPUs see them */
#include "arch/fake/asm.h"
#include "vmm/host/fake/fake.h"

#include "legacy-rig.h"

#define BASE UINT64_C(0x04000000)
#define CODE FAKE_RAM_LOW_GPA

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
	return suite_run(s);
}
