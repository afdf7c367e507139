/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: x86_64 firmware: started like a PVH kernel; anything else is named
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>

#include "arch/x86_64/boot.h"
#include "arch/x86_64/layout.h"
#include "vmm/fw-cfg.h"

#include "tests/unit/suite.h"
#include "tests/unit/x86-kernels.h"

#define RAM_BYTES MIB(64)

static struct machine_x86 m;
static struct diag d;
static struct arch_boot boot;
static uint8_t file[16384];
static size_t file_bytes;

static void setup(void)
{
	d = DIAG_INIT;
	ck_assert_int_eq(machine_init(&m, RAM_BYTES), 0);
	m.p.pci.segment_count = 1;
	make_pvh(file);
	put_le16(file + offsetof(Elf64_Ehdr, e_machine), EM_386);
	file_bytes = PVH_BYTES;
}

static void teardown(void)
{
	machine_release(&m);
}

static int load_fd(int fd)
{
	struct arch_payload load = {
		.firmware_fd = fd,
		.kernel_fd = -1,
		.initramfs_fd = -1,
		.firmware_name = "FIRMWARE",
		.cmdline = "",
	};
	int err = arch_x86_64.load(&boot, &m.ram, &m.p, &load, &d);

	close(fd);
	ck_assert_int_eq(err != 0, d.depth != 0);
	return err;
}

static int load(void)
{
	return load_fd(make_file(file, file_bytes));
}

static void expect_text(const char *text)
{
	ck_assert_msg(strstr(d.text[0], text) != NULL,
		      "\"%s\" is not in \"%s\"", text, d.text[0]);
}

static const uint8_t *at(uint64_t gpa, uint64_t len)
{
	const uint8_t *p = ram_pin(&m.ram, GPA(gpa), len);

	ck_assert_ptr_nonnull(p);
	return p;
}

/* A map of RAM, the RSDP, no kernel, an empty command line. */
START_TEST(test_good)
{
	const uint8_t *si;

	ck_assert_int_eq(load(), 0);
	ck_assert_uint_eq(boot.protocol, X86_PVH);
	ck_assert_uint_eq(boot.entry.v, PVH_ENTRY);
	ck_assert_mem_eq(at(PVH_TEXT_GPA, PVH_TEXT_BYTES), file + PVH_TEXT_AT,
			 PVH_TEXT_BYTES);
	si = at(boot.arg.v, 4096);
	ck_assert_uint_eq(get_le32(si), 0x336ec578);
	ck_assert_uint_eq(get_le32(si + 12), 0);
	ck_assert_str_eq((const char *)at(get_le64(si + 24), 1), "");
	ck_assert_uint_eq(get_le64(si + 32), X86_RSDP_GPA);
	ck_assert_uint_ge(get_le32(si + 48), 2);
	ck_assert_mem_eq(at(X86_RSDP_GPA, 8), "RSD PTR ", 8);
}
END_TEST

START_TEST(test_cut)
{
	file_bytes = (size_t)_i;
	ck_assert_int_eq(load(), _i && _i < SELFMAG ? -ENOEXEC : -EINVAL);
	expect_text(!_i		   ? "--firmware FIRMWARE: is empty"
		    : _i < SELFMAG ? "is not firmware"
				   : "truncated");
	ck_assert_uint_eq(*at(PVH_TEXT_GPA, 1), 0);
}
END_TEST

#define PH(i, field)                                     \
	(sizeof(Elf64_Ehdr) + (i) * sizeof(Elf64_Phdr) + \
	 offsetof(Elf64_Phdr, field))

/* Where it wants to be there is no RAM, or not enough. */
START_TEST(test_too_big)
{
	put_le64(file + PH(2, p_memsz), _i ? UINT64_MAX : MIB(48));
	ck_assert_int_eq(load(), -E2BIG);
	expect_text("--firmware FIRMWARE: needs RAM up to ");
	expect_text("the guest has 64 MiB below 3 GiB: give --memory more");
}
END_TEST

START_TEST(test_other_machine)
{
	put_le16(file + offsetof(Elf64_Ehdr, e_machine), EM_AARCH64);
	ck_assert_int_eq(load(), -ENOEXEC);
	expect_text("--firmware FIRMWARE: is an ELF file for an arm64 machine");
}
END_TEST

