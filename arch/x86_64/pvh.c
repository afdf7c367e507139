/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: PVH: ELF files that carry a 32-bit physical entry point
 *
 * Xen's docs/misc/pvh.pandoc and hvm_start_info (public/arch-x86/hvm/
 * start_info.h, version 1), which is what Linux (vmlinux with CONFIG_PVH),
 * FreeBSD and firmware (CLOUDHV.fd) implement. The entry is the descriptor of
 * the ELF note XEN_ELFNOTE_PHYS32_ENTRY. The file is ELF64 for x86_64, or for
 * i386: CLOUDHV.fd is that odd mixture.
 *
 * Segments go to their physical addresses and are not moved. Bytes between
 * p_filesz and p_memsz are not written: RAM reads as zero before load().
 *
 * Every number of the file is hostile. Not implemented: ELF32.
 */
#include "arch/x86_64/pvh.h"

#include <assert.h>
#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "arch/x86_64/layout.h"
#include "vmm/base/bytes.h"

#define XEN_ELFNOTE_PHYS32_ENTRY 18
#define PHDRS_MAX		 64
#define NOTES_MAX		 KIB(64) /* Linux has half a KiB */
#define START_MAGIC		 0x336ec578

/* Of what one program header says, what is used; in host byte order. */
struct segment {
	uint32_t type;
	uint64_t at, bytes;	 /* in the file */
	uint64_t gpa, mem_bytes; /* in the guest */
	uint64_t align;
};

struct segments {
	struct segment s[PHDRS_MAX];
	unsigned count;
};

static int malformed(const struct x86_image *img, const char *what,
		     uint64_t value, struct diag *d)
{
	return diag_fail(d, EINVAL, "%s %s: malformed ELF file: %s 0x%" PRIx64,
			 img->option, img->name, what, value);
}

bool x86_pvh_is(const struct x86_image *img)
{
	return img->head_bytes >= SELFMAG &&
	       !memcmp(img->head, ELFMAG, SELFMAG);
}

static int check_machine(const struct x86_image *img, struct diag *d)
{
	unsigned machine =
		get_le16(img->head + offsetof(Elf64_Ehdr, e_machine));
	const char *not_this = NULL;

	if (img->head_bytes < sizeof(Elf64_Ehdr))
		return diag_fail(d, EINVAL,
				 "%s %s: truncated: it ends inside its ELF "
				 "header, after %zu bytes",
				 img->option, img->name, img->head_bytes);
	if (img->head[EI_DATA] != ELFDATA2LSB)
		not_this = "a big-endian machine";
	else if (machine == EM_AARCH64)
		not_this = "an arm64 machine";
	else if (machine != EM_X86_64 && machine != EM_386)
		not_this = "another machine";
	else if (img->head[EI_CLASS] != ELFCLASS64)
		not_this = "32-bit machines";
	if (not_this)
		return diag_fail(d, ENOEXEC,
				 "%s %s: is an ELF file for %s, needed is one "
				 "for x86_64",
				 img->option, img->name, not_this);
	return 0;
}

static int read_segments(struct segments *out, const struct x86_image *img,
			 struct diag *d)
{
	Elf64_Phdr ph[PHDRS_MAX];
	unsigned count = get_le16(img->head + offsetof(Elf64_Ehdr, e_phnum));
	unsigned size = get_le16(img->head + offsetof(Elf64_Ehdr, e_phentsize));
	uint64_t at = get_le64(img->head + offsetof(Elf64_Ehdr, e_phoff));
	int err;

	out->count = 0;
	if (size != sizeof(ph[0]))
		return malformed(img, "program headers of size", size, d);
	if (!count || count > PHDRS_MAX)
		return malformed(img, "number of program headers", count, d);
	err = x86_image_read(img, at, ph, count * sizeof(ph[0]), d);
	if (err)
		return err;
	for (unsigned i = 0; i < count; i++) {
		out->s[i] = (struct segment){
			.type = le32toh(ph[i].p_type),
			.at = le64toh(ph[i].p_offset),
			.bytes = le64toh(ph[i].p_filesz),
			.gpa = le64toh(ph[i].p_paddr),
			.mem_bytes = le64toh(ph[i].p_memsz),
			.align = le64toh(ph[i].p_align),
		};
	}
	out->count = count;
	return 0;
}

