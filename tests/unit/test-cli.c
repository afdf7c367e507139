/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: whole command lines: what they become, what is refused with which
 * sentence; and that help, man page and completion know what the parser knows
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/cli.h"

#include "tests/unit/suite.h"

#define ARGS_MAX 24

static struct cli cli;
static struct diag diag;
static char topic[64];

static void setup(void)
{
	memset(&cli, 0, sizeof(cli));
	diag = DIAG_INIT;
}

static void teardown(void)
{
	cli_release(&cli);
}

/* Arguments are separated by '|', so that they can hold spaces. */
static int parse(const char *line)
{
	char *copy = strdup(line), *rest = copy, *argv[ARGS_MAX + 2];
	int argc = 0, ret;

	argv[argc++] = strdup("spandrel");
	while (*line && rest && argc < ARGS_MAX)
		argv[argc++] = strsep(&rest, "|");
	argv[argc] = NULL;
	ret = cli_parse(&cli, "x86_64", argc, argv, &diag);
	if (cli.topic) { /* points into argv or at a constant */
		snprintf(topic, sizeof(topic), "%s", cli.topic);
		cli.topic = topic;
	}
	free(argv[0]);
	free(copy);
	return ret;
}

typedef void (*writer)(FILE *out);

/* What @write prints; freed by the caller. */
static char *output(writer write)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	write(f);
	ck_assert_int_eq(fclose(f), 0);
	return text;
}

static void write_config(FILE *out)
{
	cli_config_print(&cli.config, out);
}

/* ---- accepted ------------------------------------------------------------*/

#define REST                                                                \
	" --serial null --console tty,pci_segment=0"                        \
	" --rng src=/dev/urandom,pci_segment=0"                             \
	" --platform "                                                      \
	"tables=auto,transport=pci,num_pci_segments=1,access_platform=off," \
	"vmgenid=off,vmclock=off,pptt=off --hypervisor auto"
#define CPUS " --cpus boot=1,max=1,max_phys_bits=46,nested=on,pmu=auto"
#define MEMORY                                                        \
	" --memory size=512M,mergeable=off,shared=off,hugepages=off," \
	"prefault=off,thp=on"

static const struct {
	const char *line, *result;
} good[] = {
	{ "--kernel|k", " --kernel k" CPUS MEMORY REST },
	{ "--kernel=k", " --kernel k" CPUS MEMORY REST },
	{ "--firmware|f", " --firmware f" CPUS MEMORY REST },
	{ "--kernel|-", " --kernel -" CPUS MEMORY REST },
	{ "--kernel|--k", " --kernel --k" CPUS MEMORY REST },
	{ "--kernel=--cpus", " --kernel --cpus" CPUS MEMORY REST },
	{ "--cmdline|a b|--initramfs|i|--kernel|k",
	  " --kernel k --initramfs i --cmdline a b" CPUS MEMORY REST },
	{ "--cmdline=a=b c=d|--kernel|k",
	  " --kernel k --cmdline a=b c=d" CPUS MEMORY REST },
	{ "--cpus|boot=2|--kernel|k",
	  " --kernel k --cpus boot=2,max=2,max_phys_bits=46,nested=on,"
	  "pmu=auto" MEMORY REST },
	{ "--kernel|k|--log-file|l|-v",
	  " --kernel k" CPUS MEMORY REST " --log-file l --verbose" },
	{ "tables|--out|d", CPUS MEMORY REST },
	{ "tables|--out|d|--arch|arm64",
	  " --cpus boot=1,max=1,max_phys_bits=46,nested=off,pmu=auto" MEMORY
		  REST },
	{ "tables|--arch=arm64|--cpus|features=sve|--out=d",
	  " --cpus boot=1,max=1,max_phys_bits=46,nested=off,features=[sve],"
	  "pmu=auto" MEMORY REST },
};

START_TEST(test_good)
{
	char *text;

	ck_assert_msg(!parse(good[_i].line), "%s", diag.text[0]);
	text = output(write_config);
	ck_assert_str_eq(text, good[_i].result);
	free(text);
}
END_TEST

