/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: tests of virtio-balloon, over both transports, on both ring formats */
#include <check.h>
#include <errno.h>

#include "devices/virtio/balloon.h"
#include "formats.h"
#include "tests/unit/suite.h"
#include "virtio-driver.h"

#define V1     VIRTIO_F_VERSION_1
#define POISON (1ULL << 4)
#define REPORT (1ULL << 5)
#define OOM    (1ULL << 2)
#define ALWAYS 0x1aULL /* statistics, hints, poison */

enum { INFLATE, DEFLATE, STATS, HINT, REPORTS, QUEUES };

/* Pages that the tests give away, and where request data is. */
#define VICTIM (BED_RAM_A + 0x80000)
#define DATA   (BED_RAM_B + 0x80000)

static struct bed bed;
static struct balloon_config config;
static struct device *dev;
static struct drv drv;
static const struct ram_options shared = { .shared = true };

static void setup(void)
{
	memset(&bed, 0, sizeof(bed));
	config = (struct balloon_config){ .free_page_reporting = true };
}

static uint64_t ring_of(unsigned q)
{
	return BED_RAM_B + q * 0x10000;
}

/* @kind: bit 0: MMIO; bit 1: shared RAM. */
static void begin(int kind)
{
	struct diag d = DIAG_INIT;

	bed_open(&bed, kind & 1 ? TRANSPORT_MMIO : TRANSPORT_PCI, false);
	if (kind & 2) {
		ram_release(&bed.ram);
		ck_assert(!ram_add(&bed.ram, GPA(BED_RAM_A), BED_RAM_SZ,
				   &shared, &d));
		ck_assert(!ram_add(&bed.ram, GPA(BED_RAM_B), BED_RAM_SZ,
				   &shared, &d));
	}
	bed.item = &config;
	dev = bed_add(&bed, "virtio-balloon");
	drv_find(&drv, &bed, dev, kind & 1 ? 0 : 1);
}

static void end(void)
{
	device_free(dev);
	bed_close(&bed);
}

static void run(uint64_t features)
{
	if (!drv.mmio)
		drv_msix(&drv, QUEUES + 1);
	ck_assert_uint_eq(drv_negotiate(&drv, V1 | format | features), 11);
	for (unsigned q = 0; q < QUEUES; q++)
		drv_queue(&drv, q, 32, ring_of(q));
	drv_go(&drv);
	bed_run(&bed, 2);
}

static unsigned config_at(unsigned offset)
{
	return (drv.mmio ? 0x100 : 0x2000) + offset;
}

static uint32_t config_get(unsigned offset)
{
	return (uint32_t)drv_get(&drv, config_at(offset), 4);
}

static void put_u32(uint64_t at, uint32_t v)
{
	uint8_t raw[4];

	put_le32(raw, v);
	ck_assert(ram_write(&bed.ram, GPA(at), raw, 4));
}

/* One request of @len bytes at DATA; must come back. */
static void request(unsigned q, uint64_t at, uint32_t len, bool writable)
{
	uint32_t head, used;

	drv_add(&drv, q, at, len, writable);
	drv_kick(&drv, q);
	bed_run(&bed, 2);
	ck_assert(drv_take(&drv, q, &head, &used));
	ck_assert_uint_eq(used, 0);
}

static void inflate(const uint32_t *pfn, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		put_u32(DATA + 4 * i, pfn[i]);
	request(INFLATE, DATA, 4 * count, false);
}

static void fill(void)
{
	ck_assert(ram_fill(&bed.ram, GPA(VICTIM), 0xaa, 0x40000));
}

/* Is the page at VICTIM + @index pages empty? Whole or not at all. */
static bool emptied(unsigned index)
{
	uint8_t page[4096];

	ck_assert(ram_read(&bed.ram, GPA(VICTIM + 4096ULL * index), page,
			   sizeof(page)));
	ck_assert(!memcmp(page, page + 1, sizeof(page) - 1));
	ck_assert(page[0] == 0 || page[0] == 0xaa);
	return !page[0];
}

