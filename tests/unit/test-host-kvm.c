/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: the KVM back end on this machine's own /dev/kvm
 *
 * Holds it to the host contract with a guest of four stores and a jump, the
 * same on both ISAs:
 *
 *	loop:	byte to @at[0]; byte to @at[1]; word to @bell; word to @stop
 *
 * A write to STOP kicks the vCPU from inside its own exit, so each round of
 * the loop ends vcpu_run(). Without a usable /dev/kvm the tests pass and a
 * comment says why.
 */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "arch/arch.h"
#include "vmm/host/host.h"
#include "vmm/memory.h"

#include "tests/unit/patience.h"
#include "tests/unit/suite.h"

#define PAGES 256
#define WORDS (PAGES / 64)
#define KICKS 10000
#define VALUE 0x5aU
/* Where neither ISA has RAM or an interrupt controller. */
#define BELL 0x20010000ULL
#define STOP 0x20020000ULL

/* ---- the guest ---------------------------------------------------------- */

/** struct regs - what the guest's registers hold, see the DOC block */
struct regs {
	uint64_t pc, at[2], bell, stop, value;
};

/**
 * struct isa - @ram: where its RAM is; @loop, @spin: programs; @start: set
 * the registers
 */
struct isa {
	const char *name;
	uint64_t ram;
	uint8_t loop[20], spin[4];
	void (*start)(struct host_vcpu *v, const struct regs *r);
	enum host_state gpr_class, foreign_class;
	size_t gpr_bytes;
};

static void put(struct host_vcpu *v, enum host_state cls, const void *buf,
		size_t size)
{
	struct diag d = { 0 };

	ck_assert_msg(!v->vm->ops->state_put(v, cls, buf, size, &d), "%s",
		      d.text[0]);
}

static void get(struct host_vcpu *v, enum host_state cls, void *buf,
		size_t size)
{
	struct diag d = { 0 };

	ck_assert_msg(!v->vm->ops->state_get(v, cls, buf, size, &d), "%s",
		      d.text[0]);
}

/* 32-bit protected mode, flat, no paging (Intel SDM vol. 3 sec. 10.9). */
static void start_x86(struct host_vcpu *v, const struct regs *r)
{
	const struct x86_segment flat = { .limit = UINT32_MAX,
					  .selector = 0x10,
					  .type = 3,
					  .present = 1,
					  .db = 1,
					  .s = 1,
					  .g = 1 };
	struct x86_sregs s;
	struct x86_gpr g = { .rip = r->pc,
			     .rflags = 2,
			     .rax = r->value,
			     .rbx = r->at[0],
			     .rcx = r->at[1],
			     .rsi = r->bell,
			     .rdi = r->stop };

	get(v, HOST_X86_SREGS, &s, sizeof(s));
	s.ds = s.es = s.ss = s.cs = flat;
	s.cs.selector = 8;
	s.cs.type = 11;
	s.cr0 |= 1;
	put(v, HOST_X86_SREGS, &s, sizeof(s));
	put(v, HOST_X86_GPR, &g, sizeof(g));
}

/* EL1h, interrupts masked, MMU off. */
static void start_arm64(struct host_vcpu *v, const struct regs *r)
{
	struct arm64_core c = { .x = { r->value, r->at[0], r->at[1], r->bell,
				       r->stop },
				.pc = r->pc,
				.pstate = 0x3c5 };

	put(v, HOST_ARM64_CORE, &c, sizeof(c));
}

