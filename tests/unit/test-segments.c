/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: PCI segments: what is refused with which sentence, who goes where, and
 * that their windows agree with each other on both architectures
 */
#include <check.h>
#include <errno.h>
#include <string.h>

#include "arch/arm64/layout.h"
#include "arch/x86_64/e820.h"
#include "arch/x86_64/layout.h"
#include "vmm/pmem.h"
#include "vmm/schema.h"

#include "tests/unit/suite.h"

#define GIVEN_MAX 6

static struct vm_config cfg;
static struct platform p;
static struct diag d;

static void setup(void)
{
	d = DIAG_INIT;
	memset(&p, 0, sizeof(p));
	ck_assert_int_eq(vm_config_init(&cfg, "x86_64", &d), 0);
	cfg.cpus.nested = false; /* also for arm64 */
}

static void teardown(void)
{
	platform_release(&p);
	vm_config_release(&cfg);
}

/* @given: "OPTION VALUE"; the first that does not parse is the result. */
static int give(const char *const *given)
{
	for (unsigned i = 0; i < GIVEN_MAX && given[i]; i++) {
		size_t len = strcspn(given[i], " ");
		const struct schema_option *o =
			schema_find(&vm_config_schema, given[i], len);
		int err = schema_parse(o, given[i] + len + 1, &cfg, &d);

		if (err)
			return err;
	}
	return vm_config_complete(&cfg, &d);
}

/* ---- the configuration -------------------------------------------------- */

static const struct {
	const char *given[GIVEN_MAX];
	const char *says; /* NULL: it is good */
} rules[] = {
	{ { "platform num_pci_segments=96" }, NULL },
	{ { "platform num_pci_segments=2",
	    "pci-segment pci_segment=1,mmio32_aperture_weight=3",
	    "pci-segment mmio64_aperture_weight=4294967295",
	    "disk path=/x,pci_segment=1", "net pci_segment=1",
	    "pmem file=/x,pci_segment=1" },
	  NULL },
	{ { "platform num_pci_segments=3", "rng pci_segment=2",
	    "console off,pci_segment=1", "balloon size=0,pci_segment=2",
	    "vsock cid=3,socket=/s,pci_segment=2" },
	  NULL },
	{ { "platform transport=mmio", "disk path=/x,pci_segment=0" }, NULL },
	{ { "platform num_pci_segments=0" },
	  "--platform num_pci_segments=0: must be a number, 1 to 96" },
	{ { "platform num_pci_segments=97" },
	  "--platform num_pci_segments=97: must be a number, 1 to 96" },
	{ { "disk path=/x,pci_segment=1" },
	  "--disk pci_segment=1: the last PCI segment is 0: give --platform "
	  "num_pci_segments=2" },
	{ { "platform num_pci_segments=2", "disk path=/x",
	    "disk path=/y,pci_segment=7" },
	  "--disk pci_segment=7: the last PCI segment is 1: give --platform "
	  "num_pci_segments=8" },
	{ { "disk path=/x,pci_segment=96" },
	  "--disk pci_segment=96: must be a number, 0 to 95" },
	{ { "rng pci_segment=1" },
	  "--rng pci_segment=1: the last PCI segment is 0: give --platform "
	  "num_pci_segments=2" },
	{ { "console off,pci_segment=1" },
	  "--console pci_segment=1: the last PCI segment is 0: give "
	  "--platform num_pci_segments=2" },
	{ { "fs tag=a,socket=/s,pci_segment=2", "memory shared=on",
	    "platform num_pci_segments=2" },
	  "--fs pci_segment=2: the last PCI segment is 1: give --platform "
	  "num_pci_segments=3" },
	{ { "generic-vhost-user device_type=rng,socket=/"
	    "s,queue_sizes=[64],pci_segment=2",
	    "memory shared=on", "platform num_pci_segments=2" },
	  "--generic-vhost-user pci_segment=2: the last PCI segment is 1: "
	  "give --platform num_pci_segments=3" },
	{ { "pci-segment pci_segment=0" },
	  "--pci-segment: divides what several segments share: give "
	  "--platform num_pci_segments=" },
	{ { "platform num_pci_segments=2", "pci-segment pci_segment=2" },
	  "--pci-segment pci_segment=2: the last PCI segment is 1: give "
	  "--platform num_pci_segments=3" },
	{ { "platform num_pci_segments=2",
	    "pci-segment mmio32_aperture_weight=0" },
	  "--pci-segment mmio32_aperture_weight=0: must be a number, 1 to "
	  "4294967295" },
	{ { "platform num_pci_segments=2",
	    "pci-segment mmio64_aperture_weight=0" },
	  "--pci-segment mmio64_aperture_weight=0: must be a number, 1 to "
	  "4294967295" },
	{ { "platform num_pci_segments=2", "pci-segment pci_segment=1",
	    "pci-segment pci_segment=1" },
	  "--pci-segment pci_segment=1: given twice" },
	{ { "platform num_pci_segments=2,transport=mmio" },
	  "--platform num_pci_segments=2: transport=mmio has no PCI: leave out "
	  "one of them" },
};

