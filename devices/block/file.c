/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: files of the host: size, alignment, and the steps of a request
 *
 * A request is carried out by one system call if all goes well. Further steps
 * follow when a transfer was short, has more than IOV_MAX vectors, or goes
 * through an aligned copy because O_DIRECT does not take the guest's buffers;
 * and when the file system refuses an fallocate() mode, so that zeros have to
 * be written.
 *
 * Alignment of O_DIRECT: what statx() says (Linux 6.1), else found out by
 * reading: 512 if that works, else 4096.
 *
 * Limits: a copy is made in pieces of 256 KiB, so each request needs at most
 * that much memory. Zeros are written 1 MiB at a time.
 */
#include "vmm/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/check.h"
#include "vmm/base/iov.h"

#include "devices/block/impl.h"

#define LOGICAL_MAX	 4096 /* larger sectors no guest can use */
#define BOUNCE_BYTES_MAX KIB(256)
#define ZEROS_BYTES	 MIB(1)

/* Never written to; costs nothing until it is read. */
static uint8_t zeros[ZEROS_BYTES] __attribute__((aligned(LOGICAL_MAX)));

/* ---- what the file is like --------------------------------------------- */

int64_t block_file_size(const struct block_file *f)
{
	struct stat st;
	uint64_t bytes;

	if (f->is_device)
		return ioctl(f->fd, BLKGETSIZE64, &bytes) < 0 ? -errno
							      : (int64_t)bytes;
	return fstat(f->fd, &st) < 0 ? -errno : st.st_size;
}

static uint32_t sane_size(uint64_t bytes, uint32_t fallback)
{
	return is_pow2(bytes) && bytes >= BLOCK_SECTOR_BYTES && bytes <= MIB(1)
		       ? (uint32_t)bytes
		       : fallback;
}

static void measure_device(struct block_file *f)
{
	unsigned v = 0;
	int sector = 0;

	if (!ioctl(f->fd, BLKSSZGET, &sector))
		f->logical_bytes = sane_size((uint64_t)sector, 512);
	if (!ioctl(f->fd, BLKPBSZGET, &v))
		f->physical_bytes = sane_size(v, f->logical_bytes);
	if (!ioctl(f->fd, BLKIOMIN, &v))
		f->io_min_bytes = v;
	if (!ioctl(f->fd, BLKIOOPT, &v))
		f->io_opt_bytes = v;
}

/* What statx() says; false if it says nothing. 0: no O_DIRECT at all. */
static bool ask_alignment(int fd, uint32_t *mem, uint32_t *offset)
{
#ifdef STATX_DIOALIGN
	struct statx sx;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &sx) ||
	    !(sx.stx_mask & STATX_DIOALIGN))
		return false;
	*mem = sx.stx_dio_mem_align;
	*offset = sx.stx_dio_offset_align;
	return true;
#else
	(void)fd;
	(void)mem;
	(void)offset;
	return false;
#endif
}

static bool readable_at(int fd, uint32_t align)
{
	bool works = false;
	uint8_t *two = aligned_alloc(LOGICAL_MAX, (size_t)LOGICAL_MAX * 2);

	if (two)
		works = pread(fd, two + align, align, align) >= 0;
	free(two);
	return works;
}

static void probe_alignment(int fd, uint32_t *mem, uint32_t *offset)
{
	uint32_t align = readable_at(fd, BLOCK_SECTOR_BYTES) ? 512
			 : readable_at(fd, LOGICAL_MAX)	     ? LOGICAL_MAX
							     : 0;

	*mem = *offset = align;
}

static int measure_direct(struct block_file *f, struct diag *d)
{
	uint32_t mem = 0, offset = 0;

	if (!ask_alignment(f->fd, &mem, &offset))
		probe_alignment(f->fd, &mem, &offset);
	if (!offset || !mem)
		return diag_fail(d, EINVAL,
				 "%s: direct=on does not work on this file "
				 "system: say direct=off",
				 f->what);
	if (offset > LOGICAL_MAX || mem > LOGICAL_MAX)
		return diag_fail(d, EINVAL,
				 "%s: direct=on needs requests of %u bytes "
				 "here, a guest's are 4096 at most: say "
				 "direct=off",
				 f->what, MAX(offset, mem));
	f->mem_align = mem;
	if (offset > f->logical_bytes)
		f->logical_bytes = LOGICAL_MAX;
	f->physical_bytes = MAX(f->physical_bytes, f->logical_bytes);
	return 0;
}

