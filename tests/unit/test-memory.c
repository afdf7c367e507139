/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: guest RAM: which addresses are RAM, guard ranges, pieces, clearing
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <linux/mempolicy.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/base/log.h"
#include "vmm/iothread.h"
#include "vmm/memory.h"

#include "tests/unit/suite.h"

/* Two regions with a hole between them, neither at 0; the second is no
 * multiple of the 2 MiB that the guards are made of. */
#define LOW	  0x12350000ULL
#define LOW_SIZE  MIB(2)
#define HIGH	  0x765430000ULL
#define HIGH_SIZE 0x30000ULL
#define TOP	  UINT64_MAX

static const struct ram_options backings[] = {
	{ .shared = false },   { .shared = true },
	{ .prefault = true },  { .thp = true },
	{ .mergeable = true }, { .shared = true, .prefault = true },
};

static void ram_make(struct guest_ram *ram, const struct ram_options *opt)
{
	struct diag d = DIAG_INIT;

	ram_init(ram);
	ck_assert_msg(!ram_add(ram, GPA(LOW), LOW_SIZE, opt, &d), "%s",
		      d.text[0]);
	ck_assert_msg(!ram_add(ram, GPA(HIGH), HIGH_SIZE, opt, &d), "%s",
		      d.text[0]);
}

/* ---- which ranges are RAM ----------------------------------------------- */

static const struct range_case {
	const char *what;
	uint64_t gpa, len;
	bool is_ram;
} range_cases[] = {
	{ "first byte", LOW, 1, true },
	{ "all of it", LOW, LOW_SIZE, true },
	{ "one byte more", LOW, LOW_SIZE + 1, false },
	{ "last byte", LOW + LOW_SIZE - 1, 1, true },
	{ "over the end", LOW + LOW_SIZE - 1, 2, false },
	{ "just behind", LOW + LOW_SIZE, 1, false },
	{ "nothing, at the end", LOW + LOW_SIZE, 0, true },
	{ "nothing, behind the end", LOW + LOW_SIZE + 1, 0, false },
	{ "before", LOW - 1, 1, false },
	{ "into the beginning", LOW - 1, 2, false },
	{ "in the hole", 0x50000000, 4, false },
	{ "nothing, in the hole", 0x50000000, 0, false },
	{ "across the hole", LOW, HIGH - LOW + 1, false },
	{ "around everything", 0, TOP, false },
	{ "address 0", 0, 1, false },
	{ "nothing at 0", 0, 0, false },
	{ "second region", HIGH + 5, 100, true },
	{ "all of the second", HIGH, HIGH_SIZE, true },
	{ "over its end", HIGH + HIGH_SIZE - 8, 9, false },
	{ "truncated to 32 bits it would be RAM", LOW + GIB(4), 1, false },
	{ "last address", TOP, 1, false },
	{ "wraps to 0", TOP, 2, false },
	{ "wraps into RAM", TOP - 0xfff, LOW + 0x2000, false },
	{ "wraps around to itself", LOW, TOP, false },
	{ "longest from the middle", LOW + 0x1000, TOP - LOW, false },
	{ "length wraps to one byte", LOW + 1, TOP - LOW + 1, false },
};

START_TEST(test_ranges)
{
	const struct range_case *c = &range_cases[_i];
	struct guest_ram ram;
	uint8_t small[128];
	bool fits = c->len <= sizeof(small);

	ram_make(&ram, &backings[0]);
	ck_assert_msg(!!ram_pin(&ram, GPA(c->gpa), c->len) == c->is_ram, "%s",
		      c->what);
	if (!c->is_ram || fits) {
		memset(small, 0x5a, sizeof(small));
		/* A refused access touches nothing, whatever its length. */
		ck_assert_int_eq(ram_write(&ram, GPA(c->gpa), small, c->len),
				 c->is_ram);
		ck_assert_int_eq(ram_fill(&ram, GPA(c->gpa), 0x77, c->len),
				 c->is_ram);
		ck_assert_int_eq(ram_read(&ram, GPA(c->gpa), small, c->len),
				 c->is_ram);
		for (uint64_t i = 0; fits && i < c->len; i++)
			ck_assert_uint_eq(small[i], c->is_ram ? 0x77 : 0x5a);
	}
	ram_release(&ram);
}
END_TEST

/* Regions that touch are still two: nothing may cross from one to the next. */
START_TEST(test_adjacent_regions)
{
	struct ram_options opt = { 0 };
	struct diag d = DIAG_INIT;
	struct guest_ram ram;

	ram_init(&ram);
	ck_assert_int_eq(ram_add(&ram, GPA(LOW), 0x10000, &opt, &d), 0);
	ck_assert_int_eq(ram_add(&ram, GPA(LOW + 0x10000), 0x10000, &opt, &d),
			 0);
	ck_assert_ptr_null(ram_pin(&ram, GPA(LOW + 0xffff), 2));
	ck_assert_ptr_nonnull(ram_pin(&ram, GPA(LOW + 0xffff), 1));
	ck_assert_ptr_nonnull(ram_pin(&ram, GPA(LOW + 0x10000), 1));
	ck_assert_uint_eq(ram_size(&ram), 0x20000);
	ram_release(&ram);
}
END_TEST

static const struct add_case {
	const char *what;
	uint64_t gpa, size_bytes;
	int err;
} add_cases[] = {
	{ "after", LOW + 0x10000, 0x10000, 0 },
	{ "last page", TOP - 0xffff - 0x10000, 0x10000, 0 },
	{ "same place", LOW, 0x10000, -EINVAL },
	{ "overlaps the end", LOW + 0xf000, 0x10000, -EINVAL },
	{ "before", LOW - 0x20000, 0x10000, -EINVAL },
	{ "nothing", HIGH, 0, -EINVAL },
	{ "half a page", HIGH, 0x800, -EINVAL },
	{ "page and a half", HIGH, 0x10800, -EINVAL },
	{ "misaligned", HIGH + 0x800, 0x10000, -EINVAL },
	{ "wraps", TOP - 0xffff, 0x20000, -EINVAL },
};

