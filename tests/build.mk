# SPDX-License-Identifier: Apache-2.0
# Tests. Every test program and script speaks TAP on standard output;
# tests/run adds them up and prints "N passed, N failed" last.

# Unit tests: the whole library under ASan + UBSan, one program per suite.
# Suites named in tsan-suites are built and run a second time under TSan.
unit-suites := $(patsubst $(SRC)/tests/unit/%.c,%,$(wildcard $(SRC)/tests/unit/test-*.c))
tsan-suites := $(filter test-bus test-event test-irq test-host-fake \
	test-machine test-chardev test-overlay test-token-bucket test-block test-qcow2-queues \
	test-virtio-%,$(unit-suites))
tsan-suites += test-vhost-user test-vhost-user-device test-vhost-kernel

SAN_asan := -fsanitize=address,undefined -fno-sanitize-recover=undefined -O1 -g
SAN_tsan := -fsanitize=thread -O1 -g

# $(1): asan or tsan
define sanitized
$(B)/$(1)/%.o: %.c $(B)/include/config/auto.conf
	$$(call say,CC,$$@)
	$$(Q)mkdir -p $$(@D)
	$$(Q)$$(CC) $$(CPPFLAGS_ALL) $$(filter-out -O%,$$(CFLAGS_ALL)) $$(SAN_$(1)) \
		-MMD -MP -c $$(SRC)/$$(patsubst $$(SRC)/%,%,$$<) -o $$@
$(B)/$(1)/libspandrel.a: $$(addprefix $(B)/$(1)/,$$(filter-out vmm/main.o,$$(obj-y)))
	$$(call say,AR,$$@)
	$$(Q)rm -f $$@ && $$(AR) rcs $$@ $$^
$(B)/$(1)/test-%: $(B)/$(1)/tests/unit/test-%.o $(B)/$(1)/libspandrel.a
	$$(call say,LINK,$$@)
	$$(Q)$$(CC) $$(SAN_$(1)) -pthread -o $$@ $$^ -lcheck -lsubunit -lrt -lm $$(LDLIBS)
-include $$(patsubst %.o,$(B)/$(1)/%.d,$$(obj-y)) \
	$$(patsubst %,$(B)/$(1)/tests/unit/%.d,$$(unit-suites))
endef
$(eval $(call sanitized,asan))
$(eval $(call sanitized,tsan))
.SECONDARY:

unit-programs := $(addprefix $(B)/asan/,$(unit-suites)) \
	$(addprefix $(B)/tsan/,$(tsan-suites))

.PHONY: unit
unit: $(unit-programs)
	$(Q)$(PYTHON) $(SRC)/tests/run $(unit-programs)

# Fuzzing: clang's libFuzzer over the whole library. The corpus in the tree is
# replayed by `make check`; `make fuzz` looks for more.
FUZZ_SECONDS ?= 600
fuzz-targets := $(patsubst $(SRC)/tests/fuzz/%.c,%,$(wildcard $(SRC)/tests/fuzz/fuzz-*.c))
FUZZ_FLAGS := -g -O1 -fsanitize=fuzzer-no-link,address,undefined \
	-fno-sanitize-recover=undefined
$(B)/fuzz/%.o: %.c $(B)/include/config/auto.conf
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)clang $(CPPFLAGS_ALL) $(filter-out -O%,$(CFLAGS_ALL)) $(FUZZ_FLAGS) \
		-MMD -MP -c $(SRC)/$(patsubst $(SRC)/%,%,$<) -o $@
$(B)/fuzz/libspandrel.a: $(addprefix $(B)/fuzz/,$(filter-out vmm/main.o,$(obj-y)))
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^
$(B)/fuzz/fuzz-%: $(B)/fuzz/tests/fuzz/fuzz-%.o $(B)/fuzz/libspandrel.a
	$(call say,LINK,$@)
	$(Q)clang -fsanitize=fuzzer,address,undefined -pthread -o $@ $^ $(LDLIBS)
-include $(patsubst %.o,$(B)/fuzz/%.d,$(obj-y)) \
	$(patsubst %,$(B)/fuzz/tests/fuzz/%.d,$(fuzz-targets))

.PHONY: fuzz $(fuzz-targets)
fuzz: $(fuzz-targets)
$(fuzz-targets): %: $(B)/fuzz/%
	$(Q)$(SRC)/tests/fuzz/run $(B)/fuzz/$@ $(FUZZ_SECONDS)

