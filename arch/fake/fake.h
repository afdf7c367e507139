/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: files and handoff of the fake architecture
 *
 * A guest image is struct fake_image and behind it the bytes that go to its
 * load address. All numbers are little-endian. The first 64 KiB of RAM belong
 * to the loader: struct fake_handoff, then the command line, then the machine
 * in words (arch_fake.tables).
 */
#ifndef ARCH_FAKE_FAKE_H
#define ARCH_FAKE_FAKE_H

#include <assert.h>

#include "arch/arch.h"
#include "arch/fake/isa.h"

#define FAKE_IMAGE_MAGIC 0x454b4146u /* "FAKE" */

/**
 * struct fake_image - header of a guest image
 * @magic: FAKE_IMAGE_MAGIC
 * @header_bytes: sizeof(struct fake_image)
 * @load_gpa: where the bytes behind the header go, at or above
 *	FAKE_PROGRAM_GPA
 * @entry_gpa: first instruction; inside of what is loaded, 8-aligned
 * @body_bytes: bytes behind the header: all the rest of the file
 */
struct fake_image {
	uint32_t magic, header_bytes;
	uint64_t load_gpa, entry_gpa, body_bytes;
};

static_assert(sizeof(struct fake_image) == 32, "no holes in the header");

#define FAKE_HANDOFF_GPA FAKE_RAM_LOW_GPA
#define FAKE_CMDLINE_GPA (FAKE_RAM_LOW_GPA + 0x1000)
#define FAKE_CMDLINE_MAX 0x1000ULL /* with the NUL */
#define FAKE_TABLE_GPA	 (FAKE_RAM_LOW_GPA + 0x2000)
#define FAKE_TABLE_MAX	 0xe000ULL
#define FAKE_PROGRAM_GPA (FAKE_RAM_LOW_GPA + 0x10000)

/**
 * struct fake_handoff - what r1 of vCPU 0 points to at the start
 * @magic: FAKE_IMAGE_MAGIC
 * @vcpu_count: vCPUs that can be started, vCPU 0 among them
 * @initrd_gpa, @initrd_bytes: the initramfs, 0 if there is none
 * @cmdline_gpa, @table_gpa: NUL-terminated texts
 */
struct fake_handoff {
	uint32_t magic, vcpu_count;
	uint64_t initrd_gpa, initrd_bytes;
	uint64_t cmdline_gpa, table_gpa;
};

static_assert(sizeof(struct fake_handoff) == 40, "no holes in the handoff");

/** fake_load - struct arch.load; arch/fake/load.c */
int fake_load(struct arch_boot *boot, struct guest_ram *ram,
	      const struct platform *p, const struct arch_payload *load,
	      struct diag *d);

/** fake_tables - struct arch.tables: one table, the machine in words */
int fake_tables(struct arch_tables *out, const struct platform *p,
		const char *cmdline, gpa_t initrd, uint64_t initrd_bytes,
		struct diag *d);

#endif
