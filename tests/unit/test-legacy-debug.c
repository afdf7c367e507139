/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: tests of devices/legacy/debug-console.c */
#include "legacy-rig.h"

#define PORT 0x402

static char path[] = "/tmp/test-debug-console-XXXXXX";
static struct debug_console_config item = { .iobase = PORT };
static struct vm_config config = { .debug_console = &item };
static struct chardev *out;

static void setup(void)
{
	struct char_config cfg = { .mode = CHAR_FILE, .file = path };
	struct diag d = DIAG_INIT;

	rig_open();
	close(mkstemp(path));
	ck_assert_int_eq(
		chardev_new(&out, &cfg, "--debug-console", rig.loop, &d), 0);
	rig.env.config = &config;
	rig.env.debug_console = out;
	ck_assert_int_eq(device_new(&rig.dev, &debug_console_class, "__debug",
				    NULL, &rig.env, NULL, &d),
			 0);
}

static void teardown(void)
{
	unlink(path);
}

START_TEST(prints_bytes)
{
	char text[16] = "";
	int fd;

	bus_write(rig.pio, PORT, 1, 'a');
	bus_write(rig.pio, PORT, 1, 'b');
	bus_write(rig.pio, PORT, 1, 'c');
	bus_write(rig.pio, PORT + 1, 1, 'y');
	device_free(rig.dev);
	chardev_free(out);
	fd = open(path, O_RDONLY);
	ck_assert_int_eq(read(fd, text, sizeof(text)), 3);
	ck_assert_str_eq(text, "abc");
	close(fd);
}
END_TEST

START_TEST(says_that_it_is_there)
{
	ck_assert_uint_eq(bus_read(rig.pio, PORT, 1), 0xe9);
	device_free(rig.dev);
	ck_assert_uint_eq(bus_read(rig.pio, PORT, 1), 0xff);
}
END_TEST

START_TEST(port_that_is_taken)
{
	struct diag d = DIAG_INIT;
	struct device *second;
	char text[512];

	ck_assert_int_lt(device_new(&second, &debug_console_class, "__debug2",
				    NULL, &rig.env, NULL, &d),
			 0);
	diag_format(&d, text, sizeof(text));
	ck_assert_ptr_nonnull(strstr(text, "--debug-console iobase=0x402: "));
	device_free(rig.dev);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("debug-console");
	TCase *t = tcase_create("debug-console");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, prints_bytes);
	tcase_add_test(t, says_that_it_is_there);
	tcase_add_test(t, port_that_is_taken);
	suite_add_tcase(s, t);
	return suite_run(s);
}
