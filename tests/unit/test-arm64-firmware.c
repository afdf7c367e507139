/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: arm64 firmware: what is recognised, where it and its device tree go,
 * and one sentence for everything else
 */
#include <check.h>
#include <errno.h>
#include <libfdt.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "arch/arm64/firmware.h"
#include "arch/arm64/layout.h"
#include "vmm/base/bytes.h"
#include "vmm/fw-cfg.h"

#include "tests/unit/arm64-kernels.h"
#include "tests/unit/suite.h"

#define FILE_BYTES 8192

static struct guest_ram ram, rom;
static struct platform p;
static struct arch_boot boot;
static struct diag d;
static struct fw_cfg *fw_cfg;
static uint8_t file[FILE_BYTES];

static void add(struct guest_ram *to, uint64_t base, uint64_t size_bytes)
{
	ram_init(to);
	ck_assert_int_eq(ram_add(to, GPA(base), size_bytes,
				 &(struct ram_options){ 0 }, NULL),
			 0);
}

static void make_uboot(void)
{
	memset(file, 0, sizeof(file));
	put_le32(file, 0x1400000a);
	put_le32(file + 4, 0xd503201f);
	put_le64(file + 16, sizeof(file));
	memcpy(file + sizeof(file) - 4, "LAST", 4);
}

static void setup(void)
{
	static char name[] = "FIRMWARE";
	struct host_caps caps = { .pa_bits = 40,
				  .gicv3 = true,
				  .its = true,
				  .page_size_bytes = 4096 };
	struct vm_config cfg = { .cpus = { .boot_vcpus = 1, .max_vcpus = 1 },
				 .memory = { .size_bytes = MIB(128) },
				 .firmware = name };

	d = DIAG_INIT;
	boot = (struct arch_boot){ 0 };
	ck_assert_msg(!arch_arm64.layout(&p, &cfg, &caps, &d), "%s", d.text[0]);
	ck_assert_uint_eq(p.rom.base, 0);
	ck_assert_uint_eq(p.rom.size_bytes, MIB(128));
	add(&ram, p.ram[0].base, p.ram[0].size_bytes);
	add(&rom, p.rom.base, p.rom.size_bytes);
	make_uboot();
}

static void teardown(void)
{
	ram_release(&ram);
	ram_release(&rom);
	platform_release(&p);
	fw_cfg_free(fw_cfg);
	fw_cfg = NULL;
	memset(&p, 0, sizeof(p));
}

static int kernel_fd = -1;

static int load_size(uint64_t size_bytes)
{
	static const struct fw_cfg_config config;
	int fd = memfd_create("firmware", MFD_CLOEXEC), err;
	struct arch_payload load = { .firmware_fd = fd,
				     .fw_cfg = fw_cfg,
				     .fw_cfg_config = &config,
				     .kernel_fd = kernel_fd,
				     .initramfs_fd = -1,
				     .firmware_name = "FIRMWARE",
				     .kernel_name = "KERNEL",
				     .cmdline = "",
				     .rom = &rom };
	size_t len = MIN(size_bytes, sizeof(file));

	ck_assert_int_eq(write(fd, file, len), (ssize_t)len);
	ck_assert_int_eq(ftruncate(fd, (off_t)size_bytes), 0);
	if (fw_cfg)
		fw_cfg_clear(fw_cfg);
	err = arch_arm64.load(&boot, &ram, &p, &load, &d);
	close(fd);
	return err;
}

static void expect_refusal(uint64_t size_bytes, int err, const char *says)
{
	ck_assert_int_eq(load_size(size_bytes), -err);
	ck_assert_uint_eq(d.depth, 2);
	ck_assert_msg(strstr(d.text[0], says) != NULL, "'%s' lacks '%s'",
		      d.text[0], says);
	ck_assert_str_eq(d.text[1], "--firmware FIRMWARE");
	ck_assert_uint_eq(boot.arg.v, 0);
}

