/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: tests of --pmem: placing files, and the device over both transports, on
 * both ring formats
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "vmm/pmem.h"

#include "formats.h"
#include "tests/unit/patience.h"
#include "tests/unit/suite.h"
#include "virtio-driver.h"

#define V1   VIRTIO_F_VERSION_1
#define DATA (BED_RAM_B + 0x80000)

static char dir[] = "/tmp/test-pmem-XXXXXX";
static char path[64];
static struct platform p;
static struct guest_ram ram;
static struct vm_config config;
static struct pmem_config items[2];
static struct bed bed;
static struct device *dev;
static struct drv drv;

static void make_file(uint64_t size)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, (off_t)size), 0);
	close(fd);
}

static void setup(void)
{
	strcpy(dir, "/tmp/test-pmem-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/file", dir);
	make_file(MIB(4));
	memset(&bed, 0, sizeof(bed));
	memset(items, 0, sizeof(items));
	items[0].file = items[1].file = path;
	config = (struct vm_config){ .pmem = items, .pmem_count = 1 };
	p = (struct platform){
		.pa_bits = 40,
		.ram = { { PLAT_MMIO, 0, GIB(1) },
			 { PLAT_MMIO, GIB(4), GIB(2) } },
		.ram_count = 2,
		.pci.segment[0].mmio64 = { PLAT_MMIO, GIB(6) + 0x1000, GIB(1) },
	};
	ram_init(&ram);
}

static void teardown(void)
{
	ram_release(&ram);
	unlink(path);
	rmdir(dir);
}

/* ---- placing ------------------------------------------------------------ */

START_TEST(placed_in_the_window)
{
	struct diag d = DIAG_INIT;

	items[1].file = dir;
	items[1].size_bytes = MIB(2);
	config.pmem_count = 2;
	ck_assert_int_eq(pmem_place(&p, _i ? &ram : NULL, &config, &d), 0);
	ck_assert_uint_eq(p.pmem_count, 2);
	ck_assert_uint_eq(p.pmem[0].base, GIB(6) + MIB(2));
	ck_assert_uint_eq(p.pmem[0].size_bytes, MIB(4));
	ck_assert_uint_eq(p.pmem[1].base, GIB(6) + MIB(6));
	ck_assert_uint_eq(p.pci.segment[0].mmio64.base, GIB(6) + MIB(8));
	ck_assert_uint_eq(p.pci.segment[0].mmio64.base +
				  p.pci.segment[0].mmio64.size_bytes,
			  GIB(7) + 0x1000);
	ck_assert_uint_eq(ram.region_count, _i ? 2 : 0);
	ck_assert_uint_eq(ram_size(&ram), 0);
	/* "tables" (0) opens and makes nothing. */
	ck_assert_int_eq(ram_write(&ram, GPA(GIB(6) + MIB(8) - 1), "x", 1), _i);
}
END_TEST

START_TEST(placed_above_ram)
{
	struct diag d = DIAG_INIT;

	p.pci.segment[0].mmio64.size_bytes = 0;
	items[1].file = dir;
	items[1].size_bytes = MIB(2);
	config.pmem_count = 2;
	ck_assert_int_eq(pmem_place(&p, &ram, &config, &d), 0);
	ck_assert_uint_eq(p.pmem[0].base, GIB(6));
	ck_assert_uint_eq(p.pmem[1].base, GIB(6) + MIB(4));
	ck_assert_uint_eq(p.pci.segment[0].mmio64.size_bytes, 0);
}
END_TEST

START_TEST(writes)
{
	struct diag d = DIAG_INIT;
	char byte = 'x';
	int fd;

	items[0].discard_writes = _i;
	if (_i)
		chmod(path, 0400);
	ck_assert_int_eq(pmem_place(&p, &ram, &config, &d), 0);
	ck_assert(ram_write(&ram, GPA(p.pmem[0].base + 5), "y", 1));
	fd = open(path, O_RDONLY);
	ck_assert_int_eq(pread(fd, &byte, 1, 5), 1);
	ck_assert_int_eq(byte, _i ? 0 : 'y');
	close(fd);
}
END_TEST

