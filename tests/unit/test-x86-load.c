/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: x86_64 kernels: good ones land where they ask, bad ones are named
 *
 * Every header is cut at each of its bytes and every number in it made
 * extreme; RAM around the kernel must stay as it was.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>

#include "arch/x86_64/boot.h"
#include "arch/x86_64/layout.h"

#include "tests/unit/suite.h"
#include "tests/unit/x86-kernels.h"

#define RAM_BYTES MIB(64)

enum format { BZIMAGE, PVH };

static struct machine_x86 m;
static struct diag d;
static struct arch_boot boot;
static uint8_t file[8192];
static size_t file_bytes;

static void setup(void)
{
	d = DIAG_INIT;
	memset(&boot, 0xee, sizeof(boot));
	ck_assert_int_eq(machine_init(&m, RAM_BYTES), 0);
}

static void teardown(void)
{
	machine_release(&m);
}

static void make(enum format format)
{
	if (format == BZIMAGE)
		make_bzimage(file);
	else
		make_pvh(file);
	file_bytes = format == BZIMAGE ? BZ_BYTES : PVH_BYTES;
}

static int load_with(int kernel_fd, int initramfs_fd, const char *cmdline)
{
	struct arch_payload load = {
		.kernel_fd = kernel_fd,
		.initramfs_fd = initramfs_fd,
		.kernel_name = "KERNEL",
		.initramfs_name = "INITRAMFS",
		.cmdline = cmdline,
	};
	int err = arch_x86_64.load(&boot, &m.ram, &m.p, &load, &d);

	close(kernel_fd);
	if (initramfs_fd >= 0)
		close(initramfs_fd);
	if (err)
		ck_assert_uint_ge(d.depth, 1);
	return err;
}

static int load(void)
{
	return load_with(make_file(file, file_bytes), -1, "");
}

static void expect_text(const char *text)
{
	ck_assert_msg(strstr(d.text[0], text) != NULL,
		      "\"%s\" is not in \"%s\"", text, d.text[0]);
}

static uint8_t *at(uint64_t gpa, uint64_t len)
{
	uint8_t *p = ram_pin(&m.ram, GPA(gpa), len);

	ck_assert_ptr_nonnull(p);
	return p;
}

static void expect_bytes(uint64_t gpa, size_t from, size_t len)
{
	const uint8_t *p = at(gpa, len);

	for (size_t i = 0; i < len; i++)
		ck_assert_uint_eq(p[i], kernel_byte(from + i));
	ck_assert_uint_eq(p[len], 0);
}

/* ---- good kernels ------------------------------------------------------- */

START_TEST(test_bzimage)
{
	const uint8_t *page, *tables;

	make(BZIMAGE);
	ck_assert_int_eq(load_with(make_file(file, file_bytes), -1, "quiet"),
			 0);
	ck_assert_uint_eq(boot.protocol, X86_LINUX64);
	ck_assert_uint_eq(boot.entry.v, BZ_PREF + 0x200);
	ck_assert_uint_eq(boot.arg.v, X86_ZERO_PAGE_GPA);
	expect_bytes(BZ_PREF, BZ_PAYLOAD_AT, BZ_PAYLOAD_BYTES);
	page = at(boot.arg.v, 4096);
	ck_assert_mem_eq(page + 0x202, "HdrS", 4);
	ck_assert_uint_eq(page[0x210], 0xff);
	ck_assert_uint_eq(get_le32(page + 0x214), BZ_PREF);
	ck_assert_uint_eq(get_le64(page + 0x70), X86_RSDP_GPA);
	ck_assert_uint_eq(get_le32(page + 0x218), 0);
	ck_assert_uint_eq(get_le32(page + 0x21c), 0);
	ck_assert_str_eq((char *)at(get_le32(page + 0x228), 6), "quiet");
	ck_assert_mem_eq(at(X86_RSDP_GPA, 8), "RSD PTR ", 8);
	tables = at(X86_PAGE_TABLES_GPA, 6 * 4096);
	ck_assert_uint_eq(get_le64(tables), (X86_PAGE_TABLES_GPA + 4096) | 3);
	ck_assert_uint_eq(get_le64(tables + 4096 + 24) & ~0xfffULL,
			  X86_PAGE_TABLES_GPA + 5 * 4096);
	ck_assert_uint_eq(get_le64(tables + 6 * 4096 - 8),
			  (GIB(4) - MIB(2)) | 0x83);
}
END_TEST