START_TEST(test_add)
{
	const struct add_case *c = &add_cases[_i];
	struct ram_options opt = { 0 };
	struct diag d = DIAG_INIT;
	struct guest_ram ram;
	int err;

	ram_init(&ram);
	ck_assert_int_eq(ram_add(&ram, GPA(LOW), 0x10000, &opt, &d), 0);
	err = ram_add(&ram, GPA(c->gpa), c->size_bytes, &opt, &d);
	ck_assert_msg(err == c->err, "%s: %d", c->what, err);
	ck_assert_uint_eq(d.depth > 0, err != 0);
	ck_assert_uint_eq(ram.region_count, err ? 1 : 2);
	ck_assert_uint_eq(ram_size(&ram), 0x10000 + (err ? 0 : c->size_bytes));
	ram_release(&ram);
	ck_assert_uint_eq(ram.region_count, 0);
	ram_release(&ram);
}
END_TEST

START_TEST(test_too_many)
{
	struct ram_options opt = { 0 };
	struct diag d = DIAG_INIT;
	struct guest_ram ram;
	uint64_t i;

	ram_init(&ram);
	for (i = 0; i < RAM_REGIONS_MAX; i++)
		ck_assert_int_eq(
			ram_add(&ram, GPA(MIB(i + 1)), 0x10000, &opt, &d), 0);
	ck_assert_int_eq(ram_add(&ram, GPA(MIB(i + 1)), 0x10000, &opt, &d),
			 -EINVAL);
	ck_assert_uint_eq(ram.region_count, RAM_REGIONS_MAX);
	ram_release(&ram);
}
END_TEST

/* Sizes for which guard + size + guard does not fit, or wraps. */
static const uint64_t absurd[] = { 1ULL << 62, 1ULL << 63, TOP - MIB(1) + 1,
				   TOP - MIB(4) + 1, TOP - 0xffff };

START_TEST(test_absurd_sizes)
{
	struct ram_options opt = { .shared = (_i & 1) };
	struct diag d = DIAG_INIT;
	struct guest_ram ram;
	int err;

	ram_init(&ram);
	err = ram_add(&ram, GPA(0), absurd[_i / 2], &opt, &d);
	ck_assert_msg(err == -ENOMEM || err == -EINVAL, "%d", err);
	ck_assert_uint_gt(d.depth, 0);
	ck_assert_uint_eq(ram.region_count, 0);
	ram_release(&ram);
}
END_TEST

/* Backing that fails after address space was reserved leaves nothing. */
START_TEST(test_failed_backing)
{
	struct ram_options opt = { .hugepages = true, .shared = (_i == 1) };
	struct ram_options fine = { 0 };
	struct diag d = DIAG_INIT;
	struct guest_ram ram;

	opt.hugepage_size_bytes = KIB(512); /* no such page on either ISA */
	ram_init(&ram);
	ck_assert_int_lt(ram_add(&ram, GPA(LOW), MIB(2), &opt, &d), 0);
	ck_assert_ptr_nonnull(strstr(d.text[0], "huge"));
	/* More of them than any machine has: now, not at the first access. */
	opt.hugepage_size_bytes = MIB(2);
	ck_assert_int_lt(ram_add(&ram, GPA(0), 1ULL << 42, &opt, &d), 0);
	ck_assert_uint_eq(ram.region_count, 0);
	ck_assert_int_eq(ram_add(&ram, GPA(LOW), MIB(2), &fine, &d), 0);
	ram_release(&ram);
}
END_TEST

/* ---- backing ------------------------------------------------------------ */

START_TEST(test_backing)
{
	struct guest_ram ram;
	uint64_t v = 1;

	ram_make(&ram, &backings[_i]);
	ck_assert(ram_read(&ram, GPA(HIGH), &v, sizeof(v)));
	ck_assert_uint_eq(v, 0);
	v = 0x1122334455667788;
	ck_assert(ram_write(&ram, GPA(LOW + LOW_SIZE - 8), &v, 8));
	ck_assert(ram_write(&ram, GPA(HIGH + 3), &v, 8));
	v = 0;
	ck_assert(ram_read(&ram, GPA(HIGH + 3), &v, 8));
	ck_assert_uint_eq(v, 0x1122334455667788);
	ck_assert_ptr_eq(ram_pin(&ram, GPA(HIGH + 3), 8),
			 ram.region[1].host + 3);
	ck_assert_uint_eq((uintptr_t)ram.region[0].host % MIB(2), 0);
	ram_release(&ram);
}
END_TEST

START_TEST(test_clear)
{
	struct diag d = DIAG_INIT;
	struct guest_ram ram;

	ram_make(&ram, &backings[_i]);
	for (unsigned i = 0; i < ram.region_count; i++)
		memset(ram.region[i].host, 0xee, ram.region[i].size_bytes);
	ck_assert_int_eq(ram_clear(&ram, &d), 0);
	for (unsigned i = 0; i < ram.region_count; i++)
		for (uint64_t k = 0; k < ram.region[i].size_bytes; k += 509)
			ck_assert_uint_eq(ram.region[i].host[k], 0);
	/* still usable */
	ck_assert(ram_fill(&ram, GPA(LOW), 1, LOW_SIZE));
	ck_assert_uint_eq(ram.region[0].host[LOW_SIZE - 1], 1);
	ram_release(&ram);
}
END_TEST

START_TEST(test_clear_gives_memory_back)
{
	struct guest_ram ram;
	struct diag d = DIAG_INIT;
	unsigned char resident[LOW_SIZE / 4096];
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), pages = 0;

	ram_make(&ram, &backings[_i]);
	ck_assert(ram_fill(&ram, GPA(LOW), 1, LOW_SIZE));
	ck_assert_int_eq(ram_clear(&ram, &d), 0);
	ck_assert_int_eq(mincore(ram.region[0].host, LOW_SIZE, resident), 0);
	for (uint64_t i = 0; i < LOW_SIZE / page; i++)
		pages += resident[i] & 1;
	ck_assert_uint_eq(pages, 0);
	ram_release(&ram);
}
END_TEST

/* ---- other processes' memory ------------------------------------------- */

START_TEST(test_shared_has_a_file)
{
	struct guest_ram ram;
	uint8_t byte = 0x5a, got = 0;

	ram_make(&ram, &backings[_i]);
	for (unsigned i = 0; i < ram.region_count; i++) {
		struct ram_region *r = &ram.region[i];

		ck_assert_int_eq(r->piece->fd >= 0, backings[_i].shared);
		if (r->piece->fd < 0)
			continue;
		r->host[77] = byte;
		ck_assert_int_eq(pread(r->piece->fd, &got, 1,
				       (off_t)r->piece->fd_offset_bytes + 77),
				 1);
		ck_assert_uint_eq(got, byte);
	}
	ram_release(&ram);
}
END_TEST

