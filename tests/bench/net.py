#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
DOC: `spandrel device net` beside DPDK's vhost port and beside passt

All of it in a network namespace of its own, turn by turn, ratios turn by turn,
medians, as in disk.py; a turn is a fresh server and a fresh client.

packets: the client is DPDK's testpmd with virtio-user, which polls on one CPU.
Either server is one thread between its ring and a tap: Spandrel's, or testpmd
with the ports net_vhost and net_tap, which polls on another CPU while Spandrel
sleeps when there is nothing to do. "to a tap": the client sends what it can,
the tap counts what arrives. "there and back": the tap belongs to a bridge whose
hairpin mode sends all back, and the client sends on what it gets back, BURST
packets in all; the tap counts what leaves it.

iperf3: the client is a Linux kernel with its own virtio_net (User Mode Linux,
tests/interop/uml.py), one TCP connection, the server the host: through
Spandrel's tap, or through passt. Both have the same MTU: once Ethernet's, once
the one that passt tells its guests by DHCP, which makes up for its offering
them no segmentation.
"""
import contextlib
import fcntl
import json
import os
import re
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "interop"))
import blkio  # noqa: E402
import testpmd  # noqa: E402
import uml  # noqa: E402
from disk import cpu_s, stop  # noqa: E402

OWN_NETWORK = ("unshare", "--user", "--map-root-user", "--net")
TURNS = 5
SECONDS = 1.5
SETTLE_S = 0.5
IPERF_S = 2
START_S = 10
GUEST_S = 60
BURST = 128
IPERF_PORT = 5201
SIOCGIFFLAGS = 0x8913
TAP, BRIDGE = "vu0", "br0"
HOST, GUEST = "192.168.79.1", "192.168.79.2"
TOOLS, TOOL_PACKAGES = "nettools", ("iperf3", "passt")
MTUS = (1500, 65520)
IPERF_RATIO_MIN = 1.0


@contextlib.contextmanager
def started(command, ready, what):
    """A server that runs from when READY() says so."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log,
                                   stderr=log)
        try:
            until = time.monotonic() + START_S
            while not ready() and process.poll() is None and \
                    time.monotonic() < until:
                time.sleep(0.01)
            if not ready():
                log.seek(0)
                sys.exit(f"bench: {what} does not start: "
                         f"{log.read().decode('utf-8', 'replace')[-800:]}")
            yield process
        finally:
            stop(process)


def run(*command):
    subprocess.run(command, check=True)


# ---- packets ---------------------------------------------------------------

def count(what):
    """Packets that the tap has taken from its owner (rx) or given it (tx)."""
    with open("/proc/net/dev", encoding="ascii") as file:
        found = re.search(rf"^ *{TAP}:(.*)", file.read(), re.M)
    return int(found.group(1).split()[{"rx": 1, "tx": 9}[what]])


def spandrel_port(program, _, path):
    return [program, "device", "net", "--socket", path, "--net",
            f"tap={TAP}"]


def dpdk_port(_, start, path):
    """Its main thread sleeps on CPU 1, where the client polls."""
    return [*start, "-l", "0,1", "--main-lcore=1", "--no-huge", "-m", "256",
            "--no-pci", "--no-telemetry", "--no-shconf",
            f"--vdev=net_vhost0,iface={path}",
            f"--vdev=net_tap0,iface={TAP}", "--", "--forward-mode=io",
            "--nb-cores=1", "--total-num-mbufs=4096", "--no-mlockall",
            "--auto-start"]


def tap_is_up():
    with socket.socket() as any_socket, contextlib.suppress(OSError):
        flags = fcntl.ioctl(any_socket, SIOCGIFFLAGS,
                            struct.pack("16sH14x", TAP.encode(), 0))
        return bool(struct.unpack("16xH14x", flags)[0] & 1)
    return False


def reflect():
    """Send all that the tap's owner sends back to it."""
    run("ip", "link", "set", TAP, "master", BRIDGE)
    run("bridge", "link", "set", "dev", TAP, "hairpin", "on", "learning",
        "off", "flood", "on")


