"""The arithmetic of the reference book: decimals, scales, the ladder hash and the rule of LEVEL ticks.

Standard library only, written independently of the feed handler and the runtime.
"""

from __future__ import annotations

import heapq
import re
from dataclasses import dataclass
from decimal import Decimal

DEPTH = 20
MASK = (1 << 64) - 1
SEED = 0xCBF29CE484222325
PRIME = 0x100000001B3
LIMIT = 1 << 63
NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")

Ladder = list[tuple[Decimal, Decimal]]


class Refused(Exception):  # noqa: N818 - it is a verdict on a message, not a fault of the program
    """A message that no handler may apply."""


def mix(h: int, w: int) -> int:
    """One step of the ladder hash over unsigned 64-bit words."""
    x = ((h ^ (w & MASK)) * PRIME) & MASK
    return x ^ (x >> 32)


def ladder_hash(bids: list[tuple[int, int]], asks: list[tuple[int, int]], depth: int = DEPTH) -> int:
    """Hash of the best `depth` levels a side in ticks and lots, bids first, zero-filled."""
    h = SEED
    for side in (bids, asks):
        filled = side[:depth] + [(0, 0)] * (depth - len(side))
        for price, size in filled:
            h = mix(mix(h, price), size)
    return h


def number(text: object) -> Decimal:
    """Parse a price or size as venues write it: digits, perhaps a point and digits, no sign, no exponent."""
    if not isinstance(text, str) or not NUMBER.fullmatch(text):
        raise Refused(f"not a number: {text!r}")
    return Decimal(text)


def decimals(value: Decimal) -> int:
    """Count the decimals that are left when trailing zeros are gone."""
    exponent = value.normalize().as_tuple().exponent
    assert isinstance(exponent, int)
    return max(0, -exponent)


@dataclass
class Scale:
    """Finest decimals seen for a symbol: price p is p * 10**price ticks, size s is s * 10**size lots."""

    price: int = 0
    size: int = 0

    def see(self, price: Decimal, size: Decimal) -> None:
        self.price = max(self.price, decimals(price))
        self.size = max(self.size, decimals(size))

    def ticks(self, price: Decimal) -> int:
        return self._whole(price, self.price)

    def lots(self, size: Decimal) -> int:
        return self._whole(size, self.size)

    @staticmethod
    def _whole(value: Decimal, exponent: int) -> int:
        scaled = value.scaleb(exponent)
        whole = int(scaled)
        if whole != scaled or whole >= LIMIT:
            raise Refused(f"{value} does not fit 64 bits at {exponent} decimals")
        return whole

    def whole(self, ladder: Ladder) -> list[tuple[int, int]]:
        return [(self.ticks(price), self.lots(size)) for price, size in ladder]


def best(book: dict[Decimal, Decimal], count: int, *, bids: bool) -> Ladder:
    """Return the best `count` levels, best first."""
    prices = heapq.nlargest(count, book) if bids else heapq.nsmallest(count, book)
    return [(price, book[price]) for price in prices]


def level_ticks(old: Ladder, new: Ladder, depth: int, *, bids: bool) -> list[tuple[Decimal, Decimal]]:
    """Changes that turn a reader's window `old` into `new`: deletes (size 0) first, then upserts, best first.

    A price that vanished needs no delete where the full new window pushes it off the end.
    """
    old_sizes, new_sizes = dict(old), dict(new)
    deletes = []
    for price, _ in old:
        if price in new_sizes:
            continue
        if len(new) == depth:
            worst = new[-1][0]
            if (price < worst) if bids else (price > worst):
                continue
        deletes.append((price, Decimal(0)))
    upserts = [(price, size) for price, size in new if old_sizes.get(price) != size]
    return deletes + upserts


def reader_window(old: Ladder, changes: list[tuple[Decimal, Decimal]], depth: int, *, bids: bool) -> Ladder:
    """Return what a reader of LEVEL ticks holds after `changes`, by the rule that readers follow."""
    window = list(old)
    for price, size in changes:
        window = [level for level in window if level[0] != price]
        if size:
            window.append((price, size))
            window.sort(reverse=bids)
            window = window[:depth]
    return window
