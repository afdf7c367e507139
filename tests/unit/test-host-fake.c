/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: the fake hypervisor: its instruction set, memory, interrupts, kicks
 *
 * Everything else is tested on top of it, so it is held to the host contract
 * here. Runs under ThreadSanitizer too.
 */
#include <check.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "arch/fake/asm.h"
#include "vmm/host/fake/fake.h"
#include "vmm/memory.h"

#include "tests/unit/suite.h"

#define CODE	  (FAKE_RAM_LOW_GPA + 0x10000)
#define DATA	  (FAKE_RAM_LOW_GPA + 0x8000)
#define LOW_END	  (FAKE_RAM_LOW_GPA + FAKE_RAM_LOW_BYTES)
#define HIGH_SIZE MIB(1)
#define DEVICE	  0x20010000ULL
#define HOLE	  0x50000000ULL

static uint64_t r_page(void)
{
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

/* What a device saw last; registers read as 0x1122334455667788. */
struct seen {
	uint64_t offset, value;
	unsigned size, reads, writes;
};

struct rig {
	struct guest_ram ram;
	struct bus *mmio, *pio;
	struct bus_region region, port;
	struct seen dev, io;
	struct host_vm *vm;
	struct fake_asm a;
};

static uint64_t seen_read(void *opaque, uint64_t offset, unsigned size)
{
	struct seen *s = opaque;

	s->offset = offset;
	s->size = size;
	s->reads++;
	return 0x1122334455667788;
}

static void seen_write(void *opaque, uint64_t offset, unsigned size,
		       uint64_t value)
{
	struct seen *s = opaque;

	*s = (struct seen){ .offset = offset,
			    .value = value,
			    .size = size,
			    .reads = s->reads,
			    .writes = s->writes + 1 };
}

static const struct bus_ops seen_ops = { seen_read, seen_write };

static void ok(int err, const struct diag *d)
{
	char text[1024];

	ck_assert_msg(err == 0, "%d: %s", err,
		      diag_format(d, text, sizeof(text)));
}

static void rig_buses(struct rig *r)
{
	struct diag d = DIAG_INIT;

	r->region = (struct bus_region){ .base = DEVICE,
					 .size_bytes = 0x100,
					 .ops = &seen_ops,
					 .opaque = &r->dev,
					 .name = "device" };
	r->port = (struct bus_region){ .base = 0x600,
				       .size_bytes = 8,
				       .ops = &seen_ops,
				       .opaque = &r->io,
				       .name = "port" };
	r->mmio = bus_new("MMIO", 0);
	r->pio = bus_new("port", 0x10000);
	ok(bus_add(r->mmio, &r->region, &d), &d);
	ok(bus_add(r->pio, &r->port, &d), &d);
}

static void rig_map(struct rig *r, unsigned i, unsigned flags)
{
	struct ram_region *reg = &r->ram.region[i];
	struct diag d = DIAG_INIT;

	ok(host_fake.ram_map(r->vm, reg->gpa, reg->host, reg->size_bytes, flags,
			     &d),
	   &d);
}

static void rig_init(struct rig *r, unsigned vcpus)
{
	struct host_vm_config cfg = { .vcpu_count = vcpus };
	struct ram_options opt = { 0 };
	struct diag d = DIAG_INIT;

	memset(r, 0, sizeof(*r));
	rig_buses(r);
	cfg.mmio = r->mmio;
	cfg.pio = r->pio;
	ram_init(&r->ram);
	ok(ram_add(&r->ram, GPA(FAKE_RAM_LOW_GPA), FAKE_RAM_LOW_BYTES, &opt,
		   &d),
	   &d);
	ok(ram_add(&r->ram, GPA(FAKE_RAM_HIGH_GPA), HIGH_SIZE, &opt, &d), &d);
	ok(host_fake.vm_new(&r->vm, &cfg, &d), &d);
	rig_map(r, 0, 0);
	rig_map(r, 1, 0);
	ok(host_fake.commit(r->vm, &d), &d);
	fake_asm_init(&r->a, CODE);
}

static void rig_release(struct rig *r)
{
	host_fake.vm_free(r->vm);
	bus_free(r->mmio);
	bus_free(r->pio);
	ram_release(&r->ram);
}

static struct fake_core core_of(struct rig *r, unsigned index)
{
	struct fake_core core;
	struct diag d = DIAG_INIT;

	ok(host_fake.state_get(host_fake.vcpu(r->vm, index), HOST_FAKE_CORE,
			       &core, sizeof(core), &d),
	   &d);
	return core;
}

static void core_set(struct rig *r, unsigned index,
		     const struct fake_core *core)
{
	struct diag d = DIAG_INIT;

	ok(host_fake.state_put(host_fake.vcpu(r->vm, index), HOST_FAKE_CORE,
			       core, sizeof(*core), &d),
	   &d);
}

/* Put the program into RAM and vCPU 0 at its first instruction. */
static void rig_load(struct rig *r)
{
	struct fake_core core = { .pc = CODE, .power = FAKE_POWER_ON };

	fake_asm_finish(&r->a);
	ck_assert(ram_write(&r->ram, GPA(CODE), r->a.code,
			    r->a.count * sizeof(r->a.code[0])));
	core_set(r, 0, &core);
}

static enum host_event run(struct rig *r, unsigned index)
{
	return host_fake.vcpu_run(host_fake.vcpu(r->vm, index));
}

/* Finish the program with a power-off and run it to there. */
static struct fake_core run_off(struct rig *r)
{
	fake_hvc(&r->a, FAKE_HVC_POWEROFF);
	rig_load(r);
	ck_assert_int_eq(run(r, 0), HOST_POWEROFF);
	return core_of(r, 0);
}

/* Vector table at 'v', interrupts on; the handler is the caller's 'h'. */
static void emit_interrupts(struct fake_asm *a)
{
	fake_la(a, R10, 'v');
	fake_crw(a, FAKE_CR_VECTOR, R10);
	fake_li(a, R10, FAKE_STATUS_IE);
	fake_crw(a, FAKE_CR_STATUS, R10);
}

/* A handler that counts in r12 and leaves the cause in r13. */
static void emit_handler(struct fake_asm *a)
{
	fake_mark(a, 'h');
	fake_addi(a, R12, R12, 1);
	fake_crr(a, R13, FAKE_CR_CAUSE);
	fake_op0(a, FAKE_OP_IRET);
	fake_mark(a, 'v');
	fake_vectors(a, 'h');
}

/* ---- instructions ------------------------------------------------------- */

/* fake_insn() as a constant expression, for tables */
#define I(op, rd, ra, rb, width, imm)                                  \
	((uint64_t)(op) | (uint64_t)(rd) << 8 | (uint64_t)(ra) << 12 | \
	 (uint64_t)(rb) << 16 | (uint64_t)(width) << 20 |              \
	 (uint64_t)(uint32_t)(imm) << 32)

static const struct insn_case {
	const char *what;
	uint64_t code[8];
	uint64_t r1;
} insn_cases[] = {
	{ "li is signed", { I(FAKE_OP_LI, R1, 0, 0, 0, -2) }, -2ULL },
	{ "lih keeps the low half",
	  { I(FAKE_OP_LI, R1, 0, 0, 0, -2), I(FAKE_OP_LIH, R1, 0, 0, 0, 7) },
	  0x7fffffffeULL },
	{ "add wraps",
	  { I(FAKE_OP_LI, R2, 0, 0, 0, -1), I(FAKE_OP_LI, R3, 0, 0, 0, 3),
	    I(FAKE_OP_ADD, R1, R2, R3, 0, 0) },
	  2 },
	{ "sub wraps",
	  { I(FAKE_OP_LI, R2, 0, 0, 0, 1), I(FAKE_OP_LI, R3, 0, 0, 0, 3),
	    I(FAKE_OP_SUB, R1, R2, R3, 0, 0) },
	  -2ULL },
	{ "and",
	  { I(FAKE_OP_LI, R2, 0, 0, 0, 12), I(FAKE_OP_LI, R3, 0, 0, 0, 10),
	    I(FAKE_OP_AND, R1, R2, R3, 0, 0) },
	  8 },
	{ "andi sign-extends",
	  { I(FAKE_OP_LI, R2, 0, 0, 0, -1),
	    I(FAKE_OP_ANDI, R1, R2, 0, 0, -16) },
	  -16ULL },
	{ "bz taken",
	  { I(FAKE_OP_BZ, 0, R2, 0, 0, 16), I(FAKE_OP_LI, R1, 0, 0, 0, 9) },
	  0 },
	{ "bz not taken",
	  { I(FAKE_OP_LI, R2, 0, 0, 0, 1), I(FAKE_OP_BZ, 0, R2, 0, 0, 16),
	    I(FAKE_OP_LI, R1, 0, 0, 0, 9) },
	  9 },
	{ "bnz not taken",
	  { I(FAKE_OP_BNZ, 0, R2, 0, 0, 16), I(FAKE_OP_LI, R1, 0, 0, 0, 9) },
	  9 },
	{ "blt is unsigned",
	  { I(FAKE_OP_LI, R2, 0, 0, 0, -1), I(FAKE_OP_BLT, 0, R2, R3, 0, 16),
	    I(FAKE_OP_LI, R1, 0, 0, 0, 9) },
	  9 },
	{ "blt taken",
	  { I(FAKE_OP_LI, R2, 0, 0, 0, -1), I(FAKE_OP_BLT, 0, R3, R2, 0, 16),
	    I(FAKE_OP_LI, R1, 0, 0, 0, 9) },
	  0 },
	{ "call leaves the next pc",
	  { I(FAKE_OP_CALL, R1, 0, 0, 0, 16), I(FAKE_OP_LI, R1, 0, 0, 0, 9) },
	  CODE + 8 },
	{ "jr",
	  { I(FAKE_OP_CALL, R2, 0, 0, 0, 8), I(FAKE_OP_ADDI, R2, R2, 0, 0, 24),
	    I(FAKE_OP_JR, 0, R2, 0, 0, 0), I(FAKE_OP_LI, R1, 0, 0, 0, 9) },
	  0 },
	{ "vCPU 0's number",
	  { I(FAKE_OP_LI, R1, 0, 0, 0, 9),
	    I(FAKE_OP_CRR, R1, 0, 0, 0, FAKE_CR_INDEX) },
	  0 },
	{ "count counts",
	  { I(FAKE_OP_LI, R2, 0, 0, 0, 0), I(FAKE_OP_LI, R2, 0, 0, 0, 0),
	    I(FAKE_OP_CRR, R1, 0, 0, 0, FAKE_CR_COUNT) },
	  3 },
	{ "control registers keep what they get",
	  { I(FAKE_OP_LI, R2, 0, 0, 0, 77),
	    I(FAKE_OP_CRW, 0, R2, 0, 0, FAKE_CR_EPC),
	    I(FAKE_OP_CRR, R1, 0, 0, 0, FAKE_CR_EPC) },
	  77 },
};

START_TEST(test_instructions)
{
	const struct insn_case *c = &insn_cases[_i];
	struct rig r;

	rig_init(&r, 1);
	for (unsigned i = 0; i < ARRAY_SIZE(c->code) && c->code[i]; i++)
		fake_emit(&r.a, c->code[i]);
	ck_assert_msg(run_off(&r).r[1] == c->r1, "%s", c->what);
	rig_release(&r);
}
END_TEST

static const struct fatal_case {
	const char *what;
	uint64_t code;
	const char *why;
} fatal_cases[] = {
	{ "zeroed memory", 0, "illegal" },
	{ "operation out of range", FAKE_OPS, "illegal" },
	{ "all ones", UINT64_MAX, "illegal" },
	{ "reserved byte", I(FAKE_OP_LI, R1, 0, 0, 0, 0) | 1 << 24, "illegal" },
	{ "access of 16 bytes", I(FAKE_OP_LOAD, R1, 0, 0, 4, 0), "illegal" },
	{ "jump out of RAM", I(FAKE_OP_JR, 0, R5, 0, 0, 0), "fetch" },
	{ "misaligned jump", I(FAKE_OP_JMP, 0, 0, 0, 0, 12), "fetch" },
	{ "control register", I(FAKE_OP_CRR, 0, 0, 0, 0, 99), "control" },
	{ "negative control register", I(FAKE_OP_CRR, 0, 0, 0, 0, -1),
	  "control" },
	{ "write of own number", I(FAKE_OP_CRW, 0, 0, 0, 0, FAKE_CR_INDEX),
	  "control" },
	{ "interrupt number", I(FAKE_OP_INT, 0, 0, 0, 0, 256), "interrupt" },
	{ "interrupt without table", I(FAKE_OP_INT, 0, 0, 0, 0, 3), "fetch" },
	{ "hypercall", I(FAKE_OP_HVC, 0, 0, 0, 0, 99), "hypercall" },
};

START_TEST(test_fatal)
{
	const struct fatal_case *c = &fatal_cases[_i];
	struct rig r;

	rig_init(&r, 1);
	fake_emit(&r.a, c->code);
	fake_op0(&r.a, FAKE_OP_BRK);
	rig_load(&r);
	ck_assert_msg(run(&r, 0) == HOST_FATAL, "%s", c->what);
	ck_assert_msg(strstr(host_fake.vcpu(r.vm, 0)->why, c->why), "%s: %s",
		      c->what, host_fake.vcpu(r.vm, 0)->why);
	rig_release(&r);
}
END_TEST

static const struct event_case {
	uint64_t code;
	enum host_event event, again;
} event_cases[] = {
	{ I(FAKE_OP_HVC, 0, 0, 0, 0, FAKE_HVC_POWEROFF), HOST_POWEROFF,
	  HOST_RESET },
	{ I(FAKE_OP_BRK, 0, 0, 0, 0, 0), HOST_DEBUG, HOST_RESET },
	{ I(FAKE_OP_HALT, 0, 0, 0, 0, 0), HOST_HALTED, HOST_HALTED },
};

START_TEST(test_events)
{
	const struct event_case *c = &event_cases[_i];
	struct rig r;

	rig_init(&r, 1);
	fake_emit(&r.a, c->code);
	fake_hvc(&r.a, FAKE_HVC_RESET);
	rig_load(&r);
	ck_assert_int_eq(run(&r, 0), c->event);
	ck_assert_int_eq(run(&r, 0), c->again);
	rig_release(&r);
}
END_TEST

/* ---- memory ------------------------------------------------------------- */

static const unsigned sizes[] = { 1, 2, 4, 8 };

START_TEST(test_ram_access)
{
	uint64_t pattern = 0x8182838485868788, all = UINT64_MAX, got;
	unsigned size = sizes[_i % 4];
	uint64_t at = DATA + (unsigned)_i / 4; /* aligned and not */
	struct fake_core core;
	struct rig r;

	rig_init(&r, 1);
	ck_assert(ram_write(&r.ram, GPA(at - 8), &all, 8));
	ck_assert(ram_write(&r.ram, GPA(at), &all, 8));
	ck_assert(ram_write(&r.ram, GPA(at + 8), &all, 8));
	fake_li(&r.a, R1, at);
	fake_li(&r.a, R2, pattern);
	fake_st(&r.a, size, R2, R1, 0);
	fake_ld(&r.a, size, R3, R1, 0);
	core = run_off(&r);
	if (size < 8)
		pattern &= (1ULL << (size * 8)) - 1;
	ck_assert_uint_eq(core.r[3], pattern);
	got = 0;
	ck_assert(ram_read(&r.ram, GPA(at), &got, size));
	ck_assert_uint_eq(got, pattern);
	ck_assert(ram_read(&r.ram, GPA(at + size), &got, 8));
	ck_assert_uint_eq(got, all);
	ck_assert(ram_read(&r.ram, GPA(at - 8), &got, 8));
	ck_assert_uint_eq(got, all);
	rig_release(&r);
}
END_TEST

static const struct mmio_case {
	const char *what;
	uint64_t gpa;
	unsigned size;
	uint64_t reads_as;
	bool reaches_device;
} mmio_cases[] = {
	{ "device, 1 byte", DEVICE + 3, 1, 0x88, true },
	{ "device, 2 bytes", DEVICE, 2, 0x7788, true },
	{ "device, 4 bytes", DEVICE + 0xfc, 4, 0x55667788, true },
	{ "device, 8 bytes", DEVICE + 0x10, 8, 0x1122334455667788, true },
	{ "sticks out of the device", DEVICE + 0xfe, 4, UINT32_MAX, false },
	{ "hole", HOLE, 4, UINT32_MAX, false },
	{ "address 0", 0, 8, UINT64_MAX, false },
	{ "last address", UINT64_MAX, 1, 0xff, false },
	{ "wraps", UINT64_MAX - 2, 8, UINT64_MAX, false },
	{ "sticks out of low RAM", LOW_END - 4, 8, UINT64_MAX, false },
	{ "begins before low RAM", FAKE_RAM_LOW_GPA - 1, 2, 0xffff, false },
	{ "sticks out of high RAM", FAKE_RAM_HIGH_GPA + HIGH_SIZE - 1, 4,
	  UINT32_MAX, false },
};

START_TEST(test_mmio)
{
	const struct mmio_case *c = &mmio_cases[_i];
	struct fake_core core;
	struct rig r;

	rig_init(&r, 1);
	fake_li(&r.a, R1, c->gpa);
	fake_ld(&r.a, c->size, R3, R1, 0);
	fake_li(&r.a, R2, 0x0102030405060708);
	fake_st(&r.a, c->size, R2, R1, 0);
	core = run_off(&r);
	ck_assert_msg(core.r[3] == c->reads_as, "%s: read 0x%llx", c->what,
		      (unsigned long long)core.r[3]);
	ck_assert_uint_eq(r.dev.reads, c->reaches_device);
	ck_assert_uint_eq(r.dev.writes, c->reaches_device);
	if (c->reaches_device) {
		ck_assert_uint_eq(r.dev.offset, c->gpa - DEVICE);
		ck_assert_uint_eq(r.dev.size, c->size);
		ck_assert_uint_eq(r.dev.value,
				  0x0102030405060708ULL &
					  (UINT64_MAX >> (64 - 8 * c->size)));
	}
	rig_release(&r);
}
END_TEST

START_TEST(test_ports)
{
	struct fake_core core;
	struct rig r;

	rig_init(&r, 1);
	fake_li(&r.a, R1, 0x600);
	fake_li(&r.a, R2, 0xabcd1234);
	fake_out(&r.a, 2, R2, R1, 4);
	fake_in(&r.a, 4, R3, R1, 0);
	fake_in(&r.a, 8, R4, R1, 0); /* no such port access */
	fake_in(&r.a, 1, R5, R1, 0x100);
	core = run_off(&r);
	ck_assert_uint_eq(r.io.value, 0x1234);
	ck_assert_uint_eq(r.io.writes, 1);
	ck_assert_uint_eq(r.io.reads, 1);
	ck_assert_uint_eq(core.r[3], 0x55667788);
	ck_assert_uint_eq(core.r[4], UINT64_MAX);
	ck_assert_uint_eq(core.r[5], 0xff);
	rig_release(&r);
}
END_TEST

START_TEST(test_read_only_ram)
{
	struct fake_core core;
	uint64_t zero = 1;
	struct diag d = DIAG_INIT;
	struct rig r;

	rig_init(&r, 1);
	ok(host_fake.ram_unmap(r.vm, GPA(FAKE_RAM_HIGH_GPA), &d), &d);
	rig_map(&r, 1, RAM_READ_ONLY);
	fake_li(&r.a, R1, FAKE_RAM_HIGH_GPA);
	fake_li(&r.a, R2, 5);
	fake_st(&r.a, 8, R2, R1, 0);
	fake_ld(&r.a, 8, R3, R1, 0);
	core = run_off(&r);
	ck_assert_uint_eq(core.r[3], 0);
	ck_assert(ram_read(&r.ram, GPA(FAKE_RAM_HIGH_GPA), &zero, 8));
	ck_assert_uint_eq(zero, 0);
	rig_release(&r);
}
END_TEST

START_TEST(test_unmapped_ram_is_gone)
{
	struct diag d = DIAG_INIT;
	struct rig r;

	rig_init(&r, 1);
	ok(host_fake.ram_unmap(r.vm, GPA(FAKE_RAM_HIGH_GPA), &d), &d);
	ck_assert_int_eq(host_fake.ram_unmap(r.vm, GPA(FAKE_RAM_HIGH_GPA), &d),
			 -ENOENT);
	ck_assert_int_eq(
		host_fake.ram_unmap(r.vm, GPA(FAKE_RAM_LOW_GPA + 4096), &d),
		-ENOENT);
	fake_li(&r.a, R1, FAKE_RAM_HIGH_GPA);
	fake_ld(&r.a, 8, R3, R1, 0);
	ck_assert_uint_eq(run_off(&r).r[3], UINT64_MAX);
	rig_release(&r);
}
END_TEST

/* @offset: of the host pointer from a page boundary */
static const struct map_case {
	const char *what;
	uint64_t gpa, size_bytes, offset;
	int err;
} map_cases[] = {
	{ "nothing", 0x1000000, 0, 0, -EINVAL },
	{ "half a page", 0x1000000, 0x800, 0, -EINVAL },
	{ "misaligned GPA", 0x1000800, 0x10000, 0, -EINVAL },
	{ "misaligned host", 0x1000000, 0x10000, 8, -EINVAL },
	{ "wraps", 0xffffffffffff0000, 0x20000, 0, -EINVAL },
	{ "more bits than there are", (1ULL << FAKE_PA_BITS) - 0x10000, 0x20000,
	  0, -EINVAL },
	{ "the last page is fine", (1ULL << FAKE_PA_BITS) - 0x10000, 0x10000, 0,
	  0 },
	{ "same place", FAKE_RAM_LOW_GPA, 0x10000, 0, -EEXIST },
	{ "over the end", LOW_END - 0x10000, 0x20000, 0, -EEXIST },
	{ "over the beginning", FAKE_RAM_LOW_GPA - 0x10000, 0x20000, 0,
	  -EEXIST },
	{ "around", FAKE_RAM_LOW_GPA - 0x10000, 0x200000, 0, -EEXIST },
	{ "behind is fine", LOW_END, 0x10000, 0, 0 },
	{ "before is fine", FAKE_RAM_LOW_GPA - 0x10000, 0x10000, 0, 0 },
};

START_TEST(test_map)
{
	const struct map_case *c = &map_cases[_i];
	struct diag d = DIAG_INIT;
	struct rig r;
	int err;

	rig_init(&r, 1);
	err = host_fake.ram_map(r.vm, GPA(c->gpa),
				r.ram.region[0].host + c->offset, c->size_bytes,
				0, &d);
	ck_assert_msg(err == c->err, "%s: %d", c->what, err);
	ck_assert_uint_eq(d.depth, err ? 1 : 0);
	rig_release(&r);
}
END_TEST

/* ---- dirty log ---------------------------------------------------------- */

static void dirty_take(struct rig *r, uint64_t *bitmap, size_t words)
{
	struct diag d = DIAG_INIT;

	ok(host_fake.dirty_take(r->vm, GPA(FAKE_RAM_HIGH_GPA), bitmap, words,
				&d),
	   &d);
}

START_TEST(test_dirty)
{
	uint64_t page = r_page(), pages = HIGH_SIZE / page;
	size_t words = (size_t)(pages + 63) / 64;
	uint64_t bitmap[HIGH_SIZE / 4096 / 64], sum = 0;
	struct diag d = DIAG_INIT;
	struct rig r;

	rig_init(&r, 1);
	ok(host_fake.dirty_start(r.vm, &d), &d);
	fake_li(&r.a, R1, FAKE_RAM_HIGH_GPA);
	fake_li(&r.a, R2, page);
	fake_add(&r.a, R1, R1, R2);
	fake_add(&r.a, R1, R1, R2);
	fake_st(&r.a, 8, R2, R1, -4); /* pages 1 and 2 */
	fake_li(&r.a, R1, FAKE_RAM_HIGH_GPA + HIGH_SIZE - 1);
	fake_st(&r.a, 1, R2, R1, 0); /* the last page */
	fake_ld(&r.a, 1, R3, R1, -(int32_t)page);
	run_off(&r);
	dirty_take(&r, bitmap, words);
	ck_assert_uint_eq(bitmap[0] & 0xf, 6);
	ck_assert_uint_eq(bitmap[words - 1] >> (pages - 1) % 64, 1);
	for (size_t i = 0; i < words; i++)
		sum += (unsigned)__builtin_popcountll(bitmap[i]);
	ck_assert_uint_eq(sum, 3);
	dirty_take(&r, bitmap, words);
	for (size_t i = 0; i < words; i++)
		ck_assert_uint_eq(bitmap[i], 0);
	ck_assert_int_eq(host_fake.dirty_take(r.vm, GPA(FAKE_RAM_HIGH_GPA),
					      bitmap, words + 1, &d),
			 -EINVAL);
	ck_assert_int_eq(
		host_fake.dirty_take(r.vm, GPA(HOLE), bitmap, words, &d),
		-ENOENT);
	ok(host_fake.dirty_stop(r.vm, &d), &d);
	ck_assert_int_eq(host_fake.dirty_take(r.vm, GPA(FAKE_RAM_HIGH_GPA),
					      bitmap, words, &d),
			 -EINVAL);
	rig_release(&r);
}
END_TEST

START_TEST(test_dirty_new_region)
{
	uint64_t bitmap[HIGH_SIZE / 4096 / 64] = { 0 };
	size_t words = (size_t)(HIGH_SIZE / r_page() + 63) / 64;
	struct diag d = DIAG_INIT;
	struct rig r;

	rig_init(&r, 1);
	ok(host_fake.ram_unmap(r.vm, GPA(FAKE_RAM_HIGH_GPA), &d), &d);
	ok(host_fake.dirty_start(r.vm, &d), &d);
	rig_map(&r, 1, 0); /* mapped while logging */
	fake_li(&r.a, R1, FAKE_RAM_HIGH_GPA);
	fake_st(&r.a, 8, R1, R1, 0);
	run_off(&r);
	dirty_take(&r, bitmap, words);
	ck_assert_uint_eq(bitmap[0], 1);
	rig_release(&r);
}
END_TEST

/* ---- interrupts --------------------------------------------------------- */

START_TEST(test_software_interrupt)
{
	struct fake_core core;
	struct rig r;

	rig_init(&r, 1);
	emit_interrupts(&r.a);
	fake_int(&r.a, 200);
	fake_int(&r.a, 201);
	fake_crr(&r.a, R1, FAKE_CR_STATUS);
	fake_hvc(&r.a, FAKE_HVC_POWEROFF);
	emit_handler(&r.a);
	core = run_off(&r);
	ck_assert_uint_eq(core.r[12], 2);
	ck_assert_uint_eq(core.r[13], 201);
	ck_assert_uint_eq(core.r[1], FAKE_STATUS_IE);
	rig_release(&r);
}
END_TEST

START_TEST(test_masked_stays_pending)
{
	struct fake_core core;
	struct rig r;

	rig_init(&r, 1);
	fake_li(&r.a, R1, FAKE_MSI_GPA);
	fake_li(&r.a, R2, 150);
	fake_st(&r.a, 4, R2, R1, 0);
	fake_li(&r.a, R2, 140);
	fake_st(&r.a, 4, R2, R1, 0);
	fake_op0(&r.a, FAKE_OP_WFI); /* does not wait, does not take it */
	fake_addi(&r.a, R3, R12, 0);
	emit_interrupts(&r.a);
	fake_addi(&r.a, R4, R4, 1);
	fake_hvc(&r.a, FAKE_HVC_POWEROFF);
	emit_handler(&r.a);
	core = run_off(&r);
	ck_assert_uint_eq(core.r[3], 0);
	ck_assert_uint_eq(core.r[12], 2);
	ck_assert_uint_eq(core.r[13], 150); /* 140 came first */
	ck_assert_uint_eq(core.r[4], 1);
	rig_release(&r);
}
END_TEST

START_TEST(test_timer_is_deterministic)
{
	struct fake_core core, again;
	struct rig r;

	rig_init(&r, 1);
	emit_interrupts(&r.a);
	fake_li(&r.a, R1, 1000);
	fake_crw(&r.a, FAKE_CR_COMPARE, R1);
	fake_mark(&r.a, 'l'); /* spins until the timer */
	fake_bz(&r.a, R12, 'l');
	fake_crr(&r.a, R4, FAKE_CR_COUNT);
	fake_li(&r.a, R1, 1000000);
	fake_crw(&r.a, FAKE_CR_COMPARE, R1);
	fake_op0(&r.a, FAKE_OP_WFI); /* jumps in time */
	fake_crr(&r.a, R5, FAKE_CR_COUNT);
	fake_hvc(&r.a, FAKE_HVC_POWEROFF);
	emit_handler(&r.a);
	core = run_off(&r);
	ck_assert_uint_eq(core.r[12], 2);
	ck_assert_uint_eq(core.r[13], FAKE_IRQ_TIMER);
	ck_assert_uint_ge(core.r[4], 1000);
	ck_assert_uint_lt(core.r[4], 1010);
	ck_assert_uint_ge(core.r[5], 1000000);
	rig_load(&r);
	ck_assert_int_eq(run(&r, 0), HOST_POWEROFF);
	again = core_of(&r, 0);
	ck_assert_mem_eq(&core, &again, sizeof(core));
	rig_release(&r);
}
END_TEST

/* Lowers the wire from the device's register handler, as devices do. */
static void lower_write(void *opaque, uint64_t offset, unsigned size,
			uint64_t value)
{
	struct rig *r = opaque;

	(void)offset;
	(void)size;
	r->dev.writes++;
	host_fake.irq_pin(r->vm, (uint32_t)value, false);
}

static const struct bus_ops lower_ops = { seen_read, lower_write };

START_TEST(test_level_wire)
{
	struct fake_core core;
	struct rig r;

	rig_init(&r, 1);
	r.region.ops = &lower_ops;
	r.region.opaque = &r;
	emit_interrupts(&r.a);
	fake_mark(&r.a, 'l');
	fake_bz(&r.a, R12, 'l');
	fake_hvc(&r.a, FAKE_HVC_POWEROFF);
	/* A handler that serves the device only the third time. */
	fake_mark(&r.a, 'h');
	fake_addi(&r.a, R12, R12, 1);
	fake_addi(&r.a, R11, R12, -3);
	fake_bnz(&r.a, R11, 'i');
	fake_li(&r.a, R11, DEVICE);
	fake_li(&r.a, R10, 7);
	fake_st(&r.a, 4, R10, R11, 0);
	fake_mark(&r.a, 'i');
	fake_op0(&r.a, FAKE_OP_IRET);
	fake_mark(&r.a, 'v');
	fake_vectors(&r.a, 'h');
	rig_load(&r);
	ck_assert_int_eq(host_fake.irq_pin(r.vm, 7, true), 0);
	ck_assert(host_fake_pending(r.vm, 0, FAKE_IRQ_PIN + 7));
	ck_assert_int_eq(run(&r, 0), HOST_POWEROFF);
	core = core_of(&r, 0);
	ck_assert_uint_eq(core.r[12], 3);
	ck_assert(!host_fake_pin(r.vm, 7));
	ck_assert(!host_fake_pending(r.vm, 0, FAKE_IRQ_PIN + 7));
	rig_release(&r);
}
END_TEST

START_TEST(test_edge_wire)
{
	struct rig r;

	rig_init(&r, 1);
	emit_interrupts(&r.a);
	fake_mark(&r.a, 'l');
	fake_bz(&r.a, R12, 'l');
	fake_hvc(&r.a, FAKE_HVC_POWEROFF);
	emit_handler(&r.a);
	rig_load(&r);
	for (unsigned i = 0; i < 3; i++) { /* three edges, one interrupt */
		host_fake.irq_pin(r.vm, 63, true);
		host_fake.irq_pin(r.vm, 63, false);
	}
	ck_assert_int_eq(run(&r, 0), HOST_POWEROFF);
	ck_assert_uint_eq(core_of(&r, 0).r[12], 1);
	ck_assert_uint_eq(core_of(&r, 0).r[13], FAKE_IRQ_PIN + 63);
	ck_assert_int_eq(host_fake.irq_pin(r.vm, FAKE_PINS, true), -EINVAL);
	rig_release(&r);
}
END_TEST

static const struct msi_case {
	const char *what;
	struct msi_message msg;
	int err;
	unsigned vcpu;
} msi_cases[] = {
	{ "vCPU 0", { FAKE_MSI_GPA, 255, 0 }, 0, 0 },
	{ "vCPU 1", { FAKE_MSI_GPA + FAKE_MSI_STRIDE, 128, 9 }, 0, 1 },
	{ "no such vCPU",
	  { FAKE_MSI_GPA + 2 * FAKE_MSI_STRIDE, 128, 0 },
	  -EINVAL,
	  0 },
	{ "between doorbells", { FAKE_MSI_GPA + 4, 128, 0 }, -EINVAL, 0 },
	{ "before the window",
	  { FAKE_MSI_GPA - FAKE_MSI_STRIDE, 128, 0 },
	  -EINVAL,
	  0 },
	{ "RAM", { FAKE_RAM_LOW_GPA, 128, 0 }, -EINVAL, 0 },
	{ "no such interrupt", { FAKE_MSI_GPA, 256, 0 }, -EINVAL, 0 },
};

START_TEST(test_msi_send)
{
	const struct msi_case *c = &msi_cases[_i];
	struct host_fake_stats stats;
	struct rig r;
	int err;

	rig_init(&r, 2);
	err = host_fake.msi_send(r.vm, &c->msg);
	ck_assert_msg(err == c->err, "%s: %d", c->what, err);
	host_fake_stats(r.vm, &stats);
	ck_assert_uint_eq(stats.dropped, err ? 1 : 0);
	if (!err)
		ck_assert(host_fake_pending(r.vm, c->vcpu, c->msg.data));
	rig_release(&r);
}
END_TEST

static void fire(int fd)
{
	uint64_t one = 1;

	ck_assert_int_eq(write(fd, &one, sizeof(one)), sizeof(one));
}

static bool readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

START_TEST(test_routes)
{
	struct msi_message msg = { FAKE_MSI_GPA, 130, 0 };
	struct host_fake_stats stats;
	int fd = eventfd(0, EFD_CLOEXEC);
	struct rig r;

	rig_init(&r, 1);
	ck_assert_int_eq(host_fake.msi_route_set(r.vm, 100, &msg), 0);
	ck_assert_int_eq(host_fake.irqfd_add(r.vm, 100, fd), 0);
	fire(fd);
	host_fake_poll(r.vm);
	ck_assert(!host_fake_pending(r.vm, 0, 130)); /* not applied yet */
	ck_assert_int_eq(host_fake.msi_route_apply(r.vm), 0);
	fire(fd);
	host_fake_poll(r.vm);
	ck_assert(host_fake_pending(r.vm, 0, 130));
	ck_assert(!readable(fd));
	host_fake.msi_route_clear(r.vm, 100);
	ck_assert_int_eq(host_fake.msi_route_apply(r.vm), 0);
	fire(fd);
	host_fake_poll(r.vm);
	host_fake_stats(r.vm, &stats);
	ck_assert_uint_eq(stats.dropped, 2);
	ck_assert_uint_eq(stats.routes, 0);
	ck_assert_int_eq(host_fake.msi_route_set(r.vm, 4096, &msg), -EINVAL);
	rig_release(&r);
	close(fd);
}
END_TEST

START_TEST(test_irqfds)
{
	struct msi_message msg = { FAKE_MSI_GPA, 130, 0 };
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct host_fake_stats stats;
	struct rig r;

	rig_init(&r, 1);
	ck_assert_int_eq(host_fake.msi_route_set(r.vm, 4095, &msg), 0);
	ck_assert_int_eq(host_fake.msi_route_apply(r.vm), 0);
	fire(fd); /* before it is attached: arrives when it is */
	ck_assert_int_eq(host_fake.irqfd_add(r.vm, 4095, fd), 0);
	ck_assert(host_fake_pending(r.vm, 0, 130));
	ck_assert_int_eq(host_fake.irqfd_add(r.vm, 4095, fd), -EBUSY);
	ck_assert_int_eq(host_fake.irqfd_add(r.vm, 4096, fd), -EINVAL);
	ck_assert_int_eq(host_fake.irqfd_add(r.vm, 9, -1), -EBADF);
	ck_assert_int_eq(host_fake.irqfd_del(r.vm, 9, fd), -ENOENT);
	fire(fd); /* while attached: arrives even if nobody looked */
	ck_assert_int_eq(host_fake.irqfd_del(r.vm, 4095, fd), 0);
	ck_assert(!readable(fd));
	ck_assert_int_eq(host_fake.irqfd_del(r.vm, 4095, fd), -ENOENT);
	fire(fd); /* detached: stays */
	host_fake_poll(r.vm);
	ck_assert(readable(fd));
	host_fake_stats(r.vm, &stats);
	ck_assert_uint_eq(stats.irqfds, 0);
	ck_assert_uint_eq(stats.dropped, 0);
	rig_release(&r);
	close(fd);
}
END_TEST

START_TEST(test_irqfd_at_an_exact_instruction)
{
	struct msi_message msg = { FAKE_MSI_GPA, 130, 0 };
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct rig r;

	rig_init(&r, 1);
	host_fake_poll_every(r.vm, 1);
	ck_assert_int_eq(host_fake.msi_route_set(r.vm, 50, &msg), 0);
	ck_assert_int_eq(host_fake.msi_route_apply(r.vm), 0);
	ck_assert_int_eq(host_fake.irqfd_add(r.vm, 50, fd), 0);
	ck_assert_int_eq(host_fake.doorbell_add(r.vm, false, HOLE, 0, NULL, fd),
			 0);
	emit_interrupts(&r.a);
	fake_li(&r.a, R1, HOLE);
	fake_st(&r.a, 4, R1, R1, 0); /* doorbell = irqfd */
	fake_addi(&r.a, R2, R12, 0); /* the very next instruction sees it */
	fake_hvc(&r.a, FAKE_HVC_POWEROFF);
	emit_handler(&r.a);
	ck_assert_uint_eq(run_off(&r).r[2], 1);
	rig_release(&r);
	close(fd);
}
END_TEST

/* ---- doorbells ---------------------------------------------------------- */

static const uint64_t match_value = 0x55;

static const struct bell_case {
	const char *what;
	bool pio;
	uint64_t addr; /* registered; the guest writes to @to */
	unsigned size_bytes;
	const uint64_t *match;
	uint64_t to;
	unsigned write_bytes;
	uint64_t value;
	bool rings;
} bell_cases[] = {
	{ "any width", false, DEVICE + 8, 0, NULL, DEVICE + 8, 2, 1, true },
	{ "its width", false, DEVICE + 8, 4, NULL, DEVICE + 8, 4, 1, true },
	{ "other width", false, DEVICE + 8, 4, NULL, DEVICE + 8, 2, 1, false },
	{ "next address", false, DEVICE + 8, 0, NULL, DEVICE + 9, 1, 1, false },
	{ "matches", false, DEVICE + 8, 2, &match_value, DEVICE + 8, 2, 0x55,
	  true },
	{ "matches what fits", false, DEVICE + 8, 1, &match_value, DEVICE + 8,
	  1, 0x1255, true },
	{ "no match", false, DEVICE + 8, 2, &match_value, DEVICE + 8, 2, 0x56,
	  false },
	{ "port", true, 0x604, 0, NULL, 0x604, 2, 1, true },
	{ "MMIO is not port", true, DEVICE + 8, 0, NULL, DEVICE + 8, 2, 1,
	  false },
};

START_TEST(test_doorbell)
{
	const struct bell_case *c = &bell_cases[_i];
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	bool by_port = c->to < 0x10000;
	struct host_fake_stats stats;
	uint64_t count = 0;
	struct rig r;

	rig_init(&r, 1);
	ck_assert_int_eq(host_fake.doorbell_add(r.vm, c->pio, c->addr,
						c->size_bytes, c->match, fd),
			 0);
	fake_li(&r.a, R1, c->to);
	fake_li(&r.a, R2, c->value);
	if (by_port)
		fake_out(&r.a, c->write_bytes, R2, R1, 0);
	else
		fake_st(&r.a, c->write_bytes, R2, R1, 0);
	run_off(&r);
	ck_assert_msg(readable(fd) == c->rings, "%s", c->what);
	ck_assert_uint_eq(r.dev.writes + r.io.writes, !c->rings);
	if (c->rings)
		ck_assert_int_eq(read(fd, &count, sizeof(count)), 8);
	ck_assert_uint_eq(count, c->rings);
	host_fake_stats(r.vm, &stats);
	ck_assert_uint_eq(stats.doorbell_rings, c->rings);
	rig_release(&r);
	close(fd);
}
END_TEST

START_TEST(test_doorbell_registration)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), other = fd + 1;
	uint64_t one = 1, two = 2;
	struct host_fake_stats stats;
	struct rig r;

	rig_init(&r, 1);