/* ---- inflate ------------------------------------------------------------ */

static const struct inflate_case {
	const char *what;
	unsigned count;
	uint32_t pfn[4]; /* below 64: pages from VICTIM */
	uint64_t emptied;
} inflate_cases[] = {
	{ "one", 1, { 3 }, 0x8 },
	{ "upward", 3, { 3, 4, 5 }, 0x38 },
	{ "downward", 4, { 9, 8, 7, 6 }, 0x3c0 },
	{ "scattered", 4, { 9, 1, 30, 2 }, 0x40000206 },
	{ "back and forth", 4, { 4, 5, 3, 4 }, 0x38 },
	{ "the same again", 3, { 1, 1, 1 }, 0x2 },
	{ "outside", 3, { 1, 0x7fffffff, 2 }, 0x6 },
	{ "last number", 2, { UINT32_MAX, 2 }, 0x4 },
	{ "last number first, then 0",
	  3,
	  { UINT32_MAX - 1, UINT32_MAX, 7 },
	  0x80 },
	{ "page 0", 2, { 0x80000000, 2 }, 0x4 },
	{ "nothing", 0, { 0 }, 0 },
};

START_TEST(inflates)
{
	const struct inflate_case *c = &inflate_cases[_i / 4];
	uint32_t pfn[4];

	begin(_i % 4);
	run(0);
	fill();
	for (unsigned i = 0; i < 4; i++)
		pfn[i] = c->pfn[i] < 64 ? (uint32_t)(VICTIM >> 12) + c->pfn[i]
			 : c->pfn[i] == 0x80000000 ? 0
						   : c->pfn[i];
	inflate(pfn, c->count);
	for (unsigned i = 0; i < 64; i++)
		ck_assert_msg(emptied(i) == (c->emptied >> i & 1),
			      "%s: page %u", c->what, i);
	ck_assert_uint_eq(drv_status(&drv), 15);
	end();
}
END_TEST

/* Class (q): over both ends of a region, the pages inside are taken. */
START_TEST(inflates_at_the_edge)
{
	uint32_t last = (uint32_t)((BED_RAM_A + BED_RAM_SZ) >> 12) - 1;
	const uint32_t up[] = { last - 1, last, last + 1 };
	const uint32_t down[] = { last + 1, last, last - 1 };
	uint8_t byte;

	begin(_i % 4);
	run(0);
	for (unsigned i = 0; i < 2; i++) {
		ram_fill(&bed.ram, GPA(BED_RAM_A + BED_RAM_SZ - 0x3000), 0xbb,
			 0x3000);
		inflate(i ? down : up, 3);
		ram_read(&bed.ram, GPA(BED_RAM_A + BED_RAM_SZ - 1), &byte, 1);
		ck_assert_uint_eq(byte, 0);
		ram_read(&bed.ram, GPA(BED_RAM_A + BED_RAM_SZ - 0x2000), &byte,
			 1);
		ck_assert_uint_eq(byte, 0);
		ram_read(&bed.ram, GPA(BED_RAM_A + BED_RAM_SZ - 0x2001), &byte,
			 1);
		ck_assert_uint_eq(byte, 0xbb);
	}
	end();
}
END_TEST

/* Class (q): persistent memory is no RAM; a balloon must not empty a file. */
START_TEST(spares_files)
{
	const uint64_t at = 0x100000000;
	const uint32_t pfn[] = { (uint32_t)(at >> 12) };
	char name[] = "/tmp/test-balloon-XXXXXX";
	struct diag d = DIAG_INIT;
	uint8_t byte = 0x5a;
	int fd = mkstemp(name);

	begin(_i);
	ck_assert_int_eq(ftruncate(fd, 0x200000), 0);
	ck_assert_int_eq(
		ram_add_pmem(&bed.ram, GPA(at), 0x200000, fd, false, &d), 0);
	run(REPORT);
	ck_assert(ram_fill(&bed.ram, GPA(at), 0x5a, 0x2000));
	inflate(pfn, 1);
	request(REPORTS, at, 0x2000, true);
	ck_assert(ram_read(&bed.ram, GPA(at), &byte, 1));
	ck_assert_uint_eq(byte, 0x5a);
	unlink(name);
	end();
}
END_TEST

