# SPDX-License-Identifier: Apache-2.0
obj-y += vmm/base/base.o
