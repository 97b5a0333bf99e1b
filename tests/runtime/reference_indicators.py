"""Indicators by their textbook definitions, in decimals of 60 digits or whole numbers: nothing of the runtime's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Context, Decimal, localcontext
from itertools import pairwise

EXACT = Context(prec=60)
Values = Sequence[Decimal]


def decimals(values: Iterable[float]) -> list[Decimal]:
    """Return floats as decimals, without rounding."""
    return [Decimal(float(value)) for value in values]


def ema(values: Values, alpha: float) -> list[Decimal]:
    with localcontext(EXACT):
        weight, found = Decimal(alpha), [values[0]]
        for value in values[1:]:
            found.append(found[-1] + weight * (value - found[-1]))
        return found


def windows(values: Values, window: int) -> Iterable[Values]:
    for i in range(len(values)):
        yield values[max(0, i + 1 - window) : i + 1]


def sma(values: Values, window: int) -> list[Decimal]:
    with localcontext(EXACT):
        return [sum(part, Decimal(0)) / len(part) for part in windows(values, window)]


def variance(values: Values, window: int) -> list[Decimal]:
    with localcontext(EXACT):
        found = []
        for part in windows(values, window):
            mean = sum(part, Decimal(0)) / len(part)
            found.append(sum(((value - mean) ** 2 for value in part), Decimal(0)) / len(part))
        return found


def bollinger(values: Values, window: int, width: float) -> list[tuple[Decimal, Decimal, Decimal]]:
    with localcontext(EXACT):
        found = []
        for mean, spread in zip(sma(values, window), variance(values, window), strict=True):
            deviation = Decimal(width) * spread.sqrt()
            found.append((mean, mean + deviation, mean - deviation))
        return found


def rsi(values: Values, period: int) -> list[Decimal | None]:
    with localcontext(EXACT):
        changes = [after - before for before, after in pairwise(values)]
        found: list[Decimal | None] = [None] * min(period, len(values))
        if len(changes) < period:
            return found
        gain = sum((max(change, Decimal(0)) for change in changes[:period]), Decimal(0)) / period
        loss = sum((max(-change, Decimal(0)) for change in changes[:period]), Decimal(0)) / period
        for i in range(period, len(values)):
            if i > period:
                change = changes[i - 1]
                gain = (gain * (period - 1) + max(change, Decimal(0))) / period
                loss = (loss * (period - 1) + max(-change, Decimal(0))) / period
            # The textbook's form, where it is defined.
            if loss:
                found.append(100 - 100 / (1 + gain / loss))
            else:
                found.append(Decimal(100) if gain else Decimal(50))
        return found


def vwap(prices: Values, sizes: Values) -> list[Decimal]:
    with localcontext(EXACT):
        worth = volume = Decimal(0)
        found = []
        for price, size in zip(prices, sizes, strict=True):
            worth += price * size
            volume += size
            found.append(worth / volume if volume else Decimal(0))
        return found


def imbalance(bids: Values, asks: Values) -> list[Decimal]:
    with localcontext(EXACT):
        pairs = zip(bids, asks, strict=True)
        return [(bid - ask) / (bid + ask) if bid + ask else Decimal(0) for bid, ask in pairs]


def microprice(bids: Values, bid_sizes: Values, asks: Values, ask_sizes: Values) -> list[Decimal]:
    with localcontext(EXACT):
        found = []
        for bid, size, ask, other in zip(bids, bid_sizes, asks, ask_sizes, strict=True):
            total = size + other
            found.append((bid * other + ask * size) / total if total else (bid + ask) / 2)
        return found
