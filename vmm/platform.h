/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: the platform description: what the guest's machine consists of
 *
 * One plain structure that says where everything is. arch fills in CPUs, RAM,
 * windows and the interrupt controller; each device adds itself through its
 * describe() hook. Everything that tells the guest about its machine (FDT,
 * ACPI, CPUID, MPIDR) is generated from this and nothing else, so the
 * tables of any configuration can be built on any host.
 *
 * Threads: filled by the main thread while the machine is built, then const.
 */
#ifndef VMM_PLATFORM_H
#define VMM_PLATFORM_H

#include "vmm/base/diag.h"
#include "vmm/base/types.h"
#include "vmm/caches.h"
#include "vmm/config.h"

#define PLAT_RAM_MAX	  4
#define PLAT_PARTS_MAX	  (CONFIG_ZONES_MAX + PLAT_RAM_MAX)
#define PLAT_NODES_MAX	  CONFIG_NODES_MAX
#define PLAT_SEGMENTS_MAX CONFIG_SEGMENTS_MAX
#define PLAT_PMEM_MAX	  16
#define PLAT_DEVICES_MAX  64
#define PLAT_RANGES_MAX	  3
#define PLAT_PROPS_MAX	  6
#define PLAT_REDIST_MAX	  2

/** enum plat_bus - memory, or x86's ports */
enum plat_bus { PLAT_MMIO, PLAT_PIO };

/** struct plat_range - addresses; @size_bytes 0 means absent */
struct plat_range {
	enum plat_bus bus;
	uint64_t base;
	uint64_t size_bytes;
};

/** struct plat_irq - wire @pin (IOAPIC pin, or SPI number from 0), active
 * high; @level or rising edge */
struct plat_irq {
	uint32_t pin;
	bool level;
};

/** enum plat_prop_kind - PROP_CLOCK: @u32 references to the 24 MHz APB clock,
 * @str is clock-names (u32 names, NUL-separated) */
enum plat_prop_kind { PROP_FLAG, PROP_U32, PROP_CLOCK };

/** struct plat_prop - an FDT property beyond compatible, reg, interrupts */
struct plat_prop {
	const char *name;
	enum plat_prop_kind kind;
	uint32_t u32;
	const char *str;
};

/**
 * enum plat_role - what a generator must know beyond "a device is there"
 * @PLAT_PLAIN: a device node is all
 * @PLAT_CONSOLE: stdout-path, SPCR
 * @PLAT_PCI_HOST: described by struct plat_pci
 * @PLAT_GED: ACPI generic event device; irq[0] = power button
 * @PLAT_VMGENID: generation ID in range[0]; irq[0] = it changed
 * @PLAT_VMCLOCK: VMClock in range[0]; irq[0] = it changed
 * @PLAT_RESET_SLEEP: FADT reset, sleep control and status register
 * @PLAT_PM_TIMER: FADT X_PM_TMR_BLK
 * @PLAT_TPM: ACPI TPM2 table; range[0] holds a command response buffer
 * @PLAT_POWER_GPIO: GPIO controller whose line 3 is the power key
 * @PLAT_FLASH: where firmware keeps its variables
 * @PLAT_WATCHDOG: WDAT, see enum plat_watchdog
 */
enum plat_role {
	PLAT_PLAIN,
	PLAT_CONSOLE,
	PLAT_PCI_HOST,
	PLAT_GED,
	PLAT_VMGENID,
	PLAT_VMCLOCK,
	PLAT_RESET_SLEEP,
	PLAT_PM_TIMER,
	PLAT_TPM,
	PLAT_POWER_GPIO,
	PLAT_FLASH,
	PLAT_WATCHDOG,
};

/**
 * enum plat_watchdog - 32-bit registers of PLAT_WATCHDOG that ACPI tables name,
 * as offsets in range[0]; they are devices/legacy/watchdog-sp805.c's
 */
enum plat_watchdog {
	WATCHDOG_CONTROL = 0x008,
	WATCHDOG_INTCLR = 0x00c,
	WATCHDOG_PERIOD = 0x100,
	WATCHDOG_LEFT = 0x104,
	WATCHDOG_FIRED = 0x108,
};

/** WATCHDOG_RUN - in WATCHDOG_CONTROL: count, and reset the machine */
#define WATCHDOG_RUN 3

/** WATCHDOG_MS_MAX - longest WATCHDOG_PERIOD: twice 2^32 ticks of 24 MHz */
#define WATCHDOG_MS_MAX 357913

