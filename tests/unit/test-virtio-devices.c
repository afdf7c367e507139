/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: tests of virtio-rng and virtio-console, over both transports, on both
 * ring formats
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "tests/unit/formats.h"
#include "tests/unit/patience.h"
#include "tests/unit/suite.h"
#include "virtio-driver.h"

#define RING0 BED_RAM_A
#define RING1 BED_RAM_B
#define DATA  (BED_RAM_A + 0x10000)
#define V1    VIRTIO_F_VERSION_1

static struct bed bed;
static struct device *dev;
static struct drv drv;
static char dir[] = "/tmp/test-virtio-XXXXXX";
static char path[64];

static void setup(void)
{
	memset(&bed, 0, sizeof(bed));
	strcpy(dir, "/tmp/test-virtio-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/file", dir);
}

static void teardown(void)
{
	unlink(path);
	rmdir(dir);
}

static void begin(int transport, const char *cls)
{
	bed_open(&bed, transport ? TRANSPORT_MMIO : TRANSPORT_PCI, false);
	if (bed.config.console.mode != CHAR_OFF)
		ck_assert_int_eq(chardev_new(&bed.env.console,
					     &bed.config.console, "--console",
					     bed.env.loop, NULL),
				 0);
	chardev_begin(bed.env.console);
	dev = bed_add(&bed, cls);
	drv_find(&drv, &bed, dev, transport ? 0 : 1);
}

static void end(void)
{
	device_free(dev);
	chardev_free(bed.env.console);
	bed_close(&bed);
}

static void run(unsigned queues)
{
	if (!drv.mmio)
		drv_msix(&drv, queues + 1);
	ck_assert_uint_eq(drv_negotiate(&drv, V1 | format), 11);
	for (unsigned q = 0; q < queues; q++)
		drv_queue(&drv, q, 64, q ? RING1 : RING0);
	drv_go(&drv);
	bed_run(&bed, 4);
}

static uint32_t file_size(void)
{
	struct stat st;

	ck_assert_int_eq(stat(path, &st), 0);
	return (uint32_t)st.st_size;
}

static void write_file(const char *text, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, len), (ssize_t)len);
	close(fd);
}

/* ---- entropy ----------------------------------------------------------- */

START_TEST(rng_fills)
{
	uint8_t got[64], zero[64] = { 0 };
	uint32_t head, len;

	begin(_i, "virtio-rng");
	run(1);
	drv_add(&drv, 0, DATA, 64, true);
	drv_kick(&drv, 0);
	bed_run(&bed, 2);
	ck_assert(drv_take(&drv, 0, &head, &len));
	ck_assert_uint_eq(len, 64);
	ram_read(&bed.ram, GPA(DATA), got, 64);
	ck_assert_mem_ne(got, zero, 64);
	/* Not a byte more. */
	ram_read(&bed.ram, GPA(DATA + 64), got, 64);
	ck_assert_mem_eq(got, zero, 64);
	ck_assert_uint_eq(drv_interrupts(&drv, 0), 1);
	end();
}
END_TEST

/* Class (k): what one request may take is bounded. */
START_TEST(rng_request_is_cut)
{
	uint32_t head, len;

	begin(_i, "virtio-rng");
	run(1);
	drv_add(&drv, 0, DATA, 0x20000, true);
	drv_kick(&drv, 0);
	bed_run(&bed, 2);
	ck_assert(drv_take(&drv, 0, &head, &len));
	ck_assert_uint_eq(len, 4096);
	end();
}
END_TEST

/* A request with nothing to write into is given back empty. */
START_TEST(rng_readable_only)
{
	uint32_t head, len;

	begin(_i, "virtio-rng");
	run(1);
	drv_add(&drv, 0, DATA, 16, false);
	drv_add(&drv, 0, DATA, 0, true);
	drv_add(&drv, 0, DATA, 8, true);
	drv_kick(&drv, 0);
	bed_run(&bed, 2);
	ck_assert(drv_take(&drv, 0, &head, &len));
	ck_assert_uint_eq(len, 0);
	ck_assert(drv_take(&drv, 0, &head, &len));
	ck_assert_uint_eq(len, 0);
	ck_assert(drv_take(&drv, 0, &head, &len));
	ck_assert_uint_eq(len, 8);
	end();
}
END_TEST