/* What Linux jumps to when it resets "by the BIOS". */
START_TEST(test_bios_reset)
{
	static const uint8_t code[] = { 0xba, 0x00, 0x06, 0xb0, 0x01,
					0xee, 0xf4, 0xeb, 0xfd };
	const struct plat_dev reset = {
		.role = PLAT_RESET_SLEEP,
		.name = "reset",
		.range = { { PLAT_PIO, X86_PM_PORT, 8 } },
		.range_count = 1,
	};

	ck_assert_int_eq(platform_add(&m.p, &reset, &d), 0);
	make(BZIMAGE);
	ck_assert_int_eq(load(), 0);
	ck_assert_mem_eq(at(0xffff0, sizeof(code)), code, sizeof(code));
}
END_TEST

/* Walk the tables as the processor would. */
START_TEST(test_identity)
{
	const uint8_t *root;

	make(BZIMAGE);
	ck_assert_int_eq(load(), 0);
	root = at(X86_PAGE_TABLES_GPA, 4096);
	for (uint64_t gpa = 0; gpa < GIB(4); gpa += MIB(127)) {
		uint64_t l4 = get_le64(root + (gpa >> 39 & 511) * 8);
		uint64_t l3 = get_le64(at(l4 & ~0xfffULL, 4096) +
				       (gpa >> 30 & 511) * 8);
		uint64_t l2 = get_le64(at(l3 & ~0xfffULL, 4096) +
				       (gpa >> 21 & 511) * 8);

		ck_assert_uint_eq(l4 & l3 & 3, 3);
		ck_assert_uint_eq(l2 & 0x83, 0x83);
		ck_assert_uint_eq(l2 & ~0xfffULL, align_down(gpa, MIB(2)));
	}
}
END_TEST

START_TEST(test_pvh)
{
	const uint8_t *si;

	make(PVH);
	if (_i)
		put_le16(file + offsetof(Elf64_Ehdr, e_machine), EM_386);
	ck_assert_int_eq(load_with(make_file(file, file_bytes), -1, "a b"), 0);
	ck_assert_uint_eq(boot.protocol, X86_PVH);
	ck_assert_uint_eq(boot.entry.v, PVH_ENTRY);
	expect_bytes(PVH_TEXT_GPA, PVH_TEXT_AT, PVH_TEXT_BYTES);
	expect_bytes(PVH_DATA_GPA, PVH_DATA_AT, PVH_DATA_BYTES);
	si = at(boot.arg.v, 4096);
	ck_assert_uint_eq(get_le32(si), 0x336ec578);
	ck_assert_uint_eq(get_le32(si + 4), 1);
	ck_assert_uint_eq(get_le32(si + 12), 0);
	ck_assert_str_eq((char *)at(get_le64(si + 24), 4), "a b");
	ck_assert_uint_eq(get_le64(si + 32), X86_RSDP_GPA);
}
END_TEST

/* The entry may be 4 bytes wide, and notes may be padded to 8. */
START_TEST(test_pvh_notes)
{
	make(PVH);
	if (_i == 0) {
		put_le32(file + PVH_NOTE_AT + 24 + 4, 4);
		put_le32(file + PVH_NOTE_AT + 24 + 20, 0xffffffff);
	} else {
		put_le64(file + sizeof(Elf64_Ehdr) +
				 offsetof(Elf64_Phdr, p_align),
			 8);
	}
	ck_assert_int_eq(load(), 0);
	ck_assert_uint_eq(boot.entry.v, PVH_ENTRY);
}
END_TEST

