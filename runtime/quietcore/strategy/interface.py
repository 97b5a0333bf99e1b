"""What a strategy is: a compiled ``on_tick`` over a state record of its own, and the parameters it reads.

A strategy's module has ``PARAMETERS``, names and defaults, and ``make(parameters, context) -> Strategy``, which
raises ValueError, naming the parameter, where a value makes no sense. `quietcore new strategy` writes one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, Protocol

import numpy as np

from quietcore.bridge.scale import Step
from quietcore.bridge.ticks import Tick

# What on_tick writes when it returns 1: an int64 array.
WISH_SIDE: Final = 0  # BUY or SELL of intents.py
WISH_PRICE: Final = 1  # ticks
WISH_SIZE: Final = 2  # lots
WISH_FLAGS: Final = 3  # POST_ONLY of intents.py, or 0
WISH_WORDS: Final = 4

Parameters = Mapping[str, int | float]


class Context(NamedTuple):
    """What a strategy is made for. ``order_size``: lots, as configured under [risk]."""

    symbol: str
    tick: Step
    lot: Step
    order_size: int


class Uncompiled(Protocol):
    """A strategy in plain Python, as its loop takes it: `PythonStrategy` of strategy/python.py, or one like it."""

    name: str
    parameters: dict[str, int | float]
    next_parameters: dict[str, int | float] | None

    def on_tick(self, tick: Tick, ladders: Any) -> tuple[int, int, int] | None:
        """Take a tick; return side, price and size of an order that is wanted."""

    def figures(self) -> dict[str, float]:
        """Return plain numbers for the status."""


class Strategy(NamedTuple):
    """A strategy as the loop takes it.

    ``on_tick(state, params, books, symbol, kind, flags, a, b, c, d, wish) -> int`` is called for every tick
    of the traded symbol, after the tick is in ``books`` (see bridge/follow.py). It returns 1 with ``wish``
    filled where it wants an order, else 0. ``state`` and ``params`` are structured arrays of one element. It
    must not allocate. ``python`` stands in its place for a strategy that is not compiled. ``key`` files its
    machine code and must differ between any two that do not do the same; empty: the name tells.
    """

    name: str
    on_tick: Any
    state: Any
    params: Any
    key: str = ""
    python: Uncompiled | None = None

    def figures(self, state: Any) -> dict[str, float]:
        """Return a state record's plain numbers; arrays and records within it are left out."""
        if self.python is not None:
            return dict(self.python.figures())
        names = state.dtype.names
        return {name: state[0][name].item() for name in names if state.dtype[name].kind in "iuf"}


Make = Callable[[Parameters, Context], Strategy]


def parameter_record(values: Parameters) -> Any:
    """Return ``values`` as a structured array of one element: whole numbers as int64, others as float64."""
    kinds = [(name, "<i8" if isinstance(value, int) else "<f8") for name, value in values.items()]
    if not kinds:
        return np.zeros(1, dtype=np.dtype([("none", "<i8")]))  # a record must have something
    record = np.zeros(1, dtype=np.dtype(kinds))
    record[0] = tuple(values.values())
    return record
