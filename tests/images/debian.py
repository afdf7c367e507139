# SPDX-License-Identifier: Apache-2.0
"""
DOC: Debian packages of any suite and architecture, without installing them

apt itself downloads and verifies, with a private state folder: nothing on the
machine changes, and no root is needed. The mirror and the keys are those of
the machine's own apt sources (classic .list and deb822 .sources), found as the
entries that carry the machine's own suite; only the suite is another one. The
machine's Acquire options (proxies, retries) hold as well. Unsigned mirrors
are refused even where the machine trusts them.

SPANDREL_MIRROR=URL replaces the mirror, for machines whose sources hold none.
"""

import contextlib
import glob
import os
import re
import shutil
import subprocess
import time

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
SOURCE_FILES = ("/etc/apt/sources.list", "/etc/apt/sources.list.d/*.list",
                "/etc/apt/sources.list.d/*.sources")
NETWORK_TIMEOUT_S = 30
COMMAND_TIMEOUT_S = 900
INDEX_FRESH_S = 3600


class DebianError(Exception):
    """A sentence for the user: what failed and what to do."""


def machine_suites():
    """The names under which the machine's sources may call its own suite."""
    release = {}
    with open("/etc/os-release") as file:
        for line in file:
            name, _, value = line.strip().partition("=")
            release[name] = value.strip('"')
    return {release.get("VERSION_CODENAME", "stable"), "stable", "oldstable",
            "testing", "unstable", "sid"}


def _classic_entries(text):
    pattern = re.compile(r"^deb\s+(?:\[([^]]*)\]\s+)?(\S+)\s+(\S+)\s+(.*)$")
    for line in text.splitlines():
        match = pattern.match(line.partition("#")[0].strip())
        if match:
            options, uri, suite, components = match.groups()
            signed = re.search(r"signed-by=(\S+)", options or "", re.I)
            yield ([uri], [suite], components.split(),
                   signed.group(1) if signed else None)


def _deb822_entries(text):
    text = re.sub(r"^#.*\n?", "", text, flags=re.M)
    for block in re.split(r"\n\s*\n", text):
        block = re.sub(r"\n[ \t]+", " ", block)
        fields = {}
        for line in block.splitlines():
            name, _, value = line.partition(":")
            fields[name.strip().lower()] = value.strip()
        if ("deb" in fields.get("types", "").split() and
                fields.get("enabled", "yes").lower() != "no"):
            yield (fields.get("uris", "").split(),
                   fields.get("suites", "").split(),
                   fields.get("components", "").split(),
                   fields.get("signed-by"))


def machine_mirrors():
    """[(uri, keyring)] of Debian's main archive, the likeliest first."""
    override = os.environ.get("SPANDREL_MIRROR")
    if override:
        return [(override, KEYRING)]
    suites = machine_suites()
    found = []
    for pattern in SOURCE_FILES:
        for name in sorted(glob.glob(pattern)):
            with open(name, errors="replace") as file:
                text = file.read()
            read = (_deb822_entries if name.endswith(".sources")
                    else _classic_entries)
            for uris, entry_suites, components, keyring in read(text):
                if "main" in components and suites & set(entry_suites):
                    if not (keyring or "").startswith("/"):
                        keyring = KEYRING
                    found += [(uri, keyring) for uri in uris
                              if not uri.startswith("cdrom:")]
    found = list(dict.fromkeys(found))
    found.sort(key=lambda mirror: "debian-archive" not in mirror[1])
    if not found:
        raise DebianError(
            "no Debian mirror is named in /etc/apt/sources.list or "
            "/etc/apt/sources.list.d: add one there, or set "
            "SPANDREL_MIRROR to its URL")
    return found


