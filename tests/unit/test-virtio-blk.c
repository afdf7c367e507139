/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: virtio-blk over both transports, on both ring formats, on real files
 *
 * The driver touches rings and buffers with the queue's lock held, so that
 * ThreadSanitizer sees who waits for whom.
 */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include "devices/virtio/blk.h"
#include "formats.h"
#include "patience.h"
#include "suite.h"
#include "virtio-driver.h"

#define RING0 BED_RAM_A
#define RING1 BED_RAM_B
#define HEAD  (BED_RAM_A + 0x8000) /* headers, 64 bytes each, status at 32 */
#define DATA  (BED_RAM_A + 0x10000)
#define SIZE  MIB(4)
#define RING  64
#define V1    VIRTIO_F_VERSION_1

enum { IN, OUT, FLUSH = 4, GET_ID = 8, DISCARD = 11, ZEROES = 13 };
enum { OK, IOERR, UNSUPP, NO_ANSWER = 0xee };

static struct bed bed;
static struct disk_config cfg;
static struct device *dev;
static struct virtio_device *vd;
static struct blk *blk;
static struct drv drv;
static char path[64];
static unsigned next_slot;

static void setup(void)
{
	int fd;

	memset(&bed, 0, sizeof(bed));
	strcpy(path, "/var/tmp/test-virtio-blk-XXXXXX");
	fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, (off_t)SIZE), 0);
	close(fd);
	cfg = (struct disk_config){
		.path = path,
		.image_type = DISK_RAW,
		.sparse = true,
		.num_queues = 1,
		.queue_size = 128,
	};
}

static void teardown(void)
{
	unlink(path);
}

static void begin(int mmio)
{
	bed_open(&bed, mmio ? TRANSPORT_MMIO : TRANSPORT_PCI, true);
	bed.item = &cfg;
	dev = bed_add(&bed, "virtio-blk");
	vd = container_of(dev, struct virtio_device, dev);
	blk = container_of(vd, struct blk, vd);
	drv_find(&drv, &bed, dev, mmio ? 0 : 1);
	next_slot = 0;
}

static void end(void)
{
	device_free(dev);
	bed_close(&bed);
}

static void run_with(uint64_t features, unsigned queues)
{
	if (!drv.mmio)
		drv_msix(&drv, queues + 1);
	ck_assert_uint_eq(drv_negotiate(&drv, features | format), 11);
	for (unsigned q = 0; q < queues; q++)
		drv_queue(&drv, q, RING, q ? RING1 : RING0);
	drv_go(&drv);
}

static void run(void)
{
	run_with(drv_offered(&drv) &
			 ~(VIRTIO_F_EVENT_IDX | VIRTIO_F_RING_PACKED |
			   VIRTIO_F_IN_ORDER),
		 cfg.num_queues);
}

/* ---- requests ---------------------------------------------------------- */

static uint64_t slot_at(unsigned slot)
{
	return HEAD + (uint64_t)slot * 64;
}

static void put_header(uint64_t at, uint32_t type, uint64_t sector)
{
	uint8_t raw[16] = { 0 };

	put_le32(raw, type);
	put_le64(raw + 8, sector);
	ram_write(&bed.ram, GPA(at), raw, 16);
	ram_fill(&bed.ram, GPA(at + 32), NO_ANSWER, 1);
}

/* Header, @len bytes of data at @data (unless 0), status. Return: the slot,
 * which names the answer. */
static unsigned offer(unsigned q, uint32_t type, uint64_t sector, uint64_t data,
		      uint32_t len)
{
	unsigned slot = next_slot++ % 64;
	struct vbuf buf[3] = { { slot_at(slot), 16, 0 } };
	unsigned n = 1;

	if (len)
		buf[n++] = (struct vbuf){ data, len,
					  type == IN || type == GET_ID ? D_WRITE
								       : 0 };
	buf[n++] = (struct vbuf){ slot_at(slot) + 32, 1, D_WRITE };
	virtio_queue_lock(vd, q);
	put_header(slot_at(slot), type, sector);
	drv_chain(&drv, q, buf, n);
	virtio_queue_unlock(vd, q);
	return slot;
}

static bool take(unsigned q, uint32_t *len)
{
	uint32_t head;
	bool got;

	virtio_queue_lock(vd, q);
	got = drv_take(&drv, q, &head, len);
	virtio_queue_unlock(vd, q);
	return got;
}

static void await(unsigned q, uint32_t *len)
{
	ck_assert(WAIT_UNTIL(take(q, len)));
}

static uint8_t answer(unsigned slot)
{
	uint8_t status = 0;

	ram_read(&bed.ram, GPA(slot_at(slot) + 32), &status, 1);
	return status;
}

static uint8_t request(uint32_t type, uint64_t sector, uint64_t data,
		       uint32_t len)
{
	unsigned slot = offer(0, type, sector, data, len);
	uint32_t written;

	drv_kick(&drv, 0);
	await(0, &written);
	return answer(slot);
}

