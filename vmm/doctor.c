/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: `spandrel doctor`, see doctor.h
 *
 * Facts come from the hypervisor's own probe first; /proc and /sys only add
 * the reason and the remedy. To add a section: a function and a row in
 * sections[].
 */
#include "vmm/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "vmm/version.h"

#define TEXT_BYTES 2048

/** enum level - OK; NOTE: works, but could be better; MISSING: guests cannot
 * run, or not with all features */
enum level { OK, NOTE, MISSING };

static const char *const level_names[] = { "ok", "note", "missing" };

/**
 * struct doctor - one report in the making
 * @section: name of the section being looked at, @fresh until it has said
 *	something
 * @findings: how many so far
 * @ops, @caps, @why: result of the probe; @ops NULL: @why says why
 */
struct doctor {
	const struct doctor_source *src;
	FILE *out;
	bool json, fresh;
	const char *section;
	unsigned findings;
	const struct host_ops *ops;
	struct host_caps caps;
	char why[TEXT_BYTES];
};

/* ---- output --------------------------------------------------------------*/

static void json_string(FILE *out, const char *text)
{
	fputc('"', out);
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			fprintf(out, "\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			fprintf(out, "\\u%04x", c);
		else
			fputc(c, out);
	}
	fputc('"', out);
}

static void json_field(FILE *out, const char *before, const char *name,
		       const char *value)
{
	fprintf(out, "%s\"%s\": ", before, name);
	json_string(out, value);
}

static void put_json(struct doctor *dr, enum level level, const char *what,
		     const char *remedy)
{
	fputs(dr->findings ? ",\n    {" : "\n    {", dr->out);
	json_field(dr->out, "", "section", dr->section);
	json_field(dr->out, ", ", "level", level_names[level]);
	json_field(dr->out, ", ", "text", what);
	if (remedy)
		json_field(dr->out, ", ", "remedy", remedy);
	fputc('}', dr->out);
}

static void put_text(struct doctor *dr, enum level level, const char *what,
		     const char *remedy)
{
	if (dr->fresh)
		fprintf(dr->out, "\n%s\n", dr->section);
	fprintf(dr->out, "  %-8s %s\n", level_names[level], what);
	if (remedy)
		fprintf(dr->out, "           -> %s\n", remedy);
}

/* Report a finding; @remedy may be NULL. */
__attribute__((format(printf, 4, 5))) static void found(struct doctor *dr,
							enum level level,
							const char *remedy,
							const char *fmt, ...)
{
	char what[TEXT_BYTES];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	if (dr->json)
		put_json(dr, level, what, remedy);
	else
		put_text(dr, level, what, remedy);
	dr->fresh = false;
	dr->findings++;
}

/* ---- reading the host ----------------------------------------------------*/

static const char *host_path(const struct doctor *dr, const char *path,
			     char *buf)
{
	snprintf(buf, TEXT_BYTES, "%s%s", dr->src->root, path);
	return buf;
}

static bool exists(const struct doctor *dr, const char *path)
{
	char full[TEXT_BYTES];

	return !access(host_path(dr, path, full), F_OK);
}

/* The first line of a file; false and "" if it cannot be read. */
static bool read_line(const struct doctor *dr, const char *path, char *buf,
		      size_t size)
{
	char full[TEXT_BYTES];
	FILE *f = fopen(host_path(dr, path, full), "re");
	bool ok;

	buf[0] = '\0';
	if (!f)
		return false;
	ok = fgets(buf, (int)size, f) != NULL;
	fclose(f);
	buf[strcspn(buf, "\n")] = '\0';
	return ok;
}

/* What is behind "name   : " in a /proc file; false if no line has it. */
static bool read_field(const struct doctor *dr, const char *path,
		       const char *name, char *buf, size_t size)
{
	char full[TEXT_BYTES], *line = NULL;
	FILE *f = fopen(host_path(dr, path, full), "re");
	size_t len = strlen(name), room = 0;
	bool ok = false;

	if (!f)
		return false;
	while (!ok && getline(&line, &room, f) > 0) {
		char *value = line + len;

		if (strncmp(line, name, len) != 0 || !strchr(" \t:", *value))
			continue;
		value += strspn(value, " \t:");
		value[strcspn(value, "\n")] = '\0';
		snprintf(buf, size, "%s", value);
		ok = true;
	}
	free(line);
	fclose(f);
	return ok;
}

static uint64_t read_number(const struct doctor *dr, const char *path)
{
	char line[64];

	return read_line(dr, path, line, sizeof(line))
		       ? strtoull(line, NULL, 10)
		       : 0;
}

static uint64_t meminfo_kib(const struct doctor *dr, const char *name)
{
	char value[64];

	if (!read_field(dr, "/proc/meminfo", name, value, sizeof(value)))
		return 0;
	return strtoull(value, NULL, 10);
}

static bool has_word(const char *text, const char *word)
{
	size_t len = strlen(word);

	for (; *text; text += strspn(text, " ")) {
		size_t n = strcspn(text, " ");

		if (n == len && !memcmp(text, word, len))
			return true;
		text += n;
	}
	return false;
}

