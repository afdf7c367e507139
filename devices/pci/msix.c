/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: MSI-X of one function (PCI 3.0 sec. 6.8.2)
 *
 * The table is kept as decoded entries and accessed byte by byte, so that any
 * offset, width and alignment is safe. The hypervisor hears of a vector only
 * when it becomes able to fire or changes while it is: writing a masked entry
 * costs nothing beyond the exit.
 *
 * Pending: a vector that fires while masked stays in its eventfd and arrives
 * with the unmasking (vmm/irq.h); the PBA shows exactly that.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/base/check.h"
#include "vmm/base/log.h"

#include "devices/pci/pci.h"

#define ENTRY_BYTES 16

enum { CONTROL_MASKED = 1 << 14, CONTROL_ENABLED = 1 << 15 };

/* Lock held. */
static void vector_update(struct pci_func *f, struct pci_vector *v)
{
	struct pci_msix *x = &f->msix;
	bool live = x->enabled && !x->masked && !v->masked;

	if (!live && !v->msi.live)
		return;
	if (msi_set(&v->msi, &v->msg, live))
		log_guest(&x->refused,
			  "%s: the hypervisor refuses an interrupt message to "
			  "0x%llx",
			  f->name, (unsigned long long)v->msg.addr);
}

static void all_update(struct pci_func *f)
{
	for (unsigned i = 0; i < f->msix.count; i++)
		vector_update(f, &f->msix.vector[i]);
}

static void vector_reset(struct pci_func *f, struct pci_vector *v)
{
	v->msg = (struct msi_message){ .devid = f->root->dev.segment << 8 |
						f->devfn };
	v->masked = true;
}

int pci_msix_init(struct pci_func *f, unsigned count, unsigned bar,
		  uint32_t table, uint32_t pba, struct diag *d)
{
	const struct pci_reg regs[] = {
		{ .offset = 2,
		  .size_bytes = 2,
		  .value = count - 1,
		  .rw = CONTROL_MASKED | CONTROL_ENABLED },
		{ .offset = 4, .size_bytes = 4, .value = table | bar },
		{ .offset = 8, .size_bytes = 4, .value = pba | bar },
	};
	struct pci_msix *x = &f->msix;
	int err = 0;

	CHECK(count && count <= 2048 && !(table & 7) && !(pba & 7));
	x->vector = calloc(count, sizeof(x->vector[0]));
	if (!x->vector)
		return diag_fail(d, ENOMEM, "out of memory");
	pthread_mutex_init(&x->lock, NULL);
	x->table = table;
	x->pba = pba;
	for (x->count = 0; x->count < count && !err; x->count += !err) {
		err = msi_init(&x->vector[x->count].msi,
			       f->root->dev.env->irqchip, d);
		vector_reset(f, &x->vector[x->count]);
	}
	if (err) {
		pci_msix_release(f);
		return err;
	}
	x->cap = pci_func_add_cap(f, PCI_CAP_MSIX, 12, regs, ARRAY_SIZE(regs));
	return 0;
}

void pci_msix_release(struct pci_func *f)
{
	struct pci_msix *x = &f->msix;

	if (!x->vector)
		return;
	for (unsigned i = 0; i < x->count; i++)
		msi_release(&x->vector[i].msi);
	free(x->vector);
	pthread_mutex_destroy(&x->lock);
	memset(x, 0, sizeof(*x));
}

void pci_msix_reset(struct pci_func *f)
{
	struct pci_msix *x = &f->msix;

	pthread_mutex_lock(&x->lock);
	x->enabled = x->masked = false;
	for (unsigned i = 0; i < x->count; i++) {
		vector_reset(f, &x->vector[i]);
		if (msi_rebind(&x->vector[i].msi))
			log_warn("%s: cannot reset vector %u", f->name, i);
	}
	pthread_mutex_unlock(&x->lock);
}

void pci_msix_control(struct pci_func *f)
{
	struct pci_msix *x = &f->msix;
	uint16_t control = get_le16(f->config + x->cap + 2);
	bool was_enabled;

	pthread_mutex_lock(&x->lock);
	was_enabled = x->enabled;
	x->enabled = control & CONTROL_ENABLED;
	x->masked = control & CONTROL_MASKED;
	all_update(f);
	pthread_mutex_unlock(&x->lock);
	if (!was_enabled != !(control & CONTROL_ENABLED) &&
	    f->ops->msix_switched)
		f->ops->msix_switched(f);
}

/* ---- table and PBA ----------------------------------------------------- */

static void entry_encode(const struct pci_vector *v, uint8_t *e)
{
	put_le64(e, v->msg.addr);
	put_le32(e + 8, v->msg.data);
	put_le32(e + 12, v->masked);
}

static void entry_decode(struct pci_vector *v, const uint8_t *e)
{
	v->msg.addr = get_le64(e) & ~3ULL;
	v->msg.data = get_le32(e + 8);
	v->masked = get_le32(e + 12) & 1;
}