static const struct {
	const char *line;
	enum cli_verb verb;
	const char *topic, *arch, *out;
	bool json;
	unsigned verbosity;
} fields[] = {
	{ .line = "--kernel|k", .verb = CLI_BOOT, .arch = "x86_64" },
	{ .line = "--kernel|k|-v",
	  .verb = CLI_BOOT,
	  .arch = "x86_64",
	  .verbosity = 1 },
	{ .line = "--kernel|k|-vv",
	  .verb = CLI_BOOT,
	  .arch = "x86_64",
	  .verbosity = 2 },
	{ .line = "-v|--kernel|k|-v|--verbose",
	  .verb = CLI_BOOT,
	  .arch = "x86_64",
	  .verbosity = 3 },
	{ .line = "tables|--out|d",
	  .verb = CLI_TABLES,
	  .arch = "x86_64",
	  .out = "d" },
	{ .line = "tables|--arch|arm64|--out|d",
	  .verb = CLI_TABLES,
	  .arch = "arm64",
	  .out = "d" },
	{ .line = "doctor", .verb = CLI_DOCTOR },
	{ .line = "doctor|--json", .verb = CLI_DOCTOR, .json = true },
	{ .line = "--help", .verb = CLI_HELP },
	{ .line = "-h", .verb = CLI_HELP },
	{ .line = "-vh", .verb = CLI_HELP, .verbosity = 1 },
	{ .line = "--help|memory", .verb = CLI_HELP, .topic = "memory" },
	{ .line = "--kernel|k|--help|--nonsense",
	  .verb = CLI_HELP,
	  .topic = "--nonsense" },
	{ .line = "doctor|--help", .verb = CLI_HELP, .topic = "doctor" },
	{ .line = "tables|-h", .verb = CLI_HELP, .topic = "tables" },
	{ .line = "--version", .verb = CLI_VERSION },
	{ .line = "-V|--nonsense", .verb = CLI_VERSION },
	{ .line = "--man", .verb = CLI_MAN },
	{ .line = "--completion|bash", .verb = CLI_COMPLETION },
};

START_TEST(test_fields)
{
	ck_assert_msg(!parse(fields[_i].line), "%s", diag.text[0]);
	ck_assert_int_eq(cli.verb, fields[_i].verb);
	ck_assert_pstr_eq(cli.topic, fields[_i].topic);
	ck_assert_pstr_eq(cli.arch, fields[_i].arch);
	ck_assert_pstr_eq(cli.out, fields[_i].out);
	ck_assert_int_eq(cli.json, fields[_i].json);
	ck_assert_uint_eq(cli.config.verbosity, fields[_i].verbosity);
}
END_TEST

/* ---- refused -------------------------------------------------------------*/

