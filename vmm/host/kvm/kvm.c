/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: the KVM back end, what all architectures share
 *
 * Specification: Documentation/virt/kvm/api.rst (section numbers below).
 *
 * Order: memory slots first, then the interrupt controller, then vCPUs. A
 * slot that is added after the irqchip waits for an SRCU grace period, which
 * costs milliseconds.
 *
 * Kick: immediate_exit is set first, then the thread gets a signal. Whatever
 * the vCPU thread does in between, it either sees the flag on its way into
 * KVM_RUN or is interrupted inside it; so no kick is lost and no signal mask
 * juggling is needed (5, kvm_run.immediate_exit).
 *
 * Not implemented: dirty ring, coalesced MMIO.
 */
#include "vmm/host/kvm/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/check.h"
#include "vmm/file-map.h"

#define ROUTES_MAX     4096 /* KVM_MAX_IRQ_ROUTES */
#define KVM_ROUTE_FREE UINT32_MAX
#define KICK_SIGNAL    SIGRTMIN

int kvm_check(int fd, long capability)
{
	int got = ioctl(fd, KVM_CHECK_EXTENSION, capability);

	return MAX(got, 0);
}

int kvm_enable(int fd, uint32_t capability, uint64_t arg0)
{
	struct kvm_enable_cap cap = { .cap = capability, .args = { arg0 } };

	return ioctl(fd, KVM_ENABLE_CAP, &cap) < 0 ? -errno : 0;
}

/* ---- probe -------------------------------------------------------------- */

