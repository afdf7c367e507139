# SPDX-License-Identifier: Apache-2.0
obj-y += arch/arch.o
obj-y += arch/x86_64/layout.o
