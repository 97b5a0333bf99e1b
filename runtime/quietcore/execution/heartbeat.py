"""A sign of life that another process can read: who beats, and when it last did; and a kill that no file could keep.

One page of a file, allocated when it is made and written in place through a descriptor: a full disk is not in the way
then, and a file that somebody cut short or removed is an error here and no signal, as it would be through a mapping.
The clock is CLOCK_MONOTONIC, which processes of one host share.
"""

from __future__ import annotations

import contextlib
import os
import struct
import time
from pathlib import Path
from typing import NamedTuple

from quietcore.errors import QuietcoreError, named, remedy_of
from quietcore.execution.identity import process_start
from quietcore.execution.reserve import allocate

__all__ = [
    "Beat",
    "Heartbeat",
    "Watched",
    "Watcher",
    "alive",
    "default_path",
    "forget_kill",
    "killed",
    "look",
    "process_start",
    "read",
]

MAGIC = b"QCBEAT01"
LAYOUT = struct.Struct("<8sIIQq")  # magic, pid, state, start of the process (ticks since boot), beat (ns)
SIZE = 4096
ALIVE, ENDED = 1, 2
MARK_OFFSET, MARK_BYTES = 64, 600
MARK = b"KILLED: "
# A beat from the future is of another boot.
FUTURE_SECONDS = 1.0


class Beat(NamedTuple):
    """What was read. ``ended``: by itself, with everything cancelled that it knew of."""

    pid: int
    ended: bool
    process_start: int
    beat_ns: int

    def age_seconds(self, now_ns: int) -> float:
        """Return how long ago it beat."""
        return (now_ns - self.beat_ns) / 1e9


def default_path(environment: os._Environ[str] | dict[str, str] = os.environ) -> Path:
    """Return where the runtime's heartbeat lies unless told otherwise."""
    folder = environment.get("RUNTIME_DIRECTORY", "").split(":")[0]
    return Path(folder or "/run/quietcore") / "heartbeat"


class Heartbeat:
    """The writing end. ``killed``: what `mark` was told before. Raises QuietcoreError where the file cannot be made."""

    def __init__(self, path: Path, killed: str = "") -> None:
        self.path = path
        self.remade = 0  # times that the file was gone, or another one, and was made again
        self._pid, self._start = os.getpid(), process_start(os.getpid())
        self._mark = mark_of(killed)
        self._handle = -1
        self._make()

    def beat(self) -> None:
        """Say that this process lives; make the file again where it is gone. Raises QuietcoreError."""
        if not self._in_place():
            with contextlib.suppress(OSError):
                self.path.parent.mkdir(parents=True, exist_ok=True)
            self._make()
            self.remade += 1
        self._write(ALIVE)

    def end(self) -> None:
        """Say that it ended in good order."""
        with contextlib.suppress(QuietcoreError):  # what cannot be said is found out by the guard
            if not self._in_place():
                self._make()
            self._write(ENDED)
        self.close()

    def close(self) -> None:
        """Let go of the file; it stays as it is."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def mark(self, reason: str) -> bool:
        """Note for the next start why the kill switch is on, empty: that it is off; False where that is impossible."""
        self._mark = mark_of(reason)
        if self._handle < 0:
            return False
        with contextlib.suppress(OSError):
            return self._write_mark(self._handle)
        return False

    def _in_place(self) -> bool:
        """Whether the name still leads to the file that this process writes, whole; needs no descriptor."""
        if self._handle < 0:
            return False
        try:
            found, ours = self.path.stat(), os.fstat(self._handle)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino) and found.st_size >= SIZE

    def _make(self) -> None:
        handle = -1
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            handle = os.open(self.path, flags, 0o644)
            with contextlib.suppress(PermissionError):  # somebody else's, who lets us write
                os.fchmod(handle, 0o644)
            allocate(handle, SIZE)
            self._write_mark(handle)
        except OSError as error:
            if handle >= 0:
                os.close(handle)
            raise self._refusal(error) from error
        self.close()
        self._handle = handle

    def _write_mark(self, handle: int) -> bool:
        return os.pwrite(handle, self._mark.ljust(MARK_BYTES, b"\0"), MARK_OFFSET) == MARK_BYTES

    def _write(self, state: int) -> None:
        page = LAYOUT.pack(MAGIC, self._pid, state, self._start, time.monotonic_ns())
        try:
            os.pwrite(self._handle, page, 0)
        except OSError as error:
            raise self._refusal(error) from error

    def _refusal(self, error: OSError) -> QuietcoreError:
        return QuietcoreError(
            "heartbeat cannot be written",
            where=str(self.path),
            found=named(error),
            remedy=remedy_of(error, "name a writable place with --status")
            + "; a unit has one with RuntimeDirectory=quietcore",
        )


def mark_of(reason: str) -> bytes:
    """Return how a heartbeat's file notes a kill; nothing where ``reason`` is empty."""
    return (MARK + " ".join(reason.split()).encode())[:MARK_BYTES] if reason else b""


