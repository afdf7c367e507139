/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: writing AML that is data: names, numbers, devices, resources
 *
 * Control methods are not written here: they are ASL in firmware/asl,
 * compiled by iasl when Spandrel is built, and pasted whole with aml_paste().
 * Packages always have a PkgLength of three bytes, enough for 1 MiB.
 *
 * ACPI 6.5 sec. 20.2 (AML grammar), sec. 6.4 (resource descriptors).
 *
 * Threads: a buffer belongs to one thread.
 */
#ifndef FIRMWARE_AML_H
#define FIRMWARE_AML_H

#include "firmware/acpi-buf.h"

/** struct aml_mark - an object that is open: where its PkgLength is */
struct aml_mark {
	size_t at;
};

/** aml_scope - open Scope(@path), a single NameSeg, or "\\" and one */
struct aml_mark aml_scope(struct acpi_buf *b, const char *path);

/** aml_device - open Device(@name); @name has four characters */
struct aml_mark aml_device(struct acpi_buf *b, const char *name);

/** aml_package - open a Package of @count (at most 255) elements */
struct aml_mark aml_package(struct acpi_buf *b, uint8_t count);

/** aml_close - close what aml_scope(), aml_device() or aml_package() opened */
void aml_close(struct acpi_buf *b, struct aml_mark m);

/** aml_integer - a number, in its shortest form */
void aml_integer(struct acpi_buf *b, uint64_t v);

/** aml_name - Name(@name, ...): the object must be written next */
void aml_name(struct acpi_buf *b, const char *name);

/** aml_name_integer - Name(@name, @v) */
void aml_name_integer(struct acpi_buf *b, const char *name, uint64_t v);

/** aml_name_id - Name(@name, @id) for _HID and _CID: as a compressed EISA id
 * if @id is one (three letters, four hex digits), else as a string */
void aml_name_id(struct acpi_buf *b, const char *name, const char *id);

/** struct aml_crs - an open resource template */
struct aml_crs {
	size_t pkg_at, size_at, first;
};

/** aml_crs_open - Name(_CRS, ResourceTemplate() { ... */
struct aml_crs aml_crs_open(struct acpi_buf *b);

/** aml_crs_close - ... }): writes the end tag and the lengths */
void aml_crs_close(struct acpi_buf *b, struct aml_crs c);

/** enum aml_space - kind of an address space descriptor */
enum aml_space { AML_MEMORY, AML_IO, AML_BUS };

/** aml_crs_io - IO(Decode16, @base, @base, 1, @len); @len at most 255 */
void aml_crs_io(struct acpi_buf *b, uint16_t base, uint8_t len);

/** aml_crs_memory - fixed memory that a device consumes: Memory32Fixed, or
 * QWordMemory where 32 bits are not enough */
void aml_crs_memory(struct acpi_buf *b, uint64_t base, uint64_t len);

/** aml_crs_window - a range that a bridge passes on (ResourceProducer),
 * inclusive; in the shortest of WordSpace, DWordSpace and QWordSpace that
 * operating systems expect for @space */
void aml_crs_window(struct acpi_buf *b, enum aml_space space, uint64_t first,
		    uint64_t last);

/** aml_crs_irq - Interrupt(ResourceConsumer, ..., ActiveHigh, Exclusive) */
void aml_crs_irq(struct acpi_buf *b, uint32_t gsi, bool level);

/**
 * aml_paste - paste what is inside a device of a compiled template
 * @aml: output of iasl: a table whose term list starts with devices
 * @size_bytes: its size
 * @device: name of one of them, four characters ('_' padded)
 *
 * The template is our own: a missing device is a bug and stops the program.
 */
void aml_paste(struct acpi_buf *b, const uint8_t *aml, size_t size_bytes,
	       const char *device);

#endif
