/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: arm64: PL011, PSCI by HVC (DEN0022F) */
#include "guest.h"

#define PL011	    0x09000000ul
#define PL011_FR    0x18
#define FR_TXFF	    0x20
#define PL031	    0x09010000ul
#define NO_DEVICE   0x09f00000ul
#define PSCI_OFF    0x84000008ul
#define PSCI_CPU_ON 0xc4000003ul
#define WINDOW	    511ul   /* GiB; no device is there */
#define NORMAL	    0x705ul /* as in start-arm64.S */

const uintptr_t ecam_base = 0x4010000000ul;
const uintptr_t pci_mem32_base = 0x10000000ul;
const uintptr_t virtio_mmio_base = 0x0a000000ul;
const uintptr_t virtio_mmio_stride = 0x200;
const unsigned virtio_mmio_count = 32;
const uintptr_t free_ram = 0x42000000ul;

extern const uint8_t ap_start[];
extern uint64_t page_table[];
__attribute__((noreturn)) void exception(void);

static int64_t psci(uint64_t function, uint64_t a, uint64_t b, uint64_t c)
{
	register uint64_t x0 __asm__("x0") = function;
	register uint64_t x1 __asm__("x1") = a;
	register uint64_t x2 __asm__("x2") = b;
	register uint64_t x3 __asm__("x3") = c;

	__asm__ volatile("hvc #0"
			 : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3)
			 :
			 : "memory");
	return (int64_t)x0;
}

void serial_put(char c)
{
	while (read32(PL011 + PL011_FR) & FR_TXFF)
		cpu_relax();
	write32(PL011, (uint8_t)c);
}

void machine_off(void)
{
	psci(PSCI_OFF, 0, 0, 0);
	for (;;)
		__asm__ volatile("wfi");
}

/* From the vectors of start-arm64.S. */
void exception(void)
{
	uint64_t esr, elr, far;

	__asm__("mrs %0, esr_el1" : "=r"(esr));
	__asm__("mrs %0, elr_el1" : "=r"(elr));
	__asm__("mrs %0, far_el1" : "=r"(far));
	print("exception: ESR ");
	print_hex((uint32_t)esr);
	print(" at ");
	print_hex((uint32_t)elr);
	print(", address ");
	print_hex((uint32_t)(far >> 32));
	print_hex((uint32_t)far);
	print("\n");
	machine_off();
}

bool cpu_start(unsigned index)
{
	return psci(PSCI_CPU_ON, index, (uintptr_t)ap_start, 0) == 0;
}

void cpu_wait(void)
{
	__asm__ volatile("wfi");
}

void cpu_relax(void)
{
	__asm__ volatile("yield");
}

uint32_t cpu_cycles(void)
{
	uint64_t v;

	__asm__ volatile("isb\n\tmrs %0, cntvct_el0" : "=r"(v));
	return (uint32_t)v;
}

uint32_t clock_read(void)
{
	return read32(PL031);
}

uint32_t nothing_read(void)
{
	return read32(NO_DEVICE);
}

/* DDI 0487, break-before-make: an entry is invalid before it becomes another
 * one. */
uintptr_t map_high(uint64_t gpa)
{
	uint64_t block = gpa >> 30 << 30;
	volatile uint64_t *entry = &page_table[WINDOW];

	*entry = 0;
	__asm__ volatile("dsb ishst\n\ttlbi vmalle1\n\tdsb nsh" : : : "memory");
	*entry = block | NORMAL;
	__asm__ volatile("dsb ishst\n\tisb" : : : "memory");
	return (WINDOW << 30) + (gpa - block);
}

void memory_barrier(void)
{
	__asm__ volatile("dsb sy" : : : "memory");
}
