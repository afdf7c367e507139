/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: the interpreter of the fake instruction set (arch/fake/isa.h)
 *
 * vcpu_run() does, before each instruction and in this order: end if kicked,
 * look at irqfds now and then, stop or wait if the vCPU is off, take an
 * interrupt. A signal ends only waiting; whoever wants run() to end from a
 * signal handler calls vcpu_kick() there.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>

#include "vmm/base/eventfd.h"
#include "vmm/host/fake/vm.h"

/* One decoded instruction. */
struct insn {
	unsigned rd, ra, rb, size;
	uint64_t imm;
};

/* Executes one instruction; core.pc is already behind it. Returns false if
 * vcpu_run() must end with v->event. */
typedef bool (*insn_fn)(struct fake_vcpu *v, const struct insn *i);

void fake_wake(struct fake_vcpu *v)
{
	eventfd_add(v->wake_fd, false);
}

void fake_vcpu_kick(struct host_vcpu *vcpu)
{
	struct fake_vcpu *v = fake_vcpu_of(vcpu);

	atomic_store(&v->kicked, true);
	fake_wake(v);
}

static bool leave(struct fake_vcpu *v, enum host_event event)
{
	v->event = event;
	return false;
}

static bool fatal(struct fake_vcpu *v, const char *what, uint64_t value)
{
	const struct fake_core *c = &v->core;

	(void)snprintf(v->host.why, sizeof(v->host.why),
		       "%s 0x%" PRIx64 " at pc 0x%" PRIx64 ", r0-r3 0x%" PRIx64
		       " 0x%" PRIx64 " 0x%" PRIx64 " 0x%" PRIx64
		       ", status 0x%" PRIx64 ", cause %" PRIu64,
		       what, value, c->pc, c->r[0], c->r[1], c->r[2], c->r[3],
		       c->status, c->cause);
	return leave(v, HOST_FATAL);
}

/* ---- interrupts ---- */

/* Lowest pending interrupt, FAKE_IRQS if there is none. */
static unsigned pending_first(struct fake_vcpu *v)
{
	for (unsigned i = 0; i < FAKE_IRQS / 64; i++) {
		uint64_t bits = atomic_load(&v->pending[i]);

		if (bits)
			return i * 64 + (unsigned)__builtin_ctzll(bits);
	}
	return FAKE_IRQS;
}

static void enter(struct fake_vcpu *v, unsigned number)
{
	struct fake_core *c = &v->core;

	c->epc = c->pc;
	c->cause = number;
	c->status = c->status & FAKE_STATUS_IE ? FAKE_STATUS_PIE : 0;
	c->pc = c->vector + (uint64_t)number * FAKE_INSN_BYTES;
}

static void interrupt_take(struct fake_vcpu *v)
{
	unsigned number;

	if (!(v->core.status & FAKE_STATUS_IE))
		return;
	number = pending_first(v);
	if (number == FAKE_IRQS)
		return;
	atomic_fetch_and(&v->pending[number / 64], ~(1ULL << (number % 64)));
	enter(v, number);
}

static void timer_look(struct fake_vcpu *v)
{
	struct fake_core *c = &v->core;

	if (!c->compare || c->count < c->compare)
		return;
	c->compare = 0;
	fake_raise(v, FAKE_IRQ_TIMER);
}

/* ---- waiting ---- */

/* Sleep until a wake-up or an irqfd; false on a signal. */
static bool wait_for_event(struct fake_vcpu *v)
{
	struct fake_vm *vm = fake_vm_of_vcpu(v);
	struct pollfd p[] = {
		{ .fd = v->wake_fd, .events = POLLIN },
		{ .fd = vm->irqfd_epoll, .events = POLLIN },
	};
	int err = 0;

	if (poll(p, 2, -1) < 0) {
		/* A kick from the signal's handler is answered by this, too. */
		atomic_store(&v->kicked, false);
		return leave(v, HOST_INTERRUPTED);
	}
	if (p[0].revents)
		err = eventfd_take(v->wake_fd);
	if (err && err != -EAGAIN)
		return fatal(v, "wake-up eventfd broken, errno",
			     (uint64_t)-err);
	if (p[1].revents)
		fake_irqfds_look(vm);
	return true;
}

/* With a timer set, time jumps ahead to it. */
static bool op_wfi(struct fake_vcpu *v, const struct insn *i)
{
	(void)i;
	if (v->core.compare)
		v->core.count = MAX(v->core.count, v->core.compare);
	timer_look(v);
	v->core.power = FAKE_POWER_WAITING;
	return true;
}

