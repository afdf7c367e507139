/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: virtio-console (VIRTIO 1.3 sec. 5.3)
 *
 * run pci: --console file=out
 * run mmio: --console file=out --platform transport=mmio
 * prepare: rm -f out
 * after: grep -q '^payload-console' out
 */
#include "exercise.h"

static const char text[] = "payload-console\n";

static void request(struct vbuf *bufs)
{
	bufs[0] = (struct vbuf){ (uintptr_t)text, sizeof(text) - 1 };
}

static bool check(const struct vbuf *bufs, uint32_t written)
{
	(void)bufs;
	return written == 0;
}

void secondary(void)
{
}

void payload(void)
{
	static const struct exercise console = { .id = 3,
						 .queue = 1,
						 .out = 1,
						 .request = request,
						 .check = check };

	exercise(&console);
	plan_done();
}
