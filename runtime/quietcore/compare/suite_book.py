"""Suite `book`: messages a second through parser, book and ring of the feed handler."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from quietcore.compare.collect import Taken
from quietcore.compare.replayed_feed import ReplayedFeed

PIECE_SECONDS = 0.02


class BookSuite:
    """Replays flat out, and reads the feed handler's own count of messages every 20 ms."""

    def __init__(self, cpus: Sequence[int]) -> None:
        self._replayed = ReplayedFeed(cpus)

    def __enter__(self) -> Self:
        self._replayed.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._replayed.close()

    def measure(self, seconds: float) -> dict[str, Taken]:
        """Return messages a second, in pieces."""
        rates = []
        with self._replayed.playing() as segment:
            until = time.monotonic() + seconds
            before, messages = time.monotonic_ns(), int(segment.statistics["messages"])
            while time.monotonic() < until:
                time.sleep(PIECE_SECONDS)
                now, count = time.monotonic_ns(), int(segment.statistics["messages"])
                rates.append((count - messages) / ((now - before) / 1e9))
                before, messages = now, count
        return {"messages": Taken(rates=rates)}


def make(cpus: Sequence[int]) -> BookSuite:
    """Return the suite; the feed handler runs on the first of the cores."""
    return BookSuite(cpus)
