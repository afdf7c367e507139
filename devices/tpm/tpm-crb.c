/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: TPM 2.0 behind a command response buffer (CRB)
 *
 * The guest writes a command into the buffer and sets START; swtpm works on
 * it; its answer replaces the command and START clears itself. One locality,
 * number 0, which is always granted. If swtpm is gone, START clears at once
 * and the status register says that the TPM has failed.
 *
 * Spec: TCG PC Client Platform TPM Profile 1.05 sec. 6.5.3 (registers; times
 * at which a register ignores writes are not enforced where nothing depends
 * on them). ACPI describes it (TPM2 table, device MSFT0101); no device tree
 * binding exists.
 *
 * Not implemented: interrupts, other localities, save and load of swtpm's
 * state (a restored guest finds a TPM that was power-cycled).
 *
 * Threads: registers on vCPU threads, answers on the event loop, both under
 * the device's lock.
 */
#include <assert.h>
#include <errno.h>

#include "vmm/base/bytes.h"

#include "devices/legacy/fixed.h"
#include "devices/tpm/swtpm.h"
#include "devices/tpm/tpm.h"

/* sec. 6.5.3.1, table 42 */
enum {
	LOC_STATE = 0x00,
	LOC_CTRL = 0x08,
	LOC_STS = 0x0c,
	INTF_ID = 0x30,
	CTRL_REQ = 0x40,
	CTRL_STS = 0x44,
	CTRL_CANCEL = 0x48,
	CTRL_START = 0x4c,
	CMD_SIZE = 0x58,
	CMD_ADDR = 0x5c,
	RSP_SIZE = 0x64,
	RSP_ADDR = 0x68,
	BUFFER = 0x80,
	REGION_BYTES = 0x1000,
};
static_assert(REGION_BYTES - BUFFER == SWTPM_BUFFER_MAX, "the rest is buffer");

enum {
	LOC_STATE_VALID = 1 << 7,
	LOC_STATE_ASSIGNED = 1 << 1, /* and locality 0 in bits 4:2 */
	LOC_CTRL_REQUEST = 1 << 0,
	LOC_CTRL_RELINQUISH = 1 << 1,
	LOC_STS_GRANTED = 1 << 0,
	REQ_COMMAND_READY = 1 << 0,
	REQ_GO_IDLE = 1 << 1,
	STS_ERROR = 1 << 0,
	STS_IDLE = 1 << 1,
	START = 1 << 0,
};

/* Interface CRB, version 1, locality 0 only, supports CRB, chosen and locked;
 * the upper half has a vendor and a device: ours are PCI's "no vendor". */
enum {
	ID_TYPE_CRB = 1 << 0,
	ID_VERSION_CRB = 1 << 4,
	ID_CAP_CRB = 1 << 14,
	ID_SELECTOR_CRB = 1 << 17,
	ID_SELECTOR_LOCKED = 1 << 19,
};

/**
 * struct crb - see the DOC block
 * @assigned: the guest has asked for locality 0
 * @idle: between commands
 * @failed: swtpm is gone
 * @busy: swtpm works on a command
 * @buffer: command, then answer
 */
struct crb {
	struct device dev;
	struct fixed fixed;
	struct swtpm tpm;
	bool assigned, idle, failed, busy;
	uint8_t buffer[SWTPM_BUFFER_MAX];
};

static struct crb *owner(struct device *dev)
{
	return container_of(dev, struct crb, dev);
}

static const char *socket_path(const struct device *dev)
{
	return ((const struct tpm_config *)dev->item)->socket;
}

/* ---- registers ---------------------------------------------------------- */

static uint64_t buffer_gpa(const struct crb *c)
{
	return c->fixed.region.base + BUFFER;
}

/* All registers as bytes. */
static void image(const struct crb *c, uint8_t *regs)
{
	memset(regs, 0, BUFFER);
	put_le32(regs + LOC_STATE,
		 LOC_STATE_VALID | (c->assigned ? LOC_STATE_ASSIGNED : 0));
	put_le32(regs + LOC_STS, c->assigned ? LOC_STS_GRANTED : 0);
	put_le32(regs + INTF_ID, ID_TYPE_CRB | ID_VERSION_CRB | ID_CAP_CRB |
					 ID_SELECTOR_CRB | ID_SELECTOR_LOCKED);
	put_le32(regs + INTF_ID + 4, UINT32_MAX);
	put_le32(regs + CTRL_STS,
		 (c->failed ? STS_ERROR : 0) | (c->idle ? STS_IDLE : 0));
	put_le32(regs + CTRL_START, c->busy ? START : 0);
	put_le32(regs + CMD_SIZE, SWTPM_BUFFER_MAX);
	put_le64(regs + CMD_ADDR, buffer_gpa(c));
	put_le32(regs + RSP_SIZE, SWTPM_BUFFER_MAX);
	put_le64(regs + RSP_ADDR, buffer_gpa(c));
}

static uint64_t crb_read(void *opaque, uint64_t offset_bytes,
			 unsigned size_bytes)
{
	const struct crb *c = owner(opaque);
	uint8_t regs[REGION_BYTES + 8] = { 0 };
	uint64_t value;

	if (offset_bytes < BUFFER)
		image(c, regs);
	memcpy(regs + BUFFER, c->buffer, sizeof(c->buffer));
	value = get_le64(regs + offset_bytes);
	return size_bytes < 8 ? value & ((1ULL << (8 * size_bytes)) - 1)
			      : value;
}

/* sec. 6.5.3.3: the size of a command is in its header. */
static void start(struct crb *c)
{
	uint32_t size = get_be32(c->buffer + 2);

	if (c->busy || c->idle)
		return;
	if (size < 10 || size > sizeof(c->buffer) ||
	    !swtpm_send(&c->tpm, c->buffer, size)) {
		c->failed = true;
		return;
	}
	c->busy = true;
}

