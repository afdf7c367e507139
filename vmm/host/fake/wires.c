/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: the fake hypervisor's interrupts and doorbells
 *
 * irqfds are members of one epoll set per VM. Running vCPUs look at it every
 * few instructions, waiting ones sleep on it, and adding or removing an irqfd
 * looks first, so that an event never lands on the wrong side of the change
 * (KVM consumes events inside the write; nobody can tell the difference).
 *
 * Routes take effect with msi_route_apply(), not before: whoever forgets it
 * finds out here.
 */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/base/eventfd.h"
#include "vmm/host/fake/vm.h"

void fake_raise(struct fake_vcpu *v, unsigned number)
{
	atomic_fetch_or(&v->pending[number / 64], 1ULL << (number % 64));
	fake_wake(v);
}

int fake_irq_pin(struct host_vm *host, uint32_t pin, bool level)
{
	struct fake_vm *vm = fake_vm_of(host);
	uint64_t bit, before;

	if (pin >= FAKE_PINS)
		return -EINVAL;
	bit = 1ULL << pin;
	before = level ? atomic_fetch_or(&vm->pins, bit)
		       : atomic_fetch_and(&vm->pins, ~bit);
	if (level && !(before & bit))
		fake_raise(&vm->vcpu[0], FAKE_IRQ_PIN + pin);
	return 0;
}

/* Deliver a message; false if it names no vCPU or no interrupt. */
static bool message_deliver(struct fake_vm *vm, const struct msi_message *msg)
{
	uint64_t offset = msg->addr - FAKE_MSI_GPA;

	if (offset % FAKE_MSI_STRIDE ||
	    offset / FAKE_MSI_STRIDE >= vm->cfg.vcpu_count ||
	    msg->data >= FAKE_IRQS)
		return false;
	fake_raise(&vm->vcpu[offset / FAKE_MSI_STRIDE], msg->data);
	return true;
}

int fake_msi_send(struct host_vm *host, const struct msi_message *msg)
{
	struct fake_vm *vm = fake_vm_of(host);

	if (message_deliver(vm, msg))
		return 0;
	pthread_mutex_lock(&vm->lock);
	vm->dropped++;
	pthread_mutex_unlock(&vm->lock);
	return -EINVAL;
}

int fake_route_set(struct host_vm *host, uint32_t gsi,
		   const struct msi_message *msg)
{
	struct fake_vm *vm = fake_vm_of(host);
	int err = fake_fails(vm, HOST_FAKE_ROUTE_SET, NULL);

	if (err)
		return err;
	if (gsi >= FAKE_ROUTES_MAX)
		return -EINVAL;
	pthread_mutex_lock(&vm->lock);
	vm->route[gsi] = (struct fake_route){ .used = true, .msg = *msg };
	pthread_mutex_unlock(&vm->lock);
	return 0;
}

void fake_route_clear(struct host_vm *host, uint32_t gsi)
{
	struct fake_vm *vm = fake_vm_of(host);

	if (gsi >= FAKE_ROUTES_MAX)
		return;
	pthread_mutex_lock(&vm->lock);
	vm->route[gsi].used = false;
	pthread_mutex_unlock(&vm->lock);
}

/* An irqfd has fired; lock held. */
static void irqfd_fire(struct fake_vm *vm, const struct fake_irqfd *f)
{
	const struct fake_route *r = &vm->applied[f->gsi];

	if (eventfd_take(f->fd))
		return;
	if (!r->used || !message_deliver(vm, &r->msg))
		vm->dropped++;
}

static struct fake_irqfd *irqfd_find(struct fake_vm *vm, int fd)
{
	for (unsigned i = 0; i < vm->irqfd_count; i++)
		if (vm->irqfd[i].fd == fd)
			return &vm->irqfd[i];
	return NULL;
}

/* Deliver all that has fired; lock held. */
static void irqfds_drain(struct fake_vm *vm)
{
	struct epoll_event ready[16];
	int n = epoll_wait(vm->irqfd_epoll, ready, 16, 0);

	for (int i = 0; i < n; i++) {
		struct fake_irqfd *f = irqfd_find(vm, ready[i].data.fd);

		if (f)
			irqfd_fire(vm, f);
	}
}

void fake_irqfds_look(struct fake_vm *vm)
{
	if (!atomic_load(&vm->irqfds_present))
		return;
	pthread_mutex_lock(&vm->lock);
	irqfds_drain(vm);
	pthread_mutex_unlock(&vm->lock);
}

int fake_route_apply(struct host_vm *host)
{
	struct fake_vm *vm = fake_vm_of(host);
	int err = fake_fails(vm, HOST_FAKE_ROUTE_APPLY, NULL);

	if (err)
		return err;
	pthread_mutex_lock(&vm->lock);
	irqfds_drain(vm);
	for (unsigned i = 0; i < FAKE_ROUTES_MAX; i++)
		vm->applied[i] = vm->route[i];
	pthread_mutex_unlock(&vm->lock);
	return 0;
}

