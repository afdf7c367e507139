/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: virtio devices and their transports
 *
 *	rng.c, console.c      what a device does: struct virtio_class, six hooks
 *	virtio.c              status, features, queues, notification: common
 *	pci.c, mmio.c         registers and interrupts: struct virtio_transport
 *	queue*.c              the rings
 *
 * Spec: VIRTIO 1.3. Only the modern interface; VERSION_1 must be accepted.
 *
 * Rules that hold for every device: the transports' registers are written
 * while the driver sets up and are latched when a queue is enabled; writes
 * that come out of order are dropped and counted. When the driver breaks the
 * rules of a ring, the device sets DEVICE_NEEDS_RESET, says so once, and does
 * nothing more until it is reset.
 *
 * Threads: register handlers on vCPU threads under virtio_device.lock. A kick
 * is an eventfd, signalled by the hypervisor (doorbell) or by the register
 * handler; the event loop that serves the queue then calls the device. What
 * guards a ring, and with it virtio_pop(), virtio_push() and virtio_done(), is
 * the queue's lock (virtio_queue_lock()): virtio_device.lock, or for classes
 * that are @parallel one lock for each queue, so that queues work on threads
 * of their own. Lock order: pci_root.lock, virtio_device.lock, queue locks in
 * the order of their numbers, then what pci.h and vmm/ say.
 *
 * A queue takes requests while it is started: enabled by the driver, which has
 * set DRIVER_OK. Before anything else happens to a started queue (reset of
 * queue or device, saving, the end of the machine) it is stopped: the stop hook
 * ends what is in flight, and from then on nobody touches the guest's memory
 * for this queue.
 */
#ifndef DEVICES_VIRTIO_VIRTIO_H
#define DEVICES_VIRTIO_VIRTIO_H

#include <stdatomic.h>

#include "vmm/base/iov.h"

#include "devices/device.h"
#include "devices/virtio/queue.h"

#define VIRTIO_VENDOR	   0x1af4
#define VIRTIO_QUEUES_MAX  1024
#define VIRTIO_CONFIG_MAX  256
#define VIRTIO_NO_VECTOR   0xffff
#define VIRTIO_KICK_BUDGET 64 /* requests per kick; then others get a turn */

/* VIRTIO 1.3 sec. 2.1 */
enum virtio_status {
	VIRTIO_ACKNOWLEDGE = 1,
	VIRTIO_DRIVER = 2,
	VIRTIO_DRIVER_OK = 4,
	VIRTIO_FEATURES_OK = 8,
	VIRTIO_NEEDS_RESET = 64,
	VIRTIO_FAILED = 128,
};

/* VIRTIO 1.3 sec. 6 */
#define VIRTIO_F_INDIRECT_DESC	 (1ULL << 28)
#define VIRTIO_F_EVENT_IDX	 (1ULL << 29)
#define VIRTIO_F_VERSION_1	 (1ULL << 32)
#define VIRTIO_F_ACCESS_PLATFORM (1ULL << 33)
#define VIRTIO_F_RING_PACKED	 (1ULL << 34)
#define VIRTIO_F_IN_ORDER	 (1ULL << 35)
#define VIRTIO_F_RING_RESET	 (1ULL << 40)

/* VIRTIO 1.3 sec. 5 */
enum virtio_id {
	VIRTIO_ID_NET = 1,
	VIRTIO_ID_BLOCK = 2,
	VIRTIO_ID_CONSOLE = 3,
	VIRTIO_ID_RNG = 4,
	VIRTIO_ID_BALLOON = 5,
	VIRTIO_ID_RTC = 17,
	VIRTIO_ID_PMEM = 27,
	VIRTIO_ID_VSOCK = 19,
	VIRTIO_ID_FS = 26,
};

struct virtio_device;

