/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: what a bare-metal payload can use
 *
 * A payload is one C file with a payload() function. It runs without an
 * operating system on vCPU 0, identity-mapped, without interrupts, and speaks
 * TAP on the serial port. One source serves both ISAs: machine-*.c hold the
 * few differences. x86_64 payloads run in 32-bit protected mode, the state
 * that PVH enters in.
 */
#ifndef TESTS_GUESTS_GUEST_H
#define TESTS_GUESTS_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- offered by the machine ---- */

/** serial_put - one byte to the serial port */
void serial_put(char c);

/** machine_off - power off; does not return */
__attribute__((noreturn)) void machine_off(void);

/** cpu_start - start vCPU @index (an index, in the order of the FDT or MADT)
 * at secondary(); false if that is refused */
bool cpu_start(unsigned index);

/** cpu_wait - sleep until an interrupt; with them off, for ever */
void cpu_wait(void);

/** cpu_relax - hint inside a spin loop */
void cpu_relax(void);

/** cpu_cycles - a counter that runs at a constant rate, and wraps */
uint32_t cpu_cycles(void);

/** clock_read - the clock that firmware polls; nothing_read - a register of the
 * same width where there is no device */
uint32_t clock_read(void);
uint32_t nothing_read(void);

/** memory_barrier - order memory accesses with the device */
void memory_barrier(void);

/** map_high - make RAM of a device at guest-physical @gpa, above 4 GiB,
 * accessible: up to the next multiple of 2 MiB; where it is until the next
 * call. On vCPU 0 only. */
uintptr_t map_high(uint64_t gpa);

/* Where things are (arch/<isa>/layout.h). */
extern const uintptr_t ecam_base;
extern const uintptr_t pci_mem32_base;
extern const uintptr_t virtio_mmio_base, virtio_mmio_stride;
extern const unsigned virtio_mmio_count;
extern const uintptr_t free_ram; /* 16 MiB that nothing uses */

/* ---- offered by guest.c ---- */

/* The asm hides where the address comes from: on arm64, KVM cannot describe a
 * device access that also steps a pointer. */
#define ACCESSORS(bits)                                                \
	static inline uint##bits##_t read##bits(uintptr_t at)          \
	{                                                              \
		__asm__("" : "+r"(at));                                \
		return *(volatile uint##bits##_t *)at;                 \
	}                                                              \
	static inline void write##bits(uintptr_t at, uint##bits##_t v) \
	{                                                              \
		__asm__("" : "+r"(at));                                \
		*(volatile uint##bits##_t *)at = v;                    \
	}
ACCESSORS(8)
ACCESSORS(16)
ACCESSORS(32)

/** plan - TAP: how many tests will follow */
void plan(unsigned count);

/** plan_done - TAP: as many as there were; the last line, instead of plan() */
void plan_done(void);

/** ok - TAP: one test; ok_with - @prefix before its name */
void ok(bool good, const char *name);
void ok_with(bool good, const char *prefix, const char *name);

/** print - text; print_hex, print_number - a number */
void print(const char *text);
void print_hex(uint32_t v);
void print_number(unsigned v);

/** pci_find - function on bus 0 with @vendor and @device; its configuration
 * space, or 0 */
uintptr_t pci_find(uint16_t vendor, uint16_t device);

/** pci_bar_place - move 64-bit or 32-bit memory BAR @bar to @base and enable
 * memory decoding and bus mastering */
void pci_bar_place(uintptr_t cfg, unsigned bar, uint32_t base);

/* ---- defined by each payload ---- */

/** payload - the test; returning powers off */
void payload(void);

/** secondary - where started vCPUs arrive; may be empty */
void secondary(void);

#endif
