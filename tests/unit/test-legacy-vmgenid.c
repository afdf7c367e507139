/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: tests of devices/legacy/vmgenid.c and of the page it writes to */
#include "legacy-rig.h"

static struct vm_config config = { .platform.vmgenid = true };
static uint8_t id[16];

static void setup(void)
{
	rig_open_page(&config, &vmgenid_class);
}

static const uint8_t *seen(void)
{
	return rig_page(&rig.platform.vmgenid, id, sizeof(id));
}

START_TEST(page_is_above_ram_and_not_ram)
{
	ck_assert_uint_eq(rig.platform.vmgenid.base, GIB(9));
	ck_assert_uint_eq(rig.platform.vmgenid.size_bytes, DEVICE_PAGE);
	ck_assert_uint_eq(rig_ram.region_count, 1);
	ck_assert_uint_eq(ram_size(&rig_ram), 0);
}
END_TEST

START_TEST(page_comes_from_the_pci_window)
{
	struct platform p = { .pa_bits = 40 };
	struct diag d = DIAG_INIT;

	p.pci.segment[0].mmio64 =
		(struct plat_range){ PLAT_MMIO, GIB(16), GIB(16) };
	ck_assert_int_eq(pmem_place(&p, NULL, &config, &d), 0);
	ck_assert_uint_eq(p.vmgenid.base, GIB(16));
	ck_assert_uint_eq(p.pci.segment[0].mmio64.base, GIB(16) + DEVICE_PAGE);
	ck_assert_uint_eq(p.pci.segment[0].mmio64.size_bytes,
			  GIB(16) - DEVICE_PAGE);
}
END_TEST

START_TEST(no_room_for_the_page)
{
	struct platform p = { .pa_bits = 32 };
	struct diag d = DIAG_INIT;
	char text[512];

	ck_assert_int_eq(pmem_place(&p, NULL, &config, &d), -ENOSPC);
	diag_format(&d, text, sizeof(text));
	ck_assert_ptr_nonnull(strstr(text, "--platform vmgenid=on: 65536 "));
}
END_TEST

START_TEST(no_page_unless_asked_for)
{
	static const struct vm_config without = { .pmem_count = 0 };
	struct platform p = { .pa_bits = 40 };
	struct diag d = DIAG_INIT;

	ck_assert_int_eq(pmem_place(&p, NULL, &without, &d), 0);
	ck_assert_uint_eq(p.vmgenid.size_bytes, 0);
}
END_TEST

START_TEST(ids_differ)
{
	static const uint8_t none[16];
	uint8_t first[16];

	memcpy(first, seen(), sizeof(first));
	ck_assert_mem_ne(first, none, sizeof(none));
	rig_drop(rig.dev);
	rig.dev = rig_make(&vmgenid_class, PLAT_MMIO);
	ck_assert_mem_ne(seen(), first, sizeof(first));
}
END_TEST

/* Also if the guest wrote over it. */
START_TEST(reset_keeps_the_id)
{
	struct diag d = DIAG_INIT;
	uint8_t first[16];

	memcpy(first, seen(), sizeof(first));
	ck_assert(ram_fill(&rig_ram, GPA(rig.platform.vmgenid.base), 0xaa, 16));
	ck_assert_int_eq(ram_clear(&rig_ram, &d), 0);
	ck_assert_uint_eq(seen()[0], 0xaa);
	vmgenid_class.reset(rig.dev);
	ck_assert_mem_eq(seen(), first, sizeof(first));
	ck_assert_uint_eq(rig.edges, 0);
}
END_TEST

START_TEST(load_is_a_new_generation)
{
	struct diag d = DIAG_INIT;
	struct stream_in in;
	uint8_t first[16];

	memcpy(first, seen(), sizeof(first));
	stream_in_init(&in, NULL, 0);
	ck_assert_int_eq(vmgenid_class.load(rig.dev, &in, &d), 0);
	ck_assert_int_eq(stream_in_done(&in), 0);
	ck_assert_uint_eq(rig.edges, 0);
	vmgenid_class.resume(rig.dev);
	ck_assert_uint_eq(rig.edges, 1);
	ck_assert(!rig.level);
	ck_assert_mem_ne(seen(), first, sizeof(first));
}
END_TEST

START_TEST(pause_is_no_new_generation)
{
	uint8_t first[16];

	memcpy(first, seen(), sizeof(first));
	vmgenid_class.resume(rig.dev);
	ck_assert_uint_eq(rig.edges, 0);
	ck_assert_mem_eq(seen(), first, sizeof(first));
}
END_TEST

START_TEST(described)
{
	const struct plat_dev *dev;
	struct diag d = DIAG_INIT;

	ck_assert_int_eq(vmgenid_class.describe(rig.dev, &rig.platform, &d), 0);
	dev = platform_find(&rig.platform, PLAT_VMGENID);
	ck_assert_ptr_nonnull(dev);
	ck_assert_uint_eq(dev->range[0].base, GIB(9));
	ck_assert_uint_eq(dev->range[0].size_bytes, 16);
	ck_assert_uint_eq(dev->irq[0].pin, 5);
	ck_assert(!dev->irq[0].level);
}
END_TEST

START_TEST(needs_a_wire)
{
	struct device_place place = { .bus = PLAT_MMIO };
	struct diag d = DIAG_INIT;
	struct device *dev;

	ck_assert_int_eq(device_new(&dev, &vmgenid_class, "__vmgenid", NULL,
				    &rig.env, &place, &d),
			 -EINVAL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vmgenid");
	TCase *t = tcase_create("vmgenid");

	tcase_add_checked_fixture(t, setup, rig_close_page);
	tcase_add_test(t, page_is_above_ram_and_not_ram);
	tcase_add_test(t, page_comes_from_the_pci_window);
	tcase_add_test(t, no_room_for_the_page);
	tcase_add_test(t, no_page_unless_asked_for);
	tcase_add_test(t, ids_differ);
	tcase_add_test(t, reset_keeps_the_id);
	tcase_add_test(t, load_is_a_new_generation);
	tcase_add_test(t, pause_is_no_new_generation);
	tcase_add_test(t, described);
	tcase_add_test(t, needs_a_wire);
	suite_add_tcase(s, t);
	return suite_run(s);
}