def decode(content: bytes) -> Beat | str:
    """Return the beat of a file's first bytes, or what is wrong with them."""
    if len(content) < LAYOUT.size:
        return f"cut short to {len(content)} bytes"
    magic, pid, state, start, beat_ns = LAYOUT.unpack(content[: LAYOUT.size])
    if magic != MAGIC:
        return "empty" if not any(content) else "not a heartbeat"
    if state not in (ALIVE, ENDED):
        return f"of an unknown state {state}"
    return Beat(pid, state == ENDED, start, beat_ns)


def look(path: Path) -> Beat | str:
    """Return the last beat, or why there is none to be read: a few words for a message."""
    try:
        with path.open("rb", buffering=0) as file:
            return decode(file.read(LAYOUT.size) or b"")
    except FileNotFoundError:
        return "not there"
    except OSError as error:
        return f"not readable ({named(error)})"


def read(path: Path) -> Beat | None:
    """Return the last beat; None where nobody has written one."""
    found = look(path)
    return found if isinstance(found, Beat) else None


def killed(path: Path) -> str:
    """Return why the kill switch is on, where the last run could keep that nowhere else; empty where it is not."""
    try:
        with path.open("rb", buffering=0) as file:
            content = os.pread(file.fileno(), MARK_BYTES, MARK_OFFSET)
    except OSError:
        return ""
    if not content.startswith(MARK):
        return ""
    return content[len(MARK) :].rstrip(b"\0").decode(errors="replace")


def forget_kill(path: Path) -> bool:
    """Take the note of a kill out of the file of a runtime that is gone; False where there was none.

    Raises QuietcoreError where it stays.
    """
    if not killed(path):
        return False
    try:
        handle = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.pwrite(handle, bytes(MARK_BYTES), MARK_OFFSET)
        finally:
            os.close(handle)
    except OSError as error:
        raise QuietcoreError(
            "kill switch cannot be cleared",
            where=str(path),
            found=named(error),
            remedy=remedy_of(error, f"remove {path}"),
        ) from error
    return True


def alive(beat: Beat, now_ns: int, timeout: float) -> bool:
    """Return whether the one who beat is still there: the beat is fresh, and its process too."""
    fresh = -FUTURE_SECONDS <= beat.age_seconds(now_ns) <= timeout
    return fresh and process_start(beat.pid) == beat.process_start


class Watched(NamedTuple):
    """What a look found: the last beat that could be read, now or before; what is wrong with the file now."""

    beat: Beat | None
    problem: str


class Watcher:
    """The reading end, for one who looks again and again.

    A file that is gone or damaged says nothing about the one who wrote it: its last beat is kept, and grows old.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._last: Beat | None = None

    def look(self) -> Watched:
        """Read the file once, and once more where it is damaged: it may just be written."""
        found = look(self.path)
        if isinstance(found, str):
            found = look(self.path)
        if isinstance(found, str):
            return Watched(self._last, found)
        self._last = found
        return Watched(found, "")

    def process_lives(self) -> bool:
        """Whether the process of the last beat is still there, beating or not."""
        return self._last is not None and process_start(self._last.pid) == self._last.process_start