static uint8_t range(uint32_t type, uint64_t sector, uint32_t sectors,
		     uint32_t flags)
{
	uint8_t raw[16];

	put_le64(raw, sector);
	put_le32(raw + 8, sectors);
	put_le32(raw + 12, flags);
	ram_write(&bed.ram, GPA(DATA), raw, 16);
	return request(type, 0, DATA, 16);
}

static void file_fill(uint8_t byte)
{
	uint8_t *buf = malloc(SIZE);
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	memset(buf, byte, SIZE);
	ck_assert_int_eq(pwrite(fd, buf, SIZE, 0), (ssize_t)SIZE);
	close(fd);
	free(buf);
}

static uint8_t file_byte(uint64_t at)
{
	uint8_t byte = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	ck_assert_int_eq(pread(fd, &byte, 1, (off_t)at), 1);
	close(fd);
	return byte;
}

/* ---- what it does ------------------------------------------------------ */

START_TEST(reads_and_writes)
{
	uint8_t byte;
	uint32_t len;
	unsigned slot;

	begin(_i);
	run();
	ram_fill(&bed.ram, GPA(DATA), 0x5a, 8192);
	ck_assert_uint_eq(request(OUT, 16, DATA, 4096), OK);
	ck_assert_uint_eq(request(FLUSH, 0, 0, 0), OK);
	ck_assert_uint_eq(file_byte(8191), 0);
	ck_assert_uint_eq(file_byte(8192), 0x5a);
	ck_assert_uint_eq(file_byte(12287), 0x5a);
	ck_assert_uint_eq(file_byte(12288), 0);
	/* One sector before, and the interrupt. */
	drv_interrupts(&drv, 0);
	slot = offer(0, IN, 15, DATA, 1024);
	drv_kick(&drv, 0);
	await(0, &len);
	ck_assert_uint_eq(len, 1025);
	ck_assert_uint_eq(answer(slot), OK);
	ram_read(&bed.ram, GPA(DATA + 511), &byte, 1);
	ck_assert_uint_eq(byte, 0);
	ram_read(&bed.ram, GPA(DATA + 512), &byte, 1);
	ck_assert_uint_eq(byte, 0x5a);
	ck_assert(WAIT_UNTIL(drv_interrupts(&drv, 0)));
	end();
}
END_TEST

/* Framing is the driver's choice (VIRTIO 1.3 sec. 2.7.4): header in three
 * pieces, data in many, the status at the end of the last. */
START_TEST(any_framing)
{
	enum { PIECES = 20 };
	struct vbuf buf[4 + PIECES] = {
		{ slot_at(0), 1, 0 },
		{ slot_at(0) + 1, 10, 0 },
		{ slot_at(0) + 11, 5, 0 },
	};
	uint32_t len;
	uint8_t byte;

	begin(_i);
	run();
	file_fill(7);
	for (unsigned i = 0; i < PIECES; i++)
		buf[3 + i] = (struct vbuf){ DATA + i * 1000, 128, D_WRITE };
	/* 2560 so far: 512 more, and the status. */
	buf[3 + PIECES] = (struct vbuf){ DATA + 60000, 513, D_WRITE };
	virtio_queue_lock(vd, 0);
	put_header(slot_at(0), IN, 8);
	ram_fill(&bed.ram, GPA(DATA + 60512), NO_ANSWER, 2);
	drv_chain(&drv, 0, buf, ARRAY_SIZE(buf));
	virtio_queue_unlock(vd, 0);
	drv_kick(&drv, 0);
	await(0, &len);
	ck_assert_uint_eq(len, 2560 + 513);
	ram_read(&bed.ram, GPA(DATA + 19 * 1000 + 127), &byte, 1);
	ck_assert_uint_eq(byte, 7);
	ram_read(&bed.ram, GPA(DATA + 60511), &byte, 1);
	ck_assert_uint_eq(byte, 7);
	ram_read(&bed.ram, GPA(DATA + 60512), &byte, 1);
	ck_assert_uint_eq(byte, OK);
	ram_read(&bed.ram, GPA(DATA + 60513), &byte, 1);
	ck_assert_uint_eq(byte, NO_ANSWER);
	end();
}
END_TEST

static uint64_t config(unsigned offset, unsigned size)
{
	unsigned at = offset + (drv.mmio ? 0x100 : 0x2000);

	return drv_get(&drv, at, size);
}

static void set_writeback(uint8_t on)
{
	drv_put(&drv, 32 + (drv.mmio ? 0x100u : 0x2000u), 1, on);
}

