# SPDX-License-Identifier: Apache-2.0
"""
DOC: a program and the shared libraries that it needs, out of a tree of
unpacked packages

readelf(1) of the machine's own binutils reads programs of any architecture.
A library is found by its name, wherever in the tree it is: RUNPATH and the
loader's search path are the packages' own affair, so it keeps its place.
"""

import os
import re
import subprocess


class ElfError(Exception):
    """A sentence for the user: what failed and what to do."""


def _read(path):
    """(interpreter or None, [needed library]); nothing of other files"""
    with open(path, "rb") as file:
        if file.read(4) != b"\x7fELF":
            return None, []
    try:
        text = subprocess.run(["readelf", "-Wld", path], check=True, text=True,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL).stdout
    except FileNotFoundError:
        raise ElfError("readelf not found: apt-get install binutils") from None
    loader = re.search(r"program interpreter: ([^]]+)\]", text)
    return (loader.group(1) if loader else None,
            re.findall(r"\(NEEDED\)\s+Shared library: \[([^]]+)\]", text))


class Tree:
    """Packages unpacked in FOLDER, in which /lib and so on are in /usr."""

    def __init__(self, folder):
        self.folder = folder
        self.libraries = {}
        for at, _, names in os.walk(folder):
            for name in names:
                if ".so" in name:
                    self.libraries.setdefault(name, f"{at}/{name}")

    def find(self, path):
        """The file that PATH of the image is in this tree."""
        for place in (path, f"/usr{path}"):
            if os.path.exists(self.folder + place):
                return os.path.realpath(self.folder + place)
        raise ElfError(f"no package has {path}: look at tests/images/programs")

    def closure(self, programs):
        """{path in the image: file} of PROGRAMS and what they need. One
        without a folder is a library that some program loads by itself."""
        programs = [path if "/" in path else
                    self.libraries[path][len(self.folder):]
                    for path in programs]
        found = {path: self.find(path) for path in programs}
        todo = list(found.values())
        while todo:
            loader, needed = _read(todo.pop())
            places = {loader: self.find(loader)} if loader else {}
            for name in needed:
                if name not in self.libraries:
                    raise ElfError(f"no package has the library {name}")
                path = self.libraries[name][len(self.folder):]
                places[path] = os.path.realpath(self.libraries[name])
            todo += [file for path, file in places.items()
                     if path not in found]
            found.update(places)
        return found
