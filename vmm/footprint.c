/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: a small resident set
 *
 * Parsing a configuration, building tables and devices, and libc's own start
 * touch about twice the code that a running guest needs, and the kernel maps
 * 16 pages around each touched one (fault_around_bytes). A host that runs
 * hundreds of guests counts them all in each process's resident set, and looks
 * for victims by that number. So when the guest has run for a second, segments
 * that are never written (PT_LOAD without PF_W; relocations go to others) are
 * given up: MADV_DONTNEED of a private file mapping drops page table entries
 * only. What is used again costs one minor fault for 16 pages, about 1 us each.
 */
#include "vmm/footprint.h"

#include <link.h>
#include <malloc.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/base/types.h"

static int drop_segments(struct dl_phdr_info *info, size_t size, void *opaque)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

	(void)size;
	(void)opaque;
	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		uintptr_t start = info->dlpi_addr + ph->p_vaddr;
		uintptr_t end = start + ph->p_memsz;

		start &= -page;
		if (ph->p_type == PT_LOAD && !(ph->p_flags & PF_W))
			/* NOLINTNEXTLINE(performance-no-int-to-ptr) */
			madvise((void *)start, end - start, MADV_DONTNEED);
	}
	return 1; /* the program; no library is of interest */
}

void footprint_trim(void)
{
	malloc_trim(0);
	dl_iterate_phdr(drop_segments, NULL);
}
