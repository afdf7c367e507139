# SPDX-License-Identifier: Apache-2.0
"""
DOC: tests/interop/blkio.c as a command

libblkio comes from the newest Debian suite that has it, unpacked in a folder
of its own and run with the C library of that suite, so nothing is installed
and the machine's own suite does not matter.
"""
import fcntl
import glob
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "images"))
import debian  # noqa: E402

SUITES = ("trixie", "sid")
DEBIAN_ARCH = {"x86_64": "amd64", "aarch64": "arm64"}


def say(text):
    print(f"  IMAGE   {text}", file=sys.stderr)


def unpack(folder, packages, tree, wanted=lambda deb: True):
    """Unpack PACKAGES and what they need, as far as WANTED, below FOLDER/TREE;
    from the first suite that has them all."""
    trouble = None
    for suite in SUITES:
        try:
            apt = debian.Apt(f"{folder}/apt", DEBIAN_ARCH[os.uname().machine],
                             suite, say)
            apt.update()
            for deb in filter(wanted, apt.download_all(packages)):
                debian.unpack(deb, f"{folder}/{tree}")
            return
        except debian.DebianError as error:
            trouble = error
    raise trouble


def client(out):
    """The command, as a list; made below OUT if it is not there."""
    folder = os.path.join(out, "interop")
    os.makedirs(folder, exist_ok=True)
    program, source = f"{folder}/blkio", f"{HERE}/blkio.c"
    with open(f"{folder}/lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not glob.glob(f"{folder}/root/usr/include/blkio.h"):
            unpack(folder, ["libblkio1", "libblkio-dev"], "root")
        libraries = os.path.dirname(
            glob.glob(f"{folder}/root/usr/lib/*/libblkio.so")[0])
        if not os.path.exists(program) or \
                os.stat(program).st_mtime < os.stat(source).st_mtime:
            subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-o", program,
                            source, f"-I{folder}/root/usr/include",
                            f"-L{libraries}", "-lblkio", "-pthread",
                            "-Wl,--allow-shlib-undefined"], check=True)
    loader = glob.glob(f"{libraries}/ld-linux-*.so.*")[0]
    return [loader, "--library-path", libraries, program]