/**
 * struct virtio_class - what a device does; struct device_class.data
 * @id: device type; realize may change virtio_device.id
 * @pci_class: 24-bit PCI class code
 * @queue_count: queues; realize may change virtio_device.queue_count
 * @queue_size: most entries of each; realize may change
 *	virtio_device.queue_size
 * @config_bytes: size of its configuration, at most VIRTIO_CONFIG_MAX; realize
 *	may change virtio_device.config_bytes
 * @parallel: each queue has a lock of its own
 * @in_order: requests are always given back in the order they were taken
 * @offload: somebody else (the kernel, a vhost-user back end) works on the
 *	rings: kicks go to virtio_queue.kick only, @notify is never called
 * @realize: allocate what the device needs; before the transport exists
 * @unrealize: the mirror, after the transport is gone
 * @loop: the event loop that serves @queue; NULL, or the hook is NULL: main
 * @halt: end the threads that run such loops; before the transport goes, which
 *	they use
 * @save, @load: the device's own state; queues and transport are saved around
 *	it; load validates and returns 0 or -EBADMSG
 *
 * The six hooks; all but @notify on a vCPU thread or the main thread with
 * virtio_device.lock held; all but @notify may be NULL:
 * @reset: forget everything; queues are stopped, and reset right after
 * @get_features: device-specific feature bits offered
 * @set_features: the driver accepted @features; false refuses them
 * @get_config: copy the current configuration, @config_bytes, to @config
 * @set_config: the driver wrote [@offset, @offset + @len), inside of it
 * @notify: the driver notified @queue; the queue's event loop, the queue's lock
 *	held; take at most VIRTIO_KICK_BUDGET requests (virtio_more())
 *
 * For devices with requests in flight or with offloaded queues; threads and
 * lock as above, no queue's lock held; each may be NULL:
 * @limit: of the feature bits that all devices share (rings, notifications)
 *	those that this one can live with; at realize
 * @start: @queue is started; a kick follows
 * @stop: finish or give up what is in flight on @queue, which takes nothing new
 *	already; may wait for the queue's thread, which must not need
 *	virtio_device.lock
 * @call_changed: virtio_call_fd() of the started @queue is another one
 */
struct virtio_class {
	enum virtio_id id;
	uint32_t pci_class;
	unsigned queue_count;
	uint16_t queue_size;
	uint16_t config_bytes;
	bool parallel, in_order, offload;
	int (*realize)(struct virtio_device *vd, struct diag *d);
	void (*unrealize)(struct virtio_device *vd);
	struct event_loop *(*loop)(struct virtio_device *vd, unsigned queue);
	void (*halt)(struct virtio_device *vd);
	void (*save)(const struct virtio_device *vd, struct stream_out *out);
	int (*load)(struct virtio_device *vd, struct stream_in *in);

	void (*reset)(struct virtio_device *vd);
	uint64_t (*get_features)(struct virtio_device *vd);
	bool (*set_features)(struct virtio_device *vd, uint64_t features);
	void (*get_config)(struct virtio_device *vd, uint8_t *config);
	void (*set_config)(struct virtio_device *vd, unsigned offset,
			   const uint8_t *data, unsigned len);
	void (*notify)(struct virtio_device *vd, unsigned queue);

	uint64_t (*limit)(struct virtio_device *vd);
	void (*start)(struct virtio_device *vd, unsigned queue);
	void (*stop)(struct virtio_device *vd, unsigned queue);
	void (*call_changed)(struct virtio_device *vd, unsigned queue);
};

/**
 * struct virtio_queue - one queue and its registers
 * @reg: what the driver has programmed; copied when it enables the queue
 * @vector: MSI-X vector or VIRTIO_NO_VECTOR
 * @lock: guards @ring of a parallel device
 * @started: see the DOC block; written with virtio_device.lock held
 * @loop: serves the queue
 * @kick: eventfd that the driver's notification signals
 * @call: eventfd that interrupts, for virtio_call_fd(); made when needed
 * @doorbell: address of the registered doorbell, 0 if there is none
 */
struct virtio_queue {
	struct virtio_device *vd;
	unsigned index;
	pthread_mutex_t lock;
	struct virtq ring;
	struct virtq_layout reg;
	uint16_t vector;
	atomic_bool started;
	struct event_loop *loop;
	struct event_source kick, call;
	gpa_t doorbell;
};

/**
 * struct virtio_transport - how the device is attached
 * @size_bytes: of its state, virtio_device.bus
 * @data_only: the driver's VMM answers control queues itself, and shares only
 *	those that move data (vhost-user, of a network device)
 * @realize, @unrealize: registers, interrupts
 * @describe: into the platform description; may be NULL
 * @reset: power-on state of its own registers (not the device's)
 * @device_reset: the driver reset the device; lock held
 * @interrupt: tell the driver; @q NULL: the configuration changed; any thread,
 *	with or without locks of virtio
 * @call_fd: an eventfd that does the same for @q without us, or -1; may be
 *	NULL; lock held
 * @doorbells: register (all enabled queues that have none) or remove; lock
 *	held
 * @save, @load: its own registers
 */
struct virtio_transport {
	const char *name;
	size_t size_bytes;
	bool data_only;
	int (*realize)(struct virtio_device *vd, struct diag *d);
	void (*unrealize)(struct virtio_device *vd);
	int (*describe)(const struct virtio_device *vd, struct platform *p,
			struct diag *d);
	void (*reset)(struct virtio_device *vd);
	void (*device_reset)(struct virtio_device *vd);
	void (*interrupt)(struct virtio_device *vd, struct virtio_queue *q);
	int (*call_fd)(struct virtio_device *vd, struct virtio_queue *q);
	void (*doorbells)(struct virtio_device *vd, bool on);
	void (*save)(const struct virtio_device *vd, struct stream_out *out);
	int (*load)(struct virtio_device *vd, struct stream_in *in,
		    struct diag *d);
};

