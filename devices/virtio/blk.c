/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: virtio disk (VIRTIO 1.3 sec. 5.2)
 *
 * Offers SEG_MAX, BLK_SIZE, TOPOLOGY, FLUSH, CONFIG_WCE, MQ, and RO, DISCARD
 * and WRITE_ZEROES as the image has them. Not offered: SIZE_MAX, GEOMETRY
 * (nothing limits them), SECURE_ERASE, LIFETIME, ZONED.
 *
 * A driver that accepts neither FLUSH nor CONFIG_WCE, or turns writeback off,
 * gets a write-through disk: each write is made durable before it is done
 * (sec. 5.2.6.2). The serial number is the device's id unless serial= says
 * something else.
 *
 * Errors of the host, a full disk among them, are the request's: the guest
 * sees an I/O error, the log says it once.
 *
 * Threads: each queue is served by an I/O thread, "_disk0_q0". See virtio.h.
 */
#include "devices/virtio/blk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/bytes.h"

#include "devices/virtio/devices.h"

/* VIRTIO 1.3 sec. 5.2.4 */
enum {
	CFG_CAPACITY = 0,
	CFG_SEG_MAX = 12,
	CFG_BLK_SIZE = 20,
	CFG_PHYSICAL_EXP = 24,
	CFG_MIN_IO = 26,
	CFG_OPT_IO = 28,
	CFG_WRITEBACK = 32,
	CFG_NUM_QUEUES = 34,
	CFG_DISCARD_SECTORS = 36,
	CFG_DISCARD_SEG = 40,
	CFG_DISCARD_ALIGN = 44,
	CFG_ZEROES_SECTORS = 48,
	CFG_ZEROES_SEG = 52,
	CFG_ZEROES_UNMAP = 56,
	CFG_BYTES = 60,
};

#define SEG_MAX 1022 /* IOV_MAX less header and status */

static struct blk *to_blk(struct virtio_device *vd)
{
	return container_of(vd, struct blk, vd);
}

/* ---- features and configuration ---------------------------------------- */

static uint64_t blk_get_features(struct virtio_device *vd)
{
	struct blk *blk = to_blk(vd);
	uint64_t f = VIRTIO_BLK_F_SEG_MAX | VIRTIO_BLK_F_BLK_SIZE |
		     VIRTIO_BLK_F_TOPOLOGY | VIRTIO_BLK_F_FLUSH |
		     VIRTIO_BLK_F_CONFIG_WCE | VIRTIO_BLK_F_MQ;

	if (!blk->image)
		return f;
	if (block_info(blk->image)->readonly)
		f |= VIRTIO_BLK_F_RO;
	if (block_info(blk->image)->discard)
		f |= VIRTIO_BLK_F_DISCARD;
	if (block_info(blk->image)->write_zeroes)
		f |= VIRTIO_BLK_F_WRITE_ZEROES;
	return f;
}

/* VIRTIO 1.3 sec. 5.2.6.2 */
static void update_cache_mode(struct blk *blk)
{
	uint64_t f = blk->vd.features;

	atomic_store(&blk->write_through, f & VIRTIO_BLK_F_CONFIG_WCE
						  ? !blk->write_back
						  : !(f & VIRTIO_BLK_F_FLUSH));
}

static bool blk_set_features(struct virtio_device *vd, uint64_t features)
{
	(void)features;
	update_cache_mode(to_blk(vd));
	return true;
}

static void blk_reset(struct virtio_device *vd)
{
	to_blk(vd)->write_back = true;
}

