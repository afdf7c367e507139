/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: virtio-balloon (VIRTIO 1.3 sec. 5.5); a discarded page reads as zero
 *
 * run pci: --balloon size=16M,free_page_reporting=on
 * run mmio: --balloon size=16M,free_page_reporting=on --platform transport=mmio
 */
#include "exercise.h"

#define BALLOON	   5
#define PAGE	   4096u
#define TARGET	   4096 /* pages, as the option says */
#define AREA_PAGES 16	/* 64 KiB: the largest page of any host */
#define AREA	   (AREA_PAGES * PAGE)
#define PATTERN	   0x5eed0001u

/* Sec. 5.5.2, 5.5.3 and 5.5.4 */
enum { INFLATE = 0, DEFLATE = 1, REPORT = 4 };
enum { CONFIG_PAGES = 0, CONFIG_ACTUAL = 4, CONFIG_POISON = 12 };
#define F_PAGE_POISON (1ull << 4)
#define F_REPORTING   (1ull << 5)

static struct virtio v;
static struct vring inflate_ring, deflate_ring, report_ring;
static uintptr_t list, area; /* page numbers; what they are of */

static void request(struct vbuf *bufs)
{
	list = ram_alloc(AREA_PAGES * 4, 16);
	area = ram_alloc(PAGE, PAGE);
	write32(list, (uint32_t)(area / PAGE));
	bufs[0] = (struct vbuf){ list, 4 };
}

static bool check(const struct vbuf *bufs, uint32_t written)
{
	(void)bufs;
	return written == 0;
}

static const struct exercise balloon = { .id = BALLOON,
					 .queue = INFLATE,
					 .out = 1,
					 .request = request,
					 .check = check };

static bool start(uint64_t features)
{
	if (!exercise_restart(&balloon, &v, &inflate_ring, features) ||
	    !vring_make(&deflate_ring, &v, DEFLATE, 16) ||
	    ((features & F_REPORTING) &&
	     !vring_make(&report_ring, &v, REPORT, 16)))
		return false;
	area = ram_alloc(3 * AREA, AREA) + AREA; /* with neighbours */
	return true;
}

/* Every page of the area and the two beside it begins with its pattern. */
static void mark(void)
{
	for (uintptr_t at = area - AREA; at < area + 2 * AREA; at += PAGE)
		write32(at, PATTERN);
}

static bool reads(uintptr_t from, uint32_t value)
{
	for (uintptr_t at = from; at < from + AREA; at += PAGE)
		if (read32(at) != value)
			return false;
	return true;
}

static bool only_area_is(uint32_t value)
{
	return reads(area - AREA, PATTERN) && reads(area, value) &&
	       reads(area + AREA, PATTERN);
}

static bool transfer(struct vring *r, uintptr_t at, uint32_t len, unsigned in)
{
	struct vbuf buf = { at, len };
	uint32_t written;

	vring_add(r, &buf, !in, in);
	vring_ring(r);
	return vring_wait(r, &written) >= 0 && written == 0;
}

/* @step: from each page to the next, in @list */
static bool transfer_area(struct vring *r, int step)
{
	uint32_t first = (uint32_t)(area / PAGE);

	if (step < 0)
		first += AREA_PAGES - 1;
	for (unsigned i = 0; i < AREA_PAGES; i++)
		write32(list + 4 * i, first + (uint32_t)step * i);
	return transfer(r, list, AREA_PAGES * 4, 0);
}

static void pages(void)
{
	mark();
	ok(transfer_area(&inflate_ring, 1) && only_area_is(0),
	   "pages in the balloon are the host's, their neighbours not");
	/* Without MUST_TELL_HOST they may be used before. */
	mark();
	ok(transfer_area(&deflate_ring, 1) && only_area_is(PATTERN),
	   "and come back");
	ok(transfer_area(&inflate_ring, -1) && only_area_is(0),
	   "a list may begin with the last page");
}

static void config_write32(unsigned offset, uint32_t value)
{
	for (unsigned i = 0; i < 4; i++)
		virtio_config_write8(&v, offset + i, (uint8_t)(value >> 8 * i));
}

static void configuration(void)
{
	ok(virtio_config32(&v, CONFIG_PAGES) == TARGET, "the target");
	ok(virtio_config32(&v, CONFIG_ACTUAL) == 0, "the balloon is empty");
	config_write32(CONFIG_ACTUAL, AREA_PAGES);
	ok(virtio_config32(&v, CONFIG_ACTUAL) == AREA_PAGES,
	   "its size is what we say");
	config_write32(CONFIG_PAGES, 1);
	ok(virtio_config32(&v, CONFIG_PAGES) == TARGET,
	   "hostile: the target is not ours to set");
}

/* Whatever they are, there are none of ours among them. */
static void hostile(uint32_t page, uint32_t len, const char *name)
{
	mark();
	write32(list, page);
	ok(transfer(&inflate_ring, list, len, 0) && only_area_is(PATTERN),
	   name);
}

static void hostile_pages(void)
{
	hostile(0xffffffff, 4, "hostile: page 2^32 - 1");
	hostile(0x100000, 4, "hostile: a page behind RAM");
	hostile((uint32_t)(v.base / PAGE), 4, "hostile: a page of registers");
	hostile((uint32_t)(area / PAGE), 3, "hostile: 3 bytes");
	ok(transfer_area(&inflate_ring, 1) && only_area_is(0),
	   "the device goes on");
}

static void reports(void)
{
	ok(start(F_REPORTING) && v.features & F_REPORTING,
	   "reporting is accepted");
	mark();
	ok(transfer(&report_ring, area, AREA, 1) && only_area_is(0),
	   "reported pages are the host's");
	ok(start(F_REPORTING | F_PAGE_POISON) && v.features & F_PAGE_POISON,
	   "and so is poison");
	config_write32(CONFIG_POISON, PATTERN);
	mark();
	ok(transfer(&report_ring, area, AREA, 1) && only_area_is(PATTERN),
	   "reported pages with poison stay");
}

void secondary(void)
{
}

void payload(void)
{
	exercise(&balloon);
	if (virtio_find(&v, BALLOON, 0) && start(0)) {
		pages();
		configuration();
		hostile_pages();
		reports();
	}
	plan_done();
}
