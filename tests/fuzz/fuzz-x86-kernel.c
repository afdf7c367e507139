/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: any bytes as an x86_64 kernel file: refused with a sentence, or loaded
 * without a byte where the kernel has nothing to say
 *
 * The machine has 64 MiB and an initramfs; it is made once, its RAM is cleared
 * after each input.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "arch/x86_64/boot.h"
#include "vmm/base/check.h"

#include "tests/unit/x86-kernels.h"

#define RAM_BYTES MIB(64)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* The first page and the SMBIOS area belong to nobody. */
static void check_untouched(const struct guest_ram *ram, uint64_t gpa,
			    uint64_t len)
{
	const uint8_t *at = ram_pin(ram, GPA(gpa), len);

	for (uint64_t i = 0; i < len; i++)
		CHECK(!at[i]);
}

static void check_boot(const struct arch_boot *boot)
{
	CHECK(boot->protocol == X86_PVH || boot->protocol == X86_LINUX64);
	CHECK(range_within(boot->entry.v, 1, X86_KERNEL_MIN,
			   RAM_BYTES - X86_KERNEL_MIN));
	CHECK(boot->arg.v == X86_START_INFO_GPA ||
	      boot->arg.v == X86_ZERO_PAGE_GPA);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct machine_x86 m;
	struct arch_boot boot;
	struct diag d = DIAG_INIT;
	struct arch_payload load = {
		.kernel_name = "fuzz",
		.initramfs_name = "fuzz",
		.cmdline = "console=ttyS0",
	};
	int err;

	if (!m.ram.region_count)
		CHECK(!machine_init(&m, RAM_BYTES));
	load.kernel_fd = make_file(data, len);
	load.initramfs_fd = make_file("initramfs", 9);
	CHECK(load.kernel_fd >= 0 && load.initramfs_fd >= 0);
	err = arch_x86_64.load(&boot, &m.ram, &m.p, &load, &d);
	CHECK(err <= 0);
	CHECK(err ? d.depth > 0 : d.depth == 0);
	if (!err)
		check_boot(&boot);
	check_untouched(&m.ram, 0, KIB(4));
	check_untouched(&m.ram, 0xf0000, KIB(64));
	CHECK(!ram_clear(&m.ram, &d));
	close(load.kernel_fd);
	close(load.initramfs_fd);
	return 0;
}
