/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: host_fake: a hypervisor in user space for the fake instruction set
 *
 * Implements all of struct host_ops that is not x86's or arm64's own, by
 * interpreting arch/fake programs (cpu.c), so that memory, vCPU loop,
 * interrupts, devices, reset and power-off run in unit tests on any machine.
 *
 * Threads: as vmm/host/host.h says; nothing is created here. Each vCPU runs in
 * the thread that calls vcpu_run().
 *
 * Not implemented: cpuid (x86), EOI events, breakpoints other than the BRK
 * instruction.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/base/check.h"
#include "vmm/host/fake/vm.h"

static const char *const fault_names[HOST_FAKE_FAULTS] = {
	[HOST_FAKE_VM_NEW] = "vm_new",
	[HOST_FAKE_RAM_MAP] = "ram_map",
	[HOST_FAKE_COMMIT] = "commit",
	[HOST_FAKE_ROUTE_SET] = "route_set",
	[HOST_FAKE_ROUTE_APPLY] = "route_apply",
	[HOST_FAKE_IRQFD_ADD] = "irqfd_add",
	[HOST_FAKE_DOORBELL_ADD] = "doorbell_add",
	[HOST_FAKE_STATE_PUT] = "state_put",
};

struct fake_vm *fake_vm_of(struct host_vm *vm)
{
	CHECK(vm->ops == &host_fake);
	return container_of(vm, struct fake_vm, host);
}

struct fake_vcpu *fake_vcpu_of(struct host_vcpu *vcpu)
{
	return container_of(vcpu, struct fake_vcpu, host);
}

struct fake_vm *fake_vm_of_vcpu(struct fake_vcpu *v)
{
	return container_of(v->host.vm, struct fake_vm, host);
}

/* ---- faults on demand ---- */

void host_fake_fail(struct host_vm *host, enum host_fake_fault what,
		    unsigned nth, int err)
{
	struct fake_vm *vm = fake_vm_of(host);

	pthread_mutex_lock(&vm->lock);
	vm->fault[what] = (struct fake_fault){ .left = nth, .err = err };
	pthread_mutex_unlock(&vm->lock);
}

int fake_fails(struct fake_vm *vm, enum host_fake_fault what, struct diag *d)
{
	struct fake_fault *f = &vm->fault[what];
	int err = 0;

	pthread_mutex_lock(&vm->lock);
	if (f->left && --f->left == 0)
		err = f->err;
	pthread_mutex_unlock(&vm->lock);
	return err ? diag_errno(d, err, "the fake hypervisor's %s failed",
				fault_names[what])
		   : 0;
}

/* Index in fault_names, HOST_FAKE_FAULTS if it is none. */
static unsigned fault_find(const char *name, size_t len)
{
	unsigned i = 0;

	while (i < HOST_FAKE_FAULTS &&
	       (strncmp(name, fault_names[i], len) != 0 || fault_names[i][len]))
		i++;
	return i;
}

/* One "NAME:NTH:ERRNO"; false if it does not parse. */
static bool fault_parse(struct fake_vm *vm, const char *text)
{
	size_t len = strcspn(text, ":");
	unsigned what = fault_find(text, len);
	unsigned long nth, err;
	char *end;

	if (what == HOST_FAKE_FAULTS || !text[len])
		return false;
	nth = strtoul(text + len + 1, &end, 10);
	if (*end != ':' || nth > UINT_MAX)
		return false;
	err = strtoul(end + 1, &end, 10);
	if (*end || !err || err > 4095)
		return false;
	vm->fault[what] = (struct fake_fault){ (unsigned)nth, (int)err };
	return true;
}

static int faults_from_environment(struct fake_vm *vm, struct diag *d)
{
	const char *env = getenv(HOST_FAKE_ENV);
	char copy[256], *item, *rest = copy;

	if (!env)
		return 0;
	(void)snprintf(copy, sizeof(copy), "%s", env);
	while ((item = strsep(&rest, ",")))
		if (*item && !fault_parse(vm, item))
			return diag_fail(d, EINVAL, HOST_FAKE_ENV "=%s: %s",
					 item, "must be NAME:NTH:ERRNO");
	return fake_fails(vm, HOST_FAKE_VM_NEW, d);
}

/* ---- life cycle ---- */

