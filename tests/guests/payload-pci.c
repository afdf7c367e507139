/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: the PCI host bridge and a virtio-rng behind it, by register and ring */
#include "guest.h"

#define QUEUE_SIZE 8
#define DATA_BYTES 64
/* A busy host runs the vCPU long before the device's thread. */
#define SPINS	     50000000
#define STATUS_READS 200000
#define BAR_BASE     (pci_mem32_base + 0x1000000)

/* VIRTIO 1.3 sec. 4.1.4: where a structure of the device is. */
struct virtio_window {
	uintptr_t at;
	uint32_t length;
	uint32_t notify_multiplier;
};

/* Capability list: id 9 is vendor specific, byte 3 is cfg_type. */
static struct virtio_window window(uintptr_t cfg, uint8_t type)
{
	struct virtio_window w = { 0, 0, 0 };
	uint8_t at = read8(cfg + 0x34);

	for (int hops = 0; at && hops < 48; hops++) {
		if (read8(cfg + at) == 9 && read8(cfg + at + 3) == type) {
			unsigned bar = read8(cfg + at + 4);

			w.at = (read32(cfg + 0x10 + 4 * bar) & ~15u) +
			       read32(cfg + at + 8);
			w.length = read32(cfg + at + 12);
			if (type == 2)
				w.notify_multiplier = read32(cfg + at + 16);
			return w;
		}
		at = read8(cfg + at + 1);
	}
	return w;
}

/* VIRTIO 1.3 sec. 4.1.4.3, struct virtio_pci_common_cfg */
enum {
	FEATURE_SELECT = 0,
	FEATURE = 4,
	DRIVER_SELECT = 8,
	DRIVER_FEATURE = 12,
	STATUS = 20,
	QUEUE_SELECT = 22,
	QUEUE_SIZE_REG = 24,
	QUEUE_ENABLE = 28,
	QUEUE_NOTIFY_OFF = 30,
	QUEUE_DESC = 32,
	QUEUE_DRIVER = 40,
	QUEUE_DEVICE = 48,
};

/* VIRTIO 1.3 sec. 2.7: split ring, at fixed places of free RAM */
#define DESC  (free_ram)
#define AVAIL (free_ram + 0x1000)
#define USED  (free_ram + 0x2000)
#define DATA  (free_ram + 0x3000)

static void set64(uintptr_t at, uintptr_t v)
{
	write32(at, (uint32_t)v);
	write32(at + 4, (uint32_t)((uint64_t)v >> 32));
}

static bool negotiate(uintptr_t common)
{
	write8(common + STATUS, 0);
	if (read8(common + STATUS) != 0)
		return false;
	write8(common + STATUS, 3); /* ACKNOWLEDGE | DRIVER */
	write32(common + DRIVER_SELECT, 1);
	write32(common + DRIVER_FEATURE, 1); /* VIRTIO_F_VERSION_1 */
	write8(common + STATUS, 11);
	return read8(common + STATUS) == 11;
}

static void make_queue(uintptr_t common)
{
	for (uintptr_t at = DESC; at < DATA + DATA_BYTES; at += 4)
		write32(at, 0);
	write16(common + QUEUE_SELECT, 0);
	write16(common + QUEUE_SIZE_REG, QUEUE_SIZE);
	set64(common + QUEUE_DESC, DESC);
	set64(common + QUEUE_DRIVER, AVAIL);
	set64(common + QUEUE_DEVICE, USED);
	write16(common + QUEUE_ENABLE, 1);
	write8(common + STATUS, 15);
}

/* One buffer of DATA_BYTES that the device writes. */
static void offer(uint16_t index)
{
	set64(DESC, DATA);
	write32(DESC + 8, DATA_BYTES);
	write16(DESC + 12, 2); /* VIRTQ_DESC_F_WRITE */
	write16(AVAIL + 4 + 2 * (index % QUEUE_SIZE), 0);
	memory_barrier();
	write16(AVAIL + 2, (uint16_t)(index + 1));
	memory_barrier();
}

static bool completed(uint16_t index)
{
	for (unsigned i = 0; i < SPINS; i++) {
		if (read16(USED + 2) == (uint16_t)(index + 1))
			return true;
		cpu_relax();
	}
	return false;
}

static uint32_t mix(void)
{
	uint32_t sum = 0;

	for (unsigned i = 0; i < DATA_BYTES; i += 4)
		sum |= read32(DATA + i);
	return sum;
}

static void ring_tests(uintptr_t cfg)
{
	struct virtio_window common, notify;
	uintptr_t bell;

	common = window(cfg, 1);
	notify = window(cfg, 2);
	ok(common.at && notify.at, "virtio structures are in BARs");
	ok(negotiate(common.at), "features are negotiated");
	make_queue(common.at);
	bell = notify.at + (uintptr_t)read16(common.at + QUEUE_NOTIFY_OFF) *
				   notify.notify_multiplier;
	offer(0);
	write16(bell, 0);
	ok(completed(0), "a request completes");
	ok(read32(USED + 8) > 0 && read32(USED + 8) <= DATA_BYTES,
	   "it says how much it wrote");
	ok(mix() != 0, "random bytes arrived");

	/* Move the BAR under the live device, ring at the new place. */
	pci_bar_place(cfg, 0, (uint32_t)(BAR_BASE + 0x1000000));
	common = window(cfg, 1);
	notify = window(cfg, 2);
	ok(read8(common.at + STATUS) == 15, "a moved BAR answers");
	bell = notify.at + (uintptr_t)read16(common.at + QUEUE_NOTIFY_OFF) *
				   notify.notify_multiplier;
	offer(1);
	write16(bell, 0);
	ok(completed(1), "the doorbell moved with it");

	/* A descriptor far outside of RAM: refused, and the device says so. */
	set64(DESC, (uintptr_t)0xffff0000u);
	write16(AVAIL + 4 + 2 * 2, 0);
	memory_barrier();
	write16(AVAIL + 2, 3);
	memory_barrier();
	write16(bell, 0);
	for (unsigned i = 0; i < STATUS_READS; i++)
		if (read8(common.at + STATUS) & 64)
			break;
	ok(read8(common.at + STATUS) & 64,
	   "a bad address sets DEVICE_NEEDS_RESET");
	ok(negotiate(common.at), "reset brings it back");
}

void secondary(void)
{
}

void payload(void)
{
	uintptr_t bridge = ecam_base, rng;

	plan(13);
	ok(read32(bridge) == 0x0d578086, "the host bridge is at 00:00.0");
	ok(read16(bridge + 10) == 0x0600, "and says that it is one");
	ok(read32(ecam_base + (31u << 15)) == 0xffffffff,
	   "an empty slot reads as all ones");
	rng = pci_find(0x1af4, 0x1044);
	ok(rng != 0, "virtio-rng is there");
	if (!rng)
		return;
	pci_bar_place(rng, 0, (uint32_t)BAR_BASE);
	ring_tests(rng);
}