/* ---- sections ------------------------------------------------------------*/

static void look_cpu(struct doctor *dr)
{
	char model[256], flags[8192];

	if (read_field(dr, "/proc/cpuinfo", "model name", model, sizeof(model)))
		found(dr, OK, NULL, "%s", model);
	if (!read_field(dr, "/proc/cpuinfo", "flags", flags, sizeof(flags)))
		return; /* only x86 shows it there */
	if (has_word(flags, "svm") || has_word(flags, "vmx"))
		found(dr, OK, NULL, "the CPU can virtualise (%s)",
		      has_word(flags, "svm") ? "AMD SVM" : "Intel VMX");
	else
		found(dr, MISSING,
		      has_word(flags, "hypervisor")
			      ? "this is a virtual machine: switch nested "
				"virtualisation on outside of it"
			      : "switch virtualisation (SVM, VT-x) on in the "
				"firmware setup",
		      "the CPU shows neither SVM nor VMX");
}

static void look_caps(struct doctor *dr)
{
	const struct host_caps *c = &dr->caps;

	found(dr, OK, NULL,
	      "%s can run guests: %u vCPUs (%u recommended), %u bits of "
	      "guest-physical addresses",
	      dr->ops->name, c->vcpus_max, c->vcpus_recommended, c->pa_bits);
	if (c->gicv3 || c->gicv2)
		found(dr, OK, NULL, "guests get %s%s",
		      c->gicv3 ? "a GICv3" : "a GICv2",
		      c->its ? " with ITS" : "");
	if (c->pmu || c->sve || c->pauth)
		found(dr, OK, NULL, "guests can have:%s%s%s",
		      c->pmu ? " PMU" : "", c->sve ? " SVE" : "",
		      c->pauth ? " pointer-authentication" : "");
}

/* The device node, whatever the probe said. */
static void look_node(struct doctor *dr)
{
	char full[TEXT_BYTES];

	if (!exists(dr, "/dev/kvm"))
		found(dr, MISSING,
		      "load the module: modprobe kvm_amd, or kvm_intel; on "
		      "Arm the kernel must have started in EL2",
		      "there is no /dev/kvm");
	else if (access(host_path(dr, "/dev/kvm", full), R_OK | W_OK))
		found(dr, MISSING,
		      "join its group, usually: usermod -aG kvm $USER, then "
		      "log in again",
		      "/dev/kvm cannot be opened: %s", strerror(errno));
	else
		found(dr, OK, NULL, "/dev/kvm may be opened");
	if (exists(dr, "/dev/mshv"))
		found(dr, NOTE, NULL,
		      "/dev/mshv is there, but not supported yet");
}

static void look_hypervisor(struct doctor *dr)
{
	bool pvm = exists(dr, "/sys/module/kvm_pvm");

	if (dr->ops)
		look_caps(dr);
	else
		found(dr, MISSING,
		      pvm ? "boot guests in an emulated server: "
			    "tests/hosts/host in the source tree"
			  : NULL,
		      "%s", dr->why);
	look_node(dr);
}

static void look_nested(struct doctor *dr)
{
	static const char *const modules[] = { "kvm_amd", "kvm_intel" };

	for (unsigned i = 0; i < ARRAY_SIZE(modules); i++) {
		char path[128], value[8];

		snprintf(path, sizeof(path), "/sys/module/%s/parameters/nested",
			 modules[i]);
		if (!read_line(dr, path, value, sizeof(value)))
			continue;
		if (value[0] == '1' || value[0] == 'Y')
			found(dr, OK, NULL, "guests can run guests (%s)",
			      modules[i]);
		else
			found(dr, NOTE, "load the module with nested=1",
			      "guests cannot run guests: %s has nested=%s",
			      modules[i], value);
	}
}

static void look_memory(struct doctor *dr)
{
	uint64_t total = meminfo_kib(dr, "MemTotal");
	uint64_t available = meminfo_kib(dr, "MemAvailable");
	char thp[128];

	found(dr, total ? OK : NOTE, NULL,
	      "%" PRIu64 " MiB of RAM, %" PRIu64 " MiB available", total >> 10,
	      available >> 10);
	if (read_number(dr, "/proc/sys/vm/overcommit_memory") == 2)
		found(dr, NOTE, "sysctl vm.overcommit_memory=0",
		      "strict overcommit: the RAM of all guests together must "
		      "fit");
	if (!read_line(dr, "/sys/kernel/mm/transparent_hugepage/enabled", thp,
		       sizeof(thp)))
		return;
	if (strstr(thp, "[never]"))
		found(dr, NOTE,
		      "echo madvise > "
		      "/sys/kernel/mm/transparent_hugepage/enabled",
		      "transparent huge pages are off: guests run slower");
	else
		found(dr, OK, NULL, "transparent huge pages: %s", thp);
}

