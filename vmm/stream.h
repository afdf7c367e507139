/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: byte streams of device state (snapshots)
 *
 * A writer appends little-endian fields to a growing buffer; a reader takes
 * them back in the same order. Both remember the first failure, so callers
 * check once at the end. Snapshots are hostile: a reader never returns bytes
 * that are not there (it returns zeros and fails), and every loader validates
 * what it read before it changes its device.
 */
#ifndef VMM_STREAM_H
#define VMM_STREAM_H

#include "vmm/base/types.h"

/** struct stream_out - @data is malloc'ed, freed by stream_out_release() */
struct stream_out {
	uint8_t *data;
	size_t len, capacity;
	bool failed;
};

/** struct stream_in - reads [@data, @data + @len); owns nothing */
struct stream_in {
	const uint8_t *data;
	size_t len, at;
	bool failed;
};

/** stream_out_init - an empty stream */
void stream_out_init(struct stream_out *s);
/** stream_out_release - free @data; accepts a zeroed stream */
void stream_out_release(struct stream_out *s);
/** stream_put - append @len bytes; when memory is short, @failed is set and
 * all that follows is dropped */
void stream_put(struct stream_out *s, const void *data, size_t len);

/** stream_put_u8, stream_put_u16, … - append a number, little-endian */
void stream_put_u8(struct stream_out *s, uint8_t v);
void stream_put_u16(struct stream_out *s, uint16_t v);
void stream_put_u32(struct stream_out *s, uint32_t v);
void stream_put_u64(struct stream_out *s, uint64_t v);

/** stream_in_init - read @data, which must outlive the stream */
void stream_in_init(struct stream_in *s, const void *data, size_t len);
/** stream_get - take @len bytes; zeros, and @failed is set, if fewer are left
 */
void stream_get(struct stream_in *s, void *data, size_t len);

/** stream_get_u8, stream_get_u16, … - take a number; 0 like stream_get() */
uint8_t stream_get_u8(struct stream_in *s);
uint16_t stream_get_u16(struct stream_in *s);
uint32_t stream_get_u32(struct stream_in *s);
uint64_t stream_get_u64(struct stream_in *s);

/** stream_in_done - 0 if nothing failed and all bytes were taken, else
 * -EBADMSG */
int stream_in_done(const struct stream_in *s);

#endif
