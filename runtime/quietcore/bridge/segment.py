"""Attaching to a feed's shared-memory segment: read-only, and only after everything in its header fits.

Every mismatch is one `QuietcoreError`. A segment that is missing or not finished may come yet (exit 3, and
worth waiting for); one of another kind, version or schema will not mend itself (exit 2).
"""

from __future__ import annotations

import contextlib
import mmap
import os
import re
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from quietcore.bridge import layout
from quietcore.bridge.ring import PUBLISHED_OFFSET, Ring, word_at
from quietcore.bridge.truncation import forget, register
from quietcore.errors import ExitCode, QuietcoreError

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 -- where POSIX shared memory lives on Linux
PREFIX = "quietcore."
FEED_NAME = re.compile(r"[A-Za-z0-9_-]{1,31}")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
POLL_SECONDS = 0.02


class Symbol(NamedTuple):
    """One entry of the directory. tick size = tick_mantissa / 10**tick_exponent; lot size alike."""

    number: int
    name: str
    tick_mantissa: int
    tick_exponent: int
    lot_mantissa: int
    lot_exponent: int


class NotThereYetError(QuietcoreError):
    """The segment is missing or half made: waiting may help."""


class NotARingError(QuietcoreError):
    """What lies there is no ring, or none of this boot: the feed handler's next start puts one in its place."""


def feed_names() -> list[str]:
    """Return the names of the feeds that have a segment on this host, in order."""
    if not SHARED_MEMORY.is_dir():
        return []
    names = (path.name.removeprefix(PREFIX) for path in SHARED_MEMORY.glob(PREFIX + "*"))
    return sorted(name for name in names if FEED_NAME.fullmatch(name))


def boot_id() -> bytes:
    """Return the kernel's identity of this boot, 16 bytes."""
    return uuid.UUID(BOOT_ID.read_text().strip()).bytes


