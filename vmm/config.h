/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: the configuration of one machine
 *
 * Filled from the command line by the schema table (vmm/schema.h), later from
 * the REST API by the same table. Plain data; strings are owned by the struct
 * and freed by vm_config_release(). Field names follow Cloud Hypervisor's
 * VmConfig.
 */
#ifndef VMM_CONFIG_H
#define VMM_CONFIG_H

#include "vmm/base/diag.h"
#include "vmm/base/types.h"

/** struct u32_list - numbers; @v is malloc'ed, @count of them */
struct u32_list {
	uint32_t *v;
	unsigned count;
};

/** struct affinity - queue @index is served on one of the host's @cpus */
struct affinity {
	uint32_t index;
	struct u32_list cpus;
};

/** struct affinity_list - @v is malloc'ed, @count of them */
struct affinity_list {
	struct affinity *v;
	unsigned count;
};

/** struct pair - @value belongs to @id */
struct pair {
	uint32_t id, value;
};

/** struct pair_list - @v is malloc'ed, @count of them */
struct pair_list {
	struct pair *v;
	unsigned count;
};

/** struct word_list - @v and each of its @count words are malloc'ed */
struct word_list {
	char **v;
	unsigned count;
};

/** enum char_mode - back end of a serial port or console */
enum char_mode {
	CHAR_OFF,
	CHAR_NULL,
	CHAR_TTY,
	CHAR_PTY,
	CHAR_FILE,
	CHAR_SOCKET,
};

/** struct char_config - where a serial port or console is connected */
struct char_config {
	enum char_mode mode;
	char *file;   /* CHAR_FILE: path, created or truncated */
	char *socket; /* CHAR_SOCKET: UNIX socket path, we listen */
};

/** CONSOLE_PORTS_MAX - most ports of the console beside the first; our choice:
 * with the first port's and the control queues it has 64 queues */
#define CONSOLE_PORTS_MAX 30

/** struct console_port_config - --console-port; @name: in the guest */
struct console_port_config {
	char *name;
	struct char_config back;
};

/** struct debug_console_config - --debug-console; @iobase: its port */
struct debug_console_config {
	struct char_config out;
	uint32_t iobase;
};

/** struct tpm_config - --tpm; @socket: control socket of swtpm */
struct tpm_config {
	char *id, *socket;
};

/** enum three_way - on, off, or what the host offers */
enum three_way { AUTO, ON, OFF };

/** enum tables_choice - which hardware description the guest gets */
enum tables_choice { TABLES_AUTO, TABLES_ACPI, TABLES_FDT };

/** enum transport_choice - how virtio devices are attached */
enum transport_choice { TRANSPORT_PCI, TRANSPORT_MMIO };

/** struct topology - threads per core x cores per die x dies per package x
 * packages; the product is max_vcpus; all 0: one thread, one core, one die per
 * package */
struct topology {
	uint32_t threads_per_core, cores_per_die, dies_per_package, packages;
};

/**
 * struct cpus_config - --cpus
 * @boot_vcpus: there at power-on; @max_vcpus: that there is room for
 * @max_phys_bits: most guest-physical address bits; 0: what the host has
 * @nested: x86_64: vCPUs have VMX or SVM
 */
struct cpus_config {
	uint32_t boot_vcpus, max_vcpus;
	struct topology topology;
	uint32_t max_phys_bits;
	bool nested;
	bool sve, pauth;    /* arm64: asked for by features= */
	enum three_way pmu; /* arm64 */
};

/**
 * struct memory_config - --memory; the switches are those of struct ram_options
 * @size_bytes: 0: RAM is made of zones
 * @hugepage_size_bytes: 0: the system's default
 */
struct memory_config {
	uint64_t size_bytes;
	bool mergeable, shared, hugepages, prefault, thp;
	uint64_t hugepage_size_bytes;
};

/** CONFIG_ZONES_MAX - most memory zones; our choice */
#define CONFIG_ZONES_MAX 32

/**
 * struct zone_config - --memory-zone
 * @file: file or directory; NULL: memory of its own
 * @ram: its thp is not used, --memory's is for all zones
 * @host_nodes: NUMA nodes of the host that it comes from; none: any
 */
