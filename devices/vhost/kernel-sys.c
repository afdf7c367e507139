/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: the system calls of kernel.c, apart so that tests can replace them */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>

#include "devices/vhost/kernel.h"

int vhost_sys_open(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int vhost_sys_ioctl(int fd, unsigned long request, void *arg)
{
	return ioctl(fd, request, arg) < 0 ? -errno : 0;
}
