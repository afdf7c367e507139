/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: x86_64: what the kernel loaders and the start state share
 *
 * A kernel, or firmware, is put into RAM in three steps: load.c opens the file
 * and asks the loader of its format to recognise, check and copy it (struct
 * x86_kernel says what it wants to be given); load.c places initramfs, command
 * line and tables; the loader writes the structure through which the kernel
 * finds them (struct x86_handoff). Nothing below is ever read back.
 *
 * Start data in the first 640 KiB, which every kernel treats as scratch:
 *
 *	0x01000   GDT, 5 descriptors
 *	0x06000   hvm_start_info, module list, memory map	(PVH)
 *	0x07000   boot_params ("zero page")			(bzImage)
 *	0x08000   stack, grows down from 0x9000
 *	0x09000   page tables: PML4, PDPT, 4 page directories	(bzImage)
 *	0x20000   command line, 64 KiB
 */
#ifndef ARCH_X86_64_BOOT_H
#define ARCH_X86_64_BOOT_H

#include "arch/x86_64/e820.h"
#include "arch/x86_64/layout.h"
#include "vmm/base/diag.h"
#include "vmm/memory.h"

#define X86_GDT_GPA	    UINT64_C(0x01000)
#define X86_START_INFO_GPA  UINT64_C(0x06000)
#define X86_ZERO_PAGE_GPA   UINT64_C(0x07000)
#define X86_STACK_GPA	    UINT64_C(0x09000)
#define X86_PAGE_TABLES_GPA UINT64_C(0x09000)
#define X86_CMDLINE_GPA	    UINT64_C(0x20000)
#define X86_CMDLINE_ROOM    KIB(64)
#define X86_KERNEL_MIN	    X86_HOLE_END

/** X86_CMDLINE_LINUX - bytes that Linux keeps (COMMAND_LINE_SIZE - 1) */
#define X86_CMDLINE_LINUX 2047

#define X86_GDT_CS  2 /* __BOOT_CS: selector 0x10 */
#define X86_GDT_DS  3 /* __BOOT_DS: selector 0x18 */
#define X86_GDT_TR  4
#define X86_GDT_MAX 5

/** enum x86_protocol - arch_boot.protocol */
enum x86_protocol {
	X86_PVH = 1,	 /* 32-bit, EBX = hvm_start_info */
	X86_LINUX64 = 2, /* long mode, RSI = boot_params */
	X86_RESET = 3,	 /* as power-on leaves it, at 0xFFFFFFF0 */
};

/** X86_HEAD_BYTES - how much of a file the loaders get to recognise it by;
 * firmware for Arm shows what it is behind 4 KiB */
#define X86_HEAD_BYTES 8192

/**
 * struct x86_image - an open file
 * @fd: stays the caller's
 * @option, @name: for messages: "--kernel", "vmlinuz"
 * @size_bytes: when it was opened
 * @head, @head_bytes: its beginning, zero-padded
 */
struct x86_image {
	int fd;
	const char *option, *name;
	uint64_t size_bytes;
	size_t head_bytes;
	uint8_t head[X86_HEAD_BYTES];
};

/**
 * struct x86_kernel - what a loader says about a kernel that is in RAM
 * @entry: first instruction
 * @end: first address that the kernel does not need before it reads the map
 * @initrd_end: the initramfs must end at or below this
 * @initrd_high: it may also lie above 4 GiB
 * @cmdline_max: bytes without NUL
 * @is_linux: its ELF notes say so; not set for a bzImage
 * @header, @header_bytes: bzImage: setup header, as at offset 0x1f1
 */
struct x86_kernel {
	enum x86_protocol protocol;
	uint64_t entry, end;
	uint64_t initrd_end;
	bool initrd_high;
	uint32_t cmdline_max;
	bool is_linux;
	size_t header_bytes;
	uint8_t header[0x290 - 0x1f1];
};

/** struct x86_handoff - what the kernel is given; @initrd_bytes 0: none */
struct x86_handoff {
	uint64_t initrd, initrd_bytes;
	uint64_t cmdline_bytes; /* without NUL, at X86_CMDLINE_GPA */
	uint64_t rsdp;
	struct x86_e820 map;
};

/**
 * x86_image_open - check that it is a file with something in it, read its head
 *
 * Return: 0; -EISDIR, -EINVAL (not a regular file, empty), -EIO.
 */
int x86_image_open(struct x86_image *img, int fd, const char *option,
		   const char *name, struct diag *d);

/**
 * x86_image_read - @len bytes from @at
 * Return: 0; -EINVAL if the file ends before, -EIO; @buf then is undefined.
 */
int x86_image_read(const struct x86_image *img, uint64_t at, void *buf,
		   uint64_t len, struct diag *d);

/**
 * x86_image_copy - @len bytes from @at straight into guest RAM at @gpa
 * Return: 0; -EINVAL if the file ends before, -E2BIG if there is no RAM, -EIO.
 */
int x86_image_copy(const struct x86_image *img, uint64_t at,
		   const struct guest_ram *ram, uint64_t gpa, uint64_t len,
		   struct diag *d);

/**
 * x86_image_known - what is this, if it is neither a kernel nor firmware for
 * this architecture?
 *
 * Return: words that go behind "is", or NULL if that is not known.
 */
const char *x86_image_known(const struct x86_image *img);

/** x86_image_too_big - -E2BIG: @end bytes of low RAM are needed, there are
 * @have */
int x86_image_too_big(const struct x86_image *img, uint64_t end, uint64_t have,
		      struct diag *d);

/** x86_low_ram - end of the RAM that starts at 0, 0 if there is none */
uint64_t x86_low_ram(const struct guest_ram *ram);

/** x86_gdt - descriptor @index for @protocol; Intel SDM vol. 3 sec. 3.4.5 */
uint64_t x86_gdt(enum x86_protocol protocol, unsigned index);

#endif