/* Class (q), (r): the driver gives its own rings away. Whatever it gets, no
 * harm is done, and after a reset all is well. */
START_TEST(gives_its_rings_away)
{
	uint32_t pfn = (uint32_t)(ring_of(INFLATE) >> 12);

	begin(_i);
	run(REPORT);
	for (unsigned i = 0; i < 16; i++)
		put_u32(DATA + 4 * i, pfn + i);
	drv_add(&drv, INFLATE, DATA, 64, false);
	drv_kick(&drv, INFLATE);
	drv_add(&drv, REPORTS, ring_of(REPORTS), 0x10000, true);
	drv_kick(&drv, REPORTS);
	bed_run(&bed, 8);
	run(0);
	fill();
	inflate((const uint32_t[]){ (uint32_t)(VICTIM >> 12) }, 1);
	ck_assert(emptied(0) && !emptied(1));
	end();
}
END_TEST

/* Class (k), (m): a request is worth 4096 pages, and bytes that make no
 * number are nothing. */
START_TEST(inflate_is_bounded)
{
	uint32_t head, len;

	begin(_i);
	run(0);
	fill();
	for (unsigned i = 0; i < 4097; i++)
		put_u32(DATA + 4 * i,
			(uint32_t)(VICTIM >> 12) + (i < 4096 ? 0 : 1));
	drv_add(&drv, INFLATE, DATA, 4 * 4097, false);
	put_u32(DATA + 0x10000, (uint32_t)(VICTIM >> 12) + 2);
	drv_add(&drv, INFLATE, DATA + 0x10000, 3, false);
	drv_add(&drv, INFLATE, DATA + 0x10000, 4, true);
	drv_kick(&drv, INFLATE);
	bed_run(&bed, 4);
	for (unsigned i = 0; i < 3; i++)
		ck_assert(drv_take(&drv, INFLATE, &head, &len));
	ck_assert(emptied(0) && !emptied(1) && !emptied(2));
	end();
}
END_TEST

/* Class (r): there is no virtio-mem; what a balloon has taken is the memory
 * that should not be used any more. Requests that lie there find zeros. */
START_TEST(requests_in_what_is_taken)
{
	const uint32_t pfn[] = { (uint32_t)(VICTIM >> 12) + 8,
				 (uint32_t)(VICTIM >> 12) + 9 };

	begin(_i);
	run(REPORT);
	fill();
	inflate(pfn, 2);
	ck_assert(emptied(8) && emptied(9));
	/* Page number 0, a thousand times; the end lies in a full page. */
	request(INFLATE, VICTIM + 0x9000, 0x1000, false);
	request(DEFLATE, VICTIM + 0x8800, 0x1000, false);
	request(REPORTS, VICTIM + 0x8000, 0x2000, true);
	ck_assert(emptied(8) && emptied(9) && !emptied(7) && !emptied(10));
	ck_assert_uint_eq(drv_status(&drv), 15);
	end();
}
END_TEST

START_TEST(deflates)
{
	begin(_i);
	run(0);
	fill();
	put_u32(DATA, (uint32_t)(VICTIM >> 12));
	request(DEFLATE, DATA, 4, false);
	ck_assert(!emptied(0));
	end();
}
END_TEST

/* ---- size and configuration --------------------------------------------- */

