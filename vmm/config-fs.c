/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: --fs */
#include <errno.h>
#include <string.h>

#include "vmm/config-impl.h"

/* VIRTIO 1.3 sec. 5.11.4 */
#define TAG_BYTES_MAX 36

static const struct schema_key keys[] = {
	{ .name = "tag",
	  .type = SCHEMA_STRING,
	  .offset = ITEM_AT(fs_config, tag),
	  .doc = "name by which the guest mounts it, 1 to 36 bytes",
	  SINCE },
	{ .name = "socket",
	  .type = SCHEMA_PATH,
	  .offset = ITEM_AT(fs_config, socket),
	  .doc = "where virtiofsd listens",
	  SINCE },
	{ .name = "num_queues",
	  .type = SCHEMA_U32,
	  .offset = ITEM_AT(fs_config, num_queues),
	  .min = 1,
	  .max = 64,
	  .preset = "1",
	  .doc = "request queues",
	  SINCE },
	{ .name = "queue_size",
	  .type = SCHEMA_U32,
	  .offset = ITEM_AT(fs_config, queue_size),
	  .min = 1,
	  .max = 32768,
	  .preset = "1024",
	  .doc = "entries of each queue, a power of two",
	  SINCE },
	PCI_KEYS(fs_config),
};

const struct schema_option fs_option = {
	.name = "fs",
	.group = "Devices",
	ITEMS(fs, fs_count, fs_config, 64),
	.id_prefix = "_fs",
	KEYS(keys),
	.later = LATER_DEVICE,
	.doc = "shared file system, served by virtiofsd",
	MACHINE,
};

int check_vhost_user(const struct vm_config *c, const char *who,
		     const char *socket, struct diag *d)
{
	if (!socket)
		return diag_fail(d, EINVAL,
				 "%s: socket= is missing: where does the back "
				 "end listen",
				 who);
	if (vm_config_ram_shared(c))
		return 0;
	return diag_fail(d, EINVAL,
			 "%s: a vhost-user back end must see the guest's RAM: "
			 "give %s shared=on",
			 who,
			 c->zone_count ? "each --memory-zone" : "--memory");
}

int check_own_keys(const char *who, const struct given_key *own, size_t count,
		   struct diag *d)
{
	for (size_t i = 0; i < count; i++)
		if (own[i].given)
			return diag_fail(d, EINVAL,
					 "%s vhost_user=on: %s= is up to the "
					 "back end: give it there, not here",
					 who, own[i].key);
	return 0;
}

int check_socket(const struct vm_config *c, const char *who, bool vhost_user,
		 const char *socket, struct diag *d)
{
	if (vhost_user)
		return check_vhost_user(c, who, socket, d);
	if (!socket)
		return 0;
	return diag_fail(d, EINVAL,
			 "%s socket=%s: works only with vhost_user=on", who,
			 socket);
}

static int check_one(const struct vm_config *c, const struct fs_config *fs,
		     struct diag *d)
{
	if (!fs->tag || !*fs->tag || strlen(fs->tag) > TAG_BYTES_MAX)
		return diag_fail(d, EINVAL,
				 "--fs tag=%.80s: must be 1 to %d bytes long",
				 fs->tag ? fs->tag : "", TAG_BYTES_MAX);
	if (!is_pow2(fs->queue_size))
		return diag_fail(d, EINVAL,
				 "--fs queue_size=%u: must be a power of two",
				 fs->queue_size);
	return check_vhost_user(c, "--fs", fs->socket, d);
}

int check_fs(const struct vm_config *c, struct diag *d)
{
	int ret = 0;

	for (unsigned i = 0; i < c->fs_count && !ret; i++)
		ret = check_one(c, &c->fs[i], d);
	for (unsigned i = 0; i < c->fs_count && !ret; i++)
		for (unsigned j = 0; j < i && !ret; j++)
			if (!strcmp(c->fs[i].tag, c->fs[j].tag))
				ret = diag_fail(d, EINVAL,
						"--fs tag=%s: given twice",
						c->fs[i].tag);
	return ret;
}