START_TEST(test_rules)
{
	int err = give(rules[_i].given);

	if (!err)
		err = vm_config_check(&cfg, "x86_64", &d);
	if (!rules[_i].says) {
		ck_assert_msg(!err, "%s", d.text[0]);
		return;
	}
	ck_assert_int_eq(err, -EINVAL);
	ck_assert_str_eq(d.text[0], rules[_i].says);
}
END_TEST

/* ---- the map ------------------------------------------------------------ */

static const struct map {
	const char *given[GIVEN_MAX];
	bool arm64, q35, firmware;
	unsigned pa_bits;
	/* shares of the windows, in thousandths, of the first segments */
	unsigned share32[3], share64[3];
	uint64_t ecam_1;
} maps[] = {
	{ .given = { "platform num_pci_segments=2" },
	  .pa_bits = 46,
	  .share32 = { 500, 500 },
	  .share64 = { 500, 500 },
	  .ecam_1 = 0xe8100000 },
	{ .given = { "platform num_pci_segments=3",
		     "pci-segment pci_segment=1,mmio32_aperture_weight=8",
		     "pci-segment pci_segment=2,mmio64_aperture_weight=2" },
	  .pa_bits = 40,
	  .share32 = { 100, 800, 100 },
	  .share64 = { 250, 250, 500 },
	  .ecam_1 = 0xe8100000 },
	{ .given = { "platform num_pci_segments=96", "memory size=8G" },
	  .pa_bits = 52,
	  .share32 = { 10, 10, 10 },
	  .share64 = { 10, 10, 10 },
	  .ecam_1 = 0xe8100000 },
	{ .given = { "platform num_pci_segments=2,vmgenid=on", "memory size=8G",
		     "pmem file=/tmp,size=2M" },
	  .firmware = true,
	  .pa_bits = 46,
	  .share32 = { 500, 500 },
	  .share64 = { 500, 500 },
	  .ecam_1 = 0xe8100000 },
	/* less than a GiB for each */
	{ .given = { "platform num_pci_segments=96,vmgenid=on",
		     "memory size=50G", "pmem file=/tmp,size=2M" },
	  .pa_bits = 36,
	  .share32 = { 10, 10, 10 },
	  .share64 = { 0, 0, 0 },
	  .ecam_1 = 0xe8100000 },
	{ .given = { "platform num_pci_segments=3,vmgenid=on" },
	  .q35 = true,
	  .pa_bits = 46,
	  .share32 = { 949, 25, 25 },
	  .share64 = { 333, 333, 333 },
	  .ecam_1 = 0xf0100000 },
	{ .given = { "platform num_pci_segments=96", "memory size=8G" },
	  .q35 = true,
	  .pa_bits = 40,
	  .share32 = { 949, 0, 0 },
	  .share64 = { 126, 9, 9 },
	  .ecam_1 = 0xf0100000 },
	{ .given = { "platform num_pci_segments=2",
		     "pci-segment mmio64_aperture_weight=3",
		     "pci-segment pci_segment=1,mmio32_aperture_weight=5" },
	  .q35 = true,
	  .pa_bits = 40,
	  .share32 = { 949, 50 },
	  .share64 = { 749, 250 },
	  .ecam_1 = 0xf0100000 },
	/* more than OVMF maps */
	{ .given = { "platform num_pci_segments=2,vmgenid=on", "memory size=2G",
		     "pmem file=/tmp,size=4M" },
	  .q35 = true,
	  .pa_bits = 48,
	  .share32 = { 949, 50 },
	  .share64 = { 781, 218 },
	  .ecam_1 = 0xf0100000 },
	{ .given = { "platform num_pci_segments=3", "memory size=8G",
		     "pci-segment pci_segment=2,mmio64_aperture_weight=99" },
	  .q35 = true,
	  .pa_bits = 52,
	  .share32 = { 949, 25, 25 },
	  .share64 = { 986, 0, 13 },
	  .ecam_1 = 0xf0100000 },
	{ .given = { "platform num_pci_segments=2" },
	  .arm64 = true,
	  .pa_bits = 44,
	  .share32 = { 500, 500 },
	  .share64 = { 500, 500 },
	  .ecam_1 = 0x4018000000 },
	{ .given = { "platform num_pci_segments=96,vmgenid=on",
		     "pci-segment pci_segment=2,mmio64_aperture_weight=95" },
	  .arm64 = true,
	  .pa_bits = 44,
	  .share32 = { 10, 10, 10 },
	  .share64 = { 3, 5, 500 },
	  .ecam_1 = 0x4018000000 },
	/* the low ECAM */
	{ .given = { "platform num_pci_segments=9", "memory size=3G" },
	  .arm64 = true,
	  .pa_bits = 32,
	  .share32 = { 110, 111, 111 },
	  .share64 = { 0, 0, 0 },
	  .ecam_1 = 0x3f800000 },
};