static const struct {
	const char *line, *sentence;
} bad[] = {
	{ "tables|--arch|arm64|--out|d|--firmware-vars|v",
	  "--firmware-vars: needs --firmware FILE, which keeps its variables "
	  "there" },
	{ "", "--kernel or --firmware is missing: there is nothing to boot; "
	      "see spandrel --help" },
	{ "--cpus|boot=1", "--kernel or --firmware is missing: there is "
			   "nothing to boot; see spandrel --help" },
	{ "--kernel|k|--firmware|f",
	  "--firmware and --kernel: firmware gets it by fw_cfg only: give "
	  "--fw-cfg-config kernel=on, if this firmware looks there (AAVMF "
	  "and OVMF do, CLOUDHV.fd does not)" },
	{ "--firmware|f|--initramfs|i",
	  "--firmware and --initramfs: are for a --kernel; without one, "
	  "firmware finds all on a --disk" },
	{ "device", "spandrel device : which device? blk|net|rng" },
	{ "device|rgn|--socket|s", "spandrel device rgn: which device? "
				   "blk|net|rng" },
	{ "device|rng", "--socket is missing: where shall front ends connect "
			"to" },
	{ "device|rng|--socket|s|--memory|size=1G",
	  "--memory: not an option of spandrel device" },
	{ "device|blk|--socket|s|--disk|vhost_user=on,socket=t",
	  "--disk vhost_user=on: is served already: connect to its socket" },
	{ "device|net|--socket|s",
	  "spandrel device net serves one device: give --net once" },
	{ "device|net|--socket|s|--net|vhost_user=on,socket=t",
	  "--net vhost_user=on: is served already: connect to its socket" },
	{ "--kernel|k|--socket|s",
	  "--socket: not an option of spandrel, only of its commands" },
	{ "--kernel|k|--fs|socket=s", "--fs tag=: must be 1 to 36 bytes long" },
	{ "--kernel|k|--fs|tag=t",
	  "--fs: socket= is missing: where does the back end listen" },
	{ "--kernel|k|--fs|tag=t,socket=s",
	  "--fs: a vhost-user back end must see the guest's RAM: give --memory "
	  "shared=on" },
	{ "--kernel|k|--memory|shared=on|--fs|tag=t,socket=s,queue_size=3",
	  "--fs queue_size=3: must be a power of two" },
	{ "--kernel|k|--memory|shared=on|--fs|tag=t,socket=s|tag=t,socket=u",
	  "--fs tag=t: given twice" },
	{ "--kernel|k|--generic-vhost-user|device_type=0,socket=s",
	  "--generic-vhost-user device_type=0: must be 1 to 63 or a name such "
	  "as net, block, fs, gpu, sound" },
	{ "--kernel|k|--generic-vhost-user|device_type=fs,socket=s",
	  "--generic-vhost-user: queue_sizes=[...] is missing: one for each "
	  "queue of the device" },
	{ "vmlinux", "'vmlinux' is not a command, the nearest is device; a "
		     "kernel is given as --kernel FILE" },
	{ "docter", "'docter' is not a command, the nearest is doctor; a "
		    "kernel is given as --kernel FILE" },
	{ "--kernel|k|i", "'i' is not an option; options begin with --" },
	{ "--kernel|k|", "'' is not an option; options begin with --" },
	{ "--kernel|k|-", "'-' is not an option; options begin with --" },
	{ "--kernel|k|--", "'--' is not an option; options begin with --" },
	{ "--kernel|k|---", "---: there is no such option; the nearest is "
			    "--fs" },
	{ "--kernle|k", "--kernle: there is no such option; the nearest is "
			"--kernel" },
	{ "--kernle=k", "--kernle: there is no such option; the nearest is "
			"--kernel" },
	{ "--mem|1G",
	  "--mem: there is no such option; the nearest is --memory" },
	{ "--kernel|k|-x", "-x: there is no such option; see spandrel "
			   "--help" },
	{ "--kernel|k|-vx", "-x: there is no such option; see spandrel "
			    "--help" },
	{ "--api-socket=/run/x", "--api-socket: not supported yet" },
	{ "--kernel", "--kernel needs a value" },
	{ "--kernel|--cpus|2", "--kernel needs a value" },
	{ "--kernel|k|--kernel|l", "--kernel: given twice" },
	{ "--kernel|k|--memory|1G|--memory|2G", "--memory: given twice" },
	{ "--kernel|k|--pvpanic|--pvpanic", "--pvpanic: given twice" },
	{ "--kernel|k|--pvpanic=on", "--pvpanic takes no value" },
	{ "--version=1", "--version takes no value" },
	{ "--kernel|k|--cpus|boot=3,max=2",
	  "--cpus max=2: must be at least boot=3" },
	{ "--kernel|k|--out|d",
	  "--out: not an option of spandrel, only of its commands" },
	{ "doctor|--kernel|k", "--kernel: not an option of spandrel doctor" },
	{ "tables|--out|d|--log-file|f",
	  "--log-file: not an option of spandrel tables" },
	{ "tables", "--out is missing: which directory shall the tables go "
		    "to" },
	{ "tables|--out|d|--arch|mips", "--arch mips: must be x86_64 or "
					"arm64" },
	{ "tables|--out|d|--arch", "--arch needs a value" },
	{ "tables|--out|d|--arch|arm64|--host",
	  "--host: this host's tables are those of x86_64, not of arm64; leave "
	  "out --arch or --host" },
	{ "tables|--out|d|--arch|arm64|--cpus|nested=on",
	  "--cpus nested=on: only on x86_64, this machine is arm64" },
	{ "--completion|fish", "--completion fish: must be bash" },
};

START_TEST(test_bad)
{
	ck_assert_int_eq(parse(bad[_i].line), -EINVAL);
	ck_assert_uint_eq(diag.depth, 1);
	ck_assert_str_eq(diag.text[0], bad[_i].sentence);
}
END_TEST

/* ---- documentation -------------------------------------------------------*/

