/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: x86_64: files as the kernel loaders read them, see boot.h
 *
 * The file may change or shrink while it is read: every read says how much it
 * got. Bulk data goes from the page cache straight into guest RAM.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "arch/x86_64/boot.h"
#include "vmm/base/file.h"

static int judge(const struct x86_image *img, uint64_t at, uint64_t len,
		 int64_t got, struct diag *d)
{
	if (got < 0)
		return diag_fail(d, EIO, "%s %s: cannot be read: %s",
				 img->option, img->name, strerror((int)-got));
	if ((uint64_t)got < len)
		return diag_fail(d, EINVAL,
				 "%s %s: truncated: %" PRIu64 " bytes at "
				 "offset %" PRIu64 " are missing",
				 img->option, img->name, len - (uint64_t)got,
				 at + (uint64_t)got);
	return 0;
}

int x86_image_read(const struct x86_image *img, uint64_t at, void *buf,
		   uint64_t len, struct diag *d)
{
	if (!range_within(at, len, 0, img->size_bytes))
		return diag_fail(d, EINVAL,
				 "%s %s: truncated: it has %" PRIu64 " bytes "
				 "and refers to %" PRIu64 " at offset %" PRIu64,
				 img->option, img->name, img->size_bytes, len,
				 at);
	return judge(img, at, len, file_read_at(img->fd, at, buf, len), d);
}

int x86_image_copy(const struct x86_image *img, uint64_t at,
		   const struct guest_ram *ram, uint64_t gpa, uint64_t len,
		   struct diag *d)
{
	void *to = ram_pin(ram, GPA(gpa), len);

	if (!to)
		return diag_fail(d, E2BIG,
				 "%s %s: no RAM for %" PRIu64
				 " bytes at 0x%" PRIx64,
				 img->option, img->name, len, gpa);
	return x86_image_read(img, at, to, len, d);
}

int x86_image_open(struct x86_image *img, int fd, const char *option,
		   const char *name, struct diag *d)
{
	struct stat st;
	int64_t got;

	img->fd = fd;
	img->option = option;
	img->name = name;
	if (fstat(fd, &st) < 0)
		return diag_errno(d, errno, "%s %s", option, name);
	if (S_ISDIR(st.st_mode))
		return diag_fail(d, EISDIR, "%s %s: is a directory", option,
				 name);
	if (!S_ISREG(st.st_mode))
		return diag_fail(d, EINVAL, "%s %s: is not a regular file",
				 option, name);
	if (!st.st_size)
		return diag_fail(d, EINVAL, "%s %s: is empty", option, name);
	img->size_bytes = (uint64_t)st.st_size;
	memset(img->head, 0, sizeof(img->head));
	got = file_read_at(fd, 0, img->head, sizeof(img->head));
	img->head_bytes = got < 0 ? 0 : (size_t)got;
	return judge(img, 0, 0, got, d);
}

int x86_image_too_big(const struct x86_image *img, uint64_t end, uint64_t have,
		      struct diag *d)
{
	return diag_fail(d, E2BIG,
			 "%s %s: needs RAM up to %" PRIu64 " MiB, the guest "
			 "has %" PRIu64 " MiB below 3 GiB: give --memory more",
			 img->option, img->name, (end >> 20) + !!(end << 44),
			 have >> 20);
}

uint64_t x86_low_ram(const struct guest_ram *ram)
{
	if (!ram->region_count || ram->region[0].gpa.v)
		return 0;
	return ram->region[0].size_bytes;
}
