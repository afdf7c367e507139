/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: arm64 boot protocol: what lies where, what vCPUs start with, and one
 * sentence for everything that does not fit
 */
#include <check.h>
#include <errno.h>
#include <libfdt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "arch/arm64/layout.h"
#include "arch/arm64/load.h"
#include "vmm/base/bytes.h"

#include "tests/unit/suite.h"

#define RAM_BASE UINT64_C(0x40000000)

static struct guest_ram ram;
static struct platform p;

static void make_machine(uint32_t vcpus, uint64_t ram_bytes)
{
	struct host_caps caps = { .pa_bits = 40,
				  .gicv3 = true,
				  .its = true,
				  .pmu = true,
				  .pauth = true,
				  .page_size_bytes = 4096 };
	struct vm_config cfg = {
		.cpus = { .boot_vcpus = vcpus,
			  .max_vcpus = vcpus,
			  .pauth = true },
		.memory = { .size_bytes = ram_bytes },
	};
	struct diag d = DIAG_INIT;

	ck_assert_msg(!arch_arm64.layout(&p, &cfg, &caps, &d), "%s", d.text[0]);
	ram_init(&ram);
	ck_assert_int_eq(ram_add(&ram, GPA(RAM_BASE), ram_bytes,
				 &(struct ram_options){ 0 }, NULL),
			 0);
}

static void teardown(void)
{
	ram_release(&ram);
	platform_release(&p);
	memset(&p, 0, sizeof(p));
}

/* A kernel of @mem_bytes without PE header. */
static int kernel_fd(uint64_t mem_bytes)
{
	uint8_t head[4096] = { 0 };
	int fd = memfd_create("kernel", MFD_CLOEXEC);

	put_le64(head + 16, mem_bytes);
	memcpy(head + 56, "ARM\x64", 4);
	ck_assert_int_eq(write(fd, head, sizeof(head)), sizeof(head));
	return fd;
}

static int file_fd(uint64_t len)
{
	int fd = memfd_create("initramfs", MFD_CLOEXEC);

	ck_assert_int_eq(ftruncate(fd, (off_t)len), 0);
	if (len)
		ck_assert_int_eq(pwrite(fd, "END", 3, (off_t)len - 3), 3);
	return fd;
}

static uint64_t prop_u64(const void *dtb, const char *name)
{
	int len, chosen = fdt_path_offset(dtb, "/chosen");
	const void *v = fdt_getprop(dtb, chosen, name, &len);

	ck_assert_ptr_nonnull(v);
	ck_assert_int_eq(len, 8);
	return get_be64(v);
}

/* ---- what fits ---------------------------------------------------------- */

static const struct fits {
	uint64_t ram, kernel, initramfs;
	const char *cmdline;
	uint64_t dtb, initrd;
} fits[] = {
	{ MIB(16), KIB(100), 0, "", 0x40200000, 0 },
	{ MIB(16), MIB(2), 0, "console=ttyAMA0", 0x40200000, 0 },
	{ MIB(16), MIB(2) + 1, MIB(3), "x", 0x40400000, 0x40600000 },
	{ MIB(16), MIB(4), MIB(10), "exactly", 0x40400000, 0x40600000 },
	{ MIB(4), MIB(2), 0, "exactly", 0x40200000, 0 },
};

