# SPDX-License-Identifier: Apache-2.0
"""
DOC: the caller's side of an emulated server's serial lines

One loop passes the console to standard output and, when that is a terminal,
the keyboard to the console; reads the status line; and watches the emulator
and the clock.

A server that says nothing gets a byte on its status line now and then, which
interrupts it and does nothing else. QEMU up to 7.2 needs that: VMRUN and
#VMEXIT of an emulated SVM (target/i386/tcg/sysemu/svm_helper.c) change the
CPU's pending interrupts without a lock, so that an interrupt that a timer
raises at the same instant is lost. It still stands in the local APIC, as a
server in HLT showed, and is delivered with the next one; when it was the
server's own timer, there would be no next one.

Keys: Ctrl-A x ends the server, Ctrl-A Ctrl-A sends one Ctrl-A.
"""

import contextlib
import os
import selectors
import termios
import time
import tty

from errors import (HostError, STATUS_INTERRUPTED, STATUS_SERVER,
                    STATUS_TIMEOUT)

ESCAPE = 0x01           # Ctrl-A
CHUNK_BYTES = 65536
NUDGE_S = 5             # a server silent so long may have lost its timer
QUIET_S = 0.2           # a console that is silent so long has said all,
DRAIN_S = 10            # but is not listened to longer than this


def is_interactive():
    """Is there somebody at a terminal, who waits for us?"""
    return (os.isatty(0) and os.isatty(1) and
            os.tcgetpgrp(0) == os.getpgrp())


@contextlib.contextmanager
def raw_terminal(wanted):
    if not wanted:
        yield
        return
    saved = termios.tcgetattr(0)
    try:
        tty.setraw(0)
        yield
    finally:
        termios.tcsetattr(0, termios.TCSAFLUSH, saved)


class Keyboard:
    """What of the keys pressed goes to the console."""

    def __init__(self):
        self.escaped = False

    def filter(self, data):
        out = bytearray()
        for byte in data:
            if not self.escaped and byte == ESCAPE:
                self.escaped = True
                continue
            if self.escaped and byte in b"xX":
                raise HostError("ended with Ctrl-A x", STATUS_INTERRUPTED)
            self.escaped = False
            out.append(byte)
        return bytes(out)


class LineEnds:
    """Makes the console's CR LF (often CR CR LF) the LF that files have."""

    def __init__(self):
        self.held = b""

    def filter(self, data):
        data = self.held + data
        body = data.rstrip(b"\r")
        self.held = data[len(body):]
        while b"\r\n" in body:
            body = body.replace(b"\r\n", b"\n")
        return body


class Relay:
    """Runs one server to its end. Threads: none."""

    def __init__(self, server, process, console, status, say):
        self.server = server
        self.process = process
        self.console = console
        self.status = status
        self.say = say
        self.start_s = self.heard_s = time.monotonic()
        self.nudge_s = self.start_s + NUDGE_S
        self.ready_s = None
        self.result = None      # COMMAND's exit status
        self.status_text = b""
        self.keyboard = Keyboard()
        self.line_ends = None if os.isatty(1) else LineEnds()
        self.selector = selectors.DefaultSelector()
        self._watch(console, self._console)
        self._watch(status, self._status)
        self._watch(os.pidfd_open(process.pid), self._ended)
        if hasattr(server, "screen"):
            self._watch(server.screen, lambda: self._read(server.screen))

    def _watch(self, descriptor, action):
        self.selector.register(descriptor, selectors.EVENT_READ, action)

    def _forget(self, descriptor):
        with contextlib.suppress(KeyError):
            self.selector.unregister(descriptor)

    def _read(self, descriptor):
        """The next bytes; b"" at the end, after which nobody asks again."""
        try:
            data = os.read(descriptor, CHUNK_BYTES)
        except OSError:     # the other end of a pty is closed
            data = b""
        if not data:
            self._forget(descriptor)
        return data

    def _console(self):
        self.heard_s = time.monotonic()
        data = self._read(self.console)
        if self.line_ends:
            data = self.line_ends.filter(data)
        while data:
            data = data[os.write(1, data):]

    def _keys(self):
        data = self.keyboard.filter(self._read(0))
        while data:
            data = data[os.write(self.console, data):]

    def _status(self):
        self.heard_s = time.monotonic()
        self.status_text += self._read(self.status)
        while b"\n" in self.status_text:
            line, _, self.status_text = self.status_text.partition(b"\n")
            words = line.decode(errors="replace").split()
            if words[:1] == ["ready"]:
                self._ready()
            elif words[:1] == ["exit"]:
                self.result = int(words[1])

    def _ready(self):
        if self.ready_s is not None:
            raise HostError("the server restarted by itself; its console "
                            "above may say why")
        self.ready_s = time.monotonic() - self.start_s
        self.say(f"up after {self.ready_s:.0f} s")

    def _ended(self):
        """The emulator is gone: read what it left behind."""
        self.process.wait()
        self._drain()
        if self.result is None:
            raise HostError("the server stopped before the command ended; "
                            "its console above may say why", STATUS_SERVER)

    def _drain(self):
        until_s = time.monotonic() + DRAIN_S
        while time.monotonic() < until_s:
            events = self.selector.select(QUIET_S)
            events = [key for key, _ in events
                      if key.data in (self._console, self._status)]
            if not events:
                return
            for key in events:
                key.data()

    def _wait(self, until_s):
        """Handle what happens until then."""
        for key, _ in self.selector.select(max(0, until_s - time.monotonic())):
            key.data()

    def _nudge(self):
        """See the DOC block."""
        now_s = time.monotonic()
        if self.ready_s is not None and now_s >= self.heard_s + NUDGE_S:
            with contextlib.suppress(OSError):
                os.write(self.status, b"\n")
        self.nudge_s = now_s + NUDGE_S

    def _wait_within(self, timeout_s, silence_s):
        """Handle what happens next; raises HostError when it is too late."""
        limits = [(self.nudge_s, None)]
        if timeout_s is not None:
            limits.append((self.start_s + timeout_s,
                           f"not done after {timeout_s:.0f} s, stopped; "
                           "--timeout gives it longer"))
        if silence_s is not None:
            limits.append((self.heard_s + silence_s,
                           f"said nothing for {silence_s:.0f} s, stopped; "
                           "--silence gives it longer"))
        until_s, text = min(limits, key=lambda limit: limit[0])
        if time.monotonic() < until_s:
            self._wait(until_s)
        elif text:
            raise HostError(text, STATUS_TIMEOUT)
        else:
            self._nudge()

    def run(self, timeout_s, silence_s, interactive):
        """COMMAND's exit status. Raises HostError when there is none."""
        if interactive:
            self._watch(0, self._keys)
        with raw_terminal(interactive):
            while self.result is None:
                self._wait_within(timeout_s, silence_s)
            self._drain()
        return self.result
