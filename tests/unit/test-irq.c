/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: wires and MSI routes on the fake hypervisor: masking, pending bits,
 * failures of the hypervisor, rebinding after a reset
 *
 * Runs under ThreadSanitizer too.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "arch/fake/isa.h"
#include "vmm/host/fake/fake.h"
#include "vmm/irq.h"

#include "tests/unit/suite.h"

#define VECTOR 140
#define OTHER  150

static const struct msi_message message = { FAKE_MSI_GPA, VECTOR, 8 };
static const struct msi_message other = { FAKE_MSI_GPA + FAKE_MSI_STRIDE, OTHER,
					  8 };

struct rig {
	struct irqchip chip;
	struct host_vm *vm;
	struct msi msi;
};

static struct host_vm *new_vm(void)
{
	struct host_vm_config cfg = { .vcpu_count = 2 };
	struct diag d = DIAG_INIT;
	struct host_vm *vm;

	ck_assert_int_eq(host_fake.vm_new(&vm, &cfg, &d), 0);
	ck_assert_int_eq(host_fake.commit(vm, &d), 0);
	return vm;
}

static void rig_init(struct rig *r)
{
	struct diag d = DIAG_INIT;

	irqchip_init(&r->chip, FAKE_GSI_FIRST);
	r->vm = new_vm();
	r->chip.vm = r->vm;
	ck_assert_int_eq(msi_init(&r->msi, &r->chip, &d), 0);
}

static void rig_release(struct rig *r)
{
	struct host_fake_stats stats;

	msi_release(&r->msi);
	host_fake_stats(r->vm, &stats);
	ck_assert_uint_eq(stats.irqfds, 0);
	host_fake.vm_free(r->vm);
	irqchip_release(&r->chip);
}

static bool arrived(struct rig *r, unsigned vcpu, unsigned number)
{
	host_fake_poll(r->vm);
	return host_fake_pending(r->vm, vcpu, number);
}

/* Forget what is pending on both vCPUs. */
static void acknowledge(struct rig *r)
{
	struct fake_core core = { 0 };
	struct diag d = DIAG_INIT;

	for (unsigned i = 0; i < 2; i++)
		ck_assert_int_eq(host_fake.state_put(host_fake.vcpu(r->vm, i),
						     HOST_FAKE_CORE, &core,
						     sizeof(core), &d),
				 0);
}

/* ---- wires -------------------------------------------------------------- */

struct wire_log {
	uint32_t pin[4];
	bool level[4];
	unsigned count;
};

static void log_set(void *opaque, uint32_t pin, bool level)
{
	struct wire_log *log = opaque;

	log->pin[log->count] = pin;
	log->level[log->count++] = level;
}

START_TEST(test_wires)
{
	struct wire_log log = { .count = 0 };
	struct irq_sink sink = { .set = log_set, .opaque = &log };
	struct irq_wire wire = { .sink = &sink, .pin = 9 }, loose = { 0 };

	irq_set(&loose, true); /* not connected: nothing happens */
	irq_pulse(&loose);
	irq_set(&wire, true);
	irq_set(&wire, false);
	irq_pulse(&wire);
	ck_assert_uint_eq(log.count, 4);
	for (unsigned i = 0; i < 4; i++) {
		ck_assert_uint_eq(log.pin[i], 9);
		ck_assert_int_eq(log.level[i], i % 2 == 0);
	}
}
END_TEST

/* ---- route numbers ------------------------------------------------------ */

