"""The feeds of this host, looked at again and again: segments stay attached, and a replaced one is attached anew."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from quietcore.bridge import layout
from quietcore.bridge.books import HEAD_WORDS, WORD_COUNTS, WORD_STATE, book_words, head_word, read_book
from quietcore.bridge.follower import STATE_NAMES
from quietcore.bridge.ring import word_at
from quietcore.bridge.scale import Step
from quietcore.bridge.segment import Segment, Symbol, attach, feed_names
from quietcore.bridge.truncation import shortened
from quietcore.errors import QuietcoreError

FRESH_NS: Final = 500_000_000  # a producer beats at least every 100 ms
LOCKED: Final = "locked"  # a book whose writer held it throughout: it died, or is writing on

WORD_RECEIVE: Final = head_word("receive_ns")
WORD_MESSAGES: Final = head_word("messages")

# Of the statistics page, what is a state and no counter.
GAUGES: Final = ("cpu", "locked_kib")


def counters(segment: Segment) -> dict[str, int]:
    """Return the feed handler's statistics page by field."""
    return {
        name: int(segment.statistics[name])
        for name in layout.STATISTICS.names or ()
        if not name.startswith("reserved")
    }


def feed_state(segment: Segment, most_books: int = 0) -> dict[str, Any]:
    """Return what a ring's header, statistics and book table say.

    ``book_list`` has the first ``most_books`` symbols; counts and the oldest age are of all of them. An age is since
    the book's last message, None for a book that is not LIVE or whose receive times are a recording's. Raises
    QuietcoreError where the ring was cut short.
    """
    if segment.when_truncated is None:
        segment.when_truncated = _go_on
    if (problem := shortened(segment)) is not None:
        raise problem
    books = dict.fromkeys([*STATE_NAMES.values(), LOCKED], 0)
    depth = segment.ring.depth
    whole = np.empty(book_words(depth), dtype=np.int64)
    now, created = time.time_ns(), int(segment.header["created_ns"])
    listed: dict[str, Any] = {}
    oldest: int | None = None
    for symbol in segment.symbols:
        shown = symbol.number < most_books
        words = len(whole) if shown else HEAD_WORDS
        if not read_book(segment.ring, symbol.number, words, whole):
            books[LOCKED] += 1
            if shown:
                listed[symbol.name] = _book(symbol, LOCKED, None, 0, None, None)
            continue
        state = STATE_NAMES.get(int(whole[WORD_STATE]) & 0xFFFFFFFF, LOCKED)
        books[state] += 1
        received = int(whole[WORD_RECEIVE])
        # What came before the ring was made is a recording's time.
        age = max(0, now - received) if state == "LIVE" and received >= created else None
        if age is not None:
            oldest = age if oldest is None else max(oldest, age)
        if shown:
            counts = int(whole[WORD_COUNTS])
            bid = _level(whole, HEAD_WORDS) if counts & 0xFFFFFFFF else None
            ask = _level(whole, HEAD_WORDS + 2 * depth) if counts >> 32 else None
            listed[symbol.name] = _book(symbol, state, age, int(whole[WORD_MESSAGES]), bid, ask)
    age_ns = segment.heartbeat_age_ns()
    found = {
        "venue": segment.venue,
        "producer": "closed" if segment.closed else "alive" if age_ns < FRESH_NS else "silent",
        "heartbeat_age_ns": age_ns,
        "epoch": segment.epoch,
        "pid": segment.pid,
        "published": word_at(segment.ring.published),
        "capacity": segment.ring.capacity,
        "ladder_depth": depth,
        "symbols": len(segment.symbols),
        "books": books,
        "oldest_live_age_ns": oldest,
        "book_list": listed,
        "statistics": counters(segment),
    }
    if (problem := shortened(segment)) is not None:  # meanwhile
        raise problem
    return found


def _go_on() -> None:
    """One ring that was cut short keeps nobody from looking at the others."""


def _level(words: Any, at: int) -> tuple[int, int]:
    return int(words[at]), int(words[at + 1])


def _book(
    symbol: Symbol,
    state: str,
    age: int | None,
    messages: int,
    bid: tuple[int, int] | None,
    ask: tuple[int, int] | None,
) -> dict[str, Any]:
    tick, lot = (
        Step(symbol.tick_mantissa, symbol.tick_exponent),
        Step(symbol.lot_mantissa, symbol.lot_exponent),
    )
    sides = {
        side: None if level is None else [tick.text(level[0]), lot.text(level[1])]
        for side, level in (("bid", bid), ("ask", ask))
    }
    return {"state": state, "age_ns": age, "messages": messages, **sides}


class FeedWatch:
    """Feeds by name; all of the host where none is named."""

    def __init__(self, wanted: Sequence[str] = (), most_books: int = 0) -> None:
        self._wanted = tuple(wanted)
        self._most_books = most_books
        self._attached: dict[str, Segment] = {}

    def look(self) -> dict[str, dict[str, Any]]:
        """Return each feed's state, or ``{"error": …}`` for one that cannot be read now."""
        names = self._wanted or tuple(feed_names())
        for gone in self._attached.keys() - set(names):
            self._attached.pop(gone).close()
        return {name: self._one(name) for name in names}

    def _one(self, name: str) -> dict[str, Any]:
        segment = self._attached.get(name)
        if segment is not None and segment.replaced():
            self._attached.pop(name).close()
            segment = None
        if segment is None:
            try:
                segment = self._attached[name] = attach(name)
            except QuietcoreError as error:
                return {"error": error.message()}
        try:
            return feed_state(segment, self._most_books)
        except QuietcoreError as error:
            return {"error": error.message()}

    def close(self) -> None:
        """Unmap everything."""
        for segment in self._attached.values():
            segment.close()
        self._attached.clear()