START_TEST(target)
{
	struct diag d = DIAG_INIT;
	char why[512];

	config.size_bytes = 0x5fff;
	begin(_i);
	ck_assert_uint_eq(config_get(0), 5);
	run(0);
	drv_interrupts(&drv, 0);
	ck_assert_int_eq(virtio_balloon_resize(dev, MIB(1), &d), 0);
	ck_assert_uint_eq(config_get(0), 256);
	if (drv.mmio)
		ck_assert_uint_eq(drv_get(&drv, 0x60, 4), 2);
	else
		ck_assert_uint_eq(drv_fired(&drv, 0), 1);
	ck_assert_int_eq(virtio_balloon_resize(dev, 2 * BED_RAM_SZ + 1, &d),
			 -EINVAL);
	diag_format(&d, why, sizeof(why));
	ck_assert_ptr_nonnull(strstr(why, "2097153"));
	ck_assert_uint_eq(config_get(0), 256);
	/* The target outlives the driver. */
	drv_set_status(&drv, 0);
	ck_assert_uint_eq(config_get(0), 256);
	end();
}
END_TEST

START_TEST(actual)
{
	begin(_i);
	run(0);
	ck_assert_uint_eq(virtio_balloon_actual(dev), 0);
	drv_put(&drv, config_at(4), 4, 77);
	ck_assert_uint_eq(virtio_balloon_actual(dev), 77 * 4096);
	ck_assert_uint_eq(config_get(4), 77);
	drv_put(&drv, config_at(0), 4, 99); /* read-only */
	drv_put(&drv, config_at(8), 4, 99);
	ck_assert_uint_eq(config_get(0), 0);
	ck_assert_uint_eq(config_get(8), 0);
	drv_put(&drv, config_at(7), 1, 1); /* byte by byte */
	ck_assert_uint_eq(config_get(4), 0x100004d);
	drv_set_status(&drv, 0);
	ck_assert_uint_eq(virtio_balloon_actual(dev), 0);
	end();
}
END_TEST

static const struct feature_case {
	bool oom, report;
	uint64_t want;
} feature_cases[] = {
	{ false, false, ALWAYS },
	{ true, false, ALWAYS | OOM },
	{ false, true, ALWAYS | REPORT },
	{ true, true, ALWAYS | OOM | REPORT },
};

START_TEST(features)
{
	const struct feature_case *c = &feature_cases[_i];

	config.deflate_on_oom = c->oom;
	config.free_page_reporting = c->report;
	begin(0);
	ck_assert_uint_eq(drv_offered(&drv) & 0xffffff, c->want);
	end();
}
END_TEST

/* ---- reporting ---------------------------------------------------------- */

static const struct report_case {
	const char *what;
	uint64_t at, len, features;
	uint32_t poison;
	uint64_t emptied;
} report_cases[] = {
	{ "two pages", VICTIM, 0x2000, 0, 0, 0x3 },
	{ "whole pages only", VICTIM + 1, 0x2fff, 0, 0, 0x6 },
	{ "less than a page", VICTIM + 1, 0xffe, 0, 0, 0 },
	{ "poison is zero", VICTIM, 0x1000, POISON, 0, 1 },
	{ "poison", VICTIM, 0x1000, POISON, 0xaaaaaaaa, 0 },
	{ "no poison negotiated", VICTIM, 0x1000, 0, 0xaaaaaaaa, 1 },
};

START_TEST(reports)
{
	const struct report_case *c = &report_cases[_i / 4];

	begin(_i % 4);
	run(REPORT | c->features);
	fill();
	drv_put(&drv, config_at(12), 4, c->poison);
	request(REPORTS, c->at, (uint32_t)c->len, true);
	for (unsigned i = 0; i < 8; i++)
		ck_assert_msg(emptied(i) == (c->emptied >> i & 1),
			      "%s: page %u", c->what, i);
	/* Readable buffers are no free pages. */
	fill();
	request(REPORTS, c->at, (uint32_t)c->len, false);
	ck_assert(!emptied(0));
	end();
}
END_TEST

/* ---- statistics --------------------------------------------------------- */