START_TEST(test_needs_pci)
{
	m.p.pci.segment_count = 0;
	ck_assert_int_eq(load(), -EINVAL);
	expect_text("needs PCI: leave out --platform transport=mmio");
}
END_TEST

/* Firmware finds the kernel in fw_cfg, and nowhere else. */
START_TEST(test_kernel)
{
	struct fw_cfg_config config = { .kernel = true,
					.cmdline = true,
					.initramfs = true };
	uint8_t kernel[BZ_BYTES], seen[BZ_BYTES];
	struct arch_payload both = { .firmware_name = "FIRMWARE",
				     .kernel_name = "KERNEL",
				     .initramfs_name = "INITRAMFS",
				     .cmdline = "console=x",
				     .fw_cfg_config = &config,
				     .fw_cfg = fw_cfg_new() };
	const struct fw_cfg_item *setup_part, *kernel_part;
	const uint8_t *si;

	make_bzimage(kernel);
	both.firmware_fd = make_file(file, file_bytes);
	both.kernel_fd = make_file(kernel, sizeof(kernel));
	both.initramfs_fd = make_file(file, 100);
	ck_assert_int_eq(arch_x86_64.load(&boot, &m.ram, &m.p, &both, &d), 0);
	setup_part = fw_cfg_find(both.fw_cfg, FW_CFG_SETUP);
	kernel_part = fw_cfg_find(both.fw_cfg, FW_CFG_KERNEL);
	ck_assert_uint_eq(fw_cfg_size(setup_part), BZ_PAYLOAD_AT);
	ck_assert_uint_eq(fw_cfg_size(kernel_part), BZ_PAYLOAD_BYTES);
	ck_assert_int_eq(fw_cfg_read(setup_part, 0, seen, BZ_PAYLOAD_AT), 0);
	ck_assert_int_eq(fw_cfg_read(kernel_part, 0, seen + BZ_PAYLOAD_AT,
				     BZ_PAYLOAD_BYTES),
			 0);
	ck_assert_mem_eq(seen, kernel, sizeof(kernel));
	si = at(boot.arg.v, 4096);
	ck_assert_uint_eq(get_le32(si + 12), 0); /* no initramfs */
	ck_assert_str_eq((const char *)at(get_le64(si + 24), 1), "");
	close(both.firmware_fd);
	close(both.kernel_fd);
	close(both.initramfs_fd);
	fw_cfg_free(both.fw_cfg);
}
END_TEST

/* vmlinux says so in its notes, before or behind the entry. */
START_TEST(test_vmlinux)
{
	static const uint8_t note[24] = { 6, 0, 0, 0,	4,   0,	  0,   0,  1,
					  1, 0, 0, 'L', 'i', 'n', 'u', 'x' };
	uint8_t *at_note = file + PVH_NOTE_AT;

	if (_i) {
		memmove(at_note, at_note + 24, 24);
		at_note += 24;
	}
	memcpy(at_note, note, sizeof(note));
	ck_assert_int_eq(load(), -ENOEXEC);
	expect_text("is a Linux kernel: give it as --kernel");
}
END_TEST

START_TEST(test_bzimage)
{
	make_bzimage(file);
	file_bytes = BZ_BYTES;
	ck_assert_int_eq(load(), -ENOEXEC);
	expect_text("is a Linux kernel: give it as --kernel");
}
END_TEST

#define NV_DATA "\x8d\x2b\xf1\xff\x96\x76\x8b\x4c"

static const struct {
	size_t at, at2;
	const char *mark, *mark2;
	const char *text;
} others[] = {
	{ 56, 0, "ARM\x64", "", "is an arm64 kernel; x86_64 starts an ELF" },
	{ 0, 0, "QFI\xfb", "", "is a qcow2 disk image; " },
	{ 512, 0, "EFI PART", "", "is a disk image; " },
	{ 0, 0, "\x1f\x8b", "", "is compressed by gzip" },
	{ 0x1028, 0, "_FVH", "", "is UEFI firmware for arm64 (AAVMF); " },
	{ 0, 4, "\x0a\x40\x40\x14", "\x1f\x20\x03\xd5",
	  "is firmware for arm64 (U-Boot?); " },
	{ 0x28, 16383, "_FVH", "x", "is UEFI firmware for QEMU's PC (OVMF)" },
	{ 0x28, 0x10, "_FVH", NV_DATA "\xa9\x85\x27\x47\x07\x5b\x4f\x50",
	  "is a store of UEFI variables without firmware; " },
	{ 0x28, 0x10, "_FVH", NV_DATA,
	  "is UEFI firmware that is cut off, or a part of it; " },
	{ 0, 0, "#!/bin/sh\n", "", "is not firmware; " },
};