def forget(path):
    """A socket that an earlier server left does not say that one listens."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def packets_turn(server, start, path, size, back):
    """Packets per second."""
    forget(path)
    with started(server, lambda: os.path.exists(path) and tap_is_up(),
                 server[0]), tempfile.TemporaryFile() as log:
        if back:
            reflect()
        what = "tx" if back else "rx"
        client = testpmd.Testpmd(start, log, path, "io" if back else "txonly",
                                 1, f"--txpkts={size}",
                                 f"--burst={BURST}",
                                 *(["--tx-first"] if back else []))
        try:
            until = time.monotonic() + START_S
            while count(what) < 1000 and time.monotonic() < until:
                time.sleep(0.01)
            time.sleep(SETTLE_S)
            before, begin = count(what), time.monotonic()
            time.sleep(SECONDS)
            return (count(what) - before) / (time.monotonic() - begin)
        finally:
            said = client.end()
            if count(what) < 1000:
                sys.exit(f"bench: no packets: {said[-800:]}")


def packets(out, program, folder, show):
    start = testpmd.command(out, testpmd.PLUGINS + ("librte_net_vhost",
                                                    "librte_net_tap"))
    path = f"{folder}/s"
    ours, theirs = (port(program, start, path)
                    for port in (spandrel_port, dpdk_port))
    run("ip", "link", "add", BRIDGE, "type", "bridge")
    run("ip", "link", "set", BRIDGE, "up")
    for back in (False, True):
        for size in (64, 1500):
            rows = [[packets_turn(server, start, path, size, back)
                     for server in (ours, theirs)] for _ in range(TURNS)]
            show(f"{size} bytes, {'there and back' if back else 'to a tap'}",
                 rows, "DPDK", 1e3)


# ---- iperf3 ----------------------------------------------------------------

def passt(tools, path):
    """In a network without interfaces it makes up an address of its own; we
    have one."""
    with open("/proc/cpuinfo", encoding="ascii") as file:
        avx2 = " avx2" in file.read()
    return [*blkio.loaded(tools),
            f"{tools}/usr/bin/passt{'.avx2' if avx2 else ''}", "--vhost-user",
            "--foreground", "--socket", path, "--map-host-loopback", HOST]


def spandrel_tap(program, path, mtu):
    return [*spandrel_port(program, None, path)[:-1],
            f"tap={TAP},ip={HOST},mask=255.255.255.0,mtu={mtu}"]


def iperf_turn(out, server, iperf, path, mtu):
    """((bits a second to the host, from it), microseconds of the server's CPU
    for a MB)"""
    client = " ".join((*iperf, "-c", HOST, "-J", "-t", str(IPERF_S)))
    script = "\n".join((
        "mount -t tmpfs none /tmp",
        f"ip link set eth0 mtu {mtu} up", f"ip addr add {GUEST}/24 dev eth0",
        client, "echo @@", f"{client} -R"))
    forget(path)
    with started(server, lambda: os.path.exists(path), server[0]) as process:
        before = cpu_s(process.pid)
        said = uml.run(out, path, script, GUEST_S)
        spent = cpu_s(process.pid) - before
    try:
        sums = [json.loads(text)["end"]["sum_received"]
                for text in said.split("@@\n")]
    except (ValueError, KeyError):
        sys.exit(f"bench: iperf3: {said[-800:]}")
    return ([s["bits_per_second"] for s in sums],
            spent * 1e12 / sum(s["bytes"] for s in sums))


def throughput(out, program, folder, show):
    tools = blkio.tree(out, TOOLS, TOOL_PACKAGES)
    iperf = [*blkio.loaded(tools), f"{tools}/usr/bin/iperf3"]
    run("ip", "link", "set", "lo", "up")
    path = f"{folder}/s"
    with started([*iperf, "-s", "--forceflush"], lambda: listens(IPERF_PORT),
                 "iperf3"):
        for mtu in MTUS:
            show_iperf(mtu, show, [[
                iperf_turn(out, server, iperf, path, mtu)
                for server in (spandrel_tap(program, path, mtu),
                               passt(tools, path))] for _ in range(TURNS)])


def show_iperf(mtu, show, rows):
    for at, way in enumerate(("guest to host", "host to guest")):
        show(f"iperf3, MTU {mtu}, {way}",
             [[one[0][at] for one in row] for row in rows], "passt", 1e6)
    show(f"iperf3, MTU {mtu}, us of CPU a MB",
         [[one[1] for one in row] for row in rows], "passt", 1)


def listens(port):
    with open("/proc/net/tcp6", encoding="ascii") as file:
        return re.search(rf":{port:04X} \S+ 0A", file.read())


# ---- both ------------------------------------------------------------------

def fetch(out):
    """There is no network but our own inside."""
    testpmd.command(out)
    if uml.supported():
        uml.kernel(out)
        blkio.tree(out, TOOLS, TOOL_PACKAGES)


def inside(out, program):
    """What runs in the namespace: a line of JSON for each row."""
    def show(title, rows, other, unit):
        print(json.dumps({
            "title": title, "other": other,
            "spandrel": statistics.median(a for a, _ in rows) / unit,
            "theirs": statistics.median(b for _, b in rows) / unit,
            "ratio": statistics.median(a / b for a, b in rows)}), flush=True)

    with tempfile.TemporaryDirectory(prefix="spandrel-net-") as folder:
        packets(out, program, folder, show)
        if uml.supported():
            throughput(out, program, folder, show)


def measure(out, program):
    """{title: figures}, and what missed its budget"""
    if subprocess.run([*OWN_NETWORK, "sh", "-c", ": <>/dev/net/tun"],
                      stderr=subprocess.DEVNULL).returncode != 0:
        print("net: not measured, no network namespace with /dev/net/tun")
        return {}, []
    fetch(out)
    results, missed = {}, []
    print(f"  {'vhost-user-net, 1000 packets/s, Mbit/s':<40}{'Spandrel':>9}"
          f"{'other':>10}{'ratio':>7}", flush=True)
    with subprocess.Popen([*OWN_NETWORK, sys.executable, __file__, out,
                           program], stdout=subprocess.PIPE,
                          text=True) as process:
        for line in process.stdout:
            r = json.loads(line)
            results[r["title"]] = r
            print(f"  {r['title']:<40}{r['spandrel']:>9.0f}"
                  f"{r['theirs']:>10.0f}{r['ratio']:>7.2f}  {r['other']}",
                  flush=True)
            if "host" in r["title"] and r["ratio"] < IPERF_RATIO_MIN:
                missed.append(f"{r['title']}: {r['ratio']:.2f} x passt")
    if process.returncode:
        missed.append("net: not everything was measured")
    return results, missed


if __name__ == "__main__":
    inside(*sys.argv[1:])
