"""Looks at a feed's segment from outside, by the generated layout alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from quietcore.bridge import layout


def until(holds: Callable[[], Any], what: str, seconds: float = 20.0) -> None:
    """Poll a condition; an assertion that names it fails where it does not come true in time."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.01)


class RingFile:
    """A segment, mapped read-only. Its producer should be at rest while ticks are taken."""

    def __init__(self, feed: str) -> None:
        path = Path(f"/dev/shm/quietcore.{feed}")
        until(path.exists, f"{path} is there")
        self.path = path
        self.bytes: npt.NDArray[np.uint8] = np.memmap(path, mode="r")
        self.header = self.bytes[: layout.HEADER.itemsize].view(layout.HEADER)[0]

    def number(self, field: str) -> int:
        """One field of the header, now."""
        return int(self.header[field])

    def statistics(self) -> dict[str, int]:
        """All counters, now."""
        at = self.number("statistics_offset")
        row = self.bytes[at : at + layout.STATISTICS.itemsize].view(layout.STATISTICS)[0]
        return {name: int(row[name]) for name in layout.STATISTICS.names or () if name != "reserved"}

    def book(self, symbol: int = 0) -> dict[str, int]:
        """The head of a symbol's table entry, now."""
        at = self.number("table_offset") + symbol * self.number("table_stride")
        row = self.bytes[at : at + layout.BOOK.itemsize].view(layout.BOOK)[0]
        return {name: int(row[name]) for name in layout.BOOK.names or () if name != "reserved_b"}

    def state(self, symbol: int = 0) -> int:
        """State of a book, now."""
        return self.book(symbol)["state"]

    def ladder(self, symbol: int = 0) -> tuple[list[list[int]], list[list[int]]]:
        """Bids and asks of a table entry, best first, [price, size] in ticks and lots."""
        head = self.book(symbol)
        depth = self.number("ladder_depth")
        at = self.number("table_offset") + symbol * self.number("table_stride") + layout.BOOK.itemsize
        rows = self.bytes[at : at + 2 * depth * layout.LEVEL.itemsize].view(layout.LEVEL)
        bids, asks = rows[: head["bid_count"]], rows[depth : depth + head["ask_count"]]
        return [list(map(int, row)) for row in bids], [list(map(int, row)) for row in asks]

    def ticks(self) -> npt.NDArray[Any]:
        """The complete ticks still in the ring, oldest first; `seq` tells their numbers."""
        at = self.number("slots_offset")
        count = self.number("capacity")
        slots = np.array(self.bytes[at : at + count * layout.SLOT.itemsize].view(layout.SLOT))
        complete = slots[(slots["seq"] > 0) & (slots["seq"] % 2 == 0)]
        ordered: npt.NDArray[Any] = complete[np.argsort(complete["seq"])]
        return ordered

    def kinds(self) -> dict[str, int]:
        """How many ticks of each kind are in the ring; BOOK ticks only of applied messages."""
        ticks = self.ticks()
        books = ticks[ticks["kind"] == layout.KIND_BOOK]
        applied = (books["d"] == layout.STATE_LIVE) | (books["flags"] & layout.FLAG_SNAPSHOT != 0)
        return {
            "bbo": int((ticks["kind"] == layout.KIND_BBO).sum()),
            "trade": int((ticks["kind"] == layout.KIND_TRADE).sum()),
            "level": int((ticks["kind"] == layout.KIND_LEVEL).sum()),
            "book": int(applied.sum()),
        }