#define FILE_BYTES MIB(1)

static const struct file_case {
	const char *what;
	uint64_t gpa, size, offset;
	int err;
} file_cases[] = {
	{ "all of it", 0, FILE_BYTES, 0, 0 },
	{ "the end", 0x1000, 0x1000, FILE_BYTES - 0x1000, 0 },
	{ "not page-aligned", 0x1234, 0x999, 0x801, 0 },
	{ "touches from below", LOW - 0x1000, 0x1000, 0, 0 },
	{ "touches from above", LOW + LOW_SIZE, 0x1000, 0, 0 },
	{ "nothing", 0, 0, 0, -EINVAL },
	{ "too long", 0, FILE_BYTES + 1, 0, -EINVAL },
	{ "begins at the end", 0, 1, FILE_BYTES, -EINVAL },
	{ "offset wraps", 0, 0x1000, UINT64_MAX - 0xfff, -EINVAL },
	{ "offset is negative", 0, 0x1000, INT64_MAX, -EINVAL },
	{ "address wraps", UINT64_MAX - 0xffe, 0x1000, 0, -EINVAL },
	{ "overlaps from below", LOW - 0x1000, 0x1001, 0, -EINVAL },
	{ "overlaps from above", LOW + LOW_SIZE - 1, 0x1000, 0, -EINVAL },
	{ "the same", LOW, 0x1000, 0, -EINVAL },
	{ "surrounds", LOW - 1, FILE_BYTES, 0, -EINVAL },
};

static int file_new(uint64_t bytes)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, (off_t)bytes), 0);
	return fd;
}

START_TEST(test_add_file)
{
	const struct file_case *c = &file_cases[_i];
	struct diag d = DIAG_INIT;
	struct guest_ram ram;
	int fd = file_new(FILE_BYTES);
	uint8_t byte = 0xa5, got = 0;

	ram_make(&ram, &backings[0]);
	ck_assert_int_eq(
		ram_add_file(&ram, GPA(c->gpa), c->size, fd, c->offset, &d),
		c->err);
	if (c->err) {
		ck_assert_uint_eq(ram.region_count, 2);
		close(fd);
	} else {
		ck_assert_uint_eq(ram.region_count, 3);
		ck_assert(ram_write(&ram, GPA(c->gpa + c->size - 1), &byte, 1));
		ck_assert_int_eq(
			pread(fd, &got, 1, (off_t)(c->offset + c->size - 1)),
			1);
		ck_assert_uint_eq(got, byte);
		/* Sealed: the other side cannot take it away. */
		ck_assert_int_lt(ftruncate(fd, 0), 0);
		for (unsigned i = 1; i < ram.region_count; i++)
			ck_assert_uint_lt(ram.region[i - 1].gpa.v,
					  ram.region[i].gpa.v);
	}
	ram_release(&ram);
}
END_TEST

START_TEST(test_add_file_wrong_kind)
{
	struct diag d = DIAG_INIT;
	struct guest_ram ram;
	int fds[2];

	ram_init(&ram);
	ck_assert_int_eq(pipe(fds), 0);
	ck_assert_int_eq(ram_add_file(&ram, GPA(0), 4096, fds[0], 0, &d),
			 -EINVAL);
	close(fds[0]);
	ck_assert_int_lt(ram_add_file(&ram, GPA(0), 4096, fds[0], 0, &d), 0);
	ck_assert_uint_eq(ram.region_count, 0);
	close(fds[1]);
}
END_TEST

START_TEST(test_remove)
{
	struct diag d = DIAG_INIT;
	struct guest_ram ram;

	ram_init(&ram);
	for (unsigned i = 0; i < RAM_REGIONS_MAX; i++)
		ck_assert_int_eq(ram_add_file(&ram, GPA(i * MIB(4)), 4096,
					      file_new(4096), 0, &d),
				 0);
	ck_assert_int_eq(ram_add_file(&ram, GPA(LOW << 8), 4096, 0, 0, &d),
			 -ENOSPC);
	ram_remove(&ram, 1);
	ck_assert_ptr_null(ram_pin(&ram, GPA(MIB(4)), 1));
	ck_assert_ptr_nonnull(ram_pin(&ram, GPA(0), 4096));
	ck_assert_ptr_nonnull(ram_pin(&ram, GPA(MIB(8)), 4096));
	while (ram.region_count)
		ram_remove(&ram, ram.region_count - 1);
	ram_release(&ram);
}
END_TEST

/* ---- pieces ------------------------------------------------------------- */

#define PIECE 0x10000ULL

/* A region of memory of its own, shared memory, the second half of a file, and
 * its first half that it does not write to. */
static void pieces_make(struct guest_ram *ram, int file)
{
	const struct ram_backing piece[] = {
		{ "own", PIECE, .fd = -1 },
		{ "shared", 2 * PIECE, { .shared = true }, .fd = -1 },
		{ "file",
		  PIECE,
		  { .shared = true },
		  .fd = file,
		  .fd_offset_bytes = PIECE },
		{ "private file", PIECE, .fd = file },
	};
	struct diag d = DIAG_INIT;

	ram_init(ram);
	ck_assert_msg(
		!ram_add_pieces(ram, GPA(LOW), piece, ARRAY_SIZE(piece), &d),
		"%s", d.text[0]);
	ck_assert_uint_eq(ram->region_count, 1);
	ck_assert_uint_eq(ram_size(ram), 5 * PIECE);
}

START_TEST(test_pieces)
{
	static const bool shared[] = { false, true, true, false };
	struct guest_ram ram;
	int file = file_new(2 * PIECE);
	uint64_t v = 0x1122334455667788, got = 0;

	ck_assert_int_eq(pwrite(file, "hello", 5, 0), 5);
	pieces_make(&ram, file);
	for (unsigned i = 0; i < ARRAY_SIZE(shared); i++)
		ck_assert_int_eq(ram.region[0].piece[i].fd >= 0, shared[i]);
	/* Whoever uses RAM sees no seams. */
	ck_assert_ptr_nonnull(ram_pin(&ram, GPA(LOW), 5 * PIECE));
	for (uint64_t at = 1; at < 5; at++) {
		ck_assert(ram_write(&ram, GPA(LOW + at * PIECE - 4), &v, 8));
		ck_assert(ram_read(&ram, GPA(LOW + at * PIECE - 4), &got, 8));
		ck_assert_uint_eq(got, v);
	}
	/* The file has what was written to it and nothing else. */
	ck_assert_int_eq(pread(file, &got, 4, PIECE), 4);
	ck_assert_uint_eq(got & UINT32_MAX, v >> 32);
	ck_assert_int_eq(pread(file, &got, 5, 0), 5);
	ck_assert_mem_eq(&got, "hello", 5);
	ck_assert(ram_read(&ram, GPA(LOW + 4 * PIECE + 4), &got, 1));
	ck_assert_uint_eq(got & 0xff, 'o');
	ram_release(&ram);
	close(file);
}
END_TEST

