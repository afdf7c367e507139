/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: the PCI host bridge, and a device whose BAR moves while it works */
#include "virtio.h"

#define DATA_BYTES 64
#define NEW_BASE   (pci_mem32_base + 0x4000000)
#define RNG	   4

static struct virtio v;
static struct vring r;

static bool works(void)
{
	struct vbuf data = { ram_alloc(DATA_BYTES, 4), DATA_BYTES };

	vring_add(&r, &data, 0, 1);
	vring_ring(&r);
	return vring_wait(&r, NULL) >= 0;
}

void secondary(void)
{
}

void payload(void)
{
	uintptr_t bridge = ecam_base;

	plan(8);
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
	vring_moved(&r);
	ok(works(), "the doorbell moved with it");
}
