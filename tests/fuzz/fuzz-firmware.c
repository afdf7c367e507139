/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: any file as firmware, from recognising it to starting it, on both
 * architectures
 *
 * The input describes the file, because real ones have megabytes of nothing: a
 * byte that chooses the machine, the file's size, and pieces of it, each with
 * its place from the beginning or from the end. Either it is refused with a
 * sentence, or all of it is where the processor looks for it. Kernels as such
 * are the affair of fuzz-x86-kernel and fuzz-arm64-kernel.
 */
#include <sys/stat.h>
#include <unistd.h>

#include "arch/x86_64/boot.h"
#include "arch/x86_64/pc-firmware.h"
#include "vmm/base/check.h"
#include "vmm/base/file.h"
#include "vmm/fw-cfg.h"

#include "tests/unit/x86-kernels.h"

#define SIZE_MAX_BYTES (MIB(64) + KIB(8))
#define PIECES	       32
#define PIECE_BYTES    8192

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* What the first byte chooses. */
enum {
	ON_ARM64 = 1 << 0,
	HAS_FLASH = 1 << 1,
	NO_FW_CFG = 1 << 2,
	HAS_KERNEL = 1 << 3,
	NO_PCI = 1 << 4,
	SHRINKS = 1 << 5, /* between recognising and loading */
};

/* From the end of the file, and not from its beginning. */
#define FROM_END (UINT32_C(1) << 31)

/** struct input - what is left of it; what is missing is zero */
struct input {
	const uint8_t *at;
	size_t left;
};

static void take(struct input *in, void *out, size_t len)
{
	size_t n = MIN(in->left, len);

	memset(out, 0, len);
	memcpy(out, in->at, n);
	in->at += n;
	in->left -= n;
}

static uint32_t take32(struct input *in)
{
	uint8_t le[4];

	take(in, le, sizeof(le));
	return get_le32(le);
}

/* ---- the file ----------------------------------------------------------- */

static void put_piece(struct input *in, int fd, uint64_t size)
{
	uint32_t where = take32(in), len = take32(in) % PIECE_BYTES;
	uint64_t at = where & ~FROM_END;
	uint8_t bytes[PIECE_BYTES];

	take(in, bytes, len);
	if (where & FROM_END)
		at = size - MIN(at, size);
	if (at < size)
		CHECK(pwrite(fd, bytes, MIN(size - at, len), (off_t)at) >= 0);
}

static int make(struct input *in)
{
	uint64_t size = take32(in) % SIZE_MAX_BYTES;
	int fd = memfd_create("firmware", MFD_CLOEXEC);

	CHECK(fd >= 0 && !ftruncate(fd, (off_t)size));
	for (unsigned i = 0; in->left && i < PIECES; i++)
		put_piece(in, fd, size);
	return fd;
}

/* ---- the machine -------------------------------------------------------- */

static void add_ram(struct guest_ram *ram, const struct plat_range *r)
{
	CHECK(!ram_add(ram, GPA(r->base), r->size_bytes,
		       &(struct ram_options){ 0 }, NULL));
}

static void make_machine(struct platform *p, struct guest_ram *ram,
			 struct guest_ram *rom, const struct arch *arch,
			 uint8_t how)
{
	static char name[] = "fuzz";
	struct host_caps caps = { .pa_bits = 46,
				  .gicv3 = true,
				  .its = true,
				  .page_size_bytes = 4096 };
	struct vm_config cfg = { .cpus = { .boot_vcpus = 1, .max_vcpus = 1 },
				 .memory.size_bytes = MIB(64),
				 .firmware = name };
	const struct plat_dev flash = { .role = PLAT_FLASH, .name = "flash" };

	CHECK(!arch->layout(p, &cfg, &caps, NULL));
	if (how & NO_PCI)
		p->pci.segment_count = 0;
	if (how & HAS_FLASH)
		CHECK(!platform_add(p, &flash, NULL));
	for (unsigned i = 0; i < p->ram_count; i++)
		add_ram(ram, &p->ram[i]);
	if (p->rom.size_bytes)
		add_ram(rom, &p->rom);
}

/* The whole file is in ROM, and nothing else. */
static void check_rom(const struct platform *p, const struct guest_ram *rom,
		      int fd)
{
	static uint8_t file[KIB(64)];
	struct stat st;
	const uint8_t *at;

	CHECK(!fstat(fd, &st) && (uint64_t)st.st_size <= MIB(64));
	at = ram_pin(rom, GPA(p->rom.base), (uint64_t)st.st_size);
	CHECK(at);
	for (uint64_t i = 0; i < (uint64_t)st.st_size; i += sizeof(file)) {
		size_t n = MIN((uint64_t)st.st_size - i, sizeof(file));

		CHECK(file_read_at(fd, i, file, n) == (int64_t)n);
		CHECK(!memcmp(at + i, file, n));
	}
}

