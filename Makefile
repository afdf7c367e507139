# SPDX-License-Identifier: Apache-2.0
# Spandrel: `make help` lists the targets. Everything that is made goes below
# $(O); the source tree may be read-only.

MAKEFLAGS += --no-builtin-rules --no-builtin-variables
.SUFFIXES:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := all

SRC := $(patsubst %/,%,$(dir $(abspath $(lastword $(MAKEFILE_LIST)))))
ifneq ($(SRC),$(CURDIR))
VPATH := $(SRC)
endif
O ?= build
override O := $(abspath $(O))
export O SRC

# ---- architecture ---------------------------------------------------------
HOST_ARCH := $(patsubst aarch64,arm64,$(shell uname -m))
ARCH ?= $(HOST_ARCH)
ifeq ($(filter $(ARCH),x86_64 arm64),)
$(error ARCH=$(ARCH) is not known: use x86_64 or arm64)
endif
triplet := $(if $(filter arm64,$(ARCH)),aarch64,x86_64)-linux-gnu
CROSS_COMPILE ?= $(if $(filter-out $(HOST_ARCH),$(ARCH)),$(triplet)-)
CC := $(CROSS_COMPILE)gcc
AR := $(CROSS_COMPILE)gcc-ar
STRIP := $(CROSS_COMPILE)strip
PYTHON := python3
B := $(O)/$(ARCH)

# ---- quiet output ---------------------------------------------------------
V ?= 0
Q := $(if $(filter 1,$(V)),,@)
say = $(if $(filter 1,$(V)),,@printf '  %-7s %s\n' '$(1)' '$(patsubst $(O)/%,%,$(2))')

# ---- configuration (Kconfig) ----------------------------------------------
KCONFIG_GOALS := defconfig menuconfig savedefconfig
NOCONFIG_GOALS := $(KCONFIG_GOALS) deps help clean
goals := $(or $(MAKECMDGOALS),all)
kconf = mkdir -p $(B)/include/config $(B)/include/generated && \
	cd $(B) && srctree=$(SRC) $(1) $(SRC)/Kconfig

ifneq ($(filter-out $(NOCONFIG_GOALS),$(goals)),)
-include $(B)/include/config/auto.conf
endif

# ---- flags ----------------------------------------------------------------
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	-Wundef -Wvla -Wcast-qual -Wformat=2 -Wswitch-enum \
	-Wpointer-arith -Wwrite-strings -Werror
CFLAGS ?= -O2 -g
CPPFLAGS_ALL = -I$(SRC) -I$(B) -include $(B)/include/generated/autoconf.h \
	-D_GNU_SOURCE $(CPPFLAGS)
CFLAGS_ALL = -std=gnu11 $(WARN) -fno-strict-aliasing -fstack-protector-strong \
	-ffunction-sections -fdata-sections -pthread $(CFLAGS)
# What guests wait for often is compiled for speed, the rest for size.
HOT := devices/block devices/net devices/vhost/backend-ring devices/vhost/inflight \
	devices/virtio vmm/base vmm/host \
	vmm/bus vmm/doorbell vmm/event vmm/iothread vmm/irq vmm/memory \
	vmm/token-bucket vmm/vcpu arch/x86_64/ioapic devices/legacy/acpi-pm \
	devices/pci/msix
cold = $(if $(filter $(addsuffix /%,$(HOT)) $(addsuffix .o,$(HOT)),$1),$2,$(patsubst -O2,-Os,$2))
# Nothing unwinds in C. With -g debuggers have the same in .debug_frame; the
# sanitizers' builds, which print stacks, go without this flag.
NO_UNWIND := -fno-asynchronous-unwind-tables
LDFLAGS_ALL = -static -Wl,--gc-sections -Wl,-T,$(COLD) -pthread $(LDFLAGS)
COLD := $(SRC)/vmm/cold.ld
LDLIBS := -lfdt -lzstd -lz -luring
# Debian's libfdt-dev cannot be installed for two architectures at once, so
# the other one's static libraries are unpacked below $(O) (tests/deps).
ifneq ($(ARCH),$(HOST_ARCH))
SYSROOT := $(O)/deps/$(ARCH)
CPPFLAGS_ALL += -isystem $(SYSROOT)/usr/include
LDFLAGS_ALL += -L$(SYSROOT)/usr/lib/$(triplet)
endif

# ---- sources --------------------------------------------------------------
# Each folder's build.mk adds to obj-y (paths from the top) and may add rules.
obj-y :=
include $(SRC)/vmm/build.mk $(SRC)/arch/build.mk $(SRC)/devices/build.mk \
	$(SRC)/firmware/build.mk

