/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: the guest's files, see payload.h. They stay open while the machine
 * lives, because a reset loads them again. */
#include "vmm/payload.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static int check_file(int fd, const char *option, const char *path,
		      struct diag *d)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return diag_errno(d, errno, "%s %s", option, path);
	if (S_ISDIR(st.st_mode))
		return diag_fail(d, EISDIR,
				 "%s %s: is a directory, a file is needed",
				 option, path);
	if (!S_ISREG(st.st_mode))
		return diag_fail(d, EINVAL,
				 "%s %s: is not a regular file; copy it to one",
				 option, path);
	if (!st.st_size)
		return diag_fail(d, EINVAL, "%s %s: the file is empty", option,
				 path);
	return 0;
}

/* O_NONBLOCK: a FIFO must not hang us before we can refuse it. */
static int open_file(int *out, const char *option, const char *path,
		     struct diag *d)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), err;

	if (fd < 0)
		return diag_errno(d, errno, "%s %s", option, path);
	err = check_file(fd, option, path, d);
	if (err) {
		close(fd);
		return err;
	}
	*out = fd;
	return 0;
}

static int open_items(struct arch_payload *p, const struct vm_config *cfg,
		      struct diag *d)
{
	struct fw_cfg_given *g;
	int err;

	if (!cfg->fw_cfg_count || !cfg->fw_cfg->items)
		return 0;
	err = fw_cfg_given_new(&p->given, cfg->fw_cfg->items, d);
	if (err)
		return err;
	g = p->given;
	for (unsigned i = 0; i < g->count && !err; i++)
		if (g->item[i].file)
			err = open_file(&g->item[i].fd, "--fw-cfg-config file",
					g->item[i].file, d);
	return err;
}

static void close_items(struct fw_cfg_given *g)
{
	for (unsigned i = 0; g && i < g->count; i++)
		if (g->item[i].fd >= 0)
			close(g->item[i].fd);
	fw_cfg_given_free(g);
}

int payload_open(struct arch_payload *out, const struct vm_config *cfg,
		 struct diag *d)
{
	struct arch_payload p = {
		.firmware_fd = -1,
		.kernel_fd = -1,
		.initramfs_fd = -1,
		.firmware_name = cfg->firmware,
		.kernel_name = cfg->kernel,
		.initramfs_name = cfg->initramfs,
		.cmdline = cfg->cmdline ? cfg->cmdline : "",
	};
	int err = 0;

	if (!cfg->kernel && !cfg->firmware)
		return diag_fail(d, EINVAL,
				 "nothing to boot: give --kernel FILE or "
				 "--firmware FILE");
	if (cfg->firmware)
		err = open_file(&p.firmware_fd, "--firmware", cfg->firmware, d);
	if (!err && cfg->kernel)
		err = open_file(&p.kernel_fd, "--kernel", cfg->kernel, d);
	if (!err && cfg->initramfs)
		err = open_file(&p.initramfs_fd, "--initramfs", cfg->initramfs,
				d);
	if (!err)
		err = open_items(&p, cfg, d);
	if (err) {
		payload_close(&p);
		return err;
	}
	*out = p;
	return 0;
}

void payload_close(struct arch_payload *p)
{
	if (p->firmware_fd >= 0)
		close(p->firmware_fd);
	if (p->kernel_fd >= 0)
		close(p->kernel_fd);
	if (p->initramfs_fd >= 0)
		close(p->initramfs_fd);
	close_items(p->given);
	p->given = NULL;
	p->firmware_fd = p->kernel_fd = p->initramfs_fd = -1;
}