static void check_boot(const struct arch_boot *boot, const struct platform *p,
		       const struct guest_ram *ram, const struct guest_ram *rom,
		       int fd)
{
	bool is_arm = !strcmp(p->arch, "arm64");

	if (is_arm)
		CHECK(boot->entry.v == p->rom.base &&
		      boot->arg.v == p->ram[0].base &&
		      get_le32(ram_pin(ram, boot->arg, 4)) == 0xedfe0dd0);
	else if (boot->protocol == X86_RESET)
		CHECK(p->q35 && p->rom.base + p->rom.size_bytes == GIB(4) &&
		      !*(uint8_t *)ram_pin(ram, GPA(X86_RSDP_GPA), 1));
	else
		CHECK(boot->protocol == X86_PVH &&
		      range_within(boot->entry.v, 1, X86_KERNEL_MIN, MIB(63)));
	if (is_arm || boot->protocol == X86_RESET)
		check_rom(p, rom, fd);
}

static void start(const struct arch *arch, struct platform *p,
		  struct arch_payload *load, uint8_t how)
{
	struct guest_ram ram, rom;
	struct arch_boot boot;
	struct diag d = DIAG_INIT;
	int err;

	ram_init(&ram);
	ram_init(&rom);
	make_machine(p, &ram, &rom, arch, how);
	load->rom = &rom;
	if (how & SHRINKS)
		CHECK(!ftruncate(load->firmware_fd, 4095));
	err = arch->load(&boot, &ram, p, load, &d);
	CHECK(err <= 0 && !!err == !!d.depth);
	if (!err)
		check_boot(&boot, p, &ram, &rom, load->firmware_fd);
	ram_release(&rom);
	ram_release(&ram);
}

/* Volumes fill the file. */
static void check_volumes(int fd, uint64_t size)
{
	uint64_t at = 0;
	uint8_t head[0x30];

	while (at != size) {
		CHECK(file_read_at(fd, at, head, sizeof(head)) == sizeof(head));
		CHECK(!memcmp(head + 0x28, "_FVH", 4));
		at += get_le64(head + 0x20);
	}
}

/* Recognised for what it is, before there is a machine. */
static void check_recognised(const struct platform *p, int fd)
{
	struct stat st;

	CHECK(!fstat(fd, &st));
	if (!p->q35)
		return;
	CHECK((uint64_t)st.st_size == p->rom.size_bytes &&
	      p->rom.size_bytes + p->flash.size_bytes <= X86_PC_FIRMWARE_MAX &&
	      is_pow2(p->rom.size_bytes + p->flash.size_bytes));
	check_volumes(fd, p->rom.size_bytes);
}

static void run(const struct arch *arch, struct arch_payload *load, uint8_t how)
{
	struct platform p = { .arch = NULL };
	struct diag d = DIAG_INIT;
	int err = 0;

	if (arch->recognise)
		err = arch->recognise(&p, load, &d);
	CHECK(err <= 0 && !!err == !!d.depth);
	if (!err) {
		check_recognised(&p, load->firmware_fd);
		start(arch, &p, load, how);
	}
	platform_release(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const struct fw_cfg_config all = { .e820 = true,
						  .kernel = true,
						  .cmdline = true,
						  .acpi_table = true };
	struct input in = { data + 1, len - 1 };
	struct arch_payload load = {
		.kernel_fd = -1,
		.initramfs_fd = -1,
		.firmware_name = "fuzz",
		.kernel_name = "fuzz",
		.cmdline = "",
		.fw_cfg_config = &all,
	};

	if (len < 6)
		return -1;
	load.firmware_fd = make(&in);
	if (data[0] & HAS_KERNEL)
		load.kernel_fd = dup(load.firmware_fd);
	if (!(data[0] & NO_FW_CFG))
		load.fw_cfg = fw_cfg_new();
	run(data[0] & ON_ARM64 ? &arch_arm64 : &arch_x86_64, &load, data[0]);
	fw_cfg_free(load.fw_cfg);
	if (load.kernel_fd >= 0)
		close(load.kernel_fd);
	close(load.firmware_fd);
	return 0;
}
