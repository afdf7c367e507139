/* SPDX-License-Identifier: Apache-2.0 */
/* DOC: what the layouts of the real architectures share, see layout.h */
#include "arch/layout.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "vmm/base/check.h"

const char *layout_cpus_key(const struct vm_config *cfg)
{
	return cfg->cpus.max_vcpus > cfg->cpus.boot_vcpus ? "max" : "boot";
}

int layout_check_cpus(const struct vm_config *cfg, const struct host_caps *caps,
		      uint32_t limit, const char *arch, struct diag *d)
{
	uint32_t n = cfg->cpus.max_vcpus, boot = cfg->cpus.boot_vcpus;

	if (!boot)
		return diag_fail(d, EINVAL,
				 "--cpus boot=0: must be at least 1");
	if (n < boot)
		return diag_fail(d, EINVAL,
				 "--cpus max=%u: must be at least boot=%u", n,
				 boot);
	if (caps->vcpus_max && n > caps->vcpus_max)
		return diag_fail(d, E2BIG,
				 "--cpus %s=%u: this host's hypervisor allows "
				 "at most %u",
				 layout_cpus_key(cfg), n, caps->vcpus_max);
	if (n > limit)
		return diag_fail(d, E2BIG,
				 "--cpus %s=%u: %s has room for at most %u",
				 layout_cpus_key(cfg), n, arch, limit);
	return 0;
}

int layout_topology(struct platform *p, const struct vm_config *cfg,
		    struct diag *d)
{
	struct topology t = cfg->cpus.topology;
	uint64_t n;

	if (!t.threads_per_core && !t.cores_per_die && !t.dies_per_package &&
	    !t.packages)
		t = (struct topology){ 1, 1, 1, cfg->cpus.max_vcpus };
	if (!mul_u64(t.threads_per_core, t.cores_per_die, &n) ||
	    !mul_u64(n, t.dies_per_package, &n) ||
	    !mul_u64(n, t.packages, &n) || n != cfg->cpus.max_vcpus)
		return diag_fail(d, EINVAL,
				 "--cpus topology=%u:%u:%u:%u: the product "
				 "must be the %u vCPUs of %s",
				 t.threads_per_core, t.cores_per_die,
				 t.dies_per_package, t.packages,
				 cfg->cpus.max_vcpus, layout_cpus_key(cfg));
	p->topology = t;
	return 0;
}

struct plat_cpu layout_place(const struct topology *t, uint32_t index)
{
	uint32_t core = index / t->threads_per_core;
	uint32_t die = core / t->cores_per_die;

	return (struct plat_cpu){
		.thread = index % t->threads_per_core,
		.core = core % t->cores_per_die,
		.die = die % t->dies_per_package,
		.package = die / t->dies_per_package,
	};
}

unsigned layout_pa_bits(const struct vm_config *cfg, unsigned host_bits)
{
	unsigned bits = MIN(host_bits, 52U);

	if (cfg->cpus.max_phys_bits)
		bits = MIN(bits, cfg->cpus.max_phys_bits);
	return bits;
}

int layout_check_memory(const struct vm_config *cfg,
			const struct host_caps *caps, uint64_t room,
			unsigned bits, struct diag *d)
{
	uint64_t size = vm_config_ram_bytes(cfg);
	uint64_t page = MAX(caps->page_size_bytes, KIB(4));

	for (unsigned i = 0; i < cfg->zone_count; i++)
		if (cfg->zones[i].ram.size_bytes % page)
			return diag_fail(d, EINVAL,
					 "--memory-zone id=%s,size=%" PRIu64
					 ": must be a multiple of %" PRIu64
					 " bytes, the page size",
					 cfg->zones[i].id,
					 cfg->zones[i].ram.size_bytes, page);
	if (!size || size % page)
		return diag_fail(d, EINVAL,
				 "--memory size=%" PRIu64 ": must be a "
				 "positive multiple of %" PRIu64 " bytes, the "
				 "page size",
				 size, page);
	if (size > room)
		return diag_fail(d, E2BIG,
				 "%s%" PRIu64 ": at most %" PRIu64
				 " bytes fit below the limit of %u address "
				 "bits",
				 vm_config_ram_words(cfg), size, room, bits);
	return 0;
}

static uint64_t zone_bytes(const struct vm_config *cfg, uint32_t zone)
{
	return cfg->zone_count ? cfg->zones[zone].ram.size_bytes
			       : cfg->memory.size_bytes;
}

