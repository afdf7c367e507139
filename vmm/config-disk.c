/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: --disk and --rate-limit-group
 *
 * Names and defaults are Cloud Hypervisor's, image_type=vhd and its like
 * excepted: such images are refused, with the way to convert them.
 *
 * With vhost_user=on the image is the back end's affair, and so are the keys
 * about it: they are refused rather than ignored.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "vmm/config-impl.h"
#include "vmm/config-rate.h"

#define SERIAL_MAX	20    /* VIRTIO 1.3 sec. 5.2.6: GET_ID */
#define QUEUES_MAX	64    /* a thread each */
#define QUEUE_SIZE_MAX	32768 /* VIRTIO 1.3 sec. 2.7 */
#define DISKS_MAX	64
#define RATE_GROUPS_MAX 64

static const struct schema_choice type_words[] = {
	{ .name = "raw", .value = DISK_RAW },
	{ .name = "qcow2", .value = DISK_QCOW2 },
	{ .name = "vhd", .value = DISK_VHD },
	{ .name = "vhdx", .value = DISK_VHDX },
	{ .name = "vmdk", .value = DISK_VMDK },
};

static const struct schema_choice lock_words[] = {
	{ .name = "byte-range", .value = LOCK_BYTE_RANGE },
	{ .name = "full", .value = LOCK_FULL },
};

#define DISK(member) ITEM_AT(disk_config, member)

static const struct schema_key disk_keys[] = {
	{ .name = "path",
	  .type = SCHEMA_PATH,
	  .offset = DISK(path),
	  .doc = "image: a regular file or a block device",
	  SINCE },
	PCI_KEYS(disk_config),
	{ .name = "image_type",
	  .type = SCHEMA_ENUM,
	  .offset = DISK(image_type),
	  CHOICES(type_words),
	  .doc = "format of the image, which is never guessed: raw unless "
		 "given; others than raw and qcow2 must be converted",
	  SINCE },
	{ .name = "readonly",
	  .type = SCHEMA_BOOL,
	  .offset = DISK(readonly),
	  .preset = "off",
	  .doc = "the guest cannot write; several machines can share it",
	  SINCE },
	{ .name = "direct",
	  .type = SCHEMA_BOOL,
	  .offset = DISK(direct),
	  .preset = "off",
	  .doc = "bypass the host's page cache (O_DIRECT)",
	  SINCE },
	{ .name = "backing_files",
	  .type = SCHEMA_BOOL,
	  .offset = DISK(backing_files),
	  .preset = "off",
	  .doc = "open the files that a qcow2 image names as its base",
	  SINCE },
	{ .name = "sparse",
	  .type = SCHEMA_BOOL,
	  .offset = DISK(sparse),
	  .preset = "on",
	  .doc = "give back to the host what the guest discards",
	  SINCE },
	{ .name = "serial",
	  .type = SCHEMA_STRING,
	  .offset = DISK(serial),
	  .doc = "serial number, up to 20 characters; the id unless given",
	  SINCE },
	{ .name = "num_queues",
	  .type = SCHEMA_U32,
	  .offset = DISK(num_queues),
	  .min = 1,
	  .max = QUEUES_MAX,
	  .preset = "1",
	  .doc = "queues, each with a thread of its own",
	  SINCE },
	{ .name = "queue_size",
	  .type = SCHEMA_U32,
	  .offset = DISK(queue_size),
	  .min = 2,
	  .max = QUEUE_SIZE_MAX,
	  .preset = "128",
	  .doc = "entries of each queue, a power of two",
	  SINCE },
	{ .name = "queue_affinity",
	  .type = SCHEMA_AFFINITY,
	  .offset = DISK(queue_affinity),
	  .max = UINT16_MAX,
	  .doc = "host CPUs for the thread of each queue: [0@[1,2],1@[3-5]]",
	  SINCE },
	{ .name = "lock_granularity",
	  .type = SCHEMA_ENUM,
	  .offset = DISK(lock_granularity),
	  CHOICES(lock_words),
	  .preset = "byte-range",
	  .doc = "lock the bytes that the image has, or all there could be",
	  SINCE },
	RATE_KEYS(disk_config),
	{ .name = "rate_limit_group",
	  .type = SCHEMA_STRING,
	  .offset = DISK(rate_limit_group),
	  .doc = "share the limits of this --rate-limit-group",
	  SINCE },
	{ .name = "_disable_io_uring",
	  .type = SCHEMA_BOOL,
	  .offset = DISK(disable_io_uring),
	  .preset = "off",
	  .doc = "let threads do the I/O",
	  SINCE },
	VHOST_USER_KEYS(disk_config),
};

const struct schema_option disk_option = {
	.name = "disk",
	.group = "Devices",
	ITEMS(disks, disk_count, disk_config, DISKS_MAX),
	.id_prefix = "_disk",
	KEYS(disk_keys),
	.later = LATER_DEVICE " _disable_aio",
	.doc = "virtio disk",
	SERVED,
};

static const struct schema_key group_keys[] = {
	{ .name = "id",
	  .type = SCHEMA_STRING,
	  .offset = ITEM_AT(rate_group_config, id),
	  .doc = "name for rate_limit_group=",
	  SINCE },
	RATE_KEYS(rate_group_config),
};

const struct schema_option rate_group_option = {
	.name = "rate-limit-group",
	.group = "Devices",
	ITEMS(rate_groups, rate_group_count, rate_group_config,
	      RATE_GROUPS_MAX),
	KEYS(group_keys),
	.doc = "rate limit that several disks share",
	MACHINE,
};