START_TEST(test_fits)
{
	const struct fits *t = &fits[_i];
	struct arch_payload load = { .kernel_fd = kernel_fd(t->kernel),
				     .initramfs_fd = -1,
				     .kernel_name = "k",
				     .initramfs_name = "i",
				     .cmdline = t->cmdline };
	struct arch_boot boot = { 0 };
	struct diag d = DIAG_INIT;
	const void *dtb;
	char end[3];

	make_machine(2, t->ram);
	if (t->initramfs)
		load.initramfs_fd = file_fd(t->initramfs);
	ck_assert_msg(!arch_arm64.load(&boot, &ram, &p, &load, &d), "%s",
		      d.text[0]);
	ck_assert_uint_eq(boot.entry.v, RAM_BASE);
	ck_assert_uint_eq(boot.arg.v, t->dtb);
	dtb = ram_pin(&ram, boot.arg, MIB(2));
	ck_assert_ptr_nonnull(dtb);
	ck_assert_int_eq(fdt_check_full(dtb, MIB(2)), 0);
	ck_assert_str_eq(fdt_getprop(dtb, fdt_path_offset(dtb, "/chosen"),
				     "bootargs", NULL),
			 t->cmdline);
	if (t->initramfs) {
		ck_assert_uint_eq(prop_u64(dtb, "linux,initrd-start"),
				  t->initrd);
		ck_assert_uint_eq(prop_u64(dtb, "linux,initrd-end"),
				  t->initrd + t->initramfs);
		ck_assert(ram_read(&ram, GPA(t->initrd + t->initramfs - 3), end,
				   3));
		ck_assert_mem_eq(end, "END", 3);
		close(load.initramfs_fd);
	}
	close(load.kernel_fd);
}
END_TEST

/* ---- what does not ------------------------------------------------------ */

static const struct misfit {
	uint64_t ram, kernel;
	int64_t initramfs; /* -1: none */
	size_t cmdline;
	int err;
	const char *says, *context;
} misfits[] = {
	{ MIB(16), MIB(17), -1, 0, E2BIG,
	  "needs 17 MiB of memory, and there are 16: give more --memory",
	  "--kernel K" },
	{ MIB(16), MIB(15), -1, 0, E2BIG, "no room for the device tree", NULL },
	{ MIB(16), MIB(15), 5, 0, E2BIG,
	  "needs 1 MiB of memory behind the kernel, and there are 0",
	  "--initramfs I" },
	{ MIB(16), MIB(4), (int64_t)MIB(10) + 1, 0, E2BIG,
	  "needs 11 MiB of memory behind the kernel, and there are 10",
	  "--initramfs I" },
	{ MIB(16), MIB(4), INT64_MAX - 4096, 0, E2BIG, "give more --memory",
	  "--initramfs I" },
	{ MIB(16), MIB(4), 0, 0, EINVAL, "is empty", "--initramfs I" },
	{ MIB(16), MIB(4), -1, 2048, E2BIG,
	  "--cmdline: has 2048 bytes, and arm64 kernels take at most 2047",
	  NULL },
	{ MIB(16), 0, -1, 0, EINVAL, "does not say how much", "--kernel K" },
};

START_TEST(test_misfits)
{
	const struct misfit *t = &misfits[_i];
	char cmdline[4096] = "";
	struct arch_payload load = { .kernel_fd = kernel_fd(t->kernel),
				     .initramfs_fd = -1,
				     .kernel_name = "K",
				     .initramfs_name = "I",
				     .cmdline = cmdline };
	struct arch_boot boot = { 0 };
	struct diag d = DIAG_INIT;

	make_machine(1, t->ram);
	memset(cmdline, 'x', t->cmdline);
	if (t->initramfs >= 0) {
		load.initramfs_fd = memfd_create("i", MFD_CLOEXEC);
		ck_assert_int_eq(ftruncate(load.initramfs_fd, t->initramfs), 0);
	}
	ck_assert_int_eq(arch_arm64.load(&boot, &ram, &p, &load, &d), -t->err);
	ck_assert_msg(strstr(d.text[0], t->says) != NULL, "'%s' lacks '%s'",
		      d.text[0], t->says);
	ck_assert_uint_eq(d.depth, t->context ? 2 : 1);
	if (t->context)
		ck_assert_str_eq(d.text[1], t->context);
	ck_assert_uint_eq(boot.entry.v, 0);
	if (load.initramfs_fd >= 0)
		close(load.initramfs_fd);
	close(load.kernel_fd);
}
END_TEST

