"""Child processes that are ready when they say so, end when told, and never outlive their parent."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from quietcore.errors import ExitCode, QuietcoreError

PR_SET_PDEATHSIG = 1
LAST_LINES = 6
POLL_SECONDS = 0.02

_libc = ctypes.CDLL(None, use_errno=True)


def _end_with_parent() -> None:
    """Ask the kernel to end this process when its parent dies, however it dies (prctl(2)); Linux only."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


class Interruption:
    """A wish to end, from Ctrl-C, SIGTERM or SIGHUP, that is granted where it is asked for.

    An exception thrown by a signal handler could come between the making of a child and its being known, and
    leave it behind.
    """

    def __init__(self) -> None:
        self.wished = False

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Take the signals for the length of a block."""

        def wish(number: int, frame: object) -> None:
            self.wished = True

        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, wish) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def check(self) -> None:
        """Raise KeyboardInterrupt if the end was wished for."""
        if self.wished:
            raise KeyboardInterrupt


class Child:
    """One process. Its output goes to files in `folder`; it tells readiness by sd_notify(3)."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        folder: Path,
        environment: Mapping[str, str] | None = None,
        interruption: Interruption | None = None,
    ) -> None:
        self.name = name
        self._interruption = interruption or Interruption()
        self._out, self._err = folder / f"{_slug(name)}.out", folder / f"{_slug(name)}.err"
        # An abstract address: it needs no file, and no folder is too deep for it.
        address = f"quietcore-{folder.name}-{_slug(name)}-{secrets.token_hex(4)}"
        self._ready = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._ready.bind(f"\0{address}")
        self._ready.setblocking(False)
        self._stopping = False
        try:
            with _private(self._out) as out, _private(self._err) as err:
                self.process = subprocess.Popen(
                    list(map(str, command)),
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=err,
                    env={**os.environ, **(environment or {}), "NOTIFY_SOCKET": f"@{address}"},
                    start_new_session=True,  # Ctrl-C reaches the parent alone, which ends them in order
                    preexec_fn=_end_with_parent,
                )
        except OSError as error:
            self._ready.close()
            raise QuietcoreError(
                f"cannot start the {name}", where=str(command[0]), found=error.strerror, remedy="make build"
            ) from error

    def wait_subscribed(self, seconds: float) -> None:
        """Return when a feed handler's subscriptions are confirmed; its books may still be missing.

        Ready it is only with its books, which do not come from a simulator that still holds its market. Raises as
        `wait_ready` does.
        """
        self._wait_told((b"STATUS=subscribed", b"READY=1"), seconds, ())

    def wait_ready(self, seconds: float, others: Sequence[Child] = ()) -> None:
        """Return when the child has sent READY=1.

        Raises QuietcoreError where it, or one of the `others` that it may be waiting for, ends first, or it takes
        too long.
        """
        self._wait_told((b"READY=1",), seconds, others)

    def _wait_told(self, words: tuple[bytes, ...], seconds: float, others: Sequence[Child]) -> None:
        deadline = time.monotonic() + seconds
        while True:
            with contextlib.suppress(BlockingIOError):
                if any(line.startswith(words) for line in self._ready.recv(4096).split(b"\n")):
                    return
                continue
            self._interruption.check()
            for child in (*others, self):
                child.check()
            if time.monotonic() > deadline:
                raise QuietcoreError(
                    f"the {self.name} is not ready after {seconds:.0f} s{self._quoted()}",
                    code=ExitCode.UNKNOWN,
                )
            time.sleep(POLL_SECONDS)

    def check(self) -> None:
        """Raise QuietcoreError, with its last lines, if the child has ended unasked."""
        code = self.process.poll()
        if code is None or self._stopping:
            return
        how = f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
        known = code if code in (ExitCode.FOUND, ExitCode.USAGE) else ExitCode.UNKNOWN
        raise QuietcoreError(f"the {self.name} ended by itself: {how}{self._quoted()}", code=ExitCode(known))

    def stop(self, seconds: float = 5.0) -> None:
        """End the child: SIGTERM, and SIGKILL if that takes over `seconds`; harmless when it has ended."""
        self._stopping = True
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._ready.close()

    def first_line(self, seconds: float) -> str:
        """Return the first line of the child's output, waiting for it."""
        deadline = time.monotonic() + seconds
        while True:
            line, newline, _ = self.output().partition("\n")
            if newline:
                return line
            self._interruption.check()
            self.check()
            if time.monotonic() > deadline:
                raise QuietcoreError(
                    f"the {self.name} says nothing for {seconds:.0f} s{self._quoted()}", code=ExitCode.UNKNOWN
                )
            time.sleep(POLL_SECONDS)

    def announcement(self, seconds: float) -> dict[str, Any]:
        """Return the JSON object that the child announces itself with; raise QuietcoreError where it is an error."""
        found: dict[str, Any] = json.loads(self.first_line(seconds))
        if "error" in found:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(seconds)
            self.check()
            raise QuietcoreError(f"the {self.name} refuses", found=found["error"], code=ExitCode.UNKNOWN)
        return found

    def output(self) -> str:
        """Return what the child has written to standard output."""
        return self._out.read_text(errors="replace")

    def last_lines(self) -> list[str]:
        """Return the last lines of the child's error output."""
        return [line for line in self._err.read_text(errors="replace").splitlines() if line.strip()][
            -LAST_LINES:
        ]

    def _quoted(self) -> str:
        lines = self.last_lines()
        return f"; it said: {' | '.join(lines)}" if lines else "; it said nothing"


def _slug(name: str) -> str:
    return name.replace(" ", "-")


def _private(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