START_TEST(rng_waits_for_its_source)
{
	uint8_t got[8];
	uint32_t head, len;
	int fd;

	ck_assert_int_eq(mkfifo(path, 0600), 0);
	bed.config.rng.src = path;
	begin(_i, "virtio-rng");
	fd = open(path, O_WRONLY);
	run(1);
	drv_add(&drv, 0, DATA, 8, true);
	drv_kick(&drv, 0);
	bed_run(&bed, 4);
	ck_assert(!drv_take(&drv, 0, &head, &len));
	ck_assert_int_eq(write(fd, "entropy", 7), 7);
	bed_run(&bed, 4);
	ck_assert(drv_take(&drv, 0, &head, &len));
	ck_assert_uint_eq(len, 7);
	ram_read(&bed.ram, GPA(DATA), got, 7);
	ck_assert_mem_eq(got, "entropy", 7);
	/* Twice: the watch is armed anew. */
	drv_add(&drv, 0, DATA, 8, true);
	drv_kick(&drv, 0);
	bed_run(&bed, 4);
	ck_assert(!drv_take(&drv, 0, &head, &len));
	ck_assert_int_eq(write(fd, "x", 1), 1);
	bed_run(&bed, 4);
	ck_assert(drv_take(&drv, 0, &head, &len));
	ck_assert_uint_eq(len, 1);
	close(fd);
	end();
}
END_TEST

START_TEST(rng_reset_while_waiting)
{
	uint32_t head, len;
	int fd;

	ck_assert_int_eq(mkfifo(path, 0600), 0);
	bed.config.rng.src = path;
	begin(_i, "virtio-rng");
	fd = open(path, O_WRONLY);
	run(1);
	drv_add(&drv, 0, DATA, 8, true);
	drv_kick(&drv, 0);
	bed_run(&bed, 4);
	drv_set_status(&drv, 0);
	ck_assert_int_eq(write(fd, "abc", 3), 3);
	bed_run(&bed, 4);
	ck_assert(!drv_take(&drv, 0, &head, &len));
	run(1);
	drv_add(&drv, 0, DATA, 8, true);
	drv_kick(&drv, 0);
	bed_run(&bed, 4);
	ck_assert(drv_take(&drv, 0, &head, &len));
	ck_assert_uint_eq(len, 3);
	close(fd);
	end();
}
END_TEST

/* A file that ends: what is there is given, then nothing, without a spin. */
START_TEST(rng_source_ends)
{
	uint32_t head, len;

	write_file("0123456789", 10);
	bed.config.rng.src = path;
	begin(_i, "virtio-rng");
	run(1);
	drv_add(&drv, 0, DATA, 16, true);
	drv_add(&drv, 0, DATA, 16, true);
	drv_kick(&drv, 0);
	bed_run(&bed, 8);
	ck_assert(drv_take(&drv, 0, &head, &len));
	ck_assert_uint_eq(len, 10);
	ck_assert(!drv_take(&drv, 0, &head, &len));
	ck_assert_uint_eq(drv_status(&drv), 15);
	end();
}
END_TEST

/* One request of 100 bytes in 300 ms, or 50 bytes in 150 ms: the first goes
 * at once; three take at least 600 ms, or 450 because the bucket was full,
 * however slow this host is. */
static const struct rate_config rng_limits[] = {
	{ .ops = { .size = 1, .refill_time_ms = 300 } },
	{ .bandwidth = { .size = 50, .refill_time_ms = 150 } },
};

