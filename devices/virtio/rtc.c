/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: virtio real-time clock (VIRTIO 1.4 draft, "RTC Device"; the interface
 * of Linux' include/uapi/linux/virtio_rtc.h)
 *
 * Two clocks of the host, in nanoseconds:
 *
 *	0  UTC since 1970, perhaps smeared around leap seconds: what the host's
 *	   NTP client does we do not know (UTC_MAYBE_SMEARED, as in Cloud
 *	   Hypervisor)
 *	1  TAI, only where the host knows its distance from UTC
 *
 * What Linux makes of them are PTP clocks (/dev/ptpN, for chrony).
 *
 * Not implemented: alarms; cross-timestamps (CROSS_CAP says so): the guest's
 * counter has an offset and perhaps a scale that only the hypervisor knows,
 * and ptp_kvm asks it directly.
 *
 * Threads: see virtio.h.
 */
#include <sys/timex.h>
#include <time.h>

#include "vmm/base/bytes.h"
#include "vmm/base/log.h"

#include "devices/virtio/devices.h"
#include "devices/virtio/virtio.h"

enum { QUEUE_REQUESTS };

enum rtc_request {
	RTC_READ = 0x0001,
	RTC_READ_CROSS = 0x0002,
	RTC_CFG = 0x1000,
	RTC_CLOCK_CAP = 0x1001,
	RTC_CROSS_CAP = 0x1002,
};

enum rtc_status {
	RTC_OK = 0,
	RTC_EOPNOTSUPP = 2,
	RTC_ENODEV = 3,
	RTC_EINVAL = 4,
	RTC_EIO = 5,
};

enum { CLOCK_TYPE_TAI = 1, CLOCK_TYPE_UTC_MAYBE_SMEARED = 4 };

/* Requests and answers: a head of 8 bytes, then at most 16. */
enum { HEAD_BYTES = 8, REQUEST_BYTES = 16, ANSWER_BYTES = 24 };
enum { AT_TYPE = 0, AT_CLOCK = 8 }; /* of requests, le16 */

/** struct rtc - @clocks: how many there are; @odd: requests that make no
 * sense, see log_guest() */
struct rtc {
	struct virtio_device vd;
	uint16_t clocks;
	atomic_uint odd;
};

static const struct {
	uint8_t type;
	clockid_t id;
} clocks[] = {
	{ CLOCK_TYPE_UTC_MAYBE_SMEARED, CLOCK_REALTIME },
	{ CLOCK_TYPE_TAI, CLOCK_TAI },
};

static struct rtc *to_rtc(struct virtio_device *vd)
{
	return container_of(vd, struct rtc, vd);
}

/* Each answers @clock into @body, behind the head; all of it is zero. */

static enum rtc_status do_read(unsigned clock, uint8_t *body)
{
	struct timespec ts;

	if (clock_gettime(clocks[clock].id, &ts) || ts.tv_sec < 0)
		return RTC_EIO;
	put_le64(body, (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec);
	return RTC_OK;
}

static enum rtc_status do_clock_cap(unsigned clock, uint8_t *body)
{
	body[0] = clocks[clock].type;
	return RTC_OK;
}

/* No flag: there are none. */
/* NOLINTNEXTLINE(readability-non-const-parameter): as the others have it */
static enum rtc_status do_cross_cap(unsigned clock, uint8_t *body)
{
	(void)clock;
	(void)body;
	return RTC_OK;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): as the others have it */
static enum rtc_status do_read_cross(unsigned clock, uint8_t *body)
{
	(void)clock;
	(void)body;
	return RTC_EOPNOTSUPP;
}

static const struct request {
	enum rtc_request type;
	uint8_t answer_bytes;
	enum rtc_status (*answer)(unsigned clock, uint8_t *body);
} requests[] = {
	{ RTC_READ, 16, do_read },
	{ RTC_READ_CROSS, 24, do_read_cross },
	{ RTC_CFG, 16, NULL },
	{ RTC_CLOCK_CAP, 16, do_clock_cap },
	{ RTC_CROSS_CAP, 16, do_cross_cap },
};

static const struct request *find(uint16_t type)
{
	for (unsigned i = 0; i < ARRAY_SIZE(requests); i++)
		if (requests[i].type == type)
			return &requests[i];
	return NULL;
}

/*
 * @len: of the request; @room: for the answer. Return: how much of @answer is
 * to be given. An answer that does not fit is an error, and that is its head.
 */
static size_t serve(const struct rtc *rtc, const uint8_t *request, size_t len,
		    size_t room, uint8_t *answer)
{
	const struct request *r = find(get_le16(request + AT_TYPE));
	unsigned clock = get_le16(request + AT_CLOCK);
	enum rtc_status status = RTC_OK;

	if (!r)
		status = RTC_EOPNOTSUPP;
	else if (room < r->answer_bytes ||
		 len < (r->answer ? REQUEST_BYTES : HEAD_BYTES))
		status = RTC_EINVAL;
	else if (!r->answer)
		put_le16(answer + HEAD_BYTES, rtc->clocks);
	else
		status = clock < rtc->clocks
				 ? r->answer(clock, answer + HEAD_BYTES)
				 : RTC_ENODEV;
	answer[0] = (uint8_t)status;
	return status ? HEAD_BYTES : r->answer_bytes;
}

static uint32_t answer(struct rtc *rtc, const struct virtq_chain *chain)
{
	uint8_t in[REQUEST_BYTES] = { 0 }, out[ANSWER_BYTES] = { 0 };
	size_t len = iov_read(chain->iov, chain->out_count, 0, in, sizeof(in));

	if (len < HEAD_BYTES || chain->in_bytes < HEAD_BYTES) {
		log_guest(&rtc->odd,
			  "%s: the guest's driver makes a request without a "
			  "head: given back empty",
			  rtc->vd.dev.id);
		return 0;
	}
	len = serve(rtc, in, len, chain->in_bytes, out);
	return (uint32_t)iov_write(chain->iov + chain->out_count,
				   chain->in_count, 0, out, len);
}

static void rtc_notify(struct virtio_device *vd, unsigned queue)
{
	struct virtq_chain chain;
	unsigned taken = 0;

	while (virtio_more(vd, queue, &taken) && virtio_pop(vd, queue, &chain))
		virtio_push(vd, queue, &chain, answer(to_rtc(vd), &chain));
	virtio_done(vd, queue);
}

/* Where nobody has told the kernel, its TAI is UTC: a wrong clock. */
static int rtc_realize(struct virtio_device *vd, struct diag *d)
{
	struct timex tx = { 0 };

	(void)d;
	to_rtc(vd)->clocks = adjtimex(&tx) >= 0 && tx.tai ? 2 : 1;
	return 0;
}

static const struct virtio_class rtc_virtio = {
	.id = VIRTIO_ID_RTC,
	.pci_class = 0xff0000, /* fits no other class */
	.queue_count = 1,
	.queue_size = 64,
	.in_order = true,
	.realize = rtc_realize,
	.notify = rtc_notify,
};

const struct device_class virtio_rtc_class = {
	.name = "virtio-rtc",
	.size_bytes = sizeof(struct rtc),
	.data = &rtc_virtio,
	VIRTIO_DEVICE_CLASS,
};
