/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: tests of a virtio console with several ports, both transports and ring
 * formats
 *
 * The loop index chooses the transport. Ports 1 and 2 beside the console; the
 * first port's tests are in test-virtio-devices.c.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "devices/virtio/console-impl.h"
#include "tests/unit/formats.h"
#include "tests/unit/patience.h"
#include "tests/unit/suite.h"
#include "virtio-driver.h"

#define RING(q)	 (BED_RAM_A + (q)*0x8000ULL)
#define DATA	 BED_RAM_B
#define MESSAGES (BED_RAM_B + 0x80000)
#define V1	 VIRTIO_F_VERSION_1
#define QUEUES	 8
#define SIZE	 64

/* VIRTIO 1.3 sec. 5.3.6.2 */
enum { READY, ADD, REMOVE, PORT_IS_READY, CONSOLE, SIZED, OPEN, NAME };

static struct bed bed;
static struct device *dev;
static struct drv drv;
static struct console_port_config ports[2];
static struct chardev *backs[2];
static char dir[] = "/tmp/test-vcon-XXXXXX";
static char path[64];
static int pty;

static void setup(void)
{
	memset(&bed, 0, sizeof(bed));
	strcpy(dir, "/tmp/test-vcon-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/file", dir);
	ports[0] = (struct console_port_config){
		.name = (char *)(uintptr_t) "agent.0",
		.back = { .mode = CHAR_PTY },
	};
	ports[1] = (struct console_port_config){
		.name = (char *)(uintptr_t) "log",
		.back = { .mode = CHAR_FILE, .file = path },
	};
}

static void teardown(void)
{
	unlink(path);
	rmdir(dir);
}

static void begin(int transport)
{
	bed.config.console_port = ports;
	bed.config.console_port_count = 2;
	bed.config.console.mode = CHAR_PTY;
	bed_open(&bed, transport ? TRANSPORT_MMIO : TRANSPORT_PCI, false);
	for (unsigned i = 0; i < 2; i++) {
		ck_assert_int_eq(chardev_new(&backs[i], &ports[i].back, "port",
					     bed.env.loop, NULL),
				 0);
		chardev_begin(backs[i]);
	}
	bed.env.console_port = backs;
	ck_assert_int_eq(chardev_new(&bed.env.console, &bed.config.console,
				     "--console", bed.env.loop, NULL),
			 0);
	dev = bed_add(&bed, "virtio-console");
	drv_find(&drv, &bed, dev, transport ? 0 : 1);
	pty = open(chardev_pty_path(backs[0]), O_RDWR | O_NOCTTY);
	ck_assert_int_ge(pty, 0);
}

static void end(void)
{
	device_free(dev);
	close(pty);
	chardev_free(bed.env.console);
	for (unsigned i = 0; i < 2; i++)
		chardev_free(backs[i]);
	bed_close(&bed);
}

static void run(uint64_t features)
{
	if (!drv.mmio)
		drv_msix(&drv, QUEUES + 1);
	ck_assert_uint_eq(drv_negotiate(&drv, V1 | format | features), 11);
	for (unsigned q = 0; q < QUEUES; q++)
		drv_queue(&drv, q, SIZE, RING(q));
	drv_go(&drv);
	bed_run(&bed, 4);
}

/* Buffers for messages, @len each. */
static void listen_for(unsigned count, uint32_t len)
{
	for (unsigned i = 0; i < count; i++)
		drv_add(&drv, 2, MESSAGES + 128 * (drv.next_desc[2] % SIZE),
			len, true);
	drv_kick(&drv, 2);
	bed_run(&bed, 4);
}

static void tell(uint32_t id, uint16_t event, uint16_t value)
{
	uint64_t at = DATA + 0x70000 + 8 * (drv.next_desc[3] % SIZE);
	uint8_t raw[8];
	uint32_t head, len;

	put_le32(raw, id);
	put_le16(raw + 4, event);
	put_le16(raw + 6, value);
	ram_write(&bed.ram, GPA(at), raw, 8);
	drv_add(&drv, 3, at, 8, false);
	drv_kick(&drv, 3);
	bed_run(&bed, 4);
	ck_assert(drv_take(&drv, 3, &head, &len));
	ck_assert_uint_eq(len, 0);
}

