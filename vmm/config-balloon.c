/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: --balloon */
#include <errno.h>
#include <inttypes.h>

#include "vmm/config-impl.h"

static const struct schema_key keys[] = {
	{ .name = "size",
	  .type = SCHEMA_SIZE,
	  .lead = true,
	  .offset = ITEM_AT(balloon_config, size_bytes),
	  .max = TIB(4096),
	  .doc = "memory to take from the guest to begin with; 0 takes none",
	  SINCE },
	{ .name = "deflate_on_oom",
	  .type = SCHEMA_BOOL,
	  .offset = ITEM_AT(balloon_config, deflate_on_oom),
	  .preset = "off",
	  .doc = "let the guest take it back when it runs out of memory",
	  SINCE },
	{ .name = "free_page_reporting",
	  .type = SCHEMA_BOOL,
	  .offset = ITEM_AT(balloon_config, free_page_reporting),
	  .preset = "off",
	  .doc = "give memory that the guest has freed back to the host",
	  SINCE },
	PCI_KEYS(balloon_config),
};

const struct schema_option balloon_option = {
	.name = "balloon",
	.group = "Devices",
	ITEMS(balloon, balloon_count, balloon_config, 1),
	.id_prefix = "__balloon",
	KEYS(keys),
	.later = LATER_DEVICE,
	.doc = "memory balloon: takes memory from the guest and gives it back",
	MACHINE,
};

int check_balloon(const struct vm_config *c, struct diag *d)
{
	uint64_t ram = vm_config_ram_bytes(c);

	if (!c->balloon_count || c->balloon->size_bytes <= ram)
		return 0;
	return diag_fail(d, EINVAL,
			 "--balloon size=%" PRIu64
			 ": the machine has only %" PRIu64
			 " bytes of RAM (--memory size)",
			 c->balloon->size_bytes, ram);
}