static void put_topology(uint8_t *config, const struct block_info *i)
{
	uint32_t unit = i->logical_bytes;

	put_le32(config + CFG_BLK_SIZE, unit);
	config[CFG_PHYSICAL_EXP] =
		(uint8_t)__builtin_ctz(i->physical_bytes / unit);
	put_le16(config + CFG_MIN_IO,
		 (uint16_t)MIN(i->io_min_bytes / unit, UINT16_MAX));
	put_le32(config + CFG_OPT_IO, i->io_opt_bytes / unit);
	if (i->discard) {
		put_le32(config + CFG_DISCARD_SECTORS,
			 VIRTIO_BLK_DISCARD_SECTORS);
		put_le32(config + CFG_DISCARD_SEG, 1);
		put_le32(config + CFG_DISCARD_ALIGN,
			 MAX(i->discard_bytes, unit) / BLOCK_SECTOR_BYTES);
	}
	if (i->write_zeroes) {
		put_le32(config + CFG_ZEROES_SECTORS, VIRTIO_BLK_ZERO_SECTORS);
		put_le32(config + CFG_ZEROES_SEG, 1);
		config[CFG_ZEROES_UNMAP] = i->discard;
	}
}

static void blk_get_config(struct virtio_device *vd, uint8_t *config)
{
	struct blk *blk = to_blk(vd);
	uint32_t size = blk->cfg->queue_size; /* a front end may use less */

	memset(config, 0, CFG_BYTES);
	put_le32(config + CFG_SEG_MAX, size > 3 ? MIN(size - 2u, SEG_MAX) : 1);
	config[CFG_WRITEBACK] = blk->write_back;
	put_le16(config + CFG_NUM_QUEUES, (uint16_t)vd->queue_count);
	if (!blk->image)
		return;
	put_le64(config + CFG_CAPACITY,
		 block_capacity(blk->image) / BLOCK_SECTOR_BYTES);
	put_topology(config, block_info(blk->image));
}

static void blk_set_config(struct virtio_device *vd, unsigned offset,
			   const uint8_t *data, unsigned len)
{
	struct blk *blk = to_blk(vd);

	if (!(vd->features & VIRTIO_BLK_F_CONFIG_WCE) ||
	    !range_within(CFG_WRITEBACK, 1, offset, len))
		return;
	blk->write_back = data[CFG_WRITEBACK - offset] & 1;
	update_cache_mode(blk);
}

/* ---- state ------------------------------------------------------------- */

static void blk_save(const struct virtio_device *vd, struct stream_out *out)
{
	const struct blk *blk = (const void *)vd;

	stream_put_u8(out, blk->write_back);
}

static int blk_load(struct virtio_device *vd, struct stream_in *in)
{
	uint8_t write_back = stream_get_u8(in);

	if (in->failed || write_back > 1)
		return -EBADMSG;
	to_blk(vd)->write_back = write_back;
	return 0;
}

/* ---- life -------------------------------------------------------------- */

static int open_image(struct blk *blk, struct diag *d)
{
	const struct disk_config *c = blk->cfg;
	struct block_options opt = {
		.path = c->path,
		.type = c->image_type == DISK_QCOW2 ? BLOCK_QCOW2
			: c->image_type == DISK_RAW ? BLOCK_RAW
						    : BLOCK_AUTO,
		.engine = c->disable_io_uring ? ENGINE_THREADS : ENGINE_AUTO,
		.readonly = c->readonly,
		.direct = c->direct,
		.backing_files = c->backing_files,
		.sparse = c->sparse,
		.lock_whole = c->lock_granularity == LOCK_FULL,
	};
	char *what;
	int err;

	if (asprintf(&what, "--disk path=%s", c->path) < 0)
		return diag_fail(d, ENOMEM, "out of memory");
	opt.what = what;
	err = block_open(&blk->image, &opt, d);
	free(what);
	return err;
}

static void set_serial(struct blk *blk)
{
	const char *serial =
		blk->cfg->serial ? blk->cfg->serial : blk->vd.dev.id;

	memcpy(blk->serial, serial, strnlen(serial, VIRTIO_BLK_ID_BYTES));
}

/* vm_config_check() has made sure that the group exists. */
static void set_limit(struct blk *blk)
{
	const struct vm_config *c = blk->vd.dev.env->config;
	const char *group = blk->cfg->rate_limit_group;

	rate_limiter_init(&blk->own, &blk->cfg->rate);
	blk->limit = &blk->own;
	for (unsigned i = 0; group && i < c->rate_group_count; i++)
		if (!strcmp(c->rate_groups[i].id, group))
			blk->limit = &blk->vd.dev.env->rate_groups[i];
}