static const struct kvm_need common_needs[] = {
	{ KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY" },
	{ KVM_CAP_IRQFD, "KVM_CAP_IRQFD" },
	{ KVM_CAP_IRQ_ROUTING, "KVM_CAP_IRQ_ROUTING" },
	{ KVM_CAP_IOEVENTFD, "KVM_CAP_IOEVENTFD" },
	{ KVM_CAP_IOEVENTFD_ANY_LENGTH, "KVM_CAP_IOEVENTFD_ANY_LENGTH" },
	{ KVM_CAP_SIGNAL_MSI, "KVM_CAP_SIGNAL_MSI" },
	{ KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT" },
	{ 0, NULL },
};

static int check_needs(int fd, const struct kvm_need *need, struct diag *d)
{
	for (; need->name; need++)
		if (!kvm_check(fd, need->capability))
			return diag_fail(d, ENOSYS,
					 "this kernel's KVM lacks %s: a newer "
					 "kernel is needed",
					 need->name);
	return 0;
}

static int open_kvm(struct diag *d)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (fd >= 0)
		return fd;
	switch (errno) {
	case ENOENT:
	case ENODEV:
	case ENXIO:
		return diag_fail(
			d, ENOENT,
			"/dev/kvm is not there: load the kvm module "
			"and enable virtualisation in the firmware, or "
			"run inside an emulated server");
	case EACCES:
	case EPERM:
		return diag_fail(
			d, EACCES,
			"no permission to open /dev/kvm: add this user "
			"to the group kvm and log in again");
	default:
		return diag_errno(d, errno, "cannot open /dev/kvm");
	}
}

static int probe_fd(int fd, struct host_caps *caps, struct diag *d)
{
	int version = ioctl(fd, KVM_GET_API_VERSION, 0), err;

	if (version != KVM_API_VERSION)
		return diag_fail(d, ENOSYS,
				 "/dev/kvm speaks API version %d, not %d",
				 version, KVM_API_VERSION);
	err = check_needs(fd, common_needs, d);
	if (!err)
		err = check_needs(fd, kvm_arch_needs, d);
	if (err)
		return err;
	memset(caps, 0, sizeof(*caps));
	caps->vcpus_recommended = (unsigned)kvm_check(fd, KVM_CAP_NR_VCPUS);
	caps->vcpus_max = (unsigned)kvm_check(fd, KVM_CAP_MAX_VCPUS);
	if (!caps->vcpus_max)
		caps->vcpus_max = MAX(caps->vcpus_recommended, 4U); /* 4.4 */
	caps->page_size_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
	return kvm_arch_probe(fd, caps, d);
}

static int kvm_probe(struct host_caps *caps, struct diag *d)
{
	int fd = open_kvm(d), err;

	if (fd < 0)
		return fd;
	err = probe_fd(fd, caps, d);
	close(fd);
	return err;
}

/* ---- VM ----------------------------------------------------------------- */

static void on_kick(int signal_number)
{
	(void)signal_number;
}

/* Whoever started us may have blocked the signal; vCPU threads inherit the
 * mask of the thread that makes the VM. */
static void install_kick(void)
{
	struct sigaction sa = { .sa_handler = on_kick };

	sigemptyset(&sa.sa_mask);
	sigaction(KICK_SIGNAL, &sa, NULL);
	sigaddset(&sa.sa_mask, KICK_SIGNAL);
	pthread_sigmask(SIG_UNBLOCK, &sa.sa_mask, NULL);
}

static void vm_free(struct host_vm *base)
{
	struct kvm_vm *vm;

	if (!base)
		return;
	vm = kvm_vm_of(base);
	for (unsigned i = 0; vm->vcpu && i < vm->cfg.vcpu_count; i++) {
		if (vm->vcpu[i].run)
			munmap(vm->vcpu[i].run, vm->run_bytes);
		if (vm->vcpu[i].fd >= 0)
			close(vm->vcpu[i].fd);
	}
	kvm_arch_release(vm);
	if (vm->fd >= 0)
		close(vm->fd);
	close(vm->kvm_fd);
	pthread_mutex_destroy(&vm->slot_lock);
	free(vm->vcpu);
	free(vm->route);
	free(vm);
}

static int create_vm(struct kvm_vm *vm, struct diag *d)
{
	/* EINTR: a signal while KVM waits for other tasks (4.2). */
	do
		vm->fd = ioctl(vm->kvm_fd, KVM_CREATE_VM,
			       kvm_arch_vm_type(&vm->cfg));
	while (vm->fd < 0 && errno == EINTR);
	if (vm->fd < 0)
		return diag_errno(d, errno, "KVM cannot create a VM");
	vm->run_bytes = (size_t)ioctl(vm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	return 0;
}

static int vm_new(struct host_vm **out, const struct host_vm_config *cfg,
		  struct diag *d)
{
	struct kvm_vm *vm = calloc(1, sizeof(*vm));
	int err;

	if (!vm)
		return diag_fail(d, ENOMEM, "out of memory");
	vm->base.ops = &host_kvm;
	vm->cfg = *cfg;
	vm->fd = vm->gic_fd = vm->its_fd = -1;
	vm->kvm_fd = open_kvm(d);
	if (vm->kvm_fd < 0) {
		err = vm->kvm_fd;
		free(vm);
		return err;
	}
	pthread_mutex_init(&vm->slot_lock, NULL);
	if (cfg->caps)
		vm->base.caps = *cfg->caps;
	err = cfg->caps ? 0 : probe_fd(vm->kvm_fd, &vm->base.caps, d);
	if (!err)
		err = create_vm(vm, d);
	if (err) {
		vm_free(&vm->base);
		return err;
	}
	install_kick();
	*out = &vm->base;
	return 0;
}

static int create_vcpu(struct kvm_vm *vm, unsigned i, struct diag *d)
{
	struct kvm_vcpu *v = &vm->vcpu[i];

	v->base.vm = &vm->base;
	v->base.index = i;
	v->fd = ioctl(vm->fd, KVM_CREATE_VCPU, kvm_arch_vcpu_id(&vm->cfg, i));
	if (v->fd < 0)
		return diag_errno(d, errno,
				  "KVM cannot create vCPU %u of %u (its limit "
				  "is %u)",
				  i, vm->cfg.vcpu_count,
				  vm->base.caps.vcpus_max);
	v->run = mmap(NULL, vm->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
		      v->fd, 0);
	if (v->run == MAP_FAILED) {
		v->run = NULL;
		return diag_errno(d, errno, "cannot map vCPU %u", i);
	}
	return 0;
}

static int commit(struct host_vm *base, struct diag *d)
{
	struct kvm_vm *vm = kvm_vm_of(base);
	int err = kvm_arch_before_vcpus(vm, d);

	if (err)
		return err;
	CHECK(!vm->vcpu);
	vm->vcpu = calloc(vm->cfg.vcpu_count, sizeof(*vm->vcpu));
	if (!vm->vcpu)
		return diag_fail(d, ENOMEM, "out of memory");
	for (unsigned i = 0; i < vm->cfg.vcpu_count; i++)
		vm->vcpu[i].fd = -1;
	for (unsigned i = 0; i < vm->cfg.vcpu_count && !err; i++)
		err = create_vcpu(vm, i, d);
	return err ? err : kvm_arch_after_vcpus(vm, d);
}

static struct host_vcpu *vm_vcpu(struct host_vm *base, unsigned index)
{
	struct kvm_vm *vm = kvm_vm_of(base);

	CHECK(index < vm->cfg.vcpu_count);
	return &vm->vcpu[index].base;
}

/* ---- memory ------------------------------------------------------------- */

static int slot_update(struct kvm_vm *vm, const struct kvm_slot *s,
		       uint64_t size)
{
	struct kvm_userspace_memory_region region = {
		.slot = (uint32_t)(s - vm->slot),
		.flags = s->flags,
		.guest_phys_addr = s->gpa.v,
		.memory_size = size,
		.userspace_addr = (uintptr_t)s->host,
	};

	return ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region) < 0 ? -errno
								      : 0;
}

static struct kvm_slot *slot_at(struct kvm_vm *vm, gpa_t gpa)
{
	for (unsigned i = 0; i < RAM_REGIONS_MAX; i++)
		if (vm->slot[i].used && vm->slot[i].gpa.v == gpa.v)
			return &vm->slot[i];
	return NULL;
}

/* slot_lock held, as in the others of this section. */
static int map_locked(struct kvm_vm *vm, const struct kvm_slot *new,
		      struct diag *d)
{
	int err;

	for (unsigned i = 0; i < RAM_REGIONS_MAX; i++) {
		struct kvm_slot *s = &vm->slot[i];

		if (s->used)
			continue;
		*s = *new;
		if (vm->logging)
			s->flags |= KVM_MEM_LOG_DIRTY_PAGES;
		err = slot_update(vm, s, s->size_bytes);
		if (err)
			return diag_errno(d, -err,
					  "KVM refuses %llu MiB of RAM at "
					  "0x%llx",
					  (unsigned long long)s->size_bytes >>
						  20,
					  (unsigned long long)s->gpa.v);
		s->used = true;
		return 0;
	}
	return diag_fail(d, ENOSPC, "more than %u RAM regions",
			 RAM_REGIONS_MAX);
}

static int ram_map(struct host_vm *base, gpa_t gpa, void *host,
		   uint64_t size_bytes, unsigned flags, struct diag *d)
{
	struct kvm_vm *vm = kvm_vm_of(base);
	const struct kvm_slot new = {
		.gpa = gpa,
		.host = host,
		.size_bytes = size_bytes,
		.flags = flags & RAM_READ_ONLY ? KVM_MEM_READONLY : 0,
	};
	int err;

	pthread_mutex_lock(&vm->slot_lock);
	err = map_locked(vm, &new, d);
	pthread_mutex_unlock(&vm->slot_lock);
	return err;
}

static int unmap_locked(struct kvm_vm *vm, gpa_t gpa, struct diag *d)
{
	struct kvm_slot *s = slot_at(vm, gpa);
	int err;

	if (!s)
		return diag_fail(d, ENOENT, "no RAM region starts at 0x%llx",
				 (unsigned long long)gpa.v);
	err = slot_update(vm, s, 0);
	if (err)
		return diag_errno(d, -err, "KVM cannot remove RAM at 0x%llx",
				  (unsigned long long)gpa.v);
	s->used = false;
	return 0;
}

static int ram_unmap(struct host_vm *base, gpa_t gpa, struct diag *d)
{
	struct kvm_vm *vm = kvm_vm_of(base);
	int err;

	pthread_mutex_lock(&vm->slot_lock);
	err = unmap_locked(vm, gpa, d);
	pthread_mutex_unlock(&vm->slot_lock);
	return err;
}

static int switch_locked(struct kvm_vm *vm, bool on, struct diag *d)
{
	int err;

	vm->logging = false;
	for (unsigned i = 0; i < RAM_REGIONS_MAX; i++) {
		struct kvm_slot *s = &vm->slot[i];

		if (!s->used)
			continue;
		s->flags &= ~(uint32_t)KVM_MEM_LOG_DIRTY_PAGES;
		if (on)
			s->flags |= KVM_MEM_LOG_DIRTY_PAGES;
		err = slot_update(vm, s, s->size_bytes);
		if (err)
			return diag_errno(d, -err,
					  "KVM cannot log writes to RAM");
	}
	vm->logging = on;
	return 0;
}

static int dirty_switch(struct host_vm *base, bool on, struct diag *d)
{
	struct kvm_vm *vm = kvm_vm_of(base);
	int err;

	pthread_mutex_lock(&vm->slot_lock);
	err = switch_locked(vm, on, d);
	pthread_mutex_unlock(&vm->slot_lock);
	return err;
}

static int dirty_start(struct host_vm *base, struct diag *d)
{
	return dirty_switch(base, true, d);
}

static int dirty_stop(struct host_vm *base, struct diag *d)
{
	return dirty_switch(base, false, d);
}

/* NOLINTNEXTLINE(readability-non-const-parameter): KVM writes to it */
static int take_locked(struct kvm_vm *vm, gpa_t gpa, uint64_t *bitmap,
		       size_t words, struct diag *d)
{
	struct kvm_slot *s = slot_at(vm, gpa);
	struct kvm_dirty_log log = { .dirty_bitmap = bitmap };

	if (!s || words * 64 * vm->base.caps.page_size_bytes < s->size_bytes)
		return diag_fail(d, EINVAL, "no bitmap for RAM at 0x%llx",
				 (unsigned long long)gpa.v);
	log.slot = (uint32_t)(s - vm->slot);
	if (ioctl(vm->fd, KVM_GET_DIRTY_LOG, &log) < 0)
		return diag_errno(d, errno, "KVM_GET_DIRTY_LOG");
	return 0;
}

static int dirty_take(struct host_vm *base, gpa_t gpa, uint64_t *bitmap,
		      size_t words, struct diag *d)
{
	struct kvm_vm *vm = kvm_vm_of(base);
	int err;

	pthread_mutex_lock(&vm->slot_lock);
	err = take_locked(vm, gpa, bitmap, words, d);
	pthread_mutex_unlock(&vm->slot_lock);
	return err;
}

/* ---- interrupts and doorbells ------------------------------------------- */

static bool routes_reserve(struct kvm_vm *vm, uint32_t end)
{
	uint32_t capacity = vm->route_capacity ? vm->route_capacity : 64;
	struct kvm_irq_routing_entry *route;

	if (end <= vm->route_capacity)
		return true;
	while (capacity < end)
		capacity *= 2;
	route = realloc(vm->route, capacity * sizeof(*route));
	if (!route)
		return false;
	for (uint32_t i = vm->route_capacity; i < capacity; i++)
		route[i].type = KVM_ROUTE_FREE;
	vm->route = route;
	vm->route_capacity = capacity;
	return true;
}

static int msi_route_set(struct host_vm *base, uint32_t gsi,
			 const struct msi_message *msg)
{
	struct kvm_vm *vm = kvm_vm_of(base);
	struct kvm_irq_routing_entry *e;

	if (gsi >= ROUTES_MAX)
		return -ENOSPC;
	if (!routes_reserve(vm, gsi + 1))
		return -ENOMEM;
	e = &vm->route[gsi];
	*e = (struct kvm_irq_routing_entry){
		.gsi = gsi,
		.type = KVM_IRQ_ROUTING_MSI,
		.u.msi = { .address_lo = (uint32_t)msg->addr,
			   .address_hi = (uint32_t)(msg->addr >> 32),
			   .data = msg->data },
	};
	kvm_arch_route(e, msg);
	vm->route_end = MAX(vm->route_end, gsi + 1);
	return 0;
}

static void msi_route_clear(struct host_vm *base, uint32_t gsi)
{
	struct kvm_vm *vm = kvm_vm_of(base);

	if (gsi < vm->route_end)
		vm->route[gsi].type = KVM_ROUTE_FREE;
}

static int msi_route_apply(struct host_vm *base)
{
	struct kvm_vm *vm = kvm_vm_of(base);
	struct kvm_irq_routing *table;
	int err;

	table = calloc(1, sizeof(*table) +
				  vm->route_end * sizeof(table->entries[0]));
	if (!table)
		return -ENOMEM;
	for (uint32_t i = 0; i < vm->route_end; i++)
		if (vm->route[i].type != KVM_ROUTE_FREE)
			table->entries[table->nr++] = vm->route[i];
	err = ioctl(vm->fd, KVM_SET_GSI_ROUTING, table) < 0 ? -errno : 0;
	free(table);
	return err;
}

static int irqfd(struct host_vm *base, uint32_t gsi, int fd, uint32_t flags)
{
	struct kvm_irqfd arg = { .fd = (uint32_t)fd,
				 .gsi = gsi,
				 .flags = flags };

	return ioctl(kvm_vm_of(base)->fd, KVM_IRQFD, &arg) < 0 ? -errno : 0;
}

static int irqfd_add(struct host_vm *base, uint32_t gsi, int fd)
{
	return irqfd(base, gsi, fd, 0);
}

static int irqfd_del(struct host_vm *base, uint32_t gsi, int fd)
{
	return irqfd(base, gsi, fd, KVM_IRQFD_FLAG_DEASSIGN);
}

static int msi_send(struct host_vm *base, const struct msi_message *msg)
{
	struct kvm_msi m = { .address_lo = (uint32_t)msg->addr,
			     .address_hi = (uint32_t)(msg->addr >> 32),
			     .data = msg->data };

	kvm_arch_msi(&m, msg);
	return ioctl(kvm_vm_of(base)->fd, KVM_SIGNAL_MSI, &m) < 0 ? -errno : 0;
}

static struct kvm_ioeventfd ioeventfd(bool pio, uint64_t addr, unsigned size,
				      const uint64_t *match, int fd)
{
	struct kvm_ioeventfd e = { .addr = addr, .len = size, .fd = fd };

	if (pio)
		e.flags |= KVM_IOEVENTFD_FLAG_PIO;
	if (match) {
		e.flags |= KVM_IOEVENTFD_FLAG_DATAMATCH;
		e.datamatch = *match;
	}
	return e;
}

static int doorbell_add(struct host_vm *base, bool pio, uint64_t addr,
			unsigned size, const uint64_t *match, int fd)
{
	struct kvm_ioeventfd e = ioeventfd(pio, addr, size, match, fd);

	return ioctl(kvm_vm_of(base)->fd, KVM_IOEVENTFD, &e) < 0 ? -errno : 0;
}

static int doorbell_del(struct host_vm *base, bool pio, uint64_t addr,
			unsigned size, const uint64_t *match, int fd)
{
	struct kvm_ioeventfd e = ioeventfd(pio, addr, size, match, fd);

	e.flags |= KVM_IOEVENTFD_FLAG_DEASSIGN;
	return ioctl(kvm_vm_of(base)->fd, KVM_IOEVENTFD, &e) < 0 ? -errno : 0;
}

/* ---- run ---------------------------------------------------------------- */

/* KVM's MMIO pieces are 1 to 8 bytes long, any number of them. */
static void mmio_exit(struct kvm_vcpu *v)
{
	struct bus *bus = kvm_vm_of(v->base.vm)->cfg.mmio;
	struct kvm_run *run = v->run;
	uint32_t len = MIN(run->mmio.len, 8U), step = is_pow2(len) ? len : 1;
	uint8_t buf[8] = { 0 };

	for (uint32_t at = 0; at < len; at += step) {
		uint64_t addr = run->mmio.phys_addr + at;

		memset(buf, 0, sizeof(buf));
		if (run->mmio.is_write) {
			memcpy(buf, run->mmio.data + at, step);
			bus_write(bus, addr, step, get_le64(buf));
		} else {
			put_le64(buf, bus_read(bus, addr, step));
			memcpy(run->mmio.data + at, buf, step);
		}
	}
}

static void pio_exit(struct kvm_vcpu *v)
{
	struct bus *bus = kvm_vm_of(v->base.vm)->cfg.pio;
	struct kvm_run *run = v->run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	unsigned size = run->io.size;
	uint8_t buf[8] = { 0 };

	for (uint32_t i = 0; i < run->io.count; i++, data += size) {
		if (run->io.direction == KVM_EXIT_IO_OUT) {
			memcpy(buf, data, size);
			bus_write(bus, run->io.port, size, get_le64(buf));
		} else {
			put_le64(buf, bus_read(bus, run->io.port, size));
			memcpy(data, buf, size);
		}
	}
}

static enum host_event fatal(struct kvm_vcpu *v, const char *what,
			     uint64_t detail)
{
	int used = snprintf(v->base.why, sizeof(v->base.why),
			    "vCPU %u: %s (0x%llx); ", v->base.index, what,
			    (unsigned long long)detail);

	kvm_arch_describe(v, v->base.why + used,
			  sizeof(v->base.why) - (size_t)used);
	return HOST_FATAL;
}

static bool system_event(struct kvm_vcpu *v, enum host_event *event)
{
	switch (v->run->system_event.type) {
	case KVM_SYSTEM_EVENT_SHUTDOWN:
		*event = HOST_POWEROFF;
		return true;
	case KVM_SYSTEM_EVENT_RESET:
		*event = HOST_RESET;
		return true;
	default:
		*event = fatal(v, "unknown system event",
			       v->run->system_event.type);
		return true;
	}
}

/* One exit; true if vcpu_run() must return @event. */
static bool handle_exit(struct kvm_vcpu *v, enum host_event *event)
{
	struct kvm_run *run = v->run;

	switch (run->exit_reason) {
	case KVM_EXIT_MMIO:
		mmio_exit(v);
		return false;
	case KVM_EXIT_IO:
		pio_exit(v);
		return false;
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
		return false;
	case KVM_EXIT_SYSTEM_EVENT:
		return system_event(v, event);
	case KVM_EXIT_SHUTDOWN: /* x86: triple fault */
		*event = HOST_RESET;
		return true;
	case KVM_EXIT_HLT:
		*event = HOST_HALTED;
		return true;
	case KVM_EXIT_DEBUG:
		*event = HOST_DEBUG;
		return true;
	case KVM_EXIT_FAIL_ENTRY:
		*event = fatal(v, "the CPU refuses the guest's state",
			       run->fail_entry.hardware_entry_failure_reason);
		return true;
	case KVM_EXIT_INTERNAL_ERROR:
		*event = fatal(v, "KVM cannot emulate an instruction",
			       run->internal.suberror);
		return true;
	default:
		return kvm_arch_exit(v, event);
	}
}

static const char *run_error(int err)
{
	return err == EFAULT ? "a page of guest memory cannot be had: a disk "
			       "is full, or huge pages are too few"
			     : strerror(err);
}

static enum host_event vcpu_run(struct host_vcpu *base)
{
	struct kvm_vcpu *v = kvm_vcpu_of(base);
	enum host_event event = HOST_INTERRUPTED;
	unsigned repairs = file_map_repairs();
	int err;

	atomic_store(&v->tid, (pid_t)syscall(SYS_gettid));
	for (;;) {
		if (ioctl(v->fd, KVM_RUN, 0) == 0) {
			if (handle_exit(v, &event))
				break;
			continue;
		}
		if (errno == EINTR || errno == EAGAIN) {
			/* Cleared before the caller looks for work. */
			__atomic_store_n(&v->run->immediate_exit, 0,
					 __ATOMIC_SEQ_CST);
			event = HOST_INTERRUPTED;
			break;
		}
		err = errno;
		if (err == EFAULT &&
		    (file_map_repair(repairs) || file_map_wait())) {
			repairs = file_map_repairs();
			continue;
		}
		event = fatal(v, run_error(err), (uint64_t)err);
		break;
	}
	atomic_store(&v->tid, 0);
	return event;
}

static void vcpu_kick(struct host_vcpu *base)
{
	struct kvm_vcpu *v = kvm_vcpu_of(base);
	pid_t tid;

	__atomic_store_n(&v->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	tid = atomic_load(&v->tid);
	if (tid && tid != (pid_t)syscall(SYS_gettid))
		syscall(SYS_tgkill, getpid(), tid, KICK_SIGNAL);
}

const struct host_ops host_kvm = {
	.name = "kvm",
	.probe = kvm_probe,
	.vm_new = vm_new,
	.vm_free = vm_free,
	.ram_map = ram_map,
	.ram_unmap = ram_unmap,
	.commit = commit,
	.vcpu = vm_vcpu,
	.vcpu_run = vcpu_run,
	.vcpu_kick = vcpu_kick,
	.state_get = kvm_arch_state_get,
	.state_put = kvm_arch_state_put,
	.cpuid = kvm_arch_cpuid,
	.msi_route_set = msi_route_set,
	.msi_route_clear = msi_route_clear,
	.msi_route_apply = msi_route_apply,
	.irqfd_add = irqfd_add,
	.irqfd_del = irqfd_del,
	.msi_send = msi_send,
	.irq_pin = kvm_arch_irq_pin,
	.doorbell_add = doorbell_add,
	.doorbell_del = doorbell_del,
	.dirty_start = dirty_start,
	.dirty_take = dirty_take,
	.dirty_stop = dirty_stop,
};