/* Firmware starts EFI programs. */
START_TEST(test_kernel)
{
	kernel_fd = memfd_create("kernel", MFD_CLOEXEC);
	ck_assert_int_eq(write(kernel_fd, _i ? "MZ and more" : "\x1f\x8b", 2),
			 2);
	ck_assert_int_eq(load_size(sizeof(file)), _i ? 0 : -ENOEXEC);
	if (!_i)
		ck_assert_str_eq(d.text[0],
				 "--kernel KERNEL: is not an EFI program, "
				 "which firmware could start: give an Image, "
				 "Image.gz or EFI zboot");
	close(kernel_fd);
	kernel_fd = -1;
}
END_TEST

/* What the machine has for @kernel after the firmware was looked at. */
static int recognise(struct file kernel, int *fd)
{
	struct arch_payload load = { .kernel_name = "KERNEL",
				     .firmware_name = "FIRMWARE" };
	int err;

	load.kernel_fd = memfd_create("kernel", MFD_CLOEXEC);
	ck_assert_int_eq(write(load.kernel_fd, kernel.data, kernel.len),
			 (ssize_t)kernel.len);
	err = arch_arm64.recognise(&p, &load, &d);
	*fd = load.kernel_fd;
	free(kernel.data);
	return err;
}

START_TEST(test_kernel_is_unpacked)
{
	struct file plain = make_image(), seen = new_file(IMAGE_BYTES + 1);
	int fd;

	ck_assert_msg(
		!recognise(_i ? pack_gzip(make_image()) : make_image(), &fd),
		"%s", d.text[0]);
	ck_assert_int_eq(pread(fd, seen.data, seen.len, 0), IMAGE_BYTES);
	ck_assert_mem_eq(seen.data, plain.data, IMAGE_BYTES);
	free(plain.data);
	free(seen.data);
	close(fd);
}
END_TEST

/* No byte more than there should be, or than there is. */
START_TEST(test_kernel_bad_gzip)
{
	static const struct {
		size_t cut;
		uint64_t announced;
		const char *says;
	} bad[] = {
		{ 9, IMAGE_MEM_BYTES, "" },
		{ 0, IMAGE_BYTES - 1,
		  "holds more than the 196607 bytes that its header announces, "
		  "or than 268435456" },
		{ 0, 0, "" },
	};
	struct file plain = make_image(), packed;
	int fd;

	put_le64(plain.data + 16, bad[_i].announced);
	packed = pack_gzip(plain);
	packed.len -= bad[_i].cut;
	ck_assert_int_eq(recognise(packed, &fd), -EINVAL);
	ck_assert_uint_eq(d.depth, 2);
	ck_assert_ptr_nonnull(strstr(d.text[0], bad[_i].says));
	ck_assert_str_eq(d.text[1], "--kernel KERNEL");
	close(fd);
}
END_TEST

/* Something else that is packed. */
START_TEST(test_kernel_not_an_image)
{
	int fd;

	ck_assert_int_eq(recognise(pack_gzip(new_file(100000)), &fd), -ENOEXEC);
	ck_assert_str_eq(d.text[1], "--kernel KERNEL");
	close(fd);
}
END_TEST

START_TEST(test_uboot)
{
	uint8_t seen[FILE_BYTES];
	const void *dtb;
	const char *type;

	ck_assert_msg(!load_size(sizeof(file)), "%s", d.text[0]);
	ck_assert_uint_eq(boot.entry.v, 0);
	ck_assert_uint_eq(boot.arg.v, 0x40000000);
	ck_assert(ram_read(&rom, GPA(0), seen, sizeof(seen)));
	ck_assert_mem_eq(seen, file, sizeof(file));
	dtb = ram_pin(&ram, GPA(0x40000000), ARM64_FIRMWARE_DTB_MAX);
	ck_assert_int_eq(fdt_check_full(dtb, ARM64_FIRMWARE_DTB_MAX), 0);
	type = fdt_getprop(dtb, fdt_path_offset(dtb, "/memory@40000000"),
			   "device_type", NULL);
	ck_assert_str_eq(type, "memory");
}
END_TEST

