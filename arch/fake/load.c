/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: loader and machine description of the fake architecture, see fake.h
 *
 * The image is recognised by its magic. Everything that the file says is
 * checked against the file's size and against guest RAM before it is used.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arch/fake/fake.h"
#include "vmm/base/file.h"

/* ---- files ---- */

struct file {
	int fd;
	const char *name;
	uint64_t size_bytes;
};

static int file_init(struct file *f, int fd, const char *name, struct diag *d)
{
	struct stat st;

	*f = (struct file){ .fd = fd, .name = name };
	if (fstat(fd, &st) < 0)
		return diag_errno(d, errno, "%s", name);
	f->size_bytes = (uint64_t)st.st_size;
	return 0;
}

/* Read a file from byte @skip to its end, to @gpa. */
static int file_to_ram(const struct file *f, uint64_t skip,
		       const struct guest_ram *ram, gpa_t gpa, struct diag *d)
{
	uint64_t len = f->size_bytes - skip;
	uint8_t *at = ram_pin(ram, gpa, len);
	int64_t n;

	if (!at)
		return diag_fail(d, E2BIG,
				 "%s: %" PRIu64 " bytes at 0x%" PRIx64
				 " are not in guest memory",
				 f->name, len, gpa.v);
	n = file_read_at(f->fd, skip, at, len);
	if (n < 0 || (uint64_t)n < len)
		return diag_errno(d, n < 0 ? (int)-n : EIO, "%s: cannot read",
				  f->name);
	return 0;
}

/* ---- image ---- */

static int image_check(const struct fake_image *h, uint64_t file_bytes,
		       const char *name, struct diag *d)
{
	if (h->magic != FAKE_IMAGE_MAGIC)
		return diag_fail(d, ENOEXEC, "%s: not a fake image", name);
	if (h->header_bytes != sizeof(*h) ||
	    h->body_bytes != file_bytes - sizeof(*h))
		return diag_fail(
			d, EINVAL,
			"%s: says %u + %" PRIu64 " bytes, has %" PRIu64, name,
			h->header_bytes, h->body_bytes, file_bytes);
	if (h->load_gpa < FAKE_PROGRAM_GPA)
		return diag_fail(d, EINVAL,
				 "%s: load address 0x%" PRIx64
				 ": must be at least 0x%llx",
				 name, h->load_gpa, FAKE_PROGRAM_GPA);
	if (h->entry_gpa % FAKE_INSN_BYTES ||
	    !range_within(h->entry_gpa, FAKE_INSN_BYTES, h->load_gpa,
			  h->body_bytes))
		return diag_fail(d, EINVAL,
				 "%s: entry 0x%" PRIx64 " is not in the image",
				 name, h->entry_gpa);
	return 0;
}

static int image_load(struct fake_image *h, const struct guest_ram *ram,
		      const struct arch_payload *load, struct diag *d)
{
	struct file f;
	int err = file_init(&f, load->kernel_fd, load->kernel_name, d);

	if (err)
		return err;
	if (f.size_bytes < sizeof(*h) ||
	    pread(f.fd, h, sizeof(*h), 0) != sizeof(*h))
		return diag_fail(d, ENOEXEC, "%s: not a fake image", f.name);
	err = image_check(h, f.size_bytes, f.name, d);
	if (err)
		return err;
	return file_to_ram(&f, sizeof(*h), ram, GPA(h->load_gpa), d);
}

/* ---- initramfs: at the end of RAM, on a page boundary ---- */

static bool overlap(uint64_t a, uint64_t a_len, uint64_t b, uint64_t b_len)
{
	return a < b + b_len && b < a + a_len;
}

static int initrd_place(const struct platform *p, const struct fake_image *h,
			const char *name, struct fake_handoff *out,
			struct diag *d)
{
	const struct plat_range *r = &p->ram[p->ram_count - 1];
	uint64_t room = r->size_bytes, low = FAKE_PROGRAM_GPA - r->base;

	if (r->base == FAKE_RAM_LOW_GPA)
		room -= low;
	if (out->initrd_bytes <= room)
		out->initrd_gpa = align_down(
			r->base + r->size_bytes - out->initrd_bytes, 4096);
	if (out->initrd_bytes > room ||
	    overlap(out->initrd_gpa, out->initrd_bytes, h->load_gpa,
		    h->body_bytes))
		return diag_fail(d, E2BIG,
				 "%s: %" PRIu64 " bytes do not fit into memory",
				 name, out->initrd_bytes);
	return 0;
}

static int initrd_load(struct fake_handoff *out, const struct guest_ram *ram,
		       const struct platform *p, const struct fake_image *h,
		       const struct arch_payload *load, struct diag *d)
{
	struct file f;
	int err;

	if (load->initramfs_fd < 0)
		return 0;
	err = file_init(&f, load->initramfs_fd, load->initramfs_name, d);
	if (err)
		return err;
	out->initrd_bytes = f.size_bytes;
	err = initrd_place(p, h, f.name, out, d);
	if (err)
		return err;
	return file_to_ram(&f, 0, ram, GPA(out->initrd_gpa), d);
}

/* ---- the machine in words ---- */

static const char *bus_name(enum plat_bus bus)
{
	return bus == PLAT_PIO ? "port" : "mmio";
}