/* ---- instructions ---- */

static bool op_li(struct fake_vcpu *v, const struct insn *i)
{
	v->core.r[i->rd] = i->imm;
	return true;
}

static bool op_lih(struct fake_vcpu *v, const struct insn *i)
{
	v->core.r[i->rd] = (uint32_t)v->core.r[i->rd] | i->imm << 32;
	return true;
}

static bool op_add(struct fake_vcpu *v, const struct insn *i)
{
	v->core.r[i->rd] = v->core.r[i->ra] + v->core.r[i->rb];
	return true;
}

static bool op_sub(struct fake_vcpu *v, const struct insn *i)
{
	v->core.r[i->rd] = v->core.r[i->ra] - v->core.r[i->rb];
	return true;
}

static bool op_and(struct fake_vcpu *v, const struct insn *i)
{
	v->core.r[i->rd] = v->core.r[i->ra] & v->core.r[i->rb];
	return true;
}

static bool op_addi(struct fake_vcpu *v, const struct insn *i)
{
	v->core.r[i->rd] = v->core.r[i->ra] + i->imm;
	return true;
}

static bool op_andi(struct fake_vcpu *v, const struct insn *i)
{
	v->core.r[i->rd] = v->core.r[i->ra] & i->imm;
	return true;
}

static bool op_load(struct fake_vcpu *v, const struct insn *i)
{
	struct fake_vm *vm = fake_vm_of_vcpu(v);
	uint64_t gpa = v->core.r[i->ra] + i->imm;

	if (!fake_ram_load(vm, gpa, i->size, &v->core.r[i->rd]))
		v->core.r[i->rd] = bus_read(vm->cfg.mmio, gpa, i->size);
	return true;
}

static uint64_t cut(uint64_t value, unsigned size)
{
	return size == 8 ? value : value & ((1ULL << (size * 8)) - 1);
}

/* A guest's own message; a bad one is dropped and counted. */
static bool message_store(struct fake_vm *vm, uint64_t gpa, unsigned size,
			  uint64_t value)
{
	struct msi_message msg = { .addr = gpa, .data = (uint32_t)value };

	if (size != 4 || !range_within(gpa, 4, FAKE_MSI_GPA,
				       FAKE_MSI_STRIDE * FAKE_VCPUS_MAX))
		return false;
	fake_msi_send(&vm->host, &msg);
	return true;
}

static bool op_store(struct fake_vcpu *v, const struct insn *i)
{
	struct fake_vm *vm = fake_vm_of_vcpu(v);
	uint64_t gpa = v->core.r[i->ra] + i->imm;
	uint64_t value = cut(v->core.r[i->rd], i->size);

	if (!fake_ram_store(vm, gpa, i->size, value) &&
	    !message_store(vm, gpa, i->size, value) &&
	    !fake_doorbell_ring(vm, false, gpa, i->size, value))
		bus_write(vm->cfg.mmio, gpa, i->size, value);
	return true;
}

/* Ports are 16 bits wide and at most 4 bytes are moved, as on x86. */
static bool op_in(struct fake_vcpu *v, const struct insn *i)
{
	struct fake_vm *vm = fake_vm_of_vcpu(v);
	uint64_t port = (uint16_t)(v->core.r[i->ra] + i->imm);

	v->core.r[i->rd] = vm->cfg.pio && i->size <= 4
				   ? bus_read(vm->cfg.pio, port, i->size)
				   : cut(UINT64_MAX, i->size);
	return true;
}

static bool op_out(struct fake_vcpu *v, const struct insn *i)
{
	struct fake_vm *vm = fake_vm_of_vcpu(v);
	uint64_t port = (uint16_t)(v->core.r[i->ra] + i->imm);
	uint64_t value = cut(v->core.r[i->rd], i->size);

	if (i->size <= 4 &&
	    !fake_doorbell_ring(vm, true, port, i->size, value) && vm->cfg.pio)
		bus_write(vm->cfg.pio, port, i->size, value);
	return true;
}

static bool branch(struct fake_vcpu *v, const struct insn *i, bool taken)
{
	if (taken)
		v->core.pc += i->imm - FAKE_INSN_BYTES;
	return true;
}

static bool op_jmp(struct fake_vcpu *v, const struct insn *i)
{
	return branch(v, i, true);
}

