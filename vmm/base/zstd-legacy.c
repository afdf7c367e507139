/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: zstd without the formats of before its first release
 *
 * libzstd's decoder also knows frames of versions 0.5 to 0.7 (2016). No kernel
 * and no image has them, they are 90 KiB of this program, and untrusted images
 * would reach them. These stand for their entries, so that the linker leaves
 * them out: such a frame is a damaged one. Linked by name, not from the
 * library: nothing refers to it before libzstd does. Weak, for a libzstd that
 * has more entries than these.
 */
#include <stddef.h>
#include <zstd_errors.h>

size_t zstd_no_legacy(void);

/* Also what stands for a context, which only these functions look at. */
size_t zstd_no_legacy(void)
{
	return (size_t)-ZSTD_error_version_unsupported;
}

#define GONE(name) \
	size_t name(void) __attribute__((weak, alias("zstd_no_legacy")));
#define VERSION_GONE(v)                            \
	GONE(ZBUFFv##v##_createDCtx)               \
	GONE(ZBUFFv##v##_freeDCtx)                 \
	GONE(ZBUFFv##v##_decompressInitDictionary) \
	GONE(ZBUFFv##v##_decompressContinue)       \
	GONE(ZSTDv##v##_createDCtx)                \
	GONE(ZSTDv##v##_freeDCtx)                  \
	GONE(ZSTDv##v##_decompress_usingDict)      \
	GONE(ZSTDv##v##_findFrameSizeInfoLegacy)   \
	GONE(ZSTDv##v##_getFrameParams)

VERSION_GONE(05)
VERSION_GONE(06)
VERSION_GONE(07)
