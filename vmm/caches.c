/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: the caches of a processor, see caches.h; Linux's
 * Documentation/ABI/testing/sysfs-devices-system-cpu */
#include "vmm/caches.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/base/file.h"

#define INDEXES_MAX (2 * CACHE_LEVELS)
#define TEXT_BYTES  32

/* The text of @dir/index@n/@name; "" if there is none. */
static void read_text(const char *dir, unsigned n, const char *name,
		      char text[TEXT_BYTES])
{
	char path[256];
	int64_t got = 0;
	int fd;

	snprintf(path, sizeof(path), "%s/index%u/%s", dir, n, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		got = file_read_at(fd, 0, text, TEXT_BYTES - 1);
		close(fd);
	}
	text[MAX(got, 0)] = '\0';
}

/* "48K" is 48 * 1024; 0 for what is no such number. */
static uint32_t read_number(const char *dir, unsigned n, const char *name)
{
	char text[TEXT_BYTES], *end;
	unsigned long long v;

	read_text(dir, n, name, text);
	v = strtoull(text, &end, 10);
	if (v > UINT32_MAX)
		return 0;
	if (*end == 'K')
		v <<= 10;
	return v <= UINT32_MAX ? (uint32_t)v : 0;
}

static struct cache_shape read_shape(const char *dir, unsigned n)
{
	return (struct cache_shape){
		.size_bytes = read_number(dir, n, "size"),
		.line_bytes = read_number(dir, n, "coherency_line_size"),
		.sets = read_number(dir, n, "number_of_sets"),
		.ways = read_number(dir, n, "ways_of_associativity"),
	};
}

void caches_read(struct cache_level *out, const char *dir)
{
	for (unsigned n = 0; n < INDEXES_MAX; n++) {
		uint32_t level = read_number(dir, n, "level");
		char type[TEXT_BYTES];

		if (!level || level > CACHE_LEVELS)
			continue;
		read_text(dir, n, "type", type);
		if (type[0] == 'I')
			out[level - 1].code = read_shape(dir, n);
		else if (type[0] == 'D' || type[0] == 'U')
			out[level - 1].data = read_shape(dir, n);
	}
}