/* What the notes say; @is_linux: the kernel's own notes are there. */
struct notes {
	uint64_t entry;
	bool found, is_linux;
};

/* Is this the note that we look for? Its descriptor then holds the entry. */
static bool is_entry_note(uint32_t type, uint32_t name_bytes,
			  uint32_t desc_bytes, const uint8_t *name)
{
	return type == XEN_ELFNOTE_PHYS32_ENTRY && name_bytes == 4 &&
	       !memcmp(name, "Xen", 4) && (desc_bytes == 4 || desc_bytes == 8);
}

/* Of @have bytes at @note; false: the entry is cut off. */
static bool take_note(struct notes *n, const uint8_t *note, uint64_t have)
{
	uint32_t name = get_le32(note), desc = get_le32(note + 4);

	if (name == 6 && !memcmp(note + 12, "Linux", 6))
		n->is_linux = true;
	if (n->found ||
	    !is_entry_note(get_le32(note + 8), name, desc, note + 12))
		return true;
	n->entry = desc == 4 ? get_le32(note + 16) : get_le64(note + 16);
	n->found = have >= 16 + desc;
	return n->found;
}

/*
 * Search one note segment. Names and descriptors are padded to 4 bytes, in
 * segments that are aligned to 8, to 8. Each note is at least a header long,
 * so the loop ends after NOTES_MAX / 12 of them.
 */
static int search_notes(const struct segment *s, const struct x86_image *img,
			struct notes *n, struct diag *d)
{
	uint64_t pad = s->align == 8 ? 8 : 4, at = 0;

	if (s->bytes > NOTES_MAX)
		return malformed(img, "size of notes", s->bytes, d);
	while (s->bytes - at >= sizeof(Elf64_Nhdr)) {
		uint8_t note[sizeof(Elf64_Nhdr) + 12] = { 0 };
		uint64_t have = MIN(s->bytes - at, sizeof(note)), where;
		int err;

		if (!add_u64(s->at, at, &where))
			return malformed(img, "offset of notes", s->at, d);
		err = x86_image_read(img, where, note, have, d);
		if (err)
			return err;
		if (!take_note(n, note, have))
			return malformed(img, "size of notes", s->bytes, d);
		/* 32-bit numbers, padded: the sum cannot wrap */
		at += align_up(sizeof(Elf64_Nhdr) + get_le32(note), pad);
		at += align_up(get_le32(note + 4), pad);
		if (at > s->bytes)
			break;
	}
	return 0;
}

static int read_notes(const struct segments *seg, const struct x86_image *img,
		      struct notes *n, struct diag *d)
{
	int err = 0;

	for (unsigned i = 0; i < seg->count && !err; i++)
		if (seg->s[i].type == PT_NOTE)
			err = search_notes(&seg->s[i], img, n, d);
	if (err || n->found)
		return err;
	return diag_fail(d, ENOEXEC,
			 "%s %s: is an x86_64 ELF file without a PVH entry "
			 "point: a Linux kernel needs CONFIG_PVH=y",
			 img->option, img->name);
}

/* Empty segments may claim to be anywhere. */
static bool is_loaded(const struct segment *s)
{
	return s->type == PT_LOAD && (s->bytes || s->mem_bytes);
}

static int check_segment(const struct segment *s, const struct x86_image *img,
			 uint64_t *end, struct diag *d)
{
	uint64_t file_end, mem_end = UINT64_MAX;

	if (s->bytes > s->mem_bytes)
		return malformed(img, "segment with more bytes than memory",
				 s->bytes, d);
	if (!add_u64(s->at, s->bytes, &file_end))
		return malformed(img, "segment at offset", s->at, d);
	if (file_end > img->size_bytes)
		return diag_fail(d, EINVAL,
				 "%s %s: truncated: a segment ends at %" PRIu64
				 " bytes, the file has %" PRIu64,
				 img->option, img->name, file_end,
				 img->size_bytes);
	if (s->gpa < X86_KERNEL_MIN)
		return malformed(img, "segment below 1 MiB, at", s->gpa, d);
	add_u64(s->gpa, s->mem_bytes, &mem_end);
	*end = MAX(*end, mem_end);
	return 0;
}

/* Check all, so that the end is that of the last; then copy all. */
static int load_segments(const struct segments *seg,
			 const struct x86_image *img,
			 const struct guest_ram *ram, uint64_t *end,
			 struct diag *d)
{
	int err = 0;