/* The longest command line arrives whole. */
START_TEST(test_longest_cmdline)
{
	char cmdline[2048];
	struct arch_payload load = { .kernel_fd = kernel_fd(MIB(1)),
				     .initramfs_fd = -1,
				     .kernel_name = "K",
				     .cmdline = cmdline };
	struct arch_boot boot;
	const void *dtb;

	memset(cmdline, 'x', sizeof(cmdline) - 1);
	cmdline[sizeof(cmdline) - 1] = '\0';
	make_machine(1, MIB(16));
	ck_assert_int_eq(arch_arm64.load(&boot, &ram, &p, &load, NULL), 0);
	dtb = ram_pin(&ram, boot.arg, MIB(2));
	ck_assert_str_eq(fdt_getprop(dtb, fdt_path_offset(dtb, "/chosen"),
				     "bootargs", NULL),
			 cmdline);
	close(load.kernel_fd);
}
END_TEST

/* ---- caches, as CLIDR_EL1 tells them ------------------------------------ */

static const struct caches {
	uint64_t clidr;
	bool i, d, unified;
	unsigned levels; /* nodes from level 2 on */
} caches[] = {
	{ 0, false, false, false, 0 },
	{ 0x02000021, true, false, false, 1 },	/* KVM: IDC, not DIC */
	{ 0x01000004, false, false, false, 0 }, /* KVM: IDC and DIC */
	{ 0x09000003, false, false, false, 0 }, /* KVM: neither */
	{ 0x0a200123, true, true, false, 2 },	/* three levels, real */
	{ 0x924924, false, false, true, 6 },	/* seven */
	{ 0x38, false, false, false, 0 },	/* a hole: nothing */
};

START_TEST(test_caches)
{
	const struct caches *t = &caches[_i];
	struct arch_tables tables = { 0 };
	unsigned levels = 0;
	const void *dtb;
	int node;

	make_machine(2, MIB(16));
	p.cpu[1].package = 0;
	p.cpu[1].core = 1;
	p.clidr = t->clidr;
	ck_assert_int_eq(arch_arm64.tables(&tables, &p, NULL, GPA(0), 0, NULL),
			 0);
	dtb = tables.table[0].data;
	node = fdt_path_offset(dtb, "/cpus/cpu@1");
	ck_assert_int_ge(node, 0);
	ck_assert_int_eq(!!fdt_getprop(dtb, node, "i-cache-size", NULL), t->i);
	ck_assert_int_eq(!!fdt_getprop(dtb, node, "d-cache-size", NULL), t->d);
	ck_assert_int_eq(!!fdt_getprop(dtb, node, "cache-unified", NULL),
			 t->unified);
	for (;;) {
		const void *next =
			fdt_getprop(dtb, node, "next-level-cache", NULL);
		const void *level;

		if (!next)
			break;
		node = fdt_node_offset_by_phandle(dtb, get_be32(next));
		ck_assert_int_ge(node, 0);
		level = fdt_getprop(dtb, node, "cache-level", NULL);
		ck_assert_uint_eq(get_be32(level), ++levels + 1);
		ck_assert_str_eq(fdt_getprop(dtb, node, "compatible", NULL),
				 "cache");
		/* the last is shared: in the node of the die's first CPU */
		ck_assert_int_eq(fdt_parent_offset(dtb, node),
				 fdt_path_offset(dtb, levels == t->levels
							      ? "/cpus/cpu@0"
							      : "/cpus/cpu@1"));
	}
	ck_assert_uint_eq(levels, t->levels);
	arch_tables_release(&tables);
}
END_TEST

/* ---- what the hypervisor is told ---------------------------------------- */