/* First as in .first, then as in .second: what does the lock say? */
static const struct lock_case {
	bool first, second;
	int err;
} lock_cases[] = {
	{ false, false, -EBUSY },
	{ false, true, -EBUSY },
	{ true, false, -EBUSY },
	{ true, true, 0 },
};

START_TEST(locks)
{
	const struct lock_case *c = &lock_cases[_i];
	struct diag d = DIAG_INIT;
	struct guest_ram other;
	struct platform before = p;
	char why[512];

	ram_init(&other);
	items[0].discard_writes = c->first;
	ck_assert_int_eq(pmem_place(&p, &ram, &config, &d), 0);
	items[0].discard_writes = c->second;
	p = before;
	ck_assert_int_eq(pmem_place(&p, &other, &config, &d), c->err);
	if (c->err) {
		diag_format(&d, why, sizeof(why));
		ck_assert_ptr_nonnull(strstr(why, "another process uses it"));
		ck_assert_uint_eq(p.pmem_count, 0);
	}
	/* Free as soon as the first machine is gone. */
	ram_release(&ram);
	ram_release(&other);
	p = before;
	ck_assert_int_eq(pmem_place(&p, &ram, &config, &d), 0);
}
END_TEST

static const struct error_case {
	const char *what;
	uint64_t bytes, size;
	const char *file; /* NULL: the one of @bytes */
	uint64_t window;
	int err;
	const char *says;
} error_cases[] = {
	{ "empty", 0, 0, NULL, GIB(1), -EINVAL, "is empty" },
	{ "odd", MIB(3), 0, NULL, GIB(1), -EINVAL, "the next one is 4194304" },
	{ "odd size", MIB(8), MIB(3), NULL, GIB(1), -EINVAL, "multiple of 2M" },
	{ "short", MIB(2), MIB(4), NULL, GIB(1), -EINVAL,
	  "has only 2097152 bytes" },
	{ "missing", 0, 0, "/nonexistent", GIB(1), -ENOENT, "No such file" },
	{ "directory", 0, 0, "/tmp", GIB(1), -EINVAL, "give size=" },
	{ "device", 0, MIB(2), "/dev/null", GIB(1), -EINVAL, "neither a file" },
	{ "no room", MIB(4), 0, NULL, MIB(5), -ENOSPC, "do not fit" },
};

/* Nothing is taken, mapped or left open. */
START_TEST(refused)
{
	const struct error_case *c = &error_cases[_i / 2];
	struct diag d = DIAG_INIT;
	char why[512];
	int fd = dup(0), after;

	close(fd);
	make_file(c->bytes);
	if (c->file)
		items[0].file = strdup(c->file);
	items[0].size_bytes = c->size;
	p.pci.segment[0].mmio64.size_bytes = c->window;
	if (_i % 2 && !strcmp(c->what, "short"))
		return; /* without opening it nobody can know */
	ck_assert_msg(pmem_place(&p, _i % 2 ? NULL : &ram, &config, &d) ==
			      c->err,
		      "%s", c->what);
	diag_format(&d, why, sizeof(why));
	ck_assert_msg(strstr(why, c->says) && strstr(why, "--pmem file="),
		      "%s: %s", c->what, why);
	ck_assert_uint_eq(p.pmem_count, 0);
	ck_assert_uint_eq(ram.region_count, 0);
	after = dup(0);
	ck_assert_int_eq(after, fd);
	close(after);
	if (c->file)
		free(items[0].file);
}
END_TEST

/* ---- the device --------------------------------------------------------- */

static void begin(int transport)
{
	struct diag d = DIAG_INIT;

	bed_open(&bed, transport ? TRANSPORT_MMIO : TRANSPORT_PCI, false);
	bed.config.pmem = items;
	bed.config.pmem_count = 1;
	bed.platform.pa_bits = 40;
	ck_assert_int_eq(pmem_place(&bed.platform, &bed.ram, &bed.config, &d),
			 0);
	bed.item = &items[0];
	dev = bed_add(&bed, "virtio-pmem");
	drv_find(&drv, &bed, dev, transport ? 0 : 1);
}

static void end(void)
{
	device_free(dev);
	bed_close(&bed);
}

