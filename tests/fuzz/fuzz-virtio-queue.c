/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: any bytes as a virtqueue in guest RAM, split or packed
 *
 * Input: a control byte (enum below), a count of operations, that many
 * operations, and the ring's memory. Whatever is popped must lie in RAM and
 * within the limits that queue.h promises.
 */
#include <errno.h>

#include "vmm/base/check.h"

#include "devices/virtio/queue.h"

#define BASE	  0x10000ULL
#define RAM_BYTES KIB(64)
#define AT_AVAIL  0x400
#define AT_USED	  0x600

/* The control byte; SIZE: a logarithm (split) or a quarter (packed). */
enum { EVENT_IDX = 0x80, INDIRECT = 0x40, PACKED = 0x20, IN_ORDER = 0x10 };
enum { SIZE = 0x0f };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct guest_ram ram;
static struct virtq q;

static void once(void)
{
	static const struct ram_options plain;
	struct diag d = DIAG_INIT;

	if (ram.region_count)
		return;
	CHECK(!ram_add(&ram, GPA(BASE), RAM_BYTES, &plain, &d));
	CHECK(!ram_add(&ram, GPA(4 * BASE), RAM_BYTES, &plain, &d));
	CHECK(!virtq_init(&q, &ram, 64, &d));
}

static void check_vector(const struct iovec *v)
{
	const uint8_t *at = v->iov_base;
	bool inside = false;

	for (unsigned i = 0; i < ram.region_count; i++) {
		const struct ram_region *r = &ram.region[i];

		inside |= at >= r->host &&
			  at + v->iov_len <= r->host + r->size_bytes;
	}
	CHECK(inside && v->iov_len);
}

static void check_chain(const struct virtq_chain *c)
{
	uint64_t sum[2] = { 0 };

	CHECK(c->out_count + c->in_count <= q.at.size);
	CHECK(c->head < q.at.size);
	for (unsigned i = 0; i < c->out_count + c->in_count; i++) {
		check_vector(&c->iov[i]);
		sum[i >= c->out_count] += c->iov[i].iov_len;
	}
	CHECK(sum[0] == c->out_bytes && sum[1] == c->in_bytes);
	CHECK(sum[0] + sum[1] <= UINT32_MAX);
}

static unsigned descriptors_in_flight(void)
{
	unsigned cycle = 2u * q.at.size;

	return (q.avail_next + cycle - q.used_next) % cycle;
}

static void check_in_flight(void)
{
	CHECK((unsigned)__builtin_popcountll(q.in_flight[0]) ==
	      q.in_flight_count);
	CHECK(q.in_flight_count <= q.at.size);
	CHECK(!q.enabled || !q.has.packed ||
	      (q.avail_next < 2 * q.at.size && q.used_next < 2 * q.at.size &&
	       descriptors_in_flight() <= q.at.size));
}

static void pop(bool undo)
{
	struct virtq_chain c;
	int got = virtq_pop(&q, &c);

	CHECK((got == -EPROTO) == !!q.broken || got == 0);
	if (got != 1)
		return;
	check_chain(&c);
	if (undo)
		virtq_undo(&q, &c);
}

static void save_and_load(void)
{
	struct stream_out out;
	struct stream_in in;

	if (q.in_flight_count)
		return;
	stream_out_init(&out);
	virtq_save(&q, &out);
	virtq_reset(&q);
	stream_in_init(&in, out.data, out.len);
	CHECK(!virtq_load(&q, &in) && !stream_in_done(&in));
	stream_out_release(&out);
	if (q.enabled)
		CHECK(!virtq_base_set(&q, virtq_base_get(&q)));
}

/* The driver offers @count more, whatever they are. */
static void offer(unsigned count)
{
	uint16_t *word = ram_pin(&ram, GPA(BASE + AT_AVAIL + 2), 2);

	if (!q.enabled)
		return;
	if (!q.has.packed) {
		*word = (uint16_t)(*word + count);
		return;
	}
	for (unsigned i = 0; i < count; i++) {
		unsigned at = (q.avail_next + i) % (2u * q.at.size);

		word = ram_pin(&ram, GPA(BASE + 16 * (at % q.at.size) + 14), 2);
		*word = (uint16_t)((*word & ~0x8080) |
				   (at < q.at.size ? 0x80 : 0x8000));
	}
}

static void operate(uint8_t op)
{
	switch (op & 7) {
	case 0:
	case 1:
		pop(false);
		break;
	case 2:
		pop(true);
		break;
	case 3:
		virtq_push(&q, op >> 3, op);
		break;
	case 4:
		virtq_signal(&q);
		break;
	case 5:
		CHECK(!virtq_wait(&q) || q.enabled);
		break;
	case 6:
		save_and_load();
		break;
	default:
		offer(op >> 3);
	}
	check_in_flight();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct virtq_layout at = { .desc = GPA(BASE),
				   .driver = GPA(BASE + AT_AVAIL),
				   .device = GPA(BASE + AT_USED) };
	struct virtq_features has;
	size_t ops;

	if (len < 2)
		return -1;
	once();
	has = (struct virtq_features){ .event_idx = data[0] & EVENT_IDX,
				       .indirect = data[0] & INDIRECT,
				       .packed = data[0] & PACKED,
				       .in_order = data[0] & IN_ORDER };
	ops = MIN((size_t)data[1], len - 2);
	ram_fill(&ram, GPA(BASE), 0, RAM_BYTES);
	ram_write(&ram, GPA(BASE), data + 2 + ops,
		  MIN(len - 2 - ops, RAM_BYTES));
	at.size = (uint16_t)(has.packed ? 4 * (data[0] & SIZE) + 1
					: 1u << (data[0] & SIZE) % 7);
	CHECK(!virtq_enable(&q, &at, has));
	for (size_t i = 0; i < ops; i++)
		operate(data[2 + i]);
	return 0;
}
