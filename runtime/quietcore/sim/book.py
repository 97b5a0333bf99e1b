"""The simulator's own book: the venue's own text, best prices found lazily."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from decimal import Decimal

Row = tuple[str, str]  # price and size as the venue writes them


class Side:
    """One side of a book: rows by price, and a heap of candidates for the best price.

    Prices are floats only where levels are found and ordered, which doubles do exactly for up to 15 digits; what is
    told of a level is the venue's text.
    """

    def __init__(self, *, bids: bool) -> None:
        self.bids = bids
        self._rows: dict[float, Row] = {}
        self._heap: list[
            float
        ] = []  # negative for bids; prices that are gone fall out when they come to the top

    def __len__(self) -> int:
        return len(self._rows)

    def clear(self) -> None:
        """Remove every level."""
        self._rows.clear()
        self._heap.clear()

    def apply(self, rows: Iterable[Row]) -> None:
        """Insert, change, or (size 0) delete levels."""
        levels, heap, bids = self._rows, self._heap, self.bids
        for row in rows:
            text, size = row
            price = float(text)
            if size[:1] == "0" and not size.strip("0."):
                levels.pop(price, None)
                continue
            if price not in levels:
                heapq.heappush(heap, -price if bids else price)
            levels[price] = row

    def best(self) -> tuple[Decimal, Decimal] | None:
        """Return (price, size) of the best level, None where the side is empty."""
        levels, heap = self._rows, self._heap
        while heap:
            row = levels.get(-heap[0] if self.bids else heap[0])
            if row is not None:
                return Decimal(row[0]), Decimal(row[1])
            heapq.heappop(heap)
        return None

    def size(self, price: Decimal) -> Decimal:
        """Return the size at `price`, 0 where there is no level."""
        row = self._rows.get(float(price))
        return Decimal(row[1]) if row is not None else Decimal(0)

    def rows(self, count: int | None = None) -> list[Row]:
        """Return levels best first, at most `count`, as the venue writes them."""
        prices = sorted(self._rows, reverse=self.bids)
        return [self._rows[price] for price in prices[:count]]

    def ladder(self, count: int | None = None) -> list[tuple[Decimal, Decimal]]:
        """Return (price, size) of levels best first, at most `count`."""
        return [(Decimal(price), Decimal(size)) for price, size in self.rows(count)]

    def cut(self, depth: int) -> None:
        """Keep the best `depth` levels."""
        if len(self._rows) > depth:
            for price in sorted(self._rows, reverse=self.bids)[depth:]:
                del self._rows[price]


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