START_TEST(configuration)
{
	uint64_t want = VIRTIO_BLK_F_SEG_MAX | VIRTIO_BLK_F_BLK_SIZE |
			VIRTIO_BLK_F_FLUSH | VIRTIO_BLK_F_TOPOLOGY |
			VIRTIO_BLK_F_CONFIG_WCE | VIRTIO_BLK_F_MQ |
			VIRTIO_BLK_F_DISCARD | VIRTIO_BLK_F_WRITE_ZEROES;

	cfg.num_queues = 2;
	begin(_i);
	ck_assert_uint_eq(drv_offered(&drv) & 0xffffff, want);
	ck_assert_uint_eq(config(0, 4), SIZE / 512);
	ck_assert_uint_eq(config(4, 4), 0);
	ck_assert_uint_eq(config(8, 4), 0);	   /* size_max: not offered */
	ck_assert_uint_eq(config(12, 4), 126);	   /* seg_max */
	ck_assert_uint_eq(config(20, 4), 512);	   /* blk_size */
	ck_assert_uint_le(config(24, 1), 7);	   /* 64 KiB */
	ck_assert_uint_eq(config(32, 1), 1);	   /* writeback */
	ck_assert_uint_eq(config(34, 2), 2);	   /* num_queues */
	ck_assert_uint_eq(config(36, 4), 8388608); /* 4 GiB */
	ck_assert_uint_eq(config(40, 4), 1);
	ck_assert_uint_eq(config(48, 4), 262144); /* 128 MiB */
	ck_assert_uint_eq(config(52, 4), 1);
	ck_assert_uint_eq(config(56, 1), 1);
	end();
}
END_TEST

START_TEST(features_follow_the_image)
{
	cfg.readonly = true;
	begin(_i);
	ck_assert(drv_offered(&drv) & VIRTIO_BLK_F_RO);
	ck_assert(!(drv_offered(&drv) & VIRTIO_BLK_F_DISCARD));
	ck_assert(!(drv_offered(&drv) & VIRTIO_BLK_F_WRITE_ZEROES));
	end();
	cfg.readonly = false;
	cfg.sparse = false;
	memset(&bed, 0, sizeof(bed));
	begin(_i);
	ck_assert(!(drv_offered(&drv) & VIRTIO_BLK_F_RO));
	ck_assert(!(drv_offered(&drv) & VIRTIO_BLK_F_DISCARD));
	ck_assert(drv_offered(&drv) & VIRTIO_BLK_F_WRITE_ZEROES);
	ck_assert_uint_eq(config(56, 1), 0); /* may not unmap */
	end();
}
END_TEST

static const struct {
	const char *serial;
	uint32_t room;
	const char *id;
} ids[] = {
	{ NULL, 20, "_virtio-blk" },
	{ "S/N 0815", 20, "S/N 0815" },
	{ "12345678901234567890", 20, "12345678901234567890" },
	{ "12345678901234567890", 30, "12345678901234567890" },
	{ "12345678901234567890", 4, "1234" },
};

START_TEST(serial_number)
{
	char got[64], want[64];

	cfg.serial = (char *)(uintptr_t)ids[_i].serial;
	begin(0);
	run();
	ram_fill(&bed.ram, GPA(DATA), 0xcc, 64);
	ck_assert_uint_eq(request(GET_ID, 0, DATA, ids[_i].room), OK);
	ram_read(&bed.ram, GPA(DATA), got, 64);
	memset(want, 0xcc, 64);
	memset(want, 0, MIN(ids[_i].room, 20));
	memcpy(want, ids[_i].id, strlen(ids[_i].id));
	ck_assert_mem_eq(got, want, 64);
	end();
}
END_TEST

START_TEST(discards_and_zeroes)
{
	struct stat st;

	begin(_i);
	run();
	file_fill(0xff);
	ck_assert_uint_eq(range(ZEROES, 8, 2048, 0), OK);
	ck_assert_uint_eq(file_byte(4095), 0xff);
	ck_assert_uint_eq(file_byte(4096), 0);
	ck_assert_uint_eq(file_byte(4096 + MIB(1) - 1), 0);
	ck_assert_uint_eq(file_byte(4096 + MIB(1)), 0xff);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_ge((uint64_t)st.st_blocks * 512, SIZE);
	ck_assert_uint_eq(range(ZEROES, 8, 2048, 1), OK);
	ck_assert_uint_eq(range(DISCARD, 4096, 4096, 0), OK);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_le((uint64_t)st.st_blocks * 512, MIB(1) + KIB(64));
	end();
}
END_TEST

