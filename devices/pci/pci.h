/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: PCI: host bridge, configuration space, BARs, MSI-X, INTx
 *
 * A host bridge for each segment, with bus 0 and single-function devices in
 * slots 1 to 31 in the order of their creation. Ports and interrupt wires
 * belong to segment 0 alone. Configuration space is an image of 256 bytes per
 * function plus two masks that say how each bit takes writes, built from
 * tables of struct pci_reg: reads are a table lookup, and only writes to the
 * command register, BARs and MSI-X control do work.
 *
 * BARs have an address from power-on (so a directly booted kernel keeps them)
 * and decode at once. The guest may size and move them; a BAR that lands on
 * something else decodes nothing until that conflict is gone.
 *
 * Spec: PCI Local Bus 3.0; ECAM of PCI Express 5.0 sec. 7.2.2.
 * Limits: no PCI-to-PCI bridges, no I/O BARs, no expansion ROMs, no power
 * management; the bus-master bit is stored but does not gate DMA.
 *
 * Threads: configuration space from any vCPU under pci_root.lock, which all
 * segments share, as their BARs are on one bus. Lock order:
 * pci_root.lock, then the device's own lock, then pci_msix.lock and
 * pci_root.intx_lock, then what vmm/ locks inside. So a device may call
 * pci_msix_fire() and pci_intx_set() with its lock held, and never anything
 * else of this header.
 */
#ifndef DEVICES_PCI_PCI_H
#define DEVICES_PCI_PCI_H

#include <stdatomic.h>

#include "devices/device.h"

#define PCI_CONFIG_BYTES 256
#define PCI_BARS	 6
#define PCI_SLOTS	 32
#define PCI_UNMAPPED	 UINT64_MAX

/* PCI 3.0 sec. 6.1: configuration header type 00h */
enum {
	PCI_VENDOR = 0x00,
	PCI_DEVICE = 0x02,
	PCI_COMMAND = 0x04,
	PCI_STATUS = 0x06,
	PCI_REVISION = 0x08,
	PCI_CLASS = 0x09,
	PCI_HEADER_TYPE = 0x0e,
	PCI_BAR0 = 0x10,
	PCI_SUB_VENDOR = 0x2c,
	PCI_SUB_DEVICE = 0x2e,
	PCI_ROM = 0x30,
	PCI_CAP_LIST = 0x34,
	PCI_INT_LINE = 0x3c,
	PCI_INT_PIN = 0x3d,
	PCI_CAPS_FIRST = 0x40,
};

/* PCI 3.0 sec. 6.2.2 and 6.2.3 */
enum {
	PCI_COMMAND_IO = 1 << 0,
	PCI_COMMAND_MEMORY = 1 << 1,
	PCI_COMMAND_MASTER = 1 << 2,
	PCI_COMMAND_PARITY = 1 << 6,
	PCI_COMMAND_SERR = 1 << 8,
	PCI_COMMAND_INTX_OFF = 1 << 10,
	PCI_STATUS_INTX = 1 << 3,
	PCI_STATUS_CAP_LIST = 1 << 4,
};

enum { PCI_CAP_VENDOR = 0x09, PCI_CAP_MSIX = 0x11 };

/**
 * struct pci_reg - one configuration register and how it takes writes
 * @offset: from the start of configuration space (of the capability for
 *	pci_func_add_cap())
 * @size_bytes: 1, 2 or 4
 * @value: after reset
 * @rw: bits that the guest sets and clears
 * @rw1c: bits that the guest clears by writing 1
 *
 * Bits in neither mask ignore writes; what no register covers reads as zero.
 */
struct pci_reg {
	uint8_t offset;
	uint8_t size_bytes;
	uint32_t value, rw, rw1c;
};

/** struct pci_ident - who a function is; @class_code is 24 bits: base class,
 * sub-class, interface; @intx: uses INTA where the platform has the wires;
 * @slot: where it must be, 0: in the next free one */
struct pci_ident {
	uint16_t vendor, device, sub_vendor, sub_device;
	uint32_t class_code;
	uint8_t revision;
	bool intx;
	uint8_t slot;
};

/**
 * struct pci_bar_spec - a memory BAR to be made
 * @index: 0 to 5; with @is64 also the next one is used
 * @is64: 64-bit; from the window above 4 GiB where there is one
 * @size_bytes: a power of two, at least 16; 4096 or more keeps the guest's
 *	pages apart
 * @ops, @opaque: register handlers; they lock themselves
 */
struct pci_bar_spec {
	unsigned index;
	bool is64;
	uint64_t size_bytes;
	const struct bus_ops *ops;
	void *opaque;
};

struct pci_func;

/**
 * struct pci_func_ops - hooks of a function; each may be NULL. Called with
 * pci_root.lock held, on a vCPU thread (or the main thread during reset)
 * @bar_moved: BAR @index now answers at @base (PCI_UNMAPPED: nowhere);
 *	re-register doorbells
 * @msix_switched: the guest turned MSI-X on or off; may be NULL
 * @window_read: the guest is about to read inside the window set by
 *	pci_func_window(): refresh pci_func.config
 * @window_written: the guest wrote inside it
 */