#define ADD(...) host_fake.doorbell_add(r.vm, __VA_ARGS__)
#define DEL(...) host_fake.doorbell_del(r.vm, __VA_ARGS__)
	ck_assert_int_eq(ADD(false, HOLE, 4, &one, fd), 0);
	ck_assert_int_eq(ADD(false, HOLE, 4, &two, fd), 0);
	ck_assert_int_eq(ADD(false, HOLE, 4, &two, other), -EEXIST);
	ck_assert_int_eq(ADD(true, HOLE, 4, &two, fd), 0);
	ck_assert_int_eq(ADD(false, HOLE, 3, NULL, fd), -EINVAL);
	ck_assert_int_eq(ADD(false, HOLE, 16, NULL, fd), -EINVAL);
	ck_assert_int_eq(ADD(false, HOLE, 0, &one, fd), -EINVAL);
	ck_assert_int_eq(DEL(false, HOLE, 4, &two, other), -ENOENT);
	ck_assert_int_eq(DEL(false, HOLE, 2, &two, fd), -ENOENT);
	ck_assert_int_eq(DEL(false, HOLE, 4, &two, fd), 0);
	ck_assert_int_eq(DEL(false, HOLE, 4, &two, fd), -ENOENT);
	host_fake_stats(r.vm, &stats);
	ck_assert_uint_eq(stats.doorbells, 2);
	rig_release(&r);
	close(fd);
}
END_TEST

