/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: a guest that does anything to persistent memory, see one-device.h */
#include <sys/mman.h>

#include "vmm/pmem.h"

#include "tests/fuzz/one-device.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void open_bed(struct bed *b)
{
	static struct pmem_config config;
	static char name[64];
	struct diag d = DIAG_INIT;
	int fd = memfd_create("fuzz-pmem", MFD_CLOEXEC);

	CHECK(fd >= 0 && !ftruncate(fd, MIB(2)));
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	config = (struct pmem_config){ .file = name, .discard_writes = true };
	b->config.pmem = &config;
	b->config.pmem_count = 1;
	b->platform.pa_bits = 40;
	b->item = &config;
	CHECK(!pmem_place(&b->platform, &b->ram, &b->config, &d));
}

static void check(struct bed *b, struct drv *drv)
{
	struct virtio_device *vd =
		container_of(drv->dev, struct virtio_device, dev);
	uint8_t raw[4] = { 0 };
	uint32_t head, len;
	bool got = false;

	one_start(drv, 1, 0);
	ram_write(&b->ram, GPA(ONE_DATA), raw, 4);
	desc_put(b, drv->ring[0], 0, ONE_DATA, 4, D_NEXT, 1);
	desc_put(b, drv->ring[0], 1, ONE_DATA + 8, 4, D_WRITE, 0);
	drv_offer(drv, 0, 0);
	drv_kick(drv, 0);
	for (unsigned i = 0; i < 200000 && !got; i++) {
		virtio_queue_lock(vd, 0);
		got = drv_take(drv, 0, &head, &len);
		virtio_queue_unlock(vd, 0);
		if (!got)
			usleep(10);
	}
	CHECK(got && len == 4);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const struct one_device pmem = { "virtio-pmem", 1, open_bed,
						NULL, check };

	return one_device(&pmem, data, len);
}