struct pci_func_ops {
	void (*bar_moved)(struct pci_func *f, unsigned index, uint64_t base);
	void (*msix_switched)(struct pci_func *f);
	void (*window_read)(struct pci_func *f);
	void (*window_written)(struct pci_func *f);
};

/**
 * struct pci_bar - a memory BAR; @region.size_bytes 0: not implemented
 * @region: its registers; base is the address last decoded
 * @home: address after reset
 * @is64: takes two BAR slots
 * @mapped: on the bus now
 */
struct pci_bar {
	struct bus_region region;
	uint64_t home;
	bool is64, mapped;
};

/** struct pci_vector - one MSI-X table entry */
struct pci_vector {
	struct msi msi;
	struct msi_message msg;
	bool masked;
};

/**
 * struct pci_msix - MSI-X state (PCI 3.0 sec. 6.8.2)
 * @count: vectors, 0: no MSI-X; @vector is that long
 * @cap: offset of the capability
 * @table, @pba: offsets in BAR @bar
 * @lock: guards vectors, @enabled and @masked (the function mask)
 * @refused: vectors that the hypervisor would not take, see log_guest()
 */
struct pci_msix {
	unsigned count;
	uint8_t cap;
	uint32_t table, pba;
	pthread_mutex_t lock;
	bool enabled, masked;
	struct pci_vector *vector;
	atomic_uint refused;
};

/**
 * struct pci_func - one PCI function; part of its device's struct
 * @config: what the guest reads; @rw, @rw1c: how it takes writes
 * @reset: what @config is after reset
 * @window_first, @window_last: bytes of @config that call the window hooks
 * @intx: level the device wants on its wire; guarded by pci_root.intx_lock
 * @intx_off: INTX_OFF bit of the command register; same lock
 */
struct pci_func {
	struct pci_root *root;
	const struct pci_func_ops *ops;
	const char *name;
	uint8_t devfn;
	uint8_t cap_next, cap_last;
	uint8_t window_first, window_last;
	uint8_t config[PCI_CONFIG_BYTES];
	uint8_t rw[PCI_CONFIG_BYTES];
	uint8_t rw1c[PCI_CONFIG_BYTES];
	uint8_t reset[PCI_CONFIG_BYTES];
	struct pci_bar bar[PCI_BARS];
	struct pci_msix msix;
	bool intx, intx_off, intx_driven;
};

/** pci_host_class - a segment's host bridge, 8086:0d57 or q35's: ECAM, CF8/CFC
 * where the platform has them, function 00:00.0. Segment 0's must be in
 * device_env.pci before others are made */
extern const struct device_class pci_host_class;

/** pvpanic_class - devices/pci/pvpanic.c */
extern const struct device_class pvpanic_class;

/** pci_host_root - the bus behind a "pci-host" device */
struct pci_root *pci_host_root(struct device *dev);

/**
 * pci_func_init - take a slot and fill in the header
 * @f: zeroed
 * @root: the bus
 * @name: for messages; must outlive @f
 * @ops: hooks, not NULL
 *
 * The function is not visible before pci_func_plug(). Main thread.
 *
 * Return: 0 or -ENOSPC (all slots taken, or the one of @ident).
 */
int pci_func_init(struct pci_func *f, struct pci_root *root, const char *name,
		  const struct pci_ident *ident, const struct pci_func_ops *ops,
		  struct diag *d);

/**
 * pci_func_add_reg - add a register to the header or a capability
 *
 * A register outside of configuration space or with a bit in both masks is
 * our own bug (CHECK).
 */
void pci_func_add_reg(struct pci_func *f, const struct pci_reg *reg);

/**
 * pci_func_add_cap - append a capability
 * @id: capability id
 * @size_bytes: of the whole capability, at least 2
 * @regs: its registers behind the two-byte header, offsets from its start
 * @reg_count: of them
 *
 * Return: its offset in configuration space.
 */
uint8_t pci_func_add_cap(struct pci_func *f, uint8_t id, uint8_t size_bytes,
			 const struct pci_reg *regs, size_t reg_count);

/**
 * pci_func_add_bar - a memory BAR with an address from the bridge's windows
 * Return: 0 or -ENOSPC (window full).
 */
int pci_func_add_bar(struct pci_func *f, const struct pci_bar_spec *spec,
		     struct diag *d);

/** pci_func_window - call the window hooks for [@first, @last] */
void pci_func_window(struct pci_func *f, uint8_t first, uint8_t last);

/**
 * pci_func_plug - make the function visible and map its BARs
 * Return: 0 or what bus_add() refused with.
 */
int pci_func_plug(struct pci_func *f, struct diag *d);

/** pci_func_release - unplug, free vectors and slot; accepts a zeroed or
 * half-made function */
void pci_func_release(struct pci_func *f);

/** pci_func_reset - power-on state; BARs return to where they were made;
 * vectors are bound to the machine's new VM, masked */
void pci_func_reset(struct pci_func *f);

