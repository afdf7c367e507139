# SPDX-License-Identifier: Apache-2.0
"""
DOC: the root file system of a Debian guest: ext4, systemd, a login for root

Packages are unpacked and not installed: no maintainer script runs, so every
machine can build for every architecture. What those scripts would have done
and a guest needs is done here: users and groups, PAM's common files, the
kernel's module index. Root has no password.

/etc/machine-id is empty, which systemd takes for a machine that has booted
before: units are enabled by links here, not by its presets. Masked is what
would only cost an emulated server's time: caches that are made once after an
installation, and the network. Nothing fails by being slow (slow.conf).
"""

import os
import shutil
import subprocess

LABEL = "root"
PACKAGES = ("systemd-sysv", "udev", "login", "passwd", "bash", "dash",
            "coreutils", "sed", "grep", "mawk", "util-linux", "mount", "kmod",
            "base-files", "base-passwd", "libpam-modules-bin",
            "libpam-runtime", "e2fsprogs", "efibootmgr", "numactl")
WITHOUT = ("usr/share/doc", "usr/share/man", "usr/share/locale",
           "usr/share/info", "usr/share/lintian", "usr/share/zoneinfo",
           "usr/share/bash-completion", "usr/lib/udev/hwdb.d")
MASKED = ("ldconfig.service", "systemd-hwdb-update.service",
          "systemd-journal-catalog-update.service",
          "systemd-networkd.service", "systemd-networkd.socket")

PAM = {
    "auth": "auth required pam_unix.so nullok",
    "account": "account required pam_unix.so",
    "password": "password required pam_unix.so nullok",
    "session": "session required pam_unix.so",
    "session-noninteractive": "session required pam_unix.so",
}

FILES = {
    "etc/hostname": "guest\n",
    "etc/machine-id": "",
    "etc/fstab": f"LABEL={LABEL} / ext4 rw 0 1\n",
    "etc/systemd/system.conf.d/slow.conf":
        "[Manager]\nDefaultDeviceTimeoutSec=600\nDefaultTimeoutStartSec=600\n",
    "etc/shadow": "root::20000::::::\n",
    **{f"etc/pam.d/common-{name}": f"{text}\n" for name, text in PAM.items()},
}


class RootError(Exception):
    """A sentence for the user: what failed and what to do."""


def _run(command, package):
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
    except FileNotFoundError:
        raise RootError(f"{command[0]} not found: apt-get install "
                        f"{package}") from None
    if done.returncode != 0:
        raise RootError(f"{command[0]} failed: {done.stdout.strip()}")


def _write(tree, path, text):
    os.makedirs(os.path.dirname(f"{tree}/{path}"), exist_ok=True)
    with open(f"{tree}/{path}", "w") as file:
        file.write(text)


def _users(tree):
    for name in ("passwd", "group"):
        shutil.copyfile(f"{tree}/usr/share/base-passwd/{name}.master",
                        f"{tree}/etc/{name}")
    with open(f"{tree}/etc/passwd") as file:
        text = file.read().replace("root:*:", "root:x:", 1)
    _write(tree, "etc/passwd", text)


def _units(tree):
    folder = f"{tree}/etc/systemd/system"
    os.makedirs(folder, exist_ok=True)
    os.symlink("/usr/lib/systemd/system/multi-user.target",
               f"{folder}/default.target")
    for unit in MASKED:
        os.symlink("/dev/null", f"{folder}/{unit}")


def configure(tree, modules, version):
    """
    Make a bootable system of the packages unpacked in TREE.

    MODULES: the folder of the kernel's modules, of which VERSION is the name
    """
    for path in WITHOUT:
        shutil.rmtree(f"{tree}/{path}", ignore_errors=True)
    _users(tree)
    for path, text in FILES.items():
        _write(tree, path, text)
    _units(tree)
    shutil.copytree(modules, f"{tree}/usr/lib/modules/{version}",
                    symlinks=True)
    _run(["depmod", "-b", tree, version], "kmod")


def pack(tree, path, size_bytes):
    """Write TREE as an ext4 file system of SIZE_BYTES to PATH; all files
    belong to root, whoever calls this."""
    with open(path, "wb") as file:
        file.truncate(size_bytes)
    command = ["mke2fs", "-q", "-t", "ext4", "-L", LABEL, "-d", tree, path]
    if os.geteuid() != 0:
        command = ["fakeroot", "--", *command]
    _run(command, "e2fsprogs fakeroot")
