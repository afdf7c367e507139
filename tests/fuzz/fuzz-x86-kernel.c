/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: any bytes as an x86_64 kernel file, and then as firmware: refused with a
 * sentence, or loaded without a byte where the kernel has nothing to say
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

/* The first page and what is behind the SMBIOS tables belong to nobody. */
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

static struct machine_x86 m;

static void try_load(const struct arch_payload *load)
{
	struct arch_boot boot;
	struct diag d = DIAG_INIT;
	int err = arch_x86_64.load(&boot, &m.ram, &m.p, load, &d);

	CHECK(err <= 0);
	CHECK(err ? d.depth > 0 : d.depth == 0);
	if (!err)
		check_boot(&boot);
	check_untouched(&m.ram, 0, KIB(4));
	check_untouched(&m.ram, 0xf1000, KIB(60));
	CHECK(!ram_clear(&m.ram, &d));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	int fd = make_file(data, len), initramfs = make_file("initramfs", 9);
	struct arch_payload kernel = {
		.kernel_fd = fd,
		.initramfs_fd = initramfs,
		.kernel_name = "fuzz",
		.initramfs_name = "fuzz",
		.cmdline = "console=ttyS0",
	};
	struct arch_payload firmware = {
		.firmware_fd = fd,
		.kernel_fd = -1,
		.initramfs_fd = -1,
		.firmware_name = "fuzz",
		.cmdline = "",
	};

	if (!m.ram.region_count)
		CHECK(!machine_init(&m, RAM_BYTES));
	m.p.pci.segment_count = 1;
	CHECK(fd >= 0 && initramfs >= 0);
	try_load(&kernel);
	try_load(&firmware);
	close(fd);
	close(initramfs);
	return 0;
}