/* A file that ends early says so; one without its header is no firmware. */
START_TEST(test_cuts)
{
	for (unsigned len = 1; len < sizeof(file); len += 97) {
		d = DIAG_INIT;
		if (len < 24)
			ck_assert_int_lt(load_size(len), 0);
		else
			expect_refusal(len, EINVAL, "is cut off: has ");
	}
}
END_TEST

START_TEST(test_too_large)
{
	expect_refusal(MIB(64) + 1, E2BIG,
		       "has 67108865 bytes: at most 67108864");
}
END_TEST

START_TEST(test_whole_rom)
{
	ck_assert_int_eq(load_size(MIB(64)), 0);
}
END_TEST

static const struct wrong {
	unsigned at;
	const char *bytes;
	unsigned len;
	int err;
	const char *says;
} wrong[] = {
	{ 0x1028, "_FVH", 4, EINVAL,
	  "variables in flash: give --firmware-vars" },
	{ 56, "ARM\x64", 4, ENOEXEC, "is a Linux kernel: give it as --kernel" },
	{ 0, "\177ELF", 4, ENOEXEC, "is an ELF file" },
	{ 0, "QFI\xfb", 4, ENOEXEC, "is a qcow2 disk image" },
	{ 4, "none", 4, ENOEXEC, "is not firmware for arm64; arm64 starts" },
	{ 0, "\0\0\0", 4, ENOEXEC, "is not firmware for arm64" },
};

START_TEST(test_wrong)
{
	memcpy(file + wrong[_i].at, wrong[_i].bytes, wrong[_i].len);
	expect_refusal(sizeof(file), wrong[_i].err, wrong[_i].says);
}
END_TEST

static void add_flash(void)
{
	const struct plat_dev flash = { .role = PLAT_FLASH };

	ck_assert_int_eq(platform_add(&p, &flash, &d), 0);
}

/* With all that it needs; @len: of its volume */
static void make_uefi(uint64_t len)
{
	add_flash();
	fw_cfg = fw_cfg_new();
	memcpy(file + 0x1028, "_FVH", 4);
	put_le64(file + 0x1020, len);
}

START_TEST(test_uefi_with_flash)
{
	uint8_t seen[FILE_BYTES];

	make_uefi(FILE_BYTES - 0x1000);
	ck_assert_msg(!load_size(MIB(64)), "%s", d.text[0]);
	ck_assert_uint_eq(boot.entry.v, 0);
	ck_assert(ram_read(&rom, GPA(0), seen, sizeof(seen)));
	ck_assert_mem_eq(seen, file, sizeof(file));
}
END_TEST

/* What it holds must be there, and nothing more. */
START_TEST(test_uefi_cuts)
{
	static const struct {
		uint64_t len, size_bytes;
		const char *says; /* NULL: accepted */
	} cuts[] = {
		{ 0x1000, FILE_BYTES, NULL },
		{ 0x1000, FILE_BYTES - 1, "has 8191 of 8192 bytes" },
		{ 0x1000, 0x1040, "has 4160 of 8192 bytes" },
		{ 0x1001, FILE_BYTES, "has 8192 of 8193 bytes" },
		{ MIB(64) - 0x1000, MIB(64), NULL },
		{ UINT64_MAX, FILE_BYTES, "of 18446744073709551615 bytes" },
		{ UINT64_MAX - 0xfff, FILE_BYTES, "is cut off: has 8192 of" },
	};

	make_uefi(cuts[_i].len);
	if (cuts[_i].says)
		expect_refusal(cuts[_i].size_bytes, EINVAL, cuts[_i].says);
	else
		ck_assert_int_eq(load_size(cuts[_i].size_bytes), 0);
}
END_TEST

START_TEST(test_uefi_memory)
{
	make_uefi(0x1000);
	p.ram[0].size_bytes = p.part[0].range.size_bytes = MIB(128) - 4096;
	expect_refusal(FILE_BYTES, E2BIG, "needs 128M of RAM: give more");
}
END_TEST

