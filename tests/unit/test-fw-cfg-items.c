/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: what the machines put into fw_cfg, read as firmware reads it
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "arch/fw-cfg.h"
#include "vmm/base/bytes.h"
#include "vmm/fw-cfg.h"

#include "platforms.h"
#include "tests/unit/suite.h"

static struct fw_cfg *items;
static struct fw_cfg_config config;
static struct fw_cfg_given given;
static struct arch_payload load;
static struct platform p;
static uint32_t setup_bytes;
static struct diag d;

static void make(const char *sample)
{
	platform_release(&p);
	sample_make(&p, sample_named(sample));
}

static void setup(void)
{
	d = DIAG_INIT;
	items = fw_cfg_new();
	setup_bytes = 0;
	config = (struct fw_cfg_config){
		.e820 = true,
		.kernel = true,
		.cmdline = true,
		.initramfs = true,
		.acpi_table = true,
	};
	given = (struct fw_cfg_given){ .count = 0 };
	load = (struct arch_payload){ .kernel_fd = -1,
				      .initramfs_fd = -1,
				      .cmdline = "",
				      .fw_cfg = items,
				      .fw_cfg_config = &config,
				      .given = &given };
	make("x86-8x2");
}

static void teardown(void)
{
	fw_cfg_free(items);
	platform_release(&p);
}

static void fill(void)
{
	ck_assert_msg(!arch_fw_cfg_fill(&p, &load, setup_bytes, &d), "%s",
		      d.text[0]);
}

/* All of an item, malloc'ed. */
static uint8_t *item(uint16_t key, uint32_t *size)
{
	const struct fw_cfg_item *i = fw_cfg_find(items, key);
	uint8_t *data;

	*size = fw_cfg_size(i);
	data = malloc(*size + 1);
	if (*size)
		ck_assert_int_eq(fw_cfg_read(i, 0, data, *size), 0);
	data[*size] = 0;
	return data;
}

static uint64_t number(uint16_t key, unsigned bytes)
{
	uint32_t size;
	uint8_t le[8] = { 0 }, *data = item(key, &size);

	ck_assert_uint_eq(size, bytes);
	memcpy(le, data, size);
	free(data);
	return get_le64(le);
}

/* By the directory; NULL: there is none. */
static uint8_t *file(const char *name, uint32_t *size)
{
	uint32_t dir_size;
	uint8_t *dir = item(FW_CFG_DIRECTORY, &dir_size), *data = NULL;
	uint32_t count = dir_size ? get_be32(dir) : 0;

	for (uint32_t i = 0; i < count && !data; i++) {
		const uint8_t *e = dir + 4 + 64 * i;

		if (strcmp((const char *)e + 8, name) != 0)
			continue;
		data = item(get_be16(e + 4), size);
		ck_assert_uint_eq(*size, get_be32(e));
	}
	free(dir);
	return data;
}

static int temp_file(const char *text)
{
	int fd = memfd_create("item", MFD_CLOEXEC);

	ck_assert_int_eq(write(fd, text, strlen(text)), (int)strlen(text));
	return fd;
}

START_TEST(machine)
{
	fill();
	ck_assert_uint_eq(number(FW_CFG_CPUS, 2), p.cpu_enabled);
	ck_assert_uint_eq(number(FW_CFG_CPUS_MAX, 2), p.cpu_count);
	ck_assert_uint_eq(number(FW_CFG_RAM_SIZE, 8),
			  p.ram[0].size_bytes + p.ram[1].size_bytes);
}
END_TEST

START_TEST(cpus_that_come_later)
{
	make("x86-hotplug");
	fill();
	ck_assert_uint_eq(number(FW_CFG_CPUS, 2), 3);
	ck_assert_uint_eq(number(FW_CFG_CPUS_MAX, 2), 8);
}
END_TEST

START_TEST(memory_map)
{
	uint32_t size;
	uint8_t *map;

	fill();
	map = file("etc/e820", &size);
	ck_assert_ptr_nonnull(map);
	ck_assert_uint_eq(size, 20 * p.ram_count);
	for (unsigned i = 0; i < p.ram_count; i++) {
		ck_assert_uint_eq(get_le64(map + 20 * i), p.ram[i].base);
		ck_assert_uint_eq(get_le64(map + 20 * i + 8),
				  p.ram[i].size_bytes);
		ck_assert_uint_eq(get_le32(map + 20 * i + 16), 1);
	}
	free(map);
}
END_TEST

