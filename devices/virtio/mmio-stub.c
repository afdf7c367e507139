/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: stands in for mmio.c in a build without CONFIG_VIRTIO_MMIO */
#include <errno.h>

#include "devices/virtio/virtio.h"

static int stub_realize(struct virtio_device *vd, struct diag *d)
{
	return diag_fail(d, ENOTSUP,
			 "%s: --platform transport=mmio: this build has no "
			 "virtio over MMIO",
			 vd->dev.id);
}

const struct virtio_transport virtio_mmio = {
	.name = "MMIO",
	.size_bytes = 1,
	.realize = stub_realize,
};
