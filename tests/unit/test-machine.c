/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: whole machines on arch/fake and the fake hypervisor
 *
 * Real devices, real event loop, real vCPU threads; only the instruction set
 * is made up. The guest is a small monitor that obeys one-letter commands
 * from its serial port, which a client thread sends through a socket. It
 * drives the serial port by interrupt, starts a second vCPU, takes the timer,
 * uses virtio-rng over both transports, watches the power key, resets, panics
 * and powers off.
 *
 * Runs under ThreadSanitizer too.
 */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "arch/fake/asm.h"
#include "arch/fake/fake.h"
#include "vmm/host/fake/fake.h"
#include "vmm/machine.h"

#include "tests/unit/suite.h"

#define PROGRAM	 FAKE_PROGRAM_GPA
#define DATA	 (FAKE_RAM_LOW_GPA + 0x80000)
#define FLAG	 (DATA + 0x100) /* vCPU 0 to vCPU 1: reset */
#define RINGS	 (FAKE_RAM_HIGH_GPA + 0x10000)
#define RNG_MSIX 210
#define BAR	 (FAKE_PCI32_GPA + 0x800000)
#define RNG_ECAM (FAKE_ECAM_GPA + MIB(1) * rng_segment + 0x8000) /* 00:01.0 */

/* where the guest looks for virtio-rng */
static unsigned rng_segment;

/* ---- the guest ---------------------------------------------------------- */

/*
 * Registers of vCPU 0: r5 virtio interrupts seen, r6 key presses seen, r7
 * ignores the power key, r8 handoff, r9 serial port, r10 constant 1, r13 byte
 * received or 0, r14 timer seen. The interrupt handler uses r11, r12, r15.
 */
enum label {
	LOOP,
	HANDLER,
	TABLE,
	SERIAL_IRQ,
	KEY_IRQ,
	TIMER_IRQ,
	VIRTIO_IRQ,
	MSIX_IRQ,
	OUT,
	KEY,
	KEY_IGNORED,
	SECOND,
	CMD_DONE,
	PRINT_CMDLINE,
	LABELS, /* from here on: made by fresh() */
};

static unsigned fresh_label;

static unsigned fresh(void)
{
	return LABELS + fresh_label++;
}

static void put(struct fake_asm *a, char c)
{
	fake_li(a, R2, (uint64_t)c);
	fake_st(a, 1, R2, R9, 0);
}

static void store(struct fake_asm *a, unsigned size, uint64_t addr,
		  uint64_t value)
{
	fake_li(a, R3, addr);
	fake_li(a, R2, value);
	fake_st(a, size, R2, R3, 0);
}

/* Let the pending interrupts in, all of them, and shut the door again. */
static void take_interrupts(struct fake_asm *a)
{
	fake_crw(a, FAKE_CR_STATUS, R10);
	fake_li(a, R2, 0);
	fake_crw(a, FAKE_CR_STATUS, R2);
}

static void emit_cause(struct fake_asm *a, int number, enum label to)
{
	fake_addi(a, R11, R15, -number);
	fake_bz(a, R11, to);
}

static void emit_handler(struct fake_asm *a)
{
	fake_mark(a, TABLE);
	fake_vectors(a, HANDLER);
	fake_mark(a, HANDLER);
	fake_crr(a, R15, FAKE_CR_CAUSE);
	emit_cause(a, FAKE_IRQ_PIN + FAKE_PIN_SERIAL, SERIAL_IRQ);
	emit_cause(a, FAKE_IRQ_PIN + FAKE_PIN_POWER_KEY, KEY_IRQ);
	emit_cause(a, FAKE_IRQ_PIN + FAKE_PIN_VIRTIO, VIRTIO_IRQ);
	emit_cause(a, FAKE_IRQ_TIMER, TIMER_IRQ);
	emit_cause(a, RNG_MSIX, MSIX_IRQ);
	fake_mark(a, OUT);
	fake_op0(a, FAKE_OP_IRET);

	fake_mark(a, SERIAL_IRQ);
	fake_ld(a, 1, R11, R9, 5); /* LSR.DR */
	fake_andi(a, R11, R11, 1);
	fake_bz(a, R11, OUT);
	fake_ld(a, 1, R13, R9, 0);
	fake_op0(a, FAKE_OP_IRET);

	fake_mark(a, KEY_IRQ); /* GPIOIC */
	fake_li(a, R11, FAKE_POWER_KEY_GPA);
	fake_li(a, R12, 8);
	fake_st(a, 4, R12, R11, 0x41c);
	fake_addi(a, R6, R6, 1);
	fake_op0(a, FAKE_OP_IRET);

	fake_mark(a, TIMER_IRQ);
	fake_addi(a, R14, R14, 1);
	fake_op0(a, FAKE_OP_IRET);

	fake_mark(a, VIRTIO_IRQ); /* InterruptStatus, InterruptACK */
	fake_li(a, R11, FAKE_VIRTIO_GPA);
	fake_ld(a, 4, R12, R11, 0x60);
	fake_st(a, 4, R12, R11, 0x64);
	fake_add(a, R5, R5, R12);
	fake_op0(a, FAKE_OP_IRET);

	fake_mark(a, MSIX_IRQ);
	fake_addi(a, R5, R5, 1);
	fake_op0(a, FAKE_OP_IRET);
}

/* What survived a reset and should not have: 'D' memory, 'S' a device. */
static void emit_leftovers(struct fake_asm *a)
{
	unsigned no_memory = fresh(), no_scratch = fresh();

	fake_li(a, R4, DATA);
	fake_ld(a, 8, R3, R4, 0);
	fake_bz(a, R3, no_memory);
	put(a, 'D');
	fake_mark(a, no_memory);
	fake_ld(a, 1, R3, R9, 7);
	fake_bz(a, R3, no_scratch);
	put(a, 'S');
	fake_mark(a, no_scratch);
	fake_st(a, 8, R9, R4, 0);
	fake_li(a, R2, 0x5a);
	fake_st(a, 1, R2, R9, 7);
}

