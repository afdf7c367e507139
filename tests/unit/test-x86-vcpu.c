/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: start state of x86_64 vCPUs, as a hypervisor receives it
 *
 * The rules that processors check at entry (SDM vol. 3 sec. 27.3.1, APM vol. 2
 * sec. 15.5.1) are written out once more here.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "arch/x86_64/boot.h"
#include "arch/x86_64/cpuid.h"
#include "arch/x86_64/layout.h"
#include "arch/x86_64/vcpu.h"

#include "tests/unit/suite.h"

/* ---- the hypervisor ----------------------------------------------------- */

static struct x86_cpuid cpuid;
static struct x86_gpr gpr;
static struct x86_sregs sregs;
static struct x86_msrs msrs;
static unsigned order[8], put_count; /* classes in the order they came */
static int fail_class;

static int fake_cpuid(struct host_vm *vm, struct x86_cpuid *out, struct diag *d)
{
	(void)vm;
	(void)d;
	out->count = 1;
	out->entry[0] = (struct x86_cpuid_entry){
		0, 0, 0, 0xd, 0x68747541, 0x444d4163, 0x69746e65
	};
	return 0;
}

static int fake_put(struct host_vcpu *vcpu, enum host_state cls,
		    const void *buf, size_t size, struct diag *d)
{
	static const struct {
		void *to;
		size_t size;
	} to[] = {
		[HOST_X86_CPUID] = { &cpuid, sizeof(cpuid) },
		[HOST_X86_GPR] = { &gpr, sizeof(gpr) },
		[HOST_X86_SREGS] = { &sregs, sizeof(sregs) },
		[HOST_X86_MSRS] = { &msrs, sizeof(msrs) },
	};

	(void)vcpu;
	ck_assert_uint_lt(cls, ARRAY_SIZE(to));
	ck_assert_uint_eq(size, to[cls].size);
	if ((int)cls == fail_class)
		return diag_fail(d, EINVAL, "refused");
	memcpy(to[cls].to, buf, size);
	order[put_count++] = cls;
	return 0;
}

static int fake_get(struct host_vcpu *vcpu, enum host_state cls, void *buf,
		    size_t size, struct diag *d)
{
	(void)vcpu;
	(void)d;
	ck_assert_int_eq(cls, HOST_X86_SREGS);
	memset(buf, 0, size);
	((struct x86_sregs *)buf)->cr2 = 0x1234; /* kept */
	return 0;
}

static const struct host_ops ops = {
	.cpuid = fake_cpuid,
	.state_put = fake_put,
	.state_get = fake_get,
};

/* ---- the machine -------------------------------------------------------- */

static struct platform p;
static struct host_vm vm = { .ops = &ops };
static struct diag d;

static void use_cpus(uint32_t n)
{
	struct vm_config cfg = {
		.cpus = { .boot_vcpus = n, .max_vcpus = n },
		.memory.size_bytes = MIB(64),
	};
	struct host_caps caps = { .pa_bits = 46, .ext_dest_id = true };

	platform_release(&p);
	memset(&p, 0, sizeof(p));
	ck_assert_int_eq(arch_x86_64.layout(&p, &cfg, &caps, NULL), 0);
}

static void setup(void)
{
	d = DIAG_INIT;
	put_count = 0;
	fail_class = -1;
	use_cpus(2);
}

static void teardown(void)
{
	platform_release(&p);
}

static int reset(unsigned index, enum x86_protocol protocol)
{
	struct host_vcpu vcpu = { .vm = &vm, .index = index };
	struct arch_boot boot = { GPA(0x1000200), GPA(0x7000), protocol };

	return arch_x86_64.vcpu_reset(&vcpu, &p, &boot, &d);
}

START_TEST(test_linux64)
{
	ck_assert_int_eq(reset(0, X86_LINUX64), 0);
	ck_assert_uint_eq(gpr.rip, 0x1000200);
	ck_assert_uint_eq(gpr.rsi, 0x7000);
	ck_assert_uint_eq(gpr.rbx, 0);
	ck_assert_uint_eq(gpr.rflags, 2); /* IF clear */
	ck_assert_uint_eq(sregs.cr0, 0x80000031);
	ck_assert_uint_eq(sregs.cr3, X86_PAGE_TABLES_GPA);
	ck_assert_uint_eq(sregs.cr4, 0x20);
	ck_assert_uint_eq(sregs.efer, 0x500);
	ck_assert_uint_eq(sregs.cs.selector, 0x10);
	ck_assert_uint_eq(sregs.cs.l, 1);
	ck_assert_uint_eq(sregs.cs.db, 0);
	ck_assert_uint_eq(sregs.ds.selector, 0x18);
}
END_TEST

START_TEST(test_pvh)
{
	ck_assert_int_eq(reset(0, X86_PVH), 0);
	ck_assert_uint_eq(gpr.rip, 0x1000200);
	ck_assert_uint_eq(gpr.rbx, 0x7000);
	ck_assert_uint_eq(gpr.rsi, 0);
	ck_assert_uint_eq(gpr.rflags, 2);
	ck_assert_uint_eq(sregs.cr0, 0x11); /* PE, ET; PG clear */
	ck_assert_uint_eq(sregs.cr4, 0);
	ck_assert_uint_eq(sregs.efer, 0);
	ck_assert_uint_eq(sregs.cs.l, 0);
	ck_assert_uint_eq(sregs.cs.db, 1);
	ck_assert_uint_eq(sregs.tr.limit, 0x67);
}
END_TEST