static void run(void)
{
	if (!drv.mmio)
		drv_msix(&drv, 2);
	ck_assert_uint_eq(drv_negotiate(&drv, V1 | format), 11);
	drv_queue(&drv, 0, 16, BED_RAM_B);
	drv_go(&drv);
}

/* The queue works on another thread. */
static bool take_used(uint32_t *head, uint32_t *len)
{
	struct virtio_device *vd = container_of(dev, struct virtio_device, dev);
	bool got;

	virtio_queue_lock(vd, 0);
	got = drv_take(&drv, 0, head, len);
	virtio_queue_unlock(vd, 0);
	return got;
}

static bool wait_used(uint32_t *head, uint32_t *len)
{
	return WAIT_UNTIL(take_used(head, len));
}

/* A request of @out readable and @in writable bytes at DATA. */
static void request(uint32_t type, uint32_t out, uint32_t in)
{
	const struct vbuf buf[] = { { DATA, out, 0 },
				    { DATA + 16, in, D_WRITE } };
	uint8_t raw[4];

	put_le32(raw, type);
	ram_write(&bed.ram, GPA(DATA), raw, 4);
	ram_fill(&bed.ram, GPA(DATA + 16), 0xee, 8);
	drv_chain(&drv, 0, buf, in ? 2 : 1);
	drv_kick(&drv, 0);
}

static const struct request_case {
	const char *what;
	uint32_t type, out, in, len;
	uint64_t answer;
} request_cases[] = {
	{ "flush", 0, 4, 4, 4, 0xeeeeeeee00000000 },
	{ "longer buffers", 0, 16, 8, 4, 0xeeeeeeee00000000 },
	{ "unknown", 1, 4, 4, 4, 0xeeeeeeee00000001 },
	{ "cut off", 0, 3, 4, 4, 0xeeeeeeee00000001 },
	{ "answer cut off", 0, 4, 3, 3, 0xeeeeeeeeee000000 },
	{ "no answer", 0, 4, 0, 0, 0xeeeeeeeeeeeeeeee },
};

START_TEST(requests)
{
	const struct request_case *c = &request_cases[_i / 2];
	uint32_t head, len;
	uint8_t raw[8];

	begin(_i % 2);
	run();
	for (unsigned i = 0; i < 2; i++) {
		request(c->type, c->out, c->in);
		ck_assert_msg(wait_used(&head, &len), "%s", c->what);
		ck_assert_uint_eq(len, c->len);
		ck_assert(ram_read(&bed.ram, GPA(DATA + 16), raw, 8));
		ck_assert_msg(get_le64(raw) == c->answer, "%s: 0x%llx", c->what,
			      (unsigned long long)get_le64(raw));
	}
	ck_assert_uint_ge(drv_interrupts(&drv, 0), 1);
	end();
}
END_TEST

START_TEST(configuration)
{
	unsigned at = _i ? 0x100 : 0x2000;
	uint64_t start;

	begin(_i);
	start = drv_get(&drv, at, 4) | drv_get(&drv, at + 4, 4) << 32;
	ck_assert_uint_eq(start, bed.platform.pmem[0].base);
	ck_assert_uint_eq(start % MIB(2), 0);
	ck_assert_uint_eq(drv_get(&drv, at + 8, 4), MIB(4));
	ck_assert_uint_eq(drv_get(&drv, at + 12, 4), 0);
	drv_put(&drv, at, 4, 0); /* nothing to write */
	ck_assert_uint_eq(drv_get(&drv, at, 4), (uint32_t)start);
	end();
}
END_TEST

/* Of a file that was cut short the guest sees zeros, and that they go nowhere.
 */
START_TEST(cut_short)
{
	uint32_t head, len;
	uint8_t byte = 1;

	begin(_i);
	run();
	ck_assert_int_eq(truncate(path, MIB(1)), 0);
	ck_assert(ram_read(&bed.ram, GPA(bed.platform.pmem[0].base + MIB(3)),
			   &byte, 1));
	ck_assert_uint_eq(byte, 0);
	/* What the hypervisor emulates there comes this way. */
	bus_write(bed.env.mmio, bed.platform.pmem[0].base + MIB(2), 2, 0xabcd);
	ck_assert_uint_eq(
		bus_read(bed.env.mmio, bed.platform.pmem[0].base + MIB(2), 4),
		0xabcd);
	request(0, 4, 4);
	ck_assert(wait_used(&head, &len));
	ck_assert(ram_read(&bed.ram, GPA(DATA + 16), &byte, 1));
	ck_assert_uint_eq(byte, 1);
	end();
}
END_TEST