/* The memory map that the kernel is given, as triples of base, size, type. */
static unsigned read_map(enum format format, uint64_t (*out)[3])
{
	const uint8_t *page = at(boot.arg.v, 4096);
	unsigned n = format == PVH ? get_le32(page + 48) : page[0x1e8];
	const uint8_t *e =
		format == PVH ? at(get_le64(page + 40), n * 24) : page + 0x2d0;

	for (unsigned i = 0; i < n; i++, e += format == PVH ? 24 : 20) {
		out[i][0] = get_le64(e);
		out[i][1] = get_le64(e + 8);
		out[i][2] = get_le32(e + 16);
	}
	return n;
}

START_TEST(test_map)
{
	static const uint64_t small[][3] = {
		{ 0, 0xa0000, 1 },
		{ MIB(1), MIB(63), 1 },
		{ 0xe8000000, MIB(1), 2 },
	};
	uint64_t map[32][3];

	make((enum format)_i);
	ck_assert_int_eq(load(), 0);
	ck_assert_uint_eq(read_map((enum format)_i, map), ARRAY_SIZE(small));
	ck_assert_mem_eq(map, small, sizeof(small));
}
END_TEST

START_TEST(test_map_above_4g)
{
	static const uint64_t big[][3] = {
		{ 0, 0xa0000, 1 },
		{ MIB(1), GIB(3) - MIB(1), 1 },
		{ GIB(4), GIB(1), 1 },
		{ 0xe8000000, MIB(1), 2 },
	};
	uint64_t map[32][3];

	machine_release(&m);
	ck_assert_int_eq(machine_init(&m, GIB(4)), 0);
	make((enum format)_i);
	ck_assert_int_eq(load(), 0);
	ck_assert_uint_eq(read_map((enum format)_i, map), ARRAY_SIZE(big));
	ck_assert_mem_eq(map, big, sizeof(big));
}
END_TEST

/* ---- initramfs ---------------------------------------------------------- */

static uint64_t initrd_at(enum format format, uint64_t *bytes)
{
	const uint8_t *page = at(boot.arg.v, 4096), *mod;

	if (format == BZIMAGE) {
		*bytes = get_le32(page + 0x21c) |
			 (uint64_t)get_le32(page + 0xc4) << 32;
		return get_le32(page + 0x218) | (uint64_t)get_le32(page + 0xc0)
							<< 32;
	}
	ck_assert_uint_eq(get_le32(page + 12), 1);
	mod = at(get_le64(page + 16), 32);
	*bytes = get_le64(mod + 8);
	return get_le64(mod);
}

START_TEST(test_initrd)
{
	uint8_t data[5000];
	uint64_t bytes, gpa;

	fill_file(data, 0, sizeof(data));
	make((enum format)_i);
	ck_assert_int_eq(load_with(make_file(file, file_bytes),
				   make_file(data, sizeof(data)), ""),
			 0);
	gpa = initrd_at((enum format)_i, &bytes);
	ck_assert_uint_eq(bytes, sizeof(data));
	ck_assert_uint_eq(gpa, RAM_BYTES - 8192);
	expect_bytes(gpa, 0, sizeof(data));
}
END_TEST

/* A sparse file that ends exactly above the kernel, or one page below it. */
static int load_sparse(enum format format, uint64_t extra)
{
	uint64_t end = format == BZIMAGE ? BZ_PREF + BZ_INIT_SIZE
					 : PVH_DATA_GPA + PVH_DATA_MEM;
	int fd = make_file("x", 1);

	ck_assert_int_eq(ftruncate(fd, (off_t)(RAM_BYTES - end + extra)), 0);
	make(format);
	return load_with(make_file(file, file_bytes), fd, "");
}

START_TEST(test_initrd_fits)
{
	ck_assert_int_eq(load_sparse((enum format)_i, 0), 0);
}
END_TEST

