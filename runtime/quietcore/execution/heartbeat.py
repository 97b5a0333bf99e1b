"""A sign of life that another process can read: who beats, and when it last did.

One page of a file, written in place; the clock is CLOCK_MONOTONIC, which processes of one host share.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from pathlib import Path
from typing import NamedTuple

from quietcore.errors import QuietcoreError
from quietcore.host.texts.tasks import read_task_stat

MAGIC = b"QCBEAT01"
LAYOUT = struct.Struct("<8sIIQq")  # magic, pid, state, start of the process (ticks since boot), beat (ns)
SIZE = 4096
ALIVE, ENDED = 1, 2


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


def process_start(pid: int) -> int:
    """Return when a process began, in clock ticks since boot; 0 where there is none."""
    try:
        text = Path("/proc", str(pid), "stat").read_text(errors="replace")
    except OSError:
        return 0
    return read_task_stat(text, f"/proc/{pid}/stat").start


class Heartbeat:
    """The writing end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                os.ftruncate(handle, SIZE)
                self._page = mmap.mmap(handle, SIZE)
            finally:
                os.close(handle)
        except OSError as error:
            raise QuietcoreError(
                "heartbeat cannot be written",
                where=str(path),
                found=error.strerror,
                remedy="name a writable place with --status, or start as a unit with RuntimeDirectory=quietcore",
            ) from error
        self._pid, self._start = os.getpid(), process_start(os.getpid())

    def beat(self) -> None:
        """Say that this process lives."""
        self._write(ALIVE)

    def end(self) -> None:
        """Say that it ended in good order."""
        self._write(ENDED)
        self._page.close()

    def _write(self, state: int) -> None:
        LAYOUT.pack_into(self._page, 0, MAGIC, self._pid, state, self._start, time.monotonic_ns())


def read(path: Path) -> Beat | None:
    """Return the last beat; None where nobody has written one."""
    try:
        content = path.read_bytes()[: LAYOUT.size]
    except OSError:
        return None
    if len(content) < LAYOUT.size:
        return None
    magic, pid, state, start, beat_ns = LAYOUT.unpack(content)
    return Beat(pid, state == ENDED, start, beat_ns) if magic == MAGIC else None


def alive(beat: Beat, now_ns: int, timeout: float) -> bool:
    """Return whether the one who beat is still there: the beat is fresh, and its process too."""
    return beat.age_seconds(now_ns) <= timeout and process_start(beat.pid) == beat.process_start