struct zone_config {
	char *id, *file;
	struct memory_config ram;
	struct u32_list host_nodes;
};

/** CONFIG_SEGMENTS_MAX - most PCI segments, as in Cloud Hypervisor */
#define CONFIG_SEGMENTS_MAX 96

/** CONFIG_NODES_MAX - most NUMA nodes; our choice */
#define CONFIG_NODES_MAX 64

/**
 * struct numa_config - --numa
 * @memory_zones: ids of zones
 * @distances, @latencies, @bandwidths: to other nodes; relative (10 to 254),
 *	nanoseconds, megabytes per second
 */
struct numa_config {
	uint32_t guest_numa_id;
	struct u32_list cpus;
	struct word_list memory_zones;
	struct pair_list distances, latencies, bandwidths;
	struct u32_list pci_segments;
};

/**
 * struct bucket_config - one limit: @size tokens every @refill_time_ms
 * @size: bytes or operations; 0: unlimited, then the others are 0 too
 * @one_time_burst: tokens on top that never come back once used
 */
struct bucket_config {
	uint64_t size, one_time_burst, refill_time_ms;
};

/** struct rate_config - bw_… and ops_… keys of a device, see token-bucket.h */
struct rate_config {
	struct bucket_config bandwidth, ops;
};

/** struct rng_config - --rng; @src: file that random bytes come from */
struct rng_config {
	char *src;
	struct rate_config rate;
	uint32_t pci_segment;
};

/** enum vhost_mode - which end of a vhost-user socket we are */
enum vhost_mode { VHOST_CLIENT, VHOST_SERVER };

/**
 * struct net_config - --net
 * @tap: name of the host's interface; NULL: a new one, vmtap0 or the like
 * @ip, @mask: one more address of the host's side, v4 or v6; NULL: none
 * @mac: of the guest's side; NULL: made up
 * @host_mac: of the host's side; NULL: left alone
 * @mtu: of both sides; 0: the host's, not told to the guest
 * @fd: descriptors of a tap's queues instead of @tap, or of datagram sockets
 * @num_queues: two for each pair
 * @offload_tso, @offload_ufo, @offload_csum: may be offered to the guest
 * @socket: of the vhost-user back end that serves it, if @vhost_user; see
 *	@vhost_mode for who listens there
 * @vhost: the kernel's vhost-net moves the packets
 */
struct net_config {
	char *id;
	char *tap, *ip, *mask, *mac, *host_mac;
	uint32_t mtu;
	struct u32_list fd;
	uint32_t num_queues, queue_size;
	bool offload_tso, offload_ufo, offload_csum;
	bool vhost_user;
	char *socket;
	enum vhost_mode vhost_mode;
	bool vhost;
	struct rate_config rate;
	uint32_t pci_segment;
};

/** enum disk_type - image_type=; not given: raw, with a hint in the log */
enum disk_type {
	DISK_UNTYPED,
	DISK_RAW,
	DISK_QCOW2,
	DISK_VHD, /* from here on refused */
	DISK_VHDX,
	DISK_VMDK,
};

/** enum lock_granularity - which offsets of an image are locked */
enum lock_granularity { LOCK_BYTE_RANGE, LOCK_FULL };

/**
 * struct disk_config - --disk; strings that were not given are NULL
 * @socket: where the vhost-user back end that serves it listens, if
 *	@vhost_user
 */
struct disk_config {
	char *path, *id, *serial, *rate_limit_group, *socket;
	bool vhost_user;
	enum disk_type image_type;
	bool readonly, direct, backing_files, sparse, disable_io_uring;
	uint32_t num_queues, queue_size;
	struct affinity_list queue_affinity;
	enum lock_granularity lock_granularity;
	struct rate_config rate;
	uint32_t pci_segment;
};

/** struct rate_group_config - --rate-limit-group */
struct rate_group_config {
	char *id;
	struct rate_config rate;
};

/**
 * struct balloon_config - --balloon
 * @size_bytes: to start with
 * @deflate_on_oom: the driver lets air out when the guest is out of memory
 * @free_page_reporting: the driver says which pages it has no use for
 */