START_TEST(test_initrd_too_big)
{
	ck_assert_int_eq(load_sparse((enum format)_i, 1), -E2BIG);
	expect_text("--initramfs INITRAMFS: has ");
	expect_text("there is room for ");
}
END_TEST

START_TEST(test_initrd_addr_max)
{
	uint64_t bytes;

	make(BZIMAGE);
	put_le32(file + 0x22c, MIB(40) - 1);
	ck_assert_int_eq(
		load_with(make_file(file, file_bytes), make_file("ab", 2), ""),
		0);
	ck_assert_uint_eq(initrd_at(BZIMAGE, &bytes), MIB(40) - 4096);
}
END_TEST

/* Above 4 GiB only if the kernel says that it can read it there. */
START_TEST(test_initrd_high)
{
	uint64_t bytes;

	machine_release(&m);
	ck_assert_int_eq(machine_init(&m, GIB(4)), 0);
	make(BZIMAGE);
	put_le32(file + 0x22c, MIB(24)); /* no room below */
	if (_i)
		put_le16(file + 0x236, 0x7d);
	ck_assert_int_eq(
		load_with(make_file(file, file_bytes), make_file("ab", 2), ""),
		_i ? -E2BIG : 0);
	if (!_i)
		ck_assert_uint_eq(initrd_at(BZIMAGE, &bytes), GIB(5) - 4096);
}
END_TEST

START_TEST(test_initrd_bad)
{
	int fd = _i ? make_file("", 0) : open("/", O_RDONLY | O_CLOEXEC);

	make(PVH);
	ck_assert_int_eq(load_with(make_file(file, file_bytes), fd, ""),
			 _i ? -EINVAL : -EISDIR);
	expect_text(_i ? "--initramfs INITRAMFS: is empty"
		       : "--initramfs INITRAMFS: is a directory");
}
END_TEST

/* ---- command line ------------------------------------------------------- */

START_TEST(test_cmdline)
{
	char text[2050];

	memset(text, 'x', sizeof(text));
	text[2047] = '\0';
	make((enum format)_i);
	ck_assert_int_eq(load_with(make_file(file, file_bytes), -1, text), 0);
	ck_assert_str_eq((char *)at(X86_CMDLINE_GPA, 2048), text);
	text[2047] = 'x';
	text[2048] = '\0';
	ck_assert_int_eq(load_with(make_file(file, file_bytes), -1, text),
			 -E2BIG);
	ck_assert_str_eq(d.text[0], "--cmdline: has 2048 bytes, this kernel "
				    "takes at most 2047");
}
END_TEST

/* A kernel that claims to take megabytes gets no more than there is room. */
START_TEST(test_cmdline_hostile)
{
	char *text = malloc(70000);

	memset(text, 'x', 69999);
	text[69999] = '\0';
	make(BZIMAGE);
	put_le32(file + 0x238, UINT32_MAX);
	ck_assert_int_eq(load_with(make_file(file, file_bytes), -1, text),
			 -E2BIG);
	expect_text("at most 65535");
	free(text);
}
END_TEST

/* ---- bad kernels -------------------------------------------------------- */

START_TEST(test_cut_bzimage)
{
	make(BZIMAGE);
	file_bytes = (size_t)_i;
	if (!_i) {
		ck_assert_int_eq(load(), -EINVAL);
		expect_text("is empty");
	} else if (_i < 0x206) {
		ck_assert_int_eq(load(), -ENOEXEC);
		expect_text("is not a kernel");
	} else {
		ck_assert_int_eq(load(), -EINVAL);
		expect_text("truncated");
	}
	ck_assert_uint_eq(*at(BZ_PREF, 1), 0);
}
END_TEST

START_TEST(test_cut_pvh)
{
	make(PVH);
	file_bytes = (size_t)_i;
	if (_i < SELFMAG) {
		ck_assert_int_eq(load(), _i ? -ENOEXEC : -EINVAL);
	} else {
		ck_assert_int_eq(load(), -EINVAL);
		expect_text("truncated");
	}
	ck_assert_uint_eq(*at(PVH_TEXT_GPA, 1), 0);
}
END_TEST