/**
 * struct plat_dev - one device
 * @role: see enum plat_role
 * @name: FDT node name without unit address: "serial", "rtc"
 * @compatible: FDT compatible list: strings separated by NUL, the list ended
 *	by an empty string; NULL: not in the FDT
 * @hid: ACPI _HID ("PNP0501", "ARMH0011", "LNRO0005"); NULL: not in the DSDT
 * @uid: ACPI _UID, unique per @hid
 * @range: addresses, @range_count of them
 * @irq: wires, @irq_count of them
 * @prop: more FDT properties, @prop_count of them
 *
 * All strings are literals or live as long as the device.
 */
struct plat_dev {
	enum plat_role role;
	const char *name;
	const char *compatible;
	const char *hid;
	uint32_t uid;
	struct plat_range range[PLAT_RANGES_MAX];
	unsigned range_count;
	struct plat_irq irq[2];
	unsigned irq_count;
	struct plat_prop prop[PLAT_PROPS_MAX];
	unsigned prop_count;
};

/**
 * struct plat_cpu - one possible vCPU
 * @hw_id: APIC id (x86_64) or MPIDR affinity bits (arm64)
 * @thread, @core, @die, @package: position in the topology, each counted
 *	within its parent
 * @node: NUMA node
 */
struct plat_cpu {
	uint64_t hw_id;
	uint32_t thread, core, die, package;
	uint32_t node;
};

/** enum plat_intc_kind - local APICs with an IOAPIC, a GIC, or what arch/fake
 * has */
enum plat_intc_kind { INTC_APIC, INTC_GICV3, INTC_GICV2, INTC_FAKE };

/**
 * struct plat_intc - interrupt controller
 * @ioapic: x86_64: registers of the user-space IOAPIC
 * @pin_count: wires: IOAPIC pins or SPIs
 * @dist: arm64: GICD; @redist: GICR regions (GICv3); @cpu_if: GICC (GICv2)
 * @its: ITS, size 0 if absent
 * @pmu: PMU interrupt (PPI 7, INTID 23) is wired
 */
struct plat_intc {
	enum plat_intc_kind kind;
	struct plat_range ioapic;
	uint32_t pin_count;
	struct plat_range dist, cpu_if, its;
	struct plat_range redist[PLAT_REDIST_MAX];
	unsigned redist_count;
	bool pmu;
};

/**
 * struct plat_segment - a PCI host bridge and what is behind it
 * @ecam: configuration space, 1 MiB per bus; @bus_count buses from 0; size 0:
 *	where the guest puts it (platform.q35, and then there is one segment)
 * @mmio32, @mmio64: memory windows
 * @node: its NUMA node
 */
struct plat_segment {
	struct plat_range ecam;
	uint32_t bus_count;
	struct plat_range mmio32, mmio64;
	uint32_t node;
};

/**
 * struct plat_pci - PCI
 * @segment: by number; @segment_count of them, 0: there is no PCI
 *
 * All that follows is of segment 0; the others have neither ports nor wires,
 * so their devices interrupt by messages only.
 * @pio: port window (base 0 on x86_64 means ports 0x1000 up; on arm64 base is
 *	the MMIO address of port 0)
 * @pio_chipset: ports that functions of the chipset say they have; size 0: none
 * @mmio64_fixed: its mmio64 must begin where it does
 * @cf8: legacy configuration ports exist (x86_64)
 * @intx: wires of INTA..INTD after swizzling
 * @intx_present: the wires exist
 */
struct plat_pci {
	struct plat_segment segment[PLAT_SEGMENTS_MAX];
	unsigned segment_count;
	struct plat_range pio, pio_chipset;
	bool mmio64_fixed;
	bool cf8;
	bool intx_present;
	uint32_t intx[4];
};

/**
 * struct plat_identity - what the machine calls itself; NULL: not said
 * @uuid: as SMBIOS has it; all zeros: none
 * @oem_strings: "[a,b]" or "a"
 *
 * All strings live as long as the configuration.
 */
struct plat_identity {
	const char *manufacturer, *product, *version, *serial;
	const char *sku, *family, *asset_tag;
	uint8_t uuid[16];
	const char *oem_strings;
};

/**
 * struct plat_part - RAM that is in one range, one zone and one NUMA node
 * @zone: index in config.zones; 0 without zones
 * @node: its NUMA node; 0 without NUMA
 */
struct plat_part {
	struct plat_range range;
	uint32_t zone, node;
};

