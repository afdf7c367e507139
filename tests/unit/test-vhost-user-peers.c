/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: devices that other projects' vhost-user back ends serve
 *
 * A disk of QEMU's qemu-storage-daemon, which is started here; and a network
 * card of DPDK's testpmd, which returns each packet, if VHOST_USER_PORT in the
 * environment names the socket of one: tests/interop/run starts it and runs
 * this program again. The test is the guest's driver, over both transports.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "vmm/base/log.h"

#include "tests/unit/patience.h"
#include "tests/unit/suite.h"
#include "virtio-driver.h"

#define RING(q) (BED_RAM_A + (q)*0x20000ULL)
#define HEADS	(BED_RAM_B + 0x1000)
#define DATA	(BED_RAM_B + 0x10000)
#define SIZE	64

static struct bed bed;
static struct drv drv;
static struct device *dev;
static char dir[32], image[64], path[64];

static void begin(int transport, const char *cls, const void *item)
{
	bed_open_shared(&bed, transport ? TRANSPORT_MMIO : TRANSPORT_PCI);
	bed.item = item;
	dev = bed_add(&bed, cls);
	drv_find(&drv, &bed, dev, transport ? 0 : 1);
}

static void run(uint64_t features, unsigned queues)
{
	if (!drv.mmio)
		drv_msix(&drv, queues + 1);
	ck_assert_uint_eq(drv_negotiate(&drv, VIRTIO_F_VERSION_1 | features),
			  11);
	for (unsigned q = 0; q < queues; q++)
		drv_queue(&drv, q, SIZE, RING(q));
	drv_go(&drv);
}

static void end(void)
{
	device_free(dev);
	bed_close(&bed);
}

#define BED_UNTIL(cond) WAIT_UNTIL((bed_run(&bed, 1), (cond)))

static void fill(uint64_t at, size_t len, uint8_t seed)
{
	uint8_t raw[4096];

	for (size_t i = 0; i < len; i++)
		raw[i] = (uint8_t)(seed + 7 * i);
	ram_write(&bed.ram, GPA(at), raw, len);
}

static bool filled(uint64_t at, size_t len, uint8_t seed)
{
	uint8_t raw[4096];

	ram_read(&bed.ram, GPA(at), raw, len);
	for (size_t i = 0; i < len; i++)
		if (raw[i] != (uint8_t)(seed + 7 * i))
			return false;
	return true;
}

/* ---- qemu-storage-daemon --------------------------------------------------
 */

#define IMAGE_BYTES MIB(1)
#define BLOCK	    4096u

static const struct disk_config disk = {
	.vhost_user = true, .socket = path, .num_queues = 2, .queue_size = SIZE
};
static pid_t daemon_pid;

/* Returns when it is there: how long it takes is not what is tested. */
static void daemon_start(void)
{
	char blockdev[128], export[160];
	pid_t ended = 0;

	snprintf(blockdev, sizeof(blockdev),
		 "driver=file,node-name=f,filename=%s", image);
	snprintf(export, sizeof(export),
		 "type=vhost-user-blk,id=e,node-name=f,writable=on,"
		 "num-queues=2,addr.type=unix,addr.path=%s",
		 path);
	unlink(path);
	daemon_pid = fork();
	ck_assert_int_ge(daemon_pid, 0);
	if (daemon_pid) {
		ck_assert(WAIT_UNTIL(
			!access(path, F_OK) ||
			(ended = waitpid(daemon_pid, NULL, WNOHANG))));
		ck_assert_msg(!ended, "qemu-storage-daemon does not run");
		return;
	}
	execlp("qemu-storage-daemon", "qemu-storage-daemon", "--blockdev",
	       blockdev, "--export", export, (char *)NULL);
	_exit(1);
}

static void daemon_kill(void)
{
	kill(daemon_pid, SIGKILL);
	waitpid(daemon_pid, NULL, 0);
	daemon_pid = 0;
}

