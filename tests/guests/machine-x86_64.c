/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: x86_64: 16550 at port 0x3f8, power-off at port 0x600, local APIC */
#include "guest.h"

#define SERIAL	    0x3f8
#define LSR_THRE    0x20
#define SLEEP_PORT  0x600
#define SLEEP_S5    0x34 /* SLP_EN | SLP_TYP 5, ACPI 6.5 sec. 4.8.3.7 */
#define PM_TIMER    0x608
#define NO_PORT	    0x700
#define LAPIC	    0xfee00000u
#define LAPIC_SVR   0xf0
#define SVR_ENABLE  0x1ff /* and vector 255 for spurious ones */
#define LAPIC_ICR   0x300
#define LAPIC_ICR2  0x310
#define ICR_INIT    0x4500
#define ICR_STARTUP 0x4600
#define AP_PAGE	    0x8000u

/* AMD APM vol. 2 sec. 3.1 and 5.3: long mode, pages of 2 MiB */
#define CR0_PG	    0x80000000u
#define CR4_PAE	    0x20u
#define MSR_EFER    0xc0000080u
#define EFER_LME    0x100u
#define PAGE_FLAGS  0x83u /* present, writable, a page and no table */
#define TABLE_FLAGS 0x03u /* present, writable */
#define LARGE_SHIFT 21
#define WINDOW	    0x40000000u /* neither RAM nor a device */

const uintptr_t ecam_base = 0xe8000000u;
const uintptr_t pci_mem32_base = 0xc0000000u;
const uintptr_t virtio_mmio_base = 0xfeb00000u;
const uintptr_t virtio_mmio_stride = 0x1000;
const unsigned virtio_mmio_count = 10;
const uintptr_t free_ram = 0x1000000u;

extern const uint8_t ap_start[], ap_end[];
void *memcpy(void *to, const void *from, size_t len);

static void out8(uint16_t port, uint8_t v)
{
	__asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port));
}

static uint8_t in8(uint16_t port)
{
	uint8_t v;

	__asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

void serial_put(char c)
{
	while (!(in8(SERIAL + 5) & LSR_THRE))
		cpu_relax();
	out8(SERIAL, (uint8_t)c);
}

void machine_off(void)
{
	out8(SLEEP_PORT, SLEEP_S5);
	for (;;)
		__asm__ volatile("hlt");
}

/* The APIC id is the index: payloads run without a topology. */
bool cpu_start(unsigned index)
{
	memcpy((void *)AP_PAGE, ap_start, (size_t)(ap_end - ap_start));
	/* A local APIC that software has not enabled sends nothing on KVM. */
	write32(LAPIC + LAPIC_SVR, SVR_ENABLE);
	write32(LAPIC + LAPIC_ICR2, index << 24);
	write32(LAPIC + LAPIC_ICR, ICR_INIT);
	write32(LAPIC + LAPIC_ICR2, index << 24);
	write32(LAPIC + LAPIC_ICR, ICR_STARTUP | AP_PAGE >> 12);
	return true;
}

void cpu_wait(void)
{
	__asm__ volatile("hlt");
}

void cpu_relax(void)
{
	__asm__ volatile("pause");
}

uint32_t cpu_cycles(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return low;
}

static uint32_t in32(uint16_t port)
{
	uint32_t v;

	__asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

uint32_t clock_read(void)
{
	return in32(PM_TIMER);
}

uint32_t nothing_read(void)
{
	return in32(NO_PORT);
}

/* Everything else stays where it is. Segments stay as well, so that this is
 * long mode's compatibility mode: PVM has no paging without it. */
uintptr_t map_high(uint64_t gpa)
{
	static uint64_t pages[4 * 512] __attribute__((aligned(4096)));
	static uint64_t tables[512] __attribute__((aligned(4096)));
	static uint64_t top[512] __attribute__((aligned(4096)));
	uint64_t page = gpa >> LARGE_SHIFT << LARGE_SHIFT;
	uint32_t scratch;

	for (uint32_t i = 0; i < 4 * 512; i++)
		pages[i] = (uint64_t)i << LARGE_SHIFT | PAGE_FLAGS;
	pages[WINDOW >> LARGE_SHIFT] = page | PAGE_FLAGS;
	for (unsigned i = 0; i < 4; i++)
		tables[i] = (uintptr_t)&pages[i * 512] | TABLE_FLAGS;
	top[0] = (uintptr_t)tables | TABLE_FLAGS;
	__asm__ volatile("mov %%cr4, %0\n\tor %1, %0\n\tmov %0, %%cr4"
			 : "=&r"(scratch)
			 : "i"(CR4_PAE));
	__asm__ volatile("mov %0, %%cr3" : : "r"(top) : "memory");
	__asm__ volatile("rdmsr\n\tor %1, %%eax\n\twrmsr"
			 :
			 : "c"(MSR_EFER), "i"(EFER_LME)
			 : "eax", "edx");
	__asm__ volatile("mov %%cr0, %0\n\tor %1, %0\n\tmov %0, %%cr0"
			 : "=&r"(scratch)
			 : "i"(CR0_PG)
			 : "memory");
	return WINDOW + (uint32_t)(gpa - page);
}

void memory_barrier(void)
{
	__asm__ volatile("lock addl $0, (%%esp)" : : : "memory", "cc");
}