	*end = X86_KERNEL_MIN;
	for (unsigned i = 0; i < seg->count && !err; i++)
		if (is_loaded(&seg->s[i]))
			err = check_segment(&seg->s[i], img, end, d);
	if (!err && *end > x86_low_ram(ram))
		err = x86_image_too_big(img, *end, x86_low_ram(ram), d);
	for (unsigned i = 0; i < seg->count && !err; i++)
		if (is_loaded(&seg->s[i]) && seg->s[i].bytes)
			err = x86_image_copy(img, seg->s[i].at, ram,
					     seg->s[i].gpa, seg->s[i].bytes, d);
	return err;
}

static bool entry_is_loaded(const struct segments *seg, uint64_t entry)
{
	for (unsigned i = 0; i < seg->count; i++)
		if (seg->s[i].type == PT_LOAD &&
		    range_within(entry, 1, seg->s[i].gpa, seg->s[i].bytes))
			return true;
	return false;
}

int x86_pvh_load(struct x86_kernel *k, const struct x86_image *img,
		 const struct guest_ram *ram, struct diag *d)
{
	struct segments seg;
	struct notes notes = { .entry = 0 };
	uint64_t end;
	int err;

	if ((err = check_machine(img, d)) ||
	    (err = read_segments(&seg, img, d)) ||
	    (err = read_notes(&seg, img, &notes, d)))
		return err;
	if (!entry_is_loaded(&seg, notes.entry))
		return malformed(img, "entry point outside of its segments, at",
				 notes.entry, d);
	err = load_segments(&seg, img, ram, &end, d);
	if (err)
		return err;
	k->protocol = X86_PVH;
	k->entry = notes.entry;
	k->end = end;
	/* Linux reads the module's address as 32 bits (platform/pvh). */
	k->initrd_end = GIB(4);
	k->initrd_high = false;
	k->cmdline_max = X86_CMDLINE_LINUX;
	k->is_linux = notes.is_linux;
	k->header_bytes = 0;
	return 0;
}

/* start_info.h: one page holds all three. */
enum {
	SI_VERSION = 4,
	SI_MODULE_COUNT = 12,
	SI_MODULES = 16,
	SI_CMDLINE = 24,
	SI_RSDP = 32,
	SI_MAP = 40,
	SI_MAP_COUNT = 48,
	SI_SIZE = 56,
	MODULE_AT = 0x40, /* paddr, size, cmdline, reserved */
	MAP_AT = 0x80,	  /* addr, size, type, reserved */
	MAP_ENTRY = 24,
	PAGE_SIZE = 0x1000,
};

static void put_map(uint8_t *page, const struct x86_e820 *map)
{
	uint8_t *at = page + MAP_AT;

	static_assert(SI_SIZE <= MODULE_AT && MODULE_AT + 32 <= MAP_AT &&
			      MAP_AT + X86_E820_MAX * MAP_ENTRY <= PAGE_SIZE,
		      "start_info.h: nothing overlaps");
	for (unsigned i = 0; i < map->count; i++, at += MAP_ENTRY) {
		put_le64(at, map->entry[i].base);
		put_le64(at + 8, map->entry[i].size_bytes);
		put_le32(at + 16, map->entry[i].type);
	}
	put_le64(page + SI_MAP, X86_START_INFO_GPA + MAP_AT);
	put_le32(page + SI_MAP_COUNT, map->count);
}

int x86_pvh_handoff(const struct x86_handoff *h, const struct guest_ram *ram,
		    struct diag *d)
{
	uint8_t page[PAGE_SIZE] = { 0 };

	put_le32(page, START_MAGIC);
	put_le32(page + SI_VERSION, 1);
	put_le64(page + SI_CMDLINE, X86_CMDLINE_GPA);
	put_le64(page + SI_RSDP, h->rsdp);
	put_map(page, &h->map);
	if (h->initrd_bytes) {
		put_le32(page + SI_MODULE_COUNT, 1);
		put_le64(page + SI_MODULES, X86_START_INFO_GPA + MODULE_AT);
		put_le64(page + MODULE_AT, h->initrd);
		put_le64(page + MODULE_AT + 8, h->initrd_bytes);
	}
	if (!ram_write(ram, GPA(X86_START_INFO_GPA), page, sizeof(page)))
		return diag_fail(d, E2BIG, "no RAM for the start data");
	return 0;
}
