# SPDX-License-Identifier: Apache-2.0
"""
DOC: a disk from which UEFI firmware boots: GPT, an EFI system partition, and
behind it a root file system if wanted

UEFI 2.10 sec. 5.3 (GPT) and 13.3 (system partition). The partition is a FAT
file system that mtools make, without root and loop devices.

GRUB takes its kernel command line from a sector of the disk that is in no
partition (WORDS_LBA): a test changes it with dd, and needs neither mtools nor
another image. The sector is GRUB script, padded with spaces; it may as well
start another program of the system partition.
"""

import os
import shlex
import shutil
import struct
import subprocess
import uuid
import zlib

SECTOR = 512
WORDS_LBA = 40
ESP_LBA = 2048
ENTRIES, ENTRY_BYTES = 128, 128
ENTRIES_SECTORS = ENTRIES * ENTRY_BYTES // SECTOR
BACKUP_SECTORS = ENTRIES_SECTORS + 1
ESP_TYPE = uuid.UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
ROOT_TYPE = uuid.UUID("0fc63daf-8483-4772-8e79-3d69d8477de4")
# Fixed, so that an image is the same every time.
DISK_ID = uuid.UUID("5b7d0a4e-7b3a-4f0c-9d0e-3a1c5a1d0001")
ESP_ID = uuid.UUID("5b7d0a4e-7b3a-4f0c-9d0e-3a1c5a1d0002")
ROOT_ID = uuid.UUID("5b7d0a4e-7b3a-4f0c-9d0e-3a1c5a1d0003")
SPARE_BYTES = 4 << 20       # for what firmware writes: NvVars

# Debian's GRUB looks for its configuration in /EFI/debian. An installed Debian
# has there only where to look further.
GRUB_FIND = """\
search --no-floppy --label --set=root %s
set prefix=($root)/boot/grub
configfile $prefix/grub.cfg
"""


def grub_config(folder=""):
    """FOLDER has vmlinuz and initramfs. (hd0)40+1 is the words' sector."""
    return f"""\
echo GRUB-CONFIG
set words=
source (hd0){WORDS_LBA}+1
linux {folder}/vmlinuz console=$console panic=-1 $words
initrd {folder}/initramfs
echo GRUB-BOOT
boot
""".encode()


def words_sector(console, words, program=None):
    """PROGRAM: "/FILE.EFI ARGUMENT...", started in place of the kernel"""
    text = f"set console={console}\nset words=\"{words}\"\n"
    if program:
        text += f"chainloader {program}\nboot\n"
    text = text.encode()
    if len(text) >= SECTOR:
        raise ValueError("too many words for a sector")
    return text.ljust(SECTOR - 1) + b"\n"


def write_words(disk, console, words, program=None):
    """Shell: change them on a disk."""
    text = shlex.quote(words_sector(console, words, program).decode())
    return (f"printf %s {text} | dd of={disk} seek={WORDS_LBA} conv=notrunc "
            "2>/dev/null")


def _protective_mbr(sectors):
    """UEFI 2.10 sec. 5.2.3"""
    entry = struct.pack("<B3sB3sII", 0, b"\0\2\0", 0xee, b"\xff\xff\xff",
                        1, min(sectors - 1, 0xffffffff))
    return bytes(446) + entry + bytes(48) + b"\x55\xaa"


def _entries(partitions):
    """PARTITIONS: [(type, GUID, first sector, sectors, name)]"""
    entries = b""
    for kind, own, first, sectors, name in partitions:
        entries += kind.bytes_le + own.bytes_le + struct.pack(
            "<QQQ", first, first + sectors - 1, 0)
        entries += name.encode("utf-16-le").ljust(72, b"\0")
    return entries.ljust(ENTRIES * ENTRY_BYTES, b"\0")


def _header(sectors, own_lba, other_lba, entries_lba, entries):
    """UEFI 2.10 sec. 5.3.2; its CRC is computed with the field 0."""
    def pack(crc):
        return struct.pack("<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, 92,
                           crc, 0, own_lba, other_lba, 2 + ENTRIES_SECTORS,
                           sectors - BACKUP_SECTORS - 1, DISK_ID.bytes_le,
                           entries_lba, ENTRIES, ENTRY_BYTES,
                           zlib.crc32(entries))
    return pack(zlib.crc32(pack(0))).ljust(SECTOR, b"\0")


def _write_gpt(file, sectors, partitions):
    entries = _entries(partitions)
    last = sectors - 1
    file.truncate(sectors * SECTOR)
    file.seek(0)
    file.write(_protective_mbr(sectors))
    file.write(_header(sectors, 1, last, 2, entries))
    file.write(entries)
    file.seek((sectors - BACKUP_SECTORS) * SECTOR)
    file.write(entries)
    file.write(_header(sectors, last, 1, sectors - BACKUP_SECTORS, entries))


def _parents(name):
    """The folders that NAME is in: "/EFI", "/EFI/BOOT"."""
    parts = name.split("/")[:-1]
    return ["/".join(parts[:n]) for n in range(2, len(parts) + 1)]


def _mtool(*command, data=None):
    subprocess.run(command, check=True, input=data or b"",
                   env=dict(os.environ, MTOOLS_SKIP_CHECK="1"))


def write(path, files, console, root=None):
    """FILES: {"/EFI/BOOT/BOOTX64.EFI": path on this machine or bytes}; ROOT:
    path of a file system that becomes partition 2."""
    content = sum(len(source) if isinstance(source, bytes)
                  else os.path.getsize(source) for source in files.values())
    esp_sectors = (content + SPARE_BYTES + (1 << 20) - 1 >> 20) * 2048
    partitions = [(ESP_TYPE, ESP_ID, ESP_LBA, esp_sectors,
                   "EFI system partition")]
    end = ESP_LBA + esp_sectors
    if root:
        partitions.append((ROOT_TYPE, ROOT_ID, end,
                           os.path.getsize(root) // SECTOR, "root"))
    with open(path, "wb") as file:
        _write_gpt(file, sum(partitions[-1][2:4]) + BACKUP_SECTORS, partitions)
        file.seek(WORDS_LBA * SECTOR)
        file.write(words_sector(console, ""))
        if root:
            file.seek(end * SECTOR)
            with open(root, "rb") as source:
                shutil.copyfileobj(source, file, 1 << 20)
    at = f"{path}@@{ESP_LBA * SECTOR}"
    _mtool("mformat", "-i", at, "-T", str(esp_sectors), "-h", "255",
           "-s", "63", "-H", str(ESP_LBA), "-N", "5b7d0a4e", "-v", "ESP", "::")
    folders = {parent for name in files for parent in _parents(name)}
    for folder in sorted(folders):
        _mtool("mmd", "-i", at, f"::{folder}")
    for name, source in files.items():
        data = source if isinstance(source, bytes) else None
        _mtool("mcopy", "-i", at, source if data is None else "-",
               f"::{name}", data=data)