/* Class (f): reset with flushes on their way, again and again. */
START_TEST(reset_in_flight)
{
	uint32_t head, len;

	begin(_i);
	for (unsigned i = 0; i < 50; i++) {
		run();
		ram_fill(&bed.ram, GPA(bed.platform.pmem[0].base), (uint8_t)i,
			 MIB(1));
		for (unsigned j = 0; j < 8; j++)
			request(0, 4, 4);
		drv_set_status(&drv, 0);
		ram_fill(&bed.ram, GPA(BED_RAM_B), 0xff, 0x8000);
	}
	run();
	request(0, 4, 4);
	ck_assert(wait_used(&head, &len));
	end();
}
END_TEST

START_TEST(state_round_trip)
{
	struct stream_out out;
	struct stream_in in;
	struct diag d = DIAG_INIT;
	uint32_t head, len;

	begin(_i);
	run();
	request(0, 4, 4);
	ck_assert(wait_used(&head, &len));
	dev->cls->pause(dev);
	stream_out_init(&out);
	dev->cls->save(dev, &out);
	dev->cls->reset(dev);
	stream_in_init(&in, out.data, out.len);
	ck_assert_int_eq(dev->cls->load(dev, &in, &d), 0);
	ck_assert_int_eq(stream_in_done(&in), 0);
	dev->cls->resume(dev);
	request(0, 4, 4);
	ck_assert(wait_used(&head, &len));
	ck_assert_uint_eq(len, 4);
	stream_out_release(&out);
	end();
}
END_TEST

static void stop_loop(void *loop)
{
	event_loop_stop(loop);
}

/* Who never touches what is lost hears of it all the same. */
START_TEST(cut_is_heard)
{
	struct event_source source;
	struct event_timer timer;
	struct diag d = DIAG_INIT;
	struct event_loop *loop = event_loop_new(&d);

	ck_assert_int_eq(pmem_place(&p, &ram, &config, &d), 0);
	pmem_watch(&source, loop, &ram);
	ck_assert_int_eq(truncate(path, MIB(1)), 0);
	ck_assert(!ram_lost(&ram, GPA(p.pmem[0].base)));
	ck_assert_int_eq(event_timer_init(&timer, loop, stop_loop, loop), 0);
	event_timer_set(&timer, 50000000, 0);
	event_loop_run(loop);
	event_timer_release(&timer);
	ck_assert(ram_lost(&ram, GPA(p.pmem[0].base)));
	pmem_unwatch(&source, loop);
	event_loop_free(loop);
}
END_TEST

static TCase *file_case(void)
{
	TCase *tc = tcase_create("files");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, placed_in_the_window, 0, 2);
	tcase_add_test(tc, placed_above_ram);
	tcase_add_loop_test(tc, writes, 0, 2);
	tcase_add_loop_test(tc, locks, 0, ARRAY_SIZE(lock_cases));
	tcase_add_test(tc, cut_is_heard);
	tcase_add_loop_test(tc, refused, 0, 2 * ARRAY_SIZE(error_cases));
	return tc;
}

static TCase *device_case(bool packed)
{
	TCase *tc = FORMAT_CASE("the device", packed);

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, requests, 0, 2 * ARRAY_SIZE(request_cases));
	tcase_add_loop_test(tc, configuration, 0, 2);
	tcase_add_loop_test(tc, cut_short, 0, 2);
	tcase_add_loop_test(tc, reset_in_flight, 0, 2);
	tcase_add_loop_test(tc, state_round_trip, 0, 2);
	return tc;
}

int main(void)
{
	Suite *suite = suite_create("virtio-pmem");

	suite_add_tcase(suite, file_case());
	for (int packed = 0; packed < 2; packed++)
		suite_add_tcase(suite, device_case(packed));
	return suite_run(suite);
}
