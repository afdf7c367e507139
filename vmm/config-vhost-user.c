/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: --generic-vhost-user */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/config-impl.h"

static const struct schema_key keys[] = {
	{ .name = "device_type",
	  .type = SCHEMA_STRING,
	  .offset = ITEM_AT(vhost_user_config, device_type),
	  .doc = "what the guest sees: a name (net, block, fs, ...) or a "
		 "number "
		 "of VIRTIO 1.3 sec. 5",
	  SINCE },
	{ .name = "socket",
	  .type = SCHEMA_PATH,
	  .offset = ITEM_AT(vhost_user_config, socket),
	  .doc = "where the back end listens",
	  SINCE },
	{ .name = "queue_sizes",
	  .type = SCHEMA_U32S,
	  .offset = ITEM_AT(vhost_user_config, queue_sizes),
	  .min = 1,
	  .max = 32768,
	  .doc = "one for each queue, powers of two",
	  SINCE },
	PCI_KEYS(vhost_user_config),
};

const struct schema_option generic_vhost_user_option = {
	.name = "generic-vhost-user",
	.group = "Devices",
	ITEMS(generic_vhost_user, generic_vhost_user_count, vhost_user_config,
	      64),
	.id_prefix = "_generic_vhost_user",
	KEYS(keys),
	.later = LATER_DEVICE,
	.doc = "any virtio device, served by a vhost-user back end",
	MACHINE,
};

/* VIRTIO 1.3 sec. 5, by Cloud Hypervisor's names. */
static const struct {
	const char *name;
	uint16_t id;
} types[] = {
	{ "net", 1 },
	{ "block", 2 },
	{ "console", 3 },
	{ "rng", 4 },
	{ "entropy", 4 },
	{ "balloon", 5 },
	{ "scsi", 8 },
	{ "9p", 9 },
	{ "gpu", 16 },
	{ "input", 18 },
	{ "vsock", 19 },
	{ "crypto", 20 },
	{ "iommu", 23 },
	{ "mem", 24 },
	{ "sound", 25 },
	{ "fs", 26 },
	{ "pmem", 27 },
	{ "rpmb", 28 },
	{ "video-encoder", 30 },
	{ "video-decoder", 31 },
	{ "i2c", 34 },
	{ "watchdog", 35 },
	{ "can", 36 },
	{ "gpio", 41 },
};

uint16_t vhost_user_device_type(const char *text)
{
	char *end;
	long id;

	for (size_t i = 0; text && i < ARRAY_SIZE(types); i++)
		if (!strcmp(text, types[i].name))
			return types[i].id;
	if (!text || *text < '0' || *text > '9')
		return 0;
	id = strtol(text, &end, 10);
	/* The PCI device id is 0x1040 + id (sec. 4.1.2). */
	return *end || id < 1 || id > 63 ? 0 : (uint16_t)id;
}

static int check_one(const struct vm_config *c,
		     const struct vhost_user_config *v, struct diag *d)
{
	if (!vhost_user_device_type(v->device_type))
		return diag_fail(d, EINVAL,
				 "--generic-vhost-user device_type=%.40s: must "
				 "be 1 to 63 or a name such as net, block, fs, "
				 "gpu, sound",
				 v->device_type ? v->device_type : "");
	if (!v->queue_sizes.count)
		return diag_fail(d, EINVAL,
				 "--generic-vhost-user: queue_sizes=[...] is "
				 "missing: one for each queue of the device");
	for (unsigned i = 0; i < v->queue_sizes.count; i++)
		if (!is_pow2(v->queue_sizes.v[i]))
			return diag_fail(d, EINVAL,
					 "--generic-vhost-user queue_sizes=%u: "
					 "must be a power of two",
					 v->queue_sizes.v[i]);
	return check_vhost_user(c, "--generic-vhost-user", v->socket, d);
}

int check_generic_vhost_user(const struct vm_config *c, struct diag *d)
{
	int ret = 0;

	for (unsigned i = 0; i < c->generic_vhost_user_count && !ret; i++)
		ret = check_one(c, &c->generic_vhost_user[i], d);
	return ret;
}