START_TEST(test_uefi_without_fw_cfg)
{
	make_uefi(0x1000);
	fw_cfg_free(fw_cfg);
	fw_cfg = NULL;
	expect_refusal(FILE_BYTES, EINVAL, "leave out --fw-cfg-config disable");
}
END_TEST

/* Firmware needs all of the device tree, and places ACPI itself. */
START_TEST(test_acpi)
{
	struct arch_tables t = { .count = 0 };
	const void *dtb;

	p.tables = TABLES_ACPI;
	ck_assert_msg(!load_size(sizeof(file)), "%s", d.text[0]);
	dtb = ram_pin(&ram, boot.arg, KIB(496));
	ck_assert_int_eq(fdt_check_header(dtb), 0);
	ck_assert_int_gt(fdt_path_offset(dtb, "/cpus"), 0);
	ck_assert_int_eq(arch_arm64.tables(&t, &p, NULL, GPA(0), 0, &d), 0);
	for (unsigned i = 0; i < t.count; i++)
		ck_assert_uint_eq(t.table[i].gpa.v, 0);
	ck_assert_str_eq(t.table[0].name, "rsdp.bin");
	ck_assert_str_eq(t.table[t.count - 1].name, "virt.dtb");
	ck_assert_int_gt(fdt_path_offset(t.table[t.count - 1].data, "/cpus"),
			 0);
	arch_tables_release(&t);
}
END_TEST

START_TEST(test_uboot_with_flash)
{
	add_flash();
	expect_refusal(sizeof(file), EINVAL, "leave out --firmware-vars");
}
END_TEST

/* Files that begin with a firmware volume, or are a disk. */
START_TEST(test_volumes)
{
	memset(file, 0, sizeof(file));
	memcpy(file + 0x28, "_FVH", 4);
	expect_refusal(sizeof(file), ENOEXEC, "another machine (OVMF?)");
	memcpy(file + 0x10,
	       "\x8d\x2b\xf1\xff\x96\x76\x8b\x4c\xa9\x85\x27\x47\x07\x5b\x4f"
	       "\x50",
	       16);
	d = DIAG_INIT;
	expect_refusal(sizeof(file), ENOEXEC, "a store of UEFI variables");
	memset(file, 0, sizeof(file));
	memcpy(file + 512, "EFI PART", 8);
	d = DIAG_INIT;
	expect_refusal(sizeof(file), ENOEXEC, "is a disk image");
}
END_TEST

/* A machine that starts a kernel has RAM only. */
START_TEST(test_no_rom)
{
	struct host_caps caps = { .pa_bits = 40, .gicv3 = true };
	struct vm_config cfg = { .cpus = { .boot_vcpus = 1, .max_vcpus = 1 },
				 .memory = { .size_bytes = MIB(128) } };
	struct platform plain = { 0 };

	ck_assert_int_eq(arch_arm64.layout(&plain, &cfg, &caps, NULL), 0);
	ck_assert_uint_eq(plain.rom.size_bytes, 0);
	platform_release(&plain);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("arm64-firmware");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_uboot);
	tcase_add_loop_test(tc, test_kernel, 0, 2);
	tcase_add_loop_test(tc, test_kernel_is_unpacked, 0, 2);
	tcase_add_loop_test(tc, test_kernel_bad_gzip, 0, 3);
	tcase_add_test(tc, test_kernel_not_an_image);
	tcase_add_test(tc, test_acpi);
	tcase_add_test(tc, test_cuts);
	tcase_add_test(tc, test_too_large);
	tcase_add_test(tc, test_whole_rom);
	tcase_add_loop_test(tc, test_wrong, 0, ARRAY_SIZE(wrong));
	tcase_add_test(tc, test_volumes);
	tcase_add_test(tc, test_uefi_with_flash);
	tcase_add_loop_test(tc, test_uefi_cuts, 0, 7);
	tcase_add_test(tc, test_uefi_memory);
	tcase_add_test(tc, test_uefi_without_fw_cfg);
	tcase_add_test(tc, test_uboot_with_flash);
	tcase_add_test(tc, test_no_rom);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