class Apt:
    """apt for one architecture and one suite, in a folder of its own."""

    def __init__(self, folder, arch, suite, say):
        self.folder = os.path.abspath(f"{folder}/{suite}-{arch}")
        self.arch = arch
        self.suite = suite
        self.say = say
        for name in ("state/lists/partial", "cache/archives/partial", "none"):
            os.makedirs(f"{self.folder}/{name}", exist_ok=True)
        with open(f"{self.folder}/state/status", "w"):
            pass
        self._configure()

    def _configure(self):
        dump = subprocess.run(["apt-config", "dump"], stdout=subprocess.PIPE,
                              text=True, check=True).stdout
        lines = [line for line in dump.splitlines()
                 if re.match(r"Acquire::(?!IndexTargets|Languages|Changelogs"
                             r"|CompressionTypes)\S+ \"", line)]
        lines += [
            f'Dir::State "{self.folder}/state";',
            f'Dir::State::status "{self.folder}/state/status";',
            f'Dir::Cache "{self.folder}/cache";',
            f'Dir::Etc::sourcelist "{self.folder}/mirror.sources";',
            f'Dir::Etc::sourceparts "{self.folder}/none";',
            f'Dir::Etc::parts "{self.folder}/none";',
            f'Dir::Etc::preferencesparts "{self.folder}/none";',
            f'Dir::Etc::main "{self.folder}/none/main";',
            f'Dir::Etc::preferences "{self.folder}/none/preferences";',
            f'APT::Architecture "{self.arch}";',
            f'APT::Architectures {{ "{self.arch}"; }};',
            'APT::Sandbox::User "root";',
            'APT::Install-Recommends "false";',
            'Acquire::Languages { "none"; };',
            'Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";',
            'Acquire::IndexTargets::deb::CNF::DefaultEnabled "false";',
            'Acquire::PDiffs "false";',
            'Acquire::GzipIndexes "true";',
            'Acquire::AllowInsecureRepositories "false";',
            'Acquire::Retries "3";',
            f'Acquire::http::Timeout "{NETWORK_TIMEOUT_S}";',
            f'Acquire::https::Timeout "{NETWORK_TIMEOUT_S}";',
            'Debug::NoLocking "true";',
        ]
        with open(f"{self.folder}/apt.conf", "w") as file:
            file.write("\n".join(lines) + "\n")

    def _run(self, *command, cwd=None):
        """(exit status, standard output, standard error)"""
        env = dict(os.environ, APT_CONFIG=f"{self.folder}/apt.conf",
                   LC_ALL="C.UTF-8", DEBIAN_FRONTEND="noninteractive")
        try:
            done = subprocess.run(command, cwd=cwd, env=env, text=True,
                                  stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE,
                                  timeout=COMMAND_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return 124, "", f"{command[0]} took over {COMMAND_TIMEOUT_S} s"
        return done.returncode, done.stdout, done.stderr

    def _fresh(self):
        try:
            age_s = time.time() - os.stat(f"{self.folder}/updated").st_mtime
        except OSError:
            return False
        return age_s < INDEX_FRESH_S

    def forget_index(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self.folder}/updated")

    def update(self):
        """Read the suite's signed index; from the first mirror that has it."""
        if self._fresh():
            return
        trouble = []
        for uri, keyring in machine_mirrors():
            self.say(f"reading Debian's {self.suite} index for {self.arch}")
            with open(f"{self.folder}/mirror.sources", "w") as file:
                file.write(f"Types: deb\nURIs: {uri}\nSuites: {self.suite}\n"
                           f"Components: main\nSigned-By: {keyring}\n")
            status, _, error = self._run("apt-get", "-q", "update",
                                         "--error-on=any")
            if status == 0:
                with open(f"{self.folder}/updated", "w"):
                    return
            trouble += [line for line in error.splitlines()
                        if line.startswith("E:")] or error.splitlines()
        raise DebianError(
            f"apt cannot read Debian's {self.suite} index: "
            f"{' '.join(trouble[:2])} (check the network and the machine's "
            "apt sources; NO_PUBKEY: apt-get install debian-archive-keyring)")

    def resolve(self, package):
        """PACKAGE, or the linux-image package that it depends on."""
        status, text, error = self._run("apt-cache", "show",
                                        "--no-all-versions", package)
        if status != 0:
            raise DebianError(f"{self.suite} has no package {package} for "
                              f"{self.arch}: {error.strip()}")
        match = re.search(r"^Depends:.*?\b(linux-image-\S+)", text, re.M)
        return match.group(1) if match else package

    def download(self, packages, folder):
        """The .deb files of PACKAGES, verified, as paths below FOLDER."""
        self.say(f"downloading {' '.join(packages)} ({self.arch})")
        status, _, error = self._run("apt-get", "-q", "download", *packages,
                                     cwd=folder)
        if status != 0:
            self.forget_index()
            raise DebianError(f"apt cannot download {' '.join(packages)}: "
                              f"{error.strip()}")
        return sorted(glob.glob(f"{folder}/*.deb"))

    def download_all(self, packages):
        """The same for PACKAGES and everything that they depend on."""
        self.say(f"downloading {' '.join(packages)} ({self.arch}) and "
                 "what they need")
        archives = f"{self.folder}/cache/archives"
        for name in glob.glob(f"{archives}/*.deb"):
            os.unlink(name)
        status, _, error = self._run("apt-get", "-q", "-y", "--download-only",
                                     "install", *packages)
        if status != 0:
            self.forget_index()
            raise DebianError(f"apt cannot download {' '.join(packages)}: "
                              f"{error.strip()}")
        return sorted(glob.glob(f"{archives}/*.deb"))


def require_tools():
    missing = [tool for tool in ("apt-get", "apt-cache", "apt-config",
                                 "dpkg-deb") if not shutil.which(tool)]
    if missing:
        raise DebianError(f"{', '.join(missing)}: not found; the images are "
                          "made from Debian packages, on a Debian machine")


def unpack(deb, folder):
    subprocess.run(["dpkg-deb", "-x", deb, folder], check=True)