/* Zero everywhere, or what the file says. */
static void check_fresh(const struct guest_ram *ram, uint64_t from, uint64_t to)
{
	uint8_t byte;

	for (uint64_t at = from; at < to; at += 1021) {
		ck_assert(ram_read(ram, GPA(LOW + at), &byte, 1));
		ck_assert_uint_eq(byte, at < 4 * PIECE ? 0 : 0x3c);
	}
}

START_TEST(test_pieces_are_emptied)
{
	struct diag d = DIAG_INIT;
	struct guest_ram ram;
	int file = file_new(2 * PIECE);
	uint8_t old[PIECE];

	memset(old, 0x3c, sizeof(old));
	ck_assert_int_eq(pwrite(file, old, sizeof(old), 0), sizeof(old));
	pieces_make(&ram, file);
	ck_assert(ram_fill(&ram, GPA(LOW), 0xee, 5 * PIECE));
	if (_i) {
		ck_assert_int_eq(ram_clear(&ram, &d), 0);
		check_fresh(&ram, 0, 5 * PIECE);
	} else {
		ck_assert_int_eq(
			ram_discard(&ram, GPA(LOW + PIECE / 2), 4 * PIECE), 0);
		check_fresh(&ram, PIECE / 2, 4 * PIECE + PIECE / 2);
		ck_assert(ram_read(&ram, GPA(LOW + PIECE / 2 - 1), old, 1));
		ck_assert_uint_eq(old[0], 0xee);
		ck_assert(ram_read(&ram, GPA(LOW + 4 * PIECE + PIECE / 2), old,
				   1));
		ck_assert_uint_eq(old[0], 0xee);
	}
	ram_release(&ram);
	close(file);
}
END_TEST

static const uint32_t no_node = RAM_HOST_NODES_MAX - 1;

static const struct {
	struct ram_backing second;
	int err;
	const char *says;
} bad_pieces[] = {
	{ { "B",
	    MIB(2),
	    { .hugepages = true, .hugepage_size_bytes = MIB(2) },
	    .fd = -1 },
	  -EINVAL,
	  "a piece of 2097152 bytes, 0x10000 bytes into RAM" },
	{ { "B", 0x800, .fd = -1 }, -EINVAL, "not made of whole" },
	{ { "B", TOP - 0xffff, .fd = -1 }, -EINVAL, "wraps" },
	{ { "B", PIECE, .fd = 1000000 }, -EBADF, "guest RAM" },
	{ { "B", PIECE, { .shared = true }, .fd = 1000000 }, -EBADF, "shared" },
	{ { "B", PIECE, { .shared = true }, -1, 0, &no_node, 1 },
	  -EINVAL,
	  "cannot take memory from this NUMA node" },
};

/* What cannot be backed leaves nothing, of the first piece neither. */
START_TEST(test_bad_pieces)
{
	const struct ram_backing piece[] = {
		{ "A", PIECE, { .shared = true }, .fd = -1 },
		bad_pieces[_i].second,
	};
	struct diag d = DIAG_INIT;
	struct guest_ram ram;
	int next = dup(0);

	close(next);
	ram_init(&ram);
	ck_assert_int_eq(ram_add_pieces(&ram, GPA(LOW), piece, 2, &d),
			 bad_pieces[_i].err);
	ck_assert_msg(strstr(d.text[0], bad_pieces[_i].says) != NULL, "%s",
		      d.text[0]);
	if (d.depth > 1)
		ck_assert_str_eq(d.text[1], "B");
	ck_assert_uint_eq(ram.region_count, 0);
	ck_assert_int_eq(dup(0), next);
	close(next);
}
END_TEST

/* Node 0 is always there, in kernels that know nodes. */
START_TEST(test_host_node)
{
	static const uint32_t node = 0;
	const struct ram_backing piece = { .size_bytes = PIECE,
					   .fd = -1,
					   .host_node = &node,
					   .host_node_count = 1 };
	struct diag d = DIAG_INIT;
	struct guest_ram ram;
	unsigned long mask = 0;
	int mode = 0;

	ram_init(&ram);
	ck_assert_msg(!ram_add_pieces(&ram, GPA(LOW), &piece, 1, &d), "%s",
		      d.text[0]);
	ck_assert_int_eq(syscall(SYS_get_mempolicy, &mode, &mask,
				 8 * sizeof(mask), ram.region[0].host,
				 MPOL_F_ADDR),
			 0);
	ck_assert_int_eq(mode, MPOL_BIND);
	ck_assert_uint_eq(mask, 1);
	ram_release(&ram);
}
END_TEST

/* ---- guards ------------------------------------------------------------- */

/* @offset: from the beginning (end false) or from the end of region @region */
static const struct guard_case {
	const char *what;
	unsigned region;
	bool end;
	int64_t offset;
	bool faults;
} guard_cases[] = {
	{ "first byte", 0, false, 0, false },
	{ "last byte", 0, true, -1, false },
	{ "one before", 0, false, -1, true },
	{ "a page before", 0, false, -4096, true },
	{ "2 MiB before", 0, false, -0x200000, true },
	{ "one behind", 0, true, 0, true },
	{ "a page behind", 0, true, 4096, true },
	{ "almost 2 MiB behind", 0, true, 0x1fffff, true },
	{ "second, last byte", 1, true, -1, false },
	{ "second, one before", 1, false, -1, true },
	{ "second, one behind", 1, true, 0, true },
	{ "second, 2 MiB behind", 1, true, 0x1fffff, true },
};

