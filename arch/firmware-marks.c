/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: arch: marks of firmware, see firmware-marks.h */
#include "arch/firmware-marks.h"

#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/base/types.h"

#define FV_MARK	      0x28
#define FV_GUID	      0x10
#define OPCODE_BRANCH 5 /* bits 31:26 of "b", Arm ARM C6.2.26 */
#define OPCODE_NOP    0xd503201f

/* EFI_SYSTEM_NV_DATA_FV_GUID, PI 1.8 vol. 3 sec. 3.2.2 */
static const uint8_t variables_guid[16] = {
	0x8d, 0x2b, 0xf1, 0xff, 0x96, 0x76, 0x8b, 0x4c,
	0xa9, 0x85, 0x27, 0x47, 0x07, 0x5b, 0x4f, 0x50,
};

bool firmware_mark_at(const uint8_t *head, size_t len, size_t at,
		      const void *mark, size_t mark_len)
{
	return range_within(at, mark_len, 0, len) &&
	       !memcmp(head + at, mark, mark_len);
}

bool firmware_volume_at(const uint8_t *head, size_t len, size_t at)
{
	return firmware_mark_at(head, len, at + FV_MARK, "_FVH", 4);
}

bool firmware_is_variables(const uint8_t *head, size_t len)
{
	return firmware_volume_at(head, len, 0) &&
	       firmware_mark_at(head, len, FV_GUID, variables_guid,
				sizeof(variables_guid));
}

bool firmware_is_arm64_code(const uint8_t *head, size_t len)
{
	return len >= 4 && get_le32(head) >> 26 == OPCODE_BRANCH;
}

bool firmware_is_arm64_uboot(const uint8_t *head, size_t len)
{
	return firmware_is_arm64_code(head, len) && len >= 8 &&
	       get_le32(head + 4) == OPCODE_NOP;
}
