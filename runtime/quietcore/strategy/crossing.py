"""The crossing averages: buy where the fast average of the mid price rises above the slow one, else sell.

The averages are exponential, over quotes: the venue's own ticker where the feed has it, else the best of the
book. A volume-weighted average price over all trades is kept beside them.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from quietcore.bridge import layout
from quietcore.bridge.compiled import lean
from quietcore.bridge.follow import Books
from quietcore.strategy.intents import BUY, SELL
from quietcore.strategy.interface import (
    WISH_PRICE,
    WISH_SIDE,
    WISH_SIZE,
    Context,
    Parameters,
    Strategy,
)

KIND_BBO: Final = layout.KIND_BBO
KIND_TRADE: Final = layout.KIND_TRADE
FROM_TICKER: Final = layout.FLAG_FROM_TICKER

PARAMETERS: Final = {"fast": 20, "slow": 80}  # spans, in quotes

STATE: Final = np.dtype(
    [
        ("fast", "<f8"),  # ticks
        ("slow", "<f8"),
        ("samples", "<i8"),
        ("above", "<i8"),  # 1: fast above slow, -1: below, 0: not known yet
        ("ticker", "<i8"),  # 1: the feed has ticker quotes
        ("value", "<f8"),  # of all trades, ticks × lots
        ("volume", "<f8"),  # lots
        ("vwap", "<f8"),  # ticks
    ]
)
RECORD: Final = np.dtype(
    [
        ("fast_alpha", "<f8"),
        ("slow_alpha", "<f8"),
        ("warm_up", "<i8"),  # quotes before the first signal
        ("size", "<i8"),  # lots an order
    ]
)


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
    """Take one tick of the traded symbol; return 1 at a crossing, with the order wanted in ``wish``."""
    s = state[0]
    if kind == KIND_TRADE:
        s.value += float(a) * float(b)
        s.volume += float(b)
        s.vwap = s.value / s.volume if s.volume > 0.0 else 0.0
        return 0
    if kind != KIND_BBO or b <= 0 or d <= 0:
        return 0
    # Two sources of quotes, one of them later: only one may feed the averages.
    if flags & FROM_TICKER:
        s.ticker = 1
    elif s.ticker:
        return 0
    p = params[0]
    mid = 0.5 * (float(a) + float(c))
    if s.samples == 0:
        s.fast = mid
        s.slow = mid
    else:
        s.fast += p.fast_alpha * (mid - s.fast)
        s.slow += p.slow_alpha * (mid - s.slow)
    s.samples += 1
    if s.samples < p.warm_up or s.fast == s.slow:
        return 0
    above = 1 if s.fast > s.slow else -1
    before = s.above
    s.above = above
    if before == 0 or before == above:
        return 0
    # Priced at the other side's best: it trades at once if that still stands, else rests at that price.
    wish[WISH_SIDE] = BUY if above == 1 else SELL
    wish[WISH_PRICE] = c if above == 1 else a
    wish[WISH_SIZE] = p.size
    return 1


def crossing(fast: int, slow: int, size: int) -> Strategy:
    """Return the strategy with spans in quotes (alpha = 2 / (span + 1)) and ``size`` lots an order."""
    state = np.zeros(1, dtype=STATE)
    params = np.zeros(1, dtype=RECORD)
    params[0] = (2.0 / (fast + 1), 2.0 / (slow + 1), slow, size)
    return Strategy("crossing", on_tick, state, params)


def make(parameters: Parameters, context: Context) -> Strategy:
    """Return the strategy for the runtime."""
    fast, slow = int(parameters["fast"]), int(parameters["slow"])
    if not 1 <= fast < slow <= 1_000_000:
        raise ValueError(f"fast {fast} and slow {slow}: fast is 1 or more, slow is above it, at most 1000000")
    return crossing(fast, slow, context.order_size)
