# SPDX-License-Identifier: Apache-2.0
obj-y += firmware/fdt-write.o firmware/fdt.o
obj-y += firmware/acpi-buf.o firmware/aml.o firmware/dsdt.o firmware/acpi.o firmware/acpi-arm64.o firmware/acpi-loader.o firmware/acpi-numa.o firmware/acpi-pptt.o firmware/efi.o firmware/smbios.o

# ACPI control methods: firmware/asl/X.asl becomes firmware/asl/X.h below $(B),
# which holds `static const unsigned char X_aml_code[]`. Warnings are errors.
asl-headers := $(patsubst $(SRC)/%.asl,$(B)/%.h,$(wildcard $(SRC)/firmware/asl/*.asl))
$(asl-headers): $(B)/%.h: $(SRC)/%.asl $(B)/include/config/auto.conf
	$(call say,IASL,$@)
	$(Q)mkdir -p $(@D)
	$(Q)iasl -vs -we -tc -p $(basename $@) $< >$(basename $@).log || \
		{ cat $(basename $@).log >&2; exit 1; }
	$(Q)sed 's/^unsigned char/static const unsigned char/' $(basename $@).hex >$@
$(addsuffix /firmware/dsdt.o,$(B) $(B)/asan $(B)/tsan $(B)/fuzz): $(asl-headers)