/* Lock held. */
static int irqfd_insert(struct fake_vm *vm, uint32_t gsi, int fd)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.fd = fd };

	if (irqfd_find(vm, fd))
		return -EBUSY;
	if (vm->irqfd_count == FAKE_IRQFDS_MAX)
		return -ENOSPC;
	if (epoll_ctl(vm->irqfd_epoll, EPOLL_CTL_ADD, fd, &ev) < 0)
		return -errno;
	vm->irqfd[vm->irqfd_count] = (struct fake_irqfd){ gsi, fd };
	irqfd_fire(vm, &vm->irqfd[vm->irqfd_count++]);
	atomic_store(&vm->irqfds_present, vm->irqfd_count);
	return 0;
}

int fake_irqfd_add(struct host_vm *host, uint32_t gsi, int fd)
{
	struct fake_vm *vm = fake_vm_of(host);
	int err = fake_fails(vm, HOST_FAKE_IRQFD_ADD, NULL);

	if (err)
		return err;
	if (gsi >= FAKE_ROUTES_MAX)
		return -EINVAL;
	pthread_mutex_lock(&vm->lock);
	err = irqfd_insert(vm, gsi, fd);
	pthread_mutex_unlock(&vm->lock);
	return err;
}

int fake_irqfd_del(struct host_vm *host, uint32_t gsi, int fd)
{
	struct fake_vm *vm = fake_vm_of(host);
	struct fake_irqfd *f;
	int err = 0;

	pthread_mutex_lock(&vm->lock);
	f = irqfd_find(vm, fd);
	if (f && f->gsi == gsi) {
		irqfd_fire(vm, f);
		epoll_ctl(vm->irqfd_epoll, EPOLL_CTL_DEL, fd, NULL);
		*f = vm->irqfd[--vm->irqfd_count];
		atomic_store(&vm->irqfds_present, vm->irqfd_count);
	} else {
		err = -ENOENT;
	}
	pthread_mutex_unlock(&vm->lock);
	return err;
}

static bool doorbell_same(const struct fake_doorbell *a,
			  const struct fake_doorbell *b)
{
	return a->pio == b->pio && a->addr == b->addr &&
	       a->size_bytes == b->size_bytes && a->has_match == b->has_match &&
	       (!a->has_match || a->match == b->match);
}

static struct fake_doorbell *doorbell_find(struct fake_vm *vm,
					   const struct fake_doorbell *key)
{
	for (unsigned i = 0; i < vm->doorbell_count; i++)
		if (doorbell_same(&vm->doorbell[i], key))
			return &vm->doorbell[i];
	return NULL;
}

static struct fake_doorbell doorbell_key(bool pio, uint64_t addr,
					 unsigned size_bytes,
					 const uint64_t *match, int fd)
{
	return (struct fake_doorbell){ .pio = pio,
				       .has_match = match,
				       .addr = addr,
				       .match = match ? *match : 0,
				       .size_bytes = size_bytes,
				       .fd = fd };
}

int fake_doorbell_add(struct host_vm *host, bool pio, uint64_t addr,
		      unsigned size_bytes, const uint64_t *match, int fd)
{
	struct fake_vm *vm = fake_vm_of(host);
	struct fake_doorbell new =
		doorbell_key(pio, addr, size_bytes, match, fd);
	int err = fake_fails(vm, HOST_FAKE_DOORBELL_ADD, NULL);

	if (err)
		return err;
	if (size_bytes > 8 || (size_bytes && !is_pow2(size_bytes)) ||
	    (match && !size_bytes))
		return -EINVAL;
	pthread_mutex_lock(&vm->lock);
	if (doorbell_find(vm, &new))
		err = -EEXIST;
	else if (vm->doorbell_count == FAKE_DOORBELLS_MAX)
		err = -ENOSPC;
	else
		vm->doorbell[vm->doorbell_count++] = new;
	pthread_mutex_unlock(&vm->lock);
	return err;
}

int fake_doorbell_del(struct host_vm *host, bool pio, uint64_t addr,
		      unsigned size_bytes, const uint64_t *match, int fd)
{
	struct fake_vm *vm = fake_vm_of(host);
	struct fake_doorbell key =
		doorbell_key(pio, addr, size_bytes, match, fd);
	struct fake_doorbell *b;
	int err = 0;

	pthread_mutex_lock(&vm->lock);
	b = doorbell_find(vm, &key);
	if (b && b->fd == fd)
		*b = vm->doorbell[--vm->doorbell_count];
	else
		err = -ENOENT;
	pthread_mutex_unlock(&vm->lock);
	return err;
}

static bool doorbell_matches(const struct fake_doorbell *b, bool pio,
			     uint64_t addr, unsigned size, uint64_t value)
{
	return b->pio == pio && b->addr == addr &&
	       (!b->size_bytes || b->size_bytes == size) &&
	       (!b->has_match || b->match == value);
}

bool fake_doorbell_ring(struct fake_vm *vm, bool pio, uint64_t addr,
			unsigned size_bytes, uint64_t value)
{
	uint64_t one = 1;
	bool taken = false;

	pthread_mutex_lock(&vm->lock);
	for (unsigned i = 0; i < vm->doorbell_count && !taken; i++) {
		struct fake_doorbell *b = &vm->doorbell[i];

		taken = doorbell_matches(b, pio, addr, size_bytes, value) &&
			write(b->fd, &one, sizeof(one)) == sizeof(one);
	}
	vm->rings += taken;
	pthread_mutex_unlock(&vm->lock);
	return taken;
}
