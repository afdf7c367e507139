/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: requests of the kernel's vhost devices
 *
 * As in Linux' include/uapi/linux/vhost.h and vhost_types.h, whose numbers and
 * layouts are fixed. Those headers cannot be included here: they bring names of
 * virtio with other meanings than ours (VIRTIO_F_… as numbers of bits). A test
 * compares the two.
 */
#ifndef DEVICES_VHOST_KERNEL_ABI_H
#define DEVICES_VHOST_KERNEL_ABI_H

#include <assert.h>
#include <linux/ioctl.h>
#include <stddef.h>
#include <stdint.h>

/** struct vk_number - vhost_vring_state: a number for ring @index */
struct vk_number {
	uint32_t index, number;
};

/** struct vk_file - vhost_vring_file: a descriptor for ring @index; -1: none */
struct vk_file {
	uint32_t index;
	int32_t fd;
};

/** struct vk_place - vhost_vring_addr: addresses of ring @index in this
 * process; @log is not used */
struct vk_place {
	uint32_t index, flags;
	uint64_t desc, used, avail, log;
};

/** struct vk_region - vhost_memory_region: guest RAM, and where it is in this
 * process */
struct vk_region {
	uint64_t gpa, size_bytes, host, flags;
};

/** struct vk_memory - vhost_memory: @count regions follow */
struct vk_memory {
	uint32_t count, padding;
	struct vk_region region[];
};

static_assert(sizeof(struct vk_number) == 8, "vhost_vring_state");
static_assert(sizeof(struct vk_file) == 8, "vhost_vring_file");
static_assert(sizeof(struct vk_place) == 40, "vhost_vring_addr");
static_assert(sizeof(struct vk_region) == 32, "vhost_memory_region");
static_assert(sizeof(struct vk_memory) == 8, "vhost_memory");

#define VK_GET_FEATURES _IOR(0xaf, 0x00, uint64_t)
#define VK_SET_FEATURES _IOW(0xaf, 0x00, uint64_t)
#define VK_SET_OWNER	_IO(0xaf, 0x01)
#define VK_SET_MEMORY	_IOW(0xaf, 0x03, struct vk_memory)
#define VK_SET_SIZE	_IOW(0xaf, 0x10, struct vk_number)
#define VK_SET_PLACE	_IOW(0xaf, 0x11, struct vk_place)
#define VK_SET_BASE	_IOW(0xaf, 0x12, struct vk_number)
#define VK_GET_BASE	_IOWR(0xaf, 0x12, struct vk_number)
#define VK_SET_KICK	_IOW(0xaf, 0x20, struct vk_file)
#define VK_SET_CALL	_IOW(0xaf, 0x21, struct vk_file)
#define VK_SET_ERR	_IOW(0xaf, 0x22, struct vk_file)
#define VK_SET_BACKEND	_IOW(0xaf, 0x30, struct vk_file) /* net */
#define VK_SET_CID	_IOW(0xaf, 0x60, uint64_t)	 /* vsock */
#define VK_SET_RUNNING	_IOW(0xaf, 0x61, int)		 /* vsock */

#endif