static void emit_start(struct fake_asm *a)
{
	fake_addi(a, R8, R1, 0);
	fake_li(a, R9, FAKE_SERIAL_GPA);
	fake_li(a, R10, FAKE_STATUS_IE);
	fake_la(a, R2, TABLE);
	fake_crw(a, FAKE_CR_VECTOR, R2);
	emit_leftovers(a);
	fake_st(a, 1, R10, R9, 1);		    /* IER: received data */
	store(a, 4, FAKE_POWER_KEY_GPA + 0x40c, 8); /* GPIOIEV: rising */
	store(a, 4, FAKE_POWER_KEY_GPA + 0x410, 8); /* GPIOIE */
	put(a, 'b');
}

/* ---- commands ----------------------------------------------------------- */

/* Are we at command @c? If not, go to @next, which the caller marks. */
static unsigned command(struct fake_asm *a, char c)
{
	unsigned next = fresh();

	fake_addi(a, R2, R13, -c);
	fake_bnz(a, R2, next);
	return next;
}

static void command_end(struct fake_asm *a, unsigned next)
{
	fake_jmp(a, CMD_DONE);
	fake_mark(a, next);
}

static void command_put(struct fake_asm *a, char c, char reply)
{
	unsigned next = command(a, c);

	put(a, reply);
	command_end(a, next);
}

static void command_hvc(struct fake_asm *a, char c, enum fake_hvc function)
{
	unsigned next = command(a, c);

	fake_hvc(a, function);
	command_end(a, next);
}

static void command_op(struct fake_asm *a, char c, enum fake_op op)
{
	unsigned next = command(a, c);

	fake_op0(a, op);
	command_end(a, next);
}

static void command_ignore_key(struct fake_asm *a)
{
	unsigned next = command(a, 'g');

	fake_li(a, R7, 1);
	put(a, 'g');
	command_end(a, next);
}

/* Whoever does not refresh it is reset 20 ms later. */
static void command_watchdog(struct fake_asm *a)
{
	unsigned next = command(a, 'w');

	store(a, 4, FAKE_WATCHDOG_GPA + WATCHDOG_PERIOD, 20);
	store(a, 4, FAKE_WATCHDOG_GPA + WATCHDOG_CONTROL, WATCHDOG_RUN);
	command_end(a, next);
}

/* '0' or what was stored there before: the reply says if it is kept. */
static void command_pmem(struct fake_asm *a)
{
	unsigned next = command(a, 'm');

	fake_li(a, R3, FAKE_PCI64_GPA);
	fake_ld(a, 1, R2, R3, 8);
	fake_addi(a, R2, R2, '0');
	fake_st(a, 1, R2, R9, 0);
	store(a, 1, FAKE_PCI64_GPA + 8, 1);
	command_end(a, next);
}

static void command_second_vcpu(struct fake_asm *a)
{
	unsigned next = command(a, 'c'), refused = fresh();

	fake_li(a, R1, 1);
	fake_la(a, R2, SECOND);
	fake_addi(a, R3, R9, 0);
	fake_hvc(a, FAKE_HVC_CPU_ON);
	fake_bnz(a, R0, refused);
	put(a, 'c');
	fake_jmp(a, CMD_DONE);
	fake_mark(a, refused);
	put(a, 'C');
	command_end(a, next);
}

static void command_second_resets(struct fake_asm *a)
{
	unsigned next = command(a, 'q');

	store(a, 8, FLAG, 1);
	command_end(a, next);
}

/* Both vCPUs ask for the reset, 'd' by 'd' further apart. */
static void command_reset_twice(struct fake_asm *a)
{
	unsigned next = command(a, 'd'), wait = fresh(), now = fresh();

	fake_addi(a, R14, R14, 30);
	put(a, 'd');
	command_end(a, next);
	next = command(a, 'R');
	store(a, 8, FLAG, 1);
	fake_mark(a, wait);
	fake_bz(a, R14, now);
	fake_addi(a, R14, R14, -1);
	fake_jmp(a, wait);
	fake_mark(a, now);
	fake_hvc(a, FAKE_HVC_RESET);
	command_end(a, next);
}

static void command_panic(struct fake_asm *a)
{
	unsigned next = command(a, 'x');

	store(a, 1, FAKE_PVPANIC_GPA, 1);
	fake_jmp(a, LOOP); /* stops before it gets there */
	command_end(a, next);
}

static void command_timer(struct fake_asm *a)
{
	unsigned next = command(a, 't'), wait = fresh();

	fake_li(a, R14, 0);
	fake_crr(a, R2, FAKE_CR_COUNT);
	fake_addi(a, R2, R2, 100000);
	fake_crw(a, FAKE_CR_COMPARE, R2);
	fake_mark(a, wait);
	fake_op0(a, FAKE_OP_WFI);
	take_interrupts(a);
	fake_bz(a, R14, wait);
	put(a, 't');
	command_end(a, next);
}

/* The command line, as the handoff says where it is. */
static void command_cmdline(struct fake_asm *a)
{
	unsigned next = command(a, 'l'), end = fresh();

	fake_ld(a, 8, R3, R8, offsetof(struct fake_handoff, cmdline_gpa));
	fake_mark(a, PRINT_CMDLINE);
	fake_ld(a, 1, R2, R3, 0);
	fake_bz(a, R2, end);
	fake_st(a, 1, R2, R9, 0);
	fake_addi(a, R3, R3, 1);
	fake_jmp(a, PRINT_CMDLINE);
	fake_mark(a, end);
	command_end(a, next);
}

/* First and last byte of the initramfs. */
static void command_initramfs(struct fake_asm *a)
{
	unsigned next = command(a, 'n');

	fake_ld(a, 8, R3, R8, offsetof(struct fake_handoff, initrd_gpa));
	fake_ld(a, 8, R4, R8, offsetof(struct fake_handoff, initrd_bytes));
	fake_ld(a, 1, R2, R3, 0);
	fake_st(a, 1, R2, R9, 0);
	fake_add(a, R3, R3, R4);
	fake_ld(a, 1, R2, R3, -1);
	fake_st(a, 1, R2, R9, 0);
	command_end(a, next);
}