START_TEST(test_segments)
{
	const struct x86_segment *flat[] = { &sregs.cs, &sregs.ds, &sregs.es,
					     &sregs.fs, &sregs.gs, &sregs.ss };

	ck_assert_int_eq(reset(0, (enum x86_protocol)_i), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(flat); i++) {
		ck_assert_uint_eq(flat[i]->base, 0);
		ck_assert_uint_eq(flat[i]->limit, UINT32_MAX);
		ck_assert_uint_eq(flat[i]->g, 1);
		ck_assert_uint_eq(flat[i]->s, 1);
		ck_assert_uint_eq(flat[i]->present, 1);
		ck_assert_uint_eq(flat[i]->dpl, 0);
		ck_assert_uint_eq(flat[i]->type, i ? 3 : 11); /* accessed */
		ck_assert_uint_lt(flat[i]->selector, sregs.gdt.limit);
	}
	ck_assert_uint_eq(sregs.tr.type, 11); /* busy */
	ck_assert_uint_eq(sregs.tr.s, 0);
	ck_assert_uint_eq(sregs.tr.present, 1);
	ck_assert_uint_eq(sregs.ldt.unusable, 1);
	ck_assert_uint_eq(sregs.gdt.base, X86_GDT_GPA);
	ck_assert_uint_eq(sregs.gdt.limit, 39);
}
END_TEST

/* CPUID first: what it says decides which bits the rest may set. */
START_TEST(test_order)
{
	static const unsigned want[] = { HOST_X86_CPUID, HOST_X86_MSRS,
					 HOST_X86_SREGS, HOST_X86_GPR };

	ck_assert_int_eq(reset(0, X86_PVH), 0);
	ck_assert_uint_eq(put_count, ARRAY_SIZE(want));
	ck_assert_mem_eq(order, want, sizeof(want));
	put_count = 0;
	ck_assert_int_eq(reset(1, X86_PVH), 0);
	ck_assert_uint_eq(put_count, 2);
	ck_assert_mem_eq(order, want, 2 * sizeof(*want));
	ck_assert_uint_eq(x86_cpuid_find(&cpuid, 0xb, 0)->edx, 1);
}
END_TEST

START_TEST(test_msrs)
{
	ck_assert_int_eq(reset(1, X86_PVH), 0);
	ck_assert_uint_eq(msrs.count, 2);
	ck_assert_uint_eq(msrs.msr[0].index, 0x1a0);
	ck_assert_uint_eq(msrs.msr[0].value & 1, 1);
	ck_assert_uint_eq(msrs.msr[1].index, 0x2ff);
	ck_assert_uint_eq(msrs.msr[1].value, 0x806);
}
END_TEST

static const struct {
	uint32_t cpus;
	unsigned index;
	uint64_t base; /* 0: not written */
} apic[] = {
	{ 1, 0, 0xfee00900 },	{ 255, 0, 0xfee00900 },
	{ 255, 254, 0 },	{ 256, 0, 0xfee00d00 },
	{ 256, 1, 0xfee00c00 }, { 256, 255, 0xfee00c00 },
};

START_TEST(test_apic_base)
{
	use_cpus(apic[_i].cpus);
	memset(&sregs, 0, sizeof(sregs));
	ck_assert_int_eq(reset(apic[_i].index, X86_LINUX64), 0);
	ck_assert_uint_eq(sregs.apic_base, apic[_i].base);
	/* A waiting vCPU keeps what it had. */
	if (apic[_i].index && apic[_i].base)
		ck_assert_uint_eq(sregs.cr2, 0x1234);
}
END_TEST

/* Firmware of a PC starts as the hypervisor made the vCPU. */
START_TEST(test_reset_vector)
{
	memset(&sregs, 0, sizeof(sregs));
	ck_assert_int_eq(reset(0, X86_RESET), 0);
	ck_assert_uint_eq(sregs.apic_base, 0);
	use_cpus(256);
	ck_assert_int_eq(reset(0, X86_RESET), 0);
	ck_assert_uint_eq(sregs.apic_base, 0xfee00d00);
	ck_assert_uint_eq(sregs.cr2, 0x1234);
}
END_TEST

START_TEST(test_refused)
{
	static const enum host_state classes[] = {
		HOST_X86_CPUID, HOST_X86_MSRS, HOST_X86_SREGS, HOST_X86_GPR
	};

	fail_class = (int)classes[_i];
	ck_assert_int_eq(reset(0, X86_PVH), -EINVAL);
	ck_assert_uint_eq(d.depth, 2);
	ck_assert_ptr_nonnull(strstr(d.text[1], "vCPU 0: cannot set its "));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("x86-vcpu");
	TCase *t = tcase_create("vcpu");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_linux64);
	tcase_add_test(t, test_pvh);
	tcase_add_loop_test(t, test_segments, X86_PVH, X86_LINUX64 + 1);
	tcase_add_test(t, test_order);
	tcase_add_test(t, test_msrs);
	tcase_add_loop_test(t, test_apic_base, 0, ARRAY_SIZE(apic));
	tcase_add_test(t, test_reset_vector);
	tcase_add_loop_test(t, test_refused, 0, 4);
	suite_add_tcase(s, t);
	return suite_run(s);
}