static int measure(struct block_file *f, struct diag *d)
{
	struct stat st;
	int64_t size;

	if (fstat(f->fd, &st) < 0)
		return diag_errno(d, errno, "%s", f->what);
	f->is_device = S_ISBLK(st.st_mode);
	if (!f->is_device && !S_ISREG(st.st_mode))
		return diag_fail(d, EINVAL,
				 "%s: is neither a regular file nor a block "
				 "device",
				 f->what);
	f->logical_bytes = BLOCK_SECTOR_BYTES;
	f->physical_bytes = sane_size((uint64_t)st.st_blksize, 4096);
	f->mem_align = 1;
	if (f->is_device)
		measure_device(f);
	size = block_file_size(f);
	if (size < 0)
		return diag_errno(d, (int)-size, "%s: no size", f->what);
	f->size_bytes = (uint64_t)size;
	return f->direct ? measure_direct(f, d) : 0;
}

/* ---- life -------------------------------------------------------------- */

static int open_fd(struct block_file *f, const char *path, struct diag *d)
{
	/* Not blocking: a FIFO must not hold us up before measure() refuses
	 * it; and io_uring tries files of tmpfs at once instead of handing
	 * them to a thread. */
	int flags = O_CLOEXEC | O_NONBLOCK | O_NOCTTY;

	flags |= f->readonly ? O_RDONLY : O_RDWR;
	flags |= f->direct ? O_DIRECT : 0;
	f->fd = open(path, flags);
	if (f->fd >= 0)
		return 0;
	if (errno == EINVAL && f->direct)
		return diag_fail(d, EINVAL,
				 "%s: direct=on does not work on this file "
				 "system: say direct=off",
				 f->what);
	if (!f->readonly && (errno == EROFS || errno == EACCES))
		return diag_errno(d, errno,
				  "%s: cannot be written (readonly=on may do)",
				  f->what);
	return diag_errno(d, errno, "%s", f->what);
}

static int file_prepare(struct block_file *f, const struct block_options *opt,
			struct diag *d)
{
	int err;

	f->what = strdup(opt->what);
	if (!f->what)
		return diag_fail(d, ENOMEM, "out of memory");
	err = open_fd(f, opt->path, d);
	if (!err)
		err = measure(f, d);
	if (!err)
		err = block_lock(f, d);
	return err;
}

int block_file_open(struct block *b, const struct block_options *opt,
		    struct block_file **out, struct diag *d)
{
	struct block_file *f;
	int err;

	if (b->file_count == BLOCK_FILES_MAX)
		return diag_fail(d, EMFILE,
				 "%s: an image has at most %d files, backing "
				 "files included",
				 opt->what, BLOCK_FILES_MAX);
	f = calloc(1, sizeof(*f));
	if (!f)
		return diag_fail(d, ENOMEM, "out of memory");
	f->fd = -1;
	f->readonly = opt->readonly;
	f->direct = opt->direct;
	f->sparse = opt->sparse;
	f->lock_whole = opt->lock_whole;
	err = file_prepare(f, opt, d);
	if (err) {
		block_file_close(f);
		return err;
	}
	f->slot = b->file_count;
	b->file[b->file_count++] = f;
	*out = f;
	return 0;
}

void block_file_close(struct block_file *f)
{
	if (!f)
		return;
	if (f->fd >= 0) {
		block_unlock(f);
		close(f->fd);
	}
	free(f->what);
	free(f);
}

/* ---- metadata ---------------------------------------------------------- */

/* Beyond the end of the file are zeros. */
static int read_plain(int fd, uint64_t offset, uint8_t *buf, size_t len)
{
	int64_t n = file_read_at(fd, offset, buf, len);

	if (n < 0)
		return (int)n;
	memset(buf + n, 0, len - (size_t)n);
	return 0;
}