static void put_stat(unsigned index, uint16_t tag, uint64_t value)
{
	uint8_t raw[10];

	put_le16(raw, tag);
	put_le64(raw + 2, value);
	ram_write(&bed.ram, GPA(DATA + 10ULL * index), raw, 10);
}

START_TEST(statistics)
{
	struct balloon_stats s;
	uint32_t head, len;

	begin(_i);
	run(1 << 1);
	ck_assert(!virtio_balloon_stats(dev, &s));
	put_stat(0, 4, 1111);
	put_stat(1, 5, UINT64_MAX);
	put_stat(2, 999, 1); /* a tag of the future */
	put_stat(3, 15, 3);
	drv_add(&drv, STATS, DATA, 35, false); /* and half a one */
	drv_kick(&drv, STATS);
	bed_run(&bed, 2);
	ck_assert(!drv_take(&drv, STATS, &head, &len)); /* kept */
	ck_assert(virtio_balloon_stats(dev, &s));
	ck_assert_uint_eq(s.known, 1 << 4 | 1 << 5);
	ck_assert_uint_eq(s.value[4], 1111);
	ck_assert_uint_eq(s.value[5], UINT64_MAX);
	/* Asking gave the buffer back, once. */
	ck_assert(drv_take(&drv, STATS, &head, &len));
	ck_assert_uint_eq(len, 0);
	ck_assert_uint_eq(drv_interrupts(&drv, STATS), 1);
	ck_assert(virtio_balloon_stats(dev, &s));
	ck_assert(!drv_take(&drv, STATS, &head, &len));
	put_stat(0, 4, 2222);
	drv_add(&drv, STATS, DATA, 40, false);
	drv_kick(&drv, STATS);
	bed_run(&bed, 2);
	ck_assert(virtio_balloon_stats(dev, &s));
	ck_assert_uint_eq(s.value[4], 2222);
	ck_assert_uint_eq(s.value[15], 3);
	drv_set_status(&drv, 0);
	ck_assert(!virtio_balloon_stats(dev, &s));
	end();
}
END_TEST

/* ---- hints -------------------------------------------------------------- */

static uint64_t hinted[4];
static unsigned hints, ends;

static void on_free(void *opaque, gpa_t gpa, uint64_t len)
{
	ck_assert_ptr_eq(opaque, &bed);
	hinted[hints % 4] = gpa.v + len / 4096;
	hints++;
}

static void on_end(void *opaque)
{
	ck_assert_ptr_eq(opaque, &bed);
	ends++;
}

static void command(uint32_t id)
{
	put_u32(DATA, id);
	request(HINT, DATA, 4, false);
}

START_TEST(hinting)
{
	const struct balloon_hints h = { on_free, on_end, &bed };
	uint32_t id;

	hints = ends = 0;
	begin(_i);
	ck_assert_int_eq(virtio_balloon_hint_start(dev, &h), -ENOTSUP);
	run(1 << 3);
	fill();
	request(HINT, VICTIM, 0x1000, true); /* unasked */
	ck_assert_int_eq(virtio_balloon_hint_start(dev, &h), 0);
	id = config_get(8);
	ck_assert_uint_ge(id, 2);
	request(HINT, VICTIM, 0x1000, true); /* before its command */
	command(id + 1);		     /* another one */
	request(HINT, VICTIM, 0x1000, true);
	ck_assert_uint_eq(hints, 0);
	command(id);
	request(HINT, VICTIM, 0x2000, true);
	ck_assert_uint_eq(hints, 1);
	ck_assert_uint_eq(hinted[0], VICTIM + 2);
	ck_assert(!emptied(0)); /* never touched */
	command(0);
	ck_assert_uint_eq(ends, 1);
	request(HINT, VICTIM, 0x1000, true);
	ck_assert_uint_eq(hints, 1);
	virtio_balloon_hint_stop(dev);
	ck_assert_uint_eq(config_get(8), 1);
	command(id); /* out of date */
	request(HINT, VICTIM, 0x1000, true);
	ck_assert_uint_eq(hints, 1);
	ck_assert_int_eq(virtio_balloon_hint_start(dev, &h), 0);
	ck_assert_uint_eq(config_get(8), id + 1);
	end();
}
END_TEST