static void look_hugepages(struct doctor *dr)
{
	static const unsigned sizes_kib[] = { 64,     2048,    32768,
					      524288, 1048576, 16777216 };

	for (unsigned i = 0; i < ARRAY_SIZE(sizes_kib); i++) {
		char dir[96], path[128];
		uint64_t all, unused;

		snprintf(dir, sizeof(dir),
			 "/sys/kernel/mm/hugepages/hugepages-%ukB",
			 sizes_kib[i]);
		if (!exists(dr, dir))
			continue;
		snprintf(path, sizeof(path), "%s/nr_hugepages", dir);
		all = read_number(dr, path);
		snprintf(path, sizeof(path), "%s/free_hugepages", dir);
		unused = read_number(dr, path);
		found(dr, OK, NULL,
		      "%" PRIu64 " huge pages of %u KiB, %" PRIu64
		      " free, for --memory hugepages=on",
		      all, sizes_kib[i], unused);
	}
}

static void look_kernel(struct doctor *dr)
{
	struct utsname u;

	if (!uname(&u))
		found(dr, OK, NULL, "%s %s on %s; this program is for %s",
		      u.sysname, u.release, u.machine, dr->src->arch);
	if (exists(dr, "/sys/kernel/mm/ksm/run") &&
	    !read_number(dr, "/sys/kernel/mm/ksm/run"))
		found(dr, NOTE, "echo 1 > /sys/kernel/mm/ksm/run",
		      "KSM is not running: --memory mergeable=on saves "
		      "nothing");
}

/* Firmware that --firmware takes, where Debian's packages put it. */
static void look_firmware(struct doctor *dr)
{
	static const struct {
		const char *arch, *path, *missing, *remedy;
	} all[] = {
		{ "x86_64", "/usr/share/cloudhv-efi-x86-64/CLOUDHV.fd",
		  "no CLOUDHV.fd: guests need a kernel file, and cannot boot "
		  "from their disk by UEFI",
		  "apt-get install cloudhv-efi-x86-64, or fetch that package "
		  "from Debian sid or forky" },
		{ "x86_64", "/usr/share/OVMF/OVMF_CODE_4M.fd",
		  "no OVMF: guests cannot boot from their disk by UEFI that "
		  "keeps its variables",
		  "apt-get install ovmf" },
		{ "arm64", "/usr/lib/u-boot/qemu_arm64/u-boot.bin",
		  "no U-Boot: guests need a kernel file, and cannot boot from "
		  "their disk",
		  "apt-get install u-boot-qemu" },
		{ "arm64", "/usr/share/AAVMF/AAVMF_CODE.fd",
		  "no AAVMF: guests cannot boot from their disk by UEFI that "
		  "keeps its variables",
		  "apt-get install qemu-efi-aarch64 (Debian 13's)" },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(all); i++) {
		if (strcmp(all[i].arch, dr->src->arch) != 0)
			continue;
		if (exists(dr, all[i].path))
			found(dr, OK, NULL, "--firmware %s boots from disks",
			      all[i].path);
		else
			found(dr, NOTE, all[i].remedy, "%s", all[i].missing);
	}
}

static const struct {
	const char *name;
	void (*look)(struct doctor *dr);
} sections[] = {
	{ "hypervisor", look_hypervisor }, { "cpu", look_cpu },
	{ "nested", look_nested },	   { "memory", look_memory },
	{ "hugepages", look_hugepages },   { "kernel", look_kernel },
	{ "firmware", look_firmware },
};

/* ---- report --------------------------------------------------------------*/

static void probe(struct doctor *dr)
{
	struct diag d = DIAG_INIT;

	dr->ops = dr->src->select("auto", &dr->caps, &d);
	if (!dr->ops)
		diag_format(&d, dr->why, sizeof(dr->why));
}

static void begin(struct doctor *dr)
{
	if (!dr->json) {
		fputs("Spandrel " SPANDREL_VERSION "\n", dr->out);
		return;
	}
	json_field(dr->out, "{\n  ", "version", SPANDREL_VERSION);
	json_field(dr->out, ",\n  ", "arch", dr->src->arch);
	fprintf(dr->out, ",\n  \"usable\": %s,\n  \"hypervisor\": ",
		dr->ops ? "true" : "false");
	if (dr->ops)
		json_string(dr->out, dr->ops->name);
	else
		fputs("null", dr->out);
	fputs(",\n  \"findings\": [", dr->out);
}

static void end(struct doctor *dr)
{
	if (dr->json)
		fputs("\n  ]\n}\n", dr->out);
	else if (dr->ops)
		fprintf(dr->out, "\nGuests can run on this host, with %s.\n",
			dr->ops->name);
	else
		fputs("\nGuests cannot run on this host; see above.\n",
		      dr->out);
}

bool doctor_report(const struct doctor_source *src, bool json, FILE *out)
{
	struct doctor dr = { .src = src, .out = out, .json = json };

	probe(&dr);
	begin(&dr);
	for (unsigned i = 0; i < ARRAY_SIZE(sections); i++) {
		dr.section = sections[i].name;
		dr.fresh = true;
		sections[i].look(&dr);
	}
	end(&dr);
	return dr.ops != NULL;
}