static void write_loc_ctrl(struct crb *c, uint32_t value)
{
	if (value & LOC_CTRL_RELINQUISH)
		c->assigned = false;
	if (value & LOC_CTRL_REQUEST)
		c->assigned = true;
}

static void write_req(struct crb *c, uint32_t value)
{
	if (c->busy)
		return;
	if (value & REQ_COMMAND_READY)
		c->idle = false;
	else if (value & REQ_GO_IDLE)
		c->idle = true;
}

static void write_cancel(struct crb *c, uint32_t value)
{
	if (c->busy && value & 1)
		swtpm_cancel(&c->tpm);
}

static void write_start(struct crb *c, uint32_t value)
{
	if (value & START)
		start(c);
}

static const struct crb_reg {
	uint8_t offset;
	void (*write)(struct crb *c, uint32_t value);
} regs[] = {
	{ LOC_CTRL, write_loc_ctrl },
	{ CTRL_REQ, write_req },
	{ CTRL_CANCEL, write_cancel },
	{ CTRL_START, write_start },
};

static void buffer_write(struct crb *c, uint64_t at, unsigned size_bytes,
			 uint64_t value)
{
	uint8_t bytes[8];

	if (c->busy || !range_within(at, size_bytes, 0, sizeof(c->buffer)))
		return;
	put_le64(bytes, value);
	memcpy(c->buffer + at, bytes, size_bytes);
}

static void crb_write(void *opaque, uint64_t offset_bytes, unsigned size_bytes,
		      uint64_t value)
{
	struct crb *c = owner(opaque);

	if (offset_bytes >= BUFFER) {
		buffer_write(c, offset_bytes - BUFFER, size_bytes, value);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(regs); i++)
		if (regs[i].offset == offset_bytes)
			regs[i].write(c, (uint32_t)value);
}

static const struct bus_ops crb_ops = { crb_read, crb_write };

/* ---- answers ------------------------------------------------------------ */

static void answered(void *opaque, const uint8_t *answer, size_t len)
{
	struct crb *c = opaque;

	pthread_mutex_lock(&c->fixed.lock);
	if (!len)
		c->failed = true;
	else if (c->busy)
		memcpy(c->buffer, answer, len);
	c->busy = false;
	pthread_mutex_unlock(&c->fixed.lock);
}

/* ---- device ------------------------------------------------------------- */

static int check_place(const struct device_env *env, struct diag *d)
{
	if (env->platform->tpm.size_bytes < REGION_BYTES)
		return diag_fail(d, ENODEV,
				 "--tpm: guests find a TPM by ACPI, which "
				 "this machine does not have: give --platform "
				 "tables=acpi");
	return 0;
}

static int crb_realize(struct device *dev, const struct device_place *place,
		       struct diag *d)
{
	const struct device_env *env = dev->env;
	const struct device_place at = { .bus = PLAT_MMIO,
					 .base = env->platform->tpm.base };
	struct crb *c = owner(dev);
	int err = check_place(env, d);

	(void)place;
	if (err)
		return err;
	c->idle = true;
	err = fixed_realize(&c->fixed, dev, &at, REGION_BYTES, &crb_ops, d);
	/* Tables only: nobody is asked for anything. */
	if (err || env->tables_only)
		return err;
	err = swtpm_open(&c->tpm, socket_path(dev), env->loop, answered, c, d);
	if (err)
		fixed_unrealize(&c->fixed);
	return err;
}

static int crb_describe(const struct device *dev, struct platform *p,
			struct diag *d)
{
	const struct crb *c = (const void *)dev;
	struct plat_dev out = { .role = PLAT_TPM,
				.name = "tpm",
				.hid = "MSFT0101" };

	static_assert(offsetof(struct crb, dev) == 0, "first member");
	fixed_describe(&c->fixed, &out, false);
	return platform_add(p, &out, d);
}

static void crb_reset(struct device *dev)
{
	struct crb *c = owner(dev);
	struct diag d = DIAG_INIT;

	c->assigned = c->busy = false;
	c->idle = true;
	memset(c->buffer, 0, sizeof(c->buffer));
	c->failed = !dev->env->tables_only && swtpm_reset(&c->tpm, &d) != 0;
}

static void crb_save(const struct device *dev, struct stream_out *out)
{
	const struct crb *c = (const void *)dev;

	stream_put_u8(out, c->assigned);
	stream_put_u8(out, c->idle);
	stream_put(out, c->buffer, sizeof(c->buffer));
}

static int crb_load(struct device *dev, struct stream_in *in, struct diag *d)
{
	uint8_t buffer[SWTPM_BUFFER_MAX], assigned, idle;
	struct crb *c = owner(dev);

	assigned = stream_get_u8(in);
	idle = stream_get_u8(in);
	stream_get(in, buffer, sizeof(buffer));
	if (in->failed || assigned > 1 || idle > 1)
		return diag_fail(d, EBADMSG, "%s: saved state is damaged",
				 dev->id);
	c->assigned = assigned;
	c->idle = idle;
	memcpy(c->buffer, buffer, sizeof(buffer));
	return 0;
}

static void crb_unrealize(struct device *dev)
{
	struct crb *c = owner(dev);

	fixed_unrealize(&c->fixed);
	swtpm_close(&c->tpm);
}

const struct device_class tpm_crb_class = {
	.name = "tpm-crb",
	.size_bytes = sizeof(struct crb),
	.realize = crb_realize,
	.describe = crb_describe,
	.reset = crb_reset,
	.save = crb_save,
	.load = crb_load,
	.unrealize = crb_unrealize,
};
