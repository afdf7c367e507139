/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: a guest that does anything to its balloon, see one-device.h */
#include "devices/virtio/balloon.h"
#include "tests/fuzz/one-device.h"

#define VICTIM (BED_RAM_B + 0xff000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void open_bed(struct bed *b)
{
	static const struct balloon_config config = { .deflate_on_oom = true,
						      .free_page_reporting =
							      true };

	b->item = &config;
}

/* Hints are of RAM, whatever the driver says. */
static void on_free(void *opaque, gpa_t gpa, uint64_t len)
{
	const struct device *dev = opaque;

	CHECK(ram_pin(dev->env->ram, gpa, len));
}

static void on_end(void *opaque)
{
	(void)opaque;
}

static void step(struct device *dev, const struct one_step *s)
{
	const struct balloon_hints hints = { on_free, on_end, dev };
	struct balloon_stats stats;
	struct diag d = DIAG_INIT;

	switch (s->at & 3) {
	case 0:
		virtio_balloon_resize(dev, s->value, &d);
		break;
	case 1:
		virtio_balloon_stats(dev, &stats);
		break;
	case 2:
		virtio_balloon_hint_start(dev, &hints);
		break;
	default:
		virtio_balloon_hint_stop(dev);
	}
}

/* The page that was named is empty, the one before it is not. */
static void check(struct bed *b, struct drv *drv)
{
	uint32_t head, len;
	uint8_t raw[4];

	ram_fill(&b->ram, GPA(VICTIM - 0x1000), 0xaa, 0x2000);
	one_start(drv, 5, 0);
	put_le32(raw, VICTIM >> 12);
	ram_write(&b->ram, GPA(ONE_DATA), raw, 4);
	drv_add(drv, 0, ONE_DATA, 4, false);
	drv_kick(drv, 0);
	bed_run(b, 2);
	CHECK(drv_take(drv, 0, &head, &len));
	ram_read(&b->ram, GPA(VICTIM), raw, 1);
	CHECK(!raw[0]);
	ram_read(&b->ram, GPA(VICTIM - 1), raw, 1);
	CHECK(raw[0] == 0xaa);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const struct one_device balloon = { "virtio-balloon", 5,
						   open_bed, step, check };

	return one_device(&balloon, data, len);
}
