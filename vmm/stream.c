/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: device state as bytes, see stream.h */
#include "vmm/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/bytes.h"

void stream_out_init(struct stream_out *s)
{
	memset(s, 0, sizeof(*s));
}

void stream_out_release(struct stream_out *s)
{
	free(s->data);
	stream_out_init(s);
}

static bool stream_grow(struct stream_out *s, size_t len)
{
	size_t want = s->capacity ? s->capacity : 256;
	uint8_t *data;

	if (len > SIZE_MAX / 2 - s->len)
		return false;
	while (want < s->len + len)
		want *= 2;
	if (want == s->capacity)
		return true;
	data = realloc(s->data, want);
	if (!data)
		return false;
	s->data = data;
	s->capacity = want;
	return true;
}

void stream_put(struct stream_out *s, const void *data, size_t len)
{
	if (!len)
		return;
	if (s->failed || !stream_grow(s, len)) {
		s->failed = true;
		return;
	}
	memcpy(s->data + s->len, data, len);
	s->len += len;
}

void stream_put_u8(struct stream_out *s, uint8_t v)
{
	stream_put(s, &v, sizeof(v));
}

void stream_put_u16(struct stream_out *s, uint16_t v)
{
	uint8_t b[2];

	put_le16(b, v);
	stream_put(s, b, sizeof(b));
}

void stream_put_u32(struct stream_out *s, uint32_t v)
{
	uint8_t b[4];

	put_le32(b, v);
	stream_put(s, b, sizeof(b));
}

void stream_put_u64(struct stream_out *s, uint64_t v)
{
	uint8_t b[8];

	put_le64(b, v);
	stream_put(s, b, sizeof(b));
}

void stream_in_init(struct stream_in *s, const void *data, size_t len)
{
	*s = (struct stream_in){ .data = data, .len = len };
}

void stream_get(struct stream_in *s, void *data, size_t len)
{
	if (!len)
		return;
	if (s->failed || len > s->len - s->at) {
		s->failed = true;
		memset(data, 0, len);
		return;
	}
	memcpy(data, s->data + s->at, len);
	s->at += len;
}

uint8_t stream_get_u8(struct stream_in *s)
{
	uint8_t b;

	stream_get(s, &b, sizeof(b));
	return b;
}

uint16_t stream_get_u16(struct stream_in *s)
{
	uint8_t b[2];

	stream_get(s, b, sizeof(b));
	return get_le16(b);
}

uint32_t stream_get_u32(struct stream_in *s)
{
	uint8_t b[4];

	stream_get(s, b, sizeof(b));
	return get_le32(b);
}

uint64_t stream_get_u64(struct stream_in *s)
{
	uint8_t b[8];

	stream_get(s, b, sizeof(b));
	return get_le64(b);
}

int stream_in_done(const struct stream_in *s)
{
	return s->failed || s->at != s->len ? -EBADMSG : 0;
}
