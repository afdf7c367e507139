/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: how the options of struct vm_config are described
 *
 * config.c has the machine's own options, the list of all, and the rules
 * between them. A family of devices has a file of its own, config-NAME.c, with
 * the option (its keys, its item struct from config.h) and the rules inside
 * an item. Included by vmm/config*.c only.
 */
#ifndef VMM_CONFIG_IMPL_H
#define VMM_CONFIG_IMPL_H

#include "vmm/cli.h"
#include "vmm/config.h"
#include "vmm/schema.h"

/* Most that --cpus takes, so that --numa can have a table of them. */
#define VCPUS_MAX 4096

/* A field of struct vm_config, or of an item. */
#define AT(member)	      offsetof(struct vm_config, member)
#define ITEM_AT(type, member) offsetof(struct type, member)
#define CHOICES(words)	      .choice = (words), .choice_count = ARRAY_SIZE(words)
#define KEYS(keys)	      .key = (keys), .key_count = ARRAY_SIZE(keys)
#define SINCE		      .since = "0.1"
#define MACHINE		      .verbs = CLI_MACHINE, SINCE
#define RUN		      .verbs = CLI_RUN, SINCE
/* Of a device that `spandrel device` serves, or of any program that stays. */
#define SERVED .verbs = CLI_MACHINE | CLI_SERVE, SINCE

/* The option makes items: vm_config.@list, a @type each, at most @times. */
#define ITEMS(member, number, type, times)                         \
	.list = true, .most = (times), .items_offset = AT(member), \
	.count_offset = AT(number), .item_bytes = sizeof(struct type)

/* The key of devices on PCI; @at: where the number of their segment is. */
#define SEGMENT_KEY(at)                                                        \
	{                                                                      \
		.name = "pci_segment", .type = SCHEMA_U32, .aside = true,      \
		.offset = (at), .max = CONFIG_SEGMENTS_MAX - 1, .preset = "0", \
		.doc = "PCI segment, from 0", SINCE                            \
	}

/* The key that every device has; the item struct has a char *id. */
#define ID_KEY(item)                                                           \
	{                                                                      \
		.name = "id", .type = SCHEMA_STRING,                           \
		.offset = ITEM_AT(item, id),                                   \
		.doc = "name of the device for the API and in messages", SINCE \
	}

/* Those of devices on PCI; the item struct has a pci_segment, too. */
#define PCI_KEYS(item) ID_KEY(item), SEGMENT_KEY(ITEM_AT(item, pci_segment))

/* The keys of what a vhost-user back end may serve instead of us. */
#define VHOST_USER_KEYS(item)                                     \
	{ .name = "vhost_user",                                   \
	  .type = SCHEMA_BOOL,                                    \
	  .offset = ITEM_AT(item, vhost_user),                    \
	  .preset = "off",                                        \
	  .doc = "a vhost-user back end at socket= serves it",    \
	  SINCE },                                                \
	{                                                         \
		.name = "socket", .type = SCHEMA_PATH,            \
		.offset = ITEM_AT(item, socket),                  \
		.doc = "where front end and back end meet", SINCE \
	}

/* What Cloud Hypervisor's devices have and ours do not yet. */
#define LATER_DEVICE "iommu pci_device_id"

/* ---- families of devices, each in its vmm/config-NAME.c ------------------ */

/* config-memory.c */
extern const struct schema_option memory_option, memory_zone_option;

/** check_memory - the rules of --memory and --memory-zone; 0 or -EINVAL */
int check_memory(const struct vm_config *c, struct diag *d);

/* config-numa.c */
extern const struct schema_option numa_option;

/** check_numa - the rules of --numa; after check_memory(); 0 or -EINVAL */
int check_numa(const struct vm_config *c, struct diag *d);

extern const struct schema_option console_port_option;

/** check_char_pair - may @name (at @s) and @other (at @v) be there together?
 * Two ports cannot share a terminal, a file or a socket; 0 or -EINVAL */
int check_char_pair(const struct char_config *s, const char *name,
		    const struct char_config *v, const char *other,
		    struct diag *d);

/** check_console_ports - the rules of --console-port; 0 or -EINVAL */
int check_console_ports(const struct vm_config *c, struct diag *d);

extern const struct schema_option net_option;

/** complete_nets - MAC addresses; 0 or -ENOMEM */
int complete_nets(struct vm_config *c, struct diag *d);

/** check_nets - the rules of --net; 0 or -EINVAL */
int check_nets(const struct vm_config *c, struct diag *d);

/* config-pci.c */
extern const struct schema_option pci_segment_option;

/** check_pci_segments - the rules of --pci-segment; 0 or -EINVAL */
int check_pci_segments(const struct vm_config *c, struct diag *d);

/* config-disk.c */
extern const struct schema_option disk_option, rate_group_option;
int check_disks(const struct vm_config *c, struct diag *d);
extern const struct schema_option balloon_option, pmem_option, rtc_option;

/** check_balloon - not more than all RAM; 0 or -EINVAL */
int check_balloon(const struct vm_config *c, struct diag *d);

/** check_pmem - each names a file; 0 or -EINVAL */
int check_pmem(const struct vm_config *c, struct diag *d);

/** vsock_option - --vsock */
extern const struct schema_option vsock_option;

/** check_vsock - what the table cannot say of --vsock; 0 or -EINVAL */
int check_vsock(const struct vm_config *c, struct diag *d);

extern const struct schema_option fw_cfg_option;

/** check_fw_cfg - the items of --fw-cfg-config; 0 or -EINVAL */
int check_fw_cfg(const struct vm_config *c, struct diag *d);

/** fs_option, generic_vhost_user_option - config-fs.c, config-vhost-user.c */
extern const struct schema_option fs_option, generic_vhost_user_option;

/** check_fs, check_generic_vhost_user - the rules of --fs and
 * --generic-vhost-user; 0 or -EINVAL */
int check_fs(const struct vm_config *c, struct diag *d);
int check_generic_vhost_user(const struct vm_config *c, struct diag *d);

/** struct given_key - @key of an item is not at its default */
struct given_key {
	bool given;
	const char *key;
};

/** check_own_keys - a device of a back end has none of @own, which are about
 * what that has; 0 or -EINVAL */
int check_own_keys(const char *who, const struct given_key *own, size_t count,
		   struct diag *d);

/** check_socket - @socket without @vhost_user is refused, else
 * check_vhost_user() */
int check_socket(const struct vm_config *c, const char *who, bool vhost_user,
		 const char *socket, struct diag *d);

/** check_vhost_user - what every device of a vhost-user back end needs: a
 * @socket (NULL: not given) and shared memory; @who: the option; 0 or
 * -EINVAL */
int check_vhost_user(const struct vm_config *c, const char *who,
		     const char *socket, struct diag *d);

#endif