/* ---- kicks and waiting -------------------------------------------------- */

START_TEST(test_kick_before_run)
{
	struct rig r;

	rig_init(&r, 1);
	rig_load(&r); /* an illegal instruction: must not be reached */
	host_fake.vcpu_kick(host_fake.vcpu(r.vm, 0));
	host_fake.vcpu_kick(host_fake.vcpu(r.vm, 0));
	ck_assert_int_eq(run(&r, 0), HOST_INTERRUPTED);
	ck_assert_int_eq(run(&r, 0), HOST_FATAL);
	rig_release(&r);
}
END_TEST

static const struct waiting {
	const char *what;
	enum fake_op op;
} waitings[] = {
	{ "spins", FAKE_OP_JMP },
	{ "waits", FAKE_OP_WFI },
	{ "off", FAKE_OP_ILLEGAL },
};

struct runner {
	struct host_vcpu *vcpu;
	atomic_uint rounds, stop;
};

static void *runner_main(void *arg)
{
	struct runner *t = arg;

	while (!atomic_load(&t->stop)) {
		if (host_fake.vcpu_run(t->vcpu) != HOST_INTERRUPTED)
			break;
		atomic_fetch_add(&t->rounds, 1);
	}
	return NULL;
}

/* Each kick is answered: none is lost, whatever the vCPU does just then. */
START_TEST(test_kick_is_never_lost)
{
	const struct waiting *w = &waitings[_i];
	struct runner t = { 0 };
	pthread_t thread;
	struct rig r;

	rig_init(&r, 2);
	fake_emit(&r.a, I(w->op, 0, 0, 0, 0, 0));
	rig_load(&r);
	t.vcpu = host_fake.vcpu(r.vm, w->op == FAKE_OP_ILLEGAL);
	ck_assert_int_eq(pthread_create(&thread, NULL, runner_main, &t), 0);
	for (unsigned i = 0; i < 500; i++) {
		unsigned before = atomic_load(&t.rounds);

		host_fake.vcpu_kick(t.vcpu);
		while (atomic_load(&t.rounds) == before)
			sched_yield(); /* hangs, and times out, if lost */
	}
	atomic_store(&t.stop, 1);
	host_fake.vcpu_kick(t.vcpu);
	pthread_join(thread, NULL);
	rig_release(&r);
}
END_TEST