/** struct plat_link - from the CPUs of one node to the memory of another:
 * @distance (10 to 254, ACPI's), and, 0 if not known, @latency_ns and
 * @bandwidth_mb (megabytes per second) */
struct plat_link {
	uint32_t distance, latency_ns, bandwidth_mb;
};

/**
 * struct plat_numa - NUMA nodes, counted from 0
 * @hmat: some latency or bandwidth is known
 * @link: from the first node to the second
 */
struct plat_numa {
	uint32_t node_count;
	bool hmat;
	struct plat_link link[PLAT_NODES_MAX][PLAT_NODES_MAX];
};

/** struct platform - see the DOC block. @cpu is owned and has @cpu_count
 * entries, of which the first @cpu_enabled are there at boot; @numa is owned,
 * NULL: no NUMA */
struct platform {
	const char *arch;
	struct plat_range ram[PLAT_RAM_MAX];
	unsigned ram_count;
	struct plat_numa *numa;
	struct plat_part part[PLAT_PARTS_MAX]; /* the same RAM, in its order */
	unsigned part_count;
	/* persistent memory, in the order of config.pmem; not RAM */
	struct plat_range pmem[PLAT_PMEM_MAX];
	unsigned pmem_count;
	struct plat_range vmgenid, vmclock; /* memory of these devices */
	struct plat_range rom;	 /* firmware executes in place; size 0: none */
	struct plat_range flash; /* for its variables; size 0: no place */
	bool q35; /* x86_64: firmware wants the chipset of QEMU's PC */
	struct topology topology;
	struct plat_cpu *cpu;
	unsigned cpu_count, cpu_enabled;
	unsigned pa_bits;
	bool sve, pauth; /* arm64: features given to the vCPUs */
	uint64_t clidr;	 /* arm64: CLIDR_EL1 of the vCPUs; 0: unknown */
	struct cache_level cache[CACHE_LEVELS]; /* of levels in @clidr */
	bool nested; /* x86_64: vCPUs have VMX or SVM */
	bool pptt;   /* x86_64: there is a PPTT, as always on arm64 */
	struct plat_identity identity;
	enum tables_choice tables;
	struct plat_intc intc;
	struct plat_pci pci;
	struct plat_range virtio_mmio; /* window for virtio-mmio devices */
	uint64_t virtio_mmio_stride;   /* bytes from one device to the next */
	uint32_t virtio_mmio_pin;      /* wire of the first one, then upward */
	struct plat_range pvpanic;     /* where pvpanic lives */
	struct plat_range tpm;	       /* place for a TPM; size 0: none */
	struct plat_dev dev[PLAT_DEVICES_MAX];
	unsigned dev_count;
};

/** platform_release - free what the platform owns; accepts a zeroed one */
void platform_release(struct platform *p);

/**
 * platform_add - append @dev (copied)
 * Return: 0, or -ENOSPC and @d when PLAT_DEVICES_MAX are there.
 */
int platform_add(struct platform *p, const struct plat_dev *dev,
		 struct diag *d);

/**
 * platform_memory - next piece of RAM that is in one range and one node
 * @next: of parts; 0 at first, then what the last call left
 * @range, @node: receive it
 *
 * Return: false if there is no more.
 */
bool platform_memory(const struct platform *p, unsigned *next,
		     struct plat_range *range, uint32_t *node);

/** platform_cache_type - what the CPUs have at @level, from 1 up */
enum cache_type platform_cache_type(const struct platform *p, unsigned level);

/**
 * platform_cache_levels - levels of cache that the guest is told of, or 0
 *
 * The last one belongs to a die, the others to a core. Linux's scheduler looks
 * for an idle CPU among those that share the last one: where there is only one
 * level, it is not told, since alone with its cache no CPU would ever take work
 * from another.
 */
unsigned platform_cache_levels(const struct platform *p);

/** platform_cache_owner - first of the CPUs that share @cpu's cache of @level
 * (1 to platform_cache_levels()) */
unsigned platform_cache_owner(const struct platform *p, unsigned cpu,
			      unsigned level);

/** PLAT_SEGMENT_IDS - ids of devices that interrupt by messages, for each
 * segment: its bus 0. KVM's ITS has 16 bits for all of them */
#define PLAT_SEGMENT_IDS 256

/** platform_msi_ids - ids that a segment passes on, from bus 0 on: only one
 * that is alone has room for those of all buses */
uint32_t platform_msi_ids(const struct platform *p);

/** platform_find - first device of @role, or NULL */
const struct plat_dev *platform_find(const struct platform *p,
				     enum plat_role role);

#endif
