/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: made-up x86_64 kernels and the machine that loads them, for tests
 *
 * A bzImage and a PVH ELF file with every header that the loaders read, small
 * enough to be cut at each byte. Layout of both is fixed; tests damage them by
 * offset.
 */
#ifndef TESTS_UNIT_X86_KERNELS_H
#define TESTS_UNIT_X86_KERNELS_H

#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "arch/arch.h"
#include "vmm/base/bytes.h"

#define BZ_SETUP_SECTORS 2
#define BZ_PAYLOAD_AT	 ((BZ_SETUP_SECTORS + 1) * 512)
#define BZ_PAYLOAD_BYTES 0x1000
#define BZ_BYTES	 (BZ_PAYLOAD_AT + BZ_PAYLOAD_BYTES)
#define BZ_PREF		 MIB(16)
#define BZ_INIT_SIZE	 MIB(8)
#define BZ_CMDLINE_MAX	 2047

#define PVH_NOTE_AT    0x200
#define PVH_NOTE_BYTES 0x40
#define PVH_TEXT_AT    0x400
#define PVH_TEXT_BYTES 0x900
#define PVH_DATA_AT    0xd00
#define PVH_DATA_BYTES 0x123
#define PVH_BYTES      (PVH_DATA_AT + PVH_DATA_BYTES)
#define PVH_TEXT_GPA   MIB(16)
#define PVH_DATA_GPA   (MIB(16) + KIB(64))
#define PVH_DATA_MEM   KIB(256)
#define PVH_ENTRY      (PVH_TEXT_GPA + 0x110)

/* Bytes that tell where in the file they are from. */
static inline uint8_t kernel_byte(size_t at)
{
	return (uint8_t)(at * 7 + (at >> 8) + 1);
}

static inline void fill_file(uint8_t *f, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		f[i] = kernel_byte(i);
}

/* Protocol 2.15 as Debian's 6.12 announces it, at a smaller scale. */
static inline void make_bzimage(uint8_t f[BZ_BYTES])
{
	memset(f, 0, BZ_BYTES);
	fill_file(f, BZ_PAYLOAD_AT, BZ_BYTES);
	memcpy(f, "MZ", 2);
	f[0x1f1] = BZ_SETUP_SECTORS;
	put_le32(f + 0x1f4, BZ_PAYLOAD_BYTES / 16);
	put_le16(f + 0x1fe, 0xaa55);
	f[0x200] = 0xeb;
	f[0x201] = 106;
	memcpy(f + 0x202, "HdrS", 4);
	put_le16(f + 0x206, 0x20f);
	f[0x211] = 1; /* LOADED_HIGH */
	put_le32(f + 0x214, 0x100000);
	put_le32(f + 0x22c, 0x7fffffff);
	put_le32(f + 0x230, MIB(2));
	f[0x234] = 1; /* relocatable */
	put_le16(f + 0x236, 0x7f);
	put_le32(f + 0x238, BZ_CMDLINE_MAX);
	put_le64(f + 0x258, BZ_PREF);
	put_le32(f + 0x260, BZ_INIT_SIZE);
}

static inline void put_note(uint8_t *at, uint32_t type, const char *name,
			    uint64_t value)
{
	put_le32(at, 4);
	put_le32(at + 4, 8);
	put_le32(at + 8, type);
	memcpy(at + 12, name, 4);
	put_le64(at + 16, value);
}

/* Three segments: notes, text, data with more memory than bytes. */
static inline void make_pvh(uint8_t f[PVH_BYTES])
{
	Elf64_Ehdr eh = {
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64,
			     ELFDATA2LSB, EV_CURRENT },
		.e_type = htole16(ET_EXEC),
		.e_machine = htole16(EM_X86_64),
		.e_version = htole32(EV_CURRENT),
		.e_phoff = htole64(sizeof(eh)),
		.e_ehsize = htole16(sizeof(eh)),
		.e_phentsize = htole16(sizeof(Elf64_Phdr)),
		.e_phnum = htole16(3),
	};
	Elf64_Phdr ph[3] = {
		{ .p_type = htole32(PT_NOTE),
		  .p_offset = htole64(PVH_NOTE_AT),
		  .p_filesz = htole64(PVH_NOTE_BYTES),
		  .p_memsz = htole64(PVH_NOTE_BYTES),
		  .p_align = htole64(4) },
		{ .p_type = htole32(PT_LOAD),
		  .p_offset = htole64(PVH_TEXT_AT),
		  .p_paddr = htole64(PVH_TEXT_GPA),
		  .p_filesz = htole64(PVH_TEXT_BYTES),
		  .p_memsz = htole64(PVH_TEXT_BYTES) },
		{ .p_type = htole32(PT_LOAD),
		  .p_offset = htole64(PVH_DATA_AT),
		  .p_paddr = htole64(PVH_DATA_GPA),
		  .p_filesz = htole64(PVH_DATA_BYTES),
		  .p_memsz = htole64(PVH_DATA_MEM) },
	};

	memset(f, 0, PVH_BYTES);
	fill_file(f, PVH_TEXT_AT, PVH_BYTES);
	memcpy(f, &eh, sizeof(eh));
	memcpy(f + sizeof(eh), ph, sizeof(ph));
	/* A note of the same number but another name comes first. */
	put_note(f + PVH_NOTE_AT, 18, "GNU", 0x1234);
	put_note(f + PVH_NOTE_AT + 24, 18, "Xen", PVH_ENTRY);
}

/* A file without a name that holds @len bytes. */
static inline int make_file(const void *data, size_t len)
{
	int fd = memfd_create("x86-test", MFD_CLOEXEC);

	if (fd >= 0 && write(fd, data, len) != (ssize_t)len) {
		close(fd);
		return -1;
	}
	return fd;
}

/* A machine with one vCPU: platform and RAM. */
struct machine_x86 {
	struct platform p;
	struct guest_ram ram;
};

static inline int machine_init(struct machine_x86 *m, uint64_t ram_bytes)
{
	struct vm_config cfg = {
		.cpus = { .boot_vcpus = 1, .max_vcpus = 1 },
		.memory.size_bytes = ram_bytes,
	};
	struct host_caps caps = { .pa_bits = 46, .page_size_bytes = 4096 };
	int err;

	memset(m, 0, sizeof(*m));
	ram_init(&m->ram);
	err = arch_x86_64.layout(&m->p, &cfg, &caps, NULL);
	for (unsigned i = 0; i < m->p.ram_count && !err; i++)
		err = ram_add(&m->ram, GPA(m->p.ram[i].base),
			      m->p.ram[i].size_bytes,
			      &(struct ram_options){ 0 }, NULL);
	return err;
}

static inline void machine_release(struct machine_x86 *m)
{
	ram_release(&m->ram);
	platform_release(&m->p);
}

#endif