START_TEST(test_numbers)
{
	struct diag d = DIAG_INIT;
	struct msi a, b, c;
	struct rig r;

	rig_init(&r);
	ck_assert_uint_eq(r.msi.gsi, FAKE_GSI_FIRST);
	ck_assert_int_eq(msi_init(&a, &r.chip, &d), 0);
	ck_assert_int_eq(msi_init(&b, &r.chip, &d), 0);
	ck_assert_uint_ne(a.gsi, b.gsi);
	ck_assert_uint_ne(a.gsi, r.msi.gsi);
	ck_assert_int_ne(a.fd, b.fd);
	msi_release(&a);
	ck_assert_int_eq(a.fd, -1);
	ck_assert_int_eq(msi_init(&c, &r.chip, &d), 0); /* used again */
	ck_assert_uint_lt(c.gsi, b.gsi);
	msi_release(&c);
	msi_release(&b);
	msi_release(&b); /* accepted twice, and zeroed */
	memset(&b, 0, sizeof(b));
	msi_release(&b);
	rig_release(&r);
}
END_TEST

START_TEST(test_all_taken)
{
	struct diag d = DIAG_INIT;
	struct msi last, none = { .fd = 77 };
	struct rig r;

	rig_init(&r);
	memset(r.chip.gsi_used, 0xff, sizeof(r.chip.gsi_used));
	r.chip.gsi_used[63] &= ~(1ULL << 63);
	ck_assert_int_eq(msi_init(&last, &r.chip, &d), 0);
	ck_assert_uint_eq(last.gsi, 4095);
	ck_assert_int_eq(msi_init(&none, &r.chip, &d), -ENOSPC);
	ck_assert_int_eq(none.fd, 77); /* outputs untouched */
	ck_assert_uint_eq(d.depth, 1);
	/* The last route works like any other. */
	ck_assert_int_eq(msi_set(&last, &message, true), 0);
	msi_fire(&last);
	ck_assert(arrived(&r, 0, VECTOR));
	msi_release(&last);
	rig_release(&r);
}
END_TEST

START_TEST(test_no_descriptors)
{
	struct rlimit limit, none;
	struct diag d = DIAG_INIT;
	uint64_t before[64];
	struct msi msi;
	struct rig r;

	rig_init(&r);
	memcpy(before, r.chip.gsi_used, sizeof(before));
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = (struct rlimit){ .rlim_cur = 0, .rlim_max = limit.rlim_max };
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	ck_assert_int_eq(msi_init(&msi, &r.chip, &d), -EMFILE);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	ck_assert_mem_eq(before, r.chip.gsi_used, sizeof(before));
	rig_release(&r);
}
END_TEST

/* ---- masking and pending bits ------------------------------------------- */

START_TEST(test_fresh_is_masked)
{
	struct rig r;

	rig_init(&r);
	ck_assert(!msi_pending(&r.msi));
	msi_fire(&r.msi);
	ck_assert(msi_pending(&r.msi));
	ck_assert(!arrived(&r, 0, VECTOR));
	ck_assert(msi_pending(&r.msi)); /* looking does not take it */
	rig_release(&r);
}
END_TEST

START_TEST(test_fire)
{
	struct rig r;

	rig_init(&r);
	ck_assert_int_eq(msi_set(&r.msi, &message, true), 0);
	ck_assert(!arrived(&r, 0, VECTOR));
	msi_fire(&r.msi);
	ck_assert(!msi_pending(&r.msi)); /* on its way is not pending */
	ck_assert(arrived(&r, 0, VECTOR));
	acknowledge(&r);
	ck_assert(!arrived(&r, 0, VECTOR));
	msi_fire(&r.msi);
	ck_assert(arrived(&r, 0, VECTOR));
	rig_release(&r);
}
END_TEST

START_TEST(test_masked_fires_once_when_unmasked)
{
	struct rig r;

	rig_init(&r);
	ck_assert_int_eq(msi_set(&r.msi, &message, true), 0);
	ck_assert_int_eq(msi_set(&r.msi, &message, false), 0);
	for (unsigned i = 0; i < 5; i++)
		msi_fire(&r.msi);
	ck_assert(msi_pending(&r.msi));
	ck_assert(!arrived(&r, 0, VECTOR));
	ck_assert_int_eq(msi_set(&r.msi, &message, true), 0);
	ck_assert(arrived(&r, 0, VECTOR));
	ck_assert(!msi_pending(&r.msi));
	acknowledge(&r);
	ck_assert(!arrived(&r, 0, VECTOR)); /* five became one */
	rig_release(&r);
}
END_TEST