START_TEST(test_guards)
{
	const struct guard_case *c = &guard_cases[_i];
	volatile uint8_t *at;
	struct guest_ram ram;
	struct rlimit none = { 0, 0 };
	int status;
	pid_t pid;

	ram_make(&ram, &backings[_i % 2]);
	at = ram.region[c->region].host + c->offset;
	if (c->end)
		at += ram.region[c->region].size_bytes;
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (!pid) {
		signal(SIGSEGV, SIG_DFL); /* without ASan's report */
		setrlimit(RLIMIT_CORE, &none);
		*at = 1;
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg((WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV) ==
			      c->faults,
		      "%s: status 0x%x", c->what, status);
	ck_assert_int_eq(WIFEXITED(status), !c->faults);
	ram_release(&ram);
}
END_TEST

/* ---- giving memory back -------------------------------------------------- */

static const struct discard_case {
	const char *what;
	uint64_t at, len;
	uint64_t from, to; /* what reads as zero then, from LOW */
	int err;
} discard_cases[] = {
	{ "a page", LOW + 0x3000, 0x1000, 0x3000, 0x4000, 0 },
	{ "only whole pages", LOW + 0x3001, 0x2fff, 0x4000, 0x6000, 0 },
	{ "less than a page", LOW + 0x3001, 0xfff, 0, 0, 0 },
	{ "parts of two", LOW + 0x3fff, 2, 0, 0, 0 },
	{ "nothing", LOW + 0x3000, 0, 0, 0, 0 },
	{ "all", LOW, LOW_SIZE, 0, LOW_SIZE, 0 },
	{ "over the end", LOW + LOW_SIZE - 0x1000, 0x2000, 0, 0, -EFAULT },
	{ "the hole", LOW + LOW_SIZE, 0x1000, 0, 0, -EFAULT },
	{ "wraps", TOP - 0xfff, LOW + 0x2000, 0, 0, -EFAULT },
};

START_TEST(test_discard)
{
	const struct discard_case *c =
		&discard_cases[_i / (int)ARRAY_SIZE(backings)];
	struct guest_ram ram;
	const uint8_t *at;

	ram_make(&ram, &backings[_i % (int)ARRAY_SIZE(backings)]);
	ram_fill(&ram, GPA(LOW), 0xaa, LOW_SIZE);
	ck_assert_int_eq(ram_discard(&ram, GPA(c->at), c->len), c->err);
	at = ram_pin(&ram, GPA(LOW), LOW_SIZE);
	for (uint64_t i = 0; i < LOW_SIZE; i++)
		if (at[i] != (i >= c->from && i < c->to ? 0 : 0xaa))
			ck_abort_msg("%s: byte 0x%llx is 0x%x", c->what,
				     (unsigned long long)i, at[i]);
	ram_release(&ram);
}
END_TEST

START_TEST(test_locate)
{
	struct guest_ram ram;
	gpa_t gpa = GPA(1);
	uint8_t *at;

	ram_make(&ram, &backings[0]);
	at = ram_pin(&ram, GPA(HIGH), HIGH_SIZE);
	ck_assert(ram_locate(&ram, at + 7, &gpa));
	ck_assert_uint_eq(gpa.v, HIGH + 7);
	ck_assert(!ram_locate(&ram, at + HIGH_SIZE, &gpa));
	ck_assert(!ram_locate(&ram, at - 1, &gpa));
	ck_assert(!ram_locate(&ram, NULL, &gpa));
	ck_assert(!ram_locate(&ram, &ram, &gpa));
	ck_assert_uint_eq(gpa.v, HIGH + 7);
	ram_release(&ram);
}
END_TEST

/* ---- persistent memory --------------------------------------------------- */

#define PMEM_AT 0x900000000ULL

START_TEST(test_pmem)
{
	char name[] = "/tmp/test-memory-XXXXXX", byte = 'x';
	struct diag d = DIAG_INIT;
	struct guest_ram ram;
	int fd = mkstemp(name);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, 0x2000), 0);
	ram_make(&ram, &backings[0]);
	ck_assert_int_eq(
		ram_add_pmem(&ram, GPA(PMEM_AT), 0x2000, dup(fd), _i, &d), 0);
	ck_assert_uint_eq(ram_size(&ram), LOW_SIZE + HIGH_SIZE);
	ck_assert(ram_write(&ram, GPA(PMEM_AT + 0x1fff), "y", 1));
	ck_assert(!ram_write(&ram, GPA(PMEM_AT + 0x2000), "y", 1));
	ck_assert_int_eq(pread(fd, &byte, 1, 0x1fff), 1);
	ck_assert_int_eq(byte, _i ? 0 : 'y');
	/* It is not RAM. */
	ck_assert_int_eq(ram_discard(&ram, GPA(PMEM_AT), 0x2000), -EFAULT);
	ck_assert_int_eq(ram_clear(&ram, &d), 0);
	ck_assert(ram_read(&ram, GPA(PMEM_AT + 0x1fff), &byte, 1));
	ck_assert_int_eq(byte, 'y');
	/* Unaligned, overlapping, unreadable: nothing changes. */
	ck_assert_int_eq(
		ram_add_pmem(&ram, GPA(PMEM_AT + 1), 0x1000, fd, _i, &d),
		-EINVAL);
	ck_assert_int_eq(ram_add_pmem(&ram, GPA(PMEM_AT), 0x1000, fd, _i, &d),
			 -EINVAL);
	ck_assert_int_eq(
		ram_add_pmem(&ram, GPA(TOP / 2 + 1), 0x1000, -1, _i, &d),
		-EBADF);
	ck_assert_uint_eq(ram.region_count, 3);
	ram_release(&ram);
	close(fd);
	unlink(name);
}
END_TEST

/* ---- files that others cut short ----------------------------------------- */

/* The file's page 0 is 1, page 1 is 2, …; 0x4000 bytes of it from @skip on. */
static int numbered_file(uint64_t skip)
{
	int fd = memfd_create("numbered", MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, (off_t)(skip + 0x4000)), 0);
	for (unsigned i = 0; i < 4; i++)
		ck_assert_int_eq(pwrite(fd, &(uint8_t){ (uint8_t)(i + 1) }, 1,
					(off_t)(skip + 0x1000 * i)),
				 1);
	return fd;
}

static uint8_t ram_byte(const struct guest_ram *ram, uint64_t gpa)
{
	uint8_t byte = 0xee;

	ck_assert(ram_read(ram, GPA(gpa), &byte, 1));
	return byte;
}

/* Where the log goes while @fd has the lines. */
static unsigned lines_of(int fd)
{
	unsigned lines = 0;
	char c;

	for (off_t at = 0; pread(fd, &c, 1, at) == 1; at++)
		lines += c == '\n';
	return lines;
}

/* @kind: pmem, private pmem, another process's RAM; @left: bytes of 4 pages
 * that the file keeps; @pages: that still are the file's */
