# SPDX-License-Identifier: Apache-2.0
"""
DOC: writer of initramfs archives ("newc" cpio, the only kind Linux unpacks)

Linux Documentation/driver-api/early-userspace/buffer-format.rst. Written here
and not by cpio(1) because everything must belong to root, without being root,
and because equal input must give equal bytes: times are 0 and inode numbers
count up. Archives may be joined end to end: a later entry replaces an earlier
one, and a directory that is there already stays.

Not implemented: hard links, device nodes (the kernel's built-in initramfs has
/dev/console), files of 4 GiB or more.
"""

import os
import shutil
import stat

BLOCK_BYTES = 512
FILE_BYTES_MAX = 0xFFFFFFFF


MERGED = ("bin", "sbin", "lib", "lib64")


class Writer:
    """
    Writes one archive to FILE, an open binary file, from where it stands.

    MERGED_USR: /bin, /lib and so on are symlinks into /usr, as in Debian. The
    kernel would replace such a symlink by a directory, so paths that go
    through one are rewritten.
    """

    def __init__(self, file, merged_usr=False):
        self.file = file
        self.merged_usr = merged_usr
        self.inode = 0
        self.bytes = 0
        self.directories = set()

    def _put(self, data):
        self.file.write(data)
        self.bytes += len(data)

    def _pad(self, multiple):
        self._put(bytes(-self.bytes % multiple))

    def _head(self, path, mode, size_bytes):
        self.inode += 1
        name = path.encode() + b"\0"
        fields = (self.inode, mode, 0, 0, 1, 0, size_bytes, 0, 0, 0, 0,
                  len(name), 0)
        self._put(b"070701" + b"".join(b"%08X" % f for f in fields) + name)
        self._pad(4)

    def _place(self, path):
        path = path.strip("/")
        if self.merged_usr and path.split("/")[0] in MERGED:
            path = f"usr/{path}"
        return path

    def merge_usr(self):
        """The symlinks that MERGED_USR relies on."""
        for name in MERGED:
            self.directory(f"usr/{name}")
            self._link(name, f"usr/{name}")

    def _parents(self, path):
        parent = os.path.dirname(path)
        if parent and parent not in self.directories:
            self.directory(parent)

    def directory(self, path, mode=0o755):
        path = self._place(path)
        if not path or path in self.directories:
            return
        self._parents(path)
        self.directories.add(path)
        self._head(path, stat.S_IFDIR | mode, 0)

    def symlink(self, path, target):
        path = self._place(path)
        self._parents(path)
        self._link(path, target)

    def _link(self, path, target):
        data = target.encode()
        self._head(path, stat.S_IFLNK | 0o777, len(data))
        self._put(data)
        self._pad(4)

    def data(self, path, data, mode=0o644):
        path = self._place(path)
        self._parents(path)
        self._head(path, stat.S_IFREG | mode, len(data))
        self._put(data)
        self._pad(4)

    def stream(self, path, source, size_bytes, mode=0o644):
        """SIZE_BYTES from the open file SOURCE, which must hold as many."""
        path = self._place(path)
        if size_bytes > FILE_BYTES_MAX:
            raise ValueError(f"{path}: an initramfs file is at most 4 GiB")
        self._parents(path)
        self._head(path, stat.S_IFREG | mode, size_bytes)
        shutil.copyfileobj(source, self.file, 1 << 20)
        self.bytes += size_bytes
        self._pad(4)

    def copy(self, source, path):
        """The file, symlink or directory SOURCE, with its mode, as PATH."""
        info = os.lstat(source)
        mode = stat.S_IMODE(info.st_mode)
        if stat.S_ISLNK(info.st_mode):
            self.symlink(path, os.readlink(source))
        elif stat.S_ISDIR(info.st_mode):
            self.directory(path, mode)
            for name in sorted(os.listdir(source)):
                self.copy(f"{source}/{name}", f"{path}/{name}")
        elif stat.S_ISREG(info.st_mode):
            with open(source, "rb") as file:
                self.stream(path, file, info.st_size, mode)
        else:
            raise ValueError(f"{source}: not a file, symlink or directory")

    def finish(self):
        self._head("TRAILER!!!", 0, 0)
        self._pad(BLOCK_BYTES)
