# SPDX-License-Identifier: Apache-2.0
obj-y += firmware/fdt-write.o firmware/fdt.o