/* VIRTIO 1.3 sec. 5.2.6.2: what must fail, and how. */
static const struct {
	uint32_t type, sectors, flags;
	uint64_t sector;
	uint8_t status;
} bad_ranges[] = {
	{ DISCARD, 8, 1, 0, UNSUPP }, /* unmap */
	{ DISCARD, 8, 2, 0, UNSUPP },
	{ ZEROES, 8, 2, 0, UNSUPP },
	{ ZEROES, 8, 0x80000001, 0, UNSUPP },
	{ DISCARD, 8388609, 0, 0, IOERR },
	{ ZEROES, 262145, 0, 0, IOERR },
	{ ZEROES, UINT32_MAX, 0, 0, IOERR },
	{ DISCARD, 1, 0, SIZE / 512, IOERR },
	{ ZEROES, 2, 0, SIZE / 512 - 1, IOERR },
	{ ZEROES, 8, 0, UINT64_MAX, IOERR },
	{ DISCARD, 8, 0, 1ULL << 55, IOERR },
	{ DISCARD, 0, 0, 0, OK },
	{ ZEROES, 0, 0, 0, OK },
};

START_TEST(refuses_ranges)
{
	begin(_i);
	run();
	file_fill(0xff);
	for (unsigned i = 0; i < ARRAY_SIZE(bad_ranges); i++)
		ck_assert_uint_eq(
			range(bad_ranges[i].type, bad_ranges[i].sector,
			      bad_ranges[i].sectors, bad_ranges[i].flags),
			bad_ranges[i].status);
	/* Two ranges, less than one, none. */
	ck_assert_uint_eq(request(DISCARD, 0, DATA, 32), IOERR);
	ck_assert_uint_eq(request(ZEROES, 0, DATA, 15), IOERR);
	ck_assert_uint_eq(request(ZEROES, 0, 0, 0), IOERR);
	ck_assert_uint_eq(file_byte(0), 0xff);
	ck_assert_uint_eq(file_byte(SIZE - 1), 0xff);
	end();
}
END_TEST

START_TEST(needs_the_feature)
{
	begin(_i);
	run_with(V1, 1);
	ck_assert_uint_eq(range(DISCARD, 0, 8, 0), UNSUPP);
	ck_assert_uint_eq(range(ZEROES, 0, 8, 0), UNSUPP);
	ck_assert_uint_eq(request(FLUSH, 0, 0, 0), OK);
	end();
}
END_TEST

/* ---- what the image is -------------------------------------------------- */

/* Read 4096 bytes of the file itself. */
static void file_head(uint8_t *buf)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	ck_assert_int_eq(pread(fd, buf, 4096, 0), 4096);
	close(fd);
}

/* Class (j); CVE-2026-27211 was this: a guest makes its raw disk look like a
 * qcow2 image with a backing file. At the next start it is what it was. */
START_TEST(never_probed)
{
	static const uint8_t header[] = "QFI\xfb\0\0\0\3\0\0\0\0\0\0\0\x68"
					"\0\0\0\x0b\0\0\0\x10\0\0\0\0"
					"\0\x40\0\0";
	uint8_t before[4096], after[4096];

	begin(_i & 1);
	run();
	ram_fill(&bed.ram, GPA(DATA), 0, 4096);
	ram_write(&bed.ram, GPA(DATA), header, sizeof(header));
	ram_write(&bed.ram, GPA(DATA + 0x68), "/etc/passwd", 11);
	ck_assert_uint_eq(request(OUT, 0, DATA, 4096), OK);
	ck_assert_uint_eq(request(FLUSH, 0, 0, 0), OK);
	file_head(before);
	end();
	memset(&bed, 0, sizeof(bed));
	if (_i & 2)
		cfg.image_type = DISK_UNTYPED;
	begin(_i & 1);
	run();
	ck_assert_uint_eq(config(0, 4), SIZE / 512);
	ram_fill(&bed.ram, GPA(DATA), 0, 4096);
	ck_assert_uint_eq(request(IN, 0, DATA, 4096), OK);
	ram_read(&bed.ram, GPA(DATA), after, 4096);
	ck_assert_mem_eq(after, before, 4096);
	end();
}
END_TEST

/* Class (n): what was opened is what is used. The path may become a link to
 * something else at any time. */
START_TEST(path_changes_hands)
{
	char moved[80], other[80];
	uint8_t byte;
	int fd;

	snprintf(moved, sizeof(moved), "%s.moved", path);
	snprintf(other, sizeof(other), "%s.other", path);
	file_fill(0x11);
	begin(_i);
	run();
	fd = open(other, O_CREAT | O_RDWR, 0600);
	ck_assert_int_eq(ftruncate(fd, 2 * SIZE), 0);
	ck_assert_int_eq(rename(path, moved), 0);
	ck_assert_int_eq(symlink(other, path), 0);
	ck_assert_uint_eq(request(IN, 0, DATA, 512), OK);
	ram_read(&bed.ram, GPA(DATA), &byte, 1);
	ck_assert_uint_eq(byte, 0x11);
	ram_fill(&bed.ram, GPA(DATA), 0x22, 512);
	ck_assert_uint_eq(request(OUT, 0, DATA, 512), OK);
	bed_save_load(&bed, dev, 0, 0);
	ck_assert_uint_eq(config(0, 4), SIZE / 512);
	ck_assert_uint_eq(request(OUT, 8, DATA, 512), OK);
	ck_assert_int_eq(pread(fd, &byte, 1, 0), 1);
	ck_assert_uint_eq(byte, 0);
	ck_assert_int_eq(pread(fd, &byte, 1, 4096), 1);
	ck_assert_uint_eq(byte, 0);
	close(fd);
	end();
	unlink(moved);
	unlink(other);
}
END_TEST

