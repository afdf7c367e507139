# SPDX-License-Identifier: Apache-2.0
"""
DOC: boots of Debian guests in an emulated server, and how they are judged

One server is started; inside it a shell script runs every case, one after the
other, with marks around its output. This module reads the marks and judges
each case by exit status, lines that must be there and lines that must not. The
kernel logs of the guests may only hold the complaints that are listed, each
with its reason, in tests/e2e/allowed-log-lines.
"""
import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.dirname(HERE)
# Two servers must fit into the time that tests/run gives a program, 2400 s.
LIMIT_S = 2300
FIRST_LIMIT_S = 1600
# A server that says nothing for so long stands still, as Bochs and QEMU 7.2 do
# now and then. On a busy machine no case is silent for a third of it.
SILENCE_S = {"epyc": 700, "arm": 700, "xeon": 400}

IMAGE = os.path.join(TESTS, "images", "image")
HOST = os.path.join(TESTS, "hosts", "host")

# What is run inside the server before the cases. wait_for FILE PATTERN COUNT:
# until PATTERN stands COUNT times in FILE, or 200 s are over, or the VMM is
# gone. check NAME COMMAND...: a line that the case is judged by.
PRELUDE = r"""
wait_for() {
	left=200
	while [ "$(grep -c "$2" "$1")" -lt "$3" ] && [ $left -gt 0 ] &&
		[ -d /proc/$pid ]; do
		sleep 1
		left=$((left - 1))
	done
}
run() {
	timeout -s KILL "$limit" "$vmm" "$@" </dev/null
}
# Start, wait for a mark, terminate; the exit status is spandrel's.
watch() {
	pattern=$1 count=$2; shift 2
	: >/tmp/out
	"$vmm" "$@" </dev/null >/tmp/out 2>&1 &
	pid=$!
	wait_for /tmp/out "$pattern" "$count"
	kill -TERM $pid
	[ "$twice" ] && sleep 1 && kill -TERM $pid 2>/dev/null
	wait $pid
	status=$?
	cat /tmp/out
	return $status
}
# Start, let during() do its part meanwhile, wait for the end.
along() {
	: >/tmp/out
	timeout -s KILL "$limit" "$vmm" "$@" </dev/null >/tmp/out 2>&1 &
	pid=$!
	during
	wait $pid
	status=$?
	cat /tmp/out
	return $status
}
# Start, with a keyboard: typing() calls type_at PATTERN TEXT [COUNT] to answer
# what the guest says. Wait for the end.
keyboard() {
	: >/tmp/out
	mkfifo /tmp/keys
	exec 9<>/tmp/keys
	timeout -s KILL "$limit" "$vmm" "$@" </tmp/keys >/tmp/out 2>&1 &
	pid=$!
	typing
	exec 9>&-
	wait $pid
	status=$?
	rm /tmp/keys
	cat /tmp/out
	return $status
}
type_at() {
	wait_for /tmp/out "$1" "${3:-1}"
	echo "$2" >&9
}
# SENTENCE ARGUMENT...
refuse() {
	sentence=$1; shift
	said=$(run "$@" 2>&1)
	status=$?
	case "$status $said" in
	"1 spandrel: error: "$sentence) echo "HOST-OK refused: $*" ;;
	*) echo "HOST-BAD $*: $status $said" ;;
	esac
}
check() {
	name=$1; shift
	if "$@"; then
		echo "HOST-OK $name"
	else
		echo "HOST-BAD $name: $*"
	fi
}
"""