START_TEST(test_message_changed_while_masked)
{
	struct rig r;

	rig_init(&r);
	ck_assert_int_eq(msi_set(&r.msi, &message, true), 0);
	ck_assert_int_eq(msi_set(&r.msi, &message, false), 0);
	msi_fire(&r.msi);
	ck_assert_int_eq(msi_set(&r.msi, &other, false), 0);
	ck_assert(msi_pending(&r.msi)); /* survives */
	ck_assert(!arrived(&r, 1, OTHER));
	ck_assert_int_eq(msi_set(&r.msi, &other, true), 0);
	ck_assert(arrived(&r, 1, OTHER));
	ck_assert(!arrived(&r, 0, VECTOR));
	rig_release(&r);
}
END_TEST

START_TEST(test_message_changed_while_live)
{
	struct host_fake_stats stats;
	struct rig r;

	rig_init(&r);
	ck_assert_int_eq(msi_set(&r.msi, &message, true), 0);
	msi_fire(&r.msi); /* fired before the change: the old target */
	ck_assert_int_eq(msi_set(&r.msi, &other, true), 0);
	ck_assert(arrived(&r, 0, VECTOR));
	ck_assert(!arrived(&r, 1, OTHER));
	msi_fire(&r.msi);
	ck_assert(arrived(&r, 1, OTHER));
	host_fake_stats(r.vm, &stats);
	ck_assert_uint_eq(stats.irqfds, 1);
	ck_assert_uint_eq(stats.dropped, 0);
	rig_release(&r);
}
END_TEST

/* Guests rewrite unchanged vectors all the time: the hypervisor's table is
 * expensive to change and must not be touched for that. */
START_TEST(test_same_message_costs_nothing)
{
	struct rig r;

	rig_init(&r);
	ck_assert_int_eq(msi_set(&r.msi, &message, false), 0);
	host_fake_fail(r.vm, HOST_FAKE_ROUTE_APPLY, 2, EIO);
	ck_assert_int_eq(msi_set(&r.msi, &message, true), 0);
	ck_assert_int_eq(msi_set(&r.msi, &message, true), 0);
	ck_assert_int_eq(msi_set(&r.msi, &message, true), 0);
	ck_assert_int_eq(msi_set(&r.msi, &other, true), -EIO);
	rig_release(&r);
}
END_TEST

/* ---- the hypervisor refuses --------------------------------------------- */

static const enum host_fake_fault refusals[] = { HOST_FAKE_ROUTE_SET,
						 HOST_FAKE_ROUTE_APPLY,
						 HOST_FAKE_IRQFD_ADD };

START_TEST(test_refused_when_enabled)
{
	struct host_fake_stats stats;
	struct rig r;

	rig_init(&r);
	msi_fire(&r.msi);
	host_fake_fail(r.vm, refusals[_i], 1, ENOMEM);
	ck_assert_int_eq(msi_set(&r.msi, &message, true), -ENOMEM);
	ck_assert(!r.msi.live);
	ck_assert(msi_pending(&r.msi)); /* masked, nothing lost */
	host_fake_stats(r.vm, &stats);
	ck_assert_uint_eq(stats.irqfds, 0);
	ck_assert_int_eq(msi_set(&r.msi, &message, true), 0);
	ck_assert(arrived(&r, 0, VECTOR));
	rig_release(&r);
}
END_TEST

