# SPDX-License-Identifier: Apache-2.0
obj-y += vmm/base/base.o vmm/base/eventfd.o vmm/base/file.o vmm/base/iov.o
obj-y += vmm/memory.o vmm/file-map.o vmm/bus.o vmm/irq.o vmm/event.o vmm/footprint.o vmm/stream.o \
	vmm/platform.o vmm/caches.o vmm/identity.o vmm/doorbell.o vmm/overlay.o vmm/token-bucket.o vmm/iothread.o
obj-y += vmm/host/host.o vmm/host/kvm/kvm.o \
	$(patsubst $(SRC)/%.c,%.o,$(wildcard $(SRC)/vmm/host/kvm/kvm-$(ARCH).c))
obj-$(CONFIG_HOST_FAKE) += vmm/host/fake/fake.o vmm/host/fake/cpu.o \
	vmm/host/fake/ram.o vmm/host/fake/wires.o
obj-y += vmm/chardev.o vmm/chardev-open.o vmm/terminal.o vmm/unix-socket.o
obj-y += vmm/net-addr.o vmm/config-net.o vmm/config-console.o
obj-y += vmm/config-vsock.o
obj-y += vmm/schema.o vmm/schema-list.o vmm/config.o vmm/cli.o vmm/help.o vmm/man.o
obj-y += vmm/config-disk.o vmm/config-memory.o vmm/config-numa.o \
	vmm/config-pci.o
obj-y += vmm/doctor.o vmm/tables.o vmm/main.o
obj-y += vmm/machine.o vmm/machine-run.o vmm/vcpu.o vmm/payload.o vmm/boot-disk.o
obj-y += vmm/config-balloon.o
obj-y += vmm/config-pmem.o vmm/pmem.o vmm/zone.o
obj-y += vmm/fw-cfg.o vmm/config-fw-cfg.o
obj-y += vmm/config-rtc.o
obj-y += vmm/machine.o vmm/machine-run.o vmm/vcpu.o vmm/payload.o vmm/serve.o
obj-y += vmm/config-fs.o vmm/config-vhost-user.o
