/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: writing a flattened device tree: see fdt-write.h
 *
 * The buffer has the largest size from the start. malloc() takes it from the
 * kernel page by page, so that what is not written costs nothing.
 */
#include "firmware/fdt-write.h"

#include <errno.h>
#include <libfdt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "vmm/base/bytes.h"

#define NODE_NAME_MAX 64 /* the specification allows 31 + unit address */

static void note(struct fdtw *w, int err)
{
	if (!w->err)
		w->err = err;
}

int fdtw_init(struct fdtw *w, size_t limit_bytes)
{
	w->buf = malloc(limit_bytes);
	if (!w->buf)
		return -ENOMEM;
	w->err = fdt_create(w->buf, (int)limit_bytes);
	note(w, fdt_finish_reservemap(w->buf));
	fdtw_begin(w, "%s", "");
	return 0;
}

int fdtw_finish(struct fdtw *w, uint8_t **blob, size_t *size_bytes)
{
	uint8_t *cut;
	size_t size;

	fdtw_end(w);
	note(w, fdt_finish(w->buf));
	if (w->err) {
		free(w->buf);
		w->buf = NULL;
		return w->err == -FDT_ERR_NOSPACE ? -E2BIG : -EINVAL;
	}
	size = fdt_totalsize(w->buf);
	cut = realloc(w->buf, size);
	if (!cut)
		cut = w->buf;
	*blob = cut;
	*size_bytes = size;
	w->buf = NULL;
	return 0;
}

void fdtw_begin(struct fdtw *w, const char *fmt, ...)
{
	char name[NODE_NAME_MAX];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(name, sizeof(name), fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(name))
		note(w, -FDT_ERR_BADVALUE);
	if (!w->err)
		note(w, fdt_begin_node(w->buf, name));
}

void fdtw_end(struct fdtw *w)
{
	if (!w->err)
		note(w, fdt_end_node(w->buf));
}

uint8_t *fdtw_room(struct fdtw *w, const char *name, size_t len)
{
	void *at = NULL;

	if (len > INT32_MAX)
		note(w, -FDT_ERR_NOSPACE);
	if (!w->err)
		note(w, fdt_property_placeholder(w->buf, name, (int)len, &at));
	return w->err ? NULL : at;
}

void fdtw_bytes(struct fdtw *w, const char *name, const void *p, size_t len)
{
	uint8_t *at = fdtw_room(w, name, len);

	if (at)
		memcpy(at, p, len);
}

void fdtw_flag(struct fdtw *w, const char *name)
{
	fdtw_bytes(w, name, "", 0);
}

void fdtw_u32(struct fdtw *w, const char *name, uint32_t v)
{
	uint8_t be[4];

	put_be32(be, v);
	fdtw_bytes(w, name, be, sizeof(be));
}

void fdtw_u64(struct fdtw *w, const char *name, uint64_t v)
{
	uint8_t be[8];

	put_be64(be, v);
	fdtw_bytes(w, name, be, sizeof(be));
}

void fdtw_text(struct fdtw *w, const char *name, const char *s)
{
	fdtw_bytes(w, name, s, strlen(s) + 1);
}

void fdtw_add(struct fdtw_list *c, uint32_t v)
{
	if (c->count < FDTW_CELLS_MAX)
		c->cell[c->count++] = v;
	else
		c->overflow = true;
}

void fdtw_add64(struct fdtw_list *c, uint64_t v)
{
	fdtw_add(c, (uint32_t)(v >> 32));
	fdtw_add(c, (uint32_t)v);
}

void fdtw_cells(struct fdtw *w, const char *name, const struct fdtw_list *c)
{
	uint8_t be[4 * FDTW_CELLS_MAX];

	if (c->overflow)
		note(w, -FDT_ERR_BADVALUE);
	for (unsigned i = 0; i < c->count; i++)
		put_be32(be + i * sizeof(uint32_t), c->cell[i]);
	fdtw_bytes(w, name, be, c->count * sizeof(uint32_t));
}