START_TEST(test_refused_when_changed)
{
	struct host_fake_stats stats;
	struct rig r;

	rig_init(&r);
	ck_assert_int_eq(msi_set(&r.msi, &message, true), 0);
	host_fake_fail(r.vm, refusals[_i], 1, ENOMEM);
	ck_assert_int_eq(msi_set(&r.msi, &other, true), -ENOMEM);
	ck_assert(!r.msi.live);
	host_fake_stats(r.vm, &stats);
	ck_assert_uint_eq(stats.irqfds, 0);
	msi_fire(&r.msi);
	ck_assert(msi_pending(&r.msi));
	ck_assert(!arrived(&r, 0, VECTOR));
	ck_assert_int_eq(msi_set(&r.msi, &other, true), 0);
	ck_assert(arrived(&r, 1, OTHER));
	rig_release(&r);
}
END_TEST

/* A refused or masked vector leaves no route behind once others change. */
START_TEST(test_no_routes_left)
{
	struct host_fake_stats stats;
	struct diag d = DIAG_INIT;
	struct msi second;
	struct rig r;

	rig_init(&r);
	ck_assert_int_eq(msi_init(&second, &r.chip, &d), 0);
	if (_i) {
		host_fake_fail(r.vm, HOST_FAKE_IRQFD_ADD, 1, ENOMEM);
		ck_assert_int_eq(msi_set(&r.msi, &message, true), -ENOMEM);
	} else {
		ck_assert_int_eq(msi_set(&r.msi, &message, true), 0);
		ck_assert_int_eq(msi_set(&r.msi, &message, false), 0);
	}
	ck_assert_int_eq(msi_set(&second, &other, true), 0);
	host_fake_stats(r.vm, &stats);
	ck_assert_uint_eq(stats.routes, 1);
	msi_release(&second);
	rig_release(&r);
}
END_TEST

/* ---- without a VM, and a new one ---------------------------------------- */

START_TEST(test_rebind)
{
	bool was_live = _i & 1, fired = _i & 2;
	struct rig r;

	rig_init(&r);
	ck_assert_int_eq(msi_set(&r.msi, &message, was_live), 0);
	if (fired)
		msi_fire(&r.msi);
	r.chip.vm = NULL;
	host_fake.vm_free(r.vm);
	r.vm = new_vm();
	r.chip.vm = r.vm;
	ck_assert_int_eq(msi_rebind(&r.msi), 0);
	ck_assert(!r.msi.live);
	ck_assert(!msi_pending(&r.msi)); /* from before the reset */
	ck_assert_int_eq(msi_set(&r.msi, &message, true), 0);
	ck_assert(!arrived(&r, 0, VECTOR));
	msi_fire(&r.msi);
	ck_assert(arrived(&r, 0, VECTOR));
	rig_release(&r);
}
END_TEST

/* Another program may have cleared O_NONBLOCK, and written to it. */
START_TEST(test_blocking)
{
	uint64_t most = UINT64_MAX - 1;
	struct rig r;

	rig_init(&r);
	r.msi.shared = true;
	ck_assert_int_eq(fcntl(r.msi.fd, F_SETFL, 0), 0);
	ck_assert_int_eq(msi_rebind(&r.msi), 0);
	ck_assert_int_eq(write(r.msi.fd, &most, sizeof(most)), sizeof(most));
	msi_fire(&r.msi);
	ck_assert(msi_pending(&r.msi));
	ck_assert_int_eq(msi_set(&r.msi, &message, true), 0);
	ck_assert(arrived(&r, 0, VECTOR));
	rig_release(&r);
}
END_TEST

START_TEST(test_without_vm)
{
	struct diag d = DIAG_INIT;
	struct irqchip chip;
	struct msi msi;

	irqchip_init(&chip, 0);
	ck_assert_int_eq(msi_init(&msi, &chip, &d), 0);
	ck_assert_uint_eq(msi.gsi, 0);
	ck_assert_int_eq(msi_set(&msi, &message, true), 0);
	msi_fire(&msi);
	ck_assert_int_eq(msi_set(&msi, &message, false), 0);
	ck_assert_int_eq(msi_rebind(&msi), 0);
	msi_release(&msi);
	irqchip_release(&chip);
}
END_TEST