static const struct host_caps *caps_of(const struct map *m)
{
	static struct host_caps caps;

	caps = (struct host_caps){
		.pa_bits = m->pa_bits,
		.gicv3 = true,
		.its = true,
		.page_size_bytes = 4096,
	};
	cfg.cpus.max_phys_bits = 0;
	return &caps;
}

static void layout(const struct map *m)
{
	static char firmware[] = "f";

	ck_assert_msg(!give(m->given), "%s", d.text[0]);
	p.q35 = m->q35;
	if (m->firmware)
		cfg.firmware = firmware;
	ck_assert_msg(!(m->arm64 ? arch_arm64 : arch_x86_64)
			       .layout(&p, &cfg, caps_of(m), &d),
		      "%s", d.text[0]);
	if (m->firmware)
		cfg.firmware = NULL;
}

/* ECAM, windows, and what is where a window might be. */
static unsigned ranges_of(struct plat_range *r)
{
	unsigned n = 0;

	for (unsigned i = 0; i < p.pci.segment_count; i++) {
		r[n++] = p.pci.segment[i].ecam;
		r[n++] = p.pci.segment[i].mmio32;
		r[n++] = p.pci.segment[i].mmio64;
	}
	for (unsigned i = 0; i < p.pmem_count; i++)
		r[n++] = p.pmem[i];
	for (unsigned i = 0; i < p.ram_count; i++)
		r[n++] = p.ram[i];
	r[n++] = p.vmgenid;
	r[n++] = p.virtio_mmio;
	r[n++] = p.intc.ioapic;
	r[n++] = p.pci.pio.bus == PLAT_MMIO ? p.pci.pio
					    : (struct plat_range){ 0 };
	return n;
}

static uint64_t mib_of(bool is64, unsigned i)
{
	const struct plat_segment *s = &p.pci.segment[i];

	return (is64 ? s->mmio64 : s->mmio32).size_bytes >> 20;
}

/* Has it so many thousandths of what all have? Cuts are whole MiB or GiB. */
static void is_about(bool is64, unsigned segment, unsigned share)
{
	uint64_t all = 0, has = mib_of(is64, segment) * 1000;

	for (unsigned i = 0; i < p.pci.segment_count; i++)
		all += mib_of(is64, i);
	ck_assert_uint_ge(has + 2 * all, share * all);
	ck_assert_uint_le(has, (share + 2) * all);
}

/* Linux reaches 10 TiB behind RAM (RANDOMIZE_MEMORY_PHYSICAL_PADDING). */
static void memory_is_near(void)
{
	const struct plat_range *ram = &p.ram[p.ram_count - 1];
	uint64_t reach = ram->base + ram->size_bytes + TIB(10);

	for (unsigned i = 0; i < p.pmem_count; i++)
		ck_assert_uint_le(p.pmem[i].base + p.pmem[i].size_bytes, reach);
	ck_assert_uint_le(p.vmgenid.base + p.vmgenid.size_bytes, reach);
}