/* ---- state -------------------------------------------------------------- */

START_TEST(state_round_trip)
{
	struct stream_out out, again;
	struct balloon_stats s;
	struct stream_in in;
	struct diag d = DIAG_INIT;

	begin(_i);
	run(1 << 1);
	ck_assert_int_eq(virtio_balloon_resize(dev, 0x9000, &d), 0);
	drv_put(&drv, config_at(4), 4, 5);
	drv_put(&drv, config_at(12), 4, 6);
	put_stat(0, 4, 1111);
	drv_add(&drv, STATS, DATA, 10, false);
	drv_kick(&drv, STATS);
	bed_run(&bed, 2);
	stream_out_init(&out);
	dev->cls->save(dev, &out);
	dev->cls->reset(dev);
	ck_assert_int_eq(virtio_balloon_resize(dev, 0, &d), 0);
	stream_in_init(&in, out.data, out.len);
	ck_assert_int_eq(dev->cls->load(dev, &in, &d), 0);
	ck_assert_int_eq(stream_in_done(&in), 0);
	ck_assert_uint_eq(config_get(0), 9);
	ck_assert_uint_eq(config_get(4), 5);
	ck_assert_uint_eq(config_get(12), 6);
	bed_run(&bed, 4);
	ck_assert(virtio_balloon_stats(dev, &s));
	ck_assert_uint_eq(s.value[4], 1111);
	stream_out_init(&again);
	dev->cls->reset(dev);
	stream_in_init(&in, out.data, out.len);
	ck_assert_int_eq(dev->cls->load(dev, &in, &d), 0);
	dev->cls->save(dev, &again);
	ck_assert_uint_eq(out.len, again.len);
	ck_assert_mem_eq(out.data, again.data, out.len);
	/* Cut off anywhere: refused. */
	for (size_t len = 0; len < out.len; len++) {
		dev->cls->reset(dev);
		stream_in_init(&in, out.data, len);
		ck_assert_int_ne(dev->cls->load(dev, &in, &d), 0);
	}
	stream_out_release(&out);
	stream_out_release(&again);
	end();
}
END_TEST

static TCase *balloon_case(bool packed)
{
	TCase *tc = FORMAT_CASE("balloon", packed);

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_loop_test(tc, inflates, 0, 4 * ARRAY_SIZE(inflate_cases));
	tcase_add_loop_test(tc, inflates_at_the_edge, 0, 4);
	tcase_add_loop_test(tc, spares_files, 0, 2);
	tcase_add_loop_test(tc, gives_its_rings_away, 0, 4);
	tcase_add_loop_test(tc, inflate_is_bounded, 0, 2);
	tcase_add_loop_test(tc, requests_in_what_is_taken, 0, 4);
	tcase_add_loop_test(tc, deflates, 0, 2);
	tcase_add_loop_test(tc, target, 0, 2);
	tcase_add_loop_test(tc, actual, 0, 2);
	tcase_add_loop_test(tc, features, 0, ARRAY_SIZE(feature_cases));
	tcase_add_loop_test(tc, reports, 0, 4 * ARRAY_SIZE(report_cases));
	tcase_add_loop_test(tc, statistics, 0, 2);
	tcase_add_loop_test(tc, hinting, 0, 2);
	tcase_add_loop_test(tc, state_round_trip, 0, 2);
	return tc;
}

int main(void)
{
	Suite *suite = suite_create("virtio-balloon");

	for (int packed = 0; packed < 2; packed++)
		suite_add_tcase(suite, balloon_case(packed));
	return suite_run(suite);
}