static const struct isa
	isas[] = {
		{ .name = "x86_64",
		  .ram = 0,
		  .loop = { 0x88, 0x03, 0x88, 0x01, 0x89, 0x06, 0x89, 0x07,
			    0xeb, 0xf6 },
		  .spin = { 0xeb, 0xfe },
		  .start = start_x86,
		  .gpr_class = HOST_X86_GPR,
		  .foreign_class = HOST_ARM64_CORE,
		  .gpr_bytes = sizeof(struct x86_gpr) },
		{ .name = "arm64",
		  .ram = 0x40000000,
		  /* strb w0, [x1]; strb w0, [x2]; str w0, [x3]; str w0, [x4]; b
		   */
		  .loop = { 0x20, 0x00, 0x00, 0x39, 0x40, 0x00, 0x00,
			    0x39, 0x60, 0x00, 0x00, 0xb9, 0x80, 0x00,
			    0x00, 0xb9, 0xfc, 0xff, 0xff, 0x17 },
		  .spin = { 0x00, 0x00, 0x00, 0x14 },
		  .start = start_arm64,
		  .gpr_class = HOST_ARM64_CORE,
		  .foreign_class = HOST_X86_GPR,
		  .gpr_bytes = sizeof(struct arm64_core) },
	};

static const struct isa *native_isa(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(isas); i++)
		if (!strcmp(isas[i].name, arch_native()->name))
			return &isas[i];
	return NULL;
}

/* Why there is nothing to test here; NULL: there is. */
static const char *unusable(struct host_caps *caps)
{
	static struct diag d;

	if (!native_isa())
		return "no guest program for this architecture";
	return host_kvm.probe(caps, &d) ? d.text[0] : NULL;
}

/* ---- the machine -------------------------------------------------------- */

struct rig {
	const struct isa *isa;
	struct host_caps caps;
	uint64_t page;
	struct guest_ram ram;
	struct bus *mmio, *pio;
	struct bus_region bell, stop;
	unsigned rings; /* writes to BELL that reached the bus */
	uint64_t last;
	struct host_vm *vm;
	struct host_vcpu *vcpu;
	struct regs regs;
};

static uint64_t nothing_read(void *opaque, uint64_t offset, unsigned size)
{
	(void)opaque;
	(void)offset;
	(void)size;
	return 0;
}

static void bell_write(void *opaque, uint64_t offset, unsigned size,
		       uint64_t value)
{
	struct rig *r = opaque;

	(void)offset;
	(void)size;
	r->rings++;
	r->last = value;
}

static void stop_write(void *opaque, uint64_t offset, unsigned size,
		       uint64_t value)
{
	struct rig *r = opaque;

	(void)offset;
	(void)size;
	(void)value;
	host_kvm.vcpu_kick(r->vcpu);
}

static const struct bus_ops bell_ops = { nothing_read, bell_write };
static const struct bus_ops stop_ops = { nothing_read, stop_write };

static void add_region(struct rig *r, struct bus_region *region, uint64_t base,
		       const struct bus_ops *ops)
{
	*region = (struct bus_region){ .base = base,
				       .size_bytes = 0x1000,
				       .ops = ops,
				       .opaque = r,
				       .name = "test" };
	ck_assert_int_eq(bus_add(r->mmio, region, NULL), 0);
}

static struct host_vm_config config(const struct rig *r)
{
	static const uint32_t apic_ids[] = { 0 };

	return (struct host_vm_config){
		.vcpu_count = 1,
		.mmio = r->mmio,
		.pio = r->pio,
		.caps = &r->caps,
		.x86 = { .ioapic_pins = 24,
			 .tss_gpa = 0xfffbd000,
			 .apic_ids = apic_ids },
		.arm64 = { .ipa_bits = MIN(r->caps.pa_bits, 40U),
			   .gicv3 = r->caps.gicv3,
			   .dist_gpa = 0x08000000,
			   .cpu_if_gpa = 0x08010000,
			   .redist_gpa = { 0x080a0000 },
			   .redist_count = { 1 },
			   .spi_count = 64 },
	};
}

static void map_all(struct rig *r, struct host_vm *vm)
{
	for (unsigned i = 0; i < r->ram.region_count; i++)
		ck_assert_int_eq(host_kvm.ram_map(vm, r->ram.region[i].gpa,
						  r->ram.region[i].host,
						  r->ram.region[i].size_bytes,
						  0, NULL),
				 0);
}

static struct host_vm *make_vm(struct rig *r)
{
	struct host_vm_config cfg = config(r);
	struct diag d = { 0 };
	struct host_vm *vm = NULL;

