# SPDX-License-Identifier: Apache-2.0
"""
DOC: the three emulated servers: how each is started

Each class turns a Setup into a running emulator with two serial lines, the
console and the status line (tests/images/host-init), whose near ends the
caller reads. EPYC and Arm are QEMU's TCG, which emulates SVM and EL2. QEMU
emulates no VMX, so the Xeon is Bochs, which does: with one CPU, booted by GRUB
from a CD, and 10 times slower.

Limits: no network, no disk. Written for QEMU 7.2 and Bochs 2.7 (Debian 12).
"""

import os
import shutil
import socket
import subprocess
import tty

from errors import HostError

# Virtual time is 1 ns per instruction and begins here, 2026-01-01.
ICOUNT_EPOCH_S = 1767225600
BOCHS_IPS = 200000000

# loglevel: KVM reports each odd register that a guest touches at level 3.
COMMON_APPEND = "loglevel=3 panic=-1"


class Setup:
    """What the user asked for."""

    def __init__(self, cpus, memory_bytes, icount, interactive, work):
        self.cpus = cpus
        self.memory_bytes = memory_bytes
        self.icount = icount
        self.interactive = interactive
        self.work = work        # a folder that is deleted afterwards
        self.kernel = None      # path of the vmlinuz
        self.initramfs = None   # path of the whole initramfs

    def command_line(self, console, status, *more):
        words = [COMMON_APPEND, *more, f"host.console={console.split(',')[0]}",
                 f"host.status={status}"]
        if self.interactive:
            words.append("host.interactive")
        return " ".join([f"console={console}"] + words)


def find_program(name, package):
    path = shutil.which(name)
    if not path:
        raise HostError(f"{name} not found: apt-get install {package} "
                        "(or \"make deps\" for all that is needed)")
    return path


def die_with_parent():
    """In the child: do not outlive this script, however it ends."""
    import ctypes
    import signal
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def spawn(command, log, stdin=subprocess.DEVNULL, **options):
    return subprocess.Popen(command, stdin=stdin, stdout=log, stderr=log,
                            start_new_session=True,
                            preexec_fn=die_with_parent, **options)


class Qemu:
    """A server in QEMU. Subclasses say which."""

    smp = True

    def start(self, setup, log):
        """(process, console descriptor, status descriptor)"""
        console, console_far = socket.socketpair()
        status, status_far = socket.socketpair()
        command = [find_program(self.program, self.package),
                   *self.machine, "-nodefaults", "-display", "none",
                   "-no-reboot", "-nic", "none",
                   "-m", f"{setup.memory_bytes >> 20}M",
                   "-kernel", setup.kernel, "-initrd", setup.initramfs,
                   "-chardev", f"socket,id=console,fd={console_far.fileno()}",
                   "-chardev", f"socket,id=status,fd={status_far.fileno()}",
                   "-serial", "chardev:console", *self.status_device]
        append = []
        if setup.icount:
            command += ["-accel", "tcg", "-icount", "shift=0,sleep=off",
                        "-rtc", "base=2026-01-01,clock=vm", "-smp", "1"]
            append.append("nokaslr")
        else:
            command += ["-accel", "tcg,thread=multi", "-smp", str(setup.cpus)]
        command += ["-append", setup.command_line(self.console, self.status,
                                            *append)]
        process = spawn(command, log, pass_fds=(console_far.fileno(),
                                                status_far.fileno()))
        console_far.close()
        status_far.close()
        return process, console.detach(), status.detach()


class Epyc(Qemu):
    title = "AMD EPYC (SVM) in QEMU"
    arch = "amd64"
    # With 2 CPUs, QEMU 7.2 now and then runs an int3 that Linux has patched
    # into KVM's code and out again: about 1 run in 6 with SMP guests dies.
    # One CPU at a time (thread=single) hangs with nested guests.
    cpus = 1
    usual_boot = "4 to 10 s"
    timeout_s = 600
    program = "qemu-system-x86_64"
    package = "qemu-system-x86"
    # Without cmpxchg16b, because QEMU 7.2 computes its flags from a stale
    # cc_op: an interrupt right after it then saves wild EFLAGS, and the host's
    # or the guest's kernel dies of a double fault in kmalloc now and then.
    machine = ("-machine", "q35", "-cpu", "EPYC,+svm,+npt,-cx16")
    console = "ttyS0"
    status = "ttyS1"
    status_device = ("-serial", "chardev:status")


