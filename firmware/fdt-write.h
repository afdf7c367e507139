/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: writing a flattened device tree from front to back
 *
 * A thin layer over libfdt's sequential-write functions: the first error
 * sticks, so that a generator is a list of statements and checks once, at the
 * end. Everything is written once and in order; no property is ever searched
 * or moved, so that building is linear in the size of the tree.
 *
 * Devicetree Specification 0.4, section 5 (flattened format 17).
 *
 * Threads: a writer belongs to one thread.
 */
#ifndef FIRMWARE_FDT_WRITE_H
#define FIRMWARE_FDT_WRITE_H

#include "vmm/base/types.h"

#define FDTW_CELLS_MAX 160

/**
 * struct fdtw - a tree that is being written
 * @buf: where it grows; malloc'ed, owned
 * @err: first error of libfdt (negative FDT_ERR_*), 0 so far
 */
struct fdtw {
	void *buf;
	int err;
};

/** struct fdtw_list - 32-bit numbers, host order, that become one property;
 * numbers beyond FDTW_CELLS_MAX set @overflow and are not stored */
struct fdtw_list {
	uint32_t cell[FDTW_CELLS_MAX];
	unsigned count;
	bool overflow;
};

/**
 * fdtw_init - allocate the buffer and open the root node
 * @limit_bytes: largest tree that can be written
 *
 * Return: 0 or -ENOMEM.
 */
int fdtw_init(struct fdtw *w, size_t limit_bytes);

/**
 * fdtw_finish - close the root node
 * @blob: receives the tree, malloc'ed, owned by the caller
 * @size_bytes: receives its size
 *
 * The writer is released, whatever happens.
 *
 * Return: 0, -E2BIG (does not fit), -EINVAL (malformed, a bug of the
 * generator). Outputs are untouched on failure.
 */
int fdtw_finish(struct fdtw *w, uint8_t **blob, size_t *size_bytes);

/** fdtw_begin - open a node; @fmt its name, printf style */
__attribute__((format(printf, 2, 3))) void fdtw_begin(struct fdtw *w,
						      const char *fmt, ...);

/** fdtw_end - close the innermost node */
void fdtw_end(struct fdtw *w);

/** fdtw_flag - an empty property, true by being there */
void fdtw_flag(struct fdtw *w, const char *name);

/** fdtw_u32 - a property of one cell */
void fdtw_u32(struct fdtw *w, const char *name, uint32_t v);

/** fdtw_u64 - a property of two cells */
void fdtw_u64(struct fdtw *w, const char *name, uint64_t v);

/** fdtw_text - a string property */
void fdtw_text(struct fdtw *w, const char *name, const char *s);

/** fdtw_bytes - a property of @len bytes, copied as they are */
void fdtw_bytes(struct fdtw *w, const char *name, const void *p, size_t len);

/** fdtw_room - a property of @len bytes to be filled in before the next call;
 * Return: where, or NULL after an error */
uint8_t *fdtw_room(struct fdtw *w, const char *name, size_t len);

/** fdtw_add - append one number */
void fdtw_add(struct fdtw_list *c, uint32_t v);

/** fdtw_add64 - append one 64-bit number as two cells */
void fdtw_add64(struct fdtw_list *c, uint64_t v);

/** fdtw_cells - write @c as property @name */
void fdtw_cells(struct fdtw *w, const char *name, const struct fdtw_list *c);

#endif
