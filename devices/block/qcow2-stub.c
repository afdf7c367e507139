/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: a build without qcow2 */
#include <errno.h>

#include "devices/block/impl.h"

static int qcow2_open(struct block *b, const struct block_options *opt,
		      struct diag *d)
{
	(void)b;
	return diag_fail(d, ENOTSUP,
			 "%s: this build has no qcow2 (CONFIG_QCOW2): convert "
			 "it with qemu-img convert -O raw",
			 opt->what);
}

const struct block_format block_qcow2 = { .name = "qcow2", .open = qcow2_open };