	ck_assert_msg(!host_kvm.vm_new(&vm, &cfg, &d), "%s", d.text[0]);
	map_all(r, vm);
	ck_assert_msg(!host_kvm.commit(vm, &d), "%s", d.text[0]);
	return vm;
}

static uint64_t at_page(const struct rig *r, unsigned page)
{
	return r->isa->ram + page * r->page;
}

/* What lies at the start of @page as the VMM sees it. */
static uint8_t byte_at(const struct rig *r, unsigned page)
{
	uint8_t byte = 0;

	ck_assert(ram_read(&r->ram, GPA(at_page(r, page)), &byte, 1));
	return byte;
}

/* Two regions: pages 0 to PAGES - 1, and another PAGES after a hole of as
 * many. The program is in page 1. */
static bool rig_open(struct rig *r)
{
	static const struct ram_options plain = { 0 };

	memset(r, 0, sizeof(*r));
	if (unusable(&r->caps))
		return false;
	r->isa = native_isa();
	r->page = r->caps.page_size_bytes;
	ram_init(&r->ram);
	for (unsigned i = 0; i < 2; i++)
		ck_assert_int_eq(ram_add(&r->ram,
					 GPA(at_page(r, 2 * i * PAGES)),
					 PAGES * r->page, &plain, NULL),
				 0);
	ck_assert(ram_write(&r->ram, GPA(at_page(r, 1)), r->isa->loop,
			    sizeof(r->isa->loop)));
	r->mmio = bus_new("MMIO", 0);
	r->pio = bus_new("port", 0x10000);
	add_region(r, &r->bell, BELL, &bell_ops);
	add_region(r, &r->stop, STOP, &stop_ops);
	r->vm = make_vm(r);
	r->vcpu = host_kvm.vcpu(r->vm, 0);
	r->regs = (struct regs){ .pc = at_page(r, 1),
				 .at = { at_page(r, 4), at_page(r, 4) },
				 .bell = BELL,
				 .stop = STOP,
				 .value = VALUE };
	r->isa->start(r->vcpu, &r->regs);
	return true;
}

static void rig_close(struct rig *r)
{
	host_kvm.vm_free(r->vm);
	bus_free(r->pio);
	bus_free(r->mmio);
	ram_release(&r->ram);
}

static void run_round(struct rig *r)
{
	enum host_event event = host_kvm.vcpu_run(r->vcpu);

	ck_assert_msg(event == HOST_INTERRUPTED, "event %d: %s", (int)event,
		      r->vcpu->why);
}

static void run_with(struct rig *r, unsigned page0, unsigned page1)
{
	r->regs.at[0] = at_page(r, page0);
	r->regs.at[1] = at_page(r, page1);
	r->isa->start(r->vcpu, &r->regs);
	run_round(r);
}

/* ---- running ------------------------------------------------------------ */

START_TEST(test_probe)
{
	struct host_caps caps;

	if (unusable(&caps))
		return;
	ck_assert_uint_ge(caps.pa_bits, 32);
	ck_assert_uint_ge(caps.vcpus_max, 1);
	ck_assert_uint_ge(caps.vcpus_max, caps.vcpus_recommended);
	ck_assert_uint_eq(caps.page_size_bytes,
			  (uint64_t)sysconf(_SC_PAGESIZE));
}
END_TEST

START_TEST(test_run)
{
	struct rig r;

	if (!rig_open(&r))
		return;
	ck_assert_uint_eq(byte_at(&r, 4), 0);
	run_round(&r);
	ck_assert_uint_eq(byte_at(&r, 4), VALUE);
	ck_assert_uint_eq(r.rings, 1);
	ck_assert_uint_eq(r.last, VALUE);
	/* The store to STOP is finished, and the loop goes on after it. */
	run_round(&r);
	ck_assert_uint_eq(r.rings, 2);
	rig_close(&r);
}
END_TEST

