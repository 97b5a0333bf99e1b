"""A follower in Python's hands: owns the arrays that `follow.py` works on and says what they hold."""

from __future__ import annotations

from typing import Any

import numpy as np

from quietcore.bridge import layout
from quietcore.bridge.books import book_words
from quietcore.bridge.follow import (
    BOOK_STATES,
    BOOKS,
    COUNTERS,
    DIRTY,
    EPOCH,
    HASH,
    INEXACT,
    KINDS,
    MARKS,
    RELOADS,
    STATE,
    UNKNOWN_KIND,
    UNKNOWN_SYMBOL,
    Books,
    begin,
    follow,
)
from quietcore.bridge.ring import DROPPED, FIRST, NEXT, OVERRUNS, READ, word_at
from quietcore.bridge.segment import Segment

STATE_NAMES = {
    layout.STATE_EMPTY: "EMPTY",
    layout.STATE_RESYNC: "RESYNC",
    layout.STATE_STALE: "STALE",
    layout.STATE_LIVE: "LIVE",
}


def new_books(symbols: int, depth: int) -> Books:
    """Return empty arrays for ``symbols`` ladders of ``depth`` levels a side."""
    return Books(
        prices=np.zeros((2 * symbols, depth), dtype=np.int64),
        sizes=np.zeros((2 * symbols, depth), dtype=np.int64),
        counts=np.zeros(2 * symbols, dtype=np.int64),
        marks=np.zeros((symbols, MARKS), dtype=np.int64),
        scratch=np.zeros(book_words(depth), dtype=np.int64),
    )


def tick_counts(counters: Any) -> dict[str, int]:
    """Return the counters of ticks as they stand in status and tally."""
    return {
        "read": int(counters[READ]),
        "dropped": int(counters[DROPPED]),
        "bbo": int(counters[KINDS + layout.KIND_BBO]),
        "trade": int(counters[KINDS + layout.KIND_TRADE]),
        "level": int(counters[KINDS + layout.KIND_LEVEL]),
        "book": int(counters[KINDS + layout.KIND_BOOK]),
        "restart": int(counters[KINDS + layout.KIND_RESTART]),
        "unknown": int(counters[UNKNOWN_KIND] + counters[UNKNOWN_SYMBOL]),
        "overruns": int(counters[OVERRUNS]),
        "reloads": int(counters[RELOADS]),
    }


def symbol_state(segment: Segment, books: Books, number: int, levels: int) -> dict[str, Any]:
    """Return a symbol's state, hash and first ``levels`` levels a side, prices in ticks and sizes in lots.

    ``exact`` is true where the hash covers every LIVE book message since the follower's first tick.
    """
    marks = books.marks[number]
    sides = []
    for row in (2 * number, 2 * number + 1):
        count = min(int(books.counts[row]), levels)
        sides.append([[int(books.prices[row, i]), int(books.sizes[row, i])] for i in range(count)])
    entry = segment.symbols[number]
    return {
        "state": STATE_NAMES.get(int(marks[STATE]), str(int(marks[STATE]))),
        "tick": [entry.tick_mantissa, entry.tick_exponent],
        "lot": [entry.lot_mantissa, entry.lot_exponent],
        "bid": sides[0][0] if sides[0] else None,
        "ask": sides[1][0] if sides[1] else None,
        "books": int(marks[BOOKS]),
        "ladder_hash": f"{int(marks[HASH]) & 0xFFFFFFFFFFFFFFFF:016x}",
        "exact": not marks[INEXACT] and not marks[DIRTY],
        "bids": sides[0],
        "asks": sides[1],
    }


class Follower:
    """Follows one attached segment from its first tick (``from_start``) or from what is published now."""

    def __init__(self, segment: Segment, *, from_start: bool = False) -> None:
        self.segment = segment
        self.books = new_books(segment.ring.symbols, segment.ring.depth)
        self.counters = np.zeros(COUNTERS, dtype=np.int64)
        self.counters[NEXT] = self.counters[FIRST] = 0 if from_start else word_at(segment.ring.published)
        begin(segment.ring, self.books, self.counters)

    def follow(self, limit: int = 1 << 16) -> int:
        """Apply up to ``limit`` ticks that are there; return how many."""
        return follow(self.segment.ring, self.books, self.counters, limit)

    @property
    def next_tick(self) -> int:
        """Number of the tick wanted next."""
        return int(self.counters[NEXT])

    @property
    def dropped(self) -> int:
        """Ticks lost to overruns."""
        return int(self.counters[DROPPED])

    @property
    def exact(self) -> bool:
        """Whether every tick of the segment was read: only then counts and hashes speak for all of it."""
        return int(self.counters[FIRST]) == 0 and self.dropped == 0

    def report(self, levels: int = 20) -> dict[str, Any]:
        """Return counts, ladders and hashes, ready for JSON."""
        return {
            "feed": self.segment.feed,
            "venue": self.segment.venue,
            "epoch": int(self.counters[EPOCH]),
            "first_tick": int(self.counters[FIRST]),
            "exact": self.exact,
            "ticks": tick_counts(self.counters),
            # A change of state without a message has a BOOK tick too: STALE ones announce no message.
            "book_states": {
                name: int(self.counters[BOOK_STATES + state]) for state, name in STATE_NAMES.items()
            },
            "symbols": {
                symbol.name: symbol_state(self.segment, self.books, symbol.number, levels)
                for symbol in self.segment.symbols
            },
        }