struct balloon_config {
	uint64_t size_bytes;
	bool deflate_on_oom, free_page_reporting;
	char *id;
	uint32_t pci_segment;
};

/**
 * struct pmem_config - --pmem
 * @file: file, block device, or directory for a temporary file
 * @size_bytes: of the guest's memory; 0: as long as the file
 * @discard_writes: the guest's writes stay off the file
 */
struct pmem_config {
	char *file;
	uint64_t size_bytes;
	bool discard_writes;
	char *id;
	uint32_t pci_segment;
};

/**
 * struct vsock_config - --vsock
 * @cid: the guest's context ID, 3 to 0xfffffffe
 * @socket: UNIX socket path, we listen; the guest's connections to port N go
 *	to "@socket_N"; NULL with @vhost
 * @vhost: the kernel's vhost-vsock moves the packets
 */
struct vsock_config {
	char *id;
	uint32_t cid;
	char *socket;
	bool vhost;
	uint32_t pci_segment;
};

/**
 * struct fs_config - --fs
 * @tag: 1 to 36 bytes; @socket: of virtiofsd
 */
struct fs_config {
	char *tag, *socket;
	uint32_t num_queues, queue_size;
	char *id;
	uint32_t pci_segment;
};

/**
 * struct vhost_user_config - --generic-vhost-user
 * @device_type: see vhost_user_device_type()
 * @queue_sizes: one for each queue
 */
struct vhost_user_config {
	char *device_type, *socket;
	struct u32_list queue_sizes;
	char *id;
	uint32_t pci_segment;
};

/** vhost_user_device_type - the number of a virtio device type that is named
 * or is a number; 0: there is none */
uint16_t vhost_user_device_type(const char *text);

/** struct pci_segment_config - --pci-segment; a field has its key's name */
struct pci_segment_config {
	uint32_t pci_segment;
	uint32_t mmio32_aperture_weight, mmio64_aperture_weight;
};

/** struct platform_config - --platform; @num_pci_segments: see
 * vm_config_pci_segments(); @access_platform: virtio devices offer
 * VIRTIO_F_ACCESS_PLATFORM; @vmgenid: there is a generation ID; @vmclock: there
 * is a VMClock; @pptt: x86_64: CPUs are in a PPTT too; @system_manufacturer and
 * all below: see vmm/identity.h; NULL if not given */
struct platform_config {
	enum tables_choice tables;
	enum transport_choice transport;
	uint32_t num_pci_segments;
	bool access_platform, vmgenid, vmclock, pptt;
	char *system_manufacturer, *system_product_name, *system_version;
	char *system_serial_number, *serial_number;
	char *system_uuid, *uuid;
	char *system_sku_number, *system_family, *chassis_asset_tag;
	char *oem_strings;
};

/**
 * struct fw_cfg_config - --fw-cfg-config
 * @disable: there is no fw_cfg
 * @e820: it has the memory map
 * @kernel, @cmdline, @initramfs: it has those, if they are given
 * @acpi_table: it has the ACPI tables, if the machine is described by them
 * @items: as given; see fw_cfg_given_new(); NULL: none
 */
struct fw_cfg_config {
	unsigned disable;
	bool e820, kernel, cmdline, initramfs, acpi_table;
	char *items;
};

/** FW_CFG_GIVEN_MAX - items in items=[...] */
#define FW_CFG_GIVEN_MAX 64

/**
 * struct fw_cfg_given_item - one of items=[...]: @name, and @file or @string
 * @fd: of @file, once somebody has opened it; -1
 */
struct fw_cfg_given_item {
	const char *name, *file, *string;
	int fd;
};

/** struct fw_cfg_given - items=[...], cut up; the strings point into @text */
struct fw_cfg_given {
	char *text;
	unsigned count;
	struct fw_cfg_given_item item[FW_CFG_GIVEN_MAX];
};

/**
 * fw_cfg_given_new - read items=[...]
 * @out: receives them; freed by fw_cfg_given_free()
 * @items: "[name=NAME,file=FILE:name=NAME,string=TEXT]"
 *
 * Return: 0, -EINVAL, -ENOMEM.
 */
int fw_cfg_given_new(struct fw_cfg_given **out, const char *items,
		     struct diag *d);