/* The next message; @rest is what follows its header. */
static void ck_told(uint32_t id, uint16_t event, uint16_t value,
		    const void *rest, size_t rest_len)
{
	uint8_t raw[128];
	uint32_t head, len;

	ck_assert(drv_take(&drv, 2, &head, &len));
	ck_assert_uint_eq(len, 8 + rest_len);
	ram_read(&bed.ram, GPA(MESSAGES + 128ULL * head), raw, len);
	ck_assert_uint_eq(get_le32(raw), id);
	ck_assert_uint_eq(get_le16(raw + 4), event);
	ck_assert_uint_eq(get_le16(raw + 6), value);
	if (rest_len)
		ck_assert_mem_eq(raw + 8, rest, rest_len);
}

static void ck_quiet(void)
{
	uint32_t head, len;

	ck_assert(!drv_take(&drv, 2, &head, &len));
}

/* All that is said before the ports are of use. */
static void introduce(void)
{
	listen_for(16, 100);
	tell(UINT32_MAX, READY, 1);
	for (unsigned i = 0; i < 3; i++)
		ck_told(i, ADD, 0, NULL, 0);
	tell(0, PORT_IS_READY, 1);
	ck_told(0, CONSOLE, 1, NULL, 0);
	ck_told(0, OPEN, 1, NULL, 0);
	ck_told(0, SIZED, 0, "\0\0\0\0", 4);
	tell(1, PORT_IS_READY, 1);
	ck_told(1, NAME, 0, "agent.0", 7);
	ck_told(1, OPEN, 1, NULL, 0);
	tell(2, PORT_IS_READY, 1);
	ck_told(2, NAME, 0, "log", 3);
	ck_told(2, OPEN, 1, NULL, 0);
	ck_quiet();
}

/* Soon on the other side, but ck_input() waits as long as it takes. */
static void type(const char *text)
{
	ck_assert_int_eq(write(pty, text, strlen(text)), (ssize_t)strlen(text));
	for (unsigned i = 0; i < 20; i++) {
		usleep(2000);
		bed_run(&bed, 2);
	}
}

static void ck_input(unsigned q, const char *want)
{
	char got[64] = { 0 };
	uint32_t head, len;

	ck_assert(
		WAIT_UNTIL((bed_run(&bed, 2), drv_take(&drv, q, &head, &len))));
	ck_assert_uint_eq(len, strlen(want));
	ram_read(&bed.ram, GPA(DATA), got, len);
	ck_assert_str_eq(got, want);
}

/* ---- tests --------------------------------------------------------------- */

START_TEST(offers_its_ports)
{
	begin(_i);
	ck_assert_uint_eq(drv_offered(&drv) & 0xffffff, 7);
	ck_assert_uint_eq(drv_get(&drv, (_i ? 0x100 : 0x2000) + 4, 4), 3);
	end();
}
END_TEST

START_TEST(introduces_its_ports)
{
	begin(_i);
	run(CONSOLE_F_MULTIPORT);
	introduce();
	tell(UINT32_MAX, READY, 1); /* once is enough */
	ck_quiet();
	drv_set_status(&drv, 0);
	run(CONSOLE_F_MULTIPORT);
	introduce();
	end();
}
END_TEST

/* Without --console the first port is not there. */
START_TEST(no_console)
{
	struct chardev *back;

	begin(_i);
	device_free(dev);
	back = bed.env.console;
	bed.env.console = NULL;
	bed.config.console.mode = CHAR_OFF;
	dev = bed_add(&bed, "virtio-console");
	drv_find(&drv, &bed, dev, drv.slot);
	run(CONSOLE_F_MULTIPORT);
	listen_for(4, 100);
	tell(UINT32_MAX, READY, 1);
	ck_told(1, ADD, 0, NULL, 0);
	ck_told(2, ADD, 0, NULL, 0);
	ck_quiet();
	bed.env.console = back;
	end();
}
END_TEST