START_TEST(test_vcpus_of_a_fresh_vm)
{
	struct rig r;
	struct host_vm *second;

	if (!rig_open(&r))
		return;
	run_round(&r);
	/* A reset of the machine: the same RAM in another VM. */
	second = make_vm(&r);
	host_kvm.vm_free(r.vm);
	r.vm = second;
	r.vcpu = host_kvm.vcpu(second, 0);
	run_with(&r, 7, 8);
	ck_assert_uint_eq(byte_at(&r, 7), VALUE);
	ck_assert_uint_eq(byte_at(&r, 8), VALUE);
	rig_close(&r);
}
END_TEST

/* As a persistent memory's bus does (virtio-pmem). */
static void lost_write(void *opaque, uint64_t offset, unsigned size,
		       uint64_t value)
{
	struct rig *r = opaque;
	uint8_t byte = (uint8_t)value;

	ck_assert_uint_eq(size, 1);
	ck_assert(ram_write(&r->ram, GPA(at_page(r, 4 * PAGES) + offset), &byte,
			    1));
}

static const struct bus_ops lost_ops = { nothing_read, lost_write };

/* The guest writes to what its file has lost: to pages that it had used
 * before, or not. */
START_TEST(test_file_cut_short)
{
	bool private = _i & 1, used = _i & 2;
	unsigned first = 4 * PAGES;
	struct rig r;
	struct bus_region bus = { .ops = &lost_ops,
				  .opaque = &r,
				  .name = "pmem" };
	int fd;

	if (!rig_open(&r))
		return;
	bus.base = at_page(&r, first);
	bus.size_bytes = PAGES * r.page;
	ck_assert_int_eq(bus_add(r.mmio, &bus, NULL), 0);
	fd = memfd_create("pmem", MFD_CLOEXEC);
	ck_assert_int_eq(ftruncate(fd, (off_t)(PAGES * r.page)), 0);
	ck_assert_int_eq(ram_add_pmem(&r.ram, GPA(at_page(&r, first)),
				      PAGES * r.page, dup(fd), private, NULL),
			 0);
	ck_assert_int_eq(host_kvm.ram_map(r.vm, r.ram.region[2].gpa,
					  r.ram.region[2].host, PAGES * r.page,
					  0, NULL),
			 0);
	if (!used)
		ck_assert_int_eq(ftruncate(fd, (off_t)(4 * r.page)), 0);
	run_with(&r, first + 3, first + 5);
	for (int left = 4; left >= 0; left -= 2) {
		ck_assert_int_eq(ftruncate(fd, (off_t)left * (off_t)r.page), 0);
		run_round(&r);
		ck_assert_uint_eq(byte_at(&r, first + 3), VALUE);
		ck_assert_uint_eq(byte_at(&r, first + 5), VALUE);
	}
	ck_assert(ram_lost(&r.ram, GPA(at_page(&r, first))));
	rig_close(&r);
	close(fd);
}
END_TEST

/* ---- kicks -------------------------------------------------------------- */

/* @asked: number of the last kick, stored before it; @seen: what vcpu_run()
 * returned for */
struct kicked {
	struct rig *rig;
	atomic_uint asked, seen;
};

static void *run_until_last(void *arg)
{
	struct kicked *k = arg;

	while (atomic_load(&k->seen) < KICKS) {
		if (host_kvm.vcpu_run(k->rig->vcpu) != HOST_INTERRUPTED)
			break;
		atomic_store(&k->seen, atomic_load(&k->asked));
	}
	return NULL;
}

/* Some kicks hit the guest, some the way in, some the way out. */
static void kick_all(struct kicked *k)
{
	for (unsigned i = 1; i <= KICKS; i++) {
		atomic_store(&k->asked, i);
		host_kvm.vcpu_kick(k->rig->vcpu);
		while (atomic_load(&k->seen) < i)
			;
		for (volatile unsigned wait = i % 512; wait;)
			wait--;
	}
}

static void start_spinning(struct rig *r)
{
	ck_assert(ram_write(&r->ram, GPA(at_page(r, 1)), r->isa->spin,
			    sizeof(r->isa->spin)));
	r->isa->start(r->vcpu, &r->regs);
}

