/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: a disk from which firmware starts something, see boot-disk.h
 *
 * UEFI starts programs from FAT file systems (UEFI 2.10 sec. 13.3): of a whole
 * disk, or a partition of a GPT (sec. 5.3) or an MBR (sec. 5.2), of whatever
 * type: edk2 and U-Boot try them all. A CD (ECMA-119) may have one inside
 * (El Torito), too.
 *
 * Images are hostile, and only a hint comes of what they say. Partitions of
 * disks with sectors of 4 KiB are not looked at.
 */
#include "vmm/boot-disk.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/file.h"
#include "vmm/base/log.h"

#define SECTOR 512
#define CD_AT  0x8001 /* "CD001" */
#define GPT_4K 4096   /* "EFI PART" */

enum { MBR_ENTRIES = 446, MBR_ENTRY_BYTES = 16, MBR_COUNT = 4, MBR_START = 8 };
enum { GPT_ENTRIES_LBA = 72, GPT_COUNT = 80, GPT_ENTRY_BYTES = 84 };
enum { GPT_START = 32, GPT_COUNT_MAX = 128 };

static bool read_all(int fd, uint64_t at, void *buf, size_t len)
{
	return file_read_at(fd, at, buf, len) == (int64_t)len;
}

/* What makes FAT file systems writes these words; firmware takes less. */
static bool is_fat(const uint8_t *sector)
{
	return get_le16(sector + 510) == 0xaa55 &&
	       (!memcmp(sector + 54, "FAT", 3) ||
		!memcmp(sector + 82, "FAT", 3));
}

static bool fat_at(int fd, uint64_t lba)
{
	uint8_t sector[SECTOR];

	return read_all(fd, lba * SECTOR, sector, sizeof(sector)) &&
	       is_fat(sector);
}

static bool in_mbr(int fd, const uint8_t *mbr)
{
	const uint8_t *start = mbr + MBR_ENTRIES + MBR_START;

	for (unsigned i = 0; i < MBR_COUNT; i++, start += MBR_ENTRY_BYTES)
		if (fat_at(fd, get_le32(start)))
			return true;
	return false;
}

static bool in_gpt(int fd)
{
	uint8_t head[SECTOR], start[8];
	uint64_t at;

	if (!read_all(fd, SECTOR, head, sizeof(head)) ||
	    memcmp(head, "EFI PART", 8) != 0)
		return false;
	at = get_le64(head + GPT_ENTRIES_LBA) * SECTOR + GPT_START;
	for (unsigned i = MIN(get_le32(head + GPT_COUNT), GPT_COUNT_MAX); i;
	     i--, at += get_le32(head + GPT_ENTRY_BYTES))
		if (read_all(fd, at, start, sizeof(start)) &&
		    fat_at(fd, get_le64(start)))
			return true;
	return false;
}

static bool has_word(int fd, uint64_t at, const char *word)
{
	char there[8];

	return read_all(fd, at, there, strlen(word)) &&
	       !memcmp(there, word, strlen(word));
}

static bool has_fat(int fd)
{
	uint8_t first[SECTOR];

	if (!read_all(fd, 0, first, sizeof(first)))
		return true; /* who knows */
	return is_fat(first) || in_mbr(fd, first) || in_gpt(fd) ||
	       has_word(fd, CD_AT, "CD001") || has_word(fd, GPT_4K, "EFI PART");
}

static bool may_start(const struct disk_config *k)
{
	bool may = true;
	int fd;

	if (k->vhost_user || k->image_type == DISK_QCOW2)
		return true;
	fd = open(k->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd >= 0) {
		may = has_fat(fd);
		close(fd);
	}
	return may;
}

bool boot_disk_missing(const struct vm_config *c)
{
	for (unsigned i = 0; i < c->disk_count; i++)
		if (may_start(&c->disks[i]))
			return false;
	return true;
}

void boot_disk_advise(const struct vm_config *c)
{
	/* OVMF has a driver for shares, and any device may be a disk. */
	bool more = c->net_count || c->fs_count || c->generic_vhost_user_count;

	if (c->firmware && !c->kernel && !more && boot_disk_missing(c))
		log_warn("--firmware: no --disk has a FAT file system (an EFI "
			 "system partition), where firmware finds programs: "
			 "give a disk image that has one, or --kernel");
}
