# SPDX-License-Identifier: Apache-2.0
"""What one request takes, in instructions of guest, VMM and server together:
4 KiB read and written, and a datagram there and back over a tap. One vCPU, one
request in flight, the same kernel, initramfs, disk and tap for all VMMs."""
import re

import server

COUNT = 2000
TAP, GUEST, PORT = "192.168.79.1", "192.168.79.2", 7007
WHATS = ("read", "write", "ask")
TITLES = {"read": "4 KiB read", "write": "4 KiB write", "ask": "round trip"}

PREPARE = f"""
modprobe tun
tunctl -t tap0 >/dev/null
ip addr add {TAP}/24 dev tap0
ip link set tap0 up
dd if=/dev/urandom of=/disk bs=1M count=64 2>/dev/null
requests answer {PORT} &
{server.HEARTBEAT}
"""
# Each of these in a server of its own.
PARTS = (f"disk_requests:read:vda:{COUNT},disk_requests:write:vda:{COUNT}",
         f"net:eth0:{GUEST}/24:1500,net_requests:{TAP}:{PORT}:{COUNT}")
CMDLINE = "quiet panic=-1 console={console} spandrel.test={words}"
SPANDREL = ("spandrel --kernel /guest/{kernel} --initramfs /guest/initramfs "
            "--cpus boot=1 --memory size=512M --serial tty --console off "
            "--disk path=/disk --net tap=tap0 --cmdline '" + CMDLINE + "'")
QEMU = ("{program} -M {machine} -accel kvm -cpu host -m 512 -smp 1 "
        "-nodefaults -nographic -serial stdio -no-reboot "
        "-kernel /guest/{kernel} -initrd /guest/initramfs "
        "-netdev tap,id=n,ifname=tap0,script=no,downscript=no "
        "-device virtio-net-pci,netdev=n "
        "-drive if=none,id=d,file=/disk,format=raw{drive} "
        "-device virtio-blk-pci,drive=d{disk} {more}"
        "-append '" + CMDLINE + "'")
PLAIN = {"drive": "", "disk": "", "more": ""}
IOTHREAD = {"drive": ",aio=io_uring", "disk": ",iothread=t",
            "more": "-object iothread,id=t "}
FACTS = {
    "epyc": {"kernel": "vmlinux", "console": "ttyS0", "machine": "q35",
             "program": "qemu-system-x86_64"},
    "arm": {"kernel": "Image", "console": "ttyAMA0",
            "machine": "virt,gic-version=3", "program": "qemu-system-aarch64"},
}


def turns(name):
    """[(VMM, command line)]; the I/O thread is the disk's alone."""
    facts = FACTS[name]
    rows = [("spandrel", SPANDREL.format(**facts, words=words))
            for words in PARTS]
    rows += [("QEMU", QEMU.format(**facts, **PLAIN, words=words))
             for words in PARTS]
    return rows + [("QEMU, iothread, io_uring",
                    QEMU.format(**facts, **IOTHREAD, words=PARTS[0]))]


def parse(said):
    """{what: instructions}; empty if the guest did not get that far"""
    return {what: int(count) for what, count in
            re.findall(r"REQUESTS (\w+) (\d+)$", said, re.M)}


def show(name, rows):
    print(f"a request in the emulated {name} server, Debian cloud kernel, "
          "1 vCPU, virtio-pci, 10^3 instructions")
    print(f"  {'VMM':<26}" + "".join(f"{TITLES[w]:>13}" for w in WHATS))
    for vmm, counts in rows.items():
        print(f"  {vmm:<26}" + "".join(
            f"{counts[w] / 1000:>13.1f}" if w in counts else f"{'-':>13}"
            for w in WHATS), flush=True)


def measure(name, out):
    """({VMM: {what: instructions}}, what missed its budget: the fewest)"""
    rows = {}
    for vmm, command in turns(name):
        said = server.run(name, out, "guest-full", PREPARE, [command])[0]
        rows.setdefault(vmm, {}).update(parse(said or ""))
    show(name, rows)
    missed = []
    for what in WHATS:
        if what not in rows["spandrel"]:
            missed.append(f"{name}: no {TITLES[what]} of Spandrel's")
            continue
        others = [r[what] for vmm, r in rows.items()
                  if vmm != "spandrel" and what in r]
        if not others:
            missed.append(f"{name}: {TITLES[what]} has nothing beside it")
        elif min(others) <= rows["spandrel"][what]:
            missed.append(f"{name}: {TITLES[what]} is not the fewest")
    return rows, missed