static int fake_probe(struct host_caps *caps, struct diag *d)
{
	(void)d;
	*caps = (struct host_caps){
		.pa_bits = FAKE_PA_BITS,
		.vcpus_recommended = FAKE_VCPUS_MAX / 2,
		.vcpus_max = FAKE_VCPUS_MAX,
		.pio_doorbell = true,
		.page_size_bytes = (uint64_t)sysconf(_SC_PAGESIZE),
	};
	return 0;
}

static void fake_vm_free(struct host_vm *host)
{
	struct fake_vm *vm;

	if (!host)
		return;
	vm = fake_vm_of(host);
	for (unsigned i = 0; i < FAKE_VCPUS_MAX; i++)
		if (vm->vcpu[i].wake_fd >= 0)
			close(vm->vcpu[i].wake_fd);
	if (vm->irqfd_epoll >= 0)
		close(vm->irqfd_epoll);
	fake_ram_release(vm);
	pthread_rwlock_destroy(&vm->map_lock);
	pthread_mutex_destroy(&vm->lock);
	free(vm);
}

static struct fake_vm *vm_alloc(const struct host_vm_config *cfg)
{
	struct fake_vm *vm = calloc(1, sizeof(*vm));

	if (!vm)
		return NULL;
	vm->host.ops = &host_fake;
	vm->cfg = *cfg;
	vm->poll_every = 64;
	vm->irqfd_epoll = -1;
	for (unsigned i = 0; i < FAKE_VCPUS_MAX; i++)
		vm->vcpu[i].wake_fd = -1;
	pthread_rwlock_init(&vm->map_lock, NULL);
	pthread_mutex_init(&vm->lock, NULL);
	return vm;
}

static int fake_vm_new(struct host_vm **out, const struct host_vm_config *cfg,
		       struct diag *d)
{
	struct fake_vm *vm;
	int err;

	if (!cfg->vcpu_count || cfg->vcpu_count > FAKE_VCPUS_MAX)
		return diag_fail(d, EINVAL, "%u vCPUs: must be 1 to %u",
				 cfg->vcpu_count, FAKE_VCPUS_MAX);
	vm = vm_alloc(cfg);
	if (!vm)
		return diag_fail(d, ENOMEM, "out of memory");
	fake_probe(&vm->host.caps, NULL);
	vm->irqfd_epoll = epoll_create1(EPOLL_CLOEXEC);
	err = vm->irqfd_epoll < 0
		      ? diag_errno(d, errno, "cannot create an epoll set")
		      : faults_from_environment(vm, d);
	if (err) {
		fake_vm_free(&vm->host);
		return err;
	}
	*out = &vm->host;
	return 0;
}

static int vcpu_make(struct fake_vm *vm, unsigned index, struct diag *d)
{
	struct fake_vcpu *v = &vm->vcpu[index];

	v->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (v->wake_fd < 0)
		return diag_errno(d, errno, "cannot create an eventfd");
	v->host.vm = &vm->host;
	v->host.index = index;
	v->started = index == 0;
	v->core.power = index ? FAKE_POWER_OFF : FAKE_POWER_ON;
	return 0;
}

static int fake_commit(struct host_vm *host, struct diag *d)
{
	struct fake_vm *vm = fake_vm_of(host);
	int err = fake_fails(vm, HOST_FAKE_COMMIT, d);

	if (err)
		return err;
	if (vm->committed)
		return diag_fail(d, EBUSY, "the VM is committed already");
	for (unsigned i = 0; i < vm->cfg.vcpu_count && !err; i++)
		err = vcpu_make(vm, i, d);
	vm->committed = !err;
	return err;
}

static struct host_vcpu *fake_vcpu(struct host_vm *host, unsigned index)
{
	struct fake_vm *vm = fake_vm_of(host);

	CHECK(vm->committed && index < vm->cfg.vcpu_count);
	return &vm->vcpu[index].host;
}

/* ---- state ---- */

static int state_check(enum host_state cls, size_t size_bytes, struct diag *d)
{
	if (cls != HOST_FAKE_CORE)
		return diag_fail(d, ENOTSUP,
				 "vCPU state class %d is not fake's", (int)cls);
	if (size_bytes != sizeof(struct fake_core))
		return diag_fail(d, EINVAL, "fake core state of %zu bytes",
				 size_bytes);
	return 0;
}