/* The only way for a signal handler to find its vCPU; one per process. */
static struct host_vcpu *alarm_vcpu;

static void on_alarm(int sig)
{
	(void)sig;
	host_fake.vcpu_kick(alarm_vcpu);
}

START_TEST(test_kick_from_signal_handler)
{
	struct sigaction sa = { .sa_handler = on_alarm };
	struct rig r;

	rig_init(&r, 1);
	fake_emit(&r.a, I(waitings[_i].op, 0, 0, 0, 0, 0));
	rig_load(&r);
	alarm_vcpu = host_fake.vcpu(r.vm, 0);
	ck_assert_int_eq(sigaction(SIGALRM, &sa, NULL), 0);
	ualarm(20000, 0);
	ck_assert_int_eq(run(&r, 0), HOST_INTERRUPTED);
	rig_release(&r);
}
END_TEST

START_TEST(test_wait_survives_kick)
{
	struct rig r;

	rig_init(&r, 1);
	emit_interrupts(&r.a);
	fake_op0(&r.a, FAKE_OP_WFI);
	fake_hvc(&r.a, FAKE_HVC_POWEROFF);
	emit_handler(&r.a);
	rig_load(&r);
	alarm_vcpu = host_fake.vcpu(r.vm, 0);
	signal(SIGALRM, on_alarm);
	do {
		ualarm(20000, 0);
		ck_assert_int_eq(run(&r, 0), HOST_INTERRUPTED);
	} while (core_of(&r, 0).power != FAKE_POWER_WAITING);
	host_fake.irq_pin(r.vm, 1, true);
	host_fake.irq_pin(r.vm, 1, false);
	ck_assert_int_eq(run(&r, 0), HOST_POWEROFF);
	ck_assert_uint_eq(core_of(&r, 0).r[12], 1);
	rig_release(&r);
}
END_TEST