static bool limited(const struct rate_config *r)
{
	static const struct rate_config none;

	return memcmp(r, &none, sizeof(none)) != 0;
}

static int check_groups(const struct vm_config *c, struct diag *d)
{
	int err = 0;

	for (unsigned i = 0; i < c->rate_group_count && !err; i++) {
		const struct rate_group_config *g = &c->rate_groups[i];

		if (!g->id)
			return diag_fail(d, EINVAL,
					 "--rate-limit-group: needs id=NAME");
		if (!limited(&g->rate))
			return diag_fail(d, EINVAL,
					 "--rate-limit-group id=%s: limits "
					 "nothing: needs bw_size or ops_size",
					 g->id);
		for (unsigned j = 0; j < i; j++)
			if (!strcmp(c->rate_groups[j].id, g->id))
				return diag_fail(d, EINVAL,
						 "--rate-limit-group id=%s: "
						 "there is one already",
						 g->id);
		err = rate_config_check(&g->rate, "--rate-limit-group", d);
	}
	return err;
}

static int check_rate(const struct vm_config *c, const struct disk_config *k,
		      struct diag *d)
{
	if (!k->rate_limit_group)
		return rate_config_check(&k->rate, "--disk", d);
	if (limited(&k->rate))
		return diag_fail(d, EINVAL,
				 "--disk rate_limit_group=%s: has limits of "
				 "its own already; remove bw_ and ops_ keys",
				 k->rate_limit_group);
	for (unsigned i = 0; i < c->rate_group_count; i++)
		if (!strcmp(c->rate_groups[i].id, k->rate_limit_group))
			return 0;
	return diag_fail(d, EINVAL,
			 "--disk rate_limit_group=%s: there is no "
			 "--rate-limit-group id=%s",
			 k->rate_limit_group, k->rate_limit_group);
}

static int check_type(const struct disk_config *k, struct diag *d)
{
	static const char *const format[] = {
		[DISK_VHD] = "vpc",
		[DISK_VHDX] = "vhdx",
		[DISK_VMDK] = "vmdk",
	};

	if (k->image_type >= DISK_VHD) {
		return diag_fail(d, EINVAL,
				 "--disk path=%s: image_type=%s is not "
				 "supported: convert it, qemu-img convert -f "
				 "%s -O raw",
				 k->path,
				 k->image_type == DISK_VHD
					 ? "vhd"
					 : format[k->image_type],
				 format[k->image_type]);
	}
	if (k->backing_files && k->image_type != DISK_QCOW2)
		return diag_fail(d, EINVAL,
				 "--disk path=%s: backing_files=on: works only "
				 "with image_type=qcow2",
				 k->path);
	return 0;
}

static int check_queues(const struct disk_config *k, struct diag *d)
{
	if (!is_pow2(k->queue_size))
		return diag_fail(d, EINVAL,
				 "--disk queue_size=%" PRIu32
				 ": must be a power of two, 2 to 32768",
				 k->queue_size);
	for (unsigned i = 0; i < k->queue_affinity.count; i++)
		if (k->queue_affinity.v[i].index >= k->num_queues)
			return diag_fail(
				d, EINVAL,
				"--disk queue_affinity=[%" PRIu32
				"@...]: there are only num_queues=%" PRIu32
				", counted from 0",
				k->queue_affinity.v[i].index, k->num_queues);
	return 0;
}

static int check_image_keys(const struct disk_config *k, struct diag *d)
{
	const struct given_key keys[] = {
		{ k->path, "path" },
		{ k->image_type != DISK_UNTYPED, "image_type" },
		{ k->readonly, "readonly" },
		{ k->direct, "direct" },
		{ k->backing_files, "backing_files" },
		{ !k->sparse, "sparse" },
		{ k->serial, "serial" },
		{ k->queue_affinity.count, "queue_affinity" },
		{ k->lock_granularity != LOCK_BYTE_RANGE, "lock_granularity" },
		{ k->rate_limit_group, "rate_limit_group" },
		{ k->rate.bandwidth.size, "bw_size" },
		{ k->rate.ops.size, "ops_size" },
		{ k->disable_io_uring, "_disable_io_uring" },
	};

	return check_own_keys("--disk", keys, ARRAY_SIZE(keys), d);
}

static int check_remote(const struct vm_config *c, const struct disk_config *k,
			struct diag *d)
{
	int err = check_image_keys(k, d);

	if (!err)
		err = check_queues(k, d);
	return err ? err
		   : check_socket(c, "--disk", k->vhost_user, k->socket, d);
}

static int check_disk(const struct vm_config *c, const struct disk_config *k,
		      struct diag *d)
{
	int err;

	if (k->vhost_user)
		return check_remote(c, k, d);
	if (!k->path)
		return diag_fail(d, EINVAL, "--disk: needs path=FILE");
	if (k->serial && strlen(k->serial) > SERIAL_MAX)
		return diag_fail(d, EINVAL,
				 "--disk serial=%s: longer than %d characters",
				 k->serial, SERIAL_MAX);
	err = check_type(k, d);
	if (!err)
		err = check_queues(k, d);
	if (!err)
		err = check_rate(c, k, d);
	if (!err)
		err = check_socket(c, "--disk", k->vhost_user, k->socket, d);
	return err;
}

int check_disks(const struct vm_config *c, struct diag *d)
{
	int err = check_groups(c, d);

	for (unsigned i = 0; i < c->disk_count && !err; i++)
		err = check_disk(c, &c->disks[i], d);
	return err;
}
