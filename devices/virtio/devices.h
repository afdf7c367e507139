/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: the virtio devices, for devices/registry.c */
#ifndef DEVICES_VIRTIO_DEVICES_H
#define DEVICES_VIRTIO_DEVICES_H

#include "devices/device.h"

/** virtio_blk_class - a disk, item struct disk_config, see blk.h */
extern const struct device_class virtio_blk_class;

/** virtio_rng_class - entropy from config->rng.src, see rng.c */
extern const struct device_class virtio_rng_class;

/** virtio_net_class - one card; item: struct net_config, see net.c */
extern const struct device_class virtio_net_class;

/** virtio_console_class - one port on env->console, see console.c */
extern const struct device_class virtio_console_class;

/** virtio_balloon_class - struct balloon_config, see balloon.c */
extern const struct device_class virtio_balloon_class;

/** virtio_pmem_class - struct pmem_config, see pmem.c */
extern const struct device_class virtio_pmem_class;

/** virtio_rtc_class - the host's clocks, see rtc.c */
extern const struct device_class virtio_rtc_class;

/** virtio_vsock_class - sockets on the host, as struct vsock_config says, see
 * vsock.c */
extern const struct device_class virtio_vsock_class;

/** vhost_vsock_class - the same by the kernel, see vsock-vhost.c */
extern const struct device_class vhost_vsock_class;

/** virtio_fs_class - a file system that virtiofsd serves, see vhost-user.c */
extern const struct device_class virtio_fs_class;

/** vhost_user_blk_class, vhost_user_net_class - struct disk_config and struct
 * net_config with vhost_user=on, see vhost-user.c */
extern const struct device_class vhost_user_blk_class, vhost_user_net_class;

/** generic_vhost_user_class - any device of a back end, see vhost-user.c */
extern const struct device_class generic_vhost_user_class;

#endif
