# SPDX-License-Identifier: Apache-2.0
"""
DOC: what is inside a Debian kernel package: vmlinuz, vmlinux, modules

vmlinux comes out of a bzImage as the x86 boot protocol says (Linux
Documentation/arch/x86/boot.rst, payload_offset and payload_length). Modules
are found by name and carried uncompressed, with a modules.dep made from their
own .modinfo, because Debian leaves that to depmod at installation time.
"""

import glob
import lzma
import os
import re
import struct
import subprocess

BZIMAGE_MAGIC_OFFSET = 0x202
PAYLOAD_OFFSET = 0x248
DECOMPRESSORS = (
    (b"\x28\xb5\x2f\xfd", ["zstd", "-dcq"], "zstd"),
    (b"\xfd7zXZ\0", ["xz", "-dcq"], "xz-utils"),
    (b"\x1f\x8b", ["gzip", "-dcq"], "gzip"),
)


class KernelError(Exception):
    """A sentence for the user: what failed and what to do."""


def vmlinuz(folder):
    return glob.glob(f"{folder}/boot/vmlinuz-*")[0]


def version(folder):
    return os.path.basename(vmlinuz(folder)).partition("-")[2]


def payload(bzimage):
    """The compressed vmlinux in BZIMAGE, both as bytes."""
    if bzimage[BZIMAGE_MAGIC_OFFSET:BZIMAGE_MAGIC_OFFSET + 4] != b"HdrS":
        raise KernelError("not a bzImage: no HdrS at 0x202")
    offset, length = struct.unpack_from("<II", bzimage, PAYLOAD_OFFSET)
    start = ((bzimage[0x1F1] or 4) + 1) * 512 + offset
    return bzimage[start:start + length]


def extract_vmlinux(bzimage_path, path):
    """Write the ELF vmlinux of BZIMAGE_PATH to PATH."""
    with open(bzimage_path, "rb") as file:
        data = payload(file.read())
    for magic, command, package in DECOMPRESSORS:
        if not data.startswith(magic):
            continue
        try:
            # The kernel's build appends the size to the compressed data, at
            # which the tools warn after all output is written.
            out = subprocess.run(command, input=data, stdout=subprocess.PIPE,
                                 stderr=subprocess.DEVNULL).stdout
        except FileNotFoundError:
            raise KernelError(f"{command[0]} not found: apt-get install "
                              f"{package}") from None
        if out[:4] != b"\x7fELF":
            raise KernelError(f"{bzimage_path}: its payload is no ELF file")
        with open(path, "wb") as file:
            file.write(out)
        return
    raise KernelError(f"{bzimage_path}: payload compressed in an unknown way "
                      f"({data[:4].hex()})")


class Modules:
    """The modules of the kernel package unpacked in FOLDER."""

    def __init__(self, folder):
        self.version = version(folder)
        self.root = f"{folder}/usr/lib/modules/{self.version}"
        if not os.path.isdir(self.root):
            self.root = f"{folder}/lib/modules/{self.version}"
        self.files = {}
        for path in glob.glob(f"{self.root}/kernel/**/*.ko*", recursive=True):
            self.files[self._name(path)] = path

    @staticmethod
    def _name(path):
        return os.path.basename(path).partition(".")[0].replace("-", "_")

    def _read(self, name):
        path = self.files[name]
        with (lzma.open if path.endswith(".xz") else open)(path, "rb") as file:
            return file.read()

    def closure(self, names):
        """{module: (data, what it needs)} of those NAMES that are modules."""
        found = {}
        todo = [name for name in names if name in self.files]
        while todo:
            name = todo.pop(0)
            if name not in found:
                data = self._read(name)
                match = re.search(rb"\0depends=([^\0]*)\0", data)
                needs = [need.replace("-", "_") for need in
                         match.group(1).decode().split(",") if need]
                found[name] = (data, needs)
                todo += needs
        return found

    def add_to(self, archive, names):
        """Put NAMES, and a modules.dep for modprobe, into ARCHIVE."""
        modules = self.closure(names)
        folder = f"lib/modules/{self.version}"
        order = {}

        def needed(name):
            for need in modules[name][1]:
                needed(need)
                order[need] = None
            return order

        lines = ""
        for name, (data, _) in sorted(modules.items()):
            order = {}
            archive.data(f"{folder}/{name}.ko", data)
            needs = " ".join(f"{need}.ko" for need in reversed(needed(name)))
            lines += f"{name}.ko: {needs}".rstrip() + "\n"
        archive.data(f"{folder}/modules.dep", lines.encode())
