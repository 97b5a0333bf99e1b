"""What a strategy is: a compiled ``on_tick`` over a state record of its own, and the parameters it reads."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

# What on_tick writes when it returns 1: an int64 array.
WISH_SIDE: Final = 0  # BUY or SELL of intents.py
WISH_PRICE: Final = 1  # ticks
WISH_SIZE: Final = 2  # lots
WISH_FLAGS: Final = 3  # POST_ONLY of intents.py, or 0
WISH_WORDS: Final = 4


class Strategy(NamedTuple):
    """A strategy as the loop takes it.

    ``on_tick(state, params, books, symbol, kind, flags, a, b, c, d, wish) -> int`` is called for every tick
    of the traded symbol, after the tick is in ``books`` (see bridge/follow.py). It returns 1 with ``wish``
    filled where it wants an order, else 0. ``state`` and ``params`` are structured arrays of one element. It
    must not allocate.
    """

    name: str
    on_tick: Any
    state: Any
    params: Any

    def figures(self, state: Any) -> dict[str, float]:
        """Return a state record as plain numbers."""
        return {name: state[0][name].item() for name in state.dtype.names}