static bool in_table(const struct pci_msix *x, uint64_t offset, unsigned size)
{
	return range_within(offset, size, 0, (uint64_t)x->count * ENTRY_BYTES);
}

/* The one or two entries that an access of up to 8 bytes touches. */
struct span {
	unsigned first, last;
	uint8_t bytes[2 * ENTRY_BYTES];
};

static struct span span_read(const struct pci_msix *x, uint64_t offset,
			     unsigned size)
{
	struct span s = {
		.first = (unsigned)(offset / ENTRY_BYTES),
		.last = (unsigned)((offset + size - 1) / ENTRY_BYTES),
	};

	for (unsigned i = s.first; i <= s.last; i++)
		entry_encode(&x->vector[i],
			     s.bytes + (size_t)(i - s.first) * ENTRY_BYTES);
	return s;
}

uint64_t pci_msix_table_read(struct pci_func *f, uint64_t offset,
			     unsigned size_bytes)
{
	struct pci_msix *x = &f->msix;
	uint8_t bytes[8] = { 0 };
	struct span s;

	if (!in_table(x, offset, size_bytes))
		return 0;
	pthread_mutex_lock(&x->lock);
	s = span_read(x, offset, size_bytes);
	pthread_mutex_unlock(&x->lock);
	memcpy(bytes, s.bytes + offset % ENTRY_BYTES, size_bytes);
	return get_le64(bytes);
}

void pci_msix_table_write(struct pci_func *f, uint64_t offset,
			  unsigned size_bytes, uint64_t value)
{
	struct pci_msix *x = &f->msix;
	uint8_t bytes[8];
	struct span s;

	if (!in_table(x, offset, size_bytes))
		return;
	put_le64(bytes, value);
	pthread_mutex_lock(&x->lock);
	s = span_read(x, offset, size_bytes);
	memcpy(s.bytes + offset % ENTRY_BYTES, bytes, size_bytes);
	for (unsigned i = s.first; i <= s.last; i++) {
		entry_decode(&x->vector[i],
			     s.bytes + (size_t)(i - s.first) * ENTRY_BYTES);
		vector_update(f, &x->vector[i]);
	}
	pthread_mutex_unlock(&x->lock);
}

uint64_t pci_msix_pba_read(struct pci_func *f, uint64_t offset,
			   unsigned size_bytes)
{
	struct pci_msix *x = &f->msix;
	uint64_t value = 0;

	pthread_mutex_lock(&x->lock);
	for (unsigned bit = 0; bit < size_bytes * 8; bit++) {
		uint64_t index = offset * 8 + bit;

		if (index >= x->count)
			break;
		value |= (uint64_t)msi_pending(&x->vector[index].msi) << bit;
	}
	pthread_mutex_unlock(&x->lock);
	return value;
}

bool pci_msix_fire(struct pci_func *f, unsigned index)
{
	struct pci_msix *x = &f->msix;
	bool enabled;

	if (!x->count)
		return false;
	pthread_mutex_lock(&x->lock);
	enabled = x->enabled;
	if (enabled && index < x->count)
		msi_fire(&x->vector[index].msi);
	pthread_mutex_unlock(&x->lock);
	return enabled;
}

int pci_msix_fd(struct pci_func *f, unsigned index)
{
	struct pci_msix *x = &f->msix;
	int fd = -1;

	if (!x->count)
		return -1;
	pthread_mutex_lock(&x->lock);
	if (x->enabled && index < x->count) {
		fd = x->vector[index].msi.fd;
		x->vector[index].msi.shared = true;
	}
	pthread_mutex_unlock(&x->lock);
	return fd;
}

/* ---- state ------------------------------------------------------------- */

void pci_msix_save(const struct pci_func *f, struct stream_out *out)
{
	const struct pci_msix *x = &f->msix;
	uint8_t e[ENTRY_BYTES];

	stream_put_u16(out, (uint16_t)x->count);
	for (unsigned i = 0; i < x->count; i++) {
		entry_encode(&x->vector[i], e);
		stream_put(out, e, sizeof(e));
		stream_put_u8(out, msi_pending(&x->vector[i].msi));
	}
}

static void vector_load(struct pci_vector *v, struct stream_in *in)
{
	uint8_t e[ENTRY_BYTES];

	stream_get(in, e, sizeof(e));
	entry_decode(v, e);
	if (stream_get_u8(in))
		msi_fire(&v->msi);
}

int pci_msix_load(struct pci_func *f, struct stream_in *in, struct diag *d)
{
	struct pci_msix *x = &f->msix;
	size_t bytes = x->count * (size_t)(ENTRY_BYTES + 1);

	if (stream_get_u16(in) != x->count || in->failed ||
	    in->len - in->at < bytes)
		return diag_fail(d, EBADMSG,
				 "%s: saved MSI-X table is not of %u vectors",
				 f->name, x->count);
	if (!x->count)
		return 0;
	pthread_mutex_lock(&x->lock);
	for (unsigned i = 0; i < x->count; i++)
		vector_load(&x->vector[i], in);
	pthread_mutex_unlock(&x->lock);
	return 0;
}