/* One number of a good file made bad: what is said about it. */
struct damage {
	size_t at;
	unsigned bytes;
	uint64_t value;
	int err;
	const char *text;
};

static const struct damage bz_damage[] = {
	{ 0x1f1, 1, 255, EINVAL, "truncated" },
	{ 0x1f4, 4, 0, EINVAL, "promises 0 bytes" },
	{ 0x1f4, 4, 0x20, EINVAL, "promises 512 bytes" },
	{ 0x1f4, 4, UINT32_MAX, EINVAL, "truncated" },
	{ 0x1f4, 4, BZ_PAYLOAD_BYTES / 16 + 1, EINVAL, "truncated" },
	{ 0x1fe, 2, 0, ENOEXEC, "is not a kernel" },
	{ 0x201, 1, 0, EINVAL, "its header ends at offset 0x202" },
	{ 0x202, 4, 0, ENOEXEC, "is not a kernel" },
	{ 0x206, 2, 0x20b, ENOEXEC, "boot protocol 2.11" },
	{ 0x236, 2, 0, ENOEXEC, "is a 32-bit kernel" },
	{ 0x258, 8, 0, EINVAL, "below 1 MiB" },
	{ 0x258, 8, 0xfffff, EINVAL, "below 1 MiB" },
	{ 0x258, 8, UINT64_MAX, E2BIG, "needs RAM up to" },
	{ 0x258, 8, UINT64_MAX - 0x1000, E2BIG, "needs RAM up to" },
	{ 0x258, 8, MIB(57), E2BIG,
	  "needs RAM up to 65 MiB, the guest has 64" },
	{ 0x258, 8, GIB(4), E2BIG, "needs RAM up to 4104 MiB" },
	{ 0x260, 4, UINT32_MAX, E2BIG, "needs RAM up to 4112 MiB" },
	{ 0x260, 4, MIB(48) + 1, E2BIG, "needs RAM up to 65 MiB" },
};

#define EH(field) offsetof(Elf64_Ehdr, field)
#define PH(i, field)                                     \
	(sizeof(Elf64_Ehdr) + (i) * sizeof(Elf64_Phdr) + \
	 offsetof(Elf64_Phdr, field))

