# SPDX-License-Identifier: Apache-2.0
obj-y += arch/arch.o arch/layout.o arch/numa.o arch/fw-cfg.o arch/firmware-marks.o \
	arch/smbios.o
obj-y += arch/x86_64/layout.o arch/x86_64/e820.o arch/x86_64/image.o \
	arch/x86_64/bzimage.o arch/x86_64/pvh.o arch/x86_64/known.o \
	arch/x86_64/firmware.o arch/x86_64/pc-firmware.o arch/x86_64/cpuid.o \
	arch/x86_64/ioapic.o arch/x86_64/msr.o arch/x86_64/vcpu.o \
	arch/x86_64/tables.o arch/x86_64/load.o arch/x86_64/x86_64.o
obj-y += arch/arm64/layout.o arch/arm64/irqchip.o arch/arm64/unpack.o \
	arch/arm64/image.o arch/arm64/kernel.o arch/arm64/tables.o \
	arch/arm64/acpi.o arch/arm64/load.o arch/arm64/firmware.o \
	arch/arm64/arm64.o
obj-$(CONFIG_HOST_FAKE) += arch/fake/fake.o arch/fake/load.o