class Segment:
    """A feed's mapped segment, read-only. Keeps the mapping while anything refers to it.

    Closing does not unlink: a segment belongs to its feed handler.
    """

    def __init__(self, feed: str, memory: mmap.mmap, inode: tuple[int, int]) -> None:
        self.feed = feed
        self.path = SHARED_MEMORY / (PREFIX + feed)
        self._memory = memory
        self.inode = inode
        self.bytes: npt.NDArray[np.uint8] = np.frombuffer(memory, dtype=np.uint8)
        address = self.bytes.ctypes.data
        self.base, self.size = address, self.bytes.size
        self.truncated = False
        self.when_truncated: Callable[[], None] | None = None  # None: a read behind the end ends the process
        register(self)
        header = self.bytes[: layout.HEADER.itemsize].view(layout.HEADER)[0]
        self.header = header
        self.venue = bytes(header["venue"]).decode("ascii", "replace")
        self.clock = int(header["clock"])
        self.ring = Ring(
            header=address,
            published=address + PUBLISHED_OFFSET,
            slots=address + int(header["slots_offset"]),
            mask=int(header["capacity"]) - 1,
            capacity=int(header["capacity"]),
            table=address + int(header["table_offset"]),
            stride=int(header["table_stride"]),
            depth=int(header["ladder_depth"]),
            symbols=int(header["symbol_count"]),
        )
        start = int(header["directory_offset"])
        size = self.ring.symbols * layout.SYMBOLENTRY.itemsize
        self.symbols = tuple(
            Symbol(
                number,
                bytes(entry["name"]).decode("utf-8", "replace"),
                int(entry["tick_mantissa"]),
                int(entry["tick_exponent"]),
                int(entry["lot_mantissa"]),
                int(entry["lot_exponent"]),
            )
            for number, entry in enumerate(self.bytes[start : start + size].view(layout.SYMBOLENTRY))
        )
        start = int(header["statistics_offset"])
        self.statistics = self.bytes[start : start + layout.STATISTICS.itemsize].view(layout.STATISTICS)[0]
        start = int(header["slots_offset"])
        size = self.ring.capacity * layout.SLOT.itemsize
        self.slots: npt.NDArray[np.void] = self.bytes[start : start + size].view(layout.SLOT)

    def symbol(self, name: str) -> Symbol:
        """Return the directory's entry for ``name``, or raise an error that lists what there is."""
        for symbol in self.symbols:
            if symbol.name == name:
                return symbol
        known = ", ".join(symbol.name for symbol in self.symbols[:8]) + (
            " …" if len(self.symbols) > 8 else ""
        )
        raise QuietcoreError(
            "symbol is not in the feed",
            where=str(self.path),
            found=name,
            expected=f"one of {known or 'none: the directory is empty'}",
            remedy="name a symbol of the feed, or add it to the feed's configuration",
        )

    @property
    def epoch(self) -> int:
        """The producer's epoch, now."""
        return int(self.header["epoch"])

    @property
    def pid(self) -> int:
        """The producer's process id."""
        return int(self.header["pid"])

    @property
    def closed(self) -> bool:
        """Whether the producer has closed this segment for good."""
        return bool(self.header["closed"])

    def heartbeat_age_ns(self) -> int:
        """Nanoseconds since the producer's last sign of life (CLOCK_MONOTONIC)."""
        return time.clock_gettime_ns(time.CLOCK_MONOTONIC) - int(self.header["heartbeat_ns"])

    def replaced(self) -> bool:
        """Whether the name now leads to another segment (or to none), so that this one gets no more ticks."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return True
        return (status.st_dev, status.st_ino) != self.inode

    def close(self) -> None:
        """Unmap, unless a batch or array of the caller still looks into the mapping: then when that goes."""
        for name in ("bytes", "header", "statistics", "slots"):
            self.__dict__.pop(name, None)
        with contextlib.suppress(BufferError):
            self._memory.close()
            forget(self)


def attach(feed: str, timeout: float = 0.0, give_up: Callable[[], bool] = lambda: False) -> Segment:
    """Attach to the segment of ``feed``, waiting up to ``timeout`` seconds for one that is not there yet.

    ``give_up`` is asked while waiting; where it says so, the wait is over.

    Raises:
        NotThereYetError: missing or half made when the time was over.
        QuietcoreError: not a ring, or one of another version, schema, size or boot; no permission; not Linux.
    """
    if sys.platform != "linux":
        raise QuietcoreError(
            "shared memory of a feed cannot be read on this system",
            found=sys.platform,
            expected="Linux",
            remedy="run this command on the trading host",
        )
    if not FEED_NAME.fullmatch(feed):
        raise QuietcoreError("bad feed name", found=repr(feed), expected="1 to 31 of A–Z a–z 0–9 - _")
    deadline = time.monotonic() + timeout
    while True:
        try:
            return _attach(feed)
        except NotThereYetError:
            if time.monotonic() >= deadline or give_up():
                raise
        time.sleep(POLL_SECONDS)


def _attach(feed: str) -> Segment:
    import posix_ipc

    path = SHARED_MEMORY / (PREFIX + feed)
    try:
        handle = posix_ipc.SharedMemory(f"/{PREFIX}{feed}", flags=0, read_only=True)
    except posix_ipc.ExistentialError:
        known = ", ".join(feed_names())
        raise NotThereYetError(
            "no such feed",
            where=str(path),
            found=f"only {known}" if known else "no ring at all",
            remedy=f"start the feed handler (quietcore-feed run --feed {feed} …) or correct the name",
            code=ExitCode.UNKNOWN,
        ) from None
    except posix_ipc.PermissionsError:
        raise QuietcoreError(
            "not allowed to read the ring",
            where=str(path),
            remedy="join the group of the file (usually quietcore), or run as the feed handler's user",
            code=ExitCode.UNKNOWN,
        ) from None
    try:
        status = os.fstat(handle.fd)
        if status.st_size < layout.HEADER.itemsize:
            raise half_made(path, f"{status.st_size} bytes")
        memory = mmap.mmap(handle.fd, status.st_size, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ)
    finally:
        handle.close_fd()
    try:
        check(path, memory, status.st_size)
        return Segment(feed, memory, (status.st_dev, status.st_ino))
    except BaseException:
        with contextlib.suppress(BufferError):
            memory.close()
        raise


def half_made(path: Path, found: str) -> NotThereYetError:
    """Return the error for a segment whose creation was not finished."""
    return NotThereYetError(
        "ring is half made",
        where=str(path),
        found=found,
        expected="a finished header",
        remedy="restart the feed handler; it makes the ring anew",
        code=ExitCode.UNKNOWN,
    )


def check(path: Path, memory: mmap.mmap, size: int) -> None:
    """Raise unless the header of a mapped segment of ``size`` bytes fits this program and this boot."""
    view = np.frombuffer(memory, dtype=np.uint8, count=layout.HEADER.itemsize)
    magic = word_at(view.ctypes.data) & 0xFFFFFFFFFFFFFFFF
    if magic == 0:
        raise half_made(path, "no magic number")
    rebuild = "install feed handler and runtime of the same release, then restart the feed handler"
    restart = "restart the feed handler; it makes the ring anew"
    if magic != layout.MAGIC:
        raise NotARingError(
            "not a Quietcore ring",
            where=str(path),
            found=f"magic {magic:#018x}",
            expected=f"{layout.MAGIC:#018x}",
            remedy="choose another feed name, or remove the file if nothing uses it",
        )
    header = view.view(layout.HEADER)[0]
    if header["version"] != layout.VERSION:
        raise QuietcoreError(
            "ring of another version",
            where=str(path),
            found=int(header["version"]),
            expected=layout.VERSION,
            remedy=rebuild,
        )
    if int(header["schema_hash"]) != layout.SCHEMA_HASH:
        raise QuietcoreError(
            "ring of another schema",
            where=str(path),
            found=f"{int(header['schema_hash']):#018x}",
            expected=f"{layout.SCHEMA_HASH:#018x}",
            remedy=rebuild,
        )
    capacity, depth, symbols = (int(header[name]) for name in ("capacity", "ladder_depth", "symbol_count"))
    stride = int(header["table_stride"])
    ends = {
        "directory": int(header["directory_offset"]) + symbols * layout.SYMBOLENTRY.itemsize,
        "statistics": int(header["statistics_offset"]) + layout.STATISTICS.itemsize,
        "book table": int(header["table_offset"]) + symbols * stride,
        "slots": int(header["slots_offset"]) + capacity * layout.SLOT.itemsize,
    }
    wrong = ""
    if int(header["total_size"]) != size:
        wrong = f"total_size {int(header['total_size'])} in a file of {size} bytes"
    elif (
        int(header["header_size"]) != layout.HEADER.itemsize
        or int(header["slot_size"]) != layout.SLOT.itemsize
    ):
        wrong = f"header of {int(header['header_size'])} and slots of {int(header['slot_size'])} bytes"
    elif capacity < 1024 or capacity & (capacity - 1):
        wrong = f"capacity {capacity}, not a power of two of at least 1024"
    elif stride < layout.BOOK.itemsize + 2 * depth * layout.LEVEL.itemsize or stride % 8:
        wrong = f"table_stride {stride} for {depth} levels a side"
    elif any(int(header[name]) % 8 for name in ("directory_offset", "statistics_offset", "table_offset")):
        wrong = "an offset that is no multiple of 8"
    elif int(header["slots_offset"]) % layout.SLOT.itemsize:
        wrong = "slots that are not on a 64-byte boundary"
    else:
        wrong = next(
            (f"{name} ends at {end} of {size} bytes" for name, end in ends.items() if end > size), ""
        )
    if wrong:
        raise NotARingError("ring with an impossible size", where=str(path), found=wrong, remedy=restart)
    if bytes(header["boot_id"]) != boot_id():
        raise NotARingError(
            "ring of another boot",
            where=str(path),
            found=str(uuid.UUID(bytes=bytes(header["boot_id"]))),
            expected=str(uuid.UUID(bytes=boot_id())),
            remedy=restart,
        )