static const struct damage pvh_damage[] = {
	{ EH(e_ident) + EI_CLASS, 1, ELFCLASS32, ENOEXEC, "32-bit machines" },
	{ EH(e_ident) + EI_DATA, 1, ELFDATA2MSB, ENOEXEC, "big-endian" },
	{ EH(e_machine), 2, EM_AARCH64, ENOEXEC, "an arm64 machine" },
	{ EH(e_machine), 2, EM_RISCV, ENOEXEC, "another machine" },
	{ EH(e_phoff), 8, UINT64_MAX, EINVAL, "truncated" },
	{ EH(e_phoff), 8, PVH_BYTES - 100, EINVAL, "truncated" },
	{ EH(e_phentsize), 2, 32, EINVAL, "program headers of size 0x20" },
	{ EH(e_phnum), 2, 0, EINVAL, "number of program headers 0x0" },
	{ EH(e_phnum), 2, 65535, EINVAL, "number of program headers 0xffff" },
	{ EH(e_phnum), 2, 1, EINVAL, "entry point outside" },
	{ PH(0, p_type), 4, PT_NULL, ENOEXEC, "without a PVH entry" },
	{ PH(0, p_offset), 8, UINT64_MAX, EINVAL, "truncated" },
	{ PH(0, p_filesz), 8, 44, EINVAL, "size of notes" },
	{ PH(0, p_filesz), 8, 24, ENOEXEC, "without a PVH entry" },
	{ PH(0, p_filesz), 8, 11, ENOEXEC, "without a PVH entry" },
	{ PH(0, p_filesz), 8, UINT64_MAX, EINVAL, "size of notes" },
	{ PVH_NOTE_AT, 4, UINT32_MAX, ENOEXEC, "without a PVH entry" },
	{ PVH_NOTE_AT + 4, 4, UINT32_MAX, ENOEXEC, "without a PVH entry" },
	{ PVH_NOTE_AT + 24 + 4, 4, 5, ENOEXEC, "without a PVH entry" },
	{ PVH_NOTE_AT + 24 + 16, 8, PVH_TEXT_GPA - 1, EINVAL, "entry point" },
	{ PVH_NOTE_AT + 24 + 16, 8, UINT64_MAX, EINVAL, "entry point" },
	{ PH(1, p_offset), 8, UINT64_MAX, EINVAL, "segment at offset" },
	{ PH(2, p_offset), 8, PVH_BYTES, EINVAL, "truncated" },
	{ PH(2, p_filesz), 8, UINT64_MAX, EINVAL, "more bytes than memory" },
	{ PH(2, p_filesz), 8, PVH_DATA_BYTES + 1, EINVAL, "truncated" },
	{ PH(2, p_paddr), 8, 0xfffff, EINVAL, "below 1 MiB" },
	{ PH(2, p_paddr), 8, MIB(64) - 4096, E2BIG, "needs RAM up to 65 MiB" },
	{ PH(2, p_paddr), 8, GIB(4), E2BIG, "needs RAM up to 4097 MiB" },
	{ PH(2, p_paddr), 8, UINT64_MAX, E2BIG, "needs RAM up to" },
	{ PH(2, p_memsz), 8, 0, EINVAL, "more bytes than memory" },
	{ PH(2, p_memsz), 8, UINT64_MAX, E2BIG, "needs RAM up to" },
	{ PH(2, p_memsz), 8, MIB(48), E2BIG, "needs RAM up to 65 MiB" },
};

static void expect_damage(const struct damage *bad)
{
	uint8_t value[8];

	put_le64(value, bad->value);
	memcpy(file + bad->at, value, bad->bytes);
	ck_assert_int_eq(load(), -bad->err);
	expect_text("--kernel KERNEL: ");
	expect_text(bad->text);
	ck_assert_uint_eq(*at(MIB(16), 1), 0);
}

START_TEST(test_bad_bzimage)
{
	make(BZIMAGE);
	expect_damage(&bz_damage[_i]);
}
END_TEST

START_TEST(test_bad_pvh)
{
	make(PVH);
	expect_damage(&pvh_damage[_i]);
}
END_TEST

/* What is said is what all segments need, not the first that does not fit. */
START_TEST(test_need_of_all)
{
	make(PVH);
	put_le64(file + PH(1, p_memsz), MIB(50));
	put_le64(file + PH(2, p_memsz), MIB(100));
	ck_assert_int_eq(load(), -E2BIG);
	expect_text("needs RAM up to 117 MiB");
}
END_TEST

/* A segment without memory may be anywhere. */
START_TEST(test_hole_segment)
{
	make(PVH);
	put_le64(file + PH(2, p_memsz), 0);
	put_le64(file + PH(2, p_filesz), 0);
	put_le64(file + PH(2, p_paddr), UINT64_MAX);
	ck_assert_int_eq(load(), 0);
}
END_TEST

static const struct {
	size_t at;
	const char *mark;
	const char *text;
} others[] = {
	{ 56, "ARM\x64", "is an arm64 kernel" },
	{ 4, "zimg", "is a kernel packed for EFI firmware" },
	{ 0, "\x1f\x8b\x08", "is compressed by gzip" },
	{ 0, "\x28\xb5\x2f\xfd", "is compressed by zstd" },
	{ 0, "070701", "is a cpio archive" },
	{ 0, "QFI\xfb", "is a qcow2 disk image" },
	{ 0, "#!/bin/sh\n", "is not a kernel" },
};

