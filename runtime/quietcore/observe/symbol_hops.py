"""The hops that every tick carries, by symbol: venue → received, received → published; anybody may read the ring."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from quietcore.bridge.compiled import lean
from quietcore.bridge.ring import CURSOR_WORDS, EMPTY, LOST, NEXT, READ, Ring, skip_lost, take, word_at
from quietcore.bridge.segment import Segment
from quietcore.histogram import BUCKETS, MARKS, summary
from quietcore.strategy.loop import sample_hops
from quietcore.strategy.workspace import HOPS, RECEIVED_PUBLISHED, VENUE_RECEIVED

CARRIED: Final = {"venue_received": int(VENUE_RECEIVED), "received_published": int(RECEIVED_PUBLISHED)}


@lean
def sample_ring(ring: Ring, cursor: Any, fresh: Any, buckets: Any, marks: Any, limit: int) -> int:
    """Take up to ``limit`` ticks; measure each message by its first. Return how many were there.

    Shapes: ``buckets`` [symbols, HOPS, BUCKETS], ``marks`` [symbols, HOPS, MARKS], ``fresh`` [1]: 1 where the next
    tick begins a message.
    """
    count = 0
    while count < limit:
        status, seen, word, receive, deltas, _a, _b, _c, _d = take(ring.slots, ring.mask, cursor[NEXT])
        if status == EMPTY:
            break
        if status == LOST:
            skip_lost(ring, cursor, seen)
            fresh[0] = 0
            continue
        symbol = word & 0xFFFF
        if fresh[0] and symbol < buckets.shape[0]:
            # When this reader came to it is no latency of the pipeline's: publish time stands for it.
            sample_hops(buckets[symbol], marks[symbol], word, receive, deltas, receive)
        fresh[0] = 1 if (word >> 48) & 0xFFFF == 0 else 0
        cursor[NEXT] += 1
        cursor[READ] += 1
        count += 1
    return count


class SymbolHops:
    """Follows one feed from what is published now."""

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        symbols = segment.ring.symbols
        self._buckets = np.zeros((symbols, HOPS, BUCKETS), dtype=np.int64)
        self._marks = np.zeros((symbols, HOPS, MARKS), dtype=np.int64)
        self._cursor = np.zeros(CURSOR_WORDS, dtype=np.int64)
        self._cursor[NEXT] = word_at(segment.ring.published)
        self._fresh = np.zeros(1, dtype=np.int64)  # joined in the middle of a message, perhaps

    def follow(self, limit: int = 1 << 16) -> int:
        """Take what is there; return how many ticks."""
        return sample_ring(self.segment.ring, self._cursor, self._fresh, self._buckets, self._marks, limit)

    def report(self) -> dict[str, dict[str, Any]]:
        """Return by symbol and hop, of symbols that had messages."""
        return {
            symbol.name: {
                name: summary(self._buckets[symbol.number, hop], self._marks[symbol.number, hop])
                for name, hop in CARRIED.items()
            }
            for symbol in self.segment.symbols
            if self._marks[symbol.number].any()
        }