/* Input comes when a program has the port open, output goes always. */
START_TEST(ports_carry_both_ways)
{
	char got[16] = { 0 };
	uint32_t head, len;
	int fd;

	begin(_i);
	run(CONSOLE_F_MULTIPORT);
	introduce();
	drv_add(&drv, 4, DATA, 32, true);
	drv_kick(&drv, 4);
	type("ping");
	ck_assert(!drv_take(&drv, 4, &head, &len));
	tell(1, OPEN, 1);
	bed_run(&bed, 4);
	ck_input(4, "ping");
	tell(1, OPEN, 0);
	drv_add(&drv, 4, DATA, 32, true);
	drv_kick(&drv, 4);
	type("late");
	ck_assert(!drv_take(&drv, 4, &head, &len));
	ram_write(&bed.ram, GPA(DATA + 64), "line\n", 5);
	drv_add(&drv, 7, DATA + 64, 5, false);
	drv_kick(&drv, 7);
	bed_run(&bed, 4);
	ck_assert(drv_take(&drv, 7, &head, &len));
	end();
	fd = open(path, O_RDONLY);
	ck_assert_int_eq(read(fd, got, 15), 5);
	close(fd);
	ck_assert_str_eq(got, "line\n");
}
END_TEST

/* A driver that does not know the feature has the first port only. */
START_TEST(without_the_feature)
{
	uint32_t head, len;

	begin(_i);
	run(0);
	drv_add(&drv, 4, DATA, 32, true);
	drv_kick(&drv, 4);
	drv_add(&drv, 3, DATA, 8, false);
	drv_kick(&drv, 3);
	listen_for(1, 100);
	type("x");
	for (unsigned q = 2; q < 5; q++)
		ck_assert(!drv_take(&drv, q, &head, &len));
	drv_add(&drv, 1, DATA, 8, false);
	drv_kick(&drv, 1);
	bed_run(&bed, 4);
	ck_assert(drv_take(&drv, 1, &head, &len));
	end();
}
END_TEST

static const struct {
	uint32_t id;
	uint16_t event, value;
} bad[] = {
	{ 3, PORT_IS_READY, 1 },  { UINT32_MAX, OPEN, 1 },
	{ 0x80000000, OPEN, 1 },  { 0, ADD, 1 },
	{ 0, REMOVE, 1 },	  { 1, NAME, 1 },
	{ 1, 0xffff, 1 },	  { 1, SIZED, 0 },
	{ 1, PORT_IS_READY, 0 },  { 0, CONSOLE, 1 },
	{ UINT32_MAX, READY, 0 },
};

/* Nothing is answered, nothing breaks; before and after the introduction. */
START_TEST(bad_messages)
{
	begin(_i);
	run(CONSOLE_F_MULTIPORT);
	tell(1, PORT_IS_READY, 1); /* not told of it yet */
	tell(1, OPEN, 1);
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		tell(bad[i].id, bad[i].event, bad[i].value);
	introduce();
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		tell(bad[i].id, bad[i].event, bad[i].value);
	ck_quiet();
	ck_assert_uint_eq(drv_status(&drv), 15);
	end();
}
END_TEST

/* Short, empty and unreadable messages; buffers that hold none. */
START_TEST(bad_buffers)
{
	uint32_t head, len;

	begin(_i);
	run(CONSOLE_F_MULTIPORT);
	for (uint32_t n = 1; n < 8; n++)
		drv_add(&drv, 3, DATA, n, false);
	drv_add(&drv, 3, DATA, 8, true);
	drv_kick(&drv, 3);
	bed_run(&bed, 4);
	for (unsigned i = 0; i < 8; i++)
		ck_assert(drv_take(&drv, 3, &head, &len));
	tell(0, READY, 1);
	listen_for(1, 7);
	ck_assert(drv_take(&drv, 2, &head, &len));
	ck_assert_uint_eq(len, 0);
	listen_for(3, 8);
	for (unsigned i = 0; i < 3; i++)
		ck_told(i, ADD, 0, NULL, 0);
	end();
}
END_TEST

/* A driver that repeats itself does not pile anything up. */
START_TEST(flood)
{
	begin(_i);
	run(CONSOLE_F_MULTIPORT);
	introduce();
	drv_set_status(&drv, 0);
	run(CONSOLE_F_MULTIPORT);
	listen_for(3, 100);
	tell(0, READY, 1);
	for (unsigned i = 0; i < 1000; i++)
		tell(1, PORT_IS_READY, 1);
	for (unsigned i = 0; i < 3; i++)
		ck_told(i, ADD, 0, NULL, 0);
	listen_for(16, 100);
	ck_told(1, NAME, 0, "agent.0", 7);
	ck_told(1, OPEN, 1, NULL, 0);
	ck_quiet();
	end();
}
END_TEST