static void print_range(FILE *f, const char *what, const struct plat_range *r)
{
	if (r->size_bytes)
		(void)fprintf(f, "%s %s 0x%" PRIx64 "+0x%" PRIx64 "\n", what,
			      bus_name(r->bus), r->base, r->size_bytes);
}

static void print_device(FILE *f, const struct plat_dev *dev)
{
	(void)fprintf(f, "device %s\n", dev->name);
	for (unsigned i = 0; i < dev->range_count; i++)
		print_range(f, " range", &dev->range[i]);
	for (unsigned i = 0; i < dev->irq_count; i++)
		(void)fprintf(f, " pin %u %s\n", dev->irq[i].pin,
			      dev->irq[i].level ? "level" : "edge");
}

static void print_platform(FILE *f, const struct platform *p,
			   const char *cmdline, gpa_t initrd,
			   uint64_t initrd_bytes)
{
	struct plat_range rd = { PLAT_MMIO, initrd.v, initrd_bytes };

	(void)fprintf(f, "cpus %u of %u\n", p->cpu_enabled, p->cpu_count);
	for (unsigned i = 0; i < p->ram_count; i++)
		print_range(f, "ram", &p->ram[i]);
	if (p->pci.segment_count) {
		print_range(f, "pci-ecam", &p->pci.segment[0].ecam);
		print_range(f, "pci-mmio32", &p->pci.segment[0].mmio32);
		print_range(f, "pci-mmio64", &p->pci.segment[0].mmio64);
	}
	print_range(f, "virtio-mmio", &p->virtio_mmio);
	for (unsigned i = 0; i < p->dev_count; i++)
		print_device(f, &p->dev[i]);
	print_range(f, "initrd", &rd);
	(void)fprintf(f, "cmdline %s\n", cmdline);
}

int fake_tables(struct arch_tables *out, const struct platform *p,
		const char *cmdline, gpa_t initrd, uint64_t initrd_bytes,
		struct diag *d)
{
	struct arch_table t = { .name = "fake.txt",
				.gpa = GPA(FAKE_TABLE_GPA) };
	char *text = NULL;
	FILE *f = open_memstream(&text, &t.size_bytes);
	bool bad;

	if (!f)
		return diag_fail(d, ENOMEM, "out of memory");
	print_platform(f, p, cmdline, initrd, initrd_bytes);
	bad = ferror(f);
	if (fclose(f) || bad) {
		free(text);
		return diag_fail(d, ENOMEM, "out of memory");
	}
	t.data = (uint8_t *)text;
	*out = (struct arch_tables){ .count = 1 };
	out->table[0] = t;
	return 0;
}

/* ---- handoff ---- */

static int table_load(const struct guest_ram *ram, const struct platform *p,
		      const char *cmdline, const struct fake_handoff *h,
		      struct diag *d)
{
	struct arch_tables tables = { .count = 0 };
	struct arch_table *t = &tables.table[0];
	int err = fake_tables(&tables, p, cmdline, GPA(h->initrd_gpa),
			      h->initrd_bytes, d);

	if (err)
		return err;
	/* open_memstream() put a NUL behind the text. */
	if (t->size_bytes >= FAKE_TABLE_MAX ||
	    !ram_write(ram, t->gpa, t->data, t->size_bytes + 1))
		err = diag_fail(d, E2BIG, "%zu bytes of tables do not fit",
				t->size_bytes);
	arch_tables_release(&tables);
	return err;
}

static int handoff_write(const struct guest_ram *ram, const char *cmdline,
			 const struct fake_handoff *h, struct diag *d)
{
	size_t len = strlen(cmdline) + 1;

	if (len > FAKE_CMDLINE_MAX)
		return diag_fail(d, E2BIG,
				 "--cmdline: %zu bytes: must be at most %llu",
				 len - 1, FAKE_CMDLINE_MAX - 1);
	if (!ram_write(ram, GPA(h->cmdline_gpa), cmdline, len) ||
	    !ram_write(ram, GPA(FAKE_HANDOFF_GPA), h, sizeof(*h)))
		return diag_fail(d, E2BIG, "memory is too small to boot");
	return 0;
}

int fake_load(struct arch_boot *boot, struct guest_ram *ram,
	      const struct platform *p, const struct arch_payload *load,
	      struct diag *d)
{
	struct fake_handoff handoff = { .magic = FAKE_IMAGE_MAGIC,
					.vcpu_count = p->cpu_enabled,
					.cmdline_gpa = FAKE_CMDLINE_GPA,
					.table_gpa = FAKE_TABLE_GPA };
	struct fake_image image = { 0 };
	int err;

	if (load->firmware_name)
		return diag_fail(d, ENOTSUP,
				 "--firmware %s: not on this architecture",
				 load->firmware_name);
	err = image_load(&image, ram, load, d);
	if (!err)
		err = initrd_load(&handoff, ram, p, &image, load, d);
	if (!err)
		err = handoff_write(ram, load->cmdline, &handoff, d);
	if (!err)
		err = table_load(ram, p, load->cmdline, &handoff, d);
	if (err)
		return err;
	*boot = (struct arch_boot){ .entry = GPA(image.entry_gpa),
				    .arg = GPA(FAKE_HANDOFF_GPA) };
	return 0;
}