/* Wait for @want answers. */
static void rng_wait(unsigned want)
{
	uint32_t head, len;

	for (; want; want--) {
		ck_assert(WAIT_UNTIL(
			(bed_run(&bed, 1), drv_take(&drv, 0, &head, &len))));
		ck_assert_uint_eq(len, 100);
	}
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

START_TEST(rng_limited)
{
	uint64_t from, least_ms = _i / 2 ? 440 : 590;

	bed.config.rng.rate = rng_limits[_i / 2];
	begin(_i % 2, "virtio-rng");
	run(1);
	for (unsigned i = 0; i < 3; i++)
		drv_add(&drv, 0, DATA, 100, true);
	from = now_ms();
	drv_kick(&drv, 0);
	rng_wait(3);
	ck_assert_uint_ge(now_ms() - from, least_ms);
	/* A reset while it waits: the device works, and still waits. */
	drv_add(&drv, 0, DATA, 100, true);
	drv_kick(&drv, 0);
	bed_run(&bed, 2);
	drv_set_status(&drv, 0);
	run(1);
	drv_add(&drv, 0, DATA, 100, true);
	drv_kick(&drv, 0);
	rng_wait(1);
	ck_assert_uint_ge(now_ms() - from, least_ms + 290);
	end();
}
END_TEST

START_TEST(rng_source_missing)
{
	struct device *none = NULL;
	struct diag d = DIAG_INIT;
	char why[512];

	bed_open(&bed, TRANSPORT_PCI, false);
	bed.config.rng.src = path;
	ck_assert_int_eq(device_new(&none, &virtio_rng_class, "_rng", NULL,
				    &bed.env, NULL, &d),
			 -ENOENT);
	diag_format(&d, why, sizeof(why));
	ck_assert_ptr_nonnull(strstr(why, "--rng src="));
	ck_assert_ptr_nonnull(strstr(why, "No such file"));
	ck_assert_ptr_null(none);
	bed_close(&bed);
}
END_TEST

/* ---- console output ---------------------------------------------------- */

static void console_file(void)
{
	bed.config.console =
		(struct char_config){ .mode = CHAR_FILE, .file = path };
}

static void ck_file(const char *want)
{
	char got[256] = { 0 };
	int fd = open(path, O_RDONLY);

	ck_assert_int_ge(read(fd, got, sizeof(got) - 1), 0);
	close(fd);
	ck_assert_str_eq(got, want);
}

START_TEST(console_writes)
{
	const struct vbuf buf[] = { { DATA, 7, 0 }, { DATA + 100, 6, 0 } };
	uint32_t head, len;

	console_file();
	begin(_i, "virtio-console");
	run(2);
	ram_write(&bed.ram, GPA(DATA), "hello, ", 7);
	ram_write(&bed.ram, GPA(DATA + 100), "world\n", 6);
	drv_chain(&drv, 1, buf, 2);
	drv_kick(&drv, 1);
	bed_run(&bed, 2);
	ck_assert(drv_take(&drv, 1, &head, &len));
	ck_assert_uint_eq(len, 0);
	ck_assert_uint_eq(drv_interrupts(&drv, 1), 1);
	end();
	ck_file("hello, world\n");
}
END_TEST

/* Writable parts of an output request are left alone. */
START_TEST(console_ignores_writable_output)
{
	uint32_t head, len;

	console_file();
	begin(_i, "virtio-console");
	run(2);
	drv_add(&drv, 1, DATA, 16, true);
	drv_kick(&drv, 1);
	bed_run(&bed, 2);
	ck_assert(drv_take(&drv, 1, &head, &len));
	end();
	ck_assert_uint_eq(file_size(), 0);
}
END_TEST

/* Class (k): one request cannot print without end. */
START_TEST(console_output_is_bounded)
{
	struct vbuf buf[60];
	uint32_t head, len;

	console_file();
	begin(_i, "virtio-console");
	run(2);
	for (unsigned i = 0; i < ARRAY_SIZE(buf); i++)
		buf[i] = (struct vbuf){ BED_RAM_B + 0x8000, 0xf0000, 0 };
	drv_chain(&drv, 1, buf, ARRAY_SIZE(buf));
	drv_kick(&drv, 1);
	bed_run(&bed, 2);
	ck_assert(drv_take(&drv, 1, &head, &len));
	end();
	ck_assert_uint_le(file_size(), 65536);
}
END_TEST

START_TEST(console_emergency_write)
{
	unsigned at = _i ? 0x108 : 0x2008;

	console_file();
	begin(_i, "virtio-console");
	drv_put(&drv, at, 4, '!');
	drv_put(&drv, at, 1, '\n');
	drv_put(&drv, at - 4, 4, 'x'); /* not that register */
	end();
	ck_file("!\n");
}
END_TEST

START_TEST(console_config)
{
	unsigned at = _i ? 0x100 : 0x2000;

	bed.config.console.mode = CHAR_PTY;
	begin(_i, "virtio-console");
	ck_assert_uint_eq(drv_offered(&drv) & 0xffffff, 5);
	ck_assert_uint_eq(drv_get(&drv, at + 4, 4), 1);
	ck_assert_uint_eq(drv_get(&drv, at + 8, 4), 0);
	end();
}
END_TEST

/* ---- console input ----------------------------------------------------- */

static int pty;

static void begin_pty(int transport)
{
	bed.config.console.mode = CHAR_PTY;
	begin(transport, "virtio-console");
	pty = open(chardev_pty_path(bed.env.console), O_RDWR | O_NOCTTY);
	ck_assert_int_ge(pty, 0);
}

/* The kernel hands bytes from one side of a pty to the other on a worker: soon,
 * but on a busy host only ck_input() waits as long as it takes. */
static void type(const char *text)
{
	ck_assert_int_eq(write(pty, text, strlen(text)), (ssize_t)strlen(text));
	for (unsigned i = 0; i < 20; i++) {
		usleep(2000);
		bed_run(&bed, 2);
	}
}

static void ck_input(const char *want)
{
	char got[64] = { 0 };
	uint32_t head, len;

	ck_assert(
		WAIT_UNTIL((bed_run(&bed, 2), drv_take(&drv, 0, &head, &len))));
	ck_assert_uint_eq(len, strlen(want));
	ram_read(&bed.ram, GPA(DATA + 64 * head), got, len);
	ck_assert_str_eq(got, want);
}

static void add_input(uint32_t len)
{
	drv_add(&drv, 0, DATA + 64 * (drv.next_desc[0] % 64), len, true);
	drv_kick(&drv, 0);
	bed_run(&bed, 8);
}

START_TEST(console_reads)
{
	begin_pty(_i);
	run(2);
	add_input(32);
	type("ls\r");
	ck_input("ls\r");
	ck_assert_uint_eq(drv_interrupts(&drv, 0), 1);
	close(pty);
	end();
}
END_TEST

/* Input waits for buffers, small ones too, and none is lost. */
START_TEST(console_input_waits)
{
	begin_pty(_i);
	type("abcdefgh"); /* before there is a driver */
	run(2);
	bed_run(&bed, 4);
	ck_assert_uint_eq(drv_used_idx(&drv, 0), 0);
	add_input(3);
	ck_input("abc");
	add_input(0); /* useless: given back empty */
	ck_input("");
	add_input(64);
	ck_input("defgh");
	close(pty);
	end();
}
END_TEST

START_TEST(console_input_over_reset)
{
	begin_pty(_i);
	run(2);
	type("lost?");
	drv_set_status(&drv, 0);
	bed_run(&bed, 4);
	run(2);
	add_input(64);
	ck_input("lost?");
	close(pty);
	end();
}
END_TEST

static bool config_changed(void)
{
	if (!drv.mmio)
		return drv_fired(&drv, 0);
	return drv_get(&drv, 0x60, 4) & 2;
}

/* Told once for each change, and not without the feature. */
START_TEST(console_resize)
{
	const struct winsize size = { .ws_col = 132, .ws_row = 43 };
	bool told = false, knows = _i / 2;

	begin_pty(_i % 2);
	if (!drv.mmio)
		drv_msix(&drv, 3);
	ck_assert_uint_eq(drv_negotiate(&drv, V1 | format | knows), 11);
	drv_queue(&drv, 0, 64, RING0);
	drv_queue(&drv, 1, 64, RING1);
	drv_go(&drv);
	bed_run(&bed, 4);
	ck_assert_int_eq(ioctl(pty, TIOCSWINSZ, &size), 0);
	for (unsigned i = 0; i < 60 && !told && (knows || i < 15); i++) {
		usleep(100000);
		bed_run(&bed, 2);
		told = config_changed();
	}
	ck_assert_int_eq(told, knows);
	ck_assert_uint_eq(drv_get(&drv, _i % 2 ? 0x100 : 0x2000, 2), 132);
	ck_assert_uint_eq(drv_get(&drv, _i % 2 ? 0x102 : 0x2002, 2), 43);
	if (drv.mmio)
		drv_put(&drv, 0x64, 4, 3);
	for (unsigned i = 0; i < 15; i++) {
		usleep(100000);
		bed_run(&bed, 2);
		ck_assert(!config_changed());
	}
	close(pty);
	end();
}
END_TEST

START_TEST(console_broken_input_queue)
{
	begin_pty(_i);
	run(2);
	vring_offer1(&drv.vq[0], 1000, DATA, 1, D_WRITE);
	type("x");
	drv_kick(&drv, 0);
	bed_run(&bed, 8);
	ck_assert_uint_eq(drv_status(&drv), 15 | VIRTIO_NEEDS_RESET);
	run(2);
	add_input(8);
	ck_input("x");
	close(pty);
	end();
}
END_TEST

/* As `spandrel tables` makes it. */
START_TEST(console_without_backend)
{
	uint32_t head, len;

	begin(_i, "virtio-console");
	run(2);
	drv_add(&drv, 1, DATA, 5, false);
	drv_kick(&drv, 1);
	drv_add(&drv, 0, DATA, 5, true);
	drv_kick(&drv, 0);
	drv_put(&drv, _i ? 0x108 : 0x2008, 4, '!');
	bed_run(&bed, 2);
	ck_assert(drv_take(&drv, 1, &head, &len));
	end();
}
END_TEST

/* ---- both -------------------------------------------------------------- */

static const char *const classes[] = { "virtio-rng", "virtio-console" };

START_TEST(state_round_trip)
{
	struct stream_out out, again;
	struct stream_in in;
	struct diag d = DIAG_INIT;

	begin(_i & 1, classes[_i / 2]);
	run(_i / 2 + 1);
	stream_out_init(&out);
	dev->cls->save(dev, &out);
	dev->cls->reset(dev);
	stream_in_init(&in, out.data, out.len);
	ck_assert_int_eq(dev->cls->load(dev, &in, &d), 0);
	ck_assert_int_eq(stream_in_done(&in), 0);
	ck_assert_uint_eq(drv_status(&drv), 15);
	stream_out_init(&again);
	dev->cls->save(dev, &again);
	ck_assert_uint_eq(out.len, again.len);
	ck_assert_mem_eq(out.data, again.data, out.len);
	stream_out_release(&out);
	stream_out_release(&again);
	end();
}
END_TEST

/* ---- runner ------------------------------------------------------------ */

static TCase *rng_case(bool packed)
{
	TCase *tc = FORMAT_CASE("entropy", packed);

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, rng_fills, 0, 2);
	tcase_add_loop_test(tc, rng_request_is_cut, 0, 2);
	tcase_add_loop_test(tc, rng_readable_only, 0, 2);
	tcase_add_loop_test(tc, rng_waits_for_its_source, 0, 2);
	tcase_add_loop_test(tc, rng_reset_while_waiting, 0, 2);
	tcase_add_loop_test(tc, rng_source_ends, 0, 2);
	tcase_add_loop_test(tc, rng_limited, 0, 4);
	tcase_add_test(tc, rng_source_missing);
	return tc;
}

