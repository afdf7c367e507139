/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: VMClock: tells a guest that its clock was interrupted
 *
 * Linux' include/uapi/linux/vmclock-abi.h (version 1); the device tree binding
 * is ptp/amazon,vmclock.yaml. A structure lies in memory that is not RAM (see
 * vmm/pmem.h), which the guest's programs can map. When a machine goes on from
 * saved state, its disruption marker and its generation counter change to
 * random values, its sequence count goes on by two, and one edge of the wire
 * says so. A reset is no disruption.
 *
 * The guest can overwrite its page, to its own harm only: nothing is read
 * from it, and a reset writes it again.
 *
 * Saved state: u32 sequence count, which must not come back to what the guest
 * saw; even.
 *
 * Not implemented: the time (counter_id says that there is none); warnings of
 * a disruption to come.
 *
 * Threads: everything on the main thread, while no vCPU runs, so that nobody
 * sees a sequence count that is odd.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "vmm/base/bytes.h"

#include "devices/legacy/legacy.h"

#define MAGIC		  0x4b4c4356 /* "VCLK" */
#define VERSION		  1
#define COUNTER_INVALID	  0xff /* no time */
#define FLAG_GENERATION	  (1 << 8)
#define FLAG_NOTIFICATION (1 << 9)

/* vmclock-abi.h: struct vmclock_abi; all little-endian */
struct abi {
	uint32_t magic, size;
	uint16_t version;
	uint8_t counter_id, time_type;
	uint32_t seq_count;
	uint64_t disruption_marker, flags;
	uint8_t pad[2], clock_status, leap_second_smearing_hint;
	uint16_t tai_offset_sec;
	uint8_t leap_indicator, counter_period_shift;
	uint64_t counter_value, counter_period_frac_sec;
	uint64_t counter_period_esterror, counter_period_maxerror;
	uint64_t time_sec, time_frac_sec, time_esterror, time_maxerror;
	uint64_t vm_generation_counter;
};

static_assert(sizeof(struct abi) == 112, "vmclock-abi.h: struct vmclock_abi");
static_assert(offsetof(struct abi, seq_count) == 12, "vmclock-abi.h");
static_assert(offsetof(struct abi, disruption_marker) == 16, "vmclock-abi.h");
static_assert(offsetof(struct abi, flags) == 24, "vmclock-abi.h");
static_assert(offsetof(struct abi, clock_status) == 34, "vmclock-abi.h");
static_assert(offsetof(struct abi, counter_value) == 40, "vmclock-abi.h");
static_assert(offsetof(struct abi, time_sec) == 72, "vmclock-abi.h");
static_assert(offsetof(struct abi, vm_generation_counter) == 104,
	      "vmclock-abi.h");

/** struct vmclock - @random: disruption marker and generation counter;
 * @fresh: they changed and the guest has not been told */
struct vmclock {
	struct device dev;
	struct irq_wire wire;
	uint64_t random[2];
	uint32_t seq;
	bool fresh;
};

static int draw(struct vmclock *v, struct diag *d)
{
	uint64_t random[2];

	/* Never cut short nor interrupted up to 256 bytes (getrandom(2)). */
	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return diag_errno(d, errno, "no random bytes for vmclock");
	memcpy(v->random, random, sizeof(random));
	return 0;
}

static int vmclock_realize(struct device *dev, const struct device_place *place,
			   struct diag *d)
{
	struct vmclock *v = container_of(dev, struct vmclock, dev);

	if (!place->wire.sink)
		return diag_fail(d, EINVAL, "vmclock: needs a wire");
	v->wire = place->wire;
	return draw(v, d);
}

#define FIELD(page, field) ((page) + offsetof(struct abi, field))

static void publish(const struct vmclock *v)
{
	const struct device_env *env = v->dev.env;
	const struct plat_range *at = &env->platform->vmclock;
	uint8_t page[sizeof(struct abi)] = { 0 };

	put_le32(FIELD(page, magic), MAGIC);
	put_le32(FIELD(page, size), (uint32_t)at->size_bytes);
	put_le16(FIELD(page, version), VERSION);
	*FIELD(page, counter_id) = COUNTER_INVALID;
	put_le32(FIELD(page, seq_count), v->seq);
	put_le64(FIELD(page, disruption_marker), v->random[0]);
	put_le64(FIELD(page, flags), FLAG_GENERATION | FLAG_NOTIFICATION);
	put_le64(FIELD(page, vm_generation_counter), v->random[1]);
	/* Nowhere to if the machine only describes itself. */
	if (!env->tables_only)
		ram_write(env->ram, GPA(at->base), page, sizeof(page));
}

static void vmclock_reset(struct device *dev)
{
	struct vmclock *v = container_of(dev, struct vmclock, dev);

	v->fresh = false;
	publish(v);
}

static void vmclock_save(const struct device *dev, struct stream_out *out)
{
	stream_put_u32(out, ((const struct vmclock *)(const void *)dev)->seq);
}

static int vmclock_load(struct device *dev, struct stream_in *in,
			struct diag *d)
{
	struct vmclock *v = container_of(dev, struct vmclock, dev);
	uint32_t seq = stream_get_u32(in);
	int err;

	if (in->failed || seq % 2)
		return diag_fail(d, EBADMSG,
				 "vmclock: state is cut off or impossible");
	err = draw(v, d);
	if (err)
		return err;
	v->seq = seq + 2;
	v->fresh = true;
	return 0;
}

/* Not in load: memory and the interrupt controller may be loaded later. */
static void vmclock_resume(struct device *dev)
{
	struct vmclock *v = container_of(dev, struct vmclock, dev);

	if (!v->fresh)
		return;
	v->fresh = false;
	publish(v);
	irq_pulse(&v->wire);
}

static int vmclock_describe(const struct device *dev, struct platform *p,
			    struct diag *d)
{
	const struct vmclock *v = (const void *)dev;
	struct plat_dev out = {
		.role = PLAT_VMCLOCK,
		.name = "ptp",
		.compatible = "amazon,vmclock\0",
		.range = { p->vmclock },
		.range_count = 1,
		.irq = { { .pin = v->wire.pin, .level = false } },
		.irq_count = 1,
	};

	static_assert(offsetof(struct vmclock, dev) == 0, "first member");
	return platform_add(p, &out, d);
}

const struct device_class vmclock_class = {
	.name = "vmclock",
	.size_bytes = sizeof(struct vmclock),
	.realize = vmclock_realize,
	.describe = vmclock_describe,
	.reset = vmclock_reset,
	.save = vmclock_save,
	.load = vmclock_load,
	.resume = vmclock_resume,
};
