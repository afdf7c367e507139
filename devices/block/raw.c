/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: raw images: byte n of the disk is byte n of the file */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "devices/block/impl.h"

static int raw_open(struct block *b, const struct block_options *opt,
		    struct diag *d)
{
	const struct block_file *f = b->file[0];
	uint64_t size = f->size_bytes;

	(void)opt;
	if (!size)
		return diag_fail(d, EINVAL,
				 "%s: is empty: give it a size (truncate -s "
				 "10G)",
				 f->what);
	if (size % f->logical_bytes) {
		return diag_fail(d, EINVAL,
				 "%s: its size of %llu bytes is not a multiple "
				 "of %u%s",
				 f->what, (unsigned long long)size,
				 f->logical_bytes,
				 size % BLOCK_SECTOR_BYTES
					 ? ": truncate -s %512 makes it one"
					 : ", which direct=on needs here");
	}
	b->capacity = size;
	return 0;
}

static void raw_submit(struct block_queue *q, struct block_request *r)
{
	block_file_submit(q, q->b->file[0], r);
}

static int raw_resize(struct block *b, uint64_t bytes, struct diag *d)
{
	struct block_file *f = b->file[0];
	int64_t size = block_file_size(f);

	if (f->is_device && size != (int64_t)bytes)
		return diag_fail(d, EINVAL,
				 "%s: is a block device of %lld bytes: only "
				 "its owner can change that",
				 f->what, (long long)size);
	if (!f->is_device && ftruncate(f->fd, (off_t)bytes) < 0)
		return diag_errno(d, errno, "%s: cannot be resized", f->what);
	f->size_bytes = bytes;
	if (!f->lock_whole && block_lock(f, NULL))
		return diag_fail(d, EBUSY, "%s: its new end is locked",
				 f->what);
	b->capacity = bytes;
	return 0;
}

const struct block_format block_raw = {
	.name = "raw",
	.open = raw_open,
	.submit = raw_submit,
	.resize = raw_resize,
};
