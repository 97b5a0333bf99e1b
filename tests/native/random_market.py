"""A market that knows the truth: every message it would send, and the book after each of them.

Independent of the feed handler: it writes messages and never reads one.
"""

from __future__ import annotations

import random
import time

from tests.native.raw_venue import frame

WINDOW = 50  # levels a side that the venue keeps
TOP = 20  # levels a side that are compared

Levels = list[tuple[int, int]]


def price_text(ticks: int) -> str:
    """Ticks of 0.1."""
    return f"{ticks // 10}.{ticks % 10}"


def size_text(lots: int) -> str:
    """Lots of 0.001."""
    return f"{lots // 1000}.{lots % 1000:03d}"


def rows(levels: Levels) -> str:
    return ",".join(f'["{price_text(price)}","{size_text(size)}"]' for price, size in levels)


def top_hash(bids: dict[int, int], asks: dict[int, int]) -> int:
    """Return the hash of the best levels of a book, whatever lies behind them."""
    best_bids, best_asks = sorted(bids, reverse=True)[:TOP], sorted(asks)[:TOP]
    return hash(
        (
            *(tuple(best_bids), tuple(map(bids.__getitem__, best_bids))),
            *(tuple(best_asks), tuple(map(asks.__getitem__, best_asks))),
        )
    )


class Symbol:
    """One symbol's book at the venue. `u` numbers its messages and begins anew when the service restarts; `seq`
    never does."""

    def __init__(self, name: str, chance: random.Random) -> None:
        self.name = name
        self.chance = chance
        self.u = chance.randrange(1000, 9000)
        self.seq = 0
        middle = chance.randrange(5000, 90000)
        self.bids = {middle - n: chance.randrange(1, 10**6) for n in range(1, WINDOW + 1)}
        self.asks = {middle + n: chance.randrange(1, 10**6) for n in range(1, WINDOW + 1)}
        self.truth: dict[int, int] = {}

    def best(self) -> tuple[Levels, Levels]:
        """Both sides, best first."""
        return sorted(self.bids.items(), reverse=True), sorted(self.asks.items())

    def record(self) -> None:
        """Remember what a reader must see after the message of this seq."""
        self.truth[self.seq] = top_hash(self.bids, self.asks)

    def message(self, kind: str, bids: Levels, asks: Levels) -> bytes:
        now = time.time_ns() // 1_000_000
        text = (
            f'{{"topic":"orderbook.50.{self.name}","type":"{kind}","ts":{now},"data":{{"s":"{self.name}",'
            f'"b":[{rows(bids)}],"a":[{rows(asks)}],"u":{self.u},"seq":{self.seq}}},"cts":{now}}}'
        )
        return text.encode()

    def snapshot(self) -> bytes:
        """The book as it stands; not a new update."""
        bids, asks = self.best()
        return self.message("snapshot", bids, asks)

    def move(self) -> bytes:
        """The next delta: one to three changes a side, and the deletes of what left the window."""
        self.u += 1
        self.seq += self.chance.choice((1, 1, 2, 7))
        bids = self._change(self.bids, -1, min(self.asks))
        asks = self._change(self.asks, +1, max(self.bids))
        self.record()
        return self.message("delta", bids, asks)

    def restart(self, kind: str) -> bytes:
        """The venue's service begins anew: u is 1, and the message holds the whole book."""
        self.u = 1
        self.seq += 1
        self.record()
        bids, asks = self.best()
        return self.message(kind, bids, asks)

    def _change(self, side: dict[int, int], away: int, other: int) -> Levels:
        """`away`: the direction of worse prices. The side never crosses `other` and never runs empty."""
        chance = self.chance
        changes: dict[int, int] = {}
        for _ in range(chance.randrange(0, 4)):
            prices = list(side)
            price = chance.choice(prices) + chance.randrange(-2, 3)
            if (price - other) * away <= 0 or price <= 0:
                continue
            if price in side and len(side) > 5 and chance.random() < 0.5:
                del side[price]
                changes[price] = 0
            else:
                side[price] = changes[price] = chance.randrange(1, 10**6)
        while len(side) > WINDOW:
            worst = max(side) if away > 0 else min(side)
            del side[worst]
            changes[worst] = 0
        return list(changes.items())


def framed(message: bytes) -> bytes:
    return frame(message)