static bool op_bz(struct fake_vcpu *v, const struct insn *i)
{
	return branch(v, i, !v->core.r[i->ra]);
}

static bool op_bnz(struct fake_vcpu *v, const struct insn *i)
{
	return branch(v, i, v->core.r[i->ra]);
}

static bool op_blt(struct fake_vcpu *v, const struct insn *i)
{
	return branch(v, i, v->core.r[i->ra] < v->core.r[i->rb]);
}

static bool op_call(struct fake_vcpu *v, const struct insn *i)
{
	v->core.r[i->rd] = v->core.pc;
	return branch(v, i, true);
}

static bool op_jr(struct fake_vcpu *v, const struct insn *i)
{
	v->core.pc = v->core.r[i->ra];
	return true;
}

/* Where control registers are in struct fake_core; all but FAKE_CR_INDEX. */
static const size_t control_at[FAKE_CR_INDEX] = {
	[FAKE_CR_VECTOR] = offsetof(struct fake_core, vector),
	[FAKE_CR_EPC] = offsetof(struct fake_core, epc),
	[FAKE_CR_CAUSE] = offsetof(struct fake_core, cause),
	[FAKE_CR_STATUS] = offsetof(struct fake_core, status),
	[FAKE_CR_COUNT] = offsetof(struct fake_core, count),
	[FAKE_CR_COMPARE] = offsetof(struct fake_core, compare),
};

static uint64_t *control(struct fake_core *c, uint64_t number)
{
	return (uint64_t *)(void *)((char *)c + control_at[number]);
}

static bool op_crr(struct fake_vcpu *v, const struct insn *i)
{
	if (i->imm == FAKE_CR_INDEX)
		v->core.r[i->rd] = v->host.index;
	else if (i->imm < FAKE_CR_INDEX)
		v->core.r[i->rd] = *control(&v->core, i->imm);
	else
		return fatal(v, "read of control register", i->imm);
	return true;
}

static bool op_crw(struct fake_vcpu *v, const struct insn *i)
{
	if (i->imm >= FAKE_CR_INDEX)
		return fatal(v, "write of control register", i->imm);
	*control(&v->core, i->imm) = v->core.r[i->ra];
	return true;
}

static bool op_int(struct fake_vcpu *v, const struct insn *i)
{
	if (i->imm >= FAKE_IRQS)
		return fatal(v, "software interrupt", i->imm);
	enter(v, (unsigned)i->imm);
	return true;
}

static bool op_iret(struct fake_vcpu *v, const struct insn *i)
{
	struct fake_core *c = &v->core;
	uint64_t pin = c->cause - FAKE_IRQ_PIN;

	(void)i;
	c->pc = c->epc;
	c->status = c->status & FAKE_STATUS_PIE ? FAKE_STATUS_IE : 0;
	/* A wire that is still high asks again (arch/fake/isa.h). */
	if (pin < FAKE_PINS &&
	    atomic_load(&fake_vm_of_vcpu(v)->pins) >> pin & 1)
		fake_raise(&fake_vm_of_vcpu(v)->vcpu[0], (unsigned)c->cause);
	return true;
}

static uint64_t cpu_on(struct fake_vm *vm, const struct fake_core *c)
{
	struct fake_vcpu *v;
	uint64_t result = FAKE_CPU_ON_ALREADY;

	if (c->r[1] >= vm->cfg.vcpu_count)
		return FAKE_CPU_ON_INVALID;
	v = &vm->vcpu[c->r[1]];
	pthread_mutex_lock(&vm->lock);
	if (!v->started) {
		v->started = v->start = true;
		v->start_pc = c->r[2];
		v->start_arg = c->r[3];
		result = FAKE_CPU_ON_OK;
	}
	pthread_mutex_unlock(&vm->lock);
	fake_wake(v);
	return result;
}

static bool op_hvc(struct fake_vcpu *v, const struct insn *i)
{
	switch (i->imm) {
	case FAKE_HVC_POWEROFF:
		return leave(v, HOST_POWEROFF);
	case FAKE_HVC_RESET:
		return leave(v, HOST_RESET);
	case FAKE_HVC_CPU_ON:
		v->core.r[0] = cpu_on(fake_vm_of_vcpu(v), &v->core);
		return true;
	default:
		return fatal(v, "hypercall", i->imm);
	}
}

static bool op_brk(struct fake_vcpu *v, const struct insn *i)
{
	(void)i;
	return leave(v, HOST_DEBUG);
}