/* What a thread does to a vCPU that waits. */
struct waker {
	struct rig *r;
	int fd;
};

static void *wake_by_pin(void *arg)
{
	struct waker *w = arg;

	usleep(5000);
	host_fake.irq_pin(w->r->vm, 2, true);
	host_fake.irq_pin(w->r->vm, 2, false);
	return NULL;
}

static void *wake_by_irqfd(void *arg)
{
	struct waker *w = arg;

	usleep(5000);
	fire(w->fd);
	return NULL;
}

static void *wake_by_new_irqfd(void *arg)
{
	struct waker *w = arg;

	usleep(5000);
	fire(w->fd);
	host_fake.irqfd_add(w->r->vm, 40, w->fd);
	return NULL;
}

static void *wake_by_message(void *arg)
{
	struct msi_message msg = { FAKE_MSI_GPA, 131, 0 };
	struct waker *w = arg;

	usleep(5000);
	host_fake.msi_send(w->r->vm, &msg);
	return NULL;
}

static const struct wake_case {
	void *(*wake)(void *);
	bool attached;
	unsigned cause;
} wake_cases[] = {
	{ wake_by_pin, false, FAKE_IRQ_PIN + 2 },
	{ wake_by_irqfd, true, 130 },
	{ wake_by_new_irqfd, false, 130 },
	{ wake_by_message, false, 131 },
};

