/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: the PCI host bridge, and a device whose BAR moves while it works */
#include "virtio.h"

#define DATA_BYTES 64
#define NEW_BASE   (pci_mem32_base + 0x4000000)
#define RNG	   4

static struct virtio v;
static struct vring r;

static void ask(void)
{
	struct vbuf data = { ram_alloc(DATA_BYTES, 4), DATA_BYTES };

	vring_add(&r, &data, 0, 1);
}

static bool works(void)
{
	ask();
	vring_ring(&r);
	return vring_wait(&r, NULL) >= 0;
}

/* Within so many exits, each of which is longer than an answer takes. */
static bool answered(void)
{
	for (unsigned i = 0; i < 2000; i++)
		if (virtio_status(&v) != 15 || vring_take(&r, NULL) >= 0)
			return true;
	return false;
}

void secondary(void)
{
}

void payload(void)
{
	uintptr_t bridge = ecam_base;

	plan(9);
	ok(read32(bridge) == 0x0d578086, "the host bridge is at 00:00.0");
	ok(read16(bridge + 10) == 0x0600, "and says that it is one");
	ok(read32(ecam_base + (31u << 15)) == 0xffffffff,
	   "an empty slot reads as all ones");
	ok(virtio_find(&v, RNG, 0) && virtio_start(&v, 0) &&
		   vring_make(&r, &v, 0, 0),
	   "virtio-rng is there");
	virtio_ready(&v);
	ok(works(), "a request completes");
	ok(virtio_move(&v, (uint32_t)NEW_BASE), "its BAR can move");
	ok(virtio_status(&v) == 15, "a moved BAR answers");
	ask();
	vring_ring(&r);
	ok(!answered(), "nobody listens where its doorbell was");
	vring_moved(&r);
	vring_ring(&r);
	ok(vring_wait(&r, NULL) >= 0, "the doorbell moved with it");
}