static void close_queues(struct blk *blk)
{
	for (unsigned i = 0; i < blk->vd.queue_count; i++)
		blk_queue_close(&blk->queue[i]);
	free(blk->queue);
	blk->queue = NULL;
}

static int open_queues(struct blk *blk, struct diag *d)
{
	int err = 0;

	blk->queue = calloc(blk->vd.queue_count, sizeof(blk->queue[0]));
	if (!blk->queue)
		return diag_fail(d, ENOMEM, "out of memory");
	for (unsigned i = 0; i < blk->vd.queue_count && !err; i++)
		err = blk_queue_open(blk, i, d);
	if (err)
		close_queues(blk);
	return err;
}

static int blk_realize(struct virtio_device *vd, struct diag *d)
{
	struct blk *blk = to_blk(vd);
	int err;

	blk->cfg = vd->dev.item;
	vd->queue_count = blk->cfg->num_queues;
	vd->queue_size = virtio_queue_most(vd, blk->cfg->queue_size);
	blk->write_back = true;
	set_serial(blk);
	set_limit(blk);
	if (vd->dev.env->tables_only)
		return 0;
	err = open_image(blk, d);
	if (err)
		goto err_limit;
	err = open_queues(blk, d);
	if (err)
		goto err_image;
	return 0;
err_image:
	block_close(blk->image);
err_limit:
	rate_limiter_release(&blk->own);
	return err;
}

static struct event_loop *blk_loop(struct virtio_device *vd, unsigned queue)
{
	struct blk *blk = to_blk(vd);

	return blk->queue ? iothread_loop(blk->queue[queue].thread) : NULL;
}

static void blk_halt(struct virtio_device *vd)
{
	struct blk *blk = to_blk(vd);

	for (unsigned i = 0; blk->queue && i < vd->queue_count; i++)
		iothread_stop(blk->queue[i].thread);
}

static void blk_unrealize(struct virtio_device *vd)
{
	struct blk *blk = to_blk(vd);

	if (blk->queue)
		close_queues(blk);
	block_close(blk->image);
	rate_limiter_release(&blk->own);
}

/* ---- while it runs ----------------------------------------------------- */

int virtio_blk_resize(struct device *dev, uint64_t bytes, struct diag *d)
{
	struct blk *blk = container_of(dev, struct blk, vd.dev);
	int err = block_resize(blk->image, bytes, d);

	if (!err)
		virtio_config_changed(&blk->vd);
	return err;
}

int virtio_blk_set_rate(struct device *dev, const struct rate_config *rate,
			struct diag *d)
{
	struct blk *blk = container_of(dev, struct blk, vd.dev);
	int err;

	if (blk->limit != &blk->own)
		return diag_fail(d, EINVAL,
				 "%s: its rate is that of rate_limit_group=%s",
				 dev->id, blk->cfg->rate_limit_group);
	err = rate_config_check(rate, "--disk", d);
	if (!err)
		rate_limiter_set(&blk->own, rate);
	return err;
}

static const struct virtio_class blk_virtio = {
	.id = VIRTIO_ID_BLOCK,
	.pci_class = 0x018000, /* mass storage, other */
	.queue_count = 1,
	.queue_size = 128,
	.config_bytes = CFG_BYTES,
	.parallel = true,
	.realize = blk_realize,
	.unrealize = blk_unrealize,
	.loop = blk_loop,
	.halt = blk_halt,
	.save = blk_save,
	.load = blk_load,
	.reset = blk_reset,
	.get_features = blk_get_features,
	.set_features = blk_set_features,
	.get_config = blk_get_config,
	.set_config = blk_set_config,
	.notify = blk_notify,
	.stop = blk_stop,
};

const struct device_class virtio_blk_class = {
	.name = "virtio-blk",
	.size_bytes = sizeof(struct blk),
	.data = &blk_virtio,
	VIRTIO_DEVICE_CLASS,
};
