# SPDX-License-Identifier: Apache-2.0
"""
DOC: `spandrel device blk` beside qemu-storage-daemon

The same client (libblkio, tests/interop), the same file, turn by turn: random
4 KiB reads and writes with 1 and 32 in flight on 1 and 2 queues, on tmpfs and
on disk. A turn is a fresh server and SECONDS of load; the ratio of the two is
taken turn by turn and its median counts, since what else happens on the machine
hits both. CPU is that of the server's process for a request.

qcow2 over raw is measured the same way, Spandrel against itself.
"""
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "interop"))
import blkio  # noqa: E402

SECONDS = 1
TURNS = 5
IMAGE_BYTES = 256 << 20
START_S = 10
END_S = 10
TICK = os.sysconf("SC_CLK_TCK")
IOPS_RATIO_MIN = 1.2
CPU_RATIO_MAX = 1.0
QCOW2_RATIO_MAX = 1.15


def spandrel(program, image, kind, socket):
    return [program, "device", "blk", "--socket", socket, "--disk",
            f"path={image},image_type={kind},num_queues=2"]


def storage_daemon(_, image, kind, socket):
    return ["qemu-storage-daemon", "--blockdev",
            f"driver=file,node-name=file,filename={image},aio=io_uring,"
            "discard=unmap", "--blockdev",
            f"driver={kind},node-name=disk,file=file,discard=unmap",
            "--object", "iothread,id=io", "--export",
            "type=vhost-user-blk,id=e,node-name=disk,writable=on,"
            f"num-queues=2,iothread=io,addr.type=unix,addr.path={socket}"]


def cpu_s(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def stop(process):
    """qemu-storage-daemon 7.2 does not always end when it is asked to."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def turn(command, socket, client, load):
    """(requests per second, CPU microseconds per request)"""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + START_S
        while not os.path.exists(socket) and time.monotonic() < end:
            time.sleep(0.01)
        before = cpu_s(process.pid)
        done = subprocess.run([*client, "load", socket, *load, str(SECONDS)],
                              stdout=subprocess.PIPE, text=True, timeout=60)
        spent = cpu_s(process.pid) - before
        requests, seconds, errors = done.stdout.split()
        if int(errors):
            sys.exit(f"bench: {command[0]}: {errors} requests failed")
        return int(requests) / float(seconds), spent / int(requests) * 1e6
    finally:
        stop(process)
        if os.path.exists(socket):
            os.unlink(socket)


def compare(one, other, socket, client, load):
    """Medians: rates of both, ratio of rates, CPU of both, ratio of CPU."""
    rows = [(turn(one, socket, client, load),
             turn(other, socket, client, load))
            for _ in range(TURNS)]
    median = statistics.median
    return {"iops": median(a[0] for a, _ in rows),
            "iops_other": median(b[0] for _, b in rows),
            "iops_ratio": median(a[0] / b[0] for a, b in rows),
            "cpu_us": median(a[1] for a, _ in rows),
            "cpu_us_other": median(b[1] for _, b in rows),
            "cpu_ratio": median(a[1] / max(b[1], 1e-9) for a, b in rows)}


def make_image(folder, kind):
    image = f"{folder}/disk.{kind}"
    raw = f"{folder}/filled"
    with open(raw, "wb") as file:
        for _ in range(IMAGE_BYTES >> 20):
            file.write(os.urandom(1 << 20))
    subprocess.run(["qemu-img", "convert", "-O", kind, raw, image], check=True)
    os.unlink(raw)
    # Or its way to the disk would be part of the first rows.
    subprocess.run(["sync", "-f", image], check=True)
    return image


def show(title, r):
    print(f"  {title:<34}{r['iops']:>9.0f}{r['iops_other']:>10.0f}"
          f"{r['iops_ratio']:>7.2f}{r['cpu_us']:>9.2f}{r['cpu_us_other']:>9.2f}"
          f"{r['cpu_ratio']:>7.2f}", flush=True)


def measure_place(name, folder, program, client, results):
    image = make_image(folder, "raw")
    ours = spandrel(program, image, "raw", f"{folder}/s")
    theirs = storage_daemon(program, image, "raw", f"{folder}/s")
    for what in ("read", "write"):
        for depth in (1, 32):
            for queues in (1, 2):
                r = compare(ours, theirs, f"{folder}/s", client,
                            (what, str(depth), str(queues)))
                title = f"{name}, {what}, {depth} in flight, {queues} queue" \
                        f"{'s' * (queues > 1)}"
                results[title] = r
                show(title, r)


def measure(out, program):
    """{title: figures}, and what missed its budget"""
    client = blkio.client(out)
    results, missed = {}, []
    print(f"  {'vhost-user-blk, 4 KiB random':<34}{'Spandrel':>9}{'qemu-s-d':>10}"
          f"{'ratio':>7}{'us CPU':>9}{'':>9}{'ratio':>7}")
    for name, parent in (("tmpfs", "/dev/shm"), ("disk", out)):
        folder = tempfile.mkdtemp(prefix="bench-", dir=parent)
        try:
            measure_place(name, folder, program, client, results)
            if name == "tmpfs":
                qcow2 = compare(
                    spandrel(program, f"{folder}/disk.raw", "raw",
                             f"{folder}/s"),
                    spandrel(program, make_image(folder, "qcow2"), "qcow2",
                             f"{folder}/s"),
                    f"{folder}/s", client, ("read", "32", "1"))
        finally:
            shutil.rmtree(folder)
    show("raw over qcow2, read, 32 in flight", qcow2)
    results["qcow2"] = qcow2
    for title, r in results.items():
        if title == "qcow2":
            continue
        if r["iops_ratio"] < IOPS_RATIO_MIN:
            missed.append(f"{title}: {r['iops_ratio']:.2f} x the requests")
        if r["cpu_ratio"] > CPU_RATIO_MAX:
            missed.append(f"{title}: {r['cpu_ratio']:.2f} x the CPU")
    if qcow2["iops_ratio"] > QCOW2_RATIO_MAX:
        missed.append(f"qcow2: {qcow2['iops_ratio']:.2f} x slower than raw")
    return results, missed