static void *bounce_alloc(size_t len)
{
	return aligned_alloc(LOGICAL_MAX, align_up(len, LOGICAL_MAX));
}

int block_file_read(const struct block_file *f, uint64_t offset, void *buf,
		    size_t len)
{
	uint64_t first, last;
	uint8_t *copy;
	int err;

	if (!f->direct)
		return read_plain(f->fd, offset, buf, len);
	if (!add_u64(offset, len + f->logical_bytes, &last))
		return -EINVAL;
	first = align_down(offset, f->logical_bytes);
	last = align_up(offset + len, f->logical_bytes);
	copy = bounce_alloc(last - first);
	if (!copy)
		return -ENOMEM;
	err = read_plain(f->fd, first, copy, last - first);
	if (!err)
		memcpy(buf, copy + (offset - first), len);
	free(copy);
	return err;
}

int block_file_write(const struct block_file *f, uint64_t offset,
		     const void *buf, size_t len)
{
	uint8_t *copy;
	int err;

	if (!f->direct)
		return file_write_at(f->fd, offset, buf, len);
	copy = bounce_alloc(len);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, buf, len);
	err = file_write_at(f->fd, offset, copy, len);
	free(copy);
	return err;
}

/* ---- steps: transfers -------------------------------------------------- */

/* Will O_DIRECT take these buffers? */
static bool aligned(const struct block_request *r)
{
	uintptr_t bits = 0;

	if (r->iov_count > IOV_MAX)
		return false; /* the first IOV_MAX may end anywhere */
	for (unsigned i = 0; i < r->iov_count; i++)
		bits |= (uintptr_t)r->iov[i].iov_base | r->iov[i].iov_len;
	return !(bits & (r->file->mem_align - 1));
}

static bool zeroing(const struct block_request *r)
{
	return r->bounce.iov_base == zeros;
}

static uint64_t left(const struct block_request *r)
{
	return r->len_bytes - r->moved_bytes;
}

/* The next piece goes through bounce. */
static void bounce_next(struct block_request *r)
{
	uint64_t most = zeroing(r) ? ZEROS_BYTES : BOUNCE_BYTES_MAX;

	r->bounce.iov_len = MIN(left(r), most);
	if (r->step == STEP_WRITE && !zeroing(r))
		iov_read(r->iov, r->iov_count, r->moved_bytes,
			 r->bounce.iov_base, r->bounce.iov_len);
}

static int transfer_first(struct block_request *r, enum block_step step)
{
	r->step = step;
	if (!r->len_bytes)
		return 0;
	if (!r->file->direct || aligned(r))
		return 1;
	r->bounce.iov_base = bounce_alloc(MIN(r->len_bytes, BOUNCE_BYTES_MAX));
	if (!r->bounce.iov_base)
		return -ENOMEM;
	bounce_next(r);
	return 1;
}

/* Drop the first @n bytes of the vectors. */
static void iov_advance(struct block_request *r, size_t n)
{
	unsigned gone = iov_skip(r->iov, r->iov_count, n);

	r->iov += gone;
	r->iov_count -= gone;
}

/* The file ends before the disk does: zeros. */
static int read_beyond_end(struct block_request *r)
{
	uint64_t at = r->bounce.iov_base ? r->moved_bytes : 0;

	while (left(r)) {
		size_t n = MIN(left(r), ZEROS_BYTES);

		iov_write(r->iov, r->iov_count, at, zeros, n);
		at += n;
		r->moved_bytes += n;
	}
	return 0;
}

static int transfer_next(struct block_request *r, int64_t result)
{
	if (result == -EINTR || result == -EAGAIN)
		return 1;
	if (result < 0)
		return (int)result;
	if (!result)
		return r->step == STEP_READ ? read_beyond_end(r) : -EIO;
	if (!r->bounce.iov_base) {
		r->moved_bytes += (uint64_t)result;
		if (!left(r))
			return 0;
		iov_advance(r, (size_t)result);
		return 1;
	}
	if (r->step == STEP_READ)
		iov_write(r->iov, r->iov_count, r->moved_bytes,
			  r->bounce.iov_base, (size_t)result);
	r->moved_bytes += (uint64_t)result;
	if (!left(r))
		return 0;
	bounce_next(r);
	return 1;
}