static const struct cut_case {
	const char *what;
	enum {
		CUT_PMEM,
		CUT_PRIVATE,
		CUT_SHARED,
		CUT_ZONE,
		CUT_ZONE_COPY
	} kind;
	uint64_t left;
	unsigned pages;
} cut_cases[] = {
	{ "pmem", CUT_PMEM, 0x2000, 2 },
	{ "pmem, to the middle of a page", CUT_PMEM, 0x1001, 2 },
	{ "all of pmem", CUT_PMEM, 0, 0 },
	{ "private pmem", CUT_PRIVATE, 0x3000, 3 },
	{ "all of private pmem", CUT_PRIVATE, 0, 0 },
	{ "RAM", CUT_SHARED, 0x1000, 1 },
	{ "all of RAM", CUT_SHARED, 0, 0 },
	{ "a zone", CUT_ZONE, 0x2000, 2 },
	{ "a private zone", CUT_ZONE_COPY, 0x2000, 2 },
};

static void add_cut(struct guest_ram *ram, const struct cut_case *c, int fd)
{
	struct diag d = DIAG_INIT;
	const struct ram_backing zone = {
		.size_bytes = 0x4000,
		.opt = { .shared = c->kind == CUT_ZONE },
		.fd = fd,
	};
	int err;

	ram_init(ram);
	if (c->kind >= CUT_ZONE)
		err = ram_add_pieces(ram, GPA(PMEM_AT), &zone, 1, &d);
	else if (c->kind == CUT_SHARED)
		err = ram_add_file(ram, GPA(PMEM_AT), 0x4000, dup(fd), 0x1000,
				   &d);
	else
		err = ram_add_pmem(ram, GPA(PMEM_AT), 0x4000, dup(fd),
				   c->kind == CUT_PRIVATE, &d);
	ck_assert_msg(!err, "%s: %s", c->what, d.text[0]);
}

START_TEST(test_cut_short)
{
	const struct cut_case *c = &cut_cases[_i / 2];
	uint64_t skip = c->kind == CUT_SHARED ? 0x1000 : 0;
	int fd = numbered_file(skip), log = memfd_create("log", MFD_CLOEXEC);
	unsigned before = file_map_repairs();
	struct guest_ram ram;
	sigset_t old;

	if (_i % 2)
		iothread_mask(&old);
	log_setup(log, LOG_WARN);
	add_cut(&ram, c, fd);
	ck_assert_int_eq(ftruncate(fd, (off_t)(skip + c->left)), 0);
	ck_assert(!ram_lost(&ram, GPA(PMEM_AT)));
	/* The last page first; then what is behind the end, and before it. */
	for (unsigned i = 4; i-- > 0;) {
		uint64_t at = PMEM_AT + 0x1000 * i;

		ck_assert_msg(ram_byte(&ram, at) == (i < c->pages ? i + 1 : 0),
			      "%s: page %u", c->what, i);
		ck_assert(ram_fill(&ram, GPA(at), 0x77, 0x1000));
		ck_assert_uint_eq(ram_byte(&ram, at + 0xfff), 0x77);
	}
	ck_assert(ram_lost(&ram, GPA(PMEM_AT)));
	ck_assert_uint_eq(lines_of(log), 1);
	/* A reset of the machine. */
	ck_assert_int_eq(ram_clear(&ram, NULL), 0);
	if (c->kind >= CUT_SHARED)
		for (unsigned i = 0; i < 4; i++)
			ck_assert_uint_eq(ram_byte(&ram, PMEM_AT + 0x1000 * i),
					  0);
	/* All at once: nothing is left to repair. */
	ck_assert_uint_eq(file_map_repairs(), before + 1);
	ck_assert(!file_map_repair(before + 1));
	ram_release(&ram);
	log_setup(STDERR_FILENO, LOG_WARN);
	close(log);
	close(fd);
}
END_TEST

/* Cut, used, cut more; growing again brings nothing back. */
START_TEST(test_cut_again)
{
	static const struct cut_case c = { .what = "pmem" };
	int fd = numbered_file(0);
	struct guest_ram ram;

	add_cut(&ram, &c, fd);
	ck_assert_int_eq(ftruncate(fd, 0x3000), 0);
	ck_assert_uint_eq(ram_byte(&ram, PMEM_AT + 0x3000), 0);
	ck_assert(ram_fill(&ram, GPA(PMEM_AT + 0x3000), 0x55, 1));
	ck_assert_int_eq(ftruncate(fd, 0x1000), 0);
	ck_assert_uint_eq(ram_byte(&ram, PMEM_AT + 0x1000), 0);
	ck_assert_uint_eq(ram_byte(&ram, PMEM_AT + 0x3000), 0x55);
	ck_assert_int_eq(ftruncate(fd, 0x4000), 0);
	ck_assert(ram_fill(&ram, GPA(PMEM_AT + 0x1000), 0x66, 1));
	ck_assert_int_eq(pread(fd, &(uint8_t){ 0 }, 1, 0x1000), 1);
	ck_assert_uint_eq(ram_byte(&ram, PMEM_AT), 1);
	ram_release(&ram);
	close(fd);
}
END_TEST

/* For those who cannot see where (KVM): all files are looked at. */
START_TEST(test_repair)
{
	static const struct cut_case c = { .what = "pmem" };
	unsigned before = file_map_repairs();
	int fd[2] = { numbered_file(0), numbered_file(0) };
	struct guest_ram ram[2];

	for (int i = 0; i < 2; i++)
		add_cut(&ram[i], &c, fd[i]);
	ck_assert(!file_map_repair(before));
	ck_assert_int_eq(ftruncate(fd[0], 0x2000), 0);
	ck_assert(file_map_repair(before));
	ck_assert(ram_lost(&ram[0], GPA(PMEM_AT)));
	ck_assert(!ram_lost(&ram[1], GPA(PMEM_AT)));
	/* Another vCPU that failed at the same time tries again, too. */
	ck_assert(file_map_repair(before));
	ck_assert(!file_map_repair(before + 1));
	for (int i = 0; i < 2; i++) {
		ram_release(&ram[i]);
		close(fd[i]);
	}
}
END_TEST

/* Memory of our own has holes, and no file system that says how much is left
 * for them. */