static bool op_halt(struct fake_vcpu *v, const struct insn *i)
{
	(void)i;
	v->core.power = FAKE_POWER_HALTED;
	return true;
}

static const insn_fn operations[FAKE_OPS] = {
	[FAKE_OP_LI] = op_li,	    [FAKE_OP_LIH] = op_lih,
	[FAKE_OP_ADD] = op_add,	    [FAKE_OP_SUB] = op_sub,
	[FAKE_OP_AND] = op_and,	    [FAKE_OP_ADDI] = op_addi,
	[FAKE_OP_ANDI] = op_andi,   [FAKE_OP_LOAD] = op_load,
	[FAKE_OP_STORE] = op_store, [FAKE_OP_IN] = op_in,
	[FAKE_OP_OUT] = op_out,	    [FAKE_OP_JMP] = op_jmp,
	[FAKE_OP_BZ] = op_bz,	    [FAKE_OP_BNZ] = op_bnz,
	[FAKE_OP_BLT] = op_blt,	    [FAKE_OP_CALL] = op_call,
	[FAKE_OP_JR] = op_jr,	    [FAKE_OP_CRR] = op_crr,
	[FAKE_OP_CRW] = op_crw,	    [FAKE_OP_WFI] = op_wfi,
	[FAKE_OP_INT] = op_int,	    [FAKE_OP_IRET] = op_iret,
	[FAKE_OP_HVC] = op_hvc,	    [FAKE_OP_BRK] = op_brk,
	[FAKE_OP_HALT] = op_halt,
};

/* ---- running ---- */

static struct insn decode(uint64_t word)
{
	return (struct insn){
		.rd = word >> 8 & 15,
		.ra = word >> 12 & 15,
		.rb = word >> 16 & 15,
		.size = 1u << (word >> 20 & 15),
		.imm = (uint64_t)(int32_t)(word >> 32),
	};
}

static bool step(struct fake_vcpu *v)
{
	uint64_t word = 0;
	struct insn i;
	unsigned op;

	if (v->core.pc % FAKE_INSN_BYTES ||
	    !fake_ram_load(fake_vm_of_vcpu(v), v->core.pc, FAKE_INSN_BYTES,
			   &word))
		return fatal(v, "fetch from", v->core.pc);
	op = word & 0xff;
	i = decode(word);
	if (op >= FAKE_OPS || !operations[op] || i.size > 8 ||
	    (word >> 24 & 0xff))
		return fatal(v, "illegal instruction", word);
	v->core.pc += FAKE_INSN_BYTES;
	v->core.count++;
	return operations[op](v, &i);
}

void fake_start_take(struct fake_vcpu *v)
{
	struct fake_vm *vm = fake_vm_of_vcpu(v);

	pthread_mutex_lock(&vm->lock);
	if (v->start) {
		v->start = false;
		v->core.pc = v->start_pc;
		v->core.r[1] = v->start_arg;
		v->core.power = FAKE_POWER_ON;
	}
	pthread_mutex_unlock(&vm->lock);
}

/* A vCPU that does not execute: end, wait, or go on if it may. A kick leaves
 * it as it is, and the next run() comes back here. */
static bool power_look(struct fake_vcpu *v)
{
	if (v->core.power == FAKE_POWER_HALTED)
		return leave(v, HOST_HALTED);
	if (v->core.power == FAKE_POWER_OFF)
		fake_start_take(v);
	else if (pending_first(v) < FAKE_IRQS)
		v->core.power = FAKE_POWER_ON;
	return v->core.power == FAKE_POWER_ON || wait_for_event(v);
}

/* One turn of the loop; false if run() must end with v->event. */
static bool turn(struct fake_vcpu *v)
{
	if (atomic_load(&v->kicked) && atomic_exchange(&v->kicked, false))
		return leave(v, HOST_INTERRUPTED);
	if (++v->since_poll >= fake_vm_of_vcpu(v)->poll_every) {
		v->since_poll = 0;
		fake_irqfds_look(fake_vm_of_vcpu(v));
	}
	if (v->core.power != FAKE_POWER_ON)
		return power_look(v);
	timer_look(v);
	interrupt_take(v);
	return step(v);
}

enum host_event fake_vcpu_run(struct host_vcpu *vcpu)
{
	struct fake_vcpu *v = fake_vcpu_of(vcpu);

	while (turn(v))
		;
	return v->event;
}