class Case:
    """One boot: how it is started and what must come of it.

    prepare, during and after are shell: before it, while it runs, after it.
    watch=(PATTERN, COUNT) ends it by SIGTERM when so many lines are there.
    typed=[(PATTERN, TEXT, COUNT), ...] is typed, each when its PATTERN is in
    COUNT lines (or in one: COUNT may be left out).
    follows: it needs what the case before it leaves behind.
    """

    vmm = "spandrel"

    def __init__(self, name, words="info", kernel="/guest/kernel", cpus=1,
                 memory="256M", extra=(), status=0, expect=(), forbid=(),
                 watch=None, twice=False, typed=(), prepare="", cmdline="",
                 console="off", during="", after="",
                 initramfs="/guest/initramfs", limit=240, follows=False):
        self.__dict__.update(locals())
        self.output, self.code, self.seconds = None, None, 0

    def arguments(self, tty):
        cmdline = (f"console={tty} panic=-1 {self.cmdline} "
                   f"spandrel.test={self.words}")
        return ["--kernel", self.kernel, "--initramfs", self.initramfs,
                "--cmdline", cmdline, "--cpus", f"boot={self.cpus}",
                "--memory",
                self.memory if "=" in self.memory else f"size={self.memory}",
                "--serial", "tty", "--console", self.console, *self.extra]

    def before(self, tty):
        """Shell that runs before it; TTY is the guest's console."""
        del tty
        return self.prepare

    def script(self, tty):
        verb = "run"
        if self.watch:
            verb = (f"twice={'1' if self.twice else ''} watch "
                    f"{shlex.quote(self.watch[0])} {self.watch[1]}")
        elif self.during:
            verb = "along"
        elif self.typed:
            verb = "keyboard"
        lines = [f"echo '@@CASE {self.name}'", self.before(tty),
                 f"limit={self.limit} vmm={self.vmm}"]
        if self.during:
            lines += ["during() {", self.during, "}"]
        if self.typed:
            lines += ["typing() {", *(f"type_at {shlex.join(map(str, one))}"
                                      for one in self.typed), "}"]
        lines += [f"{verb} {shlex.join(self.arguments(tty))}", "status=$?",
                  self.after, "echo", "echo \"@@END $status\"",
                  "rm -f /tmp/out"]
        return "\n".join(lines)

    def problems(self, allowed):
        if self.code is None:
            return ["never ran to its end"]
        found = []
        if self.code != self.status:
            found.append(f"exit status {self.code}, not {self.status}")
        for pattern in self.expect:
            if not re.search(pattern, self.output, re.M):
                found.append(f"no line like: {pattern}")
        for pattern in (*self.forbid, "^HOST-BAD.*", "^GUEST-BAD.*"):
            hit = re.search(pattern, self.output, re.M)
            if hit:
                found.append(f"a line it must not have: {hit.group(0)}")
        return found + log_problems(self.output, allowed)


class Refused(Case):
    """What the VMM refuses, each with one sentence. REFUSALS: [(ARGUMENTS,
    SENTENCE, or its beginning with a "*" behind it)]"""

    def __init__(self, name, refusals, **more):
        super().__init__(name, expect=[
            r"[\s\S]*".join(["^HOST-OK refused:"] * len(refusals))], **more)
        self.refusals = refusals

    def script(self, tty):
        lines = [f"echo '@@CASE {self.name}'", self.prepare,
                 f"vmm={self.vmm} limit=20"]
        for arguments, sentence in self.refusals:
            lines.append(
                f"refuse {shlex.quote(sentence)} {shlex.join(arguments)}")
        return "\n".join([*lines, self.after, "echo", "echo '@@END 0'"])


def load_allowed():
    """Lines "PATTERN<TAB>REASON"."""
    allowed = []
    with open(os.path.join(HERE, "allowed-log-lines"), encoding="utf-8") as f:
        for line in f:
            line = line.rstrip("\n")
            if line and not line.startswith("#"):
                pattern, _, reason = line.partition("\t")
                if not reason.strip():
                    sys.exit(f"allowed-log-lines: no reason: {pattern}")
                allowed.append(re.compile(pattern))
    return allowed


