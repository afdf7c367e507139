/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: the images that a qcow2 image is laid over
 *
 * Opened only if the user allows it (backing_files=on), since whoever made the
 * image decides which files are read. Names are files, as seen from the
 * image's folder; their format is what the image says, never what they
 * contain, and an image that does not say is refused. Backing files are read
 * only and locked as such.
 *
 * Limits: QCOW2_BACKING_DEPTH_MAX images on top of each other; raw and qcow2;
 * no protocols (nbd:, json:, …) but "file:".
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "devices/block/qcow2-impl.h"

/* "name:" before any slash is a protocol of QEMU. */
static bool has_protocol(const char *name)
{
	size_t n = strcspn(name, ":/");

	return name[n] == ':';
}

/* Relative to the folder of @image. Return: NULL without memory. */
static char *resolve(const char *image, const char *name)
{
	const char *slash = strrchr(image, '/');
	char *path;

	if (name[0] == '/' || !slash)
		return strdup(name);
	if (asprintf(&path, "%.*s/%s", (int)(slash - image), image, name) < 0)
		return NULL;
	return path;
}

static int check_allowed(const struct qcow2 *q, const struct block_options *opt,
			 struct diag *d)
{
	const char *format = q->h.backing_format;
	unsigned depth = 1;

	if (!opt->backing_files)
		return diag_fail(d, EPERM,
				 "%s: has a backing file, %s: say "
				 "backing_files=on to allow it",
				 q->what, q->h.backing);
	for (const struct qcow2 *o = q->over; o; o = o->over)
		depth++;
	if (depth > QCOW2_BACKING_DEPTH_MAX)
		return diag_fail(d, ELOOP,
				 "%s: more than %d backing files on top of "
				 "each other: merge some with 'qemu-img "
				 "commit'",
				 q->what, QCOW2_BACKING_DEPTH_MAX);
	if (!*format)
		return diag_fail(d, EINVAL,
				 "%s: does not say which format its backing "
				 "file has: 'qemu-img rebase -u -F FORMAT -b "
				 "%s' adds it",
				 q->what, q->h.backing);
	if (strcmp(format, "raw") != 0 && strcmp(format, "qcow2") != 0)
		return diag_fail(d, ENOTSUP,
				 "%s: its backing file has format '%s': raw "
				 "and qcow2 are supported",
				 q->what, format);
	return 0;
}

static int check_loop(const struct qcow2 *q, const char *path, struct diag *d)
{
	struct stat st, mine;

	if (stat(path, &st) < 0)
		return diag_errno(d, errno, "%s: backing file %s", q->what,
				  path);
	for (const struct qcow2 *o = q; o; o = o->over)
		if (!fstat(o->file->fd, &mine) && mine.st_dev == st.st_dev &&
		    mine.st_ino == st.st_ino)
			return diag_fail(d, ELOOP,
					 "%s: backing file %s: is laid over "
					 "itself",
					 q->what, path);
	return 0;
}

static int open_image(struct qcow2 *q, struct block_options *opt,
		      struct diag *d)
{
	struct block_file *f;
	int64_t bytes;
	int err;

	err = block_file_open(q->b, opt, &f, d);
	if (err)
		return err;
	if (!strcmp(q->h.backing_format, "qcow2")) {
		err = qcow2_new(&q->under, q->b, f, q, opt, d);
		q->under_bytes = err ? 0 : q->under->capacity;
		return err;
	}
	bytes = block_file_size(f);
	if (bytes < 0)
		return diag_errno(d, (int)-bytes, "%s", f->what);
	q->under_raw = f;
	/* What is beyond its end reads as zeros anyway. */
	q->under_bytes = align_up((uint64_t)bytes, f->logical_bytes);
	return 0;
}

int qcow2_backing_open(struct qcow2 *q, const struct block_options *opt,
		       struct diag *d)
{
	struct block_options under = *opt;
	const char *name = q->h.backing;
	char *path, what[DIAG_TEXT];
	int err;

	if (!*name)
		return 0;
	err = check_allowed(q, opt, d);
	if (err)
		return err;
	if (!strncmp(name, "file:", 5))
		name += 5;
	if (has_protocol(name))
		return diag_fail(d, ENOTSUP,
				 "%s: backing file %s: is not a file, nothing "
				 "else is supported",
				 q->what, name);
	path = resolve(opt->path, name);
	if (!path)
		return diag_fail(d, ENOMEM, "out of memory");
	snprintf(what, sizeof(what), "%s: backing file %s", opt->what, path);
	/* Named once, however deep. */
	if (!q->over)
		under.what = what;
	under.path = path;
	under.readonly = true;
	under.sparse = false;
	err = check_loop(q, path, d);
	if (!err)
		err = open_image(q, &under, d);
	free(path);
	return err;
}