START_TEST(test_no_disk)
{
	int fd = memfd_create("page", MFD_CLOEXEC);
	struct diag d = DIAG_INIT;
	struct guest_ram ram;

	ck_assert_int_eq(ftruncate(fd, KIB(64)), 0);
	ck_assert_int_eq(pwrite(fd, "x", 1, 0), 1);
	ram_init(&ram);
	ck_assert_int_eq(
		ram_add_pmem(&ram, GPA(PMEM_AT), KIB(64), fd, false, &d), 0);
	ck_assert(!file_map_wait());
	ram_release(&ram);
	close(fd);
}
END_TEST

/* A full disk: the file is long enough, and there is no page all the same. */
START_TEST(test_full_disk)
{
	enum { PAGES = 1024, ROOM = 64 };
	char dir[] = "/tmp/test-memory-XXXXXX", name[64], size[16];
	struct diag d = DIAG_INIT;
	struct guest_ram ram;
	int fd;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(size, sizeof(size), "size=%u", ROOM * 0x1000);
	if (unshare(CLONE_NEWNS) ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("none", dir, "tmpfs", 0, size)) {
		printf("# no tmpfs of one's own here: %s\n", strerror(errno));
		rmdir(dir);
		return;
	}
	snprintf(name, sizeof(name), "%s/file", dir);
	fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_eq(ftruncate(fd, PAGES * 0x1000), 0);
	ram_init(&ram);
	ck_assert_int_eq(
		ram_add_pmem(&ram, GPA(PMEM_AT), PAGES * 0x1000, fd, false, &d),
		0);
	/* A vCPU waits where there is no room, and only there. */
	ck_assert(!file_map_wait());
	ck_assert_int_eq(fallocate(fd, 0, 0, ROOM * 0x1000), 0);
	ck_assert(file_map_wait());
	ck_assert_int_eq(fallocate(fd,
				   FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				   0, ROOM * 0x1000),
			 0);
	ck_assert(!file_map_wait());
	ck_assert(!ram_lost(&ram, GPA(PMEM_AT)));
	/* Every second one: no two of them are one mapping. */
	for (unsigned i = 0; i < PAGES; i += 2)
		ram_fill(&ram, GPA(PMEM_AT + i * 0x1000), 0x44, 0x1000);
	for (unsigned i = 0; i < PAGES; i += 2)
		ck_assert_uint_eq(ram_byte(&ram, PMEM_AT + i * 0x1000), 0x44);
	ck_assert(ram_lost(&ram, GPA(PMEM_AT)));
	/* One by one up to a limit, then all of the rest. */
	ck_assert_uint_ge(file_map_repairs(), 200);
	ck_assert_uint_le(file_map_repairs(), 300);
	ram_release(&ram);
	umount2(dir, MNT_DETACH);
	rmdir(dir);
}
END_TEST

/* A file on hugetlbfs, or -1 where the system has no such pages. None need be
 * free: mappings that reserve nothing work without. */
static int huge_file(unsigned page, uint64_t bytes)
{
	int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB | page);

	if (fd < 0)
		printf("# no huge pages here: %s\n", strerror(errno));
	else
		ck_assert_int_eq(ftruncate(fd, (off_t)bytes), 0);
	return fd;
}

static bool is_mapped(const uint8_t *at)
{
	unsigned char in;

	return !mincore((void *)(uintptr_t)at, 1, &in);
}

/* When there is no free page, or no longer a file, huge pages are replaced. */
START_TEST(test_huge_pmem)
{
	int fd = huge_file(MFD_HUGE_2MB, MIB(4));
	struct diag d = DIAG_INIT;
	struct guest_ram ram;
	uint8_t *host;

	if (fd < 0)
		return;
	ram_init(&ram);
	ck_assert_msg(
		!ram_add_pmem(&ram, GPA(PMEM_AT), MIB(4), dup(fd), _i, &d),
		"%s", d.text[0]);
	host = ram.region[0].host;
	ck_assert_uint_eq(ram_byte(&ram, PMEM_AT + 0x1000), 0);
	ck_assert(ram_fill(&ram, GPA(PMEM_AT), 0x77, MIB(2)));
	ck_assert_int_eq(ftruncate(fd, 0), 0);
	ck_assert_uint_eq(ram_byte(&ram, PMEM_AT + MIB(4) - 1), 0);
	ck_assert(ram_lost(&ram, GPA(PMEM_AT)));
	ram_release(&ram);
	ck_assert(!is_mapped(host) && !is_mapped(host + MIB(2)));
	close(fd);
}
END_TEST

/* A part of a huge page: all of it is mapped, and unmapped. */
START_TEST(test_huge_pmem_part)
{
	int fd = huge_file(MFD_HUGE_1GB, GIB(1));
	struct diag d = DIAG_INIT;
	struct guest_ram ram;
	uint8_t *host;

	if (fd < 0)
		return;
	ram_init(&ram);
	ck_assert_msg(!ram_add_pmem(&ram, GPA(PMEM_AT), MIB(2), fd, _i, &d),
		      "%s", d.text[0]);
	host = ram.region[0].host;
	ck_assert_uint_eq(ram.region[0].size_bytes, MIB(2));
	ck_assert_uint_eq((uintptr_t)host % GIB(1), 0);
	ck_assert(!ram_pin(&ram, GPA(PMEM_AT + MIB(2)), 1));
	ram_release(&ram);
	ck_assert(!is_mapped(host) && !is_mapped(host + MIB(512)));
}
END_TEST

START_TEST(test_huge_zone)
{
	static const struct {
		unsigned page;
		uint64_t file_bytes, zone_bytes, align;
		const char *says;
	} zones[] = {
		{ MFD_HUGE_1GB, GIB(1), GIB(1), GIB(1), NULL },
		{ MFD_HUGE_2MB, MIB(6), MIB(4), MIB(2), NULL },
		{ MFD_HUGE_2MB, MIB(514), MIB(513), 0,
		  "whole pages of 2097152 bytes" },
	};
	struct ram_backing b = {
		.who = "z",
		.size_bytes = zones[_i].zone_bytes,
		.fd = huge_file(zones[_i].page, zones[_i].file_bytes),
	};
	struct diag d = DIAG_INIT;
	struct guest_ram ram;
	int err;

	if (b.fd < 0)
		return;
	ram_init(&ram);
	err = ram_add_pieces(&ram, GPA(0), &b, 1, &d);
	if (zones[_i].says) {
		ck_assert_int_eq(err, -EINVAL);
		ck_assert_ptr_nonnull(strstr(d.text[0], zones[_i].says));
	} else {
		ck_assert_msg(!err, "%s", d.text[0]);
		ck_assert_uint_eq(
			(uintptr_t)ram.region[0].host % zones[_i].align, 0);
	}
	ram_release(&ram);
	close(b.fd);
}
END_TEST

