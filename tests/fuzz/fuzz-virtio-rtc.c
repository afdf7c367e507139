/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: a guest that does anything to its virtio clock, see one-device.h */
#include "tests/fuzz/one-device.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void open_bed(struct bed *b)
{
	(void)b;
}

static void check(struct bed *b, struct drv *drv)
{
	uint8_t raw[16] = { 1 };
	uint32_t head, len;

	one_start(drv, 1, 0);
	ram_write(&b->ram, GPA(ONE_DATA), raw, sizeof(raw));
	desc_put(b, drv->ring[0], 0, ONE_DATA, 16, D_NEXT, 1);
	desc_put(b, drv->ring[0], 1, ONE_DATA + 16, 16, D_WRITE, 0);
	drv_offer(drv, 0, 0);
	drv_kick(drv, 0);
	bed_run(b, 2);
	CHECK(drv_take(drv, 0, &head, &len) && len == 16);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const struct one_device rtc = { "virtio-rtc", 1, open_bed, NULL,
					       check };

	return one_device(&rtc, data, len);
}
