/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: `spandrel tables`, see tables.h; files are overwritten in place */
#include "vmm/tables.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/file.h"

static int write_file(int dir_fd, const char *dir, const struct arch_table *t,
		      struct diag *d)
{
	int fd = openat(dir_fd, t->name,
			O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	int err;

	if (fd < 0)
		return diag_errno(d, errno, "--out: cannot create %.200s/%s",
				  dir, t->name);
	err = file_write_at(fd, 0, t->data, t->size_bytes);
	if (close(fd) && !err)
		err = -errno;
	if (err)
		diag_errno(d, -err, "--out: cannot write %.200s/%s", dir,
			   t->name);
	return err;
}

static int write_files(int dir_fd, const struct arch_tables *t, const char *dir,
		       struct diag *d)
{
	int err = 0;

	for (unsigned i = 0; i < t->count && !err; i++) {
		err = write_file(dir_fd, dir, &t->table[i], d);
		for (unsigned j = 0; err && j <= i; j++)
			unlinkat(dir_fd, t->table[j].name, 0);
	}
	return err;
}

static void list_files(const struct arch_tables *t, const char *dir, FILE *list)
{
	for (unsigned i = 0; i < t->count; i++) {
		const struct arch_table *one = &t->table[i];

		fprintf(list, "%s/%s: %zu bytes", dir, one->name,
			one->size_bytes);
		if (one->gpa.v)
			fprintf(list, " at 0x%" PRIx64, one->gpa.v);
		fputc('\n', list);
	}
}

int tables_write(const struct arch_tables *t, const char *dir, FILE *list,
		 struct diag *d)
{
	bool made = !mkdir(dir, 0777);
	int dir_fd, err;

	if (!made && errno != EEXIST)
		return diag_errno(d, errno, "--out %.200s: cannot create it",
				  dir);
	dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0)
		return diag_errno(d, errno, "--out %.200s", dir);
	err = write_files(dir_fd, t, dir, d);
	close(dir_fd);
	if (err && made)
		rmdir(dir);
	if (!err)
		list_files(t, dir, list);
	return err;
}