# <level>[time] text, from dmesg -r; 0 to 4 is emergency to warning. Above 7 are
# lines that programs, such as systemd, have put there.
LOG_LINE = re.compile(r"^<([0-7])>\[\s*[\d.]+\] (.*)$")
# Complaints that the kernel logs below warning level.
COMPLAINT = re.compile(
    r"\b(ACPI (BIOS )?(Error|Warning|Exception)|firmware bug|\[Firmware Bug\]|"
    r"can't claim|no compatible bridge window|failed to assign|"
    r"clocksource.*unstable|OF: .*(error|not found)|invalid\b)", re.I)
# A kernel WARNING is one complaint, from here to there.
WARNING_FROM, WARNING_TO = "[ cut here ]", "[ end trace"


def log_problems(output, allowed):
    block = re.search(r"GUEST-DMESG-BEGIN(.*)GUEST-DMESG-END", output, re.S)
    if not block:
        return []
    found = []
    for level, text in log_entries(block.group(1)):
        if (level <= 4 or COMPLAINT.search(text)) and \
                not any(a.search(text) for a in allowed):
            found.append(f"the guest's kernel complains: {text}")
    return found


def log_entries(log):
    """(level, text) of each line; a kernel WARNING with its registers and
    call trace is one."""
    warning = None
    for line in log.replace("\r", "").splitlines():
        entry = LOG_LINE.match(line)
        if not entry:
            continue
        level, text = int(entry.group(1)), entry.group(2)
        if warning is None and WARNING_FROM not in text:
            yield level, text
        elif warning is None:
            warning = []
        elif WARNING_TO in text:
            yield 4, " / ".join(warning[:2])
            warning = None
        else:
            warning.append(text)
    if warning:
        yield 4, " / ".join(warning)


def image(what, *arch):
    return subprocess.run([IMAGE, what, *arch], check=True,
                          stdout=subprocess.PIPE, text=True).stdout.strip()


def image_file(what, arch, role=None, path=None):
    if not role:
        return image(what, arch)
    return os.path.join(image(what, arch, role), path)


class Servers:
    """Starts emulated servers for the cases.

    guest: the image that cases find as /guest/initramfs
    tools: give the server the programs of tests/images/image tools
    files: {server: {path in it: words for tests/images/image, and behind
        those for a package a path in that}}
    prelude: shell, before all cases
    show: print what the server says, as it comes
    """

    def __init__(self, server, spandrel, guest="guest", tools=False,
                 files=None, prelude="", show=False):
        self.server, self.spandrel, self.show = server, spandrel, show
        self.guest, self.tools = guest, tools
        self.files = (files or {}).get(server, {})
        self.prelude = prelude
        self.allowed = load_allowed()
        self.rest = []
        self.until_s = time.monotonic() + LIMIT_S

    def _command(self, script, limit_s):
        arch = "arm64" if self.server == "arm" else "amd64"
        memory = "1G" if self.server == "xeon" else "6G"
        command = [HOST, "-q", self.server, "--memory", memory,
                   "--timeout", str(max(1, int(limit_s))),
                   "--silence", str(SILENCE_S[self.server]),
                   "--add", f"{self.spandrel}:/bin/spandrel",
                   "--add", f"{image('kernel', arch)}:/guest/kernel",
                   "--add", f"{image(self.guest, arch)}:/guest/initramfs",
                   "--add", f"{image('vmlinux', arch)}:/guest/vmlinux",
                   "--add", f"{script}:/cases.sh"]
        for path, words in self.files.items():
            command += ["--add", f"{image_file(*words)}:{path}"]
        if self.tools:
            command += ["--cpio", image("tools", arch)]
        return [*command, "--", "sh", "/cases.sh"]

    def run(self, cases, limit_s=FIRST_LIMIT_S):
        """All of them in one server; fills in output and exit status."""
        console = "ttyAMA0" if self.server == "arm" else "ttyS0"
        with tempfile.NamedTemporaryFile("w", suffix=".sh") as script:
            script.write(PRELUDE + self.prelude + "\n")
            script.write("\n".join(c.script(console) for c in cases))
            script.write("\necho '@@DONE'\n")
            script.flush()
            process = subprocess.Popen(self._command(script.name, limit_s),
                                       stdin=subprocess.DEVNULL,
                                       stdout=subprocess.PIPE,
                                       stderr=subprocess.STDOUT)
            try:
                self.rest += split_output(process, cases, self.show)
            finally:
                process.terminate()
                process.wait()

    def run_again(self, cases):
        """The emulators have bugs of their own: QEMU 7.2 now and then kills
        an EPYC server, or leaves a nested guest spinning, under any VMM, and
        Bochs stands still. So what failed gets a second server, and the report
        says so."""
        for case in cases:
            problems = case.problems(self.allowed) or ["the next needs it"]
            print(f"# {self.server}: {case.name}: "
                  f"{'; '.join(problems)[:300]}: trying again")
            case.name += " (second try)"
            case.output = case.code = None
        for line in self.rest[-5:]:
            print(f"# server: {line}")
        self.run(cases, self.until_s - time.monotonic())

    def judge(self, cases):
        """TAP; how many were bad."""
        print(f"1..{len(cases)}")
        bad = 0
        for number, case in enumerate(cases, 1):
            problems = case.problems(self.allowed)
            bad += bool(problems)
            print(f"{'not ' if problems else ''}ok {number} "
                  f"{self.server}: {case.name}")
            for problem in problems:
                print(f"# {problem}")
            if problems and not self.show:
                for line in (case.output or "(no output)").splitlines()[-400:]:
                    print(f"#   {line}")
        if any(c.code is None for c in cases):
            for line in self.rest[-40:]:
                print(f"# server: {line}")
        slow = sorted(cases, key=lambda c: -c.seconds)[:5]
        print(f"# {self.server}: slowest: "
              + "; ".join(f"{c.name} {c.seconds:.0f} s" for c in slow))
        return bad


