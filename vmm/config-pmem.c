/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: --pmem */
#include <errno.h>

#include "vmm/config-impl.h"
#include "vmm/platform.h"

static const struct schema_key keys[] = {
	{ .name = "file",
	  .type = SCHEMA_PATH,
	  .offset = ITEM_AT(pmem_config, file),
	  .doc = "file or block device that the guest maps, a multiple of 2M "
		 "long; or a directory for a temporary file of size",
	  SINCE },
	{ .name = "size",
	  .type = SCHEMA_SIZE,
	  .optional = true,
	  .offset = ITEM_AT(pmem_config, size_bytes),
	  .min = MIB(2),
	  .max = TIB(4096),
	  .doc = "how much of it, a multiple of 2M; all unless given",
	  SINCE },
	{ .name = "discard_writes",
	  .type = SCHEMA_BOOL,
	  .offset = ITEM_AT(pmem_config, discard_writes),
	  .preset = "off",
	  .doc = "keep what the guest writes in memory, and the file as it is",
	  SINCE },
	PCI_KEYS(pmem_config),
};

const struct schema_option pmem_option = {
	.name = "pmem",
	.group = "Devices",
	ITEMS(pmem, pmem_count, pmem_config, PLAT_PMEM_MAX),
	.id_prefix = "_pmem",
	KEYS(keys),
	.later = LATER_DEVICE,
	.doc = "persistent memory: a file that the guest maps, /dev/pmem0 in "
	       "Linux",
	MACHINE,
};

int check_pmem(const struct vm_config *c, struct diag *d)
{
	for (unsigned i = 0; i < c->pmem_count; i++)
		if (!c->pmem[i].file)
			return diag_fail(d, EINVAL,
					 "--pmem: has no file=: name the file "
					 "that the guest maps");
	return 0;
}