/* ---- threads ------------------------------------------------------------ */

#define ROUNDS 100

struct firing {
	struct msi *msi;
	atomic_uint go, done;
};

static void *fire_main(void *arg)
{
	struct firing *f = arg;

	for (unsigned i = 1; i <= ROUNDS; i++) {
		while (atomic_load(&f->go) < i)
			sched_yield();
		msi_fire(f->msi);
		atomic_store(&f->done, i);
	}
	return NULL;
}

/* A device fires while the guest masks and unmasks: it arrives, whenever. */
START_TEST(test_fire_beside_masking)
{
	struct firing f = { 0 };
	pthread_t thread;
	struct rig r;

	rig_init(&r);
	f.msi = &r.msi;
	ck_assert_int_eq(pthread_create(&thread, NULL, fire_main, &f), 0);
	for (unsigned i = 1; i <= ROUNDS; i++) {
		atomic_store(&f.go, i);
		for (unsigned k = 0; k < 8 || atomic_load(&f.done) < i; k++)
			ck_assert_int_eq(msi_set(&r.msi, &message, k & 1), 0);
		ck_assert_int_eq(msi_set(&r.msi, &message, true), 0);
		ck_assert(arrived(&r, 0, VECTOR));
		acknowledge(&r);
	}
	pthread_join(thread, NULL);
	rig_release(&r);
}
END_TEST

struct allocating {
	struct irqchip *chip;
	unsigned failures;
};

static void *allocate_main(void *arg)
{
	struct allocating *a = arg;
	struct diag d = DIAG_INIT;
	struct msi msi[8];

	for (unsigned n = 0; n < 50; n++) {
		for (unsigned i = 0; i < 8; i++)
			a->failures += msi_init(&msi[i], a->chip, &d) ||
				       msi_set(&msi[i], &message, true);
		for (unsigned i = 0; i < 8; i++)
			msi_release(&msi[i]);
	}
	return NULL;
}

START_TEST(test_allocating_threads)
{
	struct allocating a[3];
	pthread_t thread[3];
	uint64_t used = 0;
	struct rig r;

	rig_init(&r);
	for (unsigned i = 0; i < 3; i++) {
		a[i] = (struct allocating){ .chip = &r.chip };
		ck_assert_int_eq(
			pthread_create(&thread[i], NULL, allocate_main, &a[i]),
			0);
	}
	for (unsigned i = 0; i < 3; i++) {
		pthread_join(thread[i], NULL);
		ck_assert_uint_eq(a[i].failures, 0);
	}
	for (unsigned i = 0; i < 64; i++)
		used += (unsigned)__builtin_popcountll(r.chip.gsi_used[i]);
	ck_assert_uint_eq(used, 1); /* the rig's own */
	rig_release(&r);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("irq");
	TCase *t = tcase_create("irq");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_wires);
	tcase_add_test(t, test_numbers);
	tcase_add_test(t, test_all_taken);
	tcase_add_test(t, test_no_descriptors);
	tcase_add_test(t, test_fresh_is_masked);
	tcase_add_test(t, test_fire);
	tcase_add_test(t, test_masked_fires_once_when_unmasked);
	tcase_add_test(t, test_message_changed_while_masked);
	tcase_add_test(t, test_message_changed_while_live);
	tcase_add_test(t, test_same_message_costs_nothing);
	tcase_add_loop_test(t, test_refused_when_enabled, 0, 3);
	tcase_add_loop_test(t, test_refused_when_changed, 0, 2);
	tcase_add_loop_test(t, test_no_routes_left, 0, 2);
	tcase_add_loop_test(t, test_rebind, 0, 4);
	tcase_add_test(t, test_blocking);
	tcase_add_test(t, test_without_vm);
	tcase_add_test(t, test_fire_beside_masking);
	tcase_add_test(t, test_allocating_threads);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return suite_run(suite());
}
