"""`SharedMemoryBridge`: a feed for Python programs, as ticks, as numpy batches, as books."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from quietcore.bridge import layout
from quietcore.bridge.books import HEAD_WORDS, book_words, read_book
from quietcore.bridge.ring import (
    DROPPED,
    NEXT,
    OVERRUNS,
    READ,
    batch_is_valid,
    claim_batch,
    copy_ticks,
    new_cursor,
    word_at,
)
from quietcore.bridge.segment import NotThereYetError, Segment, Symbol, attach
from quietcore.bridge.ticks import Tick, decode
from quietcore.errors import ExitCode, QuietcoreError

# The producer stores its heartbeat at least every 100 ms; five times that is no longer fresh.
FRESH_HEARTBEAT_NS = 500_000_000
CHUNK = 4096


class BookState(NamedTuple):
    """Head of a book. Prices in ticks, sizes in lots, times UTC ns; ``live``: may be traded on now."""

    symbol: str
    state: int
    live: bool
    epoch: int
    tick: int
    update_id: int
    venue_sequence: int
    receive_ns: int
    venue_ns: int
    engine_ns: int
    bid_levels: int
    ask_levels: int
    messages: int
    bid: tuple[int, int] | None
    ask: tuple[int, int] | None


class Ladder(NamedTuple):
    """A consistent copy of a ladder: arrays of layout.LEVEL, best first, and the tick it belongs to."""

    tick: int
    bids: npt.NDArray[np.void]
    asks: npt.NDArray[np.void]


class Stats(NamedTuple):
    """What a bridge has seen. ``dropped_ticks``: lost by this reader; ``gaps``: lost before the feed."""

    feed: str
    epoch: int
    read_ticks: int
    dropped_ticks: int
    overruns: int
    gaps: int
    lag: int
    heartbeat_age_ns: int
    attachments: int


class Batch:
    """Ticks in the ring itself, without a copy: a read-only array of layout.SLOT in one piece.

    The producer does not wait: compute, then ask ``valid()``, and throw the result away where it says no.
    """

    def __init__(self, segment: Segment, first: int, count: int) -> None:
        self._segment = segment
        self.first = first
        start = first & segment.ring.mask
        self.ticks: npt.NDArray[np.void] = segment.slots[start : start + count]

    def __len__(self) -> int:
        return len(self.ticks)

    def valid(self) -> bool:
        """Whether nothing of the batch has been overwritten so far. An empty batch is valid."""
        if not len(self.ticks):
            return True
        ring = self._segment.ring
        return bool(batch_is_valid(ring.slots, ring.mask, self.first))


class SharedMemoryBridge:
    """Reads one feed. Use as a context manager, or `connect()` and `close()`.

    Args:
        feed: the feed's name. timeout: seconds to wait for a feed that is not there yet. from_start: begin
        with the segment's first tick (what the ring no longer holds counts as dropped), else with
            what is published now.
    """

    def __init__(self, feed: str, *, timeout: float = 0.0, from_start: bool = False) -> None:
        self.feed = feed
        self.timeout = timeout
        self.from_start = from_start
        self.attachments = 0
        self._segment: Segment | None = None
        self._inode: tuple[int, int] | None = None
        self._cursor: Any = new_cursor(0)
        self._names: dict[str, Symbol] = {}

    def connect(self) -> Self:
        """Attach, waiting up to ``timeout`` seconds. Attached already: nothing happens.

        After `close`, goes on where it stopped if the segment is still the same.
        """
        if self._segment is None:
            self._enter(attach(self.feed, self.timeout))
        return self

    def _enter(self, segment: Segment) -> None:
        if segment.inode != self._inode:
            first = self.attachments == 0 and not self.from_start
            self._cursor[NEXT] = word_at(segment.ring.published) if first else 0
            self._inode = segment.inode
            self.attachments += 1
        self._segment = segment
        self._names = {symbol.name: symbol for symbol in segment.symbols}

    def close(self) -> None:
        """Detach. Batches that still live keep their mapping; the segment itself stays."""
        if self._segment is not None:
            segment, self._segment = self._segment, None
            segment.close()

    def __enter__(self) -> Self:
        return self.connect()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def segment(self) -> Segment:
        """The attached segment."""
        if self._segment is None:
            raise QuietcoreError("bridge is not connected", where=self.feed, remedy="call connect() first")
        return self._segment

    @property
    def symbols(self) -> tuple[Symbol, ...]:
        """The feed's directory."""
        return self.segment.symbols

    def read_ticks(self, max_ticks: int) -> Iterator[Tick]:
        """Yield up to ``max_ticks`` typed ticks that are there now; follow the feed to its next segment."""
        left = max_ticks
        while left > 0:
            room = np.empty((min(left, CHUNK), 8), dtype=np.int64)
            # Before reading: whatever was published before the segment ended is then seen.
            ended = self._has_ended()
            count = copy_ticks(self.segment.ring, self._cursor, room)
            if count == 0:
                if ended and self._successor():
                    continue
                return
            left -= count
            for slot in room[:count].view(layout.SLOT)[:, 0]:
                yield decode(slot)

    def read_batch(self, max_ticks: int = 1 << 20) -> Batch:
        """Return the ticks that are there now, in one piece up to the wrap, and move past them."""
        while True:
            segment = self.segment
            ended = self._has_ended()
            count = claim_batch(segment.ring, self._cursor, max_ticks)
            if count or not ended or not self._successor():
                break
        first = int(self._cursor[NEXT])
        self._cursor[NEXT] += count
        self._cursor[READ] += count
        return Batch(segment, first, count)

    def _has_ended(self) -> bool:
        """Whether no more ticks will come here: closed, or its producer is dead and the name leads elsewhere."""
        segment = self.segment
        return segment.closed or (segment.heartbeat_age_ns() > FRESH_HEARTBEAT_NS and segment.replaced())

    def _successor(self) -> bool:
        """Attach to the segment that replaced ours; False, and nothing changed, if it is not there yet."""
        old = self.segment
        if not old.replaced():
            return False
        try:
            segment = attach(self.feed)
        except NotThereYetError:
            return False
        self._enter(segment)
        old.close()
        return True

    def _number(self, symbol: str) -> int:
        entry = self._names.get(symbol)
        return (entry or self.segment.symbol(symbol)).number

    def _book(self, symbol: str, words: int) -> Any:
        out = np.empty(words, dtype=np.int64)
        if not read_book(self.segment.ring, self._number(symbol), words, out):
            raise QuietcoreError(
                "book is locked by a writer that does not finish",
                where=f"{self.segment.path}: {symbol}",
                remedy="restart the feed handler; a new producer mends its books",
                code=ExitCode.UNKNOWN,
            )
        return out

    def latest(self, symbol: str) -> BookState:
        """Return the head of a symbol's book, with its best levels, as one consistent copy."""
        depth = self.segment.ring.depth
        words = self._book(symbol, book_words(depth))
        head = words[:HEAD_WORDS].view(layout.BOOK)[0]
        levels = words[HEAD_WORDS:].view(layout.LEVEL)
        state = int(head["state"])
        live = (
            state == layout.STATE_LIVE
            and int(head["epoch"]) == self.segment.epoch
            and self.segment.heartbeat_age_ns() < FRESH_HEARTBEAT_NS
            and not self.segment.closed
        )
        return BookState(
            symbol,
            state,
            live,
            epoch=int(head["epoch"]),
            tick=int(head["tick"]),
            update_id=int(head["update_id"]),
            venue_sequence=int(head["venue_sequence"]),
            receive_ns=int(head["receive_ns"]),
            venue_ns=int(head["venue_ns"]),
            engine_ns=int(head["engine_ns"]),
            bid_levels=int(head["bid_levels"]),
            ask_levels=int(head["ask_levels"]),
            messages=int(head["messages"]),
            bid=levels[0].item() if head["bid_count"] else None,
            ask=levels[depth].item() if head["ask_count"] else None,
        )

    def ladder(self, symbol: str) -> Ladder:
        """Return a consistent copy of a symbol's ladder, at most the segment's ladder depth a side."""
        depth = self.segment.ring.depth
        words = self._book(symbol, book_words(depth))
        head = words[:HEAD_WORDS].view(layout.BOOK)[0]
        levels = words[HEAD_WORDS:].view(layout.LEVEL)
        bids, asks = (min(int(head[name]), depth) for name in ("bid_count", "ask_count"))
        return Ladder(int(head["tick"]), levels[:bids], levels[depth : depth + asks])

    def get_stats(self) -> Stats:
        """Return this reader's counters and the feed's state now. ``lag``: published ticks not yet read."""
        segment = self.segment
        return Stats(
            feed=self.feed,
            epoch=segment.epoch,
            read_ticks=int(self._cursor[READ]),
            dropped_ticks=int(self._cursor[DROPPED]),
            overruns=int(self._cursor[OVERRUNS]),
            gaps=int(segment.statistics["gaps"]),
            lag=max(0, word_at(segment.ring.published) - int(self._cursor[NEXT])),
            heartbeat_age_ns=segment.heartbeat_age_ns(),
            attachments=self.attachments,
        )