/* _i 0: the guest never exits by itself; 1: it does nothing else */
START_TEST(test_kick_is_never_lost)
{
	struct rig r;
	struct kicked k = { .rig = &r };
	pthread_t thread;

	if (!rig_open(&r))
		return;
	if (_i == 0)
		start_spinning(&r);
	r.regs.stop = BELL;
	if (_i == 1)
		r.isa->start(r.vcpu, &r.regs);
	ck_assert_int_eq(pthread_create(&thread, NULL, run_until_last, &k), 0);
	kick_all(&k);
	pthread_join(thread, NULL);
	ck_assert_uint_eq(atomic_load(&k.seen), KICKS);
	rig_close(&r);
}
END_TEST

START_TEST(test_kick_before_run)
{
	struct rig r;

	if (!rig_open(&r))
		return;
	start_spinning(&r);
	host_kvm.vcpu_kick(r.vcpu);
	run_round(&r);
	rig_close(&r);
}
END_TEST

/* A parent that starts us with all signals blocked. */
START_TEST(test_kick_with_signals_blocked)
{
	struct rig r;
	struct kicked k = { .rig = &r };
	pthread_t thread;
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	if (!rig_open(&r))
		return;
	start_spinning(&r);
	ck_assert_int_eq(pthread_create(&thread, NULL, run_until_last, &k), 0);
	usleep(20000); /* it is inside the guest now */
	atomic_store(&k.asked, KICKS);
	host_kvm.vcpu_kick(r.vcpu);
	WAIT_UNTIL(atomic_load(&k.seen) >= KICKS);
	ck_assert_uint_eq(atomic_load(&k.seen), KICKS);
	pthread_join(thread, NULL);
	rig_close(&r);
}
END_TEST

/* ---- RAM ---------------------------------------------------------------- */

static void ck_dirty(struct rig *r, unsigned page0, unsigned page1)
{
	uint64_t bitmap[WORDS] = { 0 }, want[WORDS] = { 0 };

	if (page0)
		want[page0 / 64] |= 1ULL << page0 % 64;
	if (page1)
		want[page1 / 64] |= 1ULL << page1 % 64;
	ck_assert_int_eq(host_kvm.dirty_take(r->vm, GPA(r->isa->ram), bitmap,
					     WORDS, NULL),
			 0);
	ck_assert_mem_eq(bitmap, want, sizeof(want));
}

START_TEST(test_dirty_pages)
{
	struct rig r;
	uint64_t bitmap[WORDS];

	if (!rig_open(&r))
		return;
	run_with(&r, 3, 5);
	ck_assert_int_lt(
		host_kvm.dirty_take(r.vm, GPA(r.isa->ram), bitmap, WORDS, NULL),
		0);
	ck_assert_int_eq(host_kvm.dirty_start(r.vm, NULL), 0);
	ck_dirty(&r, 0, 0);
	run_with(&r, 4, 200);
	ck_dirty(&r, 4, 200);
	ck_dirty(&r, 0, 0); /* taking clears */
	run_with(&r, 4, 64);
	ck_dirty(&r, 4, 64);
	ck_assert_int_eq(host_kvm.dirty_stop(r.vm, NULL), 0);
	ck_assert_int_lt(
		host_kvm.dirty_take(r.vm, GPA(r.isa->ram), bitmap, WORDS, NULL),
		0);
	rig_close(&r);
}
END_TEST

START_TEST(test_dirty_pages_of_new_ram)
{
	struct rig r;
	uint64_t bitmap[WORDS] = { 0 };
	gpa_t second;

	if (!rig_open(&r))
		return;
	second = r.ram.region[1].gpa;
	ck_assert_int_eq(host_kvm.ram_unmap(r.vm, second, NULL), 0);
	ck_assert_int_eq(host_kvm.dirty_start(r.vm, NULL), 0);
	ck_assert_int_eq(host_kvm.ram_map(r.vm, second, r.ram.region[1].host,
					  PAGES * r.page, 0, NULL),
			 0);
	run_with(&r, 4, 2 * PAGES);
	ck_assert_int_eq(host_kvm.dirty_take(r.vm, second, bitmap, WORDS, NULL),
			 0);
	ck_assert_uint_eq(bitmap[0], 1);
	rig_close(&r);
}
END_TEST