/* In the process that starts the tests, which outlives a failed one. */
static void make_dir(void)
{
	strcpy(dir, "/tmp/test-vp-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s", dir);
	snprintf(image, sizeof(image), "%s/disk", dir);
}

static void remove_dir(void)
{
	unlink(path);
	unlink(image);
	rmdir(dir);
}

/* A file of its own, which no other test's daemon has locked. */
static void setup(void)
{
	int fd;

	memset(&bed, 0, sizeof(bed));
	unlink(image);
	fd = open(image, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
	ck_assert_int_eq(ftruncate(fd, IMAGE_BYTES), 0);
	close(fd);
}

static void teardown(void)
{
	if (daemon_pid)
		daemon_kill();
}

/* VIRTIO 1.3 sec. 5.2.6 */
enum { T_IN = 0, T_OUT = 1, T_FLUSH = 4, S_OK = 0 };

/* Block @slot of the disk from or to the slot's memory. */
static void ask(unsigned q, uint32_t type, unsigned slot)
{
	uint64_t at = HEADS + slot * 32;
	uint16_t way = type == T_IN ? D_WRITE : 0;
	const struct vbuf buf[] = { { at, 16, 0 },
				    { DATA + slot * BLOCK, BLOCK, way },
				    { at + 16, 1, D_WRITE } };
	const struct vbuf no_data[] = { buf[0], buf[2] };
	uint8_t raw[17] = { 0 };

	put_le32(raw, type);
	put_le64(raw + 8, slot * BLOCK / 512);
	raw[16] = 0xff;
	ram_write(&bed.ram, GPA(at), raw, sizeof(raw));
	if (type == T_FLUSH)
		drv_chain(&drv, q, no_data, 2);
	else
		drv_chain(&drv, q, buf, 3);
	drv_kick(&drv, q);
}

static bool answered(unsigned slot)
{
	uint8_t status = 0xff;

	ram_read(&bed.ram, GPA(HEADS + slot * 32 + 16), &status, 1);
	ck_assert(status == S_OK || status == 0xff);
	return status == S_OK;
}

static void request(unsigned q, uint32_t type, unsigned slot)
{
	uint16_t before = drv_used_idx(&drv, q);

	ask(q, type, slot);
	ck_assert(BED_UNTIL(drv_used_idx(&drv, q) != before));
	ck_assert(answered(slot));
	ck_assert(BED_UNTIL(drv_interrupts(&drv, q)));
}

static bool in_file(unsigned slot, uint8_t seed)
{
	uint8_t raw[BLOCK];
	int fd = open(image, O_RDONLY | O_CLOEXEC);

	ck_assert_int_eq(pread(fd, raw, BLOCK, slot * BLOCK), BLOCK);
	close(fd);
	ram_write(&bed.ram, GPA(DATA - BLOCK), raw, BLOCK);
	return filled(DATA - BLOCK, BLOCK, seed);
}

static void write_and_read(uint8_t seed)
{
	for (unsigned i = 0; i < 16; i++) {
		fill(DATA + i * BLOCK, BLOCK, (uint8_t)(seed + i));
		request(i % 2, T_OUT, i);
	}
	request(0, T_FLUSH, 0);
	for (unsigned i = 0; i < 16; i++) {
		ck_assert(in_file(i, (uint8_t)(seed + i)));
		fill(DATA + i * BLOCK, BLOCK, 0);
		request(1 - i % 2, T_IN, i);
		ck_assert(filled(DATA + i * BLOCK, BLOCK, (uint8_t)(seed + i)));
	}
}

static uint64_t config(unsigned offset, unsigned bytes)
{
	uint64_t got = 0;

	for (unsigned i = 0; i < bytes; i++)
		got |= drv_get(&drv, (drv.mmio ? 0x100 : 0x2000) + offset + i,
			       1)
		       << 8 * i;
	return got;
}

START_TEST(storage_daemon)
{
	daemon_start();
	begin(_i, "vhost-user-blk", &disk);
	ck_assert_uint_eq(config(0, 8), IMAGE_BYTES / 512);
	ck_assert_uint_eq(config(34, 2), 2);
	for (unsigned i = 0; i < 3; i++) {
		run(VIRTIO_F_INDIRECT_DESC, 2);
		write_and_read((uint8_t)(i * 31));
		drv_set_status(&drv, 0);
	}
	end();
}
END_TEST

/* It forgets what was in flight; the front end knows where the ring was. */
START_TEST(storage_daemon_killed)
{
	daemon_start();
	begin(_i, "vhost-user-blk", &disk);
	run(0, 2);
	write_and_read(3);
	for (unsigned round = 0; round < 3; round++) {
		daemon_kill();
		for (unsigned i = 0; i < 8; i++) {
			fill(DATA + i * BLOCK, BLOCK, (uint8_t)(99 + round));
			ask(i % 2, T_OUT, i);
		}
		bed_run(&bed, 3);
		daemon_start();
		for (unsigned i = 0; i < 8; i++)
			ck_assert(BED_UNTIL(answered(i)));
		request(0, T_FLUSH, 8);
		for (unsigned i = 0; i < 8; i++)
			ck_assert(in_file(i, (uint8_t)(99 + round)));
	}
	end();
}
END_TEST

/* ---- DPDK ------------------------------------------------------------------
 */

enum { RX, TX, HDR = 12, FRAME = 200, BUFFER = 2048, FRAMES = 200 };

static void offer_rx(unsigned slot)
{
	drv_add(&drv, RX, DATA + slot * BUFFER, BUFFER, true);
}

/* With a header that asks for nothing. */
static void send(uint8_t seed)
{
	uint8_t hdr[HDR] = { 0 };

	fill(HEADS + HDR, FRAME, seed);
	ram_write(&bed.ram, GPA(HEADS), hdr, HDR);
	drv_add(&drv, TX, HEADS, HDR + FRAME, false);
	drv_kick(&drv, TX);
}

/* What is sent comes back; until its port is up, testpmd takes nothing. */
START_TEST(dpdk)
{
	char *port = getenv("VHOST_USER_PORT");
	const struct net_config n = { .vhost_user = true,
				      .socket = port,
				      .num_queues = 2,
				      .queue_size = SIZE,
				      .offload_csum = true,
				      .offload_tso = true };
	uint32_t head, len;

	begin(_i, "vhost-user-net", &n);
	run(1 << 15 | VIRTIO_F_EVENT_IDX, 2); /* MRG_RXBUF */
	for (unsigned i = 0; i < 16; i++)
		offer_rx(i);
	drv_kick(&drv, RX);
	for (unsigned i = 0; i < FRAMES; i++) {
		send((uint8_t)i);
		ck_assert(BED_UNTIL(drv_take(&drv, TX, &head, &len)));
		ck_assert(BED_UNTIL(drv_take(&drv, RX, &head, &len)));
		ck_assert_uint_eq(len, HDR + FRAME);
		ck_assert(filled(DATA + i % 16 * BUFFER + HDR, FRAME,
				 (uint8_t)i));
		fill(DATA + i % 16 * BUFFER, FRAME, 0);
		offer_rx(i % 16);
		drv_kick(&drv, RX);
	}
	end();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vhost-user-peers");
	TCase *t = tcase_create("qemu");

	log_setup(open("/dev/null", O_WRONLY | O_CLOEXEC), LOG_ERROR);
	tcase_add_unchecked_fixture(t, make_dir, remove_dir);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, storage_daemon, 0, 2);
	tcase_add_loop_test(t, storage_daemon_killed, 0, 2);
	suite_add_tcase(s, t);
	if (getenv("VHOST_USER_PORT")) {
		t = tcase_create("dpdk");
		tcase_set_timeout(t, 120);
		tcase_add_loop_test(t, dpdk, 0, 2);
		suite_add_tcase(s, t);
	}
	return suite_run(s);
}