/** fw_cfg_given_free - accepts NULL; closes nothing */
void fw_cfg_given_free(struct fw_cfg_given *g);

/**
 * struct vm_config - everything; a field has the name of its option
 * @firmware, @firmware_vars, @kernel, @initramfs, @cmdline, @log_file: NULL if
 * not given
 * @verbosity: how often -v was given
 */
struct vm_config {
	char *firmware, *firmware_vars, *kernel, *initramfs, *cmdline;
	struct fw_cfg_config *fw_cfg; /* at most one */
	unsigned fw_cfg_count;
	struct cpus_config cpus;
	struct memory_config memory;
	struct zone_config *zones;
	unsigned zone_count;
	struct numa_config *numa;
	unsigned numa_count;
	struct char_config serial, console;
	uint32_t console_segment; /* of PCI */
	struct console_port_config *console_port;
	unsigned console_port_count;
	struct debug_console_config *debug_console; /* at most one */
	unsigned debug_console_count;
	struct rng_config rng;
	struct balloon_config *balloon; /* at most one */
	unsigned balloon_count;
	struct pmem_config *pmem;
	unsigned pmem_count;
	struct vsock_config *vsock; /* at most one */
	unsigned vsock_count;
	struct fs_config *fs;
	unsigned fs_count;
	struct vhost_user_config *generic_vhost_user;
	unsigned generic_vhost_user_count;
	struct platform_config platform;
	struct pci_segment_config *pci_segments;
	unsigned pci_segment_count;
	struct net_config *net;
	unsigned net_count;
	struct tpm_config *tpm; /* at most one */
	unsigned tpm_count;
	struct disk_config *disks;
	unsigned disk_count;
	struct rate_group_config *rate_groups;
	unsigned rate_group_count;
	bool pvpanic, watchdog, rtc;
	char *hypervisor; /* "auto", "kvm", "fake" */
	char *log_file;
	unsigned verbosity;
};

/** CONFIG_ID_MAX - most characters of a device's id */
#define CONFIG_ID_MAX 63

struct schema;

/** vm_config_schema - every option and key of struct vm_config */
extern const struct schema vm_config_schema;

/**
 * vm_config_init - a configuration of nothing but defaults
 * @c: overwritten; owned strings afterwards, see vm_config_release()
 * @arch: name of the architecture, which decides some defaults
 *
 * Return: 0 or -ENOMEM.
 */
int vm_config_init(struct vm_config *c, const char *arch, struct diag *d);

/** vm_config_release - free all strings; accepts a zeroed config */
void vm_config_release(struct vm_config *c);

/** vm_config_complete - fill in what follows from other fields: max_vcpus, ids
 * of devices ("_disk0"). Return: 0 or -ENOMEM */
int vm_config_complete(struct vm_config *c, struct diag *d);

/**
 * vm_config_check - is this a machine? Every range, and the rules between
 * fields
 * @c: completed configuration
 * @arch: name of the architecture
 *
 * Says nothing about files, this host, or the architecture's memory map.
 * Return: 0, or -EINVAL and one sentence with option, value and limit.
 */
int vm_config_check(const struct vm_config *c, const char *arch,
		    struct diag *d);

/** vm_config_ram_bytes - RAM of the machine, all zones together */
uint64_t vm_config_ram_bytes(const struct vm_config *c);

/** vm_config_ram_words - how a sentence about vm_config_ram_bytes() begins,
 * before the number */
const char *vm_config_ram_words(const struct vm_config *c);

/** vm_config_pci_segments - how many there are, where there is PCI */
static inline uint32_t vm_config_pci_segments(const struct vm_config *c)
{
	return c->platform.num_pci_segments ? c->platform.num_pci_segments : 1;
}

/** vm_config_ram_shared - can other processes map all of it? */
bool vm_config_ram_shared(const struct vm_config *c);

/** vm_config_fw_cfg - what goes through fw_cfg; NULL: the machine has none
 * @needed: its firmware does nothing without */
const struct fw_cfg_config *vm_config_fw_cfg(const struct vm_config *c,
					     bool needed);

/** vm_config_warn - log what is allowed but unwise on this host */
void vm_config_warn(const struct vm_config *c);

#endif