START_TEST(test_wake)
{
	const struct wake_case *c = &wake_cases[_i];
	struct msi_message msg = { FAKE_MSI_GPA, 130, 0 };
	struct waker w = { .fd = eventfd(0, EFD_CLOEXEC) };
	pthread_t thread;
	struct rig r;

	rig_init(&r, 1);
	w.r = &r;
	ck_assert_int_eq(host_fake.msi_route_set(r.vm, 40, &msg), 0);
	ck_assert_int_eq(host_fake.msi_route_apply(r.vm), 0);
	if (c->attached)
		ck_assert_int_eq(host_fake.irqfd_add(r.vm, 40, w.fd), 0);
	fake_op0(&r.a, FAKE_OP_WFI);
	emit_interrupts(&r.a);
	fake_hvc(&r.a, FAKE_HVC_POWEROFF);
	emit_handler(&r.a);
	rig_load(&r);
	ck_assert_int_eq(pthread_create(&thread, NULL, c->wake, &w), 0);
	ck_assert_int_eq(run(&r, 0), HOST_POWEROFF);
	pthread_join(thread, NULL);
	ck_assert_uint_eq(core_of(&r, 0).r[13], c->cause);
	rig_release(&r);
	close(w.fd);
}
END_TEST

/* ---- several vCPUs ------------------------------------------------------ */

