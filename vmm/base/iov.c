/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: I/O vectors, see iov.h */
#include "vmm/base/iov.h"

#include <stdint.h>
#include <string.h>

#include "vmm/base/types.h"

static size_t iov_copy(const struct iovec *iov, unsigned count, size_t offset,
		       uint8_t *to, const uint8_t *from, size_t len)
{
	size_t done = 0;

	for (unsigned i = 0; i < count && done < len; i++) {
		uint8_t *base = iov[i].iov_base;
		size_t n;

		if (offset >= iov[i].iov_len) {
			offset -= iov[i].iov_len;
			continue;
		}
		n = MIN(iov[i].iov_len - offset, len - done);
		if (to)
			memcpy(to + done, base + offset, n);
		else
			memcpy(base + offset, from + done, n);
		done += n;
		offset = 0;
	}
	return done;
}

size_t iov_read(const struct iovec *iov, unsigned count, size_t offset,
		void *buf, size_t len)
{
	return iov_copy(iov, count, offset, buf, NULL, len);
}

size_t iov_write(const struct iovec *iov, unsigned count, size_t offset,
		 const void *buf, size_t len)
{
	return iov_copy(iov, count, offset, NULL, buf, len);
}

unsigned iov_slice(struct iovec *to, unsigned most, const struct iovec *iov,
		   unsigned count, size_t offset, size_t len)
{
	unsigned n = 0;

	for (unsigned i = 0; i < count && len && n < most; i++) {
		size_t have = iov[i].iov_len;

		if (offset >= have) {
			offset -= have;
			continue;
		}
		have = MIN(have - offset, len);
		to[n++] = (struct iovec){ (uint8_t *)iov[i].iov_base + offset,
					  have };
		len -= have;
		offset = 0;
	}
	return n;
}

unsigned iov_skip(struct iovec *iov, unsigned count, size_t n)
{
	unsigned i = 0;

	for (; i < count && iov[i].iov_len <= n; i++)
		n -= iov[i].iov_len;
	if (i < count) {
		iov[i].iov_base = (uint8_t *)iov[i].iov_base + n;
		iov[i].iov_len -= n;
	}
	return i;
}
