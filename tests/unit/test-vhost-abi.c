/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: our requests of the kernel's vhost are those of its own header */
#include <check.h>
#include <linux/vhost.h>

#include "devices/vhost/kernel-abi.h"
#include "tests/unit/suite.h"

#define SAME(ours, theirs, field, their_field)           \
	(offsetof(struct ours, field) ==                 \
		 offsetof(struct theirs, their_field) && \
	 sizeof(((struct ours *)0)->field) ==            \
		 sizeof(((struct theirs *)0)->their_field))

static const struct {
	unsigned long ours, theirs;
} requests[] = {
	{ VK_GET_FEATURES, VHOST_GET_FEATURES },
	{ VK_SET_FEATURES, VHOST_SET_FEATURES },
	{ VK_SET_OWNER, VHOST_SET_OWNER },
	{ VK_SET_MEMORY, VHOST_SET_MEM_TABLE },
	{ VK_SET_SIZE, VHOST_SET_VRING_NUM },
	{ VK_SET_PLACE, VHOST_SET_VRING_ADDR },
	{ VK_SET_BASE, VHOST_SET_VRING_BASE },
	{ VK_GET_BASE, VHOST_GET_VRING_BASE },
	{ VK_SET_KICK, VHOST_SET_VRING_KICK },
	{ VK_SET_CALL, VHOST_SET_VRING_CALL },
	{ VK_SET_ERR, VHOST_SET_VRING_ERR },
	{ VK_SET_BACKEND, VHOST_NET_SET_BACKEND },
	{ VK_SET_CID, VHOST_VSOCK_SET_GUEST_CID },
	{ VK_SET_RUNNING, VHOST_VSOCK_SET_RUNNING },
};

START_TEST(requests_are_the_kernels)
{
	ck_assert_uint_eq(requests[_i].ours, requests[_i].theirs);
}
END_TEST

START_TEST(layouts_are_the_kernels)
{
	ck_assert(SAME(vk_number, vhost_vring_state, number, num));
	ck_assert(SAME(vk_file, vhost_vring_file, fd, fd));
	ck_assert(SAME(vk_place, vhost_vring_addr, flags, flags));
	ck_assert(SAME(vk_place, vhost_vring_addr, desc, desc_user_addr));
	ck_assert(SAME(vk_place, vhost_vring_addr, used, used_user_addr));
	ck_assert(SAME(vk_place, vhost_vring_addr, avail, avail_user_addr));
	ck_assert(SAME(vk_place, vhost_vring_addr, log, log_guest_addr));
	ck_assert(SAME(vk_region, vhost_memory_region, gpa, guest_phys_addr));
	ck_assert(
		SAME(vk_region, vhost_memory_region, size_bytes, memory_size));
	ck_assert(SAME(vk_region, vhost_memory_region, host, userspace_addr));
	ck_assert(SAME(vk_memory, vhost_memory, count, nregions));
	ck_assert_uint_eq(offsetof(struct vk_memory, region),
			  offsetof(struct vhost_memory, regions));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("vhost-abi");
	TCase *tc = tcase_create("vhost-abi");

	tcase_add_loop_test(tc, requests_are_the_kernels, 0,
			    sizeof(requests) / sizeof(requests[0]));
	tcase_add_test(tc, layouts_are_the_kernels);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
