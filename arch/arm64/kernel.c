/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: arm64: a kernel file into RAM, see kernel.h
 *
 * The header is unpacked first, because it says where the rest must go; then
 * the rest goes straight there. Sizes in the header are only compared with
 * the room there is, and unpacking stops at the size that it announced.
 */
#include "arch/arm64/kernel.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "arch/arm64/image.h"

int arm64_file_size(uint64_t *out, int fd, struct diag *d)
{
	struct stat st;

	if (fstat(fd, &st))
		return diag_errno(d, errno, "cannot be read");
	if (S_ISDIR(st.st_mode))
		return diag_fail(d, EISDIR, "is a directory");
	if (st.st_size < 0)
		return diag_fail(d, EIO, "has no size");
	*out = (uint64_t)st.st_size;
	return 0;
}

int arm64_read_file(int fd, void *dst, uint64_t len, struct diag *d)
{
	struct unpack *u;
	uint64_t got;
	int err = unpack_new(&u, fd, 0, len, UNPACK_PLAIN, d);

	if (err)
		return err;
	err = unpack_read(u, dst, len, &got, d);
	unpack_free(u);
	return err;
}

static int check_room(const struct image_header *h, uint64_t room,
		      struct diag *d)
{
	uint64_t need = h->image_bytes;

	if (add_u64(need, h->text_offset, &need) && need <= room)
		return 0;
	return diag_fail(d, E2BIG,
			 "needs %" PRIu64
			 " MiB of memory, and there are %" PRIu64
			 ": give more --memory",
			 arm64_mib_up(need), room / MIB(1));
}

static int unpack_image(struct unpack *u, struct image_header *h,
			struct guest_ram *ram, gpa_t base, uint64_t room,
			struct diag *d)
{
	uint8_t head[ARM64_IMAGE_HEADER_BYTES], more;
	uint64_t got, rest;
	uint8_t *image;
	int err;

	if ((err = unpack_read(u, head, sizeof(head), &got, d)) ||
	    (err = image_parse(h, head, got, d)) ||
	    (err = check_room(h, room, d)))
		return err;
	image = ram_pin(ram, GPA(base.v + h->text_offset), h->image_bytes);
	if (!image || h->image_bytes < sizeof(head))
		return diag_fail(
			d, EINVAL,
			"its header is damaged: image_size is %" PRIu64,
			h->image_bytes);
	memcpy(image, head, sizeof(head));
	if ((err = unpack_read(u, image + sizeof(head),
			       h->image_bytes - sizeof(head), &rest, d)) ||
	    (err = unpack_read(u, &more, 1, &got, d)))
		return err;
	if (got)
		return diag_fail(d, EINVAL,
				 "holds more than the %" PRIu64 " bytes that "
				 "its header announces",
				 h->image_bytes);
	return image_complete(image, sizeof(head) + rest, d);
}

int arm64_load_kernel(struct arm64_kernel *out, struct guest_ram *ram,
		      gpa_t base, uint64_t room, int fd, struct diag *d)
{
	uint8_t head[ARM64_HEAD_BYTES];
	struct image_packing packing;
	struct image_header h;
	uint64_t size = 0, head_len;
	struct unpack *u;
	int err = arm64_file_size(&size, fd, d);

	if (err)
		return err;
	head_len = MIN(size, sizeof(head));
	if ((err = arm64_read_file(fd, head, head_len, d)) ||
	    (err = image_recognise(&packing, head, head_len, size, d)) ||
	    (err = unpack_new(&u, fd, packing.at, packing.size_bytes,
			      packing.format, d)))
		return err;
	err = unpack_image(u, &h, ram, base, room, d);
	unpack_free(u);
	if (err)
		return err;
	out->entry = GPA(base.v + h.text_offset);
	out->end = GPA(out->entry.v + h.image_bytes);
	return 0;
}