class Arm(Qemu):
    title = "Arm (EL2, GICv3) in QEMU"
    arch = "arm64"
    cpus = 2
    usual_boot = "2 to 6 s"
    timeout_s = 600
    program = "qemu-system-aarch64"
    package = "qemu-system-arm"
    machine = ("-machine", "virt,virtualization=on,gic-version=3",
               "-cpu", "max,pauth-impdef=on")
    console = "ttyAMA0"
    status = "hvc0"
    status_device = ("-device", "virtio-serial-pci",
                     "-device", "virtconsole,chardev=status")


class Xeon:
    """A Skylake-X with VMX in Bochs. Its clock always counts instructions."""

    title = "Intel Xeon (VMX) in Bochs"
    arch = "amd64"
    cpus = 1
    usual_boot = "45 to 75 s"
    timeout_s = 1800
    smp = False
    append = ("nokaslr", "tsc=unstable", "mitigations=off")

    def start(self, setup, log):
        """(process, console descriptor, status descriptor)"""
        program = find_program("bochs", "bochs bochs-term bochsbios vgabios")
        lines = []
        for _ in range(3):      # console, status, Bochs's own screen
            near, far = os.openpty()
            tty.setraw(far)
            lines.append((near, far, os.ttyname(far)))
        self._write_bochsrc(setup, lines[0][2], lines[1][2],
                            self._make_cd(setup), log.name)
        with open(f"{setup.work}/debugger", "w") as file:
            file.write("c\n")   # Debian's Bochs stops in its debugger first
        screen = lines[2]
        process = spawn([program, "-f", f"{setup.work}/bochsrc",
                         "-rc", f"{setup.work}/debugger"], screen[1],
                        stdin=screen[1], cwd=setup.work,
                        env=dict(os.environ, TERM="vt100"))
        os.close(screen[1])
        self.screen = screen[0]     # the caller must keep reading it
        # The far ends stay open: Bochs may open its own a little later.
        return process, lines[0][0], lines[1][0]

    def _make_cd(self, setup):
        grub = find_program("grub-mkrescue",
                            "grub-common grub-pc-bin xorriso mtools")
        find_program("xorriso", "xorriso")
        find_program("mformat", "mtools")
        if not os.path.isdir("/usr/lib/grub/i386-pc"):
            raise HostError("GRUB for a BIOS not found: apt-get install "
                            "grub-pc-bin")
        tree = f"{setup.work}/cd"
        os.makedirs(f"{tree}/boot/grub")
        shutil.copyfile(setup.kernel, f"{tree}/boot/vmlinuz")
        os.link(setup.initramfs, f"{tree}/boot/initramfs")
        append = setup.command_line("ttyS0,115200", "ttyS1", *self.append)
        with open(f"{tree}/boot/grub/grub.cfg", "w") as file:
            file.write(f"linux /boot/vmlinuz {append}\n"
                       "initrd /boot/initramfs\nboot\n")
        iso = f"{setup.work}/cd.iso"
        done = subprocess.run([grub, "-d", "/usr/lib/grub/i386-pc", "-o", iso,
                               tree], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            raise HostError(f"grub-mkrescue failed: {done.stdout.strip()}")
        return iso

    @staticmethod
    def _write_bochsrc(setup, console, status, iso, log):
        memory = setup.memory_bytes >> 20
        time0 = ICOUNT_EPOCH_S if setup.icount else "utc"
        with open(f"{setup.work}/bochsrc", "w") as file:
            file.write(f"""\
display_library: term
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/vgabios/vgabios.bin
cpu: model=corei7_skylake_x, count=1, ips={BOCHS_IPS}, reset_on_triple_fault=0
memory: guest={memory}, host={memory}
ata0-master: type=cdrom, path={iso}, status=inserted
boot: cdrom
clock: sync=none, time0={time0}
com1: enabled=1, mode=term, dev={console}
com2: enabled=1, mode=term, dev={status}
sound: driver=dummy
log: {log}
panic: action=report
error: action=ignore
info: action=ignore
debug: action=ignore
""")


SERVERS = {"epyc": Epyc, "xeon": Xeon, "arm": Arm}
