/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: a guest that does anything to a device whose queues the kernel serves:
 * a vsock on vhost, with the kernel of tests/unit/fake-vhost.h, which checks
 * what it is told as the kernel does; see one-device.h */
#include "vmm/config.h"

#include "tests/fuzz/one-device.h"
#include "tests/unit/fake-vhost.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void open_bed(struct bed *b)
{
	static const struct vsock_config vsock = { .cid = 42, .vhost = true };

	fake_begin(&b->ram, FAKE_VSOCK);
	b->item = &vsock;
}

/* It refuses one request: any but those that end its work, which it cannot. */
static void step(struct device *dev, const struct one_step *s)
{
	static const unsigned long requests[] = {
		VK_SET_FEATURES, VK_SET_MEMORY,
		VK_SET_SIZE,	 VK_SET_BASE,
		VK_SET_PLACE,	 VK_SET_KICK,
		VK_SET_CALL,	 VK_SET_ERR,
		VK_SET_CID,	 0,
	};

	(void)dev;
	pthread_mutex_lock(&fake.lock);
	fake.refuse = requests[s->at % ARRAY_SIZE(requests)];
	pthread_mutex_unlock(&fake.lock);
}

/* What it sends comes back. */
static void check(struct bed *b, struct drv *drv)
{
	uint32_t head, len = 0;
	bool got = false;

	pthread_mutex_lock(&fake.lock);
	fake.refuse = 0;
	pthread_mutex_unlock(&fake.lock);
	one_start(drv, 3, 0);
	drv_offer(drv, 0, drv_add(drv, 0, ONE_DATA + 64, 64, true));
	drv_offer(drv, 1, drv_add(drv, 1, ONE_DATA, 44, false));
	drv_kick(drv, 1);
	for (unsigned i = 0; i < 5000 && !got; i++) {
		bed_run(b, 1);
		got = drv_take(drv, 0, &head, &len);
		if (!got)
			usleep(100);
	}
	CHECK(got && len == 44);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const struct one_device dev = { "vhost-vsock", 3, open_bed, step,
					       check };

	uint8_t over_pci[4096];

	len = MIN(len, sizeof(over_pci));
	memcpy(over_pci, data, len);
	if (len)
		over_pci[0] = 0; /* there is one kernel: for one machine */
	return one_device(&dev, over_pci, len);
}