START_TEST(test_map)
{
	static struct plat_range r[4 * PLAT_SEGMENTS_MAX];
	const struct map *m = &maps[_i];
	unsigned n, count;

	layout(m);
	ck_assert_int_eq(pmem_place(&p, NULL, &cfg, &d), 0);
	count = p.pci.segment_count;
	ck_assert_uint_eq(count, cfg.platform.num_pci_segments);
	ck_assert_uint_eq(p.pci.segment[1].ecam.base, m->ecam_1);
	for (unsigned i = 1; i < count; i++) {
		ck_assert_uint_eq(p.pci.segment[i].bus_count, 1);
		ck_assert_uint_eq(p.pci.segment[i].ecam.size_bytes, MIB(1));
		ck_assert_uint_ge(p.pci.segment[i].mmio32.size_bytes, MIB(1));
	}
	for (unsigned i = 0; i < MIN(count, 3u); i++) {
		is_about(false, i, m->share32[i]);
		is_about(true, i, m->share64[i]);
	}
	memory_is_near();
	n = ranges_of(r);
	for (unsigned i = 0; i < n; i++) {
		ck_assert_uint_le(r[i].base + r[i].size_bytes,
				  UINT64_C(1) << p.pa_bits);
		for (unsigned k = 0; k < i; k++)
			ck_assert_msg(
				!r[i].size_bytes || !r[k].size_bytes ||
					r[i].base >=
						r[k].base + r[k].size_bytes ||
					r[k].base >=
						r[i].base + r[i].size_bytes,
				"%u overlaps %u", i, k);
	}
}
END_TEST

/* Where OVMF of this and of that version puts 64-bit BARs of segment 0: into
 * the last eighth of what it maps, 46 bits or more, or behind what fw_cfg calls
 * reserved, which is where its window begins. */
START_TEST(test_q35_high_window)
{
	const struct map *m = &maps[_i];
	uint64_t end = UINT64_C(1) << m->pa_bits;
	uint64_t mapped = MIN(end, TIB(64));
	const struct plat_range *w = &p.pci.segment[0].mmio64;

	if (!m->q35)
		return;
	layout(m);
	ck_assert_uint_eq(w->base + w->size_bytes, end);
	ck_assert_uint_le(w->base, mapped - mapped / 8);
	ck_assert_uint_eq(p.pci.segment[0].mmio32.base, GIB(2));
	/* Linux wants all of it in MCFG, or none. */
	ck_assert_uint_eq(p.pci.segment[0].ecam.base, 0xf0000000);
	ck_assert_uint_eq(p.pci.segment[0].ecam.size_bytes, MIB(1));
}
END_TEST

/* RAM reaches into the last eighth: the others go without. */
START_TEST(test_q35_full)
{
	static const struct map m = {
		.given = { "platform num_pci_segments=2,vmgenid=on,vmclock=on",
			   "memory size=960G" },
		.q35 = true,
		.pa_bits = 40,
	};
	const struct plat_segment *s = p.pci.segment;

	layout(&m);
	ck_assert_uint_eq(s[0].mmio64.base, GIB(962));
	ck_assert_uint_eq(s[0].mmio64.size_bytes, TIB(1) - GIB(962));
	ck_assert_uint_eq(s[1].mmio64.size_bytes, 0);
	ck_assert_int_eq(pmem_place(&p, NULL, &cfg, &d), 0);
	ck_assert_uint_eq(p.vmgenid.base, GIB(962));
	ck_assert_uint_eq(p.vmclock.base, GIB(962) + PMEM_ALIGN);
	ck_assert_uint_gt(s[0].mmio64.base, p.vmclock.base);
}
END_TEST

/* CLOUDHV fills its windows from below. */
START_TEST(test_first_is_lowest)
{
	if (maps[_i].q35)
		return;
	layout(&maps[_i]);
	for (unsigned i = 1; i < p.pci.segment_count; i++) {
		ck_assert_uint_gt(p.pci.segment[i].mmio32.base,
				  p.pci.segment[0].mmio32.base);
		if (p.pci.segment[i].mmio64.size_bytes)
			ck_assert_uint_ge(p.pci.segment[i].mmio64.base,
					  p.pci.segment[0].mmio64.base);
	}
}
END_TEST