/* ---- bad requests ------------------------------------------------------ */

static const struct {
	uint32_t type;
	uint64_t sector;
	uint32_t len;
	uint8_t status;
} bad[] = {
	{ IN, SIZE / 512, 512, IOERR },
	{ IN, SIZE / 512 - 1, 1024, IOERR },
	{ OUT, SIZE / 512, 512, IOERR },
	{ IN, UINT64_MAX, 512, IOERR },
	{ OUT, UINT64_MAX / 512, 512, IOERR },
	{ OUT, UINT64_MAX / 512 + 1, 512, IOERR }, /* wraps to 0 */
	{ IN, 0, 511, IOERR },
	{ OUT, 0, 513, IOERR },
	{ IN, 0, 0, OK },
	{ OUT, 0, 0, OK },
	{ 2, 0, 512, UNSUPP },
	{ 3, 0, 0, UNSUPP },
	{ 5, 0, 0, UNSUPP },
	{ 12, 0, 16, UNSUPP },
	{ 14, 0, 16, UNSUPP }, /* secure erase: not offered */
	{ 15, 0, 512, UNSUPP },
	{ UINT32_MAX, 0, 512, UNSUPP },
};

START_TEST(refuses_requests)
{
	begin(_i);
	run();
	file_fill(0xff);
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		ck_assert_uint_eq(
			request(bad[i].type, bad[i].sector, DATA, bad[i].len),
			bad[i].status);
	ck_assert_uint_eq(file_byte(0), 0xff);
	ck_assert_uint_eq(drv_status(&drv), 15);
	end();
}
END_TEST

START_TEST(read_only)
{
	cfg.readonly = true;
	begin(_i);
	run();
	ck_assert_uint_eq(request(OUT, 0, DATA, 512), IOERR);
	ck_assert_uint_eq(request(IN, 0, DATA, 512), OK);
	ck_assert_uint_eq(request(FLUSH, 0, 0, 0), OK);
	end();
}
END_TEST

/* A header that is too short, in a chain that has a status byte. */
START_TEST(short_header)
{
	const struct vbuf buf[] = { { slot_at(0), 15, 0 },
				    { slot_at(0) + 32, 1, D_WRITE } };
	uint32_t len;

	begin(_i);
	run();
	virtio_queue_lock(vd, 0);
	put_header(slot_at(0), IN, 0);
	drv_chain(&drv, 0, buf, 2);
	put_header(slot_at(1), IN, 0);
	drv_add(&drv, 0, slot_at(1) + 32, 1, true);
	virtio_queue_unlock(vd, 0);
	drv_kick(&drv, 0);
	await(0, &len);
	ck_assert_uint_eq(len, 1);
	await(0, &len);
	ck_assert_uint_eq(answer(0), IOERR);
	ck_assert_uint_eq(answer(1), IOERR);
	end();
}
END_TEST

/* Nowhere to put the status: the device needs a reset, and then works. */
START_TEST(no_status_byte)
{
	const struct vbuf buf[] = { { slot_at(0), 16, 0 }, { DATA, 512, 0 } };
	struct stream_out out;
	uint32_t len;

	begin(_i);
	run();
	virtio_queue_lock(vd, 0);
	put_header(slot_at(0), OUT, 0);
	drv_chain(&drv, 0, buf, 2);
	virtio_queue_unlock(vd, 0);
	drv_kick(&drv, 0);
	ck_assert(WAIT_UNTIL(drv_status(&drv) & 64));
	ck_assert_uint_eq(drv_status(&drv), 15 | 64);
	ck_assert(!take(0, &len));
	dev->cls->pause(dev);
	stream_out_init(&out);
	dev->cls->save(dev, &out);
	stream_out_release(&out);
	dev->cls->resume(dev);
	run();
	ck_assert_uint_eq(request(IN, 0, DATA, 512), OK);
	end();
}
END_TEST

/* A full host is the request's error, not the machine's end. */
START_TEST(host_is_full)
{
	struct rlimit limit = { MIB(1), RLIM_INFINITY };

	begin(_i);
	run();
	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	ck_assert_uint_eq(request(OUT, 4096, DATA, 4096), IOERR);
	ck_assert_uint_eq(request(OUT, 4096, DATA, 4096), IOERR);
	ck_assert_uint_eq(atomic_load(&blk->host_errors), 2);
	ck_assert_uint_eq(request(OUT, 0, DATA, 4096), OK);
	limit.rlim_cur = RLIM_INFINITY;
	setrlimit(RLIMIT_FSIZE, &limit);
	end();
}
END_TEST