START_TEST(no_memory_map)
{
	uint32_t size;

	config.e820 = false;
	fill();
	ck_assert_ptr_null(file("etc/e820", &size));
}
END_TEST

START_TEST(items_of_the_user)
{
	uint32_t size;
	uint8_t *data;

	given.count = 2;
	given.item[0] =
		(struct fw_cfg_given_item){ "opt/text", NULL, "a b", -1 };
	given.item[1] = (struct fw_cfg_given_item){ "opt/file", "F", NULL,
						    temp_file("content") };
	fill();
	data = file("opt/text", &size);
	ck_assert_uint_eq(size, 3);
	ck_assert_str_eq((char *)data, "a b");
	free(data);
	data = file("opt/file", &size);
	ck_assert_uint_eq(size, 7);
	ck_assert_str_eq((char *)data, "content");
	free(data);
	close(given.item[1].fd);
}
END_TEST

START_TEST(an_item_that_is_too_large)
{
	int fd = temp_file("x");

	given.count = 1;
	given.item[0] = (struct fw_cfg_given_item){ "opt/big", "F", NULL, fd };
	ck_assert_int_eq(ftruncate(fd, (off_t)GIB(4)), 0);
	ck_assert_int_eq(arch_fw_cfg_fill(&p, &load, setup_bytes, &d), -E2BIG);
	ck_assert_str_eq(d.text[0], "has 4294967296 bytes, must be below 4G");
	ck_assert_str_eq(d.text[1], "--fw-cfg-config items=[name=opt/big]");
	close(fd);
}
END_TEST

/* What is in them: test-acpi-loader.c. */
static void expect_acpi(bool want)
{
	static const char *const names[] = { "etc/acpi/rsdp", "etc/acpi/tables",
					     "etc/table-loader" };

	fw_cfg_clear(items);
	fill();
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		uint32_t size;
		uint8_t *data = file(names[i], &size);

		ck_assert_int_eq(data != NULL, want);
		if (want)
			ck_assert_mem_eq(data,
					 i == 0	  ? "RSD PTR "
					 : i == 1 ? "DSDT"
						  : "\1\0\0\0",
					 4);
		free(data);
	}
}

START_TEST(acpi)
{
	p.tables = TABLES_ACPI;
	expect_acpi(true);
	config.acpi_table = false;
	expect_acpi(false);
	config.acpi_table = true;
	p.tables = TABLES_FDT;
	expect_acpi(false);
}
END_TEST

static bool has_text(const uint8_t *data, uint32_t size, const char *text)
{
	return memmem(data, size, text, strlen(text));
}

/* What is in the structures: test-smbios.c. */
START_TEST(smbios)
{
	uint32_t size, tables_size;
	uint8_t *entry, *tables, sum = 0;

	p.identity.serial = "SERIAL-7";
	fill();
	entry = file("etc/smbios/smbios-anchor", &size);
	tables = file("etc/smbios/smbios-tables", &tables_size);
	ck_assert(entry && tables);
	ck_assert_uint_eq(size, 24);
	ck_assert_mem_eq(entry, "_SM3_", 5);
	ck_assert_uint_eq(get_le32(entry + 12), tables_size);
	ck_assert_uint_eq(get_le64(entry + 16), 0);
	for (uint32_t i = 0; i < size; i++)
		sum += entry[i];
	ck_assert_uint_eq(sum, 0);
	ck_assert(has_text(tables, tables_size, "SERIAL-7"));
	free(entry);
	free(tables);
}
END_TEST

/* ---- a kernel ---- */

static void expect(uint16_t size_key, uint16_t key, const char *want,
		   uint32_t want_bytes)
{
	uint32_t size;
	uint8_t *data = item(key, &size);

	ck_assert_uint_eq(number(size_key, 4), want_bytes);
	ck_assert_uint_eq(size, want_bytes);
	ck_assert_mem_eq(data, want, want_bytes);
	free(data);
}

static bool there(uint16_t key)
{
	return fw_cfg_size(fw_cfg_find(items, key));
}

static void give_kernel(void)
{
	load.kernel_fd = temp_file("setupkernel");
	load.initramfs_fd = temp_file("initramfs");
	load.kernel_name = "KERNEL";
	load.initramfs_name = "INITRAMFS";
	load.cmdline = "console=x";
}

static void close_kernel(void)
{
	close(load.kernel_fd);
	close(load.initramfs_fd);
}

