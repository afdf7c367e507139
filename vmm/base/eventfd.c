/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: eventfds, see eventfd.h */
#include "vmm/base/eventfd.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <sys/uio.h>
#include <unistd.h>

int eventfd_take(int fd)
{
	uint64_t count;
	const struct iovec to = { &count, sizeof(count) };

	return preadv2(fd, &to, 1, -1, RWF_NOWAIT) < 0 ? -errno : 0;
}

void eventfd_add(int fd, bool shared)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	uint64_t one = 1;

	if (shared && poll(&p, 1, 0) != 1)
		return;
	/* Cannot fail but where the counter is full. */
	if (write(fd, &one, sizeof(one)) < 0)
		return;
}