START_TEST(test_dirty_refuses)
{
	struct rig r;
	uint64_t bitmap[WORDS];

	if (!rig_open(&r))
		return;
	ck_assert_int_eq(host_kvm.dirty_start(r.vm, NULL), 0);
	ck_assert_int_eq(host_kvm.dirty_take(r.vm, GPA(r.isa->ram), bitmap,
					     WORDS - 1, NULL),
			 -EINVAL);
	ck_assert_int_eq(host_kvm.dirty_take(r.vm, GPA(at_page(&r, 1)), bitmap,
					     WORDS, NULL),
			 -EINVAL);
	rig_close(&r);
}
END_TEST

/* RAM that is gone is a place where devices can be. */
START_TEST(test_ram_unmap)
{
	struct rig r;
	struct bus_region there;
	gpa_t second;

	if (!rig_open(&r))
		return;
	second = r.ram.region[1].gpa;
	run_with(&r, 4, 2 * PAGES);
	ck_assert_uint_eq(byte_at(&r, 2 * PAGES), VALUE);
	ck_assert_uint_eq(r.rings, 1);
	ck_assert_int_eq(host_kvm.ram_unmap(r.vm, second, NULL), 0);
	ck_assert_int_eq(host_kvm.ram_unmap(r.vm, second, NULL), -ENOENT);
	add_region(&r, &there, second.v, &bell_ops);
	ck_assert(ram_fill(&r.ram, second, 0, 1));
	run_with(&r, 4, 2 * PAGES);
	ck_assert_uint_eq(byte_at(&r, 2 * PAGES), 0);
	ck_assert_uint_eq(r.rings, 3);
	ck_assert_int_eq(host_kvm.ram_map(r.vm, second, r.ram.region[1].host,
					  PAGES * r.page, 0, NULL),
			 0);
	run_with(&r, 4, 2 * PAGES);
	ck_assert_uint_eq(byte_at(&r, 2 * PAGES), VALUE);
	ck_assert_uint_eq(r.rings, 4);
	rig_close(&r);
}
END_TEST

START_TEST(test_ram_read_only)
{
	struct rig r;
	gpa_t second;

	if (!rig_open(&r))
		return;
	second = r.ram.region[1].gpa;
	ck_assert_int_eq(host_kvm.ram_unmap(r.vm, second, NULL), 0);
	ck_assert_int_eq(host_kvm.ram_map(r.vm, second, r.ram.region[1].host,
					  PAGES * r.page, RAM_READ_ONLY, NULL),
			 0);
	run_with(&r, 4, 2 * PAGES);
	ck_assert_uint_eq(byte_at(&r, 4), VALUE);
	ck_assert_uint_eq(byte_at(&r, 2 * PAGES), 0);
	rig_close(&r);
}
END_TEST

START_TEST(test_ram_map_refuses)
{
	struct rig r;

	if (!rig_open(&r))
		return;
	/* Overlaps; not aligned. A refusal takes no slot. */
	for (unsigned i = 0; i < 2 * RAM_REGIONS_MAX; i++) {
		ck_assert_int_lt(host_kvm.ram_map(r.vm, GPA(at_page(&r, 1)),
						  r.ram.region[1].host, r.page,
						  0, NULL),
				 0);
		ck_assert_int_lt(
			host_kvm.ram_map(r.vm, GPA(at_page(&r, PAGES) + 1),
					 r.ram.region[1].host, r.page, 0, NULL),
			0);
	}
	for (unsigned i = 2; i < RAM_REGIONS_MAX; i++)
		ck_assert_int_eq(
			host_kvm.ram_map(r.vm, GPA(at_page(&r, PAGES + i)),
					 r.ram.region[1].host, r.page, 0, NULL),
			0);
	ck_assert_int_eq(host_kvm.ram_map(r.vm, GPA(at_page(&r, PAGES)),
					  r.ram.region[1].host, r.page, 0,
					  NULL),
			 -ENOSPC);
	rig_close(&r);
}
END_TEST

/* ---- doorbells and interrupts ------------------------------------------- */

