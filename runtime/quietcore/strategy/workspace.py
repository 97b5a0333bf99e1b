"""Everything the loop writes, as named views of one block: one copy is a consistent picture of it all."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from quietcore import histogram
from quietcore.bridge.books import book_words
from quietcore.bridge.compiled import constant
from quietcore.bridge.follow import COUNTERS, MARKS, Books
from quietcore.strategy.intents import aligned
from quietcore.strategy.risk import EMITTED_WORDS, REASONS

# Hops the loop measures, rows of the histograms.
VENUE_RECEIVED: Final = constant(0)
RECEIVED_PUBLISHED: Final = constant(1)
PUBLISHED_READ: Final = constant(2)
READ_SIGNAL: Final = constant(3)
HOPS: Final = 4
HOP_NAMES: Final = ("venue_received", "received_published", "published_read", "read_signal")

# The loop's own counters.
SIGNALS: Final = 0
INTENTS: Final = 1
HELD_BACK: Final = 2  # waits for room in the intent ring
UNSENT: Final = 3  # intents given up because the loop was stopped while the ring was full
REFUSED: Final = 8  # REFUSED + reason
LEDGER_WORDS: Final = 8 + REASONS


class Workspace:
    """Views over one block of int64 for a feed of ``symbols`` symbols and a strategy's state record."""

    def __init__(self, symbols: int, depth: int, state: np.dtype[np.void]) -> None:
        self.shape = (symbols, depth, state)
        state_words = -(-state.itemsize // 8)
        sizes = {
            "counters": COUNTERS,
            "ledger": LEDGER_WORDS,
            "emitted": EMITTED_WORDS,
            "state": state_words,
            "hops": HOPS * histogram.MARKS,
            "buckets": HOPS * histogram.BUCKETS,
            "marks": symbols * MARKS,
            "counts": 2 * symbols,
            "prices": 2 * symbols * depth,
            "sizes": 2 * symbols * depth,
        }
        self.block = aligned(sum(sizes.values()))
        at = 0
        views: dict[str, Any] = {}
        for name, words in sizes.items():
            views[name] = self.block[at : at + words]
            at += words
        self.counters = views["counters"]
        self.ledger = views["ledger"]
        self.emitted = views["emitted"]
        self.hops = views["hops"].reshape(HOPS, histogram.MARKS)
        self.buckets = views["buckets"].reshape(HOPS, histogram.BUCKETS)
        self.state = views["state"].view(np.uint8)[: state.itemsize].view(state)
        self.books = Books(
            prices=views["prices"].reshape(2 * symbols, depth),
            sizes=views["sizes"].reshape(2 * symbols, depth),
            counts=views["counts"],
            marks=views["marks"].reshape(symbols, MARKS),
            scratch=np.zeros(book_words(depth), dtype=np.int64),
        )

    def twin(self) -> Workspace:
        """Return an empty workspace of the same shape, to copy this one into."""
        return Workspace(*self.shape)
