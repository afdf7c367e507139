/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: MSI routes and their eventfds, see irq.h
 *
 * The pending bit of a masked vector is the eventfd's counter: firing while
 * no irqfd is attached leaves it at non-zero, and attaching the irqfd later
 * delivers it, because KVM checks the counter when it attaches.
 */
#include "vmm/irq.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/base/eventfd.h"
#include "vmm/host/host.h"

#define ROUTES_MAX 4096 /* KVM_MAX_IRQ_ROUTES, include/linux/kvm_host.h */

static_assert(ROUTES_MAX == sizeof(((struct irqchip *)0)->gsi_used) * 8,
	      "one bit per route");

void irqchip_init(struct irqchip *chip, uint32_t gsi_first)
{
	memset(chip, 0, sizeof(*chip));
	chip->gsi_first = gsi_first;
	pthread_mutex_init(&chip->lock, NULL);
}

void irqchip_release(struct irqchip *chip)
{
	pthread_mutex_destroy(&chip->lock);
}

static bool gsi_taken(const struct irqchip *chip, uint32_t gsi)
{
	return chip->gsi_used[gsi / 64] >> (gsi % 64) & 1;
}

static int gsi_take(struct irqchip *chip, uint32_t *gsi)
{
	for (uint32_t i = chip->gsi_first; i < ROUTES_MAX; i++) {
		if (gsi_taken(chip, i))
			continue;
		chip->gsi_used[i / 64] |= 1ULL << (i % 64);
		*gsi = i;
		return 0;
	}
	return -ENOSPC;
}

int msi_init(struct msi *msi, struct irqchip *chip, struct diag *d)
{
	uint32_t gsi = 0;
	int fd, err;

	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd < 0)
		return diag_errno(d, errno, "cannot create an eventfd");
	pthread_mutex_lock(&chip->lock);
	err = gsi_take(chip, &gsi);
	pthread_mutex_unlock(&chip->lock);
	if (err) {
		close(fd);
		return diag_fail(d, ENOSPC, "all %u interrupt routes are taken",
				 ROUTES_MAX);
	}
	*msi = (struct msi){ .chip = chip, .fd = fd, .gsi = gsi };
	return 0;
}

/* Detach the irqfd and drop the route. Lock held. */
static void msi_detach(struct msi *msi)
{
	struct host_vm *vm = msi->chip->vm;
	bool was_live = msi->live;

	msi->live = false;
	if (!vm)
		return;
	if (was_live)
		vm->ops->irqfd_del(vm, msi->gsi, msi->fd);
	/* Also after a failed msi_attach(), which may have set the route. */
	vm->ops->msi_route_clear(vm, msi->gsi);
}

void msi_release(struct msi *msi)
{
	if (!msi->chip || msi->fd < 0)
		return;
	pthread_mutex_lock(&msi->chip->lock);
	msi_detach(msi);
	msi->chip->gsi_used[msi->gsi / 64] &= ~(1ULL << (msi->gsi % 64));
	pthread_mutex_unlock(&msi->chip->lock);
	close(msi->fd);
	*msi = (struct msi){ .fd = -1 };
}

static int msi_attach(struct msi *msi)
{
	struct host_vm *vm = msi->chip->vm;
	int err;

	if (!vm) {
		msi->live = true;
		return 0;
	}
	err = vm->ops->msi_route_set(vm, msi->gsi, &msi->msg);
	if (!err)
		err = vm->ops->msi_route_apply(vm);
	if (!err && !msi->live)
		err = vm->ops->irqfd_add(vm, msi->gsi, msi->fd);
	if (!err)
		msi->live = true;
	return err;
}

int msi_set(struct msi *msi, const struct msi_message *msg, bool enabled)
{
	bool same;
	int err = 0;

	pthread_mutex_lock(&msi->chip->lock);
	same = msi->msg.addr == msg->addr && msi->msg.data == msg->data &&
	       msi->msg.devid == msg->devid;
	if (enabled != msi->live || (enabled && !same)) {
		msi->msg = *msg;
		if (enabled)
			err = msi_attach(msi);
		if (err || !enabled)
			msi_detach(msi);
	}
	msi->msg = *msg;
	pthread_mutex_unlock(&msi->chip->lock);
	return err;
}

void msi_fire(struct msi *msi)
{
	eventfd_add(msi->fd, msi->shared);
}

bool msi_pending(const struct msi *msi)
{
	struct pollfd p = { .fd = msi->fd, .events = POLLIN };

	return !msi->live && poll(&p, 1, 0) == 1;
}

int msi_rebind(struct msi *msi)
{
	int err;

	/* The old VM is gone, and with it the irqfd and the route. */
	msi->live = false;
	err = eventfd_take(msi->fd);
	return err == -EAGAIN ? 0 : err;
}