/** pci_func_save, pci_func_load - configuration space and MSI-X; load is for
 * a function in reset state: 0 or -EBADMSG, then nothing has changed */
void pci_func_save(const struct pci_func *f, struct stream_out *out);
int pci_func_load(struct pci_func *f, struct stream_in *in, struct diag *d);

/**
 * pci_config_read, pci_config_write - access one function's registers
 * @offset: 0 to 4095; above 255 reads as ones and drops writes
 * @size_bytes: 1 to 8; any alignment
 *
 * With pci_root.lock held.
 */
uint64_t pci_config_read(struct pci_func *f, unsigned offset,
			 unsigned size_bytes);
void pci_config_write(struct pci_func *f, unsigned offset, unsigned size_bytes,
		      uint64_t value);

/* ---- MSI-X ------------------------------------------------------------- */

/**
 * pci_msix_init - add the capability and allocate the vectors
 * @count: 1 to 2048
 * @bar: which BAR holds both
 * @table, @pba: offsets in it, multiples of 8
 *
 * Return: 0, -ENOMEM, or what msi_init() refused with.
 */
int pci_msix_init(struct pci_func *f, unsigned count, unsigned bar,
		  uint32_t table, uint32_t pba, struct diag *d);

/** pci_msix_release - accepts a zeroed one */
void pci_msix_release(struct pci_func *f);

/** pci_msix_reset - all vectors masked and bound to the new VM */
void pci_msix_reset(struct pci_func *f);

/** pci_msix_control - the control register was written; root lock held */
void pci_msix_control(struct pci_func *f);

/** pci_msix_table_read/write - the guest accesses the table; any offset, size
 * and alignment; what is outside reads as zero and drops writes */
uint64_t pci_msix_table_read(struct pci_func *f, uint64_t offset,
			     unsigned size_bytes);
void pci_msix_table_write(struct pci_func *f, uint64_t offset,
			  unsigned size_bytes, uint64_t value);

/** pci_msix_pba_read - pending bits; the PBA ignores writes */
uint64_t pci_msix_pba_read(struct pci_func *f, uint64_t offset,
			   unsigned size_bytes);

/**
 * pci_msix_fire - signal vector @index
 *
 * Any thread. Stays pending while masked. Indexes beyond the table (such as
 * VIRTIO_MSI_NO_VECTOR) do nothing.
 *
 * Return: false if MSI-X is disabled: use INTx.
 */
bool pci_msix_fire(struct pci_func *f, unsigned index);

/**
 * pci_msix_fd - the eventfd that signals vector @index as pci_msix_fire() does
 * Return: the descriptor, which stays ours until the function is released, or
 * -1: MSI-X is off or there is no such vector.
 */
int pci_msix_fd(struct pci_func *f, unsigned index);

/** pci_msix_save, pci_msix_load - see pci_func_save(), which call them */
void pci_msix_save(const struct pci_func *f, struct stream_out *out);
int pci_msix_load(struct pci_func *f, struct stream_in *in, struct diag *d);

/* ---- INTx -------------------------------------------------------------- */

/** pci_intx_set - drive INTA of @f; any thread; a no-op where the platform
 * has no wires */
void pci_intx_set(struct pci_func *f, bool level);

/* ---- inside devices/pci ------------------------------------------------ */

/**
 * struct pci_root - a host bridge and its bus
 * @at: what the platform says of the segment
 * @lock: configuration space of all functions of all segments, @cf8; it is
 *	@own_lock of segment 0, which outlives the others
 * @intx_lock, @intx_users: how many functions drive each of INTA..INTD
 * @bridge, @lpc: functions of the chipset; @lpc only in segment 0 of
 *	platform.q35
 * @ecam: where the platform says, if it does; @pciexbar: on platform.q35, where
 *	the guest puts it
 * @func: by slot; NULL where nothing is plugged
 * @taken: bitmap of slots given out
 * @misuse, @no_smm: see log_guest()
 */
struct pci_root {
	struct device dev;
	const struct plat_segment *at;
	pthread_mutex_t *lock, own_lock;
	pthread_mutex_t intx_lock;
	unsigned intx_users[4];
	struct pci_func bridge, lpc;
	struct pci_func *func[PCI_SLOTS];
	uint32_t taken;
	uint32_t cf8;
	atomic_uint misuse, no_smm;
	struct bus_region ecam, pciexbar, cf8_port, cfc_port;
};

/** pci_q35_init - the functions that firmware made for a PC wants to see: fill
 * @root's bridge and lpc, which are not plugged yet; devices/pci/q35.c */
int pci_q35_init(struct pci_root *root, struct diag *d);

/** pci_q35_update - move pciexbar to where the bridge's registers say; root
 * lock held, or no vCPU runs */
void pci_q35_update(struct pci_root *root);

/** pci_root_alloc - a free address for a BAR of @f of @size_bytes
 * Return: 0 and *@base, or -ENOSPC. */
int pci_root_alloc(const struct pci_func *f, uint64_t size_bytes, bool is64,
		   uint64_t *base, struct diag *d);

#endif