static int fake_state_get(struct host_vcpu *vcpu, enum host_state cls,
			  void *buf, size_t size_bytes, struct diag *d)
{
	struct fake_vcpu *v = fake_vcpu_of(vcpu);
	int err = state_check(cls, size_bytes, d);
	struct fake_core core;

	if (err)
		return err;
	fake_start_take(v);
	core = v->core;
	for (unsigned i = 0; i < ARRAY_SIZE(core.pending); i++)
		core.pending[i] = atomic_load(&v->pending[i]);
	memcpy(buf, &core, sizeof(core));
	return 0;
}

static int fake_state_put(struct host_vcpu *vcpu, enum host_state cls,
			  const void *buf, size_t size_bytes, struct diag *d)
{
	struct fake_vcpu *v = fake_vcpu_of(vcpu);
	struct fake_vm *vm = fake_vm_of_vcpu(v);
	int err = fake_fails(vm, HOST_FAKE_STATE_PUT, d);

	if (!err)
		err = state_check(cls, size_bytes, d);
	if (err)
		return err;
	memcpy(&v->core, buf, sizeof(v->core));
	for (unsigned i = 0; i < ARRAY_SIZE(v->core.pending); i++)
		atomic_store(&v->pending[i], v->core.pending[i]);
	pthread_mutex_lock(&vm->lock);
	v->start = false;
	v->started = v->core.power != FAKE_POWER_OFF;
	pthread_mutex_unlock(&vm->lock);
	return 0;
}

/* ---- for tests ---- */

void host_fake_poll_every(struct host_vm *host, unsigned instructions)
{
	fake_vm_of(host)->poll_every = instructions;
}

void host_fake_poll(struct host_vm *host)
{
	fake_irqfds_look(fake_vm_of(host));
}

bool host_fake_pending(struct host_vm *host, unsigned index, unsigned number)
{
	struct fake_vm *vm = fake_vm_of(host);

	CHECK(index < vm->cfg.vcpu_count && number < FAKE_IRQS);
	return atomic_load(&vm->vcpu[index].pending[number / 64]) >>
		       (number % 64) &
	       1;
}

bool host_fake_pin(struct host_vm *host, unsigned pin)
{
	CHECK(pin < FAKE_PINS);
	return atomic_load(&fake_vm_of(host)->pins) >> pin & 1;
}

void host_fake_stats(struct host_vm *host, struct host_fake_stats *out)
{
	struct fake_vm *vm = fake_vm_of(host);

	memset(out, 0, sizeof(*out));
	pthread_rwlock_rdlock(&vm->map_lock);
	out->maps = vm->map_count;
	pthread_rwlock_unlock(&vm->map_lock);
	pthread_mutex_lock(&vm->lock);
	for (unsigned i = 0; i < FAKE_ROUTES_MAX; i++)
		out->routes += vm->applied[i].used;
	out->irqfds = vm->irqfd_count;
	out->doorbells = vm->doorbell_count;
	out->dropped = vm->dropped;
	out->doorbell_rings = vm->rings;
	pthread_mutex_unlock(&vm->lock);
}

const struct host_ops host_fake = {
	.name = "fake",
	.probe = fake_probe,
	.vm_new = fake_vm_new,
	.vm_free = fake_vm_free,
	.ram_map = fake_ram_map,
	.ram_unmap = fake_ram_unmap,
	.commit = fake_commit,
	.vcpu = fake_vcpu,
	.vcpu_run = fake_vcpu_run,
	.vcpu_kick = fake_vcpu_kick,
	.state_get = fake_state_get,
	.state_put = fake_state_put,
	.msi_route_set = fake_route_set,
	.msi_route_clear = fake_route_clear,
	.msi_route_apply = fake_route_apply,
	.irqfd_add = fake_irqfd_add,
	.irqfd_del = fake_irqfd_del,
	.msi_send = fake_msi_send,
	.irq_pin = fake_irq_pin,
	.doorbell_add = fake_doorbell_add,
	.doorbell_del = fake_doorbell_del,
	.dirty_start = fake_dirty_start,
	.dirty_take = fake_dirty_take,
	.dirty_stop = fake_dirty_stop,
};
