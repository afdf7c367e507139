/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: virtio persistent memory (VIRTIO 1.3 sec. 5.19)
 *
 * The memory itself is a region of guest_ram, mapped by vmm/pmem.c before the
 * device exists. The device says where it is and serves flush requests:
 * msync(2) of all of it, on a thread of its own, so that a slow disk stops
 * nobody but its driver. Requests come back in their order.
 *
 * What the file loses while the guest runs is memory without a file from the
 * first access on (vmm/file-map.h); then flushes fail. An access that the
 * hypervisor emulates arrives on the bus instead, and we make it.
 *
 * Not implemented: shared memory regions (VIRTIO_PMEM_F_SHMEM_REGION).
 *
 * Threads: the queue on "<id>_q0", under the queue's lock.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "vmm/base/bytes.h"
#include "vmm/base/log.h"
#include "vmm/bus.h"
#include "vmm/iothread.h"

#include "devices/virtio/devices.h"
#include "devices/virtio/virtio.h"

enum { QUEUE_REQUESTS };

/* sec. 5.19.4 */
enum { CONFIG_START = 0, CONFIG_SIZE = 8, CONFIG_BYTES = 16 };

/* sec. 5.19.6: a request is le32 type, its answer le32 ret */
enum { PMEM_FLUSH = 0 };
enum { PMEM_OK = 0, PMEM_EIO = 1 };

/**
 * struct pmem - see the DOC block
 * @range: where the guest has it; @bus: there, for what comes as MMIO
 * @thread: serves the queue
 * @failed: flushes that failed, see log_guest()
 * @unknown: requests that are no flushes, likewise
 */
struct pmem {
	struct virtio_device vd;
	struct plat_range range;
	struct bus_region bus;
	struct iothread *thread;
	atomic_uint failed, unknown;
};

static struct pmem *to_pmem(struct virtio_device *vd)
{
	return container_of(vd, struct pmem, vd);
}

/* What discards writes has nothing to flush, and msync() knows. */
static uint32_t flush(struct pmem *p)
{
	const struct guest_ram *ram = p->vd.dev.env->ram;
	void *at = ram_pin(ram, GPA(p->range.base), p->range.size_bytes);

	errno = EIO;
	if (at && !msync(at, p->range.size_bytes, MS_SYNC) &&
	    !ram_lost(ram, GPA(p->range.base)))
		return PMEM_OK;
	log_guest(&p->failed, "%s: cannot be flushed: %s", p->vd.dev.id,
		  strerror(errno));
	return PMEM_EIO;
}

static uint32_t serve(struct pmem *p, const struct virtq_chain *chain)
{
	uint8_t raw[4];

	if (iov_read(chain->iov, chain->out_count, 0, raw, 4) == 4 &&
	    get_le32(raw) == PMEM_FLUSH)
		return flush(p);
	log_guest(&p->unknown,
		  "%s: the guest's driver makes a request that "
		  "does not exist",
		  p->vd.dev.id);
	return PMEM_EIO;
}

static void pmem_notify(struct virtio_device *vd, unsigned queue)
{
	struct virtq_chain chain;
	unsigned taken = 0;
	uint8_t ret[4];

	while (virtio_more(vd, queue, &taken) &&
	       virtio_pop(vd, queue, &chain)) {
		put_le32(ret, serve(to_pmem(vd), &chain));
		virtio_push(vd, queue, &chain,
			    (uint32_t)iov_write(chain.iov + chain.out_count,
						chain.in_count, 0, ret, 4));
		virtio_done(vd, queue);
	}
}

static void pmem_get_config(struct virtio_device *vd, uint8_t *config)
{
	const struct pmem *p = to_pmem(vd);

	put_le64(config + CONFIG_START, p->range.base);
	put_le64(config + CONFIG_SIZE, p->range.size_bytes);
}

static uint64_t pmem_bus_read(void *opaque, uint64_t offset, unsigned size)
{
	const struct pmem *p = opaque;
	uint8_t buf[8] = { 0 };

	ram_read(p->vd.dev.env->ram, GPA(p->range.base + offset), buf, size);
	return get_le64(buf);
}

static void pmem_bus_write(void *opaque, uint64_t offset, unsigned size,
			   uint64_t value)
{
	const struct pmem *p = opaque;
	uint8_t buf[8];

	put_le64(buf, value);
	ram_write(p->vd.dev.env->ram, GPA(p->range.base + offset), buf, size);
}

static const struct bus_ops pmem_bus = { pmem_bus_read, pmem_bus_write };

static int pmem_realize(struct virtio_device *vd, struct diag *d)
{
	const struct device_env *env = vd->dev.env;
	const struct pmem_config *item = vd->dev.item;
	struct pmem *p = to_pmem(vd);
	char name[CONFIG_ID_MAX + 4];
	int err;

	p->range = env->platform->pmem[item - env->config->pmem];
	p->bus = (struct bus_region){ .base = p->range.base,
				      .size_bytes = p->range.size_bytes,
				      .ops = &pmem_bus,
				      .opaque = p,
				      .name = vd->dev.id };
	err = bus_add(env->mmio, &p->bus, d);
	if (err)
		return err;
	snprintf(name, sizeof(name), "%s_q0", vd->dev.id);
	err = iothread_new(&p->thread, name, NULL, d);
	if (err)
		bus_remove(env->mmio, &p->bus);
	return err;
}

static struct event_loop *pmem_loop(struct virtio_device *vd, unsigned queue)
{
	(void)queue;
	return iothread_loop(to_pmem(vd)->thread);
}

static void pmem_halt(struct virtio_device *vd)
{
	iothread_stop(to_pmem(vd)->thread);
}

static void pmem_unrealize(struct virtio_device *vd)
{
	struct pmem *p = to_pmem(vd);

	bus_remove(vd->dev.env->mmio, &p->bus);
	iothread_free(p->thread);
}

static const struct virtio_class pmem_virtio = {
	.id = VIRTIO_ID_PMEM,
	.pci_class = 0xff0000, /* fits no other class */
	.queue_count = 1,
	.queue_size = 256,
	.config_bytes = CONFIG_BYTES,
	.parallel = true,
	.in_order = true,
	.realize = pmem_realize,
	.unrealize = pmem_unrealize,
	.loop = pmem_loop,
	.halt = pmem_halt,
	.get_config = pmem_get_config,
	.notify = pmem_notify,
};

const struct device_class virtio_pmem_class = {
	.name = "virtio-pmem",
	.size_bytes = sizeof(struct pmem),
	.data = &pmem_virtio,
	VIRTIO_DEVICE_CLASS,
};
