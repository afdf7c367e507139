/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: I/O vectors: copying, slicing, advancing
 *
 * Offsets and lengths beyond the end of the vectors are cut, so callers need
 * no checks of their own. Threads: none; everything belongs to the caller.
 */
#ifndef VMM_BASE_IOV_H
#define VMM_BASE_IOV_H

#include <stddef.h>
#include <sys/uio.h>

/** iov_read, iov_write - copy at most @len bytes out of or into the vectors,
 * from byte @offset on; return how many were copied */
size_t iov_read(const struct iovec *iov, unsigned count, size_t offset,
		void *buf, size_t len);
size_t iov_write(const struct iovec *iov, unsigned count, size_t offset,
		 const void *buf, size_t len);

/**
 * iov_slice - bytes [@offset, @offset + @len) of vectors, as vectors
 * @to: receives at most @most of them, so it may be fewer bytes; @count is
 *	always enough room
 *
 * Return: how many vectors.
 */
unsigned iov_slice(struct iovec *to, unsigned most, const struct iovec *iov,
		   unsigned count, size_t offset, size_t len);

/** iov_skip - cut the first @n bytes off: return how many vectors are cut off
 * as a whole; the one behind them, if there is one, is shortened in place */
unsigned iov_skip(struct iovec *iov, unsigned count, size_t n);

#endif