START_TEST(test_others)
{
	memset(file, 'z', sizeof(file));
	memcpy(file + others[_i].at, others[_i].mark, strlen(others[_i].mark));
	file_bytes = 4096;
	ck_assert_int_eq(load(), -ENOEXEC);
	expect_text(others[_i].text);
}
END_TEST

START_TEST(test_not_a_file)
{
	static const struct {
		const char *path;
		int err;
		const char *text;
	} bad[] = {
		{ "/", EISDIR, "--kernel KERNEL: is a directory" },
		{ "/dev/null", EINVAL, "--kernel KERNEL: is not a regular" },
	};
	int fd = open(bad[_i].path, O_RDONLY | O_CLOEXEC);

	ck_assert_int_eq(load_with(fd, -1, ""), -bad[_i].err);
	expect_text(bad[_i].text);
}
END_TEST

/* Nothing but the kernel fits: 1 MiB of RAM is enough to say so. */
START_TEST(test_tiny)
{
	machine_release(&m);
	ck_assert_int_eq(machine_init(&m, MIB(1)), 0);
	make((enum format)_i);
	ck_assert_int_eq(load(), -E2BIG);
	expect_text("the guest has 1 MiB");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("x86-load");
	TCase *t = tcase_create("load");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_bzimage);
	tcase_add_test(t, test_identity);
	tcase_add_test(t, test_bios_reset);
	tcase_add_loop_test(t, test_pvh, 0, 2);
	tcase_add_loop_test(t, test_pvh_notes, 0, 2);
	tcase_add_loop_test(t, test_map, BZIMAGE, PVH + 1);
	tcase_add_loop_test(t, test_map_above_4g, BZIMAGE, PVH + 1);
	tcase_add_loop_test(t, test_initrd, BZIMAGE, PVH + 1);
	tcase_add_loop_test(t, test_initrd_fits, BZIMAGE, PVH + 1);
	tcase_add_loop_test(t, test_initrd_too_big, BZIMAGE, PVH + 1);
	tcase_add_test(t, test_initrd_addr_max);
	tcase_add_loop_test(t, test_initrd_high, 0, 2);
	tcase_add_loop_test(t, test_initrd_bad, 0, 2);
	tcase_add_loop_test(t, test_cmdline, BZIMAGE, PVH + 1);
	tcase_add_test(t, test_cmdline_hostile);
	tcase_add_loop_test(t, test_bad_bzimage, 0, ARRAY_SIZE(bz_damage));
	tcase_add_loop_test(t, test_bad_pvh, 0, ARRAY_SIZE(pvh_damage));
	tcase_add_test(t, test_need_of_all);
	tcase_add_test(t, test_hole_segment);
	tcase_add_loop_test(t, test_others, 0, ARRAY_SIZE(others));
	tcase_add_loop_test(t, test_not_a_file, 0, 2);
	tcase_add_loop_test(t, test_tiny, BZIMAGE, PVH + 1);
	suite_add_tcase(s, t);
	/* Each byte at which a header, or the file, can end. */
	t = tcase_create("cut");
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, test_cut_bzimage, 0, 1);
	tcase_add_loop_test(t, test_cut_bzimage, 0x1f0, 0x274);
	tcase_add_loop_test(t, test_cut_bzimage, BZ_PAYLOAD_AT - 1,
			    BZ_PAYLOAD_AT + 2);
	tcase_add_loop_test(t, test_cut_bzimage, BZ_BYTES - 1, BZ_BYTES);
	tcase_add_loop_test(t, test_cut_pvh, 0, 0xf0);
	tcase_add_loop_test(t, test_cut_pvh, PVH_NOTE_AT - 1,
			    PVH_NOTE_AT + PVH_NOTE_BYTES + 1);
	tcase_add_loop_test(t, test_cut_pvh, PVH_TEXT_AT - 1, PVH_TEXT_AT + 2);
	tcase_add_loop_test(t, test_cut_pvh, PVH_BYTES - 1, PVH_BYTES);
	suite_add_tcase(s, t);
	return suite_run(s);
}
