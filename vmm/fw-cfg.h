/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: what the machine tells firmware by fw_cfg
 *
 * QEMU, docs/specs/fw_cfg.rst: numbered items that firmware reads. Some have
 * fixed keys. The others are files: sorted by name, numbered upward from
 * FW_CFG_FILE_FIRST, and listed in the item FW_CFG_DIRECTORY. This is the list
 * of items; devices/legacy/fw-cfg.c is the device through which the guest
 * sees them.
 *
 * Threads: changed on the main thread while no vCPU runs, else const but for
 * the content of items that the guest may write.
 */
#ifndef VMM_FW_CFG_H
#define VMM_FW_CFG_H

#include "vmm/base/diag.h"
#include "vmm/base/types.h"

/** enum fw_cfg_key - fixed keys; numbers are little-endian */
enum fw_cfg_key {
	FW_CFG_SIGNATURE = 0x00, /* "QEMU" */
	FW_CFG_ID = 0x01,	 /* u32: bit 0 registers, bit 1 DMA */
	FW_CFG_RAM_SIZE = 0x03,	 /* u64: bytes */
	FW_CFG_CPUS = 0x05,	 /* u16: at boot */
	FW_CFG_KERNEL_SIZE = 0x08,
	FW_CFG_INITRD_SIZE = 0x0b,
	FW_CFG_CPUS_MAX = 0x0f, /* u16 */
	FW_CFG_KERNEL = 0x11,
	FW_CFG_INITRD = 0x12,
	FW_CFG_CMDLINE_SIZE = 0x14,
	FW_CFG_CMDLINE = 0x15, /* with its NUL */
	FW_CFG_SETUP_SIZE = 0x17,
	FW_CFG_SETUP = 0x18, /* the real-mode part of a bzImage */
	FW_CFG_DIRECTORY = 0x19,
	FW_CFG_FILE_FIRST = 0x20,
};

/** FW_CFG_NAME_BYTES - a file's name, with its NUL */
#define FW_CFG_NAME_BYTES 56

/** FW_CFG_FILES_MAX - our choice; QEMU has room for as few as 32 */
#define FW_CFG_FILES_MAX 96

/* Files of the machine's own. */
#define FW_CFG_E820	     "etc/e820"
#define FW_CFG_ACPI_RSDP     "etc/acpi/rsdp"
#define FW_CFG_ACPI_TABLES   "etc/acpi/tables"
#define FW_CFG_ACPI_LOADER   "etc/table-loader"
#define FW_CFG_RESERVED_END  "etc/reserved-memory-end"
#define FW_CFG_SMBIOS_ENTRY  "etc/smbios/smbios-anchor"
#define FW_CFG_SMBIOS_TABLES "etc/smbios/smbios-tables"

/**
 * struct fw_cfg_content - what an item holds
 * @data: bytes, copied; NULL: they are in a file
 * @size_bytes: of the item
 * @fd: regular file, stays the caller's and must stay open as long as the item
 *	is there; it may shrink
 * @offset_bytes: where the item begins in it
 * @written: the guest may change @data, and has: @len bytes from @at are now
 *	@now; vCPU thread, with the device's lock held; NULL: read-only
 * @opaque: passed to @written
 */
struct fw_cfg_content {
	const void *data;
	uint32_t size_bytes;
	int fd;
	uint64_t offset_bytes;
	void (*written)(void *opaque, uint32_t at, const uint8_t *now,
			uint32_t len);
	void *opaque;
};

/** struct fw_cfg - the list of items; opaque */
struct fw_cfg;

/** struct fw_cfg_item - one of them; opaque */
struct fw_cfg_item;

/** fw_cfg_new - a list of nothing but signature, features and an empty
 * directory; NULL: no memory */
struct fw_cfg *fw_cfg_new(void);

/** fw_cfg_free - accepts NULL */
void fw_cfg_free(struct fw_cfg *fc);

/** fw_cfg_clear - as it was when it was new */
void fw_cfg_clear(struct fw_cfg *fc);

/** fw_cfg_set - content of a fixed key; replaces what it had; 0 or -ENOMEM */
int fw_cfg_set(struct fw_cfg *fc, enum fw_cfg_key key,
	       const struct fw_cfg_content *c, struct diag *d);

/** fw_cfg_set_number - the same for a little-endian number of @bytes (2, 4, 8)
 */
int fw_cfg_set_number(struct fw_cfg *fc, enum fw_cfg_key key, uint64_t value,
		      unsigned bytes, struct diag *d);

/**
 * fw_cfg_add - add a file
 * @name: shorter than FW_CFG_NAME_BYTES
 *
 * Return: 0, -EEXIST (there is one of that name), -ENAMETOOLONG, -ENOSPC (more
 * than FW_CFG_FILES_MAX), -ENOMEM.
 */
int fw_cfg_add(struct fw_cfg *fc, const char *name,
	       const struct fw_cfg_content *c, struct diag *d);

/** fw_cfg_find - the item with that key, or NULL */
const struct fw_cfg_item *fw_cfg_find(const struct fw_cfg *fc, uint16_t key);

/** fw_cfg_size - bytes that the item has; 0 for NULL */
uint32_t fw_cfg_size(const struct fw_cfg_item *item);

/**
 * fw_cfg_read - some of an item's bytes
 * @at, @len: must lie inside of it
 *
 * Any thread. Return: 0, or -errno of pread(2), -ENODATA if the file has become
 * too short; @buf is then undefined.
 */
int fw_cfg_read(const struct fw_cfg_item *item, uint32_t at, void *buf,
		uint32_t len);

/**
 * fw_cfg_write - the guest changes some bytes of an item
 *
 * Under the device's lock. Return: false if they are not inside of an item that
 * it may write.
 */
bool fw_cfg_write(const struct fw_cfg_item *item, uint32_t at, const void *buf,
		  uint32_t len);

#endif
