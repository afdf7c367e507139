/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: any bytes as an arm64 kernel file: refused or loaded, inside its room
 *
 * RAM is larger than the room that is offered, and the pages behind it must
 * stay as they were.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "arch/arm64/kernel.h"
#include "vmm/base/check.h"

#define RAM_BASE  UINT64_C(0x40000000)
#define ROOM	  MIB(4)
#define RAM_BYTES (ROOM + KIB(64))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void load(struct guest_ram *ram, int fd)
{
	struct arm64_kernel k = { GPA(0), GPA(0) };
	struct diag d = DIAG_INIT;
	int err = arm64_load_kernel(&k, ram, GPA(RAM_BASE), ROOM, fd, &d);

	CHECK(err <= 0);
	CHECK(err ? d.depth > 0 : d.depth == 0);
	CHECK(err || (k.entry.v >= RAM_BASE && k.end.v > k.entry.v &&
		      k.end.v <= RAM_BASE + ROOM));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	int fd = memfd_create("kernel", MFD_CLOEXEC);
	struct guest_ram ram;
	const uint8_t *behind;

	CHECK(fd >= 0 && write(fd, data, len) == (ssize_t)len);
	ram_init(&ram);
	CHECK(!ram_add(&ram, GPA(RAM_BASE), RAM_BYTES,
		       &(struct ram_options){ 0 }, NULL));
	load(&ram, fd);
	behind = ram_pin(&ram, GPA(RAM_BASE + ROOM), RAM_BYTES - ROOM);
	for (size_t i = 0; i < RAM_BYTES - ROOM; i += 512)
		CHECK(!behind[i]);
	ram_release(&ram);
	close(fd);
	return 0;
}
