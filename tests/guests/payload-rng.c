/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: virtio-rng (VIRTIO 1.3 sec. 5.4)
 *
 * run pci:
 * run mmio: --platform transport=mmio
 */
#include "exercise.h"

#define BYTES 64

static void request(struct vbuf *bufs)
{
	bufs[0] = (struct vbuf){ ram_alloc(BYTES, 4), BYTES };
}

static bool check(const struct vbuf *bufs, uint32_t written)
{
	uint32_t sum = 0;

	for (unsigned i = 0; i < BYTES; i += 4) {
		sum |= read32(bufs[0].at + i);
		write32(bufs[0].at + i, 0);
	}
	return sum && written && written <= BYTES;
}

void secondary(void)
{
}

void payload(void)
{
	static const struct exercise rng = {
		.id = 4, .in = 1, .request = request, .check = check
	};

	exercise(&rng);
	plan_done();
}