START_TEST(a_kernel)
{
	give_kernel();
	fill();
	expect(FW_CFG_KERNEL_SIZE, FW_CFG_KERNEL, "setupkernel", 11);
	expect(FW_CFG_SETUP_SIZE, FW_CFG_SETUP, "", 0);
	expect(FW_CFG_INITRD_SIZE, FW_CFG_INITRD, "initramfs", 9);
	expect(FW_CFG_CMDLINE_SIZE, FW_CFG_CMDLINE, "console=x\0", 10);
	close_kernel();
}
END_TEST

START_TEST(a_kernel_in_two_parts)
{
	give_kernel();
	setup_bytes = 5;
	fill();
	expect(FW_CFG_SETUP_SIZE, FW_CFG_SETUP, "setup", 5);
	expect(FW_CFG_KERNEL_SIZE, FW_CFG_KERNEL, "kernel", 6);
	close_kernel();
}
END_TEST

START_TEST(parts_that_are_switched_off)
{
	give_kernel();
	config.cmdline = config.initramfs = false;
	fill();
	ck_assert(there(FW_CFG_KERNEL));
	ck_assert(!there(FW_CFG_CMDLINE) && !there(FW_CFG_CMDLINE_SIZE));
	ck_assert(!there(FW_CFG_INITRD) && !there(FW_CFG_INITRD_SIZE));
	fw_cfg_clear(items);
	config = (struct fw_cfg_config){ .cmdline = true, .initramfs = true };
	fill();
	ck_assert(!there(FW_CFG_KERNEL) && !there(FW_CFG_KERNEL_SIZE));
	ck_assert(there(FW_CFG_CMDLINE) && there(FW_CFG_INITRD));
	close_kernel();
}
END_TEST

START_TEST(no_kernel)
{
	fill();
	ck_assert(!there(FW_CFG_KERNEL_SIZE) && !there(FW_CFG_CMDLINE_SIZE));
}
END_TEST

START_TEST(a_kernel_that_is_too_large)
{
	give_kernel();
	ck_assert_int_eq(ftruncate(load.kernel_fd, (off_t)GIB(4)), 0);
	ck_assert_int_eq(arch_fw_cfg_fill(&p, &load, 0, &d), -E2BIG);
	ck_assert_str_eq(d.text[1], "--kernel KERNEL");
	close_kernel();
}
END_TEST

static const struct arch_device *device(const struct arch *arch,
					const struct vm_config *c)
{
	static struct arch_device all[16];
	struct platform none = { 0 };
	unsigned count = arch->devices(&none, c, all);

	for (unsigned i = 0; i < count; i++)
		if (!strcmp(all[i].cls, "fw-cfg"))
			return &all[i];
	return NULL;
}

START_TEST(where_it_is)
{
	static char vars[] = "v";
	struct vm_config c = { .firmware = vars };

	ck_assert_ptr_null(device(&arch_x86_64, &c));
	ck_assert_ptr_null(device(&arch_arm64, &c));
	c.firmware_vars = vars;
	ck_assert_uint_eq(device(&arch_arm64, &c)->base, 0x09020000);
	ck_assert_uint_eq(device(&arch_arm64, &c)->bus, PLAT_MMIO);
	c.firmware_vars = NULL;
	c.fw_cfg = &config;
	c.fw_cfg_count = 1;
	ck_assert_uint_eq(device(&arch_x86_64, &c)->base, 0x510);
	ck_assert_uint_eq(device(&arch_x86_64, &c)->bus, PLAT_PIO);
}
END_TEST

START_TEST(none)
{
	load.fw_cfg = NULL;
	fill();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("fw-cfg-items");
	TCase *t = tcase_create("fw-cfg-items");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, machine);
	tcase_add_test(t, cpus_that_come_later);
	tcase_add_test(t, memory_map);
	tcase_add_test(t, no_memory_map);
	tcase_add_test(t, items_of_the_user);
	tcase_add_test(t, an_item_that_is_too_large);
	tcase_add_test(t, acpi);
	tcase_add_test(t, smbios);
	tcase_add_test(t, a_kernel);
	tcase_add_test(t, a_kernel_in_two_parts);
	tcase_add_test(t, parts_that_are_switched_off);
	tcase_add_test(t, no_kernel);
	tcase_add_test(t, a_kernel_that_is_too_large);
	tcase_add_test(t, where_it_is);
	tcase_add_test(t, none);
	suite_add_tcase(s, t);
	return suite_run(s);
}