# Bare-metal payloads: one source for both ISAs, no libc.
all-payloads := $(patsubst $(SRC)/tests/guests/payload-%.c,%,$(wildcard $(SRC)/tests/guests/payload-*.c))
# Those that are firmware, and need an ISA whose firmware starts so easily.
PAYLOAD_ROMS := flash
payload-roms-arm64 := $(PAYLOAD_ROMS)
# $(1): ISA
payloads-of = $(filter-out $(filter-out $(payload-roms-$(1)),$(PAYLOAD_ROMS)),$(all-payloads))
payloads := $(call payloads-of,$(ARCH))
GUEST_CFLAGS := -std=gnu11 $(WARN) -O2 -ffreestanding -fno-builtin -nostdinc \
	-isystem $(shell $(CC) -print-file-name=include 2>/dev/null) \
	-fno-stack-protector -fno-pic -fno-pie -fno-asynchronous-unwind-tables \
	-fcf-protection=none
GUEST_CFLAGS_x86_64 := -m32 -march=i686 -mno-sse -mno-mmx
GUEST_CFLAGS_arm64 := -mgeneral-regs-only -mstrict-align -mcmodel=small
GUEST_BASE_arm64 := 0x40000000
GUEST_LD_x86_64 := -m elf_i386 --defsym=BASE=0x200000
GUEST_LD_arm64 := --defsym=BASE=$(GUEST_BASE_arm64)
GUEST_COPY_x86_64 := -O elf64-x86-64
GUEST_COPY_arm64 := -O binary
guest-cflags = $(filter-out $(if $(filter arm64,$(ARCH)),-fcf-protection=none),$(GUEST_CFLAGS)) $(GUEST_CFLAGS_$(ARCH))
guest-common := start-$(ARCH) machine-$(ARCH) guest
# Only payloads that use these get them.
guest-library := virtio vring exercise