/* Where nothing can be freed of a file, zeros are written. */
START_TEST(test_clear_cannot_free)
{
	struct ram_backing b = {
		.size_bytes = 0x4000,
		.opt = { .shared = true },
		.fd = memfd_create("file", MFD_CLOEXEC | MFD_ALLOW_SEALING),
	};
	struct guest_ram ram;

	ck_assert_int_eq(ftruncate(b.fd, 0x4000), 0);
	ram_init(&ram);
	ck_assert_int_eq(ram_add_pieces(&ram, GPA(0), &b, 1, NULL), 0);
	ck_assert(ram_fill(&ram, GPA(0), 0x77, 0x4000));
	/* Forbids all but what is mapped already, also to free pages. */
	ck_assert_int_eq(fcntl(b.fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), 0);
	ck_assert_int_eq(ram_clear(&ram, NULL), 0);
	for (unsigned i = 0; i < 0x4000; i++)
		ck_assert_uint_eq(ram_byte(&ram, i), 0);
	ram_release(&ram);
	close(b.fd);
}
END_TEST

/* A page that was lost does not make a sparse file take all its room. */
START_TEST(test_clear_stays_sparse)
{
	enum { SIZE = MIB(8) };
	struct ram_backing b = {
		.size_bytes = SIZE,
		.opt = { .shared = true },
		.fd = memfd_create("file", MFD_CLOEXEC),
	};
	struct guest_ram ram;
	struct stat st;

	ck_assert_int_eq(ftruncate(b.fd, SIZE), 0);
	ram_init(&ram);
	ck_assert_int_eq(ram_add_pieces(&ram, GPA(0), &b, 1, NULL), 0);
	ck_assert_int_eq(ftruncate(b.fd, SIZE - 0x1000), 0);
	ck_assert(ram_fill(&ram, GPA(SIZE - 0x2000), 0x77, 0x2000));
	ck_assert(ram_lost(&ram, GPA(0)));
	ck_assert_int_eq(ram_clear(&ram, NULL), 0);
	ck_assert_uint_eq(ram_byte(&ram, SIZE - 0x1001), 0);
	ck_assert_uint_eq(ram_byte(&ram, SIZE - 1), 0);
	ck_assert_int_eq(fstat(b.fd, &st), 0);
	ck_assert_int_le(st.st_blocks * 512,
			 MIB(4)); /* it may be a huge page */
	ram_release(&ram);
	close(b.fd);
}
END_TEST

/* A SIGBUS that no file map is the reason of ends the process as ever. */
START_TEST(test_other_bus_errors)
{
	static const struct rlimit none = { 0 };
	static const struct cut_case c = { .what = "pmem" };
	int fd = numbered_file(0), status;
	struct guest_ram ram;
	pid_t pid;

	signal(SIGBUS, SIG_DFL); /* without ASan's report */
	add_cut(&ram, &c, fd);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (!pid) {
		volatile uint8_t *at;

		setrlimit(RLIMIT_CORE, &none);
		at = mmap(NULL, 0x1000, PROT_READ, MAP_SHARED, fd, 0);
		if (at == MAP_FAILED || ftruncate(fd, 0))
			_exit(1);
		if (_i)
			raise(SIGBUS);
		else
			(void)*at;
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS,
		      "status 0x%x", status);
	ram_release(&ram);
	close(fd);
}
END_TEST

/* What other processes get of our RAM they cannot take away from us. */
START_TEST(test_shared_is_sealed)
{
	struct guest_ram ram;
	int fd;

	ram_make(&ram, &backings[1]);
	fd = ram.region[0].piece[0].fd;
	ck_assert_int_eq(ftruncate(fd, 0), -1);
	ck_assert_int_eq(errno, EPERM);
	ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), -1);
	ck_assert_int_eq(ram_clear(&ram, NULL), 0);
	ram_release(&ram);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("memory");
	TCase *t = tcase_create("memory");

	tcase_add_loop_test(t, test_ranges, 0, ARRAY_SIZE(range_cases));
	tcase_add_test(t, test_adjacent_regions);
	tcase_add_loop_test(t, test_add, 0, ARRAY_SIZE(add_cases));
	tcase_add_test(t, test_too_many);
	tcase_add_loop_test(t, test_absurd_sizes, 0, 2 * ARRAY_SIZE(absurd));
	tcase_add_loop_test(t, test_failed_backing, 0, 2);
	tcase_add_loop_test(t, test_backing, 0, ARRAY_SIZE(backings));
	tcase_add_loop_test(t, test_clear, 0, ARRAY_SIZE(backings));
	tcase_add_loop_test(t, test_clear_gives_memory_back, 0, 2);
	tcase_add_loop_test(t, test_shared_has_a_file, 0, 2);
	tcase_add_loop_test(t, test_add_file, 0, ARRAY_SIZE(file_cases));
	tcase_add_test(t, test_add_file_wrong_kind);
	tcase_add_test(t, test_remove);
	tcase_add_test(t, test_pieces);
	tcase_add_loop_test(t, test_pieces_are_emptied, 0, 2);
	tcase_add_loop_test(t, test_bad_pieces, 0, ARRAY_SIZE(bad_pieces));
	tcase_add_test(t, test_host_node);
	tcase_add_loop_test(t, test_guards, 0, ARRAY_SIZE(guard_cases));
	tcase_add_loop_test(t, test_discard, 0,
			    ARRAY_SIZE(discard_cases) * ARRAY_SIZE(backings));
	tcase_add_test(t, test_locate);
	tcase_add_loop_test(t, test_pmem, 0, 2);
	tcase_add_loop_test(t, test_cut_short, 0, 2 * ARRAY_SIZE(cut_cases));
	tcase_add_test(t, test_cut_again);
	tcase_add_test(t, test_repair);
	tcase_add_test(t, test_no_disk);
	tcase_add_test(t, test_full_disk);
	tcase_add_test(t, test_clear_cannot_free);
	tcase_add_test(t, test_clear_stays_sparse);
	tcase_add_loop_test(t, test_huge_pmem, 0, 2);
	tcase_add_loop_test(t, test_huge_pmem_part, 0, 2);
	tcase_add_loop_test(t, test_huge_zone, 0, 3);
	tcase_add_loop_test(t, test_other_bus_errors, 0, 2);
	tcase_add_test(t, test_shared_is_sealed);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return suite_run(suite());
}
