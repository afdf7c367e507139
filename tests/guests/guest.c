/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: TAP, PCI and memory functions of payloads, see guest.h */
#include "guest.h"

static unsigned tests;

void *memset(void *at, int value, size_t len);
void *memcpy(void *to, const void *from, size_t len);
__attribute__((noreturn)) void guest_main(void);

/* The compiler may call these. */
void *memset(void *at, int value, size_t len)
{
	volatile uint8_t *p = at;

	while (len--)
		*p++ = (uint8_t)value;
	return at;
}

void *memcpy(void *to, const void *from, size_t len)
{
	volatile uint8_t *p = to;
	const volatile uint8_t *q = from;

	while (len--)
		*p++ = *q++;
	return to;
}

void print(const char *text)
{
	while (*text)
		serial_put(*text++);
}

void print_hex(uint32_t v)
{
	for (int shift = 28; shift >= 0; shift -= 4)
		serial_put("0123456789abcdef"[v >> shift & 15]);
}

void print_number(unsigned v)
{
	if (v >= 10)
		print_number(v / 10);
	serial_put((char)('0' + v % 10));
}

void plan(unsigned count)
{
	print("1..");
	print_number(count);
	print("\n");
}

void plan_done(void)
{
	plan(tests);
}

void ok_with(bool good, const char *prefix, const char *name)
{
	print(good ? "ok " : "not ok ");
	print_number(++tests);
	print(" ");
	print(prefix);
	print(name);
	print("\n");
}

void ok(bool good, const char *name)
{
	ok_with(good, "", name);
}

uintptr_t pci_find(uint16_t vendor, uint16_t device)
{
	uint32_t want = (uint32_t)device << 16 | vendor;

	for (unsigned devfn = 0; devfn < 256; devfn++) {
		uintptr_t cfg = ecam_base + ((uintptr_t)devfn << 12);

		if (read32(cfg) == want)
			return cfg;
	}
	return 0;
}

/* PCI 3.0 sec. 6.2.5.1: bits 2:1 of a memory BAR are 2 for 64 bits. */
void pci_bar_place(uintptr_t cfg, unsigned bar, uint32_t base)
{
	uintptr_t at = cfg + 0x10 + 4 * bar;

	write16(cfg + 4, 0);
	if ((read32(at) & 6) == 4)
		write32(at + 4, 0);
	write32(at, base);
	write16(cfg + 4, 6); /* memory space, bus master */
}

void guest_main(void)
{
	payload();
	machine_off();
}