/* ---- cache mode -------------------------------------------------------- */

START_TEST(cache_modes)
{
	begin(_i);
	run();
	ck_assert(!blk->write_through);
	set_writeback(0);
	ck_assert_uint_eq(config(32, 1), 0);
	ck_assert(blk->write_through);
	ck_assert_uint_eq(request(OUT, 0, DATA, 4096), OK);
	ck_assert_uint_eq(range(ZEROES, 0, 8, 0), OK);
	set_writeback(1);
	ck_assert(!blk->write_through);
	/* A reset brings the default back. */
	set_writeback(0);
	drv_set_status(&drv, 0);
	ck_assert_uint_eq(config(32, 1), 1);
	/* A driver that knows nothing of caches gets none. */
	run_with(V1, 1);
	ck_assert(blk->write_through);
	set_writeback(0); /* not negotiated */
	ck_assert_uint_eq(config(32, 1), 1);
	ck_assert_uint_eq(request(OUT, 0, DATA, 4096), OK);
	run_with(V1 | VIRTIO_BLK_F_FLUSH, 1);
	ck_assert(!blk->write_through);
	end();
}
END_TEST

/* ---- reset, state ------------------------------------------------------ */

static void launch(void)
{
	for (unsigned i = 0; i < RING / 3; i++)
		offer(0, i % 2 ? IN : OUT, i * 64ULL, DATA + i * 32768, 32768);
	drv_kick(&drv, 0);
}

static void reset_device(void)
{
	drv_set_status(&drv, 0);
}

static void reset_ring(void)
{
	drv_ring_reset(&drv, 0);
}

static void power_cycle(void)
{
	dev->cls->reset(dev);
}

static void (*const stops[])(void) = { reset_device, reset_ring, power_cycle };

START_TEST(reset_in_flight)
{
	begin(_i & 1);
	for (unsigned i = 0; i < 30; i++) {
		run();
		launch();
		usleep(i * 20);
		stops[_i / 2]();
		/* Nothing of it is left in guest memory's way. */
		virtio_queue_lock(vd, 0);
		ram_fill(&bed.ram, GPA(DATA), 0x77, RING / 3 * 32768);
		virtio_queue_unlock(vd, 0);
	}
	run();
	ck_assert_uint_eq(request(IN, 0, DATA, 512), OK);
	end();
}
END_TEST

START_TEST(unrealize_in_flight)
{
	begin(_i);
	run();
	launch();
	end();
}
END_TEST

START_TEST(save_and_load)
{
	struct stream_out out;
	struct stream_in in;
	struct diag d = DIAG_INIT;
	struct drv before;
	uint32_t len;

	begin(_i);
	run();
	set_writeback(0);
	launch();
	dev->cls->pause(dev); /* with requests in flight */
	stream_out_init(&out);
	dev->cls->save(dev, &out);
	before = drv;
	for (size_t cut = 0; cut < out.len; cut += 7) {
		power_cycle();
		stream_in_init(&in, out.data, cut);
		ck_assert_int_eq(dev->cls->load(dev, &in, &d), -EBADMSG);
	}
	power_cycle();
	stream_in_init(&in, out.data, out.len);
	ck_assert_int_eq(dev->cls->load(dev, &in, &d), 0);
	dev->cls->resume(dev);
	drv = before;
	ck_assert(blk->write_through);
	ck_assert_uint_eq(config(32, 1), 0);
	for (unsigned i = 0; i < RING / 3; i++)
		await(0, &len);
	ck_assert_uint_eq(request(IN, 0, DATA, 512), OK);
	stream_out_release(&out);
	end();
}
END_TEST

/* ---- threads, size, rates ---------------------------------------------- */

/* @tid: of one of them */
static unsigned threads_named_now(const char *name, pid_t *tid)
{
	DIR *dir = opendir("/proc/self/task");
	struct dirent *e;
	char file[300], comm[32];
	unsigned n = 0, before;
	FILE *f;

	while ((e = readdir(dir))) {
		snprintf(file, sizeof(file), "/proc/self/task/%s/comm",
			 e->d_name);
		f = fopen(file, "r");
		if (!f)
			continue;
		before = n;
		n += fgets(comm, sizeof(comm), f) && !strcmp(comm, name);
		if (n > before)
			*tid = (pid_t)strtol(e->d_name, NULL, 10);
		fclose(f);
	}
	closedir(dir);
	return n;
}

/* A thread names itself, a moment after it was made. */
static unsigned threads_named(const char *name)
{
	unsigned n = 0;
	pid_t tid;

	WAIT_UNTIL((n = threads_named_now(name, &tid)) != 0);
	return n;
}