.PHONY: all lib
all: $(B)/spandrel

$(B)/include/config/auto.conf: $(SRC)/Kconfig $(wildcard $(B)/.config) $(O)/.deps
	$(Q)$(call kconf,kconfig-conf $(if $(wildcard $(B)/.config),--olddefconfig,--alldefconfig)) >/dev/null
	$(Q)$(call kconf,kconfig-conf --silentoldconfig) >/dev/null && touch $@

$(B)/%.o: %.c $(B)/include/config/auto.conf
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS_ALL) $(call cold,$(patsubst $(B)/%,%,$@),$(CFLAGS_ALL)) \
		$(NO_UNWIND) -MMD -MP -c $(SRC)/$(patsubst $(SRC)/%,%,$<) -o $@

$(B)/libspandrel.a: $(addprefix $(B)/,$(filter-out vmm/main.o,$(obj-y)))
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^
lib: $(B)/libspandrel.a

$(B)/spandrel.debug: $(B)/vmm/main.o $(B)/vmm/base/zstd-legacy.o $(B)/libspandrel.a $(COLD)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $(filter-out $(COLD),$^) $(LDLIBS)
$(B)/spandrel: $(B)/spandrel.debug
	$(call say,STRIP,$@)
	$(Q)$(STRIP) -o $@ $<

-include $(patsubst %.o,$(B)/%.d,$(obj-y) vmm/base/zstd-legacy.o)

# ---- configuration targets ------------------------------------------------
.PHONY: $(KCONFIG_GOALS)
defconfig: $(O)/.deps
	$(Q)$(call kconf,kconfig-conf --alldefconfig) && kconfig-conf --silentoldconfig $(SRC)/Kconfig
menuconfig: $(O)/.deps
	$(Q)$(call kconf,kconfig-mconf)
savedefconfig: $(O)/.deps
	$(Q)$(call kconf,kconfig-conf --savedefconfig $(B)/defconfig)
	@echo "wrote $(B)/defconfig"

# ---- what the machine needs -----------------------------------------------
.PHONY: deps
deps:
	$(Q)mkdir -p $(O)
	$(Q)$(SRC)/tests/deps $(O)
	$(Q)touch $(O)/.deps
$(O)/.deps: $(SRC)/tests/deps $(SRC)/tests/hosts/packages
	$(Q)mkdir -p $(O)
	$(Q)$(SRC)/tests/deps $(O)
	$(Q)touch $@

include $(SRC)/tests/build.mk

# ---- install ---------------------------------------------------------------
# The program writes its own manual, so one for another ISA comes without.
PREFIX ?= /usr/local
DESTDIR ?=
.PHONY: install
install: $(B)/spandrel
	$(Q)install -D -m 755 $(B)/spandrel $(DESTDIR)$(PREFIX)/bin/spandrel
ifeq ($(ARCH),$(HOST_ARCH))
	$(Q)install -d $(DESTDIR)$(PREFIX)/share/man/man1 \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions
	$(Q)$(B)/spandrel --man >$(DESTDIR)$(PREFIX)/share/man/man1/spandrel.1
	$(Q)$(B)/spandrel --completion bash \
		>$(DESTDIR)$(PREFIX)/share/bash-completion/completions/spandrel
endif
	@echo "installed $(DESTDIR)$(PREFIX)/bin/spandrel"

.PHONY: help
help:
	@echo 'make                 build $(ARCH)/spandrel below O=$(O)'
	@echo 'make ARCH=arm64      the same for another ISA (x86_64, arm64)'
	@echo 'make run             boot a Debian kernel and give a shell in the guest'
	@echo 'make check           all tests; ends with "N passed, N failed"'
	@echo 'make unit            the unit tests only (seconds)'
	@echo 'make guests          bare-metal payloads on this /dev/kvm, or emulated'
	@echo 'make lint            format, static analysis, layer and header checks'
	@echo 'make bench           compare with other VMMs; writes bench.json below O'
	@echo 'make fuzz            fuzz every parser; FUZZ_SECONDS=$(FUZZ_SECONDS) each'
	@echo 'make install         to $$(DESTDIR)$$(PREFIX); PREFIX=$(PREFIX)'
	@echo 'make menuconfig      choose features; also defconfig, savedefconfig'
	@echo 'make deps            install the Debian packages that all this needs'
	@echo 'make clean           remove what was built; keeps fetched kernels'
	@echo 'O=DIR puts all output there; V=1 shows commands; -j2 works.'

.PHONY: clean
clean:
	$(Q)rm -rf $(O)/x86_64 $(O)/arm64 $(O)/.deps