const struct iovec *block_step_iov(const struct block_request *r,
				   unsigned *count)
{
	*count = r->bounce.iov_base ? 1 : MIN(r->iov_count, IOV_MAX);
	return r->bounce.iov_base ? &r->bounce : r->iov;
}

/* ---- steps: allocation ------------------------------------------------- */

static int allocate(struct block_request *r, int mode)
{
	r->step = STEP_ALLOCATE;
	r->mode = mode | FALLOC_FL_KEEP_SIZE;
	return 1;
}

/* A hint: what the host cannot do is done. */
static int discard_step(struct block_request *r)
{
	struct block_file *f = r->file;

	if (!f->sparse || !r->len_bytes)
		return 0;
	if (!f->no_punch_hole)
		return allocate(r, FALLOC_FL_PUNCH_HOLE);
	if (!f->is_device)
		return 0;
	r->step = STEP_DISCARD;
	return 1;
}

static int zero_step(struct block_request *r)
{
	struct block_file *f = r->file;

	if (!r->len_bytes)
		return 0;
	if (r->may_unmap && f->sparse && !f->no_punch_hole)
		return allocate(r, FALLOC_FL_PUNCH_HOLE);
	if (!f->no_zero_range)
		return allocate(r, FALLOC_FL_ZERO_RANGE);
	r->step = STEP_WRITE;
	r->bounce.iov_base = zeros;
	bounce_next(r);
	return 1;
}

static int allocate_next(struct block_request *r, int64_t result)
{
	if (result == -EINTR)
		return 1;
	if (result != -EOPNOTSUPP && result != -ENOSYS)
		return (int)MIN(result, 0);
	if (r->mode & FALLOC_FL_PUNCH_HOLE)
		r->file->no_punch_hole = true;
	else
		r->file->no_zero_range = true;
	return r->op == BLOCK_ZERO ? zero_step(r) : discard_step(r);
}

/* ---- steps ------------------------------------------------------------- */

int block_step_first(struct block_request *r)
{
	r->moved_bytes = 0;
	r->bounce.iov_base = NULL;
	switch (r->op) {
	case BLOCK_READ:
		return transfer_first(r, STEP_READ);
	case BLOCK_WRITE:
		return transfer_first(r, STEP_WRITE);
	case BLOCK_DISCARD:
		return discard_step(r);
	case BLOCK_ZERO:
		return zero_step(r);
	case BLOCK_FLUSH:
	default:
		r->step = STEP_SYNC;
		return 1;
	}
}

int block_step_next(struct block_request *r, int64_t result)
{
	switch ((enum block_step)r->step) {
	case STEP_READ:
	case STEP_WRITE:
		return transfer_next(r, result);
	case STEP_ALLOCATE:
		return allocate_next(r, result);
	case STEP_DISCARD:
		return result == -EOPNOTSUPP ? 0 : (int)MIN(result, 0);
	case STEP_SYNC:
	default:
		return (int)MIN(result, 0);
	}
}

void block_step_release(struct block_request *r)
{
	if (r->bounce.iov_base && !zeroing(r))
		free(r->bounce.iov_base);
	r->bounce.iov_base = NULL;
}

int64_t block_step_call(const struct block_request *r)
{
	uint64_t range[2] = { r->offset_bytes, r->len_bytes };
	off_t at = (off_t)block_step_offset(r);
	const struct iovec *iov;
	unsigned count;
	int64_t n;

	iov = block_step_iov(r, &count);
	switch ((enum block_step)r->step) {
	case STEP_READ:
		n = preadv(r->file->fd, iov, (int)count, at);
		break;
	case STEP_WRITE:
		n = pwritev(r->file->fd, iov, (int)count, at);
		break;
	case STEP_ALLOCATE:
		n = fallocate(r->file->fd, r->mode, at, (off_t)r->len_bytes);
		break;
	case STEP_DISCARD:
		n = ioctl(r->file->fd, BLKDISCARD, range);
		break;
	case STEP_SYNC:
	default:
		n = fdatasync(r->file->fd);
	}
	return n < 0 ? -errno : n;
}