/* ---- virtio-rng --------------------------------------------------------- */

#define DESC  RINGS
#define AVAIL (RINGS + 0x1000)
#define USED  (RINGS + 0x2000)
#define BUF   (RINGS + 0x3000)

/* One buffer of 16 bytes in the rings. */
static void emit_request(struct fake_asm *a)
{
	store(a, 8, BUF, 0);
	store(a, 8, BUF + 8, 0);
	store(a, 8, USED, 0);
	store(a, 8, DESC, BUF);
	store(a, 4, DESC + 8, 16);
	store(a, 4, DESC + 12, 2); /* VIRTQ_DESC_F_WRITE */
	store(a, 2, AVAIL, 0);
	store(a, 2, AVAIL + 4, 0);
	store(a, 2, AVAIL + 2, 1);
}

/* Wait for the interrupt, then: one buffer used, 16 bytes, not all 0. */
static void emit_answer(struct fake_asm *a, char c)
{
	unsigned bad = fresh(), wait = fresh();

	fake_mark(a, wait);
	fake_op0(a, FAKE_OP_WFI);
	take_interrupts(a);
	fake_bz(a, R5, wait);
	fake_li(a, R3, USED);
	fake_ld(a, 2, R2, R3, 2);
	fake_addi(a, R2, R2, -1);
	fake_bnz(a, R2, bad);
	fake_ld(a, 4, R2, R3, 8);
	fake_addi(a, R2, R2, -16);
	fake_bnz(a, R2, bad);
	fake_li(a, R3, BUF);
	fake_ld(a, 8, R2, R3, 0);
	fake_bz(a, R2, bad);
	fake_ld(a, 8, R2, R3, 8);
	fake_bz(a, R2, bad);
	put(a, c);
	fake_jmp(a, CMD_DONE);
	fake_mark(a, bad);
	put(a, '?');
}

/* VIRTIO 1.3 sec. 4.2.2: registers of slot 0 */
static void command_rng_mmio(struct fake_asm *a)
{
	static const struct {
		uint16_t reg;
		uint64_t value;
	} setup[] = {
		{ 0x070, 0 },		{ 0x070, 1 },
		{ 0x070, 3 },		{ 0x024, 1 },
		{ 0x020, 1 }, /* VERSION_1 */
		{ 0x024, 0 },		{ 0x020, 0 },
		{ 0x070, 0xb },		{ 0x030, 0 },
		{ 0x038, 4 },		{ 0x080, DESC },
		{ 0x084, DESC >> 32 },	{ 0x090, AVAIL },
		{ 0x094, AVAIL >> 32 }, { 0x0a0, USED },
		{ 0x0a4, USED >> 32 },	{ 0x044, 1 },
		{ 0x070, 0xf },		{ 0x050, 0 }, /* notify */
	};
	unsigned next = command(a, 'u');

	emit_request(a);
	fake_li(a, R5, 0);
	for (size_t i = 0; i < ARRAY_SIZE(setup); i++)
		store(a, 4, FAKE_VIRTIO_GPA + setup[i].reg,
		      (uint32_t)setup[i].value);
	emit_answer(a, 'u');
	command_end(a, next);
}

/* BAR 0 to where we want it, then MSI-X on, in the capability list. */
static void emit_pci_setup(struct fake_asm *a)
{
	unsigned walk = fresh(), found = fresh();

	store(a, 2, RNG_ECAM + 0x04, 0);
	store(a, 4, RNG_ECAM + 0x10, (uint32_t)BAR);
	store(a, 4, RNG_ECAM + 0x14, BAR >> 32);
	store(a, 2, RNG_ECAM + 0x04, 6); /* memory, bus master */
	fake_li(a, R3, RNG_ECAM);
	fake_ld(a, 1, R4, R3, 0x34);
	fake_mark(a, walk);
	fake_add(a, R4, R4, R3);
	fake_ld(a, 1, R2, R4, 0);
	fake_addi(a, R2, R2, -0x11);
	fake_bz(a, R2, found);
	fake_ld(a, 1, R4, R4, 1);
	fake_bnz(a, R4, walk);
	fake_op0(a, FAKE_OP_BRK); /* no MSI-X */
	fake_mark(a, found);
	fake_li(a, R2, 0x8000);
	fake_st(a, 2, R2, R4, 2);
	store(a, 8, BAR + 0x4000, FAKE_MSI_GPA); /* vector 0 */
	store(a, 4, BAR + 0x4008, RNG_MSIX);
	store(a, 4, BAR + 0x400c, 0);
}

/* VIRTIO 1.3 sec. 4.1.4.3: common configuration at the BAR's beginning */
static void command_rng_pci(struct fake_asm *a)
{
	static const struct {
		uint16_t reg, size;
		uint64_t value;
	} setup[] = {
		{ 0x14, 1, 0 },	    { 0x14, 1, 1 },    { 0x14, 1, 3 },
		{ 0x08, 4, 1 },	    { 0x0c, 4, 1 },    { 0x08, 4, 0 },
		{ 0x0c, 4, 0 },	    { 0x14, 1, 0xb },  { 0x16, 2, 0 },
		{ 0x18, 2, 4 },	    { 0x1a, 2, 0 },    { 0x20, 8, DESC },
		{ 0x28, 8, AVAIL }, { 0x30, 8, USED }, { 0x1c, 2, 1 },
		{ 0x14, 1, 0xf },
	};
	unsigned next = command(a, 'U');

	emit_request(a);
	fake_li(a, R5, 0);
	emit_pci_setup(a);
	for (size_t i = 0; i < ARRAY_SIZE(setup); i++)
		store(a, setup[i].size, BAR + setup[i].reg, setup[i].value);
	store(a, 2, BAR + 0x3000, 0); /* notify queue 0 */
	emit_answer(a, 'U');
	command_end(a, next);
}

