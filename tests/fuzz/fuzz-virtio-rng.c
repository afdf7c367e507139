/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: a guest that does anything to its source of entropy, which now and then
 * has nothing or ends; see one-device.h */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "tests/fuzz/one-device.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static int pipe_ends[2];
static char source[32];

/* A pipe, which this process holds at both ends. */
static void open_bed(struct bed *b)
{
	CHECK(pipe_ends[1] || !pipe2(pipe_ends, O_CLOEXEC | O_NONBLOCK));
	snprintf(source, sizeof(source), "/proc/self/fd/%d", pipe_ends[0]);
	b->config.rng.src = source;
}

static void feed(void)
{
	static const uint8_t bytes[64] = { 1 };

	if (write(pipe_ends[1], bytes, sizeof(bytes)) < 0)
		CHECK(errno == EAGAIN);
}

static void step(struct device *dev, const struct one_step *s)
{
	(void)dev;
	(void)s;
	feed();
}

static void check(struct bed *b, struct drv *drv)
{
	uint32_t head, len;

	one_start(drv, 1, 0);
	feed();
	drv_offer(drv, 0, drv_add(drv, 0, ONE_DATA, 16, true));
	drv_kick(drv, 0);
	bed_run(b, 3);
	CHECK(drv_take(drv, 0, &head, &len) && len == 16);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const struct one_device rng = { "virtio-rng", 1, open_bed, step,
					       check };

	return one_device(&rng, data, len);
}
