/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: --pci-segment, and what needs PCI segments
 *
 * Names and defaults are Cloud Hypervisor's.
 */
#include <errno.h>
#include <inttypes.h>

#include "vmm/config-impl.h"

#define SEGMENT(member) ITEM_AT(pci_segment_config, member)

#define WEIGHT_KEY(key, window)                                               \
	{                                                                     \
		.name = #key, .type = SCHEMA_U32, .offset = SEGMENT(key),     \
		.min = 1, .max = UINT32_MAX, .preset = "1",                   \
		.doc = "its share of " window ", relative to those of other " \
		       "segments; 1 for segments that are not given",         \
		SINCE                                                         \
	}

static const struct schema_key keys[] = {
	SEGMENT_KEY(SEGMENT(pci_segment)),
	WEIGHT_KEY(mmio32_aperture_weight, "the 32-bit window"),
	WEIGHT_KEY(mmio64_aperture_weight, "the 64-bit window"),
};

const struct schema_option pci_segment_option = {
	.name = "pci-segment",
	.group = "Devices",
	ITEMS(pci_segments, pci_segment_count, pci_segment_config,
	      CONFIG_SEGMENTS_MAX),
	KEYS(keys),
	.doc = "how much address space a PCI segment has",
	MACHINE,
};

int check_pci_segments(const struct vm_config *c, struct diag *d)
{
	uint32_t count = vm_config_pci_segments(c);

	if (count > 1 && c->platform.transport == TRANSPORT_MMIO)
		return diag_fail(d, EINVAL,
				 "--platform num_pci_segments=%" PRIu32
				 ": transport=mmio has no PCI: leave out one "
				 "of them",
				 count);
	if (c->pci_segment_count && count == 1)
		return diag_fail(d, EINVAL,
				 "--pci-segment: divides what several segments "
				 "share: give --platform num_pci_segments=");
	for (unsigned i = 0; i < c->pci_segment_count; i++) {
		uint32_t segment = c->pci_segments[i].pci_segment;

		for (unsigned j = 0; j < i; j++)
			if (c->pci_segments[j].pci_segment == segment)
				return diag_fail(d, EINVAL,
						 "--pci-segment pci_segment="
						 "%" PRIu32 ": given twice",
						 segment);
	}
	return 0;
}
