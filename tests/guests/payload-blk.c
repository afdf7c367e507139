/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: virtio-blk (VIRTIO 1.3 sec. 5.2), also over vhost-user
 *
 * prepare: head -c 1048576 /dev/zero >disk
 * prepare: cp disk served
 * prepare: { $SPANDREL device blk --socket s
 *	--disk path=served,serial=payload >log 2>&1 & }
 * prepare: server=$!
 * prepare: await '[ -S s ]'
 * run pci: --disk path=disk,serial=payload
 * run mmio: --disk path=disk,serial=payload --platform transport=mmio
 * run threads: --disk path=disk,serial=payload,_disable_io_uring=on
 * run served: --disk vhost_user=on,socket=s --memory size=128M,shared=on
 * run served-mmio: --disk vhost_user=on,socket=s --platform transport=mmio
 *	--memory size=128M,shared=on
 * after: kill $server && await '! [ -d /proc/$server ]'
 * after: [ "$(for f in disk served; do head -c 3592 $f | tail -c 8; done |
 *	tr -d '\000')" = spandrel ]
 * after: [ $(wc -c <disk) = 1048576 ]
 */
#include "exercise.h"

#define SECTOR	     512
#define SECTOR_COUNT 2048 /* of the disk that the runner makes */
#define TEXT_SECTOR  7

/* Sec. 5.2.6: request types and status */
enum {
	T_IN = 0,
	T_OUT = 1,
	T_FLUSH = 4,
	T_GET_ID = 8,
	T_DISCARD = 11,
	T_WRITE_ZEROES = 13
};
enum { S_OK = 0, S_IOERR = 1, S_UNSUPP = 2 };

/* Sec. 5.2.3 */
#define F_FLUSH	       (1ull << 9)
#define F_DISCARD      (1ull << 13)
#define F_WRITE_ZEROES (1ull << 14)

static struct virtio v;
static struct vring r;
static uintptr_t header, data, status;

static void fill(uint32_t type, uint64_t sector)
{
	write32(header, type);
	write32(header + 4, 0);
	set64(header + 8, sector);
	write8(status, 0xff);
}

static void request(struct vbuf *bufs)
{
	header = ram_alloc(16, 16);
	data = ram_alloc(8 * SECTOR, 16);
	status = ram_alloc(4, 4);
	fill(T_IN, 0);
	bufs[0] = (struct vbuf){ header, 16 };
	bufs[1] = (struct vbuf){ data, SECTOR };
	bufs[2] = (struct vbuf){ status, 1 };
}

static bool check(const struct vbuf *bufs, uint32_t written)
{
	bool good = read8(status) == S_OK && written == SECTOR + 1;

	(void)bufs;
	write8(status, 0xff);
	return good;
}

static const struct exercise blk = {
	.id = 2, .out = 1, .in = 2, .request = request, .check = check
};

/* One request; its status, or -1 if it does not come back. */
static int transfer(uint32_t type, uint64_t sector, uint32_t len,
		    bool to_device)
{
	struct vbuf bufs[] = { { header, 16 }, { data, len }, { status, 1 } };

	fill(type, sector);
	if (!len)
		bufs[1] = bufs[2];
	vring_add(&r, bufs, 1 + (len && to_device), 1 + (len && !to_device));
	vring_ring(&r);
	return vring_wait(&r, NULL) < 0 ? -1 : read8(status);
}

static bool has(const char *text)
{
	for (unsigned i = 0; text[i]; i++)
		if (read8(data + i) != (uint8_t)text[i])
			return false;
	return true;
}

static void put(const char *text)
{
	for (unsigned i = 0; i < SECTOR; i++)
		write8(data + i, 0);
	for (unsigned i = 0; text[i]; i++)
		write8(data + i, (uint8_t)text[i]);
}

static void good_requests(void)
{
	ok(virtio_config64(&v, 0) == SECTOR_COUNT, "capacity");
	put("payload-blk");
	ok(transfer(T_OUT, 3, SECTOR, true) == S_OK, "a sector is written");
	put("");
	ok(transfer(T_IN, 3, SECTOR, false) == S_OK && has("payload-blk"),
	   "and read back");
	ok(transfer(T_IN, SECTOR_COUNT - 8, 8 * SECTOR, false) == S_OK,
	   "the last 8 sectors are read");
	ok(transfer(T_GET_ID, 0, 20, false) == S_OK && has("payload"),
	   "the serial number is read");
	if (v.features & F_FLUSH)
		ok(transfer(T_FLUSH, 0, 0, false) == S_OK, "flush");
	put("spandrel");
	ok(transfer(T_OUT, TEXT_SECTOR, SECTOR, true) == S_OK,
	   "a sector for the host to see");
}