START_TEST(test_host_config)
{
	struct host_vm_config out = { 0 };
	const struct host_arm64_config *c = &out.arm64;

	make_machine(130, MIB(16));
	ck_assert_int_eq(arch_arm64.host_config(&p, &out, NULL), 0);
	ck_assert_uint_eq(c->ipa_bits, 40);
	ck_assert(c->gicv3);
	ck_assert_uint_eq(c->dist_gpa, 0x08000000);
	ck_assert_uint_eq(c->its_gpa, 0x08080000);
	ck_assert_uint_eq(c->redist_gpa[0], 0x080A0000);
	ck_assert_uint_eq(c->redist_count[0], 123);
	ck_assert_uint_eq(c->redist_gpa[1], 0x4000000000);
	ck_assert_uint_eq(c->redist_count[1], 7);
	ck_assert_uint_eq(c->spi_count % 32, 0);
	ck_assert(c->pmu);
	ck_assert_uint_eq(c->pmu_intid, 23);
	ck_assert(c->pauth);
	ck_assert(!c->sve);
}
END_TEST

/* A hypervisor with one vCPU: MPIDR to give, core registers as received. */
struct one_vcpu {
	struct host_vm vm;
	struct host_vcpu vcpu;
	uint64_t mpidr;
	struct arm64_core core;
	unsigned puts;
};

static struct one_vcpu *one(struct host_vcpu *v)
{
	return container_of(v, struct one_vcpu, vcpu);
}

static int get_state(struct host_vcpu *v, enum host_state cls, void *buf,
		     size_t size_bytes, struct diag *d)
{
	(void)d;
	ck_assert_int_eq(cls, HOST_ARM64_MPIDR);
	ck_assert_uint_eq(size_bytes, 8);
	memcpy(buf, &one(v)->mpidr, 8);
	return 0;
}

static int put_state(struct host_vcpu *v, enum host_state cls, const void *buf,
		     size_t size_bytes, struct diag *d)
{
	(void)d;
	ck_assert_int_eq(cls, HOST_ARM64_CORE);
	ck_assert_uint_eq(size_bytes, sizeof(struct arm64_core));
	memcpy(&one(v)->core, buf, size_bytes);
	one(v)->puts++;
	return 0;
}

static const struct host_ops ops = {
	.state_get = get_state,
	.state_put = put_state,
};

static const struct start {
	unsigned index;
	uint64_t mpidr;
	unsigned puts;
	int err;
} starts[] = {
	{ 0, 0x80000000, 1, 0 },
	{ 1, 0x80000001, 0, 0 },
	{ 17, 0x80000101, 0, 0 },
	{ 17, 0x80000011, 0, -ENOTSUP },
	{ 0, 0x180000000, 0, -ENOTSUP },
	{ 0, 0x0100000000000000, 1, 0 },
	{ 0, 0x0000000180000100, 0, -ENOTSUP },
};

START_TEST(test_start)
{
	const struct start *t = &starts[_i];
	struct one_vcpu o = { .vm.ops = &ops, .mpidr = t->mpidr };
	struct arch_boot boot = { GPA(0x40080000), GPA(0x42000000), 0 };

	o.vcpu.vm = &o.vm;
	o.vcpu.index = t->index;
	make_machine(18, MIB(16));
	ck_assert_int_eq(arch_arm64.vcpu_reset(&o.vcpu, &p, &boot, NULL),
			 t->err);
	ck_assert_uint_eq(o.puts, t->puts);
	if (t->puts) {
		ck_assert_uint_eq(o.core.pc, 0x40080000);
		ck_assert_uint_eq(o.core.x[0], 0x42000000);
		ck_assert_uint_eq(o.core.pstate, 0x3c5);
		for (unsigned i = 1; i < ARRAY_SIZE(o.core.x); i++)
			ck_assert_uint_eq(o.core.x[i], 0);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("arm64-load");
	TCase *t = tcase_create("load");

	tcase_add_checked_fixture(t, NULL, teardown);
	tcase_add_loop_test(t, test_fits, 0, ARRAY_SIZE(fits));
	tcase_add_loop_test(t, test_misfits, 0, ARRAY_SIZE(misfits));
	tcase_add_test(t, test_longest_cmdline);
	tcase_add_loop_test(t, test_caches, 0, ARRAY_SIZE(caches));
	tcase_add_test(t, test_host_config);
	tcase_add_loop_test(t, test_start, 0, ARRAY_SIZE(starts));
	suite_add_tcase(s, t);
	return suite_run(s);
}