/* What has one segment is as it always was. */
START_TEST(test_one)
{
	static const struct map m = { .pa_bits = 46 };
	static const struct map arm = { .pa_bits = 46, .arm64 = true };

	layout(_i ? &arm : &m);
	ck_assert_uint_eq(p.pci.segment_count, 1);
	ck_assert_uint_eq(p.pci.segment[0].bus_count, _i ? 256 : 1);
	ck_assert_uint_eq(p.pci.segment[1].ecam.size_bytes, 0);
}
END_TEST

/* Linux wants ECAM reserved. */
START_TEST(test_e820)
{
	static const struct map m = { .given = { "platform "
						 "num_pci_segments=96" },
				      .pa_bits = 46 };
	struct x86_e820 map;

	layout(&m);
	x86_e820_init(&map, &p);
	ck_assert_uint_eq(map.count, 3);
	ck_assert_uint_eq(map.entry[2].base, 0xe8000000);
	ck_assert_uint_eq(map.entry[2].size_bytes, MIB(96));
	ck_assert_uint_eq(map.entry[2].type, X86_E820_RESERVED);
}
END_TEST

static const struct {
	const char *given[GIVEN_MAX];
	bool arm64, no_its;
	unsigned pa_bits;
	int err;
	const char *says;
} mistakes[] = {
	{ { "platform num_pci_segments=2",
	    "pci-segment pci_segment=1,mmio32_aperture_weight=1000" },
	  false,
	  false,
	  46,
	  -E2BIG,
	  "--pci-segment pci_segment=0: no whole MiB of the 640 below 4 GiB is "
	  "left for it: raise its mmio32_aperture_weight, or lower those of "
	  "others" },
	{ { "platform num_pci_segments=2" },
	  true,
	  true,
	  40,
	  -EINVAL,
	  "--platform num_pci_segments=2: this host has no ITS, without which "
	  "only segment 0 can interrupt: leave it out" },
	{ { "platform num_pci_segments=10", "memory size=3G" },
	  true,
	  false,
	  32,
	  -E2BIG,
	  "--platform num_pci_segments=10: in 32 address bits, behind this "
	  "RAM, there is room for 9" },
};

START_TEST(test_mistakes)
{
	const struct map m = { .pa_bits = mistakes[_i].pa_bits };
	struct host_caps caps = *caps_of(&m);

	caps.its = !mistakes[_i].no_its;
	ck_assert_int_eq(give(mistakes[_i].given), 0);
	ck_assert_int_eq((mistakes[_i].arm64 ? arch_arm64 : arch_x86_64)
				 .layout(&p, &cfg, &caps, &d),
			 mistakes[_i].err);
	ck_assert_str_eq(d.text[0], mistakes[_i].says);
}
END_TEST

/* Only the share is too small, not the address space. */
START_TEST(test_pmem_too_large)
{
	static const struct map m[] = {
		{ .given = { "platform num_pci_segments=2",
			     "pmem file=/tmp,size=600G" },
		  .q35 = true,
		  .pa_bits = 40 },
		{ .given = { "platform num_pci_segments=2",
			     "pmem file=/tmp,size=600G" },
		  .arm64 = true,
		  .pa_bits = 40 },
	};
	char says[160];

	snprintf(says, sizeof(says),
		 "644245094400 bytes do not fit into the 64-bit window of PCI "
		 "segment %u: raise its share (--pci-segment pci_segment=%u,"
		 "mmio64_aperture_weight=)",
		 !_i, !_i);
	layout(&m[_i]);
	ck_assert_int_eq(pmem_place(&p, NULL, &cfg, &d), -ENOSPC);
	ck_assert_str_eq(d.text[0], says);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("segments");
	TCase *t = tcase_create("segments");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, test_rules, 0, ARRAY_SIZE(rules));
	tcase_add_loop_test(t, test_map, 0, ARRAY_SIZE(maps));
	tcase_add_loop_test(t, test_q35_high_window, 0, ARRAY_SIZE(maps));
	tcase_add_test(t, test_q35_full);
	tcase_add_loop_test(t, test_first_is_lowest, 0, ARRAY_SIZE(maps));
	tcase_add_loop_test(t, test_one, 0, 2);
	tcase_add_test(t, test_e820);
	tcase_add_loop_test(t, test_mistakes, 0, ARRAY_SIZE(mistakes));
	tcase_add_loop_test(t, test_pmem_too_large, 0, 2);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return suite_run(suite());
}
