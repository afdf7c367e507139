# SPDX-License-Identifier: Apache-2.0
obj-y += vmm/base/base.o
obj-y += vmm/memory.o vmm/bus.o vmm/irq.o vmm/event.o vmm/stream.o \
	vmm/platform.o vmm/doorbell.o
