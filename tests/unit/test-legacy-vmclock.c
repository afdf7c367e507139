/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: tests of devices/legacy/vmclock.c */
#include "vmm/base/bytes.h"

#include "legacy-rig.h"

#define BYTES	   112
#define SEQ	   12
#define DISRUPTION 16
#define GENERATION 104

static struct vm_config config = { .platform = { .vmgenid = true,
						 .vmclock = true } };
static uint8_t page[BYTES], first[BYTES];

static void setup(void)
{
	rig_open_page(&config, &vmclock_class);
}

static const uint8_t *seen(void)
{
	return rig_page(&rig.platform.vmclock, page, sizeof(page));
}

static int load(uint32_t seq, size_t len)
{
	struct diag d = DIAG_INIT;
	struct stream_in in;
	uint8_t state[4];

	put_le32(state, seq);
	stream_in_init(&in, state, len);
	return vmclock_class.load(rig.dev, &in, &d);
}

START_TEST(pages_are_apart)
{
	ck_assert_uint_eq(rig.platform.vmgenid.base, GIB(9));
	ck_assert_uint_eq(rig.platform.vmclock.base, GIB(9) + PMEM_ALIGN);
	ck_assert_uint_eq(rig.platform.vmclock.size_bytes, DEVICE_PAGE);
	ck_assert_uint_eq(ram_size(&rig_ram), 0);
}
END_TEST

/* As Linux' ptp_vmclock.c checks it */
START_TEST(first_state)
{
	ck_assert_mem_eq(seen(), "VCLK", 4);
	ck_assert_uint_eq(get_le32(page + 4), DEVICE_PAGE);
	ck_assert_uint_eq(get_le16(page + 8), 1);
	ck_assert_uint_eq(page[10], 0xff);
	ck_assert_uint_eq(get_le32(page + SEQ), 0);
	ck_assert_uint_ne(get_le64(page + DISRUPTION), 0);
	ck_assert_uint_eq(get_le64(page + 24), 0x300);
	ck_assert_uint_ne(get_le64(page + GENERATION), 0);
}
END_TEST

/* Also if the guest wrote over it. */
START_TEST(reset_is_no_disruption)
{
	memcpy(first, seen(), BYTES);
	ck_assert(ram_fill(&rig_ram, GPA(rig.platform.vmclock.base), 0xaa,
			   BYTES));
	ck_assert_uint_eq(seen()[0], 0xaa);
	vmclock_class.reset(rig.dev);
	ck_assert_mem_eq(seen(), first, BYTES);
	vmclock_class.resume(rig.dev);
	ck_assert_mem_eq(seen(), first, BYTES);
	ck_assert_uint_eq(rig.edges, 0);
}
END_TEST

START_TEST(load_is_a_disruption)
{
	struct stream_out out;

	memcpy(first, seen(), BYTES);
	ck_assert_int_eq(load(40, 4), 0);
	ck_assert_uint_eq(rig.edges, 0);
	vmclock_class.resume(rig.dev);
	ck_assert_uint_eq(rig.edges, 1);
	ck_assert(!rig.level);
	seen();
	ck_assert_mem_eq(page, first, SEQ);
	ck_assert_uint_eq(get_le32(page + SEQ), 42);
	ck_assert_uint_ne(get_le64(page + DISRUPTION),
			  get_le64(first + DISRUPTION));
	ck_assert_uint_ne(get_le64(page + GENERATION),
			  get_le64(first + GENERATION));
	stream_out_init(&out);
	vmclock_class.save(rig.dev, &out);
	ck_assert_uint_eq(out.len, 4);
	ck_assert_uint_eq(get_le32(out.data), 42);
	stream_out_release(&out);
}
END_TEST

START_TEST(bad_state_changes_nothing)
{
	memcpy(first, seen(), BYTES);
	ck_assert_int_eq(load(41, 4), -EBADMSG);
	ck_assert_int_eq(load(40, 3), -EBADMSG);
	vmclock_class.resume(rig.dev);
	ck_assert_uint_eq(rig.edges, 0);
	ck_assert_mem_eq(seen(), first, BYTES);
	rig_hostile_state();
}
END_TEST

START_TEST(described)
{
	const struct plat_dev *dev;
	struct diag d = DIAG_INIT;

	ck_assert_int_eq(vmclock_class.describe(rig.dev, &rig.platform, &d), 0);
	dev = platform_find(&rig.platform, PLAT_VMCLOCK);
	ck_assert_ptr_nonnull(dev);
	ck_assert_uint_eq(dev->range[0].base, GIB(9) + PMEM_ALIGN);
	ck_assert_uint_eq(dev->range[0].size_bytes, DEVICE_PAGE);
	ck_assert_uint_eq(dev->irq[0].pin, 5);
	ck_assert(!dev->irq[0].level);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vmclock");
	TCase *t = tcase_create("vmclock");

	tcase_add_checked_fixture(t, setup, rig_close_page);
	tcase_add_test(t, pages_are_apart);
	tcase_add_test(t, first_state);
	tcase_add_test(t, reset_is_no_disruption);
	tcase_add_test(t, load_is_a_disruption);
	tcase_add_test(t, bad_state_changes_nothing);
	tcase_add_test(t, described);
	suite_add_tcase(s, t);
	return suite_run(s);
}