static uint64_t count_of(int fd)
{
	uint64_t count = 0;

	return read(fd, &count, sizeof(count)) < 0 ? 0 : count;
}

static const struct {
	unsigned size;
	bool with_match;
	uint64_t match;
	unsigned bells, writes; /* of two rounds */
} bell_cases[] = {
	{ 0, false, 0, 2, 0 },	  { 4, false, 0, 2, 0 },
	{ 4, true, VALUE, 2, 0 }, { 4, true, VALUE + 1, 0, 2 },
	{ 2, false, 0, 0, 2 }, /* the guest writes four bytes */
};

START_TEST(test_doorbell)
{
	const uint64_t *match =
		bell_cases[_i].with_match ? &bell_cases[_i].match : NULL;
	unsigned size = bell_cases[_i].size;
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	struct rig r;

	if (!rig_open(&r))
		return;
	ck_assert_int_eq(
		host_kvm.doorbell_add(r.vm, false, BELL, size, match, fd), 0);
	run_round(&r);
	run_round(&r);
	ck_assert_uint_eq(count_of(fd), bell_cases[_i].bells);
	ck_assert_uint_eq(r.rings, bell_cases[_i].writes);
	ck_assert_int_eq(
		host_kvm.doorbell_del(r.vm, false, BELL, size, match, fd), 0);
	run_round(&r);
	ck_assert_uint_eq(count_of(fd), 0);
	ck_assert_uint_eq(r.rings, bell_cases[_i].writes + 1);
	rig_close(&r);
	close(fd);
}
END_TEST

START_TEST(test_doorbell_refuses)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	struct rig r;

	if (!rig_open(&r))
		return;
	ck_assert_int_lt(host_kvm.doorbell_add(r.vm, false, BELL, 4, NULL, -1),
			 0);
	ck_assert_int_lt(host_kvm.doorbell_add(r.vm, false, BELL, 3, NULL, fd),
			 0);
	ck_assert_int_lt(host_kvm.doorbell_del(r.vm, false, BELL, 4, NULL, fd),
			 0);
	ck_assert_int_eq(host_kvm.doorbell_add(r.vm, false, BELL, 4, NULL, fd),
			 0);
	ck_assert_int_eq(host_kvm.doorbell_add(r.vm, false, BELL, 4, NULL, fd),
			 -EEXIST);
	rig_close(&r);
	close(fd);
}
END_TEST

START_TEST(test_irqfd)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	int file = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct rig r;

	if (!rig_open(&r))
		return;
	ck_assert_int_eq(host_kvm.irqfd_add(r.vm, 40, -1), -EBADF);
	ck_assert_int_lt(host_kvm.irqfd_add(r.vm, 40, file), 0);
	ck_assert_int_eq(host_kvm.irqfd_add(r.vm, 40, fd), 0);
	ck_assert_int_eq(host_kvm.irqfd_add(r.vm, 40, fd), -EBUSY);
	ck_assert_int_lt(host_kvm.irqfd_del(r.vm, 40, -1), 0);
	ck_assert_int_eq(host_kvm.irqfd_del(r.vm, 40, fd), 0);
	ck_assert_int_eq(host_kvm.irqfd_add(r.vm, 40, fd), 0);
	rig_close(&r);
	close(file);
	close(fd);
}
END_TEST

START_TEST(test_msi_routes)
{
	const struct msi_message msg = { .addr = 0xfee00000, .data = 0x40 };
	struct rig r;

	if (!rig_open(&r))
		return;
	ck_assert_int_eq(host_kvm.msi_route_set(r.vm, 4096, &msg), -ENOSPC);
	ck_assert_int_eq(host_kvm.msi_route_apply(r.vm), 0);
	ck_assert_int_eq(host_kvm.msi_route_set(r.vm, 4095, &msg), 0);
	host_kvm.msi_route_clear(r.vm, 4095);
	host_kvm.msi_route_clear(r.vm, 5000);
	ck_assert_int_eq(host_kvm.msi_route_apply(r.vm), 0);
	rig_close(&r);
}
END_TEST

