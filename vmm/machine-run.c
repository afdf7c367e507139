/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: running a machine, see machine.h
 *
 * Whatever ends or restarts the guest is a wish (enum machine_want): a bit
 * set by any thread, which stops the vCPUs and wakes the main thread. The
 * main thread then joins the vCPU threads and acts, so every change to the
 * machine happens on one thread while no vCPU runs.
 *
 * Reset = a new VM from the same platform description. RAM is given back to
 * the host and reads as zero again; the guest's files are loaded again.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "vmm/base/eventfd.h"
#include "vmm/base/log.h"
#include "vmm/boot-disk.h"
#include "vmm/footprint.h"
#include "vmm/fw-cfg.h"
#include "vmm/machine-internal.h"

/* How long a guest may take to power off after the power button. */
#define TERM_GRACE_NS (10ULL * 1000000000)

/* Short-lived guests do without: their start is not to pay for it. */
#define TRIM_NS 1000000000ULL

/* ---- wishes ------------------------------------------------------------- */

void machine_want(struct machine *m, unsigned want)
{
	atomic_fetch_or(&m->requested, want);
	eventfd_add(m->wake.fd, false);
}

void machine_requested(void *machine, enum machine_request what)
{
	static const unsigned want[] = {
		[MACHINE_RESET] = WANT_RESET,
		[MACHINE_POWEROFF] = WANT_POWEROFF,
		[MACHINE_PANIC] = WANT_PANIC,
	};
	struct machine *m = machine;

	machine_want(m, want[what]);
	vcpus_stop(&m->vcpus);
}

void machine_signal(struct machine *m)
{
	machine_want(m, atomic_load(&m->requested) & WANT_SIGNAL ? WANT_END
								 : WANT_SIGNAL);
}

/* ---- vCPU events -------------------------------------------------------- */

static void vcpu_failed(struct machine *m, const char *why)
{
	pthread_mutex_lock(&m->why_lock);
	if (!m->why[0])
		snprintf(m->why, sizeof(m->why), "%s", why);
	pthread_mutex_unlock(&m->why_lock);
	machine_want(m, WANT_FATAL);
}

static void on_event(void *opaque, struct host_vcpu *vcpu,
		     enum host_event event)
{
	struct machine *m = opaque;

	switch (event) {
	case HOST_RESET:
		machine_want(m, WANT_RESET);
		break;
	case HOST_POWEROFF:
		machine_want(m, WANT_POWEROFF);
		break;
	case HOST_HALTED:
		vcpu_failed(m, "a vCPU halted with interrupts off and nothing "
			       "to wake it");
		break;
	case HOST_DEBUG:
		vcpu_failed(m, "a vCPU hit a breakpoint without a debugger");
		break;
	case HOST_FATAL:
		vcpu_failed(m, vcpu->why);
		break;
	case HOST_INTERRUPTED:
	case HOST_EOI:
		return;
	}
	vcpus_stop(&m->vcpus);
}

static void on_eoi(void *opaque, uint8_t vector)
{
	struct machine *m = opaque;

	m->arch->eoi(m->ic, vector);
}

/* ---- VM ----------------------------------------------------------------- */

static int map_all(struct machine *m, const struct guest_ram *ram,
		   unsigned flags, struct diag *d)
{
	int err = 0;

	for (unsigned i = 0; i < ram->region_count && !err; i++)
		err = m->host->ram_map(m->vm, ram->region[i].gpa,
				       ram->region[i].host,
				       ram->region[i].size_bytes, flags, d);
	return err;
}

static int build_vm(struct machine *m, struct diag *d)
{
	struct host_vm_config hc = {
		.vcpu_count = m->platform.cpu_enabled,
		.mmio = m->mmio,
		.pio = m->pio,
		.caps = &m->caps,
	};
	int err = m->arch->host_config(&m->platform, &hc, d);

	if (!err)
		err = m->host->vm_new(&m->vm, &hc, d);
	if (!err)
		err = map_all(m, &m->ram, 0, d);
	if (!err)
		err = map_all(m, &m->rom, RAM_READ_ONLY, d);
	if (!err)
		err = m->host->commit(m->vm, d);
	if (err)
		return err;
	m->irqchip.vm = m->vm;
	m->doorbells.vm = m->vm;
	overlays_attach(&m->overlays, m->vm);
	return 0;
}

static void drop_vm(struct machine *m)
{
	m->irqchip.vm = NULL;
	m->doorbells.vm = NULL;
	overlays_attach(&m->overlays, NULL);
	m->host->vm_free(m->vm);
	m->vm = NULL;
}

/* Power-on state: devices, guest files, vCPUs. */
static int power_on(struct machine *m, struct diag *d)
{
	int err;

	m->arch->irqchip_reset(m->ic);
	for (unsigned i = 0; i < m->device_count; i++)
		if (m->device[i]->cls->reset)
			m->device[i]->cls->reset(m->device[i]);
	if (m->fw_cfg)
		fw_cfg_clear(m->fw_cfg);
	err = m->arch->load(&m->boot, &m->ram, &m->platform, &m->payload, d);
	for (unsigned i = 0; i < m->platform.cpu_enabled && !err; i++)
		err = m->arch->vcpu_reset(m->host->vcpu(m->vm, i), &m->platform,
					  &m->boot, d);
	return err;
}

static int start_vcpus(struct machine *m, struct diag *d)
{
	struct vcpu_hooks hooks = { .event = on_event, .opaque = m };

	if (m->arch->eoi)
		hooks.eoi = on_eoi;
	return vcpus_start(&m->vcpus, m->vm, m->platform.cpu_enabled, &hooks,
			   d);
}