/* Which one: --platform transport=. */
extern const struct virtio_transport virtio_pci;
extern const struct virtio_transport virtio_mmio; /* may be mmio-stub.c */

/**
 * struct virtio_device - first member of every virtio device
 * @cls: what it does; @transport, @bus: how it is attached
 * @lock: guards everything below, except the rings of a parallel device
 * @offered, @features: feature bits; @features are the driver's, final with
 *	VIRTIO_FEATURES_OK
 * @status: enum virtio_status; any thread may read it and set NEEDS_RESET
 * @generation: of the configuration, counts its changes; any thread
 * @config_vector: MSI-X vector of configuration changes
 * @offered_word, @driver_word: feature select registers
 * @queue_select: queue whose registers are shown
 * @queue: @queue_count of them, each of at most @queue_size entries
 * @config_bytes: size of the configuration
 * @id: device type
 * @paused: nothing is started; main thread
 * @misuse: how often the driver broke a rule
 */
struct virtio_device {
	struct device dev;
	const struct virtio_class *cls;
	const struct virtio_transport *transport;
	void *bus;
	pthread_mutex_t lock;
	uint64_t offered, features;
	_Atomic uint8_t status;
	atomic_uint generation;
	uint16_t config_vector;
	uint32_t offered_word, driver_word;
	uint16_t queue_select;
	unsigned queue_count;
	uint16_t queue_size, config_bytes, id;
	bool paused;
	struct virtio_queue *queue;
	atomic_uint misuse;
};

/** VIRTIO_DEVICE_CLASS - the device_class hooks that all virtio devices share;
 * struct virtio_device must be the device's first member */
#define VIRTIO_DEVICE_CLASS                                                 \
	.realize = virtio_realize, .describe = virtio_describe,             \
	.reset = virtio_power_on, .save = virtio_save, .load = virtio_load, \
	.unrealize = virtio_unrealize, .pause = virtio_pause,               \
	.resume = virtio_resume

/* The hooks of VIRTIO_DEVICE_CLASS; see struct device_class. */
int virtio_realize(struct device *dev, const struct device_place *place,
		   struct diag *d);
int virtio_describe(const struct device *dev, struct platform *p,
		    struct diag *d);
void virtio_power_on(struct device *dev);
void virtio_save(const struct device *dev, struct stream_out *out);
int virtio_load(struct device *dev, struct stream_in *in, struct diag *d);
void virtio_unrealize(struct device *dev);
void virtio_pause(struct device *dev);
void virtio_resume(struct device *dev);

/* ---- for devices; with the queue's lock held --------------------------- */

/** virtio_queue_lock, virtio_queue_unlock - what guards @queue's ring: for
 * event handlers of the device's own, on the queue's loop */
void virtio_queue_lock(struct virtio_device *vd, unsigned queue);
void virtio_queue_unlock(struct virtio_device *vd, unsigned queue);

/**
 * virtio_pop - virtq_pop() that deals with broken queues
 * Return: true and a request, or false: none, not started, or broken.
 */
bool virtio_pop(struct virtio_device *vd, unsigned queue,
		struct virtq_chain *chain);

/** virtio_push - give a request back; the interrupt is for virtio_done() */
void virtio_push(struct virtio_device *vd, unsigned queue,
		 const struct virtq_chain *chain, uint32_t written);

/** virtio_push_all - the same for @count requests, seen all or none */
void virtio_push_all(struct virtio_device *vd, unsigned queue,
		     const struct virtq_used *used, unsigned count);

/** virtio_done - after a batch of pushes: interrupt if the driver wants it */
void virtio_done(struct virtio_device *vd, unsigned queue);

/**
 * virtio_more - decide whether a notify hook goes on
 * @taken: requests it has taken; counted up here
 *
 * Call it before each virtio_pop(). When the budget is spent, the queue is
 * kicked again, so that other devices get their turn.
 *
 *	while (virtio_more(vd, q, &taken) && virtio_pop(vd, q, &chain)) …
 */
bool virtio_more(struct virtio_device *vd, unsigned queue, unsigned *taken);

/** virtio_kick - call the notify hook for @queue again, from its event loop;
 * any thread, no lock need be held */
void virtio_kick(struct virtio_device *vd, unsigned queue);

/**
 * virtio_watch - have @queue's loop serve its kicks, as it does at first; or
 * not, as somebody else does it: between start and stop of a queue that is
 * offloaded, where not the whole class is; any thread, no lock need be held
 */
