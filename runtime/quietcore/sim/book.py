"""The simulator's own book: exact decimals, the venue's spelling of prices, best prices found lazily."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from decimal import Decimal

Level = tuple[Decimal, str]


class Side:
    """One side of a book: size text by price, and a heap of candidates for the best price."""

    def __init__(self, *, bids: bool) -> None:
        self.bids = bids
        self.levels: dict[Decimal, str] = {}
        self._heap: list[Decimal] = []

    def __len__(self) -> int:
        return len(self.levels)

    def clear(self) -> None:
        """Remove every level."""
        self.levels.clear()
        self._heap.clear()

    def apply(self, rows: Iterable[tuple[str, str]]) -> None:
        """Insert, change, or (size 0) delete levels given as the venue's text."""
        levels, heap, bids = self.levels, self._heap, self.bids
        for text, size in rows:
            price = Decimal(text)
            if not size.strip("0."):
                levels.pop(price, None)
                continue
            if price not in levels:
                heapq.heappush(heap, -price if bids else price)
            levels[price] = size

    def best(self) -> tuple[Decimal, Decimal] | None:
        """Return (price, size) of the best level, None where the side is empty."""
        levels, heap = self.levels, self._heap
        while heap:
            price = -heap[0] if self.bids else heap[0]
            if price in levels:
                return price, Decimal(levels[price])
            heapq.heappop(heap)
        return None

    def ladder(self, count: int | None = None) -> list[tuple[Decimal, str]]:
        """Return levels best first, at most `count`."""
        rows = sorted(self.levels.items(), key=lambda level: level[0], reverse=self.bids)
        return rows if count is None else rows[:count]

    def rows(self, count: int | None = None) -> list[list[str]]:
        """Return levels best first as the venue writes them: pairs of text."""
        return [[f"{price:f}", size] for price, size in self.ladder(count)]

    def cut(self, depth: int) -> None:
        """Keep the best `depth` levels."""
        if len(self.levels) > depth:
            for price, _ in self.ladder()[depth:]:
                del self.levels[price]


class Book:
    """Both sides of one symbol at one depth, with the ids that the venue gave the last change."""

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self.bids = Side(bids=True)
        self.asks = Side(bids=False)
        self.update_id = 0
        self.sequence = 0
        self.time_ms = 0
        self.synced = False

    def clear(self) -> None:
        """Forget all levels; the book is not in step until the next snapshot."""
        self.bids.clear()
        self.asks.clear()
        self.synced = False