static void *run_to_end(void *arg)
{
	struct runner *t = arg;

	while (!atomic_load(&t->stop) &&
	       host_fake.vcpu_run(t->vcpu) == HOST_INTERRUPTED)
		;
	return NULL;
}

START_TEST(test_cpu_on)
{
	struct runner t = { 0 };
	struct fake_core core;
	pthread_t thread;
	struct rig r;

	rig_init(&r, 2);
	fake_li(&r.a, R6, DATA);
	fake_la(&r.a, R2, 's');
	fake_li(&r.a, R3, 0x1234);
	fake_li(&r.a, R1, 2);
	fake_hvc(&r.a, FAKE_HVC_CPU_ON);
	fake_addi(&r.a, R7, R0, 0); /* no such vCPU */
	fake_li(&r.a, R1, 1);
	fake_hvc(&r.a, FAKE_HVC_CPU_ON);
	fake_addi(&r.a, R8, R0, 0);
	fake_hvc(&r.a, FAKE_HVC_CPU_ON);
	fake_addi(&r.a, R9, R0, 0); /* twice */
	fake_mark(&r.a, 'l');
	fake_ld(&r.a, 8, R10, R6, 0);
	fake_bz(&r.a, R10, 'l');
	fake_ld(&r.a, 8, R11, R6, 8);
	fake_hvc(&r.a, FAKE_HVC_POWEROFF);
	fake_mark(&r.a, 's'); /* vCPU 1: its number, then its argument */
	fake_li(&r.a, R6, DATA);
	fake_crr(&r.a, R2, FAKE_CR_INDEX);
	fake_st(&r.a, 8, R2, R6, 8);
	fake_st(&r.a, 8, R1, R6, 0);
	fake_op0(&r.a, FAKE_OP_HALT);
	rig_load(&r);
	t.vcpu = host_fake.vcpu(r.vm, 1);
	ck_assert_int_eq(pthread_create(&thread, NULL, run_to_end, &t), 0);
	ck_assert_int_eq(run(&r, 0), HOST_POWEROFF);
	pthread_join(thread, NULL);
	core = core_of(&r, 0);
	ck_assert_uint_eq(core.r[7], FAKE_CPU_ON_INVALID);
	ck_assert_uint_eq(core.r[8], FAKE_CPU_ON_OK);
	ck_assert_uint_eq(core.r[9], FAKE_CPU_ON_ALREADY);
	ck_assert_uint_eq(core.r[10], 0x1234);
	ck_assert_uint_eq(core.r[11], 1);
	rig_release(&r);
}
END_TEST

#define RING 4

/* Each vCPU waits for a message and passes it on, 100 times around: a wake-up
 * that gets lost stops the ring. */
START_TEST(test_message_ring)
{
	struct runner t[RING] = { 0 };
	pthread_t thread[RING];
	struct rig r;

	rig_init(&r, RING);
	fake_li(&r.a, R6, 100); /* vCPU 0: start the others */
	fake_la(&r.a, R2, 's');
	fake_li(&r.a, R4, RING);
	fake_li(&r.a, R1, 1);
	fake_mark(&r.a, 'c');
	fake_hvc(&r.a, FAKE_HVC_CPU_ON);
	fake_addi(&r.a, R1, R1, 1);
	fake_blt(&r.a, R1, R4, 'c');
	fake_li(&r.a, R5, FAKE_MSI_GPA + FAKE_MSI_STRIDE);
	fake_li(&r.a, R3, 130);
	emit_interrupts(&r.a); /* leaves FAKE_STATUS_IE in r10 */
	fake_mark(&r.a, 'a');  /* one turn around the ring */
	fake_crw(&r.a, FAKE_CR_STATUS, R11);
	fake_st(&r.a, 4, R3, R5, 0);
	fake_op0(&r.a, FAKE_OP_WFI); /* with IE, it could come too early */
	fake_crw(&r.a, FAKE_CR_STATUS, R10);
	fake_addi(&r.a, R6, R6, -1);
	fake_bnz(&r.a, R6, 'a');
	fake_hvc(&r.a, FAKE_HVC_POWEROFF);
	fake_mark(&r.a, 's'); /* the others: where is my neighbour? */
	fake_crr(&r.a, R7, FAKE_CR_INDEX);
	fake_li(&r.a, R3, 130);
	fake_li(&r.a, R5, FAKE_MSI_GPA);
	fake_addi(&r.a, R8, R7, -(RING - 1));
	fake_bz(&r.a, R8, 'x');
	fake_mark(&r.a, 'n');
	fake_addi(&r.a, R5, R5, FAKE_MSI_STRIDE);
	fake_addi(&r.a, R7, R7, -1);
	fake_bnz(&r.a, R7, 'n');
	fake_addi(&r.a, R5, R5, FAKE_MSI_STRIDE);
	fake_mark(&r.a, 'x');
	emit_interrupts(&r.a);
	fake_mark(&r.a, 'w');
	fake_bz(&r.a, R12, 'w'); /* the handler counts in r12 */
	fake_addi(&r.a, R12, R12, -1);
	fake_st(&r.a, 4, R3, R5, 0);
	fake_jmp(&r.a, 'w');
	emit_handler(&r.a);
	rig_load(&r);
	for (unsigned i = 1; i < RING; i++) {
		t[i].vcpu = host_fake.vcpu(r.vm, i);
		ck_assert_int_eq(
			pthread_create(&thread[i], NULL, run_to_end, &t[i]), 0);
	}
	ck_assert_int_eq(run(&r, 0), HOST_POWEROFF);
	ck_assert_uint_eq(core_of(&r, 0).r[12], 100);
	for (unsigned i = 1; i < RING; i++) {
		atomic_store(&t[i].stop, 1);
		host_fake.vcpu_kick(t[i].vcpu);
		pthread_join(thread[i], NULL);
	}
	rig_release(&r);
}
END_TEST

/* ---- state -------------------------------------------------------------- */

START_TEST(test_state_round_trip)
{
	struct fake_core in = { .pc = CODE + 24,
				.vector = 1,
				.epc = 2,
				.cause = 3,
				.status = FAKE_STATUS_PIE,
				.count = 5,
				.compare = 6,
				.pending = { 7, 8, 9, 10 },
				.power = FAKE_POWER_WAITING };
	struct fake_core out;
	struct rig r;

	rig_init(&r, 2);
	for (unsigned i = 0; i < 16; i++)
		in.r[i] = 0x1000 + i;
	core_set(&r, 1, &in);
	out = core_of(&r, 1);
	ck_assert_mem_eq(&in, &out, sizeof(in));
	ck_assert(host_fake_pending(r.vm, 1, 2));
	ck_assert(host_fake_pending(r.vm, 1, 64 + 3));
	rig_release(&r);
}
END_TEST

START_TEST(test_state_refuses)
{
	struct fake_core core = { 0 }, before;
	struct host_vcpu *v;
	struct diag d = DIAG_INIT;
	struct rig r;

	rig_init(&r, 1);
	before = core_of(&r, 0);
	v = host_fake.vcpu(r.vm, 0);
	ck_assert_int_eq(
		host_fake.state_get(v, HOST_X86_GPR, &core, sizeof(core), &d),
		-ENOTSUP);
	ck_assert_int_eq(host_fake.state_put(v, HOST_ARM64_CORE, &core,
					     sizeof(core), &d),
			 -ENOTSUP);
	ck_assert_int_eq(host_fake.state_put(v, HOST_FAKE_CORE, &core,
					     sizeof(core) - 1, &d),
			 -EINVAL);
	ck_assert_int_eq(host_fake.state_get(v, HOST_FAKE_CORE, &core,
					     sizeof(core) + 1, &d),
			 -EINVAL);
	core = core_of(&r, 0);
	ck_assert_mem_eq(&core, &before, sizeof(core));
	rig_release(&r);
}
END_TEST