START_TEST(test_others)
{
	memset(file, 0xff, sizeof(file));
	file_bytes = sizeof(file);
	memcpy(file + others[_i].at, others[_i].mark, strlen(others[_i].mark));
	memcpy(file + others[_i].at2, others[_i].mark2,
	       strlen(others[_i].mark2));
	ck_assert_int_eq(load(), -ENOEXEC);
	expect_text("--firmware FIRMWARE: is ");
	expect_text(others[_i].text);
	expect_text("CLOUDHV.fd of Debian's cloudhv-efi-x86-64");
}
END_TEST

/* ---- made for a PC ------------------------------------------------------ */

#define PC_BYTES KIB(12)
#define PC_CUT	 KIB(8) /* where the second volume begins */

static void put_volume(size_t at, uint64_t len)
{
	memset(file + at, 0x11, len);
	put_le64(file + at + 0x20, len);
	memcpy(file + at + 0x28, "_FVH", 4);
}

static void make_pc(void)
{
	put_volume(0, PC_CUT);
	put_volume(PC_CUT, PC_BYTES - PC_CUT);
	file_bytes = PC_BYTES;
}

static int recognise(void)
{
	struct arch_payload load = {
		.firmware_fd = make_file(file, file_bytes),
		.firmware_name = "FIRMWARE",
	};
	int err = arch_x86_64.recognise(&m.p, &load, &d);

	close(load.firmware_fd);
	ck_assert_int_eq(err != 0, d.depth != 0);
	return err;
}

START_TEST(test_pc)
{
	static const struct fw_cfg_config config;
	struct guest_ram rom;
	struct arch_payload load = { .kernel_fd = -1,
				     .fw_cfg = fw_cfg_new(),
				     .fw_cfg_config = &config,
				     .initramfs_fd = -1,
				     .firmware_name = "FIRMWARE",
				     .cmdline = "",
				     .rom = &rom };

	make_pc();
	ck_assert_int_eq(recognise(), 0);
	ck_assert(m.p.q35);
	ck_assert_uint_eq(m.p.rom.base, GIB(4) - PC_BYTES);
	ck_assert_uint_eq(m.p.rom.size_bytes, PC_BYTES);
	ck_assert_uint_eq(m.p.flash.base, GIB(4) - KIB(16));
	ck_assert_uint_eq(m.p.flash.size_bytes, KIB(16) - PC_BYTES);
	ram_init(&rom);
	ck_assert_int_eq(ram_add(&rom, GPA(m.p.rom.base), PC_BYTES,
				 &(struct ram_options){ 0 }, &d),
			 0);
	load.firmware_fd = make_file(file, file_bytes);
	ck_assert_int_eq(arch_x86_64.load(&boot, &m.ram, &m.p, &load, &d), 0);
	close(load.firmware_fd);
	ck_assert_uint_eq(boot.protocol, X86_RESET);
	ck_assert_mem_eq(ram_pin(&rom, GPA(m.p.rom.base), PC_BYTES), file,
			 PC_BYTES);
	ck_assert_uint_eq(*at(X86_RSDP_GPA, 1), 0);
	/* It must not have changed since it was recognised. */
	fw_cfg_clear(load.fw_cfg);
	load.firmware_fd = make_file(file, file_bytes - 1);
	ck_assert_int_eq(arch_x86_64.load(&boot, &m.ram, &m.p, &load, &d),
			 -EINVAL);
	close(load.firmware_fd);
	fw_cfg_free(load.fw_cfg);
	load.fw_cfg = NULL;
	d = DIAG_INIT;
	load.firmware_fd = make_file(file, file_bytes);
	ck_assert_int_eq(arch_x86_64.load(&boot, &m.ram, &m.p, &load, &d),
			 -EINVAL);
	expect_text("leave out --fw-cfg-config disable");
	close(load.firmware_fd);
	ram_release(&rom);
}
END_TEST

