# SPDX-License-Identifier: Apache-2.0
"""
DOC: DPDK's testpmd with a virtio-user port, as a command

It comes from the newest Debian suite that has it, unpacked in a folder of its
own and run with the C library of that suite, as libblkio is (blkio.py). Its
memory is a memfd (--no-huge), so that it needs neither huge pages nor root.
"""
import glob
import os
import subprocess

from blkio import loaded, tree

PLUGINS = ("librte_bus_vdev", "librte_mempool_ring", "librte_net_virtio")
MEMORY_MIB = 256
EXIT_S = 20


def needed(deb):
    """dpdk-dev has testpmd; the headers of others are not needed."""
    name = os.path.basename(deb).split("_")[0]
    return name == "dpdk-dev" or not name.endswith("-dev")


def command(out, plugins=PLUGINS):
    """The beginning of it, as a list: the program and its plugins."""
    root = tree(out, "dpdk", ["dpdk-dev"], needed)
    folder = glob.glob(f"{root}/usr/lib/*/dpdk/pmds-*")[0]
    return [*loaded(root, folder), f"{root}/usr/bin/dpdk-testpmd",
            *(word for name in plugins for word in
              ("-d", min(glob.glob(f"{folder}/{name}.so.*"))))]


class Testpmd:
    """testpmd on a vhost-user socket, forwarding in MODE as soon as it can.
    "io" with one port sends back what comes; --tx-first says that it can. It is
    a client, or with BACK_END listens there and serves."""

    def __init__(self, start, log, socket, mode, queues=1, *options,
                 back_end=False):
        user = (f"--vdev=net_virtio_user0,path={socket},queues={queues},"
                f"mac=52:54:00:00:00:09" + (",cq=1" if queues > 1 else ""))
        vhost = f"--vdev=net_vhost0,iface={socket},queues={queues}"
        port = vhost if back_end else user
        # Else it starts when somebody has been there for a while.
        if back_end:
            options += ("--disable-link-check",)
        self.log = log
        self.process = subprocess.Popen(
            [*start, "-l", "0,1", "--no-huge", "-m", str(MEMORY_MIB),
             "--no-pci", "--no-telemetry", "--no-shconf", port, "--",
             f"--forward-mode={mode}", f"--rxq={queues}", f"--txq={queues}",
             "--nb-cores=1", "--total-num-mbufs=4096", "--no-mlockall",
             "--auto-start", *options],
            stdin=subprocess.PIPE, stdout=log, stderr=log)

    def end(self):
        """What it said, its counts last. It waits for the enter key."""
        try:
            self.process.communicate(b"\n", EXIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.seek(0)
        return self.log.read().decode("utf-8", "replace")
