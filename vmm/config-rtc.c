/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: --rtc */
#include "vmm/config-impl.h"

static const struct schema_key keys[] = {
	{ .type = SCHEMA_FLAG, .offset = AT(rtc), SINCE },
};

const struct schema_option rtc_option = {
	.name = "rtc",
	.group = "Devices",
	KEYS(keys),
	.doc = "virtio clock: the host's time for chrony in the guest",
	MACHINE,
};
