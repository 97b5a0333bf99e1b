"""The panic detector: how much the last quotes and trades look like a rush for the exit, as a confidence from 0 to 1.

Four signs, each from 0 to 1, weighted: the microprice has fallen below its recent mean (in standard deviations of
that mean's window), takers sell, the book leans to the offers, the spread is wider than usual. At the threshold it
asks to sell at the best bid, once; it asks again only after the confidence has been below half of the threshold.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from quietcore.bridge import layout
from quietcore.bridge.compiled import lean
from quietcore.bridge.follow import Books
from quietcore.indicators import book, ema, variance
from quietcore.strategy.intents import SELL
from quietcore.strategy.interface import (
    WISH_PRICE,
    WISH_SIDE,
    WISH_SIZE,
    Context,
    Parameters,
    Strategy,
    parameter_record,
)

KIND_BBO: Final = layout.KIND_BBO
KIND_TRADE: Final = layout.KIND_TRADE
TAKER_SOLD: Final = layout.FLAG_SELL

PARAMETERS: Final = {
    "threshold": 0.7,  # confidence from which it acts
    "window": 128,  # quotes, of the recent mean
    "deep_fall": 4.0,  # standard deviations below the mean that count as a full sign
    "wide_spread": 5.0,  # times the usual spread that count as a full sign
    "trades_span": 30,  # trades, of the takers' share
    "levels": 5,  # of the book's imbalance
}
FALL_WEIGHT: Final = 0.4
SELLERS_WEIGHT: Final = 0.3
BOOK_WEIGHT: Final = 0.15
SPREAD_WEIGHT: Final = 0.15


def state_of(window: int) -> np.dtype[np.void]:
    """Return the state record for a window of quotes."""
    return np.dtype(
        [
            ("confidence", "<f8"),
            ("highest", "<f8"),  # confidence so far
            ("alarms", "<i8"),
            ("alarmed", "<i8"),  # 1: until the confidence has fallen to half of the threshold
            ("sold", ema.STATE),  # lots that takers sold, and all lots, smoothed alike
            ("traded", ema.STATE),
            ("spread", ema.STATE),  # ticks
            ("prices", variance.state(window)),
        ]
    )


@lean
def sign(value: float) -> float:
    """Return ``value`` cut to 0 to 1."""
    return min(max(value, 0.0), 1.0)


@lean
def on_tick(
    state: Any,
    params: Any,
    books: Books,
    symbol: int,
    kind: int,
    flags: int,
    a: int,
    b: int,
    c: int,
    d: int,
    wish: Any,
) -> int:
    """Take one tick of the traded symbol; return 1 at an alarm, with the order wanted in ``wish``."""
    s, p = state[0], params[0]
    if kind == KIND_TRADE:
        alpha = 2.0 / (p.trades_span + 1.0)
        ema.update(s.sold, float(b) if flags & TAKER_SOLD else 0.0, alpha)
        ema.update(s.traded, float(b), alpha)
        return 0
    if kind != KIND_BBO or b <= 0 or d <= 0:
        return 0
    price = book.microprice(float(a), float(b), float(c), float(d))
    spread = float(c - a)
    # What is usual is what was so before this quote.
    seen = s.prices.count
    usual_price = variance.mean(s.prices) if seen else price
    usual_spread = max(s.spread.value, 1.0)
    fall = 0.0
    if seen:
        before = variance.spread(s.prices.total, s.prices.squares, seen)
        fall = (usual_price - price) / max(math.sqrt(before), 0.5)
    variance.update(s.prices, price)
    ema.update(s.spread, spread, 2.0 / (p.window + 1.0))
    if seen < s.prices.ring.shape[0]:
        return 0
    sellers = s.sold.value / s.traded.value if s.traded.value > 0.0 else 0.5
    s.confidence = (
        FALL_WEIGHT * sign(fall / p.deep_fall)
        + SELLERS_WEIGHT * sign(2.0 * sellers - 1.0)
        + BOOK_WEIGHT * sign(-book.ladder_imbalance(books, symbol, p.levels))
        + SPREAD_WEIGHT * sign((spread / usual_spread - 1.0) / (p.wide_spread - 1.0))
    )
    s.highest = max(s.highest, s.confidence)
    if s.confidence < 0.5 * p.threshold:
        s.alarmed = 0
    if s.alarmed or s.confidence < p.threshold:
        return 0
    s.alarmed = 1
    s.alarms += 1
    wish[WISH_SIDE] = SELL
    wish[WISH_PRICE] = a
    wish[WISH_SIZE] = p.size
    return 1


def make(parameters: Parameters, context: Context) -> Strategy:
    """Return the strategy for the runtime."""
    bounds = {
        "threshold": (0.01, 1.0),
        "window": (2, 1 << 16),
        "deep_fall": (0.1, 1000.0),
        "wide_spread": (1.01, 1000.0),
        "trades_span": (1, 1 << 20),
        "levels": (1, 1000),
    }
    for name, (least, most) in bounds.items():
        if not least <= parameters[name] <= most:
            raise ValueError(f"{name} {parameters[name]}: expected {least} to {most}")
    state = np.zeros(1, dtype=state_of(int(parameters["window"])))
    record = parameter_record({**parameters, "size": context.order_size})
    return Strategy("panic", on_tick, state, record)