void virtio_watch(struct virtio_device *vd, unsigned queue, bool on);

/**
 * virtio_call_fd - an eventfd that interrupts the driver for @queue, for those
 * who work on offloaded queues; virtio_device.lock held
 *
 * The MSI-X vector's own where that is possible, else one that the main loop
 * forwards. Return: the descriptor, which stays ours, or -errno.
 */
int virtio_call_fd(struct virtio_device *vd, unsigned queue);

/* Entries that a front end may expect of a served queue: libblkio and DPDK
 * take 256 and up to 1024, and no message says how many there are. */
#define VIRTIO_SERVED_QUEUE 1024

/** virtio_queue_most - for virtio_device.queue_size: what the configuration
 * says, or, for a served device, enough for any front end */
static inline uint16_t virtio_queue_most(const struct virtio_device *vd,
					 uint32_t configured)
{
	return (uint16_t)(vd->dev.env->transport
				  ? MAX(configured, VIRTIO_SERVED_QUEUE)
				  : configured);
}

/** virtio_config_changed - count and tell the driver; any thread */
void virtio_config_changed(struct virtio_device *vd);

/** virtio_misused - the driver broke a rule that concerns the whole device:
 * DEVICE_NEEDS_RESET; any thread; @why is a literal */
void virtio_misused(struct virtio_device *vd, const char *why);

/** virtio_lost - the device cannot go on, through no fault of the driver:
 * DEVICE_NEEDS_RESET; any thread; @why is a literal */
void virtio_lost(struct virtio_device *vd, const char *why);

/* ---- for transports; with virtio_device.lock held ---------------------- */

/** virtio_set_status - the driver writes the status register; 0 resets */
void virtio_set_status(struct virtio_device *vd, uint8_t status);

/** virtio_offered - 32 of the offered features, for the select register */
uint32_t virtio_offered(const struct virtio_device *vd);

/** virtio_accepted, virtio_accept - the driver's features likewise; dropped
 * after FEATURES_OK */
uint32_t virtio_accepted(const struct virtio_device *vd);
void virtio_accept(struct virtio_device *vd, uint32_t bits);

/** virtio_selected - the queue of the select register, NULL if it is too big */
struct virtio_queue *virtio_selected(struct virtio_device *vd);

/** enum virtio_ring - an address register */
enum virtio_ring { VIRTIO_DESC, VIRTIO_AVAIL, VIRTIO_USED };

/** virtio_queue_set_addr - write @value under @mask; dropped while the queue
 * is enabled */
void virtio_queue_set_addr(struct virtio_queue *q, enum virtio_ring ring,
			   uint64_t value, uint64_t mask);

/** virtio_queue_set_size - dropped while enabled or if not within the limit,
 * and, on split rings, if not a power of two */
void virtio_queue_set_size(struct virtio_queue *q, uint16_t size);

/** virtio_queue_enable - latch the registers and start the queue */
void virtio_queue_enable(struct virtio_queue *q);

/** virtio_queue_reset - VIRTIO 1.3 sec. 2.6.1; only with the feature */
void virtio_queue_reset(struct virtio_queue *q);

/** virtio_queue_disable - stop the queue; its registers stay */
void virtio_queue_disable(struct virtio_queue *q);

/**
 * virtio_queue_enable_at - virtio_queue_enable() in the middle of the ring
 * @base: as in virtq_base_set()
 * @track: memory of requests in flight for virtq_track(), or NULL
 *
 * Return: 0, or -errno of virtq_enable(), virtq_base_set() or virtq_track();
 * then the queue is not enabled.
 */
int virtio_queue_enable_at(struct virtio_queue *q, uint32_t base, void *track);

/** virtio_queue_disable_at - virtio_queue_disable(); @base: where an enabled
 * queue was */
void virtio_queue_disable_at(struct virtio_queue *q, uint32_t *base);

/** virtio_vector_changed - what transport.call_fd() answers for @q may have */
void virtio_vector_changed(struct virtio_queue *q);

/** virtio_notify - the notification register was written with @queue */
void virtio_notify(struct virtio_device *vd, uint64_t queue);

/** virtio_process - let the device work on @queue, for a transport that
 * watches kicks of its own; the queue's event loop, no lock held */
void virtio_process(struct virtio_device *vd, unsigned queue);

/** virtio_config_read, virtio_config_write - access the device's
 * configuration; what is outside reads as zero and drops writes */
uint64_t virtio_config_read(struct virtio_device *vd, uint64_t offset,
			    unsigned size_bytes);
void virtio_config_write(struct virtio_device *vd, uint64_t offset,
			 unsigned size_bytes, uint64_t value);

#endif