static void write_help(FILE *out)
{
	ck_assert_int_eq(cli_help(out, NULL, &diag), 0);
}

static void write_bash(FILE *out)
{
	cli_completion(out, "bash");
}

/* @text without roff's escapes. */
static void unescape(char *text)
{
	char *out = text;

	for (; *text; text++)
		if (*text != '\\')
			*out++ = *text;
		else if (text[1] == 'f')
			text += 2;
	*out = '\0';
}

/* @text with every run of white space as one space. */
static void unwrap(char *text)
{
	char *out = text;
	bool space = false;

	for (; *text; text++) {
		bool now = *text == ' ' || *text == '\n';

		if (!now || !space)
			*out++ = now ? ' ' : *text;
		space = now;
	}
	*out = '\0';
}

static void check_words(const char *text, const char *what,
			const struct schema_key *k)
{
	for (unsigned i = 0; i < k->choice_count; i++)
		if (!k->choice[i].later)
			ck_assert_msg(strstr(text, k->choice[i].name), "%s: %s",
				      what, k->choice[i].name);
	if (k->name)
		ck_assert_msg(strstr(text, k->name), "%s: %s", what, k->name);
	if (k->doc && strcmp(what, "bash"))
		ck_assert_msg(strstr(text, k->doc), "%s: %s", what, k->doc);
}

static void check_schema(const struct schema *s, char *text, const char *what)
{
	for (unsigned i = 0; i < s->count; i++) {
		const struct schema_option *o = s->option[i];
		char name[64];

		if (!o->group)
			continue;
		snprintf(name, sizeof(name), "--%s", o->name);
		ck_assert_msg(strstr(text, name), "%s: %s", what, name);
		for (unsigned j = 0; j < o->key_count; j++)
			check_words(text, what, &o->key[j]);
	}
}

static const struct {
	const char *name;
	writer write;
} pages[] = {
	{ "help", write_help },
	{ "man", cli_man },
	{ "bash", write_bash },
};

START_TEST(test_agree)
{
	char *text = output(pages[_i].write);

	unescape(text);
	unwrap(text);
	check_schema(&vm_config_schema, text, pages[_i].name);
	check_schema(&cli_schema, text, pages[_i].name);
	free(text);
}
END_TEST

START_TEST(test_width)
{
	char *text = output(write_help), *rest = text, *line;

	while ((line = strsep(&rest, "\n")))
		ck_assert_msg(strlen(line) < 80, "too wide: %s", line);
	free(text);
}
END_TEST

static const struct {
	const char *topic, *begins, *sentence;
} topics[] = {
	{ "memory", "  --memory KEY=VALUE,...", NULL },
	{ "--memory", "  --memory KEY=VALUE,...", NULL },
	{ "json", "  --json", NULL },
	{ "tables", "spandrel tables --out DIR", NULL },
	{ "doctor", "spandrel doctor [--json]", NULL },
	{ "memori", NULL,
	  "--memori: there is no such option; the nearest is --memory" },
	{ "vdpa", NULL, "--vdpa: not supported yet" },
	{ "man", NULL,
	  "--man: there is no such option; the nearest is "
	  "--numa" },
};

START_TEST(test_topics)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);
	int ret = cli_help(f, topics[_i].topic, &diag);

	ck_assert_int_eq(fclose(f), 0);
	if (topics[_i].sentence) {
		ck_assert_int_eq(ret, -EINVAL);
		ck_assert_str_eq(diag.text[0], topics[_i].sentence);
		ck_assert_str_eq(text, "");
	} else {
		ck_assert_int_eq(ret, 0);
		ck_assert_msg(!strncmp(text, topics[_i].begins,
				       strlen(topics[_i].begins)),
			      "%s", text);
	}
	free(text);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("cli");
	TCase *t = tcase_create("cli");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, test_good, 0, ARRAY_SIZE(good));
	tcase_add_loop_test(t, test_fields, 0, ARRAY_SIZE(fields));
	tcase_add_loop_test(t, test_bad, 0, ARRAY_SIZE(bad));
	tcase_add_loop_test(t, test_agree, 0, ARRAY_SIZE(pages));
	tcase_add_test(t, test_width);
	tcase_add_loop_test(t, test_topics, 0, ARRAY_SIZE(topics));
	suite_add_tcase(s, t);
	return suite_run(s);
}