/* The console's terminal changes: an interrupt, and a message. */
START_TEST(resize)
{
	const uint8_t want[4] = { 100, 0, 40, 0 };
	struct winsize ws = { .ws_col = 100, .ws_row = 40 };
	unsigned at = _i ? 0x100 : 0x2000;
	uint64_t before;
	int fd;

	begin(_i);
	run(CONSOLE_F_MULTIPORT | CONSOLE_F_SIZE);
	introduce();
	before = drv_get(&drv, _i ? 0xfc : 0x15, _i ? 4 : 1);
	fd = open(chardev_pty_path(bed.env.console), O_RDWR | O_NOCTTY);
	ck_assert_int_eq(ioctl(fd, TIOCSWINSZ, &ws), 0);
	WAIT_UNTIL((bed_run(&bed, 2), drv_used_idx(&drv, 2) >= 11));
	ck_told(0, SIZED, 0, want, 4);
	ck_assert_uint_eq(drv_get(&drv, at, 2), 100);
	ck_assert_uint_eq(drv_get(&drv, at + 2, 2), 40);
	ck_assert_uint_ne(drv_get(&drv, _i ? 0xfc : 0x15, _i ? 4 : 1), before);
	close(fd);
	end();
}
END_TEST

/* ---- state --------------------------------------------------------------- */

static void save_state(struct stream_out *out)
{
	stream_out_init(out);
	dev->cls->pause(dev);
	dev->cls->save(dev, out);
}

/* Between PORT_READY and its answers. */
START_TEST(state_continues)
{
	struct stream_out out;
	struct stream_in in;
	struct diag d = DIAG_INIT;

	begin(_i);
	run(CONSOLE_F_MULTIPORT);
	listen_for(3, 100);
	tell(0, READY, 1);
	for (unsigned i = 0; i < 3; i++)
		ck_told(i, ADD, 0, NULL, 0);
	tell(1, PORT_IS_READY, 1);
	tell(1, OPEN, 1);
	save_state(&out);
	dev->cls->reset(dev);
	stream_in_init(&in, out.data, out.len);
	ck_assert_int_eq(dev->cls->load(dev, &in, &d), 0);
	ck_assert_int_eq(stream_in_done(&in), 0);
	dev->cls->resume(dev);
	listen_for(2, 100);
	ck_told(1, NAME, 0, "agent.0", 7);
	ck_told(1, OPEN, 1, NULL, 0);
	drv_add(&drv, 4, DATA, 32, true);
	drv_kick(&drv, 4);
	type("still open");
	ck_input(4, "still open");
	stream_out_release(&out);
	end();
}
END_TEST

/* Any byte of the state may be wrong: refused, or possible. */
START_TEST(state_is_checked)
{
	struct stream_out out;

	begin(_i);
	run(CONSOLE_F_MULTIPORT);
	introduce();
	save_state(&out);
	for (size_t i = 0; i < out.len; i++) {
		struct stream_in in;
		struct diag d = DIAG_INIT;
		int err;

		out.data[i] ^= 0xa5;
		dev->cls->reset(dev);
		stream_in_init(&in, out.data, out.len);
		err = dev->cls->load(dev, &in, &d);
		ck_assert(err == 0 || err == -EBADMSG);
		out.data[i] ^= 0xa5;
	}
	stream_out_release(&out);
	dev->cls->reset(dev);
	dev->cls->resume(dev);
	end();
}
END_TEST

static TCase *port_case(bool packed)
{
	TCase *tc = FORMAT_CASE("ports", packed);

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, offers_its_ports, 0, 2);
	tcase_add_loop_test(tc, introduces_its_ports, 0, 2);
	tcase_add_test(tc, no_console);
	tcase_add_loop_test(tc, ports_carry_both_ways, 0, 2);
	tcase_add_loop_test(tc, without_the_feature, 0, 2);
	tcase_add_loop_test(tc, bad_messages, 0, 2);
	tcase_add_loop_test(tc, bad_buffers, 0, 2);
	tcase_add_loop_test(tc, flood, 0, 2);
	tcase_add_loop_test(tc, resize, 0, 2);
	tcase_add_loop_test(tc, state_continues, 0, 2);
	tcase_add_loop_test(tc, state_is_checked, 0, 2);
	return tc;
}

int main(void)
{
	Suite *suite = suite_create("virtio-console");

	for (int packed = 0; packed < 2; packed++)
		suite_add_tcase(suite, port_case(packed));
	return suite_run(suite);
}
