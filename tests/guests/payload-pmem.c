/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: virtio-pmem (VIRTIO 1.3 sec. 5.19) and the memory behind it
 *
 * prepare: head -c 4096 /dev/zero >pmem && printf hello >>pmem
 * prepare: head -c 2093051 /dev/zero >>pmem
 * run pci: --pmem file=pmem
 * run mmio: --pmem file=pmem --platform transport=mmio
 * after: [ "$(head -c 8200 pmem | tail -c 8)" = spandrel ]
 * after: [ "$(tail -c 3 pmem)" = end ]
 * after: [ $(wc -c <pmem) = 2097152 ]
 */
#include "exercise.h"

#define PMEM	     27
#define BYTES	     0x200000u /* of the file that the runner makes */
#define HELLO	     0x1000u   /* where it says that */
#define TEXT	     0x2000u   /* where it shall say something */
#define IN_MEMORY    0x3000u   /* a request that lies there */
#define ADDRESS_4GIB (1ull << 32)

/* Sec. 5.19.4 and 5.19.6 */
enum { CONFIG_START = 0, CONFIG_SIZE = 8 };
enum { T_FLUSH = 0 };
enum { S_OK = 0, S_EIO = 1, S_NONE = 0xffffffff };

static struct virtio v;
static struct vring r;
static uintptr_t question, answer;
static uintptr_t memory; /* the file */
static uint64_t memory_gpa;

static void request(struct vbuf *bufs)
{
	question = ram_alloc(4, 4);
	answer = ram_alloc(4, 4);
	write32(question, T_FLUSH);
	write32(answer, S_NONE);
	bufs[0] = (struct vbuf){ question, 4 };
	bufs[1] = (struct vbuf){ answer, 4 };
}

static bool check(const struct vbuf *bufs, uint32_t written)
{
	bool good = written == 4 && read32(answer) == S_OK;

	(void)bufs;
	write32(answer, S_NONE);
	return good;
}

static const struct exercise pmem = {
	.id = PMEM, .out = 1, .in = 1, .request = request, .check = check
};

/* One request of @out bytes, with room for @in; how much is answered. */
static uint32_t ask(uint32_t type, uint32_t out, uint32_t in)
{
	struct vbuf bufs[] = { { question, out }, { answer, in } };
	uint32_t written;

	write32(question, type);
	write32(answer, S_NONE);
	vring_add(&r, &bufs[!out], !!out, !!in);
	vring_ring(&r);
	return vring_wait(&r, &written) < 0 ? ~0u : written;
}

static bool flush(void)
{
	return ask(T_FLUSH, 4, 4) == 4 && read32(answer) == S_OK;
}

static bool has(uintptr_t at, const char *text)
{
	for (; *text; at++, text++)
		if (read8(at) != (uint8_t)*text)
			return false;
	return true;
}

static void put(uintptr_t at, const char *text)
{
	for (; *text; at++, text++)
		write8(at, (uint8_t)*text);
}

static bool find_memory(void)
{
	bool good;

	memory_gpa = virtio_config64(&v, CONFIG_START);
	good = memory_gpa >= ADDRESS_4GIB && memory_gpa % BYTES == 0;
	ok(good, "it begins above 4 GiB, on 2 MiB");
	ok(virtio_config64(&v, CONFIG_SIZE) == BYTES,
	   "and is as long as the file");
	if (good)
		memory = map_high(memory_gpa);
	return good;
}

static void file(void)
{
	ok(has(memory + HELLO, "hello"), "what the file says is read");
	ok(!read32(memory) && !read32(memory + BYTES - 4),
	   "and where it says nothing");
	put(memory + TEXT, "spandrel");
	put(memory + BYTES - 3, "end");
	ok(has(memory + TEXT, "spandrel") && has(memory + BYTES - 3, "end"),
	   "what is written is read back");
	ok(flush(), "and flushed for the host to see");
}

/* The device reaches it as it reaches RAM. */
static void request_in_memory(void)
{
	struct vbuf bufs[] = { { question, 4 }, { answer, 4 } };

	write32(memory + IN_MEMORY, T_FLUSH);
	write32(memory + IN_MEMORY + 4, S_NONE);
	vring_fill(&r, bufs, 1, 1);
	set64(vring_slot(&r, 0), memory_gpa + IN_MEMORY);
	set64(vring_slot(&r, 1), memory_gpa + IN_MEMORY + 4);
	vring_publish(&r);
	vring_ring(&r);
	ok(vring_wait(&r, NULL) >= 0 && read32(memory + IN_MEMORY + 4) == S_OK,
	   "a request in the memory itself");
}

static void hostile_memory(void)
{
	struct vbuf bufs[] = { { question, 4 }, { answer, 4 } };

	vring_fill(&r, bufs, 1, 1);
	set64(vring_slot(&r, 1), memory_gpa + BYTES - 2);
	vring_publish(&r);
	vring_ring(&r);
	ok(virtio_needs_reset(&v) && exercise_restart(&pmem, &v, &r, 0) &&
		   has(memory + BYTES - 3, "end"),
	   "hostile: an answer over the end of the memory");
}

static void hostile_requests(void)
{
	ok(ask(1, 4, 4) == 4 && read32(answer) == S_EIO,
	   "hostile: an unknown request");
	ok(ask(T_FLUSH, 3, 4) == 4 && read32(answer) == S_EIO,
	   "hostile: a request of 3 bytes");
	ok(ask(T_FLUSH, 0, 4) == 4 && read32(answer) == S_EIO,
	   "hostile: no request");
	ok(ask(T_FLUSH, 4, 0) == 0 && read32(answer) == S_NONE,
	   "hostile: no room for an answer");
	ok(flush(), "the device goes on");
}

void secondary(void)
{
}

void payload(void)
{
	exercise(&pmem);
	if (virtio_find(&v, PMEM, 0) && exercise_restart(&pmem, &v, &r, 0) &&
	    find_memory()) {
		file();
		request_in_memory();
		hostile_memory();
		hostile_requests();
	}
	plan_done();
}