def to_repeat(cases, bad):
    """Those of CASES, in their order, that are BAD or lead to one"""
    repeat, needed = [], False
    for case in reversed(cases):
        if needed or case in bad:
            repeat.insert(0, case)
            needed = case.follows
    return repeat


def split_output(process, cases, show):
    """Give each case its lines; returns those that are no case's."""
    by_name = {c.name: c for c in cases}
    current, lines, rest, start = None, [], [], 0
    for raw in process.stdout:
        line = raw.decode("utf-8", "replace").rstrip("\r\n")
        if show:
            print(f"# {line}", flush=True)
        if line.startswith("@@CASE "):
            current, lines = by_name[line[7:]], []
            start = time.monotonic()
        elif line.startswith("@@END ") and current:
            current.output = "\n".join(lines)
            current.code = int(line[6:])
            current.seconds = time.monotonic() - start
            current = None
        elif current:
            lines.append(line)
            current.output = "\n".join(lines)
        else:
            rest.append(line)
    return rest


def main(about, servers, cases_of, **options):
    """A program of cases. CASES_OF(server) makes them; OPTIONS are those of
    class Servers."""
    parser = argparse.ArgumentParser(description=about.split("\n")[0])
    parser.add_argument("server", choices=servers)
    parser.add_argument("spandrel")
    parser.add_argument("--only", default="",
                        help="a regular expression for the case's name")
    parser.add_argument("--show", action="store_true",
                        help="print all output as it comes")
    parser.add_argument("--once", action="store_true",
                        help="no second try for what fails")
    args = parser.parse_args()
    cases = [c for c in cases_of(args.server) if re.search(args.only, c.name)]
    runner = Servers(args.server, os.path.abspath(args.spandrel),
                     show=args.show, **options)
    runner.run(cases)
    again = to_repeat(cases, [c for c in cases if c.problems(runner.allowed)])
    if again and not args.once:
        runner.run_again(again)
    return 1 if runner.judge(cases) else 0