void layout_parts(struct platform *p, const struct vm_config *cfg)
{
	uint32_t zone = 0;
	uint64_t left = zone_bytes(cfg, 0);

	for (unsigned i = 0; i < p->ram_count; i++) {
		struct plat_range rest = p->ram[i];

		while (rest.size_bytes) {
			uint64_t size = MIN(rest.size_bytes, left);

			CHECK(size && p->part_count < PLAT_PARTS_MAX);
			p->part[p->part_count++] = (struct plat_part){
				.range = layout_mmio(rest.base, size),
				.zone = zone,
			};
			rest.base += size;
			rest.size_bytes -= size;
			left -= size;
			if (!left && zone + 1 < cfg->zone_count)
				left = zone_bytes(cfg, ++zone);
		}
	}
}

static uint64_t weight(const struct vm_config *cfg, unsigned segment, bool is64)
{
	for (unsigned i = 0; i < cfg->pci_segment_count; i++) {
		const struct pci_segment_config *s = &cfg->pci_segments[i];

		if (s->pci_segment == segment)
			return is64 ? s->mmio64_aperture_weight
				    : s->mmio32_aperture_weight;
	}
	return 1;
}

/* Cuts are whole GiB or MiB from the first of those in @whole on: at most
 * 2^22 of them (52 address bits), and 2^39 is more than all weights. */
void layout_divide(struct platform *p, const struct vm_config *cfg,
		   struct plat_range whole, unsigned first, bool is64)
{
	uint64_t unit = is64 ? GIB(1) : MIB(1), total = 0, sum = 0;
	uint64_t from = whole.base, end = from + whole.size_bytes;
	uint64_t base = MIN(align_up(from, unit), end);
	uint64_t units = (end - base) / unit;

	for (unsigned i = first; i < p->pci.segment_count; i++)
		total += weight(cfg, i, is64);
	for (unsigned i = first; i < p->pci.segment_count; i++) {
		struct plat_segment *s = &p->pci.segment[i];
		uint64_t to;

		sum += weight(cfg, i, is64);
		to = sum == total ? end : base + units * sum / total * unit;
		*(is64 ? &s->mmio64 : &s->mmio32) =
			layout_mmio(from, to - from);
		from = to;
	}
}

int layout_segments(struct platform *p, const struct vm_config *cfg,
		    uint64_t ecam, struct plat_range low, unsigned first,
		    struct diag *d)
{
	struct plat_segment *s = p->pci.segment;

	p->pci.segment_count = vm_config_pci_segments(cfg);
	for (unsigned i = 1; i < p->pci.segment_count; i++) {
		s[i].bus_count = 1;
		s[i].ecam = layout_mmio(ecam + MIB(i - 1), MIB(1));
	}
	layout_divide(p, cfg, low, first, false);
	layout_divide(p, cfg, s->mmio64, 0, true);
	for (unsigned i = 0; i < p->pci.segment_count; i++) {
		if (s[i].mmio32.size_bytes)
			continue;
		return diag_fail(
			d, E2BIG,
			"--pci-segment pci_segment=%u: no whole MiB of "
			"the %" PRIu64 " below 4 GiB is left for it: "
			"raise its mmio32_aperture_weight, or lower "
			"those of others",
			i, low.size_bytes >> 20);
	}
	return 0;
}

/* Is it one that every machine has, or one that was asked for? */
static bool wanted(const struct platform *p, const struct vm_config *cfg,
		   const char *cls)
{
	if (!strcmp(cls, "flash-cfi"))
		return cfg->firmware_vars;
	if (!strcmp(cls, "fw-cfg"))
		return vm_config_fw_cfg(cfg, p->q35);
	if (!strcmp(cls, "watchdog-sp805"))
		return cfg->watchdog;
	if (!strcmp(cls, "vmgenid"))
		return cfg->platform.vmgenid;
	if (!strcmp(cls, "vmclock"))
		return cfg->platform.vmclock;
	return true;
}

unsigned layout_devices(struct arch_device *out, const struct platform *p,
			const struct vm_config *cfg,
			const struct arch_device *all, unsigned count)
{
	unsigned n = 0;

	for (unsigned i = cfg->serial.mode == CHAR_OFF; i < count; i++)
		if (wanted(p, cfg, all[i].cls))
			out[n++] = all[i];
	return n;
}
