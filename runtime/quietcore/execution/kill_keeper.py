"""The kill switch within the running runtime: taken from a signal, a socket or the file, and kept in memory.

A kill that was once given ends with an explicit clear, and with nothing else: neither a file that cannot be written,
nor one that is gone, nor one that cannot be read undoes it. What a kill needs is there beforehand: two threads of
their own, which no event loop can hold up, a signal, a listening socket without a file, descriptors kept in reserve
for the connections that cancel, and space for the kill file. Where the file cannot be written all the same, the
heartbeat's page notes the kill for the next start, and the file is tried again until it is written.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from quietcore.errors import QuietcoreError, named
from quietcore.execution.exclusive import PREFIX, digest, peer
from quietcore.execution.kill_switch import KillSwitch
from quietcore.execution.process import THREAD_STACK_BYTES, Warn, name_thread
from quietcore.execution.reserve import Reserve

LOOK_SECONDS = 0.05
WRITE_AGAIN_SECONDS = 1.0
CLIENT_SECONDS = 30.0
MOST_CLIENTS = 8
MOST_BYTES = 4096
BY_SIGNAL = "signal SIGUSR1"
UNREADABLE = "the kill file cannot be looked at"


def address_of(kill_file: Path, pid: int) -> str:
    """Return the abstract socket address at which the runtime ``pid`` with this kill file listens."""
    return f"{PREFIX}.runtime.{digest(os.path.realpath(kill_file))}.{pid}"


class KillKeeper:
    """Holds the switch. ``off`` and ``on`` are called, in any thread, when orders are to stop and to go on.

    Args:
        switch: the file.
        warn: takes one line.
        off: stop all orders and cancel what is open; must not block.
        on: allow orders again; must not block.
        open_orders: how many are open; None where nobody answers.
        note: keep a reason (empty: none) where the file cannot be written; False where that is impossible too.
        reserve: descriptors to let go of when orders stop.
        spare: whether to keep space for the kill file: where orders are real enough for it.
    """

    def __init__(
        self,
        switch: KillSwitch,
        warn: Warn,
        *,
        off: Callable[[], None],
        on: Callable[[], None],
        open_orders: Callable[[], int | None],
        note: Callable[[str], bool],
        reserve: Reserve,
        spare: bool = True,
    ) -> None:
        self._switch, self._warn = switch, warn
        self._off, self._on, self._open_orders, self._note = off, on, open_orders, note
        self._reserve, self._spare = reserve, spare
        self._killed = ""  # the kill, once given
        self._holds: dict[str, str] = {}  # passing reasons, by what they are about
        self._is_off = False
        self._lock = threading.Lock()
        self._seen: tuple[int, int] | None = None  # the kill file that is part of this kill
        self._kept = ""  # where the kill is kept for the next start: "file", "heartbeat"
        self._write_at = 0.0
        self._lost = False  # the file was there, and is gone
        self._unkept_said = False
        self._ended = False
        self._listener: socket.socket | None = None
        self._clients: dict[int, tuple[socket.socket, float]] = {}

    @property
    def is_off(self) -> bool:
        """Whether nothing may be ordered."""
        return bool(self._killed or self._holds)

    @property
    def reason(self) -> str:
        """Why nothing may be ordered; empty where it may."""
        return self._killed or next(iter(list(self._holds.values())), "")

    @property
    def kept(self) -> str:
        """Where a restart finds the kill: "file", "heartbeat", or empty where only this process knows it."""
        return self._kept

    def start(self, noted: str = "") -> None:
        """Look at the switch, then watch it. ``noted``: the reason that the last run left outside the file.

        Block SIGUSR1 before, in the main thread and before any other is there: then one of the keeper's takes it.
        """
        if noted:
            self.kill(noted)
        with contextlib.suppress(QuietcoreError):
            self._look()
        try:
            if self._spare:
                self._switch.prepare()
        except QuietcoreError as error:
            if not self._killed:
                self._warn(str(error))
        self._listen()
        before = threading.stack_size(THREAD_STACK_BYTES)
        try:
            for name, work in (("kill-signal", self._take_signals), ("kill-watch", self._watch)):
                threading.Thread(target=self._forever, args=(name, work), name=name, daemon=True).start()
        finally:
            threading.stack_size(before)

    def stop(self) -> None:
        """End the watch; what is on stays on."""
        self._ended = True

    # what may be asked of it, from any thread

    def kill(self, reason: str) -> None:
        """Stop all orders, until `clear`. Needs neither file nor descriptor; the first reason stays."""
        with self._lock:
            first = not self._killed
            if first:
                self._write_at = 0.0  # at once
            if self._killed in ("", BY_SIGNAL):  # which says nothing about why
                self._killed = reason or "no reason given"
            self._apply()
        if first:
            self._warn(f"kill switch is on ({self._killed}): no orders; `quietcore clear` allows them again")

    def hold(self, about: str, reason: str) -> None:
        """Stop all orders while ``reason`` lasts: until `release` with the same ``about``."""
        with self._lock:
            first = about not in self._holds
            self._holds[about] = reason
            self._apply()
        if first:
            self._warn(f"no orders for the moment: {reason}")

    def release(self, about: str) -> None:
        """Let go of a hold."""
        with self._lock:
            reason = self._holds.pop(about, "")
            self._apply()
        if reason:
            what = "orders again" if not self.is_off else "orders stay off"
            self._warn(f"{what}; it was: {reason}")

    def clear(self) -> str:
        """Undo the kill, on somebody's explicit word; return why that is impossible, empty where it is done."""
        try:
            self._switch.clear()
            there = self._switch.is_on()
        except QuietcoreError as error:
            return str(error)
        except OSError as error:
            return f"{self._switch.path}: {named(error)}"
        if there:
            return f"{self._switch.path} is still there"
        self._note("")
        with self._lock:
            was, self._killed, self._kept, self._seen = self._killed, "", "", None
            self._apply()
        if was:
            self._lost = self._unkept_said = False
            what = "orders again" if not self.is_off else f"but no orders: {self.reason}"
            self._warn(f"kill switch is cleared: {what}")
            with contextlib.suppress(QuietcoreError):
                if self._spare:
                    self._switch.prepare()
        return ""

    def state(self) -> dict[str, Any]:
        """Return what `quietcore kill` is told."""
        return {
            "pid": os.getpid(),
            "killed": self._killed,
            "off": self._is_off,
            "kept": self._kept,
            "open": self._open_orders(),
        }

    def _apply(self) -> None:
        """Bring orders to what is wanted; under the lock, so that a kill and a clear cannot overtake each other."""
        wanted = self.is_off
        if wanted and not self._is_off:
            self._reserve.release()
            self._off()
            self._is_off = True  # last: what failed on the way is done again at the next look
        elif self._is_off and not wanted:
            self._is_off = False
            self._on()
            self._reserve.fill()

    # its threads

    def _forever(self, name: str, work: Callable[[], None]) -> None:
        name_thread(name)
        said = ""
        while not self._ended:
            try:
                work()
            except (
                Exception
            ) as error:  # a thread that protects does not end: memory may come back, a disk too
                if said != repr(error):
                    said = repr(error)
                    with contextlib.suppress(Exception):
                        self._warn(f"{name}: {said}; it goes on")
                time.sleep(LOOK_SECONDS)
        if work == self._watch:
            self._close()

    def _take_signals(self) -> None:
        signal.sigwait({signal.SIGUSR1})
        self.kill(BY_SIGNAL)

    def _watch(self) -> None:
        with self._lock:
            self._apply()
        self._converse()
        self._look()
        self._keep()

    def _look(self) -> None:
        """Take the file for a kill where it is there."""
        try:
            found = self._switch.identity()
        except OSError as error:
            self.hold(UNREADABLE, f"{UNREADABLE}: {self._switch.path}: {named(error)}")
            return
        self.release(UNREADABLE)
        if found is not None:
            self._seen = found
            if self._killed in ("", BY_SIGNAL):
                self.kill(self._switch.reason() or BY_SIGNAL)
            if self._kept != "file":
                self._kept = "file"
                self._note("")
        elif self._killed and self._seen is not None and self._switch.was_cleared(self._seen):
            self.clear()
        elif self._kept == "file":
            # Removed and not put aside. Whoever removes it on the way to a clear says so by the socket, and soon.
            self._kept = "heartbeat" if self._note(self._killed) else ""
            self._write_at = time.monotonic() + WRITE_AGAIN_SECONDS
            self._lost = True

    def _keep(self) -> None:
        """Write down what only this process knows."""
        now = time.monotonic()
        if not self._killed or self._kept == "file" or now < self._write_at:
            return
        self._write_at = now + WRITE_AGAIN_SECONDS
        if self._lost:
            self._lost = False
            self._warn(
                f"{self._switch.path} is gone; only `quietcore clear` ends a kill: it is written again"
            )
        try:
            self._switch.engage(self._killed)
        except QuietcoreError as error:
            noted = self._note(self._killed)
            kept = "heartbeat" if noted else ""
            if kept != self._kept or not self._unkept_said:
                self._unkept_said = True
                where = "the heartbeat's file keeps it" if noted else "a restart would not know of it"
                self._warn(f"{error}; the kill holds, {where}")
            self._kept = kept

    # the socket

    def _listen(self) -> None:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        try:
            listener.bind(f"\0{address_of(self._switch.path, os.getpid())}")
            listener.listen(MOST_CLIENTS)
            listener.setblocking(False)
        except OSError as error:
            listener.close()
            self._warn(f"`quietcore kill` reaches this runtime by signal alone: {named(error)}")
            return
        self._listener = listener

    def _converse(self) -> None:
        """Wait for a moment, and answer whoever asks."""
        if self._listener is None:
            time.sleep(LOOK_SECONDS)
            return
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        for number in self._clients:
            poll.register(number, select.POLLIN)
        for number, _ in poll.poll(LOOK_SECONDS * 1000):
            if number == self._listener.fileno():
                self._accept()
            else:
                self._answer(number)
        now = time.monotonic()
        for number, (_, until) in list(self._clients.items()):
            if now > until:
                self._drop(number)

    def _accept(self) -> None:
        assert self._listener is not None
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:
            return
        except OSError:
            # No descriptor is free: the one kept for this takes it. It comes back when the client goes.
            if not self._reserve.lend():
                time.sleep(LOOK_SECONDS)
            return
        allowed = peer(connection)[1] in (0, os.geteuid())
        if not allowed or len(self._clients) >= MOST_CLIENTS:
            connection.close()
            return
        connection.setblocking(False)
        self._clients[connection.fileno()] = (connection, time.monotonic() + CLIENT_SECONDS)

    def _answer(self, number: int) -> None:
        connection, _ = self._clients[number]
        try:
            request = json.loads(connection.recv(MOST_BYTES) or b"null")
            answer = self._obey(request, connection) if isinstance(request, dict) else None
            if answer is not None:
                connection.send(json.dumps(answer).encode())
                return
        except BlockingIOError:
            return
        except (OSError, ValueError):
            pass
        self._drop(number)

    def _obey(self, request: dict[str, Any], connection: socket.socket) -> dict[str, Any] | None:
        """Do what was asked; None where it is nothing known."""
        wish = request.get("do")
        if wish == "kill":
            self.kill(str(request.get("reason", "")))
            self._look()
            self._keep()
        elif wish == "clear":
            if gone(connection):
                return None  # who gave up waiting was told that it is not cleared
            problem = self.clear()
            return {**self.state(), "problem": problem}
        elif wish != "state":
            return None
        return self.state()

    def _close(self) -> None:
        for number in list(self._clients):
            self._drop(number)
        if self._listener is not None:
            self._listener.close()

    def _drop(self, number: int) -> None:
        connection, _ = self._clients.pop(number)
        connection.close()
        if not self._is_off:
            self._reserve.fill()


def gone(connection: socket.socket) -> bool:
    """Return whether the other end is closed."""
    poll = select.poll()
    poll.register(connection, select.POLLRDHUP)
    return bool(poll.poll(0))