/* CPUs that the one of that name may run on; and @last of them. */
static int cpus_of_thread(const char *name, unsigned *last)
{
	cpu_set_t set;
	pid_t tid = 0;

	if (name)
		ck_assert(WAIT_UNTIL(threads_named_now(name, &tid) == 1));
	ck_assert_int_eq(sched_getaffinity(tid, sizeof(set), &set), 0);
	for (unsigned i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, &set))
			*last = i;
	return CPU_COUNT(&set);
}

START_TEST(queues_have_threads)
{
	uint32_t len;
	unsigned a, b;

	cfg.num_queues = 2;
	cfg.id = NULL;
	begin(_i);
	ck_assert_uint_eq(threads_named("_virtio-blk_q0\n"), 1);
	ck_assert_uint_eq(threads_named("_virtio-blk_q1\n"), 1);
	run();
	a = offer(0, OUT, 0, DATA, 4096);
	b = offer(1, OUT, 8, DATA + 4096, 4096);
	drv_kick(&drv, 0);
	drv_kick(&drv, 1);
	await(0, &len);
	await(1, &len);
	ck_assert_uint_eq(answer(a), OK);
	ck_assert_uint_eq(answer(b), OK);
	end();
}
END_TEST

/* One thread is bound to a CPU, and works; the other is left alone. */
START_TEST(queues_have_places)
{
	uint32_t cpu[1], none[] = { CPU_SETSIZE };
	struct affinity place = { 1, { cpu, 1 } };
	unsigned all, any, last;
	struct diag d = DIAG_INIT;
	uint32_t len;

	all = (unsigned)cpus_of_thread(NULL, &cpu[0]);
	cfg.num_queues = 2;
	cfg.queue_affinity = (struct affinity_list){ &place, 1 };
	begin(_i);
	ck_assert_int_eq(cpus_of_thread("_virtio-blk_q1\n", &last), 1);
	ck_assert_uint_eq(last, cpu[0]);
	ck_assert_uint_eq(cpus_of_thread("_virtio-blk_q0\n", &any), all);
	run();
	offer(1, OUT, 8, DATA + 4096, 4096);
	drv_kick(&drv, 1);
	await(1, &len);
	device_free(dev);
	place.cpus.v = none;
	ck_assert_int_eq(device_new(&dev, device_class_find("virtio-blk"),
				    "_far", &cfg, &bed.env, NULL, &d),
			 -EINVAL);
	ck_assert_str_eq(d.text[0],
			 "thread _far_q1: cannot run on the CPUs given: none "
			 "of them is one that this program may use (taskset "
			 "-p, nproc)");
	bed_close(&bed);
}
END_TEST

START_TEST(resize)
{
	struct diag d = DIAG_INIT;

	begin(_i);
	run();
	if (!drv.mmio)
		drv_fired(&drv, 0);
	ck_assert_uint_eq(request(IN, SIZE / 512, DATA, 512), IOERR);
	ck_assert_int_eq(virtio_blk_resize(dev, SIZE * 2, &d), 0);
	ck_assert_uint_eq(config(0, 4), SIZE * 2 / 512);
	ck_assert_uint_eq(atomic_load(&vd->generation), 1);
	if (!drv.mmio)
		ck_assert_uint_eq(drv_fired(&drv, 0), 1);
	ck_assert_uint_eq(request(OUT, SIZE / 512, DATA, 512), OK);
	ck_assert_int_eq(virtio_blk_resize(dev, SIZE, &d), -EINVAL);
	ck_assert_uint_eq(atomic_load(&vd->generation), 1);
	end();
}
END_TEST

/* 10 operations, 2 at once and then 2 every 20 ms. */
static uint64_t ten(void)
{
	uint64_t start = patience_ns();
	uint32_t len;

	for (unsigned i = 0; i < 10; i++)
		offer(0, IN, i, DATA, 512);
	drv_kick(&drv, 0);
	for (unsigned i = 0; i < 10; i++)
		await(0, &len);
	return ms_since(start);
}

START_TEST(rate_limit)
{
	struct rate_config rate = { .ops = { .size = 2,
					     .refill_time_ms = 20 } };
	struct diag d = DIAG_INIT;

	cfg.rate = rate;
	begin(_i);
	run();
	ck_assert_uint_ge(ten(), 75);
	/* Reset while a request waits. */
	launch();
	reset_device();
	run();
	ck_assert_uint_eq(request(IN, 0, DATA, 512), OK);
	/* Without a limit, after one that would last for ever. */
	rate.ops.refill_time_ms = 3600000;
	ck_assert_int_eq(virtio_blk_set_rate(dev, &rate, &d), 0);
	rate.ops = (struct bucket_config){ 0 };
	ck_assert_int_eq(virtio_blk_set_rate(dev, &rate, &d), 0);
	ten();
	rate.ops.size = 1; /* without refill time */
	ck_assert_int_eq(virtio_blk_set_rate(dev, &rate, &d), -EINVAL);
	rate.ops.refill_time_ms = 10;
	ck_assert_int_eq(virtio_blk_set_rate(dev, &rate, &d), 0);
	ck_assert_uint_ge(ten(), 80);
	end();
}
END_TEST

