/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: a guest that does anything to a virtio disk
 *
 * The input is a list of steps, 8 bytes each: requests whose header, ranges
 * and buffers are the input's, resets, configuration writes, saved state that
 * was tampered with. The disk is 1 MiB of memory, with a thread for its queue.
 * Nothing must crash or hang, and after a reset the disk must work.
 */
#include <sys/mman.h>

#include "tests/unit/virtio-driver.h"

#define RING BED_RAM_A
#define HEAD (BED_RAM_A + 0x8000)
#define DATA (BED_RAM_A + 0x10000)
#define SIZE MIB(1)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/** struct op - one step; @kind: what, in the low bits */
struct op {
	uint8_t kind, flags;
	uint16_t at;
	uint32_t value;
};

static struct bed bed;
static struct device *dev;
static struct drv drv;

static void open_disk(void)
{
	static struct disk_config cfg;
	static char path[40];
	int fd = memfd_create("disk", MFD_CLOEXEC);

	CHECK(fd >= 0 && !ftruncate(fd, (off_t)SIZE));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	cfg = (struct disk_config){
		.path = path,
		.image_type = DISK_RAW,
		.sparse = true,
		.num_queues = 1,
		.queue_size = 64,
	};
	bed_open(&bed, TRANSPORT_PCI, true);
	bed.item = &cfg;
	dev = bed_add(&bed, "virtio-blk");
	drv_find(&drv, &bed, dev, 1);
}

static void set_up(uint64_t features)
{
	drv_msix(&drv, 2);
	drv_negotiate(&drv, VIRTIO_F_VERSION_1 | (features & 0x1fffffff));
	drv_queue(&drv, 0, 16, RING);
	drv_go(&drv);
}

/* A header of the usual types, mostly. */
static void header_op(const struct op *op)
{
	static const uint8_t types[] = { 0, 1, 4, 8, 11, 13, 2, 255 };
	uint8_t raw[32] = { 0 };

	put_le32(raw, types[op->flags & 7]);
	put_le64(raw + 8,
		 op->flags & 0x80 ? UINT64_MAX / (op->at | 1) : op->at);
	put_le64(raw + 16, op->at);
	put_le32(raw + 24, op->value & 0xfff);
	put_le32(raw + 28, op->value >> 30);
	ram_write(&bed.ram, GPA(HEAD + (op->kind >> 6) * 64), raw, 32);
}

static void desc_op(const struct op *op)
{
	static const uint32_t sizes[] = { 16, 512, 1, 4096, 0, 32, 513, 15 };
	uint64_t at =
		op->flags & 0x40 ? DATA + op->at : HEAD + (op->kind >> 6) * 64;

	desc_put(&bed, RING, op->value >> 8 & 15, at, sizes[op->flags & 7],
		 op->flags >> 3 & 7, op->value & 15);
}

static void save_and_load(const struct op *op)
{
	bed_save_load(&bed, dev, op->at,
		      op->flags & 1 ? (uint8_t)op->value : 0);
}

static void operate(const struct op *op)
{
	switch (op->kind & 15) {
	case 0:
	case 1:
	case 2:
		desc_op(op);
		break;
	case 3:
	case 4:
		header_op(op);
		break;
	case 5:
	case 6:
	case 7:
		if (drv.size[0])
			drv_offer(&drv, 0, op->at & 15);
		drv_kick(&drv, 0);
		break;
	case 8:
		set_up(op->flags & 1 ? op->value : drv_offered(&drv));
		break;
	case 9:
		drv_set_status(&drv, op->flags & 1 ? 0 : (uint8_t)op->value);
		break;
	case 10:
		drv_put(&drv, 0x2000 + (op->at & 63), 1u << (op->flags & 3),
			op->value);
		break;
	case 11:
		save_and_load(op);
		break;
	case 12:
		drv_ring_reset(&drv, 0);
		break;
	case 13:
		ram_write(&bed.ram, GPA(RING + op->at % 0x8100), &op->value, 4);
		break;
	default:
		bed_run(&bed, 1);
	}
}

/* Reset, and read a sector. */
static void check_works(void)
{
	uint32_t head, len;

	dev->cls->reset(dev);
	set_up(0);
	ram_fill(&bed.ram, GPA(HEAD), 0, 64);
	desc_put(&bed, RING, 0, HEAD, 16, D_NEXT, 1);
	desc_put(&bed, RING, 1, DATA, 512, D_NEXT | D_WRITE, 2);
	desc_put(&bed, RING, 2, HEAD + 32, 1, D_WRITE, 0);
	drv_offer(&drv, 0, 0);
	drv_kick(&drv, 0);
	for (unsigned i = 0; i < 100000 && !drv_used_idx(&drv, 0); i++)
		usleep(50);
	CHECK(drv_take(&drv, 0, &head, &len));
	CHECK(len == 513);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len < sizeof(struct op))
		return -1;
	if (!dev)
		open_disk();
	dev->cls->reset(dev);
	bed.vm.doorbells = bed.vm.irqfds = 0;
	set_up(drv_offered(&drv) & ~VIRTIO_F_EVENT_IDX);
	for (size_t at = 0; at + sizeof(struct op) <= MIN(len, 2048u);
	     at += sizeof(struct op)) {
		struct op op;

		memcpy(&op, data + at, sizeof(op));
		operate(&op);
	}
	check_works();
	return 0;
}