/* ---- all of it ---------------------------------------------------------- */

/* Says its number, spins until it is told to, resets the machine. */
static void emit_second(struct fake_asm *a)
{
	unsigned spin = fresh();

	fake_mark(a, SECOND);
	fake_addi(a, R9, R1, 0);
	fake_crr(a, R2, FAKE_CR_INDEX);
	fake_addi(a, R2, R2, '0');
	fake_st(a, 1, R2, R9, 0);
	fake_li(a, R3, FLAG);
	fake_mark(a, spin);
	fake_ld(a, 8, R2, R3, 0);
	fake_bz(a, R2, spin);
	fake_hvc(a, FAKE_HVC_RESET);
}

static void emit_loop(struct fake_asm *a)
{
	fake_mark(a, LOOP);
	fake_op0(a, FAKE_OP_WFI);
	take_interrupts(a);
	fake_bnz(a, R6, KEY);
	fake_bz(a, R13, LOOP);
	command_put(a, 'i', 'i');
	command_put(a, 's', '.');
	command_hvc(a, 'r', FAKE_HVC_RESET);
	command_hvc(a, 'p', FAKE_HVC_POWEROFF);
	command_op(a, 'z', FAKE_OP_ILLEGAL);
	command_op(a, 'h', FAKE_OP_HALT);
	command_op(a, 'k', FAKE_OP_BRK);
	command_ignore_key(a);
	command_watchdog(a);
	command_pmem(a);
	command_second_vcpu(a);
	command_second_resets(a);
	command_reset_twice(a);
	command_panic(a);
	command_timer(a);
	command_cmdline(a);
	command_initramfs(a);
	command_rng_mmio(a);
	command_rng_pci(a);
	put(a, '!');
	fake_mark(a, CMD_DONE);
	fake_li(a, R13, 0);
	fake_jmp(a, LOOP);
	fake_mark(a, KEY);
	put(a, 'k');
	fake_li(a, R6, 0);
	fake_bnz(a, R7, LOOP);
	fake_hvc(a, FAKE_HVC_POWEROFF);
}

static void monitor(struct fake_asm *a)
{
	fresh_label = 0;
	fake_asm_init(a, PROGRAM);
	emit_start(a);
	emit_loop(a);
	emit_second(a);
	emit_handler(a);
	fake_asm_finish(a);
}

/* ---- files and configuration -------------------------------------------- */

struct rig {
	char dir[32], kernel[64], initramfs[64], socket[64];
	struct vm_config cfg;
	struct host_caps caps;
	struct machine *machine;
};

static void write_file(const char *path, const void *head, size_t head_bytes,
		       const void *body, size_t body_bytes)
{
	FILE *f = fopen(path, "wb");

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(head, 1, head_bytes, f), head_bytes);
	ck_assert_uint_eq(fwrite(body, 1, body_bytes, f), body_bytes);
	ck_assert_int_eq(fclose(f), 0);
}

static void write_image(struct rig *r)
{
	static struct fake_asm a; /* large */
	struct fake_image head = { .magic = FAKE_IMAGE_MAGIC,
				   .header_bytes = sizeof(head),
				   .load_gpa = PROGRAM,
				   .entry_gpa = PROGRAM };

	monitor(&a);
	head.body_bytes = a.count * sizeof(a.code[0]);
	write_file(r->kernel, &head, sizeof(head), a.code, head.body_bytes);
}