$(B)/guests/%.o: tests/guests/%.c $(wildcard $(SRC)/tests/guests/*.h) $(O)/.deps
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(guest-cflags) -c $(SRC)/tests/guests/$*.c -o $@
$(B)/guests/%.o: tests/guests/%.S $(O)/.deps
	$(call say,AS,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(guest-cflags) -c $(SRC)/tests/guests/$*.S -o $@
$(B)/guests/libguest.a: $(guest-library:%=$(B)/guests/%.o)
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^
$(B)/guests/%.elf: $(B)/guests/payload-%.o $(guest-common:%=$(B)/guests/%.o) $(B)/guests/libguest.a $(SRC)/tests/guests/link.ld $(SRC)/tests/build.mk
	$(call say,LINK,$@)
	$(Q)$(CROSS_COMPILE)ld $(GUEST_LD_$(ARCH)) --no-warn-rwx-segments -z noexecstack \
		-T $(SRC)/tests/guests/link.ld -o $@ $(filter %.o %.a,$^)
$(B)/guests/%: $(B)/guests/%.elf
	$(Q)$(CROSS_COMPILE)objcopy $(GUEST_COPY_$(ARCH)) $< $@
$(B)/guests/%.rom: $(B)/guests/% tests/guests/rom-$(ARCH).S
	$(call say,ROM,$@)
	$(Q)$(CC) -DBASE=$(GUEST_BASE_$(ARCH)) -DPAYLOAD='"$<"' \
		-c $(SRC)/tests/guests/rom-$(ARCH).S -o $@.o
	$(Q)$(CROSS_COMPILE)objcopy -O binary -j .text $@.o $@

# What payloads' host sides run: stream, which the images have as well.
$(B)/guests/stream: tests/images/tools/stream.c $(O)/.deps
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -O2 -static -std=gnu11 -D_GNU_SOURCE $(WARN) -o $@ $<

# clock, idle and off are for make bench; the others test themselves.
test-payloads = $(filter-out clock idle off,$(call payloads-of,$(1)))
.PHONY: payloads guests
payloads: $(payloads:%=$(B)/guests/%) $(payload-roms-$(ARCH):%=$(B)/guests/%.rom) $(B)/guests/stream
guests: $(B)/spandrel payloads
	$(Q)$(PYTHON) $(SRC)/tests/run "$(SRC)/tests/guests/run $(ARCH) $(B)/spandrel $(patsubst %,$(B)/guests/%,$(call test-payloads,$(ARCH)))"

# make bench builds both ISAs by calling itself.
$(B)/bench/%: tests/bench/%.c $(O)/.deps
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -O2 -static -std=gnu11 -D_GNU_SOURCE $(WARN) -o $@ $<
$(B)/bench/requests: tests/images/tools/requests.c $(O)/.deps
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -O2 -static -std=gnu11 -D_GNU_SOURCE $(WARN) -o $@ $<
# With the whole library, as it is shipped.
$(B)/bench/tables: $(B)/tests/bench/tables.o $(B)/libspandrel.a
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LDLIBS)
-include $(B)/tests/bench/tables.d
# For tests/interop/iasl.
$(B)/interop/samples: $(B)/tests/interop/samples.o $(B)/libspandrel.a
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LDLIBS)
-include $(B)/tests/interop/samples.d
bench-programs := $(B)/bench/elapsed $(B)/bench/requests $(B)/bench/tables $(if $(filter x86_64,$(ARCH)),$(B)/bench/minimal-kvm)
.PHONY: bench bench-build
bench-build: $(B)/spandrel $(bench-programs) payloads
bench:
	$(Q)$(MAKE) --no-print-directory ARCH=x86_64 bench-build
	$(Q)$(MAKE) --no-print-directory ARCH=arm64 bench-build
	$(Q)O=$(O) $(PYTHON) $(SRC)/tests/bench/run $(O)

# Static checks: seconds in `make check`, all of them in `make lint`.
.PHONY: lint
lint: $(B)/include/config/auto.conf
	$(Q)$(PYTHON) $(SRC)/tests/run "$(SRC)/tests/lint/run $(B) all"

# Everything. The servers take longest, so they come first, in the order of how
# long; two at a time.
# Those that need the other ISA's program get it from a second make.
OTHER_ARCH := $(if $(filter x86_64,$(ARCH)),arm64,x86_64)
OB := $(O)/$(OTHER_ARCH)
fuzz-programs := $(addprefix $(B)/fuzz/,$(fuzz-targets))
X86 := $(if $(filter x86_64,$(ARCH)),$(B),$(OB))
ARM := $(if $(filter arm64,$(ARCH)),$(B),$(OB))

.PHONY: check check-build guests-build
guests-build: $(B)/spandrel payloads
check-build: guests-build $(unit-programs) $(fuzz-programs) $(B)/interop/samples
	$(Q)$(MAKE) --no-print-directory ARCH=$(OTHER_ARCH) guests-build
	$(Q)O=$(O) $(SRC)/tests/images/prepare
check:
	$(Q)$(MAKE) --no-print-directory -j2 check-build
	$(Q)O=$(O) $(PYTHON) $(SRC)/tests/run -j 2 \
		"$(SRC)/tests/e2e/devices arm $(ARM)/spandrel" \
		"$(SRC)/tests/e2e/devices epyc $(X86)/spandrel" \
		"$(SRC)/tests/e2e/boot arm $(ARM)/spandrel" \
		"$(SRC)/tests/e2e/boot epyc $(X86)/spandrel" \
		"$(SRC)/tests/e2e/boot xeon $(X86)/spandrel" \
		"$(SRC)/tests/guests/run x86_64 $(X86)/spandrel $(patsubst %,$(X86)/guests/%,$(call test-payloads,x86_64))" \
		"$(SRC)/tests/guests/run --emulated x86_64 $(X86)/spandrel $(patsubst %,$(X86)/guests/%,$(call test-payloads,x86_64))" \
		"$(SRC)/tests/guests/run arm64 $(ARM)/spandrel $(patsubst %,$(ARM)/guests/%,$(call test-payloads,arm64))" \
		"$(SRC)/tests/interop/run $(B)/spandrel" \
		"$(SRC)/tests/interop/iasl $(B)/interop/samples" \
		"$(SRC)/tests/e2e/cli $(B)/spandrel" \
		"$(SRC)/tests/lint/run $(B)" \
		$(unit-programs) \
		$(patsubst %,"$(SRC)/tests/fuzz/run % replay",$(fuzz-programs))

.PHONY: run
run: $(B)/spandrel
	$(Q)O=$(O) $(SRC)/tests/hosts/run-guest $(B)/spandrel