/* ---- state -------------------------------------------------------------- */

START_TEST(test_state_round_trip)
{
	union {
		struct x86_gpr x86;
		struct arm64_core arm64;
		uint64_t word[40];
	} before, set, after;
	struct rig r;
	size_t words, size;

	if (!rig_open(&r))
		return;
	size = r.isa->gpr_bytes;
	words = size / 8 - 2; /* the last two: flags, and x86's rip */
	get(r.vcpu, r.isa->gpr_class, &before, size);
	set = before;
	for (size_t i = 0; i < words; i++)
		set.word[i] = 0x0101010101010101 * (i + 1);
	put(r.vcpu, r.isa->gpr_class, &set, size);
	get(r.vcpu, r.isa->gpr_class, &after, size);
	ck_assert_mem_eq(&after, &set, size);
	put(r.vcpu, r.isa->gpr_class, &before, size);
	run_round(&r);
	ck_assert_uint_eq(byte_at(&r, 4), VALUE);
	rig_close(&r);
}
END_TEST

START_TEST(test_state_refuses)
{
	uint8_t buf[8192] = { 0 };
	struct rig r;

	if (!rig_open(&r))
		return;
	ck_assert_int_eq(host_kvm.state_get(r.vcpu, r.isa->gpr_class, buf,
					    r.isa->gpr_bytes - 8, NULL),
			 -ENOTSUP);
	ck_assert_int_eq(host_kvm.state_put(r.vcpu, r.isa->foreign_class, buf,
					    sizeof(struct arm64_core), NULL),
			 -ENOTSUP);
	ck_assert_int_eq(
		host_kvm.state_get(r.vcpu, HOST_FAKE_CORE, buf, 8, NULL),
		-ENOTSUP);
	rig_close(&r);
}
END_TEST

/* ---- resources ---------------------------------------------------------- */

static unsigned fds_open(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned count = 0;

	ck_assert_ptr_nonnull(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

/* Freed with everything attached, as machine resets do. */
START_TEST(test_no_descriptor_leaks)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	unsigned before;
	struct rig r;

	if (!rig_open(&r))
		return;
	before = fds_open();
	for (unsigned i = 0; i < 50; i++) {
		struct host_vm *vm = make_vm(&r);

		ck_assert_int_eq(host_kvm.irqfd_add(vm, 40, fd), 0);
		ck_assert_int_eq(
			host_kvm.doorbell_add(vm, false, BELL, 4, NULL, fd), 0);
		host_kvm.vm_free(vm);
	}
	ck_assert_uint_eq(fds_open(), before);
	rig_close(&r);
	close(fd);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("host-kvm");
	TCase *t = tcase_create("host-kvm");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_probe);
	tcase_add_test(t, test_run);
	tcase_add_test(t, test_vcpus_of_a_fresh_vm);
	tcase_add_loop_test(t, test_file_cut_short, 0, 4);
	tcase_add_loop_test(t, test_kick_is_never_lost, 0, 2);
	tcase_add_test(t, test_kick_before_run);
	tcase_add_test(t, test_kick_with_signals_blocked);
	tcase_add_test(t, test_dirty_pages);
	tcase_add_test(t, test_dirty_pages_of_new_ram);
	tcase_add_test(t, test_dirty_refuses);
	tcase_add_test(t, test_ram_unmap);
	tcase_add_test(t, test_ram_read_only);
	tcase_add_test(t, test_ram_map_refuses);
	tcase_add_loop_test(t, test_doorbell, 0, ARRAY_SIZE(bell_cases));
	tcase_add_test(t, test_doorbell_refuses);
	tcase_add_test(t, test_irqfd);
	tcase_add_test(t, test_msi_routes);
	tcase_add_test(t, test_state_round_trip);
	tcase_add_test(t, test_state_refuses);
	tcase_add_test(t, test_no_descriptor_leaks);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	struct host_caps caps;
	const char *why = unusable(&caps);

	if (why)
		printf("# SKIP everything here: %s\n", why);
	(void)fflush(stdout);
	return suite_run(suite());
}