/* ---- life cycle and faults on demand ------------------------------------ */

START_TEST(test_probe)
{
	struct host_caps caps;
	struct diag d = DIAG_INIT;

	ok(host_fake.probe(&caps, &d), &d);
	ck_assert_uint_eq(caps.pa_bits, FAKE_PA_BITS);
	ck_assert_uint_eq(caps.vcpus_max, FAKE_VCPUS_MAX);
	ck_assert_uint_eq(caps.page_size_bytes, r_page());
}
END_TEST

START_TEST(test_vm_new_refuses)
{
	static const unsigned counts[] = { 0, FAKE_VCPUS_MAX + 1, UINT32_MAX };
	struct host_vm_config cfg = { .vcpu_count = counts[_i] };
	struct host_vm *vm = NULL;
	struct diag d = DIAG_INIT;

	ck_assert_int_eq(host_fake.vm_new(&vm, &cfg, &d), -EINVAL);
	ck_assert_ptr_null(vm);
	ck_assert_uint_eq(d.depth, 1);
	host_fake.vm_free(NULL);
}
END_TEST

START_TEST(test_commit_once)
{
	struct diag d = DIAG_INIT;
	struct rig r;

	rig_init(&r, 1);
	ck_assert_int_eq(host_fake.commit(r.vm, &d), -EBUSY);
	rig_release(&r);
}
END_TEST

START_TEST(test_faults)
{
	struct msi_message msg = { FAKE_MSI_GPA, 130, 0 };
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct host_fake_stats stats;
	struct diag d = DIAG_INIT;
	struct rig r;

	rig_init(&r, 1);
	host_fake_fail(r.vm, HOST_FAKE_IRQFD_ADD, 2, ENOMEM);
	ck_assert_int_eq(host_fake.irqfd_add(r.vm, 1, fd), 0);
	ck_assert_int_eq(host_fake.irqfd_add(r.vm, 1, fd), -ENOMEM);
	ck_assert_int_eq(host_fake.irqfd_add(r.vm, 1, fd), -EBUSY);
	host_fake_fail(r.vm, HOST_FAKE_ROUTE_SET, 1, EIO);
	ck_assert_int_eq(host_fake.msi_route_set(r.vm, 1, &msg), -EIO);
	host_fake_fail(r.vm, HOST_FAKE_ROUTE_APPLY, 1, EIO);
	ck_assert_int_eq(host_fake.msi_route_apply(r.vm), -EIO);
	host_fake_fail(r.vm, HOST_FAKE_DOORBELL_ADD, 1, ENOSPC);
	ck_assert_int_eq(host_fake.doorbell_add(r.vm, false, HOLE, 0, NULL, fd),
			 -ENOSPC);
	host_fake_fail(r.vm, HOST_FAKE_RAM_MAP, 1, ENOMEM);
	ck_assert_int_eq(host_fake.ram_map(r.vm, GPA(HOLE),
					   r.ram.region[0].host, 0x10000, 0,
					   &d),
			 -ENOMEM);
	ck_assert_uint_eq(d.depth, 1);
	host_fake_fail(r.vm, HOST_FAKE_RAM_MAP, 1, ENOMEM);
	host_fake_fail(r.vm, HOST_FAKE_RAM_MAP, 0, 0); /* never mind */
	ck_assert_int_eq(host_fake.ram_map(r.vm, GPA(HOLE),
					   r.ram.region[0].host, 0x10000, 0,
					   &d),
			 0);
	host_fake_stats(r.vm, &stats);
	ck_assert_uint_eq(stats.maps, 3);
	ck_assert_uint_eq(stats.doorbells, 0);
	rig_release(&r);
	close(fd);
}
END_TEST

static const struct env_case {
	const char *env;
	int vm_new, first, second;
} env_cases[] = {
	{ "ram_map:2:12", 0, 0, -12 },
	{ "ram_map:1:12,commit:1:5", 0, -12, 0 },
	{ "vm_new:1:19", -19, 0, 0 },
	{ "", 0, 0, 0 },
	{ "ram_map", -EINVAL, 0, 0 },
	{ "ram_map:1:0", -EINVAL, 0, 0 },
	{ "ram_map:1:12x", -EINVAL, 0, 0 },
	{ "nonsense:1:12", -EINVAL, 0, 0 },
};

START_TEST(test_faults_by_environment)
{
	const struct env_case *c = &env_cases[_i];
	struct host_vm_config cfg = { .vcpu_count = 1 };
	void *page = aligned_alloc(0x10000, 0x10000);
	struct host_vm *vm = NULL;
	struct diag d = DIAG_INIT;

	setenv(HOST_FAKE_ENV, c->env, 1);
	ck_assert_int_eq(host_fake.vm_new(&vm, &cfg, &d), c->vm_new);
	if (vm) {
		ck_assert_int_eq(host_fake.ram_map(vm, GPA(0x10000), page,
						   0x10000, 0, &d),
				 c->first);
		ck_assert_int_eq(host_fake.ram_map(vm, GPA(0x20000), page,
						   0x10000, 0, &d),
				 c->second);
	}
	ck_assert_int_eq(!vm, !!c->vm_new);
	host_fake.vm_free(vm);
	free(page);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("host-fake");
	TCase *t = tcase_create("host-fake");

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, test_instructions, 0, ARRAY_SIZE(insn_cases));
	tcase_add_loop_test(t, test_fatal, 0, ARRAY_SIZE(fatal_cases));
	tcase_add_loop_test(t, test_events, 0, ARRAY_SIZE(event_cases));
	tcase_add_loop_test(t, test_ram_access, 0, 4 * 8);
	tcase_add_loop_test(t, test_mmio, 0, ARRAY_SIZE(mmio_cases));
	tcase_add_test(t, test_ports);
	tcase_add_test(t, test_read_only_ram);
	tcase_add_test(t, test_unmapped_ram_is_gone);
	tcase_add_loop_test(t, test_map, 0, ARRAY_SIZE(map_cases));
	tcase_add_test(t, test_dirty);
	tcase_add_test(t, test_dirty_new_region);
	tcase_add_test(t, test_software_interrupt);
	tcase_add_test(t, test_masked_stays_pending);
	tcase_add_test(t, test_timer_is_deterministic);
	tcase_add_test(t, test_level_wire);
	tcase_add_test(t, test_edge_wire);
	tcase_add_loop_test(t, test_msi_send, 0, ARRAY_SIZE(msi_cases));
	tcase_add_test(t, test_routes);
	tcase_add_test(t, test_irqfds);
	tcase_add_test(t, test_irqfd_at_an_exact_instruction);
	tcase_add_loop_test(t, test_doorbell, 0, ARRAY_SIZE(bell_cases));
	tcase_add_test(t, test_doorbell_registration);
	tcase_add_test(t, test_kick_before_run);
	tcase_add_loop_test(t, test_kick_is_never_lost, 0,
			    ARRAY_SIZE(waitings));
	tcase_add_loop_test(t, test_kick_from_signal_handler, 0, 2);
	tcase_add_test(t, test_wait_survives_kick);
	tcase_add_loop_test(t, test_wake, 0, ARRAY_SIZE(wake_cases));
	tcase_add_test(t, test_cpu_on);
	tcase_add_test(t, test_message_ring);
	tcase_add_test(t, test_state_round_trip);
	tcase_add_test(t, test_state_refuses);
	tcase_add_test(t, test_probe);
	tcase_add_loop_test(t, test_vm_new_refuses, 0, 3);
	tcase_add_test(t, test_commit_once);
	tcase_add_test(t, test_faults);
	tcase_add_loop_test(t, test_faults_by_environment, 0,
			    ARRAY_SIZE(env_cases));
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return suite_run(suite());
}
