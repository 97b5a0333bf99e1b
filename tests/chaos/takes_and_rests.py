"""Takes and rests in turn: buys at the ask, offers above it, sells at the bid, bids below it; each cancels the last."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from quietcore.bridge import layout
from quietcore.bridge.compiled import compiled
from quietcore.bridge.follow import Books
from quietcore.strategy.intents import BUY, SELL
from quietcore.strategy.interface import (
    WISH_PRICE,
    WISH_SIDE,
    WISH_SIZE,
    Context,
    Parameters,
    Strategy,
    parameter_record,
)

PARAMETERS: Final = {"every": 12, "away": 30}  # quotes between two orders; ticks from the best where it rests
STATE: Final = np.dtype([("quotes", "<i8"), ("turn", "<i8")])
KIND_BBO: Final = layout.KIND_BBO


@compiled
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
    """Take one tick; every so many quotes an order is wanted."""
    s, p = state[0], params[0]
    if kind != KIND_BBO or b <= 0 or d <= 0:
        return 0
    s.quotes += 1
    if s.quotes % p.every != 0:
        return 0
    turn = s.turn % 4
    s.turn += 1
    wish[WISH_SIDE] = BUY if turn == 0 or turn == 3 else SELL
    wish[WISH_PRICE] = c if turn == 0 else c + p.away if turn == 1 else a if turn == 2 else a - p.away
    wish[WISH_SIZE] = p.size
    return 1


def make(parameters: Parameters, context: Context) -> Strategy:
    """Return the strategy for the runtime."""
    if parameters["every"] < 1:
        raise ValueError(f"every {parameters['every']}: expected 1 or more")
    record = parameter_record({**parameters, "size": context.order_size})
    return Strategy("takes_and_rests", on_tick, np.zeros(1, dtype=STATE), record)