START_TEST(rate_limit_of_a_group)
{
	struct rate_group_config group = {
		.id = (char *)(uintptr_t) "slow",
		.rate = { .bandwidth = { .size = 1024, .refill_time_ms = 20 } },
	};
	struct rate_limiter limiter;
	struct diag d = DIAG_INIT;
	unsigned head;
	uint32_t len;

	rate_limiter_init(&limiter, &group.rate);
	cfg.rate_limit_group = group.id;
	begin(_i);
	end();
	memset(&bed, 0, sizeof(bed));
	bed_open(&bed, _i ? TRANSPORT_MMIO : TRANSPORT_PCI, true);
	bed.config.rate_groups = &group;
	bed.config.rate_group_count = 1;
	bed.env.rate_groups = &limiter;
	bed.item = &cfg;
	dev = bed_add(&bed, "virtio-blk");
	vd = container_of(dev, struct virtio_device, dev);
	blk = container_of(vd, struct blk, vd);
	drv_find(&drv, &bed, dev, _i ? 0 : 1);
	run();
	ck_assert_uint_ge(ten(), 75);
	ck_assert_int_eq(virtio_blk_set_rate(dev, &group.rate, &d), -EINVAL);
	ck_assert_str_eq(d.text[0], "_virtio-blk: its rate is that of "
				    "rate_limit_group=slow");
	/* Others for the group, while a request waits. */
	group.rate.bandwidth.refill_time_ms = 3600000;
	rate_limiter_set(&limiter, &group.rate);
	head = offer(0, IN, 0, DATA, 4096);
	drv_kick(&drv, 0);
	usleep(20000);
	ck_assert_uint_eq(answer(head), NO_ANSWER);
	group.rate.bandwidth = (struct bucket_config){ 0 };
	rate_limiter_set(&limiter, &group.rate);
	await(0, &len);
	ck_assert_uint_eq(answer(head), OK);
	end();
	rate_limiter_release(&limiter);
}
END_TEST

/* Locked by another disk: the machine is not built. */
START_TEST(locked_image)
{
	struct device *second = NULL;
	struct diag d = DIAG_INIT;
	char why[512], want[512];

	begin(_i);
	ck_assert_int_eq(device_new(&second, device_class_find("virtio-blk"),
				    "_two", &cfg, &bed.env, NULL, &d),
			 -EBUSY);
	snprintf(want, sizeof(want),
		 "--disk path=%s: is in use already by this process: a disk "
		 "can be attached once, or readonly=on each time",
		 path);
	ck_assert_str_eq(diag_format(&d, why, sizeof(why)), want);
	end();
}
END_TEST

static TCase *blk_case(bool packed)
{
	TCase *t = FORMAT_CASE("both transports", packed);

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, reads_and_writes, 0, 2);
	tcase_add_loop_test(t, any_framing, 0, 2);
	tcase_add_loop_test(t, configuration, 0, 2);
	tcase_add_loop_test(t, features_follow_the_image, 0, 2);
	tcase_add_loop_test(t, serial_number, 0, ARRAY_SIZE(ids));
	tcase_add_loop_test(t, discards_and_zeroes, 0, 2);
	tcase_add_loop_test(t, refuses_ranges, 0, 2);
	tcase_add_loop_test(t, needs_the_feature, 0, 2);
	tcase_add_loop_test(t, never_probed, 0, 4);
	tcase_add_loop_test(t, path_changes_hands, 0, 2);
	tcase_add_loop_test(t, refuses_requests, 0, 2);
	tcase_add_loop_test(t, read_only, 0, 2);
	tcase_add_loop_test(t, short_header, 0, 2);
	tcase_add_loop_test(t, no_status_byte, 0, 2);
	tcase_add_loop_test(t, host_is_full, 0, 2);
	tcase_add_loop_test(t, cache_modes, 0, 2);
	tcase_add_loop_test(t, reset_in_flight, 0, 2 * ARRAY_SIZE(stops));
	tcase_add_loop_test(t, unrealize_in_flight, 0, 2);
	tcase_add_loop_test(t, save_and_load, 0, 2);
	tcase_add_loop_test(t, queues_have_threads, 0, 2);
	tcase_add_loop_test(t, queues_have_places, 0, 2);
	tcase_add_loop_test(t, resize, 0, 2);
	tcase_add_loop_test(t, rate_limit, 0, 2);
	tcase_add_loop_test(t, rate_limit_of_a_group, 0, 2);
	tcase_add_loop_test(t, locked_image, 0, 2);
	return t;
}

int main(void)
{
	Suite *s = suite_create("virtio-blk");

	for (int packed = 0; packed < 2; packed++)
		suite_add_tcase(s, blk_case(packed));
	return suite_run(s);
}