static int reset(struct machine *m, struct diag *d)
{
	int err;

	/* A guest may do so for ever: the 1st, 2nd, 4th, 8th … time is said. */
	if (is_pow2(++m->resets))
		log_info("the guest resets the machine (%llu so far)",
			 (unsigned long long)m->resets);
	drop_vm(m);
	err = ram_clear(&m->ram, d);
	if (!err)
		err = build_vm(m, d);
	if (!err)
		err = power_on(m, d);
	return err ? diag_fail(d, -err, "cannot reset the machine") : 0;
}

/* ---- main thread -------------------------------------------------------- */

static void press_power_button(struct machine *m)
{
	for (unsigned i = 0; i < m->device_count; i++)
		if (m->device[i]->cls->power_button)
			m->device[i]->cls->power_button(m->device[i]);
}

static void on_wake(void *opaque, uint32_t events)
{
	struct machine *m = opaque;
	unsigned want;

	(void)events;
	if (eventfd_take(m->wake.fd))
		return;
	want = atomic_load(&m->requested);
	if (want & ~(unsigned)WANT_SIGNAL) {
		event_loop_stop(m->loop);
		return;
	}
	/* A wish that a reset has granted already woke us once more. */
	if (!want)
		return;
	log_info("asked to end: pressing the power button");
	press_power_button(m);
	event_timer_set(&m->term_timer, TERM_GRACE_NS, 0);
}

static void on_term_timeout(void *opaque)
{
	struct machine *m = opaque;

	log_warn("the guest did not power off within %llu s: ending it",
		 TERM_GRACE_NS / 1000000000);
	machine_want(m, WANT_END);
}

/* What the wishes amount to. Return: true to run on (after a reset). */
static bool decide(struct machine *m, enum machine_end *end, int *err,
		   struct diag *d)
{
	unsigned want = atomic_fetch_and(&m->requested, WANT_SIGNAL);

	if (want & WANT_FATAL) {
		*err = diag_fail(d, EIO, "the guest cannot go on: %s", m->why);
		return false;
	}
	if (want & WANT_PANIC) {
		log_error("the guest reports a kernel panic");
		*end = MACHINE_ENDED_PANIC;
		return false;
	}
	if (want & WANT_POWEROFF) {
		*end = MACHINE_ENDED_POWEROFF;
		return false;
	}
	/* A guest that reboots because it was asked to end has ended. */
	if (want & (WANT_END | WANT_SIGNAL)) {
		*end = MACHINE_ENDED_TERMINATED;
		return false;
	}
	*err = reset(m, d);
	return !*err;
}

static void on_trim(void *opaque)
{
	(void)opaque;
	footprint_trim();
}

static int run_loop(struct machine *m, enum machine_end *end, struct diag *d)
{
	int err;

	do {
		err = start_vcpus(m, d);
		if (err)
			return err;
		event_loop_run(m->loop);
		vcpus_join(&m->vcpus);
	} while (decide(m, end, &err, d));
	return err;
}

/* Nothing can fail any more but the guest. */
static void begin(struct machine *m)
{
	m->env.begun = true;
	chardev_begin(m->serial);
	chardev_begin(m->console);
	chardev_begin(m->debug_console);
	for (unsigned i = 0; i < ARRAY_SIZE(m->console_port); i++)
		chardev_begin(m->console_port[i]);
}

int machine_run(struct machine *m, enum machine_end *end, struct diag *d)
{
	int err = build_vm(m, d);

	if (!err)
		err = power_on(m, d);
	if (err)
		return err;
	log_debug("%s: %u vCPUs, entry at 0x%llx", m->host->name,
		  m->platform.cpu_enabled, (unsigned long long)m->boot.entry.v);
	boot_disk_advise(m->cfg);
	m->wake.ready = on_wake;
	m->wake.opaque = m;
	err = event_timer_init(&m->term_timer, m->loop, on_term_timeout, m);
	if (!err)
		err = event_timer_init(&m->trim_timer, m->loop, on_trim, m);
	if (!err)
		err = event_add(m->loop, &m->wake, EPOLLIN);
	if (err)
		return diag_errno(d, -err, "cannot watch the machine");
	begin(m);
	event_timer_set(&m->trim_timer, TRIM_NS, 0);
	err = run_loop(m, end, d);
	event_del(m->loop, &m->wake);
	event_timer_release(&m->trim_timer);
	event_timer_release(&m->term_timer);
	return err;
}

/* ---- as a program ------------------------------------------------------- */

struct signals {
	struct event_source source;
	struct machine *m;
};

static void on_signal(void *opaque, uint32_t events)
{
	struct signals *s = opaque;
	struct signalfd_siginfo info;

	(void)events;
	if (read(s->source.fd, &info, sizeof(info)) == sizeof(info))
		machine_signal(s->m);
}

static int run_with_signals(struct machine *m, enum machine_end *end,
			    struct diag *d)
{
	struct signals s = { .source = { .ready = on_signal, .opaque = &s },
			     .m = m };
	int err = event_signals(m->loop, &s.source, d);

	if (err)
		return err;
	err = machine_run(m, end, d);
	event_signals_end(m->loop, &s.source);
	return err;
}

int machine_main(const struct vm_config *cfg, enum machine_end *end,
		 struct diag *d)
{
	const struct arch *arch = arch_native();
	const struct host_ops *host;
	struct host_caps caps;
	struct machine *m;
	int err;

	host = host_select(cfg->hypervisor, &caps, d);
	if (!host)
		return -ENODEV;
	if (!strcmp(host->name, "fake"))
		arch = arch_find("fake");
	err = machine_new(&m, cfg, arch, host, &caps, d);
	if (err)
		return err;
	err = run_with_signals(m, end, d);
	machine_free(m);
	return err;
}
