# SPDX-License-Identifier: Apache-2.0
obj-y += devices/device.o devices/registry.o
obj-y += devices/legacy/fixed.o devices/legacy/primecell.o \
	devices/legacy/serial-16550.o devices/legacy/serial-pl011.o \
	devices/legacy/rtc-cmos.o devices/legacy/rtc-pl031.o \
	devices/legacy/gpio-pl061.o devices/legacy/acpi-pm.o \
	devices/legacy/ged.o devices/legacy/debug-console.o \
	devices/legacy/flash-cfi.o devices/legacy/fw-cfg.o
obj-y += devices/block/block.o devices/block/file.o devices/block/lock.o \
	devices/block/engine-uring.o devices/block/engine-threads.o \
	devices/block/raw.o
ifdef CONFIG_QCOW2
obj-y += devices/block/qcow2.o devices/block/qcow2-header.o \
	devices/block/qcow2-backing.o devices/block/qcow2-map.o \
	devices/block/qcow2-refs.o devices/block/qcow2-commit.o \
	devices/block/qcow2-io.o devices/block/qcow2-fast.o \
	devices/block/qcow2-work.o devices/block/qcow2-compress.o \
	devices/block/qcow2-bitmaps.o
else
obj-y += devices/block/qcow2-stub.o
endif
obj-y += devices/pci/func.o devices/pci/msix.o devices/pci/root.o devices/pci/q35.o
obj-$(CONFIG_WATCHDOG) += devices/legacy/watchdog-sp805.o
obj-$(CONFIG_VMGENID) += devices/legacy/vmgenid.o
obj-$(CONFIG_VMCLOCK) += devices/legacy/vmclock.o
obj-$(CONFIG_PVPANIC) += devices/pci/pvpanic.o
obj-y += devices/virtio/pci.o devices/virtio/queue.o \
	devices/virtio/queue-packed.o devices/virtio/queue-split.o \
	devices/virtio/queue-track.o \
	devices/virtio/queue-track-packed.o devices/virtio/virtio.o
obj-y += devices/virtio/mmio$(if $(CONFIG_VIRTIO_MMIO),,-stub).o
obj-$(CONFIG_VIRTIO_NET) += devices/net/net.o devices/net/socket.o \
	devices/net/tap.o devices/virtio/net.o devices/virtio/net-ctrl.o \
	devices/virtio/net-rx.o devices/virtio/net-tx.o \
	devices/virtio/net-vhost.o
obj-$(or $(CONFIG_VIRTIO_NET),$(CONFIG_VHOST_USER)) += \
	devices/virtio/net-command.o
obj-$(CONFIG_VIRTIO_BLK) += devices/virtio/blk.o devices/virtio/blk-queue.o
obj-y += devices/vhost/backend.o devices/vhost/backend-request.o \
	devices/vhost/backend-ring.o devices/vhost/frontend.o \
	devices/vhost/inflight.o devices/vhost/kernel.o \
	devices/vhost/kernel-sys.o devices/vhost/vhost-user-msg.o
obj-$(CONFIG_VIRTIO_RNG) += devices/virtio/rng.o
obj-$(CONFIG_VIRTIO_VSOCK) += devices/virtio/vsock.o \
	devices/virtio/vsock-conn.o devices/virtio/vsock-host.o \
	devices/virtio/vsock-vhost.o
obj-$(CONFIG_VIRTIO_CONSOLE) += devices/virtio/console.o \
	devices/virtio/console-ctrl.o
obj-$(CONFIG_TPM) += devices/tpm/swtpm.o devices/tpm/tpm-crb.o
obj-$(CONFIG_VIRTIO_BALLOON) += devices/virtio/balloon.o
obj-$(CONFIG_VIRTIO_PMEM) += devices/virtio/pmem.o
obj-$(CONFIG_VIRTIO_RTC) += devices/virtio/rtc.o
obj-$(CONFIG_VHOST_USER) += devices/virtio/vhost-user.o
