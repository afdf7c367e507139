/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: arm64: what kind of file is this kernel, and what does it ask for
 *
 * Three kinds boot: the Image that arm64 kernels are built as (and Debian
 * ships), the same packed with gzip (Ubuntu), and packed inside an EFI
 * program ("zboot": Fedora, openSUSE). Everything else is named, as well as it
 * can be told from the first bytes, so that the user knows what to give
 * instead. Pure functions over bytes that may be hostile.
 */
#ifndef ARCH_ARM64_IMAGE_H
#define ARCH_ARM64_IMAGE_H

#include "arch/arm64/unpack.h"
#include "vmm/base/diag.h"
#include "vmm/base/types.h"

/* Bytes of the file's head that image_recognise() wants to see. */
#define ARM64_HEAD_BYTES 1024

/* The first two bytes of what gzip has packed (RFC 1952 sec. 2.3.1) */
#define ARM64_GZIP_MARK "\x1f\x8b"

/* Documentation/arch/arm64/booting.rst, "Call the kernel image" */
#define ARM64_IMAGE_HEADER_BYTES 64

/**
 * struct image_packing - where the Image is inside the file
 * @at, @size_bytes: part of the file
 */
struct image_packing {
	enum unpack_format format;
	uint64_t at, size_bytes;
};

/**
 * struct image_header - what the Image asks for
 * @text_offset: bytes from a 2 MiB boundary to its first byte
 * @image_bytes: memory it needs from there, its BSS included; never 0
 */
struct image_header {
	uint64_t text_offset, image_bytes;
};

/**
 * image_recognise - find out how a kernel file is packed
 * @head: the first @head_len bytes, ARM64_HEAD_BYTES or the whole file
 * @file_bytes: size of the file
 *
 * Return: 0; -ENOEXEC (empty, for another architecture, or no kernel),
 * -EINVAL (truncated, or of a kind that cannot be unpacked).
 */
int image_recognise(struct image_packing *out, const uint8_t *head,
		    size_t head_len, uint64_t file_bytes, struct diag *d);

/**
 * image_parse - read an (unpacked) Image's header
 * @head: the first @len bytes of it
 *
 * Return: 0; -ENOEXEC (no Image), -EINVAL (truncated, or it asks for what
 * cannot be: no size, big-endian, unaligned).
 */
int image_parse(struct image_header *out, const uint8_t *head, size_t len,
		struct diag *d);

/**
 * image_complete - see from its PE header whether the end is missing
 * @image: the whole unpacked Image, @len bytes, as loaded
 *
 * Kernels without EFI stub have no such header and pass.
 *
 * Return: 0, or -EINVAL.
 */
int image_complete(const uint8_t *image, uint64_t len, struct diag *d);

#endif