static const struct {
	size_t bytes;
	bool q35;
	int err;
	const char *text;
} pc_sizes[] = {
	{ PC_BYTES, true, 0, NULL },
	{ PC_BYTES - 1, false, EINVAL, "12287 bytes, which is not a multiple" },
	{ PC_CUT, true, 0, NULL }, /* one volume is enough */
	{ KIB(4), false, EINVAL, "cut off behind byte 0" },
	{ 64, false, EINVAL, "64 bytes, which is not" },
	{ PC_BYTES + KIB(4), false, EINVAL, "cut off behind byte 12288" },
};

START_TEST(test_pc_sizes)
{
	make_pc();
	memset(file + PC_BYTES, 0x11, KIB(4));
	file_bytes = pc_sizes[_i].bytes;
	ck_assert_int_eq(recognise(), -pc_sizes[_i].err);
	ck_assert_int_eq(m.p.q35, pc_sizes[_i].q35);
	if (pc_sizes[_i].err)
		expect_text(pc_sizes[_i].text);
}
END_TEST

/* A length that leads out of the file, backwards, or nowhere. */
START_TEST(test_pc_bad_volume)
{
	static const uint64_t lengths[] = { 0, UINT64_MAX, PC_BYTES + 1,
					    UINT64_MAX - PC_CUT + 1, 48 };

	make_pc();
	put_le64(file + PC_CUT + 0x20, lengths[_i]);
	ck_assert_int_eq(recognise(), -EINVAL);
	expect_text("--firmware FIRMWARE: is UEFI firmware for QEMU's PC "
		    "(OVMF), but damaged or cut off behind byte 8");
}
END_TEST

START_TEST(test_pc_too_big)
{
	int fd;

	make_pc();
	fd = make_file(file, file_bytes);
	ck_assert_int_eq(ftruncate(fd, MIB(16)), 0);
	ck_assert_int_eq(pwrite(fd, "x", 1, MIB(16)), 1);
	ck_assert_int_eq(
		arch_x86_64.recognise(
			&m.p,
			&(struct arch_payload){ .firmware_fd = fd,
						.firmware_name = "FIRMWARE" },
			&d),
		-E2BIG);
	expect_text("has 16777217 bytes: at most 16777216");
	close(fd);
}
END_TEST

/* What is not made for a PC is load()'s affair. */
START_TEST(test_pc_not)
{
	ck_assert_int_eq(recognise(), 0);
	ck_assert(!m.p.q35);
	make_pc();
	memset(file + PC_BYTES - 16, 0xff, 16);
	ck_assert_int_eq(recognise(), 0);
	ck_assert(!m.p.q35);
}
END_TEST

START_TEST(test_not_a_file)
{
	ck_assert_int_eq(load_fd(open("/", O_RDONLY | O_CLOEXEC)), -EISDIR);
	expect_text("--firmware FIRMWARE: is a directory");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("x86-firmware");
	TCase *t = tcase_create("load");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_good);
	tcase_add_loop_test(t, test_cut, 0, 0xf0);
	tcase_add_loop_test(t, test_cut, PVH_BYTES - 1, PVH_BYTES);
	tcase_add_loop_test(t, test_too_big, 0, 2);
	tcase_add_test(t, test_other_machine);
	tcase_add_test(t, test_needs_pci);
	tcase_add_test(t, test_kernel);
	tcase_add_loop_test(t, test_vmlinux, 0, 2);
	tcase_add_test(t, test_bzimage);
	tcase_add_loop_test(t, test_others, 0, ARRAY_SIZE(others));
	tcase_add_test(t, test_not_a_file);
	tcase_add_test(t, test_pc);
	tcase_add_loop_test(t, test_pc_sizes, 0, ARRAY_SIZE(pc_sizes));
	tcase_add_loop_test(t, test_pc_bad_volume, 0, 5);
	tcase_add_test(t, test_pc_too_big);
	tcase_add_test(t, test_pc_not);
	suite_add_tcase(s, t);
	return suite_run(s);
}
