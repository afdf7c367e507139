/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: persistent bitmaps of qcow2 images (sec. "Bitmaps extension")
 *
 * They say which clusters changed since some time. We do not keep them up to
 * date, so each that is meant to be (flag "auto") is marked as in use, which
 * is for good: QEMU calls it inconsistent and lets it be removed. So the image
 * stays without leaks, which just clearing the auto-clear bit would make of
 * all bitmaps. A directory that is damaged, or has more than 1 MiB, is given
 * up with the auto-clear bit.
 */
#include <errno.h>
#include <stdlib.h>

#include "vmm/base/bytes.h"

#include "devices/block/qcow2-impl.h"

#define DIRECTORY_MAX MIB(1)
#define ENTRY_BYTES   24 /* of the fixed part */

/* Offsets and flags of an entry (sec. "Bitmap directory"). */
enum { ENTRY_FLAGS = 12, ENTRY_NAME_BYTES = 18, ENTRY_EXTRA_BYTES = 20 };
enum { FLAG_IN_USE = 1, FLAG_AUTO = 2 };

/* Return: how many were marked, or -EINVAL. */
static int mark_all(uint8_t *dir, uint64_t bytes, uint32_t count)
{
	uint64_t at = 0;
	uint32_t flags;
	int marked = 0;

	while (count--) {
		if (!range_within(at, ENTRY_BYTES, 0, bytes))
			return -EINVAL;
		flags = get_be32(dir + at + ENTRY_FLAGS);
		if ((flags & (FLAG_AUTO | FLAG_IN_USE)) == FLAG_AUTO) {
			put_be32(dir + at + ENTRY_FLAGS, flags | FLAG_IN_USE);
			marked++;
		}
		at += align_up(
			ENTRY_BYTES + get_be32(dir + at + ENTRY_EXTRA_BYTES) +
				(uint64_t)get_be16(dir + at + ENTRY_NAME_BYTES),
			8);
	}
	return marked;
}

int qcow2_bitmaps_mark(struct qcow2 *q)
{
	uint64_t at = q->h.bitmaps_offset, bytes = q->h.bitmaps_bytes, padded;
	uint8_t *dir;
	int n;

	if ((at & (qcow2_cluster_bytes(q) - 1)) || !at || !bytes ||
	    bytes > DIRECTORY_MAX || !range_within(at, bytes, 0, q->file_bytes))
		return -EINVAL;
	padded = align_up(bytes, q->h.sector_bytes);
	dir = malloc(padded);
	if (!dir)
		return -ENOMEM;
	n = block_file_read(q->file, at, dir, padded);
	if (!n)
		n = mark_all(dir, bytes, q->h.bitmap_count);
	if (n > 0 && block_file_write(q->file, at, dir, padded))
		n = -EIO;
	free(dir);
	return n;
}