/* Sec. 5.2.6: a segment is a sector, how many of them, flags. */
static int segment(uint32_t type, uint64_t sector, uint32_t count,
		   uint32_t flags)
{
	set64(data, sector);
	write32(data + 8, count);
	write32(data + 12, flags);
	return transfer(type, 0, 16, true);
}

static void ranges(void)
{
	if (v.features & F_WRITE_ZEROES) {
		ok(segment(T_WRITE_ZEROES, 3, 1, 0) == S_OK, "write zeroes");
		put("x");
		ok(transfer(T_IN, 3, SECTOR, false) == S_OK && !read8(data),
		   "and they are read");
		ok(segment(T_WRITE_ZEROES, SECTOR_COUNT, 1, 0) > 0,
		   "hostile: zeroes behind the end");
		ok(segment(T_WRITE_ZEROES, ~0ull, 2, 0) > 0,
		   "hostile: zeroes at a sector that wraps");
		ok(segment(T_WRITE_ZEROES, 3, 1, 0xfffffffe) > 0,
		   "hostile: unknown flags");
	}
	if (v.features & F_DISCARD) {
		ok(segment(T_DISCARD, 16, 8, 0) == S_OK, "discard");
		ok(segment(T_DISCARD, 16, 0xffffffff, 0) > 0,
		   "hostile: discard of 2 TiB");
		ok(segment(T_DISCARD, 16, 8, 1) > 0,
		   "hostile: discard with the flag of write zeroes");
	}
}

static void hostile_requests(void)
{
	ok(transfer(T_IN, SECTOR_COUNT, SECTOR, false) == S_IOERR,
	   "hostile: read behind the end");
	ok(transfer(T_IN, SECTOR_COUNT - 1, 2 * SECTOR, false) == S_IOERR,
	   "hostile: read over the end");
	ok(transfer(T_OUT, SECTOR_COUNT, SECTOR, true) == S_IOERR,
	   "hostile: write behind the end");
	ok(transfer(T_IN, ~0ull, SECTOR, false) == S_IOERR,
	   "hostile: sector 2^64 - 1");
	ok(transfer(T_IN, 1ull << 55, SECTOR, false) == S_IOERR,
	   "hostile: a sector whose byte offset overflows");
	ok(transfer(T_IN, 0, SECTOR - 1, false) == S_IOERR,
	   "hostile: 511 bytes");
	ok(transfer(99, 0, SECTOR, false) == S_UNSUPP,
	   "hostile: an unknown type");
	put("");
	ok(transfer(T_IN, 0, SECTOR, false) == S_OK, "the device goes on");
}

/* A header that is cut short, no status byte, nothing at all. */
static void malformed(const char *name, const struct vbuf *bufs, unsigned out,
		      unsigned in)
{
	fill(T_IN, 0);
	vring_add(&r, bufs, out, in);
	vring_ring(&r);
	if (vring_wait_or_reset(&r)) {
		exercise_restart(&blk, &v, &r,
				 F_FLUSH | F_DISCARD | F_WRITE_ZEROES);
	}
	ok(transfer(T_IN, 0, SECTOR, false) == S_OK, name);
}

static void malformed_requests(void)
{
	struct vbuf short_header[] = { { header, 15 }, { status, 1 } };
	struct vbuf only_header[] = { { header, 16 } };
	struct vbuf only_status[] = { { status, 1 } };
	struct vbuf no_status[] = { { header, 16 }, { data, SECTOR } };

	malformed("hostile: a header of 15 bytes", short_header, 1, 1);
	malformed("hostile: a header and no more", only_header, 1, 0);
	malformed("hostile: no header", only_status, 0, 1);
	malformed("hostile: all readable", no_status, 2, 0);
}

void secondary(void)
{
}

void payload(void)
{
	exercise(&blk);
	if (virtio_find(&v, 2, 0) &&
	    exercise_restart(&blk, &v, &r,
			     F_FLUSH | F_DISCARD | F_WRITE_ZEROES)) {
		good_requests();
		ranges();
		hostile_requests();
		malformed_requests();
	}
	plan_done();
}
