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


def unpack(folder, packages, tree, wanted, suites):
    """Unpack PACKAGES and what they need, as far as WANTED, below FOLDER/TREE;
    from the first of SUITES that has them all."""
    trouble = None
    for suite in suites:
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


def tree(out, name, packages, wanted=lambda deb: True, suites=SUITES):
    """The folder OUT/interop/NAME with what unpack() puts there, once."""
    folder = os.path.join(os.path.abspath(out), "interop")
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(f"{folder}/{name}/complete"):
            unpack(folder, packages, name, wanted, suites)
            open(f"{folder}/{name}/complete", "w").close()
    return f"{folder}/{name}"


def loaded(root, *more):
    """The command that runs a program below ROOT with the C library there; MORE
    folders have libraries, too."""
    loader = glob.glob(f"{root}/usr/lib/*/ld-linux-*.so.*")[0]
    return [loader, "--library-path",
            ":".join((os.path.dirname(loader), *more))]


def client(out):
    """The command, as a list; made below OUT if it is not there."""
    root = tree(out, "root", ["libblkio1", "libblkio-dev"])
    folder = os.path.dirname(root)
    program, source = f"{folder}/blkio", f"{HERE}/blkio.c"
    with open(f"{folder}/lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        libraries = os.path.dirname(
            glob.glob(f"{root}/usr/lib/*/libblkio.so")[0])
        if not os.path.exists(program) or \
                os.stat(program).st_mtime < os.stat(source).st_mtime:
            subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-o", program,
                            source, f"-I{root}/usr/include",
                            f"-L{libraries}", "-lblkio", "-pthread",
                            "-Wl,--allow-shlib-undefined"], check=True)
    return [*loaded(root), program]
