# SPDX-License-Identifier: Apache-2.0
"""
DOC: User Mode Linux as a vhost-user client that is not ours

A Linux kernel that is an ordinary program, with the drivers that guests have
(virtio_net, virtio_blk) and a transport that speaks vhost-user (virtio_uml). It
needs neither /dev/kvm nor root and boots in a second. The kernel is Debian's
package user-mode-linux, of this machine's own suite as it is linked with the C
library, unpacked in a folder of its own. Its root is this machine's, read-only
(hostfs), and a shell script is its init.

Two faults of virtio_uml (Linux 6.1 to 6.12) would hide what is to be seen, so
a relay stands between it and the back end. It takes packed rings where they are
offered, but has them begin at 0 with both wrap counters 0 (SET_VRING_BASE),
which is the middle of a ring's life: the relay hides them. And it has no
interrupt for a back end that makes no requests of its own (passt): the relay
offers them and answers that question itself. Messages alone pass through it;
rings, kicks and calls do not.
"""
import contextlib
import glob
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "images"))
import blkio  # noqa: E402
import debian  # noqa: E402

MODULES = ("net/core/failover.ko", "drivers/net/net_failover.ko",
           "drivers/net/virtio_net.ko")
VIRTIO_ID_NET = 1
RING_PACKED = 1 << 34
P_BACKEND_REQ = 1 << 5
# vhost-user's requests
GET_FEATURES, GET_PROTOCOL, SET_PROTOCOL, SET_BACKEND_REQ_FD = 1, 15, 16, 21
REPLY = 1 << 2
HEADER = struct.Struct("=III")    # request, flags, bytes that follow
FDS_MAX = 8
MEMORY = "256M"


def supported():
    """Debian has it for this machine."""
    return os.uname().machine == "x86_64"


def kernel(out):
    """(program, [module])"""
    root = blkio.tree(out, "uml", ["user-mode-linux"],
                      lambda deb: "/user-mode-linux_" in deb,
                      sorted(debian.machine_suites(), key=len, reverse=True))
    modules = glob.glob(f"{root}/usr/lib/uml/modules/*/kernel")[0]
    return (f"{root}/usr/bin/linux.uml",
            [f"{modules}/{name}" for name in MODULES])


class Relay:
    """Listens at PATH and passes messages on to the back end at SOCKET, in a
    thread of its own, until one of the two goes."""

    def __init__(self, path, target):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(1)
        self.target, self.kept = target, []
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    @staticmethod
    def _changed(request, flags, data):
        """What is passed on for the payload DATA; None: nothing is."""
        value = int.from_bytes(data, "little")
        if request == GET_FEATURES and flags & REPLY:
            value &= ~RING_PACKED
        elif request == GET_PROTOCOL and flags & REPLY:
            value |= P_BACKEND_REQ
        elif request == SET_PROTOCOL and not flags & REPLY:
            value &= ~P_BACKEND_REQ
        elif request == SET_BACKEND_REQ_FD:
            return None
        return value.to_bytes(len(data), "little")

    def _pass(self, source, sink):
        """One message. Return: was there one?"""
        head, fds, _, _ = socket.recv_fds(source, HEADER.size, FDS_MAX,
                                          socket.MSG_WAITALL)
        try:
            if len(head) < HEADER.size:
                return False
            request, flags, count = HEADER.unpack(head)
            data = source.recv(count, socket.MSG_WAITALL) if count else b""
            data = self._changed(request, flags, data)
            if data is not None:
                socket.send_fds(sink, [head, data], fds)
            else:
                # An end of it that is closed would end the connection.
                self.kept, fds = fds, []
                source.sendall(HEADER.pack(request, 1 | REPLY, 8) + bytes(8))
            return True
        finally:
            for fd in fds:
                os.close(fd)

    def _run(self):
        with contextlib.suppress(OSError), self.listener:
            front, _ = self.listener.accept()
            back = socket.socket(socket.AF_UNIX)
            with front, back:
                back.connect(self.target)
                other = {front: back, back: front}
                while all(self._pass(ready, other[ready]) for ready in
                          select.select([front, back], [], [])[0]):
                    pass
        for fd in self.kept:
            os.close(fd)


def end_group(process):
    """The kernel and its processes, which are a session of their own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def run(out, target, script, timeout_s):
    """What SCRIPT has printed, in a kernel with a network card that is served
    at the socket TARGET; all that the kernel has said if it has not ended."""
    program, modules = kernel(out)
    with tempfile.TemporaryDirectory(prefix="spandrel-uml-") as folder:
        Relay(f"{folder}/s", target)
        with open(f"{folder}/init", "w") as file:
            file.write("#!/bin/sh\nmount -t proc proc /proc\n"
                       "mount -t sysfs sysfs /sys\n" +
                       "".join(f"insmod {name}\n" for name in modules) +
                       f"echo @@BEGIN\n{script}\necho @@END\n"
                       "echo o > /proc/sysrq-trigger\nsleep 9\n")
        os.chmod(f"{folder}/init", 0o755)
        with open(f"{folder}/log", "w+b") as log:
            process = subprocess.Popen(
                [program, f"mem={MEMORY}", "root=/dev/root",
                 "rootfstype=hostfs", "ro", f"init={folder}/init",
                 "con=null", "con0=null,fd:1", "umid=guest",
                 f"uml_dir={folder}",
                 f"virtio_uml.device={folder}/s:{VIRTIO_ID_NET}"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout_s)
            end_group(process)
            log.seek(0)
            said = log.read().decode("utf-8", "replace").replace("\r", "")
    inside = said.partition("@@BEGIN\n")[2].partition("@@END")
    return inside[0] if inside[1] else said