static void rig_init(struct rig *r, bool pci)
{
	struct diag d = DIAG_INIT;

	memset(r, 0, sizeof(*r));
	strcpy(r->dir, "/tmp/test-machine-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(r->dir));
	snprintf(r->kernel, sizeof(r->kernel), "%s/kernel", r->dir);
	snprintf(r->socket, sizeof(r->socket), "%s/serial", r->dir);
	snprintf(r->initramfs, sizeof(r->initramfs), "%s/initramfs", r->dir);
	write_image(r);
	r->cfg = (struct vm_config){
		.kernel = r->kernel,
		.cpus = { .boot_vcpus = 2, .max_vcpus = 2 },
		.memory = { .size_bytes = MIB(2) },
		.serial = { .mode = CHAR_SOCKET, .socket = r->socket },
		.platform = { .transport =
				      pci ? TRANSPORT_PCI : TRANSPORT_MMIO },
		.pvpanic = true,
	};
	ck_assert_int_eq(host_fake.probe(&r->caps, &d), 0);
}

static void rig_release(struct rig *r)
{
	unlink(r->kernel);
	unlink(r->socket);
	unlink(r->initramfs);
	ck_assert_int_eq(rmdir(r->dir), 0);
}

static int rig_new(struct rig *r, struct diag *d)
{
	return machine_new(&r->machine, &r->cfg, &arch_fake, &host_fake,
			   &r->caps, d);
}

/* ---- the client --------------------------------------------------------- */

/*
 * One step: send the byte @send, then the guest must answer @reply, in any
 * order. Upper-case letters that are no commands of the guest:
 *	M	machine_signal()
 *	T	SIGTERM to this process
 *	F	from now on, new VMs fail in commit()
 *	W	wait for 50 ms
 */
struct step {
	char send;
	const char *reply;
};

struct client {
	struct rig *rig;
	pthread_mutex_t lock; /* guards over */
	bool over;	      /* the machine is not there any more */
	const struct step *step;
	int fd;
	char said[256]; /* what went wrong */
};

static int client_connect(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	for (unsigned i = 0; i < 20000; i++) {
		if (!connect(fd, (const struct sockaddr *)&sa, sizeof(sa)))
			return fd;
		usleep(1000);
	}
	return fd;
}

static void client_signal(struct client *c)
{
	pthread_mutex_lock(&c->lock);
	if (!c->over && c->rig->machine)
		machine_signal(c->rig->machine);
	pthread_mutex_unlock(&c->lock);
}

static void client_send(struct client *c, char what)
{
	switch (what) {
	case 'M':
		client_signal(c);
		break;
	case 'T':
		kill(getpid(), SIGTERM);
		break;
	case 'F':
		setenv(HOST_FAKE_ENV, "commit:1:12", 1);
		break;
	case 'W':
		usleep(50000);
		break;
	default:
		if (send(c->fd, &what, 1, MSG_NOSIGNAL) != 1)
			snprintf(c->said, sizeof(c->said), "'%c' not sent",
				 what);
	}
}

static int compare_chars(const void *a, const void *b)
{
	return *(const char *)a - *(const char *)b;
}

static bool client_expect(struct client *c, const char *reply)
{
	char got[16] = "", want[16];
	size_t len = strlen(reply), have = 0;

	snprintf(want, sizeof(want), "%s", reply);
	while (have < len) {
		ssize_t n = recv(c->fd, got + have, len - have, 0);

		if (n <= 0)
			break;
		have += (size_t)n;
	}
	qsort(got, have, 1, compare_chars);
	qsort(want, len, 1, compare_chars);
	if (!strcmp(got, want))
		return true;
	snprintf(c->said, sizeof(c->said),
		 "step '%c': wanted \"%s\", got "
		 "\"%s\"",
		 c->step->send, want, got);
	return false;
}

/* Find out whether anybody is there; what was printed before is skipped. */
static void client_hello(struct client *c)
{
	char got = 0;

	client_send(c, 'i');
	while (got != 'i' && recv(c->fd, &got, 1, 0) == 1)
		;
}

static void *client_main(void *arg)
{
	struct client *c = arg;
	char rest;

	c->fd = client_connect(c->rig->socket);
	client_hello(c);
	for (; c->step->send; c->step++) {
		client_send(c, c->step->send);
		if (c->said[0] || !client_expect(c, c->step->reply))
			break;
	}
	/* Wait for the end; a failed script ends the machine. */
	if (c->said[0]) {
		client_signal(c);
		client_signal(c);
	}
	while (recv(c->fd, &rest, 1, 0) == 1)
		;
	close(c->fd);
	return NULL;
}

/* ---- scripts ------------------------------------------------------------ */

#define STEPS 10

static const struct script {
	const char *what;
	struct step step[STEPS];
	bool pci, pmem;
	unsigned segment; /* of virtio-rng */
	int err;
	enum machine_end end;
	const char *why;
	const char *env;
} scripts[] = {
	{ .what = "power off",
	  .step = { { 'p', "" } },
	  .end = MACHINE_ENDED_POWEROFF },
	{ .what = "serial in and out",
	  .step = { { 's', "." }, { '#', "!" }, { 's', "." }, { 'p', "" } } },
	{ .what = "command line", .step = { { 'l', "a=b c" }, { 'p', "" } } },
	{ .what = "timer",
	  .step = { { 't', "t" }, { 't', "t" }, { 'p', "" } } },
	{ .what = "second vCPU",
	  .step = { { 'c', "c1" }, { 'c', "C" }, { 'p', "" } } },
	{ .what = "reset clears memory and devices",
	  .step = { { 'r', "b" }, { 'r', "b" }, { 's', "." }, { 'p', "" } } },
	{ .what = "a vCPU started before the reset is off after it",
	  .step = { { 'c', "c1" }, { 'r', "b" }, { 'c', "c1" }, { 'p', "" } } },
	{ .what = "reset by the second vCPU",
	  .step = { { 'c', "c1" }, { 'q', "b" }, { 's', "." }, { 'p', "" } } },
	{ .what = "timer after reset",
	  .step = { { 'r', "b" }, { 't', "t" }, { 'p', "" } } },
	{ .what = "panic",
	  .step = { { 'x', "" } },
	  .end = MACHINE_ENDED_PANIC },
	{ .what = "panic after reset",
	  .step = { { 'r', "b" }, { 'x', "" } },
	  .end = MACHINE_ENDED_PANIC },
	{ .what = "power key",
	  .step = { { 'M', "k" } },
	  .end = MACHINE_ENDED_POWEROFF },
	{ .what = "power key after reset",
	  .step = { { 'r', "b" }, { 'M', "k" } } },
	{ .what = "power key ignored, asked again",
	  .step = { { 'g', "g" }, { 'M', "k" }, { 's', "." }, { 'M', "" } },
	  .end = MACHINE_ENDED_TERMINATED },
	{ .what = "reset when asked to end",
	  .step = { { 'g', "g" }, { 'M', "k" }, { 'r', "" } },
	  .end = MACHINE_ENDED_TERMINATED },
	{ .what = "illegal instruction",
	  .step = { { 'z', "" } },
	  .err = -EIO,
	  .why = "illegal instruction" },
	{ .what = "halted",
	  .step = { { 'h', "" } },
	  .err = -EIO,
	  .why = "halted" },
	{ .what = "breakpoint",
	  .step = { { 'k', "" } },
	  .err = -EIO,
	  .why = "breakpoint" },
	{ .what = "virtio-rng over MMIO",
	  .step = { { 'u', "u" }, { 'u', "u" }, { 'p', "" } } },
	{ .what = "virtio-rng over MMIO and reset",
	  .step = { { 'u', "u" }, { 'r', "b" }, { 'u', "u" }, { 'p', "" } } },
	{ .what = "virtio-rng over PCI",
	  .step = { { 'U', "U" }, { 'U', "U" }, { 'p', "" } },
	  .pci = true },
	{ .what = "virtio-rng over PCI and reset",
	  .step = { { 'U', "U" }, { 'r', "b" }, { 'U', "U" }, { 'p', "" } },
	  .pci = true },
	{ .what = "virtio-rng in another PCI segment, and reset",
	  .step = { { 'U', "U" }, { 'r', "b" }, { 'U', "U" }, { 'p', "" } },
	  .pci = true,
	  .segment = 2 },
	{ .what = "no doorbells over MMIO",
	  .step = { { 'u', "u" }, { 'p', "" } },
	  .env = "doorbell_add:1:28" },
	{ .what = "no doorbells over PCI",
	  .step = { { 'U', "U" }, { 'p', "" } },
	  .pci = true,
	  .env = "doorbell_add:1:28" },
	{ .what = "watchdog",
	  .step = { { 'w', "b" }, { 's', "." }, { 'w', "b" }, { 'p', "" } } },
	{ .what = "persistent memory",
	  .step = { { 'm', "0" },
		    { 'm', "1" },
		    { 'r', "b" },
		    { 'm', "1" },
		    { 'p', "" } },
	  .pci = true,
	  .pmem = true },
	{ .what = "the new VM fails",
	  .step = { { 'F', "" }, { 'r', "" } },
	  .err = -ENOMEM,
	  .why = "cannot reset" },
};

/* Run a machine with a client; the machine is gone afterwards. */
static int run_with_client(struct rig *r, const struct step *step,
			   struct client *c, enum machine_end *end,
			   struct diag *d)
{
	pthread_t thread;
	int err = rig_new(r, d);

	memset(c, 0, sizeof(*c));
	if (err)
		return err;
	c->rig = r;
	c->step = step;
	pthread_mutex_init(&c->lock, NULL);
	ck_assert_int_eq(pthread_create(&thread, NULL, client_main, c), 0);
	err = machine_run(r->machine, end, d);
	pthread_mutex_lock(&c->lock);
	c->over = true;
	pthread_mutex_unlock(&c->lock);
	machine_free(r->machine);
	pthread_join(thread, NULL);
	pthread_mutex_destroy(&c->lock);
	return err;
}

START_TEST(test_script)
{
	const struct script *s = &scripts[_i];
	enum machine_end end = MACHINE_ENDED_POWEROFF;
	char cmdline[] = "a=b c", why[2048];
	char tmp[] = "/tmp", id[] = "_pmem0";
	struct pmem_config pmem = { .file = tmp,
				    .size_bytes = MIB(2),
				    .id = id };
	struct diag d = DIAG_INIT;
	struct client c;
	struct rig r;
	int err;

	rng_segment = s->segment;
	rig_init(&r, s->pci);
	r.cfg.cmdline = cmdline;
	r.cfg.watchdog = true;
	r.cfg.rng.pci_segment = s->segment;
	r.cfg.platform.num_pci_segments = s->segment + 1;
	if (s->pmem) {
		r.cfg.pmem = &pmem;
		r.cfg.pmem_count = 1;
	}
	if (s->env)
		setenv(HOST_FAKE_ENV, s->env, 1);
	err = run_with_client(&r, s->step, &c, &end, &d);
	diag_format(&d, why, sizeof(why));
	ck_assert_msg(!c.said[0], "%s: %s (%s)", s->what, c.said, why);
	ck_assert_msg(err == s->err, "%s: %d: %s", s->what, err, why);
	ck_assert_msg(err || end == s->end, "%s: end %d", s->what, (int)end);
	if (s->why)
		ck_assert_msg(strstr(why, s->why) != NULL, "%s: %s", s->what,
			      why);
	rig_release(&r);
}
END_TEST

/* Two wishes for one reset must not become anything else afterwards. */
START_TEST(test_two_vcpus_reset_at_once)
{
	struct step steps[256] = { { 0, NULL } }, *at = steps;
	struct diag d = DIAG_INIT;
	enum machine_end end;
	struct client c;
	struct rig r;

	for (unsigned i = 0; i < 24; i++) {
		*at++ = (struct step){ 'c', "c1" };
		for (unsigned k = 0; k < i % 8; k++)
			*at++ = (struct step){ 'd', "d" };
		*at++ = (struct step){ 'R', "b" };
	}
	*at++ = (struct step){ 'W', "" };
	*at++ = (struct step){ 's', "." };
	*at = (struct step){ 'p', "" };
	rig_init(&r, false);
	ck_assert_msg(!run_with_client(&r, steps, &c, &end, &d), "%s",
		      d.text[0]);
	ck_assert_msg(!c.said[0], "%s", c.said);
	ck_assert_int_eq(end, MACHINE_ENDED_POWEROFF);
	rig_release(&r);
}
END_TEST

START_TEST(test_initramfs)
{
	static const struct step steps[] = { { 'n', "<>" },
					     { 'r', "b" },
					     { 'n', "<>" },
					     { 'p', "" },
					     { 0, NULL } };
	char *body = calloc(1, 70001);
	struct diag d = DIAG_INIT;
	enum machine_end end;
	struct client c;
	struct rig r;

	rig_init(&r, false);
	body[70000] = '>';
	write_file(r.initramfs, "<", 1, body, 70001);
	r.cfg.initramfs = r.initramfs;
	if (_i) /* one region of RAM only: beside the kernel */
		r.cfg.memory.size_bytes = MIB(1);
	ck_assert_msg(!run_with_client(&r, steps, &c, &end, &d), "%s",
		      d.text[0]);
	ck_assert_msg(!c.said[0], "%s", c.said);
	rig_release(&r);
	free(body);
}
END_TEST

/* ---- as a program ------------------------------------------------------- */

/* SIGTERM, as `kill` sends it, reaches the guest as its power key. */
START_TEST(test_sigterm)
{
	static const struct step steps[] = { { 's', "." },
					     { 'T', "k" },
					     { 0, NULL } };
	static const struct step stubborn[] = { { 'g', "g" },
						{ 'T', "k" },
						{ 's', "." },
						{ 'T', "" },
						{ 0, NULL } };
	enum machine_end end = MACHINE_ENDED_PANIC;
	char fake[] = "fake", why[2048];
	struct diag d = DIAG_INIT;
	struct client c = { .step = _i ? stubborn : steps };
	pthread_t thread;
	sigset_t set;
	struct rig r;
	int err;

	/* Before the client's thread exists: it must not take the signal. */
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	rig_init(&r, false);
	r.cfg.hypervisor = fake;
	c.rig = &r;
	pthread_mutex_init(&c.lock, NULL);
	ck_assert_int_eq(pthread_create(&thread, NULL, client_main, &c), 0);
	err = machine_main(&r.cfg, &end, &d);
	pthread_join(thread, NULL);
	diag_format(&d, why, sizeof(why));
	ck_assert_msg(!err, "%s", why);
	ck_assert_msg(!c.said[0], "%s", c.said);
	ck_assert_int_eq(end, _i ? MACHINE_ENDED_TERMINATED
				 : MACHINE_ENDED_POWEROFF);
	rig_release(&r);
}
END_TEST

/* ---- two machines in one process ---------------------------------------- */

struct twin {
	struct rig rig;
	struct client client;
	struct diag d;
	enum machine_end end;
	int err;
};

static void *twin_main(void *arg)
{
	static const struct step steps[] = { { 'u', "u" }, { 'c', "c1" },
					     { 'r', "b" }, { 'c', "c1" },
					     { 's', "." }, { 'u', "u" },
					     { 'p', "" },  { 0, NULL } };
	struct twin *t = arg;

	t->err = run_with_client(&t->rig, steps, &t->client, &t->end, &t->d);
	return NULL;
}

START_TEST(test_two_machines)
{
	struct twin *t = calloc(2, sizeof(*t));
	pthread_t thread[2];

	for (unsigned i = 0; i < 2; i++) {
		rig_init(&t[i].rig, false);
		ck_assert_int_eq(
			pthread_create(&thread[i], NULL, twin_main, &t[i]), 0);
	}
	for (unsigned i = 0; i < 2; i++) {
		pthread_join(thread[i], NULL);
		ck_assert_msg(!t[i].err, "%s", t[i].d.text[0]);
		ck_assert_msg(!t[i].client.said[0], "%s", t[i].client.said);
		ck_assert_int_eq(t[i].end, MACHINE_ENDED_POWEROFF);
		rig_release(&t[i].rig);
	}
	free(t);
}
END_TEST

/* ---- what goes wrong before the guest runs ------------------------------ */

static const struct start_case {
	const char *env;
	int err;
} start_cases[] = {
	{ "vm_new:1:19", -19 },	   { "ram_map:1:12", -12 },
	{ "ram_map:2:12", -12 },   { "commit:1:5", -5 },
	{ "state_put:1:22", -22 }, { "state_put:2:22", -22 },
};

START_TEST(test_start_fails)
{
	const struct start_case *c = &start_cases[_i];
	enum machine_end end = MACHINE_ENDED_PANIC;
	struct diag d = DIAG_INIT;
	struct rig r;

	rig_init(&r, false);
	setenv(HOST_FAKE_ENV, c->env, 1);
	ck_assert_int_eq(rig_new(&r, &d), 0);
	ck_assert_int_eq(machine_run(r.machine, &end, &d), c->err);
	ck_assert_uint_gt(d.depth, 0);
	ck_assert_int_eq(end, MACHINE_ENDED_PANIC); /* untouched */
	machine_free(r.machine);
	rig_release(&r);
}
END_TEST

#define HEAD(load, entry, body)                                                \
	{                                                                      \
		FAKE_IMAGE_MAGIC, sizeof(struct fake_image), load, entry, body \
	}

/* @file_bytes: how much of header and body there is */
static const struct image_case {
	const char *what;
	struct fake_image head;
	size_t file_bytes;
	int err;
} image_cases[] = {
	{ "one byte", HEAD(PROGRAM, PROGRAM, 64), 1, -ENOEXEC },
	{ "cut in the header", HEAD(PROGRAM, PROGRAM, 64), 31, -ENOEXEC },
	{ "no body", HEAD(PROGRAM, PROGRAM, 64), 32, -EINVAL },
	{ "cut in the body", HEAD(PROGRAM, PROGRAM, 64), 95, -EINVAL },
	{ "longer than it says", HEAD(PROGRAM, PROGRAM, 64), 97, -EINVAL },
	{ "empty body", HEAD(PROGRAM, PROGRAM, 0), 32, -EINVAL },
	{ "other magic",
	  { 0x464c457f, 32, PROGRAM, PROGRAM, 64 },
	  96,
	  -ENOEXEC },
	{ "other header",
	  { FAKE_IMAGE_MAGIC, 40, PROGRAM, PROGRAM, 64 },
	  96,
	  -EINVAL },
	{ "over the handoff", HEAD(FAKE_HANDOFF_GPA, PROGRAM, 64), 96,
	  -EINVAL },
	{ "loaded at 0", HEAD(0, 0, 64), 96, -EINVAL },
	{ "loaded into the hole", HEAD(0x50000000, 0x50000000, 64), 96,
	  -E2BIG },
	{ "over the end of RAM",
	  HEAD(FAKE_RAM_LOW_GPA + MIB(1) - 32, FAKE_RAM_LOW_GPA + MIB(1) - 32,
	       64),
	  96, -E2BIG },
	{ "at the end of everything",
	  HEAD(UINT64_MAX - 63, UINT64_MAX - 63, 64), 96, -E2BIG },
	{ "entry before", HEAD(PROGRAM, PROGRAM - 8, 64), 96, -EINVAL },
	{ "entry behind", HEAD(PROGRAM, PROGRAM + 64, 64), 96, -EINVAL },
	{ "entry not aligned", HEAD(PROGRAM, PROGRAM + 4, 64), 96, -EINVAL },
	{ "entry far away", HEAD(PROGRAM, UINT64_MAX - 7, 64), 96, -EINVAL },
};

START_TEST(test_bad_image)
{
	const struct image_case *c = &image_cases[_i];
	struct diag d = DIAG_INIT;
	enum machine_end end;
	uint8_t file[128] = { 0 };
	char why[2048];
	struct rig r;
	int err;

	rig_init(&r, false);
	memcpy(file, &c->head, sizeof(c->head));
	write_file(r.kernel, file, c->file_bytes, "", 0);
	ck_assert_int_eq(rig_new(&r, &d), 0);
	err = machine_run(r.machine, &end, &d);
	diag_format(&d, why, sizeof(why));
	ck_assert_msg(err == c->err, "%s: %d: %s", c->what, err, why);
	ck_assert_msg(strstr(why, "kernel") != NULL, "%s", why);
	machine_free(r.machine);
	rig_release(&r);
}
END_TEST

START_TEST(test_initramfs_too_big)
{
	uint8_t *body = calloc(1, MIB(2));
	struct diag d = DIAG_INIT;
	enum machine_end end;
	struct rig r;

	rig_init(&r, false);
	write_file(r.initramfs, "<", 1, body, MIB(2));
	r.cfg.initramfs = r.initramfs;
	ck_assert_int_eq(rig_new(&r, &d), 0);
	ck_assert_int_eq(machine_run(r.machine, &end, &d), -E2BIG);
	ck_assert_ptr_nonnull(strstr(d.text[0], "initramfs"));
	machine_free(r.machine);
	rig_release(&r);
	free(body);
}
END_TEST

static const struct config_case {
	const char *what;
	uint64_t memory_bytes;
	uint32_t boot, max;
	const char *option;
} config_cases[] = {
	{ "no memory", 0, 1, 1, "--memory" },
	{ "little memory", KIB(64), 1, 1, "--memory" },
	{ "half a page", MIB(2) + 2048, 1, 1, "--memory" },
	{ "more than fits", GIB(64) + MIB(2), 1, 1, "--memory" },
	{ "absurd", UINT64_MAX - 0xfff, 1, 1, "--memory" },
	{ "no vCPUs", MIB(2), 0, 1, "--cpus" },
	{ "too many vCPUs", MIB(2), 1, FAKE_VCPUS_MAX + 1, "--cpus" },
	{ "fewer than at boot", MIB(2), 2, 1, "--cpus" },
};

START_TEST(test_bad_config)
{
	const struct config_case *c = &config_cases[_i];
	struct diag d = DIAG_INIT;
	struct rig r;

	rig_init(&r, false);
	r.cfg.memory.size_bytes = c->memory_bytes;
	r.cfg.cpus.boot_vcpus = c->boot;
	r.cfg.cpus.max_vcpus = c->max;
	ck_assert_msg(rig_new(&r, &d) == -EINVAL, "%s", c->what);
	ck_assert_msg(strstr(d.text[0], c->option) != NULL, "%s: %s", c->what,
		      d.text[0]);
	ck_assert_ptr_null(r.machine);
	rig_release(&r);
}
END_TEST

/* ---- tables ------------------------------------------------------------- */

/* What a host makes of them, the servers' cases compare with the guest's. */
START_TEST(test_tables_here)
{
	struct arch_tables tables = { .count = 0 };
	char name[] = "fake", other[] = "none";
	struct diag d = DIAG_INIT;
	struct rig r;

	rig_init(&r, false);
	r.cfg.hypervisor = name;
	ck_assert_int_eq(machine_tables(&arch_fake, &r.cfg, true, &tables, &d),
			 0);
	arch_tables_release(&tables);
	r.cfg.hypervisor = other;
	ck_assert_int_eq(machine_tables(&arch_fake, &r.cfg, false, &tables, &d),
			 0);
	arch_tables_release(&tables);
	ck_assert_int_eq(machine_tables(&arch_fake, &r.cfg, true, &tables, &d),
			 -ENODEV);
	ck_assert_msg(strstr(d.text[0], "--hypervisor none") != NULL, "%s",
		      d.text[0]);
	rig_release(&r);
}
END_TEST

START_TEST(test_tables)
{
	static const char *const lines[] = {
		"cpus 2 of 2\n",
		"ram mmio 0x12350000+0x100000\n",
		"ram mmio 0x765430000+0x100000\n",
		"device serial\n range mmio 0x20010000+",
		" pin 3 ",
		"pci-ecam mmio 0x30000000+0x100000\n",
		"cmdline quiet\n",
	};
	struct arch_tables tables;
	struct diag d = DIAG_INIT;
	char cmdline[] = "quiet";
	struct rig r;
	char *text;

	rig_init(&r, true);
	r.cfg.cmdline = cmdline;
	ck_assert_int_eq(machine_tables(&arch_fake, &r.cfg, false, &tables, &d),
			 0);
	ck_assert_int_eq(access(r.socket, F_OK), -1); /* nothing was made */
	ck_assert_uint_eq(tables.count, 1);
	ck_assert_str_eq(tables.table[0].name, "fake.txt");
	text = strndup((char *)tables.table[0].data,
		       tables.table[0].size_bytes);
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		ck_assert_msg(strstr(text, lines[i]) != NULL, "%s in\n%s",
			      lines[i], text);
	free(text);
	arch_tables_release(&tables);
	rig_release(&r);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("machine");
	TCase *t = tcase_create("machine");

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, test_script, 0, ARRAY_SIZE(scripts));
	tcase_add_test(t, test_two_vcpus_reset_at_once);
	tcase_add_loop_test(t, test_initramfs, 0, 2);
	tcase_add_loop_test(t, test_sigterm, 0, 2);
	tcase_add_test(t, test_two_machines);
	tcase_add_loop_test(t, test_start_fails, 0, ARRAY_SIZE(start_cases));
	tcase_add_loop_test(t, test_bad_image, 0, ARRAY_SIZE(image_cases));
	tcase_add_test(t, test_initramfs_too_big);
	tcase_add_loop_test(t, test_bad_config, 0, ARRAY_SIZE(config_cases));
	tcase_add_test(t, test_tables);
	tcase_add_test(t, test_tables_here);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return suite_run(suite());
}
