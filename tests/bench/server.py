# SPDX-License-Identifier: Apache-2.0
"""Several VMMs, one after the other, in one emulated server that counts
instructions."""
import os
import re
import shutil
import subprocess
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
IMAGE = os.path.join(HERE, "..", "images", "image")
HOST = os.path.join(HERE, "..", "hosts", "host")
LIMIT_S = 200  # virtual seconds: no VMM may hang the run
TIMEOUT_S = 1500  # of all VMMs in one server, real time
# An emulator that counts instructions now and then stands still, with a nested
# guest spinning, under any VMM. On a busy machine no VMM is silent for a third
# of it.
SILENCE_S = 400

# Without a timer that ends, the emulator has stood still with a busy guest.
HEARTBEAT = "(while sleep 0.1; do :; done) &"

# kernels: file in /guest: what tests/images/image makes
SERVERS = {
    "epyc": {"arch": "amd64", "isa": "x86_64", "qemu": "qemu-system-x86",
             "kernels": {"bzImage": "kernel", "vmlinux": "vmlinux"}},
    "arm": {"arch": "arm64", "isa": "arm64", "qemu": "qemu-system-arm",
            "kernels": {"Image": "kernel"}},
}


def host_isa():
    return os.uname().machine.replace("aarch64", "arm64")


def image(what, *args):
    return subprocess.run([IMAGE, what, *args], check=True,
                          stdout=subprocess.PIPE, text=True).stdout.strip()


def lkvm_files(server):
    """--add FILE:PATH for this machine's lkvm and its libraries; none if the
    server could not run it."""
    lkvm = shutil.which("lkvm")
    if not lkvm or SERVERS[server]["isa"] != host_isa():
        return []
    libraries = subprocess.run(["ldd", lkvm], stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, text=True).stdout
    paths = re.findall(r"(?:=> |^\s+)(/\S+)", libraries, re.M)
    return [f"{lkvm}:/bin/lkvm"] + [f"{path}:{path}" for path in paths]


def server_command(server, out, guest, script, more):
    facts = SERVERS[server]
    built = os.path.join(out, facts["isa"])
    command = [HOST, "-q", server, "--icount", "--memory", "3G",
               "--timeout", str(TIMEOUT_S), "--silence", str(SILENCE_S),
               "--cpio", image("programs", facts["arch"], facts["qemu"])]
    files = [f"{built}/spandrel:/bin/spandrel",
             f"{built}/bench/elapsed:/bin/elapsed",
             f"{built}/bench/requests:/bin/requests",
             f"{image(guest, facts['arch'])}:/guest/initramfs",
             f"{script}:/bench.sh"] + lkvm_files(server)
    files += [f"{image(what, facts['arch'])}:/guest/{name}"
              for name, what in facts["kernels"].items()]
    files += [f"{path}:{at}" for at, path in (more or {}).items()]
    for file in files:
        command += ["--add", file]
    return command + ["--", "sh", "/bench.sh"]


def attempt(server, out, guest, prepare, turns, files):
    """([what turn N said], what the server said): fewer turns if it stood
    still or died."""
    lines = [prepare]
    for command in turns:
        lines += ["echo @@VMM",
                  f"elapsed {LIMIT_S} {command} </dev/null 2>&1",
                  "echo; echo @@END"]
    with tempfile.NamedTemporaryFile("w", suffix=".sh") as script:
        script.write("\n".join(lines) + "\n")
        script.flush()
        done = subprocess.run(server_command(server, out, guest, script.name,
                                             files),
                              stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    text = done.stdout.decode("utf-8", "replace").replace("\r", "")
    return re.findall(r"^@@VMM\n(.*?)^@@END$", text, re.M | re.S), text


def run(server, out, guest, prepare, turns, files=None):
    """[what turn N said], for TURNS, command lines of VMMs, with elapsed's
    options before; None for those that two servers did not get to the end of.
    GUEST: the image of their initramfs, at /guest/initramfs; PREPARE: shell
    lines before; FILES: {path in the server: path here}."""
    said, text = attempt(server, out, guest, prepare, turns, files)
    if len(said) < len(turns):
        print(f"# the {server} server stood still, trying another: "
              f"{text[-300:]!r}", flush=True)
        said, text = attempt(server, out, guest, prepare, turns, files)
    if len(said) < len(turns):
        print(text[-4000:], flush=True)
    return said + [None] * (len(turns) - len(said))