static TCase *console_case(bool packed)
{
	TCase *tc = FORMAT_CASE("console", packed);

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, console_writes, 0, 2);
	tcase_add_loop_test(tc, console_ignores_writable_output, 0, 2);
	tcase_add_loop_test(tc, console_output_is_bounded, 0, 2);
	tcase_add_loop_test(tc, console_emergency_write, 0, 2);
	tcase_add_loop_test(tc, console_config, 0, 2);
	tcase_add_loop_test(tc, console_reads, 0, 2);
	tcase_add_loop_test(tc, console_input_waits, 0, 2);
	tcase_add_loop_test(tc, console_input_over_reset, 0, 2);
	tcase_add_loop_test(tc, console_resize, 0, 4);
	tcase_add_loop_test(tc, console_broken_input_queue, 0, 2);
	tcase_add_loop_test(tc, console_without_backend, 0, 2);
	return tc;
}

static TCase *state_case(bool packed)
{
	TCase *tc = FORMAT_CASE("state", packed);

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, state_round_trip, 0, 4);
	return tc;
}

int main(void)
{
	Suite *suite = suite_create("virtio-devices");

	for (int packed = 0; packed < 2; packed++) {
		suite_add_tcase(suite, rng_case(packed));
		suite_add_tcase(suite, console_case(packed));
		suite_add_tcase(suite, state_case(packed));
	}
	return suite_run(suite);
}
