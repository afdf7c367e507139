# SPDX-License-Identifier: Apache-2.0
"""How long UEFI firmware takes to GRUB's first line and to the kernel's, from
exec of the VMM on, in instructions of guest, VMM and server together: the same
firmware, disk and guest for all VMMs, 1 vCPU, 512 MiB. Each is run twice, and
the second run counts: it finds the variables that the first one has made. None
is run further, because the emulated EPYC is then likely to stand still.

CLOUDHV has nothing beside it: QEMU has not the machine that it wants."""
import os
import re
import shlex
import sys

import server

sys.path.insert(0, os.path.join(server.HERE, "..", "images"))
import esp  # noqa: E402

GRUB, KERNEL = "GRUB-CONFIG", "Linux version"
WORDS = "spandrel.test=poweroff"

# Firmware, and an empty store of variables for who cannot make one.
FILES = {
    "epyc": {"/guest/cloudhv": ("cloudhv",
                                "usr/share/cloudhv-efi-x86-64/CLOUDHV.fd"),
             "/guest/ovmf": ("ovmf", "usr/share/OVMF/OVMF_CODE_4M.fd"),
             "/guest/vars": ("ovmf", "usr/share/OVMF/OVMF_VARS_4M.fd")},
    "arm": {"/guest/aavmf": ("aavmf", "usr/share/AAVMF/AAVMF_CODE.fd"),
            "/guest/vars": ("aavmf", "usr/share/AAVMF/AAVMF_VARS.fd")},
}
# edk2's timer of 10 ms is slower than it wants: tests/e2e/boot, TIMER_US.
PREPARE = {
    "epyc": "echo 200000 >/sys/module/kvm/parameters/min_timer_period_us\n"
            "cp /guest/vars /tmp/spandrel.vars",
    "arm": "",
}
SPANDREL = ("spandrel --firmware /guest/{firmware} {vars} --cpus boot=1 "
            "--memory size=512M --serial tty --console off "
            "--disk path=/tmp/spandrel.disk")
VARS = "--firmware-vars /tmp/spandrel.vars"
QEMU = ("{program} -M {machine} -accel kvm -cpu host -m 512 -smp 1 "
        "-nodefaults -nographic -serial stdio -no-reboot "
        "-drive if=pflash,unit=0,format=raw,readonly=on,file=/guest/{firmware} "
        "-drive if=pflash,unit=1,format=raw,file=/tmp/qemu.vars "
        "-drive if=none,id=d,file=/tmp/qemu.disk,format=raw "
        "-device virtio-blk-pci,drive=d")


def epyc_vmms():
    ovmf = {"firmware": "ovmf", "vars": VARS, "machine": "q35",
            "program": "qemu-system-x86_64"}
    return [("spandrel", "OVMF", SPANDREL.format(**ovmf)),
            ("QEMU q35", "OVMF", QEMU.format(**ovmf)),
            ("spandrel", "CLOUDHV",
             SPANDREL.format(firmware="cloudhv", vars=""))]


def arm_vmms():
    facts = {"firmware": "aavmf", "vars": VARS,
             "machine": "virt,gic-version=3", "program": "qemu-system-aarch64"}
    return [("spandrel", "AAVMF", SPANDREL.format(**facts)),
            ("QEMU virt", "AAVMF", QEMU.format(**facts))]


# (VMM, firmware, command line)
VMMS = {"epyc": epyc_vmms(), "arm": arm_vmms()}


def prepare(name):
    """Shell: a disk for each VMM, which tells GRUB what to start."""
    console = {"epyc": "ttyS0", "arm": "ttyAMA0"}[name]
    return "\n".join([
        PREPARE[name], server.HEARTBEAT, "cp /guest/vars /tmp/qemu.vars",
        *(f"cp /guest/esp /tmp/{vmm}.disk\n"
          + esp.write_words(f"/tmp/{vmm}.disk", console, WORDS)
          for vmm in ("spandrel", "qemu"))])


def files(name):
    arch = server.SERVERS[name]["arch"]
    return {"/guest/esp": server.image("esp", arch),
            **{at: os.path.join(server.image("package", arch, role), path)
               for at, (role, path) in FILES[name].items()}}


def parse(vmm, firmware, said):
    """{vmm, firmware, grub, kernel}: instructions; None: not got there, and
    "said" holds its last words"""
    def at(mark):
        found = re.search(rf"^@@AT (\d+) {re.escape(mark)}$", said, re.M)
        return int(found.group(1)) if found else None

    row = {"vmm": vmm, "firmware": firmware, "grub": at(GRUB),
           "kernel": at(KERNEL)}
    if not row["kernel"]:
        row["said"] = said[-2000:]
    return row


def show(name, rows):
    print(f"firmware in the emulated {name} server, 1 vCPU, 512 MiB, "
          "10^9 instructions to")
    print(f"  {'VMM':<14}{'firmware':<9}{'GRUB':>10}{'kernel':>10}")
    for row in rows:
        print(f"  {row['vmm']:<14}{row['firmware']:<9}" + "".join(
            f"{row[to] / 1e9:>10.3f}" if row[to] else f"{'-':>10}"
            for to in ("grub", "kernel")), flush=True)


def missed(name, rows):
    """Spandrel must need fewer than every other VMM for the same firmware."""
    found = []
    for ours in rows:
        firmware = ours["firmware"]
        if ours["vmm"] != "spandrel":
            continue
        if not ours["grub"] or not ours["kernel"]:
            found.append(f"{name}: {firmware} does not start the kernel")
            continue
        for to in ("grub", "kernel"):
            others = [r[to] for r in rows
                      if r["firmware"] == firmware and r is not ours]
            if firmware != "CLOUDHV" and not any(others):
                found.append(f"{name}: {firmware} has nothing beside it")
            elif min(filter(None, others), default=1 << 62) <= ours[to]:
                found.append(f"{name}: {firmware} to {to} is not the fewest")
    return found


def measure(name, out):
    """(rows, what missed its budget: the fewest)"""
    vmms = VMMS[name]
    marks = f"-m {shlex.quote(GRUB)} -m {shlex.quote(KERNEL)}"
    said = server.run(name, out, "guest", prepare(name),
                      [f"{marks} {command}" for _, _, command in vmms
                       for _ in ("warm", "run")], files(name))
    rows = [parse(vmm, firmware, text or "")
            for (vmm, firmware, _), text in zip(vmms, said[1::2])]
    show(name, rows)
    return rows, missed(name, rows)
